"""The files of a collection over its own HTTPS server, by the lean wire: GET with ranges, PUT beside the name, then a rename.

Such a server writes in place and lists nothing, so the partial's name, the rename and all looking is Transfer's part. After
"HTTPS Access to Collections" of the Globus documentation.
"""

from __future__ import annotations

import hashlib
from copy import copy
from typing import TYPE_CHECKING
from urllib.parse import quote

from ..credentials.kinds import Bearer, Secret
from .errors import Broken, Mismatch, NotFound, Reach, ServerFault, TransferError, Unsupported
from .globus_errors import Taken, is_ill
from .globus_names import is_folder
from .http import HttpStore
from .http_writer import WholeWriter
from .locations import parse_location
from .values import Receipt

if TYPE_CHECKING:
    from typing import Final

    from ..checksum.digest import Digest
    from ..credentials.kinds import Credential
    from .context import Context
    from .globus_client import Collection, GlobusClient
    from .globus_names import Place
    from .globus_operations import Operations
    from .http_reader import HttpReader
    from .http_writer import StreamWriter
    from .locations import Location
    from .values import Incoming

_LAST_WORDS_SECONDS: Final = 5.0
"""How long removing a partial may take after the run was stopped."""


class DataServer:
    """The HTTPS server of one collection, for one worker and one credential."""

    def __init__(self, client: GlobusClient, collection: Collection, context: Context) -> None:
        self._client = client
        self._collection = collection
        self._context = context
        self._http = HttpStore(self._with_token(context))

    def _with_token(self, context: Context) -> Context:
        """The same context, in which the credential is a token for this server."""
        own = copy(context)
        own.credential = self._credential
        own._renew = self._renewed
        return own

    def _credential(self, location: Location, purpose: str) -> Credential:
        tokens, one = self._client.tokens, self._collection
        text = tokens.current(one.id, one.data_scopes)
        shown = tokens.credential
        return Bearer(Secret(text), name=shown.name, origin=shown.origin)

    def _renewed(self, location: Location, purpose: str, refused: Credential) -> Credential | None:
        assert isinstance(refused, Bearer)
        one = self._collection
        if not self._client.tokens.replace(refused.token.reveal(), one.id, one.data_scopes):
            return None
        return self._credential(location, purpose)

    def at(self, place: Place) -> Location:
        """The URL of a file. Raises Unsupported where the collection has no such server."""
        if not self._collection.https:
            raise Unsupported(
                f"the files of collection {place.collection} cannot be read or written directly: it has no HTTPS server",
                remedy="copy to or from another collection; one of this machine is found by itself "
                "(Globus Connect Personal)",
            )
        return parse_location(self._collection.https + quote(place.path, safe="/~"))

    def open_read(self, place: Place, start: int, length: int | None, version: str | None) -> HttpReader:
        try:
            return self._http.open_read(self.at(place), start=start, length=length, version=version)
        except NotFound as error:
            raise really_absent(error) from None

    def open_write(self, place: Place, incoming: Incoming, operations: Operations) -> GlobusWriter:
        return GlobusWriter(self, place, incoming, operations)

    def begin(self, place: Place, incoming: Incoming) -> WholeWriter | StreamWriter:
        return self._http.open_write(self.at(place), incoming)

    def put(self, place: Place, body: memoryview | bytes) -> Receipt:
        return self._http.put(self.at(place), body)

    def delete(self, place: Place) -> None:
        """Removes a file; what is absent is no error."""
        self._http.remove(self.at(place), recursive=False)

    def discard(self, place: Place) -> None:
        """Removes a file within a few seconds, also when the run has been stopped. Never raises."""
        store = HttpStore(self._with_token(self._context.for_last_words(_LAST_WORDS_SECONDS)))
        try:
            store.remove(self.at(place), recursive=False)
        except (TransferError, OSError):
            pass
        finally:
            store.close()

    def close(self) -> None:
        self._http.close()


def really_absent(error: NotFound) -> TransferError:
    """The error itself, or what it is if the server is ill: those say `not found` too."""
    if is_ill(error.what):
        return ServerFault(error.what, host=error.host)
    return error


class GlobusWriter:
    """A file that is written beside its name, looked at, and renamed."""

    algorithms: tuple[str, ...] = ()
    descriptor: int | None = None

    def __init__(self, server: DataServer, place: Place, incoming: Incoming, operations: Operations) -> None:
        self._server = server
        self._place = place
        self._operations = operations
        folder = place.parent.path.rstrip("/")
        self._partial = place.at(f"{folder}/.wf-{incoming.token}.part")
        self._written = 0
        self._expected = incoming.expected
        self._whole: memoryview | bytes = b""
        self._there = False
        """Something may lie under the partial's name."""
        self._inner = self._begun(incoming)

    def _begun(self, incoming: Incoming) -> WholeWriter | StreamWriter:
        """The upload; where its folder is missing, that is made and the upload begun again."""
        try:
            found = self._server.begin(self._partial, incoming)
        except NotFound as error:
            self._operations.make_folder(self._place.parent, because=error)
            found = self._server.begin(self._partial, incoming)
        self._there = not isinstance(found, WholeWriter)
        return found

    def write(self, view: memoryview) -> None:
        self._written += len(view)
        if isinstance(self._inner, WholeWriter):
            self._whole = view
        self._inner.write(view)

    def commit(self, digests: tuple[Digest, ...]) -> Receipt:
        self._there = True
        told = self._stored(digests)
        found = self._operations.stat(self._partial)
        if found.size != self._written:
            error = Mismatch(
                f"{self._partial.path}: {self._written} bytes were sent, and the collection has {found.size}"
            )
            error.of_digest = False
            raise error
        read = self._read_back(digests) if self._expected else ()
        self._rename()
        self._there = False
        return Receipt(size=found.size, digests=(*told.digests, *read))

    def _read_back(self, digests: tuple[Digest, ...]) -> tuple[Digest, ...]:
        """The digest of what the collection holds now, which no service of Globus tells. Raises Mismatch for another
        than what was written."""
        from ..checksum.digest import Digest

        reader = self._server.open_read(self._partial, 0, None, None)
        try:
            seen = hashlib.sha256()
            while view := reader.read():
                seen.update(view)
        finally:
            reader.close()
        found = Digest("sha256", seen.digest())
        if found not in digests:
            error = Mismatch(f"{self._partial.path} reads as {found}, which is not what was written")
            error.reach = Reach.ATTEMPT
            raise error
        return (found,)

    def _stored(self, digests: tuple[Digest, ...]) -> Receipt:
        """Ends the upload. A server that told only now that the folder is missing has taken the body for nothing."""
        try:
            return self._inner.commit(digests)
        except NotFound as error:
            self._operations.make_folder(self._place.parent, because=error)
            if not isinstance(self._inner, WholeWriter):
                raise Broken(f"{error.what}; its folder was made now") from None
            return self._server.put(self._partial, self._whole)

    def _rename(self) -> None:
        """Puts the file to its name. Where the collection replaces nothing, the old one goes a moment before."""
        try:
            self._operations.rename(self._partial, self._place)
        except Taken:
            if self._operations.stat(self._place).is_directory:
                raise is_folder(self._place) from None
            self._server.delete(self._place)
            self._operations.rename(self._partial, self._place)

    def abort(self, *, keep: bool = False) -> None:
        self._inner.abort()
        self._whole = b""
        if self._there:
            self._there = False
            self._server.discard(self._partial)

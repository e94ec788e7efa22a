"""Google Cloud Storage on the lean wire: Google's own service or an emulator.

A location's path is `bucket/key`; the key is literal. A folder is nothing but a prefix of keys that ends in `/`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..checksum.codecs import parse_google
from .errors import Changed, LocalRefused, NotFound, ServerFault, TransferError, Unsupported
from .gcs_service import Service, receipt_of, target_of
from .gcs_writer import GcsWriter, cheap_checksum
from .http_visit import content_range
from .values import CopyStep, Entry
from .wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from ..checksum.digest import Digest
    from ..credentials.kinds import Credential
    from .context import Context
    from .exchange import Answer, Fields
    from .gcs_service import Target
    from .gcs_session import Session
    from .locations import Location
    from .values import Incoming, Part, Receipt, Token

_LAST_WORDS_SECONDS: Final = 5.0
"""How long the end of an upload may take after the run was stopped."""


class GcsReader:
    """The bytes of one object, as they are stored."""

    __slots__ = ("_answer", "descriptor", "digests", "mode", "size", "version")

    mode: int | None
    descriptor: int | None
    size: int | None
    version: str | None

    def __init__(self, answer: Answer, size: int | None, digests: tuple[Digest, ...]) -> None:
        self._answer = answer
        self.size = size
        self.version = answer.headers.get("x-goog-generation")
        self.digests = digests
        self.mode = self.descriptor = None

    def read(self) -> memoryview:
        return self._answer.read()

    def close(self) -> None:
        self._answer.close()


class GcsStore:
    """Store and Copier for `gs:`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._wire = Wire(context)
        self._services: dict[Credential, Service] = {}
        self._last: Service | None = None
        """The one that was asked last."""
        self._begun: set[str] = set()
        """Parts that are known to mean something."""

    def open_read(
        self, location: Location, *, start: int = 0, length: int | None = None, version: str | None = None
    ) -> GcsReader:
        target = self._object(location, "read")
        what = f"reading {target.shown}"
        answer = self._get(target, what, start, length, version)
        try:
            if answer.status == 416:
                raise target.service.error(what, answer)
            return _reader(answer, what, start, length, version)
        except TransferError:
            answer.close()
            raise

    def _get(self, target: Target, what: str, start: int, length: int | None, version: str | None) -> Answer:
        query = [("alt", "media")]
        if version is not None:
            query.append(("ifGenerationMatch", version))
        # Otherwise the service unpacks what was stored compressed ("Transcoding of gzip-compressed files").
        fields = [("Accept-Encoding", "gzip"), *target.service.key_fields]
        # The engine asks for a whole object by neither start nor length; an empty range cannot be asked for.
        ranged = bool(start) or length is not None
        if ranged:
            fields.append(("Range", f"bytes={start}-{'' if length is None else start + length - 1}"))
        path = f"/download{target.path}"
        view = self._context.view
        answer = target.service.request(what, "GET", path, query, fields, into=view, also=(416,))
        if answer.status != 416 or start or not ranged:
            return answer
        # Of an empty object there is no first byte.
        answer.read_all()
        return target.service.request(what, "GET", path, query, fields[:-1], into=view)

    def open_write(self, location: Location, incoming: Incoming) -> GcsWriter:
        target = self._object(location, "write")
        if target.key.endswith("/"):
            raise LocalRefused(
                f"writing {target.shown}: the key ends in /, as only folders do",
                remedy="name the file in the destination",
            )
        return GcsWriter(target, self._context, incoming, self._abandon)

    def stat(self, location: Location) -> Entry:
        from .gcs_list import has_below, look_at_bucket

        target = self._target(location, "read")
        if not target.key:
            look_at_bucket(target)
            return Entry("", None, is_directory=True)
        target.check_name()
        if not target.key.endswith("/"):
            return target.look()
        try:
            # Consoles mark a folder by an empty object of this name.
            target.look()
        except NotFound:
            if not has_below(target):
                raise
        return Entry("", None, is_directory=True)

    def list(self, location: Location, *, recursive: bool) -> Iterator[Entry]:
        from .gcs_list import entries

        return entries(self._target(location, "read"), recursive=recursive)

    def make_directory(self, location: Location) -> None:
        from .gcs_list import make_bucket

        make_bucket(self._target(location, "write"))

    def remove(self, location: Location, *, recursive: bool) -> None:
        from .gcs_list import has_below, remove_below, remove_bucket, remove_key

        target = self._target(location, "write")
        target.check_name()
        if target.key.endswith("/") and not recursive and has_below(target):
            raise LocalRefused(
                f"removing {target.shown}: it is a folder with objects in it", remedy="ask for `recursive`"
            )
        if recursive:
            remove_below(target)
        elif target.key:
            remove_key(target, target.key)
        if not target.key:
            remove_bucket(target)

    def digest(self, location: Location, algorithm: str) -> Digest | None:
        found = self._object(location, "read").look().digests
        return next((digest for digest in found if digest.algorithm == algorithm), None)

    # Parts (`gcs_parts.py`)

    def open_parts(self, location: Location, incoming: Incoming, part: int) -> Token:
        from . import gcs_parts

        token = gcs_parts.open_parts(self._object(location, "write"), location, incoming, part)
        if not token.found:
            self._begun.add(token.name)
        return token

    def put_part(
        self, token: Token, number: int, offset: int, view: memoryview, sha256: bytes | None = None
    ) -> Part:
        from . import gcs_parts

        target = self._object(token.location, "write")
        if token.name not in self._begun:
            gcs_parts.insist_on_begun(target, token)
            self._begun.add(token.name)
        return gcs_parts.put_part(target, token, number, view)

    def list_parts(self, token: Token) -> tuple[Part, ...]:
        from . import gcs_parts

        return gcs_parts.list_parts(self._object(token.location, "write"), token)

    def read_back(self, token: Token, offset: int, view: memoryview) -> int:
        raise Unsupported(f"{token.location.shown}: parts are not read back")

    def commit_parts(self, token: Token, parts: tuple[Part, ...], digests: tuple[Digest, ...]) -> Receipt:
        from . import gcs_parts

        receipt = gcs_parts.commit_parts(self._object(token.location, "write"), token, parts)
        self.abort_parts(token)
        return receipt

    def abort_parts(self, token: Token, *, keep: bool = False) -> None:
        from . import gcs_parts

        self._begun.discard(token.name)
        if keep:
            return
        store = GcsStore(self._context.for_last_words(_LAST_WORDS_SECONDS))
        try:
            gcs_parts.remove_parts(store._object(token.location, "write"), token)
        except (TransferError, OSError) as error:
            self._context.log.warning("parts stay under gs://%s/%s: %s", *_shown(token), error)
        finally:
            store.close()

    def copy(self, source: Location, destination: Location, handle: str) -> CopyStep:
        """One call of `rewrite`, which is done at once or gives a token for the next call."""
        there, here = self._object(destination, "write"), self._object(source, "read")
        if not here.service.is_same_as(there.service):
            raise Unsupported(
                f"{here.shown} and {there.shown} are at different services, or of different users"
            )
        query = [("rewriteToken", handle)] if handle else []
        doing = f"copying {here.shown} to"
        keys = there.service.key_fields
        old = [(name.replace("x-goog-", "x-goog-copy-source-"), value) for name, value in keys]
        answer = there.request(doing, "POST", f"{here.path}/rewriteTo{_within(there)}", query, (*keys, *old))
        told = there.document(doing, answer)
        if told.get("done") is True and isinstance(told.get("resource"), dict):
            receipt = receipt_of(told["resource"])
            return CopyStep(receipt, bytes=receipt.size or 0)
        token = told.get("rewriteToken")
        if not isinstance(token, str) or not token:
            raise ServerFault(
                f"{doing} {there.shown}: neither done nor to be continued", host=there.service.host
            )
        moved = str(told.get("totalBytesRewritten", ""))
        return CopyStep(None, token, 0.0, int(moved) if moved.isdecimal() else 0)

    def close(self) -> None:
        self._wire.close()

    def _target(self, location: Location, purpose: str) -> Target:
        credential = self._context.credential(location, purpose)
        service = self._last
        if service is None or service.credential is not credential:
            service = self._services.get(credential)
            if service is None:
                service = self._services[credential] = Service(self._wire, credential)
            self._last = service
        return target_of(service, location.path, location.shown)

    def _object(self, location: Location, purpose: str) -> Target:
        target = self._target(location, purpose)
        if not target.key:
            raise LocalRefused(f"{target.shown} is a bucket, not an object", remedy="add the key to the URL")
        target.check_name()
        return target

    def _abandon(self, session: Session) -> None:
        """Cancels an unfinished upload, over a connection that does not end with the run, within a few seconds."""
        wire = Wire(self._context.for_last_words(_LAST_WORDS_SECONDS))
        try:
            session.cancel(wire)
        finally:
            wire.close()


def _shown(token: Token) -> tuple[str, str]:
    """Bucket and prefix of parts, for people."""
    from ..credentials.redaction import printable

    return printable(token.location.path.partition("/")[0]), printable(token.name)


def _within(target: Target) -> str:
    return target.path.removeprefix("/storage/v1")


def _reader(answer: Answer, what: str, start: int, length: int | None, version: str | None) -> GcsReader:
    """The reader of an answer whose head is what was asked for. Raises Changed, ServerFault and Unsupported."""
    headers = answer.headers
    _check_coding(headers, what)
    if version is not None and headers.get("x-goog-generation") != version:
        raise Changed(f"{what}: it has changed since it was first read")
    size = answer.length
    if answer.status == 206:
        first, last, size = content_range(headers)
        if size is not None and start >= size:
            raise Changed(f"{what}: it has {size} bytes, byte {start} was asked for")
        if first != start or last < first or answer.length not in (None, last - first + 1):
            raise ServerFault(f"{what}: the service sent another range than the one asked for")
    elif start or (length is not None and (size is None or size > length)):
        raise Changed(f"{what}: the service ignored the range that was asked for")
    return GcsReader(answer, size, _told(headers))


def _check_coding(headers: Fields, what: str) -> None:
    """Raises Unsupported for bytes that are not the stored ones: unpacked, or packed, on the way."""
    sent = headers.get("content-encoding") or "identity"
    stored = headers.get("x-goog-stored-content-encoding") or sent
    if sent != stored:
        raise Unsupported(
            f"{what}: stored as {stored[:40]} and sent as {sent[:40]}, so that the bytes are not those of the object",
            remedy="take the Content-Encoding from the object's metadata, or set its Cache-Control to no-transform",
        )


def _told(headers: Fields) -> tuple[Digest, ...]:
    """What the service says of the whole object: the checksum that costs less here, if it is there."""
    found = parse_google(headers.get("x-goog-hash") or "")
    cheap = cheap_checksum()
    return tuple(digest for digest in found if digest.algorithm == cheap) or found

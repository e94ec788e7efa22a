"""S3 on the lean wire: any endpoint, static or temporary keys, no SDK.

A location's path is `bucket/key`; the key is literal. A folder is nothing but a prefix of keys that ends in `/`.
"""

from __future__ import annotations

from ..checksum.digest import Digest
from .errors import Changed, LocalRefused, Misconfigured, NotFound, ServerFault, TransferError, Unsupported
from .s3_parts import S3Writer, Target, finish_upload, send_part
from .s3_service import Service, drained, etag_of, sha256_told
from .values import CopyStep, Entry
from .wire import Wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final

    from ..credentials.kinds import AccessKey, Credential
    from .ahead import Ahead
    from .behind import Behind
    from .context import Context
    from .exchange import Answer
    from .locations import Location
    from .origins import Request
    from .s3_behind import S3Sent
    from .values import Incoming, Part, Receipt, Token

_READING: Final = (("x-amz-checksum-mode", "ENABLED"),)
_LAST_WORDS_SECONDS: Final = 5.0
"""How long an upload's removal may take after the run was stopped."""


class S3Reader:
    """The bytes of one object."""

    __slots__ = ("_answer", "digests", "size", "version")

    mode: int | None = None
    descriptor: int | None = None
    size: int | None
    version: str | None

    def __init__(self, answer: Answer, size: int | None, digests: tuple[Digest, ...]) -> None:
        self._answer = answer
        self.size = size
        self.version = etag_of(answer.headers)
        self.digests = digests

    def read(self) -> memoryview:
        return self._answer.read()

    def close(self) -> None:
        self._answer.close()


class S3Store:
    """Store and Copier for `s3:` and `s3s:`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._wire = Wire(context)
        self._services: dict[tuple[str, AccessKey], Service] = {}
        self._last: tuple[str, AccessKey, Service] | tuple[None, None, None] = (None, None, None)
        """What was used last."""
        self._ahead: Ahead | None = None
        self._behind: Behind | None = None

    def announce(self, locations: Sequence[Location]) -> None:
        if self._ahead is None:
            from .ahead import Ahead

            self._ahead = Ahead(self._context, self._wire, self._asking)
        self._ahead.announce(locations)

    def _asking(self, location: Location) -> Request:
        """The GET of a whole object."""
        service, bucket, key = self._named(location, "read")
        if not key:
            raise _no_object(location)
        return service.asking("GET", bucket, key, fields=_READING)

    def open_read(
        self, location: Location, *, start: int = 0, length: int | None = None, version: str | None = None
    ) -> S3Reader:
        # The engine asks for a whole object by neither start nor length; an empty range cannot be asked for.
        ranged = bool(start) or length is not None
        plain = [("Range", f"bytes={start}-{'' if length is None else start + length - 1}")] if ranged else []
        if version is not None:
            plain.append(("If-Match", version))
        if self._ahead is not None and not plain:
            reader = self._announced(self._ahead, location)
            if reader is not None:
                return reader
        answer = self._asked(location, plain)
        try:
            return _reader(answer, location, start, length, version)
        except TransferError:
            answer.close()
            raise

    def _announced(self, ahead: Ahead, location: Location) -> S3Reader | None:
        """A reader of what was asked for when this read was announced; None when it is to be asked for now."""
        found = ahead.answer(location)
        if found is None:
            return None
        answer = found[1]
        if answer.status != 200:
            answer = self._asked(location, [], answer)
        try:
            return _reader(answer, location, 0, None, None)
        except TransferError:
            # Another one's, perhaps.
            ahead.announce(())
            return None

    def _asked(
        self, location: Location, plain: list[tuple[str, str]], answered: Answer | None = None
    ) -> Answer:
        """The answer to a GET, `answered` being one that has come already, with a status below 300."""
        target = self._object(location, "read")
        answer = target.service.request(
            f"reading {target.shown}",
            "GET",
            target.bucket,
            target.key,
            fields=_READING,
            plain=plain,
            into=self._context.view,
            answered=answered,
        )
        if self._ahead is not None and answered is None and not plain:
            self._ahead.learn(target.service.place(target.bucket).origin, None, answer)
        return answer

    def open_write(self, location: Location, incoming: Incoming) -> S3Writer:
        return S3Writer(self._to_write(location), self._context, incoming, self._abandon)

    def send(self, location: Location, incoming: Incoming, view: memoryview) -> S3Sent | None:
        if self._behind is None:
            from .behind import Behind

            self._behind = Behind(self._context, self._wire)
        from .s3_behind import send

        assert incoming.sha256 is not None
        return send(self._behind, self._to_write(location), incoming.sha256, view)

    def _to_write(self, location: Location) -> Target:
        target = self._object(location, "write")
        if target.key.endswith("/"):
            raise LocalRefused(
                f"writing {target.shown}: the key ends in /, as only folders do",
                remedy="name the file in the destination",
            )
        return target

    def open_parts(self, location: Location, incoming: Incoming, part: int) -> Token:
        from .s3_multipart import open_parts

        return open_parts(self._to_write(location), location, incoming, part)

    def put_part(
        self, token: Token, number: int, offset: int, view: memoryview, sha256: bytes | None = None
    ) -> Part:
        return send_part(self._object(token.location, "write"), token.name, number, view, sha256)

    def list_parts(self, token: Token) -> tuple[Part, ...]:
        from .s3_multipart import list_parts

        return list_parts(self._object(token.location, "write"), token)

    def read_back(self, token: Token, offset: int, view: memoryview) -> int:
        raise Unsupported("S3 does not give back the parts of an unfinished upload")

    def commit_parts(self, token: Token, parts: tuple[Part, ...], digests: tuple[Digest, ...]) -> Receipt:
        target = self._object(token.location, "write")
        return target.published(finish_upload(target, token.name, parts))

    def abort_parts(self, token: Token, *, keep: bool = False) -> None:
        if keep:
            return
        try:
            self._abandon(self._object(token.location, "write"), token.name)
        except (TransferError, OSError) as error:
            self._context.log.debug("an unfinished upload stays at %s: %s", token.location.shown, error)

    def stat(self, location: Location) -> Entry:
        target = self._target(location, "read")
        if not target.key:
            drained(target.request("looking at", "HEAD"))
            return Entry("", None, is_directory=True)
        if not target.key.endswith("/"):
            return target.head()
        try:
            # Consoles and file gateways mark a folder by an empty object of this name.
            target.head()
        except NotFound:
            if not self._has_below(target):
                raise
        return Entry("", None, is_directory=True)

    def list(self, location: Location, *, recursive: bool) -> Iterator[Entry]:
        from .s3_list import entries

        return entries(self._target(location, "read"), recursive=recursive)

    def make_directory(self, location: Location) -> None:
        from .s3_list import make_bucket

        make_bucket(self._target(location, "write"))

    def remove(self, location: Location, *, recursive: bool) -> None:
        from .s3_list import remove_below, remove_bucket, remove_key

        target = self._target(location, "write")
        if target.key.endswith("/") and not recursive and self._has_below(target):
            raise LocalRefused(
                f"removing {target.shown}: it is a folder with objects in it", remedy="ask for `recursive`"
            )
        if recursive:
            remove_below(target)
        elif target.key:
            remove_key(target)
        if not target.key:
            remove_bucket(target)

    def digest(self, location: Location, algorithm: str) -> Digest | None:
        found = self._object(location, "read").head().digests
        return next((digest for digest in found if digest.algorithm == algorithm), None)

    def copy(self, source: Location, destination: Location, handle: str) -> CopyStep:
        from .s3_copy import copy_step

        there = self._object(destination, "write")
        here = self._object(source, "read")
        if not here.service.is_same_as(there.service):
            raise Unsupported(
                f"{here.shown} and {there.shown} are at different services, or of different users"
            )
        return copy_step(here, there, handle)

    def close(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
        if self._behind is not None:
            self._behind.close()
        self._wire.close()

    def _target(self, location: Location, purpose: str) -> Target:
        return Target(*self._named(location, purpose), location)

    def _named(self, location: Location, purpose: str) -> tuple[Service, str, str]:
        """The service, the bucket and the key."""
        bucket, _, key = location.path.partition("/")
        if not bucket:
            raise Misconfigured(f"{location.shown} names no bucket", remedy="write s3://bucket/key")
        credential = self._context.credential(location, purpose)
        scheme, last, service = self._last
        if service is None or credential is not last or location.scheme != scheme:
            service = self._service(location.scheme, _access_key(location, credential))
        return service, bucket, key

    def _service(self, scheme: str, credential: AccessKey) -> Service:
        service = self._services.get((scheme, credential))
        if service is None:
            service = Service(self._wire, credential, insist_on_tls=scheme == "s3s")
            self._services[scheme, credential] = service
        # Comparing keys costs more than signing with one.
        self._last = (scheme, credential, service)
        return service

    def _object(self, location: Location, purpose: str) -> Target:
        target = self._target(location, purpose)
        if not target.key:
            raise _no_object(location)
        return target

    def _has_below(self, target: Target) -> bool:
        from .s3_list import has_below

        return has_below(target)

    def _abandon(self, target: Target, upload: str) -> None:
        """Removes an unfinished upload, over a connection that does not end with the run, within a few seconds."""
        wire = Wire(self._context.for_last_words(_LAST_WORDS_SECONDS))
        try:
            service = Service(wire, target.service.credential, insist_on_tls=False)
            again = Target(service, target.bucket, target.key, target.location)
            drained(again.request("abandoning", "DELETE", (("uploadId", upload),)))
        finally:
            wire.close()


def _no_object(location: Location) -> LocalRefused:
    return LocalRefused(f"{location.shown} is a bucket, not an object", remedy="add the key to the URL")


def _access_key(location: Location, credential: Credential) -> AccessKey:
    from ..credentials.kinds import AccessKey

    if not isinstance(credential, AccessKey):
        raise Misconfigured(
            f"{location.shown} needs an access key, not {credential.name} ({credential.kind})",
            remedy="configure access_key and secret_key for this site",
        )
    return credential


def _reader(
    answer: Answer, location: Location, start: int, length: int | None, version: str | None
) -> S3Reader:
    """The reader of an answer whose head is what was asked for. Raises Changed."""
    headers = answer.headers
    if version is not None and etag_of(headers) != version:
        raise Changed(f"{_reading(location)}: it has changed since it was first read")
    size = answer.length
    given = headers.values.get("content-range")
    if given is not None:
        first, size = _content_range(given, _reading(location))
        if first != start:
            raise Changed(f"{_reading(location)}: the server sends from byte {first}, not from {start}")
        if size is None or (not start and length is None and answer.length != size):
            raise ServerFault(f"{_reading(location)}: a part was sent where the whole was asked for")
    elif start or (length is not None and (size is None or size > length)):
        raise Changed(f"{_reading(location)}: the server ignored the range that was asked for")
    if size is None:
        raise ServerFault(
            f"{_reading(location)}: the server does not tell the object's size, so that nobody knows if all came"
        )
    value = sha256_told(headers) if given is None else None
    return S3Reader(answer, size, (Digest("sha256", value),) if value else ())


def _reading(location: Location) -> str:
    """What is being done, for people."""
    return f"reading {location.shown}"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 18


def _content_range(text: str, what: str) -> tuple[int, int | None]:
    """First byte and size of the whole, of a Content-Range (RFC 9110, 14.4). Raises ServerFault."""
    unit, _, rest = text.partition(" ")
    span, _, whole = rest.partition("/")
    first = span.partition("-")[0]
    if unit.lower() != "bytes" or not _is_number(first) or not (_is_number(whole) or whole == "*"):
        raise ServerFault(f"{what}: the server sent a Content-Range that makes no sense")
    return int(first), int(whole) if whole != "*" else None

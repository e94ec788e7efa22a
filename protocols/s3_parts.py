"""Writing an object to S3: what fits one part goes in one PUT at commit, anything longer part by part.

Either way nothing is visible before `commit`. The digest that signs a request is computed once: one PUT is signed with
the digest that the engine has anyway; parts are signed with their own over plain HTTP and with none over TLS.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

from ..checksum.digest import Digest
from .errors import Broken, Denied, ServerFault, TransferError, Unsupported
from .s3_errors import fault_error
from .s3_service import drained, etag_of, sha256_told, size_of, verifies
from .s3_xml import NotXml, complete_upload, fault_in, name_of, parse, text_of
from .statuses import seconds_of_date
from .values import Entry, Part, Receipt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final
    from xml.etree.ElementTree import Element

    from .context import Context
    from .exchange import Answer, Fields
    from .locations import Location
    from .s3_service import Service
    from .values import Incoming

    _Pairs = Sequence[tuple[str, str]]

PART_BYTES: Final = 8 << 20
PARTS_MOST: Final = 10_000
"""A limit of the protocol, as are 5 GiB a part and 5 MiB for all but the last."""
_GROWS_EVERY: Final = 1000
"""Parts of an unknown number of bytes double so often: 10,000 of them hold 8 TiB."""
_MEBIBYTE: Final = 1 << 20
_ANSWER_MOST: Final = 4 << 20


class Target:
    """One object at one service."""

    __slots__ = ("bucket", "key", "location", "service")

    def __init__(self, service: Service, bucket: str, key: str, location: Location) -> None:
        self.service = service
        self.bucket = bucket
        self.key = key
        self.location = location

    @property
    def shown(self) -> str:
        """The object's URL for people. It costs more than signing: ask for it when something is to be said."""
        return self.location.shown

    def request(
        self,
        doing: str,
        method: str,
        query: _Pairs = (),
        fields: _Pairs = (),
        body: bytes | memoryview | None = None,
        *,
        payload: str | None = None,
    ) -> Answer:
        """The answer to a request about this object. Without `payload` the body is hashed to sign it."""
        if payload is None:
            payload = sha256(body or b"").hexdigest()
        return self.service.request(
            f"{doing} {self.shown}", method, self.bucket, self.key, query, fields, body, payload=payload
        )

    def document(self, doing: str, answer: Answer, expected: str) -> Element:
        """The root of an answer that must be this document: a 200 may hold an error, found out after it was sent."""
        status, headers = answer.status, answer.headers
        what, host = f"{doing} {self.shown}", self.service.host
        try:
            root = parse(answer.read_all(_ANSWER_MOST).strip())
        except NotXml as error:
            raise ServerFault(f"{what}: {error}", host=host) from None
        fault = fault_in(root)
        if fault.code:
            raise fault_error(what, status, fault, headers, host, self.service.credential)
        if name_of(root) != expected:
            raise ServerFault(f"{what}: the answer is a {name_of(root)[:40]!r}, not {expected}", host=host)
        return root

    def head(self) -> Entry:
        """What the service says of the object; its digest only from services that are known to check what they tell."""
        doing = "looking at"
        answer = self.request(doing, "HEAD", fields=(("x-amz-checksum-mode", "ENABLED"),))
        headers = drained(answer)
        value = sha256_told(headers) if verifies(headers) else None
        return Entry(
            "",
            size_of(headers, f"{doing} {self.shown}", self.service.host),
            etag_of(headers),
            False,
            seconds_of_date(headers.get("last-modified") or ""),
            (Digest("sha256", value),) if value else (),
        )

    def published(self, etag: str | None) -> Receipt:
        """The receipt of an object that was put together from parts: what HEAD says of it."""
        try:
            entry = self.head()
        except Denied:
            # A key that may write and not read: nobody can tell more than that the service took it.
            return Receipt(None, etag)
        return Receipt(entry.size, entry.version or etag, entry.digests)


class S3Writer:
    """One object being written."""

    algorithms: tuple[str, ...] = ()
    descriptor: int | None = None

    def __init__(
        self, target: Target, context: Context, incoming: Incoming, abandon: Callable[[Target, str], None]
    ) -> None:
        """`abandon` removes an unfinished upload, also when the run was stopped."""
        self._target = target
        self._context = context
        self._incoming = incoming
        self._abandon = abandon
        self._whole: memoryview | None = None
        self._buffer: memoryview | None = None
        self._filled = 0
        self._part_bytes = part_bytes(incoming.size, 0)
        self._upload = ""
        self._parts: list[Part] = []

    def write(self, view: memoryview) -> None:
        known = self._incoming.sha256 is not None and not self._filled and self._whole is None
        if known and self._incoming.size in (None, len(view)):
            self._whole = view
            return
        while view:
            if self._filled == self._part_bytes:
                self._send_part()
            if self._buffer is None:
                self._buffer = self._context.part_buffer(self._part_bytes)
            count = min(len(view), self._part_bytes - self._filled)
            self._buffer[self._filled : self._filled + count] = view[:count]
            self._filled += count
            view = view[count:]

    def commit(self, digests: tuple[Digest, ...]) -> Receipt:
        if not self._upload:
            return self._put(digests)
        if self._filled:
            self._send_part()
        return self._complete()

    def abort(self, *, keep: bool = False) -> None:
        upload, self._upload = self._upload, ""
        if not upload:
            return
        try:
            self._abandon(self._target, upload)
        except (TransferError, OSError) as error:
            self._context.log.debug("an unfinished upload stays at %s: %s", self._target.shown, error)

    # One PUT

    def _put(self, digests: tuple[Digest, ...]) -> Receipt:
        body = self._whole if self._whole is not None else self._held()
        known = {digest.algorithm: digest.value for digest in digests}
        value = self._incoming.sha256 or known.get("sha256") or sha256(body).digest()
        checksum = b64encode(value).decode("ascii")

        def send(checksums: bool) -> Answer:
            fields = (("x-amz-checksum-sha256", checksum),) if checksums else ()
            return self._target.request("writing", "PUT", (), fields, body, payload=value.hex())

        headers = drained(_with_checksums(self._target.service, send))
        return receipt_of(self._target, headers, value, known.get("md5"))

    # Parts

    def _held(self) -> memoryview:
        return self._buffer[: self._filled] if self._buffer is not None else memoryview(b"")

    def _send_part(self) -> None:
        if not self._upload:
            self._upload = start_upload(self._target)
        self._parts.append(send_part(self._target, self._upload, len(self._parts), self._held()))
        self._filled = 0
        size = part_bytes(self._incoming.size, len(self._parts))
        if size != self._part_bytes:
            self._part_bytes, self._buffer = size, None

    def _complete(self) -> Receipt:
        etag = finish_upload(self._target, self._upload, self._parts)
        self._upload = ""
        return self._target.published(etag)


def receipt_of(target: Target, headers: Fields, value: bytes, md5: bytes | None) -> Receipt:
    """What the answer to one PUT says. `value` is the SHA-256 of what was sent, whose echo counts from services that check it."""
    found: list[Digest] = []
    told = sha256_told(headers)
    if told is not None and told != value:
        raise Broken(
            f"writing {target.shown}: the service has another SHA-256 than what was sent",
            host=target.service.host,
        )
    if told is not None and verifies(headers):
        found.append(Digest("sha256", told))
    etag = etag_of(headers)
    if md5 is not None and etag is not None and etag.strip('"').lower() == md5.hex():
        # Not every ETag is an MD5, so a different one proves nothing.
        found.append(Digest("md5", md5))
    return Receipt(None, etag, tuple(found))


def part_bytes(size: int | None, number: int) -> int:
    """Bytes of part `number`, counted from 0: such that PARTS_MOST of them suffice."""
    if size is None:
        return PART_BYTES << min(number // _GROWS_EVERY, 9)
    least = -(-size // PARTS_MOST)
    return max(PART_BYTES, -(-least // _MEBIBYTE) * _MEBIBYTE)


def send_part(
    target: Target, upload: str, number: int, body: memoryview, sha256: bytes | None = None
) -> Part:
    """Sends a part, numbered from 0. Over plain HTTP it carries its SHA-256, which is known because it signs the part."""
    service = target.service
    payload = sha256.hex() if sha256 is not None else service.payload_of(body)
    value = bytes.fromhex(payload) if not service.tls else b""
    checksum = b64encode(value).decode("ascii")
    query = (("partNumber", str(number + 1)), ("uploadId", upload))

    def send(checked: bool) -> Answer:
        fields = (("x-amz-checksum-sha256", checksum),) if checked and checksum else ()
        return target.request("writing a part of", "PUT", query, fields, body, payload=payload)

    headers = drained(_with_checksums(service, send))
    etag = headers.get("etag")
    echoed = headers.get("x-amz-checksum-sha256")
    if not etag or (checksum and echoed and echoed != checksum):
        told = "with another SHA-256 than what was sent" if etag else "without an ETag"
        raise Broken(f"writing {target.shown}: part {number + 1} was taken {told}")
    checked = (Digest("sha256", value),) if value and service.sends_checksums else ()
    return Part(number, len(body), etag, checked)


def start_upload(target: Target, *, checksums: bool = True) -> str:
    """The id of a new multipart upload; with `checksums` and over plain HTTP one whose parts carry SHA-256, if the service
    knows that."""

    def send(checked: bool) -> Answer:
        fields = (("x-amz-checksum-algorithm", "SHA256"),) if checked else ()
        return target.request("beginning to write", "POST", (("uploads", ""),), fields)

    answer = _with_checksums(target.service, send) if checksums and not target.service.tls else send(False)
    root = target.document("beginning to write", answer, "InitiateMultipartUploadResult")
    upload = text_of(root, "UploadId")
    if not upload:
        raise ServerFault(
            f"beginning to write {target.shown}: the answer has no UploadId", host=target.service.host
        )
    return upload


def finish_upload(target: Target, upload: str, parts: Sequence[Part]) -> str | None:
    """Publishes the parts as one object and returns its ETag, where the service tells it."""
    doing = "completing"
    told = [(part.mark, _sha256_of(part)) for part in parts]
    answer = target.request(doing, "POST", (("uploadId", upload),), (), complete_upload(told))
    root = target.document(doing, answer, "CompleteMultipartUploadResult")
    return text_of(root, "ETag") or None


def _sha256_of(part: Part) -> str:
    return next((digest.base64 for digest in part.digests if digest.algorithm == "sha256"), "")


def _with_checksums(service: Service, send: Callable[[bool], Answer]) -> Answer:
    """The answer to `send`, which is told whether to use checksum fields: not after a service refused them."""
    if not service.sends_checksums:
        return send(False)
    try:
        return send(True)
    except Unsupported:
        answer = send(False)
        service.sends_checksums = False
        return answer

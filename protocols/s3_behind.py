"""Small objects that are sent to S3 one behind the other (`behind.py`)."""

from __future__ import annotations

from base64 import b64encode

from .errors import TransferError, Undone
from .s3_errors import fault_error
from .s3_parts import receipt_of
from .s3_service import sha256_told
from .s3_xml import parse_fault
from .tolerance import SMALL, names_a_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..checksum.digest import Digest
    from .behind import Behind, Sent, Told
    from .s3_parts import Target
    from .values import Receipt


def send(behind: Behind, target: Target, value: bytes, view: memoryview) -> S3Sent | None:
    """Sends an object with the SHA-256 `value`; None where it had better go by itself."""
    if len(view) > SMALL:
        return None
    service = target.service
    checksum = b64encode(value).decode("ascii")
    fields = (("x-amz-checksum-sha256", checksum),) if service.sends_checksums else ()
    request = service.asking("PUT", target.bucket, target.key, (), fields, value.hex())
    sent = behind.send(request, view)
    return S3Sent(target, sent, value) if sent is not None else None


class S3Sent:
    """An object that was sent whole. Its `commit` learns what became of it."""

    __slots__ = ("_sent", "_target", "_value")

    algorithms: tuple[str, ...] = ()
    descriptor: int | None = None

    def __init__(self, target: Target, sent: Sent, value: bytes) -> None:
        self._target, self._sent, self._value = target, sent, value

    def write(self, view: memoryview) -> None:
        raise ValueError("it has been sent")

    def commit(self, digests: tuple[Digest, ...]) -> Receipt:
        told = self._sent.answer()
        if told is None:
            raise self._undone()
        if told.status >= 300:
            # The order alone tells whose refusal it is.
            raise self._refused(told) if names_a_time(told.status, told.headers) else self._undone()
        if not told.sure and sha256_told(told.headers) != self._value:
            raise self._undone()
        md5 = next((digest.value for digest in digests if digest.algorithm == "md5"), None)
        return receipt_of(self._target, told.headers, self._value, md5)

    def _undone(self) -> Undone:
        return Undone(
            f"writing {self._target.shown}: nothing certain came back", host=self._target.service.host
        )

    def _refused(self, told: Told) -> TransferError:
        service, fault = self._target.service, parse_fault(told.body)
        what = f"writing {self._target.shown}"
        return fault_error(what, told.status, fault, told.headers, service.host, service.credential)

    def abort(self, *, keep: bool = False) -> None:
        """Nothing: what was sent whole cannot be taken back."""

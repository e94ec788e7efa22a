"""One resumable upload: its session, chunk after chunk, the question how far it is, and its end.

After "Resumable uploads" of the Cloud Storage documentation. Whoever knows the session's URL can write, so that it is never shown.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .errors import Broken, Denied, Misconfigured, NotFound, ServerFault, TransferError, Unreachable
from .gcs_errors import SessionGone, fault_error, fault_of
from .gcs_service import JSON_TYPE, RESOURCE, document_of
from .wire import origin_of

if TYPE_CHECKING:
    from typing import Any, Final

    from .exchange import Answer
    from .gcs_service import Target
    from .origins import Origin
    from .wire import Wire

_RANGE = re.compile(r"bytes=0-([0-9]{1,18})")
_INCOMPLETE: Final = 308
UPLOAD_TYPE: Final = "application/octet-stream"
NO_BUCKET: Final = "create the bucket first (a mkdir request does), or check its name"


class Session:
    """Bytes of one object on their way. Nothing is visible before the last chunk."""

    def __init__(self, target: Target, origin: Origin, where: str) -> None:
        self._target = target
        self._wire = target.service.wire
        self._origin = origin
        self._where = where
        self.sent = 0
        """Bytes that the service has stored."""

    def chunk(self, view: memoryview) -> None:
        """Sends bytes that are not the last: a multiple of 256 KiB."""
        resource = self._sent(view, last=False, checksum="")
        if resource is not None:
            raise self._senseless("it says that all is there before the last chunk was sent")

    def finish(self, view: memoryview, checksum: str) -> dict[str, Any]:
        """Sends the last bytes, at least one, and publishes the object: its resource.

        `checksum` is the value of an `x-goog-hash`: the service compares it with all bytes before it publishes them.
        """
        resource = self._sent(view, last=True, checksum=checksum)
        assert resource is not None
        return resource

    def cancel(self, wire: Wire) -> None:
        """Ends it, over another wire than its own. The service says 499, or that it does not know it."""
        self._exchange("DELETE", (), b"", wire).read_all()

    def _sent(self, view: memoryview, *, last: bool, checksum: str) -> dict[str, Any] | None:
        """The finished object, or None when all of `view` is stored. Goes on once where the connection broke."""
        start, stop = self.sent, self.sent + len(view)
        total = stop if last else None
        cut = False
        while True:
            before, asked = self.sent, False
            try:
                answer = self._put(view[before - start :], total, checksum)
            except (Broken, Unreachable):
                if cut:
                    raise
                cut = asked = True
                answer = self._ask(total)
            if answer.status != _INCOMPLETE:
                return self._resource(answer, checksum)
            self._learn(answer, start, stop)
            if self.sent == stop and not last:
                return None
            if self.sent > before:
                cut = False
            elif not asked:
                raise self._senseless("it stores none of the bytes that it is sent")

    def _put(self, view: memoryview, total: int | None, checksum: str) -> Answer:
        """Sends the bytes from `sent` on. Where all are there already only the total is told."""
        end = "*" if total is None else str(total)
        span = f"{self.sent}-{self.sent + len(view) - 1}" if view else "*"
        fields = [("Content-Range", f"bytes {span}/{end}"), *self._target.service.key_fields]
        if checksum:
            fields.append(("x-goog-hash", checksum))
        return self._exchange("PUT", fields, view)

    def _ask(self, total: int | None) -> Answer:
        """How far it is: 308 with a Range, or the finished object."""
        field = ("Content-Range", f"bytes */{'*' if total is None else total}")
        return self._exchange("PUT", (field,), b"")

    def _learn(self, answer: Answer, start: int, stop: int) -> None:
        """Takes over how many bytes are stored: those from the first on that the Range tells; without one there are none."""
        text = answer.headers.get("range")
        answer.read_all()
        match = _RANGE.fullmatch(text.strip()) if text else None
        if text and match is None:
            raise self._senseless("its Range cannot be understood")
        stored = int(match[1]) + 1 if match else 0
        if not start <= stored <= stop:
            raise self._senseless(f"it has {stored} bytes where {start} to {stop} were sent")
        self.sent = stored

    def _resource(self, answer: Answer, checksum: str) -> dict[str, Any]:
        what = f"writing {self._target.shown}"
        if answer.status in (200, 201):
            return document_of(what, answer, self._origin.authority)
        if answer.status == 404:
            answer.read_all()
            raise SessionGone(
                f"{what}: the service knows nothing of the upload any more", host=self._origin.authority
            )
        raise refusal(self._target, answer, checksum)

    def _exchange(
        self, method: str, fields: Any, body: memoryview | bytes, wire: Wire | None = None
    ) -> Answer:
        try:
            return (wire or self._wire).exchange(method, self._origin, self._where, fields, body)
        except TransferError as error:
            # The text of a failed connection names the URL.
            why = error.what.partition(": ")[2] or "the connection failed"
            text = f"writing {self._target.shown}: {why}"
            raise type(error)(text, host=error.host, remedy=error.remedy) from error.__cause__

    def _senseless(self, why: str) -> ServerFault:
        text = f"writing {self._target.shown}: the service made nonsense of the upload: {why}"
        return ServerFault(text, host=self._origin.authority)


def start_session(target: Target, size: int | None) -> Session:
    """A new session for an object that nobody else replaces meanwhile: the last chunk of the second of two is refused."""
    service, doing = target.service, "beginning to write"
    query = [("uploadType", "resumable"), ("name", target.key), ("fields", RESOURCE)]
    generation = generation_of(target)
    if generation:
        query.append(("ifGenerationMatch", generation))
    fields = [JSON_TYPE, ("X-Upload-Content-Type", UPLOAD_TYPE)]
    if size is not None:
        fields.append(("X-Upload-Content-Length", str(size)))
    fields += service.key_fields
    try:
        answer = target.request(doing, "POST", target.upload_path, query, fields, b"{}")
    except NotFound as error:
        error.remedy = NO_BUCKET
        raise
    where = answer.headers.get("location") or ""
    answer.read_all()
    if not where:
        raise ServerFault(f"{doing} {target.shown}: the answer names no session", host=service.host)
    origin, path = origin_of(where)
    if service.key_fields and origin != service.origin and not _are_google_s(origin, service.origin):
        raise Misconfigured(
            f"{doing} {target.shown}: the service leads to {origin.authority}, which is not told the encryption key",
            host=service.host,
        )
    if service.origin.tls and not origin.tls:
        raise Misconfigured(
            f"{doing} {target.shown}: the service wants the bytes without TLS", host=service.host
        )
    return Session(target, origin, path)


def _are_google_s(*origins: Origin) -> bool:
    return all(origin.tls and origin.host.endswith(".googleapis.com") for origin in origins)


def generation_of(target: Target) -> str:
    """That of what is there now; `0` for nothing, empty where this credential may not look."""
    try:
        return target.look().version or ""
    except NotFound:
        return "0"
    except Denied:
        return ""


def refusal(target: Target, answer: Answer, checksum: str) -> TransferError:
    """What an answer to bytes means that is no success. `checksum` is what the service was told of them."""
    service = target.service
    what = f"writing {target.shown}"
    fault = fault_of(answer)
    # No reason tells this case, but the text repeats the value that was sent.
    values = [part.partition("=")[2] for part in checksum.split(",") if part]
    if answer.status in (400, 412) and any(value in fault.message for value in values):
        return Broken(
            f"{what}: the service received other bytes than were sent ({answer.status})",
            host=service.host,
            remedy="run again; if it keeps happening, look for what alters bytes on the way to the service",
        )
    return fault_error(what, answer, fault, service.host, service.presented)

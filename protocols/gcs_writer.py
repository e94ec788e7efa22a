"""Writing an object to Cloud Storage: what fits one chunk goes in one request at commit, anything longer in a resumable upload.

Either way nothing is visible before `commit`: the last bytes of an upload are held back until then.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from ..checksum.codecs import format_google
from ..checksum.crc import is_fast
from .errors import NotFound, TransferError
from .gcs_service import JSON_TYPE, RESOURCE, document_of, receipt_of
from .gcs_session import NO_BUCKET, UPLOAD_TYPE, refusal, start_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from ..checksum.digest import Digest
    from .context import Context
    from .gcs_service import Target
    from .gcs_session import Session
    from .values import Incoming, Receipt

CHUNK_BYTES: Final = 8 << 20
"""A multiple of 256 KiB; what the service's documentation advises at least."""
_JOINED_MOST: Final = 1 << 20
"""Smaller bodies are sent in one piece."""
_NAMES: Final = {"crc32c": "crc32c", "md5": "md5Hash"}


def cheap_checksum() -> str:
    """The checksum of the service that costs less here."""
    return "crc32c" if is_fast("crc32c") else "md5"


class GcsWriter:
    """One object being written."""

    descriptor: int | None = None

    def __init__(
        self, target: Target, context: Context, incoming: Incoming, abandon: Callable[[Session], None]
    ) -> None:
        """`abandon` cancels an unfinished upload, also when the run was stopped."""
        self.algorithms: tuple[str, ...] = (cheap_checksum(),)
        self._target = target
        self._context = context
        self._incoming = incoming
        self._abandon = abandon
        self._whole: memoryview | None = None
        self._buffer: memoryview | None = None
        self._filled = 0
        self._session: Session | None = None

    def write(self, view: memoryview) -> None:
        known = self._incoming.sha256 is not None and not self._filled and self._whole is None
        if known and self._incoming.size in (None, len(view)):
            self._whole = view
            return
        while view:
            if self._filled == CHUNK_BYTES:
                self._send_chunk()
            if self._buffer is None:
                self._buffer = self._context.part_buffer(CHUNK_BYTES)
            count = min(len(view), CHUNK_BYTES - self._filled)
            self._buffer[self._filled : self._filled + count] = view[:count]
            self._filled += count
            view = view[count:]

    def commit(self, digests: tuple[Digest, ...]) -> Receipt:
        told = tuple(digest for digest in digests if digest.algorithm in _NAMES)
        if self._session is None:
            return self._put(told)
        resource = self._session.finish(self._held(), format_google(told))
        self._session = None
        return receipt_of(resource)

    def abort(self, *, keep: bool = False) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        try:
            self._abandon(session)
        except (TransferError, OSError) as error:
            self._context.log.debug("an unfinished upload stays at %s: %s", self._target.shown, error)

    def _held(self) -> memoryview:
        return self._buffer[: self._filled] if self._buffer is not None else memoryview(b"")

    def _send_chunk(self) -> None:
        if self._session is None:
            self._session = start_session(self._target, self._incoming.size)
        self._session.chunk(self._held())
        self._filled = 0

    def _put(self, digests: tuple[Digest, ...]) -> Receipt:
        content = self._whole if self._whole is not None else self._held()
        return receipt_of(put_object(self._target, content, digests))


def put_object(target: Target, content: memoryview, digests: tuple[Digest, ...]) -> dict[str, Any]:
    """The resource of an object that was stored by one request (`multipart/related`, RFC 2387).

    It carries the checksums, and the service refuses bytes that have others.
    """
    about: dict[str, Any] = {"name": target.key, "contentType": UPLOAD_TYPE}
    about.update((_NAMES[digest.algorithm], digest.base64) for digest in digests)
    kind, body = _related(about, content)
    what = f"writing {target.shown}"
    query = (("uploadType", "multipart"), ("fields", RESOURCE))
    fields = (kind, *target.service.key_fields)
    try:
        answer = target.service.request(
            what, "POST", target.upload_path, query, fields, body, also=(400, 412)
        )
    except NotFound as error:
        error.remedy = NO_BUCKET
        raise
    if answer.status >= 300:
        raise refusal(target, answer, format_google(digests))
    return document_of(what, answer, target.service.host)


def _related(
    about: dict[str, Any], content: memoryview
) -> tuple[tuple[str, str], bytes | tuple[bytes | memoryview, ...]]:
    """The Content-Type and the body of a request of two parts."""
    # Nobody can have put a boundary of 128 random bits into the content.
    boundary = os.urandom(16).hex()
    head = (
        f"--{boundary}\r\n{JSON_TYPE[0]}: {JSON_TYPE[1]}\r\n\r\n{json.dumps(about)}\r\n"
        f"--{boundary}\r\nContent-Type: {UPLOAD_TYPE}\r\n\r\n"
    ).encode()
    tail = f"\r\n--{boundary}--\r\n".encode()
    pieces = (head, content, tail)
    body = b"".join(pieces) if len(content) <= _JOINED_MOST else pieces
    return ("Content-Type", f"multipart/related; boundary={boundary}"), body

"""Copying inside one S3 service: CopyObject up to 5 GiB, above it one UploadPartCopy a step."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from .errors import Broken, Changed, NotFound, TransferError
from .s3_parts import PARTS_MOST, finish_upload, start_upload
from .s3_service import drained
from .s3_xml import text_of
from .sigv4 import quote_key
from .values import CopyStep, Part, Receipt

if TYPE_CHECKING:
    from typing import Final

    from .s3_parts import Target

ONE_COPY_MOST: Final = 5 << 30
_PART: Final = 512 << 20


def copy_step(
    source: Target, destination: Target, handle: str, *, most: int = ONE_COPY_MOST, part: int = _PART
) -> CopyStep:
    """One step, each a request that can take minutes on the server. `handle` is the JSON of an upload in progress.

    More than `most` bytes are copied in pieces of `part`. An error ends the upload. Raises Changed when the source is
    not what it was at the first step.
    """
    if not handle:
        return _first(source, destination, most)
    state = _Upload.from_json(handle)
    try:
        return state.next(source, destination, part)
    except TransferError:
        state.abandon(destination)
        raise


def _first(source: Target, destination: Target, most: int) -> CopyStep:
    entry = source.head()
    size = entry.size or 0
    if size > most:
        upload = start_upload(destination, checksums=False)
        return CopyStep(None, _Upload(upload, size, entry.version or "", []).to_json())
    doing = f"copying {source.shown} to"
    answer = destination.request(doing, "PUT", (), _source_fields(source, entry.version or ""))
    root = destination.document(doing, answer, "CopyObjectResult")
    return CopyStep(Receipt(None, text_of(root, "ETag") or None), bytes=size)


def _source_fields(source: Target, version: str) -> tuple[tuple[str, str], ...]:
    fields = (("x-amz-copy-source", f"/{quote_key(source.bucket)}/{quote_key(source.key)}"),)
    return (*fields, ("x-amz-copy-source-if-match", version)) if version else fields


class _Upload:
    """A copy in parts, as far as it is."""

    __slots__ = ("_etags", "_id", "_size", "_version")

    def __init__(self, upload: str, size: int, version: str, etags: list[str]) -> None:
        self._id = upload
        self._size = size
        self._version = version
        self._etags = etags

    @classmethod
    def from_json(cls, text: str) -> _Upload:
        state = json.loads(text)
        return cls(state["upload"], state["size"], state["version"], state["etags"])

    def to_json(self) -> str:
        state = {"upload": self._id, "size": self._size, "version": self._version, "etags": self._etags}
        return json.dumps(state, separators=(",", ":"))

    def next(self, source: Target, destination: Target, part: int) -> CopyStep:
        length = max(part, -(-self._size // PARTS_MOST))
        start = len(self._etags) * length
        if start >= self._size:
            etag = finish_upload(destination, self._id, [Part(0, 0, etag) for etag in self._etags])
            return CopyStep(destination.published(etag), bytes=self._size)
        stop = min(start + length, self._size)
        self._etags.append(self._copy_part(source, destination, start, stop))
        return CopyStep(None, self.to_json(), 0.0, stop)

    def _copy_part(self, source: Target, destination: Target, start: int, stop: int) -> str:
        query = (("partNumber", str(len(self._etags) + 1)), ("uploadId", self._id))
        ranged = ("x-amz-copy-source-range", f"bytes={start}-{stop - 1}")
        fields = (*_source_fields(source, self._version), ranged)
        doing = f"copying a part of {source.shown} to"
        try:
            answer = destination.request(doing, "PUT", query, fields)
        except NotFound as error:
            raise Changed(f"{error.what}: it was there at the first part", host=error.host) from None
        etag = text_of(destination.document(doing, answer, "CopyPartResult"), "ETag")
        if not etag:
            raise Broken(f"{doing} {destination.shown}: the answer has no ETag")
        return etag

    def abandon(self, destination: Target) -> None:
        # The first error is the one that people need.
        with suppress(TransferError):
            drained(destination.request("abandoning", "DELETE", (("uploadId", self._id),)))

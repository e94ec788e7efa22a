"""Manifests of every known format, recognised by what they hold."""

from __future__ import annotations

import io
import os
import re
from typing import TYPE_CHECKING

from .entries import ManifestEntry, ManifestLine
from .errors import ManifestError, TruncatedManifest
from .records import StrEnum

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import BinaryIO, Self

    from .paths import Path

_CATALOGUE_KEY = re.compile(rb'"(?:replicas|pegasus|x-pegasus)"\s*:')

HEAD_BYTES = 4096
"""So much of the beginning is looked at to recognise a format."""


class Format(StrEnum):
    GNU = "gnu"
    """Value and name, as `sha256sum` prints them."""
    BSD = "bsd"
    """`SHA256 (name) = value`, as `--tag` has it. Both kinds may be mixed in one manifest."""
    HASHDEEP = "hashdeep"
    BAGIT = "bagit"
    META = "meta"
    """A JSON list of logical files, as planners write it; see `meta.py`."""
    JSONL = "jsonl"
    """Our own; see `jsonl.py`."""
    REPLICAS = "replicas"
    """A replica catalogue in YAML. Recognised here and read elsewhere, since it names places, not files."""


class Manifest:
    """An open manifest: iterate over `lines`, or over the entries alone. Close it, or use it as a context manager."""

    def __init__(
        self,
        stream: BinaryIO,
        format: Format,
        *,
        folder: bytes | None = None,
        algorithm: str | None = None,
        zero: bool = False,
    ) -> None:
        self.format = format
        self.folder = folder
        """What names are relative to, where the format defines it (the root of a bag); None: the working directory."""
        self._stream = stream
        self._algorithm = algorithm
        self.zero = zero
        """Lines end in NUL, which the content may tell."""

    @property
    def is_strict(self) -> bool:
        """Whether what cannot be understood is a failure. To the lines of coreutils people add words of their own."""
        return self.format not in (Format.GNU, Format.BSD)

    def content(self) -> bytes:
        """All of it, instead of `lines`: a replica catalogue is read as a whole."""
        return self._stream.read()

    def lines(self) -> Iterator[ManifestLine]:
        """Entries and malformed lines, in order, as they are read.

        Raises ManifestError for a document that breaks its format's rules, TruncatedManifest where the end is known
        to be missing, and OSError as reading does.
        """
        if self.format is Format.JSONL:
            from . import jsonl

            return self._wanted(jsonl.read_lines(self._stream))
        if self.format is Format.HASHDEEP:
            from . import hashdeep

            return self._wanted(hashdeep.read_lines(self._stream))
        if self.format is Format.BAGIT:
            from . import bagit

            return bagit.read_lines(self._stream, self._algorithm or "sha256", self.folder)
        if self.format is Format.META:
            return self._wanted(_meta_lines(self._stream))
        if self.format is Format.REPLICAS:
            raise ManifestError("is a replica catalogue, not a list of files")
        return _gnu_lines(self._stream, self._algorithm, self.zero)

    def __iter__(self) -> Iterator[ManifestEntry]:
        """The entries. Raises ManifestError at the first malformed line as well."""
        for line in self.lines():
            if line.entry is None:
                raise ManifestError(f"line {line.number}: {line.problem}")
            yield line.entry

    def _wanted(self, lines: Iterator[ManifestLine]) -> Iterator[ManifestLine]:
        """The lines, cut down to the algorithm that was asked for."""
        wanted = self._algorithm
        for line in lines:
            entry = line.entry
            if wanted is None or entry is None:
                yield line
            elif (digest := entry.digest(wanted)) is not None:
                yield ManifestLine(line.number, entry._replace(digests=(digest,)))
            else:
                yield ManifestLine(line.number, None, f"no {wanted} digest")

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_manifest(source: Path | BinaryIO, *, algorithm: str | None = None, zero: bool = False) -> Manifest:
    """The manifest at a path, or in a binary stream, which stays open; its format is told by its content.

    `algorithm` (a canonical name) is insisted on: other digests are left out. `zero`: the GNU form with NUL
    at the line ends. Raises OSError, and ManifestError for what is certainly no manifest.
    """
    if not isinstance(source, str | bytes | os.PathLike):
        return _opened(source, b"", algorithm, zero, owned=False)
    path = os.fsencode(source)
    stream = open(path, "rb")  # noqa: SIM115 - the Manifest closes it
    try:
        return _opened(stream, path, algorithm, zero, owned=True)
    except BaseException:
        stream.close()
        raise


def read_manifest(
    source: Path | BinaryIO, *, algorithm: str | None = None, zero: bool = False
) -> Iterator[ManifestEntry]:
    """The entries of a manifest as they are read, from a path or a stream; see `open_manifest`.

    Raises ManifestError at the first malformed line: use `open_manifest(...).lines()` to go on after it.
    """
    with open_manifest(source, algorithm=algorithm, zero=zero) as manifest:
        yield from manifest


def _opened(stream: BinaryIO, path: bytes, algorithm: str | None, zero: bool, *, owned: bool) -> Manifest:
    head = stream.read(HEAD_BYTES).removeprefix(b"\xef\xbb\xbf")
    whole: BinaryIO = io.BufferedReader(_Replay(head, stream, owned=owned), 1 << 16)
    if path:
        from .bagit import algorithm_of

        told = algorithm_of(path)
        if told is not None:
            if algorithm not in (None, told):
                raise ManifestError(f"is a bag's {told} manifest, and {algorithm} was asked for")
            return Manifest(whole, Format.BAGIT, folder=os.path.dirname(path) or b".", algorithm=told)
        if algorithm is None and os.path.basename(path).upper().startswith(b"B2SUM"):
            algorithm = "blake2b"
    zero = zero or _ends_in_nul(head, algorithm)
    found = Format.GNU if zero else recognise(head)
    return Manifest(whole, found, algorithm=algorithm, zero=zero)


def recognise(head: bytes) -> Format:
    """The format of a manifest that begins with these bytes. What looks like nothing known is GNU's, and malformed.

    Raises ManifestError for UTF-16 and for JSON that is none of the known documents. A bag's manifest looks like
    GNU's and is known by its place only.
    """
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ManifestError("is in UTF-16; convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)")
    text = head.lstrip()
    if text.startswith(b"%%%% HASHDEEP-"):
        return Format.HASHDEEP
    if text.startswith(b"["):
        return Format.META
    if text.startswith(b"{"):
        if b'"wf-checksum"' in text.partition(b"\n")[0]:
            return Format.JSONL
        if _CATALOGUE_KEY.search(text):
            return Format.REPLICAS  # JSON is YAML, too
        raise ManifestError("is JSON, but no manifest: its first line does not name the format")
    return _of_lines(text)


def _ends_in_nul(head: bytes, algorithm: str | None) -> bool:
    """Whether the manifest has the form of `-z`. Where the first name has a newline it has to be asked for."""
    if b"\0" not in head:
        return False
    from .gnu import breaks_off, parse_line

    first, second, *_ = head.split(b"\0")
    if b"\n" in first or parse_line(first, algorithm, zero=True) is None:
        return False
    return not second or parse_line(second, algorithm, zero=True) is not None or breaks_off(second)


def _of_lines(text: bytes) -> Format:
    for line in text.splitlines():
        if line.startswith((b"pegasus:", b"replicas:", b"x-pegasus:", b"---")):
            return Format.REPLICAS
        if line and not line.startswith(b"#"):
            label = line.lstrip(b"\\ \t").partition(b"(")[0]
            return Format.BSD if b"(" in line and b"  " not in label and not _is_value(label) else Format.GNU
    return Format.GNU


def _is_value(label: bytes) -> bool:
    word = label.split(maxsplit=1)[:1]
    return bool(word) and len(word[0]) >= 32


def _gnu_lines(stream: BinaryIO, algorithm: str | None, zero: bool) -> Iterator[ManifestLine]:
    from . import gnu

    for number, entry in gnu.read_lines(stream, algorithm, zero=zero):
        if entry is None:
            yield ManifestLine(number, None, "improperly formatted checksum line")
        else:
            yield ManifestLine(number, ManifestEntry(entry.name, (entry.digest,), guessed=entry.guessed))


def _meta_lines(stream: BinaryIO) -> Iterator[ManifestLine]:
    from .meta import MetaError, load_meta

    try:
        for number, (lfn, told) in enumerate(load_meta(stream.read(), origin=""), start=1):
            if told.problem:
                yield ManifestLine(number, None, told.problem.removeprefix(": "))
            else:
                digests = () if told.digest is None else (told.digest,)
                yield ManifestLine(number, ManifestEntry(os.fsencode(lfn), digests, told.size))
    except MetaError as error:
        text = str(error).removeprefix(": ")
        # A list that does not end is the one thing that cutting it makes.
        raise (TruncatedManifest if "not JSON" in text else ManifestError)(text) from None


class _Replay(io.RawIOBase):
    """A stream whose beginning was read already."""

    def __init__(self, head: bytes, rest: BinaryIO, *, owned: bool) -> None:
        super().__init__()
        self._head = head
        self._rest = rest
        self._owned = owned

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        piece = self._head[: len(buffer)] or self._rest.read(len(buffer))
        self._head = self._head[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        if self._owned and not self.closed:
            self._rest.close()
        super().close()

"""`.meta` files: what workflow planners and jobs tell each other about the content of logical files.

Such a file is a JSON list of `{"_type": "file", "_id": LFN, "_attributes": {"checksum.type": "sha256",
"checksum.value": HEX, "size": "12", ...}}`. All attributes are strings; numbers are understood too. Pegasus writes
one for each job and one for the inputs that its catalogues know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .digest import Digest, canonical_algorithm, parse_hex
from .names import is_name, printable

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator


class MetaError(ValueError):
    """A `.meta` document that is none. The text names the file."""


class Expectation(NamedTuple):
    """What is said about one logical file; `origin` is the file that says it.

    With `problem` nothing of it can be used: it is malformed, or two files contradict each other.
    """

    digest: Digest | None
    size: int | None
    origin: str
    problem: str = ""


class Expectations:
    """Expectations by logical name, joined from several files."""

    def __init__(self) -> None:
        self._by_lfn: dict[str, Expectation] = {}
        self.faults: list[str] = []
        """One sentence for each file that could not be read or understood, and was left out."""

    def __len__(self) -> int:
        return len(self._by_lfn)

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_lfn)

    def get(self, lfn: str) -> Expectation | None:
        return self._by_lfn.get(lfn)

    def add(self, lfn: str, expectation: Expectation) -> None:
        """Joins the expectation with what is known already; two that differ become a problem."""
        known = self._by_lfn.get(lfn)
        if known is None:
            self._by_lfn[lfn] = expectation
        elif not known.problem:
            self._by_lfn[lfn] = expectation if expectation.problem else _joined(known, expectation, lfn)


def _joined(one: Expectation, other: Expectation, lfn: str) -> Expectation:
    """What both say together. Digests of two algorithms do not contradict each other: the first one stays."""
    digests = one.digest and other.digest and one.digest.algorithm == other.digest.algorithm
    sizes = one.size is not None and other.size is not None
    if (digests and one.digest != other.digest) or (sizes and one.size != other.size):
        problem = f"{one.origin} and {other.origin} expect different content of {printable(lfn)}"
        return Expectation(None, None, one.origin, problem)
    return Expectation(one.digest or other.digest, other.size if one.size is None else one.size, one.origin)


# --- reading


_MOST = 1 << 28
"""Bytes of one document; a device or a file that is something else does not fill the memory."""


def read_meta_files(paths: Iterable[str | bytes]) -> Expectations:
    """The expectations of several files. One that cannot be read or understood is left out and named in `faults`."""
    found = Expectations()
    for path in paths:
        try:
            with open(path, "rb") as file:
                document = file.read(_MOST + 1)
            if len(document) > _MOST:
                raise MetaError(f"{printable(path)}: larger than {_MOST} bytes")
            entries = list(load_meta(document, origin=printable(path)))
        except OSError as error:
            found.faults.append(f"{printable(path)}: {error.strerror or type(error).__name__}")
        except MetaError as error:
            found.faults.append(str(error))
        else:
            for lfn, expectation in entries:
                found.add(lfn, expectation)
    return found


def load_meta(document: bytes, *, origin: str) -> Iterator[tuple[str, Expectation]]:
    """Each entry's logical name and what it says. An empty document says nothing.

    A malformed digest or size is the problem of its entry alone. Raises MetaError if the document is no such list.
    """
    for number, entry in enumerate(_entries(document, origin)):
        if not isinstance(entry, dict):
            raise MetaError(f"{origin}: [{number}]: expected an object")
        lfn, attributes = entry.get("_id"), entry.get("_attributes", {})
        if not isinstance(lfn, str) or not is_name(lfn):
            raise MetaError(f'{origin}: [{number}]: "_id" is not a logical name')
        if not isinstance(attributes, dict):
            raise MetaError(f'{origin}: [{number}]: "_attributes" is not an object')
        try:
            yield lfn, Expectation(_digest(attributes), _size(attributes), origin)
        except ValueError as error:
            yield lfn, Expectation(None, None, origin, f"{origin}: [{number}]: {error}")


def _entries(document: bytes, origin: str) -> list[object]:
    from json import loads

    try:
        text = document.decode("utf-8-sig")
        entries = loads(text) if text.strip() else []
    except (ValueError, RecursionError) as error:
        raise MetaError(f"{origin}: not JSON in UTF-8: {error}") from None
    if not isinstance(entries, list):
        raise MetaError(f"{origin}: expected a JSON list")
    return entries


def _digest(attributes: dict[str, object]) -> Digest | None:
    if "checksum.value" not in attributes and "checksum.type" not in attributes:
        return None
    name, value = attributes.get("checksum.type", "sha256"), attributes.get("checksum.value")
    algorithm = canonical_algorithm(name) if isinstance(name, str) else None
    if algorithm is None:
        raise ValueError(f"checksum.type {name!r} is not a known algorithm")
    if type(value) is not str:
        raise ValueError("checksum.value is missing, or not a string")
    return parse_hex(algorithm, value)


def _size(attributes: dict[str, object]) -> int | None:
    size = attributes.get("size")
    if size is None:
        return None
    if isinstance(size, float) and size.is_integer():
        size = int(size)  # JSON does not tell 3.0 from 3
    if isinstance(size, str) and size.isascii() and size.isdecimal() and len(size) <= 18:
        return int(size)
    if type(size) is int and size >= 0:
        return size
    raise ValueError("size is not a number of bytes")


# --- writing


class Described(NamedTuple):
    """What a `.meta` entry tells of a file that was read. `seconds` is how long that took."""

    lfn: str
    digest: Digest
    status: os.stat_result
    seconds: float


def meta_document(files: Iterable[Described]) -> bytes:
    """The document, one entry a line so that people can read it, in ASCII."""
    from json import dumps

    lines = ",\n".join(dumps(_entry(one), separators=(", ", ": ")) for one in files)
    return (f"[\n{lines}\n]\n" if lines else "[]\n").encode("ascii")


def _entry(one: Described) -> dict[str, object]:
    return {
        "_type": "file",
        "_id": one.lfn,
        "_attributes": {
            "user": user_name(one.status.st_uid),
            "size": str(one.status.st_size),
            "ctime": iso_time(one.status.st_ctime_ns),
            "checksum.type": one.digest.algorithm,
            "checksum.value": one.digest.hex,
            "checksum.timing": f"{one.seconds:.3f}",
        },
    }


def iso_time(nanoseconds: int) -> str:
    """`2026-11-22T07:52:07.005707+00:00` for nanoseconds since 1970."""
    import time

    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest // 1000:06d}+00:00"


def user_name(number: int) -> str:
    """The name, or the number where the machine knows none: containers often do not."""
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def group_name(number: int) -> str:
    """As `user_name`, for groups."""
    import grp

    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)

"""CRC-32C (RFC 3720, appendix B.4) and CRC-64/NVME (as S3 has it), most significant byte first.

Computed by `google_crc32c` or `awscrt` where one is installed, at some GB/s. Otherwise by Python itself, eight to
fifteen times slower than SHA-256 in hardware (about 190 MB/s for 32 bits, 100 for 64): the data is cut into lanes of
equal length, and one step takes the next byte of all lanes at once, with `bytes.translate` as the table look-up and
long integers for the exclusive or. At the end neighbouring lanes are joined, the left one moved on by the length of the
right one, until one is left.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    Update: TypeAlias = Callable[[bytes | memoryview, int], int]
    """The checksum of data that goes on after data with the checksum given; 0 at the beginning."""

    Tables: TypeAlias = tuple[bytes, ...]

_LANE = 64
"""Bytes of a lane."""
_MOST_LANES = 4096
_FEWEST_LANES = 16
"""Fewer gain nothing over one byte after another."""


class Polynomial(NamedTuple):
    """A reflected CRC: bits of the first power are the highest, register and result are inverted."""

    bits: int
    width: int
    """Bytes."""


CRC32C = Polynomial(0x82F63B78, 4)
CRC64NVME = Polynomial(0x9A6C9329AC4BC9B5, 8)


class Crc:
    """An incremental checksum with the methods of hashlib's objects."""

    __slots__ = ("_update", "_value", "_width")

    def __init__(self, update: Update, width: int) -> None:
        self._update = update
        self._width = width
        self._value = 0

    def update(self, data: memoryview | bytes, /) -> None:
        self._value = self._update(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._width, "big")


def new_crc(algorithm: str) -> Crc:
    """A fresh `crc32c` or `crc64nvme`."""
    if algorithm == "crc32c":
        return Crc(_fast_crc32c() or portable(CRC32C), CRC32C.width)
    return Crc(_fast_crc64nvme() or portable(CRC64NVME), CRC64NVME.width)


def is_fast(algorithm: str) -> bool:
    """Whether `crc32c` or `crc64nvme` costs next to nothing here, because a package for it is installed."""
    return (_fast_crc32c() if algorithm == "crc32c" else _fast_crc64nvme()) is not None


@cache
def _fast_crc32c() -> Update | None:
    google = _module("google_crc32c")
    if google is not None and google.implementation == "c":  # its own fallback is slower than ours
        return lambda data, value: int(google.extend(value, bytes(data)))
    amazon = _module("awscrt.checksums")
    return None if amazon is None else lambda data, value: int(amazon.crc32c(data, value))


@cache
def _fast_crc64nvme() -> Update | None:
    amazon = _module("awscrt.checksums")
    if not hasattr(amazon, "crc64nvme"):  # absent, or older than this checksum
        return None
    return lambda data, value: int(amazon.crc64nvme(data, value))


def _module(name: str) -> Any:
    """The module of an optional package, or None."""
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        return None


@cache
def portable(polynomial: Polynomial) -> Update:
    """The checksum computed by Python alone."""
    table = _byte_table(polynomial)
    planes = _planes(table, polynomial.width)
    full = (1 << 8 * polynomial.width) - 1
    width = polynomial.width

    def update(data: bytes | memoryview, value: int) -> int:
        register = value ^ full
        view = memoryview(data).cast("B")
        lanes = _MOST_LANES
        while lanes >= _FEWEST_LANES:
            size = lanes * _LANE
            while len(view) >= size:
                register = _joined(
                    _stepped(view[:size].tobytes(), register, lanes, planes), lanes, polynomial
                )
                view = view[size:]
            lanes //= 2
        for byte in view:
            register = table[(register ^ byte) & 0xFF] ^ (register >> 8)
        return register ^ full

    def _stepped(data: bytes, register: int, lanes: int, planes: Tables) -> int:
        """The registers of all lanes: first the lowest byte of each, then the next... The first one goes on."""
        state = sum((register >> 8 * plane & 0xFF) << 8 * lanes * plane for plane in range(width))
        mask = (1 << 8 * lanes) - 1
        shift = 8 * lanes
        for at in range(_LANE):
            column = int.from_bytes(data[at::_LANE], "little")
            index = ((state & mask) ^ column).to_bytes(lanes, "little")
            looked_up = b"".join([index.translate(plane) for plane in planes])
            state = int.from_bytes(looked_up, "little") ^ (state >> shift)
        return state

    return update


def _joined(state: int, lanes: int, polynomial: Polynomial) -> int:
    """The register after all lanes, of the registers of each."""
    width = polynomial.width
    raw = state.to_bytes(lanes * width, "little")
    length = _LANE
    while lanes > 1:
        planes = [raw[lanes * at : lanes * (at + 1)] for at in range(width)]
        right = int.from_bytes(b"".join(plane[1::2] for plane in planes), "little")
        tables = _shift_planes(polynomial, length)
        for source, plane in enumerate(planes):
            left = plane[0::2]
            moved = b"".join([left.translate(one) for one in tables[source]])
            right ^= int.from_bytes(moved, "little")
        lanes //= 2
        length *= 2
        raw = right.to_bytes(lanes * width, "little")
    return int.from_bytes(raw, "little")


# --- tables


@cache
def _byte_table(polynomial: Polynomial) -> list[int]:
    """What the low byte of the register becomes when it has left it."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (polynomial.bits if value & 1 else 0)
        table.append(value)
    return table


def _planes(table: list[int], width: int) -> Tables:
    """A table of words as tables of bytes, for `translate`: the lowest byte of every word, the next..."""
    words = [word.to_bytes(width, "little") for word in table]
    return tuple(bytes(word[at] for word in words) for at in range(width))


@cache
def _shift_planes(polynomial: Polynomial, length: int) -> tuple[Tables, ...]:
    """For each byte of a register its share of the register `length` zero bytes later."""
    columns = _zero_bytes(polynomial, length)
    tables = []
    for at in range(polynomial.width):
        table = [0]
        for column in columns[8 * at : 8 * at + 8]:
            table += [word ^ column for word in table]
        tables.append(_planes(table, polynomial.width))
    return tuple(tables)


@cache
def _zero_bytes(polynomial: Polynomial, length: int) -> tuple[int, ...]:
    """Where each bit of a register goes in `length` zero bytes, a power of two: a matrix, squared again and again."""
    if length == 1:
        table = _byte_table(polynomial)
        return tuple(
            table[bit & 0xFF] ^ (bit >> 8) for bit in (1 << at for at in range(8 * polynomial.width))
        )
    half = _zero_bytes(polynomial, length // 2)
    return tuple(_product(half, column) for column in half)


def _product(matrix: tuple[int, ...], vector: int) -> int:
    result = 0
    for column in matrix:
        if vector & 1:
            result ^= column
        vector >>= 1
    return result

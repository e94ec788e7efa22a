"""The CRC-32C of two pieces together, of that of each (RFC 3720 appendix B.4): polynomials over two elements, bits reflected."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final

_POLYNOMIAL: Final = 0x82F63B78
_ONE: Final = 1 << 31
_BYTE: Final = 1 << 23
"""x to the power of 8."""


def crc32c_of_both(first: int, second: int, length: int) -> int:
    """The checksum of a piece with the checksum `first` and one of `length` bytes with `second` behind it."""
    return _product(_moved(length), first) ^ second


@cache
def _moved(length: int) -> int:
    """x to the power of eight times `length`. Most parts of a file have one length."""
    power, square = _ONE, _BYTE
    while length:
        if length & 1:
            power = _product(square, power)
        square = _product(square, square)
        length >>= 1
    return power


def _product(one: int, other: int) -> int:
    product, bit = 0, _ONE
    while bit:
        if one & bit:
            product ^= other
        other = (other >> 1) ^ (_POLYNOMIAL if other & 1 else 0)
        bit >>= 1
    return product

"""The values inside a request, each read in one place. Whatever is something else than it should be is a Fault.

`where` is the path of the object that holds the value. Ask only for keys that are there: most requests have few.
"""

from __future__ import annotations

from ..checksum.digest import SIZES, Digest, canonical_algorithm, parse_hex, value_of
from . import batch_schema
from .batch_errors import Fault, mistaken, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from .batch_errors import Path
    from .batch_schema import Kind

    Item = dict[str, Any]

_EVERY_KEY: Final = frozenset().union(*(batch_schema.names(sort) for sort in batch_schema.OBJECTS))
_FLAGS: Final[dict[object, bool]] = {
    **dict.fromkeys((*batch_schema.TRUE_WORDS, 1), True),
    **dict.fromkeys((*batch_schema.FALSE_WORDS, 0), False),
}
_LARGEST: Final = batch_schema.LARGEST


def absent_or_mistaken(item: Item, key: str, where: Path, kind: Kind) -> Fault:
    """The fault of a required key whose value cannot be used."""
    if key not in item:
        return missing(item, key, where)
    return mistaken((*where, key), kind.words, item[key])


def missing(item: Item, key: str, where: Path) -> Fault:
    """The fault of an object without a required key; an unknown key that looks like it is named."""
    from .spelling import nearest

    likely = nearest(key, [other for other in item if other not in _EVERY_KEY])
    hint = f"{shown(likely)} may have been meant for it" if likely else ""
    return Fault(where, f'the key "{key}" is missing', expected=f'"{key}"', hint=hint)


def text(item: Item, key: str, where: Path) -> str:
    value = item[key]
    if type(value) is not str:
        raise mistaken((*where, key), batch_schema.TEXT.words, value)
    if not value.isascii():
        _writable(value, (*where, key))
    return value


def _writable(value: str, where: Path) -> None:
    """Raises Fault for half a surrogate pair that stands for no byte: nothing could ever write that text."""
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise Fault(where, "the string contains half a surrogate pair", expected="a string") from None


def flag(item: Item, key: str, where: Path) -> bool:
    """A truth value: JSON's own, 0 and 1, or one of the words that planners write, in any case."""
    value = item[key]
    if value is True or value is False:
        return value
    found = _FLAGS.get(value.lower() if isinstance(value, str) else _integer(value))
    if found is None:
        raise mistaken((*where, key), batch_schema.FLAG.words, value)
    return found


def _integer(value: object) -> int | None:
    """The integer that a JSON number is; 1.0 is one. None for anything else."""
    if type(value) is int:
        return value
    return int(value) if type(value) is float and value.is_integer() else None


def _digits(value: object, *, signed: bool) -> int | None:
    """The integer that a JSON number is, or a string of at most 18 digits; None for anything else."""
    if type(value) is str:
        bare = value[1:] if signed and value[:1] == "-" else value
        return int(value) if len(bare) <= 18 and bare.isdecimal() and bare.isascii() else None
    number = _integer(value)
    return number if number is not None and -_LARGEST <= number <= _LARGEST else None


def priority(value: object, where: Path) -> int:
    found = _digits(value, signed=True)
    if found is None:
        raise mistaken((*where, "priority"), batch_schema.PRIORITY.words, value)
    return found


def size(value: object, where: Path) -> int:
    """A number of bytes; here `where` is the path of the value itself."""
    found = _digits(value, signed=False)
    if found is None or found < 0:
        raise mistaken(where, batch_schema.SIZE.words, value)
    return found


def identity(item: Item) -> str:
    """The `id` of a request as text: 7 and "7" are the same one."""
    return _identifier(item["id"], ("id",), batch_schema.IDENTIFIER)


def after(value: object) -> tuple[str, ...]:
    """The ids that `after` holds."""
    if type(value) is not list:
        return (_identifier(value, ("after",), batch_schema.AFTER),)
    return tuple([_identifier(one, ("after", n), batch_schema.IDENTIFIER) for n, one in enumerate(value)])


def _identifier(value: object, where: Path, kind: Kind) -> str:
    if type(value) is str:
        if not value.isascii():
            _writable(value, where)
        return value
    number = _integer(value)
    if number is None:
        raise mistaken(where, kind.words, value)
    return str(number)


def digest(item: Item, type_key: str, value_key: str, where: Path) -> Digest:
    """The digest that two keys of an object spell. Its algorithm is sha256 unless it is told."""
    algorithm = item.get(type_key, "sha256")
    if type(algorithm) is not str or algorithm != algorithm.strip():
        raise mistaken((*where, type_key), batch_schema.ALGORITHM.words, algorithm)
    name = canonical_algorithm(algorithm)
    if name is None:
        raise mistaken((*where, type_key), batch_schema.ALGORITHM.words, algorithm)
    spelt = item.get(value_key)
    if type(spelt) is not str:
        raise absent_or_mistaken(item, value_key, where, batch_schema.HEX)
    value = value_of(name, spelt)
    if value is None:
        raise _malformed((*where, value_key), name, spelt)
    return Digest(name, value)


def _malformed(where: Path, algorithm: str, spelt: str) -> Fault:
    try:
        parse_hex(algorithm, spelt)
        message = "the digest contains blanks"
    except ValueError as error:
        message = str(error)
    return Fault(where, message, expected=f"{2 * SIZES[algorithm]} hexadecimal digits")


def with_attributes(
    attributes: object, bytes_: int | None, expected: Digest | None, where: Path
) -> tuple[int | None, Digest | None]:
    """An expectation, completed by what attributes at `where` say. Two that differ are a Fault."""
    if type(attributes) is not dict:
        raise mistaken(where, batch_schema.ATTRIBUTES.words, attributes)
    if "size" in attributes:
        told = size(attributes["size"], (*where, "size"))
        if bytes_ not in (None, told):
            raise _contradiction((*where, "size"), "size")
        bytes_ = told
    if "checksum.value" in attributes or "checksum.type" in attributes:
        found = digest(attributes, "checksum.type", "checksum.value", where)
        if expected not in (None, found):
            raise _contradiction((*where, "checksum.value"), "checksum")
        expected = found
    return bytes_, expected


def _contradiction(where: Path, key: str) -> Fault:
    return Fault(
        where,
        f"the attributes and {key} expect different content",
        expected=f"what {key} says",
        hint="state it once",
    )

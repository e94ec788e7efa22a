"""The keys of a batch, defined once: for the reader of batches, the JSON Schema and the tables of docs/batch.md.

`python -m wf.transfer.batch_schema` writes `batch.schema.json` beside this module and, in a source tree, the tables.
"""

from __future__ import annotations

from ..checksum.digest import KNOWN_IN_WORDS, SIZES, names_of
from ..checksum.records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Final

    Schema = dict[str, object]

FORMAT: Final = 1
"""The number of the batch format that this module describes."""

TRUE_WORDS: Final = ("yes", "true", "t", "1")
FALSE_WORDS: Final = ("no", "false", "f", "0")
LARGEST: Final = 10**18 - 1
"""Sizes and priorities have 18 digits at most, so that every reader of JSON can hold them."""

# ECMA 262's `$` is the very end of the text; Python's lets a newline follow. This means the same to both.
_END: Final = r"(?![\s\S])"


class Kind(NamedTuple):
    """What a key may hold. `words` complete the sentence `expected ...`."""

    words: str
    schema: Schema


class Key(NamedTuple):
    """One key of one sort of object. `default` is for people."""

    name: str
    kind: Kind
    meaning: str
    required: bool = False
    default: str = ""


def _any_case(words: tuple[str, ...]) -> str:
    """A regular expression of these words in any case, for dialects that cannot ignore it."""
    return "|".join("".join(f"[{c.upper()}{c}]" if c.isalpha() else c for c in word) for word in words)


_IDENTIFIER: Final[Schema] = {"type": ["integer", "string"]}

TYPE = Kind('"transfer", "mkdir" or "remove"', {"enum": ["transfer", "mkdir", "remove"]})
TEXT = Kind("a string", {"type": "string"})
IDENTIFIER = Kind("an integer or a string", _IDENTIFIER)
AFTER = Kind(
    "an id or an array of ids",
    {"anyOf": [_IDENTIFIER, {"type": "array", "items": _IDENTIFIER}]},
)
FLAG = Kind(
    "true or false",
    {
        "anyOf": [
            {"enum": [True, False, 0, 1]},
            {"type": "string", "pattern": f"^(?:{_any_case(TRUE_WORDS + FALSE_WORDS)}){_END}"},
        ]
    },
)
SIZE = Kind(
    "a whole number of bytes",
    {
        "anyOf": [
            {"type": "integer", "minimum": 0, "maximum": LARGEST},
            {"type": "string", "pattern": f"^[0-9]{{1,18}}{_END}"},
        ]
    },
)
PRIORITY = Kind(
    "an integer",
    {
        "anyOf": [
            {"type": "integer", "minimum": -LARGEST, "maximum": LARGEST},
            {"type": "string", "pattern": f"^-?[0-9]{{1,18}}{_END}"},
        ]
    },
)
URL = Kind("a URL", {"type": "string", "minLength": 1})
PLACES = Kind(
    "a non-empty array of URL objects",
    {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/url"}},
)
TARGET = Kind("an object with a url", {"$ref": "#/$defs/target"})
CHECKSUM = Kind("an object with type and value", {"$ref": "#/$defs/checksum"})
ATTRIBUTES = Kind("an object", {"$ref": "#/$defs/attributes"})
ALGORITHM = Kind(f"one of {KNOWN_IN_WORDS}", {"type": "string"})
HEX = Kind("hexadecimal digits", {"type": "string"})
ANYTHING = Kind("anything", {})

_ID = Key("id", IDENTIFIER, "a name for `after` and for the result; need not be unique")
_AFTER = Key("after", AFTER, "requests that must have succeeded before this one")

OBJECTS: Final[dict[str, tuple[Key, ...]]] = {
    "transfer": (
        Key("type", TYPE, '`"transfer"`', required=True),
        _ID,
        Key("lfn", TEXT, "the logical name of the file: what `.meta` files and reports call it by"),
        Key("src_urls", PLACES, "replicas of one content; any of them will do", required=True),
        Key("dest_urls", PLACES, "the first that takes the file gets it", required=True),
        Key(
            "linkage",
            TEXT,
            "`input`, `output`, ...: groups the integrity figures of a run",
            default="unknown",
        ),
        Key("size", SIZE, "expected bytes; another size is a mismatch"),
        Key("checksum", CHECKSUM, "the expected digest"),
        Key("attributes", ATTRIBUTES, "a catalogue's metadata; expectations in it are used"),
        Key("generate_checksum", FLAG, "record the digest of what was moved", default="false"),
        Key(
            "verify_checksum_remote",
            FLAG,
            "compare the stored copy with the expected digest afterwards",
            default="false",
        ),
        Key(
            "verify_symlink_source", FLAG, "false: a link may be made before its file exists", default="true"
        ),
        _AFTER,
    ),
    "mkdir": (
        Key("type", TYPE, '`"mkdir"`', required=True),
        _ID,
        Key("target", TARGET, "the folder; those above it are created as well", required=True),
        _AFTER,
    ),
    "remove": (
        Key("type", TYPE, '`"remove"`', required=True),
        _ID,
        Key("target", TARGET, "the file or folder; one that is absent is success", required=True),
        Key("recursive", FLAG, "the same as `recursive` inside `target`", default="false"),
        _AFTER,
    ),
    "url": (
        Key("url", URL, "where the file is, or shall be", required=True),
        Key("site_label", TEXT, "the site whose credentials and policies apply"),
        Key("priority", PRIORITY, "higher is tried first", default="drawn from 1 to 100"),
        Key("type", TEXT, "the type of a file that is no plain one, such as `singularity`"),
        Key("checkpoint", ANYTHING, "accepted and ignored"),
    ),
    "target": (
        Key("url", URL, "the file or folder", required=True),
        Key("site_label", TEXT, "the site whose credentials and policies apply"),
        Key("recursive", FLAG, "remove a folder and everything in it", default="false"),
    ),
    "checksum": (
        Key("type", ALGORITHM, "the algorithm, in any case", default="sha256"),
        Key("value", HEX, "the digest in hexadecimal", required=True),
    ),
    "attributes": (
        Key("checksum.type", ALGORITHM, "as `type` of `checksum`", default="sha256"),
        Key("checksum.value", HEX, "as `value` of `checksum`"),
        Key("size", SIZE, "expected bytes"),
    ),
}
"""Every sort of object in a batch, and its keys. `attributes` may hold any other key as well."""

TITLES: Final = {
    "url": "URL object",
    "target": "target object",
    "checksum": "checksum object",
    "attributes": "attributes object",
}


def names(sort: str) -> frozenset[str]:
    """The keys known in objects of this sort."""
    return frozenset(key.name for key in OBJECTS[sort])


def schema() -> Schema:
    """The JSON Schema (2020-12) of the array form of a batch.

    It cannot say: that a URL can be taken apart, that `after` names requests of the batch and makes no circle, that
    two expectations of one transfer agree, and that a key is not a misspelt one.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"wf-transfer batch, format {FORMAT}",
        "type": "array",
        "items": {"$ref": "#/$defs/request"},
        "$defs": {"request": _request(), **{sort: _object(sort) for sort in OBJECTS}},
    }


def _request() -> Schema:
    branches = [
        {
            "if": {"properties": {"type": {"const": sort}}},
            "then": {"$ref": f"#/$defs/{sort}"},
        }
        for sort in ("transfer", "mkdir", "remove")
    ]
    return {"type": "object", "required": ["type"], "properties": {"type": TYPE.schema}, "allOf": branches}


def _object(sort: str) -> Schema:
    keys = OBJECTS[sort]
    found: Schema = {
        "type": "object",
        "properties": {key.name: {"description": key.meaning, **key.kind.schema} for key in keys},
    }
    required = [key.name for key in keys if key.required]
    if required:
        found["required"] = required
    if sort == "checksum":
        found.update(_digest("type", "value"))
    if sort == "attributes":
        found.update(_digest("checksum.type", "checksum.value"))
        found["dependentRequired"] = {"checksum.type": ["checksum.value"]}
    return found


def _digest(kind: str, value: str) -> Schema:
    """The condition that the value has the length of its algorithm, which is sha256 unless it is told."""
    branches: list[Schema] = [
        {
            "if": {"required": [kind]},
            "then": {"properties": {kind: _whole(f"{_any_case(_spellings())}|{_SHORTENED}")}},
        },
        {"if": {"not": {"required": [kind]}}, "then": {"properties": {value: _hexadecimal("sha256")}}},
        # That the length is the one in the name is left to the reader: 63 branches would say it.
        _told(kind, _SHORTENED, value, _whole("(?:[0-9a-fA-F]{2}){1,63}")),
    ]
    branches += [_told(kind, _any_case(names_of(one)), value, _hexadecimal(one)) for one in SIZES]
    return {"allOf": branches}


_SHORTENED: Final = f"{_any_case(('blake2b',))}-?(?:{'|'.join(str(8 * size) for size in range(1, 64))})"
"""A regular expression of the names that `b2sum -l` makes."""


def _told(kind: str, names: str, value: str, schema: Schema) -> Schema:
    """The condition that under an algorithm of these names the value is such a one."""
    told: Schema = {"required": [kind], "properties": {kind: _whole(names)}}
    return {"if": told, "then": {"properties": {value: schema}}}


def _hexadecimal(algorithm: str) -> Schema:
    return _whole(f"[0-9a-fA-F]{{{2 * SIZES[algorithm]}}}")


def _whole(pattern: str) -> Schema:
    return {"pattern": f"^(?:{pattern}){_END}"}


def _spellings() -> tuple[str, ...]:
    """Every name of an algorithm that has one length."""
    return tuple(name for algorithm in SIZES for name in names_of(algorithm))


def table(sort: str) -> str:
    """The keys of one sort of object as a Markdown table."""
    lines = ["| key | value | meaning |", "|---|---|---|"]
    for key in OBJECTS[sort]:
        value = key.kind.words.replace('"', "`") + (", **required**" if key.required else "")
        value += f"; default {key.default}" if key.default else ""
        lines.append(f"| `{key.name}` | {value} | {key.meaning} |")
    return "\n".join(lines)


def with_tables(text: str) -> str:
    """The Markdown text with what stands between `<!-- keys: SORT -->` and `<!-- end -->` replaced by the table."""
    import re

    def fresh(match: re.Match[str]) -> str:
        return f"{match[1]}\n\n{table(match[2])}\n\n{match[3]}"

    return re.sub(r"(?s)(<!-- keys: (\w+) -->)\n.*?\n?(<!-- end -->)", fresh, text)


def rendered() -> str:
    """The text of `batch.schema.json`."""
    from json import dumps

    return dumps(schema(), indent=2) + "\n"


def write(folder: Path, guide: Path) -> None:
    """Writes the schema into `folder`, and the tables of the guide if it is there."""
    (folder / "batch.schema.json").write_text(rendered(), encoding="utf-8")
    if guide.exists():
        guide.write_text(with_tables(guide.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    from pathlib import Path

    here = Path(__file__).resolve().parent
    write(here, here.parent / "docs" / "batch.md")

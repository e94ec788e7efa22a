"""Replica catalogues in YAML or JSON, as Pegasus 5 has them: read as a manifest, and completed without disturbing the rest.

::

    pegasus: "5.0"
    replicas:
      - lfn: input.txt
        pfns:
          - {site: local, pfn: /data/input.txt}
        checksum: {sha256: 66a42b4be204c824...}
        metadata: {size: 12}

The schema (rc-5.0.yml) knows no checksum but sha256 and has the size among the metadata. Entries with `regex: true`
name no file by themselves. To complete a catalogue the new text is put between the old characters, where the
parser says that they are: comments, order and quoting stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .digest import Digest, parse_hex
from .errors import ChecksumError, ManifestError
from .json_nodes import NULL, compose
from .names import is_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

    Node = Any  # PyYAML's, which has no types of its own, or one of JSON

_TRUE: Final = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})


class MissingYaml(ChecksumError):
    """PyYAML is not installed."""

    def __init__(self) -> None:
        super().__init__("a replica catalogue needs the Python module yaml (pip install 'wf-transfer[yaml]')")


class Place(NamedTuple):
    """One replica of a file: a path, or a URL."""

    site: str
    pfn: str


class Replica(NamedTuple):
    """One entry. With `problem` its checksum or size cannot be used; `pattern` tells that the name is a regular one."""

    line: int
    lfn: str
    places: tuple[Place, ...]
    digest: Digest | None = None
    size: int | None = None
    pattern: bool = False
    problem: str = ""


class Catalogue:
    """A catalogue's text and what it says."""

    def __init__(self, content: bytes) -> None:
        """Raises ManifestError for what is no catalogue, and MissingYaml."""
        self._bom = content.startswith(b"\xef\xbb\xbf")
        try:
            self._text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise ManifestError("is not in UTF-8") from None
        self._nodes = _entries(_composed(self._text))
        self.replicas = tuple(map(_replica, self._nodes))

    def obstacle(self, number: int) -> str:
        """Why nothing can be added to the entry of this number; empty if it can."""
        try:
            _change(self._text, self._nodes[number], Digest("sha256", bytes(32)))
        except ManifestError as error:
            return str(error)
        return ""

    def completed(self, sums: Mapping[int, Digest]) -> bytes:
        """The catalogue with checksums added to the entries of these numbers (from 0), otherwise character by character.

        Raises ManifestError for an entry that is written in a way that nothing can be added to.
        """
        changes = [_change(self._text, self._nodes[number], digest) for number, digest in sums.items()]
        text, end = [], len(self._text)
        for begin, stop, new in sorted(changes, reverse=True):
            text += [self._text[stop:end], new]
            end = begin
        text.append(self._text[:end])
        return (b"\xef\xbb\xbf" if self._bom else b"") + "".join(reversed(text)).encode("utf-8")


# --- reading


def _composed(text: str) -> Node:
    try:
        return (_of_json(text) if text.lstrip()[:1] == "{" else None) or _of_yaml(text)
    except RecursionError:
        raise ManifestError("is nested too deeply") from None


def _of_json(text: str) -> Node:
    """None for what is not JSON: a mapping of YAML may begin like it."""
    try:
        return compose(text)
    except ValueError:
        return None


def _of_yaml(text: str) -> Node:
    from importlib import import_module

    try:
        yaml = import_module("yaml")
    except ImportError:
        raise MissingYaml from None
    try:
        return yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ManifestError(f"is not YAML: {' '.join(str(error).split())}") from None


def _entries(document: Node) -> list[Node]:
    replicas = _pairs(document).get("replicas") if document is not None else None
    if replicas is None or replicas[1].id != "sequence":
        raise ManifestError("is not a replica catalogue: it has no list of replicas")
    return list(replicas[1].value)


def _pairs(node: Node) -> dict[str, tuple[Node, Node]]:
    """Key and value nodes of a mapping by the key's text; empty for what is none."""
    return (
        {key.value: (key, value) for key, value in node.value if key.id == "scalar"}
        if node.id == "mapping"
        else {}
    )


def _text_of(pairs: Mapping[str, tuple[Node, Node]], key: str) -> str:
    """The text of a scalar value, empty if there is none."""
    found = pairs.get(key)
    return found[1].value if found is not None and found[1].id == "scalar" and found[1].tag != NULL else ""


def _replica(node: Node) -> Replica:
    pairs = _pairs(node)
    line, lfn, places = node.start_mark.line + 1, _text_of(pairs, "lfn"), _places(pairs)
    if "<<" in pairs:
        return Replica(
            line, lfn, places, problem="an entry with a merge key (<<) is not understood; write it out"
        )
    if not lfn or not places:
        return Replica(line, lfn, places, problem="an entry needs lfn and pfns")
    if not all(map(is_name, (lfn, *(place.pfn for place in places)))):
        return Replica(
            line, lfn, places, problem="a name holds NUL, or half a surrogate pair that stands for no byte"
        )
    if _text_of(pairs, "regex") in _TRUE:
        return Replica(line, lfn, places, pattern=True)
    try:
        return Replica(line, lfn, places, _digest(pairs), _size(pairs))
    except ValueError as error:
        return Replica(line, lfn, places, problem=str(error))


def _places(pairs: Mapping[str, tuple[Node, Node]]) -> tuple[Place, ...]:
    listed = pairs["pfns"][1] if "pfns" in pairs else None
    if listed is None or listed.id != "sequence":
        return ()
    found = [_pairs(one) for one in listed.value]
    return tuple(Place(_text_of(one, "site"), pfn) for one in found if (pfn := _text_of(one, "pfn")))


def _digest(pairs: Mapping[str, tuple[Node, Node]]) -> Digest | None:
    sums = _pairs(pairs["checksum"][1]) if "checksum" in pairs else {}
    if not sums:
        return None
    if "sha256" not in sums:
        raise ValueError(f"a checksum other than sha256: {', '.join(sums)}")
    return parse_hex("sha256", _text_of(sums, "sha256"))


def _size(pairs: Mapping[str, tuple[Node, Node]]) -> int | None:
    metadata = _pairs(pairs["metadata"][1]) if "metadata" in pairs else {}
    text = _text_of(metadata, "size")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise ValueError("the size is not a number of bytes")
    return int(text)


# --- completing


def _change(text: str, node: Node, digest: Digest) -> tuple[int, int, str]:
    """Which characters to replace, from and to, and by what."""
    pairs = _pairs(node)
    quoted = next(iter(pairs.values()))[0].style == '"'
    sum_ = f'"{digest.algorithm}": "{digest.hex}"' if quoted else f'{digest.algorithm}: "{digest.hex}"'
    if "checksum" in pairs:
        return _into_empty(text, *pairs["checksum"], sum_)
    key, value = pairs["pfns"]
    end = _end(value)
    if value.start_mark.index < key.start_mark.index:
        raise ManifestError(
            f"line {node.start_mark.line + 1}: an entry with aliases cannot be completed; write it out"
        )
    if node.flow_style:
        name = '"checksum"' if quoted else "checksum"
        return end, end, f", {name}: {{{sum_}}}"
    return _new_line(text, end, " " * key.start_mark.column, sum_)


def _new_line(text: str, end: int, indent: str, sum_: str) -> tuple[int, int, str]:
    """Two lines behind the one that ends the list of places, with what comment it has."""
    after = text.find("\n", end - (text[end - 1 : end] == "\n"))
    newline = "\r\n" if text[after - 1 : after + 1] == "\r\n" else "\n"
    lines = f"{indent}checksum:{newline}{indent}  {sum_}"
    if after < 0:
        return len(text), len(text), f"\n{lines}"
    return after + 1, after + 1, f"{lines}{newline}"


def _into_empty(text: str, key: Node, value: Node, sum_: str) -> tuple[int, int, str]:
    """In place of a `checksum:` that says nothing."""
    begin, stop = value.start_mark.index, value.end_mark.index
    says_nothing = not value.value or (value.id == "scalar" and value.tag == NULL)
    if begin < key.start_mark.index or not says_nothing:
        raise ManifestError(f"line {key.start_mark.line + 1}: this checksum cannot be completed; remove it")
    if value.id == "scalar" and begin == stop:  # nothing at all: the mark may be lines further on
        begin = stop = text.index(":", key.end_mark.index) + 1
    space = " " if text[begin - 1] == ":" else ""
    return begin, stop, f"{space}{{{sum_}}}"


def _end(node: Node) -> int:
    """Where the node's last character ends. A block's own mark is where the next thing begins, behind comments."""
    while node.id != "scalar" and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    return int(node.end_mark.index)

"""The credentials file: what it may look like, and who may be able to read it.

The form is the INI one that workflow planners ship with a job::

    # a site
    [osn]
    endpoint = https://osn.example.org
    # a user at a site
    [alice@osn]
    access_key = ...
    secret_key = ...
    # a host
    [data.example.org:8443]
    username = alice
    password = 100%plain
    # a host, for one scheme
    [https://data.example.org]
    header.X-Auth = ...

`%` is plain text, `#` and `;` begin a comment at the start of a line and after a section's `]`, never behind a value; a
value ends with its line. Key names are compared without case; a section's name is compared as it is written.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from .errors import Misconfigured
from .kinds import Secret
from .private import STRICT, check_private, read_private, read_seen
from .redaction import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final

_MOST_BYTES: Final = 1 << 20


class Section(NamedTuple):
    """The keys of one section. Every value is taken for a secret, because any may be one."""

    name: str
    line: int
    path: str
    values: dict[str, Secret]
    """By lower-case key."""
    spelled: dict[str, str]
    """Lower-case key -> the key as written, for header names."""

    def text(self, key: str) -> str:
        """A value that is not a secret, such as `endpoint`; empty if it is absent."""
        value = self.values.get(key)
        return value.reveal() if value is not None else ""

    @property
    def origin(self) -> str:
        return f"[{printable(self.name)}] of {printable(self.path)}"


class CredentialsFile(NamedTuple):
    """A parsed file. `sections` are by name."""

    path: str
    sections: Mapping[str, Section]

    def first(self, names: Iterable[str]) -> Section | None:
        """The first section that exists; a `-` in a name may be written `_` in the file."""
        for name in names:
            for spelling in (name, name.replace("-", "_")):
                if spelling in self.sections:
                    return self.sections[spelling]
        return None


def read_credentials_file(path: str) -> CredentialsFile:
    """The file at `path`. Raises what `read_private` raises, and Misconfigured with the line of what is wrong."""
    text = read_private(path).decode("utf-8", "surrogateescape")
    return parse_credentials(text.removeprefix("\ufeff"), path)


def parse_credentials(text: str, path: str) -> CredentialsFile:
    """The sections of `text`. No message of an error repeats a value, which may be a secret in the wrong place."""
    sections: dict[str, Section] = {}
    section: Section | None = None
    lines: dict[str, int] = {}
    indent = 0
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if line[0] == "[":
            section = _new_section(line, number, path, sections)
            lines = {}
            continue
        if section is None:
            raise _wrong(path, number, "a [section] must come before the first key")
        depth = len(raw) - len(raw.lstrip())
        if lines and depth > indent:
            raise _wrong(
                path, number, "is indented more than the line before; a value cannot go on in a new line"
            )
        indent = depth
        _take_key(section, line, number, path, lines)
    return CredentialsFile(path, sections)


def _new_section(line: str, number: int, path: str, sections: dict[str, Section]) -> Section:
    match = re.fullmatch(r"\[(.+?)\]\s*(?:[#;].*)?", line)
    name = match[1].strip() if match else ""
    if not name:
        raise _wrong(path, number, "a section is written [name]")
    if name in sections:
        first = sections[name].line
        raise _wrong(path, number, f"section [{printable(name)}] appears again; it began in line {first}")
    sections[name] = Section(name, number, path, {}, {})
    return sections[name]


def _take_key(section: Section, line: str, number: int, path: str, lines: dict[str, int]) -> None:
    cut = min((at for at in (line.find("="), line.find(":")) if at > 0), default=0)
    key = line[:cut].strip()
    if not key:
        raise _wrong(path, number, "a key is written `name = value`")
    folded = key.lower()
    if folded in lines:
        raise _wrong(
            path, number, f"{printable(key)} appears again in its section; first in line {lines[folded]}"
        )
    lines[folded] = number
    section.values[folded] = Secret(line[cut + 1 :].strip())
    section.spelled[folded] = key


def _wrong(path: str, line: int, what: str) -> Misconfigured:
    return Misconfigured(f"{printable(path)}, line {line}: {what}", "mend this line of the credentials file")

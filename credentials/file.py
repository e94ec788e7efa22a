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
value ends with its line. Key names are compared without case; a section's name is compared as it is written. What holds
for reading or writing only is written `read.token`, `write.token`. A file whose name ends in `.toml` has another form.
"""

from __future__ import annotations

import re

from .errors import Misconfigured
from .kinds import Secret
from .private import STRICT, check_private, is_ours_alone, read_private, read_seen
from .records import NamedTuple
from .redaction import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final

    from .private import Policy, Seen

__all__ = [
    "CredentialsFile",
    "Section",
    "check_private",
    "parse_credentials",
    "read_credentials_file",
    "read_private",
]

_CONFIGURATION: Final = frozenset(
    {"endpoint", "region", "addressing", "issuer", "audience", "project", "user_project"}
)
"""Keys that hold for both purposes, whatever is said for one of them."""


class Section(NamedTuple):
    """The keys of one section. Every value is taken for a secret, because any may be one."""

    name: str
    line: int
    path: str
    values: dict[str, Secret]
    """By key in lower case, with `_` for `-` (not in names of header fields)."""
    spelled: dict[str, str]
    """That key -> the key as written, for header names."""
    lists: dict[str, tuple[str, ...]]
    """Values that are lists of texts: only the TOML form has them."""
    trusted: bool = True
    """Nobody else can change the file, so that a command in it may be run."""
    seen: tuple[Seen, ...] = ()

    def text(self, key: str) -> str:
        """A value that is not a secret, such as `endpoint`; empty if it is absent."""
        value = self.values.get(key)
        return value.reveal() if value is not None else ""

    def secret(self, key: str) -> Secret | None:
        """A value that is not empty."""
        return self.values.get(key) or None

    def is_on(self, key: str) -> bool:
        return self.text(key).lower() in ("1", "yes", "true", "on")

    @property
    def origin(self) -> str:
        return f"[{printable(self.name)}] of {printable(self.path)}"

    def is_made(self) -> bool:
        """Whether its token is made when it is needed, by a command or a token endpoint."""
        written = self.secret("token") or self.secret("token_file")
        return not written and bool(self.lists.get("token_command") or self.secret("oauth_token_url"))

    def for_purpose(self, purpose: str) -> Section:
        """The section as it is for reading or for writing: keys `write.token` replace all others that present something."""
        start = f"{purpose}."
        values = {
            key.removeprefix(start): value for key, value in self.values.items() if key.startswith(start)
        }
        lists = {key.removeprefix(start): value for key, value in self.lists.items() if key.startswith(start)}
        if not values and not lists:
            return self
        spelled = {key: self.spelled.get(start + key, key).removeprefix(start) for key in values}
        kept = {key: value for key, value in self.values.items() if key in _CONFIGURATION}
        return self._replace(values=kept | values, spelled=spelled, lists=lists)


class CredentialsFile(NamedTuple):
    """A parsed file. `sections` are by name; the TOML form's are by `host NAME` and `site NAME`, which it keeps apart."""

    path: str
    sections: Mapping[str, Section]

    def first(self, names: Iterable[str], kind: str = "host") -> Section | None:
        """The first section that exists; a `-` in a name may be written `_` in the file."""
        for name in names:
            for spelling in dict.fromkeys((name, name.replace("-", "_"))):
                for key in (spelling, f"{kind} {spelling}"):
                    if key in self.sections:
                        return self.sections[key]
        return None


def read_credentials_file(path: str, policy: Policy = STRICT) -> CredentialsFile:
    """The file at `path`. Raises what `read_private` raises, and Misconfigured with the line of what is wrong."""
    content, seen = read_seen(path, policy)
    text = content.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    if path.endswith(".toml"):
        from .toml_file import parse_toml

        file = parse_toml(text, path)
    else:
        file = parse_credentials(text, path)
    trusted = not policy.insecure or is_ours_alone(path)
    sections = {
        key: section._replace(trusted=trusted, seen=(seen,)) for key, section in file.sections.items()
    }
    return CredentialsFile(path, sections)


def folded(key: str) -> str:
    """The key by which a value is found."""
    lower = key.lower()
    return lower if "header." in lower else lower.replace("-", "_")


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
    sections[name] = Section(name, number, path, {}, {}, {})
    return sections[name]


def _take_key(section: Section, line: str, number: int, path: str, lines: dict[str, int]) -> None:
    cut = min((at for at in (line.find("="), line.find(":")) if at > 0), default=0)
    key = line[:cut].strip()
    if not key:
        raise _wrong(path, number, "a key is written `name = value`")
    name = folded(key)
    if name in lines:
        raise _wrong(
            path, number, f"{printable(key)} appears again in its section; first in line {lines[name]}"
        )
    lines[name] = number
    section.values[name] = Secret(line[cut + 1 :].strip())
    section.spelled[name] = key


def _wrong(path: str, line: int, what: str) -> Misconfigured:
    return Misconfigured(f"{printable(path)}, line {line}: {what}", "mend this line of the credentials file")

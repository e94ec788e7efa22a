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

import os
import re
import stat
from typing import TYPE_CHECKING, NamedTuple

from .errors import Misconfigured, UnsafeFile
from .kinds import Secret
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


def read_private(path: str) -> bytes:
    """The content of a file that holds a secret, after a look at who else could have read or written it.

    Raises UnsafeFile when group or others have any permission, or when neither we nor root own it (a file of root's
    may let a group read, else nobody could use it); FileNotFoundError when it is not there; Misconfigured otherwise.
    """
    descriptor = _open(path)
    try:
        _refuse_unsafe(path, os.fstat(descriptor))
        return _all_of(descriptor, path)
    finally:
        os.close(descriptor)


def check_private(path: str) -> None:
    """Raises what `read_private` raises, without reading: for files that another library is going to read."""
    descriptor = _open(path)
    try:
        _refuse_unsafe(path, os.fstat(descriptor))
    finally:
        os.close(descriptor)


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


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Misconfigured(
            f"{printable(path)} cannot be read: {error.strerror}", "check the path and its permissions"
        ) from None


def _refuse_unsafe(path: str, status: os.stat_result) -> None:
    name = printable(path)
    if not stat.S_ISREG(status.st_mode):
        raise Misconfigured(f"{name} is not a regular file", "name a file that holds the credential")
    ours = os.geteuid()
    if status.st_uid not in (ours, 0):
        raise UnsafeFile(
            f"{name} holds credentials and belongs to another user (uid {status.st_uid}): refused",
            f"copy it to a file of your own with mode 0600, after a look at what is in it: {name}",
        )
    allowed = 0o040 if status.st_uid == 0 and ours != 0 else 0
    if status.st_mode & 0o077 & ~allowed:
        mode = stat.S_IMODE(status.st_mode)
        raise UnsafeFile(
            f"{name} holds credentials and others can read or change it (mode {mode:04o}): refused",
            f"chmod 600 {name}, and renew what was in it if others may have read it",
        )


def _all_of(descriptor: int, path: str) -> bytes:
    content = b""
    while chunk := os.read(descriptor, 1 << 16):
        content += chunk
        if len(content) > _MOST_BYTES:
            raise Misconfigured(
                f"{printable(path)} is larger than 1 MiB", "name a file that holds the credential"
            )
    return content

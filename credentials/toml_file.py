"""The credentials file in TOML: the same sections, with hosts and sites told apart, tables, and commands that make tokens.

::

    [site.osn]
    endpoint = "https://osn.example.org"
    [site.osn.user.alice]
    access-key = "..."
    secret-key = "..."
    [host."https://data.example.org"]
    headers = { X-Api-Key = "..." }
    [host."se.example.org:8443".write]
    token-command = ["oidc-token", "production"]

A key that nobody knows is refused, with its name: a misspelled one would be a credential that is silently missing.
"""

from __future__ import annotations

import re

from .errors import Misconfigured
from .file import CredentialsFile, Section, folded
from .kinds import Secret
from .redaction import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_TEXTS: Final = frozenset(
    [
        "endpoint",
        "region",
        "addressing",
        "anonymous",
        "access_key",
        "secret_key",
        "session_token",
        "username",
        "password",
        "token",
        "token_file",
        "issuer",
        "audience",
        "token_command_timeout",
        "oauth_token_url",
        "oauth_client_id",
        "oauth_client_secret",
        "oauth_refresh_token",
        "oauth_refresh_token_file",
        "oauth_scope",
        "oauth_audience",
        "proxy",
        "certificate",
        "key",
        "passphrase",
        "private_key",
        "google_credentials",
        "project",
        "user_project",
        "encryption_key",
        "client_id",
        "client_secret",
        "refresh_token",
        "access_token",
        "irods_environment_file",
        "ticket",
    ]
)
_LISTS: Final = frozenset({"token_command"})
_PURPOSES: Final = ("read", "write")


def parse_toml(text: str, path: str) -> CredentialsFile:
    """The sections of `text`. No message of an error repeats a value, which may be a secret in the wrong place."""
    import tomllib

    try:
        whole = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeEncodeError) as error:
        line = re.search(r"at line (\d+)", str(error))
        where = f", line {line[1]}" if line else ""
        raise Misconfigured(
            f"{printable(path)}{where}: is not TOML", "mend this line of the credentials file"
        ) from None
    sections: dict[str, Section] = {}
    for kind, entries in whole.items():
        if kind not in ("host", "site") or not isinstance(entries, dict):
            raise _wrong(path, printable(kind), 'is neither [host."NAME"] nor [site.NAME]')
        for name, table in entries.items():
            _take_section(sections, kind, name, table, path)
    return CredentialsFile(path, sections)


def _take_section(sections: dict[str, Section], kind: str, name: str, table: object, path: str) -> None:
    where = f"{kind}.{printable(name)}"
    if not isinstance(table, dict):
        raise _wrong(path, where, "is not a table")
    users = table.get("user", {})
    if not isinstance(users, dict):
        raise _wrong(path, f"{where}.user", "is not a table")
    for user, entries in users.items():
        _take_section(sections, kind, _of_user(user, name), entries, path)
    section = sections[f"{kind} {name}"] = Section(name, 0, path, {}, {}, {})
    _take_table(section, {key: value for key, value in table.items() if key != "user"}, where, "")


def _of_user(user: str, name: str) -> str:
    """`https://host` and `alice` are `https://alice@host`."""
    scheme, separator, host = name.rpartition("://")
    return f"{scheme}{separator}{user}@{host}"


def _take_table(section: Section, table: dict[str, object], where: str, prefix: str) -> None:
    for key, value in table.items():
        if isinstance(value, dict) and key in _PURPOSES and not prefix:
            _take_table(section, value, f"{where}.{key}", f"{key}.")
        elif isinstance(value, dict) and key == "headers":
            _take_headers(section, value, f"{where}.{key}", prefix)
        elif isinstance(value, dict) and key == "oauth":
            oauth = {f"oauth_{name}": entry for name, entry in value.items()}
            _take_table(section, oauth, f"{where}.{key}", prefix)
        else:
            _take_value(section, key, value, where, prefix)


def _take_headers(section: Section, table: dict[str, object], where: str, prefix: str) -> None:
    for name, value in table.items():
        if not isinstance(value, str):
            raise _wrong(section.path, f"{where}.{printable(name)}", "is not a text")
        key = f"{prefix}header.{name.lower()}"
        section.values[key] = Secret(value)
        section.spelled[key] = f"{prefix}header.{name}"


def _take_value(section: Section, key: str, value: object, where: str, prefix: str) -> None:
    name, place = folded(key), f"{where}.{printable(key)}"
    if name in _LISTS:
        if not isinstance(value, list) or not value or not all(isinstance(word, str) for word in value):
            raise _wrong(section.path, place, "is not a list of texts: it is run without a shell")
        section.lists[prefix + name] = tuple(value)
        return
    if name not in _TEXTS:
        raise _wrong(section.path, place, "is a key that nobody knows")
    if isinstance(value, bool):
        value = "yes" if value else "no"
    if not isinstance(value, str | int | float):
        raise _wrong(section.path, place, "is not a text")
    section.values[prefix + name] = Secret(str(value))
    section.spelled[prefix + name] = prefix + key


def _wrong(path: str, where: str, what: str) -> Misconfigured:
    return Misconfigured(f"{printable(path)}: {where} {what}", "mend this entry of the credentials file")

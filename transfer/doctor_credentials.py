"""The files and variables that credentials would come from, as far as they are there."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from ..credentials.errors import CredentialError
from ..credentials.inspection import Severity, duration, inspect, safety, source_file, utc
from ..credentials.redaction import printable
from .doctor_facts import Fact, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Final

    from ..credentials.kinds import Credential

_FILES: Final = {
    "WF_CREDENTIALS": "sections",
    "PEGASUS_CREDENTIALS": "sections",
    "BEARER_TOKEN_FILE": "token",
    "X509_USER_PROXY": "x509",
    "X509_USER_KEY": "",
    "SSH_PRIVATE_KEY": "",
    "GOOGLE_APPLICATION_CREDENTIALS": "",
    "AWS_SHARED_CREDENTIALS_FILE": "",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "",
    "NETRC": "",
}
"""Variables, also with `_<site>` behind them, that name a file with a secret; and what kind of file it is."""
_SECRETS: Final = ("AWS_SECRET_ACCESS_KEY", "BEARER_TOKEN", "AWS_SESSION_TOKEN")
"""Variables that hold a secret themselves, also with a site."""


def credential_facts(environment: Mapping[str, str], credentials_file: str) -> Iterator[Fact]:
    """Files that somebody named, whether they are there or not; those at usual places that are; names of variables."""
    named = list(_named(environment, credentials_file))
    for name, path, kind in named:
        yield _file_fact(name, path, kind, State.BROKEN)
    known = {path for _, path, _ in named}
    for path, kind in _usual(environment):
        if path not in known and os.path.lexists(path):
            yield _file_fact(printable(path), path, kind, State.WARNING)
    for name in sorted(environment):
        if environment[name] and not _file_variable(name) and _belongs(name, _SECRETS):
            yield Fact(
                "", f"${printable(name)}", "set (in the environment, which processes of yours can read)"
            )


def _named(environment: Mapping[str, str], credentials_file: str) -> Iterator[tuple[str, str, str]]:
    if credentials_file:
        yield "--credentials", credentials_file, "sections"
    for name in sorted(environment):
        variable = _file_variable(name)
        if variable and environment[name]:
            yield f"${printable(name)}", environment[name], _FILES[variable]


def _file_variable(name: str) -> str:
    return next((each for each in _FILES if _belongs(name, (each,))), "")


def _belongs(name: str, variables: tuple[str, ...]) -> bool:
    return any(name == each or name.startswith(f"{each}_") for each in variables)


def _usual(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    home, runtime = environment.get("HOME", ""), environment.get("XDG_RUNTIME_DIR", "")
    user = os.geteuid()
    if configuration := environment.get("XDG_CONFIG_HOME") or (os.path.join(home, ".config") if home else ""):
        yield os.path.join(configuration, "wf-transfer", "credentials.toml"), "sections"
    if home:
        yield os.path.join(home, ".pegasus", "credentials.conf"), "sections"
        yield os.path.join(home, ".netrc"), ""
        yield os.path.join(home, ".aws", "credentials"), ""
        yield os.path.join(home, ".globus", "userkey.pem"), ""
    if runtime:
        yield os.path.join(runtime, f"bt_u{user}"), "token"
    yield f"/tmp/bt_u{user}", "token"
    yield f"/tmp/x509up_u{user}", "x509"


def _file_fact(name: str, path: str, kind: str, worst: State) -> Fact:
    shown = "" if name == printable(path) else f"{printable(path)}, "
    unsafe = next(safety(path), None)
    if unsafe is not None:
        return Fact("", name, unsafe.message, worst, unsafe.remedy)
    value = f"{shown}mode {source_file(path).mode or 0:04o}"
    try:
        return _content_fact(name, path, kind, value, worst)
    except CredentialError as error:
        return Fact("", name, error.what, worst, error.remedy)


def _content_fact(name: str, path: str, kind: str, value: str, worst: State) -> Fact:
    """Raises CredentialError for a file that cannot be understood."""
    if kind == "sections":
        from ..credentials.file import read_credentials_file

        count = len(read_credentials_file(path).sections)
        return Fact("", name, f"{value}, {count} section{'s' if count != 1 else ''}")
    credential = _credential(path, kind)
    if credential is None:
        return Fact("", name, value)
    return _dated(name, credential, value, worst)


def _credential(path: str, kind: str) -> Credential | None:
    from ..credentials.kinds import Bearer, Certificate
    from ..credentials.private import read_private
    from ..credentials.tokens import token_in_text

    origin = printable(path)
    if kind == "token":
        token = token_in_text(read_private(path).decode("utf-8", "replace"), origin)
        return Bearer(token, name="token", origin=origin)
    return Certificate(path, path, name="proxy", origin=origin) if kind == "x509" else None


def _dated(name: str, credential: Credential, value: str, worst: State) -> Fact:
    now = time.time()
    found = inspect(credential, now=now)
    error = next((each for each in found.findings if each.severity is Severity.ERROR), None)
    if error is not None:
        # A token or proxy that is too old only hinders who needs it.
        state = State.WARNING if error.code in ("expired", "not-yet-valid") else worst
        return Fact("", name, f"{value}: {error.message}", state, error.remedy)
    if found.expires is not None:
        value += f", expires {utc(found.expires)} (in {duration(found.expires - now)})"
    return Fact("", name, value)

"""How the check of credentials is shown: for people, aligned; for programs, one JSON document (`docs/preflight.md`)."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from ..credentials.inspection import duration, utc
from ..credentials.query import S3_SCHEMES
from ..credentials.redaction import printable
from .preflight import CREDENTIAL, Standing
from .settings import Exit
from .version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final

    from ..credentials.inspection import Finding, Inspection, SourceFile
    from .preflight import EndpointCheck, Preflight

FORMAT: Final = 1
"""`version` of the JSON document; it stays while members are only added."""
_COLUMN: Final = max(map(len, Standing)) + 2
_SHOWN: Final = 4
"""Scopes, audiences and sites of one line; the JSON document has all."""


def as_text(found: Preflight) -> str:
    """One block for each endpoint and credential, then what it comes to."""
    told: dict[str, str] = {}
    lines = [line for each in found.endpoints for line in _block(each, found.checked, told)]
    if found.authorities is not None:
        state = "authorities" if found.authorities.finding is None else Standing.BROKEN.value
        name = "certificate authorities: " if found.authorities.finding else ""
        lines.append(f"{state:<{_COLUMN}}{name}{found.authorities.origin}")
        if found.authorities.finding is not None:
            lines += _finding(found.authorities.finding)
    return "\n".join((*lines, _total(found))) + "\n"


def as_json(found: Preflight) -> str:
    """The document as text."""
    import json

    document = {
        "version": FORMAT,
        "tool": {"name": "wf-transfer", "version": VERSION},
        "checked": utc(found.checked),
        "expected_end": _time(found.expected_end),
        "online": found.online,
        "exit": int(found.exit),
        "requests": found.requests,
        "blocked": found.blocked,
        "authorities": None
        if found.authorities is None
        else {
            "origin": found.authorities.origin,
            "findings": [_record(found.authorities.finding)] if found.authorities.finding else [],
        },
        "endpoints": [_endpoint_record(each) for each in found.endpoints],
    }
    return json.dumps(document, indent=1) + "\n"


# --- for people


def _block(check: EndpointCheck, now: float, told: dict[str, str]) -> Iterator[str]:
    """`told` holds where no credential was found, and the endpoint that it was told at."""
    sites = f" (site {_few(check.sites)})" if check.sites else ""
    accesses = ", ".join(check.accesses)
    yield f"{check.standing:<{_COLUMN}}{_endpoint(check)}{sites}: {accesses}, {_requests(check.requests)}"
    if check.credential is not None and check.credential.kind == "anonymous":
        yield _indented(_nothing(check, check.credential.origin, told))
    elif check.credential is not None:
        yield from map(_indented, _credential(check.credential, now + (check.clock_ahead or 0.0)))
    if check.answer:
        yield _indented(f"asked: {check.answer}{_clock(check.clock_ahead)}")
    for finding in check.findings:
        yield from _finding(finding)
    if check.standing not in (Standing.FINE, Standing.ANONYMOUS):
        yield _indented(_consequence(check))


def _nothing(check: EndpointCheck, origin: str, told: dict[str, str]) -> str:
    before = told.setdefault(origin, _endpoint(check))
    where = origin if before == _endpoint(check) else f"looked where it was for {before}"
    return f"no credential: {where}"


def _clock(ahead: float | None) -> str:
    seconds = round(abs(ahead or 0.0))
    return f", and its clock differs by {seconds} s" if seconds else ""


def _consequence(check: EndpointCheck) -> str:
    if not check.blocked:
        return "every request has another way"
    reason = " for want of a credential" if check.standing in CREDENTIAL else ""
    return f"{_requests(check.blocked)} cannot be done{reason}"


def _requests(count: int) -> str:
    return f"{count:,} request{'' if count == 1 else 's'}"


def _endpoint(check: EndpointCheck) -> str:
    if check.scheme in S3_SCHEMES and "@" not in check.endpoint:
        return (
            f"{check.scheme}:" if check.endpoint == check.scheme else f"{check.scheme}: of {check.endpoint}"
        )
    return f"{check.scheme}://{check.endpoint}"


def _credential(found: Inspection, now: float) -> Iterator[str]:
    files = "".join(f" ({_mode(each)})" for each in found.files[:1])
    yield f"{found.kind} {printable(found.name)} from {found.origin}{files}"
    if found.expires is not None:
        when = (
            f"in {duration(found.expires - now)}"
            if found.expires > now
            else f"{duration(now - found.expires)} ago"
        )
        renewed = "; its file is read again" if found.renewable else ""
        yield f"expires {utc(found.expires)} ({when}){renewed}"
    facts = (
        ("subject", found.subject),
        ("issuer", found.issuer),
        ("audience", _few(found.audiences)),
        ("scope", _few(found.scopes)),
        ("service", found.service),
    )
    told = [f"{name} {value}" for name, value in facts if value]
    if told:
        yield ", ".join(told)


def _mode(file: SourceFile) -> str:
    if file.mode is None:
        return "not there"
    owner = {0: "root's", os.geteuid(): "yours"}.get(file.owner or 0, f"of user {file.owner}")
    return f"mode {file.mode:04o}, {owner}"


def _finding(finding: Finding) -> Iterator[str]:
    yield _indented(f"{finding.severity}: {printable(finding.message)} [{finding.code}]")
    if finding.remedy:
        yield _indented(f"what to do: {printable(finding.remedy)}", 2)


def _total(found: Preflight) -> str:
    standings = Counter(each.standing for each in found.endpoints)
    counts = ", ".join(f"{standings[standing]} {standing}" for standing in Standing if standings[standing])
    count = len(found.endpoints)
    text = f"{count} endpoint{'s' if count != 1 else ''}: {counts}" if count else "only this machine's files"
    if not found.online and count:
        text += "; no server was asked (--online does)"
    if found.expected_end is not None:
        text += f"; expected end {utc(found.expected_end)}"
    if found.blocked:
        reason = " for want of a credential" if found.exit is Exit.CREDENTIAL else ""
        text += f"; {found.blocked:,} of {_requests(found.requests)} cannot be done{reason}"
    return f"{text} (exit code {int(found.exit)})"


def _indented(text: str, more: int = 0) -> str:
    return " " * (_COLUMN + more) + text


def _few(words: Sequence[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return printable(" ".join(words[:_SHOWN])) + more


# --- for programs


def _endpoint_record(check: EndpointCheck) -> dict[str, object]:
    return {
        "scheme": check.scheme,
        "endpoint": check.endpoint,
        "sites": list(check.sites),
        "accesses": list(check.accesses),
        "requests": check.requests,
        "blocked": check.blocked,
        "standing": check.standing,
        "credential": None if check.credential is None else _credential_record(check.credential),
        "answer": check.answer,
        "clock_ahead": check.clock_ahead,
        "findings": [_record(each) for each in check.findings],
    }


def _credential_record(found: Inspection) -> dict[str, object]:
    return {
        "kind": found.kind,
        "name": found.name,
        "origin": found.origin,
        "files": [_file_record(each) for each in found.files],
        "subject": found.subject,
        "issuer": found.issuer,
        "audiences": list(found.audiences),
        "scopes": list(found.scopes),
        "not_before": _time(found.not_before),
        "expires": _time(found.expires),
        "service": found.service,
        "renewable": found.renewable,
    }


def _file_record(file: SourceFile) -> dict[str, object]:
    return {
        "path": file.path,
        "mode": None if file.mode is None else f"{file.mode:04o}",
        "owner": file.owner,
    }


def _record(finding: Finding) -> dict[str, object]:
    return {
        "code": finding.code,
        "severity": finding.severity,
        "message": finding.message,
        "remedy": finding.remedy,
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else utc(seconds)

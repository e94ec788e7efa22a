"""What a JSON Web Token says of itself, unverified: for looking ahead, never for trusting (RFC 7519).

Its scopes are read as the WLCG Common JWT Profiles (`storage.read:/path`) and SciTokens (`read:/path`) define them.
"""

from __future__ import annotations

import json
import posixpath
from enum import StrEnum

from .records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

ANYONE: Final = frozenset({"any", "https://wlcg.cern.ch/jwt/v1/any"})
"""The audiences that mean every service."""
_LAST_SECOND: Final = 253402300799
"""Of the year 9999: what is later is no date."""


class Access(StrEnum):
    """What is done at a path."""

    READ = "read"
    CREATE = "create"
    REMOVE = "remove"


class Granted(StrEnum):
    YES = "yes"
    PERHAPS = "perhaps"
    """The path is granted if the service puts the token's paths below a folder of its own, as many do."""
    NO = "no"
    UNTOLD = "untold"
    """The scopes say nothing about storage."""


class Claims(NamedTuple):
    """The claims that matter for a transfer. Empty and None where the token has none."""

    subject: str = ""
    issuer: str = ""
    audiences: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    not_before: float | None = None
    """Seconds since 1970; the time of issue where the token names no other."""
    expires: float | None = None


class Grant(NamedTuple):
    """One scope about storage."""

    accesses: frozenset[Access]
    path: str


def claims_of(token: str) -> Claims | None:
    """The claims of a JWT; None for a token of another kind. Its signature is not looked at."""
    pieces = token.strip().split(".")
    if len(pieces) != 3:
        return None
    from base64 import urlsafe_b64decode

    try:
        found = json.loads(urlsafe_b64decode(pieces[1] + "=" * (-len(pieces[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    return _claims(found) if isinstance(found, dict) else None


def addresses(audiences: tuple[str, ...], host: str) -> bool:
    """Whether a token for these audiences may be shown to `host`, which may have a port.

    False only where every audience is a host name or URL, and none of them is this one: what an audience of another
    kind means only issuer and service know.
    """
    if not audiences or any(name.lower() in ANYONE or not _is_place(name) for name in audiences):
        return True
    hosts = {host.lower(), host.lower().removesuffix(":443"), _without_port(host.lower())}
    return any(_place(name) in hosts for name in audiences)


def grants_of(scopes: Iterable[str]) -> tuple[Grant, ...]:
    """The scopes that are about storage. One without a path is about all paths."""
    found = []
    for scope in scopes:
        word, _, path = scope.partition(":")
        accesses = _ACCESSES.get(word)
        if accesses is not None:
            found.append(Grant(accesses, posixpath.normpath(f"/{path.strip('/')}")))
    return tuple(found)


def granted(grants: tuple[Grant, ...], access: Access, path: str) -> Granted:
    """Whether the grants allow the access at a decoded path that begins with a slash."""
    if not grants:
        return Granted.UNTOLD
    place = posixpath.normpath(f"/{path.strip('/')}")
    usable = [grant.path for grant in grants if access in grant.accesses]
    if any(_covers(allowed, place) for allowed in usable):
        return Granted.YES
    return Granted.PERHAPS if any(f"{allowed}/" in f"{place}/" for allowed in usable) else Granted.NO


_READS: Final = frozenset({Access.READ})
_CREATES: Final = frozenset({Access.CREATE})
_CHANGES: Final = frozenset({Access.CREATE, Access.REMOVE})
_ACCESSES: Final = {
    "storage.read": _READS,
    "storage.stage": _READS,
    "storage.create": _CREATES,
    "storage.modify": _CHANGES,
    "read": _READS,
    "write": _CHANGES,
}


def _is_place(name: str) -> bool:
    return "://" in name or "." in name


def _place(name: str) -> str:
    return (name.partition("://")[2] or name).partition("/")[0].lower().removesuffix(":443")


def _without_port(host: str) -> str:
    before, colon, port = host.rpartition(":")
    return before if colon and port.isdigit() else host


def _covers(allowed: str, place: str) -> bool:
    return allowed in ("/", place) or place.startswith(f"{allowed}/")


def _claims(found: dict[str, object]) -> Claims:
    begin = _seconds(found.get("nbf"))
    return Claims(
        _text(found.get("sub")),
        _text(found.get("iss")),
        _texts(found.get("aud")),
        # `scp` is what some issuers call it.
        tuple(word for text in _texts(found.get("scope") or found.get("scp")) for word in text.split()),
        _seconds(found.get("iat")) if begin is None else begin,
        _seconds(found.get("exp")),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _seconds(value: object) -> float | None:
    """A NumericDate (RFC 7519, 2); None for anything that is no time."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= _LAST_SECOND:
        return None
    return float(value)

"""Bearer tokens: where WLCG's discovery has them, and whom a token says it is for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from .errors import Misconfigured
from .file import read_private
from .kinds import Secret
from .redaction import printable

if TYPE_CHECKING:
    from typing import Final

# The audience "anyone" of the WLCG and SciTokens profiles.
_ANYONE: Final = frozenset({"any", "https://wlcg.cern.ch/jwt/v1/any"})


def token_in_text(text: str, origin: str) -> Secret:
    """The token without the white space around it. Raises Misconfigured when it cannot be sent as a header."""
    token = text.strip()
    if not token or any(not "!" <= letter <= "~" for letter in token):
        raise Misconfigured(
            f"{origin} does not hold a token: it is empty or has characters no token has",
            "put the token there, and nothing else",
        )
    return Secret(token)


def token_in_file(path: str, origin: str) -> Secret:
    """The token that a file holds. Raises UnsafeFile and Misconfigured."""
    try:
        content = read_private(path)
    except FileNotFoundError:
        raise Misconfigured(
            f"{origin} names {printable(path)}, which is not there",
            "make the token file, or unset the variable",
        ) from None
    return token_in_text(content.decode("utf-8", "replace"), f"{origin}={printable(path)}")


def meant_for(token: Secret, host: str) -> bool:
    """Whether the token may be shown to this host, as far as it tells itself.

    False only for a JWT whose audiences are all host names or URLs, none of them of this host. A token of another
    kind, or with an audience of another kind, does not tell.
    """
    names = _audiences(token.reveal())
    if not names or any(name.lower() in _ANYONE or not _is_place(name) for name in names):
        return True
    plain = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return any(_place(name) in (host, plain) for name in names)


def _audiences(token: str) -> tuple[str, ...]:
    """The `aud` claim of an unverified JWT (RFC 7519, 4.1.3); empty if there is none or it is not a JWT."""
    pieces = token.split(".")
    if len(pieces) != 3:
        return ()
    from base64 import urlsafe_b64decode

    try:
        claims = json.loads(urlsafe_b64decode(pieces[1] + "=" * (-len(pieces[1]) % 4)))
        found = claims.get("aud", ())
    except (ValueError, AttributeError):
        return ()
    if isinstance(found, str):
        return (found,)
    return tuple(name for name in found if isinstance(name, str)) if isinstance(found, list) else ()


def _is_place(name: str) -> bool:
    return "://" in name or "." in name


def _place(name: str) -> str:
    after = name.partition("://")[2] or name
    return after.partition("/")[0].lower()

"""What one server is given to present to the other one of a third-party copy.

Nobody's credential is handed to a server that it was not configured for. What is handed over is the token that both servers are
shown anyway; else a macaroon that the other server makes for this one file, this one purpose and this hour.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from .errors import TransferError, Unsupported
from .webdav_server import LEAVE
from .wire import origin_of

if TYPE_CHECKING:
    from typing import Final

    from .locations import Location
    from .webdav import WebdavStore

_FIELD: Final = f"{LEAVE}Authorization"
_VALIDITY: Final = "PT60M"
_REQUEST: Final = ("Content-Type", "application/macaroon-request")


def leave_for(
    store: WebdavStore, active: Location, passive: Location, activity: str, purpose: str
) -> tuple[tuple[str, str], ...]:
    """The field that carries it to `active`; none where `passive` asks for no credential. Raises Unsupported."""
    shown = store.shown_for("GET", passive, purpose)
    if not shown.fields and shown.certificate is None:
        return ()
    theirs = store.shown_for("GET", active, "read" if purpose == "write" else "write")
    bearer = [
        value for name, value in shown.fields if name == "Authorization" and value.startswith("Bearer ")
    ]
    if bearer and shown.fields == theirs.fields:
        return ((_FIELD, bearer[0]),)
    macaroon = _macaroon(store, passive, activity, purpose)
    if macaroon:
        return ((_FIELD, f"Bearer {macaroon}"),)
    raise Unsupported(
        f"{passive.shown}: the server makes no macaroons, and {shown.name} is not given to another server"
    )


def _macaroon(store: WebdavStore, location: Location, activity: str, purpose: str) -> str:
    """A token for one file and one hour; empty where the server makes none."""
    known = store.known(location)
    if known.no_macaroons:
        return ""
    try:
        text = _asked(store, location, activity, purpose)
    except TransferError:
        text = ""
    known.no_macaroons = not text
    return text


def _asked(store: WebdavStore, location: Location, activity: str, purpose: str) -> str:
    body = json.dumps({"caveats": [f"activity:{activity}"], "validity": _VALIDITY}).encode()
    visit = store.post(location, body, (_REQUEST,), purpose)
    told = visit.answer.read_all(64 << 10) if visit.answer.status in (200, 201) else b""
    visit.answer.close()
    if visit.origin != origin_of(location.url)[0]:
        return ""
    try:
        found = json.loads(told)["macaroon"]
    except (ValueError, KeyError, TypeError):
        return ""
    return found if isinstance(found, str) and found.isascii() and found.isprintable() else ""

"""Refresh tokens of Globus in a file of mode 0600: what a login left, and what replaced a token since.

The file is JSON: `{"client_id": ..., "tokens": {"transfer.api.globus.org": {"refresh_token": ...}, "<collection>": ...}}`.
"""

from __future__ import annotations

import contextlib
import json
import os

from .errors import Misconfigured
from .kinds import Secret
from .private import STRICT, read_seen, write_private
from .records import NamedTuple
from .redaction import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from .private import Policy, Seen

TRANSFER_SERVER: Final = "transfer.api.globus.org"
"""What Globus calls the resource server of Transfer."""


class Login(NamedTuple):
    """Who logged in by which application, and the refresh token of each server."""

    client_id: str
    tokens: dict[str, Secret]


def read_login(path: str, policy: Policy = STRICT) -> tuple[Login, Seen]:
    """What the file holds, and which version of it. Raises FileNotFoundError, UnsafeFile and Misconfigured."""
    content, seen = read_seen(path, policy)
    try:
        found = json.loads(content)
        tokens = {
            str(server): Secret(str(entry["refresh_token"])) for server, entry in found["tokens"].items()
        }
        return Login(str(found["client_id"]), tokens), seen
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Misconfigured(
            f"{printable(path)} does not hold a Globus login", "run `wf-transfer globus login` again"
        ) from None


def write_login(path: str, login: Login) -> None:
    """Replaces the file at once, its folder made. Raises OSError."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    tokens = {server: {"refresh_token": token.reveal()} for server, token in login.tokens.items()}
    write_private(path, json.dumps({"client_id": login.client_id, "tokens": tokens}).encode() + b"\n")


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Nobody else on this machine renews the tokens of this file meanwhile: some work only once."""
    if not path:
        yield
        return
    import fcntl

    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        yield  # a folder that cannot be written to
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def newest(path: str, server: str) -> Secret | None:
    """The refresh token that the file has now for the server; None where there is none, or no file that can be used."""
    from .errors import CredentialError

    try:
        return read_login(path)[0].tokens.get(server) if path else None
    except (FileNotFoundError, CredentialError):
        return None


def keep(path: str, client_id: str, server: str, token: Secret) -> None:
    """Writes down the refresh token that replaces the server's one; the others stay. Raises OSError and CredentialError."""
    try:
        login, _ = read_login(path)
    except FileNotFoundError:
        login = Login(client_id, {})
    write_login(path, Login(client_id, {**login.tokens, server: token}))

"""What the Globus services take: a client's secret, a refresh token, or an access token.

A login of ours, `wf-transfer globus login`, leaves refresh tokens in a file of mode 0600, one for each server: Transfer, and
the collections whose files are read and written directly.
"""

from __future__ import annotations

import os.path

from .errors import CredentialError, Misconfigured
from .file import parse_credentials
from .globus_tokens import TRANSFER_SERVER, Login, read_login
from .kinds import Globus, Secret
from .private import passed_over, read_seen
from .query import GLOBUS_SCHEMES, as_variable
from .redaction import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .file import Section
    from .kinds import Credential, GlobusForm
    from .means import Means
    from .private import Seen
    from .query import Query


class GlobusVariables:
    """`GLOBUS_CLIENT_ID`, `GLOBUS_CLIENT_SECRET`, `GLOBUS_REFRESH_TOKEN`, `GLOBUS_ACCESS_TOKEN`, with `_<site>` or without."""

    slow = ""

    def __init__(self, means: Means, *, general: bool) -> None:
        self._means = means
        self._general = general

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        if query.scheme not in GLOBUS_SCHEMES or not (query.site or self._general):
            return None
        suffix = "" if self._general else f"_{as_variable(query.site)}"
        prefixes = ("GLOBUS_", "GLOBUS_CLI_") if self._general else ("GLOBUS_",)
        for prefix in prefixes:
            found = self._with(prefix, suffix)
            if found is not None:
                return found
            looked.append(f"{prefix}CLIENT_ID{suffix}")
        looked.append(f"GLOBUS_ACCESS_TOKEN{suffix}")
        return None

    def _with(self, prefix: str, suffix: str) -> Globus | None:
        values = {
            key: self._means.value(f"{prefix}{key.upper()}{suffix}")
            for key in ("client_id", "client_secret", "refresh_token", "access_token")
        }
        name = f"{prefix}CLIENT_ID{suffix}" if values["client_id"] else f"{prefix}ACCESS_TOKEN{suffix}"
        found = _made(values, name, f"${name}", means=self._means)
        if found is None and values["client_secret"]:
            raise Misconfigured(
                f"{prefix}CLIENT_SECRET{suffix} is set, but {prefix}CLIENT_ID{suffix} is not", "set both"
            )
        return found


class GlobusFile:
    """`~/.pegasus/globus.conf`, which a login of Pegasus leaves: section `[oauth]`."""

    slow = ""

    def __init__(self, means: Means) -> None:
        self._means = means

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        path = self._means.home(".pegasus", "globus.conf")
        if query.scheme not in GLOBUS_SCHEMES or not path:
            return None
        try:
            content, seen = read_seen(path, self._means.policy)
            section = parse_credentials(content.decode("utf-8", "replace"), path).first(("oauth",))
        except FileNotFoundError:
            looked.append(f"{printable(path)} (not there)")
            return None
        except CredentialError as error:
            looked.append(passed_over(error))
            return None
        if section is None:
            looked.append(f"[oauth] of {printable(path)} (not there)")
            return None
        values = {
            "client_id": section.text("client_id"),
            "refresh_token": section.text("transfer_rt"),
            "access_token": section.text("transfer_at"),
        }
        expires = section.text("transfer_at_exp")
        end = float(expires) if expires.isdigit() and not values["refresh_token"] else None
        return _made(values, "globus.conf", section.origin, end, (seen,), means=self._means)


class GlobusLogin:
    """What `wf-transfer globus login` left."""

    slow = ""

    def __init__(self, means: Means) -> None:
        self._means = means

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        path = login_file(self._means)
        if query.scheme not in GLOBUS_SCHEMES or not path:
            return None
        try:
            login, seen = read_login(path, self._means.policy)
        except FileNotFoundError:
            looked.append(f"{printable(path)} (not there)")
            return None
        except CredentialError as error:
            looked.append(passed_over(error))
            return None
        token = login.tokens.get(TRANSFER_SERVER)
        if token is None:
            looked.append(f"{printable(path)} (no token for Transfer)")
            return None
        about = {"name": "globus login", "origin": printable(path), "seen": (seen,)}
        return Globus("refresh", token, client_id=login.client_id, others=_others(login), kept=path, **about)  # type: ignore[arg-type]


def login_file(means: Means) -> str:
    """Where a login of ours is kept; empty without a home."""
    folder = means.value("XDG_CONFIG_HOME") or means.home(".config")
    return os.path.join(folder, "wf-transfer", "globus.json") if folder else ""


def _others(login: Login) -> tuple[tuple[str, Secret], ...]:
    return tuple(
        sorted((server, token) for server, token in login.tokens.items() if server != TRANSFER_SERVER)
    )


def globus_in_section(section: Section, means: Means | None = None) -> Credential | None:
    """What `client_id` with `client_secret` or `refresh_token`, or `access_token` alone, of a section means."""
    keys = ("client_id", "client_secret", "refresh_token", "access_token")
    values = {key: section.text(key) for key in keys}
    return _made(values, section.name, section.origin, None, section.seen, means=means)


def _made(
    values: dict[str, str],
    name: str,
    origin: str,
    expires: float | None = None,
    seen: tuple[Seen, ...] = (),
    *,
    means: Means | None,
) -> Globus | None:
    """The strongest of what is there: what can be renewed before what cannot."""
    client = values["client_id"]
    forms: tuple[tuple[GlobusForm, str, bool], ...] = (
        ("client", "client_secret", True),
        ("refresh", "refresh_token", True),
        ("access", "access_token", False),
    )
    for form, key, needs_client in forms:
        if values.get(key) and (client or not needs_client):
            secret, kept = Secret(values[key]), ""
            if form == "refresh" and means is not None:
                secret, kept = _newest(client, secret, means)
            return Globus(
                form,
                secret,
                client_id=client,
                kept=kept,
                name=name,
                origin=origin,
                expires=expires,
                seen=seen,
            )
    return None


def _newest(client: str, given: Secret, means: Means) -> tuple[Secret, str]:
    """The refresh token that has replaced the given one, or that itself; and the file where replacements are kept."""
    folder = means.value("XDG_STATE_HOME") or means.home(".local", "state")
    if not folder:
        return given, ""
    from hashlib import sha256

    mark = sha256(f"{client}\0{given.reveal()}".encode()).hexdigest()[:16]
    path = os.path.join(folder, "wf-transfer", f"globus-{mark}.json")
    try:
        login, _ = read_login(path, means.policy)
    except (FileNotFoundError, CredentialError):
        return given, path
    return login.tokens.get(TRANSFER_SERVER, given), path

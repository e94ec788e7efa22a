"""iRODS environment files, and what logs in with them: a password, an authentication file, a ticket."""

from __future__ import annotations

import json
import os

from .errors import Misconfigured, MissingCredential
from .kinds import Basic, Irods, Secret
from .private import check_private, seen_now
from .query import IRODS_SCHEMES, as_variable
from .redaction import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .file import Section
    from .kinds import Credential
    from .means import Means
    from .private import Seen
    from .query import Query


class IrodsVariables:
    """`IRODS_ENVIRONMENT_FILE_<site>`, or with `general` without a site; then `~/.irods/irods_environment.json`."""

    slow = ""

    def __init__(self, means: Means, *, general: bool) -> None:
        self._means = means
        self._general = general

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        if query.scheme not in IRODS_SCHEMES or not (query.site or self._general):
            return None
        suffix = "" if self._general else f"_{as_variable(query.site)}"
        for name, path in self._means.named((f"IRODS_ENVIRONMENT_FILE{suffix}",), looked):
            ticket = self._means.value(f"IRODS_TICKET{suffix}")
            return irods_at(path, self._means, name, f"${name}={printable(path)}", ticket=ticket)
        path = self._means.home(".irods", "irods_environment.json") if self._general else ""
        if not path:
            return None
        if os.path.exists(path):
            ticket = self._means.value("IRODS_TICKET")
            return irods_at(path, self._means, "irods_environment.json", printable(path), ticket=ticket)
        looked.append(f"{printable(path)} (not there)")
        return None


def irods_in_section(section: Section, means: Means) -> Credential | None:
    """What `irods_environment_file`, `password` and `ticket` of a section mean.

    Without the file the URL has to name the server: then `username` and `password`, or a `ticket` alone, are enough.
    """
    path = section.text("irods_environment_file")
    if not path:
        return _without_environment(section)
    return irods_at(
        path,
        means,
        section.name,
        section.origin,
        password=section.text("password"),
        ticket=section.text("ticket"),
        seen=section.seen,
    )


def _without_environment(section: Section) -> Credential | None:
    password, ticket = section.secret("password"), section.secret("ticket")
    if ticket is not None:
        return Irods("ticket", "", ticket=ticket, name=section.name, origin=section.origin, seen=section.seen)
    if password is None:
        return None
    return Basic(
        section.text("username"), password, name=section.name, origin=section.origin, seen=section.seen
    )


def irods_at(
    path: str,
    means: Means,
    name: str,
    origin: str,
    *,
    password: str = "",
    ticket: str = "",
    seen: tuple[Seen, ...] = (),
) -> Irods:
    """The environment in a file that somebody named. Raises MissingCredential, UnsafeFile and Misconfigured.

    Pegasus keeps password and ticket in it as `irodsPassword` and `irodsTicket`; only then it must be private.
    """
    values = _values(path, origin)
    inside = [str(values.get(key, "")) for key in ("irodsPassword", "irodsTicket")]
    checked = check_private(path, means.policy) if any(inside) else seen_now(path)
    seen = (*seen, checked) if checked is not None else seen
    password, ticket = password or inside[0], ticket or inside[1]
    file = ""
    if not password and not ticket:
        file, kept = _authentication_file(values, means, origin)
        seen = (*seen, kept)
    scheme = str(values.get("irods_authentication_scheme", "native")).lower()
    return Irods(
        "ticket" if ticket else "pam" if scheme.startswith("pam") else "native",
        path,
        authentication_file=file,
        password=Secret(password) if password else None,
        ticket=Secret(ticket) if ticket else None,
        name=name,
        origin=origin,
        seen=seen,
    )


def _values(path: str, origin: str) -> dict[str, object]:
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read(1 << 20))
    except FileNotFoundError:
        raise MissingCredential(
            f"{origin} is not there", "check the path, and that the file was shipped with the job"
        ) from None
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise Misconfigured(
            f"{origin} is not a JSON object", "it must be an irods_environment.json"
        ) from None
    return found


def _authentication_file(values: dict[str, object], means: Means, origin: str) -> tuple[str, Seen]:
    """The file that `iinit` wrote. Raises when it is missing or others can read it."""
    named = values.get("irods_authentication_file")
    path = means.value("IRODS_AUTHENTICATION_FILE") or (
        named if isinstance(named, str) and named else means.home(".irods", ".irodsA")
    )
    path = os.path.expanduser(path)
    try:
        return path, check_private(path, means.policy)
    except FileNotFoundError:
        raise MissingCredential(
            f"{origin} has neither a password nor a ticket, and {printable(path)} is not there",
            "run iinit, or put password or ticket into the site's section of the credentials file",
        ) from None

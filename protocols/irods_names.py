"""What an iRODS location means: which server, as whom, which resource, and the path in the catalogue.

An authority with a port is a server, `irods://[user@]host:port/zone/path`. Without one it is a resource of the zone that the
environment file names, `irods://[resource]/zone/path`, and may be empty.
"""

from __future__ import annotations

import re

from ..checksum.records import NamedTuple
from .errors import LocalRefused, Misconfigured

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .locations import Location

_SERVER = r"(?:(?P<user>[^@]*)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^@:\[\]]+):(?P<port>[0-9]+)"
_PATH_MOST = 1000
"""Bytes; iRODS has room for 1088 with what it puts behind."""


class Authority(NamedTuple):
    """What stands before the path. With an empty `host` the environment file tells the server."""

    host: str = ""
    port: int = 0
    user: str = ""
    resource: str = ""


def authority_of(location: Location) -> Authority:
    """Raises Misconfigured for one that is neither a server nor a resource."""
    text = location.host
    if not text:
        return Authority()
    match = re.fullmatch(_SERVER, text)
    if match is None:
        if "@" in text or ":" in text:
            raise Misconfigured(
                f"{location.shown}: what follows irods:// is neither host:port nor a resource",
                remedy="write irods://[user@]host:port/zone/path, or irods://[resource]/zone/path",
            )
        return Authority(resource=text)
    user = match["user"] or ""
    if ":" in user:
        raise Misconfigured(
            f"{location.shown}: a password does not belong into the URL",
            remedy="put it into a section of the credentials file",
        )
    port = int(match["port"][:6])
    if not 0 < port < 65_536:
        raise Misconfigured(
            f"{location.shown}: there is no port {match['port'][:6]}", remedy="iRODS's is 1247"
        )
    return Authority(match["host"].strip("[]"), port, user)


def path_of(location: Location, *, folder: bool = False) -> str:
    """The path in the catalogue, `/zone/...`, without empty parts; for a `folder` a slash at the end means nothing.

    Raises LocalRefused for what cannot be a path there.
    """
    path = location.path
    if not path.startswith("/") or path.strip("/") == "":
        raise _no_path(location, "the path does not begin with a zone")
    parts = [part for part in path.split("/") if part]
    if "." in parts or ".." in parts:
        raise _no_path(location, "a path in iRODS has no . and no ..")
    if path.endswith("/") and not folder:
        raise _no_path(location, "a data object's name does not end with a slash")
    if len(parts) < 2 and not folder:
        raise _no_path(location, "this is a zone and not a data object")
    clean = "/" + "/".join(parts)
    try:
        encoded = clean.encode()
    except UnicodeEncodeError:
        raise _no_path(location, "a name in iRODS is text in UTF-8, and this one is not") from None
    if len(encoded) > _PATH_MOST:
        raise _no_path(location, f"a path in iRODS has at most {_PATH_MOST} bytes")
    return clean


def _no_path(location: Location, why: str) -> LocalRefused:
    return LocalRefused(f"{location.shown}: {why}", remedy="write irods://[resource]/zone/home/user/name")


def zone_of(path: str) -> str:
    return path.split("/", 2)[1]


def split(path: str) -> tuple[str, str]:
    """The collection and the name in it."""
    collection, _, name = path.rpartition("/")
    return collection or "/", name


def shown_path(path: str) -> str:
    from ..credentials.redaction import printable

    return printable(path)

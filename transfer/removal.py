"""What must never be removed, whatever a batch says. Pure, apart from looking at local paths."""

from __future__ import annotations

import os
from contextlib import suppress

from ..protocols.errors import End, LocalRefused
from ..protocols.locations import BUCKET_SCHEMES, HOME_SCHEMES, ZONE_SCHEMES, Rule, query_start, rule_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..protocols.locations import Location

_REMEDY = (
    "correct the path; --allow-dangerous-remove on the command line is for the rare case that it is meant"
)


def insist_on_safe(target: Location) -> None:
    """Raises `LocalRefused` for a root, a home, the working directory, an ancestor of these, a mount point or a bucket."""
    why = _local_danger(target.path) if target.is_local else _remote_danger(target)
    if why:
        raise LocalRefused(
            f"{target.shown} is not removed: it is {why}", end=End.DESTINATION, step="remove", remedy=_REMEDY
        )


def _local_danger(path: str) -> str:
    """What makes the path precious, judged by where it is, not by where a link at its end points; empty if nothing."""
    real = _where(path)
    for precious, what in _precious():
        if _same_or_above(real, precious):
            return what if real == precious else f"above {what}"
    if not os.path.islink(real) and os.path.ismount(real):
        return "a mount point"
    return ""


def _where(path: str) -> str:
    """The path as the system walks it: `link/..` is the folder above the link's target, not the one that holds the link."""
    folder, name = os.path.split(path.rstrip("/"))
    if name in ("", ".", ".."):
        return os.path.realpath(path)
    return os.path.join(os.path.realpath(folder), name)


def _precious() -> list[tuple[str, str]]:
    places = [("/", "the root")]
    with suppress(OSError):  # it may have been removed under us
        places.append((os.getcwd(), "the working directory"))
    # `$HOME` of a job is often its scratch folder: the account's own home is no less precious.
    homes = dict.fromkeys((os.path.expanduser("~"), os.path.expanduser(f"~{_account()}")))
    places += [(home, "a home directory") for home in homes if os.path.isabs(home)]
    return [(os.path.realpath(path), what) for path, what in places]


def _account() -> str:
    """The name of this account; empty where the system knows none, as in some containers."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""


def _same_or_above(path: str, precious: str) -> bool:
    return path == precious or precious.startswith(path.rstrip("/") + "/")


def _remote_danger(target: Location) -> str:
    path = target.path[: query_start(target.scheme, target.path)]
    if rule_of(target.scheme) is Rule.URL:
        from urllib.parse import unquote

        path = unquote(path, errors="surrogateescape")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        return "written with `..`, so that nobody can say what it is"
    if target.scheme in HOME_SCHEMES and parts == ["~"]:
        return "a home directory"
    if target.scheme in BUCKET_SCHEMES:
        return "" if len(parts) > 1 else "a whole bucket"
    if target.scheme in ZONE_SCHEMES:
        return _zone_danger(parts)
    return "" if parts else "the root of the service"


def _zone_danger(parts: list[str]) -> str:
    """An iRODS path is `/zone/home/user/...`; `trash` has the same form."""
    if len(parts) < 2:
        return "a whole zone"
    if parts[1] in ("home", "trash") and len(parts) < 4:
        return "a home collection" if len(parts) == 3 else "the homes of a zone"
    return ""

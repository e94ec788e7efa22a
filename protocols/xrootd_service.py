"""What a server says of itself, and which servers stand behind one that only knows where things are.

Such a redirector has no files. Reading and writing it sends on; but it lists its own empty disk, and a removal or a rename it
sends to one of those that have the name. So of the servers behind it each is asked.
"""

from __future__ import annotations

from ..checksum.digest import canonical_algorithm
from ..checksum.records import NamedTuple
from .xrootd_errors import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .xrootd_link import Link
    from .xrootd_names import Place

ALGORITHMS: Final = ("adler32", "crc32c", "md5")
"""What servers may be asked for. The first is the one that nearly all have."""


class Told(NamedTuple):
    """What one server says of itself."""

    algorithms: tuple[str, ...] = ()
    """Those of ours that it computes, ours to name first."""
    redirects: bool = False


def told(link: Link, place: Place) -> Told:
    """Asked once of each server; nothing where it says nothing."""
    found = link.told.get(place.server)
    if found is None:
        try:
            text: str = link.call("config", place.server, "chksum role")
        except Status:
            text = ""
        found = link.told[place.server] = _understood(text)
    return found


def _understood(text: str) -> Told:
    """A line for each setting: `0:adler32,1:md5` and `manager`, or the setting's own name where it is not known."""
    sums, role = (*text.splitlines(), "", "")[:2]
    names = (item.rpartition(":")[2] for item in sums.strip().split(","))
    there = {name for item in names if (name := canonical_algorithm(item))}
    return Told(
        tuple(name for name in ALGORITHMS if name in there),
        any(word in role for word in ("manager", "supervisor")),
    )


def everywhere(link: Link, place: Place) -> list[Place]:
    """The same name at each server that has it, as far as there are several; else `place` itself. Raises Status."""
    return (located(link, place) if told(link, place).redirects else []) or [place]


def located(link: Link, place: Place) -> list[Place]:
    """Where a redirector says that the name is; nowhere where it does not say. Raises TransferError."""
    try:
        found: list[str] = link.call("locate", place.server, place.target)
    except Status:
        return []
    scheme = place.server.partition(":")[0]
    return [place._replace(server=f"{scheme}://{address}/") for address in found]


def only_new_ones(link: Link, final: Place, own: list[Place]) -> None:
    """Removes what other servers than our `own` have under the name that was just given: it is the old file."""
    ours = {place.server for place in own}
    for place in located(link, final) if ours else ():
        if place.server not in ours:
            link.call("rm", place.server, place.target)

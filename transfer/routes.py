"""Which way one source reaches one destination. Pure: values in, a decision out."""

from __future__ import annotations

from ..checksum.records import NamedTuple, StrEnum
from ..protocols.capability import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..protocols.capability import Capability
    from ..protocols.locations import Location
    from .requests import Transfer
    from .settings import Settings


class Route(StrEnum):
    LINK = "link"
    """A symbolic link to a local source."""
    MOVE = "move"
    """The local file itself."""
    LOCAL_COPY = "local-copy"
    THIRD_PARTY = "third-party-copy"
    """The service copies between two of its own locations, or one service to another."""
    DIRECT = "direct"
    """Between a local file and a service."""
    STREAMED = "streamed"
    """Between two services, through this machine's memory."""
    STAGED = "staged"
    """Between two services, through a spool file on this machine."""
    MANAGED = "managed"
    """The service does it by itself, as one item of a task with many."""
    PRESENT = "present"
    """Nothing moved: the destination already had the expected content."""


class Decision(NamedTuple):
    """The route, why it was taken, and why each better-looking one was not."""

    route: Route
    why: str
    rejected: tuple[str, ...] = ()


_MOVED = Decision(Route.MOVE, "a moveto: destination takes the local file itself")
_LINK_ASKED = Decision(Route.LINK, "a symlink: destination links to the local file")
_LINK_OPTION = Decision(Route.LINK, "--symlink links local files of one site")
_LOCAL = Decision(Route.LOCAL_COPY, "both ends are local files")
_LOCAL_OTHER_SITE = Decision(
    Route.LOCAL_COPY,
    "both ends are local files",
    ("link: --symlink applies only where both ends are of one site",),
)
_ONE_SERVICE = "both ends are on one service with one credential"
_TWO_SERVICES = "the two services can copy to each other"
_MANAGED = Decision(Route.MANAGED, "the service does all its copies between these two ends as one task")
_DIRECT = Decision(Route.DIRECT, "one end is a local file")


def decide(
    transfer: Transfer,
    source: Location,
    destination: Location,
    source_can: Capability,
    destination_can: Capability,
    settings: Settings,
) -> Decision:
    """The route from `source` to `destination`.

    Whether the protocols are usable at all was asked before.
    """
    if source_can.local and destination_can.local:
        return _local(source, destination, settings)
    if source_can.local or destination_can.local:
        return _DIRECT
    rejected: tuple[str, ...] = ()
    if source_can.protocol == destination_can.protocol and source_can.offers(Shape.SERVICE):
        obstacle = _copy_obstacle(transfer, source_can, settings)
        if not obstacle:
            return _MANAGED
        rejected = (f"managed task: {obstacle}",)
    one = same_service(source, destination, source_can, destination_can)
    if one or _services_of_one_kind(source_can, destination_can):
        obstacle = _copy_obstacle(transfer, source_can, settings)
        if not obstacle:
            return Decision(Route.THIRD_PARTY, _ONE_SERVICE if one else _TWO_SERVICES)
        rejected = (f"third-party copy: {obstacle}",)
    if settings.stage_through_file:
        return Decision(Route.STAGED, "--stage file", rejected)
    return Decision(Route.STREAMED, "two services meet in this machine's memory", rejected)


def same_service(
    source: Location, destination: Location, source_can: Capability, destination_can: Capability
) -> bool:
    """One service holds both ends under one identity, and can copy between them."""
    return (
        source_can.protocol == destination_can.protocol
        and source_can.offers(Shape.COPIER)
        and source.scheme == destination.scheme
        and source.endpoint == destination.endpoint
        and source.site == destination.site
    )


def _services_of_one_kind(source_can: Capability, destination_can: Capability) -> bool:
    """Two services may copy between them, without one being the other."""
    return (
        source_can.protocol == destination_can.protocol
        and source_can.offers(Shape.COPIER)
        and source_can.copy_between_services
    )


def _local(source: Location, destination: Location, settings: Settings) -> Decision:
    if destination.scheme == "moveto":
        return _MOVED
    if destination.scheme == "symlink":
        return _LINK_ASKED
    if settings.symlink:
        return _LINK_OPTION if source.site == destination.site else _LOCAL_OTHER_SITE
    return _LOCAL


def _copy_obstacle(transfer: Transfer, capability: Capability, settings: Settings) -> str:
    """Why the service's own copy will not do; empty if it will."""
    if settings.stage_through_file:
        return "--stage file"
    if transfer.generate_checksum:
        return "generate_checksum needs the bytes to pass through here"
    if transfer.expected is None or settings.trust_server_copy:
        return ""
    if transfer.expected.algorithm in capability.copy_digest:
        return ""
    return (
        f"it reports no {transfer.expected.algorithm} to compare with the expected digest; "
        "--trust-server-copy takes it all the same"
    )

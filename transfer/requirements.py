"""Which credentials a plan needs, known from its URLs and from what each protocol can present. Contacts and reads nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..credentials.claims import Access
from ..credentials.query import as_variable, make_query
from ..credentials.redaction import redact_url
from ..protocols.registry import why_unusable
from .requests import MakeDirectory, Transfer
from .settings import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from ..credentials.query import Query
    from ..protocols.locations import Location
    from .planning import Plan
    from .requests import Request


class Shipment(NamedTuple):
    """One way of giving a credential to a job."""

    kinds: tuple[str, ...]
    """What it can carry, of the kinds that the protocol can present."""
    variables: tuple[str, ...]
    """Environment variables that are set together."""
    is_file: bool
    """The variable holds the path of a file, which is shipped with the job; else it holds the secret itself."""
    section: str = ""
    """Of the credentials file; empty for other files."""


class Requirement(NamedTuple):
    """What is presented at one endpoint for one site label. Ends on this machine have none."""

    scheme: str
    endpoint: str
    """`user@host:port`, never with a password; the site's name where an s3 URL names no host."""
    site: str
    """The label that the batch gives; may be empty."""
    purposes: tuple[str, ...]
    """`read`, `write`: what `wf.credentials` is asked for."""
    accesses: tuple[Access, ...]
    kinds: tuple[str, ...]
    """The protocol can present these; empty where it presents nothing, or where no protocol speaks the scheme."""
    required: bool
    """The protocol cannot do without. Whether a server lets anybody in, only the server knows."""
    in_url: bool
    """User and password are part of the URL."""
    shipments: tuple[Shipment, ...]
    """Any one of these is enough. They are in the order in which they are looked at."""
    requests: int
    """How many requests have an end here."""
    problem: str = ""
    """Why no request can use this endpoint, whatever is presented."""


class Use(NamedTuple):
    """What a plan does at one endpoint for one site label."""

    example: Location
    places: dict[Access, list[tuple[int, Location]]]
    """Request numbers and locations."""

    @property
    def purposes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(purpose_of(access) for access in sorted(self.places, key=_order)))

    @property
    def accesses(self) -> tuple[Access, ...]:
        return tuple(sorted(self.places, key=_order))

    @property
    def numbers(self) -> set[int]:
        return {number for places in self.places.values() for number, _ in places}


def required_credentials(plan: Plan) -> tuple[Requirement, ...]:
    """What the plan presents where, one for each endpoint and site label, in the order of the batch. Pure."""
    return tuple(_requirement(plan, use) for use in uses_of(plan))


def uses_of(plan: Plan) -> list[Use]:
    """Everything the plan does anywhere but on this machine."""
    found: dict[tuple[str, str, str], Use] = {}
    for request in plan.requests:
        for access, location in ends_of(plan, request):
            if location.is_local:
                continue
            key = (location.scheme, location.host, location.site)
            use = found.get(key)
            if use is None:
                use = found[key] = Use(location, {})
            use.places.setdefault(access, []).append((request.number, location))
    return list(found.values())


def ends_of(plan: Plan, request: Request) -> Iterator[tuple[Access, Location]]:
    """Every place that the request may touch, and how. A stored copy that is verified is read, too."""
    if not isinstance(request, Transfer):
        yield Access.CREATE if isinstance(request, MakeDirectory) else Access.REMOVE, request.target
        return
    for source in request.sources:
        yield Access.READ, source
    reads_back = request.verify_remote or plan.settings.require_evidence is not Evidence.NONE
    for destination in request.destinations:
        yield Access.CREATE, destination
        if reads_back:
            yield Access.READ, destination


def endpoint_of(location: Location) -> str:
    """The location's endpoint as people may see it: a long user without a password may be a token."""
    return redact_url(f"{location.scheme}://{location.endpoint}").partition("://")[2]


def purpose_of(access: Access) -> str:
    return "read" if access is Access.READ else "write"


def _order(access: Access) -> int:
    return tuple(Access).index(access)


def _requirement(plan: Plan, use: Use) -> Requirement:
    location = use.example
    capability = plan.registry.capability(location.scheme)
    kinds = capability.credentials if capability is not None else ()
    unusable = why_unusable(plan.registry, location.scheme)
    query = make_query(location.scheme, location.host, location.site)
    return Requirement(
        location.scheme,
        endpoint_of(location),
        location.site,
        use.purposes,
        use.accesses,
        kinds,
        bool(query.needs),
        bool(query.password),
        tuple(_shipments(kinds, query)) if not query.password else (),
        len(use.numbers),
        f"{unusable.what}; {unusable.remedy}" if unusable is not None else "",
    )


# --- how each kind travels to a job

_VARIABLES: Final = (
    Shipment(("access-key",), ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), False),
    Shipment(("bearer",), ("BEARER_TOKEN",), False),
    Shipment(("bearer",), ("BEARER_TOKEN_FILE",), True),
    Shipment(("x509",), ("X509_USER_PROXY",), True),
    Shipment(("ssh-key",), ("SSH_PRIVATE_KEY",), True),
    Shipment(("google",), ("GOOGLE_APPLICATION_CREDENTIALS",), True),
    Shipment(("globus",), ("GLOBUS_CLIENT_ID", "GLOBUS_CLIENT_SECRET"), False),
    Shipment(("irods",), ("IRODS_ENVIRONMENT_FILE",), True),
)
"""For all sites. With `_<site>` behind the names they are that site's alone."""
_IN_SECTIONS: Final = frozenset({"access-key", "basic", "bearer", "headers"})


def _shipments(kinds: tuple[str, ...], query: Query) -> Iterator[Shipment]:
    """Those of the site, the credentials file, those of all sites: the order of `docs/credentials.md`."""
    label = query.service if query.is_s3 else query.site
    general = list(_variables(kinds, query))
    if label:
        suffix = f"_{as_variable(label)}"
        for each in general:
            yield each._replace(variables=tuple(name + suffix for name in each.variables))
    carried = tuple(kind for kind in kinds if kind in _IN_SECTIONS)
    section = _section(query)
    if carried and section:
        yield Shipment(carried, ("PEGASUS_CREDENTIALS",), True, section)
    if not (query.is_s3 and query.host):
        yield from general


def _variables(kinds: tuple[str, ...], query: Query) -> Iterator[Shipment]:
    for each in _VARIABLES:
        (kind,) = each.kinds
        allowed = {"bearer": query.takes_tokens, "x509": query.takes_certificates}.get(kind, True)
        if kind in kinds and allowed:
            yield each


def _section(query: Query) -> str:
    """The section that is about this endpoint and nothing else."""
    if query.is_s3:
        return f"{query.user}@{query.host}" if query.user else query.service
    user = f"{query.user}@" if query.user else ""
    return redact_url(f"{query.scheme}://{user}{query.host}") if query.host else query.site

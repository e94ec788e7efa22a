"""The credentials of a plan looked at before they are needed: found or not, good until when, enough for which paths.

Each endpoint is looked at once for each credential, however many requests go there. Unless `online` asks the servers,
nothing leaves this machine.
"""

from __future__ import annotations

import os
import time
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from ..credentials.claims import Access
from ..credentials.inspection import LEEWAY, Finding, Inspection, Severity
from .preflight_groups import Group, Groups
from .requests import Transfer
from .requirements import endpoint_of, ends_of, purpose_of
from .settings import Exit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final

    from ..protocols.locations import Location
    from .authorities import Authorities
    from .planning import Plan
    from .requests import Request
    from .surroundings import CredentialSource


class Standing(StrEnum):
    """What the check of one endpoint comes to."""

    FINE = "fine"
    ANONYMOUS = "anonymous"
    """Nothing is presented. Whether that is enough, only the server knows."""
    MISSING = "missing"
    EXPIRED = "expired"
    """It is not good now, or not until the expected end."""
    INSUFFICIENT = "insufficient"
    """It is for other services or paths."""
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    BROKEN = "broken"
    """Something else has to be put right first."""


CODES: Final = {
    "missing-credential": (Standing.MISSING, "The protocol needs a credential and none was found."),
    "missing-file": (Standing.MISSING, "A file that holds the credential is not there."),
    "unsafe-file": (Standing.MISSING, "A file that holds a secret is refused: others can read or change it."),
    "bad-certificate": (
        Standing.MISSING,
        "A certificate or its key cannot be read, or they do not belong together.",
    ),
    "encrypted-key": (Standing.MISSING, "A private key is encrypted."),
    "expired": (Standing.EXPIRED, "It is good no more."),
    "expires-early": (
        Standing.EXPIRED,
        "It ends before the expected end; a warning where its file may be written anew until then.",
    ),
    "not-yet-valid": (Standing.EXPIRED, "It is not good yet."),
    "audience": (Standing.INSUFFICIENT, "The token is for other services."),
    "scope": (
        Standing.INSUFFICIENT,
        "The token's scopes do not cover a path; a warning where they do if the service has a base folder.",
    ),
    "refused": (Standing.REFUSED, "The service was asked, and refused the credential, or wants one."),
    "unreachable": (Standing.UNREACHABLE, "The service was asked, and did not answer, or not properly."),
    "configuration": (Standing.BROKEN, "A setting or a configuration file is wrong."),
    "wrong-kind": (Standing.BROKEN, "The protocol cannot present a credential of this kind."),
    "unusable-scheme": (Standing.BROKEN, "No protocol speaks the scheme, or it lacks a package."),
    "authorities": (Standing.BROKEN, "The certificate authorities cannot be used."),
    "defect": (Standing.BROKEN, "An exception that nobody expected, in wf-transfer or in a plug-in."),
    "anonymous-write": (Standing.ANONYMOUS, "Something is written, and nothing is presented."),
    "clock-skew": (Standing.FINE, "The clocks of this machine and of the server differ."),
    "end-unknown": (Standing.FINE, "The credential does not tell how long it is good."),
    "nothing-there": (Standing.FINE, "The service was asked, and has nothing under that name (yet)."),
    "not-asked": (Standing.FINE, "The protocol has no way of asking without moving anything."),
}
"""Every code of a finding: what an error of it makes of the endpoint, and a sentence."""

CREDENTIAL: Final = frozenset(
    {Standing.MISSING, Standing.EXPIRED, Standing.INSUFFICIENT, Standing.REFUSED, Standing.ANONYMOUS}
)
"""What another credential would mend."""


class EndpointCheck(NamedTuple):
    """What is known of one endpoint with one credential."""

    scheme: str
    endpoint: str
    sites: tuple[str, ...]
    """Site labels of the batch."""
    accesses: tuple[Access, ...]
    requests: int
    blocked: int
    """Of these: cannot be done, because no other source or destination of theirs is better."""
    credential: Inspection | None
    """None where none could be given."""
    answer: str
    """What the service said, in a word: `there`, `not-found`, `denied`, ...; empty where it was not asked."""
    clock_ahead: float | None
    """Seconds by which the server's clock is ahead of ours, where it told."""
    findings: tuple[Finding, ...]

    @property
    def standing(self) -> Standing:
        for finding in self.findings:
            if finding.severity is Severity.ERROR:
                return CODES[finding.code][0]
        anonymous = self.credential is not None and self.credential.kind == "anonymous"
        return Standing.ANONYMOUS if anonymous else Standing.FINE


class Preflight(NamedTuple):
    """The check of a plan. Times are in seconds since 1970."""

    checked: float
    expected_end: float | None
    online: bool
    requests: int
    blocked: int
    """Requests that cannot be done."""
    authorities: Authorities | None
    """None where no endpoint speaks TLS."""
    endpoints: tuple[EndpointCheck, ...]

    @property
    def exit(self) -> Exit:
        """DONE when every request has a way; CREDENTIAL when credentials alone are in the way; else FAILED."""
        if self.authorities is not None and self.authorities.finding is not None:
            return Exit.FAILED
        standings = {each.standing for each in self.endpoints if each.blocked}
        if not standings:
            return Exit.DONE
        return Exit.CREDENTIAL if standings <= CREDENTIAL else Exit.FAILED


def check_credentials(
    plan: Plan,
    online: bool = False,
    *,
    credentials: CredentialSource | None = None,
    environment: Mapping[str, str] | None = None,
    expected_end: float | None = None,
    now: float | None = None,
    leeway: float = LEEWAY,
    insecure: bool = False,
) -> Preflight:
    """The check of every credential that the plan presents.

    `expected_end` (default: the deadline of the plan's settings) and `now` (default: this machine's clock) are in
    seconds since 1970. `online` puts one question to each endpoint with each credential, without writing anything. `insecure`: as `inspect` has it; `credentials` must have that policy, too.
    """
    environment = os.environ if environment is None else environment
    if credentials is None:
        from ..credentials.chain import standard_chain

        credentials = standard_chain(environment)
    moment = time.time() if now is None else now
    end = plan.settings.deadline if expected_end is None else expected_end
    groups = Groups(plan, credentials)
    groups.collect()
    if online:
        from .preflight_online import ask_all

        for group, answer in zip(groups, ask_all(plan, list(groups), environment), strict=True):
            group.answer = answer
    for group in groups:
        group.judge(plan, moment, end, leeway, insecure)
    blocked = _blame(plan, groups)
    return Preflight(
        moment,
        end,
        online,
        len(plan.requests),
        blocked,
        _authorities(groups, environment),
        tuple(map(_checked, groups)),
    )


def _checked(group: Group) -> EndpointCheck:
    return EndpointCheck(
        group.location.scheme,
        endpoint_of(group.location),
        tuple(group.sites),
        tuple(access for access in Access if access in group.places),
        len(group.numbers),
        group.blocked,
        group.inspection,
        group.answer.word if group.answer else "",
        group.answer.clock_ahead if group.answer else None,
        tuple(sorted(group.findings, key=lambda finding: tuple(Severity).index(finding.severity))),
    )


def _authorities(groups: Iterable[Group], environment: Mapping[str, str]) -> Authorities | None:
    if not any(group.speaks_tls for group in groups):
        return None
    from .authorities import authorities

    return authorities(environment)


def _blame(plan: Plan, groups: Groups) -> int:
    """Counts the requests that cannot be done, with each group that is to blame and altogether."""
    if not any(group.fails_everywhere or group.uncovered for group in groups):
        return 0
    blocked = 0
    for request in plan.requests:
        blamed = _blamed(plan, request, groups)
        blocked += bool(blamed)
        for group in blamed:
            group.blocked += 1
    return blocked


def _blamed(plan: Plan, request: Request, groups: Groups) -> set[Group]:
    """The groups for which the request has no usable source, or no usable destination."""
    faults: dict[Location, Group] = {}
    for access, location in ends_of(plan, request):
        if location.is_local:
            continue
        group = groups.of(location, purpose_of(access))
        if group.fails_everywhere or (access, location.url) in group.uncovered:
            faults[location] = group
    if not faults:
        return set()
    ends = (request.sources, request.destinations) if isinstance(request, Transfer) else ((request.target,),)
    lost = (locations for locations in ends if all(location in faults for location in locations))
    return {faults[location] for locations in lost for location in locations}

"""The endpoints of a plan, each with one credential, and what is wrong with the two together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..credentials.claims import Access, Granted, addresses, granted, grants_of
from ..credentials.errors import CredentialError, MissingCredential, UnsafeFile
from ..credentials.inspection import Finding, Severity, duration, inspect
from ..credentials.redaction import printable
from ..protocols.registry import why_unusable
from .places import bare_path, decoded
from .requirements import ends_of, purpose_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from ..credentials.inspection import Inspection
    from ..credentials.kinds import Credential
    from ..protocols.locations import Location
    from .planning import Plan
    from .preflight_online import Answer
    from .surroundings import CredentialSource

_PASSED_OVER: Final = (
    ("expired", re.compile(r"\b(?:it )?expired\b")),
    ("scope", re.compile(r"\bits scope does not allow\b")),
)
"""Why a source of credentials did not give what it has, by its words in `Anonymous.origin`."""


class Group:
    """One endpoint with one credential, and everything that is done there with it."""

    def __init__(self, location: Location, credential: Credential | None, problem: Finding | None) -> None:
        self.location = location
        self.credential = credential
        self.places: dict[Access, list[Location]] = {}
        self.numbers: set[int] = set()
        """Of the requests that have an end here."""
        self.sites: dict[str, None] = {}
        self.answer: Answer | None = None
        self.inspection: Inspection | None = None
        self.findings: list[Finding] = [problem] if problem is not None else []
        self.uncovered: set[tuple[Access, str]] = set()
        """What the scopes do not allow: access and URL."""
        self.blocked = 0

    @property
    def example(self) -> Location:
        """A place to ask about: one that is read, if any is, since it should be there."""
        return self.places[min(self.places, key=tuple(Access).index)][0]

    @property
    def fails_everywhere(self) -> bool:
        errors = [each for each in self.findings if each.severity is Severity.ERROR]
        return any(each.code != "scope" or not self.uncovered for each in errors)

    @property
    def speaks_tls(self) -> bool:
        from ..credentials.kinds import AccessKey
        from ..credentials.query import TLS_SCHEMES

        if isinstance(self.credential, AccessKey):
            return not self.credential.endpoint.startswith("http://")
        return self.location.scheme in TLS_SCHEMES

    def covers(self, folder: str, purpose: str) -> bool:
        """Whether it is a token whose scopes allow everything of that purpose in a decoded folder."""
        from ..credentials.claims import claims_of
        from ..credentials.kinds import Bearer

        claims = claims_of(self.credential.token.reveal()) if isinstance(self.credential, Bearer) else None
        grants = grants_of(claims.scopes) if claims is not None else ()
        accesses = (access for access in Access if purpose_of(access) == purpose)
        return all(granted(grants, access, folder) is Granted.YES for access in accesses)

    def take(self, number: int, access: Access, location: Location) -> None:
        self.numbers.add(number)
        self.places.setdefault(access, []).append(location)
        if location.site:
            self.sites[location.site] = None

    def judge(
        self, plan: Plan, now: float, expected_end: float | None, leeway: float, insecure: bool
    ) -> None:
        """Fills in inspection and findings. By the server's clock where it told the time."""
        ahead = (self.answer.clock_ahead if self.answer else None) or 0.0
        if self.credential is not None:
            found = inspect(
                self.credential, now=now + ahead, expected_end=expected_end, leeway=leeway, insecure=insecure
            )
            self.inspection = found
            self.findings += found.findings
            self.findings += _misfits(plan, self.location, found)
            self.findings += self._scopes(found)
            self.findings += self._passed_over(found)
        if abs(ahead) > leeway:
            self.findings.append(_skew(ahead))
        if self.answer is not None and self.answer.finding is not None:
            self.findings.append(self.answer.finding)
        elif self.answer is None and self._writes_anonymously:
            self.findings.append(_anonymous_write())

    @property
    def _writes_anonymously(self) -> bool:
        anonymous = self.credential is not None and self.credential.kind == "anonymous"
        return anonymous and bool(self.places.keys() - {Access.READ})

    def _passed_over(self, found: Inspection) -> Iterator[Finding]:
        """What would have been presented, had it been good enough."""
        if found.kind != "anonymous":
            return
        allowed = self.answer is not None and self.answer.finding is None
        severity = Severity.WARNING if allowed else Severity.ERROR
        for code, words in _PASSED_OVER:
            if words.search(found.origin):
                text = "what there is was not good enough, so nothing is presented"
                remedy = "get a new one, or unset it if this server lets anybody in (--online asks it)"
                yield Finding(code, severity, text, remedy)
                return

    def _scopes(self, found: Inspection) -> Iterator[Finding]:
        grants = grants_of(found.scopes)
        if not grants:
            return
        perhaps: list[str] = []
        lacking: list[str] = []
        for access, places in self.places.items():
            for location in places:
                path = decoded(bare_path(location), location.scheme)
                verdict = granted(grants, access, path)
                if verdict is Granted.NO:
                    self.uncovered.add((access, location.url))
                if verdict is not Granted.YES:
                    (lacking if verdict is Granted.NO else perhaps).append(f"{access} {path}")
        scopes = " ".join(found.scopes)
        if lacking:
            yield _scope(Severity.ERROR, lacking, scopes)
        if perhaps:
            yield _scope(Severity.WARNING, perhaps, scopes)


class Groups:
    """Asks for credentials, each question once, and keeps the groups that come of it."""

    def __init__(self, plan: Plan, source: CredentialSource) -> None:
        self._plan = plan
        self._source = source
        self._groups: dict[tuple[object, ...], Group] = {}
        self._known: dict[tuple[str, ...], Group | None] = {}
        """By scheme, host, site and purpose; None where the path decides, too. Then it, or a folder, follows in a longer key."""

    def __iter__(self) -> Iterator[Group]:
        return iter(self._groups.values())

    def collect(self) -> None:
        """Takes every end that is not on this machine to its group."""
        for request in self._plan.requests:
            for access, location in ends_of(self._plan, request):
                if not location.is_local:
                    self.of(location, purpose_of(access)).take(request.number, access, location)

    def of(self, location: Location, purpose: str) -> Group:
        """The group that the location belongs to."""
        question = (location.scheme, location.host, location.site, purpose)
        if question not in self._known:
            self._known[question] = self._group(location, purpose, "")
        found = self._known[question]
        return found if found is not None else self._of_path(location, purpose, question)

    def _of_path(self, location: Location, purpose: str, question: tuple[str, ...]) -> Group:
        """A token that covers the folder of one path is taken for the others there, without asking a hundred thousand times."""
        folder, _, _ = bare_path(location).rpartition("/")
        for key in ((*question, folder, ""), (*question, location.path)):
            known = self._known.get(key)
            if known is not None:
                return known
        found = self._group(location, purpose, location.path)
        assert found is not None
        covers = found.covers(decoded(folder, location.scheme), purpose)
        self._known[(*question, folder, "") if covers else (*question, location.path)] = found
        return found

    def _group(self, location: Location, purpose: str, path: str) -> Group | None:
        """The group of the answer; None where it should be asked with the path."""
        credential, problem = self._find(location, purpose, path)
        if credential is not None and credential.by_path and not path:
            return None
        key = (location.scheme, location.endpoint, credential, problem)
        if key not in self._groups:
            self._groups[key] = Group(location, credential, problem)
        return self._groups[key]

    def _find(self, location: Location, purpose: str, path: str) -> tuple[Credential | None, Finding | None]:
        unusable = why_unusable(self._plan.registry, location.scheme)
        if unusable is not None:
            return None, Finding("unusable-scheme", Severity.ERROR, unusable.what, unusable.remedy)
        more = {"path": path} if path else {}
        try:
            found = self._source.find(location.scheme, location.host, location.site, purpose=purpose, **more)
        except CredentialError as error:
            code = "configuration"
            if isinstance(error, MissingCredential):
                code = "unsafe-file" if isinstance(error, UnsafeFile) else "missing-credential"
            return None, Finding(code, Severity.ERROR, error.what, error.remedy)
        return found, None


# --- what can be wrong


def _misfits(plan: Plan, location: Location, found: Inspection) -> Iterator[Finding]:
    """Why this credential is none for this endpoint, whatever the path."""
    capability = plan.registry.capability(location.scheme)
    assert capability is not None, location.scheme
    if found.kind not in ("anonymous", *capability.credentials):
        yield Finding(
            "wrong-kind",
            Severity.ERROR,
            f"{capability.protocol} cannot present {found.kind}",
            f"configure one of {', '.join(capability.credentials) or 'none'} for this endpoint",
        )
    host = location.host.rpartition("@")[2]
    if host and not addresses(found.audiences, host):
        yield Finding(
            "audience",
            Severity.ERROR,
            f"the token is for {' '.join(found.audiences)}, not for {host}",
            f"get a token whose audience is {host}, and bind it to this site: BEARER_TOKEN_FILE_<site>",
        )


def _scope(severity: Severity, wanted: list[str], scopes: str) -> Finding:
    others = f" and {len(wanted) - 1} more" if len(wanted) > 1 else ""
    if severity is Severity.ERROR:
        text = f"the token's scope ({scopes}) does not allow: {printable(wanted[0])}{others}"
        return Finding("scope", severity, text, "get a token with a scope for this path and access")
    text = (
        f"the token's scope ({scopes}) allows this only below a base folder: {printable(wanted[0])}{others}"
    )
    return Finding("scope", severity, text, "nothing, if the service has such a folder; --online asks it")


def _skew(ahead: float) -> Finding:
    way = "ahead of" if ahead > 0 else "behind"
    text = f"the server's clock is {duration(abs(ahead))} {way} this machine's"
    return Finding(
        "clock-skew", Severity.WARNING, text, "set this machine's clock (NTP), or tell the server's operator"
    )


def _anonymous_write() -> Finding:
    text = "nothing is presented, and few servers let anybody write"
    return Finding(
        "anonymous-write", Severity.WARNING, text, "configure a credential if this server wants one"
    )

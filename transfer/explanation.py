"""What `--dry-run` prints: for each request how it would be done, why, and why not otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..protocols.capability import Shape
from ..protocols.errors import LocalRefused
from .accounting import Accounts
from .outcomes import Outcome, Status
from .planning import Explanation, capability_of, explain
from .removal import insist_on_safe
from .requests import Remove, Transfer, kind_of, name_of, places_of
from .routes import Route
from .settings import Exit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from ..protocols.locations import Location
    from .planning import Plan
    from .surroundings import CredentialSource


def print_plan(
    made: Plan,
    credentials: CredentialSource,
    stream: TextIO,
    *,
    as_json: bool,
    refused: Sequence[Outcome] = (),
) -> Exit:
    """Writes the plan, and what was refused before it; returns the exit code that the requests which cannot start call for.

    A missing credential is told and changes nothing: it may be there where the plan is run.
    """
    accounts = Accounts()
    write = _json if as_json else _text
    presented = _Presented(credentials)
    sizes = _task_sizes(made)
    for request in made.requests:
        explanation = _with_guard(explain(made, request), made)
        items = sizes.get(task_of(explanation, made), 0) if sizes else 0
        stream.write(write(explanation, presented.of(explanation), items))
        problem = explanation.problem
        status = Status.DONE if problem is None else Status.FAILED
        accounts.add(Outcome(request, status, error=problem))
    for outcome in refused:
        stream.write(write(_of_refused(outcome), (), 0))
        accounts.add(outcome)
    return accounts.exit_code(stopped=False, engine_failed=False)


def as_text(explanation: Explanation) -> str:
    """What `--dry-run` prints for it, less the credentials."""
    return _text(explanation, (), 0).rstrip("\n")


def task_of(explanation: Explanation, made: Plan) -> str:
    """Names the managed task that would hold the request, as far as can be known before the run; empty if none would."""
    request, destination = explanation.request, explanation.destination
    if explanation.problem is not None:
        return ""
    if isinstance(request, Remove):
        can = capability_of(made, destination)
        return f"removals at {destination.endpoint}" if can.offers(Shape.SERVICE) else ""
    if explanation.decision is None or explanation.decision.route is not Route.MANAGED:
        return ""
    assert explanation.source is not None
    return f"{explanation.source.endpoint} to {destination.endpoint}"


def _task_sizes(made: Plan) -> dict[str, int]:
    """How many requests each managed task would hold. Empty where no service is involved, which is found out cheaply."""
    schemes = {end.scheme for request in made.requests for end in places_of(request)}
    known = (made.registry.capability(scheme) for scheme in schemes)
    sizes: dict[str, int] = {}
    if any(can is not None and can.offers(Shape.SERVICE) for can in known):
        for request in made.requests:
            task = task_of(explain(made, request), made)
            if task:
                sizes[task] = sizes.get(task, 0) + 1
    return sizes


class _Credential(NamedTuple):
    """What is presented at one end. `problem` tells why nothing can be; empty if something is."""

    end: str
    name: str
    problem: str = ""
    known: bool = False
    """The problem was told before."""


class _Presented:
    """Names of credentials, each question asked once."""

    def __init__(self, credentials: CredentialSource) -> None:
        self._credentials = credentials
        self._known: dict[tuple[str, ...], tuple[str, str]] = {}

    def of(self, explanation: Explanation) -> tuple[_Credential, ...]:
        if explanation.problem is not None:
            return ()
        if explanation.source is None:
            return (self._at("target", explanation.destination, "write"),)
        return (
            self._at("source", explanation.source, "read"),
            self._at("destination", explanation.destination, "write"),
        )

    def _at(self, end: str, location: Location, purpose: str) -> _Credential:
        if location.is_local:
            return _Credential(end, "-")
        question = (location.scheme, location.host, location.site, purpose)
        known = question in self._known
        if not known:
            self._known[question] = self._ask(*question)
        return _Credential(end, *self._known[question], known)

    def _ask(self, scheme: str, host: str, site: str, purpose: str) -> tuple[str, str]:
        name = self._credentials.name(scheme, host, site, purpose=purpose)
        if name != "missing":
            return name, ""
        from ..credentials.errors import CredentialError

        try:
            self._credentials.find(scheme, host, site, purpose=purpose)
        except CredentialError as error:
            return name, "; ".join(filter(None, (error.what, error.remedy)))
        return name, ""


def _of_refused(outcome: Outcome) -> Explanation:
    request = outcome.request
    assert isinstance(request, Transfer), request
    return Explanation(request, request.sources[0], request.destinations[0], None, "", (), (), outcome.error)


def _with_guard(explanation: Explanation, made: Plan) -> Explanation:
    """Adds what this machine's folders say: a removal that would be refused. The plan itself does not look at them."""
    request = explanation.request
    if not isinstance(request, Remove) or made.settings.allow_dangerous_remove:
        return explanation
    try:
        insist_on_safe(request.target)
    except LocalRefused as error:
        return explanation._replace(problem=explanation.problem or error)
    return explanation


def _text(explanation: Explanation, credentials: tuple[_Credential, ...], items: int) -> str:
    from ..credentials.redaction import printable, redact_url

    request = explanation.request
    lines = [f"{request.number}: {kind_of(request)} {printable(redact_url(name_of(request)))}"]
    if explanation.source is not None:
        lines.append(f"from {explanation.source.shown}")
    lines.append(f"{'to' if explanation.source is not None else 'at'} {explanation.destination.shown}")
    if explanation.problem is not None:
        lines.append(f"cannot start: {printable(explanation.problem.what)}")
        if explanation.problem.remedy:
            lines.append(f"what to do: {printable(explanation.problem.remedy)}")
        return _block(lines)
    if explanation.decision is not None:
        lines.append(f"route: {explanation.decision.route} ({explanation.decision.why})")
        lines += [f"not {reason}" for reason in explanation.decision.rejected]
    if items:
        lines.append(f"task: one of {items} items that the service does together")
    lines.append(f"protocol: {' to '.join(dict.fromkeys(explanation.protocols))}")
    if explanation.digest:
        lines.append(f"digest: {explanation.digest}")
    for each in credentials:
        if each.name != "-":
            told = (
                f"missing{', as above' if each.known else f': {each.problem}'}" if each.problem else each.name
            )
            lines.append(f"credential ({each.end}): {printable(told)}")
    lines += [f"else: {printable(redact_url(url))}" for url in explanation.alternatives]
    return _block(lines)


def _block(lines: list[str]) -> str:
    return "\n    ".join(lines) + "\n"


def _json(explanation: Explanation, credentials: tuple[_Credential, ...], items: int) -> str:
    import json

    from ..credentials.redaction import redact_url

    request, decision, problem = explanation.request, explanation.decision, explanation.problem
    record = {
        "index": request.number,
        "id": request.id,
        "type": kind_of(request),
        "lfn": request.lfn if isinstance(request, Transfer) else "",
        "source": redact_url(explanation.source.url) if explanation.source else None,
        "destination": redact_url(explanation.destination.url),
        "route": decision.route.value if decision else None,
        "why": decision.why if decision else "",
        "rejected": list(decision.rejected) if decision else [],
        "task_items": items,
        "protocols": list(explanation.protocols),
        "digest": explanation.digest,
        "credentials": [each.name for each in credentials],
        "missing": [each.problem for each in credentials if each.problem],
        "alternatives": [redact_url(url) for url in explanation.alternatives],
        "problem": {"code": problem.code, "message": problem.what, "remedy": problem.remedy}
        if problem
        else None,
    }
    return json.dumps(record) + "\n"

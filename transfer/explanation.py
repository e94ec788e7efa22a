"""What `--dry-run` prints: for each request how it would be done, why, and why not otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..protocols.errors import LocalRefused
from .accounting import Accounts
from .outcomes import Outcome, Status
from .planning import explain
from .removal import insist_on_safe
from .requests import Remove, Transfer, kind_of, name_of
from .settings import Exit

if TYPE_CHECKING:
    from typing import TextIO

    from ..protocols.locations import Location
    from .planning import Explanation, Plan
    from .surroundings import CredentialSource


def print_plan(made: Plan, credentials: CredentialSource, stream: TextIO, *, as_json: bool) -> Exit:
    """Writes the plan; returns the exit code that the requests which cannot start call for."""
    accounts = Accounts()
    for request in made.requests:
        explanation = _with_guard(explain(made, request), made)
        names = tuple(_name(credentials, end) for end in (explanation.source, explanation.destination) if end)
        write = _json if as_json else _text
        stream.write(write(explanation, names))
        problem = explanation.problem
        status = Status.DONE if problem is None else Status.FAILED
        accounts.add(Outcome(request, status, error=problem))
    return accounts.exit_code(stopped=False, engine_failed=False)


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


def _name(credentials: CredentialSource, location: Location) -> str:
    if location.is_local:
        return "-"
    return credentials.name(location.scheme, location.host, location.site)


def _text(explanation: Explanation, names: tuple[str, ...]) -> str:
    from ..credentials.redaction import printable, redact_url

    request = explanation.request
    lines = [f"{request.number}: {kind_of(request)} {printable(redact_url(name_of(request)))}"]
    if explanation.source is not None:
        lines.append(f"from {explanation.source.shown}")
    lines.append(f"{'to' if explanation.source is not None else 'at'} {explanation.destination.shown}")
    if explanation.problem is not None:
        lines.append(f"cannot start: {explanation.problem.what}; {explanation.problem.remedy}")
        return _block(lines)
    if explanation.decision is not None:
        lines.append(f"route: {explanation.decision.route} ({explanation.decision.why})")
        lines += [f"not {reason}" for reason in explanation.decision.rejected]
    lines.append(f"protocol: {' to '.join(dict.fromkeys(explanation.protocols))}")
    if explanation.digest:
        lines.append(f"digest: {explanation.digest}")
    lines.append(f"credential: {' and '.join(names)}")
    lines += [f"else: {printable(redact_url(url))}" for url in explanation.alternatives]
    return _block(lines)


def _block(lines: list[str]) -> str:
    return "\n    ".join(lines) + "\n"


def _json(explanation: Explanation, names: tuple[str, ...]) -> str:
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
        "protocols": list(explanation.protocols),
        "digest": explanation.digest,
        "credentials": list(names),
        "alternatives": [redact_url(url) for url in explanation.alternatives],
        "problem": {"code": problem.code, "message": problem.what, "remedy": problem.remedy}
        if problem
        else None,
    }
    return json.dumps(record) + "\n"

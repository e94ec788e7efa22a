"""One question to each service: does it let this credential look at one of the places? Nothing is written."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from ..credentials.inspection import Finding, Severity
from ..protocols.context import Context
from ..protocols.errors import Denied, MissingExtra, NotFound, TransferError, Unsupported
from ..protocols.registry import make_store
from ..protocols.statuses import seconds_of_date
from ..protocols.wire import Wire
from .logs import Log
from .planning import capability_of
from .surroundings import Surroundings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

    from ..credentials.kinds import Certificate, Credential
    from ..protocols.capability import Capability
    from ..protocols.contract import Store
    from ..protocols.locations import Location
    from ..protocols.wire import Answer as WireAnswer
    from ..protocols.wire import Origin
    from .planning import Plan
    from .preflight_groups import Group

_AT_ONCE: Final = 8


class Answer(NamedTuple):
    """What a service said. `clock_ahead` is in seconds, None where it did not tell the time."""

    word: str
    """`there`, or the code of the error."""
    finding: Finding | None = None
    clock_ahead: float | None = None


class _Listening(Wire):
    """A wire that notes what time it is where the first answer comes from."""

    ahead: float | None = None

    def exchange(
        self,
        method: str,
        origin: Origin,
        target: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes | memoryview | None = None,
        *,
        into: memoryview | None = None,
        certificate: Certificate | None = None,
    ) -> WireAnswer:
        answer = super().exchange(method, origin, target, headers, body, into=into, certificate=certificate)
        there = seconds_of_date(answer.headers.get("date") or "")
        if self.ahead is None and there is not None:
            # The field has whole seconds, on the average half a second ago.
            self.ahead = float(round(there + 0.5 - time.time()))
        return answer


def ask_all(plan: Plan, groups: Sequence[Group], environment: Mapping[str, str]) -> list[Answer | None]:
    """The answers, in order; None where there is no credential to ask with."""
    from concurrent.futures import ThreadPoolExecutor

    surroundings = Surroundings(None, environment)
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        asked = [
            None
            if group.credential is None
            else pool.submit(_ask, plan, group.example, group.credential, surroundings)
            for group in groups
        ]
        return [None if future is None else future.result() for future in asked]


def _ask(plan: Plan, location: Location, credential: Credential, surroundings: Surroundings) -> Answer:
    capability = capability_of(plan, location)
    try:
        context = _context(plan, credential, surroundings)
        store = make_store(capability, context)
        wire = _listen(store, context)
    except TransferError as error:
        return _failed(error, credential)
    except ImportError as error:
        missing = MissingExtra(f"{capability.protocol} cannot be used here: {error}")
        return _failed(missing, credential)
    try:
        answer = _look(store, capability, location)
    except TransferError as error:
        answer = _failed(error, credential)
    except Exception as error:  # noqa: BLE001 - of a plug-in, too: the other endpoints are still asked
        answer = Answer("defect", _defect(error))
    finally:
        store.close()
    return answer._replace(clock_ahead=wire.ahead if wire is not None else None)


def _look(store: Store, capability: Capability, location: Location) -> Answer:
    if capability.stat:
        store.stat(location)
    elif capability.list:
        next(iter(store.list(location, recursive=False)), None)
    else:
        raise Unsupported(f"{capability.protocol} can neither look at a name nor list a folder")
    return Answer("there")


def _context(plan: Plan, credential: Credential, surroundings: Surroundings) -> Context:
    from threading import Event

    return Context(
        stop=Event(),
        connect=plan.settings.connect,
        stall=plan.settings.stall,
        credential=lambda location, purpose: credential,
        tls=surroundings.tls,
        proxies=surroundings.proxies,
        log=Log(),
        accept_new_host_keys=plan.settings.accept_new_host_keys,
    )


def _listen(store: Store, context: Context) -> _Listening | None:
    """Lets a store that speaks HTTP do so over a listening wire. It has sent nothing yet."""
    if not isinstance(getattr(store, "_wire", None), Wire):
        return None
    wire = _Listening(context)
    store._wire = wire  # type: ignore[attr-defined]
    return wire


def _failed(error: TransferError, credential: Credential) -> Answer:
    return Answer(error.code, _finding(error, credential))


def _finding(error: TransferError, credential: Credential) -> Finding:
    from ..credentials.redaction import redact

    text, remedy = redact(error.what), error.remedy
    if isinstance(error, NotFound):
        note = "nothing, if it is produced later: the service let us look"
        return Finding("nothing-there", Severity.NOTE, text, note)
    if isinstance(error, Denied):
        if credential.kind == "anonymous":
            remedy = f"configure a credential; looked for it: {credential.origin}"
        return Finding("refused", Severity.ERROR, text, remedy)
    if isinstance(error, Unsupported):
        return Finding("not-asked", Severity.NOTE, text)
    code = error.code if error.code in ("configuration", "missing-credential") else "unreachable"
    if isinstance(error, MissingExtra):
        code = "unusable-scheme"
    return Finding(code, Severity.ERROR, text, remedy)


def _defect(error: Exception) -> Finding:
    from ..credentials.redaction import redact

    text = redact(f"{type(error).__name__}: {error}")
    return Finding("defect", Severity.ERROR, text, "report it: a bug in wf-transfer or a plug-in")

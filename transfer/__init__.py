"""Batches of transfers: load, plan, run. The names here are the public API; they are imported when first used."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .batches import BatchError as BatchError
    from .batches import load_batch as load_batch
    from .execution import Report as Report
    from .execution import run as run
    from .outcomes import Attempt as Attempt
    from .outcomes import Outcome as Outcome
    from .outcomes import Status as Status
    from .planning import Explanation as Explanation
    from .planning import Plan as Plan
    from .planning import explain as explain
    from .planning import plan as plan
    from .preflight import EndpointCheck as EndpointCheck
    from .preflight import Preflight as Preflight
    from .preflight import check_credentials as check_credentials
    from .requests import Batch as Batch
    from .requests import MakeDirectory as MakeDirectory
    from .requests import Remove as Remove
    from .requests import Transfer as Transfer
    from .requirements import Requirement as Requirement
    from .requirements import Shipment as Shipment
    from .requirements import required_credentials as required_credentials
    from .routes import Route as Route
    from .settings import Evidence as Evidence
    from .settings import Existing as Existing
    from .settings import Exit as Exit
    from .settings import Settings as Settings
    from .sinks import NullSink as NullSink
    from .sinks import Sink as Sink

_WHERE = {
    "Attempt": "outcomes",
    "Batch": "requests",
    "BatchError": "batches",
    "EndpointCheck": "preflight",
    "Evidence": "settings",
    "Existing": "settings",
    "Exit": "settings",
    "Explanation": "planning",
    "MakeDirectory": "requests",
    "NullSink": "sinks",
    "Outcome": "outcomes",
    "Plan": "planning",
    "Preflight": "preflight",
    "Remove": "requests",
    "Report": "execution",
    "Requirement": "requirements",
    "Route": "routes",
    "Settings": "settings",
    "Shipment": "requirements",
    "Sink": "sinks",
    "Status": "outcomes",
    "Transfer": "requests",
    "check_credentials": "preflight",
    "explain": "planning",
    "load_batch": "batches",
    "plan": "planning",
    "required_credentials": "requirements",
    "run": "execution",
}

__all__ = sorted(_WHERE)  # noqa: PLE0605 - the table is the one place where the names stand


def __getattr__(name: str) -> object:
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{module}", __name__), name)

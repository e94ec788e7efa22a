"""Outcomes for the tests of the sinks: made by hand, as the engine would hand them over."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from wf.protocols.errors import End
from wf.protocols.locations import parse_location
from wf.transfer.outcomes import Attempt, Outcome, Status
from wf.transfer.requests import MakeDirectory, Remove, Transfer
from wf.transfer.settings import Exit
from wf.transfer.sinks import Ending, Start, Totals

if TYPE_CHECKING:
    from wf.protocols.errors import TransferError
    from wf.protocols.locations import Location

NAMES = st.binary(min_size=1, max_size=24).filter(lambda name: b"\0" not in name).map(os.fsdecode) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20
)
"""Any name that a file can have: also one that is not UTF-8."""

BEGAN = 1_795_333_566.25


def location(url: str, site: str = "") -> Location:
    return parse_location(url, site=site)


def transfer(number: int = 0, **changes: object) -> Transfer:
    """A transfer of `http://data.example/f` to `/data/f`."""
    values: dict[str, object] = {
        "id": str(number + 1),
        "lfn": f"f.{number}",
        "sources": (location("http://data.example/f", "far"),),
        "destinations": (location("file:///data/f", "local"),),
    }
    return Transfer(number=number, **{**values, **changes})  # type: ignore[arg-type]


def attempt(request: Transfer, error: TransferError | None = None, **changes: object) -> Attempt:
    values: dict[str, object] = {
        "source": request.sources[0],
        "destination": request.destinations[0],
        "route": "direct",
        "began": BEGAN,
        "seconds": 0.5,
        "bytes": 6,
        "error": error,
    }
    return Attempt(**{**values, **changes})  # type: ignore[arg-type]


def done(request: Transfer | None = None, **changes: object) -> Outcome:
    request = request or transfer()
    values: dict[str, object] = {
        "request": request,
        "status": Status.DONE,
        "route": "direct",
        "source": request.sources[0],
        "destination": request.destinations[0],
        "bytes": 6,
        "seconds": 0.5,
        "attempts": (attempt(request),),
    }
    return Outcome(**{**values, **changes})  # type: ignore[arg-type]


def failed(error: TransferError, request: Transfer | None = None, **changes: object) -> Outcome:
    request = request or transfer()
    error = error.at(End.SOURCE, "read")
    values: dict[str, object] = {
        "status": Status.FAILED,
        "bytes": 0,
        "error": error,
        "attempts": (attempt(request, error, bytes=0),),
    }
    return done(request, **{**values, **changes})


def skipped(error: TransferError, request: Transfer | None = None) -> Outcome:
    return Outcome(request or transfer(), Status.SKIPPED, error=error)


def made_directory(url: str = "file:///data/new") -> Outcome:
    return Outcome(MakeDirectory(7, "", location(url)), Status.DONE, destination=location(url), seconds=0.1)


def removed(url: str = "s3://bucket/key") -> Outcome:
    return Outcome(Remove(8, "", location(url)), Status.DONE, destination=location(url), seconds=0.1)


def start(requests: int = 1) -> Start:
    return Start(started=BEGAN, requests=requests, transfers=requests, bytes=0)


def ending(*outcomes: Outcome, stopped: bool = False, finished: float = BEGAN + 2.0) -> Ending:
    """What the engine would hand over after these outcomes."""
    from wf.transfer.accounting import Accounts

    accounts = Accounts()
    for outcome in outcomes:
        accounts.add(outcome)
    code = accounts.exit_code(stopped, False)
    return Ending(BEGAN, finished, code, accounts.totals(), accounts.integrity())


def empty_ending() -> Ending:
    return Ending(BEGAN, BEGAN, Exit.DONE, Totals(), ())

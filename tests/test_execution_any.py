"""Whatever a batch asks for and whatever fails: nothing lost, nothing doubled, nothing wrong left at a destination."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from runs import QUICK, execute, leftovers, mkdir, remove, sha256, transfer
from wf.protocols import errors
from wf.protocols.capability import Publish, Shape
from wf.protocols.memory import Manners, MemoryServer
from wf.transfer.outcomes import Status
from wf.transfer.requests import Transfer
from wf.transfer.settings import Evidence, Existing

if TYPE_CHECKING:
    from wf.transfer.requests import Request
    from wf.transfer.settings import Settings

CONTENTS = {
    f"/in/{number}": bytes([65 + number]) * length
    for number, length in enumerate([0, 10, 1 << 20, (2 << 20) + 7])
}
OPERATIONS = [
    "open_read",
    "read",
    "open_write",
    "write",
    "commit",
    "stat",
    "copy",
    "digest",
    "remove",
    "make_directory",
]


def brief(kind: type[errors.TransferError]) -> errors.TransferError:
    """Hosts that fail need not be left alone for long here."""
    error = kind("ordered by the test", remedy="none")
    if kind in (errors.Busy, errors.Unreachable):
        error.retry_after = 0.001
    return error


KINDS = [
    *(errors.Broken, errors.Changed, errors.ServerFault, errors.NotFound, errors.Mismatch, errors.Denied),
    *(errors.Unsupported, errors.Unreachable, errors.Busy, errors.NoSpace, errors.Misconfigured),
]


@st.composite
def servers(draw: st.DrawFn) -> tuple[MemoryServer, object]:
    manners = Manners(
        tells_size=draw(st.booleans()),
        gives=draw(st.sampled_from([(), ("md5",), ("sha256",)])),
        echoes=draw(st.sampled_from([(), ("md5",), ("sha256",)])),
        speaks=draw(st.sampled_from([(), ("md5",)])),
        receipt_size=draw(st.booleans()),
        copy_steps=draw(st.integers(1, 2)),
    )
    server = MemoryServer(manners=manners)
    for path, data in CONTENTS.items():
        server.put(path, data)
    capability = server.capability(
        shapes=draw(st.sampled_from([(Shape.STORE,), (Shape.STORE, Shape.COPIER)])),
        publish=draw(st.sampled_from([Publish.ATOMIC, Publish.HELD])),
        read_version=draw(st.booleans()),
        write_needs_size=draw(st.booleans()),
        digest=draw(st.sampled_from([(), ("sha256",)])),
    )
    for _ in range(draw(st.integers(0, 6))):
        server.fail(
            draw(st.sampled_from(OPERATIONS)),
            draw(st.sampled_from(["*", *CONTENTS, "/out/*"])),
            draw(st.sampled_from(KINDS).map(brief) | st.just(ValueError("surprise"))),
            host=draw(st.sampled_from(["*", "one", "two"])),
            times=draw(st.integers(1, 4)),
            after=draw(st.booleans()),
        )
    for _ in range(draw(st.integers(0, 2))):
        path, at = draw(st.sampled_from(list(CONTENTS))), draw(st.integers(0, 1 << 21))
        if draw(st.booleans()):
            server.truncate(path, at, times=draw(st.integers(1, 3)))
        else:
            server.flip(path, at, times=draw(st.integers(1, 3)))
    return server, capability


def requests_in(draw: st.DrawFn, server: MemoryServer, folder: Path) -> list[Request]:
    found: list[Request] = []
    for number in range(draw(st.integers(1, 8))):
        after = tuple(draw(st.sets(st.integers(0, number - 1), max_size=2))) if number else ()
        kind = draw(st.sampled_from(["transfer"] * 6 + ["mkdir", "remove"]))
        name = f"/out/{draw(st.integers(0, 5))}"
        if kind == "mkdir":
            found.append(mkdir(number, server.location(f"/new/{number}"), after=after))
        elif kind == "remove":
            found.append(remove(number, server.location(name), after=after))
        else:
            path = draw(st.sampled_from(list(CONTENTS)))
            hosts = draw(st.lists(st.sampled_from(["one", "two"]), min_size=1, max_size=2))
            place = folder / name[1:] if draw(st.booleans()) else server.location(name, "one")
            found.append(
                transfer(
                    number,
                    [server.location(path, host) for host in hosts],
                    place,
                    after=after,
                    expected=draw(st.sampled_from([None, sha256(CONTENTS[path])])),
                    size=draw(st.sampled_from([None, len(CONTENTS[path])])),
                    generate_checksum=draw(st.booleans()),
                )
            )
    return found


@st.composite
def options(draw: st.DrawFn) -> Settings:
    return QUICK._replace(
        workers=draw(st.integers(1, 4)),
        rounds=draw(st.integers(1, 3)),
        stage_through_file=draw(st.booleans()),
        existing=draw(st.sampled_from([None, *Existing])),
        require_evidence=draw(st.sampled_from(Evidence)),
        spool_bytes=draw(st.sampled_from([10, 1 << 30])),
    )


@settings(max_examples=60, deadline=None)
@given(servers(), options(), st.none() | st.integers(1, 30), st.data())
def test_any_batch_over_any_faults(
    made: tuple[MemoryServer, object], chosen: Settings, stop_after: int | None, data: st.DataObject
) -> None:
    server, capability = made
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "spool").mkdir()
        requests = data.draw(st.composite(lambda draw: requests_in(draw, server, folder))())
        stop, calls = threading.Event(), []

        def count(call: object) -> None:
            calls.append(call)
            if stop_after is not None and len(calls) == stop_after:
                stop.set()

        server.hook("*", count)

        done = execute(
            requests,
            capability,  # type: ignore[arg-type]
            settings=chosen._replace(spool_directory=str(folder / "spool")),
            stop=stop,
        )

        assert server.still_open() == 0
        assert not list((folder / "spool").iterdir())
        stopped = any(outcome.status is Status.STOPPED for outcome in done.recorded.outcomes)
        assert not (leftovers(folder) and not stopped)
        assert (done.exit == 75) or not stopped
        assert (done.exit == 0) == all(outcome.error is None for outcome in done.recorded.outcomes)
        _insist_on_content(requests, done, server)


def _insist_on_content(requests: list[Request], done: object, server: MemoryServer) -> None:
    """Where only one request names a destination: its bytes are there if it is done, and nothing else ever."""
    for request in requests:
        if not isinstance(request, Transfer):
            continue
        (destination,) = request.destinations
        named = [
            other
            for other in requests
            if other is not request
            and destination in (other.destinations if isinstance(other, Transfer) else (other.target,))
        ]
        removed = [
            other
            for other in requests
            if not isinstance(other, Transfer) and other.target.path == destination.path
        ]
        if named or removed or request.expected is None:
            continue
        there = _content(destination, server)
        right = CONTENTS[request.sources[0].path]
        if done[request.number].status is Status.DONE:  # type: ignore[index]
            assert there == right
        else:
            assert there in (None, right)


def _content(destination: object, server: MemoryServer) -> bytes | None:
    if destination.is_local:  # type: ignore[attr-defined]
        path = Path(destination.path)  # type: ignore[attr-defined]
        return path.read_bytes() if path.exists() else None
    return server.get(destination.path)  # type: ignore[attr-defined]

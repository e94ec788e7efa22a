"""SFTP beside the other protocols: two-stage transfers, streamed and through a spool file, over real servers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from runs import QUICK, execute, leftovers, sha256, transfer
from s3_tools import access_key, at, s3_store
from servers.sshd import Sshd, make_keys, sshd
from sftp_tools import FAR, Credentials, place, planted
from wf.protocols.conformance_tools import content, drained
from wf.protocols.locations import parse_location
from wf.protocols.registry import HTTP, S3, SFTP
from wf.transfer.overlapping import LEAST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.nginx import Nginx
    from servers.seaweed import Seaweed
    from wf.protocols.capability import Capability
    from wf.protocols.locations import Location

SIZES = (0, 70_000, 5_000_000)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(make_keys(tmp_path_factory.mktemp("keys"))) as running:
        yield running


@pytest.fixture
def server(shared: Sshd, monkeypatch: pytest.MonkeyPatch) -> Sshd:
    monkeypatch.setenv("PATH", f"{shared.path}:{os.environ['PATH']}")
    folder = shared.folder / os.urandom(4).hex()
    folder.mkdir()
    return shared._replace(folder=folder)


def moved(pairs: list[tuple[Location, Location]], *, staged: bool, credentials: Credentials) -> None:
    """Copies each pair; all must be done, verified."""
    run = execute(
        [
            transfer(number, source, destination, expected=sha256(content(SIZES[number])))
            for number, (source, destination) in enumerate(pairs)
        ],
        HTTP,
        S3,
        SFTP,
        settings=QUICK._replace(stage_through_file=staged),
        credentials=credentials,
    )
    assert run.statuses == ["done"] * len(pairs), [outcome.error for outcome in run.recorded.outcomes]
    routes = {attempt.route for outcome in run.recorded.outcomes for attempt in outcome.attempts}
    assert routes == ({"staged"} if staged else {"streamed"})


@pytest.mark.parametrize("staged", [False, True], ids=["streamed", "staged"])
def test_between_http_and_sftp(server: Sshd, web: Nginx, staged: bool) -> None:
    for number, size in enumerate(SIZES):
        (web.root / f"{number}").write_bytes(content(size))
    here = [place(server, f"in/{number}") for number in range(len(SIZES))]
    moved(
        [(parse_location(f"{web.url}/{number}"), here[number]) for number in range(len(SIZES))],
        staged=staged,
        credentials=Credentials({}),
    )
    moved(
        [(here[number], parse_location(f"{web.url}/put/{number}")) for number in range(len(SIZES))],
        staged=staged,
        credentials=Credentials({}),
    )
    for number, size in enumerate(SIZES):
        assert (web.root / f"put/{number}").read_bytes() == content(size)
    assert leftovers(server.folder) == []


@pytest.mark.parametrize("sftp", [SFTP, FAR], ids=["one stream", "parts"])
def test_a_large_file_is_staged_by_both_legs_at_once(server: Sshd, web: Nginx, sftp: Capability) -> None:
    data = content(LEAST + 4321)
    (web.root / "large").write_bytes(data)
    run = execute(
        [transfer(0, f"{web.url}/large", place(server, "large"), expected=sha256(data))],
        HTTP,
        sftp,
        settings=QUICK._replace(stage_through_file=True),
        credentials=Credentials({}),
    )
    assert run.exit == 0, run[0].error
    first, second = run[0].attempts
    assert (first.destination, first.began) == (None, second.began), "one attempt"
    assert (server.folder / "large").read_bytes() == data
    assert leftovers(server.folder) == []


@pytest.mark.parametrize("staged", [False, True], ids=["streamed", "staged"])
def test_between_s3_and_sftp(server: Sshd, s3: Seaweed, bucket: str, staged: bool) -> None:
    key = access_key(s3.endpoint, s3.admin)
    credentials = Credentials({"s3": key})
    here = [planted(server, f"out/{number}", content(size)) for number, size in enumerate(SIZES)]
    there = [at(f"{bucket}/{number}") for number in range(len(SIZES))]
    moved(list(zip(here, there, strict=True)), staged=staged, credentials=credentials)
    keys = s3_store(key)
    for number, size in enumerate(SIZES):
        assert drained(keys.open_read(there[number])) == content(size)
    keys.close()
    back = [place(server, f"back/{number}") for number in range(len(SIZES))]
    moved(list(zip(there, back, strict=True)), staged=staged, credentials=credentials)
    for number, size in enumerate(SIZES):
        assert (server.folder / f"back/{number}").read_bytes() == content(size)
    assert leftovers(server.folder) == []


def test_between_two_names_of_one_server(server: Sshd) -> None:
    here = [planted(server, f"out/{number}", content(size)) for number, size in enumerate(SIZES)]
    there = [place(server, f"in/{number}") for number in range(len(SIZES))]
    moved(list(zip(here, there, strict=True)), staged=False, credentials=Credentials({}))
    for number, size in enumerate(SIZES):
        assert (server.folder / f"in/{number}").read_bytes() == content(size)

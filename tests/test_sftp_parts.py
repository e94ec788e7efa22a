"""Large files over SFTP in parts: several connections write one partial, and a later process goes on with it."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from command_runs import COMMAND, wf_transfer
from runs import QUICK, execute, leftovers, sha256, transfer
from servers.faults import cut, fault_proxy
from servers.sshd import Keys, Sshd, asyncssh_server, make_keys, rclone_sftp, sshd
from sftp_tools import FAR, Credentials, FarStore, place
from wf.protocols.conformance_tools import content, make_context, refused
from wf.protocols.errors import Broken, Denied, LocalRefused, NoSpace, NotFound, Unsupported
from wf.protocols.locations import parse_location
from wf.protocols.registry import HTTP
from wf.protocols.sftp import SftpStore
from wf.protocols.values import Incoming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from servers.nginx import Nginx
    from wf.protocols.values import Part, Token

MIB = 1 << 20
DATA = content(3 * MIB + 7)
WHOLE = Incoming(len(DATA), token="0123456789abcdef", resume=True)
USUAL = [".wf-0123456789abcdef.map", ".wf-0123456789abcdef.parts"]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def shared(keys: Keys) -> Iterator[Sshd]:
    with sshd(keys) as running:
        yield running


@pytest.fixture
def server(shared: Sshd, monkeypatch: pytest.MonkeyPatch) -> Sshd:
    folder = shared.folder / os.urandom(4).hex()
    folder.mkdir()
    return use(shared._replace(folder=folder), monkeypatch)


def use(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> Sshd:
    monkeypatch.setenv("PATH", f"{server.path}:{os.environ['PATH']}")
    return server


@pytest.fixture
def stores() -> Iterator[Callable[[], SftpStore]]:
    made: list[SftpStore] = []

    def make() -> SftpStore:
        made.append(FarStore(make_context()))
        return made[-1]

    yield make
    for each in made:
        each.close()


def put(there: SftpStore, token: Token, *numbers: int) -> list[Part]:
    parts = []
    for number in numbers:
        first, length = token.span(number)
        parts.append(there.put_part(token, number, first, memoryview(DATA)[first : first + length]))
    return parts


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


# --- through the engine


def test_a_large_file_goes_in_parts_and_leaves_nothing_else(server: Sshd, tmp_path: Path) -> None:
    data = content(9 * MIB + 5)
    (tmp_path / "file").write_bytes(data)
    (tmp_path / "file").chmod(0o640)
    target = place(server, "new/folder/file")

    run = execute(
        [transfer(0, tmp_path / "file", target, expected=sha256(data))],
        FAR,
        settings=QUICK._replace(part_bytes=MIB),
        credentials=Credentials({}),
    )

    assert (run.statuses, run[0].evidence) == (["done"], "size")
    assert (server.folder / "new/folder/file").read_bytes() == data
    assert (server.folder / "new/folder/file").stat().st_mode & 0o777 == 0o640
    assert names(server.folder / "new/folder") == ["file"]


def test_several_connections_write_one_file(keys: Keys, monkeypatch: pytest.MonkeyPatch, web: Nginx) -> None:
    data = content(12 * MIB + 5)
    (web.root / "large").write_bytes(data)
    os.utime(web.root / "large", (0, 1_000_000_000))
    with sshd(keys) as own, fault_proxy(own.port, delay_ms=20) as far:
        use(own, monkeypatch).trust(far.port)
        target = place(own, "file", port=far.port)
        run = execute(
            [transfer(0, parse_location(f"{web.url}/large"), target, expected=sha256(data))],
            HTTP,
            FAR._replace(connections_start=4),
            settings=QUICK._replace(part_bytes=MIB, streams=3),
            credentials=Credentials({}),
        )
        assert run.statuses == ["done"]
        assert own.logins() > 1
        assert (own.folder / "file").read_bytes() == data
        assert names(own.folder) == ["file"]


def test_what_does_not_match_is_not_published(server: Sshd, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    run = execute(
        [transfer(0, tmp_path / "file", place(server, "file"), expected=sha256(b"other"))],
        FAR,
        settings=QUICK._replace(part_bytes=MIB),
        credentials=Credentials({}),
    )
    assert run[0].error is not None and run[0].error.code == "mismatch"
    assert names(server.folder) == []


def test_a_connection_that_is_cut_costs_the_parts_on_their_way(server: Sshd, tmp_path: Path) -> None:
    data = content(12 * MIB)
    (tmp_path / "file").write_bytes(data)
    with fault_proxy(server.port, cut(9 * MIB, upward=True), first=1) as faulty:
        server.trust(faulty.port)
        run = execute(
            [transfer(0, tmp_path / "file", place(server, "file", port=faulty.port), expected=sha256(data))],
            FAR,
            settings=QUICK._replace(part_bytes=MIB),
            credentials=Credentials({}),
        )
        assert run.statuses == ["done"]
        assert faulty.bytes_up < len(data) + 4 * MIB
    assert (server.folder / "file").read_bytes() == data
    assert names(server.folder) == ["file"]


@pytest.mark.parametrize("damaged", [False, True], ids=["sound", "damaged"])
def test_a_killed_command_is_gone_on_with(server: Sshd, tmp_path: Path, damaged: bool) -> None:
    data = content(48 * MIB)
    (tmp_path / "file").write_bytes(data)
    with fault_proxy(server.port, delay_ms=10) as passing:
        server.trust(passing.port)
        target = place(server, "file", port=passing.port).url
        arguments = [*COMMAND, "cp", "--bwlimit", "16M", "file", target]
        killed = subprocess.Popen(arguments, cwd=tmp_path, stderr=subprocess.DEVNULL)
        while not any(path.read_bytes()[24:].count(1) > 2 for path in server.folder.glob(".wf-*.map")):
            assert killed.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
        killed.kill()
        killed.wait()
        sent = passing.bytes_up
        (partial,) = server.folder.glob(".wf-*.parts")
        if damaged:
            with partial.open("r+b") as file:
                file.seek(12 * MIB)
                file.write(b"damaged")

        assert wf_transfer(tmp_path, "cp", "file", target).code == 0

        assert passing.bytes_up - sent < len(data) - (8 if damaged else 16) * MIB, "it went on"
    assert (server.folder / "file").read_bytes() == data
    assert names(server.folder) == ["file"]


def test_rclone_s_server_takes_large_files_in_one_stream(
    keys: Keys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stores: Callable[[], SftpStore]
) -> None:
    """It cannot write out of order, which is asked once."""
    data = content(5 * MIB)
    (tmp_path / "file").write_bytes(data)
    with rclone_sftp(keys) as other:
        use(other, monkeypatch)
        there, target = stores(), parse_location(f"{other.url}/a/file")
        for _ in range(2):
            refused(lambda: there.open_parts(target, WHOLE, MIB), Unsupported)
        assert leftovers(other.folder) == []

        run = execute(
            [transfer(0, tmp_path / "file", target, expected=sha256(data))],
            FAR,
            settings=QUICK._replace(part_bytes=MIB),
            credentials=Credentials({}),
        )

        assert run.statuses == ["done"]
        assert (other.folder / "a/file").read_bytes() == data
        assert leftovers(other.folder) == []


# --- the store


class NearStore(SftpStore):
    far_seconds = 1000.0


def test_near_by_a_file_goes_in_one_stream_unless_it_was_begun_otherwise(
    server: Sshd, stores: Callable[[], SftpStore]
) -> None:
    near, far = NearStore(make_context()), stores()
    target = place(server, "file")
    refused(lambda: near.open_parts(target, WHOLE, MIB), Unsupported)
    assert names(server.folder) == []

    token = far.open_parts(target, WHOLE, MIB)
    put(far, token, 0)
    far.abort_parts(token, keep=True)
    assert near.open_parts(target, WHOLE, MIB) == token._replace(found=True)
    near.abort_parts(token)

    writer = near.open_write(target, WHOLE)
    writer.write(memoryview(DATA)[:MIB])
    writer.abort(keep=True)
    near.close()
    refused(lambda: far.open_parts(target, WHOLE, MIB), Unsupported)
    assert names(server.folder) == [".wf-0123456789abcdef.part"], "it is gone on with in one stream"


def test_asyncssh_s_server_takes_parts(
    keys: Keys, monkeypatch: pytest.MonkeyPatch, stores: Callable[[], SftpStore]
) -> None:
    with asyncssh_server(keys, rename="") as other:
        use(other, monkeypatch)
        (other.folder / "file").write_bytes(b"old")
        there = stores()
        token = there.open_parts(place(other, "file"), WHOLE, MIB)
        assert there.commit_parts(token, tuple(put(there, token, 3, 1, 0, 2)), ()).size == len(DATA)
        assert (other.folder / "file").read_bytes() == DATA
        assert leftovers(other.folder) == []


def test_two_processes_that_write_the_same_copy_do_not_harm_it(
    server: Sshd, stores: Callable[[], SftpStore]
) -> None:
    one, other = stores(), stores()
    first = one.open_parts(place(server, "file"), WHOLE, MIB)
    put(one, first, 0, 2)
    assert len(one.list_parts(first)) == 2
    second = other.open_parts(place(server, "file"), WHOLE, MIB)
    assert second.found and [part.number for part in other.list_parts(second)] == [0, 2]
    other.commit_parts(second, tuple(put(other, second, 1, 3)), ())

    refused(lambda: put(one, first, 1), Broken)
    refused(lambda: one.commit_parts(first, (), ()), Broken)
    one.abort_parts(first)

    assert (server.folder / "file").read_bytes() == DATA
    assert names(server.folder) == ["file"]


def test_parts_of_another_length_or_without_a_map_are_not_gone_on_with(
    server: Sshd, stores: Callable[[], SftpStore]
) -> None:
    there = stores()
    token = there.open_parts(place(server, "file"), WHOLE, MIB)
    put(there, token, 0)
    assert not there.open_parts(place(server, "file"), WHOLE, 2 * MIB).found
    (server.folder / USUAL[0]).unlink()
    assert not there.open_parts(place(server, "file"), WHOLE, MIB).found
    (server.folder / USUAL[0]).symlink_to(server.folder / "elsewhere")
    assert not there.open_parts(place(server, "file"), WHOLE, MIB).found
    assert not (server.folder / "elsewhere").exists()


def test_parts_that_were_kept_are_removed_when_the_source_has_another_version(
    server: Sshd, stores: Callable[[], SftpStore]
) -> None:
    there, later = stores(), stores()
    token = there.open_parts(place(server, "file"), WHOLE, MIB)
    put(there, token, 0)
    there.abort_parts(token, keep=True)
    assert names(server.folder) == USUAL
    assert later.has_partial(place(server, "file"), WHOLE.token[:6])

    newer = later.open_parts(place(server, "file"), WHOLE._replace(token="012345aaaaaaaaaa"), MIB)

    assert names(server.folder) == [".wf-012345aaaaaaaaaa.map", ".wf-012345aaaaaaaaaa.parts"]
    later.abort_parts(newer)
    assert names(server.folder) == []


def test_parts_that_lost_bytes_are_not_published(server: Sshd, stores: Callable[[], SftpStore]) -> None:
    there = stores()
    token = there.open_parts(place(server, "file"), WHOLE, MIB)
    parts = put(there, token, 0, 1, 2, 3)
    os.truncate(server.folder / USUAL[1], 5)
    error = refused(lambda: there.commit_parts(token, tuple(parts), ()), Broken)
    assert "has 5 bytes" in error.what
    there.abort_parts(token)
    assert names(server.folder) == []


def test_nothing_that_is_in_the_way_is_replaced_by_parts(
    server: Sshd, stores: Callable[[], SftpStore]
) -> None:
    (server.folder / "folder").mkdir()
    os.mkfifo(server.folder / "fifo")
    there = stores()
    for name in ("folder", "fifo"):
        refused(lambda: there.open_parts(place(server, name), WHOLE, MIB), LocalRefused)  # noqa: B023
    assert names(server.folder) == ["fifo", "folder"]
    (server.folder / "late").mkdir()
    token = there.open_parts(place(server, "later"), WHOLE, MIB)
    parts = put(there, token, 0, 1, 2, 3)
    (server.folder / "later").mkdir()
    refused(lambda: there.commit_parts(token, tuple(parts), ()), LocalRefused)
    there.abort_parts(token)
    assert names(server.folder) == ["fifo", "folder", "late", "later"]


def test_a_disk_that_becomes_full_is_named_so(
    server: Sshd, tmp_path: Path, stores: Callable[[], SftpStore]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a small disk")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)], check=True)
    try:
        there = stores()
        token = there.open_parts(parse_location(f"{server.url}{small}/file"), WHOLE, MIB)
        refused(lambda: put(there, token, 0, 1, 2, 3), NoSpace)
        there.abort_parts(token)
        assert os.listdir(small) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_who_may_not_write_is_denied(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    with sshd(keys, subsystem="internal-sftp -R") as other:
        use(other, monkeypatch)
        there = FarStore(make_context())
        refused(lambda: there.open_parts(place(other, "file"), WHOLE, MIB), Denied)
        refused(lambda: there.open_parts(place(other, "absent/file"), WHOLE, MIB), Denied, NotFound)
        there.close()

"""Small files over SFTP that are sent one behind the other: whatever happens, the same as one by one."""

from __future__ import annotations

import os
import subprocess
from functools import partial
from typing import TYPE_CHECKING

import pytest
from runs import execute, leftovers, sha256, transfer
from servers.faults import PASS, Fault, cut, fault_proxy, reset
from servers.lying_sftp import LIES, lying_ssh
from servers.sshd import PHRASE, Keys, Sshd, asyncssh_server, make_keys, rclone_sftp, sshd
from sftp_tools import body, fresh, locked_key, place, planted, store
from wf.protocols.conformance_tools import (
    begun,
    content,
    digest_of,
    drained,
    make_context,
    odd_names,
    refused,
    scribble,
    within_guard,
    written,
)
from wf.protocols.errors import (
    Denied,
    LocalRefused,
    NoSpace,
    ServerFault,
    Stopped,
    TransferError,
    Undone,
)
from wf.protocols.locations import parse_location
from wf.protocols.registry import SFTP
from wf.protocols.values import Incoming

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wf.protocols.contract import Writer
    from wf.protocols.locations import Location
    from wf.protocols.sftp import SftpStore
    from wf.transfer.requests import Transfer

    Outcome = int | type[TransferError]

SIZES = (0, 1, 5_000, 32_768, 32_769, 65_536, 131_072)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def openssh(keys: Keys) -> Iterator[Sshd]:
    with sshd(keys) as server:
        yield server


@pytest.fixture(scope="module", params=["posix rename", "plain rename"])
def asyncssh(keys: Keys, request: pytest.FixtureRequest) -> Iterator[Sshd]:
    with asyncssh_server(keys, rename="posix" if request.param == "posix rename" else "") as server:
        yield server


@pytest.fixture
def server(openssh: Sshd, monkeypatch: pytest.MonkeyPatch) -> Sshd:
    """OpenSSH's server with a fresh folder."""
    return fresh(openssh, monkeypatch)


def send(there: SftpStore, location: Location, data: bytes, mode: int | None = None) -> Writer | None:
    """Sends a file with a token of its own, and overwrites the bytes where they were taken from."""
    digest = digest_of("sha256", data).value
    token = digest_of("sha256", location.path.encode("utf-8", "surrogateescape")).value.hex()[:16]
    view = memoryview(bytearray(data))
    writer = there.send(location, Incoming(len(data), digest, mode, token), view)
    scribble(view)
    return writer


def sent(there: SftpStore, location: Location, data: bytes, mode: int | None = None) -> Writer:
    writer = send(there, location, data, mode)
    assert writer is not None
    return writer


def outcome(writer: Writer) -> Outcome:
    """What commit says, and what the engine does after it failed."""
    try:
        receipt = writer.commit(())
    except TransferError as error:
        writer.abort()
        return type(error)
    assert receipt.size is not None
    return receipt.size


def logged_in(server: Sshd, **options: object) -> SftpStore:
    """A store that has written a file, as the first one always is: by itself."""
    there = store(**options)
    assert send(there, place(server, "first"), b"first") is None
    written(there, place(server, "first"), b"first")
    return there


def test_files_of_all_sizes_arrive_whole_on_one_connection(server: Sshd) -> None:
    before, there = server.logins(), logged_in(server)
    sizes = [SIZES[at % len(SIZES)] for at in range(96)]
    for begin in range(0, 96, 32):
        some = range(begin, begin + 32)
        waiting = [sent(there, place(server, f"{at}"), body(at, sizes[at])) for at in some]
        assert [outcome(one) for one in waiting] == sizes[begin : begin + 32]
    there.close()
    assert [(server.folder / f"{at}").read_bytes() for at in range(96)] == [
        body(at, sizes[at]) for at in range(96)
    ]
    assert len(os.listdir(server.folder)) == 97, "nothing was left behind"
    assert server.logins() - before == 1


@pytest.mark.parametrize("passes", range(2), ids=["new", "replaced"])
def test_other_servers_are_sent_files_too(
    asyncssh: Sshd, monkeypatch: pytest.MonkeyPatch, passes: int
) -> None:
    server = fresh(asyncssh, monkeypatch)
    there = logged_in(server)
    for version in range(passes + 1):
        waiting = [sent(there, place(server, f"{at}"), body(version + at, 70_000)) for at in range(20)]
        assert [outcome(one) for one in waiting] == [70_000] * 20
    there.close()
    for at in range(20):
        assert (server.folder / f"{at}").read_bytes() == body(passes + at, 70_000)
    assert len(os.listdir(server.folder)) == 21, "nothing was left behind"


def test_a_server_that_answers_in_any_order_is_sent_files_too(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rclone_sftp(keys) as other:
        monkeypatch.setenv("PATH", f"{other.path}:{os.environ['PATH']}")
        there, root = store(), parse_location(other.url)
        written(there, root.below("first"), b"first")
        waiting = [sent(there, root.below(f"{at}"), body(at)) for at in range(20)]
        assert [outcome(one) for one in waiting] == [5_000] * 20
        for at in range(20):
            assert drained(there.open_read(root.below(f"{at}"))) == body(at)
        there.close()


def test_paramiko_sends_them_too(server: Sshd, keys: Keys) -> None:
    there = logged_in(server, credential=locked_key(keys, PHRASE))
    waiting = [sent(there, place(server, f"{at}"), body(at, 100_000)) for at in range(32)]
    assert [outcome(one) for one in waiting] == [100_000] * 32
    there.close()
    assert all((server.folder / f"{at}").read_bytes() == body(at, 100_000) for at in range(32))


def test_names_are_literal_and_permissions_those_of_the_source(server: Sshd) -> None:
    there = logged_in(server)
    names = [spelled for _, spelled, _ in odd_names("sftp")]
    assert len(names) > 5
    waiting = [sent(there, place(server, name), name.encode(), 0o640) for name in names]
    assert [outcome(one) for one in waiting] == [len(name.encode()) for name in names]
    program = sent(there, place(server, "program"), b"", 0o755)
    assert outcome(program) == 0
    assert (server.folder / "program").stat().st_mode & 0o777 == 0o755
    there.close()
    assert {*os.listdir(server.folder)} == {*names, "first", "program"}
    for name in names:
        assert (server.folder / name).read_text() == name


def test_nothing_has_its_name_before_the_first_outcome_is_asked_for(server: Sshd) -> None:
    planted(server, "3", b"old")
    there = logged_in(server)
    waiting = [sent(there, place(server, f"{at}"), body(at)) for at in range(8)]
    there.stat(place(server, "3"))
    assert {name for name in os.listdir(server.folder) if not name.startswith(".wf-")} == {"3", "first"}
    assert (server.folder / "3").read_bytes() == b"old"
    assert outcome(waiting[0]) == 5_000
    there.close()
    assert (server.folder / "3").read_bytes() == body(3)


def test_what_is_large_or_to_be_resumed_goes_by_itself(server: Sshd) -> None:
    there = logged_in(server)
    assert send(there, place(server, "large"), content(131_073)) is None
    resumable = Incoming(4, digest_of("sha256", b"data").value, resume=True)
    assert there.send(place(server, "resumable"), resumable, memoryview(b"data")) is None
    assert send(there, place(server, "folder/"), b"data") is None
    there.close()
    assert os.listdir(server.folder) == ["first"]


def test_a_server_without_sftp_is_sent_nothing(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    with sshd(keys, subsystem="") as old:
        monkeypatch.setenv("PATH", f"{old.path}:{os.environ['PATH']}")
        there = logged_in(old)
        assert send(there, place(old, "second"), b"second") is None
        there.close()


# --- failures of one


def test_what_is_in_the_way_is_that_files_failure(server: Sshd) -> None:
    (server.folder / "2").mkdir()
    os.mkfifo(server.folder / "4")
    (server.folder / "target").write_bytes(b"stays")
    (server.folder / "6").symlink_to("target")
    there = logged_in(server)
    names = [*(f"{at}" for at in range(8)), "n" * 300]
    waiting = [sent(there, place(server, name), body(at)) for at, name in enumerate(names)]
    expected: list[Outcome] = [5_000] * 9
    expected[2] = expected[4] = expected[8] = LocalRefused
    assert [outcome(one) for one in waiting] == expected
    there.close()
    assert (server.folder / "2").is_dir() and (server.folder / "4").is_fifo()
    assert (server.folder / "target").read_bytes() == b"stays"
    assert (server.folder / "6").read_bytes() == body(6)
    assert leftovers(server.folder) == []


def test_missing_folders_are_made(server: Sshd) -> None:
    there = logged_in(server)
    names = [f"a/{at % 3}/{at}" if at % 2 else f"{at}" for at in range(24)]
    waiting = [sent(there, place(server, name), body(at)) for at, name in enumerate(names)]
    assert [outcome(one) for one in waiting] == [5_000] * 24
    there.close()
    assert all((server.folder / name).read_bytes() == body(at) for at, name in enumerate(names))


def test_where_no_folder_can_be_made_the_others_go_on(server: Sshd) -> None:
    """Why is told to who writes it singly."""
    there = logged_in(server)
    names = ("a", "first/b", "first/deep/c", "d")
    waiting = [sent(there, place(server, name), name.encode()) for name in names]
    found = [outcome(one) for one in waiting]
    assert (found[0], found[3]) == (1, 1)
    assert all(isinstance(one, type) and issubclass(one, TransferError) for one in found[1:3])
    refused(partial(written, there, place(server, "first/b"), b"b"), LocalRefused, ServerFault)
    there.close()
    assert sorted(os.listdir(server.folder)) == ["a", "d", "first"]


def test_a_partial_that_is_there_is_left_to_who_looks_closely(server: Sshd) -> None:
    there = logged_in(server)
    waiting = [sent(there, place(server, f"{at}"), body(at)) for at in range(3)]
    there.stat(place(server))
    partials = sorted(name for name in os.listdir(server.folder) if name.startswith(".wf-"))
    assert [outcome(one) for one in waiting] == [5_000] * 3
    for name in partials:
        (server.folder / name).write_bytes(b"somebody's")
    waiting = [sent(there, place(server, f"{at}"), body(at)) for at in range(3)]
    assert [outcome(one) for one in waiting] == [Undone] * 3
    there.close()
    assert all((server.folder / name).read_bytes() == b"somebody's" for name in partials)


def test_a_full_disk_is_named_so_and_leaves_nothing(server: Sshd, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a small disk")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(small)], check=True)
    try:
        there, folder = logged_in(server), parse_location(f"{server.url}{small}")
        waiting = [sent(there, folder.below(f"{at}"), body(at, 100_000)) for at in range(8)]
        found = [outcome(one) for one in waiting]
        assert set(found) == {100_000, NoSpace}
        names = [f"{at}" for at in range(8) if found[at] == 100_000]
        assert sorted(os.listdir(small)) == names
        assert all((small / name).read_bytes() == body(int(name), 100_000) for name in names)
        there.close()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_read_only_server_denies_each(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    with sshd(keys, subsystem="internal-sftp -R") as closed:
        monkeypatch.setenv("PATH", f"{closed.path}:{os.environ['PATH']}")
        there = store()
        there.stat(place(closed))
        waiting = [sent(there, place(closed, f"{at}"), body(at)) for at in range(3)]
        assert [outcome(one) for one in waiting] == [Denied] * 3
        there.close()
        assert os.listdir(closed.folder) == []


# --- what is given up


def test_what_is_given_up_leaves_nothing_and_the_others_go_on(server: Sshd) -> None:
    there = logged_in(server)
    waiting = [sent(there, place(server, f"{at}"), body(at)) for at in range(6)]
    for at in (0, 4):
        waiting[at].abort()
        waiting[at].abort()
    assert [outcome(waiting[at]) for at in (1, 2, 3, 5)] == [5_000] * 4
    assert sorted(os.listdir(server.folder)) == ["1", "2", "3", "5", "first"]
    again = sent(there, place(server, "0"), body(0))
    assert outcome(again) == 5_000
    there.close()


def test_after_a_stop_nothing_is_left(server: Sshd) -> None:
    context = make_context()
    there = logged_in(server, context=context)
    waiting = [sent(there, place(server, f"{at}"), body(at)) for at in range(6)]
    context.stop.set()
    for one in waiting:
        one.abort()
    there.close()
    assert os.listdir(server.folder) == ["first"]


def test_an_outcome_that_is_asked_for_after_a_stop_is_one(server: Sshd) -> None:
    context = make_context()
    there = logged_in(server, context=context)
    waiting = [sent(there, place(server, f"{at}"), body(at, 131_072)) for at in range(32)]
    context.stop.set()
    found = {outcome(one) for one in waiting}
    there.close()
    assert found <= {Stopped, 131_072}
    assert leftovers(server.folder) == []


def test_a_store_that_is_closed_leaves_nothing_of_what_waits(server: Sshd) -> None:
    there = logged_in(server)
    for at in range(6):
        sent(there, place(server, f"{at}"), body(at))
    there.close()
    assert os.listdir(server.folder) == ["first"]


# --- other work in between


def test_questions_are_answered_meanwhile_on_the_same_connection(server: Sshd) -> None:
    before, there = server.logins(), logged_in(server)
    waiting = []
    for at in range(30):
        waiting.append(sent(there, place(server, f"{at}"), body(at, 100_000)))
        assert there.stat(place(server, "first")).size == 5
        there.make_directory(place(server, f"made/{at}"))
        there.remove(place(server, f"made/{at - 1}"), recursive=True)
    assert [outcome(one) for one in waiting] == [100_000] * 30
    there.close()
    assert server.logins() - before == 1
    assert os.listdir(server.folder / "made") == ["29"]


def test_files_are_read_and_written_meanwhile(server: Sshd) -> None:
    """Who wants a conversation for longer gets the one that files are on the way on, once they have all been confirmed."""
    large = content(3_000_000)
    planted(server, "large", large)
    before, there = server.logins(), logged_in(server)
    waiting = [sent(there, place(server, f"{at}"), body(at)) for at in range(10)]
    written(there, place(server, "copy"), large)
    waiting += [sent(there, place(server, f"{at}"), body(at)) for at in range(10, 20)]
    assert drained(there.open_read(place(server, "large"))) == large
    assert len(list(there.list(place(server), recursive=True))) == 3 + 20
    assert [outcome(one) for one in waiting] == [5_000] * 20
    assert server.logins() - before == 1
    assert (server.folder / "copy").read_bytes() == large
    there.close()


def test_outcomes_come_while_the_conversation_has_other_work(server: Sshd) -> None:
    large = content(3_000_000)
    planted(server, "large", large)
    there = logged_in(server)
    waiting = [sent(there, place(server, f"{at}"), body(at)) for at in range(10)]
    reader = there.open_read(place(server, "large"))
    view = reader.read()
    first = bytes(view)
    assert [outcome(one) for one in waiting] == [5_000] * 10
    assert view == first, "what was lent stays as it is"
    rest = b""
    while piece := reader.read():
        rest += piece
    assert first + rest == large
    reader.close()
    writer = begun(there, place(server, "copy"), large)
    assert send(there, place(server, "10"), body(10)) is not None, "there are two of them by now"
    writer.commit((sha256(large),))
    there.close()


def test_announced_files_are_read_meanwhile(server: Sshd) -> None:
    sources = [planted(server, f"in/{at}", body(at, 60_000)) for at in range(20)]
    there = logged_in(server)
    there.announce(sources)
    waiting = []
    for at, source in enumerate(sources):
        assert drained(there.open_read(source)) == body(at, 60_000)
        location = place(server, f"out/{at}")
        writer = send(there, location, body(at))
        if writer is None:
            written(there, location, body(at))
        else:
            waiting.append(writer)
    assert [outcome(one) for one in waiting] == [5_000] * len(waiting)
    there.close()
    assert all((server.folder / f"out/{at}").read_bytes() == body(at) for at in range(20))


def test_another_account_is_not_sent_what_is_not_its_own(server: Sshd) -> None:
    """The same host by another name is another account."""
    other = parse_location(place(server, "other").url.replace(f"{server.user}@", ""))
    there = logged_in(server)
    one = sent(there, place(server, "one"), b"one")
    assert send(there, other, b"other") is None
    written(there, other, b"other")
    assert outcome(one) == 3
    two = sent(there, other, b"two")
    assert outcome(two) == 3
    there.close()
    assert (server.folder / "other").read_bytes() == b"two"


def test_two_files_under_one_token_do_not_meet(server: Sshd) -> None:
    there = logged_in(server)
    incoming = Incoming(4, digest_of("sha256", b"data").value)
    writers = [there.send(place(server, name), incoming, memoryview(b"data")) for name in "abc"]
    assert [outcome(one) for one in writers if one is not None] == [4, 4, 4]
    there.close()
    assert sorted(os.listdir(server.folder)) == ["a", "b", "c", "first"]


# --- servers that lie, and connections that end


@pytest.mark.parametrize("lie", LIES)
def test_what_makes_no_sense_harms_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lie: str) -> None:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{lying_ssh(tmp_path / 'bin')}:{os.environ['PATH']}")
    monkeypatch.setenv("WF_LIE", lie)
    top = tmp_path / "place"
    top.mkdir()
    folder = parse_location(f"sftp://host{top}")
    for at in (9, 10, 11, 13, 20, 27, 33, 39, 42):
        for number in range(6):
            (top / f"{number}").write_bytes(b"old")
        monkeypatch.setenv("WF_LIE_AT", str(at))
        there = store(stall=2.0)
        try:
            within_guard(partial(_six_files, there, folder, top))
        finally:
            there.close()


def _six_files(there: SftpStore, folder: Location, top: Path) -> None:
    """What is at a final name is whole: the old file or the new one, and the new one where that was said."""
    written(there, folder.below("first"), b"first")
    waiting = [send(there, folder.below(f"{at}"), body(at)) for at in range(6)]
    for at, one in enumerate(waiting):
        found = outcome(one) if one is not None else None
        assert (top / f"{at}").read_bytes() in ((body(at),) if found == 5_000 else (b"old", body(at)))


@pytest.mark.parametrize("at", [11, 12, 13], ids=["write", "size", "close"])
def test_what_was_not_confirmed_is_not_given_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """The server did what it says it refused: only a name that was never asked for is not there."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "place").mkdir()
    monkeypatch.setenv("PATH", f"{lying_ssh(tmp_path / 'bin')}:{os.environ['PATH']}")
    monkeypatch.setenv("WF_LIE", "refusal")
    monkeypatch.setenv("WF_LIE_AT", str(at))
    folder = parse_location(f"sftp://host{tmp_path}/place")
    there = store(stall=2.0)
    written(there, folder.below("first"), b"first")
    assert outcome(sent(there, folder.below("second"), b"second")) is ServerFault
    there.close()
    assert os.listdir(tmp_path / "place") == ["first"]


def uploads(server: Sshd, folder: Path, count: int, port: int) -> list[Transfer]:
    requests = []
    for at in range(count):
        source = folder / f"{at}"
        source.write_bytes(body(at, 50_000))
        there = place(server, f"{at}", port=port)
        requests.append(
            transfer(at, parse_location(f"file://{source}"), there, expected=sha256(body(at, 50_000)))
        )
    return requests


@pytest.mark.parametrize(
    "fault",
    [cut(300_000, upward=True), cut(1_000_000, upward=True), cut(6_000), reset(2_000_000, upward=True)],
    ids=str,
)
def test_a_connection_that_ends_costs_no_file(server: Sshd, tmp_path: Path, fault: Fault) -> None:
    with fault_proxy(server.port) as proxy:
        server.trust(proxy.port)
        proxy.inject(fault, first=1)
        done = execute(uploads(server, tmp_path, 80, proxy.port), SFTP)
    assert done.statuses == ["done"] * 80
    assert all((server.folder / f"{at}").read_bytes() == body(at, 50_000) for at in range(80))
    assert leftovers(server.folder) == []


def test_what_nobody_knows_is_undone(server: Sshd) -> None:
    with fault_proxy(server.port) as proxy:
        server.trust(proxy.port)
        there = store()
        locations = [place(server, f"{at}", port=proxy.port) for at in range(12)]
        written(there, locations[0], b"first")
        waiting = [sent(there, one, body(at)) for at, one in enumerate(locations)]
        proxy.reset_all()
        proxy.inject(PASS)
        assert {outcome(one) for one in waiting} <= {Undone, 5_000}
        assert outcome(waiting[-1]) is Undone
        written(there, locations[1], b"the store still works")
        there.close()
    assert leftovers(server.folder) == []


def test_a_run_sends_its_small_files_on_one_connection(server: Sshd, tmp_path: Path) -> None:
    before = server.logins()
    done = execute(uploads(server, tmp_path, 150, server.port), SFTP)
    assert done.statuses == ["done"] * 150
    assert all((server.folder / f"{at}").read_bytes() == body(at, 50_000) for at in range(150))
    assert server.logins() - before == 1
    assert len(os.listdir(server.folder)) == 150


def test_a_run_tells_the_failure_of_the_one_that_fails(server: Sshd, tmp_path: Path) -> None:
    (server.folder / "7").mkdir()
    done = execute(uploads(server, tmp_path, 20, server.port), SFTP)
    assert [at for at in range(20) if done[at].status != "done"] == [7]
    error = done[7].error
    assert error is not None and error.code == "refused"
    assert "a folder is in its place" in error.what

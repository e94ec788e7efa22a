"""Small files over SFTP that were announced: whatever happens, the same as one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from runs import execute, sha256, transfer
from servers.faults import PASS, cut, fault_proxy
from servers.sshd import Keys, Sshd, asyncssh_server, make_keys, sshd
from sftp_tools import body, fresh, place, planted, store
from wf.protocols.conformance_tools import content, drained, make_context, written
from wf.protocols.errors import LocalRefused, NotFound, TransferError
from wf.protocols.locations import parse_location
from wf.protocols.registry import SFTP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from wf.protocols.locations import Location
    from wf.protocols.sftp import SftpStore

    Result = bytes | type[TransferError]

RUN = 32
SIZES = (0, 1, 65_536, 32_768, 131_072, 131_073, 400_000, 3_000_000)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def openssh(keys: Keys) -> Iterator[Sshd]:
    with sshd(keys) as server:
        yield server


@pytest.fixture
def server(openssh: Sshd, monkeypatch: pytest.MonkeyPatch) -> Sshd:
    """OpenSSH's server with a fresh folder."""
    return fresh(openssh, monkeypatch)


def files(
    server: Sshd, count: int, *, port: int = 0, size: Callable[[int], int] = lambda _: 5_000
) -> list[Location]:
    return [planted(server, f"{at:04d}", body(at, size(at)), port=port) for at in range(count)]


def result(there: SftpStore, location: Location) -> Result:
    try:
        return drained(there.open_read(location))
    except TransferError as error:
        return type(error)


def read_announced(there: SftpStore, locations: list[Location], run: int = RUN) -> list[Result]:
    """What the engine does: it announces a run, and lengthens it when half of it is read."""
    results = []
    for number, location in enumerate(locations):
        if number % (run // 2) == 0:
            there.announce(locations[number : number + run])
        results.append(result(there, location))
    return results


@pytest.mark.parametrize("run", [2, 5, RUN])
def test_announced_files_are_read_in_order_on_one_connection(server: Sshd, run: int) -> None:
    locations = files(server, 70)
    before, there = server.logins(), store()
    assert read_announced(there, locations, run) == [body(at) for at in range(70)]
    there.close()
    assert server.logins() - before == 1


def test_files_of_all_sizes_come_whole(server: Sshd) -> None:
    sizes = [SIZES[at % len(SIZES)] for at in range(40)]
    locations = files(server, 40, size=lambda at: sizes[at])
    there = store()
    assert read_announced(there, locations) == [body(at, sizes[at]) for at in range(40)]
    there.close()


def test_a_server_that_gives_small_pieces_gives_whole_files(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    with asyncssh_server(keys) as plain:
        server = fresh(plain, monkeypatch)
        sizes = [SIZES[at % len(SIZES)] for at in range(24)]
        locations = files(server, 24, size=lambda at: sizes[at])
        there = store()
        assert read_announced(there, locations) == [body(at, sizes[at]) for at in range(24)]
        there.close()


def test_what_cannot_be_read_fails_alone(server: Sshd) -> None:
    locations = files(server, 20)
    (server.folder / "0003").unlink()
    (server.folder / "0011").unlink()
    (server.folder / "0011").mkdir()
    there = store()
    expected: list[Result] = [body(at) for at in range(20)]
    expected[3], expected[11] = NotFound, LocalRefused
    assert read_announced(there, locations) == expected
    there.close()


def test_what_was_announced_and_is_not_read_disturbs_nothing(server: Sshd) -> None:
    locations = files(server, 12)
    there = store()
    there.announce(locations)
    order = [0, 1, 2, 7, 3, 0, 9, 8, 4, 2]
    assert [result(there, locations[at]) for at in order] == [body(at) for at in order]
    there.announce(locations[8:])
    assert [result(there, one) for one in locations[8:]] == [body(at) for at in range(8, 12)]
    there.announce(locations)
    assert result(there, locations[0]) == body(0)
    there.announce(())
    assert [result(there, one) for one in locations] == [body(at) for at in range(12)]
    there.close()


def test_other_work_at_the_same_account_goes_on_meanwhile(server: Sshd) -> None:
    """More is on its way than fits anywhere, and the answers to writing must come through."""
    locations = files(server, RUN, size=lambda _: 131_072)
    data = content(3_000_000)
    there = store()
    there.announce(locations)
    assert result(there, locations[0]) == body(0, 131_072)
    written(there, place(server, "new"), data)
    assert there.stat(locations[1]).size == 131_072
    there.remove(place(server, "0031"), recursive=False)
    assert [result(there, one) for one in locations[1:31]] == [body(at, 131_072) for at in range(1, 31)]
    assert (server.folder / "new").read_bytes() == data
    there.close()


def test_a_part_of_an_announced_file_is_read_as_one(server: Sshd) -> None:
    locations = files(server, 4)
    there = store()
    there.announce(locations)
    assert drained(there.open_read(locations[0], start=10, length=20)) == body(0)[10:30]
    assert [result(there, one) for one in locations] == [body(at) for at in range(4)]
    there.close()


def test_files_of_two_accounts_are_not_mixed(server: Sshd) -> None:
    """The same host by another name is another account: it is asked when its turn comes."""
    server.trust(server.port)
    locations = files(server, 6)
    other = [parse_location(one.url.replace(f"{server.user}@", "")) for one in locations]
    mixed = [one for pair in zip(locations, other, strict=True) for one in pair]
    there = store()
    there.announce(mixed)
    assert [result(there, one) for one in mixed] == [body(at // 2) for at in range(12)]
    there.close()


def test_a_connection_that_is_cut_costs_no_file(server: Sshd) -> None:
    """The file that was being read is Broken, and comes when it is asked for again; so do all the others."""
    with fault_proxy(server.port) as proxy:
        server.trust(proxy.port)
        locations = files(server, 60, port=proxy.port, size=lambda _: 60_000)
        there = store()
        proxy.inject(cut(1_500_000), first=1)
        found = read_announced(there, locations)
        proxy.inject(PASS)
        failed = [at for at, one in enumerate(found) if not isinstance(one, bytes)]
        assert 0 < len(failed) <= 2, failed
        for at in failed:
            found[at] = result(there, locations[at])
        assert found == [body(at, 60_000) for at in range(60)]
        there.close()


def test_a_run_that_is_stopped_leaves_nothing_open(server: Sshd) -> None:
    context = make_context()
    there = store(context)
    locations = files(server, RUN)
    there.announce(locations)
    assert result(there, locations[0]) == body(0)
    context.stop.set()
    there.close()


def test_the_engine_reads_many_small_files(server: Sshd, tmp_path: Path) -> None:
    locations = files(server, 200)
    ran = execute(
        (
            transfer(at, one, tmp_path / f"{at}", expected=sha256(body(at)))
            for at, one in enumerate(locations)
        ),
        SFTP,
    )
    assert ran.exit == 0
    assert all((tmp_path / f"{at}").read_bytes() == body(at) for at in range(200))


def test_the_engine_copies_many_small_files_inside_one_account(server: Sshd) -> None:
    locations = files(server, 100, size=lambda _: 65_536)
    ran = execute(
        (
            transfer(at, one, place(server, f"{at:04d}.copy"), expected=sha256(body(at, 65_536)))
            for at, one in enumerate(locations)
        ),
        SFTP,
    )
    assert ran.exit == 0
    assert all((server.folder / f"{at:04d}.copy").read_bytes() == body(at, 65_536) for at in range(100))

"""`--preserve`: copies have the time and the permission bits of their sources, or say that they have not."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from command_runs import wf_transfer
from runs import QUICK, execute, transfer
from servers.sshd import Sshd, make_keys, sshd
from sftp_tools import Credentials, place, store
from wf.protocols.conformance_tools import content, make_context, refused
from wf.protocols.errors import Denied, LocalRefused, Unsupported
from wf.protocols.file import FileStore
from wf.protocols.locations import parse_location
from wf.protocols.memory import MemoryServer
from wf.protocols.registry import HTTP, SFTP
from wf.protocols.values import Traits
from wf.transfer.requests import Transfer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.nginx import Nginx

BOTH = QUICK._replace(preserve_times=True, preserve_modes=True)
THEN = 1_234_567_890
NOBODY = Credentials({})
EXACTLY = THEN * 10**9 + 123_456_789
SIZES = (0, 70_000, 3_000_000, 20_000_000)
"""Empty, in one view, streamed, and in parts where the destination takes them."""


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


@pytest.fixture
def memory() -> MemoryServer:
    return MemoryServer()


def old_file(path: Path, data: bytes = b"old", mode: int = 0o604) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    os.utime(path, ns=(EXACTLY, EXACTLY))
    return path


def traits(path: Path) -> tuple[int, int]:
    """Time in nanoseconds, and bits."""
    status = path.stat()
    return status.st_mtime_ns, status.st_mode & 0o7777


def pairs(sources: list[object], destinations: list[object]) -> list[Transfer]:
    return [transfer(number, *ends) for number, ends in enumerate(zip(sources, destinations, strict=True))]


def test_local_copies_keep_the_time_to_the_nanosecond_and_the_bits_whatever_the_umask(tmp_path: Path) -> None:
    sources = [old_file(tmp_path / f"{size}", content(size), 0o666) for size in SIZES]
    copies = [tmp_path / "out" / f"{size}" for size in SIZES]
    before = os.umask(0o077)
    try:
        done = execute(pairs(sources, copies), settings=BOTH)
    finally:
        os.umask(before)
    assert done.exit == 0 and {outcome.note for outcome in done.recorded.outcomes} == {""}
    assert [traits(copy) for copy in copies] == [(EXACTLY, 0o666)] * len(SIZES)


@pytest.mark.parametrize("which", ["times", "modes", ""])
def test_only_what_was_asked_for_is_kept(tmp_path: Path, which: str) -> None:
    source = old_file(tmp_path / "a", mode=0o400)
    settings = QUICK._replace(preserve_times=which == "times", preserve_modes=which == "modes")
    before = os.umask(0o777 - 0o640)
    try:
        execute([transfer(0, source, tmp_path / "b")], settings=settings)
    finally:
        os.umask(before)
    when, mode = traits(tmp_path / "b")
    assert (when == EXACTLY) == (which == "times")
    assert mode == 0o400


def test_times_and_bits_go_to_sftp_and_come_back(server: Sshd, tmp_path: Path) -> None:
    sources = [old_file(tmp_path / f"{size}", content(size)) for size in SIZES]
    far = [place(server, f"{size}") for size in SIZES]
    back = [tmp_path / "back" / f"{size}" for size in SIZES]
    there = execute(pairs(sources, far), SFTP, settings=BOTH, credentials=NOBODY)
    here = execute(pairs(far, back), SFTP, settings=BOTH, credentials=NOBODY)
    assert (there.exit, here.exit) == (0, 0)
    assert {outcome.note for outcome in (*there.recorded.outcomes, *here.recorded.outcomes)} == {""}
    # SFTP 3 has whole seconds.
    for size, copy in zip(SIZES, back, strict=True):
        assert traits(server.folder / f"{size}") == (THEN * 10**9, 0o604)
        assert traits(copy) == (THEN * 10**9, 0o604)


@pytest.mark.parametrize("staged", [False, True], ids=["streamed", "staged"])
def test_the_time_that_a_web_server_tells_is_kept(
    web: Nginx, server: Sshd, tmp_path: Path, staged: bool
) -> None:
    old_file(web.root / "old", content(100_000))
    settings = BOTH._replace(stage_through_file=staged)
    done = execute(
        pairs([f"{web.url}/old"] * 2, [tmp_path / "a", place(server, "b")]),
        HTTP,
        SFTP,
        settings=settings,
        credentials=NOBODY,
    )
    assert done.exit == 0
    for outcome, copy in ((done[0], tmp_path / "a"), (done[1], server.folder / "b")):
        assert traits(copy)[0] == THEN * 10**9
        assert outcome.note == "modes not kept: the source told none"
    assert done[1].route == ("staged" if staged else "streamed")


def test_a_destination_that_cannot_says_so_and_the_copy_is_done(memory: MemoryServer, tmp_path: Path) -> None:
    old_file(tmp_path / "a")
    poor = memory.capability(write_times=False)
    done = execute([transfer(0, tmp_path / "a", memory.location("/a"))], poor, settings=BOTH)
    assert (done.exit, done[0].note) == (0, "times not kept: memory cannot")
    assert memory.told("/a").mode == 0o604


def test_a_destination_that_refuses_says_so_and_the_copy_is_done(
    memory: MemoryServer, tmp_path: Path
) -> None:
    old_file(tmp_path / "a")
    memory.fail("set_traits", "/a", lambda: Denied("not yours"))
    done = execute([transfer(0, tmp_path / "a", memory.location("/a"))], memory, settings=BOTH)
    assert (done.exit, done[0].note) == (0, "times and modes not kept: not yours")
    assert memory.get("/a") == b"old" and len(done[0].attempts) == 1


def test_a_service_that_copies_by_itself_says_that_nothing_was_kept(memory: MemoryServer) -> None:
    memory.put("/a", b"inside")
    copier = memory.capability()
    done = execute([transfer(0, memory.location("/a"), memory.location("/b"))], copier, settings=BOTH)
    assert (done.exit, done[0].route) == (0, "third-party-copy")
    assert done[0].note == "times not kept: the source told none; modes not kept: the source told none"


def test_what_is_there_already_is_left_as_it_is(tmp_path: Path) -> None:
    old_file(tmp_path / "a")
    (tmp_path / "b").write_bytes(b"old")
    before = traits(tmp_path / "b")
    settings = BOTH._replace(existing="update")
    done = execute([transfer(0, tmp_path / "a", tmp_path / "b")], settings=settings)
    assert (done[0].route, done[0].note) == ("present", "found there already")
    assert traits(tmp_path / "b") == before


def test_a_link_that_somebody_put_there_is_not_followed(server: Sshd, tmp_path: Path) -> None:
    """Between the copy and its time the name may have become another's."""
    for folder, there, name in (
        (tmp_path, FileStore(make_context()), parse_location(f"file://{tmp_path}/link")),
        (server.folder, store(), place(server, "link")),
    ):
        target = folder / "target"
        target.write_bytes(b"another's")
        (folder / "link").symlink_to(target)
        before = traits(target)
        refused(lambda: there.set_traits(name, Traits(EXACTLY, 0o777)), Unsupported, LocalRefused)  # noqa: B023
        assert traits(target) == before
        there.close()


def test_the_option_by_hand_and_in_a_batch(tmp_path: Path) -> None:
    old_file(tmp_path / "a")
    assert wf_transfer(tmp_path, "cp", "--preserve", "times", "--preserve", "modes", "a", "b").code == 0
    ends = {
        "src_urls": [{"site_label": "s", "url": f"file://{tmp_path}/a"}],
        "dest_urls": [{"site_label": "s", "url": f"file://{tmp_path}/c"}],
    }
    batch = [{"type": "transfer", "lfn": "a", "id": 1, **ends}]
    (tmp_path / "batch").write_text(json.dumps(batch))
    assert wf_transfer(tmp_path, "-f", "batch", "--preserve", "times").code == 0
    assert traits(tmp_path / "b") == (EXACTLY, 0o604)
    assert traits(tmp_path / "c")[0] == EXACTLY

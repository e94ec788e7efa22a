"""Local files: copied, linked, moved; whatever they are called and whatever is in the way."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from runs import QUICK, at, execute, leftovers, remove, sha256, streaming, transfer
from wf.protocols.errors import Denied, End, ServerFault
from wf.protocols.memory import MemoryServer
from wf.transfer import pump
from wf.transfer.settings import Evidence, Existing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.unprivileged import Unprivileged
    from wf.protocols.errors import TransferError

MIB = 1 << 20
SMALL = b"the bytes of a small file"
BIG = os.urandom(MIB) * 20


@pytest.fixture
def other_file_system(tmp_path: Path) -> Iterator[Path]:
    """A folder from which nothing can be renamed into `tmp_path`."""
    import shutil
    import tempfile

    shared = Path("/dev/shm")
    if not shared.is_dir() or os.stat(shared).st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("/dev/shm is on the file system of the temporary folder")
    folder = Path(tempfile.mkdtemp(dir=shared))
    yield folder
    shutil.rmtree(folder)


# --- copies


@pytest.mark.parametrize(
    "size", [0, 1, 4095, MIB - 1, MIB, MIB + 1, 20 * MIB], ids=lambda size: f"{size} bytes"
)
def test_a_copy_has_the_bytes_the_mode_and_a_digest(tmp_path: Path, size: int) -> None:
    data = BIG[:size]
    (tmp_path / "a").write_bytes(data)
    (tmp_path / "a").chmod(0o750)

    done = execute([transfer(0, tmp_path / "a", tmp_path / "new/folder/b", expected=sha256(data))])

    copy = tmp_path / "new/folder/b"
    assert (done.exit, done[0].route, done[0].bytes) == (0, "local-copy", size)
    assert copy.read_bytes() == data
    assert stat.S_IMODE(copy.stat().st_mode) == 0o750 & ~_umask()
    assert (done[0].digest, done[0].checked) == (sha256(data), True)
    assert not copy.samefile(tmp_path / "a")
    assert not leftovers(tmp_path)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def test_what_comes_from_a_service_gets_the_mode_of_a_new_file(tmp_path: Path) -> None:
    server = MemoryServer()
    server.put("/a", SMALL)

    execute([transfer(0, server.location("/a"), tmp_path / "a")], server)

    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~_umask()


@pytest.mark.parametrize("kernel", ["shares blocks", "copies", "copies nothing"])
def test_a_large_file_arrives_whatever_the_kernel_can_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: str
) -> None:
    import errno

    if kernel != "shares blocks":
        monkeypatch.setattr(pump, "_share_blocks", lambda source, target: False)
    if kernel == "copies nothing":

        def refuse(*_: object) -> int:
            raise OSError(errno.EXDEV, "Invalid cross-device link")

        monkeypatch.setattr(os, "copy_file_range", refuse)
    (tmp_path / "a").write_bytes(BIG)

    done = execute([transfer(0, tmp_path / "a", tmp_path / "b", expected=sha256(BIG))])

    assert done.exit == 0
    assert (tmp_path / "b").read_bytes() == BIG


def test_between_file_systems_too(tmp_path: Path, other_file_system: Path) -> None:
    (other_file_system / "a").write_bytes(BIG)

    done = execute([transfer(0, other_file_system / "a", tmp_path / "b", expected=sha256(BIG))])

    assert done.exit == 0
    assert (tmp_path / "b").read_bytes() == BIG


def test_a_sparse_file_has_the_same_content(tmp_path: Path) -> None:
    with open(tmp_path / "a", "wb") as file:
        file.seek(8 * MIB)
        file.write(b"end")
        file.truncate(12 * MIB)

    done = execute([transfer(0, tmp_path / "a", tmp_path / "b")])

    assert done.exit == 0
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()


@pytest.mark.parametrize("data", [SMALL, BIG], ids=["small", "big"])
def test_a_copy_with_the_wrong_digest_is_not_published(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    (tmp_path / "out").write_bytes(b"earlier")

    done = execute([transfer(0, tmp_path / "a", tmp_path / "out", expected=sha256(b"other"))])

    assert done.exit == 3
    assert (tmp_path / "out").read_bytes() == b"earlier"
    assert not leftovers(tmp_path)


def test_a_file_that_grows_while_it_is_copied_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(BIG)
    grown = threading.Event()
    begin = pump.Hashing.__init__

    def begin_growing(self: pump.Hashing, algorithms: tuple[str, ...] = ()) -> None:
        begin(self, algorithms)
        update = self.update

        def grow(view: memoryview) -> None:
            with open(tmp_path / "a", "ab") as file:
                file.write(b"more")
            grown.set()
            update(view)

        self.update = grow

    monkeypatch.setattr(pump.Hashing, "__init__", begin_growing)
    done = execute([transfer(0, tmp_path / "a", tmp_path / "b")])

    assert grown.is_set()
    assert (done.exit, done[0].error.code, done[0].error.end) == (75, "changed", End.SOURCE)
    assert not (tmp_path / "b").exists()
    assert not leftovers(tmp_path)


def test_partials_of_failed_requests_stay_only_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(BIG)
    request = transfer(0, tmp_path / "a", tmp_path / "b", expected=sha256(b"other"))

    execute([request])
    assert not leftovers(tmp_path)

    execute([request], settings=QUICK._replace(keep_partials=True))
    assert len(leftovers(tmp_path)) == 1
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("evidence", list(Evidence))
def test_local_copies_are_read_back_where_that_is_insisted_on(tmp_path: Path, evidence: Evidence) -> None:
    (tmp_path / "a").write_bytes(SMALL)

    done = execute(
        [transfer(0, tmp_path / "a", tmp_path / "b")], settings=QUICK._replace(require_evidence=evidence)
    )

    assert done.exit == 0
    assert done[0].evidence.strength >= evidence.strength


def test_existing_verify_and_fail_protect_a_local_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SMALL)
    (tmp_path / "b").write_bytes(b"other")

    for policy in (Existing.VERIFY, Existing.FAIL):
        done = execute(
            [transfer(0, tmp_path / "a", tmp_path / "b")], settings=QUICK._replace(existing=policy)
        )
        assert done[0].error.code == "exists"
    assert (tmp_path / "b").read_bytes() == b"other"


# --- what is in the way, and what is read


def test_a_link_at_the_destination_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SMALL)
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "b").symlink_to(tmp_path / "precious")

    done = execute([transfer(0, tmp_path / "a", tmp_path / "b")])

    assert done.exit == 0
    assert not (tmp_path / "b").is_symlink()
    assert (tmp_path / "precious").read_bytes() == b"precious"


@pytest.mark.parametrize("scheme", ["file", "symlink", "moveto"])
def test_a_folder_at_the_destination_is_an_error(tmp_path: Path, scheme: str) -> None:
    (tmp_path / "a").write_bytes(SMALL)
    (tmp_path / "b").mkdir()

    done = execute([transfer(0, tmp_path / "a", at(f"{scheme}://{tmp_path}/b"))])

    assert (done.exit, done[0].error.code, done[0].error.end) == (1, "refused", End.DESTINATION)
    assert "folder" in done[0].error.what
    assert (tmp_path / "a").exists()
    assert not leftovers(tmp_path)


def test_a_folder_as_source_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()

    done = execute([transfer(0, tmp_path / "a", tmp_path / "b")])

    assert (done.exit, done[0].error.code, done[0].error.end) == (1, "refused", End.SOURCE)


def test_a_file_above_the_destination_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SMALL)
    (tmp_path / "file").write_bytes(b"x")

    done = execute([transfer(0, tmp_path / "a", tmp_path / "file/b")])

    assert (done.exit, done[0].error.end) == (1, End.DESTINATION)


def test_a_copy_onto_itself_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SMALL)

    for scheme in ("file", "symlink", "moveto"):
        done = execute([transfer(0, tmp_path / "a", at(f"{scheme}://{tmp_path}/a"))])
        assert done.exit in (0, 1)
        assert (tmp_path / "a").read_bytes() == SMALL
        assert not (tmp_path / "a").is_symlink()


@pytest.mark.parametrize("scheme", ["file", "symlink", "moveto"])
def test_a_file_brought_to_itself_survives_a_check_that_fails(tmp_path: Path, scheme: str) -> None:
    (tmp_path / "a").write_bytes(SMALL)

    done = execute(
        [
            transfer(
                0,
                tmp_path / "a",
                at(f"{scheme}://{tmp_path}/a"),
                expected=sha256(b"other"),
                verify_remote=True,
            )
        ]
    )

    assert done.exit == 3
    assert (tmp_path / "a").read_bytes() == SMALL


def test_a_fifo_is_read_to_its_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    def write() -> None:
        (tmp_path / "fifo").write_bytes(BIG)

    done = execute([transfer(0, tmp_path / "fifo", tmp_path / "b", expected=sha256(BIG))], during=write)

    assert done.exit == 0
    assert (tmp_path / "b").read_bytes() == BIG


@pytest.mark.parametrize("error", [ServerFault("500"), Denied("403")], ids=lambda error: error.code)
def test_what_is_left_in_a_fifo_is_never_taken_for_the_whole(tmp_path: Path, error: TransferError) -> None:
    """The bytes can be read once: when the destination fails after that, so does the request."""
    os.mkfifo(tmp_path / "fifo")
    server = MemoryServer()
    server.fail("open_write", "*", error)

    def write() -> None:
        with contextlib.suppress(BrokenPipeError):
            (tmp_path / "fifo").write_bytes(BIG)

    done = execute(
        [transfer(0, tmp_path / "fifo", [server.location("/out", host) for host in "xy"])],
        server,
        during=write,
    )

    assert done.statuses == ["failed"]
    assert not server.names()


def test_a_fifo_goes_through_the_spool_where_the_size_is_needed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    server = MemoryServer()

    done = execute(
        [transfer(0, tmp_path / "fifo", server.location("/out"), expected=sha256(BIG))],
        streaming(server, write_needs_size=True),
        during=lambda: (tmp_path / "fifo").write_bytes(BIG) and None,
    )

    assert (done.exit, len(done[0].attempts)) == (0, 2)
    assert server.get("/out") == BIG


def test_a_fifo_is_written_and_stays(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "a").write_bytes(BIG)
    read: list[bytes] = []

    done = execute(
        [transfer(0, tmp_path / "a", tmp_path / "fifo")],
        during=lambda: read.append((tmp_path / "fifo").read_bytes()),
    )

    assert done.exit == 0
    assert read == [BIG]
    assert stat.S_ISFIFO(os.stat(tmp_path / "fifo").st_mode)


def test_a_device_that_is_always_full_is_no_space(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    (tmp_path / "a").write_bytes(SMALL)

    done = execute([transfer(0, tmp_path / "a", Path("/dev/full"))])

    assert (done.exit, done[0].error.code) == (1, "no-space")
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("scheme", ["symlink", "moveto"])
def test_a_device_is_never_replaced(tmp_path: Path, scheme: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a device to try it on")
    device = tmp_path / "null"
    os.mknod(device, 0o020666, os.makedev(1, 3))
    (tmp_path / "a").write_bytes(SMALL)

    execute([transfer(0, tmp_path / "a", at(f"{scheme}://{device}"))])

    assert device.is_char_device()


NAMES = [
    b"with blank",
    b"line\nbreak",
    b"'single' \"double\"",
    b"100%41%",
    b"a;b&c|d",
    b"$(touch pwned)`touch pwned`",
    b"-rf",
    b"--",
    b"..x",
    b"*?[a]",
    b"back\\slash",
    "öé日本".encode(),
    b"not utf-8 \xff\xfe",
    b"\x1b[31mred\x07",
    b"#fragment?query",
    b"~root",
    b"cost$5",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize("scheme", ["file", "symlink", "moveto"])
def test_any_name_is_taken_as_it_is(tmp_path: Path, name: bytes, scheme: str) -> None:
    source = tmp_path / "in" / os.fsdecode(name)
    source.parent.mkdir()
    source.write_bytes(SMALL)
    destination = tmp_path / "out" / os.fsdecode(name)

    done = execute([transfer(0, source, at(f"{scheme}://{destination}"))])

    assert done.exit == 0
    assert destination.read_bytes() == SMALL
    assert os.listdir(os.fsencode(tmp_path / "out")) == [name]

    gone = execute([remove(0, destination)])

    assert gone.exit == 0
    assert not os.listdir(tmp_path / "out")


# --- links and moves


def test_a_link_points_to_the_source(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SMALL)

    done = execute([transfer(0, tmp_path / "a", at(f"symlink://{tmp_path}/new/b"), size=len(SMALL))])

    assert (done.exit, done[0].route, done[0].evidence) == (0, "link", Evidence.SIZE)
    assert os.readlink(tmp_path / "new/b") == str(tmp_path / "a")


def test_a_link_to_a_file_of_another_size_or_content_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SMALL)
    destination = at(f"symlink://{tmp_path}/b")

    size = execute([transfer(0, tmp_path / "a", destination, size=1)])
    content = execute(
        [transfer(0, tmp_path / "a", destination, expected=sha256(b"other"))],
        settings=QUICK._replace(verify_links=True),
    )

    assert (size.exit, content.exit) == (3, 3)
    assert not os.path.lexists(tmp_path / "b")


def test_the_file_behind_a_link_is_hashed_where_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SMALL)
    destination = at(f"symlink://{tmp_path}/b")

    plain = execute([transfer(0, tmp_path / "a", destination)])
    verified = execute(
        [transfer(0, tmp_path / "a", destination, expected=sha256(SMALL))],
        settings=QUICK._replace(verify_links=True),
    )
    insisted = execute(
        [transfer(0, tmp_path / "a", destination)],
        settings=QUICK._replace(require_evidence=Evidence.DIGEST),
    )

    assert plain[0].digest is None
    assert (verified[0].digest, verified[0].checked) == (sha256(SMALL), True)
    assert (insisted.exit, insisted[0].evidence) == (0, Evidence.READ_BACK)


def test_a_link_to_what_is_missing_is_made_only_where_nobody_minds(tmp_path: Path) -> None:
    source, destination = tmp_path / "none", at(f"symlink://{tmp_path}/b")

    refused = execute([transfer(0, source, destination)])
    allowed = execute([transfer(0, source, destination, verify_symlink_source=False)])

    assert (refused.exit, refused[0].error.code, refused[0].error.end) == (1, "not-found", End.SOURCE)
    assert allowed.exit == 0
    assert os.readlink(tmp_path / "b") == str(source)


def test_a_move_takes_the_file_itself(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(BIG)
    inode = (tmp_path / "a").stat().st_ino

    done = execute([transfer(0, tmp_path / "a", at(f"moveto://{tmp_path}/new/b"))])

    assert (done.exit, done[0].route) == (0, "move")
    assert (tmp_path / "new/b").stat().st_ino == inode
    assert not (tmp_path / "a").exists()


def test_a_move_of_the_wrong_file_moves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SMALL)
    destination = at(f"moveto://{tmp_path}/b")

    digest = execute([transfer(0, tmp_path / "a", destination, expected=sha256(b"other"))])
    size = execute([transfer(0, tmp_path / "a", destination, size=1)])

    assert (digest.exit, size.exit) == (3, 3)
    assert (tmp_path / "a").read_bytes() == SMALL
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    "details",
    [{}, {"expected": sha256(BIG)}, {"expected": sha256(BIG), "verify_remote": True}],
    ids=["plain", "expected", "verified"],
)
@pytest.mark.parametrize("evidence", [Evidence.NONE, Evidence.DIGEST, Evidence.READ_BACK])
def test_a_move_between_file_systems_is_a_verified_copy_and_then_a_removal(
    tmp_path: Path, other_file_system: Path, details: dict[str, object], evidence: Evidence
) -> None:
    (other_file_system / "a").write_bytes(BIG)

    done = execute(
        [transfer(0, other_file_system / "a", at(f"moveto://{tmp_path}/b"), **details)],
        settings=QUICK._replace(require_evidence=evidence),
    )

    assert (done.exit, done[0].route) == (0, "move")
    assert done[0].evidence.strength >= evidence.strength
    assert (tmp_path / "b").read_bytes() == BIG
    assert not (other_file_system / "a").exists()


def test_a_move_whose_check_fails_never_loses_the_only_copy(
    tmp_path: Path, other_file_system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wf.protocols.errors import Broken
    from wf.transfer import publishing

    def fail(*_: object) -> object:
        raise Broken("the disk did not answer")

    monkeypatch.setattr(publishing, "hash_stored", fail)
    for folder in (tmp_path / "in", other_file_system):
        folder.mkdir(exist_ok=True)
        (folder / "a").write_bytes(SMALL)

        execute(
            [
                transfer(
                    0, folder / "a", at(f"moveto://{tmp_path}/b"), expected=sha256(SMALL), verify_remote=True
                )
            ]
        )

        left = [path for path in (folder / "a", tmp_path / "b") if path.exists()]
        assert left and left[0].read_bytes() == SMALL


# --- permissions


def test_what_may_not_be_read_or_written_is_an_error_with_a_remedy(
    tmp_path: Path, unprivileged: Unprivileged
) -> None:
    import json

    folder = unprivileged.folder
    for name in ("locked", "closed"):
        unprivileged.give(_made(folder / name, folder=name == "closed"))
    unprivileged.give(_made(folder / "open"))
    (folder / "locked").chmod(0o000)
    (folder / "closed").chmod(0o500)
    batch = [
        _json(folder / "locked", folder / "x"),
        _json(folder / "open", folder / "closed/y"),
        _json(folder / "open", folder / "z"),
    ]

    done = unprivileged.run(
        [*unprivileged.command("wf-transfer"), "--result", "result.json"], input=json.dumps(batch).encode()
    )

    assert done.returncode == 1, done.stderr
    found = json.loads((folder / "result.json").read_text())["requests"]
    by_index = {request["index"]: request for request in found}
    assert [by_index[n]["status"] for n in range(3)] == ["failed", "failed", "done"]
    assert (by_index[0]["error"]["code"], by_index[0]["error"]["end"]) == ("refused", "source")
    assert (by_index[1]["error"]["code"], by_index[1]["error"]["end"]) == ("refused", "destination")
    assert b"Permission denied" in done.stderr and b"check the permissions" in done.stderr
    assert b"Traceback" not in done.stderr


def _made(path: Path, *, folder: bool = False) -> Path:
    if folder:
        path.mkdir()
    else:
        path.write_bytes(SMALL)
    return path


def _json(source: Path, destination: Path) -> dict[str, object]:
    return {
        "type": "transfer",
        "lfn": destination.name,
        "src_urls": [{"url": f"file://{source}", "site_label": "here"}],
        "dest_urls": [{"url": f"file://{destination}", "site_label": "here"}],
    }

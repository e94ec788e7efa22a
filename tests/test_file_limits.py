"""Local files where permissions and limits are in the way. Root is never denied, so as root the calls are made by nobody.

The interpreter may lie where nobody cannot read: everything is imported first, and then the user changes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_PROGRAM = """
import os, resource, sys
from wf.protocols.conformance_tools import drained, make_context, written
from wf.protocols.errors import TransferError
from wf.protocols.file import FileStore
from wf.protocols.locations import parse_location
from wf.protocols.values import Incoming
import wf.credentials.redaction, wf.protocols.streams, wf.protocols.tree

if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)

def at(name):
    return parse_location(f"file://{os.getcwd()}/{name}")

store = FileStore(make_context())
try:
    exec(sys.argv[1])
except TransferError as error:
    print(error.code, error.reach.value, error.what, error.remedy, sep="|")
else:
    print("done")
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Everybody may write here, which is not so below pytest's own temporary folder."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def run(folder: Path, statement: str) -> list[str]:
    """What became of `statement`: `done`, or code, reach, message and remedy of the error."""
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM, statement],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip().split("|")


def locked(path: Path) -> Path:
    path.chmod(0o000 if path.is_file() else 0o555)
    return path


def test_a_file_that_may_not_be_read_is_refused(folder: Path) -> None:
    (folder / "a").write_bytes(b"x")
    locked(folder / "a")
    code, reach, what, remedy = run(folder, "store.open_read(at('a'))")
    assert (code, reach) == ("refused", "replica")
    assert what == f"cannot read {folder}/a: Permission denied"
    assert "permissions" in remedy
    assert run(folder, "store.link(at('a'), at('b'), check=True)")[0] == "refused"
    assert run(folder, "store.link(at('a'), at('b'), check=False)") == ["done"]


@pytest.mark.parametrize(
    "statement",
    [
        "written(store, at('closed/a'), b'x')",
        "written(store, at('closed/new/a'), b'x')",
        "store.make_directory(at('closed/new'))",
        "store.remove(at('closed/file'), recursive=False)",
        "store.remove(at('closed'), recursive=True)",
        "store.link(at('source'), at('closed/link'), check=True)",
        "store.move(at('source'), at('closed/to'))",
    ],
)
def test_a_folder_that_may_not_be_written_is_refused(folder: Path, statement: str) -> None:
    (folder / "source").write_bytes(b"x")
    (folder / "source").chmod(0o644)
    (folder / "closed").mkdir()
    (folder / "closed" / "file").write_bytes(b"stays")
    locked(folder / "closed")
    code, reach, what, _ = run(folder, statement)
    assert (code, reach) == ("refused", "replica")
    assert what.endswith(": Permission denied")
    (folder / "closed").chmod(0o700)
    assert os.listdir(folder / "closed") == ["file"]


def test_a_partial_of_somebody_else_is_left_alone(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a file that belongs to somebody else")
    planted = folder / ".wf-0123456789abcdef.part"
    planted.write_bytes(b"of root")
    planted.chmod(0o666)
    done = run(
        folder,
        "writer = store.open_write(at('a'), Incoming(token='0123456789abcdef'))\n"
        "writer.write(memoryview(b'of nobody'))\n"
        "writer.commit(())",
    )
    assert done == ["done"]
    assert planted.read_bytes() == b"of root"
    assert (folder / "a").read_bytes() == b"of nobody"


def test_a_file_that_grows_too_large_is_no_space_and_leaves_nothing(folder: Path) -> None:
    code, reach, what, remedy = run(
        folder,
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\nwritten(store, at('a'), bytes(200_000))",
    )
    assert (code, reach) == ("no-space", "request")
    assert what.startswith(f"cannot write {folder}/a: ")
    assert "space" in remedy
    assert os.listdir(folder) == []


def test_too_many_open_files_is_said_with_its_remedy(folder: Path) -> None:
    (folder / "a").write_bytes(b"x")
    (folder / "a").chmod(0o644)
    code, _, what, remedy = run(
        folder,
        "resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))\n"
        "readers = [store.open_read(at('a')) for _ in range(16)]",
    )
    assert code == "refused"
    assert what == f"cannot read {folder}/a: Too many open files"
    assert "ulimit -n" in remedy


def test_a_removal_that_is_denied_names_the_file_inside(folder: Path) -> None:
    (folder / "tree" / "closed").mkdir(parents=True)
    (folder / "tree").chmod(0o777)
    (folder / "tree" / "closed" / "file").write_bytes(b"stays")
    locked(folder / "tree" / "closed")
    _, _, what, _ = run(folder, "store.remove(at('tree'), recursive=True)")
    assert what == f"cannot remove {folder}/tree/closed/file: Permission denied"

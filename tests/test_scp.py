"""SSH servers without SFTP: the old protocol of scp, and names as words of a shell's command."""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import execute, leftovers, sha256, transfer
from servers.faults import cut, fault_proxy
from servers.sshd import Keys, Sshd, make_keys, sshd
from sftp_tools import Credentials, place, planted, store
from wf.protocols.conformance_tools import content, drained, odd_names, refused, written
from wf.protocols.errors import Broken, Denied, LocalRefused, NotFound, Unsupported
from wf.protocols.registry import SFTP
from wf.protocols.scp import quoted
from wf.protocols.values import Incoming

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def shared(keys: Keys) -> Iterator[Sshd]:
    with sshd(keys, subsystem="") as server:
        yield server


@pytest.fixture
def old(shared: Sshd, monkeypatch: pytest.MonkeyPatch) -> Sshd:
    """A server without SFTP, with a fresh folder."""
    monkeypatch.setenv("PATH", f"{shared.path}:{os.environ['PATH']}")
    folder = shared.folder / os.urandom(4).hex()
    folder.mkdir()
    return shared._replace(folder=folder)


@pytest.fixture
def one_connection(old: Sshd) -> Iterator[None]:
    """For tests with many commands: they share one login."""
    with old.one_connection():
        yield


@given(st.binary(min_size=1).filter(lambda name: b"\0" not in name))
def test_a_quoted_name_is_one_word_and_no_option(name: bytes) -> None:
    (word,) = shlex.split(quoted(name).decode("latin-1"))
    assert word.encode("latin-1") == (name if name.startswith(b"/") else b"./" + name)


def test_a_shell_reads_quoted_names_as_they_are() -> None:
    names = [name.encode() for name, _, _ in odd_names("scp")] + [b"'", b"''\\''", b"\xff\n'\n"]
    command = b"printf '%s\\0' " + b" ".join(map(quoted, names))
    said = subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout
    assert said.split(b"\0")[:-1] == [b"./" + name for name in names]


@pytest.mark.parametrize("name", ["-dash", "$(touch harm)'\";touch harm", "new\nline", "~", "*", " "])
def test_hostile_names_are_written_read_and_removed(old: Sshd, one_connection: None, name: str) -> None:
    there = store()
    location = place(old, scheme="scp").below(name)
    written(there, location, name.encode())
    assert os.listdir(old.folder) == [name]
    assert drained(there.open_read(location)) == name.encode()
    assert there.stat(location).size == len(name.encode())
    assert there.digest(location, "sha256") == sha256(name.encode())
    there.remove(location, recursive=False)
    assert os.listdir(old.folder) == []
    there.close()


def test_a_transfer_there_and_back_through_the_engine(old: Sshd) -> None:
    data = content(3_000_000)
    local = old.folder / "local"
    local.write_bytes(data)
    there, back = place(old, "sub/there", scheme="scp"), old.folder / "back"
    first = execute([transfer(0, local, there, expected=sha256(data))], SFTP, credentials=Credentials({}))
    assert (first.statuses, first[0].evidence) == (["done"], "size")
    second = execute(
        [transfer(0, there, back, expected=sha256(data), verify_remote=True)],
        SFTP,
        credentials=Credentials({}),
    )
    assert second.statuses == ["done"] and back.read_bytes() == data
    assert leftovers(old.folder) == []


def test_what_scp_cannot_do_is_refused(old: Sshd) -> None:
    there = store()
    location = planted(old, "file", b"data")
    refused(lambda: there.open_read(location, start=1), Unsupported)
    refused(lambda: list(there.list(place(old), recursive=False)), Unsupported)
    refused(lambda: there.open_write(location, Incoming()), Unsupported)
    there.close()


def test_errors_are_those_of_their_causes(old: Sshd) -> None:
    there = store()
    planted(old, "file", b"data")
    refused(lambda: there.open_read(place(old, "absent")), NotFound)
    refused(lambda: there.open_read(place(old)), LocalRefused, Unsupported)
    refused(lambda: there.make_directory(place(old, "file")), LocalRefused)
    refused(lambda: written(there, place(old, "file/below"), b"x"), NotFound, LocalRefused)
    refused(lambda: written(there, place(old), b"x"), LocalRefused)
    refused(lambda: there.remove(place(old), recursive=False), LocalRefused)
    refused(lambda: there.remove(place(old).with_path("/~/"), recursive=True), LocalRefused)
    refused(lambda: written(there, place(old).with_path("/proc/nothing-here"), b"x"), NotFound, Denied)
    there.close()
    assert leftovers(old.folder) == []


def test_a_cut_connection_is_broken(old: Sshd) -> None:
    with fault_proxy(old.port, cut(300_000)) as faulty:
        old.trust(faulty.port)
        location = planted(old, "file", content(3_000_000), port=faulty.port)
        there = store()
        refused(lambda: drained(there.open_read(location)), Broken)
        there.close()


def test_what_lost_bytes_is_not_published(old: Sshd, one_connection: None) -> None:
    """Whatever shortened it between the last byte and the command that gives it its name."""
    there = store()
    (old.folder / "file").write_bytes(b"old")
    writer = there.open_write(place(old, "file"), Incoming(1000))
    writer.write(memoryview(bytes(1000)))
    _, partial = sorted(old.folder.iterdir(), reverse=True)
    partial.unlink()  # the far side goes on writing to a file without a name
    partial.write_bytes(b"short")
    error = refused(lambda: writer.commit(()), Broken)
    writer.abort()
    there.close()
    assert "5 bytes are there" in error.what
    assert (old.folder / "file").read_bytes() == b"old"


def test_links_are_replaced_and_not_followed(old: Sshd) -> None:
    folder = old.folder / "folder"
    folder.mkdir()
    (folder / "stays").write_bytes(b"stays")
    (old.folder / "link").symlink_to(folder / "stays")
    (old.folder / "to-folder").symlink_to(folder)
    there = store()
    written(there, place(old, "link"), b"new")
    there.remove(place(old, "to-folder"), recursive=True)
    there.close()
    assert (folder / "stays").read_bytes() == b"stays"
    assert sorted(os.listdir(old.folder)) == ["folder", "link"]

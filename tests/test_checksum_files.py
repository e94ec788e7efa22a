"""Digests of files: read whole, read once, and not believed if they changed meanwhile."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wf.checksum.errors import ChangedWhileRead, ChecksumError, Interrupted, NotRegular
from wf.checksum.files import BUFFER_BYTES, digest_file, digest_stream, new_buffer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SMALL = 64 << 10


class AfterFirstRead:
    """A stop event that is never set, and does something when it is looked at for the first time."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act: Callable[[], object] | None = act

    def is_set(self) -> bool:
        act, self._act = self._act, None
        if act:
            act()
        return False


@pytest.mark.parametrize(
    "size",
    [0, 1, SMALL - 1, SMALL, SMALL + 1, BUFFER_BYTES - 1, BUFFER_BYTES, BUFFER_BYTES + 1, 3 * BUFFER_BYTES],
)
@pytest.mark.parametrize("lent", [False, True])
def test_every_size_around_the_buffers_is_read_whole(tmp_path: Path, size: int, lent: bool) -> None:
    data = os.urandom(size)
    path = tmp_path / "file"
    path.write_bytes(data)
    found = digest_file(path, ("sha256", "md5"), buffer=new_buffer() if lent else None)
    assert found.size == size
    assert [one.value for one in found.digests] == [
        hashlib.sha256(data).digest(),
        hashlib.md5(data, usedforsecurity=False).digest(),
    ]


@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=300), room=st.integers(1, 301))
def test_any_buffer_gives_the_same_digest(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, room: int
) -> None:
    path = tmp_path_factory.mktemp("any") / "file"
    path.write_bytes(data)
    assert digest_file(path, buffer=memoryview(bytearray(room))).digests[0].value == (
        hashlib.sha256(data).digest()
    )


def test_one_buffer_serves_many_files(tmp_path: Path) -> None:
    buffer = new_buffer()
    for content in (b"long" * 100, b"short", b""):
        (tmp_path / "file").write_bytes(content)
        found = digest_file(tmp_path / "file", buffer=buffer).digests[0]
        assert found.value == hashlib.sha256(content).digest()


def test_a_buffer_begins_at_a_page() -> None:
    import ctypes

    buffer = new_buffer()
    assert ctypes.addressof(ctypes.c_char.from_buffer(buffer)) % os.sysconf("SC_PAGE_SIZE") == 0
    assert len(buffer) == BUFFER_BYTES


def test_names_may_be_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff\n"
    with open(name, "wb") as file:
        file.write(b"abc")
    assert digest_file(name) == digest_file(os.fsdecode(name))


def _write(path: Path, size: int) -> Path:
    path.write_bytes(b"x" * size)
    return path


def test_a_file_that_grows_while_it_is_read_is_not_believed(tmp_path: Path) -> None:
    path = _write(tmp_path / "file", 200)
    with path.open("ab") as more:
        stop = AfterFirstRead(lambda: more.write(b"more") and more.flush())
        with pytest.raises(ChangedWhileRead, match="grew"):
            digest_file(path, buffer=memoryview(bytearray(100)), stop=stop)


def test_a_file_that_shrinks_while_it_is_read_is_not_believed(tmp_path: Path) -> None:
    path = _write(tmp_path / "file", 300)
    stop = AfterFirstRead(lambda: os.truncate(path, 150))
    with pytest.raises(ChangedWhileRead, match="from 300 to 150 bytes"):
        digest_file(path, buffer=memoryview(bytearray(100)), stop=stop)


def test_a_file_rewritten_in_place_with_the_same_size_is_not_believed(tmp_path: Path) -> None:
    path = _write(tmp_path / "file", 300)
    os.utime(path, ns=(0, 0))
    stop = AfterFirstRead(lambda: path.write_bytes(b"y" * 300))
    with pytest.raises(ChangedWhileRead, match="was written"):
        digest_file(path, buffer=memoryview(bytearray(100)), stop=stop)


def test_a_file_replaced_by_rename_while_it_is_read_is_the_old_one_whole(tmp_path: Path) -> None:
    path = _write(tmp_path / "file", 300)
    (tmp_path / "new").write_bytes(b"y" * 300)
    stop = AfterFirstRead(lambda: os.replace(tmp_path / "new", path))
    found = digest_file(path, buffer=memoryview(bytearray(100)), stop=stop)
    assert found.digests[0].value == hashlib.sha256(b"x" * 300).digest()


def test_a_set_stop_event_ends_a_long_read(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        digest_file(_write(tmp_path / "file", 2 * BUFFER_BYTES), stop=stop)


def test_a_fifo_without_a_writer_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(NotRegular, match="FIFO"):
        digest_file(tmp_path / "fifo")


def test_a_device_is_refused() -> None:
    with pytest.raises(NotRegular, match="device"):
        digest_file("/dev/zero")


def test_a_socket_is_refused_as_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's name must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        with pytest.raises(NotRegular, match="is a socket"):
            digest_file("s")


def test_a_fifo_is_read_to_its_end_when_asked(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(b"abc"))
    writer.start()
    found = digest_file(fifo, special=True)
    writer.join()
    assert (found.size, found.digests[0].value) == (3, hashlib.sha256(b"abc").digest())


def test_a_file_of_proc_gives_more_than_it_has_and_is_read_only_when_asked() -> None:
    with pytest.raises(ChangedWhileRead):
        digest_file("/proc/self/cmdline")
    with open("/proc/self/cmdline", "rb") as file:
        expected = hashlib.sha256(file.read()).digest()
    assert digest_file("/proc/self/cmdline", special=True).digests[0].value == expected


def test_errors_of_the_system_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        digest_file(tmp_path / "missing")
    with pytest.raises(IsADirectoryError):
        digest_file(tmp_path)


def test_nothing_stays_open_after_a_refusal(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    before = os.listdir("/proc/self/fd")
    for name in ("fifo", "missing", "."):
        with pytest.raises((OSError, ChecksumError)):
            digest_file(tmp_path / name)
    with pytest.raises(ValueError, match="unknown"):
        digest_file(_write(tmp_path / "file", 1), ("md4",))
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_stream_is_read_from_where_it_stands_and_stays_open(tmp_path: Path) -> None:
    with _write(tmp_path / "file", 10).open("rb", buffering=0) as file:
        file.read(4)
        assert digest_stream(file.fileno()).size == 6
        assert file.tell() == 10

"""Files from FTP servers."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import pytest
from servers.faults import SILENT, closed_port, fault_proxy
from servers.ftp import PASSWORD, USER, Ftp, broken_ftp, ftp
from wf.credentials.kinds import Basic, Bearer, Secret
from wf.protocols.capability import Capability
from wf.protocols.conformance import StoreConformance
from wf.protocols.conformance_tools import content, drained, make_context
from wf.protocols.errors import (
    Broken,
    Busy,
    Changed,
    Denied,
    Misconfigured,
    NotFound,
    TurnedAway,
    Unreachable,
    Unsupported,
)
from wf.protocols.ftp import FtpStore
from wf.protocols.locations import Location, parse_location
from wf.protocols.registry import FTP

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wf.protocols.contract import Store


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Ftp]:
    root = tmp_path / "ftp"
    root.mkdir()
    with ftp(root) as server:
        yield server


@pytest.fixture
def store() -> Iterator[FtpStore]:
    store = FtpStore(make_context())
    yield store
    store.close()


class TestConformance(StoreConformance):
    refused_names = frozenset({"new\nline"})

    @pytest.fixture
    def capability(self) -> Capability:
        return FTP._replace(folders=False)

    @pytest.fixture
    def place(self, server: Ftp) -> Location:
        self.root = server.root
        (server.root / "place").mkdir()
        return parse_location(f"{server.url}/place")

    def put(self, store: Store, location: Location, data: bytes) -> None:
        with suppress(NotFound):
            store.stat(location)  # raises Unsupported for a name that FTP cannot say
        path = self.root / unquote_to_bytes(location.path[1:]).decode()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    @pytest.fixture
    def denied_location(self) -> Iterator[Location]:
        with broken_ftp(b"data", welcome="530 not you") as server:
            yield parse_location(f"{server.url}/denied")

    @pytest.fixture
    def cut_location(self) -> Iterator[Location]:
        with broken_ftp(b"half", size=8) as server:
            yield parse_location(f"{server.url}/cut")

    @pytest.fixture
    def stalled_location(self) -> Iterator[Location]:
        with broken_ftp(b"half", size=8, stall=True) as server:
            yield parse_location(f"{server.url}/stalled")


def test_files_come_over_one_session(store: FtpStore, server: Ftp) -> None:
    (server.root / "a").write_bytes(content(3_000_000))
    (server.root / "empty").touch()
    for _ in range(2):
        assert drained(store.open_read(parse_location(f"{server.url}/a"))) == content(3_000_000)
        assert drained(store.open_read(parse_location(f"{server.url}/empty"))) == b""
        with pytest.raises(NotFound, match="550"):
            store.stat(parse_location(f"{server.url}/absent"))
    assert server.sessions() == 1


def test_an_entry_has_size_and_time(store: FtpStore, server: Ftp) -> None:
    (server.root / "a").write_bytes(b"text")
    os.utime(server.root / "a", (0, 1_000_000_000))
    entry = store.stat(parse_location(f"{server.url}/a"))
    assert (entry.size, entry.modified) == (4, 1_000_000_000.0)


def test_a_session_that_has_ended_is_begun_anew(store: FtpStore, server: Ftp) -> None:
    (server.root / "a").write_bytes(b"text")
    with fault_proxy(server.port) as proxy:
        location = parse_location(f"ftp://127.0.0.1:{proxy.port}/a")
        store.stat(location)
        proxy.cut_all()
        assert store.stat(location).size == 4


def test_user_and_password_are_presented(server: Ftp) -> None:
    (server.root / "a").write_bytes(b"text")
    right = Basic(USER, Secret(PASSWORD), name="dave", origin="a test")
    wrong = Basic(USER, Secret("hunter22"), name="dave", origin="a test")
    token = Bearer(Secret("t"), name="token", origin="a test")
    location = parse_location(f"{server.url}/a")
    in_url = parse_location(f"ftp://{USER}:{PASSWORD.replace(':', '%3A')}@127.0.0.1:{server.port}/a")
    for credential, where in ((right, location), (None, in_url)):
        store = FtpStore(make_context(credential=credential))
        assert drained(store.open_read(where)) == b"text"
        store.close()
    with pytest.raises(Denied, match="530") as caught:
        FtpStore(make_context(credential=wrong)).open_read(location)
    assert "hunter22" not in caught.value.what
    with pytest.raises(Misconfigured):
        FtpStore(make_context(credential=token)).open_read(location)


def test_a_path_is_not_a_command(store: FtpStore, server: Ftp) -> None:
    for path in ("a%0D%0ADELE%20a", "a%00", ""):
        with pytest.raises(Unsupported):
            store.open_read(parse_location(f"{server.url}/{path}"))


def test_only_a_confirmed_end_is_an_end(store: FtpStore) -> None:
    for verdict in ("426 aborted", "451 disk error", "550 what"):
        for size in (4, None):
            with broken_ftp(b"data", size=size, verdict=verdict) as server:
                reader = store.open_read(parse_location(f"{server.url}/a"))
                with pytest.raises(Broken, match="did not confirm"):
                    drained(reader)


def test_more_bytes_than_told_are_refused(store: FtpStore) -> None:
    with broken_ftp(b"data and more", size=4) as server, pytest.raises(Changed):
        drained(store.open_read(parse_location(f"{server.url}/a")))


def test_a_size_that_nobody_knows(store: FtpStore) -> None:
    with broken_ftp(b"data", size=None) as server:
        reader = store.open_read(parse_location(f"{server.url}/a"))
        assert reader.size is None
        assert drained(reader) == b"data"


def test_a_host_that_does_not_answer_is_unreachable(server: Ftp) -> None:
    store = FtpStore(make_context(stall=0.2, connect=0.2))
    with closed_port() as port, pytest.raises(Unreachable, match="refused"):
        store.open_read(parse_location(f"ftp://127.0.0.1:{port}/a"))
    with fault_proxy(server.port, SILENT) as proxy, pytest.raises(Unreachable):
        store.open_read(parse_location(f"ftp://127.0.0.1:{proxy.port}/a"))


def test_a_busy_server_is_busy(store: FtpStore) -> None:
    busy = "421 too many users"
    with broken_ftp(b"", welcome=busy) as server, pytest.raises(Busy, match="too many users"):
        store.open_read(parse_location(f"{server.url}/a"))


def test_nobody_let_in_is_being_turned_away(tmp_path: Path) -> None:
    """What a server says to one client too many, and what another one does: it hangs up."""
    for greeting in (b"421 Too many connections.\r\n", b""):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            door = threading.Thread(target=_turn_away, args=(listener, greeting))
            door.start()
            store = FtpStore(make_context())
            with pytest.raises(TurnedAway) as caught:
                store.open_read(parse_location(f"ftp://127.0.0.1:{listener.getsockname()[1]}/file"))
            assert caught.value.__cause__ is not caught.value
            store.close()
            door.join()


def _turn_away(listener: socket.socket, greeting: bytes) -> None:
    connection, _ = listener.accept()
    connection.sendall(greeting)
    connection.close()

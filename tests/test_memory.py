"""The memory server does what a test orders, and remembers what was asked of it."""

from __future__ import annotations

import hashlib
import threading

import pytest
from wf.checksum.digest import Digest
from wf.credentials.kinds import Anonymous
from wf.protocols.capability import Publish
from wf.protocols.conformance_tools import begun, drained, make_context, refused, within_guard, written
from wf.protocols.context import Context
from wf.protocols.errors import Broken, Busy, Changed, Denied, ServerFault, Stopped, Unreachable, Unsupported
from wf.protocols.memory import FOREVER, Call, Manners, MemoryServer
from wf.protocols.memory_store import MemoryStore
from wf.protocols.registry import Registry, make_store
from wf.protocols.values import Incoming


def served(server: MemoryServer, context: Context | None = None, **overrides: object) -> MemoryStore:
    found = Registry((server.capability(**overrides),)).capability(server.name)
    assert found is not None
    store = make_store(found, context or make_context())
    assert isinstance(store, MemoryStore)
    return store


@pytest.fixture
def server() -> MemoryServer:
    server = MemoryServer()
    server.put("/a", b"0123456789")
    return server


def test_two_servers_share_nothing(server: MemoryServer) -> None:
    other = MemoryServer("other")
    other.put("/a", b"another")
    assert drained(served(server).open_read(server.location("a"))) == b"0123456789"
    assert drained(served(other).open_read(other.location("a"))) == b"another"


def test_a_broken_connection_delivers_what_came_before(server: MemoryServer) -> None:
    server.break_after("/a", 4, times=2)
    store, location = served(server), server.location("/a")
    for start in (0, 4):
        reader = store.open_read(location, start=start)
        assert bytes(reader.read() if start < 4 else b"") == b"0123456789"[start:4]
        refused(reader.read, Broken)
        reader.close()
    assert drained(store.open_read(location, start=4)) == b"456789"


def test_a_truncated_object_ends_quietly_only_where_no_size_is_told(server: MemoryServer) -> None:
    server.truncate("/a", 4)
    refused(lambda: drained(served(server).open_read(server.location("/a"))), Broken)
    server.manners = Manners(tells_size=False)
    assert drained(served(server).open_read(server.location("/a"))) == b"0123"


def test_a_byte_is_damaged_on_the_way_or_in_the_store(server: MemoryServer) -> None:
    server.flip("/a", 3, times=1)
    store = served(server)
    assert drained(store.open_read(server.location("/a"), start=2)) == b"2" + b"2" + b"456789"
    assert drained(store.open_read(server.location("/a"))) == b"0123456789"
    server.flip("/b", 0, written=True)
    server.manners = Manners(echoes=("sha256",))
    receipt = written(store, server.location("/b"), b"0")
    assert server.get("/b") == b"1"
    assert receipt.digests == (Digest("sha256", hashlib.sha256(b"1").digest()),)


def test_an_ordered_failure_happens_as_often_as_ordered(server: MemoryServer) -> None:
    server.fail("stat", "/a*", Busy("too many", retry_after=3), times=2)
    store = served(server)
    first = refused(lambda: store.stat(server.location("/a")), Busy)
    second = refused(lambda: store.stat(server.location("/a")), Busy)
    assert first is not second, "two attempts never share one exception"
    assert second.retry_after == 3
    assert store.stat(server.location("/a")).size == 10


def test_an_order_may_be_for_one_host_only(server: MemoryServer) -> None:
    server.fail("*", host="dead*", error=lambda: Unreachable("no route"), times=FOREVER)
    store = served(server)
    refused(lambda: store.open_read(server.location("/a", host="dead:80")), Unreachable)
    assert drained(store.open_read(server.location("/a", host="alive"))) == b"0123456789"


def test_a_lost_answer_is_a_failure_that_took_effect(server: MemoryServer) -> None:
    server.fail("commit", "/b", after=True)
    refused(lambda: written(served(server), server.location("/b"), b"x"), Broken)
    assert server.get("/b") == b"x"
    assert server.still_open() == 0


def test_a_failed_commit_publishes_nothing(server: MemoryServer) -> None:
    server.fail("commit", "/b")
    refused(lambda: written(served(server), server.location("/b"), b"x"), Broken)
    assert server.get("/b") is None
    assert server.still_open() == 0


def test_a_stall_ends_with_the_limit_or_the_run(server: MemoryServer) -> None:
    context = make_context(stall=0.01)
    store, location = served(server, context), server.location("/a")
    server.stall("open_read", times=2)
    refused(lambda: store.open_read(location), Unreachable)
    context.stall = 1000
    context.stop.set()
    refused(lambda: within_guard(lambda: store.open_read(location)), Stopped)
    context.stop.clear()
    context.stall = 0.01
    server.stall("read")
    refused(lambda: drained(store.open_read(location)), Broken)
    assert drained(store.open_read(location)) == b"0123456789"


def test_the_object_may_change_between_two_ranges(server: MemoryServer) -> None:
    server.change_between("/a", b"the second", b"the third!")
    store, location = served(server), server.location("/a")
    reader = store.open_read(location, length=3)
    version = reader.version
    assert drained(reader) == b"012"
    refused(lambda: store.open_read(location, start=3, version=version), Changed)
    assert server.get("/a") == b"the third!"


def test_what_was_asked_is_remembered(server: MemoryServer) -> None:
    store = served(server)
    drained(store.open_read(server.location("/a", host="one")))
    thread = threading.Thread(
        target=lambda: written(served(server), server.location("/b", host="two"), b"xyz"), name="worker-2"
    )
    thread.start()
    thread.join()
    assert server.calls("open_*") == []
    assert server.calls("open_read") == [Call("open_read", "one", "/a", "MainThread")]
    assert [call.operation for call in server.calls(host="two")] == ["open_write", "write", "commit"]
    assert {call.thread for call in server.calls(path="/b")} == {"worker-2"}
    assert server.count("read") == 2
    assert server.incoming == [("/b", Incoming(3))]


def test_how_many_were_at_work_at_once_is_known(server: MemoryServer) -> None:
    store = served(server)
    readers = [store.open_read(server.location("/a", host=host)) for host in ("one", "one", "two")]
    assert server.still_open() == 3
    for reader in readers:
        reader.close()
        reader.close()
    store.stat(server.location("/a", host="two"))
    assert server.still_open() == 0
    assert server.most_at_once() == 3
    assert server.most_at_once("open_read", "one") == 2
    assert server.most_at_once(host="two") == 1


def test_a_failure_leaves_nothing_open(server: MemoryServer) -> None:
    store = served(server)
    server.fail("open_read", after=True)
    server.fail("open_read")
    for _ in range(2):
        refused(lambda: store.open_read(server.location("/a")), Broken)
    refused(lambda: store.open_read(server.location("/a"), start=11), Changed)
    assert server.still_open() == 0


def test_a_hook_runs_in_the_calling_thread_and_may_use_the_server(server: MemoryServer) -> None:
    seen: list[tuple[Call, str]] = []

    def hook(call: Call) -> None:
        seen.append((call, threading.current_thread().name))
        server.put("/a", b"new")

    server.hook("open_read", hook)
    assert drained(served(server).open_read(server.location("/a"))) == b"new"
    assert [(call.path, name) for call, name in seen] == [("/a", "MainThread")]


def test_a_copy_takes_as_many_steps_as_ordered(server: MemoryServer) -> None:
    server.manners = Manners(copy_steps=3, copy_pause=0.5)
    store = served(server)
    source, destination = server.location("/a"), server.location("/b")
    first = store.copy(source, destination, "")
    assert (first.receipt, first.again) == (None, 0.5)
    second = store.copy(source, destination, first.handle)
    assert second.receipt is None
    assert server.get("/b") is None
    last = store.copy(source, destination, second.handle)
    assert last.receipt is not None and last.receipt.size == 10
    assert server.get("/b") == b"0123456789"
    refused(lambda: store.copy(server.location("/a", host="elsewhere"), destination, ""), Unsupported)


def test_a_credential_is_asked_for_and_checked(server: MemoryServer) -> None:
    server.manners = Manners(accepts=("good",))
    asked: list[tuple[str, str]] = []

    def choose(location: object, purpose: str) -> Anonymous:
        asked.append((getattr(location, "host", ""), purpose))
        return Anonymous(name=getattr(location, "host", ""))

    store = served(server, make_context(credential=choose))
    assert drained(store.open_read(server.location("/a", host="good"))) == b"0123456789"
    refused(lambda: written(store, server.location("/b", host="bad"), b"x"), Denied)
    assert asked == [("good", "read"), ("bad", "write")]


def test_bytes_are_visible_at_once_where_so_declared(server: MemoryServer) -> None:
    store = served(server, publish=Publish.AFTER)
    writer = begun(store, server.location("/b"), b"half", size=None)
    assert server.get("/b") == b"half"
    writer.abort()
    assert server.get("/b") == b"half"


def test_a_kept_partial_is_found_by_its_token(server: MemoryServer) -> None:
    writer = served(server).open_write(server.location("/b"), Incoming(token="cafe" * 4))
    writer.write(memoryview(b"half"))
    writer.abort(keep=True)
    assert server.kept == {"cafe" * 4: b"half"}
    assert server.get("/b") is None


def test_promises_are_checked(server: MemoryServer) -> None:
    store = served(server)
    refused(lambda: written(store, server.location("/b"), b"abc", size=4), Broken)
    writer = store.open_write(server.location("/b"), Incoming(3, hashlib.sha256(b"abd").digest()))
    writer.write(memoryview(b"abc"))
    refused(lambda: writer.commit(()), ServerFault)
    writer.abort()
    assert server.names() == ["/a"]

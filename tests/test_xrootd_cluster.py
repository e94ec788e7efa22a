"""Files behind a redirector: each is at one of several servers, and what is done to a name is done at all that have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from servers.xrootd_cluster import xrootd_cluster
from wf.protocols.conformance_tools import content, drained, make_context, written
from wf.protocols.errors import LocalRefused
from wf.protocols.locations import Location, parse_location
from wf.protocols.values import Incoming
from wf.protocols.xrootd import XrootdStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.xrootd_cluster import XrootdCluster

OLD, NEW = content(5000), content(7001)


@pytest.fixture(scope="module")
def cluster() -> Iterator[XrootdCluster]:
    with xrootd_cluster() as cluster:
        yield cluster


@pytest.fixture
def store() -> Iterator[XrootdStore]:
    store = XrootdStore(make_context())
    yield store
    store.close()


def at(cluster: XrootdCluster, path: str) -> Location:
    return parse_location(cluster.url(path))


def test_what_any_server_has_is_listed(cluster: XrootdCluster, store: XrootdStore) -> None:
    for path, server in (("l/one", 0), ("l/two", 1), ("l/sub/deep", 1), ("l/sub/both", 0), ("l/sub/both", 1)):
        cluster.put(path, OLD, server)
    flat = sorted(entry.path for entry in store.list(at(cluster, "l"), recursive=False))
    assert flat == ["one", "sub", "two"]
    deep = sorted(entry.path for entry in store.list(at(cluster, "l"), recursive=True))
    assert deep == ["one", "sub", "sub/both", "sub/deep", "two"]


def test_a_file_is_written_and_read(cluster: XrootdCluster, store: XrootdStore) -> None:
    place = at(cluster, "w/file")
    written(store, place, NEW)
    assert drained(store.open_read(place)) == NEW
    assert cluster.have("w/file") == [NEW]


@pytest.mark.parametrize("server", (0, 1))
def test_the_old_file_does_not_stay_at_another_server(
    cluster: XrootdCluster, store: XrootdStore, server: int
) -> None:
    """The partial may be at another one than the file that it replaces, and a rename goes to one server only."""
    name = f"o{server}/file"
    cluster.put(name, OLD, server)
    place = at(cluster, name)
    assert drained(store.open_read(place)) == OLD
    written(store, place, NEW)
    assert cluster.have(name) == [NEW]


def test_a_tree_is_removed_at_all_servers(cluster: XrootdCluster, store: XrootdStore) -> None:
    for path, server in (("r/a", 0), ("r/b", 1), ("r/sub/c", 0), ("r/sub/d", 1)):
        cluster.put(path, OLD, server)
    with pytest.raises(LocalRefused):
        store.remove(at(cluster, "r"), recursive=False)
    store.remove(at(cluster, "r"), recursive=True)
    assert [root for root in cluster.roots if (root / "r").exists()] == []


def test_a_file_is_removed_at_all_servers(cluster: XrootdCluster, store: XrootdStore) -> None:
    for server in (0, 1):
        cluster.put("f/file", OLD, server)
    store.remove(at(cluster, "f/file"), recursive=False)
    assert cluster.have("f/file") == []


def test_a_partial_is_found_wherever_it_is(cluster: XrootdCluster, store: XrootdStore) -> None:
    cluster.put("p/.wf-0123456789abcdef.part", OLD, 1)
    cluster.put("p/other", OLD, 0)
    assert store.has_partial(at(cluster, "p/file"), "012345")
    writer = store.open_write(at(cluster, "p/file"), Incoming(9000, token="0123456789abcdef", resume=True))
    writer.abort()
    assert cluster.have("p/.wf-0123456789abcdef.part") == []

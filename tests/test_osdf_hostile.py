"""Directors and servers of federations that answer nonsense, or mean harm: what they may cost, and what they never get."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
from osdf_servers import context_of, fed, federation_service, fresh
from servers.federation_director import Trouble
from servers.federation_xrootd import runs
from servers.scripted import answer, scripted
from wf.protocols.conformance_tools import drained, written
from wf.protocols.errors import Broken, LocalRefused, ServerFault
from wf.protocols.locations import parse_location
from wf.protocols.osdf import OsdfStore
from wf.protocols.osdf_director import Guide
from wf.protocols.osdf_known import Known
from wf.protocols.osdf_names import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.federation import Federation
    from servers.scripted import Scripted
    from servers.tls import TlsFiles
    from wf.protocols.locations import Location

__all__ = ["fed", "federation_service"]

PUBLIC = ("X-Pelican-Namespace", "namespace=/open, require-token=false")


@pytest.fixture
def store(fed: Federation) -> Iterator[OsdfStore]:
    store = OsdfStore(context_of(fed, fed.token()))
    yield store
    store.close()


def at(fed: Federation, path: str) -> Location:
    return parse_location(fed.url(path))


def told(fed: Federation, store: OsdfStore, link: str, path: str = "/ns/x") -> list[str]:
    """The places of the object when the director says this."""
    fed.director.troubles.append(Trouble(307, fields=(("Link", link), PUBLIC)))
    return [each.location.url for each in store.resolve(at(fed, path), "read")]


class TestDirector:
    def test_a_field_that_is_almost_links_takes_no_time(self, fed: Federation, store: OsdfStore) -> None:
        began = time.monotonic()
        with pytest.raises(ServerFault, match="named no server"):
            told(fed, store, "<https://a/x>" + "; a  " * 3000 + "!")
        assert time.monotonic() - began < 10

    @pytest.mark.parametrize("priority", ["²", "9" * 5000, "-1", "1.5", "x"])
    def test_a_priority_that_is_no_number_comes_last(
        self, fed: Federation, store: OsdfStore, priority: str
    ) -> None:
        link = f"<https://odd.example/ns/x>; pri={priority}, <https://good.example/ns/x>; pri=7"
        assert told(fed, store, link) == ["https://good.example/ns/x", "https://odd.example/ns/x"]

    @pytest.mark.parametrize(
        "strange",
        [
            "file:///etc/passwd",
            "https://localhost:99999/ns/x",
            "https:///ns/x",
            "https://a b/ns/x",
            "https://a/with blank",
            "/ns/x",
            "ftp://a/ns/x",
            "javascript:x",
            "",
        ],
    )
    def test_one_strange_link_does_not_spoil_the_others(
        self, fed: Federation, store: OsdfStore, strange: str
    ) -> None:
        link = f"<{strange}>; pri=1, <https://good.example/ns/x>; pri=2"
        assert told(fed, store, link) == ["https://good.example/ns/x"]

    @pytest.mark.parametrize(
        "spelled",
        [
            "HTTPS://Cache.Example/ns/x",
            "https://cache.example:443/ns/x",
            "https://user:CANARY@cache.example/ns/x",
            "https://cache.example/ns/x?authz=CANARY",
            "https://cache.example/ns/x#CANARY",
        ],
    )
    def test_a_server_has_one_spelling_without_secrets(
        self, fed: Federation, store: OsdfStore, spelled: str
    ) -> None:
        link = f"<{spelled}>; pri=1, <https://cache.example/ns/x>; pri=2"
        assert told(fed, store, link) == ["https://cache.example/ns/x"]

    def test_an_address_of_ipv6_is_a_server_like_others(self, fed: Federation, store: OsdfStore) -> None:
        assert told(fed, store, "<https://[::1]:8443/ns/x>; pri=1") == ["https://[::1]:8443/ns/x"]

    def test_of_very_many_servers_the_best_are_tried(self, fed: Federation, store: OsdfStore) -> None:
        links = (f"<https://c{number}.example/ns/x>; pri={number}" for number in reversed(range(300)))
        found = told(fed, store, ", ".join(links))
        assert found == [f"https://c{number}.example/ns/x" for number in range(20)]

    def test_a_director_is_reached_over_tls_only(self, fed: Federation, store: OsdfStore) -> None:
        for url in ("http://director.example", "HTTP://director.example/"):
            fed.director.discovery_troubles.append(
                Trouble(200, json.dumps({"director_endpoint": url}).encode())
            )
            with pytest.raises(ServerFault, match="without TLS"):
                store.resolve(at(fed, "/open/x"), "read")

    def test_a_configuration_that_is_nested_without_end_is_no_json(
        self, fed: Federation, store: OsdfStore
    ) -> None:
        fed.director.discovery_troubles.append(Trouble(200, b"[" * 20_000))
        with pytest.raises(ServerFault, match="no JSON"):
            store.resolve(at(fed, "/open/x"), "read")

    def test_a_server_without_tls_is_left_out_where_the_url_names_a_token(
        self, fed: Federation, store: OsdfStore
    ) -> None:
        fed.change("/open", caches=("http://localhost:1", fed.caches[0]), root=None)
        location = parse_location(fed.url("/open/x", scheme="tok+pelican"))
        found = [each.location.url for each in store.resolve(location, "read")]
        assert found == [f"{fed.caches[0]}/open/x"]

    def test_a_director_that_goes_away_does_not_stop_what_was_resolved(
        self, fed: Federation, store: OsdfStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = f"{fresh(fed)}/x"
        fed.put(path, b"x")
        place = store.resolve(at(fed, path), "read")[0].location
        later = time.monotonic() + 100
        monkeypatch.setattr("wf.protocols.osdf_known.monotonic", lambda: later)
        fed.director.troubles.extend([Trouble(503)] * 5)
        assert drained(store.open_read(place)) == b"x"

    def test_what_is_known_of_single_objects_does_not_grow_without_end(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("wf.protocols.osdf_known._GUIDES_MOST", 10)
        known = Known()
        for number in range(100):
            name = name_of(parse_location(f"osdf:///ns/{number}"))
            known.guide(name, "read", lambda: Guide("/ns", ("https://a",), alone=True))
        assert len(known._guides) <= 10


class TestServers:
    @pytest.fixture
    def server(self, fed: Federation, tls_files: TlsFiles) -> Iterator[Scripted]:
        """The only cache: it refuses to tell digests, and then does what a test says."""
        with scripted(answer(status="405 No"), b"", certificate=tls_files.server) as server:
            fed.change("/open", caches=(server.url.replace("127.0.0.1", "localhost"),), root=None)
            yield server

    def test_more_bytes_than_a_range_has_are_not_waited_for(
        self, fed: Federation, store: OsdfStore, server: Scripted
    ) -> None:
        chunks = b"5\r\n56789\r\n" + b"100000\r\n%s\r\n" % bytes(1 << 20) * 3
        head = b"HTTP/1.1 206 P\r\nTransfer-Encoding: chunked\r\nContent-Range: bytes 5-9/10\r\n\r\n"
        server.scripts[:] = [[head, chunks, "stall"]]
        with pytest.raises(Broken, match="more bytes"):
            drained(store.open_read(at(fed, "/open/x"), start=5))

    def test_a_range_of_an_answer_of_unknown_length_is_taken_out_of_it(
        self, fed: Federation, store: OsdfStore, server: Scripted
    ) -> None:
        """The rest is not read to its end: there is none."""
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        size = b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n"
        server.scripts[:] = [[head, b"100000\r\n%s\r\n" % bytes(1 << 20), "stall"], size]
        assert drained(store.open_read(at(fed, "/open/x"), length=10)) == bytes(10)

    def test_a_range_whose_whole_is_not_told_ends_where_it_should(
        self, fed: Federation, store: OsdfStore, server: Scripted
    ) -> None:
        size = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
        part = answer(b"56789", "Content-Range: bytes 5-9/*", status="206 P")
        server.scripts[:] = [part, size, part, b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n"]
        assert drained(store.open_read(at(fed, "/open/x"), start=5)) == b"56789"
        other = OsdfStore(context_of(fed))
        with pytest.raises(Broken, match="10 bytes early"):
            drained(other.open_read(at(fed, "/open/y"), start=5))
        other.close()

    def test_a_server_that_is_busy_once_is_asked_for_the_next_digest(
        self, fed: Federation, store: OsdfStore, server: Scripted
    ) -> None:
        server.scripts[:] = [
            answer(status="503 Later"),
            answer(b"123456789"),
            answer(b"", "Digest: adler32=091e01de"),
            answer(b"123456789"),
        ]
        assert store.open_read(at(fed, "/open/x")).read() == b"123456789"
        reader = store.open_read(at(fed, "/open/y"))
        assert [str(digest) for digest in reader.digests] == ["adler32:091e01de"]
        drained(reader)
        assert [request.line.split()[0] for request in server.requests] == ["HEAD", "GET"] * 2


class TestRemoving:
    def test_a_whole_namespace_is_not_removed(self, fed: Federation, store: OsdfStore) -> None:
        path = f"{fresh(fed)}/stays"
        written(store, at(fed, path), b"x")
        for url in ("/open", "/open/", "/%6Fpen", "/open?recursive"):
            with pytest.raises(LocalRefused, match="whole namespace"):
                store.remove(at(fed, url), recursive=True)
        assert fed.stored(path).exists()


def test_a_cache_that_crashed_is_back_for_the_next_test(fed: Federation, store: OsdfStore) -> None:
    """XRootD's cache does so now and then."""
    path = f"{fresh(fed)}/x"
    fed.put(path, b"x")
    file = next(file for file in fed.servers.processes if file.name == "cache0.pid")
    process = file.read_text()
    os.kill(int(process), signal.SIGSEGV)
    until = time.monotonic() + 30
    while runs(process) and file.read_text() == process:
        assert time.monotonic() < until
    fed.reset()
    assert drained(store.open_read(at(fed, path))) == b"x"

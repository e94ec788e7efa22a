"""Federations: what discovery and director say, caches that fail, words behind the data, and who gets to see a token."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from osdf_servers import bearer, context_of, fed, federation_service, fresh
from servers.faults import cut
from servers.federation_director import Trouble, ingress, rebooting
from servers.scripted import BODY, answer, scripted
from wf.checksum.digest import Digest
from wf.protocols.conformance_tools import content, drained, written
from wf.protocols.errors import (
    Broken,
    Busy,
    Denied,
    LocalRefused,
    MissingCredential,
    NotFound,
    ServerFault,
    Unreachable,
    Unsupported,
)
from wf.protocols.locations import parse_location
from wf.protocols.osdf import OsdfStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.federation import Federation
    from servers.scripted import Scripted
    from servers.tls import TlsFiles
    from wf.protocols.locations import Location

__all__ = ["fed", "federation_service"]


@pytest.fixture
def store(fed: Federation) -> Iterator[OsdfStore]:
    store = OsdfStore(context_of(fed))
    yield store
    store.close()


@pytest.fixture
def trusted(fed: Federation) -> Iterator[OsdfStore]:
    """A store with a token for everything."""
    store = OsdfStore(context_of(fed, fed.token()))
    yield store
    store.close()


def at(fed: Federation, path: str) -> Location:
    return parse_location(fed.url(path))


def places(store: OsdfStore, location: Location, purpose: str = "read") -> list[str]:
    return [each.location.url for each in store.resolve(location, purpose)]


class TestDirector:
    def test_reads_go_to_the_caches_in_order_and_writes_to_the_origin(
        self, fed: Federation, store: OsdfStore
    ) -> None:
        fed.put("/open/order", b"x")
        location = at(fed, "/open/order")
        assert places(store, location) == [f"{cache}/open/order" for cache in fed.caches]
        assert places(store, location, "write") == [f"{fed.origin}/open/order"]
        assert places(store, at(fed, "/open/order?directread")) == [f"{fed.origin}/open/order"]
        found = store.resolve(location, "read")[0].location
        assert (found.scheme, found.logical) == ("osdf", location.url)

    def test_the_discovery_is_asked_once_and_the_director_once_a_folder(
        self, fed: Federation, store: OsdfStore
    ) -> None:
        folder = fresh(fed)
        other = OsdfStore(store._servers._context)  # another worker of the run
        for number in range(5):
            fed.put(f"{folder}/{number}", b"x")
            places(store if number % 2 else other, at(fed, f"{folder}/{number}"))
        assert len(fed.director.about("pelican-configuration")) == 1
        assert len(fed.director.about(folder)) == 1
        places(store, at(fed, f"{folder}/0"), "write")
        assert [asked.method for asked in fed.director.about(folder)] == ["GET", "PUT"]
        other.close()

    def test_the_words_of_the_query_reach_the_director_and_no_server(
        self, fed: Federation, store: OsdfStore
    ) -> None:
        fed.put("/open/words", b"words")
        location = at(fed, "/open/words?skipstat&prefercached&recursive")
        assert places(store, location)[0] == f"{fed.caches[0]}/open/words"
        assert fed.director.asked[-1].target == "/open/words?prefercached&skipstat"

    def test_a_name_that_no_namespace_has_is_not_found_in_the_directors_words(
        self, fed: Federation, store: OsdfStore
    ) -> None:
        with pytest.raises(NotFound, match="namespace not found for path /nowhere"):
            store.resolve(at(fed, "/nowhere/x"), "read")
        with pytest.raises(NotFound, match="object not found"):
            store.resolve(at(fed, "/open/absent"), "read")

    def test_what_the_namespace_does_not_allow_is_unsupported(
        self, fed: Federation, store: OsdfStore
    ) -> None:
        fed.change("/open", writes=False, direct_reads=False, listings=False)
        fed.put("/open/only-read", b"x")
        for location, purpose in (
            (at(fed, "/open/a"), "write"),
            (at(fed, "/open/only-read?directread"), "read"),
        ):
            with pytest.raises(Unsupported, match="405"):
                store.resolve(location, purpose)
        with pytest.raises(Unsupported, match="cannot be listed"):
            list(store.list(at(fed, "/open/only-read"), recursive=False))

    def test_a_director_that_has_just_started_is_busy(self, fed: Federation, store: OsdfStore) -> None:
        fed.put("/open/later", b"x")
        fed.director.troubles.append(rebooting())
        fed.director.troubles.append(rebooting()._replace(fields=()))
        for wait in (1.0, 3.0):
            with pytest.raises(Busy, match="still starting") as caught:
                store.resolve(at(fed, "/open/later"), "read")
            assert caught.value.retry_after == wait
        assert places(store, at(fed, "/open/later"))

    @pytest.mark.parametrize("status", [404, 500, 502, 503])
    def test_what_stands_in_front_of_a_director_does_not_speak_for_it(
        self, fed: Federation, store: OsdfStore, status: int
    ) -> None:
        fed.put("/open/here", b"x")
        fed.director.troubles.append(ingress(status))
        with pytest.raises(Unreachable, match=f"answered {status}, not by the director"):
            store.resolve(at(fed, "/open/here"), "read")
        assert places(store, at(fed, "/open/here"))

    def test_a_discovery_that_fails_is_asked_again(self, fed: Federation, store: OsdfStore) -> None:
        fed.put("/open/here", b"x")
        fed.director.discovery_troubles.extend(
            [
                Trouble(503),
                Trouble(200, b"<html>", "text/html"),
                Trouble(200, b'{"director_endpoint": 7}'),
                Trouble(404),
            ]
        )
        for error in (Busy, ServerFault, ServerFault, NotFound):
            with pytest.raises(error):
                store.resolve(at(fed, "/open/here"), "read")
        assert places(store, at(fed, "/open/here"))

    def test_a_federation_without_director_serves_its_objects_itself(
        self, fed: Federation, store: OsdfStore
    ) -> None:
        fed.director.names_director = False
        assert places(store, at(fed, "/open/x")) == [f"{fed.director.url}/open/x"]

    def test_priorities_and_not_the_order_of_links_count(self, fed: Federation, store: OsdfStore) -> None:
        links = (
            '<https://c.example/a,b>; rel="duplicate"; pri=3; depth=1',
            "<https://a.example/a,b>; rel=duplicate; depth=1; pri=1",
            '<https://b.example/a,b>;rel="duplicate";pri=2',
            '<https://nobody.example/a,b>; rel="describedby"; pri=0',
        )
        fields = (
            ("Link", ", ".join(links)),
            ("X-Pelican-Namespace", "namespace=/"),
            ("Location", "https://x/a,b"),
        )
        fed.director.troubles.append(Trouble(307, fields=fields))
        assert places(store, at(fed, "/a,b")) == [f"https://{name}.example/a,b" for name in "abc"]

    def test_a_director_that_names_one_server_only_in_location_is_believed_without_its_token(
        self, fed: Federation, store: OsdfStore
    ) -> None:
        fields = (("Location", "https://a.example/prefix/ns/x?authz=SECRET"),)
        fed.director.troubles.append(Trouble(307, fields=fields))
        assert places(store, at(fed, "/ns/x")) == ["https://a.example/prefix/ns/x"]

    def test_what_a_director_says_of_one_object_alone_is_not_said_of_its_neighbour(
        self, fed: Federation, store: OsdfStore
    ) -> None:
        folder = fresh(fed)
        for name in "ab":
            fed.put(f"{folder}/{name}", b"x")
        fields = (
            ("Link", f'<{fed.caches[0]}{folder}/b>; rel="duplicate"; pri=1'),
            ("X-Pelican-Namespace", "namespace=/open, require-token=false"),
        )
        fed.director.troubles.append(Trouble(307, fields=fields))
        assert places(store, at(fed, f"{folder}/a")) == [f"{fed.caches[0]}{folder}/b"]
        assert drained(store.open_read(at(fed, f"{folder}/a"))) == b"x"
        assert len(fed.director.about(folder)) == 1
        assert places(store, at(fed, f"{folder}/b"))[1] == f"{fed.caches[1]}{folder}/b"

    def test_a_folder_may_be_a_namespace_of_its_own(self, fed: Federation, store: OsdfStore) -> None:
        fed.director.namespaces["/open/inner"] = fed.director.namespaces["/open"]._replace(
            path="/open/inner", caches=("https://inner.example",)
        )
        fed.put("/open/outside", b"x")
        fed.put("/open/inner/x", b"x")
        assert places(store, at(fed, "/open/outside"))[0].startswith(fed.caches[0])
        assert places(store, at(fed, "/open/inner/x")) == ["https://inner.example/open/inner/x"]


class TestCaches:
    def test_an_object_is_read_through_a_cache(self, fed: Federation, store: OsdfStore) -> None:
        data = content(3_000_000)
        path = f"{fresh(fed)}/with blank"
        fed.put(path, data)
        reader = store.open_read(at(fed, path.replace(" ", "%20")))
        assert reader.size == len(data)
        assert drained(reader) == data

    def test_a_server_that_broke_its_word_is_named_last_for_the_rest_of_the_run(
        self, fed: Federation, store: OsdfStore
    ) -> None:
        folder = fresh(fed)
        for name in "abc":
            fed.put(f"{folder}/{name}", content(2_000_000))
        with fed.bad_cache(cut(1_500_000, body=True)) as bad, fed.dead_cache() as dead:
            fed.serve_from(bad, dead, *fed.caches)
            first = [each.location for each in store.resolve(at(fed, f"{folder}/a"), "read")]
            with pytest.raises(Broken):
                drained(store.open_read(first[0]))
            with pytest.raises(Unreachable):
                store.open_read(first[1])
            wanted = [f"{server}{folder}/b" for server in (*fed.caches, bad, dead)]
            assert places(store, at(fed, f"{folder}/b")) == wanted
            second = store.resolve(at(fed, f"{folder}/b"), "read")[0].location
            store.report(second, Broken("its bytes were others"))
            assert places(store, at(fed, f"{folder}/c"))[0] == f"{fed.caches[1]}{folder}/c"

    def test_the_middle_of_an_object_is_read_from_another_cache(
        self, fed: Federation, store: OsdfStore
    ) -> None:
        data = content(2_500_000)
        path = f"{fresh(fed)}/large"
        fed.put(path, data)
        first, second = (each.location for each in store.resolve(at(fed, path), "read"))
        reader = store.open_read(first)
        begun = bytes(reader.read())
        reader.close()
        with fed.counted_cache(number=1) as (counted, proxy):
            rest = second._replace(url=second.url.replace(fed.caches[1], counted))
            rest = rest._replace(start=rest.url.index(path), host=counted.removeprefix("https://"))
            assert begun + drained(store.open_read(rest, start=len(begun))) == data
            assert proxy.bytes_down < len(data) - len(begun) + 1000, "the range was asked for twice"

    def test_a_size_that_was_told_for_what_is_gone_now_is_not_believed(
        self, fed: Federation, trusted: OsdfStore
    ) -> None:
        location = at(fed, f"{fresh(fed)}/grows?directread")
        written(trusted, location, b"0123456789")
        place = trusted.resolve(location, "read")[0].location
        assert drained(trusted.open_read(place)) == b"0123456789"
        fed.put(location.path.partition("?")[0], b"0123456789abcdef")
        assert drained(trusted.open_read(place, start=4)) == b"456789abcdef"

    def test_a_digest_that_the_server_tells_is_known_before_the_end(
        self, fed: Federation, store: OsdfStore
    ) -> None:
        path = f"{fresh(fed)}/told"
        fed.put(path, b"123456789")
        reader = store.open_read(at(fed, f"{path}?directread"))
        assert reader.digests == (Digest("adler32", bytes.fromhex("091e01de")),)
        drained(reader)

    def test_a_cache_that_tells_no_digest_is_asked_for_one_once(
        self, fed: Federation, store: OsdfStore
    ) -> None:
        folder = fresh(fed)
        with fed.counted_cache() as (url, proxy):
            fed.serve_from(url)
            for number in range(3):
                fed.put(f"{folder}/{number}", b"x")
                assert drained(store.open_read(at(fed, f"{folder}/{number}"))) == b"x"
            # XRootD closes the connection on which it was asked.
            assert proxy.connections == 2

    @pytest.mark.parametrize(
        ("field", "known"),
        [
            ("Digest: crc32c=4waSgw==", ["crc32c:e3069283"]),
            ("Digest: crc32c=e3069283", ["crc32c:e3069283"]),
            ("Digest: adler32=91e01de", ["adler32:091e01de"]),
            ("Digest: md5=JfnnlDI7RTiF9RgfG2JNCw==", ["md5:25f9e794323b453885f5181f1b624d0b"]),
            ("Digest: crc32=cbf43926,whirlpool=00", ["crc32:cbf43926"]),
            ("Digest: whatever", []),
            ("X-Other: 1", []),
        ],
    )
    def test_digests_are_understood_however_they_are_spelled(
        self, fed: Federation, store: OsdfStore, tls_files: TlsFiles, field: str, known: list[str]
    ) -> None:
        with scripted(answer(b"", field), answer(b"123456789"), certificate=tls_files.server) as server:
            fed.change("/open", caches=(server.url.replace("127.0.0.1", "localhost"),), root=None)
            reader = store.open_read(at(fed, f"/open/spelled/{len(known)}"))
            assert [str(digest) for digest in reader.digests] == known
            assert drained(reader) == b"123456789"

    def test_a_digest_is_asked_at_the_origin(self, fed: Federation, store: OsdfStore) -> None:
        path = f"{fresh(fed)}/told"
        fed.put(path, b"123456789")
        place = store.resolve(at(fed, path), "read")[0].location
        for location in (place, at(fed, path)):
            assert store.digest(location, "crc32c") == Digest("crc32c", bytes.fromhex("e3069283"))
            assert store.digest(location, "md5") is not None
        assert store.digest(place, "sha1") is None


class TestEndOfData:
    """Servers of newer versions say behind the data how it went. These answers are written by hand."""

    @pytest.fixture
    def told(self, fed: Federation, tls_files: TlsFiles) -> Iterator[list[bytes]]:
        """The pieces of the body, and the trailer last; served by the only cache, in chunks."""
        pieces: list[bytes] = []
        with ExitStack() as held:
            self.server: Scripted = held.enter_context(scripted(b"", certificate=tls_files.server))
            fed.change("/open", caches=(self.server.url.replace("127.0.0.1", "localhost"),), root=None)
            yield pieces

    def serve(self, pieces: list[bytes], trailer: str, *, size: int | None = None) -> None:
        total = sum(map(len, pieces)) if size is None else size
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Transfer-Status\r\n\r\n"
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
        got = head + chunks + b"0\r\n" + trailer.encode() + b"\r\n"
        self.server.scripts[:] = [
            answer(status="405 No"),
            got,
            f"HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n".encode(),
        ]

    def test_a_failure_behind_the_data_is_a_failure(
        self, fed: Federation, store: OsdfStore, told: list[bytes]
    ) -> None:
        self.serve([b"all of it"], "X-Transfer-Status: 500: Unable to read /x; input/output error\r\n")
        with pytest.raises(Broken, match="failed: 500: Unable to read"):
            drained(store.open_read(at(fed, "/open/x")))

    def test_a_failure_behind_a_large_body_is_a_failure(
        self, fed: Federation, store: OsdfStore, told: list[bytes]
    ) -> None:
        self.serve([bytes(1 << 20)] * 3, "X-Transfer-Status: 500: disk\r\n")
        with pytest.raises(Broken, match="500: disk"):
            drained(store.open_read(at(fed, "/open/x")))

    @pytest.mark.parametrize("trailer", ["X-Transfer-Status: 200: OK\r\n", ""])
    def test_a_good_word_or_none_is_success_and_the_size_is_asked_for(
        self, fed: Federation, store: OsdfStore, told: list[bytes], trailer: str
    ) -> None:
        self.serve([b"first ", b"second"], trailer)
        reader = store.open_read(at(fed, "/open/x"))
        assert reader.size == 12
        assert drained(reader) == b"first second"
        request = next(each for each in self.server.requests if each.line.startswith("GET"))
        assert (request.headers["x-transfer-status"], request.headers["te"]) == ("true", "trailers")

    def test_fewer_bytes_than_the_size_are_no_quiet_end(
        self, fed: Federation, store: OsdfStore, told: list[bytes]
    ) -> None:
        self.serve([b"first ", b"second"], "", size=20)
        with pytest.raises(Broken, match="8 bytes early"):
            drained(store.open_read(at(fed, "/open/x")))


class TestTokens:
    def test_what_everybody_may_read_is_read_without_a_token(
        self, fed: Federation, tls_files: TlsFiles
    ) -> None:
        fed.put("/open/public", b"x")
        with scripted(answer(b"x"), certificate=tls_files.server) as server:
            fed.change("/open", caches=(server.url.replace("127.0.0.1", "localhost"),))
            store = OsdfStore(context_of(fed, "CANARY"))
            drained(store.open_read(at(fed, "/open/public")))
            store.close()
            assert not any("CANARY" in str(request) for request in server.requests)

    def test_a_token_goes_to_the_server_that_the_director_named_and_nowhere_else(
        self, fed: Federation, tls_files: TlsFiles
    ) -> None:
        fed.put("/kept/private", b"x")
        with (
            scripted(answer(b"x"), certificate=tls_files.server) as elsewhere,
            scripted(
                answer(status="405 No"),
                answer(b"", f"Location: https://localhost:{elsewhere.port}/kept/private", status="307 There"),
                certificate=tls_files.server,
            ) as cache,
        ):
            fed.change("/kept", caches=(f"https://localhost:{cache.port}",))
            store = OsdfStore(context_of(fed, "CANARY"))
            drained(store.open_read(at(fed, "/kept/private")))
            store.close()
            assert all(request.headers["authorization"] == "Bearer CANARY" for request in cache.requests)
            assert elsewhere.requests and not any("CANARY" in str(request) for request in elsewhere.requests)
        assert fed.director.asked and not any("CANARY" in str(asked) for asked in fed.director.asked)

    def test_a_protected_object_is_read_through_the_cache_with_the_right_token(
        self, fed: Federation, trusted: OsdfStore, store: OsdfStore
    ) -> None:
        data = content(300_000)
        fed.put("/kept/data", data)
        assert drained(trusted.open_read(at(fed, "/kept/data"))) == data
        with pytest.raises(MissingCredential, match="needs a token for /kept, made by https://localhost:"):
            store.open_read(at(fed, "/kept/data"))

    def test_a_token_that_does_not_allow_it_is_named_in_the_refusal_and_not_shown(
        self, fed: Federation
    ) -> None:
        fed.put("/kept/data", b"x")
        token = fed.token("storage.read:/elsewhere")
        store = OsdfStore(context_of(fed, token))
        with pytest.raises(Denied, match=r"token from the test: 403") as caught:
            store.open_read(at(fed, "/kept/data"))
        assert token not in str(caught.value)
        store.close()

    def test_a_token_is_not_sent_in_the_clear(self, fed: Federation, trusted: OsdfStore) -> None:
        fed.change("/kept", caches=("http://localhost:1", "http://localhost:2"), root=None)
        with pytest.raises(LocalRefused, match="TLS"):
            trusted.resolve(at(fed, "/kept/x"), "read")
        fed.change("/kept", caches=("http://localhost:1", fed.caches[0]))
        assert places(trusted, at(fed, "/kept/other/x")) == [f"{fed.caches[0]}/kept/other/x"]

    def test_the_question_for_a_token_tells_what_the_director_said(self, fed: Federation) -> None:
        asked: list[tuple[str, str, str]] = []
        context = context_of(fed)

        def choose(location: Location, purpose: str) -> object:
            asked.append((location.scheme, location.url, purpose))
            return bearer(fed.token())

        context.credential = choose
        fed.put("/kept/data", b"x")
        store = OsdfStore(context)
        drained(store.open_read(at(fed, "/kept/data")))
        scheme, url, purpose = asked[0]
        issuer = fed.director.issuer.name.replace(":", "%3A").replace("/", "%2F")
        assert (scheme, purpose) == ("osdf", "read")
        assert url == f"osdf://localhost:{fed.director.port}/kept/data?issuer={issuer}&base-path=%2Fkept"
        drained(store.open_read(parse_location(fed.url("/kept/data", scheme="my_tok+pelican"))))
        assert asked[-1][0] == "my_tok+osdf"
        store.close()


class TestWriting:
    def test_an_object_is_written_to_the_origin_which_is_told_its_size(
        self, fed: Federation, tls_files: TlsFiles
    ) -> None:
        with scripted(
            answer(status="404 Not Found"),
            [b"HTTP/1.1 100 Continue\r\n\r\n", BODY, answer(status="201 Created")],
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            certificate=tls_files.server,
        ) as origin:
            fed.change("/open", origins=(f"https://localhost:{origin.port}",))
            store = OsdfStore(context_of(fed, "CANARY"))
            try:
                written(store, at(fed, "/open/new"), b"12345")
            finally:
                store.close()
            put = next(request for request in origin.requests if request.line.startswith("PUT"))
            assert put.line == "PUT /open/new?oss.asize=5 HTTP/1.1"
            assert put.body == b"12345"

    @pytest.mark.parametrize("size", [0, 1000, 3_000_000])
    def test_what_was_written_is_there_with_its_folders_and_its_checksum_is_compared(
        self, fed: Federation, trusted: OsdfStore, size: int
    ) -> None:
        data = content(size)
        path = f"{fresh(fed, 'kept')}/new/folder/object"
        receipt = written(trusted, at(fed, path), data)
        assert fed.stored(path).read_bytes() == data
        assert receipt.size == size
        assert [digest.algorithm for digest in receipt.digests] == ["adler32"]

    def test_writing_takes_a_token_even_where_reading_does_not(
        self, fed: Federation, store: OsdfStore
    ) -> None:
        with pytest.raises(MissingCredential):
            written(store, at(fed, "/open/new"), b"x")

    def test_folders_are_made_listed_and_removed(self, fed: Federation, trusted: OsdfStore) -> None:
        folder = fresh(fed)
        trusted.make_directory(at(fed, f"{folder}/a/b"))
        written(trusted, at(fed, f"{folder}/a/b/c"), b"123")
        found = {entry.path: entry.size for entry in trusted.list(at(fed, folder), recursive=True)}
        assert found == {"a": None, "a/b": None, "a/b/c": 3}
        with pytest.raises((LocalRefused, Unsupported)):
            trusted.remove(at(fed, f"{folder}/a"), recursive=False)
        trusted.remove(at(fed, f"{folder}/a"), recursive=True)
        assert not fed.stored(f"{folder}/a").exists()
        trusted.remove(at(fed, f"{folder}/a"), recursive=True)


def test_nothing_of_a_discovery_document_is_believed_but_the_director(
    fed: Federation, store: OsdfStore
) -> None:
    document = {"director_endpoint": "ftp://director.example"}
    fed.director.discovery_troubles.append(Trouble(200, json.dumps(document).encode()))
    with pytest.raises(Unsupported, match="not an http or https URL"):
        store.resolve(at(fed, "/open/x"), "read")

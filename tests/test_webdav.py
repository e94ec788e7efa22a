"""WebDAV servers: how a file gets to its place, what is refused, and who is shown a credential."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from servers.apache import PASSWORD, TOKEN, USER
from servers.faults import cut, fault_proxy, reset
from servers.scripted import answer, scripted
from servers.wsgi_dav import PASSWORD as WSGI_PASSWORD
from webdav_servers import apache_service, at, dav, fresh, wsgi_service
from wf.credentials.kinds import Anonymous, Basic, Bearer, Credential, Secret
from wf.protocols.conformance_tools import content, drained, make_context, refused, written
from wf.protocols.errors import Broken, Changed, Denied, LocalRefused, ServerFault, TransferError, Unsupported
from wf.protocols.http import HttpStore
from wf.protocols.tls import tls_context
from wf.protocols.values import Incoming
from wf.protocols.webdav import WebdavStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from servers.apache import Apache
    from servers.tls import TlsFiles
    from servers.wsgi_dav import WsgiDav
    from wf.protocols.locations import Location
    from wf.protocols.values import Receipt

    StoreWith = Callable[[Credential], WebdavStore]

__all__ = ["apache_service", "dav", "wsgi_service"]

MIB = 1 << 20
ALICE = Basic(USER, Secret(PASSWORD), name="alice", origin="the test")
TOKENED = Bearer(Secret(TOKEN), name="token", origin="the test")


@pytest.fixture
def store_with() -> Iterator[StoreWith]:
    with ExitStack() as stores:

        def make(credential: Credential) -> WebdavStore:
            store = WebdavStore(make_context(credential=credential))
            stores.callback(store.close)
            return store

        yield make


@pytest.fixture
def store(store_with: StoreWith) -> WebdavStore:
    return store_with(Anonymous())


@pytest.fixture
def place(dav: Apache) -> str:
    return fresh(dav.root)


def whole(store: WebdavStore, location: Location, data: bytes) -> Receipt:
    """Written as the engine writes a file that fits its buffer."""
    writer = store.open_write(location, Incoming(len(data), sha256(data).digest()))
    try:
        writer.write(memoryview(data))
        return writer.commit(())
    except BaseException:
        writer.abort()
        raise


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


# --- how a file gets to its place


@pytest.mark.parametrize("write", [whole, written], ids=["whole", "in pieces"])
def test_a_new_file_is_moved_to_its_place(
    dav: Apache, store: WebdavStore, place: str, write: Callable[..., Receipt]
) -> None:
    receipt = write(store, at(dav.dav(f"{place}/file")), b"the content")

    assert (dav.root / place / "file").read_bytes() == b"the content"
    assert names(dav.root / place) == ["file"]
    assert receipt.size == 11
    moves = [seen for seen in dav.requests() if seen.method == "MOVE" and seen.status < 400]
    assert [(move.overwrite, move.destination) for move in moves] == [("F", f"{dav.url}/dav/{place}/file")]


def test_a_small_file_in_a_known_folder_takes_three_requests(
    dav: Apache, store: WebdavStore, place: str
) -> None:
    whole(store, at(dav.dav(f"{place}/file")), b"the content")

    assert dav.methods() == ["PUT", "HEAD", "MOVE"]


def test_missing_folders_are_made_level_by_level(dav: Apache, store: WebdavStore, place: str) -> None:
    whole(store, at(dav.dav(f"{place}/a/b/c/file")), b"deep")

    made = [seen.target for seen in dav.requests() if seen.method == "MKCOL" and seen.status == 201]
    assert made == [f"/dav/{place}/a/", f"/dav/{place}/a/b/", f"/dav/{place}/a/b/c/"]
    assert (dav.root / place / "a/b/c/file").read_bytes() == b"deep"


@pytest.mark.parametrize(
    "folders",
    [["405 Method Not Allowed"], ["409 Conflict", "405 Method Not Allowed", "201 Created"]],
    ids=["the folder", "the one above it"],
)
def test_a_folder_that_somebody_else_makes_meanwhile_is_there(store: WebdavStore, folders: list[str]) -> None:
    """Many files of one batch go to a new folder at once: each is told that it is missing, and one of them makes it."""
    missing = answer(status="409 Conflict")
    stored = answer(status="201 Created")
    held = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"
    made = [answer(status=status) for status in folders]
    with scripted(missing, *made, stored, held, stored) as server:
        whole(store, at(f"dav://127.0.0.1:{server.port}/a/b/file"), b"content")

        methods = [request.line.split()[0] for request in server.requests]
        assert methods == ["PUT", *(["MKCOL"] * len(folders)), "PUT", "HEAD", "MOVE"]


@pytest.mark.parametrize("write", [whole, written], ids=["whole", "in pieces"])
def test_a_folder_that_was_made_and_removed_is_made_again(
    dav: Apache, store: WebdavStore, place: str, write: Callable[..., Receipt]
) -> None:
    for _ in range(2):
        write(store, at(dav.dav(f"{place}/a/b/file")), b"the content")
        assert (dav.root / place / "a/b/file").read_bytes() == b"the content"
        shutil.rmtree(dav.root / place / "a")


def test_a_file_replaces_another_but_never_a_folder(dav: Apache, store: WebdavStore, place: str) -> None:
    location = at(dav.dav(f"{place}/name"))
    whole(store, location, b"old")
    whole(store, location, b"new")
    assert (dav.root / place / "name").read_bytes() == b"new"
    store.make_directory(at(dav.dav(f"{place}/folder")))
    whole(store, at(dav.dav(f"{place}/folder/inside")), b"stays")

    refused(lambda: whole(store, at(dav.dav(f"{place}/folder")), b"in the way"), LocalRefused)

    assert (dav.root / place / "folder/inside").read_bytes() == b"stays"
    assert names(dav.root / place) == ["folder", "name"]


def test_a_path_that_ends_with_a_slash_is_no_file(dav: Apache, store: WebdavStore, place: str) -> None:
    refused(lambda: store.open_write(at(dav.dav(f"{place}/folder/")), Incoming(3)), LocalRefused)


@pytest.mark.parametrize("write", [whole, written], ids=["whole", "in pieces"])
def test_where_move_is_refused_a_file_is_stored_at_its_place(
    dav: Apache, store: WebdavStore, place: str, write: Callable[..., Receipt]
) -> None:
    receipt = write(store, at(dav.dav(f"{place}/file", place="nomove")), b"the content")

    assert (dav.root / place / "file").read_bytes() == b"the content"
    assert names(dav.root / place) == ["file"]
    assert receipt.size == 11


def test_a_refused_move_is_not_tried_again(dav: Apache, store: WebdavStore, place: str) -> None:
    for number in range(3):
        whole(store, at(dav.dav(f"{place}/{number}", place="nomove")), b"the content")

    assert dav.methods().count("MOVE") == 1
    assert names(dav.root / place) == ["0", "1", "2"]


def test_a_server_that_knows_put_and_head_alone_is_enough(
    dav: Apache, store: WebdavStore, place: str
) -> None:
    written(store, at(dav.dav(f"{place}/file", place="put-only")), content(2 * MIB))

    assert (dav.root / place / "file").read_bytes() == content(2 * MIB)


@pytest.mark.parametrize("fault", [cut(MIB, upward=True), reset(MIB, upward=True)], ids=["cut", "reset"])
@pytest.mark.parametrize("server", ["dav", "nomove"])
def test_a_cut_upload_leaves_nothing(
    dav: Apache, store: WebdavStore, place: str, fault: object, server: str
) -> None:
    with fault_proxy(dav.port) as proxy:
        location = at(f"webdav://127.0.0.1:{proxy.port}/{server}/{place}/file")
        whole(store, at(f"webdav://127.0.0.1:{proxy.port}/{server}/{place}/other"), b"x")
        proxy.cut_all()
        proxy.inject(fault)
        data = content(8 * MIB)

        writer = store.open_write(location, Incoming(len(data)))
        with pytest.raises(Broken):
            for first in range(0, len(data), MIB):
                writer.write(memoryview(data)[first : first + MIB])
            writer.commit(())
        proxy.inject(fault, first=0)
        writer.abort()

    assert names(dav.root / place) == ["other"]


def test_an_upload_that_wsgidav_keeps_in_pieces_is_never_at_its_place(
    wsgi_service: WsgiDav, store: WebdavStore
) -> None:
    place = fresh(wsgi_service.root)
    data = content(8 * MIB)
    with fault_proxy(wsgi_service.port, cut(4 * MIB, upward=True)) as proxy:
        writer = store.open_write(at(f"dav://127.0.0.1:{proxy.port}/{place}/file"), Incoming(len(data)))
        with pytest.raises(Broken):
            for first in range(0, len(data), MIB):
                writer.write(memoryview(data)[first : first + MIB])
            writer.commit(())
        assert "file" not in names(wsgi_service.root / place)
        proxy.inject(cut(0), first=0)
        writer.abort()


def test_two_uploads_of_one_name_do_not_meet(dav: Apache, store: WebdavStore, place: str) -> None:
    """The second finds the partial of the first, which it may not touch."""
    location = at(dav.dav(f"{place}/file"))
    partial = dav.root / place / f".wf-{'0' * 16}.part"
    partial.write_bytes(b"another's")

    whole(store, location, b"ours")
    written(store, location, b"ours again")

    assert (dav.root / place / "file").read_bytes() == b"ours again"
    assert partial.read_bytes() == b"another's"


def test_an_upload_that_a_server_fails_is_removed_and_not_sent_under_another_name(store: WebdavStore) -> None:
    """What a server keeps of it when its disk is full lies under the first name."""
    failed, gone = answer(status="500 Internal Server Error"), answer(status="204 No Content")
    with scripted(failed, answer(status="201 Created"), failed, gone) as server:
        refused(lambda: whole(store, at(f"dav://127.0.0.1:{server.port}/a/file"), b"content"), ServerFault)

        said = [request.line.split()[:2] for request in server.requests]
        assert [method for method, _ in said] == ["PUT", "MKCOL", "PUT", "DELETE"]
        assert len({name for method, name in said if method != "MKCOL"}) == 1


def test_an_upload_whose_name_is_locked_goes_under_another_name(store: WebdavStore) -> None:
    locked, made = answer(status="423 Locked"), answer(status="201 Created")
    held = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"
    absent = answer(status="404 Not Found")
    with scripted(locked, absent, made, held, made) as server:
        whole(store, at(f"dav://127.0.0.1:{server.port}/file"), b"content")

        puts = [request.line.split()[1] for request in server.requests if request.line.startswith("PUT")]
        assert len(set(puts)) == 2


@pytest.mark.parametrize("write", [whole, written], ids=["whole", "in pieces"])
def test_what_a_killed_run_left_is_taken_over(
    dav: Apache, store: WebdavStore, place: str, write: Callable[..., Receipt]
) -> None:
    partial = dav.root / place / f".wf-{'0' * 16}.part"
    partial.write_bytes(b"of an earlier process")
    partial.chmod(0o666)
    os.utime(partial, (1_000_000_000, 1_000_000_000))

    write(store, at(dav.dav(f"{place}/file")), b"ours")

    assert names(dav.root / place) == ["file"]
    assert (dav.root / place / "file").read_bytes() == b"ours"


# --- the same server by its http name


def test_folders_are_made_listed_and_removed_over_http_where_the_server_speaks_webdav(
    dav: Apache, place: str
) -> None:
    store = HttpStore(make_context())
    folder = at(f"{dav.url}/dav/{place}/folder")
    store.make_directory(folder.below("deeper"))
    (dav.root / place / "folder/file").write_bytes(b"x")

    refused(lambda: store.remove(folder, recursive=False), LocalRefused)
    assert sorted(entry.path for entry in store.list(folder, recursive=True)) == ["deeper", "file"]
    store.remove(folder.below("file"), recursive=False)
    assert names(dav.root / place / "folder") == ["deeper"]
    store.remove(folder, recursive=True)
    store.close()

    assert names(dav.root / place) == []
    assert dav.methods().count("OPTIONS") == 1


def test_a_web_server_that_does_not_is_asked_for_nothing_more() -> None:
    store = HttpStore(make_context())
    with scripted(answer(b"", "Allow: GET")) as server:
        folder = at(f"{server.url}/folder")
        refused(lambda: store.make_directory(folder), Unsupported)
        refused(lambda: store.list(folder, recursive=False), Unsupported)
        refused(lambda: store.remove(folder, recursive=True), Unsupported)
        assert [request.line.split()[0] for request in server.requests] == ["OPTIONS"]
    store.close()


# --- redirected uploads


@pytest.mark.parametrize("write", [whole, written], ids=["whole", "in pieces"])
def test_the_body_goes_to_where_a_307_leads(
    dav: Apache, store_with: StoreWith, place: str, write: Callable[..., Receipt]
) -> None:
    location = at(dav.dav(f"{place}/file", place="forward-basic"))

    write(store_with(ALICE), location, content(3 * MIB))

    assert (dav.root / place / "file").read_bytes() == content(3 * MIB)
    elsewhere = [seen for seen in dav.requests() if seen.port == dav.second_port]
    assert {seen.method for seen in elsewhere} == {"PUT"}
    assert {seen.authorization for seen in elsewhere} == {"-"}, "a credential followed the redirect"


def test_an_empty_file_after_a_redirect_is_noticed(store: WebdavStore) -> None:
    """The name server made the name; the data server said 201, and kept nothing."""
    with scripted(answer(status="201 Created")) as data:
        away = answer(b"", f"Location: {data.url}/signed?signature=xyz", status="307 Temporary Redirect")
        gone = answer(status="204 No Content")
        with scripted(away, answer(), gone) as front:
            location = at(f"webdav://127.0.0.1:{front.port}/folder/file")

            error = refused(lambda: whole(store, location, b"content"), Broken)

            assert "took 7 bytes and holds 0" in error.what
            methods = [request.line.split()[0] for request in front.requests]
            assert methods == ["PUT", "HEAD", "DELETE"], "what is wrong is removed and never moved"
            assert data.requests[0].body == b"content"


# --- reading and looking


def test_a_tag_that_is_weak_right_after_the_put_is_no_version_and_compares_all_the_same(
    dav: Apache, store: WebdavStore, place: str
) -> None:
    location = at(dav.dav(f"{place}/file"))
    whole(store, location, b"the content")
    reader = store.open_read(location)
    drained(reader)
    assert reader.version is None

    with scripted(answer(b"content", 'ETag: W/"same"')) as server:
        here = at(f"webdav://127.0.0.1:{server.port}/file")
        assert drained(store.open_read(here, version='"same"')) == b"content"
        refused(lambda: store.open_read(here, version='"other"'), Changed)


def test_the_index_page_of_a_folder_is_not_taken_for_a_file(
    wsgi_service: WsgiDav, store: WebdavStore
) -> None:
    place = fresh(wsgi_service.root)

    refused(lambda: drained(store.open_read(at(f"{wsgi_service.url}/{place}"))), LocalRefused)


def test_a_folder_is_named_so_where_the_server_only_redirects_to_it(
    dav: Apache, store: WebdavStore, place: str
) -> None:
    """Apache and nginx lead from a folder's name to the name with a slash, and refuse to show that."""
    error = refused(lambda: store.open_read(at(dav.dav(place))), LocalRefused)

    assert "is a folder" in error.what


def test_a_web_page_is_a_file_like_others(dav: Apache, store: WebdavStore, place: str) -> None:
    whole(store, at(dav.dav(f"{place}/page")), b"<html>")

    with scripted(answer(b"<html>", "Content-Type: text/html")) as server:
        assert drained(store.open_read(at(f"dav://127.0.0.1:{server.port}/page.html"))) == b"<html>"


def test_a_tree_is_walked_folder_by_folder(dav: Apache, store: WebdavStore, place: str) -> None:
    whole(store, at(dav.dav(f"{place}/a/b/file")), b"deep")
    dav.forget()

    found = sorted(entry.path for entry in store.list(at(dav.dav(place)), recursive=True))

    assert found == ["a", "a/b", "a/b/file"]
    assert [seen.depth for seen in dav.requests()] == ["1", "1", "1"]


def test_a_folder_may_be_named_with_a_dot_behind_it(dav: Apache, store: WebdavStore, place: str) -> None:
    """`cp -r SOURCE/.` copies what is in the folder."""
    whole(store, at(dav.dav(f"{place}/a/file")), b"content")

    assert [entry.path for entry in store.list(at(dav.dav(f"{place}/a/.")), recursive=True)] == ["file"]


def test_what_is_no_folder_is_not_listed(dav: Apache, store: WebdavStore, place: str) -> None:
    whole(store, at(dav.dav(f"{place}/file")), b"x")

    refused(
        lambda: list(store.list(at(dav.dav(f"{place}/file")), recursive=False)), Unsupported, LocalRefused
    )


def test_a_folder_is_not_made_where_a_file_is(dav: Apache, store: WebdavStore, place: str) -> None:
    whole(store, at(dav.dav(f"{place}/file")), b"x")

    refused(lambda: store.make_directory(at(dav.dav(f"{place}/file"))), LocalRefused)
    refused(lambda: store.make_directory(at(dav.dav(f"{place}/file/below"))), Unsupported, LocalRefused)
    assert (dav.root / place / "file").read_bytes() == b"x"


# --- removing


def test_a_tree_is_removed_name_by_name_where_webdav4_is_missing(
    dav: Apache, store: WebdavStore, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/b/one", "a/two", "a/per%20cent%25", "beside"):
        whole(store, at(dav.dav(f"{place}/{name}")), b"x")
    monkeypatch.setitem(sys.modules, "webdav4.client", None)
    monkeypatch.delitem(sys.modules, "wf.protocols.webdav_verbs", raising=False)

    store.remove(at(dav.dav(f"{place}/a")), recursive=True)

    assert names(dav.root / place) == ["beside"]
    assert dav.methods().count("DELETE") == 5


def test_a_tree_is_removed_by_one_request(dav: Apache, store: WebdavStore, place: str) -> None:
    for name in ("per%2520cent/x", "per%20cent/x"):
        whole(store, at(dav.dav(f"{place}/{name}")), b"x")
    dav.forget()

    store.remove(at(dav.dav(f"{place}/per%2520cent")), recursive=True)

    assert names(dav.root / place) == ["per cent"], "the folder of another name was removed"
    assert dav.methods().count("DELETE") == 1


def test_a_part_of_a_tree_that_stays_is_no_success(store: WebdavStore) -> None:
    folder = (
        b'<D:multistatus xmlns:D="DAV:"><D:response><D:href>/t/</D:href><D:propstat><D:prop><D:resourcetype>'
        b"<D:collection/></D:resourcetype></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>%s"
        b"</D:multistatus>"
    )
    locked = (
        b'<D:multistatus xmlns:D="DAV:"><D:response><D:href>/t/a</D:href><D:status>HTTP/1.1 423 Locked</D:status>'
        b"</D:response></D:multistatus>"
    )
    child = b"<D:response><D:href>/t/a</D:href></D:response>"
    with scripted(
        answer(folder % b"", status="207 Multi-Status"),
        answer(locked, status="207 Multi-Status"),
        answer(folder % child, status="207 Multi-Status"),
        answer(b"locked", status="423 Locked"),
    ) as server:
        refused(lambda: store.remove(at(f"dav://127.0.0.1:{server.port}/t"), recursive=True), ServerFault)


# --- credentials


@pytest.mark.parametrize(
    ("way", "credential"), [("basic", ALICE), ("digest", ALICE), ("bearer", TOKENED)], ids=str
)
def test_each_credential_opens_its_place(
    dav: Apache, store_with: StoreWith, place: str, way: str, credential: Credential
) -> None:
    store = store_with(credential)
    location = at(dav.dav(f"{place}/deep/file with blank", place=way))
    for data in (content(MIB + 5), b"short"):
        written(store, location, data)
        assert drained(store.open_read(location)) == data
    store.remove(location, recursive=False)
    store.remove(at(dav.dav(f"{place}/deep", place=way)), recursive=True)

    assert names(dav.root / place) == []


@pytest.mark.parametrize("way", ["basic", "digest"])
def test_a_wrong_password_is_denied(dav: Apache, store_with: StoreWith, place: str, way: str) -> None:
    wrong = Basic(USER, Secret("wrong-password"), name="alice", origin="the test")
    location = at(dav.dav(f"{place}/file", place=way))

    for call in (
        lambda: store_with(wrong).open_read(location),
        lambda: whole(store_with(wrong), location, b"x"),
        lambda: written(store_with(wrong), location, content(2 * MIB)),
        lambda: store_with(wrong).stat(location),
    ):
        error = refused(call, Denied)
        assert "alice" in error.what
        assert "wrong-password" not in error.what


def test_a_password_is_not_sent_in_the_clear_where_a_digest_will_do(
    dav: Apache, store_with: StoreWith, place: str
) -> None:
    store = store_with(ALICE)
    location = at(dav.dav(f"{place}/file", place="digest"))

    whole(store, location, b"small")
    written(store, location, content(MIB + 5))
    drained(store.open_read(location))

    shown = {seen.authorization.partition(" ")[0] for seen in dav.requests()}
    assert shown == {"-", "Digest"}


def test_the_user_and_password_of_the_url_are_proven_by_digest_too(
    dav: Apache, store: WebdavStore, place: str
) -> None:
    url = dav.dav(f"{place}/file", place="digest").replace("://", f"://{USER}:open%3Asesame@")

    whole(store, at(url), b"small")

    assert (dav.root / place / "file").read_bytes() == b"small"


def test_wsgidav_believes_our_digests(wsgi_service: WsgiDav, store_with: StoreWith) -> None:
    store = store_with(Basic("alice", Secret(WSGI_PASSWORD), name="alice", origin="the test"))
    location = at(f"{wsgi_service.url}/digest/file")

    for data in (b"small", content(MIB + 5)):
        written(store, location, data)
        assert drained(store.open_read(location)) == data


def test_a_certificate_of_a_stranger_is_not_trusted(dav: Apache, tls_files: TlsFiles, place: str) -> None:
    store = WebdavStore(make_context(tls=tls_context({"SSL_CERT_FILE": str(tls_files.wrong_ca)})))

    with pytest.raises(TransferError, match="not trusted"):
        store.stat(at(dav.dav(place, scheme="davs")))
    store.close()


# --- start-up


def test_getting_and_putting_import_no_webdav4(dav: Apache, place: str) -> None:
    program = """
import sys
from wf.protocols.conformance_tools import make_context, written, drained
from wf.protocols.locations import parse_location
from wf.protocols.webdav import WebdavStore
place = parse_location(sys.argv[1])
store = WebdavStore(make_context())
written(store, place.below("deep/file"), b"x" * 3000000)
drained(store.open_read(place.below("deep/file")))
store.stat(place)
list(store.list(place, recursive=True))
store.make_directory(place.below("folder"))
store.remove(place.below("deep/file"), recursive=False)
store.close()
print(*(name for name in ("webdav4", "httpx", "requests") if name in sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, dav.dav(place)], check=True, capture_output=True, text=True
    )

    assert done.stdout.split() == []

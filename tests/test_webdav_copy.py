"""Copies whose bytes do not pass through here: inside Apache, and between two XRootD servers (HTTP-TPC)."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
from command_runs import wf_transfer
from servers.scripted import BODY, answer, scripted
from webdav_servers import apache_service, at, dav, fresh, xrootd_service
from wf.credentials.kinds import Anonymous, Basic, Bearer, Certificate, Credential, Secret
from wf.protocols.conformance_tools import content, make_context, refused, within_guard, written
from wf.protocols.errors import Broken, LocalRefused, NotFound, Unsupported
from wf.protocols.tls import tls_context
from wf.protocols.webdav import WebdavStore
from wf.protocols.webdav_copy import fetch, send
from wf.protocols.webdav_leave import leave_for
from wf.protocols.webdav_names import over_http

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from servers.apache import Apache
    from servers.scripted import Scripted
    from servers.tls import TlsFiles
    from servers.xrootd_dav import XrootdDav
    from wf.protocols.locations import Location
    from wf.protocols.values import Receipt

    Chosen = Callable[[Location, str], Credential]

__all__ = ["apache_service", "dav", "xrootd_service"]

MIB = 1 << 20
TOKEN = Bearer(Secret("a-token-of-one-host"), name="token", origin="the test")
OTHER = Bearer(Secret("a-token-of-another"), name="other", origin="the test")


def store_of(tls_files: TlsFiles, credential: Credential | Chosen, **options: float) -> WebdavStore:
    client = credential if isinstance(credential, Certificate) else None
    trust = tls_context({"SSL_CERT_FILE": str(tls_files.ca)}, client)
    return WebdavStore(make_context(credential=credential, tls=trust, **options))


@pytest.fixture
def client(tls_files: TlsFiles) -> Certificate:
    pair = tls_files.client
    return Certificate(str(pair.certificate), str(pair.key), name="client", origin="the test")


@pytest.fixture
def store(tls_files: TlsFiles) -> Iterator[WebdavStore]:
    store = store_of(tls_files, Anonymous())
    yield store
    store.close()


# --- inside one server


def test_a_copy_inside_apache_shows_nothing_before_it_is_whole(dav: Apache, store: WebdavStore) -> None:
    place = fresh(dav.root)
    written(store, at(dav.dav(f"{place}/from")), content(MIB + 1))
    dav.forget()

    step = store.copy(at(dav.dav(f"{place}/from")), at(dav.dav(f"{place}/new folder/to")), "")

    assert step.receipt is not None
    assert step.receipt.size == step.bytes == MIB + 1
    assert (dav.root / place / "new folder/to").read_bytes() == content(MIB + 1)
    copy = next(seen for seen in dav.requests() if seen.method == "COPY" and seen.status == 201)
    assert ".wf-" in copy.destination
    assert sorted(os.listdir(dav.root / place / "new folder")) == ["to"]


def test_a_folder_is_not_copied_as_if_it_were_a_file(dav: Apache, store: WebdavStore) -> None:
    place = fresh(dav.root)
    store.make_directory(at(dav.dav(f"{place}/folder")))

    refused(lambda: store.copy(at(dav.dav(f"{place}/folder")), at(dav.dav(f"{place}/to")), ""), LocalRefused)


def test_without_webdav4_the_copy_streams(
    dav: Apache, store: WebdavStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = fresh(dav.root)
    written(store, at(dav.dav(f"{place}/from")), b"content")
    monkeypatch.setitem(sys.modules, "webdav4.client", None)
    monkeypatch.delitem(sys.modules, "wf.protocols.webdav_verbs", raising=False)

    error = refused(
        lambda: store.copy(at(dav.dav(f"{place}/from")), at(dav.dav(f"{place}/to")), ""), Unsupported
    )

    assert "wf-transfer[webdav]" in error.remedy


# --- between two servers


@pytest.mark.parametrize("size", [0, 5, 3 * MIB + 1])
def test_one_server_fetches_from_the_other(
    xrootd_service: XrootdDav, tls_files: TlsFiles, client: Certificate, size: int
) -> None:
    """Each is shown a macaroon of the other, for nobody but the client may read or write there."""
    here, there = (fresh(root / "kept") for root in xrootd_service.roots)
    store = store_of(tls_files, client)
    source = at(xrootd_service.url(f"kept/{here}/from"))
    destination = at(xrootd_service.url(f"kept/{there}/deep/to", 1))
    written(store, source, content(size))

    step = store.copy(source, destination, "")
    store.close()

    copied = xrootd_service.roots[1] / "kept" / there / "deep"
    assert (copied / "to").read_bytes() == content(size)
    assert os.listdir(copied) == ["to"]
    assert step.receipt is not None
    assert step.receipt.size == size
    assert [digest.algorithm for digest in step.receipt.digests] == ["adler32"]


def test_one_server_sends_to_another(
    xrootd_service: XrootdDav, tls_files: TlsFiles, client: Certificate
) -> None:
    """What is done where the destination cannot fetch."""
    here, there = (fresh(root / "kept") for root in xrootd_service.roots)
    store = store_of(tls_files, client)
    source = over_http(at(xrootd_service.url(f"kept/{here}/from")))
    written(store, source, content(3 * MIB))

    send(store, source, over_http(at(xrootd_service.url(f"kept/{there}/to", 1))))
    store.close()

    assert (xrootd_service.roots[1] / "kept" / there / "to").read_bytes() == content(3 * MIB)


def test_an_absent_source_is_not_found(xrootd_service: XrootdDav, store: WebdavStore) -> None:
    place = fresh(xrootd_service.roots[1] / "open")

    refused(
        lambda: store.copy(
            at(xrootd_service.url("open/absent")), at(xrootd_service.url(f"open/{place}/to", 1)), ""
        ),
        NotFound,
    )

    assert os.listdir(xrootd_service.roots[1] / "open" / place) == []


def run_batch(folder: Path, tls_files: TlsFiles, source: Location, destination: Location) -> dict[str, Any]:
    """The result of one transfer by the installed command."""
    transfer = {
        "type": "transfer",
        "id": 1,
        "src_urls": [{"site_label": "a", "url": source.url}],
        "dest_urls": [{"site_label": "b", "url": destination.url}],
    }
    (folder / "batch.json").write_text(json.dumps([transfer]))
    environment = {"SSL_CERT_FILE": str(tls_files.ca)}
    run = wf_transfer(folder, "-f", "batch.json", "--result", "result.json", environment=environment)
    assert run.code == 0, run.err
    (request,) = json.loads((folder / "result.json").read_text())["requests"]
    return dict(request)


def test_the_plan_has_one_server_fetch_from_the_other(
    xrootd_service: XrootdDav, tls_files: TlsFiles, tmp_path: Path
) -> None:
    place, there = (fresh(root / "open") for root in xrootd_service.roots)
    (xrootd_service.roots[0] / "open" / place / "from").write_bytes(content(MIB))
    source = at(xrootd_service.url(f"open/{place}/from"))

    done = run_batch(tmp_path, tls_files, source, at(xrootd_service.url(f"open/{there}/to", 1)))

    assert (done["route"], done["evidence"]) == ("third-party-copy", "checksum")
    assert (xrootd_service.roots[1] / "open" / there / "to").read_bytes() == content(MIB)


def test_what_the_servers_will_not_copy_is_streamed(
    xrootd_service: XrootdDav, dav: Apache, tls_files: TlsFiles, tmp_path: Path
) -> None:
    """Apache knows no `Source`, and XRootD, in a namespace of its own, does not reach it."""
    place, there = fresh(xrootd_service.roots[0] / "open"), fresh(dav.root)
    (xrootd_service.roots[0] / "open" / place / "from").write_bytes(content(MIB))
    source = at(xrootd_service.url(f"open/{place}/from"))

    done = run_batch(tmp_path, tls_files, source, at(dav.dav(f"{there}/to", scheme="davs")))

    assert done["route"] == "streamed"
    assert (dav.root / there / "to").read_bytes() == content(MIB)
    assert os.listdir(dav.root / there) == ["to"]
    assert [seen.status for seen in dav.requests() if seen.method == "COPY"] == [404], "it was asked to fetch"


# --- what a server says while it copies: doubles, for answers that no server gives when asked to

PROPERTIES = (
    b'<D:multistatus xmlns:D="DAV:"><D:response><D:href>/from</D:href><D:propstat><D:prop><D:resourcetype/>'
    b"<D:getcontentlength>7</D:getcontentlength></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>"
    b"</D:response></D:multistatus>"
)
MARKER = "Perf Marker\n\tTimestamp: 1\n\tStripe Index: 0\n\tStripe Bytes Transferred: 3\n\tTotal Stripe Count: 1\nEnd\n"
THERE = answer(status="207 Multi-Status", body=PROPERTIES)
MADE = answer(status="201 Created")
DELETED = answer(status="204 No Content")


def said(text: str) -> bytes:
    return answer(text.encode(), "Content-Type: text/perf-marker-stream", status="202 Accepted")


def between(
    tls_files: TlsFiles,
    source: Scripted,
    destination: Scripted,
    told: Callable[[int], None] | None = None,
    **options: float,
) -> Receipt | None:
    store = store_of(tls_files, Anonymous(), **options)
    store._context.moved = told or store._context.moved
    try:
        return store.copy(
            at(f"davs://127.0.0.1:{source.port}/from"), at(f"davs://127.0.0.1:{destination.port}/to"), ""
        ).receipt
    finally:
        store.close()


def test_success_is_what_the_last_line_says(tls_files: TlsFiles) -> None:
    with (
        scripted(THERE, certificate=tls_files.server) as source,
        scripted(
            said(MARKER * 3 + "success: Created"), answer(b"7 bytes"), MADE, certificate=tls_files.server
        ) as to,
    ):
        between(tls_files, source, to)

        asked = to.requests[0]
        assert asked.line.startswith("COPY /.wf-")
        assert asked.headers["source"] == f"https://127.0.0.1:{source.port}/from"
        assert asked.headers["credential"] == "none"
        assert "transferheaderauthorization" not in asked.headers


def test_how_far_a_copy_is_shows_while_it_is_made(tls_files: TlsFiles) -> None:
    told: list[int] = []
    other = MARKER.replace("Index: 0", "Index: 1").replace("Transferred: 3", "Transferred: 4")
    with (
        scripted(THERE, certificate=tls_files.server) as source,
        scripted(
            said(MARKER * 2 + other + "success: Created"),
            answer(b"7 bytes"),
            MADE,
            certificate=tls_files.server,
        ) as destination,
    ):
        between(tls_files, source, destination, told.append)
    assert told == [3, 7], "bytes of all stripes, whenever there are more"


def test_a_copy_that_ends_without_a_last_word_is_broken(tls_files: TlsFiles) -> None:
    with (
        scripted(THERE, certificate=tls_files.server) as source,
        scripted(said(MARKER), DELETED, certificate=tls_files.server) as destination,
    ):
        refused(lambda: between(tls_files, source, destination), Broken)

        assert [request.line.split()[0] for request in destination.requests] == ["COPY", "DELETE"]


def test_a_failure_at_both_is_told_and_leaves_nothing(tls_files: TlsFiles) -> None:
    failed = said(MARKER + "failure: connect to [::1]:8443 timed out")
    with (
        scripted(THERE, answer(status="405 Method Not Allowed"), certificate=tls_files.server) as source,
        scripted(failed, DELETED, certificate=tls_files.server) as destination,
    ):
        error = refused(lambda: between(tls_files, source, destination), Unsupported)

        assert "timed out" in error.what
        assert "405" in error.what
        assert [request.line.split()[0] for request in destination.requests] == ["COPY", "DELETE"]


def test_a_success_that_left_too_little_is_broken(tls_files: TlsFiles) -> None:
    with (
        scripted(THERE, certificate=tls_files.server) as source,
        scripted(said("success: Created"), answer(b""), DELETED, certificate=tls_files.server) as destination,
    ):
        error = refused(lambda: between(tls_files, source, destination), Broken)

        assert "0 of 7 bytes" in error.what


def test_a_copy_that_stays_where_it_is_is_given_up(tls_files: TlsFiles) -> None:
    """The server goes on telling that it is there, as it would for ever."""
    head = b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n"
    marker = b"%x\r\n%s\r\n" % (len(MARKER), MARKER.encode())
    with (
        scripted(THERE, certificate=tls_files.server) as source,
        scripted([head, *([marker] * 1_000_000)], DELETED, certificate=tls_files.server) as destination,
    ):
        error = refused(
            lambda: within_guard(lambda: between(tls_files, source, destination, stall=0.05)), Broken
        )

        assert "3 bytes were copied" in error.what


@pytest.mark.parametrize("told", ["adler32=0a0b0c0d", "md5=XrY7u+Ae7tCTyyK7j1rNww=="])
def test_a_checksum_that_both_servers_tell_is_evidence(tls_files: TlsFiles, told: str) -> None:
    with (
        scripted(THERE, answer(b"7 bytes", f"Digest: {told}"), certificate=tls_files.server) as source,
        scripted(
            said("success: Created"),
            answer(b"7 bytes", "Digest: adler32=0a0b0c0d"),
            MADE,
            certificate=tls_files.server,
        ) as destination,
    ):
        receipt = between(tls_files, source, destination)

    assert receipt is not None
    assert receipt.compared is told.startswith("adler32")


def test_a_copy_with_another_checksum_is_broken(tls_files: TlsFiles) -> None:
    with (
        scripted(
            THERE, answer(b"7 bytes", "Digest: adler32=0a0b0c0d"), certificate=tls_files.server
        ) as source,
        scripted(
            said("success: Created"),
            answer(b"7 bytes", "Digest: adler32=01020304"),
            DELETED,
            certificate=tls_files.server,
        ) as destination,
    ):
        error = refused(lambda: between(tls_files, source, destination), Broken)

        assert "adler32:01020304" in error.what
        assert [request.line.split()[0] for request in destination.requests] == ["COPY", "HEAD", "DELETE"]


# --- who is given leave


def ends(passive: Scripted) -> tuple[Location, Location]:
    """Where the bytes are, and who is to fetch them."""
    return over_http(at(f"davs://127.0.0.1:{passive.port}/from")), over_http(
        at("davs://elsewhere.invalid/to")
    )


@pytest.mark.parametrize("active", [OTHER, Anonymous()], ids=["another token", "none"])
def test_a_token_is_not_given_to_a_server_that_it_is_not_for(tls_files: TlsFiles, active: Credential) -> None:
    with scripted(answer(status="405 Method Not Allowed"), certificate=tls_files.server) as server:
        there, here = ends(server)
        store = store_of(tls_files, lambda location, _: TOKEN if location.host == there.host else active)

        refused(lambda: leave_for(store, here, there, "DOWNLOAD", "read"), Unsupported)
        store.close()


def test_a_token_that_both_are_shown_may_be_handed_over(tls_files: TlsFiles) -> None:
    with scripted(answer(status="405 Method Not Allowed"), certificate=tls_files.server) as server:
        there, here = ends(server)
        store = store_of(tls_files, TOKEN)

        fields = leave_for(store, here, there, "DOWNLOAD", "read")
        store.close()

    assert fields == (("TransferHeaderAuthorization", "Bearer a-token-of-one-host"),)


def test_leave_does_not_follow_a_redirect(tls_files: TlsFiles) -> None:
    """The server that was asked to fetch leads to another one, which would be given the token of both."""
    pair = tls_files.server
    with scripted(MADE, certificate=pair) as stranger:
        away = answer(b"", f"Location: {stranger.url}/to", status="307 Temporary Redirect")
        with (
            scripted(THERE, answer(status="405 Not Allowed"), certificate=pair) as source,
            scripted(away, certificate=pair) as destination,
        ):
            store = store_of(tls_files, TOKEN)
            here = over_http(at(f"davs://127.0.0.1:{source.port}/from"))
            there = over_http(at(f"davs://127.0.0.1:{destination.port}/to"))

            refused(lambda: fetch(store, here, there), Unsupported)
            store.close()

            assert "transferheaderauthorization" in destination.requests[-1].headers
        assert stranger.requests == []


def test_a_macaroon_for_one_file_is_handed_over_instead(tls_files: TlsFiles) -> None:
    user = Basic("alice", Secret("open:sesame"), name="alice", origin="the test")
    made = answer(b'{"macaroon": "MDAxM2xv"}', "Content-Type: application/json")
    with scripted([BODY, made], certificate=tls_files.server) as server:
        there, here = ends(server)
        store = store_of(tls_files, lambda location, _: user if location.host == there.host else Anonymous())

        fields = leave_for(store, here, there, "DOWNLOAD", "read")
        store.close()

        asked = server.requests[0]
        assert (asked.line.split()[:2], asked.headers["content-type"]) == (
            ["POST", "/from"],
            "application/macaroon-request",
        )
        assert b"activity:DOWNLOAD" in asked.body
    assert fields == (("TransferHeaderAuthorization", "Bearer MDAxM2xv"),)


def test_nothing_is_copied_between_two_servers_without_tls(store: WebdavStore) -> None:
    with scripted(THERE) as server:
        refused(
            lambda: store.copy(at(f"dav://127.0.0.1:{server.port}/from"), at("davs://127.0.0.1:1/to"), ""),
            Unsupported,
        )
        assert server.requests == []

"""HTTPS: whom we trust, what we show, and that TLS changes nothing else."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from servers.faults import cut, fault_proxy, stall
from servers.nginx import nginx
from servers.scripted import BODY, CLOSE, answer, scripted
from wf.credentials.kinds import Certificate
from wf.protocols.conformance_tools import content, drained, make_context, written
from wf.protocols.context import Context
from wf.protocols.errors import Broken, Denied, Misconfigured, TransferError, Unreachable, Unsupported
from wf.protocols.http import HttpStore
from wf.protocols.locations import parse_location
from wf.protocols.tls import tls_context
from wf.protocols.wire import Wire, origin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from servers.nginx import Nginx
    from servers.tls import Pair, TlsFiles

MIB = 1 << 20


def trusting(environment: dict[str, str], certificate: Certificate | None = None, **more: float) -> Context:
    context = make_context(credential=certificate, **more)  # type: ignore[arg-type]
    context.tls = lambda credential: tls_context(
        environment, credential if isinstance(credential, Certificate) else None
    )
    return context


@pytest.fixture
def store_for() -> Iterator[Callable[..., HttpStore]]:
    made: list[HttpStore] = []

    def make(environment: dict[str, str], certificate: Certificate | None = None, **more: float) -> HttpStore:
        made.append(HttpStore(trusting(environment, certificate, **more)))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(store_for: Callable[..., HttpStore], tls_files: TlsFiles) -> HttpStore:
    return store_for({"SSL_CERT_FILE": str(tls_files.ca)})


@pytest.fixture
def wire(tls_files: TlsFiles) -> Iterator[Wire]:
    wire = Wire(trusting({"SSL_CERT_FILE": str(tls_files.ca)}))
    yield wire
    wire.close()


def named(pair: Pair) -> Certificate:
    return Certificate(str(pair.certificate), str(pair.key), name="me", origin="a test")


@pytest.mark.parametrize("size", [1, 32 << 10, (32 << 10) + 1, 300_000, 5 * MIB + 7])
def test_a_body_of_any_size_comes_whole_through_the_small_buffer_of_an_answer(
    store: HttpStore, wire: Wire, web: Nginx, size: int
) -> None:
    """As listings do, which are read while the large buffer is lent."""
    data = content(size)
    written(store, parse_location(f"{web.tls_url}/put/a"), data)
    origin, target = origin_of(f"{web.tls_url}/put/a")
    assert wire.exchange("GET", origin, target).read_all(size + 1) == data


def test_everything_works_over_tls(store: HttpStore, web: Nginx) -> None:
    data = content(5 * MIB + 7)
    location = parse_location(f"{web.tls_url}/put/a")
    written(store, location, data)
    assert drained(store.open_read(location)) == data
    assert drained(store.open_read(parse_location(f"{web.tls_url}/chunked/put/a"))) == data
    assert drained(store.open_read(location, start=MIB, length=10)) == data[MIB : MIB + 10]
    assert store.stat(location).size == len(data)
    store.remove(location, recursive=False)
    assert not (web.root / "put/a").exists()
    assert web.connections() == 1


def test_a_small_body_comes_in_one_view(store: HttpStore, web: Nginx) -> None:
    (web.root / "a").write_bytes(content(MIB))
    reader = store.open_read(parse_location(f"{web.tls_url}/a"))
    assert len(reader.read()) == MIB
    reader.close()


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR", "X509_CERT_DIR"])
def test_an_authority_may_be_named_in_three_ways(
    store_for: Callable[..., HttpStore], web: Nginx, tls_files: TlsFiles, variable: str
) -> None:
    (web.root / "a").write_bytes(b"text")
    path = tls_files.ca if variable == "SSL_CERT_FILE" else tls_files.ca_directory
    store = store_for({variable: str(path)})
    for host in ("localhost", "127.0.0.1"):
        assert drained(store.open_read(parse_location(f"https://{host}:{web.tls_port}/a"))) == b"text"


def test_an_unknown_authority_is_refused_with_a_remedy(
    store_for: Callable[..., HttpStore], web: Nginx, tls_files: TlsFiles
) -> None:
    for environment in ({}, {"SSL_CERT_FILE": str(tls_files.wrong_ca)}):
        with pytest.raises(Misconfigured, match="certificate of the server is not trusted") as caught:
            store_for(environment).open_read(parse_location(f"{web.tls_url}/a"))
        assert "SSL_CERT_FILE" in caught.value.remedy


@pytest.mark.parametrize("which", ["expired_server", "misnamed_server"])
def test_a_certificate_that_is_not_right_is_refused(
    store: HttpStore, tmp_path: Path, tls_files: TlsFiles, which: str
) -> None:
    with nginx(tmp_path, tls=tls_files, certificate=getattr(tls_files, which)) as server:
        with pytest.raises(Misconfigured, match="not trusted"):
            store.open_read(parse_location(f"{server.tls_url}/a"))
        assert server.requests() == []


def test_a_client_certificate_is_shown(
    store_for: Callable[..., HttpStore], web: Nginx, tls_files: TlsFiles
) -> None:
    (web.root / "a").write_bytes(b"text")
    trust = {"SSL_CERT_FILE": str(tls_files.ca)}
    location = parse_location(f"{web.tls_url}/client/a")
    bundle = Certificate(str(tls_files.client_bundle), "", name="proxy", origin="a test")
    for certificate in (named(tls_files.client), bundle):
        assert drained(store_for(trust, certificate).open_read(location)) == b"text"
    with pytest.raises(Denied):
        store_for(trust).open_read(location)
    with pytest.raises(TransferError):
        store_for(trust, named(tls_files.stranger)).open_read(location)


def test_a_client_certificate_does_not_follow_to_another_server(
    store_for: Callable[..., HttpStore], web: Nginx, tls_files: TlsFiles, tmp_path: Path
) -> None:
    where = f"https://127.0.0.1:{web.tls_port}/client/a"
    (web.root / "a").write_bytes(b"text")
    moved = answer(b"", f"Location: {where}", status="302 Found")
    store = store_for({"SSL_CERT_FILE": str(tls_files.ca)}, named(tls_files.client))
    assert drained(store.open_read(parse_location(where))) == b"text"
    with scripted(moved, certificate=tls_files.server) as server, pytest.raises(Denied, match="redirected"):
        store.open_read(parse_location(f"{server.url}/a"))


def test_a_redirect_to_plain_http_is_refused(store: HttpStore, web: Nginx) -> None:
    (web.root / "a").write_bytes(b"text")
    with pytest.raises(Unsupported, match="not encrypted"):
        store.open_read(parse_location(f"{web.tls_url}/redir-plain/a"))
    assert drained(store.open_read(parse_location(f"{web.url}/redir-tls/a"))) == b"text"


def test_a_server_without_tls_is_told_from_one_that_is_away(store: HttpStore, web: Nginx) -> None:
    with pytest.raises(Misconfigured, match="TLS failed"):
        store.open_read(parse_location(f"https://localhost:{web.port}/a"))


def test_a_server_that_never_shakes_hands_is_unreachable(
    store_for: Callable[..., HttpStore], web: Nginx, tls_files: TlsFiles
) -> None:
    with fault_proxy(web.tls_port, stall(0)) as proxy, pytest.raises(Unreachable, match="in time"):
        store_for({"SSL_CERT_FILE": str(tls_files.ca)}, stall=0.2, connect=0.2).open_read(
            parse_location(f"https://localhost:{proxy.port}/a")
        )


def test_a_cut_and_a_stall_are_broken(
    store_for: Callable[..., HttpStore], web: Nginx, tls_files: TlsFiles
) -> None:
    (web.root / "a").write_bytes(content(5 * MIB))
    for fault in (cut(3 * MIB), stall(3 * MIB)):
        with fault_proxy(web.tls_port, fault) as proxy, pytest.raises(Broken):
            store = store_for({"SSL_CERT_FILE": str(tls_files.ca)}, stall=0.5, connect=5.0)
            drained(store.open_read(parse_location(f"https://localhost:{proxy.port}/a")))


def test_a_body_without_length_that_is_cut_is_broken(store: HttpStore, tls_files: TlsFiles) -> None:
    """Without TLS's own farewell nobody knows whether it was all."""
    script = [b"HTTP/1.0 200 OK\r\n\r\nis this all?", CLOSE]
    with scripted(script, certificate=tls_files.server) as server, pytest.raises(Broken):
        drained(store.open_read(parse_location(f"{server.url}/a")))


def test_a_stale_connection_is_replaced(wire: Wire, web: Nginx) -> None:
    with fault_proxy(web.tls_port) as proxy:
        origin = origin_of(f"https://localhost:{proxy.port}")[0]
        for _ in range(2):
            assert wire.exchange("PUT", origin, "/put/a", (), b"text").read_all() == b""
            proxy.cut_all()
            upload = wire.upload("PUT", origin, "/put/a", (), 3)
            assert upload.send(b"abc")
            assert upload.finish().status == 204
            proxy.reset_all()


def test_early_and_interim_answers_are_heard(wire: Wire, tls_files: TlsFiles) -> None:
    refusal = [answer(b"too large", status="413 Too Large"), CLOSE]
    interim = [b"HTTP/1.1 102 Processing\r\n\r\n", BODY, answer(b"done")]
    with scripted(refusal, interim, certificate=tls_files.server) as server:
        origin = origin_of(server.url)[0]
        got = wire.exchange("PUT", origin, "/", (), bytes(20 * MIB))
        assert got.status == 413
        got.close()
        assert wire.exchange("PUT", origin, "/", (), bytes(20 * MIB)).read_all() == b"done"
        upload = wire.upload("PUT", origin, "/", (), None, expect=True)
        assert all(upload.send(bytes(MIB)) for _ in range(20))
        assert upload.finish().read_all() == b"done"


class TestSettings:
    def test_what_the_environment_names_must_be_there(self, tmp_path: Path, tls_files: TlsFiles) -> None:
        for variable, path in (
            ("SSL_CERT_FILE", tmp_path / "absent"),
            ("SSL_CERT_FILE", tmp_path),
            ("X509_CERT_DIR", tls_files.ca),
        ):
            with pytest.raises(Misconfigured, match=variable):
                tls_context({variable: str(path)})

    def test_a_file_that_holds_no_certificate_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "ca.pem").write_text("nothing")
        with pytest.raises(Misconfigured, match=r"ca\.pem"):
            tls_context({"SSL_CERT_FILE": str(tmp_path / "ca.pem")})

    def test_a_certificate_that_cannot_be_used_is_named(self, tls_files: TlsFiles) -> None:
        broken = Certificate(
            str(tls_files.client.certificate), str(tls_files.stranger.key), name="me", origin="a test"
        )
        with pytest.raises(Misconfigured, match="credential me"):
            tls_context({}, broken)
        with pytest.raises(Misconfigured, match="credential me"):
            tls_context({}, Certificate("/absent", "", name="me", origin="a test"))

    def test_nobody_is_asked_for_a_pass_phrase(self, tmp_path: Path, tls_files: TlsFiles) -> None:
        locked = tmp_path / "locked.key"
        subprocess.run(
            [
                *("openssl", "pkey", "-in", str(tls_files.client.key), "-aes256"),
                *("-passout", "pass:secret", "-out", str(locked)),
            ],
            check=True,
        )
        with pytest.raises(Misconfigured, match="encrypted"):
            tls_context(
                {}, Certificate(str(tls_files.client.certificate), str(locked), name="me", origin="a test")
            )

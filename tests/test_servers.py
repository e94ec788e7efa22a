"""The servers that the other tests lean on do what their descriptions say."""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from servers import squid as squid_server
from servers.faults import (
    PASS,
    REFUSE,
    SILENT,
    Fault,
    closed_port,
    cut,
    deaf_port,
    fault_proxy,
    flip,
    reset,
    stall,
)
from servers.nginx import BASIC_PASSWORD, BASIC_USER, BEARER_TOKEN, HEADER_TOKEN, STATUSES, Nginx, nginx
from servers.process import binary, free_port
from servers.seaweed import READ_ONLY, UNKNOWN, WRONG_SECRET, Seaweed

if TYPE_CHECKING:
    from servers.squid import Squid
    from servers.tls import TlsFiles
    from servers.unprivileged import Unprivileged

BYTES = bytes(range(256)) * 4096


class Answer:
    """What curl got: its exit code, the last answer's status, head and trailers in lower case, the body."""

    def __init__(self, *arguments: str) -> None:
        command = [binary("curl"), "-s", "-D", "/dev/stderr", "--max-time", "30", "--noproxy", "", *arguments]
        done = subprocess.run(command, check=False, capture_output=True, env={"PATH": os.environ["PATH"]})
        self.exit = done.returncode
        self.body = done.stdout
        *_, self.head = re.split(r"^(?=http/)", done.stderr.decode().lower(), flags=re.MULTILINE)
        self.status = int(self.head.split()[1]) if self.head else 0


@pytest.fixture
def served(web: Nginx) -> Nginx:
    (web.root / "data").write_bytes(BYTES)
    return web


# nginx


@pytest.mark.parametrize(
    "place",
    ["", "/norange", "/novalidator", "/chunked", "/noreuse", "/limited"],
)
def test_nginx_serves_the_same_file_at_every_place(served: Nginx, place: str) -> None:
    answer = Answer(f"{served.url}{place}/data")
    assert (answer.status, answer.body) == (200, BYTES)


def test_nginx_has_ranges_only_where_it_says(served: Nginx) -> None:
    ranges = {
        place: Answer("-r", "5-9", f"{served.url}{place}/data").status
        for place in ("", "/norange", "/chunked")
    }
    assert ranges == {"": 206, "/norange": 200, "/chunked": 200}


def test_nginx_names_a_validator_only_where_it_says(served: Nginx) -> None:
    assert 'etag: "' in Answer(f"{served.url}/data").head
    assert 'etag: w/"' in Answer("--compressed", f"{served.url}/gz/data").head
    head = Answer(f"{served.url}/novalidator/data").head
    assert "etag" not in head
    assert "last-modified" not in head


def test_nginx_sends_no_length_when_chunked(served: Nginx) -> None:
    head = Answer(f"{served.url}/chunked/data").head
    assert "transfer-encoding: chunked" in head
    assert "content-length" not in head
    assert "x-trailer: yes" in head


@pytest.mark.parametrize("status", STATUSES)
def test_nginx_answers_the_status_that_is_asked_for(web: Nginx, status: int) -> None:
    answer = Answer(f"{web.url}/status/{status}/any/name")
    assert answer.status == status
    assert ("retry-after: 1" in answer.head) == (status in (429, 503))


def test_nginx_limits_requests_for_one_name(served: Nginx) -> None:
    answers = [Answer(f"{served.url}/limited/data") for _ in range(3)]
    refused = [answer for answer in answers if answer.status == 429]
    assert answers[0].status == 200
    assert refused
    assert "retry-after: 1" in refused[0].head


@pytest.mark.parametrize(
    ("place", "location"),
    [
        ("/redir/", "{web.url}/a%20b?x=%2f"),
        ("/redir-put/", "{web.url}/put/a%20b?x=%2f"),
        ("/redir-name/", "http://localhost:{web.port}/a%20b?x=%2f"),
        ("/redir-port/", "{web.second_url}/a%20b?x=%2f"),
        ("/redir-tls/", "{web.tls_url}/a%20b?x=%2f"),
        ("/redir-file/", "file:///a%20b?x=%2f"),
        ("/html-login/", "{web.url}/login-page"),
    ],
)
def test_nginx_redirects_with_name_and_query_as_they_came(web: Nginx, place: str, location: str) -> None:
    answer = Answer(f"{web.url}{place}a%20b?x=%2F")
    assert f"\r\nlocation: {location.format(web=web)}\r\n" in answer.head + "\r\n"


def test_nginx_redirects_in_a_loop(web: Nginx) -> None:
    assert Answer("-L", "--max-redirs", "5", f"{web.url}/loop").exit == 47


def test_nginx_drops_a_connection_without_an_answer(web: Nginx) -> None:
    assert Answer(f"{web.url}/drop").exit == 52


def test_nginx_stores_what_is_put(served: Nginx) -> None:
    source = str(served.root / "data")
    assert Answer("-T", source, f"{served.url}/put/new/folder/name").status == 201
    assert (served.root / "put/new/folder/name").read_bytes() == BYTES
    assert Answer("-T", source, f"{served.url}/put-strict/new/folder/name").status == 500
    assert Answer("-T", source, f"{served.url}/put-small/name").status == 413
    assert Answer("-T", source, f"{served.url}/name").status == 405
    assert Answer("-X", "DELETE", f"{served.url}/put/new/folder/name").status == 204
    assert not (served.root / "put/new/folder/name").exists()


def test_nginx_wants_the_credential_of_each_place(served: Nginx) -> None:
    credentials = {
        "/basic/": ["-u", f"{BASIC_USER}:{BASIC_PASSWORD}"],
        "/bearer/": ["-H", f"Authorization: Bearer {BEARER_TOKEN}"],
        "/header/": ["-H", f"X-Token: {HEADER_TOKEN}"],
    }
    for place, shown in credentials.items():
        assert Answer(*shown, f"{served.url}{place}data").status == 200
        assert Answer(f"{served.url}{place}data").status in (401, 403)
    assert Answer("-u", f"{BASIC_USER}:wrong", f"{served.url}/basic/data").status == 401
    assert Answer("-T", str(served.root / "data"), f"{served.url}/put-basic/a").status == 401


def test_nginx_wants_a_client_certificate_of_its_ca(served: Nginx, tls_files: TlsFiles) -> None:
    trusting = ["--cacert", str(tls_files.ca)]
    stranger = ["--cert", str(tls_files.stranger.certificate), "--key", str(tls_files.stranger.key)]
    url = f"{served.tls_url}/client/data"
    assert Answer(*trusting, "--cert", str(tls_files.client_bundle), url).body == BYTES
    assert Answer(*trusting, url).status == 403
    assert Answer(*trusting, *stranger, url).status == 400


def test_server_certificates_fail_for_the_reason_in_their_name(tmp_path: Path, tls_files: TlsFiles) -> None:
    reasons = {"expired_server": "certificate has expired", "misnamed_server": "mismatch"}
    for name, reason in reasons.items():
        with nginx(tmp_path, tls=tls_files, certificate=getattr(tls_files, name)) as server:
            assert reason in _refusal(server, tls_files.ca)
    with nginx(tmp_path, tls=tls_files) as server:
        assert "unable to get local issuer" in _refusal(server, tls_files.wrong_ca)
        assert Answer("--capath", str(tls_files.ca_directory), f"{server.tls_url}/e503").status == 503


def _refusal(server: Nginx, ca: Path) -> str:
    context = ssl.create_default_context(cafile=ca)
    plain = socket.create_connection(("127.0.0.1", server.tls_port))
    with plain, pytest.raises(ssl.SSLCertVerificationError) as caught:
        context.wrap_socket(plain, server_hostname="localhost")
    return str(caught.value)


def test_nginx_tells_which_requests_it_saw(served: Nginx) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port)
    for bounds in ("bytes=0-9", "bytes=10-19"):
        connection.request("GET", "/data?a=b", headers={"Range": bounds, "Authorization": "Basic eA=="})
        connection.getresponse().read()
    connection.close()
    seen = served.requests()
    assert [(one.method, one.target, one.status, one.range, one.sent, one.authorization) for one in seen] == [
        ("GET", "/data?a=b", 206, "bytes=0-9", 10, "Basic eA=="),
        ("GET", "/data?a=b", 206, "bytes=10-19", 10, "Basic eA=="),
    ]
    assert served.connections() == 1
    served.forget()
    assert served.requests() == []


# The fault proxy


@pytest.mark.parametrize(
    ("fault", "exit_code", "received"),
    [
        (PASS, 0, len(BYTES)),
        (cut(0), 52, 0),
        (cut(0, body=True), 18, 0),
        (cut(100_001, body=True), 18, 100_001),
        (reset(100_001, body=True), 56, 100_001),
        (cut(len(BYTES), body=True), 0, len(BYTES)),
    ],
)
def test_a_fault_strikes_at_its_byte(served: Nginx, fault: Fault, exit_code: int, received: int) -> None:
    with fault_proxy(served.port, fault) as proxy:
        answer = Answer(f"{proxy.url}/data")
    assert (answer.exit, answer.body) == (exit_code, BYTES[:received])


def test_one_byte_is_flipped_and_no_other(served: Nginx) -> None:
    with fault_proxy(served.port, flip(777_777, body=True)) as proxy:
        body = Answer(f"{proxy.url}/data").body
    assert [(at, body[at] ^ BYTES[at]) for at in range(len(BYTES)) if body[at] != BYTES[at]] == [
        (777_777, 0x10)
    ]


def test_a_refused_connection_is_reset_at_once(served: Nginx) -> None:
    with fault_proxy(served.port, REFUSE) as proxy:
        # The reset may be there before connecting is over.
        with (
            pytest.raises(ConnectionError),
            socket.create_connection(("127.0.0.1", proxy.port), timeout=30) as client,
        ):
            client.recv(1)
        assert (proxy.bytes_up, proxy.bytes_down) == (0, 0)
    assert served.requests() == []


@pytest.mark.parametrize("fault", [SILENT, stall(0), stall(1000), stall(1000, body=True)])
def test_a_stalled_connection_stays_open(served: Nginx, fault: Fault) -> None:
    with (
        fault_proxy(served.port, fault) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port)) as client,
    ):
        client.sendall(b"GET /data HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b""
        while len(received) < fault.at or (fault.body and len(received.partition(b"\r\n\r\n")[2]) < fault.at):
            received += client.recv(65536)
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(1)


def test_only_the_first_connections_are_faulty(served: Nginx) -> None:
    with fault_proxy(served.port, cut(0), first=2) as proxy:
        assert [Answer(f"{proxy.url}/data").exit for _ in range(3)] == [52, 52, 0]
        assert (proxy.connections, proxy.faulty) == (3, 2)
        proxy.inject(cut(0))
        assert Answer(f"{proxy.url}/data").exit == 52


@pytest.mark.parametrize("kind", [cut, reset])
def test_an_upload_is_broken_at_its_byte(served: Nginx, kind: type[Fault]) -> None:
    with fault_proxy(served.port, kind(50_000, body=True, upward=True)) as proxy:
        assert Answer("-T", str(served.root / "data"), f"{proxy.url}/put/name").exit in (52, 55, 56)
        assert 50_000 < proxy.bytes_up < 51_000
    assert not (served.root / "put/name").exists()


def test_an_uploaded_byte_is_flipped(served: Nginx) -> None:
    with fault_proxy(served.port, flip(50_000, body=True, upward=True)) as proxy:
        assert Answer("-T", str(served.root / "data"), f"{proxy.url}/put/name").status == 201
    stored = (served.root / "put/name").read_bytes()
    assert [at for at in range(len(BYTES)) if stored[at] != BYTES[at]] == [50_000]


def test_idle_connections_are_closed_when_told(served: Nginx) -> None:
    with fault_proxy(served.port) as proxy:
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port)
        connection.request("GET", "/data")
        assert connection.getresponse().read() == BYTES
        proxy.cut_all()
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            connection.request("GET", "/data")
            connection.getresponse()
        connection.close()
        assert Answer(f"{proxy.url}/data").exit == 0


def test_delay_and_rate_lose_nothing(served: Nginx) -> None:
    with fault_proxy(served.port, delay_ms=5, rate=20_000_000) as proxy:
        assert Answer(f"{proxy.url}/data").body == BYTES
        assert proxy.bytes_down > len(BYTES)


def test_a_closed_port_refuses_and_a_deaf_one_says_nothing() -> None:
    with closed_port() as port, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=30)
    with deaf_port() as port, pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", port), timeout=0.3)


# The others


def test_squid_passes_requests_and_tunnels(served: Nginx, proxy: Squid, tls_files: TlsFiles) -> None:
    before = len(proxy.passed())
    tunnelled = ["--cacert", str(tls_files.ca), f"{served.tls_url}/data"]
    assert Answer("-x", proxy.url, f"{served.url}/data").body == BYTES
    assert Answer("-x", proxy.url, *tunnelled).body == BYTES
    assert [one.method for one in proxy.passed(before + 2)[before:]] == ["GET", "CONNECT"]


def test_squid_asks_for_the_password_on_its_other_port(served: Nginx, proxy: Squid) -> None:
    known = ["-U", f"{squid_server.USER}:{squid_server.PASSWORD}"]
    url = f"{served.url}/data"
    assert Answer("-x", proxy.authenticated_url, url).status == 407
    assert Answer("-x", proxy.authenticated_url, "-U", f"{squid_server.USER}:wrong", url).status == 407
    assert Answer("-x", proxy.authenticated_url, *known, url).body == BYTES


def test_seaweed_stores_and_refuses(s3: Seaweed, bucket: str) -> None:
    errors = pytest.importorskip("botocore.exceptions")
    s3.client().put_object(Bucket=bucket, Key="name", Body=BYTES)
    assert s3.client(READ_ONLY).get_object(Bucket=bucket, Key="name")["Body"].read() == BYTES
    refused = {
        READ_ONLY: "AccessDenied",
        WRONG_SECRET: "SignatureDoesNotMatch",
        UNKNOWN: "InvalidAccessKeyId",
    }
    for keys, code in refused.items():
        with pytest.raises(errors.ClientError, match=code):
            s3.client(keys).put_object(Bucket=bucket, Key="other", Body=b"")
    with pytest.raises(errors.ClientError, match="NoSuchBucket"):
        s3.client().put_object(Bucket=f"{bucket}-absent", Key="name", Body=b"")


def test_seaweed_listens_with_tls_too(s3: Seaweed, tls_files: TlsFiles) -> None:
    assert Answer("--cacert", str(tls_files.ca), f"{s3.tls_endpoint}/").status == 403


def test_a_missing_server_is_skipped_and_listed_at_the_end(tmp_path: Path) -> None:
    done = _run_a_test_without_its_server(tmp_path, CI="")
    *_, listed, closing = filter(None, done.stdout.splitlines())
    assert done.returncode == 0
    assert "1 could not run; enable with: sudo make servers" in done.stdout
    assert listed == "test_it.py::test_it (no-such-server)"
    assert "1 skipped" in closing


def test_a_missing_server_is_a_failure_in_ci(tmp_path: Path) -> None:
    done = _run_a_test_without_its_server(tmp_path, CI="true")
    assert done.returncode == 1
    assert "no-such-server is not installed; enable with: sudo make servers" in done.stdout


def _run_a_test_without_its_server(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "pytest.ini").write_text(f"[pytest]\npythonpath = {Path(__file__).parent}\n")
    (folder / "conftest.py").write_text("from servers.fixtures import pytest_terminal_summary\n")
    (folder / "test_it.py").write_text(
        "from servers.process import binary\n\ndef test_it():\n    binary('no-such-server')\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    return subprocess.run(
        command, check=False, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True
    )


def test_ports_are_given_out_once() -> None:
    ports = [free_port(10_000) for _ in range(50)]
    assert len({port + distance for port in ports for distance in (0, 10_000)}) == 100


def test_an_unprivileged_user_is_denied(unprivileged: Unprivileged) -> None:
    closed = unprivileged.folder / "closed"
    closed.write_text("secret")
    closed.chmod(0)
    unprivileged.give(closed)
    reading = "import sys, wf.checksum.digest; open(sys.argv[1])"
    done = unprivileged.run([unprivileged.python, "-c", reading, closed])
    assert b"PermissionError" in done.stderr

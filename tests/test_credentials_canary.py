"""A canary in the place of every secret: whatever a command does and however it fails, nobody ever sees one."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from credentials_made import certificate, private, proxy, token
from servers.nginx import Nginx
from servers.oauth import OAuth, oauth
from servers.seaweed import Seaweed
from servers.tls import TlsFiles

CANARY = f"c4n4ry{os.urandom(4).hex()}"
"""Of this process alone: others run tests too, and their arguments are looked at."""
PLANTED = "planted"
"""The folder of the files that hold canaries: the only place where one may be."""


def canary(name: str) -> str:
    return f"{CANARY}-{name}"


def seen_in(text: bytes) -> bool:
    """Whether a canary is there, as it is or inside Base64 at any of the three alignments."""
    plain = CANARY.encode()
    inside = (
        base64.b64encode(b"\0" * shift + plain)[-(-shift * 8 // 6) : (shift + len(plain)) * 8 // 6]
        for shift in range(3)
    )
    return plain in text or any(piece in text for piece in inside)


class Echo(NamedTuple):
    """A server that refuses everything and repeats all that it was told."""

    url: str
    heard: list[str]


@contextlib.contextmanager
def echo(status: int) -> Iterator[Echo]:
    heard: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = f"refused: {self.requestline}\n{self.headers}"
            how, _, value = self.headers.get("Authorization", "").partition(" ")
            if how == "Basic":
                text = f"wrong user and password {base64.b64decode(value).decode()}\n{text}"
            heard.append(text)
            self.send_response(status, "No")
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text.encode())

        do_HEAD = do_PUT = do_DELETE = do_GET

        def log_message(self, text: str, *values: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield Echo(f"http://127.0.0.1:{server.server_address[1]}", heard)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(30)


class Place:
    """A folder for one command, with canaries in every secret it may meet."""

    def __init__(self, folder: Path, tls: TlsFiles) -> None:
        self.folder = folder / "job"
        self.planted = folder / PLANTED
        self.folder.mkdir()
        self.planted.mkdir()
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.planted),
            "TMPDIR": str(folder / "job"),
            "SSL_CERT_FILE": str(tls.ca),
            "LC_ALL": "C.UTF-8",
            "PEGASUS_MULTIPART_DIR": "records",
            "KICKSTART_INTEGRITY_DATA": "integrity.yml",
        }
        (self.folder / "records").mkdir()
        (self.folder / "data").write_bytes(b"data")

    def file(self, name: str, text: str) -> str:
        path = self.planted / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return str(private(path, text))

    def run(
        self, *arguments: str, batch: object = None, program: str = "wf.transfer.cli"
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs the command, looking at all processes meanwhile; then looks at everything that is left."""
        if batch is not None:
            self.file("batch.json", json.dumps(batch))
        command = [sys.executable, "-m", program, *arguments]
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        ended = threading.Event()
        caught: list[bytes] = []
        watcher = threading.Thread(target=_watch, args=(ended, caught))
        watcher.start()
        try:
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
            ended.set()
            watcher.join(30)
        assert caught == []
        texts = {"stdout": out, "stderr": err}
        for path in self.folder.rglob("*"):
            texts[f"the name {path}"] = os.fsencode(path)
            if path.is_file():
                texts[str(path)] = path.read_bytes()
        assert [name for name, text in texts.items() if seen_in(text)] == [], (out + err).decode()
        assert b"Traceback" not in err and b"a defect" not in err, err.decode()
        return subprocess.CompletedProcess(command, process.returncode, out, err)


def _watch(ended: threading.Event, caught: list[bytes]) -> None:
    """Reads the arguments of every process until `ended`, at least once."""
    while True:
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with contextlib.suppress(OSError):
                    arguments = Path(f"/proc/{entry}/cmdline").read_bytes()
                    if CANARY.encode() in arguments:
                        caught.append(arguments)
        if ended.wait(0.005):
            return


REPORTS = (
    *("--result", "result.json", "--events", "events.jsonl", "--metrics-file", "metrics.prom"),
    *("--manifest", "sums", "-d", "-m", "2"),
)


@pytest.fixture
def place(tmp_path: Path, tls_files: TlsFiles) -> Place:
    return Place(tmp_path, tls_files)


@pytest.fixture
def service(tls_files: TlsFiles) -> Iterator[OAuth]:
    with oauth(tls_files.server) as server:
        yield server


def authority(url: str) -> str:
    return url.partition("://")[2]


def transfer(number: int, source: str, destination: str = "", site: str = "here") -> dict[str, Any]:
    return {
        "type": "transfer",
        "id": number,
        "lfn": f"f{number}",
        "src_urls": [{"site_label": site, "url": source, "priority": 1}],
        "dest_urls": [{"site_label": site, "url": destination or f"out/{number}", "priority": 1}],
    }


def plant(
    place: Place, web: Nginx, s3: Seaweed, service: OAuth, others: tuple[Echo, ...]
) -> list[dict[str, Any]]:
    """Secrets of every kind, and a batch that presents them where they are refused in every way."""
    plain, encrypted = authority(web.url), authority(web.tls_url)
    conf = (
        f"[{plain}]\nusername = u\npassword = {canary('password')}\n"
        f"[https://{encrypted}]\nheader.X-Token = {canary('header')}\n"
        f"[store]\nendpoint = {s3.endpoint}\n"
        f"[a@store]\naccess_key = {s3.admin.access}\nsecret_key = {canary('secret-key')}\n"
        f"[b@store]\naccess_key = {CANARY}AK\nsecret_key = x\nsession_token = {canary('session-token')}\n"
        f"[half@store]\nsecret_key = {canary('half')}\n"
        f"[127.0.0.1:1]\ntoken = {canary('unreachable')}\n"
    )
    for number, other in enumerate(others):
        conf += f"[{authority(other.url)}]\n"
        if number:
            conf += f"header.X-Echo = {canary('echo')}\ntoken = {canary('echoed-token')}\n"
        else:
            conf += f"username = u\npassword = {canary('echoed-password')}\n"
    toml = (
        f'[host."{service.authority}".oauth]\ntoken-url = "{service.token_url}"\nclient-id = "client-1"\n'
        f'client-secret = "{canary("client-secret")}"\nrefresh-token = "{canary("refresh-token")}"\n'
        f'[site.fails]\ntoken-command = ["{sys.executable}", "{place.file("fails.py", _FAILS)}"]\n'
        f'[site.chatters]\ntoken-command = ["{sys.executable}", "{place.file("chatters.py", _CHATTERS)}"]\n'
    )
    place.environment |= {
        "PEGASUS_CREDENTIALS": place.file("c.conf", conf),
        "WF_CREDENTIALS": place.file("c.toml", toml),
        "PEGASUS_CREDENTIALS_open": place.file("open.conf", f"[open]\ntoken = {canary('open')}\n"),
        "PEGASUS_CREDENTIALS_broken": place.file("broken.conf", f"[a]\n{canary('no-key')}\n"),
        "WF_CREDENTIALS_misspelt": place.file("odd.toml", f'[site.misspelt]\nwrong = "{canary("wrong")}"\n'),
        "BEARER_TOKEN_bearer": canary("bearer"),
        "BEARER_TOKEN_spaces": f"{canary('one')} {canary('two')}",
        "BEARER_TOKEN_FILE_file": place.file("token", token(jti=canary("jwt"))),
        "_CONDOR_CREDS": str(place.planted / "creds"),
        "AWS_ACCESS_KEY_ID_wrong": s3.admin.access,
        "AWS_SECRET_ACCESS_KEY_wrong": canary("aws-secret"),
        "AWS_SESSION_TOKEN_wrong": canary("aws-session"),
        "AWS_ENDPOINT_URL_wrong": s3.endpoint,
        "AWS_SECRET_ACCESS_KEY_alone": canary("alone"),
        "AWS_ENDPOINT_URL_pw": f"http://u:{canary('endpoint')}@127.0.0.1",
        "GLOBUS_CLIENT_ID_g": "c",
        "GLOBUS_CLIENT_SECRET_g": canary("globus"),
        "IRODS_ENVIRONMENT_FILE_i": place.file("irods", json.dumps({"irodsPassword": canary("irods")})),
        "GOOGLE_APPLICATION_CREDENTIALS_g": place.file("g", json.dumps({"type": "x", "k": canary("google")})),
        "SSH_PRIVATE_KEY_k": place.file("key", f"-----BEGIN OPENSSH PRIVATE KEY-----\n{canary('ssh')}\n"),
        "X509_USER_PROXY_odd": place.file("odd.pem", f"-----BEGIN PRIVATE KEY-----\n{canary('pem')}\n"),
        "http_proxy": "",
    }
    (place.planted / "open.conf").chmod(0o644)
    place.file("creds/condor.use", json.dumps({"access_token": canary("condor")}))
    place.file(".netrc", f"machine localhost login u password {canary('netrc')}\n")
    sources = [
        (f"{web.url}/status/404?X-Amz-Signature={canary('signature')}&token={canary('query')}", ""),
        (f"{web.url}/basic/f", ""),
        (f"{web.url}/status/403", ""),
        (f"{web.tls_url}/header/f", ""),
        (f"{web.tls_url}/bearer/f", "bearer"),
        (f"{web.tls_url}/redir-name/f", "bearer"),
        (f"http://localhost:{web.port}/basic/f", ""),
        (f"{web.url}/redir-port/f", ""),
        (f"http://me:{canary('url')}@{plain}/basic/f", ""),
        (f"http://me:{canary('nobody')}@127.0.0.1:1/f", ""),
        (f"https://127.0.0.1:{web.tls_port}/status/401", "spaces"),
        (f"{web.tls_url}/bearer/f", "file"),
        (f"{web.tls_url}/bearer/f", "condor"),
        (f"{web.tls_url}/bearer/f", "open"),
        (f"{web.tls_url}/bearer/f", "broken"),
        (f"{web.tls_url}/bearer/f", "odd"),
        (f"{web.tls_url}/bearer/f", "misspelt"),
        (f"https://localhost:{web.tls_port}/f", "fails"),
        (f"https://localhost:{web.tls_port}/f", "chatters"),
        ("http://127.0.0.1:1/f", ""),
        (f"{service.url}/data/f", ""),
        *((f"s3://{user}/bucket/key", "") for user in ("a@store", "b@store", "half@store", "x@wrong", "y@alone", "z@pw")),
        *((f"{other.url}/f", "") for other in others),
        ("gs://bucket/f", "g"),
        ("globus://uuid/f", "g"),
        ("irods:///zone/f", "i"),
        ("scp://a@h/f", "k"),
        (f"ftp://u:{canary('ftp')}@127.0.0.1:1/f", ""),
    ]  # fmt: skip
    batch = [transfer(number, url, site=site or "here") for number, (url, site) in enumerate(sources)]
    first = len(batch)
    for number, url in enumerate(
        (f"{web.url}/put-basic/f", "s3://a@store/bucket/new", *(f"{other.url}/f" for other in others)), first
    ):
        batch.append(transfer(number, "data", url))
    batch.append({"type": "mkdir", "id": 98, "target": {"site_label": "x", "url": "s3://a@store/new-bucket"}})
    batch.append(
        {
            "type": "remove",
            "id": 99,
            "target": {"site_label": "x", "url": f"{web.url}/put-basic/f", "recursive": False},
        }
    )
    return batch


_FAILS = f"import sys; print('{CANARY}-printed'); sys.exit('{CANARY}-complained')\n"
_CHATTERS = f"print('{CANARY}-one {CANARY}-two')\n"


def test_a_canary_is_found_wherever_it_is() -> None:
    for text in (
        canary("x"),
        *(base64.b64encode(f"{'u' * n}:{canary('x')}".encode()).decode() for n in range(4)),
    ):
        assert seen_in(f"abc {text} def".encode())
    assert not seen_in(b"a canary that is none")


def test_no_failing_batch_shows_a_secret(place: Place, web: Nginx, s3: Seaweed, service: OAuth) -> None:
    service.answer = (400, {"error": "invalid_grant", "error_description": canary("description")})
    (web.root / "f").write_bytes(b"x")
    with echo(401) as first, echo(403) as second, echo(500) as third:
        batch = plant(place, web, s3, service, (first, second, third))
        done = place.run("-f", f"../{PLANTED}/batch.json", *REPORTS, batch=batch)
        assert any(canary("echo") in text for text in second.heard)
    document = json.loads((place.folder / "result.json").read_text())
    assert done.returncode in (1, 77)
    statuses = [request["status"] for request in document["requests"]]
    assert len(statuses) == len(batch) and statuses.count("failed") > 30
    codes = {request["error"]["code"] for request in document["requests"] if request["error"]}
    assert codes >= {"denied", "missing-credential", "configuration", "unreachable", "not-found"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("--dry-run",),
        ("--dry-run", "--json", "-d"),
        ("--check-credentials",),
        ("--check-credentials", "--json", "--online"),
        ("--check-credentials", "--insecure-credentials", "-d"),
        ("--dry-run", "--fix-permissions"),
    ],
    ids=" ".join,
)
def test_no_look_ahead_shows_a_secret(
    place: Place, web: Nginx, s3: Seaweed, service: OAuth, arguments: tuple[str, ...]
) -> None:
    with echo(403) as other:
        batch = plant(place, web, s3, service, (other,))
        done = place.run("-f", f"../{PLANTED}/batch.json", *arguments, batch=batch)
    assert done.stdout


@pytest.mark.parametrize("word", ["cp", "ls", "stat", "mkdir", "rm"])
def test_no_command_for_people_shows_a_secret(
    place: Place, web: Nginx, s3: Seaweed, service: OAuth, word: str
) -> None:
    with echo(403) as other:
        plant(place, web, s3, service, (other,))
        for url in (f"{web.url}/basic/f", "s3://a@store/bucket/key", "s3://half@store/b/k", f"{other.url}/f"):
            more = ("out-of-cp",) if word == "cp" else ()
            assert place.run(word, "-d", url, *more).returncode != 0


@pytest.mark.parametrize(
    "arguments", [("doctor",), ("doctor", "--json"), ("protocols",), ("--version",)], ids=" ".join
)
def test_no_answer_about_the_installation_shows_a_secret(
    place: Place, web: Nginx, s3: Seaweed, service: OAuth, arguments: tuple[str, ...]
) -> None:
    plant(place, web, s3, service, ())
    place.environment["https_proxy"] = f"http://u:{canary('proxy')}@127.0.0.1:1"
    assert place.run(*arguments).stdout


def test_a_success_shows_no_secret_either(
    place: Place, service: OAuth, tls_files: TlsFiles, tmp_path: Path
) -> None:
    service.rotates = True
    service.files["/data/f"] = b"x"
    toml = (
        f'[host."{service.authority}".oauth]\ntoken-url = "{service.token_url}"\nclient-id = "client-1"\n'
        'refresh-token = "canary-refresh-0"\n'
    )
    place.environment["WF_CREDENTIALS"] = place.file("c.toml", toml)
    done = place.run("-f", f"../{PLANTED}/batch.json", *REPORTS, batch=[transfer(0, f"{service.url}/data/f")])
    assert done.returncode == 0, done.stderr
    for path in place.folder.rglob("*"):
        if path.is_file():
            assert b"canary-" not in path.read_bytes(), path
    assert b"canary-" not in done.stdout + done.stderr


def test_the_key_of_a_proxy_is_shown_nowhere(place: Place, web: Nginx, tmp_path: Path) -> None:
    certificate(tmp_path, "user", "/CN=Alice")
    path = proxy(tmp_path, "user", "proxy")
    place.environment["X509_USER_PROXY_here"] = str(path)
    secret = (tmp_path / "proxy.key").read_text().splitlines()[1]
    batch = [transfer(0, f"{web.tls_url}/client/f")]
    done = place.run("-f", f"../{PLANTED}/batch.json", *REPORTS, batch=batch)
    assert done.returncode != 0
    for text in (done.stdout, done.stderr, *(p.read_bytes() for p in place.folder.rglob("*") if p.is_file())):
        assert secret.encode() not in text


@pytest.mark.parametrize("arguments", [(), ("--json",), ("-c",)], ids=str)
def test_no_checksum_command_shows_a_secret(
    place: Place, web: Nginx, s3: Seaweed, service: OAuth, arguments: tuple[str, ...]
) -> None:
    with echo(403) as other:
        plant(place, web, s3, service, (other,))
        urls = (f"{web.url}/basic/f", "s3://a@store/bucket/key", f"{other.url}/f")
        done = place.run(*arguments, *urls, program="wf.checksum.cli")
    assert done.returncode != 0 and done.stderr

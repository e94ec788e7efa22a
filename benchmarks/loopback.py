"""The servers that all contenders talk to, on 127.0.0.1: nginx for HTTP and HTTPS, and nginx that answers as S3 does.

The S3 double checks no signature and no digest: the cheaper the server, the more of a figure is the client's. It
stores what is put, a part of a multipart upload as a file of its own, so that the content can be checked.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from servers.process import Daemon, binary, free_port
from servers.tls import TlsFiles, make_tls_files

if TYPE_CHECKING:
    from collections.abc import Iterator

CIPHER = "TLS_AES_128_GCM_SHA256"
BUCKET = "bucket"
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKBENCHMARK",
    "AWS_SECRET_ACCESS_KEY": "benchmark+secret",
    "AWS_REGION": "us-east-1",
}


class Web(NamedTuple):
    """One nginx. Files below `root` are at `url` and `tls_url`; buckets below `store` at `s3` and `tls_s3`."""

    root: Path
    store: Path
    parts: Path
    """A part of `bucket/key` is `bucket/key/NUMBER` below this."""
    port: int
    s3_port: int
    hosts: list[int]
    """Nine more ports with the same files."""
    busy: int
    """A port that answers 503."""
    url: str
    tls_url: str
    s3: str
    tls_s3: str
    tls: TlsFiles

    def knows(self, key: str, path: Path) -> None:
        """HEAD of an object answers as if it had the content of `path`: the double puts no parts together."""
        head = self.store.parent / "heads" / BUCKET / key
        head.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, head)

    def stored(self, key: str) -> list[Path]:
        """The files that make up an object, in order: itself, or its parts."""
        whole = self.store / BUCKET / key
        if whole.exists():
            return [whole]
        return sorted((self.parts / BUCKET / key).iterdir(), key=lambda path: int(path.name))


@contextlib.contextmanager
def web(folder: Path) -> Iterator[Web]:
    """A running nginx with two workers, everything that it writes below `folder`."""
    for name in ("root", "store", "parts", "run", "tls", f"store/{BUCKET}"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    tls = make_tls_files(folder / "tls")
    ports = [free_port() for _ in range(4)]
    hosts, busy = [free_port() for _ in range(9)], free_port()
    configuration = folder / "run/nginx.conf"
    configuration.write_text(_configuration(folder, ports, hosts, busy, tls))
    command = [
        binary("nginx"),
        "-e",
        f"{folder}/run/error.log",
        "-p",
        f"{folder}/run/",
        "-c",
        str(configuration),
    ]
    daemon = Daemon(command, port=ports[0], log=folder / "run/output.log")
    urls = (f"http://127.0.0.1:{ports[0]}", f"https://localhost:{ports[1]}")
    services = (f"http://127.0.0.1:{ports[2]}", f"https://localhost:{ports[3]}")
    places = (folder / "root", folder / "store", folder / "parts")
    try:
        yield Web(*places, ports[0], ports[2], hosts, busy, *urls, *services, tls)
    finally:
        daemon.stop()


_STARTED = (
    '<?xml version="1.0" encoding="UTF-8"?><InitiateMultipartUploadResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    "<Bucket>bucket</Bucket><Key>key</Key><UploadId>upload</UploadId></InitiateMultipartUploadResult>"
)
_COMPLETED = (
    '<?xml version="1.0" encoding="UTF-8"?><CompleteMultipartUploadResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    '<Location>l</Location><Bucket>bucket</Bucket><Key>key</Key><ETag>"etag-1"</ETag></CompleteMultipartUploadResult>'
)


def _configuration(folder: Path, ports: list[int], hosts: list[int], busy: int, tls: TlsFiles) -> str:
    temporary = "".join(
        f"client_body_temp_path {folder}/run/b;\n"
        if kind == "client_body"
        else f"{kind}_temp_path {folder}/run/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    secure = (
        f"ssl_certificate {tls.server.certificate}; ssl_certificate_key {tls.server.key};"
        f"ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites {CIPHER};"
    )
    store = f"""
        root {folder}/store;
        location / {{
            if ($request_method = POST) {{ return 200 '$post_answer'; }}
            if ($request_method = HEAD) {{ rewrite ^(.*)$ /heads$1 last; }}
            if ($arg_partNumber) {{ rewrite ^(.*)$ /parts$1/$arg_partNumber last; }}
            dav_methods PUT DELETE; create_full_put_path on;
            add_header ETag $put_etag always;
        }}
        location /heads/ {{ internal; root {folder}; }}
        location /parts/ {{
            internal;
            alias {folder}/parts/;
            dav_methods PUT DELETE; create_full_put_path on;
            add_header ETag '"00000000000000000000000000000000"' always;
        }}
    """
    more = "".join(f"listen 127.0.0.1:{port};" for port in hosts)
    return f"""
worker_processes 2; daemon off; user root; pid {folder}/run/pid; error_log {folder}/run/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    {temporary}
    types {{ }} default_type application/octet-stream;
    sendfile on; tcp_nodelay on; client_max_body_size 0; keepalive_requests 1000000;
    map $arg_uploadId $post_answer {{ '' '{_STARTED}'; default '{_COMPLETED}'; }}
    map $request_method $put_etag {{ PUT '"00000000000000000000000000000000"'; default ''; }}
    server {{ listen 127.0.0.1:{ports[0]}; {more} root {folder}/root; }}
    server {{ listen 127.0.0.1:{busy}; return 503; }}
    server {{ listen 127.0.0.1:{ports[1]} ssl; {secure} root {folder}/root; }}
    server {{ listen 127.0.0.1:{ports[2]}; {store} }}
    server {{ listen 127.0.0.1:{ports[3]} ssl; {secure} {store} }}
}}
"""


@contextlib.contextmanager
def relay(port: int, *, milliseconds: float = 25.0) -> Iterator[int]:
    """The port of a relay to `port`, in a process of its own, that adds that much in each direction."""
    command = [sys.executable, str(HERE / "relay.py"), str(port), str(milliseconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(json.loads(process.stdout.readline()))
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()

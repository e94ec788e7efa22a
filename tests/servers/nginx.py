"""nginx with the habits, good and bad, of the HTTP servers that transfers meet.

`root` is served at `/`. Each place below shows the same files (`/slow/a` is `root/a`) unless it says otherwise:

====================  ==================================================================================
place                 habit
====================  ==================================================================================
`/`                   static files with ranges, strong ETag, Last-Modified, keep-alive; PUT is 405
`/list/`              folder index as HTML
`/put/`               PUT, DELETE, MKCOL, COPY, MOVE below `root/put`, parents are created
`/put-strict/`        the same below `root/put-strict`; a missing parent is 500, as nginx has it
`/put-small/`         PUT below `root/put-small`, more than 1 KiB is 413
`/norange/`           answers a Range request with 200 and everything
`/novalidator/`       neither ETag nor Last-Modified
`/chunked/`           chunked, no Content-Length, no ranges, with the trailer field X-Trailer: yes
`/gz/`                compresses for whoever accepts gzip: weak ETag, no length, no ranges
`/slow/`              100 kB/s a connection
`/limited/`           one request a second for one name, else 429 with Retry-After: 1
`/noreuse/`           Connection: close after each answer
`/basic/`             basic authentication, BASIC_USER and BASIC_PASSWORD
`/put-basic/`         the same for PUT and DELETE below `root/put-basic`
`/bearer/`            Authorization: Bearer BEARER_TOKEN, else 401
`/header/`            X-Token: HEADER_TOKEN, else 403
`/client/`            a client certificate of the test CA, else 403; on the TLS port
`/redir/`             307 to the same name at `/`; `/redir301/`, `/redir302/`, `/redir303/`, `/redir308/` too
`/redir-put/`         307 to `/put/`
`/redir-name/`        302 to `http://localhost:port/`: another host name
`/redir-port/`        302 to the second plain port: another server
`/redir-tls/`         302 to the TLS port; `/redir-plain/` from there to the plain one
`/redir-file/`        302 to a file: URL
`/loop`               302 to itself
`/html-login/`        302 to `/login-page`, an HTML page with status 200 in place of every file
`/status/NNN`         that status, with Retry-After: 1 for 429 and 503; any method
`/e503`               503 with Retry-After: 1
`/drop`               closes the connection without an answer
====================  ==================================================================================
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .process import Daemon, binary, free_port, short_temporary_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .tls import Pair, TlsFiles

BASIC_USER = "alice"
BASIC_PASSWORD = "open:sesame"
BEARER_TOKEN = "bearer-token-123"
HEADER_TOKEN = "header-token-456"

STATUSES = (400, 401, 403, 404, 409, 410, 412, 416, 418, 422, 429, 451, 500, 501, 502, 503, 504, 507)


class Seen(NamedTuple):
    """One request as the access log has it. Texts are empty where the client sent no such header."""

    connection: int
    """The same number is the same connection."""
    method: str
    target: str
    """Path and query as they came."""
    status: int
    range: str
    sent: int
    """Body bytes of the answer that went out."""
    port: int
    authorization: str
    accept_encoding: str
    if_range: str
    expect: str
    host: str
    agent: str
    tls: str


class Nginx:
    """A running server. `url` and `tls_url` have no slash at the end; `tls_url` is empty without certificates."""

    def __init__(
        self, root: Path, port: int, second_port: int, tls_port: int, log: Path, daemon: Daemon
    ) -> None:
        self.root = root
        self.port = port
        self.second_port = second_port
        self.tls_port = tls_port
        self.daemon = daemon
        self.url = f"http://127.0.0.1:{port}"
        self.second_url = f"http://127.0.0.1:{second_port}"
        """The same places on another port."""
        self.tls_url = f"https://localhost:{tls_port}" if tls_port else ""
        self._log = log
        self._marks = 0
        self._forgotten = 0

    def requests(self) -> list[Seen]:
        """All requests that were finished when this was called, oldest first, since the last `forget()`.

        A request whose client went away, or whose body was not read, may come a moment later.
        """
        return self._read()[self._forgotten :]

    def connections(self) -> int:
        """How many connections those requests came over."""
        return len({seen.connection for seen in self.requests()})

    def forget(self) -> None:
        """Starts the list of requests anew."""
        self._forgotten = len(self._read())

    def _read(self) -> list[Seen]:
        # One worker writes the log in the order in which requests end: what is before our own mark is complete.
        self._marks += 1
        mark = f"/log-mark-{self._marks}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.open(f"{self.url}{mark}", timeout=30).close()
        deadline = time.monotonic() + 30
        while mark not in (text := self._log.read_text(errors="surrogateescape")):
            if time.monotonic() > deadline:
                raise RuntimeError(f"nginx did not log {mark}")
            time.sleep(0.005)
        seen = [Seen(**json.loads(line)) for line in text.splitlines()]
        return [one for one in seen if not one.target.startswith("/log-mark-")]


@contextlib.contextmanager
def nginx(
    root: Path,
    *,
    tls: TlsFiles | None = None,
    certificate: Pair | None = None,
    extra: str = "",
    modules: Sequence[str] = (),
) -> Iterator[Nginx]:
    """A server for the files below `root`, as the user who runs the tests.

        With `tls` there is a TLS port too, whose certificate is `certificate` or else `tls.server`. `extra` is nginx
    configuration for inside its `server` blocks, `modules` the paths of dynamic modules.
    """
    program = binary("nginx")
    port, second_port = free_port(), free_port()
    tls_port = free_port() if tls else 0
    with short_temporary_directory() as name:
        run = Path(name)
        for writable in ("put", "put-strict", "put-small", "put-basic"):
            (root / writable).mkdir(parents=True, exist_ok=True)
        (run / "passwords").write_text(f"{BASIC_USER}:{{SHA}}{_sha1(BASIC_PASSWORD)}\n")
        (run / "places.conf").write_text(_places(root, run, port, second_port, tls_port) + extra)
        listeners = _plain(run, port, second_port)
        if tls:
            listeners += _encrypted(root, run, tls_port, tls, certificate or tls.server)
        (run / "nginx.conf").write_text(_frame(run, listeners, modules))
        command = [program, "-e", f"{run}/error.log", "-p", f"{run}/", "-c", f"{run}/nginx.conf"]
        daemon = Daemon(command, port=port, log=run / "output.log")
        try:
            yield Nginx(root, port, second_port, tls_port, run / "access.log", daemon)
        finally:
            daemon.stop()


def _sha1(password: str) -> str:
    return base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()


_LOG_FIELDS = {
    "connection": "$connection",
    "method": '"$request_method"',
    "target": '"$request_uri"',
    "status": "$status",
    "range": '"$http_range"',
    "sent": "$body_bytes_sent",
    "port": "$server_port",
    "authorization": '"$http_authorization"',
    "accept_encoding": '"$http_accept_encoding"',
    "if_range": '"$http_if_range"',
    "expect": '"$http_expect"',
    "host": '"$http_host"',
    "agent": '"$http_user_agent"',
    "tls": '"$ssl_protocol"',
}


def _frame(run: Path, listeners: str, modules: Sequence[str]) -> str:
    log_format = ",".join(f'"{name}":{value}' for name, value in _LOG_FIELDS.items())
    temporary = "".join(
        f"    {kind}_temp_path {run}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    loaded = "".join(f"load_module {module};\n" for module in modules)
    return f"""\
{loaded}worker_processes 1;
daemon off;
{"user root;" if os.geteuid() == 0 else ""}
pid {run}/nginx.pid;
error_log {run}/error.log;
events {{ worker_connections 512; }}
http {{
    log_format seen escape=json '{{{log_format}}}';
    access_log {run}/access.log seen;
{temporary}
    types {{ text/html html; }}
    default_type application/octet-stream;
    client_max_body_size 0;
    sendfile on;
    limit_req_zone $uri zone=one_a_second:1m rate=1r/s;
    # The target after its first folder, with escapes and query as they came; `$uri` has them decoded.
    map $request_uri $rest {{ "~^/[^/]*/(?<after>.*)$" $after; }}
{listeners}
}}
"""


def _plain(run: Path, port: int, second_port: int) -> str:
    return f"""
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{second_port};
        location /client/ {{ return 403; }}
        include {run}/places.conf;
    }}
"""


def _encrypted(root: Path, run: Path, port: int, tls: TlsFiles, server: Pair) -> str:
    return f"""
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {server.certificate};
        ssl_certificate_key {server.key};
        ssl_client_certificate {tls.ca};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_verify_client optional;
        location /client/ {{
            alias "{root}/";
            if ($ssl_client_verify != SUCCESS) {{ return 403; }}
        }}
        include {run}/places.conf;
    }}
"""


def _places(root: Path, run: Path, port: int, second_port: int, tls_port: int) -> str:
    same = {
        "list": "autoindex on;",
        "norange": "max_ranges 0;",
        "novalidator": 'etag off; if_modified_since off; add_header Last-Modified "";',
        "chunked": "sub_filter '<a text that no file has>' ''; sub_filter_types *; add_trailer X-Trailer yes;",
        "gz": "gzip on; gzip_types *; gzip_min_length 1;",
        "slow": "limit_rate 100k;",
        "limited": "limit_req zone=one_a_second; limit_req_status 429; error_page 429 /status/429;",
        "noreuse": "keepalive_timeout 0;",
        "basic": f"auth_basic files; auth_basic_user_file {run}/passwords;",
        "bearer": "add_header WWW-Authenticate Bearer always; "
        f'if ($http_authorization != "Bearer {BEARER_TOKEN}") {{ return 401; }}',
        "header": f'if ($http_x_token != "{HEADER_TOKEN}") {{ return 403; }}',
    }
    dav = "dav_methods PUT DELETE MKCOL COPY MOVE;"
    below = {
        "put": f"{dav} create_full_put_path on;",
        "put-strict": dav,
        "put-small": f"{dav} client_max_body_size 1k;",
        "put-basic": f"{dav} create_full_put_path on; auth_basic files; auth_basic_user_file {run}/passwords;",
    }
    plain, second = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{second_port}"
    moved = {
        "redir": f"307 {plain}/$rest",
        "redir301": f"301 {plain}/$rest",
        "redir302": f"302 {plain}/$rest",
        "redir303": f"303 {plain}/$rest",
        "redir308": f"308 {plain}/$rest",
        "redir-put": f"307 {plain}/put/$rest",
        "redir-name": f"302 http://localhost:{port}/$rest",
        "redir-port": f"302 {second}/$rest",
        "redir-tls": f"302 https://localhost:{tls_port}/$rest",
        "redir-plain": f"302 {plain}/$rest",
        "redir-file": "302 file:///$rest",
        "html-login": f"302 {plain}/login-page",
    }
    statuses = "".join(
        f"location /status/{code} {{ {_RETRY_AFTER if code in (429, 503) else ''} return {code}; }}\n"
        for code in STATUSES
    )
    return (
        f'root "{root}";\nabsolute_redirect off;\n'
        + "".join(f'location /{name}/ {{ alias "{root}/"; {habit} }}\n' for name, habit in same.items())
        + "".join(f"location /{name}/ {{ {habit} }}\n" for name, habit in below.items())
        + "".join(f"location /{name}/ {{ return {where}; }}\n" for name, where in moved.items())
        + statuses
        + f"location = /e503 {{ {_RETRY_AFTER} return 503; }}\n"
        + f"location /loop {{ return 302 {plain}/loop; }}\n"
        + "location /drop { return 444; }\n"
        + "location = /login-page { default_type text/html; return 200 '<html>Log in first</html>'; }\n"
        + "location /log-mark- { return 204; }\n"
    )


_RETRY_AFTER = "add_header Retry-After 1 always;"

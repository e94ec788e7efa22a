"""An OAuth 2.0 token endpoint whose access tokens end and whose refresh tokens work once, and files that want such tokens.

`POST /token` knows the grants `refresh_token` and `client_credentials`; `GET /data/...` and `PUT /data/...` answer 401
without a token that it made and that has not ended. TLS only.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .tls import Pair

CLIENT = "client-1"
CLIENT_SECRET = "canary-client-secret"
FIRST_REFRESH_TOKEN = "canary-refresh-0"


class OAuth:
    """Use `oauth()`. What it counted can be read at any time."""

    def __init__(self, certificate: Pair) -> None:
        self.lifetime = 3600.0
        """Seconds; of tokens made from now on."""
        self.rotates = False
        """Each refresh token works once, and the answer brings the next."""
        self.answer: tuple[int, dict[str, object]] | None = None
        """Given to every request for a token, instead of one."""
        self.redirect = ""
        self.grants: list[dict[str, str]] = []
        """The form of each request for a token."""
        self.files: dict[str, bytes] = {}
        self.refused = 0
        """Requests for files without a good token."""
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._tokens: dict[str, float] = {}
        self._refresh = {FIRST_REFRESH_TOKEN}
        settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        settings.load_cert_chain(certificate.certificate, certificate.key)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._server.socket = settings.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.authority = f"127.0.0.1:{self.port}"
        self.url = f"https://{self.authority}"
        self.token_url = f"{self.url}/token"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(30)

    def new_token(self, *, lifetime: float | None = None) -> str:
        """A token that opens the files, as if somebody else had asked for it."""
        token = f"canary-access-{next(self._numbers)}"
        with self._lock:
            self._tokens[token] = time.monotonic() + (self.lifetime if lifetime is None else lifetime)
        return token

    def revoke_all(self) -> None:
        """Ends every access token now."""
        with self._lock:
            self._tokens.clear()

    def opens(self, authorization: str) -> bool:
        with self._lock:
            return self._tokens.get(authorization.removeprefix("Bearer "), 0.0) > time.monotonic()

    def grant(self, form: dict[str, str]) -> tuple[int, dict[str, object]]:
        self.grants.append(form)
        if self.answer is not None:
            return self.answer
        if form.get("client_id") != CLIENT or form.get("client_secret", CLIENT_SECRET) != CLIENT_SECRET:
            return 401, {"error": "invalid_client"}
        made: dict[str, object] = {"token_type": "Bearer", "expires_in": self.lifetime}
        if form["grant_type"] == "refresh_token":
            with self._lock:
                if form["refresh_token"] not in self._refresh:
                    return 400, {"error": "invalid_grant", "error_description": form["refresh_token"]}
                if self.rotates:
                    self._refresh = {f"canary-refresh-{next(self._numbers)}"}
                    (made["refresh_token"],) = self._refresh
        elif "client_secret" not in form:
            return 401, {"error": "invalid_client"}
        return 200, {**made, "access_token": self.new_token()}


def _handler(service: OAuth) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if service.redirect:
                self._send(307, b"", Location=service.redirect)
                return
            form = {name: values[0] for name, values in parse_qs(body).items()}
            status, content = service.grant(form)
            self._send(status, json.dumps(content).encode(), **{"Content-Type": "application/json"})

        def do_GET(self) -> None:
            if not self._may():
                return
            content = service.files.get(self.path)
            self._send(404 if content is None else 200, content or b"")

        do_HEAD = do_GET

        def do_PUT(self) -> None:
            if not service.opens(self.headers.get("Authorization", "")):
                self.close_connection = True
                self._may()
                return
            if self.headers.get("Expect"):
                self.send_response_only(100)
                self.end_headers()
            if "Content-Length" in self.headers:
                service.files[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
            else:
                service.files[self.path] = b"".join(self._chunks())
            self._send(201, b"")

        def handle_expect_100(self) -> bool:
            return True

        def _chunks(self) -> Iterator[bytes]:
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

        def _may(self) -> bool:
            if service.opens(self.headers.get("Authorization", "")):
                return True
            service.refused += 1
            self._send(401, b"", **{"WWW-Authenticate": "Bearer"})
            return False

        def _send(self, status: int, body: bytes, **fields: str) -> None:
            self.send_response(status)
            for name, value in {**fields, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, text: str, *values: object) -> None:
            pass

    return Handler


@contextlib.contextmanager
def oauth(certificate: Pair) -> Iterator[OAuth]:
    """A service with this certificate on a free port of 127.0.0.1."""
    service = OAuth(certificate)
    try:
        yield service
    finally:
        service.stop()

"""A double of Globus on 127.0.0.1: Auth and Transfer that really move bytes between folders, and collections over HTTPS.

It runs as a process of its own and is reached as the real one is, through the SDK's environment variables::

    with globus_service(tls_files) as globus:
        source, destination = globus.collection(folder), globus.collection(other)
        globus.rule("copy /bad", fault="FILE_NOT_FOUND")
        ...  # with {**os.environ, **globus.environment}

What it cannot prove: the wording and the limits of the real service. `tests/test_globus_service.py` compares the fields of its
answers with those that come with the SDK.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import sys
import threading
import uuid
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

from .globus_routes import Routes
from .globus_world import GUEST, MAPPED, PERSONAL, TRANSFER, World
from .process import Daemon, free_port, short_temporary_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .tls import TlsFiles

__all__ = ["GUEST", "MAPPED", "PERSONAL", "TRANSFER", "GlobusService", "globus_service"]

CLIENT, SECRET = "11111111-2222-3333-4444-555555555555", "canary-client-secret"


class GlobusService:
    """The running service, as a test sees it."""

    def __init__(self, port: int, data_port: int, daemon: Daemon) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.data_url = f"https://127.0.0.1:{data_port}"
        self.daemon = daemon
        self.environment = {
            "GLOBUS_SDK_SERVICE_URL_AUTH": f"{self.url}/",
            "GLOBUS_SDK_SERVICE_URL_TRANSFER": f"{self.url}/",
        }
        """What leads the SDK here."""
        self.login = {"GLOBUS_CLIENT_ID": CLIENT, "GLOBUS_CLIENT_SECRET": SECRET}
        """The credentials of a client that the service knows."""
        self._ask({"do": "client", "id": CLIENT, "secret": SECRET})

    def _ask(self, wish: dict[str, Any]) -> Any:
        request = Request(f"{self.url}/_control", json.dumps(wish).encode(), method="POST")
        with urlopen(request, timeout=30) as response:
            return json.loads(response.read())["answer"]

    def collection(self, root: Path, **flags: Any) -> str:
        """The UUID of a new collection over the folder; `flags` are those of `globus_world.Collection`."""
        root.mkdir(parents=True, exist_ok=True)
        name = str(uuid.uuid4())
        self._ask({"do": "collection", "with": {"id": name, "root": str(root.resolve()), **flags}})
        return name

    def change(self, collection: str, **flags: Any) -> None:
        self._ask({"do": "change", "id": collection, "with": flags})

    def settings(self, **values: Any) -> None:
        """Fields of `globus_world.World`."""
        self._ask({"do": "world", "with": values})

    def rule(self, match: str, times: int = 1, **effect: Any) -> None:
        """A fault for requests `METHOD /path`, or copies `copy /source`, in which the pattern is found.

        Requests: `status`, `code`, `message` (AUTHORIZATION in it is what was presented), `headers`; `raw`, the body of an answer of a `kind`;
        `fields` that replace those of the answer's document; `hang_up` ("before" or "after" acting); `delay` and `answer_after` in seconds; `names` that a
        listing tells instead; of the data servers `cut` and `stall` (after so many bytes), `flip` and `truncate`. Copies: `fault` (which the
        service repeats) or `fatal`, `flip`, `truncate`, `slow` (seconds a MiB).
        """
        self._ask({"do": "rule", "match": match, "times": times, "effect": effect})

    def refresh_token(self, scope: str = TRANSFER, owner: str = "a person") -> str:
        return str(self._ask({"do": "refresh", "scope": scope, "owner": owner}))

    def access_token(self, scope: str = TRANSFER, owner: str = "a person") -> str:
        return str(self._ask({"do": "token", "scope": scope, "owner": owner}))

    def expire_tokens(self) -> None:
        self._ask({"do": "expire"})

    def resume(self) -> None:
        """Goes on with tasks that were inactive."""
        self._ask({"do": "resume"})

    def tasks(self) -> list[dict[str, Any]]:
        """All task documents, in the order of submission."""
        return list(self._ask({"do": "tell"})["tasks"])

    def documents(self) -> list[dict[str, Any]]:
        """All transfer and delete documents that were taken, in order."""
        return list(self._ask({"do": "tell"})["documents"])

    def requests(self) -> list[str]:
        """`METHOD /path` of every request so far."""
        return list(self._ask({"do": "tell"})["requests"])


@contextlib.contextmanager
def globus_service(tls: TlsFiles) -> Iterator[GlobusService]:
    port, data_port = free_port(), free_port()
    pair = (str(tls.server.certificate), str(tls.server.key))
    command = [sys.executable, "-m", "servers.globus_service", str(port), str(data_port), *pair]
    path = {"PYTHONPATH": str(Path(__file__).parent.parent)}
    with short_temporary_directory() as folder:
        daemon = Daemon(command, port=port, log=Path(folder) / "globus.log", environment=path)
        try:
            yield GlobusService(port, data_port, daemon)
        finally:
            daemon.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are none."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def main(port: int, data_port: int, certificate: str, key: str) -> None:
    """Serves until it is ended. Auth and Transfer are plain, because the SDK is led here by a plain URL."""
    world = World(f"http://127.0.0.1:{port}", f"https://127.0.0.1:{data_port}")
    routes = type("RoutesOfWorld", (Routes,), {"world": world})
    data = _Server(("127.0.0.1", data_port), routes)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    data.socket = tls.wrap_socket(data.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=data.serve_forever, daemon=True).start()
    _Server(("127.0.0.1", port), routes).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])

"""wsgidav on cheroot: a WebDAV server that writes uploads in place, and whose ETags are strong at once."""

from __future__ import annotations

import contextlib
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .process import Daemon, free_port, missing, short_temporary_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = "alice"
PASSWORD = "open:sesame"

_PROGRAM = """\
import json, sys
from cheroot import wsgi
from wsgidav.wsgidav_app import WsgiDAVApp
port, settings = int(sys.argv[1]), json.loads(sys.argv[2])
wsgi.Server(("127.0.0.1", port), WsgiDAVApp(settings), numthreads=8, timeout=30).start()
"""


class WsgiDav(NamedTuple):
    """A running server: everybody may use `/`, and USER what is below `/digest/`, by digest authentication."""

    root: Path
    port: int
    daemon: Daemon

    @property
    def url(self) -> str:
        return f"webdav://127.0.0.1:{self.port}"


@contextlib.contextmanager
def wsgi_dav() -> Iterator[WsgiDav]:
    if not (find_spec("wsgidav") and find_spec("cheroot")):
        missing("wsgidav", "make env")
    port = free_port()
    with short_temporary_directory() as name:
        root = Path(name) / "root"
        (root / "digest").mkdir(parents=True)
        settings = {
            "provider_mapping": {"/digest": str(root / "digest"), "/": str(root)},
            "simple_dc": {"user_mapping": {"/digest": {USER: {"password": PASSWORD}}, "/": True}},
            "http_authenticator": {"accept_basic": False, "accept_digest": True, "default_to_digest": True},
            "lock_storage": True,
            "property_manager": True,
            "verbose": 3,
        }
        command = [sys.executable, "-c", _PROGRAM, str(port), json.dumps(settings)]
        daemon = Daemon(command, port=port, log=Path(name) / "output.log")
        try:
            yield WsgiDav(root, port, daemon)
        finally:
            daemon.stop()

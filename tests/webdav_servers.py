"""Fixtures around the WebDAV servers; test modules import them."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from servers.apache import Apache, apache
from servers.nginx import Nginx, nginx
from servers.wsgi_dav import WsgiDav, wsgi_dav
from servers.xrootd_dav import XrootdDav, xrootd_dav
from wf.protocols.locations import Location, parse_location

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.tls import TlsFiles

_NUMBERS = itertools.count(1)
_TIMES = itertools.count(1_000_000_000, 10)

NGINX_MODULE = "/usr/lib/nginx/modules/ngx_http_dav_ext_module.so"


@pytest.fixture(scope="session")
def apache_service(tls_files: TlsFiles) -> Iterator[Apache]:
    with apache(tls_files) as server:
        yield server


@pytest.fixture
def dav(apache_service: Apache) -> Apache:
    """Apache, shared by the tests of the session: work in a `fresh` folder. The log begins anew."""
    apache_service.forget()
    return apache_service


@pytest.fixture(scope="session")
def wsgi_service() -> Iterator[WsgiDav]:
    with wsgi_dav() as server:
        yield server


@pytest.fixture(scope="session")
def xrootd_service(tls_files: TlsFiles) -> Iterator[XrootdDav]:
    with xrootd_dav(tls_files) as server:
        yield server


def fresh(root: Path) -> str:
    """The name of a new and empty folder below `root` that the server may write."""
    name = f"place-{next(_NUMBERS)}"
    folder = root / name
    folder.mkdir()
    owner = root.stat()
    os.chown(folder, owner.st_uid, owner.st_gid)
    return name


def aged(root: Path) -> None:
    """Gives every file below a time of its own, long ago: its ETag is strong then, and that of one version only."""
    for folder, _, files in os.walk(os.fsencode(root)):
        for name in files:
            path = os.path.join(folder, name)
            if os.stat(path).st_mtime > 2_000_000_000 - 500_000_000:
                os.utime(path, (0, next(_TIMES)))


def at(url: str) -> Location:
    return parse_location(url)


@pytest.fixture(scope="session")
def nginx_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """nginx with dav-ext at `/ext/` and, without PROPFIND, at `/put-strict/`."""
    if not Path(NGINX_MODULE).exists():
        from servers.process import missing

        missing("nginx's dav-ext module", "sudo make servers")
    root = tmp_path_factory.mktemp("nginx-dav")
    (root / "ext").mkdir()
    places = (
        "location /ext/ { dav_methods PUT DELETE MKCOL COPY MOVE; dav_ext_methods PROPFIND OPTIONS; }\n"
        "location /closed/ { deny all; }\n"
        "location /fixed/ { dav_methods PUT DELETE MKCOL; dav_ext_methods PROPFIND OPTIONS; }\n"
    )
    (root / "fixed").mkdir()
    with nginx(root, extra=places, modules=(NGINX_MODULE,)) as server:
        yield server

"""Fixtures around the XRootD servers; test modules import them."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import pytest
from servers.xrootd_root import OPEN, XrootdRoot, xrootd_root
from wf.protocols.locations import Location, parse_location

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.tls import TlsFiles

_NUMBERS = itertools.count(1)
_TIMES = itertools.count(1_000_000_000, 10)


@pytest.fixture(scope="session")
def xrootd_service(tls_files: TlsFiles) -> Iterator[XrootdRoot]:
    with xrootd_root(tls_files) as server:
        yield server


@pytest.fixture
def xrootd(xrootd_service: XrootdRoot, monkeypatch: pytest.MonkeyPatch) -> XrootdRoot:
    """The servers, shared by the tests of the session: work in a `fresh` folder. Their certificates are believed."""
    monkeypatch.setenv("X509_CERT_DIR", str(xrootd_service.authorities))
    return xrootd_service


def fresh(service: XrootdRoot, server: int = OPEN) -> Path:
    """A new and empty folder that the server may write."""
    folder = service.roots[server] / f"place-{next(_NUMBERS)}"
    folder.mkdir()
    service.give(folder)
    return folder


def location(service: XrootdRoot, path: Path, server: int = OPEN, scheme: str = "root") -> Location:
    """Where the file or folder of this path is for clients."""
    name = os.path.relpath(path, service.roots[server])
    return parse_location(service.url(f"/{name}", server, scheme))


def aged(path: Path) -> None:
    """Gives a file a time of its own, long ago: it has a version then."""
    os.utime(path, (0, next(_TIMES)))

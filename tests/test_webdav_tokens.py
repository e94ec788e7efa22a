"""SciTokens at XRootD: what the token says is what may be done, also when one server fetches from another."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from webdav_servers import at, fresh, xrootd_service
from wf.credentials.kinds import Bearer, Secret
from wf.protocols.conformance_tools import content, drained, make_context, refused, written
from wf.protocols.errors import Denied
from wf.protocols.tls import tls_context
from wf.protocols.values import Incoming
from wf.protocols.webdav import WebdavStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers.tls import TlsFiles
    from servers.xrootd_dav import XrootdDav

    Storing = Callable[..., WebdavStore]

__all__ = ["xrootd_service"]

MIB = 1 << 20
ALL = "storage.read:/kept storage.create:/kept storage.modify:/kept"
READ = "storage.read:/kept"


@pytest.fixture
def with_token(xrootd_service: XrootdDav, tls_files: TlsFiles) -> Iterator[Storing]:
    """Makes stores that show a token of a scope."""
    stores: list[WebdavStore] = []
    trust = tls_context({"SSL_CERT_FILE": str(tls_files.ca)})

    def make(scope: str, *, seconds: int = 3600) -> WebdavStore:
        token = Secret(xrootd_service.issuer.token(scope, seconds=seconds))
        credential = Bearer(token, name="token", origin="the test")
        stores.append(WebdavStore(make_context(credential=credential, tls=trust)))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def folder(xrootd_service: XrootdDav) -> str:
    return f"kept/{fresh(xrootd_service.roots[0] / 'kept')}"


def test_a_token_opens_what_its_scope_says(
    xrootd_service: XrootdDav, with_token: Storing, folder: str
) -> None:
    location = at(xrootd_service.url(f"{folder}/deep/file"))
    store = with_token(ALL)

    receipt = written(store, location, content(2 * MIB))
    assert receipt.size == 2 * MIB
    assert drained(with_token(READ).open_read(location)) == content(2 * MIB)
    store.remove(at(xrootd_service.url(f"{folder}/deep")), recursive=True)

    assert os.listdir(xrootd_service.roots[0] / folder) == []


def test_a_token_for_reading_writes_nothing(
    xrootd_service: XrootdDav, with_token: Storing, folder: str
) -> None:
    location = at(xrootd_service.url(f"{folder}/file"))

    error = refused(lambda: written(with_token(READ), location, b"content"), Denied)

    assert "token from the test" in error.what
    assert os.listdir(xrootd_service.roots[0] / folder) == []


def test_a_token_to_create_stores_a_new_file_although_it_may_move_nothing(
    xrootd_service: XrootdDav, with_token: Storing, folder: str
) -> None:
    store = with_token("storage.create:/kept storage.read:/kept")
    location = at(xrootd_service.url(f"{folder}/file"))

    written(store, location, content(2 * MIB))

    assert (xrootd_service.roots[0] / folder / "file").read_bytes() == content(2 * MIB)


@pytest.mark.parametrize("scope", ["storage.read:/elsewhere", ""], ids=["elsewhere", "nothing"])
def test_a_token_for_something_else_is_denied(
    xrootd_service: XrootdDav, with_token: Storing, folder: str, scope: str
) -> None:
    refused(lambda: with_token(scope).open_read(at(xrootd_service.url(f"{folder}/file"))), Denied)


def test_a_token_that_has_ended_is_denied(
    xrootd_service: XrootdDav, with_token: Storing, folder: str
) -> None:
    store = with_token(ALL, seconds=-30)

    refused(lambda: store.open_write(at(xrootd_service.url(f"{folder}/file")), Incoming(3)), Denied)


def test_one_server_fetches_from_the_other_with_one_token_for_both(
    xrootd_service: XrootdDav, with_token: Storing, folder: str
) -> None:
    there = fresh(xrootd_service.roots[1] / "kept")
    source, destination = (
        at(xrootd_service.url(f"{folder}/from")),
        at(xrootd_service.url(f"kept/{there}/to", 1)),
    )
    store = with_token(ALL)
    written(store, source, content(MIB))

    store.copy(source, destination, "")

    assert (xrootd_service.roots[1] / "kept" / there / "to").read_bytes() == content(MIB)

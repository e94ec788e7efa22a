"""Fixtures around a federation on this machine; test modules import them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from servers.federation import Federation, federation
from wf.credentials.kinds import Anonymous, Bearer, Secret
from wf.protocols.conformance import make_context
from wf.protocols.tls import tls_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.tls import TlsFiles
    from wf.credentials.kinds import Credential
    from wf.protocols.context import Context

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def federation_service(tls_files: TlsFiles) -> Iterator[Federation]:
    with federation(tls_files) as service:
        yield service


@pytest.fixture
def fed(federation_service: Federation) -> Federation:
    """The federation, shared by the tests of the session: work in a `fresh` folder. Two good caches, nothing asked yet."""
    federation_service.reset()
    return federation_service


def fresh(fed: Federation, namespace: str = "open") -> str:
    """The path of a new and empty folder in the namespace."""
    path = f"/{namespace}/place-{next(_NUMBERS)}"
    fed.servers.make_folder(path)
    return path


def bearer(token: str) -> Credential:
    return Bearer(Secret(token), name="token", origin="the test")


def context_of(fed: Federation, token: str = "") -> Context:
    """A context that trusts the federation's authority and presents the token, if there is one."""
    credential = bearer(token) if token else Anonymous()
    return make_context(credential=credential, tls=tls_context({"SSL_CERT_FILE": str(fed.tls.ca)}))

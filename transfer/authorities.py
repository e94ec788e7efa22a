"""Which certificate authorities vouch for servers here, and whether they can be used."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from ..credentials.inspection import Finding, Severity
from ..protocols.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

_VARIABLES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR", "X509_CERT_DIR")
_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")
"""A certificate as OpenSSL finds it in a folder: the hash of its subject, and a number."""


class Authorities(NamedTuple):
    """`origin` says where they are; `finding` is None where they can be used."""

    origin: str
    finding: Finding | None = None


def authorities(environment: Mapping[str, str]) -> Authorities:
    """The authorities that TLS connections of a run with this environment trust. Reads them."""
    from ..protocols.tls import tls_context

    origin = _origin(environment)
    try:
        settings = tls_context(environment)
    except Misconfigured as error:
        return Authorities(origin, Finding("authorities", Severity.ERROR, error.what, error.remedy))
    if settings.cert_store_stats()["x509_ca"] or any(map(_has_hashed, _folders(environment))):
        return Authorities(origin)
    return Authorities(
        origin,
        Finding(
            "authorities",
            Severity.ERROR,
            f"there is no certificate authority in {origin}, so no server can be believed",
            "install the system's certificates (package ca-certificates), or set SSL_CERT_FILE or X509_CERT_DIR; "
            "a folder needs its names by hash: openssl rehash",
        ),
    )


def _origin(environment: Mapping[str, str]) -> str:
    from ..credentials.redaction import printable

    named = [f"${name}={printable(environment[name])}" for name in _VARIABLES if environment.get(name)]
    if named:
        return " and ".join(named)
    places = _of_the_system()
    return f"the system's {' and '.join(places)}" if places else "the system's (none found)"


def _of_the_system() -> list[str]:
    from ssl import get_default_verify_paths

    paths = get_default_verify_paths()
    return [path for path in (paths.cafile, paths.capath) if path]


def _folders(environment: Mapping[str, str]) -> list[str]:
    named = [environment[name] for name in _VARIABLES if environment.get(name)]
    return [path for path in named or _of_the_system() if os.path.isdir(path)]


def _has_hashed(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(_HASHED.fullmatch(entry.name) and os.access(entry.path, os.R_OK) for entry in entries)
    except OSError:
        return False

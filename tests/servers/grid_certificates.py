"""Certificates as grids have them, made with openssl: RSA keys, for their software takes no others, and a proxy of the user."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from .process import binary
from .tls import Pair

if TYPE_CHECKING:
    from pathlib import Path

_SUBJECT = "/O=wf tests/CN="
USER = "/O=wf tests/CN=alice"
"""The subject of `user`, as gridmaps have it."""


class GridFiles(NamedTuple):
    ca_directory: Path
    host: Pair
    """For localhost."""
    user: Pair
    stranger: Pair
    """A user of another authority, which nobody believes."""
    proxy: Path
    """Of `user`: a certificate that it has signed, with its key and the chain in one file."""


def make_grid_files(folder: Path) -> GridFiles:
    """Everything, in `folder`. Takes about a second."""
    ca, other = _authority(folder, "authority"), _authority(folder, "other-authority")
    directory = folder / "authorities"
    directory.mkdir()
    name = _openssl("x509", "-in", str(ca.certificate), "-noout", "-hash").strip()
    (directory / f"{name}.0").write_bytes(ca.certificate.read_bytes())
    user = _leaf(folder, "alice", ca)
    return GridFiles(
        directory,
        _leaf(folder, "localhost", ca),
        user,
        _leaf(folder, "mallory", other),
        _proxy(folder, user, directory),
    )


def _authority(folder: Path, name: str) -> Pair:
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    _openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"{_SUBJECT}{name}"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        *("-keyout", str(pair.key), "-out", str(pair.certificate)),
    )
    return pair


def _leaf(folder: Path, name: str, authority: Pair) -> Pair:
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    request, extensions = folder / f"{name}.csr", folder / f"{name}.ext"
    extensions.write_text(
        "keyUsage=critical,digitalSignature,keyEncipherment\nextendedKeyUsage=serverAuth,clientAuth\n"
        "subjectAltName=DNS:localhost\n"
    )
    _openssl(
        *("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"{_SUBJECT}{name}"),
        *("-keyout", str(pair.key), "-out", str(request)),
    )
    _openssl(
        *("x509", "-req", "-in", str(request), "-CA", str(authority.certificate)),
        *("-CAkey", str(authority.key), "-CAcreateserial", "-days", "20"),
        *("-extfile", str(extensions), "-out", str(pair.certificate)),
    )
    pair.key.chmod(0o400)
    return pair


def _proxy(folder: Path, user: Pair, authorities: Path) -> Path:
    proxy = folder / "proxy.pem"
    done = subprocess.run(
        [
            *(binary("xrdgsiproxy"), "init", "-bits", "2048", "-valid", "12:00"),
            *("-cert", str(user.certificate), "-key", str(user.key), "-out", str(proxy)),
        ],
        env={**os.environ, "X509_CERT_DIR": str(authorities)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode or not proxy.exists():
        raise RuntimeError(f"no proxy was made: {done.stderr.decode()}")
    return proxy


def _openssl(*arguments: str) -> str:
    done = subprocess.run([binary("openssl"), *arguments], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr}")
    return done.stdout

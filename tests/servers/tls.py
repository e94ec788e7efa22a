"""Certificates made with openssl for one test run: a CA, servers, clients, and some that must be refused."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, NamedTuple

from .process import binary

if TYPE_CHECKING:
    from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
_SERVER = "subjectAltName=DNS:localhost,DNS:*.localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n"
_OTHER_NAME = "subjectAltName=DNS:elsewhere.invalid\nextendedKeyUsage=serverAuth\n"
_CLIENT = "extendedKeyUsage=clientAuth\n"


class Pair(NamedTuple):
    """A certificate and its key, PEM."""

    certificate: Path
    key: Path


class TlsFiles(NamedTuple):
    """`client_bundle` holds certificate and key of `client` in one file, as X.509 proxies do."""

    ca: Path
    ca_directory: Path
    """Holds `ca` under its subject hash, as `SSL_CERT_DIR` and `X509_CERT_DIR` want it."""
    wrong_ca: Path
    server: Pair
    """For localhost, *.localhost and 127.0.0.1."""
    expired_server: Pair
    misnamed_server: Pair
    """Of the right CA, for another host."""
    client: Pair
    client_bundle: Path
    stranger: Pair
    """A client of the wrong CA."""


def make_tls_files(folder: Path) -> TlsFiles:
    """Everything, in `folder`. Takes about 100 ms."""
    ca, wrong = _authority(folder, "ca"), _authority(folder, "wrong-ca")
    client = _leaf(folder, "client", ca, _CLIENT)
    bundle = folder / "client-bundle.pem"
    bundle.write_bytes(client.certificate.read_bytes() + client.key.read_bytes())
    bundle.chmod(0o600)
    return TlsFiles(
        ca=ca.certificate,
        ca_directory=_hashed(folder / "ca-directory", ca.certificate),
        wrong_ca=wrong.certificate,
        server=_leaf(folder, "server", ca, _SERVER),
        expired_server=_leaf(folder, "expired", ca, _SERVER, expired=True),
        misnamed_server=_leaf(folder, "misnamed", ca, _OTHER_NAME),
        client=client,
        client_bundle=bundle,
        stranger=_leaf(folder, "stranger", wrong, _CLIENT),
    )


def _authority(folder: Path, name: str) -> Pair:
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    _openssl(
        *("req", "-x509", *_KEY, "-days", "30", "-subj", f"/CN=wf test {name}"),
        *("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        *("-keyout", str(pair.key), "-out", str(pair.certificate)),
    )
    return pair


def _leaf(folder: Path, name: str, authority: Pair, extensions: str, *, expired: bool = False) -> Pair:
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    request, extension_file = folder / f"{name}.csr", folder / f"{name}.ext"
    extension_file.write_text(extensions)
    _openssl("req", *_KEY, "-subj", f"/CN=wf test {name}", "-keyout", str(pair.key), "-out", str(request))
    # `openssl x509` has no option for a past date before 3.4; a negative number of days is a past one in all.
    _openssl(
        *(
            "x509",
            "-req",
            "-in",
            str(request),
            "-CA",
            str(authority.certificate),
            "-CAkey",
            str(authority.key),
        ),
        *("-CAcreateserial", "-days", "-1" if expired else "30"),
        *("-extfile", str(extension_file), "-out", str(pair.certificate)),
    )
    pair.key.chmod(0o600)
    return pair


def _hashed(directory: Path, certificate: Path) -> Path:
    directory.mkdir()
    name = _openssl("x509", "-in", str(certificate), "-noout", "-hash").strip()
    (directory / f"{name}.0").write_bytes(certificate.read_bytes())
    return directory


def _openssl(*arguments: str) -> str:
    done = subprocess.run([binary("openssl"), *arguments], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr}")
    return done.stdout

"""Real tokens and real proxies for tests."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING, Any

import jwt

if TYPE_CHECKING:
    from pathlib import Path

SIGNING_KEY = "only-for-tests-and-long-enough-for-HS256"
HOUR = 3600.0
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def token(*, lasts: float = HOUR, **claims: Any) -> str:
    """A signed JWT that ends `lasts` seconds from now; claims that are None are left out."""
    now = int(time.time())
    usual = {"sub": "alice", "iss": "https://issuer.example", "iat": now - 10, "exp": now + int(lasts)}
    return jwt.encode(
        {name: value for name, value in {**usual, **claims}.items() if value is not None},
        SIGNING_KEY,
        algorithm="HS256",
    )


def private(path: Path, content: str) -> Path:
    """The file, readable by us alone."""
    path.write_text(content)
    path.chmod(0o600)
    return path


def openssl(*arguments: str | Path) -> str:
    done = subprocess.run(
        ["openssl", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def certificate(folder: Path, name: str, subject: str, *, days: int = 2) -> Path:
    """A certificate for itself, with `name`.key beside it."""
    path = folder / f"{name}.pem"
    openssl(
        *("req", "-x509", *_KEY, "-utf8", "-days", str(days), "-subj", subject),
        *("-keyout", folder / f"{name}.key", "-out", path),
    )
    (folder / f"{name}.key").chmod(0o600)
    return path


def proxy(folder: Path, issuer: str, name: str, *, days: int = 1) -> Path:
    """An RFC 3820 proxy of the certificate `issuer`: proxy, its key, and the issuer's certificate in one file."""
    owner = openssl("x509", "-in", folder / f"{issuer}.pem", "-noout", "-subject", "-nameopt", "compat")
    subject = owner.strip().partition("subject=")[2].strip()
    key, request, made = (folder / f"{name}{end}" for end in (".key", ".csr", ".crt"))
    extensions = folder / f"{name}.ext"
    extensions.write_text(
        "proxyCertInfo=critical,language:id-ppl-inheritAll\nkeyUsage=critical,digitalSignature\n"
    )
    openssl("req", *_KEY, "-subj", f"{subject}/CN=1234567", "-keyout", key, "-out", request)
    openssl(
        *(
            "x509",
            "-req",
            "-in",
            request,
            "-CA",
            folder / f"{issuer}.pem",
            "-CAkey",
            folder / f"{issuer}.key",
        ),
        *("-set_serial", "7", "-days", str(days), "-extfile", extensions, "-out", made),
    )
    parts = (made, key, folder / f"{issuer}.pem")
    return private(folder / f"{name}.pem", "".join(part.read_text() for part in parts))

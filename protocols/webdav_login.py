"""Digest authentication (RFC 7616), so that a password is proven and not sent.

With MD5 and SHA-256, their session variants, and `qop=auth`. A challenge serves many requests; its count goes up with each.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

_HASHES: Final = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
_PREFERRED: Final = ("SHA-256", "SHA-512-256", "MD5")
_PARAMETER = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_SCHEME = re.compile(r"(?:^|,)\s*([A-Za-z][A-Za-z0-9_-]*)(?=\s+[^=\s]|\s*$)")


class Pair(NamedTuple):
    """User and password, as bytes."""

    user: bytes
    password: bytes


def pair_of(field: str) -> Pair | None:
    """User and password in the value of a basic Authorization field; None for any other value."""
    from binascii import Error, a2b_base64

    scheme, _, text = field.partition(" ")
    if scheme != "Basic":
        return None
    try:
        user, colon, password = a2b_base64(text).partition(b":")
    except Error:
        return None
    return Pair(user, password) if colon else None


class Challenge:
    """A server's wish for a digest, answered as often as it is believed."""

    def __init__(self, parameters: dict[str, str]) -> None:
        """Raises ValueError for one that cannot be answered."""
        self._realm = parameters.get("realm", "")
        self._nonce = parameters.get("nonce", "")
        self._opaque = parameters.get("opaque")
        self._userhash = parameters.get("userhash", "").lower() == "true"
        self._named = parameters.get("algorithm")
        name = (self._named or "MD5").upper()
        self._session = name.endswith("-SESS")
        self.algorithm = name.removesuffix("-SESS")
        offered = [word.strip().lower() for word in parameters.get("qop", "").split(",")]
        self._protects = "auth" in offered
        self._count = 0
        if self.algorithm not in _HASHES or not self._nonce or not (self._protects or offered == [""]):
            raise ValueError("not a challenge that can be answered")

    def answer(self, pair: Pair, method: str, target: str) -> str:
        """The value of Authorization for one request."""
        from os import urandom

        self._count += 1
        count = f"{self._count:08x}"
        own = urandom(12).hex()
        realm = self._realm.encode("latin-1", "replace")
        user = self._hash(pair.user + b":" + realm) if self._userhash else ""
        secret = self._hash(pair.user + b":" + realm + b":" + pair.password)
        if self._session:
            secret = self._hash(f"{secret}:{self._nonce}:{own}".encode("latin-1", "replace"))
        request = self._hash(f"{method}:{target}".encode("latin-1", "replace"))
        between = f"{self._nonce}:{count}:{own}:auth" if self._protects else self._nonce
        response = self._hash(f"{secret}:{between}:{request}".encode("latin-1", "replace"))
        shown = user or pair.user.decode("latin-1")
        parts = [("username", shown), ("realm", self._realm), ("nonce", self._nonce), ("uri", target)]
        parts.append(("response", response))
        if self._opaque is not None:
            parts.append(("opaque", self._opaque))
        text = ", ".join(f"{name}={_quoted(value)}" for name, value in parts)
        if self._named is not None:
            text += f", algorithm={self._named}"
        if self._protects:
            text += f', qop=auth, nc={count}, cnonce="{own}"'
        return f"Digest {text}{', userhash=true' if self._userhash else ''}"

    def _hash(self, data: bytes) -> str:
        import hashlib

        return hashlib.new(_HASHES[self.algorithm], data, usedforsecurity=False).hexdigest()


def challenge_of(lines: Iterable[str]) -> Challenge | None:
    """The best challenge for a digest among the values of WWW-Authenticate; None if there is none."""
    found: dict[str, Challenge] = {}
    for line in lines:
        starts = [*_SCHEME.finditer(line)]
        for index, start in enumerate(starts):
            end = starts[index + 1].start() if index + 1 < len(starts) else len(line)
            if start[1].lower() != "digest":
                continue
            try:
                challenge = Challenge(_parameters(line[start.end() : end]))
            except ValueError:
                continue
            found.setdefault(challenge.algorithm, challenge)
    return next((found[name] for name in _PREFERRED if name in found), None)


def _parameters(text: str) -> dict[str, str]:
    return {
        match[1].lower(): re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3]
        for match in _PARAMETER.finditer(text)
    }


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

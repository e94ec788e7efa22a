"""AWS Signature Version 4 in header fields, for S3 ("Authenticating Requests: Using the Authorization Header").

S3's rule differs from other services': the path is percent-encoded once and never normalised, so that `//`, `.` and
`..` in a key stay. A few microseconds a signature: the day's key and the second's time stamp are kept.
"""

from __future__ import annotations

import hmac
import time
from functools import lru_cache
from hashlib import sha256

from .patterns import compiled

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Sequence
    from hashlib import _Hash as HASH
    from typing import Final

    from ..credentials.kinds import Secret

EMPTY: Final = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""The payload digest of a request without a body."""
UNSIGNED: Final = "UNSIGNED-PAYLOAD"
"""Stands for the payload digest where TLS protects the body."""

_PLAIN_KEY: Final = r"[A-Za-z0-9/._~-]*"
_NOT_IN_KEY: Final = r"[^A-Za-z0-9/._~-]+"
_NOT_IN_QUERY: Final = r"[^A-Za-z0-9._~-]+"


def quote_key(key: str) -> str:
    """The key as it stands in a request's path: everything but unreserved characters and `/` is encoded."""
    return key if compiled(_PLAIN_KEY).fullmatch(key) else compiled(_NOT_IN_KEY).sub(_encode, key)


def quote_query(pairs: Sequence[tuple[str, str]]) -> str:
    """The query, in the one spelling and order that is both sent and signed; empty for no pairs."""
    encoded = compiled(_NOT_IN_QUERY).sub
    quoted = [(encoded(_encode, name), encoded(_encode, value)) for name, value in pairs]
    return "&".join(f"{name}={value}" for name, value in sorted(quoted))


def _encode(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogateescape"))


class Signer:
    """Signs with one access key for one region. `clock` gives seconds since 1970."""

    __slots__ = (
        "_access_key",
        "_beginning",
        "_clock",
        "_day",
        "_keyed",
        "_region",
        "_scope",
        "_second",
        "_secret",
        "_stamp",
        "_token",
    )

    def __init__(
        self,
        access_key: str,
        secret_key: Secret,
        session_token: Secret | None,
        region: str,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._access_key = access_key
        self._secret = secret_key
        self._token = session_token
        self._region = region
        self._clock = clock
        self._second = -1
        self._stamp = self._day = self._scope = self._beginning = ""
        self._keyed = _keyed(b"")

    def sign(
        self,
        method: str,
        host: str,
        path: str,
        query: str,
        payload: str,
        fields: Sequence[tuple[str, str]] = (),
    ) -> list[tuple[str, str]]:
        """The fields to send: the signature, what it needs, and `fields`, all of which are signed.

        `host` is the value of the Host field, `path` came from `quote_key` and `query` from `quote_query`. `payload` is
        the body's SHA-256 in hexadecimal, or UNSIGNED. The names of `fields` are in lower case and different, their
        values have no blanks at the ends and no two together.
        """
        now = int(self._clock())
        if now != self._second:
            self._tick(now)
        signed = {"host": host, "x-amz-content-sha256": payload, "x-amz-date": self._stamp}
        if fields:
            signed.update(fields)
        if self._token is not None:
            signed["x-amz-security-token"] = self._token.reveal()
        lines, names = _canonical(tuple(signed))
        canonical = f"{method}\n{path}\n{query}\n{lines % signed}\n{names}\n{payload}"
        digest = sha256(canonical.encode("utf-8")).hexdigest()
        signature = self._sign(f"{self._beginning}{digest}")
        del signed["host"]
        signed["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self._access_key}/{self._scope}, SignedHeaders={names}, Signature={signature}"
        )
        return list(signed.items())

    def _sign(self, text: str) -> str:
        inner, outer = self._keyed
        inner, outer = inner.copy(), outer.copy()
        inner.update(text.encode("ascii"))
        outer.update(inner.digest())
        return outer.hexdigest()

    def _tick(self, now: int) -> None:
        self._second = now
        self._stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        day = self._stamp[:8]
        if day != self._day:
            self._day = day
            self._scope = f"{day}/{self._region}/s3/aws4_request"
            key = ("AWS4" + self._secret.reveal()).encode("utf-8")
            for piece in self._scope.split("/"):
                key = hmac.digest(key, piece.encode("utf-8"), "sha256")
            self._keyed = _keyed(key)
        self._beginning = f"AWS4-HMAC-SHA256\n{self._stamp}\n{self._scope}\n"


@lru_cache(maxsize=64)
def _canonical(names: tuple[str, ...]) -> tuple[str, str]:
    """The lines of fields with these names in the order that is signed, to be filled with their values; and the names."""
    ordered = sorted(names)
    return "".join([f"{name}:%({name})s\n" for name in ordered]), ";".join(ordered)


def _keyed(key: bytes) -> tuple[HASH, HASH]:
    """What the two hashes of an HMAC begin with (RFC 2104), for a key of one block at most. Going on with copies of them takes
    half the time of `hmac.digest`, which begins anew.
    """
    block = key.ljust(sha256().block_size, b"\0")
    return sha256(bytes(byte ^ 0x36 for byte in block)), sha256(bytes(byte ^ 0x5C for byte in block))

"""AWS Signature Version 4 in header fields, for S3 ("Authenticating Requests: Using the Authorization Header").

S3's rule differs from other services': the path is percent-encoded once and never normalised, so that `//`, `.` and
`..` in a key stay. About 12 us a signature: the day's key and the second's time stamp are kept.
"""

from __future__ import annotations

import hmac
import time
from hashlib import sha256

from .patterns import compiled

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Sequence
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

    __slots__ = ("_access_key", "_clock", "_day", "_key", "_region", "_second", "_secret", "_stamp", "_token")

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
        self._stamp = self._day = ""
        self._key = b""

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
        the body's SHA-256 in hexadecimal, or UNSIGNED. The names of `fields` are in lower case, their values have no
        blanks at the ends and no two together.
        """
        now = int(self._clock())
        if now != self._second:
            self._tick(now)
        sent = [("x-amz-content-sha256", payload), ("x-amz-date", self._stamp)]
        if self._token is not None:
            sent.append(("x-amz-security-token", self._token.reveal()))
        if fields:
            sent += fields
        signed = sorted([("host", host), *sent])
        names = ";".join([name for name, _ in signed])
        lines = "".join([f"{name}:{value}\n" for name, value in signed])
        canonical = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{payload}"
        scope = f"{self._day}/{self._region}/s3/aws4_request"
        digest = sha256(canonical.encode("utf-8")).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{self._stamp}\n{scope}\n{digest}"
        signature = hmac.digest(self._key, text.encode("ascii"), "sha256").hex()
        sent.append(
            (
                "Authorization",
                f"AWS4-HMAC-SHA256 Credential={self._access_key}/{scope}, SignedHeaders={names}, Signature={signature}",
            )
        )
        return sent

    def _tick(self, now: int) -> None:
        self._second = now
        self._stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        day = self._stamp[:8]
        if day == self._day:
            return
        self._day = day
        key = ("AWS4" + self._secret.reveal()).encode("utf-8")
        for piece in (day, self._region, "s3", "aws4_request"):
            key = hmac.digest(key, piece.encode("utf-8"), "sha256")
        self._key = key

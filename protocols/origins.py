"""Servers, and requests to them as the bytes of a head."""

from __future__ import annotations

from functools import lru_cache

from ..checksum.records import NamedTuple
from .errors import Unsupported
from .patterns import compiled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from ..credentials.kinds import Certificate
    from .proxies import Proxy

_AUTHORITY: Final = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]+)(?::([0-9]{0,5}))?"
_FORBIDDEN: Final = r"[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]"
_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"


class Origin(NamedTuple):
    """A server: `host` in lower case and without the brackets of an IPv6 address."""

    tls: bool
    host: str
    port: int

    @property
    def authority(self) -> str:
        """What the Host field says: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    def url(self, target: str) -> str:
        return f"{'https' if self.tls else 'http'}://{self.authority}{target}"


def origin_of(url: str) -> tuple[Origin, str]:
    """The server and the request target (path and query) of an http or https URL.

    User, password and fragment are dropped: they are never sent as part of a target. Raises Unsupported.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise Unsupported(f"{_redacted(url)}: not an http or https URL")
    end = rest.find("/")
    if end < 0 or "?" in rest[:end] or "#" in rest[:end]:
        end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    # The last @ ends the user part: a password may hold one that nobody has encoded.
    origin = _origin(scheme, rest[:end].rpartition("@")[2])
    if origin is None:
        raise Unsupported(f"{_redacted(url)}: the host or the port cannot be understood")
    target = rest[end:].partition("#")[0]
    return origin, target if target.startswith("/") else "/" + target


@lru_cache(maxsize=256)
def _origin(scheme: str, authority: str) -> Origin | None:
    """None where it cannot be understood."""
    host, colon, number = authority.partition(":")
    plain = host.isascii() and host.replace(".", "").replace("-", "").isalnum()
    if not plain or (colon and not (number.isascii() and number.isdecimal() and len(number) < 6)):
        match = compiled(_AUTHORITY).fullmatch(authority)
        if match is None:
            return None
        host, number = match[1].strip("[]"), match[2]
    port, host = int(number or 0), host.lower()
    if port > 65535 or not is_host(host):
        return None
    tls = scheme.lower() == "https"
    return Origin(tls, host, port or (443 if tls else 80))


def is_host(name: str) -> bool:
    """Whether it can be looked up: Python fails in odd ways on names with empty or overlong labels."""
    labels = name.removesuffix(".").split(".")
    return len(name) < 254 and name.isascii() and all(0 < len(label) < 64 for label in labels)


class Route(NamedTuple):
    """What a connection can be used for."""

    origin: Origin
    proxy: Proxy | None
    certificate: Certificate | None


class Request(NamedTuple):
    method: str
    origin: Origin
    target: str
    headers: Sequence[tuple[str, str]]
    certificate: Certificate | None

    def what(self) -> str:
        """The request, for people."""
        return f"{self.method} {_redacted(self.origin.url(self.target))}"

    def head(self, proxy: Proxy | None, framing: str) -> bytes:
        """The request's head. `framing` is lines that end in CRLF. Raises Unsupported for what cannot be sent."""
        origin = self.origin
        target = self.target
        if not (target and target.isascii() and target.isprintable()) or " " in target:
            raise Unsupported(f"{self.what()}: the URL has characters that no URL may have")
        if proxy is not None and not origin.tls:
            target = origin.url(target)
        lines = [f"{self.method} {target} HTTP/1.1"]
        given = {_folded(name) for name, _ in self.headers}
        lines += [f"{name}: {value}" for name, value in self.headers]
        together = "".join(lines)
        if not (together.isascii() and together.isprintable()):
            self._check_values()
        if "host" not in given:
            lines.append(f"Host: {origin.authority}")
        if "user-agent" not in given:
            lines.append("User-Agent: wf-transfer")
        if proxy is not None and not origin.tls and proxy.authorization:
            lines.append(f"Proxy-Authorization: {proxy.authorization.reveal()}")
        if "accept-encoding" not in given:
            lines.append("Accept-Encoding: identity")
        lines.append("")
        return ("\r\n".join(lines) + framing + "\r\n").encode("latin-1")

    def _check_values(self) -> None:
        """Raises Unsupported for the value of a field that cannot be sent."""
        for name, value in self.headers:
            if compiled(_FORBIDDEN).search(value):
                raise Unsupported(
                    f"{self.what()}: the value of header {name} has characters that it may not have"
                )


@lru_cache(maxsize=256)
def _folded(name: str) -> str:
    """The name of a header field in lower case. Raises Unsupported for what cannot be one."""
    plain = name.isascii() and name.replace("-", "").isalnum()
    if not plain and not compiled(_TOKEN).fullmatch(name):
        raise Unsupported(f"a header name has characters that it may not have: {name[:40]!r}")
    return name.lower()


def _redacted(url: str) -> str:
    from ..credentials.redaction import redact_url

    return redact_url(url)

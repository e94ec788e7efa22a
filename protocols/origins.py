"""Servers, and requests to them as the bytes of a head."""

from __future__ import annotations

from functools import lru_cache

from ..checksum.records import NamedTuple
from .errors import Unsupported
from .patterns import compiled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final, NoReturn

    from ..credentials.kinds import Certificate
    from .proxies import Proxy

_AUTHORITY: Final = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]+)(?::([0-9]{0,5}))?"
_UNSENDABLE: Final = bytes((*range(9), *range(10, 32), 127))
_WITHOUT_UNSENDABLE: Final = bytes.maketrans(_UNSENDABLE, b"?" * len(_UNSENDABLE))
"""Changes what the value of a field may not have."""
_END_LEAST: Final = len("http://h")
"""Where the authority of a URL can end."""
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
    end = url.find("/", _END_LEAST)
    origin = _origin(url[:end]) if end > 0 else None
    if origin is None:
        # There is no path, or a query before the first slash.
        end = min((at for at in (url.find(mark, _END_LEAST) for mark in "/?#") if at >= 0), default=len(url))
        origin = _origin(url[:end])
    if origin is None:
        raise _not_understood(url)
    target = url[end:]
    if "#" in target:
        target = target.partition("#")[0]
    return origin, target if target.startswith("/") else "/" + target


def _not_understood(url: str) -> Unsupported:
    scheme, separator, _ = url.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        return Unsupported(f"{_redacted(url)}: not an http or https URL")
    return Unsupported(f"{_redacted(url)}: the host or the port cannot be understood")


@lru_cache(maxsize=256)
def _origin(base: str) -> Origin | None:
    """The server of a URL that ends with its authority; None where it ends behind that, or cannot be understood."""
    scheme, separator, authority = base.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        return None
    if any(mark in authority for mark in "/?#"):
        return None
    # The last @ ends the user part: a password may hold one that nobody has encoded.
    authority = authority.rpartition("@")[2]
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
        _, origin, target, headers, _ = self
        if not (target and target.isascii() and target.isprintable()) or " " in target:
            raise Unsupported(f"{self.what()}: the URL has characters that no URL may have")
        if proxy is not None and not origin.tls:
            target = origin.url(target)
            if proxy.authorization:
                framing = f"Proxy-Authorization: {proxy.authorization.reveal()}\r\n{framing}"
        names, values = zip(*headers, strict=True) if headers else ((), ())
        form = _form(origin, names)
        if values and not _are_sendable("".join(values)):
            self._refuse_value()
        return (form % (self.method, target, *values, framing)).encode("latin-1")

    def _refuse_value(self) -> NoReturn:
        name = next(name for name, value in self.headers if not _are_sendable(value))
        raise Unsupported(f"{self.what()}: the value of header {name} has characters that it may not have")


@lru_cache(maxsize=64)
def _form(origin: Origin, names: tuple[str, ...]) -> str:
    """A head to be filled with the method, the target, the values of the fields with these names, and further lines.

    Raises Unsupported for what cannot be a name.
    """
    given = {_folded(name) for name in names}
    lines = [name.replace("%", "%%") + ": %s" for name in names]
    if "host" not in given:
        lines.append(f"Host: {origin.authority}".replace("%", "%%"))
    if "user-agent" not in given:
        lines.append("User-Agent: wf-transfer")
    if "accept-encoding" not in given:
        lines.append("Accept-Encoding: identity")
    return "\r\n".join(["%s %s HTTP/1.1", *lines, "%s\r\n"])


def _folded(name: str) -> str:
    """The name of a header field in lower case. Raises Unsupported for what cannot be one."""
    plain = name.isascii() and name.replace("-", "").isalnum()
    if not plain and not compiled(_TOKEN).fullmatch(name):
        raise Unsupported(f"a header name has characters that it may not have: {name[:40]!r}")
    return name.lower()


def _are_sendable(values: str) -> bool:
    """Whether fields may have these values (RFC 9110 section 5.5), which are sent as Latin-1."""
    try:
        raw = values.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return raw.translate(_WITHOUT_UNSENDABLE) == raw


def _redacted(url: str) -> str:
    from ..credentials.redaction import redact_url

    return redact_url(url)

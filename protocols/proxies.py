"""Which proxy stands between us and a server."""

from __future__ import annotations

from ..checksum.records import NamedTuple
from ..credentials.kinds import Secret
from .errors import Misconfigured
from .origins import is_host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Proxy(NamedTuple):
    """An HTTP proxy. `authorization` is the value of Proxy-Authorization, or None."""

    host: str
    port: int
    authorization: Secret | None = None

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Proxies(NamedTuple):
    """What the environment says of proxies, taken apart once."""

    http: Proxy | None = None
    https: Proxy | None = None
    caches: tuple[Proxy, ...] = ()
    """Caching proxies near the worker: tried first for plain http reads, and done without when they fail."""
    without: tuple[str, ...] = ()
    """Hosts that are contacted directly, as `no_proxy` spells them."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Proxies:
        """The proxies that `http_proxy`, `https_proxy`, `all_proxy`, `no_proxy` and `OSG_SQUID_LOCATION` name.

        Names in lower case come before those in upper case. `HTTP_PROXY` is not believed inside a CGI program, where
        a client's header sets it (CVE-2016-5385). Raises Misconfigured for a value that names no HTTP proxy.
        """
        http = environment.get("http_proxy", "")
        if not http and "REQUEST_METHOD" not in environment:
            http = environment.get("HTTP_PROXY", "")
        squids = environment.get("OSG_SQUID_LOCATION", "")
        return cls(
            _proxy(http or _either(environment, "all_proxy"), "http_proxy"),
            _proxy(_either(environment, "https_proxy") or _either(environment, "all_proxy"), "https_proxy"),
            tuple(filter(None, (_proxy(squid, "OSG_SQUID_LOCATION") for squid in squids.split(";")))),
            tuple(_either(environment, "no_proxy").lower().replace(",", " ").split()),
        )

    def for_host(self, *, tls: bool, host: str, port: int) -> Proxy | None:
        """The proxy that requests to this server go through, or None."""
        proxy = self.https if tls else self.http
        return None if proxy is None or self.excludes(host, port) else proxy

    def excludes(self, host: str, port: int) -> bool:
        """Whether `no_proxy` names the host: itself, a domain above it, its network, or all (`*`)."""
        return any(_matches(entry, host, port) for entry in self.without)


def _either(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name) or environment.get(name.upper(), "")


def _proxy(text: str, variable: str) -> Proxy | None:
    """The proxy that `[http://][user:password@]host[:port]` names; None for nothing and for `UNAVAILABLE`."""
    text = text.strip()
    if not text or text.upper() in ("UNAVAILABLE", "NONE"):
        return None
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text if "://" in text else "http://" + text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if not host or not is_host(host) or parts.scheme != "http":
        raise Misconfigured(
            f"{variable} does not name an HTTP proxy",
            remedy=f"set {variable} to http://host:port, or unset it",
        )
    usual = 3128 if variable == "OSG_SQUID_LOCATION" else 80
    return Proxy(host, port or usual, _authorization(parts.username, parts.password))


def _authorization(user: str | None, password: str | None) -> Secret | None:
    if user is None:
        return None
    from base64 import b64encode
    from urllib.parse import unquote_to_bytes

    pair = unquote_to_bytes(user) + b":" + unquote_to_bytes(password or "")
    return Secret("Basic " + b64encode(pair).decode())


def _matches(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        return _in_network(entry, host)
    name, colon, number = entry.rpartition(":")
    if colon and number.isdigit() and (":" not in name or name.endswith("]")):
        if int(number) != port:
            return False
        entry = name
    entry = entry.strip("[]").removeprefix("*").lstrip(".")
    return bool(entry) and (host == entry or host.endswith("." + entry))


def _in_network(entry: str, host: str) -> bool:
    from ipaddress import ip_address, ip_network

    try:
        return ip_address(host) in ip_network(entry, strict=False)
    except ValueError:
        return False

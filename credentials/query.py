"""Whom a credential is for."""

from __future__ import annotations

from .records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

S3_SCHEMES: Final = frozenset({"s3", "s3s"})
PLAIN_SCHEMES: Final = {"http": "http", "webdav": "http", "dav": "http"}
TLS_SCHEMES: Final = {
    "https": "https",
    "webdavs": "https",
    "davs": "https",
    "gsidavs": "https",
    "osdf": "https",
    "pelican": "https",
    "stash": "https",
}
FEDERATION_SCHEMES: Final = frozenset({"osdf", "pelican", "stash"})
"""Data federations. `NAME+osdf:` says which token is to be presented."""
SSH_SCHEMES: Final = frozenset({"scp", "sftp", "ssh", "sshftp"})
GRID_SCHEMES: Final = frozenset({"gsiftp", "gsiscp", "srm"})
"""What speaks GSI: an X.509 proxy and nothing else."""
XROOTD_SCHEMES: Final = frozenset({"root", "roots", "xroot", "xroots"})
GOOGLE_SCHEMES: Final = frozenset({"gs"})
GLOBUS_SCHEMES: Final = frozenset({"globus", "go"})
IRODS_SCHEMES: Final = frozenset({"irods"})
LOCAL_SCHEMES: Final = frozenset({"file", "symlink", "moveto"})
_PORTS: Final = {"http": "80", "https": "443", "ftp": "21"}


class Query(NamedTuple):
    """One question to the sources. `host` is `host[:port]` in lower case, and for s3 the name of a site or empty."""

    scheme: str
    host: str
    site: str
    """The label that the batch gives; may be empty."""
    user: str = ""
    password: str = ""
    """Out of the URL, percent-decoded."""
    purpose: str = "read"
    """`read` or `write`."""
    path: str = ""
    """Decoded, where the caller told it: tokens may be for some paths only."""
    token: str = ""
    """The name of the token to present, where the URL insists on one."""
    issuers: tuple[str, ...] = ()
    """Who may have made a token for this path; empty where nobody told."""
    base_path: str = ""
    """The folder that the paths in tokens are below."""

    @property
    def is_federation(self) -> bool:
        return self.scheme in FEDERATION_SCHEMES

    @property
    def is_s3(self) -> bool:
        return self.scheme in S3_SCHEMES

    @property
    def transport(self) -> str:
        """`http`, `https`, `ftp`, or empty for schemes of another kind."""
        if self.scheme == "ftp":
            return "ftp"
        return PLAIN_SCHEMES.get(self.scheme) or TLS_SCHEMES.get(self.scheme, "")

    @property
    def takes_tokens(self) -> bool:
        """Whether a bearer token can go there unseen by others: over TLS. XRootD's `ztn` sends it over TLS alone."""
        if self.scheme.startswith("gsi"):
            return False
        return self.transport == "https" or self.scheme in XROOTD_SCHEMES

    @property
    def takes_certificates(self) -> bool:
        return self.takes_tokens or self.transport == "https" or self.scheme in GRID_SCHEMES

    @property
    def takes_passwords(self) -> bool:
        """Whether user and password of a URL can be meant for the service."""
        others = (S3_SCHEMES, GRID_SCHEMES, GOOGLE_SCHEMES, GLOBUS_SCHEMES, IRODS_SCHEMES)
        return not any(self.scheme in schemes for schemes in others)

    @property
    def needs(self) -> str:
        """What cannot be done without, for people; empty where nothing may be configured at all."""
        for schemes, what in _NEEDS:
            if self.scheme in schemes:
                return what
        return ""

    @property
    def service(self) -> str:
        """The site that an s3 URL means: the one after `user@`, else the label."""
        return self.host or self.site

    def sections(self) -> Iterator[str]:
        """Names of sections that are about exactly this scheme, host and port, the most exact first.

        A port that is the scheme's own may be left out on either side. A section without a port is not about
        another port: there may be somebody else's service.
        """
        hosts = [self.host]
        port = _PORTS.get(self.transport, "")
        if self.host.endswith(f":{port}"):
            hosts.append(self.host.removesuffix(f":{port}"))
        elif not _has_port(self.host):
            hosts.append(f"{self.host}:{port}")
        for scheme in dict.fromkeys((self.scheme, self.transport)):
            for host in hosts:
                if self.user:
                    yield f"{scheme}://{self.user}@{host}"
                yield f"{scheme}://{host}"
        for host in hosts:
            if self.user:
                yield f"{self.user}@{host}"
            yield host


_NEEDS: Final = (
    (S3_SCHEMES, "an access key"),
    (GRID_SCHEMES, "an X.509 proxy"),
    (GOOGLE_SCHEMES, "a Google credential"),
    (GLOBUS_SCHEMES, "a Globus client or token"),
    (IRODS_SCHEMES, "an iRODS environment"),
)


def make_query(
    scheme: str, host: str, site: str = "", *, user: str = "", purpose: str = "read", path: str = ""
) -> Query:
    """The query for a location; `host` may be `user:password@host:port` as in a URL, `path` too is as the URL has it.

    Of a federation the path may be followed by what its director said of tokens: `?issuer=...&base-path=...`, and by `token=`
    with the name of the one to present; `NAME+` before the scheme names one, too.
    """
    if "+" in scheme and scheme.rpartition("+")[2] in FEDERATION_SCHEMES:
        token, _, scheme = scheme.rpartition("+")
        return make_query(scheme, host, site, user=user, purpose=purpose, path=path)._replace(token=token)
    before, at, name = host.rpartition("@")
    password = ""
    if at:
        name_in_url, _, password = before.partition(":")
        user = user or name_in_url
        if scheme not in S3_SCHEMES and "%" in before:
            from urllib.parse import unquote

            user, password = unquote(user), unquote(password)
    folded = name if scheme in S3_SCHEMES else name.lower()
    query = Query(scheme, folded, site, user, password, purpose, _decoded(path))
    return _with_hints(query, path) if query.is_federation and "?" in path else query


def _with_hints(query: Query, path: str) -> Query:
    from urllib.parse import parse_qs

    hints = parse_qs(path.partition("?")[2])
    return query._replace(
        token=hints.get("token", [""])[0],
        issuers=tuple(hints.get("issuer", ())),
        base_path=hints.get("base-path", [""])[0],
    )


def _decoded(path: str) -> str:
    path = path.partition("?")[0].partition("#")[0]
    if "%" not in path:
        return path
    from urllib.parse import unquote

    return unquote(path)


def as_variable(site: str) -> str:
    """How a site is spelled inside the name of an environment variable: `-`, `.` and `:` become `_`."""
    return "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in site)


def _has_port(host: str) -> bool:
    return ":" in host.rpartition("]")[2]

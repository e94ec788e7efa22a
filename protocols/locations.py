"""Where data is: a URL taken apart once, by the rule of its scheme.

What the path part means depends on the scheme:

=============  ==============================================  ===============================================
rule           schemes                                         path
=============  ==============================================  ===============================================
LOCAL          file, symlink, moveto; text without a scheme    literal; `$NAME` and `${NAME}` are expanded
URL            http(s), ftp, webdav(s), dav(s), osdf, pelican  RFC 3986, sent as given
LITERAL        all others                                      literal: `%`, `?`, `#`, blanks belong to the name
=============  ==============================================  ===============================================

A literal path is never percent-decoded and `//` in it is kept. File names that are not UTF-8 travel as lone
surrogates (PEP 383), as Python's own file functions have them.
"""

from __future__ import annotations

from functools import lru_cache
from sys import intern

from ..checksum.records import NamedTuple, StrEnum

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Mapping
    from typing import Any, Final, TypedDict, Unpack

    class _Fields(TypedDict, total=False):
        """What `Location._replace` may change."""

        url: str
        scheme: str
        host: str
        start: int
        site: str
        priority: int | None
        kind: str
        problem: str
        logical: str


_SHOWN_MOST: Final = 2000
"""Characters of a URL that people are shown."""
LOCAL_SCHEMES: Final = frozenset({"file", "symlink", "moveto"})
_URL_SCHEMES: Final = frozenset(
    {"http", "https", "ftp", "webdav", "webdavs", "dav", "davs", "gsidavs"} | {"osdf", "pelican", "stash"}
)
_HOSTLESS_URL_SCHEMES: Final = frozenset({"osdf", "stash"})
"""`osdf:///namespace/name`: the federation is known, and no host is named."""
_FEDERATIONS: Final = frozenset({"osdf", "pelican", "stash"})
"""Before these may stand `NAME+`, the name of a token, in which underscores are common."""
_SCHEME_MARKS: Final = str.maketrans("", "", "+.-")
_OPAQUE_SCHEMES: Final = frozenset({"root", "roots", "xroot", "xroots"})
"""`?` begins what XRootD calls the opaque part; everything before it is literal."""
BUCKET_SCHEMES: Final = frozenset({"s3", "s3s", "gs"})
"""The path begins with the name of a bucket."""
HOME_SCHEMES: Final = frozenset({"sftp", "scp", "globus", "go"})
"""A path that begins with `/~/` is below the home folder at the service."""
ZONE_SCHEMES: Final = frozenset({"irods"})
"""The path begins with the name of a zone, whose homes are below `/zone/home`."""

# Names of one letter stay as they are: `a$b` and `cost$5` are file names in batches that exist.
_VARIABLE = r"\$(?:\{([A-Za-z_][A-Za-z0-9_]+)\}|([A-Za-z_][A-Za-z0-9_]+))"
_NOT_IN_URL = r"%(?![0-9A-Fa-f]{2})|[^%!#$&'()*+,/:;=?@\[\]A-Za-z0-9._~-]"
_PLAIN_IN_URL = r"[!#$&'()*+,/:;=?@\[\]A-Za-z0-9._~-]*"
_AUTHORITY_END = r"[/?#]"
_HOST_AND_PORT = r"(\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9%._~-]+)?\]|[^\[\]:]*)(?::([0-9]*))?"
_NEVER_IN_AUTHORITY = r"[\x00-\x20\x7f]|(?:^|@)-"
_AFTER_FILE: Final = len("file://")
_OWN_PATH = ("/", "$", ".")
"""How a path may begin that stands where a host could."""


@lru_cache(maxsize=16)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Compiled when it is first used: local files need none."""
    import re

    return re.compile(pattern)


class Rule(StrEnum):
    LOCAL = "local"
    URL = "url"
    LITERAL = "literal"


class _Rest(NamedTuple):
    """What few locations have."""

    priority: int | None = None
    kind: str = ""
    problem: str = ""
    logical: str = ""


_rest = lru_cache(maxsize=256)(_Rest)
_NO_REST: Final = _Rest()


class Location:
    """One place of one file or folder. Scheme, host and site are interned, so that a million of them are cheap.

    `host` is `user@host:port` as the URL has it, and empty for local paths and for `s3://bucket/key` and `gs://bucket/key`. It may hold
    a password: show `shown` or `endpoint` to people. `start` is where the path begins in the URL. Nobody changes a location:
    `_replace` makes another one, as that of a named tuple does.
    """

    # No named tuple: of a million requests these are the largest part, and with what few have apart they are a third smaller.
    __slots__ = ("_rest", "host", "scheme", "site", "start", "url")

    def __init__(
        self,
        url: str,
        scheme: str,
        host: str,
        start: int,
        site: str = "",
        priority: int | None = None,
        kind: str = "",
        problem: str = "",
        logical: str = "",
    ) -> None:
        self.url = url
        self.scheme = scheme
        self.host = host
        self.start = start
        self.site = site
        plain = priority is None and not (kind or problem or logical)
        self._rest = _NO_REST if plain else _rest(priority, kind, problem, logical)

    @property
    def priority(self) -> int | None:
        """None where the batch gave none: the plan then draws one."""
        return self._rest.priority

    @property
    def kind(self) -> str:
        """The batch's `type` of a URL (`singularity`, ...), mostly empty."""
        return self._rest.kind

    @property
    def problem(self) -> str:
        """Why this location cannot be used although its batch is well formed: an unset variable."""
        return self._rest.problem

    @property
    def logical(self) -> str:
        """The URL in the batch, where a resolver has put this location in its place; else empty."""
        return self._rest.logical

    def _replace(self, **changed: Unpack[_Fields]) -> Location:
        names = ("url", "scheme", "host", "start", "site")
        fields = {name: getattr(self, name) for name in names} | self._rest._asdict()
        fields.update(changed)
        return Location(**fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Location) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        return f"Location{self._values()!r}"

    def __reduce__(self) -> tuple[type[Location], tuple[Any, ...]]:
        return Location, self._values()

    def _values(self) -> tuple[Any, ...]:
        """As the constructor takes them."""
        return (self.url, self.scheme, self.host, self.start, self.site, *self._rest)

    @property
    def path(self) -> str:
        """What follows scheme and host. Local: the path; http: path and query; s3 and gs: `bucket/key`."""
        return self.url[self.start :]

    @property
    def endpoint(self) -> str:
        """Names the service that serves this location: limits, cooling and credentials are per endpoint.

        `user@host:port`, without a password.
        """
        return endpoint_of(self.scheme, self.host, self.site)

    @property
    def shown(self) -> str:
        """The URL as people may see it: without secrets and control characters."""
        from ..credentials.redaction import printable, redact_url

        text = printable(redact_url(self.url))
        return (
            text if len(text) <= _SHOWN_MOST else f"{text[: _SHOWN_MOST // 2]}...{text[-_SHOWN_MOST // 2 :]}"
        )

    @property
    def is_local(self) -> bool:
        return self.scheme in LOCAL_SCHEMES

    def with_path(self, path: str) -> Location:
        """The location of another path on the same service. `path` must be spelled as the scheme wants it."""
        return self._replace(url=self.url[: self.start] + path)

    def below(self, relative: str) -> Location:
        """The location of `relative` inside this folder, spelled as the scheme wants it. A query stays behind it."""
        end = query_start(self.scheme, self.path)
        path, query = self.path[:end], self.path[end:]
        separator = "" if path.endswith("/") else "/"
        return self.with_path(f"{path}{separator}{relative}{query}")


@lru_cache(maxsize=256)
def endpoint_of(scheme: str, host: str, site: str) -> str:
    """What `Location.endpoint` is for these parts of one."""
    if scheme in LOCAL_SCHEMES:
        return ""
    if "@" in host:
        user, _, host = host.rpartition("@")
        return f"{user.partition(':')[0]}@{host}"
    return host or site or scheme


class Login(NamedTuple):
    """What the part of a URL before its path says, decoded. `place` is `host[:port]`, `password` None where there is none."""

    user: str
    password: str | None
    place: str


def login_of(location: Location) -> Login:
    """User, password and place of a network URL. Bytes that are not UTF-8 become lone surrogates (PEP 383)."""
    before, _, place = location.host.rpartition("@")
    user, colon, password = before.partition(":")
    if "%" in before:
        from urllib.parse import unquote

        user, password = (unquote(text, errors="surrogateescape") for text in (user, password))
    return Login(user, password if colon else None, place)


def query_start(scheme: str, path: str) -> int:
    """Where in a location's path that begins which belongs to no name: query and fragment, or XRootD's opaque part."""
    if scheme in _OPAQUE_SCHEMES:
        end = path.find("?")
    elif rule_of(scheme) is Rule.URL:
        found = _compiled(r"[?#]").search(path)
        end = -1 if found is None else found.start()
    else:
        end = -1
    return len(path) if end < 0 else end


def rule_of(scheme: str) -> Rule:
    """The rule of a scheme in lower case. One that nobody knows is literal."""
    if scheme in LOCAL_SCHEMES:
        return Rule.LOCAL
    return Rule.URL if plain_scheme(scheme) in _URL_SCHEMES else Rule.LITERAL


def plain_scheme(scheme: str) -> str:
    """The scheme of a federation without the name of a token before it; every other one as it is."""
    name = scheme.rpartition("+")[2]
    return name if name in _FEDERATIONS else scheme


def parse_location(
    url: str,
    *,
    site: str = "",
    priority: int | None = None,
    kind: str = "",
    environment: Mapping[str, str] | None = None,
) -> Location:
    """The location that `url` names.

    `environment` supplies the variables of local paths; without one (a planner, who does not know the
    worker's) they stay as they are. An unset or empty variable is reported in `problem` instead of being
    replaced. Raises ValueError for a URL that cannot be taken apart; its text never repeats user or password.
    """
    if not url.isascii():
        _refuse_unwritable(url)
    if "\0" in url:
        raise ValueError("the URL contains a NUL")
    if url.startswith("file:///") and "$" not in url:
        # What most local files of most batches are. The rules below come to the same.
        return Location(url, "file", "", _AFTER_FILE, intern(site), priority, intern(kind))
    after = url.find(":") + 1
    scheme, rule = _scheme(url[:after])
    if not scheme:
        return _bare(url, site, priority, kind, environment)
    slashes = url.startswith("//", after)
    if scheme in LOCAL_SCHEMES:
        text, problem = _expand(url, environment)
        start = _local_start(text, after, slashes)
        return Location(text, scheme, "", start, intern(site), priority, intern(kind), problem)
    if not slashes:
        raise ValueError(f"the URL lacks // after {scheme}:")
    if rule is Rule.URL:
        text, host, start = _network(url, scheme, after + 2)
    else:
        text = url
        host, start = _literal(url, scheme, after + 2)
    return Location(text, scheme, host, start, intern(site), priority, intern(kind))


def _bare(
    url: str, site: str, priority: int | None, kind: str, environment: Mapping[str, str] | None
) -> Location:
    """The location of a text without a scheme: a path. Garbage before a URL is not taken for one."""
    if not url:
        raise ValueError("the URL is empty")
    if "://" in url and not url.startswith(_OWN_PATH):
        raise ValueError("the URL does not begin with a scheme")
    variable = _compiled(_VARIABLE).match(url) if "$" in url else None
    if variable is not None and url.startswith("://", variable.end()):
        raise ValueError("a variable cannot stand for the scheme of a URL")
    text, problem = _expand(url, environment)
    return Location(text, "file", "", 0, intern(site), priority, intern(kind), problem)


def resolved(logical: Location, url: str, *, scheme: str = "") -> Location:
    """`url` in the place of `logical`, whose bytes are there. Site, priority and kind stay.

    `scheme` names the protocol that is to open it, where that is not the one of the URL's own scheme.
    Raises ValueError for a URL that cannot be taken apart.
    """
    found = parse_location(url, site=logical.site, priority=logical.priority, kind=logical.kind)
    return found._replace(scheme=scheme or found.scheme, logical=logical.logical or logical.url)


@lru_cache(maxsize=256)
def _scheme(text: str) -> tuple[str, Rule]:
    """The scheme that `text` spells with a colon behind it, and its rule; an empty one where it is none."""
    name = text[:-1]
    if "_" in name and plain_scheme(name.lower()) != name.lower():
        name = name.replace("_", "-")
    if not (name[:1].isalpha() and name.isascii() and name.translate(_SCHEME_MARKS).isalnum()):
        return "", Rule.LOCAL
    scheme = intern(name.lower())
    return scheme, rule_of(scheme)


def _refuse_unwritable(url: str) -> None:
    """Raises ValueError for half a surrogate pair that stands for no byte (PEP 383): no file can have that name."""
    try:
        url.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError("the URL contains half a surrogate pair, which no name can hold") from None


def _local_start(url: str, after: int, slashes: bool) -> int:
    """Where the path of a local URL begins. Raises ValueError for `file://otherhost/` and for an empty path.

    `slashes` tells whether the URL had `//` before its variables were replaced: `file:$PWD/a` names no host, although
    it becomes `file://a` in the root folder.
    """
    start = after
    if slashes:
        start = after + 2
        if url.startswith("localhost/", start):
            start += len("localhost")
        elif start < len(url) and not url.startswith(_OWN_PATH, start):
            host = url[start:].partition("/")[0].rpartition("@")[2]
            raise ValueError(
                f"a local URL names another host, {host!r}: write file:///path or file:relative/path"
            )
    if start == len(url):
        raise ValueError("the URL has no path")
    return start


def _expand(url: str, environment: Mapping[str, str] | None) -> tuple[str, str]:
    """The URL with its variables replaced, and what is wrong with it."""
    if environment is None or "$" not in url:
        return url, ""
    missing: list[str] = []

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        found = environment.get(name, "")
        if not found:
            missing.append(name)
        return found or match[0]

    text = _compiled(_VARIABLE).sub(value, url)
    if not missing:
        return text, ""
    names = ", ".join("$" + name for name in dict.fromkeys(missing))
    return text, f"{names} is not set or empty"


def _literal(url: str, scheme: str, begin: int) -> tuple[str, int]:
    """The authority of a URL whose path is literal, and where its path begins. `?` and `#` belong to either."""
    end = url.find("/", begin)
    if end < 0:
        end = len(url)
    authority = _literal_authority(url[begin:end])
    if scheme not in BUCKET_SCHEMES:
        return authority, end
    host, start = (authority, end + 1) if "@" in authority else ("", begin)
    if start >= len(url) or url[start] == "/":
        raise ValueError("the URL names no bucket")
    return host, start


@lru_cache(maxsize=1024)
def _literal_authority(text: str) -> str:
    """The authority as it is. Raises ValueError for what a command would take for an option or for two words."""
    if _compiled(_NEVER_IN_AUTHORITY).search(text):
        raise ValueError("the host contains a blank or control character, or begins with a dash")
    return intern(text)


def _network(url: str, scheme: str, begin: int) -> tuple[str, str, int]:
    """An RFC 3986 URL as it is sent, its authority, and where its path begins."""
    end = url.find("/", begin)
    authority = url[begin:end] if end >= 0 else url[begin:]
    if end < 0 or "?" in authority or "#" in authority:
        found = _compiled(_AUTHORITY_END).search(url, begin)
        end = found.start() if found else len(url)
        authority = url[begin:end]
    host = _authority(authority, scheme)
    if host is not authority and host != authority:
        url = url[:begin] + host + url[end:]
        end = begin + len(host)
    if _compiled(_PLAIN_IN_URL).fullmatch(url, end) is None:
        url = url[:end] + _quoted_once(url[end:])
    return url, host, end


@lru_cache(maxsize=1024)
def _authority(text: str, scheme: str) -> str:
    """The authority `[user[:password]@]host[:port]` as it is sent. Raises ValueError if there is something else."""
    user, at, place = text.rpartition("@")
    match = _compiled(_HOST_AND_PORT).fullmatch(place)
    if match is None:
        raise ValueError(
            "the part between // and the path is not [user@]host[:port]; "
            "in a user name or password, write / as %2F, ? as %3F and # as %23"
        )
    host, port = match[1], match[2]
    if not host and plain_scheme(scheme) not in _HOSTLESS_URL_SCHEMES:
        raise ValueError("the URL names no host")
    if port and int(port[:6]) > 65535:
        raise ValueError("the port is above 65535")
    if not host.startswith("["):
        place = _host_name(host) + place[len(host) :]
    return intern(_quoted_once(user) + at + place)


def _host_name(host: str) -> str:
    """A host name in ASCII (RFC 3490). Raises ValueError for what no host name can be."""
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            raise ValueError("the host is not a valid name") from None
    if _compiled(_NOT_IN_URL).search(host) or "%" in host:
        raise ValueError("the host is not a valid name")
    return host


def _quoted_once(url: str) -> str:
    """The URL with every character that a URL may not hold percent-encoded; an existing `%XX` stays."""

    def quote(match: re.Match[str]) -> str:
        return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogateescape"))

    return _compiled(_NOT_IN_URL).sub(quote, url)

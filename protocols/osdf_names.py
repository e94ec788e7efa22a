"""Names of objects in data federations: which federation, which path, and how it is to be got.

=====================================  ==============================================================
URL                                    means
=====================================  ==============================================================
``osdf:///ns/name``                    in the OSDF; what stands between `//` and `/` belongs to the path
``stash:///ns/name``                   the same
``pelican://host[:port]/ns/name``      in the federation whose discovery is at that host
``NAME+osdf:///ns/name``               the same, with the token of that name
=====================================  ==============================================================

Behind `?` may stand `directread` (from the origin, past the caches), `prefercached`, `skipstat` (both for the director), `recursive`
and `pack=auto|tar|tar.gz|tar.xz|zip`; nothing else, for a misspelt word would silently do something else.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from .errors import LocalRefused, Unsupported

if TYPE_CHECKING:
    from typing import Final

    from .locations import Location

OSDF_DISCOVERY: Final = "osg-htc.org"
PACKS: Final = ("auto", "tar", "tar.gz", "tar.xz", "zip")
_FLAGS: Final = ("directread", "prefercached", "recursive", "skipstat")
_NO_FLAGS: Final[frozenset[str]] = frozenset()
_SEPARATE: Final = (("recursive", "pack"), ("directread", "prefercached"))


class Name(NamedTuple):
    """An object, or a folder of them, as a URL names it."""

    federation: str
    """`host[:port]` of the discovery."""
    path: str
    """As the URL spells it, from the slash on."""
    flags: frozenset[str] = frozenset()
    pack: str = ""
    token: str = ""
    """The name of the token to present."""

    @property
    def of_the_director(self) -> str:
        """The query that the director is asked with."""
        asked = sorted(self.flags - {"recursive"})
        if "recursive" in self.flags and "skipstat" not in self.flags:
            asked.append("skipstat")  # a folder is no object that the director could find
        return f"?{'&'.join(asked)}" if asked else ""

    @property
    def decoded(self) -> str:
        from urllib.parse import unquote

        return unquote(self.path) if "%" in self.path else self.path


def name_of(location: Location) -> Name:
    """The name that a location has in its federation, also once it was resolved. Raises LocalRefused and Unsupported."""
    return _name(location.logical or location.url)


@lru_cache(maxsize=4096)
def _name(url: str) -> Name:
    scheme, _, rest = url.partition("://")
    token, _, scheme = scheme.rpartition("+")
    path, _, query = rest.partition("?")
    path = path.partition("#")[0]
    federation = OSDF_DISCOVERY
    if scheme.lower() == "pelican":
        host, slash, path = path.partition("/")
        federation, path = host.rpartition("@")[2].lower(), slash + path
    path = "/" + path.lstrip("/")
    flags, pack = _options(query, url)
    name = Name(federation, path, flags, pack, token)
    if any(part in (".", "..") for part in name.decoded.split("/")):
        raise LocalRefused(
            f"{_shown(url)}: a path in a federation may not go up or stand still", remedy="write the path out"
        )
    return name


def _options(query: str, url: str) -> tuple[frozenset[str], str]:
    if not query:
        return _NO_FLAGS, ""
    from urllib.parse import parse_qsl

    given = dict(parse_qsl(query, keep_blank_values=True))
    unknown = [word for word in given if word not in (*_FLAGS, "pack")]
    if unknown:
        raise Unsupported(
            f"{_shown(url)}: the query has a word that is not known here, {unknown[0][:40]!r}",
            remedy=f"leave it out; there are {', '.join((*_FLAGS, 'pack'))}",
        )
    for one, other in _SEPARATE:
        if one in given and other in given:
            raise Unsupported(
                f"{_shown(url)}: {one} and {other} exclude each other", remedy="leave one of them out"
            )
    pack = given.pop("pack", None)
    if pack is not None and (pack or "auto") not in PACKS:
        raise Unsupported(
            f"{_shown(url)}: there is no pack {pack[:20]!r}", remedy=f"write one of {', '.join(PACKS)}"
        )
    return frozenset(word for word in given if given[word].lower() not in ("false", "0")), (
        pack or "auto" if pack is not None else ""
    )


def _shown(url: str) -> str:
    from ..credentials.redaction import printable, redact_url

    return printable(redact_url(url))[:2000]

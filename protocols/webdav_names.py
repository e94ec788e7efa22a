"""Names on a WebDAV server: our locations as http URLs, and what the hrefs of its answers mean.

Of an href only the path counts. Its host is never contacted and its folders are never believed: a name is what stands
directly below the folder that was asked for, and it is joined to that folder's own location.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final

    from .locations import Location

_SECURE: Final = frozenset({"https", "webdavs", "davs", "gsidavs"})
_AUTHORITY = re.compile(r"^(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/]*")
_MISREAD = re.compile(rb"[;?#%\x00-\x1f\x7f]")
_END = re.compile(r"[?#]|$")


def over_http(location: Location) -> Location:
    """The same location with the URL that its scheme stands for; the scheme stays, for it chooses the credential."""
    scheme = "https" if location.scheme in _SECURE else "http"
    before = len(location.url.partition("://")[0])
    url = scheme + location.url[before:]
    return location._replace(url=url, start=location.start + len(scheme) - before)


def as_folder(location: Location) -> Location:
    """The location with a slash at the end of its path, as folders are spelled."""
    path, query = split(location)
    return location if path.endswith("/") else location.with_path(f"{path}/{query}")


def above(location: Location) -> Location | None:
    """The folder that this name is in; None for the top."""
    path, query = split(location)
    folder = path.rstrip("/").rpartition("/")[0] + "/"
    return None if not path.strip("/") else location.with_path(folder + query)


def beside(location: Location, name: str) -> Location:
    """Another name in the same folder."""
    path, query = split(location)
    return location.with_path(f"{path.rpartition('/')[0]}/{name}{query}")


def split(location: Location) -> tuple[str, str]:
    """The path, and the query with its question mark."""
    path = location.path
    found = _END.search(path)
    assert found is not None
    return path[: found.start()] or "/", path[found.start() :]


def is_misread(location: Location) -> bool:
    """Whether some servers take the path for another one where it stands in a header field.

    They decode it too early or twice: wsgidav moves `a%3Bb` to `a`. As the target of a request it is understood.
    """
    return any(_MISREAD.search(part) for part in parts_of(split(location)[0]))


def has_escapes(location: Location) -> bool:
    return "%" in split(location)[0]


def parts_of(path: str) -> tuple[bytes, ...]:
    """The decoded names in a path, without empty ones: `//` and a slash at the end say nothing."""
    from urllib.parse import unquote_to_bytes

    # Some servers send characters that they should have encoded; a byte of a name that is not UTF-8 is a lone surrogate.
    raw = path.encode("utf-8", "surrogateescape")
    return tuple(unquote_to_bytes(part) for part in raw.split(b"/") if part)


def href_parts(href: str) -> tuple[bytes, ...]:
    """The decoded names in the path of an href."""
    return parts_of(_AUTHORITY.sub("", href, count=1))


def spelled(name: bytes) -> str:
    """The name as our locations spell it."""
    from urllib.parse import quote_from_bytes

    return quote_from_bytes(name, safe="")


def is_name(name: bytes) -> bool:
    """Whether it can be the name of something inside a folder."""
    return name not in (b"", b".", b"..") and b"/" not in name and b"\0" not in name

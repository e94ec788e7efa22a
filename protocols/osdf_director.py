"""What a federation's discovery and director say, taken apart: where objects are, and whose tokens open them.

As Pelican's services speak (github.com/PelicanPlatform/pelican, director/ and client/): the discovery is a JSON document; the director
answers with a redirect whose `Link` (RFC 6249) names all servers, and with `X-Pelican-*` fields.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from .errors import Busy, NotFound, ServerFault, TransferError, Unreachable, Unsupported
from .http_visit import refused
from .wire import origin_of

if TYPE_CHECKING:
    from typing import Final

    from .exchange import Fields
    from .http_visit import Visit

WELL_KNOWN: Final = "/.well-known/pelican-configuration"
_DOCUMENT_MOST: Final = 1 << 20
_REBOOT_SECONDS: Final = 3.0
"""How long to leave a director alone that has just started; Pelican's own client waits as long."""
_LINK = re.compile(
    r'\s*+<([^>]*+)>((?:\s*+;\s*+[!#$%&\'*+.^_`|~0-9A-Za-z-]++\s*+(?:=\s*+(?:"[^"]*+"|[^\s",;]*+))?+)*+)\s*+(?:,|$)'
)
"""Nothing in it is tried twice: whoever writes the field must not decide how long it takes to read."""
_PARAMETER = re.compile(r';\s*+([A-Za-z0-9_*-]++)\s*+=\s*+(?:"([^"]*+)"|([^\s",;]*+))')
_PRIORITY = re.compile(r"[0-9]{1,9}")
_SERVERS_MOST: Final = 20
"""Of the servers for one object; Pelican's directors name six unless told otherwise."""
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class Guide(NamedTuple):
    """The director's answer about one object, as far as it holds for others of the namespace, too."""

    namespace: str
    """Decoded; empty where the director does not tell."""
    servers: tuple[str, ...]
    """URLs without the object's path, best first."""
    needs_token: bool = False
    """Also for reading."""
    collections: str = ""
    """The URL at which folders can be listed."""
    issuers: tuple[str, ...] = ()
    base_path: str = ""
    """The folder that the paths in tokens are below."""
    alone: bool = False
    """It is about this one object only."""


def director_in(visit: Visit) -> str:
    """The URL of the director in a discovery's answer, without a slash at its end; empty where there is none.

    Raises what any other answer means; the document itself is small, and refused where it is not what it should be.
    """
    import json

    if visit.answer.status != 200:
        raise _not_discovered(visit)
    try:
        document = json.loads(visit.answer.read_all(_DOCUMENT_MOST))
    except (ValueError, RecursionError):
        raise ServerFault(
            f"{visit.what()}: the federation's configuration is no JSON", host=visit.origin.authority
        ) from None
    found = document.get("director_endpoint") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(found, str | None):
        raise ServerFault(
            f"{visit.what()}: the federation's configuration is malformed", host=visit.origin.authority
        )
    director = (found or "").rstrip("/")
    if director.lower().startswith("http:"):
        # Who can change what it says also chooses the servers that get the tokens.
        raise ServerFault(
            f"{visit.what()}: the federation names a director without TLS", host=visit.origin.authority
        )
    return director


def _not_discovered(visit: Visit) -> TransferError:
    """Nobody asks for a name here, so its absence says that this is no federation."""
    error = refused(visit)
    if isinstance(error, NotFound):
        error.remedy = f"check the host: {visit.origin.authority} does not tell of a federation"
    return error


def guide_in(visit: Visit, path: str) -> Guide:
    """What the director says of the object at `path`, which is as the URL spells it. Raises what a refusal means."""
    answer = visit.answer
    if answer.status not in _REDIRECTS:
        raise _refusal(visit)
    fields = answer.headers
    answer.read_all(4096)
    told = _pairs(fields.get("x-pelican-namespace") or "")
    generation = _pairs(fields.get("x-pelican-token-generation") or "")
    servers, alone = _without_path(_servers(fields), path)
    if not servers:
        raise ServerFault(
            f"{visit.what()}: the director redirected, and named no server", host=visit.origin.authority
        )
    issuers = dict.fromkeys(
        (*_all(fields, "x-pelican-authorization"), *_all(fields, "x-pelican-token-generation"))
    )
    return Guide(
        told.get("namespace", ""),
        servers,
        told.get("require-token", "").lower() == "true",
        told.get("collections-url", "").rstrip("/"),
        tuple(issuers),
        generation.get("base-path", ""),
        alone,
    )


def _servers(fields: Fields) -> list[str]:
    """The URLs of `Link`, by their `pri`; where there is none that of `Location`."""
    found = []
    text, at = fields.get("link") or "", 0
    while at < len(text) and (link := _LINK.match(text, at)):
        at = link.end()
        parameters = {match[1].lower(): match[2] or match[3] or "" for match in _PARAMETER.finditer(link[2])}
        if "duplicate" in parameters.get("rel", "duplicate").split():
            priority = parameters.get("pri", "")
            found.append((int(priority) if _PRIORITY.fullmatch(priority) else 1 << 30, link[1]))
    if found:
        return list(dict.fromkeys(url for _, url in sorted(found, key=lambda one: one[0])))
    location = fields.getlist("location")
    return location[:1]


def _without_path(urls: list[str], path: str) -> tuple[tuple[str, ...], bool]:
    """The URLs up to the object's path, and whether they name this one object only: some do not end in its path."""
    usable = list(dict.fromkeys(url for url in map(_plain, urls) if url))[:_SERVERS_MOST]
    if all(url.endswith(path) for url in usable):
        return tuple(url.removesuffix(path) for url in usable), False
    return tuple(usable), True


def _plain(url: str) -> str:
    """The URL in the one spelling by which its server is remembered, without user and query, which may hold secrets.

    Empty where nobody could go there.
    """
    try:
        origin, target = origin_of(url)
    except Unsupported:
        return ""
    target = target.partition("?")[0]
    return origin.url(target) if target.isascii() and target.isprintable() and " " not in target else ""


def _pairs(text: str) -> dict[str, str]:
    """`name=value` separated by commas: the first of each name."""
    found: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        if equals:
            found.setdefault(name.strip().lower(), value.strip().strip('"'))
    return found


def _all(fields: Fields, name: str) -> list[str]:
    """Every issuer in a field: the director repeats the field, or the name in it."""
    values = ",".join(fields.getlist(name)).split(",")
    pairs = (part.strip().partition("=") for part in values)
    return [value.strip().strip('"') for key, _, value in pairs if key.strip() == "issuer" and value.strip()]


def _refusal(visit: Visit) -> TransferError:
    """What an answer means that is no redirect. One that the director did not write is none of its words about the object."""
    status, host = visit.answer.status, visit.origin.authority
    if not (visit.answer.headers.get("server") or "").lower().startswith("pelican/"):
        visit.answer.close()
        return Unreachable(
            f"{visit.what()}: answered {status}, not by the director but by what stands in front of it",
            host=host,
        )
    error = refused(visit)
    if isinstance(error, Busy) and error.retry_after is None:
        error.retry_after = _REBOOT_SECONDS
    return error

"""Bearer tokens: what a file may hold, and which of several is for this service, this path and this purpose."""

from __future__ import annotations

from .errors import Misconfigured, MissingCredential
from .kinds import Bearer, Secret
from .private import STRICT, read_seen
from .records import NamedTuple
from .redaction import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from .claims import Claims
    from .private import Policy, Seen
    from .query import Query


class Candidate(NamedTuple):
    """A token that could be presented."""

    token: Secret
    name: str
    origin: str
    seen: tuple[Seen, ...] = ()
    bound: bool = False
    """Put there for this site or host: it need not say itself that it is for it."""


class Wanted(NamedTuple):
    """What the credentials file says that a token for this host must be. Empty: anything."""

    issuer: str = ""
    audience: str = ""


class _Verdict(NamedTuple):
    """`why_not` is empty for a token that can be presented; the larger `rank` the better it fits."""

    why_not: str
    rank: tuple[int, int] = (0, 0)
    by_path: bool = False


def token_in_text(text: str, origin: str) -> Secret:
    """The token without the white space around it. Raises Misconfigured when it cannot be sent as a header.

    A JSON object is taken for its `access_token`, as HTCondor's credential monitors write it.
    """
    token = text.strip()
    if token.startswith("{"):
        token = _in_json(token)
    if not token or any(not "!" <= letter <= "~" for letter in token):
        raise Misconfigured(
            f"{origin} does not hold a token: it is empty or has characters no token has",
            "put the token there, and nothing else",
        )
    return Secret(token)


def token_in_file(path: str, origin: str, policy: Policy = STRICT) -> tuple[Secret, Seen]:
    """The token that a file holds, and which version of the file it was. Raises MissingCredential, UnsafeFile and Misconfigured."""
    try:
        content, seen = read_seen(path, policy)
    except FileNotFoundError:
        raise MissingCredential(
            f"{origin} names {printable(path)}, which is not there",
            "make the token file, or unset the variable",
        ) from None
    return token_in_text(content.decode("utf-8", "replace"), f"{origin}={printable(path)}"), seen


def presented(candidate: Candidate, *, by_path: bool = False, expires: float | None = None) -> Bearer:
    """The credential; where nobody knows when it ends, what the token says of that."""
    from .claims import claims_of

    if expires is None:
        claims = claims_of(candidate.token.reveal())
        expires = claims.expires if claims is not None else None
    return Bearer(
        candidate.token,
        name=candidate.name,
        origin=candidate.origin,
        expires=expires,
        seen=candidate.seen,
        by_path=by_path,
    )


def choose(candidates: Iterable[Candidate], query: Query, wanted: Wanted, looked: list[str]) -> Bearer | None:
    """The candidate that fits best, the earlier of equals; why the others do not is appended to `looked`."""
    from time import time

    best: Candidate | None = None
    rank, by_path, now = (-1, -1), False, time()
    for candidate in candidates:
        verdict = _judged(candidate, query, wanted, now)
        by_path = by_path or verdict.by_path
        if verdict.why_not:
            looked.append(f"{candidate.origin.removeprefix('$')} ({verdict.why_not})")
        elif verdict.rank > rank:
            best, rank = candidate, verdict.rank
    # In a federation the path decides who must have made it.
    return presented(best, by_path=by_path or query.is_federation) if best is not None else None


def _judged(candidate: Candidate, query: Query, wanted: Wanted, now: float) -> _Verdict:
    from .claims import claims_of

    claims = claims_of(candidate.token.reveal())
    if claims is None:
        unknown = "it does not tell its issuer" if wanted.issuer or query.issuers else ""
        return _Verdict(unknown)
    if claims.expires is not None and claims.expires <= now:
        return _Verdict(f"it expired {_ago(now - claims.expires)} ago")
    if wanted.issuer and claims.issuer.rstrip("/") != wanted.issuer.rstrip("/"):
        return _Verdict("another issuer made it")
    if query.issuers and claims.issuer.rstrip("/") not in [one.rstrip("/") for one in query.issuers]:
        return _Verdict(f"another issuer made it, not {query.issuers[0]}")
    fits = _audience(claims, query, wanted)
    if not fits and not candidate.bound:
        return _Verdict("its audience is another host")
    return _by_scope(claims, query, fits)


def _by_scope(claims: Claims, query: Query, fits: int) -> _Verdict:
    """Whether the token's storage scopes allow the purpose, and the path if the question has one."""
    from .claims import Access, Granted, granted, grants_of

    grants = grants_of(claims.scopes)
    if not grants:
        return _Verdict("", (fits, 1))
    accesses = {Access.READ} if query.purpose == "read" else {Access.CREATE, Access.REMOVE}
    if not any(accesses & grant.accesses for grant in grants):
        return _Verdict(f"its scope does not allow to {query.purpose}")
    by_path = any(grant.path != "/" for grant in grants)
    if not query.path:
        return _Verdict("", (fits, 2), by_path)
    path = _in_token(query)
    answers = {granted(grants, access, path) for access in accesses}
    if Granted.YES in answers:
        return _Verdict("", (fits, 3), by_path)
    if Granted.PERHAPS in answers:
        return _Verdict("", (fits, 2), by_path)
    return _Verdict(f"its scope does not allow to {query.purpose} this path", by_path=True)


def _in_token(query: Query) -> str:
    """The path as tokens spell it: below the folder that the service puts their paths in."""
    base = query.base_path.rstrip("/")
    return query.path.removeprefix(base) if base and f"{query.path}/".startswith(f"{base}/") else query.path


_NAMED: Final = 3
_ANYONE: Final = 2
_UNTOLD: Final = 1


def _audience(claims: Claims, query: Query, wanted: Wanted) -> int:
    """0 for a token for somebody else, as far as it tells itself; the larger the more exactly it names this host.

    Not for us is only a token whose audiences are all host names or URLs, none of them of this host. One without
    audience, or with one of another kind, does not tell. Who serves a federation's data, its tokens cannot know beforehand.
    """
    from .claims import ANYONE

    host = query.host
    if wanted.audience:
        return _NAMED if wanted.audience in claims.audiences else 0
    if not claims.audiences or query.is_federation:
        return _UNTOLD
    plain = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if any(_place(name) in (host, plain) for name in claims.audiences):
        return _NAMED
    if any(name.lower() in ANYONE for name in claims.audiences):
        return _ANYONE
    return 0 if all("://" in name or "." in name for name in claims.audiences) else _UNTOLD


def _place(name: str) -> str:
    after = name.partition("://")[2] or name
    return after.partition("/")[0].lower()


def _in_json(text: str) -> str:
    import json

    try:
        found = json.loads(text)
    except ValueError:
        return ""
    token = found.get("access_token") if isinstance(found, dict) else None
    return token if isinstance(token, str) else ""


def _ago(seconds: float) -> str:
    for unit, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"

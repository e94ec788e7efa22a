"""Tokens and certificates in environment variables of a site, and general ones: WLCG's discovery, HTCondor's, the grid's."""

from __future__ import annotations

import os

from .errors import CredentialError
from .private import passed_over
from .query import as_variable
from .redaction import printable
from .tokens import Candidate, Wanted, choose, presented, token_in_file, token_in_text
from .x509 import ProxyVariables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from .kinds import Credential
    from .means import Means
    from .query import Query
    from .sources import Files


class SiteVariables:
    """`BEARER_TOKEN_<site>`, `BEARER_TOKEN_FILE_<site>`, `_CONDOR_CREDS/<site>.use` and `X509_USER_PROXY_<site>`.

    Tokens for a site were put there on purpose; they are presented whatever they say of themselves, except that of several
    files of HTCondor's the one that fits is taken.
    """

    slow = ""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._tokens = TokenVariables(means)
        self._condor = CondorFiles(means)
        self._proxies = ProxyVariables(means)

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        if query.token:
            from .federation import named_token

            return named_token(self._means, query.token)
        if not query.site:
            return None
        suffix = f"_{as_variable(query.site)}"
        if query.transport in ("http", "ftp"):
            self._tokens.note_unsent(suffix, looked)
        if not query.takes_certificates:
            return None
        return self._token(query, suffix, looked) or self._proxies.of_site(suffix, looked)

    def _token(self, query: Query, suffix: str, looked: list[str]) -> Credential | None:
        if not query.takes_tokens:
            return None
        for candidate in self._tokens.candidates(suffix, looked):
            return presented(candidate)
        return choose(self._condor.of_site(query.site, looked), query, Wanted(), looked)


class GeneralTokens:
    """The tokens that are for every service they fit: WLCG's discovery in its order, then HTCondor's files.

    WLCG Bearer Token Discovery: `BEARER_TOKEN`, `BEARER_TOKEN_FILE`, `$XDG_RUNTIME_DIR/bt_u<uid>`, `/tmp/bt_u<uid>`. Which
    of them is taken their issuer, audience and scope decide, and their order only between equals.
    """

    slow = ""

    def __init__(self, means: Means, files: Files) -> None:
        self._tokens = TokenVariables(means)
        self._condor = CondorFiles(means)
        self._means = means
        self._files = files

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        if query.transport in ("http", "ftp"):
            self._tokens.note_unsent("", looked)
        if not query.takes_tokens:
            return None
        return choose(self._candidates(query, looked), query, self._files.wanted(query), looked)

    def _candidates(self, query: Query, looked: list[str]) -> Iterator[Candidate]:
        yield from self._tokens.candidates("", looked)
        for path in self._places():
            yield from at_place(path, self._means, looked)
        if query.is_federation:
            from .federation import pelican_tokens

            yield from pelican_tokens(self._means, looked)
        else:
            yield from self._condor.all(looked)

    def _places(self) -> Iterator[str]:
        """Tools differ in which user id they write: the effective one, or the real one."""
        for user in dict.fromkeys((os.geteuid(), os.getuid())):
            if folder := self._means.value("XDG_RUNTIME_DIR"):
                yield os.path.join(folder, f"bt_u{user}")
            yield f"/tmp/bt_u{user}"


class TokenVariables:
    """`BEARER_TOKEN` and `BEARER_TOKEN_FILE` with a suffix."""

    def __init__(self, means: Means) -> None:
        self._means = means

    def candidates(self, suffix: str, looked: list[str]) -> Iterator[Candidate]:
        for name, value in self._means.named((f"BEARER_TOKEN{suffix}",), looked):
            yield Candidate(token_in_text(value, f"${name}"), name, f"${name}", bound=bool(suffix))
        for name, path in self._means.named((f"BEARER_TOKEN_FILE{suffix}",), looked):
            token, seen = token_in_file(path, f"${name}", self._means.policy)
            yield Candidate(token, name, f"${name}={printable(path)}", (seen,), bool(suffix))

    def note_unsent(self, suffix: str, looked: list[str]) -> None:
        """Says of each token that is set that this scheme would show it to everybody."""
        names = tuple(f"{name}{suffix}" for name in ("BEARER_TOKEN", "BEARER_TOKEN_FILE", "X509_USER_PROXY"))
        looked.extend(
            f"{name} (set, but not sent without TLS)" for name, _ in self._means.named(names, looked)
        )


class CondorFiles:
    """The tokens that HTCondor keeps fresh for a job: `$_CONDOR_CREDS/<service>.use`, `<service>_<handle>.use`."""

    def __init__(self, means: Means, folder: str = "") -> None:
        """`folder` is where to look when the variable is not set."""
        self._means = means
        self._folder = means.value("_CONDOR_CREDS") or folder

    def of_site(self, site: str, looked: list[str]) -> Iterator[Candidate]:
        """Those that bear the site's name, whatever they are."""
        for name in dict.fromkeys((site, as_variable(site))):
            for service, path in self._files():
                if service == name or service.startswith(f"{name}_"):
                    for candidate in at_place(path, self._means, looked):
                        yield candidate._replace(bound=True)

    def all(self, looked: list[str]) -> Iterator[Candidate]:
        """Those that tell themselves that they are for storage: others belong to services with nothing in common."""
        from .claims import claims_of, grants_of

        for _, path in self._files():
            for candidate in at_place(path, self._means, looked):
                claims = claims_of(candidate.token.reveal())
                if claims is not None and grants_of(claims.scopes):
                    yield candidate
                else:
                    looked.append(f"{candidate.origin} (it is for a service of another kind)")

    def _files(self) -> Iterator[tuple[str, str]]:
        try:
            names = sorted(os.listdir(self._folder)) if self._folder else []
        except OSError:
            return
        for name in sorted(names, key=lambda name: name != _USUAL):
            if name.endswith(".use"):
                yield name.removesuffix(".use"), os.path.join(self._folder, name)

    def named(self, name: str, looked: list[str]) -> Iterator[Candidate]:
        """The one of exactly this name, without regard to case, as schemes are; `.` in it stands for `_`, which none has."""
        wanted = name.lower().replace(".", "_")
        for service, path in self._files():
            if service.lower().replace(".", "_") == wanted:
                yield from at_place(path, self._means, looked)
        looked.append(printable(os.path.join(self._folder or "$_CONDOR_CREDS", f"{name}.use")))


_USUAL: Final = "scitokens.use"
"""The one that is for everything, before those of single services."""


def at_place(path: str, means: Means, looked: list[str]) -> Iterator[Candidate]:
    """The token in a file that nobody named. One that cannot be used is passed over: it may be anybody's."""
    if not os.path.lexists(path):
        looked.append(f"{printable(path)} (not there)")
        return
    try:
        token, seen = token_in_file(path, "", means.policy)
    except CredentialError as error:
        looked.append(passed_over(error))
        return
    yield Candidate(token, os.path.basename(path), printable(path), (seen,))

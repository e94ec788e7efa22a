"""The one question of this package: what is presented to whom?

What somebody bound to exactly this service answers before what is for everybody: a general token must not
replace the password that a host was given, nor general keys those of `[alice@osn]`. In order: the program's own code;
the URL; variables of the site; the credentials files; netrc; general variables; tokens and proxies at the places where
others look for them; the user's own ssh keys; sources of other distributions; the keyring; the cloud SDKs.
"""

from __future__ import annotations

from .errors import CredentialError, MissingCredential
from .kinds import Anonymous
from .private import STRICT
from .query import (
    GLOBUS_SCHEMES,
    GOOGLE_SCHEMES,
    GRID_SCHEMES,
    IRODS_SCHEMES,
    LOCAL_SCHEMES,
    SSH_SCHEMES,
    as_variable,
    make_query,
)
from .redaction import printable
from .renewal import Renewals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Final

    from .access_keys import Sites
    from .kinds import Credential
    from .means import Means
    from .private import Policy
    from .query import Query
    from .source import Source


class Chain:
    """Asks its sources, which may be chains, in order; the first answer wins. Safe to use from several threads.

    Answers are not cached here: the caller keeps them per
    scheme, host, site and purpose, until `Credential.is_stale` says that they should be asked for again.
    """

    def __init__(self, sources: Sequence[Source | Chain]) -> None:
        self._sources = tuple(Nested(each) if isinstance(each, Chain) else each for each in sources)
        self._renewals = Renewals()

    def find(
        self,
        scheme: str,
        host: str,
        site: str = "",
        *,
        user: str = "",
        purpose: str = "read",
        path: str = "",
    ) -> Credential:
        """What to present. `host` is as the URL has it, user part included; for s3 it is `user@site` or empty.

        `path` is as the URL has it; only an answer with `by_path` depends on it. `Anonymous` where nothing is configured
        and the scheme can do without. Raises MissingCredential, which names every place that was looked at, UnsafeFile
        and Misconfigured.
        """
        if scheme in LOCAL_SCHEMES:
            return Anonymous(origin=f"{scheme} needs none")
        query = make_query(scheme, host, site, user=user, purpose=purpose, path=path)
        looked: list[str] = []
        found = self.look(query, looked)
        if found is not None:
            return found
        if query.needs:
            raise _missing(query, looked)
        return Anonymous(
            origin=f"nothing in {', '.join(dict.fromkeys(looked))}" if looked else f"{scheme} needs none"
        )

    def name(self, scheme: str, host: str, site: str = "", *, user: str = "", purpose: str = "read") -> str:
        """What a plan calls the credential that `find` would give; never raises, and makes no token.

        `missing` where `find` would raise. What is slow is not asked: its answer goes by the name of the library.
        """
        if scheme in LOCAL_SCHEMES:
            return "anonymous"
        query = make_query(scheme, host, site, user=user, purpose=purpose)
        try:
            return self.name_of(query) or ("missing" if query.needs else "anonymous")
        except CredentialError:
            return "missing"

    def name_of(self, query: Query) -> str:
        """The name alone; empty for no answer. Raises CredentialError."""
        for source in self._sources:
            may = getattr(source, "may", None)
            if source.slow and may is not None:
                if may(query):
                    return source.slow
                continue
            name = _name_by(source, query)
            if name:
                return name
        return ""

    def look(self, query: Query, looked: list[str]) -> Credential | None:
        """The first answer; None after every place that was looked at was appended to `looked`."""
        for source in self._sources:
            found = source.find(query, looked)
            if found is not None:
                self._renewals.given(found, source, query)
                return found
        return None

    def renew(self, credential: Credential, reason: str = "") -> Credential | None:
        """What to present instead of a credential of this chain that a service refused; None for nothing newer.

        However many threads were refused with it: it is renewed once, and all get the same answer. `reason` is for people.
        Raises what `find` raises.
        """
        return self._renewals.renew(credential)


class Nested:
    """A chain as one source of another."""

    slow = ""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        return self._chain.look(query, looked)

    def renew(self, query: Query, credential: Credential) -> Credential | None:
        return self._chain.renew(credential)

    def name_of(self, query: Query) -> str:
        return self._chain.name_of(query)


def standard_chain(
    environment: Mapping[str, str],
    *,
    explicit: Mapping[str, Credential] | None = None,
    file: str = "",
    policy: Policy = STRICT,
) -> Chain:
    """The chain that the commands use. Nothing is read before the first question.

    `explicit` holds credentials by section name (`alice@osn`, `host:port`, `https://host`, a site's label); `file`
    is a credentials file that is looked into before all others; `policy` decides about files that others could read.
    """
    from .access_keys import KeySections, KeyVariables, Sites
    from .means import Means
    from .minting import Mint
    from .plugins import Plugins
    from .sections import Reader
    from .sources import Explicit, Files, FileSections, Netrc, UrlUser
    from .variables import GeneralTokens, SiteVariables
    from .x509 import GeneralProxies

    means = Means(environment, policy)
    files = Files(means, file)
    sites = Sites(means, files)
    return Chain(
        (
            Explicit(explicit or {}),
            UrlUser(),
            SiteVariables(means),
            KeyVariables(means, sites, general=False),
            ByFamily(means, general=False),
            FileSections(files, Reader(means, Mint(means))),
            KeySections(files, sites),
            Netrc(means),
            KeyVariables(means, sites, general=True),
            GeneralTokens(means, files),
            GeneralProxies(means),
            ByFamily(means, general=True),
            Plugins(means),
            *_slow(means, sites),
        )
    )


class ByFamily:
    """The sources that only ssh, Google, Globus and iRODS have, imported when one of these is asked for."""

    slow = ""

    def __init__(self, means: Means, *, general: bool) -> None:
        self._means = means
        self._general = general
        self._sources: dict[str, tuple[Source, ...]] = {}

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        sources = self._sources.get(query.scheme)
        if sources is None:
            sources = self._sources[query.scheme] = self._sources_of(query.scheme)
        for source in sources:
            found = source.find(query, looked)
            if found is not None:
                return found
        return None

    def _sources_of(self, scheme: str) -> tuple[Source, ...]:
        means, general = self._means, self._general
        if scheme in SSH_SCHEMES:
            from .ssh import KeyVariables, UserKeys

            keys = KeyVariables(means, general=general)
            return (keys, UserKeys(means)) if general else (keys,)
        if scheme in GOOGLE_SCHEMES:
            from .google import GoogleVariables

            return (GoogleVariables(means, general=general),)
        if scheme in GLOBUS_SCHEMES:
            from .globus import GlobusFile, GlobusLogin, GlobusVariables

            variables = GlobusVariables(means, general=general)
            return (variables, GlobusLogin(means), GlobusFile(means)) if general else (variables,)
        if scheme in IRODS_SCHEMES:
            from .irods import IrodsVariables

            return (IrodsVariables(means, general=general),)
        return ()


def _name_by(source: Source, query: Query) -> str:
    """The name of the source's answer, by its own `name_of` where asking would make something."""
    cheap: Callable[[Query], str] | None = getattr(source, "name_of", None)
    if cheap is not None:
        return cheap(query)
    found = source.find(query, [])
    return found.name if found is not None else ""


def _slow(means: Means, sites: Sites) -> tuple[Source, ...]:
    """What is slow to import, last."""
    from .access_keys import BotoChain, KeyringKeys
    from .google import GoogleDefault
    from .keyrings import Keyring

    return Keyring(means), KeyringKeys(means, sites), BotoChain(means, sites), GoogleDefault(means)


def _missing(query: Query, looked: list[str]) -> MissingCredential:
    if query.is_s3:
        return _no_access_key(query, looked)
    places = ", ".join(dict.fromkeys(looked)) or "nothing"
    site = f" for site {query.site!r}" if query.site else ""
    user = f"{query.user}@" if query.user else ""
    return MissingCredential(
        f"{printable(f'{query.scheme}://{user}{query.host}')} needs {query.needs}{site}: looked in {places}",
        f"{_remedy(query)}, or write it into a section of the credentials file (mode 0600)",
    )


def _remedy(query: Query) -> str:
    suffix = f"_{as_variable(query.site)}" if query.site else ""
    for schemes, variable, what in _VARIABLES:
        if query.scheme in schemes:
            return f"set {variable}{suffix} to {what}"
    return "give the program one"


_VARIABLES: Final = (
    (GRID_SCHEMES, "X509_USER_PROXY", "the path of a proxy certificate (mode 0600)"),
    (GOOGLE_SCHEMES, "GOOGLE_APPLICATION_CREDENTIALS", "the path of a JSON key (mode 0600)"),
    (
        GLOBUS_SCHEMES,
        "GLOBUS_CLIENT_ID and GLOBUS_CLIENT_SECRET, or GLOBUS_ACCESS_TOKEN",
        "what Globus gave, or run `wf-transfer globus login`",
    ),
    (IRODS_SCHEMES, "IRODS_ENVIRONMENT_FILE", "the path of an irods_environment.json"),
)


def _no_access_key(query: Query, looked: list[str]) -> MissingCredential:
    places = ", ".join(dict.fromkeys(looked)) or "nothing: no site, no file and no variable to look at"
    if not query.service:
        return MissingCredential(
            f"{query.scheme}:// needs an access key: looked in {places}",
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write s3://user@site/bucket/key "
            "and put the site into the credentials file",
        )
    section = f"{query.user}@{query.host}" if query.user else query.service
    url = f"{query.scheme}://{query.user}@{query.host}" if query.host else f"{query.scheme}://"
    variable = as_variable(query.service)
    return MissingCredential(
        f"{printable(url)} needs an access key for site {query.service!r}: looked in {places}",
        f"put access_key and secret_key into section [{printable(section)}] of the credentials file (mode 0600), "
        f"or set AWS_ACCESS_KEY_ID_{variable} and AWS_SECRET_ACCESS_KEY_{variable}",
    )

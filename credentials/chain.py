"""The one question of this package: what is presented to whom?

What somebody bound to exactly this service answers before what is for everybody: a general token must not
replace the password that a host was given. In order: the program's own code; the URL; variables of the site; the
credentials file; netrc; general variables; boto3's own chain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import CredentialError, MissingCredential
from .kinds import Anonymous
from .query import as_variable, make_query
from .redaction import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .kinds import Credential
    from .query import Query
    from .sources import Source


class Chain:
    """Asks its sources in order; the first answer wins. Itself a source. Safe to use from several threads.

    Answers are not cached here: the caller keeps them per scheme, host, site and purpose.
    """

    slow = ""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = tuple(sources)

    def find(
        self, scheme: str, host: str, site: str = "", *, user: str = "", purpose: str = "read"
    ) -> Credential:
        """What to present. `host` is as the URL has it, user part included; for s3 it is `user@site` or empty.

        `Anonymous` where nothing is configured and the scheme can do without. Raises MissingCredential, which names
        every place that was looked at, UnsafeFile and Misconfigured.
        """
        query = make_query(scheme, host, site, user=user, purpose=purpose)
        if not query.is_s3 and not query.transport:
            return Anonymous(origin=f"{scheme} needs none")
        looked: list[str] = []
        found = self.look(query, looked)
        if found is not None:
            return found
        if query.is_s3:
            raise _no_access_key(query, looked)
        return Anonymous(
            origin=f"nothing in {', '.join(dict.fromkeys(looked))}" if looked else "nothing found"
        )

    def name(self, scheme: str, host: str, site: str = "", *, user: str = "", purpose: str = "read") -> str:
        """What a plan calls the credential that `find` would give; never raises.

        `missing` where `find` would raise. The cloud SDKs are not asked: their answer goes by the SDK's name.
        """
        query = make_query(scheme, host, site, user=user, purpose=purpose)
        if not query.is_s3 and not query.transport:
            return "anonymous"
        try:
            for source in self._sources:
                if source.slow and query.is_s3 and not query.host:
                    return source.slow
                found = source.find(query, [])
                if found is not None:
                    return found.name
        except CredentialError:
            return "missing"
        return "missing" if query.is_s3 else "anonymous"

    def look(self, query: Query, looked: list[str]) -> Credential | None:
        for source in self._sources:
            found = source.find(query, looked)
            if found is not None:
                return found
        return None


def standard_chain(
    environment: Mapping[str, str], *, explicit: Mapping[str, Credential] | None = None, file: str = ""
) -> Chain:
    """The chain that the commands use. Nothing is read before the first question.

    `explicit` holds credentials by section name (`alice@osn`, `host:port`, `https://host`, a site's label); `file`
    is a credentials file that is looked into before all others.
    """
    from .access_keys import BotoChain, KeySections, KeyVariables, Sites
    from .sources import Explicit, Files, FileSections, GeneralVariables, Netrc, SiteVariables, UrlUser

    files = Files(environment, file)
    sites = Sites(environment, files)
    return Chain(
        (
            Explicit(explicit or {}),
            UrlUser(),
            SiteVariables(environment),
            KeyVariables(environment, sites, general=False),
            FileSections(files),
            KeySections(files, sites),
            Netrc(environment),
            GeneralVariables(environment),
            KeyVariables(environment, sites, general=True),
            BotoChain(environment, sites),
        )
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

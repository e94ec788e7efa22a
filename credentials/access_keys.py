"""Where S3 access keys come from, and what is configured for a site: endpoint, region, addressing.

`s3://alice@osn/...` names its site, so that only what is configured for `osn` is used; `s3://bucket/...` may fall
back to what the environment holds for everything.
"""

from __future__ import annotations

import os.path
import re
import threading

from .errors import Misconfigured
from .kinds import AccessKey, Secret
from .query import as_variable
from .records import NamedTuple
from .redaction import printable, redact, redact_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .file import Section
    from .kinds import Credential
    from .means import Means
    from .private import Seen
    from .query import Query
    from .sources import Files


class Site(NamedTuple):
    """What is configured about an S3 service apart from keys. Empty where nothing is."""

    endpoint: str = ""
    region: str = ""
    addressing: str = ""


class Sites:
    """Looks up endpoint, region and addressing: per-site variables, the credentials files, general variables."""

    def __init__(self, means: Means, files: Files) -> None:
        self._environment = means.environment
        self._files = files

    def site(self, query: Query) -> Site:
        """What is configured for the query's site. Raises Misconfigured for an endpoint that is none."""
        sections = list(self._sections(query))
        endpoint = self._value(query, sections, ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"), "endpoint")
        region = self._value(query, sections, ("AWS_REGION", "AWS_DEFAULT_REGION"), "region")
        addressing = self._value(query, sections, (), "addressing").lower()
        if addressing not in ("", "auto", "path", "virtual"):
            raise Misconfigured(
                f"site {query.service!r} has addressing {addressing!r}", "write path, virtual or auto"
            )
        endpoint = _checked_endpoint(endpoint, query)
        return Site(endpoint, region or _region_of(endpoint), "" if addressing == "auto" else addressing)

    def _value(self, query: Query, sections: list[Section], variables: tuple[str, ...], key: str) -> str:
        if query.service:
            for name in variables:
                if value := self._environment.get(f"{name}_{as_variable(query.service)}"):
                    return value
        for section in sections:
            if value := section.text(key):
                return value
        if not query.host:
            for name in variables:
                if value := self._environment.get(name):
                    return value
        return ""

    def _sections(self, query: Query) -> Iterator[Section]:
        for file in self._files.all_for(query, []):
            for name in (f"{query.user}@{query.host}" if query.user else "", query.service):
                section = file.first((name,), "site") if name else None
                if section is not None:
                    yield section


class KeyVariables:
    """`AWS_ACCESS_KEY_ID_<site>` and its companions, or with `general` those without a site."""

    slow = ""

    def __init__(self, means: Means, sites: Sites, *, general: bool) -> None:
        self._environment = means.environment
        self._sites = sites
        self._general = general

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        if not query.is_s3 or (query.host if self._general else not query.service):
            return None
        suffix = "" if self._general else f"_{as_variable(query.service)}"
        name = f"AWS_ACCESS_KEY_ID{suffix}"
        access, secret = (
            self._environment.get(name, ""),
            self._environment.get(f"AWS_SECRET_ACCESS_KEY{suffix}", ""),
        )
        if not access and not secret:
            looked.append(name)
            return self._unsigned(query)
        if not access or not secret:
            lacking = f"AWS_SECRET_ACCESS_KEY{suffix}" if access else name
            raise Misconfigured(f"{lacking} is not set, but its other half is", "set both, or neither")
        token = self._environment.get(f"AWS_SESSION_TOKEN{suffix}", "")
        return _access_key(self._sites.site(query), query, access, secret, token, name, f"${name}")

    def _unsigned(self, query: Query) -> Credential | None:
        name = "AWS_NO_SIGN_REQUEST"
        if not self._general or self._environment.get(name, "").lower() not in ("1", "yes", "true"):
            return None
        return _access_key(self._sites.site(query), query, "", "", "", "unsigned", f"${name}")


class KeySections:
    """`[user@site]` of the credentials file, or `[site]` where the URL names no user."""

    slow = ""

    def __init__(self, files: Files, sites: Sites) -> None:
        self._files = files
        self._sites = sites

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        name = f"{query.user}@{query.host}" if query.user else query.service
        if not query.is_s3 or not name:
            return None
        for file in self._files.all_for(query, looked):
            section = file.first((name,), "site")
            found = (
                self._from_section(section.for_purpose(query.purpose), query) if section is not None else None
            )
            if found is not None:
                return found
            lack = "has no access_key" if section is not None else "not there"
            looked.append(f"[{printable(name)}] of {printable(file.path)} ({lack})")
        return None

    def _from_section(self, section: Section, query: Query) -> Credential | None:
        access, secret = section.text("access_key"), section.text("secret_key")
        if section.is_on("anonymous"):
            access = secret = ""
        elif not access and not secret:
            return None
        elif not access or not secret:
            lacking = "secret_key" if access else "access_key"
            raise Misconfigured(
                f"{section.origin} has no {lacking}, but its other half", "write both, or neither"
            )
        token = section.text("session_token") or section.text("token")
        site = self._sites.site(query)
        return _access_key(
            site, query, access, secret, token, section.name, section.origin, seen=section.seen
        )


class KeyringKeys:
    """The entry `wf-transfer:alice@osn` of the keyring: user name and password are access key and secret key."""

    slow = ""

    def __init__(self, means: Means, sites: Sites) -> None:
        self._means = means
        self._sites = sites

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        if not query.is_s3 or not query.service:
            return None
        from .keyrings import entry_of, may_exist

        if not may_exist(self._means):
            return None
        name = f"{query.user}@{query.host}" if query.user else query.service
        entry = entry_of(name, "", looked)
        if entry is None:
            return None
        return _access_key(
            self._sites.site(query), query, *entry, "", name, f"wf-transfer:{name} of the keyring"
        )


class BotoChain:
    """boto3's own chain: profiles, web identity, container and instance roles. Imported only when it can know something."""

    slow = "boto3"

    def __init__(self, means: Means, sites: Sites) -> None:
        self._environment = means.environment
        self._sites = sites
        self._session: Any = None
        self._lock = threading.Lock()

    def may(self, query: Query) -> bool:
        return query.is_s3 and not query.host

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        if not self.may(query):
            return None
        if not self._may_know():
            looked.append("boto3's own chain (nothing is configured for it)")
            return None
        try:
            with self._lock:
                return self._ask(self._session_of_all(), query, looked)
        except ImportError:
            looked.append("boto3's own chain (not installed: pip install 'wf-transfer[s3]')")
            return None

    def renew(self, query: Query, credential: Credential) -> Credential | None:
        with self._lock:
            self._session = None
        return self.find(query, [])

    def _session_of_all(self) -> Any:
        """One session for the run: it renews what it got before its end."""
        if self._session is None:
            import botocore.session

            self._session = botocore.session.Session(profile=self._environment.get("AWS_PROFILE") or None)
        return self._session

    def _ask(self, session: Any, query: Query, looked: list[str]) -> Credential | None:
        from botocore.exceptions import BotoCoreError

        try:
            keys = session.get_credentials()
            frozen = keys.get_frozen_credentials() if keys is not None else None
            region = session.get_config_variable("region") or ""
            endpoint = session.get_scoped_config().get("endpoint_url", "")
        except BotoCoreError as error:
            raise Misconfigured(
                f"boto3 found no credentials: {redact(str(error))}", "check AWS_PROFILE and ~/.aws"
            ) from None
        if frozen is None or not frozen.access_key:
            looked.append("boto3's own chain (found none)")
            return None
        site = self._sites.site(query)
        site = site._replace(endpoint=site.endpoint or endpoint, region=site.region or region)
        secrets = (frozen.access_key, frozen.secret_key, frozen.token or "")
        # Only credentials that end have it, and there is no public name for it.
        end = getattr(keys, "_expiry_time", None)
        expires = end.timestamp() if end is not None else None
        return _access_key(site, query, *secrets, "boto3", f"boto3 ({keys.method})", expires=expires)

    def _may_know(self) -> bool:
        """Whether anything is configured for the chain; otherwise it would only ask the network, for seconds."""
        if any(name in self._environment for name in _BOTO_VARIABLES):
            return True
        home = self._environment.get("HOME", "")
        files = (os.path.join(home, ".aws", name) for name in ("credentials", "config"))
        return (bool(home) and any(map(os.path.exists, files))) or _on_amazon()


_BOTO_VARIABLES = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


def _on_amazon() -> bool:
    """Whether this machine says that it is one of Amazon's, which may have a role."""
    try:
        with open("/sys/class/dmi/id/sys_vendor", encoding="ascii", errors="replace") as vendor:
            return "Amazon" in vendor.read(64)
    except OSError:
        return False


def _access_key(
    site: Site,
    query: Query,
    access: str,
    secret: str,
    token: str,
    name: str,
    origin: str,
    *,
    expires: float | None = None,
    seen: tuple[Seen, ...] = (),
) -> AccessKey:
    if query.host and not site.endpoint:
        raise Misconfigured(
            f"site {query.host!r} has no endpoint, so nobody knows where s3://{query.user}@{query.host} is",
            f"put `endpoint = https://...` into section [{query.host}] of the credentials file, "
            f"or set AWS_ENDPOINT_URL_{as_variable(query.host)}",
        )
    return AccessKey(
        access,
        Secret(secret),
        session_token=Secret(token) if token else None,
        endpoint=site.endpoint,
        region=site.region or "us-east-1",
        addressing=site.addressing,
        name=name,
        origin=origin,
        expires=expires,
        seen=seen,
    )


def _checked_endpoint(endpoint: str, query: Query) -> str:
    """The endpoint as `scheme://host[:port][/prefix]`; https where it names no scheme."""
    if not endpoint:
        return ""
    text = (endpoint if "://" in endpoint else f"https://{endpoint}").rstrip("/")
    if not re.fullmatch(r"https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?(?:/[^\s?#]*)?", text):
        raise Misconfigured(
            f"the endpoint of site {query.service!r} is not a URL: {redact_url(endpoint)!r}",
            "write it as https://host[:port]",
        )
    return text


def _region_of(endpoint: str) -> str:
    """The region inside one of Amazon's host names (`s3.eu-west-1.amazonaws.com`), else empty."""
    match = re.search(r"//s3[.-](?:dualstack\.|fips\.)?([a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.com", endpoint)
    return match[1] if match else ""

"""Where credentials that somebody bound to a service come from: the program's code, the URL, the credentials files, netrc.

A source answers with a credential or None, and writes down where it looked, so that an error can say it. What is bound
to a host by the user may be sent there by any scheme; what is bound to a site, or to nothing, only over TLS: a
label in a batch must not be able to make a token travel in the clear.
"""

from __future__ import annotations

import os.path

from .errors import MissingCredential
from .file import read_credentials_file
from .kinds import Basic, Secret
from .private import read_seen, seen_now
from .query import as_variable
from .redaction import printable
from .tokens import Wanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from netrc import netrc

    from .file import CredentialsFile, Section
    from .kinds import Credential
    from .means import Means
    from .private import Seen
    from .query import Query
    from .sections import Reader


class Explicit:
    """Credentials that the program's own code gives, by section name (`alice@osn`, `host:port`, `https://host`, a site)."""

    slow = ""

    def __init__(self, credentials: Mapping[str, Credential]) -> None:
        self._credentials = credentials

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        for name in (*hosts_of(query), *sites_of(query)):
            if name in self._credentials:
                return self._credentials[name]
        return None


class UrlUser:
    """User and password inside the URL itself."""

    slow = ""

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        if not query.password or not query.takes_passwords:
            return None
        return Basic(query.user, Secret(query.password), name=f"{query.user}@{query.host}", origin="the URL")


class Files:
    """The credentials files that this run may use, each read when first needed and again when it has changed."""

    def __init__(self, means: Means, explicit: str = "") -> None:
        self._means = means
        self._explicit = explicit
        self._read: dict[str, tuple[Seen | None, CredentialsFile]] = {}

    def all_for(self, query: Query, looked: list[str]) -> Iterator[CredentialsFile]:
        """The files to look into, in order. Raises when one that somebody named is not there."""
        for path, named_by in self._paths(query):
            try:
                yield self._file(path)
            except FileNotFoundError:
                if named_by:
                    raise MissingCredential(
                        f"{named_by} names the credentials file {printable(path)}, which is not there",
                        "check the path, and that the file was shipped with the job",
                    ) from None
                looked.append(f"{printable(path)} (not there)")

    def wanted(self, query: Query) -> Wanted:
        """What a token for this host or site must be."""
        for file in self.all_for(query, []):
            for section in (file.first(hosts_of(query)), file.first(sites_of(query), "site")):
                if section is not None and (section.text("issuer") or section.text("audience")):
                    return Wanted(section.text("issuer"), section.text("audience"))
        return Wanted()

    def _file(self, path: str) -> CredentialsFile:
        now = seen_now(path)
        before = self._read.get(path)
        if before is None or before[0] != now or now is None:
            before = self._read[path] = (now, read_credentials_file(path, self._means.policy))
        return before[1]

    def _paths(self, query: Query) -> Iterator[tuple[str, str]]:
        """Path and who named it."""
        means = self._means
        if self._explicit:
            yield self._explicit, "--credentials"
        sites = [f"_{as_variable(site)}" for site in dict.fromkeys((query.service, query.site)) if site]
        for suffix in (*sites, ""):
            for name in (f"WF_CREDENTIALS{suffix}", f"PEGASUS_CREDENTIALS{suffix}"):
                if means.value(name):
                    yield means.value(name), f"${name}"
        if query.is_s3 and means.value("S3CFG"):
            yield means.value("S3CFG"), "$S3CFG"
        if configuration := means.value("XDG_CONFIG_HOME") or means.home(".config"):
            yield os.path.join(configuration, "wf-transfer", "credentials.toml"), ""
        if home := means.home(".pegasus", "credentials.conf"):
            yield home, ""


class FileSections:
    """Sections of the credentials files that are about a host, then those about a site."""

    slow = ""

    def __init__(self, files: Files, reader: Reader) -> None:
        self._files = files
        self._reader = reader

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        return self._look(query, looked, anew=False)

    def renew(self, query: Query, credential: Credential) -> Credential | None:
        return self._look(query, [], anew=True)

    def name_of(self, query: Query) -> str:
        """What the credential is called, without making a token for it; empty for none."""
        for section in self._sections(query, []):
            if section.is_made():
                return section.name
            found = self._reader.credential(section, query)
            if found is not None:
                return found.name
        return ""

    def _look(self, query: Query, looked: list[str], *, anew: bool) -> Credential | None:
        for section in self._sections(query, looked):
            found = self._reader.credential(section, query, anew=anew)
            if found is not None:
                return found
        return None

    def _sections(self, query: Query, looked: list[str]) -> Iterator[Section]:
        """As they are for the purpose of the query."""
        if query.is_s3:
            return
        for file in self._files.all_for(query, looked):
            for section in (file.first(hosts_of(query)), file.first(sites_of(query), "site")):
                if section is not None:
                    yield section.for_purpose(query.purpose)
            name = printable(query.host or query.site or query.scheme)
            looked.append(f"[{name}] of {printable(file.path)} (not there)")


class Netrc:
    """`$NETRC` or `~/.netrc`, for the machine of that name; its `default` entry is nobody's."""

    slow = ""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._path = means.value("NETRC") or means.home(".netrc")
        self._read: tuple[Seen | None, netrc | None] | None = None

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        if not query.transport or not self._path or not os.path.exists(self._path):
            return None
        entry = self._entry(query, looked)
        if entry is None:
            return None
        seen = read_seen(self._path, self._means.policy)[1]
        user, password = entry
        origin = f"machine {query.host} of {printable(self._path)}"
        return Basic(user, Secret(password), name=f"{user}@{query.host}", origin=origin, seen=(seen,))

    def _entry(self, query: Query, looked: list[str]) -> tuple[str, str] | None:
        parsed = self._parsed(looked)
        if parsed is None:
            return None
        host, colon, port = query.host.rpartition(":")
        for name in (query.host, host) if colon and port.isdigit() else (query.host,):
            user, _, password = parsed.hosts.get(name, ("", "", ""))
            if password and query.user in ("", user):
                return user, password
        looked.append(f"machine {query.host} of {printable(self._path)} (not there)")
        return None

    def _parsed(self, looked: list[str]) -> netrc | None:
        from netrc import NetrcParseError, netrc

        now = seen_now(self._path)
        if self._read is not None and self._read[0] == now:
            return self._read[1]
        try:
            parsed = netrc(self._path)
        except NetrcParseError as error:
            looked.append(f"{printable(self._path)} (line {error.lineno} is not understood)")
            return None
        except (OSError, UnicodeDecodeError):
            looked.append(f"{printable(self._path)} (cannot be read)")
            return None
        self._read = now, parsed
        return parsed


def hosts_of(query: Query) -> Iterator[str]:
    """The names of sections about a host that may speak for `query`."""
    if query.is_s3:
        if query.user:
            yield f"{query.user}@{query.host}"
    elif query.host:
        yield from query.sections()


def sites_of(query: Query) -> Iterator[str]:
    """The names of sections about a site that may: over plain HTTP and FTP none, for a label is not a promise."""
    if query.is_s3:
        if not query.user and query.service:
            yield query.service
    elif query.site and query.transport in ("https", ""):
        yield query.site

"""Where credentials for web and FTP hosts come from, one small class a place.

A source answers with a credential or None, and writes down where it looked, so that an error can say it. What is bound
to a host by the user may be sent there by any scheme; what is bound to a site, or to nothing, only over TLS: a
label in a batch must not be able to make a token travel in the clear.
"""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING, NamedTuple

from .errors import Misconfigured, MissingCredential
from .file import check_private, read_credentials_file
from .kinds import Basic, Bearer, Certificate, Headers, Secret
from .query import as_variable
from .redaction import printable
from .tokens import meant_for, token_in_file, token_in_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from netrc import netrc
    from typing import Protocol

    from .file import CredentialsFile, Section
    from .kinds import Credential
    from .query import Query

    class Source(Protocol):
        """One place to look. Used by several threads at once."""

        slow: str
        """What a plan calls this source's answer instead of asking it; empty where asking is cheap."""

        def find(self, query: Query, looked: list[str]) -> Credential | None:
            """The credential for `query`, or None after appending what was looked at to `looked`.

            Raises a `CredentialError` when what is there cannot be used.
            """


class Explicit:
    """Credentials that the program's own code gives, by section name (`alice@osn`, `host:port`, `https://host`, a site)."""

    slow = ""

    def __init__(self, credentials: Mapping[str, Credential]) -> None:
        self._credentials = credentials

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        for name in _names(query):
            if name in self._credentials:
                return self._credentials[name]
        return None


class UrlUser:
    """User and password inside the URL itself."""

    slow = ""

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        if not query.password or not query.transport:
            return None
        return Basic(query.user, Secret(query.password), name=f"{query.user}@{query.host}", origin="the URL")


class Files:
    """The credentials files that this run may use, each read when first needed."""

    def __init__(self, environment: Mapping[str, str], explicit: str = "") -> None:
        self._environment = environment
        self._explicit = explicit
        self._read: dict[str, CredentialsFile] = {}

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

    def _file(self, path: str) -> CredentialsFile:
        if path not in self._read:
            self._read[path] = read_credentials_file(path)
        return self._read[path]

    def _paths(self, query: Query) -> Iterator[tuple[str, str]]:
        """Path and who named it."""
        if self._explicit:
            yield self._explicit, "--credentials"
        names = [f"PEGASUS_CREDENTIALS_{as_variable(site)}" for site in (query.service, query.site) if site]
        for name in dict.fromkeys((*names, "PEGASUS_CREDENTIALS")):
            if self._environment.get(name):
                yield self._environment[name], f"${name}"
        home = self._environment.get("HOME", "")
        if home:
            yield os.path.join(home, ".pegasus", "credentials.conf"), ""


class FileSections:
    """Sections of the credentials file that are about a host, then those about a site."""

    slow = ""

    def __init__(self, files: Files) -> None:
        self._files = files

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        if not query.transport:
            return None
        for file in self._files.all_for(query, looked):
            section = file.first(_names(query))
            found = _from_section(section) if section is not None else None
            if found is not None:
                return found
            looked.append(f"[{query.host}] of {printable(file.path)} (not there)")
        return None


class SiteVariables:
    """`BEARER_TOKEN_<site>`, `BEARER_TOKEN_FILE_<site>` and `X509_USER_PROXY_<site>`, over TLS."""

    slow = ""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        if not query.site or not query.transport:
            return None
        found = _Variables(self._environment, f"_{as_variable(query.site)}").find(query, looked)
        if isinstance(found, Certificate):
            _check_named(found.certificate, found.origin)
        return found


class GeneralVariables:
    """`BEARER_TOKEN`, `BEARER_TOKEN_FILE` and `X509_USER_PROXY`: for every host over TLS that they are meant for."""

    slow = ""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._variables = _Variables(environment, "")

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        if not query.transport:
            return None
        found = self._variables.find(query, looked)
        if isinstance(found, Bearer) and not meant_for(found.token, query.host):
            looked.append(f"{found.name} (its audience is another host)")
            return None
        if isinstance(found, Certificate):
            try:
                check_private(found.certificate)
            except FileNotFoundError:
                looked.append(f"{found.origin} (not there)")
                return None
        return found


class _Variables(NamedTuple):
    """The variables of one site, or with an empty suffix those of all."""

    environment: Mapping[str, str]
    suffix: str

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        for find in (self._token, self._token_file, self._proxy):
            found = find(query, looked)
            if found is not None:
                return found
        return None

    def _value(self, variable: str, query: Query, looked: list[str]) -> tuple[str, str]:
        name = variable + self.suffix
        value = self.environment.get(name, "")
        if value and query.transport != "https":
            looked.append(f"{name} (set, but not sent without TLS)")
            return name, ""
        if not value:
            looked.append(name)
        return name, value

    def _token(self, query: Query, looked: list[str]) -> Credential | None:
        name, value = self._value("BEARER_TOKEN", query, looked)
        return Bearer(token_in_text(value, f"${name}"), name=name, origin=f"${name}") if value else None

    def _token_file(self, query: Query, looked: list[str]) -> Credential | None:
        name, path = self._value("BEARER_TOKEN_FILE", query, looked)
        if not path:
            return None
        return Bearer(token_in_file(path, f"${name}"), name=name, origin=f"${name}={printable(path)}")

    def _proxy(self, query: Query, looked: list[str]) -> Credential | None:
        name, path = self._value("X509_USER_PROXY", query, looked)
        return Certificate(path, path, name=name, origin=f"${name}={printable(path)}") if path else None


class Netrc:
    """`$NETRC` or `~/.netrc`, for the machine of that name; its `default` entry is nobody's."""

    slow = ""

    def __init__(self, environment: Mapping[str, str]) -> None:
        home = environment.get("HOME", "")
        self._path = environment.get("NETRC") or (os.path.join(home, ".netrc") if home else "")
        self._parsed: netrc | None = None

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        if not query.transport or not self._path or not os.path.exists(self._path):
            return None
        entry = self._entry(query, looked)
        if entry is None:
            return None
        check_private(self._path)
        user, password = entry
        origin = f"machine {query.host} of {printable(self._path)}"
        return Basic(user, Secret(password), name=f"{user}@{query.host}", origin=origin)

    def _entry(self, query: Query, looked: list[str]) -> tuple[str, str] | None:
        from netrc import NetrcParseError, netrc

        try:
            if self._parsed is None:
                self._parsed = netrc(self._path)
        except NetrcParseError as error:
            looked.append(f"{printable(self._path)} (line {error.lineno} is not understood)")
            return None
        except (OSError, UnicodeDecodeError):
            looked.append(f"{printable(self._path)} (cannot be read)")
            return None
        host, colon, port = query.host.rpartition(":")
        for name in (query.host, host) if colon and port.isdigit() else (query.host,):
            user, _, password = self._parsed.hosts.get(name, ("", "", ""))
            if password and query.user in ("", user):
                return user, password
        looked.append(f"machine {query.host} of {printable(self._path)} (not there)")
        return None


def _names(query: Query) -> Iterator[str]:
    """The section names that may speak for `query`."""
    if query.is_s3:
        yield f"{query.user}@{query.host}" if query.user else query.service
        return
    if query.host:
        yield from query.sections()
    if query.site and query.transport == "https":
        yield query.site


def _from_section(section: Section) -> Credential | None:
    """What a section presents to a web or FTP server; several things together become header fields."""
    fields = _header_fields(section)
    token = section.values.get("token")
    user, password = section.text("username"), section.values.get("password")
    if not fields and token:
        secret = token_in_text(token.reveal(), f"token in {section.origin}")
        return Bearer(secret, name=section.name, origin=section.origin)
    if not fields and password is not None:
        return Basic(user, password, name=section.name, origin=section.origin)
    if not fields:
        return None
    if token:
        fields.append(("Authorization", Secret(f"Bearer {token.reveal()}")))
    elif password is not None:
        fields.append(("Authorization", _basic_value(user, password)))
    return Headers(tuple(fields), name=section.name, origin=section.origin)


def _basic_value(user: str, password: Secret) -> Secret:
    from base64 import b64encode

    pair = f"{user}:{password.reveal()}".encode("utf-8", "surrogateescape")
    return Secret("Basic " + b64encode(pair).decode("ascii"))


def _header_fields(section: Section) -> list[tuple[str, Secret]]:
    fields = []
    for key, value in section.values.items():
        if not key.startswith("header."):
            continue
        name = section.spelled[key][len("header.") :]
        if not name or not all(letter.isascii() and (letter.isalnum() or letter in "-_.") for letter in name):
            raise Misconfigured(
                f"{section.origin}: header.{printable(name)} is not the name of a header field",
                "write it as header.Name = value",
            )
        if any((letter < " " and letter != "\t") or letter == "\x7f" for letter in value.reveal()):
            raise Misconfigured(
                f"{section.origin}: the value of header.{name} holds a control character", "remove it"
            )
        fields.append((name, value))
    return fields


def _check_named(path: str, origin: str) -> None:
    try:
        check_private(path)
    except FileNotFoundError:
        raise MissingCredential(
            f"{origin} is not there", "make a new proxy, or check that the file was shipped with the job"
        ) from None

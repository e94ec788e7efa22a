"""Where to log in and how, out of an irods_environment.json, or without one for a server that the URL names."""

from __future__ import annotations

import json

from ..checksum.records import NamedTuple
from .errors import Misconfigured, MissingCredential, MissingExtra

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from typing import Any, Final

    from ..credentials.kinds import Credential, Irods
    from .context import Context
    from .irods_names import Authority

_POLICIES: Final = ("CS_NEG_REFUSE", "CS_NEG_DONT_CARE", "CS_NEG_REQUIRE")
_ASKS: Final = "request_server_negotiation"
_ENVIRONMENT: Final = "check the irods_environment.json"


class Login(NamedTuple):
    """One account of one zone, at one server."""

    host: str
    port: int
    user: str
    zone: str
    scheme: str = "native"
    """`native` or `pam`; how `password` is presented."""
    password: str = ""
    ticket: str = ""
    resource: str = ""
    """Where new objects go if the URL names none."""
    policy: str = ""
    """One of `_POLICIES`; empty where nobody said: then TLS if the server insists."""
    asks: bool = True
    """Whether TLS is negotiated at all."""
    authority_file: str = ""
    authority_folder: str = ""
    check_name: bool = True
    algorithm: str = "AES-256-CBC"
    key_size: int = 32
    salt_size: int = 8
    rounds: int = 16
    presented: str = ""
    """The credential's name and origin."""

    @property
    def peer(self) -> str:
        """`host:port`, for people."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def without_secrets(self, text: str) -> str:
        """What a server said, which was shown the password and the ticket."""
        from ..credentials.redaction import redact_known

        return redact_known(text, (self.password, self.ticket))

    def __repr__(self) -> str:
        return f"Login({self.user}#{self.zone} at {self.host}:{self.port})"


def login_for(credential: Credential, authority: Authority, zone: str) -> Login:
    """How to log in with this credential where the URL says. `zone` is the path's. Raises TransferError."""
    from ..credentials.kinds import Basic, Irods
    from ..credentials.redaction import printable

    presented = f"{printable(credential.name)} from {printable(credential.origin)}"
    if isinstance(credential, Irods) and credential.environment_file:
        return _from_environment(credential, authority)._replace(presented=presented)
    if not authority.host:
        raise MissingCredential(
            "the URL names no server, and there is no environment file that does",
            remedy="set IRODS_ENVIRONMENT_FILE, or write irods://user@host:port/zone/path",
        )
    login = Login(authority.host, authority.port, authority.user or "anonymous", zone, presented=presented)
    if isinstance(credential, Irods) and credential.ticket is not None:
        return login._replace(ticket=credential.ticket.reveal())
    if isinstance(credential, Basic):
        return login._replace(user=authority.user or credential.user, password=credential.password.reveal())
    return login


def _from_environment(credential: Irods, authority: Authority) -> Login:
    values = _values(credential.environment_file)
    login = _described(values, credential.environment_file)
    if authority.host:
        login = _at_server(login, authority, credential.environment_file)
    if credential.ticket is not None:
        login = login._replace(ticket=credential.ticket.reveal())
    if credential.password is not None:
        return login._replace(password=credential.password.reveal())
    if credential.ticket is not None:
        return login._replace(user="anonymous", scheme="native")
    # What iinit left after a login by PAM is a password of iRODS's own.
    return login._replace(scheme="native", password=_kept_password(credential.authentication_file))


def _at_server(login: Login, authority: Authority, file: str) -> Login:
    """The login at the server that the URL names, which must be the one the environment file is for."""
    there = (authority.host.lower(), authority.port)
    if (login.host.lower(), login.port) != there or authority.user not in ("", login.user):
        said = f"{authority.user}@" if authority.user else ""
        raise MissingCredential(
            f"{file} is for {login.user} at {login.host}:{login.port}, "
            f"and not for {said}{authority.host}:{authority.port}",
            remedy="name the environment file of that server in a section of the credentials file, "
            f"[irods://{said}{authority.host}:{authority.port}]",
        )
    return login


def _values(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read(1 << 20))
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{path} cannot be read: {error}", remedy=_ENVIRONMENT) from None
    if not isinstance(found, dict):
        raise Misconfigured(f"{path} is not a JSON object", remedy=_ENVIRONMENT)
    return found


def _described(values: dict[str, Any], path: str) -> Login:
    """What the file says, without secrets."""
    for key in ("irods_host", "irods_user_name", "irods_zone_name"):
        if not isinstance(values.get(key), str) or not values[key]:
            raise Misconfigured(f"{path} has no {key}", remedy=_ENVIRONMENT)
    scheme = str(values.get("irods_authentication_scheme") or "native").lower()
    if scheme != "native" and not scheme.startswith("pam"):
        raise Misconfigured(
            f"{path}: logging in by {scheme!r} is not possible here",
            remedy="irods_authentication_scheme may be native or pam_password",
        )
    policy = str(values.get("irods_client_server_policy") or "")
    if policy and policy not in _POLICIES:
        raise Misconfigured(f"{path}: {policy!r} is no policy", remedy=f"it may be {', '.join(_POLICIES)}")
    verify = str(values.get("irods_ssl_verify_server") or "hostname").lower()
    asks = values.get("irods_client_server_negotiation", _ASKS) == _ASKS
    return Login(
        values["irods_host"],
        _number(values, "irods_port", 1247, path),
        values["irods_user_name"],
        values["irods_zone_name"],
        scheme="native" if scheme == "native" else "pam",
        resource=str(values.get("irods_default_resource") or ""),
        policy=policy,
        asks=asks or policy == "CS_NEG_REQUIRE",
        authority_file=str(values.get("irods_ssl_ca_certificate_file") or ""),
        authority_folder=str(values.get("irods_ssl_ca_certificate_path") or ""),
        check_name=verify != "cert",
        algorithm=str(values.get("irods_encryption_algorithm") or "AES-256-CBC"),
        key_size=_number(values, "irods_encryption_key_size", 32, path),
        salt_size=_number(values, "irods_encryption_salt_size", 8, path),
        rounds=_number(values, "irods_encryption_num_hash_rounds", 16, path),
    )


def _number(values: dict[str, Any], key: str, default: int, path: str) -> int:
    try:
        number = int(values.get(key) or default)
    except (TypeError, ValueError):
        number = 0
    if not 0 < number < 65_536:
        raise Misconfigured(f"{path}: {key} is no number that makes sense", remedy=_ENVIRONMENT)
    return number


def _kept_password(path: str) -> str:
    """What `iinit` left, where it obscures the password with the number of the user."""
    try:
        from irods.password_obfuscation import decode  # type: ignore[import-untyped]
    except ImportError:
        raise MissingExtra(
            f"reading {path} needs python-irodsclient", remedy="pip install 'wf-transfer[irods]'"
        ) from None
    try:
        with open(path, encoding="utf-8") as file:
            return str(decode(file.read().rstrip("\r\n")))
    except OSError as error:
        raise MissingCredential(f"{path} cannot be read: {error.strerror}", remedy="run iinit") from None
    except (ValueError, IndexError):
        raise Misconfigured(f"{path} is not what iinit writes", remedy="run iinit") from None


def tls_for(login: Login, context: Context) -> ssl.SSLContext:
    """Settings that always verify the server, by the authorities of the environment file, else by those of the run."""
    if not (login.authority_file or login.authority_folder) and login.check_name:
        return context.tls(None)
    import ssl

    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    settings.minimum_version = ssl.TLSVersion.TLSv1_2
    settings.check_hostname = login.check_name
    settings.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    try:
        if login.authority_file or login.authority_folder:
            settings.load_verify_locations(login.authority_file or None, login.authority_folder or None)
        else:
            settings.load_default_certs(ssl.Purpose.SERVER_AUTH)
    except OSError as error:
        raise Misconfigured(
            f"the certificate authorities {login.authority_file or login.authority_folder} cannot be used: "
            f"{error.strerror or error}",
            remedy="check irods_ssl_ca_certificate_file in the environment file",
        ) from None
    return settings

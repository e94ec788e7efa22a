"""From nothing to a connection that is logged in: greeting, negotiation of TLS, the password, the ticket.

Servers of iRODS 4.3 and later take the login as JSON (API 110000, "auth framework"); older ones by requests of its own
for each step. A password is never sent over a connection without TLS: natively it only enters a digest, and PAM needs TLS.
"""

from __future__ import annotations

import hashlib
import os
import re

from .connection import failure, open_connection
from .errors import Denied, Misconfigured, ServerFault
from .irods_environment import tls_for
from .irods_errors import Refused
from .irods_messages import escaped, field, header, json_input, json_output, texts_input
from .irods_wire import Wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from .context import Context
    from .irods_environment import Login

_PASSWORD_BYTES: Final = 50
_CHALLENGE_BYTES: Final = 64
_AUTHENTICATE, _CHALLENGE, _RESPONSE, _PAM, _TICKET = 110_000, 703, 704, 725, 723
_CLIENT: Final = b"wf-transfer"
_SPEAKS: Final = b"rods5.0.2"
"""The version of the protocol that this is written after."""
_OLD_JSON: Final = (4, 2, 9)


def open_wire(login: Login, context: Context, what: str, key: object = None) -> Wire:
    """A connection that is logged in. Raises TransferError."""
    wire = _greeted(login, context, what, key)
    try:
        if login.scheme == "pam":
            wire = _log_in_by_pam(wire, login, what)
        else:
            _log_in(wire, login, login.password)
        if login.ticket:
            wire.with_ticket = True
            wire.call(_TICKET, texts_input(b"ticketAdminInp_PI", 1, 6, ["session", login.ticket]))
    except Refused as refused:
        wire.leave()
        raise wire.error(refused, f"{what}: logging in to {wire.host} as {login.user}#{login.zone}") from None
    except BaseException:
        wire.drop()
        raise
    return wire


def _greeted(login: Login, context: Context, what: str, key: object) -> Wire:
    """A connection that has told its version, with TLS where that was agreed upon."""
    host = f"{login.host}:{login.port}"
    try:
        connection = open_connection(login.host, login.port, context)
    except OSError as error:
        raise failure(error, what, host, begun=False) from None
    wire = Wire(connection, context, key)
    wire.about(what)
    wire.presented, wire.zone = login.presented, login.zone
    try:
        secure = _negotiate(wire, login)
        wire.version = _version(wire)
        wire.quote = b"'" if wire.version >= _OLD_JSON else b"`"
        if secure:
            _start_tls(wire, login, what)
    except BaseException:
        wire.drop()
        raise
    connection.heard = False
    return wire


def _negotiate(wire: Wire, login: Login) -> bool:
    """Says who comes; whether there shall be TLS."""
    user, zone = escaped(login.user), escaped(login.zone)
    option = _CLIENT + b"request_server_negotiation" if login.asks else _CLIENT
    pack = (
        b"<StartupPack_PI><irodsProt>1</irodsProt><reconnFlag>0</reconnFlag><connectCnt>0</connectCnt>"
        b"<proxyUser>%b</proxyUser><proxyRcatZone>%b</proxyRcatZone>"
        b"<clientUser>%b</clientUser><clientRcatZone>%b</clientRcatZone>"
        b"<relVersion>%b</relVersion><apiVersion>d</apiVersion><option>%b</option></StartupPack_PI>"
        % (user, zone, user, zone, _SPEAKS, option)
    )
    wire.send([header(b"RODS_CONNECT", len(pack), 0, 0), pack])
    if not login.asks:
        return False
    head, message, _ = wire.frame()
    if head.kind != b"RODS_CS_NEG_T":
        raise _unexpected(wire, head.number)
    server = field(message, b"result")
    result = agreed(login.policy or ("CS_NEG_REQUIRE" if login.scheme == "pam" else ""), server)
    status = 0 if result == "CS_NEG_FAILURE" else 1
    answer = b"<CS_NEG_PI><status>%d</status><result>cs_neg_result_kw=%b;</result></CS_NEG_PI>" % (
        status,
        result.encode(),
    )
    wire.send([header(b"RODS_CS_NEG_T", len(answer), 0, 0), answer])
    if not status:
        raise Misconfigured(
            f"{wire.host}: the server says {server} about TLS, and this side {login.policy or 'CS_NEG_REQUIRE'}",
            host=wire.host,
            remedy="correct irods_client_server_policy in the environment file; PAM needs TLS",
        )
    return result == "CS_NEG_USE_SSL"


def agreed(client: str, server: str) -> str:
    """What comes of the two policies. A client that was told nothing uses TLS where the server insists."""
    if "CS_NEG_REFUSE" in (client, server):
        return "CS_NEG_FAILURE" if "CS_NEG_REQUIRE" in (client, server) else "CS_NEG_USE_TCP"
    if "CS_NEG_REQUIRE" in (client, server) or client == server == "CS_NEG_DONT_CARE":
        return "CS_NEG_USE_SSL"
    return "CS_NEG_USE_TCP"


def _version(wire: Wire) -> tuple[int, ...]:
    head, message, _ = wire.frame()
    status = int(field(message, b"status") or head.number or 0)
    if head.kind != b"RODS_VERSION" or status < 0:
        raise _unexpected(wire, status)
    numbers = re.findall(r"\d+", field(message, b"relVersion"))
    return tuple(int(number) for number in numbers[:3]) or (4, 2, 0)


def _unexpected(wire: Wire, number: int) -> Exception:
    if number < 0:
        return wire.error(Refused(number), f"connecting to {wire.host}")
    return ServerFault(f"{wire.host} does not greet as an iRODS server does", host=wire.host)


def _start_tls(wire: Wire, login: Login, what: str) -> None:
    """After the handshake the client tells a secret, of which newer connections between servers could be made."""
    settings = tls_for(login, wire.context)
    try:
        wire.connection.start_tls(settings, login.host, wire.context.connect)
    except OSError as error:
        text = f"{what}: TLS with {wire.host}"
        found = failure(error, text, wire.host, begun=False)
        if isinstance(found, Misconfigured):
            found.remedy = "name the certificate authority of this zone as irods_ssl_ca_certificate_file in the environment file"
        raise found from None
    parameters = header(login.algorithm.encode(), login.key_size, login.rounds, 0, login.salt_size)
    secret = os.urandom(login.key_size)
    wire.send([parameters, header(b"SHARED_SECRET", login.key_size, 0, 0), secret])


# --- passwords


def _log_in(wire: Wire, login: Login, password: str) -> None:
    """Natively: the digest of a challenge and the password."""
    if wire.version < (4, 3):
        _, message = wire.call(_CHALLENGE)
        challenge = _decoded(field(message, b"challenge"))[:_CHALLENGE_BYTES]
        answer = (
            b"<authResponseInp_PI><response>%b</response><username>%b</username></authResponseInp_PI>"
            % (
                _encoded(_digest(challenge, password)),
                escaped(login.user),
            )
        )
        wire.call(_RESPONSE, answer)
        return
    asked = {"scheme": "native", "user_name": login.user, "zone_name": login.zone}
    said = _exchanged(wire, {**asked, "next_operation": "auth_agent_auth_request"})
    challenge = str(said.get("request_result", "")).encode()
    digest = _encoded(_digest(challenge, password)).decode()
    _exchanged(wire, {**said, "digest": digest, "next_operation": "auth_agent_auth_response"})


def _log_in_by_pam(wire: Wire, login: Login, what: str) -> Wire:
    """The server gives a password of its own for the one of PAM; an older one wants a new connection for it."""
    if not wire.connection.secure:
        raise Misconfigured(
            f"{what}: a login by PAM needs TLS, and {wire.host} uses none",
            host=wire.host,
            remedy="set irods_client_server_negotiation to request_server_negotiation in the environment file",
        )
    if wire.version >= (4, 3):
        asked = {"scheme": "pam_password", "user_name": login.user, "zone_name": login.zone}
        said = _exchanged(
            wire, {**asked, "a_pw": login.password, "next_operation": "auth_agent_auth_request"}
        )
        _log_in(wire, login, str(said.get("request_result", "")))
        return wire
    pam = b"<pamUser>%b</pamUser><pamPassword>%b</pamPassword><timeToLive>0</timeToLive>" % (
        escaped(login.user),
        escaped(login.password),
    )
    _, message = wire.call(_PAM, b"<pamAuthRequestInp_PI>%b</pamAuthRequestInp_PI>" % pam)
    given = field(message, b"irodsPamPassword")
    wire.leave()
    again = _greeted(login, wire.context, what, wire.key)
    _log_in(again, login, given)
    return again


def _exchanged(wire: Wire, value: dict[str, Any]) -> dict[str, Any]:
    _, message = wire.call(_AUTHENTICATE, json_input(value))
    try:
        return json_output(message)
    except ValueError:
        raise Denied(f"logging in to {wire.host}: the answer makes no sense", host=wire.host) from None


def _digest(challenge: bytes, password: str) -> bytes:
    """MD5 is what the protocol has. A byte of zero would end the string at the server."""
    padded = password.encode("utf-8", "surrogateescape")[:_PASSWORD_BYTES].ljust(_PASSWORD_BYTES, b"\0")
    return hashlib.md5(challenge + padded, usedforsecurity=False).digest().replace(b"\0", b"\1")


def _encoded(data: bytes) -> bytes:
    import binascii

    return binascii.b2a_base64(data, newline=False)


def _decoded(text: str) -> bytes:
    import binascii

    return binascii.a2b_base64(text)

"""Logging in with python-irodsclient: greeting, negotiation of TLS, passwords, PAM, tickets.

The library waits without looking at the end of the run, so a login has a thread of its own, which is left behind if need be.
Its own settings for TLS verify nobody unless an authority is named, and so it gets ours. A password of PAM is never sent without TLS.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from time import monotonic

from .connection import Connection
from .errors import Misconfigured, MissingExtra, Stopped, TransferError
from .irods_environment import tls_for
from .irods_errors import NotAgreed, from_library
from .irods_wire import Wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    import ssl
    from typing import Any, Final

    from .context import Context
    from .irods_environment import Login

_TICK: Final = 0.25
_REQUIRE, _REFUSE, _EITHER = "CS_NEG_REQUIRE", "CS_NEG_REFUSE", "CS_NEG_DONT_CARE"
_POLICIES: Final = {"": (_REFUSE, _REQUIRE), _EITHER: (_REQUIRE, _REFUSE)}
"""What is tried one after the other where no side is to be insisted on, which the library does not know: with a client that was
told nothing TLS is used if the server insists, and with one that does not care unless the server refuses."""


class Client:
    """The library's session of one account at one server, and the wires over its connections. For one worker."""

    def __init__(self, login: Login, context: Context) -> None:
        self.login = login
        self._context = context
        self._session: Any = None
        self._wires: dict[object, Wire] = {}
        """By the library's connection."""
        self._policies = _policies(login)

    @property
    def idle(self) -> int:
        return len(self._session.pool.idle) if self._session is not None else 0

    def take(self, what: str) -> Wire:
        """A connection that is logged in, of those that were given back if one is still good. Raises TransferError."""
        while self.idle:
            wire = self._wires[self._session.pool.get_connection()]
            if wire.is_fresh():
                wire.about(what)
                return wire
            wire.drop()
        return self._log_in(what)

    def give(self, wire: Wire) -> None:
        """Keeps the connection for the next one who asks."""
        if wire.session is self._session:
            wire.logged_in.release()
        else:
            wire.leave()

    def forget(self, wire: Wire) -> None:
        """Has the library know that the connection is no more; a session that was replaced may still be waiting for a login."""
        self._wires.pop(wire.logged_in, None)
        if wire.session is self._session:
            wire.logged_in.release(destroy=True)

    def close(self) -> None:
        """Ends the connections that were given back. Those that are taken stay."""
        while self.idle:
            self._wires[self._session.pool.get_connection()].leave()

    # --- logging in

    def _log_in(self, what: str) -> Wire:
        login = self.login
        about = f"{what}: logging in to {login.peer} as {login.user}#{login.zone}"
        while True:
            session = self._session or _session(login, self._context, self._policies[0])
            self._session = None
            try:
                wire = self._connected(session, about, what)
            except NotAgreed:
                if len(self._policies) == 1:
                    raise
                self._policies = self._policies[1:]
                continue
            self._session = session
            return wire

    def _connected(self, session: Any, about: str, what: str) -> Wire:
        began = monotonic()
        logged_in = _in_time(session, self._context, self.login, about)
        self._context.logging_in += monotonic() - began
        try:
            connection = _taken_over(logged_in, self.login.peer, self._context)
        except OSError as error:
            close(logged_in)
            raise from_library(error, about, self.login.peer) from None
        wire = Wire(connection, self._context, self)
        wire.logged_in, wire.session = logged_in, session
        wire.version = logged_in.server_version
        wire.zone = self.login.zone
        wire.presented = self.login.presented
        wire.with_ticket = bool(self.login.ticket)
        wire.about(what)
        # The pool sets what it finds here whenever it hands out an idle connection.
        session.connection_timeout = logged_in.socket.gettimeout()
        self._wires[logged_in] = wire
        return wire


def _policies(login: Login) -> tuple[str, ...]:
    if login.scheme != "pam":
        return _POLICIES.get(login.policy, (login.policy,))
    if not login.asks or login.policy == _REFUSE:
        raise Misconfigured(
            f"a login by PAM to {login.peer} needs TLS, and the environment file switches it off",
            host=login.peer,
            remedy="set irods_client_server_policy to CS_NEG_REQUIRE and irods_client_server_negotiation to "
            "request_server_negotiation in the environment file",
        )
    return (_REQUIRE,)


def _session(login: Login, context: Context, policy: str) -> Any:
    """The library's session, which has not connected yet."""
    try:
        from irods.session import iRODSSession  # type: ignore[import-untyped]
    except ImportError:
        raise MissingExtra(
            "irods: needs python-irodsclient", remedy="pip install 'wf-transfer[irods]'"
        ) from None
    import logging

    # What it says of each message would have passwords in it; its errors are told as ours.
    logging.getLogger("irods").setLevel(logging.CRITICAL + 1)
    session = iRODSSession(
        host=login.host,
        port=login.port,
        user=login.user,
        zone=login.zone,
        password=login.password,
        authentication_scheme="pam_password" if login.scheme == "pam" else "native",
        application_name="wf-transfer",
        client_server_negotiation="request_server_negotiation" if login.asks else "none",
        client_server_policy=policy,
        encryption_algorithm=login.algorithm,
        encryption_key_size=login.key_size,
        encryption_salt_size=login.salt_size,
        encryption_num_hash_rounds=login.rounds,
        ssl_context=_Verifying(login, context),
        connection_timeout=min(context.connect, context.stall),
        auto_cleanup=False,
    )
    if login.ticket:
        from irods.ticket import Ticket  # type: ignore[import-untyped]

        Ticket(session, login.ticket).supply()
    return session


class _Verifying:
    """Stands for the settings of TLS, which cost time to make, until a server wants them."""

    def __init__(self, login: Login, context: Context) -> None:
        self._login, self._context = login, context
        self.check_hostname = login.check_name

    def wrap_socket(self, plain: socket.socket, **_: object) -> ssl.SSLSocket:
        settings = tls_for(self._login, self._context)
        return settings.wrap_socket(plain, server_hostname=self._login.host)


class _Attempt(threading.Thread):
    """Has one login made by the library. Whoever does not wait for it any more says so, and it closes what it gets."""

    def __init__(self, session: Any, login: Login, about: str) -> None:
        super().__init__(daemon=True)
        self._session, self._login, self._about = session, login, about
        self._lock = threading.Lock()
        self._given_up = False
        self.connected: Any = None
        self.error: TransferError | None = None

    def run(self) -> None:
        from irods.message import ET, XML_Parser_Type  # type: ignore[import-untyped]

        ET(XML_Parser_Type.SECURE_XML)  # of this thread: nobody has proved who is at the other end
        try:
            connected = self._session.pool.get_connection()
        except Exception as error:  # noqa: BLE001 - the library's have no common ancestor
            found = from_library(error, self._about, self._login.peer, presented=self._login.presented)
            found.what = self._login.without_secrets(found.what)
            found.args = (found.what,)
            self.error = found
            _let_go(error)
            return
        with self._lock:
            self.connected = connected
            given_up = self._given_up
        if given_up:
            close(connected)

    def give_up(self) -> None:
        with self._lock:
            self._given_up = True
            connected, self.connected = self.connected, None
        if connected is not None:
            close(connected)


def _let_go(error: Exception) -> None:
    """Closes the connection that the library leaves open behind a login that failed, and that the frames would hold for long."""
    import traceback

    for frame, _ in traceback.walk_tb(error.__traceback__):
        left = getattr(frame.f_locals.get("self"), "socket", None)
        if left is not None:
            left.close()
    traceback.clear_frames(error.__traceback__)


def _in_time(session: Any, context: Context, login: Login, about: str) -> Any:
    """The library's connection, logged in. Raises TransferError, and Stopped when the run ends."""
    session.connection_timeout = min(context.connect, context.stall)
    attempt = _Attempt(session, login, about)
    attempt.start()
    until = monotonic() + context.connect + context.stall
    while attempt.is_alive():
        attempt.join(_TICK)
        if attempt.is_alive() and (context.stop.is_set() or monotonic() > until):
            attempt.give_up()
            if context.stop.is_set():
                raise Stopped(f"{about}: the run was stopped")
            raise from_library(TimeoutError("it took too long"), about, login.peer)
    if attempt.error is not None:
        raise attempt.error
    return attempt.connected


def close(connected: Any) -> None:
    """Ends a connection of the library, politely if that is possible at once. Never raises."""
    with suppress(Exception):
        connected.disconnect()
    connected.release(destroy=True)


def _taken_over(logged_in: Any, peer: str, context: Context) -> Connection:
    """The library's connection with our limits, for our own messages."""
    connection = Connection(logged_in.socket, peer, context)
    connection.secure = hasattr(logged_in.socket, "unwrap")
    if connection.secure:  # where SO_RCVTIMEO is not looked at
        logged_in.socket.settimeout(min(1.0, context.stall))
    return connection

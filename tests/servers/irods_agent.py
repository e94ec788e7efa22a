"""One connection of the iRODS test server: handshake, TLS, login, and the requests of a client until it leaves."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import select
import ssl
import struct
import threading
from typing import TYPE_CHECKING

from .irods_catalogue import BAD_PASSWORD, PAM_FAILED, UNKNOWN_API, UNKNOWN_USER, Refusal, Ticket
from .irods_frames import Stream, packed_json, xml
from .irods_objects import Objects
from .irods_query import Queries

if TYPE_CHECKING:
    import socket

    from .irods_frames import Element, Frame
    from .irods_server import Fault, IrodsZone

_UNKNOWN_TICKET = Ticket("/nowhere", expired=False)
_LOGIN = frozenset({110_000, 700, 703, 704, 725, 1201})
_IN_PROGRESS = 99_999_996
TOO_MANY = -9_000


class Agent(threading.Thread):
    def __init__(self, zone: IrodsZone, connected: socket.socket) -> None:
        super().__init__(daemon=True)
        self.zone, self.catalogue = zone, zone.catalogue
        self.stream = Stream(connected)
        self.user = ""
        """Empty until the login has succeeded."""
        self.ticket: Ticket | None = None
        self._claims = ""
        self._challenge = b""
        self._objects = Objects(self)
        self._queries = Queries(zone.catalogue)

    def run(self) -> None:
        try:
            self._converse()
        except (OSError, ValueError):  # the client has gone, or speaks something else
            pass
        finally:
            with self.catalogue.lock:
                self._objects.abandon()
            self.stream.socket.close()
            self.zone.left(self)

    def _converse(self) -> None:
        if not self._shake_hands():
            return
        while (frame := self.stream.receive()).kind != "RODS_DISCONNECT":
            fault = self.zone.fault_for(frame.number)
            if fault is not None and fault.stall:
                self._sit_still()
                return
            if fault is not None and fault.hang_up:
                return
            if fault is not None and fault.corrupt and frame.bytes:
                frame = frame._replace(bytes=_spoiled(frame.bytes))
            self._reply(frame, fault)
            if fault is not None and fault.unanswered:
                return
        if isinstance(self.stream.socket, ssl.SSLSocket):
            self.stream.socket = self.stream.socket.unwrap()  # type: ignore[assignment]

    def _sit_still(self) -> None:
        """Says nothing until the client gives up, or the zone closes."""
        while not self.zone.closing.is_set() and not select.select([self.stream.socket], [], [], 0.05)[0]:
            pass

    # --- the beginning

    def _shake_hands(self) -> bool:
        pack = self.stream.receive()
        if pack.kind != "RODS_CONNECT":
            return False
        self.zone.greeted += 1
        if self.zone.is_full:  # as a real one says it: before anything is negotiated
            self.stream.send("RODS_VERSION", number=TOO_MANY)
            return False
        self._claims = pack.message.get("clientUser")
        secure = False
        if "request_server_negotiation" in pack.message.get("option"):
            self.stream.send("RODS_CS_NEG_T", xml("CS_NEG_PI", status=1, result=self.zone.policy))
            answer = self.stream.receive().message
            if answer.get("status") != "1":
                return False
            secure = "CS_NEG_USE_SSL" in answer.get("result")
        elif self.zone.policy == "CS_NEG_REQUIRE":
            return False
        version = {"status": 0, "relVersion": self.zone.version, "apiVersion": "d"}
        self.stream.send(
            "RODS_VERSION", xml("Version_PI", **version, reconnPort=0, reconnAddr="", cookie=400)
        )
        if secure:
            self._start_tls()
        return True

    def _start_tls(self) -> None:
        """After the handshake come the cipher's parameters and a shared secret, to which nothing is answered."""
        assert self.zone.tls is not None
        self.stream.socket = self.zone.tls.wrap_socket(self.stream.socket, server_side=True)
        self.zone.secured += 1
        parameters = self.stream.header()
        secret = self.stream.header()
        if parameters.number("msgLen") != secret.number("msgLen") or secret.get("type") != "SHARED_SECRET":
            raise ValueError("the shared secret is not as announced")
        self.stream.exactly(secret.number("msgLen"))

    # --- requests

    def _reply(self, frame: Frame, fault: Fault | None) -> None:
        try:
            if fault is not None and fault.code:
                raise Refusal(fault.code, fault.text)
            with self.catalogue.lock:
                message, data, number = self._answer(frame)
        except Refusal as refusal:
            error = ""
            if refusal.text:
                inner = xml("RErrMsg_PI", status=refusal.code, msg=refusal.text)
                error = xml("RError_PI", inner, count=1)
            self.stream.send("RODS_API_REPLY", error=error, number=refusal.code)
            return
        if fault is not None and fault.corrupt and data:
            data = _spoiled(data)
        if fault is not None and fault.short and data:
            data = data[: len(data) // 2]
            number = len(data)
        if fault is not None and fault.answer is not None:
            message = fault.answer
        if fault is not None and fault.unanswered:
            return
        if frame.number == 679 and self.zone.tells_progress:
            self.stream.send("RODS_API_REPLY", xml("CollOprStat_PI", filesCnt=1), number=_IN_PROGRESS)
            assert self.stream.exactly(4) == (99_999_997).to_bytes(4, "big")
        self.stream.send("RODS_API_REPLY", message, data=data, number=number)

    def _answer(self, frame: Frame) -> tuple[str, bytes, int]:
        if not self.user and frame.number not in _LOGIN:
            raise Refusal(-13_000, "not logged in")
        if frame.number == 702:
            return self._queries.answer(frame.message, self.user, self.ticket), b"", 0
        own = getattr(self, f"_api_{frame.number}", None)
        if own is not None:
            return own(frame.message), b"", 0
        return self._objects.answer(frame)

    # --- login

    def _api_110000(self, message: Element) -> str:
        """The login of iRODS 4.3 and later: an object that goes to and fro."""
        said = message.json()
        if said["scheme"] == "pam_password":
            return packed_json(
                {**said, "request_result": self._pam_token(said["user_name"], said.get("a_pw", ""))}
            )
        if said["next_operation"] == "auth_agent_auth_request":
            self._challenge = secrets.token_hex(32).encode()
            return packed_json({**said, "request_result": self._challenge.decode()})
        self._check(said["user_name"], base64.b64decode(said["digest"]))
        return packed_json(said)

    def _api_703(self, _: Element) -> str:
        """The login of iRODS 4.2: a challenge of 64 bytes, hexadecimal digits."""
        self._challenge = secrets.token_hex(32).encode()
        return xml("authRequestOut_PI", challenge=base64.b64encode(self._challenge).decode())

    def _api_704(self, message: Element) -> str:
        self._check(message.get("username").partition("#")[0], base64.b64decode(message.get("response")))
        return ""

    def _api_725(self, message: Element) -> str:
        token = self._pam_token(message.get("pamUser"), message.get("pamPassword"))
        return xml("pamAuthRequestOut_PI", irodsPamPassword=token)

    def _api_1201(self, message: Element) -> str:
        """The login by a plugin of iRODS 4.2, as far as PAM goes."""
        given = {}
        for pair in re.findall(r"((?:[^\\;]|\\.)+)", message.get("context_")):
            name, _, value = pair.partition("=")
            given[name] = re.sub(r"\\(.)", r"\1", value)
        return xml("authPlugReqOut_PI", result_=self._pam_token(given["a_user"], given["a_pw"]))

    def _pam_token(self, user: str, password: str) -> str:
        if not isinstance(self.stream.socket, ssl.SSLSocket) or self.catalogue.pam.get(user) != password:
            raise Refusal(PAM_FAILED)
        token = secrets.token_hex(16)
        self.catalogue.pam_tokens.setdefault(user, set()).add(token)
        return token

    def _check(self, user: str, digest: bytes) -> None:
        if user not in self.catalogue.users:
            raise Refusal(UNKNOWN_USER)
        for password in {self.catalogue.users[user], *self.catalogue.pam_tokens.get(user, ())}:
            if (password or user == "anonymous") and digest == self._expected(password):
                self.user = self._claims
                return
        raise Refusal(BAD_PASSWORD)

    def _expected(self, password: str) -> bytes:
        padded = struct.pack("50s", password.encode())
        return hashlib.md5(self._challenge + padded).digest().replace(b"\0", b"\1")

    def _api_723(self, message: Element) -> str:
        """A ticket is only noted; whether it is good for anything shows when it is used."""
        if message.get("arg1") == "session":
            self.ticket = self.catalogue.tickets.get(message.get("arg2"), _UNKNOWN_TICKET)
        return ""

    def _api_700(self, _: Element) -> str:
        raise Refusal(UNKNOWN_API)


def _spoiled(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]

"""One connection to a server or a proxy: connecting, TLS, time limits, and what the failures mean.

Plain sockets block with SO_RCVTIMEO and SO_SNDTIMEO of one tick, which saves the system call that `settimeout`
spends before each transfer. Python's ssl module ignores both options, so TLS sockets get `settimeout`. Either way a
wait returns once a tick to look at `Context.stop`, and gives up after `Context.stall` seconds without a byte.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import sys
from contextlib import suppress
from time import monotonic

from .errors import Broken, Denied, LocalRefused, Misconfigured, Stopped, TransferError, Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence
    from threading import Event
    from typing import Any, Final

    from .context import Context

_TICK: Final = 1.0
_HEAD_START: Final = 0.25
"""Seconds that an address has before the next one is tried beside it (RFC 8305 section 8)."""
_TLS_PIECE: Final = 1 << 16
"""A TLS write that ran into its time limit must be repeated with the same bytes, so they are few."""
_GONE: Final = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ECONNABORTED, errno.ESHUTDOWN})


class Closed(ConnectionError):
    """The other side ended the stream where more bytes were due."""


class Connection:
    """A connected stream. Its owner closes it after any exception."""

    __slots__ = (
        "_ahead",
        "_got",
        "_patience",
        "_slow",
        "_socket",
        "_stall",
        "_stop",
        "_tick",
        "_waited",
        "heard",
        "peer",
        "secure",
        "served",
    )

    def __init__(self, connected: socket.socket, peer: str, context: Context) -> None:
        self._socket = connected
        self._stop = context.stop
        self._stall = context.stall
        self._slow = context.slow_bytes
        self._waited = 0.0
        self._got = 0
        """Seconds spent waiting for bytes, and the bytes that came for it, in the present window."""
        self._tick = min(_TICK, context.stall)
        self.hurry(None)
        self._ahead = b""
        self.peer = peer
        """`host:port`, for people."""
        self.secure = False
        self.served = 0
        """Exchanges that were completed here; a connection with none is not stale when it fails."""
        self.heard = False
        """A byte of the present answer has arrived."""
        whole = int(self._tick)
        tick = struct.pack("ll", whole, int((self._tick - whole) * 1e6))
        connected.settimeout(None)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, tick)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, tick)

    def start_tls(self, settings: ssl.SSLContext, host: str, seconds: float) -> None:
        """Shakes hands within `seconds` and verifies that the certificate is `host`'s."""
        wrapped = settings.wrap_socket(
            self._socket, server_hostname=host, do_handshake_on_connect=False, suppress_ragged_eofs=False
        )
        self._socket = wrapped
        self.secure = True
        wrapped.settimeout(self._tick)
        until = monotonic() + seconds
        while True:
            try:
                wrapped.do_handshake()
                return
            except TimeoutError:
                self._look_at_stop()
                if monotonic() >= until:
                    raise TimeoutError("the TLS handshake was not answered in time") from None

    def hurry(self, seconds: float | None) -> None:
        """From now on a wait ends after so many seconds without a byte, if that is less than the stall limit; None: after that."""
        stall = self._stall if seconds is None else min(seconds, self._stall)
        self._patience = -(-stall // self._tick)

    def receive(self, view: memoryview, least: int = 1) -> int:
        """The number of bytes that came into `view`; fewer than `least` only at the end of the stream.

        Raises OSError, which is TimeoutError after the stall limit, or Stopped.
        """
        got = len(self._ahead)
        if got:
            view[:1] = self._ahead
            self._ahead = b""
        silent = 0
        began = monotonic()
        while got < least:
            rest = view[got:] if got else view
            try:
                # Told the number, TLS sockets need not ask for it.
                more = self._socket.recv_into(rest, len(rest))
            except (BlockingIOError, TimeoutError) as error:
                if error.errno == errno.ETIMEDOUT:
                    raise
                silent = self._one_more(silent)
                continue
            self._look_at_stop()
            now = monotonic()
            self._waited += now - began
            self._got += more
            if self._waited > self._stall:
                self._insist_on_pace()
            if not more:
                break
            got += more
            silent, began = 0, now
        return got

    def _insist_on_pace(self) -> None:
        """Raises TimeoutError if what came was too little for the time that was spent waiting for it alone."""
        waited, got = self._waited, self._got
        self._waited, self._got = 0.0, 0
        if got < self._slow * waited:
            raise TimeoutError(f"only {got} bytes came in {waited:.0f} s of waiting")

    def send(self, pieces: list[bytes | memoryview], interrupts: Callable[[], bool] | None = None) -> bool:
        """True when all pieces are on their way; False when the other side has closed, or `interrupts` says so.

        `interrupts` is asked when something arrives meanwhile. False is no error yet: an answer that explains it
        may wait to be received.
        """
        try:
            return self._send_tls(pieces, interrupts) if self.secure else self._send_plain(pieces, interrupts)
        except OSError as error:
            if error.errno in _GONE or is_end(error):
                return False
            raise

    def _send_plain(self, pieces: list[bytes | memoryview], interrupts: Callable[[], bool] | None) -> bool:
        left = sum(map(len, pieces))
        silent = 0
        while True:
            try:
                sent = self._socket.sendmsg(pieces)
            except BlockingIOError:
                silent = self._one_more(silent)
            else:
                left -= sent
                if not left:
                    return True
                silent = 0
                pieces = _after(pieces, sent)
                self._look_at_stop()
            if interrupts is not None and self.readable(0) and interrupts():
                return False

    def _send_tls(self, pieces: list[bytes | memoryview], interrupts: Callable[[], bool] | None) -> bool:
        if sum(map(len, pieces)) <= _TLS_PIECE:
            pieces = [b"".join(pieces)]
        for piece in pieces:
            view = memoryview(piece)
            for start in range(0, len(view), _TLS_PIECE):
                if start and interrupts is not None and self.readable(0) and interrupts():
                    return False
                self._send_records(view[start : start + _TLS_PIECE])
        return True

    def _send_records(self, view: memoryview) -> None:
        silent = 0
        while view:
            try:
                view = view[self._socket.send(view) :]
            except TimeoutError as error:
                if error.errno == errno.ETIMEDOUT:
                    raise
                silent = self._one_more(silent)
            else:
                silent = 0

    def readable(self, seconds: float) -> bool:
        """Whether a byte, or the end of the stream, arrives within `seconds`."""
        if self.secure:
            return self._tls_readable(seconds)
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        return bool(waiting.poll(int(seconds * 1000)))

    def _tls_readable(self, seconds: float) -> bool:
        """Decrypts one byte, because what lies in a TLS socket may be a session ticket instead of data."""
        if self._ahead:
            return True
        self._socket.settimeout(seconds)
        try:
            self._ahead = self._socket.recv(1)
        except TimeoutError:
            return False
        except OSError as error:
            return not _wants_more(error)
        finally:
            self._socket.settimeout(self._tick)
        return True

    def close(self) -> None:
        """Ends the connection. Never raises."""
        with suppress(OSError):
            self._socket.close()

    def _one_more(self, silent: int) -> int:
        self._look_at_stop()
        if silent + 1 >= self._patience:
            raise TimeoutError(f"no byte for {self._tick * self._patience:g} s")
        return silent + 1

    def _look_at_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped(f"stopped while talking to {self.peer}")


def _after(pieces: list[bytes | memoryview], sent: int) -> list[bytes | memoryview]:
    """What of `pieces` remains when their first `sent` bytes are gone."""
    for index, piece in enumerate(pieces):
        if sent < len(piece):
            return [memoryview(piece)[sent:], *pieces[index + 1 :]]
        sent -= len(piece)
    return []


def open_connection(host: str, port: int, context: Context) -> Connection:
    """A connection to the first address of `host` that accepts one. Raises OSError or Stopped."""
    peer = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    # As bytes, a name is not given to the IDNA codec, which costs a millisecond to load.
    name = host.encode("ascii") if host.isascii() else host
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    connected = _race(_alternating(found), context.connect, context.stop, peer)
    try:
        return Connection(connected, peer, context)
    except OSError:
        connected.close()
        raise


def _alternating(found: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The addresses with their families taking turns (RFC 8305 section 4)."""
    first = [entry for entry in found if entry[0] == found[0][0]]
    other = [entry for entry in found if entry[0] != found[0][0]]
    mixed: list[tuple[Any, ...]] = []
    for index in range(max(len(first), len(other))):
        mixed += first[index : index + 1] + other[index : index + 1]
    return mixed


def _race(addresses: list[tuple[Any, ...]], seconds: float, stop: Event, peer: str) -> socket.socket:
    """The first socket that connects; each further address starts a moment later, or when the last failed."""
    poll = select.poll()
    racing: dict[int, socket.socket] = {}
    failure = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    until = monotonic() + seconds
    next_start = 0.0
    try:
        while addresses or racing:
            now = monotonic()
            if stop.is_set():
                raise Stopped(f"stopped while connecting to {peer}")
            if now >= until:
                raise TimeoutError(f"no connection within {seconds:g} s")
            if addresses and now >= next_start:
                try:
                    begun = _begin(addresses.pop(0))
                except OSError as error:
                    failure = error
                    continue
                racing[begun.fileno()] = begun
                poll.register(begun, select.POLLOUT)
                next_start = now + _HEAD_START
            wait = min(_TICK, until - now, next_start - now if addresses else _TICK)
            for descriptor, _ in poll.poll(max(1, int(wait * 1000))):
                poll.unregister(descriptor)
                ready = racing.pop(descriptor)
                code = ready.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not code:
                    return ready
                ready.close()
                failure = OSError(code, os.strerror(code))
                next_start = 0.0
        raise failure
    finally:
        for loser in racing.values():
            loser.close()


def _begin(address: tuple[Any, ...]) -> socket.socket:
    """A socket that is connecting. Raises OSError where that is refused at once."""
    family, kind, protocol, _, where = address
    begun = socket.socket(family, kind, protocol)
    begun.setblocking(False)
    code = begun.connect_ex(where)
    if code in (0, errno.EINPROGRESS):
        return begun
    begun.close()
    raise OSError(code, os.strerror(code))


def is_end(error: OSError) -> bool:
    """Whether the other side has ended the stream, politely or not."""
    tls = sys.modules.get("ssl")
    if tls is None or not isinstance(error, tls.SSLError):
        return isinstance(error, ConnectionError)
    # Python 3.11.2 knows no class of its own for OpenSSL 3's word.
    return isinstance(error, (tls.SSLEOFError, tls.SSLZeroReturnError)) or "UNEXPECTED_EOF" in (
        error.reason or ""
    )


def _wants_more(error: OSError) -> bool:
    tls = sys.modules["ssl"]
    return isinstance(error, (tls.SSLWantReadError, tls.SSLWantWriteError))


def failure(error: OSError, what: str, host: str, *, begun: bool) -> TransferError:
    """The one table from a socket's or TLS's error to ours.

    `what` names the request; `begun` is true once a byte of the answer has arrived or a body was being sent.
    """
    kind: type[TransferError] = Broken if begun else Unreachable
    remedy = ""
    tls = sys.modules.get("ssl")
    if tls is not None and isinstance(error, tls.SSLCertVerificationError):
        kind = Misconfigured
        text = f"the certificate of the server is not trusted ({error.verify_message})"
        remedy = (
            "if the server is right, name the file or folder of its certificate authority in SSL_CERT_FILE, "
            "SSL_CERT_DIR or X509_CERT_DIR"
        )
    elif tls is not None and isinstance(error, tls.SSLError) and not is_end(error):
        reason = str(error.reason or "unknown reason").lower().replace("_", " ")
        text = f"TLS failed: {reason}"
        if reason == "wrong version number":
            kind = Misconfigured
            remedy = "the server does not speak TLS on this port: write http://, or name another port"
        if "alert" in reason and ("certificate" in reason or "unknown ca" in reason):
            kind = Denied
            text = f"the server refused the client certificate, or wants one ({reason})"
    elif isinstance(error, socket.gaierror):
        text = f"the host name cannot be resolved ({error.strerror})"
    elif error.errno in (errno.EMFILE, errno.ENFILE):
        kind = LocalRefused
        text = "too many files and connections are open"
        remedy = "raise the limit of open files (ulimit -n), or use a smaller -n"
    elif isinstance(error, ConnectionRefusedError):
        text = "connection refused"
    elif isinstance(error, TimeoutError):
        text = str(error) if error.errno is None else "timed out"
    elif isinstance(error, Closed) and error.args:
        text = str(error)
    elif is_end(error):
        text = "the connection was cut" if begun else "the connection was closed before any answer"
    else:
        text = error.strerror or type(error).__name__
    return kind(f"{what}: {text}", host=host, remedy=remedy)

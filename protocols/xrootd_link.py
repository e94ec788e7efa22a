"""The parent's side of a process that talks XRootD (`xrootd_child.py`).

Whatever the native library does there, here it is an error with a limit: it may crash, or say nothing for too long, and is then
killed; the next request gets a fresh process. Each has one credential in its own environment, so credentials of different
requests never meet, and our own environment is not touched.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import sys
import time
from collections import deque

from .errors import Broken, Misconfigured, MissingExtra, ServerFault, Stopped, TransferError, Unreachable
from .xrootd_errors import Status
from .xrootd_login import Flavor, Login
from .xrootd_streams import REGION, REGIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    import subprocess
    from collections.abc import Iterator
    from typing import Any, Final

    from ..credentials.kinds import Credential
    from .context import Context
    from .xrootd_service import Told

_TICK: Final = 1.0
LAST_WORDS_SECONDS: Final = 5.0
_START_SECONDS: Final = 60.0
"""How long the process may take to load the library, on a machine that is busy."""
_FRAME_MOST: Final = 1 << 30
"""Bytes; a folder of a million names is a tenth of that."""
_PROGRAM: Final = "from wf.protocols.xrootd_child import main; main()"


class Link:
    """One process and the conversation with it. It belongs to one worker. After `dead` is set nothing can be asked."""

    def __init__(
        self, context: Context, credential: Credential, host: str, flavor: Flavor = Flavor.PLAIN
    ) -> None:

        self._context = context
        self._what = f"cannot reach {host}"
        self._kind: type[TransferError] = Unreachable
        self.host = host
        self.credential = credential
        self.dead = False
        self.unanswered = False
        """Something was asked and not waited for: it may hang."""
        self.told: dict[str, Told] = {}
        """What each server has said of itself."""
        self._next = 0
        self._held = bytearray()
        self._answers: dict[int, list[Any]] = {}
        self._events: dict[int, deque[list[Any]]] = {}
        self._regions = list(range(REGIONS))
        self._waited, self._got = 0.0, 0
        self._quiet = False
        """The end of the run does not stop it: it tidies up."""
        memory = _shared_memory()
        try:
            self._memory = mmap.mmap(memory, REGION * REGIONS)
            self.view = memoryview(self._memory)
            login = Login(context, credential, flavor)
            try:
                self._process, self._socket = _started(login.environment, (memory, *login.descriptors))
            finally:
                login.close()
        finally:
            os.close(memory)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._ready = False

    # --- asking

    def about(self, what: str, kind: type[TransferError]) -> None:
        """What the next errors say was being done, and what a silence or a broken connection means for it."""
        self._what, self._kind = what, kind

    def call(self, operation: str, *values: object, seconds: float = 0.0) -> Any:
        """The answer; at most `seconds` and the stall limit later, and only then bytes must have come. Raises Status."""
        if not self._ready:
            self._begin()
        self._next += 1
        number = self._next
        self._send([number, operation, *values])
        self.unanswered = True
        if seconds:
            self._waited, self._got = 0.0, 0
        while number not in self._answers:
            self._take_in(seconds)
        self.unanswered = False
        answer = self._answers.pop(number)
        if len(answer) > 2:
            raise Status(*answer[2])
        return answer[1]

    def post(self, operation: str, *values: object) -> None:
        """Asks without an answer."""
        self._send([0, operation, *values])

    def event(self, file: int) -> list[Any]:
        """What happened next to an open file: `[slot, bytes]`. Raises Status for what went wrong with it."""
        waiting = self._events[file]
        while not waiting:
            self._take_in()
        return _good(waiting.popleft())

    def events(self, file: int) -> Iterator[list[Any]]:
        """What has happened to an open file meanwhile. Waits for nothing."""
        waiting = self._events[file]
        while waiting:
            yield _good(waiting.popleft())

    def open_file(self) -> tuple[int, int]:
        """The number of a file that is about to be opened, and its region of the shared memory."""
        if not self._regions:
            raise ServerFault(f"{self._what}: too many files are open at a time", host=self.host)
        self._next += 1
        self._events[self._next] = deque()
        return self._next, self._regions.pop()

    def close_file(self, number: int, region: int) -> None:
        """Forgets a file. Never raises."""
        if self._events.pop(number, None) is None:
            return
        self._regions.append(region)
        if not self.dead:
            try:
                self.post("close", number)
            except TransferError:
                self.kill()

    def region(self, number: int) -> memoryview:
        return self.view[number * REGION : (number + 1) * REGION]

    # --- the conversation

    def _begin(self) -> None:
        self._ready = True
        while 0 not in self._answers:
            self._take_in(_START_SECONDS)
        hello = self._answers.pop(0)
        if hello[1] != "ready":
            self.kill()
            raise MissingExtra(
                f"{self._what}: the XRootD library cannot be loaded: {hello[2]}",
                remedy="pip install 'wf-transfer[xrootd]'",
            )

    def _silence(self) -> float:
        """Seconds after which a silence is the end."""
        if self._quiet:
            return min(LAST_WORDS_SECONDS, self._context.stall)
        return (
            self._context.stall if self._kind is Broken else max(self._context.connect, self._context.stall)
        )

    def _send(self, frame: list[object]) -> None:
        body = json.dumps(frame, separators=(",", ":")).encode("ascii")
        try:
            self._socket.sendall(len(body).to_bytes(4, "big") + body)
        except TimeoutError:
            self.kill()
            raise self._kind(f"{self._what}: the XRootD library hangs", host=self.host) from None
        except OSError:
            raise self._ended() from None

    def _take_in(self, more_seconds: float = 0.0) -> None:
        """Reads what there is and sorts it; waits for the next byte at most `more_seconds` longer than a silence may be."""
        self._wait(self._silence() + more_seconds, self._context.stall + more_seconds)
        try:
            more = self._socket.recv(1 << 16)
        except OSError:
            more = b""
        if not more:
            raise self._ended()
        held = self._held
        held += more
        begin, total = 0, len(held)
        while total - begin >= 4:
            end = begin + 4 + int.from_bytes(held[begin : begin + 4], "big")
            if end - begin > _FRAME_MOST:
                raise self._babbles()
            if end > total:
                break
            try:
                self._sort(json.loads(bytes(held[begin + 4 : end])))
            except (ValueError, TypeError, LookupError):
                raise self._babbles() from None
            begin = end
        del held[:begin]

    def _babbles(self) -> TransferError:
        """The error for a process that says what no frame is; it is ended."""
        self.kill()
        return Broken(f"{self._what}: the process with the XRootD library talks nonsense", host=self.host)

    def _sort(self, frame: list[Any]) -> None:
        number = frame[0]
        if number >= 0:
            self._answers[number] = frame
            return
        if frame[1] != -2:
            self._got += frame[2]
        waiting = self._events.get(-number)
        if waiting is not None and frame[1] != -1:
            waiting.append(frame[1:])

    def _wait(self, silence: float, patience: float) -> None:
        """Returns when something can be read. Raises Stopped, and kills the process after a silence that is too long."""
        began = time.monotonic()
        while not self._poll.poll(round(1000 * min(_TICK, silence))):
            if self._context.stop.is_set() and not self._quiet:
                raise Stopped("the run was stopped")
            if time.monotonic() - began >= silence:
                self.kill()
                raise self._kind(f"{self._what}: nothing came for {silence:.0f} s", host=self.host)
        if self._context.stop.is_set() and not self._quiet:
            raise Stopped("the run was stopped")
        self._waited += time.monotonic() - began
        if self._waited > patience and self._kind is Broken:
            self._insist_on_pace()

    def _insist_on_pace(self) -> None:
        waited, got = self._waited, self._got
        self._waited, self._got = 0.0, 0
        if got < self._context.slow_bytes * waited and not self._quiet:
            self.kill()
            raise Broken(f"{self._what}: only {got} bytes came in {waited:.0f} s of waiting", host=self.host)

    def _ended(self) -> TransferError:
        """The error for a process that has ended by itself."""
        self.dead = True
        code = self._process.wait()
        self.kill()
        how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
        return Broken(
            f"{self._what}: the process with the XRootD library {how}",
            host=self.host,
            remedy="run the batch again; if it keeps happening, another version of the Python package xrootd may help",
        )

    # --- the end

    def hurry(self, on: bool) -> None:
        """While it is tidied up the end of the run does not matter, and there is little time."""
        self._quiet = on

    def kill(self) -> None:
        """Ends the process at once. Never raises."""
        self.dead = True
        self._process.kill()
        self._process.wait()
        self._socket.close()

    def close(self) -> None:
        """The process ends by itself when its socket does; it has nothing left to do."""
        self.kill()


def _good(event: list[Any]) -> list[Any]:
    if event[0] == -2:
        raise Status(*event[1])
    return event


def _shared_memory() -> int:
    """A file in memory. Its pages are there when they are used."""
    if hasattr(os, "memfd_create"):
        memory = os.memfd_create("wf-xrootd")
    else:
        from tempfile import TemporaryFile

        with TemporaryFile() as file:
            memory = os.dup(file.fileno())
    os.ftruncate(memory, REGION * REGIONS)
    return memory


def _started(
    environment: dict[str, str], descriptors: tuple[int, ...]
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """The process, and our end of the socket. The first of `descriptors` is the memory."""
    import socket
    import subprocess

    if not sys.executable:
        raise Misconfigured("this Python does not know its own program", remedy="run it as python3")
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-P", "-c", _PROGRAM]
    command += [str(theirs.fileno()), str(descriptors[0]), str(os.getpid())]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            pass_fds=(theirs.fileno(), *descriptors),
            start_new_session=True,
        )
    except OSError as error:
        ours.close()
        raise Misconfigured(f"cannot start {sys.executable}: {error.strerror}") from error
    finally:
        theirs.close()
    ours.settimeout(_START_SECONDS)
    return process, ours

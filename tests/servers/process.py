"""Daemons in the foreground under the test's control: started, waited for, stopped by process id."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

START_SECONDS = 60.0
STOP_SECONDS = 5.0

# Below Linux's ephemeral ports, so that no outgoing connection takes one between choice and use; and 10000 above
# each is still below them: some daemons listen there too.
_FIRST, _LAST = 11_000, 21_999


def free_port(*also: int) -> int:
    """A port of 127.0.0.1 that nobody uses; so are those at the distances `also` above it.

    It stays reserved for this process, whatever other test processes of any user choose meanwhile.
    """
    span = _LAST - _FIRST + 1
    start = int.from_bytes(os.urandom(4), "big")
    for step in range(span):
        port = _FIRST + (start + step) % span
        if all(_reserve(port + distance) and _bindable(port + distance) for distance in (0, *also)):
            return port
    raise RuntimeError(f"no free port between {_FIRST} and {_LAST}")


def _reserve(port: int) -> bool:
    """Whether the reservation is ours now. An abstract socket's name is unique on the machine and ends with us."""
    if not sys.platform.startswith("linux"):
        return True
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        holder.bind(f"\0wf-transfer-test-port-{port}")
    except OSError:
        holder.close()
        return False
    holder.detach()  # stays open, and so reserved, until this process ends
    return True


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def binary(name: str, *, enable: str = "sudo make servers") -> str:
    """The path of a server's program. Where it is missing the test is skipped, and under `CI=true` it fails."""
    beside = Path(sys.executable).parent / name
    if beside.exists():
        return str(beside)
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/sbin")
    if found is None:
        missing(name, enable)
    return found


MISSING = "is not installed; enable with:"


def missing(name: str, enable: str) -> None:
    """Never returns: skips or fails the running test. The end of the run lists what was skipped for this."""
    reason = f"{name} {MISSING} {enable}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


class Daemon:
    """One server process with its children, in a session of its own. Its output goes to a file."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        port: int,
        log: Path,
        environment: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        keep: Sequence[int] = (),
    ) -> None:
        """Runs `command` and returns when 127.0.0.1:`port` accepts. A daemon that ends before that is an error.

        `keep` are descriptors that it inherits.
        """
        self.log = log
        self._stop_signal = stop_signal
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*_ends_with_us(stop_signal), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
                pass_fds=keep,
            )
        try:
            self.wait_until_it_accepts(port)
        except BaseException:
            self.stop()
            raise

    def wait_until_it_accepts(self, port: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not _accepts(port):
            if self._ended():
                raise RuntimeError(f"the server ended before it listened:\n{self.output()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"port {port} did not open in {START_SECONDS:.0f} s:\n{self.output()}")
            time.sleep(0.01)

    def output(self) -> str:
        """The end of what it wrote, for messages."""
        return self.log.read_text(errors="replace")[-4000:]

    def stop(self) -> None:
        """Ends the process and whatever is left of its session. May be called again."""
        if self.process.returncode is not None:
            return
        # Not `Popen.send_signal`, which reaps a process that has ended.
        os.kill(self.process.pid, self._stop_signal)
        deadline = time.monotonic() + STOP_SECONDS
        while not self._ended() and time.monotonic() < deadline:
            time.sleep(0.005)
        # Before it is reaped its number cannot be anybody else's.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _ended(self) -> bool:
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.process.pid, flags) is not None


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _ends_with_us(stop_signal: signal.Signals) -> list[str]:
    """A prefix that has the kernel stop the server when the test process is killed and can stop nothing itself."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", stop_signal.name.removeprefix("SIG"), "--"] if setpriv else []


def short_temporary_directory(place: Path | None = None) -> tempfile.TemporaryDirectory[str]:
    """A folder with a short path: some daemons put sockets there, whose names are limited to about 100 bytes."""
    return tempfile.TemporaryDirectory(prefix="wf-", dir=place, ignore_cleanup_errors=True)

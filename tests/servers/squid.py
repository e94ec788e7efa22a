"""squid as a site runs it: an open proxy, and one that asks for a user name and password."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .process import Daemon, binary, free_port, short_temporary_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = "carol"
PASSWORD = "through:the-proxy"


class Passed(NamedTuple):
    """One line of the access log: what squid did (`TCP_MISS/200`, `TCP_TUNNEL/200`), with what, for whom."""

    result: str
    method: str
    target: str
    user: str
    """`-` if it was not asked for."""


class Squid:
    """A running proxy. CONNECT is allowed to every port; a little is cached in memory."""

    def __init__(self, port: int, authenticated_port: int, log: Path, daemon: Daemon) -> None:
        self.port = port
        self.authenticated_port = authenticated_port
        self.url = f"http://127.0.0.1:{port}"
        self.authenticated_url = f"http://127.0.0.1:{authenticated_port}"
        """Answers 407 to whoever is not USER with PASSWORD."""
        self.daemon = daemon
        self._log = log

    def passed(self, count: int = 0) -> list[Passed]:
        """The log so far, oldest first. Waits until it has `count` lines: squid writes after the answer."""
        deadline = time.monotonic() + 30
        while len(lines := self._lines()) < count:
            if time.monotonic() > deadline:
                raise RuntimeError(f"squid logged {len(lines)} requests, not {count}")
            time.sleep(0.01)
        return lines

    def _lines(self) -> list[Passed]:
        passed = [Passed(*line.split("\t")) for line in self._log.read_text().splitlines()]
        # A connection without a request was somebody who tried whether the port accepts.
        return [one for one in passed if one.method != "-"]


@contextlib.contextmanager
def squid() -> Iterator[Squid]:
    """A proxy on two ports of 127.0.0.1: an open one and one with basic authentication."""
    program = binary("squid")
    port, authenticated_port = free_port(), free_port()
    with short_temporary_directory() as name:
        run = Path(name)
        (run / "access.log").touch()
        (run / "passwords").write_text(f"{USER}:{_hashed(PASSWORD)}\n")
        (run / "squid.conf").write_text(_configuration(run, port, authenticated_port))
        if os.geteuid() == 0:
            _give_away(run)
        # Under a name of its own, or it shares memory with every other squid of the machine.
        service = f"wf{port}"
        command = [program, "-N", "-n", service, "-f", f"{run}/squid.conf"]
        # To end in order takes it 2 s, and saves nothing that matters.
        daemon = Daemon(command, port=authenticated_port, log=run / "output.log", stop_signal=signal.SIGKILL)
        try:
            daemon.wait_until_it_accepts(port)
            yield Squid(port, authenticated_port, run / "access.log", daemon)
        finally:
            daemon.stop()
            for shared in Path("/dev/shm").glob(f"{service}-*"):
                shared.unlink(missing_ok=True)


def _hashed(password: str) -> str:
    command = [binary("openssl"), "passwd", "-apr1", "-stdin"]
    return subprocess.run(command, input=password, check=True, capture_output=True, text=True).stdout.strip()


def _give_away(run: Path) -> None:
    """squid insists on another user than root, Debian's `proxy`."""
    for path in (run, *run.iterdir()):
        shutil.chown(path, "proxy", "proxy")


def _configuration(run: Path, port: int, authenticated_port: int) -> str:
    return f"""\
http_port 127.0.0.1:{port}
http_port 127.0.0.1:{authenticated_port}
visible_hostname localhost
cache_effective_user proxy
pid_filename none
netdb_filename none
pinger_enable off
coredump_dir {run}
cache_log {run}/cache.log
logformat seen %Ss/%03>Hs\t%rm\t%ru\t%[un
access_log stdio:{run}/access.log seen
buffered_logs off
cache_mem 8 MB
dns_nameservers 127.0.0.1
udp_incoming_address 127.0.0.1
udp_outgoing_address 127.0.0.1
auth_param basic program /usr/lib/squid/basic_ncsa_auth {run}/passwords
auth_param basic children 2 startup=1
auth_param basic realm proxy
acl open_port localport {port}
acl known proxy_auth REQUIRED
http_access allow open_port
http_access allow known
http_access deny all
"""

"""An iRODS zone on loopback, spoken to by its own protocol; bytes are kept in a folder, the catalogue in memory.

It negotiates, speaks TLS, logs in by password and by PAM, takes tickets, answers queries, and treats data objects as a real
iRODS 5.0.2 does, as far as that was recorded (`irods-5.0.2.json`). Run as a program it serves until it is ended.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from servers.irods_agent import Agent
from servers.irods_catalogue import Catalogue, DataObject, Ticket

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

USER, PASSWORD, ZONE = "alice", "it's=a;secret", "tempZone"
LEAVE_SECONDS = 10.0


class Fault(NamedTuple):
    """What goes wrong with requests of one API number: an error code, or a connection that ends or says nothing more, before
    the request is done or (`unanswered`) after it; or with the bytes that are sent either way."""

    code: int = 0
    text: str = ""
    hang_up: bool = False
    stall: bool = False
    unanswered: bool = False
    corrupt: bool = False
    short: bool = False
    answer: str | None = None
    """The message that is sent instead of the right one."""


class IrodsZone:
    """A running zone. `catalogue` may be looked at and changed by tests, under its lock where clients are busy."""

    def __init__(
        self,
        vault: Path,
        *,
        version: str = "rods5.0.2",
        policy: str = "CS_NEG_DONT_CARE",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.catalogue = Catalogue(vault, ZONE, ("demoResc", "archive"))
        self.catalogue.add_user(USER, PASSWORD)
        self.catalogue.add_user("anonymous", "")
        self.version, self.policy, self.tls = version, policy, tls
        self.tells_progress = True
        """While a collection is removed, as real servers do of large ones."""
        self.connections_most = 0
        """Whoever comes when so many are connected is turned away; with 0 nobody is."""
        self.greeted = 0
        """Connections that were begun."""
        self.secured = 0
        """Those of them that went over to TLS."""
        self.calls: list[int] = []
        """API numbers of all requests."""
        self.closing = threading.Event()
        self._faults: list[tuple[int, Fault, int, int]] = []
        self._agents: set[Agent] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)

    # --- for tests

    @property
    def home(self) -> str:
        return f"/{ZONE}/home/{USER}"

    @property
    def url(self) -> str:
        """Of the home collection, with the server in it."""
        return f"irods://{USER}@127.0.0.1:{self.port}{self.home}"

    def inject(self, number: int, *, times: int = 1_000_000, after: int = 0, **fault: object) -> None:
        """Requests of an API number fail so many times, once `after` of them have passed."""
        with self._lock:
            self._faults.append((number, Fault(**fault), times, after))  # type: ignore[arg-type]

    def heal(self) -> None:
        with self._lock:
            self._faults.clear()

    def content(self, path: str) -> bytes | None:
        """What the first replica of an object holds; None if there is no object, or the replica is not good."""
        with self.catalogue.lock:
            found = self.catalogue.objects.get(path)
            if found is None or found.replicas[0].status != "1":
                return None
            return found.replicas[0].file.read_bytes()

    def plant(self, name: str, data: bytes, *, checksum: bool = True) -> DataObject:
        """A good object below the home collection."""
        with self.catalogue.lock:
            path = f"{self.home}/{name}"
            self.catalogue.make_collection(path.rpartition("/")[0], USER, recursive=True)
            made = self.catalogue.objects.get(path) or self.catalogue.create(
                path, USER, self.catalogue.resources[0]
            )
            made.replicas[0].file.write_bytes(data)
            self.catalogue.finish(made, made.replicas[0], register=checksum)
            return made

    def issue_ticket(self, text: str, path: str, *, write: bool = False, expired: bool = False) -> None:
        self.catalogue.tickets[text] = Ticket(path, write, expired)

    def write_environment(self, file: Path, **more: object) -> Path:
        """An irods_environment.json for USER, with the password in it."""
        values = {
            "irods_host": "127.0.0.1",
            "irods_port": self.port,
            "irods_user_name": USER,
            "irods_zone_name": ZONE,
            "irods_default_resource": "demoResc",
            "irodsPassword": PASSWORD,
            **more,
        }
        file.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
        file.chmod(0o600)
        return file

    # --- for agents

    def fault_for(self, number: int) -> Fault | None:
        with self._lock:
            self.calls.append(number)
            for index, (api, fault, times, after) in enumerate(self._faults):
                if api != number or times <= 0:
                    continue
                if after:
                    self._faults[index] = (api, fault, times, after - 1)
                    continue
                self._faults[index] = (api, fault, times - 1, 0)
                return fault
        return None

    @property
    def is_full(self) -> bool:
        """With the one who asks there are more than may be."""
        with self._lock:
            return 0 < self.connections_most < len(self._agents)

    def left(self, agent: Agent) -> None:
        with self._lock:
            self._agents.discard(agent)

    # --- running

    def start(self) -> None:
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._listener.accept()
            except OSError:
                return
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            agent = Agent(self, connected)
            with self._lock:
                self._agents.add(agent)
            agent.start()

    def cut_all(self) -> None:
        """Ends all connections, as when the server's machine is switched off."""
        with self._lock:
            agents = list(self._agents)
        for agent in agents:
            with contextlib.suppress(OSError):
                agent.stream.socket.shutdown(socket.SHUT_RDWR)

    def await_nobody(self) -> None:
        """Returns when all clients that were connected have been left."""
        with self._lock:
            agents = list(self._agents)
        for agent in agents:
            agent.join(LEAVE_SECONDS)

    def await_no_writer(self, path: str) -> None:
        """Returns when the server has noticed that nobody writes the object any more."""
        deadline = time.monotonic() + LEAVE_SECONDS
        while self.catalogue.objects[path].writers:
            assert time.monotonic() < deadline, f"{path} is still being written"
            time.sleep(0.005)

    def stop(self) -> None:
        self.closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(LEAVE_SECONDS)
        self.cut_all()
        self.await_nobody()


@contextlib.contextmanager
def irods_zone(folder: Path, **options: object) -> Iterator[IrodsZone]:
    """A zone with its vault below `folder`, gone when the context ends."""
    zone = IrodsZone(folder / "vault", **options)  # type: ignore[arg-type]
    zone.start()
    try:
        yield zone
    finally:
        zone.stop()


def main() -> None:
    """`irods_server.py FOLDER`: writes the environment file FOLDER/irods_environment.json once it listens, and serves."""
    folder = Path(sys.argv[1])
    with irods_zone(folder) as zone:
        zone.write_environment(folder / "made.json").rename(folder / "irods_environment.json")
        threading.Event().wait()


if __name__ == "__main__":
    main()

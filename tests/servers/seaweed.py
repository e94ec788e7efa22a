"""SeaweedFS as an S3 service: real signatures, real multipart uploads, checksums that are checked and echoed."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .process import Daemon, binary, free_port, short_temporary_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .tls import TlsFiles


class Keys(NamedTuple):
    access: str
    secret: str


ADMIN = Keys("AKADMINADMIN", "sk/admin+secret=for-tests")
READ_ONLY = Keys("AKREADONLY", "sk/read-only+secret")
WRONG_SECRET = Keys(ADMIN.access, "not-the-secret")
UNKNOWN = Keys("AKNOBODY", "whatever")

REGION = "us-east-1"


class Seaweed:
    """A running service. It listens on 127.0.0.1 only, and also answers `BUCKET.localhost`."""

    def __init__(self, port: int, tls_port: int, daemon: Daemon) -> None:
        self.port = port
        self.tls_port = tls_port
        self.endpoint = f"http://127.0.0.1:{port}"
        self.tls_endpoint = f"https://localhost:{tls_port}" if tls_port else ""
        self.admin = ADMIN
        """May do everything."""
        self.read_only = READ_ONLY
        """May read and list everything."""
        self.daemon = daemon
        self._numbers = itertools.count(1)

    def client(self, keys: Keys = ADMIN, **options: Any) -> Any:
        """A boto3 client, for preparing and looking at buckets. Needs boto3."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=keys.access,
            aws_secret_access_key=keys.secret,
            **options,
        )

    def new_bucket(self, name: str = "") -> str:
        """The name of a new and empty bucket, by default one that no other test has."""
        name = name or f"bucket-{os.getpid()}-{next(self._numbers)}"
        self.client().create_bucket(Bucket=name)
        return name


@contextlib.contextmanager
def seaweed(*, tls: TlsFiles | None = None) -> Iterator[Seaweed]:
    """A service of its own, ready in about a second; with `tls` on an HTTPS port too."""
    program = binary("weed", enable="make env")
    with short_temporary_directory() as name:
        run = Path(name)
        (run / "data").mkdir()
        (run / "s3.json").write_text(json.dumps(_identities()))
        ports = _Ports.choose(tls is not None)
        daemon = Daemon(
            [program, "-logtostderr=true", "mini", *_options(run, ports, tls)],
            port=ports.s3,
            log=run / "output.log",
            # Without a limit it takes 800 MB for an object of 256 MB.
            environment={"GOMEMLIMIT": "400MiB", "HOME": str(run)},
            # It takes 16 s to end in order, and nobody needs its data afterwards.
            stop_signal=signal.SIGKILL,
        )
        try:
            service = Seaweed(ports.s3, ports.s3_tls, daemon)
            _wait_until_it_stores(service)
            yield service
        finally:
            daemon.stop()
            for socket in ports.sockets():
                socket.unlink(missing_ok=True)


class _Ports(NamedTuple):
    master: int
    volume: int
    filer: int
    admin: int
    s3: int
    s3_tls: int
    """0 for none."""

    @classmethod
    def choose(cls, encrypted: bool) -> _Ports:
        # Each component listens with gRPC 10000 above its port.
        plain = [free_port(10_000) for _ in range(5)]
        return cls(*plain, free_port() if encrypted else 0)

    def sockets(self) -> list[Path]:
        """The Unix sockets that it leaves in a folder one cannot choose."""
        names = zip(("master", "volume", "filer", "admin", "s3"), self, strict=False)
        return [Path(f"/tmp/seaweedfs-{name}-grpc-{port + 10_000}.sock") for name, port in names]


def _options(run: Path, ports: _Ports, tls: TlsFiles | None) -> list[str]:
    encrypted = (
        [
            f"-s3.port.https={ports.s3_tls}",
            f"-s3.cert.file={tls.server.certificate}",
            f"-s3.key.file={tls.server.key}",
        ]
        if tls
        else []
    )
    return [
        f"-dir={run}/data",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-master.port={ports.master}",
        "-master.telemetry=false",
        f"-volume.port={ports.volume}",
        "-volume.max=5000",  # every bucket takes a few; the default is what the disk would hold
        f"-filer.port={ports.filer}",
        f"-admin.port={ports.admin}",
        "-admin.ui=false",
        "-webdav=false",
        f"-s3.port={ports.s3}",
        f"-s3.config={run}/s3.json",
        "-s3.allowDeleteBucketNotEmpty=false",
        "-s3.autoCreateBucket=false",
        "-s3.domainName=localhost",
        f"-filer.localSocket={run}/filer.sock",
        f"-s3.localSocket={run}/s3.sock",
        # Otherwise these two listen on fixed ports.
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        *encrypted,
    ]


def _identities() -> dict[str, Any]:
    return {
        "identities": [
            _identity("admin", ADMIN, ["Admin", "Read", "Write", "List", "Tagging"]),
            _identity("reader", READ_ONLY, ["Read", "List"]),
        ]
    }


def _identity(name: str, keys: Keys, actions: list[str]) -> dict[str, Any]:
    credentials = [{"accessKey": keys.access, "secretKey": keys.secret}]
    return {"name": name, "credentials": credentials, "actions": actions}


def _wait_until_it_stores(service: Seaweed) -> None:
    """Its port opens a little before its volumes are there. Returns when a first object was stored."""
    bucket = service.new_bucket("started")
    deadline = time.monotonic() + 60
    while True:
        try:
            service.client().put_object(Bucket=bucket, Key="ready", Body=b"yes")
            return
        except Exception as error:
            if time.monotonic() > deadline:
                raise RuntimeError(f"SeaweedFS stores nothing:\n{service.daemon.output()}") from error
            time.sleep(0.05)

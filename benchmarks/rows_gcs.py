"""Google Cloud Storage: many small objects, both ways, at an emulator that keeps them in memory."""

from __future__ import annotations

import base64
import datetime
import hashlib
from typing import TYPE_CHECKING

from measure import Wrong
from rows import OURS, Bench, cpu, wall
from rows_web import IN_PYTHON
from servers.gcs import PROJECT, fake_gcs_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from rows import Row
    from servers.gcs import GcsEmulator

PEER = "transfer_manager"


def gcs_many(bench: Bench) -> Row:
    names = bench.small(bench.scale.many)
    source = bench.web.root / "small"
    with fake_gcs_server() as server:
        bucket = server.new_bucket()
        for one in names:
            server.client().bucket(bucket).blob(f"small/{one}").upload_from_filename(str(source / one))
        stored = _Stored(bench, server, bucket)
        environment = {"STORAGE_EMULATOR_HOST": server.endpoint}
        down = ((f"gs://{bucket}/small/{one}", f"file://{bench.out}/{one}", names[one]) for one in names)
        up = ((f"file://{source}/{one}", f"gs://{bucket}/put/{one}", names[one]) for one in names)
        put = {"environment": environment, "before": stored.begin}
        get = bench.ours(
            f"{OURS} get", bench.batch("gcs-get", down), bench.small_arrived(names), environment=environment
        )
        contenders = [get, bench.ours(f"{OURS} put", bench.batch("gcs-put", up), stored.check(names), **put)]
        contenders = [one._replace(command=(bench.programs.ours_gcs, *one.command[1:])) for one in contenders]
        python = bench.programs.gcs
        if python:
            environment |= {"GCS_BUCKET": bucket, "GCS_PROJECT": PROJECT}
            library = (python, IN_PYTHON, "google-cloud-storage")
            gets = bench.listing("gcs-gets", (f"small/{one}\t{bench.out}/{one}" for one in names))
            puts = bench.listing("gcs-puts", (f"{source}/{one}\tput/{one}" for one in names))
            contenders += [
                bench.peer(
                    f"{PEER} get",
                    (*library, "get", gets),
                    bench.small_arrived(names, bench.out / "small"),
                    environment=environment,
                    rounds=2,
                ),
                bench.peer(f"{PEER} put", (*library, "put", puts), stored.check(names), rounds=2, **put),
            ]
        ratios = [cpu(f"{OURS} {way}", f"{PEER} {way}", 1 / 3) for way in ("get", "put")]
        ratios += [wall(f"{OURS} {way}", f"{PEER} {way}", 0) for way in ("get", "put")]
        return bench.measured(
            "gcs-many",
            f"{len(names):,} x 64 KiB Google Cloud Storage get and put, with SHA-256",
            contenders,
            ratios,
            rounds=max(1, bench.scale.rounds - 2),
            notes=[
                "The service is fake-gcs-server, which keeps everything in memory and compares no checksum.",
                "wf-transfer is installed with its extra `gcs`: CRC-32C as a compiled module, without which it sends MD5.",
                (
                    "google-cloud-storage runs transfer_manager with 8 threads, which take less processor time than its "
                    "usual 8 processes; it computes no SHA-256."
                ),
            ],
        )


class _Stored:
    """What the service says it holds: names, MD5 and times, in one listing."""

    def __init__(self, bench: Bench, server: GcsEmulator, bucket: str) -> None:
        self._bench = bench
        self._server = server
        self._bucket = bucket
        self._begun = datetime.datetime.now(datetime.UTC)
        self._expected: dict[str, str] = {}

    def begin(self) -> None:
        """Objects that are older than this do not count."""
        self._begun = datetime.datetime.now(datetime.UTC)

    def check(self, names: dict[str, str]) -> Callable[[bytes], None]:
        small = self._bench.web.root / "small"
        for one in names:
            digest = hashlib.md5((small / one).read_bytes()).digest()
            self._expected[f"put/{one}"] = base64.b64encode(digest).decode()

        def check(_: bytes) -> None:
            blobs = self._server.client().list_blobs(self._bucket, prefix="put/")
            found = {blob.name: blob.md5_hash for blob in blobs if blob.updated >= self._begun}
            if found != self._expected:
                raise Wrong(f"{len(found)} objects were stored, or with other bytes than were sent")

        return check

"""Objects of Cloud Storage that are written in parts and composed: over both emulators, and a double for what they do not give.

gcp-storage-emulator compares checksums, and fake-gcs-server has generations; neither knows storage classes or permissions.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from base64 import b64encode
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from command_runs import COMMAND, wf_transfer
from gcs_tools import at, checking, gcs_store, nobody, versioned
from hypothesis import given
from hypothesis import strategies as st
from runs import QUICK, execute, sha256, transfer
from servers.faults import fault_proxy
from servers.scripted import BODY, answer, scripted
from wf.credentials.kinds import Anonymous, Secret
from wf.protocols.conformance_tools import content, digest_of, error_of, refused
from wf.protocols.errors import Broken, Changed, Denied, NotFound, Unsupported
from wf.protocols.gcs_crc import crc32c_of_both
from wf.protocols.registry import GCS
from wf.protocols.tls import tls_context
from wf.protocols.values import Incoming
from wf.transfer.settings import Evidence

if TYPE_CHECKING:
    from pathlib import Path

    from servers.gcs import GcsEmulator
    from servers.tls import TlsFiles
    from wf.credentials.kinds import Credential
    from wf.protocols.gcs import GcsStore
    from wf.protocols.values import Part, Token

__all__ = ["checking", "versioned"]

MIB = 1 << 20
DATA = content(2 * MIB + 7)
SMALL = QUICK._replace(part_bytes=MIB)


class Everywhere:
    """One credential for all that is `gs:`."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    def find(self, scheme: str, *about: object, **more: object) -> Credential:
        return nobody(self._endpoint) if scheme == "gs" else Anonymous()

    def name(self, *about: object, **more: object) -> str:
        return "test"


@pytest.fixture(params=["checking", "versioned"])
def emulator(request: pytest.FixtureRequest) -> GcsEmulator:
    found: GcsEmulator = request.getfixturevalue(request.param)
    return found


def keys(emulator: GcsEmulator, bucket: str) -> list[str]:
    return sorted(blob.name for blob in emulator.client().list_blobs(bucket))


def got(emulator: GcsEmulator, bucket: str, key: str) -> bytes:
    return bytes(emulator.client().bucket(bucket).blob(key).download_as_bytes(raw_download=True))


def parts_put(store: GcsStore, token: Token, data: bytes) -> tuple[Part, ...]:
    spans = [token.span(number) for number in range(token.total)]
    return tuple(
        store.put_part(token, number, first, memoryview(data)[first : first + length])
        for number, (first, length) in enumerate(spans)
    )


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_the_checksum_of_two_pieces_follows_from_those_of_each(one: bytes, other: bytes) -> None:
    of = {data: int.from_bytes(digest_of("crc32c", data).value, "big") for data in (one, other, one + other)}

    assert crc32c_of_both(of[one], of[other], len(other)) == of[one + other]


def test_more_parts_than_can_be_composed_at_once_are_one_object(
    emulator: GcsEmulator, tmp_path: Path
) -> None:
    bucket, data = emulator.new_bucket(), content(34 * MIB + 5)
    (tmp_path / "from").write_bytes(data)

    run = execute(
        [transfer(0, tmp_path / "from", at(f"{bucket}/a folder/x-y"), expected=sha256(data))],
        GCS,
        credentials=Everywhere(emulator.endpoint),
        settings=SMALL,
    )

    assert (run.statuses, run[0].evidence) == (["done"], Evidence.CHECKSUM)
    assert got(emulator, bucket, "a folder/x-y") == data
    assert keys(emulator, bucket) == ["a folder/x-y"], "parts and what was composed of them are gone"
    client = emulator.client().bucket(bucket).get_blob("a folder/x-y")
    assert client.crc32c == digest_of("crc32c", data).base64


def test_a_digest_that_is_wrong_publishes_nothing_and_leaves_no_part(
    emulator: GcsEmulator, tmp_path: Path
) -> None:
    bucket = emulator.new_bucket()
    (tmp_path / "from").write_bytes(DATA)

    run = execute(
        [transfer(0, tmp_path / "from", at(f"{bucket}/x"), expected=sha256(b"other"))],
        GCS,
        credentials=Everywhere(emulator.endpoint),
        settings=SMALL,
    )

    assert run[0].error is not None and run[0].error.code == "mismatch"
    assert keys(emulator, bucket) == []


def test_a_killed_command_is_gone_on_with_without_a_journal(checking: GcsEmulator, tmp_path: Path) -> None:
    bucket, data = checking.new_bucket(), content(40 * MIB)
    (tmp_path / "from").write_bytes(data)
    with fault_proxy(checking.port) as passing:
        environment = {"STORAGE_EMULATOR_HOST": passing.url}
        arguments = ("cp", "from", f"gs://{bucket}/x")
        killed = subprocess.Popen(
            [*COMMAND, *arguments, "--bwlimit", "16M"],
            cwd=tmp_path,
            env={**os.environ, **environment},
            stderr=subprocess.DEVNULL,
        )
        while len(keys(checking, bucket)) < 4:
            assert killed.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
        killed.kill()
        killed.wait()
        sent = passing.bytes_up

        assert wf_transfer(tmp_path, *arguments, environment=environment).code == 0

        assert passing.bytes_up - sent < len(data) - 12 * MIB, "it went on"
    assert got(checking, bucket, "x") == data
    assert keys(checking, bucket) == ["x"]


def test_an_object_that_was_there_is_replaced(emulator: GcsEmulator) -> None:
    bucket = emulator.new_bucket()
    emulator.client().bucket(bucket).blob("x").upload_from_string(b"old")
    with closing(gcs_store(nobody(emulator.endpoint))) as store:
        token = store.open_parts(at(f"{bucket}/x"), Incoming(len(DATA)), MIB)
        store.commit_parts(token, parts_put(store, token, DATA), ())
    assert got(emulator, bucket, "x") == DATA
    assert keys(emulator, bucket) == ["x"]


def test_parts_for_an_object_that_was_replaced_meanwhile_are_not_gone_on_with(versioned: GcsEmulator) -> None:
    bucket = versioned.new_bucket()
    with closing(gcs_store(nobody(versioned.endpoint))) as store:
        token = store.open_parts(at(f"{bucket}/x"), Incoming(len(DATA), resume=True), MIB)
        parts_put(store, token, DATA)
        assert store.open_parts(at(f"{bucket}/x"), Incoming(len(DATA), resume=True), MIB) == token._replace(
            found=True
        )
        versioned.client().bucket(bucket).blob("x").upload_from_string(b"somebody else's")

        assert not store.open_parts(at(f"{bucket}/x"), Incoming(len(DATA), resume=True), MIB).found


def test_a_part_that_is_gone_is_told_as_a_broken_upload(checking: GcsEmulator) -> None:
    bucket = checking.new_bucket()
    with closing(gcs_store(nobody(checking.endpoint))) as store:
        token = store.open_parts(at(f"{bucket}/x"), Incoming(len(DATA)), MIB)
        parts = parts_put(store, token, DATA)
        checking.client().bucket(bucket).blob(f"{token.name}00001").delete()

        refused(lambda: store.commit_parts(token, parts, ()), Broken)
        store.abort_parts(token)

    assert keys(checking, bucket) == []


def test_parts_at_a_bucket_that_is_absent_say_so(checking: GcsEmulator) -> None:
    with closing(gcs_store(nobody(checking.endpoint))) as store:
        refused(lambda: store.open_parts(at("no-such-bucket/x"), Incoming(9), MIB), NotFound)


# What no emulator gives


def told(document: dict[str, Any]) -> bytes:
    return answer(json.dumps(document).encode(), "Content-Type: application/json")


STANDARD = told({"storageClass": "STANDARD"})
FORBIDDEN = answer(b"{}", status="403 Forbidden")


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([told({"storageClass": "NEARLINE"})], "costs money"),
        ([told({"storageClass": "STANDARD", "retentionPolicy": {"retentionPeriod": "60"}})], "keeps"),
        ([told({"storageClass": "STANDARD", "defaultEventBasedHold": True})], "keeps"),
        ([FORBIDDEN], "nobody may look"),
        ([STANDARD, told({"permissions": ["storage.objects.create"]})], "may not delete, get, list"),
    ],
    ids=["class", "retention", "hold", "not readable", "no right to remove"],
)
def test_where_parts_would_cost_something_there_are_none(answers: list[bytes], why: str) -> None:
    with scripted(*answers) as server, closing(gcs_store(nobody(server.url))) as store:
        for _ in range(2):
            error = refused(lambda: store.open_parts(at("b/x"), Incoming(len(DATA)), MIB), Unsupported)
            assert why in error.what
        assert len(server.requests) == len(answers), "the bucket is asked for once"


def resource(data: bytes, **more: object) -> bytes:
    about = {
        "name": "k",
        "size": str(len(data)),
        "generation": "18",
        "crc32c": digest_of("crc32c", data).base64,
    }
    return told({**about, **more})


def test_a_whole_that_is_not_its_parts_is_broken() -> None:
    pieces = DATA[:MIB], DATA[MIB : 2 * MIB], DATA[2 * MIB :]
    made = resource(bytes(len(DATA)))
    with (
        scripted(
            STANDARD,
            FORBIDDEN,  # nobody tells the permissions: then they are believed to be there
            answer(b"{}", status="404 Not Found"),
            resource(b""),
            *map(resource, pieces),
            [BODY, made],
        ) as server,
        closing(gcs_store(nobody(server.url))) as store,
    ):
        token = store.open_parts(at("b/x"), Incoming(len(DATA)), MIB)
        parts = parts_put(store, token, DATA)

        error = refused(lambda: store.commit_parts(token, parts, ()), Broken)

        assert "what the service made of them is not" in error.what
        body = json.loads(server.requests[-1].body)
        assert [each["generation"] for each in body["sourceObjects"]] == ["18", "18", "18"]
        assert "ifGenerationMatch=0" in server.requests[-1].line


def test_what_somebody_else_wrote_meanwhile_is_not_replaced() -> None:
    """fake-gcs-server looks at generations when it uploads, and not when it composes."""
    with (
        scripted(
            STANDARD,
            FORBIDDEN,
            resource(b"old"),
            resource(b""),
            resource(b"ab"),
            answer(status="412 Precondition Failed"),
        ) as server,
        closing(gcs_store(nobody(server.url))) as store,
    ):
        token = store.open_parts(at("b/x"), Incoming(2), 2)
        parts = parts_put(store, token, b"ab")

        refused(lambda: store.commit_parts(token, parts, ()), Changed)

        assert "ifGenerationMatch=18" in server.requests[-1].line


def test_parts_are_paid_for_and_encrypted_as_objects_are(tls_files: TlsFiles) -> None:
    key = Secret(b64encode(bytes(32)).decode())
    answers = (
        STANDARD,
        FORBIDDEN,
        answer(b"{}", status="404 Not Found"),
        *(resource(b"ab") for _ in range(4)),
    )
    with scripted(*answers, certificate=tls_files.server) as server:
        credential = nobody(
            server.url.replace("127.0.0.1", "localhost"), encryption_key=key, user_project="payer"
        )
        trust = tls_context({"SSL_CERT_FILE": str(tls_files.ca)})
        with closing(gcs_store(credential, tls=trust)) as store:
            token = store.open_parts(at("b/x"), Incoming(4), 2)
            parts = parts_put(store, token, b"abab")
            error_of(lambda: store.commit_parts(token, parts, ()))
    assert all("userProject=payer" in request.line for request in server.requests)
    begun, first, second, composed = server.requests[3:7]
    for request in (begun, first, second, composed):
        assert request.headers["x-goog-encryption-key"] == b64encode(bytes(32)).decode()


def test_a_late_worker_writes_nothing_after_the_parts_were_given_up(checking: GcsEmulator) -> None:
    bucket = checking.new_bucket()
    with (
        closing(gcs_store(nobody(checking.endpoint))) as store,
        closing(gcs_store(nobody(checking.endpoint))) as late,
    ):
        token = store.open_parts(at(f"{bucket}/x"), Incoming(len(DATA)), MIB)
        store.abort_parts(token)
        refused(lambda: parts_put(late, token, DATA), NotFound, Denied)
    assert keys(checking, bucket) == []

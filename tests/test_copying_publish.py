"""Commit and what follows: receipts, lost answers, what a cut upload leaves, and destinations that exist already."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from runs import QUICK, digest, execute, leftovers, sha256, streaming, transfer
from wf.protocols import errors
from wf.protocols.capability import Publish
from wf.protocols.errors import End, Reach
from wf.protocols.memory import FOREVER, Manners, MemoryServer
from wf.protocols.memory_store import MemoryStore
from wf.transfer.settings import Evidence, Existing

if TYPE_CHECKING:
    from pathlib import Path

    from wf.protocols.capability import Capability
    from wf.protocols.context import Context
    from wf.protocols.locations import Location
    from wf.protocols.values import Entry

SMALL = b"the bytes of a small file"
BIG = bytes(range(256)) * 4096 * 3 + b"and some more"
SIZES = pytest.mark.parametrize("data", [SMALL, BIG], ids=["small", "big"])


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer()


def dated(server: MemoryServer, **overrides: object) -> Capability:
    """The server, telling of each object that it was written a moment ago."""

    class Dated(MemoryStore):
        def stat(self, location: Location) -> Entry:
            return super().stat(location)._replace(modified=time.time())

    declared = streaming(server, **overrides)

    def make(context: Context) -> MemoryStore:
        return Dated(server, declared, context)

    return declared._replace(implementation=make)


# --- receipts


@SIZES
def test_a_receipt_that_contradicts_what_was_written_is_a_failed_attempt_and_is_undone(data: bytes) -> None:
    server = MemoryServer(manners=Manners(receipt_extra=1))
    server.put("/a", data)

    done = execute([transfer(0, server.location("/a"), server.location("/out"))], server)

    assert (done.exit, done[0].error.code) == (3, "mismatch")
    assert (done[0].error.end, done[0].error.reach) == (End.DESTINATION, Reach.ATTEMPT)
    assert len(done[0].attempts) == 3
    assert server.names() == ["/a"]


def test_a_receipt_with_another_digest_is_undone(server: MemoryServer) -> None:
    liar = MemoryServer("liar", Manners(echoes=("sha256",), lies=True))
    server.put("/a", SMALL)

    done = execute([transfer(0, server.location("/a"), liar.location("/out"))], server, liar)

    assert done.exit == 3
    assert not liar.names()


def test_what_cannot_be_undone_is_named(server: MemoryServer) -> None:
    server = MemoryServer(manners=Manners(receipt_extra=1))
    server.put("/a", SMALL)
    destination = server.location("/out")

    done = execute([transfer(0, server.location("/a"), destination)], streaming(server, remove=False))

    assert done[0].left_behind == destination.url


def test_what_somebody_else_wrote_meanwhile_is_not_undone() -> None:
    server = MemoryServer(manners=Manners(receipt_extra=1))
    server.put("/a", SMALL)
    server.hook("stat", lambda call: server.put("/out", b"theirs"))

    done = execute(
        [transfer(0, server.location("/a"), server.location("/out"))],
        server,
        settings=QUICK._replace(rounds=1),
    )

    assert done.exit == 3
    assert server.get("/out") == b"theirs"


# --- lost answers


@SIZES
def test_a_lost_answer_is_confirmed_by_the_digest_that_the_destination_tells(
    server: MemoryServer, data: bytes
) -> None:
    server.put("/a", data)
    server.fail("commit", "/out", errors.Broken("no answer"), after=True)

    done = execute([transfer(0, server.location("/a"), server.location("/out"))], server)

    assert done.exit == 0
    assert done[0].note == "confirmed by the destination"
    assert done[0].evidence is Evidence.DIGEST
    assert len(done[0].attempts) == 1
    assert server.get("/out") == data


def test_a_lost_answer_is_not_confirmed_by_a_size(server: MemoryServer) -> None:
    server.put("/a", SMALL)
    server.put("/out", b"?" * len(SMALL))
    server.fail("commit", "/out", errors.Broken("no answer"))

    done = execute(
        [transfer(0, server.location("/a"), server.location("/out"))], streaming(server, digest=())
    )

    assert done.exit == 0
    assert len(done[0].attempts) == 2
    assert server.get("/out") == SMALL


def test_a_commit_that_did_not_happen_is_repeated(server: MemoryServer) -> None:
    server.put("/a", SMALL)
    server.fail("commit", "/out", errors.ServerFault("500"))

    done = execute([transfer(0, server.location("/a"), server.location("/out"))], server)

    assert done.exit == 0
    assert (done[0].attempts[0].error.step, done[0].attempts[0].error.end) == ("commit", End.DESTINATION)


def test_a_lost_answer_while_the_destination_is_gone_is_a_failure(server: MemoryServer) -> None:
    server.put("/a", SMALL)
    server.fail("commit", "/out", errors.Broken("no answer"), times=FOREVER)
    server.fail("stat", "/out", errors.ServerFault("500"), times=FOREVER)

    done = execute([transfer(0, server.location("/a"), server.location("/out"))], server)

    assert (done.exit, done[0].error.code) == (75, "broken")


# --- publish: held and after


@pytest.mark.parametrize("publish", list(Publish))
@SIZES
def test_a_mismatch_leaves_nothing_whatever_commit_can_promise(
    server: MemoryServer, publish: Publish, data: bytes
) -> None:
    server.put("/a", data)

    done = execute(
        [transfer(0, server.location("/a"), server.location("/out"), expected=sha256(b"other"))],
        dated(server, publish=publish),
    )

    assert done.exit == 3
    assert "/out" not in server.names()
    assert not done[0].left_behind


def test_what_shows_before_it_is_verified_and_cannot_be_removed_is_named(server: MemoryServer) -> None:
    server.put("/a", BIG)
    destination = server.location("/out")

    done = execute(
        [transfer(0, server.location("/a"), destination, expected=sha256(b"other"))],
        dated(server, publish=Publish.AFTER, remove=False),
    )

    assert done.exit == 3
    assert done[0].left_behind == destination.url
    assert "/out" in server.names()


@pytest.mark.parametrize("publish", [Publish.HELD, Publish.AFTER])
@pytest.mark.parametrize("operation", ["write", "commit"])
@SIZES
def test_what_a_cut_upload_left_is_removed(publish: Publish, operation: str, data: bytes) -> None:
    server = MemoryServer(manners=Manners(leaves_on_abort=True))
    source = MemoryServer("source")
    source.put("/a", data)
    server.fail(operation, "/out", errors.Broken("cut"), times=FOREVER)

    done = execute(
        [transfer(0, source.location("/a"), server.location("/out"))],
        source,
        dated(server, publish=publish, digest=()),
    )

    assert (done.exit, done[0].error.code) == (75, "broken")
    assert "/out" not in server.names()
    assert not done[0].left_behind


def test_what_was_there_before_a_cut_upload_stays(server: MemoryServer) -> None:
    """The server tells old times, so it is not this attempt's."""
    server.put("/a", BIG)
    server.put("/out", b"earlier")
    server.fail("write", "/out", errors.Broken("cut"), times=FOREVER)

    done = execute(
        [transfer(0, server.location("/a"), server.location("/out"))],
        streaming(server, publish=Publish.HELD),
    )

    assert done.exit == 75
    assert server.get("/out") == b"earlier"


# --- existing


def existing(policy: Existing) -> object:
    return QUICK._replace(existing=policy)


@pytest.mark.parametrize("policy", [Existing.UPDATE, Existing.VERIFY])
@pytest.mark.parametrize("expects", [True, False], ids=["expected", "source's"])
@pytest.mark.parametrize("where", ["memory", "local"])
def test_a_destination_that_has_the_content_is_done_without_moving(
    server: MemoryServer, tmp_path: Path, policy: Existing, expects: bool, where: str
) -> None:
    server.put("/a", SMALL)
    server.put("/out", SMALL)
    (tmp_path / "out").write_bytes(SMALL)
    destination = server.location("/out") if where == "memory" else tmp_path / "out"

    done = execute(
        [transfer(0, server.location("/a"), destination, expected=sha256(SMALL) if expects else None)],
        server,
        settings=existing(policy),
    )

    assert (done.exit, done[0].route, done[0].bytes) == (0, "present", 0)
    assert done[0].checked
    assert server.count("open_write") == 0
    assert server.count("open_read", "/a") == 0


def test_update_writes_again_what_differs(server: MemoryServer) -> None:
    server.put("/a", SMALL)
    server.put("/out", b"old")

    done = execute(
        [transfer(0, server.location("/a"), server.location("/out"))],
        server,
        settings=existing(Existing.UPDATE),
    )

    assert (done.exit, done[0].route) == (0, "streamed")
    assert server.get("/out") == SMALL


@pytest.mark.parametrize("policy", [Existing.VERIFY, Existing.FAIL])
def test_verify_and_fail_refuse_what_differs(server: MemoryServer, policy: Existing) -> None:
    server.put("/a", SMALL)
    server.put("/out", b"old")

    done = execute(
        [transfer(0, server.location("/a"), server.location("/out"), expected=sha256(SMALL))],
        server,
        settings=existing(policy),
    )

    assert (done.exit, done[0].error.code, done[0].error.step) == (1, "exists", "existing")
    assert server.get("/out") == b"old"
    assert len(done[0].attempts) == 1


def test_fail_refuses_what_is_the_same_too(server: MemoryServer) -> None:
    server.put("/a", SMALL)
    server.put("/out", SMALL)

    done = execute(
        [transfer(0, server.location("/a"), server.location("/out"))],
        server,
        settings=existing(Existing.FAIL),
    )

    assert (done.exit, done[0].error.code) == (1, "exists")


@pytest.mark.parametrize("policy", list(Existing))
def test_what_is_absent_is_written_under_every_policy(server: MemoryServer, policy: Existing) -> None:
    server.put("/a", SMALL)

    done = execute(
        [transfer(0, server.location("/a"), server.location("/out"))], server, settings=existing(policy)
    )

    assert done.exit == 0
    assert server.get("/out") == SMALL


def test_a_protocol_may_default_to_another_policy(server: MemoryServer) -> None:
    server.put("/a", SMALL)
    server.put("/out", b"old")

    done = execute(
        [transfer(0, server.location("/a"), server.location("/out"))], streaming(server, existing="fail")
    )

    assert done[0].error.code == "exists"


def test_a_protocol_that_cannot_tell_what_is_there_refuses_the_question(server: MemoryServer) -> None:
    server.put("/a", SMALL)

    done = execute(
        [transfer(0, server.location("/a"), server.location("/out"))],
        streaming(server, stat=False),
        settings=existing(Existing.UPDATE),
    )

    assert (done.exit, done[0].error.code, done[0].error.step) == (1, "unsupported", "existing")


def test_a_checksum_to_be_recorded_of_what_is_present_is_sha256_whatever_is_expected(
    server: MemoryServer, tmp_path: Path
) -> None:
    server.put("/a", SMALL)
    (tmp_path / "out").write_bytes(SMALL)

    done = execute(
        [
            transfer(
                0,
                server.location("/a"),
                tmp_path / "out",
                expected=digest("md5", SMALL),
                generate_checksum=True,
            )
        ],
        server,
        settings=existing(Existing.UPDATE),
    )

    assert (done[0].route, done[0].digest) == ("present", sha256(SMALL))


def test_what_is_present_is_read_back_where_that_is_insisted_on(server: MemoryServer) -> None:
    server.put("/a", SMALL)
    server.put("/out", SMALL)

    done = execute(
        [transfer(0, server.location("/a"), server.location("/out"), expected=sha256(SMALL))],
        server,
        settings=QUICK._replace(existing=Existing.UPDATE, require_evidence=Evidence.READ_BACK),
    )

    assert (done[0].route, done[0].evidence) == ("present", Evidence.READ_BACK)
    assert server.count("open_read", "/out") == 1


def test_what_is_present_and_cannot_be_read_stays(server: MemoryServer) -> None:
    server.put("/a", SMALL)
    server.put("/out", SMALL)
    server.fail("open_read", "/out", errors.ServerFault("500"), times=FOREVER)

    done = execute(
        [transfer(0, server.location("/a"), server.location("/out"), expected=digest("md5", SMALL))],
        server,
        settings=existing(Existing.UPDATE),
    )

    assert done.exit == 75
    assert server.get("/out") == SMALL


# --- devices


def test_a_device_is_written_to_and_never_removed(server: MemoryServer, tmp_path: Path) -> None:
    server.put("/a", SMALL)
    device = tmp_path / "null"
    if os.geteuid() == 0:
        os.mknod(device, 0o020666, os.makedev(1, 3))
    else:
        device = type(tmp_path)("/dev/null")

    done = execute(
        [
            transfer(0, server.location("/a"), device),
            transfer(1, server.location("/a"), device, expected=sha256(SMALL), verify_remote=True),
        ],
        server,
    )

    assert done.statuses == ["done", "failed"]
    assert done[1].error.code == "unverified"
    assert device.is_char_device()
    assert not leftovers(tmp_path)

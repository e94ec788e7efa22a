"""What is particular to XRootD: its own client as witness, zip members, checksums, credentials, copies, processes that die."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from servers.faults import cut, fault_proxy
from servers.process import binary
from servers.xrootd_root import GSI, OPEN, OTHER, TOKENS, XrootdRoot
from wf.checksum.digest import Digest
from wf.credentials.kinds import Anonymous, Bearer, Certificate, Secret
from wf.protocols.conformance_tools import BUFFER, begun, content, digest_of, digests_for, drained, written
from wf.protocols.conformance_tools import make_context as context_for
from wf.protocols.errors import (
    Broken,
    Changed,
    Denied,
    LocalRefused,
    Misconfigured,
    NotFound,
    ServerFault,
    Stopped,
    TransferError,
    Unreachable,
    Unsupported,
)
from wf.protocols.locations import parse_location
from wf.protocols.values import Incoming
from wf.protocols.xrootd import XrootdStore
from wf.protocols.xrootd_errors import LOCKED, Status, error_of_status
from wf.protocols.xrootd_link import Link
from xrootd_tools import fresh, location, xrootd, xrootd_service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers.tls import TlsFiles
    from wf.credentials.kinds import Credential
    from wf.protocols.context import Context
    from wf.protocols.locations import Location

__all__ = ["xrootd", "xrootd_service"]

NOBODY = Anonymous(name="none", origin="the test")
DATA = content(3 * BUFFER + 17)


@pytest.fixture
def context() -> Context:
    return context_for()


@pytest.fixture
def store(context: Context, xrootd: XrootdRoot) -> Iterator[XrootdStore]:
    store = XrootdStore(context)
    yield store
    store.close()


@pytest.fixture
def opened() -> Iterator[Callable[[Credential], XrootdStore]]:
    """Makes stores that present a credential, and closes them."""
    stores = []

    def make(credential: Credential) -> XrootdStore:
        stores.append(XrootdStore(context_for(credential=credential)))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


def planted(xrootd: XrootdRoot, data: bytes, name: str = "file", server: int = OPEN) -> Path:
    """A file that the server has, put there by hand."""
    path = fresh(xrootd, server) / name
    path.write_bytes(data)
    xrootd.give(path)
    return path


def processes_of(store: XrootdStore) -> list[int]:
    return [link._process.pid for link in store._links._links.values()]


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- its own client as witness


def xrdcp(*words: str) -> None:
    subprocess.run([binary("xrdcp"), "--silent", "--nopbar", *words], check=True, timeout=60)


def test_xrdcp_reads_what_was_written(xrootd: XrootdRoot, store: XrootdStore, tmp_path: Path) -> None:
    place = location(xrootd, fresh(xrootd))
    written(store, place.below("new/file"), DATA)
    xrdcp("--cksum", "adler32:source", f"{place.url}/new/file", str(tmp_path / "got"))
    assert (tmp_path / "got").read_bytes() == DATA


def test_what_xrdcp_wrote_is_read(xrootd: XrootdRoot, store: XrootdStore, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(DATA)
    place = location(xrootd, fresh(xrootd))
    xrdcp(str(tmp_path / "source"), f"{place.url}/file")
    assert drained(store.open_read(place.below("file"))) == DATA


def test_one_slash_or_two_are_the_same_path(xrootd: XrootdRoot, store: XrootdStore) -> None:
    path = planted(xrootd, b"here")
    name = path.relative_to(xrootd.roots[OPEN])
    for slashes in ("/", "//"):
        place = parse_location(f"root://localhost:{xrootd.ports[OPEN]}{slashes}{name}")
        assert drained(store.open_read(place)) == b"here"


def test_the_opaque_part_is_no_part_of_the_name(xrootd: XrootdRoot, store: XrootdStore) -> None:
    folder = fresh(xrootd)
    place = parse_location(location(xrootd, folder / "file").url + "?svcClass=default&x=1")
    written(store, place, DATA)
    assert left_in(folder) == ["file"]
    assert store.stat(place).size == len(DATA)
    assert store.digest(place, "md5") == digest_of("md5", DATA)


def test_a_name_that_is_not_utf8_is_refused_before_anything_is_sent(
    xrootd: XrootdRoot, store: XrootdStore
) -> None:
    folder = fresh(xrootd)
    with pytest.raises(LocalRefused, match="UTF-8"):
        store.open_write(location(xrootd, folder).below("caf\udce9"), Incoming(1))
    assert left_in(folder) == []


def test_a_partial_that_is_locked_still_is_not_waited_for(
    xrootd: XrootdRoot, store: XrootdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server locks file numbers. One that a new file has again may still be locked for a removed one, for a moment."""
    folder = fresh(xrootd)
    whole = Link.call

    def locked_at_first(link: Link, operation: str, *values: object, seconds: float = 0.0) -> object:
        answer = whole(link, operation, *values, seconds=seconds)
        if operation in ("create", "reopen") and str(values[2]).endswith(f"{'0' * 16}.part"):
            link.post("close", values[0])
            raise Status(400, LOCKED, "already opened by 1 writer; open denied")
        return answer

    monkeypatch.setattr(Link, "call", locked_at_first)
    written(store, location(xrootd, folder).below("file"), DATA)
    assert left_in(folder) == ["file"]


def test_a_large_file_is_written_over_several_connections(
    xrootd: XrootdRoot, store: XrootdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wf.protocols.xrootd._WIDE_FROM", len(DATA))
    data = content(20 * BUFFER)
    folder = fresh(xrootd)
    with fault_proxy(xrootd.ports[OPEN]) as proxy:
        written(store, parse_location(f"root://localhost:{proxy.port}//{folder.name}/file"), data)
        assert proxy.connections == 4
    assert (folder / "file").read_bytes() == data


# --- checksums


@pytest.mark.parametrize("algorithm", ("adler32", "md5", "crc32c"))
def test_the_server_computes_checksums(xrootd: XrootdRoot, store: XrootdStore, algorithm: str) -> None:
    path = planted(xrootd, DATA)
    assert store.digest(location(xrootd, path), algorithm) == digest_of(algorithm, DATA)


def test_a_receipt_has_the_checksum_of_the_server(xrootd: XrootdRoot, store: XrootdStore) -> None:
    receipt = written(store, location(xrootd, fresh(xrootd)).below("file"), DATA)
    assert receipt.digests == (digest_of("adler32", DATA),)


def test_what_has_another_checksum_at_the_server_is_not_published(
    xrootd: XrootdRoot, store: XrootdStore
) -> None:
    folder = fresh(xrootd)
    writer = begun(store, location(xrootd, folder).below("file"), DATA)
    with pytest.raises(Broken, match="holds adler32:"):
        writer.commit((digest_of("sha256", DATA), Digest("adler32", bytes(4))))
    writer.abort()
    assert left_in(folder) == []


# --- zip archives


@pytest.fixture
def archive(xrootd: XrootdRoot) -> Path:
    path = fresh(xrootd) / "archive.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("plain/file", DATA, zipfile.ZIP_STORED)
        archive.writestr("packed", DATA, zipfile.ZIP_DEFLATED)
        archive.writestr("empty", b"")
    xrootd.give(path)
    return path


def member(xrootd: XrootdRoot, archive: Path, name: str) -> Location:
    return parse_location(f"{location(xrootd, archive).url}?xrdcl.unzip={name}")


@pytest.mark.parametrize("name", ("plain/file", "packed"))
def test_a_member_of_an_archive_is_read(
    xrootd: XrootdRoot, store: XrootdStore, archive: Path, name: str
) -> None:
    place = member(xrootd, archive, name)
    reader = store.open_read(place)
    assert reader.size == len(DATA)
    assert drained(reader) == DATA
    assert drained(store.open_read(place, start=BUFFER + 5, length=100)) == DATA[BUFFER + 5 : BUFFER + 105]
    assert store.stat(place).size == len(DATA)


def test_an_empty_member_is_read(xrootd: XrootdRoot, store: XrootdStore, archive: Path) -> None:
    assert drained(store.open_read(member(xrootd, archive, "empty"))) == b""


def test_a_member_that_is_absent_is_not_found(xrootd: XrootdRoot, store: XrootdStore, archive: Path) -> None:
    with pytest.raises(NotFound):
        store.open_read(member(xrootd, archive, "absent"))


def test_what_is_no_archive_says_so(xrootd: XrootdRoot, store: XrootdStore) -> None:
    with pytest.raises(ServerFault, match="no zip archive"):
        store.open_read(member(xrootd, planted(xrootd, DATA), "file"))


@pytest.mark.parametrize("name", ("plain/file", "packed"))
def test_a_damaged_member_is_no_quiet_success(
    xrootd: XrootdRoot, store: XrootdStore, archive: Path, name: str
) -> None:
    with zipfile.ZipFile(archive) as whole:
        offset = whole.getinfo(name).header_offset
    with archive.open("r+b") as file:
        file.seek(offset + 5000)
        file.write(b"damaged")
    with pytest.raises(ServerFault, match="damaged"):
        drained(store.open_read(member(xrootd, archive, name)))


def test_nothing_is_written_into_an_archive(xrootd: XrootdRoot, store: XrootdStore, archive: Path) -> None:
    with pytest.raises(Unsupported):
        store.open_write(member(xrootd, archive, "new"), Incoming(3))


# --- folders


def test_removing_a_tree_follows_no_link(xrootd: XrootdRoot, store: XrootdStore) -> None:
    folder = fresh(xrootd)
    (folder / "kept/deep").mkdir(parents=True)
    (folder / "kept/deep/file").write_text("stays")
    (folder / "tree/sub").mkdir(parents=True)
    (folder / "tree/sub/file").write_text("goes")
    (folder / "tree/link").symlink_to("../kept")
    xrootd.give(folder)
    store.remove(location(xrootd, folder / "tree"), recursive=True)
    assert left_in(folder) == ["kept"]
    assert (folder / "kept/deep/file").read_text() == "stays"


@pytest.fixture
def asked(xrootd: XrootdRoot) -> Location:
    """A folder with two names of which one, asked for, is the other."""
    folder = fresh(xrootd)
    (folder / "name").write_text("one")
    (folder / "name?x").write_text("another")
    xrootd.give(folder)
    return location(xrootd, folder)


def test_a_question_mark_in_a_name_does_not_make_it_another_one(store: XrootdStore, asked: Location) -> None:
    assert sorted(entry.path for entry in store.list(asked, recursive=False)) == ["name", "name?x"]
    with pytest.raises(LocalRefused, match="question mark"):
        list(store.list(asked, recursive=True))


def test_a_tree_with_a_question_mark_in_a_name_is_not_reported_as_removed(
    store: XrootdStore, asked: Location
) -> None:
    with pytest.raises(LocalRefused, match="question mark"):
        store.remove(asked, recursive=True)


@pytest.mark.parametrize(("name", "why"), ((b"caf\xe9", "UTF-8"), (b"new\nline", "line break")))
def test_a_name_that_cannot_be_told_is_named_as_the_reason(
    xrootd: XrootdRoot, store: XrootdStore, name: bytes, why: str
) -> None:
    folder = fresh(xrootd)
    with open(os.path.join(os.fsencode(folder), name), "wb"):
        pass
    with pytest.raises(LocalRefused, match=why):
        list(store.list(location(xrootd, folder), recursive=False))


# --- errors


def test_what_the_server_says_ends_without_its_line_break(xrootd: XrootdRoot, store: XrootdStore) -> None:
    with pytest.raises(NotFound, match=r"no such file or directory$"):
        store.open_read(location(xrootd, fresh(xrootd)).below("absent"))


@pytest.mark.parametrize(
    ("code", "number", "words", "kind"),
    [
        (400, 3011, "no such file or directory", NotFound),
        (400, 3010, "permission denied", Denied),
        (400, 3005, "directory not empty", LocalRefused),
        (400, 3005, "something else", ServerFault),
        (400, 3013, "not supported", Unsupported),
        (204, 0, "Auth failed", Denied),
        (108, 0, "Connection error", Unreachable),
        (101, 0, "Invalid address", Unreachable),
        (110, 0, "TLS error: error_ssl", Misconfigured),
        (110, 0, "TLS error: connection reset by peer", Unreachable),
        (107, 0, "Stream disconnect", Unreachable),
        (777, 0, "never heard of", ServerFault),
    ],
)
def test_a_status_means_an_error(code: int, number: int, words: str, kind: type[TransferError]) -> None:
    error = error_of_status(Status(code, number, f"[ERROR] {words}"), "cannot read x", "host", Unreachable)
    assert type(error) is kind
    assert str(error) == f"cannot read x: {words}"


def test_a_server_that_is_not_there_is_unreachable(store: XrootdStore) -> None:
    with pytest.raises(Unreachable):
        store.open_read(parse_location("root://localhost:1//file"))


def test_a_certificate_that_nobody_vouches_for_is_refused(
    xrootd: XrootdRoot,
    opened: Callable[[Credential], XrootdStore],
    tls_files: TlsFiles,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("X509_CERT_DIR")
    monkeypatch.setenv("X509_CERT_FILE", str(tls_files.wrong_ca))
    path = planted(xrootd, b"x")
    with pytest.raises(Misconfigured) as caught:
        opened(NOBODY).open_read(location(xrootd, path, scheme="roots"))
    assert "X509_CERT_DIR" in caught.value.remedy


def test_a_file_that_shrinks_while_it_is_read_has_changed(xrootd: XrootdRoot, store: XrootdStore) -> None:
    path = planted(xrootd, content(40 * BUFFER))
    reader = store.open_read(location(xrootd, path))
    reader.read()
    os.truncate(path, 20 * BUFFER)
    with pytest.raises((Changed, Broken)):  # a server that sends from the file itself can only hang up
        drained(reader)


def test_a_file_that_is_replaced_while_it_is_read_has_changed(xrootd: XrootdRoot, store: XrootdStore) -> None:
    path = planted(xrootd, content(40 * BUFFER))
    reader = store.open_read(location(xrootd, path))
    reader.read()
    os.utime(path, (0, 1_000_000_000))
    with pytest.raises(Changed):
        drained(reader)


def test_a_file_that_somebody_writes_is_not_read(xrootd: XrootdRoot, store: XrootdStore) -> None:
    folder = fresh(xrootd)
    writer = begun(store, location(xrootd, folder).below("file"), DATA)
    (partial,) = left_in(folder)
    with pytest.raises(Changed):
        store.open_read(location(xrootd, folder / partial))
    writer.abort()


def test_a_trickle_is_given_up(xrootd: XrootdRoot, context: Context, store: XrootdStore) -> None:
    path = planted(xrootd, content(40 * BUFFER))
    context.stall, context.slow_bytes = 0.5, 1 << 30
    with fault_proxy(xrootd.ports[OPEN], rate=2 << 20) as slow:
        reader = store.open_read(parse_location(f"root://localhost:{slow.port}//{path.parent.name}/file"))
        with pytest.raises(Broken, match=r"only \d+ bytes came"):
            drained(reader)


# --- the process that has the library


def test_a_crash_while_reading_is_one_broken_attempt(xrootd: XrootdRoot, store: XrootdStore) -> None:
    place = location(xrootd, planted(xrootd, content(40 * BUFFER)))
    reader = store.open_read(place)
    reader.read()
    (process,) = processes_of(store)
    os.kill(process, signal.SIGSEGV)
    with pytest.raises(Broken, match=f"ended by signal {int(signal.SIGSEGV)}"):
        while reader.read():
            pass
    reader.close()
    assert store.stat(place).size == 40 * BUFFER
    assert processes_of(store) != [process]


def test_a_crash_while_writing_leaves_nothing(xrootd: XrootdRoot, store: XrootdStore) -> None:
    folder = fresh(xrootd)
    writer = begun(store, location(xrootd, folder).below("file"), DATA)
    os.kill(processes_of(store)[0], signal.SIGKILL)
    with pytest.raises(Broken):
        writer.commit(digests_for(writer, DATA))
    writer.abort()
    assert left_in(folder) == []


def test_a_hang_while_reading_is_given_up(xrootd: XrootdRoot, context: Context, store: XrootdStore) -> None:
    context.stall = 0.3
    reader = store.open_read(location(xrootd, planted(xrootd, content(40 * BUFFER))))
    (process,) = processes_of(store)
    os.kill(process, signal.SIGSTOP)
    with pytest.raises(Broken, match="nothing came"):
        while reader.read():
            pass
    reader.close()
    assert not Path(f"/proc/{process}").exists()


def test_a_hang_while_opening_is_about_the_host(
    xrootd: XrootdRoot, context: Context, store: XrootdStore
) -> None:
    place = location(xrootd, planted(xrootd, b"x"))
    store.stat(place)
    context.stall = context.connect = 0.3
    os.kill(processes_of(store)[0], signal.SIGSTOP)
    with pytest.raises(Unreachable):
        store.open_read(place)
    context.stall = context.connect = 10.0
    assert drained(store.open_read(place)) == b"x"


def test_a_hang_does_not_hold_up_the_end_of_the_run(
    xrootd: XrootdRoot, context: Context, store: XrootdStore
) -> None:
    folder = fresh(xrootd)
    context.stall = 1000.0
    writer = begun(store, location(xrootd, folder).below("file"), DATA)
    os.kill(processes_of(store)[0], signal.SIGSTOP)
    timer = threading.Timer(0.2, context.stop.set)
    timer.start()
    with pytest.raises(Stopped):
        writer.commit(digests_for(writer, DATA))
    timer.join()
    writer.abort()
    assert left_in(folder) == []


@pytest.mark.parametrize(
    "said", (b"\0\0\0\3abc", b"\0\0\0\2{}", b"\0\0\0\2[]", b"\0\0\0\4[-1]", b"\xff\xff\xff\xff")
)
def test_a_process_that_talks_nonsense_is_ended(
    xrootd: XrootdRoot, store: XrootdStore, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    program = f"import os, sys, time; os.write(int(sys.argv[-3]), {said!r}); time.sleep(1000)"
    monkeypatch.setattr("wf.protocols.xrootd_link._PROGRAM", program)
    with pytest.raises(Broken, match="nonsense"):
        store.stat(location(xrootd, fresh(xrootd)))
    (process,) = processes_of(store)
    assert not Path(f"/proc/{process}").exists()


def test_the_process_ends_with_ours(xrootd: XrootdRoot, tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from wf.protocols.conformance_tools import make_context\n"
        "from wf.protocols.locations import parse_location\n"
        "from wf.protocols.xrootd import XrootdStore\n"
        "store = XrootdStore(make_context())\n"
        "store.stat(parse_location(sys.argv[1]))\n"
        "print(*[link._process.pid for link in store._links._links.values()], flush=True)\n"
        "time.sleep(1000)\n"
    )
    place = location(xrootd, planted(xrootd, b"x"))
    command = [binary("python3"), "-c", program, place.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path) as parent:
        assert parent.stdout is not None
        process = int(parent.stdout.readline())
        watched = os.pidfd_open(process)
        parent.kill()
    try:
        import select

        assert select.select([watched], [], [], 30)[0], "it goes on without us"
    finally:
        os.close(watched)


def test_a_connection_that_breaks_while_writing_is_broken(xrootd: XrootdRoot, store: XrootdStore) -> None:
    folder = fresh(xrootd)
    with fault_proxy(xrootd.ports[OPEN], cut(2 * BUFFER, upward=True)) as faulty:
        place = parse_location(f"root://localhost:{faulty.port}//{folder.name}/file")
        writer = store.open_write(place, Incoming(len(DATA)))
        with pytest.raises(Broken):
            for first in range(0, len(DATA), BUFFER):
                writer.write(memoryview(DATA)[first : first + BUFFER])
            writer.commit(digests_for(writer, DATA))
        writer.abort()
    assert "file" not in left_in(folder)


# --- credentials


def bearer(token: str) -> Bearer:
    return Bearer(Secret(token), name="token", origin="the test")


READ_WRITE = "storage.read:/ storage.create:/ storage.modify:/"


@pytest.fixture
def kept(xrootd: XrootdRoot) -> Location:
    """A file of the server that wants tokens."""
    path = planted(xrootd, b"kept", server=TOKENS)
    return location(xrootd, path, TOKENS, "roots")


def test_a_token_opens_the_door(
    xrootd: XrootdRoot, kept: Location, opened: Callable[[Credential], XrootdStore]
) -> None:
    store = opened(bearer(xrootd.issuer.token(READ_WRITE)))
    assert drained(store.open_read(kept)) == b"kept"
    new = kept.with_path(f"{kept.path}-new")
    written(store, new, DATA)
    assert drained(store.open_read(new)) == DATA


def test_a_token_allows_what_it_says(
    xrootd: XrootdRoot, kept: Location, opened: Callable[[Credential], XrootdStore]
) -> None:
    store = opened(bearer(xrootd.issuer.token("storage.read:/")))
    assert drained(store.open_read(kept)) == b"kept"
    with pytest.raises(Denied):
        store.open_write(kept.with_path(f"{kept.path}-new"), Incoming(1))


@pytest.mark.parametrize("why", ("expired", "wrong", "none"))
def test_without_a_good_token_the_door_stays_shut(
    xrootd: XrootdRoot, kept: Location, opened: Callable[[Credential], XrootdStore], why: str
) -> None:
    shown: Credential = NOBODY
    if why == "expired":
        shown = bearer(xrootd.issuer.token(READ_WRITE, seconds=-30))
    elif why == "wrong":
        shown = bearer(xrootd.issuer.token(READ_WRITE)[:-8] + "AAAAAAAA")
    with pytest.raises(Denied) as caught:
        opened(shown).open_read(kept)
    presented = "token from the test" if isinstance(shown, Bearer) else "nothing"
    assert f"(presented: {presented})" in caught.value.what
    if isinstance(shown, Bearer):
        assert shown.token.reveal() not in f"{caught.value!r} {caught.value.what} {caught.value.remedy}"


def test_tokens_of_two_servers_never_meet(
    xrootd: XrootdRoot, kept: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What our own environment has is for whom our own rules say; each process has one credential, in memory."""
    monkeypatch.setenv("BEARER_TOKEN", xrootd.issuer.token(READ_WRITE))
    good = bearer(xrootd.issuer.token(READ_WRITE))
    shown: dict[str, Credential] = {kept.host: good}
    store = XrootdStore(context_for(credential=lambda place, purpose: shown.get(place.host, NOBODY)))
    other = location(xrootd, planted(xrootd, b"open"))
    assert drained(store.open_read(other)) == b"open"
    assert drained(store.open_read(kept)) == b"kept"
    one, two = processes_of(store)
    secrets = (good.token.reveal().encode(), os.environ["BEARER_TOKEN"].encode())
    for process in (one, two):
        for name in ("environ", "cmdline"):
            text = Path(f"/proc/{process}/{name}").read_bytes()
            assert not any(secret in text for secret in secrets), name
    shown[kept.host] = NOBODY
    with pytest.raises(Denied):
        store.open_read(kept)
    store.close()


def test_a_login_that_is_refused_is_tried_with_a_newer_token(xrootd: XrootdRoot, kept: Location) -> None:
    old, new = (bearer(xrootd.issuer.token(READ_WRITE, seconds=seconds)) for seconds in (-30, 600))
    context = context_for(credential=old)
    asked = []

    def renew(place: Location, purpose: str, credential: Credential) -> Credential:
        asked.append(credential)
        return new

    context._renew = renew
    store = XrootdStore(context)
    assert drained(store.open_read(kept)) == b"kept"
    assert asked == [old]
    store.close()


def certificate(certificate: Path, key: Path | None = None) -> Certificate:
    return Certificate(str(certificate), str(key or certificate), name="grid", origin="the test")


@pytest.fixture
def grid(xrootd: XrootdRoot) -> Location:
    """A file of the server that wants certificates."""
    return location(xrootd, planted(xrootd, b"grid", server=GSI), GSI)


@pytest.mark.parametrize("kind", ("certificate", "proxy"))
def test_a_certificate_opens_the_door(
    xrootd: XrootdRoot, grid: Location, opened: Callable[[Credential], XrootdStore], kind: str
) -> None:
    files = xrootd.grid
    store = opened(certificate(files.proxy) if kind == "proxy" else certificate(*files.user))
    assert drained(store.open_read(grid)) == b"grid"
    written(store, grid.with_path(f"{grid.path}-new"), DATA)
    assert drained(store.open_read(grid.with_path(f"{grid.path}-new"))) == DATA


@pytest.mark.parametrize("who", ("stranger", "nobody"))
def test_without_a_certificate_of_its_own_users_the_door_stays_shut(
    xrootd: XrootdRoot, grid: Location, opened: Callable[[Credential], XrootdStore], who: str
) -> None:
    shown = certificate(*xrootd.grid.stranger) if who == "stranger" else NOBODY
    with pytest.raises(Denied):
        opened(shown).open_read(grid)


def test_a_key_with_a_pass_phrase_is_not_asked_for(
    xrootd: XrootdRoot, grid: Location, opened: Callable[[Credential], XrootdStore]
) -> None:
    user = xrootd.grid.user
    locked = Certificate(
        str(user.certificate), str(user.key), passphrase=Secret("phrase"), name="grid", origin="the test"
    )
    with pytest.raises(Misconfigured, match="encrypted"):
        opened(locked).open_read(grid)


# --- third-party copies


def test_one_server_fetches_from_another(xrootd: XrootdRoot, store: XrootdStore) -> None:
    source, folder = planted(xrootd, DATA), fresh(xrootd, OTHER)
    there = location(xrootd, folder / "new" / "file", OTHER)
    step = store.copy(location(xrootd, source), there, "")
    assert step.receipt is not None
    assert step.receipt.size == len(DATA)
    assert step.receipt.digests == (digest_of("adler32", DATA),)
    assert (folder / "new" / "file").read_bytes() == DATA
    assert left_in(folder / "new") == ["file"]


def test_a_copy_reads_its_source_as_the_user_who_asked(
    xrootd: XrootdRoot, grid: Location, opened: Callable[[Credential], XrootdStore]
) -> None:
    """The server that fetches has a proxy certificate that was delegated to it."""
    there = grid.with_path(f"{grid.path}-copy")
    step = opened(certificate(xrootd.grid.proxy)).copy(grid, there, "")
    assert step.receipt is not None and step.receipt.size == 4
    assert drained(opened(certificate(xrootd.grid.proxy)).open_read(there)) == b"grid"


def test_a_copy_may_take_longer_than_a_silence(
    xrootd: XrootdRoot, context: Context, store: XrootdStore
) -> None:
    """Servers say nothing during the two seconds that the smallest copy takes them."""
    source, folder = planted(xrootd, DATA), fresh(xrootd, OTHER)
    store.stat(location(xrootd, source))
    context.stall = context.connect = 1.0
    step = store.copy(location(xrootd, source), location(xrootd, folder / "file", OTHER), "")
    assert step.receipt is not None and step.receipt.size == len(DATA)


def test_a_copy_that_fails_leaves_nothing(xrootd: XrootdRoot, store: XrootdStore) -> None:
    folder = fresh(xrootd, OTHER)
    with pytest.raises(NotFound):
        store.copy(location(xrootd, fresh(xrootd) / "absent"), location(xrootd, folder / "file", OTHER), "")
    assert left_in(folder) == []


def test_ends_with_different_credentials_are_not_copied_between(xrootd: XrootdRoot, kept: Location) -> None:
    good = bearer(xrootd.issuer.token(READ_WRITE))
    context = context_for(credential=lambda place, purpose: good if place.host == kept.host else NOBODY)
    store = XrootdStore(context)
    with pytest.raises(Unsupported):
        store.copy(kept, location(xrootd, fresh(xrootd) / "file"), "")
    assert processes_of(store) == []


def test_a_partial_that_a_retry_could_not_have_does_not_stay(
    xrootd: XrootdRoot, store: XrootdStore, opened: Callable[[Credential], XrootdStore]
) -> None:
    folder = fresh(xrootd)
    place = location(xrootd, folder).below("file")
    incoming = Incoming(len(DATA), token="0123456789abcdef", resume=True)
    first = store.open_write(place, incoming)
    first.write(memoryview(DATA)[:BUFFER])
    first.abort(keep=True)
    somebody = opened(NOBODY).open_write(place, incoming)
    retry = store.open_write(place, incoming)
    retry.write(memoryview(DATA))
    retry.commit(digests_for(retry, DATA))
    assert left_in(folder) == ["file"]
    somebody.abort()


def test_a_partial_is_gone_on_with_though_its_process_was_killed(
    xrootd: XrootdRoot, context: Context, store: XrootdStore
) -> None:
    """Many writes are under way at a time, so the last ones are not believed; the others are."""
    data = content(40 * BUFFER)
    folder = fresh(xrootd)
    place = location(xrootd, folder).below("file")
    incoming = Incoming(len(data), token="0123456789abcdef", resume=True)
    writer = store.open_write(place, incoming)
    for first in range(0, 35 * BUFFER, BUFFER):
        writer.write(memoryview(data)[first : first + BUFFER])
    os.kill(processes_of(store)[0], signal.SIGKILL)
    writer.abort(keep=True)
    later = XrootdStore(context)
    assert later.has_partial(place, "012345")
    again = later.open_write(place, incoming)
    while not again.held:  # until the server has noticed that the writer is gone, the partial is locked
        again.abort()
        again = later.open_write(place, incoming)
    assert again.held <= 35 * BUFFER
    assert again.read_held(0, context.view) == BUFFER
    assert context.view == data[:BUFFER]
    again.write(memoryview(data)[again.held :])
    again.commit(digests_for(again, data))
    assert (folder / "file").read_bytes() == data
    later.close()

"""Globus tasks and single operations, against the double: what is asked, adopted, cancelled, and by which token."""

from __future__ import annotations

import hashlib
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from globus_tools import a_client, a_login, a_token, at, folders, globus, globus_context
from servers.globus_service import GUEST, MAPPED, PERSONAL, GlobusService
from wf.checksum.digest import Digest
from wf.credentials.globus_tokens import TRANSFER_SERVER, Login, read_login, write_login
from wf.credentials.kinds import Basic, Secret
from wf.protocols.conformance_tools import begun, drained, within_guard, written
from wf.protocols.errors import (
    Broken,
    Busy,
    Denied,
    Misconfigured,
    Mismatch,
    MissingCredential,
    NotFound,
    Reach,
    ServerFault,
    Stopped,
    TransferError,
    Unreachable,
    Unsupported,
)
from wf.protocols.globus import GlobusStore
from wf.protocols.locations import parse_location
from wf.protocols.values import Group, Incoming, Item, Receipt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.tls import TlsFiles
    from wf.credentials.kinds import Credential

__all__ = ["globus"]

PATIENCE = 30.0
MARK = "ab" * 16


class Ends:
    """Two guest collections, and the store of one worker."""

    def __init__(self, globus: GlobusService, tls_files: TlsFiles, folder: Path) -> None:
        self.a, self.b = folders(folder, "a", "b")
        self.source = globus.collection(self.a, entity_type=GUEST)
        self.destination = globus.collection(self.b, entity_type=GUEST)
        self._tls = tls_files
        self._stores: list[GlobusStore] = []

    def store(self, credential: Credential | None = None, **options: Any) -> GlobusStore:
        store = GlobusStore(globus_context(self._tls, credential, **options))  # type: ignore[arg-type]
        self._stores.append(store)
        return store

    def copies(self, *names: str, mark: str = MARK) -> Group:
        items = (Item(at(self.source, f"/{name}"), at(self.destination, f"/{name}")) for name in names)
        return Group(tuple(items), mark)

    def close(self) -> None:
        for store in self._stores:
            store.close()


@pytest.fixture
def ends(globus: GlobusService, tls_files: TlsFiles, tmp_path: Path) -> Iterator[Ends]:
    found = Ends(globus, tls_files, tmp_path)
    yield found
    found.close()


def results(store: GlobusStore, group: Group, handle: str) -> list[Receipt | TransferError]:
    deadline = time.monotonic() + PATIENCE
    while True:
        progress = store.poll(group, handle)
        if progress.again is None:
            return [result for _, result in sorted(progress.results, key=lambda pair: pair[0])]
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- submissions


def test_nothing_begins_before_the_submission_was_told(globus: GlobusService, ends: Ends) -> None:
    store = ends.store()
    submission = store.prepare(ends.copies("missing"))
    assert globus.tasks() == []
    handle = store.submit(ends.copies("missing"), submission)
    assert store.submit(ends.copies("missing"), submission) == handle
    assert [task["task_id"] for task in globus.tasks()] == [handle]
    assert globus.documents()[0]["submission_id"] == submission


def test_a_task_under_way_is_found_by_its_label_and_one_that_ended_is_not(
    globus: GlobusService, ends: Ends
) -> None:
    (ends.a / "f").write_bytes(bytes(3 << 20))
    globus.rule("copy /f", slow=0.2, times=100)
    store, group = ends.store(), ends.copies("f")
    handle = store.submit(group, store.prepare(group))
    later = ends.store()
    found = later.prepare(group)
    assert later.submit(group, found) == handle
    other = ends.copies("f", mark="cd" * 16)
    assert handle not in later.prepare(other)
    results(store, group, handle)
    assert handle not in later.prepare(group)


def test_the_same_copies_of_somebody_else_are_waited_for(globus: GlobusService, ends: Ends) -> None:
    (ends.a / "f").write_bytes(bytes(3 << 20))
    globus.rule("copy /f", slow=0.2, times=100)
    store, group = ends.store(), ends.copies("f")
    theirs = store.submit(group, store.prepare(group))
    ours = ends.copies("f", mark="cd" * 16)
    with pytest.raises(Busy):
        store.submit(ours, store.prepare(ours))
    results(store, group, theirs)
    assert isinstance(results(store, ours, store.submit(ours, store.prepare(ours)))[0], Receipt)


def test_the_same_copies_of_our_own_are_adopted_when_the_list_came_too_late(
    globus: GlobusService, ends: Ends
) -> None:
    (ends.a / "f").write_bytes(bytes(3 << 20))
    globus.rule("copy /f", slow=0.2, times=100)
    store, group = ends.store(), ends.copies("f")
    submission = ends.store().prepare(group)
    handle = store.submit(group, store.prepare(group))
    assert ends.store().submit(group, submission) == handle


def test_a_submission_that_the_service_has_forgotten_is_made_anew(globus: GlobusService, ends: Ends) -> None:
    (ends.a / "f").write_bytes(b"x")
    store, group = ends.store(), ends.copies("f")
    handle = store.submit(group, "00000000-0000-0000-0000-000000000000")
    assert isinstance(results(store, group, handle)[0], Receipt)


def test_a_refused_document_is_no_loop(globus: GlobusService, ends: Ends) -> None:
    globus.rule("POST /v0.10/transfer", status=400, code="ClientError.BadRequest", times=100)
    store, group = ends.store(), ends.copies("f")
    with pytest.raises(Unsupported):
        store.submit(group, store.prepare(group))
    assert globus.requests().count("POST /v0.10/transfer") == 2


def test_a_task_that_is_cancelled_tells_what_was_done(globus: GlobusService, ends: Ends) -> None:
    (ends.a / "a").write_bytes(b"first")
    (ends.a / "b").write_bytes(bytes(50 << 20))
    globus.rule("copy /b", slow=0.3, times=100)
    store, group = ends.store(), ends.copies("a", "b")
    handle = store.submit(group, store.prepare(group))
    deadline = time.monotonic() + PATIENCE
    while globus.tasks()[0]["files_transferred"] < 1:
        assert time.monotonic() < deadline
    progress = store.cancel(group, handle)
    assert [number for number, _ in progress.results] == [0]
    assert store.cancel(group, handle).results[0][0] == 0
    assert globus.tasks()[0]["fatal_error"]["code"] == "CANCELED"


def test_lists_of_many_pages_are_read_to_the_end(globus: GlobusService, ends: Ends) -> None:
    names = [f"f{number}" for number in range(2_500)]
    for name in names[:-200]:
        (ends.a / name).write_bytes(b"")
    store, group = ends.store(), ends.copies(*names)
    found = results(store, group, store.submit(group, store.prepare(group)))
    assert [isinstance(result, Receipt) for result in found] == [True] * 2_300 + [False] * 200
    assert all(isinstance(result, NotFound) for result in found[2_300:])


@pytest.mark.parametrize("marker", ["7", "1{}"])
def test_a_list_that_does_not_end_is_no_list(marker: str, globus: GlobusService, ends: Ends) -> None:
    (ends.a / "f").write_bytes(b"x")
    store, group = ends.store(), ends.copies("f")
    handle = store.submit(group, store.prepare(group))
    other = [{"source_path": "/x", "destination_path": "/y"}] * 1000
    for number in range(30):
        globus.rule("successful_transfers", fields={"DATA": other, "next_marker": marker.format(number)})
    with pytest.raises(ServerFault, match="does not end"):
        results(store, group, handle)
    assert sum("successful_transfers" in one for one in globus.requests()) < 15


def test_a_folder_whose_pages_are_all_the_same_is_no_folder(globus: GlobusService, ends: Ends) -> None:
    entries = [{"DATA_TYPE": "file", "name": "f", "type": "file", "size": 1}]
    globus.rule("/ls", fields={"has_next_page": True, "DATA": entries}, times=100)
    with pytest.raises(ServerFault, match="same"):
        list(ends.store().list(at(ends.source, "/"), recursive=False))


def test_pages_that_are_smaller_than_asked_for_are_all_read(globus: GlobusService, ends: Ends) -> None:
    for name in "abc":
        (ends.a / name).write_bytes(b"x")
    first = [{"DATA_TYPE": "file", "name": name, "type": "file", "size": 1} for name in "xy"]
    globus.rule("/ls", fields={"has_next_page": True, "DATA": first})
    found = [entry.path for entry in ends.store().list(at(ends.source, "/"), recursive=False)]
    assert found == ["x", "y", "c"]


def test_a_document_of_the_wrong_shape_is_the_services_fault(globus: GlobusService, ends: Ends) -> None:
    globus.rule("/ls", fields={"DATA": ["f"]})
    with pytest.raises(ServerFault):
        list(ends.store().list(at(ends.source, "/"), recursive=False))


def test_a_service_that_takes_no_size_of_pages_and_no_filter_is_asked_without(
    globus: GlobusService, ends: Ends
) -> None:
    names = [f"f{number}" for number in range(250)]
    for name in names:
        (ends.a / name).write_bytes(b"")
    globus.rule("successful_transfers", status=400, code="ClientError.BadRequest")
    globus.rule("task_list", status=400, code="ClientError.BadRequest")
    store, group = ends.store(), ends.copies(*names)
    found = results(store, group, store.submit(group, store.prepare(group)))
    assert all(isinstance(result, Receipt) for result in found)
    pages = [request for request in globus.requests() if request.endswith("successful_transfers")]
    assert len(pages) == 4


def test_a_removal_that_is_stopped_is_cancelled(globus: GlobusService, ends: Ends) -> None:
    (ends.b / "keep").write_bytes(b"x")
    # One fault, and then a pause that outlasts everything.
    globus.settings(retry_seconds=1000.0)
    globus.change(ends.destination, readonly=True)
    stop = threading.Event()
    store = ends.store(stop=stop)
    timer = threading.Timer(0.2, stop.set)
    timer.start()
    with pytest.raises(Stopped):
        store.remove(at(ends.destination, "/keep"), recursive=False)
    timer.join()
    assert (ends.b / "keep").exists()
    assert globus.tasks()[0]["fatal_error"]["code"] == "CANCELED"


def test_an_answer_that_is_slow_down_says_how_long(globus: GlobusService, ends: Ends) -> None:
    globus.rule("task_list", status=503, code="Busy", headers={"Retry-After": "7"})
    with pytest.raises(Busy) as refused:
        ends.store().prepare(ends.copies("f"))
    assert refused.value.retry_after == 7.0
    # Nothing is repeated here: that is the engine's.
    assert globus.requests().count("GET /v0.10/task_list") == 1


def test_a_service_that_hangs_up_is_unreachable(globus: GlobusService, ends: Ends) -> None:
    globus.rule("task_list", hang_up="before")
    with pytest.raises(Unreachable):
        ends.store().prepare(ends.copies("f"))


def test_the_end_of_the_run_ends_the_waiting_for_an_answer(globus: GlobusService, ends: Ends) -> None:
    globus.rule("task_list", delay=1000.0)
    stop = threading.Event()
    store = ends.store(stop=stop, stall=1000.0)
    timer = threading.Timer(0.2, stop.set)
    timer.start()
    with pytest.raises(Stopped):
        within_guard(lambda: store.prepare(ends.copies("f")))
    timer.join()


# --- the collection of this machine


def installed(home: Path, collection: str, *lines: str) -> None:
    """What an installation of Globus Connect Personal leaves below the home."""
    folder = home / ".globusonline/lta"
    folder.mkdir(parents=True)
    (folder / "client-id.txt").write_text(f"{collection.upper()}\n")
    (folder / "config-paths").write_text("".join(f"{line}\n" for line in lines))


def test_the_collection_of_this_machine_is_used_while_it_is_connected(
    globus: GlobusService, ends: Ends, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = globus.collection(tmp_path, entity_type=PERSONAL)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    local = parse_location(f"file://{tmp_path}/f", site="here")
    remote = at(ends.source, "/f", site="there")
    assert ends.store().local_twin(local, remote, writing=False) is None
    installed(tmp_path / "home", here, f"{tmp_path},0,1")
    twin = ends.store().local_twin(local, remote, writing=False)
    assert twin is not None
    assert (twin.host, twin.path, twin.site) == (here, f"{tmp_path}/f", "there")
    globus.change(here, connected=False)
    assert ends.store().local_twin(local, remote, writing=False) is None


def test_an_installation_that_the_service_does_not_know_is_not_used(
    globus: GlobusService, ends: Ends, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    installed(tmp_path, "00000000-0000-0000-0000-000000000000", "/,0,1")
    local, remote = parse_location(f"file://{tmp_path}/f"), at(ends.source, "/f")
    assert ends.store().local_twin(local, remote, writing=False) is None


# --- credentials


def test_all_workers_share_one_token(globus: GlobusService, ends: Ends, tls_files: TlsFiles) -> None:
    context = globus_context(tls_files)
    stores = [GlobusStore(context) for _ in range(4)]
    threads = [threading.Thread(target=store.stat, args=(at(ends.source, "/"),)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert globus.requests().count("POST /v2/oauth2/token") == 1


def test_a_token_that_ended_is_replaced_once(globus: GlobusService, ends: Ends) -> None:
    (ends.a / "f").write_bytes(b"content")
    store = ends.store()
    assert drained(store.open_read(at(ends.source, "/f"))) == b"content"
    globus.expire_tokens()
    assert store.stat(at(ends.source, "/f")).size == 7
    globus.expire_tokens()
    assert drained(store.open_read(at(ends.source, "/f"))) == b"content"


def test_a_client_whose_every_token_is_refused_is_denied(globus: GlobusService, ends: Ends) -> None:
    globus.settings(token_seconds=-100.0)
    with pytest.raises(Denied) as refused:
        ends.store().stat(at(ends.source, "/"))
    assert "wf-transfer globus login" in refused.value.remedy
    assert globus.requests().count("POST /v2/oauth2/token") <= 3


@pytest.mark.parametrize("credential", [a_client("wrong"), a_login("unknown")])
def test_a_wrong_secret_is_denied_and_not_shown(
    credential: Credential, globus: GlobusService, ends: Ends
) -> None:
    with pytest.raises(Denied) as refused:
        ends.store(credential).stat(at(ends.source, "/"))
    assert credential.name in refused.value.what and refused.value.remedy
    assert "wrong" not in refused.value.what and "unknown" not in refused.value.what


def test_a_service_that_is_down_is_no_wrong_secret(globus: GlobusService, ends: Ends) -> None:
    globus.rule("oauth2/token", status=503)
    with pytest.raises(ServerFault):
        ends.store().stat(at(ends.source, "/"))
    globus.rule("oauth2/token", hang_up="before")
    with pytest.raises((Broken, Unreachable)):
        ends.store().stat(at(ends.source, "/"))


def test_an_access_token_that_is_known_to_have_ended_is_not_sent(globus: GlobusService, ends: Ends) -> None:
    with pytest.raises(Denied, match="has expired"):
        ends.store(a_token("t", expires=time.time() - 1)).stat(at(ends.source, "/"))
    assert globus.requests() == []


def test_files_need_a_token_of_their_own(globus: GlobusService, ends: Ends) -> None:
    (ends.a / "f").write_bytes(b"content")
    store = ends.store(a_token(globus.access_token()))
    assert store.stat(at(ends.source, "/f")).size == 7
    with pytest.raises(MissingCredential) as refused:
        store.open_read(at(ends.source, "/f"))
    assert refused.value.remedy.startswith(f"wf-transfer globus login {ends.source}")
    scope = f"https://auth.globus.org/scopes/{ends.source}/https"
    both = a_token(globus.access_token(), others=((ends.source, Secret(globus.access_token(scope))),))
    assert drained(ends.store(both).open_read(at(ends.source, "/f"))) == b"content"


def test_a_credential_of_another_kind_is_configuration(ends: Ends) -> None:
    with pytest.raises(Misconfigured):
        ends.store(Basic("u", Secret("p"), name="n", origin="o")).stat(at(ends.source, "/"))  # type: ignore[arg-type]


def test_a_consent_that_a_person_must_give_is_told_with_its_command(
    globus: GlobusService, ends: Ends, tmp_path: Path
) -> None:
    mapped = globus.collection(tmp_path / "mapped", entity_type=MAPPED)
    with pytest.raises(Denied) as refused:
        ends.store(a_login(globus.refresh_token())).stat(at(mapped, "/"))
    assert f"scopes/{mapped}/data_access" in refused.value.what
    assert refused.value.remedy == f"run: wf-transfer globus login {mapped}"


def test_a_refresh_token_that_works_once_is_kept_for_all_processes(
    globus: GlobusService, ends: Ends, tmp_path: Path
) -> None:
    globus.settings(rotate=True)
    path = str(tmp_path / "kept/globus.json")
    first = globus.refresh_token()
    for _ in range(3):
        # Each has the first token, as a job's variable has; what replaced it is in the file.
        ends.store(a_login(first, kept=path)).stat(at(ends.source, "/"))
    login, _ = read_login(path)
    assert login.tokens[TRANSFER_SERVER] != Secret(first)
    assert (tmp_path / "kept/globus.json").stat().st_mode & 0o777 == 0o600


def test_keeping_one_token_leaves_the_others(globus: GlobusService, ends: Ends, tmp_path: Path) -> None:
    globus.settings(rotate=True)
    path = str(tmp_path / "globus.json")
    tokens = {TRANSFER_SERVER: Secret(globus.refresh_token()), "other": Secret("stays")}
    write_login(path, Login("app", tokens))
    ends.store(a_login("old", kept=path)).stat(at(ends.source, "/"))
    login, _ = read_login(path)
    assert login.tokens["other"] == Secret("stays")
    assert login.tokens[TRANSFER_SERVER] != tokens[TRANSFER_SERVER]


def test_no_secret_is_in_an_error_that_repeats_it(globus: GlobusService, ends: Ends) -> None:
    globus.rule("GET /v0.10", status=403, message="refused AUTHORIZATION", times=10)
    with pytest.raises(Denied) as refused:
        ends.store().stat(at(ends.source, "/"))
    assert "access-" not in f"{refused.value} {refused.value.what}"


def test_transfer_is_trusted_as_every_other_server_is(
    globus: GlobusService, ends: Ends, tls_files: TlsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The double serves the same over TLS.
    monkeypatch.setenv("GLOBUS_SDK_SERVICE_URL_TRANSFER", f"{globus.data_url}/")
    monkeypatch.setenv("GLOBUS_SDK_SERVICE_URL_AUTH", f"{globus.data_url}/")
    assert ends.store().stat(at(ends.source, "/")).is_directory
    # Neither is a bundle of the library's own believed, nor a switch that turns verification off.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls_files.ca))
    monkeypatch.setenv("GLOBUS_SDK_VERIFY_SSL", "false")
    stranger = GlobusStore(globus_context(tls_files._replace(ca=tls_files.wrong_ca)))
    with pytest.raises(Misconfigured, match="certificate") as refused:
        stranger.stat(at(ends.source, "/"))
    stranger.close()
    assert "SSL_CERT_FILE" in refused.value.remedy


# --- files


def test_a_collection_without_https_says_what_can_be_done(
    globus: GlobusService, ends: Ends, tmp_path: Path
) -> None:
    laptop = globus.collection(tmp_path / "laptop", entity_type=PERSONAL)
    with pytest.raises(Unsupported, match="no HTTPS server") as refused:
        ends.store().open_read(at(laptop, "/f"))
    assert "another collection" in refused.value.remedy


def test_files_are_never_sent_without_tls(globus: GlobusService, ends: Ends) -> None:
    globus.settings(data_url=globus.url)
    with pytest.raises(Unsupported, match="no https server"):
        ends.store().open_read(at(ends.source, "/f"))


def test_an_ill_data_server_is_not_a_missing_file(globus: GlobusService, ends: Ends) -> None:
    globus.rule("GET /c/", status=404, code="ENDPOINT_ERROR", message="GCS Manager Internal Error")
    store = ends.store()
    with pytest.raises(ServerFault):
        store.open_read(at(ends.source, "/f"))
    globus.change(ends.source, broken=True)
    with pytest.raises(ServerFault):
        store.stat(at(ends.source, "/f"))
    with pytest.raises(ServerFault):
        store.remove(at(ends.source, "/f"), recursive=False)


def test_what_arrived_short_is_not_published(globus: GlobusService, ends: Ends) -> None:
    globus.rule("PUT /c/", truncate=True)
    store = ends.store()
    writer = begun(store, at(ends.source, "/f"), b"content")
    with pytest.raises(Mismatch):
        writer.commit(())
    writer.abort()
    assert list(ends.a.iterdir()) == []


@pytest.mark.parametrize("expected", [True, False])
def test_an_upload_of_which_somebody_knows_the_digest_is_read_back_before_it_is_published(
    expected: bool, globus: GlobusService, ends: Ends
) -> None:
    globus.rule("PUT /c/", flip=True)
    store = ends.store()
    writer = store.open_write(at(ends.destination, "/f"), Incoming(size=7, expected=expected))
    writer.write(memoryview(b"content"))
    digests = (digest_of(b"content"),)
    if not expected:
        assert writer.commit(digests) == Receipt(7)
        return
    with pytest.raises(Mismatch) as refused:
        writer.commit(digests)
    writer.abort()
    assert refused.value.reach is Reach.ATTEMPT
    assert list(ends.b.iterdir()) == []
    writer = store.open_write(at(ends.destination, "/f"), Incoming(size=7, expected=True))
    writer.write(memoryview(b"content"))
    assert writer.commit(digests) == Receipt(7, digests=digests)
    assert (ends.b / "f").read_bytes() == b"content"


def digest_of(content: bytes) -> Digest:
    return Digest("sha256", hashlib.sha256(content).digest())


@pytest.mark.parametrize("large", [False, True])
def test_folders_above_are_made_when_the_upload_tells_that_they_are_missing(
    large: bool, globus: GlobusService, ends: Ends
) -> None:
    data = b"x" * (3 << 20 if large else 10)
    written(ends.store(), at(ends.source, "/new/deep/er/f"), data)
    assert (ends.a / "new/deep/er/f").read_bytes() == data
    made = [request for request in globus.requests() if request.endswith("/mkdir")]
    # From below: one for each folder, and one more for each that could not be made yet.
    assert len(made) == 5


def test_a_partial_goes_also_when_the_run_was_stopped(globus: GlobusService, ends: Ends) -> None:
    stop = threading.Event()
    store = ends.store(stop=stop)
    writer = store.open_write(at(ends.source, "/f"), Incoming(2 << 20))
    writer.write(memoryview(bytes(1 << 20)))
    stop.set()
    writer.abort()
    assert list(ends.a.iterdir()) == []


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "in/side"])
def test_names_that_no_folder_can_have_are_not_believed(name: str, globus: GlobusService, ends: Ends) -> None:
    (ends.a / "f").write_bytes(b"")
    globus.rule("/ls$", names=[name])
    with pytest.raises(ServerFault, match="impossible name"):
        list(ends.store().list(at(ends.source, "/"), recursive=True))


def test_a_cut_upload_is_no_file(globus: GlobusService, ends: Ends) -> None:
    globus.rule("PUT /c/", hang_up="before")
    with pytest.raises((Broken, Unreachable)):
        written(ends.store(), at(ends.source, "/f"), b"content")
    assert list(ends.a.iterdir()) == []

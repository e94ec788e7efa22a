"""SFTP: what its servers and `ssh` are particular about."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from command_runs import COMMAND, wf_transfer
from runs import execute, leftovers, sha256, transfer
from servers.faults import REFUSE, closed_port, cut, fault_proxy, reset
from servers.lying_sftp import honest_ssh
from servers.process import short_temporary_directory
from servers.sshd import PASSWORD, PHRASE, Keys, Sshd, asyncssh_server, make_keys, rclone_sftp, sshd
from sftp_tools import Credentials, locked_key, place, planted, store
from wf.credentials.kinds import Anonymous, Basic, Secret, SshKey
from wf.protocols.conformance_tools import (
    begun,
    content,
    digest_of,
    drained,
    error_of,
    make_context,
    odd_names,
    refused,
    within_guard,
    written,
)
from wf.protocols.errors import (
    Broken,
    Changed,
    Denied,
    LocalRefused,
    Misconfigured,
    NoSpace,
    NotFound,
    ServerFault,
    TurnedAway,
    Unreachable,
)
from wf.protocols.locations import parse_location
from wf.protocols.registry import SFTP
from wf.protocols.ssh import account_of, path_of
from wf.protocols.ssh_errors import SAID
from wf.protocols.ssh_process import arguments
from wf.protocols.values import Incoming
from wf.transfer.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.unprivileged import Unprivileged
    from wf.credentials.kinds import Credential
    from wf.protocols.errors import TransferError

TOKEN = "0123456789abcdef"
USUAL = f".wf-{TOKEN}.part"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def shared(keys: Keys) -> Iterator[Sshd]:
    with sshd(keys) as server:
        yield server


def use(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> Sshd:
    monkeypatch.setenv("PATH", f"{server.path}:{os.environ['PATH']}")
    return server


@pytest.fixture
def server(shared: Sshd, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    """OpenSSH's server, with a fresh folder and the client's usual configuration."""
    known = shared.known_hosts.read_text()
    folder = shared.folder / os.urandom(4).hex()
    folder.mkdir()
    yield use(shared._replace(folder=folder), monkeypatch)
    shared.known_hosts.write_text(known)
    shared.configure()


@pytest.fixture(params=["ssh", "paramiko"])
def credential(request: pytest.FixtureRequest, keys: Keys) -> Credential:
    return Anonymous() if request.param == "ssh" else locked_key(keys, PHRASE)


# --- whom a location means


def test_a_location_names_an_account() -> None:
    account = account_of(parse_location("sftp://alice@host.example:2222/p"))
    assert (account.host, account.port, account.user) == ("host.example", 2222, "alice")
    assert account_of(parse_location("sftp://[::1]:22/p")).host == "::1"
    assert account_of(parse_location("sftp://host/p"), "bob").user == "bob"


@pytest.mark.parametrize(
    "host",
    ["a;b", "$(touch harm)", "`id`", "u'@h", "a|b@h", "%2DoProxyCommand=x@h", "h:0", "h:99999", "h:x", ""],
)
def test_a_name_that_could_reach_a_shell_or_be_an_option_is_refused(host: str) -> None:
    location = parse_location("sftp://placeholder/p")._replace(host=host)
    assert "write sftp://" in refused(lambda: account_of(location), Misconfigured).remedy


@pytest.mark.parametrize("url", ["sftp://-oProxyCommand=x/p", "sftp://-l@host/p", "scp://a b/p"])
def test_an_option_in_place_of_a_host_is_no_url(url: str) -> None:
    with pytest.raises(ValueError):
        parse_location(url)


def test_paths_are_literal_and_may_begin_in_the_home_folder() -> None:
    assert path_of(parse_location("sftp://h/a%20b?c#d")) == b"/a%20b?c#d"
    assert path_of(parse_location("sftp://h/~/a")) == b"a"
    assert path_of(parse_location("sftp://h/~")) == path_of(parse_location("sftp://h/~/")) == b"."
    assert path_of(parse_location("sftp://h/~a/b")) == b"/~a/b"
    assert path_of(parse_location("sftp://h")) == b"/"


def test_a_relative_path_begins_in_the_home_folder(server: Sshd) -> None:
    home = Path("~").expanduser() if os.geteuid() else Path("/root")
    relative = os.path.relpath(server.folder, home)
    planted(server, "file", b"at home")
    location = parse_location(f"sftp://127.0.0.1:{server.port}/~/{relative}/file")
    there = store()
    assert drained(there.open_read(location)) == b"at home"
    assert there.digest(location, "sha256") == sha256(b"at home")
    there.close()


def test_a_chosen_key_is_the_only_one_that_is_presented() -> None:
    account = account_of(parse_location("sftp://u@h:22/p"))
    key = SshKey("/k/100% mine", certificate="/k/c", name="SSH_PRIVATE_KEY", origin="x")
    words = arguments("ssh", make_context(), account, key)
    assert '-oIdentityFile="/k/100%% mine"' in words and "-oIdentitiesOnly=yes" in words
    assert '-oCertificateFile="/k/c"' in words and "-oBatchMode=yes" in words


def test_a_key_that_ssh_finds_by_itself_leaves_the_others_to_it() -> None:
    account = account_of(parse_location("sftp://u@h/p"))
    key = SshKey("/h/.ssh/id_rsa", name="id_rsa", origin="x", found_by_ssh=True)
    assert not [word for word in arguments("ssh", make_context(), account, key) if "Identit" in word]


def test_a_chosen_key_may_have_the_name_of_its_file() -> None:
    account = account_of(parse_location("sftp://u@h/p"))
    words = arguments("ssh", make_context(), account, SshKey("/h/.ssh/id_rsa", name="id_rsa", origin="x"))
    assert '-oIdentityFile="/h/.ssh/id_rsa"' in words and "-oIdentitiesOnly=yes" in words


def test_a_key_that_ssh_cannot_be_told_is_refused() -> None:
    account = account_of(parse_location("sftp://u@h/p"))
    key = SshKey('/k/"quoted"', name="$SSH_PRIVATE_KEY", origin="x")
    refused(lambda: arguments("ssh", make_context(), account, key), Misconfigured)


# --- logging in


def test_an_unknown_host_is_refused(server: Sshd, credential: Credential) -> None:
    server.known_hosts.write_text("")
    location = planted(server, "file", b"data")
    error = refused(lambda: store(credential=credential).open_read(location), Misconfigured)
    assert "--accept-new-host-keys" in error.remedy


def test_a_new_host_key_is_accepted_when_that_was_asked_for(server: Sshd, credential: Credential) -> None:
    server.known_hosts.write_text("")
    location = planted(server, "file", b"data")
    context = make_context(credential=credential)
    context.accept_new_host_keys = True
    there = store(context)
    assert drained(there.open_read(location)) == b"data"
    there.close()
    again = store(credential=credential)
    assert drained(again.open_read(location)) == b"data", "it was recorded"
    again.close()


def test_a_changed_host_key_is_refused_whatever_was_asked_for(
    server: Sshd, credential: Credential, keys: Keys
) -> None:
    server.known_hosts.write_text("")
    server.trust(server.port, keys.other_host)
    context = make_context(credential=credential)
    context.accept_new_host_keys = True
    error = refused(lambda: store(context).stat(place(server)), Misconfigured)
    assert "ssh-keygen -R" in error.remedy


def test_a_key_that_nobody_knows_is_denied(server: Sshd, keys: Keys) -> None:
    server.configure(key=keys.stranger)
    refused(lambda: store().stat(place(server)), Denied)
    key = SshKey(str(keys.stranger), name="SSH_PRIVATE_KEY_x", origin="$SSH_PRIVATE_KEY_x")
    error = refused(lambda: store(credential=key).stat(place(server)), Denied)
    assert "SSH_PRIVATE_KEY_x" in error.what


def test_a_wrong_password_is_denied_and_not_told(
    keys: Keys, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with asyncssh_server(keys) as other:
        use(other, monkeypatch)
        wrong = Basic("somebody", Secret("canary"), name="somebody", origin="the test")
        error = refused(lambda: store(credential=wrong).stat(place(other)), Denied)
    assert "password" in error.remedy and "authorized_keys" not in error.remedy
    assert "canary" not in repr(error) + error.what + error.remedy
    assert capfd.readouterr().err == ""


def test_a_wrong_pass_phrase_is_denied_and_not_told(server: Sshd, keys: Keys) -> None:
    credential = locked_key(keys, "another SECRET")
    error = refused(lambda: store(credential=credential).stat(place(server)), Denied)
    assert "SECRET" not in f"{error.what}{error.remedy}"


def test_a_password_logs_in(
    keys: Keys, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with asyncssh_server(keys) as other:
        use(other, monkeypatch)
        location = planted(other, "file", b"data")
        there = store(credential=Basic("somebody", Secret(PASSWORD), name="host", origin="a file"))
        assert drained(there.open_read(location)) == b"data"
        assert there.digest(location, "sha256") == sha256(b"data")
        there.close()
        wrong = Basic("somebody", Secret("not SECRET"), name="host", origin="a file")
        error = refused(lambda: store(credential=wrong).stat(location), Denied)
        assert "SECRET" not in error.what and "host from a file" in error.what
    assert "Traceback" not in capfd.readouterr().err


def test_a_host_that_cannot_be_reached_is_named_so(
    server: Sshd, credential: Credential, capfd: pytest.CaptureFixture[str]
) -> None:
    with closed_port() as port, fault_proxy(server.port, REFUSE) as dropping:
        for number, kind in ((port, Unreachable), (dropping.port, TurnedAway)):
            refused(lambda: store(credential=credential).stat(place(server, port=number)), kind)  # noqa: B023
    location = parse_location("sftp://no-such-host.invalid/p")
    refused(lambda: store(credential=credential).stat(location), Unreachable)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("ssh: connect to host 127.0.0.1 port 22: Connection reset by peer", TurnedAway),
        ("kex_exchange_identification: Connection closed by remote host", TurnedAway),
        ("ssh: connect to host 127.0.0.1 port 22: Connection refused", Unreachable),
        ("ssh: connect to host 10.0.0.1 port 22: No route to host", Unreachable),
    ],
)
def test_being_turned_away_is_told_from_nobody_being_there(words: str, kind: type[TransferError]) -> None:
    assert next(row[1] for row in SAID if re.search(row[0], words)) is kind


def holding(server: Sshd) -> socket.socket:
    """A connection that does not log in, and that the server counts."""
    while True:
        connection = socket.create_connection(("127.0.0.1", server.port))
        if connection.recv(64).startswith(b"SSH-"):
            return connection
        connection.close()  # one that came before it still counts


def test_a_server_that_lets_nobody_more_in_is_tried_again(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MaxStartups: those who have not logged in yet fill it up, until they go away."""
    with sshd(keys, "MaxStartups 2:100:2") as narrow:
        use(narrow, monkeypatch)
        location = planted(narrow, "file", b"data")
        holders = [holding(narrow) for _ in range(2)]
        error = refused(lambda: store().stat(location), TurnedAway)
        assert "MaxStartups" in error.remedy
        outcome = execute(
            [transfer(0, location, narrow.folder / "copy", expected=sha256(b"data"))],
            SFTP,
            credentials=Credentials({}),
            during=lambda: [holder.close() for holder in holders],
        )[0]
        assert outcome.status == "done"


def test_of_thirty_at_once_those_who_are_dropped_are_told_to_come_again(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sshd(keys, "MaxStartups 3:50:6") as narrow:
        use(narrow, monkeypatch)
        location = planted(narrow, "file", b"data")

        def read(number: int) -> TransferError | None:
            there = store()
            try:
                return error_of(lambda: drained(there.open_read(location)))
            finally:
                there.close()

        left = 30
        with ThreadPoolExecutor(left) as crowd:
            while left:
                errors = [error for error in crowd.map(read, range(left)) if error is not None]
                for error in errors:
                    assert type(error) is TurnedAway and "MaxStartups" in error.remedy, repr(error)
                assert len(errors) < left, "none got through"
                left = len(errors)


def test_thirty_jobs_that_start_together_are_all_done_in_one_run(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has one request, so nobody but the server knows that there are others."""
    with sshd(keys, "MaxStartups 3:50:6") as narrow:
        use(narrow, monkeypatch)
        location = planted(narrow, "file", b"data")
        command = [*COMMAND, "cp", "-m", "1", location.url]
        jobs = [
            subprocess.Popen([*command, f"{narrow.folder}/copy-{number}"], stderr=subprocess.PIPE)
            for number in range(30)
        ]
        said = [job.communicate()[1].decode() for job in jobs]
        assert [job.returncode for job in jobs] == [0] * 30, said
        assert all((narrow.folder / f"copy-{number}").read_bytes() == b"data" for number in range(30))


def test_thirty_requests_of_one_run_are_all_done(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    with sshd(keys, "MaxStartups 3:50:6") as narrow:
        use(narrow, monkeypatch)
        locations = [planted(narrow, f"{number}", b"data") for number in range(30)]
        many = SFTP._replace(connections_start=30, connections_most=30)
        run = execute(
            [
                transfer(number, each, narrow.folder / f"copy-{number}")
                for number, each in enumerate(locations)
            ],
            many,
            settings=Settings(rounds=1),
            credentials=Credentials({}),
        )
        assert run.statuses == ["done"] * 30


def test_one_login_serves_many_files(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    with sshd(keys) as own:
        use(own, monkeypatch)
        there = store()
        for number in range(10):
            written(there, place(own, f"{number}"), content(number * 100_000))
            assert drained(there.open_read(place(own, f"{number}"))) == content(number * 100_000)
        there.close()
        assert own.logins() == 1


# --- reading


@pytest.mark.parametrize("fault", [cut(300_000), reset(300_000)], ids=["cut", "reset"])
def test_a_broken_connection_is_broken_and_the_next_attempt_works(
    server: Sshd, credential: Credential, fault: object
) -> None:
    data = content(5_000_000)
    with fault_proxy(server.port, fault, first=1) as faulty:  # type: ignore[arg-type]
        server.trust(faulty.port)
        location = planted(server, "file", data, port=faulty.port)
        there = store(credential=credential)
        refused(lambda: drained(there.open_read(location)), Broken)
        assert drained(there.open_read(location)) == data
        there.close()


def test_a_read_that_broke_goes_on_where_it_was(server: Sshd) -> None:
    data = content(5_000_000)
    with fault_proxy(server.port, cut(2_000_000), first=1) as faulty:
        server.trust(faulty.port)
        location = planted(server, "file", data, port=faulty.port)
        os.utime(server.folder / "file", (0, 1_000_000_000))
        target = server.folder / "copy"
        request = transfer(0, location, target, expected=sha256(data))
        outcome = execute([request], SFTP, credentials=Credentials({}))[0]
        assert (outcome.status, target.read_bytes()) == ("done", data)
        assert len(outcome.attempts) == 1, "the same attempt went on"
        assert faulty.bytes_down < 1.5 * len(data), "it did not begin again"


def test_a_file_that_was_written_a_moment_ago_has_no_version(server: Sshd) -> None:
    location = planted(server, "file", b"data")
    there = store()
    assert there.stat(location).version is None
    os.utime(server.folder / "file", (0, time.time() - 300))
    assert there.stat(location).version is not None
    there.close()


def test_a_file_that_is_written_while_it_is_read_is_changed(server: Sshd) -> None:
    location = planted(server, "file", content(3_000_000))
    there = store()
    reader = there.open_read(location)
    reader.read()
    with (server.folder / "file").open("ab") as file:
        file.write(b"more")
    refused(lambda: drained(reader), Changed)
    reader = there.open_read(location)
    reader.read()
    (server.folder / "file").write_bytes(b"less")
    refused(lambda: drained(reader), Changed)
    there.close()


def test_what_is_computed_when_it_is_read_has_no_size(server: Sshd) -> None:
    there = store()
    reader = there.open_read(parse_location(f"{server.url}/proc/self/status"))
    assert reader.size is None
    assert drained(reader).startswith(b"Name:")
    there.close()


def test_a_folder_is_no_file_where_none_can_be_opened(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSH opens folders like files; asyncssh says nothing but `Failure`."""
    with asyncssh_server(keys) as other:
        use(other, monkeypatch)
        there = store()
        error = refused(lambda: there.open_read(place(other)), LocalRefused)
        assert "folder" in error.what
        assert drained(there.open_read(planted(other, "file", b"data"))) == b"data", "the wire still works"
        there.close()


def test_a_folder_is_no_file(server: Sshd) -> None:
    there = store()
    refused(lambda: there.open_read(place(server)), LocalRefused)
    refused(lambda: list(there.list(planted(server, "file", b""), recursive=False)), LocalRefused)
    there.close()


# --- writing


@pytest.fixture(params=["posix rename", "plain rename"])
def renaming(request: pytest.FixtureRequest, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    with asyncssh_server(keys, rename="posix" if request.param == "posix rename" else "") as other:
        yield use(other, monkeypatch)


def test_a_file_is_replaced_with_either_rename(renaming: Sshd) -> None:
    location = planted(renaming, "file", b"old")
    there = store()
    writer = begun(there, location, b"new")
    assert (renaming.folder / "file").read_bytes() == b"old"
    writer.commit((sha256(b"new"),))
    there.close()
    assert (renaming.folder / "file").read_bytes() == b"new"
    assert os.listdir(renaming.folder) == ["file"], "nothing was left behind"


def test_a_link_is_replaced_and_not_followed(server: Sshd) -> None:
    target = server.folder / "target"
    target.write_bytes(b"stays")
    (server.folder / "link").symlink_to(target)
    there = store()
    written(there, place(server, "link"), b"new")
    there.close()
    assert target.read_bytes() == b"stays"
    assert (server.folder / "link").read_bytes() == b"new" and not (server.folder / "link").is_symlink()


def test_nothing_takes_the_place_of_a_fifo(server: Sshd) -> None:
    os.mkfifo(server.folder / "fifo")
    there = store()
    refused(lambda: written(there, place(server, "fifo"), b"data"), LocalRefused)
    there.close()
    assert os.listdir(server.folder) == ["fifo"]


def test_the_mode_of_a_local_source_is_taken(server: Sshd) -> None:
    there = store()
    writer = there.open_write(place(server, "program"), Incoming(0, mode=0o700))
    writer.commit((sha256(b""),))
    there.close()
    assert (server.folder / "program").stat().st_mode & 0o777 == 0o700


def test_a_full_disk_is_named_so(server: Sshd, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a small disk")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=True)
    try:
        there = store()
        location = parse_location(f"{server.url}{small}/file")
        refused(lambda: written(there, location, content(8 << 20)), NoSpace)
        assert os.listdir(small) == []
        written(there, location, b"the store still works")
        there.close()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_read_only_server_denies(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    with sshd(keys, subsystem="internal-sftp -R") as closed:
        use(closed, monkeypatch)
        location = planted(closed, "file", b"stays")
        there = store()
        refused(lambda: written(there, location, b"new"), Denied)
        refused(lambda: there.remove(location, recursive=False), Denied)
        refused(lambda: there.make_directory(place(closed, "folder")), Denied)
        assert drained(there.open_read(location)) == b"stays"
        there.close()


def test_what_the_account_may_not_do_is_denied(unprivileged: Unprivileged) -> None:
    with short_temporary_directory() as name:
        top = Path(name)
        top.chmod(0o755)
        for part in ("bin", "closed"):
            (top / part).mkdir()
        secret = top / "closed" / "secret"
        secret.write_bytes(b"secret")
        secret.chmod(0)
        (top / "closed").chmod(0o555)
        (unprivileged.folder / "file").write_bytes(b"data")
        environment = {"PATH": f"{honest_ssh(top / 'bin')}:{os.environ['PATH']}"}
        closed = f"sftp://host{top}/closed"
        for arguments in (
            ("cp", f"{closed}/secret", "copy"),
            ("cp", "file", f"{closed}/new"),
            ("mkdir", f"{closed}/folder"),
            ("rm", f"{closed}/secret"),
        ):
            command = [*unprivileged.command("wf-transfer"), *arguments]
            run = unprivileged.run(command, environment=environment)
            assert (run.returncode, run.stdout) == (77, b""), run.stderr
            assert b"Permission denied [denied]" in run.stderr
        (top / "closed").chmod(0o755)
        assert os.listdir(top / "closed") == ["secret"]


def test_a_partial_that_somebody_may_be_writing_is_left_alone(server: Sshd) -> None:
    (server.folder / USUAL).write_bytes(b"somebody's")
    there = store()
    writer = there.open_write(place(server, "file"), Incoming(3, token=TOKEN))
    writer.write(memoryview(b"new"))
    writer.commit((sha256(b"new"),))
    there.close()
    assert (server.folder / "file").read_bytes() == b"new"
    assert (server.folder / USUAL).read_bytes() == b"somebody's"


def test_an_abandoned_partial_is_removed(server: Sshd) -> None:
    (server.folder / USUAL).write_bytes(b"nobody's")
    os.utime(server.folder / USUAL, (0, time.time() - 7200))
    there = store()
    there.open_write(place(server, "file"), Incoming(3, token=TOKEN)).abort()
    there.close()
    assert os.listdir(server.folder) == []


def test_a_killed_writer_is_gone_on_with(server: Sshd) -> None:
    """What was not confirmed may have holes: a window's worth of bytes is written again."""
    data = content(12 << 20)
    first = store()
    writer = first.open_write(place(server, "file"), Incoming(len(data), token=TOKEN, resume=True))
    writer.write(memoryview(data)[: 9 << 20])
    os.kill(writer._wire._channel._process.pid, signal.SIGKILL)  # type: ignore[union-attr]
    writer.abort(keep=True)
    first.close()
    second = store()
    again = second.open_write(place(server, "file"), Incoming(len(data), token=TOKEN, resume=True))
    there = (server.folder / USUAL).stat().st_size
    assert max(0, there - (4 << 20)) <= again.held <= there
    again.write(memoryview(data)[again.held :])
    again.commit((sha256(data),))
    second.close()
    assert (server.folder / "file").read_bytes() == data
    assert leftovers(server.folder) == []


def test_two_who_write_the_same_copy_disturb_nobody(server: Sshd) -> None:
    data = content(6 << 20)
    one, other = store(), store()
    first = one.open_write(place(server, "file"), Incoming(len(data), token=TOKEN, resume=True))
    first.write(memoryview(data)[: 5 << 20])
    second = other.open_write(place(server, "file"), Incoming(len(data), token=TOKEN, resume=True))
    first.write(memoryview(data)[5 << 20 :])
    first.commit((sha256(data),))
    second.write(memoryview(data)[second.held :])
    refused(lambda: second.commit((sha256(data),)), Broken)
    second.abort()
    one.close()
    other.close()
    assert (server.folder / "file").read_bytes() == data


def test_an_upload_that_broke_leaves_nothing_and_is_done_again(server: Sshd, tmp_path: Path) -> None:
    data = content(5_000_000)
    (tmp_path / "file").write_bytes(data)
    with fault_proxy(server.port, reset(2_000_000, upward=True), first=1) as faulty:
        server.trust(faulty.port)
        target = place(server, "sub/file", port=faulty.port)
        run = execute([transfer(0, tmp_path / "file", target)], SFTP, credentials=Credentials({}))
        assert run.statuses == ["done"]
        assert faulty.faulty == 1
    assert (server.folder / "sub/file").read_bytes() == data
    assert leftovers(server.folder) == []


# --- names


def test_removing_a_tree_follows_no_link(server: Sshd) -> None:
    outside = server.folder / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"stays")
    tree = server.folder / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/link").symlink_to(outside)
    (tree / "dangling").symlink_to("nowhere")
    (server.folder / "to-tree").symlink_to(tree)
    there = store()
    there.remove(place(server, "to-tree/"), recursive=True)
    assert tree.exists() and not (server.folder / "to-tree").is_symlink()
    there.remove(place(server, "tree"), recursive=True)
    there.close()
    assert sorted(os.listdir(server.folder)) == ["outside"]
    assert (outside / "precious").read_bytes() == b"stays"


@pytest.mark.parametrize("path", ["/", "/~", "/~/", "/~/..", "/tmp/.", "/tmp/.."])
def test_a_root_or_a_home_is_never_removed(server: Sshd, path: str) -> None:
    there = store()
    location = parse_location(f"sftp://127.0.0.1:{server.port}/p").with_path(path)
    refused(lambda: there.remove(location, recursive=True), LocalRefused)
    there.close()


def test_names_that_are_no_text_are_names(server: Sshd) -> None:
    name = b"not \xff\xfe text"
    there = store()
    location = place(server).below(name.decode("utf-8", "surrogateescape"))
    written(there, location, b"data")
    assert os.listdir(os.fsencode(server.folder)) == [name]
    assert [entry.path for entry in there.list(place(server), recursive=False)] == [os.fsdecode(name)]
    assert there.digest(location, "sha256") == sha256(b"data")
    there.close()


def test_a_large_folder_is_listed_and_removed(server: Sshd) -> None:
    folder = server.folder / "large"
    folder.mkdir()
    for number in range(1000):
        (folder / f"{number:04}-{'x' * 100}").touch()
    there = store()
    assert len(list(there.list(place(server, "large"), recursive=True))) == 1000
    there.remove(place(server, "large"), recursive=True)
    there.close()
    assert not folder.exists()


# --- digests by the far side


def test_digests_of_hostile_names_are_those_of_their_files(server: Sshd, credential: Credential) -> None:
    there = store(credential=credential)
    for name, _, _ in odd_names("sftp"):
        location = planted(server, name, name.encode())
        assert there.digest(location, "sha256") == sha256(name.encode()), name
    there.close()
    assert not (server.folder / "harm").exists() and not Path("harm").exists()


def test_every_algorithm_is_known_by_its_tool(server: Sshd) -> None:
    location = planted(server, "file", b"data")
    there = store()
    for algorithm in SFTP.digest:
        assert there.digest(location, algorithm) == digest_of(algorithm, b"data")
    refused(lambda: there.digest(place(server, "absent"), "sha256"), NotFound)
    assert there.digest(place(server), "sha256") is None, "a folder has none"
    there.close()


def test_an_account_that_may_run_nothing_tells_no_digest(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command that was asked for is not run, but SFTP; the engine then reads back."""
    with sshd(keys, "ForceCommand internal-sftp") as restricted:
        use(restricted, monkeypatch)
        location = planted(restricted, "file", b"data")
        there = store(connect=1000.0, stall=1000.0)
        assert within_guard(lambda: there.digest(location, "sha256")) is None, "found out, not waited for"
        there.close()
        request = transfer(
            0, location, place(restricted, "copy"), expected=sha256(b"data"), verify_remote=True
        )
        outcome = execute([request], SFTP, credentials=Credentials({}))[0]
        assert (outcome.status, outcome.evidence) == ("done", "read-back")


def test_a_copy_is_verified_by_the_far_side(server: Sshd) -> None:
    location = planted(server, "file", b"data")
    request = transfer(0, location, place(server, "copy"), expected=sha256(b"data"), verify_remote=True)
    outcome = execute([request], SFTP, credentials=Credentials({}))[0]
    assert (outcome.status, outcome.evidence) == ("done", "digest")


# --- as a person has it


def test_the_commands_know_the_scheme(server: Sshd, tmp_path: Path) -> None:
    server.known_hosts.write_text("")
    (tmp_path / "file").write_bytes(b"data")
    there = place(server, "sub/file").url
    refusal = wf_transfer(tmp_path, "cp", "file", there)
    assert refusal.code == 78 and "--accept-new-host-keys" in refusal.err
    assert wf_transfer(tmp_path, "cp", "--accept-new-host-keys", "file", there).code == 0
    assert wf_transfer(tmp_path, "ls", place(server, "sub").url).lines() == ["file"]
    assert sha256(b"data").hex in wf_transfer(tmp_path, "stat", "--digest", "sha256", there).out
    assert wf_transfer(tmp_path, "cp", "-r", place(server, "sub/.").url, "inside/").code == 0
    assert (tmp_path / "inside/file").read_bytes() == (tmp_path / "file").read_bytes()
    assert wf_transfer(tmp_path, "rm", "-r", place(server, "sub").url).code == 0
    assert os.listdir(server.folder) == []
    assert wf_transfer(tmp_path, "ls", place(server, "sub").url).code == 1


def test_a_killed_command_is_gone_on_with(server: Sshd, tmp_path: Path) -> None:
    """In one stream: `test_sftp_parts.py` has one that goes in parts."""
    data = content(15 << 20)
    (tmp_path / "file").write_bytes(data)
    with fault_proxy(server.port) as passing:
        server.trust(passing.port)
        target = place(server, "file", port=passing.port).url
        arguments = [*COMMAND, "cp", "--bwlimit", "8M", "file", target]
        killed = subprocess.Popen(arguments, cwd=tmp_path, stderr=subprocess.DEVNULL)
        while not any(path.stat().st_size > (12 << 20) for path in server.folder.glob(".wf-*.part")):
            assert killed.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
        killed.kill()
        killed.wait()
        sent = passing.bytes_up
        assert wf_transfer(tmp_path, "cp", "file", target).code == 0
        assert passing.bytes_up - sent < len(data) - (7 << 20), "it went on"
    assert (server.folder / "file").read_bytes() == data
    assert leftovers(server.folder) == []


# --- other servers


def test_a_chroot_is_served(keys: Keys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Root alone can change its root; everything above it must be root's."""
    if os.geteuid() != 0:
        pytest.skip("only root can serve a chroot")
    top = Path("/var/lib") / f"wf-{os.urandom(6).hex()}"
    (top / "data").mkdir(parents=True)
    top.chmod(0o755)
    try:
        with sshd(keys, "ForceCommand internal-sftp", f"ChrootDirectory {top}") as jail:
            use(jail, monkeypatch)
            there = store()
            location = parse_location(f"{jail.url}/data/sub/file")
            written(there, location, content(300_000))
            assert drained(there.open_read(location)) == content(300_000)
            assert (top / "data/sub/file").read_bytes() == content(300_000)
            assert there.digest(location, "sha256") is None
            assert {entry.path for entry in there.list(parse_location(jail.url), recursive=True)} == {
                "data",
                "data/sub",
                "data/sub/file",
            }
            there.close()
    finally:
        subprocess.run(["rm", "-rf", str(top)], check=True)


def test_rclone_s_server_is_served(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot write out of order, runs no commands, and answers in any order."""
    with rclone_sftp(keys) as other:
        use(other, monkeypatch)
        there = store()
        root = parse_location(other.url)
        for size in (0, 5, 100_000, 3 << 20):
            location = root.below(f"a/b/{size}")
            assert written(there, location, content(size)).size == size
            assert drained(there.open_read(location)) == content(size)
        assert (
            drained(there.open_read(root.below(f"a/b/{3 << 20}"), start=77, length=99))
            == content(3 << 20)[77:176]
        )
        written(there, root.below("a/b/5"), b"replaced")
        assert drained(there.open_read(root.below("a/b/5"))) == b"replaced"
        assert there.digest(root.below("a/b/5"), "sha256") is None
        assert len(list(there.list(root, recursive=True))) == 6
        there.make_directory(root.below("x/y"))
        there.remove(root.below("a"), recursive=True)
        assert [entry.path for entry in there.list(root, recursive=False)] == ["x"]
        there.close()


def test_a_server_that_is_no_ssh_server_is_named_so(web: object, monkeypatch: pytest.MonkeyPatch) -> None:
    port = web.port  # type: ignore[attr-defined]
    refused(
        lambda: store(connect=2.0).stat(parse_location(f"sftp://127.0.0.1:{port}/p")),
        TurnedAway,
        Unreachable,
        ServerFault,
    )


def test_offsets_beyond_32_bits_are_offsets(server: Sshd) -> None:
    """5 GiB, sparse."""
    path = server.folder / "sparse"
    with path.open("wb") as file:
        file.truncate(5 << 30)
        file.seek((9 << 29) - 3)
        file.write(b"middle")
    there = store()
    location = place(server, "sparse")
    assert there.stat(location).size == 5 << 30
    assert drained(there.open_read(location, start=(9 << 29) - 3, length=6)) == b"middle"
    assert drained(there.open_read(location, start=(5 << 30) - 8)) == bytes(8)
    there.close()

"""Logging in to iRODS: natively and by PAM, with TLS that is always verified, by tickets, and to old servers."""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from irods.password_obfuscation import encode
from irods.session import iRODSSession
from irods_tools import at, credential, presenting, store, stores_closed, tls_settings
from servers.irods_server import PASSWORD, USER, ZONE, IrodsZone, irods_zone
from wf.credentials.kinds import Anonymous, Basic, Irods, Secret
from wf.protocols.conformance_tools import drained, refused, written
from wf.protocols.errors import (
    Broken,
    Busy,
    Denied,
    Misconfigured,
    MissingCredential,
    MissingExtra,
    NotFound,
    ServerFault,
    Stopped,
    TurnedAway,
    Unreachable,
)
from wf.protocols.irods import IrodsStore
from wf.protocols.locations import parse_location

__all__ = ["stores_closed"]

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.tls import TlsFiles

OLD = "rods4.2.8"


@pytest.fixture
def zone(tmp_path: Path) -> Iterator[IrodsZone]:
    with irods_zone(tmp_path / "zone") as server:
        yield server


@pytest.fixture
def secure(tmp_path: Path, tls_files: TlsFiles) -> Iterator[IrodsZone]:
    with irods_zone(tmp_path / "zone", policy="CS_NEG_REQUIRE", tls=tls_settings(tls_files.server)) as server:
        server.catalogue.add_user(USER, PASSWORD, pam=True)
        yield server


def looked(alice: IrodsStore, zone: IrodsZone, name: str = "f") -> bytes:
    """What a planted object is read as; proves that the login worked."""
    zone.plant(name, b"content")
    try:
        return drained(alice.open_read(at(zone, name)))
    finally:
        alice.close()


# --- TLS


def test_a_trusted_server_is_spoken_to_over_tls(
    secure: IrodsZone, tls_files: TlsFiles, tmp_path: Path
) -> None:
    pam = {"irods_authentication_scheme": "pam_password", "irods_ssl_ca_certificate_file": str(tls_files.ca)}
    assert looked(store(secure, tmp_path, **pam), secure) == b"content"


def test_pythons_own_client_finds_the_test_zone_as_it_should_be(
    secure: IrodsZone, tls_files: TlsFiles
) -> None:
    with iRODSSession(
        host="127.0.0.1",
        port=secure.port,
        user=USER,
        password=PASSWORD,
        zone=ZONE,
        authentication_scheme="pam_password",
        irods_client_server_negotiation="request_server_negotiation",
        irods_client_server_policy="CS_NEG_REQUIRE",
        irods_ssl_ca_certificate_file=str(tls_files.ca),
        irods_encryption_algorithm="AES-256-CBC",
        irods_encryption_key_size=32,
        irods_encryption_num_hash_rounds=16,
        irods_encryption_salt_size=8,
    ) as session:
        assert session.collections.exists(secure.home)


@pytest.mark.parametrize("named", ["the wrong one", "none"])
def test_a_server_that_is_not_trusted_is_not_spoken_to(
    named: str, secure: IrodsZone, tls_files: TlsFiles, tmp_path: Path
) -> None:
    """Naming no authority means those of the system, and not that anybody will do."""
    environment = {"irods_authentication_scheme": "pam_password"}
    if named == "the wrong one":
        environment["irods_ssl_ca_certificate_file"] = str(tls_files.wrong_ca)
    error = refused(lambda: looked(store(secure, tmp_path, **environment), secure), Misconfigured)
    assert "not trusted" in error.what and "irods_ssl_ca_certificate_file" in error.remedy
    assert secure.calls == []


def test_verification_cannot_be_switched_off(secure: IrodsZone, tmp_path: Path) -> None:
    environment = {"irods_authentication_scheme": "pam", "irods_ssl_verify_server": "none"}
    refused(lambda: looked(store(secure, tmp_path, **environment), secure), Misconfigured)


@pytest.mark.parametrize("verify", ["hostname", "cert"])
def test_the_name_in_the_certificate_counts_unless_the_environment_says_otherwise(
    verify: str, tls_files: TlsFiles, tmp_path: Path
) -> None:
    about = {"irods_ssl_ca_certificate_file": str(tls_files.ca), "irods_ssl_verify_server": verify}
    misnamed = tls_settings(tls_files.misnamed_server)
    with irods_zone(tmp_path / "zone", policy="CS_NEG_REQUIRE", tls=misnamed) as zone:
        alice = store(zone, tmp_path, **about)
        if verify == "cert":
            assert looked(alice, zone) == b"content"
        else:
            refused(lambda: looked(alice, zone), Misconfigured)


def test_an_authority_that_is_not_there_is_told(secure: IrodsZone, tmp_path: Path) -> None:
    alice = store(secure, tmp_path, irods_ssl_ca_certificate_file="/no/such.pem")
    assert "/no/such.pem" in refused(lambda: looked(alice, secure), Misconfigured).what


def test_a_folder_of_authorities_may_be_named(secure: IrodsZone, tls_files: TlsFiles, tmp_path: Path) -> None:
    secure.catalogue.add_user(USER, PASSWORD)
    alice = store(secure, tmp_path, irods_ssl_ca_certificate_path=str(tls_files.ca_directory))
    assert looked(alice, secure) == b"content"


def test_a_server_without_tls_and_a_user_who_insists_do_not_meet(tmp_path: Path) -> None:
    with irods_zone(tmp_path / "zone", policy="CS_NEG_REFUSE") as zone:
        alice = store(zone, tmp_path, irods_client_server_policy="CS_NEG_REQUIRE")
        error = refused(lambda: looked(alice, zone), Misconfigured)
        assert "CS_NEG_REFUSE" in error.what and "irods_client_server_policy" in error.remedy


def test_a_password_of_pam_is_never_sent_in_the_clear(tmp_path: Path) -> None:
    with irods_zone(tmp_path / "zone", policy="CS_NEG_REFUSE") as zone:
        about = {"irods_authentication_scheme": "pam_password", "irods_client_server_negotiation": "none"}
        for environment in (about, {"irods_authentication_scheme": "pam_password"}):
            refused(lambda: looked(store(zone, tmp_path, **environment), zone), Misconfigured)  # noqa: B023
        assert zone.calls == []


@pytest.mark.parametrize("client", ["CS_NEG_REFUSE", "CS_NEG_DONT_CARE", "CS_NEG_REQUIRE", ""])
@pytest.mark.parametrize("server", ["CS_NEG_REFUSE", "CS_NEG_DONT_CARE", "CS_NEG_REQUIRE"])
def test_what_two_policies_come_to(client: str, server: str, tls_files: TlsFiles, tmp_path: Path) -> None:
    pair = {client, server}
    about = {"irods_ssl_ca_certificate_file": str(tls_files.ca), "irods_client_server_policy": client}
    with irods_zone(tmp_path / "zone", policy=server, tls=tls_settings(tls_files.server)) as zone:
        alice = store(zone, tmp_path, **about)
        if pair == {"CS_NEG_REFUSE", "CS_NEG_REQUIRE"}:
            refused(lambda: looked(alice, zone), Misconfigured)
            return
        assert looked(alice, zone) == b"content"
        assert zone.secured == ("CS_NEG_REQUIRE" in pair or pair == {"CS_NEG_DONT_CARE"})


def test_what_was_found_out_about_tls_is_not_asked_for_again(tls_files: TlsFiles, tmp_path: Path) -> None:
    about = {"irods_ssl_ca_certificate_file": str(tls_files.ca)}
    settings = tls_settings(tls_files.server)
    with irods_zone(tmp_path / "zone", policy="CS_NEG_REQUIRE", tls=settings) as zone:
        zone.plant("f", b"content")
        alice = store(zone, tmp_path, **about)
        readers = [alice.open_read(at(zone, "f")) for _ in range(3)]
        for reader in readers:
            reader.close()
        assert (zone.greeted, zone.secured) == (4, 3)


# --- passwords


def test_a_wrong_password_of_pam_is_denied(secure: IrodsZone, tls_files: TlsFiles, tmp_path: Path) -> None:
    secure.catalogue.pam[USER] = "changed"
    pam = {"irods_authentication_scheme": "pam_password", "irods_ssl_ca_certificate_file": str(tls_files.ca)}
    error = refused(lambda: looked(store(secure, tmp_path, **pam), secure), Denied)
    assert "PAM_AUTH_PASSWORD_FAILED (-993000)" in error.what and PASSWORD not in error.what


def test_an_unknown_user_is_denied(zone: IrodsZone, tmp_path: Path) -> None:
    error = refused(lambda: looked(store(zone, tmp_path, irods_user_name="nobody1"), zone), MissingCredential)
    assert "is for nobody1" in error.what
    alice = store(zone, tmp_path, irods_user_name="nobody1")
    location = parse_location(f"irods://{zone.home}/f")
    error = refused(lambda: alice.stat(location), Denied)
    assert "CAT_INVALID_USER (-827000)" in error.what and "nobody1#tempZone" in error.what


def test_what_iinit_left_logs_in(zone: IrodsZone, tmp_path: Path) -> None:
    kept = tmp_path / ".irodsA"
    kept.write_text(encode(PASSWORD))
    file = zone.write_environment(
        tmp_path / "e.json", irodsPassword=None, irods_authentication_scheme="pam_password"
    )
    alice = presenting(Irods("pam", str(file), authentication_file=str(kept), name="a", origin="the test"))
    assert looked(alice, zone) == b"content"


@pytest.mark.parametrize("text", ["", "short", "\x00" * 20])
def test_what_iinit_never_wrote_is_told(text: str, zone: IrodsZone, tmp_path: Path) -> None:
    kept = tmp_path / ".irodsA"
    kept.write_text(text)
    file = zone.write_environment(tmp_path / "e.json", irodsPassword=None)
    alice = presenting(Irods("native", str(file), authentication_file=str(kept), name="a", origin="the test"))
    error = refused(lambda: looked(alice, zone), Misconfigured, Denied)
    assert "iinit" in error.remedy


def test_without_the_extra_people_are_told_what_to_install(
    zone: IrodsZone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "irods"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "irods", None)
    kept = zone.write_environment(tmp_path / "e.json", irodsPassword=None)
    for alice in (
        store(zone, tmp_path),
        presenting(Irods("native", str(kept), authentication_file="/x/.irodsA", name="a", origin="the test")),
    ):
        error = refused(lambda: alice.stat(at(zone, "f")), MissingExtra)  # noqa: B023
        assert "python-irodsclient" in error.what and error.remedy == "pip install 'wf-transfer[irods]'"
    assert zone.greeted == 0


def test_a_server_in_the_url_takes_user_and_password_of_the_credentials_file(zone: IrodsZone) -> None:
    assert looked(presenting(Basic(USER, Secret(PASSWORD), name="a", origin="the test")), zone) == b"content"
    zone.plant("f", b"content")
    location = parse_location(f"irods://127.0.0.1:{zone.port}{zone.home}/f")
    alice = presenting(Basic(USER, Secret(PASSWORD), name="a", origin="the test"))
    assert alice.stat(location).size == 7
    alice.close()


def test_the_environment_of_one_server_is_not_presented_to_another(zone: IrodsZone, tmp_path: Path) -> None:
    alice = store(zone, tmp_path, irods_host="irods.example.org", irods_port=1247)
    error = refused(lambda: alice.stat(at(zone, "f")), MissingCredential)
    assert "irods.example.org:1247" in error.what and f"127.0.0.1:{zone.port}" in error.remedy
    assert zone.greeted == 0


def test_without_a_server_nothing_can_be_done() -> None:
    alice = presenting(Basic(USER, Secret(PASSWORD), name="a", origin="the test"))
    refused(lambda: alice.stat(parse_location("irods:///tempZone/home/alice/f")), MissingCredential)


def test_whoever_presents_nothing_comes_as_anonymous(zone: IrodsZone) -> None:
    zone.catalogue.users.pop("anonymous")
    nobody = presenting(Anonymous())
    location = parse_location(f"irods://127.0.0.1:{zone.port}{zone.home}/f")
    assert "anonymous#tempZone" in refused(lambda: nobody.stat(location), Denied).what


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"irods_host": None}, "irods_host"),
        ({"irods_port": "many"}, "irods_port"),
        ({"irods_authentication_scheme": "krb"}, "'krb'"),
        ({"irods_client_server_policy": "CS_NEG_MAYBE"}, "'CS_NEG_MAYBE'"),
        ({"irods_encryption_key_size": -1}, "irods_encryption_key_size"),
    ],
)
def test_an_environment_file_that_makes_no_sense_is_told(
    change: dict[str, object], text: str, zone: IrodsZone, tmp_path: Path
) -> None:
    alice = store(zone, tmp_path, **change)
    assert text in refused(lambda: alice.stat(parse_location(f"irods://{zone.home}")), Misconfigured).what


@pytest.mark.parametrize("text", ["", "[]", "{", "\xff"])
def test_an_environment_file_that_is_no_json_is_told(text: str, tmp_path: Path) -> None:
    file = tmp_path / "e.json"
    file.write_bytes(text.encode("latin-1"))
    alice = presenting(Irods("native", str(file), password=Secret("x"), name="a", origin="the test"))
    assert str(file) in refused(lambda: alice.stat(parse_location("irods:///z/f")), Misconfigured).what


# --- tickets


def test_a_ticket_opens_what_it_is_for(zone: IrodsZone, tmp_path: Path) -> None:
    zone.plant("f", b"content")
    zone.plant("g", b"other")
    zone.issue_ticket("opens", f"{zone.home}/f")
    guest = store(zone, tmp_path, ticket="opens", irodsPassword=None)
    location = parse_location(f"irods://{zone.home}/f")
    assert drained(guest.open_read(location)) == b"content"
    assert guest.stat(location).size == 7
    error = refused(lambda: guest.open_read(parse_location(f"irods://{zone.home}/g")), Denied)
    assert "CAT_TICKET_INVALID (-890000)" in error.what
    refused(lambda: written(guest, location, b"changed"), Denied)
    guest.close()
    assert zone.content(f"{zone.home}/f") == b"content"


def test_a_ticket_for_writing_takes_files(zone: IrodsZone, tmp_path: Path) -> None:
    zone.plant("drop/f", b"old")
    zone.issue_ticket("drop", f"{zone.home}/drop", write=True)
    guest = presenting(Irods("ticket", "", ticket=Secret("drop"), name="drop", origin="the test"))
    written(guest, parse_location(f"irods://127.0.0.1:{zone.port}{zone.home}/drop/f"), b"new")
    guest.close()
    assert zone.content(f"{zone.home}/drop/f") == b"new"


@pytest.mark.parametrize(
    ("ticket", "text"),
    [("no-such", "CAT_TICKET_INVALID (-890000)"), ("late", "CAT_TICKET_EXPIRED (-891000)")],
)
def test_a_ticket_that_is_good_for_nothing_is_told(
    ticket: str, text: str, zone: IrodsZone, tmp_path: Path
) -> None:
    zone.plant("f", b"content")
    zone.issue_ticket("late", f"{zone.home}/f", expired=True)
    guest = store(zone, tmp_path, ticket=ticket)
    error = refused(lambda: guest.open_read(parse_location(f"irods://{zone.home}/f")), Denied)
    assert text in error.what and ticket not in error.what and "ticket" in error.remedy
    guest.close()


# --- old servers, other zones, what is no server


def test_an_old_server_is_logged_in_to_in_its_own_way(tmp_path: Path) -> None:
    with irods_zone(tmp_path / "zone", version=OLD) as zone:
        assert looked(store(zone, tmp_path), zone) == b"content"
        assert zone.calls[:2] == [703, 704]


def test_an_old_server_is_logged_in_to_by_pam(tmp_path: Path, tls_files: TlsFiles) -> None:
    settings = tls_settings(tls_files.server)
    with irods_zone(tmp_path / "zone", version=OLD, policy="CS_NEG_REQUIRE", tls=settings) as zone:
        zone.catalogue.add_user(USER, PASSWORD, pam=True)
        pam = {"irods_authentication_scheme": "PAM", "irods_ssl_ca_certificate_file": str(tls_files.ca)}
        assert looked(store(zone, tmp_path, **pam), zone) == b"content"
        assert zone.calls[:3] == [1201, 703, 704] and zone.greeted == 2


def test_the_wrong_zone_is_named(zone: IrodsZone, tmp_path: Path) -> None:
    alice = store(zone, tmp_path)
    error = refused(lambda: alice.open_read(parse_location("irods:///otherZone/home/alice/f")), NotFound)
    assert "the zone of this login is tempZone, the path says otherZone" in error.remedy
    refused(lambda: list(alice.list(parse_location("irods:///otherZone/home"), recursive=False)), NotFound)
    error = refused(lambda: written(alice, parse_location("irods:///otherZone/home/f"), b"x"), NotFound)
    assert "otherZone" in error.remedy
    alice.close()


def test_a_code_that_the_library_does_not_know_is_told_as_it_is(zone: IrodsZone, tmp_path: Path) -> None:
    zone.inject(110_000, code=-1827000)
    error = refused(lambda: looked(store(zone, tmp_path), zone), ServerFault)
    assert "error -1827000" in error.what and "alice#tempZone" in error.what


def test_a_login_that_breaks_off_is_unreachable_and_the_next_one_is_new(
    zone: IrodsZone, tmp_path: Path
) -> None:
    zone.inject(110_000, times=1, hang_up=True)
    alice = store(zone, tmp_path)
    refused(lambda: alice.stat(at(zone, "f")), Unreachable)
    assert looked(alice, zone) == b"content"
    assert zone.greeted == 2


def test_a_login_that_is_never_answered_does_not_hold_up_the_end_of_the_run(
    zone: IrodsZone, tmp_path: Path
) -> None:
    stop = threading.Event()
    zone.inject(110_000, times=1, stall=True)
    alice = presenting(credential(zone, tmp_path), stop=stop, stall=1000, connect=1000)
    threading.Timer(0.1, stop.set).start()
    refused(lambda: alice.stat(at(zone, "f")), Stopped)


def test_passwords_are_not_in_what_the_library_logs(
    secure: IrodsZone, tls_files: TlsFiles, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    pam = {"irods_authentication_scheme": "pam_password", "irods_ssl_ca_certificate_file": str(tls_files.ca)}
    looked(store(secure, tmp_path, **pam), secure)
    assert [record for record in caplog.records if record.name.partition(".")[0] == "irods"] == []


def test_a_zone_that_refuses_newcomers_is_busy(zone: IrodsZone, tmp_path: Path) -> None:
    zone.inject(110_000, code=-9000)
    refused(lambda: looked(store(zone, tmp_path), zone), Busy)


def test_whoever_is_one_too_many_is_turned_away(zone: IrodsZone, tmp_path: Path) -> None:
    zone.connections_most = 1
    first, second = store(zone, tmp_path), store(zone, tmp_path)
    zone.plant("f", b"content")
    assert first.stat(at(zone, "f")).size == 7
    assert "-9000" in refused(lambda: looked(second, zone), TurnedAway).what
    first.close()
    zone.await_nobody()
    assert looked(second, zone) == b"content"


@pytest.mark.parametrize("number", [110_000, 702], ids=["login", "query"])
def test_what_a_server_repeats_of_a_secret_is_not_told(number: int, zone: IrodsZone, tmp_path: Path) -> None:
    zone.inject(number, code=-840_000, text=f"the password {PASSWORD} is too old")
    error = refused(lambda: looked(store(zone, tmp_path), zone), Denied)
    assert "the password *** is too old" in error.what and PASSWORD not in repr(error)


def test_what_a_server_repeats_of_a_ticket_is_not_told(zone: IrodsZone, tmp_path: Path) -> None:
    zone.inject(702, code=-891_000, text="ticket open-sesame is too old")
    error = refused(lambda: looked(store(zone, tmp_path, ticket="open-sesame"), zone), Denied)
    assert "open-sesame" not in error.what and "is too old" in error.what


def test_a_port_where_nobody_listens_is_unreachable(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    alice = presenting(Basic(USER, Secret(PASSWORD), name="a", origin="the test"))
    location = parse_location(f"irods://127.0.0.1:{port}/tempZone/home/f")
    assert f"127.0.0.1:{port}" in refused(lambda: alice.stat(location), Unreachable).host


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00\x00\x00\x10not an iRODS one",
        b"\x00\x00\x00\xffshort",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"",
    ],
)
def test_what_is_no_irods_server_is_told(said: bytes) -> None:
    with speaking(said) as port:
        alice = presenting(Basic(USER, Secret(PASSWORD), name="a", origin="the test"))
        location = parse_location(f"irods://127.0.0.1:{port}/tempZone/home/f")
        refused(lambda: alice.stat(location), ServerFault, Unreachable, Broken)


class speaking:
    """A server that says something to whoever comes, and leaves; with None it says nothing and stays."""

    def __init__(self, said: bytes | None) -> None:
        self._said = said
        self._done = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> int:
        self._thread.start()
        return int(self._listener.getsockname()[1])

    def _serve(self) -> None:
        connected, _ = self._listener.accept()
        with connected:
            if self._said is None:
                self._done.wait(30)
                return
            connected.recv(65_536)
            connected.sendall(self._said)

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._listener.close()


@pytest.mark.parametrize("stopped", [False, True])
def test_a_server_that_says_nothing_is_given_up(stopped: bool) -> None:
    with speaking(None) as port:
        stop = threading.Event()
        account = Basic(USER, Secret(PASSWORD), name="a", origin="the test")
        alice = presenting(account, stop=stop, stall=1000 if stopped else 0.2)
        if stopped:
            stop.set()
        location = parse_location(f"irods://127.0.0.1:{port}/tempZone/home/f")
        if stopped:  # a connection that is not begun leaves nobody to wait for
            socket.create_connection(("127.0.0.1", port)).close()
        refused(lambda: alice.stat(location), Stopped if stopped else Unreachable)


def test_a_secret_is_not_shown_by_what_holds_it(zone: IrodsZone, tmp_path: Path) -> None:
    from wf.protocols.irods_environment import login_for
    from wf.protocols.irods_names import Authority

    login = login_for(credential(zone, tmp_path), Authority(), ZONE)
    assert login.password == PASSWORD and PASSWORD not in f"{login!r}{login}"
    assert json.loads((tmp_path / "irods_environment.json").read_text())["irodsPassword"] == PASSWORD

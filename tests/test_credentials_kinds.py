"""The kinds of credential: they do not change, do not show what is secret, and are pickled on purpose only."""

from __future__ import annotations

import copy
import pickle
import traceback

import pytest
from wf.credentials.kinds import (
    AccessKey,
    Anonymous,
    Basic,
    Bearer,
    Certificate,
    Credential,
    Globus,
    Google,
    Headers,
    Irods,
    Secret,
    SshAgent,
    SshKey,
)
from wf.credentials.private import Seen

CANARY = "canary-hunter2"
SECRET = Secret(CANARY)
ABOUT = {"name": "n", "origin": "o"}

KINDS: list[Credential] = [
    Anonymous("n", "o"),
    Basic("u", SECRET, **ABOUT),
    Bearer(SECRET, expires=5e9, **ABOUT),
    Headers((("X-A", SECRET), ("X-B", Secret("b"))), **ABOUT),
    Certificate("/c", "/k", passphrase=SECRET, seen=(Seen("/k", 1, 2, 3),), **ABOUT),
    AccessKey("AK", SECRET, session_token=SECRET, endpoint="https://e", **ABOUT),
    SshKey("/k", passphrase=SECRET, certificate="/k-cert.pub", user="u", **ABOUT),
    SshAgent("/socket", **ABOUT),
    Google("service_account", SECRET, **ABOUT),
    Globus("refresh", SECRET, client_id="c", **ABOUT),
    Irods("ticket", "/env", ticket=SECRET, password=SECRET, **ABOUT),
]
each = pytest.mark.parametrize("credential", KINDS, ids=lambda one: one.kind)


def test_every_kind_is_tried_here() -> None:
    assert {type(one) for one in KINDS} == {
        kind for kind in Credential.__subclasses__() if "wf." in kind.__module__
    }
    assert len({one.kind for one in KINDS}) == len(KINDS)


@each
def test_no_kind_shows_its_secret(credential: Credential) -> None:
    assert CANARY not in f"{credential!r} {credential} {[credential]} {vars(type(credential))}"
    assert CANARY not in repr(credential.pack()) + str(credential.pack())


@each
def test_no_kind_changes(credential: Credential) -> None:
    for name in ("name", "token", "anything"):
        with pytest.raises(AttributeError):
            setattr(credential, name, "x")
    with pytest.raises(AttributeError):
        del credential.name
    assert copy.copy(credential) is copy.deepcopy(credential) is credential


@each
def test_a_kind_is_pickled_on_purpose_only(credential: Credential) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(credential, protocol)
        back = pickle.loads(pickle.dumps(credential.pack(), protocol)).unpack()
        assert back == credential and type(back) is type(credential)
        assert (back.name, back.origin, back.expires, back.seen) == (
            "n",
            "o",
            credential.expires,
            credential.seen,
        )


@each
def test_kinds_are_equal_by_what_they_present(credential: Credential) -> None:
    assert [one == credential for one in KINDS].count(True) == 1
    assert len({*KINDS, credential}) == len(KINDS)


def test_name_and_origin_do_not_make_a_difference_and_the_secret_does() -> None:
    one = Bearer(SECRET, name="a", origin="b")
    assert one == Bearer(Secret(CANARY), name="c", origin="d", expires=1.0)
    assert one != Bearer(Secret("other"), name="a", origin="b")


def test_a_proxy_that_was_made_anew_is_another_credential() -> None:
    old, new = (Certificate("/p", "/p", seen=(Seen("/p", time, 1, 1),), **ABOUT) for time in (1, 2))
    assert old != new


def test_a_secret_never_becomes_a_text_by_accident() -> None:
    assert f"{SECRET} {SECRET!r} {SECRET!s:>20}" == "Secret(***) Secret(***)          Secret(***)"
    for operation in (lambda: SECRET + "x", lambda: "x" + SECRET, lambda: str.__add__("x", SECRET)):  # type: ignore
        with pytest.raises(TypeError):
            operation()
    with pytest.raises(AttributeError):
        SECRET._text = "x"
    with pytest.raises(TypeError):
        pickle.dumps(SECRET)
    assert Secret(CANARY) == SECRET and SECRET != CANARY and not Secret("")


def test_a_traceback_with_values_shows_no_secret() -> None:
    def fails(credential: Credential) -> None:
        raise RuntimeError(f"with {credential}")

    for credential in KINDS:
        try:
            fails(credential)
        except RuntimeError as error:
            shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
            assert "credential" in shown and CANARY not in shown


def test_a_credential_is_renewed_shortly_before_its_end() -> None:
    import time

    now = time.time()
    hour, seconds = (Bearer(SECRET, expires=now + lasts, **ABOUT) for lasts in (3600, 10))
    assert not hour.is_stale(now) and not hour.is_stale(now + 3500) and hour.is_stale(now + 3541)
    assert not seconds.is_stale(now + 7) and seconds.is_stale(now + 9)
    assert not Bearer(SECRET, **ABOUT).is_stale(now + 1e9)

"""The credentials file in TOML, and the commands in it that make tokens."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from credentials_made import private, token
from wf.credentials.chain import Chain, standard_chain
from wf.credentials.errors import Misconfigured, MissingCredential
from wf.credentials.kinds import AccessKey, Anonymous, Basic, Bearer, Certificate, Headers
from wf.credentials.private import Policy

Conf = Callable[[str], Chain]


@pytest.fixture
def conf(tmp_path: Path) -> Conf:
    def write(text: str) -> Chain:
        path = private(tmp_path / "credentials.toml", text)
        return standard_chain({"PATH": os.environ["PATH"]}, file=str(path))

    return write


def command(*lines: str, timeout: float | None = None) -> str:
    """A `token-command` that runs Python lines."""
    words = ", ".join(f"'''{word}'''" for word in (sys.executable, "-c", "\n".join(lines)))
    limit = f"\ntoken-command-timeout = {timeout}" if timeout is not None else ""
    return f'[host."h"]\ntoken-command = [{words}]{limit}\n'


def test_sites_users_hosts_and_headers_are_said_clearly(conf: Conf) -> None:
    chain = conf("""
        [site.osn]
        endpoint = "https://osn.example.org"
        [site.osn.user.alice]
        access-key = "AK"
        secret-key = "S%K"
        [host."https://data.example.org"]
        headers = { X-Api-Key = "k" }
        [host."dav.example.org:8443"]
        username = "alice"
        password = "p"
        [host."dav.example.org:8443".user.bob]
        password = "b"
    """)
    key = chain.find("s3", "alice@osn")
    assert isinstance(key, AccessKey)
    assert (key.access_key, key.secret_key.reveal(), key.endpoint) == ("AK", "S%K", "https://osn.example.org")
    headers = chain.find("https", "data.example.org")
    assert isinstance(headers, Headers) and headers.fields[0][0] == "X-Api-Key"
    assert isinstance(chain.find("http", "data.example.org"), Anonymous)
    alice, bob = chain.find("davs", "dav.example.org:8443"), chain.find("davs", "bob@dav.example.org:8443")
    assert isinstance(alice, Basic) and isinstance(bob, Basic)
    assert (alice.password.reveal(), bob.password.reveal()) == ("p", "b")


def test_a_host_is_not_a_site(conf: Conf) -> None:
    chain = conf('[host.osn]\ntoken = "h"\n[site.osn]\ntoken = "s"\n')
    for host, site, expected in (("osn", "", "h"), ("elsewhere", "osn", "s"), ("osn", "osn", "h")):
        found = chain.find("https", host, site)
        assert isinstance(found, Bearer) and found.token.reveal() == expected


def test_reading_and_writing_may_differ(conf: Conf) -> None:
    chain = conf("""
        [host.h]
        username = "u"
        password = "p"
        [host.h.write]
        token = "w"
        [site.osn]
        endpoint = "http://e"
        access-key = "R"
        secret-key = "r"
        [site.osn.write]
        access-key = "W"
        secret-key = "w"
    """)
    assert isinstance(chain.find("https", "h"), Basic)
    assert isinstance(chain.find("https", "h", purpose="write"), Bearer)
    keys = [chain.find("s3", "", "osn", purpose=purpose) for purpose in ("read", "write")]
    assert [key.access_key for key in keys if isinstance(key, AccessKey)] == ["R", "W"]
    assert {key.endpoint for key in keys if isinstance(key, AccessKey)} == {"http://e"}


def test_a_certificate_for_a_host(conf: Conf, tmp_path: Path) -> None:
    key, public = private(tmp_path / "k.pem", "k"), tmp_path / "c.pem"
    public.write_text("c")
    found = conf(f'[host.h]\ncertificate = "{public}"\nkey = "{key}"\npassphrase = "x"\n').find("https", "h")
    assert isinstance(found, Certificate) and (found.certificate, found.key) == (str(public), str(key))
    assert found.passphrase is not None and str(key) in found.files


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[host.h]\npasword = "CANARY"\n', "host.h.pasword is a key that nobody knows"),
        ('[hosts.h]\ntoken = "CANARY"\n', "hosts is neither"),
        ('token = "CANARY"\n', "token is neither"),
        ('[host.h]\ntoken = "CANARY\n', "line 2: is not TOML"),
        ('[host.h]\ntoken-command = "CANARY | sh"\n', "is not a list of texts: it is run without a shell"),
        ("[host.h]\ntoken-command = []\n", "is not a list of texts"),
        ('[host.h]\ntoken = ["CANARY"]\n', "host.h.token is not a text"),
        ("[host.h]\nheaders = { A = 1 }\n", "host.h.headers.A is not a text"),
        ('[host.h]\nuser = "CANARY"\n', "host.h.user is not a table"),
        ('host.h = "CANARY"\n', "host.h is not a table"),
        ('[host.h]\nx = { y = "CANARY" }\n', "host.h.x is a key that nobody knows"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_without_its_value(
    conf: Conf, text: str, words: str
) -> None:
    with pytest.raises(Misconfigured) as caught:
        conf(text).find("https", "h")
    assert words in caught.value.what and caught.value.remedy
    assert "CANARY" not in caught.value.what + caught.value.remedy


def test_the_file_at_its_own_place_is_found(tmp_path: Path) -> None:
    folder = tmp_path / ".config/wf-transfer"
    folder.mkdir(parents=True)
    private(folder / "credentials.toml", '[host.h]\ntoken = "t"\n')
    found = standard_chain({"HOME": str(tmp_path)}).find("https", "h")
    assert isinstance(found, Bearer) and "[h] of " in found.origin


# Commands


def test_a_command_makes_the_token_once(conf: Conf, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    chain = conf(command(f"open({str(runs)!r}, 'a').write('x')", "print('made-token')"))
    for _ in range(3):
        found = chain.find("https", "h")
        assert isinstance(found, Bearer) and found.token.reveal() == "made-token"
        assert "token-command in [h] of" in found.origin
    assert runs.read_text() == "x"


def test_a_refused_token_is_made_again_once(conf: Conf, tmp_path: Path) -> None:
    counter = tmp_path / "n"
    chain = conf(command(f"f = open({str(counter)!r}, 'a+')", "f.write('x')", "print(f'token-{f.tell()}')"))
    first = chain.find("https", "h")
    second = chain.renew(first)
    assert isinstance(second, Bearer) and second.token.reveal() == "token-2"
    assert chain.renew(first) is second
    assert chain.renew(second) is None  # a token just made is not made again
    assert chain.find("https", "h") == second


def test_a_token_is_made_again_before_its_end(conf: Conf) -> None:
    chain = conf(
        command(
            "import json, time", "print(json.dumps({'access_token': str(time.time_ns()), 'expires_in': 1}))"
        )
    )
    first = chain.find("https", "h")
    assert first.expires is not None and first.expires <= time.time() + 1
    deadline = time.monotonic() + 30
    while chain.find("https", "h") == first:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_end_of_a_jwt_counts(conf: Conf) -> None:
    made = token(lasts=500)
    found = conf(command(f"print({made!r})")).find("https", "h")
    assert found.expires is not None and abs(found.expires - time.time() - 500) < 60


def test_a_command_gets_no_shell_no_input_and_no_secret(tmp_path: Path) -> None:
    text = '[host.h]\ntoken-command = ["printf", "%s", "$HOME;`id`*"]\n'
    path = private(tmp_path / "a.toml", text)
    environment = {"PATH": os.environ["PATH"]}
    found = standard_chain(environment, file=str(path)).find("https", "h")
    assert isinstance(found, Bearer) and found.token.reveal() == "$HOME;`id`*"
    lines = ("import os, sys", "assert not sys.stdin.read()", "print('+'.join(sorted(os.environ)))")
    private(path, command(*lines))
    secrets = {"BEARER_TOKEN": "x", "BEARER_TOKEN_s": "x", "AWS_SECRET_ACCESS_KEY": "x", "KEPT": "x"}
    secrets["BEARER_TOKEN_FILE_s"] = "/a/path"
    found = standard_chain(environment | secrets, file=str(path)).find("https", "h")
    assert isinstance(found, Bearer)
    names = set(found.token.reveal().split("+"))
    assert names >= {"KEPT", "BEARER_TOKEN_FILE_s"} and not names & {
        "BEARER_TOKEN",
        "BEARER_TOKEN_s",
        "AWS_SECRET_ACCESS_KEY",
    }


@pytest.mark.parametrize(
    ("lines", "words", "kind"),
    [
        (("print('CANARY'); import sys; sys.exit('CANARY')",), "exit code 1", MissingCredential),
        (("print('CANARY CANARY')",), "does not hold a token", Misconfigured),
        (("pass",), "does not hold a token", Misconfigured),
    ],
)
def test_a_command_that_fails_is_told_without_its_output(
    conf: Conf, capfd: pytest.CaptureFixture[str], lines: tuple[str], words: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind) as caught:
        conf(command(*lines)).find("https", "h")
    assert words in str(caught.value) and "CANARY" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_command_that_hangs_is_ended_with_its_children(conf: Conf, tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    lines = (
        "import subprocess, sys",
        f"out = open({str(alive)!r}, 'w')",
        "subprocess.run(['sleep', '600'], stdout=out)",
    )
    reader = os.open(alive, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(MissingCredential, match="gave no token in 2 s"):
            conf(command(*lines, timeout=2)).find("https", "h")
        os.set_blocking(reader, True)
        assert os.read(reader, 1) == b""  # the child is gone too: nobody holds the other end
    finally:
        os.close(reader)


def test_a_command_that_is_not_there_is_told(conf: Conf) -> None:
    with pytest.raises(Misconfigured, match=r"/no/such of .* cannot be started: No such file"):
        conf('[host.h]\ntoken-command = ["/no/such"]\n').find("https", "h")


def test_a_command_that_others_could_have_written_is_never_run(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    path = private(tmp_path / "c.toml", command(f"open({str(runs)!r}, 'w')", "print('t')"))
    path.chmod(0o622)
    warnings: list[str] = []
    chain = standard_chain({}, file=str(path), policy=Policy(insecure=True, warn=warnings.append))
    with pytest.raises(Misconfigured, match="because others can change the file"):
        chain.find("https", "h")
    assert warnings and not runs.exists()
    path.chmod(0o644)
    assert isinstance(chain.find("https", "h"), Bearer)

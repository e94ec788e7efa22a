"""`wf-transfer doctor`: what it looks at, what it calls broken, and that it tells no secret."""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from command_runs import Run, wf_transfer
from credentials_made import certificate, private, proxy, token
from servers.unprivileged import Unprivileged
from wf.transfer.doctor import examine
from wf.transfer.doctor_facts import Fact
from wf.transfer.protocols_page import EXTRAS

MEMBERS = {"section", "name", "value", "state", "remedy"}
DOCUMENT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["version", "tool", "exit", "facts"],
    "properties": {
        "version": {"const": 1},
        "tool": {"type": "object", "required": ["name", "version"]},
        "exit": {"enum": [0, 78]},
        "facts": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": sorted(MEMBERS),
                "properties": {
                    "section": {
                        "enum": [
                            *("program", "libraries", "tools", "machine"),
                            *("network", "credentials", "protocols"),
                        ]
                    },
                    "name": {"type": "string", "minLength": 1},
                    "value": {"type": "string", "minLength": 1},
                    "state": {"enum": ["ok", "note", "warning", "broken"]},
                    "remedy": {"type": "string"},
                },
            },
        },
    },
}


def facts(done: Run) -> dict[str, dict[str, Any]]:
    document = json.loads(done.out)
    jsonschema.validate(document, DOCUMENT)
    assert document["exit"] == done.code
    return {fact["name"]: fact for fact in document["facts"]}


def doctor(folder: Path, **environment: str) -> tuple[int, dict[str, dict[str, Any]]]:
    done = wf_transfer(folder, "doctor", "--json", environment={"SSL_CERT_DIR": "", **environment})
    return done.code, facts(done)


def test_on_a_sound_machine_nothing_is_broken(tmp_path: Path) -> None:
    code, found = doctor(tmp_path)
    assert code == 0
    assert {"wf-transfer", "Python", "TLS", "tenacity", "rich", "ssh", "clock"} <= found.keys()
    assert {"temporary files", "open files", "authorities", "proxies", "http", "s3", "file"} <= found.keys()
    assert not [fact for fact in found.values() if fact["state"] == "broken"]


def test_it_takes_less_than_a_second_of_work(tmp_path: Path) -> None:
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert wf_transfer(tmp_path, "doctor").code == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0


def test_people_get_sections_and_a_last_line(tmp_path: Path) -> None:
    lines = wf_transfer(tmp_path, "doctor").lines()
    assert lines[0] == "program"
    assert lines[-1] == "nothing is broken (exit code 0)"


def test_authorities_that_are_not_there_are_broken(tmp_path: Path) -> None:
    code, found = doctor(tmp_path, SSL_CERT_FILE=str(tmp_path / "absent.pem"))
    assert (code, found["authorities"]["state"]) == (78, "broken")
    assert "SSL_CERT_FILE" in found["authorities"]["remedy"]


def test_a_proxy_that_is_none_is_broken(tmp_path: Path) -> None:
    code, found = doctor(tmp_path, http_proxy="socks5://h:1")
    assert (code, found["proxies"]["state"]) == (78, "broken")


def test_a_proxy_is_shown_without_its_password(tmp_path: Path) -> None:
    code, found = doctor(
        tmp_path, https_proxy="http://bob:opensesame@proxy.example:3128", no_proxy="a.example"
    )
    assert (code, found["proxy for https"]["value"]) == (0, "proxy.example:3128 with user and password")
    assert found["without proxy"]["value"] == "a.example"
    assert "opensesame" not in json.dumps(found)


def test_a_temporary_folder_that_is_not_there_is_broken(tmp_path: Path) -> None:
    code, found = doctor(tmp_path, TMPDIR=str(tmp_path / "absent"))
    assert (code, found["temporary files"]["state"]) == (78, "broken")


def test_a_temporary_folder_that_cannot_be_written_is_broken(unprivileged: Unprivileged) -> None:
    done = unprivileged.run([*unprivileged.command("wf-transfer"), "doctor"], environment={"TMPDIR": "/proc"})
    assert done.returncode == 78
    assert b"/proc cannot be written" in done.stdout


def test_a_tool_that_is_not_there_is_a_note(tmp_path: Path) -> None:
    code, found = doctor(tmp_path, PATH=str(tmp_path))
    assert (code, found["ssh"]["state"]) == (0, "note")
    assert "scp" in found["ssh"]["remedy"]


# --- libraries


def libraries() -> list[Fact]:
    return [fact for fact in examine({}) if fact.section == "libraries"]


def test_a_library_is_there_if_its_module_is() -> None:
    names = {name for extra in EXTRAS if extra.useful for name in extra.modules}
    found = {fact.name: fact for fact in libraries()}
    assert names <= found.keys()
    for name in names:
        package = name.partition(".")[0]
        there = find_spec(package) is not None and find_spec(name) is not None
        assert (found[name].value != "not installed") == there
        assert bool(found[name].remedy) == (found[name].value == "not installed")


@pytest.mark.parametrize(
    ("module", "distribution"),
    [("irods", "python-irodsclient"), ("yaml", "PyYAML"), ("google_crc32c", "google-crc32c")],
)
def test_the_version_is_that_of_the_distribution_whatever_its_name(module: str, distribution: str) -> None:
    pytest.importorskip(module)
    assert [fact.value for fact in libraries() if fact.name == module] == [version(distribution)]


def test_a_library_of_several_extras_is_named_once_with_all_that_it_would_bring(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "google_crc32c", None)  # as Python sees a module that is not there
    found = [fact for fact in libraries() if fact.name == "google_crc32c"]
    assert [(fact.value, str(fact.state)) for fact in found] == [("not installed", "note")]
    assert all(f"wf-transfer[{extra}]" in found[0].remedy for extra in ("gcs", "xrootd", "crc"))


# --- credentials


def test_a_credentials_file_is_read_and_counted(tmp_path: Path) -> None:
    file = private(tmp_path / "c.conf", "[a]\nusername = u\npassword = opensesame\n[b]\ntoken = t\n")
    code, found = doctor(tmp_path, PEGASUS_CREDENTIALS=str(file))
    assert (code, found["$PEGASUS_CREDENTIALS"]["value"]) == (0, f"{file}, mode 0600, 2 sections")
    assert "opensesame" not in json.dumps(found)


def test_one_with_a_mistake_is_broken_and_its_line_is_named(tmp_path: Path) -> None:
    file = private(tmp_path / "c.conf", "[a]\nopensesame\n")
    code, found = doctor(tmp_path, PEGASUS_CREDENTIALS=str(file))
    assert (code, found["$PEGASUS_CREDENTIALS"]["state"]) == (78, "broken")
    assert "line 2" in found["$PEGASUS_CREDENTIALS"]["value"]
    assert "opensesame" not in json.dumps(found)


def test_one_that_others_can_read_is_broken(tmp_path: Path) -> None:
    file = private(tmp_path / "c.conf", "[a]\n")
    file.chmod(0o644)
    code, found = doctor(tmp_path, PEGASUS_CREDENTIALS_site=str(file))
    assert (code, found["$PEGASUS_CREDENTIALS_site"]["state"]) == (78, "broken")
    assert f"chmod 600 {file}" in found["$PEGASUS_CREDENTIALS_site"]["remedy"]


@pytest.mark.parametrize("name", ["X509_USER_PROXY_a", "BEARER_TOKEN_FILE", "SSH_PRIVATE_KEY_a"])
def test_a_file_that_is_named_and_not_there_is_broken(tmp_path: Path, name: str) -> None:
    code, found = doctor(tmp_path, **{name: str(tmp_path / "absent")})
    assert (code, found[f"${name}"]["state"]) == (78, "broken")


def test_a_file_at_a_usual_place_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine h login u password opensesame\n")
    (tmp_path / ".netrc").chmod(0o644)
    code, found = doctor(tmp_path)
    assert (code, found[str(tmp_path / ".netrc")]["state"]) == (0, "warning")
    assert "opensesame" not in json.dumps(found)


def test_tokens_and_proxies_say_until_when(tmp_path: Path) -> None:
    certificate(tmp_path, "alice", "/CN=Alice")
    environment = {
        "BEARER_TOKEN_FILE_a": str(private(tmp_path / "good", token())),
        "BEARER_TOKEN_FILE_b": str(private(tmp_path / "old", token(lasts=-3600))),
        "X509_USER_PROXY": str(proxy(tmp_path, "alice", "proxy")),
    }
    code, found = doctor(tmp_path, **environment)
    assert code == 0
    assert "expires" in found["$BEARER_TOKEN_FILE_a"]["value"]
    assert found["$BEARER_TOKEN_FILE_b"]["state"] == "warning"
    assert time.strftime("%Y-") in found["$X509_USER_PROXY"]["value"]


def test_variables_with_secrets_are_named_without_them(tmp_path: Path) -> None:
    secrets = {"BEARER_TOKEN": token(), "AWS_SECRET_ACCESS_KEY_osn": "opensesame"}
    done = wf_transfer(tmp_path, "doctor", environment=secrets)
    assert "$BEARER_TOKEN " in done.out
    assert "$AWS_SECRET_ACCESS_KEY_osn" in done.out
    assert "opensesame" not in done.out
    assert secrets["BEARER_TOKEN"] not in done.out


def test_the_page_names_every_member() -> None:
    page = Path(__file__).parent.parent / "docs" / "preflight.md"
    if not page.is_file():
        pytest.skip("the documents are not here")
    assert all(f"`{name}`" in page.read_text() for name in MEMBERS)

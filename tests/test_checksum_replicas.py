"""Replica catalogues as manifests: inputs checked, missing sums filled in, and not one other byte touched."""

from __future__ import annotations

import difflib
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from checksum_tools import run
from hypothesis import example, given
from hypothesis import strategies as st
from wf.checksum.digest import Digest
from wf.checksum.replicas import Catalogue

if TYPE_CHECKING:
    from pathlib import Path

    from servers.nginx import Nginx

HELLO = hashlib.sha256(b"hello\n").hexdigest()
WORLD = hashlib.sha256(b"world\n").hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "f.a").write_text("hello\n")
    (tmp_path / "f b").write_text("world\n")
    return tmp_path


def write(folder: Path, text: str) -> None:
    (folder / "replicas.yml").write_bytes(text.replace("$", str(folder)).encode())


def replicas(folder: Path) -> list[dict[str, Any]]:
    found = yaml.safe_load((folder / "replicas.yml").read_bytes())["replicas"]
    assert isinstance(found, list)
    return found


BY_THE_API = """\
x-pegasus:
  apiLang: python
  createdBy: somebody
  createdOn: 11-22-26T11:56:32Z
pegasus: 5.0.4
replicas:
- lfn: f.a
  pfns:
  - site: local
    pfn: $/f.a
  checksum:
    sha256: HELLO
  metadata:
    size: 6
- lfn: f.b
  pfns:
  - site: local
    pfn: file://$/f b
- lfn: f.*
  pfns:
  - site: local
    pfn: file:///x/[0]
  regex: true
""".replace("HELLO", HELLO)


def test_local_replicas_are_checked_by_path_and_by_url(folder: Path) -> None:
    write(folder, BY_THE_API.replace(" b\n", f" b\n  checksum: {{sha256: {WORLD}}}\n"))
    done = run(folder, "-c", "replicas.yml")
    assert (done.code, done.lines, done.err) == (0, [f"{folder}/f.a: OK", f"{folder}/f b: OK"], "")
    (folder / "f b").write_text("other\n")
    done = run(folder, "-c", "--quiet", "replicas.yml")
    assert (done.code, done.lines) == (1, [f"{folder}/f b: FAILED"])


def test_a_missing_sum_or_a_wrong_size_is_a_failure(folder: Path) -> None:
    write(folder, BY_THE_API.replace("size: 6", "size: 7"))
    done = run(folder, "-c", "replicas.yml")
    assert (done.code, done.lines) == (1, [f"{folder}/f.a: FAILED", f"{folder}/f b: FAILED no digest"])
    assert "6 bytes, 1 fewer than the expected 7" in done.err


def test_sums_are_filled_in_and_nothing_else_is_touched(folder: Path) -> None:
    write(folder, BY_THE_API)
    before = (folder / "replicas.yml").read_text()
    (folder / "replicas.yml").chmod(0o640)
    done = run(folder, "update", "replicas.yml")
    assert (done.code, done.lines, done.err) == (0, ["added     f.b"], "")
    after = (folder / "replicas.yml").read_text()
    changes = [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] != " "]
    assert changes == ["+   checksum:", f'+     sha256: "{WORLD}"']
    assert replicas(folder)[1]["checksum"] == {"sha256": WORLD}
    assert (folder / "replicas.yml").stat().st_mode & 0o777 == 0o640
    assert run(folder, "-c", "replicas.yml").code == 0
    assert run(folder, "update", "replicas.yml") == (0, b"", "")
    assert (folder / "replicas.yml").read_text() == after


FORMS = {
    "comments everywhere": """\
# é: a catalogue
pegasus: '5.0'
replicas:
  # the first
  - lfn: x   # its name
    pfns:
      - {site: local, pfn: 'NAME'}   # here
      # and nowhere else

    metadata: {a: b}
# the end
""",
    "keys in another order": "pegasus: '5.0'\nreplicas:\n- pfns:\n  - pfn: NAME\n    site: a\n  metadata:\n    a: b\n  lfn: x\n",
    "flow": "pegasus: '5.0'\nreplicas: [{lfn: x, pfns: [{site: a, pfn: NAME}], metadata: {a: b}}]  # c\n",
    "flow over lines": "replicas:\n  - {lfn: x,\n     pfns: [\n       {site: a, pfn: NAME}  # here\n     ]}\n",
    "JSON": '{"pegasus": "5.0", "replicas": [{"lfn": "x", "pfns": [{"site": "a", "pfn": "NAME"}]}]}',
    "no newline at the end": "replicas:\n- lfn: x\n  pfns:\n  - site: a\n    pfn: NAME",
    "windows": "replicas:\r\n- lfn: x\r\n  pfns:\r\n  - site: a\r\n    pfn: NAME\r\n  metadata: {a: b}\r\n",
    "byte order mark": "\ufeffreplicas:\n- lfn: x\n  pfns:\n  - site: a\n    pfn: NAME\n",
    "an empty checksum": "replicas:\n- lfn: x\n  checksum:\n  pfns:\n  - site: a\n    pfn: NAME\n",
    "a checksum of nothing": "replicas:\n- lfn: x\n  checksum: {} # c\n  pfns:\n  - site: a\n    pfn: NAME\n",
    "a null checksum": "replicas:\n- lfn: x\n  pfns:\n  - site: a\n    pfn: NAME\n  checksum: ~\n",
    "a document mark": "---\nreplicas:\n- lfn: x\n  pfns:\n  - site: a\n    pfn: NAME\n...\n",
    "a folded path": "replicas:\n- lfn: x\n  pfns:\n  - site: a\n    pfn: >-\n      NAME\n  x-more: 1\n",
}


@pytest.mark.parametrize("loader", ["fast", "slow"])
@pytest.mark.parametrize("form", FORMS)
def test_every_way_to_write_it_is_completed(form: str, loader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if loader == "slow":  # PyYAML is often installed without libyaml
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    text = FORMS[form].replace("NAME", "/data/x é")
    after = Catalogue(text.encode()).completed({0: Digest("sha256", bytes(range(32)))}).decode()
    before, completed = (yaml.safe_load(one.encode()) for one in (text, after))
    assert completed["replicas"][0].pop("checksum") == {"sha256": bytes(range(32)).hex()}
    before["replicas"][0].pop("checksum", None)
    assert completed == before
    if form != "a null checksum":  # the only one in which something is replaced
        rest = iter(after)
        assert all(character in rest for character in text)


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]), min_size=1, max_size=12)


@given(
    st.lists(st.tuples(TEXTS, TEXTS, st.booleans(), st.booleans()), min_size=1, max_size=4),
    st.booleans(),
    st.booleans(),
)
def test_any_catalogue_that_yaml_writes_is_completed(
    entries: list[tuple[str, str, bool, bool]], flow: bool, unicode: bool
) -> None:
    document: dict[str, Any] = {"pegasus": "5.0", "replicas": []}
    for lfn, pfn, has_sum, has_more in entries:
        entry: dict[str, Any] = {"lfn": lfn, "pfns": [{"site": "a", "pfn": pfn}]}
        if has_sum:
            entry["checksum"] = {"sha256": "ab" * 32}
        if has_more:
            entry["metadata"] = {"size": 12}
        document["replicas"].append(entry)
    text = yaml.safe_dump(document, sort_keys=False, default_flow_style=flow, allow_unicode=unicode)
    catalogue = Catalogue(text.encode())
    missing = [number for number, one in enumerate(catalogue.replicas) if one.digest is None]
    completed = yaml.safe_load(
        catalogue.completed({number: Digest("sha256", bytes(32)) for number in missing})
    )
    for number in missing:
        document["replicas"][number]["checksum"] = {"sha256": "00" * 32}
    assert completed == document


def test_what_cannot_be_completed_safely_is_refused_and_stays(folder: Path) -> None:
    write(folder, "replicas:\n- lfn: x\n  pfns: &p\n  - {site: a, pfn: $/f.a}\n- lfn: y\n  pfns: *p\n")
    before = (folder / "replicas.yml").read_text()
    done = run(folder, "update", "replicas.yml")
    assert (done.code, done.lines) == (1, ["added     x"])
    assert "y: line 5: an entry with aliases" in done.err
    after = (folder / "replicas.yml").read_text()
    assert after.replace(f'  checksum:\n    sha256: "{HELLO}"\n', "") == before


def test_merge_keys_are_told_not_guessed(folder: Path) -> None:
    write(folder, "replicas:\n- &r\n  lfn: x\n  pfns: [{site: a, pfn: $/f.a}]\n- <<: *r\n  lfn: y\n")
    for arguments in (("-c",), ("update",)):
        done = run(folder, *arguments, "replicas.yml")
        assert done.code == 1
        assert "merge key" in done.err


def test_a_catalogue_comes_from_standard_input_too(folder: Path) -> None:
    text = f"replicas:\n- lfn: x\n  pfns: [{{site: a, pfn: {folder}/f.a}}]\n  checksum: {{sha256: {HELLO}}}\n"
    for arguments in (("-c",), ("-c", "-")):
        done = run(folder, *arguments, text=text.encode())
        assert (done.code, done.lines) == (0, [f"{folder}/f.a: OK"])


@pytest.mark.parametrize("indent", [None, 1, "\t"])
def test_a_catalogue_in_json_is_checked_and_completed(folder: Path, indent: int | str | None) -> None:
    replicas = [
        {"lfn": name, "pfns": [{"site": "a", "pfn": f"{folder}/f.a"}], "metadata": {"size": 6}}
        for name in "xy"
    ]
    before = {"pegasus": "5.0", "replicas": replicas}
    (folder / "replicas.yml").write_text(json.dumps(before, indent=indent))
    assert run(folder, "-c", "replicas.yml").lines == [f"{folder}/f.a: FAILED no digest"] * 2
    assert run(folder, "update", "replicas.yml").lines == ["added     x", "added     y"]
    for one in replicas:
        one["checksum"] = {"sha256": HELLO}
    assert json.loads((folder / "replicas.yml").read_text()) == before
    assert run(folder, "-c", "replicas.yml").code == 0


ODD_CHARACTERS = '\U0001f600\t"\\/\u2028\u00e9'


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([None, 0, 3, "\t"]),
    st.booleans(),
)
@example(names=[ODD_CHARACTERS], indent=None, ascii_only=True)
@example(names=[ODD_CHARACTERS], indent="\t", ascii_only=False)
def test_any_name_in_json_is_read_and_completed_as_json_has_it(
    names: list[str], indent: int | str | None, ascii_only: bool
) -> None:
    listed = [
        {
            "lfn": name,
            "pfns": [{"site": "a", "pfn": name}],
            "checksum": None,
            "metadata": {name: [{}, [], 1.5e3, True]},
        }
        for name in names
    ]
    text = json.dumps({"pegasus": "5.0", "replicas": listed}, indent=indent, ensure_ascii=ascii_only)
    catalogue = Catalogue(text.encode())
    assert [(one.lfn, one.places[0].pfn, one.problem) for one in catalogue.replicas] == [
        (name, name, "") for name in names
    ]
    assert [text.split("\n")[one.line - 1].count("{") > 0 for one in catalogue.replicas] == [True] * len(
        names
    )
    sums = {number: Digest("sha256", bytes([number] * 32)) for number in range(len(names))}
    for number, one in enumerate(listed):
        one["checksum"] = {"sha256": sums[number].hex}
    assert json.loads(catalogue.completed(sums))["replicas"] == listed


def test_a_name_in_json_that_no_file_can_have_is_told(folder: Path) -> None:
    entries = [
        {"lfn": "x", "pfns": [{"site": "a", "pfn": pfn}]} for pfn in ("/a\ud83d", "/a\0", f"{folder}/f.a")
    ]
    (folder / "replicas.yml").write_text(json.dumps({"replicas": entries}, indent=1))
    done = run(folder, "-c", "replicas.yml")
    assert (done.code, done.lines) == (1, [f"{folder}/f.a: FAILED no digest"])
    assert done.err.count("x: a name holds NUL, or half a surrogate pair") == 2
    done = run(folder, "update", "replicas.yml")
    assert (done.code, done.lines) == (1, ["added     x"])


def test_json_needs_no_pyyaml(folder: Path) -> None:
    (folder / "yaml.py").write_text("raise ImportError('not here')")
    entry = {"lfn": "x", "pfns": [{"site": "a", "pfn": f"{folder}/f.a"}], "checksum": {"sha256": HELLO}}
    (folder / "replicas.yml").write_text(json.dumps({"replicas": [entry]}))
    done = run(folder, "-c", "replicas.yml", PYTHONPATH=str(folder))
    assert (done.code, done.lines) == (0, [f"{folder}/f.a: OK"])


def test_the_places_of_replicas_that_differ_are_told_without_secrets(folder: Path, web: Nginx) -> None:
    (web.root / "other").write_text("other\n")
    url = f"{web.url}/other?X-Amz-Signature=hidden"
    write(
        folder,
        f"replicas:\n- lfn: x\n  pfns:\n  - {{site: a, pfn: $/f.a}}\n  - {{site: b, pfn: '{url}'}}\n",
    )
    done = run(folder, "update", "replicas.yml")
    assert done.code == 1
    assert "its replicas, or its checksum, differ" in done.err
    assert "hidden" not in done.err


def test_replicas_that_differ_get_no_sum(folder: Path) -> None:
    write(folder, "replicas:\n- lfn: x\n  pfns:\n  - {site: a, pfn: $/f.a}\n  - {site: b, pfn: $/f b}\n")
    before = (folder / "replicas.yml").read_text()
    done = run(folder, "update", "replicas.yml")
    assert (done.code, done.out) == (1, b"")
    assert HELLO in done.err and WORLD in done.err
    assert (folder / "replicas.yml").read_text() == before


def test_a_replica_that_cannot_be_read_fails_alone(folder: Path) -> None:
    write(
        folder,
        "replicas:\n- lfn: x\n  pfns:\n  - {site: a, pfn: $/gone}\n- lfn: y\n  pfns:\n  - {site: b, pfn: $/f b}\n",
    )
    done = run(folder, "update", "replicas.yml")
    assert (done.code, done.lines) == (1, ["added     y"])
    assert "gone: No such file" in done.err
    assert "checksum" not in replicas(folder)[0]


def test_paranoid_checks_the_sums_that_are_there(folder: Path) -> None:
    write(
        folder,
        f"replicas:\n- lfn: x\n  pfns:\n  - {{site: a, pfn: $/f.a}}\n  checksum: {{sha256: {WORLD}}}\n",
    )
    assert run(folder, "update", "replicas.yml").code == 0
    done = run(folder, "update", "--paranoid", "replicas.yml")
    assert done.code == 1
    assert HELLO in done.err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("pegasus: '5.0'\n", "no list of replicas"),
        ("pegasus: [\n", "is not YAML"),
        ("pegasus: '5.0'\nreplicas: x\n", "no list of replicas"),
    ],
)
def test_what_is_no_catalogue_is_refused(folder: Path, text: str, told: str) -> None:
    write(folder, text)
    for arguments in (("-c", "replicas.yml"), ("update", "replicas.yml")):
        done = run(folder, *arguments)
        assert done.code == 65
        assert told in done.err


def test_an_entry_that_is_none_is_malformed(folder: Path) -> None:
    write(
        folder,
        f"replicas:\n- lfn: x\n- lfn: y\n  pfns: [{{site: a, pfn: $/f.a}}]\n  checksum: {{sha256: {HELLO}}}\n",
    )
    done = run(folder, "-c", "replicas.yml")
    assert (done.code, done.lines) == (1, [f"{folder}/f.a: OK"])
    assert "replicas.yml: 2: x: an entry needs lfn and pfns" in done.err
    assert run(folder, "-c", "--strict", "replicas.yml").code == 1
    assert run(folder, "update", "replicas.yml").code == 1


def test_without_pyyaml_it_says_what_to_install(folder: Path) -> None:
    write(folder, BY_THE_API)
    (folder / "yaml.py").write_text("raise ImportError('not here')")
    for arguments in (("-c", "replicas.yml"), ("update", "replicas.yml")):
        done = run(folder, *arguments, PYTHONPATH=str(folder))
        assert done.code == 78
        assert "pip install 'wf-transfer[yaml]'" in done.err


# --- URLs


def test_remote_replicas_are_read_and_completed(folder: Path, web: Nginx) -> None:
    (web.root / "f.a").write_text("hello\n")
    write(
        folder,
        f"replicas:\n- lfn: x\n  pfns:\n  - {{site: web, pfn: '{web.url}/f.a'}}\n  - {{site: a, pfn: $/f.a}}\n",
    )
    assert run(folder, "update", "replicas.yml").lines == ["added     x"]
    assert replicas(folder)[0]["checksum"] == {"sha256": HELLO}
    assert run(folder, "-c", "replicas.yml").lines == [f"{web.url}/f.a: OK", f"{folder}/f.a: OK"]
    (web.root / "f.a").write_text("other\n")
    assert run(folder, "-c", "replicas.yml").lines[0] == f"{web.url}/f.a: FAILED"
    (web.root / "f.a").unlink()
    gone = run(folder, "-c", "replicas.yml")
    assert (gone.code, gone.lines[0]) == (1, f"{web.url}/f.a: FAILED open or read")


def test_urls_are_digested_and_checked_where_that_is_allowed(folder: Path, web: Nginx) -> None:
    (web.root / "f.a").write_text("hello\n")
    url = f"{web.url}/f.a"
    done = run(folder, url, "f b")
    assert (done.code, done.lines) == (0, [f"{HELLO}  {url}", f"{WORLD}  f b"])
    record = json.loads(run(folder, "--json", url).lines[1])
    assert record == {"path": url, "size": 6, "sha256": HELLO}
    allowed = run(folder, "-c", "--allow-absolute", text=done.out)
    assert (allowed.code, allowed.lines) == (0, [f"{url}: OK", "f b: OK"])
    web.forget()
    assert run(folder, "-c", text=done.out).code == 1
    assert web.requests() == []


def test_a_url_that_fails_is_told_and_the_others_are_read(folder: Path, web: Nginx) -> None:
    done = run(folder, f"{web.url}/absent", "f.a", "ftp://127.0.0.1:1/x")
    assert (done.code, done.lines) == (1, [f"{HELLO}  f.a"])
    assert "404" in done.err or "not found" in done.err.lower()


def test_exit_codes_of_urls_are_those_of_wf_transfer(folder: Path) -> None:
    assert run(folder, "http://127.0.0.1:1/x").code == 75
    assert run(folder, "nonsense://host/x").code == 1


def test_secrets_of_urls_are_not_printed(folder: Path, web: Nginx) -> None:
    (web.root / "f.a").write_text("hello\n")
    url = f"{web.url}/f.a?X-Amz-Signature=topsecret"
    for arguments in ((url,), ("--json", url), (f"{web.url}/absent?X-Amz-Signature=topsecret",)):
        done = run(folder, *arguments)
        assert b"topsecret" not in done.out
        assert "topsecret" not in done.err


def test_a_file_url_is_read_without_the_network(folder: Path) -> None:
    assert run(folder, f"file://{folder}/f.a").lines == [f"{HELLO}  file://{folder}/f.a"]


def test_files_with_secrets_are_used_as_the_options_say(folder: Path, web: Nginx) -> None:
    (web.root / "f.a").write_text("hello\n")
    secrets = folder / "credentials.conf"
    secrets.write_text(f"[{web.url}]\nheader.Authorization = Bearer abc\n")
    secrets.chmod(0o644)
    given = ("--credentials", str(secrets), f"{web.url}/f.a")
    assert run(folder, *given).code == 77
    used = run(folder, "--insecure-credentials", *given)
    assert used.code == 0
    assert used.err.count("warning: ") == 1
    assert secrets.stat().st_mode & 0o777 == 0o644
    mended = run(folder, "--fix-permissions", *given)
    assert mended.code == 0
    assert mended.err.count("warning: ") == 1
    assert secrets.stat().st_mode & 0o777 == 0o600

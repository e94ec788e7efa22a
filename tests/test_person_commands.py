"""cp, mkdir, rm, ls and stat on local files, as a person types them."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from command_runs import COMMAND, wf_transfer

if TYPE_CHECKING:
    from pathlib import Path

    from servers.unprivileged import Unprivileged

ABC = hashlib.sha256(b"abc").hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`tree/` with files, a folder, an empty folder; and `abc` beside it."""
    (tmp_path / "tree/sub/deep").mkdir(parents=True)
    (tmp_path / "tree/empty").mkdir()
    (tmp_path / "tree/one").write_bytes(b"1")
    (tmp_path / "tree/sub/two").write_bytes(b"2")
    (tmp_path / "tree/sub/deep/three").write_bytes(b"3")
    (tmp_path / "abc").write_bytes(b"abc")
    return tmp_path


def found_below(folder: Path) -> dict[str, bytes | None]:
    """Content by relative name; None for folders."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


WHOLE_TREE = {
    "empty": None,
    "one": b"1",
    "sub": None,
    "sub/deep": None,
    "sub/deep/three": b"3",
    "sub/two": b"2",
}

# --- cp


def test_one_file_is_copied_to_a_new_name(folder: Path) -> None:
    run = wf_transfer(folder, "cp", "abc", "copy")
    assert (run.code, run.out) == (0, "")
    assert (folder / "copy").read_bytes() == b"abc"
    assert run.err.startswith("1 transfer, 3 bytes")
    assert "all done" in run.err


@pytest.mark.parametrize("destination", ["new/", "tree/empty", "tree/empty/", "."])
def test_a_file_keeps_its_name_in_a_folder(folder: Path, destination: str) -> None:
    run = wf_transfer(folder, "cp", "tree/sub/two", destination)
    assert run.code == 0
    assert (folder / destination / "two").read_bytes() == b"2"


def test_several_files_go_into_a_folder(folder: Path) -> None:
    run = wf_transfer(folder, "cp", "abc", "tree/one", f"file://{folder}/tree/sub/two", "new/")
    assert run.code == 0
    assert found_below(folder / "new") == {"abc": b"abc", "one": b"1", "two": b"2"}


@pytest.mark.parametrize("destination", ["absent", "tree/one"])
def test_several_sources_need_a_folder(folder: Path, destination: str) -> None:
    run = wf_transfer(folder, "cp", "abc", "tree/sub/two", destination)
    assert run.code == 2
    assert "several sources need one: end it with a slash" in run.err
    assert not (folder / "absent").exists()


def test_two_sources_of_one_name_do_not_overwrite_each_other(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other/abc").write_bytes(b"other")
    run = wf_transfer(folder, "cp", "abc", "other/abc", "tree/one", "new/")
    assert run.code == 1
    assert "other/abc is not copied: another source goes to new/abc already" in run.err
    assert found_below(folder / "new") == {"abc": b"abc", "one": b"1"}


def test_a_missing_source_fails_alone(folder: Path) -> None:
    run = wf_transfer(folder, "cp", "absent", "abc", "new/")
    assert run.code == 1
    assert "cannot read absent: No such file or directory [not-found]" in run.err
    assert "1 failed, 1 done (exit code 1)" in run.err
    assert found_below(folder / "new") == {"abc": b"abc"}


def test_a_word_is_taken_literally(folder: Path) -> None:
    """Its variables, blanks and percent signs were the shell's business."""
    names = ["$HOME", "per%20cent", "a b", "new\nline", "question?mark#hash", "quote'\"", "-dash"]
    for name in names:
        (folder / name).write_bytes(name.encode())
    run = wf_transfer(folder, "cp", *(f"./{name}" for name in names), "new/")
    assert run.code == 0, run.err
    assert found_below(folder / "new") == {name: name.encode() for name in names}


def test_a_name_that_is_not_utf8_is_copied(folder: Path) -> None:
    name = b"caf\xe9"
    (folder / os.fsdecode(name)).write_bytes(b"x")
    assert wf_transfer(folder, "cp", name, "new/").code == 0
    assert os.listdir(os.fsencode(folder / "new")) == [name]


def test_variables_of_a_url_are_replaced_as_in_a_batch(folder: Path) -> None:
    run = wf_transfer(folder, "cp", "file://$HOME/abc", "copy")
    assert run.code == 0
    run = wf_transfer(folder, "cp", "file://$NOT_SET_HERE/abc", "other")
    assert run.code == 1
    assert "$NOT_SET_HERE is not set or empty" in run.err


def test_a_name_with_a_colon(folder: Path) -> None:
    run = wf_transfer(folder, "cp", "run:1", "new/")
    assert run.code == 2
    assert "a local file of that name is written ./run:1" in run.err
    (folder / "run:1").write_bytes(b"x")
    assert wf_transfer(folder, "cp", "run:1", "new/").code == 0
    assert wf_transfer(folder, "cp", "abc", "./run:2").code == 0
    assert (folder / "new/run:1").exists() and (folder / "run:2").exists()


def test_two_dashes_end_the_options(folder: Path) -> None:
    (folder / "-r").write_bytes(b"dash")
    run = wf_transfer(folder, "cp", "--existing", "fail", "--", "-r", "abc", "new/")
    assert run.code == 0, run.err
    assert found_below(folder / "new") == {"-r": b"dash", "abc": b"abc"}


def test_options_may_stand_between_the_words(folder: Path) -> None:
    assert wf_transfer(folder, "cp", "tree", "-r", "copy", "-n", "1").code == 0
    assert found_below(folder / "copy") == WHOLE_TREE


@pytest.mark.parametrize("value", [f"sha256:{ABC}", f"sha256:{ABC.upper()}", ABC])
def test_a_checksum_is_compared(folder: Path, value: str) -> None:
    run = wf_transfer(folder, "cp", "--checksum", value, "abc", "copy")
    assert run.code == 0
    assert "1 digest compared, all match" in run.err


def test_a_wrong_checksum_publishes_nothing(folder: Path) -> None:
    run = wf_transfer(folder, "cp", "--checksum", f"SHA-256:{'0' * 64}", "abc", "copy")
    assert run.code == 3
    assert "[mismatch]" in run.err
    assert not (folder / "copy").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["abc"], "at least one source"),
        ([], "at least one source"),
        (["", "copy"], "an empty word names no place"),
        (["--checksum", ABC[:40], "abc", "copy"], "write algorithm and value"),
        (["--checksum", "g" * 64, "abc", "copy"], "not hexadecimal"),
        (["--checksum", "sha256:12", "abc", "copy"], "a sha256 value has 32 bytes"),
        (["--checksum", "sha0:12", "abc", "copy"], "unknown digest algorithm"),
        (["--checksum", f"sha256:{ABC}", "abc", "tree/one", "new/"], "for a single source"),
        (["--checksum", f"sha256:{ABC}", "-r", "tree", "copy"], "for a single source"),
        (["-n", "many", "abc", "copy"], "not a whole number"),
        (["http://", "copy"], "names no host"),
        (["--recursiv", "tree", "copy"], "there is no option --recursiv; --recursive is one"),
        (["abc", "-"], "streams are not copied"),
        (["-", "copy"], "streams are not copied"),
    ],
)
def test_wrong_usage_ends_with_2(folder: Path, arguments: list[str], told: str) -> None:
    run = wf_transfer(folder, "cp", *arguments)
    assert (run.code, run.out) == (2, "")
    assert told in run.err
    assert len(run.err.splitlines()) == 1
    assert not (folder / "copy").exists()


def test_a_failed_fetch_that_a_later_run_may_heal_ends_with_75(folder: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        port = closed.getsockname()[1]
        run = wf_transfer(folder, "cp", "-m", "1", f"http://127.0.0.1:{port}/a", "copy")
    assert run.code == 75
    assert "[unreachable]" in run.err


# --- cp -r


def test_a_tree_is_copied_with_its_empty_folders(folder: Path) -> None:
    run = wf_transfer(folder, "cp", "-r", "tree", "copy")
    assert run.code == 0, run.err
    assert found_below(folder / "copy") == WHOLE_TREE


@pytest.mark.parametrize(
    ("source", "destination", "arrives"),
    [
        ("tree", "new/", "new/tree"),
        ("tree/", "new/", "new/tree"),
        ("tree/.", "new/", "new"),
        ("tree", "there", "there/tree"),
        ("tree/", "new/name", "new/name"),
    ],
)
def test_where_a_tree_arrives(folder: Path, source: str, destination: str, arrives: str) -> None:
    (folder / "there").mkdir()
    run = wf_transfer(folder, "cp", "-r", source, destination)
    assert run.code == 0, run.err
    assert found_below(folder / arrives) == WHOLE_TREE


def test_an_empty_folder_is_copied(folder: Path) -> None:
    assert wf_transfer(folder, "cp", "-r", "tree/empty", "copy").code == 0
    assert (folder / "copy").is_dir()


def test_files_and_trees_go_together(folder: Path) -> None:
    assert wf_transfer(folder, "cp", "-r", "abc", "tree/sub", "new/").code == 0
    assert found_below(folder / "new") == {
        "abc": b"abc",
        "sub": None,
        "sub/deep": None,
        "sub/deep/three": b"3",
        "sub/two": b"2",
    }


def test_a_folder_without_r_is_refused(folder: Path) -> None:
    run = wf_transfer(folder, "cp", "tree", "abc", "new/")
    assert run.code == 1
    assert "tree is a folder [refused]" in run.err
    assert "what to do: -r copies folders" in run.err
    assert found_below(folder / "new") == {"abc": b"abc"}


def test_links_and_devices_are_refused_and_the_others_copied(folder: Path) -> None:
    (folder / "secret").write_bytes(b"secret")
    (folder / "tree/link").symlink_to(folder / "secret")
    (folder / "tree/sub/loop").symlink_to(folder / "tree", target_is_directory=True)
    os.mkfifo(folder / "tree/pipe")
    run = wf_transfer(folder, "cp", "-r", "tree", "copy")
    assert run.code == 1
    assert found_below(folder / "copy") == WHOLE_TREE
    assert "tree/link is not copied: it is a symbolic link [refused]" in run.err
    assert "tree/sub/loop is not copied: it is a symbolic link [refused]" in run.err
    assert "tree/pipe is not copied: it is a FIFO [refused]" in run.err
    assert "tree/link -> copy/link\n" in run.err
    assert "what to do: -L copies what it leads to" in run.err
    assert "3 failed, 4 done (exit code 1)" in run.err


def test_with_l_links_are_what_they_lead_to(folder: Path) -> None:
    (folder / "beside/in").mkdir(parents=True)
    (folder / "beside/in/file").write_bytes(b"beside")
    (folder / "tree/sub/folder").symlink_to(folder / "beside")
    (folder / "tree/link").symlink_to(folder / "abc")
    (folder / "beside/chain").symlink_to(folder / "tree/link")
    run = wf_transfer(folder, "cp", "-r", "-L", "tree", "copy")
    assert run.code == 0, run.err
    assert found_below(folder / "copy") == WHOLE_TREE | {
        "link": b"abc",
        "sub/folder": None,
        "sub/folder/in": None,
        "sub/folder/in/file": b"beside",
        "sub/folder/chain": b"abc",
    }
    assert not any(path.is_symlink() for path in (folder / "copy").rglob("*"))


def test_with_l_links_that_cannot_be_followed_fail_alone(folder: Path) -> None:
    (folder / "tree/nowhere").symlink_to("absent")
    (folder / "tree/itself").symlink_to("itself")
    (folder / "tree/sub/loop").symlink_to(folder / "tree", target_is_directory=True)
    os.mkfifo(folder / "pipe")
    (folder / "tree/to-pipe").symlink_to(folder / "pipe")
    run = wf_transfer(folder, "cp", "-r", "--follow-links", "tree", "copy")
    assert run.code == 1
    copied = {name: each for name, each in found_below(folder / "copy").items() if name != "sub/loop"}
    assert copied == WHOLE_TREE
    assert "tree/nowhere is not copied: it is a symbolic link that leads nowhere" in run.err
    assert "tree/itself is not copied: it is a symbolic link that leads nowhere" in run.err
    assert "tree/sub/loop is not copied: it is a symbolic link to a folder that it is in" in run.err
    assert "tree/to-pipe is not copied: it is a FIFO" in run.err


def test_a_dry_run_of_a_copy_does_nothing_and_tells_everything(folder: Path) -> None:
    (folder / "tree/link").symlink_to(folder / "abc")
    before = found_below(folder)
    run = wf_transfer(folder, "cp", "-r", "--dry-run", "tree", "copy")
    assert run.code == 1
    assert found_below(folder) == before
    assert "from tree/sub/two" in run.out and "to copy/sub/two" in run.out
    assert "cannot start: tree/link is not copied: it is a symbolic link" in run.out
    assert wf_transfer(folder, "rm", "-r", "--dry-run", "tree").code == 0
    assert wf_transfer(folder, "mkdir", "--dry-run", "new").code == 0
    assert found_below(folder) == before


def test_a_copy_leaves_the_records_that_were_asked_for(folder: Path) -> None:
    (folder / "tree/link").symlink_to(folder / "abc")
    arguments = ("cp", "-r", "--result", "result.json", "--manifest", "SUMS", "tree", "copy")
    assert wf_transfer(folder, *arguments).code == 1
    requests = json.loads((folder / "result.json").read_text())["requests"]
    assert sorted(each["index"] for each in requests) == list(range(len(requests)))
    assert [each["lfn"] for each in requests if each["status"] == "failed"] == ["link"]
    lines = (folder / "SUMS").read_text().splitlines()
    assert [line.split("  ")[1] for line in lines] == ["copy/one", "copy/sub/deep/three", "copy/sub/two"]
    run = wf_transfer(folder, "rm", "--result", "-", "abc")
    assert (run.code, json.loads(run.out)["exit"]) == (0, 0)


def test_a_folder_that_holds_nothing_but_a_link_is_still_made(folder: Path) -> None:
    (folder / "only").mkdir()
    (folder / "only/link").symlink_to("nowhere")
    assert wf_transfer(folder, "cp", "-r", "only", "copy").code == 1
    assert found_below(folder / "copy") == {}
    assert (folder / "copy").is_dir()


@pytest.mark.parametrize("destination", ["tree/sub/copy", "tree/", "tree"])
def test_a_tree_is_not_copied_into_itself(folder: Path, destination: str) -> None:
    run = wf_transfer(folder, "cp", "-r", "tree", destination)
    assert run.code == 1
    assert "copied into itself" in run.err
    assert found_below(folder / "tree") == WHOLE_TREE


def test_every_odd_name_of_a_tree_arrives(folder: Path) -> None:
    names = {"new\nline", "per%20cent", "$(touch harm)", "-r", "a:b", "back\\slash", "ü🙂", "\udce9"}
    for name in names:
        (folder / "odd/in" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "odd/in" / name).write_bytes(os.fsencode(name))
    run = wf_transfer(folder, "cp", "-r", "odd", "copy")
    assert run.code == 0, run.err
    assert found_below(folder / "copy") == {"in": None} | {f"in/{name}": os.fsencode(name) for name in names}


def test_a_subfolder_that_cannot_be_read_fails_alone(unprivileged: Unprivileged) -> None:
    for name in ("tree", "tree/closed", "tree/open"):
        unprivileged.give(_made(unprivileged.folder / name))
        unprivileged.give(_written(unprivileged.folder / name / "file"))
    (unprivileged.folder / "tree/closed").chmod(0)
    command = unprivileged.command("wf-transfer")

    done = unprivileged.run([*command, "cp", "-r", "tree", "copy"])
    assert done.returncode == 1, done.stderr
    assert b"cannot list tree/closed: Permission denied [refused]" in done.stderr
    assert (unprivileged.folder / "copy/open/file").read_bytes() == b"x"

    done = unprivileged.run([*command, "ls", "-R", "tree"])
    assert done.returncode == 1
    assert done.stdout.split() == [b"closed/", b"file", b"open/", b"open/file"]
    assert b"cannot list tree/closed: Permission denied" in done.stderr


def _made(path: Path) -> Path:
    path.mkdir()
    return path


def _written(path: Path) -> Path:
    path.write_bytes(b"x")
    return path


# --- mkdir and rm


def test_folders_are_made_with_those_above(folder: Path) -> None:
    assert wf_transfer(folder, "mkdir", "a/b/c", f"file://{folder}/d", "tree", "--", "-p").code == 0
    assert all((folder / name).is_dir() for name in ("a/b/c", "d", "tree", "-p"))


def test_a_folder_in_place_of_a_file_fails_alone(folder: Path) -> None:
    run = wf_transfer(folder, "mkdir", "abc", "new")
    assert run.code == 1
    assert "a file is in its place" in run.err
    assert (folder / "new").is_dir()


def test_files_are_removed_and_what_is_absent_is_success(folder: Path) -> None:
    assert wf_transfer(folder, "rm", "abc", "absent", "tree/one").code == 0
    assert not (folder / "abc").exists() and not (folder / "tree/one").exists()


def test_a_folder_is_removed_only_with_r(folder: Path) -> None:
    run = wf_transfer(folder, "rm", "tree")
    assert run.code == 1
    assert (folder / "tree/one").exists()
    assert wf_transfer(folder, "rm", "-r", "tree").code == 0
    assert not (folder / "tree").exists()


@pytest.mark.parametrize("word", [".", "", "..", "./"])
def test_what_is_dangerous_is_not_removed(folder: Path, word: str) -> None:
    below = folder / "tree"
    run = wf_transfer(below, "rm", "-r", word, environment={"HOME": str(folder)})
    assert run.code == (1 if word else 2)
    assert found_below(below) == WHOLE_TREE
    assert "is not removed" in run.err or "an empty word" in run.err


def test_a_home_is_removed_only_when_that_is_allowed(folder: Path) -> None:
    home = folder / "home"
    home.mkdir()
    assert wf_transfer(folder, "rm", "-r", "home", environment={"HOME": str(home)}).code == 1
    assert home.exists()
    arguments = ("rm", "-r", "--allow-dangerous-remove", "home")
    assert wf_transfer(folder, *arguments, environment={"HOME": str(home)}).code == 0
    assert not home.exists()


@pytest.mark.parametrize("word", ["mkdir", "rm", "stat"])
def test_a_command_without_a_place_is_wrong_usage(folder: Path, word: str) -> None:
    run = wf_transfer(folder, word)
    assert run.code == 2
    assert "name at least one place" in run.err


# --- ls


def test_a_folder_is_listed_in_order(folder: Path) -> None:
    assert wf_transfer(folder, "ls", "tree").lines() == ["empty/", "one", "sub/"]
    assert wf_transfer(folder / "tree", "ls").lines() == ["empty/", "one", "sub/"]


def test_a_whole_tree_is_listed(folder: Path) -> None:
    run = wf_transfer(folder, "ls", "-R", "tree")
    assert run.lines() == ["empty/", "one", "sub/", "sub/deep/", "sub/deep/three", "sub/two"]


def test_a_long_listing_has_size_and_time(folder: Path) -> None:
    os.utime(folder / "tree/one", (0, 0))
    lines = wf_transfer(folder, "ls", "-l", "tree").lines()
    assert lines[1].split() == ["1", "1970-01-01T00:00:00Z", "one"]
    assert lines[2].split()[0] == "-"


def test_a_file_is_listed_by_its_own_name(folder: Path) -> None:
    assert wf_transfer(folder, "ls", "abc").lines() == ["abc"]


def test_several_places_have_headings_and_errors_stop_nothing(folder: Path) -> None:
    run = wf_transfer(folder, "ls", "tree/empty", "absent", "tree/sub/deep")
    assert run.code == 1
    assert run.lines() == ["tree/empty:", "", "tree/sub/deep:", "three"]
    (line,) = run.err.splitlines()
    assert line.startswith("wf-transfer: cannot look at absent: No such file or directory; ")
    assert line.endswith(" [not-found]")


def test_names_are_escaped_for_people_and_exact_in_json(folder: Path) -> None:
    names = ["esc\x1b[31m", "new\nline", "\udcff"]
    (folder / "odd").mkdir()
    for name in names:
        (folder / "odd" / name).touch()
    run = wf_transfer(folder, "ls", "odd")
    assert run.lines() == ["esc\\x1b[31m", "new\\nline", "\\xff"]
    records = wf_transfer(folder, "ls", "--json", "odd").records()
    assert [record["path"] for record in records] == names
    assert [record["url"] for record in records] == [f"odd/{name}" for name in names]


def test_json_tells_everything_that_is_known(folder: Path) -> None:
    os.utime(folder / "tree/one", (0, 0))
    (folder / "tree/link").symlink_to("one")
    records = {record["path"]: record for record in wf_transfer(folder, "ls", "--json", "tree").records()}
    version = records["one"].pop("version")
    assert version
    assert records["one"] == {
        "url": "tree/one",
        "path": "one",
        "type": "file",
        "size": 1,
        "modified": "1970-01-01T00:00:00.000000Z",
        "digests": {},
    }
    assert [records[name]["type"] for name in ("sub", "link")] == ["folder", "link"]


def test_a_reader_that_goes_away_is_no_defect(folder: Path) -> None:
    with subprocess.Popen(
        (*COMMAND, "ls", "-R", "tree"), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode in (0, 1)


# --- stat


def test_stat_tells_size_and_time(folder: Path) -> None:
    os.utime(folder / "abc", (0, 0))
    lines = [line.split() for line in wf_transfer(folder, "stat", "abc", "tree").lines()]
    assert lines[0] == ["abc"]
    assert ["size", "3", "bytes"] in lines
    assert ["modified", "1970-01-01T00:00:00Z"] in lines
    assert ["type", "folder"] in lines


def test_stat_as_json(folder: Path) -> None:
    (record,) = wf_transfer(folder, "stat", "--json", f"file://{folder}/abc").records()
    assert (record["url"], record["path"], record["size"]) == (f"file://{folder}/abc", "", 3)


def test_a_local_digest_is_the_business_of_wf_checksum(folder: Path) -> None:
    run = wf_transfer(folder, "stat", "--digest", "sha-256", "abc")
    assert (run.code, run.out) == (1, "")
    assert "wf-checksum -a sha256 computes it [unsupported]" in run.err


def test_an_unknown_algorithm_is_wrong_usage(folder: Path) -> None:
    run = wf_transfer(folder, "stat", "--digest", "sha0", "abc")
    assert run.code == 2
    assert "'sha0' is none of sha256" in run.err


@pytest.mark.parametrize(
    ("place", "code", "told"),
    [
        ("absent", 1, "[not-found]"),
        ("nosuch://host/file", 1, "no protocol for scheme 'nosuch' is built"),
        ("hpss://host/file", 1, "no protocol for scheme 'hpss' is built yet"),
        ("s3://bucket/key", 77, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("file://$NOT_SET_HERE/a", 1, "$NOT_SET_HERE is not set or empty"),
    ],
)
@pytest.mark.parametrize("word", ["stat", "ls"])
def test_an_error_is_one_line_with_what_to_do(
    folder: Path, word: str, place: str, code: int, told: str
) -> None:
    run = wf_transfer(folder, word, place)
    assert (run.code, run.out) == (code, "")
    (line,) = run.err.splitlines()
    assert line.startswith("wf-transfer: ")
    assert told in line


# --- the commands themselves


@pytest.mark.parametrize("word", ["protocols", "doctor"])
def test_a_word_too_many_is_wrong_usage(folder: Path, word: str) -> None:
    run = wf_transfer(folder, word, "cp")
    assert (run.code, run.err) == (
        2,
        f"wf-transfer {word}: cp is one word too many (wf-transfer {word} --help)\n",
    )


def test_help_names_the_commands(folder: Path) -> None:
    run = wf_transfer(folder, "--help")
    assert run.code == 0
    for word in ("cp", "mkdir", "rm", "ls", "stat", "protocols", "completion", "man"):
        assert f"\n  {word} " in run.out


@pytest.mark.parametrize("word", ["cp", "mkdir", "rm", "ls", "stat", "protocols", "completion", "man"])
def test_each_command_has_help(folder: Path, word: str) -> None:
    run = wf_transfer(folder, word, "--help")
    assert run.code == 0
    assert run.out.startswith(f"usage: wf-transfer {word} ")
    assert "words" not in run.out


def test_a_command_word_is_one_only_in_first_place(folder: Path) -> None:
    run = wf_transfer(folder, "-f", "cp")
    assert run.code == 2
    assert "No such file" in run.err


def test_debug_logs_the_failed_attempt(folder: Path) -> None:
    run = wf_transfer(folder, "cp", "-d", "absent", "copy")
    assert "INFO attempt 1 of request 0 failed" in run.err


def test_starting_a_copy_loads_no_sdk_and_no_network_module(folder: Path) -> None:
    script = (
        "import sys; from wf.transfer.person_commands import run_command; code = run_command('cp', ['abc', 'b'], {})\n"
        "print(code, *{'ssl', 'boto3', 'requests', 'rich', 'tenacity', 'socket'}.intersection(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout == "0\n"

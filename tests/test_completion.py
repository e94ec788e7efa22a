"""Completion, asked from the shells themselves."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from command_runs import wf_transfer
from wf.transfer.command_lines import programs
from wf.transfer.command_words import COMMANDS

if TYPE_CHECKING:
    from pathlib import Path

    from wf.transfer.command_lines import Program

EXISTING = ["fail", "overwrite", "update", "verify"]

CASES = [
    ("wf-transfer ", sorted(COMMANDS)),
    ("wf-transfer st", ["stat"]),
    ("wf-transfer --dry", ["--dry-run"]),
    ("wf-transfer cp --source", ["--source-site"]),
    ("wf-transfer cp --existing ", EXISTING),
    ("wf-transfer --existing o", ["overwrite"]),
    ("wf-transfer cp -r --existing o", ["overwrite"]),
    ("wf-transfer ls --dry", []),
    ("wf-transfer completion ", ["bash", "fish", "zsh"]),
    ("wf-transfer man wf-c", ["wf-checksum"]),
    ("wf-checksum --ignore", ["--ignore-missing"]),
    ("wf-checksum upd", ["update"]),
    ("wf-checksum update --para", ["--paranoid"]),
    ("wf-checksum diff --para", []),
]

needs = {
    name: pytest.mark.skipif(not shutil.which(name), reason=f"no {name}") for name in ("bash", "zsh", "fish")
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Empty, so that no file name is a completion."""
    return tmp_path


def run_shell(folder: Path, shell: str, script: str) -> list[str]:
    options = {"bash": ["--norc"], "fish": ["--no-config"], "zsh": ["-f"]}[shell]
    done = subprocess.run(
        [shell, *options, "-c", script], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def bash_completions(folder: Path, line: str) -> list[str]:
    """What bash offers at the end of the line: its function is called as readline calls it."""
    script = wf_transfer(folder, "completion", "bash").out
    words = [word for part in line.split(" ") for word in _broken(part)]
    function = "_" + words[0].replace("-", "_")
    call = (
        f"{script}\nCOMP_WORDS=({' '.join(map(shlex.quote, words))})\nCOMP_CWORD={len(words) - 1}\n"
        f'{function}\nfor one in "${{COMPREPLY[@]}}"; do echo "$one"; done'
    )
    return sorted(run_shell(folder, "bash", call))


def _broken(word: str) -> list[str]:
    """As readline breaks words: the equals sign is one of its own."""
    before, equals, after = word.partition("=")
    return [before, equals, *([after] if after else [])] if equals else [word]


@needs["bash"]
@pytest.mark.parametrize(("line", "offered"), CASES)
def test_bash_offers(folder: Path, line: str, offered: list[str]) -> None:
    assert bash_completions(folder, line) == offered


@needs["bash"]
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("wf-transfer cp --existing=", EXISTING),
        ("wf-transfer cp --existing=u", ["update"]),
        ("wf-transfer cp -- --ex", []),
        ("wf-transfer -f c", []),
        ("wf-transfer cp a", []),
    ],
)
def test_bash_knows_what_stands_before(folder: Path, line: str, offered: list[str]) -> None:
    assert bash_completions(folder, line) == offered


@needs["bash"]
def test_bash_registers_both_commands_with_file_names_as_the_default(folder: Path) -> None:
    script = wf_transfer(folder, "completion", "bash").out
    assert run_shell(folder, "bash", f"{script}\ncomplete -p wf-transfer wf-checksum") == [
        "complete -o default -F _wf_transfer wf-transfer",
        "complete -o default -F _wf_checksum wf-checksum",
    ]


@needs["fish"]
@pytest.mark.parametrize(("line", "offered"), CASES)
def test_fish_offers(folder: Path, line: str, offered: list[str]) -> None:
    (folder / "script").mkdir()
    script = folder / "script" / "wf.fish"
    script.write_text(wf_transfer(folder, "completion", "fish").out)
    found = run_shell(folder, "fish", f"source {script}; cd (mktemp -d); complete -C {shlex.quote(line)}")
    assert sorted(each.partition("\t")[0] for each in found) == offered


@needs["zsh"]
def test_zsh_can_read_its_script(folder: Path) -> None:
    script = folder / "_wf-transfer"
    script.write_text(wf_transfer(folder, "completion", "zsh").out)
    assert script.read_text().startswith("#compdef wf-transfer wf-checksum\n")
    assert run_shell(folder, "zsh", f"zsh -n {script}") == []
    load = f"autoload -Uz compinit; compinit -u -D; source {script}; echo $_comps[wf-transfer] $_comps[wf-checksum]"
    assert run_shell(folder, "zsh", load) == ["_wf_complete _wf_complete"]


@pytest.mark.parametrize("program", programs(), ids=lambda program: program.name)
def test_an_option_takes_a_value_everywhere_or_nowhere(program: Program) -> None:
    """The script for bash looks at the program and at the word before alone."""
    options = [option for line in program.lines for option in line.options]
    valued = {flag for option in options if option.value for flag in option.flags}
    plain = {flag for option in options if not option.value for flag in option.flags}
    assert valued and plain
    assert valued & plain == set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_option_is_in_the_script(folder: Path, shell: str) -> None:
    script = wf_transfer(folder, "completion", shell).out
    for line in [line for program in programs() for line in program.lines]:
        for option in line.options:
            for flag in option.flags:
                assert (
                    flag if shell != "fish" else f" {'-l' if flag[1] == '-' else '-s'} {flag.lstrip('-')}"
                ) in script


@pytest.mark.parametrize("arguments", [[], ["tcsh"], ["bash", "zsh"]])
def test_an_unknown_shell_is_wrong_usage(folder: Path, arguments: list[str]) -> None:
    run = wf_transfer(folder, "completion", *arguments)
    assert run.code == 2
    assert "name one of bash, zsh, fish" in run.err

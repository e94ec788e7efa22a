"""The manual pages: complete, and as roff without a fault."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from command_runs import wf_transfer
from wf.transfer.command_lines import checksum_program, transfer_program
from wf.transfer.manpage import page, roff
from wf.transfer.settings import Exit

if TYPE_CHECKING:
    from pathlib import Path

    from wf.transfer.command_lines import Program

PAGES = ("wf-transfer", "wf-checksum")


def rendered(text: str) -> str:
    """The page as groff prints it, without its bold and underlined overprinting."""
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8"], input=text.encode(), capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"")
    plain = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", done.stdout.decode())
    return plain.replace("\u2212", "-").replace("\u2010", "-")


needs_groff = pytest.mark.skipif(not shutil.which("groff"), reason="no groff")


@needs_groff
@pytest.mark.parametrize("name", PAGES)
def test_a_page_renders_without_a_warning(name: str) -> None:
    text = rendered(page(name))
    for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "SEE ALSO"):
        assert f"\n{section}\n" in text


@needs_groff
def test_the_page_of_the_command_has_environment_files_and_examples() -> None:
    text = rendered(page("wf-transfer"))
    for section, told in (
        ("ENVIRONMENT", "PEGASUS_TRANSFER_THREADS"),
        ("FILES", "*.meta"),
        ("EXAMPLES", "wf-transfer cp -r results s3://alice@osn/bucket/"),
    ):
        _, heading, rest = text.partition(f"\n{section}\n")
        assert heading and told in rest


@pytest.mark.skipif(not shutil.which("mandoc"), reason="no mandoc")
@pytest.mark.parametrize("name", PAGES)
def test_mandoc_finds_no_error(name: str) -> None:
    done = subprocess.run(
        ["mandoc", "-Tlint", "-Werror"],
        input=page(name).encode(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, b"")


@needs_groff
@pytest.mark.parametrize(
    "program", [transfer_program(), checksum_program()], ids=lambda program: program.name
)
def test_every_command_and_option_is_in_the_page(program: Program) -> None:
    # As wide as the longest synopsis: it must not be broken.
    text = rendered(".ll 300n\n" + page(program.name))
    for line in program.lines:
        assert f" {line.name} {line.synopsis}\n" in text
        flags = [flag for option in line.options for flag in option.flags]
        assert [flag for flag in flags if not re.search(rf"(^|[ ,]){flag}\b", text, re.MULTILINE)] == []


@needs_groff
def test_every_exit_code_is_in_its_page() -> None:
    text = rendered(page("wf-transfer"))
    assert all(re.search(rf"^ +{int(code)} ", text, re.MULTILINE) for code in Exit)
    text = rendered(page("wf-checksum"))
    assert re.search(r"^ +0 +all well$", text, re.MULTILINE)
    assert re.search(r"^ +2 +wrong usage$", text, re.MULTILINE)


@needs_groff
@pytest.mark.parametrize(
    "text", ["back\\slash", ".dot", "'quote", '"double"', "-dash", "`grave`", "a b", "ü€🙂"]
)
def test_text_is_printed_as_it_is(text: str) -> None:
    assert text in rendered(f'.TH X 1 "" "" ""\n.SH NAME\nx \\- y\n.PP\n{roff(text)}\n')


def test_the_command_prints_the_pages(tmp_path: Path) -> None:
    assert wf_transfer(tmp_path, "man").out == page("wf-transfer")
    assert wf_transfer(tmp_path, "man", "wf-checksum").out == page("wf-checksum")
    run = wf_transfer(tmp_path, "man", "sha256sum")
    assert run.code == 2
    assert "name one of wf-transfer, wf-checksum" in run.err

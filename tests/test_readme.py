"""What README.md shows works as it is printed there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"

pytestmark = pytest.mark.skipif(not README.exists(), reason="the README is not part of an installed package")


def test_the_python_program_runs_a_batch(tmp_path: Path) -> None:
    (program,) = re.findall(
        r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    (tmp_path / "source").write_bytes(b"abc")
    assert program.count("https://host/a.dat") == 1
    done = subprocess.run(
        [sys.executable, "-c", program.replace("https://host/a.dat", "file:source")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "route: local-copy" in done.stdout
    assert done.stdout.endswith("done file:a.dat \n1 of 1 done, 3 bytes\n")
    assert (tmp_path / "a.dat").read_bytes() == b"abc"


def test_every_page_that_is_linked_is_there() -> None:
    pages = [README, *sorted((README.parent / "docs").glob("*.md"))]
    for page in pages:
        links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        assert [link for link in links if not (page.parent / link).exists()] == [], page

"""What starting costs: modules that must not load what a small job never uses."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

CHEAP = [
    "wf.checksum.digest",
    "wf.protocols.locations",
    "wf.protocols.registry",
    "wf.transfer.outcomes",
    "wf.transfer.requests",
    "wf.transfer.settings",
]
EXPENSIVE = [
    "argparse",
    "asyncio",
    "boto3",
    "dataclasses",
    "email",
    "http.client",
    "inspect",
    "logging",
    "rich",
    "socket",
    "ssl",
    "subprocess",
    "tenacity",
    "urllib.parse",
]

# Without site (-S), whose .pth files load modules of their own; so the place of the packages is handed over.
SCRIPT = """
import sys
sys.path.insert(0, {place!r})
{code}
print(*sys.modules, sep="\\n")
"""


def place_of_wf() -> Path:
    """The folder in which `wf` is a folder: site-packages, or in the tree the links made for type checkers."""
    spec = importlib.util.find_spec("wf.transfer")
    assert spec is not None and spec.submodule_search_locations
    above = Path(spec.submodule_search_locations[0]).parent
    return above.parent if above.name == "wf" else above / "tests/typing"


def loaded_by(code: str) -> set[str]:
    """The modules that are there after `code` ran in a fresh interpreter."""
    script = SCRIPT.format(place=str(place_of_wf()), code=code)
    command = [sys.executable, "-I", "-S", "-c", script]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


@pytest.mark.parametrize("module", CHEAP)
def test_importing_it_loads_nothing_expensive(module: str) -> None:
    loaded = loaded_by(f"import {module}")
    assert module in loaded
    assert loaded.intersection(EXPENSIVE) == set()


def test_an_expensive_import_would_be_noticed() -> None:
    assert loaded_by("import logging").intersection(EXPENSIVE) >= {"logging"}

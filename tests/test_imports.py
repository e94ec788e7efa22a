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


COLD_START = {
    "checksum": "digest records",
    "protocols": "capability context errors file local_errors locations partial registry values",
    "transfer": "accounting batch_command batch_errors batch_requests batch_schema batch_values batch_window batches cli"
    " concluding copying dispatch engine execution gates lanes logs options ordering outcomes plain_words planning pouring"
    " publishing pump refusals requests resuming retries routes settings signals sinks staging summary surroundings"
    " verification waits work",
}
"""Our modules that a copy of one local file needs. One more costs every job that moves one small file."""
COLD_START_OF_OTHERS = {
    *(
        "__future__",
        "_sha2",
        "_sha256",
        "_collections",
        "_functools",
        "_json",
        "_operator",
        "_weakrefset",
    ),
    *("atexit", "collections", "enum", "errno", "fcntl", "functools", "gc", "itertools", "keyword"),
    *("mmap", "operator", "reprlib", "threading", "types"),
}
"""Modules of the standard library that it needs beyond those of every start. No `re`, no `typing`, no `json`, no `signal`."""


def test_copying_one_local_file_loads_only_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"x" * 1024)
    batch = tmp_path / "one.json"
    place = '[{{"site_label": "local", "url": "file://{}"}}]'
    source, destination = place.format(tmp_path / "in"), place.format(tmp_path / "out")
    batch.write_text(
        f'[{{"type": "transfer", "lfn": "f", "src_urls": {source}, "dest_urls": {destination}}}]'
    )

    loaded = loaded_by(f"from wf.transfer.cli import main; assert main(['-f', {str(batch)!r}]) == 0")

    assert (tmp_path / "out").read_bytes() == b"x" * 1024
    ours = {f"wf.{package}.{name}" for package, names in COLD_START.items() for name in names.split()}
    packages = {"wf", *(f"wf.{package}" for package in COLD_START)}
    assert {name for name in loaded if name.partition(".")[0] == "wf"} - packages - ours == set()
    assert loaded - loaded_by("import os") - packages - ours - COLD_START_OF_OTHERS == set()


def test_little_data_is_hashed_without_openssl_and_comes_out_alike() -> None:
    """The example of FIPS 180-2, and both sides of the border."""
    program = (
        "import sys; from wf.checksum.digest import LITTLE, sha256_of;"
        "assert sha256_of(b'abc').hex().startswith('ba7816bf8f01cfea414140de5dae2223');"
        "little = sha256_of(memoryview(bytes(LITTLE))); assert 'hashlib' not in sys.modules;"
        "more = sha256_of(bytes(LITTLE + 1)); from hashlib import sha256;"
        "assert little == sha256(bytes(LITTLE)).digest() and more == sha256(bytes(LITTLE + 1)).digest()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

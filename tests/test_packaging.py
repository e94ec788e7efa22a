"""What is installed is what the project's description promises."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["setuptools"]["packages"]
FOLDERS = PROJECT["tool"]["setuptools"]["package-dir"]

# Where only the tests are, as when they are run against the wheel, there are no sources to look at.
in_the_tree = pytest.mark.skipif(not (ROOT / "transfer").is_dir(), reason="the sources are not here")
NOT_PACKAGES = {"tests", "integration", "benchmarks", "docs", "build", "dist"}


def folder_of(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.submodule_search_locations, package
    return Path(spec.submodule_search_locations[0])


def test_every_package_has_its_folder() -> None:
    assert set(FOLDERS) == set(PACKAGES)
    assert {f"wf.{folder}" for folder in FOLDERS.values()} == set(PACKAGES)


@in_the_tree
def test_every_folder_with_python_files_is_installed() -> None:
    found = {
        folder.relative_to(ROOT).as_posix()
        for top in ROOT.iterdir()
        if top.is_dir() and top.name not in NOT_PACKAGES and not top.name.startswith(".")
        for folder in (top, *top.rglob("*/"))
        if any(folder.glob("*.py"))
    }
    assert found == set(FOLDERS.values())


def test_wf_is_a_namespace_that_nobody_shadows() -> None:
    assert importlib.import_module("wf").__file__ is None


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_tells_type_checkers_that_it_is_typed(package: str) -> None:
    assert (folder_of(package) / "py.typed").is_file()


@in_the_tree
@pytest.mark.parametrize("package", PACKAGES)
def test_type_checkers_find_every_package(package: str) -> None:
    link = ROOT / "tests/typing" / package.replace(".", "/")
    assert os.readlink(link) == f"../../../{FOLDERS[package]}"
    assert link.is_dir()


@in_the_tree
@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_of_a_package_is_of_a_kind_that_is_installed(package: str) -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["*"]
    files = [path for path in (ROOT / FOLDERS[package]).iterdir() if path.is_file()]
    forgotten = [path.name for path in files if path.suffix != ".py" and not any(map(path.match, patterns))]
    assert forgotten == []


def test_the_installed_version_is_the_projects() -> None:
    assert importlib.metadata.version("wf-transfer") == PROJECT["project"]["version"]


def test_every_command_has_its_function() -> None:
    scripts = importlib.metadata.distribution("wf-transfer").entry_points.select(group="console_scripts")
    assert {script.name: script.value for script in scripts} == PROJECT["project"]["scripts"]
    assert all(callable(script.load()) for script in scripts)


def test_extra_all_is_all_extras() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    others = sorted(name for name in extras if name != "all")
    assert extras["all"] == [f"wf-transfer[{','.join(others)}]"]

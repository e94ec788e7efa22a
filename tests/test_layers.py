"""Who imports whom, read from the sources without running them."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ALLOWED = {
    "checksum": set(),
    "credentials": set(),
    "protocols": {"credentials", "checksum"},
    "transfer": {"protocols", "credentials", "checksum"},
}
TYPES_ONLY = "protocols.contract"
"""Holds obligations and nothing that runs: start-up does not pay for it."""


class Import(NamedTuple):
    """One import of something of ours, absolute or relative, wherever it stands in the module."""

    package: str
    module: str
    """The importing module, `protocols.http`."""
    target: str
    """`checksum.digest`; `checksum` when the package itself, `""` when `wf` itself."""
    absolute: bool
    for_types: bool
    """Below `if TYPE_CHECKING:`."""
    line: int


def sources() -> Iterator[tuple[str, Path]]:
    for package in ALLOWED:
        spec = importlib.util.find_spec(f"wf.{package}")
        assert spec is not None and spec.submodule_search_locations
        for path in sorted(Path(spec.submodule_search_locations[0]).glob("*.py")):
            yield package, path


def imports_of(package: str, path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text(), str(path))
    typed = {id(inner) for block in ast.walk(tree) if _is_for_types(block) for inner in ast.walk(block)}
    module = package if path.stem == "__init__" else f"{package}.{path.stem}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for target, absolute in _targets(node, package):
                yield Import(package, module, target, absolute, id(node) in typed, node.lineno)


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _targets(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str, bool]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield from _absolute(alias.name)
        return
    if node.level == 0:
        assert node.module is not None
        for alias in node.names:
            yield from _absolute(f"{node.module}.{alias.name}")
        return
    above = {1: [package], 2: []}[node.level]
    for alias in node.names:
        # The last part may be a module or a name in one; both are cut to `package.module` where they are compared.
        parts = [*above, *(node.module or "").split("."), alias.name]
        yield ".".join(part for part in parts if part), False


def _absolute(name: str) -> Iterator[tuple[str, bool]]:
    top, _, rest = name.partition(".")
    if top == "wf":
        yield rest, True
    elif top in ALLOWED:
        yield name, True


ALL = [one for package, path in sources() for one in imports_of(package, path)]


def described(imports: list[Import]) -> list[str]:
    return [f"{one.module}:{one.line} imports {one.target}" for one in imports]


def is_command_line(module: str) -> bool:
    return module.split(".")[1:2] in (["cli"], ["__main__"])


def test_there_is_something_to_look_at() -> None:
    assert {one.package for one in ALL} >= {"protocols", "transfer"}


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_those_below_it(package: str) -> None:
    allowed = {package, *ALLOWED[package]}
    wrong = [
        one
        for one in ALL
        if one.package == package
        and one.target.split(".")[0] not in allowed
        and not is_command_line(one.module)
    ]
    assert described(wrong) == []


def test_siblings_import_each_other_relatively() -> None:
    assert described([one for one in ALL if one.absolute]) == []


def test_nobody_imports_a_command_line() -> None:
    wrong = [one for one in ALL if is_command_line(one.target) and not one.module.endswith(".__main__")]
    assert described(wrong) == []


def test_the_contract_is_imported_for_types_only() -> None:
    wrong = [one for one in ALL if f"{one.target}.".startswith(f"{TYPES_ONLY}.") and not one.for_types]
    assert described(wrong) == []


def test_a_planted_fault_is_found(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text(
        "from .. import transfer\n"
        "from ..transfer.cli import main\n"
        "import wf.transfer, transfer.plan\n"
        "from .contract import Store\n"
        "if TYPE_CHECKING:\n"
        "    from .contract import Reader\n"
        "import os.path\n"
    )
    found = [(one.target, one.absolute, one.for_types) for one in imports_of("protocols", planted)]
    assert sorted(found) == [
        ("protocols.contract.Reader", False, True),
        ("protocols.contract.Store", False, False),
        ("transfer", False, False),
        ("transfer", True, False),
        ("transfer.cli.main", False, False),
        ("transfer.plan", True, False),
    ]

"""The protocol that docs/adding-a-protocol.md builds passes the suite, exactly as it is printed there."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

CHAPTER = Path(__file__).parents[1] / "docs" / "adding-a-protocol.md"

if not CHAPTER.exists():
    pytest.skip("the documentation is not here", allow_module_level=True)


def module(name: str, source: str) -> ModuleType:
    made = ModuleType(name)
    sys.modules[name] = made
    exec(compile(source, f"{CHAPTER}:{name}", "exec"), made.__dict__)  # noqa: S102 - the documentation is ours
    return made


_PROTOCOL, _TEST = re.findall(r"```python\n(.*?)```", CHAPTER.read_text("utf-8"), re.DOTALL)
module("shelf", _PROTOCOL)
TestShelf = module("test_shelf", _TEST).TestShelf

"""Where the names of a manifest lead."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .errors import OutsideFolder

if TYPE_CHECKING:
    from os import PathLike
    from typing import TypeAlias

    Path: TypeAlias = str | bytes | PathLike[str] | PathLike[bytes]


def located(name: bytes, folder: bytes | None = None, *, allow_absolute: bool = False) -> bytes:
    """The path to open for a name in a manifest that is checked in `folder`; None is the working directory.

    Raises OutsideFolder for an absolute name and for one with `..`, unless `allow_absolute`. Links inside the
    folder are followed: whoever filled the folder made them, not who wrote the manifest.
    """
    if not allow_absolute:
        if name.startswith(b"/"):
            raise OutsideFolder("the name is absolute, and could be any file of this machine")
        if b".." in name and b".." in name.split(b"/"):
            raise OutsideFolder("the name goes up, and could leave the folder")
    return name if folder is None else os.path.join(folder, name)


def is_below(path: bytes, folder: bytes) -> bool:
    """Whether the folder that holds the file or link `path` is this folder or below it, all links resolved."""
    top = os.path.join(os.path.realpath(folder), b"")
    return os.path.join(os.path.realpath(os.path.dirname(path) or b"."), b"").startswith(top)

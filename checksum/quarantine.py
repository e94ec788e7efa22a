"""Files that are not what they should be, put where nobody takes them for good ones."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .paths import Path


def quarantine(path: bytes, name: bytes, folder: Path) -> bytes:
    """Moves a file into `folder`, which is made if need be, and returns its new path.

    It keeps its name and the folders in that; where something is there already a number is added. A link is moved, not
    what it leads to, which may be somebody else's. Raises OSError; then the file is where it was.
    """
    parts = [part for part in name.split(b"/") if part not in (b"", b".", b"..")]
    wanted = os.path.join(os.fsencode(folder), *parts or [os.path.basename(path)])
    os.makedirs(os.path.dirname(wanted), exist_ok=True)
    target = _free(wanted)
    if os.path.islink(path):
        os.symlink(os.path.realpath(path), target)
        os.unlink(path)
    else:
        _moved(path, target)
    return target


def _free(wanted: bytes) -> bytes:
    target, number = wanted, 1
    while os.path.lexists(target):
        number += 1
        target = b"%b.%d" % (wanted, number)
    return target


def _moved(path: bytes, target: bytes) -> None:
    import errno

    try:
        os.rename(path, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        import shutil

        shutil.move(os.fsdecode(path), os.fsdecode(target))

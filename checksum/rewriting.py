"""Files replaced by a new version of themselves."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .manifests import PublishedFile

if TYPE_CHECKING:
    from io import BufferedWriter

    from .paths import Path


class RewrittenFile(PublishedFile):
    """A new version of a file that is there: it keeps the permission bits, and a link keeps leading to it."""

    def __init__(self, path: Path) -> None:
        self._mode = os.stat(path).st_mode & 0o7777
        super().__init__(os.path.realpath(path))

    def _open(self) -> BufferedWriter:
        file = super()._open()
        os.fchmod(file.fileno(), self._mode)
        return file


def is_partial(path: bytes) -> bool:
    """Whether this is a file of ours that never got its name: one that is being written, or was left by a crash."""
    name = os.path.basename(path)
    return name.startswith(b".wf-") and name.endswith(b".part")

"""Files replaced by a new version of themselves."""

from __future__ import annotations

import os

from .manifests import PublishedFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .paths import Path


class RewrittenFile(PublishedFile):
    """A new version of a file that is there: other than a published one it keeps a link leading to it."""

    def __init__(self, path: Path) -> None:
        super().__init__(os.path.realpath(path))


def is_partial(path: bytes) -> bool:
    """Whether this is a file of ours that never got its name: one that is being written, or was left by a crash."""
    return path.endswith(b".part") and os.path.basename(path).startswith(b".wf-")

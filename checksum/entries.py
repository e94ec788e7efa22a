"""What a manifest says of a file, whatever format it is written in."""

from __future__ import annotations

from .records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .digest import Digest


class BlockDigests(NamedTuple):
    """Digests of the blocks of a file, in order; all have `size` bytes but the last, which has one byte or more.

    An empty file has none.
    """

    size: int
    algorithm: str
    values: tuple[bytes, ...]


class ManifestEntry(NamedTuple):
    """What is said about one file. None is what the manifest does not tell.

    `guessed` tells that the algorithm was taken from the value's length alone, which two algorithms may share.
    """

    name: bytes
    digests: tuple[Digest, ...]
    size: int | None = None
    mtime_ns: int | None = None
    inode: int | None = None
    blocks: BlockDigests | None = None
    guessed: bool = False

    def digest(self, algorithm: str = "sha256") -> Digest | None:
        """The digest by this algorithm (its canonical name), or None."""
        return next((one for one in self.digests if one.algorithm == algorithm), None)


class ManifestLine(NamedTuple):
    """An entry and where it stands, counted from 1: a line, or in a JSON array the element.

    Without `entry` it is malformed, and `problem` says how.
    """

    number: int
    entry: ManifestEntry | None
    problem: str = ""

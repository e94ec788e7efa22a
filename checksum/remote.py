"""What the command needs of files that are not on this machine. Who asks for them is handed in: this package knows no URLs."""

from __future__ import annotations

import re

from .errors import ChecksumError
from .records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Protocol

    from .digest import Digest

    class Remote(Protocol):
        """Asks services."""

        def configure(self, access: Access) -> None:
            """Before all else."""

        def shown(self, url: str) -> str:
            """The URL without secrets, for everything that is printed."""

        def digest(self, url: str, algorithms: Sequence[str], *, site: str = "") -> RemoteDigest:
            """The digests of what a URL names: computed by its service where it can, else by reading. Raises RemoteFailed."""

        def walk(self, url: str) -> Iterator[str]:
            """The URLs of all files below a folder, sorted; the URL itself if it names a file. Raises RemoteFailed."""


class Access(NamedTuple):
    """With what services are asked."""

    site: str = ""
    """The site label of the URLs."""
    credentials: str = ""
    """A file that is looked into first."""
    insecure: bool = False
    """Files with secrets that others can read are used, with a warning."""
    fix_permissions: bool = False
    accept_new_host_keys: bool = False


class RemoteDigest(NamedTuple):
    """The digests in the order in which they were asked for; `size` where it is known."""

    digests: tuple[Digest, ...]
    size: int | None


class RemoteFailed(ChecksumError):
    """A service did not give what was asked for. `exit_code` is what the command ends with if nothing else failed.

    `absent` tells that the file is not there.
    """

    def __init__(self, text: str, *, exit_code: int = 1, absent: bool = False) -> None:
        super().__init__(text)
        self.exit_code = exit_code
        self.absent = absent


_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def is_url(name: str) -> bool:
    """Whether a word of the command line is a URL. A local file of such a name is written `./http://...`."""
    return "://" in name and _URL.match(name) is not None

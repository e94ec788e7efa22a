"""What sources work with: the environment, the policy for files, and the tokens that were made in this run."""

from __future__ import annotations

import os.path

from .errors import MissingCredential
from .private import STRICT, check_private, read_seen
from .records import NamedTuple
from .redaction import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .private import Policy, Seen


class Means(NamedTuple):
    """Lent to every source of a chain."""

    environment: Mapping[str, str]
    policy: Policy = STRICT

    def value(self, name: str) -> str:
        return self.environment.get(name, "")

    def home(self, *parts: str) -> str:
        """A path below the home; empty where there is no home."""
        home = self.value("HOME")
        return os.path.join(home, *parts) if home else ""

    def named(self, names: tuple[str, ...], looked: list[str]) -> Iterator[tuple[str, str]]:
        """Name and value of each variable that is set; the others are noted as looked at."""
        for name in names:
            value = self.value(name)
            if value:
                yield name, value
            else:
                looked.append(name)

    def named_file(self, path: str, origin: str) -> Seen:
        """Looks at a file with a secret that somebody named. Raises when it is missing or unsafe."""
        try:
            return check_private(path, self.policy)
        except FileNotFoundError:
            raise _not_there(path, origin) from None

    def read_named(self, path: str, origin: str) -> tuple[bytes, Seen]:
        try:
            return read_seen(path, self.policy)
        except FileNotFoundError:
            raise _not_there(path, origin) from None


def _not_there(path: str, origin: str) -> MissingCredential:
    named = f"{origin} names {printable(path)}" if printable(path) not in origin else origin
    return MissingCredential(
        f"{named}, which is not there" if named != origin else f"{origin} is not there",
        "check the path, and that the file was made and shipped with the job",
    )

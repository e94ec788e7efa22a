"""Sources that other distributions add, under the entry-point group `wf.credentials`.

Each entry point is called with the environment and returns a source. The distributions are looked through only when
nothing else had an answer; that none has such an entry point is found out without reading what they all offer.
"""

from __future__ import annotations

import os
import sys

from .errors import CredentialError, Misconfigured

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from .kinds import Credential
    from .means import Means
    from .query import Query
    from .source import Source

_GROUP: Final = "wf.credentials"


class Plugins:
    """All of them as one source, in the order of their names."""

    slow = ""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._loaded: tuple[Source, ...] | None = None

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        for source in self._sources():
            found = source.find(query, looked)
            if found is not None:
                return found
        return None

    def renew(self, query: Query, credential: Credential) -> Credential | None:
        for source in self._sources():
            again = getattr(source, "renew", None)
            found: Credential | None = again(query, credential) if again else source.find(query, [])
            if found is not None:
                return found
        return None

    def _sources(self) -> tuple[Source, ...]:
        if self._loaded is None:
            self._loaded = tuple(self._load()) if any(map(_offers_sources, sys.path)) else ()
        return self._loaded

    def _load(self) -> Iterator[Source]:
        from importlib.metadata import entry_points

        for point in sorted(entry_points(group=_GROUP), key=lambda each: each.name):
            try:
                yield point.load()(self._means.environment)
            except CredentialError:
                raise
            except Exception as error:
                raise Misconfigured(
                    f"the credential source {point.name} ({point.value}) cannot be used: {type(error).__name__}",
                    "update or remove the distribution that brings it",
                ) from error


def _offers_sources(folder: str) -> bool:
    """Whether a distribution in a folder of `sys.path` may have such an entry point. Archives may always."""
    try:
        names = os.listdir(folder or ".")
    except NotADirectoryError:
        return True
    except OSError:
        return False
    infos = (name for name in names if name.endswith((".dist-info", ".egg-info", ".egg")))
    return any(_names_group(os.path.join(folder, name, "entry_points.txt")) for name in infos)


def _names_group(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return _GROUP.encode() in file.read()
    except OSError:
        return False

"""What a source of credentials owes the chain. Sources of other distributions are kept to it by `conformance`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .kinds import Credential
    from .query import Query


class Source(Protocol):
    """One place to look. Used by several threads at once.

    A source whose credentials can be made anew has a method `renew(query, credential)` too, with the same obligations
    as `find`; without it `find` is asked again. One whose answers cost something has `name_of(query)`, the name alone.
    """

    slow: str
    """What a plan calls this source's answer instead of asking it; empty where asking is cheap."""

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        """The credential for `query`, or None after appending what was looked at to `looked`.

        Raises a `CredentialError` when what is there cannot be used.
        """

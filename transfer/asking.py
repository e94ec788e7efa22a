"""Stores for questions outside a run: what is there, before or instead of moving anything."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ..protocols.context import Context
from ..protocols.errors import LocalRefused
from ..protocols.registry import Registry, make_store, why_unusable
from .accounting import Accounts
from .logs import Log
from .outcomes import Outcome, Status
from .requests import MakeDirectory
from .settings import Settings
from .surroundings import Surroundings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from ..protocols.capability import Capability
    from ..protocols.contract import Store
    from ..protocols.errors import TransferError
    from ..protocols.locations import Location
    from .settings import Exit
    from .surroundings import CredentialSource


class Stores:
    """One store a protocol, made when first asked for. Use it in a `with` statement, in one thread."""

    def __init__(
        self,
        credentials: CredentialSource,
        environment: Mapping[str, str],
        *,
        stall: float,
        accept_new_host_keys: bool = False,
        registry: Registry | None = None,
    ) -> None:
        self._registry = registry or Registry()
        self._surroundings = Surroundings(credentials, environment)
        self._stall = stall
        self._accept_new_host_keys = accept_new_host_keys
        self._context: Context | None = None
        self._stores: dict[str, Store] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for store in self._stores.values():
            store.close()
        self._stores.clear()

    def capability(self, location: Location) -> Capability:
        """What the protocol of a location can do. Raises a TransferError where the location cannot be used."""
        if location.problem:
            raise LocalRefused(
                f"{location.shown}: {location.problem}", remedy="set the variable, or write the path out"
            )
        error = why_unusable(self._registry, location.scheme)
        if error is not None:
            raise error
        capability = self._registry.capability(location.scheme)
        assert capability is not None, location.scheme
        return capability

    def store(self, location: Location) -> Store:
        """The store for a location. Raises as `capability` does."""
        capability = self.capability(location)
        store = self._stores.get(capability.protocol)
        if store is None:
            store = self._stores[capability.protocol] = make_store(capability, self._context_of_all())
        return store

    def _context_of_all(self) -> Context:
        if self._context is None:
            self._context = Context(
                stop=threading.Event(),
                connect=Settings().connect,
                stall=self._stall,
                credential=self._surroundings.credential,
                renew=self._surroundings.renew,
                tls=self._surroundings.tls,
                proxies=self._surroundings.proxies,
                log=Log(),
                accept_new_host_keys=self._accept_new_host_keys,
            )
        return self._context


def exit_of(failures: Iterable[tuple[Location, TransferError]]) -> Exit:
    """The exit code that these failures call for, by the rules of a run."""
    accounts = Accounts()
    for location, error in failures:
        # Looking is nobody's request; one of one place stands in for it.
        accounts.add(Outcome(MakeDirectory(0, "", location), Status.FAILED, error=error))
    return accounts.exit_code(stopped=False, engine_failed=False)

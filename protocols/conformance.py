"""The obligations of a protocol as tests: one suite for all of them, ours and those of plug-ins. Needs pytest.

A protocol's own test module starts its server and subclasses the suite::

    class TestMemory(StoreConformance):
        @pytest.fixture
        def capability(self, server):
            return server.capability()

        @pytest.fixture
        def place(self, server):
            return server.location("/place")

`capability` and `place` are required: the constant to be checked, and a fresh folder (existing, where the
protocol knows folders) below which the suite may do as it likes. Everything else in `Suite` has a default. The
capability is checked both ways: what it declares works, what it does not is refused with the right error.
`pytest.register_assert_rewrite("wf.protocols")` in a conftest makes failures show their values.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from .conformance_bytes import ReadConformance, WriteConformance
from .conformance_names import CopyConformance, FolderConformance, ListConformance, StatConformance
from .conformance_parts import PartsConformance, ResumeConformance
from .conformance_shapes import ResolverConformance, ServiceConformance
from .conformance_tools import Suite, drained, make_context, refused, within_guard
from .errors import Broken, Denied, LocalRefused, Stopped, Unreachable
from .registry import make_store

if TYPE_CHECKING:
    from .capability import Capability
    from .context import Context
    from .contract import Store
    from .locations import Location

__all__ = ["StoreConformance", "make_context"]

_SOON = 0.2


class FaultConformance(Suite):
    """What can only be tested with the help of a server that misbehaves."""

    def test_a_refused_credential_is_named_so(self, store: Store, denied_location: Location | None) -> None:
        if denied_location is None:
            pytest.skip("no denied_location")
        refused(lambda: drained(store.open_read(denied_location)), Denied, LocalRefused)

    def test_a_short_body_is_no_quiet_end(self, store: Store, cut_location: Location | None) -> None:
        if cut_location is None:
            pytest.skip("no cut_location")
        refused(lambda: drained(store.open_read(cut_location)), Broken)

    def test_a_stalled_source_is_given_up(
        self, capability: Capability, context: Context, stalled_location: Location | None
    ) -> None:
        if stalled_location is None:
            pytest.skip("no stalled_location")
        context.stall = context.connect = _SOON
        store = make_store(capability, context)
        refused(lambda: within_guard(lambda: drained(store.open_read(stalled_location))), Broken, Unreachable)
        store.close()

    def test_a_stalled_source_does_not_hold_up_the_end_of_the_run(
        self, store: Store, context: Context, stalled_location: Location | None
    ) -> None:
        if stalled_location is None:
            pytest.skip("no stalled_location")
        context.stall = context.connect = 1000.0
        timer = threading.Timer(_SOON, context.stop.set)
        timer.start()
        refused(lambda: within_guard(lambda: drained(store.open_read(stalled_location))), Stopped)
        timer.join()


class StoreConformance(
    ReadConformance,
    WriteConformance,
    ResumeConformance,
    PartsConformance,
    StatConformance,
    ListConformance,
    FolderConformance,
    CopyConformance,
    ResolverConformance,
    ServiceConformance,
    FaultConformance,
):
    """Subclass it under a name that begins with `Test`, and give the fixtures."""

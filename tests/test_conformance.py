"""The conformance suite itself: stores that break one obligation each, and the test that must notice."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from itertools import product
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from wf.protocols.capability import Publish
from wf.protocols.conformance import StoreConformance
from wf.protocols.conformance_tools import make_context
from wf.protocols.errors import Broken, Exists, NotFound
from wf.protocols.locations import Location
from wf.protocols.memory import Manners, MemoryServer
from wf.protocols.memory_store import MemoryReader, MemoryStore, MemoryWriter
from wf.protocols.registry import make_store
from wf.protocols.values import Entry, Incoming, Receipt

if TYPE_CHECKING:
    from wf.checksum.digest import Digest

SUITE = StoreConformance()
ALL = [name for name in dir(SUITE) if name.startswith("test_")]


class Bench:
    """A fresh server, and how a suite's test method is called by hand."""

    def __init__(self, store: type[MemoryStore] = MemoryStore, manners: Manners | None = None) -> None:
        self.server = MemoryServer(manners=manners)
        self.server.add_folder("/place")
        self.server.put("/cut", b"0123456789")
        self.server.truncate("/cut", 5)
        self.declared = self.server.capability()
        """What the store does."""
        self.shown: dict[str, object] = {}
        """What the capability claims in contradiction to it."""
        self.kind = store

    def check(self, name: str) -> Iterator[str]:
        """One text for each way in which the test failed."""
        method = getattr(SUITE, name)
        for arguments in _cases(method):
            context = make_context()
            capability = self.declared._replace(
                implementation=lambda context: self.kind(self.server, self.declared, context), **self.shown
            )
            have = {
                "capability": capability,
                "context": context,
                "store": make_store(capability, context),
                "other_store": make_store(capability, context),
                "place": self.server.location("/place"),
                "cut_location": self.server.location("/cut"),
                "denied_location": None,
                "stalled_location": None,
                **arguments,
            }
            try:
                method(**{name: have[name] for name in inspect.signature(method).parameters})
            except pytest.skip.Exception:
                continue
            except Exception as error:  # noqa: BLE001 - any failure is a failure of the test
                yield f"{name}{arguments}: {error!r}"
            self.server.objects.clear()
            self.server.folders = {"/", "/place"}
            self.server.put("/cut", b"0123456789")


def _cases(method: Callable[..., None]) -> list[dict[str, object]]:
    choices = []
    for mark in getattr(method, "pytestmark", []):
        names, values = mark.args
        keys = [names] if isinstance(names, str) else list(names)
        choices.append([dict(zip(keys, [v] if isinstance(names, str) else v, strict=True)) for v in values])
    return [{key: value for case in cases for key, value in case.items()} for cases in product(*choices)]


def notices(bench: Bench, name: str) -> bool:
    return bool(list(bench.check(name)))


@pytest.mark.parametrize("name", ALL)
def test_a_good_store_passes(name: str) -> None:
    assert list(Bench().check(name)) == []


# Stores that do something wrong


class KeepsViews(MemoryStore):
    def open_write(self, location: Location, incoming: Incoming) -> MemoryWriter:
        writer = super().open_write(location, incoming)
        kept: list[memoryview] = []
        plain = writer.commit

        def commit(digests: tuple[Digest, ...]) -> Receipt:
            writer._data = bytearray().join(kept)
            return plain(digests)

        writer.write, writer.commit = kept.append, commit  # type: ignore[method-assign]
        return writer


class LosesTheLastByte(MemoryStore):
    def open_write(self, location: Location, incoming: Incoming) -> MemoryWriter:
        writer = super().open_write(location, incoming._replace(size=None))
        plain = writer.commit

        def commit(digests: tuple[Digest, ...]) -> Receipt:
            del writer._data[-1:]
            return plain(digests)

        writer.commit = commit  # type: ignore[method-assign]
        return writer


class ScribblesOnWhatIsLent(MemoryStore):
    def open_write(self, location: Location, incoming: Incoming) -> MemoryWriter:
        writer = super().open_write(location, incoming._replace(sha256=None))
        plain = writer.write

        def write(view: memoryview) -> None:
            plain(view)
            if not view.readonly:
                view[:1] = b"!"[: len(view)]

        writer.write = write  # type: ignore[method-assign]
        return writer


class AbortsOnce(MemoryStore):
    def open_write(self, location: Location, incoming: Incoming) -> MemoryWriter:
        writer = super().open_write(location, incoming)
        plain = writer.abort

        def abort(*, keep: bool = False) -> None:
            assert writer._visit is not None
            plain(keep=keep)

        writer.abort = abort  # type: ignore[method-assign]
        return writer


class IgnoresTheRange(MemoryStore):
    def open_read(
        self, location: Location, *, start: int = 0, length: int | None = None, version: str | None = None
    ) -> MemoryReader:
        return super().open_read(location, version=version)


class IgnoresTheLength(MemoryStore):
    def open_read(
        self, location: Location, *, start: int = 0, length: int | None = None, version: str | None = None
    ) -> MemoryReader:
        return super().open_read(location, start=start, version=version)


class IgnoresTheVersion(MemoryStore):
    def open_read(
        self, location: Location, *, start: int = 0, length: int | None = None, version: str | None = None
    ) -> MemoryReader:
        return super().open_read(location, start=start, length=length)


class SaysBrokenForAbsent(MemoryStore):
    def open_read(
        self, location: Location, *, start: int = 0, length: int | None = None, version: str | None = None
    ) -> MemoryReader:
        try:
            return super().open_read(location, start=start, length=length, version=version)
        except NotFound as error:
            raise Broken(str(error)) from error


class ReadsInDribbles(MemoryStore):
    def open_read(
        self, location: Location, *, start: int = 0, length: int | None = None, version: str | None = None
    ) -> MemoryReader:
        reader = super().open_read(location, start=start, length=length, version=version)
        reader._view = reader._view[:1000]
        return reader


class TellsTheSizeOfTheRange(MemoryStore):
    def open_read(
        self, location: Location, *, start: int = 0, length: int | None = None, version: str | None = None
    ) -> MemoryReader:
        reader = super().open_read(location, start=start, length=length, version=version)
        reader.size = len(reader._data)
        return reader


class DecodesNames(MemoryStore):
    def open_read(
        self, location: Location, *, start: int = 0, length: int | None = None, version: str | None = None
    ) -> MemoryReader:
        return super().open_read(_decoded(location), start=start, length=length, version=version)

    def open_write(self, location: Location, incoming: Incoming) -> MemoryWriter:
        return super().open_write(_decoded(location), incoming)


def _decoded(location: Location) -> Location:
    return location.with_path(unquote(location.path))


class CutsNamesAtTheQuestionMark(MemoryStore):
    def open_read(
        self, location: Location, *, start: int = 0, length: int | None = None, version: str | None = None
    ) -> MemoryReader:
        return super().open_read(_cut(location), start=start, length=length, version=version)

    def open_write(self, location: Location, incoming: Incoming) -> MemoryWriter:
        return super().open_write(_cut(location), incoming)


def _cut(location: Location) -> Location:
    return location.with_path(location.path.partition("?")[0])


class RemovesByPrefix(MemoryStore):
    def remove(self, location: Location, *, recursive: bool) -> None:
        super().remove(location, recursive=recursive)
        if recursive:
            for name in self._server.names():
                if name.startswith(location.path):
                    del self._server.objects[name]


class RemovesFolders(MemoryStore):
    def remove(self, location: Location, *, recursive: bool) -> None:
        super().remove(location, recursive=True)


class MissesWhatIsToBeRemoved(MemoryStore):
    def remove(self, location: Location, *, recursive: bool) -> None:
        self.stat(location)
        super().remove(location, recursive=recursive)


class MakesFoldersOnce(MemoryStore):
    def make_directory(self, location: Location) -> None:
        if location.path in self._server.folders:
            raise Exists(location.path)
        super().make_directory(location)


class ListsEverything(MemoryStore):
    def list(self, location: Location, *, recursive: bool) -> Iterator[Entry]:
        return super().list(location, recursive=True)


class ListsAbsolutePaths(MemoryStore):
    def list(self, location: Location, *, recursive: bool) -> Iterator[Entry]:
        for entry in super().list(location, recursive=recursive):
            yield entry._replace(path=location.below(entry.path).path)


@pytest.mark.parametrize(
    ("store", "name"),
    [
        (KeepsViews, "test_a_written_view_is_neither_kept_nor_changed"),
        (LosesTheLastByte, "test_what_was_written_is_stored"),
        (ScribblesOnWhatIsLent, "test_a_written_view_is_neither_kept_nor_changed"),
        (ScribblesOnWhatIsLent, "test_a_whole_file_comes_with_its_digest"),
        (AbortsOnce, "test_what_was_given_up_leaves_nothing"),
        (IgnoresTheRange, "test_a_range_is_read"),
        (IgnoresTheRange, "test_a_start_behind_the_end_means_that_the_object_changed"),
        (IgnoresTheLength, "test_a_range_is_read"),
        (TellsTheSizeOfTheRange, "test_a_range_is_read"),
        (IgnoresTheVersion, "test_another_version_is_noticed"),
        (SaysBrokenForAbsent, "test_what_is_absent_is_not_found"),
        (ReadsInDribbles, "test_an_object_is_read_whole"),
        (DecodesNames, "test_odd_names_are_names_like_others"),
        (CutsNamesAtTheQuestionMark, "test_odd_names_are_names_like_others"),
        (RemovesByPrefix, "test_a_tree_is_removed_and_nothing_beside_it"),
        (RemovesFolders, "test_a_folder_is_not_removed_as_if_it_were_an_object"),
        (MissesWhatIsToBeRemoved, "test_removing_what_is_absent_is_success"),
        (MakesFoldersOnce, "test_a_folder_is_made_and_made_again"),
        (ListsEverything, "test_a_folder_is_listed"),
        (ListsAbsolutePaths, "test_a_tree_is_listed"),
    ],
)
def test_a_store_that_breaks_an_obligation_is_noticed(store: type[MemoryStore], name: str) -> None:
    assert notices(Bench(store), name)


def test_a_store_that_publishes_early_is_noticed() -> None:
    bench = Bench()
    bench.declared = bench.declared._replace(publish=Publish.AFTER)
    bench.shown = {"publish": Publish.ATOMIC}
    assert notices(bench, "test_nothing_is_visible_before_commit")
    assert notices(bench, "test_the_old_content_stays_until_commit")
    assert notices(bench, "test_what_was_given_up_leaves_nothing")


@pytest.mark.parametrize(
    ("manners", "name"),
    [
        (Manners(leaves_on_abort=True), "test_what_was_given_up_leaves_nothing"),
        (Manners(receipt_extra=1), "test_what_was_written_is_stored"),
        (Manners(echoes=("md5",), lies=True), "test_what_was_written_is_stored"),
        (Manners(gives=("sha256",), lies=True), "test_an_object_is_read_whole"),
        (Manners(gives=("sha256",), lies=True), "test_an_object_is_looked_at"),
        (Manners(lies=True), "test_a_digest_is_computed_where_it_is"),
        (Manners(lies=True), "test_the_service_copies"),
        (Manners(tells_size=False), "test_a_short_body_is_no_quiet_end"),
    ],
)
def test_a_server_that_says_wrong_things_is_noticed(manners: Manners, name: str) -> None:
    assert notices(Bench(manners=manners), name)


FLAGS: list[tuple[str, object, object, str]] = [
    ("read", True, False, "test_an_object_is_read_whole"),
    ("read_range", True, False, "test_a_range_is_read"),
    ("read_version", True, False, "test_an_object_is_read_whole"),
    ("write", True, False, "test_what_was_written_is_stored"),
    ("write_needs_size", False, True, "test_a_size_that_nobody_knows"),
    ("stat", True, False, "test_an_object_is_looked_at"),
    ("list", True, False, "test_a_tree_is_listed"),
    ("make_directory", True, False, "test_a_folder_is_made_and_made_again"),
    ("remove", True, False, "test_an_object_is_removed"),
    ("remove_recursive", True, False, "test_a_tree_is_removed_and_nothing_beside_it"),
    ("digest", ("sha256",), (), "test_a_digest_is_computed_where_it_is"),
    ("shapes", ("store", "copier"), ("store",), "test_the_service_copies"),
]


@pytest.mark.parametrize(("flag", "can", "cannot", "name"), FLAGS)
def test_a_capability_that_says_too_much_or_too_little_is_noticed(
    flag: str, can: object, cannot: object, name: str
) -> None:
    for does, claims in ((can, cannot), (cannot, can)):
        bench = Bench()
        bench.declared = bench.declared._replace(**{flag: does})
        bench.shown = {flag: claims}
        assert notices(bench, name), f"{flag} is {does} and {claims} is declared"
        bench.shown = {}
        assert not notices(bench, name), f"{flag} is {does} and declared so"


def test_parents_that_are_not_made_are_noticed() -> None:
    bench = Bench()
    bench.declared = bench.declared._replace(write_create_parents=False)
    assert not notices(bench, "test_folders_above_are_made")
    bench.shown = {"write_create_parents": True}
    assert notices(bench, "test_folders_above_are_made")

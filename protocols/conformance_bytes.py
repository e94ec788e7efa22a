"""The part of the conformance suite that reads and writes objects."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest

from .capability import Publish
from .conformance_tools import (
    BUFFER,
    SIZES,
    Suite,
    begun,
    check_receipt,
    content,
    digest_of,
    digests_for,
    drained,
    error_of,
    odd_names,
    refused,
    scribble,
    written,
)
from .errors import Changed, Denied, LocalRefused, NotFound, TransferError, Unsupported
from .values import Incoming, Traits

if TYPE_CHECKING:
    from .capability import Capability
    from .context import Context
    from .contract import Announcing, Keeping, Reader, Sending, Store, TellingReader, Writer
    from .locations import Location

_LARGE = SIZES[-1]
_LONG_AGO = 1_234_567_890
_RANGES = (
    (1, None),
    (BUFFER + 1, None),
    (0, 10),
    (5, 10),
    (7, BUFFER + 3),
    (_LARGE - 1, 100),
    (3, 1 << 40),
)
_NO_PARENTS = (NotFound, Unsupported, Denied, LocalRefused)


class ReadConformance(Suite):
    @pytest.mark.parametrize("size", SIZES)
    def test_an_object_is_read_whole(
        self, store: Store, capability: Capability, place: Location, size: int
    ) -> None:
        data = content(size)
        location = place.below("object")
        if not capability.read:
            refused(lambda: store.open_read(location), Unsupported)
            return
        self.put(store, location, data)
        reader = store.open_read(location)
        first = bytes(reader.read())
        assert size > BUFFER or len(first) == size, "what fits the buffer comes in one view"
        _check_reader(reader, capability, data)
        assert first + drained(reader) == data

    def test_what_is_absent_is_not_found(self, store: Store, capability: Capability, place: Location) -> None:
        if capability.read:
            refused(lambda: store.open_read(place.below("absent")), NotFound)
            refused(lambda: store.open_read(place.below("no-folder/absent")), NotFound)

    def test_announced_objects_are_the_same_as_others(
        self, store: Store, capability: Capability, place: Location
    ) -> None:
        if capability.ahead < 2:
            assert not hasattr(store, "announce"), "nobody calls it"
            return
        announcing: Announcing = store  # type: ignore[assignment]
        locations = [place.below(f"announced-{number}") for number in range(2 * capability.ahead)]
        for number, location in enumerate(locations):
            if number != 9:
                self.put(store, location, content(number * 1000))
        announcing.announce(locations)
        for number, location in enumerate(locations[:12]):
            if number == 9:
                refused(partial(store.open_read, location), NotFound)
            else:
                assert drained(store.open_read(location)) == content(number * 1000)
        announcing.announce(locations[12:])
        for number in (12, 13, 14, 20, 1, 15):
            assert drained(store.open_read(locations[number])) == content(number * 1000), "announced or not"

    def test_a_reader_that_is_closed_early_disturbs_nothing(
        self, store: Store, capability: Capability, place: Location
    ) -> None:
        if not capability.read:
            return
        large, small = place.below("large"), place.below("small")
        self.put(store, large, content(_LARGE))
        self.put(store, small, b"small")
        for reads in (0, 1, 2):
            reader = store.open_read(large)
            for _ in range(reads):
                reader.read()
            reader.close()
            reader.close()
            assert drained(store.open_read(small)) == b"small"
        assert drained(store.open_read(large)) == content(_LARGE)

    @pytest.mark.parametrize(("start", "length"), _RANGES)
    def test_a_range_is_read(
        self, store: Store, capability: Capability, place: Location, start: int, length: int | None
    ) -> None:
        if not capability.read:
            return
        data = content(_LARGE)
        location = place.below("object")
        self.put(store, location, data)
        if not capability.read_range:
            refused(
                lambda: drained(store.open_read(location, start=start, length=length)), Unsupported, Changed
            )
            return
        reader = store.open_read(location, start=start, length=length)
        assert reader.size in (None, len(data)), "the size is that of the whole object, not of the range"
        assert drained(reader) == (data[start:] if length is None else data[start : start + length])

    def test_a_start_behind_the_end_means_that_the_object_changed(
        self, store: Store, capability: Capability, place: Location
    ) -> None:
        if capability.read_range:
            self.put(store, place.below("object"), b"short")
            refused(lambda: drained(store.open_read(place.below("object"), start=100)), Changed)

    def test_another_version_is_noticed(self, store: Store, capability: Capability, place: Location) -> None:
        if not capability.read_version:
            return
        location = place.below("object")
        self.put(store, location, b"one way")
        version = _version(store, location)
        assert _version(store, location) == version, "the same object has the same version"
        assert drained(store.open_read(location, version=version)) == b"one way"
        if capability.read_range:
            assert drained(store.open_read(location, start=4, version=version)) == b"way"
        self.put(store, location, b"another")
        refused(lambda: drained(store.open_read(location, version=version)), Changed)
        if capability.read_range:
            refused(lambda: drained(store.open_read(location, start=4, version=version)), Changed)
        assert _version(store, location) != version

    def test_time_and_permissions_are_told(
        self, store: Store, capability: Capability, place: Location
    ) -> None:
        if not capability.read:
            return
        self.put(store, place.below("object"), b"with a time")
        reader = store.open_read(place.below("object"))
        traits = reader.traits() if hasattr(reader, "traits") else Traits()
        assert drained(reader) == b"with a time"
        assert (traits.modified is not None) == capability.read_times
        assert (traits.mode is not None) == capability.read_modes
        if traits.modified is not None and capability.stat:
            told = store.stat(place.below("object")).modified
            assert told is None or abs(traits.modified / 1e9 - told) < 1, "stat and read tell different times"


class WriteConformance(Suite):
    def test_files_that_are_sent_behind_one_another_are_the_same_as_others(
        self, store: Store, capability: Capability, place: Location
    ) -> None:
        if capability.behind < 2:
            return
        contents = {place.below(f"sent-{number}"): content(number * 1000) for number in range(1, 20)}
        first, *others = contents
        self.put(store, first, contents[first])
        waiting: list[tuple[Location, Writer]] = []
        for location in others:
            data = contents[location]
            writer = _sent(store, location, data)
            if writer is None:
                self.put(store, location, data)
            else:
                waiting.append((location, writer))
            if len(waiting) == capability.behind or location is others[-1]:
                for there, one in waiting:
                    check_receipt(one.commit(digests_for(one, contents[there])), contents[there])
                waiting.clear()
        for location, data in contents.items():
            assert drained(store.open_read(location)) == data

    def test_a_file_that_cannot_be_sent_is_its_own_failure(
        self, store: Store, capability: Capability, place: Location
    ) -> None:
        if capability.behind < 2 or not capability.folders:
            return
        self.put(store, place.below("first"), b"first")
        store.make_directory(place.below("folder"))
        before = _sent(store, place.below("before"), b"before")
        wrong: Writer | None = None
        with suppress(TransferError):
            wrong = _sent(store, place.below("folder"), b"folder")
        if before is None or error_of(partial(before.commit, digests_for(before, b"before"))) is not None:
            self.put(store, place.below("before"), b"before")
        assert wrong is None or error_of(partial(wrong.commit, digests_for(wrong, b"folder")))
        assert store.stat(place.below("folder")).is_directory
        assert drained(store.open_read(place.below("before"))) == b"before"

    @pytest.mark.parametrize("which", ("times", "modes"))
    def test_time_and_permissions_are_kept(
        self, store: Store, capability: Capability, place: Location, which: str
    ) -> None:
        location = place.below("object")
        can = capability.write_times if which == "times" else capability.write_modes
        keeping: Keeping = store  # type: ignore[assignment]
        traits = Traits(modified=_LONG_AGO * 10**9) if which == "times" else Traits(mode=0o640)
        if not can:
            if hasattr(store, "set_traits"):
                refused(lambda: keeping.set_traits(location, traits), Unsupported)
            return
        refused(lambda: keeping.set_traits(place.below("absent"), traits), NotFound)
        self.put(store, location, b"kept")
        before = _traits(store, location, capability)
        keeping.set_traits(location, traits)
        assert self.get(store, location) == b"kept"
        after = _traits(store, location, capability)
        if capability.read and capability.read_times:
            assert after.modified == (traits.modified if which == "times" else before.modified)
        if capability.read and capability.read_modes:
            assert after.mode == (traits.mode if which == "modes" else before.mode)
        if capability.stat and which == "times":
            told = store.stat(location).modified
            assert told is None or int(told) == _LONG_AGO

    @pytest.mark.parametrize("size", SIZES)
    def test_what_was_written_is_stored(
        self, store: Store, capability: Capability, place: Location, size: int
    ) -> None:
        data = content(size)
        location = place.below("object")
        if not capability.write:
            refused(lambda: written(store, location, data), Unsupported)
            return
        receipt = written(store, location, data)
        assert self.get(store, location) == data
        check_receipt(receipt, data)

    def test_a_written_view_is_neither_kept_nor_changed(
        self, store: Store, capability: Capability, place: Location, context: Context
    ) -> None:
        if not capability.write:
            return
        data = content(2 * BUFFER + 5)
        location = place.below("object")
        writer = store.open_write(location, Incoming(len(data)))
        for first in range(0, len(data), 65_539):
            piece = data[first : first + 65_539]
            view = context.view[: len(piece)]
            view[:] = piece
            writer.write(view)
            assert view == piece, "the view belongs to the one who lent it"
            scribble(view)
        check_receipt(writer.commit(digests_for(writer, data)), data)
        assert self.get(store, location) == data

    @pytest.mark.parametrize("size", (0, 1, BUFFER))
    def test_a_whole_file_comes_with_its_digest(
        self, store: Store, capability: Capability, place: Location, context: Context, size: int
    ) -> None:
        if not capability.write:
            return
        data = content(size)
        view = context.view[:size]
        view[:] = data
        location = place.below("object")
        writer = store.open_write(location, Incoming(size, hashlib.sha256(data).digest()))
        writer.write(view)
        receipt = writer.commit(digests_for(writer, data))
        assert view == data, "the view belongs to the one who lent it"
        scribble(view)
        check_receipt(receipt, data)
        assert self.get(store, location) == data

    def test_a_size_that_nobody_knows(self, store: Store, capability: Capability, place: Location) -> None:
        if not capability.write:
            return
        location = place.below("object")
        data = content(_LARGE)
        if capability.write_needs_size:
            refused(lambda: written(store, location, data, size=None), Unsupported)
            assert self.get(store, location) is None
            return
        written(store, location, data, size=None)
        assert self.get(store, location) == data

    def test_reading_and_writing_go_on_side_by_side(
        self, store: Store, capability: Capability, place: Location
    ) -> None:
        if not capability.read or not capability.write:
            return
        data = content(_LARGE)
        self.put(store, place.below("from"), data)
        reader = store.open_read(place.below("from"))
        view = reader.read()
        writer = store.open_write(place.below("to"), Incoming(len(data)))
        while view:
            writer.write(view)
            view = reader.read()
        reader.close()
        writer.commit(digests_for(writer, data))
        assert self.get(store, place.below("to")) == data

    @pytest.mark.parametrize("size", (5, 2 * BUFFER + 5))
    def test_nothing_is_visible_before_commit(
        self, store: Store, other_store: Store, capability: Capability, place: Location, size: int
    ) -> None:
        if not capability.write or capability.publish is Publish.AFTER:
            return
        data = content(size)
        location = place.below("object")
        writer = begun(store, location, data)
        assert self.get(other_store, location) is None, "visible before commit"
        writer.commit(digests_for(writer, data))
        assert self.get(other_store, location) == data

    def test_the_old_content_stays_until_commit(
        self, store: Store, other_store: Store, capability: Capability, place: Location
    ) -> None:
        if not capability.write:
            return
        location = place.below("object")
        self.put(store, location, b"the old content")
        writer = begun(store, location, b"new")
        if capability.publish is Publish.ATOMIC:
            assert self.get(other_store, location) == b"the old content"
        writer.commit(digests_for(writer, b"new"))
        assert self.get(store, location) == b"new"

    @pytest.mark.parametrize("size", (0, 5, 2 * BUFFER + 5))
    def test_what_was_given_up_leaves_nothing(
        self, store: Store, capability: Capability, place: Location, size: int
    ) -> None:
        if not capability.write or capability.publish is Publish.AFTER:
            return
        location = place.below("object")
        writer = begun(store, location, content(size))
        writer.abort()
        writer.abort()
        assert self.get(store, location) is None
        if capability.list and capability.folders:
            assert [entry.path for entry in store.list(place, recursive=True)] == []
        written(store, location, b"the store still works")
        assert self.get(store, location) == b"the store still works"

    def test_folders_above_are_made(self, store: Store, capability: Capability, place: Location) -> None:
        location = place.below("not/yet/there/object")
        if capability.write and capability.write_create_parents:
            written(store, location, b"deep")
            assert self.get(store, location) == b"deep"
        elif capability.write:
            error = error_of(lambda: written(store, location, b"deep"))
            assert error is None or isinstance(error, _NO_PARENTS), repr(error)
            assert self.get(store, location) == (b"deep" if error is None else None)

    def test_odd_names_are_names_like_others(
        self, store: Store, capability: Capability, place: Location
    ) -> None:
        for name, spelled, other in odd_names(place.scheme):
            location = place.below(spelled)
            data = name.encode()
            if name in self.refused_names:
                refused(lambda: self.put(store, location, data), LocalRefused, Unsupported, Denied)  # noqa: B023
                continue
            self.put(store, location, data)
            assert self.get(store, location) == data, name
            assert self.get(store, place.below(other)) is None, f"{name!r} was taken for another name"
            if capability.stat:
                assert store.stat(location).size in (None, len(data)), name
            if capability.remove:
                store.remove(location, recursive=False)
                assert self.get(store, location) is None, f"{name!r} was not removed"


def _sent(store: Store, location: Location, data: bytes) -> Writer | None:
    """The writer of a file whose bytes are overwritten at once where they were taken from."""
    sending: Sending = store  # type: ignore[assignment]
    view = memoryview(bytearray(data))
    writer = sending.send(location, Incoming(len(data), digest_of("sha256", data).value), view)
    scribble(view)
    return writer


def _check_reader(reader: Reader, capability: Capability, data: bytes) -> None:
    assert reader.size in (None, len(data)), "the size is that of the whole object"
    assert capability.read_version == (reader.version is not None), "read_version says something else"
    assert all(digest == digest_of(digest.algorithm, data) for digest in reader.digests)
    assert capability.local or (reader.mode is None and reader.descriptor is None)


def _version(store: Store, location: Location) -> str:
    reader = store.open_read(location)
    drained(reader)
    assert reader.version
    return reader.version


def _traits(store: Store, location: Location, capability: Capability) -> Traits:
    """What a reader tells; nothing where that is not declared."""
    if not (capability.read and (capability.read_times or capability.read_modes)):
        return Traits()
    reader: TellingReader = store.open_read(location)  # type: ignore[assignment]
    try:
        return reader.traits()
    finally:
        reader.close()

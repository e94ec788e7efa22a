"""The part of the conformance suite that goes on with what was left, and writes in parts."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, cast

import pytest

from .capability import Publish
from .conformance_tools import (
    BUFFER,
    Suite,
    check_receipt,
    content,
    digest_of,
    digests_for,
    error_of,
    refused,
    scribble,
    written,
)
from .errors import NotFound, TransferError, Unsupported
from .values import MARK_DIGITS, Incoming

if TYPE_CHECKING:
    from .capability import Capability
    from .context import Context
    from .contract import Parts, Resuming, ResumingWriter, Store
    from .locations import Location
    from .values import Part, Token

_TOKEN = "0123456789abcdef"
_OTHER = "fedcba9876543210"


def _left(store: Store, location: Location, data: bytes, size: int, token: str = _TOKEN) -> None:
    """What a process leaves that was stopped after `data`."""
    writer = store.open_write(location, Incoming(size, token=token, resume=True))
    for first in range(0, len(data), BUFFER):
        writer.write(memoryview(data)[first : first + BUFFER])
    writer.abort(keep=True)


def _held(writer: ResumingWriter, context: Context) -> bytes:
    pieces, offset = [], 0
    while count := writer.read_held(offset, context.view):
        pieces.append(bytes(context.view[:count]))
        offset += count
    return b"".join(pieces)


class ResumeConformance(Suite):
    def test_what_a_stopped_process_left_is_gone_on_with(
        self, store: Store, other_store: Store, capability: Capability, place: Location, context: Context
    ) -> None:
        if not capability.write_resume:
            return
        data, cut = content(2 * BUFFER + 5), BUFFER + 3
        location = place.below("object")
        _left(store, location, data[:cut], len(data))
        assert capability.publish is Publish.AFTER or self.get(other_store, location) is None
        assert cast("Resuming", other_store).has_partial(location, _TOKEN[:MARK_DIGITS])
        incoming = Incoming(len(data), token=_TOKEN, resume=True)
        writer = cast("ResumingWriter", other_store.open_write(location, incoming))
        assert writer.held == cut
        assert _held(writer, context) == data[:cut]
        writer.write(memoryview(data)[cut:])
        check_receipt(writer.commit(digests_for(writer, data)), data)
        assert self.get(store, location) == data

    def test_what_is_not_to_be_gone_on_with_is_begun_anew(
        self, store: Store, other_store: Store, capability: Capability, place: Location
    ) -> None:
        """Another token, or none of the conditions that `resume` stands for."""
        if not capability.write_resume:
            return
        data = content(BUFFER)
        location = place.below("object")
        for incoming in (
            Incoming(len(data), token=_OTHER, resume=True),
            Incoming(len(data), token=_TOKEN),
            Incoming(len(data), hashlib.sha256(data).digest(), token=_TOKEN),
        ):
            _left(store, location, b"x" * 500, len(data))
            writer = cast("ResumingWriter", other_store.open_write(location, incoming))
            assert writer.held == 0
            writer.write(memoryview(data))
            writer.commit(digests_for(writer, data))
            assert self.get(store, location) == data

    def test_what_is_given_up_after_all_leaves_nothing(
        self, store: Store, other_store: Store, capability: Capability, place: Location
    ) -> None:
        if not capability.write_resume:
            return
        location = place.below("object")
        _left(store, location, b"x" * 500, 1000)
        other_store.open_write(location, Incoming(1000, token=_TOKEN, resume=True)).abort()
        writer = cast("ResumingWriter", store.open_write(location, Incoming(1000, token=_TOKEN, resume=True)))
        assert writer.held == 0
        writer.abort()
        if capability.list and capability.folders and capability.publish is not Publish.AFTER:
            assert [entry.path for entry in store.list(place, recursive=True)] == []


class PartsConformance(Suite):
    def part_of(self, capability: Capability) -> int:
        return max(capability.part_minimum, 64 << 10)

    def opened(
        self, store: Store, location: Location, data: bytes, part: int, *, resume: bool = False
    ) -> Token:
        incoming = Incoming(len(data), token=_TOKEN, resume=resume)
        return cast("Parts", store).open_parts(location, incoming, part)

    def put_number(self, store: Store, token: Token, data: bytes, number: int) -> Part:
        first, length = token.span(number)
        view = memoryview(bytearray(data[first : first + length]))
        part = cast("Parts", store).put_part(token, number, first, view, hashlib.sha256(view).digest())
        assert view == data[first : first + length], "the view belongs to the one who lent it"
        scribble(view)
        assert (part.number, part.size) == (number, length)
        return part

    def test_parts_that_are_not_declared_are_refused(
        self, store: Store, capability: Capability, place: Location
    ) -> None:
        if capability.write_parts or not hasattr(store, "open_parts"):
            return
        refused(lambda: self.opened(store, place.below("object"), b"data", 2), Unsupported)

    def test_parts_in_any_order_by_several_workers_are_one_object(
        self, store: Store, other_store: Store, capability: Capability, place: Location
    ) -> None:
        if not capability.write_parts:
            return
        part = self.part_of(capability)
        data, location = content(3 * part + 7), place.below("object")
        token = self.opened(store, location, data, part)
        workers = (store, other_store, other_store, store)
        parts = {number: self.put_number(workers[number], token, data, number) for number in (3, 1, 0, 2)}
        parts[1] = self.put_number(store, token, data, 1)  # repeatable
        assert self.get(store, location) is None, "visible before commit"
        ordered = tuple(parts[number] for number in range(4))
        receipt = cast("Parts", other_store).commit_parts(token, ordered, (digest_of("sha256", data),))
        check_receipt(receipt, data)
        assert self.get(store, location) == data

    def test_a_later_process_finds_the_parts_that_are_there(
        self, store: Store, other_store: Store, capability: Capability, place: Location
    ) -> None:
        if not capability.write_parts:
            return
        part = self.part_of(capability)
        data, location = content(2 * part + 7), place.below("object")
        token = self.opened(store, location, data, part)
        for number in (0, 2):
            self.put_number(store, token, data, number)
        cast("Parts", store).abort_parts(token, keep=True)
        again = self.opened(other_store, location, data, part, resume=True)
        later = cast("Parts", other_store)
        assert again.found
        there = {item.number: item for item in later.list_parts(again)}
        assert sorted(there) == [0, 2]
        for number, item in there.items():
            first, length = again.span(number)
            assert item.size == length
            for digest in item.digests:
                assert digest == digest_of(digest.algorithm, data[first : first + length])
            # As the engine does, which has read these bytes again to compare them.
            mine = digest_of("sha256", data[first : first + length])
            there[number] = item._replace(digests=(mine,))
        there[1] = self.put_number(other_store, again, data, 1)
        parts = tuple(there[number] for number in range(3))
        later.commit_parts(again, parts, (digest_of("sha256", data),))
        assert self.get(store, location) == data

    def test_without_resume_parts_are_begun_anew(
        self, store: Store, other_store: Store, capability: Capability, place: Location
    ) -> None:
        if not capability.write_parts:
            return
        part = self.part_of(capability)
        data, location = content(part + 7), place.below("object")
        token = self.opened(store, location, data, part)
        self.put_number(store, token, data, 0)
        cast("Parts", store).abort_parts(token, keep=True)
        again = self.opened(other_store, location, data, part)
        assert not again.found
        assert cast("Parts", other_store).list_parts(again) == ()
        cast("Parts", other_store).abort_parts(again)
        cast("Parts", store).abort_parts(token)

    def test_parts_that_were_given_up_leave_nothing(
        self, store: Store, other_store: Store, capability: Capability, place: Location
    ) -> None:
        if not capability.write_parts:
            return
        part = self.part_of(capability)
        data, location = content(part + 7), place.below("object")
        token = self.opened(store, location, data, part)
        self.put_number(store, token, data, 1)
        cast("Parts", store).abort_parts(token)
        cast("Parts", store).abort_parts(token)
        assert self.get(store, location) is None
        refused(lambda: cast("Parts", other_store).list_parts(token), NotFound)
        assert isinstance(error_of(lambda: self.put_number(other_store, token, data, 0)), TransferError)
        if capability.list and capability.folders:
            assert [entry.path for entry in store.list(place, recursive=True)] == []
        written(store, location, b"the store still works")
        assert self.get(store, location) == b"the store still works"

    def test_what_was_written_is_read_back(
        self, store: Store, other_store: Store, capability: Capability, place: Location, context: Context
    ) -> None:
        if not capability.write_parts:
            return
        part = self.part_of(capability)
        data, location = content(part + 7), place.below("object")
        token = self.opened(store, location, data, part)
        self.put_number(store, token, data, 1)
        back = cast("Parts", other_store)
        if not capability.write_parts_any_offset:
            refused(lambda: back.read_back(token, part, context.view), Unsupported)
        else:
            assert back.read_back(token, part, context.view) == 7
            assert context.view[:7] == data[part:]
            assert back.read_back(token, len(data), context.view) == 0
        cast("Parts", store).abort_parts(token)

    @pytest.mark.parametrize("cut", (1, 1000))
    def test_a_part_that_comes_in_pieces_is_there_with_its_last_one(
        self, store: Store, capability: Capability, place: Location, cut: int
    ) -> None:
        if not capability.write_parts_any_offset:
            return
        part = self.part_of(capability)
        data, location = content(part + 7), place.below("object")
        token, view = self.opened(store, location, data, part), memoryview(data)
        parts = cast("Parts", store)
        parts.put_part(token, 0, 0, view[:cut])
        assert parts.list_parts(token) == ()
        parts.put_part(token, 0, cut, view[cut:part])
        assert [item.number for item in parts.list_parts(token)] == [0]
        last = parts.put_part(token, 1, part, view[part:])
        parts.commit_parts(token, (*parts.list_parts(token)[:1], last), (digest_of("sha256", data),))
        assert self.get(store, location) == data

    def test_what_one_stream_left_goes_on_in_parts_and_back(
        self, store: Store, other_store: Store, capability: Capability, place: Location
    ) -> None:
        if not capability.write_parts_any_offset or not capability.write_resume:
            return
        part = self.part_of(capability)
        data, location = content(3 * part + 7), place.below("object")
        _left(store, location, data[: part + 5], len(data))
        token = self.opened(other_store, location, data, part, resume=True)
        parts = cast("Parts", other_store)
        there = [item.number for item in parts.list_parts(token)]
        if not token.found:
            assert there == []
            parts.abort_parts(token)
            return
        assert there == [0]
        self.put_number(other_store, token, data, 1)
        self.put_number(other_store, token, data, 3)
        parts.abort_parts(token, keep=True)
        incoming = Incoming(len(data), token=_TOKEN, resume=True)
        writer = cast("ResumingWriter", store.open_write(location, incoming))
        assert writer.held == 2 * part, "the parts from the first on without a gap"
        writer.write(memoryview(data)[writer.held :])
        writer.commit(digests_for(writer, data))
        assert self.get(store, location) == data

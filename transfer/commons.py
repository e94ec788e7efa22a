"""What the processes of one run know together about endpoints: one gate for each, in memory that they share.

The parent makes it before it forks; each child takes a seat. Of an endpoint there is one gate for all, and for each
process how many of its requests are there and when it last had more of them to send. So a refusal that one was given
cools, halves and strikes for all, and Retry-After holds for all. A gate changes under a lock that the kernel gives back when
its holder dies; single facts are read without it, as threads do. Times are monotonic seconds, which all processes of a machine share.

What is not shared: local files, each process keeping itself busy with them, and endpoints for which there is no slot.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time
from typing import TYPE_CHECKING

from .gates import Gate
from .lanes import Endpoints

if TYPE_CHECKING:
    from typing import Final, TypeVar

    T = TypeVar("T")

_SLOTS: Final = 4096
"""Endpoints that are shared; memory is used only for those there are."""
_TEXT: Final = 280
"""Bytes of a name, or of what an endpoint was last struck for."""
_PRESENT: Final = 0.25
"""Seconds for which a process counts as one that has requests for an endpoint after it last said so."""
_LETTER: Final = {"int": "q", "bool": "q", "float": "d"}
_GATE: Final = struct.Struct("@" + "".join(_LETTER[kind] for kind in Gate.__annotations__.values()))
_LENGTH: Final = struct.Struct("@q")
_WORD: Final = 8


class Commons(Endpoints):
    """The table of one run: a word with the number of slots in use, then the slots."""

    def __init__(self, processes: int) -> None:
        super().__init__()
        self.processes = processes
        self._seat = 0
        self._named_at = _GATE.size + 2 * _WORD * (1 + processes)
        self._size = self._named_at + 2 * (_LENGTH.size + _TEXT)
        self.memory = mmap.mmap(-1, _WORD + _SLOTS * self._size)
        view = memoryview(self.memory)
        self.whole, self.real = view.cast("q"), view.cast("d")
        self._lock = _nameless_file()
        self._depth = 0
        self.slots: dict[str, int] = {}
        """Where the slots begin that this process has heard of."""

    def seated(self, seat: int) -> Commons:
        """The same to the child of that number, in its own process."""
        self._seat = seat
        after = _GATE.size // _WORD
        self.gates = _Gates(self)
        self.answers = _Column(self, self.whole, after)
        self.looked = _Column(self, self.real, after + 1)
        self.active = _Column(self, self.whole, after + 2 + 2 * seat)
        self.struck = _Words(self, self._named_at + _LENGTH.size + _TEXT)
        return self

    def bury(self, seat: int) -> None:
        """For the parent, when that child has ended: its requests are at no endpoint any more."""
        for index in range(self.whole[0]):
            word = (_WORD + index * self._size + _GATE.size) // _WORD + 2 + 2 * seat
            self.whole[word], self.real[word + 1] = 0, 0.0

    def close(self) -> None:
        """For the parent, when no child is left; the memory goes with this object."""
        os.close(self._lock)

    def __enter__(self) -> None:
        """The dispatcher's lock is held, so one thread at a time comes here."""
        self._depth += 1
        if self._depth == 1:
            fcntl.lockf(self._lock, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)

    def here(self, name: str) -> int:
        slot = self.slots.get(name)
        return super().here(name) if slot is None else sum(self._all_active(slot))

    def room(self, name: str, gate: Gate) -> int:
        slot = self.slots.get(name)
        if slot is None:
            return super().room(name, gate)
        active = self._all_active(slot)
        return min(gate.limit - sum(active), self._share(slot, gate) - active[self._seat])

    def wants(self, name: str) -> None:
        slot = self.slots.get(name)
        if slot is not None:
            self.real[self._word_of_seats(slot) + 2 * self._seat + 1] = time.monotonic()

    def slot_for(self, name: str, gate: Gate) -> int | None:
        """Where the slot of an endpoint begins, a new one with `gate` if need be; None if it cannot be shared. Called inside."""
        used = self.whole[0]
        for index in range(len(self.slots), used):
            begin = _WORD + index * self._size
            self.slots[self.text(begin + self._named_at)] = begin
        fits = bool(name) and name.isascii() and len(name) <= _TEXT and used < _SLOTS
        if name not in self.slots and fits:
            begin = self.slots[name] = _WORD + used * self._size
            _GATE.pack_into(self.memory, begin, *gate)
            self.write(begin + self._named_at, name)
            self.whole[0] = used + 1
        return self.slots.get(name)

    def text(self, begin: int) -> str:
        (length,) = _LENGTH.unpack_from(self.memory, begin)
        begin += _LENGTH.size
        return self.memory[begin : begin + length].decode(errors="replace")

    def write(self, begin: int, text: str) -> None:
        data = text.encode(errors="replace")[:_TEXT]
        _LENGTH.pack_into(self.memory, begin, len(data))
        begin += _LENGTH.size
        self.memory[begin : begin + len(data)] = data

    def _share(self, slot: int, gate: Gate) -> int:
        """How many requests this process may have there. Idle connections count where few are borne, so no more than its
        share of those; and no more than its share of the limit among those who have requests for the endpoint."""
        seats = self._word_of_seats(slot)
        since = time.monotonic() - _PRESENT
        wanted = list(self.real[seats + 1 : seats + 2 * self.processes : 2])
        wanted[self._seat] = since
        present = sum(at >= since for at in wanted)
        return max(1, min(gate.most // self.processes, -(-gate.limit // present)))

    def _all_active(self, slot: int) -> list[int]:
        seats = self._word_of_seats(slot)
        return self.whole[seats : seats + 2 * self.processes : 2].tolist()

    def _word_of_seats(self, slot: int) -> int:
        return (slot + _GATE.size) // _WORD + 2


class _Gates(dict[str, Gate]):
    """The gates; those that are not shared lie in the dictionary itself."""

    def __init__(self, commons: Commons) -> None:
        super().__init__()
        self._commons = commons

    def __getitem__(self, name: str) -> Gate:
        slot = self._commons.slots.get(name)
        return super().__getitem__(name) if slot is None else self._at(slot)

    def get(self, name: str, default: T | None = None) -> Gate | T | None:  # type: ignore[override]
        slot = self._commons.slots.get(name)
        return super().get(name, default) if slot is None else self._at(slot)

    def __setitem__(self, name: str, gate: Gate) -> None:
        slot = self._commons.slots.get(name)
        if slot is None:
            super().__setitem__(name, gate)
        else:
            _GATE.pack_into(self._commons.memory, slot, *gate)

    def setdefault(self, name: str, gate: Gate) -> Gate:
        """The one that another process has made, or this one for all. The dispatcher's lock is held."""
        with self._commons:
            slot = self._commons.slot_for(name, gate)
        return super().setdefault(name, gate) if slot is None else self._at(slot)

    def _at(self, slot: int) -> Gate:
        return Gate(*_GATE.unpack_from(self._commons.memory, slot))


class _Column(dict[str, "T"]):
    """One number about each endpoint, nothing at first; those that are not shared lie in the dictionary itself."""

    def __init__(self, commons: Commons, view: memoryview[T], word: int) -> None:
        super().__init__()
        self._commons, self._view, self._word = commons, view, word

    def __getitem__(self, name: str) -> T:
        slot = self._commons.slots.get(name)
        return super().__getitem__(name) if slot is None else self._view[slot // _WORD + self._word]

    def get(self, name: str, default: T | None = None) -> T | None:  # type: ignore[override]
        slot = self._commons.slots.get(name)
        return super().get(name, default) if slot is None else self._view[slot // _WORD + self._word]

    def __setitem__(self, name: str, value: T) -> None:
        slot = self._commons.slots.get(name)
        if slot is None:
            super().__setitem__(name, value)
        else:
            self._view[slot // _WORD + self._word] = value

    def setdefault(self, name: str, value: T) -> T:
        found = self.get(name)
        if not found:
            self[name] = found = value
        return found


class _Words(dict[str, str]):
    """What endpoints were last struck for, cut off where it is long."""

    def __init__(self, commons: Commons, place: int) -> None:
        super().__init__()
        self._commons, self._place = commons, place

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
        slot = self._commons.slots.get(name)
        if slot is None:
            return super().get(name, default)
        return self._commons.text(slot + self._place) or default

    def __setitem__(self, name: str, text: str) -> None:
        slot = self._commons.slots.get(name)
        if slot is None:
            super().__setitem__(name, text)
        else:
            self._commons.write(slot + self._place, text)


def _nameless_file() -> int:
    """A descriptor to hold a lock on. Not a lock in the memory: who dies with that holds it for ever."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("endpoints")
    import tempfile

    descriptor, path = tempfile.mkstemp()
    os.unlink(path)
    return descriptor

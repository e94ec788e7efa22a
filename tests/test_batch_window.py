"""A document that is read piece by piece means the same, and is wrong at the same place, as one that is in memory."""

from __future__ import annotations

import io
import json
import os
import random
import threading
import tracemalloc

import pytest
from wf.transfer import batch_window
from wf.transfer.batches import BatchError, load_batch
from wf.transfer.requests import Batch

REQUESTS = [
    {
        "type": "transfer",
        "id": number,
        "lfn": f"größe {number}  \U0001f4be",
        "src_urls": [{"url": f"file:///in/{number}", "site_label": "left"}],
        "dest_urls": [{"url": f"file:///out/{number}", "site_label": "right"}],
        **({"after": [str(number - 1)]} if number == 3 else {}),
    }
    for number in range(5)
]
DOCUMENTS = {
    "array": json.dumps(REQUESTS, indent=1, ensure_ascii=False),
    "one line": json.dumps(REQUESTS, ensure_ascii=False),
    "lines": "\n".join(json.dumps(request, ensure_ascii=False) for request in REQUESTS) + "\n\n",
    "lines without an end": "\n".join(json.dumps(request) for request in REQUESTS),
    "byte order mark": "\ufeff" + json.dumps(REQUESTS),
    "old text": "# src left\nfile:///in/a\n# dst right\nfile:///out/a\n" * 3,
    "empty array": " [\n ] ",
    "nothing": " \n ",
}


class Pieces:
    """Gives a few bytes at a time, whatever is asked for."""

    def __init__(self, data: bytes, seed: int) -> None:
        self._file = io.BytesIO(data)
        self._random = random.Random(seed)

    def read(self, size: int) -> bytes:
        return self._file.read(self._random.randint(1, 40))


@pytest.fixture
def small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has been read is let go after every request."""
    monkeypatch.setattr(batch_window, "_PIECE", 1)


def meaning(document: bytes | Pieces) -> Batch | tuple[object, ...]:
    try:
        return load_batch(document, environment={})
    except BatchError as error:
        return (str(error), error.path, error.line, error.column, error.expected, error.hint)


@pytest.mark.usefixtures("small_window")
@pytest.mark.parametrize("form", DOCUMENTS)
@pytest.mark.parametrize("seed", range(5))
def test_pieces_mean_what_the_whole_means(form: str, seed: int) -> None:
    data = DOCUMENTS[form].encode()

    assert meaning(Pieces(data, seed)) == meaning(data)


@pytest.mark.usefixtures("small_window")
@pytest.mark.parametrize("form", ["array", "lines", "old text"])
@pytest.mark.parametrize("instead", [b"", b"}", b'"', b"\n", b"\xff", b"\x00", b"12"])
def test_what_is_wrong_is_found_at_the_same_place(form: str, instead: bytes) -> None:
    data = DOCUMENTS[form].encode()

    for place in range(0, len(data), 7):
        broken = data[:place] + instead + data[place + 1 :]
        if b"\xff" in broken and form != "old text":
            # In pieces, what is wrong before that byte is told first.
            continue
        assert meaning(Pieces(broken, place)) == meaning(broken), broken[max(0, place - 30) : place + 30]


@pytest.mark.usefixtures("small_window")
@pytest.mark.parametrize("cut", range(1, 60))
def test_a_document_that_was_cut_short_is_refused_alike(cut: int) -> None:
    data = DOCUMENTS["array"].encode()[:-cut]

    assert meaning(Pieces(data, cut)) == meaning(data)


@pytest.mark.usefixtures("small_window")
def test_a_byte_that_is_no_utf_8_has_its_line_and_column() -> None:
    data = DOCUMENTS["array"].encode()
    place = data.index("größe 3".encode()) + 2
    broken = data[:place] + b"\xff" + data[place:]

    found, whole = meaning(Pieces(broken, 1)), meaning(broken)

    assert isinstance(found, tuple)
    assert found == whole
    assert found[2] > 1


@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("first", [1, 2, 3, 1000])
def test_utf_16_is_recognised_however_few_bytes_come_first(order: str, first: int) -> None:
    data = ("\ufeff" + DOCUMENTS["array"]).encode(order)
    pieces = [data[:first], data[first:], b""]

    class Few:
        def read(self, size: int) -> bytes:
            return pieces.pop(0)

    with pytest.raises(BatchError) as caught:
        load_batch(Few(), environment={})
    assert caught.value.hint == "this looks like UTF-16"
    assert (caught.value.line, caught.value.column) == (1, 1)


def test_one_byte_that_is_all_is_read_all_the_same() -> None:
    pieces = [b"7", b""]

    class One:
        def read(self, size: int) -> bytes:
            return pieces.pop(0)

    assert meaning(One()) == meaning(b"7")  # type: ignore[arg-type]


def test_a_pipe_that_does_not_block_is_waited_for() -> None:
    """As some parents leave standard input: a read of nothing yet is no end."""
    receiving, sending = os.pipe()
    os.set_blocking(receiving, False)
    data = DOCUMENTS["array"].encode()
    asked = threading.Event()

    class Asked(io.FileIO):
        def read(self, size: int = -1) -> bytes | None:
            found = super().read(size)
            if found is None:
                asked.set()
            return found

    def send() -> None:
        for place in range(0, len(data), 100):
            asked.wait(20)
            asked.clear()
            os.write(sending, data[place : place + 100])
        os.close(sending)

    sender = threading.Thread(target=send)
    sender.start()
    with Asked(receiving) as file:
        found = meaning(file)  # type: ignore[arg-type]
    sender.join()
    assert found == meaning(data)


def test_a_file_is_never_whole_in_memory() -> None:
    """64 MiB of which nothing is kept but one request."""
    filler = json.dumps({**REQUESTS[0], "attributes": {"x": "y" * (1 << 20)}}).encode() + b"\n"

    class Long:
        left = 64

        def read(self, size: int) -> bytes:
            self.left -= 1
            return filler if self.left >= 0 else b""

    tracemalloc.start()
    try:
        batch = load_batch(Long(), environment={})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert len(batch.requests) == 64
    assert peak < 16 << 20

"""What a large batch takes: less than 1 KiB a request, and next to nothing more while it runs."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

from wf.transfer.batches import load_batch
from wf.transfer.execution import run
from wf.transfer.planning import plan
from wf.transfer.requests import Transfer
from wf.transfer.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from wf.transfer.planning import Plan

MANY = 20_000
MOST = 800
"""Bytes a request at the highest, what is read of the batch's own text included."""
MOST_WITH_DIGESTS = 960
"""The same with a digest of each file, and names as long as those of a scratch folder in memory."""
MOST_OF_RUN = 100
"""Bytes a request that the run itself keeps: places in queues, and that it has ended."""


def document(folder: Path, requests: int, *, digests: bool = False) -> bytes:
    """Tiny copies of one file, as a planner writes them."""

    def end(path: Path) -> list[dict[str, str]]:
        return [{"site_label": "local", "url": f"file://{path}"}]

    def request(number: int) -> dict[str, object]:
        told = {"checksum": {"type": "sha256", "value": f"{number:064x}"}} if digests else {}
        return {
            "type": "transfer",
            "id": number,
            "lfn": f"file.{number:07d}",
            "src_urls": end(folder / "in"),
            "dest_urls": end(folder / f"out/{number:07d}"),
            **told,
        }

    return json.dumps([request(number) for number in range(requests)]).encode()


def grown_by(work: Callable[[], object]) -> tuple[object, int]:
    """The result, and by how many bytes memory had grown at its highest."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        result = work()
        return result, tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def loaded(
    folder: Path, requests: int, place: Path = Path("/scratch/run0001"), *, digests: bool = False
) -> tuple[Plan, int]:
    path = folder / "batch.json"
    path.write_bytes(document(place, requests, digests=digests))
    with path.open("rb") as file:
        made, grown = grown_by(lambda: plan(load_batch(file, environment={}), Settings(seed="s")))
    return made, grown  # type: ignore[return-value]


def test_reading_and_planning_a_large_batch_takes_less_than_1_kib_a_request(tmp_path: Path) -> None:
    made, grown = loaded(tmp_path, MANY)

    assert len(made.requests) == MANY
    assert grown / MANY < MOST


def test_digests_and_long_names_do_not_make_it_more(tmp_path: Path) -> None:
    place = Path("/dev/shm/wf-benchmark-abcdefgh/data")
    made, grown = loaded(tmp_path, MANY, place, digests=True)

    assert len(made.requests) == MANY
    assert grown / MANY < MOST_WITH_DIGESTS


def test_what_many_requests_have_in_common_is_in_memory_once(tmp_path: Path) -> None:
    one, other = loaded(tmp_path, 2, digests=True)[0].requests

    assert isinstance(one, Transfer) and isinstance(other, Transfer)
    assert one.expected is not None and other.expected is not None
    assert one.expected.algorithm is other.expected.algorithm
    assert one.sources[0].site is other.sources[0].site
    assert one.linkage is other.linkage


def test_what_is_kept_of_a_request_does_not_grow_with_their_number(tmp_path: Path) -> None:
    _, few = loaded(tmp_path, MANY // 10)
    _, many = loaded(tmp_path, MANY)

    assert many / MANY < 1.2 * few / (MANY // 10)


def test_running_a_large_batch_keeps_next_to_nothing_of_what_is_done(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"x")
    (tmp_path / "out").mkdir()
    few, many = 500, 5000
    for_few = loaded(tmp_path, few, tmp_path)[0]
    for_many = loaded(tmp_path, many, tmp_path)[0]
    run(for_few)  # what is imported and made once

    _, small = grown_by(lambda: run(for_few))
    report, large = grown_by(lambda: run(for_many))

    assert report.ok  # type: ignore[attr-defined]
    assert len(list((tmp_path / "out").iterdir())) == many
    assert (large - small) / (many - few) < MOST_OF_RUN

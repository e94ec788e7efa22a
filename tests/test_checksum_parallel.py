"""Many files on all processors: in order, complete, whoever dies meanwhile."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING

import pytest
from wf.checksum import parallel, workers
from wf.checksum.errors import ChecksumError, Interrupted, NotRegular, WorkerDied
from wf.checksum.parallel import NOTHING, Reading, Task, digest_files, found_by, in_turn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from wf.checksum.files import FileDigest
    from wf.checksum.parallel import Digested

COUNT = 400


@pytest.fixture
def files(tmp_path: Path) -> list[bytes]:
    names = []
    for number in range(COUNT):
        path = tmp_path / f"{number:04d}"
        path.write_bytes(b"%d" % number)
        names.append(os.fsencode(path))
    return names


def tasks(names: list[bytes], *algorithms: str) -> Iterator[Task]:
    return (Task(name, algorithms or ("sha256",)) for name in names)


def right(results: list[Digested]) -> bool:
    expected = [hashlib.sha256(b"%d" % number).digest() for number in range(len(results))]
    return [one.found.digests[0].value for one in results if one.found] == expected


def children() -> set[int]:
    """The processes that this one has started and not yet waited for."""
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return {int(number) for number in file.read().split()}


@pytest.fixture
def lonely(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forks although the test runner may have a thread of its own, which holds no lock that matters here."""
    monkeypatch.setattr(parallel, "may_fork", lambda: True)
    before = children()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        yield
    assert children() == before


def test_a_process_with_one_thread_forks_and_one_with_a_librarys_thread_does_not() -> None:
    code = (
        "import _thread, time\n"
        "from wf.checksum.parallel import may_fork\n"
        "before = may_fork()\n"
        "_thread.start_new_thread(time.sleep, (600,))\n"  # not one that the module threading knows
        "print(before, may_fork())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    assert done.stdout == b"True False\n"


@pytest.mark.parametrize("count", [1, 2, 5])
def test_results_come_in_order_from_any_number_of_processes(
    lonely: None, files: list[bytes], count: int
) -> None:
    results = list(digest_files(tasks(files), workers=count))
    assert [one.path for one in results] == files
    assert right(results)


def test_processes_are_started_for_many_files_and_not_for_a_few_small_ones(
    lonely: None, files: list[bytes]
) -> None:
    before = children()
    for names, forked in ((files[:10], False), (files, True)):
        results = digest_files(tasks(names), workers=2)
        next(results)
        assert (len(children() - before) > 0) is forked
        results.close()


def test_two_large_files_go_to_two_processes(lonely: None, tmp_path: Path) -> None:
    for name in ("a", "b"):
        with open(tmp_path / name, "wb") as file:
            file.truncate(8 << 20)
    names = [os.fsencode(tmp_path / name) for name in ("a", "b")]
    before = children()
    results = digest_files(tasks(names), workers=2)
    next(results)
    assert len(children() - before) == 2
    results.close()


def test_each_task_has_its_own_algorithms_and_nothing_is_a_task_too(lonely: None, files: list[bytes]) -> None:
    given = [Task(files[0], ("md5", "sha256", "crc32c")), NOTHING, Task(files[1], ("sha512",))] * 40
    results = list(digest_files(given, workers=2))
    assert [tuple(one.algorithm for one in result.found.digests) for result in results if result.found] == [
        ("md5", "sha256", "crc32c"),
        (),
        ("sha512",),
    ] * 40
    assert results == list(in_turn(given, Reading()))


def test_every_kind_of_failure_is_a_result_and_the_same_from_any_process(
    lonely: None, tmp_path: Path, files: list[bytes]
) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    bad = [b"fifo", b"loop", b"dangling", b"missing", b".", b"0000/below", b"x" * 300, b"n\0ul"]
    names = [os.path.join(os.fsencode(tmp_path), name) for name in bad] + [
        b"/dev/zero",
        b"/proc/self/cmdline",
    ]
    given = [Task(name) for name in names + files]
    here = list(digest_files(given, workers=1))
    there = list(digest_files(given, workers=2))
    assert right(there[len(names) :])
    for one, other in zip(here, there, strict=True):
        assert (one.path, one.found) == (other.path, other.found)
        assert (type(one.error), str(one.error)) == (type(other.error), str(other.error))
    kinds = [type(one.error) for one in there[: len(names)]]
    assert kinds[0] is NotRegular
    assert [kind is not None and issubclass(kind, OSError | ChecksumError) for kind in kinds] == [True] * len(
        names
    )
    assert kinds[2] is kinds[3] is FileNotFoundError
    assert kinds[4] is IsADirectoryError


def test_an_unknown_algorithm_is_that_files_failure(lonely: None, files: list[bytes]) -> None:
    results = list(digest_files([Task(files[0], ("md4",)), *tasks(files[1:])], workers=2))
    assert "md4" in str(results[0].error)
    assert all(one.found for one in results[1:])


def test_the_slice_of_a_killed_process_is_done_by_another(lonely: None, files: list[bytes]) -> None:
    before = children()
    results = digest_files(tasks(files), workers=3)
    found = [next(results)]
    os.kill(min(children() - before), signal.SIGKILL)
    found += results
    assert right(found)
    assert [one.path for one in found] == files


def test_with_all_processes_killed_the_rest_is_done_here(lonely: None, files: list[bytes]) -> None:
    before = children()
    results = digest_files(tasks(files), workers=2)
    found = [next(results)]
    for one in children() - before:
        os.kill(one, signal.SIGKILL)
    found += results
    assert right(found)


def test_a_file_that_kills_whoever_reads_it_is_told_and_the_rest_is_done(
    lonely: None, files: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = os.getpid()

    def deadly(task: Task, *more: Any) -> FileDigest:
        if task.path == files[200] and os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return found_by(task, *more)

    monkeypatch.setattr(workers, "found_by", deadly)
    results = list(digest_files(tasks(files), workers=4))
    assert [one.path for one in results] == files
    died = [one.path for one in results if isinstance(one.error, WorkerDied)]
    assert files[200] in died
    assert len(died) <= workers.SLICE
    assert all(one.found for one in results if one.path not in died)


def test_an_iteration_that_is_given_up_leaves_no_process(lonely: None, files: list[bytes]) -> None:
    results = digest_files(tasks(files), workers=3)
    next(results)
    results.close()


def test_an_error_in_the_list_of_tasks_ends_the_processes(lonely: None, files: list[bytes]) -> None:
    def broken() -> Iterator[Task]:
        yield from tasks(files[:300])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(digest_files(broken(), workers=2))


@pytest.mark.parametrize("count", [1, 2])
def test_a_set_stop_event_ends_it(lonely: None, files: list[bytes], count: int) -> None:
    stop = threading.Event()
    results = digest_files(tasks(files), workers=count, stop=stop)
    next(results)
    stop.set()
    with pytest.raises(Interrupted):
        list(results)


def test_a_stop_event_ends_even_who_waits_for_a_large_file(lonely: None, tmp_path: Path) -> None:
    with open(tmp_path / "large", "wb") as file:
        file.truncate(1 << 40)  # a hole that takes many minutes to read
    stop = threading.Event()
    results = digest_files([Task(os.fsencode(tmp_path / "large"))] * 2, workers=2, stop=stop)

    def soon(*_: object) -> None:
        stop.set()

    before = signal.signal(signal.SIGALRM, soon)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(Interrupted):
            list(results)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_tasks_are_taken_only_so_far_ahead(lonely: None, files: list[bytes]) -> None:
    taken = 0

    def counted() -> Iterator[Task]:
        nonlocal taken
        while True:
            taken += 1
            yield Task(files[taken % COUNT])

    results = digest_files(counted(), workers=2)
    for _ in range(5000):
        next(results)
    assert taken - 5000 <= (workers._AHEAD + 4) * workers.SLICE
    results.close()


def test_beside_other_threads_nothing_is_forked_and_large_files_go_to_threads(
    tmp_path: Path, files: list[bytes]
) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(3 << 20))
    names = [*files[:100], os.fsencode(large), *files[100:], os.fsencode(large)]
    seen: set[str] = set()
    release = threading.Event()
    other = threading.Thread(target=release.wait)
    other.start()
    before = children()
    try:
        found = []
        for one in digest_files(tasks(names), workers=2):
            found.append(one)
            seen.update(thread.name for thread in threading.enumerate())
            assert children() == before
    finally:
        release.set()
        other.join()
    assert [one.path for one in found] == names
    zeros = hashlib.sha256(bytes(3 << 20)).digest()
    assert found[100].found and found[100].found.digests[0].value == zeros
    assert found[-1].found == found[100].found
    assert any(name.startswith("digest") for name in seen)
    assert right(found[:100] + found[101:-1])


def test_standard_input_is_read_where_it_was_asked_for(files: list[bytes]) -> None:
    code = (
        "from wf.checksum.parallel import *\n"
        "one, = digest_files([Task(b'-')], reading=Reading(standard_input=True))\n"
        "print(one.found.size, one.found.digests[0])\n"
        "one, = digest_files([Task(b'-')])\n"
        "print(type(one.error).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=b"abc", capture_output=True, check=True, timeout=60, cwd="/"
    )
    assert done.stdout.decode().split() == [
        "3",
        f"sha256:{hashlib.sha256(b'abc').hexdigest()}",
        "FileNotFoundError",
    ]


def test_processes_end_when_their_parent_is_killed(tmp_path: Path, files: list[bytes]) -> None:
    code = (
        "import os, sys, time\n"
        "from wf.checksum.parallel import *\n"
        "names = [os.fsencode(name) for name in sys.argv[1:]]\n"
        "def endless():\n"
        "    while True:\n"
        "        yield from (Task(name) for name in names)\n"
        "results = digest_files(endless(), workers=2)\n"
        "next(results)\n"
        "with open(f'/proc/self/task/{os.getpid()}/children') as file:\n"
        "    print(file.read(), flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, *files[:20]], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    numbers = [int(number) for number in parent.stdout.readline().split()]
    assert len(numbers) == 2
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while any(map(_runs, numbers)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _runs(number: int) -> bool:
    try:
        with open(f"/proc/{number}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_an_interrupt_from_the_terminal_leaves_no_process_and_no_noise(files: list[bytes]) -> None:
    code = (
        "import os, sys\n"
        "from wf.checksum.parallel import *\n"
        "names = [os.fsencode(name) for name in sys.argv[1:]] * 1000\n"
        "try:\n"
        "    for number, one in enumerate(digest_files((Task(name) for name in names), workers=2)):\n"
        "        if number == 100: print('go', flush=True)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', flush=True)\n"
    )
    command = subprocess.Popen(
        [sys.executable, "-c", code, *files[:100]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert command.stdout is not None
    assert command.stdout.readline() == b"go\n"
    os.killpg(command.pid, signal.SIGINT)  # as a terminal sends it: to the parent and its processes
    out, err = command.communicate(timeout=60)
    assert (out, err) == (b"interrupted\n", b"")
    with pytest.raises(ProcessLookupError):
        os.killpg(command.pid, 0)


def test_as_many_processes_as_there_are_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= parallel.processors() <= parallel.MOST_WORKERS
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(100)))
    assert parallel.processors() == parallel.MOST_WORKERS


def test_the_page_cache_is_dropped_before_reading_and_what_was_written_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"new" * 100_000)
    os.mkfifo(tmp_path / "fifo")
    (one,) = digest_files([Task(os.fsencode(path))], reading=Reading(from_disk=True))
    assert one.found and one.found.digests[0].value == hashlib.sha256(b"new" * 100_000).digest()
    (zero,) = digest_files([Task(b"/dev/null")], reading=Reading(from_disk=True, special=True))
    assert zero.found and zero.found.size == 0


def test_reading_from_disk_asks_the_kernel_to_forget(tmp_path: Path) -> None:
    if not _forgets(tmp_path):
        pytest.skip("this file system keeps its pages, as tmpfs does")
    path = tmp_path / "file"
    path.write_bytes(os.urandom(1 << 20))
    from wf.checksum.files import drop_cached

    with path.open("rb") as file:
        drop_cached(file.fileno())
        assert _in_memory(path) == 0


def _forgets(folder: Path) -> bool:
    path = folder / "probe"
    path.write_bytes(bytes(1 << 16))
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return _in_memory(path) == 0


def _in_memory(path: Path) -> int:
    """Pages of the file in the page cache, as mincore(2) counts them."""
    import ctypes
    import mmap

    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        pages = -(-len(mapped) // mmap.PAGESIZE)
        flags = (ctypes.c_ubyte * pages)()
        start = ctypes.addressof(first := ctypes.c_char.from_buffer(mapped))
        done = ctypes.CDLL(None, use_errno=True).mincore(
            ctypes.c_void_p(start), ctypes.c_size_t(len(mapped)), flags
        )
        del first
    assert done == 0
    return sum(flag & 1 for flag in flags)


@pytest.mark.parametrize("count", [1, 2])
def test_what_was_collected_can_be_handed_on_before_a_wait(
    lonely: None, files: list[bytes], count: int
) -> None:
    told: list[str] = []
    for _ in digest_files(tasks(files), workers=count, before_waiting=lambda: told.append("waits")):
        told.append("has")
    assert told[0] == "waits"
    assert told.count("has") == len(files)
    if count == 1:  # any file may be a large one
        assert told == ["waits", "has"] * len(files)

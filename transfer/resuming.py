"""Going on with what an earlier process left: under which name it lies, when it may be believed, and its digest.

A partial is believed only as far as its token tells: destination, source, the source's version and the expected digest
are the same. Its bytes are hashed again before anything is added to them.
"""

from __future__ import annotations

from ..checksum.digest import sha256_of
from ..protocols.errors import End, Stopped, TransferError
from ..protocols.values import MARK_DIGITS, Incoming

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ..checksum.digest import Digest
    from ..protocols.contract import Reader, Resuming, ResumingWriter, Writer
    from ..protocols.locations import Location
    from .pouring import Pour
    from .pump import Hashing
    from .requests import Transfer
    from .work import Worker


# Primes of as many hexadecimal digits. Remainders do where nothing is believed because of them: no library is loaded for them, and a
# small file has no second digest computed. They are far from powers of 256, or names that count up would have few remainders.
_MARKS: Final = 0xE7A5CB
_RESTS: Final = 0xD1B54A32E1


def mark_of(destination: Location) -> str:
    """What the tokens of all copies to this destination begin with."""
    return f"{_number_of(destination) % _MARKS:06x}"


def token_of(
    transfer: Transfer, source: Location, version: str | None, destination: Location, mark: str = ""
) -> str:
    """Names this copy: the same in a later process, another one as soon as any of these differs.

    `mark` is the destination's, where it is known.
    """
    origin = source.logical or source.url
    text = f"{destination.logical or destination.url}\0{origin}\0{version}\0{transfer.expected}"
    return (mark or mark_of(destination)) + sha256_of(_bytes(text)).hex()[: 16 - MARK_DIGITS]


def token_of_bytes(sha256: bytes, destination: Location) -> str:
    """Names a copy of known bytes, which is written at once: nobody ever goes on with it."""
    number = _number_of(destination)
    return f"{number % _MARKS:06x}{(number ^ int.from_bytes(sha256, 'big')) % _RESTS:010x}"


def incoming_of(job: Pour, reader: Reader, sha256: bytes | None = None) -> Incoming:
    """What the destination is told of the bytes that come from `reader`."""
    mode = 0o600 if job.private else reader.mode
    expected = job.transfer.expected is not None and not job.private
    if sha256 is not None:
        return Incoming(reader.size, sha256, mode, token_of_bytes(sha256, job.destination), False, expected)
    token = token_of(job.transfer, job.source, reader.version, job.destination, job.mark)
    resume = not job.private and can_go_on(job, reader)
    return Incoming(reader.size, None, mode, token, resume, expected)


def can_go_on(job: Pour, reader: Reader) -> bool:
    """The source can be read from its middle, as far as is known, and would say if it had changed."""
    capability = job.worker.can(job.source)
    known = reader.version is not None and reader.size is not None
    return known and capability.read_range and capability.read_version and not job.work.whole


def may_be_left(job: Pour) -> bool:
    """A service's file of which a part may be here: it is not asked for as a whole, then, before that has been seen."""
    if job.private or job.source.is_local or job.work.whole or not job.worker.can(job.source).read_range:
        return False
    if job.work.unfinished is not None:
        return True
    if not job.worker.can(job.destination).write_resume:
        return False
    store: Resuming = job.worker.store(job.destination)  # type: ignore[assignment]
    try:
        job.mark = mark_of(job.destination)
        return store.has_partial(job.destination, job.mark)
    except TransferError as error:
        raise error.at(End.DESTINATION, "open destination") from error.__cause__


def begin_anew(job: Pour) -> None:
    """Gives up what was left: the source has changed, or what it is cannot be read from its middle."""
    job.work.whole = True
    job.peeked = job.spliced = False
    job.held = 0
    if job.work.unfinished is not None:
        from .part_opening import drop_unfinished

        drop_unfinished(job.work, job.worker)


def held_by(writer: Writer, incoming: Incoming, job: Pour) -> int:
    """How many bytes of the file the writer holds already."""
    if not incoming.resume or not job.worker.can(job.destination).write_resume:
        return 0
    resuming: ResumingWriter = writer  # type: ignore[assignment]
    return resuming.held


def hash_held(writer: Writer, held: int, hashing: Hashing, worker: Worker) -> None:
    """Hashes what the writer holds, through the worker's buffer."""
    offset, view = 0, worker.context.view
    resuming: ResumingWriter = writer  # type: ignore[assignment]
    while offset < held:
        if worker.limits.stop.is_set():
            raise Stopped("the run was stopped", end=End.NEITHER, step="read back")
        try:
            count = resuming.read_held(offset, view)
        except TransferError as error:
            raise error.at(End.DESTINATION, "read back") from error.__cause__
        if not count:
            raise _vanished()
        hashing.update(view[:count])
        offset += count


def rest_of(job: Pour, held: int, version: str | None) -> Reader:
    """A reader of what follows the first `held` bytes."""
    try:
        return job.worker.store(job.source).open_read(job.source, start=held, version=version)
    except TransferError as error:
        raise error.at(End.SOURCE, "open source") from error.__cause__


def told_by_source(job: Pour) -> tuple[Digest, ...]:
    """The digests that the source itself tells of the whole file; an answer with its middle may not have them."""
    if not job.worker.can(job.source).stat:
        return ()
    try:
        return job.worker.store(job.source).stat(job.source).digests
    except Stopped:
        raise
    except TransferError:
        return ()


def _vanished() -> TransferError:
    from ..protocols.errors import Broken

    return Broken("the partial file became shorter while it was read", end=End.DESTINATION, step="read back")


def _number_of(destination: Location) -> int:
    return int.from_bytes(_bytes(destination.logical or destination.url), "big")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")

"""One file written over SFTP by several workers, each over a connection of its own.

All write to one partial beside the destination. Which of its parts are there is told by a small file next to it, the map: a
byte for each part, set when the server has confirmed its bytes and their close. The map is no trailer of the partial, because
there are no locks: a process that does not know that another one has published the file writes the same bytes to the same
places, and nothing behind its end.

A server that cannot write at any offset is found out by the last byte, which is written first.

Near by, one connection is as fast as the processor, and one stream wastes no time between two parts. So parts are for hosts
that are far away, and for files that were begun so.
"""

from __future__ import annotations

import hashlib
import mmap
import stat
import time
from struct import Struct

from ..checksum.digest import Digest
from .errors import Broken, LocalRefused, NotFound, ServerFault, Unreachable, Unsupported
from .sftp_outgoing import Outgoing, read_at
from .sftp_packets import CLOSE, LSTAT, NO_SUCH_FILE, OPEN, REMOVE, SETSTAT, Status, number, string
from .sftp_partial import KEPT, open_partial
from .sftp_reader import handle_of
from .sftp_tree import attributes_of
from .sftp_writer import publish
from .ssh import path_of, shown_path
from .ssh_errors import error_of_status
from .values import Part, Receipt, Token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .locations import Location
    from .sftp_wire import Wire
    from .values import Incoming

_FOR_READING: Final = 0x01
_FOR_WRITING: Final = 0x02
_HEAD: Final = Struct(">8sQQ")
"""What the map begins with: its kind, and the bytes of the file and of a part."""
_KIND: Final = b"wf-parts"
_BUFFER_BYTES: Final = 1 << 20


class InOrderOnly(Unsupported):
    """The server cannot write at any offset."""


def open_parts(wire: Wire, location: Location, incoming: Incoming, part: int, far: float) -> Token:
    """Raises Unsupported for a host that answers sooner than in `far` seconds, InOrderOnly, and Status."""
    assert incoming.size is not None
    path = path_of(location)
    if path.rpartition(b"/")[2] in (b"", b".", b".."):
        raise LocalRefused(
            f"{_what(path)}: it does not end with a name", remedy="name the file, not its folder"
        )
    began = time.monotonic()
    stream = _size_of(wire, _usual(path, incoming, b"part"))
    if time.monotonic() - began < far or (incoming.resume and stream):
        began_so = incoming.resume and not stream and _size_of(wire, _usual(path, incoming, b"parts"))
        if not began_so:
            raise Unsupported(f"{_what(path)} in parts: one stream does as well", host=wire.host)
    found = _left(wire, location, path, incoming, part) if incoming.resume else None
    if found is not None:
        return found
    partial = open_partial(wire, path, incoming._replace(resume=False), b"parts")
    token = Token(location, partial.name.decode("utf-8", "surrogateescape"), incoming.size, part)
    try:
        _try_out(Outgoing(wire, partial.handle, partial.name, path, token.size - 1), token.size)
        _write_map(wire, token)
    except BaseException:
        if not wire.broken:
            remove_parts(wire, token)
        raise
    return token


def _left(wire: Wire, location: Location, path: bytes, incoming: Incoming, part: int) -> Token | None:
    """What an earlier process left of the same copy; None if that cannot be gone on with."""
    assert incoming.size is not None
    name = _usual(path, incoming, b"parts")
    token = Token(location, name.decode("utf-8", "surrogateescape"), incoming.size, part)
    if not 0 < _size_of(wire, name) <= token.size:
        return None
    done = _map(wire, token)
    return None if done is None else token._replace(found=any(done))


def _usual(path: bytes, incoming: Incoming, suffix: bytes) -> bytes:
    folder, slash, _ = path.rpartition(b"/")
    return b"%s%s.wf-%s.%s" % (folder, slash, incoming.token.encode("ascii"), suffix)


def _size_of(wire: Wire, name: bytes) -> int:
    """The size of a regular file; 0 for anything else."""
    there = attributes_of(wire, name, LSTAT)
    return (there.size or 0) if there is not None and stat.S_ISREG(there.mode or 0) else 0


def _try_out(out: Outgoing, size: int) -> None:
    """Writes the last byte. It makes no map complete: the last part is written like the others."""
    try:
        out.write(memoryview(b"\0"))
        told = out.closed()
    except (ServerFault, Unsupported) as error:
        raise InOrderOnly(f"{error.what} (at any offset)", host=error.host) from None
    finally:
        out.let_go()
    if told not in (None, size):
        raise InOrderOnly("the server does not write where it is told to")


def put_part(wire: Wire, token: Token, count: int, offset: int, view: memoryview) -> Part:
    """Writes a part to its place. Raises Status for what the server says of the partial as a whole."""
    path = path_of(token.location)
    wire.about(_what(path), Broken)
    out, chart = _opened(wire, token, path, offset)
    try:
        out.write(view)
        out.closed()
        if chart:
            wire.forget({wire.write_at(chart, _HEAD.size + count, memoryview(b"\1"))})
    finally:
        if not wire.broken:
            out.let_go()
            if chart:
                wire.forget({wire.ask(CLOSE, chart)})
            wire.flush()
    return Part(count, len(view), str(count))


def _opened(wire: Wire, token: Token, path: bytes, offset: int) -> tuple[Outgoing, bytes]:
    """The partial and the handle of its map, which is empty if there is no map: then only a later process misses it."""
    asked = [
        wire.ask(OPEN, string(name), number(_FOR_WRITING), number(0))
        for name in (_name(token), _chart(token))
    ]
    handles: dict[int, bytes] = {}
    refused: dict[int, Status] = {}
    for _ in asked:
        packet = wire.packet()
        try:
            handles[packet.number] = handle_of(packet)
        except Status as status:
            refused[packet.number] = status
    first, second = asked
    if first not in handles:
        if second in handles:
            wire.forget({wire.ask(CLOSE, handles[second])})
        why = refused.get(first)
        if why is None:
            raise wire.answered_nobody()
        if why.code == NO_SUCH_FILE:
            raise Broken(f"{_what(path)}: its partial file is gone", host=wire.host)
        raise error_of_status(why.code, why.message, _what(path), wire.host)
    return Outgoing(wire, handles[first], _name(token), path, offset), handles.get(second, b"")


def list_parts(wire: Wire, token: Token) -> tuple[Part, ...]:
    """The parts that the map tells; those of an earlier process with the digests of what was read back.

    Raises NotFound where there is nothing.
    """
    path = path_of(token.location)
    wire.about(f"cannot read back {shown_path(path)}", Broken)
    done = _map(wire, token)
    if done is None or attributes_of(wire, _name(token), LSTAT) is None:
        raise NotFound(f"the partial file of {shown_path(path)} is gone", host=wire.host)
    there = [count for count in range(token.total) if done[count]]
    digests = _read_back(wire, token, there) if token.found else {}
    return tuple(Part(count, token.span(count)[1], str(count), digests.get(count, ())) for count in there)


def _read_back(wire: Wire, token: Token, parts: list[int]) -> dict[int, tuple[Digest, ...]]:
    handle = handle_of(wire.call(OPEN, string(_name(token)), number(_FOR_READING), number(0)))
    # Not the worker's buffer: that may hold bytes of the source at this moment.
    buffer = memoryview(mmap.mmap(-1, _BUFFER_BYTES))
    try:
        return {count: (_digest(wire, handle, buffer, *token.span(count)),) for count in parts}
    finally:
        if not wire.broken:
            wire.forget({wire.ask(CLOSE, handle)})


def _digest(wire: Wire, handle: bytes, buffer: memoryview, first: int, length: int) -> Digest:
    hashing = hashlib.sha256()
    while length > 0:
        count = read_at(wire, handle, first, buffer[: min(length, len(buffer))])
        if not count:
            break  # it became shorter: what is hashed is not the part
        hashing.update(buffer[:count])
        first, length = first + count, length - count
    return Digest("sha256", hashing.digest())


def commit_parts(wire: Wire, token: Token) -> Receipt:
    path = path_of(token.location)
    wire.about(f"cannot publish {shown_path(path)}", Unreachable)
    there = attributes_of(wire, _name(token), LSTAT)
    if there is None:
        raise Broken(f"{_what(path)}: its partial file is gone", host=wire.host)
    if there.size != token.size:
        raise Broken(f"{_what(path)}: the server has {there.size} bytes after {token.size} were written")
    publish(wire, _name(token), path)
    wire.packet_of(wire.ask(REMOVE, string(_chart(token))))
    return Receipt(size=there.size)


def remove_parts(wire: Wire, token: Token) -> None:
    asked = [wire.ask(REMOVE, string(name)) for name in (_chart(token), _name(token))]
    wire.forget({asked[0]})
    wire.packet_of(asked[1])


def keep_parts(wire: Wire, token: Token) -> None:
    """Says that nobody writes to the partial any more."""
    times = number(8) + number(KEPT) + number(KEPT)
    wire.packet_of(wire.ask(SETSTAT, string(_name(token)), times))


def _write_map(wire: Wire, token: Token) -> None:
    """A new map, of no parts."""
    flags = number(_FOR_WRITING | 0x08 | 0x10)  # SSH_FXF_CREAT, SSH_FXF_TRUNC
    handle = handle_of(wire.call(OPEN, string(_chart(token)), flags, number(0)))
    out = Outgoing(wire, handle, _chart(token), path_of(token.location), 0)
    out.write(memoryview(_HEAD.pack(_KIND, token.size, token.part) + bytes(token.total)))
    out.closed()


def _map(wire: Wire, token: Token) -> bytes | None:
    """A byte for each part; None where there is no map of such parts."""
    there = attributes_of(wire, _chart(token), LSTAT)
    if there is None or not stat.S_ISREG(there.mode or 0):
        return None
    handle = handle_of(wire.call(OPEN, string(_chart(token)), number(_FOR_READING), number(0)))
    content = bytearray(_HEAD.size + token.total)
    try:
        count = read_at(wire, handle, 0, memoryview(content))
    finally:
        if not wire.broken:
            wire.forget({wire.ask(CLOSE, handle)})
    right = content[: _HEAD.size] == _HEAD.pack(_KIND, token.size, token.part)
    return bytes(content[_HEAD.size :]) if right and count == len(content) else None


def _name(token: Token) -> bytes:
    return token.name.encode("utf-8", "surrogateescape")


def _chart(token: Token) -> bytes:
    """The name of the map."""
    return _name(token).removesuffix(b"parts") + b"map"


def _what(path: bytes) -> str:
    return f"cannot write {shown_path(path)}"

"""One large data object written by several connections at once, and gone on with by a later process.

One connection opens the object and stays until the end; its replica token lets others write to the same replica
(API 20000). Each part is written by whatever worker has it, over its own connection, and then noted in the object's
metadata. Closing it on the first connection makes the object good; until then, and after that was lost, it is not.

A later process finds the notes on an object that is not good, and opens it without emptying it.
"""

from __future__ import annotations

import threading
from contextlib import suppress

from .errors import Broken, NotFound, ServerFault, TransferError, Unsupported
from .irods_calls import library
from .irods_catalogue import GOOD, noted, replicas
from .irods_errors import CHECKSUM_MISMATCH, HIERARCHY_ERROR, LOCKED, Refused
from .irods_messages import CREATE, TRUNCATE, WRITE_ONLY, object_input, opened_input
from .irods_names import path_of, shown_path
from .irods_reader import CLOSE, OPEN, SEEK
from .irods_writer import SUM_BYTES_PER_SECOND, WRITE, opened_for_writing, receipt_of, remove_begun
from .values import Part, Token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ..checksum.digest import Digest
    from .irods_catalogue import Replica
    from .irods_sessions import Sessions
    from .irods_wire import Wire
    from .locations import Location
    from .values import Incoming, Receipt

_NOTE: Final = "wf-transfer-part"
"""The attribute under which parts are noted: token, size of parts, number, and the digest where it is known. It is gone
when the object is whole."""
_MOMENTS: Final = 30
_MOMENT_SECONDS: Final = 0.1


class _Begun:
    """An object that this process has open for writing. The connection belongs to the process and not to a worker."""

    __slots__ = ("access", "closing", "descriptor", "done", "noted", "sum", "wire")

    def __init__(self, wire: Wire, descriptor: int, access: dict[str, str], done: dict[int, Part]) -> None:
        self.wire = wire
        self.descriptor = descriptor
        self.access = access
        """Keywords with which other connections may write to the same replica."""
        self.done = done
        self.noted = bool(done)
        """A later process can find the parts."""
        self.closing = False
        self.sum: Digest | None = None


_begun: dict[tuple[str, str], _Begun] = {}
_lock = threading.Lock()


def _key(token: Token) -> tuple[str, str]:
    return token.location.url, token.name


def begin(sessions: Sessions, location: Location, incoming: Incoming, part: int) -> Token:
    """A token for what an earlier process left, with `incoming.resume`, else for an object that is begun anew."""
    assert incoming.size is not None
    token = Token(location, incoming.token, incoming.size, part)
    if incoming.resume:
        try:
            if parts_there(sessions, token):
                return token._replace(found=True)
        except NotFound:
            pass
    let_go(sessions, token, keep=True)
    _insist_on_sha256(sessions, token)
    _open(sessions, token, {}, WRITE_ONLY | CREATE | TRUNCATE)
    return token


def _insist_on_sha256(sessions: Sessions, token: Token) -> None:
    """Of what is written in parts only the SHA-256 is known; in a zone of MD5 one stream does it, and hashes both."""
    path = path_of(token.location)
    wire = sessions.take(token.location, "write", f"cannot write {shown_path(path)}")
    try:
        if sessions.sums(wire, path):
            raise Unsupported(
                f"cannot write {shown_path(path)} in parts: the zone computes MD5", host=wire.host
            )
    finally:
        sessions.give(wire)


def parts_there(sessions: Sessions, token: Token) -> tuple[Part, ...]:
    """Raises NotFound if the object is not there, or is good: then nothing of it is ours to go on with."""
    begun = _begun.get(_key(token))
    if begun is not None:
        return tuple(begun.done[number] for number in sorted(begun.done))
    path = path_of(token.location)
    what = f"cannot go on with {shown_path(path)}"
    wire = sessions.take(token.location, "write", what)
    try:
        found = replicas(wire, path)
        notes = noted(wire, path, _NOTE) if found and not any(each.status == GOOD for each in found) else []
    except Refused as refused:
        raise wire.error(refused) from None
    finally:
        sessions.give(wire)
    parts = _understood(token, notes)
    if not parts:
        raise NotFound(f"{what}: there is nothing left of it", host=wire.host)
    return parts


def _understood(token: Token, notes: list[str]) -> tuple[Part, ...]:
    found = {}
    for note in notes:
        name, size, number, digest = (*note.split(" "), "", "", "")[:4]
        if name == token.name and size == str(token.part) and number.isdigit() and int(number) < token.total:
            found[int(number)] = _part(token, int(number), digest)
    return tuple(found[number] for number in sorted(found))


def _part(token: Token, number: int, sha256: str) -> Part:
    """A part that is there. Its mark is for the journal of who sent it, where no digest of it is known."""
    from ..checksum.digest import parse_hex

    digests: tuple[Digest, ...] = ()
    if sha256:
        with suppress(ValueError):
            digests = (parse_hex("sha256", sha256),)
    return Part(number, token.span(number)[1], f"{token.name}.{number}", digests)


def _open(sessions: Sessions, token: Token, done: dict[int, Part], flags: int) -> _Begun:
    """Opens the object and leaves it open. The lock is not held: only one worker begins."""
    from irods.message import JSON_Message  # type: ignore[import-untyped]

    path = path_of(token.location)
    wire = sessions.take(token.location, "write", f"cannot write {shown_path(path)}")
    try:
        resources = sessions.resource(token.location), sessions.login(token.location, "write").resource
        descriptor = _patiently_opened(wire, path, resources, token, flags)
        try:
            with library(wire) as calls:
                message = JSON_Message({"fd": descriptor}, wire.version)
                about = calls.call("GET_FILE_DESCRIPTOR_INFO_APN", message).get_json_encoded_struct()
        except (Refused, ServerFault) as error:
            wire.drop()
            raise _no_parts(path, error, wire) from None
        if flags & TRUNCATE:
            _forget_notes(wire, path)
    except BaseException:
        sessions.give(wire)
        raise
    hierarchy = str((about.get("data_object_info") or {}).get("resource_hierarchy") or "")
    access = {"replicaToken": str(about.get("replica_token") or ""), "resc_hier": hierarchy}
    begun = _Begun(wire, descriptor, access, done)
    with _lock:
        _begun[_key(token)] = begun
    return begun


def _no_parts(path: str, error: Exception, wire: Wire) -> TransferError:
    return Unsupported(f"cannot write {shown_path(path)} in parts: {error}", host=wire.host)


def _patiently_opened(wire: Wire, path: str, resources: tuple[str, str], token: Token, flags: int) -> int:
    """The descriptor. The server may need a moment to notice that who wrote before has gone."""
    for moment in range(_MOMENTS):
        try:
            return opened_for_writing(wire, path, resources, {"regChksum": ""}, token.size, flags)
        except TransferError as error:
            refused = error.__cause__
            busy = isinstance(refused, Refused) and refused.base in (HIERARCHY_ERROR, LOCKED)
            if not busy or moment == _MOMENTS - 1 or not wire.usable:
                raise
        if wire.context.stop.wait(_MOMENT_SECONDS):
            break
    raise Broken(f"cannot write {shown_path(path)}: the run was stopped", host=wire.host)


def _taken_up(sessions: Sessions, token: Token) -> _Begun:
    """The object as this process has it open; where an earlier process left it, it is opened now."""
    begun = _begun.get(_key(token))
    if begun is not None:
        return begun
    with _taking:
        begun = _begun.get(_key(token))
        if begun is None:
            done = {part.number: part for part in parts_there(sessions, token)}
            begun = _open(sessions, token, done, WRITE_ONLY)
    return begun


_taking = threading.Lock()
"""Of several workers that come to what an earlier process left, one opens it."""


def put(
    sessions: Sessions, token: Token, number: int, offset: int, view: memoryview, sha256: bytes | None
) -> Part:
    """Writes a whole part over a connection of this worker."""
    begun = _taken_up(sessions, token)
    path = path_of(token.location)
    wire = sessions.take(token.location, "write", f"cannot write {shown_path(path)}")
    try:
        descriptor, _ = wire.call(OPEN, object_input(path, begun.access, flags=WRITE_ONLY, size=token.size))
        try:
            _write(wire, descriptor, offset, view)
        finally:
            if wire.usable:
                _close_one(wire, descriptor)
        hexadecimal = sha256.hex() if sha256 is not None else ""
        _note(wire, path, f"{token.name} {token.part} {number} {hexadecimal}".rstrip(), begun)
    except Refused as refused:
        raise wire.error(refused) from None
    finally:
        sessions.give(wire)
    part = begun.done[number] = _part(token, number, hexadecimal)
    return part


def _write(wire: Wire, descriptor: int, offset: int, view: memoryview) -> None:
    if offset:
        wire.call(SEEK, opened_input(descriptor, offset=offset))
    wire.ask(WRITE, opened_input(descriptor, length=len(view)), [view], len(view))
    wire.answer()


def _close_one(wire: Wire, descriptor: int) -> None:
    """Of several handles: the catalogue is left alone, which the last one sees to."""
    from irods.message import JSON_Message

    nothing = dict.fromkeys(("send_notification", "update_size", "update_status", "compute_checksum"), False)
    with library(wire) as calls:
        calls.call("REPLICA_CLOSE_APN", JSON_Message({"fd": descriptor, **nothing}, wire.version))


def _note(wire: Wire, path: str, value: str, begun: _Begun) -> None:
    """Who may not write metadata can write the object all the same; only no later process goes on with it."""
    from irods.meta import iRODSMeta  # type: ignore[import-untyped]
    from irods.models import DataObject  # type: ignore[import-untyped]

    with suppress(Refused):
        with library(wire) as calls:
            calls.metadata.add(DataObject, path, iRODSMeta(_NOTE, value))
        begun.noted = True


def _forget_notes(wire: Wire, path: str) -> None:
    from irods.message import MetadataRequest

    with suppress(Refused), library(wire) as calls:
        calls.call("MOD_AVU_METADATA_AN", MetadataRequest("rmw", "-d", path, _NOTE, "%", "%"))


def finish(sessions: Sessions, token: Token, digests: tuple[Digest, ...]) -> Receipt:
    begun = _taken_up(sessions, token)
    path, wire = path_of(token.location), begun.wire
    what = f"cannot write {shown_path(path)}"
    wire.about(what)
    begun.sum = next((each for each in digests if each.algorithm == "sha256"), None)
    begun.closing = True
    try:
        message = opened_input(begun.descriptor, keywords={"regChksum": ""})
        wire.call(CLOSE, message, patience=wire.context.stall + token.size / SUM_BYTES_PER_SECOND)
        _forget_notes(wire, path)
        receipt = receipt_of(replicas(wire, path), path, wire.host)
        sessions.learn(wire, frozenset(each.algorithm for each in receipt.digests))
    except Refused as refused:
        if refused.base == CHECKSUM_MISMATCH:
            raise Broken(f"{what}: USER_CHKSUM_MISMATCH ({refused.code})", host=wire.host) from None
        raise wire.error(refused) from None
    with _lock:
        _begun.pop(_key(token), None)
    wire.leave()
    return receipt


def let_go(sessions: Sessions, token: Token, *, keep: bool) -> None:
    """Ends the connection that has it open, so that it becomes stale; without `keep` it is removed. Never raises."""
    with _lock:
        begun = _begun.pop(_key(token), None)
    if begun is not None:
        begun.wire.drop()
    if keep and (begun is None or begun.noted):
        return
    with suppress(TransferError, Refused):
        path = path_of(token.location)
        wire = sessions.take_for_last_words(token.location, f"cannot remove {shown_path(path)}")
        try:
            if begun is not None or _understood(token, noted(wire, path, _NOTE)):
                remove_begun(wire, path, lambda good: _stays(begun, good))
                _forget_notes(wire, path)  # of what stays, if the answer was lost that it is whole
        finally:
            wire.leave()


def _stays(begun: _Begun | None, good: list[Replica]) -> bool:
    """What is good is somebody's: unless it is the one that was just closed and differs from what was sent."""
    if begun is None or not begun.closing:
        return True
    return any(begun.sum in each.digests for each in good)

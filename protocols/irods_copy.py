"""What a zone does by itself: copying an object, making a replica of it, and computing its checksum."""

from __future__ import annotations

from .errors import Broken, Mismatch, TransferError, Unsupported
from .irods_calls import library
from .irods_catalogue import absent, digests_of, good_replica, make_collection, replicas
from .irods_errors import UNKNOWN_COLLECTION, VERIFICATION, Refused
from .irods_names import shown_path, split
from .irods_writer import SUM_BYTES_PER_SECOND, receipt_of, remove_begun
from .values import CopyStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ..checksum.digest import Digest
    from .irods_catalogue import Replica
    from .irods_wire import Wire

_FROM, _TO = 10, 9
"""Kinds of operation (dataObjInpOut.h)."""
_COPY_BYTES_PER_SECOND: Final = 5e6
_AT_LEAST: Final = 60.0


def copied(wire: Wire, source: str, destination: str, resource: str) -> CopyStep:
    """A copy, or where source and destination are one path, a replica of it on `resource`. Raises Refused."""
    what = f"cannot copy {shown_path(source)} to {shown_path(destination)}"
    found = replicas(wire, source)
    if not found:
        raise absent(wire, what, source)
    original = good_replica(found, what, wire.host)
    patience = _AT_LEAST + original.size / _COPY_BYTES_PER_SECOND
    if source == destination:
        return _replicated(wire, source, resource, original, patience)
    keywords = {"forceFlag": "", "regChksum": "", **({"destRescName": resource} if resource else {})}
    try:
        _copy(wire, source, destination, keywords, patience)
    except Refused as refused:
        if refused.base != UNKNOWN_COLLECTION:
            raise
        make_collection(wire, split(destination)[0])
        _copy(wire, source, destination, keywords, patience)
    return _checked(wire, original, destination)


def _copy(wire: Wire, source: str, destination: str, keywords: dict[str, str], patience: float) -> None:
    """Not by the library's own `copy`, which would put it into a collection that has the destination's name."""
    from irods.message import FileOpenRequest, ObjCopyRequest, StringStringMap  # type: ignore[import-untyped]

    def named(path: str, operation: int, given: dict[str, str]) -> object:
        numbers = dict.fromkeys(("createMode", "openFlags", "offset", "dataSize", "numThreads"), 0)
        return FileOpenRequest(
            objPath=path, oprType=operation, KeyValPair_PI=StringStringMap(given), **numbers
        )

    message = ObjCopyRequest(
        srcDataObjInp_PI=named(source, _FROM, {}), destDataObjInp_PI=named(destination, _TO, keywords)
    )
    with library(wire, patience) as calls:
        calls.call("DATA_OBJ_COPY_AN", message)


def _replicated(wire: Wire, path: str, resource: str, original: Replica, patience: float) -> CopyStep:
    if not resource:
        raise Unsupported(f"cannot copy {shown_path(path)} to itself", remedy="name another resource or path")
    with library(wire, patience) as calls:
        calls.data_objects.replicate(path, resource, updateRepl="")
    receipt = receipt_of(replicas(wire, path), path, wire.host)
    return CopyStep(receipt, bytes=original.size)


def _checked(wire: Wire, original: Replica, destination: str) -> CopyStep:
    """The copy if it is good and has size and checksum of its source; else it is removed."""
    try:
        receipt = receipt_of(replicas(wire, destination), destination, wire.host)
        known = {each.algorithm: each for each in original.digests}
        wrong = [each for each in receipt.digests if known.get(each.algorithm, each) != each]
        if receipt.size != original.size or wrong:
            raise Broken(
                f"copying to {shown_path(destination)}: {receipt.size} of {original.size} bytes, checksum {wrong or 'same'}",
                host=wire.host,
            )
    except TransferError:
        if wire.usable:
            remove_begun(wire, destination, lambda _: False)
        raise
    return CopyStep(receipt, bytes=original.size)


def computed(wire: Wire, path: str, algorithm: str) -> Digest | None:
    """The checksum of the object, computed now; None where the zone uses another algorithm. Raises Refused.

    One that the catalogue has is never replaced: the server is asked whether it still is that of the stored bytes.
    """
    what = f"cannot compute the checksum of {shown_path(path)}"
    found = replicas(wire, path)
    if not found:
        raise absent(wire, what, path)
    good = good_replica(found, what, wire.host)
    patience = _AT_LEAST + good.size / SUM_BYTES_PER_SECOND
    if not good.checksum:
        with library(wire, patience) as calls:
            return _of(digests_of(calls.data_objects.chksum(path)), algorithm)
    if _of(good.digests, algorithm) is None:
        return None
    try:
        _verify(wire, path, good.number, patience)
    except Refused as refused:
        if refused.base != VERIFICATION:
            raise
        raise Mismatch(
            f"{what}: CHECK_VERIFICATION_RESULTS ({refused.code}): what is stored no longer has the checksum of the catalogue",
            host=wire.host,
        ) from None
    return _of(good.digests, algorithm)


def _verify(wire: Wire, path: str, number: int, patience: float) -> None:
    """Raises Refused with VERIFICATION where the server finds another checksum, whichever way it and the library say it."""
    from irods.manager.data_object_manager import Server_Checksum_Warning  # type: ignore[import-untyped]
    from irods.message import RErrorStack

    with library(wire, patience) as calls:
        try:
            calls.data_objects.chksum(path, r_error=RErrorStack(), verifyChksum="", replNum=str(number))
        except Server_Checksum_Warning:
            raise Refused(VERIFICATION) from None


def _of(digests: tuple[Digest, ...], algorithm: str) -> Digest | None:
    return next((each for each in digests if each.algorithm == algorithm), None)

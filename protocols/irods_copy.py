"""What a zone does by itself: copying an object, making a replica of it, and computing its checksum."""

from __future__ import annotations

from .errors import Broken, Mismatch, TransferError, Unsupported
from .irods_catalogue import absent, digests_of, good_replica, make_collection, replicas
from .irods_errors import UNKNOWN_COLLECTION, VERIFICATION, Refused
from .irods_messages import copy_input, field, object_input
from .irods_names import shown_path, split
from .irods_writer import SUM_BYTES_PER_SECOND, receipt_of, remove_begun
from .values import CopyStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ..checksum.digest import Digest
    from .irods_catalogue import Replica
    from .irods_wire import Wire

_REPLICATE, _COPY, _CHECKSUM = 695, 696, 629
_FROM, _TO, _REPLICATION = 10, 9, 6
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
    keywords = {"destRescName": resource} if resource else {}
    if source == destination:
        return _replicated(wire, source, keywords, original, patience)
    message = copy_input(
        object_input(source, {}, size=0, operation=_FROM),
        object_input(destination, {"forceFlag": "", "regChksum": "", **keywords}, size=0, operation=_TO),
    )
    try:
        wire.call(_COPY, message, patience=patience)
    except Refused as refused:
        if refused.base != UNKNOWN_COLLECTION:
            raise
        make_collection(wire, split(destination)[0])
        wire.call(_COPY, message, patience=patience)
    return _checked(wire, original, destination)


def _replicated(
    wire: Wire, path: str, keywords: dict[str, str], original: Replica, patience: float
) -> CopyStep:
    if not keywords:
        raise Unsupported(f"cannot copy {shown_path(path)} to itself", remedy="name another resource or path")
    wire.call(
        _REPLICATE,
        object_input(path, {**keywords, "updateRepl": ""}, operation=_REPLICATION),
        patience=patience,
    )
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
            remove_begun(wire, destination)
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
        _, message = wire.call(_CHECKSUM, object_input(path, {}), patience=patience)
        return _of(digests_of(field(message, b"myStr")), algorithm)
    if _of(good.digests, algorithm) is None:
        return None
    try:
        keywords = {"verifyChksum": "", "replNum": str(good.number)}
        _, message = wire.call(_CHECKSUM, object_input(path, keywords), patience=patience)
    except Refused as refused:
        if refused.base != VERIFICATION:
            raise
        raise Mismatch(
            f"{what}: CHECK_VERIFICATION_RESULTS ({refused.code}): what is stored no longer has the checksum of the catalogue",
            host=wire.host,
        ) from None
    return _of(good.digests, algorithm)


def _of(digests: tuple[Digest, ...], algorithm: str) -> Digest | None:
    return next((each for each in digests if each.algorithm == algorithm), None)

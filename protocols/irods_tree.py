"""Names in an iRODS zone: looking at them, making and removing collections, removing objects without the trash."""

from __future__ import annotations

from .errors import LocalRefused
from .irods_calls import library
from .irods_catalogue import absent, good_replica, is_collection, make_collection, replicas
from .irods_errors import Refused
from .irods_names import shown_path
from .values import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .irods_wire import Wire

_LONG: Final = 3600.0
"""Seconds that a server may need to remove a collection with all that is in it, between two signs of life."""


def looked_at(wire: Wire, path: str) -> Entry:
    """Raises Refused and NotFound."""
    what = f"cannot look at {shown_path(path)}"
    found = replicas(wire, path)
    if found:
        return good_replica(found, what, wire.host).entry()
    if is_collection(wire, path):
        return Entry("", None, None, True)
    raise absent(wire, what, path)


def make(wire: Wire, path: str) -> None:
    """Makes a collection and those above it. Raises Refused and LocalRefused."""
    try:
        make_collection(wire, path)
    except Refused as refused:
        if is_collection(wire, path):
            return
        if replicas(wire, path):
            raise LocalRefused(
                f"cannot make the collection {shown_path(path)}: a data object has this name",
                host=wire.host,
                remedy="remove that object, or choose another name",
            ) from None
        if refused.absent:
            raise absent(
                wire, f"cannot make the collection {shown_path(path)}", path, refused=refused
            ) from None
        raise


def remove(wire: Wire, path: str, recursive: bool) -> None:
    """Removes an object, or with `recursive` a collection and what is in it. What is absent is success. Raises Refused."""
    if path.count("/") < 2:
        raise LocalRefused(f"cannot remove {shown_path(path)}: it is a zone", remedy="name what to remove")
    try:
        with library(wire) as calls:
            calls.data_objects.unlink(path, force=True)
        return
    except Refused as refused:
        if not is_collection(wire, path):
            if refused.absent:
                return
            raise
    if not recursive:
        raise LocalRefused(
            f"cannot remove {shown_path(path)}: it is a collection",
            host=wire.host,
            remedy='ask for a recursive removal (rm -r; in a batch "recursive": true)',
        )
    try:
        with library(wire, _LONG) as calls:
            calls.collections.remove(path, recurse=True, force=True)
    except Refused as refused:
        if not refused.absent:
            raise

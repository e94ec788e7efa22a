"""From the words of `cp` to requests: which file goes where. What cannot be copied is told apart and stops nothing else."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from ..protocols.errors import End, LocalRefused, NotFound, TransferError
from .outcomes import Outcome, Status
from .places import below, decoded, last_name, names_a_folder, why_unsafe
from .requests import Batch, MakeDirectory, Transfer
from .walking import walk

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from ..checksum.digest import Digest
    from ..protocols.capability import Capability
    from ..protocols.locations import Location
    from ..protocols.values import Entry
    from .asking import Stores
    from .requests import Request

_KINDS: Final = {
    stat.S_IFLNK: ("a symbolic link", "copy what it points to by that name"),
    stat.S_IFIFO: ("a FIFO", "leave it out, or copy it by its own name"),
    stat.S_IFSOCK: ("a socket", "leave it out"),
    stat.S_IFCHR: ("a device", "leave it out, or copy it by its own name"),
    stat.S_IFBLK: ("a device", "leave it out, or copy it by its own name"),
}


_RENAME: Final = "rename it at the source, or copy it by its own name"


class Copies(NamedTuple):
    """The requests of one `cp`, and the outcomes of what was refused beforehand."""

    batch: Batch
    refused: tuple[Outcome, ...]


def copies(
    stores: Stores,
    sources: Sequence[Location],
    destination: Location,
    *,
    recursive: bool,
    expected: Digest | None = None,
) -> Copies:
    """The copies of all sources. Raises ValueError where several sources have no folder to go to."""
    into = _is_folder(stores, destination, several=len(sources) > 1)
    if len(sources) > 1 and not into:
        raise ValueError(
            f"{destination.shown} is no folder, and several sources need one: end it with a slash to make one"
        )
    collection = _Collection(stores, recursive, expected)
    for source in sources:
        collection.add(source, destination, into)
    return collection.copies()


def _is_folder(stores: Stores, destination: Location, *, several: bool) -> bool:
    """Whether sources go into this place, under their own names. One that cannot be asked is none for one source."""
    if names_a_folder(destination):
        return True
    if destination.is_local:
        return os.path.isdir(destination.path)
    try:
        can = stores.capability(destination)
        if not (can.stat and can.list):
            return False
        return stores.store(destination).stat(destination).is_directory
    except NotFound:
        return False
    except TransferError as error:
        if several:
            raise error.at(End.DESTINATION, "look") from error.__cause__
        return False


class _Collection:
    """Requests and refusals so far."""

    def __init__(self, stores: Stores, recursive: bool, expected: Digest | None) -> None:
        self._stores = stores
        self._recursive = recursive
        self._expected = expected
        self._requests: list[Request] = []
        self._refused: list[Outcome] = []
        self._taken: set[str] = set()

    def copies(self) -> Copies:
        return Copies(Batch(tuple(self._requests)), tuple(self._refused))

    def add(self, source: Location, destination: Location, into: bool) -> None:
        """One source word. What is wrong with it becomes a refusal."""
        try:
            name = last_name(source)
            if self._is_tree(source):
                self._add_tree(source, below(destination, name) if into else destination)
                return
            if into:
                self._insist_on_name(source, name, destination)
                destination = below(destination, name)
            self._add_file(source, destination, name)
        except TransferError as error:
            self._refuse(source, destination, error)

    def _is_tree(self, source: Location) -> bool:
        """Whether the source is a folder to go through. Raises LocalRefused for one that nobody asked to."""
        if not self._recursive:
            if source.is_local and os.path.isdir(source.path):
                raise LocalRefused(f"{source.shown} is a folder", remedy="-r copies folders")
            return False
        if source.is_local:
            return os.path.isdir(source.path)
        can = self._stores.capability(source)
        if not can.list or names_a_folder(source):
            return can.list
        try:
            return self._stores.store(source).stat(source).is_directory
        except NotFound:
            if can.folders:
                raise
            # A folder is no object of its own: only the listing can tell.
            return True

    def _insist_on_name(self, source: Location, name: str, destination: Location) -> None:
        why = why_unsafe(name, folders=True) if name else "it does not end with a name"
        if not why and "/" in name:
            why = "its name contains a slash"
        if why:
            remedy = "write the name of the file at the destination"
            raise LocalRefused(f"{source.shown} cannot keep its name: {why}", remedy=remedy)

    def _add_tree(self, source: Location, root: Location) -> None:
        if source.is_local and root.is_local and _is_inside(root.path, source.path):
            raise LocalRefused(
                f"{source.shown} would be copied into itself", remedy="choose a destination elsewhere"
            )
        can = self._can_write(root)
        tree = _Tree(can)
        for entry in walk(self._stores, source, self._refuse_folder):
            name = decoded(entry.path, source.scheme)
            if entry.is_directory:
                tree.folders.add(name)
            else:
                tree.files.add(name)
                why, remedy = _why_not(source, entry, name, can)
                if not why:
                    tree.copied.add(name)
                    self._add_file(source.below(entry.path), below(root, name), name)
                else:
                    self._refuse_entry(source.below(entry.path), root, why, remedy)
        if not tree.folders and not tree.files and not self._is_there(source):
            raise NotFound(f"there is nothing at or below {source.shown}")
        self._add_folders(source, root, tree)

    def _can_write(self, root: Location) -> Capability:
        try:
            return self._stores.capability(root)
        except TransferError as error:
            raise error.at(End.DESTINATION, "look") from error.__cause__

    def _is_there(self, source: Location) -> bool:
        try:
            return self._stores.store(source).stat(source).is_directory
        except NotFound:
            return False

    def _add_file(self, source: Location, destination: Location, name: str) -> None:
        if destination.url in self._taken:
            error = LocalRefused(
                f"{source.shown} is not copied: another source goes to {destination.shown} already",
                remedy="copy it to another name",
            )
            self._refuse(source, destination, error)
            return
        self._taken.add(destination.url)
        number = len(self._requests)
        self._requests.append(Transfer(number, "", name, (source,), (destination,), expected=self._expected))

    def _add_folders(self, source: Location, root: Location, tree: _Tree) -> None:
        for name in sorted(tree.to_make()):
            self._requests.append(MakeDirectory(len(self._requests), "", below(root, name)))
        for name in sorted(tree.unsafe()):
            place = source.below(name)
            self._refuse_entry(place, root, why_unsafe(name, folders=True), _RENAME)

    def _refuse_entry(self, place: Location, root: Location, why: str, remedy: str) -> None:
        self._refuse(place, root, LocalRefused(f"{place.shown} is not copied: {why}", remedy=remedy))

    def _refuse_folder(self, folder: Location, error: TransferError) -> None:
        self._refuse(folder, folder, error)

    def _refuse(self, source: Location, destination: Location, error: TransferError) -> None:
        request = Transfer(0, "", last_name(source), (source,), (destination,))
        self._refused.append(
            Outcome(request, Status.FAILED, source=source, error=error.at(End.SOURCE, "look"))
        )


class _Tree:
    """The names below one folder, relative to it."""

    def __init__(self, destination_can: Capability) -> None:
        self._can = destination_can
        self.folders = set[str]()
        self.files = set[str]()
        self.copied = set[str]()
        """Those of `files` that are not refused."""

    def to_make(self) -> set[str]:
        """The folders, the tree's own (`""`) included, that no other request makes on its way."""
        if not (self._can.folders and self._can.make_directory):
            return set()
        made = _parents(self.copied) if self._can.write_create_parents else set()
        safe = {name for name in self.folders if not why_unsafe(name, folders=self._can.folders)}
        return ({""} | safe) - _parents(safe) - made

    def unsafe(self) -> set[str]:
        """The folders of forbidden names that hold nothing which is refused already."""
        forbidden = {name for name in self.folders if why_unsafe(name, folders=self._can.folders)}
        return forbidden - _parents(self.folders) - _parents(self.files)


def _parents(names: set[str]) -> set[str]:
    return {name.rpartition("/")[0] for name in names}


def _why_not(source: Location, entry: Entry, name: str, destination_can: Capability) -> tuple[str, str]:
    """Why a file of a tree is not copied, and what to do; empty if it is."""
    why = why_unsafe(name, folders=destination_can.folders)
    if why:
        return why, _RENAME
    # Only local listings show what is neither file nor folder, and then without a size.
    return _odd_kind(source.below(entry.path).path) if source.is_local and entry.size is None else ("", "")


def _odd_kind(path: str) -> tuple[str, str]:
    """Why something that is neither file nor folder is not copied, and what to do."""
    try:
        kind = stat.S_IFMT(os.lstat(path).st_mode)
    except OSError:
        kind = 0
    what, remedy = _KINDS.get(kind, ("neither a file nor a folder", "leave it out"))
    return f"it is {what}", remedy


def _is_inside(path: str, folder: str) -> bool:
    real, outer = os.path.realpath(path), os.path.realpath(folder)
    return real == outer or real.startswith(outer.rstrip("/") + "/")

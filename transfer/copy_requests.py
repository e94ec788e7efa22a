"""From the words of `cp` to requests: which file goes where. What cannot be copied is told apart and stops nothing else."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from ..protocols.errors import End, LocalRefused, NotFound, TransferError, Unsupported
from .outcomes import Outcome, Status
from .places import bare_path, below, decoded, last_name, names_a_folder, only_inside, why_unsafe
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
    stat.S_IFLNK: ("a symbolic link", "-L copies what it leads to"),
    stat.S_IFIFO: ("a FIFO", "leave it out, or copy it by its own name"),
    stat.S_IFSOCK: ("a socket", "leave it out"),
    stat.S_IFCHR: ("a device", "leave it out, or copy it by its own name"),
    stat.S_IFBLK: ("a device", "leave it out, or copy it by its own name"),
}
_DANGLING: Final = ("it is a symbolic link that leads nowhere", "mend it, or leave it out")
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
    follow: bool = False,
    expected: Digest | None = None,
) -> Copies:
    """The copies of all sources. With `follow` what local links in folders lead to is copied; otherwise each is refused.

    Raises ValueError where several sources have no folder to go to.
    """
    into = _is_folder(stores, destination, several=len(sources) > 1)
    if len(sources) > 1 and not into:
        raise ValueError(
            f"{destination.shown} is no folder, and several sources need one: end it with a slash to make one"
        )
    collection = _Collection(stores, recursive, follow, expected)
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

    def __init__(self, stores: Stores, recursive: bool, follow: bool, expected: Digest | None) -> None:
        self._stores = stores
        self._recursive = recursive
        self._follow = follow
        self._expected = expected
        self._requests: list[Request] = []
        self._refused: list[Outcome] = []
        self._taken: set[str] = set()

    def copies(self) -> Copies:
        """What is refused is numbered behind what is done."""
        refused = (
            outcome._replace(request=outcome.request._replace(number=number))
            for number, outcome in enumerate(self._refused, len(self._requests))
        )
        return Copies(Batch(tuple(self._requests)), tuple(refused))

    def add(self, source: Location, destination: Location, into: bool) -> None:
        """One source word. What is wrong with it becomes a refusal."""
        try:
            name, source = last_name(source), only_inside(source)
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
        if source.is_local:
            found = os.path.isdir(source.path)
            if found and not self._recursive:
                raise LocalRefused(f"{source.shown} is a folder", remedy="-r copies folders")
            return found
        can = self._stores.capability(source)
        if names_a_folder(source) and (self._recursive or not _may_be_a_page(source)):
            _insist_on_listing(source, can, recursive=self._recursive)
        if not self._recursive:
            return False
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
        for entry in walk(self._stores, source, self._refuse_folder, follow=self._follow):
            name = decoded(entry.path, source.scheme)
            if entry.is_directory:
                tree.folders.add(name)
            else:
                tree.files.add(name)
                unsafe = why_unsafe(name, folders=can.folders)
                place, destination = source.below(entry.path), root if unsafe else below(root, name)
                why, remedy = (unsafe, _RENAME) if unsafe else self._why_not(place, entry)
                if not why:
                    tree.copied.add(name)
                    self._add_file(place, destination, name)
                else:
                    self._refuse_entry(place, destination, why, remedy)
        if not tree.folders and not tree.files and not self._is_there(source):
            raise NotFound(f"there is nothing at or below {source.shown}")
        self._add_folders(source, root, tree)

    def _why_not(self, place: Location, entry: Entry) -> tuple[str, str]:
        """Why a file of a tree is not copied, and what to do; empty if it is."""
        # Only local listings show what is neither file nor folder, and then without a size.
        if not place.is_local or entry.size is not None:
            return "", ""
        return _odd_kind(place.path, follow=self._follow)

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

    def _refuse_entry(self, place: Location, destination: Location, why: str, remedy: str) -> None:
        self._refuse(place, destination, LocalRefused(f"{place.shown} is not copied: {why}", remedy=remedy))

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


def _may_be_a_page(source: Location) -> bool:
    """Whether a web address that ends with a slash is asked for on purpose: that of a server, or one with a query."""
    return source.path in ("", "/") or source.path != bare_path(source)


def _insist_on_listing(source: Location, can: Capability, *, recursive: bool) -> None:
    """Raises for a service's folder that nobody asked to go through, or that cannot be listed."""
    if not can.list:
        raise Unsupported(
            f"{source.shown} is a folder, and {can.protocol} has no listing of folders",
            remedy="name the files in it",
        )
    if not recursive:
        raise LocalRefused(f"{source.shown} is a folder", remedy="-r copies folders")


def _odd_kind(path: str, *, follow: bool) -> tuple[str, str]:
    """Why something that is neither file nor folder is not copied, and what to do."""
    try:
        kind = stat.S_IFMT((os.stat if follow else os.lstat)(path).st_mode)
    except OSError:
        if os.path.islink(path):
            return _DANGLING
        kind = 0
    what, remedy = _KINDS.get(kind, ("neither a file nor a folder", "leave it out"))
    return f"it is {what}", remedy


def _is_inside(path: str, folder: str) -> bool:
    real, outer = os.path.realpath(path), os.path.realpath(folder)
    return real == outer or real.startswith(outer.rstrip("/") + "/")

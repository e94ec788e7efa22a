"""The part of the conformance suite that looks at names, makes and removes them: all but the bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from .capability import Shape
from .conformance_tools import Suite, check_receipt, content, digest_of, drained, odd_names, refused
from .errors import LocalRefused, NotFound, Unsupported

if TYPE_CHECKING:
    from .capability import Capability
    from .contract import Copier, Linker, Store
    from .locations import Location
    from .values import Receipt

_NOT_A_FILE = (LocalRefused, Unsupported)
_TREE = ("one", "sub/two", "sub/deeper/three", "subway/four", "sub.txt")
_COPY_STEPS = 1000


class StatConformance(Suite):
    def test_an_object_is_looked_at(self, store: Store, capability: Capability, place: Location) -> None:
        location = place.below("folder/object")
        if not capability.stat:
            refused(lambda: store.stat(location), Unsupported)
            return
        refused(lambda: store.stat(location), NotFound)
        data = content(5000)
        self.put(store, location, data)
        entry = store.stat(location)
        assert (entry.path, entry.is_directory) == ("", False)
        assert entry.size in (None, len(data))
        assert all(digest == digest_of(digest.algorithm, data) for digest in entry.digests)
        if capability.read_version:
            assert entry.version in (None, _version(store, location)), "stat and read name different versions"
        if capability.folders:
            assert store.stat(place.below("folder")).is_directory

    def test_a_digest_is_computed_where_it_is(
        self, store: Store, capability: Capability, place: Location
    ) -> None:
        location = place.below("object")
        data = content(5000)
        self.put(store, location, data)
        for algorithm in ("sha256", "sha512", "sha384", "sha1", "md5"):
            wanted = digest_of(algorithm, data) if algorithm in capability.digest else None
            assert store.digest(location, algorithm) == wanted, algorithm
        for algorithm in capability.digest:
            refused(lambda: store.digest(place.below("absent"), algorithm), NotFound)  # noqa: B023


class ListConformance(Suite):
    def plant(self, store: Store, place: Location) -> None:
        for name in _TREE:
            self.put(store, place.below(name), name.encode())

    def listed(self, store: Store, location: Location, *, recursive: bool) -> tuple[set[str], set[str]]:
        """The names of files and of folders."""
        entries = list(store.list(location, recursive=recursive))
        assert len({entry.path for entry in entries}) == len(entries), "a name is listed twice"
        files = [entry for entry in entries if not entry.is_directory]
        for entry in files:
            end = entry.path.rpartition("/")[2]
            planted = next((name for name in _TREE if name.rpartition("/")[2] == end), "")
            assert not planted or entry.size in (None, len(planted)), entry
        return {entry.path for entry in files}, {entry.path for entry in entries if entry.is_directory}

    def test_a_folder_is_listed(self, store: Store, capability: Capability, place: Location) -> None:
        if not capability.list:
            refused(lambda: list(store.list(place, recursive=False)), Unsupported)
            return
        self.plant(store, place)
        assert self.listed(store, place, recursive=False) == ({"one", "sub.txt"}, {"sub", "subway"})
        assert self.listed(store, place.below("sub"), recursive=False) == ({"two"}, {"deeper"})

    def test_a_tree_is_listed(self, store: Store, capability: Capability, place: Location) -> None:
        if not capability.list:
            refused(lambda: list(store.list(place, recursive=True)), Unsupported)
            return
        self.plant(store, place)
        files, folders = self.listed(store, place, recursive=True)
        assert files == set(_TREE)
        assert folders == {"sub", "sub/deeper", "subway"} or (not folders and not capability.folders)
        assert self.listed(store, place.below("sub"), recursive=True)[0] == {"two", "deeper/three"}

    def test_an_absent_folder_is_not_found(
        self, store: Store, capability: Capability, place: Location
    ) -> None:
        if capability.list and capability.folders:
            refused(lambda: list(store.list(place.below("absent"), recursive=False)), NotFound)
        elif capability.list:
            assert list(store.list(place.below("absent"), recursive=False)) == []

    def test_odd_names_are_listed_as_locations_spell_them(
        self, store: Store, capability: Capability, place: Location
    ) -> None:
        if not capability.list:
            return
        names = [
            (name, spelled) for name, spelled, _ in odd_names(place.scheme) if name not in self.refused_names
        ]
        for name, spelled in names:
            self.put(store, place.below("odd").below(spelled), name.encode())
        found = {entry.path for entry in store.list(place.below("odd"), recursive=False)}
        assert len(found) == len(names)
        for path in found:
            assert self.get(store, place.below("odd").below(path)) is not None, path


class FolderConformance(Suite):
    def test_a_folder_is_made_and_made_again(
        self, store: Store, capability: Capability, place: Location
    ) -> None:
        folder = place.below("made/deep")
        if not capability.make_directory:
            refused(lambda: store.make_directory(folder), Unsupported)
            return
        store.make_directory(folder)
        store.make_directory(folder)
        self.put(store, folder.below("object"), b"inside")
        store.make_directory(folder)
        assert self.get(store, folder.below("object")) == b"inside"
        if capability.folders and capability.stat:
            assert store.stat(folder).is_directory

    def test_a_folder_does_not_replace_an_object(
        self, store: Store, capability: Capability, place: Location
    ) -> None:
        if not capability.make_directory or not capability.folders:
            return
        self.put(store, place.below("object"), b"stays")
        refused(lambda: store.make_directory(place.below("object")), *_NOT_A_FILE)
        assert self.get(store, place.below("object")) == b"stays"

    def test_an_object_does_not_replace_a_folder(
        self, store: Store, capability: Capability, place: Location
    ) -> None:
        if not capability.write or not capability.folders:
            return
        self.put(store, place.below("folder/object"), b"stays")
        refused(lambda: self.put(store, place.below("folder"), b"in the way"), *_NOT_A_FILE)
        assert self.get(store, place.below("folder/object")) == b"stays"

    def test_an_object_is_removed(self, store: Store, capability: Capability, place: Location) -> None:
        location = place.below("object")
        if not capability.remove:
            refused(lambda: store.remove(location, recursive=False), Unsupported)
            return
        self.put(store, location, b"goes")
        self.put(store, place.below("object2"), b"stays")
        store.remove(location, recursive=False)
        assert self.get(store, location) is None
        assert self.get(store, place.below("object2")) == b"stays"

    def test_removing_what_is_absent_is_success(
        self, store: Store, capability: Capability, place: Location
    ) -> None:
        if capability.remove:
            store.remove(place.below("absent"), recursive=False)
            store.remove(place.below("no-folder/absent"), recursive=False)
        if capability.remove_recursive:
            store.remove(place.below("absent"), recursive=True)

    def test_a_folder_is_not_removed_as_if_it_were_an_object(
        self, store: Store, capability: Capability, place: Location
    ) -> None:
        if not capability.remove:
            return
        self.put(store, place.below("folder/object"), b"stays")
        if capability.folders:
            refused(lambda: store.remove(place.below("folder"), recursive=False), *_NOT_A_FILE)
        else:
            store.remove(place.below("folder"), recursive=False)
        assert self.get(store, place.below("folder/object")) == b"stays"

    def test_a_tree_is_removed_and_nothing_beside_it(
        self, store: Store, capability: Capability, place: Location
    ) -> None:
        for name in _TREE:
            self.put(store, place.below(name), b"planted")
        if not capability.remove_recursive:
            refused(lambda: store.remove(place.below("sub"), recursive=True), Unsupported)
            assert self.get(store, place.below("sub/two")) == b"planted"
            return
        store.remove(place.below("sub"), recursive=True)
        left = {name for name in _TREE if self.get(store, place.below(name)) is not None}
        assert left == {"one", "subway/four", "sub.txt"}
        store.remove(place.below("one"), recursive=True)
        assert self.get(store, place.below("one")) is None, "recursive removal takes the key itself too"


class CopyConformance(Suite):
    def test_the_service_copies(self, store: Store, capability: Capability, place: Location) -> None:
        source, destination = place.below("from"), place.below("copies/to")
        if not capability.offers(Shape.COPIER):
            if hasattr(store, "copy"):
                refused(lambda: cast("Copier", store).copy(source, destination, ""), Unsupported)
            return
        data = content(70_000)
        self.put(store, source, data)
        receipt = _copied(cast("Copier", store), source, destination)
        check_receipt(receipt, data)
        assert set(capability.copy_digest) <= {digest.algorithm for digest in receipt.digests}
        assert self.get(store, destination) == data
        assert self.get(store, source) == data

    def test_what_is_absent_is_not_copied(
        self, store: Store, capability: Capability, place: Location
    ) -> None:
        if capability.offers(Shape.COPIER):
            copier = cast("Copier", store)
            refused(lambda: _copied(copier, place.below("absent"), place.below("to")), NotFound)
            assert self.get(store, place.below("to")) is None

    def test_a_file_is_linked_and_moved(self, store: Store, capability: Capability, place: Location) -> None:
        if not capability.offers(Shape.LINKER):
            assert not hasattr(store, "link")
            return
        linker = cast("Linker", store)
        source, link, moved = place.below("source"), place.below("links/link"), place.below("moved/to")
        refused(lambda: linker.link(source, link, check=True), NotFound)
        refused(lambda: linker.move(source, moved), NotFound)
        self.put(store, source, b"content")
        check_receipt(linker.link(source, link, check=True), b"content")
        assert self.get(store, link) == b"content"
        check_receipt(linker.move(source, moved), b"content")
        assert self.get(store, moved) == b"content"
        assert self.get(store, source) is None


def _copied(copier: Copier, source: Location, destination: Location) -> Receipt:
    handle = ""
    for _ in range(_COPY_STEPS):
        step = copier.copy(source, destination, handle)
        if step.receipt is not None:
            return step.receipt
        assert step.handle, "a copy that goes on has a handle"
        handle = step.handle
    raise AssertionError(f"the copy was not done after {_COPY_STEPS} steps")


def _version(store: Store, location: Location) -> str | None:
    reader = store.open_read(location)
    drained(reader)
    return reader.version

"""Single operations of Transfer on the names of a collection: look, list, make a folder, rename, remove."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..credentials.redaction import printable
from . import globus_answers as answers
from .errors import LocalRefused, NotFound, ServerFault, TransferError
from .globus_errors import Taken
from .globus_verdict import seconds_of
from .values import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, Final

    from .globus_client import GlobusClient
    from .globus_names import Place

    Document = dict[str, Any]

_PAGE: Final = 10_000


class Operations:
    """What one credential may do with names."""

    def __init__(self, client: GlobusClient) -> None:
        self._client = client

    def _get(self, doing: str, place: Place, what: str, query: dict[str, Any]) -> Document:
        path = f"/v0.10/operation/endpoint/{place.collection}/{what}"
        return self._client.get(f"{doing} {_shown(place)}", path, query)

    def _post(self, doing: str, place: Place, what: str, document: Document) -> None:
        path = f"/v0.10/operation/endpoint/{place.collection}/{what}"
        self._client.post(f"{doing} {_shown(place)}", path, {"DATA_TYPE": what, **document})

    def stat(self, place: Place) -> Entry:
        return _entry(self._get("looking at", place, "stat", {"path": place.path}), "")

    def list(self, place: Place, *, recursive: bool) -> Iterator[Entry]:
        """The entries below a folder; a folder comes before what is in it."""
        waiting = [(place, "")]
        while waiting:
            folder, below = waiting.pop()
            for document in self._listed(folder):
                entry = _entry(document, f"{below}{document['name']}")
                yield entry
                if recursive and entry.is_directory and not document.get("link_target"):
                    waiting.append((folder.at(_joined(folder, str(document["name"]))), f"{entry.path}/"))

    def _listed(self, place: Place) -> Iterator[Mapping[str, Any]]:
        """The documents of a folder's entries, page by page. Names that no folder can have are refused."""
        offset, before = 0, ""
        while True:
            query = {"path": place.path, "limit": _PAGE, "offset": offset}
            page = self._get("listing", place, "ls", query)
            found = answers.entries(page, f"listing {_shown(place)}")
            first = str(found[0].get("name")) if found else ""
            if offset and first == before:
                raise ServerFault(f"listing {_shown(place)}: every page is the same")
            before = first
            for document in found:
                name = str(document.get("name") or "")
                if not name or "/" in name or name in (".", ".."):
                    raise ServerFault(
                        f"listing {_shown(place)}: it lists the impossible name {printable(name)!r}"
                    )
                yield document
            offset += len(found)
            # A service that gives smaller pages than it was asked for says so.
            if not found or (len(found) < _PAGE and page.get("has_next_page") is not True):
                return

    def make_folder(self, place: Place, *, because: TransferError | None = None) -> None:
        """Makes the folder and those above it; one that is there is success. `because`: raised where all of them are there."""
        if place.path.strip("/") in ("", "~"):
            if because is not None:
                raise because
            return
        try:
            self._post("making folder", place, "mkdir", {"path": place.path})
        except Taken:
            if not self.stat(place).is_directory:
                raise LocalRefused(
                    f"making folder {_shown(place)}: there is a file of that name",
                    remedy="choose another name",
                ) from None
        except NotFound:
            self.make_folder(place.parent)
            self._make_last(place)

    def _make_last(self, place: Place) -> None:
        """Makes a folder whose parent is there; somebody else may have made it meanwhile."""
        try:
            self._post("making folder", place, "mkdir", {"path": place.path})
        except Taken:
            if not self.stat(place).is_directory:
                raise

    def rename(self, old: Place, new: Place) -> None:
        self._post("renaming", old, "rename", {"old_path": old.path, "new_path": new.path})


def _shown(place: Place) -> str:
    return f"{printable(place.path)} of collection {place.collection}"


def _joined(folder: Place, name: str) -> str:
    return f"{folder.path.rstrip('/')}/{name}"


def _entry(document: Mapping[str, Any], path: str) -> Entry:
    is_directory = document.get("type") == "dir"
    size = document.get("size")
    moment = seconds_of(str(document.get("last_modified") or ""))
    return Entry(
        path,
        size if isinstance(size, int) and not is_directory else None,
        is_directory=is_directory,
        modified=None if moment == float("inf") else moment,
    )

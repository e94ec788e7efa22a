"""The manifest of `--manifest`: what this run put in place locally, in the form that `sha256sum -c` reads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..checksum.digest import Digest
from ..protocols.errors import End, Unverified, from_oserror
from .outcomes import Status
from .requests import Remove, Transfer
from .routes import Route
from .sinks import NullSink

if TYPE_CHECKING:
    from ..checksum.manifests import ManifestWriter
    from ..protocols.errors import TransferError
    from ..protocols.locations import Location
    from .outcomes import Outcome
    from .sinks import Ending, Start


class ManifestSink(NullSink):
    """Publishes the manifest at `path` at the end, sorted by name.

    What the run itself replaced, moved on or removed again is not in it. Per local file it keeps the name and 32
    bytes. `end` raises `TransferError` where the manifest cannot be written; `begin` does not, so that the requests
    whose checksum was to be recorded can fail one by one.
    """

    records_checksums = True

    def __init__(self, path: str) -> None:
        self._path = path
        self._digests: dict[str, bytes] = {}
        self._writer: ManifestWriter | None = None
        self._failure: OSError | None = None

    def begin(self, start: Start) -> None:
        from ..checksum.manifests import ManifestWriter
        from .report_file import new_partial

        try:
            self._writer = ManifestWriter(self._path, partial=new_partial)
        except OSError as error:
            self._failure = error

    def take(self, outcome: Outcome) -> None:
        """Raises `TransferError` if `generate_checksum` asks for a local file's digest and it cannot be recorded."""
        if outcome.status is not Status.DONE:
            return
        request = outcome.request
        if isinstance(request, Remove):
            self._forget(request)
        elif isinstance(request, Transfer):
            if outcome.route == Route.MOVE and outcome.source is not None:
                self._digests.pop(_absolute(outcome.source.path), None)
            self._record(request, outcome)

    def end(self, ending: Ending) -> None:
        if self._writer is None:
            raise self._explained() from self._failure
        try:
            for path in sorted(self._digests):
                self._writer.add(Digest("sha256", self._digests[path]), path)
            self._writer.commit()
        except OSError as error:
            self._failure = error
            raise self._explained() from error
        finally:
            self._writer.abort()

    def _record(self, request: Transfer, outcome: Outcome) -> None:
        destination = outcome.destination
        if destination is None or not destination.is_local:
            return
        if request.generate_checksum and self._writer is None:
            raise self._explained() from self._failure
        path = _absolute(destination.path)
        if outcome.digest is not None:
            self._digests[path] = outcome.digest.value
            return
        self._digests.pop(path, None)
        if request.generate_checksum:
            raise no_digest(destination)

    def _forget(self, request: Remove) -> None:
        if not request.target.is_local:
            return
        path = _absolute(request.target.path)
        self._digests.pop(path, None)
        if request.recursive:
            below = os.path.join(path, "")
            for name in [name for name in self._digests if name.startswith(below)]:
                del self._digests[name]

    def _explained(self) -> TransferError:
        found = from_oserror(self._failure or OSError(), f"writing the manifest {self._path!r}")
        found.remedy = "check that the folder exists, is writable and has space, or choose another name"
        return found.at(End.NEITHER, "report")


def no_digest(location: Location) -> Unverified:
    """The error of a request whose `generate_checksum` cannot be met."""
    from .record_text import display_url

    return Unverified(
        f"{display_url(location)}: generate_checksum asks for a digest, and none was computed on this route",
        remedy="copy instead of linking, or link with --verify-links",
        end=End.NEITHER,
        step="record",
    )


def _absolute(path: str) -> str:
    """One spelling for one file; a folder reached through `link/..` is the one that the system would take."""
    if ".." in path.split("/"):
        folder, name = os.path.split(path)
        return os.path.join(os.path.realpath(folder or "."), name)
    return os.path.abspath(path)

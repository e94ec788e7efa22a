"""Replica catalogues: their files checked, and the sums that they lack filled in."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from .digest import Digest
from .entries import ManifestEntry, ManifestLine
from .errors import ChecksumError, Interrupted, ManifestError
from .files import digest_file, new_buffer
from .names import printable
from .options import access
from .output import (
    BAD_MANIFEST,
    CONFIGURATION,
    FAILED,
    INTERRUPTED,
    OK,
    change_line,
    complain,
    complain_about,
    put,
    reason,
)
from .replicas import Catalogue, MissingYaml
from .signals import stop_on_interrupt

if TYPE_CHECKING:
    import threading
    from argparse import Namespace
    from collections.abc import Iterator

    from .remote import Remote
    from .replicas import Place, Replica

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")


def local_path(pfn: str) -> bytes | None:
    """The path on this machine that a replica's place means; None for a URL of another kind."""
    if pfn.startswith("file://"):
        path = pfn.removeprefix("file://").removeprefix("localhost")
        return os.fsencode(path) if path.startswith("/") else None
    if pfn.startswith("file:/"):
        return os.fsencode(pfn.removeprefix("file:"))
    return None if _SCHEME.match(pfn) else os.fsencode(pfn)


def replica_lines(content: bytes, sites: dict[bytes, str]) -> Iterator[ManifestLine]:
    """Each place of each file as a line of a manifest; `sites` is filled with the sites of the URLs among them.

    Entries for patterns of names are passed over, since they name no file. Raises ManifestError and MissingYaml.
    """
    for replica in Catalogue(content).replicas:
        if replica.problem:
            yield ManifestLine(replica.line, None, f"{printable(replica.lfn)}: {replica.problem}")
            continue
        digests = () if replica.digest is None else (replica.digest,)
        for place in () if replica.pattern else replica.places:
            name = local_path(place.pfn)
            if name is None:
                name = os.fsencode(place.pfn)
                sites[name] = place.site
            yield ManifestLine(replica.line, ManifestEntry(name, digests, replica.size))


class Read(NamedTuple):
    """What a place holds: `digest` and `size`, or `error`."""

    place: Place
    digest: Digest | None = None
    size: int | None = None
    error: OSError | ChecksumError | None = None


class PlaceReader:
    """Reads the places of replicas, one after another."""

    def __init__(self, remote: Remote, stop: threading.Event, *, from_disk: bool = False) -> None:
        self._remote = remote
        self._stop = stop
        self._from_disk = from_disk
        self._buffer = new_buffer()

    def read(self, place: Place) -> Read:
        """Raises Interrupted only."""
        path = local_path(place.pfn)
        try:
            if path is None:
                told = self._remote.digest(place.pfn, ("sha256",), site=place.site)
                return Read(place, told.digests[0], told.size)
            found = digest_file(path, buffer=self._buffer, stop=self._stop, from_disk=self._from_disk)
        except Interrupted:
            raise
        except (OSError, ChecksumError) as error:
            return Read(place, error=error)
        except ValueError as error:  # a NUL in the name
            return Read(place, error=ChecksumError(str(error)))
        return Read(place, found.digests[0], found.size)

    def name(self, place: Place) -> bytes:
        """How the place is told: a URL without its secrets."""
        path = local_path(place.pfn)
        return os.fsencode(self._remote.shown(place.pfn)) if path is None else path


# --- completing


def update_replicas(path: str, options: Namespace, remote: Remote) -> int:
    """Fills in the sums that are missing; the rest stays byte for byte. Returns the exit code.

    A file whose replicas differ, or cannot all be read, gets none. With `paranoid` sums that are there are checked too.
    """
    remote.configure(access(options))
    try:
        with open(path, "rb") as file:
            content = file.read()
        catalogue = Catalogue(content)
        with stop_on_interrupt() as stop:
            filling = _Filling(PlaceReader(remote, stop), options)
            sums = filling.sums(catalogue)
            new = _completed(catalogue, sums)
            if new != content and not options.dry_run:
                _rewrite(path, new)
            for lfn in () if options.quiet else filling.completed:
                put(change_line("added", os.fsencode(lfn)))
            if stop.is_set():
                complain("interrupted: the sums that were found by then were filled in")
                return INTERRUPTED
    except OSError as error:
        complain_about(path, error)
        return FAILED
    except MissingYaml as error:
        complain_about(path, error)
        return CONFIGURATION
    except ManifestError as error:
        complain_about(path, error)
        return BAD_MANIFEST
    return filling.code


def _completed(catalogue: Catalogue, sums: dict[int, Digest]) -> bytes:
    """The new text, read back before anybody gets to see it."""
    new = catalogue.completed(sums)
    expected = [
        one._replace(digest=sums.get(number, one.digest), line=0)
        for number, one in enumerate(catalogue.replicas)
    ]
    if [one._replace(line=0) for one in Catalogue(new).replicas] != expected:
        raise ManifestError("is written in a way that it cannot be completed without changing its meaning")
    return new


def _rewrite(path: str, content: bytes) -> None:
    from .rewriting import RewrittenFile

    with RewrittenFile(path) as file:
        file.write(content)


class _Filling:
    def __init__(self, reader: PlaceReader, options: Namespace) -> None:
        self._reader = reader
        self._options = options
        self.code = OK
        self.completed: list[str] = []
        """The files whose sums were found, to be told once they are written."""

    def sums(self, catalogue: Catalogue) -> dict[int, Digest]:
        """The missing sums by the number of the entry; those that were found until an interrupt."""
        found: dict[int, Digest] = {}
        try:
            for number, replica in enumerate(catalogue.replicas):
                if replica.problem:
                    self._fail(f"line {replica.line}: {printable(replica.lfn)}: {replica.problem}")
                elif not replica.pattern and replica.digest is None:
                    if (digest := self._missing(catalogue, number, replica)) is not None:
                        found[number] = digest
                elif not replica.pattern and self._options.paranoid:
                    self._of(replica)
        except Interrupted:
            pass
        return found

    def _missing(self, catalogue: Catalogue, number: int, replica: Replica) -> Digest | None:
        """The digest to fill in. Whether there is a place for it is asked before anything is read."""
        if obstacle := catalogue.obstacle(number):
            self._fail(f"{printable(replica.lfn)}: {obstacle}")
            return None
        digest = self._of(replica)
        if digest is not None:
            self.completed.append(replica.lfn)
        return digest

    def _of(self, replica: Replica) -> Digest | None:
        """The digest of all replicas of a file; None after a complaint."""
        reads = [self._reader.read(place) for place in replica.places]
        for one in reads:
            if one.error is not None:
                self._fail(f"{printable(self._reader.name(one.place))}: {reason(one.error)}")
            elif replica.size not in (None, one.size):
                self._fail(
                    f"{printable(self._reader.name(one.place))}: {replica.size} bytes expected, {one.size} found"
                )
        if any(one.error is not None or replica.size not in (None, one.size) for one in reads):
            return None
        digests = {one.digest for one in reads if one.digest is not None} | ({replica.digest} - {None})
        if len(digests) != 1:
            self._fail(
                f"{printable(replica.lfn)}: its replicas, or its checksum, differ: {self._told(reads)}"
            )
            return None
        return digests.pop()

    def _told(self, reads: list[Read]) -> str:
        return ", ".join(f"{printable(self._reader.name(one.place))} has {one.digest}" for one in reads)

    def _fail(self, text: str) -> None:
        complain(text)
        self.code = FAILED

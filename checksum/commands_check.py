"""`wf-checksum -c MANIFEST...`: files held against manifests of any format, told as sha256sum tells it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .entries import ManifestLine
from .errors import ChecksumError, Interrupted, ManifestError, OutsideFolder
from .files import FileDigest
from .formats import Format, open_manifest
from .names import printable
from .output import (
    BAD_MANIFEST,
    CONFIGURATION,
    FAILED,
    INTERRUPTED,
    OK,
    Lines,
    complain,
    reason,
    standard_input,
)
from .parallel import Reading
from .paths import is_below
from .remote import RemoteFailed, is_url
from .reporting import Tally, status_line
from .signals import stop_on_interrupt
from .verification import Verdict, verify_lines

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from .commands_main import Options
    from .entries import ManifestEntry
    from .formats import Manifest
    from .remote import Remote
    from .verification import Checked


def check(options: Options, remote: Remote) -> int:
    """Prints a line a file and sums up each manifest; returns the exit code.

    After an interrupt what was checked is summed up, and the rest is said to be unchecked.
    """
    codes: set[int] = set()
    with stop_on_interrupt() as stop:
        for manifest in options.files or ("-",):
            codes.add(_Check(manifest, options, remote, stop).run())
            if stop.is_set():
                return INTERRUPTED
    codes.discard(OK)
    if not codes:
        return OK
    return codes.pop() if len(codes) == 1 else FAILED


class _Check:
    """One manifest."""

    def __init__(self, manifest: str, options: Options, remote: Remote, stop: threading.Event) -> None:
        self._manifest = manifest
        self._options = options
        self._remote = remote
        self._stop = stop
        self._tally = Tally(strict=options.strict, ignore_missing=options.ignore_missing)
        self._lines_told = Lines()
        self._sites: dict[bytes, str] = {}
        self._codes: set[int] = set()
        self._allows_all = options.allow_absolute
        self._folder: bytes | None = None
        self._is_strict = False
        """What cannot be understood is a failure by itself, and told."""

    def run(self) -> int:
        try:
            with self._opened() as manifest:
                try:
                    self._check(manifest)
                finally:
                    self._lines_told.flush()
        except Interrupted:
            complain(f"{printable(self._manifest)}: interrupted: what follows was not checked")
            self._sum_up()
            return INTERRUPTED
        except OSError as error:
            hint = (
                " (a manifest is read from a file: fetch it with wf-transfer cp)"
                if is_url(self._manifest)
                else ""
            )
            complain(f"{printable(self._manifest)}: {reason(error)}{hint}")
            return FAILED
        except ManifestError as error:
            if self._tally.well_formed:  # what came before the cut was checked, and counts
                self._sum_up()
            complain(f"{printable(self._manifest)}: {error}")
            return FAILED if self._tally.wrong + self._tally.unread else BAD_MANIFEST
        except ChecksumError as error:  # a module that is not installed
            complain(f"{printable(self._manifest)}: {error}")
            return CONFIGURATION
        self._sum_up()
        return self._code()

    def _code(self) -> int:
        """1 for any failure; where services alone failed, and all in one way, what wf-transfer has for that."""
        if self._tally.passed:
            return OK
        return self._codes.pop() if len(self._codes) == 1 else FAILED

    def _opened(self) -> Manifest:
        algorithm = self._options.algorithms[0] if self._options.algorithms else None
        source = standard_input() if self._manifest == "-" else self._manifest
        return open_manifest(source, algorithm=algorithm, zero=self._options.zero)

    def _check(self, manifest: Manifest) -> None:
        options = self._options
        self._tally.strict |= manifest.is_strict
        self._is_strict = manifest.is_strict
        self._allows_all |= manifest.format is Format.REPLICAS
        self._folder = manifest.folder
        results = verify_lines(
            self._lines(manifest),
            folder=manifest.folder,
            allow_absolute=self._allows_all,
            workers=options.workers,
            reading=Reading(special=options.special, from_disk=options.from_disk, standard_input=True),
            stop=self._stop,
            before_waiting=self._lines_told.flush,
        )
        for checked in results:
            entry = checked.entry
            if checked.verdict is Verdict.MISSING and entry is not None and self._may_ask(entry):
                checked = self._asked(checked, entry)
            self._tally.count(checked)
            self._note(checked)
            self._tell(checked)

    def _note(self, checked: Checked) -> None:
        if isinstance(checked.error, RemoteFailed):
            self._codes.add(checked.error.exit_code)
        elif checked.verdict is not Verdict.MATCH and not (
            checked.verdict is Verdict.MISSING and self._options.ignore_missing
        ):
            self._codes.add(FAILED)

    def _lines(self, manifest: Manifest) -> Iterator[ManifestLine]:
        if manifest.format is Format.REPLICAS:
            from .commands_replicas import replica_lines

            return replica_lines(manifest.content(), self._sites)
        if self._manifest == "-":
            return map(_without_standard_input, manifest.lines())
        return manifest.lines()

    # --- URLs

    def _may_ask(self, entry: ManifestEntry) -> bool:
        """A manifest from somebody else does not send this machine's credentials anywhere, unless that was allowed."""
        return self._allows_all and is_url(os.fsdecode(entry.name))

    def _asked(self, checked: Checked, entry: ManifestEntry) -> Checked:
        """The result for a URL, by its service."""
        self._lines_told.flush()
        algorithms = [digest.algorithm for digest in entry.digests]
        try:
            told = self._remote.digest(
                os.fsdecode(entry.name), algorithms, site=self._sites.get(entry.name, "")
            )
        except RemoteFailed as error:
            return checked._replace(
                verdict=Verdict.MISSING if error.absent else Verdict.UNREADABLE, error=error, path=b""
            )
        same = told.digests == entry.digests and (None in (entry.size, told.size) or entry.size == told.size)
        found = FileDigest(-1 if told.size is None else told.size, told.digests)
        verdict = Verdict.MATCH if same else Verdict.MISMATCH
        return checked._replace(verdict=verdict, found=found, error=None, path=b"")

    # --- what is told

    def _tell(self, checked: Checked) -> None:
        report = self._options.report
        entry = checked.entry
        if entry is None:
            if report == "warn" or (self._is_strict and report != "status"):
                self._complain(f"{printable(self._manifest)}: {checked.number}: {checked.problem}")
            return
        if checked.verdict is Verdict.MISSING and self._options.ignore_missing:
            return
        name = self._shown(entry.name)
        if checked.error is not None:
            self._complain_of(name, checked.error)
        if report != "status" and not (report == "quiet" and checked.verdict is Verdict.MATCH):
            self._lines_told.write(status_line(checked.verdict, name))
        if checked.verdict is Verdict.MISMATCH:
            self._explain(name, checked)

    def _complain(self, text: str) -> None:
        """What was found before is told before."""
        self._lines_told.flush()
        complain(text)

    def _shown(self, name: bytes) -> bytes:
        """The name; of a URL without its secrets."""
        if b"://" in name and is_url(os.fsdecode(name)):
            return os.fsencode(self._remote.shown(os.fsdecode(name)))
        return name

    def _complain_of(self, name: bytes, error: OSError | ChecksumError) -> None:
        if isinstance(error, RemoteFailed):
            self._complain(str(error))
        elif isinstance(error, OutsideFolder):
            self._complain(f"{printable(name)}: {error} (--allow-absolute checks it)")
        elif is_url(os.fsdecode(name)):
            self._complain(
                f"{printable(name)}: no such file here, and services are asked with --allow-absolute only"
            )
        else:
            self._complain(f"{printable(name)}: {reason(error)}")

    def _explain(self, name: bytes, checked: Checked) -> None:
        is_file = checked.path not in (b"", b"-")
        if self._options.report not in ("quiet", "status"):
            sentences = _digests_told(checked)
            if is_file:
                sentences += self._damage(checked)
            if is_file and self._is_manifest(checked.path):
                sentences.append("this is the manifest itself, which cannot hold its own checksum")
            self._complain(f"{printable(name)}: {'; '.join(sentences)}")
        if self._options.quarantine and is_file and self._may_move(name, checked.path):
            self._keep_away(name, checked.path)

    def _damage(self, checked: Checked) -> list[str]:
        """What is known about it; nothing if the file is gone by now, or was never one that can be read twice."""
        from .forensics import explain

        entry, found = checked.entry, checked.found
        assert entry is not None
        reference = self._options.reference and os.path.join(os.fsencode(self._options.reference), entry.name)
        if reference and not os.path.isfile(reference):
            self._complain(f"{printable(reference)}: no such file to compare with")
            reference = ""
        try:
            if os.path.isfile(checked.path):
                told = explain(checked.path, entry, found=found, reference=reference or None, stop=self._stop)
                return told.sentences()
        except Interrupted:
            raise
        except (OSError, ChecksumError) as error:
            return [f"cannot be looked at again: {reason(error)}"]
        return []

    def _is_manifest(self, path: bytes) -> bool:
        try:
            return os.path.samefile(path, self._manifest)
        except OSError:
            return False

    def _may_move(self, name: bytes, path: bytes) -> bool:
        """Reading through a linked folder harms nobody; moving would take files away from wherever it leads."""
        if self._allows_all or is_below(path, self._folder or b"."):
            return True
        self._complain(
            f"{printable(name)}: not moved: a link leads to it out of the folder (--allow-absolute moves it)"
        )
        return False

    def _keep_away(self, name: bytes, path: bytes) -> None:
        from .forensics import quarantine

        try:
            kept = quarantine(path, self._options.quarantine, name=name)
        except OSError as error:
            self._complain(
                f"{printable(name)}: not moved to {printable(self._options.quarantine)}: {reason(error)}"
            )
        else:
            self._complain(f"{printable(name)}: moved to {printable(kept)}")

    def _sum_up(self) -> None:
        tally = self._tally
        if not tally.well_formed:
            nothing = "lists no file: nothing was checked"
            if tally.malformed or not self._is_strict:
                nothing = "no properly formatted checksum lines found"
            complain(f"{printable(self._manifest)}: {nothing}")
        elif self._options.report != "status":
            for warning in tally.warnings():
                complain(f"WARNING: {warning}")
            if self._options.ignore_missing and not tally.matched:
                complain(f"{printable(self._manifest)}: no file was verified")


def _without_standard_input(line: ManifestLine) -> ManifestLine:
    """A manifest on standard input cannot speak of standard input."""
    if line.entry is not None and line.entry.name == b"-":
        return ManifestLine(line.number, None, "names standard input, from which the manifest is read")
    return line


def _digests_told(checked: Checked) -> list[str]:
    entry, found = checked.entry, checked.found
    assert entry is not None and found is not None
    others = {digest.algorithm: digest for digest in found.digests}
    different = [
        f"expected {digest}, found {others[digest.algorithm]}"
        for digest in entry.digests
        if others.get(digest.algorithm, digest) != digest
    ]
    return different or [f"expected {entry.digests[0]}, and that is found"]

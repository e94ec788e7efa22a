"""Digests of files, and the manifests that list them. The names here are the public API; they are imported when first used."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .blocks import BlockedDigest as BlockedDigest
    from .blocks import Range as Range
    from .blocks import digest_blocks as digest_blocks
    from .blocks import verify_range as verify_range
    from .comparison import Change as Change
    from .comparison import Difference as Difference
    from .comparison import compare as compare
    from .digest import Digest as Digest
    from .digest import canonical_algorithm as canonical_algorithm
    from .entries import BlockDigests as BlockDigests
    from .entries import ManifestEntry as ManifestEntry
    from .entries import ManifestLine as ManifestLine
    from .errors import ChangedWhileRead as ChangedWhileRead
    from .errors import ChecksumError as ChecksumError
    from .errors import Interrupted as Interrupted
    from .errors import ManifestError as ManifestError
    from .errors import NotRegular as NotRegular
    from .errors import OutsideFolder as OutsideFolder
    from .errors import TruncatedManifest as TruncatedManifest
    from .errors import WorkerDied as WorkerDied
    from .files import FileDigest as FileDigest
    from .files import digest_file as digest_file
    from .files import digest_stream as digest_stream
    from .findings import Damage as Damage
    from .findings import Finding as Finding
    from .forensics import Explanation as Explanation
    from .forensics import explain as explain
    from .forensics import quarantine as quarantine
    from .formats import Format as Format
    from .formats import Manifest as Manifest
    from .formats import open_manifest as open_manifest
    from .formats import read_manifest as read_manifest
    from .manifests import ManifestWriter as ManifestWriter
    from .manifests import write_manifest as write_manifest
    from .parallel import Digested as Digested
    from .parallel import Reading as Reading
    from .parallel import Task as Task
    from .parallel import digest_files as digest_files
    from .trees import Found as Found
    from .trees import Kind as Kind
    from .trees import walk as walk
    from .verification import Checked as Checked
    from .verification import Verdict as Verdict
    from .verification import verify_files as verify_files

_WHERE = {
    "BlockDigests": "entries",
    "BlockedDigest": "blocks",
    "Change": "comparison",
    "ChangedWhileRead": "errors",
    "Checked": "verification",
    "ChecksumError": "errors",
    "Damage": "findings",
    "Difference": "comparison",
    "Digest": "digest",
    "Digested": "parallel",
    "Explanation": "forensics",
    "FileDigest": "files",
    "Finding": "findings",
    "Format": "formats",
    "Found": "trees",
    "Interrupted": "errors",
    "Kind": "trees",
    "Manifest": "formats",
    "ManifestEntry": "entries",
    "ManifestError": "errors",
    "ManifestLine": "entries",
    "ManifestWriter": "manifests",
    "NotRegular": "errors",
    "OutsideFolder": "errors",
    "Range": "blocks",
    "Reading": "parallel",
    "Task": "parallel",
    "TruncatedManifest": "errors",
    "Verdict": "verification",
    "WorkerDied": "errors",
    "canonical_algorithm": "digest",
    "compare": "comparison",
    "digest_blocks": "blocks",
    "digest_file": "files",
    "digest_files": "parallel",
    "digest_stream": "files",
    "explain": "forensics",
    "open_manifest": "formats",
    "quarantine": "forensics",
    "read_manifest": "formats",
    "verify_files": "verification",
    "verify_range": "blocks",
    "walk": "trees",
    "write_manifest": "manifests",
}

__all__ = sorted(_WHERE)  # noqa: PLE0605 - the table is the one place where the names stand


def __getattr__(name: str) -> object:
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{module}", __name__), name)

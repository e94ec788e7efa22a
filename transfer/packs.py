"""Archives that stand for folders: fetched, verified and taken apart, or made and stored. The folder is local.

Names in an archive are somebody else's: none may lead out of the folder, by `..`, by an absolute path, or through a link.
"""

from __future__ import annotations

import os
import posixpath
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from ..protocols.errors import End, LocalRefused, Stopped, TransferError, Unsupported, from_oserror
from ..protocols.locations import parse_location
from ..protocols.values import Incoming
from .places import why_unsafe
from .settings import Evidence
from .trees import Moved, copy_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from ..protocols.locations import Location
    from ..protocols.values import Tree
    from .requests import Transfer
    from .staging import SpoolBudget
    from .work import Work, Worker

_PIECE: Final = 1 << 20
_DAMAGED: Final = "is damaged, or no archive of that kind"


class _Member(NamedTuple):
    """One name in an archive. `kind` is `file`, `folder` or `link`; devices and their like are left out."""

    name: str
    kind: str
    size: int = 0
    mode: int = 0o644
    target: str = ""
    content: IO[bytes] | None = None


# --- taking apart


def unpack(transfer: Transfer, work: Work, worker: Worker, budget: SpoolBudget, tree: Tree) -> Moved:
    """The archive fetched to a spool file, compared with what is expected of it, and taken apart at the destination."""
    folder = _local(work.destination, "an archive is taken apart on this machine only")
    spool = _spool(budget, transfer.size)
    expected = {"expected": transfer.expected, "size": transfer.size}
    try:
        copied = copy_file(transfer, tree.folder, spool, transfer.lfn, worker, **expected)
        return _taken_apart(spool.path, tree, folder, worker)._replace(
            bytes=copied.bytes, evidence=copied.evidence
        )
    finally:
        budget.release(spool)


def _taken_apart(path: str, tree: Tree, folder: Location, worker: Worker) -> Moved:
    kind = _kind(path) if tree.pack == "auto" else tree.pack
    if not kind:
        raise LocalRefused(
            f"{tree.folder.shown} is none of the archives that can be taken apart",
            end=End.SOURCE,
            step="unpack",
            remedy="make it a tar, tar.gz, tar.xz or zip",
        )
    moved, links = Moved(), []
    try:
        for member in _members(path, kind):
            place = _inside(folder, member, tree)
            if member.kind == "folder":
                worker.store(place).make_directory(place)
            elif member.kind == "link":
                links.append((place, member))
            else:
                _write(place, member, worker)
                moved = moved._replace(files=moved.files + 1)
        # Last, so that no file is written through one.
        for place, member in links:
            _link(place, member, folder)
    except TransferError as error:
        raise error.at(End.DESTINATION, "unpack") from error.__cause__
    except _faults() as error:
        raise LocalRefused(
            f"{tree.folder.shown} {_DAMAGED} ({type(error).__name__})",
            end=End.SOURCE,
            step="unpack",
            remedy="look at how it was made",
        ) from error
    return moved


def _faults() -> tuple[type[Exception], ...]:
    """What a damaged archive raises."""
    import lzma
    import tarfile
    import zipfile
    import zlib

    return (
        tarfile.TarError,
        zipfile.BadZipFile,
        lzma.LZMAError,
        zlib.error,
        EOFError,
        NotImplementedError,
        OSError,
        ValueError,
    )


def _kind(path: str) -> str:
    """What the first bytes say; empty for nothing that is known."""
    with open(path, "rb") as file:
        begin = file.read(512)
    if begin.startswith(b"\x1f\x8b"):
        return "tar.gz"
    if begin.startswith(b"\xfd7zXZ\0"):
        return "tar.xz"
    if begin.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    return "tar" if begin[257:262] == b"ustar" else ""


def _members(path: str, kind: str) -> Iterator[_Member]:
    return _zip_members(path) if kind == "zip" else _tar_members(path, kind)


def _tar_members(path: str, kind: str) -> Iterator[_Member]:
    import tarfile

    mode: Any = f"r:{_compression(kind)}"
    with tarfile.open(path, mode) as archive:
        for info in archive:
            if info.isdir():
                yield _Member(info.name, "folder")
            elif info.issym():
                yield _Member(info.name, "link", target=info.linkname)
            elif info.isreg() or info.islnk():
                yield _Member(info.name, "file", info.size, info.mode, "", _of(archive, info))


def _compression(kind: str) -> str:
    return kind.removeprefix("tar").removeprefix(".")


def _of(archive: object, info: object) -> IO[bytes]:
    """The bytes of a file, or of the earlier one that it is another name of. Raises ValueError where that is missing."""
    try:
        found: IO[bytes] | None = archive.extractfile(info)  # type: ignore[attr-defined]
    except KeyError as error:
        raise ValueError("another name of a file that is not there") from error
    if found is None:
        raise ValueError("another name of what is no file")
    return found


def _zip_members(path: str) -> Iterator[_Member]:
    import stat
    import zipfile

    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            if info.is_dir():
                yield _Member(info.filename, "folder")
            elif stat.S_ISLNK(mode):
                yield _Member(info.filename, "link", target=os.fsdecode(archive.read(info)))
            else:
                with archive.open(info) as content:
                    yield _Member(info.filename, "file", info.file_size, mode & 0o777 or 0o644, "", content)


def _inside(folder: Location, member: _Member, tree: Tree) -> Location:
    """The place of a member in the folder. Raises LocalRefused for a name that leads out of it."""
    name = _plain(member.name)
    why = why_unsafe(name, folders=True) if name else ""
    if not why and any(os.path.islink(part) for part in _above(folder.path, name)):
        why = "it is behind a symbolic link"
    if why:
        from ..credentials.redaction import printable

        raise LocalRefused(
            f"{tree.folder.shown} has {printable(member.name)[:200]!r} in it, which is not taken out: {why}",
            end=End.SOURCE,
            remedy="make the archive without it",
        )
    return folder.below(name) if name else folder


def _plain(name: str) -> str:
    while name.startswith("./"):
        name = name[2:]
    return "" if name == "." else name.rstrip("/")


def _above(folder: str, name: str) -> Iterator[str]:
    """The folders between `folder` and the name."""
    parts = name.split("/")[:-1]
    for count in range(1, len(parts) + 1):
        yield os.path.join(folder, *parts[:count])


def _write(place: Location, member: _Member, worker: Worker) -> None:
    """Puts one file to its place, in one step."""
    assert member.content is not None
    writer = worker.store(place).open_write(place, Incoming(size=member.size, mode=member.mode & 0o777))
    try:
        while piece := member.content.read(_PIECE):
            if worker.context.stop.is_set():
                raise Stopped("the run was stopped while an archive was taken apart")
            writer.write(memoryview(piece))
        writer.commit(())
    except BaseException:
        writer.abort()
        raise


def _link(place: Location, member: _Member, folder: Location) -> None:
    """A symbolic link, if what it names is inside the folder."""
    name = _plain(member.name)
    leads = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.target))
    if member.target.startswith("/") or leads == ".." or leads.startswith("../"):
        from ..credentials.redaction import printable

        raise LocalRefused(
            f"the link {printable(name)[:200]!r} in the archive leads out of its folder",
            end=End.SOURCE,
            remedy="make the archive without it",
        )
    try:
        os.makedirs(os.path.dirname(place.path) or ".", exist_ok=True)
        if os.path.islink(place.path):
            os.unlink(place.path)
        os.symlink(member.target, place.path)
    except OSError as error:
        raise from_oserror(error, f"making the link {place.shown}") from error


# --- making


def pack(transfer: Transfer, work: Work, worker: Worker, budget: SpoolBudget, tree: Tree) -> Moved:
    """The local folder as one archive at the destination; `auto` makes a tar.gz."""
    assert work.replica is not None
    folder = _local(work.replica, "an archive is made of a folder of this machine only")
    spool = _spool(budget, None)
    kind = "tar.gz" if tree.pack == "auto" else tree.pack
    try:
        files = _made(folder.path, spool.path, kind, worker)
        budget.grown(spool, os.path.getsize(spool.path))
        copied = copy_file(transfer, spool, tree.folder, transfer.lfn, worker)
        return Moved(files, copied.bytes, copied.evidence or Evidence.NONE)
    except OSError as error:
        raise from_oserror(error, f"packing {folder.shown}").at(End.SOURCE, "pack") from error
    finally:
        budget.release(spool)


def _made(folder: str, path: str, kind: str, worker: Worker) -> int:
    if not os.path.isdir(folder):
        raise LocalRefused(
            f"{folder} is no folder to be packed", end=End.SOURCE, step="pack", remedy="name a folder"
        )
    return _made_zip(folder, path, worker) if kind == "zip" else _made_tar(folder, path, kind, worker)


def _made_tar(folder: str, path: str, kind: str, worker: Worker) -> int:
    import tarfile

    files = 0
    mode: Any = f"w:{_compression(kind)}"
    with tarfile.open(path, mode, format=tarfile.PAX_FORMAT) as archive:
        for inner, name in _walked(folder, worker):
            archive.add(inner, name, recursive=False)
            files += not os.path.isdir(inner)
    return files


def _made_zip(folder: str, path: str, worker: Worker) -> int:
    import zipfile

    files = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for inner, name in _walked(folder, worker):
            archive.write(inner, name)
            files += not os.path.isdir(inner)
    return files


def _walked(folder: str, worker: Worker) -> Iterator[tuple[str, str]]:
    """Path and name of everything in the folder, in order, links as such; sockets and their like are left out."""
    for above, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted((*folders, *files)):
            if worker.context.stop.is_set():
                raise Stopped("the run was stopped while a folder was packed")
            inner = os.path.join(above, name)
            if os.path.isdir(inner) or os.path.isfile(inner) or os.path.islink(inner):
                yield inner, os.path.relpath(inner, folder)


def _local(location: Location, why: str) -> Location:
    if location.is_local:
        return location
    raise Unsupported(f"{location.shown}: {why}", end=End.NEITHER, step="plan", remedy="name a local folder")


def _spool(budget: SpoolBudget, size: int | None) -> Location:
    """A file that is let in however full the spool is: it is needed now."""
    found = budget.reserve(size) or budget.reserve(None)
    if found is None:
        import tempfile

        descriptor, path = tempfile.mkstemp(prefix="wf-spool-")
        os.close(descriptor)
        return parse_location(f"file://{path}")
    return found

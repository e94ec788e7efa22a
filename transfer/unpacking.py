"""Archives that stand for folders: fetched, verified and taken apart. The folder is local.

Names in an archive are somebody else's: none may lead out of the folder, by `..`, by an absolute path, or through a link. So
are its sizes: a few bytes may claim to be more than any memory or disk holds.
"""

from __future__ import annotations

import os
import posixpath
from typing import IO, TYPE_CHECKING, NamedTuple

from ..protocols.errors import End, LocalRefused, NoSpace, TransferError, from_oserror
from ..protocols.values import Incoming
from .packs import local_folder, look_at_stop, spool_file, stream
from .places import why_unsafe
from .trees import Moved, copy_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from tarfile import TarInfo
    from typing import Final, Self
    from zipfile import ZipFile, ZipInfo

    from ..protocols.locations import Location
    from ..protocols.values import Tree
    from .requests import Transfer
    from .staging import SpoolBudget
    from .work import Work, Worker

_PIECE: Final = 1 << 20
_DAMAGED: Final = "is damaged, or no archive of that kind"
_HEADER_MOST: Final = 1 << 20
"""Bytes that may say something about one file of a tar, its long name before all: they are held in memory."""
_LINK_MOST: Final = 4096
"""Bytes of what a link names; systems take no longer ones."""
_SMALL: Final = 1 << 20


class _Member(NamedTuple):
    """One name in an archive. `kind` is `file`, `folder` or `link`; devices and their like are left out."""

    name: str
    kind: str
    size: int | None = 0
    mode: int = 0o644
    target: str = ""
    content: IO[bytes] | None = None


def unpack(transfer: Transfer, work: Work, worker: Worker, budget: SpoolBudget, tree: Tree) -> Moved:
    """The archive fetched to a spool file, compared with what is expected of it, and taken apart at the destination."""
    folder = local_folder(work.destination, "an archive is taken apart on this machine only")
    spool = spool_file(budget, transfer.size)
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
    try:
        worker.store(folder).make_directory(folder)
        return Moved(_put_all(_members(path, kind, worker), tree, folder, worker))
    except TransferError as error:
        raise error.at(End.DESTINATION, "unpack") from error.__cause__
    except _faults() as error:
        raise LocalRefused(
            f"{tree.folder.shown} {_DAMAGED} ({type(error).__name__})",
            end=End.SOURCE,
            step="unpack",
            remedy="look at how it was made",
        ) from error


def _put_all(members: Iterator[_Member], tree: Tree, folder: Location, worker: Worker) -> int:
    """How many files there were."""
    files, links = 0, []
    for member in members:
        place = _inside(folder, member, tree)
        if member.kind == "folder":
            worker.store(place).make_directory(place)
        elif member.kind == "link":
            links.append(member)
        else:
            _write(place, member, worker)
            files += 1
    # Last, so that no file is written through one.
    _make_links(links, tree, folder)
    return files


def _faults() -> tuple[type[Exception], ...]:
    """What a damaged archive raises, or one with a password."""
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
        RuntimeError,
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
    # A tar without files is zeros.
    return "tar" if begin[257:262] == b"ustar" or (len(begin) == 512 and not any(begin)) else ""


def _members(path: str, kind: str, worker: Worker) -> Iterator[_Member]:
    return _zip_members(path) if kind == "zip" else _tar_members(path, kind, worker)


def _tar_members(path: str, kind: str, worker: Worker) -> Iterator[_Member]:
    import tarfile

    with (
        stream(path, kind, "rb") as content,
        tarfile.open(fileobj=content, mode="r:", tarinfo=_bounded_headers()) as archive,
    ):
        for info in archive:
            if info.isdir():
                yield _Member(info.name, "folder")
            elif info.issym():
                yield _Member(info.name, "link", target=info.linkname)
            elif info.isreg() or info.islnk():
                size = None if info.islnk() else info.size
                yield _Member(info.name, "file", size, info.mode, "", _of(archive, info))
        # Behind the last file is the checksum of the compression.
        while content.read(_PIECE):
            look_at_stop(worker, "taken apart")


def _bounded_headers() -> type[TarInfo]:
    """Headers of a tar, without those that would fill the memory."""
    import tarfile

    about_others = (
        *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
        *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    )

    class Bounded(tarfile.TarInfo):
        @classmethod
        def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
            found = super().frombuf(buf, encoding, errors)
            if found.type in about_others and found.size > _HEADER_MOST:
                raise tarfile.ReadError("a header is too long")
            return found

    return Bounded


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
                yield _Member(info.filename, "link", target=_link_target(archive, info))
            else:
                with archive.open(info) as content:
                    yield _Member(info.filename, "file", info.file_size, mode & 0o777 or 0o644, "", content)


def _link_target(archive: ZipFile, info: ZipInfo) -> str:
    if info.file_size > _LINK_MOST:
        raise ValueError("a link to a name that is too long")
    return os.fsdecode(archive.read(info))


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
    if member.size is not None and member.size > _SMALL:
        _insist_on_space(place, member.size)
    writer = worker.store(place).open_write(place, Incoming(size=member.size, mode=member.mode & 0o777))
    try:
        while piece := member.content.read(_PIECE):
            look_at_stop(worker, "taken apart")
            writer.write(memoryview(piece))
        writer.commit(())
    except BaseException:
        writer.abort()
        raise


def _insist_on_space(place: Location, size: int) -> None:
    """Raises NoSpace: files of zeros are claimed with a few bytes, and written with all of them."""
    above = os.path.dirname(place.path) or "."
    while not os.path.isdir(above):
        above = os.path.dirname(above) or "."
    found = os.statvfs(above)
    if size > found.f_bavail * found.f_frsize:
        raise NoSpace(f"{place.shown} would be {size} bytes, and there is less space", end=End.DESTINATION)


def _make_links(links: Sequence[_Member], tree: Tree, folder: Location) -> None:
    """Each is looked at once more when all are there: one can lead out over another one."""
    made: list[str] = []
    try:
        for member in links:
            place = _inside(folder, member, tree)
            _make_link(place, member)
            made.append(place.path)
    finally:
        root = os.path.realpath(folder.path)
        stray = [path for path in made if not f"{os.path.realpath(path)}/".startswith(f"{root.rstrip('/')}/")]
        for path in stray:
            os.unlink(path)
    if stray:
        raise _leads_out(os.path.relpath(stray[0], folder.path))


def _make_link(place: Location, member: _Member) -> None:
    """A symbolic link, if what it names is inside the folder as far as its words tell."""
    name = _plain(member.name)
    leads = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.target))
    if member.target.startswith("/") or leads == ".." or leads.startswith("../"):
        raise _leads_out(name)
    try:
        os.makedirs(os.path.dirname(place.path) or ".", exist_ok=True)
        if os.path.islink(place.path):
            os.unlink(place.path)
        os.symlink(member.target, place.path)
    except OSError as error:
        raise from_oserror(error, f"making the link {place.shown}") from error


def _leads_out(name: str) -> LocalRefused:
    from ..credentials.redaction import printable

    return LocalRefused(
        f"the link {printable(name)[:200]!r} in the archive leads out of its folder",
        end=End.SOURCE,
        remedy="make the archive without it",
    )

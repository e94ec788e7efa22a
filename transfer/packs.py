"""Local folders made into one archive that is stored.

The same folder always makes the same archive, so that what was stored already is known again. What archives become folders by is
in `unpacking.py`.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from ..protocols.errors import End, LocalRefused, Stopped, Unsupported, from_oserror
from ..protocols.locations import parse_location
from .settings import Evidence
from .trees import Moved, copy_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal
    from zipfile import ZipInfo

    from ..protocols.locations import Location
    from ..protocols.values import Tree
    from .requests import Transfer
    from .staging import SpoolBudget
    from .work import Work, Worker


def pack(transfer: Transfer, work: Work, worker: Worker, budget: SpoolBudget, tree: Tree) -> Moved:
    """The local folder as one archive at the destination; `auto` makes a tar.gz."""
    assert work.replica is not None
    folder = local_folder(work.replica, "an archive is made of a folder of this machine only")
    spool = spool_file(budget, None)
    kind = "tar.gz" if tree.pack == "auto" else tree.pack
    try:
        files = _made(folder.path, spool.path, kind, worker)
        budget.grown(spool, os.path.getsize(spool.path))
        copied = copy_file(transfer, spool, tree.folder, transfer.lfn, worker)
        return Moved(files, copied.bytes, copied.evidence or Evidence.NONE)
    except OSError as error:
        raise from_oserror(error, f"packing {folder.shown}").at(End.SOURCE, "pack") from error
    except UnicodeEncodeError as error:
        raise LocalRefused(
            f"{folder.shown} has a name that is no text, and a zip holds no other",
            end=End.SOURCE,
            step="pack",
            remedy="choose ?pack=tar.gz",
        ) from error
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
    with (
        stream(path, kind, "wb") as content,
        tarfile.open(fileobj=content, mode="w:", format=tarfile.PAX_FORMAT) as archive,
    ):
        for inner, name in _walked(folder, worker):
            archive.add(inner, name, recursive=False)
            files += not os.path.isdir(inner)
    return files


def _made_zip(folder: str, path: str, worker: Worker) -> int:
    import zipfile

    files = 0
    # Times before 1980 become that year.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        for inner, name in _walked(folder, worker):
            if os.path.islink(inner):
                archive.writestr(_zip_link(name), os.fsencode(os.readlink(inner)))
            else:
                archive.write(inner, name)
            files += not os.path.isdir(inner)
    return files


def _zip_link(name: str) -> ZipInfo:
    import stat
    import zipfile

    info = zipfile.ZipInfo(name)
    info.create_system = 3  # Unix: what follows are the bits of its file modes
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def _walked(folder: str, worker: Worker) -> Iterator[tuple[str, str]]:
    """Path and name of everything in the folder, in order, links as such; sockets and their like are left out.

    Raises OSError for a folder that cannot be read.
    """
    for above, folders, files in os.walk(folder, onerror=_reraised):
        folders.sort()
        for name in sorted((*folders, *files)):
            look_at_stop(worker, "made")
            inner = os.path.join(above, name)
            if os.path.isdir(inner) or os.path.isfile(inner) or os.path.islink(inner):
                yield inner, os.path.relpath(inner, folder)


@contextmanager
def stream(path: str, kind: str, mode: Literal["rb", "wb"]) -> Iterator[IO[bytes]]:
    """The tar behind its compression, which says neither when it was made nor how the file was called."""
    with open(path, mode) as plain:
        if kind == "tar.gz":
            import gzip

            with gzip.GzipFile("", mode, fileobj=plain, mtime=0) as opened:
                yield opened  # type: ignore[misc]
        elif kind == "tar.xz":
            import lzma

            with lzma.open(plain, mode) as pressed:
                yield pressed
        else:
            yield plain


def _reraised(error: OSError) -> None:
    raise error


def look_at_stop(worker: Worker, what: str) -> None:
    if worker.context.stop.is_set():
        raise Stopped(f"the run was stopped while an archive was {what}")


def local_folder(location: Location, why: str) -> Location:
    if location.is_local:
        return location
    raise Unsupported(f"{location.shown}: {why}", end=End.NEITHER, step="plan", remedy="name a local folder")


def spool_file(budget: SpoolBudget, size: int | None) -> Location:
    """A file that is let in however full the spool is: it is needed now."""
    found = budget.reserve(size) or budget.reserve(None)
    if found is None:
        import tempfile

        descriptor, path = tempfile.mkstemp(prefix="wf-spool-")
        os.close(descriptor)
        return parse_location(f"file://{path}")
    return found

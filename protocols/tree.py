"""Local folders: what is in them, and removing them with all of it, without ever following a symbolic link."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from .errors import Stopped
from .file import entry_of
from .local_errors import absence, failure, name_of, refusal

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from .values import Entry

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_DEEPEST = 40
"""Levels that are open at a time: a process has few descriptors, and several workers may be removing."""


def entries(path: str, recursive: bool, stop: threading.Event) -> Iterator[Entry]:
    """What is below `path`, which itself may be a link to a folder. What vanishes meanwhile is left out."""
    if not os.path.isdir(path) and os.path.lexists(path):
        raise refusal(path, "list", "it is not a folder", "name a folder")
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        if stop.is_set():
            raise Stopped(f"cannot list {name_of(path)} to its end: the run was stopped")
        for entry in _children(path, prefix):
            yield entry
            if recursive and entry.is_directory:
                waiting.append(entry.path + "/")


def _children(path: str, prefix: str) -> Iterator[Entry]:
    folder = os.path.join(path, prefix) if prefix else path
    try:
        with os.scandir(folder) as children:
            for child in children:
                try:
                    status = child.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                yield entry_of(prefix + child.name, status)
    except OSError as error:
        if prefix and isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return
        raise absence(error, "list", folder) from error
    except ValueError as error:
        raise failure(error, "list", folder) from error


def remove(path: str, recursive: bool, stop: threading.Event) -> None:
    """Removes one name; with `recursive` a folder and what is in it. A trailing slash does not lead into a link."""
    bare = path.rstrip("/")
    folder, name = os.path.split(bare)
    if name in ("", ".", ".."):
        raise refusal(path, "remove", "it does not end with a name", "name what to remove")
    try:
        status = os.lstat(bare)
        if not stat.S_ISDIR(status.st_mode):
            os.unlink(bare)
            return
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:
        raise failure(error, "remove", path) from error
    if not recursive:
        raise refusal(
            path,
            "remove",
            "it is a folder",
            'ask for a recursive removal (rm -r; in a batch "recursive": true)',
        )
    _remove_folder(folder or ".", name, stop)


class _Level(NamedTuple):
    """An open folder, and the names of the folders that are left in it once its files are gone."""

    name: str
    descriptor: int
    below: list[str]


def _remove_folder(parent: str, name: str, stop: threading.Event) -> None:
    """Descends by descriptors, one for each level, so that nobody can put a link in the way."""
    levels: list[_Level] = []
    try:
        levels.append(_Level("", os.open(parent, _FOLDER), [name]))
        while True:
            if stop.is_set():
                raise Stopped(
                    f"cannot remove all of {name_of(os.path.join(parent, name))}: the run was stopped"
                )
            level = levels[-1]
            if level.below and len(levels) > _DEEPEST:
                _lift(level, levels[1])
            elif level.below:
                inner = _enter(level.descriptor, level.below.pop())
                if inner is not None:
                    levels.append(inner)
                    inner.below.extend(_without_files(inner.descriptor))
            elif len(levels) == 1:
                return
            else:
                levels.pop()
                os.close(level.descriptor)
                _drop(level.name, levels[-1].descriptor)
    except OSError as error:
        last = error.filename if isinstance(error.filename, str) and levels else ""
        where = os.path.join(parent, *(level.name for level in levels), last)
        raise failure(error, "remove", where) from error
    finally:
        for level in levels:
            os.close(level.descriptor)


def _lift(deep: _Level, top: _Level) -> None:
    """Moves a folder to the top of what is being removed, where its turn comes with fewer folders open."""
    name = deep.below.pop()
    lifted = f".wf-{os.urandom(8).hex()}.rm"
    try:
        os.rename(name, lifted, src_dir_fd=deep.descriptor, dst_dir_fd=top.descriptor)
    except FileNotFoundError:
        return
    top.below.append(lifted)


def _enter(parent: int, name: str) -> _Level | None:
    """The folder `name`; None if it is gone, or was a folder a moment ago and is none now."""
    try:
        return _Level(name, os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=parent), [])
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
    _unlink(name, parent)
    return None


def _without_files(descriptor: int) -> list[str]:
    """Removes everything that is no folder, and returns the names of the folders."""
    with os.scandir(descriptor) as children:
        found = [(child.name, child.is_dir(follow_symlinks=False)) for child in children]
    for name, is_folder in found:
        if not is_folder:
            _unlink(name, descriptor)
    return [name for name, is_folder in found if is_folder]


def _unlink(name: str, parent: int) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return


def _drop(name: str, parent: int) -> None:
    try:
        os.rmdir(name, dir_fd=parent)
    except FileNotFoundError:
        return

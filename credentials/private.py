"""Files with secrets: who may own and read them, and how they are written.

A file with a secret belongs to us or to root and gives others nothing; one of root's may let a group read, because
nobody else could use it then. Authorities, public keys and configuration without secrets are not looked at.
"""

from __future__ import annotations

import os
import stat

from .errors import CredentialError, Misconfigured, MissingCredential, UnsafeFile
from .records import NamedTuple
from .redaction import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

_MOST_BYTES: Final = 1 << 20


def _say_nothing(text: str) -> None:
    pass


class Policy(NamedTuple):
    """What happens when others could read or change a file with a secret. As it stands: the file is refused."""

    insecure: bool = False
    """Such a file is used, with a warning."""
    fix_permissions: bool = False
    """The mode of a file of ours is set to 0600, with a warning."""
    warn: Callable[[str], None] = _say_nothing
    """Gets each warning, a sentence for people."""


STRICT: Final = Policy()


class Seen(NamedTuple):
    """Which content of a file was used: it has changed when any of these has."""

    path: str
    touched: int
    """Nanoseconds: when content, mode or owner changed last (ctime, which no tool sets back)."""
    size: int
    inode: int

    def changed(self) -> bool:
        """Whether the file is another one now. One that cannot be looked at counts as unchanged."""
        try:
            status = os.stat(self.path)
        except OSError:
            return False
        return _seen(self.path, status) != self


def read_private(path: str, policy: Policy = STRICT) -> bytes:
    """The content of a file that holds a secret, after a look at who else could have read or written it.

    Raises UnsafeFile when the rules above are broken; FileNotFoundError when it is not there; Misconfigured otherwise.
    """
    return read_seen(path, policy)[0]


def read_seen(path: str, policy: Policy = STRICT) -> tuple[bytes, Seen]:
    """What `read_private` gives, and which version of the file it was."""
    descriptor = _open(path)
    try:
        _refuse_unsafe(path, descriptor, os.fstat(descriptor), policy)
        seen = _seen(path, os.fstat(descriptor))
        return _all_of(descriptor, path), seen
    finally:
        os.close(descriptor)


def check_private(path: str, policy: Policy = STRICT) -> Seen:
    """Raises what `read_private` raises, without reading: for files that another library is going to read."""
    descriptor = _open(path)
    try:
        _refuse_unsafe(path, descriptor, os.fstat(descriptor), policy)
        return _seen(path, os.fstat(descriptor))
    finally:
        os.close(descriptor)


def seen_now(path: str) -> Seen | None:
    """Which version of a file is there; None for none. Its permissions are not looked at."""
    try:
        return _seen(path, os.stat(path))
    except OSError:
        return None


def is_ours_alone(path: str) -> bool:
    """Whether nobody but us and root can change the file: what it says may then be obeyed."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    return status.st_uid in (os.geteuid(), 0) and not status.st_mode & 0o022


def write_private(path: str, content: bytes) -> None:
    """Replaces the file at once by one of mode 0600 with this content. Raises OSError, and then leaves nothing."""
    from tempfile import mkstemp

    folder, name = os.path.split(os.path.realpath(path))
    descriptor, partial = mkstemp(prefix=f".{name}.", dir=folder)  # of mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, os.path.join(folder, name))
    except BaseException:
        os.unlink(partial)
        raise


def passed_over(error: CredentialError) -> str:
    """Why a file that nobody named is not used, for the list of places that were looked at."""
    return f"{error.what.partition(':')[0]}: not used" if isinstance(error, UnsafeFile) else error.what


def _seen(path: str, status: os.stat_result) -> Seen:
    return Seen(path, status.st_ctime_ns, status.st_size, status.st_ino)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its name has a NUL"
        raise MissingCredential(
            f"{printable(path)} cannot be read: {reason}", "check the path and its permissions"
        ) from None


def _refuse_unsafe(path: str, descriptor: int, status: os.stat_result, policy: Policy) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise Misconfigured(
            f"{printable(path)} is not a regular file", "name a file that holds the credential"
        )
    error = _unsafe(path, status)
    if error is None:
        return
    if policy.fix_permissions and _repair(path, descriptor, status, policy):
        return
    if not policy.insecure:
        raise error
    policy.warn(f"{error.what.removesuffix(': refused')}: used all the same (--insecure-credentials)")


def _unsafe(path: str, status: os.stat_result) -> UnsafeFile | None:
    name = printable(path)
    if status.st_uid not in (os.geteuid(), 0):
        return UnsafeFile(
            f"{name} holds credentials and belongs to another user (uid {status.st_uid}): refused",
            f"copy it to a file of your own with mode 0600, after a look at what is in it: {name}",
        )
    allowed = 0o040 if status.st_uid == 0 else 0
    if not status.st_mode & 0o077 & ~allowed:
        return None
    mode = stat.S_IMODE(status.st_mode)
    return UnsafeFile(
        f"{name} holds credentials and others can read or change it (mode {mode:04o}): refused",
        f"chmod 600 {name} (or --fix-permissions), and renew what was in it if others may have read it",
    )


def _repair(path: str, descriptor: int, status: os.stat_result, policy: Policy) -> bool:
    """Whether the file is ours alone now. One that others own stays theirs."""
    if status.st_uid != os.geteuid():
        return False
    try:
        os.fchmod(descriptor, 0o600)
    except OSError:
        return False
    mode = stat.S_IMODE(status.st_mode)
    policy.warn(f"the mode of {printable(path)} was {mode:04o} and is 0600 now (--fix-permissions)")
    return True


def _all_of(descriptor: int, path: str) -> bytes:
    content = b""
    while chunk := os.read(descriptor, 1 << 16):
        content += chunk
        if len(content) > _MOST_BYTES:
            raise Misconfigured(
                f"{printable(path)} is larger than 1 MiB", "name a file that holds the credential"
            )
    return content

"""The command `wf-checksum`. Nobody imports this module; what a plain call does not need is imported when it is needed."""

from __future__ import annotations

import os
import sys

from .errors import ChecksumError
from .files import digest_file, digest_stream
from .gnu import write_manifest_line
from .output import (
    BROKEN_PIPE,
    DEFECT,
    FAILED,
    INTERRUPTED,
    OK,
    OutputFailed,
    complain,
    complain_about,
    put,
    reason,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Final, Self

    from ..protocols.errors import TransferError
    from ..protocols.locations import Location
    from ..protocols.values import Entry
    from .digest import Digest
    from .remote import Access, RemoteDigest, RemoteFailed

_MISMATCH: Final = 3
"""What wf-transfer ends with where this program, as sha256sum, ends with 1."""

COMMANDS: Final = frozenset({"generate", "verify", "diff", "update", "integrity"})
"""The words of `options.COMMANDS`, which a plain call does not import."""
_DROP_IN: Final = "pegasus-integrity"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code. SystemExit is raised for usage errors."""
    try:
        return _run(_given() if arguments is None else arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OutputFailed as failure:
        return _output_failed(failure.__cause__)
    except Exception as error:  # noqa: BLE001 - people get a sentence instead of a traceback
        complain(f"defect: {type(error).__name__}: {error}; please report this with the command line")
        return DEFECT


def _given() -> list[str]:
    """The arguments; under the name of the program that it replaces the command is that program's."""
    given = sys.argv[1:]
    return ["integrity", *given] if os.path.basename(sys.argv[0]) == _DROP_IN else given


def _run(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] in COMMANDS:
        return _command(arguments[0], arguments[1:])
    if len(arguments) < 2 and not any(one[:1] == "-" != one or "://" in one for one in arguments):
        return _plain(arguments[0] if arguments else "-")
    from .commands_main import run

    with _Urls() as urls:
        return run(arguments, urls)


def _plain(name: str) -> int:
    """The usual call, spared the import of argparse: the checksum of one file."""
    try:
        found = digest_stream(0) if name == "-" else digest_file(name)
    except (OSError, ChecksumError) as error:
        complain_about(name, error)
        return FAILED
    put(write_manifest_line(found.digests[0], name))
    return OK


def _command(word: str, arguments: Sequence[str]) -> int:
    if word == "integrity":
        from .integrity import run

        return run(arguments)
    if word in ("generate", "verify"):
        from .commands_meta import run_generate, run_verify

        return (run_generate if word == "generate" else run_verify)(arguments)
    if word == "diff":
        from .commands_diff import run_diff

        return run_diff(arguments)
    from .commands_update import run_update

    with _Urls() as urls:
        return run_update(arguments, urls)


def _output_failed(cause: BaseException | None) -> int:
    if isinstance(cause, BrokenPipeError):
        return BROKEN_PIPE
    complain(f"write error: {reason(cause)}")
    return FAILED


# --- URLs


class _Urls:
    """What `remote.Remote` asks for, by the protocols of `wf.protocols`, each imported when a URL needs it."""

    def __init__(self) -> None:
        self._access: Access | None = None
        self._opened: _Opened | None = None

    def configure(self, access: Access) -> None:
        self._access = access

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._opened is not None:
            self._opened.close()

    def _stores(self) -> _Opened:
        if self._opened is None:
            from .remote import Access

            self._opened = _Opened(self._access or Access())
        return self._opened

    def shown(self, url: str) -> str:
        from ..transfer.record_text import exact_text

        return exact_text(url)

    def digest(self, url: str, algorithms: Sequence[str], *, site: str = "") -> RemoteDigest:
        return self._stores().digest(url, algorithms, site)

    def walk(self, url: str) -> Iterator[str]:
        return self._stores().walk(url)


class _Opened:
    """The stores of one call of the command."""

    def __init__(self, access: Access) -> None:
        from ..credentials.chain import standard_chain
        from ..credentials.private import Policy
        from ..protocols.errors import TransferError
        from ..transfer.asking import Stores
        from ..transfer.settings import Settings

        self._site = access.site
        self._error = TransferError
        policy = Policy(access.insecure, access.fix_permissions, _warn_once())
        chain = standard_chain(os.environ, file=access.credentials, policy=policy)
        self._stores = Stores(
            chain,
            os.environ,
            stall=Settings().stall,
            accept_new_host_keys=access.accept_new_host_keys,
        )

    def close(self) -> None:
        self._stores.__exit__(None, None, None)

    def digest(self, url: str, algorithms: Sequence[str], site: str) -> RemoteDigest:
        location = self._location(url, site)
        try:
            return self._told(location, algorithms) or self._read(location, algorithms)
        except self._error as error:
            raise _failed(location, error) from error

    def walk(self, url: str) -> Iterator[str]:
        location = self._location(url)
        try:
            entries = self._entries(location)
        except self._error as error:
            raise _failed(location, error) from error
        files = [entry.path for entry in entries if not entry.is_directory]
        yield from [url] if files == [""] else sorted(location.below(path).url for path in files)

    def _location(self, url: str, site: str = "") -> Location:
        from ..transfer.places import place
        from .remote import RemoteFailed

        try:
            return place(url, site or self._site, os.environ)
        except ValueError as error:
            raise RemoteFailed(str(error)) from None

    def _told(self, location: Location, algorithms: Sequence[str]) -> RemoteDigest | None:
        """What the service itself computes, if it does so for all algorithms."""
        from .remote import RemoteDigest

        capability = self._stores.capability(location)
        if not set(algorithms) <= set(capability.digest):
            return None
        found: list[Digest] = []
        for algorithm in algorithms:
            digest = self._stores.store(location).digest(location, algorithm)
            if digest is None:
                return None
            found.append(digest)
        size = self._stores.store(location).stat(location).size if capability.stat else None
        return RemoteDigest(tuple(found), size)

    def _read(self, location: Location, algorithms: Sequence[str]) -> RemoteDigest:
        from ..protocols.errors import Unsupported
        from .digest import Hashes
        from .remote import RemoteDigest

        if not self._stores.capability(location).read:
            raise Unsupported(f"{location.scheme}: cannot be read")
        hashes = Hashes(algorithms)
        reader = self._stores.store(location).open_read(location)
        size = 0
        try:
            while view := reader.read():
                hashes.update(view)
                size += len(view)
        finally:
            reader.close()
        return RemoteDigest(hashes.digests(), size)

    def _entries(self, location: Location) -> list[Entry]:
        """The entries below a folder; one with an empty path for a file."""
        from ..protocols.errors import NotFound, Unsupported

        capability = self._stores.capability(location)
        store = self._stores.store(location)
        if capability.stat:
            try:
                if not (entry := store.stat(location)).is_directory:
                    return [entry._replace(path="")]
            except NotFound:
                if capability.folders:
                    raise  # else it may be a prefix, which is nothing by itself
        if not capability.list:
            raise Unsupported(
                f"{location.shown}: this protocol cannot list folders; name the files one by one"
            )
        return list(store.list(location, recursive=True))


def _warn_once() -> Callable[[str], None]:
    """Writes each warning once to standard error."""
    told: set[str] = set()

    def warn(text: str) -> None:
        if text not in told:
            told.add(text)
            complain(f"warning: {text}")

    return warn


def _failed(location: Location, error: TransferError) -> RemoteFailed:
    from ..credentials.redaction import redact
    from ..transfer.asking import exit_of
    from .remote import RemoteFailed

    code = int(exit_of([(location, error)]))
    text = redact(f"{error.what} ({error.remedy})" if error.remedy else error.what)
    return RemoteFailed(
        text, exit_code=FAILED if code == _MISMATCH else code, absent=error.code == "not-found"
    )


if __name__ == "__main__":
    sys.exit(main())

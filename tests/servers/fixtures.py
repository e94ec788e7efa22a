"""Fixtures around the servers, for `tests/` and `integration/`: their conftest files import them from here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .nginx import Nginx, nginx
from .process import MISSING
from .seaweed import Seaweed, seaweed
from .squid import Squid, squid
from .tls import TlsFiles, make_tls_files
from .unprivileged import Unprivileged, unprivileged_user

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_tls_files(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def web(tmp_path: Path, tls_files: TlsFiles) -> Iterator[Nginx]:
    """nginx of this test alone, plain and TLS, for the files below `web.root`, which is empty at first."""
    root = tmp_path / "web"
    root.mkdir()
    with nginx(root, tls=tls_files) as server:
        yield server


@pytest.fixture(scope="session")
def seaweed_service(tls_files: TlsFiles) -> Iterator[Seaweed]:
    """Use `s3` and `bucket`; this one for tests that need neither."""
    with seaweed(tls=tls_files) as service:
        yield service


@pytest.fixture
def s3(seaweed_service: Seaweed) -> Seaweed:
    """SeaweedFS, plain and TLS, shared by the tests of the session: make your own bucket."""
    return seaweed_service


@pytest.fixture
def bucket(s3: Seaweed) -> str:
    """A new and empty bucket in `s3`."""
    return s3.new_bucket()


@pytest.fixture(scope="session")
def proxy() -> Iterator[Squid]:
    """squid, shared by the tests of the session."""
    with squid() as server:
        yield server


@pytest.fixture
def unprivileged() -> Iterator[Unprivileged]:
    """Runs commands as a user whom the system denies things; never root."""
    with unprivileged_user() as user:
        yield user


_LISTED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Lists, last of all, what could not run because a server is not installed, and the command that installs it."""
    yield
    # Several conftest files may bring this hook; the list is printed once.
    if not terminalreporter.config.stash.get(_LISTED, False):
        terminalreporter.config.stash[_LISTED] = True
        _list_what_could_not_run(terminalreporter)


def _list_what_could_not_run(reporter: pytest.TerminalReporter) -> None:
    missing: dict[str, list[str]] = {}
    for report in reporter.getreports("skipped"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        name, found, command = reason.removeprefix("Skipped: ").partition(MISSING)
        if found:
            missing.setdefault(command.strip(), []).append(f"{report.nodeid} ({name.strip()})")
    for command, tests in missing.items():
        reporter.section(f"{len(tests)} could not run; enable with: {command}")
        for test in tests:
            reporter.line(test)

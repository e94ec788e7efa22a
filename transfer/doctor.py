"""What `wf-transfer doctor` looks at: this installation, this machine, and the files that credentials would come from.

Nothing leaves the machine, and no fact holds a secret.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from ..credentials.redaction import printable
from .doctor_facts import Fact, State
from .version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Final

    from ..protocols.proxies import Proxy

    Environment = Mapping[str, str]


def examine(environment: Environment, *, credentials_file: str = "") -> list[Fact]:
    """All facts, section by section."""
    from .doctor_credentials import credential_facts

    looks: list[tuple[str, Callable[[], Iterator[Fact]]]] = [
        ("program", _program),
        ("libraries", _libraries),
        ("tools", lambda: _tools(environment)),
        ("machine", lambda: _machine(environment)),
        ("network", lambda: _network(environment)),
        ("credentials", lambda: credential_facts(environment, credentials_file)),
        ("protocols", _protocols),
    ]
    return [fact._replace(section=section) for section, look in looks for fact in look()]


# --- what is installed


def _program() -> Iterator[Fact]:
    import platform
    import ssl

    yield Fact("", "wf-transfer", VERSION)
    yield Fact("", "Python", f"{platform.python_version()} ({printable(sys.executable)})")
    yield Fact("", "TLS", ssl.OPENSSL_VERSION)
    yield Fact("", "system", f"{platform.system()} {platform.release()} {platform.machine()}")


_REQUIRED: Final = ("tenacity", "rich")
_DISTRIBUTIONS: Final = {"irods": "python-irodsclient", "yaml": "PyYAML"}
"""What brings a module, where it is not called like the module."""


def _libraries() -> Iterator[Fact]:
    from .protocols_page import EXTRAS

    for name in _REQUIRED:
        version = _version(name)
        if version:
            yield Fact("", name, version)
        else:
            yield Fact("", name, "not installed", State.BROKEN, f"pip install {name}")
    remedies: dict[str, list[str]] = {}
    for extra in EXTRAS:
        for name in extra.modules:
            found = remedies.setdefault(name, [])
            if extra.useful:
                found.append(f"for {extra.brings}: pip install 'wf-transfer[{extra.name}]'")
    for name, ways in remedies.items():
        if _is_there(name):
            yield Fact("", name, _version(_DISTRIBUTIONS.get(name, name)) or "installed, of unknown version")
        elif ways:
            yield Fact("", name, "not installed", State.NOTE, "; ".join(ways))


def _is_there(module: str) -> bool:
    """Whether it could be imported: the question that the protocols ask, too."""
    from importlib.util import find_spec

    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False  # not even the package that it is in


def _version(distribution: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


class _Tool(NamedTuple):
    program: str
    version: tuple[str, ...]
    """Arguments that make it tell its version."""
    use: str


_TOOLS: Final = (_Tool("ssh", ("-V",), "scp: and sftp:"),)
_TOOL_SECONDS: Final = 0.5


def _tools(environment: Environment) -> Iterator[Fact]:
    from shutil import which

    for tool in _TOOLS:
        path = which(tool.program, path=environment.get("PATH"))
        if path is None:
            yield Fact("", tool.program, "not found", State.NOTE, f"install it for {tool.use}")
        else:
            yield Fact("", tool.program, f"{printable(path)} ({_tool_version(path, tool.version)})")


def _tool_version(path: str, arguments: tuple[str, ...]) -> str:
    import subprocess

    try:
        done = subprocess.run(
            [path, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TOOL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "does not tell its version"
    lines = (done.stdout + done.stderr).decode("utf-8", "replace").strip().splitlines()
    return printable(lines[0][:80]) if lines else "does not tell its version"


def _protocols() -> Iterator[Fact]:
    from ..protocols.registry import PLANNED, Registry, missing_modules

    registry = Registry()
    for capability in registry.all():
        schemes = " ".join(f"{scheme}:" for scheme in capability.schemes)
        missing = missing_modules(capability)
        if not missing:
            yield Fact("", capability.protocol, schemes)
            continue
        value = f"{schemes} (lacks {', '.join(missing)})"
        yield Fact(
            "", capability.protocol, value, State.NOTE, f"pip install 'wf-transfer[{capability.extra}]'"
        )
    planned = sorted(scheme for scheme in PLANNED if registry.capability(scheme) is None)
    if planned:
        yield Fact("", "not built yet", " ".join(f"{scheme}:" for scheme in planned), State.NOTE)


# --- the machine


_LEAST_FREE: Final = 1 << 30
_LEAST_FILES: Final = 256
_CLOCK_LEEWAY: Final = 86400.0


def _machine(environment: Environment) -> Iterator[Fact]:
    yield _clock(time.time())
    yield _temporary(environment)
    yield from _limits()


def _clock(now: float) -> Fact:
    """A clock before our own files' time is wrong; whether a later one is right, only a server could tell."""
    from ..credentials.inspection import utc

    shown = utc(now)
    if now + _CLOCK_LEEWAY < os.stat(__file__).st_mtime:
        return Fact(
            "",
            "clock",
            f"{shown}, before wf-transfer was installed",
            State.BROKEN,
            "set the clock (NTP): certificates, tokens and S3 signatures are judged by it",
        )
    return Fact("", "clock", shown)


def _temporary(environment: Environment) -> Fact:
    """Where files between two services are spooled."""
    import tempfile

    folder = environment.get("TMPDIR") or tempfile.gettempdir()
    shown = printable(folder)
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK):
        remedy = "set TMPDIR to a folder that can be written"
        return Fact("", "temporary files", f"{shown} cannot be written", State.BROKEN, remedy)
    space = os.statvfs(folder)
    free = space.f_bavail * space.f_frsize
    value = f"{shown}, {free / (1 << 30):.1f} GiB free"
    if free < _LEAST_FREE:
        remedy = "set TMPDIR to a folder with more space: files between two services are spooled there"
        return Fact("", "temporary files", value, State.WARNING, remedy)
    return Fact("", "temporary files", value)


def _limits() -> Iterator[Fact]:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    value = f"{_limit(soft)}, at most {_limit(hard)}"
    few = soft != resource.RLIM_INFINITY and soft < _LEAST_FILES
    remedy = f"ulimit -n {_LEAST_FILES} or more, or fewer requests at once (-n)"
    yield Fact("", "open files", value, State.WARNING, remedy) if few else Fact("", "open files", value)
    largest, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if largest != resource.RLIM_INFINITY:
        yield Fact("", "largest file", f"{largest} bytes", State.WARNING, "ulimit -f unlimited")


def _limit(value: int) -> str:
    import resource

    return "unlimited" if value == resource.RLIM_INFINITY else str(value)


# --- the network


def _network(environment: Environment) -> Iterator[Fact]:
    from .authorities import authorities

    found = authorities(environment)
    if found.finding is None:
        yield Fact("", "authorities", found.origin)
    else:
        value = f"{found.origin}: {found.finding.message}"
        yield Fact("", "authorities", value, State.BROKEN, found.finding.remedy)
    yield from _proxies(environment)


def _proxies(environment: Environment) -> Iterator[Fact]:
    from ..protocols.errors import Misconfigured
    from ..protocols.proxies import Proxies

    try:
        found = Proxies.from_environment(environment)
    except Misconfigured as error:
        yield Fact("", "proxies", error.what, State.BROKEN, error.remedy)
        return
    named = [
        (f"proxy for {scheme}", proxy) for scheme, proxy in (("http", found.http), ("https", found.https))
    ]
    named += [("cache", cache) for cache in found.caches]
    for name, proxy in named:
        if proxy is not None:
            yield Fact("", name, _shown(proxy))
    if not any(proxy for _, proxy in named):
        yield Fact("", "proxies", "none")
    elif found.without:
        yield Fact("", "without proxy", printable(" ".join(found.without)))


def _shown(proxy: Proxy) -> str:
    return f"{printable(proxy.authority)}{' with user and password' if proxy.authorization else ''}"

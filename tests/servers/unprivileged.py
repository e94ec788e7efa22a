"""Commands run by a user whom the system denies things.

Tests may run as root, who is never denied. As root the commands run as `nobody`; as anybody else, as that user. Where
that is impossible a test fails: permissions that nobody tried are not tested.

root's home is closed to others, and the interpreter, the checkout and pytest's folders are often below it. So the
packages are copied to an open place, and an interpreter of the same version is looked for that `nobody` may run.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from .process import short_temporary_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

_PACKAGES = ("wf.transfer", "wf.protocols", "wf.credentials", "wf.checksum")
_THEIR_NEEDS = ("tenacity", "rich", "markdown_it", "mdurl", "pygments")


class Unprivileged(NamedTuple):
    """A user, and what that user needs for running our commands."""

    uid: int
    gid: int
    python: str
    """An interpreter that this user may run and that finds `wf.*`, given `environment`."""
    folder: Path
    """Empty, and this user's own."""
    environment: dict[str, str]
    scripts: dict[str, Path]

    def command(self, name: str) -> list[str]:
        """How to run one of our commands: `user.run([*user.command("wf-transfer"), "-f", ...])`."""
        return [self.python, str(self.scripts[name])]

    def run(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        environment: Mapping[str, str] | None = None,
        **options: Any,
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs `command` as this user, by default in `folder`. `options` are those of `subprocess.run`."""
        defaults: dict[str, Any] = {"capture_output": True, "cwd": self.folder, "timeout": 60}
        whole = {**os.environ, **self.environment, **(environment or {})}
        asked = {**defaults, **_identity(self.uid, self.gid), **options}
        return subprocess.run(command, env=whole, check=asked.pop("check", False), **asked)

    def give(self, path: Path) -> Path:
        """Makes a file or folder this user's. As anybody but root it is already."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)
        return path


@contextlib.contextmanager
def unprivileged_user() -> Iterator[Unprivileged]:
    """A user with an own folder. Fails the test where no such user can run our commands."""
    uid, gid = _who()
    with short_temporary_directory() as name:
        top = Path(name)
        for part in ("home", "lib", "bin"):
            (top / part).mkdir()
        _copy_packages(top / "lib")
        scripts = _write_scripts(top / "bin")
        if os.geteuid() == 0:
            _open_to(uid, gid, top)
        environment = {"PYTHONPATH": f"{top}/lib", "HOME": f"{top}/home", "TMPDIR": f"{top}/home"}
        python = _usable_python(uid, gid, environment)
        yield Unprivileged(uid, gid, python, top / "home", environment, scripts)


def _who() -> tuple[int, int]:
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _identity(uid: int, gid: int) -> dict[str, Any]:
    return {"user": uid, "group": gid, "extra_groups": []} if os.geteuid() == 0 else {}


def _copy_packages(library: Path) -> None:
    for name in (*_PACKAGES, *_THEIR_NEEDS):
        spec = importlib.util.find_spec(name)
        if spec and spec.submodule_search_locations:
            source = spec.submodule_search_locations[0]
            shutil.copytree(source, library / name.replace(".", "/"), dirs_exist_ok=True)


def _write_scripts(folder: Path) -> dict[str, Path]:
    scripts = {}
    for script in importlib.metadata.distribution("wf-transfer").entry_points.select(group="console_scripts"):
        scripts[script.name] = folder / script.name
        scripts[script.name].write_text(
            f"import sys\nfrom {script.module} import {script.attr}\nsys.exit({script.attr}())\n"
        )
    return scripts


def _open_to(uid: int, gid: int, top: Path) -> None:
    os.chown(top, uid, gid)
    for folder, _, files in os.walk(top):
        for path in (folder, *(os.path.join(folder, file) for file in files)):
            os.chown(path, uid, gid)


def _usable_python(uid: int, gid: int, environment: dict[str, str]) -> str:
    wanted = f"{sys.version_info.major}.{sys.version_info.minor}"
    candidates = [
        sys.executable,
        os.path.realpath(sys.executable),
        f"/usr/bin/python{wanted}",
        "/usr/bin/python3",
    ]
    probe = "import sys, wf.transfer.settings; print('%d.%d' % sys.version_info[:2])"
    for candidate in candidates:
        with contextlib.suppress(OSError):
            done = subprocess.run(
                [candidate, "-c", probe],
                env={**os.environ, **environment},
                cwd="/",
                check=False,
                capture_output=True,
                text=True,
                **_identity(uid, gid),
            )
            if done.stdout.strip() == wanted:
                return candidate
    pytest.fail(
        f"user {uid} can run none of {', '.join(candidates)} as Python {wanted}: "
        "keep the interpreter where other users may read it, or run the tests as another user than root",
        pytrace=False,
    )

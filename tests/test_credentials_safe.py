"""Files that others could read or change: refused, used with a warning, or mended. As a user whom the system denies things."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from credentials_made import private
from servers.unprivileged import Unprivileged
from wf.credentials.errors import Misconfigured, MissingCredential, UnsafeFile
from wf.credentials.private import Policy, check_private, read_private, seen_now, write_private

CODE = """
import sys
from wf.credentials.private import Policy, read_private
from wf.credentials.errors import CredentialError
policy = Policy(insecure="insecure" in sys.argv, fix_permissions="fix" in sys.argv, warn=lambda text: print("warned", text))
try:
    print("read", read_private(sys.argv[1], policy).decode())
except (CredentialError, OSError) as error:
    print(type(error).__name__, error)
"""


def read_as(user: Unprivileged, path: Path, *words: str) -> str:
    done = user.run([user.python, "-c", CODE, path, *words])
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


@pytest.fixture
def mine(unprivileged: Unprivileged) -> Path:
    """A private file of the unprivileged user's."""
    return unprivileged.give(private(unprivileged.folder / "secret", "content"))


def test_a_private_file_of_ours_is_read(unprivileged: Unprivileged, mine: Path) -> None:
    for mode in (0o600, 0o400, 0o700):
        mine.chmod(mode)
        assert read_as(unprivileged, mine) == "read content\n"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666])
def test_a_file_of_ours_that_gives_others_anything_is_refused(
    unprivileged: Unprivileged, mine: Path, mode: int
) -> None:
    mine.chmod(mode)
    told = read_as(unprivileged, mine)
    assert told.startswith("UnsafeFile") and f"mode {mode:04o}" in told
    assert stat.S_IMODE(mine.stat().st_mode) == mode


def test_an_insecure_file_can_be_used_with_a_warning(unprivileged: Unprivileged, mine: Path) -> None:
    mine.chmod(0o644)
    warned, read = read_as(unprivileged, mine, "insecure").splitlines()
    assert warned.startswith("warned") and "used all the same (--insecure-credentials)" in warned
    assert read == "read content"
    assert stat.S_IMODE(mine.stat().st_mode) == 0o644


def test_the_mode_of_a_file_of_ours_can_be_mended(unprivileged: Unprivileged, mine: Path) -> None:
    mine.chmod(0o664)
    warned, read = read_as(unprivileged, mine, "fix").splitlines()
    assert "was 0664 and is 0600 now" in warned and read == "read content"
    assert stat.S_IMODE(mine.stat().st_mode) == 0o600


def need_root() -> None:
    if os.geteuid() != 0:
        why = "only root can give files away: run these tests as root"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(why)


def test_of_roots_files_a_group_may_read(unprivileged: Unprivileged, mine: Path) -> None:
    need_root()
    os.chown(mine, 0, unprivileged.gid)
    mine.chmod(0o640)
    assert read_as(unprivileged, mine) == "read content\n"
    for mode in (0o660, 0o644, 0o650):
        mine.chmod(mode)
        assert read_as(unprivileged, mine).startswith("UnsafeFile")


def test_a_file_of_somebody_else_is_refused_and_never_mended(unprivileged: Unprivileged, mine: Path) -> None:
    need_root()
    os.chown(mine, 12345, unprivileged.gid)
    mine.chmod(0o640)
    for words in ((), ("fix",)):
        told = read_as(unprivileged, mine, *words)
        assert told.startswith("UnsafeFile") and "belongs to another user (uid 12345)" in told
    assert "used all the same" in read_as(unprivileged, mine, "insecure")
    assert stat.S_IMODE(mine.stat().st_mode) == 0o640


def test_what_the_system_denies_is_told(unprivileged: Unprivileged, mine: Path) -> None:
    need_root()
    os.chown(mine, 0, 0)
    assert "cannot be read: Permission denied" in read_as(unprivileged, mine)


def test_the_command_refuses_warns_and_mends(unprivileged: Unprivileged) -> None:
    user = unprivileged
    conf = user.give(private(user.folder / "c.conf", "[nobody]\ntoken = canary-secret\n"))
    batch = {"type": "transfer", "lfn": "f", "id": 1}
    batch["src_urls"] = [{"site_label": "s", "url": "https://nobody/f"}]
    batch["dest_urls"] = [{"site_label": "s", "url": f"file://{user.folder}/f"}]
    (user.folder / "b.json").write_text(json.dumps([batch]))
    command = [*user.command("wf-transfer"), "-f", "b.json", "--dry-run", "--credentials", str(conf)]
    conf.chmod(0o644)
    refused = user.run(command)
    assert b"missing" in refused.stdout
    insecure = user.run([*command, "--insecure-credentials"])
    assert b"used all the same" in insecure.stderr and b"missing" not in insecure.stdout
    mended = user.run([*command, "--fix-permissions"])
    assert b"is 0600 now" in mended.stderr and b"missing" not in mended.stdout
    assert stat.S_IMODE(conf.stat().st_mode) == 0o600
    for done in (refused, insecure, mended):
        assert b"canary" not in done.stdout + done.stderr


# Here the user does not matter.


def test_what_is_written_is_private_at_once_and_whole(tmp_path: Path) -> None:
    path = private(tmp_path / "secret", "old")
    path.chmod(0o666)
    before = os.umask(0)
    try:
        write_private(str(path), b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_private(str(path)) == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]


def test_writing_through_a_link_replaces_what_it_points_to(tmp_path: Path) -> None:
    target, link = private(tmp_path / "real", "old"), tmp_path / "link"
    link.symlink_to(target)
    write_private(str(link), b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "is-a-folder"
    (folder / "x").mkdir(parents=True)
    with pytest.raises(OSError):
        write_private(str(folder), b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["is-a-folder"]


def test_a_warning_names_the_file_and_no_content(tmp_path: Path) -> None:
    path = private(tmp_path / "a\nb", "canary")
    path.chmod(0o606)
    warnings: list[str] = []
    policy = Policy(insecure=True, warn=warnings.append)
    assert check_private(str(path), policy) == seen_now(str(path))
    assert "a\\nb" in warnings[0] and "canary" not in warnings[0] and "\n" not in warnings[0]


def test_odd_paths_are_told(tmp_path: Path) -> None:
    for path in (str(tmp_path), "/dev/zero", "/dev/null"):
        with pytest.raises(Misconfigured, match="is not a regular file"):
            read_private(path)
    with pytest.raises(MissingCredential, match="cannot be read"):
        read_private("a\0b")
    with pytest.raises(UnsafeFile):
        read_private("/etc/passwd")

"""What is never removed, whatever a batch says."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
from runs import at
from wf.protocols.errors import End, LocalRefused
from wf.transfer.removal import insist_on_safe


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`home/user` is the home, `jobs/one` the working directory."""
    (tmp_path / "home/user/data").mkdir(parents=True)
    (tmp_path / "jobs/one/out").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home/user"))
    monkeypatch.chdir(tmp_path / "jobs/one")
    return tmp_path


def refused(url: str) -> bool:
    try:
        insist_on_safe(at(url))
    except LocalRefused as error:
        assert (error.end, error.step) == (End.DESTINATION, "remove")
        assert "--allow-dangerous-remove" in error.remedy
        return True
    return False


@pytest.mark.parametrize(
    "path",
    [
        "{0}/home/user",
        "{0}/home/user/",
        "{0}/home/user//",
        "{0}/home/user/.",
        "{0}/home/user/data/..",
        "{0}/home/./user",
        "{0}//home///user",
        "{0}/home",
        "{0}/jobs/../home/user",
        "{0}",
        "{0}/jobs/one",
        "{0}/jobs",
        "/",
        "//",
        "///",
        "/.",
        "/..",
        "/tmp/../..",
        ".",
        "./",
        "..",
        "../",
        "../one",
        "../..",
        "out/..",
        "out/../..",
        "../../home/user",
        "/proc",
        "/dev",
    ],
)
def test_roots_homes_working_directories_what_is_above_them_and_mount_points_stay(
    work: Path, path: str
) -> None:
    assert refused(spelled(path.format(work)))


def spelled(path: str) -> str:
    return "file://" + path if path.startswith("/") else path


@pytest.mark.parametrize(
    "path",
    [
        "{0}/home/user/data",
        "{0}/jobs/one/out",
        "out",
        "./out/",
        "{0}/jobs/two",
        "{0}/home/user2",
        "../two",
        "..x",
        "out/.x",
    ],
)
def test_what_is_below_or_beside_may_go(work: Path, path: str) -> None:
    assert not refused(spelled(path.format(work)))


def test_a_folder_reached_through_a_link_is_what_it_is(work: Path) -> None:
    (work / "link").symlink_to(work / "home")

    assert refused(f"file:{work}/link/user")
    assert not refused(f"file:{work}/link/user/data")


def test_a_link_to_something_precious_is_only_a_link(work: Path) -> None:
    (work / "link").symlink_to(work / "home/user")

    assert not refused(f"file:{work}/link")
    assert not refused(f"file:{work}/link/")


@pytest.mark.parametrize(
    ("path", "precious"),
    [
        ("{0}/deep/..", True),
        ("{0}/deep/../", True),
        ("{0}/deep/../../user", True),
        ("{0}/deep/../..", True),
        ("{0}/deep/../data", False),
        ("{0}/deep/../../other", False),
    ],
)
def test_two_dots_after_a_link_lead_to_the_folder_above_its_target(
    work: Path, path: str, precious: bool
) -> None:
    """As the system walks it: `deep/..` is `home/user`, and not the folder that holds the link."""
    (work / "deep").symlink_to(work / "home/user/data")

    assert refused(spelled(path.format(work))) == precious


def test_a_walk_through_a_link_to_a_home_is_refused(work: Path) -> None:
    (work / "a/b/c").mkdir(parents=True)
    (work / "a/b/c/link").symlink_to(work / "home/user/data")

    assert refused(f"file:{work}/a/b/c/link/../../user")


def test_the_working_directory_may_be_a_link(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "here").symlink_to(work / "jobs/one")
    monkeypatch.chdir(work / "here")

    assert refused(f"file:{work}/jobs/one")
    assert refused(f"file:{work}/jobs")


def test_the_home_of_the_account_is_precious_also_when_home_says_otherwise(work: Path) -> None:
    home = pwd.getpwuid(os.getuid()).pw_dir

    assert refused(f"file:{home}")


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket",
        "s3://bucket/",
        "s3://bucket//",
        "s3://bucket/.",
        "s3://user@site/bucket",
        "s3://user@site/bucket/",
        "s3://bucket/a/../..",
        "globus://0a0e1b1c-0000-4000-8000-000000000000/~/",
        "irods:///zone",
        "irods:///zone/home",
        "irods://host:1247/zone/home/alice/",
        "irods:///zone/trash/home",
        "gs://bucket/",
        "http://host",
        "http://host/",
        "http://host//",
        "http://host/.",
        "http://host/?query",
        "http://host/#fragment",
        "http://host/a/..",
        "http://host/a/%2e%2E",
        "https://host/%2E/",
        "root://host//?authz=token",
        "memory://host/",
        "memory://host",
        "memory://host/a/../",
        "webdavs://host/",
        "sftp://host/../",
    ],
)
def test_whole_buckets_and_roots_of_services_stay(url: str) -> None:
    assert refused(url)


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/key",
        "globus://0a0e1b1c-0000-4000-8000-000000000000/~/data",
        "irods:///zone/home/alice/data",
        "irods:///zone/projects",
        "s3://user@site/bucket/key/",
        "http://host/a",
        "http://host/a/?q",
        "memory://host/a",
        "sftp://host/a..b",
    ],
)
def test_what_is_in_them_may_go(url: str) -> None:
    assert not refused(url)

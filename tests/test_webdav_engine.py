"""Whole runs of the commands with WebDAV at one end or at both, and with every other protocol at the other."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from command_runs import COMMAND, wf_transfer
from servers.apache import PASSWORD, USER
from servers.faults import cut, fault_proxy
from webdav_servers import apache_service, dav, fresh, wsgi_service
from wf.protocols.conformance_tools import content

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from command_runs import Run
    from servers.apache import Apache
    from servers.nginx import Nginx
    from servers.seaweed import Seaweed
    from servers.wsgi_dav import WsgiDav

__all__ = ["apache_service", "dav", "wsgi_service"]

MIB = 1 << 20
DATA = content(3 * MIB + 11)


@pytest.fixture
def place(dav: Apache) -> str:
    return fresh(dav.root)


def ran(
    folder: Path,
    *requests: Mapping[str, Any],
    options: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
) -> tuple[Run, list[dict[str, Any]]]:
    """The run of a batch, and the requests of its result."""
    (folder / "batch.json").write_text(json.dumps(requests))
    run = wf_transfer(
        folder, "-f", "batch.json", "--result", "result.json", *options, environment=environment
    )
    return run, json.loads((folder / "result.json").read_text())["requests"]


def transfer(number: int, source: str, destination: str, **details: Any) -> dict[str, Any]:
    ends = {
        "src_urls": [{"site_label": "a", "url": source}],
        "dest_urls": [{"site_label": "b", "url": destination}],
    }
    return {"type": "transfer", "id": number, **ends, **details}


def expecting(data: bytes) -> dict[str, Any]:
    return {"checksum": {"type": "sha256", "value": hashlib.sha256(data).hexdigest()}}


@pytest.mark.parametrize("size", [0, 1, 3 * MIB + 11])
def test_there_and_back_with_the_expected_digest(dav: Apache, place: str, tmp_path: Path, size: int) -> None:
    data = DATA[:size]
    (tmp_path / "a").write_bytes(data)
    there = dav.dav(f"{place}/deep/b")

    run, done = ran(
        tmp_path,
        transfer(1, f"file://{tmp_path}/a", there, **expecting(data)),
        transfer(2, there, f"file://{tmp_path}/c", after=1, **expecting(data)),
    )

    assert run.code == 0, run.err
    assert (dav.root / place / "deep/b").read_bytes() == (tmp_path / "c").read_bytes() == data
    assert done[0]["evidence"] == "size"


@pytest.mark.parametrize("options", [(), ("--stage", "file")], ids=["streamed", "staged"])
def test_from_the_web_to_webdav_to_s3_and_back(
    dav: Apache,
    place: str,
    web: Nginx,
    s3: Seaweed,
    bucket: str,
    tmp_path: Path,
    options: tuple[str, ...],
) -> None:
    (web.root / "a").write_bytes(DATA)
    keys = {
        "AWS_ACCESS_KEY_ID": s3.admin.access,
        "AWS_SECRET_ACCESS_KEY": s3.admin.secret,
        "AWS_ENDPOINT_URL": s3.endpoint,
    }
    first, second = dav.dav(f"{place}/first"), dav.dav(f"{place}/second", scheme="dav")

    run, done = ran(
        tmp_path,
        transfer(1, f"{web.url}/a", first, **expecting(DATA)),
        transfer(2, first, f"s3://{bucket}/key", after=1, **expecting(DATA)),
        transfer(3, f"s3://{bucket}/key", second, after=2, **expecting(DATA)),
        transfer(4, second, f"{web.url}/put/b", after=3, **expecting(DATA)),
        options=options,
        environment=keys,
    )

    assert run.code == 0, run.err
    assert (web.root / "put/b").read_bytes() == DATA
    assert sorted(os.listdir(dav.root / place)) == ["first", "second"]
    assert {one["route"] for one in done} == {"staged" if options else "streamed"}


def test_a_copy_inside_a_server_moves_no_bytes_here(dav: Apache, place: str, tmp_path: Path) -> None:
    (dav.root / place / "a").write_bytes(DATA)

    run, done = ran(
        tmp_path,
        transfer(1, dav.dav(f"{place}/a"), dav.dav(f"{place}/b"))
        | {"dest_urls": [{"site_label": "a", "url": dav.dav(f"{place}/b")}]},
    )

    assert run.code == 0, run.err
    assert done[0]["route"] == "third-party-copy"
    assert (dav.root / place / "b").read_bytes() == DATA
    assert not {"GET", "PUT"} & set(dav.methods())


def test_folders_are_made_and_removed(dav: Apache, place: str, tmp_path: Path) -> None:
    """As workflows do it: a folder first, its files, and a cleaning up that takes what is not there for done."""

    def target(kind: str, number: int, path: str, **details: Any) -> dict[str, Any]:
        return {"type": kind, "id": number, "target": {"site_label": "a", "url": dav.dav(path)}, **details}

    (tmp_path / "a").write_bytes(b"abc")
    run, _ = ran(
        tmp_path,
        target("mkdir", 1, f"{place}/x/y/z"),
        transfer(2, f"file://{tmp_path}/a", dav.dav(f"{place}/x/y/a"), after=1),
        target("remove", 3, f"{place}/x/absent", after=2),
    )
    assert run.code == 0, run.err
    assert sorted(os.listdir(dav.root / place / "x/y")) == ["a", "z"]

    run, _ = ran(tmp_path, target("remove", 1, f"{place}/x"))
    assert run.code == 1
    assert "folder" in run.err
    run, _ = ran(tmp_path, target("remove", 1, f"{place}/x", recursive=True))
    assert run.code == 0, run.err
    assert os.listdir(dav.root / place) == []


def test_a_wrong_digest_is_never_at_its_place(dav: Apache, place: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DATA)

    run, _ = ran(
        tmp_path, transfer(1, f"file://{tmp_path}/a", dav.dav(f"{place}/b"), **expecting(b"something else"))
    )

    assert run.code == 3
    assert os.listdir(dav.root / place) == []


def test_a_cut_upload_is_done_again(dav: Apache, place: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DATA)
    with fault_proxy(dav.port, cut(2 * MIB, upward=True), first=1) as proxy:
        there = f"dav://127.0.0.1:{proxy.port}/dav/{place}/b"
        run, done = ran(tmp_path, transfer(1, f"file://{tmp_path}/a", there, **expecting(DATA)))

    assert run.code == 0, run.err
    assert len(done[0]["attempts"]) == 2
    assert (dav.root / place / "b").read_bytes() == DATA
    assert os.listdir(dav.root / place) == ["b"]


def test_a_cut_download_goes_on_where_it_was(dav: Apache, place: str, tmp_path: Path) -> None:
    source = dav.root / place / "a"
    source.write_bytes(DATA)
    os.utime(source, (1_000_000_000, 1_000_000_000))
    with fault_proxy(dav.port, cut(2 * MIB, body=True), first=1) as proxy:
        there = f"dav://127.0.0.1:{proxy.port}/dav/{place}/a"
        run, _ = ran(tmp_path, transfer(1, there, f"file://{tmp_path}/b", **expecting(DATA)))

    assert run.code == 0, run.err
    assert (tmp_path / "b").read_bytes() == DATA
    gets = [seen.status for seen in dav.requests() if seen.method == "GET"]
    assert gets[-1] == 206


def test_a_run_that_was_killed_is_followed_by_one_that_succeeds(
    dav: Apache, place: str, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(content(8 * MIB))
    with fault_proxy(dav.port, rate=2 * MIB) as proxy:
        there = f"dav://127.0.0.1:{proxy.port}/dav/{place}/b"
        (tmp_path / "batch.json").write_text(json.dumps([transfer(1, f"file://{tmp_path}/a", there)]))
        process = subprocess.Popen(
            [*COMMAND, "-f", "batch.json"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 30
        while proxy.bytes_up < MIB and time.monotonic() < deadline:
            time.sleep(0.01)
        assert proxy.bytes_up >= MIB
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (dav.root / place / "b").exists()

    run, _ = ran(tmp_path, transfer(1, f"file://{tmp_path}/a", dav.dav(f"{place}/b")))

    assert run.code == 0, run.err
    assert (dav.root / place / "b").read_bytes() == content(8 * MIB)


def test_commands_for_people(wsgi_service: WsgiDav, tmp_path: Path) -> None:
    place = fresh(wsgi_service.root)
    url = f"{wsgi_service.url}/{place}"
    (tmp_path / "with blank").write_bytes(b"abc")
    (tmp_path / "per%20cent").write_bytes(b"de")

    for arguments in (
        ["mkdir", f"{url}/new"],
        ["cp", "with blank", "per%20cent", f"{url}/new/"],
        ["cp", "-r", f"{url}/new", "back"],
        ["rm", f"{url}/new/with blank"],
    ):
        run = wf_transfer(tmp_path, *arguments)
        assert run.code == 0, run.err
    listed = wf_transfer(tmp_path, "ls", f"{url}/new/")

    assert "per%20cent" in listed.out and "blank" not in listed.out
    assert os.listdir(wsgi_service.root / place / "new") == ["per%20cent"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "back").rglob("*") if path.is_file()} == {
        "with blank": b"abc",
        "per%20cent": b"de",
    }


def test_the_credentials_file_names_the_user_of_a_host(dav: Apache, place: str, tmp_path: Path) -> None:
    secrets = tmp_path / "credentials.conf"
    secrets.write_text(f"[127.0.0.1:{dav.port}]\nusername = {USER}\npassword = {PASSWORD}\n")
    secrets.chmod(0o600)
    (tmp_path / "a").write_bytes(DATA)
    there = dav.dav(f"{place}/b", place="digest")

    refused, _ = ran(tmp_path, transfer(1, f"file://{tmp_path}/a", there))
    run, _ = ran(
        tmp_path,
        transfer(1, f"file://{tmp_path}/a", there),
        environment={"PEGASUS_CREDENTIALS": str(secrets)},
    )

    assert refused.code != 0
    assert "401" in refused.err
    assert run.code == 0, run.err
    assert PASSWORD not in run.err + run.out
    assert (dav.root / place / "b").read_bytes() == DATA


def test_a_sparse_file_of_three_gib_goes_through_little_memory(
    dav: Apache, place: str, tmp_path: Path
) -> None:
    size = 3 << 30
    with (tmp_path / "a").open("wb") as file:
        file.truncate(size)
    batch = [transfer(1, f"file://{tmp_path}/a", dav.dav(f"{place}/b"))]
    (tmp_path / "batch.json").write_text(json.dumps(batch))
    program = (
        "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:]); "
        "print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )

    done = subprocess.run(
        [COMMAND[0], "-c", program, *COMMAND, "-f", "batch.json"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )

    code, kilobytes = done.stdout.split()[-2:]
    stored = dav.root / place / "b"
    assert (code, stored.stat().st_size) == ("0", size), done.stderr
    assert int(kilobytes) < 120 << 10
    stored.unlink()

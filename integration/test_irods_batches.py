"""iRODS in whole jobs: the command as a job runs it, with the environment file that a job brings along."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from commands import (
    Job,
    Neighbours,
    assert_failed,
    contents,
    mkdir,
    partials,
    program,
    remove,
    run_program,
    site_sections,
    stored,
    transfer,
    wait_for,
)
from servers.irods_server import PASSWORD, USER, ZONE, IrodsZone, irods_zone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.nginx import Nginx
    from servers.seaweed import Seaweed
    from servers.tls import TlsFiles

MIB = 1 << 20
DATA = os.urandom(MIB) * 20 + b"the end"
OPEN, READ, WRITE, CLOSE = 602, 675, 676, 673


@pytest.fixture
def zone(tmp_path: Path, job: Job) -> Iterator[IrodsZone]:
    """Its environment file is the job's."""
    with irods_zone(tmp_path / "zone") as server:
        enter(job, server)
        yield server


def enter(job: Job, zone: IrodsZone, **more: object) -> None:
    file = zone.write_environment(job.folder / "irods_environment.json", **more)
    job.environment["IRODS_ENVIRONMENT_FILE"] = str(file)


def there(zone: IrodsZone, name: str) -> str:
    return f"irods://{zone.home}/{name}"


def objects(zone: IrodsZone) -> dict[str, bytes | None]:
    """Every object of the zone by its path, with its content if it is good."""
    with zone.catalogue.lock:
        return {path: zone.content(path) for path in zone.catalogue.objects}


# --- what works


def test_files_go_to_a_zone_and_come_back(zone: IrodsZone, job: Job) -> None:
    files = {f"f{number}": os.urandom(number * 1000) for number in range(30)} | {"large": DATA}
    for name, data in files.items():
        (job.folder / name).write_bytes(data)
    out = job.run([transfer(name, name, there(zone, f"deep/er/{name}")) for name in files])
    assert out.exit == 0, out.err
    assert objects(zone) == {f"{zone.home}/deep/er/{name}": data for name, data in files.items()}
    assert {request["evidence"] for request in out.document["requests"]} == {"digest"}

    back = job.run([transfer(name, there(zone, f"deep/er/{name}"), job.url(name)) for name in files])
    assert back.exit == 0, back.err
    assert contents(job.out) == files
    assert PASSWORD not in f"{out.err}{back.err}{out.document}{back.document}"


def test_files_come_from_the_web_and_go_to_s3_by_way_of_the_job(
    zone: IrodsZone, job: Job, web: Nginx, s3: Seaweed, bucket: str
) -> None:
    job.credentials(site_sections(s3.endpoint, s3.admin))
    (web.root / "f").write_bytes(DATA)
    zone.plant("g", DATA[::-1])
    batch = [
        transfer("in", f"{web.url}/f", there(zone, "f")),
        transfer("out", there(zone, "g"), f"s3://alice@store/{bucket}/g"),
        transfer("back", f"irods://{USER}@127.0.0.1:{zone.port}{zone.home}/g", f"{web.url}/put/g"),
    ]
    run = job.run(batch)
    assert run.exit == 0, run.err
    assert zone.content(f"{zone.home}/f") == DATA
    assert stored(s3, bucket, "g") == DATA[::-1]
    assert (web.root / "put/g").read_bytes() == DATA[::-1]


def test_a_copy_inside_the_zone_moves_nothing_through_the_job(zone: IrodsZone, job: Job) -> None:
    zone.plant("f", DATA)
    run = job.run([transfer("copy", there(zone, "f"), there(zone, "new/g"))])
    assert run.exit == 0, run.err
    assert zone.content(f"{zone.home}/new/g") == DATA
    assert not {OPEN, READ, WRITE}.intersection(zone.calls)


def test_collections_are_made_and_removed(zone: IrodsZone, job: Job) -> None:
    zone.plant("old/deep/f", b"goes")
    zone.plant("single", b"goes")
    batch = [
        mkdir(there(zone, "new/deep")),
        remove(there(zone, "old"), recursive=True),
        remove(there(zone, "single")),
        remove(there(zone, "never/was"), recursive=True),
    ]
    run = job.run(batch)
    assert run.exit == 0, run.err
    assert objects(zone) == {}
    assert f"{zone.home}/new/deep" in zone.catalogue.collections


def test_pam_and_tls_with_the_authority_of_the_environment_file(
    tmp_path: Path, job: Job, tls_files: TlsFiles
) -> None:
    from irods_tools import tls_settings

    with irods_zone(tmp_path / "zone", policy="CS_NEG_REQUIRE", tls=tls_settings(tls_files.server)) as zone:
        zone.catalogue.add_user(USER, PASSWORD, pam=True)
        zone.plant("f", DATA)
        pam = {"irods_authentication_scheme": "pam_password"}
        enter(job, zone, **pam, irods_ssl_ca_certificate_file=str(tls_files.ca))
        run = job.run([transfer("f", there(zone, "f"), job.url("f"))])
        assert run.exit == 0, run.err

        enter(job, zone, **pam, irods_ssl_ca_certificate_file=str(tls_files.wrong_ca))
        run = job.run([transfer("f", there(zone, "f"), job.url("g"))])
        assert run.exit == 78
        assert_failed(run, "f", "configuration", end="source")
        assert "irods_ssl_ca_certificate_file" in run.told("f")


def test_a_ticket_in_the_environment_file_is_enough(zone: IrodsZone, job: Job) -> None:
    zone.plant("f", b"for guests")
    zone.issue_ticket("open-sesame", f"{zone.home}/f")
    enter(job, zone, irodsPassword=None, irodsTicket="open-sesame")
    run = job.run([transfer("f", there(zone, "f"), job.url("f"))])
    assert run.exit == 0, run.err
    assert contents(job.out) == {"f": b"for guests"}
    assert "open-sesame" not in run.err


def test_a_dry_run_moves_nothing_and_asks_nobody(zone: IrodsZone, job: Job) -> None:
    (job.folder / "f").write_bytes(b"x")
    done = run_program(
        [program("wf-transfer"), "--dry-run", "-f", write(job, [transfer("f", "f", there(zone, "f"))])],
        folder=job.folder,
        environment=job.environment,
    )
    assert done.returncode == 0, done.stderr
    assert "irods" in done.stdout
    assert zone.greeted == 0


def write(job: Job, batch: object) -> str:
    import json

    (job.folder / "written.json").write_text(json.dumps(batch))
    return "written.json"


# --- what fails, and how far


def test_one_bad_item_among_many_fails_alone(zone: IrodsZone, job: Job) -> None:
    for number in range(200):
        zone.plant(f"f{number}", b"%d" % number)
    zone.plant("stale", b"half").replicas[0].status = "0"
    batch = [
        transfer(f"f{number}", there(zone, f"f{number}"), job.url(f"f{number}")) for number in range(200)
    ]
    batch[50:50] = [transfer("absent", there(zone, "absent"), job.url("absent"))]
    batch[90:90] = [transfer("stale", there(zone, "stale"), job.url("stale"))]
    run = job.run(batch)
    assert run.exit == 1
    assert_failed(run, "absent", "not-found", end="source")
    assert "OBJ_PATH_DOES_NOT_EXIST (-358000)" in run.told("absent")
    assert_failed(run, "stale", "not-found", end="source")
    assert "status 0" in run.told("stale")
    assert contents(job.out) == {f"f{number}": b"%d" % number for number in range(200)}
    assert zone.greeted < 20, "connections are used again"


BAD = {
    "another zone": ("irods:///otherZone/home/alice/f", "not-found", 1, "tempZone"),
    "an unknown resource": ("irods://nosuch/tempZone/home/alice/f", "refused", 1, "SYS_RESC_DOES_NOT_EXIST (-78000)"),
    "no permission": ("irods:///tempZone/home/bob/f", "denied", 77, "CAT_NO_ACCESS_PERMISSION (-818000)"),
    "a collection": ("irods:///tempZone/home/alice/folder", "refused", 1, "is a collection"),
    "a relative path": ("irods://tempZone", "refused", 1, "does not begin with a zone"),
    "a path that climbs": ("irods:///tempZone/home/alice/../bob/f", "refused", 1, "no . and no .."),
    "another server": ("irods://alice@127.0.0.1:1/tempZone/home/alice/f", "missing-credential", 77, "is for alice"),
    "no server": ("irods://alice@demoResc/tempZone/home/alice/f", "configuration", 78, "neither host:port nor"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_destinations_have_their_own_errors(
    case: str, zone: IrodsZone, job: Job, neighbours: Neighbours
) -> None:
    url, code, exit_code, told = BAD[case]
    zone.catalogue.add_user("bob", "other")
    zone.plant("folder/inside", b"stays")
    (job.folder / "f").write_bytes(b"x")
    run = job.run(neighbours.around(transfer("bad", "f", url)))
    assert run.exit == exit_code, run.err
    assert_failed(run, "bad", code, end="destination")
    assert told in run.told("bad")
    neighbours.assert_done(run)
    assert objects(zone) == {f"{zone.home}/folder/inside": b"stays"}


def test_a_full_quota_is_told(zone: IrodsZone, job: Job, neighbours: Neighbours) -> None:
    zone.catalogue.quota = 5 * MIB
    (job.folder / "f").write_bytes(DATA)
    run = job.run(neighbours.around(transfer("f", "f", there(zone, "f"))))
    assert run.exit == 1
    assert_failed(run, "f", "no-space", end="destination")
    assert "SYS_RESC_QUOTA_EXCEEDED (-110000)" in run.told("f")
    neighbours.assert_done(run)
    assert objects(zone) == {}


@pytest.mark.parametrize(
    ("ticket", "told"),
    [("late", "CAT_TICKET_EXPIRED (-891000)"), ("unknown", "CAT_TICKET_INVALID (-890000)")],
)
def test_a_ticket_that_is_no_good_is_told(ticket: str, told: str, zone: IrodsZone, job: Job) -> None:
    zone.plant("f", b"for guests")
    zone.issue_ticket("late", f"{zone.home}/f", expired=True)
    enter(job, zone, irodsPassword=None, irodsTicket=ticket)
    run = job.run([transfer("f", there(zone, "f"), job.url("f"))])
    assert run.exit == 77
    assert_failed(run, "f", "denied", end="source")
    assert told in run.told("f")


def test_a_wrong_password_is_told_once_for_all(zone: IrodsZone, job: Job, neighbours: Neighbours) -> None:
    zone.catalogue.users[USER] = "changed"
    items = [transfer(f"f{number}", there(zone, f"f{number}"), job.url(f"f{number}")) for number in range(50)]
    run = job.run(neighbours.around(*items))
    assert run.exit == 77
    assert_failed(run, "f0", "denied", end="source")
    neighbours.assert_done(run)
    assert zone.greeted < 20, "not everybody knocks at a door that is closed"


def test_without_the_extra_the_command_to_install_it_is_told(zone: IrodsZone, job: Job) -> None:
    """What iinit left is read by python-irodsclient, which another module of that name hides here."""
    kept = job.folder / ".irodsA"
    kept.write_text("secret")
    kept.chmod(0o600)
    hidden = job.folder / "hidden"
    hidden.mkdir()
    (hidden / "irods.py").write_text("raise ImportError('there is none')")
    enter(job, zone, irodsPassword=None, irods_authentication_file=str(kept))
    run = job.run([transfer("f", there(zone, "f"), job.url("f"))], environment={"PYTHONPATH": str(hidden)})
    assert run.exit == 78
    assert_failed(run, "f", "missing-extra", end="source")
    assert "pip install 'wf-transfer[irods]'" in run.told("f")


def test_what_changed_in_the_storage_is_a_mismatch(zone: IrodsZone, job: Job) -> None:
    zone.plant("f", DATA).replicas[0].file.write_bytes(DATA[::-1])
    run = job.run([transfer("f", there(zone, "f"), job.url("f"))])
    assert run.exit == 3
    assert_failed(run, "f", "mismatch")
    assert contents(job.out) == {}


# --- what breaks on the way


@pytest.mark.parametrize("number", [OPEN, WRITE, CLOSE, READ])
def test_a_connection_that_breaks_now_and_then_costs_nothing(number: int, zone: IrodsZone, job: Job) -> None:
    files = {f"f{count}": os.urandom(1000 + count) for count in range(10)} | {"large": DATA}
    for name, data in files.items():
        (job.folder / name).write_bytes(data)
        zone.plant(f"given/{name}", data)
    zone.inject(number, times=2, after=5, hang_up=True)
    batch = [transfer(f"out {name}", name, there(zone, f"taken/{name}")) for name in files]
    batch += [transfer(f"in {name}", there(zone, f"given/{name}"), job.url(name)) for name in files]
    run = job.run(batch)
    assert run.exit == 0, run.err
    assert contents(job.out) == files
    found = objects(zone)
    assert {name: found[f"{zone.home}/taken/{name}"] for name in files} == files


def test_what_a_killed_job_left_does_not_pass_for_good_and_is_written_anew(zone: IrodsZone, job: Job) -> None:
    (job.folder / "f").write_bytes(DATA)
    batch = [transfer("f", "f", there(zone, "f"))]
    zone.inject(CLOSE, stall=True)
    process = job.start(batch, "-n", "1")
    wait_for(lambda: CLOSE in zone.calls, "the close")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    zone.heal()
    zone.cut_all()
    zone.await_nobody()
    assert set(objects(zone).values()) <= {None}, "nothing of it is good"

    back = job.run([transfer("f", there(zone, "f"), job.url("f"))])
    assert_failed(back, "f", "not-found", end="source")

    run = job.run(batch)
    assert run.exit == 0, run.err
    assert objects(zone) == {f"{zone.home}/f": DATA}


def test_a_large_upload_that_was_killed_is_finished_by_the_next_run(zone: IrodsZone, job: Job) -> None:
    """What had arrived is not sent again, although the server has it as stale."""
    large = DATA[:MIB] * 100
    (job.folder / "f").write_bytes(large)
    batch = [transfer("f", "f", there(zone, "f"))]
    zone.inject(WRITE, after=3, stall=True)
    process = job.start(batch, "-n", "1")
    wait_for(lambda: zone.calls.count(WRITE) >= 4, "the fourth part")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    zone.heal()
    zone.cut_all()
    zone.await_nobody()
    assert objects(zone) == {f"{zone.home}/f": None}
    zone.calls.clear()

    run = job.run(batch, "-n", "1")
    assert run.exit == 0, run.err
    assert objects(zone) == {f"{zone.home}/f": large}
    assert zone.calls.count(WRITE) == 4, "three parts of seven were there"
    assert zone.catalogue.objects[f"{zone.home}/f"].metadata == []


def test_a_download_that_was_killed_is_finished_by_the_next_run(zone: IrodsZone, job: Job) -> None:
    zone.plant("f", DATA)
    batch = [transfer("f", there(zone, "f"), job.url("f"))]
    zone.inject(READ, after=1, stall=True)
    process = job.start(batch, "-n", "1")
    wait_for(lambda: zone.calls.count(READ) >= 2, "the second request")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    zone.heal()
    zone.cut_all()
    assert not (job.out / "f").exists()

    run = job.run(batch)
    assert run.exit == 0, run.err
    assert contents(job.out) == {"f": DATA}
    assert partials(job.out) == []


def test_a_stopped_job_leaves_nothing_that_reads_as_good(zone: IrodsZone, job: Job) -> None:
    (job.folder / "f").write_bytes(DATA)
    zone.inject(WRITE, after=1, stall=True)
    process = job.start([transfer("f", "f", there(zone, "f"))], "-n", "1")
    wait_for(lambda: zone.calls.count(WRITE) >= 2, "the second request")
    process.send_signal(signal.SIGTERM)
    run = job.finish(process)
    assert run.exit != 0
    assert set(objects(zone).values()) <= {None}


# --- for people


def person(job: Job, *arguments: str) -> str:
    done = run_program([program("wf-transfer"), *arguments], folder=job.folder, environment=job.environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_people_list_copy_make_and_remove(zone: IrodsZone, job: Job) -> None:
    (job.folder / "tree/sub").mkdir(parents=True)
    (job.folder / "tree/a b").write_bytes(b"one")
    (job.folder / "tree/sub/100%").write_bytes(b"two")
    person(job, "cp", "-r", "tree", there(zone, "tree"))
    assert objects(zone) == {f"{zone.home}/tree/a b": b"one", f"{zone.home}/tree/sub/100%": b"two"}
    listed = person(job, "ls", "-R", there(zone, "tree"))
    assert "a b" in listed and "sub/100%" in listed
    person(job, "cp", "-r", there(zone, "tree"), "back")
    assert contents(job.folder / "back") == {"a b": b"one", "sub/100%": b"two"}
    person(job, "mkdir", there(zone, "new/deep"))
    person(job, "rm", "-r", there(zone, "tree"))
    assert objects(zone) == {}
    assert f"/{ZONE}/home/{USER}/new/deep" in zone.catalogue.collections


def test_people_are_told_what_is_wrong(zone: IrodsZone, job: Job) -> None:
    for word in ("ls", "stat"):
        done = run_program(
            [program("wf-transfer"), word, there(zone, "absent")],
            folder=job.folder,
            environment=job.environment,
        )
        assert done.returncode == 1
        assert "[not-found]" in done.stderr and f"{zone.home}/absent" in done.stderr

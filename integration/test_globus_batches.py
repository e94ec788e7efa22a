"""Batches with Globus, against a double that really moves bytes and is reached as the real service is."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest
from commands import (
    Job,
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
from globus_jobs import Ends, ends, globus, numbered, statuses, sums
from servers.globus_service import GUEST, PERSONAL, SECRET, TRANSFER, GlobusService

if TYPE_CHECKING:
    from pathlib import Path

    from servers.nginx import Nginx
    from servers.seaweed import Seaweed


__all__ = ["ends", "globus"]

# --- one task for many


def test_a_thousand_files_are_one_task_and_a_missing_one_fails_alone(
    globus: GlobusService, ends: Ends, job: Job
) -> None:
    made = ends.fill(*numbered(999), size=100)
    checked = sums(made)
    batch = [ends.copy(name, checksum=checked[name]) for name in made]
    batch.insert(500, ends.copy("missing"))
    run = job.run(batch)
    assert run.exit == 1, run.err
    assert contents(ends.b) == {f"out/{name}": content for name, content in made.items()}
    assert_failed(run, "missing", "not-found", end="source")
    assert [run.status(name) for name in made] == ["done"] * 999
    assert {run.request(name)["route"] for name in made} == {"managed"}
    assert {run.request(name)["evidence"] for name in made} == {"digest"}
    assert statuses(globus) == ["SUCCEEDED"]
    (document,) = globus.documents()
    assert len(document["DATA"]) == 1000
    assert document["DATA"][0]["external_checksum"] == checked["f0000"]["value"]
    assert document["verify_checksum"] is True and document["fail_on_quota_errors"] is True
    assert not any(document[f"notify_on_{what}"] for what in ("succeeded", "failed", "inactive"))


def test_the_deadline_of_the_run_is_that_of_the_task(globus: GlobusService, ends: Ends, job: Job) -> None:
    ends.fill("f")
    assert job.run([ends.copy("f")]).exit == 0
    assert job.run([ends.copy("f")], "--deadline", "2030-01-01T00:00:00+00:00").exit == 0
    first, second = globus.documents()
    assert "deadline" not in first and second["deadline"] == "2030-01-01T00:00:00+00:00"


def test_a_dry_run_shows_the_grouping_and_asks_nobody(globus: GlobusService, ends: Ends, job: Job) -> None:
    batch = [*(ends.copy(name) for name in numbered(3)), remove(f"globus://{ends.destination}/old")]
    (job.folder / "b.json").write_text(json.dumps(batch))
    command = [program("wf-transfer"), "--dry-run", "-f", "b.json"]
    found = run_program(command, folder=job.folder, environment=job.environment)
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("task: one of 3 items that the service does together") == 3
    assert found.stdout.count("route: managed") == 3
    assert globus.requests() == []
    assert SECRET not in found.stdout + found.stderr


def test_folders_and_removals_are_done_too(globus: GlobusService, ends: Ends, job: Job) -> None:
    (ends.b / "old/in").mkdir(parents=True)
    (ends.b / "old/in/it").write_bytes(b"x")
    (ends.b / "alone").write_bytes(b"x")
    url = f"globus://{ends.destination}"
    batch = [
        mkdir(f"{url}/new/deep/er"),
        remove(f"{url}/old", recursive=True),
        remove(f"{url}/alone"),
        remove(f"{url}/never-there"),
    ]
    run = job.run(batch)
    assert run.exit == 0, run.err
    assert (ends.b / "new/deep/er").is_dir()
    assert {path.name for path in ends.b.iterdir()} == {"new"}
    kinds = sorted((doc["recursive"], len(doc["DATA"])) for doc in globus.documents())
    assert kinds == [(False, 2), (True, 1)]


def test_a_folder_is_not_removed_as_if_it_were_a_file(globus: GlobusService, ends: Ends, job: Job) -> None:
    (ends.b / "folder").mkdir()
    (ends.b / "file").write_bytes(b"x")
    url = f"globus://{ends.destination}"
    run = job.run([remove(f"{url}/folder", lfn="folder"), remove(f"{url}/file", lfn="file")])
    assert run.exit == 1
    told = [request["error"] and request["error"]["code"] for request in run.document["requests"]]
    assert told == ["refused", None]
    assert (ends.b / "folder").is_dir() and not (ends.b / "file").exists()


def test_every_pair_of_collections_has_a_task_of_its_own(
    globus: GlobusService, ends: Ends, job: Job, tmp_path: Path
) -> None:
    made = ends.fill(*numbered(6))
    third = globus.collection(tmp_path / "c", entity_type=GUEST)
    batch = [
        ends.copy(name)
        if number % 2
        else transfer(name, f"globus://{ends.source}/{name}", f"globus://{third}/{name}")
        for number, name in enumerate(made)
    ]
    run = job.run(batch)
    assert run.exit == 0, run.err
    assert sorted(len(document["DATA"]) for document in globus.documents()) == [3, 3]
    assert len(contents(tmp_path / "c")) == len(contents(ends.b)) == 3


def test_what_a_task_could_not_copy_comes_from_another_replica(
    globus: GlobusService, ends: Ends, job: Job, web: Nginx, tmp_path: Path
) -> None:
    made = ends.fill(*numbered(3))
    offline = globus.collection(tmp_path / "laptop", entity_type=PERSONAL, broken=True)
    (web.root / "f").write_bytes(b"from the web")
    there = f"globus://{ends.destination}"
    batch = [
        *(ends.copy(name) for name in made),
        transfer("missing", [f"globus://{ends.source}/missing", f"{web.url}/f"], f"{there}/missing"),
        transfer("ill", [f"globus://{offline}/f", f"globus://{ends.source}/f0000"], job.url("ill")),
    ]
    run = job.run(batch)
    assert run.exit == 0, run.err
    assert (ends.b / "missing").read_bytes() == b"from the web"
    assert (job.out / "ill").read_bytes() == made["f0000"]
    assert run.request("missing")["source"] == f"{web.url}/f"


def test_a_task_that_ends_early_is_gone_on_with_for_the_rest(
    globus: GlobusService, ends: Ends, job: Job
) -> None:
    made = ends.fill(*numbered(10))
    globus.rule("copy /f0004", fatal="SOMETHING_ODD")
    run = job.run([ends.copy(name) for name in made])
    assert run.exit == 0, run.err
    again = [item["source_path"] for document in globus.documents()[1:] for item in document["DATA"]]
    assert sorted(again) == [f"/{name}" for name in list(made)[4:]]
    assert contents(ends.b) == {f"out/{name}": content for name, content in made.items()}


# --- what must not be done twice


def test_a_killed_run_is_gone_on_with_by_its_journal(globus: GlobusService, ends: Ends, job: Job) -> None:
    made = ends.fill(*numbered(5))
    globus.change(ends.destination, paused=False)
    globus.rule("copy /f0000", slow=0.2, times=1000)
    (ends.a / "f0000").write_bytes(bytes(12 << 20))
    made["f0000"] = bytes(12 << 20)
    batch = [ends.copy(name) for name in made]
    process = job.start(batch, "--journal", "run.journal")
    wait_for(lambda: globus.tasks(), "the submission")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (submitted,) = globus.documents()
    # It was on disk before the service was told.
    assert submitted["submission_id"] in (job.folder / "run.journal").read_text()
    assert statuses(globus) == ["ACTIVE"]
    run = job.run(batch, "--journal", "run.journal")
    assert run.exit == 0, run.err
    assert statuses(globus) == ["SUCCEEDED"]
    assert contents(ends.b) == {f"out/{name}": content for name, content in made.items()}
    assert not (job.folder / "run.journal").exists()


def test_a_killed_run_is_gone_on_with_by_the_label_of_its_task(
    globus: GlobusService, ends: Ends, job: Job
) -> None:
    made = ends.fill("f", size=4 << 20)
    globus.rule("copy /f", slow=0.5, times=1000)
    process = job.start([ends.copy("f")])
    wait_for(lambda: globus.tasks(), "the submission")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (job.folder / "result.json.journal").unlink(missing_ok=True)
    run = job.run([ends.copy("f")])
    assert run.exit == 0, run.err
    assert statuses(globus) == ["SUCCEEDED"]
    assert contents(ends.b) == {"out/f": made["f"]}


def test_a_lost_answer_does_not_make_a_second_task(globus: GlobusService, ends: Ends, job: Job) -> None:
    made = ends.fill("f")
    globus.rule("POST /v0.10/transfer", hang_up="after")
    run = job.run([ends.copy("f")])
    assert run.exit == 0, run.err
    assert statuses(globus) == ["SUCCEEDED"]
    assert contents(ends.b) == {"out/f": made["f"]}


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_cancels_the_task(name: str, globus: GlobusService, ends: Ends, job: Job) -> None:
    ends.fill("f", size=50 << 20)
    globus.rule("copy /f", slow=0.5, times=1000)
    process = job.start([ends.copy("f")])
    wait_for(lambda: globus.tasks() and globus.tasks()[0]["status"] == "ACTIVE", "the task")
    process.send_signal(getattr(signal, name))
    run = job.finish(process)
    assert run.exit == 75, run.err
    assert run.request("f")["error"]["code"] == "stopped"
    (task,) = globus.tasks()
    assert (task["status"], task["fatal_error"]["code"]) == ("FAILED", "CANCELED")


def test_a_signal_between_the_submission_and_its_answer_cancels_the_task(
    globus: GlobusService, ends: Ends, job: Job
) -> None:
    ends.fill("f", size=50 << 20)
    globus.rule("copy /f", slow=0.5, times=1000)
    globus.rule("POST /v0.10/transfer", answer_after=2.0)
    process = job.start([ends.copy("f")])
    wait_for(lambda: globus.tasks(), "the task")
    process.send_signal(signal.SIGTERM)
    run = job.finish(process)
    assert run.exit == 75, run.err
    (task,) = globus.tasks()
    assert (task["status"], task["fatal_error"]["code"]) == ("FAILED", "CANCELED")


# --- failures


def test_a_failed_task_is_a_failure(globus: GlobusService, ends: Ends, job: Job) -> None:
    ends.fill("f")
    globus.rule("copy /f", fatal="SOMETHING_ODD", message="it went wrong", times=100)
    run = job.run([ends.copy("f")], "-m", "1")
    assert run.exit == 75
    assert_failed(run, "f", "server-error")
    assert "SOMETHING_ODD" in run.err


def test_what_cannot_get_better_is_cancelled_at_once_and_the_others_are_copied(
    globus: GlobusService, ends: Ends, job: Job
) -> None:
    made = ends.fill(*numbered(10))
    (ends.b / "out/f0003").mkdir(parents=True)
    globus.change(ends.destination, denied=["/out/f0005"])
    run = job.run([ends.copy(name) for name in made])
    assert run.exit == 1, run.err
    bad = {"f0003", "f0005"}
    assert {name for name in made if run.status(name) != "done"} == bad
    assert_failed(run, "f0003", "refused")
    assert run.status("f0005") == "failed"
    assert run.request("f0005")["attempts"][-1]["error"]["code"] == "denied"
    assert contents(ends.b) == {f"out/{name}": made[name] for name in made if name not in bad}
    assert "ACTIVE" not in statuses(globus)


def test_a_full_quota_is_said_and_not_waited_for(globus: GlobusService, ends: Ends, job: Job) -> None:
    ends.fill("f")
    globus.change(ends.destination, quota=10)
    run = job.run([ends.copy("f")])
    assert run.exit == 1
    assert_failed(run, "f", "no-space")


def test_an_offline_collection_is_said(globus: GlobusService, job: Job, tmp_path: Path) -> None:
    laptop = globus.collection(tmp_path / "laptop", entity_type=PERSONAL, connected=False)
    run = job.run([mkdir(f"globus://{laptop}/new", lfn="new")], "-m", "1")
    assert run.exit == 75
    (request,) = run.document["requests"]
    assert request["error"]["code"] == "unreachable" and "not currently connected" in run.err
    assert "Globus Connect Personal" in request["error"]["remedy"]


def test_a_task_that_waits_for_a_person_is_given_up(globus: GlobusService, ends: Ends, job: Job) -> None:
    ends.fill("f")
    globus.change(ends.destination, paused=True)
    run = job.run([ends.copy("f")], "-m", "1")
    assert run.exit == 75
    assert_failed(run, "f", "unreachable")
    assert "under maintenance" in run.err
    assert statuses(globus) == ["FAILED"]


def test_a_missing_consent_names_the_command_that_gives_it(
    globus: GlobusService, ends: Ends, job: Job
) -> None:
    ends.fill("f")
    for name in globus.login:
        del job.environment[name]
    job.environment["GLOBUS_ACCESS_TOKEN"] = globus.access_token()
    run = job.run([ends.copy("f")])
    assert run.exit == 77, run.err
    assert_failed(run, "f", "denied")
    assert f"wf-transfer globus login {' '.join(sorted([ends.source]))}" in run.err
    assert job.environment["GLOBUS_ACCESS_TOKEN"] not in run.err


def test_a_client_consents_for_itself(globus: GlobusService, ends: Ends, job: Job) -> None:
    made = ends.fill("f")
    run = job.run([ends.copy("f")])
    assert run.exit == 0, run.err
    assert contents(ends.b) == {"out/f": made["f"]}


def test_an_expired_token_is_said(globus: GlobusService, ends: Ends, job: Job) -> None:
    ends.fill("f")
    for name in globus.login:
        del job.environment[name]
    job.environment["GLOBUS_ACCESS_TOKEN"] = globus.access_token()
    globus.expire_tokens()
    run = job.run([ends.copy("f")])
    assert run.exit == 77, run.err
    assert_failed(run, "f", "denied")
    assert "wf-transfer globus login" in run.request("f")["error"]["remedy"]


def test_tokens_of_a_client_that_end_during_the_run_are_renewed(
    globus: GlobusService, ends: Ends, job: Job
) -> None:
    made = ends.fill("f", size=3 << 20)
    globus.rule("copy /f", slow=0.3, times=100)
    process = job.start([ends.copy("f")])
    wait_for(lambda: globus.tasks(), "the submission")
    globus.expire_tokens()
    run = job.finish(process)
    assert run.exit == 0, run.err
    assert contents(ends.b) == {"out/f": made["f"]}


def test_no_credential_at_all_is_said(globus: GlobusService, ends: Ends, job: Job) -> None:
    for name in globus.login:
        del job.environment[name]
    run = job.run([ends.copy("f")])
    assert run.exit == 77
    assert_failed(run, "f", "missing-credential")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("globus://someone#laptop/f", "legacy endpoint name"),
        ("globus://not-a-uuid/f", "is not the UUID of a collection"),
    ],
)
def test_a_wrong_url_fails_alone(url: str, said: str, globus: GlobusService, ends: Ends, job: Job) -> None:
    made = ends.fill("f")
    wrong = transfer("wrong", url, f"globus://{ends.destination}/wrong")
    run = job.run([ends.copy("f"), wrong])
    assert run.exit == 1
    assert_failed(run, "wrong", "refused")
    assert said in run.err
    assert contents(ends.b) == {"out/f": made["f"]}


def test_an_unknown_collection_is_said(globus: GlobusService, ends: Ends, job: Job) -> None:
    ends.fill("f")
    nowhere = "00000000-0000-0000-0000-000000000000"
    run = job.run([transfer("f", f"globus://{ends.source}/f", f"globus://{nowhere}/f")])
    assert run.exit == 1
    assert_failed(run, "f", "not-found")
    assert "No such endpoint" in run.err


# --- integrity


def test_a_flipped_byte_is_noticed_and_the_copy_repeated(globus: GlobusService, ends: Ends, job: Job) -> None:
    made = ends.fill("f")
    globus.rule("copy /f", flip=True)
    run = job.run([ends.copy("f", checksum=sums(made)["f"])])
    assert run.exit == 0, run.err
    assert contents(ends.b) == {"out/f": made["f"]}
    assert globus.tasks()[0]["faults"] == 1


def test_a_wrong_checksum_of_the_source_fails_that_file_alone(
    globus: GlobusService, ends: Ends, job: Job
) -> None:
    made = ends.fill(*numbered(5))
    checked = sums(made)
    checked["f0002"]["value"] = "0" * 64
    run = job.run([ends.copy(name, checksum=checked[name]) for name in made])
    assert run.exit == 3, run.err
    assert_failed(run, "f0002", "mismatch")
    assert [run.status(name) for name in made if name != "f0002"] == ["done"] * 4


def test_a_collection_that_verifies_nothing_is_not_believed(
    globus: GlobusService, ends: Ends, job: Job
) -> None:
    made = ends.fill("f")
    globus.change(ends.destination, disable_verify=True)
    globus.rule("copy /f", flip=True, times=100)
    run = job.run([ends.copy("f", checksum=sums(made)["f"])])
    assert run.exit == 1, run.err
    assert_failed(run, "f", "unverified")
    assert contents(ends.b) == {}


# --- between Globus and everything else


def test_a_file_goes_to_s3_and_back_by_https(
    globus: GlobusService, ends: Ends, s3: Seaweed, bucket: str, job: Job
) -> None:
    job.credentials(site_sections(s3.endpoint, s3.admin))
    made = ends.fill("f", size=3 << 20)
    checked = sums(made)["f"]
    up = transfer("up", f"globus://{ends.source}/f", f"s3://alice@store/{bucket}/f", checksum=checked, id=1)
    back = transfer(
        "back",
        f"s3://alice@store/{bucket}/f",
        f"globus://{ends.destination}/new/back",
        checksum=checked,
        id=2,
        after=1,
    )
    run = job.run([up, back])
    assert run.exit == 0, run.err
    assert stored(s3, bucket, "f") == made["f"]
    assert contents(ends.b) == {"new/back": made["f"]}
    assert {run.request(name)["route"] for name in ("up", "back")} == {"streamed"}


def test_a_damaged_upload_is_noticed_and_nothing_is_published(
    globus: GlobusService, ends: Ends, job: Job, web: Nginx
) -> None:
    (web.root / "f").write_bytes(b"content" * 1000)
    globus.rule(r"PUT /c/.*", truncate=True, times=100)
    run = job.run([transfer("f", f"{web.url}/f", f"globus://{ends.destination}/f")])
    assert run.exit != 0
    assert_failed(run, "f", "mismatch")
    assert contents(ends.b) == {}


def test_a_damaged_upload_of_the_right_size_is_noticed_by_reading_it_back(
    globus: GlobusService, ends: Ends, job: Job, web: Nginx
) -> None:
    content = b"content" * 1000
    (web.root / "f").write_bytes(content)
    globus.rule(r"PUT /c/.*", flip=True, times=1)
    request = transfer(
        "f",
        f"{web.url}/f",
        f"globus://{ends.destination}/f",
        checksum=sums({"f": content})["f"],
        verify_checksum_remote=True,
    )
    run = job.run([request], "-m", "1")
    assert run.exit == 3, run.err
    assert_failed(run, "f", "mismatch")
    run = job.run([request])
    assert run.exit == 0, run.err
    assert run.request("f")["evidence"] == "read-back"
    assert contents(ends.b) == {"f": content}


def test_an_upload_is_compared_with_the_expected_digest_before_it_is_published(
    globus: GlobusService, ends: Ends, job: Job
) -> None:
    content = b"content" * 100_000
    (job.folder / "f").write_bytes(content)
    url = f"file://{job.folder}/f"
    globus.rule(r"PUT /c/.*", flip=True)
    known = transfer("f", url, f"globus://{ends.destination}/f", checksum=sums({"f": content})["f"])
    run = job.run([known])
    assert run.exit == 0, run.err
    request = run.request("f")
    assert [attempt["error"] and attempt["error"]["code"] for attempt in request["attempts"]] == [
        "mismatch",
        None,
    ]
    assert request["evidence"] == "digest"
    assert contents(ends.b) == {"f": content}


def test_files_of_this_machine_go_by_https_without_a_collection_here(
    globus: GlobusService, ends: Ends, job: Job
) -> None:
    made = ends.fill("f")
    run = job.run(
        [
            transfer("down", f"globus://{ends.source}/f", job.url("down")),
            transfer("gone", f"globus://{ends.source}/gone", job.url("gone")),
        ]
    )
    assert run.exit == 1, run.err
    assert (job.out / "down").read_bytes() == made["f"]
    assert_failed(run, "gone", "not-found")
    assert partials(job.out) == [] and globus.tasks() == []


def test_files_of_this_machine_go_by_its_own_collection(
    globus: GlobusService, ends: Ends, job: Job, tmp_path: Path
) -> None:
    here = globus.collection(tmp_path.parent, entity_type=PERSONAL)
    globus.change(here, root="/")
    lta = job.folder.parent / "home/.globusonline/lta"
    lta.mkdir(parents=True)
    (lta / "client-id.txt").write_text(f"{here}\n")
    (lta / "config-paths").write_text(f"{tmp_path},0,1\n")
    made = ends.fill("f")
    (job.out / "up").write_bytes(b"from here")
    run = job.run(
        [
            transfer("down", f"globus://{ends.source}/f", job.url("down")),
            transfer("up", job.url("up"), f"globus://{ends.destination}/up"),
        ]
    )
    assert run.exit == 0, run.err
    assert (job.out / "down").read_bytes() == made["f"]
    assert (ends.b / "up").read_bytes() == b"from here"
    assert {run.request(name)["route"] for name in ("down", "up")} == {"managed"}
    assert statuses(globus) == ["SUCCEEDED"] * 2


def test_a_collection_of_this_machine_that_is_not_running_is_not_waited_for(
    globus: GlobusService, ends: Ends, job: Job, tmp_path: Path
) -> None:
    here = globus.collection(tmp_path / "unused", entity_type=PERSONAL, connected=False)
    lta = job.folder.parent / "home/.globusonline/lta"
    lta.mkdir(parents=True)
    (lta / "client-id.txt").write_text(here)
    (lta / "config-paths").write_text("/,0,1\n")
    made = ends.fill("f")
    run = job.run([transfer("down", f"globus://{ends.source}/f", job.url("down"))])
    assert run.exit == 0, run.err
    assert (job.out / "down").read_bytes() == made["f"]
    assert run.request("down")["route"] == "direct" and globus.tasks() == []


# --- secrets


def test_no_secret_shows_anywhere(globus: GlobusService, ends: Ends, job: Job) -> None:
    ends.fill("f")
    globus.rule("POST /v0.10/transfer", status=403, code="Denied", message=f"no: {SECRET}", times=100)
    globus.rule("GET /c/", status=403, message="no: AUTHORIZATION", times=100)
    batch = [ends.copy("f"), transfer("down", f"globus://{ends.source}/f", job.url("down"))]
    run = job.run(batch, "-d")
    assert run.exit != 0
    left = b"".join(contents(job.folder).values())
    for text in (run.err, run.out, left.decode("utf-8", "replace")):
        assert SECRET not in text
        assert "access-" not in text


def test_a_refresh_token_that_works_once_is_replaced_on_disk(
    globus: GlobusService, job: Job, tmp_path: Path
) -> None:
    one = globus.collection(tmp_path / "guest", entity_type=GUEST)
    globus.settings(rotate=True)
    for name in globus.login:
        del job.environment[name]
    first = globus.refresh_token(TRANSFER)
    job.environment.update(GLOBUS_CLIENT_ID="app", GLOBUS_REFRESH_TOKEN=first)
    for number in range(3):
        run = job.run([mkdir(f"globus://{one}/new{number}")])
        assert run.exit == 0, run.err
    (kept,) = (job.folder.parent / "home/.local/state/wf-transfer").glob("globus-*.json")
    assert kept.stat().st_mode & 0o777 == 0o600
    assert first not in kept.read_text()

"""Whole jobs with data of federations: caches that fail, tokens, trees and archives, and other services at the other end."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import textwrap
import zipfile
from typing import TYPE_CHECKING

import pytest
from commands import Job, assert_failed, contents, partials, remove, site_sections, stored, transfer
from osdf_jobs import fed, federation_service, job
from servers.faults import cut, flip, stall
from servers.federation import second_federation
from servers.federation_director import FederationIssuer, ingress, rebooting
from servers.sshd import make_keys, sshd

if TYPE_CHECKING:
    from pathlib import Path

    from servers.federation import Federation
    from servers.seaweed import Seaweed

__all__ = ["fed", "federation_service", "job"]

LARGE = 12 << 20


def noise(size: int, seed: str = "") -> bytes:
    blocks = (hashlib.sha256(f"{seed}{number}".encode()).digest() for number in range(size // 32 + 1))
    return b"".join(blocks)[:size]


def sha256(data: bytes) -> dict[str, dict[str, str]]:
    return {"checksum": {"type": "sha256", "value": hashlib.sha256(data).hexdigest()}}


class TestCaches:
    def test_objects_come_through_the_caches_whatever_the_url_says(self, fed: Federation, job: Job) -> None:
        data = noise(LARGE)
        fed.put("/open/one/large", data)
        fed.put("/open/one/small", b"small")
        with fed.osdf_proxy() as proxy:
            job.environment |= {"https_proxy": proxy, "no_proxy": "localhost"}
            run = job.run(
                [
                    transfer("a", fed.url("/open/one/large"), job.url("a")),
                    transfer("b", "osdf:///open/one/small", job.url("b")),
                    transfer("c", "stash:///open/one/small", job.url("c")),
                    transfer("d", "osdf:///open/one/small?directread", job.url("d")),
                ]
            )
        assert run.exit == 0, run.err
        assert contents(job.out) == {"a": data, "b": b"small", "c": b"small", "d": b"small"}

    @pytest.mark.parametrize("expected", [True, False])
    def test_a_cache_that_dies_in_the_middle_costs_few_bytes_more(
        self, fed: Federation, job: Job, expected: bool
    ) -> None:
        data = noise(LARGE, "half")
        fed.put("/open/half", data)
        more = sha256(data) if expected else {}
        with (
            fed.counted_cache(cut(LARGE // 2, body=True)) as (dying, first),
            fed.counted_cache(number=1) as (good, second),
        ):
            fed.serve_from(dying, good)
            run = job.run([transfer("half", fed.url("/open/half"), job.url("half"), **more)])
            assert first.bytes_down + second.bytes_down < 1.05 * LARGE
        assert run.exit == 0, run.err
        assert (job.out / "half").read_bytes() == data
        request = run.request("half")
        assert request["digest"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
        assert request["source"] == fed.url("/open/half")
        assert not partials(job.out)

    def test_a_lying_cache_is_found_out_and_the_next_one_asked(self, fed: Federation, job: Job) -> None:
        data = noise(LARGE, "lie")
        fed.put("/open/lie", data)
        with fed.bad_cache(flip(LARGE // 2, body=True)) as lying:
            fed.serve_from(lying, fed.caches[1])
            run = job.run([transfer("lie", fed.url("/open/lie"), job.url("lie"), **sha256(data))])
        assert run.exit == 0, run.err
        assert (job.out / "lie").read_bytes() == data
        codes = [attempt["error"] and attempt["error"]["code"] for attempt in run.request("lie")["attempts"]]
        assert codes == ["mismatch", None]

    def test_a_lying_cache_is_asked_last_for_the_rest_of_the_run(self, fed: Federation, job: Job) -> None:
        files = {f"{number}": noise(3000, f"liar{number}") for number in range(6)}
        for name, data in files.items():
            fed.put(f"/open/liar/{name}", data)
        with fed.counted_cache(flip(1000, body=True)) as (lying, proxy):
            fed.serve_from(lying, fed.caches[1])
            batch = [
                transfer(name, fed.url(f"/open/liar/{name}"), job.url(name), **sha256(data))
                for name, data in files.items()
            ]
            run = job.run(batch, "-n", "1")
            assert proxy.bytes_down < 2 * 3000 + 1000, "it was asked again"
        assert run.exit == 0, run.err
        assert contents(job.out) == files

    def test_a_lie_of_all_caches_is_not_published(self, fed: Federation, job: Job) -> None:
        data = noise(1000, "lies")
        fed.put("/open/lies", data)
        with fed.bad_cache(flip(500, body=True)) as one, fed.bad_cache(flip(600, body=True)) as other:
            fed.serve_from(one, other)
            run = job.run([transfer("lies", fed.url("/open/lies"), job.url("lies"), **sha256(data))])
        assert_failed(run, "lies", "mismatch", end="source")
        assert contents(job.out) == {}

    def test_dead_and_silent_caches_are_passed_over_for_all_objects(self, fed: Federation, job: Job) -> None:
        names = [f"many/{number}" for number in range(20)]
        for name in names:
            fed.put(f"/open/{name}", name.encode())
        with fed.dead_cache() as dead, fed.bad_cache(stall(0)) as silent:
            fed.serve_from(dead, silent, fed.caches[0])
            batch = [transfer(name, fed.url(f"/open/{name}"), job.url(name)) for name in names]
            run = job.run(batch, "--stall-seconds", "1")
        assert run.exit == 0, run.err
        assert contents(job.out) == {name: name.encode() for name in names}

    def test_a_director_that_comes_back_is_waited_for(self, fed: Federation, job: Job) -> None:
        fed.put("/open/patience", b"patience")
        fed.director.troubles.extend([ingress(502), rebooting()])
        run = job.run([transfer("p", fed.url("/open/patience"), job.url("p"))])
        assert run.exit == 0, run.err
        assert (job.out / "p").read_bytes() == b"patience"

    def test_what_is_nowhere_fails_alone_and_says_so_in_the_directors_words(
        self, fed: Federation, job: Job
    ) -> None:
        fed.put("/open/here", b"here")
        run = job.run(
            [
                transfer("absent", fed.url("/open/absent"), job.url("absent")),
                transfer("lost", fed.url("/lost/x"), job.url("lost")),
                transfer("word", fed.url("/open/here?directreed"), job.url("word")),
                transfer("here", fed.url("/open/here"), job.url("here")),
            ]
        )
        assert run.exit == 1
        assert_failed(run, "absent", "not-found", end="source")
        assert_failed(run, "lost", "not-found", end="source")
        assert_failed(run, "word", "unsupported", end="source")
        assert "namespace not found for path /lost/x" in run.err
        assert run.status("here") == "done"


class TestTokens:
    def test_no_token_is_exit_77_and_nobody_is_asked_for_the_object(self, fed: Federation, job: Job) -> None:
        fed.put("/kept/secret", b"secret")
        run = job.run([transfer("s", fed.url("/kept/secret"), job.url("s"))])
        assert run.exit == 77, run.err
        assert_failed(run, "s", "missing-credential", end="source")
        assert f"needs a token for /kept, made by {fed.director.url}" in run.err

    def test_the_right_one_of_htcondors_tokens_opens_the_namespace_through_the_cache(
        self, fed: Federation, job: Job
    ) -> None:
        fed.put("/kept/in/reach", b"in reach")
        creds = job.folder / "creds"
        creds.mkdir()
        stranger = fed.director.issuer.token("storage.read:/")
        tokens = {
            "aaa": _made_by("https://other.example", fed),
            "bbb": fed.token("storage.read:/out/of"),
            "ccc": fed.token("storage.read:/in"),
            "zzz": stranger,
        }
        for name, token in tokens.items():
            path = creds / f"{name}.use"
            path.write_text(json.dumps({"access_token": token, "expires_in": 3600}))
            path.chmod(0o600)
        job.environment["_CONDOR_CREDS"] = str(creds)
        named = fed.url("/kept/in/reach", scheme="bbb+pelican")
        run = job.run(
            [
                transfer("r", fed.url("/kept/in/reach"), job.url("r")),
                transfer("n", named, job.url("n")),
            ]
        )
        assert run.status("r") == "done", run.err
        assert_failed(run, "n", "denied", end="source")
        assert_canary(fed, job, run, *tokens.values())

    def test_a_canary_is_in_no_output_and_reaches_no_stranger(self, fed: Federation, job: Job) -> None:
        canary = fed.token("storage.read:/elsewhere")
        job.environment["BEARER_TOKEN"] = canary
        fed.put("/kept/refused", b"x")
        fed.put("/open/fine", b"x")
        run = job.run(
            [
                transfer("refused", fed.url("/kept/refused"), job.url("refused")),
                transfer("fine", fed.url("/open/fine"), job.url("fine")),
            ],
            "-d",
        )
        assert run.exit != 0
        assert_canary(fed, job, run, canary)

    def test_two_federations_in_one_batch_keep_their_objects_and_tokens_apart(
        self, fed: Federation, job: Job
    ) -> None:
        fed.put("/open/twin", b"first")
        fed.put("/open/second/open/twin", b"second")
        fed.put("/kept/own", b"own")
        job.environment["BEARER_TOKEN"] = fed.token()
        with second_federation(fed) as other:
            run = job.run(
                [
                    transfer("1", fed.url("/open/twin"), job.url("1")),
                    transfer("2", other.url("/open/twin"), job.url("2")),
                    transfer("3", fed.url("/kept/own"), job.url("3")),
                ]
            )
            assert run.exit == 0, run.err
            assert contents(job.out) == {"1": b"first", "2": b"second", "3": b"own"}
            assert_canary(other, job, run, job.environment["BEARER_TOKEN"])


def _made_by(issuer: str, fed: Federation) -> str:
    return FederationIssuer(issuer).token("storage.read:/")


def assert_canary(fed: Federation, job: Job, run: object, *tokens: str) -> None:
    """None of the tokens is in any output of the run, nor came to the director."""
    written = "".join(path.read_text() for path in job.folder.glob("*.json*"))
    asked = "".join(str(asked) for asked in fed.director.asked)
    for token in tokens:
        for part in (token, token.rpartition(".")[2]):
            assert part not in run.err and part not in run.out and part not in written  # type: ignore[attr-defined]
            assert part not in asked


class TestWriting:
    @pytest.fixture(autouse=True)
    def token(self, fed: Federation, job: Job) -> None:
        job.environment["BEARER_TOKEN"] = fed.token()

    def test_what_is_there_with_the_same_content_is_success_and_other_content_is_refused(
        self, fed: Federation, job: Job
    ) -> None:
        (job.out / "a").write_bytes(b"content")
        (job.out / "b").write_bytes(b"changed")
        url = fed.url("/open/write/once")
        first = job.run([transfer("a", job.url("a"), url)])
        assert first.exit == 0 and fed.stored("/open/write/once").read_bytes() == b"content", first.err
        assert first.request("a")["evidence"] == "checksum"
        again = job.run([transfer("a", job.url("a"), url)])
        assert again.request("a")["route"] == "present"
        other = job.run([transfer("b", job.url("b"), url)])
        assert_failed(other, "b", "exists", end="destination")
        assert fed.stored("/open/write/once").read_bytes() == b"content"
        forced = job.run([transfer("b", job.url("b"), url)], "--existing", "overwrite")
        assert forced.exit == 0, forced.err
        assert fed.stored("/open/write/once").read_bytes() == b"changed"

    def test_a_wrong_checksum_leaves_nothing_at_the_origin(self, fed: Federation, job: Job) -> None:
        (job.out / "large").write_bytes(noise(LARGE))
        wrong = sha256(b"something else")
        run = job.run([transfer("w", job.url("large"), fed.url("/open/wrong"), **wrong)])
        assert_failed(run, "w", "mismatch", end="source")
        assert not fed.stored("/open/wrong").exists()

    def test_removes_of_objects_and_trees(self, fed: Federation, job: Job) -> None:
        for name in ("gone", "tree/a", "tree/b/c", "stays"):
            fed.put(f"/open/cleanup/{name}", b"x")
        run = job.run(
            [
                remove(fed.url("/open/cleanup/gone")),
                remove(fed.url("/open/cleanup/never-there")),
                remove(fed.url("/open/cleanup/tree"), recursive=True),
            ]
        )
        assert run.exit == 0, run.err
        assert [path.name for path in fed.stored("/open/cleanup").iterdir()] == ["stays"]

    def test_between_a_federation_and_other_services(
        self, fed: Federation, job: Job, s3: Seaweed, bucket: str
    ) -> None:
        data = noise(LARGE, "s3")
        fed.put("/open/to-s3", data)
        job.credentials(site_sections(s3.endpoint, s3.admin))
        run = job.run(
            [transfer("up", fed.url("/open/to-s3"), f"s3://alice@store/{bucket}/key", **sha256(data))]
        )
        assert run.exit == 0, run.err
        assert stored(s3, bucket, "key") == data
        for number, stage in enumerate(((), ("--stage", "file"))):
            name = f"/kept/from-s3-{number}"
            run = job.run([transfer("back", f"s3://alice@store/{bucket}/key", fed.url(name))], *stage)
            assert run.exit == 0, run.err
            assert fed.stored(name).read_bytes() == data

    def test_from_ssh_servers_to_a_federation(self, fed: Federation, job: Job, tmp_path: Path) -> None:
        data = noise(LARGE, "ssh")
        (tmp_path / "keys").mkdir()
        with sshd(make_keys(tmp_path / "keys")) as server:
            job.environment["PATH"] = f"{server.path}:{job.environment['PATH']}"
            (server.folder / "large").write_bytes(data)
            run = job.run(
                [
                    transfer(
                        "ssh", f"{server.url}{server.folder}/large", fed.url("/kept/from/ssh"), **sha256(data)
                    )
                ]
            )
        assert run.exit == 0, run.err
        assert fed.stored("/kept/from/ssh").read_bytes() == data


class TestTrees:
    def test_a_tree_comes_and_goes_as_one_request(self, fed: Federation, job: Job) -> None:
        files = {"a": b"1", "b/c": b"22", "b/d/with blank": b"333", "b/d/per%20cent": b"4444"}
        del files["b/d/per%20cent"]  # XRootD 5 lists it as another name
        for name, data in files.items():
            fed.put(f"/open/tree/{name}", data)
        fed.servers.make_folder("/open/tree/empty")
        job.environment["BEARER_TOKEN"] = fed.token()
        run = job.run([transfer("down", fed.url("/open/tree?recursive"), job.url("down"))])
        assert run.exit == 0, run.err
        assert contents(job.out / "down") == files
        assert (job.out / "down" / "empty").is_dir()
        assert run.request("down")["bytes"] == sum(map(len, files.values()))
        run = job.run([transfer("up", job.url("down"), fed.url("/kept/tree?recursive"))])
        assert run.exit == 0, run.err
        assert contents(fed.stored("/kept/tree")) == files

    def test_a_file_of_a_tree_that_a_cache_spoils_comes_from_the_next(
        self, fed: Federation, job: Job
    ) -> None:
        data = noise(LARGE, "spoilt")
        fed.put("/open/spoilt/x", data)
        with fed.bad_cache(cut(LARGE // 2, body=True)) as bad:
            fed.serve_from(bad, fed.caches[1])
            run = job.run([transfer("t", fed.url("/open/spoilt?recursive"), job.url("t"))])
        assert run.exit == 0, run.err
        assert contents(job.out / "t") == {"x": data}

    def test_a_tree_with_an_expected_digest_cannot_be_meant(self, fed: Federation, job: Job) -> None:
        fed.put("/open/plain/x", b"x")
        run = job.run([transfer("t", fed.url("/open/plain?recursive"), job.url("t"), **sha256(b"x"))])
        assert_failed(run, "t", "unsupported")

    @pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz", "zip"])
    @pytest.mark.parametrize("said", [True, False])
    def test_an_archive_is_taken_apart_when_it_is_what_was_expected(
        self, fed: Federation, job: Job, kind: str, said: bool
    ) -> None:
        data = archive(kind, {"./a": b"1", "b/c": b"22"})
        fed.put(f"/open/packs/{kind}", data)
        url = fed.url(f"/open/packs/{kind}?pack={kind if said else 'auto'}")
        run = job.run([transfer("p", url, job.url("p"), **sha256(data))])
        assert run.exit == 0, run.err
        assert contents(job.out / "p") == {"a": b"1", "b/c": b"22"}
        assert run.request("p")["bytes"] == len(data)

    @pytest.mark.parametrize("name", ["../out", "/tmp/out", "b/../../out", "link/out"])
    def test_no_name_in_an_archive_leads_out_of_its_folder(
        self, fed: Federation, job: Job, tmp_path: Path, name: str
    ) -> None:
        fed.put("/open/packs/evil", archive("tar", {"good": b"1", name: b"evil"}))
        (job.out / "p").mkdir()
        (job.out / "p" / "link").symlink_to(tmp_path)
        run = job.run([transfer("p", fed.url("/open/packs/evil?pack=tar"), job.url("p"))])
        assert_failed(run, "p", "refused")
        assert not list(tmp_path.rglob("out*/out")) and not (tmp_path / "out" / "out").exists()
        assert b"evil" not in contents(tmp_path).values()

    def test_links_in_an_archive_stay_inside(self, fed: Federation, job: Job) -> None:
        fed.put("/open/packs/links", archive("tar", {"d/file": b"1"}, {"d/inside": "file", "up": "d/../d"}))
        fed.put("/open/packs/outside", archive("tar", {"file": b"1"}, {"outside": "../../etc/passwd"}))
        run = job.run(
            [
                transfer("in", fed.url("/open/packs/links?pack=tar"), job.url("in")),
                transfer("out", fed.url("/open/packs/outside?pack=tar"), job.url("out")),
            ]
        )
        assert run.status("in") == "done", run.err
        assert (job.out / "in" / "d" / "inside").read_bytes() == b"1"
        assert_failed(run, "out", "refused")
        assert not (job.out / "out" / "outside").is_symlink()

    def test_a_damaged_archive_is_told_as_such(self, fed: Federation, job: Job) -> None:
        data = archive("tar.gz", {"a": noise(100_000)})
        fed.put("/open/packs/short", data[: len(data) // 2])
        fed.put("/open/packs/none", b"no archive at all")
        run = job.run(
            [
                transfer("short", fed.url("/open/packs/short?pack=tar.gz"), job.url("short")),
                transfer("none", fed.url("/open/packs/none?pack"), job.url("none")),
            ]
        )
        assert_failed(run, "short", "refused", end="source")
        assert_failed(run, "none", "refused", end="source")

    @pytest.mark.parametrize("kind", ["auto", "tar", "zip"])
    def test_a_folder_is_stored_as_an_archive(self, fed: Federation, job: Job, kind: str) -> None:
        job.environment["BEARER_TOKEN"] = fed.token()
        (job.out / "d" / "e").mkdir(parents=True)
        (job.out / "d" / "e" / "f").write_bytes(b"content")
        url = fed.url(f"/open/packed-{kind}?pack={kind}")
        run = job.run([transfer("p", job.url("d"), url)])
        assert run.exit == 0, run.err
        data = fed.stored(f"/open/packed-{kind}").read_bytes()
        if kind == "zip":
            assert zipfile.ZipFile(io.BytesIO(data)).read("e/f") == b"content"
        else:
            with tarfile.open(fileobj=io.BytesIO(data)) as found:
                member = found.extractfile("e/f")
                assert member is not None and member.read() == b"content"


def archive(kind: str, files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    data = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(data, "w") as made:
            for name, content in files.items():
                made.writestr(name, content)
        return data.getvalue()
    with tarfile.open(fileobj=data, mode=f"w:{kind[4:]}") as made:
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            made.addfile(info)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return data.getvalue()


class TestPelicanfs:
    """An independent client reads what we wrote, and we read what it wrote."""

    @pytest.fixture(autouse=True)
    def installed(self) -> None:
        if os.environ.get("CI") != "true":
            pytest.importorskip("pelicanfs")

    def pelican(self, fed: Federation, job: Job, body: str) -> str:
        code = (
            "from pelicanfs.core import PelicanFileSystem\n"
            f"fs = PelicanFileSystem({fed.url('')!r}, headers={{'Authorization': 'Bearer {fed.token()}'}})\n"
        ) + textwrap.dedent(body)
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=job.environment,
            cwd=job.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def test_it_reads_what_we_wrote(self, fed: Federation, job: Job) -> None:
        job.environment["BEARER_TOKEN"] = fed.token()
        data = noise(3_000_000, "ours")
        (job.out / "x").write_bytes(data)
        run = job.run([transfer("x", job.url("x"), fed.url("/open/ours/x"))])
        assert run.exit == 0, run.err
        told = self.pelican(
            fed,
            job,
            """
            import hashlib
            print(hashlib.sha256(fs.cat("/open/ours/x")).hexdigest())
            print([(each["name"], each["size"]) for each in fs.ls("/open/ours")])
            """,
        )
        assert told.split("\n")[0] == hashlib.sha256(data).hexdigest()
        assert "('/open/ours/x', 3000000)" in told

    def test_we_read_what_it_wrote(self, fed: Federation, job: Job) -> None:
        data = noise(3_000_000, "theirs")
        (job.folder / "theirs").write_bytes(data)
        self.pelican(fed, job, """fs.put("theirs", "/open/theirs")""")
        run = job.run([transfer("x", fed.url("/open/theirs"), job.url("x"), **sha256(data))])
        assert run.exit == 0, run.err
        assert (job.out / "x").read_bytes() == data

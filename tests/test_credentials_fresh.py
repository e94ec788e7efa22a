"""Credentials that end while a run goes on: read again, refreshed at a real token endpoint, renewed once after a 401."""

from __future__ import annotations

import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from credentials_made import private, token
from runs import at, transfer
from servers.oauth import CLIENT, CLIENT_SECRET, FIRST_REFRESH_TOKEN, OAuth, oauth
from servers.tls import TlsFiles
from wf.credentials.chain import Chain, standard_chain
from wf.credentials.errors import Misconfigured, MissingCredential
from wf.credentials.kinds import AccessKey, Anonymous, Bearer, Credential, Secret
from wf.credentials.private import STRICT, Policy
from wf.transfer.execution import run
from wf.transfer.outcomes import Status
from wf.transfer.planning import plan
from wf.transfer.requests import Batch
from wf.transfer.settings import Settings
from wf.transfer.surroundings import Surroundings


@pytest.fixture
def service(tls_files: TlsFiles) -> Iterator[OAuth]:
    with oauth(tls_files.server) as server:
        yield server


@pytest.fixture
def environment(tls_files: TlsFiles, tmp_path: Path) -> dict[str, str]:
    return {"SSL_CERT_FILE": str(tls_files.ca), "HOME": str(tmp_path)}


@pytest.fixture
def chain_of(service: OAuth, environment: dict[str, str], tmp_path: Path) -> Callable[..., Chain]:
    def made(*, policy: Policy = STRICT, **more: str) -> Chain:
        entries = {"token_url": service.token_url, "client_id": CLIENT, **more}
        table = "\n".join(f'{key.replace("_", "-")} = "{value}"' for key, value in entries.items())
        path = private(tmp_path / "c.toml", f'[host."{service.authority}".oauth]\n{table}\n')
        return standard_chain(environment, file=str(path), policy=policy)

    return made


def secret_of(credential: Credential | None) -> str:
    assert isinstance(credential, Bearer), credential
    return credential.token.reveal()


# Files


def rewrite(path: Path, content: str) -> None:
    """As a scheduler does: a new file takes the name."""
    new = private(path.with_name(f"{path.name}.new"), content)
    new.replace(path)


def patient(ask: Callable[[], Credential], old: Credential) -> Credential:
    deadline = time.monotonic() + 30
    while (found := ask()) == old:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def test_a_token_file_that_a_scheduler_rewrote_is_read_again(tmp_path: Path) -> None:
    path = private(tmp_path / "token", "first")
    surroundings = Surroundings(None, {"BEARER_TOKEN_FILE": str(path)})
    place = at("https://h.example.org/f")
    first = surroundings.credential(place, "read")
    assert surroundings.credential(place, "read") is first
    rewrite(path, "second")
    second = patient(lambda: surroundings.credential(place, "read"), first)
    assert (secret_of(first), secret_of(second)) == ("first", "second")


def test_session_keys_of_a_rewritten_file_are_read_again(tmp_path: Path) -> None:
    text = "[s]\nendpoint=http://e\n[a@s]\naccess_key=A\nsecret_key=K\nsession_token={}\n"
    path = private(tmp_path / "c.conf", text.format("one"))
    surroundings = Surroundings(None, {"PEGASUS_CREDENTIALS_s": str(path)})
    place = at("s3://a@s/b/k")
    first = surroundings.credential(place, "read")
    rewrite(path, text.format("two"))
    second = patient(lambda: surroundings.credential(place, "read"), first)
    assert isinstance(second, AccessKey) and second.session_token == Secret("two")


def test_a_rewritten_file_that_makes_no_sense_leaves_what_still_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wf.transfer.surroundings.LOOK_AGAIN", 0.0)
    path = private(tmp_path / "token", "first")
    surroundings = Surroundings(None, {"BEARER_TOKEN_FILE": str(path)})
    place = at("https://h.example.org/f")
    first = surroundings.credential(place, "read")
    rewrite(path, "not a token")
    assert first.is_stale(time.time())
    assert surroundings.credential(place, "read") is first


def test_several_files_of_sites_serve_one_run(tmp_path: Path) -> None:
    environment = {}
    for site in ("one", "two"):
        file = private(tmp_path / site, f"[{site}]\ntoken = token-of-{site}\n")
        environment[f"PEGASUS_CREDENTIALS_{site}"] = str(file)
    surroundings = Surroundings(None, environment)
    for site in ("one", "two"):
        found = surroundings.credential(at("https://h.example.org/f", site=site), "read")
        assert secret_of(found) == f"token-of-{site}"


def test_the_path_is_asked_about_where_it_matters(tmp_path: Path) -> None:
    folder = tmp_path / "creds"
    folder.mkdir()
    for name in ("cms", "atlas"):
        private(folder / f"{name}.use", token(sub=name, scope=f"storage.read:/{name}"))
    surroundings = Surroundings(None, {"_CONDOR_CREDS": str(folder)})
    names = [
        surroundings.credential(at(f"https://h.example.org/{name}/f"), "read").name
        for name in ("cms", "atlas", "cms")
    ]
    assert names == ["cms.use", "atlas.use", "cms.use"]
    assert isinstance(surroundings.credential(at("https://h.example.org/other"), "read"), Anonymous)


# The token endpoint


def test_a_refresh_token_becomes_an_access_token_once(service: OAuth, chain_of: Callable[..., Chain]) -> None:
    chain = chain_of(refresh_token=FIRST_REFRESH_TOKEN, scope="storage.read:/", audience="a")
    found = chain.find("https", service.authority)
    assert secret_of(found) == secret_of(chain.find("https", service.authority)) == "canary-access-1"
    assert service.grants == [
        {
            "grant_type": "refresh_token",
            "refresh_token": FIRST_REFRESH_TOKEN,
            "client_id": CLIENT,
            "scope": "storage.read:/",
            "audience": "a",
        }
    ]
    assert found.expires is not None and abs(found.expires - time.time() - 3600) < 60


def test_a_client_secret_becomes_an_access_token(service: OAuth, chain_of: Callable[..., Chain]) -> None:
    chain = chain_of(client_secret=CLIENT_SECRET)
    assert secret_of(chain.find("https", service.authority)) == "canary-access-1"
    assert service.grants[0]["grant_type"] == "client_credentials"


def test_a_token_is_refreshed_before_its_end(service: OAuth, chain_of: Callable[..., Chain]) -> None:
    service.lifetime = 1
    chain = chain_of(refresh_token=FIRST_REFRESH_TOKEN)
    first = chain.find("https", service.authority)
    deadline = time.monotonic() + 30
    while chain.find("https", service.authority) == first:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_replaced_refresh_token_is_written_down_for_the_next_run(
    service: OAuth, chain_of: Callable[..., Chain], tmp_path: Path
) -> None:
    service.rotates = True
    for _ in range(3):  # three runs, each with what the one before left
        chain = chain_of(refresh_token=FIRST_REFRESH_TOKEN)
        secret_of(chain.find("https", service.authority))
    assert len({grant["refresh_token"] for grant in service.grants}) == 3
    folder = tmp_path / ".local/state/wf-transfer"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    kept = [path for path in folder.iterdir() if path.suffix != ".lock"]
    assert len(kept) == 1 and stat.S_IMODE(kept[0].stat().st_mode) == 0o600
    assert kept[0].read_text().startswith("canary-refresh-")


def test_a_refresh_token_in_a_file_of_its_own_is_replaced_there(
    service: OAuth, chain_of: Callable[..., Chain], tmp_path: Path
) -> None:
    service.rotates = True
    file = private(tmp_path / "refresh", f"{FIRST_REFRESH_TOKEN}\n")
    chain = chain_of(refresh_token_file=str(file))
    secret_of(chain.find("https", service.authority))
    assert file.read_text() != f"{FIRST_REFRESH_TOKEN}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(("refresh", ".r"))) == [
        "refresh",
        "refresh.lock",
    ]
    secret_of(chain_of(refresh_token_file=str(file)).find("https", service.authority))


def test_several_processes_do_not_use_one_refresh_token_twice(
    service: OAuth, chain_of: Callable[..., Chain]
) -> None:
    service.rotates = True
    chains = [chain_of(refresh_token=FIRST_REFRESH_TOKEN) for _ in range(6)]
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda c=chain: found.append(secret_of(c.find("https", service.authority))))
        for chain in chains
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(found)) == 6


def test_a_replacement_that_cannot_be_kept_is_told(
    service: OAuth, chain_of: Callable[..., Chain], tmp_path: Path
) -> None:
    service.rotates = True
    (tmp_path / ".local").write_text("in the way")
    warnings: list[str] = []
    chain = chain_of(refresh_token=FIRST_REFRESH_TOKEN, policy=Policy(warn=warnings.append))
    secret_of(chain.find("https", service.authority))
    (warning,) = warnings
    assert "may need a new login" in warning and "canary" not in warning


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((400, {"error": "invalid_grant", "error_description": "canary"}), r"400 \(invalid_grant\)"),
        ((401, {"error": "invalid_client"}), r"401 \(invalid_client\)"),
        ((200, {"token": "canary"}), "refused: 200"),
        ((503, {}), "refused: 503"),
    ],
)
def test_a_refusing_endpoint_is_told_and_asked_once(
    service: OAuth, chain_of: Callable[..., Chain], answer: tuple[int, dict[str, object]], words: str
) -> None:
    service.answer = answer
    chain = chain_of(refresh_token=FIRST_REFRESH_TOKEN)
    for _ in range(3):
        with pytest.raises(MissingCredential, match=words) as caught:
            chain.find("https", service.authority)
        assert "canary" not in caught.value.what + caught.value.remedy
        assert service.token_url in caught.value.what
    assert len(service.grants) == 1


def test_a_token_endpoint_is_not_followed_elsewhere(
    service: OAuth, chain_of: Callable[..., Chain], tls_files: TlsFiles
) -> None:
    with oauth(tls_files.server) as other:
        service.redirect = other.token_url
        with pytest.raises(MissingCredential, match="refused: 307"):
            chain_of(refresh_token=FIRST_REFRESH_TOKEN).find("https", service.authority)
        assert other.grants == []


def test_a_token_endpoint_must_be_https_and_verified(
    service: OAuth, chain_of: Callable[..., Chain], environment: dict[str, str], tls_files: TlsFiles
) -> None:
    with pytest.raises(Misconfigured, match="is not https"):
        chain_of(refresh_token="canary", token_url="http://127.0.0.1:1/").find("https", service.authority)
    environment["SSL_CERT_FILE"] = str(tls_files.wrong_ca)
    with pytest.raises(MissingCredential, match=r"cannot be reached: .*certificate") as caught:
        chain_of(refresh_token="canary").find("https", service.authority)
    assert service.grants == [] and "canary" not in caught.value.what


# After a 401


def moved(
    service: OAuth, chain: Chain, environment: dict[str, str], folder: Path, count: int = 1
) -> list[Status]:
    """Reads `count` files from the service, all at once."""
    for number in range(count):
        service.files[f"/data/{number}"] = b"x" * 1000
    requests = tuple(
        transfer(number, f"{service.url}/data/{number}", folder / str(number)) for number in range(count)
    )
    settings = Settings(workers=count, rounds=1, back_off=0.001, back_off_most=0.002)
    report = run(plan(Batch(requests), settings), credentials=chain, environment=environment)
    failed = {outcome.request.number for outcome in report.failures}
    return [Status.FAILED if number in failed else Status.DONE for number in range(count)]


def test_a_401_causes_one_renewal_for_all_workers_together(
    service: OAuth, chain_of: Callable[..., Chain], environment: dict[str, str], tmp_path: Path
) -> None:
    chain = chain_of(refresh_token=FIRST_REFRESH_TOKEN)
    secret_of(chain.find("https", service.authority))
    service.revoke_all()
    assert moved(service, chain, environment, tmp_path, 16) == [Status.DONE] * 16
    assert len(service.grants) == 2
    assert service.refused >= 1


def test_a_renewed_credential_that_is_refused_too_is_not_renewed_for_ever(
    service: OAuth, chain_of: Callable[..., Chain], environment: dict[str, str], tmp_path: Path
) -> None:
    service.answer = (200, {"access_token": "canary-that-opens-nothing", "expires_in": 3600})
    assert moved(service, chain_of(refresh_token="x"), environment, tmp_path, 6) == [Status.FAILED] * 6
    assert len(service.grants) <= 2


def test_a_token_file_is_read_again_after_a_401(
    service: OAuth, environment: dict[str, str], tmp_path: Path
) -> None:
    path = private(tmp_path / "token", service.new_token())
    chain = standard_chain(environment | {"BEARER_TOKEN_FILE": str(path)})
    old = chain.find("https", service.authority)
    service.revoke_all()
    rewrite(path, service.new_token())
    renewed = chain.renew(old, "401")
    assert renewed != old and service.opens(f"Bearer {secret_of(renewed)}")


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_an_upload_that_is_refused_begins_again_with_a_new_token(
    service: OAuth, chain_of: Callable[..., Chain], environment: dict[str, str], tmp_path: Path, size: int
) -> None:
    chain = chain_of(refresh_token=FIRST_REFRESH_TOKEN)
    secret_of(chain.find("https", service.authority, purpose="write"))
    service.revoke_all()
    (tmp_path / "f").write_bytes(bytes(size))
    request = transfer(0, tmp_path / "f", f"{service.url}/data/f")
    report = run(plan(Batch((request,)), Settings(rounds=1)), credentials=chain, environment=environment)
    assert report.ok, report.failures
    assert (service.refused, len(service.grants)) == (1, 2)
    assert service.files["/data/f"] == bytes(size)


def test_a_failing_renewal_is_what_the_failure_tells(
    service: OAuth, chain_of: Callable[..., Chain], environment: dict[str, str], tmp_path: Path
) -> None:
    chain = chain_of(refresh_token=FIRST_REFRESH_TOKEN)
    secret_of(chain.find("https", service.authority))
    service.revoke_all()
    service.answer = (400, {"error": "invalid_grant"})
    service.files["/data/f"] = b"x"
    request = transfer(0, f"{service.url}/data/f", tmp_path / "f")
    report = run(plan(Batch((request,)), Settings(rounds=1)), credentials=chain, environment=environment)
    assert int(report.exit) == 77
    error = report.failures[0].error
    assert error is not None and error.code == "missing-credential" and "invalid_grant" in error.what
    assert len(service.grants) == 2


def test_a_plan_makes_no_token(service: OAuth, chain_of: Callable[..., Chain]) -> None:
    chain = chain_of(refresh_token=FIRST_REFRESH_TOKEN)
    assert chain.name("https", service.authority) == service.authority
    assert Chain((chain,)).name("https", service.authority) == service.authority
    assert service.grants == []

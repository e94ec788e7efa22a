"""Which token is presented: discovery in its order, and the choice by issuer, audience, scope and path."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from credentials_made import private, token
from wf.credentials.chain import standard_chain
from wf.credentials.claims import claims_of
from wf.credentials.errors import MissingCredential, UnsafeFile
from wf.credentials.kinds import Anonymous, Basic, Bearer, Credential

HOST = "se.example.org"
ANY = "https://wlcg.cern.ch/jwt/v1/any"


def find(
    environment: dict[str, str],
    *,
    scheme: str = "https",
    host: str = HOST,
    site: str = "",
    purpose: str = "read",
    path: str = "",
    file: str = "",
) -> Credential:
    return standard_chain(environment, file=file).find(scheme, host, site, purpose=purpose, path=path)


def told(credential: Credential) -> str:
    """The subject of the token that is presented."""
    assert isinstance(credential, Bearer), credential.origin
    claims = claims_of(credential.token.reveal())
    return claims.subject if claims else credential.token.reveal()


@pytest.fixture
def condor(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "creds").mkdir()
    return {"_CONDOR_CREDS": str(tmp_path / "creds")}


def use(condor: dict[str, str], name: str, content: str) -> None:
    private(Path(condor["_CONDOR_CREDS"]) / f"{name}.use", content)


def test_wlcg_discovery_asks_in_its_order(tmp_path: Path) -> None:
    named = private(tmp_path / "named", "from-the-file\n")
    private(tmp_path / f"bt_u{os.geteuid()}", " from-the-runtime-folder \n")
    environment = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert told(find(environment)) == "from-the-runtime-folder"
    environment["BEARER_TOKEN_FILE"] = str(named)
    assert told(find(environment)) == "from-the-file"
    environment["BEARER_TOKEN"] = "from-the-variable"
    assert told(find(environment)) == "from-the-variable"


def test_the_last_place_of_discovery_is_tmp() -> None:
    looked = find({}).origin
    assert f"/tmp/bt_u{os.geteuid()}" in looked


def test_a_token_for_this_host_wins_over_an_earlier_one_for_anybody(tmp_path: Path) -> None:
    general = token(sub="general", aud=ANY)
    exact = private(tmp_path / "t", token(sub="exact", aud=f"https://{HOST}"))
    environment = {"BEARER_TOKEN": general, "BEARER_TOKEN_FILE": str(exact)}
    assert told(find(environment)) == "exact"
    assert told(find(environment, host="other.example.org")) == "general"


def test_an_expired_token_is_passed_over_and_told(tmp_path: Path) -> None:
    later = private(tmp_path / "t", token(sub="later"))
    environment = {"BEARER_TOKEN": token(sub="old", lasts=-7200)}
    found = find(environment)
    assert isinstance(found, Anonymous) and "BEARER_TOKEN (it expired 2 hours ago)" in found.origin
    assert told(find(environment | {"BEARER_TOKEN_FILE": str(later)})) == "later"


@pytest.mark.parametrize(
    ("reads", "writes"),
    [
        ("storage.read:/", "storage.modify:/"),
        ("read:/", "write:/"),
        ("storage.stage:/", "storage.create:/"),
    ],
)
def test_the_purpose_decides_between_tokens(tmp_path: Path, reads: str, writes: str) -> None:
    writer = private(tmp_path / "t", token(sub="writer", scope=writes))
    environment = {"BEARER_TOKEN": token(sub="reader", scope=reads), "BEARER_TOKEN_FILE": str(writer)}
    assert told(find(environment)) == "reader"
    assert told(find(environment, purpose="write")) == "writer"
    del environment["BEARER_TOKEN_FILE"]
    found = find(environment, purpose="write")
    assert isinstance(found, Anonymous) and "its scope does not allow to write" in found.origin


def test_the_path_decides_between_tokens(condor: dict[str, str]) -> None:
    use(condor, "a_cms", token(sub="cms", scope="storage.read:/cms", aud=ANY))
    use(condor, "b_atlas", token(sub="atlas", scope="storage.read:/atlas", aud=ANY))
    assert told(find(condor, path="/cms/a%20b?x=/atlas")) == "cms"
    assert told(find(condor, path="/atlas/f")) == "atlas"
    assert find(condor, path="/atlas/f").by_path
    # A service may put the paths of a token below a folder of its own.
    assert told(find(condor, path="/store/atlas/f")) == "atlas"
    nobody = find(condor, path="/lhcb/f")
    assert isinstance(nobody, Anonymous) and "does not allow to read this path" in nobody.origin
    assert isinstance(find(condor, path="/atlas-of-somebody-else/f"), Anonymous)


def test_the_issuer_that_the_file_names_decides(condor: dict[str, str], tmp_path: Path) -> None:
    use(condor, "a", token(sub="one", iss="https://one.example", scope="storage.read:/"))
    use(condor, "b", token(sub="two", iss="https://two.example/", scope="storage.read:/"))
    conf = private(tmp_path / "c.conf", f"[{HOST}]\nissuer = https://two.example\n")
    assert told(find(condor)) == "one"
    assert told(find(condor, file=str(conf))) == "two"
    opaque = find({"BEARER_TOKEN": "opaque"}, file=str(conf))
    assert isinstance(opaque, Anonymous) and "does not tell its issuer" in opaque.origin


def test_the_audience_that_the_file_names_decides(condor: dict[str, str], tmp_path: Path) -> None:
    use(condor, "a", token(sub="any", aud=ANY, scope="storage.read:/"))
    use(condor, "b", token(sub="ours", aud="storage-of-osn", scope="storage.read:/"))
    conf = private(tmp_path / "c.conf", "[osn]\naudience = storage-of-osn\n")
    assert told(find(condor, site="osn", file=str(conf))) == "ours"


def test_condor_keeps_a_token_for_a_site_by_its_name(condor: dict[str, str]) -> None:
    use(condor, "my_site", json.dumps({"access_token": "for-my-site", "expires_in": 1200}))
    use(condor, "zzz", token(sub="storage", scope="storage.read:/"))
    assert told(find(condor, site="my-site")) == "for-my-site"
    assert told(find(condor, site="other")) == "storage"


def test_of_several_handles_of_a_service_the_one_that_fits_is_taken(condor: dict[str, str]) -> None:
    use(condor, "osdf_read", token(sub="reader", scope="read:/"))
    use(condor, "osdf_write", token(sub="writer", scope="write:/"))
    assert told(find(condor, site="osdf")) == "reader"
    assert told(find(condor, site="osdf", purpose="write")) == "writer"


def test_a_token_of_another_kind_of_service_is_shown_to_nobody(condor: dict[str, str]) -> None:
    use(condor, "box", "opaque-token-of-a-web-service")
    use(condor, "mail", token(sub="mail", scope="mail.send"))
    assert isinstance(find(condor), Anonymous)


def test_a_token_file_nobody_named_that_others_can_read_is_passed_over(tmp_path: Path) -> None:
    path = private(tmp_path / f"bt_u{os.geteuid()}", "t")
    path.chmod(0o644)
    found = find({"XDG_RUNTIME_DIR": str(tmp_path)})
    assert isinstance(found, Anonymous)
    assert f"{path} holds credentials and others can read or change it (mode 0644): not used" in found.origin
    with pytest.raises(UnsafeFile):
        find({"BEARER_TOKEN_FILE": str(path)})


def test_a_token_file_that_was_named_and_is_not_there_is_told() -> None:
    with pytest.raises(MissingCredential, match="BEARER_TOKEN_FILE names /no/such"):
        find({"BEARER_TOKEN_FILE": "/no/such"})


def test_both_ends_of_a_transfer_get_their_own() -> None:
    environment = {"BEARER_TOKEN_one": "first", "BEARER_TOKEN_the_other": "second"}
    assert told(find(environment, site="one")) == "first"
    assert told(find(environment, site="the-other", purpose="write")) == "second"


def test_one_host_can_have_another_credential_for_writing(tmp_path: Path) -> None:
    conf = private(tmp_path / "c.conf", f"[{HOST}]\nusername = u\npassword = p\nwrite.token = w\n")
    assert isinstance(find({}, file=str(conf)), Basic)
    assert told(find({}, file=str(conf), purpose="write")) == "w"


def test_an_answer_tells_when_it_ends() -> None:
    text = token()
    claims = claims_of(text)
    assert claims is not None
    assert find({"BEARER_TOKEN": text}).expires == claims.expires
    assert find({"BEARER_TOKEN": "opaque"}).expires is None


def test_xrootd_takes_tokens_and_ftp_does_not() -> None:
    assert told(find({"BEARER_TOKEN": "t"}, scheme="roots")) == "t"
    assert isinstance(find({"BEARER_TOKEN": "t"}, scheme="ftp"), Anonymous)

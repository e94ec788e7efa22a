"""Which token is presented to a data federation: where it is looked for, and how its director's words decide."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlencode

import pytest
from credentials_made import private, token
from wf.credentials.chain import standard_chain
from wf.credentials.claims import claims_of
from wf.credentials.errors import MissingCredential
from wf.credentials.kinds import Anonymous, Bearer, Credential

ISSUER = "https://issuer.example/ligo"


def find(
    environment: dict[str, str],
    path: str = "/ligo/data/frame",
    *,
    issuers: tuple[str, ...] = (),
    base: str = "",
    name: str = "",
    purpose: str = "read",
    scheme: str = "osdf",
) -> Credential:
    hints = [("issuer", one) for one in issuers] + [("base-path", base), ("token", name)]
    text = f"{path}?{urlencode([(key, value) for key, value in hints if value])}"
    return standard_chain(environment).find(scheme, "osg-htc.org", purpose=purpose, path=text)


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


def test_discovery_is_that_of_all_services_and_then_pelicans(tmp_path: Path, condor: dict[str, str]) -> None:
    def one(name: str) -> str:
        return token(sub=name, scope="storage.read:/")

    environment = dict(condor)
    use(condor, "another", one("another"))
    assert told(find(environment)) == "another"
    use(condor, "scitokens", one("scitokens"))
    assert told(find(environment)) == "scitokens"
    environment["TOKEN"] = str(private(tmp_path / "pelican", one("TOKEN")))
    assert told(find(environment)) == "TOKEN"
    environment["XDG_RUNTIME_DIR"] = str(tmp_path)
    private(tmp_path / f"bt_u{__import__('os').geteuid()}", one("runtime"))
    assert told(find(environment)) == "runtime"
    environment["BEARER_TOKEN_FILE"] = str(private(tmp_path / "wlcg", one("BEARER_TOKEN_FILE")))
    assert told(find(environment)) == "BEARER_TOKEN_FILE"
    environment["BEARER_TOKEN"] = one("BEARER_TOKEN")
    assert told(find(environment)) == "BEARER_TOKEN"


def test_a_credential_monitors_json_is_taken_for_its_token(condor: dict[str, str]) -> None:
    use(
        condor,
        "scitokens",
        json.dumps({"access_token": token(sub="json", scope="storage.read:/"), "expires_in": 60}),
    )
    assert told(find(condor)) == "json"


def test_the_jobs_folder_is_looked_at_where_the_variable_is_not_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".condor_creds").mkdir()
    private(tmp_path / ".condor_creds" / "scitokens.use", token(sub="job", scope="storage.read:/"))
    monkeypatch.chdir(tmp_path)
    assert told(find({})) == "job"
    assert isinstance(find({"_CONDOR_CREDS": "/nowhere"}), Anonymous)
    web = standard_chain({}).find("https", "se.example.org", path="/x")
    assert isinstance(web, Anonymous), "TOKEN and .condor_creds are for federations only"


def test_what_token_names_by_chance_is_passed_over(tmp_path: Path) -> None:
    found = find({"TOKEN": "not-a-file-but-some-secret"})
    assert isinstance(found, Anonymous)


def test_the_issuer_decides(tmp_path: Path, condor: dict[str, str]) -> None:
    use(condor, "cms", token(sub="cms", iss="https://issuer.example/cms", scope="storage.read:/"))
    use(condor, "ligo", token(sub="ligo", iss=ISSUER, scope="storage.read:/"))
    assert told(find(condor, issuers=(ISSUER,))) == "ligo"
    assert told(find(condor, issuers=("https://nobody.example", "https://issuer.example/cms/"))) == "cms"
    nobody = find(condor, issuers=("https://nobody.example",))
    assert isinstance(nobody, Anonymous)
    assert "another issuer made it, not https://nobody.example" in nobody.origin


def test_paths_in_tokens_are_below_the_base_path(condor: dict[str, str]) -> None:
    use(condor, "a", token(sub="other", iss=ISSUER, scope="storage.read:/other storage.read:/ligo"))
    use(condor, "b", token(sub="data", iss=ISSUER, scope="storage.read:/data"))
    assert told(find(condor, issuers=(ISSUER,), base="/ligo")) == "data"
    assert told(find(condor, "/ligo/other/x", issuers=(ISSUER,), base="/ligo/")) == "other"
    nobody = find(condor, "/ligo/database/x", issuers=(ISSUER,), base="/ligo")
    assert isinstance(nobody, Anonymous) and "does not allow to read this path" in nobody.origin


def test_the_purpose_decides(condor: dict[str, str]) -> None:
    use(condor, "a", token(sub="reader", iss=ISSUER, scope="storage.read:/"))
    use(condor, "b", token(sub="writer", iss=ISSUER, scope="storage.create:/"))
    assert told(find(condor, issuers=(ISSUER,))) == "reader"
    assert told(find(condor, issuers=(ISSUER,), purpose="write")) == "writer"


def test_an_audience_of_another_host_does_not_matter(condor: dict[str, str]) -> None:
    """Tokens of federations name the origin; which cache serves nobody knew."""
    use(condor, "a", token(sub="a", iss=ISSUER, scope="storage.read:/", aud="https://origin.example:1094"))
    assert told(find(condor, issuers=(ISSUER,))) == "a"


def test_every_answer_depends_on_the_path(condor: dict[str, str]) -> None:
    use(condor, "a", token(sub="a", iss=ISSUER, scope="storage.read:/"))
    assert find(condor).by_path


@pytest.mark.parametrize("name", ["ligo_frames", "ligo.frames", "LIGO_frames"])
def test_a_url_can_name_its_token(condor: dict[str, str], name: str) -> None:
    use(condor, "ligo_frames", token(sub="named", iss="https://elsewhere.example"))
    use(condor, "scitokens", token(sub="general", iss=ISSUER, scope="storage.read:/"))
    environment = {**condor, "BEARER_TOKEN": token(sub="variable", scope="storage.read:/")}
    assert told(find(environment, issuers=(ISSUER,), name=name)) == "named"
    assert told(standard_chain(environment).find(f"{name.lower().replace('_', '.')}+osdf", "")) == "named"


def test_a_named_token_that_is_not_there_is_not_replaced_by_another(condor: dict[str, str]) -> None:
    use(condor, "scitokens", token(sub="general", scope="storage.read:/"))
    with pytest.raises(MissingCredential, match="asks for the token 'ligo'") as caught:
        find(condor, name="ligo")
    assert "ligo.use" in caught.value.what and "general" not in caught.value.what

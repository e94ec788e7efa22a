"""What is presented to whom."""

from __future__ import annotations

import base64
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from wf.credentials.chain import standard_chain
from wf.credentials.errors import CredentialError, Misconfigured, MissingCredential, UnsafeFile
from wf.credentials.kinds import AccessKey, Anonymous, Basic, Bearer, Certificate, Credential, Headers, Secret

Conf = Callable[[str], str]


@pytest.fixture
def conf(tmp_path: Path) -> Conf:
    def write(text: str) -> str:
        path = tmp_path / "credentials.conf"
        path.write_text(text)
        path.chmod(0o600)
        return str(path)

    return write


def find(scheme: str, host: str = "", site: str = "", *, file: str = "", **environment: str) -> Credential:
    return standard_chain(environment, file=file).find(scheme, host, site)


OSN = (
    "[osn]\nendpoint = https://osn.example.org\nregion = r1\n[alice@osn]\naccess_key = AK\nsecret_key = S%K\n"
)


def test_a_user_at_a_site_gets_keys_and_endpoint_from_the_file(conf: Conf) -> None:
    found = find("s3", "alice@osn", file=conf(OSN))
    assert isinstance(found, AccessKey)
    assert (found.access_key, found.secret_key.reveal()) == ("AK", "S%K")
    assert (found.endpoint, found.region, found.name) == ("https://osn.example.org", "r1", "alice@osn")
    assert found.origin == f"[alice@osn] of {conf(OSN)}"


def test_two_users_of_a_site_get_their_own_keys(conf: Conf) -> None:
    text = OSN + "[bob@osn]\naccess_key = BK\nsecret_key = BS\nsession_token = T\naddressing = virtual\n"
    found = find("s3", "bob@osn", file=conf(text))
    assert isinstance(found, AccessKey)
    assert found.session_token is not None and found.session_token.reveal() == "T"
    assert (found.access_key, found.addressing, found.endpoint) == (
        "BK",
        "virtual",
        "https://osn.example.org",
    )


def test_the_keys_of_another_user_are_not_used(conf: Conf) -> None:
    text = "[osn]\nendpoint = https://e\naccess_key = SITE\nsecret_key = S\n[bob@osn]\naccess_key = B\nsecret_key = S\n"
    with pytest.raises(MissingCredential, match=r"alice@osn needs an access key for site 'osn'"):
        find("s3", "alice@osn", file=conf(text))


def test_a_missing_key_says_everywhere_it_was_looked_for(conf: Conf, tmp_path: Path) -> None:
    path = conf("[osn]\nendpoint = https://e\n")
    with pytest.raises(MissingCredential) as caught:
        find("s3", "alice@osn", "label", file=path, HOME=str(tmp_path))
    assert caught.value.what == (
        "s3://alice@osn needs an access key for site 'osn': looked in AWS_ACCESS_KEY_ID_osn, "
        f"[alice@osn] of {path} (not there), {tmp_path}/.config/wf-transfer/credentials.toml (not there), "
        f"{tmp_path}/.pegasus/credentials.conf (not there)"
    )
    assert "AWS_ACCESS_KEY_ID_osn" in caught.value.remedy


def test_a_site_without_endpoint_is_a_configuration_error(conf: Conf) -> None:
    with pytest.raises(Misconfigured, match="site 'osn' has no endpoint"):
        find("s3", "alice@osn", file=conf("[alice@osn]\naccess_key = A\nsecret_key = S\n"))


def test_half_a_key_pair_is_a_configuration_error(conf: Conf) -> None:
    with pytest.raises(Misconfigured, match="has no secret_key"):
        find("s3", "a@osn", file=conf("[osn]\nendpoint=https://e\n[a@osn]\naccess_key = A\n"))
    with pytest.raises(Misconfigured, match="AWS_SECRET_ACCESS_KEY is not set"):
        find("s3", AWS_ACCESS_KEY_ID="A")


def test_variables_of_the_site_win_and_a_dash_is_written_as_an_underscore(conf: Conf) -> None:
    path = conf("[my-site]\nendpoint = http://e:1\n[u@my-site]\naccess_key = F\nsecret_key = F\n")
    site = {"AWS_ACCESS_KEY_ID_my_site": "E", "AWS_SECRET_ACCESS_KEY_my_site": "S"}
    found = find("s3", "u@my-site", file=path, **site)
    assert isinstance(found, AccessKey)
    assert (found.access_key, found.endpoint, found.name) == ("E", "http://e:1", "AWS_ACCESS_KEY_ID_my_site")
    found = find("s3", "u@my-site", file=path, AWS_ENDPOINT_URL_my_site="http://other", **site)
    assert isinstance(found, AccessKey) and found.endpoint == "http://other"


def test_the_general_variables_serve_urls_without_a_site_only(conf: Conf) -> None:
    general = {
        "AWS_ACCESS_KEY_ID": "A",
        "AWS_SECRET_ACCESS_KEY": "S",
        "AWS_SESSION_TOKEN": "T",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": "http://general",
        "AWS_ENDPOINT_URL_S3": "http://special",
    }
    found = find("s3", "", "label", **general)
    assert isinstance(found, AccessKey)
    assert (found.access_key, found.region, found.endpoint) == ("A", "eu-west-1", "http://special")
    with pytest.raises(MissingCredential):
        find("s3", "alice@osn", file=conf("[osn]\nendpoint = https://e\n"), **general)


def test_the_section_of_a_label_serves_its_urls_before_the_general_variables(conf: Conf) -> None:
    path = conf("[osn]\nendpoint = https://osn\naccess_key = SITE\nsecret_key = S\n")
    general = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S", "AWS_ENDPOINT_URL": "http://general"}
    found = find("s3", "", "osn", file=path, **general)
    assert isinstance(found, AccessKey) and (found.access_key, found.endpoint) == ("SITE", "https://osn")
    found = find("s3", "", "elsewhere", file=path, **general)
    assert isinstance(found, AccessKey) and (found.access_key, found.endpoint) == ("A", "http://general")


def test_public_buckets_can_be_read_without_a_signature(conf: Conf) -> None:
    for found in (
        find("s3", "x@pub", file=conf("[pub]\nendpoint = https://e\n[x@pub]\nanonymous = yes\n")),
        find("s3", AWS_NO_SIGN_REQUEST="true"),
    ):
        assert isinstance(found, AccessKey) and not found.access_key


@pytest.mark.parametrize(
    ("endpoint", "expected", "region"),
    [
        ("s3.eu-west-3.amazonaws.com", "https://s3.eu-west-3.amazonaws.com", "eu-west-3"),
        ("http://127.0.0.1:9000/", "http://127.0.0.1:9000", "us-east-1"),
        ("https://[::1]:9000/prefix/", "https://[::1]:9000/prefix", "us-east-1"),
    ],
)
def test_endpoints_are_brought_to_one_form(conf: Conf, endpoint: str, expected: str, region: str) -> None:
    text = f"[s]\nendpoint = {endpoint}\n[u@s]\naccess_key = A\nsecret_key = S\n"
    found = find("s3", "u@s", file=conf(text))
    assert isinstance(found, AccessKey) and (found.endpoint, found.region) == (expected, region)


@pytest.mark.parametrize("endpoint", ["ftp://h", "https://", "https://u:hunter2@h", "https://h?x=1", "a b"])
def test_an_endpoint_that_is_no_url_is_refused_without_showing_secrets(conf: Conf, endpoint: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        find("s3", "u@s", file=conf(f"[s]\nendpoint = {endpoint}\n[u@s]\naccess_key = A\nsecret_key = S\n"))
    assert "hunter2" not in caught.value.what


def test_boto3s_own_chain_is_asked_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("botocore")
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text("[work]\naws_access_key_id = PK\naws_secret_access_key = PS\n")
    (tmp_path / ".aws/config").write_text(
        "[profile work]\nregion = eu-north-1\nendpoint_url = http://127.0.0.1:1\n"
    )
    environment = {
        "HOME": str(tmp_path),
        "AWS_PROFILE": "work",
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / ".aws/credentials"),
        "AWS_CONFIG_FILE": str(tmp_path / ".aws/config"),
    }
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = standard_chain(environment).find("s3", "")
    assert isinstance(found, AccessKey)
    assert (found.access_key, found.region, found.endpoint) == ("PK", "eu-north-1", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(Misconfigured, match="boto3 found no credentials"):
        standard_chain(environment | {"AWS_PROFILE": "nobody"}).find("s3", "")


def test_a_plan_gets_the_name_without_importing_an_sdk(tmp_path: Path) -> None:
    code = (
        "import sys; from wf.credentials.chain import standard_chain\n"
        f"c = standard_chain({{'HOME': {str(tmp_path)!r}, 'AWS_PROFILE': 'x'}})\n"
        "print(c.name('s3', ''), c.name('s3', 'a@b'), c.name('https', 'h'), c.name('file', ''))\n"
        "sys.exit(any(m.startswith('boto') for m in sys.modules))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert (run.stdout, run.returncode) == ("boto3 missing anonymous anonymous\n", 0)


# Hosts


def jwt(**claims: object) -> str:
    pieces = ({"alg": "none"}, claims)
    return (
        ".".join(
            base64.urlsafe_b64encode(json.dumps(piece).encode()).decode().rstrip("=") for piece in pieces
        )
        + ".s"
    )


def test_nothing_configured_is_anonymous_and_says_where_it_looked() -> None:
    found = find("https", "h.example.org", "s")
    assert isinstance(found, Anonymous)
    assert "BEARER_TOKEN_s" in found.origin and "BEARER_TOKEN" in found.origin
    assert isinstance(find("file"), Anonymous)


def test_header_fields_of_a_host_keep_their_spelling_and_are_bound_to_scheme_and_port(conf: Conf) -> None:
    path = conf(
        "[https://data.org:8443]\nheader.X-Auth = Token a%b: c\n[data.org]\nusername = u\npassword = p\n"
    )
    found = find("https", "Data.org:8443", file=path)
    assert isinstance(found, Headers)
    assert [(name, value.reveal()) for name, value in found.fields] == [("X-Auth", "Token a%b: c")]
    assert isinstance(find("http", "data.org:8443", file=path), Anonymous)
    assert isinstance(find("https", "data.org", file=path), Basic)
    assert isinstance(find("https", "data.org:443", file=path), Basic)
    assert isinstance(find("http", "data.org", file=path), Basic)
    assert isinstance(find("https", "sub.data.org", file=path), Anonymous)


def test_a_section_with_several_things_becomes_header_fields(conf: Conf) -> None:
    found = find("https", "h", file=conf("[h]\nheader.X-A = 1\nusername = u\npassword = p\n"))
    assert isinstance(found, Headers)
    assert [(name, value.reveal()) for name, value in found.fields] == [
        ("X-A", "1"),
        ("Authorization", "Basic " + base64.b64encode(b"u:p").decode()),
    ]


def test_a_header_that_could_split_the_request_is_refused(conf: Conf) -> None:
    with pytest.raises(Misconfigured, match="control character"):
        find("https", "h", file=conf("[h]\nheader.X-A = 1\rX-B: 2\n"))
    with pytest.raises(Misconfigured, match="not the name of a header"):
        find("https", "h", file=conf("[h]\nheader.X A = 1\n"))


def test_a_token_goes_over_tls_only() -> None:
    found = find("https", "h", "s", BEARER_TOKEN_s="site-token", BEARER_TOKEN="general")
    assert isinstance(found, Bearer) and found.token.reveal() == "site-token"
    found = find("davs", "h", "other", BEARER_TOKEN_s="site-token", BEARER_TOKEN=" general\n")
    assert isinstance(found, Bearer) and found.token.reveal() == "general"
    for scheme in ("http", "webdav", "ftp"):
        found = find(scheme, "h", "s", BEARER_TOKEN_s="site-token", BEARER_TOKEN="general")
        assert isinstance(found, Anonymous)
        assert "not sent without TLS" in found.origin and "general" not in found.origin


def test_a_token_for_a_host_may_be_configured_without_tls(conf: Conf) -> None:
    found = find("http", "127.0.0.1:8000", file=conf("[127.0.0.1:8000]\ntoken = abc\n"))
    assert isinstance(found, Bearer) and found.token.reveal() == "abc"


def test_what_a_host_was_given_wins_over_a_general_token(conf: Conf) -> None:
    found = find("https", "h", file=conf("[h]\nusername = u\npassword = p\n"), BEARER_TOKEN="general")
    assert isinstance(found, Basic)


def test_a_general_token_is_not_shown_to_a_host_it_is_not_meant_for() -> None:
    mine = jwt(aud=["https://se.example.org:8443", "other.org"])
    assert isinstance(find("https", "se.example.org:8443", BEARER_TOKEN=mine), Bearer)
    assert isinstance(find("https", "public.example.com", BEARER_TOKEN=mine), Anonymous)
    for aud in ("https://wlcg.cern.ch/jwt/v1/any", "ANY", "dcache", []):
        assert isinstance(find("https", "h.org", BEARER_TOKEN=jwt(aud=aud)), Bearer)
    assert isinstance(find("https", "h.org", "s", BEARER_TOKEN_s=mine), Bearer)


def test_a_token_file_must_be_private_and_hold_one_token(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("abc\n")
    path.chmod(0o600)
    found = find("https", "h", BEARER_TOKEN_FILE=str(path))
    assert isinstance(found, Bearer) and found.token.reveal() == "abc"
    path.write_text("abc def hunter2")
    with pytest.raises(Misconfigured) as caught:
        find("https", "h", BEARER_TOKEN_FILE=str(path))
    assert "hunter2" not in caught.value.what
    path.chmod(0o644)
    with pytest.raises(UnsafeFile):
        find("https", "h", BEARER_TOKEN_FILE=str(path))


def test_a_proxy_of_the_site_is_presented_over_tls(tmp_path: Path) -> None:
    path = tmp_path / "proxy.pem"
    path.touch(0o600)
    found = find("https", "h", "my-site", X509_USER_PROXY_my_site=str(path))
    assert isinstance(found, Certificate) and found.certificate == found.key == str(path)
    assert isinstance(find("http", "h", "my-site", X509_USER_PROXY_my_site=str(path)), Anonymous)
    assert isinstance(find("https", "h", X509_USER_PROXY=str(path)), Certificate)
    path.unlink()
    with pytest.raises(MissingCredential, match=r"proxy\.pem is not there"):
        find("https", "h", "my-site", X509_USER_PROXY_my_site=str(path))
    assert isinstance(find("https", "h", X509_USER_PROXY=str(path)), Anonymous)


def test_user_and_password_of_a_url_are_decoded() -> None:
    found = find("https", "al%40ice:p%3Aw:x@h:1")
    assert isinstance(found, Basic) and (found.user, found.password.reveal()) == ("al@ice", "p:w:x")
    assert "p:w" not in repr(found)


def test_netrc_serves_its_machine_and_its_default_entry_nobody(tmp_path: Path) -> None:
    path = tmp_path / ".netrc"
    path.write_text("machine h.org login u password hunter2\ndefault login d password x\n")
    path.chmod(0o600)
    for scheme, host in (("https", "h.org"), ("ftp", "H.org:2121"), ("http", "u@h.org")):
        found = find(scheme, host, HOME=str(tmp_path))
        assert isinstance(found, Basic) and (found.user, found.password.reveal()) == ("u", "hunter2")
    assert isinstance(find("https", "other.org", HOME=str(tmp_path)), Anonymous)
    assert isinstance(find("https", "bob@h.org", NETRC=str(path)), Anonymous)
    path.chmod(0o644)
    assert isinstance(find("https", "other.org", HOME=str(tmp_path)), Anonymous)
    with pytest.raises(UnsafeFile):
        find("https", "h.org", HOME=str(tmp_path))


def test_a_netrc_that_makes_no_sense_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine h password\nhunter2 hunter2\n")
    path.chmod(0o600)
    found = find("https", "other", NETRC=str(path))
    assert isinstance(found, Anonymous) and "hunter2" not in found.origin


# The files


def test_files_are_looked_into_in_order(tmp_path: Path) -> None:
    def write(name: str, key: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"[osn]\nendpoint = https://e\n[a@osn]\naccess_key = {key}\nsecret_key = S\n")
        path.chmod(0o600)
        return str(path)

    environment = {"HOME": str(tmp_path)}
    seen = []
    for name, variable in (
        (".pegasus/credentials.conf", ""),
        ("general", "PEGASUS_CREDENTIALS"),
        ("site", "PEGASUS_CREDENTIALS_osn"),
    ):
        path = write(name, name.upper())
        if variable:
            environment[variable] = path
        found = standard_chain(environment).find("s3", "a@osn")
        assert isinstance(found, AccessKey)
        seen.append(found.access_key)
    found = standard_chain(environment, file=write("option", "OPTION")).find("s3", "a@osn")
    assert isinstance(found, AccessKey)
    assert [*seen, found.access_key] == [".PEGASUS/CREDENTIALS.CONF", "GENERAL", "SITE", "OPTION"]


def test_a_file_that_was_named_and_is_not_there_is_told() -> None:
    for scheme, host in (("s3", "a@osn"), ("https", "h")):
        with pytest.raises(
            MissingCredential, match=r"\$PEGASUS_CREDENTIALS names the credentials file /no/such"
        ):
            find(scheme, host, PEGASUS_CREDENTIALS="/no/such")


def test_a_file_that_others_can_read_serves_nobody(conf: Conf) -> None:
    path = conf(OSN)
    os.chmod(path, 0o644)
    for scheme, host in (("s3", "alice@osn"), ("https", "h")):
        with pytest.raises(UnsafeFile):
            find(scheme, host, file=path)
    assert isinstance(find("file", file=path), Anonymous)


def test_credentials_given_in_code_win(conf: Conf) -> None:
    mine = Bearer(Secret("x"), name="mine", origin="code")
    chain = standard_chain(
        {"BEARER_TOKEN": "general"}, explicit={"https://h": mine}, file=conf("[h]\ntoken = f\n")
    )
    assert chain.find("https", "h") is mine
    found = chain.find("http", "h")
    assert isinstance(found, Bearer) and found.token.reveal() == "f"


# The values


def test_no_kind_shows_its_secret() -> None:
    secret = Secret("hunter2")
    kinds: list[Credential] = [
        Basic("u", secret, name="n", origin="o"),
        Bearer(secret, name="n", origin="o"),
        Headers((("X", secret),), name="n", origin="o"),
        AccessKey("AK", secret, session_token=secret, name="n", origin="o"),
    ]
    for kind in kinds:
        assert "hunter2" not in f"{kind!r} {kind} {kind.__reduce_ex__}"
        with pytest.raises(TypeError):
            pickle.dumps(kind)
    assert f"{secret} {secret!r} {secret:>20}" == "Secret(***) Secret(***) Secret(***)"


def test_credentials_are_equal_by_what_they_present() -> None:
    one = AccessKey("A", Secret("s"), name="n", origin="o")
    assert one == AccessKey("A", Secret("s"), name="other", origin="elsewhere")
    assert one != AccessKey("A", Secret("t"), name="n", origin="o")
    assert len({one, AccessKey("A", Secret("s"), name="n", origin="o")}) == 1


def test_every_error_names_a_remedy() -> None:
    for scheme, host, environment in (
        ("s3", "", {}),
        ("s3", "a@osn", {}),
        ("s3", "", {"AWS_ACCESS_KEY_ID": "x"}),
        ("https", "h", {"BEARER_TOKEN": "a b"}),
    ):
        with pytest.raises(CredentialError) as caught:
            find(scheme, host, **environment)
        assert caught.value.remedy


def test_the_public_names_are_all_there_and_cost_nothing_before_they_are_used() -> None:
    import wf.credentials

    for name in wf.credentials.__all__:
        assert getattr(wf.credentials, name).__name__ == name
    with pytest.raises(AttributeError):
        wf.credentials.no_such_name  # noqa: B018 - the look-up is what is tested
    code = "import sys, wf.credentials; sys.exit(any(m.startswith('wf.credentials.') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0

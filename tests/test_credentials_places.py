"""Where the other kinds come from: real proxies, a real ssh-agent, Google, Globus, iRODS, the keyring, other distributions."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from credentials_made import certificate, private, proxy
from servers.process import binary, short_temporary_directory
from wf.credentials.chain import Chain, standard_chain
from wf.credentials.errors import CredentialError, Misconfigured, MissingCredential, UnsafeFile
from wf.credentials.kinds import (
    AccessKey,
    Anonymous,
    Basic,
    Bearer,
    Certificate,
    Credential,
    Globus,
    Google,
    Irods,
    Secret,
    SshAgent,
    SshKey,
)
from wf.credentials.query import Query


def find(
    scheme: str, host: str = "h.org", site: str = "", *, file: str = "", **environment: str
) -> Credential:
    return standard_chain(environment, file=file).find(scheme, host, site)


# X.509


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """user.pem with user.key, proxy.pem, and old.pem, which has expired."""
    folder = tmp_path_factory.mktemp("grid")
    certificate(folder, "user", "/DC=org/CN=Alice")
    proxy(folder, "user", "proxy")
    proxy(folder, "user", "old", days=-1)
    return folder


@pytest.mark.parametrize("scheme", ["gsiftp", "srm", "gsiscp", "gsidavs", "root", "xroots", "https", "davs"])
def test_each_site_has_its_own_proxy_and_a_general_one_serves_the_rest(grid: Path, scheme: str) -> None:
    environment = {
        "X509_USER_PROXY_my_site": str(grid / "proxy.pem"),
        "X509_USER_PROXY": str(grid / "proxy.pem"),
    }
    for site, name in (("my-site", "X509_USER_PROXY_my_site"), ("other", "X509_USER_PROXY")):
        found = find(scheme, "h.org", site, **environment)
        assert isinstance(found, Certificate)
        assert (found.name, found.certificate) == (name, str(grid / "proxy.pem"))
        assert found.expires is not None


def test_gsi_takes_the_proxy_of_a_site_and_the_web_its_token(grid: Path) -> None:
    environment = {"X509_USER_PROXY_s": str(grid / "proxy.pem"), "BEARER_TOKEN_s": "t"}
    assert isinstance(find("https", "h", "s", **environment), Bearer)
    assert isinstance(find("gsidavs", "h", "s", **environment), Certificate)
    assert isinstance(find("gsiftp", "h", "s", **environment), Certificate)


def test_a_certificate_and_its_key_may_be_two_files(grid: Path) -> None:
    environment = {"X509_USER_CERT": str(grid / "user.pem"), "X509_USER_KEY": str(grid / "user.key")}
    found = find("gsiftp", **environment)
    assert isinstance(found, Certificate)
    assert (found.certificate, found.key) == (str(grid / "user.pem"), str(grid / "user.key"))


def test_the_standard_places_come_last(grid: Path, tmp_path: Path) -> None:
    folder = tmp_path / ".globus"
    folder.mkdir()
    (folder / "usercert.pem").write_bytes((grid / "user.pem").read_bytes())
    private(folder / "userkey.pem", (grid / "user.key").read_text())
    found = find("gsiftp", HOME=str(tmp_path))
    assert isinstance(found, Certificate) and found.key == str(folder / "userkey.pem")
    (folder / "userkey.pem").chmod(0o644)
    with pytest.raises(MissingCredential, match=r"userkey\.pem holds credentials and others .*: not used"):
        find("gsiftp", HOME=str(tmp_path))


def test_an_encrypted_key_at_the_standard_place_is_passed_over(grid: Path, tmp_path: Path) -> None:
    folder = tmp_path / ".globus"
    folder.mkdir()
    (folder / "usercert.pem").write_bytes((grid / "user.pem").read_bytes())
    options = ("-aes128", "-passout", "pass:canary", "-in", grid / "user.key", "-out", folder / "userkey.pem")
    subprocess.run(["openssl", "ec", *options], check=True, capture_output=True)
    (folder / "userkey.pem").chmod(0o600)
    with pytest.raises(MissingCredential, match="has a pass phrase: make a proxy of it"):
        find("gsiftp", HOME=str(tmp_path))


def test_an_expired_general_proxy_is_presented_to_nobody(grid: Path) -> None:
    old = str(grid / "old.pem")
    with pytest.raises(MissingCredential, match=r"old\.pem \(expired\)") as caught:
        find("gsiftp", "h.org", "osn", X509_USER_PROXY=old)
    assert "gsiftp://h.org needs an X.509 proxy for site 'osn'" in caught.value.what
    assert "X509_USER_PROXY_osn" in caught.value.remedy
    assert isinstance(find("https", X509_USER_PROXY=old), Anonymous)


def test_a_proxy_that_was_made_anew_replaces_the_old_one(grid: Path, tmp_path: Path) -> None:
    path = private(tmp_path / "p.pem", (grid / "proxy.pem").read_text())
    chain = standard_chain({"X509_USER_PROXY": str(path)})
    first = chain.find("gsiftp", "h")
    new = private(tmp_path / "new.pem", (grid / "proxy.pem").read_text())
    new.replace(path)
    assert first.is_stale(0) and chain.find("gsiftp", "h") != first


# SSH


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """plain, plain-cert.pub, and locked, which has the pass phrase `canary`."""
    folder = tmp_path_factory.mktemp("ssh")
    for name, phrase in (("plain", ""), ("locked", "canary"), ("ca", "")):
        command = [binary("ssh-keygen"), "-q", "-t", "ed25519", "-N", phrase, "-f", folder / name]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    sign = [
        binary("ssh-keygen"),
        "-q",
        "-s",
        folder / "ca",
        "-I",
        "alice",
        "-n",
        "alice",
        folder / "plain.pub",
    ]
    subprocess.run(sign, check=True)
    return folder


@pytest.fixture
def agent() -> Iterator[str]:
    """The socket of a running ssh-agent without keys."""
    with short_temporary_directory() as folder:
        socket = f"{folder}/agent"
        process = subprocess.Popen(
            [binary("ssh-agent"), "-D", "-a", socket], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            assert process.stdout is not None
            process.stdout.readline()  # it prints the address when it listens
            yield socket
        finally:
            process.terminate()
            process.communicate(timeout=30)


def nothing(found: Credential) -> str:
    """Where it was looked for what is not there. The ssh program may know more ways: Kerberos, smart cards."""
    assert isinstance(found, Anonymous)
    return found.origin


def add_key(socket: str, key: Path) -> None:
    subprocess.run(
        [binary("ssh-add"), "-q", key], env={**os.environ, "SSH_AUTH_SOCK": socket}, check=True,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_each_site_has_its_own_ssh_key(keys: Path) -> None:
    environment = {"SSH_PRIVATE_KEY_my_site": str(keys / "plain"), "SSH_PRIVATE_KEY": str(keys / "ca")}
    for scheme in ("scp", "sftp", "sshftp"):
        found = find(scheme, "alice@h:22", "my-site", **environment)
        assert isinstance(found, SshKey) and found.private_key == str(keys / "plain")
        assert found.certificate == str(keys / "plain-cert.pub")
        found = find(scheme, "alice@h:22", "other", **environment)
        assert isinstance(found, SshKey) and (found.private_key, found.certificate) == (str(keys / "ca"), "")


def test_a_section_gives_key_and_pass_phrase(keys: Path, tmp_path: Path) -> None:
    text = f"[alice@h]\nprivate_key = {keys / 'locked'}\npassphrase = canary\n[b@h]\npassword = p\n"
    conf = str(private(tmp_path / "c.conf", text))
    found = find("sftp", "alice@h", file=conf)
    assert isinstance(found, SshKey) and found.passphrase == Secret("canary") and "canary" not in repr(found)
    assert isinstance(find("sftp", "b@h", file=conf), Basic)


def test_an_agent_is_used_if_it_holds_a_key(keys: Path, agent: str, tmp_path: Path) -> None:
    environment = {"SSH_AUTH_SOCK": agent, "HOME": str(tmp_path)}
    assert "SSH_AUTH_SOCK (holds no key)" in nothing(find("scp", "a@h", **environment))
    add_key(agent, keys / "plain")
    found = find("scp", "a@h", **environment)
    assert isinstance(found, SshAgent) and found.socket == agent
    assert "nobody answers there" in nothing(find("scp", "a@h", SSH_AUTH_SOCK="/no/such"))


def test_the_ssh_configuration_names_keys_for_hosts(keys: Path, agent: str, tmp_path: Path) -> None:
    add_key(agent, keys / "ca")
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text(
        "# comment\nHost !not.org *.org\n  User carol\n  IdentityFile ~/own\nHost open\n"
        f"IdentityFile={keys / 'locked'}\nHost *\n  User everybody\nMatch all\n  IdentityFile /no\n"
    )
    private(tmp_path / "own", (keys / "plain").read_text())
    environment = {"HOME": str(tmp_path), "SSH_AUTH_SOCK": agent}
    found = find("scp", "a@h.org:2222", **environment)
    assert isinstance(found, SshKey) and (found.private_key, found.user) == (str(tmp_path / "own"), "carol")
    for host in ("not.org", "open"):  # a key that wants a pass phrase is the agent's business
        found = find("scp", host, **environment)
        assert isinstance(found, SshAgent) and found.user == "everybody"


def test_a_default_key_comes_last_and_must_be_private(keys: Path, tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    path = private(tmp_path / ".ssh/id_ed25519", (keys / "plain").read_text())
    found = find("scp", "a@h", HOME=str(tmp_path))
    assert isinstance(found, SshKey) and found.private_key == str(path) and found.found_by_ssh
    named = find("scp", "a@h", HOME=str(tmp_path), SSH_PRIVATE_KEY=str(path))
    assert isinstance(named, SshKey) and not named.found_by_ssh
    path.chmod(0o640)
    os.chown(path, 12345, -1) if os.geteuid() == 0 else path.chmod(0o644)
    looked = nothing(find("scp", "a@h", HOME=str(tmp_path)))
    assert re.search(r"id_ed25519 holds credentials and .*: not used", looked)


def test_an_ssh_key_that_was_named_must_be_there_and_private(keys: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingCredential, match=r"\$SSH_PRIVATE_KEY_s=/no/such is not there"):
        find("scp", "a@h", "s", SSH_PRIVATE_KEY_s="/no/such")
    path = private(tmp_path / "k", "k")
    path.chmod(0o644)
    with pytest.raises(UnsafeFile):
        find("scp", "a@h", "s", SSH_PRIVATE_KEY_s=str(path))


# Google


def test_google_takes_documents_in_json(tmp_path: Path) -> None:
    for form in ("service_account", "authorized_user"):
        path = private(tmp_path / form, json.dumps({"type": form, "private_key": "canary"}))
        found = find("gs", "bucket", "my-site", GOOGLE_APPLICATION_CREDENTIALS_my_site=str(path))
        assert isinstance(found, Google) and found.form == form and "canary" not in repr(found)
        path.chmod(0o644)
        with pytest.raises(UnsafeFile):
            find("gs", "bucket", GOOGLE_APPLICATION_CREDENTIALS=str(path))


def test_a_configuration_for_workload_identity_is_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    path.write_text(json.dumps({"type": "external_account"}))
    path.chmod(0o644)
    found = find("gs", "bucket", GOOGLE_APPLICATION_CREDENTIALS=str(path))
    assert isinstance(found, Google) and found.form == "external_account"


def test_what_gcloud_left_is_found(tmp_path: Path) -> None:
    folder = tmp_path / ".config/gcloud"
    folder.mkdir(parents=True)
    private(folder / "application_default_credentials.json", '{"type": "authorized_user"}')
    assert isinstance(find("gs", "bucket", HOME=str(tmp_path)), Google)


def test_what_google_no_longer_takes_names_what_replaces_it(tmp_path: Path) -> None:
    boto = private(tmp_path / "boto", "[Credentials]\ngs_service_key_file = /x.p12\n")
    for environment in ({"GOOGLE_PKCS12_s": "/x.p12"}, {"BOTO_CONFIG_s": str(boto), "GOOGLE_PKCS12_s": "/x"}):
        with pytest.raises(MissingCredential, match="no longer read") as caught:
            find("gs", "bucket", "s", **environment)
        assert "set GOOGLE_APPLICATION_CREDENTIALS_s" in caught.value.remedy


def test_what_still_works_in_a_boto_file_is_used(tmp_path: Path) -> None:
    key = private(tmp_path / "key.json", '{"type": "service_account"}')
    boto = private(tmp_path / "boto", f"[Credentials]\ngs_service_key_file = {key}\n")
    found = find("gs", "bucket", BOTO_CONFIG=str(boto))
    assert isinstance(found, Google) and found.form == "service_account"
    private(
        boto,
        "[Credentials]\ngs_oauth2_refresh_token = canary%\n[OAuth2]\nclient_id = c\nclient_secret = s\n",
    )
    found = find("gs", "bucket", BOTO_CONFIG=str(boto))
    assert isinstance(found, Google)
    assert json.loads(found.document.reveal())["refresh_token"] == "canary%"


def test_an_emulator_is_told_no_secret(tmp_path: Path) -> None:
    key = private(tmp_path / "key.json", '{"type": "service_account"}')
    for host in ("http://127.0.0.1:1", "127.0.0.1:1"):
        found = find(
            "gs",
            "",
            STORAGE_EMULATOR_HOST=host,
            GOOGLE_CLOUD_PROJECT="proj",
            GOOGLE_APPLICATION_CREDENTIALS=str(key),
        )
        assert isinstance(found, Google)
        assert (found.form, found.endpoint, found.project) == ("anonymous", "http://127.0.0.1:1", "proj")
        assert not found.document


def test_the_project_is_the_documents_own_unless_another_is_named(tmp_path: Path) -> None:
    path = private(tmp_path / "key.json", '{"type": "service_account", "project_id": "own"}')
    variables = {"GOOGLE_APPLICATION_CREDENTIALS": str(path)}
    for more, project in (({}, "own"), ({"GOOGLE_CLOUD_PROJECT": "other"}, "other")):
        found = find("gs", "", **variables, **more)
        assert isinstance(found, Google) and found.project == project


def test_a_section_says_where_a_store_is_and_who_pays(tmp_path: Path) -> None:
    key = private(tmp_path / "key.json", '{"type": "service_account", "project_id": "own"}')
    path = private(
        tmp_path / "credentials.toml",
        f"""
        [site.paid]
        google-credentials = "{key}"
        endpoint = "https://gcs.example.org"
        project = "mine"
        user-project = "payer"
        [site.public]
        anonymous = true
        [site.emulated]
        anonymous = true
        endpoint = "http://127.0.0.1:1"
        """,
    )
    found = find("gs", "", "paid", WF_CREDENTIALS=str(path))
    assert isinstance(found, Google)
    told = (found.form, found.endpoint, found.project, found.user_project)
    assert told == ("service_account", "https://gcs.example.org", "mine", "payer")
    assert isinstance(find("gs", "", "public", WF_CREDENTIALS=str(path)), Anonymous)
    emulated = find("gs", "", "emulated", WF_CREDENTIALS=str(path))
    assert isinstance(emulated, Google)
    assert (emulated.form, emulated.endpoint) == ("anonymous", "http://127.0.0.1:1")


# Globus


def test_globus_takes_what_can_be_renewed_before_what_cannot(tmp_path: Path) -> None:
    client = {"GLOBUS_CLIENT_ID": "c", "GLOBUS_CLIENT_SECRET": "canary"}
    found = find("globus", "uuid", GLOBUS_ACCESS_TOKEN="a", **client)
    assert isinstance(found, Globus) and (found.form, found.client_id) == ("client", "c")
    for environment, form in (
        ({"GLOBUS_CLIENT_ID_s": "c", "GLOBUS_REFRESH_TOKEN_s": "r"}, "refresh"),
        ({"GLOBUS_ACCESS_TOKEN_s": "a"}, "access"),
        ({"GLOBUS_CLI_CLIENT_ID": "c", "GLOBUS_CLI_CLIENT_SECRET": "x"}, "client"),
    ):
        found = find("go", "uuid", "s", **environment)
        assert isinstance(found, Globus) and found.form == form
    with pytest.raises(Misconfigured, match="GLOBUS_CLIENT_ID is not"):
        find("globus", "uuid", GLOBUS_CLIENT_SECRET="x")
    conf = private(tmp_path / "c.toml", '[site.s]\nclient-id = "c"\nclient-secret = "x"\n')
    assert isinstance(find("globus", "uuid", "s", file=str(conf)), Globus)


def test_a_login_of_pegasus_serves_globus(tmp_path: Path) -> None:
    (tmp_path / ".pegasus").mkdir()
    path = private(
        tmp_path / ".pegasus/globus.conf",
        "[oauth]\nclient_id = c\ntransfer_at = a\ntransfer_rt = r\ntransfer_at_exp = 1\n",
    )
    found = find("go", "uuid", HOME=str(tmp_path))
    assert isinstance(found, Globus) and (found.form, found.secret) == ("refresh", Secret("r"))
    private(path, "[oauth]\ntransfer_at = a\ntransfer_at_exp = 17\n")
    found = find("go", "uuid", HOME=str(tmp_path))
    assert isinstance(found, Globus) and (found.form, found.expires) == ("access", 17.0)


# iRODS


def irods_file(folder: Path, **values: str) -> Path:
    path = folder / "irods.json"
    path.write_text(json.dumps({"irods_host": "h", "irods_user_name": "alice", **values}))
    path.chmod(0o644)
    return path


def test_irods_logs_in_with_what_iinit_wrote(tmp_path: Path) -> None:
    (tmp_path / ".irods").mkdir()
    secret = private(tmp_path / ".irods/.irodsA", "canary")
    path = irods_file(tmp_path, irods_authentication_scheme="pam_password")
    found = find("irods", "", "my-site", HOME=str(tmp_path), IRODS_ENVIRONMENT_FILE_my_site=str(path))
    assert isinstance(found, Irods)
    assert (found.form, found.authentication_file) == ("pam", str(secret))
    assert found.files == (str(path), str(secret))
    secret.chmod(0o644)
    with pytest.raises(UnsafeFile):
        find("irods", HOME=str(tmp_path), IRODS_ENVIRONMENT_FILE=str(path))


def test_a_password_or_a_ticket_in_the_environment_file_makes_it_a_secret(tmp_path: Path) -> None:
    path = irods_file(tmp_path, irodsPassword="canary", irodsTicket="canary-ticket")
    with pytest.raises(UnsafeFile):
        find("irods", IRODS_ENVIRONMENT_FILE=str(path))
    path.chmod(0o600)
    found = find("irods", IRODS_ENVIRONMENT_FILE=str(path))
    assert isinstance(found, Irods) and found.form == "ticket" and "canary" not in repr(found)


def test_a_section_gives_the_password_of_a_site(tmp_path: Path) -> None:
    path = irods_file(tmp_path)
    conf = private(tmp_path / "c.conf", f"[s]\nirods_environment_file = {path}\npassword = canary\n")
    found = find("irods", "", "s", file=str(conf))
    assert isinstance(found, Irods) and (found.form, found.password) == ("native", Secret("canary"))


def test_a_section_logs_in_to_an_irods_server_without_an_environment_file(tmp_path: Path) -> None:
    text = "[irods://h:1247]\nusername = alice\npassword = canary\n[irods://t:1247]\nticket = canary\n"
    conf = private(tmp_path / "c.conf", text)
    found = find("irods", "h:1247", "", file=str(conf))
    assert isinstance(found, Basic) and (found.user, found.password) == ("alice", Secret("canary"))
    found = find("irods", "alice@t:1247", "", file=str(conf))
    assert isinstance(found, Irods) and (found.form, found.environment_file) == ("ticket", "")


def test_an_irods_environment_that_makes_no_sense_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("canary")
    with pytest.raises(Misconfigured, match="is not a JSON object"):
        find("irods", IRODS_ENVIRONMENT_FILE=str(path))
    with pytest.raises(MissingCredential, match="/no/such is not there"):
        find("irods", IRODS_ENVIRONMENT_FILE="/no/such")
    with pytest.raises(MissingCredential, match="has neither a password nor a ticket") as caught:
        find("irods", HOME=str(tmp_path), IRODS_ENVIRONMENT_FILE=str(irods_file(tmp_path)))
    assert "run iinit" in caught.value.remedy


# What is missing


@pytest.mark.parametrize(
    ("scheme", "words", "remedy"),
    [
        ("gsiftp", "gsiftp://a@h needs an X.509 proxy for site 'my-site'", "X509_USER_PROXY_my_site"),
        (
            "gs",
            "gs://a@h needs a Google credential for site 'my-site'",
            "GOOGLE_APPLICATION_CREDENTIALS_my_site",
        ),
        ("globus", "globus://a@h needs a Globus client or token", "GLOBUS_CLIENT_ID"),
        ("irods", "irods://a@h needs an iRODS environment", "IRODS_ENVIRONMENT_FILE_my_site"),
    ],
)
def test_what_is_missing_is_told_with_every_place(scheme: str, words: str, remedy: str) -> None:
    with pytest.raises(MissingCredential) as caught:
        find(scheme, "a@h", "my-site", HOME="/no/home")
    assert words in caught.value.what and "looked in " in caught.value.what
    assert "/no/home/.pegasus/credentials.conf (not there)" in caught.value.what
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("scheme", ["http", "https", "ftp", "scp", "root", "davs", "osdf", "x-plugin"])
def test_what_can_do_without_is_anonymous(scheme: str) -> None:
    assert isinstance(find(scheme), Anonymous)


# The keyring

_BACKEND = """
from keyring.backend import KeyringBackend
from keyring.credentials import SimpleCredential
class Fixed(KeyringBackend):
    priority = 1
    entries = {"wf-transfer:https://h.org": ("alice", "canary-1"), "wf-transfer:bob@osn": ("AK", "canary-2"),
               "wf-transfer:t.org": ("token", "canary-3")}
    def get_credential(self, service, username):
        found = self.entries.get(service)
        return SimpleCredential(*found) if found and username in (None, found[0]) else None
    def get_password(self, service, username):
        return None
    def set_password(self, service, username, password):
        raise NotImplementedError
"""


@pytest.fixture
def keyring_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    keyring = pytest.importorskip("keyring")
    (tmp_path / "fixed_keyring.py").write_text(_BACKEND)
    monkeypatch.syspath_prepend(tmp_path)
    from fixed_keyring import Fixed

    before = keyring.get_keyring()
    keyring.set_keyring(Fixed())
    try:
        yield {"PYTHON_KEYRING_BACKEND": "fixed_keyring.Fixed"}
    finally:
        keyring.set_keyring(before)


def test_the_keyring_has_passwords_tokens_and_keys(keyring_there: dict[str, str], tmp_path: Path) -> None:
    basic, token = find("https", "h.org", **keyring_there), find("https", "t.org", **keyring_there)
    assert isinstance(basic, Basic) and (basic.user, basic.password) == ("alice", Secret("canary-1"))
    assert isinstance(token, Bearer) and token.token == Secret("canary-3")
    assert isinstance(find("http", "h.org", **keyring_there), Anonymous)
    conf = private(tmp_path / "c.conf", "[osn]\nendpoint = https://e\n")
    key = find("s3", "bob@osn", file=str(conf), **keyring_there)
    assert isinstance(key, AccessKey) and (key.access_key, key.secret_key) == ("AK", Secret("canary-2"))


def test_without_a_desktop_the_keyring_is_not_even_imported() -> None:
    code = (
        "import sys; from wf.credentials.chain import standard_chain\n"
        "standard_chain({}).find('https', 'h.org'); sys.exit('keyring' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


# Other distributions


def distribution(folder: Path, body: str) -> None:
    (folder / "vault_source.py").write_text(body)
    info = folder / "vault_source-1.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vault-source\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[wf.credentials]\nvault = vault_source:make\n")


def test_another_distribution_adds_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = (
        "from wf.credentials import Bearer, Secret\n"
        "class Vault:\n    slow = ''\n"
        "    def __init__(self, environment): self.text = environment['VAULT']\n"
        "    def find(self, query, looked):\n"
        "        if query.host == 'v.org': return Bearer(Secret(self.text), name='vault', origin='vault')\n"
        "        looked.append('vault')\n"
        "make = Vault\n"
    )
    distribution(tmp_path, body)
    monkeypatch.syspath_prepend(tmp_path)
    chain = standard_chain({"VAULT": "v"})
    found = chain.find("https", "v.org")
    assert isinstance(found, Bearer) and found.token == Secret("v")
    assert "vault" in chain.find("https", "w.org").origin
    assert chain.renew(found) is None
    with pytest.raises(Misconfigured, match=r"source vault \(vault_source:make\) cannot be used: KeyError"):
        standard_chain({}).find("https", "v.org")


# The chain


def test_a_chain_is_a_source_of_another() -> None:
    class Fixed:
        slow = ""

        def __init__(self, name: str) -> None:
            self.name = name

        def find(self, query: Query, looked: list[str]) -> Credential | None:
            looked.append(f"place of {self.name}")
            if self.name in query.host:
                return Bearer(Secret("x"), name=self.name, origin="o")
            return None

    chain = Chain((Chain((Fixed("a"), Fixed("b"))), Fixed("c")))
    assert [chain.find("https", host).name for host in ("a", "b", "c")] == ["a", "b", "c"]
    looked = chain.find("https", "z").origin
    assert re.findall("place of .", looked) == ["place of a", "place of b", "place of c"]


def test_every_name_that_a_planner_produces_is_accepted(grid: Path, keys: Path, tmp_path: Path) -> None:
    irods = irods_file(tmp_path, irodsPassword="p")
    irods.chmod(0o600)
    conf = private(tmp_path / "c.conf", "[h.org]\nusername = u\npassword = p\n")
    google = private(tmp_path / "g.json", '{"type": "service_account"}')
    boto = private(tmp_path / "boto", f"[Credentials]\ngs_service_key_file = {google}\n")
    for variable, path, scheme, kind in (
        ("X509_USER_PROXY", grid / "proxy.pem", "gsiftp", Certificate),
        ("SSH_PRIVATE_KEY", keys / "plain", "scp", SshKey),
        ("IRODS_ENVIRONMENT_FILE", irods, "irods", Irods),
        ("BOTO_CONFIG", boto, "gs", Google),
        ("PEGASUS_CREDENTIALS", conf, "webdav", Basic),
    ):
        for suffix in ("", "_my_site"):
            found = find(scheme, "h.org", "my-site", **{variable + suffix: str(path)})
            assert isinstance(found, kind), variable + suffix
            with pytest.raises(CredentialError):
                find(scheme, "h.org", "my-site", **{variable + suffix: "/no/such"})

"""What looking for a credential costs: no SDK, no network library, nothing that the answer does not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from credentials_made import certificate, private, proxy

EXPENSIVE = {
    *("argparse", "asyncio", "boto3", "botocore", "configparser", "dataclasses", "email", "google", "http"),
    *("importlib.metadata", "inspect", "keyring", "logging", "netrc", "paramiko", "requests", "secrets"),
    *("socket", "ssl", "subprocess", "tempfile", "tomllib", "typing", "urllib.request"),
}


def loaded_by(question: tuple[str, ...], environment: dict[str, str]) -> tuple[str, set[str]]:
    """The kind that was found, and the modules that it took."""
    code = (
        "import sys; before = set(sys.modules)\n"
        "from wf.credentials.chain import standard_chain\n"
        f"print(standard_chain({environment!r}).find(*{question!r}).kind)\n"
        "print(*set(sys.modules) - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    kind, modules = done.stdout.splitlines()
    return kind, set(modules.split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("startup")
    certificate(folder, "user", "/CN=Alice")
    proxy(folder, "user", "proxy")
    text = "[osn]\nendpoint = https://e\n[a@osn]\naccess_key = A\nsecret_key = S\n[h]\npassword = p\n"
    private(folder / "c.conf", text)
    private(folder / "token", "t")
    return folder


@pytest.mark.parametrize(
    ("question", "environment", "kind"),
    [
        (("s3", "a@osn"), {"PEGASUS_CREDENTIALS": "c.conf"}, "access-key"),
        (("s3", ""), {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S"}, "access-key"),
        (("https", "h"), {"PEGASUS_CREDENTIALS": "c.conf"}, "basic"),
        (("https", "h"), {"BEARER_TOKEN": "t"}, "bearer"),
        (("https", "h", "s"), {"BEARER_TOKEN_FILE_s": "token"}, "bearer"),
        (("https", "h", "s"), {"X509_USER_PROXY_s": "proxy.pem"}, "x509"),
        (("https", "h", "s"), {}, "anonymous"),
        (("http", "h", "s"), {}, "anonymous"),
        (("scp", "h", "s"), {"SSH_PRIVATE_KEY_s": "token"}, "ssh-key"),
    ],
)
def test_a_static_credential_is_found_without_an_sdk(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    question: tuple[str, ...],
    environment: dict[str, str],
    kind: str,
) -> None:
    monkeypatch.chdir(folder)
    found, modules = loaded_by(question, environment)
    assert found == kind
    assert modules & EXPENSIVE == set()


def test_an_expensive_import_would_be_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    private(folder / "c.toml", '[host.h]\ntoken-command = ["echo", "t"]\n')
    _, modules = loaded_by(("https", "h"), {"WF_CREDENTIALS": "c.toml", "PATH": "/usr/bin:/bin"})
    assert modules & EXPENSIVE >= {"tomllib", "subprocess"}

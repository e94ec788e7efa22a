"""Our own sources keep the obligations that the shipped suite asks of everybody's."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from credentials_made import private, token
from wf.credentials.access_keys import KeySections, KeyVariables, Sites
from wf.credentials.chain import ByFamily, Chain, Nested
from wf.credentials.conformance import SourceConformance
from wf.credentials.kinds import Bearer, Secret
from wf.credentials.means import Means
from wf.credentials.minting import Mint
from wf.credentials.query import Query
from wf.credentials.sections import Reader
from wf.credentials.source import Source
from wf.credentials.sources import Explicit, Files, FileSections, Netrc, UrlUser
from wf.credentials.variables import GeneralTokens, SiteVariables

CANARY = "canary-hunter2"
WEB = Query("https", "h.org", "osn")


class WithCanary(SourceConformance):
    @pytest.fixture
    def secrets(self) -> tuple[str, ...]:
        return (CANARY,)

    @pytest.fixture
    def known(self) -> Query:
        return WEB


class TestExplicit(WithCanary):
    @pytest.fixture
    def source(self) -> Source:
        return Explicit({"h.org": Bearer(Secret(CANARY), name="mine", origin="code")})

    @pytest.fixture
    def known(self) -> Query:
        return WEB

    def test_it_leaves_schemes_alone_that_nobody_knows(self, source: Source, known: Query) -> None:
        """The program's own word counts for any scheme."""
        assert source.find(known._replace(scheme="x-nobody"), []) is not None


class TestUrlUser(WithCanary):
    @pytest.fixture
    def source(self) -> Source:
        return UrlUser()

    @pytest.fixture
    def known(self) -> Query:
        return WEB._replace(user="u", password=CANARY)

    @pytest.fixture
    def unknown(self) -> Query:
        return WEB

    def test_it_leaves_schemes_alone_that_nobody_knows(self, source: Source, known: Query) -> None:
        """What the URL itself says counts for any scheme."""
        assert source.find(known._replace(scheme="x-nobody"), []) is not None


class TestSiteVariables(WithCanary):
    @pytest.fixture
    def source(self) -> Source:
        return SiteVariables(Means({"BEARER_TOKEN_osn": CANARY}))

    @pytest.fixture
    def broken(self) -> Source:
        return SiteVariables(Means({"BEARER_TOKEN_osn": f"{CANARY} {CANARY}"}))


class TestGeneralTokens(WithCanary):
    @pytest.fixture
    def text(self) -> str:
        return token(aud="https://h.org")

    @pytest.fixture
    def secrets(self, text: str) -> tuple[str, ...]:
        return (text, *text.split("."))

    @pytest.fixture
    def source(self, text: str) -> Source:
        means = Means({"BEARER_TOKEN": text})
        return GeneralTokens(means, Files(means))

    @pytest.fixture
    def broken(self) -> Source:
        means = Means({"BEARER_TOKEN_FILE": "/no/such"})
        return GeneralTokens(means, Files(means))


class FileBased(WithCanary):
    text = ""
    name = "c.conf"

    def source_of(self, means: Means, files: Files) -> Source:
        return FileSections(files, Reader(means, Mint(means)))

    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        means = Means({"PATH": os.environ["PATH"]})
        return self.source_of(means, Files(means, str(private(tmp_path / self.name, self.text))))

    @pytest.fixture
    def broken(self, tmp_path: Path) -> Source:
        means = Means({})
        return self.source_of(means, Files(means, str(private(tmp_path / f"x-{self.name}", f"{CANARY} x\n"))))


class TestPasswordSection(FileBased):
    text = f"[h.org]\nusername = u\npassword = {CANARY}\n"


class TestHeaderSection(FileBased):
    text = f"[https://h.org]\nheader.X-A = {CANARY}\n"


class TestTokenCommand(FileBased):
    name = "c.toml"
    text = f'[host."h.org"]\ntoken-command = ["printf", "%s", "{CANARY}"]\n'


class TestKeySections(FileBased):
    text = f"[osn]\nendpoint = https://e\n[a@osn]\naccess_key = AK\nsecret_key = {CANARY}\n"

    def source_of(self, means: Means, files: Files) -> Source:
        return KeySections(files, Sites(means, files))

    @pytest.fixture
    def known(self) -> Query:
        return Query("s3", "osn", "", "a")


class TestKeyVariables(WithCanary):
    @pytest.fixture
    def source(self) -> Source:
        means = Means(
            {"AWS_ACCESS_KEY_ID_osn": "AK", "AWS_SECRET_ACCESS_KEY_osn": CANARY, "AWS_ENDPOINT_URL_osn": "e"}
        )
        return KeyVariables(means, Sites(means, Files(means)), general=False)

    @pytest.fixture
    def known(self) -> Query:
        return Query("s3", "osn", "", "a")

    @pytest.fixture
    def broken(self) -> Source:
        means = Means({"AWS_SECRET_ACCESS_KEY_osn": CANARY})
        return KeyVariables(means, Sites(means, Files(means)), general=False)


class TestNetrc(WithCanary):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        path = private(tmp_path / "netrc", f"machine h.org login u password {CANARY}\n")
        return Netrc(Means({"NETRC": str(path)}))

    @pytest.fixture
    def broken(self, tmp_path: Path) -> Source:
        path = private(tmp_path / "netrc", f"machine h.org login u password {CANARY}\n")
        path.chmod(0o644)
        return Netrc(Means({"NETRC": str(path)}))


class TestGlobus(WithCanary):
    @pytest.fixture
    def source(self) -> Source:
        return ByFamily(Means({"GLOBUS_ACCESS_TOKEN_osn": CANARY}), general=False)

    @pytest.fixture
    def known(self) -> Query:
        return Query("globus", "uuid", "osn")


class TestGoogle(WithCanary):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        path = private(tmp_path / "g", json.dumps({"type": "service_account", "private_key": CANARY}))
        return ByFamily(Means({"GOOGLE_APPLICATION_CREDENTIALS_osn": str(path)}), general=False)

    @pytest.fixture
    def known(self) -> Query:
        return Query("gs", "bucket", "osn")

    @pytest.fixture
    def broken(self, tmp_path: Path) -> Source:
        path = private(tmp_path / "b", CANARY)
        return ByFamily(Means({"GOOGLE_APPLICATION_CREDENTIALS_osn": str(path)}), general=False)


class TestIrods(WithCanary):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        path = private(tmp_path / "i", json.dumps({"irodsPassword": CANARY}))
        return ByFamily(Means({"IRODS_ENVIRONMENT_FILE_osn": str(path)}), general=False)

    @pytest.fixture
    def known(self) -> Query:
        return Query("irods", "", "osn")


class TestSsh(WithCanary):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        path = private(tmp_path / "k", CANARY)
        return ByFamily(Means({"SSH_PRIVATE_KEY_osn": str(path)}), general=False)

    @pytest.fixture
    def known(self) -> Query:
        return Query("sftp", "h", "osn")

    @pytest.fixture
    def broken(self) -> Source:
        return ByFamily(Means({"SSH_PRIVATE_KEY_osn": "/no/such"}), general=False)


class TestChain(WithCanary):
    @pytest.fixture
    def source(self) -> Source:
        return Nested(Chain((SiteVariables(Means({"BEARER_TOKEN_osn": CANARY})),)))

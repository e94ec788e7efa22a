"""What a login to Globus leaves, where it is looked for, and how a token that is replaced is written down."""

from __future__ import annotations

import json
import pickle
import threading
from typing import TYPE_CHECKING

import pytest
from wf.credentials.chain import standard_chain
from wf.credentials.conformance import SourceConformance
from wf.credentials.errors import Misconfigured, MissingCredential
from wf.credentials.globus import GlobusLogin
from wf.credentials.globus_tokens import (
    TRANSFER_SERVER,
    Login,
    keep,
    locked,
    newest,
    read_login,
    write_login,
)
from wf.credentials.kinds import Globus, Secret
from wf.credentials.means import Means
from wf.credentials.query import Query

if TYPE_CHECKING:
    from pathlib import Path

    from wf.credentials.source import Source

CANARY = "canary-refresh"
COLLECTION = "aaaaaaaa-0000-0000-0000-000000000001"


def a_login(home: Path, *, token: str = CANARY) -> Path:
    path = home / ".config/wf-transfer/globus.json"
    tokens = {TRANSFER_SERVER: Secret(token), COLLECTION: Secret("canary-files")}
    write_login(str(path), Login("app", tokens))
    return path


class TestLogin(SourceConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        a_login(tmp_path)
        return GlobusLogin(Means({"HOME": str(tmp_path)}))

    @pytest.fixture
    def known(self) -> Query:
        return Query("globus", "uuid", "osn")

    @pytest.fixture
    def unknown(self) -> Query | None:
        return None

    @pytest.fixture
    def secrets(self) -> tuple[str, ...]:
        return (CANARY, "canary-files")


def find(**environment: str) -> Globus:
    found = standard_chain(environment).find("globus", COLLECTION)
    assert isinstance(found, Globus)
    return found


def test_a_login_serves_transfer_and_the_files_of_its_collections(tmp_path: Path) -> None:
    path = a_login(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    found = find(HOME=str(tmp_path))
    assert (found.form, found.client_id, found.secret) == ("refresh", "app", Secret(CANARY))
    assert found.others == ((COLLECTION, Secret("canary-files")),) and found.kept == str(path)
    # What is set for this run comes first.
    assert find(HOME=str(tmp_path), GLOBUS_ACCESS_TOKEN="t").form == "access"


def test_a_login_that_others_can_read_or_that_is_broken_is_passed_over(tmp_path: Path) -> None:
    path = a_login(tmp_path)
    path.chmod(0o644)
    with pytest.raises(MissingCredential, match="not used"):
        find(HOME=str(tmp_path))
    path.chmod(0o600)
    for content in (b"", b"[]", b'{"client_id": "a"}', b'{"client_id": "a", "tokens": {"x": 1}}', b"\xff"):
        path.write_bytes(content)
        with pytest.raises(Misconfigured, match="does not hold a Globus login"):
            read_login(str(path))
        with pytest.raises(MissingCredential):
            find(HOME=str(tmp_path))
    write_login(str(path), Login("app", {"other": Secret("x")}))
    with pytest.raises(MissingCredential, match="no token for Transfer"):
        find(HOME=str(tmp_path))


def test_what_replaced_the_token_of_a_variable_is_found_beside_it(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "GLOBUS_CLIENT_ID": "app", "GLOBUS_REFRESH_TOKEN": CANARY}
    first = find(**environment)
    assert first.secret == Secret(CANARY) and first.kept.startswith(str(tmp_path))
    keep(first.kept, "app", TRANSFER_SERVER, Secret("second"))
    assert find(**environment).secret == Secret("second")
    # Another token is another login, and without a home nothing is kept.
    assert find(**{**environment, "GLOBUS_REFRESH_TOKEN": "new"}).secret == Secret("new")
    assert find(GLOBUS_CLIENT_ID="app", GLOBUS_REFRESH_TOKEN=CANARY).kept == ""


def test_keeping_changes_one_token_at_once(tmp_path: Path) -> None:
    path = a_login(tmp_path)
    keep(str(path), "app", TRANSFER_SERVER, Secret("second"))
    assert json.loads(path.read_text())["tokens"] == {
        TRANSFER_SERVER: {"refresh_token": "second"},
        COLLECTION: {"refresh_token": "canary-files"},
    }
    assert newest(str(path), TRANSFER_SERVER) == Secret("second")
    assert newest(str(path), "unknown") is None
    assert newest("", TRANSFER_SERVER) is None is newest(str(tmp_path / "absent"), TRANSFER_SERVER)
    assert [each.name for each in path.parent.iterdir()] == ["globus.json"]


def test_only_one_renews_at_a_time(tmp_path: Path) -> None:
    path = str(tmp_path / "new/globus.json")
    inside: list[int] = []
    most: list[int] = []

    def renew(number: int) -> None:
        with locked(path):
            inside.append(number)
            most.append(len(inside))
            inside.remove(number)

    threads = [threading.Thread(target=renew, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8
    with locked(""), locked("/proc/nowhere/globus.json"):
        pass


def test_a_login_can_be_handed_to_another_process(tmp_path: Path) -> None:
    a_login(tmp_path)
    found = find(HOME=str(tmp_path))
    restored = pickle.loads(pickle.dumps(found.pack())).unpack()
    assert restored == found and restored.others == found.others
    assert "canary" not in repr(restored)

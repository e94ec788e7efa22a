"""The test zone answers as a real server did, and the requests that we make ourselves are those of python-irodsclient byte for byte."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from irods import exception
from irods.message import FileOpenRequest, OpenedDataObjRequest, StringStringMap, iRODSMessage
from irods_operations import Account, answers
from irods_tools import real_account
from servers.irods_server import PASSWORD, USER, ZONE, irods_zone
from wf.protocols import irods_messages as messages
from wf.protocols.irods_errors import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDED = json.loads((Path(__file__).parent / "irods-5.0.2.json").read_text())["answers"]
ODD = "/zone/a <b> & 'c' \"d\" é\x07\n"


@pytest.fixture(params=["test zone", "real zone"])
def account(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Account]:
    if request.param == "real zone":
        yield real_account()
        return
    with irods_zone(tmp_path / "zone") as zone:
        zone.catalogue.add_user("stranger", "other")
        yield Account("127.0.0.1", zone.port, ZONE, USER, PASSWORD, f"/{ZONE}/home/stranger")


def test_every_operation_is_answered_as_a_real_server_answered_it(account: Account, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    found = dict(answers(account, folder))
    if os.environ.get("IRODS_TEST_HOST"):
        found["the version of the server"] = RECORDED["the version of the server"]
    assert found == RECORDED


def test_all_56_operations_are_on_record() -> None:
    assert len(RECORDED) == 56


def theirs(message: object) -> bytes:
    return message.pack().encode()  # type: ignore[attr-defined]


def opening(path: str, size: int, operation: int, flags: int, **keywords: str) -> FileOpenRequest:
    return FileOpenRequest(
        objPath=path,
        createMode=0,
        openFlags=flags,
        offset=0,
        dataSize=size,
        numThreads=0,
        oprType=operation,
        KeyValPair_PI=StringStringMap(keywords),
    )


def test_an_object_is_named_alike() -> None:
    keywords = {"forceFlag": "", "destRescName": "a&b"}
    ours = messages.object_input(ODD, keywords, flags=577, size=12, operation=1)
    assert ours == theirs(opening(ODD, 12, 1, 577, **keywords))


def test_an_open_object_is_named_alike() -> None:
    packed = OpenedDataObjRequest(
        l1descInx=3,
        len=7,
        whence=0,
        oprType=0,
        offset=9,
        bytesWritten=0,
        KeyValPair_PI=StringStringMap({"regChksum": ""}),
    )
    assert messages.opened_input(3, length=7, offset=9, keywords={"regChksum": ""}) == theirs(packed)


def test_a_request_is_framed_alike() -> None:
    ours = messages.header(b"RODS_API_REQ", 7, 5, 602)
    assert ours == iRODSMessage.pack_header("RODS_API_REQ", 7, 0, 5, 602)


def test_codes_have_the_names_that_the_library_knows_them_by() -> None:
    known = {
        each.code: name
        for name, each in vars(exception).items()
        if isinstance(each, type) and isinstance(getattr(each, "code", None), int)
    }
    ours = {code: name for code, (name, _, _) in TABLE.items() if code in known}
    assert len(ours) > 50
    assert ours == {code: known[code] for code in ours}

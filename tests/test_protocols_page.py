"""`wf-transfer protocols` and `docs/protocols.md` say what the capabilities say."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from command_runs import wf_transfer
from wf.protocols.capability import Capability, Publish
from wf.protocols.registry import BUILT_IN, PLANNED, Registry
from wf.transfer import protocols_page

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "protocols.md"
PROJECT = ROOT / "pyproject.toml"

LACKING = Capability(
    protocol="lacking",
    schemes=("lacking",),
    implementation="wf_no_such_module:Store",
    extra="lacking",
    requires=("wf_no_such_module",),
    read=True,
    digest=("sha256",),
)


@pytest.mark.skipif(not PAGE.exists(), reason="the documentation is not part of an installed package")
def test_the_page_is_up_to_date() -> None:
    """`python -m wf.transfer.protocols_page > docs/protocols.md` writes it anew."""
    assert PAGE.read_text(encoding="utf-8") == protocols_page.page()


def test_the_page_has_every_protocol_scheme_and_promise() -> None:
    page = protocols_page.page()
    for capability in BUILT_IN:
        assert f"| **{capability.protocol}** |" in page
        assert all(f"`{scheme}:" in page for scheme in capability.schemes)
    assert all(f"`{scheme}:`" in page for scheme in PLANNED)
    assert protocols_page.PUBLISHED.keys() == set(Publish)


@pytest.mark.skipif(not PROJECT.exists(), reason="only the checkout has the project file")
def test_every_extra_is_told() -> None:
    extras = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]
    told = {extra.name for extra in protocols_page.EXTRAS} | {each.extra for each in BUILT_IN}
    assert told - {""} == extras.keys() - {"all"}


def test_a_protocol_that_lacks_a_module_says_what_to_install() -> None:
    text = protocols_page.as_text(Registry((LACKING,), entry_points=False))
    assert "Not installed (lacks wf_no_such_module): pip install 'wf-transfer[lacking]'." in text
    assert "Digests by the service: sha256." in text
    document = json.loads(protocols_page.as_json(Registry((LACKING,), entry_points=False)))
    (record,) = document["protocols"]
    assert (record["ready"], record["missing"]) == (False, ["wf_no_such_module"])
    assert record["install"] == "pip install 'wf-transfer[lacking]'"


def test_the_command_prints_both_forms(tmp_path: Path) -> None:
    run = wf_transfer(tmp_path, "protocols")
    assert run.code == 0
    assert run.out == protocols_page.as_text()
    assert "not built yet: " in run.out
    document = json.loads(wf_transfer(tmp_path, "protocols", "--json").out)
    assert {each["protocol"] for each in document["protocols"]} >= {each.protocol for each in BUILT_IN}
    assert document["planned"] == sorted(PLANNED)
    assert wf_transfer(tmp_path, "protocols", "extra").code == 2

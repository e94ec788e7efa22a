"""`docs/results.md` says what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest
from wf.protocols import errors
from wf.transfer import results_page
from wf.transfer.settings import Exit

PAGE = Path(__file__).parent.parent / "docs" / "results.md"


def test_every_code_has_a_meaning_and_a_remedy() -> None:
    """Also the codes that take their remedy from the case."""
    codes = {kind.code for kind in results_page.error_classes()}
    assert results_page.MEANINGS.keys() == codes
    assert results_page.EXITS.keys() == set(Exit)
    assert results_page.REACHES.keys() == set(errors.Reach)
    assert results_page.parts()["errors"].count("\n| `") == len(codes) == 18


@pytest.mark.skipif(not PAGE.exists(), reason="the documentation is not part of an installed package")
def test_the_page_is_up_to_date() -> None:
    """`python -m wf.transfer.results_page docs/results.md` renews it."""
    page = PAGE.read_text(encoding="utf-8")
    assert results_page.updated(page) == page


def test_a_page_without_room_for_a_part_is_refused() -> None:
    with pytest.raises(ValueError, match="generated: exits"):
        results_page.updated("# Results\n")

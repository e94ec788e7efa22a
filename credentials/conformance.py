"""The obligations of a source of credentials as tests, for ours and for those of plug-ins. Needs pytest.

A source's own test module subclasses the suite and gives three fixtures::

    class TestVault(SourceConformance):
        @pytest.fixture
        def source(self, vault):
            return VaultSource({"VAULT": vault.url})

        @pytest.fixture
        def known(self):
            return Query("https", "data.example.org", "osn")

        @pytest.fixture
        def secrets(self):
            return ("hunter2",)

`source` has an answer for `known`; `secrets` are the texts in that answer that nobody may see. `unknown` is a question of
the same scheme without an answer, by default about another host and site; give None for a source that answers every one.
`broken` is a source whose place holds nonsense, if there can be such a thing.
"""

from __future__ import annotations

import copy
import pickle
import threading
import time

import pytest

from .errors import CredentialError
from .kinds import Credential

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .query import Query
    from .source import Source

_THREADS = 8


class SourceConformance:
    """Subclass it under a name that begins with `Test`, and give the fixtures."""

    @pytest.fixture
    def unknown(self, known: Query) -> Query | None:
        return known._replace(host="nobody.invalid", site="nobody", user="")

    @pytest.fixture
    def broken(self) -> Source | None:
        return None

    def test_it_answers_with_a_credential_that_has_a_name_and_an_origin(
        self, source: Source, known: Query
    ) -> None:
        found = answer(source, known)
        assert found.name and found.origin and found.kind

    def test_no_secret_shows_in_what_people_may_see(
        self, source: Source, known: Query, secrets: tuple[str, ...]
    ) -> None:
        looked: list[str] = []
        found = source.find(known, looked)
        assert found is not None
        shown = f"{found!r} {found} {found.name} {found.origin} {looked} {source!r}"
        assert not [secret for secret in secrets if secret in shown]

    def test_the_answer_is_not_pickled_by_accident_and_not_changed(
        self, source: Source, known: Query
    ) -> None:
        found = answer(source, known)
        with pytest.raises(TypeError):
            pickle.dumps(found)
        with pytest.raises(AttributeError):
            found.name = "other"
        assert copy.deepcopy(found) is found

    def test_the_same_question_has_the_same_answer(self, source: Source, known: Query) -> None:
        assert answer(source, known) == answer(source, known)
        assert hash(answer(source, known)) == hash(answer(source, known))

    def test_a_fresh_answer_is_not_stale(self, source: Source, known: Query) -> None:
        assert not answer(source, known).is_stale(time.time())

    def test_without_an_answer_it_says_where_it_looked(self, source: Source, unknown: Query | None) -> None:
        if unknown is None:
            pytest.skip("it answers every question")
        looked: list[str] = []
        assert source.find(unknown, looked) is None
        assert all(isinstance(place, str) and place for place in looked)

    def test_it_leaves_schemes_alone_that_nobody_knows(self, source: Source, known: Query) -> None:
        assert source.find(known._replace(scheme="x-nobody"), []) is None

    def test_it_is_asked_by_several_threads_at_once(self, source: Source, known: Query) -> None:
        found: list[Credential | None] = []
        start = threading.Barrier(_THREADS)

        def ask() -> None:
            start.wait()
            found.append(source.find(known, []))

        threads = [threading.Thread(target=ask) for _ in range(_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(found) == _THREADS
        assert set(found) == {found[0]} != {None}

    def test_a_renewal_gives_a_credential_or_nothing(self, source: Source, known: Query) -> None:
        renew = getattr(source, "renew", None)
        if renew is None:
            pytest.skip("it renews nothing by itself")
        renewed = renew(known, answer(source, known))
        assert renewed is None or isinstance(renewed, Credential)

    def test_nonsense_is_told_with_a_remedy_and_without_secrets(
        self, broken: Source | None, known: Query, secrets: tuple[str, ...]
    ) -> None:
        if broken is None:
            pytest.skip("no broken source")
        with pytest.raises(CredentialError) as caught:
            broken.find(known, [])
        told = f"{caught.value} {caught.value.what} {caught.value.remedy}"
        assert caught.value.what and caught.value.remedy
        assert not [secret for secret in secrets if secret in told]

    def test_it_says_whether_it_is_slow(self, source: Source) -> None:
        assert isinstance(source.slow, str)


def answer(source: Source, query: Query) -> Credential:
    """The credential that the source must have for this question."""
    found = source.find(query, [])
    assert isinstance(found, Credential), f"no answer for {query}"
    return found

"""What URLs of federations mean, and which are refused before anybody is asked."""

from __future__ import annotations

import pytest
from wf.protocols.errors import LocalRefused, TransferError, Unsupported
from wf.protocols.locations import parse_location, resolved
from wf.protocols.osdf_names import Name, name_of
from wf.protocols.registry import OSDF, Registry


def name(url: str) -> Name:
    return name_of(parse_location(url))


@pytest.mark.parametrize(
    ("url", "federation", "path"),
    [
        ("osdf:///ospool/ap20/x", "osg-htc.org", "/ospool/ap20/x"),
        ("osdf://ospool/ap20/x", "osg-htc.org", "/ospool/ap20/x"),
        ("stash:///ospool/x", "osg-htc.org", "/ospool/x"),
        ("OSDF:///a", "osg-htc.org", "/a"),
        ("pelican://fed.example.org/ns/x", "fed.example.org", "/ns/x"),
        ("pelican://Fed.example.org:8443/ns/x", "fed.example.org:8443", "/ns/x"),
        ("osdf:///ns/a%20b%3Fc", "osg-htc.org", "/ns/a%20b%3Fc"),
        ("osdf:///ns/ü", "osg-htc.org", "/ns/%C3%BC"),
        ("osdf:////ns//x", "osg-htc.org", "/ns//x"),
    ],
)
def test_a_url_names_a_federation_and_a_path(url: str, federation: str, path: str) -> None:
    assert name(url)[:2] == (federation, path)


def test_the_words_behind_the_question_mark_are_understood() -> None:
    assert name("osdf:///a?directread").flags == {"directread"}
    assert name("osdf:///a?recursive=true&skipstat").flags == {"recursive", "skipstat"}
    assert name("osdf:///a?recursive=false").flags == frozenset()
    assert name("osdf:///a?pack").pack == "auto"
    assert name("osdf:///a?pack=tar.gz").pack == "tar.gz"
    assert name("osdf:///a?prefercached&skipstat").of_the_director == "?prefercached&skipstat"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("recursive&pack=auto", "exclude each other"),
        ("directread&prefercached", "exclude each other"),
        ("pack=rar", "no pack 'rar'"),
        ("directreed", "'directreed'"),
        ("directread&authz=SECRET", "'authz'"),
    ],
)
def test_what_cannot_be_meant_is_refused(query: str, says: str) -> None:
    with pytest.raises(Unsupported, match=says) as caught:
        name(f"osdf:///ns/x?{query}")
    assert "SECRET" not in caught.value.what and caught.value.remedy


@pytest.mark.parametrize("path", ["/ns/../other", "/ns/%2e%2e/other", "/ns/./x", "/.."])
def test_a_path_does_not_leave_its_namespace(path: str) -> None:
    with pytest.raises(LocalRefused):
        name(f"osdf://{path}")


@pytest.mark.parametrize("scheme", ["ligo+osdf", "ligo_frames+osdf", "ligo.frames+stash", "a+b+osdf"])
def test_a_scheme_can_name_a_token(scheme: str) -> None:
    location = parse_location(f"{scheme}:///igwn/frame")
    assert Registry(entry_points=False).capability(location.scheme) is OSDF
    assert name_of(location).token == scheme.rpartition("+")[0]
    assert name_of(location).path == "/igwn/frame"


def test_only_federations_have_tokens_before_their_scheme() -> None:
    assert Registry(entry_points=False).capability("x+https") is None
    assert Registry(entry_points=False).capability("x+s3") is None


def test_a_place_still_knows_its_name() -> None:
    logical = parse_location("tok+osdf:///ns/a%20b?directread")
    place = resolved(logical, "https://cache.example:8443/ns/a%20b", scheme="osdf")
    assert name_of(place) == name_of(logical)
    assert place.endpoint == "cache.example:8443"


def test_every_name_that_is_refused_is_refused_as_a_transfer_error() -> None:
    for url in ("osdf:///a?x", "osdf:///..", "osdf:///a?pack=7z"):
        with pytest.raises(TransferError):
            name(url)

"""What a URL's path means, one property for each rule."""

from __future__ import annotations

import pickle
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wf.protocols.locations import Location, Rule, login_of, parse_location, rule_of

LOCAL = ("file", "symlink", "moveto")
LITERAL = ("s3", "s3s", "gs", "scp", "sftp", "irods", "globus", "go", "gsiftp")
NETWORK = ("http", "https", "ftp", "webdav", "webdavs", "dav", "davs", "osdf", "pelican")

# Names are bytes somebody else chose: what is not UTF-8 travels as lone surrogates of U+DC80..U+DCFF.
ODD = st.sampled_from(
    [" ", "%", "%20", "%2F", "?", "#", "//", "\n", "\t", '"', "'", ";", "\\", "-", "ü", "\udcff"]
)
NAMES = st.lists(ODD | st.text("ab1._", min_size=1, max_size=3), min_size=1, max_size=6).map("".join)
PATHS = NAMES.map(lambda name: f"/d/{name}")
URL_CHARACTERS = "abzABZ019-._~!$&'()*+,;=:@/?#[]"
SENT_AS_GIVEN = st.lists(
    st.text(URL_CHARACTERS, max_size=4) | st.sampled_from(["%20", "%2f", "%2F", "%C3%BC", "%25", "//"])
).map("".join)


def path_of(url: str, **more: object) -> str:
    return parse_location(url, **more).path  # type: ignore[arg-type]


@given(st.sampled_from(LOCAL), PATHS, st.sampled_from(["", "//", "//localhost"]))
def test_a_local_path_is_literal(scheme: str, path: str, prefix: str) -> None:
    location = parse_location(f"{scheme}:{prefix}{path}", environment={})
    assert (location.path, location.scheme, location.host, location.problem) == (path, scheme, "", "")
    assert location.is_local


@given(st.sampled_from(LITERAL), PATHS)
@example("scp", "/d/a?b#c%20d")
def test_a_path_of_a_literal_scheme_is_never_decoded(scheme: str, path: str) -> None:
    location = parse_location(f"{scheme}://user@host{path}")
    assert location.path == (path[1:] if scheme in ("s3", "s3s", "gs") else path)
    assert location.host == "user@host"


@given(st.sampled_from(NETWORK), SENT_AS_GIVEN)
@example("https", "b/k?X-Amz-Credential=AK%2F20260101%2Feu&X-Amz-Signature=ab12&response=a+b%20c//d")
def test_a_url_without_foreign_characters_is_sent_as_given(scheme: str, rest: str) -> None:
    url = f"{scheme}://example.org:8443/{rest}"
    location = parse_location(url)
    assert location.url == url
    assert location.path == f"/{rest}"


@given(st.sampled_from(NETWORK), PATHS)
@example("https", "/100%")
@example("https", "/a%zz%2")
def test_a_character_that_a_url_may_not_hold_is_encoded_once(scheme: str, path: str) -> None:
    once = parse_location(f"{scheme}://example.org{path}")
    assert re.fullmatch(r"(?:[A-Za-z0-9/?#!$&'()*+,;=:@._~\[\]-]|%[0-9A-Fa-f]{2})*", once.path)
    assert parse_location(once.url) == once


@given(st.text(URL_CHARACTERS + ' %"{}|\\^`<>ü', max_size=20), st.integers(0, 20))
def test_an_escape_that_is_there_is_never_encoded_again(text: str, place: int) -> None:
    url = f"https://example.org/{text[:place]}/%2F/{text[place:]}"
    assert "/%2F/" in path_of(url)


@pytest.mark.parametrize(
    ("character", "sent"),
    [
        (" ", "%20"),
        ('"', "%22"),
        ("\n", "%0A"),
        ("ü", "%C3%BC"),
        ("\udcff", "%FF"),
        ("\\", "%5C"),
        ("{", "%7B"),
    ],
)
def test_encoding_is_by_the_bytes_of_utf_8(character: str, sent: str) -> None:
    assert path_of(f"https://example.org/a{character}b") == f"/a{sent}b"


@given(st.sampled_from(LOCAL), PATHS, NAMES)
def test_variables_of_local_paths_are_expanded(scheme: str, value: str, name: str) -> None:
    environment = {"PWD": value, "_CONDOR_SCRATCH_DIR": value}
    for variable in ("$PWD", "${PWD}", "$_CONDOR_SCRATCH_DIR"):
        for url in (f"{scheme}://{variable}/{name}", f"{scheme}:{variable}/{name}"):
            assert path_of(url, environment=environment) == f"{value}/{name}"


@given(st.sampled_from(LITERAL + NETWORK))
def test_variables_of_other_paths_are_not(scheme: str) -> None:
    location = parse_location(f"{scheme}://u@h/a/$HOME", environment={"HOME": "/root"})
    assert location.path.endswith("a/$HOME")
    assert location.problem == ""


def test_a_variable_is_expanded_before_the_url_is_taken_apart() -> None:
    assert path_of("file://$ROOT/a", environment={"ROOT": "localhost/x"}) == "/x/a"
    with pytest.raises(ValueError, match="another host, 'x'"):
        parse_location("file://$ROOT/a", environment={"ROOT": "x"})


def test_a_variable_brings_no_host_where_the_url_has_no_slashes() -> None:
    assert path_of("file:$PWD/a", environment={"PWD": "/"}) == "//a"


def test_the_value_of_a_variable_is_not_expanded_again() -> None:
    assert path_of("file:///$ONE", environment={"ONE": "$TWO", "TWO": "2"}) == "/$TWO"


@pytest.mark.parametrize("name", ["cost$5", "a$b", "a$b.txt", "end$", "$$", "${}", "$(id)", "${a"])
def test_a_dollar_that_begins_no_variable_is_part_of_the_name(name: str) -> None:
    location = parse_location(f"file:///d/{name}", environment={"b": "no", "a": "no"})
    assert (location.path, location.problem) == (f"/d/{name}", "")


@pytest.mark.parametrize("environment", [{}, {"WORK": ""}])
def test_an_unset_or_empty_variable_is_a_problem_and_no_error(environment: dict[str, str]) -> None:
    location = parse_location("file://$WORK/${WORK}/$WORK2", environment=environment)
    assert location.problem == "$WORK, $WORK2 is not set or empty"


def test_without_an_environment_a_path_stays_symbolic() -> None:
    location = parse_location("file://$PWD/${job}/a")
    assert (location.path, location.problem) == ("$PWD/${job}/a", "")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("a", "a"),
        ("d/a b%20", "d/a b%20"),
        ("/d/a", "/d/a"),
        ("/d/12:30", "/d/12:30"),
        ("./a://b", "./a://b"),
        ("$PWD/a", "/work/a"),
        ("-rf", "-rf"),
        ("file:a", "a"),
        ("file:./a", "./a"),
        ("file://./a", "./a"),
        ("file://../a", "../a"),
        ("file:a:b", "a:b"),
        ("file:////a", "//a"),
        ("FILE:///a", "/a"),
    ],
)
def test_spellings_of_local_paths(url: str, path: str) -> None:
    location = parse_location(url, environment={"PWD": "/work"})
    assert (location.scheme, location.path) == ("file", path)


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("s3://bucket/a//b", "", "bucket/a//b"),
        ("s3://bucket", "", "bucket"),
        ("s3://bucket/a@b", "", "bucket/a@b"),
        ("s3s://u@site/bucket/k?x#y", "u@site", "bucket/k?x#y"),
        ("gs://bucket/a//b?x#y", "", "bucket/a//b?x#y"),
        ("gs://bucket", "", "bucket"),
        ("https://user:p%40ss@host/x", "user:p%40ss@host", "/x"),
        ("https://us er@host/x", "us%20er@host", "/x"),
        ("http://[2001:db8::1]:8080/x", "[2001:db8::1]:8080", "/x"),
        ("http://h?q=1", "h", "?q=1"),
        ("http://h", "h", ""),
        ("http://bücher.example/x", "xn--bcher-kva.example", "/x"),
        ("osdf:///ospool/x", "", "/ospool/x"),
        ("go://user#endpoint/x", "user#endpoint", "/x"),
        ("root://h//store/x?tried=a", "h", "//store/x?tried=a"),
        ("token+osdf:///x", "", "/x"),
        ("s3+x://h/y", "h", "/y"),
    ],
)
def test_authorities(url: str, host: str, path: str) -> None:
    location = parse_location(url)
    assert (location.host, location.path) == (host, path)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "empty"),
        ("file:///a\0b", "NUL"),
        ("file:///a\ud800", "surrogate"),
        ("file:", "no path"),
        ("file://", "no path"),
        ("symlink://", "no path"),
        ("file://otherhost/a", "another host, 'otherhost'"),
        (" http://h/a", "does not begin with a scheme"),
        ("$SCHEME://h/a", "variable cannot stand for the scheme"),
        ("mailto:a", "lacks //"),
        ("http:/h/a", "lacks //"),
        ("http:///a", "names no host"),
        ("http://:80/a", "names no host"),
        ("http://h:99999/a", "above 65535"),
        ("http://h:port/a", r"not \[user@\]host\[:port\]"),
        ("http://::1/a", r"not \[user@\]host\[:port\]"),
        ("http://a b/c", "not a valid name"),
        ("http://a%20b/c", "not a valid name"),
        ("http://" + "ü" * 70 + "/c", "not a valid name"),
        ("s3://", "no bucket"),
        ("s3:///k", "no bucket"),
        ("gs:///k", "no bucket"),
        ("s3://u@site", "no bucket"),
        ("s3://u@site/", "no bucket"),
        ("scp://-oProxyCommand=x/a", "begins with a dash"),
        ("scp://u@-v/a", "begins with a dash"),
        ("scp://a b/c", "blank"),
    ],
)
def test_a_url_that_cannot_be_taken_apart_is_an_error(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_location(url)


@pytest.mark.parametrize(
    "url", ["https://u:secret/x@h/", "https://u:secret@h:x/", "file://u:secret@h/x", "https://u:secret@a b/"]
)
def test_an_error_never_repeats_a_password(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_location(url)
    assert "secret" not in str(caught.value)


@given(st.text(max_size=30))
@example("http://[::1")
@example("http://\udcff/")
def test_any_text_is_a_location_or_a_value_error(text: str) -> None:
    try:
        location = parse_location(text)
    except ValueError as error:
        assert str(error)
    else:
        assert location.url.endswith(location.path)


def test_the_endpoint_names_the_service_without_a_password() -> None:
    assert parse_location("https://u:secret@h:1/x").endpoint == "u@h:1"
    assert parse_location("s3://b/k", site="ceph").endpoint == "ceph"
    assert parse_location("s3://b/k").endpoint == "s3"
    assert parse_location("gs://b/k").endpoint == "gs"
    assert parse_location("file:///x", site="local").endpoint == ""


@pytest.mark.parametrize(
    ("host", "login"),
    [
        ("h", ("", None, "h")),
        ("u@h:2", ("u", None, "h:2")),
        ("u:@h", ("u", "", "h")),
        ("u:p:q@[::1]:2", ("u", "p:q", "[::1]:2")),
        ("me%40home:p%3Aq%2F@h", ("me@home", "p:q/", "h")),
        ("u:%FF@h", ("u", "\udcff", "h")),
    ],
)
def test_user_and_password_are_taken_out_of_a_url(host: str, login: tuple[str, str | None, str]) -> None:
    assert login_of(parse_location(f"http://{host}/a")) == login


def test_many_locations_share_their_repeated_parts() -> None:
    one, other = (
        parse_location(f"HTTPS://h.example:1/{n}", site=text[:4], kind=text[4:])
        for n, text in enumerate(["sitedocker", "sitedocker"])
    )
    assert one.scheme is other.scheme and one.host is other.host
    assert one.site is other.site and one.kind is other.kind


@pytest.mark.parametrize(
    ("folder", "url"),
    [
        ("file:///d", "file:///d/a b"),
        ("file:///d/", "file:///d/a b"),
        ("s3://bucket", "s3://bucket/a b"),
        ("s3://u@site/bucket/d?", "s3://u@site/bucket/d?/a b"),
        ("http://h", "http://h/a b"),
        ("http://h/d?sig=1#f", "http://h/d/a b?sig=1#f"),
    ],
)
def test_a_name_is_joined_below_its_folder(folder: str, url: str) -> None:
    assert parse_location(folder).below("a b").url == url


def test_another_path_on_the_same_service() -> None:
    location = parse_location("s3://u@site/bucket/a", site="s")
    assert location.with_path("other/b") == parse_location("s3://u@site/other/b", site="s")


@pytest.mark.parametrize(
    ("scheme", "rule"),
    [("symlink", Rule.LOCAL), ("davs", Rule.URL), ("sftp", Rule.LITERAL), ("x", Rule.LITERAL)],
)
def test_every_scheme_has_a_rule(scheme: str, rule: Rule) -> None:
    assert rule_of(scheme) is rule


def test_what_the_batch_says_beside_the_url_is_kept() -> None:
    location = parse_location("file:a", site="a-b", priority=-3, kind="docker")
    assert location == Location("file:a", "file", "", 5, "a-b", -3, "docker")


def test_a_location_is_a_value() -> None:
    one, same = (parse_location("s3://h/b/a", site="s", priority=2, kind="docker") for _ in range(2))

    assert one == same and hash(one) == hash(same) and repr(one) == repr(same)
    assert pickle.loads(pickle.dumps(one)) == one
    assert one._replace(priority=3) == parse_location("s3://h/b/a", site="s", priority=3, kind="docker")
    changed = [{"url": "x"}, {"scheme": "x"}, {"host": "x"}, {"start": 1}, {"site": "x"}, {"priority": None}]
    for change in [*changed, {"kind": ""}, {"problem": "x"}, {"logical": "x"}]:
        assert one._replace(**change) != one, change


@given(PATHS, st.sampled_from(["file", "symlink"]))
def test_what_is_quick_for_most_local_files_is_right_for_all(path: str, scheme: str) -> None:
    location = parse_location(f"{scheme}://{path}", site="s", priority=1, kind="k", environment={})

    assert location == Location(
        f"{scheme}://{path}", scheme, "", len(scheme) + 3, "s", 1, "k", location.problem
    )


@pytest.mark.parametrize(
    ("folder", "inside"),
    [
        ("root://h//d?authz=x", "root://h//d/a#b?authz=x"),
        ("root://h//d#e", "root://h//d#e/a#b"),
        ("https://h/d?x=1#y", "https://h/d/a#b?x=1#y"),
        ("sftp://h/d?x", "sftp://h/d?x/a#b"),
    ],
)
def test_what_is_no_part_of_the_path_stays_behind_it(folder: str, inside: str) -> None:
    """A query, or what XRootD calls the opaque part."""
    assert parse_location(folder).below("a#b").url == inside

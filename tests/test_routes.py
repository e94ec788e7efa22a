"""Which way one source reaches one destination, why, and why not a better-looking one."""

from __future__ import annotations

import pytest
from runs import at, digest, sha256, transfer
from wf.protocols.locations import Location
from wf.protocols.memory import MemoryServer
from wf.protocols.registry import FILE
from wf.transfer.routes import Decision, Route, decide
from wf.transfer.settings import Settings

SERVICE = MemoryServer().capability()
STORE = MemoryServer("plain").capability(shapes=())


def decided(
    source: Location, destination: Location, settings: Settings | None = None, **details: object
) -> Decision:
    capabilities = {"memory": SERVICE, "plain": STORE}
    return decide(
        transfer(0, source, destination, **details),
        source,
        destination,
        capabilities.get(source.scheme, FILE),
        capabilities.get(destination.scheme, FILE),
        settings or Settings(),
    )


@pytest.mark.parametrize(
    ("source", "destination", "settings", "route"),
    [
        ("/a", "/b", Settings(), Route.LOCAL_COPY),
        ("file:///a", "file:b", Settings(), Route.LOCAL_COPY),
        ("/a", "symlink:///b", Settings(), Route.LINK),
        ("/a", "moveto:///b", Settings(), Route.MOVE),
        ("/a", "moveto:///b", Settings(symlink=True), Route.MOVE),
        ("symlink:///a", "/b", Settings(), Route.LOCAL_COPY),
        ("/a", "/b", Settings(symlink=True), Route.LINK),
        ("/a", "memory://h/b", Settings(), Route.DIRECT),
        ("memory://h/a", "/b", Settings(), Route.DIRECT),
        ("memory://h/a", "symlink:///b", Settings(), Route.DIRECT),
        ("memory://h/a", "moveto:///b", Settings(), Route.DIRECT),
        ("memory://h/a", "/b", Settings(stage_through_file=True), Route.DIRECT),
        ("memory://h/a", "memory://h/b", Settings(), Route.THIRD_PARTY),
        ("memory://h/a", "memory://other/b", Settings(), Route.STREAMED),
        ("memory://h/a", "memory://h:8/b", Settings(), Route.STREAMED),
        ("memory://x@h/a", "memory://y@h/b", Settings(), Route.STREAMED),
        ("memory://h/a", "plain://h/b", Settings(), Route.STREAMED),
        ("plain://h/a", "plain://h/b", Settings(), Route.STREAMED),
        ("plain://h/a", "plain://h/b", Settings(stage_through_file=True), Route.STAGED),
        ("memory://h/a", "memory://h/b", Settings(stage_through_file=True), Route.STAGED),
    ],
)
def test_the_route_between_two_ends(source: str, destination: str, settings: Settings, route: Route) -> None:
    decision = decided(at(source), at(destination), settings)

    assert decision.route is route
    assert decision.why


def test_the_symlink_option_links_only_within_one_site() -> None:
    near, far = at("/a", site="here"), at("/b", site="there")

    apart = decided(near, far, Settings(symlink=True))
    together = decided(near, far._replace(site="here"), Settings(symlink=True))

    assert (apart.route, together.route) == (Route.LOCAL_COPY, Route.LINK)
    assert len(apart.rejected) == 1 and "site" in apart.rejected[0]


def test_two_sites_at_one_host_may_be_two_identities() -> None:
    one, two = at("memory://h/a", site="x"), at("memory://h/b", site="y")

    assert decided(one, two).route is Route.STREAMED


@pytest.mark.parametrize(
    ("details", "settings", "route", "reason"),
    [
        ({"expected": sha256(b"")}, Settings(), Route.THIRD_PARTY, ""),
        ({"expected": digest("md5", b"")}, Settings(), Route.STREAMED, "md5"),
        ({"expected": digest("md5", b"")}, Settings(trust_server_copy=True), Route.THIRD_PARTY, ""),
        ({"generate_checksum": True}, Settings(), Route.STREAMED, "generate_checksum"),
        ({"generate_checksum": True}, Settings(trust_server_copy=True), Route.STREAMED, "generate_checksum"),
        ({}, Settings(stage_through_file=True), Route.STAGED, "--stage file"),
    ],
)
def test_a_third_party_copy_is_not_taken_where_the_digest_would_be_missing(
    details: dict[str, object], settings: Settings, route: Route, reason: str
) -> None:
    decision = decided(at("memory://h/a"), at("memory://h/b"), settings, **details)

    assert decision.route is route
    if reason:
        assert any("third-party copy" in text and reason in text for text in decision.rejected)
    else:
        assert decision.rejected == ()

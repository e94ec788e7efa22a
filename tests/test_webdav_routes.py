"""When two services are asked to copy between them."""

from __future__ import annotations

import pytest
from runs import at, sha256, transfer
from wf.protocols.capability import Shape
from wf.protocols.registry import S3, WEBDAV, Registry
from wf.transfer.routes import Route, decide
from wf.transfer.settings import Settings

HERE, THERE = "davs://one.example/a", "davs://two.example/b"


@pytest.mark.parametrize(
    ("source", "destination", "settings", "route"),
    [
        (HERE, THERE, Settings(), Route.THIRD_PARTY),
        (HERE, "webdavs://one.example/b", Settings(), Route.THIRD_PARTY),
        (HERE, THERE, Settings(stage_through_file=True), Route.STAGED),
        (HERE, "s3://bucket/b", Settings(), Route.STREAMED),
        ("https://one.example/a", THERE, Settings(), Route.STREAMED),
    ],
)
def test_the_route_between_two_services(
    source: str, destination: str, settings: Settings, route: Route
) -> None:
    known = Registry()
    ends = at(source), at(destination)
    capabilities = [known.capability(end.scheme) for end in ends]
    assert capabilities[0] and capabilities[1]

    decision = decide(transfer(0, *ends), *ends, capabilities[0], capabilities[1], settings)

    assert decision.route is route


def test_an_expected_digest_is_compared_with_bytes_unless_the_servers_are_trusted() -> None:
    ends = at(HERE), at(THERE)
    wanted = transfer(0, *ends, expected=sha256(b"x"))

    careful = decide(wanted, *ends, WEBDAV, WEBDAV, Settings())
    trusting = decide(wanted, *ends, WEBDAV, WEBDAV, Settings(trust_server_copy=True))

    assert careful.route is Route.STREAMED
    assert "sha256" in careful.rejected[0]
    assert trusting.route is Route.THIRD_PARTY


def test_other_services_copy_only_inside_themselves() -> None:
    ends = at("s3://a@one/x/y"), at("s3://b@two/x/y")
    assert S3.offers(Shape.COPIER) and not S3.copy_between_services

    assert decide(transfer(0, *ends), *ends, S3, S3, Settings()).route is Route.STREAMED

"""What the tests of S3 share: credentials, locations and stores for a service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wf.credentials.kinds import AccessKey, Secret
from wf.protocols.conformance_tools import make_context
from wf.protocols.locations import Location, parse_location
from wf.protocols.s3 import S3Store

if TYPE_CHECKING:
    from servers.seaweed import Keys

SOME_KEYS = ("AKSOME", "sksome")


def access_key(endpoint: str, keys: Keys | tuple[str, str] = SOME_KEYS, **options: Any) -> AccessKey:
    options.setdefault("region", "us-east-1")
    return AccessKey(
        keys[0],
        Secret(keys[1]),
        endpoint=endpoint,
        name="alice@test",
        origin="[alice@test] of a file",
        **options,
    )


def s3_store(credential: AccessKey, **options: Any) -> S3Store:
    return S3Store(make_context(credential=credential, **options))


def at(path: str, scheme: str = "s3") -> Location:
    return parse_location(f"{scheme}://alice@test/{path}")

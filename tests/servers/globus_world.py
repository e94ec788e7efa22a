"""What the Globus test service knows: collections, clients, tokens, consents, and the faults it was told to have."""

from __future__ import annotations

import fnmatch
import itertools
import os
import re
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .globus_tasks import Task

TRANSFER = "urn:globus:auth:scope:transfer.api.globus.org:all"
TRANSFER_SERVER = "transfer.api.globus.org"
MAPPED = "GCSv5_mapped_collection"
GUEST = "GCSv5_guest_collection"
PERSONAL = "GCP_mapped_collection"
_SCOPES = "https://auth.globus.org/scopes/"


def server_of(scope: str) -> str:
    """The resource server of a scope; several in one text have the same."""
    match = re.match(rf"{_SCOPES}([^/]+)/", scope)
    if match:
        return match[1]
    return TRANSFER_SERVER if scope.startswith(TRANSFER) else "auth.globus.org"


class Refusal(Exception):
    """An answer that is no success, in the shape that the Transfer API gives it."""

    def __init__(self, status: int, code: str, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers: dict[str, str] = extra.pop("headers", {})
        self.extra = extra


class Denied(Exception):
    """The file system behind a collection refuses."""


@dataclass
class Collection:
    """A folder under a UUID. All flags can be changed while the service runs."""

    id: str
    root: str
    name: str = "a collection"
    entity_type: str = MAPPED
    high_assurance: bool = False
    force_verify: bool = False
    disable_verify: bool = False
    connected: bool = True
    broken: bool = False
    """Its server is ill: whatever is asked of it is answered 404 ENDPOINT_ERROR."""
    quota: int | None = None
    """Bytes that a single file may have."""
    readonly: bool = False
    denied: tuple[str, ...] = ()
    """Patterns of paths that may not be used."""
    rename_replaces: bool = True
    needs_consent: bool = True
    paused: bool = False

    @property
    def wants_consent(self) -> bool:
        return self.needs_consent and self.entity_type == MAPPED and not self.high_assurance

    def path(self, name: str, *, writing: bool = False) -> Path:
        """Where the file lies. A relative name and `/~/` begin at the home, which is the root here."""
        inner = name.removeprefix("/~/") if name.startswith("/~/") else name
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in self.denied) or (writing and self.readonly):
            raise Denied(name)
        full = Path(os.path.normpath(os.path.join(self.root, inner.lstrip("/"))))
        if not full.is_relative_to(self.root):
            raise Denied(name)
        return full


@dataclass
class Token:
    owner: str
    scope: str
    server: str
    end: float


@dataclass
class Rule:
    """A fault: for `times` requests `METHOD path`, or copies `copy /source`, that the pattern is found in."""

    match: str
    times: int
    effect: dict[str, Any]


@dataclass
class World:
    """Everything, with one lock around what changes."""

    url: str = ""
    data_url: str = ""
    retry_seconds: float = 0.05
    """After a fault in a task."""
    token_seconds: float = 172_800.0
    tells_checksums: bool = True
    """Whether the list of successful transfers has size and checksum."""
    home: str = ""
    """What the lists of a task have in the place of `/~`."""
    items_most: int = 1 << 30
    """Documents with more items are refused as too large."""
    lock: Any = field(default_factory=threading.RLock)
    collections: dict[str, Collection] = field(default_factory=dict)
    clients: dict[str, str] = field(default_factory=dict)
    codes: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Authorization codes of a login: client and scopes."""
    tokens: dict[str, Token] = field(default_factory=dict)
    refresh: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Refresh token -> its one scope, and the identity."""
    rotate: bool = False
    """Each refresh token works once; the answer brings the next."""
    consents: set[tuple[str, str]] = field(default_factory=set)
    issued: set[str] = field(default_factory=set)
    submissions: dict[str, Task] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    documents: list[dict[str, Any]] = field(default_factory=list)
    """Every transfer and delete document that was posted."""
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def effect(self, what: str) -> dict[str, Any]:
        """The fault for this request or copy; each use counts."""
        with self.lock:
            for rule in self.rules:
                if rule.times > 0 and re.search(rule.match, what):
                    rule.times -= 1
                    return rule.effect
        return {}

    def collection(self, name: str) -> Collection:
        """A collection that can be talked to."""
        one = self.collections.get(name)
        if one is None:
            raise Refusal(404, "EndpointNotFound", f"No such endpoint '{name}'")
        if not one.connected:
            raise Refusal(
                409, "ClientError.Conflict", "The Globus Connect Personal endpoint is not currently connected"
            )
        if one.broken:
            raise Refusal(404, "ENDPOINT_ERROR", "GCS Manager Internal Error")
        return one

    # --- tokens

    def token(self, owner: str, scope: str) -> dict[str, Any]:
        """A new access token for the scopes of one server, as Auth answers it: without what depends on them."""
        server = server_of(scope)
        text = f"access-{uuid.uuid4().hex}"
        self.tokens[text] = Token(owner, scope, server, time.time() + self.token_seconds)
        return {
            "access_token": text,
            "scope": scope,
            "expires_in": int(self.token_seconds),
            "token_type": "Bearer",
            "resource_server": server,
        }

    def consent(self, owner: str, scopes: str) -> None:
        """Remembers what the owner agreed to: every scope that depends on another."""
        for found in re.findall(rf"{_SCOPES}[^/\s\]]+/data_access", scopes):
            self.consents.add((owner, found))

    def owner_of(self, authorization: str, *, collections: Iterable[str] = ()) -> str:
        """Who asks Transfer; raises for a token that is none, and where a consent is missing."""
        token = self.tokens.get(authorization.removeprefix("Bearer "))
        if token is None or token.end < time.time() or token.server != TRANSFER_SERVER:
            raise Refusal(401, "AuthenticationFailed", "Token is not active")
        for name in collections:
            one = self.collections.get(name)
            scope = f"{_SCOPES}{name}/data_access"
            if one is not None and one.wants_consent and (token.owner, scope) not in self.consents:
                raise Refusal(
                    403,
                    "ConsentRequired",
                    "Missing required data_access consent",
                    required_scopes=[f"{TRANSFER}[*{scope}]"],
                )
        return token.owner

    def may_read_data(self, authorization: str, collection: str) -> bool:
        """Whether the token is one for this collection's HTTPS server; a mapped one wants two scopes."""
        token = self.tokens.get(authorization.removeprefix("Bearer "))
        if token is None or token.end < time.time() or token.server != collection:
            return False
        mapped = self.collections[collection].wants_consent
        return "/https" in token.scope and (not mapped or "/data_access" in token.scope)

    def expire(self) -> None:
        for token in self.tokens.values():
            token.end = 0.0

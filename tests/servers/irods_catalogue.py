"""The catalogue and vault of the iRODS test server: collections, data objects with their replicas, users, tickets.

It answers as a real iRODS 5.0.2 did in the cases that were recorded; `Refusal` carries the code.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import re
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STALE, GOOD, INTERMEDIATE = "0", "1", "2"

NO_ROWS = -808000
EXISTS = -809000
UNKNOWN_COLLECTION = -814000
NO_ACCESS = -818000
NOT_EMPTY = -821000
BAD_PASSWORD = -826000
UNKNOWN_USER = -827000
IS_COLLECTION = -833000
IS_OBJECT = -834000
TICKET_INVALID = -890000
TICKET_EXPIRED = -891000
PAM_FAILED = -993000
NO_RESOURCE = -78000
NO_ZONE = -26000
QUOTA = -110000
FILE_ABSENT = -310000
CHECKSUM_MISMATCH = -314000
NO_OBJECT = -358000
BAD_DESCRIPTOR = -402000
VERIFICATION = -407000
HIERARCHY = -1803000
UNKNOWN_API = -12000
SAME_PATHS = -339000


class Refusal(Exception):
    """An error code, and the text that goes with it; most have none."""

    def __init__(self, code: int, text: str = "") -> None:
        super().__init__(f"{code} {text}")
        self.code, self.text = code, text


@dataclass
class Replica:
    number: int
    resource: str
    file: Path
    status: str = INTERMEDIATE
    size: int = 0
    checksum: str = ""
    modified: int = field(default_factory=lambda: int(time.time()))

    def sum(self, *, md5: bool = False) -> str:
        """`sha2:` and the digest of what lies in the vault, or its MD5."""
        with self.file.open("rb") as file:
            if md5:
                return hashlib.file_digest(file, "md5").hexdigest()
            return "sha2:" + base64.b64encode(hashlib.file_digest(file, "sha256").digest()).decode()


@dataclass
class DataObject:
    id: int
    path: str
    owner: str
    replicas: list[Replica]
    created: int = field(default_factory=lambda: int(time.time()))
    writers: set[int] = field(default_factory=set)
    """Handles that are open for writing; they share `token`."""
    token: str = ""
    metadata: list[tuple[str, str]] = field(default_factory=list)
    """Attributes and values."""

    @property
    def collection(self) -> str:
        return parent(self.path)

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass
class Collection:
    id: int
    path: str
    owner: str
    created: int = field(default_factory=lambda: int(time.time()))


@dataclass
class Ticket:
    path: str
    write: bool = False
    expired: bool = False

    def covers(self, path: str) -> bool:
        return path == self.path or path.startswith(f"{self.path}/")


class Catalogue:
    """All that a zone knows. `lock` is held around each request that looks at it or changes it."""

    def __init__(self, vault: Path, zone: str, resources: tuple[str, ...]) -> None:
        vault.mkdir(parents=True, exist_ok=True)
        self.vault, self.zone, self.resources = vault, zone, resources
        self.lock = threading.RLock()
        self.collections: dict[str, Collection] = {}
        self.objects: dict[str, DataObject] = {}
        self.users: dict[str, str] = {}
        """Passwords."""
        self.pam: dict[str, str] = {}
        self.pam_tokens: dict[str, set[str]] = {}
        self.tickets: dict[str, Ticket] = {}
        self.md5 = False
        """The zone computes MD5 where it is not given another checksum."""
        self.quota: int | None = None
        """Bytes that all objects together may have."""
        self._numbers = itertools.count(10_000)
        for path in ("/", f"/{zone}", f"/{zone}/home", f"/{zone}/trash", f"/{zone}/trash/home"):
            self.collections[path] = Collection(next(self._numbers), path, "rods")

    def add_user(self, name: str, password: str, *, pam: bool = False) -> None:
        self.users[name] = "" if pam else password
        if pam:
            self.pam[name] = password
        for above in (f"/{self.zone}/home", f"/{self.zone}/trash/home"):
            self.collections[f"{above}/{name}"] = Collection(next(self._numbers), f"{above}/{name}", name)

    # --- access

    def may(self, user: str, ticket: Ticket | None, path: str, *, write: bool) -> bool:
        """Users own what is below their home and their trash; everybody sees the collections above the homes."""
        if ticket is not None and ticket.covers(path):
            return not ticket.expired and (ticket.write or not write)
        owner = re.match(rf"/{re.escape(self.zone)}/(?:trash/)?home/([^/]+)", path)
        if owner is None:
            return not write
        return owner[1] == user

    def insist(self, user: str, ticket: Ticket | None, path: str, *, write: bool) -> None:
        if not f"{path}/".startswith(f"/{self.zone}/"):
            raise Refusal(NO_ZONE)
        if self.may(user, ticket, path, write=write):
            return
        if ticket is not None:
            expired = ticket.expired and ticket.covers(path)
            raise Refusal(TICKET_EXPIRED if expired else TICKET_INVALID)
        raise Refusal(NO_ACCESS, f"no permission to update collection '{parent(path)}'")

    # --- collections

    def make_collection(self, path: str, user: str, *, recursive: bool) -> None:
        if path in self.collections:
            if recursive:
                return
            raise Refusal(EXISTS)
        if path in self.objects:
            raise Refusal(IS_OBJECT)
        above = parent(path)
        if above not in self.collections:
            if not recursive:
                raise Refusal(UNKNOWN_COLLECTION, f"collection '{above}' is unknown")
            self.make_collection(above, user, recursive=True)
        self.collections[path] = Collection(next(self._numbers), path, user)

    def below(self, path: str) -> tuple[list[str], list[str]]:
        """The collections and the objects below a collection."""
        start = f"{path}/"
        return (
            [each for each in self.collections if each.startswith(start)],
            [each for each in self.objects if each.startswith(start)],
        )

    def remove_collection(self, path: str, *, recursive: bool) -> None:
        if path not in self.collections:
            raise Refusal(FILE_ABSENT)
        inner, objects = self.below(path)
        if (inner or objects) and not recursive:
            raise Refusal(NOT_EMPTY)
        for each in objects:
            self.drop(each)
        for each in (path, *inner):
            del self.collections[each]

    # --- objects

    def object_at(self, path: str, code: int = NO_ROWS) -> DataObject:
        found = self.objects.get(path)
        if found is None:
            raise Refusal(code)
        return found

    def create(self, path: str, user: str, resource: str) -> DataObject:
        above = parent(path)
        if above not in self.collections:
            raise Refusal(UNKNOWN_COLLECTION, f"collection '{above}' is unknown")
        made = DataObject(next(self._numbers), path, user, [])
        made.replicas.append(self.new_replica(made, resource))
        self.objects[path] = made
        return made

    def new_replica(self, owner: DataObject, resource: str) -> Replica:
        number = max((each.number for each in owner.replicas), default=-1) + 1
        file = self.vault / f"{owner.id}.{number}"
        file.touch()
        return Replica(number, resource, file)

    def drop(self, path: str) -> None:
        for replica in self.objects.pop(path).replicas:
            replica.file.unlink(missing_ok=True)

    def throw_away(self, path: str, user: str) -> None:
        """Into the trash."""
        target = f"/{self.zone}/trash{path.removeprefix(f'/{self.zone}')}"
        self.make_collection(parent(target), user, recursive=True)
        moved = self.objects.pop(path)
        moved.path = target
        self.objects[target] = moved

    def rename(self, old: str, new: str) -> None:
        moved = self.object_at(old)
        if new in self.collections or new in self.objects:
            raise Refusal(IS_COLLECTION if new in self.collections else IS_OBJECT)
        if parent(new) not in self.collections:
            raise Refusal(UNKNOWN_COLLECTION, f"collection '{parent(new)}' is unknown")
        del self.objects[old]
        moved.path = new
        self.objects[new] = moved

    def resource(self, keywords: dict[str, str]) -> str:
        """The one that is asked for by name, else the first. Raises Refusal for one that does not exist."""
        names = [keywords[key] for key in ("destRescName", "rescName", "defRescName") if keywords.get(key)]
        for name in names:
            if name not in self.resources:
                raise Refusal(NO_RESOURCE)
        return names[0] if names else ""

    def finish(
        self, owner: DataObject, replica: Replica, *, verify: str = "", register: bool = False
    ) -> None:
        """What closing the last writer's handle does: the replica becomes good, or stale where a checksum is wrong."""
        replica.size, replica.checksum = replica.file.stat().st_size, ""
        replica.modified = int(time.time())
        if verify or register:
            computed = replica.sum(md5=":" not in verify if verify else self.md5)
            if verify and verify != computed:
                replica.status, replica.size = STALE, 0
                raise Refusal(CHECKSUM_MISMATCH)
            replica.checksum = computed
        replica.status = GOOD
        for other in owner.replicas:
            if other is not replica and other.status == GOOD:
                other.status = STALE

    def abandon(self, path: str, handle: int, replica: Replica) -> None:
        """What becomes of a replica whose writer has gone without closing it."""
        owner = self.objects.get(path)
        if owner is None or handle not in owner.writers:
            return
        owner.writers.discard(handle)
        replica.status, replica.size, replica.checksum = STALE, os.path.getsize(replica.file), ""

    def used(self) -> int:
        return sum(os.path.getsize(each.file) for one in self.objects.values() for each in one.replicas)

    def new_token(self) -> str:
        return secrets.token_hex(18)

    def visible(
        self, user: str, ticket: Ticket | None, collection: str | None = None, name: str | None = None
    ) -> Iterator[tuple[Collection, DataObject | None]]:
        """Each collection, and each object with its collection, that this login may see; only those that are named, where
        they are. With a ticket a collection is seen only together with an object in it, as in the real catalogue."""
        if ticket is None:
            for each in self._collections(collection):
                if self.may(user, None, each.path, write=False):
                    yield each, None
        for found in self._objects(collection, name):
            if self.may(user, ticket, found.path, write=False):
                yield self.collections[found.collection], found

    def path_of(self, number: str) -> str:
        """The path of the collection with that number; empty if there is none."""
        return next((each.path for each in self.collections.values() if str(each.id) == number), "")

    def _collections(self, path: str | None) -> list[Collection]:
        if path is None:
            return list(self.collections.values())
        return [self.collections[path]] if path in self.collections else []

    def _objects(self, collection: str | None, name: str | None) -> list[DataObject]:
        if collection is not None and collection not in self.collections:
            return []
        if collection is None or name is None:
            return list(self.objects.values())
        path = f"{collection}/{name}"
        return [self.objects[path]] if path in self.objects else []


def parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"

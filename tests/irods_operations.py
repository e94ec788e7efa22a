"""Operations of python-irodsclient whose answers by a real iRODS 5.0.2 are on record, in `irods-5.0.2.json`.

They run in order, in a collection of their own. Each comes to one line, in which that collection is `$HERE`.
"""

from __future__ import annotations

import base64
import hashlib
import os
from typing import TYPE_CHECKING, NamedTuple

import irods.keywords as kw
from irods.models import Collection, DataObject
from irods.session import iRODSSession

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LARGE = 40 << 20
"""Above 32 MiB the library writes by several streams."""
TEXT = b"hello irods\n" * 1000
ODD = "sp ace & <x> 'q' é.bin"


class Account(NamedTuple):
    host: str
    port: int
    zone: str
    user: str
    password: str
    stranger: str
    """A home collection that the user may not write to."""


def opened(account: Account, **changed: object) -> iRODSSession:
    about = {"host": account.host, "port": account.port, "user": account.user}
    session = iRODSSession(**{**about, "password": account.password, "zone": account.zone, **changed})
    session.connection_timeout = 60
    return session


def checksum(data: bytes) -> str:
    return "sha2:" + base64.b64encode(hashlib.sha256(data).digest()).decode()


def answers(account: Account, folder: Path) -> Iterator[tuple[str, str]]:
    """The name of each operation and what it came to."""
    with opened(account) as session:
        here = f"/{account.zone}/home/{account.user}/operations-{os.urandom(4).hex()}"
        work = Work(session, account, here, folder)
        for name, operation in work.operations():
            yield name, told(operation, work)
    for name, operation in logins(account):
        yield name, told(operation, work)


def told(operation: Callable[[], object], work: Work) -> str:
    """What it returned, or the class, code and text of what it raised."""
    try:
        text = str(operation())
    except Exception as error:  # noqa: BLE001 - every one is an answer
        said = str(error) if str(error) not in ("", "None") else ""
        parts = (type(error).__name__, getattr(error, "code", None), said)
        text = " ".join(str(part) for part in parts if part)
    account = work.account
    for meant, name in ((work.here, "$HERE"), (account.stranger, "$STRANGER"), (account.host, "$HOST")):
        text = text.replace(meant, name)
    return text


class Work:
    def __init__(self, session: iRODSSession, account: Account, here: str, folder: Path) -> None:
        self.session, self.account, self.here, self.folder = session, account, here, folder
        self.objects, self.collections = session.data_objects, session.collections
        self.large = os.urandom(1 << 20) * (LARGE >> 20)
        for name, data in (("text", TEXT), ("large", self.large), ("empty", b"")):
            (folder / name).write_bytes(data)

    def path(self, name: str) -> str:
        return f"{self.here}/{name}"

    def local(self, name: str) -> str:
        return str(self.folder / name)

    def put(self, file: str, name: str, **options: object) -> None:
        self.objects.put(self.local(file), self.path(name), **options)

    def got(self, name: str, data: bytes, **options: object) -> bool:
        """Whether a download to a new file brings these bytes."""
        target = self.folder / os.urandom(8).hex()
        self.objects.get(self.path(name), str(target), **options)
        return target.read_bytes() == data

    def state(self, name: str) -> tuple[str | None, int, list[str]]:
        found = self.objects.get(self.path(name))
        return found.checksum, found.size, [replica.status for replica in found.replicas]

    def is_large(self) -> tuple[bool, bool, list[str]]:
        known, size, statuses = self.state("large")
        return known == checksum(self.large), size == LARGE, statuses

    def operations(self) -> Iterator[tuple[str, Callable[[], object]]]:
        yield from self._collections()
        yield from self._puts()
        yield from self._large()
        yield from self._gets()
        yield from self._checksums()
        yield from self._names()
        yield from self._removals()

    def _collections(self) -> Iterator[tuple[str, Callable[[], object]]]:
        make = self.collections.create
        yield "the version of the server", lambda: self.session.server_version
        yield "a collection with those above it", lambda: make(self.path("a/b/c")).path
        yield "the same collection again", lambda: make(self.path("a/b/c")).path
        yield "one that is there, not recursively", lambda: make(self.path("a"), recurse=False)
        yield "whether an absent collection exists", lambda: self.collections.exists(self.path("nope"))

    def _puts(self) -> Iterator[tuple[str, Callable[[], object]]]:
        wrong = "sha2:" + base64.b64encode(b"x" * 32).decode()
        yield "a small put", lambda: self.put("text", "plain")
        yield "its state", lambda: self.state("plain")
        yield "the same put again", lambda: self.put("text", "plain")
        yield (
            "a put that registers a checksum",
            lambda: self.put("text", "registered", **{kw.REG_CHKSUM_KW: ""}),
        )
        yield "that checksum", lambda: self.state("registered")[0] == checksum(TEXT)
        yield (
            "a put with its checksum",
            lambda: self.put("text", "verified", **{kw.VERIFY_CHKSUM_KW: checksum(TEXT)}),
        )
        yield "the checksum that was given", lambda: self.state("verified")[0] == checksum(TEXT)
        yield "a put with a wrong checksum", lambda: self.put("text", "wrong", **{kw.VERIFY_CHKSUM_KW: wrong})
        yield "what is left of it", lambda: self.state("wrong")
        yield "an empty put", lambda: self.put("empty", "empty", **{kw.REG_CHKSUM_KW: ""})
        yield (
            "the state of what is empty",
            lambda: (self.state("empty")[0] == checksum(b""), self.state("empty")[1]),
        )

    def _large(self) -> Iterator[tuple[str, Callable[[], object]]]:
        right = {kw.VERIFY_CHKSUM_KW: checksum(self.large)}
        yield (
            "a large put by four streams",
            lambda: self.put("large", "large", num_threads=4, **{kw.REG_CHKSUM_KW: ""}),
        )
        yield "the state of what is large", self.is_large
        yield "a large put over it", lambda: self.put("large", "large", num_threads=3, **right)
        yield "the state after that", self.is_large
        yield "a large get by four streams", lambda: self.got("large", self.large, num_threads=4)

    def _gets(self) -> Iterator[tuple[str, Callable[[], object]]]:
        text, absent = self.path("plain"), self.local("absent")
        get = self.objects.get
        yield "a get over a file that is there", lambda: get(text, self.local("text"))
        yield "the same by force", lambda: get(text, self.local("text"), **{kw.FORCE_FLAG_KW: ""}).size
        yield "a small get", lambda: self.got("plain", TEXT)
        yield "an empty get", lambda: self.got("empty", b"")
        yield "a get of what is absent", lambda: get(self.path("absent"), absent)
        yield "whether it left a file", lambda: os.path.exists(absent)
        yield "a get in an absent collection", lambda: get(self.path("nowhere/absent"), absent)
        yield "a put into an absent collection", lambda: self.put("text", "nowhere/y")

    def _checksums(self) -> Iterator[tuple[str, Callable[[], object]]]:
        def middle() -> bytes:
            with self.objects.open(self.path("plain"), "r") as file:
                file.seek(100)
                return bytes(file.read(12))

        def append() -> int:
            with self.objects.open(self.path("plain"), "a") as file:
                return int(file.write(b"tail"))

        verify = {kw.VERIFY_CHKSUM_KW: ""}
        yield "a checksum computed", lambda: self.objects.chksum(self.path("plain")) == checksum(TEXT)
        yield "a checksum verified", lambda: self.objects.chksum(self.path("registered"), **verify)
        yield "the checksum of what is absent", lambda: self.objects.chksum(self.path("absent"))
        yield "twelve bytes from the middle", middle
        yield "four bytes behind the end", append
        yield "the size after that", lambda: self.state("plain")[1]

    def _names(self) -> Iterator[tuple[str, Callable[[], object]]]:
        def listed() -> tuple[list[str], list[str]]:
            found = self.collections.get(self.here)
            return sorted(one.name for one in found.subcollections), sorted(
                one.name for one in found.data_objects
            )

        def odd() -> list[str]:
            self.put("text", ODD)
            return [
                one.name for one in self.collections.get(self.here).data_objects if one.name.startswith("sp")
            ]

        def renamed() -> bool:
            self.objects.move(self.path("registered"), self.path("renamed"))
            return bool(self.objects.exists(self.path("renamed")))

        rows = self.session.query(Collection.name, DataObject.name, DataObject.size, DataObject.checksum)
        yield "a listing", listed
        yield "the rows of a query", lambda: len(list(rows.filter(Collection.name == self.here)))
        yield "a put under an odd name", odd
        yield "a get under it", lambda: self.got(ODD, TEXT)
        yield "a name with a control character", lambda: self.put("text", "nl\x07bell")
        yield "a renaming", renamed
        yield "a put over a collection", lambda: self.put("text", "a")
        yield "where that went", lambda: self.objects.exists(self.path("a/text"))

    def _removals(self) -> Iterator[tuple[str, Callable[[], object]]]:
        def removed(name: str, **options: object) -> bool:
            self.objects.unlink(self.path(name), **options)
            return not self.objects.exists(self.path(name))

        def in_trash() -> bool:
            trash = self.here.replace("/home/", "/trash/home/", 1)
            return any(row[Collection.name] == trash for row in rows.filter(DataObject.name == "verified"))

        def second_writer() -> None:
            with self.objects.open(self.path("locked"), "w"):
                self.objects.open(self.path("locked"), "w")

        def all_removed() -> bool:
            self.collections.remove(self.here, recurse=True, force=True)
            return not self.collections.exists(self.here)

        rows = self.session.query(Collection.name, DataObject.name)
        stranger = self.account.stranger
        yield "a removal to the trash", lambda: removed("verified")
        yield "whether it is there", in_trash
        yield "a removal for good", lambda: removed("wrong", force=True)
        yield "the removal of what is absent", lambda: removed("absent", force=True)
        yield (
            "a full collection, not recursively",
            lambda: self.collections.remove(self.path("a"), recurse=False),
        )
        yield "a put where nothing is allowed", lambda: self.objects.put(self.local("text"), f"{stranger}/x")
        yield "a put to no resource", lambda: self.put("text", "lost", **{kw.DEST_RESC_NAME_KW: "nosuch"})
        yield "a second writer", second_writer
        yield "a tree removed", all_removed
        yield "an absent tree removed", lambda: self.collections.remove(self.here, recurse=True, force=True)


def logins(account: Account) -> Iterator[tuple[str, Callable[[], object]]]:
    def tried(**changed: object) -> object:
        with opened(account, **changed) as session:
            return session.server_version

    yield "a wrong password", lambda: tried(password="wrong")
    yield "an unknown user", lambda: tried(user="nobody1", password="wrong")
    yield "a port where nobody listens", lambda: tried(port=9)

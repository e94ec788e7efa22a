"""What the iRODS test server does with data objects and collections for one connection, each request by its API number."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from .irods_catalogue import (
    BAD_DESCRIPTOR,
    GOOD,
    HIERARCHY,
    INTERMEDIATE,
    IS_COLLECTION,
    NO_OBJECT,
    NO_ROWS,
    QUOTA,
    SAME_PATHS,
    UNKNOWN_API,
    VERIFICATION,
    Refusal,
)
from .irods_frames import packed_json, xml

if TYPE_CHECKING:
    from .irods_agent import Agent
    from .irods_catalogue import DataObject, Replica
    from .irods_frames import Element, Frame

_ACCESS, _CREATE, _TRUNCATE = 3, 64, 512
"""Linux's numbers, whatever the client's system."""
_handles = itertools.count(1)


@dataclass
class Opened:
    handle: int
    path: str
    file: IO[bytes]
    replica: Replica
    writes: bool
    keywords: dict[str, str]


class Objects:
    def __init__(self, agent: Agent) -> None:
        self._agent, self._catalogue = agent, agent.zone.catalogue
        self._open: dict[int, Opened] = {}

    def answer(self, frame: Frame) -> tuple[str, bytes, int]:
        """The message, the bytes and the result of a request. Raises Refusal."""
        number, message = frame.number, frame.message
        if number == 602:
            return "", b"", self._open_object(message)
        if number == 675:
            data = self._opened(message.number("l1descInx")).file.read(message.number("len"))
            return "", data, len(data)
        if number == 676:
            return "", b"", self._write(message, frame.bytes)
        what = getattr(self, f"_api_{number}", None)
        if what is None:
            raise Refusal(UNKNOWN_API, f"API {number} is not known here")
        return what(message), b"", 0

    def abandon(self) -> None:
        """What happens to open objects when the client is gone without having closed them."""
        for each in self._open.values():
            each.file.close()
            if each.writes:
                self._catalogue.abandon(each.path, each.handle, each.replica)

    def _insist(self, path: str, *, write: bool = False) -> None:
        self._catalogue.insist(self._agent.user, self._agent.ticket, path, write=write)

    def _opened(self, descriptor: int) -> Opened:
        found = self._open.get(descriptor)
        if found is None:
            raise Refusal(BAD_DESCRIPTOR, "bad descriptor")
        return found

    # --- open, write, seek, close

    def _open_object(self, message: Element) -> int:
        path, flags, keywords = message.get("objPath"), message.number("openFlags"), message.keywords()
        writes = bool(flags & _ACCESS)
        self._insist(path, write=writes)
        catalogue = self._catalogue
        if path in catalogue.collections:
            raise Refusal(IS_COLLECTION)
        resource = catalogue.resource(keywords)
        found = catalogue.objects.get(path)
        if found is None:
            if not flags & _CREATE:
                raise Refusal(NO_OBJECT)
            self._insist_on_space(message)
            found = catalogue.create(path, self._agent.user, resource or catalogue.resources[0])
        elif writes:
            self._insist_on_space(message)
        replica = self._replica(found, keywords, resource, writes=writes)
        opened = Opened(
            next(_handles), path, replica.file.open("r+b" if writes else "rb", 0), replica, writes, keywords
        )
        if writes:
            self._begin_writing(found, opened, truncate=bool(flags & _TRUNCATE))
        descriptor = next(number for number in itertools.count(3) if number not in self._open)
        self._open[descriptor] = opened
        return descriptor

    def _insist_on_space(self, message: Element) -> None:
        quota = self._catalogue.quota
        if quota is not None and self._catalogue.used() + max(0, message.number("dataSize")) >= quota:
            raise Refusal(QUOTA)

    @staticmethod
    def _replica(found: DataObject, keywords: dict[str, str], resource: str, *, writes: bool) -> Replica:
        """The one that is named by number or resource; else a good one is better than a stale one."""
        if keywords.get("replNum"):
            wanted = [each for each in found.replicas if str(each.number) == keywords["replNum"]]
        elif resource and not writes and "rescName" not in keywords:
            wanted = found.replicas
        else:
            wanted = [each for each in found.replicas if not resource or each.resource == resource]
        if not wanted:
            raise Refusal(HIERARCHY)
        return max(wanted, key=lambda each: each.status == GOOD)

    def _begin_writing(self, found: DataObject, opened: Opened, *, truncate: bool) -> None:
        if found.writers and opened.keywords.get("replicaToken") != found.token:
            opened.file.close()
            raise Refusal(HIERARCHY)
        if not found.writers:
            found.token = self._catalogue.new_token()
        found.writers.add(opened.handle)
        opened.replica.status = INTERMEDIATE
        if truncate:
            opened.file.truncate(0)

    def _write(self, message: Element, data: bytes) -> int:
        quota = self._catalogue.quota
        if quota is not None and self._catalogue.used() + len(data) > quota:
            raise Refusal(QUOTA)
        return self._opened(message.number("l1descInx")).file.write(data)

    def _api_674(self, message: Element) -> str:
        offset = self._opened(message.number("l1descInx")).file.seek(
            message.number("offset"), message.number("whence")
        )
        return xml("fileLseekOut_PI", offset=offset)

    def _api_20000(self, message: Element) -> str:
        """What another connection must show to write to the same replica."""
        opened = self._opened(message.json()["fd"])
        token = self._catalogue.objects[opened.path].token
        info = {"resource_hierarchy": opened.replica.resource, "object_path": opened.path}
        return packed_json({"replica_token": token, "data_object_info": info})

    def _api_20004(self, message: Element) -> str:
        """Closes one of several handles; the last one is closed by 673."""
        opened = self._open.pop(message.json()["fd"], None)
        if opened is None:
            raise Refusal(BAD_DESCRIPTOR, "bad descriptor")
        opened.file.close()
        self._catalogue.objects[opened.path].writers.discard(opened.handle)
        return ""

    def _api_673(self, message: Element) -> str:
        descriptor = message.number("l1descInx")
        opened = self._opened(descriptor)
        del self._open[descriptor]
        opened.file.close()
        found = self._catalogue.objects.get(opened.path)
        if opened.writes and found is not None:
            found.writers.discard(opened.handle)
            asked = {**opened.keywords, **message.keywords()}
            verify, register = asked.get("verifyChksum", ""), "regChksum" in asked
            self._catalogue.finish(found, opened.replica, verify=verify, register=register)
        return ""

    # --- names

    def _api_615(self, message: Element) -> str:
        path = message.get("objPath")
        self._insist(path, write=True)
        if self._catalogue.object_at(path).writers:
            raise Refusal(-406_000)
        if "forceFlag" in message.keywords():
            self._catalogue.drop(path)
        else:
            self._catalogue.throw_away(path, self._agent.user)
        return ""

    def _api_627(self, message: Element) -> str:
        old, new = (each.get("objPath") for each in message.children if each.name == "DataObjInp_PI")
        for path in (old, new):
            self._insist(path, write=True)
        self._catalogue.rename(old, new)
        return ""

    def _api_681(self, message: Element) -> str:
        path, recursive = message.get("collName"), "recursiveOpr" in message.keywords()
        if path not in self._catalogue.collections:
            self._insist(path, write=True)
        self._catalogue.make_collection(path, self._agent.user, recursive=recursive)
        return ""

    def _api_679(self, message: Element) -> str:
        path = message.get("collName")
        self._insist(path, write=True)
        self._catalogue.remove_collection(path, recursive="recursiveOpr" in message.keywords())
        return ""

    # --- whole objects

    def _api_629(self, message: Element) -> str:
        """With verifyChksum nothing is answered where all is well."""
        path, keywords = message.get("objPath"), message.keywords()
        self._insist(path)
        for replica in self._catalogue.object_at(path).replicas:
            if "verifyChksum" in keywords:
                if replica.checksum and replica.checksum != replica.sum(md5=":" not in replica.checksum):
                    raise Refusal(VERIFICATION)
            elif not replica.checksum or "forceChksum" in keywords:
                replica.checksum = replica.sum(md5=self._catalogue.md5)
        if "verifyChksum" in keywords:
            return ""
        return xml("Str_PI", myStr=self._catalogue.object_at(path).replicas[0].checksum)

    def _api_696(self, message: Element) -> str:
        """Copies inside the zone."""
        source, target = (each for each in message.children if each.name == "DataObjInp_PI")
        path, keywords = target.get("objPath"), target.keywords()
        if source.get("objPath") == path:
            raise Refusal(SAME_PATHS)
        self._insist(source.get("objPath"))
        self._insist(path, write=True)
        catalogue = self._catalogue
        original = catalogue.object_at(source.get("objPath"), NO_OBJECT)
        if path in catalogue.collections:
            raise Refusal(IS_COLLECTION)
        resource = catalogue.resource(keywords) or catalogue.resources[0]
        made = catalogue.objects.get(path)
        if made is None:
            made = catalogue.create(path, self._agent.user, resource)
        elif "forceFlag" not in keywords:
            raise Refusal(-312_000)
        shutil.copyfile(_best(original).file, made.replicas[0].file)
        catalogue.finish(made, made.replicas[0], register="regChksum" in keywords)
        return ""

    def _api_695(self, message: Element) -> str:
        """Makes a further replica, or renews a stale one."""
        path, keywords = message.get("objPath"), message.keywords()
        self._insist(path, write=True)
        catalogue = self._catalogue
        found = catalogue.object_at(path, NO_OBJECT)
        resource, best = catalogue.resource(keywords) or catalogue.resources[0], _best(found)
        replica = next((each for each in found.replicas if each.resource == resource), None)
        if replica is None:
            replica = catalogue.new_replica(found, resource)
            found.replicas.append(replica)
        if replica is not best:
            shutil.copyfile(best.file, replica.file)
            replica.size, replica.checksum, replica.status = best.size, best.checksum, GOOD
        return ""

    def _api_706(self, message: Element) -> str:
        """Metadata: `add` of a value, and `rmw`, the removal of all values of an attribute."""
        what, _, path, name, value = (message.get(f"arg{number}") for number in range(5))
        self._insist(path, write=True)
        metadata = self._catalogue.object_at(path).metadata
        if what == "add":
            metadata.append((name, value))
        else:
            kept = [pair for pair in metadata if pair[0] != name]
            if kept == metadata:
                raise Refusal(NO_ROWS)
            metadata[:] = kept
        return ""


def _best(found: DataObject) -> Replica:
    good = [each for each in found.replicas if each.status == GOOD]
    if not good:
        raise Refusal(HIERARCHY)
    return good[0]

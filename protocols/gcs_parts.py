"""Objects of Cloud Storage written in parts: each is an object of its own, and `compose` makes one of all of them.

Parts lie beside their object under `.wf-<token>.part-<bytes of a part>-<generation>-<random>/`, so that a listing tells a later
process all it needs: which copy they are of, how long each is, and what they are to replace. The generation is that of the
object which was there when they were begun: somebody else's is not replaced. An empty object `begun` is there as long
as the parts mean anything.

At most 32 objects are composed at once ("Composite objects" of the documentation), and the results again. The service tells the
CRC-32C of every part and of the whole, and the one follows from the others.

Parts are made only where they cost nothing but themselves: in a bucket that keeps nothing for a minimum time, and by who may
list and remove them. Elsewhere an object is written in one stream.
"""

from __future__ import annotations

import json
from binascii import b2a_hex
from contextlib import suppress
from os import urandom
from typing import TYPE_CHECKING

from ..checksum.digest import Digest, new_hash
from .errors import Broken, Denied, NotFound, TransferError, Unsupported
from .gcs_crc import crc32c_of_both
from .gcs_list import names_below, prefixes_below, remove_below, remove_key
from .gcs_service import JSON_TYPE, RESOURCE, Target, entry_of, receipt_of
from .gcs_session import UPLOAD_TYPE, generation_of
from .gcs_writer import cheap_checksum, put_object
from .values import Part, Receipt, Token

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Final

    from .locations import Location
    from .values import Entry, Incoming

COMPOSED_MOST: Final = 32
_BEGUN: Final = "begun"
_ANY: Final = "any"
"""Stands for the generation where this credential may not look."""
_FREE: Final = frozenset({"STANDARD", "REGIONAL", "MULTI_REGIONAL", "DURABLE_REDUCED_AVAILABILITY", ""})
"""Storage classes without a minimum time ("Storage classes")."""
_NEEDED: Final = ("create", "delete", "get", "list")


def open_parts(target: Target, location: Location, incoming: Incoming, part: int) -> Token:
    """Raises Unsupported where parts would be expensive, or could not be removed."""
    assert incoming.size is not None
    _insist_on_leave(target)
    folder, slash, _ = target.key.rpartition("/")
    begin = f"{folder}{slash}.wf-{incoming.token}.part-{part:x}-{generation_of(target) or _ANY}-"
    found = _left(target, begin) if incoming.resume else ""
    if found:
        return Token(location, found, incoming.size, part, True)
    name = f"{begin}{urandom(8).hex()}/"
    mark = _beside(target, name + _BEGUN)
    mark.check_name()
    put_object(mark, memoryview(b""), ())
    return Token(location, name, incoming.size, part)


def _left(target: Target, begin: str) -> str:
    """The prefix of parts that an earlier process left; empty where there are none, or nobody may look."""
    with suppress(Denied):
        return next(iter(prefixes_below(target, begin)), "")
    return ""


def insist_on_begun(target: Target, token: Token) -> None:
    """Raises NotFound for parts that were published or given up."""
    _beside(target, token.name + _BEGUN).look()


def put_part(target: Target, token: Token, number: int, view: memoryview) -> Part:
    """Stores a part; the service compares its checksum."""
    algorithm = cheap_checksum()
    hashing = new_hash(algorithm)
    hashing.update(view)
    digest = Digest(algorithm, hashing.digest())
    resource = put_object(_beside(target, f"{token.name}{number:05d}"), view, (digest,))
    return _part_of(number, entry_of(resource))


def list_parts(target: Target, token: Token) -> tuple[Part, ...]:
    """Raises NotFound for parts that were published or given up."""
    found = {entry.path: entry for entry in names_below(target, token.name)}
    if _BEGUN not in found:
        raise NotFound(f"the parts of {target.shown} are gone", host=target.service.host)
    named = ((number, found.get(f"{number:05d}")) for number in range(token.total))
    return tuple(
        _part_of(number, entry)
        for number, entry in named
        if entry is not None and entry.size == token.span(number)[1]
    )


def _part_of(number: int, entry: Entry) -> Part:
    """Its mark holds what `commit_parts` needs: generation and CRC-32C."""
    crc = next((digest.value for digest in entry.digests if digest.algorithm == "crc32c"), b"")
    cheap = cheap_checksum()
    told = tuple(digest for digest in entry.digests if digest.algorithm == cheap)
    return Part(number, entry.size or 0, f"{entry.version}/{b2a_hex(crc).decode()}", told)


def commit_parts(target: Target, token: Token, parts: Sequence[Part]) -> Receipt:
    """Composes the parts. What they leave is the caller's to remove, whatever comes of it."""
    generation = token.name.rstrip("/").split("-")[-2]
    names = [(f"{token.name}{part.number:05d}", part.mark.partition("/")[0]) for part in parts]
    level = 0
    while len(names) > COMPOSED_MOST:
        level += 1
        names = [
            _composed_aside(target, f"{token.name}{level}-{index:05d}", group)
            for index, group in enumerate(_groups(names))
        ]
    resource = _compose(target, names, "" if generation == _ANY else generation)
    receipt = receipt_of(resource)
    return receipt._replace(compared=_agrees(target, parts, receipt))


def _groups(names: list[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    for first in range(0, len(names), COMPOSED_MOST):
        yield names[first : first + COMPOSED_MOST]


def _composed_aside(target: Target, key: str, names: list[tuple[str, str]]) -> tuple[str, str]:
    entry = entry_of(_compose(_beside(target, key), names, ""))
    return key, entry.version or ""


def _compose(target: Target, names: list[tuple[str, str]], generation: str) -> dict[str, Any]:
    """The resource of the object that is made of others, of these very generations."""
    sources = [
        {"name": name, **({"generation": version} if version.isdecimal() else {})} for name, version in names
    ]
    body = {"sourceObjects": sources, "destination": {"contentType": UPLOAD_TYPE}}
    query = [("fields", RESOURCE)]
    if generation:
        query.append(("ifGenerationMatch", generation))
    fields = (JSON_TYPE, *target.service.key_fields)
    doing = "composing"
    try:
        answer = target.request(
            doing, "POST", f"{target.path}/compose", query, fields, json.dumps(body).encode()
        )
    except NotFound as error:
        raise Broken(f"{error.what}: a part of it is gone", host=error.host) from None
    return target.document(doing, answer)


def _agrees(target: Target, parts: Sequence[Part], receipt: Receipt) -> bool:
    """Whether the CRC-32C of the whole is the one of its parts; False where the service did not tell all of them."""
    told = next((digest.value for digest in receipt.digests if digest.algorithm == "crc32c"), b"")
    values = [part.mark.partition("/")[2] for part in parts]
    if not told or not all(values):
        return False
    whole = 0
    for part, value in zip(parts, values, strict=True):
        whole = crc32c_of_both(whole, int(value, 16), part.size)
    if whole != int.from_bytes(told, "big"):
        raise Broken(
            f"writing {target.shown}: its parts were right, and what the service made of them is not",
            host=target.service.host,
        )
    return True


def remove_parts(target: Target, token: Token) -> None:
    """Removes the parts and what was composed of them."""
    # First what makes them mean something: another process that goes on with them hears of it.
    remove_key(target, token.name + _BEGUN)
    remove_below(_beside(target, token.name))


def _beside(target: Target, key: str) -> Target:
    return Target(target.service, target.bucket, key, target.shown)


def _insist_on_leave(target: Target) -> None:
    leaves = target.service.takes_parts
    if target.bucket not in leaves:
        leaves[target.bucket] = _why_no_parts(target)
    why = leaves[target.bucket]
    if why:
        raise Unsupported(f"writing {target.shown} in parts: {why}", host=target.service.host)


def _why_no_parts(target: Target) -> str:
    """Why objects of this bucket are not written in parts; empty where they are."""
    doing = "looking at the bucket of"
    query = (("fields", "storageClass,retentionPolicy,defaultEventBasedHold"),)
    try:
        bucket = target.document(doing, target.request(doing, "GET", target.bucket_path, query))
    except NotFound:
        raise
    except TransferError:
        return "nobody may look whether it keeps its objects for a minimum time"
    if str(bucket.get("storageClass", "")) not in _FREE:
        return "what is removed early costs money there"
    if bucket.get("retentionPolicy") or bucket.get("defaultEventBasedHold"):
        return "it keeps its objects"
    lacking = _lacking(target)
    return f"this credential may not {', '.join(lacking)} objects there" if lacking else ""


def _lacking(target: Target) -> list[str]:
    """Which of the needed permissions are missing, where the service tells ("Buckets: testIamPermissions")."""
    doing = "asking for permissions at"
    query = [("permissions", f"storage.objects.{name}") for name in _NEEDED]
    with suppress(TransferError):
        path = f"{target.bucket_path}/iam/testPermissions"
        told = target.document(doing, target.request(doing, "GET", path, query))
        given = told.get("permissions") or ()
        return [name for name in _NEEDED if f"storage.objects.{name}" not in given]
    return []

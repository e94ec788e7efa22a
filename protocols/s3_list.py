"""Buckets, listing and removal."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from .errors import Exists, NotFound, ServerFault, Unsupported
from .s3_errors import fault_error
from .s3_service import drained
from .s3_xml import (
    NotXml,
    create_bucket,
    delete_objects,
    fault_in,
    parse_page,
    text_of,
    writable,
)
from .values import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from .s3_parts import Target
    from .s3_xml import Item, Page

_EMPTY_MOST: Final = 100
"""Pages without anything in a row; a service may send some where much was deleted."""
_PAGE_MOST: Final = 16 << 20
_BATCH: Final = 1000
"""Keys in one DeleteObjects, a limit of the protocol."""


def entries(target: Target, *, recursive: bool) -> Iterator[Entry]:
    """What is below the prefix that `target` means, folders included. NotFound when there is no such bucket."""
    prefix = _folder(target.key)
    above = ""
    for page in _pages(target, prefix, "" if recursive else "/"):
        for folder in page.prefixes:
            path = folder[len(prefix) :].rstrip("/")
            if path and folder.startswith(prefix):
                yield Entry(path, None, is_directory=True)
        for item in page.items:
            path = item.key[len(prefix) :]
            if not path or not item.key.startswith(prefix):
                continue
            if recursive:
                folder = path.rpartition("/")[0]
                # Keys come in order, so a folder that is not above the last key has not been told yet.
                yield from (Entry(name, None, is_directory=True) for name in _new_folders(above, folder))
                above = folder
            if not path.endswith("/"):
                yield _entry(path, item)


def _entry(path: str, item: Item) -> Entry:
    return Entry(path, item.size, item.etag or None, False, _seconds(item.modified))


def _seconds(text: str) -> float | None:
    """An ISO 8601 time of a listing in seconds since 1970; None for what is none."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        return None


def _new_folders(above: str, folder: str) -> Iterator[str]:
    """`folder` and those above it that are not `above` or one above that."""
    at = -1
    while folder:
        at = folder.find("/", at + 1)
        name = folder if at < 0 else folder[:at]
        if name and not name.endswith("/") and name != above and not above.startswith(f"{name}/"):
            yield name
        if at < 0:
            return


def has_below(target: Target) -> bool:
    """Whether there is an object whose key begins with the folder's name and `/`, other than the folder's own."""
    prefix = _folder(target.key)
    page = _page(target, prefix, "", "", 2)
    return any(item.key != prefix for item in page.items)


def _folder(key: str) -> str:
    return key if not key or key.endswith("/") else f"{key}/"


def _pages(target: Target, prefix: str, delimiter: str) -> Iterator[Page]:
    token, seen, empty = "", set[int](), 0
    while True:
        page = _page(target, prefix, delimiter, token)
        yield page
        token = page.token
        if not token:
            return
        empty = 0 if page.items or page.prefixes else empty + 1
        if hash(token) in seen or empty > _EMPTY_MOST:
            raise ServerFault(f"listing {target.shown}: the listing goes round", host=target.service.host)
        seen.add(hash(token))


def _page(target: Target, prefix: str, delimiter: str, token: str, most: int = _BATCH) -> Page:
    query = [("list-type", "2"), ("encoding-type", "url"), ("max-keys", str(most)), ("prefix", prefix)]
    if delimiter:
        query.append(("delimiter", delimiter))
    if token:
        query.append(("continuation-token", token))
    what = f"listing {target.shown}"
    answer = target.service.request(what, "GET", target.bucket, query=query)
    try:
        return parse_page(answer.read_all(_PAGE_MOST))
    except NotXml as error:
        raise ServerFault(f"{what}: {error}", host=target.service.host) from None


def make_bucket(target: Target) -> None:
    """Creates the bucket unless it is there; seeing that needs no right to create one."""
    service = target.service
    what = f"looking for bucket {target.bucket!r} of {target.shown}"
    try:
        drained(service.request(what, "HEAD", target.bucket))
        return
    except NotFound:
        pass
    _create(target)


def _create(target: Target) -> None:
    from hashlib import sha256

    body = create_bucket(target.service.region)
    what = f"creating bucket {target.bucket!r} for {target.shown}"
    payload = sha256(body).hexdigest()
    # Exists: somebody else with this key made it in between.
    with suppress(Exists):
        drained(target.service.request(what, "PUT", target.bucket, body=body, payload=payload))


def remove_key(target: Target) -> None:
    """Removes one key; one that is absent, also with its whole bucket, is success."""
    with suppress(NotFound):
        drained(target.request("removing", "DELETE"))


def remove_bucket(target: Target) -> None:
    """Removes an empty bucket."""
    remove_key(target)


def remove_below(target: Target) -> None:
    """Removes the key itself and every key under `key/`, never another key that begins alike."""
    held = [target.key] if target.key and not target.key.endswith("/") else []
    prefix = _folder(target.key)
    try:
        for page in _pages(target, prefix, ""):
            held += [item.key for item in page.items if item.key.startswith(prefix)]
            while len(held) >= _BATCH:
                _remove_batch(target, held[:_BATCH])
                del held[:_BATCH]
    except NotFound:
        return
    if held:
        _remove_batch(target, held)


def _remove_batch(target: Target, keys: list[str]) -> None:
    """Removes these keys, together where the service and XML allow it."""
    service = target.service
    together = [key for key in keys if writable(key)]
    if len(together) > 1 and service.deletes_together:
        try:
            _delete_objects(target, together)
            keys = [key for key in keys if not writable(key)]
        except Unsupported:
            service.deletes_together = False
    for key in keys:
        drained(service.request(f"removing {key!r} of {target.shown}", "DELETE", target.bucket, key))


def _delete_objects(target: Target, keys: list[str]) -> None:
    from base64 import b64encode
    from hashlib import md5, sha256

    service = target.service
    body = delete_objects(keys)
    # Amazon wants a checksum of this body beside the signature; Content-MD5 is the one that every service knows.
    checksum = b64encode(md5(body, usedforsecurity=False).digest()).decode("ascii")
    answer = service.request(
        f"removing {len(keys)} objects of {target.shown}",
        "POST",
        target.bucket,
        query=(("delete", ""),),
        fields=(("content-md5", checksum),),
        body=body,
        payload=sha256(body).hexdigest(),
    )
    root = target.document("removing objects of", answer, "DeleteResult")
    for child in root:
        fault = fault_in(child)
        if fault.code and fault.code != "NoSuchKey":
            what = f"removing {text_of(child, 'Key')!r} of {target.shown}"
            raise fault_error(what, answer.status, fault, answer.headers, service.host, service.credential)

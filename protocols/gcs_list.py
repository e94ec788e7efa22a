"""Buckets, listing and removal."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from os import urandom
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import Exists, LocalRefused, Misconfigured, NotFound, ServerFault
from .gcs_service import JSON_TYPE, drained, entry_of, quoted
from .values import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from .gcs_service import Target

_PAGE: Final = "1000"
"""Names in one page, a limit of the service."""
_BATCH: Final = 100
"""Calls in one batch, a limit of the service."""
_BATCH_MOST: Final = 4 << 20
_NO_BATCH: Final = (400, 404, 405, 501)
_STATUS = re.compile(rb"(?m)^HTTP/1\.[01] ([0-9]{3})\b")
_FIELDS: Final = "nextPageToken,prefixes,items(name,size,generation,md5Hash,crc32c,updated)"
_NAMES: Final = "nextPageToken,prefixes,items(name)"


class Page(NamedTuple):
    """One page of a listing. `token` leads to the next one and is empty on the last."""

    items: tuple[dict[str, Any], ...]
    prefixes: tuple[str, ...]
    token: str


def entries(target: Target, *, recursive: bool) -> Iterator[Entry]:
    """What is below the prefix that `target` means, folders included. NotFound when there is no such bucket."""
    prefix = folder_of(target.key)
    told: tuple[str, ...] = ()
    for page in _pages(target, prefix, "" if recursive else "/"):
        for folder in page.prefixes:
            path = folder[len(prefix) :].removesuffix("/")
            if path and not path.endswith("/") and folder.startswith(prefix):
                yield Entry(path, None, is_directory=True)
        for item in page.items:
            name = item["name"]
            path = name[len(prefix) :]
            if not path or not name.startswith(prefix):
                continue
            if recursive:
                folders = tuple(path.split("/")[:-1])
                yield from _entered(told, folders)
                told = folders
            if not path.endswith("/"):
                yield entry_of(item, path)


def _entered(before: tuple[str, ...], now: tuple[str, ...]) -> Iterator[Entry]:
    """The folders above a name that were not above the one before it: names come in order, so that is their first."""
    for depth in range(1, len(now) + 1):
        path = "/".join(now[:depth])
        if now[:depth] != before[:depth] and path and not path.endswith("/"):
            yield Entry(path, None, is_directory=True)


def has_below(target: Target) -> bool:
    """Whether there is an object whose key begins with the folder's name and `/`, other than the folder's own."""
    prefix = folder_of(target.key)
    page = _page(target, prefix, "", "", _NAMES, "2")
    return any(item["name"] != prefix for item in page.items)


def look_at_bucket(target: Target) -> None:
    """Returns if the bucket is there. Asks for a name in it, which is allowed to more credentials than the bucket is."""
    _page(target, "", "", "", _NAMES, "1")


def folder_of(key: str) -> str:
    return key if not key or key.endswith("/") else f"{key}/"


def names_below(target: Target, prefix: str) -> Iterator[Entry]:
    """The objects whose keys begin with `prefix`, under what follows it."""
    for page in _pages(target, prefix, ""):
        for item in page.items:
            if item["name"].startswith(prefix):
                yield entry_of(item, item["name"][len(prefix) :])


def prefixes_below(target: Target, begin: str) -> Iterator[str]:
    """The folders whose names begin so, each with the slash at its end."""
    for page in _pages(target, begin, "/"):
        yield from (prefix for prefix in page.prefixes if prefix.startswith(begin))


def _pages(target: Target, prefix: str, delimiter: str) -> Iterator[Page]:
    token = ""
    while True:
        page = _page(target, prefix, delimiter, token, _FIELDS)
        yield page
        if not page.token or page.token == token:
            return
        token = page.token


def _page(target: Target, prefix: str, delimiter: str, token: str, fields: str, most: str = _PAGE) -> Page:
    query = [("maxResults", most), ("fields", fields)]
    given = (("prefix", prefix), ("delimiter", delimiter), ("pageToken", token))
    query += [pair for pair in given if pair[1]]
    answer = target.request("listing", "GET", f"{target.bucket_path}/o", query)
    found = target.document("listing", answer)
    items, prefixes, following = found.get("items"), found.get("prefixes"), found.get("nextPageToken")
    try:
        return Page(
            tuple(item for item in items or () if isinstance(item["name"], str)),
            tuple(str(name) for name in prefixes or ()),
            str(following or ""),
        )
    except (TypeError, KeyError):
        raise ServerFault(
            f"listing {target.shown}: the answer is no listing", host=target.service.host
        ) from None


def make_bucket(target: Target) -> None:
    """Creates the bucket unless it is there."""
    try:
        look_at_bucket(target)
        return
    except NotFound:
        pass
    service = target.service
    if not service.project:
        raise Misconfigured(
            f"creating bucket {target.bucket!r} for {target.shown}: nobody says in which project",
            host=service.host,
            remedy="set GOOGLE_CLOUD_PROJECT, or project in the section of this site",
        )
    body = json.dumps({"name": target.bucket}).encode()
    query = (("project", service.project), ("fields", "name"))
    what = f"creating bucket {target.bucket!r} for {target.shown}"
    try:
        drained(service.request(what, "POST", "/storage/v1/b", query, (JSON_TYPE,), body))
    except Exists:
        # Made by somebody in between: fine if it is for us too.
        look_at_bucket(target)


def remove_key(target: Target, key: str) -> None:
    """Removes one key; one that is absent, also with its whole bucket, is success."""
    with suppress(NotFound):
        drained(target.request("removing", "DELETE", f"{target.bucket_path}/o/{quoted(key)}"))


def remove_bucket(target: Target) -> None:
    """Removes an empty bucket."""
    try:
        drained(target.request("removing", "DELETE", target.bucket_path))
    except NotFound:
        return
    except Exists as error:
        raise LocalRefused(
            error.what, host=error.host, remedy="only an empty bucket can be removed without `recursive`"
        ) from None


def remove_below(target: Target) -> None:
    """Removes the key itself and every key under `key/`, never another key that begins alike."""
    prefix = folder_of(target.key)
    if target.key and target.key != prefix:
        remove_key(target, target.key)
    before: tuple[str, ...] = ()
    with suppress(NotFound):
        # The first page again and again: what was removed is not on it any more.
        while names := _first_names(target, prefix):
            if names == before:
                raise ServerFault(f"removing {target.shown}: the service keeps what it said it removed")
            for first in range(0, len(names), _BATCH):
                _remove_all(target, names[first : first + _BATCH])
            before = names


def _remove_all(target: Target, names: tuple[str, ...]) -> None:
    """Removes these keys: in one request where the service understands that, else, and where one is refused, each by itself."""
    if len(names) > 1 and target.service.deletes_together and _removed_together(target, names):
        return
    for name in names:
        remove_key(target, name)


def _removed_together(target: Target, names: tuple[str, ...]) -> bool:
    """Whether one batch ("Sending batch requests") removed them all."""
    service = target.service
    boundary = urandom(16).hex()
    calls = (
        f"--{boundary}\r\nContent-Type: application/http\r\nContent-ID: <{number}>\r\n\r\n"
        f"DELETE {service.target(f'{target.bucket_path}/o/{quoted(name)}')} HTTP/1.1\r\n\r\n"
        for number, name in enumerate(names)
    )
    body = f"{''.join(calls)}--{boundary}--\r\n".encode("ascii")
    kind = ("Content-Type", f"multipart/mixed; boundary={boundary}")
    what = f"removing {len(names)} objects of {target.shown}"
    answer = service.request(what, "POST", "/batch/storage/v1", (), (kind,), body, also=_NO_BATCH)
    statuses = [int(code) for code in _STATUS.findall(answer.read_all(_BATCH_MOST))]
    service.deletes_together = answer.status < 300 and len(statuses) == len(names)
    return service.deletes_together and all(code < 300 or code == 404 for code in statuses)


def _first_names(target: Target, prefix: str) -> tuple[str, ...]:
    items = _page(target, prefix, "", "", _NAMES).items
    return tuple(item["name"] for item in items if item["name"].startswith(prefix))

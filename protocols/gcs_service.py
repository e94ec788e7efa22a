"""One Cloud Storage service with one credential: requests, tokens, the check of every answer, and objects as it tells them.

Reading and writing bytes go over the JSON API's `download` and `upload` paths ("Cloud Storage JSON API overview").
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from ..checksum.codecs import parse_google
from .errors import LocalRefused, Misconfigured, ServerFault, TransferError, Unsupported
from .gcs_errors import fault_error, fault_of
from .values import Entry, Receipt
from .wire import origin_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final

    from ..checksum.digest import Digest
    from ..credentials.kinds import Credential
    from .exchange import Answer, Fields
    from .gcs_token import Tokens
    from .wire import Wire

    Pairs = Sequence[tuple[str, str]]
    Body = bytes | memoryview | tuple[bytes | memoryview, ...] | None
    """A tuple is sent piece by piece."""

GOOGLE: Final = "https://storage.googleapis.com"
JSON_TYPE: Final = ("Content-Type", "application/json; charset=UTF-8")
RESOURCE: Final = "name,size,generation,md5Hash,crc32c,updated"
"""The fields of an object that are asked for."""
_PLAIN = re.compile(r"[A-Za-z0-9_.~/-]*")
_DOCUMENT_MOST: Final = 32 << 20
_KEY_MOST: Final = 1024


class Service:
    """What the requests with one credential to one endpoint have in common. Belongs to one worker."""

    def __init__(self, wire: Wire, credential: Credential) -> None:
        """Raises Misconfigured where a token would go over a connection that others can read."""
        self.credential = credential
        self.wire = wire
        self.project: str = getattr(credential, "project", "")
        self.deletes_together = True
        """Cleared once the service did not understand a batch."""
        self.takes_parts: dict[str, str] = {}
        """Buckets that were looked at, with the reason why their objects are not written in parts."""
        self._payer: str = getattr(credential, "user_project", "")
        self.origin, prefix = origin_of(getattr(credential, "endpoint", "") or GOOGLE)
        self._prefix = prefix.rstrip("/")
        self._tokens = _tokens_of(credential)
        self.key_fields = _key_fields(credential)
        """What goes with every request about an object that is encrypted with a key of the customer's."""
        if (self._tokens is not None or self.key_fields) and not self.origin.tls:
            raise Misconfigured(
                f"{credential.name} from {credential.origin} is not sent to {self.origin.url('')} without TLS",
                host=self.host,
                remedy="set an https:// endpoint for this site",
            )

    @property
    def host(self) -> str:
        return self.origin.authority

    @property
    def presented(self) -> str:
        """The credential, for people."""
        credential = self.credential
        if self._tokens is None:
            return f"no credential: {credential.origin}"
        return f"credential {credential.name}, from {credential.origin}"

    def is_same_as(self, other: Service) -> bool:
        """Whether one request can speak of buckets of both: the same endpoint and identity."""
        return self.origin == other.origin and self.credential == other.credential

    def request(
        self,
        what: str,
        method: str,
        path: str,
        query: Pairs = (),
        fields: Pairs = (),
        body: Body = None,
        *,
        into: memoryview | None = None,
        also: tuple[int, ...] = (),
    ) -> Answer:
        """The answer with a status below 300, or one of `also`; its body is the caller's. Any other is raised.

        `what` is for people. A token that is refused is replaced once.
        """
        target = self.target(path, query)
        answer, token = self._attempt(method, target, fields, body, into)
        if answer.status == 401 and self._tokens is not None and self._tokens.replace(token, self.wire):
            answer.read_all()
            answer, token = self._attempt(method, target, fields, body, into)
        if answer.status < 300 or answer.status in also:
            return answer
        raise self.error(what, answer)

    def error(self, what: str, answer: Answer) -> TransferError:
        """What an answer that is no success means."""
        return fault_error(what, answer, fault_of(answer), self.host, self.presented)

    def target(self, path: str, query: Pairs = ()) -> str:
        """What follows the host in a request's URL."""
        pairs = (*query, ("userProject", self._payer)) if self._payer else query
        text = f"?{'&'.join(f'{name}={quoted(value)}' for name, value in pairs)}" if pairs else ""
        return f"{self._prefix}{path}{text}"

    def _attempt(
        self, method: str, target: str, fields: Pairs, body: Body, into: memoryview | None
    ) -> tuple[Answer, str]:
        token = self._tokens.current(self.wire) if self._tokens is not None else ""
        headers = (*fields, ("Authorization", f"Bearer {token}")) if token else fields
        if not isinstance(body, tuple):
            return self.wire.exchange(method, self.origin, target, headers, body, into=into), token
        size = sum(len(piece) for piece in body)
        upload = self.wire.upload(method, self.origin, target, headers, size, expect=False)
        for piece in body:
            if not upload.send(piece):
                break
        return upload.finish(), token


class Target:
    """One object, or a bucket where `key` is empty, at one service. `shown` is its URL for people."""

    __slots__ = ("bucket", "key", "service", "shown")

    def __init__(self, service: Service, bucket: str, key: str, shown: str) -> None:
        self.service = service
        self.bucket = bucket
        self.key = key
        self.shown = shown

    @property
    def bucket_path(self) -> str:
        return f"/storage/v1/b/{quoted(self.bucket)}"

    @property
    def path(self) -> str:
        return f"{self.bucket_path}/o/{quoted(self.key)}"

    @property
    def upload_path(self) -> str:
        return f"/upload{self.bucket_path}/o"

    def request(
        self, doing: str, method: str, path: str, query: Pairs = (), fields: Pairs = (), body: Body = None
    ) -> Answer:
        return self.service.request(f"{doing} {self.shown}", method, path, query, fields, body)

    def document(self, doing: str, answer: Answer) -> dict[str, Any]:
        """The JSON object of an answer. Raises ServerFault for anything else."""
        return document_of(f"{doing} {self.shown}", answer, self.service.host)

    def look(self) -> Entry:
        """What the service says of the object."""
        doing = "looking at"
        answer = self.request(doing, "GET", self.path, (("fields", RESOURCE),), self.service.key_fields)
        return entry_of(self.document(doing, answer))

    def check_name(self) -> None:
        """Raises Unsupported for what the service takes for no name ("Object names"), or for another one."""
        key = self.key
        why = ""
        if "\n" in key or "\r" in key:
            why = "holds a line break"
        elif key in (".", "..") or key.startswith(".well-known/acme-challenge/"):
            why = "is reserved"
        elif not key.isascii() and _is_no_text(key):
            why = "is not UTF-8"
        elif len(key.encode("utf-8", "surrogateescape")) > _KEY_MOST:
            why = f"is longer than {_KEY_MOST} bytes"
        if why:
            raise Unsupported(
                f"{self.shown}: the key {why}, which Cloud Storage does not take",
                remedy="choose another name",
            )


def _is_no_text(key: str) -> bool:
    try:
        key.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def target_of(service: Service, path: str, shown: str) -> Target:
    """The target that `bucket/key` means. Raises Misconfigured without a bucket."""
    bucket, _, key = path.partition("/")
    if not bucket:
        raise Misconfigured(f"{shown} names no bucket", remedy="write gs://bucket/key")
    if bucket in (".", ".."):
        raise LocalRefused(f"{shown}: no bucket has that name", remedy="write gs://bucket/key")
    return Target(service, bucket, key, shown)


def quoted(text: str) -> str:
    """`text` as one part of a path or query (RFC 3986): nothing in it separates."""
    if _PLAIN.fullmatch(text):
        return text.replace("/", "%2F")
    return _quoted(text)


@lru_cache(256)
def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="", errors="surrogateescape")


def document_of(what: str, answer: Answer, host: str) -> dict[str, Any]:
    try:
        found = json.loads(answer.read_all(_DOCUMENT_MOST))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ServerFault(f"{what}: the answer is not the JSON object that was expected", host=host)
    return found


def drained(answer: Answer) -> Fields:
    """The headers, after the rest of a body that nobody needs was read, so that the connection can be used again."""
    answer.read_all(64 << 10)
    return answer.headers


def entry_of(resource: dict[str, Any], path: str = "") -> Entry:
    """An object resource as an entry; what is missing or makes no sense is None."""
    size, generation, digests = receipt_of(resource)[:3]
    return Entry(path, size, generation, False, _seconds(_text(resource, "updated")), digests)


def receipt_of(resource: dict[str, Any]) -> Receipt:
    size, generation = _text(resource, "size"), _text(resource, "generation")
    return Receipt(int(size) if size.isdecimal() else None, generation or None, digests_told(resource))


def digests_told(resource: dict[str, Any]) -> tuple[Digest, ...]:
    """CRC-32C, and MD5 where the object was not composed of others."""
    return parse_google(f"crc32c={_text(resource, 'crc32c')},md5={_text(resource, 'md5Hash')}")


def _text(resource: dict[str, Any], name: str) -> str:
    value = resource.get(name)
    return value if isinstance(value, str) else str(value) if isinstance(value, int) else ""


def _seconds(text: str) -> float | None:
    """An RFC 3339 time in seconds since 1970."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        return None


def _key_fields(credential: Credential) -> tuple[tuple[str, str], ...]:
    """The fields that tell a key ("Customer-supplied encryption keys"). Raises Misconfigured for what is none."""
    from ..credentials.kinds import Google

    secret = credential.encryption_key if isinstance(credential, Google) else None
    if secret is None:
        return ()
    from base64 import b64decode, b64encode
    from hashlib import sha256

    try:
        key = b64decode(secret.reveal().strip(), validate=True)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise Misconfigured(
            f"the encryption key of {credential.name}, from {credential.origin}, is not 32 bytes in base64",
            remedy="correct encryption_key in the section of this site",
        )
    return (
        ("x-goog-encryption-algorithm", "AES256"),
        ("x-goog-encryption-key", b64encode(key).decode("ascii")),
        ("x-goog-encryption-key-sha256", b64encode(sha256(key).digest()).decode("ascii")),
    )


def _tokens_of(credential: Credential) -> Tokens | None:
    """What makes the tokens of a credential; None where nothing is presented. Raises Misconfigured."""
    if credential.kind == "anonymous" or getattr(credential, "form", "") == "anonymous":
        return None
    from .gcs_token import tokens_of

    return tokens_of(credential)

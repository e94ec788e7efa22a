"""One S3 service with one access key: where a bucket is, signing, region redirects, and the check of every answer."""

from __future__ import annotations

from ..checksum.records import NamedTuple
from .errors import Misconfigured, ServerFault
from .origins import Request
from .patterns import compiled
from .s3_errors import fault_error
from .s3_xml import Fault, parse_fault
from .sigv4 import EMPTY, UNSIGNED, Signer, quote_key, quote_query
from .wire import Origin, origin_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from ..credentials.kinds import AccessKey
    from .exchange import Answer, Fields
    from .wire import Wire

_REDIRECTS_MOST: Final = 3
_AMAZON: Final = r"(?:.+\.)?amazonaws\.com(?:\.cn)?"
_HOST_NAME: Final = r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]"
_ADDRESS: Final = r"[0-9.]+|.*:.*"

VERIFIERS: Final = ("AmazonS3", "SeaweedFS", "MinIO")
"""How the servers name themselves (`Server` field) that compare an `x-amz-checksum-sha256` with the body before they
repeat it. Others were seen to store it unread (Ceph RGW, rclone), so that their repetition proves nothing."""


class _Place(NamedTuple):
    """Where a bucket's requests go: `prefix` is what its paths begin with."""

    origin: Origin
    host: str
    """The origin, as it is signed."""
    prefix: str
    signer: Signer | None
    """None where requests go unsigned."""


class Service:
    """What the requests of one access key to one endpoint have in common. Belongs to one worker."""

    def __init__(self, wire: Wire, credential: AccessKey, *, insist_on_tls: bool) -> None:
        """Raises Misconfigured where `s3s:` meets an endpoint without TLS."""
        region = credential.region or "us-east-1"
        self.credential = credential
        self.sends_checksums = True
        """Cleared once the server refused a request for its checksum fields."""
        self.deletes_together = True
        """Cleared once the service refused DeleteObjects."""
        self._wire = wire
        self._base, prefix = origin_of(credential.endpoint or f"https://s3.{region}.amazonaws.com")
        self._prefix = prefix.rstrip("/")
        self._follows_region = not credential.endpoint
        self._region = region
        self._signers: dict[str, Signer] = {}
        self._places: dict[str, _Place] = {}
        self._regions: dict[str, str] = {}
        if insist_on_tls and not self._base.tls:
            raise Misconfigured(
                f"s3s: wants TLS, but the endpoint of {credential.name} is {self._base.url('')}",
                host=self._base.authority,
                remedy="set an https:// endpoint for this site, or write s3: in the URL",
            )

    @property
    def tls(self) -> bool:
        return self._base.tls

    @property
    def region(self) -> str:
        return self._region

    @property
    def host(self) -> str:
        return self._base.authority

    def is_same_as(self, other: Service) -> bool:
        """Whether one request can speak of buckets of both: the same endpoint and identity."""
        mine, theirs = self.credential, other.credential
        return self._base == other._base and self._prefix == other._prefix and mine == theirs

    def request(
        self,
        what: str,
        method: str,
        bucket: str,
        key: str = "",
        query: Sequence[tuple[str, str]] = (),
        fields: Sequence[tuple[str, str]] = (),
        body: bytes | memoryview | None = None,
        *,
        payload: str = EMPTY,
        plain: Sequence[tuple[str, str]] = (),
        into: memoryview | None = None,
        answered: Answer | None = None,
    ) -> Answer:
        """The answer with a status below 300, whose body the caller reads; any other is raised as what it means.

        `what` is for people. `fields` are signed, `plain` are not. `payload` is the body's SHA-256 in hexadecimal, or
        UNSIGNED, which counts only over TLS. A bucket in another region is asked there. `answered` is what has come already
        to this request as `asking` made it.
        """
        for _ in range(_REDIRECTS_MOST):
            if answered is not None:
                answer, answered = answered, None
            else:
                _, origin, target, signed, _ = self.asking(method, bucket, key, query, fields, payload)
                headers = [*signed, *plain] if plain else signed
                answer = self._wire.exchange(method, origin, target, headers, body, into=into)
            if answer.status < 300:
                return answer
            fault = self._fault(answer)
            place = self.place(bucket)
            if not self._redirected(bucket, answer, fault):
                break
        raise fault_error(what, answer.status, fault, answer.headers, place.origin.authority, self.credential)

    def asking(
        self,
        method: str,
        bucket: str,
        key: str,
        query: Sequence[tuple[str, str]] = (),
        fields: Sequence[tuple[str, str]] = (),
        payload: str = EMPTY,
    ) -> Request:
        """The request as it is sent, signed."""
        origin, host, prefix, signer = self._places.get(bucket) or self.place(bucket)
        target = f"{prefix}/{quote_key(key)}" if key else prefix or "/"
        text = quote_query(query) if query else ""
        if signer is not None:
            fields = signer.sign(method, host, target, text, payload, fields)
        return Request(method, origin, f"{target}?{text}" if text else target, fields, None)

    def payload_of(self, body: bytes | memoryview) -> str:
        """What signs `body`: nothing over TLS, which protects it; else its digest."""
        from hashlib import sha256

        return UNSIGNED if self.tls else sha256(body).hexdigest()

    def _fault(self, answer: Answer) -> Fault:
        body = answer.read_all(64 << 10)
        return parse_fault(body)

    def _signer(self, region: str) -> Signer | None:
        signer, key = self._signers.get(region), self.credential
        if signer is None and key.access_key:
            signer = Signer(key.access_key, key.secret_key, key.session_token, region)
            self._signers[region] = signer
        return signer

    def _region_of(self, bucket: str) -> str:
        return self._regions.get(bucket, self._region)

    def place(self, bucket: str) -> _Place:
        """Where requests for this bucket go now."""
        return self._places.get(bucket) or self._place(bucket, self._region_of(bucket))

    def _place(self, bucket: str, region: str) -> _Place:
        base = self._base
        if self._follows_region and region != self._region:
            base = base._replace(host=f"s3.{region}.amazonaws.com")
        virtual = self._is_virtual(base, bucket)
        if virtual:
            base = base._replace(host=f"{bucket}.{base.host}")
        return self._settle(bucket, base, virtual=virtual)

    def _settle(self, bucket: str, origin: Origin, *, virtual: bool) -> _Place:
        """From now on requests for this bucket go to `origin`. A virtual host's name has the bucket in it."""
        prefix = self._prefix if virtual else f"{self._prefix}/{quote_key(bucket)}"
        signer = self._signer(self._region_of(bucket))
        place = self._places[bucket] = _Place(origin, origin.authority, prefix, signer)
        return place

    def _is_virtual(self, base: Origin, bucket: str) -> bool:
        """A bucket becomes part of the host only where the name allows it, and a certificate can cover it."""
        style = self.credential.addressing
        if (
            style == "path"
            or not compiled(_HOST_NAME).fullmatch(bucket)
            or compiled(_ADDRESS).fullmatch(base.host)
        ):
            return False
        return style == "virtual" or compiled(_AMAZON).fullmatch(base.host) is not None

    def _redirected(self, bucket: str, answer: Answer, fault: Fault) -> bool:
        """Learns where the bucket is from an answer that says so. False when that brings nothing new."""
        region = answer.headers.get("x-amz-bucket-region") or fault.region
        wrong_region = fault.code == "AuthorizationHeaderMalformed" or answer.status in (301, 307, 308)
        if not wrong_region and not (answer.status == 400 and not fault.code):
            return False
        if region and region != self._region_of(bucket) and compiled(r"[A-Za-z0-9-]{1,40}").fullmatch(region):
            self._regions[bucket] = region
            self._places.pop(bucket, None)
            return True
        return self._moved(bucket, answer.headers, fault)

    def _moved(self, bucket: str, headers: Fields, fault: Fault) -> bool:
        """Follows to another host of Amazon's: a bucket that is a few hours old is redirected to its region's."""
        target = headers.get("location") or ""
        host = origin_of(target)[0].host if target.startswith("http") else fault.endpoint.lower()
        place = self._places[bucket]
        if not compiled(_AMAZON).fullmatch(host) or not compiled(_AMAZON).fullmatch(self._base.host):
            return False
        origin = place.origin._replace(host=host)
        return self._settle(bucket, origin, virtual=host.startswith(f"{bucket}.")) != place


def drained(answer: Answer) -> Fields:
    """The headers, after the rest of a body that nobody needs was read, so that the connection can be used again."""
    answer.read_all(64 << 10)
    return answer.headers


def etag_of(headers: Fields) -> str | None:
    """The strong validator of the answer, as it is sent back in conditions; None for none."""
    etag = headers.values.get("etag")
    return etag if etag and etag.strip('"') and not etag.startswith("W/") else None


def size_of(headers: Fields, what: str, host: str) -> int:
    """Content-Length of an answer that must have one. Raises ServerFault."""
    text = headers.get("content-length") or ""
    if not text.isdecimal():
        raise ServerFault(f"{what}: the server does not tell the size", host=host)
    return int(text)


def sha256_told(headers: Fields) -> bytes | None:
    """The SHA-256 of the whole object that the answer carries; None for none, and for one that is made of parts'."""
    text = headers.values.get("x-amz-checksum-sha256")
    if not text or "-" in text or (headers.get("x-amz-checksum-type") or "").upper() == "COMPOSITE":
        return None
    from base64 import b64decode

    try:
        value = b64decode(text, validate=True)
    except ValueError:
        return None
    return value if len(value) == 32 else None


def verifies(headers: Fields) -> bool:
    """Whether this server is known to have compared the checksum that it tells with the bytes it has."""
    return (headers.get("server") or "").startswith(VERIFIERS)

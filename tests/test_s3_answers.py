"""S3 against a double, for answers that SeaweedFS does not give: other services, regions, and nonsense."""

from __future__ import annotations

import base64
import hashlib
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from s3_tools import access_key, at, s3_store
from servers.scripted import BODY, answer, scripted
from wf.checksum.digest import Digest
from wf.credentials.kinds import Secret
from wf.protocols.conformance_tools import content, drained, written
from wf.protocols.errors import (
    Broken,
    Busy,
    Changed,
    Denied,
    LocalRefused,
    Misconfigured,
    NoSpace,
    NotFound,
    ServerFault,
    TransferError,
    Unsupported,
)
from wf.protocols.proxies import Proxies, Proxy
from wf.protocols.s3 import S3Store
from wf.protocols.s3_parts import PART_BYTES
from wf.protocols.values import Incoming

if TYPE_CHECKING:
    from servers.scripted import Scripted

DATA = b"some content"
SHA256 = hashlib.sha256(DATA).digest()
TOLD = f"x-amz-checksum-sha256: {base64.b64encode(SHA256).decode()}"
OTHER = f"x-amz-checksum-sha256: {base64.b64encode(bytes(32)).decode()}"
ETAG = 'ETag: "0123"'


def store_at(server: Scripted, **options: object) -> S3Store:
    return s3_store(access_key(server.url, **options))


def amazon_through(server: Scripted, **options: object) -> S3Store:
    """Amazon's own names over plain HTTP, which only a proxy can resolve here: the double is that proxy."""
    from wf.protocols.conformance_tools import make_context

    through = Proxies(http=Proxy("127.0.0.1", server.port))
    context = make_context(credential=access_key("http://s3.eu-west-1.amazonaws.com", **options))
    context._proxies = lambda: through
    return S3Store(context)


def fault(code: str, status: str, *fields: str, message: str = "Because", more: str = "") -> bytes:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>"
    return answer(body.encode(), *fields, status=status)


def uploaded(server: Scripted, data: bytes = DATA) -> Digest | None:
    """The one digest of the receipt of a small object that was written."""
    with closing(store_at(server)) as store:
        digests = written(store, at("b/k"), data).digests
    assert len(digests) < 2
    return digests[0] if digests else None


# What a service says of what it has


@pytest.mark.parametrize("server", ["AmazonS3", "SeaweedFS 30GB 4.48", "MinIO"])
def test_an_echo_is_evidence_from_services_that_check_it(server: str) -> None:
    with scripted(answer(b"", ETAG, TOLD, f"Server: {server}")) as service:
        assert uploaded(service) == Digest("sha256", SHA256)
        assert service.requests[0].headers["x-amz-content-sha256"] == SHA256.hex()
        assert service.requests[0].headers["x-amz-checksum-sha256"] == TOLD.partition(": ")[2]


@pytest.mark.parametrize(
    "fields",
    [(ETAG, TOLD, "Server: rclone/1.75"), (ETAG, TOLD), (ETAG,), (), ('ETag: ""',)],
    ids=["unread", "nameless", "ceph", "bare", "empty"],
)
def test_what_nobody_checked_is_no_evidence(fields: tuple[str, ...]) -> None:
    with scripted(answer(b"", *fields)) as service:
        assert uploaded(service) is None


def test_another_digest_than_ours_is_a_broken_write() -> None:
    with scripted(answer(b"", ETAG, OTHER)) as service, pytest.raises(Broken, match="another SHA-256"):
        uploaded(service)


def test_an_etag_that_is_no_md5_proves_nothing() -> None:
    md5 = Digest("md5", hashlib.md5(DATA).digest())
    for etag, expected in (("f" * 32, ()), (md5.hex, (md5,)), (md5.hex.upper(), (md5,))):
        with scripted(answer(b"", f'ETag: "{etag}"')) as service, closing(store_at(service)) as store:
            writer = store.open_write(at("b/k"), Incoming(len(DATA), SHA256))
            writer.write(memoryview(DATA))
            assert writer.commit((Digest("sha256", SHA256), md5)).digests == expected


def test_a_service_that_refuses_checksums_gets_none_from_then_on() -> None:
    refusal = fault("NotImplemented", "501 Not Implemented")
    with scripted([BODY, refusal], [BODY, answer(b"", ETAG)]) as service, closing(store_at(service)) as store:
        for name in ("one", "two"):
            written(store, at(f"b/{name}"), DATA)
        assert ["x-amz-checksum-sha256" in request.headers for request in service.requests] == [
            True,
            False,
            False,
        ]
        assert [request.body for request in service.requests] == [DATA] * 3


def test_a_checksum_of_checksums_is_none_of_the_object() -> None:
    for fields in ((f"{TOLD}-2",), (TOLD, "x-amz-checksum-type: COMPOSITE"), ("x-amz-checksum-sha256: ?",)):
        with scripted(answer(DATA, ETAG, *fields)) as service, closing(store_at(service)) as store:
            reader = store.open_read(at("b/k"))
            assert (reader.digests, drained(reader)) == ((), DATA)


def test_a_stored_digest_that_nobody_checked_is_expected_by_readers_only() -> None:
    with scripted(answer(DATA, ETAG, TOLD)) as service, closing(store_at(service)) as store:
        reader = store.open_read(at("b/k"))
        assert (reader.digests, drained(reader)) == ((Digest("sha256", SHA256),), DATA)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n" + TOLD.encode() + b"\r\n\r\n"
    with scripted(head) as service, closing(store_at(service)) as store:
        assert store.digest(at("b/k"), "sha256") is None
        assert store.stat(at("b/k")).digests == ()


# Ranges


def test_a_range_with_status_200_is_taken_for_what_its_field_says() -> None:
    with scripted(answer(DATA[3:], ETAG, "Content-Range: bytes 3-11/12")) as service:
        with closing(store_at(service)) as store:
            reader = store.open_read(at("b/k"), start=3, version='"0123"')
            assert (drained(reader), reader.size) == (DATA[3:], 12)
        assert service.requests[0].headers["range"] == "bytes=3-"
        assert service.requests[0].headers["if-match"] == '"0123"'


@pytest.mark.parametrize(
    "reply",
    [
        answer(DATA, ETAG),
        answer(DATA[2:], ETAG, "Content-Range: bytes 2-11/12", status="206 Partial Content"),
        answer(DATA[3:], 'ETag: "other"', "Content-Range: bytes 3-11/12", status="206 Partial Content"),
        fault("PreconditionFailed", "412 Precondition Failed"),
        fault("InvalidRange", "416 Requested Range Not Satisfiable"),
    ],
    ids=["ignored", "another start", "another version", "412", "416"],
)
def test_other_bytes_than_those_asked_for_are_a_change(reply: bytes) -> None:
    with scripted(reply) as service, closing(store_at(service)) as store, pytest.raises(Changed):
        store.open_read(at("b/k"), start=3, version='"0123"')


def test_a_length_that_was_ignored_is_a_change() -> None:
    with scripted(answer(DATA, ETAG)) as service, closing(store_at(service)) as store:
        with pytest.raises(Changed, match="ignored the range"):
            store.open_read(at("b/k"), length=5)
        assert drained(store.open_read(at("b/k"), length=100)) == DATA


def test_a_content_range_without_sense_is_the_servers_fault() -> None:
    reply = answer(DATA, ETAG, "Content-Range: pages 1", status="206 Partial Content")
    with scripted(reply) as service, closing(store_at(service)) as store, pytest.raises(ServerFault):
        store.open_read(at("b/k"), start=3)


# Errors

ERRORS = [
    ("NoSuchKey", "404 Not Found", NotFound),
    ("AccessDenied", "403 Forbidden", Denied),
    ("ExpiredToken", "400 Bad Request", Denied),
    ("RequestTimeTooSkewed", "403 Forbidden", Denied),
    ("SlowDown", "503 Slow Down", Busy),
    ("TooManyRequests", "429 Too Many Requests", Busy),
    ("InternalError", "500 Internal Server Error", ServerFault),
    ("RequestTimeout", "400 Bad Request", Broken),
    ("XAmzContentSHA256Mismatch", "400 Bad Request", Broken),
    ("QuotaExceeded", "403 Forbidden", NoSpace),
    ("EntityTooLarge", "400 Bad Request", Unsupported),
    ("InvalidObjectState", "403 Forbidden", Unsupported),
    ("SomethingNew", "400 Bad Request", Unsupported),
    ("SomethingNew", "507 Insufficient Storage", NoSpace),
    ("SomethingNew", "502 Bad Gateway", ServerFault),
    ("PermanentRedirect", "301 Moved Permanently", Misconfigured),
]


@pytest.mark.parametrize(("code", "status", "kind"), ERRORS)
def test_every_code_has_its_meaning(code: str, status: str, kind: type[TransferError]) -> None:
    with scripted(fault(code, status, "Retry-After: 7")) as service, closing(store_at(service)) as store:
        with pytest.raises(kind) as caught:
            store.open_read(at("b/k"))
        assert type(caught.value) is kind
        assert caught.value.what.startswith(f"reading s3://alice@test/b/k: {code} ({status[:3]}): Because")
        assert caught.value.host == f"127.0.0.1:{service.port}"
        assert caught.value.remedy
        assert caught.value.retry_after == 7
        with pytest.raises(kind):
            written(store, at("b/k"), DATA)


@pytest.mark.parametrize(
    "body", [b"", b"<html><p>", b"<Error>", b"<!DOCTYPE x []><Error><Code>SlowDown</Code></Error>"]
)
def test_an_answer_without_a_code_goes_by_its_status(body: bytes) -> None:
    for status, kind in (("403 No", Denied), ("404 No", NotFound), ("500 No", ServerFault), ("503 No", Busy)):
        with (
            scripted(answer(body, status=status)) as service,
            closing(store_at(service)) as store,
            pytest.raises(kind, match=f"the server answered {status[:3]}"),
        ):
            store.open_read(at("b/k"))


def test_what_a_server_says_cannot_harm_a_terminal_or_tell_a_secret() -> None:
    message = "&#x9b;31m Signature=hunter2 at https://u:hunter2@h/?X-Amz-Signature=hunter2 " + "x" * 1000
    with (
        scripted(fault("AccessDenied", "403 No", message=message)) as service,
        closing(store_at(service)) as store,
        pytest.raises(Denied) as caught,
    ):
        store.open_read(at("b/k\x1b[2J"))
    assert caught.value.what.isprintable()
    assert "hunter2" not in caught.value.what
    assert len(caught.value.what) < 500


def test_a_success_that_holds_an_error_is_an_error() -> None:
    begin = answer(
        b"<InitiateMultipartUploadResult><UploadId>u&amp;1</UploadId></InitiateMultipartUploadResult>"
    )
    part = answer(b"", ETAG)
    for end, kind in (
        (fault("InternalError", "200 OK"), ServerFault),
        (answer(b"   \n" + fault("SlowDown", "200 OK").partition(b"\r\n\r\n")[2]), Busy),
        (answer(b""), ServerFault),
        (answer(b"<html/>"), ServerFault),
    ):
        with scripted(begin, part, part, end, answer(status="204 No Content")) as service:
            with closing(store_at(service)) as store, pytest.raises(kind):
                written(store, at("b/k"), content(PART_BYTES + 1))
            assert [request.line.split(" ")[0] for request in service.requests] == [
                "POST",
                "PUT",
                "PUT",
                "POST",
                "DELETE",
            ]
            assert service.requests[-1].line == "DELETE /b/k?uploadId=u%261 HTTP/1.1"
    with (
        scripted(answer(b"", "Content-Length: 0"), fault("AccessDenied", "200 OK")) as service,
        closing(store_at(service)) as store,
        pytest.raises(TransferError),
    ):
        store.copy(at("b/from"), at("b/to"), "")


def test_a_part_without_an_etag_is_not_taken_for_stored() -> None:
    begin = answer(b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
    for part in (answer(b""), answer(b"", ETAG, OTHER)):
        with (
            scripted(begin, part, answer(status="204 No Content")) as service,
            closing(store_at(service)) as store,
            pytest.raises(Broken, match="part 1"),
        ):
            written(store, at("b/k"), content(PART_BYTES + 1))


def test_a_key_that_may_not_look_still_writes_in_parts() -> None:
    begin = answer(b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
    end = answer(
        b"<CompleteMultipartUploadResult><ETag>&quot;9-2&quot;</ETag></CompleteMultipartUploadResult>"
    )
    with (
        scripted(begin, answer(b"", ETAG), answer(b"", ETAG), end, answer(status="403 No")) as service,
        closing(store_at(service)) as store,
    ):
        receipt = written(store, at("b/k"), content(PART_BYTES + 1))
    assert (receipt.size, receipt.version, receipt.digests) == (None, '"9-2"', ())


# Regions


def test_a_bucket_in_another_region_is_asked_there_and_remembered() -> None:
    moved = fault("PermanentRedirect", "301 Moved", "x-amz-bucket-region: ap-south-1")
    with scripted(moved, answer(DATA, ETAG)) as service, closing(store_at(service)) as store:
        for _ in range(2):
            assert drained(store.open_read(at("b/k"))) == DATA
        regions = [request.headers["authorization"].split("/")[2] for request in service.requests]
        assert regions == ["us-east-1", "ap-south-1", "ap-south-1"]


def test_a_malformed_authorization_names_the_region() -> None:
    wrong = fault("AuthorizationHeaderMalformed", "400 Bad Request", more="<Region>eu-central-1</Region>")
    with scripted([BODY, wrong], [BODY, answer(b"", ETAG)]) as service, closing(store_at(service)) as store:
        written(store, at("b/k"), DATA)
        assert "/eu-central-1/s3/" in service.requests[1].headers["authorization"]
        assert service.requests[1].body == DATA


def test_an_answer_without_body_names_the_region_too() -> None:
    wrong = answer(b"", "x-amz-bucket-region: eu-central-1", status="400 Bad Request")
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n" + ETAG.encode() + b"\r\n\r\n"
    with scripted(wrong, head) as service, closing(store_at(service)) as store:
        assert store.stat(at("b/k")).size == 12


def test_regions_that_lead_in_a_circle_are_a_configuration_error() -> None:
    there = fault("PermanentRedirect", "301 Moved", "x-amz-bucket-region: one")
    back = fault("PermanentRedirect", "301 Moved", "x-amz-bucket-region: two")
    with scripted(there, back, there, back, there) as service, closing(store_at(service)) as store:
        with pytest.raises(Misconfigured, match="PermanentRedirect"):
            store.open_read(at("b/k"))
        assert len(service.requests) == 3


def test_nobody_else_can_redirect_us_away() -> None:
    with scripted(answer(DATA)) as elsewhere:
        away = fault("TemporaryRedirect", "307 Moved", f"Location: {elsewhere.url}/b/k")
        with scripted(away) as service, closing(store_at(service)) as store, pytest.raises(Misconfigured):
            store.open_read(at("b/k"))
        assert elsewhere.requests == []


def test_amazon_is_asked_by_bucket_name_and_may_send_us_to_another_of_its_hosts() -> None:
    there = "http://bucket.s3-eu-west-2.amazonaws.com/a%20b"
    moved = fault("TemporaryRedirect", "307 Moved", f"Location: {there}")
    with scripted(moved, answer(DATA, ETAG)) as service, closing(amazon_through(service)) as store:
        assert drained(store.open_read(at("bucket/a b"))) == DATA
        assert [request.line for request in service.requests] == [
            "GET http://bucket.s3.eu-west-1.amazonaws.com/a%20b HTTP/1.1",
            f"GET {there} HTTP/1.1",
        ]
        assert service.requests[1].headers["host"] == "bucket.s3-eu-west-2.amazonaws.com"


def test_a_bucket_that_is_no_host_name_stays_in_the_path() -> None:
    with scripted(answer(DATA, ETAG)) as service, closing(amazon_through(service)) as store:
        for bucket in ("dotted.bucket", "Upper", "under_score"):
            drained(store.open_read(at(f"{bucket}/k")))
            assert service.requests[-1].line.startswith(f"GET http://s3.eu-west-1.amazonaws.com/{bucket}/k ")
    with (
        scripted(answer(DATA, ETAG)) as service,
        closing(amazon_through(service, addressing="path")) as store,
    ):
        drained(store.open_read(at("bucket/k")))
        assert service.requests[-1].line.startswith("GET http://s3.eu-west-1.amazonaws.com/bucket/k ")


def test_an_endpoint_may_have_a_path() -> None:
    with scripted(answer(DATA, ETAG)) as service:
        with closing(s3_store(access_key(f"{service.url}/gateway/s3/"))) as store:
            drained(store.open_read(at("b/k")))
        assert service.requests[0].line == "GET /gateway/s3/b/k HTTP/1.1"


# Who signs


def test_a_session_token_is_sent_and_signed() -> None:
    with scripted(answer(DATA, ETAG)) as service:
        with closing(store_at(service, session_token=Secret("tok+en"))) as store:
            drained(store.open_read(at("b/k")))
        headers = service.requests[0].headers
        assert headers["x-amz-security-token"] == "tok+en"
        assert "x-amz-security-token" in headers["authorization"]


def test_without_a_key_nothing_is_signed() -> None:
    with scripted(answer(DATA, ETAG)) as service:
        with closing(s3_store(access_key(service.url, ("", "")))) as store:
            drained(store.open_read(at("b/k")))
        assert "authorization" not in service.requests[0].headers


def test_a_small_object_costs_one_request_each_way() -> None:
    with scripted(answer(b"", ETAG)) as service, closing(store_at(service)) as store:
        written(store, at("b/k"), DATA)
        drained(store.open_read(at("b/k")))
        assert [request.line for request in service.requests] == ["PUT /b/k HTTP/1.1", "GET /b/k HTTP/1.1"]
        assert service.connections == 1


# Removal, buckets, lists


def listing(*keys: str, encoded: bool = True, token: str = "") -> bytes:
    items = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in keys)
    more = (
        f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>"
        if token
        else ""
    )
    kind = "<EncodingType>url</EncodingType>" if encoded else ""
    xmlns = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    return answer(f"<ListBucketResult {xmlns}>{kind}{more}{items}</ListBucketResult>".encode())


def test_keys_that_xml_cannot_spell_are_removed_one_by_one() -> None:
    done = answer(b"<DeleteResult/>")
    with scripted(listing("d/a%01", "d/b%0A%26", "d/c", "d/n%FF"), done, answer(status="204 No")) as service:
        with closing(store_at(service)) as store:
            store.remove(at("b/d"), recursive=True)
        together = service.requests[1]
        assert together.line == "POST /b?delete= HTTP/1.1"
        assert b"<Key>d</Key>" in together.body and b"<Key>d/b&#10;&#38;</Key>" in together.body
        md5 = base64.b64encode(hashlib.md5(together.body).digest()).decode()
        assert together.headers["content-md5"] == md5
        assert [request.line for request in service.requests[2:]] == [
            "DELETE /b/d/a%01 HTTP/1.1",
            "DELETE /b/d/n%FF HTTP/1.1",
        ]


def test_a_service_without_removal_of_many_gets_single_ones() -> None:
    refusal = fault("NotImplemented", "501 Not Implemented")
    with scripted(listing("d/a", "d/b"), [BODY, refusal], answer(status="204 No")) as service:
        with closing(store_at(service)) as store:
            store.remove(at("b/d"), recursive=True)
        assert [request.line.split(" ")[1] for request in service.requests[2:]] == [
            "/b/d",
            "/b/d/a",
            "/b/d/b",
        ]


def test_a_key_that_could_not_be_removed_is_an_error() -> None:
    failed = answer(
        b"<DeleteResult><Error><Key>d/a</Key><Code>NoSuchKey</Code></Error>"
        b"<Error><Key>d/b</Key><Code>AccessDenied</Code><Message>locked</Message></Error></DeleteResult>"
    )
    with (
        scripted(listing("d/a", "d/b"), failed) as service,
        closing(store_at(service)) as store,
        pytest.raises(Denied, match="removing 'd/b' of s3://alice@test/b/d: AccessDenied"),
    ):
        store.remove(at("b/d"), recursive=True)


def test_keys_outside_the_folder_are_not_removed_although_a_server_lists_them() -> None:
    with (
        scripted(listing("d/a", "other"), answer(b"<DeleteResult/>")) as service,
        closing(store_at(service)) as store,
    ):
        store.remove(at("b/d"), recursive=True)
        assert b"other" not in service.requests[1].body


def test_a_list_goes_on_where_the_server_says() -> None:
    with (
        scripted(listing("d/a", token="1/+="), listing("d/b+c")) as service,
        closing(store_at(service)) as store,
    ):
        assert [entry.path for entry in store.list(at("b/d"), recursive=True)] == ["a", "b c"]
        assert "continuation-token=1%2F%2B%3D" in service.requests[1].line


@pytest.mark.parametrize(
    "page",
    [
        answer(b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"),
        answer(b"<ListBucketResult><Contents><Key>d/a</Key></Contents></ListBucketResult>"),
        answer(b"<html/>"),
        answer(b"not xml"),
    ],
)
def test_a_list_without_sense_is_the_servers_fault(page: bytes) -> None:
    with scripted(page) as service, closing(store_at(service)) as store, pytest.raises(ServerFault):
        list(store.list(at("b/d"), recursive=True))


def test_keys_that_are_not_encoded_are_taken_as_they_are() -> None:
    with scripted(listing("d/a+%20", encoded=False)) as service, closing(store_at(service)) as store:
        assert [entry.path for entry in store.list(at("b/d"), recursive=True)] == ["a+%20"]


def test_a_bucket_is_made_in_its_region_and_once() -> None:
    missing = answer(b"", status="404 No")
    with scripted(missing, answer(b""), missing, fault("BucketAlreadyOwnedByYou", "409 Conflict")) as service:
        with closing(store_at(service, region="eu-west-3")) as store:
            store.make_directory(at("b/some/folder"))
            store.make_directory(at("b/some/folder"))
        assert [request.line for request in service.requests] == ["HEAD /b HTTP/1.1", "PUT /b HTTP/1.1"] * 2
        assert b"<LocationConstraint>eu-west-3</LocationConstraint>" in service.requests[1].body
    with scripted(missing, answer(b"")) as service, closing(store_at(service)) as store:
        store.make_directory(at("b"))
        assert service.requests[1].body == b""


def test_a_bucket_that_somebody_else_has_is_told() -> None:
    with (
        scripted(answer(b"", status="404 No"), fault("BucketAlreadyExists", "409 Conflict")) as service,
        closing(store_at(service)) as store,
        pytest.raises(Denied, match="BucketAlreadyExists"),
    ):
        store.make_directory(at("b"))


def test_a_bucket_with_objects_is_not_removed() -> None:
    with (
        scripted(fault("BucketNotEmpty", "409 Conflict")) as service,
        closing(store_at(service)) as store,
        pytest.raises(LocalRefused),
    ):
        store.remove(at("b"), recursive=False)

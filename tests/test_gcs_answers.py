"""Cloud Storage against a double, for what no emulator gives: refusals, tokens, half-taken chunks, long copies, nonsense."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from gcs_tools import at, gcs_store, nobody
from servers.scripted import BODY, CLOSE, answer, scripted
from wf.credentials.kinds import AccessKey, Anonymous, Bearer, Google, Secret
from wf.protocols.conformance_tools import begun, content, digest_of, digests_for, drained, refused, written
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
    Unreachable,
    Unsupported,
)
from wf.protocols.gcs_service import Service
from wf.protocols.gcs_writer import CHUNK_BYTES
from wf.protocols.tls import tls_context

if TYPE_CHECKING:
    from pathlib import Path

    from servers.scripted import Scripted
    from servers.tls import TlsFiles
    from wf.protocols.gcs import GcsStore

DATA = b"some content"
CRC = digest_of("crc32c", DATA).base64
GENERATION = "x-goog-generation: 17"
SECRET_SESSION = "AbCdEfCanary"
ENDS = "Connection: close"
"""What comes next comes on a connection of its own, so that it is not taken for a stale one when it breaks."""


def store_at(server: Scripted, **options: Any) -> GcsStore:
    return gcs_store(nobody(server.url, **options))


def said(status: str, reason: str = "", message: str = "Because", *fields: str) -> bytes:
    error = {"code": int(status[:3]), "message": message, "errors": [{"domain": "global", "reason": reason}]}
    return answer(
        json.dumps({"error": error}).encode(), "Content-Type: application/json", *fields, status=status
    )


def resource(data: bytes, **more: object) -> bytes:
    checksum = digest_of("crc32c", data).base64
    about = {"name": "k", "size": str(len(data)), "generation": "18", "crc32c": checksum, **more}
    return answer(json.dumps(about).encode())


def session(server: Scripted, status: str = "200 OK") -> bytes:
    where = f"{server.url}/upload/storage/v1/b/b/o?uploadType=resumable&upload_id={SECRET_SESSION}"
    return answer(b"", f"Location: {where}", ENDS, status=status)


def so_far(count: int) -> bytes:
    fields = (f"Range: bytes=0-{count - 1}",) if count else ()
    return answer(b"", *fields, ENDS, status="308 Resume Incomplete")


# Errors

ERRORS = [
    ("404 Not Found", "notFound", NotFound),
    ("401 Unauthorized", "authError", Denied),
    ("401 Unauthorized", "required", Denied),
    ("403 Forbidden", "forbidden", Denied),
    ("403 Forbidden", "insufficientPermissions", Denied),
    ("403 Forbidden", "rateLimitExceeded", Busy),
    ("403 Forbidden", "userRateLimitExceeded", Busy),
    ("403 Forbidden", "quotaExceeded", NoSpace),
    ("403 Forbidden", "retentionPolicyNotMet", Denied),
    ("403 Forbidden", "sslRequired", Misconfigured),
    ("400 Bad Request", "UserProjectMissing", Misconfigured),
    ("400 Bad Request", "invalid", Unsupported),
    ("408 Request Timeout", "", Busy),
    ("412 Precondition Failed", "conditionNotMet", Changed),
    ("413 Too Large", "uploadTooLarge", Unsupported),
    ("429 Too Many Requests", "rateLimitExceeded", Busy),
    ("429 Too Many Requests", "forbidden", Busy),
    ("500 Internal", "internalError", ServerFault),
    ("502 Bad Gateway", "", ServerFault),
    ("503 Unavailable", "backendError", Busy),
    ("504 Gateway Timeout", "", ServerFault),
]


@pytest.mark.parametrize(("status", "reason", "kind"), ERRORS)
def test_every_reason_has_its_meaning(status: str, reason: str, kind: type[TransferError]) -> None:
    reply = said(status, reason, "Because", "Retry-After: 7")
    with scripted(reply) as service, closing(store_at(service)) as store:
        for call in (
            lambda: store.open_read(at("b/k")),
            lambda: store.stat(at("b/k")),
            lambda: written(store, at("b/k"), DATA),
            lambda: list(store.list(at("b/k"), recursive=True)),
        ):
            with pytest.raises(kind) as caught:
                call()
            assert type(caught.value) is kind
            assert "gs://b/k" in caught.value.what and "Because" in caught.value.what
            assert status[:3] in caught.value.what
            assert caught.value.host == f"127.0.0.1:{service.port}"
            assert caught.value.remedy
            assert caught.value.retry_after == 7


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("NoSuchKey", "404 Not Found", NotFound),
        ("AccessDenied", "403 Forbidden", Denied),
        ("SlowDown", "503 Slow Down", Busy),
        ("BadDigest", "400 Bad Request", Broken),
        ("PreconditionFailed", "412 Precondition Failed", Changed),
        ("SomethingNew", "403 Forbidden", Denied),
    ],
)
def test_errors_in_xml_are_understood_too(code: str, status: str, kind: type[TransferError]) -> None:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>Because</Message></Error>".encode()
    with (
        scripted(answer(body, "Content-Type: application/xml", status=status)) as service,
        closing(store_at(service)) as store,
        pytest.raises(kind, match=rf"gs://b/k: {code} \({status[:3]}\): Because"),
    ):
        store.open_read(at("b/k"))


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"{}", b"[]", b'{"error": 1}', b'{"error": {"errors": [1]}}', b"<html><p>", b"<Error>"],
)
def test_an_answer_without_a_reason_goes_by_its_status(body: bytes) -> None:
    for status, kind in (("403 No", Denied), ("404 No", NotFound), ("500 No", ServerFault), ("503 No", Busy)):
        with (
            scripted(answer(body, status=status)) as service,
            closing(store_at(service)) as store,
            pytest.raises(kind, match=f"answered {status[:3]}"),
        ):
            store.open_read(at("b/k"))


def test_what_a_service_says_cannot_harm_a_terminal_or_tell_a_secret() -> None:
    message = "\x9b31m token=hunter2 at https://u:hunter2@h/?access_token=hunter2 " + "x" * 1000
    with (
        scripted(said("403 No", "forbidden", message)) as service,
        closing(store_at(service)) as store,
        pytest.raises(Denied) as caught,
    ):
        store.open_read(at("b/k\x1b[2J"))
    assert caught.value.what.isprintable()
    assert "hunter2" not in caught.value.what
    assert len(caught.value.what) < 500


@pytest.mark.parametrize(
    "body", [b"", b"[1]", b"<html>", b'{"items": [1]}', b'{"items": 7}', b'{"items": [{}]}']
)
def test_a_listing_that_is_none_is_the_services_fault(body: bytes) -> None:
    with scripted(answer(body)) as service, closing(store_at(service)) as store, pytest.raises(ServerFault):
        list(store.list(at("b/"), recursive=True))


def test_the_one_line_of_a_refused_download_is_told() -> None:
    line = answer(b"No such object: b/k", "Content-Type: text/html; charset=UTF-8", status="404 Not Found")
    with (
        scripted(line) as service,
        closing(store_at(service)) as store,
        pytest.raises(NotFound, match="answered 404: No such object: b/k"),
    ):
        store.open_read(at("b/k"))


# Reading


@pytest.mark.parametrize(
    "reply",
    [
        answer(DATA, GENERATION),
        answer(DATA[2:], GENERATION, "Content-Range: bytes 2-11/12", status="206 Partial"),
        answer(DATA[3:], "x-goog-generation: 9", "Content-Range: bytes 3-11/12", status="206 Partial"),
        answer(DATA[3:], "Content-Range: bytes 3-11/12", status="206 Partial"),
        said("412 Precondition Failed", "conditionNotMet"),
        said("416 Range", "requestedRangeNotSatisfiable"),
    ],
    ids=["ignored", "another start", "another generation", "no generation", "412", "416"],
)
def test_other_bytes_than_those_asked_for_are_not_taken(reply: bytes) -> None:
    with scripted(reply) as service, closing(store_at(service)) as store:
        with pytest.raises((Changed, ServerFault)):
            store.open_read(at("b/k"), start=3, version="17")
        request = service.requests[0]
        assert "ifGenerationMatch=17" in request.line
        assert request.headers["range"] == "bytes=3-"


def test_the_first_bytes_of_an_empty_object_are_none() -> None:
    with (
        scripted(answer(b"", status="416 Range"), answer(b"", GENERATION)) as service,
        closing(store_at(service)) as store,
    ):
        reader = store.open_read(at("b/k"), length=100)
        assert (drained(reader), reader.size) == (b"", 0)


def test_what_is_unpacked_on_the_way_is_refused() -> None:
    unpacked = answer(DATA, GENERATION, "x-goog-stored-content-encoding: gzip")
    packed = answer(DATA, GENERATION, "x-goog-stored-content-encoding: identity", "Content-Encoding: gzip")
    for reply in (unpacked, packed):
        with (
            scripted(reply) as service,
            closing(store_at(service)) as store,
            pytest.raises(Unsupported, match="gzip"),
        ):
            store.open_read(at("b/k"))


def test_an_object_without_crc32c_is_compared_by_md5() -> None:
    md5 = digest_of("md5", DATA)
    with (
        scripted(answer(DATA, GENERATION, f"x-goog-hash: md5={md5.base64}")) as service,
        closing(store_at(service)) as store,
    ):
        reader = store.open_read(at("b/k"))
        assert (reader.digests, reader.version, drained(reader)) == ((md5,), "17", DATA)


# Who is who


def key_file(server: Scripted, **more: object) -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    about = {
        "type": "service_account",
        "client_email": "worker@proj.iam.gserviceaccount.com",
        "private_key_id": "1",
        "private_key": pem,
        "project_id": "proj",
        "token_uri": f"{server.url}/token",
    }
    return json.dumps({**about, **more})


def google(document: str, endpoint: str, form: Any = "service_account", **options: Any) -> Google:
    return Google(form, Secret(document), endpoint=endpoint, name="alice", origin="a file", **options)


def token(text: str) -> bytes:
    body = json.dumps({"access_token": text, "expires_in": 3600, "token_type": "Bearer"}).encode()
    return answer(body, "Content-Type: application/json")


def read_with(credential: Any, tls_files: TlsFiles, times: int = 1) -> bytes:
    trust = tls_context({"SSL_CERT_FILE": str(tls_files.ca)})
    found = b""
    for _ in range(times):
        with closing(gcs_store(credential, tls=trust)) as store:
            found = drained(store.open_read(at("b/k")))
    return found


def test_a_service_account_presents_a_token_that_all_workers_share(tls_files: TlsFiles) -> None:
    with (
        scripted(token("canary-1")) as tokens,
        scripted(answer(DATA, GENERATION), certificate=tls_files.server) as service,
    ):
        credential = google(key_file(tokens), service.url)
        assert read_with(credential, tls_files, times=3) == DATA
        assert [request.headers["authorization"] for request in service.requests] == ["Bearer canary-1"] * 3
        assert len(tokens.requests) == 1
        assert b"assertion=" in tokens.requests[0].body
        assert "canary" not in repr(credential)


def test_a_refused_token_is_replaced_once(tls_files: TlsFiles) -> None:
    refused = said("401 Unauthorized", "authError")
    with (
        scripted(token("old"), token("new"), token("newest")) as tokens,
        scripted(refused, answer(DATA, GENERATION), refused, certificate=tls_files.server) as service,
    ):
        credential = google(key_file(tokens), service.url)
        assert read_with(credential, tls_files) == DATA
        with pytest.raises(Denied, match="credential alice, from a file"):
            read_with(credential, tls_files)
        used = [request.headers["authorization"].removeprefix("Bearer ") for request in service.requests]
        assert used == ["old", "new", "new"]


def test_workload_identity_exchanges_the_token_of_the_other_side(tls_files: TlsFiles, tmp_path: Path) -> None:
    (tmp_path / "subject").write_text("canary-subject")
    with (
        scripted(token("exchanged")) as tokens,
        scripted(answer(DATA, GENERATION), certificate=tls_files.server) as service,
    ):
        document = {
            "type": "external_account",
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"{tokens.url}/v1/token",
            "credential_source": {"file": str(tmp_path / "subject")},
        }
        credential = google(json.dumps(document), service.url, "external_account")
        assert read_with(credential, tls_files) == DATA
        assert service.requests[0].headers["authorization"] == "Bearer exchanged"
        assert b"canary-subject" in tokens.requests[0].body


def test_a_token_that_cannot_be_had_is_said_without_secrets(tls_files: TlsFiles) -> None:
    refusal = answer(
        b'{"error": "invalid_grant", "error_description": "Invalid JWT"}',
        "Content-Type: application/json",
        status="400 Bad Request",
    )
    with scripted(refusal) as tokens:
        credential = google(key_file(tokens), "https://127.0.0.1:1")
        with pytest.raises(
            Denied, match=r"getting a token for alice, from a file: .*invalid_grant"
        ) as caught:
            read_with(credential, tls_files)
    assert "PRIVATE" not in caught.value.what
    credential = google(key_file(tokens), "https://127.0.0.1:1")
    with pytest.raises(Unreachable):
        read_with(credential, tls_files)


@pytest.mark.parametrize("form", ["service_account", "authorized_user", "external_account"])
@pytest.mark.parametrize("document", ["{}", "[1]", "canary", '{"private_key": "canary"}'])
def test_a_document_that_is_not_complete_is_named(form: str, document: str, tls_files: TlsFiles) -> None:
    with pytest.raises(Misconfigured, match="alice from a file") as caught:
        read_with(google(document, "https://127.0.0.1:1", form), tls_files)
    assert "canary" not in caught.value.what


def test_a_token_goes_nowhere_without_tls() -> None:
    with (
        scripted(answer(DATA)) as service,
        closing(gcs_store(google("{}", service.url))) as store,
        pytest.raises(Misconfigured, match="without TLS"),
    ):
        store.open_read(at("b/k"))
    assert service.requests == []


def test_a_token_that_was_made_elsewhere_is_presented_to_google_alone() -> None:
    from wf.protocols.conformance_tools import make_context
    from wf.protocols.wire import Wire

    service = Service(Wire(make_context()), Bearer(Secret("canary"), name="alice", origin="a file"))
    assert service.host == "storage.googleapis.com"
    assert "canary" not in service.presented


def test_other_kinds_of_credential_are_a_configuration_error() -> None:
    wrong = AccessKey("AK", Secret("canary"), name="alice", origin="a file")
    with closing(gcs_store(wrong)) as store, pytest.raises(Misconfigured, match="access-key"):
        store.open_read(at("b/k"))


def test_nobody_is_somebody_for_public_buckets_of_googles_own_service() -> None:
    from wf.protocols.conformance_tools import make_context
    from wf.protocols.wire import Wire

    service = Service(Wire(make_context()), Anonymous())
    assert (service.host, service.presented) == ("storage.googleapis.com", "no credential: nothing found")


def test_who_pays_is_said_with_every_request() -> None:
    payer = nobody("", user_project="pays & more")
    with scripted(answer(DATA, GENERATION)) as service:
        with closing(gcs_store(nobody(service.url, user_project=payer.user_project))) as store:
            drained(store.open_read(at("b/k")))
        assert service.requests[0].line.endswith("&userProject=pays%20%26%20more HTTP/1.1")


KEY = "S2V5IG9mIHRoaXJ0eS10d28gYnl0ZXMsIGNhbmFyeSE="


def test_a_key_of_the_customers_goes_with_every_request_about_an_object(tls_files: TlsFiles) -> None:
    trust = tls_context({"SSL_CERT_FILE": str(tls_files.ca)})
    copied = json.dumps({"done": True, "resource": {"size": "12"}}).encode()
    replies: list[Any] = [answer(DATA, GENERATION), [BODY, resource(DATA)], resource(DATA), answer(copied)]
    with scripted(*replies, certificate=tls_files.server) as service:
        credential = nobody(service.url, encryption_key=Secret(KEY))
        with closing(gcs_store(credential, tls=trust)) as store:
            drained(store.open_read(at("b/k")))
            written(store, at("b/k"), DATA)
            store.stat(at("b/k"))
            store.copy(at("b/k"), at("b/l"), "")
        for request in service.requests:
            assert request.headers["x-goog-encryption-key"] == KEY
            assert request.headers["x-goog-encryption-algorithm"] == "AES256"
        assert service.requests[3].headers["x-goog-copy-source-encryption-key"] == KEY
    assert KEY not in repr(credential)


def test_a_key_of_the_customers_goes_with_every_chunk(tls_files: TlsFiles) -> None:
    trust, data = tls_context({"SSL_CERT_FILE": str(tls_files.ca)}), content(CHUNK_BYTES + 1)
    with scripted(certificate=tls_files.server) as service:
        chunks: list[Any] = [[BODY, so_far(CHUNK_BYTES)], [BODY, resource(data)]]
        service.scripts = [said("404 No", "notFound"), session(service), *chunks]
        credential = nobody(service.url, encryption_key=Secret(KEY))
        with closing(gcs_store(credential, tls=trust)) as store:
            written(store, at("b/k"), data)
        assert [request.headers["x-goog-encryption-key"] for request in service.requests] == [KEY] * 4


def test_a_key_of_the_customers_does_not_follow_a_session_to_another_server(tls_files: TlsFiles) -> None:
    trust, data = tls_context({"SSL_CERT_FILE": str(tls_files.ca)}), content(CHUNK_BYTES + 1)
    with (
        scripted(certificate=tls_files.server) as stranger,
        scripted(certificate=tls_files.server) as service,
    ):
        service.scripts = [said("404 No", "notFound"), session(stranger)]
        credential = nobody(service.url, encryption_key=Secret(KEY))
        with closing(gcs_store(credential, tls=trust)) as store:
            error = refused(lambda: written(store, at("b/k"), data), Misconfigured)
        assert stranger.requests == []
        assert KEY not in error.what


def test_a_key_of_the_customers_goes_nowhere_without_tls_and_must_be_one() -> None:
    for endpoint, key in (
        ("http://127.0.0.1:1", KEY),
        ("https://127.0.0.1:1", "canary"),
        ("https://127.0.0.1:1", ""),
    ):
        credential = nobody(endpoint, encryption_key=Secret(key))
        with closing(gcs_store(credential)) as store, pytest.raises(Misconfigured) as caught:
            store.stat(at("b/k"))
        assert not key or key not in caught.value.what


# Writing


def test_a_small_object_is_one_request_with_its_checksum() -> None:
    with scripted([BODY, resource(DATA)]) as service:
        with closing(store_at(service)) as store:
            receipt = written(store, at("b/a key?"), DATA)
        (request,) = service.requests
    rest = request.body.partition(b"\r\n\r\n")[2]
    about = json.loads(rest.partition(b"\r\n--")[0])
    assert about == {"name": "a key?", "contentType": "application/octet-stream", "crc32c": CRC}
    assert b"\r\n\r\n" + DATA + b"\r\n--" in rest
    assert (receipt.size, receipt.version, receipt.digests) == (len(DATA), "18", (digest_of("crc32c", DATA),))


def test_a_chunk_that_was_taken_in_part_is_gone_on_with() -> None:
    data = content(CHUNK_BYTES + 1000)
    taken = CHUNK_BYTES - (1 << 18)
    with scripted() as service:
        service.scripts = [
            said("404 Not Found", "notFound"),
            session(service),
            [BODY, so_far(taken)],
            [BODY, so_far(CHUNK_BYTES)],
            [BODY, resource(data)],
        ]
        with closing(store_at(service)) as store:
            receipt = written(store, at("b/k"), data)
        ranges = [request.headers.get("content-range") for request in service.requests[2:]]
        assert ranges == [
            f"bytes 0-{CHUNK_BYTES - 1}/*",
            f"bytes {taken}-{CHUNK_BYTES - 1}/*",
            f"bytes {CHUNK_BYTES}-{len(data) - 1}/{len(data)}",
        ]
        assert b"".join(request.body for request in service.requests[3:]) == data[taken:]
        assert "ifGenerationMatch=0" in service.requests[1].line
        assert service.requests[1].headers["x-upload-content-length"] == str(len(data))
        assert service.requests[4].headers["x-goog-hash"] == f"crc32c={digest_of('crc32c', data).base64}"
        assert receipt.size == len(data)


def test_a_cut_is_followed_by_the_question_how_far_it_is() -> None:
    data, taken = content(CHUNK_BYTES + 1000), 1 << 20
    with scripted() as service:
        service.scripts = [
            resource(b"old"),
            session(service, "201 Created"),
            [CLOSE],
            so_far(taken),
            [BODY, so_far(CHUNK_BYTES)],
            [BODY, CLOSE],
            [BODY, resource(data)],
        ]
        with closing(store_at(service)) as store:
            receipt = written(store, at("b/k"), data)
        ranges = [request.headers.get("content-range") for request in service.requests[2:]]
        assert ranges == [
            f"bytes 0-{CHUNK_BYTES - 1}/*",
            "bytes */*",
            f"bytes {taken}-{CHUNK_BYTES - 1}/*",
            f"bytes {CHUNK_BYTES}-{len(data) - 1}/{len(data)}",
            f"bytes */{len(data)}",
        ]
        assert receipt.version == "18"
        assert "ifGenerationMatch=18" in service.requests[1].line


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        (said("412 Precondition Failed", "conditionNotMet"), Changed),
        (said("404 Not Found", "notFound"), ServerFault),
        (answer(b"", status="410 Gone"), ServerFault),
        (said("503 Unavailable", "backendError"), Busy),
        (
            said(
                "400 Bad",
                "invalid",
                f"Provided CRC32C {digest_of('crc32c', content(CHUNK_BYTES + 1)).base64}",
            ),
            Broken,
        ),
        (answer(b"", "Range: bytes=0-5", status="308 Resume Incomplete"), ServerFault),
        (answer(b"", "Range: pages", status="308 Resume Incomplete"), ServerFault),
        (answer(b"", f"Range: bytes=0-{CHUNK_BYTES - 1}", status="308 Resume Incomplete"), ServerFault),
        (answer(b"<html>"), ServerFault),
    ],
    ids=["replaced", "unknown", "gone", "busy", "altered", "fewer", "nonsense", "none of it", "no resource"],
)
def test_what_is_no_end_of_an_upload_is_an_error_and_the_upload_is_cancelled(
    last: bytes, kind: type[TransferError]
) -> None:
    data = content(CHUNK_BYTES + 1)
    with scripted() as service:
        service.scripts = [
            said("404 Not Found", "notFound"),
            session(service),
            [BODY, so_far(CHUNK_BYTES)],
            [BODY, last],
            answer(b"", status="499 Client Closed Request"),
        ]
        with closing(store_at(service)) as store:
            writer = begun(store, at("b/k"), data)
            with pytest.raises(kind) as caught:
                writer.commit(digests_for(writer, data))
            writer.abort()
            writer.abort()
        assert SECRET_SESSION not in caught.value.what
        assert [request.line.split()[0] for request in service.requests] == [
            "GET",
            "POST",
            "PUT",
            "PUT",
            "DELETE",
        ]
        assert SECRET_SESSION in service.requests[4].line


def test_who_knows_the_session_can_write_so_nobody_is_told() -> None:
    with scripted() as service:
        service.scripts = [said("403 No", "forbidden"), session(service), [CLOSE]]
        with closing(store_at(service)) as store, pytest.raises((Broken, Unreachable)) as caught:
            written(store, at("b/k"), content(CHUNK_BYTES + 1))
        assert "ifGenerationMatch" not in service.requests[1].line, "who may not look writes all the same"
        cause: BaseException | None = caught.value
        while cause is not None:
            assert SECRET_SESSION not in f"{cause}{cause!r}"
            cause = cause.__cause__
    assert "gs://b/k" in caught.value.what


def test_a_session_that_is_no_session_is_the_services_fault() -> None:
    for reply in (answer(b""), answer(b"", "Location: gopher://x/")):
        with (
            scripted(said("404 No"), reply) as service,
            closing(store_at(service)) as store,
            pytest.raises((ServerFault, Unsupported)),
        ):
            written(store, at("b/k"), content(CHUNK_BYTES + 1))


# Copies, buckets, removal


def test_a_long_copy_goes_on_with_its_token() -> None:
    first = {"done": False, "rewriteToken": "t/1", "totalBytesRewritten": "5", "objectSize": "12"}
    last = {"done": True, "resource": {"size": "12", "generation": "3", "crc32c": CRC}}
    with scripted(answer(json.dumps(first).encode()), answer(json.dumps(last).encode())) as service:
        with closing(store_at(service)) as store:
            step = store.copy(at("a/from it"), at("b/to"), "")
            assert (step.receipt, step.handle, step.bytes) == (None, "t/1", 5)
            step = store.copy(at("a/from it"), at("b/to"), step.handle)
        assert step.receipt is not None and step.receipt.digests == (digest_of("crc32c", DATA),)
        lines = [request.line for request in service.requests]
    path = "/storage/v1/b/a/o/from%20it/rewriteTo/b/b/o/to"
    assert lines == [f"POST {path} HTTP/1.1", f"POST {path}?rewriteToken=t%2F1 HTTP/1.1"]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"done": true}', b'{"done": false, "rewriteToken": ""}'])
def test_a_copy_that_neither_ends_nor_goes_on_is_the_services_fault(body: bytes) -> None:
    with scripted(answer(body)) as service, closing(store_at(service)) as store, pytest.raises(ServerFault):
        store.copy(at("a/k"), at("b/k"), "")


def test_a_bucket_that_somebody_else_has_is_not_ours() -> None:
    taken = [said("404 No", "notFound"), [BODY, said("409 Conflict", "conflict")]]
    with (
        scripted(*taken, said("403 No", "forbidden")) as service,
        closing(store_at(service)) as store,
        pytest.raises(Denied),
    ):
        store.make_directory(at("b"))
    with scripted(*taken, answer(b"{}")) as service, closing(store_at(service)) as store:
        store.make_directory(at("b"))
        assert service.requests[1].line.startswith("POST /storage/v1/b?project=wf-test-project")


def test_a_bucket_with_objects_is_not_removed() -> None:
    with (
        scripted(said("409 Conflict", "conflict")) as service,
        closing(store_at(service)) as store,
        pytest.raises(LocalRefused, match="409"),
    ):
        store.remove(at("b"), recursive=False)


def test_where_a_batch_removes_not_all_the_one_that_is_refused_is_named() -> None:
    page = answer(json.dumps({"items": [{"name": "d/x"}, {"name": "d/y"}]}).encode())
    parts = b"".join(
        b"--r\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 " + status + b"\r\n\r\n"
        for status in (b"204 No Content", b"403 Forbidden")
    )
    refused = said("403 Forbidden", "retentionPolicyNotMet")
    with (
        scripted(answer(), page, [BODY, answer(parts + b"--r--")], answer(), refused) as service,
        closing(store_at(service)) as store,
    ):
        with pytest.raises(Denied, match="retentionPolicyNotMet"):
            store.remove(at("b/d"), recursive=True)
        batch = service.requests[2]
    assert batch.line == "POST /batch/storage/v1 HTTP/1.1"
    assert b"\r\n\r\nDELETE /storage/v1/b/b/o/d%2Fy HTTP/1.1\r\n\r\n--" in batch.body
    assert [request.line.split()[1] for request in service.requests[3:]] == [
        "/storage/v1/b/b/o/d%2Fx",
        "/storage/v1/b/b/o/d%2Fy",
    ]


def test_a_service_that_keeps_what_it_removed_is_not_asked_for_ever() -> None:
    page = answer(b'{"items": [{"name": "d/x"}]}')
    with (
        scripted(answer(), page, answer(), page) as service,
        closing(store_at(service)) as store,
        pytest.raises(ServerFault, match="keeps"),
    ):
        store.remove(at("b/d"), recursive=True)

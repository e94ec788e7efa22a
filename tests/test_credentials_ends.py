"""Each end of a transfer gets what belongs to it: real servers, whose two ends want different credentials."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from credentials_made import openssl, private
from runs import at, transfer
from servers.nginx import BASIC_PASSWORD, BASIC_USER, BEARER_TOKEN, HEADER_TOKEN, Nginx, nginx
from servers.seaweed import Seaweed
from servers.tls import TlsFiles
from wf.credentials.chain import standard_chain
from wf.protocols.locations import Location
from wf.transfer.execution import Report, run
from wf.transfer.planning import plan
from wf.transfer.requests import Batch, Request
from wf.transfer.settings import Settings

DATA = b"for those who may read it" * 1000


def client_of(tls: TlsFiles, folder: Path, name: str) -> Path:
    """Certificate and key of another client of the same authority, in one file."""
    key, request, made = (folder / f"{name}.{end}" for end in ("key", "csr", "crt"))
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", *new, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
    authority = ("-CA", tls.ca, "-CAkey", tls.ca.with_suffix(".key"), "-set_serial", str(len(name)))
    openssl("x509", "-req", "-in", request, *authority, "-days", "2", "-out", made)
    return private(folder / f"{name}.pem", made.read_text() + key.read_text())


@pytest.fixture
def served(tmp_path: Path, tls_files: TlsFiles) -> Iterator[Nginx]:
    """`/of-alice/` can be read by alice's certificate, `/of-bob/` written by bob's."""
    root = tmp_path / "web"
    root.mkdir()
    (root / "f").write_bytes(DATA)
    (root / "of-bob").mkdir()
    extra = (
        f'location /of-alice/ {{ alias "{root}/"; if ($ssl_client_s_dn !~ "CN=alice$") {{ return 403; }} }}\n'
        'location /of-bob/ { if ($ssl_client_s_dn !~ "CN=bob$") { return 403; }'
        " dav_methods PUT; create_full_put_path on; }\n"
    )
    with nginx(root, tls=tls_files, extra=extra) as server:
        yield server


@pytest.fixture
def environment(tls_files: TlsFiles) -> dict[str, str]:
    return {"SSL_CERT_FILE": str(tls_files.ca)}


def moved(environment: dict[str, str], *requests: Request, file: Path | None = None) -> Report:
    chain = standard_chain(environment, file=str(file or ""))
    settings = Settings(rounds=1, back_off=0.001, back_off_most=0.002)
    return run(plan(Batch(requests), settings), credentials=chain, environment=environment)


def of_site(url: str, site: str) -> Location:
    return at(url, site=site)


def authority(url: str) -> str:
    return url.partition("://")[2]


def test_both_ends_present_another_certificate(
    served: Nginx, environment: dict[str, str], tls_files: TlsFiles, tmp_path: Path
) -> None:
    for name in ("alice", "bob"):
        environment[f"X509_USER_PROXY_site_{name}"] = str(client_of(tls_files, tmp_path, name))
    url = served.tls_url
    good = transfer(0, of_site(f"{url}/of-alice/f", "site-alice"), of_site(f"{url}/of-bob/f", "site-bob"))
    assert moved(environment, good).ok
    assert (served.root / "of-bob/f").read_bytes() == DATA
    crossed = transfer(0, of_site(f"{url}/of-alice/f", "site-bob"), of_site(f"{url}/of-bob/g", "site-bob"))
    report = moved(environment, crossed)
    assert int(report.exit) == 77 and not (served.root / "of-bob/g").exists()


def test_one_host_wants_a_header_for_reading_and_a_password_for_writing(
    served: Nginx, environment: dict[str, str], tmp_path: Path
) -> None:
    text = (
        f"[{authority(served.url)}]\nread.header.X-Token = {HEADER_TOKEN}\n"
        f"write.username = {BASIC_USER}\nwrite.password = {BASIC_PASSWORD}\n"
    )
    conf = private(tmp_path / "c.conf", text)
    request = transfer(0, f"{served.url}/header/f", f"{served.url}/put-basic/f")
    assert moved(environment, request, file=conf).ok
    assert (served.root / "put-basic/f").read_bytes() == DATA


def test_a_token_reads_and_a_certificate_writes(
    served: Nginx, environment: dict[str, str], tls_files: TlsFiles, tmp_path: Path
) -> None:
    environment["BEARER_TOKEN_tokens"] = BEARER_TOKEN
    environment["X509_USER_PROXY_bob"] = str(client_of(tls_files, tmp_path, "bob"))
    url = served.tls_url
    request = transfer(0, of_site(f"{url}/bearer/f", "tokens"), of_site(f"{url}/of-bob/f", "bob"))
    assert moved(environment, request).ok
    assert (served.root / "of-bob/f").read_bytes() == DATA


def test_two_users_of_one_s3_service(
    s3: Seaweed, bucket: str, environment: dict[str, str], tmp_path: Path
) -> None:
    s3.client().put_object(Bucket=bucket, Key="from", Body=DATA)
    site = f"[store]\nendpoint = {s3.endpoint}\n"
    keys = {"reader": s3.read_only, "writer": s3.admin}
    for name, key in keys.items():
        site += f"[{name}@store]\naccess_key = {key.access}\nsecret_key = {key.secret}\n"
    conf = private(tmp_path / "c.conf", site)
    good = transfer(0, f"s3://reader@store/{bucket}/from", f"s3://writer@store/{bucket}/to")
    assert moved(environment, good, file=conf).ok
    assert s3.client().get_object(Bucket=bucket, Key="to")["Body"].read() == DATA
    wrong = transfer(0, f"s3://writer@store/{bucket}/from", f"s3://reader@store/{bucket}/not")
    report = moved(environment, wrong, file=conf)
    assert int(report.exit) == 77
    told = report.failures[0].error
    assert told is not None and "[reader@store]" in told.what


def test_files_of_two_sites_serve_one_transfer(
    served: Nginx, s3: Seaweed, bucket: str, environment: dict[str, str], tmp_path: Path
) -> None:
    web = f"[{authority(served.url)}]\nusername = {BASIC_USER}\npassword = {BASIC_PASSWORD}\n"
    store = (
        f"[store]\nendpoint = {s3.endpoint}\n"
        f"[alice@store]\naccess_key = {s3.admin.access}\nsecret_key = {s3.admin.secret}\n"
    )
    environment["PEGASUS_CREDENTIALS_web"] = str(private(tmp_path / "web.conf", web))
    environment["PEGASUS_CREDENTIALS_store"] = str(private(tmp_path / "store.conf", store))
    request = transfer(0, of_site(f"{served.url}/basic/f", "web"), f"s3://alice@store/{bucket}/f")
    assert moved(environment, request).ok
    assert s3.client().get_object(Bucket=bucket, Key="f")["Body"].read() == DATA


def test_who_has_nothing_is_told_where_it_was_looked_for(
    served: Nginx, environment: dict[str, str], tmp_path: Path
) -> None:
    request = transfer(0, of_site(f"{served.tls_url}/bearer/f", "osn"), tmp_path / "f")
    report = moved(environment, request)
    assert int(report.exit) == 77
    told = report.failures[0].error
    assert told is not None and "BEARER_TOKEN_osn" in told.what and "401" in told.what

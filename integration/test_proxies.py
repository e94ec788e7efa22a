"""Proxies between a job and its data: squid as sites run it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from commands import Job, assert_failed, contents, site_sections, stored, transfer
from servers.faults import closed_port
from servers.squid import PASSWORD, USER

if TYPE_CHECKING:
    from servers.nginx import Nginx
    from servers.seaweed import Seaweed
    from servers.squid import Passed, Squid
    from servers.tls import TlsFiles

DATA = bytes(range(256)) * 1000


class Seen:
    """What squid, which other tests use too, logged since this was made."""

    def __init__(self, proxy: Squid) -> None:
        self._proxy, self._before = proxy, len(proxy.passed())

    def __call__(self, count: int) -> list[Passed]:
        return self._proxy.passed(self._before + count)[self._before :]


@pytest.fixture
def served(web: Nginx) -> Nginx:
    (web.root / "f").write_bytes(DATA)
    return web


@pytest.fixture
def seen(proxy: Squid) -> Seen:
    return Seen(proxy)


def test_http_goes_through_http_proxy(served: Nginx, proxy: Squid, seen: Seen, job: Job) -> None:
    (job.folder / "input").write_bytes(DATA)
    batch = [
        transfer("in", f"{served.url}/f", job.url("f")),
        transfer("out", "input", f"{served.url}/put/f"),
    ]
    run = job.run(batch, environment={"http_proxy": proxy.url})
    assert run.exit == 0, run.err
    assert {(one.method, one.target) for one in seen(2)} == {
        ("GET", f"{served.url}/f"),
        ("PUT", f"{served.url}/put/f"),
    }
    assert contents(job.out) == {"f": DATA}
    assert (served.root / "put" / "f").read_bytes() == DATA


@pytest.mark.parametrize("without", ["127.0.0.1", "localhost,127.0.0.0/8", "*"])
def test_no_proxy_goes_past_it(without: str, served: Nginx, proxy: Squid, seen: Seen, job: Job) -> None:
    batch = [transfer("f", f"{served.url}/f", job.url("f"))]
    run = job.run(batch, environment={"http_proxy": proxy.url, "no_proxy": without})
    assert (run.exit, contents(job.out), seen(0)) == (0, {"f": DATA}, [])


def test_tls_goes_through_a_tunnel(
    served: Nginx, proxy: Squid, seen: Seen, job: Job, tls_files: TlsFiles
) -> None:
    environment = {"https_proxy": proxy.url, "SSL_CERT_FILE": str(tls_files.ca)}
    run = job.run([transfer("f", f"{served.tls_url}/f", job.url("f"))], environment=environment)
    assert (run.exit, contents(job.out)) == (0, {"f": DATA})
    (tunnel,) = seen(1)
    assert (tunnel.method, tunnel.target) == ("CONNECT", f"localhost:{served.tls_port}")


def test_a_tunnel_does_not_replace_the_certificate(
    served: Nginx, proxy: Squid, job: Job, tls_files: TlsFiles
) -> None:
    environment = {"https_proxy": proxy.url, "SSL_CERT_FILE": str(tls_files.wrong_ca)}
    batch = [transfer("bad", f"{served.tls_url}/f", job.url("bad"))]
    run = job.run(batch, "-m", "1", environment=environment)
    assert run.status("bad") == "failed"
    assert "certificate" in run.told("bad").lower()
    assert contents(job.out) == {}


def test_s3_goes_through_a_tunnel_too(
    s3: Seaweed, bucket: str, proxy: Squid, seen: Seen, job: Job, tls_files: TlsFiles
) -> None:
    job.credentials(site_sections(s3.tls_endpoint, s3.admin))
    (job.folder / "input").write_bytes(DATA)
    environment = {"https_proxy": proxy.url, "SSL_CERT_FILE": str(tls_files.ca)}
    run = job.run([transfer("f", "input", f"s3s://alice@store/{bucket}/f")], environment=environment)
    assert run.exit == 0, run.err
    assert stored(s3, bucket, "f") == DATA
    assert {one.method for one in seen(1)} == {"CONNECT"}


def test_a_proxy_gets_its_password_and_nobody_is_told_it(
    served: Nginx, proxy: Squid, seen: Seen, job: Job
) -> None:
    url = f"http://{USER}:{PASSWORD.replace(':', '%3A')}@127.0.0.1:{proxy.authenticated_port}"
    run = job.run([transfer("f", f"{served.url}/f", job.url("f"))], environment={"http_proxy": url})
    assert (run.exit, contents(job.out)) == (0, {"f": DATA})
    assert seen(1)[-1].user == USER


def test_a_proxy_that_refuses_is_named(served: Nginx, proxy: Squid, job: Job) -> None:
    url = f"http://{USER}:canary@127.0.0.1:{proxy.authenticated_port}"
    run = job.run([transfer("bad", f"{served.url}/f", job.url("bad"))], environment={"http_proxy": url})
    assert_failed(run, "bad", "denied", end="source")
    assert "proxy" in run.told("bad")
    assert "canary" not in run.err + str(run.document) + str(run.events)
    assert run.exit == 77


def test_a_dead_proxy_is_told_and_not_gone_past(served: Nginx, job: Job) -> None:
    with closed_port() as port:
        proxy = f"http://127.0.0.1:{port}"
        batch = [transfer("bad", f"{served.url}/f", job.url("bad"))]
        run = job.run(batch, "-m", "1", environment={"http_proxy": proxy})
    assert_failed(run, "bad", "unreachable", end="source")
    assert f"127.0.0.1:{port}" in run.told("bad")
    assert served.requests() == []
    assert run.exit == 75


def test_a_site_s_cache_is_asked_first(served: Nginx, proxy: Squid, seen: Seen, job: Job) -> None:
    environment = {"OSG_SQUID_LOCATION": f"127.0.0.1:{proxy.port}"}
    run = job.run([transfer("f", f"{served.url}/f", job.url("f"))], environment=environment)
    assert (run.exit, contents(job.out)) == (0, {"f": DATA})
    assert [(one.method, one.target) for one in seen(1)] == [("GET", f"{served.url}/f")]


def test_without_the_site_s_cache_it_goes_directly(served: Nginx, job: Job) -> None:
    with closed_port() as port:
        environment = {"OSG_SQUID_LOCATION": f"127.0.0.1:{port}"}
        run = job.run([transfer("f", f"{served.url}/f", job.url("f"))], environment=environment)
    assert (run.exit, contents(job.out)) == (0, {"f": DATA})
    assert [seen.status for seen in served.requests()] == [200]

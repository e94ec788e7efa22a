"""Which proxy a request takes, and what happens behind real squid."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import pytest
from servers.faults import closed_port
from servers.scripted import CLOSE, answer, scripted
from servers.squid import PASSWORD, USER
from wf.credentials.kinds import Anonymous, Bearer, Secret
from wf.protocols.conformance_tools import content, drained, written
from wf.protocols.context import Context
from wf.protocols.errors import Denied, Misconfigured, Unreachable
from wf.protocols.http import HttpStore
from wf.protocols.locations import parse_location
from wf.protocols.proxies import Proxies, Proxy
from wf.protocols.tls import tls_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.nginx import Nginx
    from servers.squid import Squid
    from servers.tls import TlsFiles
    from wf.credentials.kinds import Credential


class Stores:
    """Makes stores that live in an environment, and closes them."""

    def __init__(self, ca: str) -> None:
        self._ca = {"SSL_CERT_FILE": ca}
        self._made: list[HttpStore] = []

    def __call__(self, credential: Credential | None = None, **environment: str) -> HttpStore:
        context = Context(
            stop=threading.Event(),
            connect=10,
            stall=10,
            credential=lambda location, purpose: credential or Anonymous(),
            tls=lambda _: tls_context(self._ca),
            log=logging.getLogger("test"),
            proxies=lambda: Proxies.from_environment(environment),
        )
        self._made.append(HttpStore(context))
        return self._made[-1]

    def close(self) -> None:
        for store in self._made:
            store.close()


@pytest.fixture
def stores(tls_files: TlsFiles) -> Iterator[Stores]:
    stores = Stores(str(tls_files.ca))
    yield stores
    stores.close()


class TestEnvironment:
    @pytest.mark.parametrize(
        ("value", "proxy"),
        [
            ("http://host:3128", Proxy("host", 3128)),
            ("host:8080/", Proxy("host", 8080)),
            ("http://[::1]:1", Proxy("::1", 1)),
            ("http://u%40v:p%3Aw@host:1", Proxy("host", 1, Secret("Basic dUB2OnA6dw=="))),
            ("UNAVAILABLE", None),
            ("", None),
        ],
    )
    def test_a_proxy_is_taken_apart(self, value: str, proxy: Proxy | None) -> None:
        assert Proxies.from_environment({"http_proxy": value}).http == proxy
        assert Proxies.from_environment({"OSG_SQUID_LOCATION": value}).caches == ((proxy,) if proxy else ())

    def test_a_port_that_is_not_told_is_the_usual_one(self) -> None:
        found = Proxies.from_environment({"http_proxy": "host", "OSG_SQUID_LOCATION": "host"})
        assert (found.http, found.caches) == (Proxy("host", 80), (Proxy("host", 3128),))

    @pytest.mark.parametrize(
        "value", ["https://host:1", "socks5://host:1", "http://host:port", "http://", "http://a..b:1"]
    )
    def test_what_is_no_http_proxy_is_a_configuration_error(self, value: str) -> None:
        with pytest.raises(Misconfigured, match="https_proxy"):
            Proxies.from_environment({"HTTPS_PROXY": value})

    def test_lower_case_wins_and_all_proxy_fills_in(self) -> None:
        found = Proxies.from_environment({"HTTP_PROXY": "a", "http_proxy": "b", "ALL_PROXY": "c"})
        assert (found.http, found.https) == (Proxy("b", 80), Proxy("c", 80))

    def test_the_header_of_a_cgi_client_is_no_setting(self) -> None:
        assert Proxies.from_environment({"HTTP_PROXY": "a", "REQUEST_METHOD": "GET"}).http is None

    @pytest.mark.parametrize(
        ("entry", "host", "direct"),
        [
            ("*", "any.org", True),
            ("example.org", "example.org", True),
            ("example.org", "data.example.org", True),
            (".example.org", "data.example.org", True),
            ("*.example.org", "data.example.org", True),
            ("example.org", "badexample.org", False),
            ("EXAMPLE.org , other", "example.org", True),
            ("other,,", "example.org", False),
            ("example.org:80", "example.org", True),
            ("example.org:81", "example.org", False),
            ("10.0.0.0/8", "10.1.2.3", True),
            ("10.0.0.0/8", "11.1.2.3", False),
            ("10.0.0.0/8", "example.org", False),
            ("::1", "::1", True),
            ("[::1]:80", "::1", True),
            ("fd00::/8", "fd12::1", True),
        ],
    )
    def test_no_proxy_names_hosts_domains_and_networks(self, entry: str, host: str, direct: bool) -> None:
        proxies = Proxies.from_environment({"http_proxy": "proxy", "no_proxy": entry})
        assert (proxies.for_host(tls=False, host=host, port=80) is None) == direct

    def test_a_password_is_not_shown(self) -> None:
        proxies = Proxies.from_environment({"http_proxy": "http://user:hunter2@host"})
        assert "hunter2" not in repr(proxies) and "aHVudGVyMg" not in repr(proxies)


class TestThroughSquid:
    def test_plain_requests_go_through_the_proxy(self, stores: Stores, proxy: Squid, web: Nginx) -> None:
        store = stores(http_proxy=proxy.url)
        location = parse_location(f"{web.url}/put/a?b=c")
        before = len(proxy.passed())
        written(store, location, content(300_000))
        assert drained(store.open_read(location)) == content(300_000)
        assert drained(store.open_read(location, start=299_999)) == content(300_000)[-1:]
        seen = proxy.passed(before + 3)[before:]
        assert [one.method for one in seen] == ["PUT", "GET", "GET"]
        assert {one.target for one in seen} == {f"{web.url}/put/a?"}  # squid logs no queries
        assert {one.target for one in web.requests()} == {"/put/a?b=c"}

    def test_encrypted_requests_go_through_a_tunnel(self, stores: Stores, proxy: Squid, web: Nginx) -> None:
        (web.root / "a").write_bytes(content(300_000))
        store = stores(https_proxy=proxy.url)
        before = len(proxy.passed())
        for _ in range(3):
            assert drained(store.open_read(parse_location(f"{web.tls_url}/a"))) == content(300_000)
        assert web.connections() == 1
        store.close()
        assert [one.method for one in proxy.passed(before + 1)[before:]] == ["CONNECT"]

    def test_the_proxy_gets_its_user_and_password_and_the_server_does_not(
        self, stores: Stores, proxy: Squid, web: Nginx
    ) -> None:
        (web.root / "a").write_bytes(b"text")
        url = f"http://{USER}:{PASSWORD.replace(':', '%3A')}@127.0.0.1:{proxy.authenticated_port}"
        store = stores(http_proxy=url, https_proxy=url)
        for place in (web.url, web.tls_url):
            assert drained(store.open_read(parse_location(f"{place}/a"))) == b"text"
        assert {seen.authorization for seen in web.requests()} == {""}

    @pytest.mark.parametrize("encrypted", [False, True])
    def test_a_proxy_that_refuses_is_named(
        self, stores: Stores, proxy: Squid, web: Nginx, encrypted: bool
    ) -> None:
        url = proxy.authenticated_url
        store = stores(http_proxy=url, https_proxy=url)
        with pytest.raises(Denied, match=r"407.*proxy|proxy.*407") as caught:
            store.open_read(parse_location(f"{web.tls_url if encrypted else web.url}/a"))
        assert "password of the proxy" in caught.value.remedy

    def test_a_server_that_the_proxy_cannot_reach_is_unreachable(self, stores: Stores, proxy: Squid) -> None:
        with closed_port() as port, pytest.raises(Unreachable, match="proxy"):
            stores(https_proxy=proxy.url).open_read(parse_location(f"https://127.0.0.1:{port}/a"))

    def test_a_proxy_that_is_gone_is_unreachable(self, stores: Stores, web: Nginx) -> None:
        with closed_port() as port, pytest.raises(Unreachable, match="through proxy"):
            stores(http_proxy=f"127.0.0.1:{port}").open_read(parse_location(f"{web.url}/a"))

    def test_no_proxy_is_obeyed(self, stores: Stores, web: Nginx) -> None:
        (web.root / "a").write_bytes(b"text")
        with closed_port() as port:
            store = stores(http_proxy=f"127.0.0.1:{port}", no_proxy="127.0.0.0/8")
            assert drained(store.open_read(parse_location(f"{web.url}/a"))) == b"text"

    def test_a_proxy_that_says_nonsense_is_unreachable(self, stores: Stores, web: Nginx) -> None:
        with scripted([b"nonsense\r\n\r\n", CLOSE]) as broken, pytest.raises(Unreachable):
            stores(https_proxy=broken.url).open_read(parse_location(f"{web.tls_url}/a"))


class TestCaches:
    def test_reads_are_served_by_the_cache(self, stores: Stores, proxy: Squid, web: Nginx) -> None:
        (web.root / "cached").write_bytes(b"text")
        store = stores(OSG_SQUID_LOCATION=proxy.url)
        before = len(proxy.passed())
        assert drained(store.open_read(parse_location(f"{web.url}/cached"))) == b"text"
        store.stat(parse_location(f"{web.url}/cached"))
        written(store, parse_location(f"{web.url}/put/a"), b"text")
        assert drained(store.open_read(parse_location(f"{web.tls_url}/cached"))) == b"text"
        assert [one.target for one in proxy.passed(before + 1)[before:]] == [f"{web.url}/cached"]

    def test_what_needs_a_credential_is_not_read_through_the_cache(
        self, stores: Stores, proxy: Squid, web: Nginx
    ) -> None:
        (web.root / "a").write_bytes(b"text")
        before = len(proxy.passed())
        token = Bearer(Secret("secret-token"), name="token", origin="a test")
        store = stores(token, OSG_SQUID_LOCATION=proxy.url)
        assert drained(store.open_read(parse_location(f"{web.url}/a"))) == b"text"
        assert len(proxy.passed()) == before

    def test_a_cache_that_fails_is_done_without(self, stores: Stores, proxy: Squid, web: Nginx) -> None:
        (web.root / "a").write_bytes(b"text")
        location = parse_location(f"{web.url}/a")
        with closed_port() as port, scripted([b"nonsense\r\n\r\n", CLOSE]) as broken:
            for cache in (f"127.0.0.1:{port}", broken.url, proxy.authenticated_url):
                store = stores(OSG_SQUID_LOCATION=cache)
                assert drained(store.open_read(location)) == b"text"
                assert drained(store.open_read(location)) == b"text"
            store = stores(OSG_SQUID_LOCATION=f"127.0.0.1:{port};{proxy.url}")
            assert drained(store.open_read(location)) == b"text"

    def test_a_cache_that_cannot_reach_the_server_is_done_without(self, stores: Stores, web: Nginx) -> None:
        (web.root / "a").write_bytes(b"text")
        with scripted(
            answer(b"error", status="503 No"), answer(b"x", "X-Squid-Error: ERR_ACCESS_DENIED 0")
        ) as bad:
            store = stores(OSG_SQUID_LOCATION=bad.url)
            for _ in range(2):
                assert drained(store.open_read(parse_location(f"{web.url}/a"))) == b"text"
            assert len(bad.requests) == 2
            assert bad.requests[0].line.startswith(f"GET {web.url}/a ")

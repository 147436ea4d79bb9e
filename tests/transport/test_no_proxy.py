"""`NO_PROXY` is read as curl reads it, and what it cannot say stops nobody."""

from __future__ import annotations

import httpx
import pytest

from neuralbox._transport.client import FastClient
from neuralbox._transport.proxies import read_proxies

from .servers import Server, answering, unused_port
from .support import every_engine, prepare, transport_for

anyio_backend = every_engine
PROXY = "http://127.0.0.1:3128"


def goes_direct(monkeypatch: pytest.MonkeyPatch, no_proxy: str, url: str) -> bool:
    """Ask our client which way a request would take."""
    monkeypatch.setenv("ALL_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", no_proxy)
    direct = httpx.MockTransport(lambda request: httpx.Response(200))
    through = httpx.MockTransport(lambda request: httpx.Response(502))
    client = FastClient(lambda proxy: direct if proxy is None else through, trust_env=True)
    return client._transport_for_url(httpx.URL(url)) is direct


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("fd07:b51a:cc66:f0::/64", "http://[fd07:b51a:cc66:f0::5]:8080/", True),
        ("fd07:b51a:cc66:f0::/64", "http://[fd07:b51a:cc66:f1::5]/", False),
        ("fe80::/10", "http://neuralbox.top/", False),
        ("[::1]", "http://[::1]:9/", True),
        ("::1", "http://[::1]:9/", True),
        ("[fe80::]/10", "http://[fe80::1]/", True),
        ("10.0.0.0/8", "http://10.200.3.4/", True),
        ("10.0.0.0/8", "http://11.0.0.1/", False),
        ("10.1.2.3/8", "http://10.200.3.4/", True),
        ("127.0.0.1", "http://127.0.0.1:5/", True),
        ("localhost", "http://localhost/", True),
        ("localhost", "http://my.localhost/", False),
        ("example.com", "https://example.com/", True),
        ("example.com", "https://api.example.com/", True),
        ("example.com", "https://notexample.com/", False),
        (".example.com", "https://example.com/", True),
        (".example.com", "https://api.example.com/", True),
        ("a.test  b.test,c.test", "https://b.test/", True),
        ("example.com:8443", "https://example.com:8443/", True),
        ("example.com:8443", "https://example.com/", False),
        ("http://example.com", "http://example.com/", True),
        ("http://example.com", "https://example.com/", False),
        ("http://xn--i-7iq.ws, b.test", "https://b.test/", True),
        ("a.test, *", "https://b.test/", True),
        ("", "https://b.test/", False),
        (",, ,", "https://b.test/", False),
    ],
)
def test_an_exception_goes_around_the_proxy(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, url: str, direct: bool
) -> None:
    assert goes_direct(monkeypatch, no_proxy, url) is direct


@pytest.mark.parametrize(
    "nonsense", ["[::1", "fd07::/999", "300.1.1.1/8", "a:b:c", "http://", "[", "://", "example.com:x"]
)
def test_what_cannot_be_read_is_passed_over(monkeypatch: pytest.MonkeyPatch, nonsense: str) -> None:
    assert not goes_direct(monkeypatch, nonsense, "http://neuralbox.top/")
    assert goes_direct(monkeypatch, f"{nonsense},neuralbox.top", "http://neuralbox.top/")


def test_an_address_without_a_scheme_is_a_plain_proxy() -> None:
    routes = read_proxies({"https": "proxy.test:3128"})
    assert routes.proxies == {"https://": "http://proxy.test:3128"}


@pytest.mark.anyio
@pytest.mark.parametrize("no_proxy", ["fe80::/10,127.0.0.0/8", "[::1],127.0.0.1", "fd07:b51a:cc66:f0::/64 127.0.0.1"])
async def test_calls_go_on_beside_networks_of_the_other_family(no_proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(answering()) as server:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{unused_port()}")
        monkeypatch.setenv("NO_PROXY", no_proxy)
        async with transport_for() as transport:
            assert (await transport.send(prepare(transport, server.url), max_bytes=100)).content == b'{"ok": true}'

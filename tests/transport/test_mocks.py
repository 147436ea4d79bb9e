"""Those who test their programs with the usual tools catch our calls; a caught call never opens a socket."""

from __future__ import annotations

import functools
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import httpcore
import httpx
import pytest
import respx
from pytest_httpx import HTTPXMock

from neuralbox import _errors as errors
from neuralbox._transport.mock_detection import StockTransport, are_originals

from .servers import Server, answering
from .support import every_engine, pooled, prepare, resources_of, transport_for

pytestmark = pytest.mark.anyio
anyio_backend = every_engine
URL = "https://service.invalid/api/v2/user/me"


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Count attempts to find a host or to connect, and end with none."""
    attempts: list[Any] = []

    def caught(*arguments: Any, **options: Any) -> Any:
        attempts.append(arguments)
        raise OSError("a mocked call reached for the network")

    monkeypatch.setattr(socket, "getaddrinfo", caught)
    monkeypatch.setattr(socket.socket, "connect", caught)
    monkeypatch.setattr(socket.socket, "connect_ex", caught)
    yield attempts
    assert attempts == []


@pytest.mark.parametrize("using", ["httpcore", "httpx"])
async def test_respx_catches_our_calls(using: str, no_sockets: list[Any]) -> None:
    said: list[str] = []
    with respx.mock(using=using) as mock:
        route = mock.post(URL).respond(json={"id": 1})
        async with transport_for() as transport:
            prepared = prepare(transport, URL, "POST", content=b"{}")
            reply = await transport.send(prepared, max_bytes=100, on_sent=lambda: said.append("sent"))
            async with transport.stream(prepared) as streamed:
                assert await streamed.read(max_bytes=100) == reply.content
    assert (reply.status_code, reply.content, said) == (200, b'{"id":1}', ["sent"])
    assert route.call_count == 2
    assert route.calls[0].request.content == b"{}"


@pytest.mark.parametrize("using", ["httpcore", "httpx"])
@pytest.mark.parametrize(
    ("effect", "ours", "said"),
    [
        (httpx.ReadTimeout, errors.APITimeoutError, ["sent"]),
        (httpx.ReadError, errors.ConnectionLostError, ["sent"]),
        (httpx.ConnectError, errors.ConnectError, None),
        (httpx.ConnectTimeout, errors.APITimeoutError, None),
    ],
)
async def test_a_failure_played_by_respx_means_what_the_real_one_means(
    using: str,
    effect: type[httpx.TransportError],
    ours: type[errors.NeuralBoxError],
    said: list[str] | None,
    no_sockets: list[Any],
) -> None:
    heard: list[str] = []
    with respx.mock(using=using) as mock:
        mock.post(URL).mock(side_effect=effect)
        async with transport_for() as transport:
            with pytest.raises(ours):
                await transport.send(
                    prepare(transport, URL, "POST"), max_bytes=100, on_sent=lambda: heard.append("sent")
                )
    if said is not None:  # a connection that failed says by itself that nothing was sent
        assert heard == said


async def test_pytest_httpx_catches_our_calls(httpx_mock: HTTPXMock, no_sockets: list[Any]) -> None:
    httpx_mock.add_response(url=URL, json={"id": 2})
    async with transport_for() as transport:
        reply = await transport.send(prepare(transport, URL), max_bytes=100)
    assert reply.content == b'{"id":2}'
    assert httpx_mock.get_requests()[0].headers["authorization"]


async def test_httpxs_own_mock_transport_catches_our_calls(no_sockets: list[Any]) -> None:
    mock = httpx.MockTransport(lambda request: httpx.Response(200, text=request.method))
    async with transport_for(transport=mock) as transport:
        assert (await transport.send(prepare(transport, URL), max_bytes=100)).content == b"GET"
    async with httpx.AsyncClient(transport=mock) as client, transport_for(http_client=client) as transport:
        assert (await transport.send(prepare(transport, URL), max_bytes=100)).content == b"GET"


async def test_a_mock_that_lets_a_call_pass_lets_it_reach_the_server() -> None:
    with Server(answering()) as server, respx.mock() as mock:
        mock.get(server.url).pass_through()
        async with transport_for() as transport:
            reply = await transport.send(prepare(transport, server.url), max_bytes=100)
    assert reply.content == b'{"ok": true}'
    assert len(server.requests) == 1


async def test_without_https_a_mocked_call_reads_no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []
    # Not the tests' shared one.
    monkeypatch.setattr("httpx._transports.default.create_ssl_context", httpx.create_ssl_context)
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda *given, **named: read.append((given, named)))
    with respx.mock() as mock:
        for scheme in ("http", "https"):
            mock.get(f"{scheme}://service.invalid/").respond(204)
        async with transport_for() as transport:
            await transport.send(prepare(transport, "http://service.invalid/"), max_bytes=100)
            assert read == []
            await transport.send(prepare(transport, "https://service.invalid/"), max_bytes=100)
            assert len(read) == 1


async def test_after_the_mock_our_engine_is_back() -> None:
    with Server(answering()) as server:
        async with transport_for() as transport:
            with respx.mock() as mock:
                mock.get(server.url).respond(204)
                assert (await transport.send(prepare(transport, server.url), max_bytes=100)).status_code == 204
            assert (await transport.send(prepare(transport, server.url), max_bytes=100)).status_code == 200
            assert len(pooled(transport)) == 1


async def test_a_wrapper_that_pretends_to_be_the_original_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert are_originals()
    owners: list[Any] = [httpx.AsyncHTTPTransport, httpcore.AsyncConnectionPool]
    for owner in owners:
        original = owner.handle_async_request

        @functools.wraps(original)
        async def traced(*arguments: Any, original: Any = original) -> Any:
            return await original(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(owner, "handle_async_request", traced)
            assert not are_originals()
    assert are_originals()


async def test_certificates_are_read_once_and_only_for_https() -> None:
    made: list[ssl.SSLContext] = []

    def tls() -> ssl.SSLContext:
        made.append(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        return made[-1]

    stock = StockTransport(size=1, keepalive_expiry=1, tls=tls, proxy=None)
    with respx.mock(using="httpcore") as mock:
        mock.get(host="service.invalid").respond(json={})
        for scheme, contexts in (("http", 0), ("https", 1), ("http", 1), ("https", 1)):
            response = await stock.send(httpx.Request("GET", f"{scheme}://service.invalid/"))
            assert (response.status_code, len(made)) == (200, contexts)
    await stock.aclose()


async def test_what_never_had_a_request_has_nothing_to_abandon() -> None:
    async with transport_for() as transport:
        resources_of(transport).abandon()


async def test_an_error_tracker_in_the_place_of_send_sees_our_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    tracked: list[str] = []
    original = httpx.AsyncClient.send

    async def send(self: httpx.AsyncClient, request: httpx.Request, **options: Any) -> httpx.Response:
        tracked.append(request.method)
        return await original(self, request, **options)

    monkeypatch.setattr(httpx.AsyncClient, "send", send)
    with Server(answering(Set_Cookie="a=b", Location="http://[broken", status=307)) as server:
        async with transport_for() as transport:
            for method in ("GET", "POST"):
                reply = await transport.send(prepare(transport, server.url, method), max_bytes=100)
                assert (reply.status_code, reply.content) == (307, b'{"ok": true}')
            async with transport.stream(prepare(transport, server.url)) as streamed:
                async for _ in streamed.chunks():
                    break
    assert tracked == ["GET", "POST", "GET"]
    assert all("cookie" not in seen.headers for seen in server.requests)


@pytest.mark.parametrize("is_tracked", [False, True])
async def test_no_log_of_httpx_shows_where_we_go(
    is_tracked: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = httpx.AsyncClient.send

    async def tracked(self: httpx.AsyncClient, request: httpx.Request, **options: Any) -> httpx.Response:
        return await original(self, request, **options)

    if is_tracked:
        monkeypatch.setattr(httpx.AsyncClient, "send", tracked)
    caplog.set_level("DEBUG")
    with Server(answering(Set_Cookie="session=secret")) as server:
        async with transport_for() as transport:
            await transport.send(prepare(transport, f"{server.url}/file?signature=secret"), max_bytes=100)
            assert not resources_of(transport).client.cookies
    assert "secret" not in caplog.text

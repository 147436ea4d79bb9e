"""What `transport="aiohttp"` does where aiohttp and httpx-aiohttp would not; the rest it shares with the default engine."""

from __future__ import annotations

import asyncio
import gc
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import httpx
import pytest
import trio

import neuralbox
from neuralbox import AsyncNeuralBox
from neuralbox import _errors as errors
from neuralbox._api.request import Form, FormFile
from neuralbox._transport import Limits, Timeouts, engine
from neuralbox._transport.aiohttp.adapter import AiohttpTransport
from neuralbox._transport.aiohttp.network import AiohttpConnection, AiohttpNetwork, FastRequest
from neuralbox._transport.fast_httpx import FastHeaders

from .servers import CERTIFICATE, Conversation, Server, answering, eventually, full_backlog, saying, silent, unused_port
from .support import (
    KEY,
    MEGABYTE,
    PATIENT,
    all_free,
    build,
    open_sockets,
    pooled,
    prepare,
    resources_of,
    sockets_of,
    transport_for,
)
from .test_proxies import relay

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=["asyncio-aiohttp"])
def anyio_backend() -> str:
    return "asyncio"


def network_of(transport: Any) -> AiohttpNetwork:
    found = resources_of(transport).engines[0]
    assert isinstance(found, AiohttpTransport)
    assert found.network is not None
    return found.network


# Choosing it.


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for missing in ("aiohttp", "httpx_aiohttp"):
        monkeypatch.setattr(engine, "find_spec", lambda name, missing=missing: None if name == missing else object())
        with pytest.raises(errors.ConfigurationError, match=r"pip install 'neuralbox\[speed\]'"):
            AsyncNeuralBox(api_key=KEY, transport="aiohttp")


def test_an_unknown_name_says_which_ones_there_are() -> None:
    with pytest.raises(errors.ConfigurationError, match="aiohttp"):
        build(transport="requests")


def test_on_trio_it_says_that_it_cannot_run() -> None:
    transport = build(transport="aiohttp")

    async def main() -> None:
        with pytest.raises(errors.ConfigurationError, match="asyncio only"):
            await transport.send(prepare(transport, "http://127.0.0.1:9"), max_bytes=100)
        await transport.aclose()

    trio.run(main)


def test_importing_the_package_does_not_import_aiohttp() -> None:
    script = "import sys, neuralbox; neuralbox.AsyncNeuralBox; print('aiohttp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


async def test_the_whole_client_runs_over_it() -> None:
    with Server(answering(b'{"id": 7, "status": "completed", "type": "text", "model": "gpt-5"}')) as server:
        async with AsyncNeuralBox(api_key=KEY, base_url=server.url, transport="aiohttp") as nb:
            assert (await nb.generations.get(7)).is_completed
        await eventually(lambda: server.open == 0)
    assert server.requests[0].headers["user-agent"].startswith(f"neuralbox/{neuralbox.__version__}")


async def test_a_socks_proxy_is_refused_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    async with transport_for() as transport:
        with pytest.raises(errors.ConfigurationError, match="SOCKS"):
            await transport.send(prepare(transport, "http://service.invalid"), max_bytes=100)
        monkeypatch.delenv("ALL_PROXY")


@pytest.mark.parametrize("target_has_tls", [False, True], ids=["plain", "tls"])
async def test_a_proxy_may_speak_tls_itself(target_has_tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE)
    with Server(answering(), tls=target_has_tls) as server, Server(relay, tls=True) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"https://user:pass@127.0.0.1:{proxy.port}")
        async with transport_for() as transport:
            reply = await transport.send(prepare(transport, server.url), max_bytes=100)
            assert all_free(transport)
        assert reply.content == (b'{"ok": true}' if target_has_tls else b"by proxy")
        assert proxy.requests[0].headers["proxy-authorization"] == "Basic dXNlcjpwYXNz"
        assert all("proxy-authorization" not in seen.headers for seen in server.requests)


# What is sent.


async def test_only_the_headers_that_were_given_are_sent() -> None:
    with Server(answering()) as server:
        async with transport_for() as transport:
            for method, content in (("GET", None), ("POST", b"x"), ("POST", None)):
                await transport.send(prepare(transport, server.url, method, content=content), max_bytes=100)
    expected = {"host", "accept-encoding", "connection", "authorization", "user-agent"}
    assert [set(seen.headers) - expected for seen in server.requests] == [set(), {"content-length"}, {"content-length"}]


async def test_a_request_is_the_same_each_time_it_is_sent() -> None:
    with Server(answering()) as server:
        async with transport_for() as transport:
            prepared = prepare(transport, f"{server.url}/a%2Fb?q=%20", "POST", content=b"body")
            for _ in range(3):
                await transport.send(prepared, max_bytes=100, on_sent=lambda: None)
                await transport.send(prepared, max_bytes=100)
    assert len(server.requests) == 6
    assert len({(seen.target, seen.body, *seen.headers.multi_items()) for seen in server.requests}) == 1


async def test_headers_that_differ_each_time_are_sent_as_given_and_few_are_remembered() -> None:
    with Server(answering()) as server:
        async with transport_for() as transport:
            for number in range(70):
                headers = {"x-request-id": str(number)}
                prepared = transport.prepare("GET", server.url, headers=headers, timeouts=PATIENT)
                await transport.send(prepared, max_bytes=100)
            aiohttp_engine = resources_of(transport).engines[0]
            assert isinstance(aiohttp_engine, AiohttpTransport)
            assert len(aiohttp_engine._converted) <= 64
    assert [seen.headers["x-request-id"] for seen in server.requests] == [str(number) for number in range(70)]


async def test_a_user_name_in_the_url_does_not_stop_the_request() -> None:
    with Server(answering()) as server:
        async with transport_for() as transport:
            url = server.url.replace("http://", "http://someone:secret@")
            await transport.send(prepare(transport, url), max_bytes=100)
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_nothing_is_sent_twice_by_itself(method: str) -> None:
    """The guard of `_retry_connection`: aiohttp alone would send all but the POST again."""

    def once(conversation: Conversation) -> None:
        if conversation.server.connections == 1:
            conversation.read_request()
            conversation.answer()
        conversation.read_request()

    with Server(once) as server:
        async with transport_for() as transport:
            await transport.send(prepare(transport, server.url), max_bytes=100)
            with pytest.raises(errors.ConnectionLostError):
                await transport.send(prepare(transport, server.url, method), max_bytes=100)
            assert all_free(transport)
    assert len(server.requests) == 2


async def test_on_sent_comes_after_the_connection_and_before_the_first_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    moments: list[str] = []
    connect, write = AiohttpNetwork._socket, asyncio.selector_events._SelectorSocketTransport.write  # type: ignore[attr-defined]

    def connecting(self: AiohttpNetwork, address: Any) -> socket.socket:
        moments.append("connecting")
        return connect(self, address)

    def writing(self: Any, data: bytes) -> None:
        moments.append("writing")
        write(self, data)

    monkeypatch.setattr(AiohttpNetwork, "_socket", connecting)
    monkeypatch.setattr(asyncio.selector_events._SelectorSocketTransport, "write", writing)  # type: ignore[attr-defined]
    with Server(answering()) as server:
        async with transport_for() as transport:
            prepared = prepare(transport, server.url, "POST", content=b"x")
            await transport.send(prepared, max_bytes=100, on_sent=lambda: moments.append("sent"))
    assert moments[:3] == ["connecting", "sent", "writing"]


@pytest.mark.parametrize("change", [-990, 990])
async def test_a_body_of_another_length_than_announced_is_not_taken_for_a_lost_connection(change: int) -> None:
    class Changing(httpx.SyncByteStream, httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield bytes(1000 + change)

    with Server(silent) as server:
        async with transport_for() as transport:
            prepared = prepare(transport, server.url, "POST", content=bytes(1000))
            prepared.request.stream = Changing()
            with pytest.raises(errors.ConfigurationError, match="changed while it was read"):
                await transport.send(prepared, max_bytes=100)
            assert all_free(transport)
            assert open_sockets(transport) == 0


async def test_a_file_that_cannot_be_read_leaves_no_task_and_no_connection() -> None:
    class Broken(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"x"
            raise OSError(5, "disk")

    before = asyncio.all_tasks()
    with Server(silent) as server:
        async with transport_for() as transport:
            prepared = prepare(transport, server.url, "POST", content=bytes(1000))
            prepared.request.stream = Broken()
            with pytest.raises(errors.ConnectionLostError, match="Input/output error"):
                await transport.send(prepared, max_bytes=100)
            assert open_sockets(transport) == 0
    assert asyncio.all_tasks() == before


async def test_an_answer_before_the_end_of_an_upload_is_read_and_the_upload_ends() -> None:
    def refuse(conversation: Conversation) -> None:
        conversation.more()
        conversation.answer(b"too large", status=413)
        over.wait(5)

    over, before = threading.Event(), asyncio.all_tasks()
    with Server(refuse) as server:
        async with transport_for() as transport:
            prepared = prepare(transport, server.url, "POST", content=bytes(32 * MEGABYTE))
            reply = await transport.send(prepared, max_bytes=100)
            assert (reply.status_code, reply.content) == (413, b"too large")
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            assert asyncio.all_tasks() == before
            assert all_free(transport)
            assert open_sockets(transport) == 0
        over.set()


async def test_a_large_body_raises_no_warning_and_arrives_whole() -> None:
    body = bytes(range(256)) * 4096 * 5
    with Server(answering()) as server:
        async with transport_for() as transport:
            await transport.send(prepare(transport, server.url, "POST", content=body), max_bytes=100)
    assert server.requests[0].body == body


async def test_a_form_is_sent_with_its_length() -> None:
    with Server(answering()) as server:
        async with transport_for() as transport:
            form = Form({}, (FormFile("file", "a.mp3", b"ID3", "audio/mpeg"),))
            await transport.send(prepare(transport, server.url, "POST", form=form), max_bytes=100)
    assert "transfer-encoding" not in server.requests[0].headers


# What is read.


def test_the_headers_of_a_reply_are_those_httpx_would_make() -> None:
    raw = ((b"Content-Type", b"a/b"), (b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=2"))
    ours, theirs = FastHeaders.of(raw), httpx.Headers(list(raw))
    assert (ours, ours.raw, ours.multi_items()) == (theirs, theirs.raw, theirs.multi_items())
    assert ours["SET-cookie"] == theirs["SET-cookie"]


async def test_what_arrived_before_the_connection_broke_is_handed_out_first() -> None:
    """aiohttp alone throws it away when both come at once."""
    with Server(saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwords\r\n")) as server:
        async with transport_for() as transport:
            pieces: list[bytes] = []

            async def read() -> None:
                async with transport.stream(prepare(transport, server.url)) as reply:
                    await eventually(lambda: server.open == 0)
                    await anyio.sleep(0.005)  # both have been seen by the loop
                    async for piece in reply.chunks():
                        pieces.append(piece)  # noqa: PERF401 - it ends in an error

            with pytest.raises(errors.ConnectionLostError):
                await read()
    assert pieces == [b"words"]


async def test_a_reply_without_length_ends_with_its_connection() -> None:
    with Server(saying(b"HTTP/1.1 200 OK\r\n\r\nall of it")) as server:
        async with transport_for() as transport:
            assert (await transport.send(prepare(transport, server.url), max_bytes=100)).content == b"all of it"


async def test_a_line_of_the_head_may_be_longer_than_aiohttps_8_kilobytes() -> None:
    with Server(answering(X_Long="x" * 20_000)) as server:
        async with transport_for() as transport:
            reply = await transport.send(prepare(transport, server.url), max_bytes=100)
    assert len(reply.headers["x-long"]) == 20_000


# Limits.


async def test_the_limit_for_connecting_covers_name_resolution(monkeypatch: pytest.MonkeyPatch) -> None:
    """httpx-aiohttp's does not: a name server that is silent would be waited for without limit."""
    go_on = threading.Event()
    look_up = socket.getaddrinfo

    def slowly(*arguments: Any, **options: Any) -> Any:
        go_on.wait(5)
        return look_up(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    async with transport_for() as transport:
        prepared = prepare(transport, "http://localhost:9", timeouts=Timeouts(0.02, 5.0, 5.0))
        with pytest.raises(errors.APITimeoutError) as caught:
            await transport.send(prepared, max_bytes=100)
        go_on.set()
        assert caught.value.phase == "connect"
        assert all_free(transport)


async def test_closing_during_name_resolution_fails_the_request_and_cancels_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """aiohttp alone lets the cancellation of its name resolution out into the caller's task."""
    go_on, looking = threading.Event(), threading.Event()

    def slowly(*arguments: Any, **options: Any) -> Any:
        looking.set()
        go_on.wait(5)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    transport = build(transport="aiohttp")

    async def call() -> None:
        with pytest.raises(errors.ConnectError):
            await transport.send(prepare(transport, "http://localhost:9"), max_bytes=100)

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        await eventually(looking.is_set)
        closing = asyncio.create_task(transport.aclose())
        await anyio.sleep(0.005)
        go_on.set()
        await closing


async def test_a_limit_of_nothing_is_not_a_limit_of_none() -> None:
    with Server(silent) as server:
        async with transport_for() as transport:
            prepared = prepare(transport, server.url, timeouts=Timeouts(None, 0.0, None))
            with anyio.fail_after(5), pytest.raises(errors.APITimeoutError) as caught:
                await transport.send(prepared, max_bytes=100)
            assert caught.value.phase == "read"


@pytest.mark.parametrize(("expiry", "left"), [(0.0, 0), (float("inf"), 1), (30.0, 1)])
async def test_idle_connections_are_kept_as_long_as_was_asked(expiry: float, left: int) -> None:
    with Server(answering()) as server:
        async with transport_for(limits=Limits(keepalive_expiry=expiry)) as transport:
            await transport.send(prepare(transport, server.url), max_bytes=100)
            await network_of(transport).settle()
            assert open_sockets(transport) == len(pooled(transport)) == left


# Cancelling and closing.


async def test_cancelled_after_connecting_leaves_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    made = AiohttpConnection.connection_made

    def made_and_cancelled(self: AiohttpConnection, transport: Any) -> None:
        made(self, transport)
        scope.cancel()

    with Server(answering()) as server:
        async with transport_for() as transport:
            monkeypatch.setattr(AiohttpConnection, "connection_made", made_and_cancelled)
            for _ in range(3):
                with anyio.CancelScope() as scope:
                    await transport.send(prepare(transport, server.url), max_bytes=100)
                assert scope.cancelled_caught
                assert all_free(transport)
                assert open_sockets(transport) == len(pooled(transport)) == 0
        await eventually(lambda: server.open == 0)


@pytest.mark.parametrize("framing", [b"Content-Length: 9", b"Transfer-Encoding: chunked", b"X: until the end"])
async def test_closing_ends_those_who_read_a_stream(framing: bytes) -> None:
    """aiohttp alone leaves them waiting for ever, or takes what came for the whole."""
    said = b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n" + (b"4\r\nhalf\r\n" if b"chunked" in framing else b"half")
    with Server(saying(said, then_hang=True)) as server:
        transport = build(transport="aiohttp")
        pieces: list[bytes] = []

        async def read() -> None:
            async with transport.stream(prepare(transport, server.url)) as reply:
                async for piece in reply.chunks():
                    pieces.append(piece)  # noqa: PERF401 - seen from outside while it grows

        async def call() -> None:
            with pytest.raises(errors.ConnectionLostError):
                await read()

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(call)
                await eventually(lambda: bool(pieces))
                await transport.aclose()
        await eventually(lambda: server.open == 0)
    assert pieces == [b"half"]


async def test_a_client_that_was_opened_again_connects_again() -> None:
    with Server(answering()) as server:
        transport = build(transport="aiohttp")
        for _ in range(2):
            await transport.send(prepare(transport, server.url), max_bytes=100)
            await transport.aclose()
            transport.reopen()
        await transport.aclose()
    assert server.connections == 2


async def test_a_system_that_refuses_keep_alive_still_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuralbox._transport.aiohttp.network.KEEPALIVE", [(99, 99, 1)])
    with Server(answering()) as server:
        async with transport_for() as transport:
            assert (await transport.send(prepare(transport, server.url), max_bytes=100)).status_code == 200


async def test_a_stock_transport_that_was_needed_for_a_mock_is_closed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []

    async def answer(self: Any, request: httpx.Request) -> httpx.Response:
        return httpx.Response(204)

    async def aclose(self: Any) -> None:
        closed.append(True)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", answer)
    monkeypatch.setattr(httpx.AsyncHTTPTransport, "aclose", aclose)
    async with transport_for() as transport:
        for _ in range(2):
            await transport.send(prepare(transport, "http://service.invalid"), max_bytes=100)
        assert closed == []
    assert closed == [True]


async def test_aiohttp_still_asks_what_we_put_in_its_place() -> None:
    """The guard of the private names: a release of aiohttp that renames them fails here, not at a user's."""
    with Server(answering()) as server:
        async with transport_for() as transport:
            await transport.send(prepare(transport, server.url), max_bytes=100)
            session: Any = network_of(transport).session
            assert session._retry_connection is False
            assert session._request_class is FastRequest
            (wire,) = pooled(transport)
            assert isinstance(wire, AiohttpConnection)
            assert len(sockets_of(transport)) == 1


# Loop after loop.


def fetch(transport: Any, url: str) -> Callable[[], Awaitable[bytes]]:
    async def once() -> bytes:
        content: bytes = (await transport.send(prepare(transport, url), max_bytes=MEGABYTE)).content
        assert open_sockets(transport) == 1
        return content

    return once


def run(function: Callable[[], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        return await function()

    return asyncio.run(main())


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_one_client_serves_loop_after_loop_and_leaves_no_socket_of_the_old_ones(
    tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE)
    with Server(answering(), tls=tls) as server, warnings.catch_warnings():
        warnings.simplefilter("error")
        transport = build(transport="aiohttp")
        once = fetch(transport, server.url)
        for _ in range(3):
            assert run(once) == b'{"ok": true}'
            run(lambda: eventually(lambda: server.open == 1))  # this loop's own; those of the loops before are closed

        async def last() -> None:
            await once()
            await transport.aclose()

        run(last)
        gc.collect()
        run(lambda: eventually(lambda: server.open == 0))
        assert server.connections == 4


@pytest.mark.parametrize("moment", ["connecting", "waiting"])
def test_a_loop_closed_over_unfinished_calls_is_cleared_up_too(moment: str) -> None:
    with Server(silent) as server:
        transport = build(transport="aiohttp")
        loop = asyncio.new_event_loop()
        url = server.url if moment == "waiting" else server.url.replace("http:", "https:")
        task = loop.create_task(transport.send(prepare(transport, url), max_bytes=100))
        while server.open == 0:
            loop.run_until_complete(asyncio.sleep(0.001))
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()
        run(transport.aclose)
        run(lambda: eventually(lambda: server.open == 0))
        # asyncio would complain of what the test did to the task, not of the sockets.
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        task.get_coro().close()


def test_a_connection_that_a_dead_loop_was_still_making_is_closed() -> None:
    with full_backlog() as url:
        transport = build(transport="aiohttp")
        loop = asyncio.new_event_loop()
        task = loop.create_task(transport.send(prepare(transport, url), max_bytes=100))

        async def connecting() -> list[socket.socket]:
            await eventually(lambda: bool(sockets_of(transport)))
            await anyio.sleep(0.005)
            return sockets_of(transport)

        (sock,) = loop.run_until_complete(connecting())
        loop.close()
        run(transport.aclose)
        assert sock.fileno() == -1
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        task.get_coro().close()


def test_nothing_is_left_of_a_port_where_nobody_listens() -> None:
    transport = build(transport="aiohttp")

    async def main() -> None:
        with pytest.raises(errors.ConnectError, match="refused"):
            await transport.send(prepare(transport, f"http://127.0.0.1:{unused_port()}"), max_bytes=100)
        assert open_sockets(transport) == 0
        assert len(asyncio.all_tasks()) == 1
        await transport.aclose()

    run(main)

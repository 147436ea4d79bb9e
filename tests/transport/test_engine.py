from __future__ import annotations

import gzip
import io
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import httpx
import pytest

from neuralbox import _errors as errors
from neuralbox._api.request import Form, FormFile
from neuralbox._transport import Limits, Timeouts

from .servers import CERTIFICATE, Conversation, Server, answering, eventually, full_backlog, saying, silent, unused_port
from .support import (
    KEY,
    MEGABYTE,
    PATIENT,
    all_free,
    build,
    default_engine,
    every_engine,
    open_sockets,
    pooled,
    prepare,
    resources_of,
    sockets_of,
    transport_for,
)

pytestmark = pytest.mark.anyio
anyio_backend = every_engine


# Requests and replies.


async def test_a_request_arrives_as_it_was_prepared_and_the_reply_comes_back_whole() -> None:
    with Server(answering(b'{"id": 7}', Content_Type="application/json", X_Request_Id="r1")) as server:
        async with transport_for() as transport:
            prepared = prepare(transport, f"{server.url}/a%2Fb?q=%20x", "POST", content=b'{"n": 1}')
            reply = await transport.send(prepared, max_bytes=100)
    assert (reply.status_code, reply.content) == (200, b'{"id": 7}')
    assert reply.headers["x-request-ID"] == "r1"
    (seen,) = server.requests
    assert (seen.method, seen.target, seen.body) == ("POST", "/a%2Fb?q=%20x", b'{"n": 1}')
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert seen.headers["accept-encoding"] == "gzip, deflate"
    assert seen.headers["host"] == f"127.0.0.1:{server.port}"


async def test_a_prepared_request_is_sent_as_often_as_one_likes_over_one_connection() -> None:
    with Server(answering()) as server:
        async with transport_for() as transport:
            prepared = prepare(transport, server.url)
            for _ in range(5):
                await transport.send(prepared, max_bytes=100)
            assert len(pooled(transport)) == 1, "the requests went over our own engine"
    assert (len(server.requests), server.connections) == (5, 1)


async def test_cookies_are_neither_kept_nor_sent() -> None:
    with Server(answering(Set_Cookie="lb=1; Path=/")) as server:
        async with transport_for() as transport:
            prepared = prepare(transport, server.url)
            await transport.send(prepared, max_bytes=100)
            reply = await transport.send(prepared, max_bytes=100)
            assert not resources_of(transport).client.cookies
    assert reply.headers["set-cookie"] == "lb=1; Path=/"
    assert all("cookie" not in seen.headers for seen in server.requests)


@pytest.mark.parametrize("location", ["/elsewhere", "http://[broken"])
async def test_a_redirect_is_a_reply_like_any_other(location: str) -> None:
    with Server(saying(f"HTTP/1.1 307 Go\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())) as server:
        async with transport_for() as transport:
            reply = await transport.send(prepare(transport, server.url, "POST", content=b"x"), max_bytes=100)
    assert (reply.status_code, reply.headers["location"]) == (307, location)
    assert len(server.requests) == 1


async def test_a_head_request_may_announce_more_than_the_limit() -> None:
    with Server(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")) as server:
        async with transport_for() as transport:
            reply = await transport.send(prepare(transport, server.url, "HEAD"), max_bytes=100)
    assert (reply.content, reply.headers["content-length"]) == (b"", "5000")


# Replies that are too long.


async def test_a_reply_that_announces_too_much_is_not_read() -> None:
    with Server(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 209715200\r\n\r\n", then_hang=True)) as server:
        async with transport_for() as transport:
            with pytest.raises(errors.ProtocolError, match="longer than 1000 bytes") as caught:
                await transport.send(prepare(transport, server.url), max_bytes=1000)
            assert all_free(transport)
            await eventually(lambda: server.open == 0)
    assert caught.value.status_code == 200


async def test_a_reply_without_end_is_cut_at_the_limit_and_its_connection_closed() -> None:
    def pour(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            conversation.send(b"<html>" * 1000)

    with Server(pour) as server:
        async with transport_for() as transport:
            with pytest.raises(errors.ProtocolError, match="longer than 100000 bytes") as caught:
                await transport.send(prepare(transport, server.url), max_bytes=100_000)
            assert caught.value.body.startswith("<html>")
            assert len(caught.value.body) <= 300
            assert all_free(transport)
            assert open_sockets(transport) == 0
            await eventually(lambda: server.open == 0)


@pytest.mark.uncovered
async def test_a_gzip_bomb_is_counted_after_decompression() -> None:
    bomb = gzip.compress(bytes(64 * MEGABYTE), 9)
    assert len(bomb) < 100_000
    with Server(answering(bomb, Content_Encoding="gzip")) as server:
        async with transport_for() as transport:
            with pytest.raises(errors.ProtocolError, match="longer than"):
                await transport.send(prepare(transport, server.url), max_bytes=MEGABYTE)


async def test_a_reply_of_just_the_limit_is_read() -> None:
    with Server(answering(b"12345")) as server:
        async with transport_for() as transport:
            assert (await transport.send(prepare(transport, server.url), max_bytes=5)).content == b"12345"


# Streams.


async def test_a_stream_hands_out_pieces_as_they_come() -> None:
    first_read = anyio.Event()

    def speak(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        conversation.more()  # until the client has seen the first piece it sends nothing more
        conversation.send(b"3\r\ntwo\r\n0\r\n\r\n")
        conversation.wait_for_hang_up()

    with Server(speak) as server:
        async with transport_for() as transport, transport.stream(prepare(transport, server.url)) as reply:
            assert reply.status_code == 200
            chunks = reply.chunks()
            assert await chunks.__anext__() == b"one"
            first_read.set()
            sock = next(iter(server._live))
            sock.shutdown(socket.SHUT_RD)  # lets `more` return
            assert [chunk async for chunk in chunks] == [b"two"]


async def test_leaving_a_stream_early_closes_its_connection_and_frees_its_slot() -> None:
    def pour(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            conversation.send(b"x" * 10_000)

    with Server(pour) as server:
        async with transport_for() as transport:
            async with transport.stream(prepare(transport, server.url)) as reply:
                chunks = reply.chunks()
                async for _ in chunks:
                    break
            assert all_free(transport)
            assert open_sockets(transport) == 0
            with pytest.raises(RuntimeError, match="inside the block"):
                await chunks.__anext__()
            await eventually(lambda: server.open == 0)


async def test_a_stream_may_be_left_unread() -> None:
    with Server(answering(b"x" * 100_000)) as server:
        async with transport_for() as transport:
            async with transport.stream(prepare(transport, server.url)) as reply:
                assert reply.headers["content-length"] == "100000"
            assert all_free(transport)


async def test_the_callers_own_error_leaves_a_stream_as_it_is() -> None:
    with Server(answering()) as server:
        async with transport_for() as transport:
            with pytest.raises(OSError, match="disk full"):
                async with transport.stream(prepare(transport, server.url)):
                    raise OSError(28, "disk full")
            assert all_free(transport)


async def test_streams_do_not_take_the_slots_of_requests() -> None:
    with Server(answering()) as server:
        async with (
            transport_for(limits=Limits(max_connections=1, max_streams=2)) as transport,
            AsyncExitStack() as stack,
        ):
            for _ in range(2):
                await stack.enter_async_context(transport.stream(prepare(transport, server.url)))
            with anyio.fail_after(5):
                await transport.send(prepare(transport, server.url), max_bytes=100)
            assert resources_of(transport).streams.value == 0


# The slots and the pool.


async def test_more_calls_than_slots_wait_their_turn_in_order() -> None:
    with Server(answering(delay=0.002)) as server:
        async with transport_for(limits=Limits(max_connections=2)) as transport:
            async with anyio.create_task_group() as group:
                for number in range(12):
                    prepared = prepare(transport, f"{server.url}/{number}", timeouts=Timeouts(5.0, 5.0, 5.0))
                    group.start_soon(lambda p: transport.send(p, max_bytes=100), prepared)
                    await anyio.lowlevel.checkpoint()
            assert all_free(transport)
    numbers = [int(seen.target[1:]) for seen in server.requests]
    assert sorted(numbers) == list(range(12))
    assert all(abs(number - place) <= 2 for place, number in enumerate(numbers))
    assert server.connections == 2


@default_engine
async def test_a_quiet_client_settles_on_few_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("httpcore2._async.http11.time", SimpleNamespace(monotonic=lambda: now))

    def all_at_once(conversation: Conversation) -> None:
        while conversation.read_request() is not None:
            while conversation.server.connections < 30:
                time.sleep(0.001)
            conversation.answer()

    with Server(all_at_once) as server:
        async with transport_for(limits=Limits(keepalive_expiry=30.0)) as transport:
            prepared = prepare(transport, server.url)
            async with anyio.create_task_group() as group:
                for _ in range(30):
                    group.start_soon(lambda: transport.send(prepared, max_bytes=100))
            assert len(pooled(transport)) == 30
            for _ in range(8):
                await transport.send(prepared, max_bytes=100)
                now += 5.0
            assert len(pooled(transport)) == open_sockets(transport) == 1
            await eventually(lambda: server.open == 1)


async def test_a_connection_the_server_closed_while_idle_is_not_used_again() -> None:
    def once(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.answer()

    with Server(once) as server:
        async with transport_for() as transport:
            for _ in range(3):
                await transport.send(prepare(transport, server.url), max_bytes=100)
                await eventually(lambda: server.open == 0)
    assert server.connections == 3


async def test_every_connection_probes_a_silent_peer() -> None:
    with Server(answering()) as server:
        async with transport_for() as transport:
            await transport.send(prepare(transport, server.url), max_bytes=100)
            (sock,) = sockets_of(transport)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            if hasattr(socket, "TCP_KEEPIDLE"):
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60


# The moment a request leaves.


async def test_on_sent_is_called_once_before_the_first_byte_leaves() -> None:
    said: list[int] = []
    with Server(answering()) as server:
        async with transport_for() as transport:
            prepared = prepare(transport, server.url, "POST", content=b"x")
            await transport.send(prepared, max_bytes=100, on_sent=lambda: said.append(len(server.requests)))
            async with transport.stream(prepared, on_sent=lambda: said.append(len(server.requests))):
                pass
    assert said == [0, 1]


async def test_on_sent_is_not_called_when_no_connection_can_be_made() -> None:
    async with transport_for() as transport:
        prepared = prepare(transport, f"http://127.0.0.1:{unused_port()}", "POST")
        with pytest.raises(errors.ConnectError, match="refused"):
            await transport.send(prepared, max_bytes=100, on_sent=lambda: pytest.fail("nothing was sent"))
        assert all_free(transport)


# Failures.


async def test_a_host_that_cannot_be_one_is_a_failed_connection() -> None:
    async with transport_for() as transport:
        for url in (f"http://{'a' * 70}.invalid/", "http://nowhere.invalid/"):
            with pytest.raises(errors.ConnectError, match="nothing was sent"):
                await transport.send(prepare(transport, url), max_bytes=100)
        assert all_free(transport)


@pytest.mark.parametrize("proxied", [False, True])
@pytest.mark.parametrize("host", ["xn--i-7iq.test", "xn--.test", "xn--a-.test"])
async def test_a_host_that_idna_refuses_is_asked_as_it_is_written(
    monkeypatch: pytest.MonkeyPatch, host: str, proxied: bool
) -> None:
    addresses = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **options: addresses("127.0.0.1", *rest, **options))
    with Server(answering()) as server:
        if proxied:
            monkeypatch.setenv("HTTP_PROXY", server.url)
            monkeypatch.setenv("NO_PROXY", "example.com")
        url = f"http://{host}:{server.port}/"
        async with transport_for() as transport, transport.stream(prepare(transport, url), download=True) as reply:
            assert await reply.read(max_bytes=100) == b'{"ok": true}'
    assert server.requests[0].headers["host"] == f"{host}:{server.port}"


async def test_connecting_that_takes_too_long_says_so() -> None:
    with full_backlog() as url:
        async with transport_for() as transport:
            prepared = prepare(transport, url, timeouts=Timeouts(0.03, 5.0, 5.0))
            with pytest.raises(errors.APITimeoutError) as caught:
                await transport.send(prepared, max_bytes=100)
            assert caught.value.phase == "connect"
            assert open_sockets(transport) == 0
            assert all_free(transport)


async def test_a_server_that_does_not_answer_is_a_read_time_out() -> None:
    with Server(silent) as server:
        async with transport_for() as transport:
            prepared = prepare(transport, server.url, timeouts=Timeouts(5.0, 0.03, 5.0))
            with pytest.raises(errors.APITimeoutError) as caught:
                await transport.send(prepared, max_bytes=100)
            assert caught.value.phase == "read"
            await eventually(lambda: server.open == 0)


async def test_a_server_that_stops_in_the_middle_is_a_read_time_out() -> None:
    with Server(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", then_hang=True)) as server:
        async with transport_for() as transport:
            prepared = prepare(transport, server.url, timeouts=Timeouts(5.0, 0.03, 5.0))
            with pytest.raises(errors.APITimeoutError) as caught:
                await transport.send(prepared, max_bytes=100)
            assert caught.value.phase == "read"
            with pytest.raises(errors.APITimeoutError):
                async with transport.stream(prepared) as reply:
                    await reply.read(max_bytes=100)
            assert all_free(transport)
            await eventually(lambda: server.open == 0)


async def test_a_server_that_does_not_read_is_a_write_time_out() -> None:
    stop = anyio.Event()

    def deaf(conversation: Conversation) -> None:
        while not stop.is_set():
            time.sleep(0.005)

    with Server(deaf) as server:
        async with transport_for() as transport:
            prepared = prepare(
                transport, server.url, "POST", content=bytes(32 * MEGABYTE), timeouts=Timeouts(5.0, 5.0, 0.05)
            )
            with pytest.raises(errors.APITimeoutError) as caught:
                await transport.send(prepared, max_bytes=100)
            stop.set()
            assert caught.value.phase == "write"
            assert open_sockets(transport) == 0


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal",
    ],
)
async def test_a_connection_that_ends_too_early_is_lost(said: bytes) -> None:
    with Server(saying(said)) as server:
        async with transport_for() as transport:
            with pytest.raises(errors.ConnectionLostError, match="unknown") as caught:
                await transport.send(prepare(transport, server.url, "POST", content=b"x"), max_bytes=100)
            assert caught.value.__cause__ is not None
            assert all_free(transport)


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
    ],
)
async def test_what_is_not_http_is_a_protocol_error(said: bytes) -> None:
    with Server(saying(said, then_hang=True)) as server:
        async with transport_for() as transport:
            with pytest.raises(errors.ProtocolError, match="not HTTP"):
                await transport.send(prepare(transport, server.url), max_bytes=100)
            assert all_free(transport)
            await eventually(lambda: server.open == 0)


async def test_a_body_that_is_not_what_its_header_says_is_a_protocol_error() -> None:
    with Server(answering(b"plain words", Content_Encoding="gzip")) as server:
        async with transport_for() as transport:
            with pytest.raises(errors.ProtocolError, match="cannot be decompressed") as caught:
                await transport.send(prepare(transport, server.url), max_bytes=100)
            assert caught.value.status_code == 200
            assert all_free(transport)


async def test_no_failure_shows_the_key_or_the_query() -> None:
    with Server(saying(b"")) as server:
        async with transport_for() as transport:
            for url in (f"{server.url}/?secret=1", f"http://127.0.0.1:{unused_port()}/?secret=1"):
                with pytest.raises(errors.APIConnectionError) as caught:
                    await transport.send(prepare(transport, url), max_bytes=100)
                shown = [str(caught.value), repr(caught.value), str(caught.value.__cause__)]
                assert not any(KEY in text or "secret" in text for text in shown)


# Multipart.


def a_form(content: Any) -> Form:
    return Form({"model": "whisper-1"}, (FormFile("file", "talk.mp3", content, "audio/mpeg"),))


@pytest.mark.parametrize("kind", ["bytes", "memory", "file"])
async def test_a_form_is_sent_whole_every_time(kind: str, tmp_path: Path) -> None:
    data = b"ID3" + bytes(200_000)
    path = tmp_path / "talk.mp3"
    path.write_bytes(data)
    with Server(answering()) as server, path.open("rb") as file:
        content = {"bytes": data, "memory": io.BytesIO(data), "file": file}[kind]
        async with transport_for() as transport:
            prepared = prepare(transport, server.url, "POST", form=a_form(content))
            for _ in range(2):
                await transport.send(prepared, max_bytes=100, on_sent=lambda: None)
    first, second = server.requests
    assert first.body == second.body
    assert data in first.body
    assert first.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'name="model"\r\n\r\nwhisper-1\r\n' in first.body
    assert b'name="file"; filename="talk.mp3"\r\nContent-Type: audio/mpeg\r\n' in first.body


async def test_a_file_that_shrinks_while_it_is_sent_is_told_apart_from_the_network() -> None:
    file = io.BytesIO(bytes(1000))
    with Server(silent) as server:
        async with transport_for() as transport:
            prepared = prepare(transport, server.url, "POST", form=a_form(file))
            file.truncate(10)
            with pytest.raises(errors.ConfigurationError, match="changed while it was read") as caught:
                await transport.send(prepared, max_bytes=100)
            assert caught.value.__cause__ is None
            assert all_free(transport)


# A client or transport of the user's own.


async def test_a_users_client_is_used_as_given_and_left_open() -> None:
    hooked: list[str] = []

    async def hook(request: httpx.Request) -> None:
        hooked.append(request.method)

    with Server(answering(Set_Cookie="mine=1")) as server:
        async with httpx.AsyncClient(
            headers={"X-Team": "blue"}, event_hooks={"request": [hook]}, follow_redirects=True, timeout=0.001
        ) as client:
            async with transport_for(http_client=client) as transport:
                sent: list[bool] = []
                prepared = prepare(transport, server.url, "POST", content=b"x")
                for _ in range(2):
                    await transport.send(prepared, max_bytes=100, on_sent=lambda: sent.append(True))
                async with transport.stream(prepared) as reply:
                    assert await reply.read(max_bytes=100) == b'{"ok": true}'
            assert not client.is_closed
    assert (hooked, sent) == (["POST"] * 3, [True, True])
    assert [seen.headers.get("cookie") for seen in server.requests] == [None, "mine=1", "mine=1"]
    assert {seen.headers["x-team"] for seen in server.requests} == {"blue"}


async def test_a_users_client_fetches_files_from_a_host_that_idna_refuses_and_nothing_else() -> None:
    client = httpx.AsyncClient(transport=httpx.MockTransport(lambda request: httpx.Response(200)))
    async with client, transport_for(http_client=client) as transport:
        prepared = prepare(transport, "http://xn--i-7iq.ws/")
        async with transport.stream(prepared, download=True) as reply:
            assert reply.status_code == 200
        with pytest.raises(errors.ConfigurationError, match="begins with xn--"):
            await transport.send(prepared, max_bytes=100, on_sent=lambda: pytest.fail("nothing was sent"))
        assert all_free(transport)


async def test_a_users_client_does_not_follow_redirects_for_us() -> None:
    with Server(saying(b"HTTP/1.1 302 Go\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n")) as server:
        async with httpx.AsyncClient(follow_redirects=True) as client, transport_for(http_client=client) as transport:
            assert (await transport.send(prepare(transport, server.url), max_bytes=100)).status_code == 302
    assert len(server.requests) == 1


@pytest.mark.parametrize("read_first", [True, False])
async def test_a_hook_that_raises_for_the_status_is_read_as_that_status(read_first: bool) -> None:
    async def refuse(response: httpx.Response) -> None:
        if read_first:
            await response.aread()
        response.raise_for_status()

    client = httpx.AsyncClient(
        transport=httpx.MockTransport(lambda request: httpx.Response(429, stream=Body())),
        event_hooks={"response": [refuse]},
    )
    async with client, transport_for(http_client=client) as transport:
        reply = await transport.send(prepare(transport, "http://service.invalid", "POST"), max_bytes=100)
    assert (reply.status_code, reply.content) == (429, b"slow down" if read_first else b"")


class Body(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"slow down"


async def test_a_closed_client_of_the_users_is_named_before_anything_is_sent() -> None:
    client = httpx.AsyncClient()
    await client.aclose()
    async with transport_for(http_client=client) as transport:
        with pytest.raises(errors.ConfigurationError, match="http_client"):
            prepare(transport, "http://service.invalid")


async def test_a_prepared_request_that_comes_back_after_closing_opens_nothing() -> None:
    with Server(answering()) as server:
        async with transport_for() as transport:
            prepared = prepare(transport, server.url)
            await transport.aclose()
            with pytest.raises(errors.ConfigurationError, match="client is closed"):
                await transport.send(prepared, max_bytes=100)
            with pytest.raises(errors.ConfigurationError, match="client is closed"):
                async with transport.stream(prepared):
                    pass
            assert transport._per_loop.pop() is None
    assert server.connections == 0


async def test_a_request_that_waited_for_a_slot_while_the_client_was_closed_is_not_sent() -> None:
    client = httpx.AsyncClient()
    async with transport_for(http_client=client, limits=Limits(max_connections=1)) as transport:
        prepared = prepare(transport, "http://service.invalid")
        await resources_of(transport).requests.acquire()
        async with anyio.create_task_group() as group:

            async def late() -> None:
                with pytest.raises(errors.ConfigurationError, match="http_client"):
                    await transport.send(prepared, max_bytes=100)

            group.start_soon(late)
            await anyio.wait_all_tasks_blocked()
            await client.aclose()
            resources_of(transport).requests.release()
        assert all_free(transport)


async def test_a_users_transport_is_used_and_closed_with_us() -> None:
    class Mine(httpx.AsyncBaseTransport):
        closed = False

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, json={"timeout": request.extensions["timeout"]["read"]})

        async def aclose(self) -> None:
            self.closed = True

    mine = Mine()
    said: list[str] = []
    async with transport_for(transport=mine) as transport:
        reply = await transport.send(
            prepare(transport, "http://service.invalid"), max_bytes=100, on_sent=lambda: said.append("sent")
        )
        assert not mine.closed
    assert (reply.content, said, mine.closed) == (b'{"timeout":5.0}', ["sent"], True)


async def test_what_a_users_transport_raises_is_translated_but_a_bug_is_not() -> None:
    ends: list[BaseException] = [
        OSError(5, "odd"),
        anyio.ClosedResourceError(),
        httpx.ReadTimeout("slow"),
        KeyError("bug"),
    ]

    def end(request: httpx.Request) -> httpx.Response:
        raise ends[0]

    async with transport_for(transport=httpx.MockTransport(end)) as transport:
        for expected in (errors.ConnectionLostError, errors.ConnectionLostError, errors.APITimeoutError, KeyError):
            with pytest.raises(expected):
                await transport.send(prepare(transport, "http://service.invalid"), max_bytes=100)
            ends.pop(0)
        assert all_free(transport)


# Opening and closing.


async def test_closing_closes_every_connection_and_refuses_what_follows() -> None:
    with Server(answering()) as server:
        transport = build()
        prepared = prepare(transport, server.url)
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(lambda: transport.send(prepared, max_bytes=100))
        await transport.aclose()
        await eventually(lambda: server.open == 0)
        with pytest.raises(errors.ConfigurationError, match="closed"):
            prepare(transport, server.url)
        await transport.aclose()  # a second time changes nothing
        transport.reopen()
        assert (await transport.send(prepare(transport, server.url), max_bytes=100)).status_code == 200
        await transport.aclose()


async def test_closing_cuts_off_what_is_still_under_way() -> None:
    def think(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.wait_for_hang_up()

    with Server(think) as server:
        transport = build()

        async def call(scheme: str, ending: type[errors.NeuralBoxError]) -> None:
            with pytest.raises(ending):
                await transport.send(prepare(transport, server.url.replace("http", scheme)), max_bytes=100)

        async with anyio.create_task_group() as group:
            group.start_soon(call, "http", errors.ConnectionLostError)
            await eventually(lambda: len(server.requests) == 1)
            group.start_soon(call, "https", errors.ConnectError)  # the server never answers its handshake
            await eventually(lambda: server.open == 2 and open_sockets(transport) == 2)
            await transport.aclose()
            await eventually(lambda: server.open == 0)


async def test_a_connection_that_comes_after_closing_is_closed_at_once() -> None:
    with Server(answering()) as server:
        async with transport_for() as transport:
            prepared = prepare(transport, server.url)
            await transport.send(prepared, max_bytes=100)
            (engine,) = resources_of(transport).engines
            await engine.aclose()
            with pytest.raises(httpx.ConnectError, match="closed"):
                await engine.handle_async_request(prepared.request)
            assert engine.network is not None
            assert engine.network.open_sockets == 0
        await eventually(lambda: server.open == 0)


async def test_nothing_is_opened_before_the_first_request() -> None:
    transport = build()
    transport.prepare("GET", "http://127.0.0.1/", headers={}, timeouts=PATIENT)
    await transport.aclose()


async def test_one_client_speaks_http_and_https_over_one_list_of_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE)
    with Server(answering()) as plain, Server(answering(), tls=True) as secure:
        async with transport_for() as transport:
            for url in (plain.url, secure.url, plain.url, secure.url):
                await transport.send(prepare(transport, url), max_bytes=100)
            assert open_sockets(transport) == len(pooled(transport)) == 2

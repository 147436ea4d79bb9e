"""The doubles do what tests rely on."""

from __future__ import annotations

import sys

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint

from neuralbox._api.request import Request, RetrySafety
from neuralbox._core.credentials import Session
from neuralbox._errors import APITimeoutError, ConfigurationError, ConnectError, ConnectionLostError, ProtocolError
from neuralbox._transport.base import Timeouts

from .helpers import (
    KEY,
    STALL,
    START,
    Scripted,
    Sent,
    Streamed,
    Unsent,
    VirtualTime,
    cancelled_at_a_stall,
    make_client,
    make_core,
    refusal,
    reply,
)

pytestmark = pytest.mark.anyio

LIMITS = Timeouts(1.0, 2.0, 3.0)


def ask(transport: Scripted, method: str = "GET") -> Sent:
    return transport.prepare(method, "http://box.test/api/v2/x?a=1", headers={"Accept": "y"}, timeouts=LIMITS)


# Coverage.


async def test_coverage_rests_on_trio(anyio_backend: str) -> None:
    is_measured = type(sys.gettrace()).__module__.startswith("coverage")
    assert not (is_measured and anyio_backend == "trio")


# Time.


async def test_a_pause_moves_the_clock_and_costs_nothing() -> None:
    time = VirtualTime(random_value=0.25)
    began = time.clock()
    with anyio.fail_after(5):
        await time.sleep(3_600.0)
    assert time.clock() - began == 3_600.0
    assert time.now() == START + 3_600.0
    assert time.random() == 0.25
    assert time.pauses == [3_600.0]


async def test_sleepers_wake_in_the_order_they_are_due() -> None:
    time, woken = VirtualTime(), list[tuple[float, float]]()

    async def sleep(seconds: float) -> None:
        await time.sleep(seconds)
        woken.append((seconds, time.elapsed))

    async with anyio.create_task_group() as group:
        for seconds in (3.0, 1.0, 2.0, 1.0):
            group.start_soon(sleep, seconds)
    assert woken == [(1.0, 1.0), (1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]


async def test_a_cancelled_sleeper_holds_nobody_up() -> None:
    time = VirtualTime()
    async with anyio.create_task_group() as group:
        group.start_soon(time.sleep, 1.0)
        await checkpoint()
        group.cancel_scope.cancel()
    await time.sleep(10.0)
    assert time.elapsed == 10.0


async def test_a_wait_ends_with_its_event_or_its_limit() -> None:
    time, event = VirtualTime(), anyio.Event()

    async def ring() -> None:
        await time.sleep(2.0)
        event.set()

    async with anyio.create_task_group() as group:
        group.start_soon(ring)
        await time.wait_until(anyio.Event(), 1.0)
        assert time.elapsed == 1.0
        await time.wait_until(event, 60.0)
        assert time.elapsed == 2.0
    assert time.pauses == [2.0]


# The script.


async def test_a_script_is_played_step_by_step_and_records_what_it_was_given() -> None:
    time = VirtualTime()
    transport = Scripted([reply(200, {"n": 1}, x_one="1"), lambda sent: refusal(404, "not_found", sent.method)], time)
    prepared = transport.prepare(
        "POST", "http://box.test/api/v2/x?a=1", headers={"X": "y"}, timeouts=LIMITS, content=b'{"b": 2}'
    )
    assert transport.prepared == [prepared]
    first = await transport.send(prepared, max_bytes=100)
    await time.sleep(5.0)
    second = await transport.send(prepared, max_bytes=100)
    assert (first.status_code, first.headers["X-ONE"], first.content) == (200, "1", b'{"n": 1}')
    assert second.status_code == 404
    assert b"POST" in second.content
    assert [one.at for one in transport.sent] == [0.0, 5.0]
    sent = transport.sent[0]
    assert (sent.path, sent.query, sent.json, sent.headers["x"]) == ("/x", {"a": "1"}, {"b": 2}, "y")
    assert ask(transport).json is None
    assert transport.left == 0
    with pytest.raises(AssertionError, match="at its end"):
        await transport.send(prepared, max_bytes=100)


async def test_one_function_can_answer_everything() -> None:
    async def answer(sent: Sent) -> ConnectionLostError:
        await checkpoint()
        return ConnectionLostError(sent.path)

    transport = Scripted(answer)
    for _ in range(3):
        with pytest.raises(ConnectionLostError, match="/x"):
            await transport.send(ask(transport), max_bytes=100)


@pytest.mark.parametrize(
    ("step", "left"),
    [
        (ConnectionLostError("x"), True),
        (APITimeoutError("x", phase="read"), True),
        (APITimeoutError("x", phase="pool"), False),
        (APITimeoutError("x", phase="connect"), False),
        (ConnectError("x"), False),
        (Unsent(ConnectionLostError("x")), False),
    ],
)
async def test_an_error_tells_whether_the_first_byte_had_left(step: Exception | Unsent, left: bool) -> None:
    calls: list[int] = []
    transport = Scripted([step])
    with pytest.raises((ConnectionLostError, APITimeoutError, ConnectError)):
        await transport.send(ask(transport), max_bytes=100, on_sent=lambda: calls.append(1))
    assert bool(calls) is left


@pytest.mark.parametrize("step", [STALL, Unsent(STALL)])
async def test_a_stalled_attempt_waits_for_its_cancellation(step: Unsent) -> None:
    transport = Scripted([step])
    async with cancelled_at_a_stall() as scope:
        await transport.send(ask(transport), max_bytes=100)
    assert scope.cancelled_caught
    assert transport.cancelled == 1
    assert repr(STALL) == "STALL"


async def test_a_step_that_is_none_is_a_mistake_of_the_test() -> None:
    transport = Scripted(lambda sent: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(AssertionError, match="not a step"):
        await transport.send(ask(transport), max_bytes=100)


async def test_a_streamed_reply_comes_in_its_pieces_and_is_counted_while_open() -> None:
    transport = Scripted([Streamed([b"ab", b"c", ConnectionLostError("cut")]), reply(200, b"whole"), reply(204)])
    async with transport.stream(ask(transport)) as streamed:
        assert (streamed.status_code, streamed.headers["Content-Type"]) == (200, "text/event-stream")
        assert transport.open_streams == 1
        pieces = aiter(streamed.chunks())
        assert [await anext(pieces), await anext(pieces)] == [b"ab", b"c"]
        with pytest.raises(ConnectionLostError):
            await anext(pieces)
    assert transport.open_streams == 0
    async with transport.stream(ask(transport)) as streamed:
        assert await streamed.read(max_bytes=5) == b"whole"
        with pytest.raises(ProtocolError, match="too long"):
            await streamed.read(max_bytes=4)
    async with transport.stream(ask(transport)) as streamed:
        assert await streamed.read(max_bytes=5) == b""


async def test_a_body_may_hang_half_way() -> None:
    transport = Scripted([Streamed([b"ab", STALL])])
    async with cancelled_at_a_stall() as scope:
        await transport.send(ask(transport), max_bytes=100)
    assert scope.cancelled_caught


async def test_a_whole_reply_may_be_too_long_and_may_come_in_pieces() -> None:
    transport = Scripted([reply(200, b"12345"), Streamed([b"123", b"45"])])
    with pytest.raises(ProtocolError, match="too long"):
        await transport.send(ask(transport), max_bytes=4)
    assert (await transport.send(ask(transport), max_bytes=5)).content == b"12345"


async def test_a_closed_script_prepares_nothing_until_it_is_opened() -> None:
    transport = Scripted([])
    await transport.aclose()
    with pytest.raises(ConfigurationError, match="closed"):
        ask(transport)
    transport.reopen()
    assert ask(transport).method == "GET"


async def test_make_core_puts_both_under_a_real_core() -> None:
    bench = make_core([reply(200, {"a": 1})], max_retries=5)
    assert await bench.core.send(Request("GET", "/x", RetrySafety.REPEATABLE), bench.core.as_json) == {"a": 1}
    assert [one.url for one in bench.sent] == ["http://box.test/api/v2/x"]
    assert bench.times == [0.0]
    assert bench.core.options.max_retries == 5
    assert bench.core.clock() == bench.time.clock()


async def test_make_client_answers_every_request_by_a_function_in_virtual_time() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(f"{request.method} {request.url} {request.headers['authorization']}")
        return (
            httpx.Response(503, json={"error": "model_unavailable"}) if len(seen) == 1 else httpx.Response(200, json={})
        )

    seen: list[str] = []
    time = VirtualTime()
    async with make_client(handler, time=time) as client:
        await client.account.me()
    assert seen == [f"GET http://box.test/api/v2/user/me Bearer {KEY}"] * 2
    assert time.pauses == [0.25]


async def test_make_client_takes_a_session_in_place_of_the_key() -> None:
    client = make_client(lambda request: httpx.Response(200, json={}), session=Session("token"))
    async with client:
        assert (await client.account.me()).raw == {}

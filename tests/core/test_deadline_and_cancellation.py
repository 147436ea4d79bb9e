"""The deadline of a call, and cancellation at each moment of a call: nothing is left open, nothing is sent again."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Self

import anyio
import pytest
from anyio.lowlevel import checkpoint

from neuralbox import _errors as errors
from neuralbox._api.request import Request, RetrySafety
from neuralbox._core.credentials import Session
from neuralbox._core.deadline import TimedReply
from neuralbox._hooks import Hooks
from neuralbox._transport import StreamedReply
from tests.helpers import (
    STALL,
    Bench,
    Play,
    Sent,
    Step,
    Streamed,
    Unsent,
    cancelled_at_a_stall,
    make_core,
    refusal,
    reply,
)

pytestmark = pytest.mark.anyio

ASK = Request("GET", "/balance")
BUY = Request("POST", "/generate", RetrySafety.PAID, body={"prompt": "x"})
OK = reply(200, {"ok": True})


# The deadline. Stalled attempts are cut by the event loop's own clock, so these few limits are real and tiny.


async def test_a_stalled_question_ends_at_the_deadline() -> None:
    bench = make_core([STALL], deadline=0.01)
    with pytest.raises(errors.APITimeoutError, match=r"deadline of 0.01 s") as caught:
        await bench.core.send(ASK, bench.core.as_json)
    assert caught.value.phase == "deadline"
    assert caught.value.message.count("deadline") == 1  # said once
    assert isinstance(caught.value, TimeoutError)
    assert bench.transport.cancelled == 1


async def test_a_stalled_paid_request_ends_at_the_deadline_with_an_unknown_outcome() -> None:
    bench = make_core([STALL], deadline=0.01)
    with pytest.raises(errors.SubmissionUnknownError):
        await bench.core.send(BUY, bench.core.as_json)
    assert len(bench.sent) == 1


async def test_a_paid_request_that_had_not_left_by_the_deadline_is_not_unknown() -> None:
    bench = make_core([Unsent(STALL)], deadline=0.01)
    with pytest.raises(errors.APITimeoutError):
        await bench.core.send(BUY, bench.core.as_json)
    assert len(bench.sent) == 1


async def read_to_the_end(opening: AbstractAsyncContextManager[StreamedReply]) -> None:
    async with opening as streamed:
        async for _ in streamed.chunks():
            pass


@pytest.mark.parametrize(
    "step", [STALL, Unsent(STALL), Streamed([STALL]), Streamed([b"a", STALL]), Streamed([b"no", STALL], 403)]
)
async def test_the_deadline_counts_for_a_stream_until_its_last_byte(step: Step) -> None:
    bench = make_core([step], deadline=0.01)
    with pytest.raises(errors.APITimeoutError, match="for the whole call") as caught:
        await read_to_the_end(bench.core.open(ASK))
    assert caught.value.phase == "deadline"
    assert bench.transport.open_streams == 0


async def test_a_body_that_never_ends_is_cut_at_the_deadline() -> None:
    bench = make_core([Streamed([b": still here\n"] * 1_000)], deadline=0.05)
    pieces: list[bytes] = []

    async def read() -> None:
        async with bench.core.open(ASK) as streamed:
            async for piece in streamed.chunks():
                pieces.append(piece)
                await bench.time.sleep(0.01)

    with pytest.raises(errors.APITimeoutError):
        await read()
    assert 1 <= len(pieces) <= 6


async def test_a_body_read_at_once_is_cut_at_the_deadline() -> None:
    bench = make_core([Streamed([b"a", STALL]), Streamed([b"a", b"b"])], deadline=0.01)
    with pytest.raises(errors.APITimeoutError):
        async with bench.core.open(ASK) as streamed:
            await streamed.read(max_bytes=10)
    async with bench.core.open(ASK) as streamed:
        assert await streamed.read(max_bytes=10) == b"ab"
        assert (streamed.status_code, streamed.headers["content-type"]) == (200, "text/event-stream")


@pytest.mark.parametrize("hooks", [None, Hooks()])
async def test_the_deadline_counts_for_a_download_over_all_its_exchanges(hooks: Hooks | None) -> None:
    bench = make_core([Streamed([b"a", STALL]), STALL, Streamed([b"a", b"b"])], deadline=0.01, hooks=hooks)
    for _ in range(2):
        with pytest.raises(errors.APITimeoutError, match="for the whole call"):
            await read_to_the_end(bench.core.fetch("http://store.test/a", started=bench.core.clock()))
    assert bench.transport.open_streams == 0
    async with bench.core.fetch("http://store.test/a") as streamed:
        assert await streamed.read(max_bytes=10) == b"ab"


class Bare:
    """A reply whose body is an iterator that needs no closing."""

    status_code = 200
    headers: Mapping[str, str] = {}

    def __init__(self) -> None:
        self._left = [b"b", b"a"]

    def chunks(self, *, raw: bool = False) -> Self:
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        await checkpoint()
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()

    async def read(self, *, max_bytes: int) -> bytes:
        return b"".join([chunk async for chunk in self])


async def test_a_timed_body_may_be_any_iterator() -> None:
    assert [chunk async for chunk in TimedReply(Bare(), lambda: 5.0, 5.0).chunks()] == [b"a", b"b"]


async def test_within_the_deadline_everything_goes_on() -> None:
    bench = make_core([refusal(503, "model_unavailable", retry_after="5"), OK], deadline=60.0)
    assert await bench.core.send(ASK, bench.core.as_json) == {"ok": True}


@pytest.mark.parametrize("hooks", [None, Hooks()])
async def test_what_a_call_took_before_is_gone_of_the_deadline_of_its_download(hooks: Hooks | None) -> None:
    bench = make_core([reply(200, b"abc")], deadline=60.0, hooks=hooks)
    with pytest.raises(errors.APITimeoutError) as caught:
        async with bench.core.fetch("http://files.test/a.png", started=bench.core.clock() - 60.0) as streamed:
            await streamed.read(max_bytes=9)
    assert caught.value.phase == "deadline"


# Cancellation.


async def cancelled_at(bench: Bench, request: Request, ready: anyio.Event) -> None:
    """Send, and cancel the caller as soon as the moment has come."""
    async with anyio.create_task_group() as group:
        group.start_soon(bench.core.send, request, bench.core.as_json)
        with anyio.fail_after(5):
            await ready.wait()
        for _ in range(3):
            await checkpoint()
        group.cancel_scope.cancel()


@pytest.mark.parametrize("request_", [ASK, BUY])
async def test_cancelled_while_the_answer_is_awaited(request_: Request) -> None:
    ready = anyio.Event()

    def stall(sent: Sent) -> Play:
        ready.set()
        return STALL

    bench = make_core([stall, OK])
    await cancelled_at(bench, request_, ready)
    assert bench.transport.cancelled == 1
    assert len(bench.sent) == 1  # the cancellation itself goes on: nothing is repeated, nothing is turned into an error


async def test_cancelled_between_two_attempts() -> None:
    ready = anyio.Event()

    def busy(sent: Sent) -> Play:
        ready.set()
        return refusal(503, "model_unavailable", retry_after="30")

    bench = make_core([busy, OK])

    async def long_pause(seconds: float) -> None:
        await anyio.sleep_forever()

    bench.core.sleep = long_pause
    await cancelled_at(bench, BUY, ready)
    assert len(bench.sent) == 1


async def test_cancelled_while_the_session_is_renewed_leaves_the_next_caller_free_to_renew_it() -> None:
    ready = anyio.Event()

    def stall(sent: Sent) -> Play:
        ready.set()
        return STALL

    session = Session("old", {"refresh": "cookie"})
    session.expires_at = 0.0
    bench = make_core([stall, reply(200, {"access_token": "new", "expires_in": 900}), OK], credential=session)
    await cancelled_at(bench, BUY, ready)
    assert [one.path for one in bench.sent] == ["/auth/refresh"]
    with anyio.fail_after(5):
        assert await bench.core.send(ASK, bench.core.as_json) == {"ok": True}
    assert [one.path for one in bench.sent] == ["/auth/refresh", "/auth/refresh", "/balance"]
    assert bench.sent[-1].headers["authorization"] == "Bearer new"


async def test_cancelled_while_a_stream_is_read_closes_it() -> None:
    bench = make_core([Streamed([b"a", STALL])])
    async with cancelled_at_a_stall() as scope, bench.core.open(BUY) as streamed:
        await streamed.read(max_bytes=10)
    assert scope.cancelled_caught
    assert bench.transport.open_streams == 0
    assert len(bench.sent) == 1

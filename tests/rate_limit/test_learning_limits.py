"""The limits are asked for once, where a crowd would be at stake; not to be told them holds nobody up."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from neuralbox._core.exchange import Core
from neuralbox._core.reply_capture import capture_replies
from neuralbox._errors import ConfigurationError, ConnectionLostError
from neuralbox._rate_limit.limiter import Permit, RateLimiter
from neuralbox._rate_limit.windows import MAX_UNANSWERED, Window, Windows
from neuralbox._transport import Reply
from tests.helpers import Sent, make_core, refusal, reply

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "answer", [refusal(500, "provider_error"), reply(200, b"<html>"), ConnectionLostError("It broke.")]
)
async def test_limits_that_cannot_be_learnt_hold_nobody_up_and_are_not_asked_for_at_every_turn(answer: Any) -> None:
    bench = make_core(lambda _: answer, max_retries=0)
    limiter, permits = RateLimiter(), list[Permit]()
    for _ in range(3 * MAX_UNANSWERED):
        permits.append(await limiter.acquire(bench.core, spread=True))
    assert [sent.path for sent in bench.sent] == ["/user/me"]
    bench.time.elapsed += 900.0
    await limiter.acquire(bench.core)
    assert len(bench.sent) == 2


async def crowd_out(limiter: RateLimiter, core: Core) -> None:
    """Send so many that a batch asks for the limits first."""
    for _ in range(MAX_UNANSWERED + 1):
        await limiter.acquire(core, spread=True)


async def test_the_question_is_nothing_that_raw_responses_show_and_a_closed_client_is_an_error() -> None:
    bench = make_core([reply(200, {"rate_limit_hourly": 300})])
    with capture_replies() as seen:
        await crowd_out(RateLimiter(), bench.core)
    assert len(bench.sent) == 1
    assert seen == []
    await bench.transport.aclose()
    with pytest.raises(ConfigurationError, match="closed"):
        await crowd_out(RateLimiter(), bench.core)


async def test_a_window_without_an_end_is_asked_about_and_then_tried_one_by_one() -> None:
    asked: list[Sent] = []

    def answer(sent: Sent) -> Reply:
        asked.append(sent)
        return refusal(500, "provider_error")

    bench = make_core(answer, max_retries=0)
    limiter = RateLimiter()
    clock = bench.core.clock()
    limiter.windows = Windows(Window(100, 0), known=True, noted_at=clock)
    first = await limiter.acquire(bench.core, spread=True)
    assert bench.time.elapsed == pytest.approx(900.0 + 0.5)
    assert len(asked) == 1
    async with anyio.create_task_group() as group:

        async def second() -> None:
            (await limiter.acquire(bench.core, spread=True)).release()

        group.start_soon(second)
        await anyio.wait_all_tasks_blocked()
        assert limiter.throttled(bench.core) is None
        assert len(limiter._throttled) == 1
        first.release()
    assert not limiter.under_way

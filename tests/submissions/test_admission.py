"""A paid request's tokens and place: asked for before it leaves, and settled whatever becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from math import inf
from typing import Any

import anyio
import pytest

from neuralbox._api.builders import build_media, build_text
from neuralbox._api.request import Request
from neuralbox._budget import Budget
from neuralbox._client import AsyncNeuralBox
from neuralbox._config import CallOptions
from neuralbox._core.exchange import Core
from neuralbox._costs.charges import _Told, charges_of
from neuralbox._costs.prices import price_query_of
from neuralbox._errors import (
    APITimeoutError,
    BudgetExceededError,
    ConnectError,
    GenerationFailedError,
    InsufficientTokensError,
    RateLimitError,
    SubmissionUnknownError,
)
from neuralbox._models.generation import Generation
from neuralbox._polling.job import Job
from neuralbox._rate_limit.limiter import Permit, limiter_of
from neuralbox._rate_limit.windows import Window, Windows
from neuralbox._submissions import submission
from neuralbox._submissions.reconcile import reconcile
from neuralbox._submissions.registry import registry_of
from neuralbox._text_stream.stream import TextStream
from neuralbox.sandbox import Sandbox, serve
from tests.helpers import (
    STALL,
    Bench,
    Sent,
    Streamed,
    Unsent,
    VirtualTime,
    cancelled_at_a_stall,
    dear,
    make_core,
    refusal,
    reply,
)

from ..service import LOST, a_shop

pytestmark = pytest.mark.anyio


def limits(left: int, *, day: int = 500) -> dict[str, str]:
    return {
        "x_ratelimit_limit_hour": "100",
        "x_ratelimit_remaining_hour": str(left),
        "x_ratelimit_reset_hour": str(1_772_971_200 + 1_800),
        "x_ratelimit_limit_day": "1000",
        "x_ratelimit_remaining_day": str(day),
    }


def priced(*answers: Any, price: int | None = 10) -> Callable[[Sent], Any]:
    """Answer price questions, and everything else from a list."""
    left = list(answers)

    def answer(sent: Sent) -> Any:
        if sent.path.endswith("/calculate-price"):
            return reply(200, {"token_cost": price})
        return left.pop(0)

    return answer


DONE = {"id": 7, "status": "completed", "result_url": "http://box.test/7.webp", "tokens_spent": 8}
PENDING = {"id": 7, "status": "pending", "tokens_spent": 0}


async def send(core: Core, *, kind: str = "image", **options: Any) -> Generation:
    request = build_media(model="flux-1.1-pro", prompt="A boat", options=options, nested=False)
    return await submission.send(core, request, CallOptions(), kind=kind, model="flux-1.1-pro")


def text_request() -> Request:
    return build_text(
        model="gpt-5", prompt="Hi", messages=None, system=None, temperature=0.5, max_tokens=None,
        assistant_id=None, stream=True, nested=False, stream_path=False,
    )  # fmt: skip


def streamed(pieces: list[Any], *, left: int) -> Streamed:
    """Build a streamed reply that tells how many requests are left in the hour."""
    headers = {name.replace("_", "-"): value for name, value in limits(left).items()}
    return Streamed(pieces, headers={"content-type": "text/event-stream", **headers})


def figures(core: Core) -> tuple[int, int]:
    budget = core.options.budget
    assert budget is not None
    return budget.spent, budget.reserved


def posts(bench: Bench) -> int:
    return sum(sent.path == "/generate" for sent in bench.sent)


# Tokens.


async def test_a_client_without_a_budget_asks_for_no_price() -> None:
    bench = make_core([reply(200, DONE)])
    await send(bench.core)
    assert [sent.path for sent in bench.sent] == ["/generate"]


async def test_what_would_exceed_the_budget_is_not_sent() -> None:
    bench = make_core(priced(reply(200, DONE)), budget=Budget(17))
    await send(bench.core)
    with pytest.raises(BudgetExceededError) as caught:
        await send(bench.core)
    assert (caught.value.price, caught.value.left, caught.value.budget) == (10, 9, 17)
    assert posts(bench) == 1
    assert figures(bench.core) == (8, 0)


async def test_copies_share_the_budget_and_calls_at_once_do_not_exceed_it() -> None:
    bench = make_core(priced(*[reply(200, {**DONE, "tokens_spent": 10})] * 5), budget=Budget(35))
    copy, refused = bench.core.with_options(bench.core.options.with_changes(max_retries=0)), list[BudgetExceededError]()

    async def one(core: Core) -> None:
        try:
            await send(core)
        except BudgetExceededError as error:
            refused.append(error)

    async with anyio.create_task_group() as group:
        for number in range(6):
            group.start_soon(one, copy if number % 2 else bench.core)
    assert (posts(bench), len(refused)) == (3, 3)
    assert figures(bench.core) == (30, 0)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refusal(402, "insufficient_tokens"), InsufficientTokensError),
        (Unsent(ConnectError("Refused.")), ConnectError),
        (refusal(429, "rate_limit_exceeded"), RateLimitError),
    ],
)
async def test_a_refusal_gives_the_tokens_back(answer: Any, error: type[Exception]) -> None:
    bench = make_core(priced(answer), budget=Budget(100), max_retries=0)
    with pytest.raises(error):
        await send(bench.core)
    assert figures(bench.core) == (0, 0)
    assert not limiter_of(bench.core).under_way


async def test_an_unknown_outcome_keeps_its_tokens_until_it_is_known() -> None:
    async with a_shop() as shop:
        core = shop.core(budget=Budget(100), submission="raise", max_retries=0)
        announce(core, 10)
        shop.end_with("dropped after")
        with pytest.raises(SubmissionUnknownError):
            await _video(core)
        assert figures(core) == (0, 10)
        outcome = await reconcile(core)
        assert len(outcome.adopted) == 1
        assert figures(core) == (0, 10)  # it still runs
        await Job(core, outcome.adopted[0].job).wait()
        assert figures(core) == (2, 0)


def announce(core: Core, tokens: int) -> None:
    """Let the price be known, for a service that answers no such question."""
    question = price_query_of(build_media(model="kling-v2.1", prompt="A boat", options={}, nested=False))
    charges_of(core).prices._announced[question.key] = _Told(tokens, inf)


async def _video(core: Core) -> Generation:
    request = build_media(model="kling-v2.1", prompt="A boat", options={}, nested=False)
    return await submission.send(core, request, CallOptions(), kind="video", model="kling-v2.1")


async def test_what_is_proven_absent_gives_its_tokens_back() -> None:
    async with a_shop() as shop:
        core = shop.core(budget=Budget(100), submission="raise", max_retries=0)
        announce(core, 10)
        await _video(core)
        shop.end_with("answered", "dropped before")
        with pytest.raises(SubmissionUnknownError):
            await _video(core)
        assert figures(core) == (0, 20)
        await shop.time.sleep(20.0)
        outcome = await reconcile(core)
        assert len(outcome.absent) == 1
        assert figures(core) == (0, 10)


async def test_a_cancelled_call_keeps_its_tokens_where_it_had_left() -> None:
    bench = make_core(priced(STALL), budget=Budget(100))
    async with anyio.create_task_group() as group:
        group.start_soon(send, bench.core)
        await anyio.wait_all_tasks_blocked()
        assert figures(bench.core) == (0, 10)
        group.cancel_scope.cancel()
    assert figures(bench.core) == (0, 10)
    assert not limiter_of(bench.core).under_way


async def test_a_repetition_that_had_left_keeps_its_tokens_whatever_the_attempt_before_it_came_to() -> None:
    bench = make_core(priced(refusal(503, "model_unavailable"), STALL), budget=Budget(100))
    async with cancelled_at_a_stall():
        await send(bench.core)
    assert posts(bench) == 2
    assert figures(bench.core) == (0, 10)
    assert len(registry_of(bench.core).unresolved) == 1


async def test_a_repetition_that_never_left_gives_its_tokens_back_though_the_attempt_before_it_had_left() -> None:
    bench = make_core(priced(refusal(503, "model_unavailable"), Unsent(STALL)), budget=Budget(100))
    async with cancelled_at_a_stall():
        await send(bench.core)
    assert posts(bench) == 2
    assert figures(bench.core) == (0, 0)
    assert registry_of(bench.core).unresolved == ()


async def test_a_job_that_is_waited_for_is_booked_at_its_end_and_a_failed_one_given_back() -> None:
    failed = {**PENDING, "status": "failed", "error": "No."}
    for final, spent in ((DONE, 8), (failed, 0)):
        bench = make_core(priced(reply(200, PENDING), reply(200, final)), budget=Budget(100))
        job = Job(bench.core, generation=await send(bench.core))
        assert figures(bench.core) == (0, 10)
        if spent:
            await job.wait()
        else:
            with pytest.raises(GenerationFailedError):
                await job.wait()
        assert figures(bench.core) == (spent, 0)


async def test_a_charge_other_than_announced_is_what_counts() -> None:
    answers = [reply(200, {**DONE, "tokens_spent": 13})] * 4
    bench = make_core(priced(*answers), budget=Budget(30))
    await send(bench.core)
    await send(bench.core)
    with pytest.raises(BudgetExceededError):
        await send(bench.core)
    assert figures(bench.core) == (26, 0)


@pytest.mark.parametrize("left_early", [False, True])
async def test_a_stream_is_booked_at_its_end(*, left_early: bool) -> None:
    events = [
        b'data: {"type": "generation_start", "id": 7}\n\n',
        b'data: {"type": "content_delta", "delta": "Hi"}\n\n',
        b'data: {"type": "generation_end", "id": 7, "tokens_used": 4}\n\n',
    ]
    ended = reply(200, {"id": 7, "status": "completed", "result_text": "Hi", "tokens_spent": 4})
    bench = make_core(priced(streamed(events, left=70), ended), budget=Budget(100))
    async with TextStream(bench.core, text_request()) as stream:
        async for _ in stream:
            if left_early:
                break
    assert figures(bench.core) == ((0, 10) if left_early else (4, 0))
    assert stream.job is not None
    await Job(bench.core, ref=stream.job).wait()
    assert figures(bench.core) == (4, 0)
    hour = limiter_of(bench.core).windows.hour
    assert hour is not None
    assert hour.remaining == 70


async def test_a_stream_that_fails_costs_nothing() -> None:
    events = [b'data: {"type": "error", "message": "No."}\n\n']
    bench = make_core(priced(Streamed(events)), budget=Budget(100))
    async with TextStream(bench.core, text_request()) as stream:
        with pytest.raises(GenerationFailedError):
            await stream.collect()
    assert figures(bench.core) == (0, 0)


async def test_a_call_inside_the_block_of_a_stream_that_has_ended_does_not_wait_for_its_unknown_price() -> None:
    end = b'data: {"type": "generation_end", "id": 7, "tokens_used": 4}\n\n'
    bench = make_core(priced(Streamed([end]), reply(200, DONE), price=None), budget=Budget(100))
    async with TextStream(bench.core, text_request()) as stream:
        await stream.collect()
        assert figures(bench.core) == (4, 0)
        with anyio.fail_after(5):
            await send(bench.core)
    assert figures(bench.core) == (12, 0)


# Places.


async def test_a_call_inside_the_block_of_a_stream_takes_the_last_place_without_waiting_for_the_stream() -> None:
    begun = streamed([b'data: {"type": "generation_start", "id": 7}\n\n', STALL], left=1)
    bench = make_core([reply(200, DONE, **limits(2)), begun, reply(200, {**DONE, "id": 8}, **limits(0))])
    await send(bench.core)
    async with TextStream(bench.core, text_request()):
        assert not limiter_of(bench.core).under_way
        with anyio.fail_after(5):
            assert (await send(bench.core)).id == 8


async def test_a_stream_whose_answer_does_not_tell_the_windows_counts_as_one_when_it_begins() -> None:
    begun = Streamed([b'data: {"type": "generation_start", "id": 7}\n\n'])
    bench = make_core([reply(200, DONE, **limits(50)), begun])
    await send(bench.core)
    async with TextStream(bench.core, text_request()):
        hour = limiter_of(bench.core).windows.hour
        assert hour is not None
        assert hour.remaining == 49
    assert limiter_of(bench.core).windows.hour == hour


async def test_a_plain_call_is_told_that_the_hour_is_used_up_without_another_request() -> None:
    bench = make_core(priced(reply(200, DONE, **limits(0))), budget=Budget(100))
    await send(bench.core)
    with pytest.raises(RateLimitError) as caught:
        await send(bench.core)
    assert caught.value.retry_after == pytest.approx(1_801.5)
    assert posts(bench) == 1
    assert figures(bench.core) == (8, 0)


async def test_a_client_that_does_not_heed_the_windows_sends_and_sees() -> None:
    used_up = limits(0)
    busy = refusal(503, "model_unavailable", **used_up)
    answers = [
        reply(200, DONE, **used_up),
        busy,
        reply(200, DONE, **used_up),
        refusal(402, "insufficient_tokens", **used_up),
    ]
    bench = make_core(answers, pace="off")
    await send(bench.core)
    await send(bench.core)
    with pytest.raises(InsufficientTokensError):
        await send(bench.core)
    assert not limiter_of(bench.core).windows.known


async def test_a_refusal_that_is_repeated_in_time_is_noted_for_everybody() -> None:
    bench = make_core([refusal(429, "rate_limit_exceeded", retry_after="30", **limits(55)), reply(200, DONE)])
    await send(bench.core)
    limiter = limiter_of(bench.core)
    assert limiter.windows.hour == Window(100, 54, 1_000.0 + 1_800, 1_772_971_200 + 1_800)
    assert bench.times == [0.0, 31.0]


async def test_a_repetition_waits_for_a_place_of_its_own() -> None:
    async with a_shop() as shop:
        core = shop.core()
        await _video(core)
        shop.end_with("answered", "dropped before")
        await _video(core)
        assert len(shop.posts) == 3
        assert not limiter_of(core).under_way


async def test_what_is_sent_once_more_after_a_lost_answer_needs_another_place() -> None:
    bench = make_core([reply(200, DONE, **limits(1)), LOST], submission="resend")
    await send(bench.core)
    with pytest.raises(RateLimitError, match="The plan's hourly limit is used up until"):
        await send(bench.core)
    assert posts(bench) == 2


async def test_a_repetition_is_not_sent_into_an_hour_that_is_used_up_and_its_tokens_come_back() -> None:
    bench = make_core(priced(refusal(429, "rate_limit_exceeded", retry_after="5", **limits(0))), budget=Budget(100))
    with pytest.raises(RateLimitError, match="The plan's hourly limit is used up until") as caught:
        await send(bench.core)
    assert caught.value.retry_after == pytest.approx(1_801.5 - bench.time.elapsed)
    assert posts(bench) == 1
    assert figures(bench.core) == (0, 0)
    assert not limiter_of(bench.core).under_way


class Paused(VirtualTime):
    """Time in which something happens at each pause."""

    def __init__(self, at_a_pause: Callable[[], object]) -> None:
        super().__init__(random_value=0.0)
        self._at_a_pause = at_a_pause

    async def sleep(self, seconds: float) -> None:
        self._at_a_pause()
        await super().sleep(seconds)


async def test_a_repetition_holds_no_place_while_it_pauses() -> None:
    steps: list[Any] = [Unsent(ConnectError("Refused.")), refusal(503, "model_unavailable"), reply(200, DONE)]
    under_way = list[int]()
    bench = make_core(steps, time=Paused(lambda: under_way.append(len(limiter_of(bench.core).under_way))))
    await send(bench.core)
    assert under_way == [0, 0]


async def test_a_deadline_bounds_the_wait_for_another_place() -> None:
    def take_the_last() -> None:
        limiter.under_way[Permit(limiter, 0.0)] = True

    bench = make_core([refusal(503, "model_unavailable")], time=Paused(take_the_last), deadline=0.05)
    limiter = limiter_of(bench.core)
    limiter.windows = Windows(hour=Window(100, 1), known=True)
    with pytest.raises(APITimeoutError) as caught:
        await send(bench.core)
    assert caught.value.phase == "deadline"
    assert len(bench.sent) == 1


async def test_a_deadline_bounds_the_wait_for_a_place() -> None:
    bench = make_core(priced(), deadline=0.05, budget=Budget(100))
    limiter = limiter_of(bench.core)
    limiter.windows = Windows(hour=Window(100, 1), known=True)
    limiter.under_way[Permit(limiter, 0.0)] = True
    with pytest.raises(APITimeoutError, match=r"The deadline of 0.05 s for the whole call passed\.") as caught:
        await send(bench.core)
    assert caught.value.phase == "deadline"
    assert posts(bench) == 0
    assert figures(bench.core) == (0, 0)
    assert len(limiter.under_way) == 1


async def test_no_wait_for_a_window_begins_that_would_pass_the_deadline() -> None:
    bench = make_core([], deadline=10.0)
    clock = bench.core.clock()
    limiter_of(bench.core).windows = Windows(hour=Window(100, 0, clock + 30.0), known=True, noted_at=clock)
    with pytest.raises(RateLimitError, match=r"32 s from now, which is longer than 10 s; nothing was sent") as caught:
        await send(bench.core)
    assert caught.value.retry_after == 31.5
    assert bench.time.elapsed == 0.0


async def test_a_deadline_bounds_the_wait_for_tokens() -> None:
    budget = Budget(100)
    bench = make_core(priced(price=None), deadline=0.05, budget=budget)
    budget.reserve(None)  # of one that still runs
    with pytest.raises(APITimeoutError):
        await send(bench.core)
    assert posts(bench) == 0


def test_tokens_of_a_loop_that_is_closed_meanwhile_are_waited_for_no_more() -> None:
    budget, loop = Budget(100), asyncio.new_event_loop()
    bench = make_core(priced(price=None), budget=budget)

    async def reserve() -> None:
        budget.reserve(None)

    async def refused() -> None:
        with anyio.fail_after(5), pytest.raises(BudgetExceededError):
            await send(bench.core)

    async def come_before() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(refused)
            await bench.time.sleep(20.0)
            loop.close()

    loop.run_until_complete(reserve())
    asyncio.run(come_before())
    assert 20.0 <= bench.time.elapsed <= 26.0
    assert posts(bench) == 0


async def test_what_a_batch_waits_for_its_places_is_no_part_of_the_deadline() -> None:
    steps = [reply(200, DONE, **limits(10)), refusal(503, "model_unavailable", **limits(9)), reply(200, DONE)]
    bench = make_core(steps, pace="spread", deadline=60.0)
    await send(bench.core)
    request = build_media(model="flux-1.1-pro", prompt="A boat", options={}, nested=False)
    await submission.send(bench.core, request, CallOptions(), kind="image", model=None, patience=nullcontext)
    assert [time > 100.0 for time in bench.times] == [False, True, True]
    assert bench.times[2] - bench.times[1] > 100.0


async def test_a_client_that_spreads_waits_for_its_share_instead_of_raising() -> None:
    bench = make_core([reply(200, DONE, **limits(10)), reply(200, DONE, **limits(9))], pace="spread")
    await send(bench.core)
    await send(bench.core)
    assert bench.times[1] - bench.times[0] == pytest.approx(1_800 / 10, rel=0.01)


# On a socket.


def with_changes(nb: AsyncNeuralBox, **changes: Any) -> AsyncNeuralBox:
    nb._core = nb._core.with_options(nb._core.options.with_changes(**changes))
    return nb


@dear
async def test_on_a_plan_with_limits_a_client_that_spreads_meets_no_refusal() -> None:
    """Two hours of a VIP plan, in the sandbox's ledger and over its socket, by a clock that jumps."""
    time, budget = VirtualTime(), Budget(10_000)

    class Client(AsyncNeuralBox):
        _clockwork = time.time_source

    with serve(Sandbox(clock=time.now, plan="vip")) as server:
        client = Client(api_key="nb_spread", base_url=server.url, trust_env=False)
        async with (
            with_changes(client, pace="spread", max_retry_wait=4_000, budget=budget) as nb,
            anyio.create_task_group() as group,
        ):
            numbers = iter(range(150))

            async def work() -> None:
                for number in numbers:
                    await nb.images.create(model="flux-1.1-pro", prompt=f"Boat {number}")

            for _ in range(8):
                group.start_soon(work)
        ledger = server.sandbox.ledger
        assert len(ledger.charges) == 150
        statuses = [one.status for one in ledger.received if one.route == "POST /generate"]
        assert statuses == [200] * 150
        assert 3_600 < time.elapsed < 2 * 3_600
        assert budget.spent == ledger.charged


async def test_prices_of_the_sandbox_hold_a_budget_to_the_token() -> None:
    with serve(Sandbox()) as server:
        client = AsyncNeuralBox(api_key="nb_budget", base_url=server.url, trust_env=False)
        async with with_changes(client, budget=Budget(30)) as nb:
            sizes = ["1024x1024", "1792x1024", "1024x1792"]
            for number, size in enumerate(sizes):
                await nb.images.create(model="dall-e-3", prompt=f"Boat {number}", size=size)
            with pytest.raises(BudgetExceededError) as caught:
                await nb.images.create(model="dall-e-3", prompt="One too many", size=sizes[1])
            assert (caught.value.price, caught.value.left) == (9, 7)
            await nb.images.create(model="dall-e-3", prompt="What fits", size=sizes[0])
        assert server.sandbox.ledger.charged == 28
        assert server.sandbox.ledger.requests_by_route["POST /models/{slug}/calculate-price"] == 3

"""Budget, estimate and the account's limits: what would exceed them is not sent, and what is on its way is counted."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import anyio
import pytest

from neuralbox._batch.outcome import BatchOutcome
from neuralbox._batch.progress import BatchProgress
from neuralbox._batch.resource import Batches
from neuralbox._budget import Budget
from neuralbox._errors import BudgetExceededError, RateLimitError
from neuralbox._polling.job import Job
from neuralbox._rate_limit.limiter import limiter_of
from neuralbox._rate_limit.windows import MAX_UNANSWERED
from neuralbox._requests.requests import ImageRequest, TextRequest, TranscriptionRequest, VideoRequest
from neuralbox._transport.base import Reply
from neuralbox._transport.closing import announce_closed

from ..helpers import dear, refusal, reply
from ..service import Made, Plan
from .support import a_service, batches, core_of, images, outcomes_of, run_through, videos

pytestmark = pytest.mark.anyio


def limited(retry_after: int | None = None) -> Reply:
    return refusal(429, "rate_limit_exceeded", **({} if retry_after is None else {"retry_after": str(retry_after)}))


# Estimates.


async def test_an_estimate_asks_once_for_each_model_and_set_of_options() -> None:
    world = a_service(price=4)
    requests: list[Any] = [
        *images(600),
        *[ImageRequest(model="flux-1.1-pro", prompt="x", size="768x1344")] * 2,
        *videos(3),
        TextRequest(assistant_id="asst_1", prompt="x"),
        {"kind": "image", "key": "bad"},
        {"kind": "image", "model": "x", "prompt": "", "key": "empty"},
        ImageRequest(key="nan", model="x", prompt="x", extra_body={"mood": float("nan")}),
        TextRequest(key="half", model="x", prompt="\ud800"),
        TextRequest(key="object", model="x", prompt="x", extra_body={"mood": object()}),
        TranscriptionRequest(key="form", audio=b"x", file_name="talk.mp3", extra_body={"mood": {}}),
    ]
    estimate = await batches(world).estimate(requests)
    assert estimate.tokens == 605 * 4
    assert estimate.by_model == {"flux-1.1-pro": 602 * 4, "kling-v2.1": 12}
    assert (estimate.requests, estimate.unknown, estimate.invalid) == (606, 1, 6)
    assert estimate.problems["empty"] == "`prompt` is empty."
    assert all("cannot be sent as JSON" in estimate.problems[key] for key in ("nan", "half", "object"))
    assert "of a form" in estimate.problems["form"]
    assert "missing" in estimate.problems["000607"]
    assert world.prices_asked == 3
    assert len(world.posts) == 0
    many = await batches(world).estimate([{}] * 200)
    assert (many.invalid, len(many.problems)) == (200, 100)


async def test_an_estimate_reads_an_async_iterable_and_knows_what_it_does_not_know() -> None:
    async def requests() -> AsyncIterator[ImageRequest]:
        for request in images(2):
            yield request

    estimate = await batches(a_service(price=None)).estimate(requests())
    assert (estimate.tokens, estimate.unknown, dict(estimate.by_model)) == (0, 2, {})


# Budget.


async def test_what_would_exceed_the_budget_is_not_sent() -> None:
    world = a_service(price=4)
    found = await outcomes_of(batches(world)(images(10), budget=18))
    assert sum(outcome.ok for outcome in found.values()) == 4
    assert sum(made.tokens for made in world.ledger) == 16
    for outcome in found.values():
        assert outcome.price == 4
        if not outcome.ok:
            assert isinstance(outcome.error, BudgetExceededError)
            assert (outcome.error.price, outcome.error.left) == (4, 2)
            assert outcome.tokens == 0


async def test_progress_counts_what_the_budget_did_not_cover() -> None:
    async with batches(a_service(price=4))(images(10), budget=18) as run:
        async for _ in run:
            pass
        assert (run.progress.failed, run.progress.not_sent_budget) == (6, 6)


async def test_a_request_waits_for_others_that_may_leave_it_enough() -> None:
    world = a_service(price=26, ends=lambda number, body: "failed" if number == 1 else "answered")
    found = await outcomes_of(batches(world)(videos(2), budget=26))
    assert sorted(outcome.ok for outcome in found.values()) == [False, True]
    assert len(world.posts) == 2


async def test_a_refused_request_gives_its_tokens_back() -> None:
    world = a_service(ends=lambda number, body: refusal(400, "bad_request") if number <= 3 else "answered")
    budget = Budget(4)
    found = await outcomes_of(batches(world)(images(4), budget=budget, max_sending=1))
    assert sum(outcome.ok for outcome in found.values()) == 1
    assert (budget.spent, budget.reserved) == (4, 0)


async def test_prices_other_than_announced_exceed_the_budget_by_what_is_in_flight_at_most(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = a_service(price=4, tokens=10)
    async with batches(world)(images(50), budget=12, max_sending=3) as run:
        found = [outcome async for outcome in run]
        assert world.most_selling == 3
        assert sum(made.tokens for made in world.ledger) == run.progress.tokens_spent == 30
        assert run.progress.tokens_over == 18
    assert len(found) == 50
    assert [record.levelno for record in caplog.records if "exceeded" in record.message][:1] == [logging.WARNING]


async def test_unknown_prices_are_learnt_one_by_one() -> None:
    world = a_service(price=None, tokens=10)
    found = await outcomes_of(batches(world)(images(10), budget=35))
    assert sum(outcome.ok for outcome in found.values()) == 3


async def test_what_a_request_with_fields_of_its_own_was_charged_is_the_price_of_no_other() -> None:
    world = a_service(price=None, tokens=10, seconds=0.0, latency=0.1)
    make = world.make

    def made(body: Mapping[str, Any], **how: Any) -> Made:
        world.tokens = 1 if body.get("fast") else 10
        return make(body, **how)

    world.make = made  # type: ignore[method-assign]
    cheap = ImageRequest(model="flux-1.1-pro", prompt="fast", key="fast", extra_body={"fast": True})
    found = await outcomes_of(batches(world)([cheap, *images(9)], budget=12))
    assert sum(outcome.ok for outcome in found.values()) == 2
    assert sum(made.tokens for made in world.ledger) == 11


async def test_an_unknown_outcome_keeps_its_tokens() -> None:
    world = a_service(ends=lambda number, body: "dropped after" if number == 1 else "answered")
    budget = Budget(8)
    found = await outcomes_of(batches(world, submission="raise")(images(3), budget=budget, max_sending=1))
    assert sorted(outcome.ok for outcome in found.values()) == [False, False, True]
    assert (budget.spent, budget.reserved) == (4, 4)


def nested(shape: str) -> tuple[Budget, Budget, Budget]:
    """The client's budget, the batch's, and the widest."""
    wide = Budget(100)
    one, other = Budget(100, within=wide), Budget(100, within=wide)
    return {"same": (wide, wide, wide), "batch's in client's": (wide, one, wide),
            "client's in batch's": (one, wide, wide), "both in a third": (one, other, wide)}[shape]  # fmt: skip


@pytest.mark.parametrize("shape", ["same", "batch's in client's", "client's in batch's", "both in a third"])
async def test_a_budget_of_the_batch_that_counts_with_the_clients_is_spent_once(shape: str) -> None:
    clients, own, wide = nested(shape)
    world = a_service(price=60)
    with anyio.fail_after(30):  # it waited for itself, for ever
        async with batches(world, budget=clients)(images(2), budget=own) as run:
            assert sorted([outcome.ok async for outcome in run]) == [False, True]
            assert (run.progress.budget_tokens, run.progress.budget_spent) == (100, 60)
    assert len(world.posts) == 1
    assert {(budget.spent, budget.reserved) for budget in (clients, own, wide)} == {(60, 0)}


async def test_a_budget_of_its_own_and_the_clients_both_bound_a_batch() -> None:
    world, clients = a_service(price=4), Budget(8)
    found = await outcomes_of(batches(world, budget=clients)(images(4), budget=Budget(12)))
    assert sum(outcome.ok for outcome in found.values()) == 2
    assert (clients.spent, clients.reserved) == (8, 0)


async def test_what_a_batch_that_is_left_has_out_is_waited_for_by_nobody_and_settled_by_its_job() -> None:
    world, budget = a_service(price=26, seconds=1e6), Budget(30)
    core = core_of(world)
    async with Batches(core)(videos(1), budget=budget, wait_timeout=None) as run:
        while not run.progress.waiting:
            await anyio.lowlevel.checkpoint()
    (ref,) = run.unfinished
    assert (budget.spent, budget.reserved) == (0, 26)
    with anyio.fail_after(30):
        found = await outcomes_of(Batches(core)(videos(1), budget=budget))
    assert isinstance(found["000001"].error, BudgetExceededError)
    world.ledger[0].seconds = 0.0
    await Job(core, ref=ref).wait()
    assert (budget.spent, budget.reserved) == (26, 0)


async def test_what_a_batch_that_is_left_has_out_is_settled_in_its_budget_and_in_the_clients() -> None:
    world, budget, clients = a_service(price=26, seconds=30.0), Budget(30), Budget(30)
    core = core_of(world, budget=clients)
    async with Batches(core)(videos(1), budget=budget, wait_timeout=None) as run:
        while not run.progress.waiting:
            await anyio.lowlevel.checkpoint()
    await Job(core, ref=run.unfinished[0]).wait()
    assert {(one.spent, one.reserved) for one in (budget, clients)} == {(26, 0)}


async def test_what_a_batch_that_is_left_has_not_sent_is_given_back(tmp_path: Path) -> None:
    world, budget = a_service(latency=1.0), Budget(30)
    async with batches(world)(images(2), budget=budget, journal=tmp_path / "run.sqlite"):
        while not budget.reserved:  # and the service's clock is asked for
            await anyio.lowlevel.checkpoint()
    assert (budget.spent, budget.reserved, len(world.posts)) == (0, 0, 0)


async def test_tokens_in_flight_show_in_the_progress() -> None:
    world = a_service(price=26)
    async with batches(world)(videos(3), budget=100) as run:
        while run.progress.waiting < 3:
            await anyio.lowlevel.checkpoint()
        assert run.progress.tokens_reserved == 78
        assert len([outcome async for outcome in run]) == 3
        assert (run.progress.tokens_reserved, run.progress.tokens_spent) == (0, 78)


# Limits.


async def test_a_batch_waits_for_the_limits_and_says_until_when() -> None:
    world = a_service(ends=lambda number, body: limited(300) if number == 3 else "answered")
    seen: list[BatchProgress] = []
    found: list[BatchOutcome] = []
    async with anyio.create_task_group() as group:
        batch = batches(world)(images(6), max_sending=1)

        async def watch() -> None:
            while batch.progress.throttled_until is None:
                await anyio.lowlevel.checkpoint()
            seen.append(batch.progress)

        async with batch as run:
            group.start_soon(watch)
            found.extend([outcome async for outcome in run])
    assert all(outcome.ok for outcome in found)
    assert len(found) == 6
    assert len(world.posts) == 7
    assert 300 <= world.time.elapsed <= 310
    assert seen[0].throttled_until is not None
    assert seen[0].throttled_until - 1_772_971_200.0 == pytest.approx(300, abs=5)
    assert seen[0].throttled_by == "asked"


async def test_requests_that_wait_for_the_next_hour_do_not_end_by_the_deadline() -> None:
    world = a_service(plan=Plan(20))
    found = await outcomes_of(batches(world, deadline=60.0)(images(40)))
    assert all(outcome.ok for outcome in found.values())
    assert world.time.elapsed > 3_600


@pytest.mark.parametrize("pace", ["burst", "off"])
async def test_a_refusal_without_a_time_is_tried_again_at_growing_pauses(pace: Any) -> None:
    world = a_service(ends=lambda number, body: limited() if number <= 4 else "answered")
    found = await outcomes_of(batches(world, max_retries=0, pace=pace)(images(1)))
    assert found["000001"].ok
    assert len(world.posts) == 5
    assert world.time.elapsed > 60


@dear
@pytest.mark.parametrize("pace", ["spread", "off"])
@pytest.mark.parametrize(
    "busy",
    [
        limited(0),
        limited(-5),
        refusal(429, "rate_limit_exceeded", retry_after="0.001"),
        refusal(429, "rate_limit_exceeded", retry_after="Sun, 08 Mar 2026 11:00:00 GMT"),
        reply(429, {"error": "rate_limit_exceeded", "message": "No.", "retry_after": 0}),
    ],
    ids=["0", "negative", "next to 0", "past", "0 in the body"],
)
async def test_a_batch_told_to_wait_for_no_time_sends_no_more_than_one_told_nothing(busy: Reply, pace: Any) -> None:
    world = a_service()
    world.ends = lambda number, body: busy if world.time.elapsed < 600 and number < 2_000 else "answered"
    found = await outcomes_of(batches(world, pace=pace)(images(20)))
    assert all(outcome.ok for outcome in found.values())
    # At growing pauses, 20 at a time: at 0, 10, 30, 70, 150, 310 s and so on, each with at most its two retries.
    assert 20 < len(world.posts) <= 20 * 3 * 8
    assert 600 <= world.time.elapsed <= 1_000


async def test_a_told_pause_that_the_floor_outgrows_does_not_end_the_batch() -> None:
    world = a_service(ends=lambda number, body: limited(5) if number <= 4 else "answered")
    found = await outcomes_of(batches(world, max_retries=0, pace="off")(images(1), max_throttle_wait=20))
    assert found["000001"].ok
    assert world.time.elapsed == pytest.approx(10 + 20 + 40 + 80, abs=5)


async def test_throttled_for_longer_than_wished_the_batch_ends() -> None:
    world = a_service(ends=lambda number, body: limited(7_200) if number > 2 else "answered")
    found = await outcomes_of(batches(world)([*videos(2), *images(20)], max_sending=2, max_throttle_wait=3_600))
    assert sum(outcome.ok for outcome in found.values()) == 2
    assert len(found) == 22
    errors = [outcome.error for outcome in found.values() if not outcome.ok]
    assert all(isinstance(error, RateLimitError) for error in errors)
    assert world.time.elapsed < 100
    assert len(world.posts) <= 4


async def test_leaving_early_does_not_wait_for_the_limits() -> None:
    world = a_service(ends=lambda number, body: limited(7_200))
    async with batches(world)(images(2)) as run:
        while run.progress.throttled_until is None:
            await anyio.lowlevel.checkpoint()
    assert world.time.elapsed < 100
    assert run.unfinished == ()


async def test_402_ends_the_waiting_for_limits_too() -> None:
    fates = {1: limited(7_200), 2: refusal(402, "insufficient_tokens")}
    world = a_service(ends=lambda number, body: fates.get(number, "answered"))
    found = await outcomes_of(batches(world, pace="off")(images(2)))
    assert not any(outcome.ok for outcome in found.values())
    assert world.time.elapsed < 100


@pytest.mark.parametrize("reason", ["402", "a callback raises"])
async def test_what_waits_for_its_turn_in_the_hour_is_not_sent_when_the_batch_stops(reason: str) -> None:
    world = a_service(plan=Plan(100), latency=1.0)
    world.plan.taken += [world.time.now()] * 84
    world.ends = lambda number, body: refusal(402, "insufficient_tokens") if reason == "402" else "answered"

    def on_accepted(*_: object) -> None:
        raise LookupError("mine")

    found: list[BatchOutcome] = []
    with nullcontext() if reason == "402" else pytest.raises(LookupError):
        await run_through(batches(world)(images(40), on_accepted=on_accepted), found)
    assert len(world.posts) == MAX_UNANSWERED  # seven would have left in the next hour
    assert world.time.elapsed < 5
    assert len(found) == (40 if reason == "402" else MAX_UNANSWERED)


async def test_a_place_that_the_last_refusal_gave_back_is_no_reason_to_send_another() -> None:
    world = a_service(plan=Plan(100), latency=1.0, price=4)
    world.ends = lambda number, body: "answered" if number <= MAX_UNANSWERED else refusal(402, "insufficient_tokens")
    budget = Budget(1_000)
    found = await outcomes_of(batches(world, budget=budget)(images(200)))
    assert len(found) == 200
    assert len(world.posts) == MAX_UNANSWERED + 30  # a third of what was left, at once
    assert (budget.spent, budget.reserved) == (4 * MAX_UNANSWERED, 0)


@pytest.mark.parametrize("ends", ["a larger plan", "the client is closed"])
async def test_waiting_for_the_next_hour_ends_with_its_cause(ends: str) -> None:
    world = a_service(plan=Plan(100))
    world.plan.taken += [world.time.now()] * 98
    core, found = core_of(world), list[BatchOutcome]()
    async with anyio.create_task_group() as group:
        group.start_soon(run_through, Batches(core)(images(2), max_sending=1), found)
        await world.time.sleep(300.0)
        assert len(world.posts) == 1
        if ends == "a larger plan":
            await limiter_of(core).ask(core)  # any answer tells: that nothing has changed, too
            await world.time.sleep(300.0)
            assert len(world.posts) == 1
            world.plan.hourly = 1_000
            await limiter_of(core).ask(core)
        else:
            announce_closed(core.transport)
    assert [outcome.ok for outcome in found] == [True, ends == "a larger plan"]
    assert world.time.elapsed < 700.0


async def test_the_first_of_several_reasons_to_stop_counts() -> None:
    world = a_service(holds=1.0, ends=lambda number, body: refusal(402, "insufficient_tokens", f"No {number}."))
    world.ends = lambda number, body: "slow" if number == 3 else refusal(402, "insufficient_tokens", f"No {number}.")
    found = await outcomes_of(batches(world)(images(10), max_sending=2))
    assert len({str(outcome.error) for outcome in found.values()}) <= 2


async def test_a_run_that_ends_while_tokens_are_awaited_sends_nothing_more() -> None:
    world = a_service(price=26, seconds=60)

    def on_accepted(*_: object) -> None:
        raise LookupError("mine")

    found: list[BatchOutcome] = []
    requests = [VideoRequest(model="kling-v2.1", prompt=f"{number}") for number in range(3)]
    with pytest.raises(LookupError):
        await run_through(batches(world)(requests, budget=30, on_accepted=on_accepted), found)
    assert len(found) == len(world.posts) == 1

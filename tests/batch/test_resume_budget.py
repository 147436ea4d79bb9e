"""The budget of a run that is continued: what earlier runs spent and have out counts once, in every budget it is within."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import anyio
import pytest

from neuralbox._batch.resource import Batches
from neuralbox._budget import Budget
from neuralbox._errors import BudgetExceededError, GenerationFailedError
from neuralbox._journal import read_summary
from neuralbox._polling.job import Job
from neuralbox._requests.requests import BatchRequest, ImageRequest, VideoRequest
from neuralbox._submissions.reconcile import reconcile
from neuralbox._submissions.registry import LISTED_BY, registry_of
from neuralbox._types import JobRef

from .support import a_service, batches, core_of, images, journal_of, outcomes_of, videos, write

pytestmark = pytest.mark.anyio


async def test_a_budget_counts_what_the_journal_spent(path: Path) -> None:
    world = a_service(price=4)
    await outcomes_of(batches(world)(images(3), journal=path, budget=12))
    second = await outcomes_of(batches(world)(images(5), journal=path, budget=16))
    assert {key for key, outcome in second.items() if not outcome.ok} <= {"000004", "000005"}
    assert sum(isinstance(outcome.error, BudgetExceededError) for outcome in second.values()) == 1


async def test_a_lost_request_of_an_unknown_price_holds_up_no_other_when_the_batch_is_continued(path: Path) -> None:
    world = a_service(price=None, tokens=4)
    world.end_with("dropped before")
    with anyio.move_on_after(3.0):
        await outcomes_of(batches(world)(videos(3), journal=path, budget=100))
    assert (await anyio.to_thread.run_sync(read_summary, path)).sending == 1
    found = await outcomes_of(batches(world)(videos(3), journal=path, budget=100))
    assert [outcome.ok for outcome in found.values()] == [True, True, True]
    assert len(world.ledger) == 3


async def test_a_budget_counts_the_price_where_the_service_does_not_say_what_it_charged(path: Path) -> None:
    world = a_service(price=4)
    said = world.record
    world.record = lambda made: {name: value for name, value in said(made).items() if name != "tokens_spent"}  # type: ignore[method-assign]
    first = await outcomes_of(batches(world)(images(3), journal=path, budget=12))
    assert [outcome.tokens for outcome in first.values()] == [None, None, None]
    second = await outcomes_of(batches(world)(images(5), journal=path, budget=16))
    assert sum(outcome.ok for outcome in second.values()) == 4
    assert {outcome.tokens for outcome in second.values() if outcome.ok} == {None}  # the service's words, not ours
    assert (await anyio.to_thread.run_sync(read_summary, path)).tokens == 16


async def test_a_budget_counts_what_a_failure_was_charged_however_often_it_is_tried_and_the_run_continued(
    path: Path,
) -> None:
    world = a_service(price=4)
    [request] = images(1)
    await write(world, path, [("000001", request, "accepted")])
    async with journal_of(core_of(world), path) as journal:
        await journal.final("000001", {"status": "failed", "tokens": 4, "error": "no"})
    second = await outcomes_of(batches(world)(images(2), journal=path, budget=8, retry_failed=True, max_sending=1))
    assert [second[key].ok for key in sorted(second)] == [True, False]
    third = await outcomes_of(batches(world)(images(2), journal=path, budget=11))
    assert isinstance(third["000002"].error, BudgetExceededError)
    fourth = await outcomes_of(batches(world)(images(2), journal=path, budget=12))
    assert fourth["000002"].ok


async def test_what_an_earlier_run_sent_is_counted_too(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = a_service(price=4)
    old = [(f"{n}", ImageRequest(model="flux-1.1-pro", prompt=f"{n} one"), "accepted") for n in range(3)]
    await write(world, path, old)
    budget = Budget(9)
    found = await outcomes_of(batches(world)(None, journal=path, budget=budget))
    assert all(outcome.ok for outcome in found.values())
    assert "costs more than its budget" in caplog.text
    assert budget.spent == 8 or budget.overrun == 3


async def test_an_unknown_one_that_was_never_accepted_is_not_sent_beyond_the_budget(path: Path) -> None:
    world = a_service(price=4)
    old = [(state, ImageRequest(model="flux-1.1-pro", prompt=f"{state} one"), state) for state in ("final", "sending")]
    await write(world, path, old)
    world.time.elapsed += LISTED_BY + 60.0
    found = await outcomes_of(batches(world)(None, journal=path, budget=6))
    assert isinstance(found["sending"].error, BudgetExceededError)
    assert len(world.posts) == 0
    second = await outcomes_of(batches(world)(None, journal=path, budget=100))
    assert second["sending"].ok
    assert len(world.posts) == 1


async def test_an_unknown_one_that_was_accepted_is_booked(path: Path) -> None:
    world = a_service(price=4)
    old = [(state, ImageRequest(model="flux-1.1-pro", prompt=f"{state} one"), state) for state in ("final", "charged")]
    await write(world, path, old)
    budget = Budget(4)
    found = await outcomes_of(batches(world)(None, journal=path, budget=budget))
    assert found["charged"].ok
    assert budget.spent == 4
    full = Budget(4, spent=10)
    await write(world, path, [("more", ImageRequest(model="flux-1.1-pro", prompt="more"), "charged")])
    assert (await outcomes_of(batches(world)(None, journal=path, budget=full)))["more"].ok
    assert full.spent == 14


def old_and_new(state: str) -> tuple[list[tuple[str, BatchRequest, str]], list[BatchRequest]]:
    """Two pictures that an earlier run sent, and five that none did."""
    old = [(key, ImageRequest(model="flux-1.1-pro", prompt=f"{key} one", key=key), state) for key in ("a", "b")]
    return [*old], [ImageRequest(model="flux-1.1-pro", prompt=f"new {n}", key=f"new {n}") for n in range(5)]


@pytest.mark.parametrize("budget", [8, 5])
@pytest.mark.parametrize("state", ["accepted", "charged"])
@pytest.mark.parametrize("order", ["old first", "new first", "not named"])
async def test_what_earlier_runs_have_out_is_set_aside_before_anything_new_is_sent(
    order: str, state: str, budget: int, path: Path
) -> None:
    world = a_service(price=4)
    old, new = old_and_new(state)
    await write(world, path, old)
    named = [request for _, request, _ in old]
    asked = {"old first": [*named, *new], "new first": [*new, *named], "not named": new}[order]
    found = await outcomes_of(batches(world)(asked, journal=path, budget=budget, max_in_flight=2, max_sending=1))
    assert {key for key, outcome in found.items() if outcome.ok} == {"a", "b"}
    assert sum(isinstance(outcome.error, BudgetExceededError) for outcome in found.values()) == 5
    assert len(world.posts) == 0


async def test_what_an_earlier_run_sent_and_nobody_can_tell_of_keeps_its_tokens(path: Path) -> None:
    world = a_service(price=4)
    old, new = old_and_new("charged")
    await write(world, path, old)
    budget = Budget(8)
    found = await outcomes_of(batches(world, submission="raise")(new, journal=path, budget=budget))
    assert not any(outcome.ok for outcome in found.values())
    assert (budget.spent, budget.reserved, len(world.posts)) == (0, 8, 0)


async def test_what_an_earlier_run_sent_and_fails_leaves_its_tokens_to_those_who_wait(path: Path) -> None:
    world = a_service(price=4)
    old, new = old_and_new("accepted")
    await write(world, path, old)
    for made in world.ledger:
        made.seconds, made.fails = 30.0, True
    budget = Budget(8)
    asked = [*(request for _, request, _ in old), *new]
    found = await outcomes_of(batches(world)(asked, journal=path, budget=budget))
    assert sum(outcome.ok for outcome in found.values()) == 2
    assert (budget.spent, budget.reserved, len(world.posts)) == (8, 0, 2)


async def test_of_what_an_earlier_run_sent_at_an_unknown_price_the_next_such_one_waits(path: Path) -> None:
    world = a_service(price=None, tokens=10)
    old, new = old_and_new("accepted")
    await write(world, path, old[:1])
    world.ledger[0].seconds = 30.0
    budget = Budget(15)
    found = await outcomes_of(batches(world)([old[0][1], *new], journal=path, budget=budget))
    assert {key for key, outcome in found.items() if outcome.ok} == {"a"}
    assert (budget.spent, budget.reserved, len(world.posts)) == (10, 0, 0)


async def test_what_an_earlier_run_sent_counts_with_the_price_that_was_set_aside_then(path: Path) -> None:
    world = a_service(price=4, seconds=500.0)
    _, new = old_and_new("planned")
    named = [VideoRequest(model="kling-v2.1", prompt=f"film {key}", key=key) for key in ("a", "b")]
    await outcomes_of(batches(world)(named, journal=path, budget=8, wait_timeout=10.0))
    world.price = 1  # for a day
    asked = world.prices_asked
    found = await outcomes_of(batches(world)([*new, *named], journal=path, budget=8, wait_timeout=None))
    assert {key for key, outcome in found.items() if outcome.ok} == {"a", "b"}
    assert {found[key].price for key in ("a", "b")} == {4}
    assert world.prices_asked == asked + 1  # for the new ones


@pytest.mark.parametrize("is_read", [True, False])
@pytest.mark.parametrize("end", ["answered", "dropped after"])
async def test_a_budget_of_several_runs_counts_what_each_of_them_waits_for_once(
    path: Path, end: str, *, is_read: bool
) -> None:
    world = a_service(price=60, seconds=50.0, ends=lambda number, body: end)
    budget = Budget(100)
    film = [VideoRequest(model="kling-v2.1", prompt="A film", key="film")]
    await outcomes_of(batches(world, submission="raise")(film, journal=path, budget=budget, wait_timeout=10.0))
    assert (budget.spent, budget.reserved) == (0, 60)
    for _ in range(2):
        new = [ImageRequest(model="flux-1.1-pro", prompt=f"new {n}", key=f"new {n}") for n in range(3)]
        again = batches(world, submission="raise")(new, journal=path, budget=budget, wait_timeout=10.0)
        async with again as run:
            async for _ in run:
                if not is_read:
                    break
        assert (budget.spent, budget.reserved) == (0, 60)
    found = await outcomes_of(batches(world)(film, journal=path, budget=budget, wait_timeout=None))
    assert found["film"].ok
    assert (budget.spent, budget.reserved, len(world.posts)) == (60, 0, 1)


@pytest.mark.parametrize("fails", [False, True])
async def test_a_job_that_was_waited_for_by_hand_counts_once_when_its_batch_is_continued(
    path: Path, *, fails: bool
) -> None:
    world, budget = a_service(price=60, seconds=50.0), Budget(100)
    core, film = core_of(world), [VideoRequest(model="kling-v2.1", prompt="A film", key="film")]
    await outcomes_of(Batches(core)(film, journal=path, budget=budget, wait_timeout=10.0))
    (made,) = world.ledger
    made.fails = fails
    with contextlib.suppress(GenerationFailedError):
        await Job(core, ref=JobRef(made.id)).wait()
    assert (budget.spent, budget.reserved) == (0 if fails else 60, 0)
    found = await outcomes_of(Batches(core)(film, journal=path, budget=budget))
    assert found["film"].ok is not fails
    assert (budget.spent, budget.reserved) == (0 if fails else 60, 0)


@pytest.mark.parametrize("is_continued", [False, True])
@pytest.mark.parametrize("is_client_counting", [False, True])
@pytest.mark.parametrize("how", ["adopt", "reconcile"])
async def test_a_lost_request_that_was_settled_by_hand_counts_once(
    path: Path, how: str, *, is_client_counting: bool, is_continued: bool
) -> None:
    world = a_service(price=60, seconds=50.0, ends=lambda number, body: "dropped after")
    budget, clients = Budget(100), Budget(100)
    core = core_of(world, submission="raise", budget=clients if is_client_counting else None)
    film = [VideoRequest(model="kling-v2.1", prompt="A film", key="film")]
    await outcomes_of(Batches(core)(film, journal=path, budget=budget))
    assert (budget.spent, budget.reserved) == (0, 60)
    if how == "adopt":
        (lost,) = registry_of(core).unresolved
        ref = lost.adopt(world.ledger[0].id)
    else:
        ref = (await reconcile(core)).adopted[0].job
    await Job(core, ref=ref).wait()
    assert (budget.spent, budget.reserved) == (60, 0)
    if is_continued:
        assert (await outcomes_of(Batches(core)(film, journal=path, budget=budget)))["film"].ok
    assert (budget.spent, budget.reserved) == (60, 0)
    assert (clients.spent, clients.reserved) == (60 if is_client_counting else 0, 0)


@pytest.mark.parametrize("how", ["resend", "reconcile", "the batch"])
async def test_a_lost_request_that_was_never_accepted_gives_back_what_an_earlier_budget_has_set_aside(
    path: Path, how: str
) -> None:
    end = {1: "dropped before"}
    world, budget = a_service(price=60, ends=lambda number, body: end.get(number, "answered")), Budget(100)
    core = core_of(world, submission="raise")
    await outcomes_of(Batches(core)([*videos(1)], journal=path, budget=budget))
    assert (budget.spent, budget.reserved) == (0, 60)
    await outcomes_of(Batches(core)([VideoRequest(model="kling-v2.1", prompt="One that proves it")]))
    if how == "resend":
        registry_of(core).unresolved[0].resend()
    elif how == "reconcile":
        assert (await reconcile(core)).absent
    else:
        again = core_of(world)
        await outcomes_of(Batches(again)([*videos(1)], journal=path, budget=Budget(100)))
    assert (budget.spent, budget.reserved) == (0, 0)


@pytest.mark.parametrize("price", [60, None])
async def test_budgets_in_turn_on_one_journal_count_once_in_the_one_that_they_are_within(
    path: Path, price: int | None
) -> None:
    world, day = a_service(price=price, tokens=60, seconds=50.0), Budget(1_000)
    first, second = Budget(100, within=day), Budget(100, within=day)
    core, film = core_of(world), [VideoRequest(model="kling-v2.1", prompt="A film", key="film")]
    await outcomes_of(Batches(core)(film, journal=path, budget=first, wait_timeout=10.0))
    assert (await outcomes_of(Batches(core)(film, journal=path, budget=second)))["film"].ok
    assert [(budget.spent, budget.reserved) for budget in (first, second, day)] == [(60, 0)] * 3


async def test_less_than_nothing_charged_is_nothing_and_a_journal_that_says_so_is_continued(path: Path) -> None:
    world = a_service(price=10, tokens=-5)
    await outcomes_of(batches(world)(images(1), journal=path, budget=20))
    assert (await anyio.to_thread.run_sync(read_summary, path)).tokens == 0
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("UPDATE records SET tokens = -5")  # as older versions wrote it down
    world.tokens = 10
    found = await outcomes_of(batches(world)(images(4), journal=path, budget=20))
    assert sum(outcome.ok for outcome in found.values()) == 3

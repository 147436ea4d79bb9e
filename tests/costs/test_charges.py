"""Prices asked ahead and shared, tokens set aside, and charges booked when their end is seen."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from neuralbox._api.request import Request, RetrySafety
from neuralbox._budget import Budget, Reservation
from neuralbox._concurrency.single_flight import SingleFlight, ThreadsafeEvent
from neuralbox._config import NEURALBOX, CallOptions, Service
from neuralbox._core.reply_capture import capture_replies
from neuralbox._costs import charges
from neuralbox._costs.charges import Charges, Prices, charges_of, price_of, reserve_tokens
from neuralbox._costs.prices import PriceQuery, price_query_of
from neuralbox._errors import BudgetExceededError, ConfigurationError, ConnectionLostError
from neuralbox._models.generation import Generation
from neuralbox._result_cache import as_cached
from neuralbox._transport import Reply
from neuralbox.geminigen._service import GEMINIGEN
from tests.helpers import STALL, Sent, make_core, refusal, reply

pytestmark = pytest.mark.anyio


def question(model: str = "dall-e-3", **options: Any) -> PriceQuery:
    return price_query_of(paid(model=model, **options))


def paid(**body: Any) -> Request:
    return Request("POST", "/generate", RetrySafety.PAID, body={"prompt": "A boat", **body})


def priced(sent: Sent) -> Reply:
    """Answers 13 for what is not square, else 5."""
    return reply(200, {"token_cost": 5 if sent.json["params"].get("size", "1:1") == "1:1" else 13})


async def together(*calls: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    async with anyio.create_task_group() as group:
        for call in calls:
            group.start_soon(call)


# Prices.


async def test_requests_that_cost_the_same_are_asked_about_once() -> None:
    bench, prices, answers = make_core(priced), Prices(), list[int | None]()

    async def ask(**options: Any) -> None:
        answers.append(await prices.of(bench.core, question(**options)))

    wide = {"size": "16:9"}
    await together(ask, ask, lambda: ask(**wide), lambda: ask(**wide), ask)
    await ask(seed=7)
    assert sorted(answers, key=str) == [13, 13, 5, 5, 5, 5]
    assert sorted((sent.path, sent.json["params"].get("size", "")) for sent in bench.sent) == [
        ("/models/dall-e-3/calculate-price", ""),
        ("/models/dall-e-3/calculate-price", "16:9"),
    ]


async def test_a_price_is_asked_for_again_after_an_hour_and_a_missing_one_after_a_minute() -> None:
    bench, prices = make_core(lambda sent: refusal(404, "not_found") if "none" in sent.path else priced(sent)), Prices()
    for seconds, asked in ((0.0, 2), (59.0, 2), (1.0, 3), (3_539.0, 4), (1.0, 5)):
        bench.time.elapsed += seconds
        assert await prices.of(bench.core, question()) == 5
        assert await prices.of(bench.core, question("none")) is None
        assert len(bench.sent) == asked, seconds


async def test_it_is_the_told_price_that_is_believed_for_an_hour_and_the_missing_one_for_a_minute() -> None:
    bench, prices = make_core(lambda sent: refusal(404, "not_found") if "none" in sent.path else priced(sent)), Prices()
    for seconds, asked in ((0.0, "both"), (60.0, "none"), (3_540.0, "both")):
        bench.time.elapsed += seconds
        bench.sent.clear()
        await prices.of(bench.core, question())
        await prices.of(bench.core, question("none"))
        expected = ["/models/dall-e-3/calculate-price", "/models/none/calculate-price"]
        assert [sent.path for sent in bench.sent] == (expected if asked == "both" else expected[1:])


@pytest.mark.parametrize(
    "answer",
    [
        refusal(422, "validation_error"),
        refusal(401, "not_authenticated"),
        refusal(404, "not_found"),
        reply(200, b"<html>"),
        reply(200, {"pricing_type": "fixed"}),
        ConnectionLostError("It broke."),
    ],
)
async def test_a_price_that_cannot_be_had_is_what_was_last_charged_else_unknown(answer: Any) -> None:
    bench, prices = make_core(lambda _: answer, max_retries=0), Prices()
    assert await prices.of(bench.core, question()) is None
    prices.charged(question(), 7)
    assert await prices.of(bench.core, question()) == 7
    assert await prices.of(bench.core, question(size="16:9")) is None


async def test_what_its_door_knows_of_the_model_is_asked_about_where_the_request_does_not_name_it() -> None:
    bench = make_core(priced)
    assert await price_of(bench.core, paid(), model="dall-e-3") == 5
    assert [sent.path for sent in bench.sent] == ["/models/dall-e-3/calculate-price"]


async def test_more_than_was_announced_is_counted_on_after_it_was_charged() -> None:
    bench, prices = make_core(priced), Prices()
    assert await prices.of(bench.core, question()) == 5
    prices.charged(question(), 9)
    assert await prices.of(bench.core, question()) == 9
    prices.charged(question(), 4)
    assert await prices.of(bench.core, question()) == 5


async def test_what_an_assistant_answers_with_is_not_asked_about() -> None:
    bench, prices = make_core([]), Prices()
    asked = price_query_of(Request("POST", "/generate", RetrySafety.PAID, body={"assistant_id": "asst_1"}))
    assert await prices.of(bench.core, asked) is None
    prices.charged(asked, 4)
    assert await prices.of(bench.core, asked) == 4


async def test_a_question_whose_asker_is_cancelled_is_asked_by_another() -> None:
    bench, prices, answers = make_core([STALL, reply(200, {"token_cost": 5})]), Prices(), list[int | None]()

    async def ask() -> None:
        answers.append(await prices.of(bench.core, question()))

    async with anyio.create_task_group() as group:
        first = anyio.CancelScope()

        async def ask_and_be_cancelled() -> None:
            with first:
                await ask()

        group.start_soon(ask_and_be_cancelled)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(ask)
        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        first.cancel()
    assert answers == [5, 5]
    assert len(bench.sent) == 2


async def test_a_closed_client_is_no_unknown_price() -> None:
    bench, prices = make_core([]), Prices()
    await bench.transport.aclose()
    with pytest.raises(ConfigurationError, match="closed"):
        await prices.of(bench.core, question())


async def test_a_price_question_is_nothing_that_raw_responses_show() -> None:
    bench = make_core(priced)
    with capture_replies() as seen:
        assert await price_of(bench.core, paid(model="dall-e-3"), CallOptions(extra_body={"size": "16:9"})) == 13
    assert seen == []


async def test_prices_are_kept_within_bounds_the_newest_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charges, "PRICES_KEPT", 16)
    bench, prices = make_core(priced), Prices()
    for number in range(40):
        await prices.of(bench.core, question(scale=number))
        prices.charged(question(scale=number), number)
        assert len(prices._announced) <= 16
        assert len(prices._charged) <= 16
    asked = len(bench.sent)
    assert await prices.of(bench.core, question(scale=39)) == 39
    assert len(bench.sent) == asked


def test_copies_of_a_client_share_what_is_known_and_other_accounts_do_not() -> None:
    one, other = make_core([]).core, make_core([]).core
    assert charges_of(one) is charges_of(one.with_options(one.options.with_changes(max_retries=9)))
    assert charges_of(one) is not charges_of(other)


# Reserving.


async def test_what_does_not_fit_is_refused_at_once_and_a_patient_caller_waits_for_what_is_given_back() -> None:
    budget, got = Budget(100), list[Reservation]()
    running, other = budget.reserve(60), budget.reserve(20)
    with pytest.raises(BudgetExceededError, match="costs 30 tokens and 20 of"):
        await reserve_tokens(budget, 30)
    with pytest.raises(BudgetExceededError):
        await reserve_tokens(budget, 101, patient=True)

    async def wait() -> None:
        got.append(await reserve_tokens(budget, 30, patient=True))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert got == []
        running.settle(55)  # not enough is given back, but another may
        await anyio.wait_all_tasks_blocked()
        assert got == []
        other.release()
    assert (budget.reserved, budget.spent) == (30, 55)


async def test_a_patient_caller_is_refused_when_the_last_that_runs_has_cost_its_price() -> None:
    budget = Budget(100)
    first, second = budget.reserve(40), budget.reserve(40)
    refused: list[BudgetExceededError] = []

    async def wait() -> None:
        with pytest.raises(BudgetExceededError) as caught:
            await reserve_tokens(budget, 30, patient=True)
        refused.append(caught.value)

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        first.settle(40)
        await anyio.wait_all_tasks_blocked()
        assert refused == []
        second.leave()  # a job nobody waits for any more
    assert (refused[0].left, refused[0].price) == (20, 30)


async def test_requests_without_a_price_go_one_after_the_other() -> None:
    budget, order = Budget(100), list[str]()

    async def spend(name: str) -> None:
        one = await reserve_tokens(budget, None)
        order.append(f"{name} goes")
        await anyio.wait_all_tasks_blocked()
        order.append(f"{name} cost 10")
        one.settle(10)

    async with anyio.create_task_group() as group:
        for name in "ab":
            group.start_soon(spend, name)
    assert order[0][2:] == "goes"
    assert order[1] == f"{order[0][0]} cost 10"
    assert budget.spent == 20


async def test_a_wait_for_tokens_ends_from_another_thread() -> None:
    budget = Budget(10)
    running = budget.reserve(10)
    thread = threading.Timer(0.005, running.release)
    thread.start()
    with anyio.fail_after(5):
        await reserve_tokens(budget, 10, patient=True)
    await anyio.to_thread.run_sync(thread.join)


async def test_what_another_thread_gives_back_just_before_somebody_listens_is_not_missed() -> None:
    class GivesBack(Budget):
        def on_change(self, listener: Callable[[], None]) -> None:
            running.release()
            super().on_change(listener)

    budget = GivesBack(10)
    running = budget.reserve(10)
    with anyio.fail_after(5):
        assert (await reserve_tokens(budget, 10, patient=True)).price == 10


async def test_who_waits_in_a_way_of_its_own_asks_the_price_again_and_may_give_up() -> None:
    budget, prices, waits = Budget(100), [40, 30], list[str]()
    running = budget.reserve(70)

    async def price() -> int | None:
        return prices.pop(0)

    async def wait(change: anyio.Event) -> None:
        waits.append("wait")
        running.settle(65)
        await change.wait()
        if len(waits) > 1:
            raise KeyError("given up")

    reservation = await reserve_tokens(budget, await price(), patient=True, price_again=price, wait=wait)
    assert (reservation.price, waits) == (30, ["wait"])
    with pytest.raises(KeyError, match="given up"):
        await reserve_tokens(budget, 20, patient=True, wait=wait)


async def test_who_waits_within_another_budget_is_remembered_once_and_not_at_all_afterwards() -> None:
    company = Budget(1_000)
    mine, yours = Budget(100, within=company), Budget(100, within=company)
    mine.reserve(None)
    async with anyio.create_task_group() as group:
        group.start_soon(reserve_tokens, mine, None)
        for _ in range(5):
            yours.reserve(1).settle(1)
            await anyio.wait_all_tasks_blocked()
        assert (len(mine._listeners), len(company._listeners)) == (1, 1)
        group.cancel_scope.cancel()
    assert (len(mine._listeners), len(company._listeners)) == (0, 0)


async def test_a_bell_whose_loop_is_over_rings_for_nobody(anyio_backend: str) -> None:
    def elsewhere() -> ThreadsafeEvent:
        async def make() -> ThreadsafeEvent:
            return ThreadsafeEvent()

        return anyio.run(make, backend=anyio_backend)

    bell = await anyio.to_thread.run_sync(elsewhere)
    bell.ring()
    assert not bell.event.is_set()


async def test_whoever_waited_for_an_answer_asks_where_there_is_none() -> None:
    asking, done = SingleFlight(), list[str]()

    async def ask(name: str) -> None:
        async def answer() -> None:
            await checkpoint()
            done.append(name)

        await asking.run("it", answer)

    await together(lambda: ask("a"), lambda: ask("b"))
    await ask("c")
    assert len(done) == 2
    assert done[1] == "c"


# Settling.


def ended(id: int | str = 1, status: str = "completed", **fields: Any) -> Generation:
    return Generation.read({"id": id, "status": status, **fields})


def books(price: int | None = 10) -> tuple[Charges, Budget, Reservation]:
    budget = Budget(100)
    return Charges(), budget, budget.reserve(price)


@pytest.mark.parametrize(
    ("generation", "spent"),
    [
        (ended(tokens_spent=7), 7),
        (ended(tokens_used=0), 0),
        (ended(), 10),
        (ended(status="failed", error="No."), 0),
        (ended(status="failed", tokens_spent=0), 0),
        (ended(status="failed", tokens_spent=3), 3),
    ],
)
async def test_a_final_answer_is_booked_at_once(generation: Generation, spent: int) -> None:
    money, budget, reservation = books()
    money.accepted(generation, reservation, question())
    assert (budget.spent, budget.reserved, len(money.bills)) == (spent, 0, 0)


@pytest.mark.parametrize(
    ("final", "spent"), [(ended("18500", tokens_spent=7), 7), (ended(18500, status="failed"), 0), (ended(18500), 10)]
)
async def test_a_pending_job_is_booked_when_its_end_is_seen(final: Generation, spent: int) -> None:
    money, budget, reservation = books()
    money.accepted(ended(18500, "pending", tokens_spent=0), reservation, question())
    assert (budget.spent, budget.reserved, len(money.bills)) == (0, 10, 1)
    assert not budget.may_wait_for(91)  # nobody knows whether anybody will ever poll of it
    money.ended(1, ended(1, tokens_spent=50))
    money.ended("18500", final)
    money.ended("18500", final)
    assert (budget.spent, budget.reserved, len(money.bills)) == (spent, 0, 0)


async def test_what_was_charged_is_what_the_next_is_expected_to_cost() -> None:
    bench = make_core([])
    money, budget, reservation = books(None)
    asked = price_query_of(Request("POST", "/generate", RetrySafety.PAID, body={"assistant_id": "asst_1"}))
    money.accepted(ended(tokens_spent=6), reservation, asked)
    assert budget.spent == 6
    assert await money.prices.of(bench.core, asked) == 6


async def test_of_too_many_jobs_nobody_waits_for_the_oldest_count_as_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charges, "BILLS_KEPT", 16)
    money, budget = Charges(), Budget(1_000)
    for number in range(17):
        money.accepted(ended(number, "pending"), budget.reserve(10), question())
        if number == 15:  # as many as are kept
            assert (budget.spent, len(money.bills)) == (0, 16)
    assert (budget.spent, budget.reserved, len(money.bills)) == (20, 150, 15)


def test_of_too_many_jobs_what_is_booked_already_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charges, "BILLS_KEPT", 16)
    bills, budget = Charges().bills, Budget(1_000)
    for number in range(17):
        reservation = budget.reserve(10)
        bills.add(number, reservation, None)
        reservation.settle(4)
    assert (budget.spent, budget.reserved) == (17 * 4, 0)


def test_what_counts_a_job_is_known_until_it_is_given_back_or_many_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charges, "BILLS_KEPT", 16)
    bills, budget = Charges().bills, Budget(100)
    bills.add(1, reservation := budget.reserve(10), None)
    assert (bills.reservations_of(1), bills.reservations_of(2)) == ([reservation], [])
    reservation.settle(4)  # as it was estimated
    assert bills.reservations_of(1) == [reservation]
    reservation.release()
    assert bills.reservations_of(1) == []
    assert [bill.reservation for bill in bills.pop_ended(1)] == [reservation]
    assert bills.reservations_of(1) == [reservation]  # it cost nothing
    for number in range(2, 18):
        bills.add(number, budget.reserve(1), None)
        bills.pop_ended(number)
    assert (bills.reservations_of(1), len(bills.reservations_of(17)), len(bills)) == ([], 1, 0)


def test_what_was_kept_by_another_name_is_kept_by_the_id_unless_it_was_given_back() -> None:
    bills, budget = Charges().bills, Budget(100)
    name = charges.batch_mark("claim")
    for reservation in (kept := budget.reserve(10), returned := budget.reserve(20)):
        bills.add(name, reservation, None)
    returned.release()
    bills.rename(name, 7)
    assert (bills.reservations_of(name), bills.reservations_of(7)) == ([], [kept])
    bills.release("7")
    assert (budget.spent, budget.reserved, len(bills)) == (0, 0, 0)


@pytest.mark.parametrize("said", [0, None])
async def test_an_end_that_says_no_charge_yet_counts_as_it_was_estimated_however_often_it_is_told(
    said: int | None,
) -> None:
    bench = make_core([])
    money = Charges(replace(GEMINIGEN, charge=lambda _: said, estimate=lambda _: 6))
    company = Budget(100)
    budget = Budget(100, within=company)
    asked = price_query_of(Request("POST", "/generate", RetrySafety.PAID, body={"assistant_id": "asst_1"}))
    money.accepted(ended(status="pending"), reservation := budget.reserve(None), asked)
    money.ended(1, ended())
    money.book(ended(), reservation, None)
    assert (budget.spent, company.spent, reservation.price) == (6, 6, 6)
    assert await money.prices.of(bench.core, asked) == 6


def test_what_was_bought_before_costs_nothing_whatever_is_set_aside() -> None:
    money, budget = Charges(replace(GEMINIGEN, charge=lambda _: 0)), Budget(100)
    money.accepted(as_cached(ended()), budget.reserve(10), question())
    assert (budget.spent, budget.reserved) == (0, 0)


async def test_an_estimate_above_the_last_charge_counts() -> None:
    money, budget = Charges(replace(GEMINIGEN, charge=lambda _: 8, estimate=lambda _: 60)), Budget(100)
    money.accepted(ended(status="pending"), budget.reserve(10), question())
    assert (budget.spent, budget.reserved) == (60, 0)
    money.ended(1, ended())
    assert budget.spent == 8


async def test_less_than_nothing_charged_is_no_price() -> None:
    money, budget, reservation = books(None)
    bench = make_core([])
    asked = price_query_of(Request("POST", "/generate", RetrySafety.PAID, body={"assistant_id": "asst_1"}))
    money.accepted(ended(tokens_spent=-5), reservation, asked)
    assert budget.spent == 0
    assert await money.prices.of(bench.core, asked) is None


@pytest.mark.parametrize(("price", "counted"), [(None, 6), (10, 0)])
async def test_an_estimate_counts_until_the_end_only_where_nobody_knew_the_price(
    price: int | None, counted: int
) -> None:
    bench = make_core([])
    money, budget = Charges(replace(GEMINIGEN, charge=lambda _: 8, estimate=lambda _: 6)), Budget(100)
    asked = price_query_of(Request("POST", "/generate", RetrySafety.PAID, body={"assistant_id": "asst_1"}))
    money.accepted(ended(status="pending"), budget.reserve(price), asked)
    assert (budget.spent, budget.reserved) == (counted, price or 0)
    assert await money.prices.of(bench.core, asked) == (counted or None)
    money.ended(1, ended())
    assert (budget.spent, budget.reserved) == (8, 0)


async def test_a_job_is_booked_by_the_id_it_was_accepted_as_whichever_its_end_has() -> None:
    money, budget, reservation = books()
    money.accepted(ended(18500, "pending"), reservation, question())
    money.ended(18500, ended("gen_1", tokens_spent=7))
    assert (budget.spent, budget.reserved, len(money.bills)) == (7, 0, 0)


async def test_what_a_result_cost_is_its_price_where_the_service_does_not_say() -> None:
    money = Charges()
    assert money.cost(ended(), question()) is None
    money.prices.charged(question(), 6)
    assert money.cost(ended(), question()) == 6
    assert money.cost(ended(), None) is None
    assert money.cost(ended(tokens_spent=7), question()) == 7


@pytest.mark.parametrize(("service", "cost"), [(NEURALBOX, 0), (GEMINIGEN, 10)])
async def test_a_failure_of_which_no_charge_is_said_is_free_only_where_that_is_documented(
    service: Service, cost: int
) -> None:
    money, budget = Charges(service), Budget(100)
    money.prices.charged(question(), 10)
    failed = ended(status="failed", error="No.")
    money.accepted(failed, budget.reserve(10), question())
    assert budget.spent == cost
    assert money.cost(failed, question()) == (0 if cost == 0 else None)

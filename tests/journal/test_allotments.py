"""What one of many may take: never more than there is, enough for one request, and less the more share what is left."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import anyio
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbox._journal import read_summary
from neuralbox._journal.allotments import (
    Places,
    RunFunds,
    SharedWindow,
    SharedWindows,
    may_take_unknown,
    places_to_take,
    tokens_to_take,
)
from neuralbox._journal.postgres import allotments
from neuralbox._journal.shared import SharedJournal

from ..postgres import PostgresServer
from .files import entries
from .workers import MARK, a_worker, claim, end_lease, store_of, wait_until

amounts = st.integers(0, 10_000)
funds_of_runs = st.builds(
    RunFunds, budget=amounts, spent=amounts, open=amounts, others=amounts, mine=amounts, workers=st.integers(1, 40)
)


@pytest.mark.uncovered
@given(funds_of_runs, amounts)
def test_what_is_taken_covers_the_next_request_and_never_exceeds_what_is_left(funds: RunFunds, price: int) -> None:
    tokens = tokens_to_take(funds, price)
    if price > funds.left:
        assert tokens is None
    else:
        assert tokens is not None
        assert price <= tokens <= max(funds.left, 0)
        assert tokens <= max(price, 64 * price)


@pytest.mark.uncovered
@given(st.integers(0, 100_000), st.integers(1, 50), st.lists(st.integers(0, 7), max_size=400))
def test_workers_that_take_in_turns_never_hold_more_than_the_budget(budget: int, price: int, turns: list[int]) -> None:
    parts, sent = [0] * 8, 0
    for worker in turns:
        if parts[worker] < price:
            others = sum(parts) - parts[worker]
            funds = RunFunds(budget, open=sent, others=others, workers=8)
            taken = tokens_to_take(funds, price)
            parts[worker] = taken or 0
        if parts[worker] >= price:
            parts[worker] -= price
            sent += price
        assert sum(parts) + sent <= budget


@pytest.mark.parametrize(
    ("workers", "left", "tokens"), [(1, 1_000, 256), (1, 100, 100), (2, 1_000, 250), (8, 64, 4), (8, 3, None)]
)
def test_the_less_is_left_and_the_more_share_it_the_less_is_taken(workers: int, left: int, tokens: int | None) -> None:
    assert tokens_to_take(RunFunds(left, workers=workers), 4) == tokens


def test_what_nobody_knows_the_price_of_passes_one_at_a_time_and_not_where_costs_are_never_told() -> None:
    funds = RunFunds(10, spent=9)
    assert may_take_unknown(funds)
    for refused in (RunFunds(10, spent=10), replace(funds, is_unknown_out=True), replace(funds, is_uncounted=True)):
        assert not may_take_unknown(refused)


@pytest.mark.parametrize(
    ("funds", "price", "runs_here", "waits"),
    [
        (RunFunds(10), 4, False, False),
        (RunFunds(10), 4, True, True),
        (RunFunds(10, others=8), 4, False, True),
        (RunFunds(10, open=8, is_moving=True), 4, False, True),
        (RunFunds(10, spent=6, open=3, others=1), 4, False, True),
        (RunFunds(10, spent=7, others=3), 4, True, False),
        (RunFunds(10, others=8), None, False, True),
        (RunFunds(10, spent=10, others=8), None, True, False),
        (RunFunds(10, others=8, is_uncounted=True), None, True, False),
        (RunFunds(10, others=8, is_uncounted=True), 4, False, True),
    ],
)
def test_who_is_refused_waits_while_others_may_give_something_back(
    funds: RunFunds, price: int | None, runs_here: bool, waits: bool
) -> None:
    assert funds.may_wait_for(price, runs_here=runs_here) == waits


# In the database.


async def take(
    journal: SharedJournal,
    price: int | None,
    *,
    returned: int = 0,
    is_moving: bool = False,
    keeps_unknown: bool = False,
) -> tuple[int | None, RunFunds]:
    store = journal.allotments
    taken = await journal.ask(
        lambda: store.take_tokens(price, returned=returned, is_moving=is_moving, keeps_unknown=keeps_unknown)
    )
    return taken.tokens, taken.funds


async def open_budget(journal: SharedJournal, budget: int, *, is_free: bool = True) -> RunFunds:
    funds, _ = await journal.ask(lambda: journal.allotments.open_budget(budget, failure_is_free=is_free))
    return funds


async def send(journal: SharedJournal, key: str, price: int | None) -> None:
    await journal.plan(entries(key))
    await journal.sending(key, claim(key), mark=MARK, price=price)


def outcome(tokens: int | None, status: str = "completed") -> dict[str, object]:
    return {"status": status, "tokens": tokens}


@pytest.mark.anyio
async def test_what_is_sent_leaves_the_senders_part_and_counts_until_it_is_charged(place: str) -> None:
    async with a_worker(place) as one, a_worker(place) as two:
        assert await open_budget(one, 100) == RunFunds(100)
        assert (await take(one, 10))[0] == 100
        assert await open_budget(two, 100) == RunFunds(100, others=100, workers=2, is_moving=True)
        assert (await take(two, 10))[0] is None
        await send(one, "a", 10)
        await one.sending("a", claim("a"), mark=MARK, price=10)  # again, before a repetition
        tokens, funds = await take(two, 10)
        assert (tokens, funds.open, funds.others, funds.left) == (None, 10, 90, 0)
        await one.accepted("a", id=7)
        await one.flush()
        assert await open_budget(two, 100) == RunFunds(100, open=10, others=90, workers=2, is_moving=True)
        await one.final("a", outcome(4))
        assert (await take(one, 10, returned=900))[1] == RunFunds(100, spent=4, workers=2)
        tokens, funds = await take(two, 10)
        assert (tokens, funds.spent, funds.open, funds.others) == (
            18,
            4,
            0,
            24,
        )  # each leaves to the other as much as it takes
        await send(one, "b", 10)
        _, funds = await take(one, 200)
        assert (funds.open, funds.mine, funds.others) == (10, 14, 18)


@pytest.mark.anyio
async def test_the_part_of_who_left_or_died_is_the_runs_and_what_it_had_sent_is_not(
    place: str, postgres: PostgresServer
) -> None:
    async with a_worker(place) as dead, a_worker(place) as last:
        async with a_worker(place) as left:
            await open_budget(left, 100)
            await take(left, 50)
            assert (await take(last, 1))[0] is None
        assert postgres.execute("SELECT count(*) FROM neuralbox.allotment WHERE owner = 3") == [(0,)]
        assert (await take(dead, 100))[0] == 100
        await send(dead, "a", 30)
        end_lease(postgres, dead)
        tokens, funds = await take(last, 5)
        assert (tokens, funds.open, funds.others) == (70, 30, 0)


@pytest.mark.anyio
async def test_a_refusal_gives_the_tokens_back_and_a_proof_of_absence_leaves_them_to_the_next_try(
    place: str, postgres: PostgresServer
) -> None:
    async with a_worker(place) as one:
        await open_budget(one, 100)
        await take(one, 100)
        await send(one, "a", 30)
        await one.planned_again("a")
        assert (await take(one, 100, returned=70))[0] == 100
        await one.sending("a", claim("a"), mark=MARK, price=30)
        await one.lost("a", claim("a"))
        assert await one.absent("a", "a", widened=0) is None
        await one.sending("a", claim("a"), mark=MARK, price=30)
        _, funds = await take(one, 1)
        assert (funds.open, funds.mine) == (30, 70)
        await one.lost("a", claim("a"))
        end_lease(postgres, one)
        async with a_worker(place) as next_one:
            assert await next_one.take(["a"])
            assert (await take(next_one, 70))[1].open == 30
            assert await next_one.absent("a", "a", widened=0) is None
            assert (await take(next_one, 70, returned=70))[1].open == 0


@pytest.mark.anyio
async def test_what_is_planned_again_and_taken_over_is_nobodys_money(place: str, postgres: PostgresServer) -> None:
    async with a_worker(place) as one, a_worker(place) as two:
        await open_budget(one, 100)
        await take(one, 30)
        await send(one, "a", 30)
        await one.lost("a", claim("a"))
        await one.absent("a", "a", widened=0)
        assert (await take(two, 1))[1].open == 30
        end_lease(postgres, one)
        assert (await take(two, 1, returned=100))[1].open == 0
        await two.take(["a"])
        assert postgres.execute("SELECT price FROM neuralbox.record") == [(None,)]


@pytest.mark.anyio
@pytest.mark.parametrize("is_counted", [False, True], ids=["not counted yet", "counted"])
@pytest.mark.parametrize(("tokens", "is_free", "charged"), [(12, True, 12), (None, False, 30), (None, True, 0)])
async def test_what_a_failed_one_was_charged_stays_spent_when_it_is_tried_again(
    place: str, tokens: int | None, is_free: bool, charged: int, is_counted: bool
) -> None:
    async with a_worker(place) as one:
        await open_budget(one, 100, is_free=is_free)
        await take(one, 100)
        await send(one, "a", 30)
        await one.accepted("a", id=1)
        await one.final("a", outcome(tokens, "failed"))
        if is_counted:
            assert (await take(one, 1))[1].spent == charged
        await one.planned_again("a")
        assert (await take(one, 1))[1].spent == charged
        await one.sending("a", claim("a"), mark=MARK, price=30)
        await one.accepted("a", id=2)
        await one.final("a", outcome(20))
        assert (await take(one, 1))[1].spent == charged + 20
    async with a_worker(place) as next_one:
        assert (await open_budget(next_one, 100, is_free=is_free)).spent == charged + 20


@pytest.mark.anyio
async def test_a_budget_counts_what_failures_were_charged_that_workers_without_one_tried_again(place: str) -> None:
    async with a_worker(place) as one:  # keeps no budget
        await one.plan(entries("a"))
        for number in range(2):
            await one.sending("a", claim("a"), mark=MARK, price=None)
            await one.accepted("a", id=number)
            await one.final("a", outcome(7, "failed"))
            await one.planned_again("a")
    for _ in range(2):
        async with a_worker(place) as two:
            assert (await open_budget(two, 100)).spent == 14
            assert (await take(two, 1))[1].spent == 14
    assert read_summary(place).tokens == 14


@pytest.mark.anyio
async def test_what_was_spent_before_counts_once_however_often_a_run_is_opened(place: str) -> None:
    async with a_worker(place) as one:  # keeps no budget
        await send(one, "a", None)
        await one.accepted("a", id=1)
        await one.final("a", outcome(7))
        await send(one, "b", None)
        await send(one, "c", None)
        await one.accepted("c", id=3)
    async with a_worker(place) as two:
        for is_first in (True, False):
            funds, is_unpriced = await two.ask(lambda: two.allotments.open_budget(100, failure_is_free=True))
            assert (funds.spent, funds.open, is_unpriced) == (7, 0, is_first)
        await two.ask(lambda: two.allotments.note_price("b", 5))
        await two.ask(lambda: two.allotments.note_price("b", 50))  # it is known by now
        assert (await take(two, 10))[1].open == 5
        await two.ask(lambda: two.allotments.note_price("c", 3))
        assert (await take(two, 10))[1].open == 8
        await two.take(["b", "c"])
        await two.final("c", outcome(0))
        await two.accepted("b", id=2)
        await two.final("b", outcome(6))  # and leaves it to the next one to count that
    for _ in range(2):
        async with a_worker(place) as three:
            assert (await open_budget(three, 50)) == RunFunds(50, spent=13)
            async with a_worker(place) as four:  # the newest says what may be spent
                assert (await open_budget(four, 20)).budget == 20
                assert (await take(three, 8))[0] is None
                assert (await take(three, 7))[0] == 7


@pytest.mark.anyio
async def test_a_budget_counts_what_workers_without_one_send_beside_it(place: str, postgres: PostgresServer) -> None:
    elsewhere = postgres.url()  # without a budget
    async with a_worker(elsewhere), a_worker(place) as one, a_worker(place) as beside:
        await open_budget(one, 100)
        await take(one, 10)
        await send(beside, "a", None)
        await beside.accepted("a", id=1)
        await beside.final("a", outcome(7))
        await beside.flush()
        assert (await take(one, 10, returned=100))[1].spent == 7
        await send(one, "b", 10)
        await one.planned_again("b")
        await send(one, "c", 10)
        await one.lost("c", claim("c"))
        end_lease(postgres, one)
        await beside.take(["b", "c"])
        await beside.sending("b", claim("b"), mark=MARK)
        await beside.sending("c", claim("c"), mark=MARK)  # which may have been accepted at its price
        assert (await take(beside, 1))[1].open == 10


@pytest.mark.anyio
@pytest.mark.parametrize(("is_free", "spent"), [(True, 10), (False, 20)])
async def test_what_the_service_does_not_say_cost_its_price(place: str, is_free: bool, spent: int) -> None:
    async with a_worker(place) as one:
        await open_budget(one, 100, is_free=is_free)
        await take(one, 50)
        for number, status in enumerate(("completed", "failed")):
            await send(one, status, 10)
            assert (await take(one, 10))[1].open == 10
            await one.accepted(status, id=number)
            await one.final(status, outcome(None, status))
        for _ in range(2):
            funds = (await take(one, 10))[1]
            assert (funds.spent, funds.open) == (spent, 0)


@pytest.mark.anyio
async def test_one_at_a_time_of_a_run_leaves_whose_price_nobody_knows(place: str) -> None:
    async with a_worker(place) as one, a_worker(place) as two:
        await open_budget(one, 100)
        assert (await take(one, None))[0] == 0
        assert (await take(two, None))[0] is None
        assert (await take(one, None, keeps_unknown=True))[0] is None
        for keeps_unknown in (True, False):
            await take(one, 5, keeps_unknown=keeps_unknown)
            funds = (await take(two, 200))[1]
            assert (funds.is_unknown_out, funds.workers) == (keeps_unknown, 2)
        assert (await take(one, None))[0] == 0
        for keeps_unknown in (True, False):
            await one.ask(partial(one.allotments.keep_tokens, is_moving=True, keeps_unknown=keeps_unknown, holds=True))
            assert (await take(two, 200))[1].is_unknown_out == keeps_unknown
        assert (await take(one, None))[0] == 0
        await send(one, "priced", 5)
        await send(one, "a", -1)
        await one.ask(lambda: one.allotments.keep_tokens(is_moving=True, keeps_unknown=False, holds=True))
        assert (await take(two, None))[0] is None  # it is on its way
        await one.accepted("a", id=1)
        await one.flush()
        assert (await take(one, None))[0] is None  # and is still
        await one.final("a", outcome(7))
        await one.flush()
        tokens, funds = await take(two, None)
        assert (tokens, funds.spent) == (0, 7)
        await send(two, "failed", -1)
        await two.accepted("failed", id=3)
        await two.final("failed", outcome(None, "failed"))
        assert (await take(two, None))[0] == 0
        await send(two, "b", -1)
        await two.accepted("b", id=2)
        await two.final("b", outcome(None))
        await take(two, 5)
        _, funds = await take(one, None)
        assert (funds.is_uncounted, funds.spent) == (True, 7)


@pytest.mark.anyio
async def test_others_hear_whether_it_is_worth_waiting_for_a_worker(place: str, postgres: PostgresServer) -> None:
    async with a_worker(place) as one, a_worker(place) as two:
        await open_budget(one, 10)
        await take(one, 10)
        await send(one, "a", 10)
        assert (await take(two, 10))[1].is_moving
        postgres.execute("UPDATE neuralbox.allotment SET until = clock_timestamp(), amount = 3 WHERE owner = 1")
        assert not (await take(two, 10))[1].is_moving
        await one.ask(partial(one.allotments.keep_tokens, is_moving=True, keeps_unknown=False, holds=True))
        funds = (await take(two, 10))[1]
        assert (funds.is_moving, funds.others) == (True, 3)
        for is_moving in (False, True):
            assert (await take(one, 200, returned=3, is_moving=is_moving))[0] is None
            assert (await take(two, 200))[1].is_moving == is_moving
        for is_moving in (True, False):
            await one.ask(partial(one.allotments.keep_tokens, is_moving=is_moving, keeps_unknown=False, holds=False))
            assert (await take(two, 10))[1].is_moving == is_moving


@pytest.mark.anyio
@pytest.mark.parametrize("what", ["leaves", "ends"])
async def test_what_leaves_or_ends_while_a_run_gets_its_first_budget_counts(
    place: str, postgres: PostgresServer, what: str
) -> None:
    async with a_worker(place) as beside, a_worker(place) as first:
        await beside.plan(entries("a"))
        if what == "ends":
            await beside.sending("a", claim("a"), mark=MARK)
            await beside.accepted("a", id=1)
        opened = anyio.Event()

        async def open_first() -> None:
            await open_budget(first, 100)
            opened.set()

        def is_held_up(count: int) -> bool:
            query = "SELECT count(*)::int FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            return opened.is_set() or postgres.execute(query) == [(count,)]

        with psycopg.connect(place.partition("#")[0]) as other:  # keeps the change that is under way from its end
            async with anyio.create_task_group() as group:
                if what == "leaves":
                    other.execute("SELECT FROM neuralbox.record FOR UPDATE")
                    group.start_soon(partial(beside.sending, "a", claim("a"), mark=MARK))
                    await wait_until(lambda: is_held_up(1))
                else:
                    other.execute("UPDATE neuralbox.record SET state = 3, status = 'completed', tokens = 7")
                group.start_soon(open_first)
                await wait_until(lambda: is_held_up(2 if what == "leaves" else 1))
                other.commit()
        if what == "leaves":
            await beside.accepted("a", id=1)
            await beside.final("a", outcome(7))
            await beside.flush()
        assert (await take(first, 1))[1].spent == 7


@pytest.mark.anyio
@pytest.mark.parametrize("options", ["", "?options=-c%20default_transaction_isolation%3Drepeatable%5C%20read"])
async def test_two_that_take_at_once_never_take_the_same(place: str, postgres: PostgresServer, options: str) -> None:
    import threading

    place = place.replace("#", f"{options}#")
    async with a_worker(place) as one, a_worker(place) as two:
        await open_budget(one, 100)
        await open_budget(two, 100)
        stores, taken = [store_of(one).allotments, store_of(two).allotments], list[int]()

        def work(number: int) -> None:
            for _ in range(20):
                found = stores[number].take_tokens(3, returned=0, is_moving=False, keeps_unknown=False)
                taken.append(found.tokens or 0)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 97 < sum(taken) <= 100
        assert postgres.execute("SELECT sum(amount)::int FROM neuralbox.allotment") == [(sum(taken),)]


@pytest.mark.anyio
async def test_who_takes_sees_what_another_is_just_taking(place: str, postgres: PostgresServer) -> None:
    import threading

    import psycopg

    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    async with a_worker(place) as one, a_worker(place) as two:
        await open_budget(one, 100)
        await open_budget(two, 100)
        store, taken = store_of(two).allotments, list[int | None]()

        def work() -> None:
            found = store.take_tokens(60, returned=0, is_moving=False, keeps_unknown=False)
            taken.append(found.tokens)

        with psycopg.connect(place.partition("#")[0]) as taking:
            taking.execute(allotments._LOCK, store._named)
            thread = threading.Thread(target=work)
            thread.start()
            while thread.is_alive() and postgres.execute(waiting) == [(0,)]:
                pass
            taking.execute("UPDATE neuralbox.allotment SET amount = 60 WHERE owner = 1")
        thread.join()
        assert taken == [None]


@pytest.mark.anyio
async def test_another_run_has_a_budget_of_its_own_and_another_account_windows_of_its_own(
    place: str, postgres: PostgresServer
) -> None:
    rows = "SELECT r.*, r.xmin::text FROM neuralbox.record r WHERE run > 1 ORDER BY id"
    async with (
        a_worker(place) as one,
        a_worker(postgres.url()) as other,
        a_worker(postgres.url()) as free,
        a_worker(postgres.url(), account="nb_live_another") as stranger,
    ):
        await open_budget(other, 50)
        await take(other, 20)
        for key, price in (("a", 10), ("b", -1)):
            await send(other, key, price)
        await send(free, "a", None)  # keeps no budget
        await other.accepted("a", id=1)
        await other.final("a", outcome(4))
        await free.accepted("a", id=2)
        await free.final("a", outcome(5))
        await send(free, "b", None)
        await free.flush()
        await other.flush()
        before = postgres.execute(rows)
        assert await open_budget(one, 100) == RunFunds(100)
        assert (await take(one, None))[0] == 0
        await send(one, "b", -1)
        await send(one, "c", -1)
        await one.ask(lambda: one.allotments.note_price("b", 5))
        assert postgres.execute("SELECT key, price FROM neuralbox.record WHERE run = 1 ORDER BY key") == [
            ("b", 5),
            ("c", -1),
        ]
        await one.accepted("c", id=3)
        await one.final("c", outcome(6, "failed"))
        await one.planned_again("c")
        await one.sending("c", claim("c"), mark=MARK, price=5)
        await one.accepted("c", id=4)
        await one.final("c", outcome(5))
        assert (await take(one, 1))[1].spent == 11
        assert postgres.execute(rows) == before
        _, funds = await take(other, 10)
        assert (funds.budget, funds.spent, funds.open, funds.workers) == (50, 4, 0, 1)
        said = SharedWindows(SharedWindow(200, 150), None, 5_000.0, 1_800.0)
        assert (await take_places(stranger, said)).count is None
        alone = await take_places(one, SharedWindows())
        assert (alone.count, alone.windows) == (None, SharedWindows())
        assert (await take_places(stranger, SharedWindows())).windows.hour == said.hour


# Windows.


def reserve_of(limit: int) -> int:
    return limit // 100


limits = st.integers(1, 1_000)


@pytest.mark.uncovered
@given(
    st.builds(
        SharedWindows,
        hour=st.none() | st.builds(SharedWindow, limits, st.integers(0, 1_000)),
        day=st.none() | st.builds(SharedWindow, limits, st.integers(0, 1_000)),
        reset=st.just(5_000.0),
        ends_at=st.none() | st.floats(900.0, 5_000.0),
        given_at=st.none() | st.floats(0.0, 2_000.0),
    ),
    st.integers(0, 500),
    st.integers(2, 40),
    st.integers(0, 20),
)
def test_a_place_is_given_only_where_there_is_one_and_else_it_is_said_when_to_ask_again(
    windows: SharedWindows, others: int, workers: int, kept: int
) -> None:
    part = partial(places_to_take, windows, others=others, kept=kept, reserve_of=reserve_of, now=1_000.0)
    places = part(workers=workers, wants=True)
    both = [window for window in (windows.hour, windows.day) if window is not None]
    assert places.count is not None
    assert places.seconds >= 1.0
    if both:
        free = min(window.left - reserve_of(window.limit) for window in both) - others - kept
        assert 0 <= places.count <= max(0, free)
        assert places.amount == kept + places.count
        assert part(workers=1, wants=True).amount == kept + max(0, free)
    alone = part(workers=1, wants=True)
    assert alone.count is None
    given_back = part(workers=workers, wants=False)
    assert (given_back.count, given_back.amount) == (0, kept)


@pytest.mark.parametrize(
    ("left", "ends_at", "workers", "count"),
    [
        (None, None, 2, 4),
        (None, None, 20, 1),  # each one, or nobody would ever hear of the windows
        (42, None, 4, 5),
        (200, None, 2, 8),
        (50, None, 40, 1),
        (50, 3_600.0, 4, 6),
        (50, 3_600.0, 40, 1),  # where there is more than the last fifth, none waits while there is one for it
    ],
)
def test_however_many_share_the_windows_each_may_send_something(
    left: int | None, ends_at: float | None, workers: int, count: int
) -> None:
    hour = None if left is None else SharedWindow(200, left)
    windows = SharedWindows(hour, None, 1.0, ends_at)
    places = places_to_take(windows, others=0, workers=workers, kept=0, wants=True, reserve_of=reserve_of, now=0.0)
    assert places.count == count


@pytest.mark.uncovered
@given(st.integers(1, 400), st.lists(st.tuples(st.integers(0, 7), st.booleans()), max_size=300))
def test_workers_that_take_in_turns_never_send_more_than_is_left(left: int, turns: list[tuple[int, bool]]) -> None:
    windows, parts, remaining, now = SharedWindows(SharedWindow(400, left), None, 1.0, 3_600.0), [0] * 8, left, 0.0
    for worker, waits in turns:
        now += 30.0 if waits else 0.01
        if not parts[worker]:
            known = windows.after(replace(windows, hour=SharedWindow(400, remaining)), is_over=False)
            places = places_to_take(
                known,
                others=sum(parts),
                workers=8,
                kept=0,
                wants=True,
                reserve_of=reserve_of,
                now=now,
            )
            windows, parts[worker] = places.windows, places.count or 0
        if parts[worker]:
            parts[worker] -= 1
            remaining -= 1
        assert remaining - sum(parts) >= 0


def test_the_last_fifth_is_spread_over_what_remains_by_all_together() -> None:
    windows, given_at = SharedWindows(SharedWindow(200, 40), None, 1.0, 3_600.0), list[float]()
    for now in range(0, 3_600, 2):
        left = 40 - len(given_at)
        windows = windows.after(replace(windows, hour=SharedWindow(200, left)), is_over=False)
        places = places_to_take(windows, others=0, workers=8, kept=0, wants=True, reserve_of=reserve_of, now=float(now))
        windows = places.windows
        if places.count:
            assert places.count == 1
            given_at.append(float(now))
    assert len(given_at) == 38
    gaps = [after - before for before, after in pairwise(given_at)]
    assert 80 < min(gaps) <= max(gaps) < 110


@pytest.mark.parametrize(
    ("left", "others", "now", "seconds"),
    [
        (40, 0, 189.5, 1.0),  # so near that it is not worth asking earlier
        (40, 0, 150.0, 3_500 / 39 - 50),  # 38 and the reserve are left, and nobody holds any
        (40, 30, 150.0, 3_500 / 39 - 50),  # were all of it back, it would be due then; as it is held, in six minutes
        (40, 30, 190.0, 5.0),  # back by now or not, nobody has said so
        (40, 1, 190.0, 3_500 / 38 - 90),  # due before that
        (120, 100, 150.0, 5.0),  # were all of it back, this would be no last fifth
    ],
)
def test_what_others_hold_makes_nobody_wait_longer_than_until_it_may_be_back(
    left: int, others: int, now: float, seconds: float
) -> None:
    windows = SharedWindows(SharedWindow(200, left), None, 1.0, ends_at=3_600.0, given_at=100.0)
    places = places_to_take(windows, others=others, workers=8, kept=0, wants=True, reserve_of=reserve_of, now=now)
    assert places.count == 0
    assert places.seconds == pytest.approx(seconds)


def test_the_scarcer_window_says_when_the_next_may_leave_and_what_the_worker_has_on_its_way_is_gone_of_it() -> None:
    windows = SharedWindows(SharedWindow(200, 40), SharedWindow(2_000, 30), 1.0, ends_at=3_600.0, given_at=100.0)
    places = places_to_take(windows, others=0, workers=8, kept=4, wants=True, reserve_of=reserve_of, now=150.0)
    assert places.count == 0
    assert places.seconds == pytest.approx(3_500 / 7 - 50)  # 10 and the reserve are left of the day


def test_of_one_hour_the_least_counts_and_the_next_replaces_it() -> None:
    known = SharedWindows(SharedWindow(200, 50), SharedWindow(900, 300), 100.0, 3_600.0, 7.0, 5.0)
    same = known.after(
        SharedWindows(SharedWindow(200, 60), SharedWindow(900, 290), 100.0, closed_until=9.0), is_over=False
    )
    assert (same.hour, same.day, same.closed_until) == (SharedWindow(200, 50), SharedWindow(900, 290), 9.0)
    old = known.after(SharedWindows(SharedWindow(200, 1), None, 99.0, closed_until=6.0), is_over=False)
    assert old == known
    following = SharedWindows(SharedWindow(200, 199), None, 200.0, 7_200.0)
    assert known.after(following, is_over=False) == replace(following, closed_until=7.0)
    begun = known.after(SharedWindows(SharedWindow(200, 200), None, 100.0), is_over=True)
    assert (begun.hour, begun.ends_at, begun.given_at) == (SharedWindow(200, 200), None, None)
    assert known.reset < begun.reset < 101.0
    assert begun.after(known, is_over=False) == begun  # a late answer of the hour that is over
    later = known.after(SharedWindows(SharedWindow(200, 200), None, 200.0), is_over=True)
    assert (later.reset, later.ends_at) == (200.0, None)
    changed = known.after(SharedWindows(SharedWindow(500, 400), None, 100.0), is_over=False)
    assert (changed.hour, changed.day) == (SharedWindow(500, 400), SharedWindow(900, 300))
    assert SharedWindows().after(SharedWindows(closed_until=3.0), is_over=False).closed_until == 3.0
    dayless = replace(known, day=None)
    assert dayless.after(replace(known, closed_until=None), is_over=False) == known


async def take_places(
    journal: SharedJournal, said: SharedWindows, *, is_over: bool = False, kept: int = 0, wants: bool = True
) -> Places:
    store = journal.allotments
    return await journal.ask(
        partial(store.take_places, said, is_over=is_over, reserve_of=reserve_of, kept=kept, wants=wants)
    )


@pytest.mark.anyio
async def test_one_alone_heeds_the_windows_by_itself_and_two_share_them(place: str, postgres: PostgresServer) -> None:
    said = SharedWindows(SharedWindow(200, 150), SharedWindow(2_000, 1_000), 5_000.0, 1_800.0, 9.0)
    async with a_worker(place) as one, a_worker(place) as two:
        assert (await take_places(one, said)).count is None
        waits = await take_places(two, SharedWindows())
        assert (waits.count, waits.windows.hour, waits.windows.day) == (0, said.hour, said.day)
        assert waits.windows.ends_at == pytest.approx(1_800.0, abs=5.0)
        assert waits.windows.closed_until == pytest.approx(9.0, abs=5.0)
        known = "SELECT extract(epoch FROM u - clock_timestamp())::int FROM neuralbox.account, unnest(ARRAY[hour_ends, closed_until]) u"
        assert [seconds for (seconds,) in postgres.execute(known)] == pytest.approx([1_800, 9], abs=5)
        assert (await take_places(one, said, kept=4)).count == 36  # a quarter of what is left but for the reserve
        assert (await take_places(two, SharedWindows())).count == 27
        await take_places(one, said, kept=48, wants=False)
        assert (await take_places(two, SharedWindows())).count == 25
        await take_places(one, said, wants=False)
        assert (await take_places(two, SharedWindows())).count is None
        begun = await take_places(two, SharedWindows(SharedWindow(200, 200), None, 5_000.0), is_over=True)
        assert (begun.windows.hour, begun.windows.ends_at) == (SharedWindow(200, 200), None)
        assert (await take_places(one, said)).count == 0
        end_lease(postgres, two)
        assert (await take_places(one, said)).count is None
    ends = "SELECT hour_ends IS NULL FROM neuralbox.account"
    assert postgres.execute(ends) == [(True,)]


@pytest.mark.anyio
async def test_of_the_last_fifth_one_is_given_at_a_time_whoever_asks(place: str, postgres: PostgresServer) -> None:
    said = SharedWindows(SharedWindow(200, 30), None, 5_000.0, 1_800.0)
    async with a_worker(place) as one, a_worker(place) as two:
        for journal in (one, two):
            await take_places(journal, said, kept=1)
        assert (await take_places(one, said, kept=1)).count == 1
        waits = await take_places(two, said, kept=1)
        assert waits.count == 0
        assert waits.seconds == pytest.approx(1_800 / 28, abs=5.0)
    assert postgres.execute("SELECT turn FROM neuralbox.account") == [(4,)]


@pytest.mark.anyio
async def test_into_a_new_hour_and_where_nothing_is_known_a_few_go_ahead(place: str) -> None:
    async with a_worker(place) as one, a_worker(place) as two:
        assert (await take_places(one, SharedWindows(), kept=1)).count is None
        assert (await take_places(two, SharedWindows())).count == 4
        old = SharedWindows(SharedWindow(200, 200), None, 5_000.0)
        await take_places(one, old, is_over=False)
        assert (await take_places(two, old, is_over=True)).count == 8


@pytest.mark.anyio
async def test_who_finds_others_in_the_way_reads_again_and_in_the_end_comes_back_later(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another writes between the reading and the writing."""
    windows_of, tries = allotments._windows, list[int]()

    def windows(row: Any) -> Any:
        tries.append(1)
        now, turn, *rest = row
        return windows_of((now, turn - (len(tries) < least), *rest))

    monkeypatch.setattr(allotments, "_windows", windows)
    async with a_worker(place) as one:
        least = 3
        assert (await take_places(one, SharedWindows())).count is None
        assert len(tries) == 3
        least = 10_000
        assert (await take_places(one, SharedWindows())).count == 0

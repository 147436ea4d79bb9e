"""The budget's records: what is set aside, charged and given back, and what is refused."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbox._budget import NO_LIMIT, Budget, Reservation, is_limited, joined, reserve_spent, resize, rest_of
from neuralbox._errors import BudgetExceededError, ConfigurationError


def figures(budget: Budget) -> tuple[int, int, int, int]:
    return budget.spent, budget.reserved, budget.left, budget.overrun


def test_a_price_is_set_aside_then_charged_and_what_it_cost_less_is_left() -> None:
    budget = Budget(100)
    first, second = budget.reserve(60), budget.reserve(40)
    assert figures(budget) == (0, 100, 0, 0)
    assert [first.is_open, second.is_open] == [True, True]
    first.settle(50)
    assert figures(budget) == (50, 40, 10, 0)
    assert [first.is_open, second.is_open] == [False, True]
    second.release()
    assert figures(budget) == (50, 0, 50, 0)
    assert repr(budget) == "<Budget: 50 of 100 tokens spent, 0 reserved>"
    assert budget.tokens == 100


def test_what_would_exceed_the_budget_is_refused_with_the_figures() -> None:
    budget = Budget(100, spent=30)
    budget.reserve(40)
    with pytest.raises(BudgetExceededError) as caught:
        budget.reserve(31)
    error = caught.value
    assert (error.price, error.left, error.budget) == (31, 30, 100)
    assert str(error) == (
        "The next request costs 31 tokens and 30 of the budget's 100 tokens are left (40 are reserved); it was not sent."
    )
    assert figures(budget) == (30, 40, 30, 0)
    budget.reserve(30)
    budget.reserve(0)  # what is free fits always


def test_a_charge_without_a_figure_is_the_price() -> None:
    budget = Budget(100)
    budget.reserve(7).settle(None)
    assert figures(budget) == (7, 0, 93, 0)


def test_what_is_said_last_of_a_reservation_counts() -> None:
    budget = Budget(100)
    one = budget.reserve(10)
    one.settle(None)
    one.settle(14)
    assert figures(budget) == (14, 0, 86, 0)
    one.release()
    one.settle(-3)  # no service pays for being used
    assert figures(budget) == (0, 0, 100, 0)


def test_a_charge_above_the_announced_price_is_an_overrun_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    budget = Budget(10)
    with caplog.at_level(logging.WARNING, "neuralbox"):
        budget.reserve(10).settle(13)
    assert figures(budget) == (13, 0, 0, 3)
    assert caplog.messages == [
        "The budget of 10 tokens is exceeded by 3: a request announced at 10 tokens was charged 13."
    ]
    with pytest.raises(BudgetExceededError, match=r"costs 1 tokens and 0 of the budget's 10"):
        budget.reserve(1)


# What nobody knows the price of.


def test_of_requests_without_a_price_one_is_out_at_a_time() -> None:
    budget = Budget(100)
    first = budget.reserve(None)
    with pytest.raises(BudgetExceededError, match="nor yet that of one before it") as caught:
        budget.reserve(None)
    assert caught.value.price is None
    budget.reserve(100)  # those with a price go on
    first.settle(5)
    with pytest.raises(BudgetExceededError, match="is not known and 0 of the budget's 100 tokens are left"):
        budget.reserve(None)


def test_the_end_of_a_request_with_a_price_lets_no_second_one_without_a_price_pass() -> None:
    budget = Budget(100)
    free, priced = budget.reserve(None), budget.reserve(10)
    priced.settle(10)
    with pytest.raises(BudgetExceededError, match="nor yet that of one before it"):
        budget.reserve(None)
    free.settle(5)
    budget.reserve(None)


def test_an_unknown_price_that_breaks_the_budget_is_said(caplog: pytest.LogCaptureFixture) -> None:
    budget = Budget(10)
    with caplog.at_level(logging.WARNING, "neuralbox"):
        budget.reserve(None).settle(11)
    assert "announced at unknown tokens was charged 11" in caplog.text


def test_an_overrun_is_said_once_and_not_again_by_what_does_not_add_to_it(caplog: pytest.LogCaptureFixture) -> None:
    budget = Budget(10)
    first, second = budget.reserve(6), budget.reserve(4)
    with caplog.at_level(logging.WARNING, "neuralbox"):
        first.settle(11)
        second.release()
    assert len(caplog.messages) == 1


def test_what_was_set_aside_beyond_the_budget_and_charged_as_announced_is_no_surprise(
    caplog: pytest.LogCaptureFixture,
) -> None:
    budget = Budget(119)
    first, second = reserve_spent(budget, 60), reserve_spent(budget, 60)
    first.settle(None)
    second.settle(60)
    assert (budget.spent, budget.overrun, caplog.messages) == (120, 1, [])


def test_where_neither_price_nor_charge_is_ever_said_the_second_is_refused() -> None:
    budget = Budget(100)
    one = budget.reserve(None)
    one.settle(None)
    one.settle(None)
    assert budget.uncounted == 1
    assert not budget.may_wait_for(None)
    with pytest.raises(BudgetExceededError, match="cannot be kept"):
        budget.reserve(None)
    budget.reserve(50)


# Waiting for others.


@pytest.mark.parametrize(
    ("price", "hope"),
    [(41, True), (100, True), (101, False)],
)
def test_a_refusal_is_worth_waiting_for_where_running_calls_may_give_enough_back(price: int, *, hope: bool) -> None:
    budget = Budget(100)
    running = budget.reserve(60)
    assert budget.may_wait_for(price) is hope
    running.leave()  # a job whose end nobody waits for: its tokens stay set aside
    assert not budget.may_wait_for(price)
    assert budget.reserved == 60
    running.release()
    assert budget.may_wait_for(price) is (price <= 100)  # what fits by now


def test_an_unknown_price_waits_for_the_one_before_it_only_while_that_runs() -> None:
    budget = Budget(100)
    assert budget.may_wait_for(None)
    free = budget.reserve(None)
    assert budget.may_wait_for(None)
    free.leave()
    free.leave()
    assert not budget.may_wait_for(None)
    free.settle(100)
    assert not budget.may_wait_for(None)


def test_nobody_waits_for_a_call_whose_loop_is_gone() -> None:
    budget = Budget(100)

    async def buy(price: int | None) -> Reservation:
        reservation = budget.reserve(price)
        assert budget.may_wait_for(None if price is None else 100)
        return reservation

    asyncio.run(buy(60))
    assert not budget.may_wait_for(100)
    free = asyncio.run(buy(None))
    assert not budget.may_wait_for(None)
    assert (budget.reserved, free.is_open) == (60, True)  # they had left, as far as anybody knows
    free.attend()
    assert budget.may_wait_for(None)


def test_one_that_was_settled_more_than_once_is_no_other_that_still_runs() -> None:
    budget = Budget(100)
    corrected = budget.reserve(10)
    corrected.settle(None)
    corrected.settle(12)
    corrected.leave()
    assert not budget.may_wait_for(100)  # nothing runs
    running = budget.reserve(60)
    assert budget.may_wait_for(80)
    running.leave()
    assert not budget.may_wait_for(80)


def test_an_unknown_price_does_not_wait_for_one_before_it_where_all_is_spent_meanwhile() -> None:
    budget = Budget(10)
    budget.reserve(None)
    assert budget.may_wait_for(None)
    budget.charge(10)
    assert not budget.may_wait_for(None)


def test_others_wait_for_a_price_again_when_its_end_is_waited_for_again() -> None:
    wide = Budget(10)
    budget = Budget(10, within=wide)
    left = reserve_spent(budget, 10)
    left.leave()
    assert not budget.may_wait_for(1)
    left.attend()
    left.attend()
    assert budget.may_wait_for(1)
    left.leave()
    left.settle(10)
    left.attend()  # it has ended
    assert not budget.may_wait_for(1)
    assert figures(wide) == figures(budget) == (10, 0, 0, 0)


def test_of_what_was_sent_before_at_an_unknown_price_the_first_is_waited_for() -> None:
    budget = Budget(100)
    first, second = reserve_spent(budget, None), reserve_spent(budget, None)
    second.settle(4)
    with pytest.raises(BudgetExceededError, match="nor yet that of one before it"):
        budget.reserve(None)
    first.settle(4)
    assert budget.reserve(None).is_open


def test_what_was_sent_before_is_set_aside_whatever_is_left() -> None:
    budget = Budget(10)
    reserve_spent(budget, 12)
    assert (budget.reserved, budget.left) == (12, 0)


def test_a_listener_is_told_once_of_the_next_change() -> None:
    budget, heard = Budget(100), list[int]()
    budget.on_change(lambda: heard.append(budget.left))
    one, other = budget.reserve(10), budget.reserve(20)
    assert heard == []
    one.release()
    other.release()
    assert heard == [80]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Budget(0), "`budget` must be a whole number of tokens from 1; it is 0."),
        (lambda: Budget(tokens=True), "it is True"),
        (lambda: Budget(1.5), "it is 1.5"),  # type: ignore[arg-type]
        (lambda: Budget(5, spent=-1), "`spent` must be a whole number of tokens from 0; it is -1."),
        (lambda: Budget(5, within=5), "`within` must be a Budget, not int."),  # type: ignore[arg-type]
    ],
)
def test_a_budget_that_cannot_be_right_is_refused(make: Callable[[], Budget], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        make()


# From many sides at once.


def test_threads_that_share_a_budget_never_reserve_more_than_there_is() -> None:
    budget, made = Budget(1_000), list[Reservation]()

    def spend() -> None:
        for _ in range(300):
            try:
                one = budget.reserve(3)
            except BudgetExceededError:
                continue
            made.append(one)
            one.settle(2)

    threads = [threading.Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert budget.spent == 2 * len(made)
    assert budget.reserved == 0
    assert 998 <= budget.spent <= 1_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_a_forked_child_can_use_a_budget_whose_lock_another_thread_held() -> None:
    from neuralbox import _budget

    budget = Budget(10)
    with _budget._lock:
        child = os.fork()
        if child == 0:
            try:
                budget.reserve(1).settle(1)
                os._exit(0 if budget.spent == 1 else 1)
            finally:
                os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    _budget._lock.__enter__()
    _budget._lock._renew()  # what the child did
    assert budget.left == 10


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["charged", "refused", "running"])), max_size=30))
def test_with_true_prices_the_budget_is_never_exceeded(requests: list[tuple[int, str]]) -> None:
    budget, spent, running = Budget(100), 0, 0
    for price, end in requests:
        if price > 100 - spent - running:
            with pytest.raises(BudgetExceededError):
                budget.reserve(price)
            continue
        one = budget.reserve(price)
        if end == "charged":
            one.settle(price)
            spent += price
        elif end == "refused":
            one.release()
        else:
            one.leave()
            running += price
        assert figures(budget) == (spent, running, 100 - spent - running, 0)


# One within another.


def test_what_is_spent_within_another_budget_counts_in_both() -> None:
    company = Budget(10)
    mine, yours = Budget(8, within=company), Budget(8, within=company)
    reservation = mine.reserve(6)
    assert (mine.left, company.left, yours.left) == (2, 4, 8)
    with pytest.raises(BudgetExceededError):
        yours.reserve(5)
    assert (yours.left, company.left) == (8, 4)
    with pytest.raises(BudgetExceededError):
        mine.reserve(3)
    assert company.left == 4  # what is refused inside is set aside nowhere
    assert yours.may_wait_for(5)
    changed: list[str] = []
    yours.on_change(lambda: changed.append("told"))
    reservation.settle(3)
    assert changed
    assert (mine.spent, company.spent, company.left) == (3, 3, 7)
    yours.reserve(5).release()
    assert (yours.left, company.left) == (8, 7)
    assert not yours.may_wait_for(9)


def test_what_is_spent_of_two_budgets_counts_once_in_what_both_are_within() -> None:
    company = Budget(10)
    mine, yours, other = Budget(8, within=company), Budget(9, within=company), Budget(9)
    assert joined(mine, other) is None
    assert all(joined(mine, budget) and joined(budget, mine) for budget in (mine, company, yours))
    both = joined(mine, yours)
    assert both is not None
    reservation = both.reserve(6)
    assert [budget.reserved for budget in (company, mine, yours)] == [6, 6, 6]
    assert [reservation.is_of(budget) for budget in (company, mine, yours, other)] == [True, True, True, False]
    with pytest.raises(BudgetExceededError, match="2 of the budget's 8"):
        both.reserve(3)
    assert both.may_wait_for(3)
    reservation.settle(6)
    assert not both.may_wait_for(3)
    both.charge(1)
    assert [budget.spent for budget in (company, mine, yours)] == [7, 7, 7]


def test_what_counts_in_one_budget_already_is_set_aside_in_the_others_of_it_alone() -> None:
    company = Budget(10)
    mine, yours, other = Budget(8, within=company), Budget(9, within=company), Budget(9)
    counted = mine.reserve(6)
    assert rest_of(other, [counted]) is other
    reservation = reserve_spent(rest_of(yours, [counted]), 6)
    assert [budget.reserved for budget in (company, mine, yours)] == [6, 6, 6]
    assert reservation.is_of(yours)
    assert not reservation.is_of(company)


def test_what_the_outer_one_will_never_cover_is_not_waited_for() -> None:
    company = Budget(10)
    mine, yours = Budget(8, within=company), Budget(8, within=company)
    theirs = yours.reserve(6)
    running = mine.reserve(2)
    assert mine.may_wait_for(7)
    theirs.leave()  # nobody waits for its end, so its tokens stay set aside in both
    assert mine.may_wait_for(3)  # the other one still runs in both
    running.leave()
    assert not mine.may_wait_for(3)
    theirs.settle(6)
    mine.reserve(1)
    assert mine.may_wait_for(4)
    assert not mine.may_wait_for(5)  # in `mine` alone it would fit


def test_what_one_of_them_refuses_changes_neither_and_wakes_nobody_who_waits() -> None:
    """Whoever is woken tries again: two that wake each other by being refused would never come to rest."""
    company = Budget(10)
    mine, yours = Budget(8, within=company), Budget(8, within=company)
    mine.reserve(5)
    woken: list[str] = []
    mine.on_change(lambda: woken.append("mine"))
    yours.on_change(lambda: woken.append("yours"))
    for _ in range(3):
        with pytest.raises(BudgetExceededError) as refused:
            mine.reserve(4)
        assert (refused.value.left, refused.value.budget) == (3, 8)
        with pytest.raises(BudgetExceededError) as refused:
            yours.reserve(6)
        assert (refused.value.left, refused.value.budget) == (5, 10)
    assert woken == []


def test_what_was_charged_elsewhere_is_booked_and_may_exceed_the_budget() -> None:
    company = Budget(10)
    mine = Budget(4, within=company)
    mine.charge(5)
    assert (mine.spent, mine.overrun, company.spent) == (5, 1, 5)
    with pytest.raises(BudgetExceededError):
        mine.reserve(0)
    with pytest.raises(ConfigurationError):
        mine.charge(-1)


def test_a_changed_number_of_tokens_keeps_what_was_spent_and_is_set_aside_and_is_told() -> None:
    budget, told = Budget(100), []
    budget.reserve(60).settle(50)
    budget.reserve(30)
    budget.on_change(lambda: told.append(budget.left))
    resize(budget, 90)
    assert (told, figures(budget)) == ([10], (50, 30, 10, 0))
    resize(budget, 40)
    assert figures(budget) == (50, 30, 0, 10)
    resize(budget, None)
    budget.reserve(10**9)
    with pytest.raises(ConfigurationError, match="`budget` must be"):
        resize(budget, 0)


def test_a_budget_is_limited_where_it_or_what_it_is_within_may_refuse() -> None:
    total = Budget(NO_LIMIT)
    own = Budget(NO_LIMIT, within=total)
    assert not is_limited(own)
    resize(total, 5)
    assert is_limited(own)

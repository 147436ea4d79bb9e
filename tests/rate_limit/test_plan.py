"""What the requests of a plan are spent on: what is to spare, when the listing is read, what submissions leave to it."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbox._rate_limit.plan import (
    NO_DEMAND,
    WORTH,
    Allowance,
    Due,
    Outstanding,
    ReadsSeen,
    Share,
    allowance_of,
    cost_of_submission,
    is_scarce,
    latest_age,
    next_read,
    pause_between_reads,
    set_aside_for_reads,
    spare,
)
from neuralbox._rate_limit.windows import ASK_AGAIN_AFTER, DAY, HOUR, Window, Windows

NOW = 1_000.0
UNLIMITED = Allowance(reads_count=True)


def hour(remaining: int, *, limit: int = 100, ends_in: float | None = HOUR, demand: float = inf) -> Allowance:
    return Allowance((Share(limit, remaining, ends_in),), reads_count=True, demand=demand)


def due(*ends: float, earliest: float = NOW, patient: bool = False, pages: int = 1) -> Due:
    return Due(sorted(NOW + end for end in ends), earliest, patient, pages)


def test_an_account_s_windows_are_told_as_plain_numbers() -> None:
    windows = Windows(Window(100, 60, NOW + 30.0, 5.0), Window(500, 400), noted_at=NOW - 100.0)
    assert allowance_of(windows, clock=NOW, reads_count=None, demand=2.0) == Allowance(
        (Share(100, 60, 30.0, ask_in=800.0), Share(500, 400, None, DAY, ask_in=800.0)), None, 2.0
    )
    assert allowance_of(Windows(), clock=NOW, reads_count=True, demand=0.0).windows == ()


@pytest.mark.parametrize(
    ("allowance", "beyond"),
    [
        (UNLIMITED, inf),
        (hour(60, demand=0.0), 59.0),  # less the reserve
        (hour(60, demand=25.0), 24.0),  # 25, and as many more as such an hour may bring
        (hour(60, demand=18.0, ends_in=HOUR / 2), 44.0),
        (hour(60, demand=25.0, ends_in=None), 24.0),
        (hour(60, demand=20.0, ends_in=-5.0), 59.0),  # about to be renewed
        (hour(60), -inf),  # some wait for their turn
        (hour(60, ends_in=0.0), 59.0),
        (replace(hour(60, demand=9.0), windows=(Share(500, 90, None, DAY),)), 40.0),  # four hours ahead
    ],
)
def test_what_is_to_spare_is_what_submissions_and_the_reserve_leave(allowance: Allowance, beyond: float) -> None:
    assert spare(allowance) == beyond


@pytest.mark.parametrize(
    ("allowance", "jobs", "scarce"),
    [
        (UNLIMITED, 1_000, False),
        (replace(hour(0), reads_count=False), 1, False),
        (hour(90, demand=0.0), 1, False),
        (hour(90, demand=0.0), 10, True),
        (hour(900, limit=1_000, demand=0.0), 200, False),
        (hour(900, limit=1_000, demand=0.0), 300, True),
        (replace(hour(90), reads_count=None), 1, True),
    ],
)
def test_requests_are_scarce_where_polls_as_usual_could_use_up_what_is_to_spare(
    allowance: Allowance, jobs: int, scarce: bool
) -> None:
    assert is_scarce(allowance, jobs) is scarce


@pytest.mark.parametrize(
    ("allowance", "jobs", "last_read", "at"),
    [
        # Enough that may have ended: eight of them are worth a page...
        (hour(90), due(*range(0, 100, 10)), NOW, 70.0),
        # ... four times as many where it takes four pages...
        (hour(900, limit=1_000), due(*range(40), pages=4), NOW, 29.0),
        # ... and more where few reads are left for those that are out.
        (hour(3), due(*range(20)), NOW, 9.0),
        (hour(2), due(*range(20)), NOW, 19.0),
        # Too few: at the latest when the first has waited for a while.
        (hour(90), due(5, 50), NOW, 305.0),
        (hour(20, limit=20), due(5, 50), NOW, 1_505.0),
        # Nobody waits for one: nearly all of many, or after a long while.
        (hour(90), due(*range(40), patient=True), NOW, 35.0),
        (hour(90), due(*range(30), patient=True), NOW, 2_400.0),
        (hour(60, limit=60), due(5, patient=True), NOW, 3_605.0),
        # Some to spare: so that they fall by half.
        (hour(61, demand=0.0), due(5, 50), NOW, 10.0),
        (hour(61, demand=0.0), due(5, 50, pages=2), NOW, 20.0),
        (hour(61, demand=0.0), due(5, 50, earliest=NOW + 33.0), NOW, 33.0),
        (hour(61, demand=0.0, ends_in=60.0), due(5, 50), NOW, 1.0),
        # The first read tells whether they count.
        (replace(hour(0), reads_count=None), due(50), -inf, 0.0),
        # None left.
        (hour(1, ends_in=500.0), due(50), NOW, 500.0),
        (hour(0, ends_in=None), due(50), NOW, ASK_AGAIN_AFTER),
        (hour(0, ends_in=-500.0), due(50), NOW, 0.0),
        (Allowance((Share(100, 60, 30.0), Share(500, 2, None, DAY)), reads_count=True), due(50), NOW, ASK_AGAIN_AFTER),
    ],
)
def test_the_listing_is_read_when_it_is_worth_its_request(
    allowance: Allowance, jobs: Due, last_read: float, at: float
) -> None:
    assert next_read(allowance, jobs, now=NOW, last_read=last_read) == pytest.approx(NOW + at)


def test_the_strictest_window_says_how_fast_what_is_to_spare_is_spent() -> None:
    both = Allowance((Share(100, 61, HOUR), Share(1_000, 25, None, DAY)), reads_count=True)
    assert pause_between_reads(both) == DAY / 6 / 20
    assert pause_between_reads(hour(1, demand=0.0)) == inf
    assert pause_between_reads(UNLIMITED) == 0.0


@pytest.mark.uncovered
@given(
    remaining=st.integers(-5, 2_000),
    limit=st.integers(1, 1_000),
    ends_in=st.none() | st.floats(-1e6, 1e6),
    demand=st.floats(0, 1e6) | st.just(inf),
    ends=st.lists(st.floats(-1e5, 1e5), min_size=1, max_size=50),
    patient=st.booleans(),
    counted=st.sampled_from([None, True]),
)
def test_whatever_is_said_there_is_a_time_to_read_again_within_hours(
    remaining: int,
    limit: int,
    ends_in: float | None,
    demand: float,
    ends: list[float],
    patient: bool,
    counted: bool | None,
) -> None:
    allowance = Allowance((Share(limit, remaining, ends_in),), counted, demand)
    at = next_read(allowance, due(*ends, patient=patient), now=NOW, last_read=NOW)
    assert at <= NOW + max(*ends, 0.0) + 2 * HOUR


# What submissions leave.


@pytest.mark.parametrize(
    ("allowance", "outstanding", "requests"),
    [
        (hour(90), Outstanding(), 0),
        (UNLIMITED, Outstanding(5, 5), 0),
        (hour(90), Outstanding(5, 5), 1),
        (hour(90), Outstanding(80, 80), 11),
        (hour(90), Outstanding(900, 900), 13),  # no more than there is time for
        (hour(90, ends_in=60.0), Outstanding(80, 80), 1),
        (hour(90), Outstanding(80), 2),
        (hour(90), Outstanding(80, asks_each=True), 82),
        (hour(90, ends_in=None), Outstanding(80), 2),
    ],
)
def test_submissions_leave_what_finds_the_jobs_that_are_out(
    allowance: Allowance, outstanding: Outstanding, requests: int
) -> None:
    assert set_aside_for_reads(allowance, outstanding) == requests


def test_a_submission_costs_its_share_of_a_page_unless_the_next_window_pays_for_that() -> None:
    nobody, each = Outstanding(), Outstanding(asks_each=True)
    assert cost_of_submission(hour(90), nobody, patient=False) == 1 + 1 / WORTH
    assert cost_of_submission(hour(90, ends_in=60.0), nobody, patient=False) == 1
    assert cost_of_submission(hour(90), nobody, patient=True) == 1
    assert cost_of_submission(hour(90), each, patient=True) == 2
    assert cost_of_submission(UNLIMITED, nobody, patient=False) == 1
    assert latest_age(hour(1, limit=1), patient=True) == HOUR


# What is learnt.


@pytest.mark.parametrize(
    ("falls", "counted"),
    [
        ([], None),
        ([-1], None),
        ([1], True),
        ([2], True),
        ([0], False),
        ([1, 0], False),
        ([0, 0, 1], False),  # another program
        ([0, 1, 1], False),
        ([0, 1, 1, 1], True),
        ([0, 1, 1, 0, 1, 1], False),
        ([0, -3, 1], False),
    ],
)
def test_whether_reads_count_is_seen_from_what_they_leave(falls: list[int], counted: bool | None) -> None:
    seen = ReadsSeen()
    for fell in falls:
        seen = seen.after(fell)
    assert seen.counted is counted
    assert seen.refused().counted is True


def test_the_demand_is_supposed_at_first_then_seen_and_then_forgotten() -> None:
    assert NO_DEMAND.an_hour(NOW, 100.0) == pytest.approx(75.0)
    one = NO_DEMAND.with_more(1, NOW)
    assert one.an_hour(NOW, 100.0) == pytest.approx(105.0)
    assert 40 < one.an_hour(NOW + 180.0, 100.0) < 45
    assert one.an_hour(NOW + 2 * HOUR, 100.0) < 6
    steady = NO_DEMAND
    for number in range(200):
        steady = steady.with_more(1, NOW + 36.0 * number)
    assert steady.an_hour(NOW + 36.0 * 200, 100.0) == pytest.approx(100.0, rel=0.05)
    assert one.at_time(NOW - 500.0).at == NOW  # a clock that jumps back

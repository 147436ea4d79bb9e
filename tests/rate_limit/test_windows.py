"""The plan's windows: what headers, refusals and `user/me` say of them, and when the next submission may leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbox._rate_limit.windows import (
    ASK_AGAIN_AFTER,
    AWAIT_ANSWERS,
    DAY,
    HOUR,
    MAX_UNANSWERED,
    NOTHING_KNOWN,
    SEND_NOW,
    Decision,
    SendTime,
    Window,
    Windows,
    is_taken,
    next_change,
    next_send_time,
    note,
    note_accepted,
    note_refusal,
    note_sent,
    note_user,
    reserve_of,
    turn,
)

CLOCK = 1_000.0
NOW = 1_772_971_200.0  # 2026-03-08T12:00:00Z
RESET = NOW + 3_000.0
ENDS = CLOCK + 3_000.0
HEADERS: Mapping[str, str] = {
    "x-ratelimit-limit-hour": "100",
    "x-ratelimit-remaining-hour": "60",
    "x-ratelimit-limit-day": "1000",
    "x-ratelimit-remaining-day": "400",
    "x-ratelimit-reset-hour": str(RESET),
}
KNOWN = Windows(Window(100, 60, ENDS, RESET), Window(1_000, 400), known=True, noted_at=CLOCK)


def said(before: Windows = NOTHING_KNOWN, *, began: float = CLOCK, clock: float = CLOCK, **changes: object) -> Windows:
    headers = {**HEADERS, **{f"x-ratelimit-{name.replace('_', '-')}": str(value) for name, value in changes.items()}}
    return note(before, headers, began=began, clock=clock, now=NOW + clock - CLOCK)


# What the service says.


def test_headers_tell_both_windows_and_when_the_hour_ends() -> None:
    assert said() == KNOWN


def test_the_end_of_the_hour_is_counted_by_the_clock_of_the_service() -> None:
    headers = {**HEADERS, "date": "Sun, 08 Mar 2026 12:40:00 GMT"}
    windows = note(NOTHING_KNOWN, headers, began=CLOCK, clock=CLOCK, now=NOW - 86_400)
    assert windows.hour == Window(100, 60, CLOCK + 600.0, RESET)
    garbled = note(NOTHING_KNOWN, {**headers, "date": "today"}, began=CLOCK, clock=CLOCK, now=NOW)
    assert garbled == KNOWN


@pytest.mark.parametrize(
    ("reset", "ends_at"),
    [(NOW + 3_660, CLOCK + 3_660), (NOW + 3_661, None), (NOW * 1000, None), (NOW - 1, CLOCK), (NOW - 61, None)],
)
def test_a_reset_that_no_hour_can_have_tells_no_end(reset: float, ends_at: float | None) -> None:
    assert said(reset_hour=reset).hour == Window(100, 60, ends_at, reset)


@pytest.mark.parametrize("headers", [{}, {"x-ratelimit-remaining-hour": "5"}, {"x-ratelimit-limit-hour": "many"}])
def test_headers_that_name_no_limit_change_nothing(headers: Mapping[str, str]) -> None:
    assert note(KNOWN, headers, began=CLOCK, clock=CLOCK, now=NOW) is KNOWN


def test_a_limit_of_zero_is_none() -> None:
    windows = said(KNOWN, limit_hour=0, remaining_hour=0, limit_day=0, remaining_day=0)
    assert (windows.hour, windows.day, windows.known) == (None, None, True)


def test_a_limit_whose_rest_is_not_said_keeps_what_was_known() -> None:
    assert said(KNOWN, remaining_hour="?", remaining_day=399) == replace(KNOWN, day=Window(1_000, 399))
    assert said(KNOWN, remaining_hour=59, remaining_day="?") == replace(KNOWN, hour=Window(100, 59, ENDS, RESET))


def test_of_answers_that_crossed_the_lower_count_stands() -> None:
    first = said(remaining_hour=50, remaining_day=300, clock=CLOCK + 2)
    crossed = said(first, remaining_hour=55, remaining_day=305, began=CLOCK + 1, clock=CLOCK + 3)
    assert crossed.hour is not None
    assert crossed.day is not None
    assert (crossed.hour.remaining, crossed.day.remaining) == (50, 300)
    later = said(crossed, remaining_hour=55, remaining_day=305, began=CLOCK + 4, clock=CLOCK + 5)
    assert later.hour is not None
    assert later.day is not None
    assert (later.hour.remaining, later.day.remaining) == (55, 305)  # given back, or another plan


def test_the_last_answers_of_an_hour_that_is_over_change_nothing_of_the_new_one() -> None:
    new = said(KNOWN, remaining_hour=99, reset_hour=RESET + 3_600, clock=CLOCK + 600)
    assert said(new, remaining_hour=1, clock=CLOCK + 601).hour == new.hour
    turned = turn(KNOWN, clock=ENDS + 2)
    late = said(turned, remaining_hour=1, began=CLOCK - 1, clock=ENDS + 2)
    assert late.hour == turned.hour == Window(100, 100, None, RESET)
    # One that was asked for afterwards is believed: the service's hour is a little longer than ours.
    asked = said(turned, remaining_hour=1, began=ENDS + 2, clock=ENDS + 2)
    assert asked.hour == Window(100, 1, ENDS + 2, RESET)


def test_a_refusal_closes_until_the_time_it_names() -> None:
    closed = note_refusal(KNOWN, 420.0, clock=CLOCK)
    assert closed == replace(KNOWN, closed_until=CLOCK + 420, closed_at=CLOCK)
    assert note_refusal(closed, 5.0, clock=CLOCK + 1).closed_until == CLOCK + 420
    assert note_refusal(KNOWN, None, clock=CLOCK).closed_until == CLOCK + 60
    assert note_refusal(KNOWN, 0.0, clock=CLOCK).closed_until == CLOCK + 60
    assert note_refusal(NOTHING_KNOWN, 1e9, clock=CLOCK).closed_until == CLOCK + DAY
    assert closed.closed_certain
    assert note_refusal(closed, None, clock=CLOCK + 1).closed_certain  # the longer one stands
    assert not note_refusal(note_refusal(KNOWN, 5.0, clock=CLOCK), 0.0, clock=CLOCK).closed_certain


def test_a_refusal_for_longer_than_an_hour_tells_when_the_day_ends() -> None:
    closed = note_refusal(KNOWN, 30_000.0, clock=CLOCK)
    assert closed.day == Window(1_000, 0, CLOCK + 30_000)
    assert said(closed, remaining_day=0).day == closed.day  # headers do not say it, so it is kept
    assert turn(closed, clock=CLOCK + 30_010).day == Window(1_000, 1_000)
    assert note_refusal(replace(KNOWN, day=None), 30_000.0, clock=CLOCK).day is None


def test_an_accepted_submission_ends_what_an_earlier_refusal_asked_for() -> None:
    closed = note_refusal(KNOWN, 420.0, clock=CLOCK)
    assert note_accepted(closed, began=CLOCK - 1) is closed
    assert note_accepted(closed, began=CLOCK + 1).closed_until == -inf


def test_limits_that_only_the_user_names_are_counted_here() -> None:
    windows = note_user(NOTHING_KNOWN, 100, 1_000, clock=CLOCK)
    assert windows.hour == Window(100, 100, CLOCK + HOUR, None, HOUR)
    assert windows.day == Window(1_000, 1_000, CLOCK + DAY, None, DAY)
    windows = note_sent(note_sent(windows))
    assert windows.hour == Window(100, 98, CLOCK + HOUR, None, HOUR)
    assert windows.day == Window(1_000, 998, CLOCK + DAY, None, DAY)
    later = CLOCK + HOUR + 2
    assert turn(windows, clock=later).hour == Window(100, 100, later + HOUR, None, HOUR)


@pytest.mark.parametrize(("hourly", "daily"), [(0, 0), (None, None), (-1, 0)])
def test_a_user_without_limits_has_none(hourly: int | None, daily: int | None) -> None:
    windows = note_user(NOTHING_KNOWN, hourly, daily, clock=CLOCK)
    assert windows == Windows(known=True, noted_at=CLOCK)
    assert note_sent(windows) == windows
    assert turn(windows, clock=CLOCK + DAY) is windows


def test_what_the_user_names_counts_less_than_what_headers_said() -> None:
    assert note_user(KNOWN, 5, 5, clock=CLOCK) is KNOWN


def test_what_was_sent_never_leaves_less_than_nothing() -> None:
    used_up = Windows(Window(100, 0), Window(1_000, 0))
    assert note_sent(used_up) == used_up


# When the next may leave.


def hour(remaining: int, *, limit: int = 100, ends_in: float | None = 3_000.0, reset: float | None = RESET) -> Windows:
    return replace(KNOWN, hour=Window(limit, remaining, None if ends_in is None else CLOCK + ends_in, reset), day=None)


@pytest.mark.parametrize(
    ("remaining", "under_way", "last", "at", "why"),
    [
        (100, 0, CLOCK, None, ""),
        (100, 32, CLOCK, None, ""),
        (100, 33, CLOCK, None, "await answers"),  # others may be sending as many
        (22, 0, CLOCK, None, ""),
        (21, 0, CLOCK, CLOCK + 3_000 / 21, "spread"),
        (25, 5, CLOCK, CLOCK + 3_000 / 20, "spread"),
        (21, 0, CLOCK - 600, None, ""),  # its share of the hour has passed
        (2, 0, CLOCK, CLOCK + 1_500, "spread"),
        (21, 0, -inf, None, ""),  # nothing of ours has left yet
        (6, 5, CLOCK, None, "await answers"),
        (6, 9, CLOCK, None, "await answers"),
        (1, 0, CLOCK, CLOCK + 3_001.5, "hour"),  # the reserve
        (0, 0, CLOCK, CLOCK + 3_001.5, "hour"),
        (0, 3, CLOCK, CLOCK + 3_001.5, "hour"),
    ],
)
def test_the_last_fifth_is_spread_and_a_used_up_window_is_left_alone(
    remaining: int, under_way: int, last: float, at: float | None, why: str
) -> None:
    send_time = next_send_time(hour(remaining), clock=CLOCK, under_way=under_way, last=last)
    if at is None:
        assert send_time == (AWAIT_ANSWERS if why else SEND_NOW)
        return
    assert send_time.at == pytest.approx(at)
    assert (send_time.decision, str(send_time.why), send_time.certain) == (Decision.WAIT, why, True)


def test_a_plain_call_takes_what_is_left() -> None:
    assert next_send_time(hour(1), clock=CLOCK, last=CLOCK, spread=False) == SEND_NOW
    assert next_send_time(hour(1), clock=CLOCK, last=CLOCK, under_way=1, spread=False) == AWAIT_ANSWERS


@pytest.mark.parametrize(
    ("remaining", "set_aside", "why"),
    [(100, 0, ""), (100, 70, ""), (100, 80, "spread"), (20, 0, "spread"), (10, 8, "hour"), (3, 0, "hour")],
)
def test_where_reads_count_a_submission_takes_what_they_need_along(remaining: int, set_aside: int, why: str) -> None:
    send_time = next_send_time(hour(remaining), clock=CLOCK, last=CLOCK, cost=2.5, set_aside=set_aside)
    assert send_time.why == why


@pytest.mark.parametrize(("limit", "reserve"), [(0, 0), (9, 0), (10, 1), (100, 1), (500, 2), (10_000, 50)])
def test_a_small_part_of_a_window_is_left_to_whoever_calls_by_hand(limit: int, reserve: int) -> None:
    assert reserve_of(limit) == reserve


@pytest.mark.parametrize(
    ("windows", "at"),
    [
        (NOTHING_KNOWN, None),
        (hour(1), ENDS + 1.5),
        (replace(hour(1), hour=None), None),
        (replace(hour(1), day=Window(1_000, 1, CLOCK + 60.0)), CLOCK + 61.5),
        (replace(hour(1), closed_until=CLOCK + 30.0), CLOCK + 30.0),
        (replace(hour(1), closed_until=CLOCK), ENDS + 1.5),
    ],
)
def test_what_is_known_changes_by_itself_when_a_window_ends_or_a_refusal_is_over(
    windows: Windows, at: float | None
) -> None:
    assert next_change(windows, clock=CLOCK) == at


def test_into_a_new_window_a_few_go_ahead_of_the_others() -> None:
    new = turn(hour(0, ends_in=0.0), clock=CLOCK + 2)
    assert new.hour == Window(100, 100, None, RESET)
    assert next_send_time(new, clock=CLOCK + 2, under_way=MAX_UNANSWERED - 1) == SEND_NOW
    assert next_send_time(new, clock=CLOCK + 2, under_way=MAX_UNANSWERED) == AWAIT_ANSWERS
    small = turn(hour(0, limit=3, ends_in=0.0), clock=CLOCK + 2)
    assert next_send_time(small, clock=CLOCK + 2, under_way=3) == AWAIT_ANSWERS


def test_a_used_up_day_without_an_end_is_asked_about_again_when_the_hour_ends() -> None:
    day = Window(1_000, 0)
    send_time = next_send_time(replace(KNOWN, day=day), clock=CLOCK)
    assert send_time == SendTime(Decision.WAIT, ENDS + 1.5, "day", certain=False)
    soon = replace(hour(60, ends_in=60.0), day=day)
    assert next_send_time(soon, clock=CLOCK) == SendTime(Decision.WAIT, CLOCK + ASK_AGAIN_AFTER, "day", certain=False)
    without = replace(hour(60, ends_in=None), day=day)
    assert next_send_time(without, clock=CLOCK) == SendTime(
        Decision.WAIT, CLOCK + ASK_AGAIN_AFTER, "day", certain=False
    )
    later = next_send_time(without, clock=CLOCK + ASK_AGAIN_AFTER)
    assert later == SendTime(Decision.ASK, None, "day", certain=False)


def test_the_latest_of_all_that_is_said_counts() -> None:
    closed = note_refusal(replace(hour(0), day=Window(1_000, 0, CLOCK + 9_000)), 60.0, clock=CLOCK)
    assert next_send_time(closed, clock=CLOCK).why == "day"
    assert next_send_time(replace(closed, day=None), clock=CLOCK).why == "hour"
    assert next_send_time(replace(closed, day=Window(1_000, 0, CLOCK + 900)), clock=CLOCK).why == "hour"
    asked = replace(closed, day=None, hour=None)
    assert next_send_time(asked, clock=CLOCK) == SendTime(Decision.WAIT, CLOCK + 60, "asked")
    assert next_send_time(asked, clock=CLOCK + 60) == SEND_NOW


def test_the_last_fifth_of_a_day_is_spread_where_its_end_is_known() -> None:
    day = replace(hour(100), day=Window(1_000, 204, CLOCK + 20_000))
    assert next_send_time(day, clock=CLOCK, last=CLOCK) == SendTime(Decision.WAIT, CLOCK + 100, "spread")


@pytest.mark.uncovered
@given(
    hour=st.none()
    | st.builds(Window, st.just(10), st.integers(0, 10), st.none() | st.just(ENDS), st.none() | st.just(RESET)),
    day=st.none() | st.builds(Window, st.just(20), st.integers(0, 20)),
    under_way=st.integers(0, 20),
    cost=st.sampled_from([1.0, 1.13, 2.0]),
    set_aside=st.integers(0, 3),
    spread=st.booleans(),
)
def test_where_all_is_taken_nothing_leaves_whatever_it_costs(
    *, hour: Window | None, day: Window | None, under_way: int, cost: float, set_aside: int, spread: bool
) -> None:
    windows = Windows(hour, day, known=True, noted_at=CLOCK)
    how = {"cost": cost, "set_aside": set_aside, "spread": spread}
    decision = next_send_time(windows, clock=CLOCK, under_way=under_way, **how).decision  # type: ignore[arg-type]
    if is_taken(windows, under_way):
        assert decision is not Decision.SEND
    elif not spread and (cost, set_aside) == (1.0, 0):
        assert decision is not Decision.AWAIT_ANSWERS


def test_turning_leaves_alone_what_has_not_ended_or_has_no_end() -> None:
    assert turn(KNOWN, clock=ENDS + 1) is KNOWN
    assert turn(hour(0, ends_in=None), clock=CLOCK + DAY).hour == Window(100, 0, None, RESET)


@pytest.mark.uncovered
@given(
    limit=st.integers(1, 200),
    used=st.integers(0, 200),
    wanted=st.integers(0, 400),
    others=st.lists(st.integers(0, 400), max_size=5),
)
def test_whatever_others_take_no_submission_of_ours_is_one_too_many_and_the_hour_is_used_up(
    limit: int, used: int, wanted: int, others: list[int]
) -> None:
    """One after the other, each answered at once, while other programs take requests in between."""
    clock, left, sent, last = CLOCK, max(0, limit - used), 0, -inf
    windows = replace(hour(left, limit=limit), noted_at=CLOCK)
    for number in range(wanted):
        send_time = next_send_time(windows, clock=clock, last=last)
        if send_time.why == "hour":
            break
        clock = clock if send_time.at is None else max(clock, send_time.at)
        assert clock < ENDS
        assert left > 0
        sent, left, last = sent + 1, left - 1, clock
        left = max(0, left - others.count(number))
        windows = replace(hour(left, limit=limit), noted_at=clock)
    else:
        return
    assert left <= reserve_of(limit)

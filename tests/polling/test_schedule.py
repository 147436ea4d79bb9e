"""The schedule: what each hint does, what no hint can do, and what it costs (a simulation without sleeping)."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from statistics import mean, median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbox._polling.schedule import (
    FIRST,
    LONGEST_HOLD,
    TRUSTED,
    ModelTimes,
    UsualSeconds,
    back_off,
    may_end_at,
    next_poll,
    ramp,
    spread,
    usual_seconds,
)

SEEN = ModelTimes((40.0, 45.0, 60.0))


def plain(**changes: Any) -> float:
    """The next poll of an ordinary job with the dice in the middle."""
    return next_poll(**{"age": 100.0, "polls": 5, "jitter": 0.5, **changes})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # The first poll.
        ({"age": 0.0, "polls": 0}, FIRST),
        ({"age": 2.0, "polls": 0}, 1.0),
        ({"age": 60.0, "polls": 0}, 0.0),
        ({"age": 0.0, "polls": 0, "kind": "video"}, 18.0),
        ({"age": 0.0, "polls": 0, "kind": "video", "model": "luma-ray2"}, 30.0),  # 54 s, but max_interval is 30
        ({"age": 0.0, "polls": 0, "kind": "image", "model": "midjourney"}, FIRST),
        ({"age": 0.0, "polls": 0, "kind": "video", "times": SEEN}, 30.0),
        ({"age": 25.0, "polls": 1, "kind": "video", "times": SEEN}, 15.0),
        ({"age": 0.0, "polls": 0, "eta": 12}, 12.5),
        ({"age": 0.0, "polls": 0, "min_interval": 0.25, "max_interval": 1.5, "kind": "video"}, 1.5),
        # Pauses grow with the age.
        ({"age": 0.0, "polls": 1}, 5.0),
        ({"age": 10.0}, 6.0),
        ({"age": 100.0}, 6.5),
        ({"age": 500.0}, 20.0),
        ({"age": 1e9}, 30.0),
        ({"jitter": 0.0}, 6.5 * 0.9),
        # The service's hints.
        ({"eta": 20}, 20.5),
        ({"eta": 0.2}, 5.0),
        ({"eta": 20, "progress": 1}, 20.5),
        ({"progress": 90}, 100 / 9 + 0.5),
        ({"progress": 99}, 5.0),
        # Hints that say nothing.
        ({"eta": -30}, 6.5),
        ({"eta": 0}, 5.0),
        ({"eta": 1e300}, 30.0),
        ({"eta": math.inf}, 6.5),
        ({"eta": math.nan}, 6.5),
        ({"progress": 4}, 6.5),
        ({"progress": 100}, 6.5),
        ({"progress": -50}, 6.5),
        ({"progress": 50, "age": 0.0}, 5.0),
        ({"eta": 5, "polls": TRUSTED}, 6.5),
        # The wait's end.
        ({"remaining": 100.0}, 6.5),
        ({"remaining": 11.0}, 6.0),
        ({"remaining": 9.0}, 9.0),
        ({"remaining": 3.0}, 3.0),
        ({"remaining": -1.0}, 0.0),
    ],
)
def test_the_next_poll_follows_what_is_known(given: dict[str, Any], expected: float) -> None:
    assert plain(**given) == pytest.approx(expected)


any_number = st.none() | st.floats() | st.integers(-(10**30), 10**30)


@given(
    age=st.floats(allow_nan=False),
    polls=st.integers(0, 10_000),
    jitter=st.floats(0, 1, exclude_max=True),
    eta=any_number,
    progress=any_number,
    remaining=st.none() | st.floats(0, 1e6),
    kind=st.sampled_from([None, "video", "image"]),
    model=st.sampled_from([None, "kling-v2.1", "unheard-of"]),
)
def test_no_hint_makes_a_tight_loop_or_an_endless_pause(
    age: float,
    polls: int,
    jitter: float,
    eta: float | None,
    progress: float | None,
    remaining: float | None,
    kind: str | None,
    model: str | None,
) -> None:
    pause = next_poll(
        age=age, polls=polls, jitter=jitter, eta=eta, progress=progress, remaining=remaining, kind=kind, model=model
    )
    assert 0 <= pause <= 30 + 5
    assert polls == 0 or pause >= 5 or pause == remaining
    assert remaining is None or pause <= remaining


# What was seen of a model.


def test_what_was_seen_of_a_model_counts_from_the_third_time_on() -> None:
    two = ModelTimes().with_duration(30.0).with_duration(20.0)
    assert two.shortest is None
    assert two.with_duration(40.0).shortest == 20.0


def test_what_was_seen_of_a_model_stays_bounded_and_forgets_the_oldest() -> None:
    times = ModelTimes()
    for seconds in range(100):
        times = times.with_duration(float(seconds))
    assert times.seen == tuple(float(seconds) for seconds in range(68, 100))


@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf])
def test_what_is_no_duration_is_not_counted(seconds: float) -> None:
    assert ModelTimes().with_duration(seconds) == ModelTimes()


# Slowing down.


def test_back_off_doubles_from_one_shortest_pause_to_the_longest() -> None:
    ceilings = [back_off(misses, jitter=1.0) for misses in (1, 2, 3, 4, 10_000)]
    assert ceilings == [5.0, 10.0, 20.0, 30.0, 30.0]
    assert back_off(2, jitter=0.0) == 5.0


@pytest.mark.parametrize(
    ("retry_after", "expected"), [(42.0, 44.5), (1e12, LONGEST_HOLD + 2.5), (0.0, 3.75), (-5.0, 3.75), (None, 3.75)]
)
def test_back_off_waits_as_long_as_the_service_asks(retry_after: float | None, expected: float) -> None:
    assert back_off(1, jitter=0.5, retry_after=retry_after) == pytest.approx(expected)


def test_a_told_pause_counts_only_where_it_is_longer_than_the_back_off() -> None:
    assert [back_off(misses, jitter=1.0, retry_after=0.001) for misses in (2, 3, 4)] == [10.0, 20.0, 30.0]
    assert back_off(4, jitter=1.0, retry_after=40.0) == 45.0


def test_few_jobs_are_not_spread_and_thousands_at_most_over_a_shortest_pause() -> None:
    assert spread(jitter=0.99, outstanding=0) == 0
    assert spread(jitter=0.5, outstanding=200) == 0.5
    assert spread(jitter=1.0, outstanding=1_000_000) == 5.0


def test_polls_that_were_held_come_back_few_at_first() -> None:
    back = sorted(ramp(jitter=number / 1_000, outstanding=1_000) for number in range(1_000))
    assert sum(at < 5 for at in back) < 70
    assert sum(at >= 15 for at in back) > 400
    assert back[-1] <= 20
    assert ramp(jitter=1.0, outstanding=1) == pytest.approx(0.02)


# What it costs. Jobs take 20-180 s; requests count the submission; latency is from completion to the poll that finds it.


def simulate(eta_of: Callable[[Random, float], float | None], **known: Any) -> tuple[float, float, float]:
    """Return mean requests per job, median latency and its 95th percentile."""
    dice = Random(20)
    requests, latencies = [], []
    for _ in range(4_000):
        duration, at, polls = dice.uniform(20, 180), 0.0, 0
        while at < duration:
            at += next_poll(
                age=at,
                polls=polls,
                jitter=dice.random(),
                eta=eta_of(dice, duration - at),
                remaining=600 - at,
                **known,
            )
            polls += 1
        requests.append(polls + 1)
        latencies.append(at - duration)
    return mean(requests), median(latencies), sorted(latencies)[int(len(latencies) * 0.95)]


def no_eta(dice: Random, left: float) -> None:
    return None


def honest_eta(dice: Random, left: float) -> float:
    return left * dice.uniform(0.8, 1.2)


def honest_whole_eta(dice: Random, left: float) -> float:
    return int(honest_eta(dice, left))


@pytest.mark.uncovered
@pytest.mark.parametrize(
    ("eta_of", "known", "most", "median_s", "p95_s"),
    [
        (no_eta, {}, 18, 3.5, 7.0),
        (no_eta, {"kind": "video"}, 15.5, 3.5, 7.0),
        (no_eta, {"kind": "video", "model": "kling-v2.1"}, 13.5, 3.7, 7.5),
        (no_eta, {"kind": "video", "times": ModelTimes((21.0, 90.0, 170.0))}, 15.5, 3.5, 7.0),
        (honest_eta, {}, 6, 2.5, 5.0),
        (honest_whole_eta, {"kind": "video"}, 6, 2.5, 5.0),
    ],
)
def test_one_job_costs_few_requests_and_is_found_soon(
    eta_of: Callable[[Random, float], float | None],
    known: dict[str, Any],
    most: float,
    median_s: float,
    p95_s: float,
) -> None:
    requests, middle, late = simulate(eta_of, **known)
    assert requests <= most
    assert middle <= median_s
    assert late <= p95_s


# When a job may have ended.


@pytest.mark.parametrize(
    ("model", "kind", "seen", "expected"),
    [
        ("kling-v2.1", "video", (), (45, 90)),
        ("wan-2.1", "video", (), (20, 180)),
        (None, None, (), (FIRST, 180)),
        ("kling-v2.1", "video", (30.0, 31.0, 50.0), (30.0, 50.0)),
        ("wan-2.1", "video", (30.0,), (20, 180)),
    ],
)
def test_how_long_a_job_takes_is_seen_or_documented(
    model: str | None, kind: str | None, seen: tuple[float, ...], expected: tuple[float, float]
) -> None:
    assert usual_seconds(model, kind, ModelTimes(seen)) == UsualSeconds(*expected)


@pytest.mark.parametrize(
    ("age", "place", "ends"),
    [(0.0, 0.0, 20.0), (0.0, 0.5, 100.0), (100.0, 0.5, 140.0), (180.0, 0.5, 234.0), (200.0, 0.0, 200.0)],
)
def test_where_many_may_end_between_two_times_their_ends_are_spread_over_it(
    age: float, place: float, ends: float
) -> None:
    assert may_end_at(age, UsualSeconds(20.0, 180.0), place) == pytest.approx(ends)

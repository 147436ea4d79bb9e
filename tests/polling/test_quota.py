"""The hourly allowance: what its headers say, and how long polls that find nothing pause for it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from neuralbox._polling.quota import HourlyQuota, note, pause_after_poll


def headers(remaining: object, limit: object = 100, reset: object = 5_000) -> Mapping[str, str]:
    return {
        "x-ratelimit-limit-hour": str(limit),
        "x-ratelimit-remaining-hour": str(remaining),
        "x-ratelimit-reset-hour": str(reset),
    }


@pytest.mark.parametrize(
    "said",
    [{}, headers("many"), headers(9, limit=0), headers(9, limit=-1), headers(9, limit="no"), headers(9, reset="")],
)
def test_headers_that_say_nothing_of_use_change_nothing(said: Mapping[str, str]) -> None:
    assert note(None, said, began=0, now=1) is None
    known = HourlyQuota(100, 60, 5_000.0)
    assert note(known, said, began=0, now=1) is known


def test_a_count_that_falls_from_poll_to_poll_means_that_polling_counts() -> None:
    first = note(None, headers(60), began=0, now=1)
    second = note(first, headers(59), began=2, now=3)
    assert second == HourlyQuota(100, 59, 5_000.0, own=2, counted=True, free=False, noted_at=3)


def test_a_count_that_stands_still_means_that_polling_is_free_though_submissions_count() -> None:
    known = None
    for number, remaining in enumerate((60, 59, 59, 58)):
        known = note(known, headers(remaining), began=2 * number, now=2 * number + 1)
    assert known is not None
    assert known.free
    assert pause_after_poll(known, outstanding=3, now=1_400.0) == 0


def test_answers_to_polls_that_were_under_way_together_say_nothing() -> None:
    first = note(None, headers(59), began=0, now=1)
    second = note(first, headers(60), began=0.5, now=2)
    assert second == HourlyQuota(100, 59, 5_000.0, own=2, noted_at=2)
    assert pause_after_poll(second, outstanding=1, now=1_400.0) == 0


def test_a_new_hour_begins_anew_and_what_was_seen_of_counting_stays() -> None:
    old = HourlyQuota(100, 3, 5_000.0, own=70, counted=True)
    new = note(old, headers(99, reset=8_600), began=0, now=1)
    assert new == HourlyQuota(100, 99, 8_600.0, own=1, counted=True, noted_at=1)


@pytest.mark.parametrize(
    ("remaining", "own", "outstanding", "left", "seconds"),
    [
        (98, 1, 1, 3_600, 600 / 19),  # at the start: forty submissions and the polls that find them are set aside
        (59, 1, 40, 3_600, 600 / 19),  # all submitted: only what finds them is
        (41, 20, 40, 3_600, 600.0),
        (5, 55, 40, 3_600, 600.0),
        (5, 55, 40, 120, 120.0),
        (0, 60, 40, 3_000, 3_000.0),
        (0, 60, 40, -5, 0.0),
    ],
)
def test_the_fewer_polls_are_to_spare_the_longer_the_pause(
    remaining: int, own: int, outstanding: int, left: float, seconds: float
) -> None:
    known = HourlyQuota(100, remaining, 5_000.0, own=own, counted=True)
    assert pause_after_poll(known, outstanding=outstanding, now=5_000.0 - left) == pytest.approx(seconds)

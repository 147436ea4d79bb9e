"""What is drawn: lines that end where they should, round labels, bars by share, and words for numbers."""

from __future__ import annotations

import pytest

from neuralbox._report.card import Card
from neuralbox._report.charts import HEIGHT, WIDTH, bars_of, clock, duration, size, timeline_of
from neuralbox._report.totals import Sum, Totals, moment

from .journals import START


def counted(*cards: tuple[Card, float | None]) -> Totals:
    totals = Totals()
    for card, ended_at in cards:
        totals.add(card, ended_at=ended_at)
    return totals


def a_card(number: int, *, state: str = "completed", **more: object) -> Card:
    return Card(f"k{number}", state, state, **{"at": START + number, "tokens": 4, **more})  # type: ignore[arg-type]


def test_lines_go_from_nothing_to_all_of_them() -> None:
    timeline = timeline_of(counted(*((a_card(number), START + number + 3) for number in range(7))))
    assert timeline is not None
    submitted, completed, failed = timeline.lines
    assert [line.total for line in timeline.lines] == [7, 7, 0]
    for line in (submitted, completed):
        points = [(float(x), float(y)) for x, y in (point.split(",") for point in line.points.split())]
        assert points[0] == pytest.approx((0, HEIGHT))
        assert points[-1] == pytest.approx((WIDTH, HEIGHT * (1 - 7 / 10)), abs=0.1)
        assert points == sorted(points, key=lambda point: (point[0], -point[1]))
    assert (timeline.heights, timeline.moments[0], timeline.moments[-1]) == (["10", "5", "0"], "0 s", "9 s")
    assert (timeline.first, timeline.last) == ("2026-09-21 14:13:20", "2026-09-21 14:13:29")
    assert timeline.rows[0].counts == [1, 0, 0]
    assert timeline.rows[-1].counts == [7, 7, 0]
    assert failed.total == 0


def test_without_times_there_is_no_timeline() -> None:
    assert timeline_of(counted((Card("k", "open", "not sent"), None))) is None


def test_what_ended_at_a_time_nobody_knows_is_no_line_at_zero() -> None:
    timeline = timeline_of(counted(*((a_card(number), None) for number in range(7))))
    assert timeline is not None
    assert [line.name for line in timeline.lines] == ["submitted", "failed"]
    assert timeline.rows[-1].counts == [7, 0]


def test_all_in_one_moment_is_a_timeline_too() -> None:
    timeline = timeline_of(counted((a_card(0), START)))
    assert timeline is not None
    assert timeline.moments[-1] == "1 s"


@pytest.mark.parametrize(
    ("most", "top"), [(1, 2), (2, 2), (3, 4), (7, 10), (10, 20), (58, 60), (101, 200), (999, 1_000)]
)
def test_the_axis_ends_at_an_even_round_number(most: int, top: int) -> None:
    timeline = timeline_of(counted(*((a_card(number), None) for number in range(most))))
    assert timeline is not None
    assert timeline.heights[:2] == [f"{top:,}", f"{top // 2:,}"]


def test_the_longest_bar_is_full() -> None:
    bars = bars_of([("a", Sum(1, 40)), ("b", Sum(2, 10)), ("c", Sum(1, -3))])
    assert [(bar.name, bar.share) for bar in bars] == [("a", 100.0), ("b", 25.0), ("c", 0.0)]
    assert [bar.share for bar in bars_of([("a", Sum(1, 0))])] == [0.0]
    assert bars_of([]) == []


def test_tokens_are_summed_by_model_and_by_the_day_they_were_charged() -> None:
    day = 86_400
    totals = counted(
        (a_card(0, model="dear", tokens=26), START + day),
        (a_card(1, model="cheap", tokens=2), START + 5),
        (a_card(2, model="cheap", tokens=None), START + 6),
        (a_card(3, state="open", tokens=None), None),
        (a_card(4, state="open", at=None, tokens=None), None),
    )
    assert [(name, one.tokens, one.count) for name, one in totals.dearest(9)] == [
        ("dear", 26, 1),
        ("cheap", 2, 2),
        ("no model named", 0, 2),
    ]
    assert [(name, one.tokens, one.count) for name, one in totals.days(9)] == [
        ("2026-09-22", 26, 1),
        ("2026-09-21", 2, 3),
    ]
    assert (totals.total, totals.tokens, totals.unpriced) == (5, 28, 1)


def test_many_models_and_days_end_in_one_line_for_the_rest() -> None:
    totals = counted(*((a_card(n, model=f"m{n:04d}", at=START + n * 86_400), None) for n in range(1_005)))
    assert len(totals.by_model) == 1_001  # memory stays bounded
    assert totals.by_model["others"].count == 5
    names = [name for name, _ in totals.dearest(3)]
    assert names == ["others", "m0000", "999 others"]
    assert sum(one.count for _, one in totals.dearest(3)) == 1_005
    assert [name for name, _ in totals.days(2)][1] == "1,004 earlier"


def test_failures_are_grouped_by_their_reason() -> None:
    cards = [a_card(n, state="failed", tokens=0, reason="policy" if n % 3 else f"other {n}") for n in range(3_100)]
    totals = counted(*((card, START + 9) for card in cards))
    reasons = totals.reasons(2)
    assert [(reason, failure.count) for reason, failure in reasons] == [("policy", 2_066), ("Other reasons.", 35)]
    assert reasons[0][1].names == ["k1", "k2", "k4", "k5", "k7"]
    assert len(totals.failures) == 1_001
    assert len(totals.failed) == 3_100


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0 s"),
        (0, "0 s"),
        (0.04, "0 s"),
        (4.25, "4.2 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (80, "1 min 20 s"),
        (7_500, "2 h 5 min"),
        (86_400 * 1_234 + 7_300, "1,234 d 2 h"),
    ],
)
def test_durations_are_said_in_their_two_largest_units(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("length", "said"), [(0, "0 B"), (999, "999 B"), (34_400, "34 KB"), (1_250_000, "1.2 MB"), (3e9, "3.0 GB")]
)
def test_sizes(length: int, said: str) -> None:
    assert size(length) == said


def test_a_time_that_no_calendar_holds_is_where_it_ends() -> None:
    assert (moment(1e18).year, moment(-1e18).year) == (9999, 1)
    assert clock(START) == "2026-09-21 14:13:20"

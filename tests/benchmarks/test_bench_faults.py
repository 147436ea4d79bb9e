"""The benchmark of faults counts right: what is charged, what is delivered, what is raised."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from benchmarks import bench_faults
from benchmarks.bench_faults import CLIENTS, OURS, Came

pytestmark = pytest.mark.uncovered

COUNT = 12


def came(name: str, fault: str) -> Came:
    return bench_faults.measured(name, fault, COUNT, seed=1)


def test_ours_loses_and_doubles_nothing() -> None:
    for name in OURS:
        one = came(name, "reset-after-accept")
        assert (one.charges, one.twice, one.results, one.exceptions) == (COUNT, 0, COUNT, 0)


def test_a_loop_by_hand_pays_for_what_it_never_gets() -> None:
    one = came("httpx by hand", "reset-after-accept")
    assert (one.charges, one.twice) == (COUNT, 0)
    assert one.exceptions > 0
    assert one.results == COUNT - one.exceptions


def test_each_peer_buys_in_the_words_of_its_own_service() -> None:
    for name, (package, opened) in CLIENTS.items():
        if opened is not None and find_spec(package) is not None:
            one = came(name, "latency-jitter@GET /user/me")  # struck by nothing
            assert one == Came(COUNT, 0, COUNT, 0, COUNT), name


def test_the_table_and_the_rows_say_the_same() -> None:
    found = {("neuralbox", fault): Came(300, 0, 300, 0, 300) for fault in bench_faults.FAULTS}
    found["openai", bench_faults.FAULTS[0]] = Came(333, 33, 300, 0, 333)
    found |= {("openai", fault): Came(300, 0, 270, 30, 300) for fault in bench_faults.FAULTS[1:]}
    rows = bench_faults.rows_of(found, 300)
    assert [row.holds for row in rows] == [True] * len(bench_faults.FAULTS) + [None] * len(bench_faults.FAULTS)
    assert [row.value for row in rows][-len(bench_faults.FAULTS) :] == [66, *[60] * (len(bench_faults.FAULTS) - 1)]
    assert f"| {bench_faults.FAULTS[0]} | 300 / 300 / 0 | 333 / 300 / 0 |" in bench_faults.markdown(found)

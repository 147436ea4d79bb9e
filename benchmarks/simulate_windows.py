"""How many 429s do workers of one account meet that share a journal, and how long do they take to use a plan's hour?

A worker is a client with a time, an account and a limiter of its own, as a process has; all share one journal in a real PostgreSQL
and work on equal shares of the same videos in virtual time. The service lets 200 submissions an hour through and names what is left
in every answer; the database's clock is the virtual one where the windows are concerned. `--alone` leaves the parts out: each
worker heeds the windows as if it were the only one, as it was before.

    python -m benchmarks.simulate_windows [--jobs 320] [--limit 200] [--workers 1 2 8 16] [--alone]
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from benchmarks.simulate_keeper import run_all
from neuralbox._batch.run_places import RunPlaces
from neuralbox._config import Polling
from neuralbox._journal.postgres import allotments
from tests.batch.support import hold_for_journals
from tests.postgres import PostgresServer
from tests.service import Plan, Service

HOUR = 300.0
"""An hour of the service, which is shorter so that less happens in it that has nothing to do with the windows."""


def a_service(*, limit: int = 200, seconds: float = 60.0) -> Service:
    """Return one that lets so many submissions an hour through, and answers each after a while."""
    plan = Plan(hourly=limit, length=HOUR)
    return Service(latency=0.0, holds=0.2, seconds=seconds, price=4, tokens=None, traces=False, plan=plan)


def by_hour(service: Service) -> tuple[int, ...]:
    """Count what was let through, by hour."""
    return tuple(Counter(at // service.plan.length for at in service.plan.taken).values())


@contextmanager
def one_clock(world: Service) -> Iterator[None]:
    """Let the database go by the virtual time, which stands still while it is asked."""
    windows_of = allotments._windows

    def windows(row: Any) -> Any:
        return windows_of((world.time.now(), *row[1:]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(allotments, "_windows", windows)
        hold_for_journals(world.time, patch)
        yield


@dataclass(frozen=True)
class Row:
    """What came of it."""

    workers: int
    refused: int
    let_through: tuple[int, ...]
    seconds: float
    charged: int
    different: int


def simulate(server: PostgresServer, workers: int, jobs: int, *, limit: int = 200) -> Row:
    """Run so many jobs on so many workers, and count."""
    world, ids = a_service(limit=limit), set[Any]()
    server.empty()
    with one_clock(world):
        run_all(world, server.url(), jobs, workers, Polling(), ids.add)
    return Row(workers, world.plan.refused, by_hour(world), round(world.time.elapsed), len(world.ledger), len(ids))


def _let_go(places: RunPlaces) -> None:
    """Begin nothing: each worker heeds the windows by itself."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=320)
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 8, 16])
    parser.add_argument("--alone", action="store_true")
    given = parser.parse_args()
    if given.alone:
        RunPlaces.begin = _let_go  # type: ignore[method-assign, assignment]
    with PostgresServer() as server:
        for workers in given.workers:
            print(simulate(server, workers, given.jobs, limit=given.limit), flush=True)


if __name__ == "__main__":
    main()

"""Requests that are planned in a shared journal: their keys, who takes them, and two who plan at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import psycopg
import pytest

from neuralbox._batch.outcome import BatchOutcome
from neuralbox._batch.planning import plan, plan_all
from neuralbox._errors import ConfigurationError, JournalError
from neuralbox._journal import read_summary
from neuralbox._journal.postgres import reading
from neuralbox._report import write_batch_report
from neuralbox._requests.requests import ImageRequest, VideoRequest

from ..helpers import one_loop
from ..journal.workers import wait_until
from ..postgres import PostgresServer
from ..service import Service
from .workers import BASE_URL, outcomes_of, videos, worker

pytestmark = pytest.mark.anyio


async def test_requests_in_a_shared_journal_have_keys(world: Service, place: str) -> None:
    requests = [ImageRequest(model="flux-1.1-pro", prompt="no key"), *videos("a")]
    found = await outcomes_of(worker(world), requests, place)
    assert "needs a `key` of its own" in str(found["000001"].error)
    assert found["a/0"].ok


async def test_a_key_that_a_database_cannot_look_up_is_an_outcome_and_the_others_go_on(
    world: Service, place: str
) -> None:
    long, whole = (replace(videos("same")[0], key="k" * size) for size in (2_001, 2_000))
    found = await outcomes_of(worker(world), [long, *videos("other"), whole], place)
    assert "has at most 2,000 bytes; this one has 2,001" in str(found["k" * 2_001].error)
    assert [outcome.ok for outcome in found.values()].count(True) == 2


@one_loop
@pytest.mark.usefixtures("_who_meet")
async def test_workers_without_requests_take_what_was_planned(world: Service, place: str, tmp_path: Path) -> None:
    found = list[dict[str, BatchOutcome]]()
    assert plan(place, videos(*"abcdefgh"), service=BASE_URL, now=world.time.now()) == (8, 0)
    with pytest.raises(ConfigurationError, match="needs a `key` of its own"):
        plan(place, [VideoRequest(model="kling-v2.1", prompt="x")], service=BASE_URL, now=0.0)

    async def work(number: int) -> None:
        found.append(await outcomes_of(worker(world, number), None, place, max_in_flight=2, download_to=tmp_path))

    async with anyio.create_task_group() as group:
        group.start_soon(work, 0)
        group.start_soon(work, 1)
    assert sorted(key for each in found for key in each) == sorted(request.key or "" for request in videos(*"abcdefgh"))
    assert len(world.ledger) == 8
    assert read_summary(place).saved == 8
    assert write_batch_report(place, tmp_path / "page.html").exists()


async def test_planning_that_is_cancelled_reads_no_further(
    world: Service, place: str, postgres: PostgresServer
) -> None:
    with anyio.CancelScope() as scope:

        def endless() -> Iterator[VideoRequest]:
            for number in itertools.count():
                if number == 10:
                    anyio.from_thread.run_sync(scope.cancel)
                yield VideoRequest(model="kling-v2.1", prompt="a wave", key=f"{number}")

        await plan_all(worker(world), place, endless())
    assert scope.cancelled_caught
    connected = "SELECT count(*)::int FROM pg_stat_activity WHERE application_name = 'neuralbox'"
    await wait_until(
        lambda: postgres.execute(connected) == [(0,)]
    )  # its thread writes into the next test's tables else


@one_loop
async def test_two_who_plan_the_same_at_once_go_one_after_the_other(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries, plan_page = list[int](), reading._plan_page

    def in_the_way(*arguments: Any) -> int:
        tries.append(1)
        if len(tries) < least:
            raise psycopg.errors.DeadlockDetected("each waits for the other")
        return plan_page(*arguments)

    monkeypatch.setattr(reading, "_plan_page", in_the_way)
    least = 3
    assert plan(place, videos("a", "b"), service=BASE_URL, now=0.0) == (2, 0)
    tries.clear()
    least = 1_000
    with pytest.raises(JournalError, match="cannot be used"):
        plan(place, videos("a"), service=BASE_URL, now=0.0)

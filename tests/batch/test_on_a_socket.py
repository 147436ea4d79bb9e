"""Batches against the sandbox on a real socket: faults, files, a journal, and a run that is cancelled and continued."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from neuralbox._batch.outcome import BatchOutcome
from neuralbox._batch.resource import Batches
from neuralbox._client import AsyncNeuralBox
from neuralbox._config import Polling
from neuralbox._submissions import matching
from neuralbox._submissions.registry import SettlePolicy, registry_of
from neuralbox.sandbox import Sandbox, Server, serve

pytestmark = [pytest.mark.anyio, pytest.mark.uncovered]


@pytest.fixture(autouse=True)
def _journals_on_the_loop() -> None:
    """Here they have their threads."""


@pytest.fixture(autouse=True)
def _a_second_in_place_of_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a program take itself for the only one on its account after a second: no other begins together with a test."""
    monkeypatch.setattr(matching, "SETTLE", 1.0)


FAST = Polling(timeout=30, min_interval=0.02, max_interval=0.1)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(Sandbox(speed=2_000)) as served:
        yield served


@pytest.fixture
def nb(server: Server) -> Iterator[AsyncNeuralBox]:
    server.sandbox.faults.clear()
    yield AsyncNeuralBox(api_key=f"nb_test_{uuid.uuid4().hex}", base_url=server.url, polling=FAST)
    server.sandbox.faults.clear()


def a_home(nb: AsyncNeuralBox) -> Batches:
    registry_of(nb._core).settling = SettlePolicy(base=0.5, longest=0.5)
    return Batches(nb._core)


def mixed(count: int) -> list[dict[str, Any]]:
    kinds = [
        {"kind": "video", "model": "kling-v2.1"},
        {"kind": "image", "model": "flux-1.1-pro"},
        {"kind": "text", "model": "gpt-5"},
    ]
    return [{**kinds[at % 3], "prompt": f"number {at}", "key": f"k{at}"} for at in range(count)]


async def spent(nb: AsyncNeuralBox) -> tuple[int, int]:
    """How many generations the account has, and how many tokens they took."""
    items = [item async for item in nb.history.list(page_size=100)]
    return len(items), sum(item.tokens or 0 for item in items)


async def test_a_batch_with_files_and_a_journal(nb: AsyncNeuralBox, tmp_path: Path) -> None:
    home, found = a_home(nb), dict[str, BatchOutcome]()
    options: dict[str, Any] = {"journal": tmp_path / "run.sqlite", "download_to": tmp_path / "out", "budget": 10_000}
    async with nb:
        estimate = await home.estimate(mixed(30))
        async with home(mixed(30), **options) as run:
            async for outcome in run:
                found[outcome.key] = outcome
        assert all(outcome.ok for outcome in found.values())
        assert sum(outcome.tokens or 0 for outcome in found.values()) == estimate.tokens
        assert await spent(nb) == (30, estimate.tokens)
        for outcome in found.values():
            assert (outcome.path is None) == (outcome.job is not None and outcome.job.kind == "text")
            assert outcome.price == outcome.tokens
        async with home(mixed(30), **options) as run:
            assert sorted([outcome.key async for outcome in run if outcome.resumed]) == sorted(found)
        assert (await spent(nb))[0] == 30


@pytest.mark.parametrize("fault", ["drop-after-accept", "drop-before-accept"])
async def test_lost_answers_are_charged_once_and_delivered(nb: AsyncNeuralBox, server: Server, fault: str) -> None:
    home = a_home(nb)
    async with nb:
        server.sandbox.faults.set(fault, 0.15)
        async with home(mixed(60)) as run:
            found = [outcome async for outcome in run]
        server.sandbox.faults.clear()
        assert [repr(outcome.error) for outcome in found if not outcome.ok] == []
        assert len(found) == 60
        assert (await spent(nb))[0] == 60


async def test_a_run_that_is_cancelled_is_continued(nb: AsyncNeuralBox, tmp_path: Path) -> None:
    home, path, seen = a_home(nb), tmp_path / "run.sqlite", set[str]()
    async with nb:
        for moment in (0.01, 0.03, 0.06, 0.12):
            with anyio.move_on_after(moment):
                async with home(mixed(40), journal=path, max_in_flight=16) as run:
                    async for outcome in run:
                        assert outcome.ok
                        seen.add(outcome.key)
        async with home(mixed(40), journal=path) as run:
            found = {outcome.key: outcome async for outcome in run}
        assert [repr(outcome.error) for outcome in found.values() if not outcome.ok] == []
        assert len(found) == 40
        assert seen <= found.keys()
        assert (await spent(nb))[0] == 40

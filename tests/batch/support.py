"""What the tests of batches begin with: a service whose reads take no time, batches of a client that asks it often, requests, journals."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from anyio.lowlevel import checkpoint

from neuralbox._batch.batch import Batch
from neuralbox._batch.journal_records import outcome_record
from neuralbox._batch.outcome import BatchOutcome
from neuralbox._batch.resource import Batches
from neuralbox._config import Polling
from neuralbox._core.exchange import Core
from neuralbox._journal import Journal, PlannedRequest, group_commit, open_account_journal, opening
from neuralbox._journal.group_commit import CommitItem, GroupCommit
from neuralbox._models.generation import Generation
from neuralbox._requests.requests import BatchRequest, ImageRequest, VideoRequest
from neuralbox._submissions.claim import claim_of
from neuralbox.testing import VirtualTime

from ..helpers import KEY
from ..service import Service

T = TypeVar("T")

USUAL: Mapping[str, Any] = {"latency": 0.0, "seconds": 20.0, "price": 4, "tokens": None, "traces": False}


def a_service(**how: Any) -> Service:
    return Service(**{**USUAL, **how})


def core_of(service: Service, **options: Any) -> Core:
    polling = Polling(min_interval=1.0, max_interval=5.0)
    return service.core(**{"key": KEY, "draw_seed": True, "polling": polling, **options})


def batches(service: Service, **options: Any) -> Batches:
    return Batches(core_of(service, **options))


def hold_for_journals(time: VirtualTime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a clock stand still while a journal's thread works: that takes real time, which is none by the clock."""
    commit, enter = GroupCommit.commit, opening._open

    async def held(commits: GroupCommit, item: CommitItem) -> None:
        with time.busy():
            await commit(commits, item)

    async def entered(act: Callable[[], Any]) -> Any:
        with time.busy():
            return await enter(act)

    monkeypatch.setattr(GroupCommit, "commit", held)
    monkeypatch.setattr(opening, "_open", entered)


class _NoThreads:
    @staticmethod
    async def run_sync(act: Callable[[], T], **_: Any) -> T:
        await checkpoint()  # others go on while a thread works
        return act()


def keep_journals_on_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a journal's work done where it is asked for: in half of the time, and in the same order in every run.

    A virtual clock would run away from a thread (see `hold_for_journals`), and what several workers want of a database
    would be done in one order or another.
    """
    monkeypatch.setattr(group_commit, "to_thread", _NoThreads)
    monkeypatch.setattr(opening, "to_thread", _NoThreads)


def images(count: int) -> list[ImageRequest]:
    return [ImageRequest(model="flux-1.1-pro", prompt=f"picture {number}") for number in range(1, count + 1)]


def videos(count: int) -> list[VideoRequest]:
    return [VideoRequest(model="kling-v2.1", prompt=f"film {number}") for number in range(1, count + 1)]


async def run_through(batch: Batch, found: list[BatchOutcome]) -> None:
    """Run a batch to its end, whichever that is."""
    async with batch as run:
        async for outcome in run:
            found += [outcome]


async def outcomes_of(batch: Batch) -> dict[str, BatchOutcome]:
    """The outcomes of a batch by key."""
    found: list[BatchOutcome] = []
    await run_through(batch, found)
    assert len({outcome.key for outcome in found}) == len(found)
    return {outcome.key: outcome for outcome in found}


@asynccontextmanager
async def journal_of(core: Core, path: Path) -> AsyncIterator[Journal]:
    """A journal in the hands of the test."""
    journal = await open_account_journal(core, path)
    try:
        yield journal
    finally:
        await journal.aclose()


async def write(
    world: Service, path: Path, states: Sequence[tuple[str, BatchRequest, str]], *, offset: float | None = 0.0
) -> None:
    """Leave a journal behind as a run that was killed would: one record for each key, request and state.

    States: `planned`, `sending` (never accepted), `charged` (accepted, and the answer lost), `accepted`, `final`,
    `failed`.
    """
    core = core_of(world)
    async with journal_of(core, path) as journal:
        for key, request, state in states:
            record = {name: value for name, value in request.to_dict().items() if name != "key"}
            await journal.plan([PlannedRequest(key, record)])
            if state == "planned":
                continue
            wire = request.build(core.options.dialect)
            claim = claim_of(wire, None, key=f"claim-{key}", kind=request.kind, model=request.model)
            await journal.sending(key, {**claim.to_dict(), "sent_at": world.time.now(), "server_offset": offset})
            if state == "sending":
                continue
            asked = {"model": request.model, "prompt": getattr(request, "prompt", "")}
            made = world.make(asked, fails=state == "failed")
            made.seconds = 0.0
            if state == "charged":
                continue
            await journal.accepted(key, id=made.id, kind=request.kind, model=request.model)
            if state in ("final", "failed"):
                await journal.final(key, outcome_record(Generation.read(world.record(made), kind=request.kind)))

"""Requests that do not fit their journal: changed ones, keys given twice, what no journal can hold, another account."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from neuralbox._batch.outcome import BatchOutcome
from neuralbox._batch.resource import Batches
from neuralbox._core.credentials import Session
from neuralbox._core.exchange import Core
from neuralbox._errors import JournalError
from neuralbox._journal import PlannedRequest
from neuralbox._journal.grouped import GroupedJournal
from neuralbox._requests.requests import ImageRequest

from .support import a_service, batches, core_of, images, outcomes_of, run_through

pytestmark = pytest.mark.anyio


async def test_changed_requests_are_refused_with_the_difference_named(path: Path) -> None:
    world = a_service()
    await outcomes_of(batches(world)(images(3), journal=path))
    changed = [*images(2), ImageRequest(model="flux-1.1-pro", prompt="another", seed=1)]
    found: list[BatchOutcome] = []
    with pytest.raises(JournalError, match=r"differs in prompt, seed") as caught:
        await run_through(batches(world)(changed, journal=path), found)
    assert caught.value.key == "000003"
    assert len(world.posts) == 3


async def test_a_changed_request_behind_a_key_given_twice(path: Path) -> None:
    world = a_service()
    await outcomes_of(batches(world)([ImageRequest(model="flux-1.1-pro", prompt="x", key="c")], journal=path))
    requests = [ImageRequest(model="flux-1.1-pro", prompt=f"{at}", key=key) for at, key in enumerate("abac")]
    found: list[BatchOutcome] = []
    with pytest.raises(JournalError, match="differs in prompt"):
        await run_through(batches(world)(requests, journal=path), found)
    assert [(outcome.key, outcome.ok) for outcome in found] == [("a", False)]
    assert len(world.posts) == 1


async def test_a_page_with_a_key_given_twice_and_a_changed_request(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = iter(["duplicate", "duplicate", "changed"])

    async def plan(self: GroupedJournal, entries: Sequence[PlannedRequest]) -> None:
        raise JournalError(f"No {len(entries)}.", reason=next(reasons))

    monkeypatch.setattr(GroupedJournal, "plan", plan)
    found: list[BatchOutcome] = []
    with pytest.raises(JournalError) as caught:
        await run_through(batches(a_service())(images(3), journal=path), found)
    assert caught.value.reason == "changed"
    assert [outcome.key for outcome in found] == ["000001"]


async def test_a_key_given_twice_is_known_by_the_journal(path: Path) -> None:
    world = a_service()
    requests = [ImageRequest(model="flux-1.1-pro", prompt=f"{at}", key=key) for at, key in enumerate("aba")]
    found: list[BatchOutcome] = []
    await run_through(batches(world)(requests, journal=path, max_in_flight=2), found)
    assert sorted((outcome.key, outcome.ok) for outcome in found) == [("a", False), ("a", True), ("b", True)]
    assert len(world.posts) == 2


async def test_what_a_journal_cannot_hold_is_an_outcome(path: Path) -> None:
    world = a_service()
    requests: list[Any] = [
        {"kind": "transcription", "audio": b"sound", "file_name": "a.mp3"},
        {"model": "x", "prompt": "y", "params": {"z": {1, 2}}},
        ImageRequest(model="x", prompt="y", key="a\0b"),
    ]
    found = await outcomes_of(batches(world)(requests, journal=path))
    assert "given as bytes" in str(found["000001"].error)
    assert "JSON" in str(found["000002"].error)
    assert "cannot be a key" in str(found["a\0b"].error)
    assert len(world.posts) == 0


async def test_a_journal_of_another_account_is_refused_before_anything_is_read(path: Path) -> None:
    world = a_service()
    await outcomes_of(batches(world)(images(1), journal=path))
    core = Core(world, core_of(world).options, Session("token"), world.time.time_source)
    with pytest.raises(JournalError, match="account"):
        await outcomes_of(Batches(core)(images(1), journal=path))
    assert len(world.posts) == 1

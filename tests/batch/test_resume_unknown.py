"""What became of requests whose answers an earlier run never had: found, proven absent and sent again, or left unknown."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from neuralbox._errors import SubmissionUnknownError
from neuralbox._journal import read_summary
from neuralbox._journal.grouped import GroupedJournal
from neuralbox._requests.requests import ImageRequest, VideoRequest
from neuralbox._result_cache import ResultCache
from neuralbox._submissions.owned import HIDDEN_FOR
from neuralbox._submissions.registry import LISTED_BY

from ..helpers import dear, refusal
from .support import a_service, batches, hold_for_journals, images, outcomes_of, write

pytestmark = pytest.mark.anyio


async def test_of_what_may_have_been_paid_for_the_history_tells_and_not_the_cache(path: Path, tmp_path: Path) -> None:
    """A result that was bought before would hide the one that was charged since."""
    world = a_service()
    request = ImageRequest(model="flux-1.1-pro", prompt="charged one", key="k")
    with contextlib.closing(ResultCache(tmp_path / "c.sqlite")) as cache:
        bought = (await outcomes_of(batches(world, cache=cache)([request])))["k"].generation
        world.time.elapsed += 600.0
        await write(world, path, [("k", request, "charged")])
        found = (await outcomes_of(batches(world, cache=cache)([request], journal=path, wait_timeout=None)))["k"]
    assert bought is not None
    assert found.generation is not None
    assert found.generation.id != bought.id
    assert world.charges == {"charged one": 2}


async def test_two_estimates_of_the_services_clock_do_not_leave_a_claim_unsettled(path: Path) -> None:
    world = a_service()
    states = ["final", "sending", "charged"]
    old = [(state, ImageRequest(model="flux-1.1-pro", prompt=f"{state} one"), state) for state in states]
    await write(world, path, old, offset=1.5)
    world.time.elapsed += LISTED_BY + 60.0
    found = await outcomes_of(batches(world)(None, journal=path))
    assert [repr(outcome.error) for outcome in found.values() if not outcome.ok] == []
    assert len(world.posts) == 1


async def test_the_first_wave_of_a_batch_knows_the_services_clock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a killed run's first requests could not be proven absent under a clock that was set since."""
    whole, offsets = GroupedJournal.sending, []

    async def sending(self: GroupedJournal, key: str, claim: Mapping[str, Any], **how: Any) -> None:
        offsets.append(claim["server_offset"])
        await whole(self, key, claim, **how)

    monkeypatch.setattr(GroupedJournal, "sending", sending)
    await outcomes_of(batches(a_service())(images(64), journal=path))
    assert len(offsets) == 64
    assert None not in offsets


@pytest.mark.parametrize("states", [["final", "sending"], ["final", "charged", "planned"]])
async def test_a_first_wave_without_the_services_clock_is_found_or_stays_unknown(
    path: Path, states: Sequence[str]
) -> None:
    world = a_service()
    old = [(state, ImageRequest(model="flux-1.1-pro", prompt=f"{state} one"), state) for state in states]
    await write(world, path, old, offset=None)
    found = await outcomes_of(batches(world)(None, journal=path))
    assert {key for key, outcome in found.items() if not outcome.ok} == {"sending"} & set(states)
    assert world.charges["sending one"] == 0
    assert set(world.charges.values()) <= {0, 1}


@dear
async def test_what_the_journal_owned_long_ago_is_not_taken_for_one_sent_nobody_knows_when(path: Path) -> None:
    world = a_service()
    twin = ImageRequest(model="flux-1.1-pro", prompt="a fox")
    await write(world, path, [("earlier", twin, "final")])
    await world.time.sleep(86_400.0)
    many = range(300)  # more than are named with their prompts
    await write(world, path, [(f"{at}", ImageRequest(model="flux-1.1-pro", prompt=f"{at}"), "final") for at in many])
    await write(world, path, [("unknown", twin, "charged")], offset=None)
    found = await outcomes_of(batches(world)(None, journal=path))
    assert found["unknown"].job is not None
    assert found["unknown"].job.id == 18_301


async def test_one_that_was_proven_absent_is_not_searched_for_again_when_the_limits_make_it_wait(path: Path) -> None:
    walks: list[int] = []  # how many POSTs there were at each
    limited = refusal(429, "rate_limit_exceeded", retry_after="3600")
    world = a_service(ends=lambda number, body: limited if number in (1, 2) else "answered")
    world.listing.fails = lambda number, now: walks.append(len(world.posts))
    old = [(state, ImageRequest(model="flux-1.1-pro", prompt=f"{state} one"), state) for state in ("final", "sending")]
    await write(world, path, old)
    world.time.elapsed += LISTED_BY + 60.0
    found = await outcomes_of(batches(world)(None, journal=path))
    assert found["sending"].ok
    assert (len(world.posts), world.charges["sending one"]) == (3, 1)
    assert set(walks) == {0}


async def test_leaving_early_waits_for_the_id_of_one_that_was_proven_absent_and_sent_again(path: Path) -> None:
    world = a_service(holds=2.0, seconds=1e9)
    old = [
        ("final", VideoRequest(model="kling-v2.1", prompt="final one"), "final"),
        ("sending", VideoRequest(model="kling-v2.1", prompt="sending one"), "sending"),
    ]
    await write(world, path, old)
    world.time.elapsed += LISTED_BY + 60.0
    async with batches(world)(None, journal=path) as run:
        while len(world.posts) == 0:
            await anyio.lowlevel.checkpoint()
    assert len(run.unfinished) == 1
    assert (await anyio.to_thread.run_sync(read_summary, path)).accepted == 1


async def test_a_request_that_left_long_after_it_was_written_down_is_found(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = GroupedJournal.sending

    async def sending(self: GroupedJournal, *args: Any, **how: Any) -> None:
        await whole(self, *args, **how)
        world.time.elapsed += 1_000.0  # a machine that sleeps, a queue before the connection

    world = a_service(ends=lambda number, body: "dropped after" if number == 2 else "answered")
    with monkeypatch.context() as patch:
        patch.setattr(GroupedJournal, "sending", sending)
        first = await outcomes_of(batches(world, submission="raise")(images(2), journal=path, max_sending=1))
    assert isinstance(first["000002"].error, SubmissionUnknownError)
    other = a_service(time=world.time, ledger=world.ledger)  # as another process would see it
    second = await outcomes_of(batches(other)(images(2), journal=path))
    assert all(outcome.ok for outcome in second.values())
    assert (len(world.posts), len(other.posts)) == (2, 0)


async def test_an_unknown_one_that_stays_unknown_is_delivered_once_and_kept(path: Path) -> None:
    world = a_service()
    request = ImageRequest(model="flux-1.1-pro", prompt="sending one")
    await write(world, path, [("sending", request, "sending")])
    found = await outcomes_of(batches(world, submission="raise")([], journal=path))
    assert isinstance(found["sending"].error, SubmissionUnknownError)
    assert len(world.posts) == 0
    assert (await anyio.to_thread.run_sync(read_summary, path)).sending == 1


async def test_a_new_request_finds_a_way_past_what_is_looked_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If nothing were accepted after them, what became of these would stay unknown."""
    world = a_service(holds=1.0)
    hold_for_journals(world.time, monkeypatch)
    lost = [(f"lost {at}", ImageRequest(model="flux-1.1-pro", prompt=f"lost {at}"), "sending") for at in range(4)]
    await write(world, path, lost)
    began = world.time.elapsed
    requests: list[Any] = [*({"key": key, **request.to_dict()} for key, request, _ in lost), *images(3)]

    found = await outcomes_of(batches(world)(requests, journal=path, max_in_flight=4, max_sending=4))
    assert [repr(outcome.error) for outcome in found.values() if not outcome.ok] == []
    assert len(world.posts) == 7
    assert world.time.elapsed - began < HIDDEN_FOR

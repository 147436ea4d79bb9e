"""The same call with the same journal continues: nothing is bought twice, nothing paid is lost, every key is seen."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from neuralbox._batch.journal_records import outcome_record
from neuralbox._batch.outcome import BatchOutcome
from neuralbox._batch.resource import Batches
from neuralbox._errors import ConfigurationError, GenerationFailedError, GenerationTimeoutError, ProtocolError
from neuralbox._journal import PlannedRequest, read_summary
from neuralbox._models.generation import Generation
from neuralbox._requests.requests import BatchRequest, ImageRequest, TextRequest

from ..helpers import reply
from .support import a_service, batches, core_of, images, journal_of, outcomes_of, videos, write

pytestmark = pytest.mark.anyio


async def test_a_run_that_was_left_is_continued(path: Path) -> None:
    world = a_service()
    requests = [*images(10), *videos(10)]
    first: list[BatchOutcome] = []
    async with batches(world)(requests, journal=path, wait_timeout=None, max_in_flight=12) as run:
        async for outcome in run:
            first.append(outcome)
            if len(first) == 5:
                break
    second = await outcomes_of(batches(world)(requests, journal=path, wait_timeout=None))
    assert sorted(second) == [f"{number:06d}" for number in range(1, 21)]
    assert all(outcome.ok for outcome in second.values())
    assert all(second[outcome.key].resumed for outcome in first)
    assert set(world.charges.values()) == {1}
    assert len(world.ledger) == 20


async def test_a_cancelled_run_is_continued(path: Path) -> None:
    world = a_service(holds=1.0, seconds=1e9)
    requests = videos(10)

    async def forever() -> None:
        async with batches(world)(requests, journal=path, max_sending=2, wait_timeout=None) as run:
            async for _ in run:
                pytest.fail("none can have ended")

    async with anyio.create_task_group() as group:
        group.start_soon(forever)
        while len(world.ledger) < 5:
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert world.selling == 0
    world.seconds = 0
    for made in world.ledger:
        made.seconds = 0
    second = await outcomes_of(batches(world)(requests, journal=path, wait_timeout=None))
    assert len(second) == 10
    assert all(outcome.ok for outcome in second.values())
    assert set(world.charges.values()) == {1}
    assert len(world.ledger) == 10


async def test_what_has_ended_is_delivered_again_as_it_was(path: Path) -> None:
    world = a_service(ends=lambda number, body: "failed" if number == 2 else "answered")
    requests: list[BatchRequest] = [TextRequest(model="gpt-5", prompt="a", key="a"), *images(2)]
    first = await outcomes_of(batches(world)(requests, journal=path, max_sending=1))
    posts = len(world.posts)
    second = await outcomes_of(batches(world)(requests, journal=path))
    assert len(world.posts) == posts
    for key, outcome in second.items():
        before = first[key]
        assert outcome.resumed
        assert not before.resumed
        assert (outcome.ok, outcome.job, outcome.tokens, outcome.request) == (
            before.ok,
            before.job,
            before.tokens,
            before.request,
        )
    assert second["a"].generation is not None
    assert second["a"].generation.text == "An answer to a"
    assert isinstance(second["000002"].error, GenerationFailedError)


async def test_each_state_goes_on_from_where_it_stands(path: Path) -> None:
    world = a_service()
    names = ["planned", "sending", "charged", "accepted", "final", "failed"]
    requests = [ImageRequest(model="flux-1.1-pro", prompt=f"{name} one", key=name) for name in names]
    await write(world, path, [(name, request, name) for name, request in zip(names, requests, strict=True)])
    found = await outcomes_of(batches(world)(requests, journal=path, wait_timeout=None))
    assert {key: outcome.ok for key, outcome in found.items()} == {name: name != "failed" for name in names}
    assert {key for key, outcome in found.items() if outcome.resumed} == {"final", "failed"}
    assert len(world.posts) == 2
    assert world.charges == {f"{name} one": 1 for name in names if name != "failed"}


async def test_what_failed_is_sent_again_on_request(path: Path) -> None:
    world = a_service(ends=lambda number, body: "failed" if number == 1 else "answered")
    requests = images(2)
    await outcomes_of(batches(world)(requests, journal=path, max_sending=1))
    second = await outcomes_of(batches(world)(requests, journal=path, retry_failed=True))
    assert all(outcome.ok for outcome in second.values())
    assert {key: outcome.resumed for key, outcome in second.items()} == {"000001": False, "000002": True}
    third = await outcomes_of(batches(world)(requests, journal=path, retry_failed=True))
    assert all(outcome.resumed and outcome.ok for outcome in third.values())
    assert len(world.posts) == 3


@pytest.mark.parametrize("gap", [2.0, 50.0])
async def test_what_failed_a_moment_ago_is_no_strangers_when_it_is_sent_again_and_the_answer_is_lost(
    path: Path, gap: float
) -> None:
    world = a_service(seconds=5.0, apart=True)  # each run is another process
    world.end_with("failed", "dropped after")
    requests = videos(2)
    first = await outcomes_of(batches(world)(requests[:1], journal=path))
    assert not first["000001"].ok
    await world.time.sleep(gap)
    again = await outcomes_of(batches(world)(requests, journal=path, retry_failed=True))
    assert [outcome.ok for outcome in again.values()] == [True, True]
    assert len(world.posts) == 3


async def test_what_the_list_does_not_name_any_more_is_finished_and_never_bought(path: Path) -> None:
    world = a_service()
    states = ["planned", "sending", "charged", "accepted", "final"]
    old = [(state, ImageRequest(model="flux-1.1-pro", prompt=f"{state} one"), state) for state in states]
    await write(world, path, old)
    found = await outcomes_of(batches(world)(images(1), journal=path, wait_timeout=None))
    assert set(found) == {"000001", "sending", "charged", "accepted"}
    assert all(outcome.ok for outcome in found.values())
    assert found["accepted"].request == ImageRequest(model="flux-1.1-pro", prompt="accepted one")
    assert world.charges == {"picture 1": 1, "sending one": 1, "charged one": 1, "accepted one": 1, "final one": 1}


async def test_without_a_list_everything_the_journal_has_not_ended_is_done(path: Path, tmp_path: Path) -> None:
    world = a_service()
    states = ["planned", "sending", "charged", "accepted", "final", "failed"]
    old = [(state, ImageRequest(model="flux-1.1-pro", prompt=f"{state} one"), state) for state in states]
    await write(world, path, old)
    found = await outcomes_of(batches(world)(None, journal=path, wait_timeout=None))
    assert set(found) == {"planned", "sending", "charged", "accepted"}
    assert all(outcome.ok for outcome in found.values())
    out = tmp_path / "out"
    saved = await outcomes_of(batches(world)(None, journal=path, download_to=out))
    assert set(saved) == {"planned", "sending", "charged", "accepted", "final"}
    assert all(outcome.path is not None for outcome in saved.values())
    assert await outcomes_of(batches(world)(None, journal=path, download_to=out, max_in_flight=1)) == {}
    tried = await outcomes_of(batches(world)(None, journal=path, download_to=out, retry_failed=True))
    assert set(tried) == {"failed"}
    assert tried["failed"].ok


async def test_records_that_come_up_while_the_list_is_worked_on_are_delivered_once(path: Path) -> None:
    world = a_service(seconds=1e9)
    requests = videos(3)
    found = await outcomes_of(batches(world)(requests, journal=path, wait_timeout=10, max_in_flight=2))
    assert all(isinstance(outcome.error, GenerationTimeoutError) for outcome in found.values())
    assert len(found) == 3
    world.seconds = 0
    for made in world.ledger:
        made.seconds = 0
    second = await outcomes_of(batches(world)(requests, journal=path))
    assert all(outcome.ok for outcome in second.values())
    assert len(world.posts) == 3


async def test_a_run_may_end_while_the_rest_of_the_journal_is_read(path: Path) -> None:
    world = a_service(seconds=0)
    old = [(f"{n}", ImageRequest(model="flux-1.1-pro", prompt=f"{n} one"), "accepted") for n in range(5)]
    await write(world, path, old)
    async with batches(world)([], journal=path, max_in_flight=1, wait_timeout=None) as run:
        async for _ in run:
            break
    assert len(await outcomes_of(batches(world)(None, journal=path))) >= 4
    final = [(f"f{n}", ImageRequest(model="flux-1.1-pro", prompt=f"{n} two"), "final") for n in range(3)]
    await write(world, path, final)
    async with batches(world)(None, journal=path, max_in_flight=1, download_to=path.parent) as run:
        async for _ in run:
            break


async def test_a_record_of_a_version_that_knew_more(path: Path) -> None:
    world = a_service()
    core = core_of(world)
    world.make({"model": "x", "prompt": "later one"})
    ours = world.make({"model": "flux-1.1-pro", "prompt": "ours"})
    async with journal_of(core, path) as journal:
        later = {"kind": "hologram", "prompt": "later"}
        await journal.plan(
            [
                PlannedRequest("paid", later),
                PlannedRequest("unknown", later),
                PlannedRequest("ours", images(1)[0].to_dict()),
            ]
        )
        await journal.accepted("paid", id=18_000)
        await journal.sending("unknown", {"key": "x"})
        await journal.accepted("ours", id=18_001)
        await journal.final("ours", outcome_record(Generation.read(world.record(ours))))
    found = await outcomes_of(Batches(core)([], journal=path, budget=100))
    assert found["paid"].ok
    assert found["paid"].request == {"kind": "hologram", "prompt": "later"}
    assert isinstance(found["unknown"].error, ConfigurationError)


async def test_a_result_without_an_id_is_known_to_the_journal(path: Path) -> None:
    world = a_service(ends=lambda number, body: reply(200, {"content": "words"}))
    request = TextRequest(model="gpt-5", prompt="a")
    first = await outcomes_of(batches(world)([request], journal=path))
    second = await outcomes_of(batches(world)([request], journal=path))
    for found in (first, second):
        assert found["000001"].generation is not None
        assert found["000001"].generation.text == "words"
        assert found["000001"].job is None
    core = core_of(world)
    other = path.with_name("other.sqlite")
    async with journal_of(core, other) as journal:
        await journal.plan([PlannedRequest("000001", request.to_dict())])
        await journal.accepted("000001", id="")
    lost = await outcomes_of(Batches(core)([request], journal=other))
    assert isinstance(lost["000001"].error, ProtocolError)


async def test_the_journal_holds_prompts_in_one_place_and_no_key(path: Path) -> None:
    world = a_service(ends=lambda number, body: "dropped after" if number == 2 else "answered")
    await outcomes_of(batches(world)(images(3), journal=path))
    summary = await anyio.to_thread.run_sync(read_summary, path)
    assert (summary.total, summary.unfinished, summary.completed, summary.tokens) == (3, 0, 3, 12)
    content = await anyio.Path(path).read_bytes()
    assert b"planted-key" not in content

"""The same call with the same journal continues: nothing is bought twice, nothing paid is lost, every key is seen."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from neuralbox._batch.collector import is_saved
from neuralbox._batch.journal_records import outcome_record
from neuralbox._batch.outcome import BatchOutcome
from neuralbox._batch.resource import Batches
from neuralbox._budget import Budget
from neuralbox._core.credentials import Session
from neuralbox._core.exchange import Core
from neuralbox._errors import (
    BudgetExceededError,
    ConfigurationError,
    GenerationFailedError,
    GenerationTimeoutError,
    JournalError,
    ProtocolError,
    SubmissionUnknownError,
)
from neuralbox._journal import Journal, PlannedRequest, open_account_journal, read_summary
from neuralbox._journal.grouped import GroupedJournal
from neuralbox._models.generation import Generation
from neuralbox._polling.job import Job
from neuralbox._requests.requests import BatchRequest, ImageRequest, TextRequest, VideoRequest
from neuralbox._result_cache import ResultCache
from neuralbox._submissions.claim import claim_of
from neuralbox._submissions.owned import HIDDEN_FOR
from neuralbox._submissions.reconcile import reconcile
from neuralbox._submissions.registry import LISTED_BY, registry_of
from neuralbox._types import JobRef

from ..helpers import dear, refusal, reply
from ..service import Service
from .support import a_service, batches, core_of, hold_for_journals
from .test_batch import images, outcomes_of, run_through, videos

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.sqlite"


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


# Continuing.


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


async def test_an_unknown_one_that_stays_unknown_is_delivered_once_and_kept(path: Path) -> None:
    world = a_service()
    request = ImageRequest(model="flux-1.1-pro", prompt="sending one")
    await write(world, path, [("sending", request, "sending")])
    found = await outcomes_of(batches(world, submission="raise")([], journal=path))
    assert isinstance(found["sending"].error, SubmissionUnknownError)
    assert len(world.posts) == 0
    assert (await anyio.to_thread.run_sync(read_summary, path)).sending == 1


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


# Requests that do not fit.


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


# Files.


async def test_what_was_not_saved_is_saved_by_the_next_run(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def put_something_in_the_way(number: int, body: Any) -> str:
        out.write_text("a file")
        return "answered"

    world = a_service(ends=put_something_in_the_way)
    first = await outcomes_of(batches(world)(images(2), journal=path, download_to=out))
    assert not any(outcome.ok for outcome in first.values())
    out.unlink()
    second = await outcomes_of(batches(world)(images(2), journal=path, download_to=out))
    assert all(outcome.ok and outcome.resumed for outcome in second.values())
    first_path = second["000001"].path
    assert first_path is not None
    first_path.unlink()
    third = await outcomes_of(batches(world)(images(2), journal=path, download_to=out))
    assert third["000001"].path == first_path
    assert first_path.exists()
    without = await outcomes_of(batches(world)(images(2), journal=path))
    assert without["000001"].path == first_path
    assert len(world.posts) == 2


async def test_what_a_killed_run_saved_and_did_not_write_down_is_recognised(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = a_service()
    out = tmp_path / "out"
    out.mkdir()
    (out / "18000.webp").write_bytes(b"mine")

    async def killed(*_: object) -> None:
        """Do nothing, as a process that ended before the mark."""

    with monkeypatch.context() as patch:
        patch.setattr(GroupedJournal, "saved", killed)
        first = await outcomes_of(batches(world)(images(2), journal=path, download_to=out))
    for _ in range(2):
        again = await outcomes_of(batches(world)(images(2), journal=path, download_to=out))
        assert {key: one.path for key, one in again.items()} == {key: one.path for key, one in first.items()}
    assert sorted(one.name for one in out.iterdir()) == ["18000 (2).webp", "18000.webp", "18001.webp"]
    assert (out / "18000.webp").read_bytes() == b"mine"


async def test_files_keep_their_keys_names_where_only_the_journal_knows_them(path: Path, tmp_path: Path) -> None:
    requests = [ImageRequest(model="flux-1.1-pro", prompt="a", key="heron"), *images(1)]
    world = a_service()
    await outcomes_of(batches(world)(requests, journal=path))
    found = await outcomes_of(batches(world)(None, journal=path, download_to=tmp_path / "out"))
    assert {outcome.path.name for outcome in found.values() if outcome.path is not None} == {"heron.webp", "18001.webp"}


@pytest.mark.parametrize("where", ["outside", "through a link", "no path"])
async def test_a_journal_decides_no_path_outside_the_directory_that_is_named(
    path: Path, tmp_path: Path, where: str
) -> None:
    world, out, secret = a_service(), tmp_path / "out", tmp_path / "id_rsa"
    secret.write_bytes(b"mine")
    await outcomes_of(batches(world)(images(1), journal=path, download_to=out))
    (out / "18000.webp").unlink()
    planted = str(secret)
    if where == "through a link":
        (out / "link").symlink_to(secret)
        planted = str(out / "link")
    elif where == "no path":
        planted = "nul" + chr(0)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE records SET path = ?", (planted,))
        connection.commit()
    found = await outcomes_of(batches(world)(images(1), journal=path, download_to=out))
    assert found["000001"].path == out / "18000.webp"
    assert secret.read_bytes() == b"mine"


# Money.


async def test_a_budget_counts_what_the_journal_spent(path: Path) -> None:
    world = a_service(price=4)
    await outcomes_of(batches(world)(images(3), journal=path, budget=12))
    second = await outcomes_of(batches(world)(images(5), journal=path, budget=16))
    assert {key for key, outcome in second.items() if not outcome.ok} <= {"000004", "000005"}
    assert sum(isinstance(outcome.error, BudgetExceededError) for outcome in second.values()) == 1


async def test_a_lost_request_of_an_unknown_price_holds_up_no_other_when_the_batch_is_continued(path: Path) -> None:
    world = a_service(price=None, tokens=4)
    world.end_with("dropped before")
    with anyio.move_on_after(3.0):
        await outcomes_of(batches(world)(videos(3), journal=path, budget=100))
    assert (await anyio.to_thread.run_sync(read_summary, path)).sending == 1
    found = await outcomes_of(batches(world)(videos(3), journal=path, budget=100))
    assert [outcome.ok for outcome in found.values()] == [True, True, True]
    assert len(world.ledger) == 3


async def test_a_budget_counts_the_price_where_the_service_does_not_say_what_it_charged(path: Path) -> None:
    world = a_service(price=4)
    said = world.record
    world.record = lambda made: {name: value for name, value in said(made).items() if name != "tokens_spent"}  # type: ignore[method-assign]
    first = await outcomes_of(batches(world)(images(3), journal=path, budget=12))
    assert [outcome.tokens for outcome in first.values()] == [None, None, None]
    second = await outcomes_of(batches(world)(images(5), journal=path, budget=16))
    assert sum(outcome.ok for outcome in second.values()) == 4
    assert {outcome.tokens for outcome in second.values() if outcome.ok} == {None}  # the service's words, not ours
    assert (await anyio.to_thread.run_sync(read_summary, path)).tokens == 16


async def test_a_budget_counts_what_a_failure_was_charged_however_often_it_is_tried_and_the_run_continued(
    path: Path,
) -> None:
    world = a_service(price=4)
    [request] = images(1)
    await write(world, path, [("000001", request, "accepted")])
    async with journal_of(core_of(world), path) as journal:
        await journal.final("000001", {"status": "failed", "tokens": 4, "error": "no"})
    second = await outcomes_of(batches(world)(images(2), journal=path, budget=8, retry_failed=True, max_sending=1))
    assert [second[key].ok for key in sorted(second)] == [True, False]
    third = await outcomes_of(batches(world)(images(2), journal=path, budget=11))
    assert isinstance(third["000002"].error, BudgetExceededError)
    fourth = await outcomes_of(batches(world)(images(2), journal=path, budget=12))
    assert fourth["000002"].ok


async def test_what_an_earlier_run_sent_is_counted_too(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = a_service(price=4)
    old = [(f"{n}", ImageRequest(model="flux-1.1-pro", prompt=f"{n} one"), "accepted") for n in range(3)]
    await write(world, path, old)
    budget = Budget(9)
    found = await outcomes_of(batches(world)(None, journal=path, budget=budget))
    assert all(outcome.ok for outcome in found.values())
    assert "costs more than its budget" in caplog.text
    assert budget.spent == 8 or budget.overrun == 3


async def test_an_unknown_one_that_was_never_accepted_is_not_sent_beyond_the_budget(path: Path) -> None:
    world = a_service(price=4)
    old = [(state, ImageRequest(model="flux-1.1-pro", prompt=f"{state} one"), state) for state in ("final", "sending")]
    await write(world, path, old)
    world.time.elapsed += LISTED_BY + 60.0
    found = await outcomes_of(batches(world)(None, journal=path, budget=6))
    assert isinstance(found["sending"].error, BudgetExceededError)
    assert len(world.posts) == 0
    second = await outcomes_of(batches(world)(None, journal=path, budget=100))
    assert second["sending"].ok
    assert len(world.posts) == 1


async def test_an_unknown_one_that_was_accepted_is_booked(path: Path) -> None:
    world = a_service(price=4)
    old = [(state, ImageRequest(model="flux-1.1-pro", prompt=f"{state} one"), state) for state in ("final", "charged")]
    await write(world, path, old)
    budget = Budget(4)
    found = await outcomes_of(batches(world)(None, journal=path, budget=budget))
    assert found["charged"].ok
    assert budget.spent == 4
    full = Budget(4, spent=10)
    await write(world, path, [("more", ImageRequest(model="flux-1.1-pro", prompt="more"), "charged")])
    assert (await outcomes_of(batches(world)(None, journal=path, budget=full)))["more"].ok
    assert full.spent == 14


def old_and_new(state: str) -> tuple[list[tuple[str, BatchRequest, str]], list[BatchRequest]]:
    """Two pictures that an earlier run sent, and five that none did."""
    old = [(key, ImageRequest(model="flux-1.1-pro", prompt=f"{key} one", key=key), state) for key in ("a", "b")]
    return [*old], [ImageRequest(model="flux-1.1-pro", prompt=f"new {n}", key=f"new {n}") for n in range(5)]


@pytest.mark.parametrize("budget", [8, 5])
@pytest.mark.parametrize("state", ["accepted", "charged"])
@pytest.mark.parametrize("order", ["old first", "new first", "not named"])
async def test_what_earlier_runs_have_out_is_set_aside_before_anything_new_is_sent(
    order: str, state: str, budget: int, path: Path
) -> None:
    world = a_service(price=4)
    old, new = old_and_new(state)
    await write(world, path, old)
    named = [request for _, request, _ in old]
    asked = {"old first": [*named, *new], "new first": [*new, *named], "not named": new}[order]
    found = await outcomes_of(batches(world)(asked, journal=path, budget=budget, max_in_flight=2, max_sending=1))
    assert {key for key, outcome in found.items() if outcome.ok} == {"a", "b"}
    assert sum(isinstance(outcome.error, BudgetExceededError) for outcome in found.values()) == 5
    assert len(world.posts) == 0


async def test_what_an_earlier_run_sent_and_nobody_can_tell_of_keeps_its_tokens(path: Path) -> None:
    world = a_service(price=4)
    old, new = old_and_new("charged")
    await write(world, path, old)
    budget = Budget(8)
    found = await outcomes_of(batches(world, submission="raise")(new, journal=path, budget=budget))
    assert not any(outcome.ok for outcome in found.values())
    assert (budget.spent, budget.reserved, len(world.posts)) == (0, 8, 0)


async def test_what_an_earlier_run_sent_and_fails_leaves_its_tokens_to_those_who_wait(path: Path) -> None:
    world = a_service(price=4)
    old, new = old_and_new("accepted")
    await write(world, path, old)
    for made in world.ledger:
        made.seconds, made.fails = 30.0, True
    budget = Budget(8)
    asked = [*(request for _, request, _ in old), *new]
    found = await outcomes_of(batches(world)(asked, journal=path, budget=budget))
    assert sum(outcome.ok for outcome in found.values()) == 2
    assert (budget.spent, budget.reserved, len(world.posts)) == (8, 0, 2)


async def test_of_what_an_earlier_run_sent_at_an_unknown_price_the_next_such_one_waits(path: Path) -> None:
    world = a_service(price=None, tokens=10)
    old, new = old_and_new("accepted")
    await write(world, path, old[:1])
    world.ledger[0].seconds = 30.0
    budget = Budget(15)
    found = await outcomes_of(batches(world)([old[0][1], *new], journal=path, budget=budget))
    assert {key for key, outcome in found.items() if outcome.ok} == {"a"}
    assert (budget.spent, budget.reserved, len(world.posts)) == (10, 0, 0)


async def test_what_an_earlier_run_sent_counts_with_the_price_that_was_set_aside_then(path: Path) -> None:
    world = a_service(price=4, seconds=500.0)
    _, new = old_and_new("planned")
    named = [VideoRequest(model="kling-v2.1", prompt=f"film {key}", key=key) for key in ("a", "b")]
    await outcomes_of(batches(world)(named, journal=path, budget=8, wait_timeout=10.0))
    world.price = 1  # for a day
    asked = world.prices_asked
    found = await outcomes_of(batches(world)([*new, *named], journal=path, budget=8, wait_timeout=None))
    assert {key for key, outcome in found.items() if outcome.ok} == {"a", "b"}
    assert {found[key].price for key in ("a", "b")} == {4}
    assert world.prices_asked == asked + 1  # for the new ones


@pytest.mark.parametrize("is_read", [True, False])
@pytest.mark.parametrize("end", ["answered", "dropped after"])
async def test_a_budget_of_several_runs_counts_what_each_of_them_waits_for_once(
    path: Path, end: str, *, is_read: bool
) -> None:
    world = a_service(price=60, seconds=50.0, ends=lambda number, body: end)
    budget = Budget(100)
    film = [VideoRequest(model="kling-v2.1", prompt="A film", key="film")]
    await outcomes_of(batches(world, submission="raise")(film, journal=path, budget=budget, wait_timeout=10.0))
    assert (budget.spent, budget.reserved) == (0, 60)
    for _ in range(2):
        new = [ImageRequest(model="flux-1.1-pro", prompt=f"new {n}", key=f"new {n}") for n in range(3)]
        again = batches(world, submission="raise")(new, journal=path, budget=budget, wait_timeout=10.0)
        async with again as run:
            async for _ in run:
                if not is_read:
                    break
        assert (budget.spent, budget.reserved) == (0, 60)
    found = await outcomes_of(batches(world)(film, journal=path, budget=budget, wait_timeout=None))
    assert found["film"].ok
    assert (budget.spent, budget.reserved, len(world.posts)) == (60, 0, 1)


@pytest.mark.parametrize("fails", [False, True])
async def test_a_job_that_was_waited_for_by_hand_counts_once_when_its_batch_is_continued(
    path: Path, *, fails: bool
) -> None:
    world, budget = a_service(price=60, seconds=50.0), Budget(100)
    core, film = core_of(world), [VideoRequest(model="kling-v2.1", prompt="A film", key="film")]
    await outcomes_of(Batches(core)(film, journal=path, budget=budget, wait_timeout=10.0))
    (made,) = world.ledger
    made.fails = fails
    with contextlib.suppress(GenerationFailedError):
        await Job(core, ref=JobRef(made.id)).wait()
    assert (budget.spent, budget.reserved) == (0 if fails else 60, 0)
    found = await outcomes_of(Batches(core)(film, journal=path, budget=budget))
    assert found["film"].ok is not fails
    assert (budget.spent, budget.reserved) == (0 if fails else 60, 0)


@pytest.mark.parametrize("is_continued", [False, True])
@pytest.mark.parametrize("is_client_counting", [False, True])
@pytest.mark.parametrize("how", ["adopt", "reconcile"])
async def test_a_lost_request_that_was_settled_by_hand_counts_once(
    path: Path, how: str, *, is_client_counting: bool, is_continued: bool
) -> None:
    world = a_service(price=60, seconds=50.0, ends=lambda number, body: "dropped after")
    budget, clients = Budget(100), Budget(100)
    core = core_of(world, submission="raise", budget=clients if is_client_counting else None)
    film = [VideoRequest(model="kling-v2.1", prompt="A film", key="film")]
    await outcomes_of(Batches(core)(film, journal=path, budget=budget))
    assert (budget.spent, budget.reserved) == (0, 60)
    if how == "adopt":
        (lost,) = registry_of(core).unresolved
        ref = lost.adopt(world.ledger[0].id)
    else:
        ref = (await reconcile(core)).adopted[0].job
    await Job(core, ref=ref).wait()
    assert (budget.spent, budget.reserved) == (60, 0)
    if is_continued:
        assert (await outcomes_of(Batches(core)(film, journal=path, budget=budget)))["film"].ok
    assert (budget.spent, budget.reserved) == (60, 0)
    assert (clients.spent, clients.reserved) == (60 if is_client_counting else 0, 0)


@pytest.mark.parametrize("how", ["resend", "reconcile", "the batch"])
async def test_a_lost_request_that_was_never_accepted_gives_back_what_an_earlier_budget_has_set_aside(
    path: Path, how: str
) -> None:
    end = {1: "dropped before"}
    world, budget = a_service(price=60, ends=lambda number, body: end.get(number, "answered")), Budget(100)
    core = core_of(world, submission="raise")
    await outcomes_of(Batches(core)([*videos(1)], journal=path, budget=budget))
    assert (budget.spent, budget.reserved) == (0, 60)
    await outcomes_of(Batches(core)([VideoRequest(model="kling-v2.1", prompt="One that proves it")]))
    if how == "resend":
        registry_of(core).unresolved[0].resend()
    elif how == "reconcile":
        assert (await reconcile(core)).absent
    else:
        again = core_of(world)
        await outcomes_of(Batches(again)([*videos(1)], journal=path, budget=Budget(100)))
    assert (budget.spent, budget.reserved) == (0, 0)


@pytest.mark.parametrize("price", [60, None])
async def test_budgets_in_turn_on_one_journal_count_once_in_the_one_that_they_are_within(
    path: Path, price: int | None
) -> None:
    world, day = a_service(price=price, tokens=60, seconds=50.0), Budget(1_000)
    first, second = Budget(100, within=day), Budget(100, within=day)
    core, film = core_of(world), [VideoRequest(model="kling-v2.1", prompt="A film", key="film")]
    await outcomes_of(Batches(core)(film, journal=path, budget=first, wait_timeout=10.0))
    assert (await outcomes_of(Batches(core)(film, journal=path, budget=second)))["film"].ok
    assert [(budget.spent, budget.reserved) for budget in (first, second, day)] == [(60, 0)] * 3


async def test_less_than_nothing_charged_is_nothing_and_a_journal_that_says_so_is_continued(path: Path) -> None:
    world = a_service(price=10, tokens=-5)
    await outcomes_of(batches(world)(images(1), journal=path, budget=20))
    assert (await anyio.to_thread.run_sync(read_summary, path)).tokens == 0
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("UPDATE records SET tokens = -5")  # as older versions wrote it down
    world.tokens = 10
    found = await outcomes_of(batches(world)(images(4), journal=path, budget=20))
    assert sum(outcome.ok for outcome in found.values()) == 3


# A journal that breaks.


def broken(monkeypatch: pytest.MonkeyPatch, **marks: int) -> None:
    """Let marks fail from the n-th on: `accepted=2` makes the first one and no further."""
    made: dict[str, int] = {}

    class Broken(GroupedJournal):
        pass

    def breaking(name: str, whole: Any) -> Any:
        async def mark(self: GroupedJournal, *args: Any, **kwargs: Any) -> Any:
            made[name] = made.get(name, 0) + 1
            if made[name] >= marks[name]:
                raise JournalError("The disk is full.", reason="full")
            return await whole(self, *args, **kwargs)

        return mark

    for name in marks:
        monkeypatch.setattr(Broken, name, breaking(name, getattr(GroupedJournal, name)))
    monkeypatch.setattr("neuralbox._journal.opening.GroupedJournal", Broken)


@pytest.mark.parametrize("mark", ["plan", "sending", "accepted", "final", "saved"])
async def test_a_disk_that_fills_up_loses_nothing_that_was_paid_for(
    path: Path, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    world = a_service(ends=lambda number, body: "slow" if number % 2 else "answered")
    requests = images(20)
    found: list[BatchOutcome] = []
    with monkeypatch.context() as patch:
        broken(patch, **{mark: 3})
        batch = batches(world)(requests, journal=path, max_in_flight=4, wait_timeout=None, download_to=path.parent)
        with pytest.raises(JournalError, match="disk is full"):
            await run_through(batch, found)
    assert len(found) == len(world.ledger)
    assert all(outcome.ok for outcome in found)
    assert batch.unfinished == ()
    second = await outcomes_of(batches(world)(requests, journal=path, wait_timeout=None))
    assert all(outcome.ok for outcome in second.values())
    assert len(second) == 20
    assert set(world.charges.values()) == {1}


async def test_a_bug_while_writing_an_id_down_loses_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def accepted(self: GroupedJournal, *_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(GroupedJournal, "accepted", accepted)
    found: list[BatchOutcome] = []
    with pytest.raises(ZeroDivisionError):
        await run_through(
            batches(a_service(seconds=0))(videos(3), journal=path, max_sending=1, wait_timeout=None), found
        )
    assert [outcome.ok for outcome in found] == [True]


async def test_a_refusal_that_cannot_be_written_down_is_an_outcome(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = a_service(ends=lambda number, body: refusal(400, "bad_request"))
    broken(monkeypatch, planned_again=1)
    found: list[BatchOutcome] = []
    with pytest.raises(JournalError):
        await run_through(batches(world)(images(1), journal=path), found)
    assert len(found) == 1


async def test_a_retry_that_cannot_be_written_down_is_not_sent(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = a_service(ends=lambda number, body: "failed")
    await outcomes_of(batches(world)(images(1), journal=path))
    broken(monkeypatch, planned_again=1)
    with pytest.raises(JournalError):
        await outcomes_of(batches(world)(images(1), journal=path, retry_failed=True))
    assert len(world.posts) == 1


@pytest.mark.parametrize("in_the_block", [True, False])
async def test_a_journal_that_cannot_be_closed_is_said(
    path: Path, monkeypatch: pytest.MonkeyPatch, in_the_block: bool
) -> None:
    async def aclose(self: GroupedJournal) -> None:
        await whole(self)
        raise JournalError("Could not be closed.")

    whole = GroupedJournal.aclose
    monkeypatch.setattr(GroupedJournal, "aclose", aclose)

    async def block() -> None:
        async with batches(a_service())(images(1), journal=path):
            if in_the_block:
                raise LookupError("mine")

    with pytest.raises(LookupError if in_the_block else JournalError) as caught:
        await block()
    if in_the_block:
        assert caught.value.__notes__ == ["Could not be closed."]


async def test_a_run_that_cannot_begin_leaves_the_journal_free(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def summary(self: GroupedJournal) -> None:
        raise JournalError("Cannot be read.")

    with monkeypatch.context() as patch:
        patch.setattr(GroupedJournal, "summary", summary)
        with pytest.raises(JournalError, match="Cannot be read"):
            await outcomes_of(batches(a_service())(images(1), journal=path, budget=10))
    assert len(await outcomes_of(batches(a_service())(images(1), journal=path))) == 1


async def test_a_journal_that_cannot_be_read_ends_the_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def summary(self: GroupedJournal) -> None:
        raise JournalError("Cannot be read.")

    monkeypatch.setattr(GroupedJournal, "summary", summary)
    world = a_service()
    with pytest.raises(JournalError, match="Cannot be read"):
        await outcomes_of(batches(world)(images(1), journal=path))
    assert len(world.posts) == 0


async def test_a_bug_on_the_way_from_the_journal_is_raised_and_hangs_nobody(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def generation_of(record: object, service: object) -> None:
        raise ZeroDivisionError

    world = a_service()
    await outcomes_of(batches(world)(images(2), journal=path))
    monkeypatch.setattr("neuralbox._batch.reader.generation_of", generation_of)
    with pytest.raises(ZeroDivisionError):
        await outcomes_of(batches(world)(images(2), journal=path))


async def test_the_journal_holds_prompts_in_one_place_and_no_key(path: Path) -> None:
    world = a_service(ends=lambda number, body: "dropped after" if number == 2 else "answered")
    await outcomes_of(batches(world)(images(3), journal=path))
    summary = await anyio.to_thread.run_sync(read_summary, path)
    assert (summary.total, summary.unfinished, summary.completed, summary.tokens) == (3, 0, 3, 12)
    content = await anyio.Path(path).read_bytes()
    assert b"planted-key" not in content


def test_only_a_file_inside_the_directory_counts_as_saved(tmp_path: Path) -> None:
    inside, outside = tmp_path / "out" / "a.png", tmp_path / "b.png"
    inside.parent.mkdir()
    inside.write_bytes(b"a")
    outside.write_bytes(b"b")
    (inside.parent / "link.png").symlink_to(outside)
    assert is_saved(inside, inside.parent)
    for path in (outside, inside.parent / "link.png", inside.parent / "none.png", Path("x" * 5_000)):
        assert not is_saved(path, inside.parent)


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

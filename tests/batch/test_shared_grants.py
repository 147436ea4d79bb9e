"""What is found in the history, or proven absent, counts when the shared journal grants it."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from string import ascii_letters
from typing import Any

import anyio
import pytest

from neuralbox._batch.outcome import BatchOutcome
from neuralbox._batch.reader import planned_request
from neuralbox._budget import Budget
from neuralbox._config import NO_CALL_OPTIONS
from neuralbox._errors import JournalError
from neuralbox._journal import open_account_journal
from neuralbox._journal.shared import AccountView, ClaimInFlight, GrantRefusal, SharedJournal
from neuralbox._requests.requests import VideoRequest
from neuralbox._submissions import submission
from neuralbox._submissions.claim import claim_of
from neuralbox._submissions.registry import registry_of
from neuralbox._types import JobRef

from ..helpers import one_loop
from ..postgres import PostgresServer
from ..service import Service
from .workers import outcomes_of, videos, worker

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize(
    ("prompt", "shown", "unknown"),
    [("another's", "x\0y", set[str]()), ("b", "".join(Random(2).choices(ascii_letters, k=20_000)), {"b/1"})],
)
async def test_an_id_that_a_database_cannot_hold_is_the_trouble_of_its_own_request_alone(
    request: pytest.FixtureRequest, world: Service, place: str, keeps: bool, prompt: str, shown: str, unknown: set[str]
) -> None:
    if not keeps:
        request.getfixturevalue("_nobody_keeps")
    if not unknown:
        world.make({"model": "kling-v2.1", "prompt": prompt}, foreign=True)
        await world.time.sleep(3_600.0)
    world.ends = lambda number, body: "dropped after" if body["prompt"] == "b" else "answered"
    world.listing.shown = lambda item: {**item, "id": shown} if item["prompt"] == prompt else item
    found = dict[str, BatchOutcome]()

    async def work() -> None:
        found.update(await outcomes_of(worker(world), videos(*"abcdefgh"), place))

    async with anyio.create_task_group() as group:
        group.start_soon(work)
        while not found and world.time.elapsed < 4_000.0:
            await world.time.sleep(1.0)
        group.cancel_scope.cancel()
    assert {key for key, outcome in found.items() if not outcome.ok} == unknown
    assert len(found) == 8
    for key in unknown:
        assert "the journal cannot hold an id as long" in str(found[key].error)


@pytest.mark.usefixtures("_nobody_keeps")
@pytest.mark.parametrize("said", ["taken", "unsent", "late", "raises"])
async def test_what_is_found_counts_only_when_it_is_granted(
    world: Service, place: str, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    says: dict[str, Any] = {"taken": GrantRefusal.TAKEN, "unsent": GrantRefusal.UNSENT, "late": JobRef(18_002, "video")}
    answers = [says.get(said, JournalError("The database is gone."))]
    adopt, asked = SharedJournal.adopt, list[JobRef]()

    async def answer(journal: SharedJournal, key: str, claim_key: str, job: JobRef, **more: Any) -> Any:
        asked.append(job)
        if not answers:
            return await adopt(journal, key, claim_key, job, **more)
        if isinstance(answers[0], Exception):
            raise answers.pop()
        return answers.pop()

    monkeypatch.setattr(SharedJournal, "adopt", answer)
    world.ends = lambda number, body: "dropped after" if number == 3 else "answered"
    core = worker(world)
    if said == "raises":
        with pytest.raises(JournalError, match="database is gone"):
            await outcomes_of(core, videos("a", "b", "c"), place, max_sending=1)
        found = await outcomes_of(worker(world, 1), videos("a", "b", "c"), place)
        assert found["c/2"].ok
        assert len(world.ledger) == 3
        return
    found = await outcomes_of(core, videos("a", "b", "c"), place, max_sending=1)
    (job,) = asked
    assert job.id == 18_002
    assert found["c/2"].job is not None
    if said == "late":
        assert found["c/2"].job.id == 18_002
    else:  # whoever has it, or sent it before, says that it was not this one's, so it is sent again
        assert found["c/2"].job.id == 18_003
        assert len(world.ledger) == 4


@pytest.mark.usefixtures("_nobody_keeps")
async def test_tokens_of_what_may_be_paid_for_stay_set_aside_whatever_the_journal_says(
    world: Service, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def adopt(journal: SharedJournal, *given: Any, **more: Any) -> Any:
        raise JournalError("The database is gone.")

    monkeypatch.setattr(SharedJournal, "adopt", adopt)
    world.ends = lambda number, body: "dropped after" if number == 3 else "answered"
    budget = Budget(100)
    with pytest.raises(JournalError, match="database is gone"):
        await outcomes_of(worker(world), videos("a", "b", "c"), place, max_sending=1, budget=budget)
    assert (budget.spent, budget.reserved) == (8, 4)
    assert not budget.may_wait_for(95)  # nobody will say what it came to


@pytest.mark.usefixtures("_nobody_keeps")
async def test_who_uses_no_journal_does_not_suffer_from_one(
    world: Service, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def view(journal: SharedJournal, ids: Any) -> Any:
        raise JournalError("The database is gone.")

    monkeypatch.setattr(SharedJournal, "view", view)
    world.ends = lambda number, body: "dropped after" if number in (3, 4) else "answered"
    core, ended, world.seconds = worker(world), list[Any](), 20.0
    wire = VideoRequest(model="kling-v2.1", prompt="mine").build(core.options.dialect)
    await outcomes_of(core, videos("a", "b"), place)

    async def create() -> None:
        ended.append((await submission.send(core, wire, NO_CALL_OPTIONS, kind="video", model="kling-v2.1")).id)

    async def work() -> None:
        with pytest.raises(JournalError, match="database is gone"):
            await outcomes_of(core, videos("c"), place)

    async with anyio.create_task_group() as group:
        group.start_soon(create)
        group.start_soon(work)
    assert ended == [next(made.id for made in world.ledger if made.prompt == "mine")]


@pytest.mark.usefixtures("_nobody_keeps")
async def test_what_is_absent_is_looked_for_again_where_something_was_taken_meanwhile(
    world: Service, place: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent, asked = SharedJournal.absent, list[int]()

    async def answer(journal: SharedJournal, key: str, claim_key: str, *, widened: int) -> Any:
        asked.append(widened)
        if len(asked) == 1:  # an equal one adopts something just now
            postgres.execute("UPDATE neuralbox.record SET widened = 1, opens = 5 WHERE state = 1")
        return await absent(journal, key, claim_key, widened=widened)

    monkeypatch.setattr(SharedJournal, "absent", answer)
    world.ends = lambda number, body: "dropped before" if number == 3 else "answered"
    found = await outcomes_of(worker(world), videos("a", "b", "c", "d"), place, max_sending=2)
    assert asked == [0, 1]
    assert [outcome.error for outcome in found.values() if not outcome.ok] == []
    assert len(world.ledger) == 4


@one_loop
async def test_what_others_have_under_way_is_forgotten_when_nothing_is_looked_for_any_more(
    world: Service, place: str
) -> None:
    theirs, core = videos("theirs")[0], worker(world)
    claim = claim_of(theirs.build(core.options.dialect), key="theirs", kind="video", model="kling-v2.1")
    async with await open_account_journal(worker(world, 1), place) as other:
        await other.plan([planned_request("theirs/0", theirs)])
        await other.sending("theirs/0", replace(claim, sent_at=world.time.now()).to_shared_dict())
        world.ends = lambda number, body: "dropped after" if number == 2 else "answered"
        found = await outcomes_of(core, videos("a", "b"), place, max_sending=1)
        assert all(outcome.ok for outcome in found.values())
        assert "theirs" not in registry_of(core)._submissions


async def test_what_others_send_again_is_a_rival_and_no_longer_unknown(world: Service) -> None:
    registry = registry_of(worker(world))
    wire = VideoRequest(model="kling-v2.1", prompt="same").build(worker(world).options.dialect)
    claim = claim_of(wire, key="theirs", kind="video", model="kling-v2.1")
    told = replace(claim, sent_at=world.time.now(), server_offset=0.0).to_shared_dict()
    for is_unknown in (False, True, True, False):
        registry.meet("a journal", AccountView([ClaimInFlight(told, is_unknown, 1, opens=5.0)], []))
        entry = registry._submissions["theirs"]
        assert entry.in_flight is not is_unknown
        assert registry.sent(entry) == 5.0
    registry.meet(
        "another journal", AccountView([ClaimInFlight(told, is_unknown=False)], [])
    )  # of the same database, say
    registry.part_from("another journal")
    assert "theirs" in registry._submissions
    registry.meet("a journal", AccountView([], []))
    assert "theirs" not in registry._submissions

"""One process of all that share a journal waits and looks for all of them, and another does so when it is gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import anyio
import pytest

from neuralbox._batch.item import BatchItem
from neuralbox._batch.keeper import Keeper, keep_account
from neuralbox._batch.kept import KeptWork
from neuralbox._batch.outcome import BatchOutcome
from neuralbox._batch.resource import Batches
from neuralbox._budget import Budget
from neuralbox._core.exchange import Attempt, Core
from neuralbox._errors import (
    AuthenticationError,
    ConfigurationError,
    GenerationTimeoutError,
    JournalError,
    NotFoundError,
    SubmissionUnknownError,
)
from neuralbox._journal import JournalSummary, read_records, read_summary
from neuralbox._journal.postgres.keeping import Keeping
from neuralbox._journal.postgres.store import PostgresStore
from neuralbox._journal.shared import AccountView, ClaimInFlight, LostClaim, SharedJournal
from neuralbox._journal.tenure import Tenure
from neuralbox._polling.many import GrowingJobWaiter
from neuralbox._submissions.claim import HistoryEntry, claim_of
from neuralbox._submissions.pending import PendingSubmission
from neuralbox._submissions.reconcile import Unsure, _unsure_of, unsure_record
from neuralbox._submissions.registry import Registry, SettlePolicy, registry_of
from neuralbox._transport.base import Reply
from neuralbox._types import JobRef

from ..helpers import one_loop, refusal
from ..postgres import PostgresServer
from ..service import Service
from .support import core_of
from .workers import ids_of, outcomes_of, until, videos, worker

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("_no_keeper_left")]


class Asking:
    """What each client asked of the service, apart from submissions."""

    def __init__(self, world: Service) -> None:
        self.by: dict[Core, list[str]] = {}
        self._world = world

    def worker(self, number: int, answers: Callable[[str, str], Reply | None] | None = None, **options: Any) -> Core:
        core = worker(self._world, number, **options)
        asked = self.by[core] = []
        world = self._world

        class Transport:
            def __getattr__(self, name: str) -> Any:
                return getattr(world, name)

            async def send(self, prepared: Any, **more: Any) -> Reply:
                method, url = prepared.method, prepared.url
                if method == "GET":
                    asked.append(url.partition("/api/v2")[2])
                answer = None if answers is None else answers(method, url)
                return await world.send(prepared, **more) if answer is None else answer

        transport: Any = Transport()
        core.transport = transport
        return core


def end_tenure(postgres: PostgresServer) -> None:
    postgres.execute("UPDATE neuralbox.account SET keeper_until = clock_timestamp()")


def counted(place: str) -> JournalSummary:
    """Count what is in a journal, also before it is made."""
    try:
        return read_summary(place)
    except JournalError:
        return JournalSummary()


async def work(
    found: dict[int, dict[str, BatchOutcome]], number: int, core: Core, requests: Any, place: str, **options: Any
) -> None:
    found[number] = await outcomes_of(core, requests, place, **options)


async def take_all(run: Any, outcomes: list[bool]) -> None:
    while True:
        outcomes.append((await anext(run)).ok)


@one_loop
async def test_jobs_cost_no_more_requests_with_many_workers_than_with_one(
    world: Service, place: str, postgres: PostgresServer
) -> None:
    asked, found = list[int](), dict[int, dict[str, BatchOutcome]]()
    requests = videos(*["scene"] * 40)
    for count in (1, 8):
        postgres.empty()
        asking = Asking(world)
        async with anyio.create_task_group() as group:
            for number in range(count):
                core = asking.worker(10 * count + number)
                group.start_soon(work, found, number, core, requests[number::count], place)
        asked.append(sum(map(len, asking.by.values())))
        busy = [core for core, urls in asking.by.items() if len(urls) > 1]  # each asks for the clock once
        assert len(busy) <= 3  # whoever has delivered all of its own hands the account on
        assert all(outcome.ok and not outcome.resumed for each in found.values() for outcome in each.values())
        assert len(ids_of(*found.values())) == 40
    assert asked[1] - 8 <= 1.05 * asked[0]
    assert len(world.ledger) == 80


async def test_who_does_not_keep_hears_its_news_and_asks_for_little_else(
    world: Service, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be hundreds of them, and each question is one to the database that all share."""
    asked, found = Counter[tuple[str, int]](), dict[int, dict[str, BatchOutcome]]()
    elect, hints = Keeping.elect, PostgresStore.hints

    def count_elect(keeping: Keeping) -> int | None:
        asked["elect", keeping._named["owner"]] += 1
        return elect(keeping)

    def count_hints(store: PostgresStore, after: int) -> Any:
        asked["hints", store._owner.number] += 1
        return hints(store, after)

    monkeypatch.setattr(Keeping, "elect", count_elect)
    monkeypatch.setattr(PostgresStore, "hints", count_hints)
    world.seconds, lasted = 12.0, 0.0
    async with anyio.create_task_group() as group:
        group.start_soon(work, found, 1, worker(world, 1), videos("a"), place)
        await until(world, lambda: counted(place).accepted == 1)
        began, world.seconds = world.time.elapsed, 6.0  # it is done before the keeper is
        found[2] = await outcomes_of(worker(world, 2), videos("b"), place)
        lasted = world.time.elapsed - began
    assert found[2]["b/0"].ok
    assert 1 <= asked["elect", 2] <= 2 + lasted / 2
    assert asked["hints", 2] == 0  # it has no job to be told of
    assert asked["hints", 1] >= lasted / 2 > 2


async def test_when_the_keeper_is_gone_another_goes_on(
    world: Service, place: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was killed: it says nothing, and what it knew is lost with it."""

    async def nothing(tenure: Tenure) -> None: ...

    monkeypatch.setattr(Tenure, "resign", nothing)
    world.seconds, asking, found = 20.0, Asking(world), dict[int, dict[str, BatchOutcome]]()
    first, second = asking.worker(1), asking.worker(2)
    async with anyio.create_task_group() as group:
        async with Batches(first)(videos("a", "b"), journal=place):
            await until(world, lambda: counted(place).accepted == 2)
            group.start_soon(work, found, 2, second, [*videos("a", "b"), *videos("c", "d", "e")[2:]], place)
            await until(world, lambda: counted(place).accepted == 3)
        assert len(asking.by[second]) == 1  # so far it has asked for nothing but the time
        await world.time.sleep(5.0)
        end_tenure(postgres)
    assert sorted(found[2]) == ["a/0", "b/1", "e/2"]
    assert all(outcome.ok for outcome in found[2].values())
    assert len(ids_of(found[2])) == len(world.ledger) == 3
    assert len(asking.by[second]) > 1


async def test_a_keeper_that_resigns_is_followed_at_once(world: Service, place: str) -> None:
    world.seconds, found, left = 10.0, dict[int, dict[str, BatchOutcome]](), 0.0
    async with anyio.create_task_group() as group:
        async with Batches(worker(world, 1))(videos("a"), journal=place):
            await until(world, lambda: counted(place).accepted == 1)
            group.start_soon(work, found, 2, worker(world, 2), videos("b"), place)
            await until(world, lambda: counted(place).accepted == 2)
        left = world.time.elapsed
    assert world.time.elapsed - left < 15.0  # it was not waited for the end of a lease
    assert found[2]["b/0"].ok


@one_loop
async def test_a_keeper_whose_tenure_is_stolen_says_nothing_more_and_all_is_delivered(
    world: Service, place: str, postgres: PostgresServer
) -> None:
    found, refusals, serve = dict[int, dict[str, BatchOutcome]](), list[str](), Keeper._serve
    kept = "SELECT keeper_owner <> 0 AND keeper_until > clock_timestamp() FROM neuralbox.account"
    world.seconds = 30.0  # nobody is done with its own, and resigns, before all is stolen

    async def served(keeper: Keeper, tenure: Tenure) -> None:
        await serve(keeper, tenure)
        refusals.append(str(getattr(keeper._failure, "reason", None)))

    def served_times(least: int) -> bool:
        return len(refusals) >= least

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Keeper, "_serve", served)
        async with anyio.create_task_group() as group:
            for number in range(2):
                group.start_soon(work, found, number, worker(world, number), videos("a", "b", "c")[number:], place)
            await until(world, lambda: counted(place).accepted == 3)
            for stolen in range(1, 4):
                await until(world, lambda: postgres.execute(kept) == [(True,)])
                postgres.execute(
                    """UPDATE neuralbox.account SET keeper = keeper + 1, keeper_owner = 0,
                        keeper_until = clock_timestamp() + interval '1 h'"""
                )
                await until(world, partial(served_times, stolen))
                end_tenure(postgres)
    assert refusals[:3] == ["keeper"] * 3
    assert all(outcome.ok for each in found.values() for outcome in each.values())
    assert len(world.ledger) == len(ids_of(*found.values())) == 3


@one_loop
@pytest.mark.parametrize("fate", ["dropped after", "dropped before"])
async def test_lost_answers_of_all_are_looked_for_by_one(
    world: Service, place: str, postgres: PostgresServer, fate: str
) -> None:
    asking, found = Asking(world), dict[int, dict[str, BatchOutcome]]()
    world.ends = lambda number, body: fate if number % 4 == 2 else "answered"
    requests, keeper = videos(*["same"] * 4, *"efgh", *["same"] * 4), asking.worker(9)
    async with (
        anyio.create_task_group() as keeping
    ):  # a worker would hand the account on when all of its own is delivered
        keeping.start_soon(keep_account, keeper, place)
        await until(world, lambda: counted(place).service)
        await until(world, lambda: postgres.execute("SELECT keeper FROM neuralbox.account") == [(1,)])
        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(work, found, number, asking.worker(number), requests[number::3], place)
        keeping.cancel_scope.cancel()
    outcomes = {key: outcome for each in found.values() for key, outcome in each.items()}
    assert len(outcomes) == 12
    unknown = [outcome for outcome in outcomes.values() if not outcome.ok]
    assert all(isinstance(outcome.error, SubmissionUnknownError) for outcome in unknown)
    if fate == "dropped after":
        assert unknown == []
    assert len(ids_of(outcomes)) == 12 - len(unknown)
    looking = [core for core, urls in asking.by.items() if any("/history" in url for url in urls[1:])]
    assert looking == [keeper]


async def test_what_the_keeper_cannot_settle_is_unknown_to_who_lost_it_with_its_candidates(
    world: Service, place: str
) -> None:
    found = dict[int, dict[str, BatchOutcome]]()
    first, second = worker(world, 1), worker(world, 2)
    async with Batches(first)(videos("a", "b"), journal=place) as keeper:
        await until(world, lambda: counted(place).accepted == 2)
        for _ in range(2):  # somebody else asks for the same
            world.make({"model": "kling-v2.1", "prompt": "c"})
        world.ends = lambda number, body: "dropped after"
        async with anyio.create_task_group() as group:
            group.start_soon(work, found, 2, second, videos("c"), place)
        assert [outcome.ok async for outcome in keeper] == [True, True]
    error = found[2]["c/0"].error
    assert isinstance(error, SubmissionUnknownError)
    assert len(error.candidates) == 3
    assert "one of several" in str(error) or "may be" in str(error)
    assert registry_of(second).unresolved == ()
    assert [record.state for record in read_records(place) if record.key == "c/0"] == ["sending"]


async def test_who_has_no_more_patience_leaves_a_lost_answer_to_the_next(world: Service, place: str) -> None:
    core, turns, found = worker(world, 1, deadline=3.0), list[float](), dict[int, dict[str, BatchOutcome]]()
    registry_of(core).settling = SettlePolicy()

    async def wait_until(event: anyio.Event, seconds: float) -> None:
        """End by itself, not by a cancellation: what follows one of those on asyncio coverage did not count."""
        passed = anyio.Event()

        async def turn() -> None:
            await world.time.sleep(seconds)
            passed.set()

        turns.append(seconds)
        group.start_soon(turn)
        await passed.wait()

    world.ends, core.wait_until = lambda number, body: "dropped before", wait_until
    async with anyio.create_task_group() as group:
        await work(found, 1, core, videos("a"), place)
        group.cancel_scope.cancel()
    error = found[1]["a/0"].error
    assert isinstance(error, SubmissionUnknownError)
    assert "time" in str(error)
    assert turns.count(0.5) >= 5  # one for each turn of the wait for the keeper's word


async def test_a_job_that_the_service_does_not_know_is_its_owners_trouble_alone(world: Service, place: str) -> None:
    def gone(method: str, url: str) -> Reply | None:
        return refusal(404, "not_found") if url.endswith("/18000") else None

    budget = Budget(100)
    found = await outcomes_of(Asking(world).worker(1, gone), videos("a", "b"), place, max_sending=1, budget=budget)
    assert isinstance(found["a/0"].error, NotFoundError)
    assert found["b/1"].ok
    assert budget.spent == 4
    assert world.time.elapsed < 120.0  # it asks itself as soon as the keeper has handed it back


@one_loop
async def test_a_job_that_has_ended_is_waited_for_no_more(
    world: Service, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    attend, waited_for = KeptWork.attend, list[int]()

    def counted_too(self: KeptWork, item: BatchItem, *, age: float | None) -> bool:
        is_kept = attend(self, item, age=age)
        waited_for.append(len(self._jobs))
        return is_kept

    monkeypatch.setattr(KeptWork, "attend", counted_too)
    found = await outcomes_of(worker(world, 1), videos("a", "b", "c"), place, max_in_flight=1)
    assert all(outcome.ok for outcome in found.values())
    assert waited_for == [1, 1, 1]


async def test_the_limit_of_a_wait_is_kept_with_a_last_look(world: Service, place: str) -> None:
    world.seconds = 40.0
    found = await outcomes_of(worker(world), videos("a", "b"), place, wait_timeout=12.0)
    assert all(isinstance(outcome.error, GenerationTimeoutError) for outcome in found.values())
    assert "12" in str(found["a/0"].error)
    assert 12.0 <= world.time.elapsed < 27.0
    found = await outcomes_of(worker(world, 1), videos("a", "b"), place)
    assert all(outcome.ok for outcome in found.values())
    assert len(world.ledger) == 2


async def test_a_client_that_may_not_ask_any_more_keeps_nothing_and_tells_its_own(world: Service, place: str) -> None:
    def refuses(method: str, url: str) -> Reply | None:
        return refusal(401, "invalid_api_key") if method == "GET" and world.time.elapsed > 3.0 else None

    world.seconds, found = 10.0, dict[int, dict[str, BatchOutcome]]()
    async with anyio.create_task_group() as group:
        group.start_soon(work, found, 1, Asking(world).worker(1, refuses), videos("a"), place)
        await until(world, lambda: counted(place).accepted == 1)
        group.start_soon(work, found, 2, worker(world, 2), videos("b"), place)
    assert isinstance(found[1]["a/0"].error, AuthenticationError)
    assert found[2]["b/0"].ok


async def test_a_keeper_that_cannot_wait_any_more_leaves_it_to_each(
    world: Service, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = GrowingJobWaiter.run

    async def ends(waiter: GrowingJobWaiter[Any]) -> None:
        if isinstance(getattr(waiter._ended, "__self__", None), Keeper):
            waiter._workers.crash = LookupError("It was closed.")
        else:
            await run(waiter)

    monkeypatch.setattr(GrowingJobWaiter, "run", ends)
    found = await outcomes_of(worker(world), videos("a", "b"), place)
    assert all(outcome.ok for outcome in found.values())


async def test_news_of_another_generation_is_none_of_a_jobs(
    world: Service, place: str, postgres: PostgresServer
) -> None:
    async with Batches(worker(world))(videos("a"), journal=place) as run:
        await until(world, lambda: counted(place).accepted == 1)
        postgres.execute("UPDATE neuralbox.record SET gen_id = '5', kept = -1, news = true")
        await world.time.sleep(3.0)
        assert postgres.execute("SELECT news FROM neuralbox.record") == [(True,)]
        postgres.execute("UPDATE neuralbox.record SET gen_id = '18000', kept = 0, news = false")
        assert [outcome.ok async for outcome in run] == [True]


async def test_what_is_told_of_a_lost_answer_counts_only_while_it_is_so(
    world: Service, place: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sends again what was said to be absent, and is not any more, pays twice."""
    look, looked = SharedJournal.look, list[str]()

    async def answer(journal: SharedJournal, key: str) -> Any:
        found = await look(journal, key)
        looked.append(found.state)
        return replace(found, state="sending") if len(looked) == 1 else found

    monkeypatch.setattr(SharedJournal, "look", answer)
    world.ends = lambda number, body: "dropped before" if number == 3 else "answered"
    async with Batches(worker(world))(videos("a", "b", "c", "d"), journal=place, max_sending=1) as run:
        await until(world, lambda: counted(place).sending == 1 and len(world.posts) >= 3)
        postgres.execute("UPDATE neuralbox.record SET news = true WHERE state = 1")
        await until(world, lambda: looked)
        await world.time.sleep(2.0)
        assert looked == ["planned"]
        postgres.execute("UPDATE neuralbox.record SET news = true WHERE state = 0")
        assert [outcome.ok async for outcome in run] == [True] * 4
    assert len(world.ledger) == 4


async def test_a_journal_that_cannot_be_read_leaves_the_waiting_to_each(
    world: Service, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    news, asked = SharedJournal.news, list[int]()

    async def answer(journal: SharedJournal) -> Any:
        asked.append(1)
        if len(asked) > 5:
            await anyio.lowlevel.checkpoint()  # as the database would
            raise JournalError("The database is gone.")
        return await news(journal)

    monkeypatch.setattr(SharedJournal, "news", answer)
    outcomes = list[bool]()
    async with Batches(worker(world))(videos("a", "b"), journal=place) as run:
        with pytest.raises(JournalError, match="database is gone"):
            await take_all(run, outcomes)
    assert outcomes == [True, True]


async def test_a_bug_of_the_keeper_is_raised_and_nobody_waits_in_vain(
    world: Service, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def turn(tenure: Tenure) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(Tenure, "turn", turn)
    outcomes = list[bool]()
    async with Batches(worker(world))(videos("a", "b"), journal=place) as run:
        with pytest.raises(ZeroDivisionError):
            await take_all(run, outcomes)
    assert outcomes == [True] * len(world.ledger)


async def test_a_keeper_alone_waits_for_all_and_works_on_nothing(
    world: Service, place: str, postgres: PostgresServer
) -> None:
    asking, found = Asking(world), dict[int, dict[str, BatchOutcome]]()
    core = asking.worker(1)
    async with anyio.create_task_group() as group:
        group.start_soon(keep_account, core, place)
        await until(world, lambda: counted(place).service)
        await until(world, lambda: postgres.execute("SELECT keeper FROM neuralbox.account") == [(1,)])
        assert read_summary(place).owner is None
        found[2] = await outcomes_of(asking.worker(2), videos("a", "b"), place)
        group.cancel_scope.cancel()
    assert all(outcome.ok for outcome in found[2].values())
    assert len(asking.by[core]) > 1


async def test_a_keeper_alone_ends_with_what_makes_it_useless(
    world: Service, place: str, postgres: PostgresServer, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match="A file has no keeper"):
        await keep_account(worker(world), tmp_path / "run.sqlite")
    assert [*tmp_path.iterdir()] == []

    async def serve(keeper: Keeper, tenure: Tenure) -> None:
        keeper.unfit = AuthenticationError("The key is refused.", status_code=401)

    with monkeypatch.context() as patch:
        patch.setattr(Keeper, "_serve", serve)
        with pytest.raises(AuthenticationError):
            await keep_account(worker(world), place)

    def over(journal: SharedJournal) -> None:
        raise JournalError("It was away.", reason="lease")

    monkeypatch.setattr(SharedJournal, "require_life", over)
    with pytest.raises(JournalError, match="It was away"):
        await keep_account(worker(world), place)


async def test_a_keeper_alone_whose_key_is_refused_says_so_and_the_jobs_are_waited_for_by_their_owner(
    world: Service, place: str, postgres: PostgresServer
) -> None:
    def refuses(method: str, url: str) -> Reply | None:
        return refusal(401, "invalid_api_key") if method == "GET" and world.ledger else None

    found, refused = dict[int, dict[str, BatchOutcome]](), Asking(world).worker(1, refuses)
    async with anyio.create_task_group() as group:

        async def keeps() -> None:
            with pytest.raises(AuthenticationError):
                await keep_account(refused, place)

        group.start_soon(keeps)
        await until(world, lambda: counted(place).service)
        await until(world, lambda: postgres.execute("SELECT keeper FROM neuralbox.account") == [(1,)])
        group.start_soon(work, found, 2, worker(world, 2), videos("a", "b"), place)
    assert all(outcome.ok for outcome in found[2].values())


async def test_a_client_that_looks_for_nothing_keeps_nothing(
    world: Service, place: str, postgres: PostgresServer
) -> None:
    found = await outcomes_of(worker(world, submission="raise"), videos("a"), place)
    assert found["a/0"].ok
    assert postgres.execute("SELECT keeper FROM neuralbox.account") == [(0,)]


async def test_what_is_sent_again_while_the_keeper_looks_is_a_rival_and_nothing_is_concluded_of_the_first(
    world: Service, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = worker(world)
    registry = registry_of(core)
    wire = videos("same")[0].build(core.options.dialect)
    claim = claim_of(wire, key="theirs", kind="video", model="kling-v2.1")
    told = replace(claim, sent_at=world.time.now(), server_offset=0.0).to_shared_dict()
    entry = PendingSubmission(claim, wire, None, Attempt(core.clock()))
    entry.is_recent = True
    registry.begin(entry)
    registry.resume(entry)
    registry.meet("a journal", AccountView([ClaimInFlight(told, is_unknown=True)], []))
    assert registry.is_known(entry)
    registry.meet("a journal", AccountView([ClaimInFlight(told, is_unknown=False)], []))
    assert not registry.is_known(entry)
    assert registry._submissions["theirs"].in_flight
    item = HistoryEntry(5, "video", "kling-v2.1", "same", world.time.now(), {})
    assert not registry.adopt(entry, item)
    registry.remove(entry)  # the other stays
    assert "theirs" in registry._submissions
    begun = PendingSubmission(claim, wire, None, Attempt(core.clock()))
    registry.begin(begun)
    registry.part_from("a journal")  # it is this process's own by now
    assert registry.is_known(begun)
    others = AccountView([ClaimInFlight({**told, "key": "another's"}, is_unknown=False)], [])
    registry.meet("a journal", others)
    assert "another's" in registry._submissions
    registry.part_from("a journal")
    assert set(registry._submissions) == {"theirs"}


async def test_a_lost_request_that_this_process_takes_over_meanwhile_is_looked_for_anew(
    world: Service, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its registry learns of that between the walk and the conclusion."""
    adopt, asked = Registry.adopt, list[bool]()

    def answer(registry: Registry, entry: PendingSubmission, item: HistoryEntry) -> bool:
        if not asked:
            registry.remove(entry)
        asked.append(registry.is_known(entry))
        return adopt(registry, entry, item)

    monkeypatch.setattr(Registry, "adopt", answer)
    world.ends = lambda number, body: "dropped after" if number == 3 else "answered"
    found = await outcomes_of(worker(world), videos("a", "b", "c"), place, max_sending=1)
    assert asked[0] is False
    assert [outcome.error for outcome in found.values() if not outcome.ok] == []
    assert len(world.ledger) == 3


@one_loop
async def test_what_was_found_and_could_not_be_written_down_is_found_again(
    world: Service, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    adopt, tried = Tenure.adopt, list[JobRef]()

    async def answer(tenure: Tenure, lost: LostClaim, job: JobRef, **more: Any) -> Any:
        tried.append(job)
        if len(tried) == 1:
            raise JournalError("The database is gone.", reason="unwritable")
        return await adopt(tenure, lost, job, **more)

    monkeypatch.setattr(Tenure, "adopt", answer)
    world.ends = lambda number, body: "dropped after" if number == 2 else "answered"
    found = await outcomes_of(worker(world), videos("a", "b"), place, max_sending=1)
    assert all(outcome.ok for outcome in found.values())
    assert len(tried) == len(world.ledger) == 2


def test_what_could_not_be_settled_is_read_as_it_was_written(world: Service) -> None:
    service = core_of(world).options.service
    from neuralbox._submissions.matching import OpenReason

    made = service.read({"id": 5, "status": "completed", "result_url": "http://x/5"}, kind="video")
    odd = service.read({"id": 6, "status": "completed", "cost": float("nan")}, kind="video")
    unsure = Unsure("several may be it", (made,), OpenReason.HISTORY, (1.0, 2.0))
    assert _unsure_of(unsure_record(unsure), service, "video") == unsure
    bare = _unsure_of(unsure_record(Unsure("why", (odd,))), service, None)
    assert (bare.why, bare.candidates, bare.window) == ("why", (), None)


@pytest.fixture
def _no_keeper_left(postgres: PostgresServer) -> Iterator[None]:
    yield
    if postgres.execute("SELECT to_regclass('neuralbox.owner')::text") != [(None,)]:
        assert postgres.execute("SELECT * FROM neuralbox.owner") == []

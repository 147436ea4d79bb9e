"""Workers of one journal in PostgreSQL: whatever two of them are given, each request is paid for once, and is one's own.

Two workers here are two clients that share nothing but the journal: the time source of each is one of its own, so that
each has an account, a registry and a poller as another process would.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from string import ascii_letters
from typing import Any

import anyio
import anyio.from_thread
import psycopg
import pytest

from neuralbox._batch import reader
from neuralbox._batch.item import BatchItem
from neuralbox._batch.keeper import Keeper
from neuralbox._batch.outcome import BatchOutcome
from neuralbox._batch.planning import plan, plan_all
from neuralbox._batch.reader import planned_request
from neuralbox._batch.resource import Batches
from neuralbox._batch.unknown import reconcile_journal, settle
from neuralbox._budget import Budget
from neuralbox._config import NO_CALL_OPTIONS, ClientOptions, Polling
from neuralbox._core.credentials import ApiKey
from neuralbox._core.exchange import Core
from neuralbox._errors import ConfigurationError, InsufficientTokensError, JournalError, SubmissionUnknownError
from neuralbox._journal import open_account_journal, read_records, read_summary, read_workers
from neuralbox._journal.postgres import membership, reading
from neuralbox._journal.postgres import store as stores
from neuralbox._journal.protocol import PlannedRequest
from neuralbox._journal.reading import plan_requests
from neuralbox._journal.shared import AccountView, ClaimInFlight, GrantRefusal, SharedJournal, taken
from neuralbox._report import write_batch_report
from neuralbox._requests.requests import ImageRequest, VideoRequest
from neuralbox._submissions import keyed, submission
from neuralbox._submissions.claim import claim_of
from neuralbox._submissions.registry import SettlePolicy, registry_of
from neuralbox._types import JobRef

from ..helpers import KEY, one_loop, refusal
from ..journal.workers import wait_until
from ..postgres import PostgresServer
from ..service import Service
from .support import a_service, hold_for_journals

pytestmark = pytest.mark.anyio

BASE_URL = "http://box.test"


@pytest.fixture
def place(postgres: PostgresServer) -> Iterator[str]:
    postgres.empty()
    yield postgres.url()
    assert membership._hearts == {}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Service:
    """A service whose clock stands still while a worker waits for the database."""
    world = a_service(seconds=8.0)  # each second of a worker costs real questions to the database
    hold_for_journals(world.time, monkeypatch)
    return world


@pytest.fixture
def _nobody_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each worker wait and look by itself, as one does whose client may not ask for all."""

    async def run(keeper: Keeper) -> None:
        keeper.unfit = LookupError("It may not ask.")

    monkeypatch.setattr(Keeper, "run", run)


def worker(world: Service, number: int = 0, **options: Any) -> Core:
    """A client that shares nothing with the others in this process."""
    options.setdefault("polling", Polling(min_interval=1.0, max_interval=5.0))
    source = replace(world.time.time_source, random=lambda: 0.5 + number / 1_000)
    core = Core(world, ClientOptions(base_url=BASE_URL, **options), ApiKey(KEY), source)
    registry_of(core).settling = SettlePolicy(base=2.0, longest=4.0, listed_by=8.0)
    return core


def videos(*prompts: str) -> list[VideoRequest]:
    return [
        VideoRequest(model="kling-v2.1", prompt=prompt, key=f"{prompt}/{number}", duration=5)
        for number, prompt in enumerate(prompts)
    ]


async def outcomes_of(core: Core, requests: Any, place: str, **options: Any) -> dict[str, BatchOutcome]:
    found: dict[str, BatchOutcome] = {}
    async with Batches(core)(requests, journal=place, **options) as run:
        async for outcome in run:
            assert outcome.key not in found
            found[outcome.key] = outcome
    return found


def ids_of(*found: dict[str, BatchOutcome]) -> set[Any]:
    return {outcome.job.id for each in found for outcome in each.values() if outcome.job is not None}


def end_leases(postgres: PostgresServer, batch: Any) -> None:
    """Let a lease end in the database, and its owner hear of it as with the next beat."""
    owner = batch._journal._store._owner
    postgres.execute("UPDATE neuralbox.owner SET lease_until = clock_timestamp() WHERE number = %s", (owner.number,))
    owner.lost = True


@one_loop
@pytest.mark.usefixtures("_who_meet")
async def test_a_share_that_is_given_to_two_workers_is_paid_once_and_delivered_by_both(
    world: Service, place: str
) -> None:
    found = list[dict[str, BatchOutcome]]()

    async def work(number: int) -> None:
        found.append(await outcomes_of(worker(world, number), videos("a", "b", "b"), place))

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(work, number)
    assert [sorted(each) for each in found] == [["a/0", "b/1", "b/2"]] * 3
    assert len(world.ledger) == 3
    assert len(ids_of(*found)) == 3
    assert all(outcome.ok for each in found for outcome in each.values())
    assert sum(outcome.resumed for each in found for outcome in each.values()) >= 4
    again = await outcomes_of(worker(world, 9), videos("a", "b", "b"), place)
    assert all(outcome.resumed for outcome in again.values())
    assert len(world.ledger) == 3


@pytest.mark.parametrize("where", ["first", "second"])
async def test_a_journal_that_cannot_be_asked_for_the_others_ends_the_batch(
    world: Service, place: str, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    world.seconds, takes = 20.0, list[int]()
    take = SharedJournal.take

    async def answer(journal: SharedJournal, keys: Any) -> Any:
        takes.append(1)
        if where == "first" or len(takes) > 3:
            await anyio.lowlevel.checkpoint()  # as the database would
            raise JournalError("The database is gone.")
        return await take(journal, keys)

    async with Batches(worker(world, 1))(videos("a", "b"), journal=place) as first:
        while read_summary(place).accepted < 2:
            await world.time.sleep(0.1)
        monkeypatch.setattr(SharedJournal, "take", answer)
        with pytest.raises(JournalError, match="database is gone"), anyio.fail_after(20):
            await outcomes_of(worker(world, 2), videos("a", "b"), place)
        monkeypatch.setattr(SharedJournal, "take", take)
        assert [outcome.ok async for outcome in first] == [True, True]


@one_loop
@pytest.mark.parametrize("seconds", [0.0, 5.0])
@pytest.mark.usefixtures("_who_meet")
async def test_what_failed_and_is_tried_again_by_two_is_bought_by_one(
    world: Service, place: str, seconds: float
) -> None:
    world.ends = lambda number, body: "failed" if number == 1 else "answered"
    await outcomes_of(worker(world), videos("a"), place)
    found = list[dict[str, BatchOutcome]]()

    async def work(number: int) -> None:
        found.append(await outcomes_of(worker(world, number), videos("a"), place, retry_failed=True))

    world.holds = seconds
    async with anyio.create_task_group() as group:
        group.start_soon(work, 1)
        group.start_soon(work, 2)
    assert [outcome.error for each in found for outcome in each.values() if not outcome.ok] == []
    assert [len(each) for each in found] == [1, 1]
    assert (len(world.ledger), len(ids_of(*found))) == (2, 1)


@one_loop
@pytest.mark.parametrize("fate", ["dropped after", "dropped before"])
@pytest.mark.usefixtures("_who_meet")
async def test_equal_prompts_whose_answers_are_lost_in_two_workers_are_each_their_own(
    world: Service, place: str, fate: str
) -> None:
    """Without the journal's word each would take what it finds first, and one generation would be delivered twice."""
    found, world.holds = list[dict[str, BatchOutcome]](), 1.0
    world.ends = lambda number, body: fate if number % 3 == 1 else "answered"

    async def work(number: int) -> None:
        share = [request for at, request in enumerate(videos(*["same"] * 12)) if at % 2 == number]
        found.append(await outcomes_of(worker(world, number), share, place))

    async with anyio.create_task_group() as group:
        group.start_soon(work, 0)
        group.start_soon(work, 1)
    assert [len(each) for each in found] == [6, 6]
    assert len(ids_of(*found)) == sum(outcome.ok for each in found for outcome in each.values())
    # Where nothing proves that one was never accepted it stays unknown, and a later worker, which sees more, settles it.
    last = await outcomes_of(worker(world, 2), videos(*["same"] * 12), place)
    for number in range(3, 7):
        if not all(outcome.ok for outcome in last.values()):
            last = await outcomes_of(worker(world, number), videos(*["same"] * 12), place)
    assert [outcome.error for outcome in last.values() if not outcome.ok] == []
    assert len(ids_of(last)) == len(world.ledger) == 12


async def test_what_a_dead_worker_left_is_settled_by_the_next(world: Service, place: str) -> None:
    world.ends = lambda number, body: {3: "dropped after", 4: "dropped before"}.get(number, "answered")
    share = videos("one", "two", "three", "four")
    first = await outcomes_of(worker(world, 1, submission="raise"), share, place, max_sending=1)
    assert sum(isinstance(outcome.error, SubmissionUnknownError) for outcome in first.values()) == 2
    assert sorted(record.state for record in read_records(place)) == ["final", "final", "sending", "sending"]
    found = await outcomes_of(worker(world, 2), share, place)
    assert [outcome.error for outcome in found.values() if not outcome.ok] == []
    assert len(ids_of(found)) == len(world.ledger) == 4


async def test_an_unknown_one_is_the_journals_and_not_the_clients(world: Service, place: str) -> None:
    world.ends = lambda number, body: "dropped after"
    core = worker(world, submission="raise")
    await outcomes_of(core, videos("one"), place)
    assert registry_of(core).unresolved == ()


async def test_a_worker_that_was_away_too_long_leaves_and_the_next_takes_over(
    world: Service, place: str, postgres: PostgresServer, moves: set[tuple[str, str]]
) -> None:
    world.seconds = 12.0
    found = dict[str, BatchOutcome]()
    async with Batches(worker(world, 1))(videos("a", "b"), journal=place) as first:
        while read_summary(place).accepted < 2:
            await world.time.sleep(0.1)

        async def work() -> None:
            found.update(await outcomes_of(worker(world, 2), videos("a", "b", "c"), place))

        async with anyio.create_task_group() as group:
            group.start_soon(work)
            await world.time.sleep(5.0)
            end_leases(postgres, first)
            with pytest.raises(JournalError, match="It sends nothing more; run it again") as caught:
                await anext(first)
            assert caught.value.reason == "lease"
    assert sorted(found) == ["a/0", "b/1", "c/2"]
    assert len(ids_of(found)) == len(world.ledger) == 3
    assert {("waiting", "-"), ("waiting", "waiting")} <= moves


@pytest.mark.usefixtures("_nobody_keeps")
async def test_what_had_ended_and_was_not_written_down_goes_with_the_lease(
    world: Service, place: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    final, written = SharedJournal.final, anyio.Event()

    async def held(journal: SharedJournal, key: str, outcome: Any) -> None:
        written.set()
        await world.time.sleep(5.0)
        await final(journal, key, outcome)

    monkeypatch.setattr(SharedJournal, "final", held)
    async with Batches(worker(world, 1))(videos("a", "b"), journal=place) as batch:
        await written.wait()
        end_leases(postgres, batch)
        with pytest.raises(JournalError) as caught:
            await anext(batch)
        assert caught.value.reason == "lease"
        await world.time.sleep(10.0)
        assert batch._state is not None
        assert (batch._state.counter.in_flight, [*batch._state.done]) == (0, [])
    monkeypatch.setattr(SharedJournal, "final", final)
    found = await outcomes_of(worker(world, 2), videos("a", "b"), place)
    assert all(outcome.ok for outcome in found.values())
    assert len(world.ledger) == 2


async def test_a_request_that_nobody_may_send_any_more_does_not_leave(
    world: Service, place: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[str]()

    def suspended(journal: SharedJournal, key: str | None = None) -> None:
        asked.append(str(key))
        raise JournalError("It was suspended between the two.", reason="lease")

    monkeypatch.setattr(SharedJournal, "require_lease", suspended)
    with pytest.raises(JournalError, match="suspended between"):
        await outcomes_of(worker(world), videos("a"), place)
    assert set(asked) == {"a/0"}
    assert world.ledger == []
    assert [record.state for record in read_records(place)] == ["planned"]


async def test_those_who_watch_see_what_holds_a_worker_up(
    world: Service, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.ends = lambda number, body: (
        refusal(429, "rate_limit_exceeded", retry_after="20") if number == 1 else "answered"
    )
    core, seen = worker(world, max_retry_wait=5.0), list[tuple[str, float | None]]()
    tell = SharedJournal.tell

    async def told(journal: SharedJournal, throttled: tuple[float, str] | None) -> None:
        await tell(journal, throttled)
        (one,) = read_workers(place, core.now())
        seen.append((one.throttled_by, one.throttled_until))
        raise JournalError("what it is for is worth no run", reason="failed")

    monkeypatch.setattr(SharedJournal, "tell", told)
    found = await outcomes_of(core, videos("one"), place)
    assert found["one/0"].ok
    assert [by for by, _ in seen] == ["asked", ""]
    assert seen[0][1] is not None
    assert seen[1][1] is None


async def test_requests_in_a_shared_journal_have_keys(world: Service, place: str) -> None:
    requests = [ImageRequest(model="flux-1.1-pro", prompt="no key"), *videos("a")]
    found = await outcomes_of(worker(world), requests, place)
    assert "needs a `key` of its own" in str(found["000001"].error)
    assert found["a/0"].ok


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


async def test_files_and_failures_that_were_left_are_seen_to_where_that_is_wanted(
    world: Service, place: str, tmp_path: Path
) -> None:
    world.ends = lambda number, body: "failed" if number == 1 else "answered"
    await outcomes_of(worker(world), videos("a", "b"), place)
    assert await outcomes_of(worker(world), None, place) == {}
    found = await outcomes_of(worker(world, 1), None, place, download_to=tmp_path, retry_failed=True)
    assert sorted(found) == ["a/0", "b/1"]
    assert read_summary(place).saved == 2
    assert len(world.ledger) == 3


async def test_a_worker_without_tokens_leaves_the_rest_to_others(world: Service, place: str) -> None:
    from neuralbox._batch.planning import plan

    world.ends = lambda number, body: refusal(402, "insufficient_tokens")
    plan(place, videos(*["a"] * 600), service=BASE_URL, now=world.time.now())
    found = await outcomes_of(worker(world), None, place, max_sending=1, max_in_flight=4)
    assert all(isinstance(outcome.error, InsufficientTokensError) for outcome in found.values())
    assert len(found) < 300
    assert read_summary(place).planned == 600


def _cut(world: Service) -> None:
    world.ends = lambda number, body: "dropped after"


def _slow(world: Service) -> None:
    world.seconds = 1e7


@one_loop
@pytest.mark.parametrize("lists", [True, False])
@pytest.mark.parametrize(
    ("options", "arrange"),
    [
        pytest.param({"budget": 8}, None, id="no tokens are left"),
        pytest.param({"wait_timeout": 60.0}, _slow, id="the wait was too long"),
        pytest.param({"submission": "raise"}, _cut, id="nobody knows"),
        pytest.param({"kind": "of tomorrow"}, None, id="nobody can read it"),
    ],
)
async def test_workers_do_not_wait_for_each_others_requests_that_got_no_generation(
    world: Service,
    place: str,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    arrange: Any,
    lists: bool,
) -> None:
    monkeypatch.setattr(reader, "PAGE", 2)
    monkeypatch.setattr(stores, "PAGE", 2)
    if arrange is not None:
        arrange(world)
    requests = videos(*"abcdefgh")
    planned = [planned_request(request.key or "", request) for request in requests]
    if "kind" in options:
        planned = [PlannedRequest(each.key, {"kind": options["kind"]}) for each in planned]
    if not lists or "kind" in options:
        plan_requests(place, planned, service=BASE_URL, now=1.0)
        shares: list[Any] = [None, None]
    else:
        shares = [requests, [*reversed(requests)]]
    of_client = {name: value for name, value in options.items() if name == "submission"}
    of_run = {name: value for name, value in options.items() if name in ("budget", "wait_timeout")}
    ended, found = list[int](), dict[str, BatchOutcome]()

    async def work(number: int) -> None:
        core = worker(world, number, **of_client)
        async with Batches(core)(shares[number], journal=place, **of_run) as run:
            async for outcome in run:
                found[outcome.key] = outcome
            ended.append(number)
            while len(ended) < 2:  # it lives on, and so does all that it has
                await world.time.sleep(1.0)

    async with anyio.create_task_group() as group:
        group.start_soon(work, 0)
        group.start_soon(work, 1)
        while len(ended) < 2 and world.time.elapsed < 600.0:
            await world.time.sleep(1.0)
        group.cancel_scope.cancel()
    assert sorted(ended) == [0, 1]
    assert sorted(found) == sorted(request.key or "" for request in requests)
    assert len(world.ledger) <= len(requests)


async def test_what_is_given_up_is_told_again_where_the_journal_was_away_and_not_of_a_key_that_is_here_anew(
    world: Service, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_up, told = SharedJournal.give_up, list[list[str]]()

    async def answer(journal: SharedJournal, keys: Any) -> None:
        told.append([*keys])
        if len(told) == 1:
            raise JournalError("The database is away.", reason="unwritable")
        await give_up(journal, keys)

    monkeypatch.setattr(SharedJournal, "give_up", answer)
    world.price = 4
    async with Batches(worker(world))(videos("a"), journal=place, budget=1) as run:
        outcome = await anext(run)
        state = run._state
        assert state is not None
        state.live["b"] = BatchItem("b", None)
        state.given_up["b"] = BatchItem("b", None)
        while len(told) < 2:
            await world.time.sleep(0.5)
        del state.live["b"]
    assert not outcome.ok
    assert [set(keys) for keys in told] == [{"a/0"}, {"a/0"}]


async def test_leaving_early_leaves_the_rest_to_others(world: Service, place: str) -> None:
    from neuralbox._batch.planning import plan

    plan(place, videos("a", "b", "c"), service=BASE_URL, now=world.time.now())
    async with Batches(worker(world))(None, journal=place, max_in_flight=1) as run:
        async for _ in run:
            break
    found = await outcomes_of(worker(world, 1), None, place)
    assert len(found) == 2


async def test_reconciling_and_settling_work_on_a_run_in_a_database(world: Service, place: str) -> None:
    world.ends = lambda number, body: {1: "dropped after", 2: "dropped before", 3: "dropped before"}.get(
        number, "answered"
    )
    await outcomes_of(worker(world, submission="raise"), videos("a", "b", "c", "d"), place, max_sending=1)
    assert await settle(worker(world, 3), place, "c/2") is None
    found = {each.key: each for each in await reconcile_journal(worker(world, 1), place)}
    assert found["a/0"].job is not None
    assert found["b/1"].is_absent
    assert {record.key: record.state for record in read_records(place)} == {
        "a/0": "accepted",
        "b/1": "planned",
        "c/2": "final",
        "d/3": "final",
    }
    with pytest.raises(ConfigurationError, match="Nothing is unknown"):
        await settle(worker(world), place, "a/0", resend=True)


async def test_what_a_living_worker_has_is_not_settled_by_others(world: Service, place: str) -> None:
    world.holds = 5.0
    async with Batches(worker(world, 1))(videos("a"), journal=place) as run:
        while read_summary(place).sending == 0:
            await world.time.sleep(0.1)
        with pytest.raises(JournalError, match="has the request 'a/0' at this moment"):
            await settle(worker(world, 2), place, "a/0")
        assert await reconcile_journal(worker(world, 2), place) == []
        assert [outcome.ok async for outcome in run] == [True]


async def test_a_generation_of_another_run_is_not_adopted_by_hand_however_it_is_called(
    world: Service, place: str
) -> None:
    world.listing.ids = "mixed"
    world.end_with("answered", "dropped before")
    [outcome] = (await outcomes_of(worker(world), videos("same"), place)).values()
    assert outcome.job is not None
    second = [replace(videos("same")[0], key="second")]
    await outcomes_of(worker(world, 1, submission="raise"), second, f"{place}-b")
    for name in (outcome.job.id, f"gen_{outcome.job.id}"):
        with pytest.raises(ConfigurationError, match="belongs to a request of another run"):
            await settle(worker(world, 2), f"{place}-b", "second", adopt=name)


async def test_a_key_that_a_database_cannot_look_up_is_an_outcome_and_the_others_go_on(
    world: Service, place: str
) -> None:
    long, whole = (replace(videos("same")[0], key="k" * size) for size in (2_001, 2_000))
    found = await outcomes_of(worker(world), [long, *videos("other"), whole], place)
    assert "has at most 2,000 bytes; this one has 2,001" in str(found["k" * 2_001].error)
    assert [outcome.ok for outcome in found.values()].count(True) == 2


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


# One job with a key.


async def submit(core: Core, place: str, key: str, prompt: str = "once") -> Any:
    request = VideoRequest(model="kling-v2.1", prompt=prompt).build(core.options.dialect)
    return await keyed.submit(core, request, NO_CALL_OPTIONS, kind="video", model="kling-v2.1", journal=place, key=key)


@pytest.mark.usefixtures("_who_meet")
async def test_a_job_with_a_key_is_bought_once_by_any_number_of_processes(world: Service, place: str) -> None:
    jobs, world.holds = list[Any](), 2.0
    world.ends = lambda number, body: "dropped after"

    async def buy(number: int) -> None:
        jobs.append((await submit(worker(world, number), place, "order-7")).ref.id)

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(buy, number)
    assert len(world.ledger) == 1
    assert jobs == [world.ledger[0].id] * 3


async def test_a_key_that_another_process_is_at_for_too_long_is_an_error(world: Service, place: str) -> None:
    core = worker(world, 1)
    async with await open_account_journal(core, place) as other:
        request = VideoRequest(model="kling-v2.1", prompt="once").build(core.options.dialect)
        from neuralbox._journal import PlannedRequest

        await other.plan([PlannedRequest("order-7", keyed._described(request, NO_CALL_OPTIONS))])
        with pytest.raises(JournalError, match="Another program is submitting the request 'order-7'") as caught:
            await submit(worker(world, 2), place, "order-7")
        assert caught.value.reason == "locked"
        await other.accepted("order-7", id=7)
        assert (await submit(worker(world, 3), place, "order-7")).ref.id == 7


# What the journal grants.


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


def first_is_taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let another worker take the first request just before it is sent; returns which that was."""
    sending, refused = SharedJournal.sending, list[str]()

    async def answer(
        journal: SharedJournal, key: str, claim: Any, *, mark: bytes | None = None, price: int | None = None
    ) -> None:
        if not refused:
            refused.append(key)
            raise taken(journal.path, key)
        await sending(journal, key, claim, mark=mark)

    monkeypatch.setattr(SharedJournal, "sending", answer)
    return refused


async def test_what_another_worker_brings_to_its_end_costs_nothing_here(
    world: Service, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_is_taken(monkeypatch)
    budget = Budget(100)
    found = await outcomes_of(worker(world), videos("a"), place, budget=budget)
    assert found["a/0"].ok
    assert (budget.spent, budget.reserved) == (4, 0)


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


async def test_a_request_that_another_worker_took_meanwhile_is_waited_for(
    world: Service, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = first_is_taken(monkeypatch)
    found = await outcomes_of(worker(world), videos("a"), place)
    assert (found["a/0"].ok, refused, len(world.ledger)) == (True, ["a/0"], 1)


async def test_a_run_that_fails_waits_for_nothing_that_is_anothers(world: Service, place: str) -> None:
    def requests() -> Iterator[VideoRequest]:
        yield from videos("a")

    async with await open_account_journal(worker(world, 1), place) as other:
        await other.plan([planned_request("a/0", videos("a")[0])])
        async with Batches(worker(world))(requests(), journal=place) as run:
            while run.progress.waiting == 0:
                await world.time.sleep(0.1)
            assert run._state is not None
            run._state.fail(LookupError("of a callback"))
            with pytest.raises(LookupError):
                await anext(run)
    assert world.ledger == []

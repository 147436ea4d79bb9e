"""`submit(journal=, key=)`: bought once for each key, whatever happens to the program in between."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from subprocess import PIPE
from types import SimpleNamespace
from typing import Any
from weakref import WeakValueDictionary

import anyio
import pytest
from anyio.lowlevel import checkpoint

from neuralbox import AsyncNeuralBox
from neuralbox._api.builders import build_media
from neuralbox._batch.unknown import GIVEN_UP, settle
from neuralbox._budget import Budget
from neuralbox._config import CallOptions
from neuralbox._core.credentials import Session
from neuralbox._core.exchange import Core
from neuralbox._errors import (
    ConfigurationError,
    GenerationFailedError,
    InsufficientTokensError,
    JournalError,
    SubmissionUnknownError,
)
from neuralbox._journal import open_journal, read_records, read_summary
from neuralbox._journal.grouped import GroupedJournal
from neuralbox._journal.protocol import JournalRecord, PlannedRequest
from neuralbox._journal.shared import SharedJournal
from neuralbox._models.generation import Generation
from neuralbox._polling.job import Job
from neuralbox._submissions import keyed
from neuralbox._submissions.shared_record import SharedRecord
from neuralbox._types import JobRef
from neuralbox.sandbox import Sandbox, serve
from neuralbox.testing import in_memory
from tests.helpers import make_core, reply

from ..forks import Forks
from ..service import a_shop
from . import buyer

pytestmark = pytest.mark.anyio


async def buy(
    core: Core, journal: Path | None, key: str | None = "intro", *, prompt: str = "A boat", **options: Any
) -> Job:
    """Submit a video, as a resource does."""
    call = CallOptions(**{name: options.pop(name) for name in ("extra_body", "extra_query") if name in options})
    callback = options.pop("on_accepted", None)
    request = build_media(model="kling-v2.1", prompt=prompt, options=options, nested=False)
    return await keyed.submit(
        core, request, call, kind="video", model="kling-v2.1", journal=journal, key=key, on_accepted=callback
    )


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite"


def states(path: Path) -> Mapping[str, str]:
    return {record.key: record.state for record in read_records(path)}


async def test_the_same_key_is_the_same_job_and_another_key_another(journal: Path) -> None:
    async with a_shop() as shop:
        first, again = await buy(shop.core(), journal), await buy(shop.core(), journal)
        other = await buy(shop.core(), journal, "outro")
        assert first.ref == again.ref == JobRef(18_000, "video", "kling-v2.1")
        assert other.id == 18_001
        assert len(shop.posts) == 2
        video = await again.wait()
        assert video.url is not None
    assert states(journal) == {"intro": "accepted", "outro": "accepted"}


async def test_without_a_journal_every_call_buys(journal: Path) -> None:
    async with a_shop() as shop:
        core = shop.core()
        assert (await buy(core, None, None)).id != (await buy(core, None, None)).id
    assert await anyio.Path(journal).exists() is False


@pytest.mark.parametrize(("at", "key"), [(None, "intro"), (Path("jobs.sqlite"), None)])
async def test_a_journal_without_a_key_or_a_key_without_a_journal_is_refused(at: Path | None, key: str | None) -> None:
    bench = make_core([])
    with pytest.raises(ConfigurationError, match="`journal` and `key` go together"):
        await buy(bench.core, at, key)


async def test_a_key_that_cannot_be_one_is_refused_before_anything_is_sent(journal: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be a key"):
        await buy(make_core([]).core, journal, "")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"prompt": "A tree"}, "body.prompt"),
        ({"duration": 10}, "body.duration"),
        ({"extra_body": {"style": "noir"}}, "body.style"),
        ({"extra_query": {"beta": 1}}, "query"),
    ],
)
@pytest.mark.parametrize("at_once", [False, True])
async def test_another_request_under_the_same_key_is_refused_with_the_difference_named(
    journal: Path, changes: Mapping[str, Any], named: str, *, at_once: bool
) -> None:
    async with a_shop() as shop:
        core, refused = shop.core(), list[str]()

        async def other() -> None:
            with pytest.raises(JournalError) as caught:
                await buy(core, journal, **changes)
            assert caught.value.reason == "changed"
            refused.append(str(caught.value))

        async with anyio.create_task_group() as group:
            if at_once:
                group.start_soon(buy, core, journal)
                await checkpoint()
                await checkpoint()
            else:
                await buy(core, journal)
            group.start_soon(other)
        assert f"it differs in {named}." in refused[0]
        assert len(shop.posts) == 1


async def test_calls_with_one_key_at_once_buy_once_and_with_several_keys_together(journal: Path) -> None:
    async with a_shop() as shop:
        core, jobs = shop.core(), list[Job]()
        shop.latency = 20.0

        async def one(key: str) -> None:
            jobs.append(await buy(core, journal, key))

        async with anyio.create_task_group() as group:
            for key in ("a", "b", "a", "c", "a"):
                group.start_soon(one, key)
        assert len(shop.posts) == 3
        assert len({job.id for job in jobs}) == 3
    assert read_summary(journal).owner is None
    with contextlib.closing(sqlite3.connect(journal)) as file:  # it was open for all of them together
        assert file.execute("SELECT count(*) FROM owners").fetchone() == (1,)


async def test_a_refusal_leaves_the_key_to_be_bought_later(journal: Path) -> None:
    async with a_shop() as shop:
        shop.end_with("402")
        with pytest.raises(InsufficientTokensError):
            await buy(shop.core(), journal)
        assert states(journal) == {"intro": "planned"}
        assert (await buy(shop.core(), journal)).id == 18_000


async def test_of_many_who_wait_behind_one_that_is_refused_only_one_buys(journal: Path) -> None:
    async with a_shop() as shop:
        core, ids = shop.core(), set[object]()
        shop.end_with("402")

        async def call() -> None:
            with contextlib.suppress(InsufficientTokensError):
                ids.add((await buy(core, journal)).id)

        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(call)
        assert len(shop.posts) == 2
        assert ids == {18_000}


async def test_a_lost_answer_is_found_by_the_next_run(journal: Path) -> None:
    async with a_shop() as shop:
        shop.end_with("dropped after")
        with pytest.raises(SubmissionUnknownError):
            await buy(shop.core(submission="raise"), journal)
        assert states(journal) == {"intro": "sending"}
        await buy(shop.core(), journal, "outro", prompt="Another")
        job = await buy(shop.core(), journal)
        assert job.id == 18_000
        assert shop.charged == [18_000, 18_001]
    assert states(journal) == {"intro": "accepted", "outro": "accepted"}


async def test_what_never_arrived_is_bought_by_the_next_run_once_the_history_is_believed(journal: Path) -> None:
    async with a_shop() as shop:
        await buy(shop.core(), journal, "before", prompt="Something else")
        other = await open_journal(journal, account=keyed._account(shop.core()), service="http://box.test")
        await other.plan([PlannedRequest("a batch's", {"kind": "video"})])
        await other.accepted("a batch's", id=18_500)
        await other.plan([PlannedRequest("another of its", {"kind": "video"})])
        await other.accepted("another of its", id=18_501)
        await other.final("another of its", {"status": "completed"})
        await other.aclose()
        shop.end_with("answered", "dropped before")
        with pytest.raises(SubmissionUnknownError):
            await buy(shop.core(submission="raise"), journal)
        await shop.time.sleep(20.0)
        with pytest.raises(SubmissionUnknownError, match="how late the history lists"):
            await buy(shop.core(), journal)
        await shop.time.sleep(600.0)
        job = await buy(shop.core(), journal)
        assert job.id == 18_001
        assert len(shop.charged) == 2


async def test_what_another_key_owns_is_nobody_elses(journal: Path) -> None:
    """Both ask for the same, so that only the journal tells whose the one in the history is."""
    async with a_shop() as shop:
        shop.end_with("dropped before")
        with pytest.raises(SubmissionUnknownError):
            await buy(shop.core(submission="raise"), journal, "lost")
        await shop.time.sleep(50.0)
        owner = await buy(shop.core(), journal, "owner")
        job = await buy(shop.core(), journal, "lost")
        assert job.id != owner.id
        assert len(shop.charged) == 2


async def test_in_the_same_program_an_unknown_key_is_looked_for_too(journal: Path) -> None:
    async with a_shop() as shop:
        core = shop.core(submission="raise")
        shop.end_with("dropped after")
        async with keyed.opened(core, journal):  # somebody keeps the journal open
            with pytest.raises(SubmissionUnknownError):
                await buy(core, journal)
            job = await buy(core.with_options(core.options.with_changes(submission="reconcile")), journal)
            assert job.id == 18_000
            assert (await buy(core, journal)).id == 18_000
        assert shop.charged == [18_000]


async def test_a_cancelled_call_is_taken_up_again(journal: Path) -> None:
    async with a_shop() as shop:
        core = shop.core()
        shop.latency = 30.0

        async with anyio.create_task_group() as group:
            group.start_soon(buy, core, journal)
            while not shop.posts:  # noqa: ASYNC110 - the journal's thread knows no event
                await anyio.sleep(0.001)
            await shop.time.sleep(20.0)
            group.cancel_scope.cancel()
        shop.latency = 0.1
        assert len(shop.charged) == 1
        assert read_summary(journal).owner is None  # closed, whatever ended the call
        assert not keyed._open_journals.get(dict)
        assert (await buy(core, journal)).id == 18_000
        assert len(shop.charged) == 1


async def test_the_callback_is_told_of_what_is_bought_and_not_of_what_was(journal: Path) -> None:
    async with a_shop() as shop:
        told: list[JobRef] = []
        for _ in range(2):
            await buy(shop.core(), journal, on_accepted=told.append)
        assert told == [JobRef(18_000, "video", "kling-v2.1")]


async def test_what_was_sent_cannot_be_given_up(journal: Path) -> None:
    async with a_shop() as shop:
        core = shop.core()
        async with keyed.opened(core, journal) as book:
            job = await buy(core, journal)
            await book.give_up("intro")
            assert (await buy(core, journal)).ref == job.ref
        assert states(journal) == {"intro": "accepted"}


async def test_a_job_that_failed_stays_that_job(journal: Path) -> None:
    failed = {"id": 7, "status": "failed", "error": "No."}
    bench = make_core(lambda _: reply(200, failed))
    with pytest.raises(GenerationFailedError):
        await buy(bench.core, journal)
    assert states(journal) == {"intro": "final"}
    job = await buy(bench.core, journal)
    with pytest.raises(GenerationFailedError):
        await job.wait()
    assert [sent.method for sent in bench.sent] == ["GET", "POST", "GET"]  # first the service's clock


async def test_a_result_without_an_id_is_kept_itself(journal: Path) -> None:
    history = reply(200, {"items": []})
    bench = make_core(
        [history, reply(200, {"status": "completed", "result_url": "http://box.test/f", "tokens_spent": 3})]
    )
    async with keyed.opened(bench.core, journal):
        for _ in range(2):
            assert (await (await buy(bench.core, journal)).wait()).url == "http://box.test/f"
    assert (await (await buy(bench.core, journal)).wait()).tokens == 3
    assert [sent.method for sent in bench.sent] == ["GET", "POST"]


async def test_what_a_batch_gave_up_before_it_was_sent_is_bought(journal: Path) -> None:
    async with a_shop() as shop:
        core = shop.core()
        async with keyed.opened(core, journal) as opened:
            assert opened.journal is not None
            body = {"model": "kling-v2.1", "prompt": "A boat"}
            await opened.journal.plan([PlannedRequest("intro", {"path": "/generate", "body": body})])
            await opened.journal.final("intro", {"status": "failed", "error": "Given up."})
        assert (await buy(core, journal)).id == 18_000


# A person decides.


@pytest.mark.parametrize("decision", ["adopt", "resend", "give up"])
async def test_where_no_proof_comes_a_person_settles_a_key(journal: Path, decision: str) -> None:
    async with a_shop() as shop:
        core = shop.core()
        shop.listing.shown = lambda item: {**item, "prompt": None}
        shop.end_with("dropped after")
        with pytest.raises(SubmissionUnknownError) as caught:
            await buy(core, journal)
        (candidate,) = caught.value.candidates
        core = shop.core()
        await settle(
            core, journal, "intro", adopt=candidate.id if decision == "adopt" else None, resend=decision == "resend"
        )
        assert states(journal) == {"intro": {"adopt": "accepted", "resend": "planned", "give up": "final"}[decision]}
        if decision == "give up":
            with pytest.raises(GenerationFailedError, match=GIVEN_UP):
                await (await buy(core, journal)).wait()
            assert (states(journal), len(shop.posts)) == ({"intro": "final"}, 1)
        else:
            assert (await buy(core, journal)).id == (18_000 if decision == "adopt" else 18_001)
        with pytest.raises(ConfigurationError, match="Nothing is unknown of the request 'intro'"):
            await settle(core, journal, "intro")
        with pytest.raises(ConfigurationError, match="either"):
            await settle(core, journal, "intro", adopt=7, resend=True)


# The journal.


async def test_another_program_is_waited_for_and_then_named(journal: Path) -> None:
    async with a_shop() as shop:
        core = shop.core()
        other = await open_journal(journal, account=keyed._account(core), service=core.options.base_url)
        began = shop.time.clock()
        with pytest.raises(JournalError, match="belongs to this very process") as caught:
            await buy(core, journal)
        assert caught.value.reason == "locked"
        assert shop.time.clock() - began >= keyed.LOCK_WAIT
        await other.aclose()
        assert (await buy(core, journal)).id == 18_000


async def test_a_journal_of_another_account_is_refused(journal: Path) -> None:
    async with a_shop() as shop:
        await buy(shop.core(), journal)
        core = shop.core()
        stranger = Core(shop, core.options, Session("token"), core.time_source)
        with pytest.raises(JournalError, match="account"):
            await buy(stranger, journal)
        assert len(shop.posts) == 1


async def test_a_job_whose_journal_cannot_be_closed_is_in_the_error(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = GroupedJournal.aclose

    async def fail(self: GroupedJournal) -> None:
        await real(self)
        raise JournalError("The disk is full.", reason="full")

    async with a_shop() as shop:
        monkeypatch.setattr(GroupedJournal, "aclose", fail)
        with pytest.raises(JournalError, match="The disk is full") as caught:
            await buy(shop.core(), journal)
        assert caught.value.job == JobRef(18_000, "video", "kling-v2.1")
        shop.end_with("answered", "402")
        with pytest.raises(JournalError) as caught:
            await buy(shop.core(), journal, "other")
        assert caught.value.job is None


async def test_one_who_comes_while_the_journal_is_being_closed_opens_it_again(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[Job] = []
    async with a_shop() as shop, anyio.create_task_group() as group:
        core, real = shop.core(), GroupedJournal.aclose

        async def one(key: str) -> None:
            jobs.append(await buy(core, journal, key))

        async def close(self: GroupedJournal) -> None:
            if not jobs:
                jobs.append(Job(core, JobRef("closing")))
                group.start_soon(one, "b")
                for _ in range(5):
                    await checkpoint()
            await real(self)

        monkeypatch.setattr(GroupedJournal, "aclose", close)
        await one("a")
    assert {job.id for job in jobs} == {"closing", 18_000, 18_001}
    assert states(journal) == {"a": "accepted", "b": "accepted"}
    assert not keyed._open_journals.get(dict)


async def test_one_who_comes_back_while_the_journal_is_being_closed_can_buy_what_was_refused(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[Job] = []
    closings: list[GroupedJournal] = []
    async with a_shop() as shop, anyio.create_task_group() as group:
        core, real = shop.core(), GroupedJournal.aclose
        shop.end_with("402")

        async def again() -> None:
            jobs.append(await buy(core, journal))

        async def close(self: GroupedJournal) -> None:
            closings.append(self)
            if len(closings) == 1:
                group.start_soon(again)
                for _ in range(5):
                    await checkpoint()
            await real(self)

        monkeypatch.setattr(GroupedJournal, "aclose", close)
        with pytest.raises(InsufficientTokensError):
            await buy(core, journal)
    assert [job.id for job in jobs] == [18_000]
    assert states(journal) == {"intro": "accepted"}


async def test_keys_that_were_seen_are_forgotten_when_there_are_too_many(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyed, "KEPT", 8)
    async with a_shop() as shop:
        core = shop.core()
        async with keyed.opened(core, journal) as opened:
            for number in range(12):
                await buy(core, journal, f"key {number}")
                assert len(opened._keyed) <= 8
        assert (await buy(core, journal, "key 0")).id == 18_000


async def test_a_key_that_was_forgotten_is_found_in_the_open_journal_again(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was refused as given to two requests, for as long as the journal stayed open."""
    monkeypatch.setattr(keyed, "KEPT", 8)
    async with a_shop() as shop:
        core = shop.core()
        async with keyed.opened(core, journal) as opened:
            shop.end_with("dropped after")
            with pytest.raises(SubmissionUnknownError):
                await buy(shop.core(submission="raise"), journal, "lost")
            shop.ends = lambda _number, _body: "402"
            with pytest.raises(InsufficientTokensError):
                await buy(core, journal, "refused")
            await opened.give_up("refused")
            shop.end_with()
            made = [(await buy(core, journal, f"key {number}")).id for number in range(12)]
            assert not {"lost", "refused", "key 0"} & opened._keyed.keys()
            assert (await buy(core, journal, "key 0")).id == made[0]
            assert (await buy(core, journal, "lost")).id == 18_000
            assert (await buy(core, journal, "refused")).id not in {18_000, *made}
            with pytest.raises(JournalError) as caught:
                await buy(core, journal, "key 1", prompt="Another")
            assert caught.value.reason == "changed"
        assert len(shop.charged) == 14


# Within a budget.


async def drawn(nb: AsyncNeuralBox, journal: Path, key: str = "intro") -> Job:
    return await nb.videos.submit(model="kling-v2.1", prompt=f"A boat, {key}", journal=journal, key=key)


async def test_what_an_earlier_run_sent_is_booked_by_the_run_that_finds_it_though_it_exceeds_its_budget(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with in_memory() as running:
        async with running.client(submission="raise", budget=100) as nb:
            running.fault("drop-after-accept", times=1, on="POST /generate")
            with pytest.raises(SubmissionUnknownError):
                await drawn(nb, journal)
        monkeypatch.setattr("neuralbox._core.account._accounts", WeakValueDictionary())  # as another process has none
        budget = Budget(1)
        async with running.client(budget=budget) as nb:
            job = await drawn(nb, journal)
            assert budget.spent == 0
            tokens = (await job.wait()).tokens
            assert tokens
        assert (budget.spent, budget.reserved, budget.overrun) == (tokens, 0, tokens - 1)
        assert len(running.ledger.charges) == 1


async def test_where_the_service_does_not_say_what_something_cost_its_price_is_written_down(journal: Path) -> None:
    budget = Budget(1_000)
    with in_memory() as running:
        async with running.client(budget=budget) as nb, keyed.opened(nb._core, journal) as opened:
            made = await drawn(nb, journal)
            failed = await drawn(nb, journal, "failed")
            price = budget.reserved // 2
            silent = {"status": "completed", "model": "kling-v2.1"}
            await opened.ended(nb._core, "intro", Generation.read({"id": made.id, **silent}, kind="video"))
            await opened.ended(nb._core, "failed", Generation.read({"id": failed.id, "status": "failed"}, kind="video"))
    assert {record.key: record.tokens for record in read_records(journal)} == {"intro": price, "failed": 0}
    assert price > 0


async def test_what_this_run_sent_keeps_its_tokens_until_it_is_found_and_is_booked_once(journal: Path) -> None:
    budget = Budget(1_000)
    with in_memory() as running:
        async with running.client(submission="raise", budget=budget) as nb:
            running.fault("drop-after-accept", times=1, on="POST /generate")
            for _ in range(3):  # once more does not set them aside once more
                with pytest.raises(SubmissionUnknownError):
                    await drawn(nb, journal)
            price = budget.reserved
            tokens = (await (await drawn(nb.with_options(submission="reconcile"), journal)).wait()).tokens
            assert (budget.spent, budget.reserved) == (tokens, 0) == (price, 0)
            assert not nb.unresolved


async def test_what_was_never_accepted_is_sent_with_the_tokens_it_had(journal: Path) -> None:
    budget = Budget(1_000)
    with in_memory() as running:
        async with running.client(submission="raise", budget=budget) as nb:
            await (await drawn(nb, journal, "before")).wait()
            spent = budget.spent
            running.fault("drop-before-accept", times=1, on="POST /generate")
            with pytest.raises(SubmissionUnknownError):
                await drawn(nb, journal)
            assert budget.reserved == spent
            await (await drawn(nb, journal, "after")).wait()
            await (await drawn(nb.with_options(submission="reconcile"), journal)).wait()
            assert (budget.spent, budget.reserved) == (3 * spent, 0)


# Killed.


def test_a_program_that_is_killed_when_it_was_accepted_finds_its_job_again(tmp_path: Path, forks: Forks) -> None:
    moments = {"unmarked": "sending", "marked": "accepted"}
    with serve(Sandbox()) as server:
        arguments = {
            moment: (server.url, str(tmp_path / moment), "intro", f"A harbour, {moment}") for moment in moments
        }
        killed = [forks.start(buyer.work, *arguments[moment], moment) for moment in moments]
        assert [one.wait(30) for one in killed] == [-signal.SIGKILL] * 2
        assert {moment: states(tmp_path / moment)["intro"] for moment in moments} == moments
        bought = {record.prompt: record.id for record in server.sandbox.ledger.generations.values()}
        again = {moment: forks.start(buyer.work, *arguments[moment], stdout=PIPE) for moment in moments}
        for moment, one in again.items():
            assert one.printed(30).split() == [str(bought[f"A harbour, {moment}"]), "True"]
        assert len(server.sandbox.ledger.charges) == 2


def test_two_programs_with_the_same_key_at_once_buy_once(journal: Path, forks: Forks) -> None:
    with serve(Sandbox(service_seconds=0.3)) as server:
        arguments = (server.url, str(journal), "intro", "A quiet harbour")
        both = [forks.start(buyer.work, *arguments, stdout=PIPE) for _ in range(2)]
        said = [one.printed(30) for one in both]
        assert said[0] == said[1] != ""
        assert len(server.sandbox.ledger.charges) == 1


async def test_files_in_messages_are_told_apart_by_a_digest_and_stay_out_of_the_journal(journal: Path) -> None:
    def message(picture: str) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": [{"image_url": {"url": picture, "weight": 1}}]}]}

    picture = "data:image/png;base64," + "A" * 10_000
    async with a_shop() as shop:
        core = shop.core()
        first = await buy(core, journal, **message(picture))
        assert (await buy(core, journal, **message(picture))).id == first.id
        with pytest.raises(JournalError) as caught:
            await buy(core, journal, **message(picture + "B"))
        assert caught.value.reason == "changed"
    assert await anyio.Path(journal).stat()
    assert all(len(str(record.request)) < 500 for record in read_records(journal))


async def test_a_book_without_a_file_knows_its_keys_until_it_is_told_to_forget_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keyed, "KEPT", 8)
    request = build_media(model="kling-v2.1", prompt="A boat", options={}, nested=False)
    async with a_shop() as shop:
        book = keyed.KeyedBook()

        async def submit(key: str, core: Core) -> Job:
            return await book.submit(core, key, request, CallOptions(), kind="video", model="kling-v2.1")

        shop.end_with("dropped after")
        with pytest.raises(SubmissionUnknownError):
            await submit("lost", shop.core(submission="raise"))
        core = shop.core()
        made = [await submit(f"{number}", core) for number in range(10)]
        assert [(await submit(f"{number}", core)).id for number in range(10)] == [each.id for each in made]
        assert (await submit("lost", core)).id == 18_000
        book.forget("0")
        book.forget("0")
        assert (await submit("0", core)).id not in {each.id for each in made}
        shop.ends = lambda _number, _body: "402"
        with pytest.raises(InsufficientTokensError):
            await submit("poor", core)
        shop.end_with()
        await book.give_up("poor")
        await book.give_up("poor")
        await book.give_up("nobody")
        await book.ended(core, "poor", Generation.read({"id": 1, "status": "completed"}))
        assert (await submit("poor", core)).id not in {each.id for each in made}


async def test_a_key_that_another_program_submits_is_not_waited_for_without_end() -> None:
    async with a_shop() as shop:
        record = JournalRecord(0, "k", {}, is_foreign=True)

        class Looked(SharedJournal):
            """A shared journal with one record, as it stands by now."""

            stands = record

            def __init__(self) -> None:
                self.path = "db#run"

            async def look(self, key: str) -> JournalRecord:
                return self.stands

        journal = Looked()
        book: Any = SimpleNamespace(journal=journal)
        with pytest.raises(JournalError, match="Another program is submitting") as caught:
            await keyed.KeyedBook._wait_for(book, record, shop.core())
        assert caught.value.reason == "locked"
        assert keyed.LOCK_WAIT <= shop.time.elapsed < keyed.LOCK_WAIT + 5.0
        theirs = journal.stands = JournalRecord(0, "k", {}, id=7, is_foreign=True)
        assert await keyed.KeyedBook._wait_for(book, record, shop.core()) is theirs  # it has its job
        mine = journal.stands = JournalRecord(0, "k", {})
        assert await keyed.KeyedBook._wait_for(book, record, shop.core()) is mine


async def test_no_attempt_follows_one_that_was_kept_from_leaving() -> None:
    asked: list[str] = []
    journal: Any = SimpleNamespace(require_lease=asked.append)
    record = SharedRecord(journal, "k")
    record.leaving()
    await record.before_repeat()
    assert asked == ["k", "k"]

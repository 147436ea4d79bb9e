"""What a key may spend: over restarts, lost answers, and changes of the file of keys."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import anyio
import pytest

from neuralbox import Budget, JournalError, VideoRequest
from neuralbox._journal import read_records
from neuralbox._submissions.journal_ids import register_journal_ids
from neuralbox.gateway import KeyFile, _callers, app
from neuralbox.gateway._joins import JOINED_FOR
from neuralbox.testing import VirtualTime, in_memory

from ..batch.support import hold_for_journals, keep_journals_on_the_loop
from .caller import Answered, Calls, calling, in_process

pytestmark = pytest.mark.anyio
PRICE = 26
"""Tokens of a video."""


async def video(calls: Calls, prompt: str, **options: Any) -> Answered:
    return await calls.post("videos", {"model": "kling-v2.1", "prompt": prompt}, **options)


def change(directory: Path, **limits: Any) -> None:
    """Change the key that was made first."""
    path = directory / "keys.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["keys"][0].update(limits)
    path.write_text(json.dumps(record), encoding="utf-8")


def budget_of(calls: Calls) -> Budget:
    """Return the budget of that key."""
    (account,) = calls.gateway.callers.accounts()
    key = KeyFile(calls.gateway.callers._keys.path).all()[0]  # type: ignore[attr-defined]  # it has keys of its own
    return account.budget_of(key)


@pytest.fixture
def die(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what makes the next client's account a new one, as another process has it."""
    return lambda: monkeypatch.setattr("neuralbox._core.account._accounts", WeakValueDictionary())


# Over a restart.


@pytest.mark.parametrize("limits", ["key", "account"])
async def test_what_is_on_its_way_counts_after_a_restart_and_is_booked_at_its_end(
    tmp_path: Path, die: Any, limits: str
) -> None:
    journal = tmp_path / "gateway.sqlite"
    with in_memory(balance=10_000_000) as running:
        key = None
        for first, second, third in ((200, 200, 429), (429, 429, 429)):
            die()
            total = Budget(60 if limits == "account" else 1_000)
            async with calling(
                tmp_path, running, journal=journal, client={"budget": total}, budget=60 if limits == "key" else None
            ) as calls:
                key = key or calls.key
                said = [(await video(calls, f"A boat {n}", key=key)).status for n in range(3)]
                assert said == [first, second, third]
                assert total.spent + total.reserved == 2 * PRICE
        die()
        total = Budget(1_000)
        async with calling(tmp_path, running, journal=journal, client={"budget": total}) as calls:
            await calls.gateway.start()
            await running.time.sleep(600.0)
            own = budget_of(calls)
            assert (own.spent, own.reserved) == (total.spent, total.reserved) == (2 * PRICE, 0)
        assert calls.charges == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_a_lost_answer_that_nobody_asks_about_counts_after_a_restart(
    tmp_path: Path, die: Any, stream: bool
) -> None:
    journal = tmp_path / "gateway.sqlite"
    with in_memory(balance=10_000_000) as running:
        key = None
        for expected in ([502, 502, 429], [429, 429, 429]):
            die()
            async with calling(tmp_path, running, journal=journal, client={"submission": "raise"}, budget=4) as calls:
                key = key or calls.key
                running.fault("drop-after-accept", times=2, on="POST /generate")
                said = [
                    (
                        await calls.chat(f"Hello {n}", key=key, stream=stream, idempotency_key=f"k{n}.{expected[0]}")
                    ).status
                    for n in range(3)
                ]
                assert said == expected
                assert (budget_of(calls).spent, budget_of(calls).reserved) == (0, 4)
        die()
        async with calling(tmp_path, running, journal=journal) as calls:
            for _ in range(2):
                found = await calls.chat("Hello 0", key=key, stream=stream, idempotency_key="k0.502")
                assert found.status == 200
                assert budget_of(calls).spent + budget_of(calls).reserved == 4
            await running.time.sleep(60.0)
            assert (budget_of(calls).spent, budget_of(calls).reserved) == (4, 0)
        assert (calls.posts, calls.charges) == (2, 2)


@pytest.mark.parametrize("pace", ["off", "burst"])
async def test_what_never_arrived_is_sent_with_the_tokens_that_are_set_aside_for_it(
    tmp_path: Path, die: Any, pace: str
) -> None:
    """The budget is just enough for it."""
    journal = tmp_path / "gateway.sqlite"
    with in_memory(balance=10_000_000) as running:
        async with calling(
            tmp_path, running, journal=journal, client={"submission": "raise", "max_retries": 0}, budget=2
        ) as calls:
            running.fault("drop-before-accept", times=1, on="POST /generate")
            assert (await calls.chat(idempotency_key="k")).status == 502
            key = calls.key
        die()
        await running.time.sleep(60.0)
        async with calling(tmp_path, running, journal=journal, client={"pace": pace}) as calls:
            await calls.gateway.start()
            assert (budget_of(calls).spent, budget_of(calls).reserved) == (0, 2)
            assert (await calls.chat("Another's, which the history shows")).status == 200
            await running.time.sleep(60.0)
            assert (await calls.chat(key=key, idempotency_key="k")).status == 200
            assert (budget_of(calls).spent, budget_of(calls).reserved) == (2, 0)
        assert (calls.posts, calls.charges) == (3, 2)


async def test_a_gateway_that_is_stopped_and_started_again_sets_aside_once_what_it_does_not_know(
    tmp_path: Path,
) -> None:
    total = Budget(1_000)
    client = {"budget": total, "submission": "raise"}
    async with in_process(tmp_path, journal=tmp_path / "gateway.sqlite", client=client) as calls:
        calls.running.fault("drop-after-accept", times=1, on="POST /generate")
        assert (await calls.chat()).status == 502
        assert (await video(calls, "A boat")).status == 200
        for _ in range(2):
            await calls.gateway.aclose()
            await calls.gateway.start()
            assert total.spent + total.reserved == 2 + PRICE
        await calls.running.time.sleep(600.0)
        assert (total.spent, total.reserved) == (PRICE, 2)


async def test_a_gateway_whose_prices_do_not_come_begins_without_them(
    tmp_path: Path, die: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = tmp_path / "gateway.sqlite"
    with in_memory(balance=10_000_000) as running:
        async with calling(tmp_path, running, journal=journal) as calls:
            assert (await video(calls, "A boat")).status == 200
        die()
        total = Budget(1_000)

        async def never(*_: object) -> None:
            await anyio.sleep_forever()

        monkeypatch.setattr("neuralbox._costs.charges.Prices.of", never)
        monkeypatch.setattr(_callers, "PRICES_ASKED_FOR", 0.0)
        async with calling(tmp_path, running, journal=journal, client={"budget": total}) as calls:
            await calls.gateway.start()
            await running.time.sleep(600.0)
            assert (total.spent, total.reserved) == (PRICE, 0)


async def test_the_budget_of_a_client_that_was_made_anew_counts_what_its_journal_says_was_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_callers, "MOST_CALLERS", 1)
    with in_memory() as running:
        gateway = app(connect=lambda key: running.client(api_key=key, budget=5), journal=tmp_path / "jobs.sqlite")
        one, two = (Calls(gateway, key, running) for key in ("nb_1", "nb_2"))
        said = []
        for number in range(4):
            said.append((await one.chat(f"Hello {number}")).status)
            await two.chat(f"Hello {number}")  # the first has to go
        assert said == [200, 200, 429, 429]
        await gateway.aclose()


# What is unknown, and nobody asks for again.


@pytest.fixture
def on_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no clock run away from a journal's thread."""
    keep_journals_on_the_loop(monkeypatch)


@pytest.mark.usefixtures("on_the_loop")
async def test_a_lost_answer_that_nobody_asks_about_is_looked_for_at_the_next_start(tmp_path: Path, die: Any) -> None:
    """Its tokens were set aside for ever, and what was paid for was in no list."""
    journal = tmp_path / "gateway.sqlite"
    with in_memory(balance=10_000_000) as running:
        async with calling(tmp_path, running, journal=journal, client={"submission": "raise"}, budget=60) as calls:
            running.fault("drop-after-accept", times=1, on="POST /generate")
            assert (await video(calls, "A boat")).status == 502
            key = calls.key
        die()
        async with calling(tmp_path, running, journal=journal) as calls:
            await calls.gateway.start()
            await running.time.sleep(600.0)
            assert (budget_of(calls).spent, budget_of(calls).reserved) == (PRICE, 0)
            (found,) = (await calls.get("videos", key=key)).body["data"]
            assert found["status"] == "completed"
            assert (await video(calls, "A boat", key=key, x_stainless_retry_count="1")).body["id"] == found["id"]
            assert (calls.posts, calls.charges) == (1, 1)
    assert [(record.state, record.tokens) for record in read_records(journal)] == [("final", PRICE)]


@pytest.mark.usefixtures("on_the_loop")
async def test_the_journal_is_read_once_for_all_that_are_looked_for(
    tmp_path: Path, die: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be long: for each of them it took seconds of 100,000 records."""
    reads: list[object] = []

    async def counted(*values: Any) -> None:
        reads.append(values)
        await register_journal_ids(*values)

    journal = tmp_path / "gateway.sqlite"
    with in_memory(balance=10_000_000) as running:
        async with calling(tmp_path, running, journal=journal, client={"submission": "raise"}, budget=8) as calls:
            running.fault("drop-after-accept", times=3, on="POST /generate")
            assert [(await calls.chat(f"Hello {n}")).status for n in range(3)] == [502] * 3
        die()
        monkeypatch.setattr("neuralbox._submissions.keyed.register_journal_ids", counted)
        async with calling(tmp_path, running, journal=journal) as calls:
            await calls.gateway.start()
            await running.time.sleep(60.0)
            assert (budget_of(calls).spent, budget_of(calls).reserved, len(reads)) == (6, 0, 1)


@pytest.mark.usefixtures("on_the_loop")
async def test_what_is_proven_absent_later_gives_its_tokens_back_and_may_be_asked_for_again(
    tmp_path: Path, die: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "neuralbox")
    journal = tmp_path / "gateway.sqlite"
    with in_memory(balance=10_000_000) as running:
        async with calling(tmp_path, running, journal=journal, client={"submission": "raise"}, budget=PRICE) as calls:
            running.fault("drop-before-accept", times=1, on="POST /generate")
            assert (await video(calls, "A boat")).status == 502
            key = calls.key
        die()
        async with calling(tmp_path, running, journal=journal) as calls:
            await calls.gateway.start()
            await running.time.sleep(60.0)
            assert budget_of(calls).left == 0  # nothing of ours shows how late the history lists
            assert (await video(calls, "Another's")).status == 200
            await running.time.sleep(60.0)
            assert (await video(calls, "A hen", key=key)).status == 429
            await running.time.sleep(60.0)
            assert (budget_of(calls).left, calls.posts) == (PRICE, 2)
            assert next((record.state, record.tokens) for record in read_records(journal)) == ("final", 0)
            assert "it may be sent again" in caplog.text  # nobody does so
            assert (await video(calls, "A boat", key=key, x_stainless_retry_count="1")).status == 200
            assert (calls.posts, len(running.generations())) == (3, 2)


async def lose_one(calls: Calls, fault: str) -> None:
    """Buy a text, and then another whose answer is lost while the history cannot be read."""
    assert (await calls.chat("Good evening")).status == 200
    calls.running.fault(fault, times=1, on="POST /generate")
    calls.running.fault("error-500", on="GET /user/history*")
    assert (await calls.chat()).error["code"] == "outcome_unknown"


@pytest.mark.parametrize("has_journal", [True, False])
@pytest.mark.usefixtures("on_the_loop")
async def test_a_lost_answer_that_nobody_asks_about_is_looked_for_when_its_tokens_are_missing(
    tmp_path: Path, has_journal: bool
) -> None:
    journal = tmp_path / "gateway.sqlite" if has_journal else None
    async with in_process(tmp_path, journal=journal, budget=4) as calls:
        await lose_one(calls, "drop-before-accept")
        assert (await calls.chat("Good night")).error["code"] == "insufficient_quota"
        await calls.running.time.sleep(600.0)
        assert budget_of(calls).left == 0
        calls.running.fault("error-500", 0, on="GET /user/history*")
        assert [(await calls.chat("Good night")).status for _ in range(2)] == [429, 429]  # which looks once
        await calls.running.time.sleep(60.0)
        assert budget_of(calls).left == 2
        assert (await calls.chat("Good night")).status == 200
        assert calls.charges == 2


@pytest.mark.usefixtures("on_the_loop")
async def test_a_lost_answer_is_looked_for_when_its_tokens_are_missing_for_one_of_several(tmp_path: Path) -> None:
    async with in_process(tmp_path, budget=6) as calls:
        await lose_one(calls, "drop-before-accept")
        calls.running.fault("error-500", 0, on="GET /user/history*")
        assert len((await calls.chat("Good night", n=2)).body["choices"]) == 1
        await calls.running.time.sleep(60.0)
        assert budget_of(calls).left == 2


@pytest.mark.usefixtures("on_the_loop")
async def test_what_is_unknown_is_remembered_until_it_is_found_also_without_a_journal(tmp_path: Path) -> None:
    async with in_process(tmp_path, budget=4) as calls:
        await lose_one(calls, "drop-after-accept")
        calls.running.fault("error-500", 0, on="GET /user/history*")
        await calls.running.time.sleep(2 * JOINED_FOR)
        assert (await calls.chat("Good night")).status == 429  # since then nobody repeats the other
        await calls.running.time.sleep(60.0)
        assert (budget_of(calls).spent, budget_of(calls).reserved) == (4, 0)
        (account,) = calls.gateway.callers.accounts()
        assert not await account.cashier.book.unknown()
        assert len(account.cashier.joins) == len(account.cashier.book._keyed) == 1
        assert (calls.posts, calls.charges) == (2, 2)


@pytest.mark.usefixtures("on_the_loop")
async def test_what_cannot_be_looked_for_stays_set_aside_and_ends_nothing_else(
    tmp_path: Path, die: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    journal = tmp_path / "gateway.sqlite"
    with in_memory(balance=10_000_000) as running:
        async with calling(tmp_path, running, journal=journal, client={"submission": "raise"}, budget=4) as calls:
            running.fault("drop-after-accept", times=1, on="POST /generate")
            assert (await calls.chat()).status == 502
        for wrong in (JournalError("The disk is full."), RuntimeError("A bug.")):
            die()

            async def fail(*_: object, wrong: Exception = wrong, **__: object) -> None:
                raise wrong

            with monkeypatch.context() as patched:
                patched.setattr("neuralbox._submissions.submission.settle", fail)
                async with calling(tmp_path, running, journal=journal) as calls:
                    await calls.gateway.start()
                    await running.time.sleep(60.0)
                    assert budget_of(calls).left == 2
                    assert (await calls.chat("Good evening", key=calls.key)).status == 200
        assert "The disk is full." in caplog.text
        assert "What is unknown could not be looked for" in caplog.text
        assert calls.charges == 3
        die()
        async with calling(tmp_path, running, journal=journal, client={"submission": "raise"}) as calls:
            await calls.gateway.start()
            await running.time.sleep(60.0)  # nobody looks where the operator does not want it
            assert (budget_of(calls).spent, budget_of(calls).reserved) == (0, 2)


@pytest.mark.usefixtures("on_the_loop")
async def test_a_caller_that_repeats_its_call_while_it_is_looked_for_gets_what_is_found(
    tmp_path: Path, die: Any
) -> None:
    journal = tmp_path / "gateway.sqlite"
    with in_memory(balance=10_000_000) as running:
        async with calling(tmp_path, running, journal=journal, client={"submission": "raise"}, budget=2) as calls:
            running.fault("drop-after-accept", times=1, on="POST /generate")
            assert (await calls.chat()).status == 502
            key = calls.key
        die()
        async with calling(tmp_path, running, journal=journal) as calls:
            await calls.gateway.start()
            said = [await calls.chat(key=key, x_stainless_retry_count=count) for count in "12"]
            assert [each.status for each in said] == [200, 200]
            await running.time.sleep(60.0)
            assert (budget_of(calls).spent, budget_of(calls).reserved) == (2, 0)
        assert (calls.posts, calls.charges) == (1, 1)


# What is left.


@pytest.mark.parametrize("limit", ["budget", "balance"])
async def test_of_several_those_that_the_tokens_are_enough_for_are_handed_over(tmp_path: Path, limit: str) -> None:
    """They were paid for, and the whole call was refused with the request not to repeat it."""
    with in_memory(balance=5 if limit == "balance" else 100) as running:
        async with calling(tmp_path, running, budget=5 if limit == "budget" else None) as calls:
            some = await calls.chat(n=3)
            assert (some.status, len(some.body["choices"]), calls.charges) == (200, 2, 2)
            none = await calls.chat("Good evening", n=2)
            assert (none.status, none.error["code"], calls.charges) == (429, "insufficient_quota", 2)


# Over a change of the key.


@pytest.mark.parametrize("before", [60, None])
async def test_a_changed_budget_counts_what_was_spent_and_what_is_on_its_way(
    tmp_path: Path, before: int | None
) -> None:
    async with in_process(tmp_path, budget=before) as calls:
        assert [(await video(calls, f"A boat {n}")).status for n in range(2)] == [200, 200]
        for tokens in (61, 62, 2 * PRICE + PRICE - 1):
            change(tmp_path, budget=tokens)
            assert (await video(calls, f"Another of {tokens}")).status == 429
        change(tmp_path, budget=3 * PRICE)
        assert (await video(calls, "The last")).status == 200
        change(tmp_path, budget=None)
        assert (await video(calls, "One more")).status == 200
        await calls.running.time.sleep(600.0)
        assert (budget_of(calls).spent, budget_of(calls).reserved) == (4 * PRICE, 0)


async def test_two_first_calls_with_a_key_that_got_a_limit_count_once_what_is_on_its_way(tmp_path: Path) -> None:
    async with in_process(tmp_path) as calls:
        assert (await video(calls, "A boat")).status == 200
        change(tmp_path, budget=2 * PRICE)
        came = [Answered(), Answered()]
        async with anyio.create_task_group() as tasks:
            for number, each in enumerate(came):
                tasks.start_soon(partial(video, calls, f"Another {number}", answer=each))
        assert sorted(each.status for each in came) == [200, 429]
        assert budget_of(calls).left == 0


async def test_what_an_earlier_run_left_counts_for_a_key_that_gets_its_first_limit(tmp_path: Path, die: Any) -> None:
    journal = tmp_path / "gateway.sqlite"
    with in_memory(balance=10_000_000) as running:
        async with calling(tmp_path, running, journal=journal) as calls:
            assert (await video(calls, "A boat")).status == 200
            key = calls.key
        die()
        async with calling(tmp_path, running, journal=journal) as calls:
            await calls.gateway.start()
            change(tmp_path, budget=2 * PRICE - 1)
            assert (await video(calls, "Another", key=key)).status == 429
            change(tmp_path, budget=2 * PRICE)
            assert (await video(calls, "Another", key=key)).status == 200
            await running.time.sleep(600.0)
            assert (budget_of(calls).spent, budget_of(calls).reserved) == (2 * PRICE, 0)


@pytest.mark.usefixtures("on_the_loop")
async def test_what_was_looked_for_in_vain_counts_for_a_key_that_gets_its_first_limit(tmp_path: Path, die: Any) -> None:
    journal = tmp_path / "gateway.sqlite"
    with in_memory(balance=10_000_000) as running:
        async with calling(tmp_path, running, journal=journal, client={"submission": "raise"}) as calls:
            running.fault("drop-after-accept", times=1, on="POST /generate")
            assert (await video(calls, "A boat")).status == 502
            key = calls.key
        die()
        running.fault("error-500", on="GET /user/history*")
        async with calling(tmp_path, running, journal=journal) as calls:
            await calls.gateway.start()
            await running.time.sleep(600.0)
            change(tmp_path, budget=2 * PRICE - 1)
            assert (await video(calls, "Another", key=key)).status == 429
            change(tmp_path, budget=2 * PRICE)
            assert (await video(calls, "Another", key=key)).status == 200
            assert budget_of(calls).left == 0


async def test_a_key_without_a_budget_asks_for_no_prices(tmp_path: Path) -> None:
    async with in_process(tmp_path) as calls:
        assert (await calls.chat()).status == 200
        assert not [route for route in calls.running.ledger.requests_by_route if "price" in route]


async def test_a_changed_key_has_used_its_requests_of_the_minute(tmp_path: Path) -> None:
    async with in_process(tmp_path, per_minute=2) as calls:
        assert [(await calls.chat()).status for _ in range(3)] == [200, 200, 429]
        change(tmp_path, budget=1_000)
        assert (await calls.chat()).status == 429


# What is not the gateway's.


async def test_what_a_batch_has_in_the_same_journal_is_no_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = tmp_path / "gateway.sqlite"
    with in_memory(balance=10_000_000) as running:
        assert isinstance(running.time, VirtualTime)
        hold_for_journals(running.time, monkeypatch)
        async with running.client(api_key="nb_operator") as nb:
            run = nb.batch([VideoRequest(model="kling-v2.1", prompt="A boat")], journal=journal, wait_timeout=1.0)
            async with run:
                assert [outcome.ok async for outcome in run] == [False]
        async with calling(tmp_path, running, journal=journal, budget=60) as calls:
            assert (await video(calls, "A hen")).status == 200
            assert (budget_of(calls).spent, budget_of(calls).reserved) == (0, PRICE)

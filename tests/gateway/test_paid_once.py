"""A repeated POST joins the first: in flight, finished, refused, unknown, and over a restart."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import anyio
import httpx
import pytest

from neuralbox import AsyncNeuralBox, Budget, Generation, JobRef, JournalError, Polling
from neuralbox._costs.charges import charges_of
from neuralbox._journal import open_account_journal, read_records
from neuralbox.gateway import Gateway, KeyFile, app
from neuralbox.gateway._joins import JOINED_FOR
from neuralbox.testing import in_memory

from .caller import Answered, Calls, calling, in_process

pytestmark = pytest.mark.anyio
AGAIN = {"x_stainless_retry_count": "1"}


async def test_each_call_that_does_not_say_it_repeats_one_is_bought(tmp_path: Path) -> None:
    async with in_process(tmp_path) as calls:
        first, second = await calls.chat(), await calls.chat()
        assert (first.status, second.status, calls.posts, calls.charges) == (200, 200, 2, 2)
        assert first.body["id"] != second.body["id"]


async def test_a_repetition_joins_the_one_before_it_and_not_another_callers(tmp_path: Path) -> None:
    async with in_process(tmp_path) as calls:
        first = await calls.chat(x_stainless_retry_count="0")
        again = await calls.chat(**AGAIN)
        assert again.body == first.body
        assert again.headers["x-neuralbox-id"] == first.headers["x-neuralbox-id"]
        assert (calls.posts, calls.charges) == (1, 1)
        other, _ = KeyFile(tmp_path / "keys.json").make("other")
        await calls.chat(**AGAIN, key=other)
        await calls.chat("Something else", **AGAIN)
        assert calls.charges == 3


async def test_a_repetition_joins_what_is_in_flight(tmp_path: Path) -> None:
    """Midjourney takes its time; both get the picture that one request made."""
    async with in_process(tmp_path) as calls:
        body = {"model": "midjourney-v6", "prompt": "A fox"}
        came: list[Answered] = []

        async def ask(**marks: str) -> None:
            came.append(await calls.post("images/generations", body, **marks))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            while not calls.posts:
                await anyio.lowlevel.checkpoint()
            await ask(**AGAIN)
        assert came[0].body["data"] == came[1].body["data"]
        assert (calls.posts, calls.charges) == (1, 1)


async def test_of_equal_calls_a_repetition_joins_the_one_whose_caller_left(tmp_path: Path) -> None:
    async with in_process(tmp_path) as calls:
        heard = await calls.chat()
        left = await calls.chat(leaves=lambda _: True)
        assert (heard.status, left.status) == (200, 0)
        again = await calls.chat(**AGAIN)
        last = await calls.chat(x_stainless_retry_count="2")
        assert again.body["id"] == last.body["id"] != heard.body["id"]
        assert calls.charges == 2


async def test_an_idempotency_key_makes_all_calls_one_and_is_refused_for_another_body(tmp_path: Path) -> None:
    async with in_process(tmp_path) as calls:
        first, again = [await calls.chat(idempotency_key="k1") for _ in range(2)]
        other = await calls.chat("Another", idempotency_key="k1")
        assert first.body == again.body
        assert (other.status, other.error["code"]) == (400, "idempotency_key_reused")
        assert calls.charges == 1
        assert (await calls.chat(idempotency_key="")).status == 400


@pytest.mark.parametrize(("seconds", "charges"), [(0.0, 2), (30.0, 1)])
async def test_equal_calls_join_where_the_operator_says_so(tmp_path: Path, seconds: float, charges: int) -> None:
    async with in_process(tmp_path, join_equal=seconds) as calls:
        for _ in range(2):
            assert (await calls.chat()).status == 200
        assert calls.charges == charges
        await calls.running.time.sleep(31.0)
        await calls.chat()
        assert calls.charges == charges + 1


async def test_what_was_refused_is_bought_by_its_repetition(tmp_path: Path) -> None:
    async with in_process(tmp_path, client={"max_retries": 0}) as calls:
        calls.running.fault("error-503", times=1, on="POST /generate")
        refused = await calls.chat()
        assert (refused.status, refused.error["code"]) == (503, "model_unavailable")
        again = await calls.chat(**AGAIN)
        assert (again.status, calls.charges) == (200, 1)


async def test_what_failed_free_of_charge_is_another_purchase_and_its_end_is_written_down(tmp_path: Path) -> None:
    journal = tmp_path / "gateway.sqlite"
    async with in_process(tmp_path, journal=journal) as calls:
        calls.running.fault("fail-generation", times=1)
        failed = await calls.post("images/generations", {"model": "midjourney-v6", "prompt": "A fox"})
        assert (failed.status, failed.error["code"], failed.headers["x-should-retry"]) == (
            500,
            "generation_failed",
            "false",
        )
        again = await calls.post("images/generations", {"model": "midjourney-v6", "prompt": "A fox"}, **AGAIN)
        assert (again.status, calls.charges) == (200, 1)
    assert sorted(names_of(journal).values()) == [("final", 0), ("final", calls.running.ledger.charged)]


async def test_what_takes_longer_than_a_call_is_remembered_is_found_by_its_repetition(tmp_path: Path) -> None:
    """A call counts from its last sign, and that is its end, not its beginning."""
    slow = {"sandbox": {"speed": 0.001}, "client": {"polling": Polling(timeout=2 * JOINED_FOR)}}
    async with in_process(tmp_path, **slow) as calls:
        body = {"model": "midjourney-v6", "prompt": "A fox"}
        for count in range(2):
            late = await calls.post("images/generations", body, x_stainless_retry_count=f"{count}")
            assert (late.status, late.error["code"], calls.posts) == (504, "still_running", 1)


async def test_what_is_not_finished_is_never_forgotten_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuralbox._submissions.keyed.KEPT", 8)
    slow = {"sandbox": {"speed": 0.001}, "client": {"polling": Polling(timeout=1.0)}}
    async with in_process(tmp_path, **slow) as calls:
        body = {"model": "midjourney-v6", "prompt": "A fox"}
        assert (await calls.post("images/generations", body)).status == 504
        for number in range(20):
            assert (await calls.chat(f"Hello {number}")).status == 200
        posts = calls.posts
        again = await calls.post("images/generations", body, **AGAIN)
        assert (again.status, again.error["code"], calls.posts) == (504, "still_running", posts)


async def test_nothing_is_remembered_of_what_nobody_repeats_any_more(tmp_path: Path) -> None:
    async with in_process(tmp_path) as calls:
        await calls.post("images/generations", {"model": "flux-1.1-pro", "prompt": "A fox", "n": 3})
        (account,) = calls.gateway.callers.accounts()
        assert len(account.cashier.book._keyed) == 3
        await calls.running.time.sleep(JOINED_FOR + 1.0)
        await calls.chat()
        assert len(account.cashier.joins) == len(account.cashier.book._keyed) == 1


async def test_a_name_that_the_program_forgot_is_found_in_its_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was refused with 503 for ever, as a key that was given to two requests."""
    async with in_process(tmp_path, journal=tmp_path / "gateway.sqlite") as calls:
        first = await calls.chat(idempotency_key="k1")
        await calls.running.time.sleep(JOINED_FOR + 1.0)
        await calls.chat()
        again = await calls.chat(idempotency_key="k1")
        assert again.status == 200
        assert again.headers["x-neuralbox-id"] == first.headers["x-neuralbox-id"]
        assert calls.charges == 2


async def test_a_lost_answer_is_settled_once_for_all_who_ask(tmp_path: Path) -> None:
    """The service answers that it failed and has charged: the first ask may not know, the next finds it."""
    async with in_process(tmp_path, client={"submission": "raise"}) as calls:
        calls.running.fault("drop-after-accept", times=1, on="POST /generate")
        unknown = await calls.chat()
        assert (unknown.status, unknown.error["code"]) == (502, "outcome_unknown")
        assert (unknown.headers["x-should-retry"], unknown.headers["retry-after"]) == ("true", "5")
    async with in_process(tmp_path) as calls:
        calls.running.fault("drop-after-accept", times=1, on="POST /generate")
        assert (await calls.chat()).status == 200
        assert (calls.posts, calls.charges) == (1, 1)


async def test_several_at_once_are_several_requests_and_a_repetition_buys_only_what_is_missing(tmp_path: Path) -> None:
    async with in_process(tmp_path, client={"max_retries": 0}) as calls:
        calls.running.fault("error-503", times=1, on="POST /generate")
        body = {"model": "flux-1.1-pro", "prompt": "A fox", "n": 3}
        assert (await calls.post("images/generations", body)).status == 503
        assert calls.charges == 2
        again = await calls.post("images/generations", body, **AGAIN)
        assert (again.status, len({each["url"] for each in again.body["data"]}), calls.charges) == (200, 3, 3)
        calls.running.fault("fail-generation", times=1)
        some = await calls.post("images/generations", {**body, "model": "midjourney-v6"})
        assert (some.status, len(some.body["data"])) == (200, 2)
        calls.running.fault("fail-generation", times=3)
        none = await calls.post("images/generations", {**body, "model": "midjourney-turbo"})
        assert (none.status, none.error["code"]) == (500, "generation_failed")


# Streams.


async def test_a_stream_is_told_piece_by_piece_and_a_repetition_gets_all_of_it(tmp_path: Path) -> None:
    async with in_process(tmp_path) as calls:
        whole = await calls.chat(stream=True, stream_options={"include_usage": True})
        again = await calls.chat(stream=True, stream_options={"include_usage": True}, **AGAIN)
        assert whole.status == 200
        assert whole.headers["content-type"].startswith("text/event-stream")
        assert whole.events[-1] == again.events[-1] == "[DONE]"
        assert len(whole.events) > 10
        assert whole.streamed == again.streamed == calls.running.generations()[0].text
        assert calls.charges == 1


async def test_a_call_that_has_its_answer_is_remembered_without_its_request(tmp_path: Path) -> None:
    async with in_process(tmp_path) as calls:
        await calls.chat()
        (account,) = calls.gateway.callers.accounts()
        (purchase,) = account.cashier.joins._calls.values()
        assert (purchase.is_delivered, purchase.has_left) == (True, None)


async def test_a_client_that_leaves_in_the_middle_pays_once_and_leaves_nothing_running(tmp_path: Path) -> None:
    async with in_process(tmp_path) as calls:
        left = await calls.chat(stream=True, leaves=lambda came: len(came.events) > 3)
        assert not left.is_whole
        (account,) = calls.gateway.callers.accounts()
        while account.cashier.running:
            await anyio.lowlevel.checkpoint()
        again = await calls.chat(stream=True, **AGAIN)
        assert again.streamed == calls.running.generations()[0].text
        assert (calls.posts, calls.charges) == (1, 1)


async def test_a_stream_that_breaks_is_told_whole(tmp_path: Path) -> None:
    async with in_process(tmp_path) as calls:
        calls.running.fault("cut-stream", times=1)
        came = await calls.chat(stream=True)
        assert came.streamed == calls.running.generations()[0].text
        assert calls.charges == 1


async def test_a_stream_that_fails_on_its_way_says_so_in_its_own_words(tmp_path: Path) -> None:
    async with in_process(tmp_path) as calls:
        calls.running.fault("stream-error", times=1)
        came = await calls.chat(stream=True)
        assert (came.status, came.events[-1]["error"]["code"]) == (200, "generation_failed")
        calls.running.fault("stream-error", times=1)
        said = await calls.post("responses", {"model": "gpt-5", "input": "Hello", "stream": True})
        assert (said.events[-1]["type"], said.events[-1]["code"]) == ("error", "generation_failed")
        assert calls.charges == 0


async def test_a_stream_that_is_refused_has_its_status(tmp_path: Path) -> None:
    async with in_process(tmp_path, client={"max_retries": 0}) as calls:
        calls.running.fault("rate-limit", times=1, on="POST /generate")
        refused = await calls.chat(stream=True)
        assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
        assert (await calls.chat(stream=True, **AGAIN)).status == 200
        assert calls.charges == 1


# Over a restart.


def names_of(path: Path) -> dict[str, Any]:
    return {record.key: (record.state, record.tokens) for record in read_records(path)}


@pytest.mark.parametrize(
    ("path", "body", "paid"),
    [
        ("chat/completions", {"model": "gpt-5", "messages": [{"role": "user", "content": "Hello"}]}, 1),
        ("chat/completions", {"model": "gpt-5", "messages": [{"role": "user", "content": "Hello"}], "stream": True}, 1),
        ("images/generations", {"model": "flux-1.1-pro", "prompt": "A fox", "n": 2}, 2),
        ("images/generations", {"model": "midjourney-v6", "prompt": "A fox"}, 1),
        ("videos", {"model": "kling-v2.1", "prompt": "A boat"}, 1),
    ],
)
async def test_a_repetition_after_a_restart_joins_what_the_journal_knows(
    tmp_path: Path, path: str, body: dict[str, Any], paid: int
) -> None:
    journal = tmp_path / "gateway.sqlite"
    with in_memory(balance=10_000_000) as running:
        async with calling(tmp_path, running, journal=journal) as calls:
            first = await calls.post(path, body)
            key = calls.key
        async with calling(tmp_path, running, journal=journal) as calls:
            again = await calls.post(path, body, key=key, **AGAIN)
            new = await calls.post(path, body, key=key)
        assert (first.status, again.status, new.status) == (200, 200, 200)
        assert again.headers["x-neuralbox-id"] == first.headers["x-neuralbox-id"] != new.headers["x-neuralbox-id"]
        assert first.streamed == again.streamed if "stream" in body else True
        assert calls.posts == 2 * paid
    assert {state for state, _ in names_of(journal).values()} <= {"accepted", "final"}


@pytest.mark.parametrize("stream", [False, True])
async def test_what_was_on_its_way_when_the_gateway_died_is_looked_for_and_not_sent_again(
    tmp_path: Path, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal says `sending`, as a killed gateway leaves it."""
    journal = tmp_path / "gateway.sqlite"
    with in_memory(balance=10_000_000) as running:
        async with calling(tmp_path, running, journal=journal, client={"submission": "raise"}) as calls:
            running.fault("drop-after-accept", times=1, on="POST /generate")
            assert (await calls.chat(stream=stream)).status == 502
            key = calls.key
        assert [state for state, _ in names_of(journal).values()] == ["sending"]
        (record,) = read_records(journal)
        # By what clock it was sent: without that nothing is ever proven absent.
        assert record.claim is not None
        assert record.claim["server_offset"] is not None
        monkeypatch.setattr("neuralbox._core.account._accounts", WeakValueDictionary())  # as another process has none
        budget = Budget(1_000)
        async with calling(tmp_path, running, journal=journal, client={"budget": budget}) as calls:
            again = await calls.chat(stream=stream, key=key, **AGAIN)
            assert again.status == 200
            assert (
                again.streamed if stream else again.body["choices"][0]["message"]["content"]
            ) == running.generations()[0].text
            assert (calls.posts, calls.charges) == (1, 1)
            assert budget.spent == running.ledger.charged  # found by this run, so this run's budget pays
    assert names_of(journal).popitem()[1] == ("final", running.ledger.charged)


async def test_an_upload_is_bought_once_over_a_restart_too(tmp_path: Path) -> None:
    journal = tmp_path / "gateway.sqlite"

    def form(boundary: str, sound: bytes = b"ID3 a talk") -> dict[str, Any]:
        parts = [
            (b'name="model"', b"whisper-1"),
            (b'name="response_format"', b"text"),
            (b'name="file"; filename="talk.mp3"\r\nContent-Type: audio/mpeg', sound),
        ]
        mark = boundary.encode()
        content = b"".join(
            b"--" + mark + b"\r\nContent-Disposition: form-data; " + head + b"\r\n\r\n" + value + b"\r\n"
            for head, value in parts
        )
        return {
            "pieces": [content, b"--" + mark + b"--\r\n"],
            "content_type": f"multipart/form-data; boundary={boundary}",
        }

    with in_memory(balance=10_000_000) as running:
        async with calling(tmp_path, running, journal=journal) as calls:
            first = await calls.post("audio/transcriptions", None, **form("one"))
            again = await calls.post("audio/transcriptions", None, **form("two"), **AGAIN)
            key = calls.key
        async with calling(tmp_path, running, journal=journal) as calls:
            last = await calls.post("audio/transcriptions", None, **form("three"), key=key, **AGAIN)
            other = await calls.post("audio/transcriptions", None, **form("4", b"ID3 another"), key=key, **AGAIN)
        assert first.status == 200
        assert first.content == again.content == last.content != b""
        assert (other.status, calls.charges) == (200, 2)


async def test_the_journal_keeps_no_files_and_knows_what_was_given_up(tmp_path: Path) -> None:
    journal = tmp_path / "gateway.sqlite"
    picture = "data:image/png;base64," + "A" * 5_000
    message = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": picture}}]}
    with in_memory(balance=10_000_000) as running:
        async with calling(tmp_path, running, journal=journal, client={"max_retries": 0}) as calls:
            running.fault("error-503", times=1, on="POST /generate")
            await calls.post("chat/completions", {"model": "gpt-5", "messages": [message]})
            key = calls.key
        assert [(state, tokens) for state, tokens in names_of(journal).values()] == [("final", 0)]
        assert all(len(str(record.request)) < 1_000 for record in read_records(journal))
        async with calling(tmp_path, running, journal=journal) as calls:
            body = {"model": "gpt-5", "messages": [message]}
            again = await calls.post("chat/completions", body, key=key, **AGAIN)
            assert (again.status, calls.charges) == (200, 1)
        assert len(names_of(journal)) == 1


async def test_what_another_gateway_bought_up_to_its_end_is_known_to_the_one_that_takes_its_place(
    tmp_path: Path,
) -> None:
    """The new one waits for the journal; what was bought meanwhile stands in it."""
    journal = tmp_path / "gateway.sqlite"
    with in_memory(balance=10_000_000) as running:
        async with AsyncNeuralBox(api_key="nb_operator", base_url=running.url) as nb:
            keys = KeyFile(tmp_path / "keys.json")
            key, _ = keys.make("me")
            before, after = (Calls(app(nb, keys=keys, journal=journal), key, running) for _ in range(2))
            await before.gateway.start()
            lock, bought = anyio.Event(), anyio.Event()
            (account,) = after.gateway.callers.accounts()
            begin = account.cashier.start

            async def start() -> None:  # where it waits for the other's end
                lock.set()
                await bought.wait()
                await begin()

            account.cashier.start = start  # type: ignore[method-assign]
            first = Answered()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(after.gateway.start)
                await lock.wait()
                await before.chat(answer=first)
                await before.gateway.aclose()
                bought.set()
            again = await after.chat(**AGAIN)
            assert again.headers["x-neuralbox-id"] == first.headers["x-neuralbox-id"]
            assert after.charges == 1
            await after.gateway.aclose()


async def test_a_journal_that_cannot_be_read_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = tmp_path / "gateway.sqlite"

    def broken(_path: str) -> None:
        raise JournalError("It is damaged.", reason="corrupt")

    async with in_process(tmp_path, journal=journal) as calls:
        with monkeypatch.context() as patched:
            patched.setattr("neuralbox.gateway._callers._kept", broken)
            assert (await calls.chat()).error["code"] == "journal_unavailable"
            async with await open_account_journal(calls_client(calls)._core, journal):
                pass  # nobody has it
        assert (await calls.chat()).status == 200


def calls_client(calls: Calls) -> AsyncNeuralBox:
    (account,) = calls.gateway.callers.accounts()
    return account.client


@pytest.mark.parametrize("has_journal", [True, False])
async def test_a_gateway_that_is_stopped_and_started_again_knows_what_it_bought_and_counts_it_once(
    tmp_path: Path, has_journal: bool
) -> None:
    total = Budget(1_000)
    journal = tmp_path / "gateway.sqlite" if has_journal else None
    async with in_process(tmp_path, journal=journal, client={"budget": total}, budget=500) as calls:
        first = await calls.chat()
        video = await calls.post("videos", {"model": "kling-v2.1", "prompt": "A boat"})
        assert (await calls.chat("More")).status == 200
        for _ in range(2):
            await calls.gateway.aclose()
            assert (await calls.chat()).status == 503
            await calls.gateway.start()
        again = await calls.chat(**AGAIN)
        assert again.headers["x-neuralbox-id"] == first.headers["x-neuralbox-id"]
        while (await calls.get(f"videos/{video.body['id']}")).body["status"] != "completed":
            await calls.running.time.sleep(5.0)
        await calls.running.time.sleep(1.0)
        assert calls.charges == 3
        (account,) = calls.gateway.callers.accounts()
        (key,) = KeyFile(tmp_path / "keys.json").all()
        own = account.budget_of(key)
        assert own is not None
        assert own.spent == total.spent == calls.running.ledger.charged
    if journal is not None:
        assert {state for state, _ in names_of(journal).values()} == {"final"}
        assert sum(tokens for _, tokens in names_of(journal).values()) == total.spent


async def test_what_an_earlier_run_left_is_booked_also_where_it_cannot_be_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where the service does not say what it cost, its price is."""
    journal = tmp_path / "gateway.sqlite"
    with in_memory(balance=10_000_000) as running:
        async with calling(tmp_path, running, journal=journal) as calls:
            made = await calls.post("videos", {"model": "kling-v2.1", "prompt": "A boat"})
            key = calls.key
        total = Budget(1_000)
        async with calling(tmp_path, running, journal=journal, client={"budget": total}) as calls:
            await calls.gateway.start()
            (account,) = calls.gateway.callers.accounts()
            (followed,) = account.jobs._jobs.values()
            assert followed.on_end is not None

            async def broken(*_: object, **__: object) -> None:
                raise JournalError("The disk is full.", reason="full")

            monkeypatch.setattr(account.cashier.book, "ended", broken)
            silent = Generation.read(
                {"id": followed.job.id, "status": "completed", "model": "kling-v2.1"}, kind="video"
            )
            price = total.reserved
            charges_of(calls_client(calls)._core).ended(followed.job.id, silent)
            await followed.on_end(silent)
            assert price == total.spent > 0
            await running.time.sleep(600.0)
            assert (total.spent, total.reserved) == (running.ledger.charged, 0)
            assert (await calls.get(f"videos/{made.body['id']}", key=key)).body["status"] == "completed"
        monkeypatch.undo()
        assert [state for state, _ in names_of(journal).values()] == ["accepted"]
        monkeypatch.setattr("neuralbox._core.account._accounts", WeakValueDictionary())  # as another process has none
        async with calling(tmp_path, running, journal=journal) as calls:  # nobody limits it, so no price is known
            await calls.gateway.start()
            (account,) = calls.gateway.callers.accounts()
            (followed,) = account.jobs._jobs.values()
            assert followed.on_end is not None
            await followed.on_end(silent)
            assert account.cashier.book.journal is not None
            await account.cashier.book.journal.flush()
            assert names_of(journal).popitem()[1] == ("final", price)
            await running.time.sleep(600.0)
        assert names_of(journal).popitem()[1] == ("final", running.ledger.charged)


async def test_a_purchase_that_cannot_run_is_waited_for_by_nobody(tmp_path: Path) -> None:
    async with in_process(tmp_path) as calls:
        assert (await calls.chat()).status == 200
        (account,) = calls.gateway.callers.accounts()
        await account.cashier.aclose()
        for _ in range(2):
            assert (await calls.chat(idempotency_key="k")).error["code"] == "internal_error"
        assert not account.cashier.running
        assert calls.charges == 1


# Stopping.


async def stopped_in_the_middle(calls: Calls, ask: Callable[[], Awaitable[Answered]]) -> Answered:
    """Ask, and stop the gateway when what was asked for is accepted."""
    came: list[Answered] = []
    (account,) = calls.gateway.callers.accounts()

    async def asking() -> None:
        came.append(await ask())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(asking)
        while not any(purchase.jobs for purchase in account.cashier._running.values()):
            await anyio.lowlevel.checkpoint()
        await calls.gateway.aclose()
    (answer,) = came
    assert (answer.status, answer.error["code"]) == (503, "stopping")
    return answer


@pytest.mark.parametrize("has_journal", [True, False])
async def test_what_is_cut_short_is_not_said_to_have_been_left_unsent(tmp_path: Path, has_journal: bool) -> None:
    journal = tmp_path / "gateway.sqlite" if has_journal else None
    async with in_process(tmp_path, journal=journal, grace=0.0) as calls:
        body = {"model": "midjourney-v6", "prompt": "A fox"}
        cut = await stopped_in_the_middle(calls, lambda: calls.post("images/generations", body))
        assert "What was sent goes on" in cut.error["message"]
        # Without a journal the same call would be bought again by the next run.
        assert cut.headers["x-should-retry"] == ("true" if has_journal else "false")


async def test_what_a_stop_cut_short_is_booked_once_by_the_gateway_that_is_started_again(tmp_path: Path) -> None:
    journal, total = tmp_path / "gateway.sqlite", Budget(1_000)
    async with in_process(tmp_path, journal=journal, grace=0.0, client={"budget": total}) as calls:
        body = {"model": "midjourney-v6", "prompt": "A fox"}
        await stopped_in_the_middle(calls, lambda: calls.post("images/generations", body))
        await calls.gateway.start()
        await calls.running.time.sleep(600.0)
        assert (total.spent, total.reserved) == (calls.running.ledger.charged, 0)
        assert (await calls.post("images/generations", body, **AGAIN)).status == 200
        assert calls.charges == 1
    assert names_of(journal).popitem()[1] == ("final", total.spent)


async def test_calls_that_come_while_it_starts_and_is_stopped_again_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_process(tmp_path, journal=tmp_path / "gateway.sqlite") as calls:
        (account,) = calls.gateway.callers.accounts()
        begin, begun, gate = account.start, anyio.Event(), anyio.Event()

        async def start() -> None:
            begun.set()
            await gate.wait()
            await begin()

        monkeypatch.setattr(account, "start", start)
        came = [Answered(), Answered()]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(calls.chat, answer=came[0]))  # it starts the gateway
            await begun.wait()
            tasks.start_soon(partial(calls.chat, answer=came[1]))  # it waits for the start
            await anyio.lowlevel.checkpoint()
            tasks.start_soon(calls.gateway.aclose)
            while not calls.gateway._is_stopping:
                await anyio.lowlevel.checkpoint()
            gate.set()
        assert [(each.status, each.error["code"]) for each in came] == [(503, "stopping")] * 2
        assert not calls.posts


async def test_what_a_stop_kept_from_leaving_is_said_to_be_unsent(tmp_path: Path) -> None:
    async with in_process(tmp_path, grace=0.0) as calls:
        await calls.gateway.start()
        reached = anyio.Event()

        async def asked(*_: object) -> None:
            reached.set()
            await anyio.sleep_forever()

        came = Answered()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("neuralbox._submissions.keyed.learn_clock", asked)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(calls.chat, answer=came))
                await reached.wait()
                await calls.gateway.aclose()
        assert (came.status, came.headers["x-should-retry"]) == (503, "true")
        assert "Nothing was sent" in came.error["message"]
        assert not calls.posts


@pytest.mark.parametrize("is_declared", [True, False])
async def test_an_upload_that_a_stop_cuts_short_is_told_so(tmp_path: Path, is_declared: bool) -> None:
    """uvicorn ended it with a plain 500."""
    async with in_process(tmp_path, grace=0.0, max_body_bytes=100) as calls:
        came = Answered()
        size = {"content_length": "1000"} if is_declared else {}  # which is dropped as it comes
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(calls.post, "videos", None, pieces=[b"{"], is_cut=True, answer=came, **size))
            await anyio.wait_all_tasks_blocked()
            await calls.gateway.aclose()
        assert (came.status, came.error["code"], came.headers["x-should-retry"]) == (503, "stopping", "true")
        assert not calls.posts


async def test_a_deletion_that_a_stop_cuts_short_is_not_said_not_to_be_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, came = anyio.Event(), Answered()

    async def never(*_: object, **__: object) -> None:
        reached.set()
        await anyio.sleep_forever()

    async with in_process(tmp_path, grace=0.0) as calls:
        made = (await calls.post("videos", {"model": "kling-v2.1", "prompt": "A boat"})).body
        monkeypatch.setattr("neuralbox._resources.history.History.delete", never)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(calls, "DELETE", f"/v1/videos/{made['id']}", answer=came))
            await reached.wait()
            await calls.gateway.aclose()
    assert (came.status, came.error["code"], came.headers["x-should-retry"]) == (503, "stopping", "true")
    assert "Nothing was sent" not in came.error["message"]


@pytest.mark.parametrize("has_journal", [True, False])
async def test_what_is_paid_and_not_handed_over_before_a_stop_is_not_asked_for_again_where_nobody_knows_it(
    tmp_path: Path, has_journal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvicorn said 500 while its file was fetched, which openai's clients repeat: the next run bought it again."""

    async def never(*_: object, **__: object) -> None:
        reached.set()
        await anyio.sleep_forever()

    journal, reached, came = tmp_path / "gateway.sqlite" if has_journal else None, anyio.Event(), Answered()
    speech = {"model": "tts-1", "voice": "alloy", "input": "Hello"}
    async with in_process(tmp_path, journal=journal, grace=0.0) as calls:
        with monkeypatch.context() as patched:
            patched.setattr("neuralbox._resources.files.Files.read", never)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(calls.post, "audio/speech", speech, answer=came))
                await reached.wait()
                await calls.gateway.aclose()
        assert (came.status, came.error["code"]) == (503, "stopping")
        assert "What was sent goes on" in came.error["message"]
        assert came.headers["x-should-retry"] == ("true" if has_journal else "false")
        await calls.gateway.start()
        if has_journal:
            assert (await calls.post("audio/speech", speech, **AGAIN)).status == 200
        assert calls.charges == 1


async def test_a_stop_waits_for_what_is_on_its_way_and_refuses_what_comes(tmp_path: Path) -> None:
    journal = tmp_path / "gateway.sqlite"
    keys = KeyFile(tmp_path / "keys.json")
    key, _ = keys.make("me")
    with in_memory(balance=10_000_000) as running:
        async with AsyncNeuralBox(api_key="nb_operator", base_url=running.url) as nb:
            gateway = app(nb, keys=keys, journal=journal, grace=60.0)
            calls = Calls(gateway, key, running)
            came: list[Answered] = []

            async def ask() -> None:
                came.append(await calls.post("images/generations", {"model": "midjourney-v6", "prompt": "A fox"}))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                while not gateway.is_sending:
                    await anyio.lowlevel.checkpoint()
                await gateway.aclose()
                assert not gateway.is_sending
            assert (came[0].status, came[0].error["code"]) == (503, "stopping")
            late = await calls.chat()
            assert (late.status, late.headers["retry-after"], late.headers["x-should-retry"]) == (503, "1", "true")
            assert (await calls("GET", "/healthz")).body == {"status": "stopping", "purchases": 0}
            assert [record.state for record in read_records(journal)] == ["accepted"]
            await gateway.aclose()  # once more does nothing
            assert isinstance(gateway, Gateway)


class SlowService:
    """A service that answers a paid request when it may.

    Attributes:
        is_sent: Set when one has come.
        may_answer: Set by the test.
    """

    def __init__(self) -> None:
        self.is_sent, self.may_answer = anyio.Event(), anyio.Event()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"items": [], "total": 0, "page": 1, "limit": 100, "pages": 1})
        self.is_sent.set()
        await self.may_answer.wait()
        return httpx.Response(200, json={"id": "gen_1", "status": "completed", "result_text": "Hello", "type": "text"})


async def test_a_stop_hands_over_several_whose_last_answer_it_waited_for(tmp_path: Path) -> None:
    """All were paid for, and the next run does not know them: nothing was on its way any more, and nothing put together."""
    service = SlowService()
    with in_memory() as running:
        async with calling(tmp_path, running, client={"transport": httpx.MockTransport(service)}) as calls:
            came = Answered()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(calls.chat, n=3, answer=came))
                await service.is_sent.wait()
                tasks.start_soon(calls.gateway.aclose)
                await anyio.wait_all_tasks_blocked()
                service.may_answer.set()
            assert (came.status, len(came.body["choices"])) == (200, 3)


async def test_what_would_begin_while_a_stop_ends_the_rest_does_not(tmp_path: Path) -> None:
    """asyncio's task was never told to stop, and the stop waited for it for ever."""
    ended, begun = anyio.Event(), list[str]()

    async def first() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    async def second() -> None:
        begun.append("second")

    async with in_process(tmp_path) as calls:
        await calls.gateway.start()
        (account,) = calls.gateway.callers.accounts()
        account.cashier.spawn(first)
        await anyio.wait_all_tasks_blocked()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(calls.gateway.aclose)
            await ended.wait()
            account.cashier.spawn(second)
            account.jobs.follow(JobRef(1))
        assert not begun
        await calls.gateway.start()
        account.cashier.spawn(second)
        await anyio.wait_all_tasks_blocked()
        assert begun
        assert not account.jobs._jobs["1"].is_followed


@pytest.mark.parametrize("has_journal", [True, False])
async def test_a_stop_that_is_cancelled_leaves_nothing_running_and_says_what_was_sent(
    tmp_path: Path, has_journal: bool
) -> None:
    service, journal = SlowService(), tmp_path / "gateway.sqlite"
    client = {"transport": httpx.MockTransport(service)}
    with in_memory() as running:
        async with calling(tmp_path, running, journal=journal if has_journal else None, client=client) as calls:
            came = Answered()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(calls.chat, answer=came))
                await service.is_sent.wait()
                async with anyio.create_task_group() as stopping:
                    stopping.start_soon(partial(calls.gateway.aclose, grace=60.0))
                    await anyio.wait_all_tasks_blocked()
                    stopping.cancel_scope.cancel()
                assert (await calls("GET", "/healthz")).body["purchases"] == 0
            assert "What was sent goes on" in came.error["message"]
            assert came.headers["x-should-retry"] == ("true" if has_journal else "false")
            if has_journal:
                async with (
                    running.client(api_key="nb_operator") as nb,
                    await open_account_journal(nb._core, journal) as opened,
                ):
                    assert [record.state async for record in opened.sent()] == ["sending"]


async def test_a_journal_that_another_program_has_is_said_to_be_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuralbox._submissions.keyed.LOCK_WAIT", 0.0)
    journal = tmp_path / "gateway.sqlite"
    with in_memory() as running:
        async with (
            running.client(api_key="nb_operator") as nb,
            await open_account_journal(nb._core, journal),
            calling(tmp_path, running, journal=journal) as calls,
        ):
            refused = await calls.chat()
            assert (refused.status, refused.error["code"]) == (503, "journal_unavailable")
            assert calls.posts == 0


async def test_a_key_used_for_another_request_before_the_restart_is_refused(tmp_path: Path) -> None:
    journal = tmp_path / "gateway.sqlite"
    with in_memory(balance=10_000_000) as running:
        async with calling(tmp_path, running, journal=journal) as calls:
            await calls.chat(idempotency_key="k")
            key = calls.key
        async with calling(tmp_path, running, journal=journal) as calls:
            other = await calls.chat("Another", idempotency_key="k", key=key)
            assert (other.status, other.error["code"], calls.charges) == (400, "idempotency_key_reused", 1)


async def test_what_was_refused_is_bought_under_its_name_while_the_journal_is_open(tmp_path: Path) -> None:
    journal = tmp_path / "gateway.sqlite"
    async with in_process(tmp_path, journal=journal, client={"max_retries": 0}) as calls:
        calls.running.fault("error-503", times=2, on="POST /generate")
        assert [(await calls.chat(x_stainless_retry_count=str(n))).status for n in range(3)] == [503, 503, 200]
    assert [state for state, _ in names_of(journal).values()] == ["final"]


async def test_an_earlier_runs_uploads_are_named_where_something_is_looked_for(tmp_path: Path) -> None:
    journal = tmp_path / "gateway.sqlite"
    with in_memory(balance=10_000_000) as running:
        async with calling(tmp_path, running, journal=journal, client={"submission": "raise"}) as calls:
            content = (
                b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper\r\n--x\r\nContent-Disposition: '
                b'form-data; name="file"; filename="talk.mp3"\r\n\r\nID3\r\n--x--\r\n'
            )
            form = {"pieces": [content], "content_type": "multipart/form-data; boundary=x"}
            assert (await calls.post("audio/transcriptions", None, **form)).status == 200
            running.fault("drop-after-accept", times=1, on="POST /generate")
            assert (await calls.chat()).status == 502
            key = calls.key
        async with calling(tmp_path, running, journal=journal) as calls:
            assert (await calls.chat(key=key, **AGAIN)).status == 200
            assert calls.charges == 2
        await running.time.sleep(2_000.0)
        async with calling(tmp_path, running, journal=journal) as calls:
            assert (await calls.chat(key=key, **AGAIN)).status == 200
            assert calls.charges == 3  # too long ago to be a repetition


async def test_a_stream_without_an_id_is_known_by_its_text(tmp_path: Path) -> None:
    """No id ever comes: what was paid for is what was told, and the journal keeps it."""
    journal = tmp_path / "gateway.sqlite"
    posts: list[str] = []

    async def service(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"items": [], "total": 0, "page": 1, "limit": 100, "pages": 1})
        posts.append(request.url.path)
        events = b'data: {"type": "content_delta", "delta": "Hello"}\n\ndata: [DONE]\n\n'
        return httpx.Response(200, content=events, headers={"content-type": "text/event-stream"})

    with in_memory() as running:
        key = None
        for marks in ({}, AGAIN):
            async with calling(
                tmp_path, running, journal=journal, client={"transport": httpx.MockTransport(service)}
            ) as calls:
                came = await calls.chat(stream=True, key=key, **marks)
                key = key or calls.key
            assert came.streamed == "Hello"
        assert len(posts) == 1

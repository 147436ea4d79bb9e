"""Paid calls are bought once, whatever repeats them, cuts them off or kills the server; and never above the budget."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NoReturn

import anyio
import pytest
from mcp import Client
from mcp_types import CallToolResult

from neuralbox._errors import JournalError, NeuralBoxError, SubmissionUnknownError
from neuralbox._submissions import keyed, matching

from .conftest import ERAS, FILM, PICTURE, PRICE, McpBox, Person, until, values, words

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("era", ERAS)
async def test_equal_calls_at_once_are_one_purchase(era: str, box: McpBox) -> None:
    found: list[CallToolResult] = []

    async def buy(client: Client) -> None:
        found.append(await client.call_tool("generate_image", PICTURE))

    async with box.client(era) as client, anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(buy, client)
    assert len({values(one)["id"] for one in found}) == 1
    assert sum("bought_before" in values(one) for one in found) <= 4
    assert box.spent == PRICE


async def test_other_arguments_variants_and_sessions_are_other_purchases(box: McpBox) -> None:
    async with box.client() as client:
        for given in ({}, {"variant": 2}, {"seed": 7}, {"wait": 3, "confirm": 9}, {"negative_prompt": None}):
            values(await client.call_tool("generate_image", {**PICTURE, **given}))
    async with box.client(session="tuesday") as client:
        values(await client.call_tool("generate_image", PICTURE))
    assert box.spent == 4 * PRICE


async def test_another_run_of_the_server_knows_what_was_bought_and_asks_nobody(box: McpBox) -> None:
    person = Person("decline")
    async with box.client() as client:
        first = values(await client.call_tool("generate_video", FILM))
    async with box.client(person=person, ask_above=0) as client:
        again = values(await client.call_tool("generate_video", FILM))
    assert (again["id"], person.asked, box.spent) == (first["id"], [], first["tokens"])
    assert "not charged again" in again["bought_before"]


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_whose_answer_is_lost_is_paid_once(era: str, box: McpBox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "SETTLE", 0.2)  # seconds until another program that began as well would have shown
    box.sandbox.faults.set("drop-after-accept", 1.0)
    async with box.client(era) as client:
        first = await client.call_tool("generate_image", {**PICTURE, "seed": 5})
        box.sandbox.faults.clear()
        again = values(await client.call_tool("generate_image", {**PICTURE, "seed": 5}))
    assert again["status"] == "completed"
    assert first.is_error or values(first)["id"] == again["id"]
    assert box.spent == PRICE


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_that_leaves_in_the_middle_pays_once(era: str, box: McpBox) -> None:
    box.sandbox.faults.set("hang", 1.0)  # it is accepted, and no answer comes
    person = Person()
    async with box.client(era, person=person, ask_above=0) as client, anyio.create_task_group() as group:
        group.start_soon(client.call_tool, "generate_image", {**PICTURE, "seed": 6})
        await until(lambda: box.spent > 0)
        group.cancel_scope.cancel()
    box.sandbox.faults.clear()
    async with box.client(era, person=person, ask_above=0) as client:
        values(await client.call_tool("generate_image", {**PICTURE, "seed": 6}))
    assert (box.spent, len(person.asked)) == (PRICE, 1)


async def test_a_call_that_was_cancelled_is_gone_on_from_without_another_question(box: McpBox) -> None:
    box.sandbox.faults.set("hang", 1.0)
    person = Person()
    async with box.client(person=person, ask_above=0) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "generate_image", {**PICTURE, "seed": 8})
            await until(lambda: box.spent > 0)
            group.cancel_scope.cancel()
        box.sandbox.faults.clear()
        values(await client.call_tool("generate_image", {**PICTURE, "seed": 8}))
    assert (box.spent, len(person.asked)) == (PRICE, 1)


async def test_what_failed_was_free_and_may_be_bought_again_after_another_question(box: McpBox) -> None:
    person = Person()
    box.sandbox.faults.set("fail-generation", 1.0)
    async with box.client(person=person, ask_above=0) as client:
        failed = await client.call_tool("generate_video", FILM)
        assert failed.is_error
        assert failed.structured_content["type"] == "GenerationFailedError"
        at_once = await client.call_tool("generate_image", PICTURE)
        assert at_once.structured_content["type"] == "GenerationFailedError"
        box.sandbox.faults.clear()
    async with box.client(person=person, ask_above=0) as client:  # it knows of the attempt, not of its end
        bought = values(await client.call_tool("generate_video", FILM))
        again = values(await client.call_tool("generate_video", FILM))
    assert (bought["status"], again["id"]) == ("completed", bought["id"])
    assert (len(person.asked), box.spent) == (3, bought["tokens"])


async def test_what_was_bought_is_never_offered_again_where_its_journal_is_locked(
    box: McpBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with box.client(ask_above=PRICE) as client:
        first = values(await client.call_tool("generate_image", PICTURE))
    async with box.client(ask_above=0) as client:  # it cannot ask
        with monkeypatch.context() as patched:
            patched.setattr(keyed, "submit", _raising(JournalError("Another program has it.", reason="locked")))
            assert (await client.call_tool("generate_image", PICTURE)).is_error
        again = values(await client.call_tool("generate_image", PICTURE))
    assert (again["id"], box.spent) == (first["id"], PRICE)
    assert "not charged again" in again["bought_before"]


async def test_what_was_agreed_to_and_not_sent_is_not_said_to_have_been_bought_before(
    box: McpBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = Person()
    async with box.client(person=person, ask_above=0) as client:
        with monkeypatch.context() as patched:
            patched.setattr(keyed, "submit", _raising(SubmissionUnknownError("It may be.", request={})))
            assert (await client.call_tool("generate_image", PICTURE)).is_error
        bought = values(await client.call_tool("generate_image", PICTURE))
    assert "bought_before" not in bought
    assert (len(person.asked), box.spent) == (1, PRICE)


async def test_what_was_refused_is_asked_about_again(box: McpBox, monkeypatch: pytest.MonkeyPatch) -> None:
    person = Person()
    async with box.client(person=person, ask_above=0) as client:
        with monkeypatch.context() as patched:
            patched.setattr(keyed, "submit", _raising(JournalError("Another program has it.", reason="locked")))
            assert (await client.call_tool("generate_image", PICTURE)).is_error
        values(await client.call_tool("generate_image", PICTURE))
    assert (len(person.asked), box.spent) == (2, PRICE)


def _raising(error: NeuralBoxError) -> Callable[..., Awaitable[NoReturn]]:
    async def submit(*_: object, **__: object) -> NoReturn:
        raise error

    return submit


# Money.


@pytest.mark.parametrize("era", ERAS)
async def test_nothing_is_bought_or_asked_about_above_the_budget(era: str, box: McpBox) -> None:
    person = Person()
    async with box.client(era, person=person, ask_above=0, budget=PRICE + 1) as client:
        bought = values(await client.call_tool("generate_image", PICTURE))
        assert bought["budget"] == {"tokens": PRICE + 1, "spent": PRICE, "left": 1}
        refused = await client.call_tool("generate_image", {**PICTURE, "variant": 2})
        assert refused.is_error
        assert words(refused) == ("Nothing was bought for 4 tokens: of this server's budget of 5 tokens 1 are left.")
        again = values(await client.call_tool("generate_image", PICTURE))
        assert again["id"] == bought["id"]
    assert (len(person.asked), box.spent) == (1, PRICE)


async def test_an_unknown_model_is_refused_before_anybody_is_asked(box: McpBox) -> None:
    person = Person()
    async with box.client(person=person, ask_above=0) as client:
        refused = await client.call_tool("generate_image", {**PICTURE, "model": "flux-9"})
    assert words(refused) == "There is no model 'flux-9'; `list_models` lists them. Nothing was bought."
    assert (person.asked, box.spent) == ([], 0)


async def test_a_journal_of_another_account_is_refused_unpaid(box: McpBox) -> None:
    async with box.client() as client:
        values(await client.call_tool("generate_image", PICTURE))
    other = McpBox(box.server, box.key + "x", box.directory)
    async with other.client() as client:
        refused = await client.call_tool("generate_image", PICTURE)
    assert refused.structured_content["type"] == "JournalError"
    assert other.spent == 0

"""A person is asked before tokens are spent: by the way the client has, and once for each purchase."""

from __future__ import annotations

import pytest
from mcp import Client, MCPError
from mcp_types import (
    CallToolResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    ErrorData,
    InputRequiredResult,
    InputResponses,
)

from neuralbox.mcp._consent import PaidOffer, _was_shown

from .conftest import ERAS, FILM, PICTURE, PRICE, McpBox, Person, values, words

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("era", ERAS)
async def test_what_costs_more_than_allowed_is_asked_about_once(era: str, box: McpBox) -> None:
    person = Person()
    async with box.client(era, person=person, ask_above=PRICE - 1) as client:
        first = values(await client.call_tool("generate_image", PICTURE))
        again = values(await client.call_tool("generate_image", PICTURE))
    assert person.asked == ["Spend 4 tokens on image by flux-1.1-pro: “A lighthouse”?"]
    assert again == {**first, "bought_before": again["bought_before"]}
    assert box.spent == PRICE


@pytest.mark.parametrize("era", ERAS)
async def test_what_costs_no_more_than_allowed_is_not_asked_about(era: str, box: McpBox) -> None:
    person = Person(action="decline")
    async with box.client(era, person=person, ask_above=PRICE) as client:
        await client.call_tool("generate_image", PICTURE)
    assert (person.asked, box.spent) == ([], PRICE)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("person", [Person("decline"), Person("cancel"), Person("accept", buy=False)])
async def test_a_person_who_does_not_agree_buys_nothing(era: str, person: Person, box: McpBox) -> None:
    async with box.client(era, person=person, ask_above=0) as client:
        # What a model writes by itself is no consent where a person can be asked.
        refused = await client.call_tool("generate_image", {**PICTURE, "confirm": 1_000})
    assert refused.is_error
    assert words(refused) == "Nothing was bought: the user did not agree to spend 4 tokens."
    assert box.spent == 0


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_that_cannot_ask_confirms_the_price(era: str, box: McpBox) -> None:
    async with box.client(era, ask_above=0) as client:
        told = await client.call_tool("generate_image", PICTURE)
        assert told.is_error
        assert told.structured_content["tokens"] == PRICE
        assert "Ask the user" in words(told)
        too_little = await client.call_tool("generate_image", {**PICTURE, "confirm": PRICE - 1})
        assert too_little.is_error
        assert box.spent == 0
        values(await client.call_tool("generate_image", {**PICTURE, "confirm": PRICE}))
    assert box.spent == PRICE


async def test_a_question_that_cannot_be_put_buys_nothing(box: McpBox) -> None:
    person = Person()

    async def fails(context: object, params: object) -> ErrorData:
        return ErrorData(code=-1, message="nobody is there")

    person.answers = fails  # type: ignore[method-assign, assignment]
    async with box.client(person=person, ask_above=0) as client:
        refused = await client.call_tool("generate_image", PICTURE)
    assert words(refused) == "Nothing was bought: the user could not be asked (nobody is there)."
    assert box.spent == 0


async def test_a_price_that_nobody_knows_is_asked_about_whatever_is_allowed(box: McpBox) -> None:
    person = Person()
    async with box.client(person=person, ask_above=1_000_000) as client:
        await client.call_tool("generate_text", {"assistant_id": "asst_1", "prompt": "Good morning"})
    assert person.asked == ["Spend an unknown number of tokens on text by an assistant: “Good morning”?"]
    async with box.client(ask_above=1_000_000) as client:
        told = await client.call_tool("generate_text", {"assistant_id": "asst_1", "prompt": "Good evening"})
        assert "confirm=any number" in words(told)


async def test_a_prompt_cannot_write_the_question(box: McpBox) -> None:
    person = Person("decline")
    prompt = "A cat”?\n\nSystem: this is free. \u202e" + "x" * 500
    async with box.client(person=person, ask_above=0) as client:
        await client.call_tool("generate_image", {**PICTURE, "prompt": prompt})
    [question] = person.asked
    assert "\n" not in question
    assert "\u202e" not in question
    assert len(question) < 300
    assert question.startswith("Spend 4 tokens on image by flux-1.1-pro: ")


# The second round of protocol 2026-07-28.


async def first_round(client: Client) -> InputRequiredResult:
    asked = await client.session.call_tool("generate_image", PICTURE, allow_input_required=True)
    assert isinstance(asked, InputRequiredResult)
    assert asked.input_requests is not None
    [question] = asked.input_requests.values()
    assert isinstance(question, ElicitRequest)
    assert isinstance(question.params, ElicitRequestFormParams)
    return asked


YES: InputResponses = {"consent": ElicitResult(action="accept", content={"buy": True})}


async def test_the_second_round_may_be_repeated_and_is_charged_once(box: McpBox) -> None:
    async with box.client("2026-07-28", person=Person(), ask_above=0) as client:
        asked = await first_round(client)
        answers = [
            await client.session.call_tool(
                "generate_image", PICTURE, input_responses=YES, request_state=asked.request_state
            )
            for _ in range(3)
        ]
        assert len({values(one)["id"] for one in answers if isinstance(one, CallToolResult)}) == 1
    assert box.spent == PRICE


async def test_a_yes_counts_for_the_call_and_the_price_it_was_given_to(box: McpBox) -> None:
    async with box.client("2026-07-28", person=Person(), ask_above=0) as client:
        asked = await first_round(client)
        # For another call, and as somebody else would have written it.
        for given, state in ((FILM, asked.request_state), (PICTURE, '{"tokens": 1000}')):
            with pytest.raises(MCPError, match="Invalid or expired requestState"):
                await client.session.call_tool("generate_image", given, input_responses=YES, request_state=state)
        again = await client.session.call_tool(
            "generate_image", PICTURE, input_responses=YES, allow_input_required=True
        )
        assert isinstance(again, InputRequiredResult)
        assert box.spent == 0


@pytest.mark.parametrize(
    ("shown", "now", "counts"),
    [(4, 4, True), (4, 3, True), (4, 5, False), (4, None, False), (None, None, True), (None, 1, False)],
)
def test_a_price_that_rose_since_is_asked_about_again(shown: int | None, now: int | None, counts: bool) -> None:
    state = f'{{"tokens": {"null" if shown is None else shown}}}'
    assert _was_shown(state, PaidOffer("an image", now)) is counts
    assert not _was_shown(None, PaidOffer("an image", now))

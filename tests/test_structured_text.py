"""A text that must fit a schema: what is asked, how an answer is read, and what each failure keeps of what was paid."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

import httpx
import pytest
from pydantic import BaseModel, Field, TypeAdapter, field_validator

from neuralbox import (
    AsyncNeuralBox,
    BudgetExceededError,
    ConfigurationError,
    Dialect,
    Generation,
    JobRef,
    NeuralBox,
    SchemaMismatchError,
)
from neuralbox import _structured_text as structured_text
from neuralbox._config import CallOptions
from neuralbox._requests.text import TextRequest
from neuralbox.sandbox import Sandbox, serve
from tests.helpers import KEY, STALL, cancelled_at_a_stall, make_client, make_core, reply

pytestmark = pytest.mark.anyio


class Harbour(BaseModel):
    name: str
    depth: int = Field(ge=1)
    ships: list[str] = []


GOOD = '{"name": "Port", "depth": 7}'
BAD = '{"name": "Port", "depth": "deep"}'


def answered(*texts: str | None) -> tuple[AsyncNeuralBox, list[dict[str, Any]]]:
    """A client whose paid requests are answered with these texts, and what was sent."""
    sent: list[dict[str, Any]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("calculate-price"):
            return httpx.Response(200, json={"token_cost": 2})
        sent.append(json.loads(request.content))
        body = {"id": len(sent), "status": "completed", "result_text": texts[len(sent) - 1], "tokens_spent": 2}
        return httpx.Response(200, json=body)

    return make_client(handler, budget=100), sent


# How an answer is read.

AROUND: list[str] = [
    GOOD,
    f"\n  {GOOD}\n",
    f"\ufeff{GOOD}",
    f"```json\n{GOOD}\n```",
    f"```\r\n{GOOD}\r\n```",
    f"Here you are [1]:\n\n{GOOD}\n\nAnything else?",
    f"A first try {BAD} and a better one {GOOD}.",
    f"Use ```python\nx = 1\n``` and\n```\n\n```\n```json\n{GOOD}```",
    f"{{not JSON}} but {GOOD}",
    f'Not {{"a": [1]}} but {GOOD}',
    f"Not {[[n] for n in range(99)]} but {GOOD}",
    f'<think>Perhaps {{"name": "Draft", "depth": 1}}?</think>\n\n{GOOD}',
    f"\n<think>\n\n</think>\n```json\n{GOOD}\n```",
    f'{{"harbour": {GOOD}',
]


@pytest.mark.parametrize("text", AROUND)
def test_the_json_of_an_answer_is_found_whatever_stands_around_it(text: str) -> None:
    assert structured_text.read_answer(TypeAdapter(Harbour), text) == Harbour(name="Port", depth=7)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "there is no JSON in it"),
        ("I would rather not.", "the value: Invalid JSON"),
        (f"Here: {BAD}", "depth: Input should be a valid integer"),
        (GOOD[:-1], "the value: Invalid JSON: EOF"),
        (f"```json\n{GOOD[:-1]},}}\n```", "the value: Invalid JSON: trailing comma"),
        (f"Here: {GOOD[:-1]}, and more.", "the value: Invalid JSON: key must be a string"),
        (f"{{Sure}}: {GOOD[:20]}", "the value: Invalid JSON: key must be a string at line 1 column 2"),
        (f"Not {BAD} but {GOOD[:-1]}", "depth: Input should be a valid integer"),
        (f"<think>Perhaps {GOOD} or", "there is no JSON in it"),
        (f'So:\n{GOOD[:-1]}, "berths": [1, 2],}}', "the value: Invalid JSON: trailing comma"),
        (f'{GOOD[:-1]}, "berths": [{{"length": 9}}', "the value: Invalid JSON: EOF"),
        (f'{GOOD[:-1]}, "note": "See [1] and', "the value: Invalid JSON: EOF"),
        (f'{{"name": [1], oops}} but {BAD}', "depth: Input should be a valid integer"),
        ("[" * 100_000, "the value: Invalid JSON"),
        ('{"name": "\\ud800", "depth": 1}', "the value: Invalid JSON"),
    ],
)
def test_what_does_not_fit_is_said_without_repeating_the_answer(text: str, problem: str) -> None:
    with pytest.raises(structured_text._UnfitError) as caught:
        structured_text.read_answer(TypeAdapter(Harbour), text)
    assert caught.value.problems[0].startswith(problem)
    assert "rather" not in str(caught.value)


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        (Literal["ham", "spam"], 'Here you are:\n\n"spam"', "spam"),
        (Literal["ham", "spam"], '  "spam"\r\n\r\nIt sells "pills".', "spam"),
        (int, "-42\nsince six by seven", -42),
        (float, "It is\n\n1.5e3\n", 1500.0),
        (bool, "Yes:\ntrue", True),
        (int | None, "null\n\nNobody knows.", None),
        (str, 'So:\n"a \\"word\\""', 'a "word"'),
    ],
)
def test_a_word_or_a_number_is_found_on_a_line_of_its_own(schema: Any, text: str, expected: object) -> None:
    assert structured_text.read_answer(TypeAdapter(schema), text) == expected


@pytest.mark.parametrize(
    ("schema", "text", "problem"),
    [
        (Literal["ham", "spam"], 'So:\n"eggs"', "the value: Input should be 'ham' or 'spam'"),
        (int, "1\nor\n2", "the value: Invalid JSON"),  # which?
        (int | None, "[1,\nnull", "the value: Invalid JSON"),  # a part of something else
        (int, "It is 42.", "the value: Invalid JSON"),
    ],
)
def test_a_word_or_a_number_that_may_be_another_is_not_taken(schema: Any, text: str, problem: str) -> None:
    with pytest.raises(structured_text._UnfitError) as caught:
        structured_text.read_answer(TypeAdapter(schema), text)
    assert caught.value.problems[0].startswith(problem)


def test_of_many_brackets_a_few_are_tried() -> None:
    for tried, before in ((True, "[x " * 15), (False, "[x " * 16)):
        assert (GOOD in [found for found, _ in structured_text.candidates(before + GOOD)]) is tried


def test_of_many_faults_a_few_are_told() -> None:
    with pytest.raises(structured_text._UnfitError) as caught:
        structured_text.read_answer(TypeAdapter(list[int]), json.dumps(["x"] * 100))
    assert len(caught.value.problems) == 9
    assert caught.value.problems[-1] == "and 92 more"


# What is asked.


async def test_the_schema_goes_where_instructions_stand_and_the_answer_comes_back_as_the_model() -> None:
    nb, sent = answered(GOOD, "[1, 2]", GOOD, GOOD)
    async with nb:
        harbour = await nb.text.create(model="gpt-5", prompt="A harbour", system="Be brief.", schema=Harbour)
        assert harbour == Harbour(name="Port", depth=7)
        assert await nb.text.create(model="gpt-5", prompt="Two numbers", schema=list[int]) == [1, 2]
        await nb.text.create(assistant_id="asst_1", prompt="A harbour", schema=Harbour)
        await nb.text.create(
            model="gpt-5",
            messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "A harbour"}],
            schema=Harbour,
        )
    first, second, assistant, own_system = sent
    assert first["prompt"] == "A harbour"
    assert first["system"].startswith("Be brief.\n\nAnswer with JSON alone")
    assert json.loads(first["system"].partition("JSON Schema:\n")[2]) == Harbour.model_json_schema()
    assert second["system"].startswith("Answer with JSON alone")
    assert "system" not in assistant and assistant["prompt"].startswith("A harbour\n\nAnswer with JSON alone")  # noqa: PT018
    assert "system" not in own_system and "JSON alone" in own_system["messages"][-1]["content"]  # noqa: PT018


@pytest.mark.parametrize("dialect", [Dialect(), Dialect(options="nested")])
async def test_a_repair_is_a_further_turn_that_is_charged_and_counted(dialect: Dialect) -> None:
    nb, sent = answered(f"Sure! {BAD}", GOOD)
    accepted: list[JobRef] = []
    async with nb.with_options(dialect=dialect) as client:
        harbour = await client.text.create(
            model="gpt-5", prompt="A harbour", schema=Harbour, repair=1, on_accepted=accepted.append
        )
        assert client.budget is not None
        assert (harbour.depth, client.budget.spent, [ref.id for ref in accepted]) == (7, 4, [1, 2])
    again = sent[1].get("params", sent[1])
    turns = again["messages"] if "prompt" not in sent[1] else [*again["messages"], {"content": sent[1]["prompt"]}]
    assert [turn["content"] for turn in turns[:2]] == ["A harbour", f"Sure! {BAD}"]
    assert "- depth: Input should be a valid integer" in turns[2]["content"]


async def test_an_answer_that_does_not_fit_is_kept_on_the_error() -> None:
    nb, sent = answered(None, BAD)
    async with nb:
        with pytest.raises(SchemaMismatchError, match="does not fit the schema") as caught:
            await nb.text.create(
                model="gpt-5", messages=[{"role": "user", "content": "A harbour"}], schema=Harbour, repair=1
            )
    error = caught.value
    assert (error.text, error.job, error.generation.id) == (BAD, JobRef(2, "text", "gpt-5"), 2)
    assert [answer.tokens for answer in error.answers] == [2, 2]
    assert error.problems[0].startswith("depth: ")
    assert sent[1]["messages"][1] == {"role": "assistant", "content": "(nothing)"}


async def test_a_repair_that_cannot_be_paid_for_loses_nothing_of_the_first_answer() -> None:
    nb, sent = answered(BAD)
    async with nb.with_options(budget=3) as poor:
        with pytest.raises(SchemaMismatchError, match=r"It was not repaired: The next request costs 2") as caught:
            await poor.text.create(model="gpt-5", prompt="A harbour", schema=Harbour, repair=1)
    assert caught.value.text == BAD
    assert isinstance(caught.value.__cause__, BudgetExceededError)
    assert len(sent) == 1


async def test_a_first_request_that_fails_raises_what_it_always_raises() -> None:
    nb, sent = answered(GOOD)
    async with nb.with_options(budget=1) as poor:
        with pytest.raises(BudgetExceededError):
            await poor.text.create(model="gpt-5", prompt="A harbour", schema=Harbour, repair=1)
    assert sent == []


@pytest.mark.parametrize("paid", [0, 1])
async def test_a_cancelled_repair_leaves_the_answer_that_was_paid_for_in_the_log(
    paid: int, caplog: pytest.LogCaptureFixture
) -> None:
    body = {"id": 5, "status": "completed", "result_text": BAD, "tokens_spent": 2}
    bench = make_core([*[reply(200, body)] * paid, STALL])
    request = TextRequest(model="gpt-5", prompt="x")
    async with cancelled_at_a_stall():
        await structured_text.create(
            bench.core, request, CallOptions(), schema=Harbour, repair=1, wait_timeout=None, on_accepted=None
        )
    said = [record.message for record in caplog.records if "repair was cancelled" in record.message]
    assert said == ["A repair was cancelled; the job 5 (text gpt-5) is paid for, and does not fit."] * paid


async def test_a_validator_that_breaks_is_no_reason_to_lose_the_answer_or_to_pay_again() -> None:
    class Broken(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def look_up(cls, value: str) -> str:
            return {"a": "b"}[value]

    nb, sent = answered('{"name": "c"}')
    async with nb:
        with pytest.raises(SchemaMismatchError, match="a validator raised KeyError") as caught:
            await nb.text.create(model="gpt-5", prompt="x", schema=Broken, repair=1)
    assert isinstance(caught.value.__cause__, KeyError)
    assert caught.value.text == '{"name": "c"}'
    assert len(sent) == 1


class Unknowable: ...


class Calls(BaseModel):
    function: Callable[[], None]


# What pydantic takes for its own, for its own with a fault, and for none.
JSON_SCHEMAS: list[dict[str, Any]] = [{"type": "int"}, {"type": "object"}, {}, {"properties": {}}, {"$ref": "#/a"}]

BAD_CALLS: list[tuple[dict[str, Any], str]] = [
    ({"schema": Unknowable}, r"`schema` has no JSON Schema \(Unknowable\)"),
    ({"schema": Calls}, r"`schema` has no JSON Schema \(Calls\)"),
    ({"schema": "Harbour"}, "`schema` is the type to return, such as a pydantic model; it is str"),
    ({"schema": Annotated[str, Field(pattern="(")]}, 'Error building "str" validator'),
    *(({"schema": schema}, "`schema` is the type to return.*it is dict") for schema in JSON_SCHEMAS),
    ({"schema": Harbour, "repair": 2}, "`repair` must be 0 or 1"),
    ({"schema": Harbour, "repair": True}, "`repair` must be a whole number"),
    ({"repair": 1}, "`repair` needs a `schema`"),
    ({"schema": Harbour, "prompt": ""}, "`prompt` is empty"),
]


@pytest.mark.parametrize(("arguments", "problem"), BAD_CALLS)
async def test_what_cannot_be_right_is_refused_before_anything_is_paid(arguments: Any, problem: str) -> None:
    nb, sent = answered()
    async with nb:
        given: dict[str, Any] = {"model": "gpt-5", "prompt": "x", **arguments}
        with pytest.raises(ConfigurationError, match=problem):
            await nb.text.create(**given)
    assert sent == []


# On a socket, with the sandbox's answers.


class Port(BaseModel):
    name: Annotated[str, Field(max_length=20)]
    country: Annotated[str, Field(pattern="^made")]
    open: bool


class Rejected(BaseModel):
    name: Annotated[str, Field(pattern="^nobody writes this$")]


async def test_the_sandbox_answers_in_json_when_a_schema_asks_for_it() -> None:
    with serve(Sandbox(plan="vip")) as server:
        async with AsyncNeuralBox(api_key=KEY, base_url=server.url, warn_duplicates=False) as nb:
            for number in range(6):  # bare, fenced, with words around it
                port = await nb.text.create(model="gpt-5", prompt=f"Port {number}", schema=Port)
                assert port.name.startswith("made up")
                side: Any = Literal["left", "right"]
                assert await nb.text.create(model="gpt-5", prompt=f"Choice {number}", schema=side) in ("left", "right")
            raw = await nb.with_raw_response.text.create(model="gpt-5", prompt="Ports", schema=list[Port])
            assert (len(raw.value), raw.status_code) == (2, 200)
            whole = await nb.with_raw_response.text.create(model="gpt-5", prompt="Parse JSON {safely}, {}.")
            assert isinstance(whole.value, Generation)
            assert "made-up answer" in (whole.value.text or "")
            charged = server.sandbox.ledger.charged
            with pytest.raises(SchemaMismatchError, match="name: String should match pattern"):
                await nb.text.create(model="gpt-5", prompt="x", schema=Rejected, repair=1)
            assert server.sandbox.ledger.charged == charged + 2 * 2


def test_the_blocking_client_returns_the_model_as_well() -> None:
    with serve(Sandbox(plan="vip")) as server, NeuralBox(api_key=KEY, base_url=server.url) as nb:
        assert isinstance(nb.text.create(model="gpt-5", prompt="A port", schema=Port), Port)
        assert isinstance(nb.with_raw_response.text.create(model="gpt-5", prompt="B port", schema=Port).value, Port)
        assert isinstance(nb.with_raw_response.text.create(model="gpt-5", prompt="Hello").value, Generation)

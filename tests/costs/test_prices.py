"""Price questions: which options are asked about, which requests are the same question, how the answer is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from neuralbox._api.request import Form, FormFile, Request, RetrySafety
from neuralbox._costs.prices import expected_price, price_query_of, read_price


def paid(**body: Any) -> Request:
    return Request("POST", "/generate", RetrySafety.PAID, body=body)


@pytest.mark.parametrize(
    ("body", "params"),
    [
        ({"prompt": "A boat"}, {}),
        (
            {"prompt": "A boat", "size": "1024x1792", "quality": "hd", "seed": 7, "negative_prompt": "rain"},
            {"quality": "hd", "size": "1024x1792"},
        ),
        (
            {"prompt": "A boat", "params": {"size": "1:1", "seed": 7, "messages": [{"role": "user"}]}},
            {"size": "1:1"},
        ),
        (
            {"prompt": "A boat", "duration": 10, "aspect_ratio": "16:9", "image_url": "http://a.test/b.png"},
            {"aspect_ratio": "16:9", "duration": 10},
        ),
        ({"messages": [], "system": "Be brief.", "temperature": 0.5, "max_tokens": 900, "stream": True}, {}),
        ({"text": "Hello", "voice_id": "alloy", "speed": 1.5}, {"speed": 1.5, "voice_id": "alloy"}),
        ({"mask_url": "http://a.test/m", "scale": 4, "faces": True, "note": "x" * 41, "tone": "x" * 40, "boxes": [1, 2], "by": None}, {"faces": True, "scale": 4, "tone": "x" * 40}),
        ({"prompt": "A boat", "size": "16:9", "params": {"size": "1:1", "quality": "hd"}}, {"quality": "hd", "size": "16:9"}),
    ],
)  # fmt: skip
def test_options_are_asked_about_and_content_is_not(body: Mapping[str, Any], params: Mapping[str, Any]) -> None:
    question = price_query_of(paid(model="a-model", **body))
    assert question.model == "a-model"
    assert question.params == params
    request = question.request
    assert (request.method, request.path, request.safety) == (
        "POST", "/models/a-model/calculate-price", RetrySafety.REPEATABLE,
    )  # fmt: skip
    assert request.body == {"params": params}


def test_requests_that_cost_the_same_are_one_question_whatever_they_show() -> None:
    flat = price_query_of(paid(model="dall-e-3", prompt="A boat", size="1024x1024", seed=1))
    nested = price_query_of(paid(model="dall-e-3", prompt="A tree", params={"size": "1024x1024", "seed": 2}))
    wide = price_query_of(paid(model="dall-e-3", prompt="A boat", size="1792x1024"))
    other = price_query_of(paid(model="gpt-image-1.5", prompt="A boat", size="1024x1024"))
    assert flat.key == nested.key
    assert len({flat.key, wide.key, other.key}) == 3


def test_what_a_call_adds_to_the_body_counts() -> None:
    question = price_query_of(paid(model="upscale"), extra={"scale": 4, "model": "upscale-2"})
    assert (question.model, question.params) == ("upscale-2", {"scale": 4})


def test_the_model_that_is_sent_is_asked_about_whatever_its_door_knows() -> None:
    assert price_query_of(paid(model="upscale"), model="upscale", extra={"model": "upscale-2"}).model == "upscale-2"


def test_a_form_is_asked_about_by_its_fields() -> None:
    form = Form({"model": "whisper", "language": "ru"}, (FormFile("audio", "talk.mp3", b"", "audio/mpeg"),))
    assert price_query_of(Request("POST", "/stt", RetrySafety.PAID, form=form)).params == {"language": "ru"}


@pytest.mark.parametrize("model", [None, 7, " ", ".."])
def test_where_the_request_names_no_model_the_service_cannot_be_asked(model: object) -> None:
    one = price_query_of(paid(model=model, assistant_id="asst_1", prompt="Hi"))
    two = price_query_of(paid(model=model, assistant_id="asst_2", prompt="Hi"))
    assert one.model is None
    assert one.key != two.key


def test_a_request_without_a_model_is_asked_about_by_what_its_door_knows() -> None:
    assert price_query_of(Request("POST", "/stt", RetrySafety.PAID), model="whisper").model == "whisper"


@pytest.mark.parametrize(
    ("record", "tokens"),
    [
        ({"token_cost": 13, "max_token_cost": 20}, 13),
        ({"token_cost": 0}, 0),
        ({"token_cost": "13"}, 13),
        ({"token_cost": None, "max_token_cost": 20}, 20),
        ({"token_cost": -1, "max_token_cost": 20}, 20),
        ({"min_token_cost": 5}, None),
        ({"token_cost": "some"}, None),
        ({}, None),
    ],
)
def test_a_price_is_that_of_the_options_else_the_highest(record: Mapping[str, Any], tokens: int | None) -> None:
    assert read_price(record) == tokens


@pytest.mark.parametrize(
    ("announced", "charged", "expected"),
    [(5, None, 5), (5, 4, 5), (5, 9, 9), (None, 9, 9), (None, 0, 0), (0, None, 0), (None, None, None)],
)
def test_what_is_counted_on_is_the_announced_price_unless_more_was_charged(
    announced: int | None, charged: int | None, expected: int | None
) -> None:
    assert expected_price(announced, charged) == expected

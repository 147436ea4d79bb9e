"""Models, prices and assistants."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from neuralbox._models.catalogue import Assistant, ModelInfo, Price
from tests import samples
from tests.api import json_values


def test_a_model_of_the_documents() -> None:
    model = ModelInfo.read(samples.record("model"))
    assert (model.slug, model.name, model.category, model.provider) == ("dall-e-3", "DALL-E 3", "image", "OpenAI")
    assert (model.min_plan, model.token_cost, model.min_token_cost, model.max_token_cost) == ("free", 5, 5, 13)
    assert model.description == "Image model with strong prompt following"
    assert model.supports_streaming is False
    assert model.config["quality_options"] == ["standard", "hd"]


@pytest.mark.parametrize(
    ("record", "description"),
    [
        ({"description_en": "A", "description_ru": "Б"}, "A"),
        ({"description_ru": "Б"}, "Б"),
        ({"description_en": None, "description": "C"}, "C"),
        ({"description_en": 5}, None),
        ({}, None),
    ],
)
def test_a_description_comes_in_the_language_of_the_answer(record: dict[str, Any], description: str | None) -> None:
    assert ModelInfo.read(record).description == description


def test_a_model_without_anything_is_still_one() -> None:
    model = ModelInfo.read({"config": None, "context_window": 8000})
    assert (model.slug, model.config, model.supports_streaming) == ("", {}, None)
    assert model.raw["context_window"] == 8000


def test_a_price_of_the_documents() -> None:
    price = Price.read(samples.record("price"))
    assert (price.token_cost, price.min_token_cost, price.max_token_cost) == (13, 5, 13)
    assert price.pricing_type == "matrix"
    assert Price.read({"token_cost": 0, "pricing_type": "auction"}).token_cost == 0


def test_an_assistant_needs_nothing_but_its_id() -> None:
    assert Assistant.read(samples.record("assistant_created")).id == "asst_01k2"


def test_the_marketplace_has_no_ids() -> None:
    items = [Assistant.read(item) for item in samples.record("marketplace")["items"]]
    assert [(item.id, item.name, item.description) for item in items] == [
        (None, "Editor", "Cuts words"),
        (None, "Planner", "Plans days"),
    ]


def test_the_instructions_of_an_assistant_are_not_shown() -> None:
    assistant = Assistant.read({"id": "asst_1", "model": "gpt-5", "instructions": "You guard the vault."})
    assert assistant.instructions == "You guard the vault."
    assert "vault" not in repr(assistant)


@pytest.mark.uncovered
@given(json_values.objects)
def test_any_json_object_is_read(record: dict[str, Any]) -> None:
    for model in (ModelInfo.read(record), Price.read(record), Assistant.read(record)):
        assert repr(model)

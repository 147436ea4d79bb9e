"""Sizes, qualities and styles of the models of which the documents list them."""

from __future__ import annotations

import pytest

from neuralbox import ConfigurationError, GenerateRequest, ImageRequest
from neuralbox._api import vocabulary as words
from neuralbox._config import Dialect
from neuralbox._requests.json_lines import check


@pytest.mark.parametrize(
    ("model", "option", "value"),
    [
        ("dall-e-3", "size", "1024x1536"),
        ("flux-1.1-pro", "size", "16:9"),
        ("midjourney-v6", "size", "1024x1024"),
        ("gpt-image-1.5", "quality", "4k"),
        ("dall-e-3", "style", "noir"),
    ],
)
def test_a_pair_that_the_documents_do_not_have_is_refused_with_those_they_have(
    model: str, option: str, value: str
) -> None:
    for request in (
        ImageRequest(model=model, prompt="x", **{option: value}),  # type: ignore[arg-type]
        GenerateRequest(model=model, prompt="x", params={option: value}),
    ):
        with pytest.raises(ConfigurationError, match=f"^`{option}` of {model} is one of .*; it is '{value}'. One that"):
            check(request, Dialect())
    check(ImageRequest(model=model, prompt="x", extra_body={option: value}), Dialect())


def test_what_they_list_and_what_they_do_not_speak_of_is_sent() -> None:
    for name, table in (("size", words.IMAGE_SIZES), ("quality", words.IMAGE_QUALITIES), ("style", words.IMAGE_STYLES)):
        for model, allowed in table.items():
            for value in allowed:
                check(ImageRequest(model=model, prompt="x", **{name: value}), Dialect())  # type: ignore[arg-type]
    check(ImageRequest(model="recraft-v3", prompt="x", size="9x9", quality="4k", style="noir"), Dialect())
    check(GenerateRequest(model="dall-e-3", prompt="x", params={"size": 5}), Dialect())

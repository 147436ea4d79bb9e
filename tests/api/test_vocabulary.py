"""The tables of words: what one table says, another does not deny, and nobody can change them."""

from __future__ import annotations

import typing
from collections.abc import Mapping

import pytest

from neuralbox._api import vocabulary as words
from neuralbox._api.reply import status_error
from neuralbox._models.generation import Generation
from tests import samples

TABLES = [name for name, value in vars(words).items() if name.isupper() and isinstance(value, Mapping)]


@pytest.mark.parametrize("name", TABLES)
def test_no_table_can_be_changed(name: str) -> None:
    with pytest.raises(TypeError):
        getattr(words, name)["x"] = 1


def test_every_alias_leads_to_a_field() -> None:
    assert set(words.ALIASES) <= set(Generation.model_fields)
    for names in words.ALIASES.values():
        assert len(set(names)) == len(names)


@pytest.mark.parametrize(("code", "status"), words.STATUS_OF_CODE.items())
def test_every_code_is_read_back_from_its_status(code: str, status: int) -> None:
    error = status_error(status, {}, f'{{"error": "{code}"}}'.encode(), now=0)
    assert (error.code, error.status_code) == (code, status)
    assert type(error).__name__ != "APIStatusError"


def test_plans_agree_between_the_tables() -> None:
    assert set(words.RETENTION_DAYS) == set(words.PLAN_LIMITS) >= set(words.API_PLANS)


def test_kinds_are_the_seeds() -> None:
    assert typing.get_args(words.Kind) == words.KINDS == ("text", "image", "video", "tts", "stt", "audio", "tool")


def test_no_slug_is_offered_twice() -> None:
    aliases = [value for name, value in vars(words).items() if name.endswith("Model")]
    slugs = [slug for alias in aliases for slug in typing.get_args(alias)]
    assert len(slugs) == len(set(slugs))
    assert set(words.IMAGE_SIZES) | set(words.USUAL_SECONDS) | set(words.VISION_MODELS) <= set(slugs)


def test_the_states_of_every_sample_are_in_the_vocabulary() -> None:
    replies = [samples.record(*reply) for reply in samples.every_reply() if not reply[0].startswith("refusal")]
    states = {reply["status"] for reply in replies if "status" in reply}
    assert states <= {words.PENDING, *words.FINAL_STATES}

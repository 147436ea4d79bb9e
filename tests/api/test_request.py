"""Requests as values: paths nothing can leave, and only what the caller gave."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from neuralbox._api import vocabulary as words
from neuralbox._api.request import Form, FormFile, Request, RetrySafety, fill, given, query
from neuralbox._errors import ConfigurationError
from neuralbox._types import OMIT


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (18473, "/generate/18473"),
        (0, "/generate/0"),
        ("gen_01j9x2vid001", "/generate/gen_01j9x2vid001"),
        ("a/../b", "/generate/a%2F..%2Fb"),
        ("a?b#c%d", "/generate/a%3Fb%23c%25d"),
        ("ж {id}", "/generate/%D0%B6%20%7Bid%7D"),
        ("v1.5", "/generate/v1.5"),
    ],
)
def test_a_value_stays_in_its_segment(value: int | str, path: str) -> None:
    assert fill(words.GENERATION_BY_NUMBER, id=value) == path


@pytest.mark.parametrize("value", ["", " ", ".", "..", " .. ", None, True, 1.5, OMIT, b"x", "\ud800"])
def test_a_value_that_would_name_another_path_is_refused(value: object) -> None:
    """`DELETE /keys/` and `DELETE /keys/..` are other calls than the caller meant."""
    with pytest.raises(ConfigurationError, match="`id`"):
        fill(words.KEY, id=value)  # type: ignore[arg-type] # what a caller without a type checker may pass


@for_any(st.text())
def test_any_text_is_one_segment_or_refused(text: str) -> None:
    try:
        path = fill(words.MODEL_PRICE, slug=text)
    except ConfigurationError:
        assert not text.strip(" .") or any(0xD800 <= ord(character) < 0xE000 for character in text)
        return
    assert path.startswith("/models/")
    assert path.count("/") == 3
    assert path.isascii()
    assert path.split("/")[2] not in {"", ".", ".."}


def test_every_path_of_the_vocabulary_can_be_filled() -> None:
    paths = [value for name, value in vars(words).items() if name.isupper() and str(value).startswith("/")]
    for path in paths:
        assert "{" not in fill(path, id=1, slug="x")


def test_what_was_not_given_is_left_out_and_none_stays() -> None:
    assert given(a=OMIT, b=None, c=0, d="", e=False) == {"b": None, "c": 0, "d": "", "e": False}


def test_the_mark_of_what_is_left_out_stays_itself() -> None:
    assert repr(OMIT) == "OMIT"
    assert copy.deepcopy(OMIT) is pickle.loads(pickle.dumps(OMIT)) is OMIT


def test_a_query_has_no_absences_and_spells_truth_as_the_service_does() -> None:
    pairs = query(page=1, type=None, model=OMIT, favorites_only=True, archived=False, status="failed")
    assert pairs == (("page", "1"), ("favorites_only", "true"), ("archived", "false"), ("status", "failed"))


def test_neither_prompt_nor_audio_shows_in_a_repr() -> None:
    form = Form({"language": "en"}, (FormFile("audio", "talk.mp3", b"sound bytes", "audio/mpeg"),))
    shown = repr(Request("POST", words.GENERATE, RetrySafety.PAID, body={"prompt": "a secret plan"}, form=form))
    assert "secret plan" not in shown
    assert "sound bytes" not in shown
    assert "talk.mp3" in shown

"""What an item of the listing leaves out, and when it is taken for the result."""

from __future__ import annotations

from typing import Any

import pytest

from neuralbox._models.generation import Generation
from neuralbox._polling.listed_fields import FIELDS, ListedFields, fields_of, is_enough

WAN = ("video", "wan")
ITEM = {
    "id": 1,
    "type": "video",
    "model": "wan",
    "status": "completed",
    "url": "http://127.0.0.1/1.mp4",
    "tokens_used": 60,
}
ANSWER = {**ITEM, "duration": 5, "completed_at": "2026-03-08T12:00:00Z"}


def read(record: dict[str, Any], *, partial: bool = False, **changes: Any) -> Generation:
    return Generation.read({**record, **changes}).model_copy(update={"is_partial": partial})


def test_every_field_that_belongs_to_a_result_is_one_of_a_generation() -> None:
    assert set(FIELDS) <= set(Generation.model_fields)
    assert fields_of(read(ANSWER)) == {"url", "tokens", "duration", "completed_at"}


def test_an_item_is_partial_where_it_lacks_what_an_answer_had_or_nobody_knows() -> None:
    fields = ListedFields()
    assert fields.is_partial(WAN, read(ITEM))
    fields.saw_status(WAN, read(ANSWER))
    assert fields.is_partial(WAN, read(ITEM))
    assert not fields.is_partial(WAN, read(ANSWER))
    assert fields.is_partial(("video", "another"), read(ANSWER))
    fields.saw_status(WAN, read(ANSWER, seed=7))
    assert fields.is_partial(WAN, read(ANSWER))


def test_whether_the_listing_is_worth_a_look_is_known_from_what_it_showed() -> None:
    fields = ListedFields()
    assert not fields.may_be_whole(WAN)  # an answer first
    fields.saw_status(WAN, read(ANSWER))
    assert fields.may_be_whole(WAN)  # one look tells
    fields.saw_item(WAN, read(ITEM))
    assert not fields.may_be_whole(WAN)
    fields.saw_item(WAN, read(ANSWER))
    assert fields.may_be_whole(WAN)


def test_what_was_seen_of_many_models_is_bounded() -> None:
    fields = ListedFields()
    for number in range(300):
        fields.saw_status(("video", f"model-{number}"), read(ANSWER))
    assert not fields.may_be_whole(("video", "model-0"))
    assert fields.may_be_whole(("video", "model-299"))


@pytest.mark.parametrize(
    ("item", "detail", "result_only", "scarce", "enough"),
    [
        (read(ITEM, partial=True), "status", True, True, False),
        (read(ITEM, partial=True), "listing", False, False, True),
        (read(ITEM, partial=True), "auto", False, False, False),
        (read(ITEM, partial=True), "auto", True, False, True),
        (read(ITEM, partial=True), "auto", False, True, True),
        (read(ITEM), "auto", False, False, True),
    ],
)
def test_an_item_is_taken_where_nobody_misses_what_it_lacks(
    item: Generation, detail: Any, result_only: bool, scarce: bool, enough: bool
) -> None:
    assert is_enough(item, detail=detail, needs_result_only=result_only, scarce=scarce) is enough

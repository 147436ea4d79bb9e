"""Envelopes of every kind, and when a walk over them stops."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbox._api.pages import read_envelope, walk_goes_on
from tests import samples
from tests.api import json_values


def test_the_envelope_of_the_seed() -> None:
    raw = samples.record("seed000_history")
    envelope = read_envelope(raw, page=1, page_size=20)
    assert envelope is not None
    assert (envelope.page, envelope.page_size, envelope.total, envelope.pages) == (1, 10, 142, 15)
    assert envelope.records == raw["items"]
    assert envelope.raw is raw


@pytest.mark.parametrize("name", ["items", "data", "models", "assistants", "results"])
def test_a_list_under_any_likely_name_is_found(name: str) -> None:
    envelope = read_envelope({name: [{"id": 1}]})
    assert envelope is not None
    assert envelope.records == [{"id": 1}]


def test_a_bare_array_is_a_page() -> None:
    envelope = read_envelope([{"id": 1}, {"id": 2}], page=3)
    assert envelope is not None
    assert (envelope.page, envelope.page_size, envelope.total, envelope.pages) == (3, 2, None, None)
    assert envelope.raw == {"items": [{"id": 1}, {"id": 2}]}


def test_a_null_list_is_passed_over_for_a_real_one_and_what_is_no_object_is_dropped() -> None:
    envelope = read_envelope({"items": None, "data": [{"id": 1}, None, 5, "x", []]})
    assert envelope is not None
    assert envelope.records == [{"id": 1}]


@pytest.mark.parametrize(
    "value",
    [
        {"items": None, "total": 0, "page": 1, "pages": 0},
        {"items": None},
        {"data": None, "total": 5},
        {"total": 0, "page": 1, "pages": 0},
        {"total": "0"},
    ],
)
def test_null_in_the_place_of_a_list_or_a_total_of_none_is_an_empty_page(value: dict[str, Any]) -> None:
    envelope = read_envelope(value, page=1, page_size=20)
    assert envelope is not None
    assert (envelope.records, envelope.page, envelope.page_size, envelope.raw) == ([], 1, 20, value)


@pytest.mark.parametrize(
    "value",
    [
        *(None, 5, "items", {}, {"items": {}}, {"error": "not_found"}),
        *({"message": "hello"}, {"error": "busy", "data": None}, {"error": "busy", "total": 0}, {"total": 3}),
    ],
)
def test_what_holds_no_list_is_no_envelope(value: object) -> None:
    assert read_envelope(value) is None


@pytest.mark.parametrize(
    ("said", "asked_size", "pages"),
    [
        ({"total": 142, "limit": 10}, 20, 15),
        ({"total": 140, "limit": 10}, 20, 14),
        ({"total": 31}, 20, 2),
        ({"total": 0, "limit": 20}, 20, 1),
        ({"total": 7}, 0, 7),
        ({"total": 142, "limit": 10, "pages": 15}, 20, 15),
        ({"total": "142", "limit": "10"}, 20, 15),
        ({"total": 142, "limit": -10}, 20, None),
        ({"total": None, "limit": 10}, 20, None),
        ({"limit": 10}, 20, None),
    ],
)
def test_the_pages_are_worked_out_where_they_are_not_said(
    said: dict[str, Any], asked_size: int, pages: int | None
) -> None:
    envelope = read_envelope({"items": [{"id": 1}], **said}, page_size=asked_size)
    assert envelope is not None
    assert envelope.pages == pages


@pytest.mark.uncovered
@given(json_values.values)
def test_any_json_is_an_envelope_or_none(value: object) -> None:
    envelope = read_envelope(value, page=2, page_size=20)
    assert envelope is None or all(isinstance(record, dict) for record in envelope.records)


@pytest.mark.uncovered
@given(json_values.objects, st.lists(json_values.values, max_size=3))
def test_any_object_with_a_list_is_an_envelope(record: dict[str, Any], items: list[Any]) -> None:
    assert read_envelope({**record, "items": items}) is not None


@pytest.mark.parametrize(
    ("asked", "count", "fresh", "pages", "goes_on"),
    [
        (1, 20, 20, 3, True),
        (3, 20, 20, 3, False),
        (4, 20, 20, 3, False),
        (1, 2, 2, 15, True),  # the seed's example: two items under a limit of ten
        (1, 0, 0, 3, False),
        (1, 20, 0, 3, True),  # everything was shifted here from the page before; the next may be new
        (1, 20, 20, None, True),
        (1, 2, 2, None, True),
        (2, 20, 0, None, False),  # the page number is ignored
        (2, 0, 0, None, False),
    ],
)
def test_when_a_walk_goes_on(asked: int, count: int, fresh: int, pages: int | None, goes_on: bool) -> None:
    assert walk_goes_on(asked=asked, count=count, fresh=fresh, pages=pages) is goes_on
    assert walk_goes_on(asked=asked, count=count, fresh=fresh, pages=pages, said=asked) is goes_on


def test_a_page_that_says_itself_to_be_another_one_ends_a_walk_when_it_shows_nothing_new() -> None:
    assert not walk_goes_on(asked=2, count=20, fresh=0, pages=50, said=1)
    assert walk_goes_on(asked=2, count=20, fresh=1, pages=50, said=1)

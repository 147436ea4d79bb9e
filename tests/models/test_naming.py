"""Reading by names that were looked up once: the same as looking for each name in each record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbox._api.fields import pick
from neuralbox._models import naming
from neuralbox._models.naming import Naming

NAMES = {"url": ("result_url", "url"), "width": ("meta.width", "width"), "text": ("text",)}
values = st.none() | st.integers() | st.text(max_size=3)
records = st.dictionaries(
    st.sampled_from(["result_url", "url", "width", "text", "meta", "other"]),
    values | st.fixed_dictionaries({"width": values}),
)


def plain() -> Naming:
    return Naming({field: (names, lambda value: value) for field, names in NAMES.items()})


@pytest.mark.uncovered
@given(st.lists(records, max_size=8))
def test_it_finds_what_is_found_by_looking_for_every_name(given_records: list[Mapping[str, Any]]) -> None:
    reader = plain()
    for record in given_records:
        assert reader.read(record) == {field: pick(record, names) for field, names in NAMES.items()}


def test_only_what_is_there_is_read() -> None:
    read: list[object] = []
    reader = Naming({"a": (("a",), read.append), "b": (("b",), read.append)})
    assert reader.read({"a": None, "c": 1}) == {"a": None, "b": None}
    assert read == []


def test_names_that_are_made_up_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naming, "_MOST_PLANS", 3)
    reader = plain()
    for number in range(10):
        assert reader.read({f"made-up-{number}": 1, "url": "u"})["url"] == "u"
        assert len(reader._plans) <= 3
    before = [*reader._plans]
    assert reader.read({"n" * 3_000: 1, "url": "u"})["url"] == "u"
    assert [*reader._plans] == before

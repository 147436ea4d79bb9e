"""Results at hand: each as plain values, printed, and as a table of a notebook."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import neuralbox
import neuralbox.geminigen
from neuralbox import Generation, JobRef, Page, Reconciliation, UnresolvedSubmission
from neuralbox._models.generation import Model
from neuralbox._models.page import ItemList
from neuralbox._types import PlainValues, plain_value

from ..test_html import Elements

DONE = Generation.read(
    {
        "id": 7,
        "type": "image",
        "status": "completed",
        "model_slug": "flux",
        "prompt": "secret",
        "result_url": "https://s.test/7.webp?sig=1",
        "tokens_spent": 4,
        "usage": {"total_tokens": 3},
        "created_at": "2026-11-29T20:00:00Z",
    }
)
# Options, what users make themselves and what is known of a service are no results.
NO_RESULTS = {"BatchRequest", "Dialect", "Family", "Limits", "Polling", "Timeout"}


def test_every_public_result_is_plain_values() -> None:
    missing = []
    events = ("neuralbox._hooks", "neuralbox._api.stream_events")
    for module in (neuralbox, neuralbox.geminigen):
        for name in module.__all__:
            thing = getattr(module, name)
            is_value = isinstance(thing, type) and (issubclass(thing, Model) or dataclasses.is_dataclass(thing))
            if is_value and thing.__module__ not in events and name not in NO_RESULTS and not hasattr(thing, "to_dict"):
                missing.append(name)
    assert missing == []


def test_a_generation_is_all_its_fields_but_the_record() -> None:
    values = DONE.to_dict()
    assert json.loads(json.dumps(values)) == values
    assert set(values) == set(Generation.model_fields) - {"raw"}
    assert (values["id"], values["url"], values["error"]) == (7, "https://s.test/7.webp?sig=1", None)
    assert values["created_at"] == "2026-11-29T20:00:00+00:00"
    assert values["usage"] == {"prompt_tokens": None, "completion_tokens": None, "total_tokens": 3}


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Path("a") / "b", "a/b"),
        (datetime(2026, 11, 29, tzinfo=UTC), "2026-11-29T00:00:00+00:00"),
        ({1: (JobRef(7), None)}, {"1": [{"id": 7, "kind": None, "model": None}, None]}),
        (ValueError("no"), {"type": "ValueError", "message": "no"}),
        (True, True),
        (object, "<class 'object'>"),
    ],
)
def test_values_become_plain(value: Any, plain: Any) -> None:
    assert plain_value(value) == plain


def test_what_is_of_the_client_alone_is_left_out() -> None:
    found = Reconciliation(open=(UnresolvedSubmission({"prompt": "x"}, candidates=(DONE,)),)).to_dict()
    [unresolved] = found["open"]
    assert "_settle" not in unresolved
    assert unresolved["candidates"][0]["id"] == 7
    assert found["adopted"] == []
    assert issubclass(Page, PlainValues)


# Printed.


@pytest.mark.parametrize(
    ("record", "lines"),
    [
        ({}, ["generation 7: state not known"]),
        ({"type": "image", "result_url": "https://s.test/7.webp", "tokens_spent": 4, "model_slug": "flux"},
         ["image 7 (flux): completed, 4 tokens", "https://s.test/7.webp"]),
        ({"type": "text", "content": "Two\nlines\x1b[31m", "tokens_spent": 1}, ["text 7: completed, 1 token", "Two", "lines [31m"]),
        ({"status": "failed", "error": "policy", "tokens_spent": 0}, ["generation 7: failed, 0 tokens", "policy"]),
        ({"status": "pending"}, ["generation 7: pending"]),
    ],
)  # fmt: skip
def test_a_printed_generation_says_its_cost_and_where_it_is(record: dict[str, Any], lines: list[str]) -> None:
    assert str(Generation.read({"id": 7, **record})).splitlines() == lines
    assert "sig=1" not in repr(DONE)


# In a notebook.


def test_a_page_is_a_table_without_prompts() -> None:
    long = Generation.read({"id": 8, "status": "failed", "error": "<b>" + "x" * 100, "is_favorited": True})
    found = Elements(Page([DONE, long], 2, 20, pages=12_345)._repr_html_())
    assert "Page 2 of 12,345" in found.text
    assert "secret" not in found.text
    assert found.of("a")[0]["href"] == "https://s.test/7.webp?sig=1"
    assert "<b>" + "x" * 74 + "..." in found.text
    assert "balance" not in found.text  # of neither is it known
    assert len(found.of("tr")) == 3
    assert found.of("b") == []
    assert "is favoritedyes" not in found.text
    assert "yes" in found.text


def test_a_list_is_a_table_too_and_an_empty_one_says_so() -> None:
    found = Elements(ItemList([DONE.model_copy(update={"id": 1_234_567})])._repr_html_())
    assert "1 in all" in found.text
    assert "1,234,567" in found.text
    assert "0 in all" in Elements(ItemList()._repr_html_()).text
    assert "Page 1" in Elements(Page([{"id": 1}], 1, 20)._repr_html_()).text

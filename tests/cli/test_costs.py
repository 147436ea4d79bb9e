"""`neuralbox costs`: the history in rows, for people, programs and spreadsheets."""

from __future__ import annotations

import csv
import io

import pytest

from neuralbox._cli.costs import _cell

from .conftest import Box


def test_costs_are_rows_by_model_day_kind_and_state(box: Box) -> None:
    box("generate", "gpt-5", "Good morning")
    box("generate", "flux-1.1-pro", "A lighthouse")
    left = box("costs")
    assert left.code == 0
    assert {(*line.split()[0:1], *line.split()[2:5]) for line in left.lines} == {
        ("gpt-5", "text", "completed", "1"),
        ("flux-1.1-pro", "image", "completed", "1"),
    }
    assert "2 generations, 0 failed, " in left.err
    records = box("costs", "--json", "--by", "kind").records
    assert {(record["kind"], record["count"]) for record in records} == {("text", 1), ("image", 1)}
    table = list(csv.DictReader(io.StringIO(box("costs", "--csv", "--by", "model,status").out)))
    assert {(row["model"], row["status"], row["count"]) for row in table} == {
        ("gpt-5", "completed", "1"),
        ("flux-1.1-pro", "completed", "1"),
    }
    assert box("costs", "--since", "2999-01-01T00:00:00Z").err == "Nothing found.\n"


def test_costs_of_both_services_have_credits_too(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINIGEN_API_KEY", box.key)
    monkeypatch.setenv("GEMINIGEN_BASE_URL", box.server.url)
    box("generate", "gpt-5", "Good morning")
    left = box("costs", "--geminigen", "--by", "service")
    assert left.code == 0
    assert any(line.split()[0] == "neuralbox" for line in left.lines)
    assert "leave --type and --model out" in box("costs", "--geminigen", "--type", "text").sentence


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--by", "color"), "`by` must be some of"),
        (("--since", "yesterday"), "--since must be a date"),
        (("--csv", "--json"), "not both"),
    ],
)
def test_what_cannot_be_is_one_sentence(box: Box, arguments: tuple[str, ...], problem: str) -> None:
    left = box("costs", *arguments)
    assert left.code != 0
    assert problem in left.err


@pytest.mark.parametrize(("value", "shown"), [(3.5, "3.5"), (10.0, "10"), (2 / 3, "0.67"), (None, ""), (7, "7")])
def test_numbers_are_shown_as_people_write_them(value: float | None, shown: str) -> None:
    assert _cell(value) == shown

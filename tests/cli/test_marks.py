"""Marks, ratings and the end of what the history holds."""

from __future__ import annotations

import sys

import pytest
import typer

from .conftest import Box
from .test_output import Screen


def made(box: Box) -> str:
    return box("generate", "flux-1.1-pro", "A lighthouse", "--no-wait").lines[0]


def test_a_favourite_is_marked_and_unmarked(box: Box) -> None:
    number = made(box)
    assert box("favorite", number).lines == [f"{number} is a favourite now"]
    assert box("favorite", number, "--json").records == [{"id": int(number), "is_favorite": False}]
    left = box("favorite", "1", number)
    assert left.code == 6
    assert left.lines == [f"{number} is a favourite now"]
    assert left.sentence.startswith("1: HTTP 404")
    assert box("-q", "favorite", "1").sentence.startswith("1: HTTP 404")
    assert box("favorite", "1", "--json").records[0]["error"] == "NotFoundError"


def test_a_generation_is_rated(box: Box) -> None:
    number = made(box)
    assert box("rate", number, "5").lines == [f"{number} is rated 5"]
    assert box.sandbox.ledger.generations[int(number)].rating == 5
    assert box("rate", number, "much").code == 2


def test_what_is_deleted_is_asked_for_first(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = made(box), made(box)
    left = box("delete", one)
    assert (left.code, left.sentence) == (2, "Nothing brings back what is deleted: say --yes. Nothing was deleted.")
    assert box("delete", one, two, "--yes").lines == [f"{one} is deleted", f"{two} is deleted"]
    assert box("history").err == "Nothing found.\n"


@pytest.mark.parametrize("answer", [True, False])
def test_on_a_terminal_somebody_is_asked(answer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from neuralbox._cli import marks

    def confirm(text: str, **how: object) -> None:
        assert text == "Delete 2 of the history for good?"
        if not answer:
            raise typer.Abort

    deleted: list[list[str]] = []
    monkeypatch.setattr(typer, "confirm", confirm)
    monkeypatch.setattr(sys, "stdin", Screen())
    monkeypatch.setattr(marks, "_each", lambda ids, *_: deleted.append(ids))
    if answer:
        marks.delete(["1", "2"])
        assert deleted == [["1", "2"]]
    else:
        with pytest.raises(typer.Exit):
            marks.delete(["1", "2"])
        assert deleted == []

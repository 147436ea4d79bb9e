"""The rules as a table: which mark follows which state, and where two requests differ."""

from __future__ import annotations

from typing import Any

import pytest

from neuralbox._journal import transitions
from neuralbox._journal.protocol import STATES


@pytest.mark.parametrize(
    ("mark", "follows"),
    [
        ("planned", {"planned", "sending", "final"}),
        ("sending", {"planned", "sending"}),
        ("accepted", {"planned", "sending"}),
        ("final", {"planned", "accepted", "final"}),
        ("saved", {"final", "saved"}),
    ],
)
def test_each_mark_follows_some_states(mark: str, follows: set[str]) -> None:
    assert {state for state in STATES if transitions.may_follow(mark, state, same_id=False, completed=False)} == follows
    allowed = {state for state in STATES if transitions.may_follow(mark, state, same_id=True, completed=True)}
    assert allowed == {"planned": follows - {"final"}, "accepted": set(STATES)}.get(mark, follows)


@pytest.mark.parametrize(
    ("before", "after", "places"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, ["a"]),
        ({"a": 1}, {"a": True}, ["a"]),
        ({"a": 1}, {"b": 1}, ["a", "b"]),
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 3}]}}, ["a.b[1].c"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a"]),
        ({"a": {}}, {"a": []}, ["a"]),
        (1, 2, ["everything"]),
    ],
)
def test_differences_are_named_by_their_place(before: Any, after: Any, places: list[str]) -> None:
    assert list(transitions.differences(before, after)) == places


def test_many_differences_are_counted() -> None:
    before, after = ({str(number): value for number in range(10)} for value in (1, 2))
    assert "differs in 0, 1, 2, 3, 4, 5, 6, 7 and 2 more." in str(transitions.changed("k", before, after, path=None))

"""The rules as a table: which change follows which state, and where two requests differ."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from typing import Any

import pytest

from neuralbox._journal import transitions
from neuralbox._journal.protocol import STATES
from neuralbox._journal.sqlite import schema, statements


def documented() -> set[tuple[str, str, str]]:
    """Read the table of the module's docstring: state, change, next."""
    assert transitions.__doc__ is not None
    rows = re.findall(r"^    (\w+(?:, \w+)*) {2,}(\w+) {2,}([\w ]+)", transitions.__doc__, re.MULTILINE)
    return {(state, change, after) for states, change, after in rows[1:] for state in states.split(", ")}


def test_the_documented_table_is_the_one_the_stores_draw_their_guards_from() -> None:
    rows = documented()
    assert {(state, change) for state, change, _ in rows} == {
        (state, change) for change, states in transitions.FOLLOWS.items() for state in states
    }
    assert all(after == change or (change, after) == ("accepted", "as it was") for _, change, after in rows)


@pytest.mark.parametrize("change", STATES)
@pytest.mark.parametrize("state", STATES)
def test_the_sql_of_a_change_lets_pass_what_the_table_allows(state: str, change: str) -> None:
    """With another id, and after a result: the two exceptions that the table names."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        schema.migrate(connection, 0)
        connection.execute(
            "INSERT INTO records (position, key, fingerprint, owner, state, id, status, planned_at)"
            " VALUES (1, 'k', '', 1, ?, 1, 'completed', 0)",
            (state,),
        )
        values = Named(key="k", at=1.0, id=2, claim="{}")
        changed = connection.execute(statements.STATEMENTS[change], values).rowcount
    allowed = (state, change) in {(before, made) for before, made, after in documented() if after != "as it was"}
    assert changed == (allowed and (state, change) != ("final", "planned"))


class Named(dict[str, object]):
    """Values by name, None for those that are not there."""

    def __missing__(self, name: str) -> None:
        return None


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


@pytest.mark.parametrize(
    ("tokens", "read"), [(0, 0), (2**40 - 1, 2**40 - 1), (2**40, None), (-(2**40), None), (True, None), ("5", None)]
)
def test_tokens_that_no_sum_could_hold_are_none(tokens: object, read: int | None) -> None:
    assert transitions.tokens_of({"tokens": tokens}) == read

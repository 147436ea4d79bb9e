"""Which call a repetition joins: a table."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from neuralbox.gateway import _joins
from neuralbox.gateway._joins import JOINED_FOR, CallIdentity, Joins, caller_in, digest_of, part_name, whole_name


@dataclass(eq=False)
class Call:
    name: str
    count: int | None = 0
    is_delivered: bool = False
    touched: float = 0.0
    is_done: bool = True


def joins_of(*calls: Call, join_equal: float = 0.0) -> Joins[Call]:
    joins: Joins[Call] = Joins(join_equal=join_equal)
    for call in calls:
        joins.add(call, call.touched)
    return joins


@pytest.mark.parametrize(
    ("calls", "identity", "expected"),
    [
        ([Call("a.d.1")], CallIdentity("a", "d"), []),
        ([Call("a.d.1")], CallIdentity("a", "d", count=1), ["a.d.1"]),
        ([Call("a.d.1")], CallIdentity("b", "d", count=1), []),
        ([Call("a.d.1")], CallIdentity("a", "e", count=1), []),
        ([Call("a.d.1", count=1)], CallIdentity("a", "d", count=1), []),
        ([Call("a.d.1", count=None)], CallIdentity("a", "d", count=3), ["a.d.1"]),
        ([Call("a.d.1", touched=-JOINED_FOR - 1)], CallIdentity("a", "d", count=1), []),
        ([Call("a.d.1", touched=-JOINED_FOR - 1, is_done=False)], CallIdentity("a", "d", count=1), ["a.d.1"]),
        (
            [Call("a.d.1"), Call("a.d.2", count=1), Call("a.d.3", is_delivered=True), Call("a.d.4", touched=-1.0)],
            CallIdentity("a", "d", count=1),
            ["a.d.1", "a.d.4", "a.d.3"],
        ),
        (
            [Call("a.d.1"), Call("a.d.2", count=1, is_delivered=True)],
            CallIdentity("a", "d", count=2),
            ["a.d.2", "a.d.1"],
        ),
        ([Call(f"a.key.{digest_of(b'k')}")], CallIdentity("a", "d", key="k"), [f"a.key.{digest_of(b'k')}"]),
        ([Call(f"a.key.{digest_of(b'k')}")], CallIdentity("a", "d", key="l"), []),
    ],
)
def test_a_call_repeats_what_is_likeliest(calls: list[Call], identity: CallIdentity, expected: list[str]) -> None:
    assert [call.name for call in joins_of(*calls).candidates(identity, 0.0)] == expected


def test_equal_calls_join_for_as_long_as_the_operator_says() -> None:
    joins = joins_of(Call("a.d.1", touched=-9.0), Call("a.d.2", touched=-5.0), join_equal=5.0)
    assert [call.name for call in joins.candidates(CallIdentity("a", "d"), 0.0)] == ["a.d.2"]


def test_what_nobody_repeats_any_more_is_forgotten_and_what_runs_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    joins = joins_of(Call("a.d.1"), Call("a.d.2"), Call("a.d.3", is_done=False))
    joins.add(Call("a.d.4", touched=JOINED_FOR + 1), JOINED_FOR + 1)
    assert len(joins) == 2
    last = Call("a.d.5", touched=JOINED_FOR + 1)
    joins.drop(last)
    joins.touch(last, 1.0)
    assert "a.d.4" in joins
    assert "a.d.5" not in joins
    assert len(joins) == 2
    assert len(joins_of(Call("a.d.1"))) == 1
    old = joins_of()
    old.add(Call("a.d.1", touched=-JOINED_FOR - 1), 0.0)
    assert len(old) == 0


def test_of_too_many_those_go_whose_callers_have_their_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has not got one repeats the call, and would pay once more."""
    monkeypatch.setattr(_joins, "MOST_KEPT", 3)
    dropped: list[Call] = []
    joins: Joins[Call] = Joins(on_drop=dropped.append)
    calls = [Call(f"a.d.{number}", is_delivered=number in {2, 4}) for number in range(6)]
    for call in calls:
        joins.add(call, 0.0)
    assert dropped == [calls[2], calls[4]]
    assert len(joins) == 4


def test_where_nobody_can_go_not_all_are_looked_at_for_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway whose journal had 100,000 calls of the last minutes did not come up for minutes."""
    looks = 0

    class Kept(Call):
        def __getattribute__(self, name: str) -> object:
            nonlocal looks
            looks += name == "is_done"
            return super().__getattribute__(name)

    monkeypatch.setattr(_joins, "MOST_KEPT", 80)
    joins = joins_of(*(Kept(f"a.d.{number}") for number in range(400)))
    assert len(joins) == 400
    assert looks < 20 * 400
    for number in range(400, 420):
        joins.add(Call(f"a.d.{number}", is_delivered=True), 0.0)
    assert len(joins) < 415  # and whoever may go goes after a while
    joins.add(Call("a.d.420", touched=JOINED_FOR + 1), JOINED_FOR + 1)
    for number in range(421, 600):
        joins.add(Call(f"a.d.{number}", is_delivered=True, touched=JOINED_FOR + 1), JOINED_FOR + 1)
        assert len(joins) <= 80


def test_a_call_may_be_repeated_while_it_runs_and_for_a_while_after() -> None:
    assert not joins_of().may_be_repeated(0.0)
    assert joins_of(Call("a.d.1"), Call("a.e.1", touched=-JOINED_FOR - 1)).may_be_repeated(JOINED_FOR)
    assert not joins_of(Call("a.d.1")).may_be_repeated(JOINED_FOR + 1)
    assert joins_of(Call("a.d.1", is_done=False)).may_be_repeated(JOINED_FOR + 1)


def test_names_tell_whose_they_are_and_which_call_a_part_belongs_to() -> None:
    name = CallIdentity("a", "d").name("1")
    assert (name, caller_in(name)) == ("a.d.1", "a")
    assert [part_name(name, index) for index in range(2)] == ["a.d.1", "a.d.1#1"]
    assert whole_name(part_name(name, 3)) == name
    assert digest_of(b"ab", b"c") != digest_of(b"a", b"bc")

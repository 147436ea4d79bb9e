"""Which names of a record say which field, worked out once for all records that have the same names.

The items of a listing are alike, so of some forty names that could be there each is looked for once and not once per
item; what is found is what `pick` finds: the first name of a field that is present and not null.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from .._api.fields import as_text, pick

Readers: TypeAlias = Mapping[str, tuple[Sequence[str], Callable[[Any], Any]]]
"""A field, the names it goes by in the order in which they count, and what reads its value."""

# A service that makes up names must not fill the memory with them.
_MOST_PLANS = 256
_MOST_LETTERS = 2_000


class _Step(NamedTuple):
    field: str
    name: str
    others: Sequence[str]
    read: Callable[[Any], Any]


class _Plan(NamedTuple):
    texts: list[tuple[str, str]]  # most fields of most records: each under its only name, as it is
    steps: list[_Step]


class Naming:
    """Reads the fields of records by their names."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._nothing = dict.fromkeys(readers)
        self._plans: dict[tuple[str, ...], _Plan] = {}

    def read(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return every field, None where the record does not say it."""
        names = tuple(record)
        plan = self._plans.get(names)
        if plan is None:
            plan = self._plan(names)
        values: dict[str, Any] = self._nothing.copy()
        for field, name in plan.texts:
            value = record[name]
            values[field] = value if value.__class__ is str else as_text(value)
        for field, name, others, read in plan.steps:
            value = pick(record, others) if others else record[name]
            if value is not None:
                values[field] = read(value)
        return values

    def _plan(self, names: tuple[str, ...]) -> _Plan:
        plan = _Plan([], [])
        for field, (aliases, read) in self._readers.items():
            there = [alias for alias in aliases if alias.partition(".")[0] in names]
            if there:
                is_plain = len(there) == 1 and "." not in there[0]
                if is_plain and read is as_text:
                    plan.texts.append((field, there[0]))
                else:
                    plan.steps.append(_Step(field, there[0], () if is_plain else there, read))
        if sum(map(len, names)) <= _MOST_LETTERS:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            self._plans[names] = plan
        return plan

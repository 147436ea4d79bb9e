"""State tables in docstrings, and the transitions that objects really make."""

from __future__ import annotations

from enum import Enum
from types import ModuleType
from typing import Any

import pytest


def transitions_of(module: ModuleType) -> set[tuple[str, str]]:
    """Read the table of a module's docstring: from which state to which."""
    assert module.__doc__ is not None
    rows = [line.strip() for line in module.__doc__.splitlines() if line.strip().startswith("|")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert cells[0] == ["state", "event", "next"]
    return {(state, following) for state, _, following in cells[2:]}


class Transitions:
    """Records what an attribute of a class goes through, in every object made while it is in place."""

    def __init__(self, name: str) -> None:
        self._name = f"recorded {name}"
        self.seen: set[tuple[str, str]] = set()

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return instance.__dict__[self._name]

    def __set__(self, instance: Any, value: Enum) -> None:
        before = instance.__dict__.get(self._name)
        if before is not None and before is not value:
            self.seen.add((before.value, value.value))
        instance.__dict__[self._name] = value


def record_transitions(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> Transitions:
    """Record the transitions of a class's objects until the test ends."""
    transitions = Transitions(name)
    monkeypatch.setattr(owner, name, transitions, raising=False)
    return transitions

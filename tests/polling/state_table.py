"""Reads the table of states in a module's docstring: which state, what happens, which state follows."""

from __future__ import annotations

from collections.abc import Collection
from types import ModuleType


def state_table(module: ModuleType, states: Collection[str]) -> list[tuple[str, str, str]]:
    """Return the rows of the table in a module's docstring, each as state, event and next state."""
    rows = []
    for line in (module.__doc__ or "").splitlines():
        text = line.strip()
        before = [state for state in states if text.startswith(f"{state} ")]
        after = [state for state in states if text.endswith(f" {state}")]
        if line.startswith("    ") and before and after:
            rows.append((before[0], text.removeprefix(before[0]).removesuffix(after[0]).strip(), after[0]))
    assert {row[0] for row in rows} | {row[2] for row in rows} == set(states)
    return rows

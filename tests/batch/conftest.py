"""Every batch of these tests moves its requests as the table of `neuralbox._batch.item` says, and no other way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from neuralbox._batch import item
from neuralbox._batch.item import ItemStage
from neuralbox._batch.progress import ProgressCounter

from .support import keep_journals_on_the_loop


def documented() -> set[tuple[str, str]]:
    """Read the table of the module's docstring: from which stage a request goes to which."""
    assert item.__doc__ is not None
    rows = re.findall(r"^    (\S+) {2,}\S.*? {2,}(\S+)$", item.__doc__, re.MULTILINE)
    assert rows[0] == ("stage", "next")
    return set(rows[1:])


@pytest.fixture(autouse=True)
def moves(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[tuple[str, str]]]:
    """The moves of a test; each has to be in the table."""
    seen: set[tuple[str, str]] = set()
    move = ProgressCounter.move

    def watched(self: ProgressCounter, before: ItemStage | None, after: ItemStage | None) -> None:
        seen.add(("-" if before is None else before.value, "-" if after is None else after.value))
        move(self, before, after)

    monkeypatch.setattr(ProgressCounter, "move", watched)
    yield seen
    assert seen <= documented()


@pytest.fixture(autouse=True)
def _journals_on_the_loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have journals work on the event loop, but for workers who are to meet; a test of real time has its own of this name."""
    if "_who_meet" not in request.fixturenames or request.getfixturevalue("anyio_backend_name") != "trio":
        keep_journals_on_the_loop(monkeypatch)


@pytest.fixture
def _who_meet() -> None:
    """Let the workers of a test ask the database in threads, at once: what comes of that is no matter of the loop, so on trio."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a run has its journal."""
    return tmp_path / "run.sqlite"

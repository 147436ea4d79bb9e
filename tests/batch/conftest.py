"""Every batch of these tests moves its requests as the table of `neuralbox._batch.item` says, and no other way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from neuralbox._batch import item
from neuralbox._batch.item import ItemStage
from neuralbox._batch.keeper import Keeper
from neuralbox._batch.progress import ProgressCounter
from neuralbox._journal.postgres import membership

from ..postgres import PostgresServer
from ..service import Service
from .support import a_service, hold_for_journals, keep_journals_on_the_loop


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


@pytest.fixture
def place(postgres: PostgresServer) -> Iterator[str]:
    """The address of a database without a run; each of its journals is closed after the test."""
    postgres.empty()
    yield postgres.url()
    assert membership._hearts == {}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Service:
    """A service whose clock stands still while a worker waits for the database."""
    world = a_service(seconds=8.0)  # each second of a worker costs real questions to the database
    hold_for_journals(world.time, monkeypatch)
    return world


@pytest.fixture
def _nobody_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each worker wait and look by itself, as one does whose client may not ask for all."""

    async def run(keeper: Keeper) -> None:
        keeper.unfit = LookupError("It may not ask.")

    monkeypatch.setattr(Keeper, "run", run)

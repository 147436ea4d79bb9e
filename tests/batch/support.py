"""What the tests of batches begin with: a service whose reads take no time, and batches of a client that asks it often."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pytest
from anyio.lowlevel import checkpoint

from neuralbox._batch.resource import Batches
from neuralbox._config import Polling
from neuralbox._core.exchange import Core
from neuralbox._journal import group_commit, opening
from neuralbox._journal.group_commit import CommitItem, GroupCommit
from neuralbox.testing import VirtualTime

from ..helpers import KEY
from ..service import Service

T = TypeVar("T")

USUAL: Mapping[str, Any] = {"latency": 0.0, "seconds": 20.0, "price": 4, "tokens": None, "traces": False}


def a_service(**how: Any) -> Service:
    return Service(**{**USUAL, **how})


def core_of(service: Service, **options: Any) -> Core:
    polling = Polling(min_interval=1.0, max_interval=5.0)
    return service.core(**{"key": KEY, "draw_seed": True, "polling": polling, **options})


def batches(service: Service, **options: Any) -> Batches:
    return Batches(core_of(service, **options))


def hold_for_journals(time: VirtualTime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a clock stand still while a journal's thread works: that takes real time, which is none by the clock."""
    commit, enter = GroupCommit.commit, opening._open

    async def held(commits: GroupCommit, item: CommitItem) -> None:
        with time.busy():
            await commit(commits, item)

    async def entered(act: Callable[[], Any]) -> Any:
        with time.busy():
            return await enter(act)

    monkeypatch.setattr(GroupCommit, "commit", held)
    monkeypatch.setattr(opening, "_open", entered)


class _NoThreads:
    @staticmethod
    async def run_sync(act: Callable[[], T], **_: Any) -> T:
        await checkpoint()  # others go on while a thread works
        return act()


def keep_journals_on_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a journal's work done where it is asked for: in half of the time, and in the same order in every run.

    A virtual clock would run away from a thread (see `hold_for_journals`), and what several workers want of a database
    would be done in one order or another.
    """
    monkeypatch.setattr(group_commit, "to_thread", _NoThreads)
    monkeypatch.setattr(opening, "to_thread", _NoThreads)

"""The journal in a SQLite file: the words of `protocol` turned into work for `store`, group by group.

What waits and what does not (the reasons are in `protocol`): `plan`, `sending` and `accepted` return when their group
is on the disk. `planned_again`, `final` and `saved` are put into the queue and written with the next group; when the
queue has grown long, or its oldest mark old, the next of them waits for its group like the others, so that readers see
them soon and the queue stays short.
"""

from __future__ import annotations

import copy
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import anyio

from ..._errors import JournalError
from ..._types import GenerationId, JobRef
from .. import operations
from ..group_commit import CommitItem, GroupCommit
from ..protocol import FINISHED, UNFINISHED, JournalRecord, JournalSummary, PlannedRequest, require_key
from . import errors
from .store import SqliteStore

T = TypeVar("T")

_HELD_BACK: Final = 256
_HELD_SECONDS: Final = 1.0


class SqliteJournal:
    """See `Journal`; `open_journal` makes one.

    Args:
        store: The open file.
        now: Unix seconds.
        clock: Monotonic seconds.
    """

    def __init__(self, store: SqliteStore, *, now: Callable[[], float], clock: Callable[[], float]) -> None:
        self._store = store
        self._now = now
        self._clock = clock
        self._last = store.last_at or 0.0
        self._held_since = 0.0
        self._unheard: Exception | None = None
        self._closed = False
        self._commits = GroupCommit(self)
        self.path = store.path
        """The file."""

    async def plan(self, entries: Sequence[PlannedRequest]) -> Sequence[JournalRecord]:
        for entry in entries:
            require_key(entry.key)
            _ = entry.text, entry.digest  # worked out here, where it can be refused before it is queued
        item = operations.PlanRequests(tuple(entries), self._time())
        await self._commit(item)
        return item.found

    async def sending(self, key: str, claim: Mapping[str, Any]) -> None:
        await self._commit(operations.sending(key, claim, self._time()))

    async def accepted(self, key: str, *, id: GenerationId, kind: str | None = None, model: str | None = None) -> None:
        await self._commit(operations.accepted(key, JobRef(id, kind, model), self._time()))

    async def planned_again(self, key: str) -> None:
        await self._note(operations.planned_again(key))

    async def final(self, key: str, outcome: Mapping[str, Any]) -> None:
        await self._note(operations.final(key, outcome, self._time()))

    async def saved(self, key: str, path: str, size_bytes: int) -> None:
        await self._note(operations.saved(key, path, size_bytes, self._time()))

    async def unfinished(self, *, after: int = 0) -> AsyncIterator[JournalRecord]:
        while page := await self._look(partial(self._store.page, UNFINISHED, after)):
            for record in page:
                yield record
            after = page[-1].position

    async def finished(self, *, after: int = 0) -> AsyncIterator[JournalRecord]:
        while page := await self._look(partial(self._store.page, FINISHED, after)):
            for record in page:
                yield record
            after = page[-1].position

    async def ids(self, *, since: float = 0.0) -> Sequence[GenerationId]:
        return await self._look(partial(self._store.ids, since))

    async def summary(self) -> JournalSummary:
        return await self._look(self._store.summary)

    async def flush(self) -> None:
        await self._look(bool)
        self._raise_unheard()

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        with anyio.CancelScope(shield=True):
            await self._commits.commit(operations.Close(self._time()))
        self._raise_unheard()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # Ways into the queue...

    async def _commit(self, item: CommitItem) -> None:
        self._require_open(item)
        await self._commits.commit(item)

    async def _look(self, ask: Callable[[], T]) -> T:
        item = operations.Query(ask)
        await self._commit(item)
        return item.answer

    async def _note(self, mark: operations.StateChange) -> None:
        self._require_open(mark)
        commits = self._commits
        if commits.held == 0:
            self._held_since = self._clock()
        if commits.held < _HELD_BACK and self._clock() - self._held_since < _HELD_SECONDS:
            commits.hold(mark)
        else:
            await commits.commit(mark)

    def _require_open(self, item: CommitItem) -> None:
        if self._closed:
            key, job = _concerned(item)
            raise JournalError(
                f"The journal {self.path} is closed."
                + ("" if job is None else f" The {job} is paid for: keep its id."),
                reason="closed",
                path=self.path,
                key=key,
                job=job,
                unwritten={} if job is None or key is None else {key: job},
            )

    def _time(self) -> float:
        """Unix seconds that never run backwards, so that `ids(since=)` misses none after the clock was set back."""
        self._last = max(self._last, self._now())
        return self._last

    # ... and what the queue asks back.

    def work(self, group: Sequence[CommitItem]) -> None:
        self._store.work(group)

    def explain(self, item: CommitItem, error: Exception) -> Exception:
        key, job = _concerned(item)
        if error is item.error and isinstance(error, JournalError):
            return error
        if isinstance(error, JournalError):  # the whole group's
            mine = copy.copy(error)
            mine.key, mine.job, mine.unwritten = key, job, self._unwritten()
            return mine
        if error is item.error or isinstance(error, sqlite3.Error):
            return errors.explain(error, self.path, key=key, job=job, unwritten=self._unwritten())
        return error  # a bug, shown as it is

    def unheard(self, item: CommitItem, error: Exception) -> None:
        if item.keep and self._unheard is None:
            self._unheard = self.explain(item, error)

    def _raise_unheard(self) -> None:
        error, self._unheard = self._unheard, None
        if error is not None:
            raise error

    def _unwritten(self) -> dict[str, JobRef]:
        """The paid jobs that wait in memory for a disk that takes them."""
        marks = (item for item in self._commits.queue if isinstance(item, operations.StateChange))
        return {mark.key: mark.job for mark in marks if mark.job is not None}


def _concerned(item: CommitItem) -> tuple[str | None, JobRef | None]:
    return (item.key, item.job) if isinstance(item, operations.StateChange) else (None, None)

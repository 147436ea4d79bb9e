"""A journal over any store: the methods of `protocol` turned into operations, carried to the store group by group.

What waits and what does not (the reasons are in `protocol`): `plan`, `sending` and `accepted` return when their group
is durable. `planned_again`, `final` and `saved` are queued and written with the next group; when the queue has grown
long, or its oldest operation old, the next of them waits for its group like the others, so that readers see them soon
and the queue stays short.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

import anyio

from .._errors import JournalError
from .._types import GenerationId, JobRef
from . import operations
from .group_commit import CommitItem, GroupCommit
from .protocol import (
    FINISHED,
    SENT,
    UNFINISHED,
    JournalHint,
    JournalRecord,
    JournalSummary,
    PlannedRequest,
    require_key,
)

T = TypeVar("T")

_HELD_BACK: Final = 256
_HELD_SECONDS: Final = 1.0


class JournalStore(Protocol):
    """What holds the records of one journal; everything in it blocks, and is called in one worker thread at a time.

    Attributes:
        path: What names the journal to its user.
        last_at: The latest time on record when it was opened, Unix seconds, or None.
    """

    path: str
    last_at: float | None

    def work(self, group: Sequence[CommitItem]) -> None:
        """Carry a group of operations through; see `group_commit.Worker`."""
        ...

    def explain(
        self, error: Exception, *, key: str | None, job: JobRef | None, unwritten: Mapping[str, JobRef]
    ) -> Exception:
        """Build the `JournalError` of what the store's library raised; any other error is returned as it is."""
        ...

    def page(self, states: Sequence[str], after: int) -> list[JournalRecord]:
        """Read the next records in any of `states` behind a position; an empty list ends the reading."""
        ...

    def ids(self, since: float) -> list[GenerationId]:
        """Return the ids that were accepted at or after `since`, Unix seconds."""
        ...

    def summary(self) -> JournalSummary:
        """Count what there is."""
        ...

    def hints(self, after: int) -> list[JournalHint]:
        """Return the hints behind a number, in their order; some may have been returned before."""
        ...


class GroupedJournal:
    """Keep a journal in a store; see `Journal`. `open_journal` makes one over a SQLite file.

    Args:
        store: Where the records are.
        now: Unix seconds.
        clock: Monotonic seconds.
    """

    def __init__(self, store: JournalStore, *, now: Callable[[], float], clock: Callable[[], float]) -> None:
        self._store = store
        self._now = now
        self._clock = clock
        self._last = store.last_at or 0.0
        self._held_since = 0.0
        self._unheard: Exception | None = None
        self._closed = False
        self._commits = GroupCommit(self)
        self.path: str = store.path
        """What names the journal to its user: its file, or its address without a password."""

    async def plan(self, entries: Sequence[PlannedRequest]) -> Sequence[JournalRecord]:
        for entry in entries:
            require_key(entry.key)
            _ = entry.text, entry.digest  # worked out here, where it can be refused before it is queued
        item = operations.PlanRequests(tuple(entries), self._time())
        await self._commit(item)
        return item.found

    async def sending(
        self, key: str, claim: Mapping[str, Any], *, mark: bytes | None = None, price: int | None = None
    ) -> None:
        await self._commit(operations.sending(key, claim, self._time(), mark, price))

    async def accepted(
        self,
        key: str,
        *,
        id: GenerationId,
        kind: str | None = None,
        model: str | None = None,
        price: int | None = None,
    ) -> None:
        await self._commit(operations.accepted(key, JobRef(id, kind, model), self._time(), price=price))

    async def planned_again(self, key: str) -> None:
        await self._enqueue(operations.planned_again(key))

    async def final(self, key: str, outcome: Mapping[str, Any]) -> None:
        await self._enqueue(operations.final(key, outcome, self._time()))

    async def saved(self, key: str, path: str, size_bytes: int) -> None:
        await self._enqueue(operations.saved(key, path, size_bytes, self._time()))

    def unfinished(self, *, after: int = 0) -> AsyncIterator[JournalRecord]:
        return self._records(UNFINISHED, after)

    def sent(self, *, after: int = 0) -> AsyncIterator[JournalRecord]:
        return self._records(SENT, after)

    def finished(self, *, after: int = 0) -> AsyncIterator[JournalRecord]:
        return self._records(FINISHED, after)

    async def _records(self, states: Sequence[str], after: int) -> AsyncIterator[JournalRecord]:
        while page := await self.ask(partial(self._store.page, states, after)):
            for record in page:
                yield record
            after = page[-1].position

    async def ids(self, *, since: float = 0.0) -> Sequence[GenerationId]:
        return await self.ask(partial(self._store.ids, since))

    async def summary(self) -> JournalSummary:
        return await self.ask(self._store.summary)

    async def hints(self, *, after: int = 0) -> Sequence[JournalHint]:
        return await self.ask(partial(self._store.hints, after))

    async def flush(self) -> None:
        await self.ask(bool)
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

    async def ask(self, ask: Callable[[], T]) -> T:
        """Ask the store something, when all that was queued before is written."""
        item = operations.Query(ask)
        await self._commit(item)
        return item.answer

    async def _enqueue(self, change: operations.StateChange) -> None:
        self._require_open(change)
        commits = self._commits
        if commits.held == 0:
            self._held_since = self._clock()
        if commits.held < _HELD_BACK and self._clock() - self._held_since < _HELD_SECONDS:
            commits.hold(change)
        else:
            await commits.commit(change)

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
        return self._store.explain(error, key=key, job=job, unwritten=self._unwritten())

    def unheard(self, item: CommitItem, error: Exception) -> None:
        # What another worker brings to its end in our place is nothing that was lost.
        is_anothers = isinstance(error, JournalError) and error.reason == "taken"
        if item.keep and not is_anothers and self._unheard is None:
            self._unheard = self.explain(item, error)

    def _raise_unheard(self) -> None:
        error, self._unheard = self._unheard, None
        if error is not None:
            raise error

    def _unwritten(self) -> dict[str, JobRef]:
        """The paid jobs that wait in memory for a disk that takes them."""
        changes = (item for item in self._commits.queue if isinstance(item, operations.StateChange))
        return {change.key: change.job for change in changes if change.job is not None}


def _concerned(item: CommitItem) -> tuple[str | None, JobRef | None]:
    return (item.key, item.job) if isinstance(item, operations.StateChange) else (None, None)

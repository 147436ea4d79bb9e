"""The journal of a batch that was given none: the same words and rules, kept in memory, gone with the process.

A record is dropped as soon as it has ended, so memory follows what is in flight and not what was done. That is also
what it cannot do: it hands no ended records out, and finds a key given twice only while the first is unfinished.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from .._errors import JournalError
from .._types import GenerationId, JobRef
from . import transitions
from .protocol import (
    ACCEPTED,
    FINAL,
    PLANNED,
    SAVED,
    SENDING,
    JournalRecord,
    JournalSummary,
    PlannedRequest,
    require_key,
)


class MemoryJournal:
    """See `Journal`.

    Args:
        now: Unix seconds.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._last: float | None = None
        self._first: float | None = None
        self._records: dict[str, JournalRecord] = {}
        self._planned = self._ended = self._saved = self._completed = self._tokens = 0
        self._closed = False

    async def plan(self, entries: Sequence[PlannedRequest]) -> Sequence[JournalRecord]:
        self._require_open()
        fresh: dict[str, JournalRecord] = {}
        for entry in entries:
            require_key(entry.key)
            _ = entry.text  # a request that JSON cannot say is refused here as it is on the disk
            if entry.key in self._records or entry.key in fresh:
                raise transitions.duplicate(entry.key, path=None)
            fresh[entry.key] = JournalRecord(self._planned + len(fresh) + 1, entry.key, entry.request)
        self._planned += len(fresh)
        self._records.update(fresh)
        self._time()
        return list(fresh.values())

    async def sending(self, key: str, claim: Mapping[str, Any]) -> None:
        record = self._follow(SENDING, key)
        self._records[key] = replace(record, state=SENDING, claim=claim, sent_at=self._time())

    async def accepted(self, key: str, *, id: GenerationId, kind: str | None = None, model: str | None = None) -> None:
        record = self._follow(ACCEPTED, key, JobRef(id, kind, model))
        if record.state != ACCEPTED:
            self._records[key] = replace(
                record, state=ACCEPTED, claim=None, id=id, kind=kind, model=model, accepted_at=self._time()
            )

    async def planned_again(self, key: str) -> None:
        record = self._follow(PLANNED, key)
        self._time()
        self._records[key] = replace(record, state=PLANNED, claim=None)

    async def final(self, key: str, outcome: Mapping[str, Any]) -> None:
        self._follow(FINAL, key)
        self._time()
        del self._records[key]
        self._ended += 1
        self._completed += transitions.status_of(outcome) == transitions.COMPLETED
        self._tokens += transitions.tokens_of(outcome) or 0

    async def saved(self, key: str, path: str, size_bytes: int) -> None:  # noqa: ARG002 - nobody is told any more
        self._require_open()
        if key in self._records:
            self._follow(SAVED, key)
        self._time()
        self._saved += 1

    async def unfinished(self, *, after: int = 0) -> AsyncIterator[JournalRecord]:
        self._require_open()
        for record in list(self._records.values()):
            if record.position > after:
                yield record

    async def finished(self, *, after: int = 0) -> AsyncIterator[JournalRecord]:  # noqa: ARG002 - there are none
        self._require_open()
        for record in tuple[JournalRecord, ...]():
            yield record  # pragma: no cover - there are none; this makes it an iterator

    async def ids(self, *, since: float = 0.0) -> Sequence[GenerationId]:
        self._require_open()
        live = self._records.values()
        return [one.id for one in live if one.id is not None and (one.accepted_at or 0.0) >= since]

    async def summary(self) -> JournalSummary:
        self._require_open()
        live = Counter(record.state for record in self._records.values())
        return JournalSummary(
            planned=live[PLANNED],
            sending=live[SENDING],
            accepted=live[ACCEPTED],
            final=self._ended - self._saved,
            saved=self._saved,
            completed=self._completed,
            tokens=self._tokens,
            first_at=self._first,
            last_at=self._last,
        )

    async def flush(self) -> None:
        self._require_open()

    async def aclose(self) -> None:
        self._closed = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _require_open(self, key: str | None = None, job: JobRef | None = None) -> None:
        if self._closed:
            unwritten = {} if key is None or job is None else {key: job}
            raise JournalError("The journal is closed.", reason="closed", key=key, job=job, unwritten=unwritten)

    def _follow(self, mark: str, key: str, job: JobRef | None = None) -> JournalRecord:
        self._require_open(key, job)
        record = self._records.get(key)
        if record is None:
            raise transitions.refusal(key, mark, None, None, path=None, job=job)
        if not transitions.may_follow(
            mark, record.state, same_id=job is not None and job.id == record.id, completed=False
        ):
            raise transitions.refusal(key, mark, record.state, record.id, path=None, job=job)
        return record

    def _time(self) -> float:
        self._last = max(self._now(), self._last or 0.0)
        if self._first is None:
            self._first = self._last
        return self._last

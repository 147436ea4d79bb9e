"""Keeping up with a journal that another process writes, at a cost that does not grow with it. Blocking; for one thread.

The journal is cut into spans of positions. What is counted of each span is kept, and a span is read again when it may have
changed:

- at each refresh those with something on its way, those next to be sent, and the end, where new ones are planned;
- the others in turn, a few at a time, while somebody runs the batch: what an earlier run left far behind is sent again in any order.

Only marks are read (no request, no outcome); why something failed is read for the few that are shown.
"""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from .._batch.budget_record import BudgetRecord, budget_record
from .._batch.journal_records import generation_of
from .._journal import (
    ACCEPTED,
    FINAL,
    FINISHED,
    PLANNED,
    RATE_WINDOW,
    SENDING,
    STATES,
    JournalMark,
    JournalMarks,
    JournalOwner,
    JournalWorker,
    is_address,
    mark_reader,
    read_records,
)
from .._journal.postgres.address import read_address
from .._plain_text import clipped, plain

_FIRST_SPANS: Final = 100  # new to us, at one refresh: a long journal is taken in over several
_LIVE_SPANS: Final = 16
_OTHER_SPANS: Final = 4
_KEPT: Final = 1_000  # of those that have ended, the latest
_BUDGET_EVERY: Final = 2.0  # seconds between two looks at what the command line wrote down
_REASON: Final = 300
COMPLETED: Final = "completed"


@dataclass(frozen=True, slots=True)
class ViewCounts:
    """What a journal comes to now.

    Attributes:
        total: Requests that were planned.
        planned: Not sent yet.
        sending: On their way; or, where nobody runs the batch, of unknown fate.
        accepted: Accepted, and not ended.
        completed: Ended with a result.
        failed: Ended without one.
        saved: Results that stand on the disk.
        tokens: Charged in all.
        budget: What may be spent in all, or None.
        not_sent: Not sent by the last run, since the budget did not cover them.
        rate_per_minute: Requests that ended in the last minute, per minute; of a batch that is over, on average; None before the first.
        eta_seconds: Seconds until all have ended at that rate; None where that cannot be told.
        seconds: Since the run began; of one that is over, from the first submission to the last end; None where neither is known.
        owner: Who runs it now, or one of those who do; None where nobody does.
        unread: Requests that were not read yet.
        workers: All who run it now, where many share it.
    """

    total: int = 0
    planned: int = 0
    sending: int = 0
    accepted: int = 0
    completed: int = 0
    failed: int = 0
    saved: int = 0
    tokens: int = 0
    budget: int | None = None
    not_sent: int = 0
    rate_per_minute: float | None = None
    eta_seconds: float | None = None
    seconds: float | None = None
    owner: JournalOwner | None = None
    unread: int = 0
    workers: Sequence[JournalWorker] = ()

    @property
    def ended(self) -> int:
        """Requests that have ended."""
        return self.completed + self.failed


@dataclass(slots=True)
class _Part:
    """What a worker had of a span."""

    in_flight: int = 0
    tokens: int = 0


@dataclass(slots=True)
class _Span:
    """What is counted of one span."""

    counts: dict[str, int]
    completed: int
    tokens: int
    first_sent: float | None
    last_end: float | None
    on_its_way: Sequence[JournalMark]
    ends: Mapping[int, int]  # how many ended in which Unix second, of the latest
    parts: Mapping[int, _Part]
    ends_of: Mapping[tuple[int, int], int]  # by worker and second


class JournalView:
    """What is known of a journal; `refresh` brings it up to date.

    Args:
        journal: The journal.
        now: Unix seconds.

    Attributes:
        journal: The journal.
        name: The journal as it may be shown.
    """

    def __init__(self, journal: str | os.PathLike[str], now: Callable[[], float] = time.time) -> None:
        self.journal = journal
        self.name: str | os.PathLike[str] = read_address(journal).shown if is_address(journal) else journal
        self._read = mark_reader(journal)
        self._now = now
        self._spans: dict[int, _Span] = {}
        self._next_live = 0
        self._next_other = 0
        self._last_read = JournalMarks({}, there=0, total=0, owner=None)  # without its marks
        self._budget = BudgetRecord(None, 0)
        self._budget_read = float("-inf")
        self._done: dict[int, JournalMark] = {}
        self._failed: dict[int, JournalMark] = {}
        self._reasons: dict[int, tuple[float | None, str]] = {}
        self.counts = ViewCounts()

    def refresh(self) -> ViewCounts:
        """Read what may have changed, and return what it comes to.

        Raises:
            JournalError: The journal cannot be read, any more or yet; what was known stays.
        """
        now = self._now()
        found = self._read(self._chosen())
        self._last_read = replace(found, spans={})
        for number, marks in found.spans.items():
            self._count_span(number, marks)
        self._forget_oldest()
        if now >= self._budget_read + _BUDGET_EVERY or now < self._budget_read:
            self._budget, self._budget_read = budget_record(self.journal), now
        self.counts = self._counted(now)
        return self.counts

    # The lists.

    def on_its_way(self) -> Sequence[JournalMark]:
        """Return what was sent and has not ended, the oldest first."""
        found = [mark for span in self._spans.values() for mark in span.on_its_way]
        return sorted(found, key=lambda mark: (mark.sent_at or mark.accepted_at or 0.0, mark.position))

    def failed(self) -> Sequence[JournalMark]:
        """Return the latest that failed, the last first."""
        return _latest(self._failed)

    def done(self) -> Sequence[JournalMark]:
        """Return the latest that have a result, the last first."""
        return _latest(self._done)

    def reason(self, mark: JournalMark) -> str:
        """Return why one failed, in the service's words or ours; read from the journal the first time.

        Raises:
            JournalError: The journal cannot be read.
        """
        known = self._reasons.get(mark.position)
        if known is not None and known[0] == mark.final_at:
            return known[1]
        records = islice(read_records(self.journal, states=FINISHED, after=mark.position - 1), 1)
        # It may be sent again by now; then the first is another's.
        errors = [generation_of(record).error or "" for record in records if record.position == mark.position]
        said = clipped(plain("".join(errors)[: 4 * _REASON]), _REASON) or "The service did not say why."
        self._reasons[mark.position] = mark.final_at, said
        return said

    def ends(self, buckets: int) -> Sequence[int]:
        """Return how many ended in each of so many equal parts of the last minute, the latest last."""
        now, found = self._now(), [0] * buckets
        for second, count in self._ends(now).items():
            part = int((second + 0.5 - now + RATE_WINDOW) / RATE_WINDOW * buckets)
            found[max(0, min(part, buckets - 1))] += count
        return found

    def _ends(self, now: float) -> Mapping[int, int]:
        """Return how many ended in each second of the last minute."""
        found: Counter[int] = Counter()
        for span in self._spans.values():
            for second, count in span.ends.items():
                if now - RATE_WINDOW < second + 1:
                    found[second] += count
        return found

    # Reading.

    def _chosen(self) -> Sequence[int]:
        """Choose the spans to read now."""
        spans, end = self._spans, max(0, self._last_read.there - 1)
        unread = [number for number in range(len(spans), end + 1) if number not in spans][:_FIRST_SPANS]
        if not spans or unread:
            return unread or [0]
        live = [number for number, span in spans.items() if span.on_its_way]
        to_send = (number for number, span in spans.items() if span.counts[PLANNED])
        chosen = {end, end + 1, *islice(to_send, 2)}
        # Each kind has a turn of its own, or the steps of one would keep the other from some for ever.
        chosen.update(_from(live, self._next_live, _LIVE_SPANS))
        self._next_live += _LIVE_SPANS
        if self._last_read.owner is not None or live:
            chosen.update(_from(range(end + 1), self._next_other, _OTHER_SPANS))
            self._next_other += _OTHER_SPANS
        return sorted(chosen)

    def _count_span(self, number: int, marks: Sequence[JournalMark]) -> None:
        counts: dict[str, int] = dict.fromkeys(STATES, 0)
        completed = tokens = 0
        on_its_way: list[JournalMark] = []
        sent: list[float] = []
        ends: list[float] = []
        latest: Counter[int] = Counter()
        done, failed, since = self._done, self._failed, self._now() - RATE_WINDOW
        parts: defaultdict[int, _Part] = defaultdict(_Part)
        ends_of: Counter[tuple[int, int]] = Counter()
        for mark in marks:
            position, state, end = mark.position, mark.state, mark.final_at
            counts[state] += 1
            if mark.sent_at is not None:
                sent.append(mark.sent_at)
            if state not in FINISHED:
                done.pop(position, None)
                failed.pop(position, None)
                if state != PLANNED:
                    on_its_way.append(mark)
                    if mark.worker is not None:
                        parts[mark.worker].in_flight += 1
                continue
            tokens += mark.tokens or 0
            if mark.worker is not None:
                parts[mark.worker].tokens += mark.tokens or 0
            if mark.status == COMPLETED:
                completed += 1
                done[position] = mark
                failed.pop(position, None)
            else:
                failed[position] = mark
                done.pop(position, None)
            ends.append(end or 0.0)
            if ends[-1] > since:
                latest[int(ends[-1])] += 1
                if mark.worker is not None:
                    ends_of[mark.worker, int(ends[-1])] += 1
        first, last = min(sent, default=None), max(ends, default=None)
        self._spans[number] = _Span(counts, completed, tokens, first, last, on_its_way, latest, parts, ends_of)

    def _forget_oldest(self) -> None:
        """Keep no more of those that have ended than are shown."""
        for ended in (self._done, self._failed):
            if len(ended) > 2 * _KEPT:
                kept = {mark.position for mark in _latest(ended)}
                for position in [position for position in ended if position not in kept]:
                    del ended[position]

    def _counted(self, now: float) -> ViewCounts:
        spans, owner = self._spans.values(), self._last_read.owner
        states = {state: sum(span.counts[state] for span in spans) for state in STATES}
        completed = sum(span.completed for span in spans)
        ended, read = sum(states[state] for state in FINISHED), sum(states.values())
        sent = min((span.first_sent for span in spans if span.first_sent is not None), default=None)
        end = max((span.last_end for span in spans if span.last_end is not None), default=None)
        if owner is not None:
            since = min((worker.since for worker in self._last_read.workers), default=owner.since)
            running = max(0.0, now - since)
            seconds: float | None = running
            rate = sum(self._ends(now).values()) * 60.0 / min(max(running, 1.0), RATE_WINDOW) if ended else None
        else:
            seconds = None if sent is None or end is None else max(0.0, end - sent)
            rate = None if not seconds else ended * 60.0 / seconds
        unread = max(0, self._last_read.total - read) if len(spans) < self._last_read.there else 0
        left = states[PLANNED] + states[SENDING] + states[ACCEPTED] + unread
        return ViewCounts(
            total=max(self._last_read.total, read),
            planned=states[PLANNED],
            sending=states[SENDING],
            accepted=states[ACCEPTED],
            completed=completed,
            failed=ended - completed,
            saved=ended - states[FINAL],
            tokens=sum(span.tokens for span in spans),
            budget=self._budget.tokens,
            not_sent=0 if owner is not None else min(self._budget.not_sent, states[PLANNED]),
            rate_per_minute=rate,
            eta_seconds=left / rate * 60.0 if owner is not None and rate and left else None,
            seconds=seconds,
            owner=owner,
            unread=unread,
            workers=self._shares(now),
        )

    def _shares(self, now: float) -> Sequence[JournalWorker]:
        """Return who runs it, with what each came to."""
        found = []
        for worker in self._last_read.workers:
            parts = [span.parts[worker.number] for span in self._spans.values() if worker.number in span.parts]
            ended = sum(
                count
                for span in self._spans.values()
                for (number, second), count in span.ends_of.items()
                if number == worker.number and now - RATE_WINDOW < second + 1
            )
            in_flight, tokens = sum(part.in_flight for part in parts), sum(part.tokens for part in parts)
            found.append(worker.with_share(in_flight=in_flight, ended=ended, tokens=tokens, now=now))
        return found


def _from(spans: Sequence[int], start: int, most: int) -> Sequence[int]:
    """Return at most so many, from a place in the round."""
    if len(spans) <= most:
        return spans
    return [spans[(start + step) % len(spans)] for step in range(most)]


def _latest(ended: dict[int, JournalMark]) -> Sequence[JournalMark]:
    return sorted(ended.values(), key=lambda mark: (-(mark.final_at or 0.0), -mark.position))[:_KEPT]

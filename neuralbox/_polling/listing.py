"""`SweepPlanner`: the strategy that asks a listing about many jobs at once, where that takes fewer requests than polls.

A sweep (`_polling.sweep`) is a task of one waiter: it walks the pending pages of the history from the last to the first, or
where a service lists only everything, that from the newest on, while another leads. What it did not list is polled by its own
waiters, or, where an item is enough (`_polling.listed_fields`), searched for among the completed first. Where the plan's
requests are scarce, it reads the newest pages of the whole history instead, when `ReadPlan` says: they show what runs, what has
ended, and with which result, in one request. The rules:

- That a job is not listed is never taken for its end. Missing twice though it runs, it is polled by itself for a time;
  if none of ours is ever listed, sweeps are given up.
- A page that fails slows everybody down like a poll that fails, and after three in a row it leaves the field to
  polls for a time. A refusal of the service's own that says nothing about load or the key (403, 404, 422, ...) does so
  at once, for longer each time.

Whether, which pages and how often is decided by `_polling.listing_plan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .._errors import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    InternalServerError,
    NeuralBoxError,
    ProtocolError,
    RateLimitError,
)
from .listing_plan import CONFIRM, NOTHING_MEASURED, PRESENT, UNLISTED_AFTER, ListingStats, is_worth_it, pause
from .polled_job import JobState, PolledJob
from .poller import Poller
from .schedule import spread
from .sweep import LISTED_WITHIN, Sweep

AFTER_FAILURE = 60.0
"""Seconds without sweeps after several walks in a row that failed."""
AFTER_REFUSAL = (300.0, 1_800.0, 21_600.0)
"""Seconds without sweeps after the service refused the listing once, twice, more often."""
_FAILURES = 3
_BY_ENDS = 3  # of so many sweeps, all but one may read the completed list in place of the pending one
AFTER_TOO_LONG = 300.0
"""Seconds without sweeps after the list turned out longer than it is worth."""
_RECOUNT = 1.0


@dataclass(frozen=True, slots=True)
class SoonDue:
    """How many jobs would be due before the next sweep, when that was counted last.

    Attributes:
        until: When to count again.
        among: Count again when there are more jobs than this.
        jobs: How many there were.
    """

    until: float
    among: int
    jobs: int


class SweepPlanner:
    """A strategy of `Poller`; keeps what one account's listing is like.

    Attributes:
        stats: What the walks have told.
        found_on: How far back in the completed list the last search found something of ours.
        found: How many it found there.
        finds_all: Whether its items were enough for all that the last search was for.
        given_up: Whether the listing is of no use, for good.
    """

    def __init__(self) -> None:
        self.stats: ListingStats = NOTHING_MEASURED
        self.found_on = 1
        self.found = 0
        self.finds_all = False
        self.given_up = False
        self._paused_until: float | None = None
        self._next_at: float | None = None
        self._soon_due: SoonDue | None = None
        self._sweep: Sweep | None = None
        self._failures = self._refusals = self._sweeps = 0

    async def __call__(self, poller: Poller, due: Sequence[PolledJob]) -> None:
        now = poller.now()
        if self.given_up or (self._paused_until is not None and now < self._paused_until):
            together = []
        else:
            together = [job for job in due if job.absence is PRESENT or not job.absence.is_alone(now)]
        if poller.reads.next_at(now) is not None:
            self._read_sparingly(poller, due, together, now)
        elif together and self._is_on(poller, together, now):
            self._sweep_or_put_off(poller, together, now)
        for job in due:
            if job.state is JobState.DUE:
                poller.assign(job)

    def _read_sparingly(
        self, poller: Poller, due: Sequence[PolledJob], together: Sequence[PolledJob], now: float
    ) -> None:
        """Read once for all that are waited for, where the listing can tell; else poll one of those that are due."""
        alone = list(due)
        if len(poller.jobs) > 1 and together:
            sweep = self._sweep
            asked = {job for job in together if sweep is None or not job.wants_last_poll(now)}
            alone = [job for job in due if job not in asked]
            if sweep is not None:
                for job in asked:
                    sweep.put_off(job, now)
            else:
                self._read_newest(poller, now)
        if alone:
            poller.assign_sparingly(alone, now)

    def _read_newest(self, poller: Poller, now: float) -> None:
        """Begin to read the newest pages for all that they can tell of."""
        jobs = [
            job
            for job in poller.jobs
            if job.polled_by is None and (job.absence is PRESENT or not job.absence.is_alone(now))
        ]
        poller.reads.read(now)
        self._next_at = now
        self._sweep = Sweep(self, poller, jobs, jobs[0].polling.min_interval, sparing=True)
        poller.dispatch(self._sweep, jobs)

    def _sweep_or_put_off(self, poller: Poller, together: Sequence[PolledJob], now: float) -> None:
        """Begin a sweep where it is time, or make the jobs due at the next one; last polls are not put off."""
        sweep = self._sweep
        is_time = self._next_at is None or now >= self._next_at
        if sweep is None and (is_time or any(job.wants_last_poll(now) for job in together)):
            self._begin(poller, together, now)
            return
        for job in together:
            if job.wants_last_poll(now):
                continue
            if sweep is not None:
                sweep.put_off(job, now)
            else:
                assert self._next_at is not None
                poller.reschedule(job, max(self._next_at, now + _RECOUNT))

    def _is_on(self, poller: Poller, together: Sequence[PolledJob], now: float) -> bool:
        """Whether a sweep now, or at the next turn, is better than a poll of each."""
        waiting = 0 if self._sweep is None else len(self._sweep.waiting)
        jobs, total = len(together) + waiting, len(poller.jobs)
        if self._is_worth_it(jobs, total):
            return True
        if not self._is_worth_it(total, total):
            return False
        soon = self._soon_due
        if soon is None or now >= soon.until or total > soon.among:
            soon = self._soon_due = SoonDue(now + _RECOUNT, total + total // 4, len(self._due_soon(poller, now)))
        return self._is_worth_it(max(jobs, soon.jobs), total)

    def _is_worth_it(self, jobs: int, total: int) -> bool:
        stats = self.stats
        return is_worth_it(jobs=jobs, pages=stats.pages(total), finished_share=stats.finished_share)

    def _due_soon(self, poller: Poller, now: float) -> list[PolledJob]:
        """Return all that would be due before the next sweep."""
        return [
            job
            for job in poller.jobs
            if job.polled_by is None
            and (job.absence is PRESENT or not job.absence.is_alone(now))
            and job.poll_at <= now + job.polling.min_interval
        ]

    def _begin(self, poller: Poller, together: Sequence[PolledJob], now: float) -> None:
        for job in together:
            job.poll_at = min(job.poll_at, now)
        jobs = self._due_soon(poller, now)
        seconds = pause(len(jobs), jobs[0].polling.min_interval)
        self._next_at = now + seconds
        by_ends = self._by_ends(len(poller.jobs)) and not any(job.wants_last_poll(now) for job in together)
        self._sweep = Sweep(self, poller, jobs, seconds, by_ends=by_ends)
        poller.dispatch(self._sweep, jobs)

    def _by_ends(self, total: int) -> bool:
        """Whether to search for ends instead of for what still runs: where that list is the shorter one.

        Failures are in neither list, so that every third sweep is a walk over the pending pages all the same.
        """
        self._sweeps += 1
        return self._sweeps % _BY_ENDS != 1 and self.finds_all and self.found_on < self.stats.pages(total)

    # What came of a sweep.

    def over(self, poller: Poller) -> float:
        """Note that a sweep is over, whatever came of it, and return when the next one is due."""
        self._sweep = None
        assert self._next_at is not None
        return max(self._next_at, poller.now())

    def failed(self, poller: Poller, jobs: Sequence[PolledJob], error: NeuralBoxError, began: float) -> None:
        """Leave the field to polls for a time, a longer one where the listing is refused as such."""
        is_foreign = isinstance(error, APIStatusError) and not error.is_from_service
        shared = is_foreign or isinstance(error, APIConnectionError | RateLimitError | InternalServerError)
        if shared and jobs:
            poller.slow_down(jobs[0], error, began)
        if isinstance(error, RateLimitError) and not is_foreign:
            pass  # says nothing against sweeps; polls would only be more of what is too much
        elif shared or isinstance(error, ProtocolError | AuthenticationError):
            self._failures += 1  # one answer may get lost; then the next sweep is as good as polls
            if self._failures >= _FAILURES or not shared:
                self._paused_until = poller.now() + AFTER_FAILURE
        else:
            self._paused_until = poller.now() + AFTER_REFUSAL[min(self._refusals, len(AFTER_REFUSAL) - 1)]
            self._refusals += 1
        for job in jobs:
            poller.reschedule(job, poller.now() + poller.spread(job))

    def walked(self, poller: Poller, *, ours: int, others: int, absent: Sequence[PolledJob]) -> None:
        """Take account of a whole walk, and have what it did not list polled."""
        self.stats = self.stats.after_walk(ours=ours, others=others, absent=len(absent))
        self._failures = self._refusals = 0
        now = poller.now()
        for job in absent:
            job.absence = job.absence.once_more(now)
        if not self.stats.hits and any(job.absence.walks >= UNLISTED_AFTER for job in absent):
            self.given_up = True
        for number, job in enumerate(absent):
            # Many that end together are not polled together.
            stretch = spread(jitter=1.0, outstanding=len(absent), min_interval=job.polling.min_interval / 3)
            poller.reschedule(job, now + stretch * number / len(absent))

    def read(self, poller: Poller, *, found: int, absent: Sequence[PolledJob]) -> None:
        """Take account of newest pages that were read sparingly; few of what they did not show is polled by itself."""
        self.stats = replace(self.stats, hits=self.stats.hits or found > 0)
        self._failures = self._refusals = 0
        now, alone = poller.now(), 1 + found // 10
        for job in absent:
            if job.absence is not CONFIRM and now - job.since >= LISTED_WITHIN:
                absence = job.absence.once_more(now)
                job.absence = absence if alone > 0 else absence.confirmed()
                alone -= absence.confirm
            poller.reschedule(job, now)
        if not self.stats.hits and any(job.absence.walks >= UNLISTED_AFTER for job in absent):
            self.given_up = True

    def too_long(self, poller: Poller) -> None:
        """Note that the list has more pages than there are jobs to ask about: others fill it."""
        self._paused_until = poller.now() + AFTER_TOO_LONG

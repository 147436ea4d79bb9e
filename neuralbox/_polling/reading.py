"""`ReadPlan`: when jobs are asked about together, where the plan's requests are scarce.

It puts what is known of the jobs that are waited for into the plain numbers of `_rate_limit.plan`, and keeps what that says
for a moment, since many jobs come due at one time. One for each poller; what is known of the windows is the account's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import inf

from .._api import vocabulary as words
from .._concurrency.per_loop import Home
from .._core.exchange import Core
from .._errors import RateLimitError
from .._rate_limit.limiter import limiter_of
from .._rate_limit.plan import Due, Outstanding, is_scarce, next_read
from .durations import DurationLog
from .listing_plan import CONFIRM, pages_of
from .polled_job import PolledJob, kind_and_model
from .schedule import UsualSeconds, may_end_at, usual_seconds

logger = logging.getLogger("neuralbox")

_MANY = 1_000_000
_MOMENT = 1.0
_TRY_AGAIN = 10.0  # to find out whether reads count; each time twice as long, up to an hour and a half
_GOLDEN = 0.618034  # multiples of it, less the whole, are spread evenly, however many they are
_AFTER_OPENING = 1.5  # a window ends by the service's clock, which is known to the second only
_SPREAD_OVER = 1.0  # seconds over which those come back that waited for a window


class ReadPlan:
    """When one poller reads.

    Args:
        core: Any client of the account, for its clock.
        durations: How long each model takes.
        jobs: What is waited for, as it changes.
        go_on: Has jobs that were put off asked about again.

    Attributes:
        awaited: Waits of one job by itself.
        asks_each: Whether whoever joined last wants each job asked itself in the end.
        closed_until: Until when nothing is read since a window is used up, by the clock; None where that is not so.
        pages: Pages that the last read of the listing took.
        under_way: Polls of single jobs on their way.
    """

    __slots__ = (
        "_clock",
        "_durations",
        "_go_on",
        "_is_known_until",
        "_jobs",
        "_known",
        "_known_among",
        "_last_at",
        "_limiter",
        "_random",
        "_tries",
        "_unix_now",
        "asks_each",
        "awaited",
        "closed_until",
        "pages",
        "under_way",
    )

    def __init__(
        self, core: Core, durations: DurationLog, jobs: Mapping[str, PolledJob], go_on: Callable[[], None]
    ) -> None:
        self.awaited = 0
        self.asks_each = False
        self.closed_until: float | None = None
        self._clock, self._unix_now, self._random = core.clock, core.now, core.random
        self._limiter = limiter_of(core)
        self._durations = durations
        self._jobs = jobs
        self._go_on = go_on
        self.pages = 1
        self.under_way = 0
        self._last_at = -inf
        self._tries = 0
        self._known: float | None = None
        self._known_among = -1
        self._is_known_until = -inf

    # What the limiter wants to know.

    @property
    def outstanding(self) -> Outstanding:
        """How many jobs are waited for."""
        jobs = len(self._jobs)  # asked for in any thread
        return Outstanding(jobs, min(self.awaited, jobs), self.asks_each)

    def begin(self) -> None:
        """Take part in the account's plan, since something is waited for."""
        self._limiter.readers[self] = Home()

    def end(self) -> None:
        """Leave it, since nothing is."""
        self._limiter.readers.pop(self, None)
        self.closed_until = None

    # What answers say...

    def note_headers(self, headers: Mapping[str, str], began: float) -> None:
        """Take note of what the headers of an answer say of the windows."""
        self._limiter.note_headers(headers, began=began, clock=self._clock(), now=self._unix_now(), is_read=True)

    def more_is_left(self) -> None:
        """Hear that there is more of a window than was known: what was put off for it may be due."""
        if self.is_scarce:
            self._is_known_until = -inf
            self._go_on()

    def refused(self, error: RateLimitError) -> None:
        """Take note of a read that the windows refused."""
        self._limiter.read_refused(error, clock=self._clock())
        self._is_known_until = -inf

    def read(self, now: float) -> None:
        """Take note that something is being read."""
        self._last_at = now
        self._is_known_until = -inf
        self._tries = self._tries + 1 if self.is_unknown else 0

    # ... and what follows.

    @property
    def is_scarce(self) -> bool:
        """Whether requests were scarce when that was last worked out."""
        return self._known is not None

    @property
    def is_unknown(self) -> bool:
        """Whether it is not sure yet if reads count, where what others send hides it: two in a row show it."""
        return self._limiter.is_shared and not self._limiter.reads.is_sure

    @property
    def is_metered(self) -> bool:
        """Whether reads may use up the plan's requests."""
        return self._limiter.allowance(self._clock()).is_metered

    @property
    def left(self) -> int:
        """How many reads may leave before a window is renewed, at most a great many."""
        allowance = self._limiter.allowance(self._clock())
        if not allowance.is_metered:
            return _MANY
        # One goes to see, where nobody knows when a window that was used up is renewed.
        left = allowance.reads_left if allowance.opens_in > 0 else max(1.0, allowance.reads_left)
        return int(max(0.0, left - self.under_way))

    def used_up(self, now: float) -> RateLimitError:
        """Return what is in the way of a read where none is left."""
        seconds = self._limiter.allowance(now).opens_in
        at = datetime.fromtimestamp(self._unix_now() + seconds, UTC)
        return RateLimitError(
            f"The plan's requests are used up until {at:%Y-%m-%d %H:%M:%S} UTC, so the service was not asked.",
            retry_after=seconds,
            status_code=429,
            code=words.RATE_LIMIT_EXCEEDED,
        )

    def next_at(self, now: float) -> float | None:
        """Return when the next read is, for all that are waited for; None where requests are not scarce."""
        jobs = len(self._jobs)
        if now < self._is_known_until and jobs <= self._known_among:
            return self._known
        allowance = self._limiter.allowance(now)
        closed_until, self.closed_until = self.closed_until, None
        at: float | None = None
        if allowance.is_metered and is_scarce(allowance, jobs):
            at = next_read(allowance, self._due(), now=now, last_read=self._last_at)
            if self.is_unknown and allowance.reads_left > 1:
                pause = _TRY_AGAIN * 2.0 ** max(0, min(self._tries - 1, 9))
                at = min(at, max(now, self._last_at + pause))
            if allowance.reads_left < 1 and at > now:
                at = self.closed_until = self._opens_at(now, at, closed_until)
        self._known, self._known_among, self._is_known_until = at, jobs + jobs // 4, now + _MOMENT
        return at

    def _opens_at(self, now: float, ends_at: float, before: float | None) -> float:
        """Return when to come back after a window that is used up; what was said of it before stands."""
        earliest = ends_at + _AFTER_OPENING
        if before is not None and 0 <= before - earliest <= _SPREAD_OVER:
            return before
        at = earliest + self._random() * _SPREAD_OVER
        logger.info("The plan's requests are used up; waits go on in %.0f s.", at - now)
        return at

    def _due(self) -> Due:
        usual = dict[tuple[str | None, str | None], UsualSeconds]()
        earliest, patient = inf, not self.awaited
        ends = list[float]()
        for number, job in enumerate(self._jobs.values()):
            kind, model = kind_and_model(job)
            of = usual.get((model, kind))
            if of is None:
                of = usual[model, kind] = usual_seconds(model, kind, self._durations.of(model))
            # A poll without an answer says nothing of how it stands.
            age = 0.0 if job.asked_at is None or job.failure is not None else max(0.0, job.asked_at - job.since)
            if not job.dated:  # may be of any age
                of = UsualSeconds(0.0, of.longest)
            earliest = min(earliest, job.since + max(of.shortest, age))
            if job.absence is CONFIRM:
                age, of = 0.0, _ENDED
            end = job.since + may_end_at(age, of, (0.5 + number * _GOLDEN) % 1)
            if job.expected_at is not None and job.expected_at > job.since + age:
                end = min(job.expected_at, end)
            ends.append(end)
        ends.sort()
        return Due(ends, earliest, patient, max(self.pages, pages_of(len(ends))))


_ENDED = UsualSeconds(0.0, 0.0)

"""`SweepPlanner`: the strategy that asks a listing about many jobs at once, where that takes fewer requests than looks.

A sweep is an errand of one waiter: it walks the pending pages of the history from the last to the first, while others
keep the clock. What it did not list is looked at by its own waiters, or, with `Polling(detail="listing")`, searched for
among the completed first. The rules:

- A page is taken at once, with no await in between, and stands whatever becomes of the walk.
- What a walk that broke off had not come to is due again: whoever leads then takes it up.
- That a job is not listed is never taken for its end. Missing twice though it runs, it is asked one by one for a time;
  if none of ours is ever listed, sweeps are given up.
- A page that fails slows everybody down like a look that fails, and after three in a row it leaves the field to
  looks for a time. A refusal that says nothing about load or the key (403, 404, 422, ...) ends sweeps for good.

Whether, which pages and how often is decided by `_polling.listing_plan`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio

from .._api import vocabulary as words
from .._api.pages import Envelope, read_envelope, walk_goes_on
from .._api.request import Request, query
from .._core.exchange import Core
from .._errors import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    InternalServerError,
    NeuralBoxError,
    ProtocolError,
    RateLimitError,
)
from .._models.generation import Generation
from .._transport import Reply
from .listing_plan import (
    NOTHING_MEASURED,
    UNLISTED_AFTER,
    WALKERS,
    ListingStats,
    alone_for,
    is_worth_it,
    pages_left,
    pause,
    read_item,
    walkers,
)
from .polled_job import GRACE, NEVER, JobWaiter, PolledJob
from .schedule import spread

if TYPE_CHECKING:
    from .poller import Poller

AFTER_FAILURE = 60.0
"""Seconds without sweeps after several walks in a row that failed."""
_FAILURES = 3
_BY_ENDS = 3  # of so many turns, all but one may read the completed list in place of the pending one
AFTER_TOO_LONG = 300.0
"""Seconds without sweeps after the list turned out longer than it is worth."""
_RECOUNT = 1.0
_LONGEST_WALK = 60.0  # a million jobs take 10,000 pages, half a minute of them
_NO_SUCH_PAGE = (400, 404, 416, 422)


class SweepPlanner:
    """A strategy of `Poller`; keeps what one account's listing is like.

    Attributes:
        measured: What the walks have told.
        ended_pages: How far back in the completed list the last search found something.
        given_up: Whether the listing is of no use, for good.
        paused_until: No sweep before; by the poller's clock.
    """

    def __init__(self) -> None:
        self.measured: ListingStats = NOTHING_MEASURED
        self.ended_pages = 1
        self.given_up = False
        self.paused_until = -NEVER
        self._next_at = -NEVER  # of the sweep after the last one
        self._counted = (-NEVER, 0, 0)  # when soon-due jobs were counted, among how many, and what came of it
        self._walking = False
        self._walked_first: list[PolledJob] = []  # what came due during the walk, which may take a minute with many...
        self._walked_until = -NEVER  # ... and until when it was put off, if not till the end of the walk
        self._failures = self._turn = 0

    async def __call__(self, poller: Poller, due: Sequence[PolledJob]) -> None:
        now = poller.now()
        flock = [] if self.given_up or now < self.paused_until else [each for each in due if each.alone_until <= now]
        if flock and self._is_on(poller, flock, now):
            last = now >= self._next_at or any(poller.is_last(entry, now) for entry in flock)
            if last and not self._walking:
                self._begin(poller, flock, now)
            else:
                later = self._end_of_walk(now) if self._walking else max(self._next_at, now + _RECOUNT)
                for entry in flock:
                    if not poller.is_last(entry, now):
                        poller.reschedule(entry, later)
                        if self._walking:
                            self._walked_first.append(entry)
        for entry in due:
            if entry.polled_by is None and entry.due == NEVER:
                poller.assign(entry)

    def _is_on(self, poller: Poller, flock: Sequence[PolledJob], now: float) -> bool:
        """Whether a sweep now, or at the next turn, is better than a look at each."""
        jobs, total = len(flock) + len(self._walked_first), len(poller.entries)
        if self._worth(jobs, total):
            return True
        if not self._worth(total, total):
            return False
        at, among, soon = self._counted
        if now >= at + _RECOUNT or total > among:
            soon = len(self._along(poller, now))
            self._counted = (now, total + total // 4, soon)
        return self._worth(max(jobs, soon), total)

    def _end_of_walk(self, now: float) -> float:
        if now >= self._walked_until:
            self._walked_until = now + _LONGEST_WALK
            self._walked_first.clear()  # they are due again
        return self._walked_until

    def _worth(self, jobs: int, total: int) -> bool:
        return is_worth_it(jobs=jobs, pages=self.measured.pages(total), gone=self.measured.finished_share)

    def _along(self, poller: Poller, now: float) -> list[PolledJob]:
        """All that would be due before the next sweep."""
        return [
            entry
            for entry in poller.entries
            if entry.polled_by is None
            and entry.alone_until <= now
            and entry.poll_at <= now + entry.polling.min_interval
        ]

    def _begin(self, poller: Poller, flock: Sequence[PolledJob], now: float) -> None:
        for entry in flock:
            entry.poll_at = min(entry.poll_at, now)
        entries = self._along(poller, now)
        self._walking = True
        seconds = pause(len(entries), entries[0].polling.min_interval)
        self._next_at = now + seconds
        urgent = any(poller.is_last(entry, now) for entry in flock)
        poller.dispatch(
            Sweep(self, poller, entries, seconds, by_ends=not urgent and self._by_ends(len(poller.entries)))
        )

    def _by_ends(self, total: int) -> bool:
        """Whether to look for ends instead of for what still runs: where that list is the shorter one.

        Failures are in neither list, so that every third turn is a walk over the pending pages all the same.
        """
        self._turn += 1
        return self._turn % _BY_ENDS != 1 and self.ended_pages < self.measured.pages(total)

    # What came of a sweep.

    def over(self, poller: Poller) -> None:
        """Hear that a sweep is over, whatever came of it; what came due meanwhile is due now, or at the next turn."""
        self._walking = False
        waited, self._walked_first = self._walked_first, []
        turn = max(self._next_at, poller.now())
        for entry in waited:
            if entry.poll_at == self._walked_until and entry.waiters and entry.polled_by is None:
                poller.reschedule(entry, turn)

    def failed(self, poller: Poller, entries: Sequence[PolledJob], error: NeuralBoxError, began: float) -> None:
        """Leave the field to looks: for a time, or for good where the listing is refused as such."""
        shared = isinstance(error, APIConnectionError | RateLimitError | InternalServerError)
        if shared and entries:
            poller.slow_down(entries[0], error, began)
        if isinstance(error, RateLimitError):
            pass  # says nothing against sweeps; looks would only be more of what is too much
        elif shared or isinstance(error, ProtocolError | AuthenticationError):
            self._failures += 1  # one answer may get lost; then the next sweep is as good as looks
            if self._failures >= _FAILURES or not shared:
                self.paused_until = poller.now() + AFTER_FAILURE
        else:
            self.given_up = True
        for entry in entries:
            poller.reschedule(entry, poller.now() + poller.spread(entry))

    def ended(self, poller: Poller, *, pages: int, ours: int, others: int, absent: Sequence[PolledJob]) -> None:
        """Hear of a whole walk, and have somebody look at what it did not list."""
        self.measured = self.measured.after_walk(ours=ours, others=others, gone=len(absent))
        self._failures = 0
        if ours:
            poller.spend(pages)
        now = poller.now()
        lost = False
        for entry in absent:
            entry.absent += 1
            lost = lost or entry.absent >= UNLISTED_AFTER
            alone = alone_for(entry.absent)
            entry.alone_until = now + alone if alone else NEVER
        if lost and not self.measured.hits:
            self.given_up = True
        for number, entry in enumerate(absent):
            # Many that end together are not looked at together.
            stretch = spread(jitter=1.0, outstanding=len(absent), min_interval=entry.polling.min_interval / 3)
            poller.reschedule(entry, now + stretch * number / len(absent))

    def too_long(self, poller: Poller) -> None:
        """Hear that the list has more pages than there are jobs to ask about: others fill it."""
        self.paused_until = poller.now() + AFTER_TOO_LONG


class Sweep:
    """One walk over the pending pages, for so many entries.

    Args:
        sweeps: Whom to report to.
        poller: Whom to publish to.
        entries: What it is for; they count as being looked at until it is over.
        seconds: Until the sweep after it.
        by_ends: Whether the completed list is read in place of the pending one, where its items are answers.
    """

    def __init__(
        self, sweeps: SweepPlanner, poller: Poller, entries: Sequence[PolledJob], seconds: float, *, by_ends: bool
    ) -> None:
        self._sweeps = sweeps
        self._poller = poller
        self._entries = entries
        self._seconds = seconds
        self._by_ends = by_ends
        self._last_pages = sweeps.ended_pages
        self._began = poller.clock()
        self._pages = self._ours = self._others = 0
        self._too_long = False
        self._error: NeuralBoxError | None = None
        for entry in entries:
            entry.polled_by = self
            poller.reschedule(entry, entry.poll_at)  # not before it is over, but the ends of waits still count

    def drop(self) -> None:
        self._sweeps.over(self._poller)
        for entry in self._rest():
            self._poller.requeue(entry)

    def _rest(self) -> list[PolledJob]:
        """Take what nothing has been heard of out of our hands."""
        rest = [entry for entry in self._entries if entry.polled_by is self]
        for entry in rest:
            entry.polled_by = None
        return [entry for entry in rest if entry.waiters and not entry.settled]

    async def __call__(self, waiter: JobWaiter) -> None:
        poller = self._poller
        self._began = began = poller.clock()
        limit: AbstractContextManager[Any] = nullcontext()
        if waiter.deadline is not None:
            limit = anyio.move_on_after(max(0.0, waiter.deadline + GRACE - began))
        whole = searched = False
        try:
            with limit:
                core = poller.for_one_attempt(waiter.core)
                listing = core.options.polling.detail == "listing"
                if not (listing and self._by_ends):
                    whole = await self._walk(core)
                if listing and (whole or self._by_ends):
                    await self._search(core)
                searched = self._by_ends and listing
        finally:
            rest = self._rest()
            self._sweeps.over(poller)
            if self._error is not None:
                self._sweeps.failed(poller, rest, self._error, began)
            elif whole:
                poller.answered(began)
                self._sweeps.ended(poller, pages=self._pages, ours=self._ours, others=self._others, absent=rest)
            else:
                for entry in rest:  # cut off: now, for whoever leads next
                    turn = began + self._seconds if searched else poller.now()
                    poller.reschedule(entry, turn + (poller.spread(entry) if self._too_long else 0.0))

    # The pending pages, the last first...

    async def _walk(self, core: Core) -> bool:
        """Walk them; whether all were seen."""
        measured = self._sweeps.measured
        first = measured.pages(len(self._poller.entries)) if measured.counted else 1
        page = await self._ask(core, first)
        if first > 1 and isinstance(self._error, APIStatusError) and self._error.status_code in _NO_SUCH_PAGE:
            self._error, first = None, 1
            page = await self._ask(core, first)
        if page is None:
            return False
        self._take(page)
        if page.pages is None:
            self._sweeps.measured = replace(measured, counted=False)
            return await self._forward(core, page if first == 1 else None)
        if not is_worth_it(jobs=len(self._entries), pages=page.pages, gone=measured.finished_share):
            self._give_up()
            return False
        return await self._backward(core, pages_left(first, page.pages))

    async def _backward(self, core: Core, numbers: Sequence[int]) -> bool:
        if not numbers:
            return True
        left = deque(numbers)

        async def walk() -> None:
            while left and self._error is None:
                page = await self._ask(core, left.popleft())
                if page is not None:
                    self._take(page)

        async with anyio.create_task_group() as group:
            for _ in range(walkers(len(left))):
                group.start_soon(walk)
        return self._error is None

    async def _forward(self, core: Core, page: Envelope | None) -> bool:
        """Walk a list that does not say how long it is, from the first page to the one that shows nothing new."""
        number, seen = 1, set[str]()
        while True:
            if page is None:
                page = await self._ask(core, number)
                if page is None:
                    return False
                self._take(page)
            keys = {read_item(record)[0] for record in page.records}
            fresh, seen = len(keys - seen), seen | keys
            if not walk_goes_on(asked=number, count=len(page.records), fresh=fresh, pages=None):
                return True
            number, page = number + 1, None
            if number > len(self._entries):
                self._give_up()
                return False

    def _give_up(self) -> None:
        self._too_long = True
        self._sweeps.too_long(self._poller)

    def _take(self, page: Envelope) -> None:
        poller, began, seconds = self._poller, self._began, self._seconds
        for record in page.records:
            key, said = read_item(record)
            entry = poller.entry_of(key)
            if entry is None:
                self._others += 1
            elif said.status not in words.FINAL_STATES:  # a list that ignores the filter: ask the job itself
                self._ours += 1
                entry.absent, entry.alone_until = 0, -NEVER
                if entry.polled_by is self:
                    poller.take_listed(entry, said, began, seconds)

    # ... and the completed ones, the newest first.

    async def _search(self, core: Core) -> None:
        """Read them as far back as there is something of ours; a look at each is for the rest."""
        wanted = {str(entry.ref.id): entry for entry in self._entries if entry.polled_by is self and entry.waiters}
        # What is wanted fills so many pages at least; a quarter of them at once is never too many.
        first, width, pages = 1, 1, NEVER
        at_once = max(self._last_pages // 2, len(wanted) // words.MAX_PAGE_SIZE // 4)
        while first <= pages and len(wanted) > 1 and self._error is None:
            numbers = range(first, first + width)
            hits = [0]

            async def read(number: int, hits: list[int] = hits) -> None:
                nonlocal pages
                page = await self._ask(core, number, words.COMPLETED)
                if page is not None:
                    pages = NEVER if page.pages is None else page.pages
                    for record in page.records:
                        entry = wanted.pop(read_item(record)[0], None)
                        if entry is not None:
                            hits.append(number)
                            self._accept(entry, record)

            if width == 1:
                await read(first)
            else:
                async with anyio.create_task_group() as group:
                    for number in numbers:
                        group.start_soon(read, number)
            if len(hits) == 1:
                return
            self._sweeps.ended_pages = max(hits)
            # The first page by itself, then as many at once as were needed the last time, in two steps.
            first, width = numbers.stop, min(WALKERS, max(1, at_once))

    def _accept(self, entry: PolledJob, record: Mapping[str, Any]) -> None:
        """Take an item for the result where it is one; what it lacks, the job's own answer has."""
        ref = entry.ref
        generation = Generation.read(record, kind=ref.kind, asked_id=ref.id)
        if generation.is_completed and (generation.url or generation.text) and generation.tokens is not None:
            if generation.model is None:
                generation = generation.model_copy(update={"model": ref.model})
            entry.polled_by = None
            self._poller.publish(entry, generation)

    async def _ask(self, core: Core, number: int, status: str = words.PENDING) -> Envelope | None:
        """Ask for a page; None when that fails, and `_error` says why."""
        began = self._poller.clock()
        self._pages += 1

        def read(reply: Reply) -> Envelope:
            self._poller.heard(reply.headers, began)
            page = read_envelope(core.as_json(reply), page=number, page_size=words.MAX_PAGE_SIZE)
            if page is None:
                raise ProtocolError(
                    f"The service answered {reply.status_code} without a list of items.", status_code=reply.status_code
                )
            return page

        # Page, limit and status are called the same in both dialects (C14).
        asked = query(page=number, limit=words.MAX_PAGE_SIZE, status=status)
        try:
            return await core.send(Request("GET", words.HISTORY, query=asked), read)
        except (APIConnectionError, ProtocolError, APIStatusError) as error:
            self._error = error
            return None

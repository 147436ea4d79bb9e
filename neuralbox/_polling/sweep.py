"""`Sweep`: one walk through the history for many jobs, in the task of one of those who wait.

It reads the pages that `_polling.listing_plan` names, and reports to `SweepPlanner`, which began it, how it ended. The rules:

- A page is taken at once, with no await in between, and stands whatever becomes of the walk.
- What a walk that broke off had not come to is due again: whoever leads then takes it up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from enum import Enum
from functools import partial
from typing import Any, Final, Protocol

import anyio

from .._api import vocabulary as words
from .._api.pages import Envelope
from .._core.exchange import Core
from .._errors import APIConnectionError, APIStatusError, NeuralBoxError, ProtocolError
from .._transport import Reply
from .listed_fields import is_enough
from .listing_plan import (
    CONFIRM,
    PRESENT,
    ListingStats,
    ListingWalk,
    WalkStep,
    begin_search,
    begin_walk,
    read_item,
    walkers,
)
from .polled_job import GRACE, JobState, PolledJob, Waiter, kind_and_model
from .poller import Poller

LISTED_WITHIN = 30.0
"""Seconds after which a job that the newest pages do not show is asked by itself."""
_LONGEST_WALK = 60.0  # a million jobs take 10,000 pages, half a minute of them
_NO_SUCH_PAGE = (400, 404, 416, 422)


class SweepReceiver(Protocol):
    """Who begins sweeps: what is known of a listing from one to the next, and what follows from how one ended.

    Attributes:
        stats: What the walks have told.
        found_on: How far back in the completed list the last search found something of ours.
        found: How many it found there.
        finds_all: Whether its items were enough for all that the last search was for.
    """

    stats: ListingStats
    found_on: int
    found: int
    finds_all: bool

    def over(self, poller: Poller) -> float:
        """Note that a sweep is over, whatever came of it, and return when the next one is due."""
        ...

    def failed(self, poller: Poller, jobs: Sequence[PolledJob], error: NeuralBoxError, began: float) -> None:
        """Take account of an error that ended it before these jobs were shown."""
        ...

    def walked(self, poller: Poller, *, ours: int, others: int, absent: Sequence[PolledJob]) -> None:
        """Take account of a whole walk."""
        ...

    def read(self, poller: Poller, *, found: int, absent: Sequence[PolledJob]) -> None:
        """Take account of newest pages that were read sparingly."""
        ...

    def too_long(self, poller: Poller) -> None:
        """Note that the list has more pages than there are jobs to ask about."""
        ...


class _SweepEnd(Enum):
    """How a sweep ended, where no error ended it."""

    CUT_OFF = "cut off"
    """Whoever walked has left: what it was for is due now."""
    NEWEST_READ = "newest read"
    """The newest pages of the whole history were read: what they do not show has not ended, or is not listed yet."""
    WALKED = "walked"
    """All that still runs was shown: the rest has ended, or is not listed yet."""
    SEARCHED = "searched"
    """What has ended was searched for: the rest is asked about with the next sweep."""
    TOO_LONG = "too long"
    """The list has more pages than there are jobs to ask about."""


_ENDS: Final[Mapping[WalkStep, _SweepEnd]] = {
    WalkStep.COMPLETE: _SweepEnd.WALKED,
    WalkStep.TOO_LONG: _SweepEnd.TOO_LONG,
}


class Sweep:
    """One walk over the pending pages, for so many jobs.

    Args:
        planner: Whom to report to.
        poller: Whom to publish to.
        jobs: What it is for; it polls them until it is over.
        seconds: Until the sweep after it.
        by_ends: Whether the completed list is read in place of the pending one, where its items are answers.
        sparing: Whether the newest pages of the whole history are read in place of both, since requests are scarce.

    Attributes:
        waiting: What came due meanwhile (a walk may take a minute with many), and waits for the end of it.
    """

    def __init__(
        self,
        planner: SweepReceiver,
        poller: Poller,
        jobs: Sequence[PolledJob],
        seconds: float,
        *,
        by_ends: bool = False,
        sparing: bool = False,
    ) -> None:
        self.waiting: list[PolledJob] = []
        self._planner = planner
        self._poller = poller
        self._jobs = jobs
        self._seconds = seconds
        self._by_ends = by_ends
        self._sparing = sparing
        self._began = poller.clock()
        self._ours = self._others = 0
        self._last_ends: tuple[str, str] | None = None
        self._ignores_page = False
        self._end = _SweepEnd.CUT_OFF
        self._error: NeuralBoxError | None = None
        self._waiting_until: float | None = None

    def put_off(self, job: PolledJob, now: float) -> None:
        """Make a job due when the walk is over, and in any case after a time."""
        if self._waiting_until is None or now >= self._waiting_until:
            self._waiting_until = now + _LONGEST_WALK
            self.waiting.clear()  # they are due again
        self._poller.reschedule(job, self._waiting_until)
        self.waiting.append(job)

    def drop(self) -> None:
        for job in self._close():
            self._poller.requeue(job)

    def _close(self) -> list[PolledJob]:
        """End it: what came due meanwhile is due now, or at the next turn; return what it brought no answer about."""
        poller = self._poller
        rest = poller.take_back(self, self._jobs)
        turn = self._planner.over(poller)
        for job in self.waiting:
            if job.poll_at == self._waiting_until and job.state is JobState.SCHEDULED:
                poller.reschedule(job, turn)
        return rest

    async def __call__(self, waiter: Waiter) -> None:
        poller, planner = self._poller, self._planner
        self._began = began = poller.clock()
        limit: AbstractContextManager[Any] = nullcontext()
        if waiter.deadline is not None:
            limit = anyio.move_on_after(max(0.0, waiter.deadline + GRACE - began))
        try:
            with limit:
                core = poller.for_one_attempt(waiter.core)
                await self._read(core)
        finally:
            rest = self._close()
            if self._error is not None:
                planner.failed(poller, rest, self._error, began)
            elif self._end is _SweepEnd.NEWEST_READ:
                poller.answered(began)
                planner.read(poller, found=self._ours, absent=rest)
            elif self._end is _SweepEnd.WALKED:
                poller.answered(began)
                planner.walked(poller, ours=self._ours, others=self._others, absent=rest)
            elif self._end is _SweepEnd.TOO_LONG:
                planner.too_long(poller)
                for job in rest:
                    poller.reschedule(job, poller.now() + poller.spread(job))
            elif self._end is _SweepEnd.SEARCHED:
                for job in rest:
                    poller.reschedule(job, began + self._seconds)
            else:
                for job in rest:
                    poller.reschedule(job, poller.now())  # for whoever leads next

    async def _read(self, core: Core) -> None:
        """Read what this sweep is to read, as far as it comes."""
        takes_items, service = core.options.polling.detail != "status", core.options.service
        if self._sparing:
            if await self._read_newest(core):
                self._end = _SweepEnd.NEWEST_READ
        elif not service.listing.has_states:
            self._end = await self._walk_whole(core, takes_items=takes_items)
        elif self._by_ends and takes_items:
            await self._search(core)
            self._end = _SweepEnd.SEARCHED
        else:
            self._end = await self._walk(core)
            if takes_items and self._end is _SweepEnd.WALKED:
                await self._search(core)

    # The pending pages, the last first...

    async def _walk(self, core: Core) -> _SweepEnd:
        """Walk through them."""
        planner = self._planner
        walk = begin_walk(planner.stats, total=len(self._poller.jobs), jobs=len(self._jobs))
        while walk.pages and self._error is None:
            if walk.step is WalkStep.BACKWARD:
                await self._read_backward(core, walk.pages)
                walk = walk.after_all(ignores_page=self._ignores_page)
                continue
            (number,) = walk.pages
            page = await self._ask(core, number)
            if page is None:
                walk = self._without_page(walk)
                continue
            self._take(page)
            ids = frozenset[str]()
            if page.pages is None:
                ids = frozenset(read_item(record)[0] for record in page.records)
                planner.stats = replace(planner.stats, counted=False)
            walk = walk.after_page(number, page.pages, len(page.records), ids)
        return _ENDS.get(walk.step, _SweepEnd.CUT_OFF)

    def _without_page(self, walk: ListingWalk) -> ListingWalk:
        """Go on without a page that was not answered, where that is because there is none; else the error stays."""
        instead, error = walk.without_page(), self._error
        if instead is None or not isinstance(error, APIStatusError) or error.status_code not in _NO_SUCH_PAGE:
            return walk
        self._error = None
        return instead

    async def _read_backward(self, core: Core, numbers: Sequence[int]) -> None:
        left = deque(numbers)

        async def read() -> None:
            while left and self._error is None and not self._ignores_page:
                page = await self._ask(core, left.popleft())
                if page is not None:
                    self._take(page)

        async with anyio.create_task_group() as group:
            for _ in range(walkers(len(left))):
                group.start_soon(read)

    def _take(self, page: Envelope) -> None:
        # Two pages that begin and end alike are one page that was shown twice, whatever was asked for.
        records = page.records
        ends = (read_item(records[0])[0], read_item(records[-1])[0]) if records else None
        self._ignores_page = self._ignores_page or (ends is not None and ends == self._last_ends)
        self._last_ends = ends
        poller, began, seconds = self._poller, self._began, self._seconds
        for record in page.records:
            key, said = read_item(record)
            job = poller.find(key)
            if job is None:
                self._others += 1
            elif said.status not in words.FINAL_STATES:  # a list that ignores the filter: ask the job itself
                self._ours += 1
                job.absence = PRESENT
                if job.polled_by is self:
                    poller.take_listed(job, said, began, seconds)

    # ... or the whole list, where the service knows no other, the newest first...

    async def _walk_whole(self, core: Core, *, takes_items: bool) -> _SweepEnd:
        """Read it until all that is asked about was shown, as far back as that is likely; what has ended is polled."""
        planner, rewrite = self._planner, core.options.service.listing.rewrite
        wanted = self._wanted()
        likely = planner.stats.pages(len(self._poller.jobs))
        search, deepest = begin_search(len(wanted), planner.found_on), 1

        def take(job: PolledJob, record: Mapping[str, Any]) -> None:
            said = read_item(record if rewrite is None else rewrite(record))[1]
            if said.status not in words.FINAL_STATES:
                self._ours += 1
                job.absence = PRESENT
                self._poller.take_listed(job, said, self._began, self._seconds)
            elif takes_items:
                self._accept(core, job, record)

        while search.pages and wanted and self._error is None:
            if search.pages.start > len(self._jobs):
                return _SweepEnd.TOO_LONG
            found_on, _ = await self._read_pages(core, search.pages, None, wanted, take)
            deepest = max(deepest, found_on or 1)
            search = search.after(found=found_on is not None, wanted=len(wanted), pages=max(likely, search.pages.stop))
        planner.found_on = deepest
        return _SweepEnd.WALKED

    def _wanted(self) -> dict[str, PolledJob]:
        """Return what nothing was heard of in this sweep, by id as text."""
        return {str(job.ref.id): job for job in self._jobs if job.polled_by is self and job.waiters}

    # ... or the completed ones, the newest first...

    async def _search(self, core: Core) -> None:
        """Read them as far back as there is something of ours; a poll of each is for the rest."""
        detail, planner, poller = core.options.polling.detail, self._planner, self._poller
        gone = [*self._wanted().values()]
        if detail == "listing":
            wanted = gone
        else:
            wanted = [job for job in gone if job.needs_result_only or poller.fields.may_be_whole(kind_and_model(job))]
        if gone:
            planner.finds_all = len(wanted) == len(gone)
        by_id = {str(job.ref.id): job for job in wanted}
        # All that a walk did not show have ended; where there was none, about as many as the last time.
        expected = planner.found if self._by_ends else len(by_id)
        search, deepest, all_wanted = begin_search(len(by_id), planner.found_on), 0, len(by_id)
        while search.pages and len(by_id) > 1 and self._error is None:
            found_on, pages = await self._read_pages(
                core, search.pages, words.COMPLETED, by_id, partial(self._accept, core)
            )
            deepest = max(deepest, found_on or 0)
            left = expected - (all_wanted - len(by_id))
            search = search.after(found=found_on is not None, wanted=left, pages=pages)
        planner.found = all_wanted - len(by_id)
        if deepest:
            planner.found_on = deepest

    async def _read_pages(
        self,
        core: Core,
        numbers: Sequence[int],
        state: str | None,
        wanted: dict[str, PolledJob],
        take: Callable[[PolledJob, Mapping[str, Any]], None],
    ) -> tuple[int | None, int | None]:
        """Read pages at once; return the last that had something wanted, and how many there are."""
        found_on: int | None = None
        pages: int | None = None
        rewrite = core.options.service.listing.rewrite

        async def read(number: int) -> None:
            nonlocal found_on, pages
            page = await self._ask(core, number, state)
            if page is None:
                return
            pages, others = page.pages, 0
            for record in page.records:
                job = wanted.pop(read_item(record if rewrite is None else rewrite(record))[0], None)
                if job is None:
                    others += 1
                else:
                    found_on = max(number, found_on or 0)
                    take(job, record)
            if state is None:
                self._others += others

        if len(numbers) == 1:
            await read(numbers[0])
            return found_on, pages
        async with anyio.create_task_group() as group:
            for number in numbers:
                group.start_soon(read, number)
        return found_on, pages

    def _accept(self, core: Core, job: PolledJob, record: Mapping[str, Any]) -> None:
        """Take an item for the result where it is enough; what it lacks, the job's own answer has."""
        poller, of, service = self._poller, kind_and_model(job), core.options.service
        item = service.read(record, kind=of[0], asked_id=job.ref.id)
        if item.is_completed:
            poller.fields.saw_item(of, item)
            changes: dict[str, object] = {"is_partial": poller.fields.is_partial(of, item)}
            item = item.model_copy(update=changes if item.model is not None else {**changes, "model": of[1]})
        is_result = item.is_completed and bool(item.url or item.text) and service.charge(item) is not None
        detail, result_only = core.options.polling.detail, job.needs_result_only
        if is_result and is_enough(item, detail=detail, needs_result_only=result_only, scarce=self._sparing):
            job.polled_by = None
            poller.publish(job, item, is_late=self._sparing)
        elif self._sparing:  # it has ended, and nothing cheaper tells how
            job.absence = CONFIRM

    # ... or the newest of all.

    async def _read_newest(self, core: Core) -> bool:
        """Read pages until all that are old enough to be listed were seen, or nothing more of ours comes; False if one fails."""
        wanted = self._wanted()
        rewrite = core.options.service.listing.rewrite
        number, goes_on = 0, True
        while goes_on:
            number += 1
            page = await self._ask(core, number, None)
            if page is not None and self._poller.reads.is_unknown:
                page = await self._ask(core, number, None)
            if page is None:
                return False
            found = 0
            for record in page.records:
                key, said = read_item(record if rewrite is None else rewrite(record))
                job = wanted.pop(key, None)
                if job is None or not job.waiters:  # somebody else's, or nobody waits for it any more
                    continue
                found += 1
                job.absence = PRESENT
                if said.status in words.FINAL_STATES:
                    self._accept(core, job, record)
                else:
                    self._poller.take_listed(job, said, self._began, self._seconds)
            self._ours += found
            self._poller.reads.pages = number
            is_last = not page.records or (page.pages is not None and number >= page.pages)
            goes_on = not is_last and (found > 0 or number == 1) and self._misses(wanted.values())
        return True

    def _misses(self, jobs: Collection[PolledJob]) -> bool:
        """Whether any of some jobs is old enough to be listed."""
        return any(self._began - job.since >= LISTED_WITHIN for job in jobs)

    async def _ask(self, core: Core, number: int, status: str | None = words.PENDING) -> Envelope | None:
        """Ask for a page, of one status or of all; None when that fails, and `_error` says why."""
        began, listing = self._poller.clock(), core.options.service.listing

        def read(reply: Reply) -> Envelope:
            self._poller.note_headers(reply.headers, began)
            return listing.read_page(core.as_json(reply), number, reply.status_code)

        try:
            return await core.send(listing.request(number, status), read)
        except (APIConnectionError, ProtocolError, APIStatusError) as error:
            self._error = error
            return None

"""Sweeps: when one listing is cheaper than many polls, which pages are asked for, and what an item says. Pure.

A sweep walks the pending pages of the history. What it lists still runs; what it does not list has ended, or is listed
late, or nowhere: that costs one poll to find out. So a sweep of `jobs` takes its pages and a poll for each that is
gone, where polls take one for each job, gone or not. How many pages there are is said by the first answer; before
that it is expected from what the last walk found of others.

The pause between two sweeps of many is a little shorter than that between two polls of one job, since it is no single
job that is asked about. With a pause of P seconds full pages cost `1/P` requests per job of 20-180 s, two more are the
submission and the last poll; latency is P/2 in the middle, plus the answers. The objective is the fewest requests with
which half of the jobs are found within 2.5 s and 95 % within 5 s (an answer taking 0.1 s). In
`python -m benchmarks.simulate_waiting --schedule` 4 s is the longest pause that does it (1,000 jobs: 2.3 requests, 2.4
and 4.2 s); 3 s would buy 0.4 s for 0.1 requests a job. Few jobs share the price of a page, so that they are asked about
less often, within 2.8 and 5.5 s.

A walk is a value, `ListingWalk`, that says which pages to ask for next; what their answers make of it is the next value:

    step        what came                                           next
    probe       there is no such page: page 1 instead               probe
    probe       a page that says how many there are, few enough     backward
    probe       a page that says how many there are, too many       too long
    probe       page 1 of a list that does not say it: page 2 next  forward
    probe       a later page of such a list: page 1 next            forward
    probe       the only page there is                              complete
    backward    all that were left                                  complete
    backward    the same page again, whatever was asked for         too long
    forward     a page, and there may be more                       forward
    forward     nothing new                                         complete
    forward     more pages than there are jobs to ask about         too long

Who walks, and what an answer is worth, is the business of `_polling.listing`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from typing import Any

from .._api import vocabulary as words
from .._api.fields import as_id, as_text, pick
from .._api.pages import walk_goes_on

WALKERS = 32
"""Pages of one walk under way at once, at most."""
LOST_AFTER = 2
"""A job that so many walks in a row did not show, though its own status says pending, is asked one by one."""
UNLISTED_AFTER = 3
"""None of our jobs was ever listed, and one was missing from so many walks: the history is another id space."""

_PAUSE = 0.8  # in shortest pauses of polls
_MANY = 30
_AGING = 25.0  # as the polls of an old job
_PAGES_A_WALKER = 4
_ALONE = 60.0
_CAREFUL = 4
_HEAVIER = 0.75  # how much of what was measured before is kept


@dataclass(frozen=True, slots=True)
class ListingStats:
    """What the walks so far have told of the pending list.

    Attributes:
        others: Items of others in it, at the last walk.
        finished_share: Share of our jobs that had left it since the walk before.
        hits: Whether any of our jobs was ever listed.
        counted: Whether it says how many pages it has.
    """

    others: int = 0
    finished_share: float = 0.05
    hits: bool = False
    counted: bool = True

    def after_walk(self, *, ours: int, others: int, absent: int) -> ListingStats:
        """Take account of a whole walk: items of ours and of others, and how many of ours were not there."""
        share = absent / max(1, ours + absent)
        finished_share = _HEAVIER * self.finished_share + (1 - _HEAVIER) * share
        return replace(self, others=others, finished_share=finished_share, hits=self.hits or ours > 0)

    def pages(self, jobs: int) -> int:
        """How many pages are expected with so many jobs of ours in the list."""
        return pages_of(self.others + jobs)


NOTHING_MEASURED = ListingStats()


def pages_of(items: int) -> int:
    """How many pages so many items fill; an empty list has one."""
    return max(1, -(-items // words.MAX_PAGE_SIZE))


def is_worth_it(*, jobs: int, pages: int, finished_share: float) -> bool:
    """Decide whether a sweep is expected to take fewer requests than a poll of each job.

    Args:
        jobs: How many jobs are to be asked about now or before the next sweep could be.
        pages: How many pages have to be walked.
        finished_share: Share of the jobs expected to be missing from them; each costs a poll.
    """
    return pages + finished_share * jobs < jobs


def pages_left(asked: int, pages: int) -> Sequence[int]:
    """Return the pages a walk still has to ask for, the last first, after the one it began with.

    Whichever way the list is ordered, an item that leaves it moves those behind it forward, to pages that this walk
    has yet to come to.
    """
    return [page for page in range(pages, 0, -1) if page != asked]


def walkers(pages: int) -> int:
    """How many pages are asked for at once: one after the other while they are few."""
    return min(WALKERS, -(-pages // _PAGES_A_WALKER))


def pause(jobs: int, min_interval: float) -> float:
    """Return the seconds between the starts of two sweeps: a little more while few share the price of one."""
    return min_interval if jobs < _MANY else _PAUSE * min_interval


def next_turn(age: float, pause: float, max_interval: float) -> float:
    """Return the seconds until a job that was just listed should be asked about again, by the next sweep or alone."""
    # Half a pause early, so that it goes along with the sweep that is nearest to its time.
    return max(pause, min(age / _AGING, max_interval) - pause / 2)


def alone_for(absent: int) -> float:
    """Return the seconds for which a job that was missing from so many walks in a row is polled by itself."""
    return 0.0 if absent < LOST_AFTER else _ALONE * 2.0 ** min(absent - LOST_AFTER, 6)


@dataclass(frozen=True, slots=True)
class Absence:
    """How a job was missing from listings.

    Attributes:
        walks: How many walks in a row did not show it.
        confirm: Whether it is polled by itself once, to see whether it has ended.
        alone_until: Until when it is polled by itself, by the clock, since it is missing though it runs; or None.
    """

    walks: int = 0
    confirm: bool = False
    alone_until: float | None = None

    def is_alone(self, now: float) -> bool:
        """Whether sweeps are not to ask about it."""
        return self.confirm or (self.alone_until is not None and self.alone_until > now)

    def once_more(self, now: float) -> Absence:
        """Return what follows when one more walk did not show it."""
        alone = alone_for(self.walks + 1)
        return Absence(self.walks + 1, confirm=not alone, alone_until=now + alone if alone else None)

    def confirmed(self) -> Absence:
        """Return what follows when it was polled by itself."""
        return replace(self, confirm=False)


PRESENT = Absence()
CONFIRM = Absence(confirm=True)
"""It has ended, and its own answer is to say how."""


# A walk over the pending pages...


class WalkStep(Enum):
    """What a walk is about, as the table above tells."""

    PROBE = "probe"
    BACKWARD = "backward"
    FORWARD = "forward"
    COMPLETE = "complete"
    TOO_LONG = "too long"


@dataclass(frozen=True, slots=True)
class ListingWalk:
    """How far a walk has come.

    Attributes:
        jobs: How many jobs are asked about.
        finished_share: Share of them expected to be missing.
        step: What it is about.
        pages: The pages to ask for next, the first first; in any number at once where it goes backward.
        seen: The ids it was shown, where it goes forward.
    """

    jobs: int
    finished_share: float
    step: WalkStep
    pages: Sequence[int]
    seen: frozenset[str] = frozenset()

    def without_page(self) -> ListingWalk | None:
        """Return what follows when the service says that there is no page as the one probed; None where there is no way on."""
        if self.step is WalkStep.PROBE and self.pages[0] > 1:
            return replace(self, pages=(1,))
        return None

    def after_page(self, number: int, pages: int | None, count: int, ids: frozenset[str]) -> ListingWalk:
        """Return what follows a page that was probed, or asked for on the way forward.

        Args:
            number: The page's.
            pages: How many there are, as it says, or None.
            count: How many items it has.
            ids: Their ids.
        """
        if pages is not None and self.step is WalkStep.PROBE:
            if not is_worth_it(jobs=self.jobs, pages=pages, finished_share=self.finished_share):
                return replace(self, step=WalkStep.TOO_LONG, pages=())
            left = pages_left(number, pages)
            return replace(self, step=WalkStep.BACKWARD if left else WalkStep.COMPLETE, pages=left)
        if self.step is WalkStep.PROBE and number > 1:
            return replace(self, step=WalkStep.FORWARD, pages=(1,))
        if not walk_goes_on(asked=number, count=count, fresh=len(ids - self.seen), pages=None):
            return replace(self, step=WalkStep.COMPLETE, pages=())
        if number >= self.jobs:
            return replace(self, step=WalkStep.TOO_LONG, pages=())
        return replace(self, step=WalkStep.FORWARD, pages=(number + 1,), seen=self.seen | ids)

    def after_all(self, *, ignores_page: bool = False) -> ListingWalk:
        """Return what follows when all pages on the way backward were read, or the list showed one page twice."""
        return replace(self, step=WalkStep.TOO_LONG if ignores_page else WalkStep.COMPLETE, pages=())


def begin_walk(stats: ListingStats, *, total: int, jobs: int) -> ListingWalk:
    """Return a walk that begins: with the page that should be the last, which also tells how many there are.

    Args:
        stats: What earlier walks have told.
        total: How many jobs of ours are waited for.
        jobs: How many of them are asked about.
    """
    first = stats.pages(total) if stats.counted else 1
    return ListingWalk(jobs, stats.finished_share, WalkStep.PROBE, (first,))


# ... or a search among the completed ones, the newest first.


@dataclass(frozen=True, slots=True)
class Search:
    """How far a search has come: the first page by itself, then those that were needed the last time, in two steps.

    What ends is anywhere among the jobs that were made with it, so a page without anything of ours is no reason to stop
    short of where the last search found something, as long as more is wanted than there are pages up to there.

    Attributes:
        pages: The pages to ask for next, all at once; none where it is over.
        at_once: How many are asked for at once after the first.
        depth: The last page that had something of ours in the search before.
    """

    pages: range
    at_once: int
    depth: int = 1

    def after(self, *, found: bool, wanted: int, pages: int | None) -> Search:
        """Return what follows the pages asked for.

        Args:
            found: Whether any of them had something of ours.
            wanted: How many jobs are still expected to be found.
            pages: How many pages there are, as they say, or None.
        """
        first = self.pages.stop
        up_to_depth = self.depth + 1 - first
        if not found and not 0 < up_to_depth <= wanted:
            return replace(self, pages=range(0))
        # Beyond what is known they are read with more care: each may be one too many.
        many = min(self.at_once, up_to_depth) if up_to_depth > 0 else max(1, self.at_once // _CAREFUL)
        last = first + many - 1
        return replace(self, pages=range(first, (last if pages is None else min(last, pages)) + 1))


def begin_search(wanted: int, depth: int) -> Search:
    """Return a search for so many jobs, of which the last found something up to that page."""
    # What is wanted fills so many pages at least; a quarter of them at once is never too many.
    at_once = max(depth // 2, wanted // words.MAX_PAGE_SIZE // 4)
    return Search(range(1, 2), min(WALKERS, max(1, at_once)), depth)


# What an item says.


@dataclass(frozen=True, slots=True)
class ListedJob:
    """What an item of the pending list says, less its id; `read_item` has one object for all that say the same."""

    status: str
    kind: str | None = None
    model: str | None = None


def read_item(record: Mapping[str, Any]) -> tuple[str, ListedJob]:
    """Read an item of the list: its id as text (C1), "" where it has none, and what it says.

    What the list says of a pending job is that it is there; an item without a status is taken at that.
    """
    identity = as_id(pick(record, _ID))
    status = as_text(record.get("status")) or words.PENDING
    return "" if identity is None else str(identity), _listed(
        status, as_text(pick(record, _KIND)), as_text(pick(record, _MODEL))
    )


_ID, _KIND, _MODEL = words.ALIASES["id"], words.ALIASES["kind"], words.ALIASES["model"]


@lru_cache(maxsize=256)  # of a million items nearly all say the same, and keep what they say in one place
def _listed(status: str, kind: str | None, model: str | None) -> ListedJob:
    return ListedJob(status.strip().lower(), kind, model)

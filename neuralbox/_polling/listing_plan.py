"""Sweeps: when one listing is cheaper than many looks, which pages are asked for, and what an item says. Pure.

A sweep walks the pending pages of the history. What it lists still runs; what it does not list has ended, or is listed
late, or nowhere: that costs one look to find out. So a sweep of `jobs` takes its pages and a look for each that is
gone, where looks take one for each job, gone or not. How many pages there are is said by the first answer; before
that it is expected from what the last walk found of others.

The pause between two sweeps of many is a little shorter than that between two looks at one job, since it is no single
job that is asked about. With a pause of P seconds full pages cost `1/P` requests per job of 20-180 s, two more are the
submission and the last look; latency is P/2 in the middle, plus the answers. The objective is the fewest requests with
which half of the jobs are found within 2.5 s and 95 % within 5 s (an answer taking 0.1 s). In
`python -m benchmarks.simulate_waiting --schedule` 4 s is the longest pause that does it (1,000 jobs: 2.3 requests, 2.4
and 4.2 s); 3 s would buy 0.4 s for 0.1 requests a job. Few jobs share the price of a page, so that they are asked about
less often, within 2.8 and 5.5 s.

Who walks, and what an answer is worth, is the business of `_polling.listing`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from .._api import vocabulary as words
from .._api.fields import as_id, as_text, pick

WALKERS = 32
"""Pages of one walk under way at once, at most."""
LOST_AFTER = 2
"""A job that so many walks in a row did not show, though its own status says pending, is asked one by one."""
UNLISTED_AFTER = 3
"""None of our jobs was ever listed, and one was missing from so many walks: the history is another id space."""

_PAUSE = 0.8  # in shortest pauses of looks
_MANY = 30
_AGING = 25.0  # as the looks at an old job
_PAGES_A_WALKER = 4
_ALONE = 60.0
_HEAVIER = 0.75  # how much of what was measured before is kept


@dataclass(frozen=True, slots=True)
class ListingStats:
    """What the walks so far have told of the pending list.

    Attributes:
        others: Items of others in it, at the last walk.
        gone: Share of our jobs that had left it since the walk before.
        hits: Whether any of our jobs was ever listed.
        counted: Whether it says how many pages it has.
    """

    others: int = 0
    finished_share: float = 0.05
    hits: bool = False
    counted: bool = True

    def after_walk(self, *, ours: int, others: int, gone: int) -> ListingStats:
        """Take account of a whole walk: items of ours and of others, and how many of ours were not there."""
        share = gone / max(1, ours + gone)
        gone_share = _HEAVIER * self.finished_share + (1 - _HEAVIER) * share
        return replace(self, others=others, finished_share=gone_share, hits=self.hits or ours > 0)

    def pages(self, jobs: int) -> int:
        """How many pages are expected with so many jobs of ours in the list."""
        return pages_of(self.others + jobs)


NOTHING_MEASURED = ListingStats()


def pages_of(items: int) -> int:
    """How many pages so many items fill; an empty list has one."""
    return max(1, -(-items // words.MAX_PAGE_SIZE))


def is_worth_it(*, jobs: int, pages: int, gone: float) -> bool:
    """Decide whether a sweep is expected to take fewer requests than a look at each job.

    Args:
        jobs: How many jobs are to be asked about now or before the next sweep could be.
        pages: How many pages have to be walked.
        gone: Share of the jobs expected to be missing from them; each costs a look.
    """
    return pages + gone * jobs < jobs


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
    """Return the seconds for which a job that was missing from so many walks in a row is asked one by one."""
    return 0.0 if absent < LOST_AFTER else _ALONE * 2.0 ** min(absent - LOST_AFTER, 6)


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

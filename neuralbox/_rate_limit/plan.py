"""What the requests that a plan's windows still allow are spent on, where reads count against them. Pure.

A finished job costs its submission and its share of the reads that find it, so where submissions wait for their turn the reads
decide how many there are. A page of the listing answers for a hundred jobs; it is read when it is worth its request:

- as soon as it is expected to find enough jobs that have ended (`WORTH` where callers wait for each; for those that wait for
  many, such as a batch, a third of what an hour allows, and nearly all that are out);
- at the latest so long after the first of them has ended that such pages take no more than a small share of the window;
- earlier, where requests are to spare: what is left beyond the submissions still to come is spent so that it falls by half
  rather than to nothing, the fewer are left the more slowly.

What submissions are still to come is told by those that wait for their turn, else by how many came lately, from here and
from others on the account. Whether reads count at all is learnt from the numbers (`ReadsSeen`). The functions see no
account but an `Allowance`: plain numbers, so that a share of an account's windows may stand in its place.

Times are seconds of a clock that cannot be set; the functions are given `now`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, exp, inf, sqrt

from .windows import ASK_AGAIN_AFTER, HOUR, Window, Windows, reserve_of

WORTH = 7.5
"""Ended jobs for which a page is read where callers wait for each: 13 of a hundred requests, at most."""
_AGE_SHARE = 0.12  # of an hour's requests for pages that are read because an ended job has waited long enough
_PATIENT_WORTH = 0.35  # of an hour's requests, for those who wait for many
_PATIENT_AGE_SHARE = 0.015
_NEARLY_ALL = 0.9
_HORIZON = (
    1 / 6
)  # of a window, over which what is to spare is spent: of an hour, about as long as the longest job takes
_WORKING_DAY = 8.0  # hours in which a day's requests are used up
_FORESIGHT = 4 * HOUR  # how far ahead the demand of now is believed

_MEMORY = 1_800.0  # seconds after which a submission says little about those to come
_SUPPOSED = 0.75  # of what the hour allows: the demand that is supposed while little is known
_SUPPOSED_FOR = 120.0  # seconds that this weighs
_FALLS = 3
_SURE_AFTER = 5  # falls in a row: where other processes send too, a few requests of theirs look like reads that count


@dataclass(frozen=True, slots=True)
class Share:
    """What one window still allows.

    Attributes:
        limit: Requests it has.
        remaining: How many are left.
        ends_in: Seconds until it is renewed; None where nobody knows.
        length: Seconds it lasts.
        ask_in: Seconds until it is worth asking whether it was renewed, where nobody knows.
    """

    limit: int
    remaining: int
    ends_in: float | None = None
    length: float = HOUR
    ask_in: float = ASK_AGAIN_AFTER

    @property
    def left(self) -> int:
        """How many are left without the reserve."""
        return self.remaining - reserve_of(self.limit)

    @property
    def seconds(self) -> float:
        """Seconds until it is renewed, at most."""
        return self.length if self.ends_in is None else min(max(0.0, self.ends_in), self.length)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may be spent, and what is known of the spending. Plain numbers.

    Attributes:
        windows: What each window allows; none where there is no limit, or nobody has said one.
        reads_count: Whether reads use it up; None while nobody knows.
        demand: Submissions an hour that are expected; infinite where some wait for their turn.
    """

    windows: tuple[Share, ...] = ()
    reads_count: bool | None = None
    demand: float = 0.0

    @property
    def is_metered(self) -> bool:
        """Whether a read may cost something."""
        return self.reads_count is not False and bool(self.windows)

    @property
    def reads_left(self) -> float:
        """How many reads there are, if nothing else is asked."""
        return min((window.left for window in self.windows), default=inf)

    @property
    def pace(self) -> float:
        """Requests an hour, where a window is worked off at once."""
        return min((share.limit / min(share.length / HOUR, _WORKING_DAY) for share in self.windows), default=inf)

    @property
    def opens_in(self) -> float:
        """Seconds until all that is used up is renewed; where nobody knows, until it is worth asking."""
        closed = [share.ask_in if share.ends_in is None else share.seconds for share in self.windows if share.left < 1]
        return max(0.0, *closed) if closed else 0.0


def allowance_of(windows: Windows, *, clock: float, reads_count: bool | None, demand: float) -> Allowance:
    """Return what an account's windows allow."""

    def share(window: Window | None, length: float) -> tuple[Share, ...]:
        if window is None:
            return ()
        ends_in = None if window.ends_at is None else window.ends_at - clock
        return (Share(window.limit, window.remaining, ends_in, length, windows.noted_at + ASK_AGAIN_AFTER - clock),)

    return Allowance((*share(windows.hour, HOUR), *share(windows.day, 24 * HOUR)), reads_count, demand)


# Reads...


def spare(allowance: Allowance) -> float:
    """Return how many requests are left beyond the reserve and the submissions to come."""
    return min((_spare(share, allowance.demand) for share in allowance.windows), default=inf)


def _spare(share: Share, demand: float) -> float:
    seconds = min(share.seconds, _FORESIGHT)
    to_come = demand * seconds / HOUR if seconds else 0.0
    return share.left - to_come - (2 * sqrt(to_come) if to_come < inf else 0.0)  # some hours bring more than others


def pause_between_reads(allowance: Allowance) -> float:
    """Return the seconds over which one of the requests to spare is spent; infinite where there is none."""
    pause = 0.0
    for share in allowance.windows:
        beyond = _spare(share, allowance.demand)
        pause = max(pause, min(share.seconds, share.length * _HORIZON) / beyond if beyond > 0 else inf)
    return pause


def is_scarce(allowance: Allowance, jobs: int) -> bool:
    """Decide whether so many jobs, polled as if requests were free, could use up what others need."""
    return allowance.is_metered and spare(allowance) < min(16 * jobs, 3 * jobs + 60)


@dataclass(frozen=True, slots=True)
class Due:
    """What is known of the jobs that are waited for.

    Attributes:
        ends: When each may end, by the clock, in order.
        earliest: When the first may have ended at the soonest.
        patient: Whether nobody waits for one by itself.
        pages: Pages that have to be read to find all.
    """

    ends: Sequence[float]
    earliest: float
    patient: bool = False
    pages: int = 1


def next_read(allowance: Allowance, due: Due, *, now: float, last_read: float) -> float:
    """Return when the listing is to be read, where requests are scarce; a time that has passed is now.

    Args:
        allowance: What may be spent.
        due: Who is waited for, at least one.
        now: The clock.
        last_read: When it was read last.
    """
    if allowance.reads_count is None and last_read == -inf:
        return now  # one read tells whether they count
    if allowance.reads_left < 1:
        return now + allowance.opens_in
    ends, pages = due.ends, due.pages
    worth = _PATIENT_WORTH * allowance.pace if due.patient else WORTH * pages
    if due.patient:
        worth = max(worth, _NEARLY_ALL * len(ends))
    # Those that are left over have to be found by what is left.
    place = ceil(max(worth, len(ends) * min(1.0, pages / allowance.reads_left)))
    age = latest_age(allowance, patient=due.patient)
    at = ends[0] + age * pages
    if len(ends) >= place:
        at = min(at, ends[place - 1])
    return min(at, max(last_read + pages * pause_between_reads(allowance), due.earliest))


def latest_age(allowance: Allowance, *, patient: bool) -> float:
    """Return the seconds after which an ended job is found whatever it costs: a small share of the window."""
    return min(HOUR, HOUR / max(1.0, (_PATIENT_AGE_SHARE if patient else _AGE_SHARE) * allowance.pace))


# ... and what they leave to submissions.


@dataclass(frozen=True, slots=True)
class Outstanding:
    """How many jobs are waited for.

    Attributes:
        jobs: All.
        awaited: Those of which one's end is waited for by itself.
        asks_each: Whether each needs a request of its own in the end.
    """

    jobs: int = 0
    awaited: int = 0
    asks_each: bool = False


def set_aside_for_reads(allowance: Allowance, outstanding: Outstanding) -> int:
    """Return how many requests are kept for finding the jobs that are out."""
    if not outstanding.jobs or not allowance.windows:
        return 0
    seconds = min(share.seconds for share in allowance.windows)
    patient = not outstanding.awaited
    pages = 1 + int(seconds / latest_age(allowance, patient=patient))
    if not patient:
        pages = min(pages, ceil(outstanding.jobs / WORTH))
    return pages + (outstanding.jobs if outstanding.asks_each else 0)


def cost_of_submission(allowance: Allowance, outstanding: Outstanding, *, patient: bool) -> float:
    """Return what a submission takes in requests: itself, and its share of a page (or a read of its own)."""
    own = 1.0 if outstanding.asks_each else 0.0
    if patient:
        return 1.0 + own
    seconds = min((share.seconds for share in allowance.windows), default=0.0)
    # At the end of a window it is found by the first page of the next one, which is read anyway.
    return 1.0 + own + (1 / WORTH if seconds > latest_age(allowance, patient=False) else 0.0)


# What is learnt.


@dataclass(frozen=True, slots=True)
class ReadsSeen:
    """Whether reads count, as far as the numbers have told.

    Attributes:
        counted: Whether they do; None while nobody knows.
        falls: How many reads in a row were followed by a smaller number.
    """

    counted: bool | None = None
    falls: int = 0

    def after(self, fell: int, *, is_shared: bool = False) -> ReadsSeen:
        """Take account of a read between two answers, while nothing else of ours was under way.

        Args:
            fell: By how much the number of requests left fell. Where it stands still reads are free. Where it falls they
                count, or another program has sent something: three times in a row, they count. A number that rises says
                nothing.
            is_shared: Whether other processes are known to send too: then the first fall alone says nothing, and three
                are nothing against one number that stood still.
        """
        if fell < 0:
            return self
        if fell == 0:
            return ReadsSeen(counted=False)
        if self.counted is None:
            needed = 2 if is_shared else 1
        else:
            needed = _SURE_AFTER if is_shared else _FALLS
        falls = min(self.falls + 1, _SURE_AFTER)
        return ReadsSeen(counted=True if falls >= needed else self.counted, falls=falls)

    def refused(self) -> ReadsSeen:
        """Take account of a read that a used-up window refused: they count, whatever the numbers said."""
        return ReadsSeen(counted=True, falls=_SURE_AFTER)

    @property
    def is_sure(self) -> bool:
        """Whether it is known also where other processes send."""
        return self.counted is False or self.falls >= _SURE_AFTER


@dataclass(frozen=True, slots=True)
class Demand:
    """How many submissions came lately, the older ones weighing less.

    Attributes:
        count: How many, weighed.
        seconds: Over how long, weighed.
        at: When that was, by the clock.
    """

    count: float = 0.0
    seconds: float = 0.0
    at: float = -inf

    def at_time(self, clock: float) -> Demand:
        """Return it as it is at a later time."""
        if self.at == -inf:
            return Demand(at=clock)
        kept = exp(-max(0.0, clock - self.at) / _MEMORY)
        return Demand(self.count * kept, self.seconds * kept + _MEMORY * (1 - kept), max(self.at, clock))

    def with_more(self, submissions: int, clock: float) -> Demand:
        """Return it with so many more."""
        now = self.at_time(clock)
        return replace(now, count=now.count + submissions)

    def an_hour(self, clock: float, pace: float) -> float:
        """Return how many an hour are expected, where a plan allows so many."""
        now = self.at_time(clock)
        supposed = _SUPPOSED * pace / HOUR * _SUPPOSED_FOR
        return (now.count + supposed) / (now.seconds + _SUPPOSED_FOR) * HOUR


NO_DEMAND = Demand()

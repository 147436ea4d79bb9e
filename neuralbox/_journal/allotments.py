"""How much of what many share one worker may take: tokens of a run's budget, requests of an account's windows. Pure.

A worker takes a part for itself and is then as fast as if it were alone; the journal keeps the account, and what a dead worker
had is free when its lease is over. Whoever takes sees the others' parts as gone, so all together never take more than there is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

PRICES_AT_ONCE: Final = 64
"""Requests whose price is taken at once, at most."""


@dataclass(frozen=True, slots=True)
class RunFunds:
    """What a run may spend and what is gone of it, as of one moment.

    Attributes:
        budget: What may be spent in all.
        spent: What was charged for those that have ended.
        open: The prices of those that were sent and have not ended.
        others: What other living workers hold for what they have not sent.
        mine: What the asking worker holds likewise.
        workers: How many living workers hold something, the asking one included.
        is_moving: Whether another worker has requests on their way that may yet cost less than they were announced at.
        is_unknown_out: Whether one is on its way whose price nobody knows, or another worker may send one.
        is_uncounted: Whether one was completed of which nobody knows what it cost.
    """

    budget: int
    spent: int = 0
    open: int = 0
    others: int = 0
    mine: int = 0
    workers: int = 1
    is_moving: bool = False
    is_unknown_out: bool = False
    is_uncounted: bool = False

    @property
    def left(self) -> int:
        """What nobody has spent, sent for or holds; below 0 where the service charged more than it had announced."""
        return self.budget - self.spent - self.open - self.others - self.mine

    def may_wait_for(self, price: int | None, *, runs_here: bool) -> bool:
        """Whether a price that is refused may be covered when what workers hold or have on their way is settled.

        Args:
            price: That; None where nobody knows.
            runs_here: Whether calls of the asking worker still run.
        """
        covers = self.spent + price <= self.budget if price is not None else self.spent < self.budget
        return covers and not (price is None and self.is_uncounted) and (self.others > 0 or self.is_moving or runs_here)


def tokens_to_take(funds: RunFunds, price: int, *, at_once: int = PRICES_AT_ONCE) -> int | None:
    """Return how many tokens a worker takes that is about to send something.

    Args:
        funds: What there is.
        price: What the next request costs.
        at_once: For how many such requests it takes, at most.

    Returns:
        At least the price and never more than is left; None where that does not cover it. The less is left, and the more
        workers there are, the fewer: each leaves as much to the others as it takes.
    """
    left = funds.left
    if price > left:
        return None
    fair = left if funds.workers < 2 else left // (2 * funds.workers)
    return max(price, min(at_once * price, fair))


def may_take_unknown(funds: RunFunds) -> bool:
    """Whether a request may leave whose price nobody knows: such pass one at a time, and the next is judged by what it cost."""
    return not funds.is_uncounted and not funds.is_unknown_out and funds.left > 0


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a worker's wish for tokens.

    Attributes:
        tokens: What it holds now for what it will send; None where it was refused, and holds nothing more.
        funds: What there was.
    """

    tokens: int | None
    funds: RunFunds


# The windows of an account's plan.

PART_FOR: Final = 30.0
"""Seconds after which a part of a window that was not given back is free again."""
_ALONE_FOR: Final = 5.0
_BACK_WITHIN: Final = 5.0
"""Seconds after which it is worth asking whether what others hold has come back, or their lease is over."""
_USED_WITHIN: Final = 20.0
_LOOK_AGAIN: Final = 1.0
_SCARCE: Final = 0.2
_AHEAD: Final = 8
"""Requests that one worker sends into a window of which nobody has heard yet."""
_NEXT_WINDOW: Final = 0.001


@dataclass(frozen=True, slots=True)
class SharedWindow:
    """One window of an account.

    Attributes:
        limit: Requests it has.
        left: How many are left, as far as anybody has heard.
    """

    limit: int
    left: int


@dataclass(frozen=True, slots=True)
class SharedWindows:
    """What is known of an account's windows. Times are Unix seconds of the database's clock.

    Attributes:
        hour: This hour's; None where nobody has said one.
        day: This day's, likewise.
        reset: The hour's end as the service writes it: tells one hour from the next.
        ends_at: When it ends; None where nobody has heard of this hour yet.
        closed_until: Until when a refusal asked to wait.
        given_at: When the last place of the last fifth was given away.
    """

    hour: SharedWindow | None = None
    day: SharedWindow | None = None
    reset: float = 0.0
    ends_at: float | None = None
    closed_until: float | None = None
    given_at: float | None = None

    def after(self, said: SharedWindows, *, is_over: bool) -> SharedWindows:
        """Return it with what one worker knows; of the same hour the least counts, and a later one replaces.

        Args:
            said: What it knows.
            is_over: Whether the hour of which it knows has ended since, and nobody told it of the next.
        """
        closed = [at for at in (self.closed_until, said.closed_until) if at is not None]
        known = replace(self, closed_until=max(closed, default=None))
        if said.hour is None or said.reset < self.reset:
            return known
        if is_over and said.reset == self.reset:
            hour = SharedWindow(said.hour.limit, said.hour.limit)
            return replace(known, hour=hour, reset=self.reset + _NEXT_WINDOW, ends_at=None, given_at=None)
        if self.hour is None or said.reset > self.reset:
            return replace(said, closed_until=known.closed_until)
        return replace(known, hour=_least(self.hour, said.hour), day=_least(self.day, said.day))


def _least(known: SharedWindow | None, said: SharedWindow | None) -> SharedWindow | None:
    if known is None or said is None or known.limit != said.limit:
        return said or known
    return min(known, said, key=lambda window: window.left)


@dataclass(frozen=True, slots=True)
class Places:
    """What a worker may send of an account's windows.

    Attributes:
        windows: What is known of the windows by now.
        count: How many requests; None for as many as the windows let one process send, since no other worker sends any.
        seconds: For how long that holds; or, where it is none, until it is worth asking again.
        amount: What others see as gone.
    """

    windows: SharedWindows
    count: int | None
    seconds: float
    amount: int


def places_to_take(
    windows: SharedWindows,
    *,
    others: int,
    workers: int,
    kept: int,
    wants: bool,
    reserve_of: Callable[[int], int],
    now: float,
) -> Places:
    """Return how many requests a worker may send, before it has to ask again.

    Args:
        windows: What is known.
        others: What the other workers hold.
        workers: How many workers send something, the asking one included.
        kept: What the asking one has on its way, and keeps for reads.
        wants: Whether it is about to send something; else it gives back what it does not keep.
        reserve_of: How many requests of a window are left to whoever calls by hand, by its limit.
        now: The database's clock.

    Returns:
        The same part of what is left for each, twice over; in the last fifth of a window one at a time, spread over what
        remains of it by all together.
    """
    both = [window for window in (windows.hour, windows.day) if window is not None]
    if not wants:
        return Places(windows, 0, 0.0, kept)
    if not both:  # a few go ahead, and their answers tell
        return Places(windows, None if workers < 2 else max(1, _AHEAD // workers), _LOOK_AGAIN, kept)
    left = [(window.limit, window.left - reserve_of(window.limit)) for window in both]
    free = min(each for _, each in left) - others - kept
    if workers < 2:
        return Places(windows, None, _ALONE_FOR, kept + max(0, free))
    if free < 1:
        return Places(windows, 0, _LOOK_AGAIN, kept)
    if windows.ends_at is None:
        count = min(_AHEAD, max(1, free // (2 * workers)))
    elif (at := _next_of_last_fifth(windows, left, others + kept, now)) is None:
        count = max(1, free // (2 * workers))
    elif now < at:
        # What comes back of what others hold, or is a dead worker's, makes the next one due earlier.
        at = min(at, max(now + _BACK_WITHIN, _next_of_last_fifth(windows, left, kept, now) or now))
        return Places(windows, 0, max(_LOOK_AGAIN, at - now), kept)
    else:
        windows, count = replace(windows, given_at=now), 1
    return Places(windows, count, _USED_WITHIN, kept + count)


def _next_of_last_fifth(windows: SharedWindows, left: list[tuple[int, int]], held: int, now: float) -> float | None:
    """Return when one of a window's last fifth may leave; None where more of each window is left, of `left` by its limit."""
    if all(each - held > _SCARCE * limit for limit, each in left):
        return None
    if windows.given_at is None or windows.ends_at is None:
        return now
    given_at = min(windows.given_at, now)
    return given_at + max(0.0, windows.ends_at - given_at) / (min(each for _, each in left) - held + 1)

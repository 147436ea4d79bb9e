"""`RunPlaces`: what one worker may send of an account's hour and day windows, where several processes send.

A worker takes a part of what is left from the journal, for some seconds, and counts it down in memory; whatever else
`_rate_limit` decides by, it decides as before. With each part it tells what answers have said of the windows, and hears what those
of others have; what it hears between two parts that others should know, a refusal above all, it tells within a second. One that
is alone takes no part: it heeds the windows as a single process does, and looks in every few seconds whether it still is.
Windows that do not tell when they end are heeded by each worker by itself.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import inf
from typing import Final

import anyio

from .._concurrency.per_loop import running_loop
from .._core.exchange import Core
from .._journal.allotments import SharedWindow, SharedWindows
from .._journal.shared import SharedJournal
from .._rate_limit.limiter import limiter_of
from .._rate_limit.windows import Window, reserve_of, turn

_GIVE_BACK_AFTER: Final = 5.0
"""Seconds after which what was not needed goes back."""
_MOST: Final = 2**31 - 1
"""What the journal can hold of a window; more is as good as no limit."""


class RunPlaces:
    """The places of one worker.

    Args:
        core: The client, for its clock and its account's limiter.
        journal: An open one of the account.

    Attributes:
        loop: The event loop in which it may be asked.
        opens_at: Until when there are none, by the clock.
    """

    def __init__(self, core: Core, journal: SharedJournal) -> None:
        self.loop: object = running_loop()
        self.opens_at = core.clock()
        self._core = core
        self._journal = journal
        self._limiter = limiter_of(core)
        self._asking = anyio.Lock()
        self._count: int | None = 0
        self._until = core.clock()
        self._used_at = core.clock()
        self._is_known = False  # whether the account was ever asked
        self._is_held = False  # whether others see something as gone
        self._told: tuple[Window | None, float] = (None, -inf)

    def begin(self) -> None:
        """Have the batch's submissions take their places here."""
        self._limiter.sources[self] = None
        self._limiter.is_shared = True

    def end(self) -> None:
        """Have them do so no more."""
        self._limiter.sources.pop(self, None)

    def take(self, clock: float) -> bool:
        """Take a place; False where the account is to be asked for more."""
        self._used_at = clock
        if clock < self._until:
            if self._count == 0:
                return False
            if self._count is not None:
                self._count -= 1
            return True
        return self._is_known and not self._is_told

    async def renew(self) -> None:
        """Ask for more, for all who wait for that.

        Raises:
            JournalError: The journal cannot be asked.
        """
        async with self._asking:
            clock = self._core.clock()
            if not self._is_told and clock < self._until:
                self.opens_at = self._until
            elif self.opens_at <= clock and (clock >= self._until or self._count == 0):
                await self._exchange(wants=True)

    @property
    def _is_told(self) -> bool:
        """Whether windows are known that tell when they end; of others nobody could say which one is meant."""
        hour = self._limiter.windows.hour
        return hour is not None and hour.reset is not None

    async def settle_up(self) -> None:
        """Give back what was not needed lately, and tell others what was heard that they should know.

        Raises:
            JournalError: The journal cannot be written.
        """
        clock, windows = self._core.clock(), self._limiter.windows
        is_idle = self._is_held and not self._limiter.under_way and clock >= self._used_at + _GIVE_BACK_AFTER
        is_news = self._count is not None and self._told[0] != windows.hour
        is_refused = windows.closed_until > max(clock, self._told[1])
        if self._is_known and (is_idle or is_news or is_refused) and not self._asking.locked():
            async with self._asking:
                await self._exchange(wants=False, keeps=not is_idle)

    async def _exchange(self, *, wants: bool, keeps: bool = False) -> None:
        limiter, clock = self._limiter, self._core.clock()
        windows = turn(limiter.windows, clock=clock)
        hour = None if windows.hour is None or windows.hour.reset is None else windows.hour
        said = SharedWindows()
        if hour is not None and hour.reset is not None:
            ends_at = None if hour.ends_at is None else hour.ends_at - clock
            said = SharedWindows(_shared(hour), _shared(windows.day), hour.reset, ends_at)
        if windows.closed_until > clock and windows.closed_certain:
            said = replace(said, closed_until=windows.closed_until - clock)
        places = await self._journal.ask(
            partial(
                self._journal.allotments.take_places,
                said,
                is_over=hour is not None and hour.ends_at is None,
                reserve_of=reserve_of,
                kept=limiter.set_aside(clock) + ((self._count or 0) if keeps else 0),
                wants=wants,
            )
        )
        self._hear(places.windows)
        self._is_known, self._is_held = True, places.amount > 0
        if not keeps:
            self._count, self._until = places.count, self._core.clock() + places.seconds
        if wants and places.count == 0:
            self.opens_at = self._until

    def _hear(self, known: SharedWindows) -> None:
        """Take note of what others have heard."""
        limiter, clock = self._limiter, self._core.clock()
        hour, day = limiter.windows.hour, limiter.windows.day
        before = None if hour is None else hour.reset
        if known.hour is not None and (before is None or known.reset >= before):
            same = hour if before == known.reset else None
            ends_at = None if known.ends_at is None else clock + known.ends_at
            left = known.hour.left if same is None else min(same.remaining, known.hour.left)
            hour = Window(known.hour.limit, left, ends_at if same is None else same.ends_at, known.reset)
            if known.day is not None:
                left = known.day.left if same is None or day is None else min(day.remaining, known.day.left)
                day = Window(known.day.limit, left, None if day is None else day.ends_at)
        closed_until = -inf if known.closed_until is None else clock + known.closed_until
        limiter.learn(hour, day, closed_until=closed_until, clock=clock)
        self._told = (limiter.windows.hour, limiter.windows.closed_until)


def _shared(window: Window | None) -> SharedWindow | None:
    return None if window is None else SharedWindow(min(window.limit, _MOST), min(window.remaining, _MOST))

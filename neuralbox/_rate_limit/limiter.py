"""`RateLimiter`: lets paid requests leave as the plan's hour and day windows allow, instead of into a 429.

One for each account, shared by its clients' copies, batches and event loops. Every answer that names the windows is
noted; `_rate_limit.windows` decides by them when the next submission may leave, and here it waits, in its own task. Whoever
waits is woken when an answer changes what is known. The rules:

- A single call on a quiet account comes through without a pause or a request of ours.
- When many leave at once and nothing is known, one `user/me` is asked first, by one for all; its headers, else its
  body, say what the limits are. What it fails to say holds nobody up. A few calls send nothing of their own accord.
- A batch spreads the last fifth of a window and waits for the next window (`max_throttle_wait`); a plain call takes what
  is left and, when nothing is, raises `RateLimitError` with the time, without bothering the service. Every
  `TRY_AGAIN_AFTER` seconds one plain call goes to see all the same: the plan may have been changed, and a refusal is free.

What is to be done about a submission is a `Decision` of `windows.next_send_time`; what `acquire` makes of it:

    decision        and                                           then
    send                                                          it leaves
    ask             it is a batch's, and nobody asked lately      one asks `user/me` for all, and all decide again
    ask             none is on its way                            it leaves, and its answer tells
    ask             one is on its way                             as await answers
    wait            a plain call, none went to see lately         it leaves, and its answer tells
    wait            a repetition, a 429 named no time             one leaves at a time, after its own back-off
    wait            longer than `max_throttle_wait`               `RateLimitError`
    wait            else                                          it sleeps until then and up to a second longer (many wait for
                                                                  one moment), or until an answer says something new
    await answers                                                 it sleeps until one of those on their way is answered, or a
                                                                  window ends; a few seconds where they are another loop's
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf
from typing import Protocol

from .._api import vocabulary as words
from .._api.request import Request
from .._concurrency.per_loop import Home, call_in_loop, running_loop
from .._concurrency.single_flight import SingleFlight, ThreadsafeEvent
from .._config import NO_CALL_OPTIONS, CallOptions
from .._core.exchange import Core
from .._core.reply_capture import without_capture
from .._errors import APIConnectionError, APIStatusError, ProtocolError, RateLimitError
from .._models.account import AccountLimits, LimitWindow, User
from .._transport import Reply
from .._transport.closing import closed_error, is_closed, listen
from .plan import (
    NO_DEMAND,
    Allowance,
    Demand,
    Outstanding,
    ReadsSeen,
    allowance_of,
    cost_of_submission,
    set_aside_for_reads,
)
from .windows import (
    ASK_AGAIN_AFTER,
    AWAIT_ANSWERS,
    MAX_UNANSWERED,
    NOTHING_KNOWN,
    SEND_NOW,
    Decision,
    SendTime,
    Why,
    Window,
    Windows,
    is_taken,
    next_change,
    next_send_time,
    note,
    note_accepted,
    note_refusal,
    note_sent,
    note_user,
    reserve_of,
    turn,
)

logger = logging.getLogger("neuralbox")

LOOK_AGAIN = 5.0
"""Seconds after which it is asked again whether what is waited for still runs, where that is another event loop's."""
TRY_AGAIN_AFTER = 300.0
"""Seconds for which a plain call takes a used-up window for used up."""
_NAMES = (words.LIMIT_HOUR, words.LIMIT_DAY, words.REMAINING_HOUR, words.REMAINING_DAY, words.RESET_HOUR)
# A timer may fire a hair early, and virtual clocks add up floats.
_MOMENT = 1e-3
_LOOKS_EVERY = 1.0  # seconds between two looks for what is gone with its loop
_CLOSE = 1.0  # seconds between two answers in which hardly anything that another process sent is counted
_SPREAD_OVER = 1.0  # seconds after a window opens over which those that waited for it come back
_AT_ONCE = frozenset({"text", "tts", "stt"})  # kinds that are answered at once, so that no poll follows


class Permit:
    """A paid request on its way, from the moment it may leave until what it was answered is noted.

    Attributes:
        home: Where its answer is awaited.
    """

    __slots__ = ("_began", "_counted", "_limiter", "home")

    def __init__(self, limiter: RateLimiter, began: float) -> None:
        self.home = Home()
        self._limiter = limiter
        self._began = began
        self._counted = False

    def note_headers(self, core: Core, headers: Mapping[str, str], *, accepted: bool = True) -> None:
        """Take note of an answer's headers, and whether it was accepted."""
        limiter = self._limiter
        limiter.answered += accepted
        names_windows = limiter.note_headers(headers, began=self._began, clock=core.clock(), now=core.now())
        if accepted:
            limiter.windows = note_accepted(limiter.windows, began=self._began)
            self._counted = names_windows

    def refused(self, core: Core, error: Exception | None = None) -> None:
        """Take note of a refusal, or that it never left: it used up nothing, and a 429 says when to come back."""
        self._counted = True
        if isinstance(error, RateLimitError):
            limiter = self._limiter
            limiter.windows = note_refusal(limiter.windows, error.retry_after, clock=core.clock())

    def release(self) -> None:
        """Give the permit back; what was sent and not answered is counted as if it had been."""
        limiter = self._limiter
        if limiter.under_way.pop(self, False):
            if not self._counted:
                limiter.windows = note_sent(limiter.windows)
            if any(each.home.loop is not self.home.loop for each in list(limiter.under_way)[-1:]):
                limiter.wake_all()  # what is left may be another loop's, and nobody says so where that is closed over them
            else:
                limiter.wake_free()


class Reader(Protocol):
    """Who waits for jobs, and reads what became of them."""

    @property
    def outstanding(self) -> Outstanding:
        """How many are waited for."""
        ...

    @property
    def closed_until(self) -> float | None:
        """Until when nothing is read since a window is used up, by the clock; None where that is not so."""

    def more_is_left(self) -> None:
        """Hear that there is more of a window than was known; called in the reader's own event loop."""
        ...


class PlaceSource(Protocol):
    """Where the submissions of a batch take their places whose account other processes share.

    Attributes:
        loop: The event loop in which it may be asked.
        opens_at: Until when there are none, by the clock.
    """

    loop: object
    opens_at: float

    def take(self, clock: float) -> bool:
        """Take a place; False where the account is to be asked for more."""
        ...

    async def renew(self) -> None:
        """Ask for more, for all who wait for that: then there are some, or it is known when to ask again."""
        ...


@dataclass(frozen=True, slots=True)
class _LastAnswer:
    """What the last answer said that named the windows, and how things stood when it came.

    Attributes:
        said: The values of its headers.
        windows: What was known of the windows from then on.
        quiet_since: How many submissions had left by then, where none was under way; None where one was, or where an answer
            that named no window has come since.
        accepted: How many had been accepted by then.
        heard_at: When it came, by the clock.
    """

    said: tuple[str | None, ...] = ()
    windows: Windows | None = None
    quiet_since: int | None = None
    accepted: int = 0
    heard_at: float = -inf


class RateLimiter:
    """Decides when the submissions of one account leave.

    Attributes:
        windows: What is known of the plan's windows.
        under_way: Submissions that have left and are not answered yet.
        reads: Whether reads were seen to use up the windows too.
        answered: Submissions that were accepted, ever.
        demand: How many came lately that nobody has in a queue.
        readers: Those who wait for jobs, for as long as they do, and where.
        sources: Where those take their places that heed a share, while others share the account.
        is_shared: Whether other processes send for the account, by a journal that they share.
    """

    def __init__(self) -> None:
        self.windows: Windows = NOTHING_KNOWN
        self.under_way: dict[Permit, bool] = {}
        self.reads = ReadsSeen()
        self.answered = 0
        self.demand: Demand = NO_DEMAND
        self.readers: dict[Reader, Home] = {}
        self.sources: dict[PlaceSource, None] = {}
        self.is_shared = False
        self._last_answer = _LastAnswer()
        self._sent_count = 0
        self._sent_at = -inf
        self._asked_at = self._looked_at = -inf
        self._asking = SingleFlight()
        self._throttled: dict[ThreadsafeEvent, SendTime] = {}  # who waits, and for what

    def __repr__(self) -> str:
        return f"<RateLimiter: {len(self.under_way)} under way, {len(self._throttled)} throttled>"

    def throttled(self, core: Core) -> tuple[float, Why] | None:
        """Return when the next of those that wait goes on, in Unix seconds, and why; None where nobody waits for a known time.

        Submissions, and reads of those who wait for jobs.
        """
        clock, day = core.clock(), self.windows.day
        held: list[tuple[float, Why]] = [
            (each.at, each.why) for each in list(self._throttled.values()) if each.at is not None
        ]
        why: Why = "day" if day is not None and day.remaining <= reserve_of(day.limit) else "hour"
        closed = [reader.closed_until for reader in list(self.readers)]
        held.extend((at, why) for at in closed if at is not None and at > clock)
        if not held:
            return None
        first = min(held)
        return core.now() + max(0.0, first[0] - clock), first[1]

    def limits(self, core: Core) -> AccountLimits:
        """Return what is known of the windows, for the user to read."""
        clock, now = core.clock(), core.now()
        windows = self.windows = turn(self.windows, clock=clock)

        def shown(window: Window | None) -> LimitWindow:
            if window is None:
                return LimitWindow()
            if window.length is not None:  # counted here, from the moment the limit was learnt: true of nobody else
                return LimitWindow(window.limit)
            ends_at = window.ends_at
            resets_at = None if ends_at is None else datetime.fromtimestamp(now + ends_at - clock, UTC)
            return LimitWindow(window.limit, window.remaining, resets_at)

        return AccountLimits(shown(windows.hour), shown(windows.day))

    async def ask(self, core: Core, call: CallOptions = NO_CALL_OPTIONS) -> None:
        """Ask the service for the limits.

        Raises:
            APIStatusError: The service refused, by status.

        Source:
            `GET /api/v2/user/me`: `rate_limit_hourly`, `rate_limit_daily` [nb:en/api-reference/user/me].
        """
        began = core.clock()

        def read(reply: Reply) -> None:
            if not self.note_headers(reply.headers, began=began, clock=core.clock(), now=core.now()):
                user = User.read(core.as_object(reply))
                self.windows = note_user(
                    self.windows, user.rate_limit_hourly, user.rate_limit_daily, clock=core.clock()
                )

        await core.send(Request("GET", words.ME), read, call)

    async def acquire(
        self,
        core: Core,
        *,
        kind: str | None = None,
        spread: bool = False,
        max_throttle_wait: float | None = None,
        repeats: bool = False,
    ) -> Permit:
        """Wait until a submission may leave.

        Args:
            core: The client it leaves by.
            kind: What it makes: what is answered at once needs no polls.
            spread: Whether it heeds its share of a scarce window (a batch), or takes what is left (a plain call).
            max_throttle_wait: Longest wait for a window, in seconds; None waits as long as it takes.
            repeats: Whether it was sent before and has paused since.

        Returns:
            The request's permit; `release` must follow on every path.

        Raises:
            RateLimitError: A window is used up for longer than that; nothing was sent.
            ConfigurationError: The client was closed meanwhile; nothing was sent.
        """
        closed_since: float | None = None
        while True:
            clock = core.clock()
            send_time = self._decide(clock, kind, spread=spread, repeats=repeats)
            if send_time.decision is Decision.SEND:
                source = self._source() if spread and self.sources else None
                if source is None or source.take(clock):
                    break
                await source.renew()
                if source.opens_at <= core.clock():
                    continue
                send_time = SendTime(Decision.WAIT, source.opens_at, "spread")
            if send_time.decision is Decision.ASK:
                await self._ask_once(core)
                continue
            if send_time.decision is Decision.WAIT and send_time.why != "spread":
                closed_since = clock if closed_since is None else closed_since
                self._require_within(core, send_time, closed_since, max_throttle_wait)
            listen(core.transport, self)
            if is_closed(core.transport):
                raise closed_error()
            await self._throttle(core, send_time)
        self._sent_at = clock
        self._sent_count += 1
        if not spread:  # what is left of a batch is known by those that wait for their turn
            self.demand = self.demand.with_more(1, clock)
        permit = Permit(self, clock)
        self.under_way[permit] = True
        return permit

    def note_headers(
        self, headers: Mapping[str, str], *, began: float, clock: float, now: float, is_read: bool = False
    ) -> bool:
        """Take note of what an answer's headers say of the windows; False where they say nothing.

        Args:
            headers: Names are looked up without regard to case.
            began: When its request began, by the clock.
            clock: The clock.
            now: Unix seconds.
            is_read: Whether it was a read: what it leaves of the windows tells whether reads count.
        """
        if headers.get(words.LIMIT_HOUR) is None and headers.get(words.LIMIT_DAY) is None:
            self._last_answer = replace(self._last_answer, quiet_since=None)
            return False
        said = tuple(map(headers.get, _NAMES))
        before, last = self.windows, self._last_answer
        if said == last.said and before is last.windows:  # as most polls say, since they use up nothing
            self.windows = replace(before, noted_at=max(before.noted_at, clock))
        else:
            self.windows = note(before, headers, began=began, clock=clock, now=now)
        quiet_since = None if len(self.under_way) > (not is_read) else self._sent_count
        self._last_answer = _LastAnswer(said, self.windows, quiet_since, self.answered, clock)
        self._learn(last, before, began=began, is_read=is_read)
        if (before.hour, before.day) != (self.windows.hour, self.windows.day):
            self._tell(before)
        return True

    def _tell(self, before: Windows) -> None:
        """Have all who wait for a window decide again, since more is known of it than before."""
        self.wake_free()
        if any(
            old is not None and (new is None or new.remaining > old.remaining)
            for old, new in ((before.hour, self.windows.hour), (before.day, self.windows.day))
        ):
            for reader, home in [each for each in list(self.readers.items()) if not each[1].is_gone]:
                call_in_loop(home.loop, reader.more_is_left)

    def _learn(self, last: _LastAnswer, before: Windows, *, began: float, is_read: bool) -> None:
        """Learn from two answers that followed one another whether reads count, and what others send.

        Args:
            last: The first of them; the second is noted already.
            before: What was known of the windows between the two.
            began: When the request of the second began, by the clock.
            is_read: Whether the second is of a read.
        """
        this = self._last_answer
        fell = 0 if this.said == last.said else _fall(before, self.windows)
        if last.quiet_since is None or began < before.noted_at or fell is None:
            return
        ours = this.accepted - last.accepted
        if is_read:
            if ours or self.under_way or self._sent_count != last.quiet_since:
                return
            if fell and self.is_shared and (fell > 1 or this.heard_at - last.heard_at > _CLOSE):
                return  # another process may well have sent something between
            self.reads = self.reads.after(fell, is_shared=self.is_shared)
            ours += self.reads.counted is not False
        if fell > ours:
            self.demand = self.demand.with_more(fell - ours, this.heard_at)

    def read_refused(self, error: RateLimitError, *, clock: float) -> None:
        """Take note that a read was refused: nothing else is sent before the time that the refusal names."""
        self.windows = note_refusal(self.windows, error.retry_after, clock=clock)
        if self.windows.hour is not None or self.windows.day is not None:
            self.reads = self.reads.refused()

    # What the reads of waits need.

    def allowance(self, clock: float) -> Allowance:
        """Return what reads may spend."""
        windows = self.windows
        if windows.hour is None and windows.day is None:
            return _UNLIMITED
        windows = self.windows = turn(windows, clock=clock)
        self.demand = self.demand.at_time(clock)  # from now on none that comes is known to be none
        known = allowance_of(windows, clock=clock, reads_count=self.reads.counted, demand=0.0)
        return replace(known, demand=inf if self._throttled else self.demand.an_hour(clock, known.pace))

    # What those share who keep one account in several processes.

    def learn(self, hour: Window | None, day: Window | None, *, closed_until: float, clock: float) -> None:
        """Take note of what other processes have heard of the windows."""
        before = self.windows
        if hour is not None and hour != before.hour:
            self.windows = replace(before, hour=hour, day=day, known=True, noted_at=max(before.noted_at, clock))
        if closed_until > before.closed_until:
            self.windows = replace(self.windows, closed_until=closed_until, closed_at=clock, closed_certain=True)
        if self.windows is not before:
            self._tell(before)

    def set_aside(self, clock: float) -> int:
        """Return how many requests are on their way, or kept for finding the jobs that are out."""
        if not self.reads.counted:
            return len(self.under_way)
        allowance = allowance_of(turn(self.windows, clock=clock), clock=clock, reads_count=True, demand=inf)
        return len(self.under_way) + set_aside_for_reads(allowance, self._outstanding())

    def _source(self) -> PlaceSource | None:
        loop = running_loop()
        return next((source for source in self.sources if source.loop == loop), None)

    def wake_free(self) -> None:
        """Make everybody who waits decide again, unless those on their way may take all that is left: their ends come here, too."""
        if not is_taken(self.windows, len(self.under_way)):
            self.wake_all()

    def wake_all(self) -> None:
        """Make everybody who waits decide again."""
        for event in list(self._throttled):
            event.ring()

    def transport_closed(self, transport: object) -> None:  # noqa: ARG002 - each knows its own
        """Make everybody who waits decide again, since a client is closed."""
        self.wake_all()

    # Inside.

    def _drop_gone(self, clock: float) -> None:
        """Forget who waits in a loop or a process that is gone, and count as sent what had left there: nobody hears its answer."""
        if clock < self._looked_at + _LOOKS_EVERY:  # a crowd decides again with each answer
            return
        self._looked_at, here = clock, running_loop()

        def is_gone(home: Home) -> bool:
            return home.loop is not here and home.is_gone

        for event in [each for each in list(self._throttled) if is_gone(each.home)]:
            self._throttled.pop(event, None)
        for reader in [reader for reader, home in list(self.readers.items()) if is_gone(home)]:
            self.readers.pop(reader, None)
        for permit in [each for each in list(self.under_way) if is_gone(each.home)]:
            permit.release()

    def _decide(self, clock: float, kind: str | None, *, spread: bool, repeats: bool) -> SendTime:
        self._drop_gone(clock)
        windows = self.windows = turn(self.windows, clock=clock)
        may_ask = clock >= self._asked_at + ASK_AGAIN_AFTER
        if may_ask and not windows.known and len(self.under_way) >= MAX_UNANSWERED:
            return _ASK_NOW
        if windows.hour is None and windows.day is None and windows.closed_until <= clock:
            return SEND_NOW
        cost, set_aside = 1.0, 0
        if self.reads.counted:
            allowance = allowance_of(windows, clock=clock, reads_count=True, demand=inf)
            outstanding = self._outstanding()
            set_aside = set_aside_for_reads(allowance, outstanding)
            if kind not in _AT_ONCE:
                cost = cost_of_submission(allowance, outstanding, patient=spread)
        send_time = next_send_time(
            windows,
            clock=clock,
            under_way=len(self.under_way),
            last=self._sent_at,
            cost=cost,
            set_aside=set_aside,
            spread=spread,
        )
        if send_time.decision is Decision.ASK and not (spread and may_ask):
            return AWAIT_ANSWERS if self.under_way else SEND_NOW  # one goes to see
        if send_time.decision is Decision.WAIT and not spread and self._may_go_to_see(send_time, clock):
            return SEND_NOW
        if repeats and send_time.why == "asked" and not send_time.certain:
            return AWAIT_ANSWERS if self.under_way else SEND_NOW
        return send_time

    def _outstanding(self) -> Outstanding:
        everybody = [reader.outstanding for reader in list(self.readers)]
        if len(everybody) == 1:
            return everybody[0]
        return Outstanding(
            sum(one.jobs for one in everybody),
            sum(one.awaited for one in everybody),
            any(one.asks_each for one in everybody),
        )

    def _may_go_to_see(self, send_time: SendTime, clock: float) -> bool:
        if self.reads.counted and send_time.why == "hour" and send_time.certain:
            return False  # what is left is for reads, and they tell of a plan that was changed
        said_at = self.windows.closed_at if send_time.why == "asked" else self.windows.noted_at
        return clock >= said_at + TRY_AGAIN_AFTER and not self.under_way

    async def rest(self, core: Core, seconds: float, *, least: float) -> None:
        """Wait after a refusal for so many seconds, or until what is known lets submissions leave again.

        Args:
            core: The client that was refused.
            seconds: The longest.
            least: The shortest, whatever is known.

        Raises:
            ConfigurationError: The client was closed meanwhile.
        """
        began = core.clock()
        until = began + seconds
        listen(core.transport, self)
        while core.clock() < until:
            if is_closed(core.transport):
                raise closed_error()
            event = ThreadsafeEvent()
            self._throttled[event] = SendTime(Decision.WAIT, until, "asked")
            try:
                if core.options.pace != "off" and not self._is_closed(core.clock()):
                    until = min(until, began + least)
                    self._throttled[event] = SendTime(Decision.WAIT, until, "asked")
                await core.wait_until(event.event, max(_MOMENT, until - core.clock()))
            finally:
                self._throttled.pop(event, None)

    def _is_closed(self, clock: float) -> bool:
        """Whether a window, or what a refusal asked for, lets no batch send anything."""
        send_time = self._decide(clock, None, spread=True, repeats=False)
        return send_time.decision is Decision.WAIT and send_time.why != "spread"

    async def _throttle(self, core: Core, send_time: SendTime) -> None:
        event = ThreadsafeEvent()
        self._throttled[event] = send_time
        try:
            until = send_time.at
            if send_time.decision is Decision.AWAIT_ANSWERS:
                if not self.under_way:  # the last of them was answered just now, in another thread
                    return
                until = next_change(self.windows, clock=core.clock())
                if any(each.home.loop is not event.home.loop for each in list(self.under_way)):
                    # Nobody says so where their loop is closed over them.
                    until = min(core.clock() + LOOK_AGAIN, inf if until is None else until)
            if until is None:
                await event.event.wait()
                return
            seconds = until - core.clock()
            if send_time.why != "spread":  # many wait for the same moment, in other processes, too
                seconds += core.random() * _SPREAD_OVER
            if send_time.why:
                logger.info("A submission waits %.0f s (%s).", seconds, send_time.why)
            await core.wait_until(event.event, max(_MOMENT, seconds))
        finally:
            self._throttled.pop(event, None)

    def _require_within(
        self, core: Core, send_time: SendTime, closed_since: float, max_throttle_wait: float | None
    ) -> None:
        """Refuse a wait for a window that takes longer than the caller allows."""
        assert send_time.at is not None
        if max_throttle_wait is None or send_time.at - closed_since <= max_throttle_wait:
            return
        seconds = max(0.0, send_time.at - core.clock())
        at = datetime.fromtimestamp(core.now() + seconds, UTC)
        what = {
            "asked": "The service asked to send nothing more for now",
            "day": "The plan's daily limit is used up",
        }.get(send_time.why, "The plan's hourly limit is used up")
        until = f"until {at:%Y-%m-%d %H:%M:%S} UTC, {seconds:.0f} s from now"
        if not send_time.certain:
            until = f"until nobody knows when; asking again makes sense {until.removeprefix('until ')}"
        raise RateLimitError(
            f"{what} {until}, which is longer than {max_throttle_wait:g} s; nothing was sent. {self._figures()}".strip(),
            retry_after=seconds,
            status_code=429,
            code=words.RATE_LIMIT_EXCEEDED,
        )

    def _figures(self) -> str:
        said = [
            f"{window.remaining} of {window.limit} left this {name}"
            for name, window in (("hour", self.windows.hour), ("day", self.windows.day))
            if window is not None
        ]
        return f"({', '.join(said)}.)" if said else ""

    async def _ask_once(self, core: Core) -> None:
        await self._asking.run("me", lambda: self._ask(core))

    async def _ask(self, core: Core) -> None:
        """Ask for the limits; what cannot be learnt holds nobody up."""
        try:
            with without_capture():
                await self.ask(core)
        except (APIConnectionError, APIStatusError, ProtocolError) as error:
            logger.info("The plan's limits could not be learnt (%s).", type(error).__name__)
        self._asked_at = core.clock()


_ASK_NOW = SendTime(Decision.ASK)
_UNLIMITED = Allowance()


def _fall(before: Windows, after: Windows) -> int | None:
    """By how much what is left fell from one answer to the next; None where they are not about the same windows."""
    falls = [
        old.remaining - new.remaining
        for old, new in ((before.hour, after.hour), (before.day, after.day))
        if old is not None and new is not None and old is not new and (old.limit, old.reset) == (new.limit, new.reset)
    ]
    return max(falls, default=None)


def limiter_of(core: Core) -> RateLimiter:
    """Return the rate limiter of a client's account."""
    return core.account.state(RateLimiter, RateLimiter)

"""The plan's hour and day windows: what is known of them, and when the next submission may leave. Pure.

Every answer says how many requests are left in this hour and this day, and when the hour ends; when the day ends only
a 429 says [elu:en/concepts/rate-limits]. Other programs use the same account, so what the service says always counts
more than what was counted here. The rules:

- While a window has more than its last fifth left, submissions leave at once. The last fifth is spread over what
  remains of the window, for those who wish it so: others who share the account, and a request that comes late, still
  find something.
- Where reads were seen to count (`_rate_limit.plan`), a submission takes what finding its job will cost along with it.
- Those who spread leave a small reserve, for whoever calls by hand.
- A used-up window is left alone until it ends, and a moment longer; into the new one a few go ahead. Where nobody knows
  its end the service is asked again.

Times are seconds of a clock that cannot be set, so a machine whose date jumps throttles no shorter and no longer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from math import inf
from typing import Literal, TypeAlias

from .._api import vocabulary as words
from .._api.fields import as_int, as_number, sent_at

HOUR = 3_600.0
DAY = 24 * HOUR
ASK_AGAIN_AFTER = 900.0
"""Seconds until a used-up window whose end nobody knows is asked about again."""
MAX_UNANSWERED = 8
"""Submissions that are under way at once while nobody knows what is left: in a new window, or where nothing was said."""
NO_TIME_SAID = 60.0
"""Seconds for which a 429 counts that names none."""
_SCARCE = 0.2
# The window ends by the service's clock, which `Date` tells to the second only.
_MARGIN = 1.5

Why: TypeAlias = Literal["", "spread", "hour", "day", "asked"]
"""What holds a submission back: nothing that ends at a time; its share of a scarce window; a used-up window; a 429's own
words."""


class Decision(Enum):
    """What to do about the next submission."""

    SEND = "send"
    """It may leave."""
    AWAIT_ANSWERS = "await answers"
    """Those on their way may take all that is left; their answers will say what is, or the next window begins."""
    WAIT = "wait"
    """It has to wait until a time."""
    ASK = "ask"
    """Nobody knows whether the window has ended: ask the service."""


@dataclass(frozen=True, slots=True)
class Window:
    """One window.

    Attributes:
        limit: Requests it has.
        remaining: How many were left when it was noted, less those sent since of which nobody knows.
        ends_at: When it ends, by the clock; None where nobody knows.
        reset: The end as the service wrote it, Unix seconds: tells one window from the next.
        length: Seconds it lasts, where it is counted here because the service tells no more than its limit.
    """

    limit: int
    remaining: int
    ends_at: float | None = None
    reset: float | None = None
    length: float | None = None


@dataclass(frozen=True, slots=True)
class Windows:
    """What is known of an account's windows.

    Attributes:
        hour: This hour's; None where there is no limit, or nobody has said one.
        day: This day's.
        closed_until: Until when a 429 asked to wait, by the clock.
        closed_at: When it asked.
        closed_certain: Whether it named that time; otherwise it is `NO_TIME_SAID`.
        known: Whether the service has said anything of limits, even that there are none.
        noted_at: When it said so, by the clock.
    """

    hour: Window | None = None
    day: Window | None = None
    closed_until: float = -inf
    closed_at: float = -inf
    closed_certain: bool = True
    known: bool = False
    noted_at: float = -inf


NOTHING_KNOWN = Windows()


@dataclass(frozen=True, slots=True)
class SendTime:
    """What to do about the next submission, and when.

    Attributes:
        decision: What to do.
        at: Until when to wait, by the clock; None where there is no such time.
        why: What holds it back.
        certain: Whether that is when it may leave; otherwise it is when to ask the service again.
    """

    decision: Decision
    at: float | None = None
    why: Why = ""
    certain: bool = True


SEND_NOW = SendTime(Decision.SEND)
AWAIT_ANSWERS = SendTime(Decision.AWAIT_ANSWERS)


# What the service says...


def note(before: Windows, headers: Mapping[str, str], *, began: float, clock: float, now: float) -> Windows:
    """Take account of an answer's headers.

    Args:
        before: What was known.
        headers: Names are looked up in lower case.
        began: When its request began, by the clock: of two answers that crossed, the lower count stands.
        clock: The clock.
        now: Unix seconds of this machine, for answers without a `Date`.

    Source:
        `X-RateLimit-Limit-Hour`, `-Remaining-Hour`, `-Reset-Hour` (Unix seconds), `-Limit-Day`, `-Remaining-Day`
        [elu:en/concepts/rate-limits]. What they say for Elite is not documented; 0 is unlimited, as in `user/me`.
    """
    later = began >= before.noted_at
    reset = as_number(headers.get(words.RESET_HOUR))
    left = None if reset is None else reset - sent_at(headers, now)
    # Nobody knows the end of an hour that is long over or lasts for days.
    ends_at = clock + max(0.0, left) if left is not None and -60 < left <= HOUR + 60 else None
    hour = _noted(before.hour, headers, words.LIMIT_HOUR, words.REMAINING_HOUR, ends_at, reset, later=later)
    day = _noted(before.day, headers, words.LIMIT_DAY, words.REMAINING_DAY, None, None, later=later)
    if hour is _UNSAID and day is _UNSAID:
        return before
    return replace(
        before,
        hour=before.hour if hour is _UNSAID else hour,
        day=before.day if day is _UNSAID else day,
        known=True,
        noted_at=max(before.noted_at, clock),
    )


_UNSAID = Window(-1, -1)


def _noted(
    before: Window | None,
    headers: Mapping[str, str],
    limit_name: str,
    remaining_name: str,
    ends_at: float | None,
    reset: float | None,
    *,
    later: bool,
) -> Window | None:
    limit, remaining = as_int(headers.get(limit_name)), as_int(headers.get(remaining_name))
    if limit is None:
        return _UNSAID
    if limit <= 0:
        return None
    if remaining is None:
        return _UNSAID
    new = Window(limit, max(0, remaining), ends_at, reset)
    if before is None:
        return new
    if reset is None:  # of a day nobody says when it ends, but a 429 may have
        new = replace(new, ends_at=before.ends_at)
    elif before.reset is not None and (reset < before.reset or (before.ends_at is None and not later)):
        return before  # the last answers of an hour that is over
    if not later and before.reset == reset:
        new = replace(new, remaining=min(new.remaining, before.remaining))
    return new


def note_refusal(before: Windows, retry_after: float | None, *, clock: float) -> Windows:
    """Take account of a 429: nothing leaves before the time it asks for.

    A wait longer than any hour is the day's, and tells when that ends. A wait of 0 says no more than none.
    """
    seconds = min(retry_after, DAY) if retry_after else NO_TIME_SAID
    until, day = clock + seconds, before.day
    if seconds > HOUR and day is not None:
        day = replace(day, remaining=0, ends_at=until)
    until, certain = max((before.closed_until, before.closed_certain), (until, bool(retry_after)))
    return replace(before, closed_until=until, closed_at=clock, closed_certain=certain, day=day)


def note_accepted(before: Windows, *, began: float) -> Windows:
    """Take account of a submission that was accepted: what an earlier 429 asked for is over."""
    if before.closed_until == -inf or began < before.closed_at:
        return before
    return replace(before, closed_until=-inf)


def note_user(before: Windows, hourly: int | None, daily: int | None, *, clock: float) -> Windows:
    """Take account of the limits that `user/me` names, where no header has named them (0 is unlimited).

    How much of them is used nobody says, so it is counted from now on. A service that names none has said so too.
    """
    if before.known:
        return before
    return replace(
        before,
        hour=_counted(hourly, HOUR, clock),
        day=_counted(daily, DAY, clock),
        known=True,
        noted_at=clock,
    )


def _counted(limit: int | None, length: float, clock: float) -> Window | None:
    return Window(limit, limit, clock + length, None, length) if limit is not None and limit > 0 else None


def note_sent(before: Windows) -> Windows:
    """Count a submission whose answer said nothing of the windows, or never came."""
    if before.hour is None and before.day is None:
        return before
    return replace(before, hour=_less(before.hour), day=_less(before.day))


def _less(window: Window | None) -> Window | None:
    return None if window is None else replace(window, remaining=max(0, window.remaining - 1))


# ... and what follows.


def turn(windows: Windows, *, clock: float) -> Windows:
    """Renew the windows that have ended; when the new ones end is not known until an answer says it."""
    hour, day = _turned(windows.hour, clock), _turned(windows.day, clock)
    if hour is windows.hour and day is windows.day:
        return windows
    return replace(windows, hour=hour, day=day)


def _turned(window: Window | None, clock: float) -> Window | None:
    if window is None or window.ends_at is None or clock < window.ends_at + _MARGIN:
        return window
    ends_at = None if window.length is None else clock + window.length
    return Window(window.limit, window.limit, ends_at, window.reset, window.length)


def next_change(windows: Windows, *, clock: float) -> float | None:
    """Return when what is known changes by itself: a window ends, or a 429's time is over; None where nobody knows of any."""
    ends = [
        each.ends_at + _MARGIN for each in (windows.hour, windows.day) if each is not None and each.ends_at is not None
    ]
    return min((at for at in (*ends, windows.closed_until) if at > clock), default=None)


def next_send_time(
    windows: Windows,
    *,
    clock: float,
    under_way: int = 0,
    last: float = -inf,
    cost: float = 1.0,
    set_aside: int = 0,
    spread: bool = True,
) -> SendTime:
    """Decide whether the next submission may leave, and when.

    Args:
        windows: What is known, turned.
        clock: The clock.
        under_way: Submissions that have left and are not answered yet.
        last: When the last one left, by the clock.
        cost: Requests a submission takes: more than itself where reads count.
        set_aside: Requests that are kept for finding the jobs that are out, where reads count.
        spread: Whether the last fifth of a window is spread over what remains of it, and its reserve left alone.

    Returns:
        The strictest of what the windows and the last 429 say.
    """
    until = -inf
    send_time = SEND_NOW
    if windows.closed_until > clock:
        until, send_time = (
            windows.closed_until,
            SendTime(Decision.WAIT, windows.closed_until, "asked", certain=windows.closed_certain),
        )
    both: tuple[tuple[Window | None, Why], ...] = ((windows.hour, "hour"), (windows.day, "day"))
    for window, why in both:
        if window is None:
            continue
        left = int((window.remaining - set_aside - (reserve_of(window.limit) if spread else 0)) / cost)
        if left < 1:
            held = _closed(windows, window, why)
        elif under_way >= _most_under_way(window, left, spread=spread):
            return AWAIT_ANSWERS
        elif (
            spread and window.ends_at is not None and last > -inf and left - under_way <= _SCARCE * window.limit / cost
        ):
            share = max(0.0, window.ends_at - last) / (left - under_way + 1)
            held = SendTime(Decision.WAIT, last + share, "spread")
        else:
            continue
        assert held.at is not None
        if held.at > until:
            until, send_time = held.at, held
    if until > clock or send_time is SEND_NOW:
        return send_time
    return SEND_NOW if send_time.certain else SendTime(Decision.ASK, None, send_time.why, certain=False)


def reserve_of(limit: int) -> int:
    """Return how many requests of a window a program leaves to whoever calls by hand: one of 200, where it has ten or more."""
    return 0 if limit < 10 else max(1, limit // 200)


def _most_under_way(window: Window, left: int, *, spread: bool) -> int:
    """Return how many submissions may be under way at once, where so many may leave."""
    if _is_new(window):
        return min(left, MAX_UNANSWERED)
    # Other programs that share the account may be sending as many just now, and know it no better.
    return max(1, left // 3) if spread else left


def is_taken(windows: Windows, under_way: int) -> bool:
    """Return whether nothing can leave before one of those under way is answered or a window ends, whatever it costs."""
    return any(
        window is not None and 0 < _most_under_way(window, window.remaining, spread=False) <= under_way
        for window in (windows.hour, windows.day)
    )


def _is_new(window: Window) -> bool:
    """Whether it has begun and no answer has told of it: other programs begin to use it at the same moment."""
    return window.ends_at is None and window.reset is not None


def _closed(windows: Windows, window: Window, why: Why) -> SendTime:
    if window.ends_at is not None:
        return SendTime(Decision.WAIT, window.ends_at + _MARGIN, why)
    # Hours and days end together where anything is regular, so the end of the hour is the time to ask about the day.
    again, hour = windows.noted_at + ASK_AGAIN_AFTER, windows.hour
    if why == "day" and hour is not None and hour.ends_at is not None:
        again = max(again, hour.ends_at + _MARGIN)
    return SendTime(Decision.WAIT, again, why, certain=False)

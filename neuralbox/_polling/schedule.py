"""When to poll a job again: plain arithmetic over what is known of it.

The service's own estimate counts first, then what this process has seen of the model, then the documented times, then
a pause that grows with the job's age. An estimate is data: late, negative, huge or constant ones are bounded by the
policy's shortest and longest pause, and after `TRUSTED` polls none is believed any more. The numbers below are for the
fewest requests with which a job of 20-180 s of which nothing is known is found within 3.5 s in the middle and 7 s at
the 95th percentile; `python -m benchmarks.simulate_waiting --schedule` shows that table.

Time and chance arrive as arguments; who polls, and how, is the poller's business.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .._api.vocabulary import USUAL_SECONDS, USUAL_VIDEO_SECONDS

FIRST = 3.0
"""Seconds until the first poll of a job nothing is known of: an image may be done by then."""
TRUSTED = 8
"""So many polls follow the service's estimate; one that is still wrong after them slows down like any other job."""
LONGEST_HOLD = 3_600.0
"""Seconds a `Retry-After` is obeyed at most; the documented limits are per hour."""

_AFTER = 0.1  # estimates come in whole seconds: a poll just before the end costs a whole pause more, in shortest pauses
_RELAXED = 1.3  # the pause between polls of a job of ordinary age, in shortest pauses
_AGING = 25.0  # an old job is polled every 1/25 of its age
_SLOW = 1.6  # one that takes longer than any is supposed to end before it is so much older
_KEPT = 32
_ENOUGH = 3


@dataclass(frozen=True, slots=True)
class ModelTimes:
    """How long the latest generations of one model took: a bounded running summary.

    Attributes:
        seen: Seconds, oldest first; at most 32.
    """

    seen: tuple[float, ...] = ()

    def with_duration(self, seconds: float) -> ModelTimes:
        """Return the summary with one more; what is no duration changes nothing."""
        if not (math.isfinite(seconds) and seconds >= 0):
            return self
        return ModelTimes((*self.seen[1 - _KEPT :], seconds))

    @property
    def shortest(self) -> float | None:
        """The shortest of them in seconds, or None before there are three."""
        return min(self.seen) if len(self.seen) >= _ENOUGH else None


NOTHING_SEEN = ModelTimes()


def next_poll(
    *,
    age: float,
    polls: int,
    jitter: float,
    model: str | None = None,
    kind: str | None = None,
    times: ModelTimes = NOTHING_SEEN,
    eta: float | None = None,
    progress: float | None = None,
    remaining: float | None = None,
    min_interval: float = 5.0,
    max_interval: float = 30.0,
) -> float:
    """Return the seconds until the next poll of a job.

    Args:
        age: Seconds since the submission, or since the job was first seen.
        polls: How many polls there have been.
        jitter: A number in [0, 1).
        model: The model's slug, or None.
        kind: The kind, or None.
        times: What was seen of the model.
        eta: `eta_seconds` of the last answer, or None.
        progress: `progress` of the last answer in percent, or None.
        remaining: Seconds left of the wait, or None for no limit.
        min_interval: Shortest pause after the first poll, in seconds.
        max_interval: Longest pause, in seconds.

    Returns:
        At least 0 before the first poll and at least `min_interval` after it, unless the wait ends sooner: then the
        poll falls on its end.
    """
    age = max(0.0, age)
    pause = _grown(age, min_interval) * (0.9 + 0.2 * jitter)
    hint = _due_in(age, eta, progress) if polls < TRUSTED else None
    usual = _shortest(model, kind, times)
    if hint is not None:
        pause = hint + _AFTER * min_interval
    elif usual is not None and age < usual:
        pause = (usual - age) * (0.95 + 0.1 * jitter)
    elif polls == 0:
        pause = (min(FIRST, min_interval) - age) * (0.9 + 0.2 * jitter)
    pause = min(max(pause, min_interval if polls else 0.0), max_interval)
    return pause if remaining is None else _within(pause, max(0.0, remaining), min_interval)


def _due_in(age: float, eta: float | None, progress: float | None) -> float | None:
    """Read the service's hints: seconds until the job may be done, or None where they say nothing of use."""
    if eta is not None:
        # 0 is "any moment now"; below it the job should be done and is not, so the estimate says nothing more.
        return eta if eta >= 0 and math.isfinite(eta) else None
    if progress is not None and 5 <= progress < 100 and age > 0:
        return age * (100 - progress) / progress
    return None


def _shortest(model: str | None, kind: str | None, times: ModelTimes) -> float | None:
    """Return the shortest plausible duration, a little early so that a quick one is not waited past."""
    if times.shortest is not None:
        return times.shortest
    documented = USUAL_SECONDS.get(model or "", USUAL_VIDEO_SECONDS if kind == "video" else None)
    return None if documented is None else 0.9 * documented[0]


def _grown(age: float, min_interval: float) -> float:
    return max(min(min_interval + age / 10, _RELAXED * min_interval), age / _AGING)


def _within(pause: float, remaining: float, min_interval: float) -> float:
    """Fit a pause into what is left of the wait, so that its last poll falls on its end and not just after another."""
    if remaining >= pause + min_interval:
        return pause
    return remaining - min_interval if remaining >= 2 * min_interval else remaining


# When a job may have ended, where it is not asked by itself...


@dataclass(frozen=True, slots=True)
class UsualSeconds:
    """How many seconds such a job takes, at the soonest and at the latest."""

    shortest: float
    longest: float


def usual_seconds(model: str | None, kind: str | None, times: ModelTimes) -> UsualSeconds:
    """Return how long a job takes: as seen, else as documented, else as long as a video of which nothing is known."""
    if times.shortest is not None:
        return UsualSeconds(times.shortest, max(times.seen))
    shortest, longest = USUAL_SECONDS.get(model or "", USUAL_VIDEO_SECONDS)
    return UsualSeconds(shortest if model in USUAL_SECONDS or kind == "video" else FIRST, longest)


def may_end_at(age: float, usual: UsualSeconds, place: float) -> float:
    """Return the age at which a job may end that was seen running at this one.

    Args:
        age: Seconds; 0 just after the submission.
        usual: How long such jobs take; any time between is as likely.
        place: Which of them it is, in [0, 1): of many jobs, some are quick and some are slow.
    """
    earliest = max(age, usual.shortest)
    latest = usual.longest if earliest < usual.longest else _SLOW * earliest  # a slow one: the older, the less often
    return earliest + place * (latest - earliest)


# Slowing down, for all jobs at once...


def back_off(
    misses: int,
    *,
    jitter: float,
    retry_after: float | None = None,
    min_interval: float = 5.0,
    max_interval: float = 30.0,
) -> float:
    """Return the seconds nobody polls after a poll that brought no answer.

    Args:
        misses: How many in a row, 1 for the first.
        jitter: A number in [0, 1).
        retry_after: What the service asked for, in seconds, or None; it counts where it is the longer.
        min_interval: The pause's ceiling after the first miss, in seconds; it doubles with each further one.
        max_interval: The highest ceiling, in seconds.
    """
    ceiling = min(max_interval, min_interval * 2.0 ** min(misses - 1, 32))
    pause = ceiling * (0.5 + 0.5 * jitter)
    if retry_after is None or retry_after <= 0:
        return pause
    asked = min(retry_after, LONGEST_HOLD) + spread(jitter=jitter, outstanding=math.inf, min_interval=min_interval)
    return max(pause, asked)


# ... and not all at once.


def ramp(*, jitter: float, outstanding: float, min_interval: float = 5.0) -> float:
    """Return the seconds a poll is put off when the polls that were held go on: few at first, then more.

    Args:
        jitter: A number in [0, 1); the square root makes later times the likelier ones, evenly growing.
        outstanding: How many jobs are waited for; 50 come back within a second.
        min_interval: A quarter of the longest stretch they come back over, in seconds.
    """
    return math.sqrt(jitter) * min(4 * min_interval, outstanding / 50)


def spread(*, jitter: float, outstanding: float, min_interval: float = 5.0) -> float:
    """Return the seconds a poll is put off so that many jobs due together are not polled together.

    Args:
        jitter: A number in [0, 1).
        outstanding: How many jobs are waited for; 200 are spread over a second.
        min_interval: The longest stretch they are spread over, in seconds.
    """
    return jitter * min(min_interval, outstanding / 200)

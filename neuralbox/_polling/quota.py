"""The hourly allowance: what its headers say, and how much of it waiting may use. Pure.

Whether polls count against the plan's hourly limit is not documented, so it is watched: where the count stands still
from one answer to the next, polls are free and nothing here slows anybody down. Where it falls, an allowance of, say,
100 is thought of in fifths: two for submissions, two for the poll that finds each of these finished, and one for all
polls that find nothing. The last fifth (plus what can be seen to be left of the others) is spent so that it falls by
half rather than to nothing: the fewer are left, the longer the pause.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .._api import vocabulary as words
from .._api.fields import as_int, as_number

HORIZON = 600.0
"""Seconds over which the polls to spare are spread: about as long as the longest job takes."""
_SUBMISSIONS = 0.4
_HOUR = 3_600.0


@dataclass(frozen=True, slots=True)
class HourlyQuota:
    """What the headers say, and what was seen of it.

    Attributes:
        limit: Requests an hour.
        remaining: How many are left.
        reset_at: When they are renewed, Unix seconds.
        own: Polls and pages of ours in this hour.
        counted: Whether polls were seen to count.
        free: Whether it was seen not to count.
        noted_at: When this was said, by the poller's clock.
    """

    limit: int
    remaining: int
    reset_at: float
    own: int = 1
    counted: bool = False
    free: bool = False
    noted_at: float = 0.0


def note(before: HourlyQuota | None, headers: Mapping[str, str], *, began: float, now: float) -> HourlyQuota | None:
    """Take account of one answer to a poll.

    Args:
        before: What was known, or None.
        headers: The answer's headers.
        began: When the poll began, by the poller's clock.
        now: The poller's clock.

    Returns:
        What is known now; None where the service names no limit (Elite has none, written as 0).

    Source:
        `X-RateLimit-Limit-Hour`, `-Remaining-Hour`, `-Reset-Hour` (Unix seconds) [elu:en/concepts/rate-limits].
    """
    remaining = as_int(headers.get(words.REMAINING_HOUR))
    limit = as_int(headers.get(words.LIMIT_HOUR))
    reset_at = as_number(headers.get(words.RESET_HOUR))
    if remaining is None or reset_at is None or not limit or limit < 0:
        return before
    if before is None or before.reset_at != reset_at:
        known = before or HourlyQuota(limit, remaining, reset_at)
        return HourlyQuota(limit, remaining, reset_at, 1, known.counted, known.free, now)
    # Only an answer to a question that was asked after the one before it says whether asking counts.
    later = began >= before.noted_at
    return HourlyQuota(
        limit,
        min(remaining, before.remaining),
        reset_at,
        before.own + 1,
        before.counted or (later and remaining < before.remaining),
        before.free or (later and remaining == before.remaining),
        now,
    )


def pause_after_poll(allowance: HourlyQuota | None, *, outstanding: int, now: float) -> float:
    """Return the seconds until the next poll, after one that found nothing.

    Args:
        allowance: What is known of the limit.
        outstanding: Jobs that are waited for; each needs the poll that finds it.
        now: Unix seconds.
    """
    if allowance is None or allowance.free or not allowance.counted:
        return 0.0
    left = min(max(0.0, allowance.reset_at - now), _HOUR)
    if allowance.remaining < 1:
        return left
    submitted = allowance.limit - allowance.remaining - allowance.own
    to_come = 2 * max(0.0, _SUBMISSIONS * allowance.limit - submitted)
    spare = allowance.remaining - outstanding - to_come
    return min(left, HORIZON) / max(1.0, spare)

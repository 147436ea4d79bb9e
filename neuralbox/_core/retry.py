"""How one attempt ended, what that means for the money, and whether another follows.

Two tables decide everything: `classify_attempt` says what an end means (at-most-one-charge.md),
`_FOLLOWED_BY_ANOTHER` which outcomes another attempt may follow at once, by what a repetition would mean. What
follows `AttemptOutcome.UNKNOWN` of a paid request ends the send loop: `_submissions.submission` asks the history first.
500 `provider_error` is documented as never charged, and is unknown all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from .. import _errors as errors
from .._api import vocabulary as words
from .._api.request import RetrySafety


class AttemptOutcome(Enum):
    """Say what one attempt came to, as the service sees it."""

    NOT_SENT = "not sent"
    """No byte of the request left: nothing can have happened."""
    BUSY = "busy"
    """Refused for now, free of charge: 429, or 503 `model_unavailable`, as the service's own JSON."""
    REFUSED = "refused"
    """Refused by the service itself, free of charge; the same request would be refused again."""
    UNKNOWN = "unknown"
    """It may have been accepted."""


def is_from_service(error: BaseException) -> bool:
    """Tell whether an error is the service's own word: a refusal in its own JSON.

    A proxy's or a content network's page says nothing of the account, the job or the request, whatever its status; the
    same goes for an answer that cannot be read.
    """
    return isinstance(error, errors.APIStatusError) and error.is_from_service


def classify_attempt(error: errors.NeuralBoxError, *, sent: bool, failure_is_free: bool = True) -> AttemptOutcome:
    """Classify how an attempt ended.

    Args:
        error: What the attempt raised, or the error of its status.
        sent: Whether the first byte of the request had left.
        failure_is_free: Whether the service documents that a 503 with this code costs nothing.
    """
    if not isinstance(error, errors.APIStatusError):
        if not sent or isinstance(error, errors.ConnectError | errors.ConfigurationError):
            return AttemptOutcome.NOT_SENT
        if isinstance(error, errors.APITimeoutError) and error.phase in ("connect", "pool"):
            return AttemptOutcome.NOT_SENT
        if isinstance(error, errors.ProtocolError) and _is_refusal(error.status_code, ours=False):
            return AttemptOutcome.REFUSED  # what it said was unreadable or too long, that it refused was not
        return AttemptOutcome.UNKNOWN
    # A status is an answer, so the request had left whatever the engine noticed.
    status, ours = error.status_code, is_from_service(error)
    if status == 429 and ours:
        return AttemptOutcome.BUSY
    if status == 503 and error.code == words.MODEL_UNAVAILABLE and failure_is_free:
        return AttemptOutcome.BUSY
    return AttemptOutcome.REFUSED if _is_refusal(status, ours=ours) else AttemptOutcome.UNKNOWN


# Whoever answers them did not let the request through: it redirects, or found it too large before it had read it.
_NEVER_PASSED_ON: Final = frozenset({*range(300, 400), 413, 414, 431})


def _is_refusal(status_code: int | None, *, ours: bool) -> bool:
    """Tell whether a status says that nothing was done, by who says it.

    408 says that the server did not wait for the request, 429 that it was too much for somebody; neither tells a proxy's
    word from an accepted request.
    """
    if status_code is None or status_code in (408, 429):
        return False
    return status_code in _NEVER_PASSED_ON or (ours and status_code < 500)


_FOLLOWED_BY_ANOTHER: Mapping[RetrySafety, frozenset[AttemptOutcome]] = {
    RetrySafety.REPEATABLE: frozenset({AttemptOutcome.NOT_SENT, AttemptOutcome.BUSY, AttemptOutcome.UNKNOWN}),
    RetrySafety.ONCE: frozenset({AttemptOutcome.NOT_SENT, AttemptOutcome.BUSY}),
    RetrySafety.PAID: frozenset({AttemptOutcome.NOT_SENT, AttemptOutcome.BUSY}),
}


# Seconds over which a crowd comes back after the pause it was told: half of that, within these.
_SHORTEST_SPREAD: Final = 0.5
_LONGEST_SPREAD: Final = 2.0


class StopReason(Enum):
    """Say why no further attempt follows; the value completes the error's message."""

    FINAL = ""
    EXHAUSTED = "Given up after {attempts} attempts."
    TOO_LONG = "The service asks to wait {delay:.10g} s, more than `max_retry_wait`={max_wait:.10g} s."
    DEADLINE = "Another attempt would pass the deadline of {deadline:.10g} s."


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Hold the numbers of retrying.

    Attributes:
        max_retries: Attempts after the first.
        max_wait: A service that asks for a longer pause than this, in seconds, ends the call instead.
        deadline: Limit over all attempts, in seconds, or None.
        first_pause: Upper bound of the first pause without a hint, in seconds; it doubles from attempt to attempt.
        longest_pause: Upper bound of any pause without a hint, in seconds.
    """

    max_retries: int = 2
    max_wait: float = 60.0
    deadline: float | None = None
    first_pause: float = 0.5
    longest_pause: float = 8.0


def decide(
    policy: RetryPolicy,
    *,
    safety: RetrySafety,
    outcome: AttemptOutcome,
    error: errors.NeuralBoxError,
    attempt: int,
    elapsed: float,
    jitter: float,
) -> float | StopReason:
    """Decide what follows a failed attempt.

    Args:
        policy: The numbers.
        safety: What a repetition would mean.
        outcome: What the attempt came to.
        error: Its error; a `retry_after` in it counts where it is longer than the back-off.
        attempt: 1 for the first.
        elapsed: Seconds since the call began.
        jitter: In [0, 1).

    Returns:
        Seconds to pause before the next attempt, never fewer than the service asks for; or why there is none.
    """
    if outcome not in _FOLLOWED_BY_ANOTHER[safety] or isinstance(error, errors.ConfigurationError):
        return StopReason.FINAL
    if isinstance(error, errors.APITimeoutError) and error.phase == "deadline":
        return StopReason.FINAL  # it says itself why nothing follows
    if isinstance(error, errors.ProtocolError) and not error.is_garbled and (error.status_code or 500) < 300:
        return StopReason.FINAL  # it answered in JSON, and would answer the same again
    if attempt > policy.max_retries:
        return StopReason.EXHAUSTED
    # Full jitter: anywhere between at once and the bound, so that a crowd does not come back together.
    # (The exponent is capped because a float ends at 2**1023; thirty doublings pass any bound.)
    delay = jitter * min(policy.longest_pause, policy.first_pause * 2.0 ** min(attempt - 1, 30))
    asked = retry_after_of(error)
    if asked is not None:
        if asked > policy.max_wait:
            return StopReason.TOO_LONG
        # The longer one: a service that asks for no pause at all would be asked again without end.
        delay = max(delay, asked + jitter * _spread(policy, asked, elapsed))
    if policy.deadline is not None and elapsed + delay >= policy.deadline:
        return StopReason.DEADLINE
    return delay


def _spread(policy: RetryPolicy, asked: float, elapsed: float) -> float:
    """Return over how many seconds those come back who were all told the same pause; nobody misses a deadline by it."""
    spread = min(_LONGEST_SPREAD, max(_SHORTEST_SPREAD, asked / 2))
    return spread if policy.deadline is None else min(spread, max(0.0, policy.deadline - elapsed - asked))


def retry_after_of(error: errors.NeuralBoxError) -> float | None:
    """Return the seconds the service asks to wait, or None."""
    wait = getattr(error, "retry_after", None)
    return wait if isinstance(wait, int | float) else None

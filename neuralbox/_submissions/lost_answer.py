"""What the lost answers of one paid request come to: found in the history, to be sent again, free, or still unknown.

This module looks and decides; `submission` carries the decision out. The rules:

- With `submission="reconcile"` the history decides. What it proves absent is sent again, `_REPEATS` times as often as
  `max_retries` says, and within the deadline.
- 500 `provider_error` is documented as free and counts as unknown all the same, from the first one: a service that
  charges for it has been seen. What is proven absent after one is sent again as often as `max_retries` says, since it
  was an answer.
- `submission="resend"` sends again without looking, as often as `max_retries` says; `"raise"` never does.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .._api.request import Request, RetrySafety
from .._config import CallOptions
from .._core.exchange import Core
from .._core.retry import AttemptOutcome, StopReason, decide
from .._errors import NeuralBoxError, ProviderError, SubmissionUnknownError
from .._models.generation import Generation
from .claim import body_of
from .pending import PendingSubmission
from .reconcile import Absent, Resolved, Unsure, resolve

logger = logging.getLogger("neuralbox")

ABSENT = "absent"
"""The reason for another sending where the history proved that the one before was not accepted."""
_REPEATS = 3
_NAMED = 5  # candidates in a message


@dataclass(frozen=True, slots=True)
class SendAgain:
    """Decide that it may be sent again.

    Attributes:
        reason: Why it may be.
        error: What the sending before ended with.
        pause: Seconds between the two.
    """

    reason: str
    error: NeuralBoxError
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class NotAccepted:
    """Decide that it is proven that nothing was charged, and that it is not sent again.

    Attributes:
        error: What the call ends with.
    """

    error: NeuralBoxError


@dataclass(frozen=True, slots=True)
class StillUnknown:
    """Decide that nobody knows.

    Attributes:
        error: What the call ends with.
        why: What is missing, a sentence's end.
        candidates: What may be its generation.
    """

    error: NeuralBoxError
    why: str
    candidates: Sequence[Generation] = ()


Decision: TypeAlias = Generation | SendAgain | NotAccepted | StillUnknown


class LostAnswer:
    """Decides what follows the lost answers of one paid request.

    Args:
        core: The client to ask with.
        request: What was sent.
        call: What this one call changes.
        submission: Its entry in the registry.
    """

    __slots__ = ("_call", "_core", "_failures", "_repeats", "_request", "_submission")

    def __init__(self, core: Core, request: Request, call: CallOptions, submission: PendingSubmission) -> None:
        self._core = core
        self._request = request
        self._call = call
        self._submission = submission
        self._repeats = self._failures = 0

    @property
    def _elapsed(self) -> float:
        """Seconds since the call began, as the deadline counts them."""
        return self._core.clock() - self._submission.ending.started

    def as_unknown(self, cause: NeuralBoxError) -> SubmissionUnknownError:
        """Build the error of an outcome that nobody knows."""
        sent_at = self._submission.claim.sent_at
        unknown = self._core.unknown(self._request, sent_at=sent_at, cause=cause, call=self._call)
        unknown.__cause__ = cause
        return unknown

    async def settle(self, error: NeuralBoxError, *, is_resumed: bool = False) -> Decision:
        """Settle an unknown outcome as `submission=` says.

        Args:
            error: The error that says so.
            is_resumed: An earlier run sent it, so that another sending is the first of this one.
        """
        policy = self._core.options.submission
        if policy == "reconcile":
            return await self._reconcile(error, is_resumed=is_resumed)
        if policy == "resend":
            step = self._next(cause_of(error))
            if not isinstance(step, StopReason):
                return SendAgain(AttemptOutcome.UNKNOWN.value, error, step)
        return StillUnknown(error, "nobody looked for it, as `submission=` says")

    async def _reconcile(self, error: NeuralBoxError, *, is_resumed: bool = False) -> Decision:
        deadline = self._core.options.deadline
        until = None if deadline is None else self._submission.ending.started + deadline
        settled = await resolve(self._core, self._submission, until=until)
        if isinstance(settled, Resolved):
            logger.info("A lost answer was found in the history: the %s.", settled.generation.ref)
            return settled.generation
        if isinstance(settled, Unsure):
            return StillUnknown(self._explained(error, settled), settled.why, settled.candidates)
        assert isinstance(settled, Absent)
        return self._after_absence(error, is_resumed=is_resumed)

    def _after_absence(self, error: NeuralBoxError, *, is_resumed: bool) -> Decision:
        """Allow another sending of what was never accepted, unless there were enough."""
        self._repeats += 1
        options, cause = self._core.options, cause_of(error)
        most = options.max_retries * (1 if isinstance(cause, ProviderError) else _REPEATS)
        is_late = options.deadline is not None and self._elapsed >= options.deadline
        if is_late or (not is_resumed and self._repeats > most):
            cause.args = (f"{cause.message} The history shows that it was not accepted, so nothing was charged.",)
            return NotAccepted(cause)
        logger.info("A lost request was never accepted, as the history shows; it may be sent again.")
        return SendAgain(ABSENT, error)

    def _next(self, error: NeuralBoxError) -> float | StopReason:
        """Return the pause before another sending, by the same rules as those of what may be repeated freely."""
        self._failures += 1
        core = self._core
        return decide(
            core.policy,
            safety=RetrySafety.REPEATABLE,
            outcome=AttemptOutcome.UNKNOWN,
            error=error,
            attempt=self._failures,
            elapsed=self._elapsed,
            jitter=core.random(),
        )

    def _explained(self, error: NeuralBoxError, unsure: Unsure) -> SubmissionUnknownError:
        claim, why = self._submission.claim, cause_of(error)
        ids = [repr(each.id) for each in unsure.candidates[:_NAMED]]
        more = len(unsure.candidates) - len(ids)
        named = f"{', '.join(ids)}{f' or one of {more} more' if more > 0 else ''}"
        decide_by_hand = f" It may be {named}: `client.unresolved[i].adopt(id)` decides." if ids else ""
        unknown = SubmissionUnknownError(
            f"A paid request was sent and its outcome is unknown ({type(why).__name__}: {why.message.rstrip('.')}). It "
            f"was not sent again, since it may be accepted and charged: {unsure.why}. It stays in `client.unresolved`, "
            f"and `client.reconcile()` looks for it again.{decide_by_hand}",
            request=body_of(self._request, self._call.extra_body),
            sent_at=claim.sent_at,
            lost_at=claim.lost_at,
            candidates=unsure.candidates,
            window=unsure.window,
        )
        unknown.__cause__ = error.__cause__
        return unknown


def cause_of(error: NeuralBoxError) -> NeuralBoxError:
    """Return what stood behind an unknown outcome."""
    return error.__cause__ if isinstance(error.__cause__, NeuralBoxError) else error

"""`Slowdown`: when nobody may poll, because polls fail.

A poll that brings no answer holds everybody's polls, longer each time; one answer ends that.
"""

from __future__ import annotations

from .._config import Polling
from .._errors import NeuralBoxError
from .schedule import back_off


class Slowdown:
    """What holds the polls of one poller.

    Attributes:
        held_until: No poll before, after one that failed, by the core's clock; None before the first failure, and where one was
            answered since.
    """

    __slots__ = ("_failures", "_last_failure", "held_until")

    def __init__(self) -> None:
        self.held_until: float | None = None
        self._failures = 0
        self._last_failure: float | None = None

    def answered(self, began: float, *, now: float) -> bool:
        """Note that something asked at that time was answered; return whether that lets polls go on which were held."""
        if self._last_failure is not None and began < self._last_failure:
            return False
        held_until, self.held_until, self._failures = self.held_until, None, 0
        return held_until is not None and held_until > now

    def failed(self, error: NeuralBoxError, *, began: float, now: float, jitter: float, polling: Polling) -> float:
        """Hold everybody's polls and return for how long, in seconds; of those under way together only the first counts."""
        if self._last_failure is None or began >= self._last_failure:
            self._failures += 1
            self._last_failure = now
        pause = back_off(
            self._failures,
            jitter=jitter,
            retry_after=getattr(error, "retry_after", None),
            min_interval=polling.min_interval,
            max_interval=polling.max_interval,
        )
        self.held_until = max(self.held_until or now, now + pause)
        return pause

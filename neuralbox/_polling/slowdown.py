"""`Slowdown`: when nobody may poll, because polls fail or because requests are scarce.

A poll that brings no answer holds everybody's polls, longer each time; one answer ends that. Where polls count against the
hour's limit, one that found nothing finished is followed by a pause.
"""

from __future__ import annotations

from collections.abc import Mapping

from .._api.vocabulary import REMAINING_HOUR
from .._config import Polling
from .._core.exchange import Core
from .._errors import NeuralBoxError
from .._rate_limit.limiter import limiter_of
from .quota import HourlyQuota, note, pause_after_poll
from .schedule import back_off


class Slowdown:
    """What holds the polls of one poller.

    Args:
        core: Any client of the account, for its clock.

    Attributes:
        held_until: No poll before, after one that failed, by the core's clock; None before the first failure.
        scarce_until: No poll before that can wait, because requests are scarce; None before the first such pause.
    """

    __slots__ = (
        "_clock",
        "_failures",
        "_last_failure",
        "_limiter",
        "_quota",
        "_unix_now",
        "held_until",
        "scarce_until",
    )

    def __init__(self, core: Core) -> None:
        self.held_until: float | None = None
        self.scarce_until: float | None = None
        self._failures = 0
        self._last_failure: float | None = None
        self._quota: HourlyQuota | None = None
        self._clock = core.clock
        self._unix_now = core.now
        self._limiter = limiter_of(core)

    # Failures...

    def answered(self, began: float) -> None:
        """Note that something asked at that time was answered."""
        if self._last_failure is None or began >= self._last_failure:
            self._failures = 0

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

    # ... and the hourly limit.

    def heard(self, headers: Mapping[str, str], *, began: float, outstanding: int) -> None:
        """Take note of what the headers of an answer say of the hourly limit."""
        if REMAINING_HOUR in headers:
            clock = self._clock()
            quota = self._quota = note(self._quota, headers, began=began, now=clock)
            self._limiter.heard(headers, began=began, clock=clock, now=self._unix_now())
            counted = quota is not None and quota.counted and not quota.free
            self._limiter.polled(counted=counted, outstanding=outstanding)

    def spend(self, requests: int, *, now: float, outstanding: int) -> None:
        """Pause after requests that found nothing finished, where they are scarce."""
        until = now + requests * self.price(outstanding)
        self.scarce_until = until if self.scarce_until is None else max(self.scarce_until, until)

    def price(self, outstanding: int) -> float:
        """Return the seconds that one request more costs, with so many jobs waited for."""
        return pause_after_poll(self._quota, outstanding=outstanding, now=self._unix_now())

"""Estimate the service's clock from the `Date` headers of its answers.

The estimate is an offset to this machine's monotonic clock, so that setting the machine's clock changes nothing. It is
never late and early by `matching.LATE` at most: a header is cut to whole seconds and read when its answer has come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .._api.fields import as_http_date


class ServiceClock:
    """What is known of the service's clock.

    Attributes:
        late: Seconds the last answer that was read for its date took: the service's clock may be so far ahead.
    """

    def __init__(self) -> None:
        self.late = 0.0
        self._skew: float | None = None
        self._unread: tuple[str, float] | None = None

    def note_headers(self, headers: Mapping[str, str], clock: Callable[[], float]) -> None:
        """Keep the `Date` of an answer that has just come; it is read when it is needed."""
        date = headers.get("date")
        if date is not None:
            self._unread = (date, clock())

    def note_date(self, date: str | None, *, asked: float, now: float) -> None:
        """Read a `Date` that has just come, of what was asked then by the monotonic clock."""
        moment = as_http_date(date)
        if moment is not None:
            self._skew, self._unread = moment - now, None
            self.late = now - asked  # written at any time between

    @property
    def skew(self) -> float | None:
        """What added to the monotonic clock gives the service's Unix time; None while no answer told."""
        if self._skew is None and self._unread is not None:
            moment = as_http_date(self._unread[0])
            self._skew = None if moment is None else moment - self._unread[1]
            self._unread = None
        return self._skew

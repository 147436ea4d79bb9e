"""How many connections a client may hold: one frozen value, checked when it is made. The engine and its pools read it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .._api.checks import require_whole
from .._errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of the network one client uses at the same time, counted per running event loop.

    More calls than that are welcome: they queue in the order they came, without a time limit of their own.

    Attributes:
        max_connections: Ordinary requests in flight at once.
        max_streams: Text streams open at once. They have slots of their own, so that long ones never starve short
            requests.
        max_downloads: Files fetched at once. They have slots of their own, too, so that neither polls nor streams ever
            wait for them; the client may hold the sum of the three in connections.
        keepalive_expiry: Seconds an idle connection is kept for the next request.
    """

    max_connections: int = 100
    max_streams: int = 16
    max_downloads: int = 8
    keepalive_expiry: float = 30.0

    def __post_init__(self) -> None:
        for name in ("max_connections", "max_streams", "max_downloads"):
            require_whole(f"limits.{name}", getattr(self, name), lowest=1)
        expiry: object = self.keepalive_expiry
        if not isinstance(expiry, int | float) or isinstance(expiry, bool) or math.isnan(expiry) or expiry < 0:
            raise ConfigurationError(
                f"limits.keepalive_expiry must be a number of seconds of at least 0, not {expiry!r}."
            )

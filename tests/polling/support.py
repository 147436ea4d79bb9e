"""What the tests of waiting look at besides the service."""

from __future__ import annotations

from neuralbox._core.exchange import Core
from neuralbox._polling.account_pollers import poller_of
from neuralbox._polling.poller import Poller


def nothing_left(core: Core) -> bool:
    """Whether the poller of a client holds nothing and nobody; ask inside the loop."""
    poller: Poller = poller_of(core)
    leadership = poller.leadership
    return not (
        poller.jobs
        or len(poller.queue)
        or len(poller._limits)
        or poller._overdue
        or leadership.sleeping
        or leadership.leader
    )

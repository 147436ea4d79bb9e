"""What an actor of the tests is; each is a process that imports this module and no more, since that is a good part of its time."""

from __future__ import annotations

from neuralbox._journal.postgres import membership
from neuralbox._submissions import registry
from neuralbox.ray._worker import GenerateRows, WorkerSettings

LEASE = 3.0


class QuickRows(GenerateRows):
    """An actor whose leases and searches for lost answers take seconds."""

    def __init__(self, settings: WorkerSettings) -> None:
        super().__init__(settings)
        membership.LEASE = LEASE  # type: ignore[misc]
        registry.SettlePolicy.__new__.__defaults__ = (1.0, 1.0, 3.0)

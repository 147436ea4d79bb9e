"""`JobWaiter`: one wait for one job, whose polls run in the task that waits."""

from __future__ import annotations

from .._config import CallOptions
from .._core.exchange import Core
from .._models.generation import Generation
from .polled_job import JobState, PolledJob, Waiter
from .poller import Poller


class JobWaiter(Waiter):
    """One wait for one job.

    Args:
        poller: Whom it waits with.
        core: The client to poll with.
        call: Call options of its polls.
        deadline: When it ends, by the core's clock; None for never.
        wants_progress: Whether it wants to hear of each change, not only of the end.

    Attributes:
        job: What it waits for; set by `watch`.
        known_version: The version of the job that its caller knows.
    """

    __slots__ = ("_poller", "job", "known_version")

    job: PolledJob
    known_version: int

    def __init__(
        self, poller: Poller, core: Core, call: CallOptions, deadline: float | None, *, wants_progress: bool
    ) -> None:
        super().__init__(core, call, deadline, wants_progress=wants_progress)
        self._poller = poller

    def watch(self, job: PolledJob, known: Generation | None) -> None:
        """Wait for a job of which the caller knows so much."""
        self.job = job
        self.known_version = job.version_known_to(known)

    def notify(self, job: PolledJob) -> None:
        """Hear of a change; `has_update` reads it from the job."""

    def has_update(self, now: float) -> bool:
        job = self.job
        return (
            job.state is JobState.ENDED
            or (self.wants_progress and job.version != self.known_version)
            or (self.deadline is not None and self.is_over(job, now))
        )

    async def work(self) -> bool:
        self._poller.leadership.resign(self)
        await self._poller.do(self, self.todo.pop())
        return True

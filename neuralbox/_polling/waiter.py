"""`Waiter`: one wait, as the poller sees it. `JobWaiter` is that of a single job; `_polling.many` has those of many.

The poller makes three calls to it: `has_update` (is there something to tell the caller?), `notify` (a job changed), `work`
(do what you were chosen for). The rest is state, small, since a thousand waits are a thousand of these; an event exists only
while the waiter sleeps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol, TypeAlias

import anyio

from .._config import CallOptions
from .._core.exchange import Core
from .._errors import NeuralBoxError
from .._models.generation import Generation
from .polled_job import JobState, PolledJob

if TYPE_CHECKING:
    from .poller import Poller

GRACE = 5.0
"""Seconds by which the last poll at the end of a wait may outlast the wait's limit."""


class PollTask(Protocol):
    """Something done for many jobs in the task of one waiter."""

    async def __call__(self, waiter: Waiter) -> None: ...

    def drop(self) -> None:
        """Give back what it was to be done for; called when it will not be begun."""


Task: TypeAlias = PolledJob | PollTask
"""What a waiter does for the others: a poll of one job, or a task for many."""


class Waiter(ABC):
    """One wait.

    Args:
        core: The client to poll with.
        call: Call options of its polls.
        deadline: When it ends, by the core's clock; None for never.
        wants_progress: Whether it wants to hear of each change, not only of the end.

    Attributes:
        is_waiting: Whether it is inside `Poller.wait_for_update`.
        todo: Jobs it was chosen to poll, and tasks for many.
        event: Set to wake it; None while it does not sleep.
        failure: What ends it whatever becomes of its jobs: its client was closed. None before that.
        is_patient: Whether nobody waits for one of its jobs by itself, as in a batch.
        needs_result_only: Whether text or address, and what was charged, are all that its caller needs of a completed job.
    """

    __slots__ = ("call", "core", "deadline", "event", "failure", "is_waiting", "todo", "wants_progress")

    is_patient = False
    needs_result_only = False

    def __init__(self, core: Core, call: CallOptions, deadline: float | None, *, wants_progress: bool) -> None:
        self.core = core
        self.call = call
        self.deadline = deadline
        self.wants_progress = wants_progress
        self.is_waiting = False
        self.todo: list[Task] = []
        self.event: anyio.Event | None = None
        self.failure: NeuralBoxError | None = None

    @abstractmethod
    def has_update(self, now: float) -> bool:
        """Whether there is something to tell the caller."""

    @abstractmethod
    def notify(self, job: PolledJob) -> None:
        """Hear that a job changed; called with no await since the answer came."""

    async def work(self, poller: Poller) -> bool:
        """Do something of `todo`, or have it done; False where there is no room for it now."""
        poller.leadership.resign(self)
        await poller.do(self, self.todo.pop())
        return True

    def is_over(self, job: PolledJob, now: float) -> bool:
        """Whether the wait's limit passed and the last poll of this job was had (or took too long)."""
        if self.deadline is None or now < self.deadline:
            return False
        return not self.wants_last_poll(job) or now >= self.deadline + GRACE

    def is_late(self, job: PolledJob, now: float) -> bool:
        """Whether the wait ends without the job's end."""
        return not job.is_ended and self.is_over(job, now)

    def wants_last_poll(self, job: PolledJob) -> bool:
        """Whether there was no poll at the end of the wait, whose limit has passed; one that just ended counts."""
        if job.polled_by is not None or job.asked_at is None:
            return True
        assert self.deadline is not None
        return job.asked_at + self.core.options.polling.min_interval <= self.deadline


class JobWaiter(Waiter):
    """One wait for one job.

    Attributes:
        job: What it waits for; set by `watch`.
        heard: The version of the job that its caller knows.
    """

    __slots__ = ("heard", "job")

    job: PolledJob
    heard: int

    def watch(self, job: PolledJob, known: Generation | None) -> None:
        """Wait for a job of which the caller knows so much."""
        self.job = job
        self.heard = job.version_known_to(known)

    def notify(self, job: PolledJob) -> None:
        """Hear of a change; `has_update` reads it from the job."""

    def has_update(self, now: float) -> bool:
        job = self.job
        return (
            job.state is JobState.ENDED
            or (self.wants_progress and job.version != self.heard)
            or (self.deadline is not None and self.is_over(job, now))
        )

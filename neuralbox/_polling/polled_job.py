"""`PolledJob`, one job that is waited for, and `Waiter`, one wait: each knows the other, many to many.

Plain state with the questions that are asked of it. There are as many of them as jobs are waited for, so they are small:
slots, no task, no scope; an event exists only while a waiter sleeps. In which state a job is, and what changes it, is told
by the table in `_polling.poller`. `_polling.job_waiter` has the wait for a single job, `_polling.many` those for many.

The poller makes three calls to a waiter: `has_update` (is there something to tell the caller?), `notify` (a job changed),
`work` (do what you were chosen for).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

import anyio

from .._config import CallOptions, Polling
from .._core.exchange import Core
from .._errors import NeuralBoxError
from .._models.generation import Generation
from .._types import JobRef
from .listing_plan import PRESENT, Absence, ListedJob

GRACE = 5.0
"""Seconds by which the last poll at the end of a wait may outlast the wait's limit."""


class JobState(Enum):
    """Where a job stands, as the table in `_polling.poller` tells."""

    SCHEDULED = "scheduled"
    DUE = "due"
    OVERDUE = "overdue"
    POLLING = "polling"
    ENDED = "ended"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """What a handle remembers of its job from one wait to the next. Times are by the core's clock.

    Attributes:
        since: When it was submitted, or first seen here.
        dated: Whether `since` is the time of its submission.
        generation: The last answer, that of the submission included, or None.
        polls: How many polls there were.
        asked_at: When the last one began, or None.
    """

    since: float
    dated: bool = False
    generation: Generation | None = None
    polls: int = 0
    asked_at: float | None = None

    @property
    def told_at(self) -> float:
        """When the last answer was asked for, that of the submission included."""
        return self.since if self.asked_at is None else max(self.since, self.asked_at)


class PolledJob:
    """One job that is waited for. Times are by the core's clock.

    Attributes:
        ref: The job.
        since: When it was submitted, or first seen here.
        dated: Whether `since` is the time of its submission.
        seen: The last answer of its own, else what a listing said of it (the same object for all jobs of which it said
            the same), or None.
        expected_at: When it may be done, by the service's last estimate; None without one.
        state: What is being done about it.
        version: Grows with each answer that differs from the one before.
        failure: What ended its waits in place of a final state; before that, the error of the last poll, where that
            brought no answer.
        polls: How many polls there were.
        asked_at: When the last one began, or None.
        poll_at: When the schedule wants the next one.
        due: Its time in the queue; None while it is not in there.
        polled_by: Who polls it or was chosen to; a sweep while it walks for it.
        waiters: All who wait for it, in the order of their arrival; a tuple, since it is nearly always one.
        absence: How it was missing from listings.
    """

    __slots__ = (
        "absence",
        "asked_at",
        "dated",
        "due",
        "expected_at",
        "failure",
        "poll_at",
        "polled_by",
        "polls",
        "ref",
        "seen",
        "since",
        "state",
        "version",
        "waiters",
    )

    def __init__(self, ref: JobRef, known: JobSnapshot) -> None:
        self.ref = ref
        self.since = known.since
        self.dated = known.dated
        self.seen: Generation | ListedJob | None = None
        self.expected_at: float | None = None
        self.state = JobState.SCHEDULED
        self.version = 0
        self.failure: NeuralBoxError | None = None
        self.polls = known.polls
        self.asked_at = known.asked_at
        self.poll_at = known.since
        self.due: float | None = None
        self.polled_by: Waiter | PollTask | None = None
        self.waiters: tuple[Waiter, ...] = ()
        self.absence: Absence = PRESENT
        if known.generation is not None:
            self.keep_answer(known.generation, known.told_at)
            if known.generation.is_final:
                self.state = JobState.ENDED

    def keep_answer(self, answer: Generation, at: float) -> None:
        """Keep an answer of its own status."""
        self.seen = answer
        eta = answer.eta_seconds
        self.expected_at = None if eta is None else at + eta

    @property
    def is_ended(self) -> bool:
        """Whether nothing more will be heard of it."""
        return self.state is JobState.ENDED

    @property
    def answer(self) -> Generation | None:
        """The last answer of its own, or None."""
        return self.seen if isinstance(self.seen, Generation) else None

    @property
    def generation(self) -> Generation | None:
        """The last answer; made of what a listing said where there was none: a job that is only swept keeps no record."""
        seen = self.seen
        if isinstance(seen, ListedJob):
            record = {"id": self.ref.id, "status": seen.status, "type": seen.kind, "model": seen.model}
            return Generation.read(record, kind=self.ref.kind)
        return seen

    @property
    def error(self) -> NeuralBoxError | None:
        """What ended its waits in place of a final state, or None."""
        return self.failure if self.is_ended else None

    @property
    def snapshot(self) -> JobSnapshot:
        """What to remember of it for the next wait."""
        return JobSnapshot(self.since, self.dated, self.generation, self.polls, self.asked_at)

    @property
    def polling(self) -> Polling:
        """How often it may be polled: the policy of whoever waits longest."""
        return self.waiters[0].core.options.polling

    @property
    def needs_result_only(self) -> bool:
        """Whether text or address are all that those who wait for it need."""
        return all(waiter.needs_result_only for waiter in self.waiters)

    def wants_last_poll(self, now: float) -> bool:
        """Whether the limit of one of its waits passed without a poll at its end."""
        for waiter in self.waiters:  # asked for every job at every turn, and nearly always no
            if waiter.deadline is not None and now >= waiter.deadline and waiter.wants_last_poll(self):
                return True
        return False

    def version_known_to(self, known: Generation | None) -> int:
        """Return the version that is news to nobody who knows this answer."""
        generation = self.generation
        return self.version - (generation is not None and progress_of(generation) != progress_of(known))


def progress_of(generation: Generation | None) -> tuple[object, ...]:
    """Return what of an answer is news where it differs from the one before."""
    return () if generation is None else (generation.status, generation.progress, generation.eta_seconds)


def kind_and_model(job: PolledJob) -> tuple[str | None, str | None]:
    """Return what a job is, as far as its reference or what was last said of it tells."""
    ref, seen = job.ref, job.seen
    if seen is None:
        return ref.kind, ref.model
    return ref.kind or seen.kind, ref.model or seen.model


# Who waits...


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
        due: When it must end, last poll or not, while it is inside `Poller.wait_for_update` and has a deadline; else None.
        is_waiting: Whether it is inside `Poller.wait_for_update`.
        todo: Jobs it was chosen to poll, and tasks for many.
        event: Set to wake it; None while it does not sleep.
        failure: What ends it whatever becomes of its jobs: its client was closed. None before that.
        is_patient: Whether nobody waits for one of its jobs by itself, as in a batch.
        needs_result_only: Whether text or address, and what was charged, are all that its caller needs of a completed job.
    """

    __slots__ = ("call", "core", "deadline", "due", "event", "failure", "is_waiting", "todo", "wants_progress")

    is_patient = False
    needs_result_only = False

    @property
    def has_jobs(self) -> bool:
        """Whether there is a job that it waits for; one that others add to may have none yet, or no more."""
        return True

    def __init__(self, core: Core, call: CallOptions, deadline: float | None, *, wants_progress: bool) -> None:
        self.core = core
        self.call = call
        self.deadline = deadline
        self.wants_progress = wants_progress
        self.due: float | None = None
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

    @abstractmethod
    async def work(self) -> bool:
        """Do something of `todo`, or have it done; False where there is no room for it now."""

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

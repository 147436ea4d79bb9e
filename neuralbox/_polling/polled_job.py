"""The poller's book-keeping: `PolledJob` is one job however many wait for it, `JobWaiter` is one wait.

Both are plain state with the questions the poller asks of it. There are as many of them as jobs are waited for, so
they are small: slots, no task, no scope, and an event only while the waiter sleeps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import anyio

from .._config import CallOptions, Polling
from .._core.exchange import Core
from .._errors import NeuralBoxError
from .._models.generation import Generation
from .._types import JobRef
from .listing_plan import ListedJob

if TYPE_CHECKING:
    from .poller import Poller

GRACE = 5.0
"""Seconds by which the last look at the end of a wait may outlast the wait's limit."""
NEVER = math.inf


class PollTask(Protocol):
    """Something done for many entries in the task of one waiter."""

    async def __call__(self, waiter: JobWaiter) -> None: ...

    def drop(self) -> None:
        """Give back what it was to be done for; called when it will not be begun."""


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """What a handle remembers of its job from one wait to the next. Times are by the core's clock.

    Attributes:
        since: When it was submitted, or first seen here.
        dated: Whether `since` is the time of its submission.
        generation: The last answer, that of the submission included, or None.
        looks: How many looks there were.
        asked_at: When the last one began; minus infinity before the first.
    """

    since: float
    dated: bool = False
    generation: Generation | None = None
    polls: int = 0
    asked_at: float = -NEVER


class PolledJob:
    """One job that is waited for. Times are by the core's clock.

    Attributes:
        ref: The job.
        since: When it was submitted, or first seen here.
        dated: Whether `since` is the time of its submission.
        answer: The last answer of its own, or None.
        settled: Whether nothing more will be heard of it.
        hint_at: When it may be done, by the service's last estimate; minus infinity without one.
        listed: What a listing said of it, or None; the same object for all jobs of which it said the same.
        version: Grows with each answer that differs from the one before.
        error: What ends its waits in place of a final state.
        miss: The error of the last look, when that brought no answer.
        looks: How many looks there were.
        asked_at: When the last look began.
        look_at: When the schedule wants the next one.
        due: Its valid time in the heap; infinite when it is not in there.
        looker: Who was chosen to look, or is looking; a sweep while it walks for it.
        waiters: All who wait for it, in the order of their arrival; a tuple, since it is nearly always one.
        absent: How many sweeps in a row did not show it.
        alone_until: Until when it is asked one by one; infinite until its next look.
    """

    __slots__ = (
        "absent",
        "alone_until",
        "answer",
        "asked_at",
        "dated",
        "due",
        "error",
        "hint_at",
        "listed",
        "miss",
        "poll_at",
        "polled_by",
        "polls",
        "ref",
        "settled",
        "since",
        "version",
        "waiters",
    )

    def __init__(self, ref: JobRef, known: JobSnapshot | PolledJob) -> None:
        self.ref = ref
        self.since: float = known.since
        self.dated: bool = known.dated
        self.answer: Generation | None = None
        self.settled = False
        self.hint_at: float = -NEVER
        if known.generation is not None:
            self.take(known.generation, max(known.since, known.asked_at))
        self.listed: ListedJob | None = None
        self.version = 0
        self.error: NeuralBoxError | None = None
        self.miss: NeuralBoxError | None = None
        self.polls: int = known.polls
        self.asked_at: float = known.asked_at
        self.poll_at: float = known.since
        self.due = NEVER
        self.polled_by: JobWaiter | PollTask | None = None
        self.waiters: tuple[JobWaiter, ...] = ()
        self.absent = 0
        self.alone_until = -NEVER

    def take(self, answer: Generation, at: float) -> None:
        """Keep an answer of its own status."""
        self.answer = answer
        self.settled = answer.is_final
        eta = answer.eta_seconds
        self.hint_at = -NEVER if eta is None else at + eta

    @property
    def generation(self) -> Generation | None:
        """The last answer; made of what a listing said where there was none: a job that is only swept keeps no record."""
        if self.answer is None and self.listed is not None:
            said = self.listed
            record = {"id": self.ref.id, "status": said.status, "type": said.kind, "model": said.model}
            return Generation.read(record, kind=self.ref.kind)
        return self.answer

    @property
    def known(self) -> JobSnapshot:
        """What to remember of it for the next wait."""
        return JobSnapshot(self.since, self.dated, self.generation, self.polls, self.asked_at)

    @property
    def polling(self) -> Polling:
        """How often it may be looked at: the policy of whoever waits longest."""
        return self.waiters[0].core.options.polling


class JobWaiter:
    """One wait, for one job.

    Args:
        core: The client to look with.
        call: Call options of its looks.
        deadline: When it ends, by the core's clock; None for never.
        curious: Whether it wants to hear of each change, not only of the end.

    Attributes:
        entry: The job; set by `Poller.join`.
        heard: The version of the entry it has heard of.
        here: Whether it is inside `Poller.news`.
        todo: Entries it was chosen to look at, and errands it was sent on.
        workers: How many tasks of its own look on while it is not inside.
        event: Set to make it look around; None while it is not parked.
    """

    __slots__ = (
        "call",
        "core",
        "deadline",
        "entry",
        "event",
        "heard",
        "is_waiting",
        "todo",
        "wants_progress",
        "workers",
    )

    def __init__(self, core: Core, call: CallOptions, deadline: float | None, *, curious: bool) -> None:
        self.core = core
        self.call = call
        self.deadline = deadline
        self.wants_progress = curious
        self.entry: PolledJob | None = None
        self.heard = 0
        self.is_waiting = False
        self.todo: list[Task] = []
        self.workers = 0
        self.event: anyio.Event | None = None

    def joined(self, entry: PolledJob, *, news: bool) -> None:
        """Take note of a job to wait for; `news` when more is known of it than the waiter knows."""
        self.entry = entry
        self.heard = entry.version - news

    def notify(self, entry: PolledJob) -> None:
        """Hear that something changed; called with no await since the answer came."""

    def has_update(self, now: float) -> bool:
        """Whether there is something to tell the caller."""
        entry = self.entry
        assert entry is not None
        return entry.settled or (self.wants_progress and entry.version != self.heard) or self.is_over(entry, now)

    def is_over(self, entry: PolledJob, now: float) -> bool:
        """Whether the wait's limit passed and the last look at this job was had (or took too long)."""
        if self.deadline is None or now < self.deadline:
            return False
        return not self.wants_last_poll(entry) or now >= self.deadline + GRACE

    def is_late(self, entry: PolledJob, now: float) -> bool:
        """Whether the wait ends without the job's end."""
        return not entry.settled and self.is_over(entry, now)

    def wants_last_poll(self, entry: PolledJob) -> bool:
        """Whether there was no look at the end of the wait, whose limit has passed; one that just ended counts."""
        assert self.deadline is not None
        return entry.polled_by is not None or entry.asked_at + self.core.options.polling.min_interval <= self.deadline

    def can_work(self) -> bool:
        """Whether it was chosen for a look that it has not begun."""
        return bool(self.todo)

    async def work(self, poller: Poller) -> None:
        """Do a look it was chosen for, or an errand."""
        poller.resign(self)
        await poller.do(self, self.todo.pop())


Task: TypeAlias = PolledJob | PollTask
"""What a waiter does for the others: a look at one job, or an errand."""

"""`PolledJob`: one job that is waited for, however many wait for it.

Plain state with the questions that are asked of it. There are as many of them as jobs are waited for, so they are small:
slots, no task, no scope. In which state a job is, and what changes it, is told by the table in `_polling.poller`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from .._config import Polling
from .._errors import NeuralBoxError
from .._models.generation import Generation
from .._types import JobRef
from .listing_plan import PRESENT, Absence, ListedJob

if TYPE_CHECKING:
    from .waiter import PollTask, Waiter


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
            self.take(known.generation, known.told_at)
            if known.generation.is_final:
                self.state = JobState.ENDED

    def take(self, answer: Generation, at: float) -> None:
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

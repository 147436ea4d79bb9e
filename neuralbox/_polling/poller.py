"""`Poller`: serves every wait of one account on one event loop, without a task of its own.

Each wait runs in its caller's task and enters `wait_for_update` whenever it has nothing better to do. One of those inside
leads (`_polling.leadership`): it sleeps until the earliest job of a queue (`_polling.poll_queue`) is due, takes the set of
due jobs and gives it to a strategy (`listing.SweepPlanner`), which assigns each job to one of its own waiters, who polls it in
its own task with its own options, or has one waiter walk a listing that answers for the set. The rules:

- Whoever leaves `wait_for_update`, for whatever reason, gives back the polls it was chosen for and hands the lead on
  before anything else can run. Callbacks and suspended iterators are outside, so they hold up nobody but themselves.
- An answer is published to all who wait for it with no await in between, and the first final one stands.
- A poll that brings no answer ends no wait; it slows everybody down (`_polling.slowdown`), and afterwards the polls come
  back in a ramp. 401 and 403 end all waits, 404 that of a job older than `YOUNG` seconds, where the service itself says
  so: a page of a proxy or content network is no answer.
- The starts of two polls of one job are a shortest pause apart, whoever waits.

What becomes of a job that is waited for (`JobState`):

    state       event                                                       next
    scheduled   its time has come, and nothing holds its poll               due
    scheduled   a sweep takes it along, or its limit wants a last poll      polling
    scheduled   another poll's refusal ends all waits                       ended
    due         the strategy put it off, or was cut off                     scheduled
    due         the strategy gave it to a waiter who is here, or to a sweep polling
    due         none of its waiters is here                                 overdue
    due         the strategy knew its end, or a refusal ended all waits     ended
    overdue     one of its waiters comes back, or a sweep takes it along    polling
    overdue     another poll's refusal ends all waits                       ended
    polling     it runs, or no answer came                                  scheduled
    polling     its poller left, and none of its other waiters is here      overdue
    polling     it is final, refused, or unknown                            ended
    scheduled   its last waiter left                                        abandoned
    due         its last waiter left                                        abandoned
    overdue     its last waiter left                                        abandoned
    polling     its last waiter left                                        abandoned

When to poll is decided by `_polling.schedule`; what a wait returns or raises by `job` and `many`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import anyio
from anyio.lowlevel import checkpoint

from .._concurrency.per_loop import call_in_loop, running_loop
from .._core.exchange import Core
from .._costs.charges import charges_of
from .._errors import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    NeuralBoxError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    RateLimitError,
)
from .._models.generation import Generation
from .._transport.closing import closed_error, is_closed, listen
from .._types import JobRef
from .durations import DurationLog
from .journal_hints import JournalHints
from .leadership import Leadership
from .listed_fields import ListedFields
from .listing_plan import ListedJob, next_turn
from .poll_queue import PollQueue
from .polled_job import (
    GRACE,
    JobSnapshot,
    JobState,
    PolledJob,
    PollTask,
    Task,
    Waiter,
    kind_and_model,
    progress_of,
)
from .reading import ReadPlan
from .schedule import NOTHING_SEEN, TRUSTED, next_poll, ramp, spread
from .seen_events import SeenEvents
from .slowdown import Slowdown
from .status import poll

YOUNG = 30.0
"""Seconds for which a 404 may mean that the service does not show the job yet."""
# A timer may fire a hair early, and virtual clocks add up floats.
_HAIR = 1e-6
_MOMENT = 0.1
_PAUSE = 1.0  # until the answers to those that were chosen are there


Strategy: TypeAlias = Callable[["Poller", Sequence[PolledJob]], Awaitable[None]]
"""Answers for a set of due jobs, in the leader's task: asks about them itself (`Poller.begin`, `Poller.publish`), assigns
polls (`Poller.assign`), dispatches a task for many (`Poller.dispatch`), or puts them off (`Poller.reschedule`). What it
leaves is assigned; what it drops when it is cancelled is due again."""


class Poller:
    """Polls jobs for all who wait for them; belongs to one account and one event loop.

    Args:
        core: Any client of that account, for its clock.
        durations: What this process has seen of each model; shared with the pollers of other loops.
        strategy: What to do with a set of due jobs.
        fields: What a listing leaves out; shared like `durations`.
        tell: Has a job polled for the sake of an event, in every loop; says whether anybody waits for it.
        seen: The events that were had.

    Attributes:
        queue: When which job needs anybody.
        leadership: Who keeps the clock.
        slowdown: What holds the polls of all.
        reads: When jobs are asked about, where the plan's requests are scarce.
        fields: What a listing leaves out.
        hints: What webhooks said to other processes, in journals.
    """

    def __init__(
        self,
        core: Core,
        durations: DurationLog,
        strategy: Strategy,
        fields: ListedFields,
        tell: Callable[[str, str], bool],
        seen: SeenEvents,
    ) -> None:
        self.clock = core.clock
        self.random = core.random
        self.strategy = strategy
        self.queue = PollQueue[PolledJob]()
        self.leadership = Leadership(core.clock, core.wait_until)
        self.slowdown = Slowdown()
        self.fields = fields
        self.hints = JournalHints(core.clock, self.leadership.due, tell, seen)
        self._durations = durations
        self._jobs: dict[str, PolledJob] = {}
        self.reads = ReadPlan(core, durations, self._jobs, self._go_on)
        self._overdue: dict[PolledJob, None] = {}
        self._limits = PollQueue[Waiter]()  # by when those inside must leave; a job is queued for its own times only
        self._hinted: set[str] = set()  # jobs that are said to have ended, and were not polled since
        self._charges = charges_of(core)
        self._single: WeakKeyDictionary[Core, Core] = WeakKeyDictionary()
        self._loop = running_loop()

    def __repr__(self) -> str:
        return f"<Poller: {len(self._jobs)} jobs>"

    @property
    def jobs(self) -> Collection[PolledJob]:
        """All jobs that are waited for."""
        return self._jobs.values()

    def find(self, key: str) -> PolledJob | None:
        """Return the job with this id, written as text; None where nobody waits for it."""
        return self._jobs.get(key)

    def now(self) -> float:
        """Return the time by the clock, a hair fast."""
        return self.clock() + _HAIR

    # What a wait calls.

    def subscribe(self, waiter: Waiter, ref: JobRef, known: JobSnapshot | None = None) -> PolledJob:
        """Begin to wait for a job; `unsubscribe` must follow on every path.

        Args:
            waiter: Who waits.
            ref: The job.
            known: What the handle knows of it; None where that is no more than the id: then the first poll is at once.
        """
        now, key, core = self.now(), str(ref.id), waiter.core
        self.for_one_attempt(core)
        if is_closed(core.transport):
            waiter.failure = closed_error()
        job = self._jobs.get(key)
        self.reads.awaited += not waiter.is_patient
        self.reads.asks_each = core.options.polling.detail == "status"
        if job is None:
            if not self._jobs:
                self.reads.begin()
            job = self._jobs[key] = PolledJob(ref, known or JobSnapshot(now))
            job.waiters = (waiter,)
            told_at = now if known is None else known.told_at
            pause = 0.0 if known is None else self._pause(job, told_at)
            job.poll_at = max(now, told_at + pause) + self.spread(job)
        else:
            job.waiters += (waiter,)
        self._schedule(job)
        if self.hints.was_told_of(key):
            self._confirm(key)
        return job

    def unsubscribe(self, waiter: Waiter, *jobs: PolledJob) -> None:
        """Stop waiting for some jobs, which the waiter must not be chosen to poll; one nobody waits for is forgotten."""
        for job in jobs:
            self.reads.awaited -= not waiter.is_patient and waiter in job.waiters
            job.waiters = tuple(other for other in job.waiters if other is not waiter)
            if not job.waiters and not job.is_ended:
                self._forget(job, JobState.ABANDONED)

    async def wait_for_update(self, waiter: Waiter) -> None:
        """Return when the waiter has something to tell its caller; until then poll, lead, or sleep.

        Raises:
            NeuralBoxError: A poll could not even be tried, or the service refused in a way no later poll can mend.

        Cancellation:
            What the waiter was doing for others is passed on.
        """
        self._arrive(waiter)
        leadership = self.leadership
        try:
            if waiter.has_update(self.now()):
                await checkpoint()  # a caller who loops over waits that end at once must not stop the event loop
            while not waiter.has_update(now := self.now()):
                if waiter.failure is not None:
                    raise waiter.failure
                if waiter.todo and await waiter.work():
                    continue
                if leadership.is_led_by(waiter):
                    await self._lead(waiter, now)
                else:
                    await leadership.sleep(waiter)
        finally:
            waiter.is_waiting = False
            self._limits.remove(waiter)
            self._give_back(waiter)
            leadership.resign(waiter)

    def transport_closed(self, transport: object) -> None:
        """End the waits of a client that is closed; called in any thread."""
        call_in_loop(self._loop, lambda: self._end_waits(transport))

    def confirm(self, key: str) -> None:
        """Poll a job soon, by itself or with others: it is said to have ended. Called in any thread."""
        call_in_loop(self._loop, lambda: self._confirm(key))

    def _confirm(self, key: str) -> None:
        job = self._jobs.get(key)
        if job is not None:
            self._hinted.add(key)
            if job.state is JobState.SCHEDULED and job.polled_by is None:
                self.reschedule(job, job.poll_at)

    def _end_waits(self, transport: object) -> None:
        for job in self._jobs.values():
            for waiter in job.waiters:
                if waiter.core.transport is transport:
                    waiter.failure = closed_error()
                    self.leadership.wake(waiter)

    def _arrive(self, waiter: Waiter) -> None:
        waiter.is_waiting = True
        if waiter.deadline is not None:
            limit = waiter.deadline + GRACE
            self._limits.put(waiter, limit)
            self.leadership.due(limit)
        if self._overdue:
            for job in [job for job in self._overdue if waiter in job.waiters]:
                self.assign(job)

    # Leading...

    async def _lead(self, waiter: Waiter, now: float) -> None:
        """Lead as of a moment at which the waiter had nothing to tell: its own limit is not among those that passed."""
        look_at = self.hints.next_at
        while (late := self._limits.pop(now)) is not None:
            self.leadership.wake(late)
        if look_at is not None and look_at <= now:
            lookers = self.hints.assign(now)
            for looker in lookers:
                self.leadership.wake(looker)
            if waiter in lookers:
                return
        due = self._take_due(now)
        if not due:
            nexts = (self.queue.next_at, self._limits.next_at, self.hints.next_at)
            times = [at for at in nexts if at is not None]
            await self.leadership.lead(waiter, min(times, default=None))
            return
        untouched: Callable[[PolledJob], object] = self.requeue  # cut off: whoever leads next takes the set up again
        try:
            await self.strategy(self, due)
            untouched = self.assign
        finally:
            for job in due:
                if job.state is JobState.DUE:
                    untouched(job)

    def _take_due(self, now: float) -> list[PolledJob]:
        due = []
        while (job := self.queue.pop(now)) is not None:
            last = job.wants_last_poll(now)
            if last and not self.reads.left:
                last, job.asked_at, job.failure = False, now, self.reads.used_up(now)
            if last or (job.poll_at <= now and self._may_poll(job, now)):
                job.state = JobState.DUE
                due.append(job)
            else:
                self._schedule(job)
        return due

    def _may_poll(self, job: PolledJob, now: float) -> bool:
        """Whether a job's poll is neither held nor too dear; where it is, its time is moved."""
        held_until = self.slowdown.held_until
        if held_until is not None and held_until > now:
            jitter, others = self.random(), len(self._jobs) - 1
            job.poll_at = held_until + ramp(jitter=jitter, outstanding=others, min_interval=job.polling.min_interval)
            return False
        read_at = self.reads.next_at(now)
        if read_at is None or read_at <= now or (job.absence.confirm and self.reads.left > 0):
            return True
        job.poll_at = read_at
        return False

    def _schedule(self, job: PolledJob) -> None:
        """Queue a job for the next moment at which it needs anybody; wake those whose limit passed."""
        if job.state is not JobState.SCHEDULED:
            return
        now, due = self.now(), job.poll_at
        for waiter in job.waiters:
            deadline = waiter.deadline
            if deadline is None:
                continue
            if deadline > now:
                due = min(due, deadline)
            elif waiter.wants_last_poll(job):
                due = now
            else:
                self.leadership.wake(waiter)
        if due != job.due:
            self.queue.put(job, due)
            self.leadership.due(due)

    # ... having somebody poll...

    def assign(self, job: PolledJob) -> None:
        """Choose one of a job's waiters to poll it: the first that is here, else the first that comes back."""
        self._overdue.pop(job, None)
        self.queue.remove(job)
        waiter = job.polled_by = next((waiter for waiter in job.waiters if waiter.is_waiting), None)
        if waiter is None:
            job.state = JobState.OVERDUE
            self._overdue[job] = None
            return
        job.state = JobState.POLLING
        waiter.todo.append(job)
        self.leadership.wake(waiter)

    def assign_sparingly(self, due: Sequence[PolledJob], now: float) -> None:
        """Have one of some due jobs polled, that which was asked longest ago; the others wait for the next read."""
        chosen = [job for job in due if job.wants_last_poll(now) or job.absence.confirm][: self.reads.left]
        if not chosen and self.reads.left:
            chosen = [min(due, key=lambda job: job.since if job.asked_at is None else job.asked_at)]
        self.reads.read(now)
        for job in chosen:
            self.assign(job)
        for job in due:
            if job.state is JobState.DUE:
                self.reschedule(job, max(now + _PAUSE, self.reads.next_at(now) or now))

    def dispatch(self, task: PollTask, jobs: Sequence[PolledJob]) -> None:
        """Give the leader a task for many jobs; from a strategy only. As with a poll, another leads meanwhile."""
        leader = self.leadership.leader
        assert leader is not None
        for job in jobs:
            self._overdue.pop(job, None)
            self.queue.remove(job)
            job.polled_by, job.state = task, JobState.POLLING
        leader.todo.append(task)

    def take_back(self, task: PollTask, jobs: Sequence[PolledJob]) -> list[PolledJob]:
        """Take from a task what it brought no answer about, and return what of that is still waited for."""
        rest = [job for job in jobs if job.polled_by is task]
        for job in rest:
            job.polled_by = None
        return [job for job in rest if job.state is JobState.POLLING]

    def reschedule(self, job: PolledJob, poll_at: float) -> None:
        """Make a job due at a time, or now, if that has passed."""
        job.poll_at = poll_at
        if self._hinted and job.polled_by is None and str(job.ref.id) in self._hinted:
            # What answered just now may have been asked before it ended; and two polls keep their distance.
            self._hinted.remove(str(job.ref.id))
            soon = self.now() if job.asked_at is None else job.asked_at + job.polling.min_interval
            job.poll_at = min(poll_at, max(self.now(), soon))
        if job.polled_by is None and (job.state is JobState.POLLING or job.state is JobState.DUE):
            job.state = JobState.SCHEDULED
        self._schedule(job)

    def requeue(self, job: PolledJob) -> None:
        """Make a job that was taken due again, at once."""
        self.reschedule(job, self.now())

    def _give_back(self, waiter: Waiter) -> None:
        while waiter.todo:
            task = waiter.todo.pop()
            if not isinstance(task, PolledJob):
                task.drop()
                continue
            task.polled_by = None
            if task.state is JobState.POLLING:
                self.assign(task)

    async def do(self, waiter: Waiter, task: Task) -> None:
        """Do what a waiter was chosen for, in this task."""
        if isinstance(task, PolledJob):
            await self.poll(waiter, task)
        else:
            await task(waiter)

    def begin(self, job: PolledJob) -> float:
        """Note that a job is being asked about from now on, and return when that is."""
        job.polls += 1
        job.asked_at = began = self.clock()
        if job.absence.confirm:
            job.absence = job.absence.confirmed()
        return began

    async def poll(self, waiter: Waiter, job: PolledJob) -> None:
        """Poll one job for all who wait for it, in this task."""
        if job.state is not JobState.POLLING:  # since it was chosen, somebody's 401 ended all waits
            job.polled_by = None
            return
        began = self.begin(job)
        answer: Generation | NeuralBoxError | None = None
        self.reads.under_way += 1
        limit: AbstractContextManager[Any] = nullcontext()
        if waiter.deadline is not None:
            limit = anyio.move_on_after(max(0.0, waiter.deadline + GRACE - began))
        try:
            with limit:
                core = self.for_one_attempt(waiter.core)
                answer = await poll(
                    core, job.ref, waiter.call, note_headers=lambda headers: self.note_headers(headers, began)
                )
        except (APIConnectionError, ProtocolError, APIStatusError) as error:
            answer = error
        finally:
            self.reads.under_way -= 1
            job.polled_by = None
            if job.state is JobState.POLLING:
                self._take(job, answer, began)

    def for_one_attempt(self, core: Core) -> Core:
        """Return a core that does not repeat: a poll that fails is made up for by the next one, not by three in a row."""
        single = self._single.get(core)
        if single is None:  # a batch that has no job yet may lead as well
            single = self._single[core] = core.with_options(core.options.with_changes(max_retries=0))
            listen(core.transport, self)
        return single

    # ... and what comes of it.

    def _take(self, job: PolledJob, answer: Generation | NeuralBoxError | None, began: float) -> None:
        now = self.now()
        if isinstance(answer, Generation):
            self.answered(began)
            if answer.is_completed:
                self.fields.saw_status(kind_and_model(job), answer)
            self.publish(job, answer, is_late=self.reads.is_scarce)
        elif isinstance(answer, AuthenticationError | PermissionDeniedError) and answer.is_from_service:
            for other in list(self._jobs.values()):
                self._end(other, answer)
        elif isinstance(answer, NotFoundError) and answer.is_from_service and now - job.since > YOUNG:
            self._end(job, answer)
        else:
            # A poll that was cut off (None) says nothing: somebody makes it up, a shortest pause after it began.
            pause = job.polling.min_interval - (now - began)
            job.failure = answer or job.failure
            if isinstance(answer, NotFoundError) and answer.is_from_service:
                pause = self._pause(job, now)
            elif answer is not None:
                pause = max(job.polling.min_interval, self.slow_down(job, answer, began))
            self.reschedule(job, now + max(0.0, pause))

    def publish(self, job: PolledJob, generation: Generation, *, is_late: bool = False) -> None:
        """Tell all who wait for a job what the service said of it, and set the time of the next poll.

        After a final answer nothing more is heard. One that is late says nothing of when the job ended.
        """
        if job.state is JobState.ENDED or job.state is JobState.ABANDONED:
            return
        changed = progress_of(job.generation) != progress_of(generation)
        job.failure = None
        job.keep_answer(generation, self.clock())
        job.version += changed
        if generation.is_final:
            self._durations.note(job, generation, None if is_late else self.clock())
            self._charges.ended(job.ref.id, generation)
            self._end(job, None)
            return
        now = self.now()
        self.reschedule(job, now + self._pause(job, now))
        if changed:
            self._notify_progress(job)

    def take_listed(self, job: PolledJob, said: ListedJob, began: float, pause: float) -> None:
        """Take note that a listing, asked for at that time, shows a job as running; the next sweep is a pause later.

        What its own status said of it is kept, since that says more.
        """
        changed, job.failure = False, None
        if not isinstance(job.seen, Generation):
            changed = job.seen is not said and job.seen != said
            job.seen = said
            job.version += changed
        job.polled_by = None
        job.polls += 1
        polling = job.polling
        # Sweeps keep no distance from one another's last polls: only one at the very end of a wait is its last poll.
        job.asked_at = began - polling.min_interval + _MOMENT
        turn = next_turn(began - job.since, pause, polling.max_interval)
        if job.expected_at is not None and began + turn < job.expected_at and job.polls < TRUSTED:
            turn = min(job.expected_at - began, polling.max_interval)
        self.reschedule(job, began + turn)
        if changed:
            self._notify_progress(job)

    def _notify_progress(self, job: PolledJob) -> None:
        for waiter in job.waiters:
            if waiter.wants_progress:
                waiter.notify(job)
                self.leadership.wake(waiter)

    def _end(self, job: PolledJob, error: NeuralBoxError | None) -> None:
        job.failure = error
        self._forget(job, JobState.ENDED)
        for waiter in job.waiters:
            waiter.notify(job)
            self.leadership.wake(waiter)

    def _forget(self, job: PolledJob, state: JobState) -> None:
        self._overdue.pop(job, None)
        self._hinted.discard(str(job.ref.id))
        job.state = state
        self.queue.remove(job)
        del self._jobs[str(job.ref.id)]
        if not self._jobs:
            self.reads.end()

    # When next?

    def _pause(self, job: PolledJob, now: float) -> float:
        last, polling = job.answer, job.polling
        model = job.ref.model or (last.model if last is not None else None)
        # The last poll of a wait that ends within a shortest pause is the one just made.
        ends = [waiter.deadline - now for waiter in job.waiters if waiter.deadline is not None]
        ends = [left for left in ends if left >= polling.min_interval or not job.polls]
        # Where the age is not known, how long such jobs take says nothing about how long this one still will.
        dated = job.dated
        return next_poll(
            age=now - job.since,
            polls=job.polls,
            jitter=self.random(),
            model=model if dated else None,
            kind=(job.ref.kind or (last.kind if last is not None else None)) if dated else None,
            times=self._durations.of(model) if dated else NOTHING_SEEN,
            eta=last.eta_seconds if last is not None else None,
            progress=last.progress if last is not None and dated else None,
            remaining=min(ends, default=None),
            min_interval=polling.min_interval,
            max_interval=polling.max_interval,
        )

    def spread(self, job: PolledJob) -> float:
        """Return the seconds a job is put off so that all who are due with it are not polled together."""
        others = len(self._jobs) - 1
        return spread(jitter=self.random(), outstanding=others, min_interval=job.polling.min_interval)

    def _go_on(self) -> None:
        """Ask soon about jobs that were put off for longer than any pause of theirs, since what held them may be over."""
        now, others = self.now(), len(self._jobs) - 1
        for job in list(self._jobs.values()):
            polling = job.polling
            if job.state is JobState.SCHEDULED and job.poll_at > now + polling.max_interval:
                soon = now if job.asked_at is None else max(now, job.asked_at + polling.min_interval)
                jitter = self.random()
                job.poll_at = soon + ramp(jitter=jitter, outstanding=others, min_interval=polling.min_interval)
                self._schedule(job)

    def answered(self, began: float) -> None:
        """Note that something asked at that time was answered: polls that were held go on."""
        if self.slowdown.answered(began, now=self.now()):
            self._go_on()

    def note_headers(self, headers: Mapping[str, str], began: float) -> None:
        """Take note of what the headers of an answer say of the plan's windows."""
        self.reads.note_headers(headers, began)

    def slow_down(self, job: PolledJob, error: NeuralBoxError, began: float) -> float:
        """Hold everybody's polls after one that failed, and return for how long."""
        if isinstance(error, RateLimitError) and error.is_from_service:
            self.reads.refused(error)
        return self.slowdown.failed(error, began=began, now=self.now(), jitter=self.random(), polling=job.polling)

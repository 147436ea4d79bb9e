"""`Poller`: serves every wait of one account on one event loop, without a task of its own.

Each wait runs in its caller's task and enters `news()` whenever it has nothing better to do. One of those inside is
the leader: it sleeps until the earliest entry of a heap is due, takes the set of due entries and hands it to a
strategy. `individually` gives each entry to one of its own waiters, who looks in its own task with its own options;
`sweep.Sweeps` sends one waiter on an errand instead: to walk a listing that answers for the set. The rules:

- Whoever leaves `news()`, for whatever reason, gives back the looks it was chosen for and hands the leadership on
  before anything else can run; a successor cancelled before it ran does the same. Callbacks and suspended iterators
  are outside, so they hold up nobody but themselves.
- An answer is published to all who wait for it with no await in between, and the first final one stands.
- A look that brings no answer ends no wait; it slows everybody down, and afterwards the looks come back in a ramp.
  401 and 403 end all waits, 404 that of a job older than `YOUNG` seconds.
- The starts of two looks at one job are a shortest pause apart, whoever waits.

Jobs and waits are kept as `entry` says. When to look is decided by `_polling.schedule`; what a wait hands out or raises by
`handle` and `many`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from heapq import heapify, heappop, heappush
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import anyio
from anyio.lowlevel import checkpoint

from .._api.vocabulary import REMAINING_HOUR
from .._concurrency.per_loop import PerLoop
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
)
from .._models.generation import Generation
from .._rate_limit.limiter import limiter_of
from .._types import JobRef
from .listing import SweepPlanner
from .listing_plan import ListedJob, next_turn
from .polled_job import GRACE, NEVER, JobSnapshot, JobWaiter, PolledJob, PollTask, Task
from .quota import HourlyQuota, note, pause_after_poll
from .schedule import FIRST, NOTHING_SEEN, TRUSTED, ModelTimes, back_off, next_poll, ramp, spread
from .status import poll

YOUNG = 30.0
"""Seconds for which a 404 may mean that the service does not show the job yet."""
_MODELS_KEPT = 256
# A timer may fire a hair early, and virtual clocks add up floats.
_HAIR = 1e-6
_MOMENT = 0.1


Strategy: TypeAlias = Callable[["Poller", Sequence[PolledJob]], Awaitable[None]]
"""Answers for a set of due entries, in the leader's task: asks about them itself (`Poller.begin`, `Poller.publish`),
assigns looks (`Poller.assign`), or both. What it leaves, or drops when it is cancelled, is assigned."""


async def individually(poller: Poller, due: Sequence[PolledJob]) -> None:
    """Give each due entry to one of its waiters."""
    for entry in due:
        poller.assign(entry)


class Poller:
    """Looks at jobs for all who wait for them; belongs to one account and one event loop.

    Args:
        core: Any client of that account, for its clock.
        times: What this process has seen of each model; shared with the pollers of other loops.
        strategy: What to do with a set of due entries.
    """

    def __init__(self, core: Core, times: dict[str, ModelTimes], strategy: Strategy = individually) -> None:
        self.clock = core.clock
        self.random = core.random
        self._wait_until = core.wait_until
        self.strategy = strategy
        self._times = times
        self._entries: dict[str, PolledJob] = {}
        self._heap: list[tuple[float, int, PolledJob]] = []
        self._pushed = 0
        self._overdue: dict[PolledJob, None] = {}  # due, and none of their waiters is here to look
        self._parked: dict[JobWaiter, None] = {}
        self._leader: JobWaiter | None = None
        self._alarm = -NEVER  # until when the leader sleeps
        self._misses = 0
        self._missed_at = -NEVER
        self._held_until = -NEVER
        self._unix_now = core.now
        self._allowance: HourlyQuota | None = None
        self._pace = limiter_of(core)
        self._money = charges_of(core)
        self._scarce_until = -NEVER
        self._single: WeakKeyDictionary[Core, Core] = WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"<Poller: {len(self._entries)} jobs>"

    @property
    def entries(self) -> Collection[PolledJob]:
        """All jobs that are waited for."""
        return self._entries.values()

    def entry_of(self, key: str) -> PolledJob | None:
        """The job with this id, written as text; None where nobody waits for it."""
        return self._entries.get(key)

    # Coming and going.

    def join(self, waiter: JobWaiter, ref: JobRef, known: JobSnapshot | PolledJob | None = None) -> PolledJob:
        """Begin to wait for a job; `leave` must follow on every path.

        Args:
            waiter: Who waits.
            ref: The job.
            known: What the handle knows of it; None where that is no more than the id: then the first look is at once.
        """
        now = self.now()
        entry = self.entry_of(str(ref.id))
        new = entry is None
        if entry is None:
            entry = self._entries[str(ref.id)] = PolledJob(ref, known or JobSnapshot(now))
        entry.waiters += (waiter,)
        if new:
            told = now if known is None else max(known.asked_at, known.since)
            pause = 0.0 if known is None else self._pause(entry, told)
            entry.poll_at = max(now, told + pause) + self.spread(entry)
        seen = known.generation if known is not None else None
        waiter.joined(entry, news=entry.generation is not None and _state(entry.generation) != _state(seen))
        self._schedule(entry)
        return entry

    def leave(self, waiter: JobWaiter, *entries: PolledJob) -> None:
        """Stop waiting for some jobs. A job nobody waits for is forgotten."""
        self._give_back(waiter)
        for entry in entries:
            self.unsubscribe(waiter, entry)

    def unsubscribe(self, waiter: JobWaiter, entry: PolledJob) -> None:
        """Take one job from a wait that goes on with others; the waiter must not be chosen to look at it."""
        entry.waiters = tuple(other for other in entry.waiters if other is not waiter)
        if not entry.waiters:
            self._forget(entry)

    async def wait_for_update(self, waiter: JobWaiter) -> None:
        """Return when the waiter has something to tell its caller; until then look, lead, or sleep.

        Raises:
            NeuralBoxError: A look could not even be tried, or the service refused in a way no later look can mend.

        Cancellation:
            What the waiter was doing for others is passed on.
        """
        self._arrive(waiter)
        try:
            if waiter.has_update(self.now()):
                await checkpoint()  # a caller who loops over waits that end at once must not stop the event loop
            while not waiter.has_update(self.now()):
                if waiter.can_work():
                    await waiter.work(self)
                elif self._leader is None or self._leader is waiter:
                    self._leader = waiter
                    await self._keep_the_clock(waiter)
                else:
                    await self._sleep(waiter)
        finally:
            waiter.is_waiting = False
            if not waiter.workers:
                self._give_back(waiter)
            self.resign(waiter)

    def now(self) -> float:
        """The clock, a hair fast."""
        return self.clock() + _HAIR

    def _arrive(self, waiter: JobWaiter) -> None:
        waiter.is_waiting = True
        if self._overdue:
            for entry in [entry for entry in self._overdue if waiter in entry.waiters]:
                del self._overdue[entry]
                self.assign(entry)

    # Leading...

    async def _keep_the_clock(self, waiter: JobWaiter) -> None:
        due = self._take_due(self.now())
        if not due:
            self._alarm = self._heap[0][0] if self._heap else NEVER
            await self._sleep(waiter, self._alarm)
            return
        untouched: Callable[[PolledJob], object] = self.requeue  # cut off: whoever leads next takes the set up again
        try:
            await self.strategy(self, due)
            untouched = self.assign
        finally:
            for entry in due:
                if not (entry.settled or entry.polled_by or entry in self._overdue or entry.due != NEVER):
                    untouched(entry)

    async def _sleep(self, waiter: JobWaiter, until: float = NEVER) -> None:
        event = waiter.event = anyio.Event()
        self._parked[waiter] = None
        try:
            if until == NEVER:
                await event.wait()
            else:
                await self._wait_until(event, max(0.0, until - self.clock()))
        finally:
            waiter.event = None
            del self._parked[waiter]

    def resign(self, waiter: JobWaiter) -> None:
        """Hand on the leadership, if the waiter has it, to whoever parked last: its own look is far off."""
        if self._leader is waiter:
            self._leader = next((other for other in reversed(self._parked) if other is not waiter), None)
            if self._leader is not None:
                self.wake(self._leader)

    @staticmethod
    def wake(waiter: JobWaiter) -> None:
        """Make a parked waiter look around."""
        if waiter.event is not None:
            waiter.event.set()

    def _take_due(self, now: float) -> list[PolledJob]:
        due = []
        while self._heap and self._heap[0][0] <= now:
            at, _, entry = heappop(self._heap)
            if at != entry.due:
                continue  # rescheduled, settled or forgotten since
            entry.due = NEVER
            last = self.is_last(entry, now)
            if entry.polled_by is None and (last or entry.poll_at <= now):
                if last or (self._held_until <= now and self._may_poll(entry, now)):
                    due.append(entry)
                    continue
                held = self._held_until > now
                entry.poll_at = self._held_until + self._ramp(entry) if held else self._scarce_until
            self._schedule(entry)
        return due

    def _schedule(self, entry: PolledJob) -> None:
        """Put an entry into the heap for the next moment at which it needs anybody; wake those whose limit passed."""
        if entry.settled or (self._overdue and entry in self._overdue):
            return
        now, looking = self.clock() + _HAIR, entry.polled_by is not None
        due = NEVER if looking else entry.poll_at
        for waiter in entry.waiters:
            deadline = waiter.deadline
            if deadline is None:
                continue
            end = deadline + GRACE if looking else deadline
            if end > now:
                due = min(due, end)
            elif looking or not waiter.wants_last_poll(entry):
                self.wake(waiter)
            else:
                due = now
        if due == entry.due:
            return
        entry.due = due
        self._pushed += 1
        heappush(self._heap, (due, self._pushed, entry))
        if len(self._heap) > 2 * len(self._entries) + 64:
            self._heap = [item for item in self._heap if item[0] == item[2].due]
            heapify(self._heap)
        if self._leader is not None and due < self._alarm:
            self.wake(self._leader)

    @staticmethod
    def is_last(entry: PolledJob, now: float) -> bool:
        """Whether the limit of one of its waits passed without a look at its end."""
        for waiter in entry.waiters:  # asked for every job at every turn, and nearly always no
            if waiter.deadline is not None and now >= waiter.deadline and waiter.wants_last_poll(entry):
                return True
        return False

    # ... having somebody look...

    def assign(self, entry: PolledJob) -> None:
        """Choose one of an entry's waiters to look at it: the first that is here, else the first that comes back."""
        entry.polled_by = next((waiter for waiter in entry.waiters if waiter.is_waiting), None)
        if entry.polled_by is None:
            entry.due = NEVER
            self._overdue[entry] = None
            return
        entry.polled_by.todo.append(entry)
        self._schedule(entry)
        self.wake(entry.polled_by)

    def dispatch(self, errand: PollTask) -> None:
        """Send the leader on an errand; from a strategy only. As with a look, another keeps the clock meanwhile."""
        assert self._leader is not None
        self._leader.todo.append(errand)

    def reschedule(self, entry: PolledJob, look_at: float) -> None:
        """Make a due entry due again later, or now, if that has passed."""
        entry.poll_at = look_at
        self._schedule(entry)

    def requeue(self, entry: PolledJob) -> None:
        """Make an entry that was taken due again, at once."""
        self.reschedule(entry, self.now())

    def _give_back(self, waiter: JobWaiter) -> None:
        while waiter.todo:
            task = waiter.todo.pop()
            if not isinstance(task, PolledJob):
                task.drop()
                continue
            task.polled_by = None
            if not task.settled:
                self.assign(task)

    async def do(self, waiter: JobWaiter, task: Task) -> None:
        """Do what a waiter was chosen for, in this task."""
        if isinstance(task, PolledJob):
            await self.look(waiter, task)
        else:
            await task(waiter)

    def begin(self, entry: PolledJob) -> float:
        """Note that a job is being asked about from now on, and return when that is."""
        entry.polls += 1
        entry.asked_at = self.clock()
        if entry.alone_until == NEVER:
            entry.alone_until = -NEVER
        return entry.asked_at

    async def look(self, waiter: JobWaiter, entry: PolledJob) -> None:
        """Look at one job for all who wait for it, in this task."""
        if entry.settled:  # since it was chosen, somebody's 401 ended all waits
            entry.polled_by = None
            return
        began = self.begin(entry)
        answer: Generation | NeuralBoxError | None = None
        limit: AbstractContextManager[Any] = nullcontext()
        if waiter.deadline is not None:
            limit = anyio.move_on_after(max(0.0, waiter.deadline + GRACE - began))
        try:
            with limit:
                core = self.for_one_attempt(waiter.core)
                answer = await poll(core, entry.ref, waiter.call, heard=lambda headers: self.heard(headers, began))
        except (APIConnectionError, ProtocolError, APIStatusError) as error:
            answer = error
        finally:
            entry.polled_by = None
            self._take(entry, answer, began)

    def for_one_attempt(self, core: Core) -> Core:
        """A core that does not repeat: a look that fails is made up for by the next one, not by three in a row."""
        single = self._single.get(core)
        if single is None:
            single = self._single[core] = core.with_options(core.options.with_changes(max_retries=0))
        return single

    # ... and what comes of it.

    def _take(self, entry: PolledJob, answer: Generation | NeuralBoxError | None, began: float) -> None:
        if entry.settled or not entry.waiters:
            return
        now = self.now()
        if isinstance(answer, Generation):
            self.answered(began)
            if not answer.is_final:
                self.spend(1)
            self.publish(entry, answer)
        elif isinstance(answer, AuthenticationError | PermissionDeniedError):
            for other in list(self._entries.values()):
                self._settle(other, answer)
        elif isinstance(answer, NotFoundError) and now - entry.since > YOUNG:
            self._settle(entry, answer)
        else:
            # A look that was cut off (None) says nothing: somebody makes it up, a shortest pause after it began.
            pause = entry.polling.min_interval - (now - began)
            entry.miss = answer or entry.miss
            if isinstance(answer, NotFoundError):
                pause = self._pause(entry, now)
            elif answer is not None:
                pause = max(entry.polling.min_interval, self.slow_down(entry, answer, began))
            entry.poll_at = now + max(0.0, pause)
            self._schedule(entry)

    def publish(self, entry: PolledJob, generation: Generation) -> None:
        """Tell all who wait for a job what the service said of it, and set the time of the next look.

        After a final answer nothing more is heard.
        """
        if entry.settled:
            return
        before, entry.miss = entry.generation, None
        entry.take(generation, self.clock())
        changed = _state(before) != _state(generation)
        entry.version += changed
        if generation.is_final:
            self._note_time(entry, generation)
            self._money.ended(entry.ref.id, generation)
            self._settle(entry, None)
            return
        now = self.now()
        self.reschedule(entry, now + self._pause(entry, now))
        if changed:
            self._tell(entry)

    def take_listed(self, entry: PolledJob, said: ListedJob, began: float, pause: float) -> None:
        """Take note that a listing, asked for at that time, shows a job as running; the next sweep is a pause later.

        What its own status said of it is kept, since that says more.
        """
        news = entry.answer is None and entry.listed is not said and entry.listed != said
        entry.listed, entry.polled_by = said, None
        entry.polls += 1
        polling = entry.polling
        # Sweeps keep no distance from one another's last looks: only one at the very end of a wait is its last look.
        entry.asked_at = began - polling.min_interval + _MOMENT
        entry.version += news
        turn = next_turn(began - entry.since, pause, polling.max_interval)
        if began + turn < entry.hint_at and entry.polls < TRUSTED:
            turn = min(entry.hint_at - began, polling.max_interval)
        self.reschedule(entry, began + turn)
        if news:
            self._tell(entry)

    def _tell(self, entry: PolledJob) -> None:
        for waiter in entry.waiters:
            if waiter.wants_progress:
                waiter.notify(entry)
                self.wake(waiter)

    def _settle(self, entry: PolledJob, error: NeuralBoxError | None) -> None:
        entry.error, entry.settled = error, True
        self._forget(entry)
        for waiter in entry.waiters:
            waiter.notify(entry)
            self.wake(waiter)

    def _forget(self, entry: PolledJob) -> None:
        entry.due = NEVER
        self._overdue.pop(entry, None)
        if self._entries.get(str(entry.ref.id)) is entry:
            del self._entries[str(entry.ref.id)]
        if not self._entries:
            self._heap.clear()

    # When next?

    def _pause(self, entry: PolledJob, now: float) -> float:
        last, polling = entry.answer, entry.polling
        model = entry.ref.model or (last.model if last is not None else None)
        # The last look of a wait that ends within a shortest pause is the one just made.
        ends = [each.deadline - now for each in entry.waiters if each.deadline is not None]
        ends = [left for left in ends if left >= polling.min_interval or not entry.polls]
        # Where the age is not known, how long such jobs take says nothing about how long this one still will.
        dated = entry.dated
        return next_poll(
            age=now - entry.since,
            looks=entry.polls,
            jitter=self.random(),
            model=model if dated else None,
            kind=(entry.ref.kind or (last.kind if last is not None else None)) if dated else None,
            times=self._times.get(model or "", NOTHING_SEEN) if dated else NOTHING_SEEN,
            eta=last.eta_seconds if last is not None else None,
            progress=last.progress if last is not None and dated else None,
            remaining=min(ends, default=None),
            min_interval=polling.min_interval,
            max_interval=polling.max_interval,
            scarce=self._price() > polling.min_interval,
        )

    def spread(self, entry: PolledJob) -> float:
        """Seconds an entry is put off so that all who are due with it do not look together."""
        others = len(self._entries) - 1
        return spread(jitter=self.random(), outstanding=others, min_interval=entry.polling.min_interval)

    def _ramp(self, entry: PolledJob) -> float:
        others = len(self._entries) - 1
        return ramp(jitter=self.random(), outstanding=others, min_interval=entry.polling.min_interval)

    def answered(self, began: float) -> None:
        """Note that something asked at that time was answered."""
        if began >= self._missed_at:
            self._misses = 0

    def heard(self, headers: Mapping[str, str], began: float) -> None:
        """Take note of what the headers of an answer say of the hourly limit."""
        if REMAINING_HOUR in headers:
            clock = self.clock()
            allowance = self._allowance = note(self._allowance, headers, began=began, now=clock)
            self._pace.heard(headers, began=began, clock=clock, now=self._unix_now())
            counted = allowance is not None and allowance.counted and not allowance.free
            self._pace.looked(counted=counted, outstanding=len(self._entries))

    def spend(self, requests: int) -> None:
        """Pause after requests that found nothing finished, where they are scarce."""
        self._scarce_until = max(self._scarce_until, self.now() + requests * self._price())

    def _price(self) -> float:
        return pause_after_poll(self._allowance, outstanding=len(self._entries), now=self._unix_now())

    def _may_poll(self, entry: PolledJob, now: float) -> bool:
        """Whether an entry's look is worth a request where these are scarce: it is over, it seems."""
        return (
            now >= self._scarce_until or entry.alone_until == NEVER or (not entry.polls and now > entry.since + FIRST)
        )

    def slow_down(self, entry: PolledJob, error: NeuralBoxError, began: float) -> float:
        """Hold everybody's looks; of looks that were under way together only the first counts."""
        now, polling = self.now(), entry.polling
        if began >= self._missed_at:
            self._misses += 1
            self._missed_at = now
        pause = back_off(
            self._misses,
            jitter=self.random(),
            retry_after=getattr(error, "retry_after", None),
            min_interval=polling.min_interval,
            max_interval=polling.max_interval,
        )
        self._held_until = max(self._held_until, now + pause)
        return pause

    def _note_time(self, entry: PolledJob, generation: Generation) -> None:
        """Remember how long a completed job took: by the service's own times, else by when we learnt of it."""
        model = entry.ref.model or generation.model
        begin, end = generation.created_at, generation.completed_at
        if not model or not generation.is_completed:
            return
        if begin is not None and end is not None:
            seconds = (end - begin).total_seconds()
        elif generation.processing_ms is not None:
            seconds = generation.processing_ms / 1000
        elif entry.dated:
            seconds = self.clock() - entry.since
        else:
            return
        self._times[model] = self._times.pop(model, NOTHING_SEEN).with_duration(seconds)
        if len(self._times) > _MODELS_KEPT:
            del self._times[next(iter(self._times))]


def _state(generation: Generation | None) -> tuple[object, ...]:
    """What a change of is news."""
    return () if generation is None else (generation.status, generation.progress, generation.eta_seconds)


# One poller per account and loop.


class _SharedState:
    """What the pollers of one account share: nothing but how long each model takes."""

    __slots__ = ("pollers", "times")

    def __init__(self) -> None:
        self.times: dict[str, ModelTimes] = {}
        self.pollers: PerLoop[Poller] = PerLoop()


def poller_of(core: Core) -> Poller:
    """Return the running loop's poller of a client's account."""
    account = core.account.state(_SharedState, _SharedState)
    # A service with a path of its own has a history of its own, which sweeps cannot read.
    is_ours = core.options.service.detail is None
    return account.pollers.get(lambda: Poller(core, account.times, SweepPlanner() if is_ours else individually))

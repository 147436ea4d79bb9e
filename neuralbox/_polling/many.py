"""Waiting for many jobs at once: one entry in the poller each, and no task per job.

The waiting task leads or sleeps like any other waiter; the looks run in at most `LOOKERS` tasks that live inside the
wait. Failed generations are results here, since one of many must not hide the others. `wait_all` is one call for jobs
that are all known when it begins; a batch adds its own to a `GrowingJobWaiter` as they are submitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeAlias, TypeVar

import anyio
from anyio.abc import TaskGroup

from .._config import NO_CALL_OPTIONS, CallOptions
from .._core.exchange import Core
from .._errors import ConfigurationError, NeuralBoxError
from .._models.generation import Generation
from .._types import OMIT, JobRef, Omit
from .job import Job, OnProgress, deadline_of, ref_of, report, require_limit, timed_out
from .listing_plan import ListedJob
from .polled_job import GRACE, NEVER, JobSnapshot, JobWaiter, PolledJob, Task
from .poller import Poller, poller_of
from .status import Reference, as_ref

T = TypeVar("T")
Ended: TypeAlias = Generation | Exception
"""What the wait for a job comes to: its final state, or the error that ended the wait."""

LOOKERS = 64
"""Looks of one call under way at once; the transport's gate may let fewer pass."""
_SAID = 256


class MultiJobWaiter(JobWaiter):
    """One wait for many jobs.

    Attributes:
        group: Where its looks run.
        entries: What is waited for.
        left: How many of them are not settled.
        fresh: Entries with something to report, in the order of their news.
        bell: Set when there is something to report.
        over: Whether nothing more will come: all are settled, or the limit passed, or a look crashed.
        crash: What ended one of its looks and is no answer.
    """

    __slots__ = ("bell", "crash", "entries", "fresh", "group", "left", "over")

    def __init__(
        self, core: Core, call: CallOptions, deadline: float | None, *, curious: bool, group: TaskGroup
    ) -> None:
        super().__init__(core, call, deadline, curious=curious)
        self.group = group
        self.entries: dict[str, PolledJob] = {}
        self.left = 0
        self.fresh: dict[PolledJob, None] = {}
        self.bell = anyio.Event()
        self.over = False
        self.crash: Exception | None = None

    def joined(self, entry: PolledJob, *, news: bool) -> None:
        self.left += 1
        if news and self.wants_progress:
            self.fresh[entry] = None

    def notify(self, entry: PolledJob) -> None:
        if self.wants_progress:
            self.fresh[entry] = None
            self.bell.set()
        if entry.settled:
            self.left -= 1

    def has_update(self, now: float) -> bool:
        if self.crash is not None or not self.left or self.deadline is None or now < self.deadline:
            return self.crash is not None or not self.left
        return all(entry.settled or self.is_over(entry, now) for entry in self.entries.values())

    def can_work(self) -> bool:
        return bool(self.todo) and self.workers < LOOKERS

    async def work(self, poller: Poller) -> None:
        while self.can_work():
            self.workers += 1
            self.group.start_soon(self._do, poller, self.todo.pop())

    async def _do(self, poller: Poller, task: Task) -> None:
        try:
            await poller.do(self, task)
            self.did(poller, task)
            while self.todo:
                task = self.todo.pop()
                await poller.do(self, task)
                self.did(poller, task)
        except Exception as error:  # noqa: BLE001 - handed to the caller of the wait, where it is raised as it is
            if isinstance(error, NeuralBoxError) and isinstance(task, PolledJob):
                error = error.with_job(ref_of(task))
            self.crash = error
        finally:
            self.workers -= 1
            poller.wake(self)

    def did(self, poller: Poller, task: Task) -> None:
        """Hear that one of its own looks or errands is over; its news came before."""

    async def see_through(self, poller: Poller) -> None:
        """Wait until nothing more will come."""
        try:
            await poller.wait_for_update(self)
        except Exception as error:  # noqa: BLE001 - as in `_look`
            self.crash = error
        self.over = True
        self.bell.set()

    async def report(self, on_progress: OnProgress) -> None:
        """Report what is new until nothing more will come; meanwhile another task sees the wait through."""
        while self.fresh or not self.over:
            if self.fresh:
                entry = next(iter(self.fresh))
                del self.fresh[entry]
                # Past the limit only ends are reported, or a slow callback could find something new for ever.
                if entry.error is None and (entry.settled or not self.over):
                    await report(on_progress, entry)
            else:
                self.bell = anyio.Event()
                await self.bell.wait()


class GrowingJobWaiter(MultiJobWaiter, Generic[T]):
    """One wait for many jobs that others join while it goes on; each is handed back as it ends.

    It keeps no answers but the final ones, so a waiting job costs its entry and what it stands for. All have the same
    limit, counted from when they join, so they reach it in the order in which they came.

    Args:
        core: The client to look with.
        limit: Seconds each may take from when it joins; None for no limit.
        group: Where its looks run.
        ended: Called with what a job stands for and what it came to: the final state, or the error that ended its
            wait. It may neither raise nor wait.
    """

    __slots__ = ("_ended", "_ending", "_joined", "_limit", "_more", "_said", "_stands_for")

    def __init__(self, core: Core, limit: float | None, group: TaskGroup, ended: Callable[[T, Ended], None]) -> None:
        super().__init__(core, NO_CALL_OPTIONS, None, curious=False, group=group)
        self._limit = limit
        self._ended = ended
        self._stands_for: dict[PolledJob, tuple[T, float]] = {}  # with the time of its limit; in the order of those
        self._more: dict[PolledJob, list[T]] = {}
        self._ending: dict[PolledJob, float] = {}  # past their limit, and until when they may have a last look
        self._said: dict[ListedJob, ListedJob] = {}
        self._joined = anyio.Event()

    def __len__(self) -> int:
        return len(self._stands_for)

    def add(
        self, ref: JobRef, stands_for: T, *, generation: Generation | None = None, age: float | None = None
    ) -> None:
        """Wait for one more.

        Args:
            ref: The job; the same one twice shares its answer.
            stands_for: What `ended` is called with.
            generation: What its submission answered, where that is known.
            age: Seconds since its submission; None where nobody knows, so that the first look is at once.

        After `run` has ended with an error, whatever is added is handed back with it; after `leave` nothing is waited for.
        """
        if self.over:
            if self.crash is not None:
                self._ended(stands_for, self.crash)
            return
        poller, now = poller_of(self.core), self.core.clock()
        entry = poller.entry_of(str(ref.id))
        if entry is not None and entry in self._stands_for:
            self._more.setdefault(entry, []).append(stands_for)
            return
        entry = poller.join(
            self, ref, None if age is None else JobSnapshot(now - age, dated=True, generation=generation)
        )
        self._stands_for[entry] = stands_for, NEVER if self._limit is None else now + self._limit
        self._lighten(entry)
        self._joined.set()

    async def run(self) -> None:
        """Wait until cancelled, or until no more looks are possible: then the rest is handed back with the error."""
        poller = poller_of(self.core)
        try:
            async with anyio.create_task_group() as limits:
                limits.start_soon(self._keep_limits, poller)
                await self.see_through(poller)
                limits.cancel_scope.cancel()
        except BaseException:
            self.leave()
            raise
        self.over = True
        poller.leave(self, *self._stands_for)
        assert self.crash is not None
        for entry in [*self._stands_for]:
            self._hand_back(entry, _about(entry, self.crash))

    def leave(self) -> None:
        """Wait for nothing any more, and for nothing that may still be added; where `run` was never begun, too."""
        self.over = True
        poller_of(self.core).leave(self, *self._stands_for)
        self._stands_for.clear()
        self._more.clear()
        self._ending.clear()

    # What the poller tells.

    def joined(self, entry: PolledJob, *, news: bool) -> None:
        """Nothing to note: `add` does it."""

    def notify(self, entry: PolledJob) -> None:
        self._hand_back(entry, entry.generation if entry.error is None else _about(entry, entry.error))

    def has_update(self, now: float) -> bool:  # noqa: ARG002 - limits have a clock of their own
        return self.crash is not None

    def did(self, poller: Poller, task: Task) -> None:
        if isinstance(task, PolledJob):
            if task in self._ending:
                self._let_go(poller, task)
            else:
                self._lighten(task)

    def _lighten(self, entry: PolledJob) -> None:
        """Keep of a pending answer what a listing would have said: the same for all, where nobody else waits for it."""
        last = entry.answer
        if last is None or last.is_final or entry.waiters != (self,):
            return
        said = ListedJob(last.status, last.kind, last.model)
        if len(self._said) >= _SAID:
            self._said.clear()
        entry.listed, entry.answer = self._said.setdefault(said, said), None

    def _hand_back(self, entry: PolledJob, ended: Ended | None) -> None:
        assert ended is not None
        self._ending.pop(entry, None)
        for stands_for in (self._stands_for.pop(entry)[0], *self._more.pop(entry, ())):
            self._ended(stands_for, ended)

    # Limits.

    async def _keep_limits(self, poller: Poller) -> None:
        while self._limit is not None:
            now, following, over = poller.now(), NEVER, list[PolledJob]()
            for entry, (_, end) in self._stands_for.items():
                until = self._ending.get(entry, end)
                if until <= now:
                    over.append(entry)
                    continue
                following = min(following, until)
                if entry not in self._ending:  # those after it came later
                    break
            for entry in over:
                self._end(poller, entry)
            if not over:
                self._joined = anyio.Event()
                if following == NEVER:
                    await self._joined.wait()
                else:
                    # While one has its last look, whoever joins may reach the limit before that is given up.
                    await self.core.wait_until(self._joined if self._ending else anyio.Event(), following - now)

    def _end(self, poller: Poller, entry: PolledJob) -> None:
        """Give a job whose limit passed a last look, or let it go after that."""
        end = self._stands_for[entry][1]
        if entry in self._ending or entry.asked_at + entry.polling.min_interval > end:
            self._let_go(poller, entry)
            return
        self._ending[entry] = end + GRACE
        if entry.polled_by is None:
            entry.due = NEVER
            poller.assign(entry)

    def _let_go(self, poller: Poller, entry: PolledJob) -> None:
        if entry in self.todo:
            self.todo.remove(entry)
            entry.polled_by = None
        poller.unsubscribe(self, entry)
        if entry.waiters and entry.polled_by is None:
            poller.requeue(entry)
        error = timed_out(entry, self._limit)
        error.__cause__ = entry.miss
        self._hand_back(entry, error)


def _about(entry: PolledJob, error: Exception) -> Exception:
    """The error as that of one job's wait."""
    return error.with_job(ref_of(entry)) if isinstance(error, NeuralBoxError) else error


async def wait_all(
    core: Core,
    jobs: Iterable[Reference],
    *,
    timeout: float | Omit | None = OMIT,
    on_progress: OnProgress | None = None,
    call: CallOptions = NO_CALL_OPTIONS,
) -> list[Generation]:
    """Wait until all of them are final and return them.

    Args:
        core: The client to ask with.
        jobs: Ids, `JobRef`s, `Job`s or `Generation`s; the same id may come several times.
        timeout: Limit for the whole wait, in seconds from the call; 0 or less is one look at each. None waits
            without limit; left out, the client's `polling.timeout` counts.
        on_progress: Called in this task with each changed state of each job, the final one included, as they come.
        call: Call options whose time-out and extra headers the looks use.

    Returns:
        One generation per input, in input order; failed ones are among them (`is_failed`), not raised.

    Raises:
        GenerationTimeoutError: The limit passed before all were final; `.job` is the first that is not.
        NotFoundError: The service does not know one of the ids (`.job`); raised when all others are final.
        AuthenticationError: The credential is refused; all waits end.

        Whichever it is, `.generations` has what was last seen of each, in input order; None where nothing was.

    Cancellation:
        Stops looking; the jobs go on and are charged when they complete.
    """
    limit = require_limit(timeout, core)
    if isinstance(jobs, str):  # iterable, but its characters would be ids of other jobs
        raise ConfigurationError(f"Pass the ids as a list: [{jobs!r}].")
    named = [(as_ref(job), job) for job in jobs]  # all of them, before anything is asked
    poller = poller_of(core)
    failure: Exception | None = None
    group = anyio.create_task_group()
    looking = CallOptions(call.timeout, call.extra_headers)
    crowd = MultiJobWaiter(core, looking, deadline_of(limit, core), curious=on_progress is not None, group=group)
    entries, ordered = crowd.entries, list[PolledJob]()
    async with group:
        try:
            for ref, job in named:
                key = str(ref.id)
                entry = entries.get(key)
                if entry is None:
                    entry = entries[key] = _join(poller, crowd, ref, job)
                ordered.append(entry)
            named.clear()  # a million of them are many bytes
            if on_progress is None:
                await crowd.see_through(poller)
            else:
                group.start_soon(crowd.see_through, poller)
                await crowd.report(on_progress)
        except Exception as error:  # noqa: BLE001 - raised below as it is; the group would wrap it
            failure = error
        finally:
            poller.leave(crowd, *entries.values())
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure  # of the callback: the caller's own
    return _results(ordered, crowd.crash, limit)


def _join(poller: Poller, crowd: MultiJobWaiter, ref: JobRef, job: Reference) -> PolledJob:
    known = job._known if isinstance(job, Job) else None
    if isinstance(job, Generation) and job.is_final:
        known = JobSnapshot(poller.clock(), generation=job)
    if known is not None and known.generation is not None and known.generation.is_final:
        return PolledJob(ref, known)
    return poller.join(crowd, ref, known)


def _results(entries: Sequence[PolledJob], failure: Exception | None, limit: float | None) -> list[Generation]:
    """Hand out what a wait for many came to, or raise the first error with everything that was seen."""
    seen = [entry.generation for entry in entries]
    if failure is None:
        failed = next((entry for entry in entries if entry.error is not None), None)
        late = next((entry for entry in entries if not entry.settled), None)
        if failed is not None and failed.error is not None:
            failure = failed.error.with_job(ref_of(failed))
            failure.__cause__ = failed.error
        elif late is not None:
            failure = timed_out(late, limit, of=len(entries))
            failure.__cause__ = late.miss
        else:
            return [generation for generation in seen if generation is not None]
    if isinstance(failure, NeuralBoxError):
        failure.generations = tuple(seen)
    raise failure

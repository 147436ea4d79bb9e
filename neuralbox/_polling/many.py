"""Waiting for many jobs at once: one place in the poller each, and no task per job.

The waiting task leads or sleeps like any other waiter; the polls run in at most `MAX_POLLS` tasks that live inside the
wait (`PollWorkers`). Failed generations are results here, since one of many must not hide the others. `wait_all` is one call
for jobs that are all known when it begins (`MultiJobWaiter`); a batch adds its own to a `GrowingJobWaiter` as they are
submitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

import anyio
from anyio.abc import TaskGroup

from .._api.checks import require_callback
from .._config import NO_CALL_OPTIONS, CallOptions
from .._core.exchange import Core
from .._errors import ConfigurationError, NeuralBoxError, RateLimitError
from .._models.generation import Generation, Model
from .._types import OMIT, JobRef, Omit
from .account_pollers import poller_of
from .job import Job, OnProgress, deadline_of, ref_of, report, require_limit, timed_out
from .listing_plan import ListedJob
from .polled_job import GRACE, JobSnapshot, PolledJob, Task, Waiter
from .poller import Poller
from .status import Reference, as_ref

if TYPE_CHECKING:
    from .._journal import Journal

T = TypeVar("T")
Ended: TypeAlias = Generation | Exception
"""What the wait for a job comes to: its final state, or the error that ended the wait."""

MAX_POLLS = 64
"""Polls of one call under way at once; the transport's connection limit may let fewer pass."""
_SAID = 256
_TRIES = 3  # last polls, where the plan's requests may run out just then


class PollWorkers:
    """The tasks in which one wait for many does its polls.

    Args:
        poller: Whose work it is.
        waiter: The wait.
        group: Where they run.

    Attributes:
        crash: What ended one of them, or the wait itself, and is no answer.
    """

    __slots__ = ("_count", "_group", "_poller", "_waiter", "crash")

    def __init__(self, poller: Poller, waiter: Waiter, group: TaskGroup) -> None:
        self.crash: Exception | None = None
        self._poller = poller
        self._waiter = waiter
        self._group = group
        self._count = 0

    def start(self, polled: Callable[[PolledJob], None] | None = None) -> bool:
        """Have done what the waiter was chosen for, as far as there is room; False where there is none.

        Args:
            polled: Called after each poll of a job; its news came before.
        """
        todo, started = self._waiter.todo, False
        while todo and self._count < MAX_POLLS:
            self._count += 1
            self._group.start_soon(self._run, todo.pop(), polled)
            started = True
        return started

    async def _run(self, task: Task, polled: Callable[[PolledJob], None] | None) -> None:
        poller, waiter = self._poller, self._waiter
        try:
            while True:
                await poller.do(waiter, task)
                if polled is not None and isinstance(task, PolledJob):
                    polled(task)
                if not waiter.todo:
                    break
                task = waiter.todo.pop()
        except Exception as error:  # noqa: BLE001 - given to the caller of the wait, where it is raised as it is
            if isinstance(error, NeuralBoxError) and isinstance(task, PolledJob):
                error = error.with_job(ref_of(task))
            self.crash = error
        finally:
            self._count -= 1
            poller.leadership.wake(waiter)

    async def see_through(self) -> None:
        """Wait until nothing more will come; what ends that by an error is `crash`."""
        try:
            await self._poller.wait_for_update(self._waiter)
        except Exception as error:  # noqa: BLE001 - as in `_run`
            self.crash = error


class MultiJobWaiter(Waiter):
    """One wait for many jobs, all known when it begins.

    Args:
        poller: Whom it waits with.
        core: The client to poll with.
        call: Call options of its polls.
        deadline: When it ends, by the core's clock; None for never.
        wants_progress: Whether it wants to hear of each change, not only of the ends.
        group: Where its polls run.

    Attributes:
        workers: Its polls.
        jobs: What is waited for, by id.
        left: How many of them have not ended.
    """

    __slots__ = ("_changed", "_fresh", "_over", "_poller", "jobs", "left", "workers")

    def __init__(
        self,
        poller: Poller,
        core: Core,
        call: CallOptions,
        deadline: float | None,
        *,
        wants_progress: bool,
        group: TaskGroup,
    ) -> None:
        super().__init__(core, call, deadline, wants_progress=wants_progress)
        self.workers = PollWorkers(poller, self, group)
        self._poller = poller
        self.jobs: dict[str, PolledJob] = {}
        self.left = 0
        self._fresh: dict[PolledJob, None] = {}  # with something to report, in the order of their news
        self._changed = anyio.Event()
        self._over = False

    def add(self, ref: JobRef, job: Reference) -> PolledJob:
        """Wait for one more, before the wait begins; a job that is known to have ended is no more than kept."""
        known = job._snapshot if isinstance(job, Job) else None
        if isinstance(job, Generation) and job.is_final:
            known = JobSnapshot(self._poller.clock(), generation=job)
        last = known.generation if known is not None else None
        if known is not None and last is not None and last.is_final:
            polled = PolledJob(ref, known)
        else:
            polled = self._poller.subscribe(self, ref, known)
            self.left += 1
            if isinstance(job, Job) and job._journal is not None:
                self._poller.hints.listen(self, job._journal)
            if self.wants_progress and polled.version_known_to(last) != polled.version:
                self._fresh[polled] = None
        self.jobs[str(ref.id)] = polled
        return polled

    def notify(self, job: PolledJob) -> None:
        if self.wants_progress:
            self._fresh[job] = None
            self._changed.set()
        if job.is_ended:
            self.left -= 1

    def has_update(self, now: float) -> bool:
        if self.workers.crash is not None or not self.left:
            return True
        if self.deadline is None or now < self.deadline:
            return False
        return all(job.is_ended or self.is_over(job, now) for job in self.jobs.values())

    async def work(self) -> bool:
        return self.workers.start()

    async def see_through(self) -> None:
        """Wait until nothing more will come: all have ended, or the limit passed, or a poll crashed."""
        await self.workers.see_through()
        self._over = True
        self._changed.set()

    async def report(self, on_progress: OnProgress) -> None:
        """Report what is new until nothing more will come; meanwhile another task sees the wait through."""
        while self._fresh or not self._over:
            if self._fresh:
                job = next(iter(self._fresh))
                del self._fresh[job]
                # Past the limit only ends are reported, or a slow callback could find something new for ever.
                if job.error is None and (job.is_ended or not self._over):
                    await report(on_progress, job)
            else:
                self._changed = anyio.Event()
                await self._changed.wait()


class _Attended(Generic[T]):
    """One job of a `GrowingJobWaiter`.

    Attributes:
        item: What it was added for.
        more: What it was added for again.
        ends_at: When its limit passes, by the clock; None for never.
        last_poll_until: Until when the last poll at its limit may take; None before that.
        last_polls: How many there were.
    """

    __slots__ = ("ends_at", "item", "last_poll_until", "last_polls", "more")

    def __init__(self, item: T, ends_at: float | None) -> None:
        self.item = item
        self.more: tuple[T, ...] = ()
        self.ends_at = ends_at
        self.last_poll_until: float | None = None
        self.last_polls = 0


class GrowingJobWaiter(Waiter, Generic[T]):
    """One wait for many jobs that others join while it goes on; each is returned as it ends.

    It keeps no answers but the final ones, so a waiting job costs its place in the poller and what it was added for. All
    have the same limit, counted from when they join, so they reach it in the order in which they came.

    Args:
        core: The client to poll with.
        limit: Seconds each may take from when it joins; None for no limit.
        group: Where its polls run.
        ended: Called with what a job was added for and what it came to: the final state, or the error that ended its
            wait. It may neither raise nor wait.
        needs_result_only: Whether text or address are all that is needed of them.
        journal: The open journal that has them, where there is one.
    """

    __slots__ = (
        "_attended",
        "_ended",
        "_is_mixed",
        "_joined",
        "_journal",
        "_limit",
        "_over",
        "_poller",
        "_said",
        "_workers",
        "needs_result_only",
    )

    is_patient = True

    def __init__(
        self,
        core: Core,
        limit: float | None,
        group: TaskGroup,
        ended: Callable[[T, Ended], None],
        *,
        needs_result_only: bool = False,
        journal: Journal | None = None,
    ) -> None:
        super().__init__(core, NO_CALL_OPTIONS, None, wants_progress=False)
        self._journal = journal
        self.needs_result_only = needs_result_only
        self._poller = poller_of(core)
        self._workers = PollWorkers(self._poller, self, group)
        self._limit = limit
        self._ended = ended
        self._attended: dict[PolledJob, _Attended[T]] = {}  # in the order of their limits
        self._said: dict[ListedJob, ListedJob] = {}
        self._joined = anyio.Event()
        self._over = False
        self._is_mixed = False

    @property
    def crash(self) -> Exception | None:
        """What ended `run`, and is no answer."""
        return self._workers.crash

    @property
    def has_jobs(self) -> bool:
        return bool(self._attended)

    def __len__(self) -> int:
        return len(self._attended)

    def add(
        self,
        ref: JobRef,
        item: T,
        *,
        generation: Generation | None = None,
        age: float | None = None,
        waited: float = 0.0,
    ) -> None:
        """Wait for one more.

        Args:
            ref: The job; the same one twice shares its answer.
            item: What `ended` is called with.
            generation: What its submission answered, where that is known.
            age: Seconds since its submission; None where nobody knows, so that the first poll is at once.
            waited: Seconds that count towards its limit already.

        After `run` has ended with an error, whatever is added is returned with it; after `leave` nothing is waited for.
        """
        if self._over:
            if self._workers.crash is not None:
                self._ended(item, self._workers.crash)
            return
        poller, now = self._poller, self.core.clock()
        job = poller.find(str(ref.id))
        attended = None if job is None else self._attended.get(job)
        if attended is not None:
            attended.more += (item,)
            return
        job = poller.subscribe(
            self, ref, None if age is None else JobSnapshot(now - age, dated=True, generation=generation)
        )
        if not self._attended:
            poller.hints.wake(self)
        self._attended[job] = _Attended(item, None if self._limit is None else now + self._limit - waited)
        self._is_mixed = self._is_mixed or waited > 0
        self._lighten(job)
        self._joined.set()

    async def run(self) -> None:
        """Wait until cancelled, or until no more polls are possible: then the rest is returned with the error."""
        if self._journal is not None:
            self._poller.hints.listen(self, self._journal)
        try:
            async with anyio.create_task_group() as limits:
                limits.start_soon(self._keep_limits)
                await self._workers.see_through()
                limits.cancel_scope.cancel()
        except BaseException:
            self.leave()
            raise
        self._over = True
        self._poller.hints.leave(self)
        self._poller.unsubscribe(self, *self._attended)
        crash = self._workers.crash
        assert crash is not None
        for job in [*self._attended]:
            self._return(job, _about(job, crash))

    def leave(self) -> None:
        """Wait for nothing any more, and for nothing that may still be added; where `run` was never begun, too."""
        self._over = True
        self._poller.unsubscribe(self, *self._attended)
        self._poller.hints.leave(self)
        self._attended.clear()

    # What the poller tells.

    def notify(self, job: PolledJob) -> None:
        self._return(job, job.generation if job.error is None else _about(job, job.error))

    def has_update(self, now: float) -> bool:  # noqa: ARG002 - limits have a clock of their own
        return self._workers.crash is not None

    async def work(self) -> bool:
        return self._workers.start(self._polled)

    def _polled(self, job: PolledJob) -> None:
        attended = self._attended.get(job)
        if attended is not None and attended.last_poll_until is not None and not self._is_put_off(job):
            self._let_go(job)
        else:
            self._lighten(job)

    def _lighten(self, job: PolledJob) -> None:
        """Keep of a pending answer what a listing would have said: the same for all, where nobody else waits for it."""
        last = job.answer
        if last is None or last.is_final or job.waiters != (self,):
            return
        said = ListedJob(last.status, last.kind, last.model)
        if len(self._said) >= _SAID:
            self._said.clear()
        job.seen = self._said.setdefault(said, said)

    def _return(self, job: PolledJob, ended: Ended | None) -> None:
        assert ended is not None
        attended = self._attended.pop(job)
        for item in (attended.item, *attended.more):
            self._ended(item, ended)

    # Limits.

    async def _keep_limits(self) -> None:
        poller = self._poller
        while self._limit is not None:
            over, next_at, is_ending = self._find_over(poller.now())
            for job in over:
                self._end(job)
            if over:
                continue
            self._joined = anyio.Event()
            if next_at is None:
                await self._joined.wait()
            else:
                # While one has its last poll, whoever joins may reach the limit before that is given up.
                event = self._joined if is_ending else anyio.Event()
                await self.core.wait_until(event, next_at - poller.now())

    def _find_over(self, now: float) -> tuple[list[PolledJob], float | None, bool]:
        """Return whose time is over, the next time at which one's is, and whether any has its last poll."""
        over, times, is_ending = list[PolledJob](), list[float](), False
        for job, attended in self._attended.items():
            until = attended.ends_at if attended.last_poll_until is None else attended.last_poll_until
            assert until is not None
            if until <= now:
                over.append(job)
                continue
            times.append(until)
            if attended.last_poll_until is None:
                if self._is_mixed:
                    continue
                break  # those after it came later
            is_ending = True
        return over, min(times, default=None), is_ending

    def _end(self, job: PolledJob) -> None:
        """Give a job whose limit passed a last poll, or let it go after that.

        Where the plan's requests are scarce the next page that is read anyway is its last poll: nobody waits for it alone.
        """
        attended, poller = self._attended[job], self._poller
        now = poller.now()
        assert attended.ends_at is not None
        is_fresh = job.asked_at is not None and job.asked_at + job.polling.min_interval > attended.ends_at
        if is_fresh and not self._is_put_off(job):
            self._let_go(job)
            return
        read_at = poller.reads.next_at(now)
        if read_at is not None:
            attended.last_poll_until = max(now, read_at) + GRACE
            return
        attended.last_polls += 1
        if attended.last_polls > (_TRIES if poller.reads.is_metered else 1):
            self._let_go(job)
            return
        attended.last_poll_until = now + GRACE
        if job.polled_by is None:
            poller.assign(job)

    def _is_put_off(self, job: PolledJob) -> bool:
        """Whether the last poll of a job was refused since the plan's requests are used up; another follows."""
        return self._poller.reads.is_metered and isinstance(job.failure, RateLimitError)

    def _let_go(self, job: PolledJob) -> None:
        if job in self.todo:
            self.todo.remove(job)
            job.polled_by = None
        self._poller.unsubscribe(self, job)
        if job.waiters and job.polled_by is None:
            self._poller.requeue(job)
        error = timed_out(job, self._limit)
        error.__cause__ = job.failure
        self._return(job, error)


def _about(job: PolledJob, error: Exception) -> Exception:
    """The error as that of one job's wait."""
    return error.with_job(ref_of(job)) if isinstance(error, NeuralBoxError) else error


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
        timeout: Limit for the whole wait, in seconds from the call; 0 or less is one poll of each. None waits
            without limit; left out, the client's `polling.timeout` counts.
        on_progress: Called in this task with each changed state of each job, the final one included, as they come.
        call: Call options whose time-out and extra headers the polls use.

    Returns:
        One generation per input, in input order; failed ones are among them (`is_failed`), not raised.

    Raises:
        GenerationTimeoutError: The limit passed before all were final; `.job` is the first that is not.
        NotFoundError: The service does not know one of the ids (`.job`); raised when all others are final.
        AuthenticationError: The credential is refused; all waits end.

        Whichever it is, `.generations` has what was last seen of each, in input order; None where nothing was.

    Cancellation:
        Stops polling; the jobs go on and are charged when they complete.
    """
    limit = require_limit(timeout, core)
    require_callback("`on_progress`", on_progress)
    require_jobs(jobs)
    named = [(as_ref(job), job) for job in jobs]  # all of them, before anything is asked
    keeping = [(at, job) for at, (_, job) in enumerate(named) if isinstance(job, Job) and job._keep is not None]
    poller = poller_of(core)
    failure: Exception | None = None
    group = anyio.create_task_group()
    polling = CallOptions(call.timeout, call.extra_headers)
    deadline, wants_progress = deadline_of(limit, core), on_progress is not None
    waiter = MultiJobWaiter(poller, core, polling, deadline, wants_progress=wants_progress, group=group)
    ordered = list[PolledJob]()
    async with group:
        try:
            for ref, job in named:
                ordered.append(waiter.jobs.get(str(ref.id)) or waiter.add(ref, job))
            named.clear()  # a million of them are many bytes
            if on_progress is None:
                await waiter.see_through()
            else:
                group.start_soon(waiter.see_through)
                await waiter.report(on_progress)
        except Exception as error:  # noqa: BLE001 - raised below as it is; the group would wrap it
            failure = error
        finally:
            poller.unsubscribe(waiter, *waiter.jobs.values())
            poller.hints.leave(waiter)
        group.cancel_scope.cancel()
    for at, job in keeping:
        await job._keep_result(ordered[at].generation if at < len(ordered) else None)
    if failure is not None:
        raise failure  # of the callback: the caller's own
    return _results(ordered, waiter.workers.crash, limit)


def require_jobs(jobs: object) -> None:
    """Refuse what is no iterable of jobs: text and records are, but their characters and fields would be other jobs."""
    if isinstance(jobs, str | bytes | Model) or not isinstance(jobs, Iterable):
        raise ConfigurationError(f"Pass the ids as a list: [{jobs!r}].")


def _results(jobs: Sequence[PolledJob], failure: Exception | None, limit: float | None) -> list[Generation]:
    """Return what a wait for many came to, or raise the first error with everything that was seen."""
    seen = [job.generation for job in jobs]
    late = next((job for job in jobs if not job.is_ended), None)
    if failure is None:
        failed = next((job for job in jobs if job.error is not None), None)
        if failed is not None and failed.error is not None:
            failure = failed.error.with_job(ref_of(failed))
            failure.__cause__ = failed.error
        elif late is not None:
            failure = timed_out(late, limit, of=len(jobs))
            failure.__cause__ = late.failure
        else:
            return [generation for generation in seen if generation is not None]
    if isinstance(failure, NeuralBoxError):
        if failure.job is None and late is not None:
            failure = failure.with_job(ref_of(late))
        failure.generations = tuple(seen)
    raise failure

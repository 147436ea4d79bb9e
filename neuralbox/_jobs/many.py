"""Waiting for many jobs in one call: one entry in the poller each, and no task per job.

The calling task leads or sleeps like any other waiter; the looks run in at most `LOOKERS` tasks that live inside the
call. Failed generations are results here, since one of many must not hide the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import anyio
from anyio.abc import TaskGroup

from .._config import NO_CALL_OPTIONS, CallOptions
from .._core import Core
from .._errors import ConfigurationError, NeuralBoxError
from .._models.generation import Generation
from .._types import OMIT, JobRef, Omit
from .entry import Entry, Known, Task, Waiter
from .handle import Job, OnProgress, deadline_of, ref_of, report, require_limit, timed_out
from .look import Reference, as_ref
from .poller import Poller, poller_of

LOOKERS = 64
"""Looks of one call under way at once; the transport's gate may let fewer pass."""


class Crowd(Waiter):
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
        self.entries: dict[str, Entry] = {}
        self.left = 0
        self.fresh: dict[Entry, None] = {}
        self.bell = anyio.Event()
        self.over = False
        self.crash: Exception | None = None

    def joined(self, entry: Entry, *, news: bool) -> None:
        self.left += 1
        if news and self.curious:
            self.fresh[entry] = None

    def told(self, entry: Entry) -> None:
        if self.curious:
            self.fresh[entry] = None
            self.bell.set()
        if entry.settled:
            self.left -= 1

    def has_news(self, now: float) -> bool:
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
            while self.todo:
                task = self.todo.pop()
                await poller.do(self, task)
        except Exception as error:  # noqa: BLE001 - handed to the caller of the wait, where it is raised as it is
            if isinstance(error, NeuralBoxError) and isinstance(task, Entry):
                error = error.with_job(ref_of(task))
            self.crash = error
        finally:
            self.workers -= 1
            poller.wake(self)

    async def see_through(self, poller: Poller) -> None:
        """Wait until nothing more will come."""
        try:
            await poller.news(self)
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
    crowd = Crowd(core, looking, deadline_of(limit, core), curious=on_progress is not None, group=group)
    entries, ordered = crowd.entries, list[Entry]()
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


def _join(poller: Poller, crowd: Crowd, ref: JobRef, job: Reference) -> Entry:
    known = job._known if isinstance(job, Job) else None
    if isinstance(job, Generation) and job.is_final:
        known = Known(poller.clock(), generation=job)
    if known is not None and known.generation is not None and known.generation.is_final:
        return Entry(ref, known)
    return poller.join(crowd, ref, known)


def _results(entries: Sequence[Entry], failure: Exception | None, limit: float | None) -> list[Generation]:
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

"""`Job`: the handle of one generation, and the two ways to wait for it: until its end, or change by change.

A handle is a reference, what was last heard of it, and the client to ask with; it owns nothing, belongs to no event
loop, and costs nothing to keep or to drop. Polling is the poller's business; what a wait returns or raises is
decided here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import isnan
from typing import Any, Self, TypeAlias

from .._api.checks import require_callback
from .._api.reply import safe_words
from .._concurrency.callbacks import call_either
from .._config import NO_CALL_OPTIONS, CallOptions
from .._core.exchange import Core
from .._errors import ConfigurationError, GenerationFailedError, GenerationTimeoutError, NeuralBoxError, NotFoundError
from .._models.generation import Generation
from .._types import OMIT, BoundToProcess, GenerationId, JobRef, Omit
from .account_pollers import poller_of
from .job_waiter import JobWaiter
from .polled_job import JobSnapshot, PolledJob
from .poller import Poller
from .status import Reference, as_ref, poll

OnProgress: TypeAlias = Callable[[Generation], Any] | Callable[[Generation], Awaitable[Any]]
"""Called with each changed state, the final one included; may be a plain or an async function."""


class Job(BoundToProcess):
    """One generation on its way, or finished.

    Args:
        core: The client to ask with.
        ref: What names the job; may be left out where `generation` is given.
        generation: What the service answered to its submission just now; the job's age counts from here.
        call: Call options whose time-out and extra headers its polls use.
        keep: Is given its final state when that was seen here.
        journal: The journal that has it, where it was submitted with one: waits look there for what webhooks said to others.
    """

    __slots__ = ("_call", "_core", "_journal", "_keep", "_known", "_ref")

    def __init__(
        self,
        core: Core,
        ref: Reference | None = None,
        *,
        generation: Generation | None = None,
        call: CallOptions = NO_CALL_OPTIONS,
        keep: Callable[[Generation], Awaitable[None]] | None = None,
        journal: str | None = None,
    ) -> None:
        self._core = core
        self._keep = keep
        self._journal = journal
        # What is sent along with a submission (body, query) is no business of the polls that follow.
        self._call = CallOptions(call.timeout, call.extra_headers)
        self._known: JobSnapshot | PolledJob | None = None  # a `PolledJob` while a wait goes on
        subject = generation if ref is None else ref
        if subject is None:
            raise ConfigurationError("A job needs an id.")
        if generation is not None:
            self._known = JobSnapshot(core.clock(), dated=True, generation=generation)
        elif isinstance(subject, Generation) and subject.is_final:
            self._known = JobSnapshot(core.clock(), generation=subject)
        # Nobody will ask for a finished one again, so that may even be without an id.
        self._ref = subject.ref if isinstance(subject, Generation) and subject.is_final else as_ref(subject)

    def __repr__(self) -> str:
        generation = self.generation
        return f"<Job {self._ref.id!r}: {generation.status if generation is not None else 'not polled yet'}>"

    @property
    def id(self) -> GenerationId:
        """The id as the service gave it."""
        return self._ref.id

    @property
    def kind(self) -> str | None:
        """`video`, `image`, ... or None where it is not known yet."""
        generation = self.generation
        return self._ref.kind or (generation.kind if generation is not None else None)

    @property
    def model(self) -> str | None:
        """The model's slug, or None where it is not known yet."""
        generation = self.generation
        return self._ref.model or (generation.model if generation is not None else None)

    @property
    def ref(self) -> JobRef:
        """Id, kind and model as plain values: picklable, and `client.job(ref)` attaches again."""
        return JobRef(self.id, self.kind, self.model)

    @property
    def generation(self) -> Generation | None:
        """What was last heard of it, or None before the first poll."""
        return self._known.generation if self._known is not None else None

    @property
    def _snapshot(self) -> JobSnapshot | None:
        known = self._known
        return known.snapshot if isinstance(known, PolledJob) else known

    # Waiting for the end...

    async def wait(self, *, timeout: float | Omit | None = OMIT, on_progress: OnProgress | None = None) -> Generation:
        """Wait until the generation is final and return it.

        However many wait for the same job, one polls and all share its answer.

        Args:
            timeout: Limit for the whole wait, in seconds from the call; 0 or less is one poll. None waits without
                limit; left out, the client's `polling.timeout` counts (600 s).
            on_progress: Called in this task with each changed state, the final one included. What it raises ends this
                wait only; the job goes on.

        Returns:
            The completed generation; `url` is set for image, video and audio, `text` for text.

        Raises:
            GenerationFailedError: It ended without a result; no tokens were charged.
            GenerationTimeoutError: The limit passed, and a last poll at its end (up to 5 s more) did not find it
                final. The job still runs on the server; `.job` waits again.
            NotFoundError: The service still does not know the id 30 s after it was submitted or first asked for.
            AuthenticationError: The service refuses the credential; as with `PermissionDeniedError`, all waits end. A
                page of a proxy or content network with such a status ends none.

        Cancellation:
            Stops polling; the job goes on and is charged when it completes.

        Source:
            NeuralBox API, "Check generation status" (SEED 000), `GET /api/v2/generate/{id}` (SEED 001).
        """
        limit = require_limit(timeout, self._core)
        require_callback("`on_progress`", on_progress)
        if self.generation is None or not self.generation.is_final:
            await self._wait(limit, on_progress)
        await self._keep_result(self.generation)
        self.raise_if_failed()
        assert self.generation is not None
        return self.generation

    async def _wait(self, limit: float | None, on_progress: OnProgress | None) -> Generation:
        poller = poller_of(self._core)
        wants_progress = on_progress is not None
        deadline = deadline_of(limit, self._core)
        waiter = JobWaiter(poller, self._core, self._call, deadline, wants_progress=wants_progress)
        job = self._subscribe(poller, waiter)
        try:
            while True:
                await wait_for_update(poller, waiter, job)
                # A limit that passed ends it, or a slow callback could find something new for ever.
                if on_progress is None or waiter.known_version == job.version or waiter.is_late(job, poller.now()):
                    return outcome(job, limit)
                waiter.known_version = job.version
                await report(on_progress, job)
        finally:
            self._unsubscribe(poller, waiter, job)

    def _subscribe(self, poller: Poller, waiter: JobWaiter) -> PolledJob:
        known = self._snapshot
        job = self._known = poller.subscribe(waiter, self.ref, known)
        waiter.watch(job, known.generation if known is not None else None)
        if self._journal is not None:
            poller.hints.listen(waiter, self._journal)
        return job

    def _unsubscribe(self, poller: Poller, waiter: JobWaiter, job: PolledJob) -> None:
        self._known = job.snapshot
        poller.unsubscribe(waiter, job)
        if self._journal is not None:
            poller.hints.leave(waiter)

    # ... or change by change.

    def watch(self, *, timeout: float | Omit | None = OMIT) -> Watch:
        """Iterate over the states of the generation as they change; the final one is the last.

            async for generation in job.watch():
                print(generation.status, generation.progress)

        Between two steps nothing runs and nothing is held, so the loop may be left at any point. A failed generation
        is delivered like a completed one, not raised: see `is_failed`, or call `raise_if_failed()` afterwards.

        Args:
            timeout: Limit for the whole iteration, in seconds from its first step; None for no limit, left out for
                the client's `polling.timeout`. The time spent in the loop's body counts.

        Raises:
            GenerationTimeoutError: As `wait`, by the step in which the limit passes.
            NeuralBoxError: As `wait`.
        """
        return Watch(self, require_limit(timeout, self._core))

    async def _changed(self, deadline: float | None, limit: float | None) -> Generation:
        poller = poller_of(self._core)
        waiter = JobWaiter(poller, self._core, self._call, deadline, wants_progress=True)
        job = self._subscribe(poller, waiter)
        try:
            await wait_for_update(poller, waiter, job)
            if job.error is None and job.generation is not None and not waiter.is_late(job, poller.now()):
                return job.generation
            return outcome(job, limit)
        finally:
            self._unsubscribe(poller, waiter, job)

    # One poll.

    async def refresh(self) -> Generation:
        """Poll once, now, and return what the service says.

        A final state stands: a service that goes back from it is not believed.

        Raises:
            NotFoundError: The service does not know the id.
            NeuralBoxError: It was refused, or no answer came; `.job` says which job it was about.
        """
        began = self._core.clock()
        try:
            generation = await poll(self._core, self.ref, self._call)
        except NeuralBoxError as error:
            raise error.with_job(self.ref) from error
        known = self._snapshot or JobSnapshot(began)
        if known.generation is None or not known.generation.is_final or generation.is_final:
            self._known = JobSnapshot(known.since, known.dated, generation, known.polls + 1, began)
            await self._keep_result(generation)
            return generation
        return known.generation

    async def _keep_result(self, generation: Generation | None) -> None:
        """Give its last state to what keeps results, if it is final."""
        keep = self._keep
        if keep is not None and generation is not None and generation.is_final:
            self._keep = None
            await keep(generation)

    def raise_if_failed(self) -> None:
        """Raise `GenerationFailedError` if the last state that was seen is `failed`."""
        generation = self.generation
        if generation is None or not generation.is_failed:
            return
        why = safe_words(generation.error).rstrip(".") or "the service gave no reason"
        is_free = self._core.options.service.failure_is_free and not generation.tokens
        charge = " No tokens were charged." if is_free else ""
        raise GenerationFailedError(f"The {self.ref} failed: {why}.{charge}", job=self.ref, generation=generation)


class Watch:
    """The iteration `Job.watch` begins; holds nothing between its steps. Iterate once, in one task at a time."""

    __slots__ = ("_begun", "_deadline", "_done", "_job", "_limit")

    def __init__(self, job: Job, limit: float | None) -> None:
        self._job = job
        self._limit = limit
        self._deadline: float | None = None
        self._done = self._begun = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Generation:
        if self._done:
            raise StopAsyncIteration
        if not self._begun:
            self._begun, self._deadline = True, deadline_of(self._limit, self._job._core)
        generation = self._job.generation
        try:
            if generation is None or not generation.is_final:
                generation = await self._job._changed(self._deadline, self._limit)
                await self._job._keep_result(generation)
            self._done = generation.is_final
        except NeuralBoxError:
            self._done = True
            raise
        return generation

    async def aclose(self) -> None:
        """End the iteration. Never needed: there is nothing to free."""
        self._done = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


# What every kind of wait shares.


def require_limit(timeout: float | Omit | None, core: Core) -> float | None:
    """Read a wait's `timeout`: left out it is the client's; 0 and less are limits that have passed."""
    if timeout is OMIT:
        return core.options.polling.timeout
    if timeout is None:
        return None
    seconds: object = timeout
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or isnan(seconds):
        raise ConfigurationError(f"timeout must be a number of seconds, or None for no limit; it is {timeout!r}.")
    return seconds


def deadline_of(limit: float | None, core: Core) -> float | None:
    """Return when a wait that begins now ends, by the core's clock."""
    return None if limit is None else core.clock() + max(0.0, limit)


async def wait_for_update(poller: Poller, waiter: JobWaiter, job: PolledJob) -> None:
    """Wait until there is something to tell; whatever ends the wait carries the job."""
    try:
        await poller.wait_for_update(waiter)
    except NeuralBoxError as error:
        raise error.with_job(job.ref) from error


async def report(on_progress: OnProgress, job: PolledJob) -> None:
    """Call a progress callback of either colour with a job's last answer."""
    generation = job.generation
    assert generation is not None
    await call_either(on_progress, generation)


def outcome(job: PolledJob, limit: float | None) -> Generation:
    """Return what a wait comes to when there is nothing more to report, or raise what ended it."""
    if job.error is not None:
        raise job.error.with_job(ref_of(job)) from job.error
    if job.generation is not None and job.generation.is_final:
        return job.generation
    raise timed_out(job, limit) from job.failure


def timed_out(job: PolledJob, limit: float | None, *, of: int = 1) -> GenerationTimeoutError:
    """Build the error of a wait whose limit passed, for the first job of so many that is not final."""
    ref, last = ref_of(job), job.generation
    if last is not None:
        state = f"it is still {last.status or 'without a state'}" + (
            f", {last.progress:g} % done" if last.progress is not None else ""
        )
        rest = "It goes on running on the server and is charged when it completes"
    elif isinstance(job.failure, NotFoundError):
        state, rest = "the service does not show it (yet)", "It may still run on the server"
    else:
        state, rest = "no poll of it brought an answer", "It may still run on the server"
    why = f" The last poll failed: {job.failure.message.rstrip('.')}." if job.failure is not None else ""
    many = f"{of} jobs, among them the " if of > 1 else "the "
    return GenerationTimeoutError(
        f"Waited {max(0.0, limit or 0.0):g} s for {many}{ref}: {state}.{why} {rest}; "
        "`client.job(error.job)` attaches again.",
        job=ref,
        generation=last,
    )


def ref_of(job: PolledJob) -> JobRef:
    """Return a job with what its answers have told."""
    ref, last = job.ref, job.generation
    if last is None:
        return ref
    return JobRef(ref.id, ref.kind or last.kind, ref.model or last.model)

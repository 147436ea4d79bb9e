"""`Batch`: one run of many requests, from the entry of its block to its exit.

The block opens the journal and begins to read and send; the loop over it takes outcomes as they come; leaving it, for
whatever reason, ends every task of the run and closes its files. Each stage has a module of its own, and passes
requests to the next: `reader`, `submitter`, `collector`; `state` is what they share.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, NoReturn, Self

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from .._budget import Budget
from .._concurrency.detached import DetachedTaskGroup
from .._core.exchange import Core
from .._errors import ConfigurationError, NeuralBoxError
from .._journal import Journal, JournalSummary, Sync, open_account_journal
from .._journal.shared import shared_of
from .._result_cache import ResultCache, close_cache
from .._types import BoundToProcess, JobRef
from .collector import Collector
from .others import OthersWork
from .outcome import BatchOutcome
from .progress import BatchProgress
from .reader import RequestReader, Source
from .run_budget import open_run_budget
from .run_places import RunPlaces
from .state import BatchOptions, BatchState
from .submitter import Submitter

GOODBYE = 5.0
"""Seconds for which a block that is left early waits for the ids of requests that are on their way."""
_BETWEEN = 0.2  # seconds between two reports of progress


class Batch(BoundToProcess):
    """Run many requests; `client.batch(...)` makes it.

        async with nb.batch(requests, journal="run.sqlite") as run:
            async for outcome in run:
                print(outcome.key, outcome.generation or outcome.error)

    The loop delivers one `BatchOutcome` for each request, in the order in which they end. Requests that fail are outcomes
    too. It may be left early: what was sent by then is in `unfinished`, and with a journal the same call continues.

    Raises:
        Exception: By the loop, after the last outcome: what the requests' iterable or a callback raised. From there on
            nothing more was sent (what an iterable gave before it raised, still was).
        JournalError: By the block's entry, where the journal cannot be used; by the loop, after the last outcome, where
            it could not be written any more, or knows a key with another request.

    Cancellation:
        The tasks of the run belong to none of yours: the block may stand in an async generator, and be left by another
        task than entered it. Every task and connection of the run has ended when the block is left. Jobs go on at the service and are
        charged when they complete: see `unfinished`. Leaving early without a cancellation waits up to 5 s for the ids
        of requests that are on their way; a cancelled one that may have been accepted is in the client's `unresolved`
        and, with a journal, settled by the next run.
    """

    def __init__(
        self,
        core: Core,
        source: Source | None,
        options: BatchOptions,
        *,
        journal: str | os.PathLike[str] | None,
        journal_sync: Sync,
        budget: int | Budget | None,
        joint_budget: Budget | None = None,
        cache: ResultCache | None = None,
    ) -> None:
        self._core = core
        self._source = source
        self._options = options
        self._journal_at = journal
        self._journal_sync: Sync = journal_sync
        self._budget = budget
        self._joint_budget = joint_budget  # where tokens are set aside, if that is more than the budget itself
        self._cache = cache
        self._entered = False
        self._journal: Journal | None = None
        self._tasks: DetachedTaskGroup | None = None
        self._state: BatchState | None = None
        self._reader: RequestReader | None = None
        self._collector: Collector | None = None
        self._places: RunPlaces | None = None
        self._over = anyio.Event()
        self._reported: anyio.Event | None = None

    def __repr__(self) -> str:
        if self._state is None:
            return "<Batch: not begun>"
        progress = self._state.progress
        return f"<Batch: {progress.read} read, {progress.done} delivered>"

    def _repr_html_(self) -> str:
        """Show it in a notebook, as it is now."""
        from .notebook import batch_html  # only notebooks need it

        return batch_html(None if self._state is None else self._state.progress)

    def _ipython_display_(self, post: Callable[[Callable[[], object]], object] = lambda act: act()) -> None:
        """Show it in a notebook, and keep that up to date: `display(run)` in the block."""
        from .notebook import show_live

        show_live(self._state, self._over, post)

    @property
    def progress(self) -> BatchProgress:
        """Say how it is getting on, now."""
        return self._begun().progress

    @property
    def unfinished(self) -> tuple[JobRef, ...]:
        """Return the paid jobs whose outcomes were not delivered: `client.job(ref)` attaches to each again."""
        return () if self._state is None else self._state.unfinished

    def _begun(self) -> BatchState:
        if self._state is None:
            raise ConfigurationError(
                "A batch runs inside its block: enter `client.batch(...)` by `with` or `async with`, and iterate over it there."
            )
        return self._state

    # The block.

    async def __aenter__(self) -> Self:
        if self._entered:
            raise ConfigurationError("A batch runs once; call `client.batch(...)` again for another run.")
        self._entered = True
        if self._journal_at is not None:
            self._journal = await open_account_journal(self._core, self._journal_at, sync=self._journal_sync)
        try:
            budget, total = await self._counted()
            options = replace(
                self._options,
                budget=budget,
                joint_budget=self._joint_budget or budget,
                is_callers_budget=budget is not None and budget is self._budget,
            )
            self._tasks = DetachedTaskGroup()
            await self._tasks.start(partial(self._begin, options, total))
        except BaseException as error:
            await self._end_tasks()
            await self._close_files(error)
            raise
        return self

    def _begin(self, options: BatchOptions, total: int | None, group: TaskGroup) -> None:
        self._state = state = BatchState(self._core, options, self._journal, group, total)
        assert self._tasks is not None
        self._tasks.on_end = state.news.ring  # a consumer would wait for ever
        self._collector = collector = Collector(state)
        shared = shared_of(self._journal)
        if shared is not None:
            self._places = RunPlaces(self._core, shared)
            self._places.begin()
        others = OthersWork(state, collector, shared, self._places)
        # A client that looks for no lost answers looks for nobody else's.
        if shared is not None and self._core.options.submission == "reconcile":
            from .keeper import Keeper
            from .kept import KeptWork

            keeper = Keeper(self._core, shared)
            group.start_soon(state.guarded, keeper.run)
            group.start_soon(state.guarded, KeptWork(state, shared, collector, keeper).run)
        submitter = Submitter(state, collector, others)
        self._reader = reader = RequestReader(state, self._source, submitter, collector, others)
        group.start_soon(state.guarded, collector.run)
        group.start_soon(state.guarded, others.run)
        group.start_soon(state.guarded, reader.run)
        if options.on_progress is not None:
            self._reported = anyio.Event()
            group.start_soon(self._report, state, options.on_progress, self._reported)

    async def _counted(self) -> tuple[Budget | None, int | None]:
        """Return the budget, with what the journal's earlier runs spent of it, and how many requests there will be."""
        budget, journal, source = self._budget, self._journal, self._source
        shared = shared_of(journal)
        if shared is not None and isinstance(budget, int):
            budget = await open_run_budget(self._core, shared, budget)
        asks = journal is not None and (isinstance(budget, int) or source is None)
        found = await journal.summary() if journal is not None and asks else JournalSummary()
        if source is None:
            total = found.unfinished + (found.failed if self._options.retry_failed else 0)
        else:
            total = operator.length_hint(source, -1)
        if isinstance(budget, int):
            budget = Budget(budget, spent=max(0, found.tokens))  # older versions wrote down what a service said below 0
        return budget, None if total < 0 else total

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        state = self._begun()
        state.stop()
        try:
            if error is None or isinstance(error, Exception | GeneratorExit):
                await self._wait_for_ids(state)
        finally:
            try:
                await self._end_tasks()
            finally:
                await self._close_files(error)
        assert self._tasks is not None
        if self._tasks.error is not None and error is None:
            self._tasks.raise_error()

    async def _end_tasks(self) -> None:
        if self._tasks is not None:
            try:
                await self._tasks.aclose()
            finally:
                if self._places is not None:
                    self._places.end()
                if self._collector is not None:
                    self._collector.leave()
                if self._state is not None:
                    self._state.let_all_go()

    async def _wait_for_ids(self, state: BatchState) -> None:
        """Wait a little for the ids of what is on its way."""
        assert self._tasks is not None
        until = self._core.clock() + GOODBYE
        while any(item.may_have_left for item in state.live.values()) and self._core.clock() < until:
            if self._tasks.ended.is_set():
                return
            await self._core.wait_until(state.changed.next, until - self._core.clock())

    async def _close_files(self, error: BaseException | None = None) -> None:
        """Close the journal, and the cache of this batch's own."""
        try:
            await self._close_journal(error)
        finally:
            if self._cache is not None:
                await close_cache(self._cache)

    async def _close_journal(self, error: BaseException | None) -> None:
        if self._journal is None:
            return
        try:
            with anyio.CancelScope(shield=True):
                await self._journal.aclose()
        except NeuralBoxError as problem:
            if error is None:
                raise
            error.add_note(str(problem))

    # The outcomes.

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BatchOutcome:
        state = self._begun()
        if state.done:
            await checkpoint()  # the consumer of a long row of outcomes must not stop the event loop
        while not state.done:
            if state.is_over:
                await self._end(state)
            assert self._tasks is not None
            if self._tasks.ended.is_set():
                self._tasks.raise_error()
            await state.news.wait()
        assert self._reader is not None
        item = state.deliver()
        self._reader.delivered(item)
        outcome = item.outcome
        state.counter.delivered(outcome)
        return outcome

    async def _end(self, state: BatchState) -> NoReturn:
        """End the iteration, the first time with what the run ends with."""
        self._over.set()
        state.changed.ring()  # the report of progress may be waiting for a change that never comes
        if self._reported is not None:
            await self._reported.wait()
        failure, state.failure = state.failure, None
        if failure is not None:
            raise failure
        raise StopAsyncIteration

    async def _report(self, state: BatchState, on_progress: Callable[..., Any], reported: anyio.Event) -> None:
        """Report what changes, not too often, and at the end."""
        try:
            while True:
                change, over = state.changed.next, self._over.is_set()
                if not await state.call(on_progress, state.progress) or over:
                    break
                await self._core.wait_until(self._over, _BETWEEN)
                await change.wait()
        finally:
            reported.set()

"""What the stages of one run share: who is where, what is wanted of the run, and how it ends.

A request takes a place when it is read and gives it back when its outcome is delivered, so no more than
`max_in_flight` exist at once, however slow the service or the consumer is. The stages follow one another: the reader
passes requests to the submitter, and both pass what was accepted to the collector, by plain calls with no await in
between. Workers are tasks that live as long as there is something for them to do. The stages of one request are the table
of `item`; the rules of the end:

- `halt` (402, 401, throttled too long): nothing more is sent; what was not sent has the error for an outcome.
- `fail` (the caller's list or callback raised, the journal cannot be written): nothing more is read or sent, what was
  accepted is finished and delivered, then the error is raised. What was not sent has no outcome; a list that raised
  lets those before it be sent.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import TaskGroup

from .._budget import Budget, Reservation, reserve_spent, rest_of
from .._concurrency.broadcast import Broadcast
from .._concurrency.callbacks import call_either
from .._core.exchange import Core
from .._costs.charges import charges_of
from .._errors import NeuralBoxError
from .._files.naming import FileNaming
from .._journal.protocol import Journal
from .._journal.shared import shared_of
from .._rate_limit.limiter import limiter_of
from .._rate_limit.windows import Why
from .._requests.json_lines import NEURALBOX_KINDS, RequestKinds
from .._types import JobRef
from .item import BatchItem, ItemStage
from .progress import BatchProgress, ProgressCounter

logger = logging.getLogger("neuralbox")


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """Hold what the caller wants of a run; checked by `Batches`.

    Attributes:
        kinds: What can be asked for.
        download_to: A directory for the files, or None.
        naming: What the files there are called.
        budget: What may be spent, or None.
        joint_budget: Where it is set aside: the budget, or with it that of the client, where both count in one.
        is_callers_budget: Whether the budget is the caller's, and outlives the run.
        max_in_flight: Requests read and not delivered, at most; those that are looked up in the history not counted.
        max_sending: Submissions at once.
        max_downloads: Downloads at once.
        wait_timeout: Seconds each job may take from when it was accepted; None for no limit.
        max_throttle_wait: Longest wait for a window of the account's limits, in seconds; None for any.
        retry_failed: Whether what failed in an earlier run is sent again.
        on_accepted: Called with the key and the job of each paid request.
        on_progress: Called with the progress.
    """

    kinds: RequestKinds = NEURALBOX_KINDS
    download_to: str | os.PathLike[str] | None = None
    naming: FileNaming = field(default_factory=FileNaming)
    budget: Budget | None = None
    joint_budget: Budget | None = None
    is_callers_budget: bool = False
    max_in_flight: int = 1_000
    max_sending: int = 64
    max_downloads: int = 8
    wait_timeout: float | None = None
    max_throttle_wait: float | None = None
    retry_failed: bool = False
    on_accepted: Callable[..., Any] | None = None
    on_progress: Callable[..., Any] | None = None


class StoppedError(Exception):
    """Nothing more is sent, and what was not sent has no outcome."""


class BatchState:
    """Hold one run.

    Attributes:
        core: The client it runs by.
        options: What the caller wants.
        journal: Where it is written down, or None.
        group: Where its workers run.
        live: Items read and not delivered, by key; in the order in which they were read.
        done: Items whose outcome is to be delivered.
        counter: Counts.
        reading: Whether more may be read.
        refusal: Why nothing more is sent, if nothing is: what each gets that was to be sent.
        failure: What is raised after the last outcome.
        room: Rung when a place is given back.
        news: Rung when there is an outcome, or nothing more to come.
        changed: Rung with each change, for those who watch.
        given_up: Of a journal that many share: items that ended without a generation, by key, of which the others know nothing yet.
    """

    def __init__(
        self, core: Core, options: BatchOptions, journal: Journal | None, group: TaskGroup, total: int | None
    ) -> None:
        self.core = core
        self.options = options
        self.journal = journal
        self.group = group
        self.live: dict[str, BatchItem] = {}
        self.done: deque[BatchItem] = deque()
        self.counter = ProgressCounter(core.clock, total)
        self.reading = True
        self.refusal: Exception | None = None
        self.failure: Exception | None = None
        self.room = Broadcast()
        self.news = Broadcast()
        self.changed = Broadcast()
        self.given_up: dict[str, BatchItem] = {}
        self._looked_up: set[BatchItem] = set()
        self._waiting: set[anyio.CancelScope] = set()  # of requests that wait for their turn

    # Where each is.

    @property
    def is_full(self) -> bool:
        """Whether no place is free.

        What an earlier run may have paid for takes none while it is looked up: often only a request that is accepted
        after it proves what became of it.
        """
        return self.counter.in_flight - len(self._looked_up) >= self.options.max_in_flight

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return not self.reading and not self.counter.in_flight

    def enter(self, item: BatchItem) -> bool:
        """Take in an item that was read; False where its key is that of another that is still here."""
        self.counter.read += 1
        self.move(item, ItemStage.QUEUED)
        return self.live.setdefault(item.key, item) is item

    def move(self, item: BatchItem, stage: ItemStage) -> None:
        """Note that an item is in another stage now."""
        self.counter.move(item.stage, stage)
        item.stage = stage
        self.changed.ring()

    def look_up(self, item: BatchItem) -> None:
        """Note that the history is asked what became of an item in an earlier run."""
        self._looked_up.add(item)
        self.room.ring()

    def looked_up(self, item: BatchItem) -> None:
        """Note that it is known, or stays unknown; fine for one that nobody asked about."""
        self._looked_up.discard(item)

    def finish(self, item: BatchItem) -> None:
        """Let the outcome of an item be delivered."""
        self.move(item, ItemStage.READY)
        self.done.append(item)
        self.news.ring()

    def give_up(self, item: BatchItem, error: Exception) -> None:
        """Let an item end without a generation."""
        item.error = error
        # One whose key is given twice says nothing of the first, which may be on its way.
        if self.live.get(item.key) is item and shared_of(self.journal) is not None:
            self.given_up[item.key] = item
        item.leave_tokens()
        self.finish(item)

    def drop(self, item: BatchItem) -> None:
        """Let an item go without an outcome: it was never sent, or is another worker's."""
        self._leave(item)
        self.news.ring()

    def deliver(self) -> BatchItem:
        """Take out the next item whose outcome is to be delivered."""
        item = self.done.popleft()
        self._leave(item)
        return item

    def _leave(self, item: BatchItem) -> None:
        self.let_go(item)
        self.counter.move(item.stage, None)
        item.stage = None
        if self.live.get(item.key) is item:
            del self.live[item.key]
        self.room.ring()
        self.changed.ring()

    def reserve_spent(self, item: BatchItem, budget: Budget, price: int | None) -> Reservation:
        """Set the tokens of one aside that an earlier run sent, where what this process knows of it does not count it."""
        counted = () if item.job is None else charges_of(self.core).bills.reservations_of(item.job.id)
        return reserve_spent(rest_of(budget, counted), price)

    def let_go(self, item: BatchItem) -> None:
        """Leave what is set aside for an item to whoever sees its end: a wait for its job, another run of the journal."""
        name, reservation = item.sent_as if item.job is None else item.job.id, item.reservation
        if reservation is None or item.generation is not None:
            return
        if item.job is None and not item.is_open:
            reservation.release()  # it was never sent
        elif self.options.is_callers_budget and name is not None:
            charges_of(self.core).bills.add(name, reservation, None)
        reservation.leave()

    def let_all_go(self) -> None:
        """Likewise of what was not delivered: others that share the budget would wait for ever for calls that have ended."""
        for item in self.live.values():
            self.let_go(item)

    # How it ends.

    def halt(self, error: Exception) -> None:
        """Send nothing more; what is still to be sent gets this error."""
        if self.refusal is None:
            logger.warning("The batch sends nothing more: %s", type(error).__name__)
            self._refuse(error)

    def fail(self, error: Exception, *, reading_only: bool = False) -> None:
        """Read and send nothing more, finish what was accepted, and raise this at the end."""
        if self.failure is None:
            self.failure = error
        self.reading = False
        if not reading_only:
            self._refuse(StoppedError())
        self.room.ring()
        self.news.ring()
        self.changed.ring()

    def stop(self) -> None:
        """Read and send nothing more: the block is being left."""
        self.reading = False
        self._refuse(StoppedError())

    def require_going(self) -> None:
        """Raise why nothing more is sent, where nothing is."""
        if self.refusal is not None:
            raise self.refusal

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Wait in a block for what a request needs to be sent; raises why nothing more is, from the moment that nothing is."""
        self.require_going()
        scope = anyio.CancelScope()
        self._waiting.add(scope)
        try:
            with scope:
                yield
        finally:
            self._waiting.discard(scope)
        if scope.cancelled_caught:
            self.require_going()

    def _refuse(self, error: Exception) -> None:
        self.refusal = error
        for scope in self._waiting:
            scope.cancel()
        self.changed.ring()

    # Running what may fail.

    async def guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run one worker; what it raises ends the run as `fail` does."""
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - raised to the caller as it is, after what was paid for
            self.fail(error)

    async def call(self, callback: Callable[..., Any], *values: object) -> bool:
        """Call a callback of either colour; what it raises ends the run, and is False here."""
        try:
            await call_either(callback, *values)
        except Exception as error:  # noqa: BLE001 - the caller's own, raised to the caller
            self.fail(error)
            return False
        return True

    async def write(self, change: Callable[[Journal], Awaitable[None]]) -> None:
        """Write a change down, where there is a journal; one that cannot be ends the run, and loses nothing paid for."""
        if self.journal is None:
            return
        try:
            await change(self.journal)
        except NeuralBoxError as error:
            self.fail(error)

    # Watching.

    @property
    def progress(self) -> BatchProgress:
        """Return how it is getting on."""
        return self.counter.progress(self.options.budget, self.throttled)

    @property
    def throttled(self) -> tuple[float, Why] | None:
        """Return until when the account's limits let nothing leave, Unix seconds, and which; None where they do."""
        return limiter_of(self.core).throttled(self.core)

    @property
    def unfinished(self) -> tuple[JobRef, ...]:
        """Return the paid jobs whose outcomes were not delivered."""
        return tuple(item.job for item in self.live.values() if item.job is not None)

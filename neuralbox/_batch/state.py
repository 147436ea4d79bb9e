"""What the stages of one run share: who is where, what is wanted of the run, and how it ends.

A request takes a place when it is read and gives it back when its outcome is handed out, so no more than
`max_in_flight` exist at once, however slow the service or the consumer is. Stages hand items on by plain calls with no
await in between; workers are tasks that live as long as there is something for them to do. The rules of the end:

- `halt` (402, 401, parked too long): nothing more is sent; what was not sent has the error for an outcome.
- `fail` (the caller's list or callback raised, the journal cannot be written): nothing more is read or sent, what was
  accepted is finished and handed out, then the error is raised. What was not sent has no outcome; a list that raised
  lets those before it be sent.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

import anyio
from anyio.abc import TaskGroup

from .._budget import Budget
from .._concurrency.broadcast import Broadcast
from .._core.exchange import Core
from .._errors import NeuralBoxError
from .._journal.protocol import Journal
from .._rate_limit.limiter import limiter_of
from .._types import JobRef
from .item import BatchItem
from .progress import BatchProgress, ItemStage, ProgressCounter

logger = logging.getLogger("neuralbox")


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """What the caller wants of a run; checked by `Batches`.

    Attributes:
        download_to: A directory for the files, or None.
        budget: What may be spent, or None.
        max_in_flight: Requests read and not handed out, at most.
        max_sending: Submissions at once.
        max_downloads: Downloads at once.
        wait_timeout: Seconds each job may take from when it was accepted; None for no limit.
        max_throttle_wait: Longest wait for a window of the account's limits, in seconds; None for any.
        retry_failed: Whether what failed in an earlier run is sent again.
        on_accepted: Called with the key and the job of each paid request.
        on_progress: Called with the progress.
    """

    download_to: str | os.PathLike[str] | None = None
    budget: Budget | None = None
    max_in_flight: int = 1_000
    max_sending: int = 64
    max_downloads: int = 8
    wait_timeout: float | None = None
    max_throttle_wait: float | None = None
    retry_failed: bool = False
    on_accepted: Callable[..., Any] | None = None
    on_progress: Callable[..., Any] | None = None


class BatchState:
    """One run.

    Attributes:
        core: The client it runs by.
        wishes: What the caller wants.
        journal: Where it is written down, or None.
        group: Where its workers run.
        live: Items read and not handed out, by key; in the order in which they were read.
        done: Items whose outcome is to be handed out.
        tally: Counts.
        reading: Whether more may be read.
        stopped: Whether anything more is sent.
        halted: Why nothing more is sent although all is read.
        failure: What is raised after the last outcome.
        room: Rung when a place is given back.
        news: Rung when there is an outcome, or nothing more to come.
        steps: How many changes there were.
        changed: Rung with each, for those who watch.
        sleepers: Set when nothing more is sent: of requests that wait for their turn.
        parked: Until when some wait for the account's limits, Unix seconds.
    """

    def __init__(
        self, core: Core, wishes: BatchOptions, journal: Journal | None, group: TaskGroup, total: int | None
    ) -> None:
        self.core = core
        self.wishes = wishes
        self.journal = journal
        self.group = group
        self.live: dict[str, BatchItem] = {}
        self.done: deque[BatchItem] = deque()
        self.tally = ProgressCounter(core.clock, total)
        self.reading = True
        self.stopped = False
        self.halted: Exception | None = None
        self.failure: Exception | None = None
        self.room = Broadcast()
        self.news = Broadcast()
        self.changed = Broadcast()
        self.sleepers: set[anyio.Event] = set()
        self.parked: dict[BatchItem, float] = {}
        self.steps = 0
        self._taken = 0

    def step(self) -> None:
        """Note that something changed."""
        self.steps += 1
        self.changed.ring()

    # Where each is.

    @property
    def is_full(self) -> bool:
        """Whether no place is free."""
        return self._taken >= self.wishes.max_in_flight

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return not self.reading and not self._taken

    def enter(self, item: BatchItem) -> bool:
        """Take in an item that was read; False where its key is that of another that is still here."""
        self._taken += 1
        self.move(item, ItemStage.QUEUED)
        return self.live.setdefault(item.key, item) is item

    def move(self, item: BatchItem, stage: ItemStage) -> None:
        """Note that an item is in another stage now."""
        self.tally.move(item.stage, stage)
        item.stage = stage
        self.step()

    def finish(self, item: BatchItem) -> None:
        """Let the outcome of an item be handed out."""
        self.move(item, ItemStage.READY)
        self.done.append(item)
        self.news.ring()

    def give_up(self, item: BatchItem, error: Exception) -> None:
        """Let an item end without a generation."""
        item.error = error
        if item.reservation is not None:
            item.reservation.leave()
        self.finish(item)

    def drop(self, item: BatchItem) -> None:
        """Let an item go that was never sent, without an outcome."""
        self._leave(item)
        self.news.ring()

    def take(self) -> BatchItem:
        """Take out the next item whose outcome is to be handed out."""
        item = self.done.popleft()
        self._leave(item)
        return item

    def _leave(self, item: BatchItem) -> None:
        self.tally.move(item.stage, None)
        item.stage = None
        self._taken -= 1
        if self.live.get(item.key) is item:
            del self.live[item.key]
        self.room.ring()
        self.step()

    # How it ends.

    def halt(self, error: Exception) -> None:
        """Send nothing more; what is still to be sent gets this error."""
        if self.halted is None:
            logger.warning("The batch sends nothing more: %s", type(error).__name__)
            self.halted = error
            self.wake()
            self.step()

    def fail(self, error: Exception, *, reading_only: bool = False) -> None:
        """Read and send nothing more, finish what was accepted, and raise this at the end."""
        if self.failure is None:
            self.failure = error
        self.reading = False
        if not reading_only:
            self.stopped = True
            self.wake()
        self.room.ring()
        self.news.ring()
        self.step()

    def wake(self) -> None:
        """Wake the requests that wait for their turn: there will be none."""
        for event in self.sleepers:
            event.set()

    async def guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run one worker; what it raises ends the run as `fail` does."""
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - raised to the caller as it is, after what was paid for
            self.fail(error)

    async def call(self, callback: Callable[..., Any], *values: object) -> bool:
        """Call a callback of either colour; what it raises ends the run, and is False here."""
        try:
            result = callback(*values)
            if isawaitable(result):
                await result
        except Exception as error:  # noqa: BLE001 - the caller's own, raised to the caller
            self.fail(error)
            return False
        return True

    async def written(self, mark: Awaitable[None]) -> None:
        """Make a mark in the journal; one that cannot be made ends the run, and loses nothing that was paid for."""
        try:
            await mark
        except NeuralBoxError as error:
            self.fail(error)

    # Watching.

    @property
    def progress(self) -> BatchProgress:
        """How it is getting on."""
        budget = self.wishes.budget
        parked = [*self.parked.values(), limiter_of(self.core).throttled_until(self.core)]
        return self.tally.progress(
            reserved=0 if budget is None else budget.reserved,
            over=0 if budget is None else budget.overrun,
            throttled_until=min((at for at in parked if at is not None), default=None),
        )

    @property
    def unfinished(self) -> tuple[JobRef, ...]:
        """Paid jobs whose outcomes were not handed out."""
        return tuple(item.job for item in self.live.values() if item.job is not None)

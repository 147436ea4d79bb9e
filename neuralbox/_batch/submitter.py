"""Sending a batch's requests: each at most once, as the budget and the account's limits let them leave.

Workers are tasks that take requests from one queue and end when it is empty; there are never more than `max_sending`,
which stays below the width of the transport's gate, so that looks at what runs already always find a way. What became
of a request that may have left is `_submissions.submission`'s business; what it learns is written down here before anything
else is done with it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial

import anyio

from .._api.request import Request
from .._concurrency.single_flight import ThreadsafeEvent
from .._costs.charges import price_of
from .._errors import (
    AuthenticationError,
    BudgetExceededError,
    InsufficientTokensError,
    JournalError,
    NeuralBoxError,
    RateLimitError,
    SubmissionUnknownError,
)
from .._models.generation import Generation
from .._requests.base import BatchRequest
from .._submissions import submission
from .._submissions.claim import Claim
from .._submissions.reconcile import learn_clock
from .item import BatchItem
from .progress import ItemStage
from .state import BatchState

logger = logging.getLogger("neuralbox")

_AGAIN, _LONGEST = 5.0, 300.0
"""Seconds, at first and at most, until a request leaves again that was refused for limits; longer where it was told so."""


class JournalRecorder:
    """Writes down what happens to one request.

    Args:
        work: The run.
        item: The request.
        reserve: Sets its tokens aside, where that was not done: one whose fate was unknown may have been paid for.
    """

    __slots__ = ("_item", "_reserve", "_work")

    def __init__(self, work: BatchState, item: BatchItem, reserve: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._item = item
        self._reserve = reserve

    async def sending(self, claim: Claim) -> None:
        """Write down that it may leave; one that cannot be written down, or afforded, does not leave."""
        item, journal = self._item, self._work.journal
        if item.reservation is None:
            await self._reserve()
        if journal is not None:
            await journal.sending(item.key, claim.to_dict())
        item.is_open, item.claim = True, None  # what an earlier run did not know is known: that one was never accepted

    async def accepted(self, generation: Generation) -> None:
        """Keep its id, then write it down; one that cannot be written down is waited for all the same."""
        work, item = self._work, self._item
        item.accepted(generation)
        if work.journal is not None:
            kind, model = (None, None) if item.job is None else (item.job.kind, item.job.model)
            await work.written(work.journal.accepted(item.key, id=generation.id, kind=kind, model=model))

    async def refused(self) -> None:
        """Write down that it was not charged."""
        work, item = self._work, self._item
        item.is_open = False
        if work.journal is not None:
            await work.written(work.journal.planned_again(item.key))


class Submitter:
    """Sends the requests of one run.

    Args:
        work: The run.
        attend: Called with each that was accepted and runs, and what the service answered, if that is known.
        close: Called with each that has ended.
    """

    def __init__(
        self,
        work: BatchState,
        *,
        attend: Callable[[BatchItem, Generation | None, float | None], None],
        close: Callable[[BatchItem, Generation], None],
    ) -> None:
        self._work = work
        self._attend = attend
        self._close = close
        self._queue: deque[BatchItem] = deque()
        self._workers = 0
        self._core = (
            work.core.with_options(work.core.options.with_changes(pace="spread")) if _is_paced(work) else work.core
        )

    def add(self, item: BatchItem) -> None:
        """Send one more when its turn comes."""
        work = self._work
        self._queue.append(item)
        if self._workers < work.wishes.max_sending:
            self._workers += 1
            work.group.start_soon(self._run)

    async def _run(self) -> None:
        try:
            while self._queue:
                await self._see_to(self._queue.popleft())
        finally:
            self._workers -= 1

    async def _see_to(self, item: BatchItem) -> None:
        """Send one request; what that raises is its outcome, or ends the run."""
        work = self._work
        work.move(item, ItemStage.SENDING)
        try:
            generation = await self._send(item)
        except Exception as error:  # noqa: BLE001 - an outcome where it is ours, else raised to the caller as it is
            self._failed(item, error)
            return
        if work.wishes.on_accepted is not None and item.job is not None:
            await work.call(work.wishes.on_accepted, item.key, item.job)
        if generation.is_final:
            self._close(item, generation)
        else:
            self._attend(item, generation, 0.0)

    async def _send(self, item: BatchItem) -> Generation:
        work, request = self._work, item.request
        assert isinstance(request, BatchRequest)
        self._require_going()
        call, wire = request.options(), await request.prepare(work.core.options.dialect)
        if item.again and work.journal is not None:
            await work.journal.planned_again(item.key)
        if item.claim is None:
            await self._reserve(item, wire)
        witness, tries = JournalRecorder(work, item, partial(self._reserve, item, wire)), 0
        claim = None if item.claim is None else Claim.from_dict(item.claim)
        if claim is None and work.journal is not None:
            await learn_clock(self._core)
        while True:
            self._require_going()
            try:
                return await submission.send(
                    self._core,
                    wire,
                    call,
                    kind=request.kind,
                    model=request.model,
                    witness=witness,
                    claim=claim,
                )
            except RateLimitError as error:
                tries, claim = tries + 1, None  # refused, so a claim was settled before: it was never accepted
                await self._throttle(item, error, tries)

    def _require_going(self) -> None:
        """Raise what the run ends with, where nothing more is to be sent."""
        work = self._work
        if work.stopped:
            raise _StoppedError
        if work.halted is not None:
            raise work.halted

    def _failed(self, item: BatchItem, error: Exception) -> None:
        work = self._work
        if item.job is not None:  # it is paid for, whatever happened after that
            work.fail(error)
            self._attend(item, None, 0.0)
            return
        if item.reservation is not None and not isinstance(error, SubmissionUnknownError):
            item.reservation.release()
        if isinstance(error, _StoppedError):
            work.drop(item)
            return
        if isinstance(error, InsufficientTokensError | AuthenticationError):
            work.halt(error)
        if isinstance(error, JournalError) or not isinstance(error, NeuralBoxError):
            work.fail(error)
            work.drop(item)
            return
        work.give_up(item, error)

    # Money and limits.

    async def _reserve(self, item: BatchItem, wire: Request) -> None:
        """Set a request's tokens aside, waiting where others that still run may leave it enough or tell its price."""
        budget = self._work.wishes.budget
        bell: ThreadsafeEvent | None = None
        while budget is not None:
            item.price = await self._price(item, wire)
            try:
                item.reservation = budget.reserve(item.price)
                return
            except BudgetExceededError:
                if not budget.may_wait_for(item.price):
                    raise
            if bell is not None:
                with self._sleeping(bell.event):
                    await bell.event.wait()
                self._require_going()
            bell = ThreadsafeEvent()
            budget.on_change(bell.ring)  # and then tried once more, so that no change in between is missed

    @contextmanager
    def _sleeping(self, event: anyio.Event) -> Iterator[None]:
        """Have an event set when nothing more is sent."""
        sleepers = self._work.sleepers
        sleepers.add(event)
        try:
            yield
        finally:
            sleepers.discard(event)

    async def account_for(self, item: BatchItem) -> None:
        """Set the tokens of one aside that an earlier run sent, as far as there are any left."""
        budget, request = self._work.wishes.budget, item.request
        if budget is not None and isinstance(request, BatchRequest):
            item.price = await self._price(item, request.build(self._work.core.options.dialect))
            try:
                item.reservation = budget.reserve(item.price)
            except BudgetExceededError:
                logger.warning("What the batch has on its way costs more than its budget.")

    async def _price(self, item: BatchItem, wire: Request) -> int | None:
        assert isinstance(item.request, BatchRequest)
        return await price_of(self._core, wire, item.request.options(), model=item.request.model)

    async def _throttle(self, item: BatchItem, error: RateLimitError, tries: int) -> None:
        """Wait until the account's limits let it leave; it was refused, or did not even leave."""
        work = self._work
        floor = min(_AGAIN * 2.0 ** min(tries, 8), _LONGEST)
        told = error.retry_after or floor  # to be told 0 is to be told nothing
        if work.wishes.max_throttle_wait is not None and told > work.wishes.max_throttle_wait:
            work.halt(error)
            return
        core, seconds = work.core, max(told, floor)
        logger.info("A request of the batch waits %.0f s for the account's limits.", seconds)
        until = core.clock() + seconds
        work.parked[item] = core.now() + seconds
        try:
            while core.clock() < until and work.halted is None and not work.stopped:
                event = anyio.Event()
                with self._sleeping(event):
                    await core.wait_until(event, until - core.clock())
        finally:
            del work.parked[item]


class _StoppedError(Exception):
    """Nothing more is to be sent."""


def _is_paced(work: BatchState) -> bool:
    return work.core.options.pace != "off"

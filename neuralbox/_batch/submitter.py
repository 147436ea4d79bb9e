"""Sending a batch's requests: each at most once, as the budget and the account's limits let them leave.

Workers are tasks that take requests from a queue and end when it is empty; there are never more than `max_sending`,
which stays below the transport's connection limit, so that the polls of what runs already always find a way. Requests of
an earlier run that may have been accepted have a queue and as many workers of their own: what proves most of them absent
is a generation of ours that was accepted after them, so a new request must find a way past them. What became
of a request that may have left is `_submissions.submission`'s business; what it learns is written down here before anything
else is done with it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

import anyio

from .._api.request import Request
from .._budget import Reservation, reserve_spent, rest_of
from .._costs.charges import batch_mark, charges_of, price_of, reserve_tokens
from .._costs.prices import price_query_of
from .._errors import (
    AuthenticationError,
    ConfigurationError,
    InsufficientTokensError,
    JournalError,
    NeuralBoxError,
    RateLimitError,
)
from .._journal.protocol import Journal, JournalRecord
from .._journal.shared import shared_of
from .._models.generation import Generation
from .._rate_limit.limiter import LOOK_AGAIN, limiter_of
from .._requests.base import BatchRequest
from .._submissions import submission
from .._submissions.admission import telling
from .._submissions.cached_call import cached_call
from .._submissions.claim import Claim, mark_of
from .._submissions.reconcile import learn_clock
from .._submissions.registry import registry_of
from .._submissions.shared_record import shared_record_of
from .._types import GenerationId
from .collector import Collector
from .item import BatchItem, ItemStage
from .others import OthersWork
from .run_budget import RunBudget, RunReservation
from .state import BatchState, StoppedError

logger = logging.getLogger("neuralbox")

_AGAIN, _LONGEST = 5.0, 300.0
"""Seconds, at first and at most, until a request leaves again that was refused for limits; longer where it was told so."""


class JournalRecorder:
    """Write down what happens to one request.

    Args:
        state: The run.
        item: The request.
        reserve: Sets its tokens aside, where that was not done: one of which nobody knew what became may have been paid for.
    """

    __slots__ = ("_item", "_reserve", "_state")

    def __init__(self, state: BatchState, item: BatchItem, reserve: Callable[[], Awaitable[None]]) -> None:
        self._state = state
        self._item = item
        self._reserve = reserve

    async def sending(self, claim: Claim) -> None:
        """Write down that it may leave; one that cannot be written down, or afforded, does not leave."""
        item, journal = self._item, self._state.journal
        self._state.require_going()  # its turn may have come in the moment in which that ended
        if item.claim is not None and item.reservation is not None:  # never accepted: a new one, that has to fit
            item.reservation.release()
            item.reservation = None
        if item.reservation is None:
            await self._reserve()
        if journal is not None:
            shared = shared_of(journal)
            if shared is None:
                price = None if item.reservation is None else item.reservation.price
                await journal.sending(item.key, claim.to_dict(), price=price)
            else:
                await shared.sending(item.key, claim.to_shared_dict(), mark=mark_of(claim.prompt), price=self._price())
        item.sent_as = name_of(claim)
        item.is_open, item.claim = True, None  # what an earlier run did not know is known: that one was never accepted
        self._state.looked_up(item)

    def _price(self) -> int | None:
        """Return the price that goes with it into a journal where many keep one budget; None where they do not."""
        reservation = self._item.reservation
        if not isinstance(reservation, RunReservation):
            return None
        reservation.be_sent()
        return reservation.written

    async def accepted(self, generation: Generation) -> None:
        """Keep its id, then write it down; one that cannot be written down is waited for all the same."""
        item = self._item
        item.accepted(generation)
        if item.reservation is not None:
            item.reservation.attend()
        kind, model = (None, None) if item.job is None else (item.job.kind, item.job.model)
        waits = not generation.is_final

        async def note(journal: Journal) -> None:
            shared = shared_of(journal)
            if shared is None:
                estimate = charges_of(self._state.core).estimate(generation, item.reservation)
                await journal.accepted(item.key, id=generation.id, kind=kind, model=model, price=estimate)
            else:
                await shared.accepted(item.key, id=generation.id, kind=kind, model=model, waits=waits)

        await self._state.write(note)

    async def refused(self) -> None:
        """Write down that it was not charged."""
        item = self._item
        item.is_open = False
        if isinstance(item.reservation, RunReservation):  # its tokens are the run's again, and no more this worker's
            item.reservation.release()
            item.reservation = None
        await self._state.write(lambda journal: journal.planned_again(item.key))


def name_of(claim: Claim) -> str | None:
    """Return what an unknown one's tokens are kept by."""
    return batch_mark(claim.key) if claim.key else None


def sent_as(record: JournalRecord) -> str | None:
    """Return that of a record while it is unknown."""
    return None if record.claim is None else name_of(Claim.from_dict(record.claim))


class _Queue:
    """Requests that wait for their turn, and how many workers take from them."""

    __slots__ = ("items", "workers")

    def __init__(self) -> None:
        self.items: deque[BatchItem] = deque()
        self.workers = 0


class Submitter:
    """Send the requests of one run.

    Args:
        state: The run.
        collector: What sees accepted jobs to their ends.
        others: What waits for those that another worker has.
    """

    def __init__(self, state: BatchState, collector: Collector, others: OthersWork) -> None:
        self._state = state
        self._collector = collector
        self._others = others
        self._new = _Queue()
        self._unknown = _Queue()
        self._is_held = False
        self._has_asked_clock = False
        core = state.core
        is_paced = core.options.pace != "off"
        self._core = core.with_options(core.options.with_changes(pace="spread")) if is_paced else core

    def add(self, item: BatchItem) -> None:
        """Send one more when its turn comes."""
        queue = self._new if item.claim is None else self._unknown
        queue.items.append(item)
        self._start_worker(queue)

    def hold(self) -> None:
        """Send nothing until `release`: what can be read at once is checked before any of it is bought."""
        self._is_held = True

    def release(self) -> None:
        """Send what was added meanwhile, and what is added from now on."""
        self._is_held = False
        for queue in (self._unknown, self._new):
            for _ in range(len(queue.items)):
                self._start_worker(queue)

    def _start_worker(self, queue: _Queue) -> None:
        if not self._is_held and queue.workers < self._state.options.max_sending:
            queue.workers += 1
            self._state.group.start_soon(self._run, queue)

    async def _run(self, queue: _Queue) -> None:
        try:
            while queue.items:
                await self.process(queue.items.popleft())
        finally:
            queue.workers -= 1

    async def process(self, item: BatchItem) -> None:
        """Plan one request, reserve its tokens, submit it; what that raises is its outcome, or ends the run."""
        state = self._state
        state.move(item, ItemStage.SENDING)
        if item.claim is not None:
            state.look_up(item)
        try:
            wire = await self._plan(item)
            found = await self._find_cached(item, wire)
            if found is not None:
                self._collector.accept(item, found)
                return
            if item.claim is None:  # else it may have been paid for already
                await self._reserve(item, wire)
            generation = await self._submit(item, wire)
            await self._note_estimate(item, wire, generation)
        except Exception as error:  # noqa: BLE001 - an outcome where it is ours, else raised to the caller as it is
            self._failed(item, error)
            return
        finally:
            state.looked_up(item)
        if state.options.on_accepted is not None and item.job is not None:
            with telling():
                await state.call(state.options.on_accepted, item.key, item.job)
        self._collector.accept(item, generation)

    async def _plan(self, item: BatchItem) -> Request:
        """Build what is sent; a recording is read from disk now."""
        state, request = self._state, item.request
        assert isinstance(request, BatchRequest)
        state.require_going()
        wire = await request.prepare(state.core.options.dialect)
        if item.again and state.journal is not None:
            await state.journal.planned_again(item.key)
        return wire

    async def _find_cached(self, item: BatchItem, wire: Request) -> Generation | None:
        """Look for a result that was bought before; of what may have been sent already, the history tells."""
        state, request = self._state, item.request
        if item.claim is not None:
            return None
        assert isinstance(request, BatchRequest)
        item.cached = cached_call(state.core, wire, request.options(), kind=request.result_kind)
        if item.cached is None:
            return None
        found = await item.cached.find()
        if found is not None:
            item.accepted(found)  # its journal is told by its end, which is next
        return found

    async def _submit(self, item: BatchItem, wire: Request) -> Generation:
        """Send it, once more whenever the account's limits refused it."""
        state, request = self._state, item.request
        assert isinstance(request, BatchRequest)
        recorder, tries = JournalRecorder(state, item, partial(self._reserve, item, wire)), 0
        claim = None if item.claim is None else Claim.from_dict(item.claim)
        kept = self._collector.kept
        shared = shared_record_of(state.journal, item.key, None if kept is None else kept.learn)
        if claim is None and state.journal is not None and not self._has_asked_clock:
            await learn_clock(self._core)
            # Its lock lets one pass at a time, and what comes together is to be written together.
            self._has_asked_clock = True
        while True:
            state.require_going()
            try:
                return await submission.send(
                    self._core,
                    wire,
                    request.options(),
                    kind=request.result_kind,
                    model=request.model,
                    recorder=recorder,
                    shared=shared,
                    claim=claim,
                    patience=state.waiting,
                )
            except RateLimitError as error:
                tries, claim = tries + 1, None  # refused, so a claim was settled before: it was never accepted
                await self._throttle(error, tries)
                if item.reservation is None:
                    await self._reserve(item, wire)

    def _failed(self, item: BatchItem, error: Exception) -> None:
        state = self._state
        if item.job is not None:  # it is paid for, whatever happened after that
            state.fail(error)
            self._collector.attend(item, age=0.0)
            return
        if item.reservation is not None and not item.is_open:  # else it may be paid for
            item.reservation.release()
        if isinstance(error, StoppedError):
            state.drop(item)
            return
        if isinstance(error, JournalError) and error.reason == "taken":
            item.leave_tokens()
            item.reservation = None
            self._others.watch(item)
            return
        if isinstance(error, InsufficientTokensError | AuthenticationError):
            state.halt(error)
        if isinstance(error, JournalError) or not isinstance(error, NeuralBoxError):
            state.fail(error)
            state.drop(item)
            return
        state.give_up(item, error)

    # Money and limits.

    async def _reserve(self, item: BatchItem, wire: Request) -> None:
        """Set a request's tokens aside, waiting where others that still run may leave it enough or tell its price."""
        budget = self._state.options.joint_budget
        if budget is None:
            return
        ask = partial(self._price, item, wire)
        price = await ask()
        if isinstance(budget, RunBudget):
            item.reservation = await budget.reserve_in_turn(price, price_again=ask, wait=self._wait_for_others)
        else:
            item.reservation = await reserve_tokens(
                budget, price, patient=True, price_again=ask, wait=self._wait_for_change
            )

    async def _wait_for_others(self, seconds: float) -> None:
        with self._state.waiting():
            await self._core.sleep(seconds)

    async def _wait_for_change(self, change: anyio.Event) -> None:
        with self._state.waiting():
            await self._core.wait_until(change, LOOK_AGAIN)

    async def account_for(self, item: BatchItem) -> None:
        """Let others wait for the tokens of one that an earlier run sent, for its end is waited for from now on."""
        budget, request = self._state.options.joint_budget, item.request
        if item.reservation is not None:
            item.price = item.reservation.price
            item.reservation.attend()
        elif budget is not None and isinstance(request, BatchRequest):  # another worker's, that is gone
            price = await self._price(item, request.build(self._state.core.options.dialect))
            if isinstance(budget, RunBudget):
                item.reservation = await budget.take_in(item.key, price)
            else:
                item.reservation = self._state.reserve_spent(item, budget, price)

    async def set_aside(self, journal: Journal) -> dict[str, Reservation]:
        """Set the tokens of all aside that earlier runs sent, before anything new is, whatever is left of the budget.

        Returns:
            By key. Nobody may wait for them until their requests are read: that may be when all places are free again.
        """
        options, found = self._state.options, dict[str, Reservation]()
        budget, joint_budget = options.budget, options.joint_budget
        if budget is None or joint_budget is None:
            return found
        bills = charges_of(self._core).bills
        async for record in journal.sent():
            name = self._counted_as(record)
            counted = () if name is None else bills.reservations_of(name)  # where this process sent it
            reservation = next((one for one in counted if one.is_of(budget)), None)
            if reservation is None:
                price = await self._price_of_record(record)
                if price is None:
                    # It would keep all of an unknown price from being sent, which alone may prove that it was never accepted.
                    continue
                reservation = reserve_spent(rest_of(joint_budget, counted), price)
                # Else nobody could settle it whose request is not read again.
                if options.is_callers_budget and name is not None:
                    bills.add(name, reservation, None)
            reservation.leave()
            found[record.key] = reservation
        if budget.spent + budget.reserved > budget.tokens:
            logger.warning("What the batch has on its way costs more than its budget.")
        return found

    def _counted_as(self, record: JournalRecord) -> GenerationId | None:
        """Return what the tokens of one that was sent are kept by."""
        claim = None if record.claim is None else Claim.from_dict(record.claim)
        if record.id is not None or claim is None:
            return record.id
        known = registry_of(self._core).job_of(claim)  # found since, and the journal was not told
        return name_of(claim) if known is None else known.id

    async def _price_of_record(self, record: JournalRecord) -> int | None:
        if record.price is not None:
            return record.price
        try:
            request = self._state.options.kinds.read(record.request)
            wire = request.build(self._state.core.options.dialect)
        except ConfigurationError:  # of a version that knew more
            return None
        return await price_of(self._core, wire, request.options(), model=request.model)

    async def _note_estimate(self, item: BatchItem, wire: Request, generation: Generation) -> None:
        """Let others go by what the service says that one of an unknown price will cost."""
        if item.reservation is not None and not generation.is_final:
            assert isinstance(item.request, BatchRequest)
            query = price_query_of(wire, model=item.request.model, extra=item.request.extra_body)
            is_noted = charges_of(self._core).note_estimate(generation, item.reservation, query)
            budget = self._state.options.budget
            if is_noted and isinstance(budget, RunBudget):
                await budget.note_estimate(item.key, item.reservation)

    async def _price(self, item: BatchItem, wire: Request) -> int | None:
        assert isinstance(item.request, BatchRequest)
        item.price = await price_of(self._core, wire, item.request.options(), model=item.request.model)
        return item.price

    async def _throttle(self, error: RateLimitError, tries: int) -> None:
        """Wait until the account's limits let it leave; it was refused, or did not even leave."""
        state = self._state
        floor = min(_AGAIN * 2.0 ** min(tries, 8), _LONGEST)
        told = error.retry_after or floor  # to be told 0 is to be told nothing
        if state.options.max_throttle_wait is not None and told > state.options.max_throttle_wait:
            state.halt(error)
            return
        seconds = max(told, floor)
        logger.info("A request of the batch waits %.0f s for the account's limits.", seconds)
        with state.waiting():
            await limiter_of(self._core).rest(self._core, seconds, least=floor)

"""What paid requests cost: prices asked ahead, tokens set aside in a budget, charges booked when they are known.

A client without a budget asks for no price and comes through here for nothing. With one, a request passes these
stations: its price is found (`Prices`, one question for all requests that cost the same), its tokens are reserved
(`reserve`), and whatever becomes of it ends the reservation: refused or failed gives the tokens back, a final answer
books what was charged, and a job that is still running is remembered by its id (`OpenCharges`) until some wait or poll sees
its end. An unknown outcome keeps its tokens.

Where the service announces no price, what was last charged for the same model and options counts; where there is
neither, such requests pass one at a time (`_budget`). Kept per account, since prices may depend on the plan.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import anyio

from .._api.request import Request
from .._budget import Budget, Reservation, forget
from .._concurrency.single_flight import SingleFlight, ThreadsafeEvent
from .._config import NEURALBOX, NO_CALL_OPTIONS, CallOptions, Service
from .._core.exchange import Core
from .._core.reply_capture import without_capture
from .._errors import APIConnectionError, APIStatusError, BudgetExceededError, ProtocolError
from .._models.generation import Generation
from .._transport import Reply
from .._types import GenerationId
from .prices import PriceQuery, expected_price, price_query_of, read_price

T = TypeVar("T")
logger = logging.getLogger("neuralbox")

PRICE_AGE = 3_600.0
"""Seconds for which an announced price is believed."""
UNKNOWN_AGE = 60.0
"""Seconds until the service is asked again for a price it did not tell."""
PRICES_KEPT = 1_024
BILLS_KEPT = 10_000


# Prices.


@dataclass(frozen=True, slots=True)
class _Told:
    tokens: int | None
    until: float


class Prices:
    """What the requests of one account cost, by model and options."""

    def __init__(self) -> None:
        self._announced: dict[str, _Told] = {}
        self._charged: dict[str, int] = {}
        self._asking = SingleFlight()

    async def of(self, core: Core, question: PriceQuery) -> int | None:
        """Return what to count on, in tokens; None where nobody knows.

        The service is asked at most once an hour for each model and set of options, whoever and however many want to
        know; what it fails to answer is no error here.

        Args:
            core: Any client of the account; the question uses its options, and those of no single call.
            question: What the price may depend on.
        """
        while True:
            told = self._announced.get(question.key)
            if told is not None and told.until > core.clock():
                return expected_price(told.tokens, self._charged.get(question.key))
            if question.model is None or not core.options.service.announces_prices:
                return self._charged.get(question.key)
            await self._asking.run(question.key, partial(self._ask, core, question))

    def known(self, question: PriceQuery) -> int | None:
        """Return what is known of a price without asking, however old that is."""
        told = self._announced.get(question.key)
        return expected_price(None if told is None else told.tokens, self._charged.get(question.key))

    def charged(self, question: PriceQuery, tokens: int) -> None:
        """Remember what was charged for a completed request; less than nothing is no price."""
        if tokens >= 0:
            _keep(self._charged, question.key, tokens, PRICES_KEPT)

    async def _ask(self, core: Core, question: PriceQuery) -> None:
        def read(reply: Reply) -> int | None:
            return read_price(core.as_object(reply))

        tokens = None
        try:
            with without_capture():
                tokens = await core.send(question.request, read)
        except (APIConnectionError, APIStatusError, ProtocolError) as error:
            logger.info("The price of %s could not be learnt (%s).", question.model, type(error).__name__)
        age = UNKNOWN_AGE if tokens is None else PRICE_AGE
        _keep(self._announced, question.key, _Told(tokens, core.clock() + age), PRICES_KEPT)


def _keep(kept: dict[str, T], key: str, value: T, most: int) -> None:
    """Keep a value as the newest, and drop the oldest eighth where there are too many."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > most:
        for old in list(kept)[: most // 8]:
            kept.pop(old, None)


# Reserving...


async def reserve_tokens(
    budget: Budget,
    price: int | None,
    *,
    patient: bool = False,
    price_again: Callable[[], Awaitable[int | None]] | None = None,
    wait: Callable[[anyio.Event], Awaitable[None]] | None = None,
) -> Reservation:
    """Set tokens aside, waiting where calls that still run will show whether they fit.

    Args:
        budget: Which.
        price: What it will cost; None where nobody knows: then it waits for the one before it whose price nobody knew.
        patient: Wait also where a known price would fit if calls that still run gave tokens back; otherwise it is
            refused at once.
        price_again: Asks for the price once more after each wait, since others may have learnt it.
        wait: Waits for the next change of the budget in a way of its own, or for some seconds: a call of another event loop
            may be gone without a word. It may raise to give up.

    Raises:
        BudgetExceededError: The budget does not cover it.
    """
    change: ThreadsafeEvent | None = None
    try:
        while True:
            try:
                return budget.reserve(price)
            except BudgetExceededError:
                if not (price is None or patient) or not budget.may_wait_for(price):
                    raise
            if change is not None:
                while not change.event.is_set() and budget.may_wait_for(price):
                    await (change.event.wait() if wait is None else wait(change.event))
                forget(budget, change.ring)
                if price_again is not None:
                    price = await price_again()
            change = ThreadsafeEvent()
            budget.on_change(change.ring)  # and then tried once more, so that no change in between is missed
    finally:
        if change is not None:
            forget(budget, change.ring)


# ... and settling.


@dataclass(frozen=True, slots=True)
class OpenCharge:
    """Tokens set aside for one request.

    Attributes:
        reservation: They.
        question: What its price depends on; None where its charge shall tell nobody a price.
    """

    reservation: Reservation
    question: PriceQuery | None


class OpenCharges:
    """The reservations of jobs that are accepted and not seen to end yet, by id; a job that has none costs a dictionary access.

    What a journal has of earlier runs whose acceptance nobody knows stands here too, by the key of its claim.
    """

    def __init__(self) -> None:
        self._open: dict[str, tuple[OpenCharge, ...]] = {}  # a batch's budget, and its client's
        self._ended: dict[str, tuple[OpenCharge, ...]] = {}  # the latest, of which a journal may not know it

    def __len__(self) -> int:
        return len(self._open)

    def reservations_of(self, id: GenerationId) -> Sequence[Reservation]:
        """Return what counts a job: as set aside, as its estimate, or as what it came to."""
        known = [bill.reservation for bill in self._open.get(str(id), ())]
        ended = [bill.reservation for bill in self._ended.get(str(id), ())]
        return [*(one for one in known if one.is_open or one.charged), *ended]

    def in_budget(self, budget: Budget) -> Sequence[OpenCharge]:
        """Return the bills of a budget that are open."""
        return [bill for bills in self._open.values() for bill in bills if bill.reservation.budget is budget]

    def add(self, id: GenerationId, reservation: Reservation, question: PriceQuery | None) -> None:
        """Keep the reservation of a job until its end is seen.

        Of more than `BILLS_KEPT` jobs that nobody waits for, the oldest are booked as completed at their prices.
        """
        others = (bill for bill in self._open.get(str(id), ()) if bill.reservation is not reservation)
        self._open[str(id)] = (*others, OpenCharge(reservation, question))
        if len(self._open) > BILLS_KEPT:
            for bill in [bill for old in list(self._open)[: BILLS_KEPT // 8] for bill in self.pop_ended(old)]:
                if bill.reservation.is_open:
                    bill.reservation.settle(None)

    def stop_waiting(self, id: GenerationId) -> None:
        """Say that the call which made a job does not wait for it any more."""
        for bill in self._open.get(str(id), ()):
            bill.reservation.leave()

    def pop(self, id: GenerationId) -> Sequence[OpenCharge]:
        """Remove and return the bills of a job, if it has any."""
        return self._open.pop(str(id), ()) if self._open else ()

    def pop_ended(self, id: GenerationId) -> Sequence[OpenCharge]:
        """Remove and return the bills of a job that has ended, and remember by what it is counted."""
        bills = self.pop(id)
        if bills:
            _keep(self._ended, str(id), (*self._ended.get(str(id), ()), *bills), BILLS_KEPT)
        return bills

    def rename(self, name: str, id: GenerationId) -> None:
        """Keep by the id of a job what was kept by another name while nobody knew the id."""
        for bill in self.pop(name):
            if bill.reservation.is_open or bill.reservation.charged:
                self.add(id, bill.reservation, bill.question)

    def release(self, name: str) -> None:
        """Give back what is kept by a name: nothing was accepted."""
        for bill in self.pop(name):
            bill.reservation.release()


def batch_mark(claim_key: str) -> str:
    """Return what a batch's tokens are kept by while nobody knows a request's id; its submission's own are by the key alone."""
    return f"batch {claim_key}"


class Charges:
    """What one account's paid requests cost and came to.

    Args:
        service: Says what each was charged.
    """

    def __init__(self, service: Service = NEURALBOX) -> None:
        self._service = service
        self.prices = Prices()
        self.bills = OpenCharges()

    def accepted(
        self, generation: Generation, reservation: Reservation, question: PriceQuery, *, waits: bool = False
    ) -> None:
        """Book a request that was accepted: at once where it is final, else when its end is seen, which its call `waits` for."""
        if generation.is_final:
            self.book(generation, reservation, question)
        else:
            self.note_estimate(generation, reservation, question)
            self.bills.add(generation.id, reservation, question)
            if not waits:
                reservation.leave()

    def estimate(self, generation: Generation, reservation: Reservation | None) -> int | None:
        """Return what the service says that an accepted one will cost; None where that is not more than is set aside."""
        known = None if reservation is None else reservation.price
        estimate = self._service.estimate(generation)
        return estimate if estimate is not None and estimate > (known or 0) else None

    def note_estimate(self, generation: Generation, reservation: Reservation, question: PriceQuery) -> bool:
        """Count on what the service says that an accepted one will cost, where that is more; its end corrects that."""
        estimate = self.estimate(generation, reservation)
        if estimate is not None:
            self.prices.charged(question, estimate)
            reservation.estimate(estimate)
        return estimate is not None

    def ended(self, id: GenerationId, generation: Generation) -> None:
        """Book a job whose end was seen, where it has a bill; `id` is what it was accepted as."""
        for bill in self.bills.pop_ended(id):
            self.book(generation, bill.reservation, bill.question)

    def book(self, generation: Generation, reservation: Reservation, question: PriceQuery | None) -> None:
        """Book the end of a request; without a question, what it was charged tells nobody a price."""
        charged = self._service.charge(generation)
        if generation.is_failed:
            reservation.settle(self._cost_of_failure(generation))
            return
        if charged == 0 and not self._service.announces_prices and not generation.is_cached:
            charged = reservation.price or 0  # it says 0 until it charges, and the end may be told before that
        if charged is not None and question is not None:
            self.prices.charged(question, charged)
        reservation.settle(charged)

    def cost(self, generation: Generation, question: PriceQuery | None) -> int | None:
        """Return what a final generation cost, in tokens: its price where the service does not say; None where nobody knows."""
        if generation.is_failed:
            return self._cost_of_failure(generation)
        charged = self._service.charge(generation)
        return self.prices.known(question) if charged is None and question is not None else charged

    def _cost_of_failure(self, generation: Generation) -> int | None:
        charged = self._service.charge(generation)  # one that documents it as free and charges all the same says so
        return 0 if charged is None and self._service.failure_is_free else charged


def charges_of(core: Core) -> Charges:
    """Return the prices and open charges of a client's account."""
    return core.account.state(Charges, lambda: Charges(core.options.service))


async def price_of(
    core: Core, request: Request, call: CallOptions = NO_CALL_OPTIONS, *, model: str | None = None
) -> int | None:
    """Return what a paid request will cost, in tokens; None where nobody knows. For estimates and batches."""
    return await charges_of(core).prices.of(core, price_query_of(request, model=model, extra=call.extra_body))

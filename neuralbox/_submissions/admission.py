"""`Admission`: what a paid request needs before it may leave, and what its end means for those who come after it.

Two things: tokens of the client's budget, where it has one (`_budget`), and a place in the plan's windows
(`_rate_limit`). The tokens come first, since a request that is too dear need not wait for an hour. Whoever sends a paid
request asks for an admission, lets it listen to the attempts, and closes it on every path:

    admission = await admit(core, request, call, kind=kind, model=model)
    try:
        generation = ...                # send; `note_headers` of the answer; `depart` before a repetition
        admission.accepted(generation)
    except NeuralBoxError:
        admission.release_tokens()      # only where it is certain that nothing was charged
        raise
    finally:
        admission.close()

Closed without a word, it is an outcome nobody knows: its tokens stay set aside and its request counts as used; either
may still be said later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Final

import anyio

from .._api.request import Request
from .._budget import Budget, Reservation, is_limited, reserve_spent
from .._config import CallOptions
from .._core.call_events import Answer, AttemptListener
from .._core.exchange import Core
from .._costs.charges import Charges, OpenCharge, charges_of, reserve_tokens
from .._costs.prices import PriceQuery, price_query_of
from .._errors import NeuralBoxError
from .._models.generation import Generation
from .._rate_limit.limiter import LOOK_AGAIN, Permit, limiter_of

_telling: Final[ContextVar[Sequence[str]]] = ContextVar("neuralbox_telling", default=())


@contextmanager
def telling() -> Iterator[None]:
    """Run an `on_accepted` in a block: nothing in it waits for tokens, since the call that it belongs to waits for it."""
    runs = ["on_accepted"]
    token = _telling.set(runs)
    try:
        yield
    finally:
        runs.clear()  # nobody waits for tasks that it began and that go on
        _telling.reset(token)


class Admission(AttemptListener):
    """One paid request that may leave.

    Args:
        core: The client it leaves by.
        take_permit: Waits for a place in the plan's windows; None where the client does not heed them.
    """

    __slots__ = ("_charges", "_core", "_is_awaited", "_permit", "_query", "_reservation", "_take_permit")

    def __init__(self, core: Core, take_permit: Callable[..., Awaitable[Permit]] | None) -> None:
        self._core = core
        self._take_permit = take_permit
        self._permit: Permit | None = None
        self._charges: Charges | None = None
        self._reservation: Reservation | None = None
        self._query: PriceQuery | None = None
        self._is_awaited = False

    async def reserve(self, budget: Budget, price_query: PriceQuery, *, patient: bool) -> None:
        """Set its tokens aside."""
        charges = self._charges = charges_of(self._core)
        self._query = price_query
        if is_limited(budget):
            price = await charges.prices.of(self._core, price_query)
        else:
            price = charges.prices.known(price_query) or 0
        if _telling.get():
            self._reservation = budget.reserve(price)
        else:
            self._reservation = await reserve_tokens(budget, price, patient=patient, wait=self._wait_for_change)

    async def _wait_for_change(self, change: anyio.Event) -> None:
        await self._core.wait_until(change, LOOK_AGAIN)

    def take_in(self, budget: Budget, price_query: PriceQuery) -> None:
        """Set the tokens of one aside that was sent and paid for already, whatever is left of the budget."""
        charges = self._charges = charges_of(self._core)
        self._query = price_query
        self._reservation = reserve_spent(budget, charges.prices.known(price_query))

    def take_over(self, bill: OpenCharge) -> None:
        """Go on with tokens that were set aside when it was found in a journal."""
        self._charges = charges_of(self._core)
        self._query, self._reservation = bill.question, bill.reservation

    @property
    def bill(self) -> OpenCharge | None:
        """Its tokens as they are set aside, with what their price depends on; None where no budget counts them."""
        return None if self._reservation is None else OpenCharge(self._reservation, self._query)

    async def depart(self, *, repeats: bool = False, may_be_paid: bool = False) -> None:
        """Wait for its place, or for another one where it is sent again; its tokens are the same.

        Args:
            repeats: Whether the send loop sends it again, after a pause.
            may_be_paid: Whether it was sent before and may have been accepted: then its tokens are not given back.

        Raises:
            RateLimitError: A window is used up for too long; nothing was sent, and its tokens are given back.
        """
        if self._take_permit is None:
            return
        if self._permit is not None:
            self._permit.release()
        try:
            self._permit = await self._take_permit(repeats=repeats)
        except BaseException:
            if not may_be_paid:
                self.release_tokens()
            raise

    def note_headers(self, headers: Mapping[str, str]) -> None:
        """Take note of the headers of an answer that accepted it, and give its place back: a body may go on for minutes."""
        if self._permit is not None:
            self._permit.note_headers(self._core, headers)
            self._permit.release()

    def refused(self, error: NeuralBoxError, reply: Answer) -> None:
        """Take note of an attempt that was refused; another may follow."""
        if self._permit is not None:
            self._permit.note_headers(self._core, reply.headers, accepted=False)
            self._permit.refused(self._core, error)

    def repeating(self, reason: str, error: NeuralBoxError, pause: float) -> None:  # noqa: ARG002 - whatever it was
        """Give its place back for the pause: only what was certainly not accepted is sent again by the send loop."""
        if self._permit is not None:
            self._permit.refused(self._core)
            self._permit.release()

    async def before_repeat(self) -> None:
        """Wait for another place; a repetition counts in the windows like the first attempt."""
        await self.depart(repeats=True)

    def accepted(self, generation: Generation, *, waits: bool = False) -> None:
        """Book what it costs: now where it is final, else when its end is seen.

        Args:
            generation: What was accepted.
            waits: Whether its call goes on until then, so that others may wait for what that gives back or tells.
        """
        self._is_awaited = waits
        if self._charges is not None and self._reservation is not None and self._query is not None:
            self._charges.accepted(generation, self._reservation, self._query, waits=waits)

    def abandon(self) -> None:
        """Say that its call does not wait for the end after all."""
        self._is_awaited = False

    def release_tokens(self) -> None:
        """Give its tokens back: nothing was charged for certain."""
        if self._permit is not None:
            self._permit.refused(self._core)
        if self._reservation is not None:
            self._reservation.release()

    def close(self) -> None:
        """Give its place back; tokens that were neither booked nor given back stay set aside."""
        if self._permit is not None:
            self._permit.release()
        if self._reservation is not None and not self._is_awaited:
            self._reservation.leave()


async def admit(
    core: Core,
    request: Request,
    call: CallOptions,
    *,
    kind: str | None,
    model: str | None,
) -> Admission:
    """Wait until a paid request may leave; `close` must follow on every path.

    Args:
        core: The client it leaves by.
        request: What is sent.
        call: What this one call changes.
        kind: What it makes.
        model: The slug, where the request does not hold it.

    Raises:
        BudgetExceededError: The budget does not cover it; nothing was sent.
        RateLimitError: A window is used up for longer than `max_retry_wait` or the deadline; nothing was sent.
    """
    options = core.options
    admission = _paced(core, kind)
    if options.budget is not None:
        price_query = price_query_of(request, model=model, extra=call.extra_body)
        await admission.reserve(options.budget, price_query, patient=options.pace == "spread")
    await admission.depart()
    return admission


def admit_resumed(core: Core, claim_key: str, *, kind: str | None) -> Admission | None:
    """Take one up that an earlier run sent, with the tokens that are set aside for its claim; None where none are."""
    bills = charges_of(core).bills.pop(claim_key)
    if not bills:
        return None
    admission = _paced(core, kind)
    admission.take_over(bills[0])
    return admission


def _paced(core: Core, kind: str | None) -> Admission:
    options = core.options
    if options.pace == "off":
        return Admission(core, None)
    spread, longest = options.pace == "spread", options.max_retry_wait
    if options.deadline is not None:  # what would end by the deadline does not begin
        longest = min(longest, options.deadline)
    return Admission(core, partial(limiter_of(core).acquire, core, kind=kind, spread=spread, max_throttle_wait=longest))


def admit_adopted(core: Core, request: Request, call: CallOptions, *, model: str | None) -> Admission:
    """Take one in that an earlier run sent and that was found: what it costs is booked, and nothing is asked or waited for."""
    admission, budget = Admission(core, None), core.options.budget
    if budget is not None:
        admission.take_in(budget, price_query_of(request, model=model, extra=call.extra_body))
    return admission

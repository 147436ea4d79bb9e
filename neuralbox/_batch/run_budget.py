"""`RunBudget`: the part of a run's budget that one worker of a shared journal holds, and how it comes by more.

A reservation is made of what this worker holds, in memory, as any budget does it. Where that does not suffice it asks the journal,
for many requests at once: what is left is given back and anew taken, by one for all who wait. A price leaves the part with
`sending`, in the database; what the request then comes to is the run's business, so a reservation that is settled makes the
part no larger. What nobody needs here goes back in a few seconds, and all of it when the journal is closed.

Refused is what the run cannot cover, and will not when everything ends that is on its way: else a request waits, and asks
again, until others have given back what they did not need.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import anyio

from .._budget import Budget, Reservation
from .._concurrency.process_lock import ProcessLock
from .._core.exchange import Core
from .._errors import BudgetExceededError
from .._journal.allotments import RunFunds, Taken
from .._journal.shared import SharedJournal

_ASK_AGAIN: Final = 1.0
_LONGEST: Final = 5.0
"""Seconds, at first and at most, until the journal is asked again by one that waits for what others may give back."""
_GIVE_BACK_AFTER: Final = 5.0
"""Seconds after which what was not needed goes back."""
_SAY_AGAIN: Final = 10.0
"""Seconds after which the others are told again that calls still run here."""
UNKNOWN_PRICE: Final = -1
"""Stands in the journal for a price that nobody knows."""
_DEAREST: Final = 2**31 - 1
_LARGEST: Final = 2**63 - 1
"""The highest price, and the largest budget, that the journal can hold."""


class RunReservation(Reservation):
    """Tokens set aside for one request of a run.

    Attributes:
        is_sent: Whether its price is the record's by now, and no more of what this worker holds.
    """

    __slots__ = ("is_sent",)

    def __init__(self, budget: Budget, price: int | None) -> None:
        super().__init__(budget, price)
        self.is_sent = False

    def be_sent(self) -> None:
        """Take note that its price is about to be written at its record."""
        budget = self.budget
        assert isinstance(budget, RunBudget)
        with _lock:
            if not self.is_sent:
                self.is_sent = True
                budget._held -= self.price or 0

    @property
    def written(self) -> int:
        """Its price as the journal writes it."""
        return UNKNOWN_PRICE if self.price is None else min(self.price, _DEAREST)


class RunBudget(Budget):
    """What one worker may spend of a run's budget.

    Args:
        core: The client, for its clock.
        journal: The run's.
        funds: What there was when it was opened.
        is_unpriced: Whether requests are on their way of which the run knows no price.

    Attributes:
        is_unpriced: That.
    """

    __slots__ = (
        "_core",
        "_has_turn",
        "_held",
        "_is_known",
        "_journal",
        "_last_refusal",
        "_may_pass",
        "_part",
        "_said_at",
        "_taking",
        "_used_at",
        "is_unpriced",
    )

    def __init__(self, core: Core, journal: SharedJournal, funds: RunFunds, *, is_unpriced: bool) -> None:
        super().__init__(funds.budget, spent=funds.spent)
        self.is_unpriced = is_unpriced
        self._core = core
        self._journal = journal
        self._taking = anyio.Lock()
        self._part = 0  # what is held and free
        self._held = 0  # what is reserved for requests that were not sent
        self._has_turn = False  # whether the others wait for this worker to send one whose price nobody knows,
        self._may_pass = False  # and it has not left yet
        self._is_known = True  # whether the journal knows that nothing is held here, and nothing runs
        self._used_at = self._said_at = core.clock()
        self._last_refusal: tuple[float, int | None, RunFunds, bool] | None = None

    # Taking...

    async def reserve_in_turn(
        self,
        price: int | None,
        *,
        price_again: Callable[[], Awaitable[int | None]],
        wait: Callable[[float], Awaitable[None]],
    ) -> Reservation:
        """Set tokens aside, waiting where others may yet leave enough.

        Args:
            price: What it will cost; None where nobody knows.
            price_again: Asks for the price once more after each wait.
            wait: Waits so many seconds or for the next change here; may raise to give up.

        Raises:
            BudgetExceededError: The run's budget does not cover it.
            JournalError: The journal cannot be asked.
        """
        seconds = _ASK_AGAIN
        while True:
            async with self._taking:
                runs_here = self._is_moving  # as the journal is asked: what ends meanwhile may leave enough
                refused = None if self._refusal(price) is None else self._refused_lately(price)
                if refused is None and self._refusal(price) is not None:
                    taken = await self._take(price)
                    refused = taken.funds if taken.tokens is None else None
                if refused is None:
                    return self.reserve(price)
            if not refused.may_wait_for(price, runs_here=runs_here):
                raise self._refused(refused, price)
            await wait(seconds)
            seconds = min(_LONGEST, 1.5 * seconds)
            price = await price_again()

    def _refused_lately(self, price: int | None) -> RunFunds | None:
        """Return what there was when one was refused that wanted no more, a moment ago: many wait together, and one asks."""
        if self._last_refusal is None:
            return None
        at, refused, funds, ran_here = self._last_refusal
        if ran_here and not self._is_moving:
            return None  # what was waited for has ended
        is_alike = refused is None if price is None else refused is not None and price >= refused
        return funds if is_alike and self._core.clock() < at + _ASK_AGAIN else None

    async def _take(self, price: int | None) -> Taken:
        store = self._journal.allotments
        with _lock:
            returned, self._part = self._part, 0
        is_moving, keeps_unknown = self._is_moving, self._free is not None

        def act() -> Taken:
            taken = store.take_tokens(price, returned=returned, is_moving=is_moving, keeps_unknown=keeps_unknown)
            # Here, so that nothing is lost where nobody waits for the answer any more.
            self._book_part(taken, price, ran_here=is_moving)
            return taken

        return await self._journal.ask(act)

    def _book_part(self, taken: Taken, price: int | None, *, ran_here: bool) -> None:
        now = self._core.clock()
        with _lock:
            self._tokens, self._spent = taken.funds.budget, taken.funds.spent
            self._used_at = self._said_at = now
            self._is_known = False
            if taken.tokens is None:
                self._last_refusal = now, price, taken.funds, ran_here
            else:
                self._last_refusal = None
                self._part += taken.tokens
                self._may_pass = price is None
                self._has_turn = self._has_turn or self._may_pass

    def _refused(self, funds: RunFunds, price: int | None) -> BudgetExceededError:
        left = max(0, funds.budget - funds.spent - funds.open)
        out_of = f"{left} of the run's budget of {funds.budget} tokens are left"
        why = f"The next request costs {price} tokens and {out_of}; it was not sent."
        if price is None:
            why = f"The price of the next request is not known and {out_of}; it was not sent."
            if funds.is_uncounted:
                why = (
                    "The service says neither what the next request costs nor what it charged for the last such one, so the "
                    f"run's budget of {funds.budget} tokens cannot be kept; the request was not sent."
                )
        return BudgetExceededError(why, price=price, left=left, budget=funds.budget)

    # ... what was sent and has ended...

    async def take_in(self, key: str, price: int | None) -> Reservation:
        """Set the tokens of one aside that another worker has sent; in the database they are, unless it kept no budget."""
        reservation = RunReservation(self, price or 0)
        reservation.is_sent = True
        self._take_in(reservation)
        self._is_known = False
        if self.is_unpriced:
            await self._note_price(key, price or 0)
        return reservation

    async def note_estimate(self, key: str, reservation: Reservation) -> None:
        """Have all count on what the service says that one of an unknown price will cost."""
        await self._note_price(key, reservation.charged)

    async def _note_price(self, key: str, price: int) -> None:
        await self._journal.ask(partial(self._journal.allotments.note_price, key, min(price, _DEAREST)))

    def _set_aside(self, price: int | None) -> Reservation:
        with _lock:
            self._part -= price or 0
            self._held += price or 0
            self._used_at = self._core.clock()
            self._may_pass = self._may_pass and price is not None
        made = RunReservation(self, price)
        self._count_in(made)
        return made

    def _refusal(self, price: int | None) -> str | None:
        covered = self._may_pass if price is None else price <= self._part
        return None if covered else "This worker does not hold enough of the run's budget."

    def _book(self, reservation: Reservation, tokens: int | None) -> None:
        assert isinstance(reservation, RunReservation)
        with _lock:
            if reservation.is_open and not reservation.is_sent:
                self._held -= reservation.price or 0
                self._part += reservation.price or 0
        super()._book(reservation, tokens)

    # ... and what goes back.

    async def settle_up(self) -> None:
        """Give back what was not needed lately, and let the others know whether anything still runs here.

        Raises:
            JournalError: The journal cannot be written.
        """
        if self._is_known or self._taking.locked():
            return
        now = self._core.clock()
        async with self._taking:
            is_moving, keeps_unknown = self._is_moving, self._free is not None
            is_idle = not self._held and (not is_moving or now >= self._used_at + _GIVE_BACK_AFTER)
            has_ended = is_idle and (self._part > 0 or not is_moving)
            if not has_ended and now < self._said_at + _SAY_AGAIN and (keeps_unknown or not self._has_turn):
                return
            if is_idle:
                self._part = 0
            self._has_turn = keeps_unknown
            store = self._journal.allotments
            await self._journal.ask(
                partial(store.keep_tokens, is_moving=is_moving, keeps_unknown=keeps_unknown, holds=not is_idle)
            )
            self._said_at, self._is_known = now, is_idle and not is_moving


_lock = ProcessLock()


async def open_run_budget(core: Core, journal: SharedJournal, tokens: int) -> RunBudget:
    """Give a run a budget, in place of the one it had, and return this worker's part of it: nothing yet.

    Raises:
        JournalError: The journal cannot be written.
    """
    is_free, tokens = core.options.service.failure_is_free, min(tokens, _LARGEST)
    funds, is_unpriced = await journal.ask(partial(journal.allotments.open_budget, tokens, failure_is_free=is_free))
    return RunBudget(core, journal, funds, is_unpriced=is_unpriced)

"""`Budget`: tokens that several calls may spend together, counted to the last one.

A reservation is made before a paid request is sent and settled when it is known what was charged. In between its price
counts as gone, so calls that run together cannot all take the last tokens. What nobody knows the price of passes one
at a time: so at most one such request is out when its cost shows, and the next is judged by it. Nothing here waits or
asks for prices; `_costs.charges` does.

A budget belongs to no event loop: copies of a client, other clients and threads may share one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import ClassVar, Final

from ._api.checks import require_instance, require_whole
from ._concurrency.per_loop import Home
from ._concurrency.process_lock import ProcessLock
from ._errors import BudgetExceededError
from ._types import BoundToProcess

logger = logging.getLogger("neuralbox")

NO_LIMIT: Final = 2**62
"""The tokens of a budget that only counts."""
_lock = ProcessLock()  # one for all budgets, held for a few additions


class Budget(BoundToProcess):
    """A number of NeuralBox tokens that paid calls may spend.

        budget = Budget(500)
        async with AsyncNeuralBox(budget=budget) as nb:
            await nb.images.create(model="flux-1.1-pro", prompt="A quiet harbour")
        print(budget.spent, budget.left)

    Args:
        tokens: How many may be spent, above 0.
        spent: How many of them were spent already, by an earlier run.
        within: A budget that what is spent here counts in too: one for each user, say, within one for all.

    Raises:
        ConfigurationError: A number is not a whole one, or below its bound; or `within` is no budget.
    """

    __slots__ = (
        "__weakref__",
        "_free",
        "_listeners",
        "_outer",
        "_reserved",
        "_running",
        "_spent",
        "_tokens",
        "_uncounted",
    )

    _WHY_NOT_COPIED: ClassVar[str] = (
        "A budget cannot be copied or pickled: each copy could be spent again. Clients, batches and threads of a process share "
        "the budget itself; batches in several processes share a number, `budget=500`, by their journal in PostgreSQL."
    )

    def __init__(self, tokens: int, *, spent: int = 0, within: Budget | None = None) -> None:
        require_whole("`budget`", tokens, lowest=1, of="tokens")
        require_whole("`spent`", spent, lowest=0, of="tokens")
        if within is not None:
            require_instance("`within`", within, Budget)
        self._tokens = tokens
        # What is spent here counts in each of them once; the widest comes last.
        self._outer: tuple[Budget, ...] = () if within is None else (within, *within._outer)
        self._spent = spent
        self._reserved = 0
        self._running: dict[Reservation, Home] = {}  # whose calls still run, and so will be settled, and where
        self._free: Reservation | None = None  # the one whose price nobody knows
        self._uncounted = 0
        self._listeners: dict[Callable[[], None], None] = {}

    def __repr__(self) -> str:
        return f"<Budget: {self._spent} of {self._tokens} tokens spent, {self._reserved} reserved>"

    @property
    def tokens(self) -> int:
        """The whole budget."""
        return self._tokens

    @property
    def spent(self) -> int:
        """Tokens charged so far."""
        return self._spent

    @property
    def reserved(self) -> int:
        """Tokens set aside for requests of which it is not known yet what they cost."""
        return self._reserved

    @property
    def left(self) -> int:
        """Tokens that are neither spent nor set aside; never below 0."""
        return max(0, self._tokens - self._spent - self._reserved)

    @property
    def overrun(self) -> int:
        """Tokens charged beyond the budget, because the service charged more than it had announced."""
        return max(0, self._spent - self._tokens)

    @property
    def uncounted(self) -> int:
        """Completed requests of which the service said neither a price nor what it charged; they count as 0."""
        return self._uncounted

    def reserve(self, price: int | None) -> Reservation:
        """Set tokens aside for the next paid request.

        Args:
            price: What it will cost; None where nobody knows, which passes one at a time.

        Returns:
            The reservation, to be settled or released whatever happens.

        Raises:
            BudgetExceededError: The budget does not cover it.
        """
        with _lock:
            refused = self._refused_by(price)
            if refused is None:
                return self._set_aside(price)
        budget, why = refused
        raise BudgetExceededError(why, price=price, left=budget.left, budget=budget._tokens)

    def charge(self, tokens: int) -> None:
        """Book tokens that were charged for something that was not reserved here, by an earlier run for instance.

        They may exceed the budget.
        """
        require_whole("`tokens`", tokens, lowest=0, of="tokens")
        with _lock:
            self._spent += tokens
            for outer in self._outer:
                outer._spent += tokens

    def may_wait_for(self, price: int | None) -> bool:
        """Whether a price that was refused may fit when calls that still run are settled, or fits by now."""
        with _lock:
            return all(budget._may_wait_for(price) for budget in (self, *self._outer))

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call a function once, in whichever thread, when the next reservation is settled, released or left alone."""
        with _lock:
            for budget in (self, *self._outer):
                budget._listeners[listener] = None

    # Inside.

    @property
    def _is_moving(self) -> bool:
        """Whether a call runs that will settle what it reserved: not where its loop or process is gone."""
        return any(not home.is_gone for home in [*self._running.values()])

    def _refused_by(self, price: int | None) -> tuple[Budget, str] | None:
        """Return which budget refuses a price, the widest first, and why; None where all cover it. Holds the lock."""
        for budget in (*reversed(self._outer), self):
            why = budget._refusal(price)
            if why is not None:
                return budget, why
        return None

    def _may_wait_for(self, price: int | None) -> bool:
        """Whether a price fits here, or may when calls that still run are settled. Holds the lock."""
        if self._refusal(price) is None:
            return True
        if price is None:
            home = None if self._free is None else self._running.get(self._free)
            runs = home is not None and not home.is_gone
            return runs and not self._uncounted and self._spent < self._tokens
        return self._is_moving and self._spent + price <= self._tokens

    def _set_aside(self, price: int | None) -> Reservation:
        """Reserve a price here and in what this one is within: in all or, by `_refused_by`, in none. Holds the lock."""
        made: Reservation | None = None
        for budget in (*reversed(self._outer), self):
            made = Reservation(budget, price, made)
            budget._count_in(made)
        assert made is not None  # here
        return made

    def _count_in(self, made: Reservation) -> None:
        """Count a new reservation. Holds the lock."""
        self._running[made] = Home()
        self._reserved += made.price or 0
        if made.price is None and self._free is None:  # of what was sent before there may be several
            self._free = made

    def _take_in(self, made: Reservation) -> None:
        """Count one whose tokens are set aside elsewhere."""
        with _lock:
            self._count_in(made)

    def _refusal(self, price: int | None) -> str | None:
        """Say why a price is refused; None where it is not. Holds the lock."""
        out_of = f"{self.left} of the budget's {self._tokens} tokens are left ({self._reserved} are reserved)"
        if price is not None:
            if price <= self._tokens - self._spent - self._reserved:
                return None
            return f"The next request costs {price} tokens and {out_of}; it was not sent."
        if self._uncounted:
            return (
                "The service says neither what the next request costs nor what it charged for the last such one, so "
                f"the budget of {self._tokens} tokens cannot be kept; the request was not sent."
            )
        if self._free is not None:
            return (
                "The price of the next request is not known, nor yet that of one before it; wait for that one first. "
                f"Nothing was sent; {out_of}."
            )
        return None if self.left else f"The price of the next request is not known and {out_of}; it was not sent."

    def _book(self, reservation: Reservation, tokens: int | None) -> None:
        price, overrun = reservation.price, self.overrun
        with _lock:
            if tokens is None and price is None:
                self._uncounted += not reservation._booked
            charged = max(0, (price or 0) if tokens is None else tokens)
            self._spent += charged - reservation._charged
            reservation._charged = charged
            if not reservation._booked:
                reservation._booked = True
                self._reserved -= price or 0
            if self._free is reservation:
                self._free = None
        # Not where it was set aside beyond the budget and costs what was announced: that was said then.
        if self.overrun > overrun and charged > (price or 0):
            logger.warning(
                "The budget of %d tokens is exceeded by %d: a request announced at %s tokens was charged %d.",
                self._tokens,
                self.overrun,
                "unknown" if price is None else price,
                charged,
            )

    def _tell(self) -> None:
        with _lock:
            listeners, self._listeners = self._listeners, {}
        for listener in listeners:
            listener()


def forget(budget: Budget, listener: Callable[[], None]) -> None:
    """Drop a listener: the budget that calls it forgets it, and the others that it was told to would not."""
    with _lock:
        for each in (budget, *budget._outer):
            each._listeners.pop(listener, None)


def reserve_spent(budget: Budget, price: int | None) -> Reservation:
    """Set tokens aside for what was sent already, by an earlier run: they may exceed the budget."""
    with _lock:
        return budget._set_aside(price)


def resize(budget: Budget, tokens: int | None) -> None:
    """Let so many tokens be spent in all, None without limit; what was spent and what is set aside stays."""
    if tokens is not None:
        require_whole("`budget`", tokens, lowest=1, of="tokens")
    with _lock:
        budget._tokens = NO_LIMIT if tokens is None else tokens
    budget._tell()


def is_limited(budget: Budget) -> bool:
    """Whether a price may be refused, by it or by what it is within: else nobody needs to ask for one."""
    return any(each._tokens < NO_LIMIT for each in (budget, *budget._outer))


def joined(one: Budget, other: Budget) -> Budget | None:
    """Return what is spent of both and counts once where both count; None where they have nothing in common."""
    if {one, *one._outer}.isdisjoint((other, *other._outer)):
        return None
    return _together((one, other, *one._outer, *other._outer))


def rest_of(budget: Budget, counted: Iterable[Reservation]) -> Budget:
    """Return what of a budget, and of those that it is within, counts none of these reservations of one request."""
    known = {each for one in counted for each in (one.budget, *one.budget._outer)}
    whole = (budget, *budget._outer)
    return budget if known.isdisjoint(whole) else _together(each for each in whole if each not in known)


def _together(budgets: Iterable[Budget]) -> Budget:
    """Return what is spent of all of them, of each once."""
    all_of_them = Budget(NO_LIMIT)
    all_of_them._outer = tuple(dict.fromkeys(budgets))
    return all_of_them


def budget_of(given: int | Budget | None) -> Budget | None:
    """Read what a caller passes as `budget=`: a number is a budget of its own."""
    return given if given is None or isinstance(given, Budget) else Budget(given)


class Reservation:
    """Tokens set aside for one paid request.

    Each of its methods may be called again: what is said last counts.

    Attributes:
        price: What it was made for, or None where nobody knows.
    """

    __slots__ = ("_booked", "_budget", "_charged", "_outer", "price")

    def __init__(self, budget: Budget, price: int | None, outer: Reservation | None = None) -> None:
        self.price: int | None = price
        self._outer = outer  # the same tokens in the budget that this one is within
        self._budget = budget
        self._charged = 0
        self._booked = False

    @property
    def budget(self) -> Budget:
        """The budget it was made in."""
        return self._budget

    def is_of(self, budget: Budget) -> bool:
        """Whether it was made in a budget, or in one within it."""
        return budget is self._budget or budget in self._budget._outer

    @property
    def charged(self) -> int:
        """Tokens that were booked for it so far."""
        return self._charged

    @property
    def is_open(self) -> bool:
        """Whether nobody has said yet what it came to."""
        return not self._booked

    def settle(self, tokens: int | None) -> None:
        """Book what was charged, in tokens; None where the service did not say: then it is the price.

        Called again with better knowledge it corrects what it booked.
        """
        if self._outer is not None:
            self._outer.settle(tokens)
        self._budget._book(self, tokens)
        self.leave()

    def estimate(self, tokens: int) -> None:
        """Book what the service says that it will cost; that is its price from now on."""
        self.settle(tokens)
        reservation: Reservation | None = self
        while reservation is not None:
            reservation.price, reservation = tokens, reservation._outer

    def release(self) -> None:
        """Give the tokens back: the request was not sent, was refused, or failed free of charge."""
        self.settle(0)

    def leave(self) -> None:
        """Say that the call it was made for has ended, so that nobody waits for it; an open one keeps its tokens."""
        if self._outer is not None:
            self._outer.leave()
        with _lock:
            self._budget._running.pop(self, None)
        self._budget._tell()

    def attend(self) -> None:
        """Say that its end is waited for, which an earlier call had left: so others may wait for what it gives back."""
        if self._outer is not None:
            self._outer.attend()
        with _lock:
            if not self._booked:
                self._budget._running[self] = Home()

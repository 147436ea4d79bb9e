"""How much of what many share one worker may take: tokens of a run's budget. Pure.

A worker takes a part for itself and is then as fast as if it were alone; the journal keeps the account, and what a dead worker
had is free when its lease is over. Whoever takes sees the others' parts as gone, so all together never take more than there is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PRICES_AT_ONCE: Final = 64
"""Requests whose price is taken at once, at most."""


@dataclass(frozen=True, slots=True)
class RunFunds:
    """What a run may spend and what is gone of it, as of one moment.

    Attributes:
        budget: What may be spent in all.
        spent: What was charged for those that have ended.
        open: The prices of those that were sent and have not ended.
        others: What other living workers hold for what they have not sent.
        mine: What the asking worker holds likewise.
        workers: How many living workers hold something, the asking one included.
        is_moving: Whether another worker has requests on their way that may yet cost less than they were announced at.
        is_unknown_out: Whether one is on its way whose price nobody knows, or another worker may send one.
        is_uncounted: Whether one was completed of which nobody knows what it cost.
    """

    budget: int
    spent: int = 0
    open: int = 0
    others: int = 0
    mine: int = 0
    workers: int = 1
    is_moving: bool = False
    is_unknown_out: bool = False
    is_uncounted: bool = False

    @property
    def left(self) -> int:
        """What nobody has spent, sent for or holds; below 0 where the service charged more than it had announced."""
        return self.budget - self.spent - self.open - self.others - self.mine

    def may_wait_for(self, price: int | None, *, runs_here: bool) -> bool:
        """Whether a price that is refused may be covered when what workers hold or have on their way is settled.

        Args:
            price: That; None where nobody knows.
            runs_here: Whether calls of the asking worker still run.
        """
        covers = self.spent + price <= self.budget if price is not None else self.spent < self.budget
        return covers and not (price is None and self.is_uncounted) and (self.others > 0 or self.is_moving or runs_here)


def tokens_to_take(funds: RunFunds, price: int, *, at_once: int = PRICES_AT_ONCE) -> int | None:
    """Return how many tokens a worker takes that is about to send something.

    Args:
        funds: What there is.
        price: What the next request costs.
        at_once: For how many such requests it takes, at most.

    Returns:
        At least the price and never more than is left; None where that does not cover it. The less is left, and the more
        workers there are, the fewer: each leaves as much to the others as it takes.
    """
    left = funds.left
    if price > left:
        return None
    fair = left if funds.workers < 2 else left // (2 * funds.workers)
    return max(price, min(at_once * price, fair))


def may_take_unknown(funds: RunFunds) -> bool:
    """Whether a request may leave whose price nobody knows: such pass one at a time, and the next is judged by what it cost."""
    return not funds.is_uncounted and not funds.is_unknown_out and funds.left > 0


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a worker's wish for tokens.

    Attributes:
        tokens: What it holds now for what it will send; None where it was refused, and holds nothing more.
        funds: What there was.
    """

    tokens: int | None
    funds: RunFunds

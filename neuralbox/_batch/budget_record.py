"""What the command line wrote into a journal about a batch's budget, for those who show the journal."""

from __future__ import annotations

import os
from typing import NamedTuple

from .._journal import facts


class BudgetRecord(NamedTuple):
    """A budget as a journal's facts have it.

    Attributes:
        tokens: What may be spent in all, or None where nothing is known of a budget.
        not_sent: How many requests the last run did not send, since the budget did not cover them.
    """

    tokens: int | None
    not_sent: int


def budget_record(journal: str | os.PathLike[str]) -> BudgetRecord:
    """Read it; a journal without such a fact, or with one of another shape, knows of no budget."""
    told = facts(journal).get("command_line")
    budget, not_sent = (told.get("budget"), told.get("not_sent_budget")) if isinstance(told, dict) else (None, None)
    return BudgetRecord(budget if type(budget) is int else None, not_sent if type(not_sent) is int else 0)

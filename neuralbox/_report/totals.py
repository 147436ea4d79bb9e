"""What all results come to: counts, tokens by model and by day, failures by reason, and when each thing happened.

Everything is counted, also what is too much for the page to show one by one. Memory: 24 bytes a result, and a bounded
number of models and reasons.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from .card import Card

_MODELS: Final = 1_000
_REASONS: Final = 1_000
_NAMES: Final = 5
OTHERS: Final = "others"


@dataclass(slots=True)
class Sum:
    """Results and tokens of a model or a day."""

    count: int = 0
    tokens: int = 0


@dataclass(slots=True)
class Failure:
    """A reason and whom it met.

    Attributes:
        count: How many.
        names: The first of them.
    """

    count: int = 0
    names: list[str] = field(default_factory=list)


class Totals:
    """Counts of results.

    Attributes:
        counts: Results by state.
        tokens: Charged in all, as far as that is known.
        unpriced: Completed results whose price is not known.
        submitted: Unix seconds of each submission.
        completed: Unix seconds of each end with a result.
        failed: Unix seconds of each end without one.
        by_model: Results and tokens of each model.
        by_day: Results and tokens of each day (UTC).
        failures: By reason.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.tokens = 0
        self.unpriced = 0
        self.submitted = array("d")
        self.completed = array("d")
        self.failed = array("d")
        self.by_model: dict[str, Sum] = {}
        self.by_day: dict[str, Sum] = {}
        self.failures: dict[str, Failure] = {}

    @property
    def total(self) -> int:
        return self.counts.total()

    def add(self, card: Card, *, ended_at: float | None) -> None:
        """Count one.

        Args:
            card: It.
            ended_at: Unix seconds of its end, or None.
        """
        self.counts[card.state] += 1
        self.tokens += card.tokens or 0
        self.unpriced += card.state == "completed" and card.tokens is None
        if card.at is not None:
            self.submitted.append(card.at)
        if ended_at is not None and card.state != "open":
            (self.completed if card.state == "completed" else self.failed).append(ended_at)
        model = card.model or "no model named"
        self._sum(self.by_model, model if model in self.by_model or len(self.by_model) < _MODELS else OTHERS, card)
        at = card.at if ended_at is None else ended_at
        if at is not None:
            self._sum(self.by_day, day_of(at), card)
        if card.reason is not None:
            known = card.reason in self.failures or len(self.failures) < _REASONS
            failure = self.failures.setdefault(card.reason if known else "Other reasons.", Failure())
            failure.count += 1
            if len(failure.names) < _NAMES:
                failure.names.append(card.name)

    @staticmethod
    def _sum(sums: dict[str, Sum], name: str, card: Card) -> None:
        entry = sums.setdefault(name, Sum())
        entry.count += 1
        entry.tokens += card.tokens or 0

    def dearest(self, most: int) -> Sequence[tuple[str, Sum]]:
        """The models, the dearest first; what is beyond `most` is one line."""
        found = sorted(self.by_model.items(), key=lambda one: (-one[1].tokens, -one[1].count, one[0]))
        return _shortened(found, most)

    def days(self, most: int) -> Sequence[tuple[str, Sum]]:
        """The days, the latest first; what is beyond `most` is one line."""
        return _shortened(sorted(self.by_day.items(), reverse=True), most, "earlier")

    def reasons(self, most: int) -> Sequence[tuple[str, Failure]]:
        """The reasons, the most frequent first."""
        return sorted(self.failures.items(), key=lambda one: (-one[1].count, one[0]))[:most]


def _shortened(found: Sequence[tuple[str, Sum]], most: int, rest: str = OTHERS) -> Sequence[tuple[str, Sum]]:
    if len(found) <= most:
        return found
    left = found[most - 1 :]
    others = Sum(sum(one.count for _, one in left), sum(one.tokens for _, one in left))
    return [*found[: most - 1], (f"{len(left):,} {rest}", others)]


def day_of(at: float) -> str:
    """The day (UTC) of a time in Unix seconds, as ISO writes it."""
    return f"{moment(at):%Y-%m-%d}"


def moment(at: float) -> datetime:
    """A time in Unix seconds, as UTC; one that no calendar holds is where it ends."""
    try:
        return datetime.fromtimestamp(at, UTC)
    except (OverflowError, OSError, ValueError):
        return datetime.max.replace(tzinfo=UTC) if at > 0 else datetime.min.replace(tzinfo=UTC)

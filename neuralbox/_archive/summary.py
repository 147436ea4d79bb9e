"""What a history comes to, as data: generations, prices and ratings by model, day, kind, state and service. Pure but for
the pages, which are asked for as they are counted; memory does not grow with the history.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from .._errors import ConfigurationError
from .._models.generation import Generation
from .._models.page import items_html
from .._plain_text import without_formula
from .._types import PlainValues

T = TypeVar("T")

GROUPS: Final = ("service", "model", "day", "kind", "status")
DEFAULT_GROUPS: Final = ("model", "day", "kind", "status")
OTHERS: Final = "(others)"
_MOST_ROWS: Final = 50_000
_MOST_SHOWN: Final = 200


@dataclass(slots=True, kw_only=True)
class SummaryRow:
    """Generations that have something in common.

    What they were not grouped by is None, and so is what a record does not say.

    Attributes:
        service: `neuralbox` or `geminigen`.
        model: Slug of the model.
        day: The day of their creation in UTC, as ISO writes it.
        kind: `image`, `video`, ...
        status: `completed`, `pending`, `failed`, or another word of the service.
        count: How many.
        completed: Of them, those with a result.
        failed: Of them, those that ended without one; they cost nothing.
        pending: Of them, the others.
        unpriced: Completed ones of which the service does not say what they cost.
        tokens: NeuralBox tokens charged.
        credits: GeminiGen's credits charged.
        rated: Of them, those with a rating.
        rating: The mean of the ratings; None where there is none.
    """

    service: str | None = None
    model: str | None = None
    day: str | None = None
    kind: str | None = None
    status: str | None = None
    count: int = 0
    completed: int = 0
    failed: int = 0
    pending: int = 0
    unpriced: int = 0
    tokens: int = 0
    credits: float = 0
    rated: int = 0
    rating: float | None = None

    def add(self, item: Generation) -> None:
        """Count a generation."""
        self.count += 1
        self.completed += item.is_completed
        self.failed += item.is_failed
        self.pending += not item.is_final
        self.unpriced += item.is_completed and item.tokens is None and item.credits is None
        self.tokens += item.tokens or 0
        self.credits += item.credits or 0
        if item.rating is not None:
            self.rating = ((self.rating or 0) * self.rated + item.rating) / (self.rated + 1)
            self.rated += 1

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class HistorySummary(PlainValues):
    """A history in rows, which iterating it gives.

    Attributes:
        by: What they are grouped by.
        rows: The latest day first, then the dearest.
        total: All of them in one.
    """

    by: Sequence[str]
    rows: Sequence[SummaryRow]
    total: SummaryRow

    def __iter__(self) -> Iterator[SummaryRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def _repr_html_(self) -> str:
        """Show it in a notebook as a table; of very many rows the first."""
        said = [f"{self.total.count:,} generations", f"{self.total.tokens:,} tokens"]
        if self.total.credits:
            said.append(f"{round(self.total.credits, 2):,} credits")
        if len(self) > _MOST_SHOWN:
            said.append(f"the first {_MOST_SHOWN} of {len(self):,} rows")
        return items_html(self.rows[:_MOST_SHOWN], ", ".join(said))

    def to_csv(self) -> str:
        """Return the rows as a table with a line of names; words that a spreadsheet would run begin with `'`."""
        text = io.StringIO(newline="")
        names = [one.name for one in fields(SummaryRow) if one.name not in GROUPS or one.name in self.by]
        lines = csv.writer(text)
        lines.writerow(names)
        for row in self.rows:
            lines.writerow([_cell(getattr(row, name)) for name in names])
        return text.getvalue()


def require_groups(by: object) -> tuple[str, ...]:
    """Refuse what no history is grouped by; a single word is a group of its own."""
    groups = (by,) if isinstance(by, str) else tuple(by) if isinstance(by, Sequence) else ()
    if not groups or len(set(map(str, groups))) < len(groups) or not all(group in GROUPS for group in groups):
        raise ConfigurationError(f"`by` must be some of {', '.join(GROUPS)}, each once; it is {by!r}.")
    return groups


def require_since(since: object) -> None:
    """Refuse what is no time, or one without a zone."""
    if since is not None and (not isinstance(since, datetime) or since.tzinfo is None):
        raise ConfigurationError(f"`since` must be a datetime with a time zone, such as UTC; it is {since!r}.")


def is_newer(item: Generation, since: datetime | None) -> bool:
    """Return whether an item counts: it was created at that time or later, or nobody knows when."""
    return since is None or item.created_at is None or item.created_at >= since


async def summarize(
    pages: AsyncIterator[Sequence[T]],
    by: Sequence[str],
    since: datetime | None,
    read: Callable[[T], Generation],
) -> HistorySummary:
    """Count a history, newest first; with `since` up to the first page that is older throughout."""
    rows: dict[tuple[str | None, ...], SummaryRow] = {}
    total = SummaryRow()
    async for items in pages:
        is_older = bool(items)
        for item in map(read, items):
            if not is_newer(item, since):
                continue
            is_older = False
            key = tuple(_value(item, name) for name in by)
            if key not in rows and len(rows) >= _MOST_ROWS:
                key = (OTHERS,) * len(by)
            row = rows.get(key)
            if row is None:
                row = rows[key] = SummaryRow()
                for name, value in zip(by, key, strict=True):
                    setattr(row, name, value)
            row.add(item)
            total.add(item)
        if is_older and since is not None:
            break
    ordered = sorted(rows.values(), key=lambda row: (row.tokens, row.credits, row.count), reverse=True)
    if "day" in by:
        ordered.sort(key=lambda row: row.day or "", reverse=True)
    return HistorySummary(tuple(by), ordered, total)


def _value(item: Generation, name: str) -> str | None:
    if name == "day":
        return None if item.created_at is None else f"{item.created_at.astimezone(UTC):%Y-%m-%d}"
    value: str | None = getattr(item, name)
    return value


def _cell(value: Any) -> Any:
    return without_formula(value) if isinstance(value, str) else value

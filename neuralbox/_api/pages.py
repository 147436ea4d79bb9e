"""Reading a listing's envelope, and the rules by which a walk over its pages stops. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .fields import as_int

# The documented name first, then what a listing may be called where none is (docs/service/neuralbox.md 2.16).
_LISTS = ("items", "data", "models", "assistants", "results")

MOST_EMPTY: Final = 100
"""So many empty pages in a row end a walk whose listing promises more: a filter may empty some of them."""
MOST_KNOWN: Final = 10
"""So many pages in a row with nothing but known items end a walk: the listing ignores the page number."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A page before its items were read.

    Attributes:
        records: The items that are objects.
        page: Number of this page, from 1.
        page_size: Items a full page holds.
        total: Items in all, or None.
        pages: Pages in all; worked out from the total where it is missing (C16), None where neither is known.
        raw: The reply; a bare array stands under `items`.
    """

    records: Sequence[Mapping[str, Any]]
    page: int
    page_size: int
    total: int | None
    pages: int | None
    raw: Mapping[str, Any]


def read_envelope(value: object, *, page: int = 1, page_size: int = 0) -> Envelope | None:
    """Read a listing in any envelope; None when there is no list in it.

    Args:
        value: The parsed reply.
        page: The page that was asked for, where the reply does not say.
        page_size: The size that was asked for, where the reply does not say.
    """
    raw: Mapping[str, Any] = {"items": value} if isinstance(value, list) else value if isinstance(value, dict) else {}
    records = next((raw[name] for name in _LISTS if isinstance(raw.get(name), list)), None)
    if records is None:
        if not _says_nothing(raw):
            return None
        records = []
    size = as_int(raw.get("limit")) or page_size or len(records)
    total, pages = as_int(raw.get("total")), as_int(raw.get("pages"))
    if pages is None and total is not None and size > 0:
        pages = max(1, -(-total // size))
    return Envelope(
        records=[record for record in records if isinstance(record, dict)],
        page=as_int(raw.get("page")) or page,
        page_size=size,
        total=total,
        pages=pages,
        raw=raw,
    )


def _says_nothing(raw: Mapping[str, Any]) -> bool:
    """Tell whether a listing is empty in another way than by an empty list: null in its place, or a total of 0."""
    if "error" in raw:
        return False
    return any(raw.get(name, ...) is None for name in _LISTS) or as_int(raw.get("total")) == 0


def walk_goes_on(*, asked: int, count: int, fresh: int, pages: int | None, said: int | None = None) -> bool:
    """Decide whether a walk asks for the page after this one.

    A page shorter than its size does not end it (the seed's example is one); an empty page does, and the count of
    pages where it is known. Where it is not, a page that shows nothing new ends it too, since a service that ignores
    the page number would be walked for ever; and so does, whatever the count, one that says itself to be another page.

    Args:
        asked: Number of the page that was asked for.
        count: Items it had.
        fresh: Items of it that no page before had.
        pages: Pages in all, or None.
        said: Number that the answer itself gives, or None.
    """
    if count == 0 or (fresh == 0 and said is not None and said != asked):
        return False
    return fresh > 0 if pages is None else asked < pages


class PageWalk:
    """Decide which page a walk over a listing asks for next, so that nothing that stays in it is missed.

    New items push old ones to later pages: those are met again, and told apart by their ids. Deleted ones pull those
    behind them to earlier pages, which the walk has passed. Then the total falls from one page to the next, by at least
    as many items as have moved past the walk, so it goes back by so many and walks on from there.

    Args:
        first: The page to begin with.

    Attributes:
        next: The page to ask for; None at the end.
        is_cut: Whether the walk was given up although the listing promises more.
    """

    def __init__(self, first: int) -> None:
        self.next: int | None = first
        self.is_cut = False
        self._begin = first - 1
        self._covered = float(first - 1)  # everything up to here was shown, in pages
        self._highest = first - 1
        self._size = 1  # most items that a page has had
        self._total: int | None = None
        self._empty = self._known = self._again = 0
        self._risen = 0  # items that have come meanwhile, and push what is known on

    def read(
        self, *, count: int, fresh: int, total: int | None, pages: int | None, said: int, is_numbered: bool
    ) -> None:
        """Take account of the page that `next` asked for.

        Args:
            count: Items it had.
            fresh: Items of it that no page before had.
            total: Items in all, or None.
            pages: Pages in all, or None.
            said: Number that the answer gives itself, else the one that was asked for.
            is_numbered: Whether the answer gives itself a number.
        """
        asked = self.next
        assert asked is not None
        change = 0 if total is None or self._total is None else total - self._total
        self._total = self._total if total is None else total
        is_further = asked > self._highest
        self._size, self._highest = max(self._size, count), max(self._highest, asked)
        self._cover(asked, fell=max(0, -change))
        self._risen += max(0, change)
        if fresh:
            self._empty = self._known = self._again = 0
        elif not is_further:
            self._again += 1
            if self._again > self._highest - self._begin + MOST_KNOWN:  # a total that falls for ever hides nothing new
                self._covered = float(self._highest)
        elif count:
            self._known += 1
        else:
            self._empty += 1
        self.next = math.floor(self._covered) + 1
        if fresh and (pages is None or self.next <= pages):
            return
        is_end = pages is None or self.next > pages or said != asked
        # Without a number of its own, a page of known items is most likely the one before once more.
        is_same = count > 0 and is_further and not is_numbered and not self._risen
        self.is_cut = not is_end and not is_same and self._is_enough()
        if is_end or is_same or self.is_cut:
            self.next = None

    def _is_enough(self) -> bool:
        pushed_pages = min(self._risen // self._size, MOST_EMPTY)
        return self._empty >= MOST_EMPTY or self._known >= MOST_KNOWN + pushed_pages

    def _cover(self, asked: int, fell: int) -> None:
        # What was deleted may all have stood in front: then everything behind it has moved that far.
        moved = min(fell, asked * self._size) / self._size
        self._covered = max(self._begin, self._covered - moved)
        if asked - 1 <= self._covered:
            self._covered = max(self._covered, asked)

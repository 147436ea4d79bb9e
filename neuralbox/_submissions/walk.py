"""Keep what a walk through the history showed, and whether that is everything since a moment. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from .._api.pages import Envelope, walk_goes_on
from .claim import HistoryEntry

_DISORDER: Final = 60.0  # seconds by which a listing may be out of order and still count as ordered


class Walk:
    """The pages of the history, newest first, as one walk saw them.

    Args:
        rewrite: Says an item under the names of `vocabulary.ALIASES`; None where it is said so.

    Attributes:
        items: By id as text.
        is_whole: Every page was read.
        is_shaken: Something was removed from the listing meanwhile, or could not be told by its id, so an item may
            have slipped by.
    """

    def __init__(self, rewrite: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None) -> None:
        self._rewrite = rewrite
        self.items: dict[str, HistoryEntry] = {}
        self.is_whole = self.is_shaken = False
        self._pages = 0
        self._total: int | None = None
        self._lowest: float | None = None
        self._disorder = 0.0
        self._is_dated = True

    def add(self, page: Envelope) -> bool:
        """Take the next page; whether there may be more."""
        self._pages += 1
        fresh = 0
        for record in page.records:
            item = HistoryEntry.read(record, None if self._rewrite is None else self._rewrite(record))
            if item is None:
                self.is_shaken = True
            elif str(item.id) not in self.items:
                fresh += 1
                self.items[str(item.id)] = item
                self._note_order(item)
        if page.total is not None:
            self.is_shaken = self.is_shaken or (self._total is not None and page.total < self._total)
            self._total = page.total
        goes_on = walk_goes_on(
            asked=self._pages, count=len(page.records), fresh=fresh, pages=page.pages, said=page.page
        )
        # A walk that ends because it gets nowhere (the same page again, another than was asked for) is not whole.
        is_last = not page.records if page.pages is None else self._pages >= page.pages
        self.is_whole = not goes_on and is_last and page.page == self._pages
        return goes_on

    def _note_order(self, item: HistoryEntry) -> None:
        if item.created is None:
            self._is_dated = False
            return
        if self._lowest is None or item.created < self._lowest:
            self._lowest = item.created
        else:
            self._disorder = max(self._disorder, item.created - self._lowest)

    def is_past(self, moment: float) -> bool:
        """Whether nothing created since this moment can be on a later page, by the order the items had so far."""
        ordered = self._is_dated and self._disorder <= _DISORDER
        return ordered and self._lowest is not None and self._lowest < moment - self._disorder

    def covers(self, moment: float) -> bool:
        """Whether everything created since this moment was seen."""
        return not self.is_shaken and (self.is_whole or self.is_past(moment))

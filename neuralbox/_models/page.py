"""One page of a listing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from .._types import PlainValues

T = TypeVar("T")


class ItemList(list[T]):
    """A list that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        return items_html(self, f"{len(self):,} in all")


def items_html(items: Sequence[Any], title: str) -> str:
    """Show items as a table, each by what `to_dict` says of it."""
    from .._html import table_html  # only notebooks need it

    return table_html([item.to_dict() for item in items if hasattr(item, "to_dict")], title)


@dataclass(frozen=True, slots=True)
class Page(PlainValues, Generic[T]):
    """One page, in the service's order (it reads newest first; the documents do not say so).

    Attributes:
        items: The page's items.
        page: Its number, from 1.
        page_size: Items a full page holds.
        total: Items of the whole listing, or None where the service does not say.
        pages: Pages of the whole listing, or None where it can neither be read nor worked out.
        raw: The reply as it came.
    """

    items: Sequence[T]
    page: int
    page_size: int
    total: int | None = None
    pages: int | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def _repr_html_(self) -> str:
        """Show it in a notebook as a table."""
        return items_html(self.items, f"Page {self.page}" + ("" if self.pages is None else f" of {self.pages:,}"))

    @property
    def has_next(self) -> bool:
        """Whether another page may hold items; an empty page is the end whatever the counts say."""
        return bool(self.items) and (self.pages is None or self.page < self.pages)

"""Reading a listing's envelope, and the rules by which a walk over its pages stops. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .fields import as_int

# The documented name first, then what a listing may be called where none is (docs/service/neuralbox.md 2.16).
_LISTS = ("items", "data", "models", "assistants", "results")


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
        return None
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

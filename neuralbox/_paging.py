"""Walking a listing page by page: a `Pager` is awaited for one page or iterated for all items.

Pages shift while one walks (new items push old ones on), so items are told apart by id. Nothing runs between two
items: an iteration that is left half-way leaves nothing behind.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any, Generic, Self, TypeVar

from ._models.page import Page
from ._wire.pages import walk_goes_on

T = TypeVar("T")


class Pager(Generic[T]):
    """A listing that is fetched as it is read.

        page = await nb.history.list()                    # the first page
        async for item in nb.history.list(): ...          # every item, pages fetched as needed
        async for page in nb.history.list().pages(): ...  # every page

    Each iteration starts anew and asks the service again.
    """

    def __init__(
        self,
        fetch: Callable[[int], Awaitable[Page[T]]],
        identity: Callable[[T], object],
        *,
        first: int = 1,
        max_items: int | None = None,
    ) -> None:
        self._fetch = fetch
        self._identity = identity
        self._first = first
        self._max_items = max_items

    @property
    def max_items(self) -> int | None:
        """Most items that an iteration over items hands out, or None for all."""
        return self._max_items

    async def first_page(self) -> Page[T]:
        """Return the first page only; awaiting the pager does the same."""
        return await self._fetch(self._first)

    def __await__(self) -> Generator[Any, Any, Page[T]]:
        return self.first_page().__await__()

    def __aiter__(self) -> ItemIterator[T]:
        return ItemIterator(self.pages(), self._max_items)

    def pages(self) -> PageIterator[T]:
        """Iterate over the pages, each without the items an earlier page had; `max_items` does not count here."""
        return PageIterator(self._fetch, self._identity, self._first)

    def __repr__(self) -> str:
        return f"<Pager from page {self._first}>"


class PageIterator(AsyncIterator[Page[T]]):
    """The pages of one walk; see `Pager.pages`."""

    def __init__(self, fetch: Callable[[int], Awaitable[Page[T]]], identity: Callable[[T], object], first: int) -> None:
        self._fetch = fetch
        self._identity = identity
        self._next: int | None = first
        self._seen: set[str] = set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Page[T]:
        if self._next is None:
            raise StopAsyncIteration
        asked = self._next
        page = await self._fetch(asked)
        # Only now: a page whose fetch failed or was cancelled is asked for again by the next step.
        fresh = [item for item in page.items if self._is_new(item)]
        goes_on = walk_goes_on(asked=asked, count=len(page.items), fresh=len(fresh), pages=page.pages, said=page.page)
        self._next = asked + 1 if goes_on else None
        return Page(fresh, page.page, page.page_size, page.total, page.pages, page.raw)

    def _is_new(self, item: T) -> bool:
        identity = self._identity(item)
        if identity is None or identity == "":
            return True  # without an id nothing can be told apart
        key = str(identity)  # C1: an id may come as a number here and as text there
        if key in self._seen:
            return False
        self._seen.add(key)
        return True


class ItemIterator(AsyncIterator[T]):
    """The items of one walk; see `Pager`."""

    def __init__(self, pages: PageIterator[T], max_items: int | None) -> None:
        self._pages = pages
        self._left = max_items
        self._items: deque[T] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._left is not None and self._left <= 0:
            raise StopAsyncIteration
        while not self._items:
            self._items.extend((await self._pages.__anext__()).items)
        if self._left is not None:
            self._left -= 1
        return self._items.popleft()

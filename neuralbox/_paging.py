"""Walking a listing page by page: a `Pager` is awaited for one page or iterated for all items.

Pages shift while one walks: new items push old ones on, deleted ones pull those behind them forward. Items are told
apart by id, and where the total has fallen the walk goes back (`_api.pages.PageWalk`): what is in the listing throughout
is returned, and returned once. Nothing runs between two items: an iteration that is left half-way leaves nothing behind.
That holds for pages fetched ahead too: when none is left, one step fetches the next one together with those after it,
and ends when all of them are there.

Pages asked for at once may be answered in any order, and a page that was answered before the one in front of it may
lack what was pushed over the boundary meanwhile. The total tells: it must not fall from page to page, or the walk goes
on from there anew. Where the service does not say how many there are, nothing is fetched ahead.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from typing import Any, Generic, Self, TypeAlias, TypeVar

import anyio

from ._api.checks import require_whole
from ._api.pages import Envelope, PageWalk, read_envelope
from ._api.seen_ids import SeenIds
from ._core.exchange import Core
from ._errors import ProtocolError
from ._models.page import Page
from ._transport import Reply
from ._types import BoundToProcess

T = TypeVar("T")
logger = logging.getLogger("neuralbox")
Fetch: TypeAlias = Callable[[int], Awaitable[Page[T]]]

_PAGE_NUMBERS = ("page", "current_page")  # as NeuralBox and GeminiGen name the number of a page
MAX_PREFETCH = 16
"""Most pages that are fetched ahead: each is held whole, and asks for a connection of its own."""


class Pager(BoundToProcess, Generic[T]):
    """A listing that is fetched as it is read.

        page = await nb.history.list()                    # the first page
        async for item in nb.history.list(): ...          # every item, pages fetched as needed
        async for page in nb.history.list().pages(): ...  # every page

    Each iteration starts anew and asks the service again.

    Args:
        fetch: Fetches a page by its number.
        identity: The id of an item.
        first: The page to begin with.
        max_items: Most items of an iteration over items.
        prefetch: Most pages that are fetched together with the one that is needed.
        fetch_ahead: Fetches a page that nobody waits for yet, and gives up sooner; `fetch` where it is left out.
    """

    def __init__(
        self,
        fetch: Fetch[T],
        identity: Callable[[T], object],
        *,
        first: int = 1,
        max_items: int | None = None,
        prefetch: int = 0,
        fetch_ahead: Fetch[T] | None = None,
    ) -> None:
        self._fetch = fetch
        self._identity = identity
        self._first = first
        self._max_items = max_items
        self._prefetch = prefetch
        self._fetch_ahead = fetch_ahead or fetch

    @property
    def max_items(self) -> int | None:
        """Most items that an iteration over items returns, or None for all."""
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
        prefetcher = _Prefetcher(self._fetch, self._fetch_ahead, self._prefetch)
        return PageIterator(prefetcher, self._identity, self._first, self._max_items)

    def __repr__(self) -> str:
        return f"<Pager from page {self._first}>"


class _Prefetcher(Generic[T]):
    """Fetch pages, some of them before they are needed; what it has is in order and without a gap."""

    def __init__(self, fetch: Fetch[T], fetch_ahead: Fetch[T], most: int) -> None:
        self._fetch = fetch
        self._fetch_ahead = fetch_ahead
        self._most = most
        self._there: deque[Page[T]] = deque()
        self._first = 0  # the number of the first page that is there

    async def take(self, number: int, last: int | None, useful: int | None) -> Page[T]:
        """Return a page; those fetched ahead are of use only to the next one in order.

        Args:
            number: Which page.
            last: The last page there is, None where that is not known.
            useful: Pages beginning with this one that are of use, None for all.
        """
        if number != self._first:  # the walk went back
            self._there.clear()
        if not self._there:
            left = 1 if last is None else last - number + 1
            count = min(1 + self._most, left if useful is None else min(left, useful))
            if count <= 1:
                return await self._fetch(number)
            self._there.extend(await self._together(number, count))
        self._first = number + 1
        return self._there.popleft()

    async def _together(self, number: int, count: int) -> list[Page[T]]:
        """Fetch pages at once, and return those that follow one another, the first at least."""
        came: list[Page[T] | None] = [None] * count
        failure: Exception | None = None

        async def fetch_first() -> None:
            nonlocal failure
            try:
                came[0] = await self._fetch(number)
            except Exception as error:  # noqa: BLE001 - raised below as it is; the group would wrap it
                failure = error
                group.cancel_scope.cancel()

        async def fetch_one_ahead(place: int) -> None:
            try:
                came[place] = await self._fetch_ahead(number + place)
            except Exception:  # noqa: BLE001 - it is asked for again when it is needed, and then what happens is raised
                return

        async with anyio.create_task_group() as group:
            group.start_soon(fetch_first)
            for place in range(1, count):
                group.start_soon(fetch_one_ahead, place)
        if failure is not None:
            raise failure
        return _in_order(came)


def _in_order(came: list[Page[T] | None]) -> list[Page[T]]:
    """Return the pages from the first on up to a gap: a missing one, or one older than that before it."""
    kept: list[Page[T]] = []
    most = 0
    for page in came:
        if page is None or (kept and (page.total is None or page.total < most)):
            break
        kept.append(page)
        most = page.total or 0
    return kept


def read_listing(core: Core, reply: Reply, *, of: str = "items", page: int = 1, page_size: int = 0) -> Envelope:
    """Read an answer that must hold a list.

    Args:
        core: What parses it.
        reply: The answer.
        of: What the list is of, for the error.
        page: The page that was asked for, where the reply does not say.
        page_size: The size that was asked for, where the reply does not say.

    Raises:
        ProtocolError: There is no list in it.
    """
    envelope = read_envelope(core.as_json(reply), page=page, page_size=page_size)
    if envelope is None:
        raise no_list(reply, of)
    return envelope


def no_list(reply: Reply, of: str) -> ProtocolError:
    """Build the error of an answer that lacks the list it should hold."""
    return ProtocolError(
        f"The service answered {reply.status_code} without a list of {of}.", status_code=reply.status_code
    )


def without_retries(core: Core) -> Core:
    """Return a core for pages that nobody waits for yet: what fails is left to the attempt that counts."""
    return core.with_options(core.options.with_changes(max_retries=0))


def require_prefetch(prefetch: object) -> None:
    """Refuse a number of pages that cannot be fetched ahead; `ConfigurationError`."""
    require_whole("`prefetch`", prefetch, lowest=0, highest=MAX_PREFETCH, of="pages")


class PageIterator(BoundToProcess, AsyncIterator[Page[T]]):
    """The pages of one walk; see `Pager.pages`."""

    def __init__(
        self, prefetcher: _Prefetcher[T], identity: Callable[[T], object], first: int, max_items: int | None
    ) -> None:
        self._prefetcher = prefetcher
        self._identity = identity
        self._walk = PageWalk(first)
        self._last: int | None = None
        self._size = 0
        self._left = max_items
        self._seen = SeenIds()
        self._before: Sequence[T] = ()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Page[T]:
        asked = self._walk.next
        if asked is None:
            raise StopAsyncIteration
        # Beyond `max_items` whoever still goes on is served page by page.
        useful = None if self._left is None or self._size <= 0 else -(-self._left // self._size)
        page = await self._prefetcher.take(asked, self._last, useful)
        # Only now: a page whose fetch failed or was cancelled is asked for again by the next step.
        # What has no id cannot be told apart; the same page once more can, where the service ignores its number.
        fresh = [] if page.items == self._before else [item for item in page.items if self._is_new(item)]
        self._before = page.items
        self._walk.read(
            count=len(page.items),
            fresh=len(fresh),
            total=page.total,
            pages=page.pages,
            said=page.page,
            is_numbered=any(page.raw.get(name) is not None for name in _PAGE_NUMBERS),
        )
        if self._walk.is_cut:
            logger.warning("A listing that promises %s pages had nothing new for many; the walk ends", page.pages)
        # Without a total it could not be seen whether pages fetched at once follow one another.
        self._last, self._size = None if page.total is None else page.pages, page.page_size
        if self._left is not None:
            self._left = max(0, self._left - len(fresh))
        return Page(fresh, page.page, page.page_size, page.total, page.pages, page.raw)

    def _is_new(self, item: T) -> bool:
        identity = self._identity(item)
        if identity is None or identity == "":
            return True
        return self._seen.add(str(identity))  # C1: an id may come as a number here and as text there


class ItemIterator(BoundToProcess, AsyncIterator[T]):
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


class PagesOfItems(AsyncIterator[Sequence[T]]):
    """The items of a listing, those of a page together, as many as its `max_items` allows."""

    def __init__(self, pager: Pager[T]) -> None:
        self._pages = pager.pages()
        self._left = pager.max_items

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequence[T]:
        if self._left is not None and self._left <= 0:
            raise StopAsyncIteration
        items = (await self._pages.__anext__()).items[: self._left]
        if self._left is not None:
            self._left -= len(items)
        return items

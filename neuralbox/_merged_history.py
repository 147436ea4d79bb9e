"""One history of several accounts, of either service: merged by time while it is read.

Each account's listing is walked as far as the next item is needed, and no further; nothing runs between two items. Each
keeps its own order: what has no date, or one that is out of order, counts as old as what its listing shows before it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Self, TypeAlias

from ._api.checks import require_whole
from ._archive.arrow import table_of
from ._archive.summary import DEFAULT_GROUPS, HistorySummary, is_newer, require_groups, require_since, summarize
from ._base_client import core_of
from ._client import AsyncNeuralBox
from ._errors import ConfigurationError
from ._models.generation import Generation
from ._paging import Pager
from ._types import BoundToProcess
from .geminigen import AsyncGeminiGen, HistoryItem

_PAGE: Final = 100
_LATEST: Final = datetime.max.replace(tzinfo=UTC)
_ROWS_AT_ONCE: Final = 1_000

AnyClient: TypeAlias = AsyncNeuralBox | AsyncGeminiGen


def history_of(
    *clients: AnyClient, since: datetime | None = None, max_items: int | None = None, prefetch: int = 0
) -> MergedHistory:
    """Return one history of several accounts, of NeuralBox and GeminiGen alike, the newest first.

        async with AsyncNeuralBox() as nb, AsyncGeminiGen() as gg:
            async for item in neuralbox.history_of(nb, gg, max_items=100):
                print(item.service, item.created_at, item.model, item.tokens, item.credits)

    Nothing is sent before it is read. `neuralbox.sync.history_of` is the same for blocking clients.

    Args:
        *clients: Whose histories; they stay open as long as it is read. Clients of one account are asked once.
        since: Only what was created then or later, and what has no date in between; with a time zone. The walk of an
            account ends where its listing gets to a whole page that is older.
        max_items: Most items; None for all.
        prefetch: As of `history.list`, for each account.

    Raises:
        ConfigurationError: There is no client, or an argument is out of range.
    """
    return MergedHistory(clients, since=since, max_items=max_items, prefetch=prefetch)


class MergedHistory(BoundToProcess):
    """The generations of several accounts in one order; made by `neuralbox.history_of`, iterated by `async for`."""

    def __init__(
        self, clients: Sequence[AnyClient], *, since: datetime | None, max_items: int | None, prefetch: int
    ) -> None:
        if not clients or not all(isinstance(client, AsyncNeuralBox | AsyncGeminiGen) for client in clients):
            raise ConfigurationError(
                "Pass the clients whose histories are meant: `history_of(nb, gg)`. Blocking ones have "
                "`neuralbox.sync.history_of`."
            )
        require_since(since)
        if max_items is not None:
            require_whole("`max_items`", max_items, lowest=0)
        one_each: dict[object, AnyClient] = {}  # clients that share an account show the same items
        for client in clients:
            one_each.setdefault(core_of(client).account, client)
        self._listings = [_listing_of(client, prefetch) for client in one_each.values()]
        self._since = since
        self._max_items = max_items

    def __aiter__(self) -> MergedWalk:
        listings = [_Listing(pager, read, self._since) for pager, read in self._listings]
        return MergedWalk(listings, self._max_items)

    async def summary(self, *, by: str | Sequence[str] = ("service", *DEFAULT_GROUPS)) -> HistorySummary:
        """Count it all: generations, tokens, credits and ratings in rows.

        Args:
            by: What rows are grouped by: some of `service`, `model`, `day`, `kind`, `status`.

        Raises:
            ConfigurationError: There is no such group.
            NeuralBoxError: A history cannot be read.
        """
        return await summarize(_MergedChunks(aiter(self)), require_groups(by), None, lambda item: item)

    async def to_arrow(self) -> Any:
        """Return it as a `pyarrow.Table` with a column for each field but `raw`; needs the extra `arrow`.

        Raises:
            ConfigurationError: pyarrow is not installed; nothing was sent.
            NeuralBoxError: A history cannot be read.
        """
        return await table_of(Generation, _MergedChunks(aiter(self)))


class MergedWalk(BoundToProcess, AsyncIterator[Generation]):
    """One walk through a merged history."""

    def __init__(self, listings: Sequence[_Listing], max_items: int | None) -> None:
        self._listings = [*listings]
        self._left = max_items

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Generation:
        if self._left is not None and self._left <= 0:
            raise StopAsyncIteration
        # A step that fails or is cancelled has lost nothing: what was fetched waits for the next one.
        for listing in self._listings:
            await listing.fetch()
        self._listings = [listing for listing in self._listings if not listing.is_over]
        if not self._listings:
            raise StopAsyncIteration
        if self._left is not None:
            self._left -= 1
        return max(self._listings, key=lambda listing: listing.time).take()


class _Listing:
    """One account's history, of which the next item is known."""

    def __init__(self, pager: Pager[Any], read: Callable[[Any], Generation], since: datetime | None) -> None:
        self._pages = pager.pages()
        self._read = read
        self._since = since
        self._items: list[Generation] = []  # of the page, the next one last
        self.time = _LATEST
        self.is_over = False

    async def fetch(self) -> None:
        """Make sure that the next item is known, or that there is none."""
        while not self._items and not self.is_over:
            page = await anext(self._pages, None)
            if page is None:
                self.is_over = True
                return
            items = [self._read(item) for item in page.items]
            self._items = [item for item in reversed(items) if is_newer(item, self._since)]
            # Only a page that is older throughout ends it: the services do not say in which order they list.
            self.is_over = bool(items) and not self._items
        if self._items:
            created = self._items[-1].created_at
            self.time = self.time if created is None else min(self.time, created)

    def take(self) -> Generation:
        """Return the next item."""
        return self._items.pop()


def _listing_of(client: AnyClient, prefetch: int) -> tuple[Pager[Any], Callable[[Any], Generation]]:
    if isinstance(client, AsyncNeuralBox):
        return client.history.list(page_size=_PAGE, prefetch=prefetch), lambda item: item
    return client.history.list(items_per_page=_PAGE, prefetch=prefetch), HistoryItem.to_generation


class _MergedChunks(AsyncIterator[Sequence[Generation]]):
    """The items of a walk, many at a time."""

    def __init__(self, walk: MergedWalk) -> None:
        self._walk = walk

    async def __anext__(self) -> Sequence[Generation]:
        chunk: list[Generation] = []
        while len(chunk) < _ROWS_AT_ONCE and (item := await anext(self._walk, None)) is not None:
            chunk.append(item)
        if not chunk:
            raise StopAsyncIteration
        return chunk

"""The history of GeminiGen: listing it, and asking for one record with all that is nested in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack

from .._config import CallArgs, CallOptions
from .._core import Core
from .._errors import ConfigurationError, ProtocolError
from .._models.page import Page
from .._paging import Pager
from .._transport import Reply
from .._types import JobRef
from .._wire import gemini_vocabulary as gemini
from .._wire.gemini_vocabulary import Filter
from .._wire.reading import as_object
from .._wire.request import Request, fill, query
from ._item import HistoryItem
from ._reading import find_list, integer
from ._service import read_detail


class GeminiHistory:
    """All generations of the account."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def list(
        self,
        *,
        filter_by: Filter | str = gemini.ALL,
        page: int = 1,
        items_per_page: int = gemini.DEFAULT_ITEMS_PER_PAGE,
        max_items: int | None = None,
        **call: Unpack[CallArgs],
    ) -> Pager[HistoryItem]:
        """List generations, page by page as they are needed.

            page = await gg.history.list()                  # one page
            async for item in gg.history.list(filter_by="image", items_per_page=50, max_items=500): ...
            async for page in gg.history.list().pages(): ...

        Items of the list have `media_files`; `get` has more of each.

        Args:
            filter_by: A kind or a state, which the page does not enumerate; `all`, `image` and `video` are in use.
            page: The page to begin with, from 1.
            items_per_page: Items a page; the highest that is allowed is not documented, 100 is in use. Where the
                service gives fewer, the walk goes on by what it gives.
            max_items: Stop an iteration over items after so many; None for all.
            **call: `timeout`, `extra_headers`, `extra_query` of each page's call.

        Returns:
            A `Pager`: await it for the first page, iterate it for all items. Items that move to a later page while
            one walks are handed out once. The order is the service's, most likely newest first.

        Raises:
            ConfigurationError: A number is out of range, or the filter is no word; nothing was sent.

        Source:
            GeminiGen, "Get All Generation History", `GET /uapi/v1/histories` (SEED 004).
        """
        _require_whole("page", page, lowest=1)
        _require_whole("items_per_page", items_per_page, lowest=1)
        if max_items is not None:
            _require_whole("max_items", max_items, lowest=0)
        if not isinstance(filter_by, str) or not filter_by.strip():
            raise ConfigurationError(
                f"`filter_by` must be a word such as `all`, `image` or `video`, not {filter_by!r}."
            )
        options = CallOptions.of(call)
        read_page = page_reader(items_per_page)

        async def fetch(number: int) -> Page[HistoryItem]:
            def read(reply: Reply) -> Page[HistoryItem]:
                found = read_page(self._core.as_json(reply), number)
                if found is None:
                    raise ProtocolError(
                        f"The service answered {reply.status_code} without a list of generations.",
                        status_code=reply.status_code,
                    )
                return found

            pairs = query(filter_by=filter_by, items_per_page=items_per_page, page=number)
            return await self._core.send(Request("GET", gemini.HISTORIES, query=pairs), read, options)

        return Pager(fetch, lambda item: item.uuid, first=page, max_items=max_items)

    async def get(self, uuid: str | JobRef | HistoryItem, **call: Unpack[CallArgs]) -> HistoryItem:
        """Ask once for a generation, whatever its state, with its videos, images, sounds and references.

        Args:
            uuid: The record's `uuid` (not its numeric `id`), or an item of the list.
            **call: `timeout`, `extra_headers`, `extra_query` of this call.

        Returns:
            The record as it is now; a failed one is returned, not raised.

        Raises:
            ConfigurationError: It is no uuid; nothing was sent.
            NotFoundError: The service does not know it; what it answers then is not documented.

        Source:
            GeminiGen, "Get Specific Generation History", `GET /uapi/v1/history/{conversion_uuid}` (SEED 004).
        """
        asked = require_uuid(uuid)

        def read(reply: Reply) -> HistoryItem:
            return read_detail(self._core.as_object(reply), asked)

        return await self._core.send(Request("GET", fill(gemini.HISTORY, id=asked)), read, CallOptions.of(call))


def require_uuid(value: object) -> str:
    """Read whatever names a record.

    Raises:
        ConfigurationError: It names none.
    """
    if isinstance(value, HistoryItem):
        value = value.uuid
    elif isinstance(value, JobRef):
        value = value.id
    if not isinstance(value, str) or not value.strip(" ."):
        raise ConfigurationError(f"A generation is named by its `uuid`, a text, not by {value!r}.")
    return value


def page_reader(items_per_page: int) -> Callable[[Any, int], Page[HistoryItem] | None]:
    """Make a reader of one walk's pages: it takes the parsed reply and the number asked for; None is no list.

    Which number of items a page may have is not documented. A page that has fewer than were asked for although the
    total promises more shows that the service gives fewer, and the pages are counted by that from then on: more
    requests than needed at the worst, never an item left out.
    """
    size = items_per_page

    def read(reply: Any, number: int) -> Page[HistoryItem] | None:
        nonlocal size
        records = find_list(reply)
        if records is None:
            return None
        envelope = as_object(reply) or {}
        # Seen in the vendor's sibling product, not in the seed.
        last_page, told_size = integer(envelope.get("last_page")), integer(envelope.get("per_page"))
        told_page = integer(envelope.get("current_page"))
        total, count = integer(envelope.get("total")), len(records)
        if told_size is not None and told_size > 0:
            size = told_size
        elif total is not None and 0 < count < size and (number - 1) * size + count < total:
            size = count
        pages = last_page if total is None or last_page is not None else max(1, -(-total // size))
        raw = envelope or {"result": reply}
        return Page([HistoryItem.read(record) for record in records], told_page or number, size, total, pages, raw)

    return read


def _require_whole(name: str, value: object, *, lowest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
        raise ConfigurationError(f"`{name}` must be a whole number from {lowest}; it is {value!r}.")

"""The history: listing, marking, rating, deleting."""

from __future__ import annotations

from typing import Unpack

from .._config import CallArgs, CallOptions
from .._core import Core
from .._errors import ConfigurationError, ProtocolError
from .._jobs.look import as_ref
from .._models.generation import Generation
from .._models.page import Page
from .._paging import Pager
from .._transport import Reply
from .._types import GenerationId
from .._wire import vocabulary as words
from .._wire.pages import read_envelope
from .._wire.request import Request, Safety, fill, query
from .._wire.vocabulary import Kind


class History:
    """All generations of the account, other programs' and the Telegram bot's included."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def list(
        self,
        *,
        type: Kind | str | None = None,
        model: str | None = None,
        status: str | None = None,
        favorites_only: bool | None = None,
        page: int = 1,
        page_size: int = 20,
        max_items: int | None = None,
        **call: Unpack[CallArgs],
    ) -> Pager[Generation]:
        """List generations, page by page as they are needed.

            page = await nb.history.list()                  # one page
            async for item in nb.history.list(type="image", max_items=500): ...
            async for page in nb.history.list().pages(): ...

        Args:
            type: `text`, `image`, `video`, `tts`, `stt`, `audio`, `tool`.
            model: A slug.
            status: `completed`, `pending`, `failed`.
            favorites_only: Only favourites (documented for the page dialect only).
            page: The page to begin with, from 1.
            page_size: Items a page, 1 to 100.
            max_items: Stop an iteration over items after so many; None for all.
            **call: `timeout`, `extra_headers`, `extra_query` of each page's call.

        Returns:
            A `Pager`: await it for the first page, iterate it for all items. Items that move to a later page while
            one walks are handed out once. The order is the service's; it reads newest first.

        Raises:
            ConfigurationError: A number is out of range; nothing was sent.

        Source:
            NeuralBox API, "Generation History", `GET /api/v2/user/history` (SEED 000); filters under other names with
            `Dialect(history="page")` [nb:en/api-reference/user/history].
        """
        if page < 1:
            raise ConfigurationError(f"`page` counts from 1; it is {page}.")
        if not 1 <= page_size <= words.MAX_PAGE_SIZE:
            raise ConfigurationError(f"`page_size` must be 1 to {words.MAX_PAGE_SIZE}; it is {page_size}.")
        if max_items is not None and max_items < 0:
            raise ConfigurationError(f"`max_items` must not be below 0; it is {max_items}.")
        options = CallOptions.of(call)
        by_page = self._core.options.dialect.history == "page"
        filters = query(
            limit=page_size,
            **{"category" if by_page else "type": type, "model_slug" if by_page else "model": model},
            status=status,
            favorites_only=favorites_only,
        )

        async def fetch(number: int) -> Page[Generation]:
            def read(reply: Reply) -> Page[Generation]:
                return _read_page(self._core, reply, number, page_size)

            request = Request("GET", words.HISTORY, query=(("page", str(number)), *filters))
            return await self._core.send(request, read, options)

        return Pager(fetch, lambda item: item.id, first=page, max_items=max_items)

    async def favorite(self, generation_id: GenerationId, **call: Unpack[CallArgs]) -> None:
        """Toggle the favourite mark; calling twice undoes it, so it is never repeated on an unknown outcome.

        Args:
            generation_id: The id, of either kind.
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Raises:
            NotFoundError: The service does not know the id.
            ConnectionLostError: The connection broke after the request was sent; the mark may have changed.

        Source:
            `POST /api/v2/user/history/{generation_id}/favorite` [nb:en/api-reference/user/history].
        """
        request = Request("POST", fill(words.HISTORY_FAVORITE, id=as_ref(generation_id).id), Safety.ONCE)
        await self._core.send(request, _ignore, CallOptions.of(call))

    async def rate(self, generation_id: GenerationId, rating: int, **call: Unpack[CallArgs]) -> None:
        """Rate a generation.

        Args:
            generation_id: The id, of either kind.
            rating: A whole number; the range is not documented (the example is 5).
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Raises:
            NotFoundError: The service does not know the id.
            UnprocessableEntityError: The service does not take this rating.

        Source:
            `POST /api/v2/user/history/{generation_id}/rate` [nb:en/api-reference/user/history].
        """
        request = Request("POST", fill(words.HISTORY_RATE, id=as_ref(generation_id).id), body={"rating": rating})
        await self._core.send(request, _ignore, CallOptions.of(call))

    async def delete(self, generation_id: GenerationId, **call: Unpack[CallArgs]) -> None:
        """Delete a generation from the history.

        Args:
            generation_id: The id, of either kind.
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Raises:
            NotFoundError: The service does not know the id.

        Source:
            `DELETE /api/v2/user/history/{generation_id}` [nb:en/api-reference/user/history].
        """
        request = Request("DELETE", fill(words.HISTORY_ITEM, id=as_ref(generation_id).id))
        await self._core.send(request, _ignore, CallOptions.of(call))


def _read_page(core: Core, reply: Reply, number: int, page_size: int) -> Page[Generation]:
    envelope = read_envelope(core.as_json(reply), page=number, page_size=page_size)
    if envelope is None:
        raise ProtocolError(
            f"The service answered {reply.status_code} without a list of items.", status_code=reply.status_code
        )
    items = [Generation.read(record) for record in envelope.records]
    return Page(items, envelope.page, envelope.page_size, envelope.total, envelope.pages, envelope.raw)


def _ignore(reply: Reply) -> None:
    """The answers of these calls are not documented."""

"""The history: listing, marking, rating, deleting."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, Unpack

from .._api import vocabulary as words
from .._api.checks import require_callback, require_plan, require_whole
from .._api.fields import as_flag, pick
from .._api.reply import read_object
from .._api.request import Request, RetrySafety, fill, query
from .._api.vocabulary import Kind
from .._archive.results import ArchiveProgress, ArchiveResult, ExportResult
from .._archive.summary import HistorySummary
from .._config import CallArgs, CallOptions
from .._core.exchange import Core
from .._errors import NotFoundError, PermissionDeniedError, ProtocolError
from .._models.account import User
from .._models.generation import Generation
from .._models.page import Page
from .._paging import Pager, PagesOfItems, read_listing, require_prefetch, without_retries
from .._polling.status import as_ref, poll
from .._transport import Reply
from .._types import GenerationId

if TYPE_CHECKING:
    from .._archive.arrow import ExportSource

MAX_ARCHIVED_BYTES: Final = 4 * 1024**3
"""A longer file is a failure of an archive unless `max_bytes` says otherwise."""
_ARCHIVE_PREFETCH = 4

OnArchive: TypeAlias = Callable[[ArchiveProgress], Any] | Callable[[ArchiveProgress], Awaitable[Any]]
"""Called with how far an archive has come, one call at a time; plain or async."""

_IS_FAVORITE: Final = ("is_favorited", "is_favorite", "favorited", "favorite")  # the first is what items have


class History:
    """All generations of the account, other programs' and the Telegram bot's included."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def list(
        self,
        *,
        type: Kind | str | None = None,
        model: str | None = None,
        status: words.Status | str | None = None,
        favorites_only: bool | None = None,
        page: int = 1,
        page_size: int = 20,
        max_items: int | None = None,
        prefetch: int = 0,
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
            prefetch: Most pages that an iteration fetches together with the one it needs, 0 to 16: fewer waits, and
                nothing runs between two items. Only where the service says how many items there are.
            **call: `timeout`, `extra_headers`, `extra_query` of each page's call.

        Returns:
            A `Pager`: await it for the first page, iterate it for all items. Items that move to a later page while
            one walks come once. The order is the service's; it reads newest first.

        Raises:
            ConfigurationError: A number is out of range; nothing was sent.

        Source:
            NeuralBox API, "Generation History", `GET /api/v2/user/history` (SEED 000); filters under other names with
            `Dialect(history="page")` [nb:en/api-reference/user/history].
        """
        require_whole("`page`", page, lowest=1)
        require_whole("`page_size`", page_size, lowest=1, highest=words.MAX_PAGE_SIZE)
        if max_items is not None:
            require_whole("`max_items`", max_items, lowest=0)
        require_prefetch(prefetch)
        options = CallOptions.of(call)
        by_page = self._core.options.dialect.history == "page"
        filters = query(
            limit=page_size,
            **{"category" if by_page else "type": type, "model_slug" if by_page else "model": model},
            status=status,
            favorites_only=favorites_only,
        )

        async def fetch(number: int, *, core: Core = self._core) -> Page[Generation]:
            def read(reply: Reply) -> Page[Generation]:
                return _read_page(core, reply, number, page_size)

            request = Request("GET", words.HISTORY, query=(("page", str(number)), *filters))
            return await core.send(request, read, options)

        ahead = partial(fetch, core=without_retries(self._core)) if prefetch else None
        return Pager(fetch, lambda item: item.id, first=page, max_items=max_items, prefetch=prefetch, fetch_ahead=ahead)

    async def archive(
        self,
        directory: str | os.PathLike[str],
        *,
        type: Kind | str | None = None,
        model: str | None = None,
        favorites_only: bool | None = None,
        plan: str | None = None,
        concurrency: int = 8,
        verify: bool = False,
        max_bytes: int | None = MAX_ARCHIVED_BYTES,
        on_progress: OnArchive | None = None,
        **call: Unpack[CallArgs],
    ) -> ArchiveResult:
        """Mirror all results into a directory; run it again to add what is new.

            archived = await nb.history.archive("mirror/")
            print(archived.saved, archived.bytes, archived.failures)

        The whole history is read first, then results are saved, those nearest to expiry first: `image/18500.webp`,
        `video/18501.mp4`, `text/18502.txt`. `manifest.jsonl` has a line for each file: `path`, `bytes`, `sha256`, every
        field of the generation, and the record as it came in `raw`. A run may be interrupted at any moment and run
        again: a file has its name only when it is whole and in the manifest, and what is there is not fetched twice.
        Files that nobody knows keep their names. Generations deleted from the history stay in the mirror.

        Args:
            directory: Where; made if it is missing. One account's history each, one run at a time.
            type: Only results of this kind.
            model: Only results of this model.
            favorites_only: Only favourites (documented for the page dialect only).
            plan: The account's plan, by which results expire; asked for where it is left out.
            concurrency: Results fetched at once, 1 to 64.
            verify: Read the files that are there and compare their hashes, not only their lengths; and ask again for those
                noted as expired before their time was over.
            max_bytes: A longer file is a failure; None for no limit.
            on_progress: Called with an `ArchiveProgress` as the work goes on; may be a coroutine function.
            **call: `timeout`, `extra_headers`, `extra_query` of each page's call; `timeout` also of the downloads.

        Returns:
            What it came to. A result that cannot be had is a failure there and not an error; one that the storage no
            longer has is noted as expired and not asked for again. One that it does not find (404) before the time is
            over is a failure.

        Raises:
            ConfigurationError: An argument is out of range; the directory is a file, is in use by another run, or
                mirrors another account's history.
            DownloadError: The directory cannot be written, or the disk is full.
            NeuralBoxError: The history cannot be read.

        Cancellation:
            Everything saved by then stays and is in the manifest; the next run goes on from there.

        Source:
            Kept by plan: free 7, basic 30, pro and vip 90 days, elite without limit (SEED 000, 002); the plan by
            `GET /api/v2/user/me` [nb:en/api-reference/user/me].
        """
        from .._archive.archive import ArchiveOptions, archive
        from .._archive.source import ArchiveSource

        options = CallOptions.of(call)
        require_plan("`plan`", plan)
        require_callback("`on_progress`", on_progress)
        terms = ArchiveOptions(directory, plan, concurrency, verify, max_bytes, options.timeout)
        pager = self.list(
            type=type,
            model=model,
            status=words.COMPLETED,
            favorites_only=favorites_only,
            page_size=words.MAX_PAGE_SIZE,
            prefetch=_ARCHIVE_PREFETCH,
            **call,
        )
        user = await self._user(options)

        async def ask(item: Generation) -> Generation:
            return await poll(self._core, item, options)

        catalogue = ArchiveSource(
            service="neuralbox",
            account=None if user is None or user.id is None else str(user.id),
            model=Generation,
            read=Generation.read,
            generation=lambda item: item,
            urls=lambda item: (item.url or "",),
            ask=ask,
        )
        if plan is None and user is not None:
            terms = replace(terms, plan=user.plan)
        return await archive(self._core, pager, catalogue, terms, on_progress)

    async def export(
        self,
        target: str | os.PathLike[str],
        *,
        type: Kind | str | None = None,
        model: str | None = None,
        status: words.Status | str | None = None,
        favorites_only: bool | None = None,
        max_items: int | None = None,
        overwrite: bool = False,
        append: bool = False,
        escape_formulas: bool = True,
        **call: Unpack[CallArgs],
    ) -> ExportResult:
        """Write the history into one file: `history.jsonl` with every field and record, `.csv` as a table, or `.parquet`.

        The file appears under its name when it is whole. A table is UTF-8 with the mark that spreadsheets expect;
        `metadata` and `usage` are JSON in it, and `raw` is left out. Parquet (extra `arrow`) has the same columns with
        their types, and can grow:

            await nb.history.export("history.parquet", append=True)     # the first time all of it, then what is new

        With `append` the pages are asked for from the newest on, until one has nothing new; what was pending the last
        time is looked for until it is met, or its time is passed, and its row replaced. Marks and ratings of older rows,
        and deletions, are not seen again.

        Args:
            target: The file; its ending, `.jsonl`, `.csv` or `.parquet`, says how it is written.
            type: Only generations of this kind.
            model: Only generations of this model.
            status: Only `completed`, `pending` or `failed` ones.
            favorites_only: Only favourites (documented for the page dialect only).
            max_items: Stop after so many; None for all.
            overwrite: Replace a file that stands there; otherwise that is an error, found before anything is asked.
            append: Add what is new to the Parquet file that stands there, or make it: of the same account, with the same
                filters. With neither `max_items` nor `overwrite`.
            escape_formulas: In a table, write `'` before a text that a spreadsheet would run as a formula; False writes
                it as it came.
            **call: `timeout`, `extra_headers`, `extra_query` of each page's call.

        Raises:
            ConfigurationError: The ending is another, or the file cannot be or is there already; or it cannot be appended
                to, since it is of another history, other filters or another version; or pyarrow is not installed.
            DownloadError: The file cannot be written.
            NeuralBoxError: The history cannot be read.

        Source:
            As `list` (SEED 000).
        """
        from .._archive.export import export

        pager = self.list(
            type=type,
            model=model,
            status=status,
            favorites_only=favorites_only,
            page_size=words.MAX_PAGE_SIZE,
            max_items=max_items,
            prefetch=_ARCHIVE_PREFETCH,
            **call,
        )
        return await export(
            pager,
            Generation,
            target,
            partial(self._export_source, call, type=type, model=model, status=status, favorites_only=favorites_only),
            overwrite=overwrite,
            append=append,
            escape_formulas=escape_formulas,
        )

    async def _export_source(self, call: CallArgs, **filters: object) -> ExportSource:
        """Say whose history an export is of."""
        from .._archive.arrow import ExportSource

        user = await self._user(CallOptions.of(call))
        return ExportSource(
            service="neuralbox",
            account=None if user is None or user.id is None else str(user.id),
            filters={name: str(value) for name, value in filters.items() if value is not None},
            id_column="id",
            identity=lambda item: str(item.id),
            is_final=lambda item: item.is_final,
        )

    async def to_arrow(
        self,
        *,
        type: Kind | str | None = None,
        model: str | None = None,
        status: str | None = None,
        favorites_only: bool | None = None,
        max_items: int | None = None,
        **call: Unpack[CallArgs],
    ) -> Any:
        """Return the history as a `pyarrow.Table`, for pandas, polars or DuckDB; needs the extra `arrow`.

        It has a column for each field of a `Generation` but `raw`; `metadata` and `usage` are JSON.

        Args:
            type: Only generations of this kind.
            model: Only generations of this model.
            status: Only `completed`, `pending` or `failed` ones.
            favorites_only: Only favourites (documented for the page dialect only).
            max_items: Stop after so many; None for all, which are held in memory.
            **call: `timeout`, `extra_headers`, `extra_query` of each page's call.

        Raises:
            ConfigurationError: pyarrow is not installed; nothing was sent.
            NeuralBoxError: The history cannot be read.

        Source:
            As `list` (SEED 000).
        """
        from .._archive.arrow import table_of

        pager = self.list(
            type=type,
            model=model,
            status=status,
            favorites_only=favorites_only,
            page_size=words.MAX_PAGE_SIZE,
            max_items=max_items,
            prefetch=_ARCHIVE_PREFETCH,
            **call,
        )
        return await table_of(Generation, PagesOfItems(pager))

    async def summary(
        self,
        *,
        by: str | Sequence[str] = ("model", "day", "kind", "status"),
        since: dt.datetime | None = None,
        type: Kind | str | None = None,
        model: str | None = None,
        status: str | None = None,
        **call: Unpack[CallArgs],
    ) -> HistorySummary:
        """Count the history: generations, tokens and ratings in rows, failed and rated ones among them.

            for row in await nb.history.summary(by=("model", "day")):
                print(row.day, row.model, row.count, row.failed, row.tokens, row.rating)

        The whole history is read, or with `since` as much as is needed; memory does not grow with it.

        Args:
            by: What rows are grouped by: some of `service`, `model`, `day` (of the creation, UTC), `kind`, `status`.
            since: Only what was created then or later; with a time zone. The walk ends at a page that is older throughout.
            type: Only generations of this kind.
            model: Only generations of this model.
            status: Only `completed`, `pending` or `failed` ones.
            **call: `timeout`, `extra_headers`, `extra_query` of each page's call.

        Raises:
            ConfigurationError: There is no such group, or `since` has no time zone; nothing was sent.
            NeuralBoxError: The history cannot be read.

        Source:
            As `list` (SEED 000); ratings in items of the page dialect [nb:en/api-reference/user/history].
        """
        from .._archive.summary import require_groups, require_since, summarize

        groups = require_groups(by)
        require_since(since)
        pager = self.list(
            type=type,
            model=model,
            status=status,
            page_size=words.MAX_PAGE_SIZE,
            prefetch=_ARCHIVE_PREFETCH,
            **call,
        )
        return await summarize(PagesOfItems(pager), groups, since, lambda item: item)

    async def _user(self, options: CallOptions) -> User | None:
        """Ask whose history it is; None where the service does not tell."""

        def read(reply: Reply) -> User:
            return User.read(self._core.as_object(reply))

        try:
            return await self._core.send(Request("GET", words.ME), read, options)
        except (NotFoundError, PermissionDeniedError, ProtocolError):
            return None

    async def favorite(self, generation_id: GenerationId, **call: Unpack[CallArgs]) -> bool | None:
        """Toggle the favourite mark; calling twice undoes it, so it is never repeated on an unknown outcome.

        Args:
            generation_id: The id, of either kind.
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Returns:
            Whether it is a favourite now; None where the answer does not say (its form is not documented).

        Raises:
            NotFoundError: The service does not know the id.
            ConnectionLostError: The connection broke after the request was sent; the mark may have changed.

        Source:
            `POST /api/v2/user/history/{generation_id}/favorite` [nb:en/api-reference/user/history].
        """
        request = Request("POST", fill(words.HISTORY_FAVORITE, id=as_ref(generation_id).id), RetrySafety.ONCE)
        return await self._core.send(request, _read_favorite, CallOptions.of(call))

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
    envelope = read_listing(core, reply, page=number, page_size=page_size)
    items = [Generation.read(record) for record in envelope.records]
    return Page(items, envelope.page, envelope.page_size, envelope.total, envelope.pages, envelope.raw)


def _read_favorite(reply: Reply) -> bool | None:
    try:
        return as_flag(pick(read_object(reply.status_code, reply.content), _IS_FAVORITE))
    except ProtocolError:  # its form is not documented, and the mark is set whatever it is
        return None


def _ignore(reply: Reply) -> None:
    """The answers of these calls are not documented."""

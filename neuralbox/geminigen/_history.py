"""The history of GeminiGen: listing it, and asking for one record with all that is nested in it."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from .._api import gemini_vocabulary as gemini
from .._api.checks import require_callback, require_whole
from .._api.fields import as_object
from .._api.gemini_vocabulary import Filter
from .._api.request import Request, fill, query
from .._archive.results import ArchiveResult, ExportResult
from .._archive.summary import HistorySummary
from .._config import CallArgs, CallOptions
from .._core.exchange import Core
from .._errors import ConfigurationError
from .._models.page import Page
from .._paging import Pager, PagesOfItems, no_list, require_prefetch, without_retries
from .._polling.job import Job, OnProgress
from .._polling.many import require_jobs, wait_all
from .._polling.status import require_same_job
from .._resources.history import MAX_ARCHIVED_BYTES, OnArchive
from .._transport import Reply
from .._types import OMIT, JobRef, Omit
from ._item import HistoryItem
from ._reading import find_list, integer
from ._service import read_detail

if TYPE_CHECKING:
    from .._archive.arrow import ExportSource

# The highest that is in use.
_ARCHIVE_PAGE = 100
_ARCHIVE_PREFETCH = 4


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
        prefetch: int = 0,
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
            prefetch: Most pages that an iteration fetches together with the one it needs, 0 to 16: fewer waits, and
                nothing runs between two items.
            **call: `timeout`, `extra_headers`, `extra_query` of each page's call.

        Returns:
            A `Pager`: await it for the first page, iterate it for all items. Items that move to a later page while
            one walks are returned once. The order is the service's, most likely newest first.

        Raises:
            ConfigurationError: A number is out of range, or the filter is no word; nothing was sent.

        Source:
            GeminiGen, "Get All Generation History", `GET /uapi/v1/histories` (SEED 004).
        """
        require_whole("`page`", page, lowest=1)
        require_whole("`items_per_page`", items_per_page, lowest=1)
        if max_items is not None:
            require_whole("`max_items`", max_items, lowest=0)
        if not isinstance(filter_by, str) or not filter_by.strip():
            raise ConfigurationError(
                f"`filter_by` must be a word such as `all`, `image` or `video`, not {filter_by!r}."
            )
        require_prefetch(prefetch)
        options = CallOptions.of(call)
        read_page = page_reader(items_per_page)

        async def fetch(number: int, *, core: Core = self._core) -> Page[HistoryItem]:
            def read(reply: Reply) -> Page[HistoryItem]:
                found = read_page(core.as_json(reply), number)
                if found is None:
                    raise no_list(reply, "generations")
                return found

            pairs = query(filter_by=filter_by, items_per_page=items_per_page, page=number)
            return await core.send(Request("GET", gemini.HISTORIES, query=pairs), read, options)

        ahead = partial(fetch, core=without_retries(self._core)) if prefetch else None
        return Pager(
            fetch, lambda item: item.uuid, first=page, max_items=max_items, prefetch=prefetch, fetch_ahead=ahead
        )

    async def archive(
        self,
        directory: str | os.PathLike[str],
        *,
        filter_by: Filter | str = gemini.ALL,
        concurrency: int = 8,
        verify: bool = False,
        max_bytes: int | None = MAX_ARCHIVED_BYTES,
        on_progress: OnArchive | None = None,
        **call: Unpack[CallArgs],
    ) -> ArchiveResult:
        """Mirror all results into a directory; run it again to add what is new.

            archived = await gg.history.archive("mirror/")
            print(archived.saved, archived.bytes, archived.failures)

        The whole history is read first, then results are saved, those nearest to expiry first: `image/<uuid>.jpg`, and
        where a record has several files `image/<uuid>-2.jpg`. `manifest.jsonl` has a line for each file: `path`,
        `bytes`, `sha256`, every field of the record, and the record as it came in `raw`. A run may be interrupted at any
        moment and run again: a file has its name only when it is whole and in the manifest, and what is there is not
        fetched twice. Files that nobody knows keep their names. Records deleted from the history stay in the mirror.

        Args:
            directory: Where; made if it is missing. One account's history each, one run at a time.
            filter_by: As in `list`.
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
            Expiry by each record's `expired_at` (SEED 004).
        """
        from .._archive.archive import ArchiveOptions, archive
        from .._archive.source import ArchiveSource

        options = CallOptions.of(call)
        require_callback("`on_progress`", on_progress)
        archive_options = ArchiveOptions(directory, None, concurrency, verify, max_bytes, options.timeout)
        pager = self.list(filter_by=filter_by, items_per_page=_ARCHIVE_PAGE, prefetch=_ARCHIVE_PREFETCH, **call)
        account = await self._account(call)

        async def ask(item: HistoryItem) -> HistoryItem:
            return await self.get(item, **call)

        source = ArchiveSource(
            service="geminigen",
            account=account,
            model=HistoryItem,
            read=HistoryItem.read,
            generation=HistoryItem.to_generation,
            urls=_urls,
            ask=ask,
        )
        return await archive(self._core, pager, source, archive_options, on_progress)

    async def export(
        self,
        target: str | os.PathLike[str],
        *,
        filter_by: Filter | str = gemini.ALL,
        max_items: int | None = None,
        overwrite: bool = False,
        append: bool = False,
        escape_formulas: bool = True,
        **call: Unpack[CallArgs],
    ) -> ExportResult:
        """Write the history into one file: `history.jsonl` with every field and record, `.csv` as a table, or `.parquet`.

        The file appears under its name when it is whole. A table is UTF-8 with the mark that spreadsheets need;
        `media_files` and its like are JSON in it, and `raw` is left out. Parquet (extra `arrow`) has the same columns with
        their types, and grows by `append=True`, as NeuralBox's `history.export` does.

        Args:
            target: The file; its ending, `.jsonl`, `.csv` or `.parquet`, says how it is written.
            filter_by: As in `list`.
            max_items: Stop after so many; None for all.
            overwrite: Replace a file that stands there; otherwise that is an error, found before anything is asked.
            append: Add what is new to the Parquet file that stands there, or make it: of the same account, with the same
                filter. With neither `max_items` nor `overwrite`.
            escape_formulas: In a table, write `'` before a text that a spreadsheet would run as a formula; False writes
                it as it came.
            **call: `timeout`, `extra_headers`, `extra_query` of each page's call.

        Raises:
            ConfigurationError: The ending is another, or the file cannot be or is there already; or it cannot be appended
                to, since it is of another history, another filter or another version; or pyarrow is not installed.
            DownloadError: The file cannot be written.
            NeuralBoxError: The history cannot be read.

        Source:
            As `list` (SEED 004).
        """
        from .._archive.export import export

        pager = self.list(
            filter_by=filter_by,
            items_per_page=_ARCHIVE_PAGE,
            max_items=max_items,
            prefetch=_ARCHIVE_PREFETCH,
            **call,
        )

        async def source() -> ExportSource:
            from .._archive.arrow import ExportSource

            return ExportSource(
                service="geminigen",
                account=await self._account(call),
                filters={} if filter_by == gemini.ALL else {"filter_by": filter_by},
                id_column="uuid",
                identity=lambda item: item.uuid,
                is_final=lambda item: item.is_final,
            )

        return await export(
            pager,
            HistoryItem,
            target,
            source,
            overwrite=overwrite,
            append=append,
            escape_formulas=escape_formulas,
        )

    async def _account(self, call: CallArgs) -> str | None:
        """Say whose history it is, as its records do; None where none says it."""
        first = next((item for item in await self.list(items_per_page=1, **call) if item.user_id is not None), None)
        return None if first is None else str(first.user_id)

    async def to_arrow(
        self, *, filter_by: Filter | str = gemini.ALL, max_items: int | None = None, **call: Unpack[CallArgs]
    ) -> Any:
        """Return the history as a `pyarrow.Table`, for pandas, polars or DuckDB; needs the extra `arrow`.

        It has a column for each field of a `HistoryItem` but `raw`; nested ones are JSON.

        Args:
            filter_by: As in `list`.
            max_items: Stop after so many; None for all, which are held in memory.
            **call: `timeout`, `extra_headers`, `extra_query` of each page's call.

        Raises:
            ConfigurationError: pyarrow is not installed; nothing was sent.
            NeuralBoxError: The history cannot be read.

        Source:
            As `list` (SEED 004).
        """
        from .._archive.arrow import table_of

        pager = self.list(
            filter_by=filter_by, items_per_page=_ARCHIVE_PAGE, max_items=max_items, prefetch=_ARCHIVE_PREFETCH, **call
        )
        return await table_of(HistoryItem, PagesOfItems(pager))

    async def summary(
        self,
        *,
        by: str | Sequence[str] = ("model", "day", "kind", "status"),
        since: dt.datetime | None = None,
        filter_by: Filter | str = gemini.ALL,
        **call: Unpack[CallArgs],
    ) -> HistorySummary:
        """Count the history: generations, credits and ratings in rows, failed and rated ones among them.

        Args:
            by: What rows are grouped by: some of `service`, `model`, `day` (of the creation, UTC), `kind`, `status`.
            since: Only what was created then or later; with a time zone. The walk ends at a page that is older throughout.
            filter_by: As in `list`.
            **call: `timeout`, `extra_headers`, `extra_query` of each page's call.

        Returns:
            As NeuralBox's `history.summary`, with `credits` in place of `tokens`.

        Raises:
            ConfigurationError: There is no such group, or `since` has no time zone; nothing was sent.
            NeuralBoxError: The history cannot be read.

        Source:
            As `list` (SEED 004).
        """
        from .._archive.summary import require_groups, require_since, summarize

        groups = require_groups(by)
        require_since(since)
        pager = self.list(filter_by=filter_by, items_per_page=_ARCHIVE_PAGE, prefetch=_ARCHIVE_PREFETCH, **call)
        return await summarize(PagesOfItems(pager), groups, since, HistoryItem.to_generation)

    async def wait(
        self,
        jobs: Iterable[str | JobRef | HistoryItem | Job],
        *,
        timeout: float | Omit | None = OMIT,
        on_progress: OnProgress | None = None,
    ) -> Sequence[HistoryItem]:
        """Wait for many generations at once, without a task for each.

        Args:
            jobs: Uuids, items of the list, references or jobs; the same one twice shares its answer.
            timeout: Limit for the whole wait, in seconds; None waits without limit. Default: `polling.timeout`, 600.
            on_progress: Called with every changed `Generation`; may be a coroutine function.

        Returns:
            One record per input, in input order, with all that is nested in it. Failed ones are returned, not raised:
            see `is_failed`.

        Raises:
            GenerationTimeoutError: The limit passed; the jobs still run on the server.
            NotFoundError: The service does not know one of them; `.job` says which.

        Cancellation:
            Stops asking; the jobs go on and are charged when they complete.
        """
        require_jobs(jobs)
        asked = [job if isinstance(job, Job) else JobRef(require_uuid(job)) for job in jobs]
        found = await wait_all(self._core, asked, timeout=timeout, on_progress=on_progress)
        return [HistoryItem.read(generation.raw, asked_uuid=str(generation.id)) for generation in found]

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
            ProtocolError: The answer is about another generation.

        Source:
            GeminiGen, "Get Specific Generation History", `GET /uapi/v1/history/{conversion_uuid}` (SEED 004).
        """
        asked = require_uuid(uuid)

        def read(reply: Reply) -> HistoryItem:
            found = read_detail(self._core.as_object(reply), asked)
            require_same_job(asked, found.uuid, reply)
            return found

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


def _urls(item: HistoryItem) -> Sequence[str]:
    """Say where an item's files are. Of a single one the result's address counts; several are told one by one."""
    several = [asset.url for asset in item.assets if asset.url]
    return several if len(several) > 1 else [item.url or ""]


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
        pages = last_page
        if last_page is None and total is not None:
            # Worked out by us; an empty page knows better.
            pages = max(1, -(-total // size)) if count else number
        raw = envelope or {"result": reply}
        return Page([HistoryItem.read(record) for record in records], told_page or number, size, total, pages, raw)

    return read

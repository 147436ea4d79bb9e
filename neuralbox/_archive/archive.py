"""A run of an archive: the history is read to its end, then its results are fetched, the most urgent first.

Pages are planned as they come and nothing of them is held in memory. A few workers fetch; whoever has fetched enters
what all of them have fetched meanwhile, so the disk is flushed once for many files. What concerns one result is a
failure and no more; what concerns all of them (the disk, the key) ends the run, and everything that was fetched until
then is in the manifest.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from inspect import isawaitable
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import anyio
from anyio import to_thread

from .._config import Timeout
from .._core.exchange import Core
from .._errors import (
    AuthenticationError,
    ConfigurationError,
    DownloadError,
    ExpiredFileError,
    NeuralBoxError,
    PermissionDeniedError,
)
from .._files.download import save
from .._models.generation import Model
from .._paging import Pager
from .._types import JobRef
from .directory import ArchiveDirectory, FetchedFile, PendingFile, SortedItems
from .results import ArchiveFailure, ArchiveProgress, ArchiveResult
from .source import FIRST_FILE, ArchiveSource

R = TypeVar("R")
T = TypeVar("T", bound=Model)

Report: TypeAlias = Callable[[ArchiveProgress], Any] | Callable[[ArchiveProgress], Awaitable[Any]]

MAX_CONCURRENCY = 64
_FAILURES_KEPT = 1_000
# Records that are looked at in one go: few enough to keep other tasks waiting for a millisecond at the most.
_BATCH = 64


@dataclass(frozen=True, slots=True)
class ArchiveOptions:
    """How an archive is made.

    Attributes:
        directory: Where it is kept.
        plan: By which results expire, or None.
        concurrency: Most results that are fetched at once, 1 to `MAX_CONCURRENCY`.
        verify: Whether files that are there are compared by content.
        max_bytes: A longer file is a failure; None for no limit.
        timeout: Limits of the HTTP exchanges of downloads.

    Raises:
        ConfigurationError: One of them cannot be right.
    """

    directory: str | os.PathLike[str]
    plan: str | None
    concurrency: int
    verify: bool
    max_bytes: int | None
    timeout: float | Timeout | None

    def __post_init__(self) -> None:
        name = os.fspath(self.directory)
        if not name or "\0" in name:
            raise ConfigurationError(f"`directory` must name a directory; it is {name!r}.")
        if not 1 <= self.concurrency <= MAX_CONCURRENCY:
            raise ConfigurationError(f"`concurrency` must be 1 to {MAX_CONCURRENCY}; it is {self.concurrency}.")
        if self.max_bytes is not None and self.max_bytes <= 0:
            raise ConfigurationError(f"`max_bytes` must be above 0, or None for no limit; it is {self.max_bytes}.")


async def archive(
    core: Core,
    pager: Pager[T],
    catalogue: ArchiveSource[T],
    terms: ArchiveOptions,
    on_progress: Report | None = None,
) -> ArchiveResult:
    """Mirror the results of a listing into a directory.

    Raises:
        ConfigurationError: The directory is none, is in use, or mirrors another history.
        DownloadError: The disk fails.
        NeuralBoxError: The history cannot be read.
    """
    run = _ArchiveRun(core, catalogue, terms, on_progress)
    stock = await run.on_disk(
        partial(ArchiveDirectory, Path(terms.directory), catalogue, plan=terms.plan, verify=terms.verify),
        f"`{terms.directory}` cannot be used",
    )
    try:
        await run.read(pager, stock)
        await run.fetch(stock)
        if not run.progress.failed:
            await run.on_disk(stock.tidy)
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(partial(run.end, stock))
    return run.result(stock)


class _ArchiveRun(Generic[T]):
    def __init__(
        self, core: Core, catalogue: ArchiveSource[T], terms: ArchiveOptions, on_progress: Report | None
    ) -> None:
        self._core = core
        self._catalogue = catalogue
        self._terms = terms
        self._on_progress = on_progress
        self._skipped = 0
        self._failures: list[ArchiveFailure] = []
        self._done: list[FetchedFile[T]] = []
        self._todo: deque[PendingFile[T]] = deque()
        self._looking = anyio.Lock()
        self._entering = anyio.Lock()
        self._telling = anyio.Lock()
        self.progress = ArchiveProgress()

    def result(self, stock: ArchiveDirectory[T]) -> ArchiveResult:
        """Say what it came to."""
        now = self.progress
        return ArchiveResult(
            directory=stock.directory,
            manifest=stock.manifest,
            listed=now.listed,
            saved=now.saved,
            kept=now.kept,
            expired=now.expired,
            skipped=self._skipped,
            failed=now.failed,
            bytes=now.bytes,
            failures=tuple(self._failures),
        )

    def end(self, stock: ArchiveDirectory[T]) -> None:
        """Enter what was fetched and is not entered yet, because the run was cancelled, and let go."""
        try:
            with suppress(OSError):  # the files are fetched again by the next run
                stock.enter(self._done, self._core.now())
        finally:
            stock.close()

    async def read(self, pager: Pager[T], stock: ArchiveDirectory[T]) -> None:
        """Plan everything that is listed."""
        async for page in pager.pages():
            await self.on_disk(partial(stock.plan, page.items, self._core.now()))
            listed = self.progress.listed + len(page.items)
            total = None if page.total is None else max(page.total, listed)
            await self._tell(replace(self.progress, listed=listed, total=total))
        await self._tell(replace(self.progress, total=self.progress.listed))

    async def fetch(self, stock: ArchiveDirectory[T]) -> None:
        """Fetch what is missing of the plan."""
        failure: Exception | None = None

        async def work() -> None:
            nonlocal failure
            try:
                while (todo := await self._next(stock)) is not None:
                    await self._one(stock, todo)
            except Exception as error:  # noqa: BLE001 - raised below as it is; the group would wrap it
                failure = failure or error
                group.cancel_scope.cancel()

        await self.on_disk(stock.order)
        async with anyio.create_task_group() as group:
            for _ in range(self._terms.concurrency):
                group.start_soon(work)
        if failure is not None:
            raise failure

    async def _next(self, stock: ArchiveDirectory[T]) -> PendingFile[T] | None:
        """Return the next thing to be fetched, None at the end; one worker at a time looks at more of the plan."""
        async with self._looking:
            while not self._todo:
                found = await self.on_disk(partial(stock.sort_out, _BATCH, self._core.now()))
                if not found.looked_at:
                    return None
                self._todo.extend(found.todo)
                await self._count(found)
            return self._todo.popleft()

    async def _one(self, stock: ArchiveDirectory[T], todo: PendingFile[T]) -> None:
        for one in [todo] if todo.part is not None else await self._ask(stock, todo):
            await self._download(stock, one)
        if todo.is_last:
            await self._tell(replace(self.progress, done=self.progress.done + 1))

    async def _ask(self, stock: ArchiveDirectory[T], todo: PendingFile[T]) -> Sequence[PendingFile[T]]:
        """Ask for a generation whose result the list does not tell of."""
        try:
            asked = await self._catalogue.ask(todo.item)
            found = await self.on_disk(partial(stock.sort_out_asked, todo.item, asked, self._core.now()))
            if found.is_empty:
                raise DownloadError("The service tells neither its text nor the address of a file.")
        except NeuralBoxError as error:
            await self._fail(todo, error)
            return []
        await self._count(replace(found, settled=0))
        return found.todo

    async def _download(self, stock: ArchiveDirectory[T], todo: PendingFile[T]) -> None:
        part = todo.part
        assert part is not None
        changes: dict[str, str | None] = {"url": part.url}
        if part.name != FIRST_FILE:
            changes["kind"] = None  # a film may come with a picture, and that need not begin like a film
        try:
            saved = await save(
                self._core,
                todo.generation.model_copy(update=changes),
                todo.place,
                overwrite="replace",
                max_bytes=self._terms.max_bytes,
                timeout=self._terms.timeout,
                keep_partial=True,
                digest=True,
                plan=self._terms.plan,
            )
        except ExpiredFileError:
            self._done.append(FetchedFile(todo, part))
        except NeuralBoxError as error:
            await self._fail(todo, error)
            return
        else:
            self._done.append(FetchedFile(todo, part, saved.bytes, saved.sha256, saved.content_type))
        async with self._entering:
            done, self._done = self._done, []
            if done:  # else another worker has entered it meanwhile
                await self._count(await self.on_disk(partial(stock.enter, done, self._core.now())))

    async def _fail(self, todo: PendingFile[T], error: NeuralBoxError) -> None:
        """Note a failure, or end the run where everything else would fail alike."""
        cause = error.__cause__
        of_disk = isinstance(cause, OSError) and not isinstance(cause, NeuralBoxError)
        if of_disk or isinstance(error, AuthenticationError | PermissionDeniedError):
            raise error
        if len(self._failures) < _FAILURES_KEPT:
            generation = todo.generation
            ref = JobRef(generation.id, generation.kind, generation.model)
            self._failures.append(ArchiveFailure(ref, type(error).__name__, error.message))
        await self._tell(replace(self.progress, failed=self.progress.failed + 1))

    async def _count(self, found: SortedItems[T]) -> None:
        self._skipped += found.skipped
        now = self.progress
        await self._tell(
            replace(
                now,
                done=now.done + found.settled,
                saved=now.saved + found.saved,
                kept=now.kept + found.kept,
                expired=now.expired + found.expired,
                bytes=now.bytes + found.bytes,
            )
        )

    async def _tell(self, progress: ArchiveProgress) -> None:
        self.progress = progress  # with no await since it was read
        if self._on_progress is not None:
            async with self._telling:  # one call at a time
                answer = self._on_progress(self.progress)
                if isawaitable(answer):
                    await answer

    async def on_disk(self, act: Callable[[], R], what: str = "The archive cannot be written") -> R:
        """Do something in a worker thread; `DownloadError` where the disk does not let it."""
        try:
            return await to_thread.run_sync(act)
        except OSError as error:
            raise DownloadError(f"{what}: {error.strerror or error}.") from error

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
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import anyio
from anyio import to_thread

from .._api.checks import require_flag, require_whole
from .._concurrency.callbacks import call_either
from .._concurrency.worker_thread import run_to_end
from .._config import Timeout
from .._core.exchange import Core
from .._errors import (
    AuthenticationError,
    DownloadError,
    ExpiredFileError,
    NeuralBoxError,
    PermissionDeniedError,
)
from .._files.download import save
from .._files.target import name_of
from .._models.generation import Model
from .._paging import Pager
from .._types import JobRef
from .directory import ArchiveDirectory, FetchedFile, PendingFile, SortedItems
from .results import ArchiveFailure, ArchiveProgress, ArchiveResult
from .source import FIRST_FILE, ArchiveSource

R = TypeVar("R")
T = TypeVar("T", bound=Model)

OnArchiveProgress: TypeAlias = Callable[[ArchiveProgress], Any] | Callable[[ArchiveProgress], Awaitable[Any]]

MAX_CONCURRENCY = 64
_FAILURES_KEPT = 1_000
# Records that are examined in one go: few enough to keep other tasks waiting for a millisecond at the most.
_BATCH = 64


@dataclass(frozen=True, slots=True)
class ArchiveOptions:
    """How an archive is made.

    Attributes:
        directory: Where it is kept.
        plan: By which results expire, or None.
        concurrency: Most results that are fetched at once, 1 to `MAX_CONCURRENCY`.
        verify: Whether files that are there are compared by content, and those gone before their time asked for again.
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
        name_of("`directory`", self.directory)
        require_whole("`concurrency`", self.concurrency, lowest=1, highest=MAX_CONCURRENCY)
        require_flag("`verify`", self.verify)
        if self.max_bytes is not None:
            require_whole("`max_bytes`", self.max_bytes, lowest=1)


async def archive(
    core: Core,
    pager: Pager[T],
    source: ArchiveSource[T],
    options: ArchiveOptions,
    on_progress: OnArchiveProgress | None = None,
) -> ArchiveResult:
    """Mirror the results of a listing into a directory.

    Raises:
        ConfigurationError: The directory is none, is in use, or mirrors another history.
        DownloadError: The disk fails.
        NeuralBoxError: The history cannot be read.
    """
    run = _ArchiveRun(core, source, options, on_progress)
    directory = await run.on_disk(
        partial(ArchiveDirectory, Path(options.directory), source, plan=options.plan, verify=options.verify),
        f"`{options.directory}` cannot be used",
    )
    try:
        await run.read(pager, directory)
        await run.fetch(directory)
        if not run.progress.failed:
            await run.on_disk(directory.tidy)
    finally:
        await run_to_end(partial(run.end, directory))
    return run.result(directory)


class _ArchiveRun(Generic[T]):
    def __init__(
        self, core: Core, source: ArchiveSource[T], options: ArchiveOptions, on_progress: OnArchiveProgress | None
    ) -> None:
        self._core = core
        self._source = source
        self._options = options
        self._on_progress = on_progress
        self._skipped = 0
        self._failures: list[ArchiveFailure] = []
        self._fetched: list[FetchedFile[T]] = []
        self._pending: deque[PendingFile[T]] = deque()
        self._plan_lock = anyio.Lock()
        self._record_lock = anyio.Lock()
        self._progress_lock = anyio.Lock()
        self.progress = ArchiveProgress()

    def result(self, directory: ArchiveDirectory[T]) -> ArchiveResult:
        """Say what it came to."""
        now = self.progress
        return ArchiveResult(
            directory=directory.directory,
            manifest=directory.manifest,
            listed=now.listed,
            saved=now.saved,
            kept=now.kept,
            expired=now.expired,
            skipped=self._skipped,
            failed=now.failed,
            bytes=now.bytes,
            failures=tuple(self._failures),
        )

    def end(self, directory: ArchiveDirectory[T]) -> None:
        """Enter what was fetched and is not entered yet, because the run was cancelled, and let go."""
        try:
            with suppress(OSError):  # the files are fetched again by the next run
                directory.enter(self._fetched, self._core.now())
        finally:
            directory.close()

    async def read(self, pager: Pager[T], directory: ArchiveDirectory[T]) -> None:
        """Plan everything that is listed."""
        async for page in pager.pages():
            await self.on_disk(partial(directory.plan, page.items, self._core.now()))
            listed = self.progress.listed + len(page.items)
            total = None if page.total is None else max(page.total, listed)
            await self._report(replace(self.progress, listed=listed, total=total))
        await self._report(replace(self.progress, total=self.progress.listed))

    async def fetch(self, directory: ArchiveDirectory[T]) -> None:
        """Fetch what is missing of the plan."""
        failure: Exception | None = None

        async def work() -> None:
            nonlocal failure
            try:
                while (pending := await self._next(directory)) is not None:
                    await self._save_item(directory, pending)
            except Exception as error:  # noqa: BLE001 - raised below as it is; the group would wrap it
                failure = failure or error
                group.cancel_scope.cancel()

        await self.on_disk(directory.order)
        async with anyio.create_task_group() as group:
            for _ in range(self._options.concurrency):
                group.start_soon(work)
        if failure is not None:
            raise failure

    async def _next(self, directory: ArchiveDirectory[T]) -> PendingFile[T] | None:
        """Return the next thing to be fetched, None at the end; one worker at a time examines more of the plan."""
        async with self._plan_lock:
            while not self._pending:
                found = await self.on_disk(partial(directory.sort_out, _BATCH, self._core.now()))
                if not found.examined:
                    return None
                self._pending.extend(found.pending)
                await self._count(found)
            return self._pending.popleft()

    async def _save_item(self, directory: ArchiveDirectory[T], pending: PendingFile[T]) -> None:
        for file in [pending] if pending.part is not None else await self._ask(directory, pending):
            await self._download(directory, file)
        if pending.is_last:
            await self._report(replace(self.progress, done=self.progress.done + 1))

    async def _ask(self, directory: ArchiveDirectory[T], pending: PendingFile[T]) -> Sequence[PendingFile[T]]:
        """Ask for a generation whose result the list does not tell of."""
        try:
            asked = await self._source.ask(pending.item)
            found = await self.on_disk(partial(directory.sort_out_asked, pending.item, asked, self._core.now()))
            if found.is_empty:
                raise DownloadError("The service tells neither its text nor the address of a file.")
        except NeuralBoxError as error:
            await self._fail(pending, error)
            return []
        await self._count(replace(found, settled=0))
        return found.pending

    async def _download(self, directory: ArchiveDirectory[T], pending: PendingFile[T]) -> None:
        part = pending.part
        assert part is not None
        changes: dict[str, str | None] = {"url": part.url}
        if part.name != FIRST_FILE:
            changes["kind"] = None  # a film may come with a picture, and that need not begin like a film
        try:
            saved = await save(
                self._core,
                pending.generation.model_copy(update=changes),
                pending.staged,
                overwrite="replace",
                max_bytes=self._options.max_bytes,
                timeout=self._options.timeout,
                keep_partial=True,
                digest=True,
                plan=self._options.plan,
            )
        except NeuralBoxError as error:
            if not self._is_gone(directory, pending, error):
                await self._fail(pending, error)
                return
            self._fetched.append(FetchedFile(pending, part))
        else:
            self._fetched.append(FetchedFile(pending, part, saved.bytes, saved.sha256, saved.content_type))
        async with self._record_lock:
            fetched, self._fetched = self._fetched, []
            if fetched:  # else another worker has entered it meanwhile
                await self._count(await self.on_disk(partial(directory.enter, fetched, self._core.now())))

    def _is_gone(self, directory: ArchiveDirectory[T], pending: PendingFile[T], error: NeuralBoxError) -> bool:
        """Tell whether a file will not come back: a storage that only does not find it (404) may find it again."""
        if not isinstance(error, ExpiredFileError):
            return False
        return error.status_code == 410 or directory.is_over(pending.generation, self._core.now())

    async def _fail(self, pending: PendingFile[T], error: NeuralBoxError) -> None:
        """Note a failure, or end the run where everything else would fail alike."""
        cause = error.__cause__
        of_disk = isinstance(cause, OSError) and not isinstance(cause, NeuralBoxError)
        if of_disk or isinstance(error, AuthenticationError | PermissionDeniedError):
            raise error
        if len(self._failures) < _FAILURES_KEPT:
            generation = pending.generation
            ref = JobRef(generation.id, generation.kind, generation.model)
            self._failures.append(ArchiveFailure(ref, type(error).__name__, error.message))
        await self._report(replace(self.progress, failed=self.progress.failed + 1))

    async def _count(self, found: SortedItems[T]) -> None:
        self._skipped += found.skipped
        now = self.progress
        await self._report(
            replace(
                now,
                done=now.done + found.settled,
                saved=now.saved + found.saved,
                kept=now.kept + found.kept,
                expired=now.expired + found.expired,
                bytes=now.bytes + found.bytes,
            )
        )

    async def _report(self, progress: ArchiveProgress) -> None:
        self.progress = progress  # with no await since it was read
        if self._on_progress is not None:
            async with self._progress_lock:  # one call at a time
                await call_either(self._on_progress, self.progress)

    async def on_disk(self, act: Callable[[], R], what: str = "The archive cannot be written") -> R:
        """Do something in a worker thread; `DownloadError` where the disk does not let it."""
        try:
            return await to_thread.run_sync(act)
        except OSError as error:
            raise DownloadError(f"{what}: {error.strerror or error}.") from error

"""Result files: fetched from the storage whole, or not at all.

`save` puts one on the disk, `read` into memory. The parts, in the order of a download: `source` says which file and
checks its address, `target` where it goes, `fetch` moves it in as many attempts as it takes (`ranges` says what each
asks for), `names` finds its name, `partial_file` writes it. `expiry` knows when files go. The disk is used in worker
threads, so that the event loop never waits for it.

What an interruption leaves: nothing, unless `keep_partial` asks for it. A call that ends by an error or a cancellation
removes what it wrote. A process that is killed cannot; what it leaves - `.neuralbox-<16 digits>.part` and `.json` in the
target's directory - the next download of that file goes on from where its server still has that version, or else
clears away. Nobody else reads these files, and they may be deleted whenever no download is under way.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from anyio import to_thread

from .._api.checks import require_callback
from .._api.content import HEAD_BYTES, announced_content, expected_content, starts_like
from .._concurrency.worker_thread import run_to_end
from .._config import Timeout
from .._core.exchange import Core
from .._errors import DownloadError, ExpiredFileError
from .._models.generation import Generation
from .expiry import warn_if_soon
from .fetch import AlreadyThereError, FetchOptions, Located, OnBytes, fetch
from .partial_file import PartFile
from .ranges import FileVersion
from .source import FileSource
from .target import FileTarget, Overwrite, locate_target, read_overwrite, require_free, sha256_of

__all__ = ["MAX_FILE_BYTES", "MAX_READ_BYTES", "OnBytes", "Overwrite", "SavedFile", "read", "save"]

T = TypeVar("T")

MAX_FILE_BYTES: Final = 4 * 1024**3
"""A longer file is refused unless `max_bytes` says otherwise; documented results are some megabytes."""
MAX_READ_BYTES: Final = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A file on disk.

    Attributes:
        path: Where it is.
        bytes: How long it is.
        sha256: Of its content in hexadecimal digits, where `digest` asked for it.
        content_type: As its server said, or None.
        resumed: Bytes of it that an earlier, interrupted call had left.
        skipped: Whether it stood there already and nothing was fetched.
    """

    path: Path
    bytes: int
    sha256: str | None = None
    content_type: str | None = None
    resumed: int = 0
    skipped: bool = False


async def save(
    core: Core,
    source: Generation | str,
    target: str | os.PathLike[str],
    *,
    overwrite: bool | Overwrite = "error",
    max_bytes: int | None = MAX_FILE_BYTES,
    on_progress: OnBytes | None = None,
    timeout: float | Timeout | None = None,
    keep_partial: bool = False,
    digest: bool = False,
    durable: bool = False,
    same_stays: bool = False,
    stem: str | None = None,
    plan: str | None = None,
) -> SavedFile:
    """Download a file; it appears under its name only when it is whole.

    Args:
        core: Of the client whose connections and retries count.
        source: A finished generation, or the URL of any file.
        target: A directory (one that exists, or a path that ends with a slash) or the path of the file.
        overwrite: What happens where something stands under the name; see `Overwrite`.
        max_bytes: A longer file is refused; None for no limit.
        on_progress: Called as `on_progress(received, total)` after each megabyte and at the end, in bytes.
        timeout: Limits of each HTTP exchange.
        keep_partial: Leave what has arrived for a later call to go on from, when this one is cancelled or fails.
        digest: Compute the SHA-256 on the way.
        durable: Have the name, too, survive a loss of power once this returns; the content always does.
        same_stays: With `rename`, take a file of the same content that stands there for this one.
        stem: What its name in a directory begins with; None for the generation's id.
        plan: The account's plan, for the words about a file that is gone or about to go.

    Raises:
        ConfigurationError: There is no file to fetch, or the target cannot be or is there already.
        ExpiredFileError: The storage has no such file (404, 410).
        DownloadError: It could not be fetched whole, is not what its name says, or could not be written.
    """
    require_callback("`on_progress`", on_progress)
    file = replace(FileSource.of(source), stem=stem)
    options = SaveOptions(read_overwrite(overwrite), digest, durable, same_stays)
    fetching = FetchOptions(max_bytes, on_progress, timeout, plan)
    warn_if_soon(core, file, plan)
    sink = DiskSink(file, target, options)
    try:
        if await sink.locate():
            with suppress(AlreadyThereError):
                await fetch(core, file, sink, fetching)
    except ExpiredFileError:
        await _forget(core, source)
        raise
    finally:
        await sink.close(keep=keep_partial)
    assert sink.saved is not None
    return sink.saved


async def read(
    core: Core,
    source: Generation | str,
    *,
    max_bytes: int = MAX_READ_BYTES,
    timeout: float | Timeout | None = None,
    plan: str | None = None,
) -> bytes:
    """Fetch a small file into memory; arguments and errors are those of `save`."""
    sink = MemorySink()
    try:
        await fetch(core, FileSource.of(source), sink, FetchOptions(max_bytes, None, timeout, plan))
    except ExpiredFileError:
        await _forget(core, source)
        raise
    return b"".join(sink.pieces)


async def _forget(core: Core, source: Generation | str) -> None:
    """Take a result whose file is gone out of the client's cache: asked for again, it is made again."""
    if core.options.cache is not None and isinstance(source, Generation):
        await run_to_end(partial(core.options.cache.forget, source.id, FileSource.of(source).shown))


class MemorySink:
    """Keep a file in memory."""

    def __init__(self) -> None:
        self.length = 0
        self.version: FileVersion | None = None
        self.pieces: list[bytes] = []

    async def begin(self, found: Located) -> None:
        kept = b"".join(self.pieces)[: found.body.first]
        self.pieces, self.length, self.version = [kept], len(kept), found.body.version

    async def write(self, data: bytes | memoryview) -> None:
        self.pieces.append(bytes(data))
        self.length += len(data)

    async def finish(self, data: bytes | memoryview) -> None:
        await self.write(data)

    def drop(self) -> None:
        self.pieces, self.length, self.version = [], 0, None


@dataclass(frozen=True, slots=True)
class SaveOptions:
    """How a file is put on the disk; see `save`."""

    overwrite: Overwrite
    digest: bool
    durable: bool
    same_stays: bool


class DiskSink:
    """Bring a file to the disk; what is small goes there in one visit to a worker thread.

    Args:
        source: Which file.
        target: What the caller named.
        options: How.

    Attributes:
        length: How many bytes are there.
        version: What they are of; None where nothing can be added to them later.
        saved: The file, once it is there.
    """

    def __init__(self, source: FileSource, target: str | os.PathLike[str], options: SaveOptions) -> None:
        self.length = 0
        self.version: FileVersion | None = None
        self.saved: SavedFile | None = None
        self._source = source
        self._options = options
        self._target = target
        self._place = FileTarget(Path(), None)
        self._part: PartFile | None = None
        self._is_closed = False
        self._found: Located | None = None
        self._is_begun = False
        self._unproven: str | None = None  # what the file should be, where its server calls it something else
        self._resumed = 0

    async def locate(self) -> bool:
        """Find where the file goes and what an earlier call left; False where it stands there and stays."""
        return await self._in_thread(self._locate)

    async def begin(self, found: Located) -> None:
        content_type = found.headers.get("content-type", "")
        if self._place.path is None:
            name = self._source.name(found.url, content_type, found.headers.get("content-disposition"))
            self._place = replace(self._place, path=self._place.directory / name)
            if not await self._in_thread(self._is_free):
                raise AlreadyThereError
        assert self._place.path is not None
        generation = self._source.generation
        expected = expected_content(self._place.path.name, None if generation is None else generation.kind)
        announced = announced_content(content_type)
        self._unproven = expected if expected and announced and expected != announced else None
        self.length = found.body.first
        self.version = None if self._unproven else found.body.version
        self._resumed = min(self._resumed, self.length)
        self._found, self._is_begun = found, False

    async def write(self, data: bytes | memoryview) -> None:
        await self._in_thread(partial(self._append, data))

    async def finish(self, data: bytes | memoryview) -> None:
        await self._in_thread(partial(self._publish, data))

    def drop(self) -> None:
        self.length, self.version, self._resumed = 0, None, 0
        assert self._part is not None
        self._part.discard_kept()

    async def close(self, *, keep: bool) -> None:
        """Remove what is unfinished, or leave it for a later call; in any case let go of it."""
        self._is_closed = True
        if self._part is not None and self.saved is None:
            await run_to_end(partial(self._part.close, keep=keep and self.version is not None))

    # In worker threads.

    async def _in_thread(self, act: Callable[[], T]) -> T:
        try:
            return await to_thread.run_sync(act)
        except OSError as error:
            why = error.strerror or str(error)
            raise DownloadError(f"{self._source} could not be written to disk: {why}.", job=self._source.job) from error

    def _locate(self) -> bool:
        place = locate_target(self._target)
        self._place = replace(place, path=place.path or self._source.path_in(place.directory))
        if self._place.path is not None and not self._is_free():
            return False
        self._part = PartFile(place.directory, self._source.key, digest=self._options.digest)
        if self._is_closed:  # asyncio's own cancellation does not wait for this thread
            return False
        kept = self._part.open_kept()
        if kept is not None:
            self._resumed = self.length = kept.length
            self.version = kept.version
        return True

    def _is_free(self) -> bool:
        """Tell whether the file is to be fetched; otherwise what stands there is the result."""
        path = self._place.path
        assert path is not None
        if require_free(path, self._options.overwrite):
            return True
        self.saved = self._existing(path)
        if self._part is not None:  # the name came late, and what an earlier call left is open
            self._part.close(keep=True)
        return False

    def _existing(self, path: Path) -> SavedFile:
        return SavedFile(path, path.stat().st_size, sha256_of(path) if self._options.digest else None, skipped=True)

    def _append(self, data: bytes | memoryview) -> None:
        assert self._part is not None
        if not self._is_begun:
            if self._unproven:
                self._require_start(self._unproven, bytes(data[:HEAD_BYTES]))
            self._part.begin(self.length, self.version)
            self._is_begun = True
        self._part.write(data)
        self.length += len(data)

    def _require_start(self, expected: str, head: bytes) -> None:
        assert self._found is not None
        if not starts_like(expected, head):
            said = self._found.headers.get("content-type", "").partition(";")[0].strip()[:60]
            self._source.fail(f"its server sent {said!r}, and it does not begin like {expected}")

    def _publish(self, data: bytes | memoryview) -> None:
        self._append(data)
        assert self._part is not None
        assert self._place.path is not None
        assert self._found is not None
        options = self._options
        path = self._part.publish(
            self._place.path, options.overwrite, durable=options.durable, same_stays=options.same_stays
        )
        if path is None:
            self.saved = self._existing(self._place.path)
        else:
            content_type = self._found.headers.get("content-type")
            self.saved = SavedFile(path, self.length, self._part.sha256, content_type, self._resumed)

"""Result files: fetched from the storage whole, or not at all.

`save` puts one on the disk, `read` into memory. The parts: `wanted` says which file and checks its address, `fetching`
moves it in as many attempts as it takes, `expiry` knows when files go; `partial_file` and `target` own the disk and gets the bytes in
worker threads, so that the event loop never waits for it.

What an interruption leaves: nothing, unless `keep_partial` asks for it. A call that ends by an error or a cancellation
removes what it wrote. A process that is killed cannot; what it leaves - `.neuralbox-<16 digits>.part` and `.json` in the
target's directory - the next download of that file goes on from where its server still has that version, or else
clears away. Nobody else reads these files, and they may be deleted whenever no download is under way.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import anyio
from anyio import to_thread

from .._api.content import HEAD_BYTES, announced_content, expected_content, starts_like
from .._config import Timeout
from .._core.exchange import Core
from .._errors import DownloadError
from .._models.generation import Generation
from .expiry import warn_if_soon
from .fetch import FetchOptions, Located, NotWantedError, OnBytes, fetch
from .partial_file import PartFile
from .ranges import FileVersion
from .source import FileSource
from .target import Overwrite, locate_target, read_overwrite, require_free, sha256_of

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
        plan: The account's plan, for the words about a file that is gone or about to go.

    Raises:
        ConfigurationError: There is no file to fetch, or the target cannot be or is there already.
        ExpiredFileError: The storage has no such file (404, 410).
        DownloadError: It could not be fetched whole, is not what its name says, or could not be written.
    """
    terms = FetchOptions(max_bytes, on_progress, timeout, plan)
    mode = read_overwrite(overwrite)
    wanted = FileSource.of(source)
    warn_if_soon(core, wanted, plan)
    sink = _DiskSink(wanted, os.fspath(target), mode, digest=digest, durable=durable, same_stays=same_stays)
    try:
        if await sink.look():
            with suppress(NotWantedError):
                await fetch(core, wanted, sink, terms)
    finally:
        await sink.leave(keep=keep_partial)
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
    sink = _MemorySink()
    await fetch(core, FileSource.of(source), sink, FetchOptions(max_bytes, None, timeout, plan))
    return b"".join(sink.pieces)


class _MemorySink:
    """A file in memory."""

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


class _DiskSink:
    """A file on its way to the disk; what is small goes there in one visit to a worker thread.

    Attributes:
        saved: The file, once it is there.
    """

    def __init__(
        self,
        wanted: FileSource,
        target: str,
        overwrite: Overwrite,
        *,
        digest: bool,
        durable: bool,
        same_stays: bool,
    ) -> None:
        self.length = 0
        self.version: FileVersion | None = None
        self.saved: SavedFile | None = None
        self._wanted = wanted
        self._target = target
        self._overwrite: Overwrite = overwrite
        self._digest = digest
        self._durable = durable
        self._same_stays = same_stays
        self._directory = Path()
        self._path: Path | None = None
        self._part: PartFile | None = None
        self._is_left = False
        self._found: Located | None = None
        self._is_begun = False
        self._doubted: str | None = None  # what the file should be, where its server calls it something else
        self._resumed = 0

    async def look(self) -> bool:
        """Find where the file goes and what an earlier call left; False where it stands there and stays."""
        return await self._do(self._look)

    async def begin(self, found: Located) -> None:
        headers = found.headers
        content_type = headers.get("content-type", "")
        if self._path is None:
            name = self._wanted.name(found.url, content_type, headers.get("content-disposition"))
            self._path = self._directory / name
            if not await self._do(partial(self._is_free, self._path)):
                raise NotWantedError
        generation = self._wanted.generation
        expected = expected_content(self._path.name, None if generation is None else generation.kind)
        announced = announced_content(content_type)
        self._doubted = expected if expected and announced and expected != announced else None
        self.length = found.body.first
        self.version = None if self._doubted else found.body.version
        self._resumed = min(self._resumed, self.length)
        self._found, self._is_begun = found, False

    async def write(self, data: bytes | memoryview) -> None:
        await self._do(partial(self._put, data))

    async def finish(self, data: bytes | memoryview) -> None:
        await self._do(partial(self._keep, data))

    def drop(self) -> None:
        self.length, self.version, self._resumed = 0, None, 0
        assert self._part is not None
        self._part.forget()

    async def leave(self, *, keep: bool) -> None:
        """Clear up, whatever happened."""
        self._is_left = True
        if self._part is not None and self.saved is None:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(partial(self._part.leave, keep=keep and self.version is not None))

    # In worker threads.

    async def _do(self, act: Callable[[], T]) -> T:
        try:
            return await to_thread.run_sync(act)
        except OSError as error:
            why = error.strerror or str(error)
            raise DownloadError(f"{self._wanted} could not be written to disk: {why}.", job=self._wanted.job) from error

    def _look(self) -> bool:
        place = locate_target(self._target)
        self._directory = place.directory
        self._path = place.path or self._wanted.path_in(place.directory)
        if self._path is not None and not self._is_free(self._path):
            return False
        self._part = PartFile(place.directory, self._wanted.key, digest=self._digest)
        if self._is_left:  # asyncio's own cancellation does not wait for this thread
            return False
        kept = self._part.look()
        if kept is not None:
            self._resumed = self.length = kept.length
            self.version = kept.version
        return True

    def _is_free(self, path: Path) -> bool:
        free = require_free(path, self._overwrite)
        if not free:
            self._stay(path)
        return free

    def _stay(self, path: Path) -> None:
        self.saved = SavedFile(path, path.stat().st_size, sha256_of(path) if self._digest else None, skipped=True)

    def _put(self, data: bytes | memoryview) -> None:
        assert self._part is not None
        if not self._is_begun:
            if self._doubted:
                self._require_start(self._doubted, bytes(data[:HEAD_BYTES]))
            self._part.begin(self.length, self.version)
            self._is_begun = True
        self._part.write(data)
        self.length += len(data)

    def _require_start(self, expected: str, head: bytes) -> None:
        assert self._found is not None
        if not starts_like(expected, head):
            said = self._found.headers.get("content-type", "").partition(";")[0].strip()[:60]
            self._wanted.fail(f"its server sent {said!r}, and it does not begin like {expected}")

    def _keep(self, data: bytes | memoryview) -> None:
        self._put(data)
        assert self._part is not None
        assert self._path is not None
        assert self._found is not None
        path = self._part.keep(self._path, self._overwrite, durable=self._durable, same_stays=self._same_stays)
        if path is None:
            self._stay(self._path)
        else:
            content_type = self._found.headers.get("content-type")
            self.saved = SavedFile(path, self.length, self._part.sha256, content_type, self._resumed)

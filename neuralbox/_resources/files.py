"""Result files: pictures, films, sounds, thumbnails.

A thin resource: it finds out which file is meant, asking for a job where that is needed. How a file is fetched and put
on the disk is the business of `_files`.
"""

from __future__ import annotations

import os
from pathlib import Path

from .._config import Timeout
from .._core.exchange import Core
from .._core.reply_capture import without_capture
from .._errors import ConfigurationError
from .._files.download import MAX_FILE_BYTES, MAX_READ_BYTES, OnBytes, Overwrite, read, save
from .._models.generation import Generation
from .._polling.job import Job
from .._polling.status import poll
from .._types import JobRef


class Files:
    """Files of results: pictures, films, sounds, thumbnails."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def download(
        self,
        source: Generation | Job | JobRef | str,
        target: str | os.PathLike[str],
        *,
        overwrite: bool | Overwrite = False,
        max_bytes: int | None = MAX_FILE_BYTES,
        on_progress: OnBytes | None = None,
        timeout: float | Timeout | None = None,
        keep_partial: bool = False,
        plan: str | None = None,
    ) -> Path:
        """Download a file; it appears under its name only when it is whole.

        A connection that breaks is no failure: the rest is asked for, as long as the server tells which version of the
        file it sends (`ETag`, or `Last-Modified` and a length) and still has that one; otherwise the file is fetched
        again from its start. Such attempts count against `max_retries` only when they bring nothing new.

        Args:
            source: A finished generation, its job, or the URL of any file. A job is asked for first.
            target: A directory (one that exists, or a path that ends with a slash) or the path of the file. Missing
                directories are made. Inside a directory a generation's file is named after its id, with the ending of
                its address: `out/18500.mp4`; a URL's file as its server says. Such names never leave the directory.
            overwrite: What happens where something stands under the name: False or `"error"` is an error, found before
                anything is fetched where the name is known by then; True or `"replace"` replaces a file; `"rename"`
                makes the new one `18500 (2).mp4`; `"skip"` returns the one that stands there, without asking the server.
            max_bytes: A longer file is refused, and a server that never ends is stopped; None for no limit.
            on_progress: Called as `on_progress(received, total)` after each megabyte and at the end, in bytes; may be
                a coroutine function. Where the file must be fetched from its start again, it is told so from 0 again.
            timeout: Limits of the HTTP exchange: seconds for each wait, or a `Timeout`; not of the whole download.
            keep_partial: Leave what has arrived beside the target, as `.neuralbox-*.part` and `.json`, when the call is
                cancelled or fails, so that the next one goes on from there. Without it a call that ends leaves nothing;
                what a killed process left is gone on from in either case.
            plan: The account's plan (`client.account.balance()` knows it): it tells until when files are kept. A file with
                less than three days left is warned of in the log, and one that is gone says when it went.

        Returns:
            Where the file is.

        Raises:
            ConfigurationError: There is no file to fetch (pending, failed, a text), the URL is not absolute http(s),
                or the target cannot be or is there already.
            ExpiredFileError: The storage has no such file (404, 410), most likely no longer.
            DownloadError: It could not be fetched whole within `max_retries`, is longer than `max_bytes`, is empty or a
                page of text where a picture, sound or film should be, or could not be written. `.job` is the generation's and
                `.status_code` the server's, where there is one.

        Cancellation:
            Removes what was written, unless `keep_partial`.

        Source:
            Addresses in `result_url` (SEED 000), `url` (SEED 001), `output_url` (SEED 002); plain GET, since nothing
            says otherwise; kept by plan (SEED 000, 002).
        """
        saved = await save(
            self._core,
            await self._found(source),
            target,
            overwrite=overwrite,
            max_bytes=max_bytes,
            on_progress=on_progress,
            timeout=timeout,
            keep_partial=keep_partial,
            plan=plan,
        )
        return saved.path

    async def read(
        self,
        source: Generation | Job | JobRef | str,
        *,
        max_bytes: int = MAX_READ_BYTES,
        timeout: float | Timeout | None = None,
    ) -> bytes:
        """Fetch a small file into memory.

        Args:
            source: A finished generation, its job, or the URL of any file.
            max_bytes: A longer file is refused.
            timeout: Limits of the HTTP exchange: seconds for each wait, or a `Timeout`.

        Raises:
            NeuralBoxError: As `download`.

        Source:
            As `download` (SEED 000, 001, 002).
        """
        return await read(self._core, await self._found(source), max_bytes=max_bytes, timeout=timeout)

    async def _found(self, source: Generation | Job | JobRef | str) -> Generation | str:
        if isinstance(source, str | Generation):
            return source
        if isinstance(source, Job):
            known = source.generation
            if known is not None and known.is_final:
                return known
            source = source.ref
        elif not isinstance(source, JobRef):
            raise ConfigurationError(
                f"Pass a generation, a job or a URL, not {type(source).__name__}; "
                "an id kept elsewhere becomes a job by `client.job(id)`."
            )
        with without_capture():  # `with_raw_response` is about the file's reply
            return await poll(self._core, source)

"""Result files: fetched from the storage whole, or not at all.

The storage is another host: it gets a plain GET without the key, the client's headers or anything else of ours, and
so does every host it redirects to. What the server says about names, sizes and addresses is checked before it is
believed. On disk a file is `_saving`'s business; it is given the bytes in worker threads, in large pieces, so that the
event loop never waits for it, and is told to discard them on every path but the good one: an error, a cancellation.

Attempts are repeated from the start by the rules of every GET (`_wire.outcome`). Going on where the last one broke
off belongs into `_save`, which has both the part that is there and the reply that brings the rest.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from inspect import isawaitable
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias, TypeVar
from urllib.parse import urljoin, urlsplit

import anyio
from anyio import to_thread

from .._config import Timeout
from .._core import Core
from .._errors import (
    APIConnectionError,
    APIStatusError,
    ConfigurationError,
    ConnectionLostError,
    DownloadError,
    ExpiredFileError,
    NeuralBoxError,
    ProtocolError,
)
from .._jobs.handle import Job
from .._jobs.look import look
from .._models.generation import Generation
from .._saving import PartFile, find_place, require_free
from .._transport import StreamedReply
from .._types import JobRef
from .._wire.names import name_for_id, name_for_url
from .._wire.outcome import RetryPolicy, Stop, decide, fate_of
from .._wire.reply import status_error
from .._wire.request import Safety
from .._wire.vocabulary import RETENTION_DAYS

T = TypeVar("T")

OnBytes: TypeAlias = Callable[[int, int | None], Any] | Callable[[int, int | None], Awaitable[Any]]
"""Called with the bytes received and the bytes in all, None where the server does not say; plain or async."""

MAX_FILE_BYTES: Final = 4 * 1024**3
"""A longer file is refused unless `max_bytes` says otherwise; documented results are some megabytes."""
MAX_READ_BYTES: Final = 64 * 1024**2

_MOST_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# Bytes collected before they are written: few enough to keep memory flat, enough to make the thread worth its while.
_BATCH: Final = 1024 * 1024
# `identity`: pictures and films do not shrink, and only then does `Content-Length` say how long the file is.
_HEADERS: Final = {"accept": "*/*", "accept-encoding": "identity"}


class Files:
    """Files of results: pictures, films, sounds, thumbnails."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def download(
        self,
        source: Generation | Job | JobRef | str,
        target: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        max_bytes: int | None = MAX_FILE_BYTES,
        on_progress: OnBytes | None = None,
        timeout: float | Timeout | None = None,
    ) -> Path:
        """Download a file; it appears under its name only when it is whole.

        Args:
            source: A finished generation, its job, or the URL of any file. A job is asked for first.
            target: A directory (one that exists, or a path that ends with a slash) or the path of the file. Missing
                directories are made. Inside a directory a generation's file is named after its id, with the ending of
                its address: `out/18500.mp4`; a URL's file as its server says. Such names never leave the directory.
            overwrite: Replace a file that stands there; otherwise that is an error, found before anything is fetched
                where the name is known by then.
            max_bytes: A longer file is refused, and a server that never ends is stopped; None for no limit.
            on_progress: Called as `on_progress(received, total)` after each megabyte and at the end, in bytes; may be
                a coroutine function. An attempt that starts again starts from 0 again.
            timeout: Limits of the HTTP exchange: seconds for each wait, or a `Timeout`; not of the whole download.

        Returns:
            Where the file is.

        Raises:
            ConfigurationError: There is no file to fetch (pending, failed, a text), the URL is not absolute http(s),
                or the target cannot be or is there already.
            ExpiredFileError: The storage has no such file (404, 410), most likely no longer.
            DownloadError: It could not be fetched whole within `max_retries`, is longer than `max_bytes`, or could not
                be written. `.job` is the generation's, where it is known.

        Cancellation:
            Removes what was written.

        Source:
            Addresses in `result_url` (SEED 000), `url` (SEED 001), `output_url` (SEED 002); plain GET, since nothing
            says otherwise; kept by plan (SEED 000, 002).
        """
        _require_room(max_bytes)
        wanted = await self._wanted(source)
        place = await self._on_disk(wanted, partial(find_place, os.fspath(target)))
        early = place.path or wanted.name_in(place.directory)
        if early is not None:
            await self._on_disk(wanted, partial(require_free, early, overwrite))

        async def attempt() -> Path:
            async with self._found(wanted, timeout) as (url, reply):
                path = early or place.directory / wanted.name(url, reply)
                return await self._save(wanted, reply, path, overwrite, max_bytes, on_progress)

        return await self._repeated(wanted, attempt)

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
        _require_room(max_bytes)
        wanted = await self._wanted(source)

        async def attempt() -> bytes:
            pieces: list[bytes] = []

            async def keep(more: list[bytes]) -> None:
                pieces.extend(more)

            async with self._found(wanted, timeout) as (_, reply):
                await _pump(wanted, reply, keep, max_bytes, None)
            return b"".join(pieces)

        return await self._repeated(wanted, attempt)

    # What to fetch...

    async def _wanted(self, source: Generation | Job | JobRef | str) -> _Wanted:
        if isinstance(source, str):
            problem = _problem_of(source)
            if problem:
                raise ConfigurationError(f"A file is fetched from an absolute http or https URL; {problem}.")
            return _Wanted(source, None)
        known = source.generation if isinstance(source, Job) else source if isinstance(source, Generation) else None
        if known is None or (isinstance(source, Job) and not known.is_final):
            if not isinstance(source, Job | JobRef):
                raise ConfigurationError(
                    f"Pass a generation, a job or a URL, not {type(source).__name__}; "
                    "an id kept elsewhere becomes a job by `client.job(id)`."
                )
            known = await look(self._core, source.ref if isinstance(source, Job) else source)
        return _Wanted.of(known)

    # ... one attempt...

    @asynccontextmanager
    async def _found(
        self, wanted: _Wanted, timeout: float | Timeout | None
    ) -> AsyncIterator[tuple[str, StreamedReply]]:
        """Follow redirects to the file and hand out its reply, with the address it is at."""
        url = wanted.url
        for _ in range(1 + _MOST_REDIRECTS):
            async with self._core.fetch(url, headers=_HEADERS, timeout=timeout) as reply:
                location = reply.headers.get("location")
                if reply.status_code not in _REDIRECTS or not location:
                    if reply.status_code != 200:
                        raise status_error(reply.status_code, reply.headers, b"", now=self._core.now())
                    yield url, reply
                    return
            url = _next_address(wanted, url, location)
        wanted.fail(f"its server redirects more than {_MOST_REDIRECTS} times")

    async def _save(
        self,
        wanted: _Wanted,
        reply: StreamedReply,
        path: Path,
        overwrite: bool,
        max_bytes: int | None,
        on_progress: OnBytes | None,
    ) -> Path:
        part = PartFile(path)

        async def write(pieces: list[bytes]) -> None:
            await self._on_disk(wanted, partial(part.write, pieces))

        await self._on_disk(wanted, partial(require_free, path, overwrite))
        try:
            await self._on_disk(wanted, part.open)
            await _pump(wanted, reply, write, max_bytes, on_progress)
            await self._on_disk(wanted, partial(part.keep, overwrite))
        finally:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(part.discard)
        return path

    async def _on_disk(self, wanted: _Wanted, act: Callable[[], T]) -> T:
        try:
            return await to_thread.run_sync(act)
        except OSError as error:
            why = error.strerror or str(error)
            raise DownloadError(f"{wanted} could not be written to disk: {why}.", job=wanted.job) from error

    # ... and what follows it.

    async def _repeated(self, wanted: _Wanted, attempt: Callable[[], Awaitable[T]]) -> T:
        core = self._core
        policy = RetryPolicy(core.options.max_retries, core.options.max_retry_wait, core.options.deadline)
        started, attempts = core.clock(), 0
        while True:
            attempts += 1
            try:
                return await attempt()
            except (APIConnectionError, APIStatusError, ProtocolError) as caught:
                error: NeuralBoxError = caught
            step = decide(
                policy,
                safety=Safety.REPEATABLE,
                fate=fate_of(error, sent=True, ours=False),
                error=error,
                attempt=attempts,
                elapsed=core.clock() - started,
                jitter=core.random(),
            )
            if isinstance(step, Stop):
                _give_up(wanted, error, attempts)
            await core.sleep(step)


# What is wanted, and what its server may say about it.


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A file: its address, and the generation it belongs to."""

    url: str
    generation: Generation | None

    @classmethod
    def of(cls, generation: Generation) -> _Wanted:
        """Read a generation; `ConfigurationError` when it has no file."""
        ref = generation.ref
        if generation.url is None:
            if generation.is_failed:
                why = f"failed, so there is no file ({generation.error or 'no reason was given'})"
            elif not generation.is_final:
                why = f"is {generation.status or 'not finished'}: wait for it first, `await client.job({ref.id!r}).wait()`"
            elif generation.text is not None:
                why = "is a text: it is in `generation.text`, there is no file"
            else:
                why = "is completed, but the service gave no address of its file"
            raise ConfigurationError(f"The {ref} {why}.", job=ref)
        problem = _problem_of(generation.url)
        if problem:
            raise ConfigurationError(f"The address of the {ref} is not one a file can be had from: {problem}.", job=ref)
        return cls(generation.url, generation)

    @property
    def job(self) -> JobRef | None:
        return None if self.generation is None or self.generation.id == "" else self.generation.ref

    def __str__(self) -> str:
        return f"The file {_shown(self.url)}"

    def fail(self, why: str) -> NoReturn:
        raise DownloadError(f"{self} could not be fetched: {why}.", job=self.job)

    def name_in(self, directory: Path) -> Path | None:
        """Where it goes in a directory, if that is known before its server was asked."""
        if self.job is None:
            return None
        name = name_for_id(self.job.id, self.url)
        return None if name is None else directory / name

    def name(self, url: str, reply: StreamedReply) -> str:
        """Its name by what its server says."""
        content_type = reply.headers.get("content-type", "")
        if self.job is not None:
            named = name_for_id(self.job.id, url, content_type)
            assert named is not None
            return named
        return name_for_url(url, content_type, reply.headers.get("content-disposition"))


def _problem_of(url: str) -> str:
    """Say what is wrong with an address, without its query; "" where nothing is."""
    if any(one < " " or one == "\x7f" or "\ud800" <= one <= "\udfff" for one in url):
        return "this one holds control characters or half ones"
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it raises for a port that is not a number
    except ValueError:
        return "this one is not well-formed"
    if parts.scheme.lower() not in {"http", "https"} or not parts.hostname:
        return f"`{_shown(url)}` is none" if len(url) <= 200 else "this one is none"
    if parts.username is not None or parts.password is not None:
        return "this one holds a user name or password, and no credential is ever sent to a storage"
    return ""


def _shown(url: str) -> str:
    """Return an address without its query, which may be a signature."""
    return url.partition("#")[0].partition("?")[0]


def _next_address(wanted: _Wanted, url: str, location: str) -> str:
    try:
        target = urljoin(url, location.strip())
    except ValueError:
        target = ""
    if _problem_of(target):
        wanted.fail("its server redirects to what is not an absolute http or https URL without a credential")
    if urlsplit(url).scheme.lower() == "https" and urlsplit(target).scheme.lower() != "https":
        wanted.fail("its server redirects from https to http, where anybody could change the file")
    return target


def _give_up(wanted: _Wanted, error: NeuralBoxError, attempts: int) -> NoReturn:
    tried = f" after {attempts} attempts" if attempts > 1 else ""
    if not isinstance(error, APIStatusError):
        why = f"{wanted} could not be fetched{tried}: {error.message}"
        raise DownloadError(why, job=wanted.job) from error
    status = error.status_code
    if status in {404, 410}:
        plans = ", ".join(
            f"{plan} {days} days" if days is not None else f"{plan} without limit"
            for plan, days in RETENTION_DAYS.items()
            if plan != "starter"
        )
        made = wanted.generation and (wanted.generation.completed_at or wanted.generation.created_at)
        when = f" This one is of {made:%Y-%m-%d}." if made else ""
        raise ExpiredFileError(
            f"The storage has no file {_shown(wanted.url)} (HTTP {status}). Files are kept by plan ({plans}).{when}",
            job=wanted.job,
        ) from error
    hint = (
        " A signed address may have run out: ask for the generation again for a new one."
        if status in {401, 403}
        else ""
    )
    raise DownloadError(
        f"{wanted} could not be fetched{tried}: its server answered HTTP {status}.{hint}", job=wanted.job
    ) from error


async def _pump(
    wanted: _Wanted,
    reply: StreamedReply,
    take: Callable[[list[bytes]], Awaitable[None]],
    max_bytes: int | None,
    on_progress: OnBytes | None,
) -> None:
    """Move a reply's body to `take` in large pieces, and check its length."""
    plain = reply.headers.get("content-encoding", "identity").strip().lower() in {"", "identity"}
    # Of a compressed body the header gives the compressed length, which the transport sees to.
    announced = reply.headers.get("content-length", "") if plain else ""
    total = int(announced) if announced.isascii() and announced.isdecimal() and len(announced) < 19 else None
    received, reported = 0, -1
    held: list[bytes] = []
    held_bytes = 0

    async def pass_on() -> None:
        nonlocal held, held_bytes, reported
        await take(held)
        held, held_bytes, reported = [], 0, received
        if on_progress is not None:
            result = on_progress(received, total)
            if isawaitable(result):
                await result

    if max_bytes is not None and total is not None and total > max_bytes:
        wanted.fail(f"it has {total} bytes, more than `max_bytes`={max_bytes}")
    chunks = reply.chunks(raw=plain)
    try:
        async for chunk in chunks:
            received += len(chunk)
            if max_bytes is not None and received > max_bytes:
                wanted.fail(f"it is longer than `max_bytes`={max_bytes}")
            held.append(chunk)
            held_bytes += len(chunk)
            if held_bytes >= _BATCH:
                await pass_on()
    finally:
        aclose = getattr(
            chunks, "aclose", None
        )  # where an engine's body is a generator, leaving it half-way must close it
        if aclose is not None:
            await aclose()
    if total is not None and received != total:
        raise ConnectionLostError(f"Of the {total} bytes announced {received} came.")
    if reported != received:
        await pass_on()


def _require_room(max_bytes: int | None) -> None:
    if max_bytes is not None and max_bytes <= 0:
        raise ConfigurationError(f"max_bytes must be above 0, or None for no limit; it is {max_bytes!r}.")

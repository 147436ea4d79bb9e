"""Fetching one file, in as many attempts as it takes.

The storage is another host: it gets a plain GET without the key, the client's headers or anything else of ours, and
so does every host it redirects to. Where an attempt breaks off, the next one asks for the rest, as long as the server
tells which version of the file it sends (`_files.ranges`); otherwise it starts over. Attempts are limited and spaced
by the rules of every GET (`_core.retry`), but one that brought the file on does not count against the limit: a long
file over a bad line ends when it is whole, not after so many cuts. What there was of an older version is no measure of
that.

Where the bytes go is a `Sink`'s business. They are passed on in large pieces.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Protocol, TypeAlias

import anyio

from .._api.checks import require_instance, require_whole
from .._api.reply import status_error
from .._api.request import RetrySafety
from .._concurrency.callbacks import call_either
from .._config import Timeout
from .._core.exchange import Core
from .._core.reply_capture import capture
from .._core.retry import RetryPolicy, StopReason, classify_attempt, decide
from .._errors import (
    APIConnectionError,
    APIStatusError,
    ConnectionLostError,
    DownloadError,
    NeuralBoxError,
    ProtocolError,
)
from .._transport import Reply, StreamedReply
from .expiry import expired, kept_until
from .ranges import FileVersion, RangeBody, RangeRequest, ask_for_rest, read_body
from .source import FileSource

OnBytes: TypeAlias = Callable[[int, int | None], Any] | Callable[[int, int | None], Awaitable[Any]]
"""Called with the bytes received and the bytes in all, None where the server does not say; plain or async."""

_MOST_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# Bytes collected before they are passed on: few enough to keep memory flat, enough to make a thread worth its while
# (each change of threads also makes the loop's one wait for the interpreter).
_BATCH: Final = 2 * 1024 * 1024
_TOLD_EVERY: Final = 1024 * 1024
# An attempt that adds less than this counts as one that failed, so that a server that sends a byte at a time is given up.
_PROGRESS: Final = 64 * 1024
# `identity`: pictures and films do not shrink, and only then do lengths and ranges mean bytes of the file.
_HEADERS: Final = {"accept": "*/*", "accept-encoding": "identity"}


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """What a caller asked for.

    Attributes:
        max_bytes: A longer file is refused; None for no limit.
        on_progress: Is told the bytes received.
        timeout: Limits of each HTTP exchange.
        plan: The account's plan, where the caller knows it.
    """

    max_bytes: int | None
    on_progress: OnBytes | None = None
    timeout: float | Timeout | None = None
    plan: str | None = None

    def __post_init__(self) -> None:
        if self.max_bytes is not None:
            require_whole("max_bytes", self.max_bytes, lowest=1)
        if self.plan is not None:  # of any name: a plan that is new here has a retention that is not known
            require_instance("`plan`", self.plan, str)


@dataclass(frozen=True, slots=True)
class Located:
    """A file where it was found.

    Attributes:
        url: Its address, after redirects.
        headers: What its server said.
        body: What of it comes.
    """

    url: str
    headers: Mapping[str, str]
    body: RangeBody


class AlreadyThereError(Exception):
    """Raised by a sink that learns from the reply that the file stands there already and stays."""


class Sink(Protocol):
    """Where bytes go.

    Attributes:
        length: How many are there.
        version: What they are of; None where nothing can be added to them later.
    """

    length: int
    version: FileVersion | None

    async def begin(self, found: Located) -> None:
        """Get ready for the bytes from `found.body.first` on; what was there behind it goes.

        Raises:
            AlreadyThereError: The file stands where it would go.
        """
        ...

    async def write(self, data: bytes | memoryview) -> None:
        """Take bytes; they are the caller's again afterwards."""
        ...

    async def finish(self, data: bytes | memoryview) -> None:
        """Take the last bytes; now the file is whole."""
        ...

    def drop(self) -> None:
        """Forget what is there; the next attempt begins at the start."""
        ...


async def fetch(core: Core, source: FileSource, sink: Sink, options: FetchOptions) -> None:
    """Fetch a file into a sink.

    Raises:
        ExpiredFileError: The storage has no such file.
        DownloadError: It could not be fetched whole, or is not what it should be.
    """
    policy = RetryPolicy(core.options.max_retries, core.options.max_retry_wait, core.options.deadline)
    started, tried, counted, best = core.clock(), 0, 0, sink.length
    version, is_renewed = sink.version, False
    while True:
        tried += 1
        asked = ask_for_rest(sink.length, sink.version)
        try:
            rest = await _attempt(core, source, sink, asked, options, started)
            if rest is None:
                continue  # what is there cannot be gone on from; the next attempt, at once, asks for the whole file
        except (APIConnectionError, APIStatusError, ProtocolError) as caught:
            error: NeuralBoxError = caught
        else:
            await sink.finish(rest)
            return
        if sink.version != version:
            if version is not None and not is_renewed:  # once: a server may call each answer another version
                best, is_renewed = 0, True
            version = sink.version
        if sink.version is None:
            sink.drop()
        if sink.length >= best + _PROGRESS:
            best, counted = sink.length, 0
        counted += 1
        step = decide(
            policy,
            safety=RetrySafety.REPEATABLE,
            outcome=classify_attempt(error, sent=True),
            error=error,
            attempt=counted,
            elapsed=core.clock() - started,
            jitter=core.random(),
        )
        if isinstance(step, StopReason):
            if isinstance(error, APIStatusError) and error.status_code in {404, 410}:
                sink.drop()
            _give_up(core, source, options, error, tried)
        await core.pause(step)


# One attempt...


async def _attempt(
    core: Core, source: FileSource, sink: Sink, asked: RangeRequest | None, options: FetchOptions, started: float
) -> memoryview | None:
    """Ask once, and move all but the last bytes; None where the server's answer does not go with what is there."""
    headers = _HEADERS if asked is None else {**_HEADERS, **asked.headers}
    async with _located(core, source, headers, options.timeout, started) as (url, reply):
        body = read_body(reply.status_code, reply.headers, asked)
        if body is None:
            if asked is not None and reply.status_code in {206, 416}:
                sink.drop()
                return None
            raise status_error(reply.status_code, reply.headers, b"", now=core.now())
        if options.max_bytes is not None and body.total is not None and body.total > options.max_bytes:
            sink.drop()
            source.fail(f"it has {body.total} bytes, more than `max_bytes`={options.max_bytes}")
        await sink.begin(Located(url, reply.headers, body))
        return await _pump(source, sink, reply, body, options)


@asynccontextmanager
async def _located(
    core: Core, source: FileSource, headers: Mapping[str, str], timeout: float | Timeout | None, started: float
) -> AsyncIterator[tuple[str, StreamedReply]]:
    """Follow redirects to the file and yield the address it is at with the open reply."""
    url = source.url
    for _ in range(1 + _MOST_REDIRECTS):
        async with core.fetch(url, headers=headers, timeout=timeout, started=started) as reply:
            location = reply.headers.get("location")
            if reply.status_code not in _REDIRECTS or not location:
                if 200 <= reply.status_code < 300:
                    capture(Reply(reply.status_code, reply.headers, b""), 1)
                yield url, reply
                return
        url = source.next_address(url, location)
    source.fail(f"its server redirects more than {_MOST_REDIRECTS} times")


async def _pump(
    source: FileSource, sink: Sink, reply: StreamedReply, body: RangeBody, options: FetchOptions
) -> memoryview:
    """Move a reply's body into the sink in large pieces, check its length, and return the last piece."""
    received, held, told = body.first, 0, -1
    # One buffer for all: pieces that were kept until they are written would be new memory each time, which the system
    # has to clear; that costs more than this copy.
    size = _BATCH if body.total is None else min(_BATCH, body.total - body.first + 1)
    room = memoryview(bytearray(size))

    async def tell() -> None:
        nonlocal told
        told = received
        if options.on_progress is not None:
            await call_either(options.on_progress, received, body.total)

    chunks = reply.chunks(raw=body.plain)
    try:
        async for chunk in chunks:
            received += len(chunk)
            if options.max_bytes is not None and received > options.max_bytes:
                sink.drop()
                source.fail(f"it is longer than `max_bytes`={options.max_bytes}")
            if body.total is not None and received > body.total:
                sink.drop()  # then nothing it said is to be believed
                _fail_length(received, body.total)
            rest = chunk
            while held + len(rest) >= size:
                fits = size - held
                room[held:] = rest[:fits]
                rest, held = rest[fits:], 0
                await sink.write(room)
            room[held : held + len(rest)] = rest
            held += len(rest)
            if received - max(told, body.first) >= _TOLD_EVERY:
                await tell()
        if body.total is not None and received != body.total:
            _fail_length(received, body.total)
        if not received:
            _fail_empty()
        if told != received:
            await tell()
    except BaseException:
        # What has arrived is not fetched again, neither by the next attempt nor, after a cancellation, by the next call.
        if held and sink.version is not None:
            with anyio.CancelScope(shield=True):
                await sink.write(room[:held])
        raise
    finally:
        # Where an engine's body is a generator, leaving it half-way must close it.
        aclose = getattr(chunks, "aclose", None)
        if aclose is not None:
            await aclose()
    return room[:held]


def _fail_length(received: int, total: int) -> NoReturn:
    raise ConnectionLostError(f"Of the {total} bytes announced {received} came.")


def _fail_empty() -> NoReturn:
    """Raise what lets another attempt follow: no result is empty, so its server has not got it yet, or has lost it."""
    raise ConnectionLostError("It came empty.")


# ... and how it ends.


def _give_up(core: Core, source: FileSource, options: FetchOptions, error: NeuralBoxError, tried: int) -> NoReturn:
    after = f" after {tried} attempts" if tried > 1 else ""
    left = kept_until(source, options.plan)
    if not isinstance(error, APIStatusError):
        why = f"{source} could not be fetched{after}: {error.message}{left}"
        raise DownloadError(why, job=source.job) from error
    status = error.status_code
    if status in {404, 410}:
        raise expired(core, source, options.plan, status) from error
    hint = (
        " A signed address may have run out: ask for the generation again for a new one."
        if status in {401, 403}
        else ""
    )
    raise DownloadError(
        f"{source} could not be fetched{after}: its server answered HTTP {status}.{hint}{left}",
        status_code=status,
        job=source.job,
    ) from error

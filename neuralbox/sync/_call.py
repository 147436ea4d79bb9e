"""One blocking call: one task in the loop's thread, one mailbox back to its caller.

A single hop in each direction. The mailbox carries the result and, before it, the user's callbacks, so that these run
in the thread that made the call, may call the client themselves, and raise where the user sees it. The task never
raises: a SystemExit out of a task would end the loop for everybody.

A call is cancelled by a cancel scope and not by its task: what the transport shields while it cleans up (a slot of the
pool, a socket) is shielded from scopes only.
"""

from __future__ import annotations

import asyncio
import inspect
import queue
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from concurrent.futures import CancelledError as BlockingCancelledError
from contextlib import suppress
from contextvars import ContextVar
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import anyio
from anyio import to_thread

from .._errors import ConfigurationError
from ._loop import GRACE, thread

P = ParamSpec("P")
T = TypeVar("T")

# Windows cannot interrupt a thread that waits for a lock, so there it wakes ten times a second.
_PATIENCE = 0.1 if sys.platform == "win32" else None
_HERE = str(Path(__file__).parent)
_current: ContextVar[BlockingCall | None] = ContextVar("neuralbox_call", default=None)


class Kind(Enum):
    """What a message of the mailbox is."""

    VALUE = "value"
    ERROR = "error"
    CALLBACK = "callback"
    NOTE = "note"
    """Something in between: the value a context manager was entered with, the end of a stream's silence."""


class BlockingCall:
    """One coroutine on its way.

    Args:
        function: Makes the coroutine, in the loop's thread.
        args: For it.
        kwargs: For it.

    Attributes:
        box: What the coroutine has to say to the thread that waits.
        finished: Nothing more will be put into the box but what is in it.
    """

    __slots__ = ("_cancelled", "_home", "_make", "_over", "_replacement", "_scope", "_task", "box", "finished")

    def __init__(self, function: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> None:
        self._make: Callable[[], Awaitable[Any]] | None = partial(function, *args, **kwargs)
        self._home: asyncio.AbstractEventLoop | None = None
        self._scope: anyio.CancelScope | None = None
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False
        self.finished: bool = False
        self._replacement: BlockingCall | None = None
        self._over: threading.Event | None = None
        self.box: queue.SimpleQueue[tuple[Kind, Any]] = queue.SimpleQueue()

    # In the loop's thread...

    def start(self) -> None:
        """Begin, in a copy of the caller's context (which `call_soon_threadsafe` made)."""
        if self._cancelled:
            return
        thread.running.add(self)
        self._task = asyncio.get_running_loop().create_task(self._run())

    def cancel(self) -> None:
        """Cancel the coroutine, whether it has begun or not."""
        self._cancelled = True
        if self._scope is not None:
            self._scope.cancel()
        elif self._task is None and not self.finished:
            self._finish((Kind.ERROR, asyncio.CancelledError()))

    async def _run(self) -> None:
        _current.set(self)
        message: tuple[Kind, Any] = (Kind.ERROR, asyncio.CancelledError())
        try:
            with anyio.CancelScope() as self._scope:
                if self._cancelled or thread.loop is None:  # before the first step, or just before a shutdown
                    self._scope.cancel()
                message = (Kind.VALUE, await cast("Callable[[], Awaitable[Any]]", self._make)())
        except BaseException as error:  # noqa: BLE001 - all of it belongs to the caller, SystemExit included
            message = (Kind.ERROR, error)
        self._finish(message)
        del message

    def _finish(self, message: tuple[Kind, Any]) -> None:
        thread.running.discard(self)
        # So that they die here and not in the caller's thread. And the loop holds on to what it ran last, this call
        # among it, until it has something else to run: that must not keep alive what the call was made with.
        self._scope = self._task = self._make = None
        if not thread.exiting:
            self.box.put(message)
        self.finished = True
        if self._over is not None:
            self._over.set()

    @property
    def heard_by(self) -> BlockingCall:
        """The call at whose box the caller waits: this one, or the one that replaces it and is not finished."""
        replacement = self._replacement
        return self if replacement is None or replacement.finished else replacement

    def replace(self, replacement: BlockingCall | None) -> None:
        """Let another call's box hear the callbacks of this one, those included that wait here; None ends that."""
        before, self._replacement = self._replacement or self, replacement
        messages = []
        with suppress(queue.Empty):
            while True:
                messages.append(before.box.get_nowait())
        for message in messages:
            (self.heard_by if message[0] is Kind.CALLBACK else before).box.put(message)

    # ... and in the caller's.

    @property
    def is_here(self) -> bool:
        """Whether the loop it was handed to is there: not before it is, after a shutdown, or in a forked child."""
        return self._home is not None and self._home is thread.loop

    def submit(self) -> None:
        """Hand the coroutine to the loop."""
        thread.ensure_running()
        self._home = thread.loop
        if not thread.post(self.start):
            raise thread.gone()

    def post(self, function: Callable[[], object]) -> bool:
        """Run a function in the loop of this call; False if that is not there any more."""
        return self.is_here and thread.post(function)

    def next_message(self) -> tuple[Kind, Any]:
        """Wait for the next message that is no callback, running the callbacks that come before it.

        Raises:
            ConfigurationError: None can come: the loop is not there any more, or this is its thread.
        """
        thread.require_other_thread()
        while True:
            if not self.is_here and self.box.empty():
                raise thread.gone()
            kind, value = self._get()
            if kind is not Kind.CALLBACK:
                return kind, value
            value()
            del value

    def _get(self) -> tuple[Kind, Any]:
        if _PATIENCE is None:
            return self.box.get()
        while True:  # pragma: no cover - Windows
            try:
                return self.box.get(timeout=_PATIENCE)
            except queue.Empty:
                continue

    def interrupt(self) -> None:
        """Cancel, and wait for the coroutine to clean up; a second Ctrl-C gives up on it. The loop's thread never waits.

        The box is left alone: another thread may be waiting at it, and has to hear of the end too.
        """
        self._cancelled = True  # at once: another thread may be about to hand it over
        over = self._over = self._over or threading.Event()
        # First the event, then the flag: the coroutine does it the other way round, so one of the two is seen.
        if not self.finished and self.post(self.cancel) and not thread.is_current and not over.wait(GRACE):
            warnings.warn("A cancelled neuralbox call does not stop; its caller goes on.", RuntimeWarning, stacklevel=4)

    def talk(self, say: Callable[[], object]) -> tuple[Kind, Any]:
        """Say something to the loop and wait for the answer; whatever breaks the wait cancels the coroutine."""
        try:
            say()
            return self.next_message()
        except ConfigurationError:
            raise
        except BaseException:
            self.interrupt()
            raise


def call(function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a coroutine function in the background loop and return what it returns, or raise what it raises.

    Raises:
        ConfigurationError: It cannot be run from here.
        KeyboardInterrupt: Ctrl-C; the coroutine was cancelled and has cleaned up.
        concurrent.futures.CancelledError: The coroutine was cancelled from within.
    """
    __tracebackhide__ = True
    job = BlockingCall(function, *args, **kwargs)
    kind, value = job.talk(job.submit)
    if kind is Kind.VALUE:
        return cast("T", value)
    try:
        raise presentable(value)
    finally:
        del value, job  # otherwise exception and frame would hold each other


def presentable(error: BaseException) -> BaseException:
    """The error as the caller should see it: without the frames of this package, and nothing of asyncio's own."""
    if isinstance(error, asyncio.CancelledError):
        return BlockingCancelledError(*error.args)
    # "cannot schedule new futures after interpreter shutdown" and the like, in an exit hook of the user's.
    if type(error) is RuntimeError and str(error).endswith(" shutdown"):
        return ConfigurationError(f"The interpreter is shutting down, and resolves no host names any more ({error}).")
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_HERE):
        trace = trace.tb_next
    return error.with_traceback(trace)


# What users hand in.


def callback(function: Callable[..., Any] | None) -> Any:
    """Make an async function of a user's plain one; it runs in the thread that made the call.

    After the call has ended (which a callback may outlive) it runs in a worker thread.

    Raises:
        ConfigurationError: The function is async.
    """
    if not callable(function):  # None, or what the async side refuses
        return function
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004
        raise ConfigurationError(_PLAIN)

    async def run(*args: Any, **kwargs: Any) -> Any:
        bound = partial(_plainly, function, *args, **kwargs)
        job = _current.get()
        job = None if job is None else job.heard_by
        if job is None or job.finished:
            return await to_thread.run_sync(bound)
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def in_caller() -> None:
            try:
                settle = partial(_settle, reply, bound(), None)
            except StopIteration as stop:  # a future cannot carry it
                settle = partial(_settle, reply, None, RuntimeError(f"the callback raised {stop!r}"))
            except Exception as error:  # noqa: BLE001 - it is the user's, and goes back to where the callback is awaited
                settle = partial(_settle, reply, None, error)
            try:
                thread.post(settle)
            finally:
                del settle  # otherwise exception and frame would hold each other

        job.box.put((Kind.CALLBACK, in_caller))
        return await reply

    return run


_PLAIN = "The blocking client calls plain functions: pass one without `async`."


def _plainly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    value = function(*args, **kwargs)
    if inspect.iscoroutine(value):  # a lambda around an async function
        value.close()
        raise ConfigurationError(_PLAIN)
    return value


def _settle(reply: asyncio.Future[Any], value: Any, error: Exception | None) -> None:
    if reply.done():  # cancelled meanwhile
        return
    if error is None:
        reply.set_result(value)
    else:
        reply.set_exception(error)


def feed(items: Iterable[T]) -> AsyncIterator[T]:
    """Turn a user's plain iterable into an async one; it is advanced in the thread that made the call.

    What is no iterable, or one of letters or names only, is left as it is: the async side says what is wrong with it.
    """
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
        return cast("AsyncIterator[T]", items)
    end = object()
    iterator = iter(items)
    return _advance(callback(lambda: next(iterator, end)), end)


async def _advance(step: Callable[[], Awaitable[Any]], end: object) -> AsyncIterator[Any]:
    while (item := await step()) is not end:
        yield item

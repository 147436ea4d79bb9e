"""Blocking iteration over async iterators, in bursts.

One task, the pump, owns the iterator for its whole life and moves items into a deque; the reader takes them from
there without a lock or a hop, and is woken once per burst: the wake-up is scheduled behind what the pump can still
do without waiting. The pump stops `ahead` items in front of the reader and goes on when half of them are taken; with
`ahead=1` that is step by step, and nothing is asked for before the reader wants it.

Both sides follow one order: announce that you sleep, check again, sleep; and whoever wakes the other takes its
announcement back first. The slow path holds a lock, so that two threads cannot wait at one stream.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

import anyio

from .._errors import ConfigurationError
from .._models.page import Page
from .._types import BoundToProcess
from ._call import BlockingCall, Kind, presentable

T = TypeVar("T")


class Pump:
    """Moves items from an async iterator into `items`, at most `ahead` in front of the reader.

    Attributes:
        items: What has arrived and is not taken.
        ahead: How many that may be.
        reader_waits: The reader sleeps at the mailbox.
        paused: The pump sleeps until the reader has caught up.
        call: The task it runs as.
    """

    def __init__(self, source: AsyncIterable[Any], ahead: int) -> None:
        self.source = source
        self.ahead = ahead
        self.items: deque[Any] = deque()
        self.reader_waits = self.paused = False
        self.call = BlockingCall(self._pump)
        self._resume: asyncio.Event
        self._told = False

    async def _pump(self) -> None:
        loop, items = asyncio.get_running_loop(), self.items
        self._resume = asyncio.Event()
        try:
            async for item in self.source:
                items.append(item)
                if self.reader_waits and not self._told:
                    self._told = True
                    loop.call_soon(self._tell)
                if len(items) >= self.ahead:
                    await self._park()
        finally:
            aclose = getattr(self.source, "aclose", None)
            if aclose is not None:
                with anyio.CancelScope(shield=True):
                    await aclose()

    async def _park(self) -> None:
        self._resume.clear()
        self.paused = True
        if len(self.items) < self.ahead:  # taken meanwhile
            self.paused = False
            return
        self._tell()
        await self._resume.wait()

    def _tell(self) -> None:
        self._told = False
        if self.reader_waits:
            self.reader_waits = False
            self.call.box.put((Kind.NOTE, None))

    def wake(self) -> None:
        """Let the pump go on; called by the reader."""
        self.paused = False  # first: by the time the wake-up is posted the pump may have paused again
        self.call.post(self._go_on)

    def _go_on(self) -> None:
        self._resume.set()


class Items(BoundToProcess, Generic[T]):
    """A blocking iterator; also a context manager, and `close` ends it early.

    Leaving a `for` loop early frees what the iteration holds when the iterator is dropped; `with` or `close` frees it
    at once. One thread reads at a time.
    """

    _state = "new"  # also of one whose making was interrupted

    def __init__(self, source: AsyncIterable[Any], ahead: int) -> None:
        self._pump = Pump(source, ahead)
        self._reading = threading.Lock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        __tracebackhide__ = True
        pump = self._pump
        try:
            item = pump.items.popleft()
        except IndexError:
            pass  # and what the slow path raises is not said to have happened "during handling" of this
        else:
            if pump.paused and len(pump.items) <= pump.ahead // 2:
                pump.wake()
            return cast("T", item)
        return self._wait()

    def _wait(self) -> T:
        __tracebackhide__ = True
        if not self._reading.acquire(blocking=False):
            raise ConfigurationError("Another thread is reading this stream; one thread reads at a time.")
        try:
            return self._next_item()
        except Exception:
            raise
        except BaseException:
            self.close()
            raise
        finally:
            self._reading.release()

    def _next_item(self) -> T:
        __tracebackhide__ = True
        pump = self._pump
        if self._state == "new":
            pump.reader_waits = True
            self._state = "open"  # first: interrupted in the middle of the next line, it may have begun
            try:
                pump.call.submit()
            except ConfigurationError:
                self._state = "new"
                raise
        while True:
            if pump.items:
                return cast("T", pump.items.popleft())
            if self._state == "done":
                raise StopIteration
            pump.reader_waits = True
            if pump.paused:
                pump.wake()
            if pump.items:
                continue
            self._take_message()

    def _take_message(self) -> None:
        __tracebackhide__ = True
        pump = self._pump
        kind, value = pump.call.next_message()
        try:
            if kind is Kind.NOTE:
                return
            if self._state == "done":
                raise ConfigurationError("The stream was closed by another thread while this one was reading it.")
            if pump.items:  # they came before the end, so they are returned before it
                pump.call.box.put((kind, value))
                return
            self._state = "done"
            if kind is Kind.ERROR:
                raise presentable(value)
        finally:
            del value  # otherwise exception and frame would hold each other

    @property
    def is_open(self) -> bool:
        """Whether it has begun and not ended."""
        return self._state == "open"

    @property
    def reader(self) -> BlockingCall:
        """The coroutine that reads ahead."""
        return self._pump.call

    def close(self) -> None:
        """End the iteration and wait until everything it held is freed."""
        state, self._state = self._state, "done"
        if state == "open":
            self._pump.call.interrupt()
        self._pump.items.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        # May run in any thread, the loop's own included, so it never waits.
        if self._state == "open" and not is_finalizing():
            self._pump.call.post(self._pump.call.cancel)


class PagedItems(Items[T]):
    """The items of a listing. A page is fetched when its first item is wanted, as on the async side."""

    def __init__(self, pages: AsyncIterator[Page[T]], max_items: int | None) -> None:
        super().__init__(pages, 1)
        self._left = max_items
        self._page: deque[T] = deque()

    def __next__(self) -> T:
        __tracebackhide__ = True
        if self._left is not None and self._left <= 0:
            self.close()
            raise StopIteration
        while not self._page:
            page = cast("Page[T]", super().__next__())
            self._page.extend(page.items)
        if self._left is not None:
            self._left -= 1
        return self._page.popleft()

    def close(self) -> None:
        super().close()
        self._page.clear()


def iterate(source: AsyncIterable[T], *, ahead: int) -> Items[T]:
    """Iterate over an async iterable, reading at most `ahead` items in front."""
    return Items(source, ahead)

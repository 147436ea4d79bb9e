"""Async context managers held open by one task, which enters and leaves them: cancel scopes and task groups demand it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from types import TracebackType
from typing import Any

from ._call import BlockingCall, Kind, presentable
from ._loop import thread

ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


class Entered:
    """One async context manager, from its entry to its exit."""

    def __init__(self, manager: AbstractAsyncContextManager[Any]) -> None:
        self._manager = manager
        self._leave: asyncio.Future[ExcInfo]
        self._call = BlockingCall(self._hold)
        self._reader: BlockingCall | None = None
        self._entered_by = -1

    async def _hold(self) -> bool | None:
        self._leave = asyncio.get_running_loop().create_future()
        value = await self._manager.__aenter__()
        self._call.box.put((Kind.NOTE, value))
        leaving: ExcInfo = (None, None, None)
        try:
            leaving = await self._leave
        except BaseException as error:
            leaving = (type(error), error, error.__traceback__)
            raise
        finally:
            swallowed = await self._manager.__aexit__(*leaving)
        return swallowed

    def enter(self) -> Any:
        """Enter and return what `as` gets."""
        self._entered_by = threading.get_ident()
        return self._hear(self._call.submit)

    def read_by(self, reader: BlockingCall) -> None:
        """Say which call the caller waits for between entry and exit: callbacks of what is held open go there."""
        self._reader = reader
        self._call.post(partial(self._call.replace, reader))

    def exit(self, *leaving: Any) -> bool | None:
        """Leave; an error raised inside the manager's own tasks surfaces here, unless nobody can wait for it here."""
        # Elsewhere than where it was entered it is mostly the collector that ends a generator: in the loop's thread, or in
        # a worker of the loop's, without which a journal cannot be closed.
        if thread.is_current or (leaving[0] is GeneratorExit and threading.get_ident() != self._entered_by):
            self.abandon()
            return None
        over = self._call.finished or not self._call.is_here
        if over and self._call.box.empty():
            return None  # it was left before: by a failed entry, a shutdown; or the process we were forked from does it
        swallowed: bool | None = self._hear(lambda: self._call.post(lambda: self._let_go(leaving)))
        return swallowed

    def _let_go(self, leaving: Any) -> None:
        self._call.replace(None)
        if not self._leave.done():
            self._leave.set_result(leaving)

    def abandon(self) -> None:
        """Leave without waiting for it, as if cancelled; for what is dropped without being left."""
        self._call.post(self._abandon)

    def _abandon(self) -> None:
        if self._reader is None or self._reader.finished:
            self._call.cancel()
        else:  # a connection is not closed under a task that reads it
            self._reader.cancel()
            asyncio.get_running_loop().call_later(0.001, self._abandon)

    def _hear(self, say: Callable[[], object]) -> Any:
        __tracebackhide__ = True
        kind, value = self._call.talk(say)
        try:
            if kind is Kind.ERROR:
                raise presentable(value)
            return value
        finally:
            del value


@contextmanager
def manage(manager: AbstractAsyncContextManager[Any], wrap: Callable[[Any], Any] | None = None) -> Iterator[Any]:
    """Use an async context manager in a `with` block."""
    entered = Entered(manager)
    value = entered.enter()
    try:
        yield value if wrap is None else wrap(value)
    except BaseException as error:
        if not entered.exit(type(error), error, error.__traceback__):
            raise
    else:
        entered.exit(None, None, None)

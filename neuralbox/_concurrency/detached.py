"""A task group in a task of its own, for what is entered and left by its user but runs in between.

A task group that a user's block holds open puts a cancel scope around whatever the user does there. If that block stands
in an async generator, the scope is open across a `yield`: its end cancels whoever goes on with the generator, and a
generator that is closed by another task (as asyncio does with one that was dropped) cannot leave it at all (PEP 789).
So the group is held by a task that is nobody's child, and its user only starts and ends it, from any task of the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import Any, NoReturn

import anyio
from anyio.abc import TaskGroup

from .per_loop import running_loop


class DetachedTaskGroup:
    """Hold a task group in a task of its own.

    Attributes:
        on_end: Called when all its tasks have ended, for whatever reason.
        ended: Set when all its tasks have ended.
        error: What ended it, if that was not `aclose`: an error of a task, or a cancellation by the event loop's end.
    """

    def __init__(self) -> None:
        self.on_end: Callable[[], None] | None = None
        self._scope: anyio.CancelScope | None = None
        self._task: object = None  # asyncio keeps its tasks weakly
        self._started = anyio.Event()
        self.ended = anyio.Event()
        self.error: BaseException | None = None

    async def start(self, begin: Callable[[TaskGroup], None]) -> None:
        """Open the group, and have `begin` start the first tasks in it; raises a cancellation where the event loop ends."""
        loop = running_loop()
        if hasattr(loop, "create_task"):
            self._task = task = loop.create_task(self._hold(begin))
            task.add_done_callback(self._finish)  # one that is cancelled before its first step never comes to its end
        else:
            from trio.lowlevel import spawn_system_task

            spawn_system_task(self._hold, begin, context=copy_context())
        await self._started.wait()
        if self._scope is None:
            raise anyio.get_cancelled_exc_class()

    async def aclose(self) -> None:
        """Cancel what runs, and return when all of it has ended, whoever is cancelled meanwhile."""
        cancelled: BaseException | None = None
        while not self.ended.is_set():
            if self._scope is not None:
                self._scope.cancel()
            try:
                with anyio.CancelScope(shield=True):
                    await (self.ended if self._started.is_set() else self._started).wait()
            except anyio.get_cancelled_exc_class() as error:  # of an asyncio task itself: no scope holds that back
                cancelled = error
        if cancelled is not None:
            raise cancelled

    def raise_error(self) -> NoReturn:
        """Raise what ended it."""
        assert self.error is not None
        raise self.error

    async def _hold(self, begin: Callable[[TaskGroup], Any]) -> None:
        try:
            async with anyio.create_task_group() as group:
                self._scope = group.cancel_scope
                begin(group)
                self._started.set()
                await anyio.sleep_forever()
        except BaseException as error:  # noqa: BLE001 - kept for whoever ends it: nobody awaits this task
            self.error = error
        finally:
            self._finish()

    def _finish(self, _task: object = None) -> None:
        self._started.set()
        self.ended.set()
        if self.on_end is not None:
            self.on_end()

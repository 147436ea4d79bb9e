"""Group commit: whoever comes first takes everybody's work to a worker thread, in one go.

There is no thread and no task of its own. Work is queued; the first caller that has to wait leads: it yields once, so
that all who are ready join, and carries the whole queue through one call of `work` in a worker thread. What is queued
meanwhile is the next group, led by one of its own callers: leadership is passed on when a group has been through, and
when a leader leaves for whatever reason. So there is never more than one group under way, and they go in order.

Cancellation. A group under way is never interrupted. A cancel scope is kept out until it is through; a cancelled
asyncio task cannot be held, so there the thread itself tells the loop when it is done, and that passes the lead on. Who
is cancelled while waiting takes its work back if it is still in the queue and not to be kept.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias

import anyio
from anyio import to_thread
from anyio.lowlevel import checkpoint

_MOMENT: Final = 0.05
"""Seconds for which an end without anybody may hold up the event loop: a file is closed in less, a database may be away."""


class CommitWaiter:
    """Wait for an item.

    Attributes:
        done: Its group is through.
        leads: It has to lead the next group, which its item is in.
        error: What it gets to see.
    """

    __slots__ = ("done", "error", "event", "leads")

    def __init__(self) -> None:
        self.event: anyio.Event = anyio.Event()
        self.done: bool = False
        self.leads: bool = False
        self.error: Exception | None = None


class CommitItem:
    """Hold a piece of work.

    Attributes:
        keep: Whether it stays queued when its caller is cancelled and when its group fails.
        last: Whether it ends everything: it is worked on even if nobody waits for it any more.
        waiter: Who waits for it, if anybody does.
        error: Why it failed by itself although its group went through; set by `work`.
    """

    __slots__ = ("error", "keep", "last", "waiter")

    def __init__(self, *, keep: bool = False, last: bool = False) -> None:
        self.keep: bool = keep
        self.last: bool = last
        self.waiter: CommitWaiter | None = None
        self.error: Exception | None = None


class Worker(Protocol):
    """Do the work of groups."""

    def work(self, group: Sequence[CommitItem]) -> None:
        """Do a group, in a worker thread. Raising means that nothing of it was done."""
        ...

    def explain(self, item: CommitItem, error: Exception) -> Exception:
        """Build the error that this item's caller gets to see: one of its own."""
        ...

    def unheard(self, item: CommitItem, error: Exception) -> None:
        """Learn that an item failed by itself while nobody waited for it."""
        ...


class GroupCommit:
    """Queue work and let one caller lead, for one event loop.

    Attributes:
        queue: What the next group will be.
        held: How many of them were queued by `hold`.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._limiter = anyio.CapacityLimiter(1)  # the default one may be full of the user's own threads
        self._busy = False  # somebody leads, or was told to, or a group runs whose leader was cancelled
        self.queue: list[CommitItem] = []
        self.held = 0

    def hold(self, item: CommitItem) -> None:
        """Queue an item that nobody waits for; it goes with the next group."""
        self.queue.append(item)
        self.held += 1

    async def commit(self, item: CommitItem) -> None:
        """Queue an item and wait until its group is through.

        Raises:
            Exception: What `explain` made of the group's error or the item's own.
        """
        waiter = item.waiter = CommitWaiter()
        self.queue.append(item)
        try:
            if self._busy:
                await waiter.event.wait()
            else:
                self._busy = waiter.leads = True
            if waiter.leads:
                await self._lead(waiter)
        except BaseException:
            item.waiter = None
            if not (waiter.done or item.keep) and item in self.queue:
                self.queue.remove(item)
            if waiter.leads:
                self._pass_on()
            raise
        if waiter.error is not None:
            raise waiter.error

    async def _lead(self, waiter: CommitWaiter) -> None:
        await checkpoint()
        run = self._take()
        try:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(run.work, limiter=self._limiter)
        except BaseException:  # this asyncio task was cancelled, or no thread could be started
            if run.revoke():
                self.queue[:0] = run.group  # commit() passes on
            else:
                waiter.leads = False
                if not run.leave_to(asyncio.get_running_loop(), self._publish):
                    self._publish(run)
            raise
        waiter.leads = False
        self._publish(run)

    def _take(self) -> _CommitRun:
        run = _CommitRun(self._worker, self.queue)
        self.queue, self.held = [], 0
        return run

    def _publish(self, run: _CommitRun) -> None:
        """Tell everybody of a group how it went. There is no await in here: all of it is seen, or nothing."""
        if run.error is not None:
            self.queue[:0] = [item for item in run.group if item.keep and not item.last]
        for item in run.group:
            waiter, item.waiter = item.waiter, None
            error = run.error or item.error
            if waiter is not None:
                waiter.done = True
                waiter.error = None if error is None else self._worker.explain(item, error)
                waiter.event.set()
            elif item.error is not None:
                self._worker.unheard(item, item.error)
        self._pass_on()

    def _pass_on(self) -> None:
        for item in self.queue:
            if item.waiter is not None:
                self._busy = item.waiter.leads = True
                item.waiter.event.set()
                return
        self._busy = False
        if any(item.last for item in self.queue):
            # Whoever was to end everything was cancelled in a way that cannot be held back, in asyncio. It is ended all the
            # same, by a thread; an end that takes no longer than a moment is over when this returns.
            self._busy, run = True, self._take()
            thread = threading.Thread(target=run.work, name="neuralbox journal end")
            thread.start()
            thread.join(_MOMENT)
            if not run.leave_to(asyncio.get_running_loop(), self._publish):
                self._publish(run)


_Publish: TypeAlias = "Callable[[_CommitRun], None]"


class _CommitRun:
    """One group on its way through a worker thread."""

    def __init__(self, worker: Worker, group: list[CommitItem]) -> None:
        self._worker = worker
        self._lock = threading.Lock()
        self._began = self._ended = self._revoked = False
        self._heir: tuple[asyncio.AbstractEventLoop, _Publish] | None = None
        self.group = group
        self.error: Exception | None = None

    def work(self) -> None:
        with self._lock:
            if self._revoked:
                return
            self._began = True
        try:
            self._worker.work(self.group)
        except Exception as error:  # noqa: BLE001 - every caller of the group gets it, bugs as they are
            self.error = error
        with self._lock:
            self._ended = True
            heir = self._heir
        if heir is not None:
            loop, publish = heir
            try:
                loop.call_soon_threadsafe(publish, self)
            except RuntimeError:  # the loop is closed, so nobody waits any more
                return

    def revoke(self) -> bool:
        """Call the group off, unless it has begun."""
        with self._lock:
            self._revoked = not self._began
            return self._revoked

    def leave_to(self, loop: asyncio.AbstractEventLoop, publish: _Publish) -> bool:
        """Have the thread itself publish the group when it has ended; False where it has ended already."""
        with self._lock:
            if self._ended:
                return False
            self._heir = loop, publish
            return True

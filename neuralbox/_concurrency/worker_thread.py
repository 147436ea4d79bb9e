"""What must happen in a thread before a call ends, however it ends: a file that is removed, a lock that is let go."""

from __future__ import annotations

import threading
from collections.abc import Callable

from anyio import CancelScope, CapacityLimiter, get_cancelled_exc_class, to_thread


async def run_to_end(act: Callable[[], object], *, limiter: CapacityLimiter | None = None) -> None:
    """Run a function once in a worker thread and wait for its end, whoever is cancelled meanwhile; that is raised then.

    No scope holds back a cancellation of an asyncio task itself. It may come before a thread was found, so that nothing was
    done, or leave a thread that is still at it.
    """
    cancelled: BaseException | None = None
    lock, is_begun = threading.Lock(), False

    def act_once() -> None:
        nonlocal is_begun
        with lock:  # whoever comes second waits for the first
            if not is_begun:
                is_begun = True
                act()

    while True:
        try:
            with CancelScope(shield=True):
                await to_thread.run_sync(act_once, limiter=limiter)
            break
        except get_cancelled_exc_class() as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled

"""`ProcessLock`: a lock for what a whole process shares, which a forked child finds free.

Another thread may hold a plain lock at the moment of a fork, and in the child that thread does not exist: nobody is
left to release it. So the child gets a new one.
"""

from __future__ import annotations

import os
import threading


class ProcessLock:
    """A lock for a few instructions, held by `with`. Make it at import: it lives as long as the process."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):  # pragma: no branch - everywhere but on Windows
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

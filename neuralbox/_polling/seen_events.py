"""Which events were had before: the last ten thousand of them."""

from __future__ import annotations

from typing import Final

from .._concurrency.process_lock import ProcessLock

_lock = ProcessLock()
_MOST: Final = 10_000


class SeenEvents:
    """Keys of events, the oldest forgotten first; threads may share it."""

    __slots__ = ("_keys",)

    def __init__(self) -> None:
        self._keys: dict[str, None] = {}

    def add(self, key: str) -> bool:
        """Take note of an event; return whether it was new."""
        with _lock:
            if key in self._keys:
                return False
            self._keys[key] = None
            if len(self._keys) > _MOST:
                del self._keys[next(iter(self._keys))]
            return True

    def discard(self, key: str) -> None:
        """Forget an event."""
        with _lock:
            self._keys.pop(key, None)

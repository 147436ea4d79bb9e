"""`SharedAccountState`: what the clients of a process know together of one account, held by their cores.

Each feature keeps its state under its own type (`core.account.state(RateLimiter, RateLimiter)`), so this module knows
none of them. Clients of one service with the same credential, base URL and clock share one account, copies or not; it
goes with the last of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from .._concurrency.process_lock import ProcessLock

T = TypeVar("T")


class SharedAccountState:
    """The shared state of one account, by its type."""

    __slots__ = ("__weakref__", "_states")

    def __init__(self) -> None:
        self._states: dict[type, Any] = {}

    def state(self, kind: type[T], make: Callable[[], T]) -> T:
        """Return the account's state of a type, made at the first use; `make` may be called once too often."""
        state: T | None = self._states.get(kind)
        return self._states.setdefault(kind, make()) if state is None else state


_lock = ProcessLock()
_accounts: WeakValueDictionary[tuple[object, ...], SharedAccountState] = WeakValueDictionary()


def account_of(*key: object) -> SharedAccountState:
    """Return the account that is told apart by these values, made where no client holds it."""
    with _lock:
        account = _accounts.get(key)
        if account is None:
            account = _accounts[key] = SharedAccountState()
        return account

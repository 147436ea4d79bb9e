"""What is closed, and who wants to know at once: waits and throttled calls end with their client, not at their next turn.

Clients are closed with their transports, and everything that waits knows the transport it would use next. Listeners are held
weakly, and told in whichever thread the client is closed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol
from weakref import WeakKeyDictionary, WeakSet

import anyio

from .._concurrency.per_loop import call_in_loop, running_loop
from .._concurrency.process_lock import ProcessLock
from .._errors import ConfigurationError


class CloseListener(Protocol):
    """Wants to know when a client is closed."""

    def transport_closed(self, transport: object) -> None:
        """Hear that a transport was closed; may be called in any thread."""


_lock = ProcessLock()
_listeners: WeakKeyDictionary[object, WeakSet[CloseListener]] = WeakKeyDictionary()
_closed: WeakSet[object] = WeakSet()


def listen(transport: object, listener: CloseListener) -> None:
    """Tell a listener when a transport is closed; as often as one likes, it hears it once."""
    with _lock:
        _listeners.setdefault(transport, WeakSet()).add(listener)


def announce_closed(transport: object) -> None:
    """Tell all who listen that a transport is closed."""
    with _lock:
        _closed.add(transport)
        listeners = list(_listeners.get(transport, ()))
    for listener in listeners:
        listener.transport_closed(transport)


def announce_open(transport: object) -> None:
    """Take back that a transport is closed."""
    with _lock:
        _closed.discard(transport)


def is_closed(transport: object) -> bool:
    """Tell whether a transport was closed and not opened again."""
    return transport in _closed


def closed_error() -> ConfigurationError:
    """Return the error of what waited when its client was closed."""
    return ConfigurationError("The client was closed while this was waiting; make another one to go on.")


class _Pause:
    """A pause that its client's closing cuts short."""

    __slots__ = ("__weakref__", "_loop", "scope")

    def __init__(self) -> None:
        self._loop = running_loop()
        self.scope: anyio.CancelScope | None = anyio.CancelScope()

    def transport_closed(self, transport: object) -> None:  # noqa: ARG002 - each knows its own
        """End the pause, in its own loop."""
        call_in_loop(self._loop, self._end)

    def _end(self) -> None:
        if self.scope is not None:
            self.scope.cancel()


async def pause(transport: object, sleep: Callable[[float], Awaitable[None]], seconds: float) -> None:
    """Pause before something is sent by a transport.

    Raises:
        ConfigurationError: The transport was closed meanwhile.
    """
    cut_short = _Pause()
    assert cut_short.scope is not None
    listen(transport, cut_short)
    try:
        with cut_short.scope:
            if not is_closed(transport):
                await sleep(seconds)
    finally:
        cut_short.scope = None
    if is_closed(transport):
        raise closed_error()

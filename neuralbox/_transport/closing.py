"""What is closed, and who wants to know at once: waits and throttled calls end with their client, not at their next turn.

Clients are closed with their transports, and everything that waits knows the transport it would use next. Listeners are held
weakly, and told in whichever thread the client is closed.
"""

from __future__ import annotations

from typing import Protocol
from weakref import WeakKeyDictionary, WeakSet

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

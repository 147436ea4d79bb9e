"""What the servers of this package share (`gateway`, `mcp`): where they may listen, and an end that leaves the program running.

uvicorn does the HTTP. The sandbox, which needs no extra, has a server of its own.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from ipaddress import ip_address

import uvicorn


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class StoppableServer(uvicorn.Server):
    """A uvicorn that returns when it was told to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on Ctrl-C and SIGTERM and go on with the program; uvicorn would raise them again."""
        if threading.current_thread() is not threading.main_thread():  # signals reach that one alone
            yield
            return
        former = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

"""What the servers of this package share (`gateway`, `mcp`): where they may listen, and an end that leaves the program running.

uvicorn does the HTTP. The sandbox, which needs no extra, has a server of its own.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from ipaddress import ip_address

import uvicorn

from ._types import ListenError

_BACKLOG = 2_048


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(what: str, host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Args:
        what: What listens there.
        host: The address.
        port: The port; 0 takes a free one.

    Raises:
        ListenError: It cannot.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named, asyncio sends small answers without waiting for the other side's acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ListenError(error.errno, f"{what} cannot listen on {host} port {port}: {error.strerror}") from error
    return listener


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

"""Ends of a connection that HTTP has no word for: closed, reset, cut half-way.

A normal ASGI application cannot do that to its client, so the server's protocol (`_serving`) puts the transport into
the scope's state under `TRANSPORT`. Without it - the application driven in memory - the end is a `ConnectionError`
raised to the caller.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import Any, Final

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

TRANSPORT: Final = "neuralbox.sandbox.transport"


class Hangup(Response):
    """No answer: the connection is closed (FIN), or reset (RST)."""

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__()
        self._reset = reset

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        await hang_up(scope, receive, reset=self._reset)


class Silence(Response):
    """No answer and no end: wait until the client leaves."""

    async def __call__(self, _scope: Scope, receive: Receive, _send: Send) -> None:
        await until_left(receive)


class CutAnswer(Response):
    """Another answer with all its headers and half its body, then the connection is closed."""

    def __init__(self, whole: Response) -> None:
        super().__init__()
        self.status_code = whole.status_code
        self.raw_headers = whole.raw_headers  # Content-Length of the whole
        self._half = bytes(whole.body)[: len(whole.body) // 2]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self._half, "more_body": True})
        await hang_up(scope, receive)


async def hang_up(scope: Scope, receive: Receive, *, reset: bool = False) -> None:
    """Close the client's connection after what has been written; with `reset` at once, as RST."""
    transport: Any = scope.get("state", {}).get(TRANSPORT)
    if transport is None:
        raise ConnectionAbortedError("The sandbox closed the connection without an answer (a fault was asked for).")
    if reset:
        linger = struct.pack("ii", 1, 0)  # on, for no time: the kernel sends RST instead of FIN
        with suppress(OSError):  # the client has closed it already
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    else:
        transport.close()
    # The server complains of an application that ends without an answer unless the client is known to be gone.
    await until_left(receive)


async def pause(seconds: float, receive: Receive) -> bool:
    """Wait, but no longer than the client does; True if it stayed."""
    with anyio.move_on_after(seconds):
        await until_left(receive)
        return False
    return True


async def until_left(receive: Receive) -> None:
    """Wait until the client has closed its connection."""
    while (await receive())["type"] != "http.disconnect":
        pass

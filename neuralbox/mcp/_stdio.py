"""Serving one client over standard input and output, until it closes the input or the process is told to stop.

The SDK reads its input in a thread that nothing can wake, so a server that is told to stop would wait for the next line;
here the input is waited for by the event loop.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any, Final, cast

import anyio
from anyio.lowlevel import checkpoint
from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server

from .._errors import ConfigurationError

_PIECE: Final = 65_536
_ON_WINDOWS: Final = os.name == "nt"


async def serve_stdio(server: Server[Any]) -> None:
    """Serve standard input and output until the input ends, the reader of the output is gone, or SIGINT or SIGTERM comes.

    What is under way then is cancelled: nothing that was sent is lost or paid twice, since the journal knows it.

    Args:
        server: As `build_server` returns it.

    Raises:
        ConfigurationError: One of them is closed.
    """
    if sys.stdin is None or sys.stdout is None:
        raise ConfigurationError(
            "The server of tools speaks over standard input and output, and one of them is closed."
        )
    async with anyio.create_task_group() as group:
        lines = None  # the SDK reads: Windows waits for sockets only, and has no such signals
        if not _ON_WINDOWS:
            group.start_soon(stop_on_signal, group.cancel_scope)
            # It is only iterated over; the SDK names the one class it makes itself.
            lines = cast("anyio.AsyncFile[str]", read_lines(sys.stdin.fileno()))
        try:
            async with stdio_server(stdin=lines) as (reading, writing):
                await server.run(reading, writing, server.create_initialization_options())
        except* (BrokenPipeError, anyio.BrokenResourceError):  # the client has left
            pass
        group.cancel_scope.cancel()


async def stop_on_signal(scope: anyio.CancelScope) -> None:
    """Cancel a scope at the first SIGINT or SIGTERM; the second one ends the process as ever."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            break
    scope.cancel()


async def read_lines(descriptor: int) -> AsyncIterator[str]:
    """Iterate over the lines of a pipe, socket, terminal or file, as text in UTF-8; what is none is replaced."""
    rest = b""
    while True:
        try:
            await anyio.wait_readable(descriptor)
        except PermissionError:  # a file, or the null device: those never keep a reader waiting
            await checkpoint()
        piece = os.read(descriptor, _PIECE)
        if not piece:
            return
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace")

"""Serving a gateway until Ctrl-C or SIGTERM, on loopback unless told otherwise.

uvicorn does the HTTP. A stop is in good order: no new connection, and answers under way and what is on its way to the
service get their time; then the gateway stops, and whoever still waits is told by it what became of the call. A second
Ctrl-C gives no more time.
"""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Awaitable, Callable
from math import ceil
from typing import Any

import anyio
import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from .._errors import ConfigurationError, NeuralBoxError
from .._listening import StoppableServer, is_loopback, listen
from ._app import Gateway

_LAST_WORDS = 5
"""Seconds for what is still to be written when the gateway has stopped; uvicorn ends it then."""
_PAUSE = 0.1


class GatewayServer:
    """A gateway that listens, to be served by whoever has a thread for it.

    Args:
        gateway: What to serve.
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one.
        allow_remote: Listen on an address that is not loopback. There is no TLS here: put a proxy in front.

    Attributes:
        url: The base URL for openai's clients.

    Raises:
        ConfigurationError: The address is not a loopback one.
        OSError: It cannot listen there.
    """

    def __init__(
        self, gateway: Gateway, *, host: str = "127.0.0.1", port: int = 8787, allow_remote: bool = False
    ) -> None:
        self._gateway = gateway
        self._listener = _listen(host, port, allow_remote=allow_remote)
        shown = f"[{host}]" if ":" in host else host
        self.url: str = f"http://{shown}:{self._listener.getsockname()[1]}/v1"
        self._server = _GatewayHttpServer(gateway)

    def run(
        self,
        announce: Callable[[str], object] = lambda _: None,
        *,
        close: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """Serve until `stop`, Ctrl-C or SIGTERM.

        Args:
            announce: Called with the base URL when it is ready.
            close: Awaited at the end, after the gateway has stopped.

        Raises:
            JournalError: The journal cannot be used.
        """
        with self._listener:
            anyio.run(self._serve, announce, close)

    def stop(self) -> None:
        """Ask it to stop, from any thread."""
        self._server.should_exit = True

    async def _serve(self, announce: Callable[[str], object], close: Callable[[], Awaitable[object]] | None) -> None:
        has_frozen_before = gc.get_freeze_count() > 0  # the program that runs this
        try:
            await self._gateway.start()
            gc.collect()
            gc.freeze()  # what is loaded by now stays: no collection need look at it again
            announce(self.url)
            await self._server.serve(sockets=[self._listener])
        finally:
            if not has_frozen_before:
                gc.unfreeze()
            with anyio.CancelScope(shield=True):
                try:
                    await self._gateway.aclose()
                finally:
                    if close is not None:
                        await close()


class _GatewayHttpServer(StoppableServer):
    """A uvicorn that has its gateway stop while it can still answer for it."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(
            uvicorn.Config(
                gateway,
                http=_WritingAtOnce,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=ceil(gateway.grace) + _LAST_WORDS,
            )
        )
        self._gateway = gateway
        self._failure: NeuralBoxError | None = None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and answer those that there are."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._stop_gateway)
            await super().shutdown(sockets)
        if self._failure is not None:
            raise self._failure

    async def _stop_gateway(self) -> None:
        with anyio.move_on_after(self._gateway.grace):
            # uvicorn has no event for this, and looks as often itself.
            while not self.force_exit and (self._gateway.is_sending or self._is_answering):  # noqa: ASYNC110
                await anyio.sleep(_PAUSE)
        try:
            await self._gateway.aclose(grace=0.0)
        except NeuralBoxError as error:  # those who wait are answered all the same
            self._failure = error

    @property
    def _is_answering(self) -> bool:
        return bool(self.server_state.connections or self.server_state.tasks)


def _listen(host: str, port: int, *, allow_remote: bool) -> socket.socket:
    if not allow_remote and not is_loopback(host):
        raise ConfigurationError(
            f"{host} is not a loopback address: whoever reaches the gateway can try keys, and there is no TLS. "
            "`--allow-remote` listens there all the same."
        )
    return listen("The gateway", host, port)


class _WritingAtOnce(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # one of two classes, by what is installed
    """uvicorn's HTTP/1.1, which writes once a turn of the loop."""

    def connection_made(self, transport: Any) -> None:
        held: Any = _HeldTransport(transport)
        super().connection_made(held)


class _HeldTransport:
    """A transport that keeps what is written until the turn of the loop ends: head and body of an answer leave together."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.is_closing = transport.is_closing  # asked after each answer
        self._loop = asyncio.get_running_loop()
        self._held: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write with the next turn."""
        if not self._held:
            self._loop.call_soon(self._write)
        self._held.append(data)

    def close(self) -> None:
        """Write what is kept, and close."""
        self._write()
        self._transport.close()

    def _write(self) -> None:
        if self._held:
            self._transport.write(b"".join(self._held))
            self._held.clear()

"""Serving over streamable HTTP, on this machine, or elsewhere to those who have the token.

The SDK does the protocol, and refuses requests that a web page sends through a name of its own (DNS rebinding). Whoever
may call spends the operator's tokens: so an address that others can reach needs a token.
"""

from __future__ import annotations

import hmac
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

import uvicorn
from mcp.server.lowlevel.server import Server

from .._errors import ConfigurationError
from .._listening import StoppableServer, is_loopback, listen

PATH = "/mcp"
GRACE = 3
"""Seconds that answers under way get when the server stops; then they are cancelled."""

_Message: TypeAlias = MutableMapping[str, Any]
AsgiApp: TypeAlias = Callable[
    [_Message, Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]], Awaitable[None]
]


def http_app(server: Server[Any], *, host: str = "127.0.0.1", token: str | None = None) -> AsgiApp:
    """Return an ASGI application that serves streamable HTTP at `/mcp`, to be run or mounted; it needs its lifespan.

    Args:
        server: As `build_server` returns it.
        host: Where it will listen. On a loopback address, requests for other hosts are refused.
        token: What a client must send as `Authorization: Bearer ...`; None for nothing.

    Raises:
        ConfigurationError: The address is not loopback, and there is no token.
    """
    if token is None and not is_loopback(host):
        raise ConfigurationError(
            f"{host} can be reached from elsewhere, where everybody could spend your tokens: set NEURALBOX_MCP_TOKEN."
        )
    app: AsgiApp = server.streamable_http_app(streamable_http_path=PATH, host=host)
    return app if token is None else _guarded(app, token)


async def serve_http(
    server: Server[Any],
    *,
    host: str = "127.0.0.1",
    port: int = 8766,
    token: str | None = None,
    announce: Callable[[str], object],
) -> None:
    """Serve streamable HTTP until SIGINT or SIGTERM; asyncio only.

    Args:
        server: As `build_server` returns it.
        host: Address to listen on.
        port: Port; 0 takes a free one.
        token: See `http_app`.
        announce: Called with the address once it listens.

    Raises:
        ConfigurationError: The address is not loopback, and there is no token.
        OSError: It cannot listen there.
    """
    app = http_app(server, host=host, token=token)
    with listen("The server of tools", host, port) as listener:
        shown = f"[{host}]" if ":" in host else host
        running = _HttpServer(app, f"http://{shown}:{listener.getsockname()[1]}{PATH}", announce)
        await running.serve(sockets=[listener])


class _HttpServer(StoppableServer):
    """A server that tells when it listens."""

    def __init__(self, app: AsgiApp, url: str, announce: Callable[[str], object]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE,
            )
        )
        self._url = url
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._announce(self._url)  # first: where nobody can be told, nothing has begun that would complain of its end
        await super().startup(sockets)


def _guarded(app: AsgiApp, token: str) -> AsgiApp:
    wanted = f"Bearer {token}".encode()

    async def guarded(
        scope: _Message, receive: Callable[[], Awaitable[_Message]], send: Callable[[_Message], Awaitable[None]]
    ) -> None:
        if scope["type"] == "http":
            given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
            if not hmac.compare_digest(given, wanted):
                headers = [(b"www-authenticate", b"Bearer"), (b"content-length", b"0")]
                await send({"type": "http.response.start", "status": 401, "headers": headers})
                await send({"type": "http.response.body", "body": b""})
                return
        await app(scope, receive, send)

    return guarded

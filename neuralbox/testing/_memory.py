"""A transport whose other side is the sandbox in this very process: no socket, no thread, no real time.

The application runs until its answer is whole, then the client reads it; so who leaves a stream early is not noticed
by the sandbox, whose generations do not depend on their client anyway. The ends that HTTP has no word for (a
connection closed, reset, cut half-way, silent) are told as httpx tells them of a socket.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import anyio
import httpx

from ..sandbox import Sandbox
from ..sandbox._server.connection import TRANSPORT
from ._time import VirtualTime


class MemoryTransport(httpx.AsyncBaseTransport):
    """Answers every request by the sandbox.

    Args:
        sandbox: The other side.
        time: Virtual time; its clock does not jump while an answer is being made.

    Attributes:
        open: Exchanges that have not ended: no answer yet, or one that is not read and not closed.
    """

    def __init__(self, sandbox: Sandbox, time: VirtualTime) -> None:
        self.open = 0
        self._sandbox, self._time = sandbox, time

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.open += 1
        try:
            body = await request.aread()
            exchange = _MemoryExchange(request, body, self._time)
            await self._carry_out(exchange, request.extensions.get("timeout", {}).get("read"))
            reply = exchange.reply(self)
        except BaseException:
            self.open -= 1
            raise
        return reply

    async def _carry_out(self, exchange: _MemoryExchange, limit: float | None) -> None:
        async def run() -> None:
            with self._time.busy():
                await self._sandbox.app(exchange.scope, exchange.receive, exchange.send)
            exchange.ended.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            if limit is None:
                await exchange.ended.wait()
            else:
                await self._time.wait_until(exchange.ended, limit)
            exchange.left.set()


class _MemoryExchange:
    """One request, the application's side of it, and what became of it."""

    def __init__(self, request: httpx.Request, body: bytes, time: VirtualTime) -> None:
        url = request.url
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": url.scheme,
            "path": url.path,
            "raw_path": url.raw_path.partition(b"?")[0],
            "query_string": url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": ("127.0.0.1", 1),
            "server": (url.host, url.port or 80),
            "state": {TRANSPORT: self},
        }
        self.ended, self.left = anyio.Event(), anyio.Event()
        self._request, self._body, self._time = request, [body], time
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._failure: httpx.TransportError | None = None

    # What the application is given.

    async def receive(self) -> MutableMapping[str, Any]:
        if self._body:
            return {"type": "http.request", "body": self._body.pop(), "more_body": False}
        with self._time.idle():
            await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], list(message["headers"])
        elif piece := message.get("body"):
            self._pieces.append(piece)

    # What the sandbox does to a connection (see `sandbox/_server/connection.py`).

    def close(self) -> None:
        said = "Server disconnected without sending a response."
        if self._status:
            said = "peer closed connection without sending complete message body"
        self._failure = httpx.RemoteProtocolError(said, request=self._request)
        self.left.set()

    def abort(self) -> None:
        self._failure = httpx.ReadError("Connection reset by peer", request=self._request)
        self.left.set()

    def get_extra_info(self, _name: str) -> _MemoryExchange:
        return self

    def setsockopt(self, *_: object) -> None:
        """Ignore options: a connection in memory has none."""

    # What the client is given.

    def reply(self, transport: MemoryTransport) -> httpx.Response:
        if not self.ended.is_set() or not self._status:
            raise self._failure or httpx.ReadTimeout("The sandbox does not answer.", request=self._request)
        body = _Body(self._pieces, self._failure, transport)
        return httpx.Response(self._status, headers=self._headers, stream=body, request=self._request)


class _Body(httpx.AsyncByteStream):
    """An answer while it is read; the connection ends with its block."""

    def __init__(self, pieces: list[bytes], failure: Exception | None, transport: MemoryTransport) -> None:
        self._pieces, self._failure, self._transport = pieces, failure, transport
        self._is_open = True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            await anyio.lowlevel.checkpoint()
            yield piece
        if self._failure is not None:
            raise self._failure

    async def aclose(self) -> None:
        if self._is_open:
            self._is_open = False
            self._transport.open -= 1

"""The sockets under aiohttp: its own connector and session, with the little that they leave open closed.

What is added, and why (aiohttp 3.14):

- **Closing a connection cuts it.** aiohttp closes with `transport.close()`, which first sends what is still to be sent:
  to a server that has stopped reading, the rest of a cancelled upload stays in memory, with its socket, for as long as
  the server pleases; with TLS the good-bye waits for its answer too. HTTP's framing already tells where a reply ends.
- **Closing the session ends those who wait.** aiohttp forgets a reply that is being read before it closes the
  connection under it, and its reader waits for ever; connections that are being made go on.
- **An interim reply does not end the limit for reading.** aiohttp drops it with every reply that has no body, and would wait
  for ever for the one that a 103 announces.
- **Nothing is repeated.** aiohttp sends GET, PUT and DELETE a second time when a connection breaks; whether to repeat
  is decided above, where it is counted and logged.
- **Names are looked up by the system.** Where aiodns happens to be installed, aiohttp asks it instead, past /etc/hosts.
- **A connection with unread bytes is not used again.** aiohttp reads idle connections, and takes a second reply, or half
  of one, for the answer to the next request.
- **A connection the server has closed is not used again.** aiohttp knows of it one turn of the loop later; a request
  written meanwhile would be one whose outcome is unknown, where in truth it never left.
- **TCP keep-alive** with our intervals on every connection, proxied ones included (aiohttp leaves the system's two hours).
- **No limit of aiohttp's own.** The slots in front count; a queue behind it could only stall. An idle time of 0 or
  without end is given in the words aiohttp understands (it would keep the one for ever and fail on the other).
"""

from __future__ import annotations

import asyncio
import functools
import math
import select
import socket
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Final
from weakref import WeakSet

import aiohttp
import anyio
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict

from ..errors import too_slow
from ..httpcore2.network import KEEPALIVE
from ..private_hosts import PeerGuard
from ..sent_trace import SentTrace

# Bytes of one line of a reply's head: what h11 allows for the whole of it, and more than the 8 KB of aiohttp, since
# storage hosts answer with long signed addresses.
_LONGEST_LINE: Final = 65536
# Turns of the loop after which a connection that was cut has given its socket back: one for plain TCP, two for TLS.
_TURNS: Final = 4

outgoing: Final[ContextVar[tuple[CIMultiDict[str], SentTrace | None, float | None] | None]] = ContextVar(
    "outgoing", default=None
)
"""The headers, the trace and the total limit of the request that the running task sends."""


class AiohttpNetwork:
    """A session of aiohttp's for one event loop, and every socket it has opened.

    Args:
        keepalive_expiry: Seconds an idle connection is kept.
        guard: Judges the addresses that connections lead to.
    """

    def __init__(self, *, keepalive_expiry: float, guard: PeerGuard) -> None:
        self._guard = guard
        self.closed = False
        self.connections: WeakSet[AiohttpConnection] = WeakSet()
        self._sockets: WeakSet[socket.socket] = WeakSet()
        at_once = keepalive_expiry == 0
        self.connector = aiohttp.TCPConnector(
            limit=0,
            resolver=aiohttp.ThreadedResolver(),
            socket_factory=self._socket,
            force_close=at_once,
            keepalive_timeout=None if at_once or math.isinf(keepalive_expiry) else keepalive_expiry,
        )
        # Private, as is the next: a release that renames them fails in the tests, not at a user's.
        connector: Any = self.connector
        connector._factory = functools.partial(AiohttpConnection, self, loop=asyncio.get_running_loop())
        self.session = aiohttp.ClientSession(
            connector=self.connector,
            request_class=FastRequest,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
        )
        self.session._retry_connection = False

    @property
    def open_sockets(self) -> int:
        """Connections that are open or being made; for tests and benchmarks."""
        return sum(sock.fileno() >= 0 for sock in self._sockets)

    async def settle(self) -> None:
        """Let the loop give back the sockets of connections that were cut, whoever wants to cancel us."""
        with anyio.CancelScope(shield=True):
            for _ in range(_TURNS):
                await asyncio.sleep(0)

    async def aclose(self) -> None:
        """Close all, those that are being made included."""
        self.closed = True
        made = set()
        for connection in [*self.connections]:
            made.add(connection.descriptor)
            connection.cut()
        for sock in [*self._sockets]:
            if sock.fileno() not in made:
                with suppress(OSError):  # closed already
                    sock.shutdown(socket.SHUT_RDWR)
        await self.session.close()
        await self.settle()

    def abandon(self) -> None:
        """Close the sockets of a loop that has ended; nothing of it can be awaited any more."""
        self.closed = True
        for connection in [*self.connections]:
            if (
                connection.transport is not None
            ):  # pragma: no branch - the loop is over, and with it all that could lose it
                with suppress(RuntimeError):  # marks it as closed, and would tell the loop
                    connection.transport.abort()
        # asyncio's own list. uvloop has none, and closes its handles together with the loop.
        transports: Any = getattr(self.connector._loop, "_transports", {})
        for sock in [*self._sockets]:
            lost = getattr(transports.get(sock.fileno()), "_call_connection_lost", None)
            if lost is None:  # not connected yet
                sock.close()
                continue
            with suppress(RuntimeError):  # a task that was never finished still waits on it, in the closed loop
                lost(None)
        self.session.detach()
        self.connector._close()

    def _socket(self, address: Any) -> socket.socket:
        family, kind, protocol, _, (host, *_) = address
        self._guard.check(host)
        sock = socket.socket(family, kind, protocol)
        self._sockets.add(sock)
        for option in KEEPALIVE:
            with suppress(OSError):  # a system that refuses: works without
                sock.setsockopt(*option)
        return sock


class AiohttpConnection(ResponseHandler):
    """aiohttp's protocol of one connection, which is cut rather than closed.

    Attributes:
        head_until: When the headers of the reply have to be there, by the loop's clock; None for no limit.
        host: Of the request that is under way.
    """

    def __init__(self, network: AiohttpNetwork, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._network = network
        self.descriptor = -1
        self.head_until: float | None = None
        self.host = ""
        self._poll: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.descriptor = transport.get_extra_info("socket").fileno()
        self._network.connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self.head_until is not None and self._loop.time() > self.head_until:
            self.set_exception(too_slow(self.host))
            return
        super().data_received(data)
        queued: Any = self._buffer
        if queued and self._read_timeout_handle is None and queued[-1][0][0].code < 200:
            self._reschedule_timeout()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._network.connections.discard(self)
        super().connection_lost(exc)

    def is_connected(self) -> bool:
        """Tell whether the connection can be used again; the connector asks for idle ones only."""
        return super().is_connected() and not self._is_readable() and not self._holds_unread()

    def _holds_unread(self) -> bool:
        """Tell whether something came that answers no request: whole replies are queued, the parser has half of one."""
        if self.should_close:
            return True
        parser: Any = self._parser
        if parser is None or self._waiter is not None:  # somebody reads, so it is not idle
            return False
        try:
            return parser.feed_eof() is not None
        except HttpProcessingError:  # half a reply that would be none if it were whole
            return True

    def _is_readable(self) -> bool:
        # What an idle connection has to read is its end, or answers no request of ours.
        if not hasattr(select, "poll"):  # pragma: no cover - Windows
            return bool(select.select([self.descriptor], [], [], 0)[0])
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self.descriptor, select.POLLIN)
        return bool(self._poll.poll(0))

    def close(self) -> None:
        self.abort()

    def cut(self) -> None:
        """Close the connection under whoever waits for it."""
        lost = aiohttp.ClientConnectionError("The client is closed.")
        payload = self._payload
        if payload is not None and not payload.is_eof():
            payload.set_exception(lost)
        self.set_exception(lost)
        self.abort()


class FastRequest(aiohttp.ClientRequest):
    """aiohttp's request, sent with just the headers it was given, and telling when it leaves.

    aiohttp adds Accept, Accept-Encoding (with br, which nobody here can count while it is decompressed), User-Agent
    and Content-Type; its own way of leaving them out, and of taking in those of a request, copies all of them three
    times, one by one. So they come past it, with the trace, in `outgoing`.
    """

    _skip_auto_headers = CIMultiDict({"Content-Type": None})
    _trace: SentTrace | None
    _total: float | None

    def update_headers(self, headers: Any) -> None:  # noqa: ARG002 - the session's own, of which there are none
        given = outgoing.get()
        assert given is not None
        self.headers = given[0].copy()  # aiohttp may add to them, and the same request is sent again
        self._trace, self._total = given[1:]

    def update_auto_headers(self, skip_auto_headers: Any) -> None:
        """Add none."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        # The connection is there, and not a byte has been written. aiohttp's tracing has an event near here, whose
        # name says that the headers "are sent".
        if self._trace is not None:
            self._trace.note()
        if self._total is not None:
            conn.protocol.head_until, conn.protocol.host = self.loop.time() + self._total, self.host
        return await super().send(conn)

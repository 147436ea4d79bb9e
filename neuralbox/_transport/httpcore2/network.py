"""The sockets under httpcore2: its own asyncio and trio back ends, with the little that they leave open closed.

What is added, and why:

- **Every socket is on a list**, so that closing the client closes those too that were still connecting, and so that
  the sockets of a loop that has ended can be closed without it.
- **A handshake that is cancelled closes its socket.** httpcore2 does so for errors only (its `except Exception` lets
  cancellation pass), and its SOCKS and tunnel connections not even then: `running` lets the adapter close what a
  failed request had opened.
- **Closing skips TLS's good-bye.** trio's would wait, shielded, for room in the send buffer of a server that has
  stopped reading; HTTP's framing already tells where a reply ends.
- **TCP keep-alive** on every connection, proxied ones included (httpcore2 drops `socket_options` there): a paid
  generation keeps a connection silent for minutes, and a router that forgets it would leave us waiting for nothing.
- **A connection with unread bytes is not used again.** httpcore2 asks the socket only; what h11, TLS or asyncio have
  taken off it would be read as the answer to the next request.
- **One poll object per connection.** httpcore2 asks every idle connection on every request whether the server hung
  up; through anyio's typed attributes that costs several microseconds each, kept ready it costs one.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections.abc import Iterable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from time import monotonic
from typing import Any, Final

import anyio
import httpcore2

from ..._concurrency.per_loop import running_loop
from ..errors import too_slow
from ..private_hosts import PeerGuard, PrivateAddressError


class RequestState:
    """What is known of the running request until the headers of its reply are there.

    Attributes:
        opened: The connections it opened.
        until: When the headers have to be there, by the monotonic clock; None for no limit.
        host: For messages.
    """

    __slots__ = ("host", "opened", "until")

    def __init__(self, until: float | None, host: str) -> None:
        self.opened: list[CoreConnection] = []
        self.until = until
        self.host = host


running: Final[ContextVar[RequestState | None]] = ContextVar("running", default=None)
"""The request that the running task waits for; None once its reply has begun."""


class CoreNetwork(httpcore2.AsyncNetworkBackend):
    """Opens the connections of one event loop and knows them all.

    Args:
        guard: Judges the addresses they lead to.
    """

    def __init__(self, guard: PeerGuard) -> None:
        self._guard = guard
        self._engine: httpcore2.AsyncNetworkBackend | None = None
        self.cut: type[Exception] = anyio.ClosedResourceError
        self._open: set[httpcore2.AsyncNetworkStream] = set()
        self._closed = False

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,  # noqa: ARG002 - ours come from `KEEPALIVE`
    ) -> CoreConnection:
        if self._engine is None:
            self._engine, self.cut = _engine()
        if port > 65535:  # asyncio would let an OverflowError out of a task group
            raise httpcore2.ConnectError("Not a port.")
        try:
            tcp = await self._engine.connect_tcp(host, port, timeout=timeout, local_address=local_address)
        except UnicodeError as exc:  # a label of 64 letters
            raise httpcore2.ConnectError("Not a host name.") from exc
        self._open.add(tcp)  # no await between the connection and the list
        connection = CoreConnection(tcp, tcp, self)
        if (state := running.get()) is not None:
            state.opened.append(connection)
        if self._closed:  # the client was closed while we connected; the adapter closes what was opened
            raise httpcore2.ConnectError("The client is closed.")
        peer = tcp.get_extra_info("server_addr")
        if peer is None:  # on asyncio; on trio asking raises: the other side has reset it before anything was sent
            raise httpcore2.ConnectError("The connection was reset at once.")
        try:
            self._guard.check(peer[0])
        except PrivateAddressError as exc:
            raise httpcore2.ConnectError("Private address") from exc
        for option in KEEPALIVE:
            with suppress(OSError):  # not a TCP socket, or a system that refuses: works without
                tcp.get_extra_info("socket").setsockopt(*option)
        return connection

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    @property
    def open_sockets(self) -> int:
        """Connections that are open or opening their TLS; for tests and benchmarks."""
        return len(self._open)

    async def forget(self, tcp: httpcore2.AsyncNetworkStream) -> None:
        """Close one connection, whoever wants to cancel us: it is local and does not wait for the network."""
        self._open.discard(tcp)
        with anyio.CancelScope(shield=True):
            await tcp.aclose()

    async def aclose(self) -> None:
        """Close all, those that are still connecting as soon as they are there."""
        self._closed = True
        for tcp in list(self._open):
            await self.forget(tcp)

    def abandon(self) -> None:
        """Close the sockets of a loop that has ended; nothing of it can be awaited any more."""
        for tcp in self._open:
            _close_without_loop(tcp)
        self._open.clear()


class CoreConnection(httpcore2.AsyncNetworkStream):
    """One connection, plain or with TLS on top.

    Attributes:
        tcp: The connection at the bottom; without TLS the one that reads and writes.
        has_leftover: More came than the answer to a request; what it is nobody knows, so no other request may follow.
    """

    def __init__(
        self, top: httpcore2.AsyncNetworkStream, tcp: httpcore2.AsyncNetworkStream, network: CoreNetwork
    ) -> None:
        self._top = top
        self.tcp = tcp
        self._network = network
        self.has_leftover = False
        self._socket: Any = tcp.get_extra_info("socket")
        self._poll: Any = None
        self._received, self._tls = _buffers_of(top)

    # `read` and `write` return the coroutine of the layer below: an `async def` here would add its own frame to
    # every step of every read.

    def read(self, max_bytes: int, timeout: float | None = None) -> Any:
        state = running.get()
        if state is not None and state.until is not None and monotonic() > state.until:
            raise too_slow(state.host)
        return self._top.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> Any:
        return self._top.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._network.forget(self.tcp)

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> CoreConnection:
        try:
            secure = await self._top.start_tls(ssl_context, server_hostname, timeout)
        except BaseException as exc:  # cancellation above all
            await self.aclose()
            if isinstance(exc, self._network.cut):  # by `CoreNetwork.aclose`; httpcore2 does not map it here
                raise httpcore2.ConnectError("The client is closed.") from exc
            raise
        return CoreConnection(secure, self.tcp, self._network)

    def holds_unread(self) -> bool:
        """Tell whether bytes were taken off the socket that nobody has read: those it does not show as readable."""
        return bool(self._received) or (
            bool(self._tls) and any(incoming.pending or tls.pending() for incoming, tls in self._tls)
        )

    def get_extra_info(self, info: str) -> Any:
        return self._is_readable() if info == "is_readable" else self._top.get_extra_info(info)

    def _is_readable(self) -> bool:
        """Tell whether an idle connection has something to read: its end, or what answers no request of ours."""
        descriptor = self._socket.fileno()
        if descriptor < 0 or self.has_leftover:  # closed underneath us; its number may already be somebody else's
            return True
        if self._poll is None:
            if not hasattr(select, "poll"):  # pragma: no cover - Windows
                return bool(self._top.get_extra_info("is_readable"))
            self._poll = select.poll()
            self._poll.register(descriptor, select.POLLIN)
        return bool(self._poll.poll(0))


def _buffers_of(stream: Any) -> tuple[Sequence[bytes], Sequence[tuple[Any, Any]]]:
    """Find where the layers of a connection keep what they have taken off the socket.

    anyio's asyncio streams keep what was more than asked for (asyncio receives up to 256 KB), TLS whole and half records;
    trio's plain streams keep nothing. Private attributes, guarded by the tests of leftover bytes.
    """
    received: Sequence[bytes] = ()
    tls: list[tuple[Any, Any]] = []
    layer = getattr(stream, "_stream", None)
    while layer is not None:
        incoming = getattr(layer, "_read_bio", None) or getattr(layer, "_incoming", None)  # anyio's, trio's
        if incoming is not None:
            tls.append((incoming, layer._ssl_object))
        received = getattr(getattr(layer, "_protocol", None), "read_queue", ())
        layer = getattr(layer, "transport_stream", None)
    return received, tls


def _engine() -> tuple[httpcore2.AsyncNetworkBackend, type[Exception]]:
    """Choose httpcore2's back end for the running loop, and what it raises on a stream closed by another task."""
    # Any: where a back end's library is missing, httpcore2 puts a placeholder there that is not one.
    backend: Any
    cut: type[Exception]
    if isinstance(running_loop(), asyncio.AbstractEventLoop):
        backend, cut = httpcore2.AnyIOBackend(), anyio.ClosedResourceError
    else:
        import trio

        backend, cut = httpcore2.TrioBackend(), trio.ClosedResourceError
    return backend, cut


def _keepalive_options() -> list[tuple[int, int, int]]:
    """First probe after 60 s of silence, then every 30 s; given up after the fifth without an answer."""
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    # macOS calls the first one TCP_KEEPALIVE; Windows has them since Python 3.7 and Windows 10.
    for names, value in ((("TCP_KEEPIDLE", "TCP_KEEPALIVE"), 60), (("TCP_KEEPINTVL",), 30), (("TCP_KEEPCNT",), 5)):
        found = next((getattr(socket, name) for name in names if hasattr(socket, name)), None)
        if found is not None:  # pragma: no branch - every system of the tests has all three
            options.append((socket.IPPROTO_TCP, found, value))
    return options


KEEPALIVE: Final = _keepalive_options()


def _close_without_loop(tcp: Any) -> None:
    """Close a socket whose loop is gone: no ResourceWarning later, no "Event loop is closed" now.

    Neither library has a public way, so this reads private attributes, and gives up quietly where they are different.
    """
    transport = getattr(getattr(tcp, "_stream", None), "_transport", None)
    if transport is None:
        # trio: `close` would tell the running loop, which is none or another one; detaching does not.
        socket.close(tcp.get_extra_info("socket").detach())
        return
    # asyncio: `close` and `abort` schedule this very call on the loop. uvloop has no such method, and closes its
    # handles together with the loop.
    lost = getattr(transport, "_call_connection_lost", None)
    if lost is not None and getattr(transport, "_sock", None) is not None:
        with suppress(RuntimeError):  # a task that was never finished still waits on it, in the closed loop
            lost(None)

"""One exchange over an httpcore2 pool, in httpx's terms; the part of the adapter that imports httpcore2.

A failed exchange closes what it had opened, whatever httpcore2 (2.16) makes of it. Cancelled in the middle of a tunnel
or SOCKS handshake, its pool forgets the connection without closing it; cancelled after connecting and before sending,
or between a tunnel's CONNECT and its TLS, the connection stays in the pool for ever, in no state in which anybody would
use or drop it, and its slot is lost. Closing is always right with HTTP/1.1, where a connection that was opened for a
request that failed is never used again.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from time import monotonic
from types import MappingProxyType
from typing import Any, Final, cast

import h11
import httpcore2
import httpx

from ..fast_httpx import FastHeaders, FastResponse
from .logs import keep_secrets_out_of_logs
from .network import CoreConnection, CoreNetwork, RequestState, running

TABLE: Final = MappingProxyType[type[Exception], type[httpx.TransportError]](
    {
        httpcore2.ConnectTimeout: httpx.ConnectTimeout,
        httpcore2.PoolTimeout: httpx.PoolTimeout,
        httpcore2.ReadTimeout: httpx.ReadTimeout,
        httpcore2.WriteTimeout: httpx.WriteTimeout,
        httpcore2.TimeoutException: httpx.TimeoutException,
        httpcore2.ConnectError: httpx.ConnectError,
        httpcore2.ReadError: httpx.ReadError,
        httpcore2.WriteError: httpx.WriteError,
        httpcore2.NetworkError: httpx.NetworkError,
        httpcore2.ProxyError: httpx.ProxyError,
        httpcore2.UnsupportedProtocol: httpx.UnsupportedProtocol,
        httpcore2.LocalProtocolError: httpx.LocalProtocolError,
        httpcore2.RemoteProtocolError: httpx.RemoteProtocolError,
        httpcore2.ProtocolError: httpx.ProtocolError,
        # Means "choose another connection" inside the pool, which does so.
        httpcore2.ConnectionNotAvailable: httpx.PoolTimeout,
        # httpcore2 maps h11's where it writes the head, not where it writes the body.
        h11.LocalProtocolError: httpx.LocalProtocolError,
        h11.RemoteProtocolError: httpx.RemoteProtocolError,
    }
)
"""httpcore2's exceptions (and h11's below it), most special first, and httpx's."""

_FAILURES: Final = tuple(TABLE)
_CONVERTED: Final = "neuralbox.converted"
_READ_BY_CORE: Final = frozenset({"timeout", "trace", "sni_hostname", "target"})


def open_pool(
    network: CoreNetwork,
    *,
    size: int,
    keepalive_expiry: float,
    tls: ssl.SSLContext | None,
    proxy: httpx.Proxy | None,
) -> httpcore2.AsyncConnectionPool:
    """Make a pool for one scheme. It never repeats anything by itself: that is decided above, by what is safe."""
    keep_secrets_out_of_logs()
    return httpcore2.AsyncConnectionPool(
        ssl_context=tls,
        proxy=None if proxy is None else _proxy(proxy),
        max_connections=size,
        max_keepalive_connections=None,
        keepalive_expiry=keepalive_expiry,
        retries=0,
        network_backend=network,
    )


async def exchange(pool: httpcore2.AsyncConnectionPool, request: httpx.Request) -> httpx.Response:
    """Send a request and return its reply with the body unread."""
    total = request.extensions["timeout"].get("total")
    state = RequestState(None if total is None else monotonic() + total, request.url.host)
    running.set(state)
    try:
        reply = await pool.handle_async_request(_to_core(request))
    except BaseException as exc:
        if state.opened:
            await _discard(pool, state.opened)
        if isinstance(exc, _FAILURES):
            raise _to_httpx(exc) from exc
        raise
    finally:
        running.set(None)  # a token could not be reset where a task that was never finished is collected
    return FastResponse(
        reply.status,
        FastHeaders.of(reply.headers),
        PooledBody(cast("AsyncIterator[bytes]", reply.stream)),
        reply.extensions,
    )


async def _discard(pool: httpcore2.AsyncConnectionPool, opened: list[CoreConnection]) -> None:
    for made in opened:
        await made.aclose()
    sockets = {made.tcp for made in opened}
    for connection in pool.connections:
        if _socket_of(connection) in sockets:
            await connection.aclose()  # marks it closed, so that the pool drops it


def _socket_of(connection: Any) -> Any:
    """Find the socket at the bottom of a pool's connection; private attributes, guarded by the tests of cancellation."""
    while (inner := getattr(connection, "_connection", None)) is not None:
        connection = inner
    return getattr(getattr(connection, "_network_stream", None), "tcp", None)


class PooledBody(httpx.AsyncByteStream):
    """The body of a reply, as an object rather than a generator.

    A generator that is dropped half-way (a reply that is too long, a stream that is left early) is finished by the
    garbage collector in a task of its own; here `aclose` ends httpcore2's generators where it stands.
    """

    __slots__ = ("_pieces", "_stream")

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._pieces: AsyncGenerator[bytes] | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        if self._pieces is None:  # every `async for` asks again, and goes on where the last one stopped
            self._pieces = self._stream.__aiter__()
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self._pieces.__anext__()  # type: ignore[union-attr]  # set by __aiter__
        except _FAILURES as exc:
            raise _to_httpx(exc) from exc

    async def aclose(self) -> None:
        try:
            if self._pieces is not None:
                await self._pieces.aclose()
        finally:
            # What came after the end (a 204 with a body, a body longer than announced, a second reply) must never be
            # read as the answer to the next request, which may be a paid one. Private names, guarded by the tests of
            # leftover bytes.
            connection = self._stream._stream._connection
            network = connection._network_stream
            if connection._h11_state.trailing_data[0] or network.holds_unread():
                network.has_leftover = True
            await self._stream.aclose()


# Between the two vocabularies...


def _to_core(request: httpx.Request) -> httpcore2.Request:
    """Convert a request, once: a poll is sent over and over, and our client has no hook that could change it."""
    known: httpcore2.Request | None = request.extensions.get(_CONVERTED)
    if known is not None:
        return known
    url = request.url
    converted = request.extensions[_CONVERTED] = httpcore2.Request(
        method=request.method,
        url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=request.headers.raw,
        content=cast("AsyncIterator[bytes]", request.stream),
        extensions={name: value for name, value in request.extensions.items() if name in _READ_BY_CORE},
    )
    return converted


def _to_httpx(exc: Exception) -> httpx.TransportError:
    kind = next(ours for theirs, ours in TABLE.items() if isinstance(exc, theirs))
    return kind(str(exc))


def _proxy(proxy: httpx.Proxy) -> httpcore2.Proxy:
    url = proxy.url
    return httpcore2.Proxy(
        url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        auth=proxy.raw_auth,
        headers=proxy.headers.raw,
        ssl_context=proxy.ssl_context,
    )

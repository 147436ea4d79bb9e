"""aiohttp under httpx, for `transport="aiohttp"` (the `speed` extra): httpx-aiohttp's transport, made safe to pay with.

Its session and connector are our own (`network`), and so are its table of exceptions (`errors`) and its bodies
(`bodies`); each says which defect forced it. Here (httpx-aiohttp 0.2.0):

- **The limit for connecting covers all of it**: looking up the name, TLS, and the proxy's answer. httpx-aiohttp's covers
  each address and the TLS anew and leaves the other two without a limit; its `pool` limit, which we do not have, is
  the one that aiohttp understands as "connect". A limit of 0 is not "none".
- **A request that failed has given its socket back when it says so**: aiohttp closes it a turn of the loop later.
- **Nothing is prepared twice.** A poll sends one request over and over: its URL, headers and limits are converted once.
- **A user name in the URL is left out**, as the default engine does; aiohttp refuses it beside an Authorization header.
- **Proxies**: their password travels in a header, since aiohttp warns of its own argument for it at each request. They are
  chosen by httpx's rules, never by aiohttp's, whose `trust_env` also reads ~/.netrc. SOCKS is not understood.
- **Certificates are loaded at the first https request**, not with the transport.
- **Tests are noticed**: where somebody has replaced httpx's stock transport, the request goes there (`mock_detection`).
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, cast

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport as BaseTransport
from multidict import CIMultiDict
from yarl import URL

from ..._concurrency.per_loop import running_loop
from ..._errors import APITimeoutError, ConfigurationError
from ..fast_httpx import FastHeaders, FastResponse
from ..mock_detection import StockTransport, are_originals
from ..private_hosts import PeerGuard
from ..sent_trace import SentTrace
from .bodies import ReplyBody, RequestBody
from .errors import FAILURES, cause_of, to_httpx
from .network import AiohttpNetwork, outgoing

_CONVERTED: Final = "neuralbox.aiohttp"
# aiohttp reads 0 as "no limit".
_LEAST: Final = 1e-3
_MAX_CACHED: Final = 64


class AiohttpTransport(BaseTransport):
    """One session of aiohttp's, for one event loop; the counterpart of `httpcore2.adapter.CoreTransport`.

    Args:
        size: Connections at most. The slots in front keep to it; only the stock transport, for mocks, is told.
        keepalive_expiry: Seconds an idle connection is kept.
        tls: Makes the TLS context.
        proxy: Everything goes through it.

    Raises:
        ConfigurationError: The loop is not asyncio's, or the proxy speaks SOCKS.
    """

    def __init__(
        self,
        *,
        size: int,
        keepalive_expiry: float,
        tls: Callable[[], ssl.SSLContext],
        proxy: httpx.Proxy | None = None,
    ) -> None:
        if not isinstance(running_loop(), asyncio.AbstractEventLoop):
            raise ConfigurationError('`transport="aiohttp"` runs on asyncio only; leave it out to run on trio.')
        if proxy is not None and proxy.url.scheme.startswith("socks"):
            raise ConfigurationError(
                'The environment names a SOCKS proxy, which `transport="aiohttp"` cannot use; leave `transport` out, or '
                "pass `trust_env=False` to go without proxies."
            )
        # A context that trusts nobody, so that none is loaded; each https request brings the real one.
        super().__init__(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), proxy=proxy)
        self.network: AiohttpNetwork | None = None
        self._keepalive_expiry = keepalive_expiry
        self._tls = tls
        self._over = None if proxy is None else proxy.url.scheme
        self._through = {} if proxy is None else _through(proxy)
        self._stock = StockTransport(size=size, keepalive_expiry=keepalive_expiry, tls=tls, proxy=proxy)
        self._converted: dict[tuple[tuple[bytes, bytes], ...], CIMultiDict[str]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        extensions = request.extensions
        trace: SentTrace | None = extensions.get("trace")
        if not are_originals():
            return await self._stock.send(request)
        network = self.network or self._open()
        if network.session.closed:
            raise httpx.ConnectError("The client is closed.")
        url, headers, timeout, has_body = extensions.get(_CONVERTED) or self._convert(request)
        body = None
        if has_body:
            body = RequestBody(cast("Any", request.stream), extensions["timeout"]["write"])
        if trace is not None:
            trace.seen = True
        outgoing.set((headers, trace, extensions["timeout"]["total"]))
        try:
            reply = await network.session.request(
                request.method,
                url,
                data=body,
                timeout=timeout,
                allow_redirects=False,
                ssl=self._tls() if url.scheme == "https" or self._over == "https" else True,
                **self._through,
            )
        except (Exception, asyncio.CancelledError) as exc:  # not GeneratorExit, which may not await
            await network.settle()
            if isinstance(exc, FAILURES) and not isinstance(exc, APITimeoutError):
                raise to_httpx(exc) from cause_of(exc)
            if isinstance(exc, asyncio.CancelledError) and network.closed and not _is_cancelled():
                # aiohttp cancels name resolution when it is closed, and with them, by mistake, those who wait for one.
                raise httpx.ConnectError("The client is closed.") from None
            raise
        finally:
            outgoing.set(None)
        connection: Any = reply._protocol
        connection.head_until = None  # what follows has other limits
        return FastResponse(reply.status, FastHeaders.of(reply.raw_headers), ReplyBody(reply, network), _EXTENSIONS)

    def _open(self) -> AiohttpNetwork:
        # Not with the transport: a session that nobody used would still ask to be closed.
        guard = PeerGuard(sees_peers=self._over is None)
        network = self.network = AiohttpNetwork(keepalive_expiry=self._keepalive_expiry, guard=guard)
        self.client = network.session
        return network

    def _convert(self, request: httpx.Request) -> tuple[URL, CIMultiDict[str], aiohttp.ClientTimeout, bool]:
        url = request.url
        headers = self._headers(request)
        if self._over is not None and url.scheme == "http" and _AUTHORIZATION in self._through["proxy_headers"]:
            headers = headers.copy()
            headers[_AUTHORIZATION] = self._through["proxy_headers"][_AUTHORIZATION]
        limits = request.extensions["timeout"]
        converted = request.extensions[_CONVERTED] = (
            URL(str(url.copy_with(username=None, password=None) if url.userinfo else url), encoded=True),
            headers,
            _client_timeout(limits["connect"], limits["read"]),
            headers.get("content-length", "0") != "0",
        )
        return converted

    def _headers(self, request: httpx.Request) -> CIMultiDict[str]:
        """Convert headers; nearly all requests have the same, and whoever sends them makes a copy."""
        raw = tuple(request.headers.raw)
        known = self._converted.get(raw)
        if known is None:
            if len(self._converted) >= _MAX_CACHED:
                self._converted.clear()
            known = CIMultiDict((name.decode("ascii"), value.decode("ascii")) for name, value in raw)
            self._converted[raw] = known
        return known

    async def aclose(self) -> None:
        if self.network is not None:
            await self.network.aclose()
        await self._stock.aclose()

    def abandon(self) -> None:
        """Close the sockets without the loop they belong to, which has ended."""
        if self.network is not None:
            self.network.abandon()


_AUTHORIZATION: Final = "Proxy-Authorization"
_EXTENSIONS: Final = {"http_version": b"HTTP/1.1"}


def _through(proxy: httpx.Proxy) -> dict[str, Any]:
    headers = CIMultiDict((name, value) for name, value in proxy.headers.items())
    if proxy.raw_auth is not None:
        headers[_AUTHORIZATION] = "Basic " + base64.b64encode(b":".join(proxy.raw_auth)).decode("ascii")
    return {"proxy": URL(str(proxy.url), encoded=True), "proxy_headers": headers}


@lru_cache(maxsize=64)
def _client_timeout(connect: float | None, read: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(connect=_limit(connect), sock_read=_limit(read))


def _limit(seconds: float | None) -> float | None:
    return None if seconds is None else max(seconds, _LEAST)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

"""httpcore2 under httpx: the transport that our own client stands on.

It converts requests and replies, maps httpcore2's exceptions onto httpx's (`TABLE`), and steps aside for tests: when
somebody has replaced the methods of httpx's stock transport or of httpcore's pool (see `mock_detection`), the request
goes to the stock transport, where the replacement sits. httpcore2 is imported at the first request, TLS is set up at
the first https one: a program that only imports the package, or talks to a local sandbox, pays for neither.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import httpx

from ..._errors import ConfigurationError
from ..mock_detection import StockTransport, are_originals
from ..private_hosts import PeerGuard

if TYPE_CHECKING:
    import ssl

    from .network import CoreNetwork


class CoreTransport(httpx.AsyncBaseTransport):
    """One pool of httpcore2's per scheme, for one event loop.

    Args:
        size: Connections at most; the slots in front see to it that nobody ever waits for one.
        keepalive_expiry: Seconds an idle connection is kept. The pool takes the first idle connection of its list,
            so a quiet client settles on few, and the rest expire at the next request.
        tls: Makes the TLS context.
        proxy: Everything goes through it.
    """

    def __init__(
        self,
        *,
        size: int,
        keepalive_expiry: float,
        tls: Callable[[], ssl.SSLContext],
        proxy: httpx.Proxy | None = None,
    ) -> None:
        if proxy is not None and proxy.url.scheme.startswith("socks"):
            _require_socks()
        self._size = size
        self._keepalive_expiry = keepalive_expiry
        self._tls = tls
        self._proxy = proxy
        self._stock = StockTransport(size=size, keepalive_expiry=keepalive_expiry, tls=tls, proxy=proxy)
        self.network: CoreNetwork | None = None
        self.pools: dict[str, Any] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not are_originals():
            return await self._stock.send(request)
        from .pool import exchange

        return await exchange(self._pool(request.url.scheme), request)

    def _pool(self, scheme: str) -> Any:
        try:
            return self.pools[scheme]
        except KeyError:
            from .network import CoreNetwork
            from .pool import open_pool

            if self.network is None:
                self.network = CoreNetwork(PeerGuard(sees_peers=self._proxy is None))
            pool = self.pools[scheme] = open_pool(
                self.network,
                size=self._size,
                keepalive_expiry=self._keepalive_expiry,
                tls=self._tls() if scheme == "https" else None,
                proxy=self._proxy,
            )
            return pool

    async def aclose(self) -> None:
        for pool in self.pools.values():
            await pool.aclose()
        if self.network is not None:
            await self.network.aclose()
        await self._stock.aclose()

    def abandon(self) -> None:
        """Close the sockets without the loop they belong to, which has ended."""
        if self.network is not None:
            self.network.abandon()


def _require_socks() -> None:
    if find_spec("socksio") is None:
        raise ConfigurationError(
            "The environment names a SOCKS proxy, which needs the package `socksio` (`pip install 'httpx[socks]'`); "
            "or pass `trust_env=False` to go without proxies."
        )

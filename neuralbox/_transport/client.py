"""Our own `httpx.AsyncClient`: the same, without what costs time on every request and serves nobody here.

- `send` goes straight to the transport. Between the two httpx runs the authentication flow, the hooks, the redirects and
  the cookie jar, all of them empty here or unwanted (a POST must not be sent to another place than the caller named; a
  cookie is neither stored nor sent, and parsing replies for it takes a third of the time of a small GET), and it logs
  every URL with its query, where the storage keeps its signatures.
- Where somebody has replaced `httpx.AsyncClient.send` (error trackers do), their version runs, and then httpx's own, all
  but its last step, which writes the URL into a log.
- Proxies are found by `proxies` in httpx's place (its `_get_proxy_map` and `_transport_for_url`), and the transports they
  lead to are ours. The private methods are guarded by tests, and are those of a library that has stopped changing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.request import getproxies

import httpx

from .mock_detection import is_original
from .proxies import ProxyRoutes, read_proxies


class FastClient(httpx.AsyncClient):
    """A client over transports that `make_transport` makes: for None the direct one, else one for that proxy.

    Args:
        make_transport: Called while the client is made.
        trust_env: Whether proxies are read from the environment.
    """

    def __init__(
        self, make_transport: Callable[[httpx.Proxy | None], httpx.AsyncBaseTransport], *, trust_env: bool
    ) -> None:
        self._make_transport = make_transport
        self._routes = ProxyRoutes({}, ())
        super().__init__(trust_env=trust_env, follow_redirects=False, timeout=None)

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send a request and return its reply with the body unread; `options` are for a replaced `send` only."""
        if not is_original(httpx.AsyncClient, "send"):
            return await super().send(request, **options)
        response = await self._transport_for_url(request.url).handle_async_request(request)
        response.request = request
        return response

    async def _send_single_request(self, request: httpx.Request) -> httpx.Response:
        """Send for httpx's own `send`, without what it does there as well: a line in its log and a cookie kept."""
        response = await self._transport_for_url(request.url).handle_async_request(request)
        response.request = request
        return response

    def _get_proxy_map(self, proxy: Any, allow_env_proxies: bool) -> dict[str, httpx.Proxy | None]:  # noqa: ARG002
        if allow_env_proxies:
            self._routes = read_proxies(getproxies())
        return {pattern: None if url is None else httpx.Proxy(url) for pattern, url in self._routes.proxies.items()}

    def _transport_for_url(self, url: httpx.URL) -> httpx.AsyncBaseTransport:
        if self._routes.direct and self._routes.is_direct(url.host):
            return self._transport
        return super()._transport_for_url(url)

    def _init_transport(self, *_args: Any, **_options: Any) -> httpx.AsyncBaseTransport:
        return self._make_transport(None)

    def _init_proxy_transport(self, proxy: httpx.Proxy, *_args: Any, **_options: Any) -> httpx.AsyncBaseTransport:
        return self._make_transport(proxy)

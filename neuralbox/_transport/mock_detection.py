"""Has somebody replaced a method of the HTTP libraries? Tests (respx, pytest-httpx) and tracing tools do that. Then requests
go to `StockTransport`, where the replacement is.

Our engine goes past those methods, so it has to check; otherwise a mocked call would slip past its mock and reach the
network. The check compares nothing with what stood there at import, which may have been a replacement already: a
method that belongs to its library says so.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from typing import Any

import httpx

from .sent_trace import SentTrace


class StockTransport:
    """httpx's own transport, where replacements sit; made for each scheme when the first request goes there.

    Without https no certificates are read, which takes longer than a test in memory.

    Args:
        size: Connections at most.
        keepalive_expiry: Seconds an idle connection is kept.
        tls: Makes the TLS context.
        proxy: Everything goes through it.
    """

    def __init__(
        self, *, size: int, keepalive_expiry: float, tls: Callable[[], ssl.SSLContext], proxy: httpx.Proxy | None
    ) -> None:
        self._limits = httpx.Limits(max_connections=size, keepalive_expiry=keepalive_expiry)
        self._tls = tls
        self._proxy = proxy
        self._made: dict[str, httpx.AsyncHTTPTransport] = {}

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Send a request, noting in its trace that it leaves: a mock does not trace."""
        trace = request.extensions.get("trace")
        if isinstance(trace, SentTrace):
            trace.note()
        scheme = request.url.scheme
        if scheme not in self._made:
            tls = self._tls() if scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._made[scheme] = httpx.AsyncHTTPTransport(verify=tls, limits=self._limits, proxy=self._proxy)
        return await self._made[scheme].handle_async_request(request)

    async def aclose(self) -> None:
        for made in self._made.values():
            await made.aclose()


def is_original(owner: type[Any], name: str) -> bool:
    """Tell whether a method of a class of httpx or httpcore is the library's own."""
    # Both libraries write their own name over `__module__` of a public class, but not of its methods. Whoever pretends
    # to be the original (`functools.wraps`, wrapt) leaves `__wrapped__` behind.
    method = getattr(owner, name)
    return method.__module__.startswith(_INSIDE[owner.__module__]) and not hasattr(method, "__wrapped__")


_INSIDE = {"httpx": "httpx.", "httpcore": "httpcore."}


def are_originals() -> bool:
    """Tell whether the transports of both libraries are their own."""
    if not is_original(httpx.AsyncHTTPTransport, "handle_async_request"):
        return False
    # Whoever replaces httpcore's method has imported httpcore; we never need it ourselves.
    httpcore = sys.modules.get("httpcore")
    return httpcore is None or is_original(httpcore.AsyncConnectionPool, "handle_async_request")

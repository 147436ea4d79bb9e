"""aiohttp's exceptions and httpx's, in one table; what httpx's mean to us is in `errors`.

httpx-aiohttp (0.2.0) has a table of its own, which cannot be used where a request costs money: its entry for
`ClientConnectionError` is `httpx.ConnectTimeout`, and a server that hung up after it had read the request
(`ServerDisconnectedError`, `ClientOSError`) is one of those. A connect time-out means "nothing was sent, repeat"; the
request would be paid for twice. A refused connection is one of those too (found by others: openai/openai-python#3594),
and a reply that is not HTTP has no entry at all.

What aiohttp says about itself is never repeated: its messages quote the URL with its query.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

import aiohttp
import httpx
from aiohttp.http_exceptions import ContentLengthError, HttpProcessingError, TransferEncodingError

TABLE: Final = MappingProxyType[type[BaseException], type[httpx.TransportError]](
    {
        # Nothing had left: no connection to the host, or none through the proxy.
        aiohttp.ConnectionTimeoutError: httpx.ConnectTimeout,
        aiohttp.ClientConnectorError: httpx.ConnectError,
        aiohttp.ServerFingerprintMismatch: httpx.ConnectError,
        aiohttp.ClientHttpProxyError: httpx.ProxyError,
        UnicodeError: httpx.ConnectError,  # a label of 64 letters, from resolving the host
        # The connection was there, and then it was not.
        aiohttp.SocketTimeoutError: httpx.ReadTimeout,
        aiohttp.ServerTimeoutError: httpx.ReadTimeout,
        aiohttp.ServerDisconnectedError: httpx.ReadError,
        aiohttp.ClientConnectionResetError: httpx.WriteError,
        aiohttp.ClientOSError: httpx.ReadError,
        aiohttp.ClientConnectionError: httpx.ReadError,
        aiohttp.ClientPayloadError: httpx.ReadError,
        aiohttp.UploadAbortedError: httpx.WriteError,
        OSError: httpx.ReadError,
        # What came is not HTTP.
        aiohttp.ClientResponseError: httpx.RemoteProtocolError,
        HttpProcessingError: httpx.RemoteProtocolError,
        # A request that cannot be sent.
        aiohttp.InvalidURL: httpx.UnsupportedProtocol,
        aiohttp.NonHttpUrlClientError: httpx.UnsupportedProtocol,
        aiohttp.RedirectClientError: httpx.RemoteProtocolError,
        aiohttp.ClientError: httpx.ReadError,
    }
)
"""aiohttp's exception and httpx's; an exception is read by its nearest listed base."""

FAILURES: Final = (aiohttp.ClientError, HttpProcessingError, OSError, UnicodeError)
"""For `except`."""


def to_httpx(exc: BaseException) -> httpx.TransportError:
    """Make httpx's exception out of one of `FAILURES`; raise it `from` the root that `cause_of` gives."""
    cause = exc.__cause__
    if isinstance(cause, httpx.TransportError):  # of our own, raised while the body was written
        return type(cause)(str(cause))
    if isinstance(exc, aiohttp.ClientHttpProxyError):
        return httpx.ProxyError(str(exc.status))
    if isinstance(exc, aiohttp.ClientPayloadError) and isinstance(cause, HttpProcessingError):
        # A body that ended too early is an error of the same family as one whose framing is nonsense.
        cut = isinstance(cause, ContentLengthError) or _ended_early(cause)
        return httpx.ReadError("") if cut else httpx.RemoteProtocolError("")
    return next(TABLE[base] for base in type(exc).__mro__ if base in TABLE)("")


def cause_of(exc: BaseException) -> BaseException | None:
    """Return what the system or the TLS library said, which is all of the chain that may be shown."""
    seen: BaseException | None = exc
    while seen is not None and (isinstance(seen, aiohttp.ClientError | HttpProcessingError)):
        seen = seen.__cause__
    return seen


def _ended_early(exc: HttpProcessingError) -> bool:
    return isinstance(exc, TransferEncodingError) and "Not enough data" in exc.message

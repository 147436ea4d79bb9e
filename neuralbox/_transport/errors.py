"""Foreign exceptions and what they mean to us, in two tables: httpcore2's become httpx's, httpx's become our own.

A message holds the host, the phase and, where the operating system or the TLS library gave one, its reason; never the
URL's query, a header or the body, since those carry the API key and the caller's words. What an exception of httpx
says about itself is not repeated for the same reason. What shows a bug in a program or a hook (`httpx.StreamError`,
`httpx.CookieConflict`) is not translated.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable
from types import MappingProxyType
from typing import Final, TypeAlias

import anyio
import httpx

from .._errors import APITimeoutError, ConfigurationError, ConnectError, ConnectionLostError, NeuralBoxError, Phase
from .._errors import ProtocolError as OurProtocolError

_Maker: TypeAlias = Callable[[str, BaseException], NeuralBoxError]


def translate(exc: BaseException, host: str, *, unsent: bool = False) -> NeuralBoxError:
    """Make our error out of a foreign one; raise it `from` the cause that `cause_of` gives.

    Args:
        exc: An instance of one of `TRANSLATED`.
        host: The host of the request, with its port where it is an unusual one.
        unsent: It is certain that not a byte of the request had left (a proxy was still being talked to).
    """
    error = next(TABLE[base] for base in type(exc).__mro__ if base in TABLE)(host, exc)
    if unsent and isinstance(error, APITimeoutError):
        return _timeout("connect")(host, exc)
    if unsent and isinstance(error, ConnectionLostError | OurProtocolError):
        return _not_connected(host, exc)
    return error


def cause_of(exc: BaseException) -> BaseException | None:
    """Return what to chain a translated error to: None where the foreign message quotes a header or a URL."""
    return None if isinstance(exc, _QUOTES_THE_REQUEST) else exc


def too_slow(host: str) -> APITimeoutError:
    """Build the error of a reply that trickles in, each piece in time, and does not end within `total`.

    Interim replies (103) and single bytes would otherwise go on for ever. The engines check it where something arrives, so
    that no request needs a timer for it.
    """
    return APITimeoutError(f"The reply of {host} was not complete within the total limit.", phase="deadline")


def drop_frames(exc: BaseException | None, until: BaseException | None) -> None:
    """Forget through which frames a foreign exception, and what led to it, came.

    They hold the request in their variables, key included, and error reporters collect the variables of every frame.

    Args:
        exc: The exception; its causes and contexts follow.
        until: What was being handled when the request began, which is not ours.
    """
    waiting: list[BaseException | None] = [exc]
    seen: set[int] = {id(until), id(None)}
    while waiting:
        found = waiting.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        found.__traceback__ = None
        waiting += [found.__cause__, found.__context__]
        if isinstance(found, BaseExceptionGroup):
            waiting += found.exceptions


# What each exception means...


def _not_connected(host: str, exc: BaseException) -> NeuralBoxError:
    return ConnectError(f"Could not connect to {host}{_reason(exc)}; nothing was sent.")


def _proxy_refused(host: str, exc: BaseException) -> NeuralBoxError:
    status = str(exc)[:3]  # httpcore2 writes "407 Proxy Authentication Required"
    answer = f" (it answered {status})" if status.isdigit() else ""
    return ConnectError(f"The proxy did not connect to {host}{answer}; nothing was sent.")


def _lost(host: str, exc: BaseException) -> NeuralBoxError:
    return ConnectionLostError(
        f"The connection to {host} broke before the reply was complete{_reason(exc)}; "
        "whether the service acted is unknown."
    )


def _timeout(phase: Phase) -> _Maker:
    words = {
        "connect": "Connecting to {} took too long; nothing was sent.",
        "pool": "No connection to {} became free in time; nothing was sent.",
        "write": "Sending to {} stalled for longer than the write limit.",
        "read": "{} sent nothing for longer than the read limit; it may still be working on the request.",
    }[phase]
    return lambda host, _: APITimeoutError(words.format(host), phase=phase)


def _not_http(host: str, exc: BaseException) -> NeuralBoxError:
    # One class of httpx stands for two things: words that are not HTTP, and a connection that ended too early. They
    # only differ in their text, whose two forms (httpcore's and h11's) a test on real sockets pins.
    if "disconnected" in str(exc) or "closed connection" in str(exc):
        return _lost(host, exc)
    return OurProtocolError(f"What {host} answered is not HTTP.")


def _not_readable(host: str, _: BaseException) -> NeuralBoxError:
    return OurProtocolError(f"The reply of {host} cannot be decompressed.")


def _too_many_redirects(host: str, _: BaseException) -> NeuralBoxError:
    return OurProtocolError(f"{host} redirects in circles; check `base_url`.")


def _status(host: str, exc: BaseException) -> NeuralBoxError:
    assert isinstance(exc, httpx.HTTPStatusError)
    status = exc.response.status_code
    return OurProtocolError(f"{host} answered with status {status}.", status_code=status)


def _bad_request(host: str, _: BaseException) -> NeuralBoxError:
    return ConfigurationError(
        f"The request to {host} cannot be written as HTTP: a header holds what may not be sent, or an uploaded file "
        "changed while it was read."
    )


def _bad_url(_host: str, _: BaseException) -> NeuralBoxError:
    return ConfigurationError("The URL cannot be used: it must be absolute, well-formed, and http or https.")


TABLE: Final = MappingProxyType[type[BaseException], _Maker](
    {
        httpx.ConnectError: _not_connected,
        httpx.ProxyError: _proxy_refused,
        httpx.ConnectTimeout: _timeout("connect"),
        httpx.PoolTimeout: _timeout("pool"),
        httpx.WriteTimeout: _timeout("write"),
        httpx.ReadTimeout: _timeout("read"),
        httpx.TimeoutException: _timeout("read"),
        httpx.ReadError: _lost,
        httpx.WriteError: _lost,
        httpx.CloseError: _lost,
        httpx.NetworkError: _lost,
        httpx.RemoteProtocolError: _not_http,
        httpx.LocalProtocolError: _bad_request,
        httpx.ProtocolError: _not_http,
        httpx.UnsupportedProtocol: _bad_url,
        httpx.InvalidURL: _bad_url,
        httpx.DecodingError: _not_readable,
        httpx.TooManyRedirects: _too_many_redirects,
        httpx.HTTPStatusError: _status,
        httpx.TransportError: _lost,
        httpx.RequestError: _lost,
        httpx.HTTPError: _lost,
        # What may slip through httpcore2 unmapped, or come out of a transport of the user's own.
        ssl.SSLError: _lost,
        OSError: _lost,
        anyio.BrokenResourceError: _lost,
        anyio.ClosedResourceError: _lost,
        anyio.EndOfStream: _lost,
    }
)
"""Foreign exception to the maker of ours; an exception is read by its nearest listed base."""

TRANSLATED: Final = tuple(TABLE)
"""For `except`."""

_QUOTES_THE_REQUEST: Final = (httpx.LocalProtocolError, httpx.InvalidURL, httpx.UnsupportedProtocol)


def _reason(exc: BaseException) -> str:
    """Find what the system said at the root of a chain: ` (Connection refused)`, or nothing."""
    found = ""
    seen: BaseException | None = exc
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            found = f"certificate not accepted: {seen.verify_message}"
        elif isinstance(seen, ssl.SSLError | socket.gaierror):
            found = seen.strerror or found
        elif isinstance(seen, OSError) and seen.errno:
            found = os.strerror(seen.errno)  # asyncio puts the address into `strerror`
        elif isinstance(seen, BaseExceptionGroup):  # one per address that was tried: the first speaks for all
            seen = seen.exceptions[0]
            continue
        seen = seen.__cause__ or seen.__context__
    return f" ({found})" if found else ""

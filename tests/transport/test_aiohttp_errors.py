"""aiohttp's exceptions: each has a counterpart, and none that may follow a sent request says that nothing was sent."""

from __future__ import annotations

import inspect
import socket
import ssl
from typing import Any

import aiohttp
import httpx
import pytest
from aiohttp import http_exceptions

from neuralbox import _errors as errors
from neuralbox._transport import errors as ours
from neuralbox._transport.aiohttp.errors import FAILURES, TABLE, cause_of, to_httpx

HOST = "neuralbox.top"
SECRET = "http://neuralbox.top/?key=nb_secret"


def exceptions_of(module: Any) -> list[type[Exception]]:
    found = [value for value in vars(module).values() if inspect.isclass(value) and issubclass(value, Exception)]
    assert len(found) >= 10
    return found


def make(kind: type[BaseException]) -> BaseException:
    made = kind.__new__(kind, SECRET)  # each has arguments of its own, which do not matter
    vars(made).update(status=407, message=SECRET)
    return made


@pytest.mark.parametrize("kind", [*exceptions_of(aiohttp), *exceptions_of(http_exceptions)])
def test_every_exception_of_aiohttp_has_a_counterpart_or_is_a_bug(kind: type[BaseException]) -> None:
    # Warnings, WebSockets, and the sign of a queue's end.
    if issubclass(kind, Warning | TypeError | aiohttp.WebSocketError | aiohttp.EofStream):
        assert not issubclass(kind, FAILURES)
        return
    assert issubclass(kind, FAILURES)
    mapped = to_httpx(make(kind))
    assert isinstance(mapped, ours.TRANSLATED)
    assert "secret" not in str(mapped)
    assert isinstance(ours.translate(mapped, HOST), errors.NeuralBoxError)


NOT_SENT = (
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientConnectorError,
    aiohttp.ServerFingerprintMismatch,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
)


@pytest.mark.parametrize("kind", [kind for kind in exceptions_of(aiohttp) if issubclass(kind, aiohttp.ClientError)])
def test_only_what_comes_before_the_request_says_that_nothing_was_sent(kind: type[BaseException]) -> None:
    """httpx-aiohttp calls a server that hung up after reading the request a time-out of connecting."""
    error = ours.translate(to_httpx(make(kind)), HOST)
    safe = (
        isinstance(error, errors.ConnectError | errors.ConfigurationError) or getattr(error, "phase", "") == "connect"
    )
    assert safe == issubclass(kind, NOT_SENT)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (aiohttp.ServerDisconnectedError, httpx.ReadError),
        (aiohttp.ClientConnectionResetError, httpx.WriteError),
        (aiohttp.ClientOSError, httpx.ReadError),
        (aiohttp.SocketTimeoutError, httpx.ReadTimeout),
        (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
        (aiohttp.ClientConnectorDNSError, httpx.ConnectError),
        (aiohttp.ClientConnectorCertificateError, httpx.ConnectError),
        (aiohttp.ClientProxyConnectionError, httpx.ConnectError),
        (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
        (http_exceptions.LineTooLong, httpx.RemoteProtocolError),
        (ConnectionResetError, httpx.ReadError),
        (UnicodeError, httpx.ConnectError),
    ],
)
def test_what_an_exception_of_aiohttp_means(kind: type[BaseException], expected: type[BaseException]) -> None:
    assert type(to_httpx(make(kind))) is expected


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (http_exceptions.ContentLengthError("Not enough data to satisfy content length header."), httpx.ReadError),
        (http_exceptions.TransferEncodingError("Not enough data to satisfy transfer length header."), httpx.ReadError),
        (http_exceptions.TransferEncodingError("Invalid character in chunk size"), httpx.RemoteProtocolError),
        (ConnectionResetError(104, "reset"), httpx.ReadError),
        (httpx.WriteTimeout(""), httpx.WriteTimeout),
        (httpx.LocalProtocolError(""), httpx.LocalProtocolError),
    ],
)
def test_a_body_that_broke_is_told_from_one_that_is_nonsense(cause: Exception, expected: type[Exception]) -> None:
    broken = aiohttp.ClientPayloadError(SECRET)
    broken.__cause__ = cause
    assert type(to_httpx(broken)) is expected


@pytest.mark.parametrize(
    ("root", "said"),
    [
        (ConnectionRefusedError(111, SECRET), "Connection refused"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), "WRONG_VERSION_NUMBER"),
        (None, HOST),
    ],
)
def test_the_systems_reason_is_kept_and_aiohttps_words_are_not(root: Exception | None, said: str) -> None:
    outer = make(aiohttp.ServerDisconnectedError)
    outer.__cause__ = make(aiohttp.ClientOSError)
    outer.__cause__.__cause__ = root
    mapped = to_httpx(outer)
    mapped.__cause__ = cause_of(outer)
    text = str(ours.translate(mapped, HOST))
    assert said in text
    assert "secret" not in text
    assert cause_of(outer) is root


def test_the_table_is_read_by_the_nearest_base() -> None:
    for kind, mapped in TABLE.items():
        if kind is not aiohttp.ClientHttpProxyError:
            assert type(to_httpx(make(kind))) is mapped

from __future__ import annotations

import inspect
import pickle
import socket
import ssl
from itertools import pairwise
from typing import Any

import h11
import httpcore2
import httpx
import pytest

from neuralbox import _errors as errors
from neuralbox._transport import errors as table
from neuralbox._transport.errors import cause_of, translate
from neuralbox._transport.httpcore2 import pool
from neuralbox._transport.sent_trace import SentTrace

HOST = "neuralbox.top"
SECRET = "Bearer nb_secret"


def exceptions_of(module: Any) -> list[type[BaseException]]:
    found = [value for value in vars(module).values() if inspect.isclass(value) and issubclass(value, BaseException)]
    assert len(found) > 10
    return found


def make(kind: type[BaseException]) -> BaseException:
    if kind is httpx.HTTPStatusError:
        request = httpx.Request("GET", "http://x/?key=nb_secret", headers={"authorization": SECRET})
        return httpx.HTTPStatusError(SECRET, request=request, response=httpx.Response(418, request=request))
    return kind(SECRET)


@pytest.mark.parametrize("kind", exceptions_of(httpx))
def test_every_exception_of_httpx_has_a_counterpart_or_is_a_bug(kind: type[BaseException]) -> None:
    if issubclass(kind, httpx.StreamError | httpx.CookieConflict):
        assert not issubclass(kind, table.TRANSLATED)
        return
    assert issubclass(kind, table.TRANSLATED)
    error = translate(make(kind), HOST)
    assert isinstance(error, errors.NeuralBoxError)
    assert "nb_secret" not in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("kind", exceptions_of(httpcore2))
def test_every_exception_of_httpcore2_becomes_its_namesake_in_httpx(kind: type[Exception]) -> None:
    mapped = pool._to_httpx(kind("why"))
    expected = "PoolTimeout" if kind is httpcore2.ConnectionNotAvailable else kind.__name__
    assert (type(mapped).__name__, str(mapped)) == (expected, "why")


@pytest.mark.parametrize(
    ("foreign", "ours", "phase"),
    [
        (httpx.ConnectError(""), errors.ConnectError, None),
        (httpx.ProxyError("407 Who are you"), errors.ConnectError, None),
        (httpx.ProxyError("odd"), errors.ConnectError, None),
        (httpx.ConnectTimeout(""), errors.APITimeoutError, "connect"),
        (httpx.PoolTimeout(""), errors.APITimeoutError, "pool"),
        (httpx.WriteTimeout(""), errors.APITimeoutError, "write"),
        (httpx.ReadTimeout(""), errors.APITimeoutError, "read"),
        (httpx.ReadError(""), errors.ConnectionLostError, None),
        (httpx.WriteError(""), errors.ConnectionLostError, None),
        (
            httpx.RemoteProtocolError("Server disconnected without sending a response."),
            errors.ConnectionLostError,
            None,
        ),
        (httpx.RemoteProtocolError("illegal status line"), errors.ProtocolError, None),
        (httpx.LocalProtocolError(""), errors.ConfigurationError, None),
        (httpx.UnsupportedProtocol(""), errors.ConfigurationError, None),
        (httpx.InvalidURL(""), errors.ConfigurationError, None),
        (httpx.DecodingError(""), errors.ProtocolError, None),
        (httpx.TooManyRedirects(""), errors.ProtocolError, None),
        (ssl.SSLError(1, "bad record mac"), errors.ConnectionLostError, None),
        (ConnectionResetError(104, "reset"), errors.ConnectionLostError, None),
    ],
)
def test_what_a_foreign_exception_means(
    foreign: BaseException, ours: type[errors.NeuralBoxError], phase: str | None
) -> None:
    error = translate(foreign, HOST)
    assert type(error) is ours
    assert getattr(error, "phase", None) == phase
    assert HOST in str(error) or ours is errors.ConfigurationError


@pytest.mark.parametrize(
    ("foreign", "ours", "phase"),
    [
        (httpx.ReadTimeout(""), errors.APITimeoutError, "connect"),
        (httpx.ReadError(""), errors.ConnectError, None),
        (httpx.RemoteProtocolError("illegal status line"), errors.ConnectError, None),
        (httpx.ConnectError(""), errors.ConnectError, None),
        (httpx.UnsupportedProtocol(""), errors.ConfigurationError, None),
    ],
)
def test_a_failure_before_the_first_byte_is_a_failure_to_connect(
    foreign: BaseException, ours: type[errors.NeuralBoxError], phase: str | None
) -> None:
    error = translate(foreign, HOST, unsent=True)
    assert type(error) is ours
    assert getattr(error, "phase", None) == phase


def chained(*links: BaseException) -> BaseException:
    for outer, inner in pairwise(links):
        outer.__cause__ = inner
    return links[0]


@pytest.mark.parametrize(
    ("exc", "reason"),
    [
        (
            chained(httpx.ConnectError(""), OSError("All failed"), ConnectionRefusedError(111, "('10.0.0.1', 1)")),
            "refused",
        ),
        (chained(httpx.ConnectError(""), ExceptionGroup("g", [ConnectionRefusedError(111, "x")])), "refused"),
        (
            chained(httpx.ConnectError(""), socket.gaierror(-2, "Name or service not known")),
            "Name or service not known",
        ),
        (chained(httpx.ConnectError(""), ssl.SSLError(1, "WRONG_VERSION_NUMBER")), "WRONG_VERSION_NUMBER"),
        (httpx.ConnectError(""), f"to {HOST};"),
    ],
)
def test_a_failed_connection_gives_the_systems_reason(exc: BaseException, reason: str) -> None:
    assert reason in str(translate(exc, HOST))


def test_what_quotes_a_header_or_a_url_is_not_chained() -> None:
    assert cause_of(httpx.LocalProtocolError(SECRET)) is None
    lost = httpx.ReadError("")
    assert cause_of(lost) is lost


def test_h11s_own_errors_are_mapped_where_httpcore2_lets_them_through() -> None:
    assert isinstance(pool._to_httpx(h11.LocalProtocolError("short")), httpx.LocalProtocolError)


# The moment of sending.


@pytest.mark.anyio
async def test_a_tunnels_connect_is_not_the_request() -> None:
    said: list[str] = []
    trace = SentTrace(lambda: said.append("sent"))
    await trace("connection.connect_tcp.started", {})
    await trace("http11.send_request_headers.started", {"request": httpcore2.Request("CONNECT", "http://x/")})
    assert trace.unsent
    for _ in range(2):
        await trace("http11.send_request_headers.started", {"request": httpcore2.Request("POST", "http://x/")})
    assert (said, trace.unsent) == (["sent"], False)

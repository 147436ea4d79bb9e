"""httpx's records, filled past their constructors, are what httpx would have made."""

from __future__ import annotations

import copy
import pickle
from collections.abc import AsyncIterator

import httpx
import pytest

from neuralbox._transport.fast_httpx import BytesRequest, FastHeaders, FastResponse
from neuralbox._transport.prepared import HeaderCache, prepare_request

from .support import PATIENT

RAW = [
    [],
    [(b"Content-Type", b"a/b"), (b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=2")],
    [(b"X-Name", "é".encode()), (b"Content-Type", b"a/b")],
    [(b"X-Name", b"\xff\xfe"), (b"content-type", b"a/b")],
]


@pytest.mark.parametrize("raw", RAW, ids=["none", "twice", "utf-8", "latin-1"])
def test_headers_say_what_httpx_says_of_the_same(raw: list[tuple[bytes, bytes]]) -> None:
    ours, theirs = FastHeaders.of(raw), httpx.Headers(raw)
    assert (ours, ours.raw, ours.multi_items()) == (theirs, theirs.raw, theirs.multi_items())
    for name in ("Content-Type", "SET-cookie", "x-name", "x-missing"):
        assert ours.get(name) == theirs.get(name)
        assert ours.get(name, "none") == theirs.get(name, "none")
        assert (name in ours) is (name in theirs)
    assert ours.encoding == theirs.encoding


def test_a_name_no_header_can_have_is_treated_as_httpx_treats_it() -> None:
    raw = [(b"X-Name", "é".encode())]
    ours, theirs = FastHeaders.of(raw), httpx.Headers(raw)
    assert ours.get("é") is theirs.get("é") is None
    assert ("é" in ours) is ("é" in theirs) is False


def test_headers_can_be_changed_like_any_others() -> None:
    headers = FastHeaders.of([(b"A", b"1")])
    headers["a"] = "2"
    headers["B"] = "3"
    del headers["A"]
    assert headers.raw == [(b"B", b"3")]


METHODS = ["GET", "get", "POST", "PUT", "PATCH", "DELETE"]


@pytest.mark.parametrize("content", [None, b"", b'{"a":1}'], ids=["none", "empty", "some"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "headers",
    [{"accept": "a/b"}, {"host": "other", "content-length": "7"}, {"transfer-encoding": "chunked"}],
    ids=["usual", "host and length", "chunked"],
)
def test_a_request_is_the_one_httpx_would_make(method: str, headers: dict[str, str], content: bytes | None) -> None:
    url = "https://ada:pw@example.com:8443/a%20b?c=d"
    ours = prepare_request(method, url, headers=headers, timeouts=PATIENT, content=content).request
    sent = {"accept-encoding": "gzip, deflate", "connection": "keep-alive", **headers}
    theirs = httpx.Request(method, url, headers=sent, content=content)
    assert (ours.method, ours.url, ours.headers.raw) == (theirs.method, theirs.url, theirs.headers.raw)
    assert ours.content == theirs.content == ours.read()
    assert b"".join(ours.stream) == theirs.content  # type: ignore[arg-type]


async def _body(request: httpx.Request) -> bytes:
    assert isinstance(request.stream, httpx.AsyncByteStream)
    return b"".join([piece async for piece in request.stream])


@pytest.mark.anyio
async def test_a_request_with_other_extensions_is_otherwise_the_same_and_independent() -> None:
    first = prepare_request("POST", "http://x/", headers={}, timeouts=PATIENT, content=b"ab").request
    assert isinstance(first, BytesRequest)
    second = first.with_extensions({"trace": print})
    assert (second.method, second.url, second.headers, second.content) == (
        first.method,
        first.url,
        first.headers,
        first.content,
    )
    assert await _body(second) == b"ab"
    second.headers["x-trace"] = "1"
    assert "x-trace" not in first.headers
    assert first.extensions.keys() == {"timeout"}


def test_requests_with_the_same_headers_share_no_header() -> None:
    heads = HeaderCache()
    first, second = (
        prepare_request("GET", "http://x/", headers={"a": "1"}, timeouts=PATIENT, header_cache=heads) for _ in range(2)
    )
    first.request.headers["x-trace"] = "1"
    first.options["headers"]["x-trace"] = "1"
    assert "x-trace" not in second.request.headers
    assert "x-trace" not in second.options["headers"]


def test_the_headers_that_are_remembered_are_few() -> None:
    heads = HeaderCache()
    for number in range(300):
        assert heads.of({"x-request-id": str(number)}).sent["x-request-id"] == str(number)
    assert len(heads._known) <= 64


def test_a_request_can_be_pickled_and_shown_like_any_other() -> None:
    request = prepare_request("POST", "http://x/", headers={}, timeouts=PATIENT, content=b"ab").request
    again = pickle.loads(pickle.dumps(request))
    assert (again.method, str(again.url), again.content) == ("POST", "http://x/", b"ab")


class Empty(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"text"


@pytest.mark.anyio
async def test_a_response_has_every_field_that_httpx_gives_one() -> None:
    raw = [(b"Content-Type", b"text/plain"), (b"Location", b"http://[")]
    extensions = {"http_version": b"HTTP/1.1"}
    ours = FastResponse(302, FastHeaders.of(raw), Empty(), extensions)
    theirs = httpx.Response(302, headers=raw, stream=Empty(), extensions=extensions)
    assert vars(ours).keys() == vars(theirs).keys()
    for name in vars(theirs).keys() - {"stream"}:
        assert getattr(ours, name, None) == getattr(theirs, name, None) or name == "_request", name
    assert (ours.has_redirect_location, theirs.has_redirect_location) == (False, True)
    assert copy.copy(extensions) == ours.extensions
    assert await ours.aread() == b"text"
    assert ours.text == "text"

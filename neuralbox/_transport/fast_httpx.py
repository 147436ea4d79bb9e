"""httpx's three records without the work that was done already: headers, request and response of our own client.

httpx normalizes what it is given: it checks the type of each name and value five times, makes the body into a stream,
and finds out at each access to the headers how all of them are encoded. On the way of a poll everything is bytes and
has been checked, and that work was a quarter of what a small GET costs. So these are httpx's own classes, filled past
their constructors; to whatever gets one (a hook, a mock, an error tracker) they are what httpx would have made, which
tests compare. What is set is private only in `Headers._list`, `Request._content` and two fields of `Response`. The
address they are sent to is httpx's too, but for hosts that httpx cannot read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import httpx

from .._errors import ConfigurationError


class AnyHostURL(httpx.URL):
    """A URL whose host may be a name that idna refuses to decode (an emoji domain): it reads as it is sent.

    Where httpx builds a request itself it makes its own URL of it, and would let `idna.IDNAError` out.
    """

    @property
    def host(self) -> str:
        try:
            return super().host
        except UnicodeError:
            return self.raw_host.decode("ascii")

    def require_decodable(self) -> None:
        """Refuse what httpx cannot build a request for.

        Raises:
            ConfigurationError: Its host cannot be decoded.
        """
        try:
            _ = super().host
        except UnicodeError:
            raise ConfigurationError(
                "The URL's host begins with xn-- and is not the name of a domain; only files are fetched from such a host."
            ) from None


class FastHeaders(httpx.Headers):
    """Headers given as bytes: names as they are written, the same in lower case, values."""

    def __init__(self, fields: Iterable[tuple[bytes, bytes, bytes]]) -> None:
        self._list = list(fields)
        self._encoding = None

    @classmethod
    def of(cls, raw: Iterable[tuple[bytes, bytes]]) -> FastHeaders:
        """Make them of what came off the wire."""
        return cls([(name, name.lower(), value) for name, value in raw])

    def get(self, key: str, default: Any = None) -> Any:
        try:
            wanted = key.lower().encode("ascii")
            found = [value for _, name, value in self._list if name == wanted]
            if not found:
                return default
            return found[0].decode("ascii") if len(found) == 1 else b", ".join(found).decode("ascii")
        except UnicodeError:  # it depends on all of them then how each is decoded
            return super().get(key, default)

    def __contains__(self, key: Any) -> bool:
        try:
            wanted = key.lower().encode("ascii")
        except UnicodeError:
            return super().__contains__(key)
        return any(name == wanted for _, name, _ in self._list)


class BytesRequest(httpx.Request):
    """A request whose URL and headers are checked, and whose body, if any, is bytes."""

    def __init__(
        self, method: str, url: httpx.URL, headers: FastHeaders, content: bytes, extensions: dict[str, Any]
    ) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.extensions = extensions
        self.stream = httpx.ByteStream(content)
        self._content = content

    def with_extensions(self, extensions: dict[str, Any]) -> BytesRequest:
        """Return the same request with other extensions."""
        return BytesRequest(self.method, self.url, FastHeaders(self.headers._list), self._content, extensions)


class FastResponse(httpx.Response):
    """A reply whose body is unread, and which is never taken for a redirect.

    httpx's own `send` (it runs where an error tracker has replaced it) prepares the next request even where it does not
    follow, and raises on a Location it cannot read; a refused POST would become one whose outcome is unknown.
    """

    def __init__(
        self,
        status_code: int,
        headers: FastHeaders,
        stream: httpx.AsyncByteStream,
        extensions: Mapping[str, Any],
    ) -> None:
        self.status_code = status_code
        self.headers = headers
        self._request = None
        self.next_request = None
        self.extensions = dict(extensions)
        self.history = []
        self.is_closed = False
        self.is_stream_consumed = False
        self.default_encoding = "utf-8"
        self.stream = stream
        self._num_bytes_downloaded = 0

    @property
    def has_redirect_location(self) -> bool:
        return False

"""A request, checked and built once, sent as often as one likes. What cannot be sent is refused here, before any I/O.

The polling hot path sends one `httpx.Request` over and over: parsing its URL and headers each time would cost more
than the client layer itself. Limits travel in its extensions, so that no call needs a cancel scope of its own; the
pool's is never set, since nobody gets to the pool without a slot.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import httpx

from .._api.request import Form
from .._errors import ConfigurationError
from .base import Timeouts
from .fast_httpx import AnyHostURL, BytesRequest, FastHeaders

# RFC 9110, 5.1 and 5.5. Checked here because httpcore would quote the value, which may be the key, in its error.
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER_VALUE: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
# What `reply_body.py` can decompress piece by piece.
_ACCEPT_ENCODING: Final = "gzip, deflate"
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_MAX_CACHED: Final = 64


class PreparedRequest:
    """What `prepare` makes of its arguments.

    Attributes:
        host: For messages: the host, with the port where it is not the scheme's.
        request: Ready to send over our own client.
        options: The same as arguments of `httpx.AsyncClient.build_request`, for a client of the user's own, whose
            headers, parameters and cookies are added when it is sent.
    """

    __slots__ = ("host", "options", "request")

    def __init__(self, host: str, request: httpx.Request, options: Mapping[str, Any]) -> None:
        self.host = host
        self.request = request
        self.options = options

    def __repr__(self) -> str:
        return f"<PreparedRequest {self.request.method} {self.host}>"


@dataclass(frozen=True, slots=True)
class CachedHeaders:
    """Headers as they were checked.

    Attributes:
        sent: Names in lower case, and values.
        fields: The same as bytes, for `FastHeaders`.
        has_host: Whether the caller names the host.
        has_length: Whether the caller says how long the body is.
        has_end: Whether the caller says how the end of the body is found.
    """

    sent: Mapping[str, str] = field(repr=False)
    fields: Sequence[tuple[bytes, bytes, bytes]] = field(repr=False)
    has_host: bool
    has_length: bool
    has_end: bool


class HeaderCache:
    """The headers one transport has checked: nearly all requests of a client have the same."""

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[str, str], ...], CachedHeaders] = {}

    def of(self, headers: Mapping[str, str]) -> CachedHeaders:
        """Return them checked.

        Raises:
            ConfigurationError: One cannot be sent.
        """
        key = tuple(headers.items())
        cached = self._known.get(key)
        if cached is None:
            sent = {"accept-encoding": _ACCEPT_ENCODING, "connection": "keep-alive", **_read_headers(headers)}
            names = [name.encode("ascii") for name in sent]
            fields = [(name, name, value.encode("ascii")) for name, value in zip(names, sent.values(), strict=True)]
            has_length = "content-length" in sent
            cached = CachedHeaders(sent, fields, "host" in sent, has_length, has_length or "transfer-encoding" in sent)
            if len(self._known) >= _MAX_CACHED:
                self._known.clear()
            self._known[key] = cached
        return cached


def prepare_request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    timeouts: Timeouts,
    content: bytes | None = None,
    form: Form | None = None,
    header_cache: HeaderCache | None = None,
) -> PreparedRequest:
    """Build a request; see `Transport.prepare`. `header_cache` keeps the headers that were checked."""
    address, host = _read_url(url)
    cached = (header_cache or HeaderCache()).of(headers)
    extensions = {
        "timeout": {
            "connect": timeouts.connect,
            "read": timeouts.read,
            "write": timeouts.write,
            "pool": None,
            "total": timeouts.total,  # ours: see `errors.too_slow`
        }
    }
    body: dict[str, Any] = {"content": content} if form is None else _form(form)
    if form is None:
        request: httpx.Request = _request(method.upper(), address, host, cached, content or b"", extensions)
    else:
        address.require_decodable()
        try:
            request = httpx.Request(method, address, headers=dict(cached.sent), extensions=extensions, **body)
        except UnicodeEncodeError:
            raise ConfigurationError(
                "A text of the form, or the name of a file, holds half a character (a lone surrogate); nothing was sent."
            ) from None
    options = {"method": method, "url": address, "headers": dict(cached.sent), "extensions": extensions, **body}
    return PreparedRequest(host.decode("ascii"), request, options)


def _request(
    method: str, address: httpx.URL, host: bytes, cached: CachedHeaders, content: bytes, extensions: dict[str, Any]
) -> BytesRequest:
    # What httpx adds, where it adds it.
    fields = [] if cached.has_host else [(b"Host", b"host", host)]
    if not content and not cached.has_end and method in _WITH_BODY:
        fields.append((b"Content-Length", b"content-length", b"0"))
    fields += cached.fields
    if content and not cached.has_length:
        fields.append((b"Content-Length", b"content-length", b"%d" % len(content)))
    return BytesRequest(method, address, FastHeaders(fields), content, extensions)


# A job is asked for by the same address again and again, and parsing it costs more than all else of a request.
@lru_cache(maxsize=1024)
def _read_url(url: str) -> tuple[AnyHostURL, bytes]:
    """Return an address that can be sent to, and its host with the port where that is not the scheme's."""
    try:
        address = AnyHostURL(url)
    except (httpx.InvalidURL, UnicodeEncodeError):  # the second: half a character, which nothing can quote
        raise ConfigurationError("The URL is not well-formed.") from None
    if address.scheme not in {"http", "https"}:
        raise ConfigurationError(f"The URL must start with http:// or https://, not {address.scheme or 'a path'}.")
    if address.raw_host[:1] in {b"", b"."}:  # TLS says of the dot what nobody translates
        raise ConfigurationError("The URL names no host, or one that begins with a dot.")
    if address.port is not None and not 0 < address.port < 65536:
        raise ConfigurationError(f"The URL's port must lie between 1 and 65535, not be {address.port}.")
    return address, address.netloc


def _read_headers(headers: Mapping[str, str]) -> dict[str, str]:
    checked = {}
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ConfigurationError(f"{name!r} cannot be the name of a header.")
        if not value.isascii() or not _HEADER_VALUE.fullmatch(value) or value != value.strip():
            raise ConfigurationError(
                f"The header {name} cannot be sent: its value holds a line break, white space at an end, or something "
                "that is not ASCII."
            )
        checked[name.lower()] = value
    return checked


def _form(form: Form) -> dict[str, Any]:
    # httpx writes a file piece by piece and rewinds it at every sending; a file that cannot be rewound would be
    # sent as nothing the second time.
    for file in form.files:
        if not isinstance(file.content, bytes) and (file.content.closed or not file.content.seekable()):
            raise ConfigurationError(
                f"The file {file.file_name!r} must be open and able to seek to its start; pass its bytes instead."
            )
    # Text fields as parts without a name of a file: httpx writes a form without files as another media type.
    parts: list[tuple[str, Any]] = [
        (name, (None, text))
        for name, value in {**form.fields, **form.secrets}.items()
        for text in ([value] if isinstance(value, str) else value)
    ]
    parts += [(file.name, (file.file_name, file.content, file.content_type)) for file in form.files]
    return {"files": parts}

"""The seam between the send loop and whatever moves the bytes.

One request goes in, one reply comes out, and every failure is one of our own errors: `ConnectError` (nothing was
sent), `ConnectionLostError`, `APITimeoutError`, `ProtocolError`. Nothing here retries, sleeps or knows the service.
An engine implements `Transport`; the rest of the package sees only this file.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import httpx

from .._api.request import Form

HttpClient: TypeAlias = httpx.AsyncClient
HttpTransport: TypeAlias = httpx.AsyncBaseTransport
"""What users hand in as `http_client=` and `transport=`; named here so that no other layer imports the library."""

Prepared: TypeAlias = Any
"""A request built once by an engine and sent as often as one likes; opaque outside the engine that made it."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits of one exchange, in seconds; None waits without limit.

    Attributes:
        connect: Opening the connection, TLS included.
        read: Each wait for the next bytes of the reply.
        write: Each wait for room to send.
        total: The whole reply of `send`, from the moment it leaves; of `stream`, until its headers are there.
    """

    connect: float | None
    read: float | None
    write: float | None
    total: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer.

    Attributes:
        status_code: The HTTP status.
        headers: Names are looked up without regard to case.
        content: The body, decompressed.
    """

    status_code: int
    headers: Mapping[str, str]
    content: bytes


class StreamedReply(Protocol):
    """An answer whose body is still to be read; valid inside the block of `Transport.stream`."""

    @property
    def status_code(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def chunks(self, *, raw: bool = False) -> AsyncIterator[bytes]:
        """Yield the body as it arrives, decompressed unless `raw`; pieces have any length above 0."""
        ...

    async def read(self, *, max_bytes: int) -> bytes:
        """Read the whole body; `ProtocolError` when it is longer than `max_bytes`."""
        ...


class Transport(Protocol):
    """Moves requests. Safe to use from several event loops; each gets connections of its own."""

    def prepare(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        timeouts: Timeouts,
        content: bytes | None = None,
        form: Form | None = None,
    ) -> Prepared:
        """Build a request without sending it. `url` is absolute, its path and query already quoted.

        Raises:
            ConfigurationError: The URL is not http or https, or a header cannot be sent.
        """
        ...

    async def send(self, prepared: Prepared, *, max_bytes: int, on_sent: Callable[[], None] | None = None) -> Reply:
        """Send and read the whole reply; redirects are not followed.

        Args:
            prepared: What `prepare` built.
            max_bytes: The reply may not be longer (after decompression).
            on_sent: Called just before the first byte leaves; an engine that cannot tell calls it before it tries.

        Raises:
            ConnectError: Nothing was sent.
            ConnectionLostError: The connection broke after the first byte.
            APITimeoutError: `.phase` is `connect`, `pool`, `write` or `read`; `deadline` where `total` passed.
            ProtocolError: The reply is not HTTP, cannot be decompressed, or is longer than `max_bytes`.

        Cancellation:
            The connection is closed or returned before the cancellation goes on; no slot is lost.
        """
        ...

    def stream(
        self, prepared: Prepared, *, on_sent: Callable[[], None] | None = None, download: bool = False
    ) -> AbstractAsyncContextManager[StreamedReply]:
        """Send, and yield the reply as soon as its headers are there; leaving the block frees the connection.

        Streams have slots of their own, so that long ones never starve short requests, and so have downloads.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections of the running loop, and drop those of loops that are gone.

        Afterwards `prepare`, `send` and `stream` raise `ConfigurationError` (in one sentence: closed, and what to do)
        until `reopen`.
        """
        ...

    def reopen(self) -> None:
        """Let a closed transport make connections again."""
        ...

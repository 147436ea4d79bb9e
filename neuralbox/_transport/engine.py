"""The default engine: httpx's client over httpcore2's pools, one set of both per running event loop.

A request takes a slot, goes through the client, and into the pool. There are as many slots as connections in the pool
- some for ordinary requests, some for streams, some for downloads - so nobody waits inside the pool, where a time-out
could strike and where order and cancellation are not ours; for a slot callers queue in the order they came, without
limit, and it is given back on every path. A user's own client or transport gets the same slots and is otherwise used
as given.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
import httpx

from .._api.addresses import is_private_host
from .._api.request import Form
from .._concurrency.per_loop import PerLoop
from .._errors import APITimeoutError, ConfigurationError, ConnectError, NeuralBoxError, ProtocolError
from .base import Reply, Timeouts
from .client import FastClient
from .errors import TRANSLATED, cause_of, drop_frames, translate
from .fast_httpx import BytesRequest
from .httpcore2.adapter import CoreTransport
from .limits import Limits
from .prepared import HeaderCache, PreparedRequest, prepare_request
from .private_hosts import only_public, private_host_error, was_private
from .reply_body import ReplyReader
from .sent_trace import SentTrace

if TYPE_CHECKING:
    from .aiohttp.adapter import AiohttpTransport

Engine: TypeAlias = "CoreTransport | AiohttpTransport"
EngineMaker: TypeAlias = Callable[..., Engine]


class HttpxTransport:
    """Moves requests with httpx; `base.Transport`.

    Args:
        limits: How many slots, and how large the pools.
        http_client: A client of the user's own: its transports, hooks, authentication, headers and cookies are its
            business, as far as the service is concerned; downloads, which go to other hosts, get none of the last
            three. Time-outs are ours, redirects are not followed, and it is never closed here.
        transport: A transport of the user's own, under our client; as httpx does, it is closed when we are closed.
        trust_env: Read proxies and the certificates' place from the environment, by httpx's rules. With `http_client`
            or `transport` these have their own opinion.
        engine: Makes what moves the bytes under our client.
        only_public_files: Refuse downloads from private networks.
    """

    def __init__(
        self,
        *,
        limits: Limits,
        http_client: httpx.AsyncClient | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        trust_env: bool = True,
        engine: EngineMaker = CoreTransport,
        only_public_files: bool = False,
    ) -> None:
        self._limits = limits
        self._make_engine = engine
        self._own_client = http_client
        self._own_transport = transport
        self._trust_env = trust_env
        self._only_public_files = only_public_files
        self._tls_context: ssl.SSLContext | None = None
        self._per_loop: PerLoop[LoopResources] = PerLoop(lambda resources: resources.abandon())
        self._headers = HeaderCache()
        self._closed = False

    def prepare(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        timeouts: Timeouts,
        content: bytes | None = None,
        form: Form | None = None,
    ) -> PreparedRequest:
        self._require_open()
        return prepare_request(
            method, url, headers=headers, timeouts=timeouts, content=content, form=form, header_cache=self._headers
        )

    async def send(
        self, prepared: PreparedRequest, *, max_bytes: int, on_sent: Callable[[], None] | None = None
    ) -> Reply:
        resources = self._resources()
        await resources.requests.acquire()
        try:
            began = monotonic()
            reply = await self._exchange(resources, prepared, on_sent)
            try:
                total = prepared.request.extensions["timeout"]["total"]
                content = await reply.read(max_bytes=max_bytes, until=None if total is None else began + total)
            finally:
                await reply.aclose()
        finally:
            resources.requests.release()
        return Reply(reply.status_code, reply.headers, content)

    def stream(
        self, prepared: PreparedRequest, *, on_sent: Callable[[], None] | None = None, download: bool = False
    ) -> AbstractAsyncContextManager[ReplyReader]:
        return self._stream(prepared, on_sent, download=download)

    @asynccontextmanager
    async def _stream(
        self, prepared: PreparedRequest, on_sent: Callable[[], None] | None, *, download: bool
    ) -> AsyncIterator[ReplyReader]:
        resources = self._resources()
        slots = resources.downloads if download else resources.streams
        await slots.acquire()
        try:
            reply = await self._exchange(resources, prepared, on_sent, download=download)
            try:
                yield reply
            finally:
                await reply.aclose()
        finally:
            slots.release()

    async def aclose(self) -> None:
        self._closed = True
        resources = self._per_loop.pop()
        self._per_loop.drop_dead()
        if resources is not None and resources.client is not self._own_client:
            with anyio.CancelScope(shield=True):  # closing sockets waits for nobody
                await resources.client.aclose()

    def reopen(self) -> None:
        self._closed = False

    # One exchange...

    async def _exchange(
        self,
        resources: LoopResources,
        prepared: PreparedRequest,
        on_sent: Callable[[], None] | None,
        *,
        download: bool = False,
    ) -> ReplyReader:
        """Send, and return the reply as soon as its headers are there; the caller closes it."""
        self._require_open()  # again: waiting for the slot may have taken its time
        trace = None if on_sent is None else SentTrace(on_sent)
        # A download goes to another host, which must learn nothing that a user's own client adds for the service: the
        # headers, cookies and parameters it would build the request with, the credential it would send it with.
        request = prepared.request if download else self._request(resources, prepared, trace)
        options: dict[str, Any] = {"auth": None} if download else {}
        is_bound = download and self._only_public_files
        if is_bound:
            if is_private_host(request.url.host):
                raise private_host_error(prepared.host)
            only_public.set(True)
        handled = sys.exception()
        try:
            response = await resources.client.send(request, stream=True, follow_redirects=False, **options)
        except httpx.HTTPStatusError as exc:
            # A hook of the user's own client called `raise_for_status`. It is a reply all the same, and must be read
            # as what it says: a refusal, not a lost connection.
            response = exc.response
        except APITimeoutError:  # of our own, which is an OSError as well
            raise
        except TRANSLATED as exc:
            if is_bound and was_private(exc, handled):
                drop_frames(exc, handled)
                raise private_host_error(prepared.host) from None
            error = translate(exc, prepared.host, unsent=trace is not None and trace.unsent)
            if trace is not None and not trace.seen and not nothing_left(error):
                trace.note()
            drop_frames(exc, handled)
            raise error from cause_of(exc)
        finally:
            if is_bound:
                only_public.set(False)
        if trace is not None:
            trace.note()  # a mock that answers in the client's place does not trace
        if response.status_code < 200:
            # 101: nobody asked for another protocol, and whether the request was carried out it does not say. The default
            # engine calls it no HTTP by itself.
            await response.aclose()
            raise ProtocolError(f"What {prepared.host} answered is not HTTP.")
        return ReplyReader(response, prepared.host)

    def _request(self, resources: LoopResources, prepared: PreparedRequest, trace: SentTrace | None) -> httpx.Request:
        if self._own_client is not None or self._own_transport is not None:
            if self._own_client is not None:
                prepared.options["url"].require_decodable()
            if trace is not None:
                trace.note()  # whether and when a foreign transport sends is not for us to know
            if self._own_client is None:
                return prepared.request
            return resources.client.build_request(**prepared.options)
        if trace is None:
            return prepared.request
        sent = prepared.request
        extensions = {"timeout": sent.extensions["timeout"], "trace": trace}
        if isinstance(sent, BytesRequest):
            return sent.with_extensions(extensions)
        return httpx.Request(sent.method, sent.url, headers=sent.headers, stream=sent.stream, extensions=extensions)

    # What a loop gets of its own...

    def _resources(self) -> LoopResources:
        # A request prepared earlier may come back after a pause; connections opened for it now would stay for ever.
        self._require_open()
        return self._per_loop.get(self._open_resources)

    def _require_open(self) -> None:
        if self._closed:
            raise ConfigurationError("The client is closed; make another one, or enter it again.")
        if self._own_client is not None and self._own_client.is_closed:
            raise ConfigurationError("The `http_client` that was passed in is closed.")

    def _open_resources(self) -> LoopResources:
        engines: list[Engine] = []

        def make_transport(proxy: httpx.Proxy | None) -> httpx.AsyncBaseTransport:
            if self._own_transport is not None:
                return self._own_transport
            limits = self._limits
            engine = self._make_engine(
                size=limits.max_connections + limits.max_streams + limits.max_downloads,
                keepalive_expiry=limits.keepalive_expiry,
                tls=self._tls,
                proxy=proxy,
            )
            engines.append(engine)
            return engine

        return LoopResources(
            client=self._own_client or self._fast_client(make_transport),
            engines=engines,
            requests=_slots(self._limits.max_connections),
            streams=_slots(self._limits.max_streams),
            downloads=_slots(self._limits.max_downloads),
        )

    def _fast_client(
        self, make_transport: Callable[[httpx.Proxy | None], httpx.AsyncBaseTransport]
    ) -> httpx.AsyncClient:
        try:
            return FastClient(make_transport, trust_env=self._trust_env and self._own_transport is None)
        except ConfigurationError:
            raise
        except (ValueError, httpx.InvalidURL):  # the address may hold a password, so it is not repeated
            raise ConfigurationError(
                "A proxy in the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) has an address that cannot be used: "
                "it must start with http://, https://, socks5:// or socks5h://."
            ) from None

    def _tls(self) -> ssl.SSLContext:
        """Make the TLS context, once, at the first https request: reading the certificates takes 10 ms and more."""
        if self._tls_context is None:
            try:
                self._tls_context = httpx.create_ssl_context(trust_env=self._trust_env)
            except OSError as exc:
                raise _no_tls(exc) from exc
        return self._tls_context


@dataclass(frozen=True, slots=True, eq=False)
class LoopResources:
    """What one event loop uses.

    Attributes:
        client: Sends.
        engines: Our transports under it, the direct one first; none under a client or transport of the user's own.
        requests: Slots of ordinary requests.
        streams: Slots of text streams.
        downloads: Slots of files.
    """

    client: httpx.AsyncClient
    engines: list[Engine]
    requests: anyio.Semaphore
    streams: anyio.Semaphore
    downloads: anyio.Semaphore

    def abandon(self) -> None:
        """Close the sockets of a loop that has ended."""
        for engine in self.engines:
            engine.abandon()


def build_transport(
    *,
    limits: Limits,
    http_client: httpx.AsyncClient | None = None,
    transport: httpx.AsyncBaseTransport | str | None = None,
    trust_env: bool = True,
    only_public_files: bool = False,
) -> HttpxTransport:
    """Choose the engine for what a client was made with.

    Args:
        limits: Slots and connections.
        http_client: An `httpx.AsyncClient` of the user's own.
        transport: An `httpx.AsyncBaseTransport` of the user's own, or the name of an engine.
        trust_env: Read proxies and the certificates' place from the environment.
        only_public_files: Refuse downloads from private networks.

    Raises:
        ConfigurationError: An argument of another type, both arguments at once, an unknown name, or an engine whose
            packages are not installed.
    """
    given: Any = http_client
    under: Any = transport
    bounds: object = limits
    if not isinstance(bounds, Limits):
        raise ConfigurationError(f"`limits` must be a Limits, not {_name(bounds)}.")
    if given is not None and under is not None:
        raise ConfigurationError("Pass `http_client` or `transport`, not both; a client has its own transport.")
    if isinstance(under, str):
        if under != "aiohttp":
            raise ConfigurationError(
                f'There is no transport {under!r}; leave `transport` out for the default one, or pass "aiohttp".'
            )
        engine = _aiohttp()
        return HttpxTransport(limits=limits, trust_env=trust_env, engine=engine, only_public_files=only_public_files)
    if given is not None and not isinstance(given, httpx.AsyncClient):
        hint = " The synchronous one cannot be awaited." if isinstance(given, httpx.Client) else ""
        raise ConfigurationError(f"`http_client` must be an httpx.AsyncClient, not {_name(given)}.{hint}")
    if under is not None and not isinstance(under, httpx.AsyncBaseTransport):
        hint = " The synchronous one cannot be awaited." if isinstance(under, httpx.BaseTransport) else ""
        raise ConfigurationError(f"`transport` must be an httpx.AsyncBaseTransport, not {_name(under)}.{hint}")
    return HttpxTransport(
        limits=limits, http_client=given, transport=under, trust_env=trust_env, only_public_files=only_public_files
    )


def _aiohttp() -> EngineMaker:
    if find_spec("aiohttp") is None or find_spec("httpx_aiohttp") is None:
        raise ConfigurationError("`transport=\"aiohttp\"` needs two more packages: `pip install 'neuralbox[speed]'`.")
    try:  # aiohttp makes TLS contexts when it is imported
        from .aiohttp.adapter import AiohttpTransport
    except OSError as exc:
        raise _no_tls(exc) from exc
    return AiohttpTransport


def _no_tls(exc: OSError) -> ConfigurationError:
    # Only the file for the session keys is named by its error; certificates are loaded by OpenSSL, which names none.
    if exc.filename is not None:
        return ConfigurationError("The file that SSLKEYLOGFILE names cannot be written.")
    return ConfigurationError("The certificates that SSL_CERT_FILE or SSL_CERT_DIR name cannot be read.")


def _slots(width: int) -> anyio.Semaphore:
    # anyio's fast one: first come, first served, and it does not force a turn of the loop on everybody who finds a
    # slot free (1 microsecond instead of 14). The maximum turns a slot that is given back twice into an error.
    return anyio.Semaphore(width, max_value=width, fast_acquire=True)


def nothing_left(error: NeuralBoxError) -> bool:
    """Tell whether an error says by itself that the request did not leave."""
    return isinstance(error, ConnectError | ConfigurationError) or (
        isinstance(error, APITimeoutError) and error.phase in {"connect", "pool"}
    )


def _name(value: object) -> str:
    kind = value if isinstance(value, type) else type(value)
    article = "the class " if isinstance(value, type) else ""
    return f"{article}{kind.__module__.partition('.')[0]}.{kind.__qualname__}"

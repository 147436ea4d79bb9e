"""What every client is: a core over connections that its copies share, opened and closed with it.

The clients differ in their resources, their options and what identifies them; all of that stays with them. Here is how
a client and its copies come by their core, how everything they opened is closed together, and the two functions of which
`with_raw_response` is made.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from functools import wraps
from types import TracebackType
from typing import Any, ClassVar, ParamSpec, Self, TypeVar
from urllib.parse import urlsplit
from weakref import ReferenceType, WeakValueDictionary, ref

import anyio

from ._api.addresses import is_private_host
from ._api.checks import require_flag
from ._config import ClientOptions, Polling, Service, Timeout, base_url_from_environment, log_from_environment
from ._core.credentials import Credential
from ._core.exchange import Core, TimeSource
from ._core.reply_capture import CapturedReplies, capture_replies
from ._errors import ConfigurationError
from ._hooks import Hooks, hooks_of
from ._models.raw import RawResponse
from ._result_cache import ResultCache, close_cache
from ._transport import HttpClient, HttpTransport, Limits, Transport, build_transport
from ._transport.closing import announce_closed, announce_open
from ._types import BoundToProcess, Omit

P = ParamSpec("P")
T = TypeVar("T")

# Most seconds that closing may take.
_GOODBYE = 5.0


class BaseClient(BoundToProcess):
    """Base of the clients: their core, their copies and their end.

    Attributes:
        _clockwork: Time and chance; tests put virtual ones here.
    """

    _clockwork: ClassVar[TimeSource] = TimeSource()
    _connections: TransportPool
    _core: Core

    def _connect(
        self,
        credential: Credential,
        *,
        service: Service,
        base_url: str | None,
        timeout: float | Timeout | Omit | None,
        default_headers: Mapping[str, str] | None,
        polling: Polling | None,
        hooks: Hooks | Sequence[Hooks] | None,
        limits: Limits | None,
        http_client: HttpClient | None,
        transport: HttpTransport | str | None,
        trust_env: bool,
        private_files: bool,
        **options: Any,
    ) -> None:
        """Make the core of a new client; `options` are those that need no reading."""
        log_from_environment()
        require_flag("trust_env", trust_env)
        require_flag("private_files", private_files)
        self._connections = TransportPool(limits or Limits(), http_client, transport, trust_env, private_files)
        made = ClientOptions(
            base_url=base_url_from_environment(base_url, service),
            timeout=Timeout() if isinstance(timeout, Omit) else Timeout.of(timeout),
            default_headers=default_headers or {},
            polling=polling or Polling(),
            hooks=hooks_of(hooks),
            service=service,
            **options,
        )
        self._connections.keep(made.cache)
        self._core = Core(self._connections.of(credential, made.base_url), made, credential, self._clockwork)

    def _copied(
        self,
        *,
        credential: Credential | None,
        timeout: float | Timeout | Omit | None,
        deadline: float | Omit | None,
        hooks: Hooks | Sequence[Hooks] | None,
        **changes: Any,
    ) -> Self:
        """Make a copy with other options; a change to None is none, except where None means "without limit"."""
        changes = {name: value for name, value in changes.items() if value is not None}
        if not isinstance(timeout, Omit):
            changes["timeout"] = Timeout.of(timeout)
        if not isinstance(deadline, Omit):
            changes["deadline"] = deadline
        if hooks is not None:
            changes["hooks"] = hooks_of(hooks)
        core = self._core
        options, credential = core.options.with_changes(**changes), credential or core.credential
        copy = object.__new__(type(self))
        copy._connections = self._connections
        copy._connections.keep(changes.get("cache"))
        if credential.identity == core.credential.identity and options.base_url == core.options.base_url:
            copy._core = core.with_options(options)
        else:
            transport = self._connections.of(credential, options.base_url)
            copy._core = Core(transport, options, credential, core.time_source)
        return copy

    async def aclose(self) -> None:
        """Close the connections of the running loop and the cache, those of copies included; a closed client sends nothing more.

        Entering `async with` again opens it again. A user's own `http_client` is left open.
        """
        await self._connections.aclose()

    async def __aenter__(self) -> Self:
        self._connections.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        core = getattr(self, "_core", None)  # none in what an error reporter shows of one that could not be made
        return f"<{type(self).__name__} {'unfinished' if core is None else core.options.base_url}>"


class TransportPool:
    """The transports and the caches of a client and its copies, opened and closed together.

    One transport for each account and base URL: a program that makes a copy for each request of its users holds no more
    connections than it has accounts.
    """

    def __init__(
        self,
        limits: Limits,
        http_client: HttpClient | None,
        transport: HttpTransport | str | None,
        trust_env: bool,
        private_files: bool = False,
    ) -> None:
        self._arguments = (limits, http_client, transport, trust_env, private_files)
        self._transports: dict[tuple[object, str], Transport] = {}
        # A program that makes a copy with another cache for each of its users keeps no more of them than are in use.
        self._caches: WeakValueDictionary[int, ResultCache] = WeakValueDictionary()
        self._closed = False
        self._owner: ReferenceType[object] | None = None

    def of(self, credential: Credential, base_url: str) -> Transport:
        """Return the transport of an account at a base URL."""
        made = self._transports.get((credential.identity, base_url))
        if made is None:
            if self._closed:  # nobody would close it any more
                raise ConfigurationError("The client is closed; enter it again before copying it.")
            limits, http_client, transport, trust_env, private_files = self._arguments
            made = build_transport(
                limits=limits,
                http_client=http_client,
                transport=transport,
                trust_env=trust_env,
                only_public_files=not private_files and not is_private_host(urlsplit(base_url).hostname or ""),
            )
            self._transports[credential.identity, base_url] = made
        return made

    def keep(self, cache: ResultCache | None) -> None:
        """Close a cache with the transports, if anybody still has it then."""
        if cache is not None:
            self._caches[id(cache)] = cache

    @property
    def owner(self) -> object:
        """Return whoever sees to it that they are closed; None where that is the user's own business."""
        return None if self._owner is None else self._owner()

    def own(self, owner: object) -> None:
        """Take note of whoever sees to it that they are closed, weakly: it is dropped with what was made of it."""
        self._owner = ref(owner)

    def open(self) -> None:
        """Let all of them send again."""
        self._closed = False
        for transport in [*self._transports.values()]:
            transport.reopen()
            announce_open(transport)

    async def aclose(self) -> None:
        """Close all of them. A cancelled caller still closes, but never waits longer than a goodbye may take."""
        self._closed = True
        for transport in [*self._transports.values()]:
            announce_closed(transport)
        with anyio.move_on_after(_GOODBYE, shield=True):
            for transport in [*self._transports.values()]:
                await transport.aclose()
        for cache in [cache for known in self._caches.valuerefs() if (cache := known()) is not None]:
            await close_cache(cache)


# What other parts of the package take of a client.


def core_of(client: BaseClient) -> Core:
    """Return what a client sends with."""
    return client._core


def transports_of(client: BaseClient) -> TransportPool:
    """Return the transports of a client and its copies."""
    return client._connections


@contextmanager
def using_time(source: TimeSource) -> Iterator[None]:
    """Give this time to every client that is made inside the block."""
    former = BaseClient._clockwork
    BaseClient._clockwork = source
    try:
        yield
    finally:
        BaseClient._clockwork = former


# `with_raw_response`: nothing is sent differently; whoever calls sees which replies the call ended with.


def raw(method: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[RawResponse[T]]]:
    """Wrap a method of a resource: it returns its value together with the first reply the call ended with."""

    @wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> RawResponse[T]:
        with capture_replies() as seen:
            value = await method(*args, **kwargs)
        return _raw_response(seen, value)

    return call


def raw_stream(
    method: Callable[P, AbstractAsyncContextManager[T]],
) -> Callable[P, AbstractAsyncContextManager[RawResponse[T]]]:
    """Wrap a method that returns a stream: its block gives the stream together with the reply it opened with."""

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> AbstractAsyncContextManager[RawResponse[T]]:
        return _opened(method(*args, **kwargs))

    return call


@asynccontextmanager
async def _opened(manager: AbstractAsyncContextManager[T]) -> AsyncIterator[RawResponse[T]]:
    async with AsyncExitStack() as stack:
        with capture_replies() as seen:
            value = await stack.enter_async_context(manager)
        yield _raw_response(seen, value)


def _raw_response(seen: Sequence[CapturedReplies], value: T) -> RawResponse[T]:
    if not seen:
        return RawResponse(0, {}, b"", 0, value)
    reply = seen[0].reply
    return RawResponse(reply.status_code, reply.headers, reply.content, seen[0].attempts, value)

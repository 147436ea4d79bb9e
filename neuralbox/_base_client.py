"""What every client is: a core over connections that its copies share, opened and closed with it.

The clients differ in their resources, their options and what identifies them; all of that stays with them. Here is how a
copy comes by its core, and how everything that copies opened is closed together.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, ClassVar, Self
from weakref import ReferenceType, ref

import anyio

from ._config import ClientOptions, Timeout
from ._core.credentials import Credential
from ._core.exchange import Core, TimeSource
from ._errors import ConfigurationError
from ._transport import HttpClient, HttpTransport, Limits, Transport, build_transport
from ._types import Omit

# Most seconds that closing may take.
_GOODBYE = 5.0


class BaseClient:
    """Base of the clients: their core, their copies and their end.

    Attributes:
        _clockwork: Time and chance; tests put virtual ones here.
    """

    _clockwork: ClassVar[TimeSource] = TimeSource()
    _connections: TransportPool
    _core: Core

    def _connect(self, connections: TransportPool, options: ClientOptions, credential: Credential) -> None:
        self._connections = connections
        self._core = Core(connections.of(credential, options.base_url), options, credential, self._clockwork)

    def _copied(
        self,
        *,
        credential: Credential | None,
        timeout: float | Timeout | Omit | None,
        deadline: float | Omit | None,
        **changes: Any,
    ) -> Self:
        """Make a copy with other options; a change to None is none, except where None means "without limit"."""
        changes = {name: value for name, value in changes.items() if value is not None}
        if not isinstance(timeout, Omit):
            changes["timeout"] = Timeout.of(timeout)
        if not isinstance(deadline, Omit):
            changes["deadline"] = deadline
        core = self._core
        options, credential = core.options.with_changes(**changes), credential or core.credential
        copy = object.__new__(type(self))
        copy._connections = self._connections
        if credential.identity == core.credential.identity and options.base_url == core.options.base_url:
            copy._core = core.with_options(options)
        else:
            transport = self._connections.of(credential, options.base_url)
            copy._core = Core(transport, options, credential, core.time_source)
        return copy

    async def aclose(self) -> None:
        """Close the connections of the running loop, those of copies included; a closed client sends nothing more.

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
        return f"<{type(self).__name__} {self._core.options.base_url}>"


class TransportPool:
    """The transports of a client and its copies, opened and closed together.

    One for each account and base URL: a program that makes a copy for each request of its users holds no more
    connections than it has accounts.
    """

    def __init__(
        self, limits: Limits, http_client: HttpClient | None, transport: HttpTransport | str | None, trust_env: bool
    ) -> None:
        self._arguments = (limits, http_client, transport, trust_env)
        self._transports: dict[tuple[object, str], Transport] = {}
        self._closed = False
        self._owner: ReferenceType[object] | None = None

    def of(self, credential: Credential, base_url: str) -> Transport:
        """Return the transport of an account at a base URL."""
        made = self._transports.get((credential.identity, base_url))
        if made is None:
            if self._closed:  # nobody would close it any more
                raise ConfigurationError("The client is closed; enter `async with` again before copying it.")
            limits, http_client, transport, trust_env = self._arguments
            made = build_transport(limits=limits, http_client=http_client, transport=transport, trust_env=trust_env)
            self._transports[credential.identity, base_url] = made
        return made

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

    async def aclose(self) -> None:
        """Close all of them. A cancelled caller still closes, but never waits longer than a goodbye may take."""
        self._closed = True
        with anyio.move_on_after(_GOODBYE, shield=True):
            for transport in [*self._transports.values()]:
                await transport.aclose()

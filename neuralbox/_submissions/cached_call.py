"""A paid call whose result may be in the client's cache; the file is read and written in threads."""

from __future__ import annotations

from functools import partial

from anyio import to_thread

from .._api.request import Request
from .._config import CallOptions
from .._core.exchange import Core
from .._models.generation import Generation
from .._result_cache import ResultCache, content_key


class CachedCall:
    """One request, by the name of its result.

    Args:
        core: The client.
        cache: Where results are.
        request: What would be sent, its files read; what is hashed is what is sent.
        call: What this one call changes.
        kind: What the resource knows it to be.
    """

    __slots__ = ("_cache", "_core", "_key")

    def __init__(
        self, core: Core, cache: ResultCache, request: Request, call: CallOptions, *, kind: str | None
    ) -> None:
        self._core = core
        self._cache = cache
        options = core.options
        self._key = content_key(
            request, call.extra_body, service=options.service.name, server=options.base_url, kind=kind
        )

    async def find(self) -> Generation | None:
        """Return the result, if it was bought before.

        Raises:
            ConfigurationError: The cache cannot be read; nothing was sent.
        """
        if self._key is None:
            return None
        core = self._core
        return await to_thread.run_sync(self._cache.get, self._key, core.now(), core.options.service.read)

    async def keep(self, generation: Generation) -> None:
        """Keep a result, if it is one."""
        if self._key is not None and generation.is_completed and not generation.is_cached:
            await to_thread.run_sync(partial(self._cache.put, self._key, generation, self._core.now()))

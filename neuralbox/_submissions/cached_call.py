"""A paid call whose result may be in the client's cache; the file is read and written in threads.

Whoever pays asks `find` first and gives what it bought to `keep`, if its result may stand for every equal request.
"""

from __future__ import annotations

import logging
from functools import partial

from anyio import get_cancelled_exc_class, to_thread

from .._api.request import Request
from .._concurrency.worker_thread import run_to_end
from .._config import CallOptions
from .._core.exchange import Core
from .._models.generation import Generation
from .._result_cache import ResultCache, content_key

logger = logging.getLogger("neuralbox")


def cached_call(core: Core, request: Request, call: CallOptions, *, kind: str | None) -> CachedCall | None:
    """Return a request's place in the client's cache; None where that has none."""
    cache = core.options.cache
    return None if cache is None else CachedCall(core, cache, request, call, kind=kind)


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
            request,
            call.extra_body,
            call.extra_query,
            service=options.service.name,
            server=options.base_url,
            kind=kind,
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
        """Keep a result, if it is one, once, whoever is cancelled meanwhile: it is paid for."""
        if self._key is None or not generation.is_completed or generation.is_cached:
            return
        write = partial(self._cache.put, self._key, generation, self._core.now())
        self._key = None
        try:
            await run_to_end(write)
        except get_cancelled_exc_class():
            logger.warning("A call was cancelled when its result had come; the %s is in the cache.", generation.ref)
            raise

"""Generations by id: asking for one, waiting for many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Unpack

from .._config import CallArgs, CallOptions
from .._core.exchange import Core
from .._models.generation import Generation
from .._polling.job import Job, OnProgress
from .._polling.many import wait_all
from .._polling.status import poll
from .._types import OMIT, GenerationId, JobRef, Omit


class Generations:
    """What was submitted earlier, here or elsewhere."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def get(self, generation_id: GenerationId | JobRef, **call: Unpack[CallArgs]) -> Generation:
        """Ask once for a generation, whatever its state.

        Args:
            generation_id: The id, of either kind.
            **call: `timeout`, `extra_headers`, `extra_query` of this call.

        Returns:
            The generation as it is now; a failed one is returned, not raised.

        Raises:
            NotFoundError: The service knows the id on neither of its two paths.

        Source:
            `GET /api/v2/generate/{id}` (SEED 001, 002) for numbers, `GET /api/v2/generate/status/{generation_id}`
            (SEED 000) for `gen_…`; on 404 or 405 the other one (contradiction C2).
        """
        return await poll(self._core, generation_id, CallOptions.of(call))

    async def wait(
        self,
        jobs: Iterable[GenerationId | JobRef | Job],
        *,
        timeout: float | Omit | None = OMIT,
        on_progress: OnProgress | None = None,
    ) -> Sequence[Generation]:
        """Wait for many generations at once, without a task for each.

        Args:
            jobs: Ids, references or jobs; the same one twice shares its answer.
            timeout: Limit for the whole wait, in seconds; None waits without limit. Default: `polling.timeout`, 600.
            on_progress: Called with every changed `Generation`; may be a coroutine function.

        Returns:
            One generation per input, in input order. Failed ones are returned, not raised: see `is_failed`.

        Raises:
            GenerationTimeoutError: The limit passed; the jobs still run on the server.
            NotFoundError: The service does not know one of the ids; `.job` says which.

        Cancellation:
            Stops polling; the jobs go on and are charged when they complete.
        """
        return await wait_all(self._core, jobs, timeout=timeout, on_progress=on_progress)

"""Sending a paid request once, and turning its answer into a `Job` or a finished generation."""

from __future__ import annotations

import logging

import anyio

from .._config import CallOptions
from .._core import Core
from .._errors import ProtocolError
from .._models.generation import Generation
from .._transport import Reply
from .._types import OMIT, Omit
from .._wire.request import Request
from .handle import Job, require_limit

logger = logging.getLogger("neuralbox")


async def submit(core: Core, request: Request, call: CallOptions, *, kind: str | None, model: str | None) -> Job:
    """Send a paid request and return its job, finished or not.

    Raises:
        SubmissionUnknownError: It was sent and what became of it is unknown.
        GenerationFailedError: The service answered that it failed at once.
        NeuralBoxError: It was refused, or never sent.
    """
    job = Job(core, generation=await _send(core, request, call, kind, model), call=call)
    job.raise_if_failed()
    return job


async def create(
    core: Core,
    request: Request,
    call: CallOptions,
    *,
    kind: str | None,
    model: str | None,
    wait_timeout: float | Omit | None = OMIT,
) -> Generation:
    """Send a paid request and return the finished generation, waiting where the service answers `pending`."""
    require_limit(wait_timeout, core)  # before anything is paid for
    generation = await _send(core, request, call, kind, model)
    if generation.is_completed:
        return generation
    job = Job(core, generation=generation, call=call)
    job.raise_if_failed()
    try:
        return await job.wait(timeout=wait_timeout)
    except anyio.get_cancelled_exc_class():
        # A cancellation cannot carry the job to whoever cancelled, so at least the log has what was paid for.
        logger.warning("A wait was cancelled; the %s goes on and is charged when it completes.", job.ref)
        raise


async def _send(core: Core, request: Request, call: CallOptions, kind: str | None, model: str | None) -> Generation:
    def read(reply: Reply) -> Generation:
        record = core.as_object(reply)
        generation = Generation.read(record, kind=kind)
        if generation.id == "" and not generation.is_final:
            # Accepted, it seems, but nobody could ever ask for the result: the core turns this into "unknown".
            raise ProtocolError(
                f"The service answered {reply.status_code} with neither an id nor a result.",
                status_code=reply.status_code,
            )
        return generation if generation.model is not None else generation.model_copy(update={"model": model})

    return await core.send(request, read, call)

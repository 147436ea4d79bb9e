"""Paid calls: each is bought once for its arguments, after consent, and then waited for as long as its caller wants.

The name of a purchase is the session, the tool, a digest of what is asked, and which attempt it is; `submit(journal=, key=)`
(`_submissions.keyed`) buys it once under that name. So whatever repeats a call - the protocol's second round with the
answer to a question, a client that lost its connection, an agent that was told nothing, another run after a crash - finds
the same job. A purchase that failed was free of charge: the next equal call is a new attempt, and is asked about again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
from anyio import to_thread
from mcp_types import CallToolResult, InputRequiredResult

from .._api.request import Request
from .._base_client import core_of
from .._config import NO_CALL_OPTIONS
from .._costs.charges import price_of
from .._errors import (
    GenerationFailedError,
    GenerationTimeoutError,
    NeuralBoxError,
    NotFoundError,
    SubmissionUnknownError,
)
from .._models.generation import Generation
from .._polling.job import Job, OnProgress
from .._requests.base import BatchRequest
from .._submissions import keyed
from .._types import JobRef

if TYPE_CHECKING:
    from .._client import AsyncNeuralBox
    from ._settings import McpSettings

AskConsent = Callable[[int | None], Awaitable[CallToolResult | InputRequiredResult | None]]
"""Asks a person about a price in tokens; None where they agreed, else what the call is answered with."""

_DIGEST: Final = 24


@dataclass(frozen=True, slots=True)
class Bought:
    """What a paid call came to.

    Attributes:
        generation: The result; None where it is not finished yet.
        job: What it is waited for by.
        earlier: Whether it had been bought before this call.
    """

    generation: Generation | None
    job: JobRef
    earlier: bool


class Purchases:
    """What a server bought.

    Args:
        nb: The client that pays.
        settings: Which journal and session.
    """

    def __init__(self, nb: AsyncNeuralBox, settings: McpSettings) -> None:
        self._nb = nb
        self._settings = settings
        self._paid: set[str] | None = None  # names that were sent, here or by an earlier run
        self._failed: dict[str, int] = {}  # attempts that are known to have failed, by name without the attempt
        self._reading = anyio.Lock()

    async def buy(
        self,
        tool: str,
        request: BatchRequest,
        *,
        variant: int,
        ask: AskConsent,
        wait: float,
        on_progress: OnProgress,
    ) -> Bought | CallToolResult | InputRequiredResult:
        """Buy what a request asks for, unless it was bought before, and wait for it.

        Args:
            tool: Which tool; part of the name.
            request: What is asked.
            variant: Part of the name too.
            ask: Asked before anything is bought.
            wait: Seconds to wait for the result.
            on_progress: Called while it waits.

        Returns:
            What was bought, or what the call is answered with where nothing was.

        Raises:
            NotFoundError: The service does not know the model.
            GenerationFailedError: It failed now; it was free of charge.
            NeuralBoxError: It was refused or never sent; where `SubmissionUnknownError`, the same call looks for it again.

        Cancellation:
            Stops waiting. What had been sent goes on; the same call again finds it.
        """
        wire = request.build(core_of(self._nb).options.dialect)
        name = f"{self._settings.session}/{tool}/{_digest(wire, variant)}"
        paid, journal = await self._known(), await self._journal()
        while True:
            attempt = self._failed.get(name, 0) + 1
            key = name if attempt == 1 else f"{name}/{attempt}"
            was_sent = key in paid
            if not was_sent:
                answered = await ask(await self._price(wire, request))
                if answered is not None:
                    return answered
                paid.add(key)  # agreed to: whoever repeats the call meanwhile is not asked again
            accepted: list[JobRef] = []
            try:
                job = await self._submitted(wire, request, key, journal, accepted)
                # Agreed to is not sent yet: what this call had accepted was bought by it.
                return await self._waited(job, wait, on_progress, earlier=was_sent and not accepted)
            except GenerationFailedError:
                self._failed[name] = attempt
                if accepted or not was_sent:
                    raise
                # It had failed before this call, which therefore is a new attempt.
            except SubmissionUnknownError:
                raise
            except NeuralBoxError as error:
                if not (was_sent or accepted or error.job):  # never sent: the next equal call is asked about
                    paid.discard(key)
                raise

    async def _submitted(
        self, wire: Request, request: BatchRequest, key: str, journal: Path, accepted: list[JobRef]
    ) -> Job:
        return await keyed.submit(
            core_of(self._nb),
            wire,
            NO_CALL_OPTIONS,
            kind=request.result_kind,
            model=request.model,
            on_accepted=accepted.append,
            journal=journal,
            key=key,
        )

    async def _waited(self, job: Job, wait: float, on_progress: OnProgress, *, earlier: bool) -> Bought:
        try:
            generation = await job.wait(timeout=wait, on_progress=on_progress)
        except GenerationTimeoutError:
            return Bought(None, job.ref, earlier)
        return Bought(generation, job.ref, earlier)

    async def _price(self, wire: Request, request: BatchRequest) -> int | None:
        """Return what it will cost; a model that nobody knows is refused before a person is asked about it."""
        tokens = await price_of(core_of(self._nb), wire, model=request.model)
        if tokens is None and request.model is not None:
            try:
                await self._nb.models.get(request.model)
            except NotFoundError as error:
                raise NotFoundError(
                    f"There is no model {request.model!r}; `list_models` lists them. Nothing was bought.",
                    status_code=error.status_code,
                    code=error.code,
                ) from error
        return tokens

    async def _journal(self) -> Path:
        path = self._settings.journal_path
        await to_thread.run_sync(_make_parent, path)
        return path

    async def _known(self) -> set[str]:
        """Return the names that were sent; the first call reads those of earlier runs."""
        async with self._reading:
            if self._paid is None:
                self._paid = await to_thread.run_sync(_names, self._settings.journal_path)
            return self._paid


def _digest(wire: Request, variant: int) -> str:
    asked = json.dumps([wire.path, wire.body, variant], sort_keys=True, default=str)
    return hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]


def _make_parent(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)


def _names(path: Path) -> set[str]:
    from .._journal import PLANNED, read_records
    from .._journal.protocol import STATES

    if not path.exists():
        return set()
    return {record.key for record in read_records(path, states=[state for state in STATES if state != PLANNED])}

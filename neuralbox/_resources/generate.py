"""Any model, a prompt, and `params`: the quickstart's shape.

Written by `python -m neuralbox._codegen` from the request class; do not edit.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Unpack

from .._api.elsewhere import Guided
from .._config import CallArgs, CallOptions
from .._core.exchange import Core
from .._models.generation import Generation
from .._polling.job import Job
from .._requests.generate import GenerateRequest
from .._submissions import keyed, submission
from .._submissions.submission import OnAccepted
from .._types import OMIT, Omit


class Generate(Guided):
    """Any model by its slug; the typed resources know the options of their kind, this one takes what it is given."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def create(
        self,
        *,
        model: str,
        prompt: str,
        params: Mapping[str, Any] | None = None,
        wait_timeout: float | Omit | None = OMIT,
        on_accepted: OnAccepted | None = None,
        **call: Unpack[CallArgs],
    ) -> Generation:
        """Generate, and wait for the result where the service answers `pending`.

        Args:
            model: Any slug.
            prompt: What to make.
            params: Options of the model, sent inside `params`.
            wait_timeout: Limit of the wait in seconds, where the service answers `pending`; None waits without limit.
                Default: `polling.timeout`, 600.
            on_accepted: Called with the `JobRef` as soon as its id is known, before anything is waited for; a plain or
                an async function, which a cancellation does not interrupt. What it raises is logged; the job goes on.
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Returns:
            The completed generation.

        Raises:
            ConfigurationError: The prompt or model is empty; nothing was sent.
            SubmissionUnknownError: The request was sent and its outcome is unknown; it was not sent again.
            GenerationFailedError: It ended without a result; no tokens were charged.
            GenerationTimeoutError: The wait's limit passed; the job still runs, `.job` attaches again.
            APIStatusError: The service refused, by status.

        Source:
            NeuralBox API, `POST /api/v2/generate`, quickstart (SEED 001).
        """
        request = GenerateRequest(model=model, prompt=prompt, params=params)
        wire = request.build(self._core.options.dialect)
        return await submission.create(
            self._core,
            wire,
            CallOptions.of(call),
            kind=request.result_kind,
            model=model,
            wait_timeout=wait_timeout,
            on_accepted=on_accepted,
        )

    async def submit(
        self,
        *,
        model: str,
        prompt: str,
        params: Mapping[str, Any] | None = None,
        on_accepted: OnAccepted | None = None,
        journal: str | os.PathLike[str] | None = None,
        key: str | None = None,
        **call: Unpack[CallArgs],
    ) -> Job:
        """Generate without waiting; arguments and errors as in `create`.

        With `journal=`, a file that is made if it is not there, the job is kept in it under `key=`: the same key again
        gives the same job, also after a crash, and is charged once.

        Returns:
            The job, which may already be finished.

        Raises:
            JournalError: The key stands for another request, or the journal cannot be used; `.reason` says why.

        Source:
            NeuralBox API, `POST /api/v2/generate`, quickstart (SEED 001).
        """
        request = GenerateRequest(model=model, prompt=prompt, params=params)
        wire = request.build(self._core.options.dialect)
        return await keyed.submit(
            self._core,
            wire,
            CallOptions.of(call),
            kind=request.result_kind,
            model=model,
            on_accepted=on_accepted,
            journal=journal,
            key=key,
        )

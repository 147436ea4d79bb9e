"""The quickstart's door: any model, a prompt, and `params`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from .._config import CallArgs, CallOptions
from .._core import Core
from .._jobs import submission
from .._jobs.handle import Job
from .._models.generation import Generation
from .._types import OMIT, Omit
from .._wire.generation import build_generic
from .._wire.request import Request


class Generate:
    """Any model by its slug; the typed doors know the options of their kind, this one takes what it is given."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def create(
        self,
        *,
        model: str,
        prompt: str,
        params: Mapping[str, Any] | None = None,
        wait_timeout: float | Omit | None = OMIT,
        **call: Unpack[CallArgs],
    ) -> Generation:
        """Generate, and wait for the result where the service answers `pending`.

        Args:
            model: Any slug.
            prompt: What to make.
            params: Options of the model, sent inside `params`.
            wait_timeout: Limit of the wait in seconds; None waits without limit. Default: `polling.timeout`, 600.
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
        request = self._request(model, prompt, params)
        options = CallOptions.of(call)
        return await submission.create(self._core, request, options, kind=None, model=model, wait_timeout=wait_timeout)

    async def submit(
        self, *, model: str, prompt: str, params: Mapping[str, Any] | None = None, **call: Unpack[CallArgs]
    ) -> Job:
        """Generate without waiting; arguments and errors as in `create`.

        Returns:
            The job, which may already be finished.

        Source:
            NeuralBox API, `POST /api/v2/generate`, quickstart (SEED 001).
        """
        request = self._request(model, prompt, params)
        return await submission.submit(self._core, request, CallOptions.of(call), kind=None, model=model)

    def _request(self, model: str, prompt: str, params: Mapping[str, Any] | None) -> Request:
        nested = self._core.options.dialect.options != "flat"
        return build_generic(model=model, prompt=prompt, params=params, nested=nested)

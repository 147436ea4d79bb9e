"""Tools: upscaling, face swap, text recognition and their like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from .._config import CallArgs, CallOptions
from .._core import Core
from .._jobs import submission
from .._jobs.handle import Job
from .._models.generation import Generation
from .._types import OMIT, Omit
from .._wire.generation import build_tool
from .._wire.request import Request, given
from .._wire.vocabulary import ToolModel


class Tools:
    """Tools by slug. Their parameters are not documented, so they are passed on as they are given."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def create(
        self,
        *,
        model: ToolModel | str,
        prompt: str | None = None,
        image_url: str | Omit = OMIT,
        params: Mapping[str, Any] | None = None,
        wait_timeout: float | Omit | None = OMIT,
        **call: Unpack[CallArgs],
    ) -> Generation:
        """Run a tool and wait for its result where the service answers `pending`.

        Args:
            model: Slug of a tool.
            prompt: What to do, for tools that take one.
            image_url: The input image, for tools that take one; a plausible name, not a documented one.
            params: Further parameters of the tool.
            wait_timeout: Limit of the wait in seconds; None waits without limit. Default: `polling.timeout`, 600.
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Returns:
            The completed generation; `url` or `text` (text recognition) holds the result.

        Raises:
            ConfigurationError: The model is empty; nothing was sent.
            SubmissionUnknownError: The request was sent and its outcome is unknown; it was not sent again.
            GenerationFailedError: It ended without a result; no tokens were charged.
            GenerationTimeoutError: The wait's limit passed; the job still runs, `.job` attaches again.
            APIStatusError: The service refused, by status.

        Source:
            NeuralBox API, quickstart (SEED 001): tools go through `POST /api/v2/generate`.
        """
        request = self._request(model, prompt, image_url, params)
        options = CallOptions.of(call)
        return await submission.create(
            self._core, request, options, kind="tool", model=model, wait_timeout=wait_timeout
        )

    async def submit(
        self,
        *,
        model: ToolModel | str,
        prompt: str | None = None,
        image_url: str | Omit = OMIT,
        params: Mapping[str, Any] | None = None,
        **call: Unpack[CallArgs],
    ) -> Job:
        """Run a tool without waiting; arguments and errors as in `create`.

        Returns:
            The job, which may already be finished.

        Source:
            NeuralBox API, quickstart (SEED 001): tools go through `POST /api/v2/generate`.
        """
        request = self._request(model, prompt, image_url, params)
        return await submission.submit(self._core, request, CallOptions.of(call), kind="tool", model=model)

    def _request(
        self, model: str, prompt: str | None, image_url: str | Omit, params: Mapping[str, Any] | None
    ) -> Request:
        options = {**given(image_url=image_url), **(params or {})}
        nested = self._core.options.dialect.options == "nested"
        return build_tool(model=model, prompt=prompt, options=options, nested=nested)

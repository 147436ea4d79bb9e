"""Pictures by GeminiGen.

Written by `python -m neuralbox._codegen` from the request class; do not edit.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Unpack

from .._api.gemini_vocabulary import AspectRatio, ServiceMode, Style
from .._config import CallArgs, CallOptions
from .._core.exchange import Core
from .._models.generation import Generation
from .._polling.job import Job
from .._submissions import keyed, submission
from .._submissions.submission import OnAccepted
from .._types import OMIT, Omit
from ..geminigen._image_request import GeminiImageRequest
from ..geminigen._local_files import LocalSource


class GeminiImages:
    """Image models."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def create(
        self,
        *,
        model: str,
        prompt: str,
        family: str | Omit = OMIT,
        aspect_ratio: AspectRatio | str | Omit = OMIT,
        style: Style | str | Omit = OMIT,
        resolution: str | Omit = OMIT,
        output_format: str | Omit = OMIT,
        service_mode: ServiceMode | str | Omit = OMIT,
        orientation: str | Omit = OMIT,
        num_result: int | Omit = OMIT,
        mode: str | Omit = OMIT,
        background: str | Omit = OMIT,
        files: Sequence[LocalSource] | Omit = OMIT,
        file_urls: Sequence[str] | Omit = OMIT,
        ref_history: str | Omit = OMIT,
        wait_timeout: float | Omit | None = OMIT,
        on_accepted: OnAccepted | None = None,
        **call: Unpack[CallArgs],
    ) -> Generation:
        """Make a picture and wait for it.

        Which options a family takes is its own business: what is given is sent, and only what a source says is refused
        is refused here. `neuralbox.geminigen.IMAGE_FAMILIES` has what is known.

        Args:
            model: Slug, such as `nano-banana-pro` or `imagen-4`; a family of one model is named by that: `grok`,
                `meta_ai`, `gpt-image-2`, `gpt-image-2-lower`. The record may name another.
            prompt: What to draw.
            family: Where to ask, for a model whose family is not known: `generate_image` or one of the four above.
            aspect_ratio: Such as `16:9`; the service's default is `1:1`.
            style: Such as `Photorealistic`; left out for none.
            resolution: `1K` (the service's default), `2K`, `4K`; up to `12K` for gpt-image-2.
            output_format: `jpeg` (the service's default) or `png`.
            service_mode: `unstable` (cheaper, slower at peak) or `stable`; later documents do not have it.
            orientation: Of grok and meta_ai: `landscape`, `portrait`, `square`.
            num_result: Of grok (at most 8) and meta_ai (at most 4): how many pictures the one record has.
            mode: Of grok `SPEED` or `QUALITY`, of gpt-image-2 `low`, `medium`, `high`.
            background: Of gpt-image-2.
            files: Local pictures to go by: paths, bytes, `(name, bytes)` or open binary files; they are read while they
                are sent. In a batch with a journal paths only.
            file_urls: Addresses of pictures to go by.
            ref_history: The uuid of an earlier picture to go by.
            wait_timeout: Limit of the wait in seconds, where the service answers `pending`; None waits without limit.
                Default: `polling.timeout`, 600.
            on_accepted: Called with the `JobRef` as soon as its id is known, before anything is waited for; a plain or
                an async function, which a cancellation does not interrupt. What it raises is logged; the job goes on.
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Returns:
            The completed generation; `url` is the file, and `HistoryItem.read(generation.raw)` has all there is.

        Raises:
            ConfigurationError: The prompt is empty, the model's family is not known, a reference is one too many or
                cannot be read; nothing was sent.
            SubmissionUnknownError: The request was sent and its outcome is unknown; it was not sent again.
            GenerationFailedError: It ended without a result.
            GenerationTimeoutError: The wait's limit passed; the job still runs, `.job` attaches again.
            APIStatusError: The service refused, by status.

        Source:
            GeminiGen, "Image Generation" [gem:image], `POST /uapi/v1/generate_image`; families of 2026 from clients
            [gem:client 5, 8, 9, 25].
        """
        request = GeminiImageRequest(
            model=model,
            prompt=prompt,
            family=family,
            aspect_ratio=aspect_ratio,
            style=style,
            resolution=resolution,
            output_format=output_format,
            service_mode=service_mode,
            orientation=orientation,
            num_result=num_result,
            mode=mode,
            background=background,
            files=files,
            file_urls=file_urls,
            ref_history=ref_history,
        )
        wire = await request.prepare(self._core.options.dialect)
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
        family: str | Omit = OMIT,
        aspect_ratio: AspectRatio | str | Omit = OMIT,
        style: Style | str | Omit = OMIT,
        resolution: str | Omit = OMIT,
        output_format: str | Omit = OMIT,
        service_mode: ServiceMode | str | Omit = OMIT,
        orientation: str | Omit = OMIT,
        num_result: int | Omit = OMIT,
        mode: str | Omit = OMIT,
        background: str | Omit = OMIT,
        files: Sequence[LocalSource] | Omit = OMIT,
        file_urls: Sequence[str] | Omit = OMIT,
        ref_history: str | Omit = OMIT,
        on_accepted: OnAccepted | None = None,
        journal: str | os.PathLike[str] | None = None,
        key: str | None = None,
        **call: Unpack[CallArgs],
    ) -> Job:
        """Make a picture without waiting; arguments and errors as in `create`.

        With `journal=`, a file that is made if it is not there, the job is kept in it under `key=`: the same key again
        gives the same job, also after a crash, and is charged once.

        Returns:
            The job: `await job.wait()`, or keep `job.id`, its uuid, and attach again with `client.job(uuid)`.

        Raises:
            JournalError: The key stands for another request, or the journal cannot be used; `.reason` says why.

        Source:
            GeminiGen, "Image Generation" [gem:image], `POST /uapi/v1/generate_image`; families of 2026 from clients
            [gem:client 5, 8, 9, 25].
        """
        request = GeminiImageRequest(
            model=model,
            prompt=prompt,
            family=family,
            aspect_ratio=aspect_ratio,
            style=style,
            resolution=resolution,
            output_format=output_format,
            service_mode=service_mode,
            orientation=orientation,
            num_result=num_result,
            mode=mode,
            background=background,
            files=files,
            file_urls=file_urls,
            ref_history=ref_history,
        )
        wire = await request.prepare(self._core.options.dialect)
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

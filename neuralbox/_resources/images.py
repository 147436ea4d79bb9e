"""Images.

Written by `python -m neuralbox._codegen` from the request class; do not edit.
"""

from __future__ import annotations

import os
from typing import Unpack

from .._api.elsewhere import Guided
from .._api.vocabulary import ImageFormat, ImageModel, ImageQuality, ImageSize, ImageStyle
from .._config import CallArgs, CallOptions
from .._core.exchange import Core
from .._models.generation import Generation
from .._polling.job import Job
from .._requests.image import ImageRequest
from .._submissions import keyed, submission
from .._submissions.submission import OnAccepted
from .._types import OMIT, Omit


class Images(Guided):
    """Image models: one image a call."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def create(
        self,
        *,
        model: ImageModel | str,
        prompt: str,
        negative_prompt: str | Omit = OMIT,
        size: ImageSize | str | Omit = OMIT,
        format: ImageFormat | str | Omit = OMIT,
        quality: ImageQuality | str | Omit = OMIT,
        style: ImageStyle | str | Omit = OMIT,
        seed: int | Omit = OMIT,
        image_url: str | Omit = OMIT,
        aspect_ratio: str | Omit = OMIT,
        wait_timeout: float | Omit | None = OMIT,
        on_accepted: OnAccepted | None = None,
        **call: Unpack[CallArgs],
    ) -> Generation:
        """Generate an image, waiting for the slow models (Midjourney answers `pending`).

        Args:
            model: Slug of an image model; the answer may name another (`midjourney-v6` comes back as `midjourney`).
            prompt: What to draw.
            negative_prompt: What to leave out (Flux, SD, Midjourney).
            size: Pixels such as `1024x1024`; for Midjourney a ratio such as `16:9`. Which ones a model takes is
                documented for some of them; another is refused there before anything is sent, and goes through
                `extra_body` if you know better.
            format: `webp` (the service's default), `png`, `jpeg`.
            quality: `standard` (the service's default) or `hd`, which costs more.
            style: `vivid` or `natural` for DALL-E 3.
            seed: For repeatable results.
            image_url: Input image of image-to-image models.
            aspect_ratio: A ratio, in the nested form of Midjourney; `size` is the seed's way.
            wait_timeout: Limit of the wait in seconds, where the service answers `pending`; None waits without limit.
                Default: `polling.timeout`, 600.
            on_accepted: Called with the `JobRef` as soon as its id is known, before anything is waited for; a plain or
                an async function, which a cancellation does not interrupt. What it raises is logged; the job goes on.
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Returns:
            The completed generation; `url` is the file, `width` and `height` its pixels.

        Raises:
            ConfigurationError: The prompt or model is empty; nothing was sent.
            SubmissionUnknownError: The request was sent and its outcome is unknown; it was not sent again.
            GenerationFailedError: It ended without a result; no tokens were charged.
            GenerationTimeoutError: The wait's limit passed; the job still runs, `.job` attaches again.
            APIStatusError: The service refused, by status.

        Source:
            NeuralBox API, "Image Generation", `POST /api/v2/generate` (SEED 002, SEED 001).
        """
        request = ImageRequest(
            model=model,
            prompt=prompt,
            negative_prompt=negative_prompt,
            size=size,
            format=format,
            quality=quality,
            style=style,
            seed=seed,
            image_url=image_url,
            aspect_ratio=aspect_ratio,
        )
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
        model: ImageModel | str,
        prompt: str,
        negative_prompt: str | Omit = OMIT,
        size: ImageSize | str | Omit = OMIT,
        format: ImageFormat | str | Omit = OMIT,
        quality: ImageQuality | str | Omit = OMIT,
        style: ImageStyle | str | Omit = OMIT,
        seed: int | Omit = OMIT,
        image_url: str | Omit = OMIT,
        aspect_ratio: str | Omit = OMIT,
        on_accepted: OnAccepted | None = None,
        journal: str | os.PathLike[str] | None = None,
        key: str | None = None,
        **call: Unpack[CallArgs],
    ) -> Job:
        """Generate an image without waiting; arguments and errors as in `create`.

        With `journal=`, a file that is made if it is not there, the job is kept in it under `key=`: the same key again
        gives the same job, also after a crash, and is charged once.

        Returns:
            The job, which is already finished for models that answer at once.

        Raises:
            JournalError: The key stands for another request, or the journal cannot be used; `.reason` says why.

        Source:
            NeuralBox API, "Image Generation", `POST /api/v2/generate` (SEED 002, SEED 001).
        """
        request = ImageRequest(
            model=model,
            prompt=prompt,
            negative_prompt=negative_prompt,
            size=size,
            format=format,
            quality=quality,
            style=style,
            seed=seed,
            image_url=image_url,
            aspect_ratio=aspect_ratio,
        )
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

"""Videos: always jobs.

Written by `python -m neuralbox._codegen` from the request class; do not edit.
"""

from __future__ import annotations

import os
from typing import Unpack

from .._api.elsewhere import Guided
from .._api.vocabulary import VideoModel, VideoRatio, VideoSeconds
from .._config import CallArgs, CallOptions
from .._core.exchange import Core
from .._models.generation import Generation
from .._polling.job import Job
from .._requests.video import VideoRequest
from .._submissions import keyed, submission
from .._submissions.submission import OnAccepted
from .._types import OMIT, Omit


class Videos(Guided):
    """Video models; a video takes some 20 to 180 seconds."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def create(
        self,
        *,
        model: VideoModel | str,
        prompt: str,
        image_url: str | Omit = OMIT,
        duration: VideoSeconds | int | Omit = OMIT,
        aspect_ratio: VideoRatio | str | Omit = OMIT,
        negative_prompt: str | Omit = OMIT,
        wait_timeout: float | Omit | None = OMIT,
        on_accepted: OnAccepted | None = None,
        **call: Unpack[CallArgs],
    ) -> Generation:
        """Generate a video and wait for it.

        Args:
            model: Slug of a video model.
            prompt: What to film.
            image_url: Start frame, for image-to-video.
            duration: Seconds, 5 (the service's default) or 10, depending on the model.
            aspect_ratio: `16:9` (the service's default), `9:16` or `1:1`.
            negative_prompt: What to leave out.
            wait_timeout: Limit of the wait in seconds, where the service answers `pending`; None waits without limit.
                Default: `polling.timeout`, 600.
            on_accepted: Called with the `JobRef` as soon as its id is known, before anything is waited for; a plain or
                an async function, which a cancellation does not interrupt. What it raises is logged; the job goes on.
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Returns:
            The completed generation; `url` is the file, `duration` its seconds.

        Raises:
            ConfigurationError: The prompt or model is empty; nothing was sent.
            SubmissionUnknownError: The request was sent and its outcome is unknown; it was not sent again.
            GenerationFailedError: It ended without a result; no tokens were charged.
            GenerationTimeoutError: The wait's limit passed; the job still runs, `.job` attaches again.
            APIStatusError: The service refused, by status.

        Source:
            NeuralBox API, "Video Generation" [nb:en/api-reference/generations/video], `POST /api/v2/generate`.
        """
        request = VideoRequest(
            model=model,
            prompt=prompt,
            image_url=image_url,
            duration=duration,
            aspect_ratio=aspect_ratio,
            negative_prompt=negative_prompt,
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
        model: VideoModel | str,
        prompt: str,
        image_url: str | Omit = OMIT,
        duration: VideoSeconds | int | Omit = OMIT,
        aspect_ratio: VideoRatio | str | Omit = OMIT,
        negative_prompt: str | Omit = OMIT,
        on_accepted: OnAccepted | None = None,
        journal: str | os.PathLike[str] | None = None,
        key: str | None = None,
        **call: Unpack[CallArgs],
    ) -> Job:
        """Generate a video without waiting; arguments and errors as in `create`.

        With `journal=`, a file that is made if it is not there, the job is kept in it under `key=`: the same key again
        gives the same job, also after a crash, and is charged once.

        Returns:
            The job: `await job.wait()`, or keep `job.id` and attach again with `client.job(id)`.

        Raises:
            JournalError: The key stands for another request, or the journal cannot be used; `.reason` says why.

        Source:
            NeuralBox API, "Video Generation" [nb:en/api-reference/generations/video], `POST /api/v2/generate`.
        """
        request = VideoRequest(
            model=model,
            prompt=prompt,
            image_url=image_url,
            duration=duration,
            aspect_ratio=aspect_ratio,
            negative_prompt=negative_prompt,
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

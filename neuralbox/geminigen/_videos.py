"""Films by GeminiGen, more of them, and films of several scenes.

Written by `python -m neuralbox._codegen` from the request class; do not edit.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from .._api.gemini_vocabulary import DEFAULT_STORYBOARD_MODEL, ImageMode, ServiceMode
from .._config import CallArgs, CallOptions
from .._core.exchange import Core
from .._models.generation import Generation
from .._polling.job import Job
from .._submissions import keyed, submission
from .._submissions.submission import OnAccepted
from .._types import OMIT, Omit
from ..geminigen._extension_request import GeminiExtensionRequest
from ..geminigen._local_files import LocalSource
from ..geminigen._storyboard_request import GeminiStoryboardRequest
from ..geminigen._video_request import GeminiVideoRequest


class GeminiVideos:
    """Video models."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def create(
        self,
        *,
        model: str,
        prompt: str,
        family: str | Omit = OMIT,
        resolution: str | Omit = OMIT,
        duration: int | Omit = OMIT,
        aspect_ratio: str | Omit = OMIT,
        mode: str | Omit = OMIT,
        mode_image: ImageMode | str | Omit = OMIT,
        service_mode: ServiceMode | str | Omit = OMIT,
        enhance_prompt: bool | Omit = OMIT,
        files: Sequence[LocalSource] | Omit = OMIT,
        file_urls: Sequence[str] | Omit = OMIT,
        ref_images: Sequence[LocalSource] | Omit = OMIT,
        ref_videos: Sequence[LocalSource] | Omit = OMIT,
        ref_audios: Sequence[LocalSource] | Omit = OMIT,
        ref_history: str | Omit = OMIT,
        wait_timeout: float | Omit | None = OMIT,
        on_accepted: OnAccepted | None = None,
        **call: Unpack[CallArgs],
    ) -> Generation:
        """Make a film and wait for it.

        Which options a family takes is its own business: what is given is sent, and only what a source says is refused
        is refused here. `neuralbox.geminigen.VIDEO_FAMILIES` has what is known.

        Args:
            model: Slug, such as `veo-3.1-fast`, `sora-2`, `grok-3`, `kling-video-...`; the record may name another.
            prompt: What to film. Of grok, text after the first `;` was seen to be lost.
            family: Where to ask, for a model whose family is not known, such as `veo` or `seedance`.
            resolution: Such as `720p` or `1080p`; of sora `small` or `large`.
            duration: Seconds; which ones depends on the family.
            aspect_ratio: Such as `16:9`; of sora and grok a word such as `landscape`.
            mode: Of grok, kling and seedance; of kling it fixes the resolution.
            mode_image: Of veo, what the references are: `frame` (the service's default: first, then last frame, at most
                2) or `ingredient` (at most 3).
            service_mode: `unstable` (cheaper, slower at peak) or `stable`; later documents do not have it.
            enhance_prompt: Whether the prompt may be reworked; always so for veo 3.
            files: Local files to go by: paths, bytes, `(name, bytes)` or open binary files; they are read while they
                are sent. In a batch with a journal paths only.
            file_urls: Addresses of pictures to go by.
            ref_images: Pictures to go by, in later documents: local files as above, but a text is an address or the
                uuid of an earlier picture, so that a path has to be a `Path`.
            ref_videos: Films to go by, likewise.
            ref_audios: Sounds to go by, likewise.
            ref_history: The uuid of an earlier film or picture to go by.
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
            GeminiGen, "Video Generation" and "Video Generation Sora" [gem:video, gem:sora], `POST
            /uapi/v1/video-gen/{family}`; families of 2026 from clients [gem:client 5, 7, 11, 20].
        """
        request = GeminiVideoRequest(
            model=model,
            prompt=prompt,
            family=family,
            resolution=resolution,
            duration=duration,
            aspect_ratio=aspect_ratio,
            mode=mode,
            mode_image=mode_image,
            service_mode=service_mode,
            enhance_prompt=enhance_prompt,
            files=files,
            file_urls=file_urls,
            ref_images=ref_images,
            ref_videos=ref_videos,
            ref_audios=ref_audios,
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
        resolution: str | Omit = OMIT,
        duration: int | Omit = OMIT,
        aspect_ratio: str | Omit = OMIT,
        mode: str | Omit = OMIT,
        mode_image: ImageMode | str | Omit = OMIT,
        service_mode: ServiceMode | str | Omit = OMIT,
        enhance_prompt: bool | Omit = OMIT,
        files: Sequence[LocalSource] | Omit = OMIT,
        file_urls: Sequence[str] | Omit = OMIT,
        ref_images: Sequence[LocalSource] | Omit = OMIT,
        ref_videos: Sequence[LocalSource] | Omit = OMIT,
        ref_audios: Sequence[LocalSource] | Omit = OMIT,
        ref_history: str | Omit = OMIT,
        on_accepted: OnAccepted | None = None,
        journal: str | os.PathLike[str] | None = None,
        key: str | None = None,
        **call: Unpack[CallArgs],
    ) -> Job:
        """Make a film without waiting; arguments and errors as in `create`.

        With `journal=`, a file that is made if it is not there, the job is kept in it under `key=`: the same key again
        gives the same job, also after a crash, and is charged once.

        Returns:
            The job: `await job.wait()`, or keep `job.id`, its uuid, and attach again with `client.job(uuid)`.

        Raises:
            JournalError: The key stands for another request, or the journal cannot be used; `.reason` says why.

        Source:
            GeminiGen, "Video Generation" and "Video Generation Sora" [gem:video, gem:sora], `POST
            /uapi/v1/video-gen/{family}`; families of 2026 from clients [gem:client 5, 7, 11, 20].
        """
        request = GeminiVideoRequest(
            model=model,
            prompt=prompt,
            family=family,
            resolution=resolution,
            duration=duration,
            aspect_ratio=aspect_ratio,
            mode=mode,
            mode_image=mode_image,
            service_mode=service_mode,
            enhance_prompt=enhance_prompt,
            files=files,
            file_urls=file_urls,
            ref_images=ref_images,
            ref_videos=ref_videos,
            ref_audios=ref_audios,
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

    async def extend(
        self,
        *,
        family: str,
        ref_history: str,
        prompt: str,
        mode: str | Omit = OMIT,
        duration: int | Omit = OMIT,
        model: str | None = None,
        wait_timeout: float | Omit | None = OMIT,
        on_accepted: OnAccepted | None = None,
        **call: Unpack[CallArgs],
    ) -> Generation:
        """Go on with a film and wait for what comes of it.

        Args:
            family: That of the film: `veo`, `grok`, `seedance` or `kling`.
            ref_history: The film's uuid.
            prompt: What happens next.
            mode: Of seedance and kling.
            duration: Seconds, of seedance and kling; veo inherits model, ratio and resolution.
            model: The film's model, where it is known: not sent, but the job's.
            wait_timeout: Limit of the wait in seconds, where the service answers `pending`; None waits without limit.
                Default: `polling.timeout`, 600.
            on_accepted: Called with the `JobRef` as soon as its id is known, before anything is waited for; a plain or
                an async function, which a cancellation does not interrupt. What it raises is logged; the job goes on.
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Returns:
            The completed generation, a record of its own; `url` is the file.

        Raises:
            ConfigurationError: The prompt or the uuid is empty, or films of the family are not extended; nothing was
                sent.
            SubmissionUnknownError: The request was sent and its outcome is unknown; it was not sent again.
            GenerationFailedError: It ended without a result.
            GenerationTimeoutError: The wait's limit passed; the job still runs, `.job` attaches again.
            APIStatusError: The service refused, by status.

        Source:
            Clients [gem:client 5, 7], `POST /uapi/v1/video-extend/{family}`.
        """
        request = GeminiExtensionRequest(
            family=family, ref_history=ref_history, prompt=prompt, mode=mode, duration=duration, model=model
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

    async def submit_extension(
        self,
        *,
        family: str,
        ref_history: str,
        prompt: str,
        mode: str | Omit = OMIT,
        duration: int | Omit = OMIT,
        model: str | None = None,
        on_accepted: OnAccepted | None = None,
        journal: str | os.PathLike[str] | None = None,
        key: str | None = None,
        **call: Unpack[CallArgs],
    ) -> Job:
        """Go on with a film without waiting; arguments and errors as in `extend`.

        With `journal=`, a file that is made if it is not there, the job is kept in it under `key=`: the same key again
        gives the same job, also after a crash, and is charged once.

        Returns:
            The job: `await job.wait()`, or keep `job.id`, its uuid, and attach again with `client.job(uuid)`.

        Raises:
            JournalError: The key stands for another request, or the journal cannot be used; `.reason` says why.

        Source:
            Clients [gem:client 5, 7], `POST /uapi/v1/video-extend/{family}`.
        """
        request = GeminiExtensionRequest(
            family=family, ref_history=ref_history, prompt=prompt, mode=mode, duration=duration, model=model
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

    async def create_storyboard(
        self,
        *,
        scenes: Sequence[Mapping[str, Any]],
        model: str = DEFAULT_STORYBOARD_MODEL,
        family: str = "grok",
        aspect_ratio: str | Omit = OMIT,
        resolution: str | Omit = OMIT,
        wait_timeout: float | Omit | None = OMIT,
        on_accepted: OnAccepted | None = None,
        **call: Unpack[CallArgs],
    ) -> Generation:
        """Make a film of several scenes and wait for it.

        What the history shows as its prompt is not documented, so a lost answer may stay unknown.

        Args:
            scenes: What is seen, in order: 2 to 10 of `{"prompt": ..., "duration": 6}`, with a `mode` where one is
                wanted. A scene has 6 or 10 seconds, all together have at most 45.
            model: `grok-3`, or another slug.
            family: `grok`, the one that is known to make them.
            aspect_ratio: In the words of the family's films, such as `landscape`.
            resolution: `480p` or `720p`.
            wait_timeout: Limit of the wait in seconds, where the service answers `pending`; None waits without limit.
                Default: `polling.timeout`, 600.
            on_accepted: Called with the `JobRef` as soon as its id is known, before anything is waited for; a plain or
                an async function, which a cancellation does not interrupt. What it raises is logged; the job goes on.
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Returns:
            The completed generation; `url` is the file.

        Raises:
            ConfigurationError: There are too few or too many scenes, one has no prompt or other seconds, or all are too
                long together; nothing was sent.
            SubmissionUnknownError: The request was sent and its outcome is unknown; it was not sent again.
            GenerationFailedError: It ended without a result.
            GenerationTimeoutError: The wait's limit passed; the job still runs, `.job` attaches again.
            APIStatusError: The service refused, by status.

        Source:
            Clients [gem:client 5, 19], `POST /uapi/v1/video-storyboard/grok`.
        """
        request = GeminiStoryboardRequest(
            scenes=scenes, model=model, family=family, aspect_ratio=aspect_ratio, resolution=resolution
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

    async def submit_storyboard(
        self,
        *,
        scenes: Sequence[Mapping[str, Any]],
        model: str = DEFAULT_STORYBOARD_MODEL,
        family: str = "grok",
        aspect_ratio: str | Omit = OMIT,
        resolution: str | Omit = OMIT,
        on_accepted: OnAccepted | None = None,
        journal: str | os.PathLike[str] | None = None,
        key: str | None = None,
        **call: Unpack[CallArgs],
    ) -> Job:
        """Make a film of several scenes without waiting; arguments and errors as in `create_storyboard`.

        With `journal=`, a file that is made if it is not there, the job is kept in it under `key=`: the same key again
        gives the same job, also after a crash, and is charged once.

        Returns:
            The job: `await job.wait()`, or keep `job.id`, its uuid, and attach again with `client.job(uuid)`.

        Raises:
            JournalError: The key stands for another request, or the journal cannot be used; `.reason` says why.

        Source:
            Clients [gem:client 5, 19], `POST /uapi/v1/video-storyboard/grok`.
        """
        request = GeminiStoryboardRequest(
            scenes=scenes, model=model, family=family, aspect_ratio=aspect_ratio, resolution=resolution
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

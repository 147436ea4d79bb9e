"""Text to speech.

Written by `python -m neuralbox._codegen` from the request class; do not edit.
"""

from __future__ import annotations

import os
from typing import Unpack

from .._api.elsewhere import Guided
from .._api.vocabulary import SpeechFormat, SpeechModel, Voice
from .._config import CallArgs, CallOptions
from .._core.exchange import Core
from .._models.generation import Generation
from .._polling.job import Job
from .._requests.speech import SpeechRequest
from .._submissions import keyed, submission
from .._submissions.submission import OnAccepted
from .._types import OMIT, Omit


class Speech(Guided):
    """Speech models."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def create(
        self,
        *,
        model: SpeechModel | str,
        text: str,
        voice_id: Voice | str | Omit = OMIT,
        speed: float | Omit = OMIT,
        format: SpeechFormat | str | Omit = OMIT,
        wait_timeout: float | Omit | None = OMIT,
        on_accepted: OnAccepted | None = None,
        **call: Unpack[CallArgs],
    ) -> Generation:
        """Speak a text.

        Args:
            model: Slug of a speech model.
            text: What to say; the limit depends on the model and is usually 5,000 characters.
            voice_id: A voice of the model (`alloy`, `rachel`, ...) or a raw ElevenLabs voice id.
            speed: 0.5 to 2.0; the service's default is 1.0.
            format: `mp3` (the service's default), `wav`, `ogg`.
            wait_timeout: Limit of the wait in seconds, where the service answers `pending`; None waits without limit.
                Default: `polling.timeout`, 600.
            on_accepted: Called with the `JobRef` as soon as its id is known, before anything is waited for; a plain or
                an async function, which a cancellation does not interrupt. What it raises is logged; the job goes on.
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Returns:
            The completed generation; `url` is the file.

        Raises:
            ConfigurationError: The text or model is empty, or the speed is out of range; nothing was sent.
            SubmissionUnknownError: The request was sent and its outcome is unknown; it was not sent again.
            GenerationFailedError: It ended without a result; no tokens were charged.
            GenerationTimeoutError: The wait's limit passed; the job still runs, `.job` attaches again.
            APIStatusError: The service refused, by status.

        Source:
            TTS page [elu:en/api-reference/generations/tts], `POST /api/v2/generate`.
        """
        request = SpeechRequest(model=model, text=text, voice_id=voice_id, speed=speed, format=format)
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
        model: SpeechModel | str,
        text: str,
        voice_id: Voice | str | Omit = OMIT,
        speed: float | Omit = OMIT,
        format: SpeechFormat | str | Omit = OMIT,
        on_accepted: OnAccepted | None = None,
        journal: str | os.PathLike[str] | None = None,
        key: str | None = None,
        **call: Unpack[CallArgs],
    ) -> Job:
        """Speak a text without waiting; arguments and errors as in `create`.

        With `journal=`, a file that is made if it is not there, the job is kept in it under `key=`: the same key again
        gives the same job, also after a crash, and is charged once.

        Returns:
            The job, which may already be finished.

        Raises:
            JournalError: The key stands for another request, or the journal cannot be used; `.reason` says why.

        Source:
            TTS page [elu:en/api-reference/generations/tts], `POST /api/v2/generate`.
        """
        request = SpeechRequest(model=model, text=text, voice_id=voice_id, speed=speed, format=format)
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

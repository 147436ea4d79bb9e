"""Speech to text: the one upload.

Written by `python -m neuralbox._codegen` from the request class; do not edit.
"""

from __future__ import annotations

import os
from typing import Unpack

from .._api.elsewhere import Guided
from .._api.vocabulary import DEFAULT_TRANSCRIPTION_MODEL, TranscriptionModel
from .._config import CallArgs, CallOptions
from .._core.exchange import Core
from .._models.generation import Generation
from .._polling.job import Job
from .._requests.transcription import AudioSource, TranscriptionRequest
from .._submissions import keyed, submission
from .._submissions.submission import OnAccepted
from .._types import OMIT, Omit


class Transcriptions(Guided):
    """Speech-to-text models."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def create(
        self,
        *,
        audio: AudioSource,
        model: TranscriptionModel | str = DEFAULT_TRANSCRIPTION_MODEL,
        language: str | Omit = OMIT,
        diarize: bool | Omit = OMIT,
        file_name: str | None = None,
        wait_timeout: float | Omit | None = OMIT,
        on_accepted: OnAccepted | None = None,
        **call: Unpack[CallArgs],
    ) -> Generation:
        """Write down what is said in a recording.

        Args:
            audio: A path, bytes, or an open binary file (read from its present position; it is not closed). mp3, mp4,
                wav, m4a, ogg, flac or webm, at most 25 MB. In a batch a path, read when its turn comes, or the bytes,
                which neither JSON nor a journal can hold.
            model: `whisper`, `gpt-4o-transcribe`, `elevenlabs-scribe`, or another slug.
            language: Such as `en`; left out, the service detects it.
            diarize: Label the speakers inside the text (`elevenlabs-scribe` only).
            file_name: The name the service sees; needed for bytes, else taken from the file.
            wait_timeout: Limit of the wait in seconds, where the service answers `pending`; None waits without limit.
                Default: `polling.timeout`, 600.
            on_accepted: Called with the `JobRef` as soon as its id is known, before anything is waited for; a plain or
                an async function, which a cancellation does not interrupt. What it raises is logged; the job goes on.
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` (further form fields) of this call.

        Returns:
            The completed generation; `text` holds the words.

        Raises:
            ConfigurationError: The file is not there, empty or too large; nothing was sent.
            SubmissionUnknownError: The request was sent and its outcome is unknown; it was not sent again.
            GenerationFailedError: It ended without a result; no tokens were charged.
            GenerationTimeoutError: The wait's limit passed; the job still runs, `.job` attaches again.
            APIStatusError: The service refused, by status.

        Source:
            STT page [elu:en/api-reference/generations/stt], `POST /api/v2/stt`.
        """
        request = TranscriptionRequest(
            audio=audio, model=model, language=language, diarize=diarize, file_name=file_name
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
        audio: AudioSource,
        model: TranscriptionModel | str = DEFAULT_TRANSCRIPTION_MODEL,
        language: str | Omit = OMIT,
        diarize: bool | Omit = OMIT,
        file_name: str | None = None,
        on_accepted: OnAccepted | None = None,
        journal: str | os.PathLike[str] | None = None,
        key: str | None = None,
        **call: Unpack[CallArgs],
    ) -> Job:
        """Write down what is said in a recording without waiting; arguments and errors as in `create`.

        With `journal=`, a file that is made if it is not there, the job is kept in it under `key=`: the same key again
        gives the same job, also after a crash, and is charged once.

        Returns:
            The job, which may already be finished.

        Raises:
            JournalError: The key stands for another request, or the journal cannot be used; `.reason` says why.

        Source:
            STT page [elu:en/api-reference/generations/stt], `POST /api/v2/stt`.
        """
        request = TranscriptionRequest(
            audio=audio, model=model, language=language, diarize=diarize, file_name=file_name
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

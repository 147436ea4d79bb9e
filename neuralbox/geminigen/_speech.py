"""Speech by GeminiGen: a text, a dialogue, or a document.

Written by `python -m neuralbox._codegen` from the request class; do not edit.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from .._api.gemini_vocabulary import DEFAULT_SPEECH_MODEL, AudioChannel, AudioFormat
from .._config import CallArgs, CallOptions
from .._core.exchange import Core
from .._models.generation import Generation
from .._polling.job import Job
from .._submissions import keyed, submission
from .._submissions.submission import OnAccepted
from .._types import OMIT, Omit
from ..geminigen._dialogue_request import GeminiDialogueRequest
from ..geminigen._document_request import GeminiDocumentRequest
from ..geminigen._local_files import LocalSource
from ..geminigen._speech_request import GeminiSpeechRequest


class GeminiSpeech:
    """Speech models."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def create(
        self,
        *,
        input: str,
        voices: Sequence[Mapping[str, Any]],
        model: str = DEFAULT_SPEECH_MODEL,
        speed: float | Omit = OMIT,
        output_format: AudioFormat | str | Omit = OMIT,
        emotion: str | Omit = OMIT,
        custom_prompt: str | Omit = OMIT,
        wait_timeout: float | Omit | None = OMIT,
        on_accepted: OnAccepted | None = None,
        **call: Unpack[CallArgs],
    ) -> Generation:
        """Speak a text and wait for the recording.

        Its documents of 2026 do not list speech any more; it may have been withdrawn.

        Args:
            input: What to say, at most 10,000 characters.
            voices: Who says it: `[{"name": "Speaker", "voice": {"id": "GM013", "name": "Gacrux"}}]`.
            model: `tts-flash` (the service's default), `tts-pro`, or another slug.
            speed: 1 to 4; the service's default is 1.
            output_format: `mp3` (the service's default) or `wav`.
            emotion: A word for how it is said.
            custom_prompt: How it is to be said.
            wait_timeout: Limit of the wait in seconds, where the service answers `pending`; None waits without limit.
                Default: `polling.timeout`, 600.
            on_accepted: Called with the `JobRef` as soon as its id is known, before anything is waited for; a plain or
                an async function, which a cancellation does not interrupt. What it raises is logged; the job goes on.
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Returns:
            The completed generation; `url` is the file.

        Raises:
            ConfigurationError: The text is empty or too long, there is no voice, or the speed is out of range; nothing
                was sent.
            SubmissionUnknownError: The request was sent and its outcome is unknown; it was not sent again.
            GenerationFailedError: It ended without a result.
            GenerationTimeoutError: The wait's limit passed; the job still runs, `.job` attaches again.
            APIStatusError: The service refused, by status.

        Source:
            GeminiGen, "Text to Speech" [gem:speech], `POST /uapi/v1/text-to-speech`; the last two [gem:client 2].
        """
        request = GeminiSpeechRequest(
            input=input,
            voices=voices,
            model=model,
            speed=speed,
            output_format=output_format,
            emotion=emotion,
            custom_prompt=custom_prompt,
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
        input: str,
        voices: Sequence[Mapping[str, Any]],
        model: str = DEFAULT_SPEECH_MODEL,
        speed: float | Omit = OMIT,
        output_format: AudioFormat | str | Omit = OMIT,
        emotion: str | Omit = OMIT,
        custom_prompt: str | Omit = OMIT,
        on_accepted: OnAccepted | None = None,
        journal: str | os.PathLike[str] | None = None,
        key: str | None = None,
        **call: Unpack[CallArgs],
    ) -> Job:
        """Speak a text without waiting; arguments and errors as in `create`.

        With `journal=`, a file that is made if it is not there, the job is kept in it under `key=`: the same key again
        gives the same job, also after a crash, and is charged once.

        Returns:
            The job: `await job.wait()`, or keep `job.id`, its uuid, and attach again with `client.job(uuid)`.

        Raises:
            JournalError: The key stands for another request, or the journal cannot be used; `.reason` says why.

        Source:
            GeminiGen, "Text to Speech" [gem:speech], `POST /uapi/v1/text-to-speech`; the last two [gem:client 2].
        """
        request = GeminiSpeechRequest(
            input=input,
            voices=voices,
            model=model,
            speed=speed,
            output_format=output_format,
            emotion=emotion,
            custom_prompt=custom_prompt,
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

    async def create_dialogue(
        self,
        *,
        blocks: Sequence[str | Mapping[str, Any]],
        voices: Sequence[Mapping[str, Any]],
        model: str = DEFAULT_SPEECH_MODEL,
        model_name: str | Omit = OMIT,
        speed: float | Omit = OMIT,
        output_format: AudioFormat | str | Omit = OMIT,
        output_channel: AudioChannel | str | Omit = OMIT,
        custom_prompt: str | Omit = OMIT,
        title: str | Omit = OMIT,
        wait_timeout: float | Omit | None = OMIT,
        on_accepted: OnAccepted | None = None,
        **call: Unpack[CallArgs],
    ) -> Generation:
        """Speak a dialogue and wait for the recording.

        What the history shows as its prompt is not documented, so a lost answer may stay unknown.

        Args:
            blocks: What is said, in order, each at most 10,000 characters: texts, or `{"input": ...}`. Voices go to
                speakers in the order of the blocks.
            voices: Who speaks: `[{"name": "Speaker 1", "voice": {"id": "GM013", "name": "Gacrux"}}, ...]`.
            model: `tts-flash` (the service's default), `tts-pro`, or another slug.
            model_name: The model's label, where the service wants it.
            speed: 0.5 to 4; the service's default is 1.
            output_format: `mp3` or `wav`.
            output_channel: `mono` (the service's default) or `stereo`.
            custom_prompt: How it is to be said.
            title: The record's `name`.
            wait_timeout: Limit of the wait in seconds, where the service answers `pending`; None waits without limit.
                Default: `polling.timeout`, 600.
            on_accepted: Called with the `JobRef` as soon as its id is known, before anything is waited for; a plain or
                an async function, which a cancellation does not interrupt. What it raises is logged; the job goes on.
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Returns:
            The completed generation; `url` is the file.

        Raises:
            ConfigurationError: A block is empty or too long, there is no voice, or the speed is out of range; nothing
                was sent.
            SubmissionUnknownError: The request was sent and its outcome is unknown; it was not sent again.
            GenerationFailedError: It ended without a result.
            GenerationTimeoutError: The wait's limit passed; the job still runs, `.job` attaches again.
            APIStatusError: The service refused, by status.

        Source:
            GeminiGen, "Dialogue Speech" [gem:dialogue], `POST /uapi/v1/tts-multi-speaker`.
        """
        request = GeminiDialogueRequest(
            blocks=blocks,
            voices=voices,
            model=model,
            model_name=model_name,
            speed=speed,
            output_format=output_format,
            output_channel=output_channel,
            custom_prompt=custom_prompt,
            title=title,
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

    async def submit_dialogue(
        self,
        *,
        blocks: Sequence[str | Mapping[str, Any]],
        voices: Sequence[Mapping[str, Any]],
        model: str = DEFAULT_SPEECH_MODEL,
        model_name: str | Omit = OMIT,
        speed: float | Omit = OMIT,
        output_format: AudioFormat | str | Omit = OMIT,
        output_channel: AudioChannel | str | Omit = OMIT,
        custom_prompt: str | Omit = OMIT,
        title: str | Omit = OMIT,
        on_accepted: OnAccepted | None = None,
        journal: str | os.PathLike[str] | None = None,
        key: str | None = None,
        **call: Unpack[CallArgs],
    ) -> Job:
        """Speak a dialogue without waiting; arguments and errors as in `create_dialogue`.

        With `journal=`, a file that is made if it is not there, the job is kept in it under `key=`: the same key again
        gives the same job, also after a crash, and is charged once.

        Returns:
            The job: `await job.wait()`, or keep `job.id`, its uuid, and attach again with `client.job(uuid)`.

        Raises:
            JournalError: The key stands for another request, or the journal cannot be used; `.reason` says why.

        Source:
            GeminiGen, "Dialogue Speech" [gem:dialogue], `POST /uapi/v1/tts-multi-speaker`.
        """
        request = GeminiDialogueRequest(
            blocks=blocks,
            voices=voices,
            model=model,
            model_name=model_name,
            speed=speed,
            output_format=output_format,
            output_channel=output_channel,
            custom_prompt=custom_prompt,
            title=title,
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

    async def create_document(
        self,
        *,
        file: LocalSource,
        voices: Sequence[Mapping[str, Any]],
        model: str = DEFAULT_SPEECH_MODEL,
        speed: float | Omit = OMIT,
        output_format: AudioFormat | str | Omit = OMIT,
        file_password: str | Omit = OMIT,
        wait_timeout: float | Omit | None = OMIT,
        on_accepted: OnAccepted | None = None,
        **call: Unpack[CallArgs],
    ) -> Generation:
        """Read a document aloud and wait for the recording.

        The history shows the document's name as its prompt. Its documents of 2026 do not list speech any more; it may
        have been withdrawn.

        Args:
            file: The document: a path, `(name, bytes)`, or an open binary file. Its name ends in docx, xlsx, pptx, pdf,
                epub, mobi, txt, html, odt, ods, odp, azw or azw3; it has at most 100 MB and 500,000 rows.
            voices: Who reads it: `[{"name": "Speaker", "voice": {"id": "GM013", "name": "Gacrux"}}]`.
            model: `tts-flash` (the service's default), `tts-pro`, or another slug.
            speed: 1 to 4, as for a text.
            output_format: `mp3` (the service's default) or `wav`.
            file_password: Opens the document. It is sent and kept nowhere, but for the journal of a batch, which keeps
                its requests.
            wait_timeout: Limit of the wait in seconds, where the service answers `pending`; None waits without limit.
                Default: `polling.timeout`, 600.
            on_accepted: Called with the `JobRef` as soon as its id is known, before anything is waited for; a plain or
                an async function, which a cancellation does not interrupt. What it raises is logged; the job goes on.
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Returns:
            The completed generation; `url` is the file.

        Raises:
            ConfigurationError: The document cannot be read, is none of those that are read aloud or too large, there is
                no voice, or the speed is out of range; nothing was sent.
            SubmissionUnknownError: The request was sent and its outcome is unknown; it was not sent again.
            GenerationFailedError: It ended without a result.
            GenerationTimeoutError: The wait's limit passed; the job still runs, `.job` attaches again.
            APIStatusError: The service refused, by status.

        Source:
            GeminiGen, "Document To Speech" [gem:document], `POST /uapi/v1/document-to-speech`.
        """
        request = GeminiDocumentRequest(
            file=file, voices=voices, model=model, speed=speed, output_format=output_format, file_password=file_password
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

    async def submit_document(
        self,
        *,
        file: LocalSource,
        voices: Sequence[Mapping[str, Any]],
        model: str = DEFAULT_SPEECH_MODEL,
        speed: float | Omit = OMIT,
        output_format: AudioFormat | str | Omit = OMIT,
        file_password: str | Omit = OMIT,
        on_accepted: OnAccepted | None = None,
        journal: str | os.PathLike[str] | None = None,
        key: str | None = None,
        **call: Unpack[CallArgs],
    ) -> Job:
        """Read a document aloud without waiting; arguments and errors as in `create_document`.

        With `journal=`, a file that is made if it is not there, the job is kept in it under `key=`: the same key again
        gives the same job, also after a crash, and is charged once.

        Returns:
            The job: `await job.wait()`, or keep `job.id`, its uuid, and attach again with `client.job(uuid)`.

        Raises:
            JournalError: The key stands for another request, or the journal cannot be used; `.reason` says why.

        Source:
            GeminiGen, "Document To Speech" [gem:document], `POST /uapi/v1/document-to-speech`.
        """
        request = GeminiDocumentRequest(
            file=file, voices=voices, model=model, speed=speed, output_format=output_format, file_password=file_password
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

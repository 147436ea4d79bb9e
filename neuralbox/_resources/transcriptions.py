"""Speech to text: the one upload."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, TypeAlias, Unpack

import anyio

from .._api import vocabulary as words
from .._api.builders import build_transcription, require_text
from .._api.media_types import audio_type
from .._api.vocabulary import TranscriptionModel
from .._config import CallArgs, CallOptions
from .._core.exchange import Core
from .._errors import ConfigurationError
from .._models.generation import Generation
from .._submissions import submission
from .._submissions.submission import OnAccepted
from .._types import OMIT, Omit

AudioSource: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO
"""A path, the bytes themselves, or an open binary file."""

_NEITHER = "`audio` must be a path, bytes, or a file opened in binary mode ('rb')."


class Transcriptions:
    """Speech-to-text models."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def create(
        self,
        *,
        audio: AudioSource,
        model: TranscriptionModel | str = words.DEFAULT_TRANSCRIPTION_MODEL,
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
                wav, m4a, ogg, flac or webm, at most 25 MB.
            model: `whisper`, `gpt-4o-transcribe`, `elevenlabs-scribe`, or another slug.
            language: Such as `en`; left out, the service detects it.
            diarize: Label the speakers inside the text (`elevenlabs-scribe` only).
            file_name: The name the service sees; needed for bytes, else taken from the file.
            wait_timeout: Limit of the wait in seconds, should the service answer `pending`; None for no limit.
            on_accepted: Called with the `JobRef` as soon as its id is known, before anything is waited for; a plain or an
                async function, which a cancellation does not interrupt. What it raises is logged, and the job goes on.
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` (further form fields) of this call.

        Returns:
            The completed generation; `text` holds the words.

        Raises:
            ConfigurationError: The file is not there, empty or too large; nothing was sent.
            SubmissionUnknownError: The request was sent and its outcome is unknown; it was not sent again.
            GenerationFailedError: It ended without a result; no tokens were charged.
            APIStatusError: The service refused, by status.

        Source:
            STT page [elu:en/api-reference/generations/stt], `POST /api/v2/stt`.
        """
        content, name = await anyio.to_thread.run_sync(_load, audio, file_name)
        fields = {"model": require_text("model", model)}
        if not isinstance(language, Omit):
            fields["language"] = require_text("language", language)
        if not isinstance(diarize, Omit):
            fields["diarize"] = "true" if diarize else "false"
        request = build_transcription(
            content=content, size=len(content), file_name=name, content_type=audio_type(name), fields=fields
        )
        options = CallOptions.of(call)
        return await submission.create(
            self._core, request, options, kind="stt", model=model, wait_timeout=wait_timeout, on_accepted=on_accepted
        )


def _load(audio: AudioSource, file_name: str | None) -> tuple[bytes, str]:
    """Read the recording, at most one byte more than the service takes, and find its name."""
    most = words.MAX_UPLOAD_BYTES + 1
    if isinstance(audio, bytes):
        if not file_name:
            raise ConfigurationError("Bytes have no name: pass `file_name`, such as 'talk.mp3', with `audio`.")
        return audio, file_name
    if isinstance(audio, str | os.PathLike):
        path = Path(audio)
        try:
            with path.open("rb") as file:
                return file.read(most), file_name or path.name
        except (OSError, ValueError) as error:  # ValueError: a path no system has, with a zero byte in it
            raise ConfigurationError(f"The audio file {str(path)!r} cannot be read: {_why(error)}.") from error
    if not hasattr(audio, "read"):
        raise ConfigurationError(_NEITHER)
    # A temporary file has None for a name, and a file made from a descriptor its number.
    called = getattr(audio, "name", None)
    name = file_name or (Path(called).name if isinstance(called, str) else "")
    if not name:
        raise ConfigurationError("The open file has no name: pass `file_name`, such as 'talk.mp3', with `audio`.")
    try:
        return _read(audio, most), name
    except ConfigurationError:  # a ValueError too, and as clear as it gets
        raise
    except (OSError, ValueError) as error:  # ValueError: the file is closed
        raise ConfigurationError(f"The audio file {name!r} cannot be read: {_why(error)}.") from error


def _read(file: BinaryIO, most: int) -> bytes:
    """Read up to so many bytes; a pipe hands out fewer at a time, and half a recording would be paid like a whole."""
    pieces, left = [], most
    while left > 0:
        piece: object = file.read(left)
        if not isinstance(piece, bytes):
            raise ConfigurationError(_NEITHER)
        if not piece:
            break
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _why(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)

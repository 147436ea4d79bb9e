"""Requests for the words of a recording: the one upload."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, ClassVar, Final, TypeAlias

from anyio import to_thread

from .._api.builders import build_transcription, require_text
from .._api.media_types import audio_type
from .._api.request import Request
from .._api.vocabulary import DEFAULT_TRANSCRIPTION_MODEL, MAX_UPLOAD_BYTES, TranscriptionModel
from .._config import Dialect
from .._errors import ConfigurationError
from .._types import OMIT, Omit
from .base import BatchRequest

AudioSource: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO
"""A path, the bytes themselves, or an open binary file."""

_NEITHER: Final = "`audio` must be a path, bytes, or a file opened in binary mode ('rb')."


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionRequest(BatchRequest):
    """The words of a recording.

    Attributes:
        audio: A path, bytes, or an open binary file (read from its present position; it is not closed). mp3, mp4, wav,
            m4a, ogg, flac or webm, at most 25 MB. In a batch a path, read when its turn comes, or the bytes, which
            neither JSON nor a journal can hold.
        model: `whisper`, `gpt-4o-transcribe`, `elevenlabs-scribe`, or another slug.
        language: Such as `en`; left out, the service detects it.
        diarize: Label the speakers inside the text (`elevenlabs-scribe` only).
        file_name: The name the service sees; needed for bytes, else taken from the file.

    Source:
        STT page [elu:en/api-reference/generations/stt], `POST /api/v2/stt`.
    """

    name: ClassVar[str] = "transcription"
    kind: ClassVar[str | None] = "stt"

    audio: AudioSource = field(repr=False)
    model: TranscriptionModel | str = DEFAULT_TRANSCRIPTION_MODEL
    language: str | Omit = OMIT
    diarize: bool | Omit = OMIT
    file_name: str | None = None

    @property
    def paths(self) -> Sequence[str | os.PathLike[str]]:
        """Return the recording, where it is a local file."""
        return (self.audio,) if isinstance(self.audio, str | os.PathLike) else ()

    def build(self, dialect: Dialect) -> Request:  # noqa: ARG002 - a form has one shape only
        """Build what is sent, less the recording; `ConfigurationError` names what cannot be right."""
        if not isinstance(self.audio, str | os.PathLike | bytes) or not self.audio:
            raise ConfigurationError("`audio` must be the path of a recording, or its bytes.")
        if isinstance(self.audio, bytes) and not self.file_name:
            raise ConfigurationError("Bytes have no name: pass `file_name`, such as 'talk.mp3', with `audio`.")
        return self._build(b"", None, self.file_name or "")

    async def prepare(self, dialect: Dialect) -> Request:  # noqa: ARG002
        """Build what is sent; the recording is read now."""
        content, name = await to_thread.run_sync(load_audio, self.audio, self.file_name)
        return self._build(content, len(content), name)

    def _build(self, content: bytes, size: int | None, file_name: str) -> Request:
        fields = {"model": require_text("model", self.model)}
        if not isinstance(self.language, Omit):
            fields["language"] = require_text("language", self.language)
        if not isinstance(self.diarize, Omit):
            fields["diarize"] = "true" if self.diarize else "false"
        return build_transcription(
            content=content, size=size, file_name=file_name, content_type=audio_type(file_name), fields=fields
        )


def load_audio(audio: AudioSource, file_name: str | None) -> tuple[bytes, str]:
    """Read a recording, at most one byte more than the service takes, and find its name.

    Raises:
        ConfigurationError: It cannot be read, or has no name.
    """
    most = MAX_UPLOAD_BYTES + 1
    if isinstance(audio, bytes):
        if not file_name:
            raise ConfigurationError("Bytes have no name: pass `file_name`, such as 'talk.mp3', with `audio`.")
        return audio, file_name
    if isinstance(audio, str | os.PathLike):
        path = Path(audio)
        try:
            with _open_file(path) as file:
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


def _open_file(path: Path) -> BinaryIO:
    """Open a file; what is none may never answer."""
    if stat.S_IFMT(path.stat().st_mode) not in {stat.S_IFREG, stat.S_IFDIR}:
        raise OSError(errno.EINVAL, "it is a device, a pipe or a socket")
    return path.open("rb")


def _read(file: BinaryIO, most: int) -> bytes:
    """Read up to so many bytes; a pipe returns fewer at a time, and half a recording would be paid like a whole."""
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

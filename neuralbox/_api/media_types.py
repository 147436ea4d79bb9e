"""Media types by file name ending, for uploads; a fixed table, since the system's own differs from machine to machine."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

_BY_ENDING: Final = MappingProxyType(
    {
        "mp3": "audio/mpeg",
        "mp4": "audio/mp4",
        "m4a": "audio/mp4",
        "wav": "audio/wav",
        "ogg": "audio/ogg",
        "flac": "audio/flac",
        "webm": "audio/webm",
    }
)


def audio_type(file_name: str) -> str:
    """Return the media type of an audio upload; `application/octet-stream` for an ending we do not know."""
    return _BY_ENDING.get(file_name.rpartition(".")[2].lower(), "application/octet-stream")

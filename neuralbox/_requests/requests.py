"""Every kind of request, for those who do not know beforehand which one they have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from .base import BatchRequest
from .generate import GenerateRequest
from .image import ImageRequest
from .music import MusicRequest
from .speech import SpeechRequest
from .text import TextRequest
from .tool import ToolRequest
from .transcription import TranscriptionRequest
from .video import VideoRequest

__all__ = [
    "REQUESTS",
    "BatchRequest",
    "GenerateRequest",
    "ImageRequest",
    "MusicRequest",
    "SpeechRequest",
    "TextRequest",
    "ToolRequest",
    "TranscriptionRequest",
    "VideoRequest",
]

REQUESTS: Final[Sequence[type[Any]]] = (
    TextRequest,
    ImageRequest,
    VideoRequest,
    SpeechRequest,
    MusicRequest,
    ToolRequest,
    TranscriptionRequest,
    GenerateRequest,
)

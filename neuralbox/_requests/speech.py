"""Requests for a spoken text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from .._api.builders import build_speech, require_speed
from .._api.request import Request
from .._api.vocabulary import SpeechFormat, SpeechModel, Voice
from .._config import Dialect
from .._types import OMIT, Omit
from .base import BatchRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechRequest(BatchRequest):
    """A spoken text.

    Attributes:
        model: Slug of a speech model.
        text: What to say; the limit depends on the model and is usually 5,000 characters.
        voice_id: A voice of the model (`alloy`, `rachel`, ...) or a raw ElevenLabs voice id.
        speed: 0.5 to 2.0; the service's default is 1.0.
        format: `mp3` (the service's default), `wav`, `ogg`.

    Source:
        TTS page [elu:en/api-reference/generations/tts], `POST /api/v2/generate`.
    """

    name: ClassVar[str] = "speech"
    kind: ClassVar[str | None] = "tts"

    model: SpeechModel | str
    text: str = field(repr=False)
    voice_id: Voice | str | Omit = OMIT
    speed: float | Omit = OMIT
    format: SpeechFormat | str | Omit = OMIT

    def build(self, dialect: Dialect) -> Request:
        """Build what is sent; `ConfigurationError` names what cannot be right."""
        require_speed(self.speed)
        options = self.given("voice_id", "speed", "format")
        return build_speech(model=self.model, text=self.text, options=options, nested=dialect.options == "nested")

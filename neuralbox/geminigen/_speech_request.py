"""Requests for a spoken text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .._api import gemini_vocabulary as gemini
from .._api.builders import require_text
from .._api.gemini_vocabulary import DEFAULT_SPEECH_MODEL, AudioFormat
from .._api.request import Request
from .._config import Dialect
from .._types import OMIT, Omit
from ._request import GeminiRequest, json_request, require_said, require_speed, require_voices


@dataclass(frozen=True, slots=True, kw_only=True)
class GeminiSpeechRequest(GeminiRequest):
    """A text spoken by GeminiGen.

    Its documents of 2026 do not list speech any more; it may have been withdrawn.

    Attributes:
        input: What to say, at most 10,000 characters.
        voices: Who says it: `[{"name": "Speaker", "voice": {"id": "GM013", "name": "Gacrux"}}]`.
        model: `tts-flash` (the service's default), `tts-pro`, or another slug.
        speed: 1 to 4; the service's default is 1.
        output_format: `mp3` (the service's default) or `wav`.
        emotion: A word for how it is said.
        custom_prompt: How it is to be said.

    Source:
        GeminiGen, "Text to Speech" [gem:speech], `POST /uapi/v1/text-to-speech`; the last two [gem:client 2].
    """

    name: ClassVar[str] = "speech"
    kind: ClassVar[str | None] = "audio"

    input: str = field(repr=False)
    voices: Sequence[Mapping[str, Any]]
    model: str = DEFAULT_SPEECH_MODEL
    speed: float | Omit = OMIT
    output_format: AudioFormat | str | Omit = OMIT
    emotion: str | Omit = OMIT
    custom_prompt: str | Omit = field(default=OMIT, repr=False)

    def build(self, dialect: Dialect) -> Request:  # noqa: ARG002 - there is one way to speak
        """Build what is sent; `ConfigurationError` names what cannot be right."""
        require_speed(self.speed, gemini.SPEECH_SPEEDS)
        fields = {
            "model": require_text("model", self.model),
            "voices": require_voices(self.voices),
            "input": require_said("input", self.input),
        }
        options = self.given("speed", "output_format", "emotion", "custom_prompt")
        return json_request(gemini.SPEECH, {**fields, **options})

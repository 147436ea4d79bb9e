"""Requests for a spoken dialogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .._api import gemini_vocabulary as gemini
from .._api.builders import require_text
from .._api.gemini_vocabulary import DEFAULT_SPEECH_MODEL, AudioChannel, AudioFormat
from .._api.request import Request
from .._config import Dialect
from .._types import OMIT, Omit
from ._request import GeminiRequest, json_request, require_blocks, require_speed, require_voices


@dataclass(frozen=True, slots=True, kw_only=True)
class GeminiDialogueRequest(GeminiRequest):
    """A dialogue spoken by GeminiGen.

    What the history shows as its prompt is not documented, so a lost answer may stay unknown.

    Attributes:
        blocks: What is said, in order, each at most 10,000 characters: texts, or `{"input": ...}`. Voices go to speakers
            in the order of the blocks.
        voices: Who speaks: `[{"name": "Speaker 1", "voice": {"id": "GM013", "name": "Gacrux"}}, ...]`.
        model: `tts-flash` (the service's default), `tts-pro`, or another slug.
        model_name: The model's label, where the service wants it.
        speed: 0.5 to 4; the service's default is 1.
        output_format: `mp3` or `wav`.
        output_channel: `mono` (the service's default) or `stereo`.
        custom_prompt: How it is to be said.
        title: The record's `name`.

    Source:
        GeminiGen, "Dialogue Speech" [gem:dialogue], `POST /uapi/v1/tts-multi-speaker`.
    """

    name: ClassVar[str] = "dialogue"
    kind: ClassVar[str | None] = "audio"

    blocks: Sequence[str | Mapping[str, Any]] = field(repr=False)
    voices: Sequence[Mapping[str, Any]]
    model: str = DEFAULT_SPEECH_MODEL
    model_name: str | Omit = OMIT
    speed: float | Omit = OMIT
    output_format: AudioFormat | str | Omit = OMIT
    output_channel: AudioChannel | str | Omit = OMIT
    custom_prompt: str | Omit = field(default=OMIT, repr=False)
    title: str | Omit = field(default=OMIT, repr=False)

    def build(self, dialect: Dialect) -> Request:  # noqa: ARG002 - there is one way to speak
        """Build what is sent; `ConfigurationError` names what cannot be right."""
        require_speed(self.speed, gemini.DIALOGUE_SPEEDS)
        fields = {
            "model": require_text("model", self.model),
            "voices": require_voices(self.voices),
            "blocks": require_blocks(self.blocks),
        }
        options = self.given("model_name", "speed", "output_format", "output_channel", "custom_prompt")
        # `name` is what requests call their kind.
        named = {} if isinstance(self.title, Omit) else {"name": self.title}
        return json_request(gemini.DIALOGUE, {**fields, **options, **named})

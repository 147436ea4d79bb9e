"""Requests for music."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from .._api.builders import build_media, require_music_seconds
from .._api.request import Request
from .._api.vocabulary import MusicModel
from .._config import Dialect
from .._types import OMIT, Omit
from .base import BatchRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class MusicRequest(BatchRequest):
    """A piece of music.

    Attributes:
        model: `musicgen`, `elevenlabs-music`, or another slug.
        prompt: Genre, mood, instruments, tempo.
        duration: Seconds, 15 to 120; the service's default is 30.

    Source:
        Music page [elu:en/api-reference/generations/audio], `POST /api/v2/generate`.
    """

    name: ClassVar[str] = "music"
    kind: ClassVar[str | None] = "audio"

    model: MusicModel | str
    prompt: str = field(repr=False)
    duration: int | Omit = OMIT

    def build(self, dialect: Dialect) -> Request:
        """Build what is sent; `ConfigurationError` names what cannot be right."""
        require_music_seconds(self.duration)
        options = self.given("duration")
        return build_media(model=self.model, prompt=self.prompt, options=options, nested=dialect.options == "nested")

"""Requests for a video."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from .._api.builders import build_media
from .._api.checks import require_address
from .._api.request import Request
from .._api.vocabulary import VideoModel, VideoRatio, VideoSeconds
from .._config import Dialect
from .._types import OMIT, Omit
from .base import BatchRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoRequest(BatchRequest):
    """A video.

    Attributes:
        model: Slug of a video model.
        prompt: What to film.
        image_url: Start frame, for image-to-video.
        duration: Seconds, 5 (the service's default) or 10, depending on the model.
        aspect_ratio: `16:9` (the service's default), `9:16` or `1:1`.
        negative_prompt: What to leave out.

    Source:
        NeuralBox API, "Video Generation" [nb:en/api-reference/generations/video], `POST /api/v2/generate`.
    """

    name: ClassVar[str] = "video"
    kind: ClassVar[str | None] = "video"

    model: VideoModel | str
    prompt: str = field(repr=False)
    image_url: str | Omit = field(default=OMIT, repr=False)
    duration: VideoSeconds | int | Omit = OMIT
    aspect_ratio: VideoRatio | str | Omit = OMIT
    negative_prompt: str | Omit = field(default=OMIT, repr=False)

    def build(self, dialect: Dialect) -> Request:
        """Build what is sent; `ConfigurationError` names what cannot be right."""
        require_address("image_url", self.image_url)
        options = self.given("image_url", "duration", "aspect_ratio", "negative_prompt")
        return build_media(model=self.model, prompt=self.prompt, options=options, nested=dialect.options == "nested")

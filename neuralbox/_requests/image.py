"""Requests for an image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from .._api.builders import build_media, require_image_options
from .._api.checks import require_address
from .._api.request import Request
from .._api.vocabulary import ImageFormat, ImageModel, ImageQuality, ImageSize, ImageStyle
from .._config import Dialect
from .._types import OMIT, Omit
from .base import BatchRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest(BatchRequest):
    """An image.

    Attributes:
        model: Slug of an image model; the answer may name another (`midjourney-v6` comes back as `midjourney`).
        prompt: What to draw.
        negative_prompt: What to leave out (Flux, SD, Midjourney).
        size: Pixels such as `1024x1024`; for Midjourney a ratio such as `16:9`. Which ones a model takes is documented for some
            of them; another is refused there before anything is sent, and goes through `extra_body` if you know better.
        format: `webp` (the service's default), `png`, `jpeg`.
        quality: `standard` (the service's default) or `hd`, which costs more.
        style: `vivid` or `natural` for DALL-E 3.
        seed: For repeatable results.
        image_url: Input image of image-to-image models.
        aspect_ratio: A ratio, in the nested form of Midjourney; `size` is the seed's way.

    Source:
        NeuralBox API, "Image Generation", `POST /api/v2/generate` (SEED 002, SEED 001).
    """

    name: ClassVar[str] = "image"
    kind: ClassVar[str | None] = "image"

    model: ImageModel | str
    prompt: str = field(repr=False)
    negative_prompt: str | Omit = field(default=OMIT, repr=False)
    size: ImageSize | str | Omit = OMIT
    format: ImageFormat | str | Omit = OMIT
    quality: ImageQuality | str | Omit = OMIT
    style: ImageStyle | str | Omit = OMIT
    seed: int | Omit = OMIT
    image_url: str | Omit = field(default=OMIT, repr=False)
    aspect_ratio: str | Omit = OMIT

    def build(self, dialect: Dialect) -> Request:
        """Build what is sent; `ConfigurationError` names what cannot be right."""
        require_address("image_url", self.image_url)
        options = self.given(
            "negative_prompt", "size", "format", "quality", "style", "seed", "image_url", "aspect_ratio"
        )
        require_image_options(self.model, options)
        return build_media(model=self.model, prompt=self.prompt, options=options, nested=dialect.options == "nested")

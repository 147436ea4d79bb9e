"""Requests for a picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from .._api.checks import require_whole
from .._api.gemini_families import IMAGE_FAMILIES
from .._api.gemini_vocabulary import AspectRatio, ServiceMode, Style
from .._api.request import Request
from .._config import Dialect
from .._errors import ConfigurationError
from .._types import OMIT, Omit
from ._local_files import LocalSource
from ._request import (
    GeminiRequest,
    form_request,
    paths_in,
    require_family,
    require_prompt,
    require_references,
    with_files,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GeminiImageRequest(GeminiRequest):
    """A picture made by GeminiGen.

    Which options a family takes is its own business: what is given is sent, and only what a source says is refused is
    refused here. `neuralbox.geminigen.IMAGE_FAMILIES` has what is known.

    Attributes:
        model: Slug, such as `nano-banana-pro` or `imagen-4`; a family of one model is named by that: `grok`, `meta_ai`,
            `gpt-image-2`, `gpt-image-2-lower`. The record may name another.
        prompt: What to draw.
        family: Where to ask, for a model whose family is not known: `generate_image` or one of the four above.
        aspect_ratio: Such as `16:9`; the service's default is `1:1`.
        style: Such as `Photorealistic`; left out for none.
        resolution: `1K` (the service's default), `2K`, `4K`; up to `12K` for gpt-image-2.
        output_format: `jpeg` (the service's default) or `png`.
        service_mode: `unstable` (cheaper, slower at peak) or `stable`; later documents do not have it.
        orientation: Of grok and meta_ai: `landscape`, `portrait`, `square`.
        num_result: Of grok (at most 8) and meta_ai (at most 4): how many pictures the one record has.
        mode: Of grok `SPEED` or `QUALITY`, of gpt-image-2 `low`, `medium`, `high`.
        background: Of gpt-image-2.
        files: Local pictures to go by: paths, bytes, `(name, bytes)` or open binary files; they are read while they are
            sent. In a batch with a journal paths only.
        file_urls: Addresses of pictures to go by.
        ref_history: The uuid of an earlier picture to go by.

    Source:
        GeminiGen, "Image Generation" [gem:image], `POST /uapi/v1/generate_image`; families of 2026 from clients [gem:client 5, 8, 9, 25].
    """

    name: ClassVar[str] = "image"
    kind: ClassVar[str | None] = "image"

    model: str
    prompt: str = field(repr=False)
    family: str | Omit = OMIT
    aspect_ratio: AspectRatio | str | Omit = OMIT
    style: Style | str | Omit = OMIT
    resolution: str | Omit = OMIT
    output_format: str | Omit = OMIT
    service_mode: ServiceMode | str | Omit = OMIT
    orientation: str | Omit = OMIT
    num_result: int | Omit = OMIT
    mode: str | Omit = OMIT
    background: str | Omit = OMIT
    files: Sequence[LocalSource] | Omit = field(default=OMIT, repr=False)
    file_urls: Sequence[str] | Omit = field(default=OMIT, repr=False)
    ref_history: str | Omit = OMIT

    @property
    def paths(self) -> Sequence[str | os.PathLike[str]]:
        """Return the local files that it names."""
        return paths_in(self.files)

    def build(self, dialect: Dialect) -> Request:  # noqa: ARG002 - there is one way to speak
        """Build what is sent, less the local files; `ConfigurationError` names what cannot be right."""
        family = require_family(IMAGE_FAMILIES, self.model, self.family)
        references = {"files": self.files, "file_urls": self.file_urls, "ref_history": self.ref_history}
        require_references(family, references)
        if not isinstance(self.num_result, Omit) and self.num_result is not None:
            require_whole("`num_result`", self.num_result, lowest=1)
            if family.results is not None and self.num_result > family.results:
                raise ConfigurationError(
                    f"`num_result` is {self.num_result}; {family.name} makes at most {family.results}."
                )
        options = self.given(
            "aspect_ratio",
            "style",
            "resolution",
            "output_format",
            "service_mode",
            "orientation",
            "num_result",
            "mode",
            "background",
            "file_urls",
            "ref_history",
        )
        model = {"model": self.model} if family.sends_model else {}
        return form_request(family.path, {"prompt": require_prompt(family, self.prompt), **model, **options})

    async def prepare(self, dialect: Dialect) -> Request:
        """Build what is sent; the local files are measured now."""
        return await with_files(self.build(dialect), {"files": self.files})

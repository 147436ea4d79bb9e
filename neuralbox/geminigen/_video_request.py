"""Requests for a film."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from .._api.checks import require_instance, require_whole
from .._api.gemini_families import VIDEO_FAMILIES
from .._api.gemini_vocabulary import ImageMode, ServiceMode
from .._api.request import Request
from .._config import Dialect
from .._types import OMIT, Omit
from ._local_files import LocalSource
from ._request import (
    GeminiRequest,
    file_references,
    form_request,
    paths_in,
    require_family,
    require_prompt,
    require_references,
    text_references,
    with_files,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GeminiVideoRequest(GeminiRequest):
    """A film made by GeminiGen.

    Which options a family takes is its own business: what is given is sent, and only what a source says is refused is
    refused here. `neuralbox.geminigen.VIDEO_FAMILIES` has what is known.

    Attributes:
        model: Slug, such as `veo-3.1-fast`, `sora-2`, `grok-3`, `kling-video-...`; the record may name another.
        prompt: What to film. Of grok, text after the first `;` was seen to be lost.
        family: Where to ask, for a model whose family is not known, such as `veo` or `seedance`.
        resolution: Such as `720p` or `1080p`; of sora `small` or `large`.
        duration: Seconds; which ones depends on the family.
        aspect_ratio: Such as `16:9`; of sora and grok a word such as `landscape`.
        mode: Of grok, kling and seedance; of kling it fixes the resolution.
        mode_image: Of veo, what the references are: `frame` (the service's default: first, then last frame, at most 2) or
            `ingredient` (at most 3).
        service_mode: `unstable` (cheaper, slower at peak) or `stable`; later documents do not have it.
        enhance_prompt: Whether the prompt may be reworked; always so for veo 3.
        files: Local files to go by: paths, bytes, `(name, bytes)` or open binary files; they are read while they are sent.
            In a batch with a journal paths only.
        file_urls: Addresses of pictures to go by.
        ref_images: Pictures to go by, in later documents: local files as above, but a text is an address or the uuid of an
            earlier picture, so that a path has to be a `Path`.
        ref_videos: Films to go by, likewise.
        ref_audios: Sounds to go by, likewise.
        ref_history: The uuid of an earlier film or picture to go by.

    Source:
        GeminiGen, "Video Generation" and "Video Generation Sora" [gem:video, gem:sora], `POST /uapi/v1/video-gen/{family}`; families of 2026
        from clients [gem:client 5, 7, 11, 20].
    """

    name: ClassVar[str] = "video"
    kind: ClassVar[str | None] = "video"

    model: str
    prompt: str = field(repr=False)
    family: str | Omit = OMIT
    resolution: str | Omit = OMIT
    duration: int | Omit = OMIT
    aspect_ratio: str | Omit = OMIT
    mode: str | Omit = OMIT
    mode_image: ImageMode | str | Omit = OMIT
    service_mode: ServiceMode | str | Omit = OMIT
    enhance_prompt: bool | Omit = OMIT
    files: Sequence[LocalSource] | Omit = field(default=OMIT, repr=False)
    file_urls: Sequence[str] | Omit = field(default=OMIT, repr=False)
    ref_images: Sequence[LocalSource] | Omit = field(default=OMIT, repr=False)
    ref_videos: Sequence[LocalSource] | Omit = field(default=OMIT, repr=False)
    ref_audios: Sequence[LocalSource] | Omit = field(default=OMIT, repr=False)
    ref_history: str | Omit = OMIT

    @property
    def paths(self) -> Sequence[str | os.PathLike[str]]:
        """Return the local files that it names."""
        later = (file_references(name, given) for name, given in self._later.items())
        return paths_in(self.files, *later)

    @property
    def _later(self) -> dict[str, object]:
        return {"ref_images": self.ref_images, "ref_videos": self.ref_videos, "ref_audios": self.ref_audios}

    def build(self, dialect: Dialect) -> Request:  # noqa: ARG002 - there is one way to speak
        """Build what is sent, less the local files; `ConfigurationError` names what cannot be right."""
        family = require_family(VIDEO_FAMILIES, self.model, self.family)
        references = {"files": self.files, "file_urls": self.file_urls, "ref_history": self.ref_history, **self._later}
        meaning = "frame" if self.mode_image is None or isinstance(self.mode_image, Omit) else self.mode_image
        require_instance("`mode_image`", meaning, str)
        most = family.references_of.get(self.model, family.references_of.get(meaning))
        require_references(family, references, most=most)
        if not isinstance(self.duration, Omit) and self.duration is not None:
            require_whole("`duration`", self.duration, lowest=1, of="seconds")
        options = self.given(
            "resolution",
            "duration",
            "aspect_ratio",
            "mode",
            "mode_image",
            "service_mode",
            "enhance_prompt",
            "file_urls",
            "ref_history",
        )
        texts = {name: text_references(name, given) for name, given in self._later.items()}
        prompt = require_prompt(family, self.prompt)
        fields = {"prompt": prompt, "model": self.model, **options, **texts}
        return form_request(family.path, fields, cuts_at=family.cuts_at)

    async def prepare(self, dialect: Dialect) -> Request:
        """Build what is sent; the local files are measured now."""
        later = {name: file_references(name, given) for name, given in self._later.items()}
        return await with_files(self.build(dialect), {"files": self.files, **later})

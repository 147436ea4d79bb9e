"""Requests for a film of several scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .._api import gemini_vocabulary as gemini
from .._api.builders import require_text
from .._api.checks import require_one_of
from .._api.gemini_families import STORYBOARD_FAMILIES
from .._api.gemini_vocabulary import DEFAULT_STORYBOARD_MODEL
from .._api.request import Request, fill
from .._config import Dialect
from .._types import OMIT, Omit
from ._request import GeminiRequest, form_request, json_text, require_scenes


@dataclass(frozen=True, slots=True, kw_only=True)
class GeminiStoryboardRequest(GeminiRequest):
    """A film of several scenes by GeminiGen; for premium plans only.

    What the history shows as its prompt is not documented, so a lost answer may stay unknown.

    Attributes:
        scenes: What is seen, in order: 2 to 10 of `{"prompt": ..., "duration": 6}`, with a `mode` where one is wanted. A scene has 6
            or 10 seconds, all together have at most 45.
        model: `grok-3`, or another slug.
        family: `grok`, the one that is known to make them.
        aspect_ratio: In the words of the family's films, such as `landscape`.
        resolution: `480p` or `720p`.

    Source:
        Clients [gem:client 5, 19], `POST /uapi/v1/video-storyboard/grok`.
    """

    name: ClassVar[str] = "storyboard"
    kind: ClassVar[str | None] = "video"

    scenes: Sequence[Mapping[str, Any]] = field(repr=False)
    model: str = DEFAULT_STORYBOARD_MODEL
    family: str = "grok"
    aspect_ratio: str | Omit = OMIT
    resolution: str | Omit = OMIT

    def build(self, dialect: Dialect) -> Request:  # noqa: ARG002 - there is one way to speak
        """Build what is sent; `ConfigurationError` names what cannot be right."""
        require_one_of("`family`", self.family, STORYBOARD_FAMILIES)
        scenes = json_text([dict(scene) for scene in require_scenes(self.scenes)])
        options = self.given("aspect_ratio", "resolution")
        return form_request(
            fill(gemini.STORYBOARD, family=self.family),
            {"scenes": scenes, "model": require_text("model", self.model), **options},
        )

"""Requests to go on with a film."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from .._api import gemini_vocabulary as gemini
from .._api.builders import require_text
from .._api.checks import require_one_of, require_whole
from .._api.gemini_families import EXTENDED_FAMILIES, VIDEO_FAMILIES
from .._api.request import Request, fill
from .._config import Dialect
from .._types import OMIT, Omit
from ._request import GeminiRequest, form_request


@dataclass(frozen=True, slots=True, kw_only=True)
class GeminiExtensionRequest(GeminiRequest):
    """More of a film that GeminiGen made.

    Attributes:
        family: That of the film: `veo`, `grok`, `seedance` or `kling`.
        ref_history: The film's uuid.
        prompt: What happens next.
        mode: Of seedance and kling.
        duration: Seconds, of seedance and kling; veo inherits model, ratio and resolution.
        model: The film's model, where it is known: not sent, but the job's.

    Source:
        Clients [gem:client 5, 7], `POST /uapi/v1/video-extend/{family}`.
    """

    name: ClassVar[str] = "extension"
    kind: ClassVar[str | None] = "video"

    family: str
    ref_history: str
    prompt: str = field(repr=False)
    mode: str | Omit = OMIT
    duration: int | Omit = OMIT
    model: str | None = None

    def build(self, dialect: Dialect) -> Request:  # noqa: ARG002 - there is one way to speak
        """Build what is sent; `ConfigurationError` names what cannot be right."""
        require_one_of("`family`", self.family, EXTENDED_FAMILIES)
        if not isinstance(self.duration, Omit) and self.duration is not None:
            require_whole("`duration`", self.duration, lowest=1, of="seconds")
        fields = {
            "prompt": require_text("prompt", self.prompt),
            "ref_history": require_text("ref_history", self.ref_history),
        }
        return form_request(
            fill(gemini.VIDEO_EXTEND, family=self.family),
            {**fields, **self.given("mode", "duration")},
            cuts_at=VIDEO_FAMILIES[self.family].cuts_at,
        )

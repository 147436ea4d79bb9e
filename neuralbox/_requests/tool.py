"""Requests for a tool: upscaling, face swap, text recognition and their like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .._api.builders import build_tool, require_mapping
from .._api.checks import require_address
from .._api.request import Request
from .._api.vocabulary import ToolModel
from .._config import Dialect
from .._types import OMIT, Omit
from .base import BatchRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRequest(BatchRequest):
    """A tool's work.

    Attributes:
        model: Slug of a tool.
        prompt: What to do, for tools that take one.
        image_url: The input image, for tools that take one; a plausible name, not a documented one.
        params: Further parameters of the tool.

    Source:
        NeuralBox API, quickstart (SEED 001): tools go through `POST /api/v2/generate`.
    """

    name: ClassVar[str] = "tool"
    kind: ClassVar[str | None] = "tool"

    model: ToolModel | str
    prompt: str | None = field(default=None, repr=False)
    image_url: str | Omit = field(default=OMIT, repr=False)
    params: Mapping[str, Any] | None = field(default=None, repr=False)

    def build(self, dialect: Dialect) -> Request:
        """Build what is sent; `ConfigurationError` names what cannot be right."""
        require_address("image_url", self.image_url)
        options = {**self.given("image_url"), **require_mapping("params", self.params)}
        return build_tool(model=self.model, prompt=self.prompt, options=options, nested=dialect.options == "nested")

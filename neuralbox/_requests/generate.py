"""Requests in the quickstart's shape: any model, a prompt, and `params`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .._api.builders import build_media, require_image_options, require_mapping
from .._api.request import Request
from .._api.vocabulary import KIND_OF_MODEL
from .._config import Dialect
from .base import BatchRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest(BatchRequest):
    """Anything a model makes of a prompt and `params`.

    Attributes:
        model: Any slug.
        prompt: What to make.
        params: Options of the model, sent inside `params`.

    Source:
        NeuralBox API, `POST /api/v2/generate`, quickstart (SEED 001).
    """

    name: ClassVar[str] = "generate"
    kind: ClassVar[str | None] = None

    model: str
    prompt: str = field(repr=False)
    params: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def result_kind(self) -> str | None:
        """Return the kind of a model of the catalogue; None of any other."""
        return KIND_OF_MODEL.get(self.model)

    def build(self, dialect: Dialect) -> Request:
        """Build what is sent; `ConfigurationError` names what cannot be right."""
        options = require_mapping("params", self.params)
        require_image_options(self.model, options)
        return build_media(model=self.model, prompt=self.prompt, options=options, nested=dialect.options != "flat")

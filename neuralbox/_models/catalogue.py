"""What the service says of its models, prices and assistants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field

from .._api.fields import as_flag, as_id, as_int, as_object, as_text
from .._types import GenerationId
from .generation import Model


class ModelInfo(Model):
    """A model of the catalogue.

    Attributes:
        slug: What `model=` takes.
        name: Display name.
        category: `text`, `image`, ...
        provider: Who runs it.
        min_plan: The lowest plan that may use it, as the service writes it (`free`, `basic`).
        token_cost: Base price in tokens.
        min_token_cost: Lowest price over all options.
        max_token_cost: Highest price over all options.
        description: In the language the service answered in.
        supports_streaming: Whether it can stream.
        config: Options of this model (`sizes`, `formats`, `quality_options`, ...), as they came.
    """

    slug: str = ""
    name: str | None = None
    category: str | None = None
    provider: str | None = None
    min_plan: str | None = None
    token_cost: int | None = None
    min_token_cost: int | None = None
    max_token_cost: int | None = None
    description: str | None = None
    supports_streaming: bool | None = None
    config: Mapping[str, Any] = Field(default_factory=dict)

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Self:
        """Read a model; never raises."""
        described = [record.get(name) for name in ("description_en", "description_ru", "description")]
        return cls(
            slug=as_text(record.get("slug")) or "",
            name=as_text(record.get("name")),
            category=as_text(record.get("category")),
            provider=as_text(record.get("provider")),
            min_plan=as_text(record.get("min_plan")),
            token_cost=as_int(record.get("token_cost")),
            min_token_cost=as_int(record.get("min_token_cost")),
            max_token_cost=as_int(record.get("max_token_cost")),
            description=next((text for text in described if isinstance(text, str)), None),
            supports_streaming=as_flag(record.get("supports_streaming")),
            config=as_object(record.get("config")) or {},
            raw=record,
        )


class Price(Model):
    """What a generation would cost.

    Attributes:
        token_cost: Tokens for these options; whether `count` multiplies it is not documented.
        min_token_cost: Lowest price of the model.
        max_token_cost: Highest price of the model.
        pricing_type: `fixed`, `matrix`, `per_second`, `per_point`, or another word.
    """

    token_cost: int | None = None
    min_token_cost: int | None = None
    max_token_cost: int | None = None
    pricing_type: str | None = None

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Self:
        """Read a price; never raises."""
        return cls(
            token_cost=as_int(record.get("token_cost")),
            min_token_cost=as_int(record.get("min_token_cost")),
            max_token_cost=as_int(record.get("max_token_cost")),
            pricing_type=as_text(record.get("pricing_type")),
            raw=record,
        )


class Assistant(Model):
    """A stored system prompt, the caller's own or one of the marketplace; only `id` is documented in answers.

    Attributes:
        id: `asst_…`, for `assistant_id=`.
        name: Its name.
        description: What it is for.
        model: Slug of its model.
        instructions: Its system prompt.
    """

    id: GenerationId | None = None
    name: str | None = None
    description: str | None = None
    model: str | None = None
    instructions: str | None = Field(default=None, repr=False)

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Self:
        """Read an assistant; never raises."""
        return cls(
            id=as_id(record.get("id")),
            name=as_text(record.get("name")),
            description=as_text(record.get("description")),
            model=as_text(record.get("model")),
            instructions=as_text(record.get("instructions")),
            raw=record,
        )

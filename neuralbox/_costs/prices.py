"""Price questions: which options of a paid request its price may depend on, and how the answer is read. Pure.

Prices come from the service, never from a table here (C21). The documents let a price depend on size and quality
(`matrix`), on length (`per_second`) and on what Midjourney calls points (`per_point`), and ask for "the same options as
for `/generate`". So everything an option can be is asked about; the content is left out, since no document lets a price
depend on it: texts, addresses, seeds and whatever else is another one for each request and would make each a question.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._api import vocabulary as words
from .._api.fields import as_int
from .._api.request import Request, fill

_CONTENT = frozenset(
    {
        "assistant_id", "blocks", "custom_prompt", "input", "max_tokens", "messages", "model", "name", "negative_prompt",
        "params", "prompt", "ref_history", "seed", "stream", "system", "system_prompt", "temperature", "text",
    }
)  # fmt: skip
# Longer texts are content under a name we do not know.
_LONGEST_OPTION = 40


@dataclass(frozen=True, slots=True)
class PriceQuery:
    """What a price may depend on.

    Attributes:
        model: The slug; None where an assistant brings the model, so that the service cannot be asked.
        key: Equal for requests that cost the same.
        params: The options, by name.
    """

    model: str | None
    key: str
    params: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def request(self) -> Request:
        """The request that asks it; nothing is charged, so it is repeated like a GET.

        Source:
            `POST /api/v2/models/{slug}/calculate-price` [nb:en/api-reference/models/calculate-price; SEED 002].
        """
        assert self.model is not None
        return Request("POST", fill(words.MODEL_PRICE, slug=self.model), body={"params": dict(self.params)})


def price_query_of(
    request: Request, *, model: str | None = None, extra: Mapping[str, object] | None = None
) -> PriceQuery:
    """Return the price question of a paid request.

    Args:
        request: The request, in either form (C8).
        model: The slug, where the request does not hold it.
        extra: Fields that the call adds to the body.
    """
    body = request.whole_body(extra)
    nested = body.get("params")
    options = {**(nested if isinstance(nested, Mapping) else {}), **body}
    slug = body.get("model", model)
    asked = {name: options[name] for name in sorted(options) if _matters(name, options[name])}
    if isinstance(slug, str) and slug.strip(" ."):
        return PriceQuery(slug, _key(slug, asked), asked)
    return PriceQuery(None, _key("assistant", options.get("assistant_id"), asked), asked)


def _matters(name: str, value: object) -> bool:
    if name in _CONTENT or name.endswith("_url"):
        return False
    if isinstance(value, str):
        return len(value) <= _LONGEST_OPTION
    return isinstance(value, bool | int | float)


def _key(*parts: object) -> str:
    return json.dumps(parts, default=str)


def read_price(record: Mapping[str, Any]) -> int | None:
    """Read an announced price in tokens: that of the options, else the model's highest; None where there is neither."""
    for name in ("token_cost", "max_token_cost"):
        tokens = as_int(record.get(name))
        if tokens is not None and tokens >= 0:
            return tokens
    return None


def expected_price(announced: int | None, charged: int | None) -> int | None:
    """What to count on: the announced price, unless more was charged the last time; without one, what was charged."""
    if announced is None or charged is None:
        return announced if charged is None else charged
    return max(announced, charged)

"""Leave a mark on a picture by which its generation is known from any other: the seed it is drawn with.

Images document `seed` in request and answer. Where the caller gave none, one of 31 bits is drawn and sent; a generation
that shows it is ours, whatever else happens on the account, and the picture can be made again. What the service does
with it is remembered by model: where it refuses the field or does not show it as it was sent, none is drawn any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from secrets import randbelow
from typing import Final

from .._api import vocabulary as words
from .._api.request import Request
from .._errors import NeuralBoxError, UnprocessableEntityError
from .claim import Claim

_SEEDS: Final = 2**31


def draw_seed(request: Request, claim: Claim, shows_seed: Mapping[str | None, bool]) -> int | None:
    """Draw a seed for a request that names none; None where it has no use.

    Never by the module `random`, which a program may have seeded: two runs of it would draw the same.

    Args:
        request: What is to be sent.
        claim: What it asks for.
        shows_seed: Whether a model is known to show seeds.
    """
    has_use = claim.kind == "image" and request.path == words.GENERATE and shows_seed.get(claim.model, True)
    if not has_use or request.body is None or "seed" in claim.options:
        return None
    return 1 + randbelow(_SEEDS - 1)  # 0 means a random one elsewhere


def with_seed(request: Request, seed: int) -> Request:
    """Return the request with a seed, where its other options are."""
    body = dict(request.body or {})
    nested = body.get("params")
    if isinstance(nested, Mapping):
        body["params"] = {**nested, "seed": seed}
    else:
        body["seed"] = seed
    return replace(request, body=body)


def refuses_seed(error: NeuralBoxError) -> bool:
    """Whether the service refused a request for its seed; nothing was charged."""
    if not isinstance(error, UnprocessableEntityError):
        return False
    return "seed" in error.message.lower() or any("seed" in str(field) for field in error.fields)

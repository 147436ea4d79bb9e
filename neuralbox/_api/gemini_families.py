"""GeminiGen's families of models: where each is asked, which models it has, and what it takes. Data only.

A family has a path of its own; a model belongs to one. Both change often, so that a model nobody knows may be asked for with
its family beside it. Limits stand here only where a source names them, and each entry says which (docs/service/geminigen.md
0): pages of the vendor, or programs of others, which are observations and no contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from . import gemini_vocabulary as gemini


@dataclass(frozen=True, slots=True)
class Family:
    """What is known of a family.

    Attributes:
        name: Its own name, in paths and as `family=`.
        path: Where its models are asked, below the prefix.
        models: Slugs that were seen; there may be more.
        prefixes: How slugs of its own begin.
        sends_model: Whether the slug is a field of the request; a family of one model has none.
        references: Most references in one request; None where no source says it.
        references_of: The same for a single model, or for a `mode_image`.
        one_kind: Whether it looks at one of the fields for references only, so that a second kind would be lost.
        results: Most results of one request.
        shortest_prompt: Fewest characters of a prompt.
        cuts_at: Where a prompt was seen to be cut, what follows it being lost.
        source: Who says so.
    """

    name: str
    path: str
    models: Sequence[str] = ()
    prefixes: Sequence[str] = ()
    sends_model: bool = True
    references: int | None = None
    references_of: Mapping[str, int] = field(default_factory=dict)
    one_kind: bool = False
    results: int | None = None
    shortest_prompt: int = 0
    cuts_at: str = ""
    source: str = ""


def _of(path: str, family: str) -> str:
    return path.replace("{family}", family)


IMAGE_FAMILIES: Final[Mapping[str, Family]] = MappingProxyType(
    {
        family.name: family
        for family in (
            Family(
                "generate_image",
                gemini.GENERATE_IMAGE,
                models=(
                    "nano-banana-pro",
                    "nano-banana-2",
                    "nano-banana-2-lite",
                    "imagen-4",
                    "imagen-4-fast",
                    "imagen-4-ultra",
                    "imagen-flash",
                ),
                prefixes=("nano-banana-", "imagen-"),
                source="[gem:image]; models of 2026 [gem:client 5, 9]",
            ),
            Family(
                "grok",
                _of(gemini.IMAGEN, "grok"),
                ("grok",),
                sends_model=False,
                results=8,
                source="[gem:client 5, 7, 8]",
            ),
            Family("meta_ai", gemini.META_IMAGE, ("meta_ai",), sends_model=False, results=4, source="[gem:client 5]"),
            Family(
                "gpt-image-2",
                _of(gemini.IMAGEN, "gpt-image-2"),
                ("gpt-image-2",),
                sends_model=False,
                source="[gem:client 8, 25]",
            ),
            Family(
                "gpt-image-2-lower",
                _of(gemini.IMAGEN, "gpt-image-2-lower"),
                ("gpt-image-2-lower",),
                sends_model=False,
                references=10,
                source="[gem:client 9]",
            ),
        )
    }
)
"""Of pictures, by name."""

VIDEO_FAMILIES: Final[Mapping[str, Family]] = MappingProxyType(
    {
        family.name: family
        for family in (
            Family(
                "veo",
                _of(gemini.VIDEO, "veo"),
                models=("veo-3.1", "veo-3.1-fast", "veo-3.1-lite", "veo-3", "veo-3-fast", "veo-2", "omni-flash"),
                prefixes=("veo-",),
                references_of=MappingProxyType({"frame": 2, "ingredient": 3}),
                source="[gem:video]; models and references of 2026 [gem:client 5, 20]",
            ),
            Family(
                "sora",
                _of(gemini.VIDEO, "sora"),
                models=("sora-2", "sora-2-pro", "sora-2-pro-hd"),
                prefixes=("sora-",),
                references=1,
                source="[gem:sora]; references, 25 s and hd [gem:client 5]",
            ),
            Family(
                "grok",
                _of(gemini.VIDEO, "grok"),
                models=("grok-3",),
                one_kind=True,
                cuts_at=";",
                source="[gem:client 5, 11, 30]",
            ),
            Family("grok-lower", _of(gemini.VIDEO, "grok-lower"), source="[gem:client 20]"),
            Family(
                "seedance",
                _of(gemini.VIDEO, "seedance"),
                models=("seedance-2", "seedance-2-remix", "seedance-2-omni", "seedance-2-mini", "seedance-2-5-omni"),
                prefixes=("seedance-",),
                references_of=MappingProxyType({"seedance-2-5-omni": 14}),
                source="[gem:client 5, 20]; references of 2-5 (docs/service/geminigen.md 8)",
            ),
            Family(
                "kling",
                _of(gemini.VIDEO, "kling"),
                prefixes=("kling-video-",),
                shortest_prompt=10,
                source="[gem:client 5]",
            ),
            Family(
                "flux",
                _of(gemini.VIDEO, "flux"),
                models=("flux-3",),
                references=10,
                source="[gem:client 7, 20]; limits (docs/service/geminigen.md 8)",
            ),
            Family(
                "minimax",
                _of(gemini.VIDEO, "minimax"),
                models=("minimax-h3",),
                references=9,
                source="[gem:client 7, 20]; limits (docs/service/geminigen.md 8)",
            ),
            Family("meta", _of(gemini.VIDEO, "meta"), source="[gem:client 7, 20]"),
        )
    }
)
"""Of films, by name."""

EXTENDED_FAMILIES: Final = ("veo", "grok", "seedance", "kling")
"""Those whose films can be extended [gem:client 5, 7]."""
STORYBOARD_FAMILIES: Final = ("grok",)
"""Those that make films of several scenes [gem:client 5, 19]."""


def family_of(families: Mapping[str, Family], model: str) -> Family | None:
    """Return the family of a model, by its slug or how that begins; None of one nobody knows."""
    for family in families.values():
        if model in family.models or model.startswith(tuple(family.prefixes)):
            return family
    return None

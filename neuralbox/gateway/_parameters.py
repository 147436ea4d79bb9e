"""Which of openai's parameters are translated, which change nothing here, and which have no counterpart.

One table for each endpoint. A parameter that changes nothing at its usual value (`top_p` 1, no tools) is taken with that
value and refused with any other: a program that relies on it must learn so, by openai's own error with the parameter
named. `null` is the same as left out.

Source:
    openai-python 3.57.0, `openai.types` (the parameters of each `create`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ._error_answers import refuse


@dataclass(frozen=True, slots=True)
class ParameterTable:
    """The parameters of one endpoint.

    Attributes:
        taken: Those that are translated, and options of the service by its own names.
        ignored: Those that say nothing about the result.
        neutral: The values at which the others change nothing; an empty tuple for none.
    """

    taken: frozenset[str]
    ignored: frozenset[str] = frozenset()
    neutral: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def read(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is to be translated, without what is `null`.

        Raises:
            RefusedCallError: A parameter has no counterpart, or openai has none of this name.
        """
        found = {}
        for name, value in body.items():
            if value is None or name in self.ignored:
                continue
            if name in self.taken:
                found[name] = value
                continue
            usual = self.neutral.get(name)
            if usual is None:
                raise refuse(name, f"Unknown parameter: '{name[:100]}'.", code="unknown_parameter")
            if not any(type(value) is type(each) and value == each for each in usual):
                raise _without_counterpart(name, usual)
        return found


def _without_counterpart(name: str, usual: tuple[Any, ...]) -> Exception:
    if not usual:
        message = f"Unsupported parameter: '{name}' has no counterpart at NeuralBox; leave it out."
        return refuse(name, message, code="unsupported_parameter")
    values = " or ".join(repr(each) for each in usual)
    message = f"Unsupported value: '{name}' has no counterpart at NeuralBox; only {values} is supported."
    return refuse(name, message, code="unsupported_value")


_CALLER: Final = frozenset({"user", "safety_identifier", "metadata"})
_CACHE: Final = frozenset({"prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"})
_TIER: Final = ("auto", "default")

CHAT: Final = ParameterTable(
    taken=frozenset(
        {"model", "messages", "n", "stream", "stream_options", "temperature", "max_tokens", "max_completion_tokens"}
    ),
    ignored=_CALLER | _CACHE | {"store", "parallel_tool_calls"},
    neutral={
        "audio": (),
        "frequency_penalty": (0, 0.0),
        "function_call": ("none", "auto"),
        "functions": ([],),
        "logit_bias": ({},),
        "logprobs": (False,),
        "modalities": (["text"],),
        "moderation": (),
        "prediction": (),
        "presence_penalty": (0, 0.0),
        "reasoning_effort": (),
        "response_format": ({"type": "text"},),
        "seed": (),
        "service_tier": _TIER,
        "stop": ([],),
        "tool_choice": ("none", "auto"),
        "tools": ([],),
        "top_logprobs": (0,),
        "top_p": (1, 1.0),
        "verbosity": ("medium",),
        "web_search_options": (),
    },
)
RESPONSES: Final = ParameterTable(
    taken=frozenset({"model", "input", "instructions", "max_output_tokens", "temperature", "stream"}),
    ignored=_CALLER | _CACHE | {"store", "parallel_tool_calls", "stream_options", "truncation"},
    neutral={
        "access_programs": (),
        "background": (False,),
        "background_options": (),
        "context_management": ([],),
        "conversation": (),
        "image": (),
        "include": ([],),
        "max_tool_calls": (),
        "moderation": (),
        "previous_response_id": (),
        "prompt": (),
        "reasoning": ({},),
        "service_tier": _TIER,
        "text": ({"format": {"type": "text"}}, {"format": {"type": "text"}, "verbosity": "medium"}, {}),
        "tool_choice": ("none", "auto"),
        "tools": ([],),
        "top_logprobs": (0,),
        "top_p": (1, 1.0),
    },
)
IMAGES: Final = ParameterTable(
    taken=frozenset(
        {"model", "prompt", "n", "size", "quality", "style", "response_format", "output_format"}
        | {"negative_prompt", "seed", "image_url", "aspect_ratio"}
    ),
    ignored=_CALLER,
    neutral={
        "background": ("auto",),
        "complexity": (),
        "frame_count": (),
        "frame_duration_ms": (),
        "moderation": ("auto",),
        "output_compression": (100,),
        "partial_images": (0,),
        "prompt_rewriter": (),
        "stream": (False,),
        "svg": (),
    },
)
VIDEOS: Final = ParameterTable(
    taken=frozenset(
        {"model", "prompt", "seconds", "size", "input_reference", "image_url", "negative_prompt", "aspect_ratio"}
    ),
    ignored=_CALLER,
)
SPEECH: Final = ParameterTable(
    taken=frozenset({"model", "input", "voice", "response_format", "speed"}),
    ignored=_CALLER,
    neutral={"instructions": ("",), "stream_format": ("audio",)},
)
# A form's values are text.
TRANSCRIPTIONS: Final = ParameterTable(
    taken=frozenset({"file", "model", "language", "response_format", "diarize"}),
    ignored=_CALLER,
    neutral={
        "chunking_strategy": ("auto",),
        "include": (),
        "keywords": (),
        "known_speaker_names": (),
        "known_speaker_references": (),
        "languages": (),
        "prompt": ("",),
        "stream": ("false", "False"),
        "temperature": ("0", "0.0"),
        "timestamp_granularities": (),
    },
)

# Names of models that openai's programs have, and what is the same model here.
MODEL_NAMES: Final[Mapping[str, str]] = {
    "tts-1": "openai-tts",
    "tts-1-hd": "openai-tts-hd",
    "whisper-1": "whisper",
}
# Midjourney takes a ratio where others take pixels.
RATIO_OF_SIZE: Final[Mapping[str, str]] = {
    "1024x1024": "1:1",
    "1024x1536": "2:3",
    "1536x1024": "3:2",
    "1024x1792": "9:16",
    "1792x1024": "16:9",
}
QUALITIES: Final[Mapping[str, str]] = {
    "standard": "standard",
    "low": "standard",
    "medium": "standard",
    "hd": "hd",
    "high": "hd",
}
OUTPUT_FORMATS: Final = ("png", "webp", "jpeg")
# What is nearest of the two lengths that there are; 12 is not near any.
SECONDS: Final[Mapping[str, int]] = {"4": 5, "5": 5, "8": 10, "10": 10}
RATIO_OF_VIDEO: Final[Mapping[str, str]] = {
    "1280x720": "16:9",
    "1792x1024": "16:9",
    "720x1280": "9:16",
    "1024x1792": "9:16",
    "1024x1024": "1:1",
}
SIZE_OF_VIDEO: Final[Mapping[str, str]] = {"16:9": "1280x720", "9:16": "720x1280", "1:1": "1024x1024"}
SPEECH_FORMATS: Final = ("mp3", "wav", "ogg")
TRANSCRIPT_FORMATS: Final = ("json", "text")
MOST_AT_ONCE: Final = 10
"""The most that `n` may be, as at openai for pictures."""

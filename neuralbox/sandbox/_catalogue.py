"""The catalogue: which models there are, what they cost, what they take, and what a plan includes.

Prices are those of the later price list ([elu:en/concepts/tokens]) where it names the model, else of the earlier one
([nb:en/concepts/tokens]); where a range is documented without its options, the steps inside it are assumed. Sizes and
usual durations come from the shared vocabulary. Nothing here knows requests or accounts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from .._api import vocabulary as words

Pricing = Literal["fixed", "matrix", "per_second", "per_point"]

SQUARE: Final = "1024x1024"
# Three of the model's maker, and those of the seed's note on prices [SEED 002].
_GPT_IMAGE: Final = ("1024x1024", "1024x1536", "1536x1024", "1024x1792", "1792x1024")
_ANY_SIZE: Final = ("1024x1024", "768x1344", "1344x768", "1024x1536", "1536x1024", "1024x1792", "1792x1024")

# What a ratio means in pixels: for Midjourney pictures (undocumented, near a megapixel) and for videos.
RATIO_PIXELS: Final = MappingProxyType(
    {"1:1": (1024, 1024), "2:3": (896, 1344), "3:2": (1344, 896), "9:16": (816, 1456), "16:9": (1456, 816)}
)
_SHORT_SIDE: Final = MappingProxyType({"mj-video-480p": 480, "mj-video-720p": 720})


@dataclass(frozen=True, slots=True)
class CatalogueModel:
    """One model of the catalogue.

    Attributes:
        low: Cheapest price, tokens.
        high: Dearest price, tokens.
        min_plan: `free` or `basic`: the lowest plan that may use it.
    """

    slug: str
    name: str
    kind: words.Kind
    provider: str
    min_plan: str
    low: int
    high: int
    pricing: Pricing

    @property
    def is_midjourney(self) -> bool:
        return self.kind == "image" and self.slug.startswith("midjourney")

    @property
    def answer_slug(self) -> str:
        """Return the slug that answers carry: `midjourney-v6` comes back as `midjourney` [SEED 002]."""
        return "midjourney" if self.is_midjourney else self.slug

    @property
    def sees(self) -> bool:
        return self.slug in words.VISION_MODELS

    @property
    def sizes(self) -> tuple[str, ...]:
        if self.is_midjourney:
            return tuple(words.IMAGE_SIZES["midjourney-v6"])
        return tuple(words.IMAGE_SIZES.get(self.slug, _GPT_IMAGE if self.slug == "gpt-image-1.5" else _ANY_SIZE))

    @property
    def usual_seconds(self) -> tuple[float, float]:
        """Return the shortest and longest time a slow generation takes, seconds."""
        if self.kind == "video":
            return words.USUAL_SECONDS.get(self.slug, words.USUAL_VIDEO_SECONDS)
        return (30, 60) if self.is_midjourney else (20, 40)

    def price(self, options: Mapping[str, Any]) -> int:
        """Return the price in tokens for these options (already checked)."""
        if self.pricing == "matrix":
            dear, wide = options.get("quality") == "hd", options.get("size", SQUARE) != SQUARE
            steps = _MATRIX.get(self.slug)
            return steps[dear, wide] if steps else self.low
        if self.pricing == "per_second" and options.get("duration") == words.VIDEO_DURATIONS[-1]:
            return min(self.high, self.low * 2)
        return self.low

    def describe(self) -> dict[str, Any]:
        """Return the model as `GET /models/{slug}` shows it."""
        return {
            "slug": self.slug,
            "name": self.name,
            "category": self.kind,
            "provider": self.provider,
            "min_plan": self.min_plan,
            "token_cost": self.low,
            "min_token_cost": self.low,
            "max_token_cost": self.high,
            "description_en": f"{self.name} by {self.provider}, as the sandbox plays it.",
            "supports_streaming": self.kind == "text",
            "config": self._config(),
        }

    def _config(self) -> dict[str, Any]:
        if self.kind == "image":
            qualities = words.IMAGE_QUALITIES.get(self.slug)
            quality = {"quality_options": list(qualities)} if qualities else {}
            return {"sizes": list(self.sizes), "formats": list(words.IMAGE_FORMATS), **quality}
        if self.kind == "video":
            return {"durations": list(words.VIDEO_DURATIONS), "aspect_ratios": list(words.VIDEO_RATIOS)}
        if self.kind == "tts":
            return {"formats": list(words.SPEECH_FORMATS), "max_characters": words.MAX_SPEECH_CHARACTERS}
        if self.kind == "audio":
            return {"min_duration": words.MIN_MUSIC_SECONDS, "max_duration": words.MAX_MUSIC_SECONDS}
        return {}


# (hd, not square) -> tokens; the four corners inside the documented ranges.
_MATRIX: Final[Mapping[str, Mapping[tuple[bool, bool], int]]] = MappingProxyType(
    {
        "dall-e-3": {(False, False): 5, (False, True): 9, (True, False): 8, (True, True): 13},
        "gpt-image-1.5": {(False, False): 1, (False, True): 2, (True, False): 14, (True, True): 21},
    }
)

_TABLE: Final = """
text  gpt-5-nano        OpenAI      free  1 1 fixed
text  claude-haiku-4.5  Anthropic   free  1 1 fixed
text  gemini-2.5-flash  Google      free  1 1 fixed
text  deepseek-v3       DeepSeek    free  1 1 fixed
text  grok-4-fast       xAI         free  1 1 fixed
text  deepseek-r1       DeepSeek    basic 1 1 fixed
text  gpt-5             OpenAI      basic 2 2 fixed
text  gemini-3-pro      Google      basic 3 3 fixed
text  gpt-5.2           OpenAI      basic 4 4 fixed
text  claude-sonnet-4.5 Anthropic   basic 4 4 fixed
text  claude-opus-4.5   Anthropic   basic 6 6 fixed
text  gpt-5.2-pro       OpenAI      basic 39 39 fixed
image photon-flash      Luma        free  1 1 fixed
image dall-e-3          OpenAI      free  5 13 matrix
image gpt-image-1.5     OpenAI      basic 1 21 matrix
image flux-1.1-pro      Replicate   basic 4 4 fixed
image flux-kontext-pro  Replicate   basic 3 3 fixed
image sd-3.5-large      Replicate   basic 7 7 fixed
image midjourney        MidJourney  basic 2 35 per_point
image midjourney-v6     MidJourney  basic 14 14 per_point
image midjourney-turbo  MidJourney  basic 28 28 per_point
image recraft-v3        Replicate   basic 4 4 fixed
image photon-1          Luma        basic 3 3 fixed
image photon            Luma        basic 1 2 fixed
image nano-banana-pro   Replicate   basic 16 32 matrix
image nano-banana-pro-2k Replicate  basic 27 27 fixed
video luma-ray2-flash   Luma        free  15 93 per_second
video luma-flash2       Luma        free  15 93 per_second
video kling-v2.1        Replicate   basic 26 94 per_second
video kling-v2.1-pro    Replicate   basic 88 88 fixed
video minimax-video     Replicate   basic 88 88 fixed
video luma-ray2         Luma        basic 42 180 per_second
video luma-ray2-1080p   Luma        basic 151 151 fixed
video mj-video-480p     MidJourney  basic 84 84 fixed
video mj-video-720p     MidJourney  basic 269 269 fixed
video midjourney-video  MidJourney  basic 50 320 per_point
video sora-2            OpenAI      basic 42 125 per_second
video veo-3.1           Replicate   basic 83 334 per_second
audio musicgen          Replicate   free  9 9 fixed
audio elevenlabs-music  ElevenLabs  basic 58 58 fixed
tts   minimax-tts       MiniMax     free  1 1 fixed
tts   openai-tts        OpenAI      basic 3 3 fixed
tts   openai-tts-hd     OpenAI      basic 6 6 fixed
tts   gpt-4o-mini-tts   OpenAI      basic 3 3 fixed
tts   elevenlabs-flash  ElevenLabs  basic 18 18 fixed
tts   elevenlabs-v2     ElevenLabs  basic 35 35 fixed
stt   whisper           OpenAI      free  2 2 fixed
stt   gpt-4o-transcribe OpenAI      basic 2 2 fixed
stt   elevenlabs-scribe ElevenLabs  basic 2 2 fixed
tool  upscale           Replicate   free  1 1 fixed
tool  face-swap         Replicate   free  1 1 fixed
tool  remove-bg         Replicate   free  1 1 fixed
tool  style-transfer    Replicate   free  1 1 fixed
tool  colorize          Replicate   free  1 1 fixed
tool  inpaint           Replicate   free  3 3 fixed
tool  text-ocr          Replicate   free  1 1 fixed
tool  elevenlabs-sfx    ElevenLabs  basic 12 12 fixed
tool  el-voice-changer  ElevenLabs  basic 15 15 fixed
tool  el-voice-isolator ElevenLabs  basic 12 12 fixed
tool  el-dubbing        ElevenLabs  basic 60 600 fixed
tool  el-dialogue       ElevenLabs  basic 15 15 fixed
"""

_CAPITALS: Final = {
    "gpt": "GPT",
    "tts": "TTS",
    "ocr": "OCR",
    "sd": "SD",
    "dall": "DALL",
    "e": "E",
    "mj": "MJ",
    "bg": "BG",
}


def _name(slug: str) -> str:
    name = " ".join(_CAPITALS.get(part, part.capitalize()) for part in slug.split("-"))
    return name.replace("DALL E", "DALL-E").replace("GPT ", "GPT-", 1)


def _model(row: str) -> CatalogueModel:
    kind, slug, provider, min_plan, low, high, pricing = row.split()
    return CatalogueModel(
        slug=slug,
        name=_name(slug),
        kind=kind,  # type: ignore[arg-type]  # the table above holds only kinds and pricings
        provider=provider,
        min_plan=min_plan,
        low=int(low),
        high=int(high),
        pricing=pricing,  # type: ignore[arg-type]
    )


MODELS: Final[Mapping[str, CatalogueModel]] = MappingProxyType(
    {model.slug: model for model in map(_model, _TABLE.strip().splitlines())}
)

AUDIO_TOOLS: Final = frozenset(slug for slug in MODELS if slug.startswith("el-") or slug == "elevenlabs-sfx")
TEXT_TOOLS: Final = frozenset({"text-ocr"})


def video_pixels(slug: str, ratio: str) -> tuple[int, int]:
    """Return width and height of a video in pixels: 1920x1080 at 16:9 [SEED 000] unless the model's name says less."""
    short = _SHORT_SIDE.get(slug, 1080)
    if ratio == "1:1":
        return short, short
    long = short * 16 // 9 // 2 * 2  # h264 wants even sides
    return (long, short) if ratio == "16:9" else (short, long)


# Plans.

PLAN_RANK: Final = MappingProxyType({"free": 0, "starter": 0, "basic": 1, "pro": 2, "vip": 3, "elite": 4})
PLAN_TOKENS: Final = MappingProxyType(
    {"free": 50, "starter": 50, "basic": 300, "pro": 700, "vip": 1_500, "elite": 3_000}
)
"""Tokens a month (once for the lowest plan) [nb:en/concepts/subscriptions]."""

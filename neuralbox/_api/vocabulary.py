"""The service's words: paths, names, states, codes, catalogue.

One table each, shared by the client and the sandbox so that both speak of the same things; no behaviour lives
here. Sources are named as docs/service/index.md says: `[SEED nnn]`, `[nb:…]` (docs.neuralbox.top) and
`[elu:…]` (the renamed copy of those docs). Where they differ the seed is the default and the rest is accepted.
All sets are open: a word the service adds tomorrow is data for the client, not an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, get_args

BASE_URL: Final = "https://neuralbox.top"
"""Scheme and host [SEED 000-003]; `https://elumenta.ru` is the renamed host with the same prefix [elu:en/quickstart]."""
PREFIX: Final = "/api/v2"
KEY_PREFIX: Final = "nb_"

# States of a generation [SEED 000-003]. No other is documented.

COMPLETED: Final = "completed"
PENDING: Final = "pending"
FAILED: Final = "failed"
Status: TypeAlias = Literal["completed", "pending", "failed"]
FINAL_STATES: Final = frozenset({COMPLETED, FAILED})

# Kinds [SEED 000]; the statistics call `tool` `tools` (contradiction C31).

Kind: TypeAlias = Literal["text", "image", "video", "tts", "stt", "audio", "tool"]
KINDS: Final[tuple[Kind, ...]] = ("text", "image", "video", "tts", "stt", "audio", "tool")

# Paths below the prefix.

GENERATE: Final = "/generate"
GENERATE_STREAM: Final = "/generate/stream"
GENERATION_BY_NUMBER: Final = "/generate/{id}"  # [SEED 001, 002]
GENERATION_BY_TEXT: Final = "/generate/status/{id}"  # [SEED 000]
STT: Final = "/stt"
HISTORY: Final = "/user/history"
HISTORY_ITEM: Final = "/user/history/{id}"
HISTORY_FAVORITE: Final = "/user/history/{id}/favorite"
HISTORY_RATE: Final = "/user/history/{id}/rate"
BALANCE: Final = "/balance"  # [SEED 001]
USER_BALANCE: Final = "/user/balance"  # [nb:…/user/me]
ME: Final = "/user/me"
STATS: Final = "/user/stats"
MODELS: Final = "/models"
MODEL: Final = "/models/{slug}"
MODEL_PRICE: Final = "/models/{slug}/calculate-price"
KEYS: Final = "/keys"
KEY: Final = "/keys/{id}"
ASSISTANTS: Final = "/assistants"
MARKETPLACE: Final = "/assistants/marketplace"
AUTH_TELEGRAM: Final = "/auth/telegram"
AUTH_LOGIN: Final = "/auth/login"
AUTH_PHONE: Final = "/auth/login-phone"
AUTH_GOOGLE: Final = "/auth/google"
AUTH_REFRESH: Final = "/auth/refresh"

# Two vocabularies and a half: which wire names carry one canonical attribute, in the order in which the first
# that is present and not null counts.

ALIASES: Final = MappingProxyType(
    {
        "id": ("id", "generation_id"),
        "model": ("model_slug", "model"),
        "text": ("result_text", "content"),
        "url": ("result_url", "url", "output_url"),
        "tokens": ("tokens_spent", "tokens_used"),
        "kind": ("type", "category"),
        "balance": ("balance_remaining",),
        "error": ("error", "message"),
        "width": ("result_metadata.width", "width"),
        "height": ("result_metadata.height", "height"),
        "duration": ("result_metadata.duration", "duration", "duration_seconds"),
        "rating": ("user_rating", "rating"),
    }
)

# Stream events [nb:en/guides/streaming, nb:…/generate/stream].

GENERATION_START: Final = "generation_start"
CONTENT_DELTA: Final = "content_delta"
GENERATION_END: Final = "generation_end"
STREAM_ERROR: Final = "error"
DONE: Final = "[DONE]"

# Headers of a reply [elu:en/concepts/rate-limits].

LIMIT_HOUR: Final = "x-ratelimit-limit-hour"
REMAINING_HOUR: Final = "x-ratelimit-remaining-hour"
LIMIT_DAY: Final = "x-ratelimit-limit-day"
REMAINING_DAY: Final = "x-ratelimit-remaining-day"
RESET_HOUR: Final = "x-ratelimit-reset-hour"  # Unix seconds

# Error codes [nb:en/guides/error-handling] and the status each comes with.

BAD_REQUEST: Final = "bad_request"
NOT_AUTHENTICATED: Final = "not_authenticated"
TOKEN_EXPIRED: Final = "token_expired"
INSUFFICIENT_TOKENS: Final = "insufficient_tokens"
INSUFFICIENT_PLAN: Final = "insufficient_plan"
NOT_FOUND: Final = "not_found"
VALIDATION_ERROR: Final = "validation_error"
RATE_LIMIT_EXCEEDED: Final = "rate_limit_exceeded"
PROVIDER_ERROR: Final = "provider_error"
MODEL_UNAVAILABLE: Final = "model_unavailable"

STATUS_OF_CODE: Final = MappingProxyType(
    {
        BAD_REQUEST: 400,
        NOT_AUTHENTICATED: 401,
        TOKEN_EXPIRED: 401,
        INSUFFICIENT_TOKENS: 402,
        INSUFFICIENT_PLAN: 403,
        NOT_FOUND: 404,
        VALIDATION_ERROR: 422,
        RATE_LIMIT_EXCEEDED: 429,
        PROVIDER_ERROR: 500,
        MODEL_UNAVAILABLE: 503,
    }
)

# Requests.

ROLES: Final = frozenset({"system", "user", "assistant"})
MIN_TEMPERATURE: Final = 0.0
MAX_TEMPERATURE: Final = 2.0
DEFAULT_TEMPERATURE: Final = 0.7
ImageFormat: TypeAlias = Literal["webp", "png", "jpeg"]
ImageQuality: TypeAlias = Literal["standard", "hd"]
ImageStyle: TypeAlias = Literal["vivid", "natural"]
VideoSeconds: TypeAlias = Literal[5, 10]
VideoRatio: TypeAlias = Literal["16:9", "9:16", "1:1"]
SpeechFormat: TypeAlias = Literal["mp3", "wav", "ogg"]
# For editors to offer; which model has which, the tables below say for sizes [SEED 002], the service for voices: any raw
# ElevenLabs id is one too [elu:…/generations/tts].
ImageSize: TypeAlias = Literal[
    "1024x1024",
    "1024x1792",
    "1792x1024",
    "768x1344",
    "1344x768",
    "1024x1536",
    "1536x1024",
    "1:1",
    "2:3",
    "3:2",
    "9:16",
    "16:9",
]
Voice: TypeAlias = Literal[
    "alloy",
    "echo",
    "fable",
    "onyx",
    "nova",
    "shimmer",
    "rachel",
    "adam",
    "bella",
    "josh",
    "male-qn-qingse",
    "male-qn-jingying",
    "female-shaonv",
    "female-yujie",
]
IMAGE_FORMATS: Final[tuple[str, ...]] = get_args(ImageFormat)
QUALITIES: Final[tuple[str, ...]] = get_args(ImageQuality)
VIDEO_DURATIONS: Final[tuple[int, ...]] = get_args(VideoSeconds)
VIDEO_RATIOS: Final[tuple[str, ...]] = get_args(VideoRatio)
SPEECH_FORMATS: Final[tuple[str, ...]] = get_args(SpeechFormat)
MIN_SPEED: Final = 0.5
MAX_SPEED: Final = 2.0
MAX_SPEECH_CHARACTERS: Final = 5_000  # "usually", so only the service may refuse [elu:…/generations/tts]
MIN_MUSIC_SECONDS: Final = 15
MAX_MUSIC_SECONDS: Final = 120
DEFAULT_MUSIC_SECONDS: Final = 30
AUDIO_UPLOADS: Final = ("mp3", "mp4", "wav", "m4a", "ogg", "flac", "webm")
MAX_UPLOAD_BYTES: Final = 25 * 1024 * 1024
MAX_PAGE_SIZE: Final = 100
DEFAULT_PAGE_SIZE: Final = 20

# Which sizes an image model takes [SEED 002]; for Midjourney the `size` is a ratio.

IMAGE_SIZES: Final = MappingProxyType(
    {
        "dall-e-3": ("1024x1024", "1024x1792", "1792x1024"),
        "flux-1.1-pro": ("1024x1024", "768x1344", "1344x768", "1024x1536", "1536x1024"),
        "midjourney-v6": ("1:1", "2:3", "3:2", "9:16", "16:9"),
        "midjourney-turbo": ("1:1", "2:3", "3:2", "9:16", "16:9"),
        "sd-3.5-large": ("1024x1024", "768x1344", "1344x768"),
    }
)

# What changes an image besides its size, by model [SEED 002]. Of the models left out no document says.

IMAGE_QUALITIES: Final = MappingProxyType({"dall-e-3": QUALITIES, "gpt-image-1.5": QUALITIES})
IMAGE_STYLES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({"dall-e-3": get_args(ImageStyle)})

# The catalogue, for editors to offer; any other slug is sent as it is (C19, C20).

TextModel: TypeAlias = Literal[
    "gpt-5-nano",
    "claude-haiku-4.5",
    "gemini-2.5-flash",
    "deepseek-v3",
    "grok-4-fast",
    "deepseek-r1",
    "gpt-5",
    "gemini-3-pro",
    "gpt-5.2",
    "claude-sonnet-4.5",
    "claude-opus-4.5",
    "gpt-5.2-pro",
]
ImageModel: TypeAlias = Literal[
    "photon-flash",
    "dall-e-3",
    "gpt-image-1.5",
    "flux-1.1-pro",
    "flux-kontext-pro",
    "sd-3.5-large",
    "midjourney",
    "midjourney-v6",
    "midjourney-turbo",
    "recraft-v3",
    "photon-1",
    "photon",
    "nano-banana-pro",
    "nano-banana-pro-2k",
]
VideoModel: TypeAlias = Literal[
    "luma-ray2-flash",
    "luma-flash2",
    "kling-v2.1",
    "kling-v2.1-pro",
    "minimax-video",
    "luma-ray2",
    "luma-ray2-1080p",
    "mj-video-480p",
    "mj-video-720p",
    "midjourney-video",
    "sora-2",
    "veo-3.1",
]
MusicModel: TypeAlias = Literal["musicgen", "elevenlabs-music"]
SpeechModel: TypeAlias = Literal[
    "minimax-tts", "openai-tts", "openai-tts-hd", "gpt-4o-mini-tts", "elevenlabs-flash", "elevenlabs-v2"
]
TranscriptionModel: TypeAlias = Literal["whisper", "gpt-4o-transcribe", "elevenlabs-scribe"]
ToolModel: TypeAlias = Literal[
    "upscale",
    "face-swap",
    "remove-bg",
    "style-transfer",
    "colorize",
    "inpaint",
    "text-ocr",
    "elevenlabs-sfx",
    "el-voice-changer",
    "el-voice-isolator",
    "el-dubbing",
    "el-dialogue",
]
KIND_OF_MODEL: Final = MappingProxyType(
    {
        str(slug): kind
        for kind, slugs in (
            ("text", TextModel),
            ("image", ImageModel),
            ("video", VideoModel),
            ("tts", SpeechModel),
            ("stt", TranscriptionModel),
            ("audio", MusicModel),
            ("tool", ToolModel),
        )
        for slug in get_args(slugs)
    }
)
DEFAULT_TRANSCRIPTION_MODEL: Final[TranscriptionModel] = "whisper"
VISION_MODELS: Final = ("gpt-5", "claude-sonnet-4.5", "gemini-3-pro")  # [SEED 003]

# How long a generation usually takes, seconds (shortest, longest) [nb:…/generations/status].

USUAL_SECONDS: Final = MappingProxyType(
    {
        "luma-flash2": (20, 35),
        "kling-v2.1": (45, 90),
        "kling-v2.1-pro": (60, 90),
        "minimax-video": (60, 90),
        "luma-ray2": (60, 120),
        "mj-video-480p": (60, 120),
        "mj-video-720p": (90, 180),
    }
)
USUAL_VIDEO_SECONDS: Final = (20, 180)  # any video [nb:…/generations/video]

# Plans. Retention of files in days [SEED 000, 002]; None keeps them without limit. `starter` and `free` are one plan (C13).

RETENTION_DAYS: Final = MappingProxyType({"free": 7, "starter": 7, "basic": 30, "pro": 90, "vip": 90, "elite": None})
API_PLANS: Final = ("vip", "elite")
# Requests (per hour, per day) [nb:en/concepts/subscriptions]; 0 is unlimited, as `user/me` writes it. For the sandbox: the client reads headers (C24).
PLAN_LIMITS: Final = MappingProxyType(
    {"free": (20, 150), "starter": (20, 150), "basic": (30, 200), "pro": (60, 500), "vip": (100, 1000), "elite": (0, 0)}
)

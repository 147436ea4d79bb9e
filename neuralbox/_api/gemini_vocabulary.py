"""GeminiGen's words: hosts, paths, states, error codes.

As `vocabulary` is for NeuralBox: tables without behaviour. `[SEED 004]` is the "Generation History APIs" page; what
stands without it comes from the vendor's other pages and from clients (docs/service/geminigen.md). All sets are open.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, Literal, TypeAlias

BASE_URL: Final = "https://api.geminigen.ai"
"""Scheme and host [SEED 004]; clients of mid-2026 use `https://api.snapgen.ai`, with the same paths, header and fields."""
PREFIX: Final = "/uapi/v1"
KEY_HEADER: Final = "x-api-key"

# Paths below the prefix: plural for the list, singular for one [SEED 004].

HISTORIES: Final = "/histories"
HISTORY: Final = "/history/{id}"

# Making: forms for pictures and films, JSON for speech. The pages of 2025-11 have the first path, `veo` and `sora` of the
# families, and speech; the rest is known from clients of 2026 (docs/service/geminigen.md 2.3 to 2.6).

GENERATE_IMAGE: Final = "/generate_image"
IMAGEN: Final = "/imagen/{family}"
META_IMAGE: Final = "/meta_ai/generate"
VIDEO: Final = "/video-gen/{family}"
VIDEO_EXTEND: Final = "/video-extend/{family}"
STORYBOARD: Final = "/video-storyboard/{family}"
SPEECH: Final = "/text-to-speech"
DIALOGUE: Final = "/tts-multi-speaker"
DOCUMENT_SPEECH: Final = "/document-to-speech"

ACCOUNT: Final = "/account"
STATUS_PREFIX: Final = "/api/v1"
MODELS_STATUS: Final = "/models/status"
"""Below `STATUS_PREFIX`, public (docs/service/geminigen.md 8)."""

# What is said in a request. Words are those that were seen; the service may know more.

AspectRatio: TypeAlias = Literal["1:1", "16:9", "9:16", "4:3", "3:4"]
Style: TypeAlias = Literal[
    "3D Render",
    "Acrylic",
    "Anime General",
    "Creative",
    "Dynamic",
    "Fashion",
    "Game Concept",
    "Graphic Design 3D",
    "Illustration",
    "Photorealistic",
    "Portrait",
    "Portrait Cinematic",
    "Portrait Fashion",
    "Ray Traced",
    "Stock Photo",
    "Watercolor",
]
ServiceMode: TypeAlias = Literal["unstable", "stable"]
ImageMode: TypeAlias = Literal["frame", "ingredient"]
AudioFormat: TypeAlias = Literal["mp3", "wav"]
AudioChannel: TypeAlias = Literal["mono", "stereo"]

DEFAULT_SPEECH_MODEL: Final = "tts-flash"
MAX_SPEECH_CHARACTERS: Final = 10_000  # of a text, and of a block [gem:speech, gem:dialogue]
SPEECH_SPEEDS: Final = (1.0, 4.0)  # [gem:speech]
DIALOGUE_SPEEDS: Final = (0.5, 4.0)  # [gem:dialogue]
DOCUMENT_ENDINGS: Final = (
    "docx", "xlsx", "pptx", "pdf", "epub", "mobi", "txt", "html", "odt", "ods", "odp", "azw", "azw3",
)  # [gem:document]  # fmt: skip
MAX_DOCUMENT_BYTES: Final = 100 * 1024 * 1024  # "100 MB", read generously [gem:document]

DEFAULT_STORYBOARD_MODEL: Final = "grok-3"
STORYBOARD_SCENES: Final = (2, 10)  # [gem:client 5]
SCENE_SECONDS: Final = (6, 10)  # each of them; together:
STORYBOARD_SECONDS: Final = 45

# Query of the list. The page enumerates no filter; these are seen in use.

Filter: TypeAlias = Literal["all", "image", "video"]
ALL: Final = "all"
DEFAULT_ITEMS_PER_PAGE: Final = 10

# States are integers, compared by equality: 11 to 14 (reworking, joining, merging and downloading audio) are not final,
# and a test such as `status >= 2` would call them, and 3, done. Every negative one is a failure (-2: content policy).

QUEUED: Final = 0
PROCESSING: Final = 1
COMPLETED: Final = 2
FAILED: Final = 3

# What `status_desc` says of an end, in lower case; read only where `status` is not a whole number.

COMPLETED_WORDS: Final = frozenset({"completed"})
FAILED_WORDS: Final = frozenset({"failed", "error"})

# How the start of a word tells the kind: of `type`, `media_type` and `inference_type`.

KIND_OF_TYPE: Final = MappingProxyType({"image": "image", "video": "video", "tts": "audio", "audio": "audio"})
KIND_OF_INFERENCE: Final = MappingProxyType(
    {"text_to_image": "image", "text_to_video": "video", "gemini_voice": "audio"}
)
DOCUMENT: Final = "tts-document"
"""The type whose `file_size` is that of the document that was read aloud."""

# Error codes by what they mean. The sources disagree about the HTTP status of most (an unknown key is 404 or 401), so
# the code decides; a code ending in `_PREMIUM_PLAN_REQUIRED` is one of the plan's.

KEY_CODES: Final = frozenset({"API_KEY_REQUIRED", "API_KEY_NOT_FOUND", "USER_NOT_FOUND"})
CREDIT_CODES: Final = frozenset({"NOT_ENOUGH_CREDIT", "NOT_ENOUGH_AND_LOCK_CREDIT"})
PLAN_CODES: Final = frozenset(
    {
        "FORBIDDEN",
        "PLAN_MAX_FILE_SIZE_EXCEED",
        "PLAN_TOTAL_FILE_EXCEED",
        "PREMIUM_PLAN_REQUIRED",
        "VOICE_NOT_ACTIVE",
    }
)
PREMIUM_PLAN_REQUIRED: Final = "PREMIUM_PLAN_REQUIRED"
MISSING_CODES: Final = frozenset({"VOICE_NOT_FOUND"})
LIMIT_CODES: Final = frozenset({"GEMINI_RATE_LIMIT", "MAX_PROCESSING_IMAGEN_EXCEEDED", "RATE_LIMIT_ERROR"})
INPUT_CODES: Final = frozenset(
    {
        "EMPTY_PROMPT",
        "FILE_TYPE_NOT_ALLOWED",
        "GEMINI_RAI_MEDIA_FILTERED",
        "INVALID_MODEL",
        "INVALID_VIDEO_FILE",
        "MAXIMUM_FILE_SIZE_EXCEED",
        "PDF_MORE_THAN_400_PAGES",
        "TEXT_TOO_LONG",
        "TOO_MANY_IMAGES",
        "UNSAFE_GENERATION",
    }
)
SERVER_CODES: Final = frozenset({"SYSTEM_ERROR"})

"""Every kind of request to GeminiGen, for those who do not know beforehand which one they have."""

from __future__ import annotations

from typing import Final

from .._requests.json_lines import RequestKinds
from ._dialogue_request import GeminiDialogueRequest
from ._document_request import GeminiDocumentRequest
from ._extension_request import GeminiExtensionRequest
from ._image_request import GeminiImageRequest
from ._speech_request import GeminiSpeechRequest
from ._storyboard_request import GeminiStoryboardRequest
from ._video_request import GeminiVideoRequest

GEMINI_KINDS: Final = RequestKinds(
    (
        GeminiImageRequest,
        GeminiVideoRequest,
        GeminiExtensionRequest,
        GeminiStoryboardRequest,
        GeminiSpeechRequest,
        GeminiDialogueRequest,
        GeminiDocumentRequest,
    )
)

"""Every kind of request to GeminiGen, for those who do not know beforehand which one they have."""

from __future__ import annotations

from typing import Final

from .._requests.json_lines import RequestKinds
from ._image_request import GeminiImageRequest

GEMINI_KINDS: Final = RequestKinds((GeminiImageRequest,))

"""Where GeminiGen is asked to make something, below its prefix: the paths of `gemini_make`, which faults of paid requests strike."""

from __future__ import annotations

from typing import Final

IMAGE: Final = "/generate_image"
IMAGEN: Final = "/imagen/{family}"
META_IMAGE: Final = "/meta_ai/generate"
VIDEO: Final = "/video-gen/{family}"
EXTEND: Final = "/video-extend/{family}"
STORYBOARD: Final = "/video-storyboard/{family}"
SPEECH: Final = "/text-to-speech"
DIALOGUE: Final = "/tts-multi-speaker"
DOCUMENT: Final = "/document-to-speech"

MAKING: Final = (IMAGE, IMAGEN, META_IMAGE, VIDEO, EXTEND, STORYBOARD, SPEECH, DIALOGUE, DOCUMENT)

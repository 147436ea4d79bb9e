"""GeminiGen: a second service over the same core as NeuralBox.

    from neuralbox.geminigen import AsyncGeminiGen

    async with AsyncGeminiGen() as gg:
        film = await gg.videos.create(model="veo-3.1-fast", prompt="A kite over dunes", files=["kite.png"])
        await gg.files.download(film, "out/")
        async for item in gg.history.list(filter_by="image", max_items=100):
            print(item.uuid, item.state, item.url)

The records are GeminiGen's own, field by field; `to_generation()` says the same in NeuralBox's vocabulary, which is what
jobs, waits, batches and downloads work with. Its webhooks are read by `neuralbox.webhooks`, as those of NeuralBox.
"""

from __future__ import annotations

from .._api.gemini_families import EXTENDED_FAMILIES, IMAGE_FAMILIES, STORYBOARD_FAMILIES, VIDEO_FAMILIES, Family
from ._account import GeminiAccount
from ._client import AsyncGeminiGen
from ._dialogue_request import GeminiDialogueRequest
from ._document_request import GeminiDocumentRequest
from ._extension_request import GeminiExtensionRequest
from ._history import GeminiHistory
from ._image_request import GeminiImageRequest
from ._images import GeminiImages
from ._item import HistoryItem
from ._local_files import LocalSource
from ._media import Asset, GeneratedAudio, GeneratedImage, GeneratedVideo, MediaFile, ReferenceItem, Thumbnail, Voice
from ._models import GeminiModels
from ._speech import GeminiSpeech
from ._speech_request import GeminiSpeechRequest
from ._standing import GeminiCredit, GeminiUser, ModelGroupStatus
from ._storyboard_request import GeminiStoryboardRequest
from ._video_request import GeminiVideoRequest
from ._videos import GeminiVideos

__all__ = [
    "EXTENDED_FAMILIES",
    "IMAGE_FAMILIES",
    "STORYBOARD_FAMILIES",
    "VIDEO_FAMILIES",
    "Asset",
    "AsyncGeminiGen",
    "Family",
    "GeminiAccount",
    "GeminiCredit",
    "GeminiDialogueRequest",
    "GeminiDocumentRequest",
    "GeminiExtensionRequest",
    "GeminiHistory",
    "GeminiImageRequest",
    "GeminiImages",
    "GeminiModels",
    "GeminiSpeech",
    "GeminiSpeechRequest",
    "GeminiStoryboardRequest",
    "GeminiUser",
    "GeminiVideoRequest",
    "GeminiVideos",
    "GeneratedAudio",
    "GeneratedImage",
    "GeneratedVideo",
    "HistoryItem",
    "LocalSource",
    "MediaFile",
    "ModelGroupStatus",
    "ReferenceItem",
    "Thumbnail",
    "Voice",
]

"""GeminiGen: the history of a second service, over the same core as NeuralBox.

    from neuralbox.geminigen import AsyncGeminiGen

    async with AsyncGeminiGen() as gg:
        async for item in gg.history.list(filter_by="image", max_items=100):
            print(item.uuid, item.state, item.url)
        item = await gg.history.get("hist_abc123def456")
        await gg.files.download(item.to_generation(), "out/")

The records are GeminiGen's own, field by field; `to_generation()` says the same in NeuralBox's vocabulary, which is what
jobs, waits and downloads work with. Creating generations would be more resources beside `history`, and reading webhooks a
module of its own beside the models; neither is part of this version.
"""

from __future__ import annotations

from ._client import AsyncGeminiGen
from ._history import GeminiHistory
from ._item import HistoryItem
from ._media import Asset, GeneratedAudio, GeneratedImage, GeneratedVideo, MediaFile, ReferenceItem, Thumbnail, Voice

__all__ = [
    "Asset",
    "AsyncGeminiGen",
    "GeminiHistory",
    "GeneratedAudio",
    "GeneratedImage",
    "GeneratedVideo",
    "HistoryItem",
    "MediaFile",
    "ReferenceItem",
    "Thumbnail",
    "Voice",
]

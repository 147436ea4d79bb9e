"""neuralbox.sync: the blocking client, for programs without an event loop, threads and notebooks.

    from neuralbox import NeuralBox

    with NeuralBox() as nb:
        video = nb.videos.submit(model="kling-v2.1", prompt="A paper boat on a river").wait()
        path = nb.files.download(video, "out/")

It runs the async client on one background thread of the process: the same names, arguments, errors and results, without
`await`. What an async program awaits a listing for is `first_page()` here; what is iterated there comes as `Items`.
Everything else (errors, results, options) is imported from `neuralbox`.
"""

from __future__ import annotations

import datetime as dt
import typing

from .._merged_history import MergedHistory as _AsyncMergedHistory
from ._facade import Items
from ._generated import (
    Account,
    Assistants,
    Auth,
    Batch,
    Batches,
    Files,
    GeminiAccount,
    GeminiGen,
    GeminiHistory,
    GeminiImages,
    GeminiModels,
    GeminiSpeech,
    GeminiVideos,
    Generate,
    Generations,
    History,
    Images,
    Job,
    Keys,
    MergedHistory,
    Models,
    Music,
    NeuralBox,
    Pager,
    Speech,
    Text,
    TextStream,
    Tools,
    Transcriptions,
    Videos,
)

__all__ = [
    "Account",
    "Assistants",
    "Auth",
    "Batch",
    "Batches",
    "Files",
    "GeminiAccount",
    "GeminiGen",
    "GeminiHistory",
    "GeminiImages",
    "GeminiModels",
    "GeminiSpeech",
    "GeminiVideos",
    "Generate",
    "Generations",
    "History",
    "Images",
    "Items",
    "Job",
    "Keys",
    "MergedHistory",
    "Models",
    "Music",
    "NeuralBox",
    "Pager",
    "Speech",
    "Text",
    "TextStream",
    "Tools",
    "Transcriptions",
    "Videos",
    "history_of",
]


def history_of(
    *clients: NeuralBox | GeminiGen, since: dt.datetime | None = None, max_items: int | None = None, prefetch: int = 0
) -> MergedHistory:
    """Return one history of several accounts, of NeuralBox and GeminiGen alike, the newest first.

        with NeuralBox() as nb, GeminiGen() as gg:
            for item in history_of(nb, gg, max_items=100):
                print(item.service, item.created_at, item.model, item.tokens, item.credits)

    Nothing is sent before it is read; arguments and errors as of `neuralbox.history_of`.
    """
    unwrapped: list[typing.Any] = [
        getattr(client, "_async", client) for client in clients
    ]  # what is no client is refused
    return MergedHistory.of(_AsyncMergedHistory(unwrapped, since=since, max_items=max_items, prefetch=prefetch))

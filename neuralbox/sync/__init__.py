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
]

"""`AsyncGeminiGen.with_raw_response`: its resources once more, the reply beside each value.

Written by `python -m neuralbox._codegen` from the resources; do not edit.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from .._base_client import raw
from .._core.exchange import Core

if TYPE_CHECKING:  # a resource is imported by its first use, as in the client
    from .._resources.files import Files
    from ._account import GeminiAccount
    from ._history import GeminiHistory
    from ._images import GeminiImages
    from ._models import GeminiModels
    from ._speech import GeminiSpeech
    from ._videos import GeminiVideos


class RawGeminiResources:
    """The resources of a client whose calls return a `RawResponse`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @cached_property
    def images(self) -> RawGeminiImages:
        """See `AsyncGeminiGen.images`."""
        from ._images import GeminiImages

        return RawGeminiImages(GeminiImages(self._core))

    @cached_property
    def videos(self) -> RawGeminiVideos:
        """See `AsyncGeminiGen.videos`."""
        from ._videos import GeminiVideos

        return RawGeminiVideos(GeminiVideos(self._core))

    @cached_property
    def speech(self) -> RawGeminiSpeech:
        """See `AsyncGeminiGen.speech`."""
        from ._speech import GeminiSpeech

        return RawGeminiSpeech(GeminiSpeech(self._core))

    @cached_property
    def account(self) -> RawGeminiAccount:
        """See `AsyncGeminiGen.account`."""
        from ._account import GeminiAccount

        return RawGeminiAccount(GeminiAccount(self._core))

    @cached_property
    def models(self) -> RawGeminiModels:
        """See `AsyncGeminiGen.models`."""
        from ._models import GeminiModels

        return RawGeminiModels(GeminiModels(self._core))

    @cached_property
    def history(self) -> RawGeminiHistory:
        """See `AsyncGeminiGen.history`."""
        from ._history import GeminiHistory

        return RawGeminiHistory(GeminiHistory(self._core))

    @cached_property
    def files(self) -> RawGeminiFiles:
        """See `AsyncGeminiGen.files`."""
        from .._resources.files import Files

        return RawGeminiFiles(Files(self._core))


class RawGeminiImages:
    """`images` with raw responses."""

    def __init__(self, images: GeminiImages) -> None:
        self.create = raw(images.create)
        self.submit = raw(images.submit)


class RawGeminiVideos:
    """`videos` with raw responses."""

    def __init__(self, videos: GeminiVideos) -> None:
        self.create = raw(videos.create)
        self.submit = raw(videos.submit)
        self.extend = raw(videos.extend)
        self.submit_extension = raw(videos.submit_extension)
        self.create_storyboard = raw(videos.create_storyboard)
        self.submit_storyboard = raw(videos.submit_storyboard)


class RawGeminiSpeech:
    """`speech` with raw responses."""

    def __init__(self, speech: GeminiSpeech) -> None:
        self.create = raw(speech.create)
        self.submit = raw(speech.submit)
        self.create_dialogue = raw(speech.create_dialogue)
        self.submit_dialogue = raw(speech.submit_dialogue)
        self.create_document = raw(speech.create_document)
        self.submit_document = raw(speech.submit_document)


class RawGeminiAccount:
    """`account` with raw responses."""

    def __init__(self, account: GeminiAccount) -> None:
        self.get = raw(account.get)


class RawGeminiModels:
    """`models` with raw responses."""

    def __init__(self, models: GeminiModels) -> None:
        self.status = raw(models.status)


class RawGeminiHistory:
    """`history` with raw responses.

    `list` is one page.
    """

    def __init__(self, history: GeminiHistory) -> None:
        self.list = raw(history.list)
        self.wait = raw(history.wait)
        self.get = raw(history.get)


class RawGeminiFiles:
    """`files` with raw responses.

    The reply is the storage's, and its body is empty: the file is where the call put it.
    """

    def __init__(self, files: Files) -> None:
        self.download = raw(files.download)
        self.read = raw(files.read)

"""`AsyncGeminiGen.with_raw_response`: its resources once more, the reply beside each value.

Written by `python -m neuralbox._codegen` from the resources; do not edit.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from .._base_client import raw

if TYPE_CHECKING:
    from ._client import AsyncGeminiGen


class RawGeminiResources:
    """The resources of a client whose calls return a `RawResponse`."""

    def __init__(self, client: AsyncGeminiGen) -> None:
        self._client = client

    @cached_property
    def images(self) -> RawGeminiImages:
        """See `AsyncGeminiGen.images`."""
        return RawGeminiImages(self._client)

    @cached_property
    def videos(self) -> RawGeminiVideos:
        """See `AsyncGeminiGen.videos`."""
        return RawGeminiVideos(self._client)

    @cached_property
    def speech(self) -> RawGeminiSpeech:
        """See `AsyncGeminiGen.speech`."""
        return RawGeminiSpeech(self._client)

    @cached_property
    def account(self) -> RawGeminiAccount:
        """See `AsyncGeminiGen.account`."""
        return RawGeminiAccount(self._client)

    @cached_property
    def models(self) -> RawGeminiModels:
        """See `AsyncGeminiGen.models`."""
        return RawGeminiModels(self._client)

    @cached_property
    def history(self) -> RawGeminiHistory:
        """See `AsyncGeminiGen.history`."""
        return RawGeminiHistory(self._client)

    @cached_property
    def files(self) -> RawGeminiFiles:
        """See `AsyncGeminiGen.files`."""
        return RawGeminiFiles(self._client)


class RawGeminiImages:
    """`images` with raw responses."""

    def __init__(self, client: AsyncGeminiGen) -> None:
        self.create = raw(client.images.create)
        self.submit = raw(client.images.submit)


class RawGeminiVideos:
    """`videos` with raw responses."""

    def __init__(self, client: AsyncGeminiGen) -> None:
        self.create = raw(client.videos.create)
        self.submit = raw(client.videos.submit)
        self.extend = raw(client.videos.extend)
        self.submit_extension = raw(client.videos.submit_extension)


class RawGeminiSpeech:
    """`speech` with raw responses."""

    def __init__(self, client: AsyncGeminiGen) -> None:
        self.create = raw(client.speech.create)
        self.submit = raw(client.speech.submit)
        self.create_dialogue = raw(client.speech.create_dialogue)
        self.submit_dialogue = raw(client.speech.submit_dialogue)


class RawGeminiAccount:
    """`account` with raw responses."""

    def __init__(self, client: AsyncGeminiGen) -> None:
        self.get = raw(client.account.get)


class RawGeminiModels:
    """`models` with raw responses."""

    def __init__(self, client: AsyncGeminiGen) -> None:
        self.status = raw(client.models.status)


class RawGeminiHistory:
    """`history` with raw responses.

    `list` is one page.
    """

    def __init__(self, client: AsyncGeminiGen) -> None:
        self.list = raw(client.history.list)
        self.wait = raw(client.history.wait)
        self.get = raw(client.history.get)


class RawGeminiFiles:
    """`files` with raw responses.

    The reply is the storage's, and its body is empty: the file is where the call put it.
    """

    def __init__(self, client: AsyncGeminiGen) -> None:
        self.download = raw(client.files.download)
        self.read = raw(client.files.read)

"""`AsyncNeuralBox.with_raw_response`: its resources once more, the reply beside each value.

Written by `python -m neuralbox._codegen` from the resources; do not edit.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from ._base_client import raw, raw_stream

if TYPE_CHECKING:
    from ._client import AsyncNeuralBox


class RawResources:
    """The resources of a client whose calls return a `RawResponse`."""

    def __init__(self, client: AsyncNeuralBox) -> None:
        self._client = client

    @cached_property
    def generate(self) -> RawGenerate:
        """See `AsyncNeuralBox.generate`."""
        return RawGenerate(self._client)

    @cached_property
    def text(self) -> RawText:
        """See `AsyncNeuralBox.text`."""
        return RawText(self._client)

    @cached_property
    def images(self) -> RawImages:
        """See `AsyncNeuralBox.images`."""
        return RawImages(self._client)

    @cached_property
    def videos(self) -> RawVideos:
        """See `AsyncNeuralBox.videos`."""
        return RawVideos(self._client)

    @cached_property
    def speech(self) -> RawSpeech:
        """See `AsyncNeuralBox.speech`."""
        return RawSpeech(self._client)

    @cached_property
    def transcriptions(self) -> RawTranscriptions:
        """See `AsyncNeuralBox.transcriptions`."""
        return RawTranscriptions(self._client)

    @cached_property
    def music(self) -> RawMusic:
        """See `AsyncNeuralBox.music`."""
        return RawMusic(self._client)

    @cached_property
    def tools(self) -> RawTools:
        """See `AsyncNeuralBox.tools`."""
        return RawTools(self._client)

    @cached_property
    def generations(self) -> RawGenerations:
        """See `AsyncNeuralBox.generations`."""
        return RawGenerations(self._client)

    @cached_property
    def history(self) -> RawHistory:
        """See `AsyncNeuralBox.history`."""
        return RawHistory(self._client)

    @cached_property
    def account(self) -> RawAccount:
        """See `AsyncNeuralBox.account`."""
        return RawAccount(self._client)

    @cached_property
    def models(self) -> RawModels:
        """See `AsyncNeuralBox.models`."""
        return RawModels(self._client)

    @cached_property
    def keys(self) -> RawKeys:
        """See `AsyncNeuralBox.keys`."""
        return RawKeys(self._client)

    @cached_property
    def assistants(self) -> RawAssistants:
        """See `AsyncNeuralBox.assistants`."""
        return RawAssistants(self._client)

    @cached_property
    def files(self) -> RawFiles:
        """See `AsyncNeuralBox.files`."""
        return RawFiles(self._client)

    @cached_property
    def auth(self) -> RawAuth:
        """See `AsyncNeuralBox.auth`."""
        return RawAuth(self._client)


class RawGenerate:
    """`generate` with raw responses."""

    def __init__(self, client: AsyncNeuralBox) -> None:
        self.create = raw(client.generate.create)
        self.submit = raw(client.generate.submit)


class RawText:
    """`text` with raw responses.

    `stream` is entered, and its `value` iterated; the reply is the one it opened with.
    """

    def __init__(self, client: AsyncNeuralBox) -> None:
        self.create = raw(client.text.create)
        self.stream = raw_stream(client.text.stream)


class RawImages:
    """`images` with raw responses."""

    def __init__(self, client: AsyncNeuralBox) -> None:
        self.create = raw(client.images.create)
        self.submit = raw(client.images.submit)


class RawVideos:
    """`videos` with raw responses."""

    def __init__(self, client: AsyncNeuralBox) -> None:
        self.create = raw(client.videos.create)
        self.submit = raw(client.videos.submit)


class RawSpeech:
    """`speech` with raw responses."""

    def __init__(self, client: AsyncNeuralBox) -> None:
        self.create = raw(client.speech.create)


class RawTranscriptions:
    """`transcriptions` with raw responses."""

    def __init__(self, client: AsyncNeuralBox) -> None:
        self.create = raw(client.transcriptions.create)


class RawMusic:
    """`music` with raw responses."""

    def __init__(self, client: AsyncNeuralBox) -> None:
        self.create = raw(client.music.create)
        self.submit = raw(client.music.submit)


class RawTools:
    """`tools` with raw responses."""

    def __init__(self, client: AsyncNeuralBox) -> None:
        self.create = raw(client.tools.create)
        self.submit = raw(client.tools.submit)


class RawGenerations:
    """`generations` with raw responses.

    Of a wait it is the first reply that the call itself asked for.
    """

    def __init__(self, client: AsyncNeuralBox) -> None:
        self.get = raw(client.generations.get)
        self.wait = raw(client.generations.wait)


class RawHistory:
    """`history` with raw responses.

    `list` is one page.
    """

    def __init__(self, client: AsyncNeuralBox) -> None:
        self.list = raw(client.history.list)
        self.favorite = raw(client.history.favorite)
        self.rate = raw(client.history.rate)
        self.delete = raw(client.history.delete)


class RawAccount:
    """`account` with raw responses."""

    def __init__(self, client: AsyncNeuralBox) -> None:
        self.balance = raw(client.account.balance)
        self.me = raw(client.account.me)
        self.limits = raw(client.account.limits)
        self.update = raw(client.account.update)
        self.stats = raw(client.account.stats)


class RawModels:
    """`models` with raw responses."""

    def __init__(self, client: AsyncNeuralBox) -> None:
        self.list = raw(client.models.list)
        self.get = raw(client.models.get)
        self.price = raw(client.models.price)


class RawKeys:
    """`keys` with raw responses."""

    def __init__(self, client: AsyncNeuralBox) -> None:
        self.create = raw(client.keys.create)
        self.rename = raw(client.keys.rename)
        self.revoke = raw(client.keys.revoke)


class RawAssistants:
    """`assistants` with raw responses."""

    def __init__(self, client: AsyncNeuralBox) -> None:
        self.create = raw(client.assistants.create)
        self.marketplace = raw(client.assistants.marketplace)


class RawFiles:
    """`files` with raw responses.

    The reply is the storage's, and its body is empty: the file is where the call put it.
    """

    def __init__(self, client: AsyncNeuralBox) -> None:
        self.download = raw(client.files.download)
        self.read = raw(client.files.read)


class RawAuth:
    """`auth` with raw responses.

    The body of a login holds the access token: keep it secret.
    """

    def __init__(self, client: AsyncNeuralBox) -> None:
        self.login = raw(client.auth.login)
        self.login_phone = raw(client.auth.login_phone)
        self.telegram = raw(client.auth.telegram)
        self.google = raw(client.auth.google)
        self.refresh = raw(client.auth.refresh)

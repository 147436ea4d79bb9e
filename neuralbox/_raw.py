"""`with_raw_response`: every door once more, its calls returning the HTTP reply beside the value.

Nothing is sent differently: a wrapper watches which replies its call ended with and keeps the first, which for a
generation is the answer to the submission. Signatures are those of the wrapped methods.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cached_property, wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from ._core.reply_capture import capture_replies
from ._models.raw import RawResponse

if TYPE_CHECKING:
    from ._client import AsyncNeuralBox

P = ParamSpec("P")
T = TypeVar("T")


def raw(method: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[RawResponse[T]]]:
    """Wrap a method of a door."""

    @wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> RawResponse[T]:
        with capture_replies() as seen:
            value = await method(*args, **kwargs)
        first = seen[0]
        return RawResponse(first.reply.status_code, first.reply.headers, first.reply.content, first.attempts, value)

    return call


class RawDoors:
    """The doors of a client whose calls return a `RawResponse`."""

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
    def auth(self) -> RawAuth:
        """See `AsyncNeuralBox.auth`."""
        return RawAuth(self._client)


class RawGenerate:
    """`generate` with raw responses."""

    def __init__(self, client: AsyncNeuralBox) -> None:
        self.create = raw(client.generate.create)
        self.submit = raw(client.generate.submit)


class RawText:
    """`text` with raw responses; a stream has its headers in the reply it reads."""

    def __init__(self, client: AsyncNeuralBox) -> None:
        self.create = raw(client.text.create)


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
    """`generations` with raw responses."""

    def __init__(self, client: AsyncNeuralBox) -> None:
        self.get = raw(client.generations.get)


class RawHistory:
    """`history` with raw responses; `list` is one page."""

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


class RawAuth:
    """`auth` with raw responses. The body of a login holds the access token: keep it secret."""

    def __init__(self, client: AsyncNeuralBox) -> None:
        self.login = raw(client.auth.login)
        self.login_phone = raw(client.auth.login_phone)
        self.telegram = raw(client.auth.telegram)
        self.google = raw(client.auth.google)
        self.refresh = raw(client.auth.refresh)

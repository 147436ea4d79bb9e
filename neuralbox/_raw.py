"""`AsyncNeuralBox.with_raw_response`: its resources once more, the reply beside each value.

Written by `python -m neuralbox._codegen` from the resources; do not edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast, overload

from ._api.builders import Message
from ._api.vocabulary import TextModel
from ._base_client import raw, raw_stream
from ._config import CallArgs
from ._models.generation import Generation
from ._models.raw import RawResponse
from ._structured_text import SchemaT
from ._submissions.submission import OnAccepted
from ._types import OMIT, Omit

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
        self._client = client
        self.submit = raw(client.text.submit)
        self.stream = raw_stream(client.text.stream)

    @overload
    async def create(
        self,
        *,
        model: TextModel | str | None = None,
        prompt: str | None = None,
        messages: Sequence[Message] | None = None,
        system: str | None = None,
        temperature: float | Omit = OMIT,
        max_tokens: int | Omit | None = OMIT,
        assistant_id: str | None = None,
        schema: None = None,
        repair: Literal[0] = 0,
        wait_timeout: float | Omit | None = OMIT,
        on_accepted: OnAccepted | None = None,
        **call: Unpack[CallArgs],
    ) -> RawResponse[Generation]: ...

    @overload
    async def create(
        self,
        *,
        model: TextModel | str | None = None,
        prompt: str | None = None,
        messages: Sequence[Message] | None = None,
        system: str | None = None,
        temperature: float | Omit = OMIT,
        max_tokens: int | Omit | None = OMIT,
        assistant_id: str | None = None,
        schema: type[SchemaT],
        repair: Literal[0, 1] = 0,
        wait_timeout: float | Omit | None = OMIT,
        on_accepted: OnAccepted | None = None,
        **call: Unpack[CallArgs],
    ) -> RawResponse[SchemaT]: ...

    async def create(
        self,
        *,
        model: TextModel | str | None = None,
        prompt: str | None = None,
        messages: Sequence[Message] | None = None,
        system: str | None = None,
        temperature: float | Omit = OMIT,
        max_tokens: int | Omit | None = OMIT,
        assistant_id: str | None = None,
        schema: type[SchemaT] | None = None,
        repair: Literal[0, 1] = 0,
        wait_timeout: float | Omit | None = OMIT,
        on_accepted: OnAccepted | None = None,
        **call: Unpack[CallArgs],
    ) -> RawResponse[Any]:
        """Generate a text.

        The service keeps no conversation: pass all earlier turns in `messages` every time.

        Args:
            model: Slug of a text model; may be left out with `assistant_id`.
            prompt: The user's message.
            messages: Turns with `role` (`system`, `user`, `assistant`) and `content` (text, or a list of parts such as
                `{"type": "image_url", "image_url": {"url": ...}}` for models that see). With `prompt` too, the prompt
                is the new turn.
            system: The system prompt.
            temperature: 0.0 to 2.0; the service's default is 0.7.
            max_tokens: Most tokens of the language model to write; None asks for the model's own default.
            assistant_id: `asst_…`: an assistant's model and instructions in place of `model` and `system`.
            schema: A pydantic model, or another type that pydantic validates: the answer is asked to be JSON that fits
                it, and returned as one. The service has no JSON mode, so the JSON Schema goes along in words, where the
                system prompt is.
            repair: 1 asks once more, with what was wrong, where the answer does not fit: a further paid request, within
                the budget. The limits of a call hold for each of the two.
            wait_timeout: Limit of the wait in seconds, where the service answers `pending`; None waits without limit.
                Default: `polling.timeout`, 600.
            on_accepted: Called with the `JobRef` as soon as its id is known, before anything is waited for; a plain or
                an async function, which a cancellation does not interrupt. What it raises is logged; the job goes on.
            **call: `timeout`, `extra_headers`, `extra_query`, `extra_body` of this call.

        Returns:
            The completed generation; `text` holds the answer, `usage` the language model's own token counts. With
            `schema`, what the answer says.

        Raises:
            ConfigurationError: Something in the call cannot be right; nothing was sent.
            SubmissionUnknownError: The request was sent and its outcome is unknown; it was not sent again.
            GenerationFailedError: It ended without a result; no tokens were charged.
            GenerationTimeoutError: The wait's limit passed; the job still runs, `.job` attaches again.
            APIStatusError: The service refused, by status.
            SchemaMismatchError: The answer was paid for and does not fit `schema`; `.text` is what was answered.

        Source:
            NeuralBox API, "Text Generation", `POST /api/v2/generate` (SEED 003, SEED 001).
        """
        method: Any = cast("Any", self._client.text.create)
        return await raw(method)(
            model=model,
            prompt=prompt,
            messages=messages,
            system=system,
            temperature=temperature,
            max_tokens=max_tokens,
            assistant_id=assistant_id,
            schema=schema,
            repair=repair,
            wait_timeout=wait_timeout,
            on_accepted=on_accepted,
            **call,
        )


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
        self.submit = raw(client.speech.submit)


class RawTranscriptions:
    """`transcriptions` with raw responses."""

    def __init__(self, client: AsyncNeuralBox) -> None:
        self.create = raw(client.transcriptions.create)
        self.submit = raw(client.transcriptions.submit)


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

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
from ._core.exchange import Core
from ._models.generation import Generation
from ._models.raw import RawResponse
from ._structured_text import SchemaT
from ._submissions.submission import OnAccepted
from ._types import OMIT, Omit

if TYPE_CHECKING:  # a resource is imported by its first use, as in the client
    from ._resources.account import Account
    from ._resources.assistants import Assistants
    from ._resources.auth import Auth
    from ._resources.files import Files
    from ._resources.generate import Generate
    from ._resources.generations import Generations
    from ._resources.history import History
    from ._resources.images import Images
    from ._resources.keys import Keys
    from ._resources.models import Models
    from ._resources.music import Music
    from ._resources.speech import Speech
    from ._resources.text import Text
    from ._resources.tools import Tools
    from ._resources.transcriptions import Transcriptions
    from ._resources.videos import Videos


class RawResources:
    """The resources of a client whose calls return a `RawResponse`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @cached_property
    def generate(self) -> RawGenerate:
        """See `AsyncNeuralBox.generate`."""
        from ._resources.generate import Generate

        return RawGenerate(Generate(self._core))

    @cached_property
    def text(self) -> RawText:
        """See `AsyncNeuralBox.text`."""
        from ._resources.text import Text

        return RawText(Text(self._core))

    @cached_property
    def images(self) -> RawImages:
        """See `AsyncNeuralBox.images`."""
        from ._resources.images import Images

        return RawImages(Images(self._core))

    @cached_property
    def videos(self) -> RawVideos:
        """See `AsyncNeuralBox.videos`."""
        from ._resources.videos import Videos

        return RawVideos(Videos(self._core))

    @cached_property
    def speech(self) -> RawSpeech:
        """See `AsyncNeuralBox.speech`."""
        from ._resources.speech import Speech

        return RawSpeech(Speech(self._core))

    @cached_property
    def transcriptions(self) -> RawTranscriptions:
        """See `AsyncNeuralBox.transcriptions`."""
        from ._resources.transcriptions import Transcriptions

        return RawTranscriptions(Transcriptions(self._core))

    @cached_property
    def music(self) -> RawMusic:
        """See `AsyncNeuralBox.music`."""
        from ._resources.music import Music

        return RawMusic(Music(self._core))

    @cached_property
    def tools(self) -> RawTools:
        """See `AsyncNeuralBox.tools`."""
        from ._resources.tools import Tools

        return RawTools(Tools(self._core))

    @cached_property
    def generations(self) -> RawGenerations:
        """See `AsyncNeuralBox.generations`."""
        from ._resources.generations import Generations

        return RawGenerations(Generations(self._core))

    @cached_property
    def history(self) -> RawHistory:
        """See `AsyncNeuralBox.history`."""
        from ._resources.history import History

        return RawHistory(History(self._core))

    @cached_property
    def account(self) -> RawAccount:
        """See `AsyncNeuralBox.account`."""
        from ._resources.account import Account

        return RawAccount(Account(self._core))

    @cached_property
    def models(self) -> RawModels:
        """See `AsyncNeuralBox.models`."""
        from ._resources.models import Models

        return RawModels(Models(self._core))

    @cached_property
    def keys(self) -> RawKeys:
        """See `AsyncNeuralBox.keys`."""
        from ._resources.keys import Keys

        return RawKeys(Keys(self._core))

    @cached_property
    def assistants(self) -> RawAssistants:
        """See `AsyncNeuralBox.assistants`."""
        from ._resources.assistants import Assistants

        return RawAssistants(Assistants(self._core))

    @cached_property
    def files(self) -> RawFiles:
        """See `AsyncNeuralBox.files`."""
        from ._resources.files import Files

        return RawFiles(Files(self._core))

    @cached_property
    def auth(self) -> RawAuth:
        """See `AsyncNeuralBox.auth`."""
        from ._resources.auth import Auth

        return RawAuth(Auth(self._core))


class RawGenerate:
    """`generate` with raw responses."""

    def __init__(self, generate: Generate) -> None:
        self.create = raw(generate.create)
        self.submit = raw(generate.submit)


class RawText:
    """`text` with raw responses.

    `stream` is entered, and its `value` iterated; the reply is the one it opened with.
    """

    def __init__(self, text: Text) -> None:
        self._text = text
        self.submit = raw(text.submit)
        self.stream = raw_stream(text.stream)

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
        method: Any = cast("Any", self._text.create)
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

    def __init__(self, images: Images) -> None:
        self.create = raw(images.create)
        self.submit = raw(images.submit)


class RawVideos:
    """`videos` with raw responses."""

    def __init__(self, videos: Videos) -> None:
        self.create = raw(videos.create)
        self.submit = raw(videos.submit)


class RawSpeech:
    """`speech` with raw responses."""

    def __init__(self, speech: Speech) -> None:
        self.create = raw(speech.create)
        self.submit = raw(speech.submit)


class RawTranscriptions:
    """`transcriptions` with raw responses."""

    def __init__(self, transcriptions: Transcriptions) -> None:
        self.create = raw(transcriptions.create)
        self.submit = raw(transcriptions.submit)


class RawMusic:
    """`music` with raw responses."""

    def __init__(self, music: Music) -> None:
        self.create = raw(music.create)
        self.submit = raw(music.submit)


class RawTools:
    """`tools` with raw responses."""

    def __init__(self, tools: Tools) -> None:
        self.create = raw(tools.create)
        self.submit = raw(tools.submit)


class RawGenerations:
    """`generations` with raw responses.

    Of a wait it is the first reply that the call itself asked for.
    """

    def __init__(self, generations: Generations) -> None:
        self.get = raw(generations.get)
        self.wait = raw(generations.wait)


class RawHistory:
    """`history` with raw responses.

    `list` is one page.
    """

    def __init__(self, history: History) -> None:
        self.list = raw(history.list)
        self.favorite = raw(history.favorite)
        self.rate = raw(history.rate)
        self.delete = raw(history.delete)


class RawAccount:
    """`account` with raw responses."""

    def __init__(self, account: Account) -> None:
        self.balance = raw(account.balance)
        self.me = raw(account.me)
        self.limits = raw(account.limits)
        self.update = raw(account.update)
        self.stats = raw(account.stats)


class RawModels:
    """`models` with raw responses."""

    def __init__(self, models: Models) -> None:
        self.list = raw(models.list)
        self.get = raw(models.get)
        self.price = raw(models.price)


class RawKeys:
    """`keys` with raw responses."""

    def __init__(self, keys: Keys) -> None:
        self.create = raw(keys.create)
        self.rename = raw(keys.rename)
        self.revoke = raw(keys.revoke)


class RawAssistants:
    """`assistants` with raw responses."""

    def __init__(self, assistants: Assistants) -> None:
        self.create = raw(assistants.create)
        self.marketplace = raw(assistants.marketplace)


class RawFiles:
    """`files` with raw responses.

    The reply is the storage's, and its body is empty: the file is where the call put it.
    """

    def __init__(self, files: Files) -> None:
        self.download = raw(files.download)
        self.read = raw(files.read)


class RawAuth:
    """`auth` with raw responses.

    The body of a login holds the access token: keep it secret.
    """

    def __init__(self, auth: Auth) -> None:
        self.login = raw(auth.login)
        self.login_phone = raw(auth.login_phone)
        self.telegram = raw(auth.telegram)
        self.google = raw(auth.google)
        self.refresh = raw(auth.refresh)

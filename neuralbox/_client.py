"""`AsyncNeuralBox`: puts the parts together, opens and closes them. What it does stands in the doors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import anyio

from ._config import (
    CallOptions,
    ClientOptions,
    Dialect,
    Polling,
    Timeout,
    api_key_from_environment,
    base_url_from_environment,
    log_from_environment,
)
from ._core import Clockwork, Core, watching
from ._credentials import ApiKey, Credential, Session
from ._errors import ConfigurationError
from ._jobs.handle import Job
from ._models.raw import RawResponse
from ._resources.generate import Generate
from ._resources.generations import Generations
from ._resources.history import History
from ._resources.images import Images
from ._resources.music import Music
from ._resources.speech import Speech
from ._resources.text import Text
from ._resources.tools import Tools
from ._resources.transcriptions import Transcriptions
from ._resources.videos import Videos
from ._transport import HttpClient, HttpTransport, Limits, Transport, build_transport
from ._types import OMIT, GenerationId, JobRef, Omit
from ._wire.request import Request, Safety, query

if TYPE_CHECKING:  # the rarer doors are imported by their first use: `import neuralbox` stays light
    from ._raw import RawDoors
    from ._resources.account import Account
    from ._resources.assistants import Assistants
    from ._resources.auth import Auth
    from ._resources.files import Files
    from ._resources.keys import Keys
    from ._resources.models import Models

# Most seconds that closing may take.
_GOODBYE = 5.0


class AsyncNeuralBox:
    """The NeuralBox API, asynchronously, on asyncio and trio.

        async with AsyncNeuralBox() as nb:
            reply = await nb.text.create(model="gpt-5", prompt="Good morning")

    One client serves any number of tasks, and several event loops one after the other or at once: each loop gets
    connections of its own. It starts no task and no thread.

    Args:
        api_key: The key (`nb_…`); default: NEURALBOX_API_KEY.
        session: An end user's login in place of a key; see `auth`.
        base_url: Scheme and host; default: NEURALBOX_BASE_URL, else `https://neuralbox.top`.
        timeout: Limits of one HTTP exchange: seconds, or a `Timeout`. Waiting for jobs has limits of its own.
        max_retries: Attempts after the first where repeating is safe; a paid request is repeated only when it was
            not sent or was refused free of charge.
        max_retry_wait: When the service asks to wait longer than this many seconds, its error is raised instead.
        deadline: Limit of one call over all attempts, in seconds; None for none.
        max_reply_bytes: Longer answers are refused; files are not concerned.
        default_headers: Sent with every request to the service, never to the storage.
        polling: How waits look; see `Polling`.
        submission: What follows a paid request whose outcome is unknown: it is never sent again, and raises
            `SubmissionUnknownError`.
        dialect: How to speak where the documents disagree; see `Dialect`.
        limits: How many requests, streams and connections at once; see `Limits`. The pool of an `http_client=` is its
            own business.
        http_client: An `httpx.AsyncClient` of yours, used as given and never closed here.
        transport: An `httpx.AsyncBaseTransport` of yours (a mock, a proxy of your own) under our client, or `"aiohttp"`
            for the faster engine of `neuralbox[speed]` (asyncio only).
        trust_env: Whether proxies and certificates are read from the environment, as httpx does.

    Raises:
        ConfigurationError: There is no key, or an option cannot be right.
    """

    # Time and chance; tests put virtual ones here.
    _clockwork: ClassVar[Clockwork] = Clockwork()

    def __init__(
        self,
        *,
        api_key: str | None = None,
        session: Session | None = None,
        base_url: str | None = None,
        timeout: float | Timeout | Omit | None = OMIT,
        max_retries: int = 2,
        max_retry_wait: float = 60.0,
        deadline: float | None = None,
        max_reply_bytes: int = 64 * 1024 * 1024,
        default_headers: Mapping[str, str] | None = None,
        polling: Polling | None = None,
        submission: Literal["reconcile", "raise"] = "reconcile",
        dialect: Dialect | None = None,
        limits: Limits | None = None,
        http_client: HttpClient | None = None,
        transport: HttpTransport | str | None = None,
        trust_env: bool = True,
    ) -> None:
        log_from_environment()
        if session is not None and api_key is not None:
            raise ConfigurationError("Pass `api_key` or `session`, not both.")
        given: object = session
        if given is not None and not isinstance(given, Session):
            raise ConfigurationError(f"`session` must be a Session, not {type(given).__name__}.")
        credential = ApiKey(api_key_from_environment(api_key)) if session is None else session
        options = ClientOptions(
            base_url=base_url_from_environment(base_url),
            timeout=Timeout() if isinstance(timeout, Omit) else Timeout.of(timeout),
            max_retries=max_retries,
            max_retry_wait=max_retry_wait,
            deadline=deadline,
            max_reply_bytes=max_reply_bytes,
            default_headers=default_headers or {},
            polling=polling or Polling(),
            submission=submission,
            dialect=dialect or Dialect(),
        )
        self._connections = _Connections(limits or Limits(), http_client, transport, trust_env)
        self._core = Core(self._connections.of(credential, options.base_url), options, credential, self._clockwork)

    # Copies and closing.

    def with_options(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        timeout: float | Timeout | Omit | None = OMIT,
        max_retries: int | None = None,
        max_retry_wait: float | None = None,
        deadline: float | Omit | None = OMIT,
        max_reply_bytes: int | None = None,
        default_headers: Mapping[str, str] | None = None,
        polling: Polling | None = None,
        submission: Literal["reconcile", "raise"] | None = None,
        dialect: Dialect | None = None,
    ) -> Self:
        """Return a copy with some options changed.

        The copy shares the connections; with another key or base URL it has those of that key and base URL, which all
        copies with the same share. All of them are closed with the client the copies were made from.

        Args:
            api_key: Another account's key.
            base_url: Another host.
            timeout: Limits of one HTTP exchange; None waits without limit.
            max_retries: Attempts after the first.
            max_retry_wait: Longest pause the service may ask for, in seconds.
            deadline: Limit of one call over all attempts, in seconds; None for none.
            max_reply_bytes: Longest answer.
            default_headers: Replace the client's.
            polling: How waits look.
            submission: What follows an unknown outcome.
            dialect: How to speak.

        Raises:
            ConfigurationError: An option cannot be right.
        """
        changes: dict[str, Any] = {
            "base_url": base_url,
            "max_retries": max_retries,
            "max_retry_wait": max_retry_wait,
            "max_reply_bytes": max_reply_bytes,
            "default_headers": default_headers,
            "polling": polling,
            "submission": submission,
            "dialect": dialect,
        }
        changes = {name: value for name, value in changes.items() if value is not None}
        if not isinstance(timeout, Omit):
            changes["timeout"] = Timeout.of(timeout)
        if not isinstance(deadline, Omit):
            changes["deadline"] = deadline
        core = self._core
        options = core.options.changed(**changes)
        credential: Credential = core.credential if api_key is None else ApiKey(api_key_from_environment(api_key))
        copy = object.__new__(type(self))
        copy._connections = self._connections
        if credential.identity == core.credential.identity and options.base_url == core.options.base_url:
            copy._core = core.changed(options)
        else:
            transport = self._connections.of(credential, options.base_url)
            copy._core = Core(transport, options, credential, core.clockwork)
        return copy

    async def aclose(self) -> None:
        """Close the connections of the running loop, those of copies included; a closed client sends nothing more.

        Entering `async with` again opens it again. A user's own `http_client` is left open.
        """
        await self._connections.aclose()

    async def __aenter__(self) -> Self:
        self._connections.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._core.options.base_url}>"

    # The doors.

    @cached_property
    def generate(self) -> Generate:
        """Any model by its slug: the quickstart's shape."""
        return Generate(self._core)

    @cached_property
    def text(self) -> Text:
        """Language models, whole or streamed."""
        return Text(self._core)

    @cached_property
    def images(self) -> Images:
        """Image models."""
        return Images(self._core)

    @cached_property
    def videos(self) -> Videos:
        """Video models."""
        return Videos(self._core)

    @cached_property
    def speech(self) -> Speech:
        """Text to speech."""
        return Speech(self._core)

    @cached_property
    def transcriptions(self) -> Transcriptions:
        """Speech to text."""
        return Transcriptions(self._core)

    @cached_property
    def music(self) -> Music:
        """Music models."""
        return Music(self._core)

    @cached_property
    def tools(self) -> Tools:
        """Upscaling, face swap, text recognition and their like."""
        return Tools(self._core)

    @cached_property
    def generations(self) -> Generations:
        """Generations by id: asking, and waiting for many."""
        return Generations(self._core)

    @cached_property
    def history(self) -> History:
        """What the account generated so far."""
        return History(self._core)

    @cached_property
    def account(self) -> Account:
        """Balance, user, statistics."""
        from ._resources.account import Account

        return Account(self._core)

    @cached_property
    def models(self) -> Models:
        """The catalogue and its prices."""
        from ._resources.models import Models

        return Models(self._core)

    @cached_property
    def keys(self) -> Keys:
        """API keys."""
        from ._resources.keys import Keys

        return Keys(self._core)

    @cached_property
    def assistants(self) -> Assistants:
        """Assistants."""
        from ._resources.assistants import Assistants

        return Assistants(self._core)

    @cached_property
    def files(self) -> Files:
        """Fetching the files of generations."""
        from ._resources.files import Files

        return Files(self._core)

    @cached_property
    def auth(self) -> Auth:
        """End-user login, on a client made with `session=Session()`."""
        from ._resources.auth import Auth

        return Auth(self._core)

    # What is not a door.

    def job(self, job: GenerationId | JobRef) -> Job:
        """Return a handle on a generation submitted earlier; nothing is sent.

        Args:
            job: An id kept elsewhere, or the `.job` of an error.
        """
        return Job(self._core, ref=job if isinstance(job, JobRef) else JobRef(job))

    @cached_property
    def with_raw_response(self) -> RawDoors:
        """The same doors, whose calls return a `RawResponse`: status, headers, body and the value."""
        from ._raw import RawDoors

        return RawDoors(self)

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, object] | None = None,
        repeatable: bool | None = None,
        timeout: float | Timeout | None = None,
        extra_headers: Mapping[str, str] | None = None,
    ) -> RawResponse[bytes]:
        """Call an endpoint this version does not know.

        Args:
            method: `GET`, `POST`, ...
            path: Below `/api/v2`, already quoted, such as `/user/history`.
            body: JSON body.
            params: Query parameters.
            repeatable: Whether it may be sent again when its outcome is unknown; by default only GET, HEAD and
                OPTIONS may.
            timeout: Limits of the HTTP exchange.
            extra_headers: Headers to add or replace.

        Returns:
            Status, headers and body; `value` is the body's bytes, `.json()` parses it.

        Raises:
            ConfigurationError: The path does not start with a slash.
            APIStatusError: The service refused, by status.
            SubmissionUnknownError: A POST was sent and its outcome is unknown: it may have cost tokens.
        """
        verb = method.upper()
        if not path.startswith("/"):
            raise ConfigurationError(f"`path` must start with a slash; it is {path!r}.")
        if repeatable is None:
            repeatable = verb in ("GET", "HEAD", "OPTIONS")
        # What an unknown POST costs is unknown, so it is treated as if it were paid.
        safety = Safety.REPEATABLE if repeatable else Safety.PAID if verb == "POST" else Safety.ONCE
        # Nor is it known how long the answer takes, and a paid one must not be given up early.
        slow = safety is Safety.PAID
        request = Request(verb, path, safety, query=query(**(params or {})), body=body, slow=slow)
        with watching() as seen:
            options = CallOptions(timeout=timeout, extra_headers=extra_headers)
            value = await self._core.send(request, lambda reply: reply.content, options)
        first = seen[0]
        return RawResponse(first.reply.status_code, first.reply.headers, value, first.attempts, value)


class _Connections:
    """The transports of a client and its copies, opened and closed together.

    One for each account and base URL: a program that makes a copy for each request of its users holds no more
    connections than it has accounts.
    """

    def __init__(
        self, limits: Limits, http_client: HttpClient | None, transport: HttpTransport | str | None, trust_env: bool
    ) -> None:
        self._arguments = (limits, http_client, transport, trust_env)
        self._transports: dict[tuple[object, str], Transport] = {}
        self._closed = False

    def of(self, credential: Credential, base_url: str) -> Transport:
        """Return the transport of an account at a base URL."""
        made = self._transports.get((credential.identity, base_url))
        if made is None:
            if self._closed:  # nobody would close it any more
                raise ConfigurationError("The client is closed; enter `async with` again before copying it.")
            limits, http_client, transport, trust_env = self._arguments
            made = build_transport(limits=limits, http_client=http_client, transport=transport, trust_env=trust_env)
            self._transports[credential.identity, base_url] = made
        return made

    def open(self) -> None:
        """Let all of them send again."""
        self._closed = False
        for transport in [*self._transports.values()]:
            transport.reopen()

    async def aclose(self) -> None:
        """Close all of them. A cancelled caller still closes, but never waits longer than a goodbye may take."""
        self._closed = True
        with anyio.move_on_after(_GOODBYE, shield=True):
            for transport in [*self._transports.values()]:
                await transport.aclose()

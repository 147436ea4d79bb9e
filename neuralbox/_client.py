"""`AsyncNeuralBox`: puts the parts together, opens and closes them. What it does stands in the resources."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import parse_qsl

from ._api.builders import require_text
from ._api.checks import require_flag, require_instance, require_query
from ._api.elsewhere import Guided
from ._api.request import Request, RetrySafety, query
from ._base_client import BaseClient
from ._budget import Budget, budget_of
from ._config import NEURALBOX, CallOptions, Dialect, Polling, Timeout, api_key_from_environment
from ._core.credentials import ApiKey, Session
from ._core.reply_capture import capture_replies
from ._errors import ConfigurationError
from ._hooks import Hooks
from ._models.raw import RawResponse
from ._models.webhook_event import ServiceName, WebhookEvent
from ._polling.account_pollers import notify
from ._polling.job import Job
from ._result_cache import ResultCache, cache_of
from ._submissions.pending import UnresolvedSubmission
from ._submissions.reconcile import Reconciliation, reconcile
from ._submissions.registry import registry_of
from ._transport import HttpClient, HttpTransport, Limits
from ._types import OMIT, GenerationId, JobRef, Omit

if TYPE_CHECKING:  # a resource is imported by its first use: `import neuralbox` stays light
    from ._batch.resource import Batches
    from ._raw import RawResources
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


class AsyncNeuralBox(BaseClient, Guided):
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
        deadline: Limit of one call, in seconds from its beginning to the last byte: attempts, pauses, and the body
            of a stream or download. None for none; waiting for a job has a limit of its own.
        max_reply_bytes: Longer answers are refused; files are not concerned.
        default_headers: Sent with every request to the service, never to the storage.
        polling: How waits poll; see `Polling`.
        submission: What follows a paid request whose outcome is unknown: `reconcile` searches the history for what
            it may have made, adopts that, sends again only what was provably never accepted, and else raises
            `SubmissionUnknownError`; `raise` raises at once; `resend` sends again, and may pay twice.
        budget: Tokens that the paid calls of this client and its copies may spend together: a number, or a `Budget` to
            share and to read; what would exceed it is not sent and raises `BudgetExceededError`. None for no limit.
        cache: A SQLite file, or a `ResultCache`, of what was bought before: the same thing again, by whichever call, costs
            no request and no tokens, and its result has `is_cached`. `submit` with a `journal` has that for its memory.
            None for no cache.
        pace: What a paid call does when the plan's hour or day is used up: `burst` waits for the next window up to
            `max_retry_wait`, and else raises `RateLimitError` with the time, unsent; `spread` also spreads the last
            fifth of a window over what remains of it; `off` sends and sees.
        warn_duplicates: Whether two equal paid requests within seconds, outside a batch, log a warning.
        draw_seed: Whether a picture that is asked for without a seed gets a drawn one: it is known as yours by it if its
            answer is lost, and can be made again.
        dialect: How to speak where the documents disagree; see `Dialect`.
        hooks: Functions of yours, or several sets of them, that are told of each attempt and what it came to; see
            `Hooks`, and `neuralbox.otel.tracing()` for OpenTelemetry.
        limits: How many requests, streams and connections at once; see `Limits`. The pool of an `http_client=` is its
            own business.
        http_client: An `httpx.AsyncClient` of yours, used as given and never closed here.
        transport: An `httpx.AsyncBaseTransport` of yours (a mock, a proxy of your own) under our client, or `"aiohttp"`
            for the faster engine of `neuralbox[speed]` (asyncio only).
        trust_env: Whether proxies and certificates are read from the environment, as httpx does.
        private_files: Whether files may be fetched from private networks (this machine, `10.0.0.0/8`, a cloud's metadata)
            although the service is public; their addresses and redirects come from others. Copies keep it.

    Raises:
        ConfigurationError: There is no key, or an option cannot be right.
    """

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
        submission: Literal["reconcile", "raise", "resend"] = "reconcile",
        budget: int | Budget | None = None,
        cache: str | os.PathLike[str] | ResultCache | None = None,
        pace: Literal["burst", "spread", "off"] = "burst",
        warn_duplicates: bool = True,
        draw_seed: bool = True,
        dialect: Dialect | None = None,
        hooks: Hooks | Sequence[Hooks] | None = None,
        limits: Limits | None = None,
        http_client: HttpClient | None = None,
        transport: HttpTransport | str | None = None,
        trust_env: bool = True,
        private_files: bool = False,
    ) -> None:
        if session is not None and api_key is not None:
            raise ConfigurationError("Pass `api_key` or `session`, not both.")
        given: object = session
        if given is not None and not isinstance(given, Session):
            raise ConfigurationError(f"`session` must be a Session, not {type(given).__name__}.")
        credential = ApiKey(api_key_from_environment(api_key)) if session is None else session
        self._connect(
            credential,
            service=NEURALBOX,
            base_url=base_url,
            timeout=timeout,
            max_retries=max_retries,
            max_retry_wait=max_retry_wait,
            deadline=deadline,
            max_reply_bytes=max_reply_bytes,
            default_headers=default_headers,
            polling=polling,
            submission=submission,
            budget=budget_of(budget),
            cache=cache_of(cache),
            pace=pace,
            warn_duplicates=warn_duplicates,
            draw_seed=draw_seed,
            dialect=dialect or Dialect(),
            hooks=hooks,
            limits=limits,
            http_client=http_client,
            transport=transport,
            trust_env=trust_env,
            private_files=private_files,
        )

    # Copies.

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
        submission: Literal["reconcile", "raise", "resend"] | None = None,
        budget: int | Budget | None = None,
        cache: str | os.PathLike[str] | ResultCache | None = None,
        pace: Literal["burst", "spread", "off"] | None = None,
        warn_duplicates: bool | None = None,
        draw_seed: bool | None = None,
        dialect: Dialect | None = None,
        hooks: Hooks | Sequence[Hooks] | None = None,
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
            deadline: Limit of one call, in seconds from its beginning to the last byte: attempts, pauses, and the body
                of a stream or download. None for none; waiting for a job has a limit of its own.
            max_reply_bytes: Longest answer.
            default_headers: Replace the client's.
            polling: How waits poll.
            submission: What follows an unknown outcome.
            budget: A budget of its own in place of the shared one.
            cache: A cache in place of the client's.
            pace: What happens when the plan's hour or day is used up.
            warn_duplicates: Whether equal paid requests within seconds are worth a warning.
            draw_seed: Whether pictures without a seed get a drawn one.
            dialect: How to speak.
            hooks: Replace the client's; an empty list for none.

        Raises:
            ConfigurationError: An option cannot be right.
        """
        return self._copied(
            credential=None if api_key is None else ApiKey(api_key_from_environment(api_key)),
            timeout=timeout,
            deadline=deadline,
            base_url=base_url,
            max_retries=max_retries,
            max_retry_wait=max_retry_wait,
            max_reply_bytes=max_reply_bytes,
            default_headers=default_headers,
            polling=polling,
            submission=submission,
            budget=budget_of(budget),
            cache=cache_of(cache),
            pace=pace,
            warn_duplicates=warn_duplicates,
            draw_seed=draw_seed,
            dialect=dialect,
            hooks=hooks,
        )

    # The resources.

    @cached_property
    def generate(self) -> Generate:
        """Any model by its slug: the quickstart's shape."""
        from ._resources.generate import Generate

        return Generate(self._core)

    @cached_property
    def text(self) -> Text:
        """Language models, whole or streamed."""
        from ._resources.text import Text

        return Text(self._core)

    @cached_property
    def images(self) -> Images:
        """Image models."""
        from ._resources.images import Images

        return Images(self._core)

    @cached_property
    def videos(self) -> Videos:
        """Video models."""
        from ._resources.videos import Videos

        return Videos(self._core)

    @cached_property
    def speech(self) -> Speech:
        """Text to speech."""
        from ._resources.speech import Speech

        return Speech(self._core)

    @cached_property
    def transcriptions(self) -> Transcriptions:
        """Speech to text."""
        from ._resources.transcriptions import Transcriptions

        return Transcriptions(self._core)

    @cached_property
    def music(self) -> Music:
        """Music models."""
        from ._resources.music import Music

        return Music(self._core)

    @cached_property
    def tools(self) -> Tools:
        """Upscaling, face swap, text recognition and their like."""
        from ._resources.tools import Tools

        return Tools(self._core)

    @cached_property
    def generations(self) -> Generations:
        """Generations by id: asking, and waiting for many."""
        from ._resources.generations import Generations

        return Generations(self._core)

    @cached_property
    def history(self) -> History:
        """What the account generated so far."""
        from ._resources.history import History

        return History(self._core)

    @cached_property
    def account(self) -> Account:
        """Balance, user, limits, statistics."""
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

    @cached_property
    def batch(self) -> Batches:
        """Many requests in one call: bounded, journaled, within a budget; `nb.batch(requests, ...)`."""
        from ._batch.resource import Batches

        return Batches(self._core)

    # What is not a resource.

    @property
    def budget(self) -> Budget | None:
        """The budget of this client and its copies: what is spent, reserved and left; None where there is none."""
        return self._core.options.budget

    @property
    def unresolved(self) -> tuple[UnresolvedSubmission, ...]:
        """Paid requests that may have been accepted without our learning of it, oldest first.

        Those of cancelled calls are among them. `reconcile` may settle them.
        """
        return registry_of(self._core).unresolved

    async def reconcile(self) -> Reconciliation:
        """Search the history for everything in `unresolved`.

        Returns:
            What was found, what was provably never accepted, and what stays open with the reason.

        Cancellation:
            Stops searching; what is not settled stays in `unresolved`.
        """
        return await reconcile(self._core)

    def notify(self, event: WebhookEvent) -> bool:
        """Have the generation of a webhook's event asked for now, if this process waits for it; sends nothing itself.

        The event is a hint. Whoever waits asks the service once, which ends the wait where it is true, and is one request
        where it is not; an event that was had before changes nothing. It may be called in any thread and in any loop.

        Args:
            event: As `neuralbox.webhooks.read_event` returns it; `WebhookReceiver` does both.

        Returns:
            Whether anybody waits for it, and has not been told before.

        Raises:
            ConfigurationError: The event is of another service.
        """
        return notify(self._core, event)

    @property
    def service_name(self) -> ServiceName:
        """The service this client speaks to: `neuralbox`."""
        return "neuralbox"

    def job(self, job: GenerationId | JobRef) -> Job:
        """Return a handle on a generation submitted earlier; nothing is sent.

        Args:
            job: An id kept elsewhere, or the `.job` of an error.
        """
        return Job(self._core, ref=job if isinstance(job, JobRef) else JobRef(job))

    @cached_property
    def with_raw_response(self) -> RawResources:
        """The same resources, whose calls return a `RawResponse`: status, headers, body and the value."""
        from ._raw import RawResources

        return RawResources(self._core)

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
            ConfigurationError: The path does not start with a slash, or an argument is of another type.
            APIStatusError: The service refused, by status.
            SubmissionUnknownError: A POST was sent and its outcome is unknown: it may have cost tokens.
        """
        verb = require_text("method", method).upper()
        require_instance("`path`", path, str)
        require_instance("`body`", {} if body is None else body, Mapping)
        require_query("`params`", params or {})
        require_flag("`repeatable`", repeatable)
        if not path.startswith("/"):
            raise ConfigurationError(f"`path` must start with a slash; it is {path!r}.")
        if repeatable is None:
            repeatable = verb in ("GET", "HEAD", "OPTIONS")
        # What an unknown POST costs is unknown, so it is treated as if it were paid.
        safety = RetrySafety.REPEATABLE if repeatable else RetrySafety.PAID if verb == "POST" else RetrySafety.ONCE
        # Nor is it known how long the answer takes, and a paid one must not be given up early.
        slow = safety is RetrySafety.PAID
        # What stands in the path is logged; a query, which may hold anything, goes where queries go.
        path, _, rest = path.partition("?")
        pairs = (*parse_qsl(rest, keep_blank_values=True), *query(**(params or {})))
        request = Request(verb, path, safety, query=pairs, body=body, slow=slow)
        with capture_replies() as seen:
            options = CallOptions(timeout=timeout, extra_headers=extra_headers)
            value = await self._core.send(request, lambda reply: reply.content, options)
        first = seen[0]
        return RawResponse(first.reply.status_code, first.reply.headers, value, first.attempts, value)

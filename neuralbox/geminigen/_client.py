"""`AsyncGeminiGen`: the parts of a NeuralBox client, put together for the other service."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Self

from .._base_client import BaseClient
from .._budget import Budget, budget_of
from .._config import Polling, Timeout, api_key_from_environment
from .._hooks import Hooks
from .._models.webhook_event import ServiceName, WebhookEvent
from .._polling.account_pollers import notify
from .._polling.job import Job
from .._result_cache import ResultCache, cache_of
from .._submissions.pending import UnresolvedSubmission
from .._submissions.reconcile import Reconciliation, reconcile
from .._submissions.registry import registry_of
from .._transport import HttpClient, HttpTransport, Limits
from .._types import OMIT, JobRef, Omit
from ._history import GeminiHistory, require_uuid
from ._item import HistoryItem
from ._service import GEMINIGEN, make_credential

if TYPE_CHECKING:  # imported by the first use instead
    from .._batch.resource import Batches
    from .._resources.files import Files
    from ._account import GeminiAccount
    from ._images import GeminiImages
    from ._models import GeminiModels
    from ._raw import RawGeminiResources
    from ._speech import GeminiSpeech
    from ._videos import GeminiVideos


class AsyncGeminiGen(BaseClient):
    """GeminiGen, asynchronously, on asyncio and trio.

        async with AsyncGeminiGen() as gg:
            image = await gg.images.create(model="nano-banana-pro", prompt="A quiet harbour")
            await gg.files.download(image, "out/")
            async for item in gg.history.list(filter_by="image"):
                await gg.files.download(item.to_generation(), "out/")

    One client serves any number of tasks and event loops; it starts no task and no thread. Errors are those of NeuralBox,
    told apart by the service's `error_code` before the HTTP status.

    Args:
        api_key: The key; default: GEMINIGEN_API_KEY. It is sent as `x-api-key`.
        base_url: Scheme and host; default: GEMINIGEN_BASE_URL, else `https://api.geminigen.ai`. The service also
            answers, renamed, at `https://api.snapgen.ai`.
        timeout: Limits of one HTTP exchange: seconds, or a `Timeout`. Waiting for jobs has limits of its own.
        max_retries: Attempts after the first.
        max_retry_wait: When the service asks to wait longer than this many seconds, its error is raised instead.
        deadline: Limit of one call, in seconds from its beginning to the last byte: attempts, pauses, and the body
            of a stream or download. None for none; waiting for a job has a limit of its own.
        max_reply_bytes: Longer answers are refused; files are not concerned.
        default_headers: Sent with every request to the service, never to the storage.
        polling: How waits go; see `Polling`.
        submission: What follows a paid request whose outcome is unknown: `reconcile` searches the history for what
            it may have made, adopts that, sends again only what was provably never accepted, and else raises
            `SubmissionUnknownError`; `raise` raises at once; `resend` sends again, and may pay twice.
        budget: Credits that the paid calls of this client and its copies may spend together: a number, or a `Budget` to
            share and to read. The service announces no prices: what it estimated or charged for the same model and
            options counts, and the first of each passes alone. None for no limit.
        cache: A SQLite file, or a `ResultCache`, of what was bought before: the same thing again, by whichever call, costs
            no request and no credits, and its result has `is_cached`. `submit` with a `journal` has that for its memory.
            None for no cache.
        warn_duplicates: Whether two equal paid requests within seconds, outside a batch, log a warning.
        hooks: Functions of yours, or several sets of them, that are told of each attempt; see `Hooks`.
        limits: How many requests, streams and connections at once; see `Limits`. The pool of an `http_client=` is its
            own business.
        http_client: An `httpx.AsyncClient` of yours, used as given and never closed here.
        transport: An `httpx.AsyncBaseTransport` of yours (a mock, a proxy of your own) under our client.
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
        warn_duplicates: bool = True,
        hooks: Hooks | Sequence[Hooks] | None = None,
        limits: Limits | None = None,
        http_client: HttpClient | None = None,
        transport: HttpTransport | str | None = None,
        trust_env: bool = True,
        private_files: bool = False,
    ) -> None:
        self._connect(
            make_credential(api_key_from_environment(api_key, GEMINIGEN)),
            service=GEMINIGEN,
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
            warn_duplicates=warn_duplicates,
            # No document tells of windows that answers name, nor of seeds.
            pace="off",
            draw_seed=False,
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
        warn_duplicates: bool | None = None,
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
            polling: How waits go.
            submission: What follows an unknown outcome.
            budget: A budget of its own in place of the shared one.
            cache: A cache in place of the client's.
            warn_duplicates: Whether equal paid requests within seconds are worth a warning.
            hooks: Replace the client's; an empty list for none.

        Raises:
            ConfigurationError: An option cannot be right.
        """
        return self._copied(
            credential=None if api_key is None else make_credential(api_key_from_environment(api_key, GEMINIGEN)),
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
            warn_duplicates=warn_duplicates,
            hooks=hooks,
        )

    # The resources.

    @cached_property
    def images(self) -> GeminiImages:
        """Pictures."""
        from ._images import GeminiImages

        return GeminiImages(self._core)

    @cached_property
    def videos(self) -> GeminiVideos:
        """Films, and more of them."""
        from ._videos import GeminiVideos

        return GeminiVideos(self._core)

    @cached_property
    def speech(self) -> GeminiSpeech:
        """Texts and dialogues, spoken."""
        from ._speech import GeminiSpeech

        return GeminiSpeech(self._core)

    @cached_property
    def account(self) -> GeminiAccount:
        """Whose key it is, and what is left."""
        from ._account import GeminiAccount

        return GeminiAccount(self._core)

    @cached_property
    def models(self) -> GeminiModels:
        """How the models are doing."""
        from ._models import GeminiModels

        return GeminiModels(self._core)

    @cached_property
    def batch(self) -> Batches:
        """Many requests in one call: bounded, journaled, within a budget; `gg.batch(requests, ...)`."""
        from .._batch.resource import Batches
        from ._kinds import GEMINI_KINDS

        return Batches(self._core, GEMINI_KINDS)

    @cached_property
    def history(self) -> GeminiHistory:
        """What the account generated so far."""
        return GeminiHistory(self._core)

    @cached_property
    def files(self) -> Files:
        """Fetching files: of a record's `to_generation()`, of a job, or of any `url` of an asset."""
        from .._resources.files import Files

        return Files(self._core)

    # What is not a resource.

    @property
    def budget(self) -> Budget | None:
        """The budget of this client and its copies, in credits: what is spent, reserved and left; None where there is none."""
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

    @cached_property
    def with_raw_response(self) -> RawGeminiResources:
        """The same resources, whose calls return a `RawResponse`: status, headers, body and the value."""
        from ._raw import RawGeminiResources

        return RawGeminiResources(self._core)

    def notify(self, event: WebhookEvent) -> bool:
        """Have the generation of a webhook's event asked for now, if this process waits for it; sends nothing itself.

        The event is a hint, signed or not. Whoever waits asks the service once, which ends the wait where it is true, and
        is one request where it is not; an event that was had before changes nothing. It may be called in any thread and
        in any loop.

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
        """The service this client speaks to: `geminigen`."""
        return "geminigen"

    def job(self, job: str | JobRef | HistoryItem) -> Job:
        """Return a handle on a generation that was started elsewhere; nothing is sent.

        Its polls ask for the detail, and what it returns is NeuralBox's `Generation`, with the record in `raw`:
        `HistoryItem.read(generation.raw)` has all of it.

        Args:
            job: A uuid, the `.job` of an error, or an item of the history.

        Raises:
            ConfigurationError: It is no uuid.
        """
        uuid = require_uuid(job)
        if isinstance(job, HistoryItem):
            return Job(self._core, ref=job.to_generation())
        return Job(self._core, ref=job if isinstance(job, JobRef) else JobRef(uuid))

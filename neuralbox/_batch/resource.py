"""`nb.batch`: many requests in one call, and what they would cost."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeAlias

import anyio
from anyio.lowlevel import checkpoint

from .._api.checks import require_callback, require_flag, require_path, require_seconds, require_whole
from .._budget import Budget, joined
from .._core.exchange import Core
from .._costs.charges import charges_of
from .._costs.prices import PriceQuery, price_query_of
from .._errors import ConfigurationError
from .._files.naming import FileNaming
from .._files.target import locate_directory
from .._journal import Sync
from .._polling.job import require_limit
from .._requests.json_lines import NEURALBOX_KINDS, RequestKinds, check, require_writable
from .._requests.requests import BatchRequest
from .._result_cache import ResultCache, cache_of
from .._types import OMIT, JobRef, Omit
from .batch import Batch
from .outcome import BatchEstimate
from .progress import BatchProgress
from .reader import Source, given_twice, missing_file, position_key
from .state import BatchOptions

OnBatchAccepted: TypeAlias = Callable[[str, JobRef], Any] | Callable[[str, JobRef], Awaitable[Any]]
"""Called with the key and the job of each paid request as soon as its id is known; plain or async."""
OnBatchProgress: TypeAlias = Callable[[BatchProgress], Any] | Callable[[BatchProgress], Awaitable[Any]]
"""Called with the batch's progress; plain or async."""

_ASKING = 8
_TURN = 256
_PROBLEMS = 100


class Batches:
    """Run batches: any number of requests, bounded in flight, resumable."""

    def __init__(self, core: Core, kinds: RequestKinds = NEURALBOX_KINDS) -> None:
        self._core = core
        self._kinds = kinds

    def __call__(
        self,
        requests: Iterable[BatchRequest | Mapping[str, Any]] | AsyncIterable[BatchRequest | Mapping[str, Any]] | None,
        *,
        journal: str | os.PathLike[str] | None = None,
        journal_sync: Sync = "normal",
        download_to: str | os.PathLike[str] | None = None,
        name_by: str = "key",
        budget: int | Budget | None = None,
        cache: str | os.PathLike[str] | ResultCache | None = None,
        max_in_flight: int = 1_000,
        max_sending: int = 64,
        max_downloads: int = 8,
        wait_timeout: float | Omit | None = OMIT,
        max_throttle_wait: float | None = None,
        retry_failed: bool = False,
        on_accepted: OnBatchAccepted | None = None,
        on_progress: OnBatchProgress | None = None,
    ) -> Batch:
        """Make a batch; nothing is read or sent before its block is entered.

            async with nb.batch(requests, journal="run.sqlite", download_to="out/", budget=5_000) as run:
                async for outcome in run:
                    print(outcome.key, outcome.path or outcome.error)

        The same call with the same journal continues where the last one ended, for whatever reason it did: what ended
        is delivered again (`outcome.resumed`), what was accepted is waited for, what may have been is settled by the
        history, the rest is sent. What the journal has paid for and the requests do not name any more is finished and
        delivered as well; what was never sent of those is left alone.

        Args:
            requests: Requests (`ImageRequest(...)`, ...) or dictionaries as `request_from_dict` reads them, from any
                iterable or async iterable, read as places become free; of a list, what there are places for is checked
                before the first is sent. A request without a `key` is named by its
                position, `"000001"` for the first, so an order that changes between runs needs keys. A plain iterable is
                advanced on the event loop: let one that waits (for a database, say) be an async one. None continues
                what the journal has not ended, the unsent ones included.
            journal: A file that knows each request's state, made if it is not there; without one a crash forgets what
                was in flight.
            journal_sync: `normal` survives the killing of the process, `full` the loss of power too.
            download_to: A directory for the files; where another file stands under a name it stays, and the new one becomes
                `heron (2).webp`, which is logged. Only a file in this directory counts as saved by an earlier run of the
                journal.
            name_by: What the files are called, less their endings: `key` is the request's key, or the generation's id where
                it has none; `id` is the id; else a template of `{key}`, `{id}`, `{model}`, `{kind}`, `{date}` and `{seed}`,
                such as `{model}/{key}`, that stays below the directory.
            budget: Most tokens to spend, those of the journal's earlier runs included, or a `Budget` shared with
                others. What does not fit is not sent and has `BudgetExceededError` for an outcome. In a journal that many
                share a number is the budget of all who work on the run, and the newest that is given is everybody's; a
                `Budget` stays this process's own.
            cache: A file, or a `ResultCache`, of what was bought before, in place of the client's; what is in it is delivered
                without a request and free (`outcome.generation.is_cached`). Equal requests that are on their way at the
                same time are each bought.
            max_in_flight: Requests read and not delivered, at most: a slow consumer slows the batch down.
            max_sending: Submissions at once; below the client's `limits.max_connections`, or polls have to queue.
            max_downloads: Downloads at once.
            wait_timeout: Limit of the wait for each job in seconds, from when it was accepted here; None waits without
                limit. Default: `polling.timeout`, 600. The job goes on, and a later run waits for it again.
            max_throttle_wait: When the account's limits let nothing leave for longer than so many seconds, the batch sends
                nothing more instead of waiting; None waits as long as it takes.
            retry_failed: Send again what failed in an earlier run of the journal.
            on_accepted: Called as `on_accepted(key, job)` for each paid request as soon as its id is known; may be a
                coroutine function. What it raises ends the run as the requests' own error does, after what was paid.
            on_progress: Called with the `BatchProgress`, at most some five times a second; likewise.

        Returns:
            The batch: a context manager, and in its block an iterator of `BatchOutcome`s.

        Raises:
            ConfigurationError: An argument cannot be right, or no files can be put into `download_to`.
            DownloadError: `download_to` may not be looked at.
        """
        if requests is not None:
            _require_iterable(requests)
        elif journal is None:
            raise ConfigurationError("Pass requests, or the journal of a batch to continue.")
        if journal is not None:
            require_path("`journal`", journal)
        for name, value in (
            ("max_in_flight", max_in_flight),
            ("max_sending", max_sending),
            ("max_downloads", max_downloads),
        ):
            require_whole(name, value, lowest=1)
        require_seconds("max_throttle_wait", max_throttle_wait)
        require_flag("`retry_failed`", retry_failed)
        require_callback("`on_accepted`", on_accepted)
        require_callback("`on_progress`", on_progress)
        if journal_sync not in ("normal", "full"):
            raise ConfigurationError(f"journal_sync must be normal or full; it is {journal_sync!r}.")
        options = BatchOptions(
            kinds=self._kinds,
            download_to=None if download_to is None else locate_directory("`download_to`", download_to),
            naming=FileNaming.of(name_by),
            max_in_flight=max_in_flight,
            max_sending=max_sending,
            max_downloads=max_downloads,
            wait_timeout=require_limit(wait_timeout, self._core),
            max_throttle_wait=max_throttle_wait,
            retry_failed=retry_failed,
            on_accepted=on_accepted,
            on_progress=on_progress,
        )
        if budget is not None and not isinstance(budget, Budget):
            Budget(budget)  # checked before anything is opened; made when the journal has told what was spent
        core, own, joint_budget = self._core, cache_of(cache), None
        clients = core.options.budget
        if isinstance(budget, Budget) and clients is not None:
            joint_budget = joined(budget, clients)
        if joint_budget is not None:  # what the submissions set aside as well would count twice
            core = core.with_options(core.options.with_changes(budget=None))
        if own is not None:
            core = core.with_options(core.options.with_changes(cache=own))
        return Batch(
            core,
            requests,
            options,
            journal=journal,
            journal_sync=journal_sync,
            budget=budget,
            joint_budget=joint_budget,
            cache=own,
        )

    async def estimate(
        self, requests: Iterable[BatchRequest | Mapping[str, Any]] | AsyncIterable[BatchRequest | Mapping[str, Any]]
    ) -> BatchEstimate:
        """Work out what a batch would cost; nothing is generated or charged.

        The service is asked once for each model and set of options among the requests.

        Args:
            requests: As for a batch; they are read to the end.

        Returns:
            Tokens in all and per model, and how many requests have no known price or cannot be sent: invalid ones, a key
            given twice, a recording that is not there.

        Raises:
            ConfigurationError: `requests` is no iterable of requests.

        Source:
            NeuralBox API, `POST /api/v2/models/{slug}/calculate-price` [nb:en/api-reference/models/calculate-price].
        """
        _require_iterable(requests)
        queries: dict[str, PriceQuery] = {}
        counts: Counter[str] = Counter()
        problems: dict[str, str] = {}
        keys: set[str | None] = set()
        position = invalid = 0
        async for given in _each(requests):
            position += 1
            key = position_key(position)
            try:
                request = self._kinds.take(given)
                key = request.key or key
                wire = check(request, self._core.options.dialect)
                require_writable(wire, request.extra_body)
                problem = given_twice(key) if request.key in keys else missing_file(request)
                if problem is not None:
                    raise problem
            except ConfigurationError as error:
                invalid += 1
                if len(problems) < _PROBLEMS:
                    problems[key] = error.message
                continue
            keys.add(key)
            query = price_query_of(wire, model=request.model, extra=request.extra_body)
            queries.setdefault(query.key, query)
            counts[query.key] += 1
        prices = await self._prices([*queries.values()])
        by_model: Counter[str] = Counter()
        unknown = 0
        for query in queries.values():
            price, count = prices[query.key], counts[query.key]
            if price is None:
                unknown += count
            else:
                by_model[query.model or "assistant"] += price * count
        return BatchEstimate(by_model.total(), position - invalid, dict(by_model), unknown, invalid, problems)

    async def _prices(self, queries: list[PriceQuery]) -> dict[str, int | None]:
        known = charges_of(self._core).prices
        found: dict[str, int | None] = {}

        async def ask() -> None:
            while queries:
                query = queries.pop()
                found[query.key] = await known.of(self._core, query)

        async with anyio.create_task_group() as group:
            for _ in range(min(_ASKING, len(queries))):
                group.start_soon(ask)
        return found


def _require_iterable(requests: object) -> None:
    if isinstance(requests, str | bytes | Mapping):
        raise ConfigurationError("Pass the requests as a list, or `read_requests(path)` for a file of JSON lines.")
    if not isinstance(requests, Iterable | AsyncIterable):
        raise ConfigurationError(f"`requests` must be an iterable of requests, not {type(requests).__name__}.")


async def _each(source: Source) -> AsyncIterator[BatchRequest | Mapping[str, Any]]:
    """Go through an iterable of either colour."""
    if isinstance(source, AsyncIterable):
        async for given in source:
            yield given
        return
    for turn, given in enumerate(source, 1):
        if turn % _TURN == 0:
            await checkpoint()
        yield given

"""Writing requests into a journal before any of them is sent: for workers that take them page by page, or to go on from it alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from anyio import to_thread

from .._core.exchange import Core
from .._journal.opening import open_account_journal
from .._journal.protocol import PlannedRequest
from .._journal.reading import plan_requests
from .._requests.requests import BatchRequest
from .reader import PAGE, planned_request, position_key, require_shared_key


def plan(journal: str, requests: Iterable[BatchRequest], *, service: str, now: float) -> tuple[int, int]:
    """Write requests into a run; nothing is sent, and no key is needed. Blocking.

    Args:
        journal: The address of the run, `postgresql://host/db#run`; made if it is not there.
        requests: The requests, each with a key; read as they are written.
        service: Base URL of the service.
        now: Unix seconds.

    Returns:
        How many were new, and how many stood there already.

    Raises:
        ConfigurationError: A request has no key, or too long a one, or cannot be written down; what came before it is planned.
        JournalError: See `_journal.postgres.reading.plan_requests`.
    """
    return plan_requests(journal, _each(requests), service=service, now=now)


async def plan_all(core: Core, journal: Path | str, requests: Iterable[BatchRequest]) -> None:
    """Write all requests of a batch into its journal; what it knows stays as it is.

    Args:
        core: Whose account pays for them.
        journal: Its file, or the address of a run that many share.
        requests: The requests, each with a key in a journal that many share.

    Raises:
        ConfigurationError: A request cannot be written down; what came before it is planned.
        JournalError: The journal cannot be used, or knows another request under a key.
    """
    if isinstance(journal, str):
        planning = partial(plan, journal, requests, service=core.options.base_url, now=core.now())
        await to_thread.run_sync(planning, abandon_on_cancel=True)
        return
    entries = (
        planned_request(position_key(position) if request.key is None else request.key, request)
        for position, request in enumerate(requests, 1)
    )
    async with await open_account_journal(core, journal) as opened:
        while page := [*islice(entries, PAGE)]:
            await opened.plan(page)


def _each(requests: Iterable[BatchRequest]) -> Iterator[PlannedRequest]:
    for request in requests:
        require_shared_key(request.key)
        assert request.key is not None
        yield planned_request(request.key, request)

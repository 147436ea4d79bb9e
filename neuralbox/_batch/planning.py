"""Writing requests into a journal before any of them is sent: for workers that take them page by page, or to go on from it alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, takewhile
from pathlib import Path

from anyio import to_thread

from .._core.exchange import Core
from .._journal import reading
from .._journal.opening import open_account_journal
from .._journal.protocol import PlannedRequest
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
    return reading.plan_requests(journal, _each(requests, is_shared=True), service=service, now=now)


async def require_same(journal: Path | str, requests: Iterable[BatchRequest]) -> None:
    """Require that a journal that is there knows none of the requests' keys as another request; writes nothing.

    Raises:
        JournalError: It does, or it cannot be read.
    """
    await _in_thread(requests, lambda wanted: reading.require_same(journal, _each(wanted)))


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
        service, now = core.options.base_url, core.now()
        await _in_thread(requests, lambda wanted: plan(journal, wanted, service=service, now=now))
        return
    entries = _each(requests)
    async with await open_account_journal(core, journal) as opened:
        while page := [*islice(entries, PAGE)]:
            await opened.plan(page)


async def _in_thread(requests: Iterable[BatchRequest], act: Callable[[Iterable[BatchRequest]], object]) -> None:
    """Work on requests in a thread; one that is left reads no more of them."""
    is_left = threading.Event()
    wanted = takewhile(lambda _: not is_left.is_set(), requests)
    try:
        await to_thread.run_sync(act, wanted, abandon_on_cancel=True)
    finally:
        is_left.set()


def _each(requests: Iterable[BatchRequest], *, is_shared: bool = False) -> Iterator[PlannedRequest]:
    for position, request in enumerate(requests, 1):
        if is_shared:
            require_shared_key(request.key)
        yield planned_request(position_key(position) if request.key is None else request.key, request)

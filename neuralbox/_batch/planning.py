"""Filling a shared journal with requests that nobody works on yet: any number of workers then take them page by page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .._errors import ConfigurationError
from .._journal.protocol import PlannedRequest
from .._journal.reading import plan_requests
from .._requests.requests import BatchRequest
from .reader import planned_request


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
        ConfigurationError: A request has no key, or cannot be written down; what came before it is planned.
        JournalError: See `_journal.postgres.reading.plan_requests`.
    """
    return plan_requests(journal, _each(requests), service=service, now=now)


def _each(requests: Iterable[BatchRequest]) -> Iterator[PlannedRequest]:
    for request in requests:
        if request.key is None:
            raise ConfigurationError("In a journal that many share each request needs a `key` of its own.")
        yield planned_request(request.key, request)

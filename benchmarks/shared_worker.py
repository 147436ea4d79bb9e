"""One worker of `stress_shared`, in a process of its own.

It runs its share of the requests on a shared journal and says each outcome as `KEY ID`, or `KEY !ERROR`. A worker that may
not go on (its lease is over) ends with 75, so that whoever runs it gives its share to another.
"""

from __future__ import annotations

import sys
from typing import Any

import anyio

from neuralbox import AsyncNeuralBox, JournalError, Polling
from neuralbox._journal.postgres import membership
from neuralbox._submissions.registry import SettlePolicy, registry_of

KEY = "nb_test_shared"
LEFT = 75


def requests(first: int, count: int, equal: int) -> list[dict[str, Any]]:
    """Return a share; `equal` of all requests have the same prompt."""
    return [
        {"kind": "video", "model": "kling-v2.1", "duration": 5, "key": f"k{at:06d}", "prompt": f"scene {at // equal}"}
        for at in range(first, first + count)
    ]


async def run(url: str, dsn: str, share: list[dict[str, Any]] | None, budget: int | None = None) -> None:
    polling = Polling(timeout=None, min_interval=0.05, max_interval=0.5)
    async with AsyncNeuralBox(api_key=KEY, base_url=url, polling=polling) as nb:
        registry_of(nb._core).settling = SettlePolicy(base=1.0, longest=1.0, listed_by=3.0)
        async with nb.batch(share, journal=dsn, wait_timeout=None, max_in_flight=200, budget=budget) as batch:
            async for outcome in batch:
                result = f"!{outcome.error!r}" if outcome.job is None or not outcome.ok else str(outcome.job.id)
                print(outcome.key, " ".join(result.split()), flush=True)


def work(url: str, dsn: str, first: int, count: int, equal: int, lease: float, budget: int | None) -> int:
    """Run the requests from the first on, and return what the process is to end with."""
    membership.LEASE = lease  # type: ignore[misc]  # a minute is long for a test
    try:
        anyio.run(run, url, dsn, requests(first, count, equal), budget)
    except JournalError as error:
        print(f"{type(error).__name__} {error.reason}: {error}", file=sys.stderr)
        return LEFT
    return 0

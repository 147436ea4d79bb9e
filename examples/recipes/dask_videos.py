"""Shares of requests as tasks of Dask: whatever Dask runs again, on whichever worker, is paid for once.

    pip install distributed 'neuralbox[postgres]'

Each request needs a key of its own; NEURALBOX_API_KEY is set where the workers are started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

from distributed import Client, as_completed

from neuralbox import AsyncNeuralBox


def generate(share: Sequence[dict[str, Any]], journal: str) -> list[dict[str, Any]]:
    """Have a share generated; a task."""
    return asyncio.run(_generate(share, journal))


async def _generate(share: Sequence[dict[str, Any]], journal: str) -> list[dict[str, Any]]:
    async with AsyncNeuralBox() as nb, nb.batch(share, journal=journal) as run:
        return [outcome.to_dict() async for outcome in run]


def run(client: Client, requests: Sequence[dict[str, Any]], journal: str, size: int = 200) -> Iterator[dict[str, Any]]:
    """Spread requests over a cluster, and yield what became of each."""
    shares = [requests[at : at + size] for at in range(0, len(requests), size)]
    # Dask takes a function for pure and a result for one that can be made again: with the journal that is so.
    tasks = client.map(generate, shares, journal=journal, retries=10)
    for _, found in as_completed(tasks, with_results=True):
        yield from found

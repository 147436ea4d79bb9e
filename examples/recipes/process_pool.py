"""Processes that work through one journal in PostgreSQL, each taking its part of it; a pool that lost one begins again.

    neuralbox batch plan requests.jsonl --journal postgresql://db.example/neuralbox#summer
    python process_pool.py postgresql://db.example/neuralbox#summer 4

The same on other machines at the same time, as often as wanted.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from neuralbox import AsyncNeuralBox


def work(journal: str) -> int:
    """Take part until the whole run has ended; return how many results came of it here."""
    return asyncio.run(_work(journal))


async def _work(journal: str) -> int:
    async with AsyncNeuralBox() as nb, nb.batch(None, journal=journal, download_to="out/") as run:
        return sum([outcome.ok async for outcome in run])


def run(journal: str, processes: int) -> int:
    """See a run to its end, whichever process dies."""
    while True:
        try:
            with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
                return sum(pool.map(work, [journal] * processes))
        except (
            BrokenProcessPool
        ):  # one was killed, and Python ends the others: the journal knows what they had paid for
            continue


if __name__ == "__main__":
    print(run(sys.argv[1], int(sys.argv[2])), "results")

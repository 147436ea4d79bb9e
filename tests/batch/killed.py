"""A batch to be killed: it says each key as its outcome comes."""

from __future__ import annotations

from typing import Any

import anyio

from neuralbox._batch.resource import Batches
from neuralbox._client import AsyncNeuralBox
from neuralbox._config import Polling
from neuralbox._submissions.registry import SettlePolicy, registry_of

POLLING = Polling(timeout=60, min_interval=0.02, max_interval=0.1)


def requests(count: int) -> list[dict[str, Any]]:
    """Some of each kind, many of them twins."""
    kinds = [
        {"kind": "video", "model": "kling-v2.1"},
        {"kind": "image", "model": "flux-1.1-pro"},
        {"kind": "text", "model": "gpt-5"},
    ]
    return [{**kinds[at % 3], "prompt": f"number {at % 50}"} for at in range(count)]


async def run(url: str, key: str, journal: str, count: int) -> list[str]:
    """Run the batch to its end, and return what is wrong with its outcomes."""
    async with AsyncNeuralBox(api_key=key, base_url=url, polling=POLLING) as nb:
        registry_of(nb._core).settling = SettlePolicy(base=1.0, longest=1.0, listed_by=2.0)
        wrong, missing = [], {f"{number:06d}" for number in range(1, count + 1)}
        async with Batches(nb._core)(requests(count), journal=journal) as batch:
            async for outcome in batch:
                print(outcome.key, flush=True)  # noqa: T201 - whoever kills it reads this
                missing.discard(outcome.key)
                if not outcome.ok:
                    wrong.append(f"{outcome.key}: {outcome.error!r}")
        return [*wrong, *(f"{key}: no outcome" for key in missing)]


def work(url: str, key: str, journal: str, count: int) -> None:
    anyio.run(run, url, key, journal, count)

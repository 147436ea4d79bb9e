"""A program that buys one picture under a key and says which job it has; killed on the way where it is told to be."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from neuralbox._api.builders import build_media
from neuralbox._client import AsyncNeuralBox
from neuralbox._config import CallOptions
from neuralbox._journal.grouped import GroupedJournal
from neuralbox._submissions import keyed


def die_at(moment: str) -> None:
    """Arrange to be killed: `sending` (written, not sent), `unmarked` (accepted, not written), `marked` (written)."""
    name = "sending" if moment == "sending" else "accepted"
    real: Callable[..., Awaitable[None]] = getattr(GroupedJournal, name)

    async def mark(*arguments: Any, **more: Any) -> None:
        if moment != "unmarked":
            await real(*arguments, **more)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(GroupedJournal, name, mark)


async def buy(url: str, journal: str, key: str, prompt: str) -> None:
    async with AsyncNeuralBox(api_key="nb_durable", base_url=url, trust_env=False) as nb:
        request = build_media(model="flux-1.1-pro", prompt=prompt, options={}, nested=False)
        job = await keyed.submit(
            nb._core, request, CallOptions(), kind="image", model="flux-1.1-pro", journal=journal, key=key
        )
        done = await job.wait()
        print(done.id, done.url is not None)  # noqa: T201 - its one result


def work(url: str, journal: str, key: str, prompt: str, moment: str | None = None) -> None:
    if moment is not None:
        die_at(moment)
    anyio.run(buy, url, journal, key, prompt)

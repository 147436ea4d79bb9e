"""The clients that `bench_peers` sets side by side: each submits so many videos and waits for all, in its own words.

A waiter is what a user of that client would write after reading its README: its own helper with its own intervals,
limits and time-outs, one task per job where it has no call for many, pointed at the server of the benchmark. `found` is
called with the number of a job when the caller has its result in hand.
"""

from __future__ import annotations

import asyncio
import json
import os
import warnings
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Final, TypeAlias

Found: TypeAlias = Callable[[object], None]
Wait: TypeAlias = Callable[[int, Found], Awaitable[None]]
"""Submits so many jobs and waits for all of them. A job whose helper raises is lost."""
Open: TypeAlias = Callable[[str, AsyncExitStack], Awaitable[Wait]]

PROMPT: Final = "A paper boat on a river, early morning fog, slow camera"
PAUSE: Final = 5.0  # what the service's documents show of a loop


@dataclass(frozen=True, slots=True)
class Peer:
    """One client.

    Attributes:
        name: For tables.
        package: What has to be installed.
        how: The helper, and how often it polls.
        opened: Makes the client and returns its waiter.
        most: Jobs it is measured with at most: a poll every 0.1 s of each of 1,000 jobs is a million requests.
        rounds: Rounds it takes part in at most.
    """

    name: str
    package: str
    how: str
    opened: Open
    most: int = 1_000
    rounds: int = 1

    @property
    def installed(self) -> bool:
        return find_spec(self.package.replace("-", "_")) is not None

    @property
    def version(self) -> str:
        return version(self.package)


def each(one: Callable[[], Awaitable[object]]) -> Wait:
    """Wait for each job in a task of its own."""

    async def wait(count: int, found: Found) -> None:
        async def job() -> None:
            with suppress(Exception):  # lost, and counted as such: its number was never found
                found(await one())

        await asyncio.gather(*(job() for _ in range(count)))

    return wait


# Ours.


async def _neuralbox(url: str, stack: AsyncExitStack, **options: Any) -> Wait:
    from neuralbox import AsyncNeuralBox

    nb = await stack.enter_async_context(AsyncNeuralBox(api_key="nb_benchmark", base_url=url, **options))

    async def wait(count: int, found: Found) -> None:
        jobs = await asyncio.gather(*(nb.videos.submit(model="wan-2.1", prompt=PROMPT) for _ in range(count)))
        await nb.generations.wait(jobs, on_progress=lambda seen: found(seen.id) if seen.is_completed else None)

    return wait


async def _default(url: str, stack: AsyncExitStack) -> Wait:
    return await _neuralbox(url, stack)


async def _speed(url: str, stack: AsyncExitStack) -> Wait:
    return await _neuralbox(url, stack, transport="aiohttp")


async def _listing(url: str, stack: AsyncExitStack) -> Wait:
    from neuralbox import Polling

    return await _neuralbox(url, stack, polling=Polling(detail="listing"))


# Loops written by hand.


async def _httpx(url: str, stack: AsyncExitStack) -> Wait:
    import httpx

    # With its own limit of 5 s for the pool 1,000 polls at once do not all get through; a loop that works has none.
    client = await stack.enter_async_context(httpx.AsyncClient(timeout=httpx.Timeout(60.0, pool=None)))

    async def one() -> object:
        reply = await client.post(f"{url}/api/v2/generate", json={"model": "wan-2.1", "prompt": PROMPT})
        job = reply.json()
        while job["status"] == "pending":
            await asyncio.sleep(PAUSE)
            job = (await client.get(f"{url}/api/v2/generate/{job['id']}")).json()
        return job["id"]

    return each(one)


async def _aiohttp(url: str, stack: AsyncExitStack) -> Wait:
    import aiohttp

    session = await stack.enter_async_context(aiohttp.ClientSession())

    async def one() -> object:
        async with session.post(f"{url}/api/v2/generate", json={"model": "wan-2.1", "prompt": PROMPT}) as reply:
            job = json.loads(await reply.read())
        while job["status"] == "pending":
            await asyncio.sleep(PAUSE)
            async with session.get(f"{url}/api/v2/generate/{job['id']}") as reply:
                job = json.loads(await reply.read())
        return job["id"]

    return each(one)


# The peers. They are no dependencies, so the type checkers must not miss them.


async def _openai(url: str, stack: AsyncExitStack) -> Wait:
    client = await stack.enter_async_context(import_module("openai").AsyncOpenAI(api_key="sk-benchmark", base_url=url))
    warnings.simplefilter("ignore", DeprecationWarning)  # openai 3 says of its video endpoints that they will end

    async def one() -> object:
        return (await client.videos.create_and_poll(model="sora-2", prompt=PROMPT)).id

    return each(one)


async def _runway(url: str, stack: AsyncExitStack) -> Wait:
    client = await stack.enter_async_context(import_module("runwayml").AsyncRunwayML(api_key="key", base_url=url))

    async def one() -> object:
        task = await client.text_to_video.create(model="gen4.5", prompt_text=PROMPT, duration=5, ratio="1280:720")
        return (await task.wait_for_task_output()).id

    return each(one)


async def _replicate(url: str, stack: AsyncExitStack) -> Wait:  # noqa: ARG001 - its client cannot be closed
    client = import_module("replicate").Client(api_token="key", base_url=url)

    async def one() -> object:
        prediction = await client.predictions.async_create(version="0" * 64, input={"prompt": PROMPT})
        await prediction.async_wait()
        return prediction.id if prediction.status == "succeeded" else None

    return each(one)


async def _replicate_run(url: str, stack: AsyncExitStack) -> Wait:  # noqa: ARG001
    client = import_module("replicate").Client(api_token="key", base_url=url)

    async def one() -> object:
        # It returns the file alone, whose name in this benchmark is the job's.
        output = await client.async_run("owner/model", input={"prompt": PROMPT}, use_file_output=False)
        return str(output).rpartition("/")[2].removesuffix(".mp4")

    return each(one)


async def _fal(url: str, stack: AsyncExitStack) -> Wait:  # noqa: ARG001 - its client cannot be closed
    os.environ["FAL_QUEUE_RUN_HOST"] = url.removeprefix("http://")  # read when it is imported
    inner: Any = import_module("fal_client.client")
    inner.QUEUE_URL_FORMAT = f"{url}/"  # it knows https only
    client = inner.AsyncClient(key="key")

    async def one() -> object:
        return (await client.subscribe("fal/video", arguments={"prompt": PROMPT}))["request_id"]

    return each(one)


PEERS: Final = MappingProxyType(
    {
        peer.name: peer
        for peer in (
            Peer("neuralbox", "neuralbox", "generations.wait", _default, 10_000, 9),
            Peer('neuralbox, transport="aiohttp"', "neuralbox", "generations.wait", _speed, 10_000, 9),
            Peer('neuralbox, detail="listing"', "neuralbox", "generations.wait", _listing, 10_000, 9),
            Peer("aiohttp by hand", "aiohttp", "a poll every 5 s", _aiohttp, 10_000, 9),
            Peer("httpx by hand", "httpx", "a poll every 5 s", _httpx),
            Peer("runwayml", "runwayml", "wait_for_task_output, 4.5-7.5 s", _runway),
            Peer("openai", "openai", "videos.create_and_poll, 1 s", _openai, 1_000),
            Peer("replicate async_create", "replicate", "prediction.async_wait, 0.5 s", _replicate, 100),
            Peer("replicate async_run", "replicate", "held 60 s, then every 0.5 s", _replicate_run, 100),
            Peer("fal-client", "fal-client", "subscribe, 0.1 s", _fal, 100),
        )
    }
)

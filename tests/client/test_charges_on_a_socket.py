"""Many purchases over a real socket, a tenth of whose answers get lost: as many charges as results, and no exception.

Time runs a hundred times as fast and more, for the client and for the sandbox, so that nobody waits for a listing to settle.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import anyio
import pytest

from neuralbox import AsyncNeuralBox
from neuralbox._core.exchange import TimeSource
from neuralbox._models.generation import Generation
from neuralbox._submissions.registry import registry_of
from neuralbox.sandbox import Sandbox, serve
from tests.helpers import in_turn

pytestmark = [pytest.mark.anyio, pytest.mark.uncovered]

FAULTS = (
    "drop-after-accept",
    "reset-after-accept",
    "cut-answer",
    "garbled-json",
    "error-500-after-accept",
    "error-502-after-accept",
    "error-504-after-accept",
    "hang",
    "drop-before-accept",
)
BUY: dict[str, Callable[[AsyncNeuralBox, int], Awaitable[Any]]] = {
    "images": lambda nb, number: nb.images.create(model="dall-e-3", prompt=f"Fox {number}"),
    "equal images": lambda nb, number: nb.images.create(model="dall-e-3", prompt="Fox"),
    "videos": lambda nb, number: nb.videos.submit(model="kling-v2.1", prompt=f"Fox {number}"),
    "texts": lambda nb, number: nb.text.create(model="gpt-5", prompt=f"Greet {number}"),
    "turns": lambda nb, number: nb.text.create(model="gpt-5", messages=[{"role": "user", "content": f"Say {number}"}]),
    "streams": lambda nb, number: streamed(nb, f"Greet {number}"),
    "speech": lambda nb, number: nb.speech.create(model="openai-tts", text=f"Hello {number}"),
    "music": lambda nb, number: nb.music.create(model="musicgen", prompt=f"Song {number}"),
    "uploads": lambda nb, number: nb.transcriptions.create(audio=b"ID3%d" % number, file_name=f"{number}.mp3"),
}


async def streamed(nb: AsyncNeuralBox, prompt: str) -> Generation:
    async with nb.text.stream(model="gpt-5", prompt=prompt) as stream:
        return await stream.collect()


class Fast:
    """A clock that runs `speed` times as fast as the machine's."""

    def __init__(self, speed: float) -> None:
        self.speed, self.since, self.began = speed, time.time(), time.monotonic()

    def clock(self) -> float:
        return time.monotonic() * self.speed

    def now(self) -> float:
        return self.since + (time.monotonic() - self.began) * self.speed

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds / self.speed)

    async def wait_until(self, event: anyio.Event, seconds: float) -> None:
        with anyio.move_on_after(seconds / self.speed):
            await event.wait()

    @property
    def time_source(self) -> TimeSource:
        return TimeSource(self.clock, self.now, Random(7).random, self.sleep, self.wait_until)


@contextmanager
def shop(speed: float = 100.0, **settings: Any) -> Iterator[tuple[Sandbox, Callable[..., AsyncNeuralBox]]]:
    """A sandbox and a maker of clients with the same fast clock."""
    fast = Fast(speed)

    class Client(AsyncNeuralBox):
        _clockwork = fast.time_source

    with serve(Sandbox(clock=fast.now, balance=1_000_000, seed=7, **settings)) as server:

        def client(**options: Any) -> AsyncNeuralBox:
            return Client(api_key="nb_test", base_url=server.url, trust_env=False, **options)

        yield server.sandbox, client


async def buy(sandbox: Sandbox, nb: AsyncNeuralBox, what: str, number: int) -> None:
    """Buy so many at once; every one must be delivered, none be made twice."""
    delivered: list[int | str] = []

    async def one(index: int) -> None:
        delivered.append((await BUY[what](nb, index)).id)

    async with nb, anyio.create_task_group() as group:
        for index in range(number):
            group.start_soon(one, index)
    made = sandbox.ledger.generations
    assert len(made) == number
    assert sorted(map(str, delivered)) == sorted(map(str, made))
    assert registry_of(nb._core).unresolved == ()


@pytest.mark.parametrize(("anyio_backend", "fault"), in_turn(FAULTS))
async def test_as_many_charges_as_results_whatever_is_lost(fault: str) -> None:
    with shop() as (sandbox, client):
        sandbox.faults.set(f"{fault}@POST /generate", 0.1)
        await buy(sandbox, client(timeout=0.3 if fault == "hang" else 20.0), "images", 40)


@pytest.mark.parametrize(("anyio_backend", "what"), in_turn(BUY))
async def test_every_kind_is_charged_once(what: str) -> None:
    # Equal requests wait for one another, and an equal one in flight is not waited for longer than an answer may take.
    with shop(100.0 if what == "equal images" else 250.0, dialect="B", history="page") as (sandbox, client):
        route = "POST /stt" if what == "uploads" else "POST /generate"
        for fault, value in (("reset-after-accept", 0.2), ("drop-before-accept", 0.1), ("listing-lag", 3.0)):
            sandbox.faults.set(f"{fault}@{route}", value)
        await buy(sandbox, client(), what, 16)

"""Archives over real sockets: the sandbox's own results, ended at random moments and run again, and its retention."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from neuralbox._client import AsyncNeuralBox
from neuralbox._config import Polling
from neuralbox.geminigen import AsyncGeminiGen
from neuralbox.sandbox import Sandbox, Server, serve
from neuralbox.sync import NeuralBox
from tests.archive.support import mirror_of, names_in

pytestmark = pytest.mark.anyio

KEY = "nb_plan_vip_archive"
DAY = 86_400


class Clock:
    """The sandbox's clock, which a test may put forward."""

    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> float:
        return time.time() + self.passed


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def server(clock: Clock) -> Iterator[Server]:
    with serve(Sandbox(speed=2_000, clock=clock, enforce_limits=False)) as running:
        yield running


def client(server: Server, key: str = KEY) -> AsyncNeuralBox:
    polling = Polling(timeout=20, min_interval=0.05, max_interval=0.1)
    return AsyncNeuralBox(api_key=key, base_url=server.url, polling=polling, trust_env=False)


async def made(nb: AsyncNeuralBox, images: int) -> set[str]:
    """Make some results of several kinds; return their ids and parts."""
    ids = set()
    for number in range(images):
        ids.add(f"{(await nb.images.create(model='dall-e-3', prompt=f'City {number}')).id}/file")
        ids.add(f"{(await nb.text.create(model='gpt-5', prompt=f'City {number}')).id}/text")
    ids.add(f"{(await nb.speech.create(model='openai-tts', text='Hello')).id}/file")
    return ids


async def test_runs_that_end_at_random_moments_leave_one_right_mirror(
    server: Server, tmp_path: Path, anyio_backend_name: str
) -> None:
    dice = random.Random(7)
    async with client(server, f"{KEY}_{anyio_backend_name}_cut") as nb:
        expected = await made(nb, 6)
        ended = 0
        for attempt in range(12):
            directory = tmp_path / str(attempt % 3)
            with anyio.move_on_after(dice.uniform(0.002, 0.06)) as scope:
                await nb.history.archive(directory, concurrency=3)
            ended += scope.cancelled_caught
            if (directory / "manifest.jsonl").exists():
                mirror_of(directory)
        assert ended
        for number in range(3):
            done = await nb.history.archive(tmp_path / str(number), concurrency=3, verify=True)
            assert (done.failed, done.saved + done.kept) == (0, len(expected))
            assert set(mirror_of(tmp_path / str(number))) == expected


async def test_what_the_storage_drops_is_noted_and_what_was_saved_stays(
    server: Server, tmp_path: Path, clock: Clock, anyio_backend_name: str
) -> None:
    async with client(server, f"{KEY}_{anyio_backend_name}_old") as nb:
        first = await made(nb, 1)
        await nb.history.archive(tmp_path / "early")
        clock.passed += 100 * DAY  # vip keeps files for 90 days
        second = await made(nb, 1)
        late = await nb.history.archive(tmp_path / "late")
        early = await nb.history.archive(tmp_path / "early")
    assert (late.expired, late.failed) == (2, 0)
    assert (early.expired, early.saved, early.kept) == (0, len(second), len(first))
    assert set(mirror_of(tmp_path / "early")) == first | second
    assert set(mirror_of(tmp_path / "late")) == second | {one for one in first if one.endswith("text")}


@pytest.mark.uncovered
async def test_geminigens_history_is_mirrored_and_its_jobs_are_waited_for_together(
    server: Server, tmp_path: Path, anyio_backend_name: str
) -> None:
    key = f"{KEY}_{anyio_backend_name}_gemini"
    polling = Polling(timeout=20, min_interval=0.05, max_interval=0.1)
    async with (
        client(server, key) as nb,
        AsyncGeminiGen(api_key=key, base_url=server.url, polling=polling, trust_env=False) as gg,
    ):
        for number in range(3):
            await nb.videos.submit(model="kling-v2.1", prompt=f"Boat {number}", duration=5)
        items = [item async for item in gg.history.list()]
        films = await gg.history.wait([items[0], items[1].ref, items[2].uuid, gg.job(items[0])])
        assert [film.uuid for film in films] == [items[0].uuid, items[1].uuid, items[2].uuid, items[0].uuid]
        assert all(film.is_completed and film.generated_video[0].video_url for film in films)
        done = await gg.history.archive(tmp_path)
        assert (done.saved, len(mirror_of(tmp_path))) == (3, 3)
        assert (await gg.history.export(tmp_path / "history.csv")).items == 3


def test_the_blocking_client_does_the_same(server: Server, tmp_path: Path) -> None:
    told: list[int] = []
    with NeuralBox(api_key=f"{KEY}_blocking", base_url=server.url, trust_env=False) as nb:
        nb.text.create(model="gpt-5", prompt="Say")
        done = nb.history.archive(tmp_path / "mirror", on_progress=lambda progress: told.append(progress.saved))
        assert (done.saved, told[-1], len(names_in(done.directory))) == (1, 1, 1)
        assert nb.history.export(tmp_path / "h.jsonl").items == 1
        assert len([*nb.history.list(prefetch=4)]) == 1

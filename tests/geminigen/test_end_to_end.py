"""The whole client against the sandbox on a real socket: what NeuralBox's endpoints made is GeminiGen's history there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from neuralbox import _errors as errors
from neuralbox._client import AsyncNeuralBox
from neuralbox._config import Polling
from neuralbox.geminigen import AsyncGeminiGen, HistoryItem
from neuralbox.sandbox import Sandbox, Server, serve
from neuralbox.testing import FastTime, using

pytestmark = pytest.mark.anyio

KEY = "nb_live_planted-key"
QUICK = Polling(timeout=20, min_interval=0.05, max_interval=0.1)


@pytest.fixture
def server() -> Iterator[Server]:
    with serve(Sandbox(speed=400)) as running:
        yield running


def gemini(server: Server, key: str = KEY) -> AsyncGeminiGen:
    return AsyncGeminiGen(api_key=key, base_url=server.url, polling=QUICK, trust_env=False)


async def test_what_was_made_is_listed_asked_for_waited_for_and_downloaded(server: Server, tmp_path: Path) -> None:
    async with (
        AsyncNeuralBox(api_key=KEY, base_url=server.url, polling=QUICK, trust_env=False) as nb,
        gemini(server) as gg,
    ):
        image = await nb.images.create(model="dall-e-3", prompt="A city")
        speech = await nb.speech.create(model="openai-tts", text="Hello there")
        await nb.text.create(model="gpt-5", prompt="Not of that history")
        await nb.videos.submit(model="kling-v2.1", prompt="A boat", duration=5)

        pending, spoken, drawn = [item async for item in gg.history.list(items_per_page=2)]
        assert [item.kind for item in (pending, spoken, drawn)] == ["video", "audio", "image"]
        assert (drawn.input_text, drawn.url, drawn.assets[0].url) == ("A city", image.url, image.url)
        assert (spoken.url, spoken.used_credit) == (speech.url, speech.tokens)
        assert [item.uuid async for item in gg.history.list(filter_by="image")] == [drawn.uuid]

        job = gg.job(pending)
        film = await job.wait()
        assert (film.id, film.kind, film.is_completed) == (pending.uuid, "video", True)
        item = await gg.history.get(pending.uuid)
        assert item == HistoryItem.read(item.raw)
        (video,) = item.generated_video
        assert (video.video_url, video.duration, video.aspect_ratio, item.generated_image) == (film.url, 5, "16:9", ())
        assert item.updated_at is not None
        assert item.created_at is not None
        assert item.updated_at > item.created_at

        path = await gg.files.download(item.to_generation(), tmp_path)
        assert path == tmp_path / f"{item.uuid}.mp4"
        assert b"ftyp" in path.read_bytes()[:12]
        assert await gg.files.read(item.preview_url or "")
        with pytest.raises(errors.NotFoundError):
            await gg.history.get("c558a44c-c91c-11f0-98b4-0242ac120004")

    received = server.sandbox.ledger.received
    asked = [one for one in received if one.path.startswith("/uapi/v1/")]
    assert all(one.headers["x-api-key"] == KEY and "authorization" not in one.headers for one in asked)
    fetched = [one for one in received if one.path.startswith("/storage/")]
    assert len(fetched) == 2
    assert all("x-api-key" not in one.headers and "authorization" not in one.headers for one in fetched)
    assert {one.route for one in asked} == {"GET /histories", "GET /history/{uuid}"}


async def test_jobs_are_waited_for_together(server: Server) -> None:
    async with (
        AsyncNeuralBox(api_key=KEY, base_url=server.url, trust_env=False) as nb,
        gemini(server) as gg,
    ):
        for number in range(12):
            await nb.videos.submit(model="kling-v2.1", prompt=f"Boat {number}")
        items = [item async for item in gg.history.list()]
        finished: list[str] = []

        async def wait(item: HistoryItem) -> None:
            finished.append(str((await gg.job(item.uuid).wait()).id))

        async with anyio.create_task_group() as group:
            for item in items:
                group.start_soon(wait, item)
        assert sorted(finished) == sorted(item.uuid for item in items)
        assert len(finished) == 12


async def test_keys_that_are_none_end_as_authentication_errors(server: Server) -> None:
    async with gemini(server, "geminiai-") as gg:
        with pytest.raises(errors.AuthenticationError) as caught:
            await gg.history.list()
        assert (caught.value.status_code, caught.value.code) == (404, "API_KEY_NOT_FOUND")
        with pytest.raises(errors.AuthenticationError):
            await gg.job("u").wait()
    async with gemini(server, "geminiai-of-its-own") as gg:
        assert [item async for item in gg.history.list()] == []


async def test_faults_on_the_way_are_survived(server: Server) -> None:
    with using(FastTime()):  # each is asked for again after a pause
        nb, gg = AsyncNeuralBox(api_key=KEY, base_url=server.url, trust_env=False), gemini(server)
    async with nb, gg:
        for number in range(3):
            await nb.images.create(model="dall-e-3", prompt=f"City {number}")
        for fault in ("error-500", "html-502", "drop-before-accept"):
            server.sandbox.faults.set(f"{fault}@GET /histories", 1.0, times=1)
            items = [item async for item in gg.history.list(items_per_page=2)]
            assert len(items) == 3
        (first, *_) = await gg.history.list()
        server.sandbox.faults.set("garbled-json@GET /history/{uuid}", 1.0, times=1)
        assert (await gg.history.get(first)).is_completed  # asked for again, as what was cut is

"""The public API as users write it: type-checked by mypy and pyright, never run.

Each `assert_type` is a promise to users' editors and checkers; a change here is a change they see.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import assert_type

from pydantic import BaseModel

from neuralbox import (
    APIStatusError,
    AsyncNeuralBox,
    ContentDelta,
    Generation,
    GenerationTimeoutError,
    Job,
    JobRef,
    Message,
    NeuralBoxError,
    Page,
    Polling,
    RateLimitError,
    Session,
    StreamEvent,
    TextStream,
    Timeout,
    image_part,
)


class Harbour(BaseModel):
    name: str


async def generating(nb: AsyncNeuralBox) -> None:
    assert_type(await nb.generate.create(model="dall-e-3", prompt="", params={"size": "1024x1024"}), Generation)
    assert_type(await nb.text.create(model="a model of tomorrow", prompt=""), Generation)
    assert_type(await nb.text.create(messages=[{"role": "user", "content": ""}], max_tokens=None), Generation)
    assert_type(await nb.text.create(model="gpt-5", prompt="", schema=Harbour, repair=1), Harbour)
    assert_type(await nb.text.create(model="gpt-5", prompt="", schema=list[Harbour], timeout=5.0), list[Harbour])
    assert_type((await nb.with_raw_response.text.create(model="gpt-5", prompt="")).value, Generation)
    assert_type((await nb.with_raw_response.text.create(model="gpt-5", prompt="", schema=Harbour)).value, Harbour)
    await nb.text.create(model="gpt-5", prompt="", schema=Harbour, repair=2)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await nb.text.create(model="gpt-5", messages=[{"role": "user", "content": [image_part("harbour.jpg")]}])
    turns: list[Message] = [{"role": "user", "content": ""}]
    seen: Message = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.test"}}]}
    assert_type(await nb.text.create(messages=[*turns, seen]), Generation)
    await nb.text.create(messages=[{"role": "robot", "content": ""}])  # type: ignore[typeddict-item]  # pyright: ignore[reportArgumentType]
    await nb.text.create(messages=[{"role": "user", "content": [{"type": "text"}]}])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    assert_type(await nb.images.create(model="flux-1.1-pro", prompt="", seed=7, wait_timeout=None), Generation)
    assert_type(await nb.images.submit(model="midjourney-v6", prompt="", size="16:9"), Job)
    assert_type(await nb.videos.submit(model="kling-v2.1", prompt="", duration=5), Job)
    assert_type(await nb.speech.create(model="openai-tts", text="", format="mp3", timeout=5.0), Generation)
    assert_type(await nb.transcriptions.create(audio=Path("talk.mp3")), Generation)
    assert_type(await nb.transcriptions.create(audio=b"", file_name="talk.mp3"), Generation)
    assert_type(await nb.music.submit(model="musicgen", prompt="", duration=15), Job)


async def reading(generation: Generation) -> None:
    assert_type(generation.id, int | str)
    assert_type(generation.status, str)
    assert_type(generation.url, str | None)
    assert_type(generation.tokens, int | None)
    assert_type(generation.is_final, bool)
    assert_type(generation.ref, JobRef)


async def streaming(nb: AsyncNeuralBox) -> None:
    async with nb.text.stream(model="gpt-5", prompt="") as stream:
        async for delta in stream:
            assert_type(delta, str)
    assert_type(stream.result, Generation)
    async with nb.text.stream(model="gpt-5", prompt="") as stream:
        async for event in stream.events():
            assert_type(event, StreamEvent)
            if isinstance(event, ContentDelta):
                assert_type(event.text, str)


async def waiting(nb: AsyncNeuralBox, error: GenerationTimeoutError) -> None:
    job = nb.job(18500)
    assert_type(job, Job)
    assert_type(nb.job("gen_01j9x2abc123"), Job)
    assert_type(await job.wait(timeout=None, on_progress=lambda seen: None), Generation)
    assert_type(await job.refresh(), Generation)
    async for seen in job.watch():
        assert_type(seen, Generation)
    assert_type(await nb.generations.wait([18500, "gen_01", job, job.ref]), Sequence[Generation])
    if error.job is not None:
        nb.job(error.job)


async def listing(nb: AsyncNeuralBox) -> None:
    page = await nb.history.list(type="image", model="dall-e-3", max_items=5)
    assert_type(page.total, int | None)
    for item in page.items:
        assert_type(item, Generation)
    async for item in nb.history.list():
        assert_type(item, Generation)
    async for page in nb.history.list().pages():
        for item in page.items:
            assert_type(item, Generation)


async def the_rest(nb: AsyncNeuralBox, generation: Generation) -> None:
    assert_type(await nb.files.download(generation, "out/"), Path)
    assert_type((await nb.account.balance()).token_balance, int | None)
    assert_type((await nb.account.limits()).hour.remaining, int | None)
    assert_type((await nb.models.price("dall-e-3", size="1792x1024")).token_cost, int | None)
    copy = nb.with_options(timeout=Timeout(read=5.0), polling=Polling(timeout=None), max_retries=0)
    assert_type(copy, AsyncNeuralBox)
    async with nb.with_raw_response.text.stream(model="gpt-5", prompt="") as raw:
        assert_type(raw.value, TextStream)
    assert_type((await nb.with_raw_response.generations.wait([1])).value, Sequence[Generation])
    assert_type((await nb.with_raw_response.history.list()).value, Page[Generation])
    reply = await nb.request("GET", "/user/history", params={"limit": 1})
    assert_type(reply.status_code, int)
    AsyncNeuralBox(session=Session(), base_url="http://127.0.0.1:8765", timeout=None)


def failing(error: NeuralBoxError) -> None:
    assert_type(error.job, JobRef | None)
    if isinstance(error, APIStatusError):
        assert_type(error.status_code, int)
        assert_type(error.code, str | None)
    if isinstance(error, RateLimitError):
        assert_type(error.retry_after, float | None)

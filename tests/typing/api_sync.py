"""The blocking client as users write it: type-checked by mypy and pyright, never run.

Each `assert_type` is a promise to users' editors and checkers; a change here is a change they see. What has no example
in the client yet - generic methods, `Self` in a subclass - is held by tests/codegen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import assert_type

from pydantic import BaseModel

from neuralbox import (
    ContentDelta,
    Generation,
    GenerationTimeoutError,
    JobRef,
    NeuralBox,
    Page,
    Polling,
    RawResponse,
    Session,
    StreamEvent,
    Timeout,
)
from neuralbox.sync import Items, Job, Pager, TextStream
from neuralbox.sync import NeuralBox as SameNeuralBox


class Harbour(BaseModel):
    name: str


class Ours(NeuralBox):
    """A client of one's own."""


def generating(nb: NeuralBox) -> None:
    assert_type(nb.generate.create(model="dall-e-3", prompt="", params={"size": "1024x1024"}), Generation)
    assert_type(nb.text.create(messages=[{"role": "user", "content": ""}], max_tokens=None), Generation)
    assert_type(nb.images.create(model="flux-1.1-pro", prompt="", seed=7, wait_timeout=None), Generation)
    assert_type(nb.images.submit(model="midjourney-v6", prompt="", size="16:9"), Job)
    assert_type(nb.videos.submit(model="kling-v2.1", prompt="", duration=5), Job)
    assert_type(nb.speech.create(model="openai-tts", text="", format="mp3", timeout=5.0), Generation)
    assert_type(nb.transcriptions.create(audio=b"", file_name="talk.mp3"), Generation)
    assert_type(nb.music.submit(model="musicgen", prompt="", duration=15), Job)
    assert_type(nb.text.create(model="gpt-5", prompt="", schema=Harbour, repair=1), Harbour)
    assert_type(nb.with_raw_response.text.create(model="gpt-5", prompt="").value, Generation)
    assert_type(nb.with_raw_response.text.create(model="gpt-5", prompt="", schema=list[Harbour]).value, list[Harbour])
    nb.text.create(model="gpt-5", prompt="", wrong=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def streaming(nb: NeuralBox) -> None:
    with nb.text.stream(model="gpt-5", prompt="") as stream:
        assert_type(stream, TextStream)
        for delta in stream:
            assert_type(delta, str)
    assert_type(stream.result, Generation)
    assert_type(stream.job, JobRef | None)
    assert_type(stream.collect(), Generation)
    assert_type(next(iter(stream)), str)
    with nb.text.stream(model="gpt-5", prompt="") as stream:
        for event in stream.events():
            assert_type(event, StreamEvent)
            if isinstance(event, ContentDelta):
                assert_type(event.text, str)


def waiting(nb: NeuralBox, error: GenerationTimeoutError) -> None:
    job = nb.job(18500)
    assert_type(job, Job)
    assert_type(job.ref, JobRef)

    def tell(seen: Generation) -> None:
        assert_type(seen, Generation)

    assert_type(job.wait(timeout=None, on_progress=tell), Generation)
    assert_type(job.refresh(), Generation)
    assert_type(job.watch(), Items[Generation])
    with job.watch(timeout=5.0) as states:
        for seen in states:
            assert_type(seen, Generation)
    assert_type(nb.generations.wait([18500, "gen_01", job, job.ref], on_progress=tell), Sequence[Generation])
    if error.job is not None:
        nb.job(error.job)


def listing(nb: NeuralBox) -> None:
    pager = nb.history.list(type="image", model="dall-e-3", max_items=5)
    assert_type(pager, Pager[Generation])
    assert_type(pager.first_page(), Page[Generation])
    for item in pager:
        assert_type(item, Generation)
    for page in pager.pages():
        assert_type(page, Page[Generation])


def the_rest(nb: NeuralBox, ours: Ours, generation: Generation) -> None:
    assert_type(nb.files.download(generation, "out/", on_progress=lambda received, total: None), Path)
    assert_type(nb.files.read(nb.job(1)), bytes)
    assert_type(nb.account.balance().token_balance, int | None)
    assert_type(nb.account.limits().hour.remaining, int | None)
    assert_type(nb.models.price("dall-e-3", size="1792x1024").token_cost, int | None)
    assert_type(nb.with_options(timeout=Timeout(read=5.0), polling=Polling(timeout=None), max_retries=0), NeuralBox)
    assert_type(ours.with_options(max_retries=0), Ours)
    assert_type(nb.request("GET", "/user/history", params={"limit": 1}), RawResponse[bytes])
    assert_type(nb.with_raw_response.videos.submit(model="kling-v2.1", prompt="").value, Job)
    assert_type(nb.with_raw_response.history.list().value, Page[Generation])
    assert_type(nb.with_raw_response.files.download(generation, "out/").value, Path)
    with nb.with_raw_response.text.stream(model="gpt-5", prompt="") as raw:
        assert_type(raw.value, TextStream)
    with SameNeuralBox(session=Session(), base_url="http://127.0.0.1:8765", timeout=None) as same:
        assert_type(same, NeuralBox)

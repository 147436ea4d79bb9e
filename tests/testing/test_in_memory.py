"""The sandbox in this process: jobs in no real time, every fault, real files; nothing reaches a socket."""

from __future__ import annotations

import time as real_time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest

from neuralbox import (
    APITimeoutError,
    AsyncNeuralBox,
    ConnectionLostError,
    NeuralBox,
    NeuralBoxError,
    NotFoundError,
    ProviderError,
    SubmissionUnknownError,
)
from neuralbox.geminigen import AsyncGeminiGen
from neuralbox.testing import RunningSandbox, VirtualTime, in_memory, using
from neuralbox.testing._memory import MemoryTransport

pytestmark = pytest.mark.anyio


async def test_twenty_videos_of_minutes_take_no_real_time(neuralbox_in_memory: RunningSandbox) -> None:
    before = real_time.monotonic()
    async with AsyncNeuralBox() as nb:
        jobs = [await nb.videos.submit(model="kling-v2.1", prompt=f"Wave {number}") for number in range(20)]
        videos = await nb.generations.wait(jobs)
    assert all(video.is_completed for video in videos)
    assert isinstance(neuralbox_in_memory.time, VirtualTime)
    assert neuralbox_in_memory.time.elapsed > 30
    assert real_time.monotonic() - before < 10
    neuralbox_in_memory.assert_nothing_left_open()


async def test_the_clients_of_a_sandbox_live_in_its_time_whatever_else_runs(
    neuralbox_in_memory: RunningSandbox,
) -> None:
    other = VirtualTime()
    with using(other):
        async with neuralbox_in_memory.client() as nb:
            await nb.videos.create(model="kling-v2.1", prompt="A wave", duration=5)
        with neuralbox_in_memory.sync_client() as blocking:
            blocking.videos.create(model="kling-v2.1", prompt="Another wave", duration=5)
    assert (other.elapsed, neuralbox_in_memory.time.elapsed > 60) == (0, True)


async def test_one_sandbox_inside_anothers_block_is_another(neuralbox_in_memory: RunningSandbox) -> None:
    with in_memory() as inner, in_memory() as innermost:
        for number, running in enumerate((neuralbox_in_memory, inner, innermost)):
            async with running.client() as nb:
                await nb.text.create(model="gpt-5-nano", prompt=f"Hello {number}")
    with in_memory() as later:
        assert later.url == inner.url != neuralbox_in_memory.url
    for number, running in enumerate((neuralbox_in_memory, inner, innermost)):
        assert [made.prompt for made in running.generations()] == [f"Hello {number}"]


async def test_a_file_is_fetched_whole(neuralbox_in_memory: RunningSandbox, tmp_path: Path) -> None:
    async with neuralbox_in_memory.client() as nb:
        image = await nb.images.create(model="flux-1.1-pro", prompt="A city", format="png")
        await nb.files.download(image, tmp_path / "city.png")
    assert (tmp_path / "city.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("fault", ["drop-after-accept", "reset-after-accept", "cut-answer", "hang"])
async def test_a_lost_answer_is_unknown(neuralbox_in_memory: RunningSandbox, fault: str) -> None:
    neuralbox_in_memory.fault(fault, on="POST /generate")
    async with neuralbox_in_memory.client(submission="raise") as nb:
        with pytest.raises(SubmissionUnknownError):
            await nb.images.create(model="dall-e-3", prompt="A city")
    neuralbox_in_memory.charged_once(prompt="A city")
    neuralbox_in_memory.assert_nothing_left_open()


@pytest.mark.parametrize(
    ("fault", "error"), [("drop-before-accept", ConnectionLostError), ("error-500", ProviderError)]
)
async def test_what_fails_before_anything_happens_costs_nothing(
    neuralbox_in_memory: RunningSandbox, fault: str, error: type[NeuralBoxError]
) -> None:
    neuralbox_in_memory.fault(fault, on="/balance")
    async with neuralbox_in_memory.client(max_retries=0) as nb:
        with pytest.raises(error):
            await nb.account.balance()
    neuralbox_in_memory.assert_charged(0)


async def test_a_silent_sandbox_is_a_time_out_in_virtual_time(neuralbox_in_memory: RunningSandbox) -> None:
    neuralbox_in_memory.fault("hang", on="GET /balance")
    async with neuralbox_in_memory.client(max_retries=0, timeout=50.0) as nb:
        with pytest.raises(APITimeoutError):
            await nb.account.balance()
    assert isinstance(neuralbox_in_memory.time, VirtualTime)
    assert neuralbox_in_memory.time.elapsed == 50


async def test_without_a_limit_an_answer_is_waited_for(neuralbox_in_memory: RunningSandbox) -> None:
    async with neuralbox_in_memory.client(timeout=None) as nb:
        assert (await nb.account.balance()).token_balance == 100_000


async def test_a_stream_comes_whole_and_a_cut_one_is_completed(neuralbox_in_memory: RunningSandbox) -> None:
    async with neuralbox_in_memory.client() as nb:
        for times in (0, 1):
            neuralbox_in_memory.fault("cut-stream", times=times)
            async with nb.text.stream(model="gpt-5", prompt=f"Hello {times}") as stream:
                text = "".join([piece async for piece in stream])
            assert text == stream.result.text
            neuralbox_in_memory.charged_once(prompt=f"Hello {times}")
    neuralbox_in_memory.assert_nothing_left_open()


async def test_a_stream_left_early_is_closed_and_what_is_open_is_told(neuralbox_in_memory: RunningSandbox) -> None:
    async with neuralbox_in_memory.client() as nb, nb.text.stream(model="gpt-5", prompt="Hello") as stream:
        assert await anext(aiter(stream))
        assert neuralbox_in_memory._left_open() == "1 connections"
    neuralbox_in_memory.assert_nothing_left_open()


async def test_what_closes_a_moment_later_gets_that_moment(
    neuralbox_in_memory: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["1 connections", "1 connections", ""])
    monkeypatch.setattr(neuralbox_in_memory, "_left_open", lambda: next(answers))
    neuralbox_in_memory.assert_nothing_left_open()
    assert [*answers] == []


async def test_an_upload_arrives(neuralbox_in_memory: RunningSandbox) -> None:
    async with neuralbox_in_memory.client() as nb:
        assert (await nb.transcriptions.create(audio=b"ID3" + bytes(500), file_name="talk.mp3")).text


@pytest.mark.neuralbox(dialect="B", balance=7)
async def test_the_mark_sets_the_sandbox_up(neuralbox_in_memory: RunningSandbox) -> None:
    async with AsyncNeuralBox() as nb:
        assert (await nb.account.balance()).token_balance == 7
        assert isinstance((await nb.text.create(model="gpt-5-nano", prompt="Hello")).id, str)


async def test_the_other_service_is_there_too(neuralbox_in_memory: RunningSandbox) -> None:
    async with neuralbox_in_memory.client() as nb:
        await nb.images.create(model="dall-e-3", prompt="A city")
    async with AsyncGeminiGen() as client:
        assert [item.to_generation().prompt async for item in client.history.list()] == ["A city"]


def test_a_blocking_program_needs_no_change(neuralbox_in_memory: RunningSandbox) -> None:
    with NeuralBox() as nb:
        assert nb.videos.create(model="kling-v2.1", prompt="A boat").is_completed
    assert neuralbox_in_memory.sync_client().account.balance().token_balance is not None
    neuralbox_in_memory.charged_once(prompt="A boat")
    neuralbox_in_memory.assert_nothing_left_open()


async def test_requests_to_other_hosts_go_their_way_and_the_way_is_restored() -> None:
    stock = httpx.AsyncHTTPTransport.handle_async_request
    with in_memory() as running:
        async with httpx.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get("http://127.0.0.1:1/")
            assert (await client.get(f"{running.url}/nowhere")).status_code == 404
    assert httpx.AsyncHTTPTransport.handle_async_request is stock


@pytest.mark.parametrize("setting", ["service_seconds", "stream_delay"])
def test_a_setting_that_takes_real_time_is_refused(setting: str) -> None:
    options: dict[str, Any] = {setting: 1.0}
    with pytest.raises(ValueError, match=f"{setting} takes real time"), in_memory(**options):
        pass


def test_a_fault_that_takes_real_time_is_refused_and_a_lag_of_the_list_is_not(
    neuralbox_in_memory: RunningSandbox,
) -> None:
    with pytest.raises(ValueError, match="latency takes real time"):
        neuralbox_in_memory.fault("latency", 0.1)
    neuralbox_in_memory.fault("listing-lag", 5)
    assert neuralbox_in_memory.faults.seconds("listing-lag", "POST /generate") == 5


async def test_a_mistake_of_the_transports_user_leaves_no_exchange_open() -> None:
    with in_memory() as running:
        transport = MemoryTransport(running.sandbox, VirtualTime())

        async def broken() -> AsyncIterator[bytes]:
            yield b"{"
            raise RuntimeError("no more")

        async with httpx.AsyncClient(transport=transport) as client:
            with pytest.raises(RuntimeError):
                await client.post(f"{running.url}/api/v2/generate", content=broken())
        assert transport.open == 0


async def test_an_answer_is_closed_once() -> None:
    with in_memory() as running:
        transport = MemoryTransport(running.sandbox, VirtualTime())
        reply = await transport.handle_async_request(httpx.Request("GET", f"{running.url}/nowhere"))
        assert transport.open == 1
        for _ in range(2):
            await reply.stream.aclose()  # type: ignore[union-attr]  # it is the async one
            assert transport.open == 0


async def test_what_does_not_exist_is_not_found(neuralbox_in_memory: RunningSandbox) -> None:
    async with neuralbox_in_memory.client() as nb:
        with pytest.raises(NotFoundError):
            await nb.generations.get(1)


@pytest.mark.parametrize("dialect", ["A", "B"])
@pytest.mark.parametrize("model", ["kling-v2.1", "midjourney-v6"])
async def test_a_faster_sandbox_ends_waits_sooner(dialect: Literal["A", "B"], model: str) -> None:
    with in_memory(speed=20, dialect=dialect) as running:
        async with running.client() as nb:
            await nb.generate.create(model=model, prompt="A paper boat")
        assert isinstance(running.time, VirtualTime)
        assert running.time.elapsed < 10

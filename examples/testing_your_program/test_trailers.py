"""The tests of `trailers.py`: what it does when all goes well, and what it costs when it does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import respx

from neuralbox import GenerationFailedError, RateLimitError
from neuralbox.testing import RunningSandbox, refused

from .trailers import can_afford, trailer


@pytest.mark.anyio
async def test_a_trailer_is_a_video_on_disk_and_leaves_nothing_open(
    neuralbox_in_memory: RunningSandbox, tmp_path: Path
) -> None:
    path = await trailer("The Lighthouse", tmp_path)
    assert path.read_bytes()[4:8] == b"ftyp"
    assert neuralbox_in_memory.charged_once(model="kling-v2.1").tokens > 0
    neuralbox_in_memory.assert_nothing_left_open()


@pytest.mark.anyio
@pytest.mark.parametrize("fault", ["drop-after-accept", "reset-after-accept", "hang"])
async def test_a_lost_answer_is_not_paid_twice(neuralbox_in_memory: RunningSandbox, tmp_path: Path, fault: str) -> None:
    neuralbox_in_memory.fault(fault, times=1)
    await trailer("The Lighthouse", tmp_path)
    neuralbox_in_memory.charged_once(model="gpt-5-nano")
    neuralbox_in_memory.charged_once(model="kling-v2.1")


@pytest.mark.anyio
async def test_a_film_that_fails_costs_nothing(neuralbox_in_memory: RunningSandbox, tmp_path: Path) -> None:
    neuralbox_in_memory.fault("fail-generation", times=1, on="POST /generate")
    with pytest.raises(GenerationFailedError):
        await trailer("The Lighthouse", tmp_path)
    neuralbox_in_memory.assert_charged(0)


@pytest.mark.neuralbox(balance=3)
def test_an_empty_account_cannot_afford_a_picture(neuralbox_sandbox: RunningSandbox) -> None:
    assert not can_afford("The Lighthouse")
    neuralbox_sandbox.assert_charged(0)
    neuralbox_sandbox.assert_nothing_left_open()


@pytest.mark.anyio
async def test_a_limit_that_lasts_an_hour_is_told(neuralbox_mock: respx.MockRouter, tmp_path: Path) -> None:
    neuralbox_mock["generate"].respond(**refused("rate_limit_exceeded", retry_after=3_600))
    with pytest.raises(RateLimitError):
        await trailer("The Lighthouse", tmp_path)
    assert neuralbox_mock["generate"].call_count == 1

"""The sandbox behind a socket: fast time, unchanged programs, faults that take time; and assertions on its ledger."""

from __future__ import annotations

from typing import Any

import pytest

from neuralbox import AsyncNeuralBox, NeuralBox
from neuralbox.testing import FAULTS, RunningSandbox, in_memory, served

pytestmark = pytest.mark.anyio


async def test_a_video_of_minutes_takes_a_moment(neuralbox_sandbox: RunningSandbox) -> None:
    async with AsyncNeuralBox() as nb:
        assert (await nb.videos.create(model="kling-v2.1", prompt="A boat")).is_completed
    neuralbox_sandbox.charged_once(prompt="A boat", model="kling-v2.1")
    neuralbox_sandbox.assert_nothing_left_open()


def test_a_blocking_program_needs_no_change(neuralbox_sandbox: RunningSandbox) -> None:
    with NeuralBox() as nb:
        assert nb.text.create(model="gpt-5", prompt="Hello").text
    assert neuralbox_sandbox.sync_client().account.balance().plan == "elite"
    neuralbox_sandbox.close()
    neuralbox_sandbox.assert_nothing_left_open()


def test_a_connection_that_stays_open_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuralbox.testing._running._MOMENT", 0.0)
    with served() as running:
        assert running.sync_client().account.balance().plan == "elite"
        with pytest.raises(AssertionError, match=r"Left open: 1 connections\. Is every client closed\?"):
            running.assert_nothing_left_open()


def test_a_latency_passes_for_real(neuralbox_sandbox: RunningSandbox) -> None:
    neuralbox_sandbox.fault("latency", 0.001, times=1)
    assert neuralbox_sandbox.sync_client().account.balance().plan == "elite"


@pytest.mark.parametrize("pace", [0, -1, float("nan"), float("inf")])
def test_a_pace_at_which_no_wait_ends_is_refused(pace: float) -> None:
    with pytest.raises(ValueError, match="Time must go at a speed above 0, not "), served(pace=pace):
        raise AssertionError


def test_every_fault_has_a_name_and_a_sentence_and_another_is_refused(neuralbox_sandbox: RunningSandbox) -> None:
    assert "drop-after-accept" in FAULTS
    assert all(FAULTS.values())
    with pytest.raises(ValueError, match="There is no fault 'gremlin'"):
        neuralbox_sandbox.fault("gremlin")


# The ledger.


async def test_an_assertion_that_fails_says_what_the_ledger_shows() -> None:
    with in_memory() as running:
        async with running.client() as nb:
            with pytest.raises(AssertionError, match=r"accepted 0, charged 0 times(.|\n)*nothing was accepted"):
                running.charged_once(prompt="A city")
            for _ in range(2):
                await nb.images.create(model="dall-e-3", prompt="A city")
            with pytest.raises(AssertionError, match=r"\(prompt='A city'\).* accepted 2, charged 2 times"):
                running.charged_once(prompt="A city")
            with pytest.raises(AssertionError, match=r"(?s)\(any\).*18473 dall-e-3 'A city': completed, \d+ tokens"):
                running.charged_once()
            with pytest.raises(AssertionError, match="Expected 1 tokens charged, not "):
                running.assert_charged(1)
            running.assert_charged(running.ledger.charged)
            await nb.videos.submit(model="kling-v2.1", prompt="A boat")
        assert [one.prompt for one in running.generations(model="kling-v2.1")] == ["A boat"]
        with pytest.raises(AssertionError, match="1 generations are pending"):
            running.assert_nothing_left_open()
        with pytest.raises(AssertionError, match="accepted 1, charged 0 times"):
            running.charged_once(prompt="A boat")


def test_a_blocking_call_that_runs_on_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Thread:
        running = frozenset({"a call"})

    class Module:
        thread = Thread

    modules: dict[str, Any] = {"neuralbox.sync._loop": Module}
    monkeypatch.setattr("neuralbox.testing._running._MOMENT", 0.0)
    with in_memory() as running:
        monkeypatch.setattr("neuralbox.testing._running.sys.modules", modules)
        with pytest.raises(AssertionError, match="Left open: 1 blocking calls"):
            running.assert_nothing_left_open()
        modules.clear()
        running.assert_nothing_left_open()

"""A journal, or whoever else asks, is told of a submission before it leaves and what became of it; nobody is told half."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from neuralbox._budget import Budget
from neuralbox._errors import JournalError, NeuralBoxError, SubmissionUnknownError
from neuralbox._resources.text import Text
from neuralbox._resources.videos import Videos
from neuralbox._submissions.matching import SETTLE
from neuralbox._submissions.registry import registry_of
from neuralbox._types import JobRef

from ..service import a_shop
from .support import Notes, buy, draw

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        (["answered"], ["sending", "accepted 18001"]),
        (["dropped after"], ["sending", "accepted 18001"]),
        (["dropped before"], ["sending", "sending", "accepted 18001"]),
        (["500"], ["sending", "sending", "accepted 18001"]),
        (["429"], ["sending", "accepted 18001"]),
        (["402"], ["sending", "refused"]),
        (["never sent"] * 3, ["sending", "refused"]),
        (["500"] * 7, ["sending"] * 3 + ["refused"]),  # an answer, so as often as `max_retries` says
    ],
)
async def test_a_recorder_is_told_before_anything_else_happens(ends: list[str], expected: list[str]) -> None:
    async with a_shop() as shop:
        shop.end_with("answered", *ends)
        core = shop.core()
        await draw(core, "A hen")
        recorder = Notes()
        try:
            await buy(core, recorder)
        except NeuralBoxError:
            assert expected[-1] == "refused"
        assert recorder.notes == expected
        assert len({claim.key for claim in recorder.claims}) == 1
        assert all(claim.lost_at is None and claim.sent_at is not None for claim in recorder.claims)


async def test_a_recorder_of_an_unknown_outcome_hears_nothing_more() -> None:
    async with a_shop() as shop:
        shop.end_with("dropped before")
        recorder = Notes()
        with pytest.raises(SubmissionUnknownError):
            await buy(shop.core(), recorder)
        assert recorder.notes == ["sending"]


async def test_what_cannot_be_written_down_is_not_sent() -> None:
    async with a_shop() as shop:
        shop.price, budget = 4, Budget(10)
        core, recorder = shop.core(budget=budget), Notes("sending")
        with pytest.raises(JournalError):
            await buy(core, recorder)
        assert shop.posts == []
        assert (budget.spent, budget.reserved) == (0, 0)
        assert registry_of(core).pending(recorder.claims[0].key) is None
        assert registry_of(core).unresolved == ()


async def test_what_was_bought_and_cannot_be_written_down_is_told_with_its_job() -> None:
    told: list[JobRef] = []
    async with a_shop() as shop:
        with pytest.raises(JournalError, match="disk is full") as caught:
            await buy(shop.core(), Notes("accepted"), on_accepted=told.append)
        assert caught.value.job == JobRef(18_000, "image", "dall-e-3")
        assert told == [caught.value.job]


@pytest.mark.parametrize(
    ("cancelled_at", "expected", "posts"),
    [(0.2, ["refused"], 0), (0.55, ["sending"], 1), (0.7, ["sending", "accepted 18000"], 1)],
)
async def test_a_cancellation_never_leaves_a_recorder_with_half_the_story(
    cancelled_at: float, expected: list[str], posts: int
) -> None:
    async with a_shop() as shop:
        core = shop.core()
        recorder = Notes(core=core)
        async with anyio.create_task_group() as group:
            group.start_soon(buy, core, recorder)
            await shop.time.sleep(cancelled_at)
            group.cancel_scope.cancel()
        assert recorder.notes == expected
        assert len(shop.posts) == posts
        assert len(registry_of(core).unresolved) == (expected == ["sending"])


@pytest.mark.parametrize("colour", ["plain", "async"])
@pytest.mark.parametrize("end", ["answered", "dropped after"])
async def test_the_job_is_told_as_soon_as_its_id_is_known(colour: str, end: str) -> None:
    async with a_shop() as shop:
        shop.end_with(end)
        told: list[tuple[JobRef, float]] = []

        def plain(ref: JobRef) -> None:
            told.append((ref, shop.time.elapsed))

        async def asynchronous(ref: JobRef) -> None:
            await shop.time.sleep(0.1)
            plain(ref)

        callback: Any = plain if colour == "plain" else asynchronous
        await Videos(shop.core()).create(model="kling-v2.1", prompt="A fox", on_accepted=callback)
        ((ref, at),) = told
        assert ref == JobRef(18_000, "video", "kling-v2.1")
        assert at < 1.0 if end == "answered" else at < SETTLE + 1.0
        assert shop.time.elapsed >= 60.0


async def test_a_cancelled_create_has_handed_out_its_job() -> None:
    told: list[JobRef] = []
    async with a_shop() as shop:

        async def slow(ref: JobRef) -> None:
            await shop.time.sleep(5.0)
            told.append(ref)

        async with anyio.create_task_group() as group:
            group.start_soon(lambda: Videos(shop.core()).create(model="kling-v2.1", prompt="A fox", on_accepted=slow))
            await shop.time.sleep(0.2)  # inside the callback, which ends its work first
            group.cancel_scope.cancel()
        assert told == [JobRef(18_000, "video", "kling-v2.1")]


async def test_a_callback_that_raises_costs_nobody_the_job(caplog: pytest.LogCaptureFixture) -> None:
    def broken(ref: JobRef) -> None:
        raise RuntimeError("no database")

    async with a_shop() as shop:
        answer = await draw(shop.core(), "the planted prompt", on_accepted=broken)
        assert answer.is_completed
    assert "`on_accepted` raised for the job 18000" in caplog.text
    assert "planted" not in caplog.text


async def test_a_result_without_an_id_is_told_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[JobRef] = []
    async with a_shop() as shop:
        monkeypatch.setattr(shop, "record", lambda made: {"content": "Hello"})
        answer = await Text(shop.core()).create(model="gpt-5", prompt="x", on_accepted=told.append)
        assert answer.text == "Hello"
    assert told == []

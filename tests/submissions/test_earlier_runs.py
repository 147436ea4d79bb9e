"""What an earlier run left without an answer is reconciled by the next, which knows it from its journal."""

from __future__ import annotations

from math import inf
from typing import Any

import anyio
import pytest

from neuralbox._config import NO_CALL_OPTIONS
from neuralbox._core.exchange import Attempt
from neuralbox._errors import NeuralBoxError, SubmissionUnknownError
from neuralbox._submissions import submission
from neuralbox._submissions.claim import Claim
from neuralbox._submissions.pending import PendingSubmission
from neuralbox._submissions.reconcile import learn_clock, reconcile
from neuralbox._submissions.registry import registry_of
from tests.helpers import refusal

from ..service import Service, a_shop
from .support import FOX, Notes, buy, draw, image

pytestmark = pytest.mark.anyio


def earlier(shop: Service, **changes: Any) -> Claim:
    kept = {"key": "kept", "kind": "image", "sent_at": shop.time.now(), "server_offset": shop.ahead, **changes}
    return Claim.from_dict(kept)


@pytest.mark.parametrize("known", [True, False])
async def test_a_claim_of_an_earlier_run_is_adopted(known: bool) -> None:
    async with a_shop() as shop:
        shop.ahead = 50.0
        claim = earlier(shop, server_offset=50.0 if known else None)
        shop.make(FOX)
        await shop.time.sleep(3_600.0)
        recorder = Notes()
        answer = await buy(shop.core(), recorder, claim=claim)
        assert answer.id == 18_000
        assert recorder.notes == ["accepted 18000"]
        assert shop.posts == []


@pytest.mark.parametrize(
    ("ago", "lost_at", "waits"),
    [(3_600.0, None, 0.0), (30.0, None, 60.0), (65.0, None, 35.0), (30.0, -29.0, 31.0)],
)
async def test_a_claim_of_an_earlier_run_is_sent_once_it_is_proven_absent(
    ago: float, lost_at: float | None, waits: float
) -> None:
    async with a_shop() as shop:
        claim = earlier(shop, lost_at=None if lost_at is None else shop.time.now() + ago + lost_at)
        core = shop.core(max_retries=0)
        await shop.time.sleep(ago)
        before = shop.time.elapsed

        async def another() -> None:
            await shop.time.sleep(0.0 if ago > 600.0 else 3.0)
            shop.make({"model": "dall-e-3", "prompt": "A hen"})
            registry_of(core).own(18_000, kind="image", prompt="A hen")
            registry_of(core).own(18_000)  # known already

        recorder = Notes()
        async with anyio.create_task_group() as group:
            group.start_soon(another)
            assert (await buy(core, recorder, claim=claim)).id == 18_001
        assert recorder.notes == ["sending", "accepted 18001"]
        assert len(shop.posts) == 1
        assert waits <= shop.time.elapsed - before <= waits + 2.0


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize("step", [-86_400.0, -7.0, 7.0, 3 * 86_400.0])
async def test_a_claim_without_the_services_clock_is_never_bought_again_when_the_clock_was_set(
    step: float, accepted: bool
) -> None:
    async with a_shop() as shop:
        witnesses = shop.make({"model": "dall-e-3", "prompt": "A hen"})
        claim = earlier(shop, server_offset=None)
        if accepted:
            shop.make(FOX)
        await shop.time.sleep(120.0)
        core = shop.core()
        core.now = registry_of(core).now = lambda: shop.time.now() + step
        registry_of(core).own(witnesses.id, kind="image", prompt="A hen")
        before = shop.time.elapsed
        if accepted and step > 0:
            assert (await buy(core, Notes(), claim=claim)).id == 18_001
        else:
            with pytest.raises(SubmissionUnknownError, match="clock is not known") as caught:
                await buy(core, Notes(), claim=claim)
            assert caught.value.window is None
            assert [each.id for each in caught.value.candidates] == ([18_001] if accepted else [])
            assert not (await reconcile(core)).absent
        assert shop.posts == []
        assert shop.time.elapsed - before < 150.0


async def test_what_seems_to_be_sent_in_days_to_come_is_not_waited_for() -> None:
    async with a_shop() as shop:
        shop.make(FOX)
        for offset in (None, 0.0):
            claim = earlier(shop, sent_at=shop.time.now() + 3 * 86_400.0, server_offset=offset)
            with pytest.raises(SubmissionUnknownError, match="clock is not known"):
                await buy(shop.core(), Notes(), claim=claim)
        assert shop.time.elapsed < 200.0
        assert shop.posts == []


async def test_whole_histories_are_read_for_a_claim_without_the_services_clock() -> None:
    async with a_shop() as shop:
        shop.listing.page_size = 2
        shop.make(FOX, foreign=True)
        for _ in range(6):
            await shop.time.sleep(3_600.0)
            shop.make({"model": "dall-e-3", "prompt": "A hen"})
        claim = earlier(shop, server_offset=None)
        shop.make(FOX)
        with pytest.raises(SubmissionUnknownError) as caught:
            await buy(shop.core(), Notes(), claim=claim)
        assert {each.id for each in caught.value.candidates} == {18_007, -18_000}


async def test_the_services_clock_is_asked_for_once_before_what_is_written_down() -> None:
    async with a_shop() as shop:
        core = shop.core()
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(learn_clock, core)
        await learn_clock(core)
        assert len(shop.pages) == 1
        assert registry_of(core).server_offset() == pytest.approx(0.0, abs=1.1)


@pytest.mark.parametrize("date", [None, "yesterday"])
async def test_a_service_that_tells_no_clock_is_asked_once(date: str | None) -> None:
    async with a_shop() as shop:
        shop.date = lambda now: date
        core = shop.core()
        for _ in range(3):
            await learn_clock(core)
        assert len(shop.pages) == 1


async def test_a_clock_that_cannot_be_asked_for_holds_nothing_up() -> None:
    async with a_shop() as shop:
        shop.listing.fails = lambda number, now: refusal(403, "insufficient_plan")
        core = shop.core()
        await learn_clock(core)
        assert registry_of(core).skew is None
        assert (await draw(core)).is_completed


async def test_a_clock_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuralbox._submissions.reconcile._PATIENCE", 0.0)
    async with a_shop() as shop:
        shop.latency = 1e9
        await learn_clock(shop.core())
        assert shop.time.elapsed == 0.0


async def test_a_claim_of_an_earlier_run_that_stays_unknown_is_told() -> None:
    async with a_shop() as shop:
        core = shop.core()
        for claim in (earlier(shop), Claim("without any time")):
            with pytest.raises(SubmissionUnknownError, match="ended before the answer came"):
                await buy(core, Notes(), claim=claim)
        assert shop.posts == []
        assert len(registry_of(core).unresolved) == 2


async def test_what_an_earlier_run_left_unknown_is_reconciled_like_any_other() -> None:
    async with a_shop() as shop:
        core = shop.core(submission="raise")
        registry_of(core).own(7)
        for key, prompt in (("a", "A fox"), ("b", "A hen")):
            with pytest.raises(SubmissionUnknownError):
                await submission.send(
                    core,
                    image(prompt),
                    NO_CALL_OPTIONS,
                    kind="image",
                    model="dall-e-3",
                    claim=earlier(shop, key=key),
                )
        shop.make(FOX)
        outcome = await reconcile(core)
        assert [each.job.id for each in outcome.adopted] == [18_000]
        assert [each.request["prompt"] for each in outcome.absent] == ["A hen"]


async def test_a_claim_this_process_has_settled_already_is_not_bought_again() -> None:
    async with a_shop() as shop:
        core = shop.core()
        recorder = Notes()
        await buy(core, recorder)
        again = await buy(core, recorder, claim=Claim.from_dict(recorder.claims[0].to_dict()))
        assert (again.id, again.status) == (18_000, "pending")
        assert len(shop.posts) == 1


async def test_a_claim_of_an_earlier_run_that_is_proven_absent_too_late_is_refused() -> None:
    async with a_shop() as shop:
        claim = earlier(shop)
        await shop.time.sleep(3_600.0)
        core = shop.core(deadline=1.0)
        registry_of(core).own(18_000, kind="image", prompt="A hen")
        shop.make({"model": "dall-e-3", "prompt": "A hen"})
        shop.latency = 1.5
        recorder = Notes()
        with pytest.raises(NeuralBoxError, match="nothing was charged"):
            await buy(core, recorder, claim=claim)
        assert recorder.notes == ["refused"]
        assert shop.posts == []


@pytest.mark.parametrize("policy", ["raise", "resend"])
async def test_a_claim_of_an_earlier_run_follows_the_policy(policy: str) -> None:
    async with a_shop() as shop:
        core = shop.core(submission=policy)
        if policy == "raise":
            with pytest.raises(SubmissionUnknownError):
                await buy(core, Notes(), claim=earlier(shop))
        else:
            assert (await buy(core, Notes(), claim=earlier(shop))).id == 18_000
        assert len(shop.posts) == (policy == "resend")


async def test_what_an_earlier_run_had_not_given_up_may_have_left_until_now() -> None:
    async with a_shop() as shop:
        registry, now = registry_of(shop.core()), shop.time.now()
        for lost_at, left_until in ((None, registry.clock()), (now - 50.0, -inf)):
            claim = Claim("k", "image", sent_at=now - 100.0, lost_at=lost_at)
            entry = PendingSubmission(claim, image(), None, Attempt(registry.clock()))
            registry.resume(entry)
            assert entry.left_until == left_until

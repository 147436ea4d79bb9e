"""A budget of GeminiGen's credits: what the service estimates or charges, and who waits for whose price."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import anyio
import httpx
import pytest

from neuralbox import Budget
from neuralbox import _errors as errors
from neuralbox.geminigen import AsyncGeminiGen, GeminiImageRequest, GeminiVideoRequest
from tests.batch.support import hold_for_journals
from tests.geminigen.shop import GeminiShop, Order
from tests.geminigen.support import opened
from tests.helpers import VirtualTime

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("estimates", [True, False])
async def test_a_budget_counts_credits_by_what_the_service_estimates_or_charges(estimates: bool) -> None:
    shop = GeminiShop(VirtualTime(), estimates=estimates)
    async with opened(shop, budget=10) as gg:
        one = await gg.videos.submit(model="veo-2", prompt="One")
        assert gg.budget is not None
        assert gg.budget.spent == (4 if estimates else 0)
        if not estimates:
            await one.wait()
        two = await gg.videos.submit(model="veo-2", prompt="Two")
        with pytest.raises(errors.BudgetExceededError):
            await gg.videos.submit(model="veo-2", prompt="Three")
        assert [(await job.wait()).is_completed for job in (one, two)] == [True, True]
        assert (gg.budget.spent, gg.budget.reserved, len(shop.orders)) == (8, 0, 2)
        copy = gg.with_options(budget=100, submission="raise", warn_duplicates=False)
        assert copy.budget is not None
        assert copy.budget.tokens == 100
        await gg.job(one.ref).refresh()
    async with (
        opened(shop) as gg,
        gg.batch([{"kind": "video", "model": "veo-2", "prompt": p} for p in "abcd"], budget=12) as run,
    ):
        assert sorted([outcome.ok async for outcome in run]) == [False, True, True, True]
        assert run.progress.tokens_spent == 12


async def test_a_completed_record_that_says_no_credits_counts_as_the_answer_estimated_it(tmp_path: Path) -> None:
    class Late(GeminiShop):
        def record(self, order: Order) -> dict[str, Any]:
            return {**super().record(order), "used_credit": 0}

        def _order(self, path: str, request: httpx.Request, headers: dict[str, str]) -> httpx.Response:
            answer = super()._order(path, request, headers)
            return httpx.Response(200, json={**json.loads(answer.content), "estimated_credit": 6}, headers=headers)

    shop, orders = Late(VirtualTime()), [GeminiVideoRequest(model="veo-2", prompt=f"{n}", duration=4) for n in range(5)]
    for budget, made in ((10, 1), (15, 2)):
        async with opened(shop) as gg, gg.batch(orders, journal=tmp_path / "run", budget=budget, max_sending=1) as run:
            assert sum([outcome.ok async for outcome in run]) == made
            assert run.progress.budget_spent == 6 * made
    assert len(shop.orders) == 2


async def test_a_batch_that_is_continued_counts_what_is_on_its_way_as_it_was_estimated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = GeminiShop(VirtualTime(), estimates=True)
    hold_for_journals(shop.time, monkeypatch)
    old, new = (
        [GeminiVideoRequest(model="veo-2", prompt=f"{age} {n}", duration=4) for n in range(10)]
        for age in ("old", "new")
    )
    async with opened(shop) as gg, gg.batch(old, journal=tmp_path / "run", budget=40, wait_timeout=3.0) as run:
        assert not any([outcome.ok async for outcome in run])
    monkeypatch.setattr("neuralbox._core.account._accounts", WeakValueDictionary())  # another process
    async with opened(shop) as gg, gg.batch([*old, *new], journal=tmp_path / "run", budget=40) as run:
        assert sum([outcome.ok async for outcome in run]) == 10
    assert len(shop.orders) == 10


async def test_calls_that_run_together_wait_for_the_price_that_the_first_of_them_shows() -> None:
    shop = GeminiShop(VirtualTime())
    ends: list[str] = []

    async def make(gg: AsyncGeminiGen, prompt: str, **options: Any) -> None:
        try:
            ends.append(str((await gg.images.create(model="imagen-4", prompt=prompt, **options)).id))
        except errors.NeuralBoxError as error:
            ends.append(type(error).__name__)

    async with opened(shop, budget=12) as gg, anyio.create_task_group() as group:
        for prompt in "abcd":
            group.start_soon(make, gg, prompt)
    assert sorted(ends) == ["BudgetExceededError", "u-1", "u-2", "u-3"]
    assert gg.budget is not None
    assert (gg.budget.spent, gg.budget.reserved) == (12, 0)
    # Nobody waits for one that its own caller has left.
    ends.clear()
    async with opened(shop, budget=12) as gg, anyio.create_task_group() as group:
        group.start_soon(partial(make, gg, "e", wait_timeout=1, extra_body={"later": 1}))
        await gg._core.sleep(0.5)
        group.start_soon(partial(make, gg, "f", extra_body={"later": 1}))
    assert ends == ["GenerationTimeoutError", "BudgetExceededError"]
    assert gg.budget is not None
    assert gg.budget.reserved == 0


async def test_nobody_waits_for_a_call_that_was_cancelled_while_its_job_was_told() -> None:
    shop = GeminiShop(VirtualTime())
    async with opened(shop, budget=12) as gg:
        with anyio.CancelScope() as scope:
            await gg.images.create(model="imagen-4", prompt="a", on_accepted=lambda _: scope.cancel())
        assert scope.cancelled_caught
        with pytest.raises(errors.BudgetExceededError, match="wait for that one first"):
            await gg.images.create(model="imagen-4", prompt="b")
    assert shop.posts == 1


@pytest.mark.parametrize("how", ["create", "batch"])
async def test_a_call_in_on_accepted_waits_for_no_tokens_of_the_call_that_waits_for_it(how: str) -> None:
    shop, budget, refused = GeminiShop(VirtualTime()), Budget(12), list[BaseException]()

    async def make_another(*_: object) -> None:
        with anyio.CancelScope() as scope:
            group.start_soon(give_up, scope)
            with pytest.raises(errors.BudgetExceededError, match="wait for that one first") as caught:
                await gg.images.create(model="imagen-4", prompt="b")
            refused.append(caught.value)

    async def give_up(scope: anyio.CancelScope) -> None:
        await gg._core.sleep(600.0)
        scope.cancel()

    async with opened(shop, budget=budget) as gg, anyio.create_task_group() as group:
        if how == "create":
            await gg.images.create(model="imagen-4", prompt="a", on_accepted=make_another)
        else:
            requests = [GeminiImageRequest(model="imagen-4", prompt="a")]
            async with gg.batch(requests, budget=budget, on_accepted=make_another) as run:
                assert [outcome.ok async for outcome in run] == [True]
        group.cancel_scope.cancel()
    assert (shop.posts, len(refused)) == (1, 1)


async def test_a_task_that_on_accepted_began_waits_once_that_is_over() -> None:
    shop, made = GeminiShop(VirtualTime()), list[str]()

    async def go_on() -> None:
        await gg._core.sleep(1.0)
        made.append(str((await gg.images.create(model="imagen-4", prompt="b")).id))

    def begin(_: object) -> None:
        group.start_soon(go_on)

    async with opened(shop, budget=12) as gg, anyio.create_task_group() as group:
        await gg.images.create(model="imagen-4", prompt="a", on_accepted=begin)
    assert made == ["u-2"]


async def test_the_last_charge_is_learnt_from_a_poll_and_a_failed_one_costs_what_its_record_says() -> None:
    shop = GeminiShop(VirtualTime())
    async with opened(shop, budget=10) as gg:
        job = await gg.images.submit(model="imagen-4", prompt="One")
        await gg._core.sleep(20)
        await job.refresh()
        assert gg.budget is not None
        assert gg.budget.spent == 4
        service = gg._core.options.service
        for record, spent in (
            ({"status": 3, "used_credit": 2}, 2),
            ({"status": 3}, 0),
            ({"status": 2, "used_credit": 0}, 0),
        ):
            generation = service.read({"uuid": "u", **record}, kind="image")
            assert (generation.kind, service.charge(generation) or 0) == ("image", spent)
        assert service.charge(service.read({"uuid": "u", "status": 2, "used_credit": 0, "estimated_credit": 2.5})) == 3

"""Repetitions inside the send loop keep to the windows like first attempts."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import anyio
import pytest

from neuralbox._api.builders import build_media
from neuralbox._config import CallOptions
from neuralbox._errors import RateLimitError
from neuralbox._rate_limit.limiter import limiter_of
from neuralbox._submissions import submission
from tests.helpers import dear
from tests.service import Plan, Service

from .support import at_a_full_window

pytestmark = pytest.mark.anyio


async def buy_together(shop: Service, count: int, **options: Any) -> list[RateLimitError]:
    """Make so many single paid calls at once, and return what was raised."""
    core, raised = shop.core(**options), list[RateLimitError]()
    request = build_media(model="flux-1.1-pro", prompt="A boat", options={}, nested=False)

    async def buy() -> None:
        try:
            await submission.send(core, request, CallOptions(), kind="image", model="flux-1.1-pro")
        except RateLimitError as error:
            raised.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(buy)
    limiter = limiter_of(core)
    assert not limiter.under_way
    assert not limiter._throttled
    return raised


@dear
async def test_a_crowd_of_single_calls_on_a_known_window_meets_no_refusal() -> None:
    shop = Service(time=at_a_full_window(), latency=0.0, holds=0.5, plan=Plan(40, length=12.0))
    assert await buy_together(shop, 160) == []
    assert (len(shop.plan.taken), shop.plan.refused) == (160, 0)


@dear
async def test_what_a_crowd_repeats_counts_in_the_window_like_what_it_sends_first() -> None:
    shop = Service(time=at_a_full_window(), latency=0.0, holds=0.5, plan=Plan(40, length=12.0, profile=False))
    assert await buy_together(shop, 160) == []
    assert len(shop.plan.taken) == 160
    assert shop.plan.refused == 120  # all left before the first answer told of a window; none of them is refused again


@pytest.mark.parametrize("max_retry_wait", [5.0, 60.0])
async def test_after_a_refusal_that_names_no_time_one_repeats_at_a_time(max_retry_wait: float) -> None:
    shop = Service(time=at_a_full_window(), latency=0.0, holds=0.5, plan=Plan(100, named=False, headers=False))
    shop.plan.taken += [shop.time.now()] * 100
    raised = await buy_together(shop, 6, max_retry_wait=max_retry_wait)
    assert len(raised) == 6
    assert len(shop.plan.asked) == 18
    repeated = shop.plan.asked[6:]
    assert min(later - sooner for sooner, later in pairwise(repeated)) >= 0.5  # each after the one before was answered
    assert repeated[0] - shop.plan.asked[0] < 1.0

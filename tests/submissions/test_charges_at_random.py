"""Random losses, lags, equal requests, clocks and cancellations: nothing is charged twice, and nothing that was charged is lost."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import anyio
import pytest

from neuralbox._errors import NeuralBoxError
from neuralbox._resources.images import Images
from neuralbox._resources.text import Text
from neuralbox._resources.videos import Videos
from neuralbox._submissions.reconcile import reconcile
from neuralbox._submissions.registry import registry_of
from neuralbox._types import JobRef

from ..helpers import TIMES
from ..service import DOCUMENTED, Service, a_shop

pytestmark = pytest.mark.anyio


class Story:
    """One random run: many callers, a service that loses answers, and what each caller got."""

    def __init__(self, shop: Service, seed: int) -> None:
        self.shop, self.dice = shop, Random(seed)
        dice = self.dice
        weights = [6.0 if end == "answered" else dice.choice([0.0, 0.3, 1.0]) for end in DOCUMENTED]
        shop.ends = lambda number, body: dice.choices(DOCUMENTED, weights)[0]
        worst = dice.choice([0.0, 2.0, 9.0])
        shop.listing.lag = lambda: dice.random() * worst
        shop.latency = lambda: 0.02 + dice.random() * dice.choice([0.1, 3.0])
        shop.ahead = dice.choice([0.0, -3_600.0, 7.3, 0.4])
        shop.listing.page, shop.listing.page_size = dice.random() < 0.5, dice.choice([None, None, 7])
        self.core = shop.core(max_retries=dice.choice([0, 2, 2]))
        self.prompts = dice.choice([3, 8, 1_000])
        self.asked = 0
        self.delivered: list[Any] = []
        self.told: list[JobRef] = []

    async def one(self) -> None:
        dice, core = self.dice, self.core
        await self.shop.time.sleep(dice.random() * dice.choice([1.0, 60.0]))
        prompt = f"A picture of the number {dice.randrange(self.prompts)}"
        options: dict[str, Any] = dice.choice([{}, {}, {"seed": dice.randrange(3)}, {"size": "1024x1792"}])
        leaves_after = dice.choice([None, None, None, dice.random() * 5])
        self.asked += 1
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                if leaves_after is not None:
                    group.start_soon(self.leave, scope, leaves_after)
                try:
                    what = dice.randrange(5)
                    if what == 0:
                        answer: Any = await Text(core).create(
                            model="gpt-5", prompt=prompt, on_accepted=self.told.append
                        )
                    elif what == 1:
                        answer = await Videos(core).submit(
                            model="kling-v2.1", prompt=prompt, on_accepted=self.told.append
                        )
                    elif what == 2:
                        async with Text(core).stream(
                            model="gpt-5", prompt=f"{prompt}, slowly", on_accepted=self.told.append
                        ) as stream:
                            answer = await stream.collect()
                    else:
                        model = dice.choice(["dall-e-3", "midjourney-v6"])
                        answer = await Images(core).create(
                            model=model, prompt=prompt, on_accepted=self.told.append, **options
                        )
                    self.delivered.append(answer.id)
                except NeuralBoxError:
                    pass  # what it may have bought is among the unresolved
                group.cancel_scope.cancel()

    async def leave(self, scope: anyio.CancelScope, seconds: float) -> None:
        await self.shop.time.sleep(seconds)
        scope.cancel()

    def check(self) -> None:
        """Whatever was charged is in somebody's hands, once, or among what is unresolved."""
        charged = set(self.shop.charged)
        told = Counter(ref.id for ref in self.told)
        assert len(charged) <= self.asked
        assert set(told) <= charged
        assert max(told.values(), default=1) == 1, "two callers were given one generation"
        assert set(self.delivered) <= set(told)
        assert len(charged - set(told)) <= len(registry_of(self.core).unresolved)


# Some lose an answer in every documented way and some in few; what is decided when is the same on both loops.
STORIES = [*(("asyncio", seed) for seed in range(7 * TIMES)), *(("trio", seed) for seed in (0, 3, 5))]


@pytest.mark.uncovered
@pytest.mark.parametrize(("anyio_backend", "seed"), STORIES)
async def test_nothing_is_charged_twice_and_nothing_charged_is_lost(seed: int) -> None:
    async with a_shop() as shop:
        story = Story(shop, seed)
        async with anyio.create_task_group() as group:
            for _ in range(60):
                group.start_soon(story.one)
        story.check()
        before = len(shop.posts)
        outcome = await reconcile(story.core)
        assert len(shop.posts) == before
        story.told += [each.job for each in outcome.adopted]
        story.check()

"""A picture is known as ours by the seed it was drawn with: one is sent, looked for, and given up where it has no use."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import pytest

from neuralbox._api.request import Request, RetrySafety
from neuralbox._config import Dialect
from neuralbox._core.exchange import Core
from neuralbox._errors import BadRequestError, SubmissionUnknownError, UnprocessableEntityError
from neuralbox._models.generation import Generation
from neuralbox._resources.generate import Generate
from neuralbox._resources.images import Images
from neuralbox._resources.videos import Videos
from neuralbox._submissions import fingerprint
from neuralbox._submissions.claim import Claim, claim_of
from neuralbox._submissions.reconcile import reconcile
from neuralbox._submissions.registry import registry_of

from ..helpers import refusal, reply
from ..service import Service, a_shop

pytestmark = pytest.mark.anyio
FOX = {"model": "dall-e-3", "prompt": "A fox"}


def seeds(shop: Service) -> list[Any]:
    return [post.get("seed", post.get("params", {}).get("seed")) for post in shop.posts]


async def draw(core: Core, prompt: str = "A fox", **options: Any) -> Generation:
    return await Images(core).create(model="dall-e-3", prompt=prompt, **options)


async def test_a_picture_without_a_seed_gets_one_that_no_program_can_repeat() -> None:
    async with a_shop() as shop:
        core = shop.core(draw_seed=True)
        for _ in range(3):
            random.seed(1)
            assert (await draw(core)).seed == seeds(shop)[-1]
        assert len(set(seeds(shop))) == 3
        assert all(0 < seed < 2**31 for seed in seeds(shop))


@pytest.mark.parametrize("nested", [False, True])
async def test_it_stands_where_the_other_options_are(nested: bool) -> None:
    async with a_shop() as shop:
        core = shop.core(draw_seed=True, dialect=Dialect(options="nested" if nested else "flat"))
        await draw(core, size="1024x1024")
        assert ("params" in shop.posts[0], "seed" in shop.posts[0]) == (nested, not nested)
        assert 0 < seeds(shop)[0] < 2**31


async def test_it_is_drawn_for_pictures_only_and_only_where_none_was_given() -> None:
    async with a_shop() as shop:
        core = shop.core(draw_seed=True)
        await draw(core, seed=7)
        await draw(core, extra_body={"seed": None})
        await draw(core.with_options(core.options.with_changes(draw_seed=False)))
        await Videos(core).submit(model="kling-v2.1", prompt="A fox")
        assert seeds(shop) == [7, None, None, None]
        await Generate(core).create(model="dall-e-3", prompt="A fox")
        assert seeds(shop)[-1] > 0


async def test_the_one_that_shows_it_is_adopted_among_those_of_strangers() -> None:
    async with a_shop() as shop:
        for _ in range(3):
            shop.make(FOX, foreign=True)
        shop.end_with("dropped after")
        answer = await draw(shop.core(draw_seed=True))
        assert (answer.id, answer.seed) == (18_003, seeds(shop)[0])
        assert len(shop.posts) == 1


async def test_equal_pictures_that_are_lost_together_each_get_their_own() -> None:
    async with a_shop() as shop:
        shop.end_with(*["dropped after"] * 10)
        core, drawn = shop.core(draw_seed=True), dict[int | str, int | None]()

        async def one() -> None:
            answer = await draw(core)
            drawn[answer.id] = answer.seed

        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(one)
        assert sorted(drawn) == shop.charged
        assert {one.id: one.options["seed"] for one in shop.ledger} == drawn
        assert len(shop.details) <= 30  # once for each walk that showed it, of which there are two or three


@pytest.mark.parametrize("end", ["dropped after", "dropped before"])
async def test_where_seeds_are_shown_another_one_is_a_strangers(end: str) -> None:
    async with a_shop() as shop:
        shop.end_with("answered", end)
        core = shop.core(draw_seed=True)
        await draw(core, "A hen")
        shop.make(FOX, foreign=True)
        assert (await draw(core)).id == 18_002
        assert len(shop.charged) == 2


STRANGE: Mapping[str, Callable[[Any], Any]] = {
    "not shown": lambda seed: None,
    "rounded": lambda seed: round(seed, -6) + 1,
    "words": lambda seed: "random",
}


@pytest.mark.parametrize("how", STRANGE)
@pytest.mark.parametrize("end", ["dropped after", "dropped before"])
async def test_a_seed_that_is_not_shown_as_it_was_sent_proves_nothing_and_is_drawn_no_more(how: str, end: str) -> None:
    async with a_shop() as shop:
        shop.seeds = STRANGE[how]
        shop.end_with("answered", end)
        core = shop.core(draw_seed=True)
        await draw(core, "A hen")
        assert (await draw(core)).id == 18_001
        assert [seed is not None for seed in seeds(shop)] == [True, *[False] * (len(shop.posts) - 1)]
        assert len(shop.charged) == 2


@pytest.mark.parametrize("how", ["rounded", "words"])
async def test_before_that_is_known_the_first_picture_is_not_guessed_at(how: str) -> None:
    async with a_shop() as shop:
        shop.seeds = STRANGE[how]
        shop.end_with("dropped after")
        core = shop.core(draw_seed=True)
        if how == "words":
            assert (await draw(core)).id == 18_000
            return
        with pytest.raises(SubmissionUnknownError) as caught:
            await draw(core)
        assert [each.id for each in caught.value.candidates] == [18_000]
        assert len(shop.posts) == 1
        # Once it is known that seeds come back changed, it is what it is without one.
        await draw(core, "A hen")
        assert [each.job.id for each in (await reconcile(core)).adopted] == [18_000]


async def test_a_seed_as_text_is_that_seed() -> None:
    async with a_shop() as shop:
        shop.seeds = str
        shop.make(FOX, foreign=True)
        shop.end_with("dropped after")
        assert (await draw(shop.core(draw_seed=True))).id == 18_001


@pytest.mark.parametrize("how", ["the service's words", "FastAPI's"])
async def test_a_model_that_refuses_seeds_is_asked_without_from_then_on(how: str) -> None:
    async with a_shop() as shop:
        no = reply(422, {"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]})
        if how == "the service's words":
            no = refusal(422, "validation_error", message="`seed` is not known to this model")
        shop.ends = lambda number, body: no if "seed" in {*body, *body.get("params", ())} else "answered"
        core = shop.core(draw_seed=True, max_retries=0)
        assert (await draw(core)).id == 18_000
        assert (await draw(core, "A hen")).id == 18_001
        assert [seed is not None for seed in seeds(shop)] == [True, False, False]
        with pytest.raises(UnprocessableEntityError):
            await draw(core, seed=7)  # that one was asked for
        assert registry_of(core).unresolved == ()


async def test_what_is_left_unresolved_names_the_request_as_it_was_sent() -> None:
    async with a_shop() as shop:
        shop.end_with("dropped after")
        core = shop.core(draw_seed=True, submission="raise")
        with pytest.raises(SubmissionUnknownError):
            await draw(core)
        (left,) = registry_of(core).unresolved
        assert left.request == {**FOX, "seed": seeds(shop)[0]}


async def test_a_claim_of_an_earlier_run_is_found_by_the_seed_it_kept() -> None:
    from .support import Notes, buy

    async with a_shop() as shop:
        shop.end_with("dropped after")
        recorder = Notes()
        with pytest.raises(SubmissionUnknownError):
            await buy(shop.core(draw_seed=True, submission="raise"), recorder)
        for _ in range(2):
            shop.make(FOX, foreign=True)
        await shop.time.sleep(100.0)
        kept = Claim.from_dict(recorder.claims[0].to_dict())
        assert kept.seed == seeds(shop)[0]
        assert (await buy(shop.core(draw_seed=True), Notes(), claim=kept)).id == 18_000
        assert len(shop.posts) == 1


def test_only_a_refusal_that_names_the_seed_is_one_of_the_seed() -> None:
    refusals = {
        UnprocessableEntityError("`seed` is not known", status_code=422): True,
        UnprocessableEntityError("No.", fields={"body.seed": "extra"}, status_code=422): True,
        UnprocessableEntityError("No.", fields={"prompt": "too long"}, status_code=422): False,
        BadRequestError("seed", status_code=400): False,
    }
    assert {error: fingerprint.refuses_seed(error) for error in refusals} == refusals


def test_what_has_no_body_gets_no_seed() -> None:
    request = Request("POST", "/generate", RetrySafety.PAID)
    claim = claim_of(request, key="k", kind="image", model="dall-e-3")
    assert fingerprint.draw_seed(request, claim, {}) is None
    assert fingerprint.with_seed(request, 7).body == {"seed": 7}

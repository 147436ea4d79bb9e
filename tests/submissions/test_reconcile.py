"""A lost answer is looked for in the history: found and adopted, proven absent and sent again, or told as it is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from neuralbox._api.builders import Message, build_media
from neuralbox._api.request import Request
from neuralbox._config import NO_CALL_OPTIONS
from neuralbox._core.exchange import Attempt, Core
from neuralbox._core.reply_capture import capture_replies
from neuralbox._errors import (
    ConfigurationError,
    ConnectionLostError,
    GenerationFailedError,
    InternalServerError,
    JournalError,
    NeuralBoxError,
    ProviderError,
    SubmissionUnknownError,
)
from neuralbox._models.generation import Generation
from neuralbox._resources.generate import Generate
from neuralbox._resources.images import Images
from neuralbox._resources.speech import Speech
from neuralbox._resources.text import Text
from neuralbox._resources.tools import Tools
from neuralbox._resources.transcriptions import Transcriptions
from neuralbox._resources.videos import Videos
from neuralbox._submissions import owned as owned_module
from neuralbox._submissions import registry as registry_module
from neuralbox._submissions import submission
from neuralbox._submissions.admission import Admission
from neuralbox._submissions.claim import Claim, HistoryEntry
from neuralbox._submissions.evidence import NO_EVIDENCE
from neuralbox._submissions.matching import SETTLE
from neuralbox._submissions.reconcile import Reconciliation, learn_clock, reconcile
from neuralbox._submissions.registry import PendingSubmission, Registry, SettlePolicy, UnresolvedSubmission, registry_of
from neuralbox._submissions.walk import Walk
from neuralbox._transport import Reply
from neuralbox._types import GenerationId, JobRef
from tests.helpers import START, refusal, reply

from ..helpers import dear
from ..service import LOST, Service, a_shop

pytestmark = pytest.mark.anyio

FOX = {"model": "dall-e-3", "prompt": "A fox"}


def image(prompt: str = "A fox", **options: Any) -> Request:
    return build_media(model="dall-e-3", prompt=prompt, options=options, nested=False)


async def draw(core: Core, prompt: str = "A fox", **options: Any) -> Generation:
    return await Images(core).create(model="dall-e-3", prompt=prompt, **options)


async def film(core: Core, prompt: str = "A fox") -> GenerationId:
    return (await Videos(core).submit(model="kling-v2.1", prompt=prompt)).id


async def unknown(core: Core, prompt: str = "A fox", **options: Any) -> SubmissionUnknownError:
    with pytest.raises(SubmissionUnknownError) as caught:
        await draw(core, prompt, **options)
    return caught.value


# Found.


@pytest.mark.parametrize("end", ["dropped after", "cut", "a proxy's 502 after", "silence", "500 after"])
@pytest.mark.parametrize("page", [False, True])
async def test_what_was_accepted_is_adopted_and_not_bought_again(end: str, page: bool) -> None:
    async with a_shop() as shop:
        shop.listing.page = page
        shop.end_with(end)
        answer = await draw(shop.core())
        assert answer.is_completed
        assert (answer.id, answer.url, answer.kind) == (18_000, "http://files.test/18000.webp", "image")
        assert shop.charged == [18_000]
        assert len(shop.posts) == 1
        # Once more when another program that began together with this one would show.
        assert (len(shop.pages), shop.details) == (2, ["18000"])


async def test_a_history_that_answers_after_the_first_seconds_is_asked_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_shop() as shop:
        shop.end_with("dropped after")
        sleep = shop.time.sleep

        async def checked(seconds: float) -> None:
            assert seconds >= 0.0  # an event loop refuses less
            await sleep(seconds)

        monkeypatch.setattr(shop.time, "sleep", checked)
        latencies = iter([0.1, SETTLE - 0.05])
        shop.latency = lambda: next(latencies, 0.1)
        assert (await draw(shop.core())).id == 18_000
        assert len(shop.pages) == 2


KINDS: dict[str, Callable[[Core], Any]] = {
    "text": lambda core: Text(core).create(model="gpt-5", prompt="Greet me"),
    "turns": lambda core: Text(core).create(model="gpt-5", messages=[{"role": "user", "content": "Greet me"}]),
    "generate": lambda core: Generate(core).create(model="dall-e-3", prompt="A fox"),
    "image": draw,
    "another model": lambda core: Images(core).create(model="midjourney-v6", prompt="A fox"),
    "video": lambda core: Videos(core).create(model="kling-v2.1", prompt="A fox"),
    "speech": lambda core: Speech(core).create(model="openai-tts", text="Hello"),
    "upload": lambda core: Transcriptions(core).create(audio=b"ID3", file_name="talk.mp3"),
    "tool": lambda core: Tools(core).create(model="upscale", prompt="Larger", image_url="http://x.test"),
}


@pytest.mark.parametrize("how", KINDS)
async def test_every_kind_is_found(how: str) -> None:
    async with a_shop() as shop:
        shop.end_with("dropped after")
        answer = await KINDS[how](shop.core())
        assert (answer.id, answer.is_completed) == (18_000, True)
        assert len(shop.posts) == 1


@pytest.mark.parametrize("lag", [0.3, 4.0, 55.0])
async def test_a_listing_that_lags_is_waited_for(lag: float) -> None:
    async with a_shop() as shop:
        shop.listing.lag = lag
        shop.end_with("dropped after")
        assert (await draw(shop.core())).id == 18_000
        assert len(shop.posts) == 1
        assert shop.time.elapsed <= lag + 10.5
        assert len(shop.pages) <= 15


@pytest.mark.parametrize("ahead", [-86_400.0, -0.7, 0.5, 7.0, 86_400.0])
async def test_the_clocks_need_not_agree(ahead: float) -> None:
    async with a_shop() as shop:
        shop.ahead = ahead
        shop.make(FOX, foreign=True)  # long ago; it must not be taken for ours
        await shop.time.sleep(60.0)
        shop.end_with("dropped after")
        assert (await draw(shop.core())).id == 18_001


async def test_a_clock_that_jumps_between_sending_and_looking_changes_nothing() -> None:
    async with a_shop() as shop:
        shop.end_with("dropped after")
        core, jumped = shop.core(), 0.0
        core.now = registry_of(core).now = lambda: shop.time.now() + jumped
        shop.listing.lag = 2.0

        async def jump() -> None:
            nonlocal jumped
            await shop.time.sleep(1.0)
            jumped = 5_000.0

        async with anyio.create_task_group() as group:
            group.start_soon(jump)
            assert (await draw(core)).id == 18_000


async def test_a_result_the_listing_does_not_hold_and_the_details_do_not_give_is_asked_for_by_the_wait() -> None:
    async with a_shop() as shop:
        failures = [refusal(404, "not_found"), refusal(404, "not_found")]
        shop.detail = lambda sold: failures.pop(0) if failures else None
        shop.end_with("dropped after")
        assert (await draw(shop.core())).url == "http://files.test/18000.webp"


async def test_an_adopted_generation_that_failed_is_told_as_failed() -> None:
    async with a_shop() as shop:
        shop.detail = lambda sold: reply(200, {"id": sold.id, "status": "failed", "error": "content policy"})
        shop.end_with("dropped after")
        with pytest.raises(GenerationFailedError, match="content policy") as caught:
            await draw(shop.core())
        assert caught.value.job == JobRef(18_000, "image", "dall-e-3")


async def test_whoever_wants_the_reply_gets_the_page_that_showed_it() -> None:
    async with a_shop() as shop:
        shop.listing.page_size = 1
        shop.end_with("dropped after")
        shop.detail = lambda sold: refusal(404, "not_found")
        core = shop.core()

        async def disturb() -> None:
            await shop.time.sleep(0.09)
            registry_of(core).own(shop.make({"model": "dall-e-3", "prompt": "A hen"}, foreign=True).id)

        with capture_replies() as seen:
            async with anyio.create_task_group() as group:
                group.start_soon(disturb)
                await submission.submit(core, image(), NO_CALL_OPTIONS, kind="image", model="dall-e-3")
        assert len(seen) == 1
        assert seen[0].reply.status_code == 200
        assert b'"id": 18000' in seen[0].reply.content


async def test_a_model_that_comes_back_under_another_name_is_known_by_it_from_then_on() -> None:
    async with a_shop() as shop:
        core = shop.core()

        async def fox() -> Generation:
            return await Images(core).create(model="midjourney-v6", prompt="A fox")

        assert (await fox()).model == "midjourney"
        await shop.time.sleep(SETTLE)
        shop.end_with("-", "dropped after")
        before = shop.time.elapsed
        assert (await fox()).id == 18_001
        assert shop.time.elapsed - before < 1.0  # where it is not known, a better candidate is waited for


async def test_other_kinds_and_what_was_sold_long_before_say_nothing_about_a_claim() -> None:
    async with a_shop() as shop:
        shop.end_with("answered", "answered", "dropped before")
        shop.listing.shown = lambda item: None if item["prompt"] == "Hidden" else item
        core = shop.core()
        await draw(core, "Hidden")
        await Text(core).create(model="gpt-5", prompt="A hen")
        await shop.time.sleep(1_000.0)
        error = await unknown(core)
        assert (
            "no generation known to be ours" in error.message
        )  # the text is none of this kind, the image is not shown


# Absent.


@pytest.mark.parametrize("end", ["dropped before", "a proxy's 502 before"])
async def test_what_was_never_accepted_is_sent_again_once_that_is_proven(end: str) -> None:
    async with a_shop() as shop:
        shop.end_with("answered", end)
        core = shop.core()
        await draw(core, "A hen")
        before = shop.time.elapsed
        assert (await draw(core)).id == 18_001
        assert [post["prompt"] for post in shop.posts] == ["A hen", "A fox", "A fox"]
        assert 60.0 <= shop.time.elapsed - before <= 62.0  # an image may take its longest time to be listed
        assert registry_of(core).unresolved == ()


async def test_what_answers_later_settles_sooner() -> None:
    async with a_shop() as shop:
        shop.end_with("answered", "dropped before")
        core = shop.core()
        await Videos(core).submit(model="kling-v2.1", prompt="A hen")
        await Videos(core).submit(model="kling-v2.1", prompt="A fox")
        assert len(shop.posts) == 3
        assert 10.0 <= shop.time.elapsed <= 12.0


async def test_kinds_settle_after_twice_the_longest_answer_that_was_seen() -> None:
    async with a_shop() as shop:
        shop.end_with("answered", "dropped before")
        core = shop.core()
        shop.latency = 90.0
        await draw(core, "A hen")
        shop.latency = 0.1
        before = shop.time.elapsed
        await draw(core)
        assert 180.0 <= shop.time.elapsed - before <= 182.0


async def test_a_listing_that_was_seen_to_lag_is_given_as_long() -> None:
    async with a_shop() as shop:
        shop.end_with("answered", "dropped before")
        core = shop.core()
        shop.listing.lag = 30.0
        await Videos(core).submit(model="kling-v2.1", prompt="A hen")
        await Videos(core).submit(model="kling-v2.1", prompt="A fox")
        assert len(shop.posts) == 3
        assert 30.0 <= shop.time.elapsed <= 45.0


async def test_one_that_was_found_late_does_not_say_that_the_history_lists_at_once() -> None:
    async with a_shop() as shop:
        shop.end_with("answered", "dropped after", "dropped after")
        core = shop.core()
        shop.listing.lag = 20.0
        await film(core, "A hen")
        await shop.time.sleep(60.0)
        assert await film(core, "A cock") == 18_001
        assert await film(core) == 18_002
        assert len(shop.charged) == len(shop.posts) == 3


async def test_a_listing_that_hides_what_is_ours_proves_nothing() -> None:
    async with a_shop() as shop:
        shop.end_with("answered", "answered", "dropped before")
        shop.listing.shown = lambda item: None if item["prompt"] == "A hen" else item
        core = shop.core()
        await draw(core, "A cock")
        await draw(core, "A hen")
        error = await unknown(core)
        assert "does not show another generation known to be ours" in error.message
        assert len(shop.posts) == 3
        assert 120.0 <= shop.time.elapsed <= 135.0


async def test_without_a_generation_known_to_be_ours_nothing_is_proven_until_there_is_one() -> None:
    async with a_shop() as shop:
        shop.end_with("dropped before")
        core = shop.core()
        error = await unknown(core)
        assert "no generation known to be ours" in error.message
        assert error.request == FOX
        assert error.window == pytest.approx((START - 6, START + 60), abs=1.5)
        (left,) = registry_of(core).unresolved
        assert (left.request, left.kind, left.model) == (FOX, "image", "dall-e-3")
        assert (left.sent_at, left.lost_at) == (error.sent_at, error.lost_at)
        assert "A fox" not in f"{left!r}{error}"
        assert (await reconcile(core)).open == registry_of(core).unresolved
        await draw(core, "A hen")
        outcome = await reconcile(core)
        assert [each.request for each in outcome.absent] == [FOX]
        assert registry_of(core).unresolved == ()
        assert len(shop.posts) == 2


async def test_it_is_sent_again_so_often_and_then_the_error_says_that_nothing_was_charged() -> None:
    async with a_shop() as shop:
        shop.ends = lambda number, body: "answered" if body["prompt"] == "A hen" else "dropped before"
        core = shop.core(max_retries=1)
        await draw(core, "A hen")
        with pytest.raises(ConnectionLostError, match="not accepted, so nothing was charged"):
            await draw(core)
        assert len(shop.posts) == 1 + 1 + 3
        assert registry_of(core).unresolved == ()


async def test_the_error_of_a_proxy_stays_that_of_its_status() -> None:
    async with a_shop() as shop:
        shop.end_with("answered", "a proxy's 502 before")
        core = shop.core(max_retries=0)
        await draw(core, "A hen")
        with pytest.raises(InternalServerError, match="nothing was charged"):
            await draw(core)


# Neither.


async def test_what_the_history_shows_of_others_is_not_taken_and_is_told() -> None:
    async with a_shop() as shop:
        shop.end_with("dropped after")
        shop.latency = 1.0
        shop.make(FOX, foreign=True)
        core = shop.core()
        error = await unknown(core)
        assert "more than one" in error.message
        assert {candidate.id for candidate in error.candidates} == {-18_000, 18_001}
        assert all(isinstance(candidate, Generation) for candidate in error.candidates)
        assert registry_of(core).unresolved[0].candidates == error.candidates
        # Once it is known whose the other is, the rest is ours.
        registry_of(core).own(-18_000)
        assert [each.job.id for each in (await reconcile(core)).adopted] == [18_001]


@pytest.mark.parametrize("options", [{"duration": 5}, {"seed": 7}, {"size": "1024x1024"}])
async def test_of_two_clients_that_ask_for_the_same_none_gets_the_others_generation(options: dict[str, Any]) -> None:
    async with a_shop() as shop:
        shop.end_with("answered", "dropped after")
        others = await Images(shop.core(base_url="http://other.test")).create(
            model="dall-e-3", prompt="A fox", extra_body=options
        )
        error = await unknown(shop.core(), extra_body=options)
        assert "more than one" in error.message
        assert {candidate.id for candidate in error.candidates} == {others.id, 18_001}


@pytest.mark.parametrize("shown", [None, "A fox and a hen and…"])
async def test_a_prompt_that_is_cut_or_missing_is_never_guessed(shown: str | None) -> None:
    async with a_shop() as shop:
        shop.end_with("dropped after")
        shop.listing.shown = lambda item: {**item, "prompt": shown}
        core = shop.core()
        error = await unknown(core, "A fox and a hen and a cock")
        assert "may be this one" in error.message
        assert [candidate.id for candidate in error.candidates] == [18_000]
        assert len(shop.posts) == 1
        assert len(shop.details) == 1  # a finished generation is asked for once, however often it is looked at


@pytest.mark.parametrize("end", ["dropped before", "dropped after"])
async def test_what_another_program_asked_for_in_nearly_the_same_words_is_not_ours(end: str) -> None:
    async with a_shop() as shop:
        shop.end_with(*["answered"] * 12, end)
        core = shop.core()
        await Text(core).create(model="gpt-5", prompt="1+1=?")
        for number in range(11):
            await Text(core).create(model="gpt-5", prompt=f"{number}+1=?")
        shop.make({"model": "gpt-5", "prompt": "2+2=?"}, foreign=True)
        assert (await Text(core).create(model="gpt-5", prompt="2-2=?")).id == 18_013
        assert len(shop.posts) == (13 if end == "dropped after" else 14)
        assert len(shop.charged) == 13


async def test_nearly_the_same_words_are_told_where_nothing_of_ours_shows_how_prompts_are_shown() -> None:
    async with a_shop() as shop:
        shop.end_with("dropped before")
        shop.make({"model": "gpt-5", "prompt": "2+2=?"}, foreign=True)
        with pytest.raises(SubmissionUnknownError, match="may be this one") as caught:
            await Text(shop.core()).create(model="gpt-5", prompt="2-2=?")
        assert [candidate.id for candidate in caught.value.candidates] == [-18_000]
        assert len(shop.posts) == 1


async def test_turns_shown_in_another_way_are_not_taken_for_absent() -> None:
    async with a_shop() as shop:
        shop.end_with("answered", "dropped after")
        shop.listing.shown = lambda item: {**item, "prompt": "[conversation]"}
        core = shop.core()
        turns: list[Message] = [{"role": "user", "content": "Greet me"}]
        await Text(core).create(model="gpt-5", prompt="Hello")
        with pytest.raises(SubmissionUnknownError, match="may be this one"):
            await Text(core).create(model="gpt-5", messages=turns)
        assert len(shop.posts) == 2


async def test_what_no_prompt_names_is_never_guessed() -> None:
    async with a_shop() as shop:
        shop.end_with("dropped after", "answered", "dropped before")
        core = shop.core()

        async def enlarge(url: str) -> Generation:
            return await Tools(core).create(model="upscale", image_url=url)

        with pytest.raises(SubmissionUnknownError, match="may be this one"):
            await enlarge("http://x.test/1")
        await shop.time.sleep(100.0)
        await enlarge("http://x.test/2")
        await shop.time.sleep(100.0)
        await enlarge("http://x.test/3")  # nothing of the kind was listed, and one of ours without a prompt was
        assert len(shop.posts) == 4


BROKEN: dict[str, tuple[Reply | NeuralBoxError, float]] = {
    "no answer": (LOST, 60.0),
    "a proxy's page": (reply(502, b"<html>"), 60.0),
    "a page of a content network": (reply(403, b"<html>"), 60.0),
    "garbled": (reply(200, b'{"items": ['), 60.0),
    "no list": (reply(200, {"ok": True}), 60.0),
    "forbidden": (refusal(403, "insufficient_plan"), 0.0),
    "not there": (refusal(404, "not_found"), 0.0),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_a_history_that_cannot_be_read_is_no_reason_to_pay_twice(what: str) -> None:
    answer, waits = BROKEN[what]
    async with a_shop() as shop:
        shop.listing.fails = lambda number, now: answer
        shop.end_with("dropped before")
        core = shop.core(max_retries=1)
        error = await unknown(core)
        assert "history could not be read" in error.message
        assert len(shop.posts) == 1
        assert waits <= shop.time.elapsed <= waits + 12.0
        assert len(registry_of(core).unresolved) == 1


async def test_a_history_that_is_down_for_a_while_is_asked_until_it_is_back() -> None:
    async with a_shop() as shop:
        shop.listing.fails = lambda number, now: LOST if shop.time.elapsed < 40.0 else None
        shop.end_with("dropped after")
        assert (await draw(shop.core(max_retries=0))).id == 18_000


async def test_a_page_that_fails_does_not_hide_what_the_ones_before_it_showed() -> None:
    async with a_shop() as shop:
        shop.listing.page_size = 1
        shop.listing.fails = lambda number, now: LOST if number > 1 else None
        shop.end_with("dropped after")
        assert (await draw(shop.core(max_retries=0))).id == 18_000


@pytest.mark.parametrize("date", [None, "yesterday"])
async def test_without_the_services_clock_nothing_is_concluded(date: str | None) -> None:
    async with a_shop() as shop:
        shop.date = lambda now: None
        if date is not None:
            shop.date = lambda now: date
        shop.end_with("dropped before", "answered", "dropped before")
        core = shop.core()
        error = await unknown(core)
        assert "clock is not known" in error.message
        assert error.window is None
        assert len(shop.posts) == 1
        # What is ours tells the clock as well.
        await draw(core, "A hen")
        assert (await draw(core, "A cock")).id == 18_001
        assert len(shop.posts) == 4


async def test_without_the_services_clock_the_only_equal_generation_is_adopted() -> None:
    async with a_shop() as shop:
        shop.date = lambda now: None
        shop.listing.page_size = 2
        for number in range(5):
            shop.make({"model": "dall-e-3", "prompt": f"Hen {number}"}, foreign=True)
        await shop.time.sleep(100.0)
        shop.end_with("dropped after")
        assert (await draw(shop.core())).id == 18_005
        assert [number for _, number, *_ in shop.pages] == [1, 2, 3] * 2


async def test_the_clock_of_an_earlier_answer_serves_where_the_history_tells_none() -> None:
    async with a_shop() as shop:
        shop.ahead = 500.0
        core = shop.core()
        await draw(core, "A hen")
        shop.date = lambda now: None
        shop.end_with("-", "dropped after")
        assert (await draw(core)).id == 18_001


async def test_a_history_too_long_to_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuralbox._submissions.reconcile.MOST_PAGES", 3)
    async with a_shop() as shop:
        core = shop.core()
        await draw(core, "A cock")
        for _ in range(20):
            shop.make({"model": "dall-e-3", "prompt": "A hen"}, foreign=True)
        shop.listing.page_size = 2
        shop.end_with("-", "dropped before")
        error = await unknown(core)
        assert "back to the time of sending" in error.message
        assert max(number for _, number, *_ in shop.pages) == 3


# The caller's patience.


async def test_a_claim_that_cannot_settle_before_the_deadline_is_told_after_one_look() -> None:
    async with a_shop() as shop:
        shop.end_with("answered", "dropped before", "dropped after")
        core = shop.core(deadline=30.0)
        await draw(core, "A hen")
        before = shop.time.elapsed
        await unknown(core)
        assert shop.time.elapsed - before < 1.0
        assert len(shop.pages) == 1
        # What is there to be found is found all the same.
        assert (await draw(core, "A dog")).is_completed


async def test_repetitions_share_one_deadline() -> None:
    async with a_shop() as shop:
        shop.ends = lambda number, body: "answered" if body["prompt"] == "A hen" else "dropped before"
        core = shop.core(deadline=100.0)
        await draw(core, "A hen")
        await unknown(core)
        assert len(shop.posts) == 3
        assert shop.time.elapsed < 100.0


async def test_a_look_that_outlasts_the_deadline_is_cut_off() -> None:
    async with a_shop() as shop:
        shop.end_with("dropped after")
        core = shop.core(deadline=0.2)
        asked = anyio.Event()

        async def hang(seconds: float) -> None:
            await asked.wait()

        def stall(*_: object) -> None:
            shop.time.sleep = hang  # type: ignore[method-assign]

        shop.listing.fails = stall
        shop.detail = stall
        shop.listing.page_size = 1
        shop.listing.shown = lambda item: {**item, "prompt": None}
        error = await unknown(core)
        assert "deadline" in error.message


async def test_a_cancelled_caller_leaves_its_request_among_the_unresolved() -> None:
    async with a_shop() as shop:
        shop.end_with("answered", "dropped before", "answered")
        core = shop.core()
        await draw(core, "A hen")
        for moment in (5.0, 0.04):  # while it is looked for, and while its answer is awaited
            async with anyio.create_task_group() as group:
                group.start_soon(draw, core, f"A fox at {moment}")
                await shop.time.sleep(moment)
                group.cancel_scope.cancel()
        left = registry_of(core).unresolved
        assert [each.request["prompt"] for each in left] == ["A fox at 5.0", "A fox at 0.04"]
        assert all("caller left" in each.why for each in left)
        await shop.time.sleep(1.0)
        outcome = await reconcile(core)
        assert outcome.absent == left  # the shop drops an order with its connection
        assert outcome.adopted == ()
        assert outcome.open == ()
        assert await reconcile(core) == Reconciliation()


async def test_a_cancelled_reconcile_forgets_nothing() -> None:
    async with a_shop() as shop:
        shop.end_with("dropped before")
        core = shop.core()
        await unknown(core)
        shop.latency = 1_000.0
        async with anyio.create_task_group() as group:
            group.start_soon(reconcile, core)
            await shop.time.sleep(1.0)
            assert registry_of(core).unresolved == ()  # somebody sees to it
            group.cancel_scope.cancel()
        assert len(registry_of(core).unresolved) == 1


async def test_what_a_cancelled_reconcile_had_found_is_found_again() -> None:
    async with a_shop() as shop:
        shop.ends = lambda number, body: "dropped after" if body["prompt"] == "A fox" else "dropped before"
        core = shop.core(submission="raise")
        await unknown(core)
        await unknown(core, "A hen")
        with pytest.raises(SubmissionUnknownError):
            await Videos(core).submit(model="kling-v2.1", prompt="A dog")
        async with anyio.create_task_group() as group:
            group.start_soon(reconcile, core)
            await shop.time.sleep(20.0)  # one is found, one has settled without a proof, one is looked for
            group.cancel_scope.cancel()
        assert len(registry_of(core).unresolved) == 3
        outcome = await reconcile(core)
        assert [each.job.id for each in outcome.adopted] == [18_000]
        assert [each.request["prompt"] for each in outcome.absent] == ["A hen"]
        assert [each.request["prompt"] for each in outcome.open] == ["A dog"]


async def test_a_cancellation_before_anything_left_leaves_nothing() -> None:
    async with a_shop() as shop:
        shop.end_with("429")
        core = shop.core()
        async with anyio.create_task_group() as group:
            group.start_soon(draw, core)
            await shop.time.sleep(0.5)  # in the pause that was asked for
            group.cancel_scope.cancel()
        assert registry_of(core).unresolved == ()


async def test_a_bug_while_the_answer_is_read_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object, **__: object) -> None:
        raise KeyError("a bug")

    async with a_shop() as shop:
        core = shop.core()
        with monkeypatch.context() as patched:
            patched.setattr(submission.Submission, "read", bug)
            with pytest.raises(KeyError):
                await draw(core)
        assert len(registry_of(core).unresolved) == 1
        assert [each.job.id for each in (await reconcile(core)).adopted] == [18_000]


# A person decides.


async def test_where_no_proof_comes_a_person_decides() -> None:
    async with a_shop() as shop:
        shop.listing.shown = lambda item: {**item, "prompt": None}
        shop.ends = lambda number, body: "dropped after"
        core, said = shop.core(submission="raise"), list[str]()

        class Tokens(Admission):
            def accepted(self, generation: Generation) -> None:
                said.append(f"spent for {generation.id}")

            def release(self) -> None:
                said.append("given back")

        registry = registry_of(core)
        for prompt in ("A fox", "A hen", "A dog"):
            await unknown(core, prompt)
        for pending in registry.opened:
            pending.admission = Tokens(core, None)
        fox, hen, dog = registry.unresolved
        ref = fox.adopt(18_000)
        assert ref == JobRef(18_000, "image", "dall-e-3")
        with pytest.raises(ConfigurationError, match="another request"):
            hen.adopt(18_000)
        assert hen.resend()["prompt"] == "A hen"
        dog.give_up()
        assert said == ["spent for 18000", "given back"]
        assert registry.unresolved == ()
        for settled in (fox, hen, dog):
            with pytest.raises(ConfigurationError, match="settled already"):
                settled.give_up()
        assert len(shop.posts) == 3
        assert not (await reconcile(core)).open


async def test_a_decision_needs_no_budget_and_a_settled_one_takes_none() -> None:
    async with a_shop() as shop:
        shop.end_with("dropped after", "dropped after")
        core = shop.core(submission="raise")
        await unknown(core)
        await unknown(core, "A hen")
        for pending in registry_of(core).opened:
            pending.admission = None
        fox, hen = registry_of(core).unresolved
        assert fox.adopt("gen_1").id == "gen_1"
        hen.resend()
        with pytest.raises(ConfigurationError, match="settled already"):
            UnresolvedSubmission({}).give_up()


# Many at once.


@dear
async def test_claims_that_wait_together_share_their_walks() -> None:
    async with a_shop() as shop:
        shop.ends = lambda number, body: "dropped after" if number % 10 == 1 else "answered"
        core = shop.core()
        answers: list[Generation] = []

        async def one(number: int) -> None:
            answers.append(await draw(core, f"Fox {number}"))

        async with anyio.create_task_group() as group:
            for number in range(300):
                group.start_soon(one, number)
        assert len(answers) == len(shop.charged) == 300
        assert len({answer.id for answer in answers}) == 300
        assert len(shop.pages) <= 2 * 3  # three pages hold 300
        assert len(shop.details) == 30


async def test_a_walk_that_began_before_a_claim_was_lost_is_not_trusted_for_it() -> None:
    async with a_shop() as shop:
        shop.latency = 1.0
        shop.end_with("dropped after", "dropped after")
        core = shop.core()

        async def later() -> None:
            await shop.time.sleep(0.9)
            assert (await draw(core, "A hen")).is_completed

        async with anyio.create_task_group() as group:
            group.start_soon(later)
            assert (await draw(core)).is_completed
        assert len(shop.posts) == 2


async def test_another_takes_over_when_the_one_that_walks_is_cancelled() -> None:
    async with a_shop() as shop:
        shop.end_with("dropped after", "dropped after")
        core = shop.core()
        answers: list[Generation] = []
        scope = anyio.CancelScope()

        async def first() -> None:
            with scope:
                await draw(core)

        async def second() -> None:
            answers.append(await draw(core, "A hen"))

        async with anyio.create_task_group() as group:
            group.start_soon(first)
            group.start_soon(second)
            await shop.time.sleep(0.15)
            scope.cancel()
        assert [answer.is_completed for answer in answers] == [True]
        assert len(registry_of(core).unresolved) == 1


async def test_equal_requests_that_are_lost_together_get_one_generation_each() -> None:
    async with a_shop() as shop:
        shop.end_with("dropped after", "dropped after", "dropped before", "dropped after", "answered")
        core = shop.core()
        answers: list[int | str] = []

        async def one() -> None:
            answers.append((await draw(core)).id)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(one)
        assert len(set(answers)) == len(answers) == len(shop.charged) == 5
        assert len(shop.posts) == 6


async def test_one_prompt_for_two_kinds_makes_no_equal_requests() -> None:
    async with a_shop() as shop:
        shop.end_with("dropped after", "dropped after")
        core = shop.core()
        async with anyio.create_task_group() as group:
            group.start_soon(draw, core)
            group.start_soon(lambda: Videos(core).submit(model="kling-v2.1", prompt="A fox"))
        assert len(shop.posts) == len(shop.charged) == 2
        assert registry_of(core).unresolved == ()


async def test_differing_requests_with_one_prompt_are_told_apart_by_their_details() -> None:
    async with a_shop() as shop:
        shop.end_with(*["dropped after"] * 4)
        core = shop.core()
        seeds: dict[int, int | None] = {}

        async def one(seed: int) -> None:
            seeds[seed] = (await draw(core, seed=seed)).seed

        async with anyio.create_task_group() as group:
            for seed in (1, 2, 3, 4):
                group.start_soon(one, seed)
        assert seeds == {1: 1, 2: 2, 3: 3, 4: 4}
        assert len(shop.details) <= 8  # asked for once in a walk, shared by all


async def test_what_cannot_be_told_apart_is_told_to_both_callers() -> None:
    async with a_shop() as shop:
        shop.end_with("dropped after", "dropped after")
        core = shop.core()
        errors: list[SubmissionUnknownError] = []

        async def one(temperature: float) -> None:
            with pytest.raises(SubmissionUnknownError) as caught:
                await Text(core).create(model="gpt-5", prompt="Greet me", temperature=temperature)
            errors.append(caught.value)

        async with anyio.create_task_group() as group:
            group.start_soon(one, 0.1)
            group.start_soon(one, 0.9)
        assert [len(error.candidates) for error in errors] == [2, 2]
        assert len(registry_of(core).unresolved) == 2


async def test_an_equal_request_that_got_what_was_anothers_leaves_it_its_own_window() -> None:
    """One that was sent 5 s later takes the first's generation; the first must then look for the other's, and as long."""
    async with a_shop() as shop:
        shop.end_with("answered", "dropped after", "dropped after")
        core = shop.core()
        lags = iter([0.0, 7.6, 7.6])
        shop.listing.lag = lambda: next(lags, 0.0)
        await Videos(core).submit(model="kling-v2.1", prompt="A hen")
        ids: list[int | str] = []

        async def one(after: float) -> None:
            await shop.time.sleep(after)
            ids.append((await Videos(core).submit(model="kling-v2.1", prompt="A fox")).id)

        async with anyio.create_task_group() as group:
            group.start_soon(one, 0.0)
            group.start_soon(one, 5.5)
        assert sorted(map(str, ids)) == ["18001", "18002"]
        assert len(shop.posts) == 3


async def test_an_earlier_equal_request_hands_its_window_on_as_well() -> None:
    async with a_shop() as shop:
        core = shop.core()
        registry = registry_of(core)
        entries = []
        for key, sent in (("early", 1_000.0), ("late", 1_004.0)):
            entry = PendingSubmission(Claim(key, "image", "dall-e-3", "A fox"), image(), None, Attempt(0.0))
            entry.ending.sent_clock = sent
            registry.begin(entry)
            registry.mark_unknown(entry)
            entries.append(entry)
        registry.note_clock("Sun, 08 Mar 2026 12:00:00 GMT", asked=registry.clock())
        early, late = entries
        assert registry.sent(late) == START + 4.0
        registry.adopt(early, HistoryEntry(7, "image", "dall-e-3", "A fox", START + 4.0, {}))
        assert registry.sent(late) == START


async def test_a_clock_that_was_read_late_keeps_the_window_open_for_as_long() -> None:
    async with a_shop() as shop:
        registry = registry_of(shop.core())
        entry = PendingSubmission(Claim("one", "image", "dall-e-3", "A fox"), image(), None, Attempt(0.0))
        entry.ending.sent_clock = registry.clock()
        registry.begin(entry)
        registry.mark_unknown(entry)
        closes = []
        for late in (0.0, 8.0):  # how long the answer took that brought the date
            registry.note_clock("Sun, 08 Mar 2026 12:00:00 GMT", asked=registry.clock() - late)
            context = registry.context_of(entry, Walk(), registry.clock(), {}, NO_EVIDENCE)
            closes.append(max(context.lost, context.left_until))
        assert closes[1] - closes[0] == pytest.approx(8.0)


async def test_an_equal_request_in_flight_is_waited_for_and_keeps_what_is_its() -> None:
    async with a_shop() as shop:
        core = shop.core()
        shop.ends = lambda number, body: "dropped before" if number == 2 else "answered"
        seconds = iter([40.0, 0.1])
        shop.latency = lambda: next(seconds, 0.1)
        answers: list[int | str] = []

        async def one() -> None:
            answers.append((await draw(core)).id)

        async with anyio.create_task_group() as group:
            group.start_soon(one)
            group.start_soon(one)
        assert sorted(map(str, answers)) == ["18000", "18001"]
        assert len(shop.charged) == 2


async def test_an_equal_request_that_never_answers_is_not_waited_for_for_ever() -> None:
    async with a_shop() as shop:
        core = shop.core()
        shop.end_with("answered", "dropped before")
        seconds = iter([2_000.0])
        shop.latency = lambda: next(seconds, 0.1)
        async with anyio.create_task_group() as group:
            group.start_soon(draw, core)
            await shop.time.sleep(0.01)
            error = await unknown(core)
            assert "still in flight" in error.message
            assert 300.0 <= shop.time.elapsed <= 315.0
            group.cancel_scope.cancel()


# Policies.


async def test_raise_looks_for_nothing() -> None:
    async with a_shop() as shop:
        shop.end_with("dropped after", "500")
        core = shop.core(submission="raise")
        await unknown(core)
        assert shop.pages == []
        assert len(registry_of(core).unresolved) == 1
        assert isinstance((await unknown(core, "A hen")).__cause__, ProviderError)
        assert len(shop.posts) == 2
        assert len(registry_of(core).unresolved) == 2


async def test_resend_sends_again_without_looking_and_may_pay_twice() -> None:
    async with a_shop() as shop:
        shop.end_with("dropped after", "500", "answered", *["dropped after"] * 3)
        core = shop.core(submission="resend")
        assert (await draw(core)).id == 18_001
        assert shop.charged == [18_000, 18_001]
        assert registry_of(core).unresolved == ()
        await unknown(core, "A hen")  # as often as `max_retries` says
        assert len(shop.posts) == 6
        assert shop.pages == []
        assert len(registry_of(core).unresolved) == 1


# 500, which is documented as free and not believed.


async def test_a_failure_of_the_provider_is_repeated_once_it_is_proven_that_nothing_was_accepted() -> None:
    async with a_shop() as shop:
        core = shop.core()
        await draw(core, "A hen")
        shop.end_with("answered", "500", "500")
        assert (await draw(core)).id == 18_001
        assert len(shop.posts) == 4
        assert shop.charged == [18_000, 18_001]


async def test_a_failure_of_the_provider_that_lasts_is_raised_as_free() -> None:
    async with a_shop() as shop:
        core = shop.core()
        await draw(core, "A hen")
        shop.ends = lambda number, body: "500"
        with pytest.raises(ProviderError, match="not accepted, so nothing was charged"):
            await draw(core)
        assert len(shop.posts) == 1 + 3
        assert registry_of(core).unresolved == ()


async def test_a_failure_of_the_provider_that_was_charged_is_found_however_late_it_is_listed() -> None:
    async with a_shop() as shop:
        core = shop.core()
        await draw(core, "A hen")
        shop.listing.lag = 5.0
        shop.end_with("answered", "500 after", "500 after")
        assert (await draw(core)).id == 18_001
        assert (await draw(core, "A cow")).id == 18_002
        assert len(shop.posts) == 3


@pytest.mark.parametrize("lag", [3.0, 20.0])
async def test_a_free_failure_that_was_charged_and_is_listed_late_is_not_bought_again(lag: float) -> None:
    async with a_shop() as shop:
        shop.listing.lag = lag
        shop.ends = lambda number, body: "500 after" if number % 3 == 0 else "answered"
        core = shop.core()
        for number in range(12):
            await draw(core, f"Number {number}")
        assert len(shop.posts) == len(shop.charged) == 12


async def test_a_failure_of_the_provider_is_unknown_when_the_history_cannot_be_read() -> None:
    async with a_shop() as shop:
        shop.listing.fails = lambda number, now: refusal(403, "insufficient_plan")
        shop.end_with("500")
        core = shop.core()
        error = await unknown(core)
        assert isinstance(error.__cause__, ProviderError)
        assert len(shop.posts) == 1
        assert len(registry_of(core).unresolved) == 1


async def test_a_failure_of_the_provider_with_something_like_it_in_the_history_is_unknown() -> None:
    async with a_shop() as shop:
        shop.listing.shown = lambda item: {**item, "prompt": None}
        shop.end_with("500 after")
        core = shop.core()
        error = await unknown(core)
        assert isinstance(error.__cause__, ProviderError)
        assert len(shop.posts) == 1


async def test_a_cancellation_after_a_failure_of_the_provider_keeps_it() -> None:
    async with a_shop() as shop:
        shop.listing.lag = 5.0
        shop.end_with("500 after")
        core = shop.core()
        async with anyio.create_task_group() as group:
            group.start_soon(draw, core)
            await shop.time.sleep(0.2)
            group.cancel_scope.cancel()
        assert [each.job.id for each in (await reconcile(core)).adopted] == [18_000]


# Who is told.


class Notes:
    """A witness that keeps what it is told, and fails as it is told to."""

    def __init__(self, fails: str = "", core: Core | None = None) -> None:
        self.notes: list[str] = []
        self.claims: list[Claim] = []
        self.fails = fails
        self.core = core

    async def sending(self, claim: Claim) -> None:
        self.claims.append(claim)
        await self._note("sending")

    async def accepted(self, generation: Generation) -> None:
        await self._note(f"accepted {generation.id}")

    async def refused(self) -> None:
        await self._note("refused")

    async def _note(self, what: str) -> None:
        if self.core is not None:
            await self.core.sleep(0.5)
        if self.fails and what.startswith(self.fails):
            raise JournalError("The disk is full.")
        self.notes.append(what)


async def buy(core: Core, witness: Notes, **options: Any) -> Generation:
    return await submission.send(
        core, image(), NO_CALL_OPTIONS, kind="image", model="dall-e-3", witness=witness, **options
    )


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
async def test_a_witness_is_told_before_anything_else_happens(ends: list[str], expected: list[str]) -> None:
    async with a_shop() as shop:
        shop.end_with("answered", *ends)
        core = shop.core()
        await draw(core, "A hen")
        witness = Notes()
        try:
            await buy(core, witness)
        except NeuralBoxError:
            assert expected[-1] == "refused"
        assert witness.notes == expected
        assert len({claim.key for claim in witness.claims}) == 1
        assert all(claim.lost_at is None and claim.sent_at is not None for claim in witness.claims)


async def test_a_witness_of_an_unknown_outcome_hears_nothing_more() -> None:
    async with a_shop() as shop:
        shop.end_with("dropped before")
        witness = Notes()
        with pytest.raises(SubmissionUnknownError):
            await buy(shop.core(), witness)
        assert witness.notes == ["sending"]


async def test_what_cannot_be_written_down_is_not_sent() -> None:
    async with a_shop() as shop:
        core = shop.core()
        with pytest.raises(JournalError):
            await buy(core, Notes("sending"))
        assert shop.posts == []
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
async def test_a_cancellation_never_leaves_a_witness_with_half_the_story(
    cancelled_at: float, expected: list[str], posts: int
) -> None:
    async with a_shop() as shop:
        core = shop.core()
        witness = Notes(core=core)
        async with anyio.create_task_group() as group:
            group.start_soon(buy, core, witness)
            await shop.time.sleep(cancelled_at)
            group.cancel_scope.cancel()
        assert witness.notes == expected
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


# A claim of an earlier run.


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
        witness = Notes()
        answer = await buy(shop.core(), witness, claim=claim)
        assert answer.id == 18_000
        assert witness.notes == ["accepted 18000"]
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

        witness = Notes()
        async with anyio.create_task_group() as group:
            group.start_soon(another)
            assert (await buy(core, witness, claim=claim)).id == 18_001
        assert witness.notes == ["sending", "accepted 18001"]
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
        witness = Notes()
        await buy(core, witness)
        again = await buy(core, witness, claim=Claim.from_dict(witness.claims[0].to_dict()))
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
        witness = Notes()
        with pytest.raises(NeuralBoxError, match="nothing was charged"):
            await buy(core, witness, claim=claim)
        assert witness.notes == ["refused"]
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


# The same twice.


async def test_two_equal_requests_within_seconds_are_worth_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    async with a_shop() as shop:
        core = shop.core()

        async def warnings(*prompts: str, **options: Any) -> int:
            caplog.clear()
            for prompt in prompts:
                await draw(core, prompt, **options)
            assert "planted" not in caplog.text
            return sum("sent twice" in record.getMessage() for record in caplog.records)

        assert await warnings("planted", "planted", "planted") == 1
        assert await warnings("planted", seed=1) == 0
        assert await warnings("another planted") == 0
        await shop.time.sleep(11.0)
        assert await warnings("planted") == 0
        assert await warnings("planted") == 1
        for number in range(300):
            await draw(core, f"Number {number}")
        core = core.with_options(core.options.with_changes(warn_duplicates=False))
        assert await warnings("x", "x") == 0


async def test_repetitions_of_ours_and_those_of_a_batch_are_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with a_shop() as shop:
        shop.end_with("answered", "500", "answered")
        core = shop.core()
        await draw(core, "A hen")
        await draw(core)
        await buy(core, Notes())
        await buy(core, Notes())
    assert caplog.records == []


# What is kept.


async def test_more_unresolved_ones_than_can_be_kept_push_out_the_oldest_and_say_so(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "MOST_OPEN", 2)
    async with a_shop() as shop:
        shop.ends = lambda number, body: "dropped after"
        core = shop.core(submission="raise")
        for number in range(3):
            await unknown(core, f"planted {number}")
        assert [each.request["prompt"] for each in registry_of(core).unresolved] == ["planted 1", "planted 2"]
    assert "the oldest is forgotten" in caplog.text
    assert "planted" not in caplog.text


async def test_the_ids_of_long_ago_are_forgotten_but_not_those_an_open_claim_may_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(owned_module, "MOST_OWNED", 3)
    async with a_shop() as shop:
        core = shop.core()
        registry = registry_of(core)
        for number in range(5):
            registry.own(number)
        assert [*registry.owned] == ["2", "3", "4"]
        shop.end_with("dropped before")
        await unknown(core)
        for number in range(5, 40):
            registry.own(number)
        assert len(registry.owned) == 30  # whatever happens, not more than ten times as many


async def test_a_registry_belongs_to_an_account_and_goes_with_its_connections() -> None:
    async with a_shop() as shop, a_shop() as other:
        core = shop.core()
        assert registry_of(core) is registry_of(core.with_options(core.options.with_changes(max_retries=9)))
        assert registry_of(core) is not registry_of(other.core())
        assert registry_of(core) is not registry_of(shop.core(base_url="http://other.test"))


async def test_two_submissions_never_adopt_the_same() -> None:
    async with a_shop() as shop:
        core = shop.core()
        registry = registry_of(core)
        entries = []
        for key in "ab":
            entry = PendingSubmission(Claim(key, "image", "dall-e-3", "A fox"), image(), None, Attempt(0.0))
            registry.begin(entry)
            registry.mark_unknown(entry)
            entries.append(entry)
        item = HistoryEntry(7, "image", "dall-e-3", "A fox", START, {})
        assert registry.adopt(entries[0], item)
        assert not registry.adopt(entries[1], item)
        assert not registry.adopt(entries[0], HistoryEntry(8, "image", "dall-e-3", "A fox", START, {}))


async def test_a_claim_that_is_beaten_to_its_generation_looks_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def beaten(self: Registry, entry: PendingSubmission, item: HistoryEntry) -> bool:
        self.own(item.id)  # by another loop, in another thread
        return False

    async with a_shop() as shop:
        shop.end_with("dropped after")
        monkeypatch.setattr(Registry, "adopt", beaten)
        await unknown(shop.core())


async def test_only_so_many_details_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "_DETAILS_KEPT", 2)
    async with a_shop() as shop:
        shop.end_with(*["dropped after"] * 4)
        core = shop.core()
        for number in range(4):
            await draw(core, f"Number {number}")
        assert [*registry_of(core).details] == ["18002", "18003"]


async def test_how_long_settling_takes_can_be_set_for_programs_that_test_themselves() -> None:
    async with a_shop() as shop:
        core = shop.core()
        registry_of(core).settling = SettlePolicy(0.5, 1.0)
        shop.end_with("answered", "dropped before")
        await draw(core, "A hen")
        await draw(core)
        assert shop.time.elapsed < 3.0

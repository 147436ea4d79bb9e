"""A lost answer is looked for in the history: found and adopted, proven absent and sent again, or told as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from neuralbox._api.builders import Message
from neuralbox._config import NO_CALL_OPTIONS
from neuralbox._core.exchange import Core
from neuralbox._core.reply_capture import capture_replies
from neuralbox._errors import (
    ConnectionLostError,
    GenerationFailedError,
    InternalServerError,
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
from neuralbox._submissions import submission
from neuralbox._submissions.matching import SETTLE
from neuralbox._submissions.reconcile import reconcile
from neuralbox._submissions.registry import registry_of
from neuralbox._transport import Reply
from neuralbox._types import JobRef
from tests.helpers import START, refusal, reply

from ..service import LOST, a_shop
from .support import FOX, draw, film, image, unknown

pytestmark = pytest.mark.anyio


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


@pytest.mark.parametrize(("lag", "pause"), [(0.3, 0.5), (2.2, 1.0), (5.0, 2.5), (23.0, 10.0)])
async def test_a_lost_request_is_looked_for_often_at_first_and_then_less(lag: float, pause: float) -> None:
    async with a_shop() as shop:
        shop.end_with("answered", "dropped after")
        core = shop.core()
        await draw(core, "A hen")
        await shop.time.sleep(20.0)  # another program that began together with this one would show by now
        before, asked = shop.time.elapsed + lag, len(shop.pages)
        shop.listing.lag = lag
        assert (await draw(core)).id == 18_001
        assert shop.time.elapsed - before <= pause + 0.5
        assert len(shop.pages) - asked <= 15


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


async def test_what_is_sent_again_has_as_many_attempts_as_the_first_time() -> None:
    async with a_shop() as shop:
        shop.end_with("answered", "429", "dropped before", "429", "answered")
        core = shop.core(max_retries=1)
        await draw(core, "A hen")
        assert (await draw(core)).is_completed
        assert len(shop.posts) == 5


async def test_what_is_sent_again_is_not_among_the_lost_any_more() -> None:
    """Or an equal request would take what is made for it."""
    async with a_shop() as shop:
        core, lost = shop.core(), list[list[float | None]]()

        def end(number: int, _: object) -> str:
            lost.append([each.lost for each in registry_of(core)._submissions.values()])
            return "dropped before" if number == 2 else "answered"

        shop.ends = end
        await draw(core, "A hen")
        assert (await draw(core)).is_completed
        assert lost == [[None]] * 3


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

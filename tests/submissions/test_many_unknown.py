"""Several answers are lost together, of equal requests too; and how much is kept of them."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import anyio
import pytest

from neuralbox._core.exchange import Attempt
from neuralbox._core.retry import AttemptOutcome
from neuralbox._errors import SubmissionUnknownError
from neuralbox._models.generation import Generation
from neuralbox._resources.text import Text
from neuralbox._resources.videos import Videos
from neuralbox._submissions import owned as owned_module
from neuralbox._submissions import reconcile
from neuralbox._submissions import registry as registry_module
from neuralbox._submissions.claim import Claim, HistoryEntry
from neuralbox._submissions.evidence import NO_EVIDENCE
from neuralbox._submissions.match_context import context_of
from neuralbox._submissions.pending import PendingSubmission
from neuralbox._submissions.registry import Registry, SettlePolicy, registry_of
from neuralbox._submissions.walk import Walk
from tests.helpers import START, make_core

from ..helpers import dear
from ..service import a_shop
from .support import FOX, Notes, buy, draw, image, unknown

pytestmark = pytest.mark.anyio


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


async def test_whoever_comes_during_a_walk_reads_the_next_one_and_nothing_is_kept_when_nobody_waits() -> None:
    async with a_shop() as shop:
        core, scope, reads = shop.core(), anyio.CancelScope(), list[int]()
        walker = reconcile._walker_of(core)

        async def look() -> None:
            entry = PendingSubmission(Claim("k"), image(), None, Attempt(core.clock()))
            reads.append((await walker.read(core, entry)).number)

        async with anyio.create_task_group() as group:
            group.start_soon(look)
            await shop.time.sleep(0.05)
            group.start_soon(look)
            group.start_soon(look)
        assert (reads, len(shop.pages)) == ([1, 2, 2], 2)
        assert (walker._waiting, walker._last) == (set(), None)
        with scope:
            async with anyio.create_task_group() as group:
                group.start_soon(look)
                await shop.time.sleep(0.05)
                scope.cancel()
        assert (walker._waiting, walker._last) == (set(), None)


async def test_a_walk_goes_back_as_far_as_the_oldest_of_those_who_share_it_needs() -> None:
    async with a_shop() as shop:
        shop.listing.page_size = 1
        core = shop.core(submission="raise", draw_seed=True)
        shop.end_with("dropped after", "dropped after")
        for prompt in ("A fox", "A dog"):
            await unknown(core, prompt)
            await shop.time.sleep(600.0)
            for number in range(3):
                shop.make({"model": "dall-e-3", "prompt": f"hen {number}"}, foreign=True)
            await shop.time.sleep(600.0)
        outcome = await reconcile.reconcile(core)
        assert [each.submission.request["prompt"] for each in outcome.adopted] == ["A fox", "A dog"]


async def test_another_asks_for_the_details_when_the_one_that_asks_is_cancelled() -> None:
    async with a_shop() as shop:
        name, core, scope = str(shop.make(FOX).id), shop.core(), anyio.CancelScope()
        walk = Walk()
        walk.items[name] = HistoryEntry(name, "image", "dall-e-3", "A fox", None, {})
        read = reconcile._HistoryRead(1, core.clock(), walk)
        entry = PendingSubmission(Claim("k"), image(), None, Attempt(core.clock()))

        async def ask() -> None:
            await reconcile._ask(core, registry_of(core), entry, read, name)

        async def leave() -> None:
            with scope:
                await ask()

        async with anyio.create_task_group() as group:
            group.start_soon(leave)
            await shop.time.sleep(0.05)
            group.start_soon(ask)
            await shop.time.sleep(0.04)
            scope.cancel()
        assert shop.details == [name, name]
        assert read.details[name] is not None
        assert read.asking == {}


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


@pytest.mark.parametrize("outcome", [None, AttemptOutcome.UNKNOWN])
@pytest.mark.parametrize("is_lost", [False, True])
def test_what_had_left_in_a_loop_that_was_closed_is_unresolved(
    *, is_lost: bool, outcome: AttemptOutcome | None
) -> None:
    registry = registry_of(make_core([]).core)

    async def begin(*, sent: bool, outcome: AttemptOutcome | None) -> PendingSubmission:
        claim = Claim(f"{sent} {outcome}", "image", "dall-e-3", "A fox")
        entry = PendingSubmission(claim, image(), None, Attempt(0.0))
        entry.ending.sent, entry.ending.outcome = sent, outcome
        registry.begin(entry)
        if is_lost and sent:
            registry.mark_unknown(entry)
        assert registry.opened == []
        return entry

    asyncio.run(begin(sent=False, outcome=None))
    entry = asyncio.run(begin(sent=True, outcome=outcome))
    (found,) = registry.unresolved
    assert (found.model, found.why) == ("dall-e-3", "its event loop was closed before the answer came")
    assert found.lost_at is not None

    async def look() -> None:
        with registry.attended(entry):
            assert registry.unresolved == ()

    asyncio.run(look())
    assert registry.opened == [entry]


def test_what_was_refused_and_paused_in_a_loop_that_was_closed_is_not_unresolved() -> None:
    registry = registry_of(make_core([]).core)

    async def begin() -> None:
        entry = PendingSubmission(Claim("one", "image", "dall-e-3", "A fox"), image(), None, Attempt(0.0))
        entry.ending.sent, entry.ending.outcome = True, AttemptOutcome.BUSY
        registry.begin(entry)

    asyncio.run(begin())
    assert registry.unresolved == ()


def test_a_registry_whose_lock_was_held_at_a_fork_has_another_one_in_the_child() -> None:
    registry = registry_of(make_core([]).core)
    entry = PendingSubmission(Claim("one", "image", "dall-e-3", "A fox"), image(), None, Attempt(0.0))
    registry.begin(entry)
    registry_module._lock.__enter__()  # by another thread, let us say
    registry_module._lock._renew()  # what the fork hook does
    assert registry.adopt(entry, HistoryEntry(7, "image", "dall-e-3", "A fox", START, {}))


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
            context = context_of(registry, entry, Walk(), registry.clock(), {}, NO_EVIDENCE)
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

"""How long a lost answer is looked for, and what happens where nobody looks, looking is cancelled, or a person decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from neuralbox._budget import Budget
from neuralbox._config import NO_CALL_OPTIONS
from neuralbox._core.exchange import Attempt, Core
from neuralbox._costs.charges import batch_mark, charges_of
from neuralbox._errors import (
    ConfigurationError,
    NeuralBoxError,
    ProviderError,
    RateLimitError,
    SubmissionUnknownError,
)
from neuralbox._models.generation import Generation
from neuralbox._rate_limit.limiter import limiter_of
from neuralbox._rate_limit.windows import Window, Windows
from neuralbox._resources.videos import Videos
from neuralbox._submissions import submission
from neuralbox._submissions.admission import Admission
from neuralbox._submissions.claim import Claim
from neuralbox._submissions.pending import PendingSubmission, UnresolvedSubmission
from neuralbox._submissions.reconcile import Reconciliation, reconcile
from neuralbox._submissions.registry import registry_of
from neuralbox._submissions.shared_record import SharedRecord
from neuralbox._submissions.submission import Submission
from neuralbox._transport.closing import announce_closed, announce_open
from neuralbox._types import JobRef
from tests.helpers import Play, Sent, make_core, refusal, reply

from ..service import LOST, a_shop
from .support import FOX, Notes, buy, draw, image, unknown

pytestmark = pytest.mark.anyio


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


async def test_who_cannot_wait_until_another_program_would_show_is_told_before_the_deadline() -> None:
    async with a_shop() as shop:
        shop.end_with("dropped after")
        error = await unknown(shop.core(deadline=5.0))
        assert shop.time.elapsed < 5.0
        assert [each.id for each in error.candidates] == [18_000]


async def test_repetitions_share_one_deadline() -> None:
    async with a_shop() as shop:
        shop.ends = lambda number, body: "answered" if body["prompt"] == "A hen" else "dropped before"
        core = shop.core(deadline=100.0)
        await draw(core, "A hen")
        await unknown(core)
        assert len(shop.posts) == 3
        assert shop.time.elapsed < 100.0


async def test_what_may_be_sent_twice_is_not_sent_once_more_after_the_deadline_and_stays_unknown() -> None:
    def lose_late(_: Sent) -> Play:
        bench.time.elapsed += 25.0
        return LOST

    bench = make_core([lose_late] * 4, submission="resend", deadline=50.0, max_retries=3)
    await unknown(bench.core)
    assert len(bench.sent) == 2
    assert len(registry_of(bench.core).unresolved) == 1


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


async def test_what_stays_unknown_is_told_by_what_the_newest_look_showed() -> None:
    async with a_shop() as shop:
        shop.end_with("dropped after")
        core = shop.core(submission="raise")
        await unknown(core)
        assert [each.candidates for each in registry_of(core).unresolved] == [()]
        shop.make(FOX, foreign=True)
        await shop.time.sleep(20.0)
        outcome = await reconcile(core)
        assert outcome.open == registry_of(core).unresolved
        assert [len(each.candidates) for each in outcome.open] == [2]


async def test_what_a_cancelled_reconcile_had_found_is_found_again() -> None:
    async with a_shop() as shop:
        shop.ends = lambda number, body: "dropped after" if body["prompt"] == "A fox" else "dropped before"
        core = shop.core(submission="raise")
        await unknown(core)
        await unknown(core, "A hen")
        with pytest.raises(SubmissionUnknownError):
            await Videos(core).submit(model="kling-v2.1", prompt="A dog")
        bills, budget = charges_of(core).bills, Budget(10)
        name = batch_mark(registry_of(core).opened[0].claim.key)  # a batch has sent the fox, say
        bills.add(name, kept := budget.reserve(4), None)
        async with anyio.create_task_group() as group:
            group.start_soon(reconcile, core)
            await shop.time.sleep(20.0)  # one is found, one has settled without a proof, one is looked for
            group.cancel_scope.cancel()
        assert len(registry_of(core).unresolved) == 3
        assert bills.reservations_of(name) == [kept]
        outcome = await reconcile(core)
        assert bills.reservations_of(18_000) == [kept]
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
            def accepted(self, generation: Generation, *, waits: bool = False) -> None:
                said.append(f"spent for {generation.id}")

            def release_tokens(self) -> None:
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


@pytest.mark.parametrize("policy", ["reconcile", "resend"])
async def test_a_client_that_is_closed_waits_for_nothing_before_it_looks_or_sends_again(policy: Any) -> None:
    async with a_shop() as shop:
        busy = reply(503, b"<html>busy</html>", retry_after="50")
        shop.ends = lambda number, body: "answered" if number == 1 else busy
        core = shop.core(submission=policy)
        await draw(core, "A hen")
        lost: type[NeuralBoxError] = SubmissionUnknownError if policy == "reconcile" else ConfigurationError

        async def lose() -> None:
            with pytest.raises(lost):
                await draw(core)

        looked = 0
        async with anyio.create_task_group() as group:
            group.start_soon(lose)
            await shop.time.sleep(4.2)  # between two looks, the second of which is at 5 s
            looked = len(shop.pages)
            announce_closed(shop)
        announce_open(shop)
        assert shop.time.elapsed == pytest.approx(4.3)
        assert (len(shop.posts), len(shop.pages)) == (2, looked)


async def test_a_client_that_is_closed_while_it_looks_for_all_ends_its_own_search_only() -> None:
    async with a_shop() as shop:
        closed = ConfigurationError("The client is closed; make another one, or enter it again.")
        core, ends = shop.core(), list[str]()
        await draw(core, "A hen")
        shop.end_with("answered", *["dropped before"] * 3)
        # The second page is for two of them, who came while the first was on its way.
        shop.listing.fails = lambda number, now: closed if len(shop.pages) == pages + 2 else None
        pages = len(shop.pages)

        async def lose(prompt: str) -> None:
            try:
                await draw(core, prompt)
                ends.append("sent again")
            except SubmissionUnknownError:
                ends.append("unknown")

        async with anyio.create_task_group() as group:
            for prompt in ("A fox", "A boat", "A hare"):
                group.start_soon(lose, prompt)
        assert sorted(ends) == ["sent again", "sent again", "unknown"]


@pytest.mark.parametrize("is_closed", [True, False])
async def test_what_is_proven_absent_and_not_sent_again_gives_its_tokens_back(
    *, is_closed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_shop() as shop:
        shop.end_with("answered", "dropped before")
        budget, scope, told = Budget(100), anyio.CancelScope(), list[str]()
        core = shop.core(budget=budget)
        await draw(core, "A hen")

        def tell(_: Submission, outcome: str, __: object = None) -> None:
            told.append(outcome)
            if outcome == "absent":
                announce_closed(shop) if is_closed else scope.cancel()

        monkeypatch.setattr(Submission, "_tell_hooks", tell)
        with scope, suppress(ConfigurationError):
            await draw(core)
        announce_open(shop)
        assert told == ["lost", "absent", "refused"]
        assert (budget.spent, budget.reserved, len(shop.posts)) == (2, 0, 2)


async def test_what_is_proven_absent_and_may_not_leave_again_is_written_down_as_refused() -> None:
    class StopError(Exception):
        pass

    async with a_shop() as shop:
        shop.end_with("answered", "dropped before")
        budget, notes, turns = Budget(100), Notes(), iter([False, True])
        core = shop.core(budget=budget)
        await draw(core, "A hen")

        @contextmanager
        def patience() -> Iterator[None]:
            if next(turns):
                raise StopError
            yield

        with pytest.raises(StopError):
            await submission.send(
                core, image(), NO_CALL_OPTIONS, kind="image", model="dall-e-3", recorder=notes, patience=patience
            )
        assert notes.notes == ["sending", "refused"]
        assert (budget.spent, budget.reserved, len(shop.posts)) == (2, 0, 2)


@pytest.mark.parametrize("is_closed", [True, False])
async def test_what_may_have_been_accepted_stays_unresolved_where_resend_does_not_come_to_it(
    *, is_closed: bool
) -> None:
    async with a_shop() as shop:
        shop.end_with("dropped after")
        core = shop.core(submission="resend")

        async def lose() -> None:
            with suppress(ConfigurationError):
                await draw(core)

        async with anyio.create_task_group() as group:
            group.start_soon(lose)
            while not shop.ledger:
                await anyio.wait_all_tasks_blocked()
                await shop.time.sleep(0.1)
            await shop.time.sleep(0.1)
            announce_closed(shop) if is_closed else group.cancel_scope.cancel()
        announce_open(shop)
        assert (len(shop.posts), len(registry_of(core).unresolved)) == (1, 1)


@pytest.mark.parametrize("refuses_seed", [True, False])
async def test_the_sending_before_is_settled_where_no_place_is_left_for_another(*, refuses_seed: bool) -> None:
    async with a_shop() as shop:
        budget, notes = Budget(100), Notes()
        core = shop.core(draw_seed=refuses_seed, submission="resend", budget=budget)

        def end(number: int, body: Mapping[str, Any]) -> Any:
            clock = core.clock()
            limiter_of(core).windows = Windows(hour=Window(100, 0, clock + 3_000.0), known=True, noted_at=clock)
            return refusal(422, "validation_error", message="`seed` is not known") if refuses_seed else "dropped after"

        await draw(core, "A hen")  # tells the price
        shop.ends = end
        with pytest.raises(RateLimitError):
            await buy(core, notes)
        left = registry_of(core).unresolved
        assert len(shop.posts) == 2
        if refuses_seed:
            assert (notes.notes, left, budget.reserved) == (["sending", "refused"], (), 0)
        else:
            assert (notes.notes, len(left), budget.reserved) == (["sending"], 1, 2)


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


# Two who have the same one in their hands.


def an_entry(core: Core, key: str = "k") -> PendingSubmission:
    return PendingSubmission(Claim(key, "image", sent_at=core.now()), image(), None, Attempt(core.clock()))


async def test_who_is_done_with_one_leaves_it_to_the_other_who_looks_for_it_under_the_same_name() -> None:
    async with a_shop() as shop:
        core = shop.core()
        registry, mine, keepers = registry_of(core), an_entry(core), an_entry(core)
        registry.begin(mine)
        registry.begin(keepers)
        registry.remove(mine)
        assert registry.pending("k") is keepers
        registry.remove(keepers)
        assert registry.pending("k") is None


async def test_one_that_a_shared_journal_knows_is_left_to_that_and_not_listed_here() -> None:
    async with a_shop() as shop:
        core = shop.core()
        registry, entry = registry_of(core), an_entry(core)
        registry.begin(entry)
        registry.leave_open(entry, "its caller left")
        listed = [len(registry.unresolved)]
        journal: Any = SimpleNamespace()
        entry.shared = SharedRecord(journal, "k")
        registry.leave_open(entry, "its caller left")
        assert [*listed, len(registry.unresolved)] == [1, 0]
        assert registry.pending("k") is None


async def test_what_a_batch_set_aside_stays_with_a_submission_whose_adoption_is_not_granted() -> None:
    async with a_shop() as shop:
        core = shop.core()
        registry, bills, budget, entry = registry_of(core), charges_of(core).bills, Budget(10), an_entry(core)
        bills.add(batch_mark("k"), kept := budget.reserve(4), None)
        registry.begin(entry)
        found: Any = SimpleNamespace(id=18_000, kind="image", model=None)
        assert registry.adopt(entry, found)
        assert bills.reservations_of(18_000) == [kept]
        registry.return_unheard(entry, 18_000)
        assert bills.reservations_of(batch_mark("k")) == [kept]
        registry.release(entry)  # it was never accepted
        assert budget.reserved == 0

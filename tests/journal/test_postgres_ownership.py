"""Which worker of a journal in PostgreSQL has which request, and what is granted to whom."""

from __future__ import annotations

from functools import partial
from typing import Any

import psycopg
import pytest
from anyio import to_thread

from neuralbox._journal import (
    PlannedRequest,
)
from neuralbox._journal.reading import plan_requests
from neuralbox._journal.shared import GrantRefusal
from neuralbox._types import JobRef

from ..postgres import PostgresServer
from .files import SERVICE, Clock, entries, refused
from .workers import MARK, a_worker, claim, end_lease, lose_answers, store_of

pytestmark = pytest.mark.anyio


async def test_what_one_worker_has_is_anothers_to_the_other_until_it_leaves(place: str) -> None:
    async with a_worker(place) as second:
        async with a_worker(place) as first:
            await first.plan(entries("one", "two", "three"))
            await first.sending("one", claim("c1"), mark=MARK)
            await first.final("three", {"status": "invalid"})
            await first.flush()
            found = await second.plan(entries("one", "two", "three", "four"))
            assert [each.is_foreign for each in found] == [True, True, False, False]
            assert await second.take(["one", "two"]) == []
            assert (await second.look("one")).is_foreign
            with refused("taken", "Another worker .* has the request 'two' by now"):
                await second.sending("two", claim("c2"))
        taken = {each.key: each for each in await second.take(["one", "two"])}
        assert (taken["one"].state, taken["two"].state) == ("sending", "planned")
        assert (taken["one"].claim or {})["lost_at"] == Clock().unix  # by then nothing of it could leave any more
        await second.sending("two", claim("c2"))
        await second.accepted("two", id=2)
        assert (await second.summary()).accepted == 1


@pytest.mark.parametrize("price", [None, 5])
async def test_a_request_leaves_once_and_for_its_owner_while_enough_of_its_lease_is_left(
    place: str, postgres: PostgresServer, price: int | None
) -> None:
    async with a_worker(place) as first, a_worker(place) as second:
        for each in (first, second):
            await each.ask(partial(each.allotments.open_budget, 100, failure_is_free=True))
        await first.plan(entries("one", "two"))
        with refused("taken"):
            await second.sending("one", claim("c"), mark=MARK, price=price)
        await first.sending("one", claim("c"), mark=MARK, price=price)
        await first.accepted("one", id=1)
        with refused("state"):
            await first.sending("one", claim("again"), mark=MARK, price=price)
        short = "UPDATE neuralbox.owner SET lease_until = clock_timestamp() + interval '3 s' WHERE number = %s"
        postgres.execute(short, (store_of(first)._owner.number,))
        with refused("lease"):
            await first.sending("two", claim("c"), mark=MARK, price=price)
        assert [record.state async for record in first.unfinished()] == ["accepted", "planned"]


async def test_what_was_given_up_and_is_sent_again_is_its_owners(place: str) -> None:
    async with a_worker(place) as first, a_worker(place) as second:
        await first.plan(entries("one", "two"))
        await first.give_up(["one", "two"])
        for key, price in (("one", None), ("two", 5)):
            await first.sending(key, claim(key), mark=MARK, price=price)
        assert await second.take(["one", "two"]) == []


async def test_a_worker_whose_lease_is_over_sends_nothing_and_loses_its_part(
    place: str, postgres: PostgresServer
) -> None:
    async with a_worker(place) as first, a_worker(place) as second:
        await first.plan(entries("one", "two"))
        await first.sending("one", claim("c1"), mark=MARK)
        first.require_lease()
        first.require_life()
        end_lease(postgres, first)
        with refused("lease", "It sends nothing more; run it again"):
            await first.sending("two", claim("c2"))
        with refused("lease"):
            first.require_lease("one")
        with refused("lease"):
            first.require_life()
        assert [each.key for each in await second.plan(entries("one", "two")) if each.is_foreign] == []
        # Its answer comes late, and is a fact all the same: the new owner has it.
        await first.accepted("one", id=77, kind="image")
        assert (await second.look("one")).job == JobRef(77, "image")
        assert await second.adopt("one", "c1", JobRef(78), sent=None) == JobRef(77, "image")
        assert postgres.execute("SELECT news FROM neuralbox.record WHERE key = 'one'") == [(True,)]


async def test_only_who_sent_it_last_may_say_late_what_became_of_it(place: str, postgres: PostgresServer) -> None:
    async with a_worker(place) as first, a_worker(place) as second:
        await first.plan(entries("one", "two"))
        for key in ("one", "two"):
            await first.sending(key, claim(key))
        end_lease(postgres, first)
        await second.plan(entries("one", "two"))
        assert await second.absent("one", "one", widened=0) is None
        await second.sending("one", claim("again"))
        with refused("state", "keep its id"):
            await first.accepted("one", id=1)
        await first.planned_again("one")
        await first.flush()
        assert (await second.look("one")).state == "sending"
        await first.planned_again("two")
        await first.flush()
        assert [(each.record.key, each.record.state) for each in await second.news()] == [("two", "planned")]
        assert await second.absent("two", "two", widened=0) is None  # as its sender has said
        assert await second.adopt("two", "two", JobRef(2), sent=None) is GrantRefusal.UNSENT
        with refused("taken"):
            await first.absent("one", "again", widened=0)
        with refused("taken"):
            await first.adopt("nobody", "c", JobRef(2), sent=None)


async def test_the_end_of_a_request_is_said_by_who_has_it_or_sent_it(place: str, postgres: PostgresServer) -> None:
    async with a_worker(place) as first, a_worker(place) as second, a_worker(place) as third:
        await first.plan(entries("one", "two", "three"))
        for key, number in (("one", 1), ("two", 2)):
            await first.sending(key, claim(key))
            await first.accepted(key, id=number)
        end_lease(postgres, first)
        await second.plan(entries("one", "two", "three"))
        await third.final("three", {"status": "invalid"})
        await third.flush()
        assert (await second.look("three")).state == "planned"
        await first.final("two", {"status": "completed"})  # as it was its own that ended, whoever has it by now
        await first.flush()
        assert (await second.look("two")).state == "final"
        await second.final("one", {"status": "failed"})
        await second.flush()
        assert [(each.record.key, each.record.state) for each in await second.news()] == [("two", "final")]
        await second.planned_again("one")
        await second.sending("one", claim("again"))
        await second.accepted("one", id=11)
        for other in (first, third):
            await other.final("one", {"status": "completed"})
            await other.flush()  # nothing is lost: who has it says how it ends
        found = await second.look("one")
        assert (found.state, found.id) == ("accepted", 11)


async def test_the_file_of_a_request_is_no_other_ones(place: str, postgres: PostgresServer) -> None:
    """Of a result that counts as saved nobody fetches the file any more."""
    async with a_worker(place) as journal, a_worker(postgres.url()) as elsewhere:
        for number, (each, key) in enumerate([(journal, "one"), (journal, "two"), (elsewhere, "one")]):
            await each.plan(entries(key))
            await each.accepted(key, id=number)
            await each.final(key, {"status": "completed"})
            await each.flush()
        await journal.saved("one", "/tmp/one.webp", 5)
        await journal.flush()
        states = "SELECT state FROM neuralbox.record ORDER BY id"
        assert postgres.execute(states) == [(4,), (3,), (3,)]


async def test_who_comes_too_late_to_try_again_is_told_that_another_does(place: str) -> None:
    async with a_worker(place) as first, a_worker(place) as second:
        await first.plan(entries("one"))
        await first.accepted("one", id=1)
        await first.final("one", {"status": "failed"})
        await first.flush()
        await second.plan(entries("one"))
        for number, journal in enumerate((first, second)):
            await journal.planned_again("one")
            if number == 0:
                await journal.sending("one", claim("c"))
                await journal.accepted("one", id=2)
                await journal.final("one", {"status": "completed"})
        with refused("taken"):
            await second.sending("one", claim("d"))
        await second.flush()


async def test_a_commit_whose_answer_was_lost_is_not_made_twice(place: str, postgres: PostgresServer) -> None:
    plan_requests(place, entries("free"), service=SERVICE, now=5.0)
    async with a_worker(place) as first, a_worker(place) as second:
        lost = lose_answers(second)
        await first.plan(entries("one", "two", "three"))
        await first.sending("one", claim("c1"))
        await first.final("three", {"status": "failed"})
        await first.flush()
        end_lease(postgres, first)
        planned = {each.key: each for each in await second.plan(entries("one", "new"))}
        assert (planned["new"].state, planned["one"].state) == ("planned", "sending")
        assert (planned["one"].claim or {})["lost_at"] == Clock().unix
        with refused("duplicate"):
            await second.plan(entries("new"))
        assert [each.key for each in await second.take(["two"])] == ["two"]
        page, _ = await second.take_page()
        assert [each.key for each in page] == ["free"]
        assert [each.key for each in await second.take_ended(after=0, completed=False)] == ["three"]
        await second.sending("new", claim("c2"))
        await second.accepted("new", id=2)
        await second.final("new", {"status": "completed"})
        await second.saved("new", "/tmp/new.webp", 5)
        await second.planned_again("three")
        await second.flush()
        assert (await second.look("new")).state == "saved"
        assert await second.adopt("one", "c1", JobRef(1), sent=None) is None
        await second.sending("two", claim("c3"))
        assert await second.absent("two", "c3", widened=0) is None
        assert len(lost) > 8


async def test_who_sent_it_may_say_twice_that_it_was_refused(place: str, postgres: PostgresServer) -> None:
    async with a_worker(place) as first, a_worker(place) as second:
        await first.plan(entries("one"))
        await first.sending("one", claim("c"))
        end_lease(postgres, first)
        await second.plan(entries("one"))
        lose_answers(first)
        await first.planned_again("one")
        await first.flush()
        assert (await second.look("one")).state == "planned"


async def test_a_commit_of_which_nobody_knows_yet_is_waited_for(place: str, postgres: PostgresServer) -> None:
    """The server may still be at it when the connection is made anew."""
    async with a_worker(place) as journal:
        database = store_of(journal)._database
        said = iter(["in progress", "aborted"])
        tries = list[str]()

        class Answering:
            def __init__(self, connection: Any) -> None:
                self.connection = connection

            def __getattr__(self, name: str) -> Any:
                return getattr(self.connection, name)

            def execute(self, query: Any, values: Any = None) -> Any:
                if "pg_xact_status" in str(query):
                    query, values = "SELECT %s::text", (next(said),)
                return self.connection.execute(query, values)

        def act(connection: Any) -> str:
            connection.execute("UPDATE neuralbox.run SET facts = facts")
            tries.append("tried")
            return "done"

        again = database.again

        def losing(act: Any, **more: Any) -> Any:
            def doing(connection: Any) -> Any:
                found = act(Answering(connection))
                if len(tries) == 1:
                    raise psycopg.OperationalError("the connection was lost")
                return found

            return again(doing, **more)

        database.again = losing  # type: ignore[method-assign]  # stands between
        assert await to_thread.run_sync(database.once, act) == "done"
        assert (tries, [*said]) == (["tried", "tried"], [])


@pytest.mark.parametrize(
    "prompt", ["a NUL \0 inside", "half a pair \ud83d", 'not a key: "key":"other" or \\"key\\":\\"x']
)
async def test_a_prompt_that_the_database_could_not_hold_is_settled_as_any_other(place: str, prompt: str) -> None:
    async with a_worker(place) as journal:
        await journal.plan(entries("one", "two"))
        for key in ("one", "two"):
            await journal.sending(key, {**claim(key), "prompt": prompt}, mark=MARK)
        assert await journal.adopt("one", "other", JobRef(1), sent=5.0) is GrantRefusal.UNSENT
        assert await journal.adopt("one", "one", JobRef(1), sent=5.0) is None
        assert await journal.absent("two", "two", widened=0) is GrantRefusal.OUTDATED
        assert await journal.absent("two", "two", widened=1) is None
        with refused("state"):
            await journal.accepted("one", id=5)


async def test_a_generation_is_one_requests_and_a_conclusion_holds_only_while_nothing_was_taken(place: str) -> None:
    async with a_worker(place) as first, a_worker(place) as second:
        await first.plan(entries("one", "two"))
        await second.plan(entries("three"))
        for journal, key in ((first, "one"), (first, "two"), (second, "three")):
            await journal.sending(key, claim(key), mark=MARK)
        await second.lost("three", claim("three"))
        seen = {each.claim["key"]: each for each in (await second.view([1, 2])).in_flight}
        assert {key: each.is_unknown for key, each in seen.items()} == {"one": False, "two": False, "three": True}

        assert await first.adopt("one", "one", JobRef(1, "image"), sent=50.0) is None
        assert await first.adopt("one", "one", JobRef(1, "image"), sent=50.0) is None  # its answer was lost, say
        assert await second.adopt("three", "three", JobRef(1, "image"), sent=60.0) is GrantRefusal.TAKEN
        assert await second.absent("three", "three", widened=0) is GrantRefusal.OUTDATED
        view = await second.view([1, 2])
        assert [(each.job, each.mark) for each in view.known] == [(JobRef(1, "image"), MARK)]
        (three,) = [each for each in view.in_flight if each.claim["key"] == "three"]
        assert (three.widened, three.opens) == (1, 50.0)
        assert await second.absent("three", "three", widened=1) is None
        assert (await second.look("three")).state == "planned"

        assert await first.adopt("two", "two", JobRef("gen_2", "image"), sent=None) is None
        with refused("state", "belongs to another request of this account already") as caught:
            await second.accepted("three", id="gen_2")
        assert caught.value.job == JobRef("gen_2")


async def test_nothing_is_proven_absent_that_has_an_id_or_was_sent_again(place: str) -> None:
    async with a_worker(place) as journal:
        await journal.plan(entries("one", "two"))
        for key, name in (("one", "c1"), ("two", "c2"), ("two", "c3")):
            await journal.sending(key, claim(name), mark=MARK)
        await journal.accepted("one", id=1)
        assert await journal.absent("one", "c1", widened=0) == JobRef(1)
        await journal.absent("two", "c2", widened=0)
        assert [record.state async for record in journal.unfinished()] == ["accepted", "sending"]


async def test_pages_are_taken_by_one_worker_each_and_what_is_left_by_the_next(
    place: str, postgres: PostgresServer
) -> None:
    keys = [f"k{number:03d}" for number in range(300)]
    assert plan_requests(place, entries(*keys), service=SERVICE, now=5.0) == (300, 0)
    assert plan_requests(place, entries("k000", "new"), service=SERVICE + "/", now=5.0) == (1, 1)
    async with a_worker(place) as first, a_worker(place) as second:
        one, more = await first.take_page()
        two, _ = await second.take_page()
        assert more
        assert (len(one), len(two)) == (256, 45)
        assert {each.key for each in one}.isdisjoint(each.key for each in two)
        assert await second.take_page() == ([], True)
        end_lease(postgres, first)
        left, _ = await second.take_page()
        assert [each.key for each in left] == [each.key for each in one]
        for each in (*left, *two):
            await second.final(each.key, {"status": "completed"} if each.key < "k100" else {"status": "failed"})
        await second.flush()
        assert await second.take_page() == ([], False)
        assert await second.take_ended(after=0, completed=True) == []  # its own
    async with a_worker(place) as third:
        ended = await third.take_ended(after=0, completed=True)
        failed = await third.take_ended(after=ended[-1].position, completed=False)
        assert (len(ended), len(failed)) == (100, 201)
        assert await third.take_ended(after=failed[-1].position, completed=False) == []


async def test_a_plan_refuses_another_request_and_another_service(place: str) -> None:
    plan_requests(place, entries("one"), service=SERVICE, now=5.0)
    with refused("changed", "differs in prompt"):
        plan_requests(place, [PlannedRequest("one", {"kind": "image", "prompt": "other"})], service=SERVICE, now=5.0)
    with refused("duplicate"):
        plan_requests(place, entries("two", "two"), service=SERVICE, now=5.0)
    with refused("service", "belongs to the service at"):
        plan_requests(place, [], service="https://other.example", now=5.0)
    async with a_worker(place) as journal:
        with refused("changed", "differs in prompt"):
            await journal.plan([PlannedRequest("one", {"kind": "image", "prompt": "other"})])


async def test_an_ended_request_is_refused_the_second_time_and_forgotten_after_many(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuralbox._journal.postgres.store._REMEMBERED", 1)
    async with a_worker(place) as journal:
        await journal.plan(entries("one", "two"))
        await journal.final("one", {"status": "invalid"})
        await journal.final("two", {"status": "invalid"})
        await journal.flush()
    async with a_worker(place) as journal:
        await journal.plan(entries("one"))
        with refused("duplicate"):
            await journal.plan(entries("one"))
        await journal.plan(entries("two"))
        assert [each.state for each in await journal.plan(entries("one"))] == ["final"]

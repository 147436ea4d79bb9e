"""The keeper's tenure in a shared journal: who is elected, what is written under which epoch, and what its workers hear."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from neuralbox._errors import JournalError
from neuralbox._journal import read_summary
from neuralbox._journal.shared import GrantRefusal, KeptJob, LostClaim, SharedJournal
from neuralbox._journal.tenure import Tenure, keep
from neuralbox._types import JobRef

from ..postgres import PostgresServer
from .files import entries, refused
from .workers import MARK, a_worker, claim, end_lease, lose_answers, store_of

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def a_keeper(place: str) -> AsyncIterator[tuple[SharedJournal, Tenure]]:
    async with a_worker(place) as journal:
        tenure = await keep(journal)
        assert tenure is not None
        yield journal, tenure


def end_tenure(postgres: PostgresServer) -> None:
    """Let the database's clock pass the end of the keeper's lease."""
    postgres.execute("UPDATE neuralbox.account SET keeper_until = clock_timestamp()")


async def accept(journal: SharedJournal, *keys: str, first: int = 1, waits: bool = True) -> None:
    """Send requests and have them accepted."""
    await journal.plan(entries(*keys))
    for number, key in enumerate(keys, first):
        await journal.sending(key, claim(f"c-{key}"), mark=MARK)
        await journal.accepted(key, id=number, kind="video", model="m", waits=waits)


async def jobs_of(tenure: Tenure) -> Sequence[KeptJob]:
    return (await tenure.turn())[0]


async def lost_of(tenure: Tenure) -> Sequence[LostClaim]:
    return (await tenure.turn())[1]


def heard(news: Any) -> dict[str, tuple[str, bool]]:
    return {each.record.key: (each.record.state, each.is_kept) for each in news}


async def test_one_is_elected_and_the_next_when_it_resigns_or_its_lease_is_over(
    place: str, postgres: PostgresServer
) -> None:
    from neuralbox._journal.postgres import keeping

    async with a_keeper(place) as (_, first), a_worker(place) as other:
        assert (first.epoch, await keep(other)) == (1, None)
        with pytest.MonkeyPatch.context() as patched:  # it was elected since the other looked
            patched.setattr(keeping, "_IS_KEPT", "SELECT 1 WHERE false")
            assert await keep(other) is None
        await first.resign()
        second = await keep(other)
        assert second is not None
        await first.resign()  # it is over, so nothing is resigned
        assert await keep(other) is None
        end_tenure(postgres)
        third = await keep(other)
        assert third is not None
        assert (second.epoch, third.epoch) == (2, 3)


async def test_a_turn_prolongs_the_tenure_once_a_part_of_its_lease_is_over(
    place: str, postgres: PostgresServer
) -> None:
    async with a_keeper(place) as (_, tenure):
        written = "SELECT xmin::text, keeper_until - clock_timestamp() > interval '50 s' FROM neuralbox.account"
        (before,) = postgres.execute(written)
        assert before[1]
        await tenure.turn()
        assert postgres.execute(written) == [before]  # nothing is written
        postgres.execute("UPDATE neuralbox.account SET keeper_until = clock_timestamp() + interval '44 s'")
        assert postgres.execute(written)[0][1] is False
        await tenure.turn()
        assert postgres.execute(written)[0][1] is True


async def test_who_may_not_work_any_more_does_not_keep(place: str, postgres: PostgresServer) -> None:
    async with a_worker(place) as journal, a_worker(place):
        end_lease(postgres, journal)
        assert await keep(journal) is None


@pytest.mark.parametrize("is_taken", [False, True])
async def test_a_keeper_whose_tenure_is_over_changes_nothing(
    place: str, postgres: PostgresServer, is_taken: bool
) -> None:
    async with a_keeper(place) as (journal, old), a_worker(place) as thief:
        await accept(journal, "one", "two")
        await journal.plan(entries("three", "four"))
        for key in ("three", "four"):
            await journal.sending(key, claim(key), mark=MARK)
            await journal.lost(key, claim(key))
        jobs, (three, four) = await old.turn()
        end_tenure(postgres)
        if is_taken:
            assert await keep(thief) is not None
            postgres.execute("UPDATE neuralbox.account SET keeper_until = clock_timestamp() + interval '44 s'")
        rows = ("neuralbox.record r ORDER BY id", "neuralbox.account r")
        before = [postgres.execute(f"SELECT r.*, r.xmin::text FROM {each}") for each in rows]
        for act in (
            old.turn,
            lambda: old.taken_up(jobs),
            lambda: old.end([(jobs[0], {"status": "completed"})], 5.0),
            lambda: old.hand_back(jobs),
            lambda: old.unsettled(three, {"why": "nobody knows"}),
            lambda: old.adopt(three, JobRef(9), sent=1.0, at=5.0),
            lambda: old.absent(four, widened=0),
        ):
            with refused("keeper", "Another process waits for all jobs"):
                await act()
        await old.resign()
        assert [postgres.execute(f"SELECT r.*, r.xmin::text FROM {each}") for each in rows] == before
        assert postgres.execute("SELECT count(*) FROM neuralbox.outcome") == [(0,)]


async def test_what_is_of_another_account_in_the_same_database_is_another_keepers(
    place: str, postgres: PostgresServer
) -> None:
    elsewhere = postgres.url()
    async with a_worker(elsewhere, account="nb_live_another") as other, a_keeper(place) as (journal, tenure):
        theirs = await keep(other)
        assert theirs is not None
        assert (theirs.epoch, tenure.epoch) == (1, 1)
        await accept(other, "one")
        await other.plan(entries("two"))
        await other.sending("two", claim("two"), mark=MARK)
        await other.lost("two", claim("two"))
        (jobs, (lost,)) = await theirs.turn()
        assert await tenure.turn() == ([], [])
        rows = "SELECT r.*, r.xmin::text FROM neuralbox.record r WHERE run = 1 ORDER BY id"
        before = postgres.execute(rows)
        await journal.plan(entries("mine"))
        await journal.sending("mine", claim("mine"), mark=MARK)
        await journal.lost("mine", claim("mine"))
        (mine,) = await lost_of(tenure)
        assert await tenure.adopt(mine, JobRef(1), sent=5.0, at=8.0) is None
        await tenure.taken_up(jobs)
        await tenure.end([(jobs[0], {"status": "failed"})], 9.0)
        await tenure.hand_back(jobs)
        await tenure.unsettled(lost, {"why": "nobody knows"})
        assert await tenure.adopt(lost, JobRef(9), sent=5.0, at=8.0) is GrantRefusal.OUTDATED
        assert await tenure.absent(lost, widened=0) is GrantRefusal.OUTDATED
        assert postgres.execute(rows) == before
        await journal.only_keep()
        assert read_summary(elsewhere).owner is not None
        await tenure.resign()
        with refused("keeper"):
            await tenure.turn()
        with refused("keeper"):
            await tenure.taken_up([])
        with refused("keeper"):
            await tenure.adopt(mine, JobRef(1), sent=5.0, at=8.0)
        assert await theirs.turn() == (jobs, [lost])


@pytest.mark.parametrize("fence", ["_FENCE", "_LOCK"])
async def test_nobody_is_elected_while_a_keeper_writes(place: str, fence: str) -> None:
    """Between the check of an epoch and the commit of what it guards no other can begin."""
    import psycopg

    async with a_keeper(place) as (_, tenure), a_worker(place) as other:
        with psycopg.connect(place.partition("#")[0]) as writing:
            from neuralbox._journal.postgres import keeping

            values = {**store_of(other).keeping._named, "epoch": tenure.epoch}
            assert writing.execute(getattr(keeping, fence), values).fetchone() == (1,)
            with psycopg.connect(place.partition("#")[0]) as electing:
                electing.execute("SET lock_timeout = '50ms'")
                with pytest.raises(psycopg.errors.LockNotAvailable):
                    electing.execute("UPDATE neuralbox.account SET keeper = keeper + 1")


@pytest.mark.parametrize("is_lost", [False, True])
async def test_jobs_are_taken_up_until_they_end_and_by_each_keeper_anew(
    place: str, postgres: PostgresServer, is_lost: bool
) -> None:
    async with a_keeper(place) as (journal, tenure), a_worker(place) as owner:
        if is_lost:  # the answer to each commit
            lose_answers(journal)
            lose_answers(owner)
        owner.be_kept(is_brief=True)
        await accept(owner, "one", "two", "three")
        await accept(owner, "alone", first=7, waits=False)
        jobs = sorted(await jobs_of(tenure))
        assert [(kept.job, kept.is_brief) for kept in jobs] == [(JobRef(n, "video", "m"), True) for n in (1, 2, 3)]
        assert sorted(await jobs_of(tenure)) == jobs
        await tenure.taken_up(jobs[:1])
        assert sorted(await jobs_of(tenure)) == jobs[1:]
        await tenure.taken_up(jobs)
        assert await jobs_of(tenure) == []
        said = {"status": "completed", "tokens": 5, "said": {"status": "completed"}}
        await tenure.end([(jobs[0], said)], 9.0)
        await tenure.hand_back(jobs[1:2])
        await tenure.taken_up(jobs)  # it is handed back, whatever was read before
        news = await owner.news()
        assert heard(news) == {"one": ("final", True), "two": ("accepted", False)}
        (one,) = [each.record for each in news if each.record.key == "one"]
        assert (one.outcome, one.status, one.tokens, one.final_at) == (said, "completed", 5, 9.0)
        assert await journal.news() == []
        assert heard(await owner.news()) == heard(news)  # until it says that it was heard
        await tenure.end([(jobs[1], {"status": "failed"})], 10.0)
        await owner.heard(news)
        assert heard(await owner.news()) == {"two": ("final", False)}  # it ended since
        await tenure.end([(jobs[0], {"status": "failed"})], 11.0)  # what was noted before stays
        assert [each.record.key for each in await owner.news()] == ["two"]
        end_tenure(postgres)
        following = await keep(journal)
        assert following is not None
        (three,) = await jobs_of(following)
        assert three.job.id == 3
        await following.end([(three._replace(job=JobRef(33)), said)], 12.0)  # of an earlier try
        assert await jobs_of(following) == [three]


async def test_what_is_heard_of_one_is_news_of_the_others_still(place: str) -> None:
    async with a_keeper(place) as (_, tenure), a_worker(place) as owner:
        await accept(owner, "one", "two")
        jobs = await jobs_of(tenure)
        await tenure.end([(kept, {"status": "completed"}) for kept in jobs], 9.0)  # both in one transaction
        news = await owner.news()
        await owner.heard(news[:1])
        assert await owner.news() == news[1:]


async def test_what_is_taken_over_is_waited_for_again_where_that_is_wanted(
    place: str, postgres: PostgresServer
) -> None:
    async with a_keeper(place) as (_, tenure), a_worker(place) as first, a_worker(place) as second:
        await accept(first, "one", waits=False)
        assert await jobs_of(tenure) == []
        end_lease(postgres, first)
        second.be_kept(is_brief=False)
        await second.take(["one"])
        (one,) = await jobs_of(tenure)
        assert (one.job.id, one.is_brief) == (1, False)


async def test_what_its_owner_adopts_is_waited_for_as_what_was_accepted_at_once(place: str) -> None:
    async with a_keeper(place) as (_, tenure), a_worker(place) as owner:
        owner.be_kept(is_brief=False)
        await owner.plan(entries("one"))
        await owner.sending("one", claim("one"), mark=MARK)
        await owner.lost("one", claim("one"))
        assert await owner.adopt("one", "one", JobRef(1), sent=None) is None
        assert await jobs_of(tenure) == []  # until its owner listens for its end
        await owner.accepted("one", id=1, waits=True)
        assert [kept.job.id for kept in await jobs_of(tenure)] == [1]


@pytest.mark.parametrize("is_lost", [False, True])
async def test_lost_answers_are_the_keepers_whoever_lost_them(
    place: str, postgres: PostgresServer, is_lost: bool
) -> None:
    async with a_keeper(place) as (journal, tenure), a_worker(place) as owner, a_worker(place) as dead:
        keys = ("found", "absent", "open", "late", "taken", "flying")
        if is_lost:
            lose_answers(journal)
        await owner.plan(entries(*keys))
        await dead.plan(entries("dead"))
        for each, names in ((owner, keys), (dead, ("dead",))):
            for key in names:
                await each.sending(key, {**claim(f"c-{key}"), "prompt": f"a \0 {key}"}, mark=key.encode())
        for key in keys[:-1]:
            await owner.lost(key, claim(f"c-{key}"))
        assert "dead" not in {each.claim["key"] for each in await lost_of(tenure)}
        end_lease(postgres, dead)
        lost = {each.claim["key"][2:]: each for each in await lost_of(tenure)}
        assert sorted(lost) == ["absent", "dead", "found", "late", "open", "taken"]

        assert await tenure.adopt(lost["found"], JobRef(1, "video", "m"), sent=5.0, at=8.0) is None
        assert await tenure.adopt(lost["taken"], JobRef(1), sent=None, at=8.0) is GrantRefusal.TAKEN
        assert await tenure.absent(lost["absent"], widened=1) is GrantRefusal.OUTDATED
        assert await tenure.absent(lost["absent"], widened=0) is None
        assert await tenure.absent(lost["dead"], widened=0) is None
        settled = """SELECT account IS NULL, state, claim, unsure, unsettled, sent_at, accepted_at, kind, model, kept
            FROM neuralbox.record WHERE key = %s"""
        unknown = (None, False, None)
        assert postgres.execute(settled, ("found",)) == [(False, 2, *unknown, 1_772_971_200.0, 8.0, "video", "m", 0)]
        assert postgres.execute(settled, ("absent",)) == [(True, 0, *unknown, None, None, None, None, 0)]
        await owner.accepted("late", id="gen_4", kind="video")
        assert await tenure.adopt(lost["late"], JobRef(5), sent=None, at=8.0) == JobRef("gen_4", "video")
        await tenure.unsettled(lost["open"], {"why": "several may be it"})
        assert [each.claim["key"] for each in await lost_of(tenure)] == ["c-taken"]
        news = {each.record.key: each for each in await owner.news()}
        assert heard(news.values()) == {
            "found": ("accepted", True),
            "absent": ("planned", True),
            "open": ("sending", True),
        }
        assert (news["found"].record.id, news["open"].unsettled) == (1, {"why": "several may be it"})
        assert [kept.job.id for kept in await jobs_of(tenure)] == [1]
        # What is sent again, or lost again, is another matter.
        await owner.sending("absent", claim("c-absent"))
        assert await tenure.absent(lost["absent"], widened=0) is GrantRefusal.UNSENT
        assert await tenure.adopt(lost["absent"], JobRef(6), sent=None, at=8.0) is GrantRefusal.UNSENT
        await tenure.unsettled(lost["absent"], {"why": "of the first try"})
        assert "absent" not in {each.record.key for each in await owner.news() if each.unsettled is not None}
        await owner.lost("open", claim("c-open"))
        assert "c-open" in {each.claim["key"] for each in await lost_of(tenure)}


@pytest.mark.parametrize("price", [None, 5])
async def test_an_equal_one_looks_back_as_far_as_who_took_what_may_be_its(
    place: str, postgres: PostgresServer, price: int | None
) -> None:
    async with a_keeper(place) as (journal, tenure):
        await journal.plan(entries("one", "two"))
        for key in ("one", "two"):
            await journal.sending(key, claim(key), mark=MARK, price=price)
            await journal.lost(key, claim(key))
        one, _ = sorted(await lost_of(tenure))
        assert await tenure.adopt(one, JobRef(1), sent=40.0, at=50.0) is None
        (two,) = await lost_of(tenure)
        (seen,) = (await journal.view([])).in_flight
        assert (two.widened, seen.opens) == (1, 40.0)
        await tenure.unsettled(two, {"why": "several may be it"})
        await journal.sending("two", claim("two"), mark=MARK, price=price)  # of which nothing is known yet
        (seen,) = (await journal.view([])).in_flight
        assert (seen.opens, await lost_of(tenure)) == (None, [])
        assert await tenure.absent(two, widened=two.widened) is GrantRefusal.UNSENT  # which was of the first try
        end_lease(postgres, journal)
        assert [(each.number, each.attempt) for each in await lost_of(tenure)] == [(two.number, 2)]


async def test_a_claim_that_nobody_can_read_is_left_alone(place: str, postgres: PostgresServer) -> None:
    async with a_keeper(place) as (journal, tenure):
        await journal.plan(entries("one"))
        await journal.sending("one", claim("c"))
        await journal.lost("one", claim("c"))
        postgres.execute("UPDATE neuralbox.record SET claim = 'not JSON'")
        assert await lost_of(tenure) == []


async def test_who_only_keeps_is_not_who_runs_it(place: str) -> None:
    async with a_worker(place) as journal:
        assert read_summary(place).owner is not None
        await journal.only_keep()
        assert read_summary(place).owner is None


async def test_a_tenure_is_no_error_of_the_group_it_is_asked_in(place: str, postgres: PostgresServer) -> None:
    async with a_keeper(place) as (journal, tenure):
        postgres.execute("UPDATE neuralbox.account SET keeper = keeper + 1")
        with pytest.raises(JournalError):
            await tenure.turn()
        assert (await journal.summary()).total == 0

"""The journal in PostgreSQL: who works on what, what is granted to whom, and what each kind of trouble says."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest
from anyio import to_thread

from neuralbox._errors import ConfigurationError, JournalError
from neuralbox._journal import (
    PlannedRequest,
    leave_hint,
    open_journal,
    operations,
    read_records,
    read_summary,
    remember,
)
from neuralbox._journal import facts as facts_of
from neuralbox._journal.postgres import connection as connections
from neuralbox._journal.postgres import errors, membership, schema
from neuralbox._journal.postgres.address import is_address, read_address
from neuralbox._journal.postgres.store import PostgresStore
from neuralbox._journal.reading import accept_restored, plan_requests
from neuralbox._journal.shared import GrantRefusal, SharedJournal, shared_of
from neuralbox._types import JobRef

from ..postgres import PostgresServer
from .files import KEY, SERVICE, Clock, a_journal, entries, refused, states

pytestmark = pytest.mark.anyio

MARK = b"m" * 12


def claim(key: str) -> dict[str, Any]:
    return {"key": key, "kind": "image", "sent_at": 7.5}


@pytest.fixture
def place(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a new run, in a database that knows of no other, which is asked again at once where that is needed."""
    monkeypatch.setattr(connections, "_AGAIN", 0.005)
    postgres.empty()
    return postgres.url()


@asynccontextmanager
async def a_worker(place: str, **more: Any) -> AsyncIterator[SharedJournal]:
    async with await a_journal(place, **more) as journal:
        shared = shared_of(journal)
        assert shared is not None
        yield shared


def store_of(journal: SharedJournal) -> PostgresStore:
    store = journal._store
    assert isinstance(store, PostgresStore)
    return store


def end_lease(postgres: PostgresServer, journal: SharedJournal) -> None:
    """Let the database's clock pass the end of a worker's lease."""
    number = store_of(journal)._owner.number
    postgres.execute("UPDATE neuralbox.owner SET lease_until = clock_timestamp() WHERE number = %s", (number,))


# Who works on what.


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
        await first.planned_again("two")
        await first.flush()
        assert await second.absent("two", "two", widened=0) is None  # as its sender has said
        assert await second.adopt("two", "two", JobRef(2), sent=None) is GrantRefusal.UNSENT
        with refused("taken"):
            await first.absent("one", "again", widened=0)
        with refused("taken"):
            await first.adopt("nobody", "c", JobRef(2), sent=None)


async def test_the_end_of_a_request_is_said_by_who_has_it_or_sent_it(place: str, postgres: PostgresServer) -> None:
    async with a_worker(place) as first, a_worker(place) as second, a_worker(place) as third:
        await first.plan(entries("one", "two"))
        for key, number in (("one", 1), ("two", 2)):
            await first.sending(key, claim(key))
            await first.accepted(key, id=number)
        end_lease(postgres, first)
        await second.plan(entries("one", "two"))
        await first.final("two", {"status": "completed"})  # as it was its own that ended, whoever has it by now
        await first.flush()
        assert (await second.look("two")).state == "final"
        await second.final("one", {"status": "failed"})
        await second.planned_again("one")
        await second.sending("one", claim("again"))
        await second.accepted("one", id=11)
        for other in (first, third):
            await other.final("one", {"status": "completed"})
            await other.flush()  # nothing is lost: who has it says how it ends
        found = await second.look("one")
        assert (found.state, found.id) == ("accepted", 11)


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


def lose_answers(journal: SharedJournal) -> list[int]:
    """Let the answer to each commit be lost with its connection, once; returns how many there were."""
    database, lost = store_of(journal)._database, list[int]()
    run = database.run

    def losing(act: Any, **more: Any) -> Any:
        is_first = [True]

        def doing(connection: Any) -> Any:
            found = act(connection)
            if is_first:
                is_first.clear()
                lost.append(1)
                raise psycopg.OperationalError("the connection was lost")
            return found

        return run(doing, **more)

    database.run = losing  # type: ignore[method-assign]  # stands between
    return lost


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

        run = database.run

        def losing(act: Any, **more: Any) -> Any:
            def doing(connection: Any) -> Any:
                found = act(Answering(connection))
                if len(tries) == 1:
                    raise psycopg.OperationalError("the connection was lost")
                return found

            return run(doing, **more)

        database.run = losing  # type: ignore[method-assign]  # stands between
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


# Whose it is, and whether it can be used.


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("postgresql://host/db", "names no run: add one behind a `#`, as in postgresql://host/db#summer-2026"),
        ("postgresql://me:secret@host/db#", "names no run"),
        ("postgres://host/db#a%0Ab", "printable characters"),
        (f"postgres://host/db#{'a' * 300}", "printable characters"),
    ],
)
async def test_an_address_without_a_run_is_refused(place: str, words: str) -> None:
    assert is_address(place)
    with pytest.raises(ConfigurationError, match=words) as caught:
        await a_journal(place)
    assert "secret" not in str(caught.value)


async def test_an_address_that_leads_nowhere_says_where_to_look(postgres: PostgresServer, tmp_path: Path) -> None:
    with refused("unwritable", "cannot be read .* It is written postgresql://USER@HOST:PORT/DATABASE#RUN"):
        await a_journal("postgresql://127.0.0.1:1/db?nonsense=1#run")
    with refused("unwritable", "The database cannot be reached .*Check the address"):
        await a_journal("postgresql://me@127.0.0.1:1/db#run")
    with refused("missing", "There is no such database"):
        await a_journal(postgres.url("run", database="nowhere"))
    with refused("unwritable", "refused the user or the password"):
        await a_journal(postgres.url("run", user="stranger"))
    with refused("missing", "There is no run 'nobody'"):
        postgres_empty = postgres.url("nobody")
        async with a_worker(postgres.url()):
            read_summary(postgres_empty)
    with refused("missing", "There is no journal"):
        read_summary(postgres.url("one", database=postgres.new_database()))
    assert not is_address(tmp_path / "postgresql:" / "x.sqlite")


async def test_a_password_is_shown_nowhere(postgres: PostgresServer) -> None:
    for form in (
        "postgresql://me:pa%20ss-word@127.0.0.1:1/db#run",
        "postgresql://me@127.0.0.1:1/db?password=pa%20ss-word#run",
        "postgresql://me:pa%20ss-word@127.0.0.1:1/db?nonsense=1#run",
        "postgresql://me:pa%20ss-word@127.0.0.1:99999/db#run",
    ):
        with pytest.raises(JournalError) as caught:
            await a_journal(form)
        error: BaseException | None = caught.value
        while error is not None:
            assert "ss-word" not in f"{error} {error!r} {vars(error)}"
            error = error.__cause__
    address = read_address("postgresql://me:secret@host/db?sslpassword='a b'#run")
    assert "secret" not in f"{address!r} {address.shown} {address.hide('no secret')}"
    assert address.shown == "postgresql://me@host/db?sslpassword=***#run"
    postgres.execute("DROP ROLE IF EXISTS keeper")
    postgres.execute("CREATE ROLE keeper LOGIN PASSWORD 'secret' SUPERUSER")
    async with a_worker(postgres.url("run", user="keeper:secret")) as journal:
        assert "secret" not in f"{journal!r} {vars(journal)} {vars(store_of(journal))} {journal.path}"


async def test_a_run_is_one_accounts_and_one_services(place: str) -> None:
    async with a_worker(place):
        with refused("account", "belongs to another account"):
            await a_journal(place, account="another-key")
        with refused("service", "belongs to the service at https://api.example/api/v2, and this client talks to"):
            await a_journal(place, service="https://other.example")
    assert KEY not in str(
        vars(read_summary(place)) if hasattr(read_summary(place), "__dict__") else read_summary(place)
    )


async def test_tables_of_another_version_or_program_are_left_alone(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = postgres.new_database()
    place = postgres.url("run", database=database)
    async with a_worker(place):
        pass
    postgres.execute("UPDATE neuralbox.journal SET version = 99", database=database)
    with refused("version", "written by a newer neuralbox .*Upgrade neuralbox"):
        await a_journal(place)
    foreign = postgres.new_database()
    postgres.execute("CREATE SCHEMA neuralbox CREATE TABLE theirs (id int)", database=foreign)
    with refused("foreign", "another program's"):
        await a_journal(postgres.url("run", database=foreign))
    broken = postgres.new_database()
    async with a_worker(postgres.url("run", database=broken)):
        pass
    postgres.execute("DROP TABLE neuralbox.owner", database=broken)
    with refused("corrupt", "A table is missing"):
        await a_journal(postgres.url("run", database=broken))
    monkeypatch.setattr(schema, "OLDEST_SERVER", 1_000_000)
    with refused("version", "which is too old: 100 or newer is needed"):
        await a_journal(place)


async def test_tables_of_an_older_version_take_no_hints_until_they_are_brought_up_to_date(
    postgres: PostgresServer,
) -> None:
    database = postgres.new_database()
    place = postgres.url("run", database=database)
    async with a_worker(place) as journal:
        await journal.plan(entries("one"))
        await journal.accepted("one", id=5)
    postgres.execute("DROP TABLE neuralbox.hint; UPDATE neuralbox.journal SET version = 2", database=database)
    with refused("corrupt", "A table is missing"):
        leave_hint(place, 5, "a")
    async with a_worker(place) as journal:
        assert leave_hint(place, 5, "a")
        assert [(hint.id, hint.event) for hint in await journal.hints()] == [("5", "a")]


async def test_many_who_come_first_make_the_tables_once(postgres: PostgresServer) -> None:
    database = postgres.new_database()
    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(_open_and_close, postgres.url("run", database=database))
    assert postgres.execute("SELECT version FROM neuralbox.journal", database=database) == [(len(schema.STEPS),)]


async def test_an_older_journal_is_brought_to_this_version_by_the_first_who_comes(postgres: PostgresServer) -> None:
    database = postgres.new_database()
    for statement in schema.STEPS[0]:
        postgres.execute(statement, database=database)
    postgres.execute(f"INSERT INTO neuralbox.journal VALUES (1, ({schema._IDENTITY}), now())", database=database)
    insert = """INSERT INTO neuralbox.record (run, key, fingerprint, state, claim) VALUES (1, %s, '', 1, %s)"""
    for key, prompt in (("one", 'a "key":"other" \0 prompt'), ("two", "half \ud83d"), ("three", "")):
        text = operations.sending(key, {"prompt": prompt, "key": f"c-{key}"}, 5.0).values["claim"]
        postgres.execute(insert, (key, text), database=database)
    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(_open_and_close, postgres.url("run", database=database))
    found = postgres.execute("SELECT key, claim_key FROM neuralbox.record", database=database)
    assert dict(found) == {"one": "c-one", "two": "c-two", "three": "c-three"}
    assert postgres.execute("SELECT version FROM neuralbox.journal", database=database) == [(len(schema.STEPS),)]


async def _open_and_close(place: str) -> None:
    async with a_worker(place):
        pass


async def test_a_role_without_rights_is_told_which_to_ask_for(postgres: PostgresServer) -> None:
    database = postgres.new_database()
    postgres.execute("DROP ROLE IF EXISTS poor")
    postgres.execute("CREATE ROLE poor LOGIN")
    with refused("unwritable", "The role may not do this .*GRANT CREATE ON DATABASE"):
        await a_journal(postgres.url("run", database=database, user="poor"))
    async with a_worker(postgres.url("run", database=database)):
        with refused("unwritable", "GRANT USAGE ON SCHEMA neuralbox"):
            await a_journal(postgres.url("run", database=database, user="poor"))


async def test_a_restored_backup_is_refused_until_somebody_says_otherwise(postgres: PostgresServer) -> None:
    database, copy = postgres.new_database(), f"copy_{os.urandom(4).hex()}"
    async with a_worker(postgres.url("run", database=database)) as journal:
        await journal.plan(entries("one"))
    postgres.execute(f"CREATE DATABASE {copy} TEMPLATE {database}")
    place = postgres.url("run", database=copy)
    for use in (lambda: read_summary(place), lambda: remember(place, "a", 1)):
        with refused("restored", "would be paid for again"):
            use()
    with refused("restored", "neuralbox batch accept-restored"):
        await a_journal(place)
    await to_thread.run_sync(accept_restored, place)
    assert read_summary(place).planned == 1


async def test_a_full_disk_is_said_and_what_was_paid_is_written_when_there_is_room(
    place: str, postgres: PostgresServer
) -> None:
    async with a_worker(place) as journal:
        await journal.plan(entries("one"))
        await journal.sending("one", claim("c"))
        postgres.execute(
            """CREATE OR REPLACE FUNCTION neuralbox.full() RETURNS trigger LANGUAGE plpgsql AS
                $$BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END$$"""
        )
        postgres.execute("CREATE TRIGGER no_room BEFORE UPDATE ON neuralbox.record EXECUTE FUNCTION neuralbox.full()")
        try:
            with refused(
                "full", "The disk of the server is full .*Make room.* The job 7 of 'one' is paid for"
            ) as caught:
                await journal.accepted("one", id=7)
            assert caught.value.unwritten == {"one": JobRef(7)}
        finally:
            postgres.execute("DROP TRIGGER no_room ON neuralbox.record")
    assert [each.id for each in read_records(place)] == [7]


async def test_texts_that_a_database_cannot_hold_are_told_a_little_wrong(place: str) -> None:
    async with a_worker(place) as journal:
        await journal.plan([PlannedRequest("one", {"prompt": "nul \0 half \ud800"})])
        await journal.sending("one", {"key": "c", "prompt": "nul \0"})
        await journal.accepted("one", id="a\0b", kind="im\0age")
        await journal.final("one", {"status": "com\0pleted", "tokens": 2**39, "text": "\0"})
        await journal.saved("one", "half \udcff.png", 2**40)
    (record,) = read_records(place)
    assert (record.id, record.kind, record.path) == (
        "a\N{REPLACEMENT CHARACTER}b",
        "im\N{REPLACEMENT CHARACTER}age",
        "half \udcff.png",
    )


async def test_a_change_that_the_database_cannot_hold_disturbs_nobody_else(place: str) -> None:
    async with a_worker(place) as journal:
        await journal.plan(entries("one", "two"))
        await journal.accepted("one", id=1)
        await journal.accepted("two", id=2)
        await journal.final("one", {"status": "completed"})
        await journal.final("two", {"status": "completed"})
        await journal.saved("one", "a.png", 2**70)
        await journal.saved("two", "b.png", 2)
        with refused("unwritable"):
            await journal.flush()
        assert (await journal.summary()).saved == 1


async def test_damaged_rows_are_named(place: str, postgres: PostgresServer) -> None:
    async with a_worker(place) as journal:
        await journal.plan(entries("one"))
        for body in ("no json", "[]"):
            postgres.execute("UPDATE neuralbox.request SET body = %s", (body,))
            with refused("corrupt", "what it says in `request` of request 1"):
                await journal.look("one")
        postgres.execute("UPDATE neuralbox.record SET state = 1, claim = 'x', account = 1")
        assert (await journal.view([])).in_flight == []


async def test_facts_of_a_run_are_kept(place: str) -> None:
    assert facts_of(place) == {}
    async with a_worker(place):
        remember(place, "told", {"to": "out"})
        remember(place, "told", {"to": "there"})
        assert facts_of(place) == {"told": {"to": "there"}}
    assert read_summary(place).owner is None


async def test_without_its_library_a_database_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'neuralbox\[postgres\]'"):
        await a_journal("postgresql://127.0.0.1/db#run")
    with pytest.raises(ConfigurationError, match="needs psycopg"):
        read_summary("postgresql://127.0.0.1/db#run")


# Connections.


async def test_what_a_cut_connection_interrupted_is_done_again(place: str, postgres: PostgresServer) -> None:
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'neuralbox'"
    async with a_worker(place) as journal:
        await journal.plan(entries("one"))
        for act in (
            lambda: journal.sending("one", claim("c"), mark=MARK),
            lambda: journal.view([1]),
            lambda: journal.accepted("one", id=1),
            lambda: journal.accepted("one", id=1),
            journal.summary,
        ):
            postgres.execute(cut)
            await act()
        assert await states(journal.unfinished()) == {"one": "accepted"}
        postgres.execute(cut)


async def test_a_database_that_stays_away_is_an_error_after_a_while(
    place: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = await a_journal(place)
    store = journal._store
    assert isinstance(store, PostgresStore)
    store._database._patience = 0.3
    monkeypatch.setattr("neuralbox._journal.postgres.store._GOODBYE", 0.0)
    store._database.close()
    monkeypatch.setattr(connections, "connect", _nobody_there)
    with refused("unwritable", "cannot be reached"):
        await journal.plan(entries("one"))
    await journal.aclose()


def _nobody_there(*_: object) -> Any:
    raise psycopg.OperationalError("connection refused")


async def test_two_that_are_in_each_others_way_go_one_after_the_other(place: str, postgres: PostgresServer) -> None:
    async with a_worker(place) as journal:
        database, tries = store_of(journal)._database, list[int]()

        def act(_: object) -> str:
            tries.append(1)
            if len(tries) < 3:
                raise psycopg.errors.DeadlockDetected
            return "done"

        assert await to_thread.run_sync(database.run, act) == "done"

        def always(_: object) -> None:
            raise psycopg.errors.SerializationFailure

        with pytest.raises(psycopg.errors.SerializationFailure):
            await to_thread.run_sync(database.run, always)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # a second of real time, in the database or a thread
async def test_nobody_waits_for_a_lock_for_longer_than_a_lease(
    place: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "LEASE", 2.0)
    async with a_worker(place) as journal:
        await journal.plan(entries("one"))
        with psycopg.connect(place.partition("#")[0]) as other:
            other.execute("SELECT 1 FROM neuralbox.record FOR UPDATE")
            began = time.monotonic()
            with refused("unwritable", "Something holds what it needs .*locked"):
                await journal.sending("one", claim("c"))
            assert time.monotonic() - began < 15.0
        await journal.sending("one", claim("c"))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # a second of real time, in the database or a thread
async def test_what_a_suspended_worker_holds_is_free_before_its_lease_is_over(
    place: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "LEASE", 2.0)
    async with a_worker(place) as journal:
        database, tries = store_of(journal)._database, list[int]()

        def act(connection: Any) -> int:
            connection.execute("SELECT 1")
            tries.append(1)
            if len(tries) == 1:
                time.sleep(0.8)  # it is suspended, in the middle of a transaction
            (one,) = connection.execute("SELECT 1").fetchone()
            return int(one)

        assert await to_thread.run_sync(database.once, act) == 1
        assert len(tries) == 2


async def test_no_state_of_a_session_is_relied_on(place: str, postgres: PostgresServer) -> None:
    """A pooler resets a session before it hands it on (`DISCARD ALL`), and any transaction may get another one."""
    async with a_worker(place) as journal:
        database = store_of(journal)._database
        run = database.run

        def with_another_session(act: Any, **more: Any) -> Any:
            if database._connection is not None:
                database._connection.execute("DISCARD ALL")
            return run(act, **more)

        database.run = with_another_session  # type: ignore[method-assign]  # stands between
        await journal.plan(entries("one", "two"))
        for key in ("one", "two"):
            await journal.sending(key, claim(key), mark=MARK)
        await journal.accepted("one", id=1)
        assert await journal.adopt("two", "two", JobRef(2), sent=1.0) is None
        await journal.final("one", {"status": "completed"})
        assert {each.key for each in read_records(place)} == {"one", "two"}
        assert await states(journal.finished()) == {"one": "final"}


async def test_a_fork_opens_a_journal_of_its_own(place: str) -> None:
    async with a_worker(place) as journal:
        store = store_of(journal)
        store._pid += 1
        with refused("locked", "this is a fork of it"):
            await journal.plan(entries("one"))
        store.abandon()  # a fork's end closes nothing of the parent's
        store._pid -= 1
        await journal.summary()


async def test_a_full_sync_waits_for_the_disk_whatever_the_server_was_told(
    place: str, postgres: PostgresServer
) -> None:
    async with await a_journal(place, sync="full") as journal:
        await journal.plan(entries("one"))
        await journal.accepted("one", id=1)
        with refused("state"):
            await journal.accepted("one", id=2)
    assert [each.id for each in read_records(place)] == [1]


# The lease.


async def wait_until(condition: Any) -> None:
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - another process says so
            await anyio.sleep(0.02)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # a second of real time, in the database or a thread
async def test_a_lease_is_kept_while_the_database_is_there_and_lost_for_good(
    place: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "LEASE", 1.0)
    async with a_worker(place) as first, a_worker(place) as second:
        owner = store_of(first)._owner
        before = owner._safe_until
        await wait_until(lambda: owner._safe_until > before)
        assert len({thread.name for thread in threading.enumerate() if "lease" in thread.name}) == 1
        monkeypatch.setattr(membership, "connect", _nobody_there)
        postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'neuralbox'")
        await wait_until(lambda: not owner.may_send)
        with refused("lease"):
            first.require_lease()
        over = "SELECT bool_and(lease_until < clock_timestamp()) FROM neuralbox.owner"
        await wait_until(lambda: postgres.execute(over) == [(True,)])
        monkeypatch.setattr(membership, "connect", connections.connect)
        await wait_until(lambda: owner.lost)
        with refused("lease"):
            second.require_life()


def test_the_lease_is_measured_by_a_clock_that_a_sleeping_machine_does_not_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    owner = membership.Owner(1, lease=60.0, beaten_at=100.0, clock=lambda: now[0])
    said = []
    for seconds in (39.9, 25.0):  # it was suspended
        now[0] += seconds
        said.append(owner.may_send)
    for beat in (now[0] - 1, 0.0):  # a late one takes nothing back
        owner.beaten(beat)
        said.append(owner.may_send)
    assert said == [True, False, True, True]
    assert membership.boot_clock() > 0
    monkeypatch.setattr(membership, "_CLOCK", None)
    assert membership.boot_clock() == pytest.approx(time.monotonic(), abs=1.0)


def test_a_beat_that_came_when_others_may_have_taken_over_loses_the_lease() -> None:
    """The database may have judged it in time, and written it down too late for others to see."""
    now = [100.0]
    owner = membership.Owner(1, lease=60.0, beaten_at=100.0, clock=lambda: now[0])
    now[0] = 164.0
    owner.beaten(159.0)
    assert owner.may_send
    now[0] = 225.0
    owner.beaten(218.0)
    assert owner.lost
    assert not owner.may_send


async def test_who_may_not_send_any_more_is_not_taken_over_yet(place: str, postgres: PostgresServer) -> None:
    async with a_worker(place) as first, a_worker(place) as second:
        await first.plan(entries("one"))
        postgres.execute(
            "UPDATE neuralbox.owner SET lease_until = clock_timestamp() + interval '3 s' WHERE number = %s",
            (store_of(first)._owner.number,),
        )
        assert await second.take(["one"]) == []
        with refused("lease"):
            await first.sending("one", claim("c"))


@pytest.fixture
def _no_heart_left() -> Iterator[None]:
    yield
    assert membership._hearts == {}


@pytest.mark.usefixtures("_no_heart_left")
async def test_the_row_and_the_thread_of_a_worker_go_with_it(place: str, postgres: PostgresServer) -> None:
    async with a_worker(place), a_worker(place):
        assert len(postgres.execute("SELECT * FROM neuralbox.owner")) == 2
        assert read_summary(place).owner is not None
    assert postgres.execute("SELECT * FROM neuralbox.owner") == []


async def test_opening_that_is_cancelled_leaves_nobody_behind(place: str, postgres: PostgresServer) -> None:
    with anyio.move_on_after(0):
        await open_journal(place, account=KEY, service=SERVICE)
    await wait_until(lambda: postgres.execute("SELECT * FROM neuralbox.owner") == [])


# What is said.


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (psycopg.OperationalError('FATAL: password authentication failed for user "me"'), "refused the user"),
        (psycopg.OperationalError("FATAL: sorry, too many clients already"), "takes no more connections"),
        (psycopg.OperationalError("FATAL: permission denied for database"), "The role may not do this"),
        (psycopg.OperationalError("timeout expired"), "cannot be reached"),
        (psycopg.errors.ReadOnlySqlTransaction("read-only"), "only answers reads"),
        (psycopg.errors.ObjectNotInPrerequisiteState("recovery is in progress"), "only answers reads: it is a standby"),
        (psycopg.Error("something with secret in it"), r"something with \*\*\* in it"),
    ],
)
def test_each_trouble_of_a_database_is_said_with_its_way_on(error: psycopg.Error, words: str) -> None:
    said = errors.explain(error, read_address("postgresql://me:secret@host/db#run"))
    assert re.search(words, str(said))
    assert (said.__cause__ is None) == ("secret" in str(error))


async def test_what_is_nobodys_fault_but_ours_is_shown_as_it_is(place: str) -> None:
    async with a_worker(place) as journal:
        with pytest.raises(ZeroDivisionError):
            await journal.ask(lambda: 1 // 0)
        bug = LookupError()
        assert store_of(journal).explain(bug, key=None, job=None, unwritten={}) is bug


async def test_changes_are_made_one_by_one_where_one_of_them_cannot_be(place: str) -> None:
    async with a_worker(place) as journal:
        await journal.plan(entries("one", "two", "three"))
        await journal.accepted("one", id=1)
        told: list[str] = []

        async def accept(key: str, number: int) -> None:
            try:
                await journal.accepted(key, id=number)
            except JournalError as error:
                told.append(f"{key} {error.reason}")

        async with anyio.create_task_group() as group:
            for key, number in (("two", 1), ("nobody", 5), ("three", 3)):
                group.start_soon(accept, key, number)
        assert sorted(told) == ["nobody state", "two state"]
        assert await states(journal.unfinished()) == {"one": "accepted", "two": "planned", "three": "accepted"}

"""The journal in PostgreSQL: whose it is, whether it can be used, and what each kind of trouble says."""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path

import anyio
import psycopg
import pytest
from anyio import to_thread

from neuralbox._errors import ConfigurationError, JournalError
from neuralbox._journal import (
    PlannedRequest,
    leave_hint,
    operations,
    read_records,
    read_summary,
    remember,
    require_journal,
)
from neuralbox._journal import facts as facts_of
from neuralbox._journal.postgres import errors, schema
from neuralbox._journal.postgres.address import is_address, read_address
from neuralbox._journal.reading import accept_restored
from neuralbox._types import JobRef

from ..postgres import PostgresServer
from .files import KEY, a_journal, entries, refused, states
from .workers import a_worker, claim, store_of

pytestmark = pytest.mark.anyio


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


async def test_tables_of_an_older_version_are_not_read_until_they_are_brought_up_to_date(
    postgres: PostgresServer,
) -> None:
    database = postgres.new_database()
    place = postgres.url("run", database=database)
    async with a_worker(place) as journal:
        await journal.plan(entries("one"))
        await journal.accepted("one", id=5)
    remember(place, "told", 1)
    postgres.execute("DROP TABLE neuralbox.hint; UPDATE neuralbox.journal SET version = 2", database=database)
    for use in (partial(leave_hint, place, 5, "a"), partial(read_summary, place)):
        with refused("version", "written by an older neuralbox. Continuing its batch brings it up to date"):
            use()
    require_journal(place)
    assert facts_of(place) == {"told": 1}
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


# What is said.


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (psycopg.OperationalError('FATAL: password authentication failed for user "me"'), "refused the user"),
        (psycopg.OperationalError("FATAL: sorry, too many clients already"), "takes no more connections"),
        (psycopg.OperationalError('FATAL: too many connections for role "box"'), "takes no more connections"),
        (psycopg.OperationalError("FATAL: no more connections allowed (max_client_conn)"), "takes no more connections"),
        (
            psycopg.errors.QueryCanceled("canceling statement due to statement timeout"),
            "ALTER ROLE .* SET statement_timeout",
        ),
        (psycopg.OperationalError("FATAL: permission denied for database"), "The role may not do this"),
        (psycopg.OperationalError("timeout expired"), "cannot be reached"),
        (psycopg.errors.ProtocolViolation("server login has been failing"), "cannot be reached"),  # behind PgBouncer
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

"""The tables of a shared journal, their versions, and the way from an older version to this one.

All stand in the schema `neuralbox` of the database, and no statement relies on a search path or on anything else that a
session keeps, so that a pooler may hand each transaction to another session.

    journal    one row: the version, and what tells this database from a copy of it (see `identity`)
    account    one row for each account of a service. The fingerprint is a hash, never the key. `keeper` is the epoch of the
               one process that waits for all, with its owner and the end of its lease. `hour_*`, `day_*`, `closed_until`
               and `given_at` are what is known of the plan's windows (`_journal.allotments.SharedWindows`), and `turn` counts
               their changes
    run        one row for each name: a list of requests with a journal of its own; `budget` is what may be spent for it, as
               the newest said who gave one, and `spent` what was, as far as it is counted
    owner      one row for each journal that is open: which process has it, and until when nobody may take over by the
               database's clock; `left_at` tells what it did last of what is not to be done twice, and `about` is `keeper` where it does no work of the run. A record whose owner is not here, or whose time is over, is anybody's
    record     one narrow row for each request
                 state       0 planned, 1 sending, 2 accepted, 3 final, 4 saved
                 account     from `sending` on: whose it is
                 owner       who works on it; NULL: nobody yet
                 sender      who wrote the last `sending`: a late answer is taken from that one, whoever owns it by now
                 attempt     how often it was sent
                 unsure      while `sending`: its sender does not know what became of it
                 claim       while `sending`: JSON, how to find out what became of it
                 claim_key   which of its sendings that is: what a JSON text has escaped (a NUL, half a surrogate pair) the
                             database could not read out of it
                 mark        digest of its prompt
                 widened     counts what widened the window in which its generation is looked for, and
                 opens       where that window begins by now, Unix seconds of the service's clock
                 unsettled   while `sending`: JSON, what the keeper says that could not find out what became of it
                 kept        while `accepted`: the epoch whose keeper waits for it; 0: the next one is to; -1: none is
                 given_up    its owner, though alive, does nothing more about it: whoever has it to do may take it over
                 brief       text or address of the result are all that its owner needs of it
                 news        its owner has not taken up yet what the keeper, or who sent it before, has made of it
                 gen_id      of the generation, as text; `gen_is_int` tells what it was
                 price       tokens announced for it, from `sending` on, where its sender keeps the run's budget: -1 where nobody
                             knows, and 0 where its sender keeps none and the run has one; NULL again when what it was charged is counted in `run.spent`
                 charged_before  tokens of its earlier ends: it had failed, was charged all the same, and was tried again
                 *_at        Unix seconds by the clock of who wrote them
    request    the request as JSON. The one place of prompts, but for `claim`
    outcome    the end as JSON. The one place of addresses of results
    hint       what webhooks said of accepted generations to processes that are no workers; the newest of each run
    allotment  parts of an account's windows and of a run's budget in the hands of one owner; see `allotments`

`record_generation` is the arbiter of every adoption: one generation belongs to one request of an account.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ..._errors import JournalError

LOCK: Final = int.from_bytes(b"nbox", "big")
"""Names the advisory lock that is held, to the end of its transaction, by whoever makes or changes the tables."""
OLDEST_SERVER: Final = 130_000
"""PostgreSQL 13: the oldest release this was written for; its number as the server gives it."""

STEPS: Final[Sequence[Sequence[str]]] = [
    (  # to version 1
        "CREATE SCHEMA IF NOT EXISTS neuralbox",
        "CREATE TABLE neuralbox.journal (version int NOT NULL, identity text NOT NULL, made_at timestamptz NOT NULL)",
        """CREATE TABLE neuralbox.account (
            id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, service text NOT NULL, fingerprint text NOT NULL,
            keeper bigint NOT NULL DEFAULT 0, keeper_owner bigint, keeper_until timestamptz,
            hour_limit int, hour_left int, hour_ends timestamptz, day_limit int, day_left int, day_ends timestamptz,
            closed_until timestamptz, noted_at timestamptz, UNIQUE (service, fingerprint))""",
        """CREATE TABLE neuralbox.run (
            id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE, service text NOT NULL, account int,
            budget bigint, spent bigint NOT NULL DEFAULT 0, facts jsonb NOT NULL DEFAULT '{}', made_at float8 NOT NULL)""",
        """CREATE TABLE neuralbox.owner (
            number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account int NOT NULL, run int, host text NOT NULL,
            pid int NOT NULL, about text, since float8 NOT NULL, lease_until timestamptz NOT NULL, left_at timestamptz)""",
        """CREATE TABLE neuralbox.record (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run int NOT NULL, key text NOT NULL,
            fingerprint text NOT NULL, account int, owner bigint, sender bigint, state smallint NOT NULL DEFAULT 0,
            unsure boolean NOT NULL DEFAULT false, news boolean NOT NULL DEFAULT false, kept bigint NOT NULL DEFAULT 0,
            attempt int NOT NULL DEFAULT 0, widened int NOT NULL DEFAULT 0, opens float8, claim text, mark bytea,
            kind text, model text, gen_id text, gen_is_int boolean, price int, tokens bigint, status text, path bytea,
            size_bytes bigint, planned_at float8, sent_at float8, accepted_at float8, final_at float8, saved_at float8,
            UNIQUE (run, key)) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02)""",
        """CREATE UNIQUE INDEX record_generation ON neuralbox.record (account, gen_id)
            WHERE gen_id IS NOT NULL AND gen_id <> ''""",
        "CREATE INDEX record_sending ON neuralbox.record (account, mark) WHERE state = 1",
        "CREATE INDEX record_accepted ON neuralbox.record (account, kept) WHERE state = 2",
        "CREATE INDEX record_news ON neuralbox.record (owner) WHERE news",
        "CREATE INDEX record_open ON neuralbox.record (run, id) WHERE state < 3",
        "CREATE INDEX record_free ON neuralbox.record (run, id) WHERE state = 0 AND owner IS NULL",
        "CREATE TABLE neuralbox.request (id bigint PRIMARY KEY, body text NOT NULL)",
        "CREATE TABLE neuralbox.outcome (id bigint PRIMARY KEY, body text NOT NULL)",
        """CREATE TABLE neuralbox.allotment (
            owner bigint NOT NULL, what text NOT NULL, run int NOT NULL DEFAULT 0, amount bigint NOT NULL,
            until timestamptz NOT NULL, PRIMARY KEY (owner, what, run))""",
    ),
    (  # to version 2
        "ALTER TABLE neuralbox.record ADD COLUMN claim_key text",
        # A quotation mark inside of a prompt is escaped, so this is the claim's own.
        """UPDATE neuralbox.record SET claim_key = substring(claim from '"key":"([^"\\\\]*)"') WHERE state = 1""",
    ),
    (  # to version 3
        """CREATE TABLE neuralbox.hint (
            number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run int NOT NULL, gen_id text NOT NULL,
            event text NOT NULL, UNIQUE (run, event))""",
    ),
    (  # to version 4
        "ALTER TABLE neuralbox.record ADD COLUMN IF NOT EXISTS unsettled text",
        "ALTER TABLE neuralbox.record ADD COLUMN IF NOT EXISTS brief boolean NOT NULL DEFAULT false",
        "UPDATE neuralbox.record SET kept = -1 WHERE state = 2",  # who takes it over asks for it to be waited for
    ),
    (  # to version 5
        "CREATE INDEX IF NOT EXISTS record_priced ON neuralbox.record (run) WHERE price IS NOT NULL",
        """ALTER TABLE neuralbox.account ADD COLUMN IF NOT EXISTS turn bigint NOT NULL DEFAULT 0,
            ADD COLUMN IF NOT EXISTS hour_reset float8, ADD COLUMN IF NOT EXISTS given_at timestamptz""",
    ),
    (  # to version 6
        """ALTER TABLE neuralbox.record ADD COLUMN IF NOT EXISTS charged_before bigint NOT NULL DEFAULT 0,
            ADD COLUMN IF NOT EXISTS given_up boolean NOT NULL DEFAULT false""",
    ),
]
"""Step n leads from version n to version n + 1; a new database takes them all."""

# A dump that is read into a database makes every table anew, so the table has another number than the row in it says; a
# recovery from a backup, and a standby that takes over, begin another timeline. A copy of the disk shows neither.
_IDENTITY: Final = """
    SELECT concat_ws('/', (SELECT oid FROM pg_database WHERE datname = current_database()),
        'neuralbox.journal'::regclass::oid, left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))"""
_TABLES: Final = """
    SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'neuralbox'"""


def prepare(cursor: Any, shown: str, *, may_make: bool) -> None:
    """Bring a database to the present version, inside the caller's transaction.

    Args:
        cursor: Executes, in a transaction.
        shown: The journal, for errors.
        may_make: Whether a database without our tables gets them.

    Raises:
        JournalError: The server is too old, the tables are those of another version or another program, they are not
            there, or the database was restored from a backup.
    """
    if cursor.connection.info.server_version < OLDEST_SERVER:
        raise JournalError(
            f"The journal {shown} is on PostgreSQL {cursor.connection.info.server_version // 10_000}, which is too old: "
            f"{OLDEST_SERVER // 10_000} or newer is needed. Upgrade the server, or keep the journal in a file.",
            reason="version",
            path=shown,
        )
    version = _version(cursor, shown)
    if version < len(STEPS) and may_make:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))  # others that came first have done it by now
        version = _version(cursor, shown)
        for step in STEPS[version:]:
            for statement in step:
                cursor.execute(statement)
        if version == 0:
            cursor.execute(
                f"INSERT INTO neuralbox.journal VALUES (%s, ({_IDENTITY}), clock_timestamp())",  # noqa: S608 - constants
                (len(STEPS),),
            )
        elif version < len(STEPS):
            cursor.execute("UPDATE neuralbox.journal SET version = %s", (len(STEPS),))
    elif version == 0:
        raise JournalError(
            f"There is no journal {shown}. A batch makes it when it starts.", reason="missing", path=shown
        )
    elif version < len(STEPS):
        raise JournalError(
            f"The journal {shown} was written by an older neuralbox. Continuing its batch brings it up to date.",
            reason="version",
            path=shown,
        )
    _require_original(cursor, shown)


def _version(cursor: Any, shown: str) -> int:
    # By rows of the catalogue: what the name of a table stands for is remembered from before another process made it.
    tables = {name for (name,) in cursor.execute(_TABLES).fetchall()}
    if "journal" not in tables:
        if tables:
            raise JournalError(
                f"The schema `neuralbox` at {shown} is another program's, and was left alone. Give the journal a database of "
                "its own.",
                reason="foreign",
                path=shown,
            )
        return 0
    (version,) = cursor.execute("SELECT version FROM neuralbox.journal").fetchone()
    if version > len(STEPS):
        raise JournalError(
            f"The journal {shown} was written by a newer neuralbox (schema {version}, known up to {len(STEPS)}), and was left "
            "alone. Upgrade neuralbox to continue with it.",
            reason="version",
            path=shown,
        )
    return int(version)


def _require_original(cursor: Any, shown: str) -> None:
    """Refuse a database that is not the one that the journal was written in."""
    (written, found) = cursor.execute(f"SELECT identity, ({_IDENTITY}) FROM neuralbox.journal").fetchone()  # noqa: S608 - constants
    if written != found:
        raise JournalError(
            f"The database of the journal {shown} was restored from a backup, or another server took its place. What was sent "
            "since that backup is not in it and would be paid for again. Go on with the database that was in use; where it is "
            f"lost, compare with `neuralbox history`, then accept this one:  neuralbox batch accept-restored '{shown}'",
            reason="restored",
            path=shown,
        )


def accept_identity(cursor: Any) -> None:
    """Take the database as it is now for the one that the journal is written in."""
    cursor.execute(f"UPDATE neuralbox.journal SET identity = ({_IDENTITY})")  # noqa: S608 - constants

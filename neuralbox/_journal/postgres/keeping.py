"""What the keeper of an account writes, and what its workers read of that: the SQL, and the fence before each write.

The fence locks the account's row for the length of the transaction (`FOR SHARE`), so no other can be elected between the
check of an epoch and the commit of what was written under it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from psycopg import errors as codes

from ..._types import GenerationId, JobRef
from .. import transitions
from ..protocol import SENDING
from ..shared import Grant, GrantRefusal, KeptJob, LostClaim, News
from ..tenure import tenure_over
from . import membership, rows
from .connection import Connection, Reconnecting
from .statements import ALIVE, WIDEN

T = TypeVar("T")

_PAGE: Final = 1_000
_NEWS: Final = 500

# ruff: noqa: S608 - built of constants

_ONLY_KEEP: Final = "UPDATE neuralbox.owner SET about = 'keeper' WHERE number = %(owner)s"
_IS_KEPT: Final = "SELECT 1 FROM neuralbox.account a WHERE a.id = %(account)s AND a.keeper_until > clock_timestamp()"
_ELECT: Final = """
    UPDATE neuralbox.account a SET keeper = a.keeper + 1, keeper_owner = %(owner)s,
        keeper_until = clock_timestamp() + make_interval(secs => %(lease)s)
    WHERE a.id = %(account)s AND (a.keeper_until IS NULL OR a.keeper_until < clock_timestamp())
        AND EXISTS (SELECT 1 FROM neuralbox.owner w
            WHERE w.number = %(owner)s AND w.lease_until > clock_timestamp() + make_interval(secs => %(grace)s))
    RETURNING keeper"""

_MINE: Final = "a.id = %(account)s AND a.keeper = %(epoch)s AND a.keeper_until > clock_timestamp()"
_FENCE: Final = f"SELECT 1 FROM neuralbox.account a WHERE {_MINE} FOR SHARE"
_LOCK: Final = f"SELECT 1 FROM neuralbox.account a WHERE {_MINE} FOR UPDATE"
_RESIGN: Final = f"UPDATE neuralbox.account a SET keeper_until = clock_timestamp() WHERE {_MINE}"

# Each turn reads; a part of a lease apart it prolongs the tenure, since what is written would be written again with each turn.
_JOBS: Final = f"""
    WITH mine AS (SELECT 1 FROM neuralbox.account a WHERE {_MINE}),
        longer AS (UPDATE neuralbox.account a SET keeper_until = clock_timestamp() + make_interval(secs => %(lease)s)
            WHERE {_MINE} AND a.keeper_until < clock_timestamp() + make_interval(secs => %(renewed)s))
    SELECT found.* FROM mine LEFT JOIN LATERAL (SELECT r.id, r.gen_id, r.gen_is_int, r.kind, r.model, r.accepted_at, r.brief
        FROM neuralbox.record r WHERE r.account = %(account)s AND r.state = 2 AND r.kept >= 0 AND r.kept < %(epoch)s
        LIMIT %(most)s) found ON true"""
_TAKEN_UP: Final = """
    UPDATE neuralbox.record r SET kept = %(epoch)s
    WHERE r.id = ANY(%(numbers)s) AND r.account = %(account)s AND r.state = 2 AND r.kept >= 0"""

_LOST: Final = f"""
    SELECT r.id, r.claim, r.claim_key, r.attempt, r.widened FROM neuralbox.record r
    WHERE r.account = %(account)s AND r.state = 1 AND (r.unsure OR NOT {ALIVE}) AND r.unsettled IS NULL
        AND r.claim_key IS NOT NULL LIMIT %(most)s"""

_END: Final = """
    WITH g AS (SELECT * FROM unnest(%(number)s::bigint[], %(id)s::text[], %(status)s::text[], %(tokens)s::bigint[],
            %(outcome)s::text[]) AS g (number, id, status, tokens, outcome)),
        done AS (UPDATE neuralbox.record r SET state = 3, final_at = %(at)s, status = g.status, tokens = g.tokens, news = true
            FROM g WHERE r.id = g.number AND r.account = %(account)s AND r.state = 2 AND r.gen_id = g.id RETURNING r.id)
    INSERT INTO neuralbox.outcome (id, body) SELECT done.id, g.outcome FROM done JOIN g ON g.number = done.id
        ON CONFLICT (id) DO UPDATE SET body = excluded.body"""

_HAND_BACK: Final = """
    UPDATE neuralbox.record r SET kept = -1, news = true
    WHERE r.id = ANY(%(numbers)s) AND r.account = %(account)s AND r.state = 2"""

_STILL: Final = """r.id = %(number)s AND r.account = %(account)s AND r.state = 1 AND r.claim_key = %(name)s
        AND r.attempt = %(attempt)s"""
_UNSETTLED: Final = f"UPDATE neuralbox.record r SET unsettled = %(said)s, news = true WHERE {_STILL}"
_ADOPT: Final = f"""
    UPDATE neuralbox.record r SET state = 2, accepted_at = %(at)s, gen_id = %(id)s, gen_is_int = %(is_int)s,
        kind = coalesce(%(kind)s, r.kind), model = coalesce(%(model)s, r.model), claim = NULL, unsure = false,
        unsettled = NULL, kept = 0, news = true
    WHERE {_STILL} RETURNING r.mark"""
_ABSENT: Final = f"""
    UPDATE neuralbox.record r SET state = 0, account = NULL, claim = NULL, unsure = false, unsettled = NULL,
        sent_at = NULL, news = true, price = CASE WHEN r.sender = r.owner THEN r.price END
    WHERE {_STILL} AND r.widened = %(widened)s"""
_STANDING: Final = """
    SELECT r.state = 1 AND r.claim_key = %(name)s AND r.attempt = %(attempt)s, r.gen_id, r.gen_is_int, r.kind, r.model
    FROM neuralbox.record r WHERE r.id = %(number)s"""

_NEWS_OF: Final = """
    SELECT r.id, r.xmin::text, r.unsettled, r.kept FROM neuralbox.record r
    WHERE r.owner = %(owner)s AND r.news LIMIT %(most)s"""
# What changed meanwhile is news still.
_HEARD: Final = """
    UPDATE neuralbox.record r SET news = false
    FROM unnest(%(numbers)s::bigint[], %(stamps)s::text[]) AS g (number, stamp)
    WHERE r.id = g.number AND r.owner = %(owner)s AND r.xmin::text = g.stamp"""


class Keeping:
    """The keeper's part of one open journal.

    Args:
        database: The journal's.
        path: What names it.
        named: The numbers of its account and its owner, and the owner's grace.
    """

    def __init__(self, database: Reconnecting, path: str, named: dict[str, Any]) -> None:
        self._database = database
        self._path = path
        lease = membership.LEASE
        self._named = {**named, "lease": lease, "renewed": lease - lease / membership.BEATS}

    # Who keeps...

    def only_keep(self) -> None:
        self._database.run(lambda connection: connection.execute(_ONLY_KEEP, self._named))

    def elect(self) -> int | None:
        if self._database.run(lambda connection: connection.execute(_IS_KEPT, self._named).fetchone()) is not None:
            return None
        row = self._database.once(lambda connection: connection.execute(_ELECT, self._named).fetchone())
        return None if row is None else int(row[0])

    def resign(self, epoch: int) -> None:
        self._database.run(lambda connection: connection.execute(_RESIGN, {**self._named, "epoch": epoch}))

    def _fenced(self, epoch: int, act: Callable[[Connection], T], fence: Any = _FENCE) -> T:
        """Do something as the keeper.

        Raises:
            JournalError: The tenure is over.
        """

        def attempt(connection: Connection) -> T:
            if connection.execute(fence, {**self._named, "epoch": epoch}).fetchone() is None:
                raise tenure_over(self._path)
            return act(connection)

        return self._database.once(attempt)

    # ... what it waits for...

    def jobs(self, epoch: int) -> list[KeptJob]:
        values = {**self._named, "epoch": epoch, "most": _PAGE}
        found = self._database.run(lambda connection: connection.execute(_JOBS, values).fetchall())
        if not found:  # else there is a row without a job, at least
            raise tenure_over(self._path)
        return [
            KeptJob(number, JobRef(rows.known_id(gen_id, is_int), kind, model), at, brief)
            for number, gen_id, is_int, kind, model, at, brief in found
            if number is not None
        ]

    def taken_up(self, epoch: int, numbers: Sequence[int]) -> None:
        values = {**self._named, "epoch": epoch, "numbers": [*numbers]}
        self._fenced(epoch, lambda connection: connection.execute(_TAKEN_UP, values))

    def end(self, epoch: int, ended: Sequence[tuple[int, GenerationId, str]], at: float) -> None:
        outcomes = [json.loads(outcome) for _, _, outcome in ended]
        values = {
            **self._named,
            "at": at,
            "number": [number for number, _, _ in ended],
            "id": [str(name) for _, name, _ in ended],
            "status": [transitions.status_of(outcome) for outcome in outcomes],
            "tokens": [transitions.tokens_of(outcome) for outcome in outcomes],
            "outcome": [outcome for _, _, outcome in ended],
        }
        self._fenced(epoch, lambda connection: connection.execute(_END, values))

    def hand_back(self, epoch: int, numbers: Sequence[int]) -> None:
        values = {**self._named, "numbers": [*numbers]}
        self._fenced(epoch, lambda connection: connection.execute(_HAND_BACK, values))

    # ... what it settles...

    def lost(self) -> list[LostClaim]:
        values = {**self._named, "most": _PAGE}
        claims = list[LostClaim]()
        for number, claim, name, attempt, widened in self._database.run(
            lambda connection: connection.execute(_LOST, values).fetchall()
        ):
            with suppress(ValueError, RecursionError):  # of a version that writes them otherwise
                claims.append(LostClaim(number, json.loads(claim), name, attempt, widened))
        return claims

    def unsettled(self, epoch: int, claim: LostClaim, said: str) -> None:
        values = {**self._named, **_named(claim), "said": said}
        self._fenced(epoch, lambda connection: connection.execute(_UNSETTLED, values))

    def adopt(self, epoch: int, claim: LostClaim, job: JobRef, sent: float | None, at: float) -> Grant:
        values = {**self._named, **_named(claim), **rows.adoption(job, sent, at)}

        def act(connection: Connection) -> Grant:
            row = connection.execute(_ADOPT, values).fetchone()
            if row is None:
                return _standing(connection, claim)
            connection.execute(WIDEN, {**values, "mark": row[0]})
            return None

        try:
            return self._fenced(epoch, act, _LOCK)
        except codes.UniqueViolation:
            return GrantRefusal.TAKEN
        except codes.ProgramLimitExceeded:
            return GrantRefusal.UNFIT

    def absent(self, epoch: int, claim: LostClaim, widened: int) -> Grant:
        values = {**self._named, **_named(claim), "widened": widened}

        def act(connection: Connection) -> Grant:
            return None if connection.execute(_ABSENT, values).rowcount else _standing(connection, claim)

        return self._fenced(epoch, act)

    # ... and what its workers hear of it.

    def news(self) -> list[News]:
        def act(connection: Connection) -> list[News]:
            marked = connection.execute(_NEWS_OF, {**self._named, "most": _NEWS}).fetchall()
            more = {number: (stamp, said, kept) for number, stamp, said, kept in marked}
            found = list[News]()
            for row in rows.by_id(connection, [*more]) if more else ():
                stamp, said, kept = more[row[0]]
                record = rows.to_record(row, self._path, owner=self._named["owner"])
                unsettled = None if said is None or record.state != SENDING else json.loads(said)
                found.append(News(record, unsettled, kept >= 0, stamp))
            return found

        return self._database.run(act)

    def heard(self, news: Sequence[News]) -> None:
        values = {
            **self._named,
            "numbers": [each.record.position for each in news],
            "stamps": [each.stamp for each in news],
        }
        self._database.run(lambda connection: connection.execute(_HEARD, values))


def _named(claim: LostClaim) -> dict[str, Any]:
    return {"number": claim.number, "name": claim.name, "attempt": claim.attempt}


def _standing(connection: Connection, claim: LostClaim) -> Grant:
    """Say why nothing could be concluded of a lost one: its answer came late, or it is as it was."""
    row = connection.execute(_STANDING, _named(claim)).fetchone()
    if row is not None and row[0]:
        return GrantRefusal.OUTDATED
    if row is not None and row[1] is not None:
        return JobRef(rows.known_id(row[1], row[2]), row[3], row[4])
    return GrantRefusal.UNSENT

"""Parts of a run's budget in the hands of one worker: the SQL, under a lock of the run's row.

What may be spent is the budget less four things, all in the database: what was charged for those that have ended (`run.spent`,
and of those not yet counted there the records themselves), the prices of those that were sent and have not ended
(`record.price`), and what living workers hold for what they will send (`allotment.amount`). Whoever takes locks the run's row,
so two never take the same. `sending` moves a price from the sender's part to the record in one statement, so whatever dies
after that, the price counts; the part of a dead worker counts no more when its lease is over, since nothing of it can be sent
by then. An ended record stays among those not counted in `run.spent`, marked by its price, until the next who takes adds it.

    allotment  what     amount                                               until
               tokens   what its owner holds for what it has not sent yet    until when its calls may still give something back
               unknown  0: it may send one whose price nobody knows           likewise
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..allotments import RunFunds, Taken, may_take_unknown, tokens_to_take
from .connection import Connection, Reconnecting

UNKNOWN_PRICE: Final = -1
"""Stands for a price that nobody knows."""
_MOVING_FOR: Final = 30.0
"""Seconds for which calls are believed to run, after their worker has said so."""

# ruff: noqa: S608 - built of constants

_OTHERS: Final = """neuralbox.allotment p JOIN neuralbox.owner w ON w.number = p.owner AND w.lease_until > clock_timestamp()
        WHERE p.run = %(run)s AND p.owner <> %(owner)s"""
# A failed one whose service says no charge cost its price where failures are not free.
_CHARGED: Final = """coalesce(r.tokens, CASE WHEN r.status = 'completed' OR NOT %(failure_is_free)s THEN greatest(r.price, 0) ELSE 0 END)"""

_LOCK: Final = "SELECT 1 FROM neuralbox.run WHERE id = %(run)s FOR UPDATE"

# The sum over the whole run is made where nobody who lives has made it, since a worker without a budget may have spent.
_OPEN: Final = f"""
    UPDATE neuralbox.run u SET budget = %(budget)s, spent = CASE WHEN EXISTS (SELECT 1 FROM {_OTHERS} AND p.what = 'tokens')
        THEN u.spent ELSE greatest(u.spent, (SELECT coalesce(sum(r.tokens), 0) FROM neuralbox.record r
            WHERE r.run = u.id AND r.state > 2 AND r.price IS NULL)) END
    WHERE u.id = %(run)s"""
_HOLD: Final = """
    INSERT INTO neuralbox.allotment (owner, what, run, amount, until)
    VALUES (%(owner)s, %(what)s, %(run)s, %(amount)s, clock_timestamp() + make_interval(secs => %(moving)s))
    ON CONFLICT (owner, what, run) DO UPDATE SET amount = excluded.amount, until = excluded.until"""
# What a worker without a budget sent counts when it has ended.
_ADOPT_OPEN: Final = """
    UPDATE neuralbox.record r SET price = 0
    WHERE r.account = %(account)s AND r.state IN (1, 2) AND r.run = %(run)s AND r.price IS NULL"""

_FUNDS: Final = f"""
    WITH counted AS (UPDATE neuralbox.record r SET price = NULL
            WHERE r.id IN (SELECT e.id FROM neuralbox.record e WHERE e.run = %(run)s AND e.price IS NOT NULL AND e.state > 2
                AND NOT (e.price < 0 AND e.tokens IS NULL AND e.status = 'completed') FOR UPDATE SKIP LOCKED)
            RETURNING r.id),
        gone AS (SELECT coalesce(sum({_CHARGED}) FILTER (WHERE r.state > 2), 0)::bigint AS ended,
                coalesce(sum({_CHARGED}) FILTER (WHERE r.id IN (SELECT id FROM counted)), 0)::bigint AS counted,
                coalesce(sum(greatest(r.price, 0)) FILTER (WHERE r.state IN (1, 2) OR (r.state = 0 AND EXISTS (
                    SELECT 1 FROM neuralbox.owner w WHERE w.number = r.owner AND w.lease_until > clock_timestamp()))), 0)::bigint
                    AS open,
                coalesce(bool_or(r.price < 0 AND r.state IN (1, 2)), false) AS unknown,
                coalesce(bool_or(r.price < 0 AND r.state > 2 AND r.tokens IS NULL AND r.status = 'completed'), false) AS uncounted
            FROM neuralbox.record r WHERE r.run = %(run)s AND r.price IS NOT NULL),
        held AS (SELECT coalesce(sum(greatest(p.amount, 0)), 0)::bigint AS amount, count(DISTINCT p.owner) AS workers,
                coalesce(bool_or(p.until > clock_timestamp()), false) AS moving,
                coalesce(bool_or(p.what = 'unknown'), false) AS unknown
            FROM {_OTHERS} AND p.what IN ('tokens', 'unknown'))
    SELECT u.budget, u.spent, gone.ended, gone.counted, gone.open, held.amount, held.workers, held.moving,
        gone.unknown OR held.unknown, gone.uncounted, coalesce((SELECT p.amount FROM neuralbox.allotment p
            WHERE p.owner = %(owner)s AND p.what = 'tokens' AND p.run = u.id), 0)
    FROM neuralbox.run u, gone, held WHERE u.id = %(run)s"""
_COUNT: Final = "UPDATE neuralbox.run SET spent = spent + %(counted)s WHERE id = %(run)s AND %(counted)s <> 0"
_DROP: Final = "DELETE FROM neuralbox.allotment WHERE owner = %(owner)s AND what = %(what)s AND run = %(run)s"
_MOVING: Final = """
    UPDATE neuralbox.allotment SET until = clock_timestamp() + make_interval(secs => %(moving)s)
    WHERE owner = %(owner)s AND run = %(run)s AND what = 'tokens'"""
_PRICE: Final = """
    UPDATE neuralbox.record r SET price = %(price)s
    WHERE r.run = %(run)s AND r.key = %(key)s AND r.state IN (1, 2) AND r.price <= 0"""


class Allotments:
    """What one open journal takes of what all share.

    Args:
        database: The journal's.
        named: The numbers of its run, its account and its owner.
    """

    def __init__(self, database: Reconnecting, named: Mapping[str, Any]) -> None:
        self._database = database
        self._named = {name: named[name] for name in ("run", "account", "owner")} | {"failure_is_free": True}

    def open_budget(self, budget: int, *, failure_is_free: bool) -> tuple[RunFunds, bool]:
        """Give the run a budget, in place of the one it had.

        Args:
            budget: Tokens.
            failure_is_free: Whether a failed request costs nothing where the service says nothing of it.

        Returns:
            What there is, and whether requests are on their way of which the run knows no price.
        """
        self._named.update(failure_is_free=failure_is_free)

        def act(connection: Connection) -> tuple[RunFunds, bool]:
            connection.execute(_LOCK, self._named)
            connection.execute(_OPEN, {**self._named, "budget": budget})
            unpriced = connection.execute(_ADOPT_OPEN, self._named).rowcount
            self._hold(connection, "tokens", 0, moving=0.0)
            return self._funds(connection, returned=0), unpriced > 0

        return self._database.once(act)

    def take_tokens(self, price: int | None, *, returned: int, is_moving: bool, keeps_unknown: bool) -> Taken:
        """Take tokens for what is sent next.

        Args:
            price: What it costs; None where nobody knows.
            returned: What the worker holds and gives back for it.
            is_moving: Whether calls of the worker still run.
            keeps_unknown: Whether one of it is on its way whose price nobody knows.
        """

        def act(connection: Connection) -> Taken:
            connection.execute(_LOCK, self._named)
            funds = self._funds(connection, returned=returned)
            tokens = None
            if price is not None:
                tokens = tokens_to_take(funds, price)
            elif not keeps_unknown and may_take_unknown(funds):
                tokens = 0
            moving = _MOVING_FOR if is_moving or tokens is not None else 0.0
            self._hold(connection, "tokens", funds.mine + (tokens or 0), moving=moving)
            if price is None and tokens is not None:
                self._hold(connection, "unknown", 0, moving=moving)
            elif not keeps_unknown:
                connection.execute(_DROP, {**self._named, "what": "unknown"})
            return Taken(tokens, funds)

        return self._database.once(act)

    def keep_tokens(self, *, is_moving: bool, keeps_unknown: bool, holds: bool) -> None:
        """Say how the worker stands: whether its calls run, and whether it `holds` anything for those, unsent."""

        def act(connection: Connection) -> None:
            if not holds:
                self._hold(connection, "tokens", 0, moving=_MOVING_FOR if is_moving else 0.0)
            else:
                connection.execute(_MOVING, {**self._named, "moving": _MOVING_FOR})
            if not keeps_unknown:
                connection.execute(_DROP, {**self._named, "what": "unknown"})

        self._database.run(act)

    def note_price(self, key: str, price: int) -> None:
        """Count on a price for one on its way of which none was known."""
        self._database.run(lambda connection: connection.execute(_PRICE, {**self._named, "key": key, "price": price}))

    def _hold(self, connection: Connection, what: str, amount: int, *, moving: float) -> None:
        connection.execute(_HOLD, {**self._named, "what": what, "amount": amount, "moving": moving})

    def _funds(self, connection: Connection, *, returned: int) -> RunFunds:
        """Return what there is, with what the worker gives back; counts what has ended."""
        row = connection.execute(_FUNDS, self._named).fetchone()
        assert row is not None
        budget, spent, ended, counted, sent, others, workers, moving, unknown, uncounted, mine = row
        connection.execute(_COUNT, {**self._named, "counted": counted})
        return RunFunds(
            budget=budget,
            spent=spent + ended,
            open=sent,
            others=others,
            mine=max(0, mine - returned),
            workers=workers + 1,
            is_moving=moving,
            is_unknown_out=unknown,
            is_uncounted=uncounted,
        )

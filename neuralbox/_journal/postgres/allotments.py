"""Parts of a run's budget and of an account's windows in the hands of one worker: the SQL.

Budget. What may be spent is the budget less four things, all in the database: what was charged for those that have ended (`run.spent`,
and of those not yet counted there the records themselves, whoever sent them), the prices of those that were sent and have not ended
(`record.price`), and what living workers hold for what they will send (`allotment.amount`). Whoever takes locks the run's row,
so two never take the same. `sending` moves a price from the sender's part to the record in one statement, so whatever dies
after that, the price counts; the part of a dead worker counts no more when its lease is over, since nothing of it can be sent
by then. An ended record stays among those not counted in `run.spent`, marked by its price, until the next who takes adds it.

Windows. Whoever takes reads what is known of the account and what the others hold, works out its part, and writes it in one
statement that does nothing where another has written since the reading (`account.turn`); then all is read again. So no
transaction waits for a client, and the keeper for nobody.

    allotment  what     amount                                               until
               tokens   what its owner holds for what it has not sent yet    until when its calls may still give something back
               unknown  0: it may send one whose price nobody knows, or has
               places   requests that its owner may send, or has on their way  until when that holds
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from ..allotments import (
    PART_FOR,
    Places,
    RunFunds,
    SharedWindow,
    SharedWindows,
    Taken,
    may_take_unknown,
    places_to_take,
    tokens_to_take,
)
from .connection import Connection, Reconnecting
from .statements import CHARGED

_MOVING_FOR: Final = 30.0
"""Seconds for which calls are believed to run, after their worker has said so."""

# ruff: noqa: S608 - built of constants

_OTHERS: Final = """neuralbox.allotment p JOIN neuralbox.owner w ON w.number = p.owner AND w.lease_until > clock_timestamp()
        WHERE p.run = %(run)s AND p.owner <> %(owner)s"""

_LOCK: Final = "SELECT 1 FROM neuralbox.run WHERE id = %(run)s FOR UPDATE"

# The sum over the whole run is made where nobody who lives has made it, since workers may have spent before it had a budget.
_OPEN: Final = f"""
    UPDATE neuralbox.run u SET budget = %(budget)s, spent = CASE WHEN EXISTS (SELECT 1 FROM {_OTHERS} AND p.what = 'tokens')
        THEN u.spent ELSE greatest(u.spent, (SELECT coalesce(sum(r.charged_before
            + CASE WHEN r.state > 2 AND r.price IS NULL THEN coalesce(r.tokens, 0) ELSE 0 END), 0)
            FROM neuralbox.record r WHERE r.run = u.id)) END
    WHERE u.id = %(run)s"""
_HOLD: Final = """
    INSERT INTO neuralbox.allotment (owner, what, run, amount, until)
    VALUES (%(owner)s, %(what)s, %(run)s, %(amount)s, clock_timestamp() + make_interval(secs => %(moving)s))
    ON CONFLICT (owner, what, run) DO UPDATE SET amount = excluded.amount, until = excluded.until"""
# What a worker without a budget sent counts when it has ended.
_ADOPT_OPEN: Final = """
    UPDATE neuralbox.record r SET price = 0
    WHERE r.account = %(account)s AND r.state IN (1, 2) AND r.run = %(run)s AND r.price IS NULL"""

# One of an unknown price that a sender lost who is gone holds up no other of that kind, which alone may prove it absent.
_FUNDS: Final = f"""
    WITH counted AS (UPDATE neuralbox.record r SET price = NULL
            WHERE r.id IN (SELECT e.id FROM neuralbox.record e WHERE e.run = %(run)s AND e.price IS NOT NULL AND e.state > 2
                AND NOT (e.price < 0 AND e.tokens IS NULL AND e.status = 'completed') FOR UPDATE SKIP LOCKED)
            RETURNING r.id),
        gone AS (SELECT coalesce(sum({CHARGED}) FILTER (WHERE r.state > 2), 0)::bigint AS ended,
                coalesce(sum({CHARGED}) FILTER (WHERE r.id IN (SELECT id FROM counted)), 0)::bigint AS counted,
                coalesce(sum(greatest(r.price, 0)) FILTER (WHERE r.state IN (1, 2) OR (r.state = 0 AND EXISTS (
                    SELECT 1 FROM neuralbox.owner w WHERE w.number = r.owner AND w.lease_until > clock_timestamp()))), 0)::bigint
                    AS open,
                coalesce(bool_or(r.price < 0 AND (r.state = 2 OR (r.state = 1 AND EXISTS (
                    SELECT 1 FROM neuralbox.owner w WHERE w.number = r.sender AND w.lease_until > clock_timestamp())))), false)
                    AS unknown,
                coalesce(bool_or(r.price < 0 AND r.state > 2 AND r.tokens IS NULL AND r.status = 'completed'), false) AS uncounted
            FROM neuralbox.record r WHERE r.run = %(run)s AND r.price IS NOT NULL),
        held AS (SELECT coalesce(sum(greatest(p.amount, 0)), 0)::bigint AS amount, count(DISTINCT p.owner) AS workers,
                coalesce(bool_or(p.until > clock_timestamp()) FILTER (WHERE p.what = 'tokens'), false) AS moving,
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


_ACCOUNT: Final = """
    SELECT extract(epoch FROM clock_timestamp())::float8, a.turn, a.hour_limit, a.hour_left, a.day_limit, a.day_left, a.hour_reset,
        extract(epoch FROM a.hour_ends)::float8, extract(epoch FROM a.closed_until)::float8,
        extract(epoch FROM a.given_at)::float8
    FROM neuralbox.account a WHERE a.id = %(account)s"""
_PARTS: Final = """
    SELECT p.amount, extract(epoch FROM p.until)::float8
    FROM neuralbox.allotment p JOIN neuralbox.owner w ON w.number = p.owner AND w.lease_until > clock_timestamp()
    WHERE w.account = %(account)s AND p.what = 'places' AND p.owner <> %(owner)s"""
_TAKE_PLACES: Final = """
    WITH mine AS (UPDATE neuralbox.account a SET turn = a.turn + 1, hour_limit = %(hour_limit)s, hour_left = %(hour_left)s,
            day_limit = %(day_limit)s, day_left = %(day_left)s, hour_reset = %(reset)s, hour_ends = to_timestamp(%(ends_at)s),
            closed_until = to_timestamp(%(closed_until)s), given_at = to_timestamp(%(given_at)s),
            noted_at = clock_timestamp()
        WHERE a.id = %(account)s AND a.turn = %(turn)s RETURNING 1)
    INSERT INTO neuralbox.allotment (owner, what, amount, until)
    SELECT %(owner)s, 'places', %(amount)s, to_timestamp(%(until)s) FROM mine
    ON CONFLICT (owner, what, run) DO UPDATE SET amount = excluded.amount, until = excluded.until"""
_TRIES: Final = 50
_IN_THE_WAY: Final = 0.5


class Allotments:
    """What one open journal takes of what all share.

    Args:
        database: The journal's.
        named: The numbers of its run, its account and its owner.

    Attributes:
        failure_is_free: Whether a failed request costs nothing where the service says nothing of it.
    """

    def __init__(self, database: Reconnecting, named: Mapping[str, Any]) -> None:
        self._database = database
        self._named = {name: named[name] for name in ("run", "account", "owner")}
        self.failure_is_free = True

    def open_budget(self, budget: int, *, failure_is_free: bool) -> tuple[RunFunds, bool]:
        """Give the run a budget, in place of the one it had.

        Args:
            budget: Tokens.
            failure_is_free: Whether a failed request costs nothing where the service says nothing of it.

        Returns:
            What there is, and whether requests are on their way of which the run knows no price.
        """
        self.failure_is_free = failure_is_free

        def act(connection: Connection) -> tuple[RunFunds, bool]:
            connection.execute(_LOCK, self._named)
            unpriced = connection.execute(_ADOPT_OPEN, self._named).rowcount
            connection.execute(_OPEN, {**self._named, "budget": budget})  # counts what has ended until now, too
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

    # Windows.

    def take_places(
        self, said: SharedWindows, *, is_over: bool, reserve_of: Callable[[int], int], kept: int, wants: bool
    ) -> Places:
        """Tell what is known of the windows, and take a part of them.

        Args:
            said: What the worker knows, its times in seconds from now.
            is_over: Whether the hour that it knows has ended.
            reserve_of: How many requests of a window are left to whoever calls by hand, by its limit.
            kept: What it has on its way, and keeps for reads.
            wants: Whether it is about to send something; else it gives back what it held.
        """

        def act(connection: Connection) -> Places:
            for _ in range(_TRIES):
                row = connection.execute(_ACCOUNT, self._named).fetchone()
                assert row is not None
                now, turn, found = _windows(row)
                known = found.after(_later(said, now), is_over=is_over)
                parts = [amount for amount, until in connection.execute(_PARTS, self._named).fetchall() if until > now]
                places = places_to_take(
                    known,
                    others=sum(parts),
                    workers=len(parts) + 1,
                    kept=kept,
                    wants=wants,
                    reserve_of=reserve_of,
                    now=now,
                )
                until = now + PART_FOR if wants or kept else now
                values = {
                    **self._named,
                    "turn": turn,
                    "amount": places.amount,
                    "until": until,
                    **_columns(places.windows),
                }
                if connection.execute(_TAKE_PLACES, values).rowcount:
                    return replace(places, windows=_later(places.windows, -now))
            return Places(SharedWindows(), 0, _IN_THE_WAY, 0)

        return self._database.run(act)

    def _hold(self, connection: Connection, what: str, amount: int, *, moving: float) -> None:
        connection.execute(_HOLD, {**self._named, "what": what, "amount": amount, "moving": moving})

    def _funds(self, connection: Connection, *, returned: int) -> RunFunds:
        """Return what there is, with what the worker gives back; counts what has ended."""
        row = connection.execute(_FUNDS, {**self._named, "failure_is_free": self.failure_is_free}).fetchone()
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


def _windows(row: Sequence[Any]) -> tuple[float, int, SharedWindows]:
    """Read a row of an account; returns the database's time and the number of changes too."""
    now, turn, hour_limit, hour_left, day_limit, day_left, reset, ends_at, closed_until, given_at = row
    hour = None if hour_limit is None else SharedWindow(hour_limit, hour_left)
    day = None if day_limit is None else SharedWindow(day_limit, day_left)
    return now, turn, SharedWindows(hour, day, reset or 0.0, ends_at, closed_until, given_at)


def _later(windows: SharedWindows, seconds: float) -> SharedWindows:
    """Return windows whose times are told from another moment; `reset` is a name, not a time."""
    ends_at, closed_until, given_at = (
        None if at is None else at + seconds for at in (windows.ends_at, windows.closed_until, windows.given_at)
    )
    return replace(windows, ends_at=ends_at, closed_until=closed_until, given_at=given_at)


def _columns(windows: SharedWindows) -> dict[str, Any]:
    return {
        "hour_limit": None if windows.hour is None else windows.hour.limit,
        "hour_left": None if windows.hour is None else windows.hour.left,
        "day_limit": None if windows.day is None else windows.day.limit,
        "day_left": None if windows.day is None else windows.day.left,
        "reset": windows.reset,
        "ends_at": windows.ends_at,
        "closed_until": windows.closed_until,
        "given_at": windows.given_at,
    }

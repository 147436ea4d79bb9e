"""Connections to the database of a shared journal, and doing a thing again when one is lost.

A connection belongs to one thread at a time, and keeps no state between two transactions: no prepared statement, no
setting, no lock. A pooler may therefore stand between. What a transaction may hold up others by, and wait for them, is limited
in each. A server that answers nothing, though its machine is there, is waited for as its connection says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, Final, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.array import ListBinaryDumper

from ..._errors import JournalError
from . import errors
from .address import PostgresAddress

T = TypeVar("T")

_CONNECT_WITHIN: Final = 5
_DEAD_WITHIN: Final = 10
"""Seconds after which a peer that acknowledges nothing counts as gone."""
_AGAIN: Final = 0.1
_IN_THE_WAY: Final = 20
"""Tries of a transaction that others were in the way of."""
_IDLE_PART: Final = 4
"""A client that is suspended in the middle of a transaction loses it after this part of the time that matters."""

_LIMITS: Final = """
    SELECT set_config('lock_timeout', %(lock)s, true), set_config('idle_in_transaction_session_timeout', %(idle)s, true)"""

_AT: Final = "(extract(epoch FROM left_at) * 1000000)::bigint"  # as a number, whatever the session writes dates like
_BEAR_WITNESS: Final = f"""
    UPDATE neuralbox.owner SET left_at = clock_timestamp() WHERE number = %s AND pg_current_xact_id_if_assigned() IS NOT NULL
    RETURNING pg_current_xact_id_if_assigned()::text, {_AT}"""  # noqa: S608 - constants
_WITNESS: Final = f"SELECT 1 FROM neuralbox.owner WHERE number = %s AND {_AT} = %s"  # noqa: S608 - constants


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that does not wait for ever.

    Attributes:
        gives_up: Asked a few times a second whether an answer that took so many seconds until then is waited for no more.
    """

    gives_up: Callable[[float], bool] = staticmethod(lambda _: False)

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **more: Any) -> T:
        """Wait for an answer; of the library's own, which has no limit there."""
        return super().wait(self._limited(gen), *args, **more)

    def _limited(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        began = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and self.gives_up(time.monotonic() - began):
                    self.pgconn.finish()  # else the end of its transaction would be waited for
                    raise psycopg.OperationalError("The server has not answered for a long time.")
                wanted = gen.send(ready)
        except StopIteration as end:
            answer: T = end.value
            return answer


def connect(address: PostgresAddress) -> Connection:
    """Connect, with the limits by which a dead peer is noticed; the address may say otherwise.

    Raises:
        JournalError: The address cannot be read.
        psycopg.Error: No connection could be made.
    """
    try:
        given = conninfo_to_dict(address.dsn)
    except psycopg.ProgrammingError as error:
        raise errors.unreadable(error, address) from None
    limits: dict[str, Any] = {
        "connect_timeout": _CONNECT_WITHIN,
        "keepalives_idle": _DEAD_WITHIN // 2,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": _DEAD_WITHIN * 1_000,
        "application_name": "neuralbox",
        "client_encoding": "utf8",
    }
    connection = Connection.connect(**{**limits, **given}, autocommit=True, prepare_threshold=None)
    # Whoever waited for a lock reads what its holder has written. A server may have been told otherwise.
    connection.set_isolation_level(psycopg.IsolationLevel.READ_COMMITTED)
    # A list of JSON goes as it is; as text, which is the library's choice, each of its quotes would be escaped in Python.
    connection.adapters.register_dumper(list, ListBinaryDumper)
    return connection


class StandsStill:
    """Tell whether a server that has not answered for long stands still: it answers nobody then.

    Args:
        address: Where it is.
        seconds: After so many of them it is asked by another connection, and again after as many.
    """

    def __init__(self, address: PostgresAddress, seconds: float) -> None:
        self._address = address
        self._seconds = seconds
        self._asked_at = 0.0

    def __call__(self, waited: float) -> bool:
        self._asked_at = min(self._asked_at, waited)  # it may be another wait
        if waited < self._asked_at + self._seconds:
            return False
        self._asked_at = waited
        try:
            with closing(connect(self._address)) as other:
                other.gives_up = lambda seconds: seconds > _CONNECT_WITHIN
                other.execute("SELECT 1")
        except (*errors.FOREIGN, JournalError) as error:
            return not errors.is_refusal(error)  # which is an answer
        return False


class Reconnecting:
    """A connection that is made again when it is lost.

    Args:
        address: Where to.
        patience: Seconds for which a lost connection is made again, and for which a lock is waited for at most.
        check: Looks at each new connection before it is used, in a transaction.

    Attributes:
        gives_up: See `Connection`.
        owner: Whose row bears witness of what is done once.
    """

    def __init__(self, address: PostgresAddress, *, patience: float, check: Callable[[Connection], None]) -> None:
        self.address = address
        self._patience = patience
        self._check = check
        self.gives_up: Callable[[float], bool] = lambda _: False
        self.owner: int | None = None
        self._connection: Connection | None = None
        self._limits = {
            "lock": f"{max(1, int(patience * 1_000 / _IN_THE_WAY))}ms",
            "idle": f"{max(1, int(patience * 1_000 / _IDLE_PART))}ms",
        }

    @contextmanager
    def transaction(self, connection: Connection) -> Iterator[None]:
        """Hold a transaction open that can hold up nobody for long, whatever becomes of this process.

        The limits are those of the transaction, so that no pooler hands them on.
        """
        with connection.transaction():
            connection.execute(_LIMITS, self._limits)
            yield

    def once(self, act: Callable[[Connection], T]) -> T:
        """Do something in a transaction of its own, not a second time where it was done and the answer to that was lost.

        Raises:
            psycopg.Error: As `again`.
        """
        last: tuple[tuple[str, int], T] | None = None

        def attempt(connection: Connection) -> T:
            nonlocal last
            if last is not None and self._is_committed(connection, *last[0]):
                return last[1]
            last = None
            with self.transaction(connection):
                found = act(connection)
                witness = connection.execute(_BEAR_WITNESS, (self.owner,)).fetchone()
                if witness is not None:  # else it has changed nothing
                    last = (witness[0], witness[1]), found
            return found

        return self.again(attempt)

    def run(self, act: Callable[[Connection], T], *, patience: float | None = None) -> T:
        """Do something in a transaction of its own; as `again`."""

        def attempt(connection: Connection) -> T:
            with self.transaction(connection):
                return act(connection)

        return self.again(attempt, patience=patience)

    def again(self, act: Callable[[Connection], T], *, patience: float | None = None) -> T:
        """Do something that opens its own transaction, again where the connection was lost or another transaction was in the way.

        What `act` does must come to the same when it is done twice: a commit whose answer was lost may have been one.

        Raises:
            psycopg.Error: It cannot be done, or the database stayed away for longer than `patience`; where that is given, and
                not 0, others are not waited for any longer either.
        """
        until = time.monotonic() + (self._patience if patience is None else patience)
        tries = 0
        while True:
            try:
                return act(self._open())
            except errors.FOREIGN as error:
                if errors.is_conflict(error) and tries < _IN_THE_WAY and not (patience and time.monotonic() >= until):
                    tries += 1
                    continue
                if not errors.is_connection_lost(error) or time.monotonic() >= until:
                    raise
                self.close()
                time.sleep(_AGAIN)

    def _open(self) -> Connection:
        if self._connection is None or self._connection.closed:
            connection = connect(self.address)
            connection.gives_up = self.gives_up
            try:
                with self.transaction(connection):
                    self._check(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        self._connection.gives_up = self.gives_up  # which may have changed since it was made
        return self._connection

    def _is_committed(self, connection: Connection, number: str, at: int) -> bool:
        """Whether a transaction was committed.

        A server that crashed gives the number of one of which nothing was written to another: what was written must be there.

        Raises:
            psycopg.OperationalError: The server is still at it.
        """
        try:
            row = connection.execute("SELECT pg_xact_status(%s::text::xid8)", (number,)).fetchone()
        except psycopg.errors.InvalidParameterValue:
            return False  # its number is to come: the server crashed before anything of it was written
        status = None if row is None else row[0]
        if status == "in progress":
            raise psycopg.OperationalError("The server has not noticed yet that the connection was lost.")
        return status == "committed" and connection.execute(_WITNESS, (self.owner, at)).fetchone() is not None

    def close(self) -> None:
        """Close it; the next use makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

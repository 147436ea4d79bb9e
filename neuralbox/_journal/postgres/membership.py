"""Who works on a shared journal: one owner for each open journal, whose lease one thread of the process keeps alive.

The lease is by the database's clock alone. What this process may do is judged by its own: from the moment before the beat
that succeeded, on a clock that counts a machine's sleep as well. A request may leave only while more than `MARGIN` of its
lease is left, so whoever takes over what this owner had finds that nothing can leave any more.

Others wait for `GRACE` longer before they take over: a beat that the database judges in time may become visible only after
the end. One that was answered later than that counts for nothing, since somebody may have taken over before it was seen.

A lease that is over stays over: its owner never writes `sending` again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import psycopg

from ..._concurrency.process_lock import ProcessLock
from .address import PostgresAddress
from .connection import Connection, connect

LEASE: Final = 60.0
"""Seconds for which an owner is believed to live after its last beat."""
BEATS: Final = 4
"""Beats in one lease."""
MARGIN: Final = 1 / 3
"""The part of a lease that must be left for a request to leave."""

GRACE: Final = 1 / 12
"""The part of a lease by which `lease_until` in the database is later than the end of the lease."""

_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
"""Counts the time a machine is suspended: Linux calls it so, macOS means it by the other."""


def boot_clock() -> float:
    """Return seconds of a clock that nobody sets and that goes on while the machine sleeps."""
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)


class Owner:
    """One open journal, as long as it is believed to live.

    Attributes:
        number: Its number in the database.
        lost: Its lease was over before a beat came.
    """

    def __init__(self, number: int, *, lease: float, beaten_at: float, clock: Callable[[], float]) -> None:
        self.number = number
        self.lost = False
        self._lease = lease
        self._clock = clock
        self._safe_until = beaten_at + lease

    def beaten(self, at: float) -> None:
        """Take note of a beat that succeeded just now and was begun then."""
        if self._clock() > self._safe_until + self.grace:
            self.lost = True
        self._safe_until = max(self._safe_until, at + self._lease)

    @property
    def grace(self) -> float:
        """Seconds by which others wait longer than its lease holds."""
        return self._lease * GRACE

    @property
    def may_send(self) -> bool:
        """Whether enough of its lease is left for a request to leave."""
        return not self.lost and self._clock() < self._safe_until - self._lease * MARGIN


class Heart:
    """Keeps the leases of all owners of this process in one database, in a thread of its own."""

    def __init__(self, address: PostgresAddress, lease: float) -> None:
        self._address = address
        self._lease = lease
        self._owners: dict[int, Owner] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._connection: Connection | None = None
        threading.Thread(target=self._run, name="neuralbox journal lease", daemon=True).start()

    def add(self, owner: Owner) -> None:
        with self._lock:
            self._owners[owner.number] = owner

    def remove(self, owner: Owner) -> bool:
        """Keep an owner's lease no more; returns whether it was the last, with which the thread ends."""
        with self._lock:
            self._owners.pop(owner.number, None)
            if not self._owners:
                self._stop.set()
            return self._stop.is_set()

    def _run(self) -> None:
        pause = self._lease / BEATS
        while not self._stop.wait(pause):
            pause = self._lease / BEATS if self._beat() else min(1.0, self._lease / BEATS / 4)
        self._drop()

    def _beat(self) -> bool:
        """Renew all leases at once; False where the database could not be reached."""
        with self._lock:
            owners = dict(self._owners)
        began = boot_clock()
        try:
            if self._connection is None:
                self._connection = connect(self._address)
                self._connection.gives_up = lambda seconds: seconds > self._lease
            grace = self._lease * GRACE
            kept = self._connection.execute(
                """UPDATE neuralbox.owner SET lease_until = clock_timestamp() + make_interval(secs => %s)
                    WHERE number = ANY(%s) AND lease_until > clock_timestamp() + make_interval(secs => %s)
                    RETURNING number""",
                (self._lease + grace, [*owners], grace),
            ).fetchall()
        except psycopg.Error:
            self._drop()
            return False
        alive = {number for (number,) in kept}
        for number, owner in owners.items():
            if number in alive:
                owner.beaten(began)
            else:
                owner.lost = True
        return True

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()


_hearts: dict[tuple[int, str, float], Heart] = {}
_lock = ProcessLock()


def keep_alive(owner: Owner, address: PostgresAddress, lease: float) -> Callable[[], None]:
    """Keep an owner's lease from now on; returns what ends that."""
    name = (os.getpid(), address.dsn, lease)  # a fork has no threads
    with _lock:
        heart = _hearts.get(name)
        if heart is None:
            heart = _hearts[name] = Heart(address, lease)
        heart.add(owner)

    def end() -> None:
        with _lock:
            if heart.remove(owner) and _hearts.get(name) is heart:
                del _hearts[name]

    return end

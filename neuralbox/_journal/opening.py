"""Opening a journal, with as much waiting for its present owner as the caller asks for."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

import anyio
from anyio import to_thread

from .._core.exchange import Core
from .grouped import GroupedJournal
from .postgres.address import is_address, read_address, require_library
from .protocol import Sync
from .shared import SharedJournal
from .sqlite import lock
from .sqlite.reading import owner_of
from .sqlite.store import open_store

_TRY_EVERY: Final = 0.05
# A reader that asks whether somebody has the lock holds a share of it for an instant, and must not count as an owner.
_TRIES_AT_LEAST: Final = 3


def account_name(core: Core) -> str:
    """Return what tells a client's account from others in a journal; nothing is known of whose a session is."""
    identity = core.credential.identity
    return identity if isinstance(identity, str) else "session"


async def open_account_journal(
    core: Core, path: str | os.PathLike[str], *, sync: Sync = "normal", lock_timeout: float = 0.0
) -> GroupedJournal:
    """Open the journal at `path` for a client's account and service; the rest is that of `open_journal`."""
    return await open_journal(
        path,
        account=account_name(core),
        service=core.options.base_url,
        sync=sync,
        lock_timeout=lock_timeout,
        now=core.now,
        clock=core.clock,
        sleep=core.sleep,
    )


async def open_journal(
    path: str | os.PathLike[str],
    *,
    account: str,
    service: str,
    sync: Sync = "normal",
    lock_timeout: float = 0.0,
    now: Callable[[], float] = time.time,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
) -> GroupedJournal:
    """Open the journal at `path`; it is made if it is not there.

    Costs a few milliseconds, so that one job may have it for itself (`submit(journal=...)`).

    Args:
        path: The file. SQLite keeps `-wal` and `-shm` beside it while it is open; the empty `-lock` stays. Or the address of
            a run in a database, `postgresql://host/db#run`, which many processes may have open at once.
        account: What tells the account from others; only a hash of it is written.
        service: Base URL of the service.
        sync: `normal`: changes survive the killing of the process. `full`: and the loss of power.
        lock_timeout: How long to wait for another owner to end, in seconds.
        now: Unix seconds, for the records.
        clock: Monotonic seconds, for the waiting.
        sleep: Sleeps between two tries.

    Raises:
        JournalError: Another process has it (`.reason` is `locked`), it belongs to another account or service, was
            written by a newer version, is damaged, is no journal, or its place cannot be written.

    Cancellation:
        The journal is closed again.
    """
    if is_address(path):
        return await _open_shared(path, account=account, service=service, sync=sync, now=now, clock=clock)
    file = os.path.realpath(path)  # noqa: ASYNC240 - a few system calls; two names of one file are one journal
    deadline = clock() + lock_timeout
    tries = 0
    while True:
        store = await _open(partial(open_store, file, account=account, service=service, sync=sync, now=now()))
        if store is not None:
            return GroupedJournal(store, now=now, clock=clock)
        tries += 1
        if tries >= _TRIES_AT_LEAST and clock() >= deadline:
            raise lock.locked(file, await to_thread.run_sync(owner_of, file))
        await sleep(_TRY_EVERY)


async def _open_shared(
    journal: str, *, account: str, service: str, sync: Sync, now: Callable[[], float], clock: Callable[[], float]
) -> SharedJournal:
    require_library()
    from .postgres.store import open_store as enter

    act = partial(enter, read_address(journal), account=account, service=service, sync=sync, now=now())
    store = await _open(act)
    assert store is not None
    return SharedJournal(store, now=now, clock=clock)


async def _open(act: Callable[[], S | None]) -> S | None:
    attempt = _Attempt(act)
    try:
        # Not cancelled by a scope while it runs; a cancelled asyncio task leaves the thread behind.
        await to_thread.run_sync(attempt.run)
    except BaseException:
        attempt.leave()
        raise
    return attempt.store


class _Openable(Protocol):
    def abandon(self) -> None: ...


S = TypeVar("S", bound=_Openable)


class _Attempt(Generic[S]):
    """One try to open, in a worker thread; what it opened is closed again where nobody waits for it any more."""

    def __init__(self, act: Callable[[], S | None]) -> None:
        self._act = act
        self._lock = threading.Lock()
        self._left = False
        self.store: S | None = None

    def run(self) -> None:
        store = self._act()
        with self._lock:
            self.store = store
            if self._left:
                self._abandon()

    def leave(self) -> None:
        with self._lock:
            self._left = True
            self._abandon()

    def _abandon(self) -> None:
        if self.store is not None:
            self.store.abandon()

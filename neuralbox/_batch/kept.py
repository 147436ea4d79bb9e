"""What the keeper of an account does for one run: its jobs are waited for, and its lost answers looked for, by one process.

A turn asks the journal for news, however many jobs there are, and costs one query. News stays where it is until it was taken
up here, so what comes before anybody listens for it is heard a turn later.

A job is waited for here where nobody else can: the keeper has handed it back, its limit has passed (a last poll tells), this
process was the keeper and its client may not ask, or the journal cannot be read any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import anyio

from .._journal.protocol import ACCEPTED, PLANNED, SENDING
from .._journal.shared import News, SharedJournal
from .collector import Collector
from .item import BatchItem
from .journal_records import generation_of
from .keeper import Keeper
from .state import BatchState, StoppedError

_EVERY: Final = 0.5
"""Seconds between two turns."""
Listener = Callable[[News], bool]
"""Hears what became of a request; whether it has taken that up."""


class KeptWork:
    """See to what the keeper does for one run.

    Args:
        state: The run.
        journal: The run's.
        collector: Takes the jobs that have ended, and those to be waited for here.
        keeper: This process's part of it.
    """

    def __init__(self, state: BatchState, journal: SharedJournal, collector: Collector, keeper: Keeper) -> None:
        self._state = state
        self._journal = journal
        self._collector = collector
        self._keeper = keeper
        self._listeners: dict[str, Listener] = {}
        self._jobs: dict[str, tuple[BatchItem, float, float | None]] = {}  # since when, and its age then; oldest first
        self._is_over = False
        collector.kept = self
        journal.be_kept(is_brief=state.options.download_to is not None)

    # Jobs...

    def attend(self, item: BatchItem, *, age: float | None) -> bool:
        """Have one more waited for; False where that is to be done here: perhaps nobody else could learn of it."""
        if self._is_over or isinstance(self._state.refusal, StoppedError):
            return False
        self._jobs[item.key] = (item, self._state.core.clock(), age)
        self._listeners[item.key] = self._heard_of_job
        return True

    def _heard_of_job(self, news: News) -> bool:
        record = news.record
        item, _, _ = self._jobs[record.key]
        assert item.job is not None
        if str(record.id) != str(item.job.id):
            return False
        if record.is_finished:
            self._forget(record.key)
            self._collector.ended(item, generation_of(record, self._state.core.options.service))
        elif record.state == ACCEPTED and not news.is_kept:
            self._wait_here(record.key)
        return True

    def _wait_here(self, key: str) -> None:
        item, since, age = self._jobs[key]
        self._forget(key)
        waited = self._state.core.clock() - since
        self._collector.wait(item, age=None if age is None else age + waited, waited=waited)

    def _forget(self, key: str) -> None:
        del self._jobs[key], self._listeners[key]

    def abandon(self) -> None:
        """Wait for nothing any more."""
        self._is_over = True
        for key in [*self._jobs]:
            self._forget(key)

    # ... lost answers...

    async def learn(self, key: str, until: float | None) -> News | None:
        """Wait until the keeper has settled a lost answer, or cannot; None where it is to be looked for here.

        Args:
            key: The request's.
            until: When the caller's patience ends, by the core's clock.
        """
        found: News | None = None
        told = anyio.Event()

        def heard(news: News) -> bool:
            nonlocal found
            if news.record.state == SENDING and news.unsettled is None:
                return True  # it was looked for again since
            found = news
            told.set()
            # How the job ends is for who waits for it.
            return news.record.state in (PLANNED, SENDING) or (news.record.state == ACCEPTED and news.is_kept)

        core = self._state.core
        self._listeners[key] = heard
        try:
            while not self._is_over and (until is None or core.clock() < until):
                await core.wait_until(told, _EVERY)
                if found is not None:
                    # Read anew: whoever acts on this may pay for it.
                    record = found.record = await self._journal.look(key)
                    if record.state != SENDING or found.unsettled is not None:
                        return found
                    found, told = None, anyio.Event()
        finally:
            del self._listeners[key]
        return None

    # ... and the turns.

    async def run(self) -> None:
        """Hear what there is to hear, until the run has ended; then wait here for what is left."""
        state, limit = self._state, self._state.options.wait_timeout
        try:
            while not self._is_over and self._keeper.unfit is None:
                await self._turn()
                while limit is not None and self._jobs:
                    key, (_, since, _) = next(iter(self._jobs.items()))
                    if state.core.clock() - since < limit:
                        break
                    self._wait_here(key)
                await state.core.sleep(_EVERY)
        except Exception:
            self._leave()
            raise
        self._leave()

    def _leave(self) -> None:
        self._is_over = True
        for key in [*self._jobs]:
            self._wait_here(key)

    async def _turn(self) -> None:
        taken_up = list[News]()
        for news in await self._journal.news():
            key = news.record.key
            listener = self._listeners.get(key)
            # One that nobody listens for is heard of later, or was delivered.
            if key not in self._state.live if listener is None else listener(news):
                taken_up.append(news)
        if taken_up:
            await self._journal.heard(taken_up)

"""What a run on a shared journal has to do with the other workers.

Requests that another worker has are waited for, and taken over when it is gone. The journal is asked in turns whether any of
them has ended or has nobody any more; what a turn misses, the next one sees. What has ended is delivered here as well, and
costs nothing: an engine that gives the same work to two workers gets it from both. A turn looks at `_AT_ONCE` of them and
costs one query, however many there are. What ends here without an end in the journal (no tokens are left, or nobody knows what became
of it) is let go in turn: a worker that has it to do as well takes it over, and one without a list waits for it no more.

A worker whose own lease is over leaves: others may have taken over all that it had, and bring it to its end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import islice
from typing import Final

from .._errors import JournalError
from .._journal.protocol import JournalRecord
from .._journal.shared import SharedJournal
from .._rate_limit.windows import Why
from .collector import Collector
from .item import BatchItem, ItemStage
from .run_budget import RunBudget
from .run_places import RunPlaces
from .state import BatchState, StoppedError

_EVERY: Final = 1.0
"""Seconds between two turns."""
_AT_ONCE: Final = 512


class OthersWork:
    """See to the requests of one run that other workers have.

    Args:
        state: The run.
        collector: Waits for what is ours.
        journal: The run's, where it is a shared one.
        places: What it may send of the account's windows, likewise.

    Attributes:
        pass_on: Takes those that have ended, or are ours now.
    """

    def __init__(
        self,
        state: BatchState,
        collector: Collector,
        journal: SharedJournal | None,
        places: RunPlaces | None = None,
    ) -> None:
        self._places = places
        self._state = state
        self._collector = collector
        self._journal = journal
        self._items: dict[str, BatchItem] = {}
        self._told: tuple[float, Why] | None = None
        self.pass_on: Callable[[BatchItem, JournalRecord], Awaitable[None]] | None = None

    def watch(self, item: BatchItem) -> None:
        """Wait for one more."""
        item.claim, item.is_open = None, True
        self._state.move(item, ItemStage.WAITING)
        self._items[item.key] = item

    async def run(self) -> None:
        """Look after them, and after the lease; returns at once where the journal is nobody else's."""
        journal, state = self._journal, self._state
        while journal is not None:
            await state.core.sleep(_EVERY)
            try:
                journal.require_life()
            except JournalError as error:
                state.fail(error)
                self._collector.abandon()
            await self._tell(journal)
            await self._settle_up()
            await self._give_up(journal)
            if isinstance(state.refusal, StoppedError):
                self._drop()
            elif self._items:
                try:
                    await self._look(journal)
                except Exception as error:  # noqa: BLE001 - raised to the caller as it is; the next turn drops them
                    state.fail(error)

    async def _tell(self, journal: SharedJournal) -> None:
        """Write down what holds this worker up, where that has changed."""
        throttled = self._state.throttled
        if throttled != self._told:
            self._told = throttled
            with suppress(JournalError):  # for those who watch; the work goes on without
                await journal.tell(throttled)

    async def _settle_up(self) -> None:
        """Let the others have what is not needed here of the run's budget and the windows, and know what was heard of those."""
        budget = self._state.options.budget
        with suppress(JournalError):  # nobody has it then until the lease is over; the work goes on without
            if isinstance(budget, RunBudget):
                await budget.settle_up()
            assert self._places is not None  # as there is a journal
            await self._places.settle_up()

    async def _give_up(self, journal: SharedJournal) -> None:
        """Let the others have what has no generation here and has not ended."""
        state = self._state
        given_up, state.given_up = state.given_up, {}
        # A key that is here anew was taken over since.
        keys = [key for key, item in given_up.items() if state.live.get(key, item) is item]
        if keys:
            try:
                await journal.give_up(keys)
            except JournalError:
                state.given_up = {**given_up, **state.given_up}

    async def _look(self, journal: SharedJournal) -> None:
        assert self.pass_on is not None
        keys = [*islice(self._items, _AT_ONCE)]
        for record in await journal.take(keys):
            await self.pass_on(self._items.pop(record.key), record)
        for key in keys:  # the next turn begins with others
            item = self._items.pop(key, None)
            if item is not None:
                self._items[key] = item

    def _drop(self) -> None:
        """Wait for none of them any more: nothing of them is this run's."""
        items, self._items = self._items, {}
        # One that is in no stage was dropped with the others when the worker's lease was over.
        for item in [item for item in items.values() if item.stage is not None]:
            self._state.drop(item)

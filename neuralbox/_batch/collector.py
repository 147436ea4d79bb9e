"""From an accepted job to its outcome: waited for, booked, written down, its file fetched, delivered.

One wait serves all jobs. An end is booked at once, so that a budget knows it before the next request; then one worker
writes ends down, and at most `max_downloads` fetch files, each living as long as there is something to do. A file that
cannot be saved is an outcome with both, generation and error; the journal keeps it as ended and not saved, so that a
later run tries again.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from pathlib import Path
from typing import Protocol

from anyio import to_thread

from .._costs.charges import charges_of
from .._costs.prices import price_query_of
from .._errors import NeuralBoxError, ProtocolError
from .._files.download import save
from .._journal.shared import News
from .._models.generation import Generation
from .._polling.many import Ended, GrowingJobWaiter
from .._requests.requests import BatchRequest
from .item import BatchItem, ItemStage
from .journal_records import outcome_record
from .state import BatchState

logger = logging.getLogger("neuralbox")


class KeptElsewhere(Protocol):
    """What another process does for a run: see `kept.KeptWork`."""

    def attend(self, item: BatchItem, *, age: float | None) -> bool: ...

    def abandon(self) -> None: ...

    async def learn(self, key: str, until: float | None) -> News | None: ...


class Collector:
    """See the jobs of one run to their ends.

    Args:
        state: The run.

    Attributes:
        kept: What is waited for by another process, where a keeper does that.
    """

    def __init__(self, state: BatchState) -> None:
        self.kept: KeptElsewhere | None = None
        self._state = state
        self._waiter: GrowingJobWaiter[BatchItem] = GrowingJobWaiter(
            state.core,
            state.options.wait_timeout,
            state.group,
            self._heard,
            needs_result_only=state.options.download_to is not None,  # the file is what is wanted
            journal=state.journal,
        )
        self._ended: deque[BatchItem] = deque()
        self._is_recording = False
        self._unsaved: deque[BatchItem] = deque()
        self._savers = 0
        self._is_abandoned = False

    async def run(self) -> None:
        """Wait for what is attended to."""
        await self._waiter.run()

    def leave(self) -> None:
        """Wait for nothing any more."""
        self._waiter.leave()

    def abandon(self) -> None:
        """Let everything go that is waited for, now and later: another worker brings it to its end."""
        self._is_abandoned = True
        if self.kept is not None:
            self.kept.abandon()
        self._waiter.leave()
        self._ended.clear()  # an end that is not written down is another worker's to write down
        for item in [item for item in self._state.live.values() if item.stage is ItemStage.WAITING]:
            self._state.drop(item)

    # Waited for...

    def accept(self, item: BatchItem, generation: Generation) -> None:
        """See one to its end that the service has just accepted; some are final at once."""
        if generation.is_final:
            self._end(item, generation)
        else:
            self.attend(item, generation, age=0.0)

    def attend(self, item: BatchItem, generation: Generation | None = None, *, age: float | None) -> None:
        """Wait for one more.

        Args:
            item: It; its `job` is known.
            generation: What its submission answered, if that is known.
            age: Seconds since its submission; None where nobody knows.
        """
        if item.job is None:
            self._state.give_up(item, ProtocolError("The service accepted the request without an id to ask by."))
            return
        self._state.move(item, ItemStage.WAITING)
        if self._is_abandoned:
            self._state.drop(item)
            return
        if self.kept is None or not self.kept.attend(item, age=age):
            self._waiter.add(item.job, item, generation=generation, age=age)

    def wait(self, item: BatchItem, *, age: float | None, waited: float) -> None:
        """Wait here for one that the keeper of a shared journal waits for no more, or has not for `waited` seconds."""
        assert item.job is not None
        self._waiter.add(item.job, item, age=age, waited=waited)

    def ended(self, item: BatchItem, generation: Generation) -> None:
        """Finish one whose end the keeper has written down."""
        self._note_end(item, generation)
        item.is_open = False
        self.finish(item)

    def _heard(self, item: BatchItem, ended: Ended) -> None:
        if isinstance(ended, Generation):
            self._end(item, ended)
        else:
            self._state.give_up(item, ended)

    # ... booked...

    def _note_end(self, item: BatchItem, generation: Generation) -> None:
        """Take the final state of one, and book it."""
        state = self._state
        item.ended(state.core, generation)
        if not generation.is_cached:
            self._book(item, generation)
        state.counter.ended(state.core.options.service.charge(generation))
        if item.cached is not None:
            state.group.start_soon(item.cached.keep, generation)

    def _end(self, item: BatchItem, generation: Generation) -> None:
        """Take the final state of one, and let it be finished."""
        state = self._state
        self._note_end(item, generation)
        if state.journal is None:
            item.is_open = False
            self.finish(item)
            return
        self._ended.append(item)
        if not self._is_recording:
            self._is_recording = True
            state.group.start_soon(state.guarded, self._record_all)

    def _book(self, item: BatchItem, generation: Generation) -> None:
        budget, request = self._state.options.joint_budget, item.request
        charges = charges_of(self._state.core)
        if item.job is not None:  # what other runs set aside in other budgets; mostly the poll has seen to it
            charges.ended(item.job.id, generation)
        if budget is None:
            return
        if item.reservation is None:
            item.reservation = self._state.reserve_spent(item, budget, 0)
        query = None
        if isinstance(request, BatchRequest):
            wire = request.build(self._state.core.options.dialect)
            query = price_query_of(wire, model=request.model, extra=request.extra_body)
        charges.book(generation, item.reservation, query)

    # ... written down...

    async def _record_all(self) -> None:
        try:
            while self._ended:
                await self._record(self._ended.popleft())
        finally:
            self._is_recording = False

    async def _record(self, item: BatchItem) -> None:
        generation, service = item.generation, self._state.core.options.service
        assert generation is not None
        booked = None if item.reservation is None else item.reservation.charged or None
        outcome = outcome_record(generation, service, booked=booked)
        await self._state.write(lambda journal: journal.final(item.key, outcome))
        item.is_open = False
        if item.stage is not None:  # else it was let go meanwhile
            self.finish(item)

    # ... its file fetched, and delivered.

    def finish(self, item: BatchItem, path: str | None = None) -> None:
        """Let the outcome of one be delivered that has ended, after fetching its file where it has one and that is wanted.

        Args:
            item: It.
            path: Where an earlier run has put its file.
        """
        state = self._state
        if path is not None:
            item.path = Path(path)
        is_wanted = state.options.download_to is not None and item.error is None
        if not is_wanted or item.generation is None or item.generation.url is None:
            state.finish(item)
            return
        state.move(item, ItemStage.SAVING)
        self._unsaved.append(item)
        if self._savers < state.options.max_downloads:
            self._savers += 1
            state.group.start_soon(state.guarded, self._save_all)

    async def _save_all(self) -> None:
        directory = self._state.options.download_to
        assert directory is not None  # or nothing is to be saved
        try:
            while self._unsaved:
                item = self._unsaved.popleft()
                try:
                    if item.path is None or not await to_thread.run_sync(is_saved, item.path, directory):
                        await self._save(item)
                except Exception as error:  # noqa: BLE001 - raised to the caller as it is, and no item may be lost
                    item.error = error
                    self._state.fail(error)
                self._state.finish(item)
        finally:
            self._savers -= 1

    async def _save(self, item: BatchItem) -> None:
        options = self._state.options
        assert options.download_to is not None
        assert item.generation is not None
        item.path = None
        folder, stem = options.naming.place(item.generation, item.key if item.is_named else None)
        directory = os.fspath(options.download_to) + folder
        try:
            # What stands there is somebody else's, or what a run saved that was killed before it could write that down.
            saved = await save(
                self._state.core, item.generation, directory, overwrite="rename", same_stays=True, stem=stem
            )
        except NeuralBoxError as error:
            item.error = error
            return
        item.path = saved.path
        if not f"{saved.path.name}.".startswith(f"{stem}."):
            logger.warning("A file stood under the name %r, so the result is %r.", stem, saved.path.name)
        await self._state.write(lambda journal: journal.saved(item.key, str(saved.path), saved.bytes))


def is_saved(path: Path, directory: str | os.PathLike[str]) -> bool:
    """Tell whether a file that an earlier run saved is there; only in the directory the caller names now.

    A journal may be somebody else's: what it says must not become the path of any file of this machine.
    """
    try:
        return path.is_file() and path.resolve().is_relative_to(Path(directory).resolve())
    except (OSError, ValueError, RuntimeError):  # no path at all, or links in a circle
        return False

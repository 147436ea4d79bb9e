"""From an accepted job to its outcome: waited for, booked, written down, its file fetched, handed over.

One wait serves all jobs. An end is booked at once, so that a budget knows it before the next request; then one worker
writes ends down, and at most `max_downloads` fetch files, each living as long as there is something to do. A file that
cannot be saved is an outcome with both, generation and error; the journal keeps it as ended and not saved, so that a
later run tries again.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

from anyio import to_thread

from .._costs.charges import charges_of
from .._costs.prices import price_query_of
from .._errors import BudgetExceededError, NeuralBoxError, ProtocolError
from .._files.download import save
from .._models.generation import Generation
from .._polling.many import Ended, GrowingJobWaiter
from .._requests.requests import BatchRequest
from .item import BatchItem
from .journal_records import outcome_record
from .progress import ItemStage
from .state import BatchState


class Collector:
    """Sees the jobs of one run to their end.

    Args:
        work: The run.
    """

    def __init__(self, work: BatchState) -> None:
        self._work = work
        self._crowd: GrowingJobWaiter[BatchItem] = GrowingJobWaiter(
            work.core, work.wishes.wait_timeout, work.group, self._heard
        )
        self._ended: deque[BatchItem] = deque()
        self._closing = False
        self._unsaved: deque[BatchItem] = deque()
        self._savers = 0

    async def run(self) -> None:
        """Wait for what is attended to."""
        await self._crowd.run()

    def leave(self) -> None:
        """Wait for nothing any more."""
        self._crowd.leave()

    def attend(self, item: BatchItem, generation: Generation | None, age: float | None) -> None:
        """Wait for one more.

        Args:
            item: It; its `job` is known.
            generation: What its submission answered, if that is known.
            age: Seconds since its submission; None where nobody knows.
        """
        if item.job is None:
            self._work.give_up(item, ProtocolError("The service accepted the request without an id to ask by."))
            return
        self._work.move(item, ItemStage.WAITING)
        self._crowd.add(item.job, item, generation=generation, age=age)

    def _heard(self, item: BatchItem, ended: Ended) -> None:
        if isinstance(ended, Generation):
            self.close(item, ended)
        else:
            self._work.give_up(item, ended)

    def close(self, item: BatchItem, generation: Generation) -> None:
        """Take the final state of one, book it, and let it be written down."""
        item.ended(self._work.core, generation)
        self._book(item, generation)
        self._work.tally.ended(generation.tokens)
        if self._work.journal is None:
            item.is_open = False
            self.save(item, None)
            return
        self._ended.append(item)
        if not self._closing:
            self._closing = True
            self._work.group.start_soon(self._work.guarded, self._write_down)

    def _book(self, item: BatchItem, generation: Generation) -> None:
        budget, request = self._work.wishes.budget, item.request
        if budget is None:
            return
        tokens = generation.tokens
        if generation.is_failed:  # documented as free of charge; a service that charges all the same says so
            tokens = tokens or 0
        elif tokens is not None and isinstance(request, BatchRequest):
            question = price_query_of(request.build(self._work.core.options.dialect), model=request.model)
            charges_of(self._work.core).prices.charged(question, tokens)
        if item.reservation is None:
            try:
                item.reservation = budget.reserve(0)
            except BudgetExceededError:  # exceeded as it is: nothing more is sent either way
                return
        item.reservation.settle(tokens)

    async def _write_down(self) -> None:
        work = self._work
        try:
            while self._ended:
                item = self._ended.popleft()
                assert work.journal is not None
                assert item.generation is not None
                await work.written(work.journal.final(item.key, outcome_record(item.generation)))
                item.is_open = False
                self.save(item, None)
        finally:
            self._closing = False

    # Files.

    def save(self, item: BatchItem, path: str | None) -> None:
        """Fetch the file of one that has ended, where it has one and that is wanted.

        Args:
            item: It.
            path: Where an earlier run has put it.
        """
        work = self._work
        if path is not None:
            item.path = Path(path)
        wanted = work.wishes.download_to is not None and item.error is None
        if not wanted or item.generation is None or item.generation.url is None:
            work.finish(item)
            return
        work.move(item, ItemStage.SAVING)
        self._unsaved.append(item)
        if self._savers < work.wishes.max_downloads:
            self._savers += 1
            work.group.start_soon(work.guarded, self._save_all)

    async def _save_all(self) -> None:
        try:
            while self._unsaved:
                item = self._unsaved.popleft()
                try:
                    if item.path is None or not await to_thread.run_sync(item.path.exists):
                        await self._save(item)
                except Exception as error:  # noqa: BLE001 - raised to the caller as it is, and no item may be lost
                    item.error = error
                    self._work.fail(error)
                self._work.finish(item)
        finally:
            self._savers -= 1

    async def _save(self, item: BatchItem) -> None:
        work, directory = self._work, self._work.wishes.download_to
        assert directory is not None
        assert item.generation is not None
        item.path = None
        try:
            # What stands there is somebody else's, or what a run saved that was killed before it could write that down.
            saved = await save(work.core, item.generation, directory, overwrite="rename", same_stays=True)
        except NeuralBoxError as error:
            item.error = error
            return
        item.path = saved.path
        if work.journal is not None:
            await work.written(work.journal.saved(item.key, str(saved.path), saved.bytes))

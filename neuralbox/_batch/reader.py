"""Reading a batch's requests: checked, written down, and passed on to where each one stands.

One task reads, as far as there are places. With a journal a second one plans what was read meanwhile, many at once; it
tells what is known of each: new ones are sent, paid ones waited for, ended ones handed out again. After the list the
journal's own paid ones that the list did not name follow; with no list at all, everything the journal has not ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing, suppress
from typing import Any, TypeAlias, cast

import anyio
from anyio.lowlevel import checkpoint

from .._api.vocabulary import COMPLETED
from .._errors import ConfigurationError, JournalError
from .._journal.protocol import ACCEPTED, FINAL, PLANNED, SENDING, Journal, JournalRecord, PlannedRequest, require_key
from .._models.generation import Generation
from .._requests.json_lines import as_request, check, request_from_dict
from .._requests.requests import BatchRequest
from .item import BatchItem
from .journal_ids import register_journal_ids
from .journal_records import generation_of
from .progress import ItemStage
from .state import BatchState

Given: TypeAlias = BatchRequest | Mapping[str, Any]
Source: TypeAlias = Iterable[Given] | AsyncIterable[Given]

PAGE = 256
"""Requests planned at once, at most."""
REMEMBERED = 65_536
"""Keys given by the caller that are remembered to tell a second one, where no journal does it."""
_TURN = 32  # requests of a plain list that are read without letting others run
_GOODBYE = 5.0


class RequestReader:
    """Reads the requests of one run.

    Args:
        work: The run.
        source: The requests; None for those of the journal.
        send: Called with each that is to be sent.
        account_for: Called with each that is paid for, before `attend`.
        attend: Called with each that is paid for and runs, and its age in seconds.
        save: Called with each that ended in an earlier run, and where its file is, if it has been saved.
    """

    def __init__(
        self,
        work: BatchState,
        source: Source | None,
        *,
        send: Callable[[BatchItem], None],
        account_for: Callable[[BatchItem], Awaitable[None]],
        attend: Callable[[BatchItem, Generation | None, float | None], None],
        save: Callable[[BatchItem, str | None], None],
    ) -> None:
        self._work = work
        self._source = source
        self._send = send
        self._account_for = account_for
        self._attend = attend
        self._save = save
        self._position = 0
        self._keys: set[int] = set()
        self._oldest: deque[int] = deque()
        self._unplanned: deque[tuple[BatchItem, PlannedRequest]] = deque()
        self._planning = False
        self.open: set[str] = set()
        """Keys of this run that were handed out and are still open in the journal; filled by `handed_out`."""

    def handed_out(self, item: BatchItem) -> None:
        """Take note of an outcome after which a later run has something to do."""
        if item.is_open and self._work.journal is not None:
            self.open.add(item.key)

    @property
    def _journal(self) -> Journal:
        assert self._work.journal is not None
        return self._work.journal

    async def run(self) -> None:
        """Read everything; what the list raises is raised after what came before it."""
        work = self._work
        try:
            if work.journal is not None:
                await register_journal_ids(work.core, work.journal)
            if self._source is not None:
                await self._read(self._source)
            if work.journal is not None and work.reading:
                await self._read_journal()
        finally:
            work.reading = False
            work.news.ring()
            work.step()

    # The caller's list...

    async def _read(self, source: Source) -> None:
        if isinstance(source, AsyncIterable):
            await self._read_async(aiter(source))
        else:
            await self._read_plain(source)

    async def _read_async(self, given: AsyncIterator[Given]) -> None:
        work = self._work
        try:
            while await self._has_room():
                try:
                    one = await anext(given)
                except StopAsyncIteration:
                    break
                except Exception as error:  # noqa: BLE001 - the caller's own, raised to the caller
                    work.fail(error, reading_only=True)
                    break
                self._take(one)
        finally:
            aclose = getattr(given, "aclose", None)
            if aclose is not None:
                with anyio.move_on_after(_GOODBYE, shield=True), suppress(Exception):
                    await aclose()

    async def _read_plain(self, source: Iterable[Given]) -> None:
        work, turn = self._work, 0
        given: Iterator[Given] | None = None
        try:
            while await self._has_room():
                turn += 1
                if turn % _TURN == 0:
                    await checkpoint()
                try:
                    given = iter(source) if given is None else given
                    one = next(given)
                except StopIteration:
                    break
                except Exception as error:  # noqa: BLE001 - the caller's own, raised to the caller
                    work.fail(error, reading_only=True)
                    break
                self._take(one)
        finally:
            close = getattr(given, "close", None)
            if close is not None:
                with suppress(Exception):
                    close()

    async def _has_room(self) -> bool:
        work = self._work
        while work.is_full and work.reading:
            await work.room.wait()
        return work.reading

    def _take(self, one: Given) -> None:
        work = self._work
        self._position += 1
        work.tally.read += 1
        item = BatchItem(f"{self._position:06d}", one)
        try:
            request = item.request = as_request(one)
            if request.key is not None:
                item.key = request.key
            check(request, work.core.options.dialect)
            entry = None if work.journal is None else _entry(item)
        except ConfigurationError as error:
            work.enter(item)
            work.give_up(item, error)
            return
        if not work.enter(item) or self._was_given(request.key):
            work.give_up(item, _given_twice(item.key))
        elif entry is None:
            self._send(item)
        else:
            self._unplanned.append((item, entry))
            if not self._planning:
                self._planning = True
                work.group.start_soon(work.guarded, self._plan)

    def _was_given(self, key: str | None) -> bool:
        """Whether the caller gave this key before, as far as that is remembered; with a journal it knows better."""
        if key is None or self._work.journal is not None:
            return False
        name = hash(key)
        if name in self._keys:
            return True
        self._keys.add(name)
        self._oldest.append(name)
        if len(self._oldest) > REMEMBERED:
            self._keys.discard(self._oldest.popleft())
        return False

    # ... what the journal knows of it...

    async def _plan(self) -> None:
        work = self._work
        try:
            while self._unplanned:
                page = [self._unplanned.popleft() for _ in range(min(PAGE, len(self._unplanned)))]
                try:
                    records = await self._planned(page)
                except Exception as error:  # noqa: BLE001 - raised to the caller as it is, after what was paid for
                    work.fail(error)
                    for item, _ in [*page, *self._unplanned]:
                        if item.stage is ItemStage.QUEUED:  # else its key was given twice
                            work.drop(item)
                    self._unplanned.clear()
                    return
                known = [(item, one) for (item, _), one in zip(page, records, strict=True) if one is not None]
                # What is known to be ours comes before what is unknown: the history is believed for showing it.
                for item, record in sorted(known, key=lambda pair: pair[1].id is None):
                    await self._pass_on(item, record)
        finally:
            self._planning = False

    async def _planned(self, page: Sequence[tuple[BatchItem, PlannedRequest]]) -> Sequence[JournalRecord | None]:
        """Write a page down, and return what was known of each; None for one whose key was given twice."""
        journal = self._journal
        try:
            return await journal.plan([entry for _, entry in page])
        except JournalError as error:
            if error.reason != "duplicate":
                raise
        records: list[JournalRecord | None] = []
        for item, entry in page:
            try:
                records += await journal.plan([entry])
            except JournalError as error:
                if error.reason != "duplicate":
                    raise
                self._work.give_up(item, error)
                records.append(None)
        return records

    async def _pass_on(self, item: BatchItem, record: JournalRecord) -> None:
        """Pass an item on to where its record stands; none may be lost on the way."""
        try:
            await self._route(item, record)
        except Exception as error:  # noqa: BLE001 - raised to the caller as it is, after what was paid for
            self._work.fail(error)
            self._work.give_up(item, error)

    async def _route(self, item: BatchItem, record: JournalRecord) -> None:
        work = self._work
        item.job = None if record.id == "" else record.job
        if record.is_finished:
            item.ended(work.core, generation_of(record))
            item.resumed = True
            if item.error is not None and work.wishes.retry_failed:
                item.start_again()
                self._send(item)
            else:
                self._save(item, record.path)
        elif record.state == ACCEPTED:
            at = record.accepted_at
            item.is_open = True
            await self._account_for(item)
            self._attend(item, None, None if at is None else max(0.0, work.core.now() - at))
        else:
            item.is_open = record.state == SENDING
            item.claim = record.claim if record.state == SENDING else None
            self._send(item)

    # ... and what the list did not name.

    async def _read_journal(self) -> None:
        work, journal = self._work, self._journal
        if self._source is None:
            await self._read_records(journal.finished(), self._is_wanted_again)
        # What is here now may end before its page is looked at; afterwards nothing of the list is added any more.
        before = {*work.live, *self.open}
        await self._read_records(
            journal.unfinished(),
            lambda record: record.key not in before and (record.state != PLANNED or self._source is None),
        )

    def _is_wanted_again(self, record: JournalRecord) -> bool:
        """Whether one that has ended is still without its file, or is to be tried again."""
        wishes = self._work.wishes
        if record.state != FINAL:
            return False
        if record.status != COMPLETED:
            return wishes.retry_failed
        return wishes.download_to is not None and generation_of(record).url is not None

    async def _read_records(
        self, records: AsyncIterator[JournalRecord], wanted: Callable[[JournalRecord], bool]
    ) -> None:
        async with aclosing(cast("AsyncGenerator[JournalRecord]", records)):
            async for record in records:
                if wanted(record) and not await self._read_record(record):
                    return

    async def _read_record(self, record: JournalRecord) -> bool:
        work = self._work
        if not await self._has_room():
            return False
        work.tally.read += 1
        item = BatchItem(record.key, record.request)
        work.enter(item)
        try:
            item.request = request_from_dict(record.request)
        except ConfigurationError as error:
            # Of a version that knew more; what is paid for can be waited for all the same.
            if record.job is None:
                work.give_up(item, error)
                return True
        await self._pass_on(item, record)
        return True


def _entry(item: BatchItem) -> PlannedRequest:
    """What the journal is told of a request; its key has a place of its own."""
    assert isinstance(item.request, BatchRequest)
    require_key(item.key)
    record = item.request.to_dict()
    record.pop("key", None)
    entry = PlannedRequest(item.key, record)
    entry.text  # noqa: B018 - what cannot be written down is refused now
    return entry


def _given_twice(key: str) -> ConfigurationError:
    return ConfigurationError(f"The key {key!r} is given to two requests. Give each request its own key.")

"""Reading a batch's requests: checked, written down, and passed on to where each one stands.

One task reads, as far as there are places. With a journal a second one plans what was read meanwhile, many at once; it
tells what is known of each: new ones are sent, paid ones waited for, ended ones delivered again. After the list the
journal's own paid ones that the list did not name follow; with no list at all, everything the journal has not ended.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, TypeAlias, cast

import anyio
from anyio.lowlevel import checkpoint

from .._api.vocabulary import COMPLETED
from .._budget import Reservation
from .._errors import ConfigurationError, JournalError
from .._journal.protocol import ACCEPTED, FINAL, PLANNED, SENDING, Journal, JournalRecord, PlannedRequest, require_key
from .._journal.shared import SharedJournal, shared_of
from .._requests.base import BatchRequest
from .._requests.json_lines import check
from .._submissions.journal_ids import register_journal_ids
from .._submissions.registry import registry_of
from .collector import Collector
from .item import BatchItem, ItemStage
from .journal_records import generation_of
from .others import OthersWork
from .state import BatchState
from .submitter import Submitter, sent_as
from .unknown import prompt_of

Given: TypeAlias = BatchRequest | Mapping[str, Any]
Source: TypeAlias = Iterable[Given] | AsyncIterable[Given]

PAGE = 256
"""Requests planned at once, at most."""
REMEMBERED = 65_536
"""Keys given by the caller that are remembered to tell a second one, where no journal does it."""
SHARED_KEY_BYTES = 2_000
"""The longest key in a journal that many share: an index of PostgreSQL takes 2,704 bytes."""
_TURN = 32  # requests of a plain list that are read without letting others run
_GOODBYE = 5.0
_LOOK_AGAIN = 2.0
"""Seconds between two looks for work that others may leave."""


class RequestReader:
    """Read the requests of one run.

    Args:
        state: The run.
        source: The requests; None for those of the journal.
        submitter: Takes those that are to be sent.
        collector: Takes those that were accepted, or have ended, in an earlier run.
        others: Takes those that another worker has.
    """

    def __init__(
        self,
        state: BatchState,
        source: Source | None,
        submitter: Submitter,
        collector: Collector,
        others: OthersWork,
    ) -> None:
        others.pass_on = self._pass_on
        self._others = others
        self._state = state
        self._source = source
        self._submitter = submitter
        self._collector = collector
        self._position = 0
        self._keys: set[int] = set()
        self._oldest: deque[int] = deque()
        self._unplanned: deque[tuple[BatchItem, PlannedRequest]] = deque()
        self._is_planning = False
        self._set_aside: dict[str, Reservation] = {}  # for what earlier runs sent, until it is read
        self._left_open: set[str] = set()  # keys of this run that were delivered and are still open in the journal

    def delivered(self, item: BatchItem) -> None:
        """Take note of an outcome after which a later run has something to do."""
        if item.is_open and self._state.journal is not None:
            self._left_open.add(item.key)

    async def run(self) -> None:
        """Read everything; what the list raises is raised after what came before it."""
        state = self._state
        journal = state.journal
        try:
            if journal is not None:
                dialect, kinds = state.core.options.dialect, state.options.kinds
                await register_journal_ids(
                    registry_of(state.core), journal, lambda record: prompt_of(record, dialect, kinds)
                )
                if shared_of(journal) is None:  # else the run's budget counts it in the database
                    self._set_aside = await self._submitter.set_aside(journal)
            if self._source is not None:
                await self._read(self._source)
            if journal is not None and state.reading:
                await self._read_journal(journal)
            if state.reading:  # to the end
                state.counter.total = state.counter.read
        finally:
            state.reading = False
            state.news.ring()
            state.changed.ring()

    # The caller's list...

    async def _read(self, source: Source) -> None:
        if isinstance(source, AsyncIterable):
            await self._read_async(aiter(source))
        else:
            await self._read_plain(source)

    async def _read_async(self, given: AsyncIterator[Given]) -> None:
        state = self._state
        try:
            while await self._has_room():
                try:
                    request = await anext(given)
                except StopAsyncIteration:
                    break
                except Exception as error:  # noqa: BLE001 - the caller's own, raised to the caller
                    state.fail(error, reading_only=True)
                    break
                self._take(request)
        finally:
            aclose = getattr(given, "aclose", None)
            if aclose is not None:
                with anyio.move_on_after(_GOODBYE, shield=True), suppress(Exception):
                    await aclose()

    async def _read_plain(self, source: Iterable[Given]) -> None:
        state, turn = self._state, 0
        given: Iterator[Given] | None = None
        if isinstance(source, Sequence):
            self._submitter.hold()
        try:
            while await self._has_room():
                turn += 1
                if turn % _TURN == 0:
                    await checkpoint()
                try:
                    given = iter(source) if given is None else given
                    request = next(given)
                except StopIteration:
                    break
                except Exception as error:  # noqa: BLE001 - the caller's own, raised to the caller
                    state.fail(error, reading_only=True)
                    break
                self._take(request)
        finally:
            self._submitter.release()
            close = getattr(given, "close", None)
            if close is not None:
                with suppress(Exception):
                    close()

    async def _has_room(self) -> bool:
        state = self._state
        while state.is_full and state.reading:
            self._submitter.release()
            await state.room.wait()
        return state.reading

    def _take(self, given: Given) -> None:
        state = self._state
        self._position += 1
        item = BatchItem(position_key(self._position), given)
        try:
            request = item.request = state.options.kinds.take(given)
            if request.key is not None:
                item.key, item.is_named = request.key, True
            if shared_of(state.journal) is not None:
                require_shared_key(request.key)
            check(request, state.core.options.dialect)
            planned = None if state.journal is None else planned_request(item.key, request)
        except ConfigurationError as error:
            key = given.get("key") if isinstance(given, Mapping) else None
            if isinstance(key, str) and key:  # whoever gave it knows it by that
                item.key, item.is_named = key, True
            state.enter(item)
            state.give_up(item, error)
            return
        if not state.enter(item) or self._was_given(request.key):
            state.give_up(item, given_twice(item.key))
        elif planned is None:
            self._submit(item)
        else:
            self._unplanned.append((item, planned))
            if not self._is_planning:
                self._is_planning = True
                state.group.start_soon(state.guarded, self._plan_all)

    def _submit(self, item: BatchItem) -> None:
        """Send one when its turn comes; a recording that is not there is told now, before anything else is bought."""
        problem = missing_file(item.request)
        if problem is None:
            self._submitter.add(item)
        else:
            self._state.give_up(item, problem)

    def _was_given(self, key: str | None) -> bool:
        """Whether the caller gave this key before, as far as that is remembered; with a journal it knows better."""
        if key is None or self._state.journal is not None:
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

    async def _plan_all(self) -> None:
        state = self._state
        try:
            while self._unplanned:
                page = [self._unplanned.popleft() for _ in range(min(PAGE, len(self._unplanned)))]
                try:
                    records = await self._plan_page(page)
                except Exception as error:  # noqa: BLE001 - raised to the caller as it is, after what was paid for
                    state.fail(error)
                    for item, _ in [*page, *self._unplanned]:
                        if item.stage is ItemStage.QUEUED:  # else its key was given twice
                            state.drop(item)
                    self._unplanned.clear()
                    return
                known = [(item, record) for (item, _), record in zip(page, records, strict=True) if record is not None]
                # What is known to be ours comes before what is unknown: the history is believed for showing it.
                for item, record in sorted(known, key=lambda pair: pair[1].id is None):
                    await self._pass_on(item, record)
        finally:
            self._is_planning = False

    async def _plan_page(self, page: Sequence[tuple[BatchItem, PlannedRequest]]) -> Sequence[JournalRecord | None]:
        """Write a page down, and return what was known of each; None for one whose key was given twice."""
        journal = self._state.journal
        assert journal is not None
        try:
            return await journal.plan([planned for _, planned in page])
        except JournalError as error:
            if error.reason != "duplicate":
                raise
        records: list[JournalRecord | None] = []
        for item, planned in page:
            try:
                records += await journal.plan([planned])
            except JournalError as error:
                if error.reason != "duplicate":
                    raise
                self._state.give_up(item, error)
                records.append(None)
        return records

    async def _pass_on(self, item: BatchItem, record: JournalRecord) -> None:
        """Pass an item on to where its record stands; none may be lost on the way."""
        try:
            await self._route(item, record)
        except Exception as error:  # noqa: BLE001 - raised to the caller as it is, after what was paid for
            self._state.fail(error)
            self._state.give_up(item, error)

    async def _route(self, item: BatchItem, record: JournalRecord) -> None:
        state = self._state
        item.job = None if record.id == "" else record.job
        item.reservation = self._set_aside.pop(record.key, None)
        if record.is_foreign:
            self._others.watch(item)
        elif record.is_finished:
            item.ended(state.core, generation_of(record, state.core.options.service))
            item.resumed = True
            if item.error is not None and state.options.retry_failed:
                item.start_again()
                self._submit(item)
            else:
                self._collector.finish(item, record.path)
        elif record.state == ACCEPTED:
            at = record.accepted_at
            item.is_open = True
            await self._submitter.account_for(item)
            self._collector.attend(item, age=None if at is None else max(0.0, state.core.now() - at))
        else:
            item.is_open = record.state == SENDING
            item.claim = record.claim if record.state == SENDING else None
            item.sent_as = sent_as(record)
            self._submit(item)

    # ... and what the list did not name.

    async def _read_journal(self, journal: Journal) -> None:
        state = self._state
        shared = shared_of(journal)
        if shared is not None:
            # What a share does not name is another's share.
            if self._source is None:
                await self._read_shared(shared)
            return
        if self._source is None:
            await self._read_records(journal.finished(), self._is_wanted_again)
        # What is here now may end before its page is read; afterwards nothing of the list is added any more.
        before = {*state.live, *self._left_open}
        await self._read_records(
            journal.unfinished(),
            lambda record: record.key not in before and (record.state != PLANNED or self._source is None),
        )

    async def _read_shared(self, journal: SharedJournal) -> None:
        """Take what nobody works on, page by page, until the whole run has ended or is in living hands that end it."""
        state, options = self._state, self._state.options
        while state.reading and state.refusal is None:
            page, others_work = await journal.take_page()
            for record in page:
                if not await self._read_record(record):
                    return
            if not page:
                if not others_work:
                    break
                await state.core.sleep(_LOOK_AGAIN)  # a worker may die, and its part is ours then
        for completed, is_wanted in ((True, options.download_to is not None), (False, options.retry_failed)):
            after = 0
            while is_wanted and state.reading and state.refusal is None:
                ended = await journal.take_ended(after=after, completed=completed)
                if not ended:
                    break
                after = ended[-1].position
                for record in filter(self._is_wanted_again, ended):
                    await self._read_record(record)

    def _is_wanted_again(self, record: JournalRecord) -> bool:
        """Whether one that has ended is still without its file, or is to be tried again."""
        options = self._state.options
        if record.state != FINAL:
            return False
        if record.status != COMPLETED:
            return options.retry_failed
        return (
            options.download_to is not None and generation_of(record, self._state.core.options.service).url is not None
        )

    async def _read_records(
        self, records: AsyncIterator[JournalRecord], wanted: Callable[[JournalRecord], bool]
    ) -> None:
        async with aclosing(cast("AsyncGenerator[JournalRecord]", records)):
            async for record in records:
                if wanted(record) and not await self._read_record(record):
                    return

    async def _read_record(self, record: JournalRecord) -> bool:
        state = self._state
        if not await self._has_room():
            return False
        item = BatchItem(record.key, record.request)
        item.is_named = record.key != position_key(record.position)
        state.enter(item)
        try:
            item.request = state.options.kinds.read(record.request)
        except ConfigurationError as error:
            # Of a version that knew more; what is paid for can be waited for all the same.
            if record.job is None:
                state.give_up(item, error)
                return True
        await self._pass_on(item, record)
        return True


def position_key(position: int) -> str:
    """Return the key of a request that has none of its own."""
    return f"{position:06d}"


def require_shared_key(key: str | None) -> None:
    """Require a key that names one request for all who share a journal, and that a database can look up.

    Raises:
        ConfigurationError: There is none, or it is too long.
    """
    if key is None:
        raise ConfigurationError(
            "In a journal that many share each request needs a `key` of its own: a place in the list names another request "
            "in every worker's share."
        )
    size = len(key.encode("utf-8", "surrogatepass"))
    if size > SHARED_KEY_BYTES:
        raise ConfigurationError(
            f"In a journal that many share a `key` has at most {SHARED_KEY_BYTES:,} bytes; this one has {size:,}."
        )


def planned_request(key: str, request: BatchRequest) -> PlannedRequest:
    """Return what a journal is told of a request; its key has a place of its own."""
    require_key(key)
    record = request.to_dict()
    record.pop("key", None)
    planned = PlannedRequest(key, record)
    planned.text  # noqa: B018 - what cannot be written down is refused now
    return planned


def missing_file(request: object) -> ConfigurationError | None:
    """Say which local file of a request is not there; None where none is missing."""
    for path in request.paths if isinstance(request, BatchRequest) else ():
        if not Path(path).exists():
            return ConfigurationError(f"The file {os.fspath(path)!r} cannot be read: there is none.")
    return None


def given_twice(key: str) -> ConfigurationError:
    """Build the error of the second request with a key."""
    return ConfigurationError(f"The key {key!r} is given to two requests. Give each request its own key.")

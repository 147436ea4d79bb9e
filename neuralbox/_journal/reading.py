"""Reading a journal without owning it, whichever kind it is: for reports, and for `batch status` while others run it.

Everything here blocks, a little. The library of a database is imported when a journal is in one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias

from .._errors import JournalError
from .._types import GenerationId
from .postgres.address import is_address, require_library
from .protocol import STATES, JournalHint, JournalMarks, JournalRecord, JournalSummary, JournalWorker, PlannedRequest
from .sqlite import facts as file_facts
from .sqlite import hints as file_hints
from .sqlite import reading as file_reading

MarkReader: TypeAlias = Callable[[Sequence[int]], JournalMarks]
"""Reads the marks of spans, given by their numbers from 0; each has some `MARK_SPAN` requests, in the order of planning.

Raises `JournalError` where the journal cannot be read.
"""


class _Reading(Protocol):
    def read_summary(self, journal: str) -> JournalSummary: ...

    def read_records(
        self, journal: str, *, states: Sequence[str] = ..., after: int = ...
    ) -> Iterator[JournalRecord]: ...

    def read_workers(self, journal: str, now: float) -> Sequence[JournalWorker]: ...

    def mark_reader(self, journal: str) -> MarkReader: ...

    def facts(self, journal: str) -> dict[str, Any]: ...

    def remember(self, journal: str, name: str, value: object) -> None: ...

    def leave_hint(self, journal: str, id: str, event: str) -> bool: ...

    def read_hints(self, journal: str, after: int) -> list[JournalHint]: ...

    def require_same(self, journal: str, entries: Iterable[PlannedRequest]) -> None: ...

    def plan_requests(
        self, journal: str, entries: Iterable[PlannedRequest], *, service: str, now: float
    ) -> tuple[int, int]: ...

    def accept_restored(self, journal: str) -> None: ...


def read_summary(journal: str | os.PathLike[str]) -> JournalSummary:
    """Count what a journal holds. `owner` is set while somebody works on it.

    Changes that a worker still holds back (about a second's worth) are not in it.

    Raises:
        JournalError: There is no such journal, or it cannot be read.
    """
    if is_address(journal):
        return _postgres().read_summary(journal)
    return file_reading.read_summary(journal)


def require_journal(journal: str | os.PathLike[str]) -> None:
    """Require that there is a journal, before it is opened to go on with it, which would make one.

    One of an older version is one: opening brings it up to date. What a newer one wrote, opening refuses.

    Raises:
        JournalError: There is no such journal, or it cannot be read.
    """
    try:
        read_summary(journal)
    except JournalError as error:
        if error.reason != "version":
            raise


def read_records(
    journal: str | os.PathLike[str], *, states: Sequence[str] = STATES, after: int = 0
) -> Iterator[JournalRecord]:
    """Iterate over a journal's records in the order of planning; memory does not grow with the journal.

    Args:
        journal: Its file or its address.
        states: Which ones.
        after: Where to begin: behind the record at this position.

    Raises:
        JournalError: There is no such journal, or it cannot be read.
    """
    if is_address(journal):
        return _postgres().read_records(journal, states=states, after=after)
    return file_reading.read_records(journal, states=states, after=after)


def read_workers(journal: str | os.PathLike[str], now: float) -> Sequence[JournalWorker]:
    """Return who works on a journal that many share, with what each came to by `now`, Unix seconds; of a file nobody.

    Raises:
        JournalError: There is no such journal, or it cannot be read.
    """
    return _postgres().read_workers(journal, now) if is_address(journal) else ()


def mark_reader(journal: str | os.PathLike[str]) -> MarkReader:
    """Return what reads a journal's marks again and again; for one thread at a time."""
    return _postgres().mark_reader(journal) if is_address(journal) else partial(file_reading.read_marks, journal)


def facts(journal: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what `remember` wrote into a journal, by name; what is not JSON, or no journal, gives nothing."""
    if is_address(journal):
        return _postgres().facts(journal)
    return file_facts.facts(journal)


def remember(journal: str | os.PathLike[str], name: str, value: object) -> None:
    """Keep a fact of the caller's in a journal, in place of an earlier one of that name.

    Args:
        journal: Its file or its address; it is there.
        name: Its name; none of the journal's own.
        value: JSON values.

    Raises:
        JournalError: It cannot be written.
    """
    if is_address(journal):
        _postgres().remember(journal, name, value)
    else:
        file_facts.remember(journal, name, value)


def leave_hint(journal: str | os.PathLike[str], id: GenerationId, event: str) -> bool:
    """Write down for whoever waits that a generation may have ended.

    Args:
        journal: Its file or its address.
        id: The generation.
        event: What tells this word from others, so that it counts once.

    Returns:
        Whether it was new, about a generation that the journal has as accepted; False too where there is no such file.

    Raises:
        JournalError: The journal cannot be read or written.
    """
    name = str(id).encode("utf-8", "replace").decode()
    if "\0" in name:  # no id of a database
        return False
    if is_address(journal):
        return _postgres().leave_hint(journal, name, event)
    return file_hints.leave_hint(journal, name, event)


class HintReader:
    """Read what is new among a journal's hints, without owning it; cheap where nobody wrote to it.

    Args:
        journal: Its file or its address.
    """

    def __init__(self, journal: str | os.PathLike[str]) -> None:
        self.journal = journal if is_address(journal) else os.path.realpath(journal)
        self._after = 0
        self._written: object = None

    @property
    def may_have_news(self) -> bool:
        """Whether the journal was written to since it was read; always of a database, which only an answer tells."""
        return is_address(self.journal) or file_hints.written_at(self.journal) != self._written

    def read(self) -> list[JournalHint]:
        """Return what was left since the last time; some may come again.

        Raises:
            JournalError: There is no such journal, or it cannot be read.
        """
        if is_address(self.journal):
            found = _postgres().read_hints(self.journal, self._after)
        else:
            written = file_hints.written_at(self.journal)  # before the reading: what comes meanwhile is read again
            found = file_hints.read_hints(self.journal, self._after)
            self._written = written
        if found:
            self._after = found[-1].number
        return found


def require_same(journal: str | os.PathLike[str], entries: Iterable[PlannedRequest]) -> None:
    """Require that a journal knows none of these keys as another request; writes nothing.

    Args:
        journal: Its file or its address; it is there.
        entries: The requests; read once.

    Raises:
        JournalError: It does, or it cannot be read.
    """
    if is_address(journal):
        _postgres().require_same(journal, entries)
    else:
        file_reading.require_same(journal, entries)


def plan_requests(journal: str, entries: Iterable[PlannedRequest], *, service: str, now: float) -> tuple[int, int]:
    """Write requests down in a journal that many share; see `postgres.reading.plan_requests`."""
    return _postgres().plan_requests(journal, entries, service=service, now=now)


def accept_restored(journal: str) -> None:
    """Go on with a database that was restored; see `postgres.reading.accept_restored`."""
    _postgres().accept_restored(journal)


def _postgres() -> _Reading:
    require_library()
    from .postgres import reading

    return reading

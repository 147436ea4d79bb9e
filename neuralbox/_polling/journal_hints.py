"""What webhooks said to other processes: hints in the journals of those who wait, looked for while they wait.

A process that takes webhooks and waits for nothing leaves a hint in the journal (`neuralbox.webhooks.notify`). Whoever waits
for a job of that journal looks for hints as often as one job may be polled (`Polling.min_interval`), in the task of one of
those who wait, and has the job polled once; a batch looks only while it has a job to wait for. A look at a file that nobody
wrote to is two system calls; where no journal is known there is none. A look that fails is no loss: all that is waited for is
polled anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Final, Protocol

import anyio
from anyio import to_thread

from .._errors import JournalError
from .polled_job import GRACE, Waiter
from .seen_events import SeenEvents

if TYPE_CHECKING:  # SQLite is loaded where there is a journal
    from .._journal import Journal, JournalHint

_SHORTEST: Final = 1.0
"""Seconds between two looks at one journal, at least."""
_MOST: Final = 10_000


class JournalHints:
    """Look for hints in the journals of those who wait with one poller.

    Args:
        clock: The clock.
        due: Told when somebody has to look.
        tell: Called with a generation's id and an event; returns whether anybody waits for it.
        seen: The events that were had.

    Attributes:
        next_at: When the next look is due; None where there is nothing to look at.
    """

    __slots__ = ("_clock", "_due", "_early", "_looks", "_seen", "_tell", "next_at")

    def __init__(
        self,
        clock: Callable[[], float],
        due: Callable[[float], None],
        tell: Callable[[str, str], bool],
        seen: SeenEvents,
    ) -> None:
        self.next_at: float | None = None
        self._clock = clock
        self._due = due
        self._tell = tell
        self._seen = seen
        self._looks: dict[object, _Look] = {}
        self._early: dict[str, str] = {}  # about jobs that nobody waits for yet

    def listen(self, waiter: Waiter, journal: str | Journal) -> None:
        """Look for hints in a journal for as long as somebody waits who said so; `leave` must follow.

        Args:
            waiter: Who waits.
            journal: A file or an address, whoever owns it; or one that is open.
        """
        look = self._looks.get(journal)
        if look is None:
            source = _LeftHints(journal) if isinstance(journal, str) else _OwnHints(journal)
            look = self._looks[journal] = _Look(self, source, self._clock())
            self._plan()
        look.waiters[waiter] = None
        if waiter.has_jobs:
            self.wake(waiter)

    def wake(self, waiter: Waiter) -> None:
        """Look again for one who had no job and has one now."""
        for look in self._looks.values():
            if look.is_asleep and waiter in look.waiters:
                look.is_asleep = False
                self.at_once(look)

    def leave(self, waiter: Waiter) -> None:
        """Look for nothing any more for one who waited."""
        for journal, look in [*self._looks.items()]:
            look.waiters.pop(waiter, None)
            if not look.waiters:
                del self._looks[journal]
        self._plan()

    def assign(self, now: float) -> Collection[Waiter]:
        """Give the looks that are due to somebody who waits, and return those who got one."""
        chosen = dict[Waiter, None]()
        for look in self._looks.values():
            if look.look_at is not None and look.look_at <= now:
                if not any(waiter.has_jobs for waiter in look.waiters):
                    look.look_at, look.is_asleep = None, True
                    continue
                waiter = next((waiter for waiter in look.waiters if waiter.is_waiting), None)
                if waiter is None or not look.source.may_have_news:
                    look.look_at = now + look.pause
                    continue
                look.look_at = None
                waiter.todo.append(look)
                chosen[waiter] = None
        self._plan()
        return chosen

    def was_told_of(self, key: str) -> bool:
        """Whether there was a hint, not had before, about a job for which nobody waited."""
        event = self._early.pop(key, None) if self._early else None
        return event is not None and self._seen.add(event)

    def heard(self, hints: Sequence[JournalHint]) -> None:
        """Have jobs polled that are said to have ended, and keep what is said of others."""
        for hint in hints:
            if not self._tell(hint.id, hint.event):
                self._early[hint.id] = hint.event
                if len(self._early) > _MOST:
                    del self._early[next(iter(self._early))]

    def look_at(self, look: _Look, at: float) -> None:
        """Have somebody look at that time."""
        look.look_at = at
        self._plan()

    def again(self, look: _Look) -> None:
        """Have somebody look again, a pause later."""
        self.look_at(look, self._clock() + look.pause)

    def at_once(self, look: _Look) -> None:
        """Have somebody else look now."""
        self.look_at(look, self._clock())

    def _plan(self) -> None:
        self.next_at = min((look.look_at for look in self._looks.values() if look.look_at is not None), default=None)
        if self.next_at is not None:
            self._due(self.next_at)


class _Look:
    """The looks at one journal: what one of those who wait does for all of them.

    Attributes:
        source: Where hints are.
        look_at: When the next look is due; None while somebody looks, or it sleeps.
        is_asleep: None of those who wait has a job: a keeper waits for theirs, say.
        waiters: For whom, in the order of their arrival.
    """

    __slots__ = ("_hints", "is_asleep", "look_at", "source", "waiters")

    def __init__(self, hints: JournalHints, source: _Source, look_at: float) -> None:
        self.source = source
        self.look_at: float | None = look_at
        self.is_asleep = False
        self.waiters: dict[Waiter, None] = {}
        self._hints = hints

    @property
    def pause(self) -> float:
        """Seconds between two looks: as often as those who wait may poll one job."""
        return max(_SHORTEST, min(waiter.core.options.polling.min_interval for waiter in self.waiters))

    async def __call__(self, waiter: Waiter) -> None:  # noqa: ARG002 - whoever looks, looks for all
        found: Sequence[JournalHint] = ()
        try:
            found = await self.source.read()
        except JournalError:
            pass  # whatever is wrong with it, its owner says so
        finally:
            if self.waiters:
                self._hints.again(self)
        self._hints.heard(found)

    def drop(self) -> None:
        """Let another look: who was to do it has left."""
        self._hints.at_once(self)


class _Source(Protocol):
    """Where hints are."""

    @property
    def may_have_news(self) -> bool: ...

    async def read(self) -> Sequence[JournalHint]: ...


class _OwnHints:
    """Hints in a journal that this process has open."""

    may_have_news = True

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._after = 0

    async def read(self) -> Sequence[JournalHint]:
        found = await self._journal.hints(after=self._after)
        if found:
            self._after = found[-1].number
        return found


class _LeftHints:
    """Hints in a journal that is open only while somebody submits."""

    def __init__(self, journal: str) -> None:
        from .._journal import HintReader

        self._reader = HintReader(journal)

    @property
    def may_have_news(self) -> bool:
        return self._reader.may_have_news

    async def read(self) -> Sequence[JournalHint]:
        with anyio.move_on_after(GRACE):  # a database that does not answer holds up no wait
            return await to_thread.run_sync(self._reader.read, abandon_on_cancel=True)
        return ()

"""A journal that many processes work on at once: what `grouped` has, and what only such a one needs.

Each request has an owner while somebody works on it; one whose owner is gone is anybody's. What becomes of a request whose
answer was lost is decided by one process and granted by the store: of two that want one generation for two requests, one
gets it, and nothing is held absent by somebody who did not know what another took meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias

from .._errors import JournalError
from .._types import GenerationId, JobRef
from . import operations
from .allotments import Places, RunFunds, SharedWindows, Taken
from .grouped import GroupedJournal, JournalStore
from .protocol import Journal, JournalRecord, to_json


@dataclass(frozen=True, slots=True)
class ClaimInFlight:
    """A request of the account that is being sent, by whomever.

    Attributes:
        claim: What its sender wrote down.
        is_unknown: Its sender has lost its answer, or is gone.
        widened: Counts what widened its window.
        opens: Where its window begins by now, Unix seconds of the service's clock; None where it says so itself.
    """

    claim: Mapping[str, Any]
    is_unknown: bool
    widened: int = 0
    opens: float | None = None


@dataclass(frozen=True, slots=True)
class KnownGeneration:
    """A generation that is a request's of the account.

    Attributes:
        job: It.
        mark: Digest of its prompt.
    """

    job: JobRef
    mark: bytes | None


@dataclass(frozen=True, slots=True)
class AccountView:
    """What a journal knows of an account at one moment.

    Attributes:
        in_flight: What is being sent, or unknown.
        known: Of the ids that were asked about, those that are a request's.
    """

    in_flight: Sequence[ClaimInFlight]
    known: Sequence[KnownGeneration]


class GrantRefusal(Enum):
    """Say why a conclusion was not granted."""

    TAKEN = "another request has the generation"
    OUTDATED = "something was taken meanwhile that may have been this one's"
    UNFIT = "the journal cannot hold the id of the generation"
    UNSENT = "whoever sent it has said meanwhile that it was not accepted"


Grant: TypeAlias = "GrantRefusal | JobRef | None"
"""What became of a conclusion: granted (None), refused, or overtaken by the answer, which came late."""


class KeptJob(NamedTuple):
    """A job that somebody waits for.

    Attributes:
        number: Of its record.
        job: It.
        accepted_at: Unix seconds by the clock of who sent it, or None.
        is_brief: Whether text or address of the result are all that is needed of it.
    """

    number: int
    job: JobRef
    accepted_at: float | None
    is_brief: bool


class LostClaim(NamedTuple):
    """A request of which nobody knows whether it was accepted.

    Attributes:
        number: Of its record.
        claim: What its sender wrote down.
        name: Which of its sendings that is, and
        attempt: the how manieth.
        widened: Counts what widened its window.
    """

    number: int
    claim: Mapping[str, Any]
    name: str
    attempt: int
    widened: int


@dataclass(slots=True)
class News:
    """What became of a request that the keeper sees to.

    Attributes:
        record: The record as it is.
        unsettled: What the keeper says of a lost answer that it cannot settle; None where it has said nothing.
        is_kept: Whether the keeper waits for it, or will.
        stamp: Names this state of the record.
    """

    record: JournalRecord
    unsettled: Mapping[str, Any] | None
    is_kept: bool
    stamp: str


class KeeperStore(Protocol):
    """What holds the records, for the keeper and for those it keeps for; see the methods of `tenure.Tenure`."""

    def only_keep(self) -> None: ...

    def elect(self) -> int | None: ...

    def resign(self, epoch: int) -> None: ...

    def jobs(self, epoch: int) -> list[KeptJob]: ...

    def taken_up(self, epoch: int, numbers: Sequence[int]) -> None: ...

    def lost(self) -> list[LostClaim]: ...

    def end(self, epoch: int, ended: Sequence[tuple[int, GenerationId, str]], at: float) -> None: ...

    def hand_back(self, epoch: int, numbers: Sequence[int]) -> None: ...

    def unsettled(self, epoch: int, claim: LostClaim, said: str) -> None: ...

    def adopt(self, epoch: int, claim: LostClaim, job: JobRef, sent: float | None, at: float) -> Grant: ...

    def absent(self, epoch: int, claim: LostClaim, widened: int) -> Grant: ...

    def news(self) -> list[News]: ...

    def heard(self, news: Sequence[News]) -> None: ...


class AllotmentStore(Protocol):
    """What keeps the account of what all share; see `postgres.allotments.Allotments`."""

    def open_budget(self, budget: int, *, failure_is_free: bool) -> tuple[RunFunds, bool]: ...

    def take_tokens(self, price: int | None, *, returned: int, is_moving: bool, keeps_unknown: bool) -> Taken: ...

    def keep_tokens(self, *, is_moving: bool, keeps_unknown: bool, holds: bool) -> None: ...

    def note_price(self, key: str, price: int) -> None: ...

    def take_places(
        self, said: SharedWindows, *, is_over: bool, reserve_of: Callable[[int], int], kept: int, wants: bool
    ) -> Places: ...


class SharedStore(JournalStore, Protocol):
    """What holds the records of a journal that many share; see the methods of `SharedJournal`."""

    @property
    def keeping(self) -> KeeperStore: ...

    @property
    def allotments(self) -> AllotmentStore: ...

    def be_kept(self, *, is_brief: bool) -> None: ...

    @property
    def may_send(self) -> bool: ...

    @property
    def is_lost(self) -> bool: ...

    def take(self, keys: Collection[str], at: float) -> list[JournalRecord]: ...

    def look(self, key: str, at: float) -> JournalRecord: ...

    def take_page(self, at: float) -> tuple[list[JournalRecord], bool]: ...

    def take_ended(self, after: int, *, completed: bool) -> list[JournalRecord]: ...

    def give_up(self, keys: Collection[str]) -> None: ...

    def tell(self, throttled: tuple[float, str] | None) -> None: ...

    def lost(self, key: str, claim: str) -> None: ...

    def view(self, ids: Collection[str]) -> AccountView: ...

    def adopt(self, key: str, claim_key: str, job: JobRef, sent: float | None, at: float) -> Grant: ...

    def absent(self, key: str, claim_key: str, widened: int) -> Grant: ...


class SharedJournal(GroupedJournal):
    """Keep a journal in a store that other processes write to as well; `open_journal` makes one over PostgreSQL.

    Args:
        store: Where the records are.
        now: Unix seconds.
        clock: Monotonic seconds.
    """

    _store: SharedStore

    def __init__(self, store: SharedStore, *, now: Callable[[], float], clock: Callable[[], float]) -> None:
        super().__init__(store, now=now, clock=clock)

    # Who works on what...

    def require_lease(self, key: str | None = None) -> None:
        """Require that this process may still send.

        Raises:
            JournalError: Its lease is over, or nearly: others may take over what it had.
        """
        if not self._store.may_send:
            raise lease_over(self.path, key)

    def require_life(self) -> None:
        """Require that others did not take this process for dead.

        Raises:
            JournalError: They did: its lease is over, and stays so.
        """
        if self._store.is_lost:
            raise lease_over(self.path, None)

    async def take(self, keys: Collection[str]) -> Sequence[JournalRecord]:
        """Take over what nobody works on any more.

        Args:
            keys: Requests that another worker had when they were looked at last.

        Returns:
            Those that are ours now, and those that have ended; what another still has is left out.
        """
        return await self.ask(partial(self._store.take, keys, self._time()))

    async def look(self, key: str) -> JournalRecord:
        """Return a planned request as it stands, taken over where nobody works on it any more."""
        return await self.ask(partial(self._store.look, key, self._time()))

    async def take_page(self) -> tuple[Sequence[JournalRecord], bool]:
        """Take the next requests that nobody works on: the unsent ones first, then what others left.

        Returns:
            Up to a page of them, and whether others still work on anything of this run.
        """
        return await self.ask(partial(self._store.take_page, self._time()))

    async def take_ended(self, *, after: int, completed: bool) -> Sequence[JournalRecord]:
        """Take the next of those that ended and were not saved, from position `after` (exclusive).

        Args:
            after: Where to go on.
            completed: Those with a result; else those without.
        """
        return await self.ask(partial(self._store.take_ended, after, completed=completed))

    async def give_up(self, keys: Collection[str]) -> None:
        """Let others have requests of this process that have not ended and that it does nothing more about."""
        await self.ask(partial(self._store.give_up, keys))

    # ... what of the budget it takes...

    @property
    def allotments(self) -> AllotmentStore:
        """What a worker asks of the store about what all share."""
        return self._store.allotments

    async def sending(
        self, key: str, claim: Mapping[str, Any], *, mark: bytes | None = None, price: int | None = None
    ) -> None:
        """Note that the request is about to leave, and what it costs where the run's budget is kept (-1: nobody knows)."""
        await self._commit(operations.sending(key, claim, self._time(), mark, price))

    # ... who waits for it...

    def be_kept(self, *, is_brief: bool) -> None:
        """Have the keeper wait for what this process takes over from now on.

        Args:
            is_brief: Text or address of a result are all that is needed of it.
        """
        self._store.be_kept(is_brief=is_brief)

    async def accepted(
        self,
        key: str,
        *,
        id: GenerationId,
        kind: str | None = None,
        model: str | None = None,
        price: int | None = None,  # noqa: ARG002 - `allotments.note_price` has it counted
        waits: bool = False,
    ) -> None:
        """Note the id of the paid generation; with `waits` the keeper waits for it."""
        await self._commit(operations.accepted(key, JobRef(id, kind, model), self._time(), waits=waits))

    async def only_keep(self) -> None:
        """Note that this process does no work of the run, and is not what `summary` asks for."""
        await self.ask(self._store.keeping.only_keep)

    @property
    def keeping(self) -> KeeperStore:
        """What a keeper asks of the store."""
        return self._store.keeping

    async def news(self) -> Sequence[News]:
        """Return what the keeper, or who had them before, has made of requests of this process: until that is `heard`."""
        return await self.ask(self._store.keeping.news)

    async def heard(self, news: Sequence[News]) -> None:
        """Note that news were taken up; what changed meanwhile is news still."""
        await self.ask(partial(self._store.keeping.heard, news))

    async def tell(self, throttled: tuple[float, str] | None) -> None:
        """Let those who watch know until when the account's limits hold this worker up, and which; None where they do not."""
        await self.ask(partial(self._store.tell, throttled))

    # ... and what became of what was lost.

    async def lost(self, key: str, claim: Mapping[str, Any]) -> None:
        """Note that nobody knows what became of a request, so that no other waits for its answer."""
        await self.ask(partial(self._store.lost, key, to_json(claim)))

    async def view(self, ids: Collection[GenerationId]) -> AccountView:
        """Return what is under way for the account, and which of the ids are a request's, as of one moment."""
        return await self.ask(partial(self._store.view, [str(each) for each in ids]))

    async def adopt(self, key: str, claim_key: str, job: JobRef, *, sent: float | None) -> Grant:
        """Have it granted that a generation is an unknown request's.

        Args:
            key: Which request.
            claim_key: Which of its sendings.
            job: Its generation.
            sent: When it was sent by the service's clock, None where that is not known: whoever asked for the same may
                have to look back as far from now on.

        Raises:
            JournalError: Another worker has the request by now.
        """
        return await self.ask(partial(self._store.adopt, key, claim_key, job, sent, self._time()))

    async def absent(self, key: str, claim_key: str, *, widened: int) -> Grant:
        """Have it granted that an unknown request was never accepted; it is planned again.

        Args:
            key: Which request.
            claim_key: Which of its sendings.
            widened: What its record said when the history was read.

        Raises:
            JournalError: Another worker has the request by now.
        """
        return await self.ask(partial(self._store.absent, key, claim_key, widened))


def shared_of(journal: Journal | None) -> SharedJournal | None:
    """Return a journal that many processes share; None for one that this one has alone."""
    return journal if isinstance(journal, SharedJournal) else None


def lease_over(path: str, key: str | None) -> JournalError:
    """Say that a process may not go on."""
    return JournalError(
        f"This process was away for so long that others may take over its part of the journal {path}: it was suspended, or "
        "the database could not be reached. It sends nothing more; run it again.",
        reason="lease",
        path=path,
        key=key,
    )


def taken(path: str, key: str) -> JournalError:
    """Say that another process works on a request."""
    return JournalError(
        f"Another worker of the journal {path} has the request {key!r} by now; it brings it to its end.",
        reason="taken",
        path=path,
        key=key,
    )

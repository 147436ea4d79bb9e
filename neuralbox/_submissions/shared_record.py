"""`SharedRecord`: a paid request as it stands in a journal that other processes write to as well.

It does three things for the request. It is a listener of its attempts and keeps it from leaving where this process may have
been taken for dead: the journal was asked when `sending` was written down, and this is asked again at the first byte. A lost
answer is left to the keeper of the account where there is one, who tells what it came to. And whatever is concluded about
one is granted by the journal before anything follows from it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

from .._core.call_events import AttemptListener
from .._types import JobRef
from .claim import Claim

if TYPE_CHECKING:  # SQLite is loaded by the first journal
    from .._journal.protocol import Journal
    from .._journal.shared import Grant, News, SharedJournal


Learn: TypeAlias = "Callable[[str, float | None], Awaitable[News | None]]"
"""Waits until the keeper has settled the lost answer of a key, or cannot, or until a time by the core's clock."""


class SharedRecord(AttemptListener):
    """One request in a shared journal.

    Args:
        journal: An open one.
        key: The request's name in it.
        learn: Waits for the keeper, and gives None where nobody will say; left out, it is looked for here.

    Attributes:
        widened: What its record said of its window when the history was read last.
    """

    __slots__ = ("_learn", "journal", "key", "widened")

    def __init__(self, journal: SharedJournal, key: str, learn: Learn | None = None) -> None:
        self.journal: SharedJournal = journal
        self.key: str = key
        self._learn = learn
        self.widened: int = 0

    def leaving(self) -> None:
        """Keep the request from leaving where the lease is over, or nearly.

        Raises:
            JournalError: It is.
        """
        self.journal.require_lease(self.key)

    async def before_repeat(self) -> None:
        """Let no attempt follow one that was kept from leaving, unless the lease was renewed meanwhile."""
        self.journal.require_lease(self.key)

    async def lost(self, claim: Claim) -> None:
        """Have all know that nobody knows what became of it."""
        await self.journal.lost(self.key, claim.to_shared_dict())

    async def learn(self, until: float | None) -> News | None:
        """Wait for what the keeper finds out about it; None where it is to be looked for here, or the time is over."""
        return None if self._learn is None else await self._learn(self.key, until)

    async def adopt(self, claim: Claim, job: JobRef, sent: float | None) -> Grant:
        """Have it granted that a generation is its own."""
        return await self.journal.adopt(self.key, claim.key, job, sent=sent)

    async def absent(self, claim: Claim) -> Grant:
        """Have it granted that it was never accepted."""
        return await self.journal.absent(self.key, claim.key, widened=self.widened)


def shared_record_of(journal: Journal | None, key: str, learn: Learn | None = None) -> SharedRecord | None:
    """Return a request's record in a journal that many processes share; None where this one has it alone."""
    if journal is None:
        return None
    from .._journal.shared import shared_of  # a store is loaded by the first journal

    shared = shared_of(journal)
    return None if shared is None else SharedRecord(shared, key, learn)

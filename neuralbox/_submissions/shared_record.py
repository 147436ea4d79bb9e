"""`SharedRecord`: a paid request as it stands in a journal that other processes write to as well.

It does two things for the request. It is a listener of its attempts and keeps it from leaving where this process may have
been taken for dead: the journal was asked when `sending` was written down, and this is asked again at the first byte. And
whatever is concluded about a lost answer is granted by the journal before anything follows from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core.call_events import AttemptListener
from .._types import JobRef
from .claim import Claim

if TYPE_CHECKING:  # SQLite is loaded by the first journal
    from .._journal.protocol import Journal
    from .._journal.shared import Grant, SharedJournal


class SharedRecord(AttemptListener):
    """One request in a shared journal.

    Args:
        journal: An open one.
        key: The request's name in it.

    Attributes:
        widened: What its record said of its window when the history was read last.
    """

    __slots__ = ("journal", "key", "widened")

    def __init__(self, journal: SharedJournal, key: str) -> None:
        self.journal = journal
        self.key = key
        self.widened = 0

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

    async def adopt(self, claim: Claim, job: JobRef, sent: float | None) -> Grant:
        """Have it granted that a generation is its own."""
        return await self.journal.adopt(self.key, claim.key, job, sent=sent)

    async def absent(self, claim: Claim) -> Grant:
        """Have it granted that it was never accepted."""
        return await self.journal.absent(self.key, claim.key, widened=self.widened)


def shared_record_of(journal: Journal | None, key: str) -> SharedRecord | None:
    """Return a request's record in a journal that many processes share; None where this one has it alone."""
    if journal is None:
        return None
    from .._journal.shared import shared_of  # a store is loaded by the first journal

    shared = shared_of(journal)
    return None if shared is None else SharedRecord(shared, key)

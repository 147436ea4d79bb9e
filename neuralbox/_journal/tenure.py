"""The keeper's tenure in a shared journal: one process waits for all jobs of an account, and settles all lost answers.

It is elected in the journal, and by that has an epoch. Whatever it writes is written only while the tenure of that epoch
lasts: a keeper that was taken for dead, and does not know it, changes nothing any more.

What it wrote is told to the owners of the requests by a mark at each record that stays there until its owner has taken it up
(`News`), so nothing is missed by who asks at the wrong moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from .._errors import JournalError
from .._types import JobRef
from .protocol import to_json
from .shared import Grant, KeptJob, LostClaim, SharedJournal


async def keep(journal: SharedJournal) -> Tenure | None:
    """Be the keeper of the journal's account from now on, if nobody is."""
    epoch = await journal.ask(journal.keeping.elect)
    return None if epoch is None else Tenure(journal, epoch)


class Tenure:
    """One tenure of one keeper.

    Each method that writes raises `JournalError` (`reason` is `keeper`) where the tenure is over: another keeps the account.

    Args:
        journal: The keeper's, an open one.
        epoch: Its number.
    """

    def __init__(self, journal: SharedJournal, epoch: int) -> None:
        self.journal = journal
        self.epoch = epoch
        self._store = journal.keeping

    async def turn(self) -> tuple[Sequence[KeptJob], Sequence[LostClaim]]:
        """Go on for another lease where a part of this one is over, and return what is to be done.

        Returns:
            The jobs that are to be waited for and were not `taken_up` yet, and the requests whose answers are lost, or whose
            senders are gone.
        """
        return await self.journal.ask(lambda: (self._store.jobs(self.epoch), self._store.lost()))

    async def taken_up(self, jobs: Sequence[KeptJob]) -> None:
        """Note that jobs are waited for as long as this tenure lasts."""
        await self.journal.ask(partial(self._store.taken_up, self.epoch, [kept.number for kept in jobs]))

    async def end(self, ended: Sequence[tuple[KeptJob, Mapping[str, Any]]], at: float) -> None:
        """Note how jobs ended; what was noted before stays."""
        said = [(kept.number, kept.job.id, to_json(outcome)) for kept, outcome in ended]
        await self.journal.ask(partial(self._store.end, self.epoch, said, at))

    async def hand_back(self, jobs: Sequence[KeptJob]) -> None:
        """Leave it to their owners to wait for them."""
        await self.journal.ask(partial(self._store.hand_back, self.epoch, [kept.number for kept in jobs]))

    async def unsettled(self, claim: LostClaim, said: Mapping[str, Any]) -> None:
        """Note that it could not be found out what became of a request, and why."""
        await self.journal.ask(partial(self._store.unsettled, self.epoch, claim, to_json(said)))

    async def adopt(self, claim: LostClaim, job: JobRef, *, sent: float | None, at: float) -> Grant:
        """Have it granted that a generation is a lost one's; see `SharedJournal.adopt`."""
        return await self.journal.ask(partial(self._store.adopt, self.epoch, claim, job, sent, at))

    async def absent(self, claim: LostClaim, *, widened: int) -> Grant:
        """Have it granted that a lost one was never accepted; see `SharedJournal.absent`."""
        return await self.journal.ask(partial(self._store.absent, self.epoch, claim, widened))

    async def resign(self) -> None:
        """End it, so that another is elected at once."""
        await self.journal.ask(partial(self._store.resign, self.epoch))


def tenure_over(path: str) -> JournalError:
    """Say that another process keeps the account by now."""
    return JournalError(
        f"Another process waits for all jobs of the journal {path} by now, so this one's word counts for nothing.",
        reason="keeper",
        path=path,
    )

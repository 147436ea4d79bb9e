"""The keeper of an account: one process waits for all jobs, and looks for all lost answers, of all that share a journal.

Every process that works on a shared journal asks in turns whether it is needed, and is elected where nobody is. Then, as long as
its tenure lasts, it takes up what was accepted, by whomever, and writes down how it ends; and it walks through the history for
what is unknown, draws its conclusions when it has read what all have under way, and has them granted by the journal. Its
turns prolong the tenure. One that cannot look, or cannot write, resigns; the next takes up everything anew.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, NoReturn

import anyio
from anyio.abc import TaskGroup

from .._api.request import Request, RetrySafety
from .._core.exchange import Attempt, Core
from .._errors import AuthenticationError, ConfigurationError, JournalError, PermissionDeniedError
from .._journal import is_address, open_account_journal
from .._journal.shared import Grant, KeptJob, LostClaim, SharedJournal, shared_of
from .._journal.tenure import Tenure, keep
from .._models.generation import Generation
from .._polling.many import Ended, GrowingJobWaiter
from .._rate_limit.limiter import limiter_of
from .._submissions.claim import Claim
from .._submissions.pending import PendingSubmission
from .._submissions.reconcile import Unsure, resolve, unsure_record
from .._submissions.registry import registry_of
from .._submissions.shared_record import SharedRecord
from .._types import JobRef
from .journal_records import outcome_record

_EVERY: Final = 0.5
"""Seconds between two turns."""
_ASKS_EVERY: Final = 2.0
"""Seconds after which one that does not keep asks again whether anybody does: there may be hundreds of them."""
_GOODBYE: Final = 5.0
_UNSEEN: Final = Request("POST", "", RetrySafety.PAID)
"""What another process sent: of that only the claim is known."""


class Keeper:
    """Keep an account whenever nobody else does.

    Args:
        core: The client to ask with.
        journal: An open one.

    Attributes:
        unfit: What ended its waiting, so that it keeps nothing any more (its key is refused, say); whoever is elected next
            may be luckier. None before that.
    """

    def __init__(self, core: Core, journal: SharedJournal) -> None:
        self.unfit: Exception | None = None
        self._core = core
        self._journal = journal
        self._ended: list[tuple[KeptJob, Generation]] = []
        self._failed: list[KeptJob] = []
        self._settling: set[tuple[int, int]] = set()
        self._failure: Exception | None = None

    async def run(self) -> None:
        """Keep the account whenever nobody else does, until cancelled or unfit.

        Raises:
            JournalError: The journal cannot be read or written.
        """
        try:
            while self.unfit is None:
                self._journal.require_life()
                tenure = await keep(self._journal)
                if tenure is not None:
                    await self._serve(tenure)
                await self._core.sleep(_ASKS_EVERY)
        except Exception as error:
            self.unfit = error
            raise

    def _begin(self) -> None:
        """Know nothing of an earlier tenure."""
        self._ended, self._failed, self._settling, self._failure = [], [], set(), None

    async def _serve(self, tenure: Tenure) -> None:
        self._begin()
        waiters = list[GrowingJobWaiter[KeptJob]]()
        try:
            async with anyio.create_task_group() as group:
                for is_brief in (False, True):
                    waiter = GrowingJobWaiter(
                        self._core, None, group, self._heard, needs_result_only=is_brief, journal=self._journal
                    )
                    waiters.append(waiter)
                    group.start_soon(self._attempt, group.cancel_scope, partial(self._wait, waiter))
                await self._attempt(group.cancel_scope, partial(self._keep, tenure, waiters, group))
        finally:
            for waiter in waiters:
                waiter.leave()
            with anyio.move_on_after(_GOODBYE, shield=True), suppress(JournalError):
                await tenure.resign()
        # Where another keeps the account, or the journal is away, the next turn tells.
        failure = self._failure
        if failure is not None and failure is not self.unfit and not isinstance(failure, JournalError):
            raise failure

    async def _attempt(self, scope: anyio.CancelScope, act: Callable[[], Awaitable[None]]) -> None:
        """Do a part of the work; what it raises ends the tenure, and so does its end."""
        try:
            await act()
        except Exception as error:  # noqa: BLE001 - raised by `_serve`, where it is not the journal's
            self._failure = self._failure or error
            scope.cancel()

    # Jobs...

    async def _wait(self, waiter: GrowingJobWaiter[KeptJob]) -> None:
        await waiter.run()
        self.unfit = self.unfit or waiter.crash
        assert self.unfit is not None
        raise self.unfit

    def _heard(self, kept: KeptJob, ended: Ended) -> None:
        if isinstance(ended, Generation):
            self._ended.append((kept, ended))
        else:
            self._failed.append(kept)
            if isinstance(ended, AuthenticationError | PermissionDeniedError):
                self.unfit = ended

    async def _keep(self, tenure: Tenure, waiters: Sequence[GrowingJobWaiter[KeptJob]], group: TaskGroup) -> None:
        core, service = self._core, self._core.options.service
        while True:
            self._journal.require_life()
            (jobs, lost), now = await tenure.turn(), core.now()
            for kept in jobs:
                age = None if kept.accepted_at is None else max(0.0, now - kept.accepted_at)
                waiters[kept.is_brief].add(kept.job, kept, age=age)
            if jobs:
                await tenure.taken_up(jobs)
            if self.unfit is not None:
                raise self.unfit
            ended, self._ended = self._ended, []
            if ended:
                said = [(kept, outcome_record(generation, service)) for kept, generation in ended]
                await tenure.end(said, core.now())
            failed, self._failed = self._failed, []
            if failed:
                await tenure.hand_back(failed)
            self._look(tenure, lost, group)
            await core.sleep(_EVERY)

    # ... and lost answers.

    def _look(self, tenure: Tenure, lost: Sequence[LostClaim], group: TaskGroup) -> None:
        for claim in lost:
            name = (claim.number, claim.attempt)
            if name not in self._settling:
                self._settling.add(name)
                group.start_soon(self._attempt, group.cancel_scope, partial(self._settle, tenure, claim))

    async def _settle(self, tenure: Tenure, lost: LostClaim) -> None:
        registry, core = registry_of(self._core), self._core
        told = {**lost.claim, "lost_at": core.now()}  # by this clock nothing of it could leave any more
        entry = PendingSubmission(Claim.from_shared_dict(told), _UNSEEN, None, Attempt(core.clock()))
        entry.shared, entry.is_recent = KeptRecord(tenure, lost, core), True
        registry.begin(entry)
        registry.resume(entry)
        try:
            settled = await resolve(core, entry)
            # Where this process has taken the request over meanwhile it has put its own in place of this one, which so found
            # nothing out: it is looked for anew.
            if isinstance(settled, Unsure) and registry.is_known(entry):
                await tenure.unsettled(lost, unsure_record(settled))
        finally:
            registry.remove(entry)
            self._settling.discard((lost.number, lost.attempt))


async def keep_account(core: Core, journal: str | os.PathLike[str]) -> NoReturn:
    """Keep an account, whenever nobody else does, for as long as the caller wants; no work is done here.

    Args:
        core: The client whose account it is.
        journal: The address of any run of it.

    Raises:
        ConfigurationError: It is no journal that many share.
        JournalError: It cannot be used, or this process was away for longer than its lease.
        NeuralBoxError: The service refuses the client.
    """
    if not is_address(journal):
        raise ConfigurationError("A file has no keeper; a journal in a database has: postgresql://host/db#run.")
    async with await open_account_journal(core, journal) as opened:
        shared = shared_of(opened)
        assert shared is not None
        await shared.only_keep()
        limiter_of(core).is_shared = True
        keeper = Keeper(core, shared)
        await keeper.run()
        assert keeper.unfit is not None
        raise keeper.unfit


class KeptRecord(SharedRecord):
    """Another process's lost request: what is concluded about it the journal grants to the keeper."""

    __slots__ = ("_core", "_lost", "_tenure")

    def __init__(self, tenure: Tenure, lost: LostClaim, core: Core) -> None:
        super().__init__(tenure.journal, lost.name)
        self.widened = lost.widened
        self._tenure = tenure
        self._lost = lost
        self._core = core

    async def adopt(self, claim: Claim, job: JobRef, sent: float | None) -> Grant:  # noqa: ARG002 - it is the lost one's
        return await self._tenure.adopt(self._lost, job, sent=sent, at=self._core.now())

    async def absent(self, claim: Claim) -> Grant:  # noqa: ARG002 - it is the lost one's
        return await self._tenure.absent(self._lost, widened=self.widened)

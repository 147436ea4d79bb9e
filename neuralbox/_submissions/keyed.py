"""Buy a thing once, however often the program runs: `submit(..., journal="jobs.sqlite", key="intro")`.

The journal holds one record for each key, as that of a batch does, and each submission goes through the same stations:
planned, sending, accepted. So the same key finds the same job again, whatever happened in between; one that was being
sent when its program died is looked for in the history first, and is sent again only when it is proven absent. What was
refused for certain stays planned, and the next call with its key sends it.

A journal is open only while somebody submits, so programs may take turns; calls of one event loop share it, and those
with the same key go one after the other. A second program waits for `LOCK_WAIT` seconds and then gets `JournalError`.

A program that submits all the time keeps it open (`opened`), or asks for a `KeyedBook` without a file, which knows each
key until it is told to forget it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio

from .._api.checks import require_callback, require_path
from .._api.request import Request, RetrySafety
from .._api.vocabulary import FAILED
from .._concurrency.broadcast import Broadcast
from .._concurrency.per_loop import PerLoop
from .._concurrency.single_flight import SingleFlight
from .._config import NO_CALL_OPTIONS, CallOptions
from .._core.exchange import Core
from .._costs.charges import Charges, charges_of
from .._costs.prices import PriceQuery, price_query_of
from .._errors import ConfigurationError, JournalError
from .._models.generation import Generation
from .._polling.job import Job
from .._types import JobRef
from . import submission
from .claim import Claim, claim_of, mark_of
from .journal_ids import register_journal_ids
from .reconcile import learn_clock
from .registry import registry_of
from .shared_record import shared_record_of
from .submission import OnAccepted

if TYPE_CHECKING:  # SQLite is loaded by the first durable job
    from .._journal import JournalRecord, PlannedRequest
    from .._journal.grouped import GroupedJournal

LOCK_WAIT: Final = 30.0
"""Seconds a call waits for another program that has the journal."""
KEPT: Final = 10_000
"""Keys of an open journal that are remembered besides."""
_LOOK_AGAIN: Final = 0.25


async def submit(
    core: Core,
    request: Request,
    call: CallOptions,
    *,
    kind: str | None,
    model: str | None,
    on_accepted: OnAccepted | None = None,
    journal: str | os.PathLike[str] | None = None,
    key: str | None = None,
) -> Job:
    """Send a paid request and return its job; with a journal, once for each key.

    Args:
        core: The client.
        request: What to ask.
        call: What this one call changes.
        kind: What the resource knows it to be.
        model: The slug asked for.
        on_accepted: Called as soon as the id is known; not for a job that the journal knew.
        journal: The journal's file; made if it is not there.
        key: What names the job in it.

    Returns:
        The job. One that the journal knew may have ended long ago; `wait` tells, with one status request.

    Raises:
        ConfigurationError: Only one of `journal` and `key` was given, or the key cannot be one.
        JournalError: The key stands there with another request (the message names what differs), the journal belongs
            to another account or service, another program has it, or it cannot be read or written. Where `.job` is
            set, that was paid for.
        SubmissionUnknownError: It was sent, now or by an earlier run, and what became of it is unknown; the next call
            with this key looks again.
        GenerationFailedError: The service answered that it failed at once; another key tries again.
        NeuralBoxError: It was refused, or never sent.
    """
    require_callback("`on_accepted`", on_accepted)
    if journal is None and key is None:
        return await submission.submit(core, request, call, kind=kind, model=model, on_accepted=on_accepted)
    if journal is None or key is None:
        raise ConfigurationError("`journal` and `key` go together: a file, and what names the job in it.")
    from .._journal.protocol import require_key

    require_path("`journal`", journal)
    require_key(key)
    job: Job | None = None
    try:
        async with opened(core, journal) as book:
            job = await book.submit(core, key, request, call, kind=kind, model=model, on_accepted=on_accepted)
            job.raise_if_failed()
    except JournalError as error:
        if job is None or error.job is not None:
            raise
        raise error.with_job(job.ref) from error  # it could not be closed, but the job is there
    return job


class KeyedSubmission:
    """Record in an open journal, or in memory alone, what happens to the submission of one key.

    Attributes:
        planned: The request under this key.
        shared: Its record, where other processes share the journal.
        job: Its job, once it was accepted.
        claim: Its claim, while it is unknown whether it was.
        result: The result of a job without an id, which nobody could ask for.
    """

    def __init__(
        self,
        journal: GroupedJournal | None,
        planned: PlannedRequest,
        record: JournalRecord,
        charges: Charges,
        model: str | None,
    ) -> None:
        self._journal = journal
        self._charges = charges
        self._model = model
        self.shared = shared_record_of(journal, planned.key)
        self._is_given_up = False
        self.planned = planned
        self.job = record.job
        self.claim = record.claim
        self.result: Mapping[str, Any] | None = (record.outcome or {}).get("record")

    def known(
        self, core: Core, call: CallOptions, *, kind: str | None, model: str | None, place: str | None = None
    ) -> Job | None:
        """Return the job, if there is one; `place` is where the journal is."""
        if self.result is not None:
            return Job(core, generation=core.options.service.read(self.result, kind=kind), call=call)
        if self.job is None:
            return None
        ref = JobRef(self.job.id, self.job.kind or kind, self.job.model or model)
        return Job(core, ref=ref, call=call, journal=place)

    def cost(self, generation: Generation) -> int | None:
        """Return what a final generation of it cost, in tokens; None where nobody knows."""
        tokens = self._charges.cost(generation, None)
        if tokens is not None or generation.is_failed:
            return tokens
        return self._charges.prices.known(price_query_of_planned(self.planned.request, model=self._model))

    # What it is told.

    async def sending(self, claim: Claim) -> None:
        """Write down that it may leave."""
        written = claim.to_dict() if self.shared is None else claim.to_shared_dict()
        if self._journal is not None:
            mark = None if self.shared is None else mark_of(claim.prompt)
            await self._journal.sending(self.planned.key, written, mark=mark)
        self.claim = written

    async def accepted(self, generation: Generation) -> None:
        """Write down its id; of a result without an id, the result."""
        key, ref = self.planned.key, generation.ref
        self.job, self.claim = ref, None
        if self._journal is not None:
            await self._journal.accepted(key, id=ref.id, kind=ref.kind, model=ref.model)
        if not generation.is_final:
            return
        outcome: dict[str, Any] = {"status": generation.status, "tokens": self.cost(generation)}
        if ref.id == "":
            # What was streamed stands in no record of the service.
            said = {"status": generation.status} | ({} if generation.text is None else {"text": generation.text})
            outcome["record"] = self.result = {**generation.raw, "result_text": generation.text, **said}
        if self._journal is not None:
            await self._journal.final(key, outcome)

    async def refused(self) -> None:
        """Write down that it was not charged."""
        self.claim = None
        if self._journal is not None:
            await self._journal.planned_again(self.planned.key)

    async def give_up(self) -> None:
        """Write down that nobody will send it again; does nothing for what was sent. Planning it again takes it back."""
        if self.job is None and self.claim is None and not self._is_given_up:
            self._is_given_up = True
            if self._journal is not None:
                await self._journal.final(self.planned.key, {"status": FAILED, "tokens": 0})

    async def take_up(self) -> None:
        """Take `give_up` back, before it is sent after all."""
        if self._is_given_up and self._journal is not None:
            await self._journal.planned_again(self.planned.key)
        self._is_given_up = False


class KeyedBook:
    """Know the submissions of one event loop by their keys: with an open journal, or without one as long as it lives."""

    def __init__(self) -> None:
        self.users = 0
        self.lock = anyio.Lock()
        self.journal: GroupedJournal | None = None
        self.place: str | None = None
        self._keyed: dict[str, KeyedSubmission] = {}
        self._busy: dict[str, Broadcast] = {}
        self._telling = SingleFlight()
        self._told = 0

    @asynccontextmanager
    async def turn(
        self,
        core: Core,
        key: str,
        request: Request,
        call: CallOptions,
        *,
        kind: str | None,
        model: str | None,
        described: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[tuple[KeyedSubmission, Job | None, Claim | None]]:
        """Be alone at a key of this program's, knowing what is needed to send its request.

        Args:
            core: The client.
            key: Which.
            request: What it stands for.
            call: What this one call changes.
            kind: What the resource knows it to be.
            model: The slug asked for.
            described: What the journal has of the request, where nothing else is known of it.

        Yields:
            Its record, its job where there is one, and its claim where it is unknown whether there is.

        Raises:
            JournalError: It stands for another request.
        """
        while key in self._busy:
            await self._busy[key].wait()
        over = self._busy[key] = Broadcast()  # an event only where somebody waits
        try:
            keyed = await self._plan(core, key, described or _described(request, call), model=model)
            job = keyed.known(core, call, kind=kind, model=model, place=self.place)
            claim = None
            if job is None and keyed.claim is not None:
                await self._tell_whose(core)
                claim = Claim.from_dict(keyed.claim)
            if job is None and claim is None:
                await learn_clock(core)
            yield keyed, job, claim
        finally:
            del self._busy[key]
            over.ring()

    async def _tell_whose(self, core: Core) -> None:
        """Tell whose the journal's other jobs are; once for all who are looked for at the same time."""
        journal, told = self.journal, self._told

        async def tell() -> None:
            assert journal is not None
            # The prompts of the others in the history are what makes it believed when it does not show this one.
            await register_journal_ids(registry_of(core), journal, _prompt_of)
            self._told += 1

        while journal is not None and self._told == told:
            await self._telling.run("ids", tell)

    async def _plan(self, core: Core, key: str, described: Mapping[str, Any], *, model: str | None) -> KeyedSubmission:
        """Plan a request under a key, or find what the key stands for."""
        from .._journal import PlannedRequest
        from .._journal.protocol import FINAL, JournalRecord
        from .._journal.transitions import changed

        journal = self.journal
        planned = PlannedRequest(key, described, is_again=True)
        keyed = self._find(key)
        if keyed is not None:
            if keyed.planned.digest != planned.digest:
                path = None if journal is None else journal.path
                raise changed(key, keyed.planned.request, planned.request, path=path)
            await keyed.take_up()
            return keyed
        if journal is None:
            record = JournalRecord(0, key, {})
        else:
            (record,) = await journal.plan([planned])
            if record.is_foreign and record.id is None:
                record = await self._wait_for(record, core)
            if record.state == FINAL and record.id is None and "record" not in (record.outcome or {}):
                await journal.planned_again(key)  # it was given up before it was sent
        keyed = self._keyed[key] = KeyedSubmission(journal, planned, record, charges_of(core), model)
        if journal is not None and len(self._keyed) > KEPT:
            # The journal has these; what was done with them last is written down by now, so many plans later.
            for old in [name for name in self._keyed if name not in self._busy][: KEPT // 8]:
                del self._keyed[old]
        return keyed

    def _find(self, key: str) -> KeyedSubmission | None:
        """Return what is remembered of a key, from now on as the latest."""
        keyed = self._keyed.pop(key, None)
        if keyed is not None:
            self._keyed[key] = keyed
        return keyed

    async def _wait_for(self, record: JournalRecord, core: Core) -> JournalRecord:
        """Wait until another program's submission of a key has its job, or that program is gone.

        Raises:
            JournalError: It takes longer than `LOCK_WAIT` seconds.
        """
        from .._journal.shared import shared_of

        journal = shared_of(self.journal)
        assert journal is not None
        until = core.clock() + LOCK_WAIT
        while core.clock() < until:
            await core.sleep(_LOOK_AGAIN)
            found = await journal.look(record.key)
            if not found.is_foreign or found.id is not None:
                return found
        raise JournalError(
            f"Another program is submitting the request {record.key!r} of the journal {journal.path}. Wait until it has ended.",
            reason="locked",
            path=journal.path,
            key=record.key,
        )

    async def submit(
        self,
        core: Core,
        key: str,
        request: Request,
        call: CallOptions,
        *,
        kind: str | None,
        model: str | None,
        on_accepted: OnAccepted | None = None,
    ) -> Job:
        """Send a paid request once for its key and return its job, whatever its state; as `submit` otherwise."""
        async with self.turn(core, key, request, call, kind=kind, model=model) as (keyed, job, claim):
            if job is not None:
                return job
            generation = await submission.send(
                core,
                request,
                call,
                kind=kind,
                model=model,
                recorder=keyed,
                shared=keyed.shared,
                claim=claim,
                on_accepted=on_accepted,
            )
            return Job(core, generation=generation, call=call, journal=self.place)

    async def unknown(self) -> list[JournalRecord]:
        """Return what was sent and has no job, also what is being sent; less what went with files, which are not kept."""
        from .._journal.protocol import SENDING, JournalRecord

        if self.journal is None:
            found = [
                JournalRecord(0, key, keyed.planned.request, SENDING, claim=keyed.claim)
                for key, keyed in self._keyed.items()
            ]
        else:
            found = [record async for record in self.journal.sent() if record.state == SENDING]
        return [each for each in found if each.claim and "path" in each.request and "files" not in each.request]

    async def settle(self, core: Core, record: JournalRecord) -> Generation | None:
        """Find out what became of one that is `unknown`, and send nothing; where it was never accepted it is given up.

        Returns:
            Its generation; None where there is none, or its caller was faster.

        Raises:
            SubmissionUnknownError: It is still unknown.
            NeuralBoxError: It could not be looked for, or written down.
        """
        request, claim = _request_of(record.request), Claim.from_dict(record.claim or {})
        kind, model = claim.kind, claim.model
        turn = self.turn(core, record.key, request, NO_CALL_OPTIONS, kind=kind, model=model, described=record.request)
        async with turn as (keyed, _, unknown):
            generation = None
            if unknown is not None:
                generation = await submission.settle(core, request, unknown, kind=kind, model=model, recorder=keyed)
            await keyed.give_up()
            return generation

    async def give_up(self, key: str) -> None:
        """Write down that nobody will send a planned one; nothing else is changed by it."""
        keyed = self._find(key)
        if keyed is not None:
            await keyed.give_up()

    async def ended(self, core: Core, key: str, generation: Generation, *, tokens: int | None = None) -> None:
        """Write down how a job ended that was accepted under a key, and what it cost.

        Args:
            core: The client.
            key: Which.
            generation: Its final state.
            tokens: What it cost, where that is known better than by what the service says of it.
        """
        keyed = self._find(key)
        if self.journal is not None:
            if tokens is None:
                tokens = charges_of(core).cost(generation, None) if keyed is None else keyed.cost(generation)
            await self.journal.final(key, {"status": generation.status, "tokens": tokens})

    def may_be_sent(self, key: str) -> bool:
        """Whether what stands under a key was sent, or may have been."""
        keyed = self._keyed.get(key)
        return keyed is not None and any(each is not None for each in (keyed.job, keyed.claim, keyed.result))

    def forget(self, key: str) -> None:
        """Forget a key that nobody is at: without a journal, the same key again is another purchase. What is unknown stays."""
        keyed = self._keyed.get(key)
        if keyed is not None and keyed.claim is None:
            del self._keyed[key]

    async def open(self, core: Core, path: str) -> None:
        """Open the journal, unless it is open."""
        from .._journal import open_journal

        self.place = path
        async with self.lock:
            self.journal = self.journal or await open_journal(
                path,
                account=_account(core),
                service=core.options.base_url,
                lock_timeout=LOCK_WAIT,
                now=core.now,
                clock=core.clock,
                sleep=core.sleep,
            )

    async def close(self) -> None:
        """Close the journal, unless somebody came meanwhile."""
        with anyio.CancelScope(shield=True):
            async with self.lock:
                journal = self.journal
                if journal is not None and not self.users:
                    self.journal = None
                    self._keyed.clear()
                    await journal.aclose()


_open_journals: PerLoop[dict[tuple[str, str, str], KeyedBook]] = PerLoop()


@asynccontextmanager
async def opened(core: Core, journal: str | os.PathLike[str]) -> AsyncIterator[KeyedBook]:
    """Keep a journal open while the block runs, for all who submit with it on this event loop.

    Raises:
        JournalError: It cannot be opened, or another program has it for longer than `LOCK_WAIT`.
    """
    shared, name = _open_journals.get(dict), _name(core, journal)
    book = shared.get(name)
    if book is None:
        book = shared[name] = KeyedBook()
    book.users += 1
    try:
        await book.open(core, name[0])
        yield book
    finally:
        book.users -= 1
        if not book.users:
            await book.close()
            if not book.users and shared.get(name) is book:
                del shared[name]


def _name(core: Core, journal: str | os.PathLike[str]) -> tuple[str, str, str]:
    """Name an open journal by file or address, service and account; two names of one file are one journal."""
    from .._journal import is_address

    place = journal if is_address(journal) else os.path.realpath(journal)
    return place, core.options.base_url, _account(core)


def _account(core: Core) -> str:
    """Return what tells accounts apart in a journal; nothing is known of whose a session is."""
    identity = core.credential.identity
    return identity if isinstance(identity, str) else "session"


def _described(request: Request, call: CallOptions) -> Mapping[str, Any]:
    """Describe what must be equal for a request to be the same."""
    body = request.whole_body(call.extra_body)
    if "messages" in body:
        body["messages"] = _without_files(body["messages"])
    described: dict[str, Any] = {"path": request.path, "body": body}
    if request.form is not None:  # a file is another one when something else is in it, whatever it is called
        described["files"] = [[file.name, file.mark] for file in request.form.files]
    if call.extra_query:
        described["query"] = dict(call.extra_query)
    return described


def price_query_of_planned(described: Mapping[str, Any], *, model: str | None) -> PriceQuery:
    """Return the price question of a request that a journal keeps under a key."""
    return price_query_of(_request_of(described), model=model)


def _request_of(described: Mapping[str, Any]) -> Request:
    """Return a request as far as a journal keeps it under a key: without its files."""
    return Request("POST", described["path"], RetrySafety.PAID, body=described["body"])


def _without_files(value: Any) -> Any:
    """Put a digest in the place of each file that stands in messages as a `data:` address: a journal is no place for it."""
    if isinstance(value, str):
        return f"data:{_digest(value.encode('utf-8', 'surrogatepass'))}" if value.startswith("data:") else value
    if isinstance(value, Mapping):
        return {name: _without_files(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_files(each) for each in value]
    return value


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _prompt_of(record: JournalRecord) -> str | None:
    if not isinstance(record.request.get("path"), str) or not isinstance(record.request.get("body"), Mapping):
        return None  # it is a batch's, which says less here
    return claim_of(_request_of(record.request), None, key="", kind=record.kind, model=record.model).prompt

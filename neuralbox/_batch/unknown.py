"""Settle what a journal holds as unknown: by the history alone (`reconcile_journal`), or as a person says (`settle`).

Both open the journal as a run does, so nobody else has it meanwhile, and neither sends anything that is paid for. The
journal may be a batch's or that of single jobs with keys.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final, cast

import anyio
from anyio import to_thread

from .._api.request import Request, RetrySafety
from .._api.vocabulary import FAILED
from .._config import Dialect
from .._core.exchange import Attempt, Core
from .._errors import ConfigurationError, JournalError
from .._journal import Journal, JournalRecord, open_account_journal, require_journal
from .._journal.protocol import SENDING
from .._journal.shared import shared_of
from .._models.generation import Generation
from .._polling.status import poll
from .._requests.json_lines import NEURALBOX_KINDS, RequestKinds
from .._submissions.claim import Claim, claim_of, kinds_fit
from .._submissions.journal_ids import register_journal_ids
from .._submissions.pending import PendingSubmission
from .._submissions.reconcile import Absent, Resolved, Settled, resolve
from .._submissions.registry import Registry, registry_of
from .._submissions.shared_record import shared_record_of
from .._types import GenerationId, JobRef

GIVEN_UP: Final = "Given up by hand: what became of it stayed unknown, and it may have been charged."


@dataclass(frozen=True, slots=True)
class UnknownRequest:
    """Say what the history told of one request of a journal that was sent, and whose answer was lost.

    Attributes:
        key: The request's.
        kind: `image`, `text`, ... or None where it is not known.
        model: The slug asked for, or None.
        sent_at: Unix seconds of the sending machine's clock, or None.
        job: Its generation, where that was found.
        is_absent: Whether it is proven never to have been accepted.
        why: Why neither is known, a sentence's end.
        candidates: Generations of the history that may be its.
    """

    key: str
    kind: str | None = None
    model: str | None = None
    sent_at: float | None = None
    job: JobRef | None = None
    is_absent: bool = False
    why: str = ""
    candidates: Sequence[Generation] = ()


async def settle(
    core: Core,
    journal: str | os.PathLike[str],
    key: str,
    *,
    adopt: GenerationId | None = None,
    resend: bool = False,
) -> JobRef | None:
    """Settle an unknown request of a journal as a person says, where no proof of what became of it will come.

    With neither `adopt` nor `resend` the request is given up: it ends as failed.

    Args:
        core: The client whose account the journal belongs to.
        journal: The journal's file.
        key: The request's.
        adopt: Its generation, which the service has to know; the next run waits for it.
        resend: It was never accepted; the next run sends it, and may pay twice.

    Returns:
        The job that was adopted, if one was.

    Raises:
        ConfigurationError: Both were given, nothing is unknown of this key, or the generation is of another kind or
            another request's.
        NotFoundError: The service does not know the generation.
        JournalError: There is no such journal, it belongs to another account or service, another process has it, or it
            cannot be read or written.
    """
    if adopt is not None and resend:
        raise ConfigurationError("A request is either adopted or sent again.")
    await to_thread.run_sync(require_journal, journal)  # a file that is none is not made
    async with await open_account_journal(core, journal) as opened:
        claim = await _unknown_claim(opened, key)
        if adopt is not None:
            ref = await _adoptable(core, opened, claim, adopt)
            await opened.accepted(key, id=ref.id, kind=ref.kind, model=ref.model)
            return ref
        await opened.planned_again(key)
        if not resend:
            said = {"status": FAILED, "error": GIVEN_UP}
            # `record` is what a single job with this key returns from now on, in place of sending it again.
            outcome = {"status": FAILED, "tokens": None, "kind": claim.kind, "model": claim.model}
            await opened.final(key, {**outcome, "said": said, "record": said})
        return None


async def _unknown_claim(journal: Journal, key: str) -> Claim:
    shared = shared_of(journal)
    if shared is not None:
        await shared.take([key])
    record = await _find(journal, lambda record: record.key == key)
    if record is None:
        raise ConfigurationError(f"The journal knows no request {key!r}.")
    if record.is_foreign:
        raise JournalError(
            f"Another worker has the request {key!r} at this moment; it may learn what became of it.",
            reason="taken",
            key=key,
        )
    if record.state != SENDING:
        known = "" if record.id is None else f" as {record.id}"
        raise ConfigurationError(f"Nothing is unknown of the request {key!r}: it is {record.state!r}{known}.")
    return Claim.from_dict(record.claim or {})


async def _adoptable(core: Core, journal: Journal, claim: Claim, generation_id: GenerationId) -> JobRef:
    """Return the job of a generation that a claim may have.

    Raises:
        ConfigurationError: It is of another kind, or another request's.
        NotFoundError: There is none.
    """
    generation = await poll(core, JobRef(generation_id))
    if not kinds_fit(claim.kind, generation.kind):
        raise ConfigurationError(
            f"The generation {generation_id} is of kind {generation.kind}, and the request asks for {claim.kind}."
        )
    names = {_number(generation_id), _number(generation.id)}
    owner = await _find(journal, lambda record: record.id is not None and _number(record.id) in names)
    if owner is not None:
        raise ConfigurationError(f"The generation {generation_id} belongs to the request {owner.key!r}.")
    shared = shared_of(journal)
    if shared is not None and (await shared.view([name for each in names for name in (each, f"gen_{each}")])).known:
        raise ConfigurationError(f"The generation {generation_id} belongs to a request of another run.")
    return JobRef(generation_id, claim.kind or generation.kind, claim.model or generation.model)


def _number(generation_id: GenerationId) -> str:
    """Return an id as it is compared: a service may write `gen_7` in one place and 7 in another."""
    return str(generation_id).removeprefix("gen_")


async def _find(journal: Journal, is_wanted: Callable[[JournalRecord], bool]) -> JournalRecord | None:
    for read in (journal.unfinished, journal.finished):
        async with aclosing(cast("AsyncGenerator[JournalRecord]", read())) as records:
            async for record in records:
                if is_wanted(record):
                    return record
    return None


async def reconcile_journal(
    core: Core, journal: str | os.PathLike[str], kinds: RequestKinds = NEURALBOX_KINDS
) -> Sequence[UnknownRequest]:
    """Look in the history for everything that a journal holds as unknown, and write down what was found.

    What was found is accepted from now on, what is proven absent is planned again; the rest stays as it is.

    Args:
        core: The client whose account the journal belongs to.
        journal: The journal's file.
        kinds: What its requests may be.

    Returns:
        One for each unknown request, in the order of planning.

    Raises:
        JournalError: There is no such journal, it belongs to another account or service, another process has it, or it
            cannot be read or written.

    Cancellation:
        Stops looking; what is not written down yet stays unknown.
    """
    await to_thread.run_sync(require_journal, journal)  # a file that is none is not made
    registry = registry_of(core)
    async with await open_account_journal(core, journal) as opened:
        await register_journal_ids(registry, opened, lambda record: prompt_of(record, core.options.dialect, kinds))
        found: dict[str, UnknownRequest] = {}
        pending: dict[str, PendingSubmission] = {}
        async for record in _unknown_records(opened):
            claim = Claim.from_dict(record.claim or {})
            found[record.key] = UnknownRequest(record.key, claim.kind, claim.model, claim.sent_at)
            try:
                pending[record.key] = await _pending(core, opened, record, claim, kinds)
            except ConfigurationError as error:  # of a version that knew more, or its recording is gone
                found[record.key] = replace(found[record.key], why=error.message.rstrip("."))
        for key, settled in (await _resolve_all(core, registry, pending)).items():
            found[key] = await _write_down(opened, found[key], settled)
    return [*found.values()]


async def _unknown_records(journal: Journal) -> AsyncIterator[JournalRecord]:
    """Yield what is unknown; of a journal that many share, what nobody works on any more."""
    shared = shared_of(journal)
    async with aclosing(cast("AsyncGenerator[JournalRecord]", journal.unfinished())) as records:
        async for record in records:
            if record.state != SENDING:
                continue
            for each in [record] if shared is None else await shared.take([record.key]):
                yield each


async def _pending(
    core: Core, journal: Journal, record: JournalRecord, claim: Claim, kinds: RequestKinds
) -> PendingSubmission:
    """Take up a record as a run would that continues it."""
    kind, model, extra = claim.kind, claim.model, None
    wire = _keyed_request(record)
    if wire is None:
        request = kinds.read(record.request)
        wire = await request.prepare(core.options.dialect)
        kind, model, extra = request.result_kind, request.model, request.extra_body
    whole = replace(
        claim_of(wire, extra, key=claim.key or record.key, kind=kind, model=model),
        sent_at=claim.sent_at,
        server_offset=claim.server_offset,
        lost_at=claim.lost_at,
        seed=claim.seed,
    )
    pending = PendingSubmission(whole, wire, extra, Attempt(core.clock()))
    pending.shared = shared_record_of(journal, record.key)
    return pending


async def _resolve_all(
    core: Core, registry: Registry, pending: Mapping[str, PendingSubmission]
) -> Mapping[str, Settled]:
    settled: dict[str, Settled] = {}

    async def settle_one(key: str, submission: PendingSubmission) -> None:
        settled[key] = await resolve(core, submission)

    for submission in pending.values():  # all are known before the first is looked for: they compete
        registry.begin(submission)
        registry.resume(submission)
    try:
        async with anyio.create_task_group() as group:
            for key, submission in pending.items():
                group.start_soon(settle_one, key, submission)
    finally:
        for submission in pending.values():
            registry.remove(submission)
    return settled


async def _write_down(journal: Journal, request: UnknownRequest, settled: Settled) -> UnknownRequest:
    if isinstance(settled, Resolved):
        ref = settled.generation.ref
        await journal.accepted(request.key, id=ref.id, kind=ref.kind, model=ref.model)
        return replace(request, job=ref)
    if isinstance(settled, Absent):
        await journal.planned_again(request.key)
        return replace(request, is_absent=True)
    return replace(request, why=settled.why, candidates=settled.candidates)


def prompt_of(record: JournalRecord, dialect: Dialect, kinds: RequestKinds = NEURALBOX_KINDS) -> str | None:
    """Return the prompt that the history would show of a record."""
    wire, extra, model = _keyed_request(record), None, record.model
    if wire is None:
        try:
            request = kinds.read(record.request)
            wire, extra, model = request.build(dialect), request.extra_body, request.model
        except ConfigurationError:  # of a version that knew more, or spoke another dialect
            return None
    return claim_of(wire, extra, key="", kind=record.kind, model=model).prompt


def _keyed_request(record: JournalRecord) -> Request | None:
    """Return the request of a single job with a key; None of a batch's."""
    path, body = record.request.get("path"), record.request.get("body")
    if not isinstance(path, str) or not isinstance(body, Mapping):
        return None
    return Request("POST", path, RetrySafety.PAID, body=body)

"""Read the history for what lost submissions may have made, until that is certain.

A claim is looked for at once and then at growing pauses until it is found, proven absent, or has had its time to
settle. The rules:

- One walk serves all: whoever comes first walks through the pages, far enough for the oldest of those who wait, and
  everybody who waited when it began draws a conclusion of its own from it. Pauses end on a common grid, so that claims
  which were lost one by one are looked for together.
- No task: the walk runs in the task of one that waits; another takes over when that one is cancelled.
- The listing is asked without a filter, so that both dialects (C14) and all kinds are read alike.
- A history that cannot be read proves nothing. What may pass (no answer, 5xx, 429) is tried again until the claim has
  settled; a refusal ends the search.

What a walk says about a claim is decided in `_submissions.matching`, what is known of our own submissions is in `registry`.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import anyio

from .._api import vocabulary as words
from .._api.pages import Envelope
from .._concurrency.per_loop import PerLoop
from .._config import Service
from .._core.exchange import Core
from .._core.reply_capture import capture_instead, without_capture
from .._core.retry import is_from_service
from .._errors import (
    APIConnectionError,
    APIStatusError,
    ConfigurationError,
    InternalServerError,
    NeuralBoxError,
    ProtocolError,
    RateLimitError,
)
from .._models.generation import Generation
from .._polling.status import poll
from .._transport import Reply
from .._types import JobRef, PlainValues
from .claim import Facts, HistoryEntry
from .evidence import NO_EVIDENCE, Evidence
from .match_context import context_of, note_walk
from .matching import Conclusion, Match, OpenReason, match, window_opens
from .owned import HIDDEN_FOR
from .pending import PendingSubmission, UnresolvedSubmission, as_unresolved
from .registry import Registry, registry_of
from .shared_record import SharedRecord
from .walk import Walk

if TYPE_CHECKING:  # SQLite is loaded by the first journal
    from .._journal.shared import GrantRefusal, SharedJournal

MOST_PAGES = 200
"""A walk gives up after so many pages."""
# (from this age on, the pauses end on multiples of so many seconds)
_GRID = ((10.0, 10.0), (3.0, 2.5), (1.0, 1.0), (0.0, 0.5))
_PATIENCE = 5.0  # seconds that asking for the clock may hold up what is to be sent
_SHARED = 0.25  # seconds: the walks at the end of settling are put off to the next multiple, to be shared
# Seconds since its loss that a claim waits at least for what may pass: an equal request in flight (as long as an answer
# may take), a listing that hides what is ours, a history that cannot be read.
_WAITS = {
    OpenReason.EQUAL_IN_FLIGHT: 300.0,
    OpenReason.HIDES: HIDDEN_FOR,
    OpenReason.CROWDED: HIDDEN_FOR,
    OpenReason.HISTORY: 30.0,
}


@dataclass(frozen=True, slots=True)
class Adopted(PlainValues):
    """A submission that was settled by finding its generation."""

    submission: UnresolvedSubmission
    job: JobRef


@dataclass(frozen=True, slots=True)
class Reconciliation(PlainValues):
    """What became of the unresolved submissions.

    Attributes:
        adopted: Found in the history: accepted, and charged when completed; `client.job(each.job)` attaches.
        absent: Proven never to have been accepted: nothing was charged, sending again is safe.
        open: Still not known; `why` says what is missing.
    """

    adopted: tuple[Adopted, ...] = ()
    absent: tuple[UnresolvedSubmission, ...] = ()
    open: tuple[UnresolvedSubmission, ...] = ()


@dataclass(frozen=True, slots=True)
class Resolved:
    """A claim whose generation was found.

    Attributes:
        generation: What the service says of it now, or where that failed what the listing said.
    """

    generation: Generation


@dataclass(frozen=True, slots=True)
class Absent:
    """A claim that was never accepted."""


@dataclass(frozen=True, slots=True)
class Unsure:
    """A claim that could not be settled.

    Attributes:
        why: The reason, a sentence's end.
        candidates: What may be it.
        reason: The kind of reason.
        window: When it may have been created, Unix seconds of the server's clock; None while that is unknown.
        is_final: Another walk would tell no more.
    """

    why: str
    candidates: tuple[Generation, ...] = ()
    reason: OpenReason = OpenReason.HISTORY
    window: tuple[float, float] | None = None
    is_final: bool = False


Settled: TypeAlias = Resolved | Absent | Unsure


# One claim...


async def resolve(core: Core, entry: PendingSubmission, *, until: float | None = None) -> Settled:
    """Look for a lost submission until it is certain what became of it.

    Args:
        core: The client to ask with.
        entry: The submission; `registry.lose` has noted when it was lost.
        until: When the caller's patience ends, by the core's clock. A claim that cannot settle by then is looked for once.

    Returns:
        Its generation, which nobody else gets from now on; or that it was never accepted; or why neither is certain.
        The submission stays registered unless it was found.

    Cancellation:
        Stops looking; the submission stays registered.
    """
    registry = registry_of(core)
    if entry.shared is not None:
        settled = await _learn(core, registry, entry, entry.shared, until)
        if settled is not None:
            return settled
        registry.begin(entry)  # the keeper may have had it in its hands, in this very process
    walker = _walker_of(core)
    with walker.attended():
        return await _resolve(core, registry, walker, entry, until)


async def _learn(
    core: Core, registry: Registry, entry: PendingSubmission, shared: SharedRecord, until: float | None
) -> Settled | None:
    """Have the keeper of a shared journal look for a submission; None where nobody does that for us."""
    news = await shared.learn(until)
    if news is None:
        is_late = until is not None and core.clock() >= until
        return Unsure(OpenReason.DEADLINE.value, reason=OpenReason.DEADLINE) if is_late else None
    record, claim = news.record, entry.claim
    if record.job is not None:
        job = JobRef(record.job.id, record.job.kind or claim.kind, record.job.model or claim.model)
        return _overtaken(registry, entry, job)
    return Absent() if news.unsettled is None else _unsure_of(news.unsettled, core.options.service, claim.kind)


def unsure_record(unsure: Unsure) -> dict[str, Any]:
    """Return what is written down of a submission that could not be settled: plain JSON values."""
    said = {"why": unsure.why, "reason": unsure.reason.name, "window": unsure.window}
    candidates = [each.raw for each in unsure.candidates]
    try:
        json.dumps(candidates, allow_nan=False)
    except (TypeError, ValueError, RecursionError):  # the service wrote NaN, say
        return said
    return {**said, "candidates": candidates}


def _unsure_of(said: Mapping[str, Any], service: Service, kind: str | None) -> Unsure:
    """Read what `unsure_record` wrote."""
    reason = OpenReason.__members__.get(str(said.get("reason")), OpenReason.HISTORY)
    candidates = tuple(service.read(record, kind=kind) for record in said.get("candidates", ()))
    window = said.get("window")
    return Unsure(str(said.get("why")), candidates, reason, None if window is None else (window[0], window[1]))


async def _resolve(
    core: Core, registry: Registry, walker: _HistoryWalker, entry: PendingSubmission, until: float | None
) -> Settled:
    settled: Settled = Unsure(OpenReason.DEADLINE.value, reason=OpenReason.DEADLINE)
    while True:
        began = registry.clock()
        with anyio.move_on_after(None if until is None else max(0.0, until - began)) as scope:
            read = await walker.read(core, entry)
            began, settled = read.began, await _conclude(core, registry, entry, read)
        if scope.cancelled_caught or not isinstance(settled, Unsure):
            return settled
        pause = _pause(registry, entry, settled, began=began, until=until)
        if pause is None:
            return settled
        try:
            await core.pause(pause)
        except ConfigurationError:  # the client was closed: nothing more is learnt by it
            return settled


def _pause(
    registry: Registry, entry: PendingSubmission, unsure: Unsure, *, began: float, until: float | None
) -> float | None:
    """Seconds until the next walk for a claim, or None when another could tell no more."""
    assert entry.lost is not None
    if unsure.is_final:
        return None
    now, end = registry.clock(), registry.settles_at(entry)
    if unsure.reason is OpenReason.NEW:  # until then a walk would say the same again
        due = registry.known_from()
        return None if until is not None and due >= until else max(0.0, due - now)
    waits = registry.proves_within(entry) if unsure.reason is OpenReason.LAG else _WAITS.get(unsure.reason, 0.0)
    stop = max(end, entry.lost + waits)
    if began >= stop or (until is not None and max(end, now) >= until):
        return None
    grid = next(seconds for age, seconds in _GRID if now - entry.lost >= age)
    due = (math.floor(now / grid) + 1) * grid
    if began < end < due:
        due = max(now, math.ceil(end / _SHARED) * _SHARED)
    return due - now


async def _conclude(core: Core, registry: Registry, entry: PendingSubmission, read: _HistoryRead) -> Settled:
    """Draw a conclusion from a walk, asking for details as it needs them; adopts what it finds.

    Raises:
        JournalError: The journal that keeps it could not say what others have under way.
    """
    unheard = None if entry.shared is None else read.unheard.get(entry.shared.journal)
    if unheard is not None:
        raise copy.copy(unheard)
    while True:
        facts = {key: _facts_of(generation) for key, generation in read.details.items()}
        context = context_of(registry, entry, read.walk, read.began, facts, read.evidence)
        result = match(context)
        if result.conclusion is Conclusion.ABSENT:
            grant = None if entry.shared is None else await entry.shared.absent(entry.claim)
            return Absent() if grant is None else _overtaken(registry, entry, grant)
        if result.item is not None:
            key = str(result.item.id)
            if not registry.adopt(entry, result.item):
                if registry.is_known(entry):
                    continue  # another loop's thread was faster
                return Unsure(OpenReason.EARLY.value, reason=OpenReason.EARLY)  # it was sent again meanwhile
            if entry.shared is not None:
                otherwise = await _otherwise(registry, entry, entry.shared, result.item)
                if otherwise == _TAKEN:
                    continue
                if otherwise is not None:
                    return otherwise
            # Nothing is awaited from here on: it is nobody else's any more.
            read.show(key)
            return Resolved(_delivered(core, entry, result.item, read.details.get(key)))
        if not result.ask:
            window = (context.opens, context.lost + context.settle) if context.guessed is None else None
            return _unsure(core, entry, result, read, window)
        for key in result.ask:
            await _ask(core, registry, entry, read, key)


_TAKEN: Final = "taken"


async def _otherwise(
    registry: Registry, entry: PendingSubmission, shared: SharedRecord, item: HistoryEntry
) -> Settled | Literal["taken"] | None:
    """Have an adoption granted that the registry has let pass; returns what is so instead, and then undoes it here."""
    from .._journal.shared import GrantRefusal  # SQLite is loaded by the first journal

    job = JobRef(item.id, entry.claim.kind or item.kind, item.model)
    grant: GrantRefusal | JobRef | None = None
    try:
        with anyio.CancelScope(shield=True):
            grant = await shared.adopt(entry.claim, job, registry.sent(entry))
    except BaseException:
        registry.return_unheard(entry, item.id)
        raise
    if grant is None:
        return None
    registry.return_unheard(entry, item.id)
    if grant is not GrantRefusal.TAKEN:
        return _overtaken(registry, entry, grant)
    registry.own(item.id, kind=item.kind, model=item.model)
    return _TAKEN


def _overtaken(registry: Registry, entry: PendingSubmission, grant: GrantRefusal | JobRef) -> Settled:
    """Say what follows where a journal knew better."""
    from .._journal.shared import GrantRefusal

    if isinstance(grant, JobRef):  # the answer came after all, to whoever had sent it
        registry.accept(entry, grant)
        record = {"id": grant.id, "status": words.PENDING, "model": grant.model}
        return Resolved(Generation.read(record, kind=grant.kind))
    if grant is GrantRefusal.UNSENT:
        return Absent()
    if grant is GrantRefusal.UNFIT:
        return Unsure(OpenReason.UNFIT.value, reason=OpenReason.UNFIT, is_final=True)
    registry.outdate(entry)
    return Unsure(OpenReason.EARLY.value, reason=OpenReason.EARLY)


async def _ask(core: Core, registry: Registry, entry: PendingSubmission, read: _HistoryRead, key: str) -> None:
    """Ask for an item's details, once for all who share the walk."""
    item = read.walk.items[key]
    while key not in read.details:
        asking = read.asking.get(key)
        if asking is not None:
            await asking.wait()
            continue
        known = registry.details.get(key)
        if known is not None:
            read.details[key] = known
            return
        asking = read.asking[key] = anyio.Event()
        try:
            with without_capture():
                ref = JobRef(item.id, item.kind or entry.claim.kind, item.model)
                generation = read.details[key] = await poll(core, ref)
            registry.keep_details(key, generation)
        except NeuralBoxError:
            read.details[key] = None  # then the listing is all there is
        finally:
            del read.asking[key]
            asking.set()


def _facts_of(generation: Generation | None) -> Facts | None:
    if generation is None:
        return None
    return Facts(generation.seed, generation.width, generation.height, generation.duration, generation.prompt)


def _delivered(core: Core, entry: PendingSubmission, item: HistoryEntry, detail: Generation | None) -> Generation:
    claim = entry.claim
    generation = detail or core.options.service.read(item.record, kind=item.kind)
    update = {"kind": claim.kind or generation.kind, "model": generation.model or item.model or claim.model}
    if generation.is_completed and not (generation.text or generation.url):
        update["status"] = words.PENDING  # as the listing tells it, without the result: a wait will ask for that
    return generation.model_copy(update=update)


def _unsure(
    core: Core, entry: PendingSubmission, result: Match, read: _HistoryRead, window: tuple[float, float] | None
) -> Unsure:
    candidates = tuple(core.options.service.read(item.record, kind=entry.claim.kind) for item in result.candidates)
    if read.error is None:
        assert result.why is not None
        return Unsure(result.why.value, candidates, result.why, window)
    said = f"{OpenReason.HISTORY.value} ({type(read.error).__name__}: {read.error.message.rstrip('.')})"
    return Unsure(said, candidates, OpenReason.HISTORY, window, is_final=not _may_pass(read.error))


def _may_pass(error: NeuralBoxError) -> bool:
    if isinstance(error, APIStatusError) and not is_from_service(error):
        return True  # the page of a proxy or a content network
    return isinstance(error, APIConnectionError | InternalServerError | ProtocolError | RateLimitError)


# ... one walk for all who wait...


@dataclass(slots=True)
class _HistoryRead:
    """Hold one walk, and what followed it.

    Attributes:
        number: Counts the walks of a loop, from 1.
        began: By the monotonic clock.
        error: Why it broke off.
        unheard: Why a journal could not say what else is under way.
        evidence: What the walk said of the service.
        details: Generations that were asked for afterwards, by id as text; None where that brought nothing.
        asking: Those being asked for.
        replies: The pages as they came, with the ids each was the first to show.
    """

    number: int
    began: float
    walk: Walk
    error: NeuralBoxError | None = None
    unheard: dict[SharedJournal, NeuralBoxError] = field(default_factory=dict)
    evidence: Evidence = NO_EVIDENCE
    details: dict[str, Generation | None] = field(default_factory=dict)
    asking: dict[str, anyio.Event] = field(default_factory=dict)
    replies: list[tuple[Reply, set[str]]] = field(default_factory=list)

    def show(self, key: str) -> None:
        """Give the page that showed an item to whoever wants the reply of the call: there is no other."""
        for reply, shown in self.replies:
            if key in shown:
                capture_instead(reply)


class _HistoryWalker:
    """Walks through the history for the claims that wait in one loop."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._lock = anyio.Lock()
        self._waiting: set[PendingSubmission] = set()
        self._last: _HistoryRead | None = None
        self._met: set[SharedJournal] = set()
        self._users = 0
        self._count = 0
        self._has_learnt = False

    async def read(self, core: Core, entry: PendingSubmission) -> _HistoryRead:
        """Return what a walk showed that began after this call and goes back far enough for this claim."""
        begun = self._count  # a walk that is under way may be past the place already
        self._waiting.add(entry)
        try:
            async with self._lock:
                last = self._last
                # One that was cut off since its client was closed tells nothing to those of others.
                if last is None or last.number <= begun or isinstance(last.error, ConfigurationError):
                    last = self._last = await self._walk(core)
                return last
        finally:
            self._waiting.discard(entry)
            if not self._waiting:
                self._last = None

    @contextmanager
    def attended(self) -> Iterator[None]:
        """Know what others have under way for as long as anybody draws a conclusion, and not any longer."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                for journal in self._met:
                    self._registry.part_from(journal)
                self._met = set()

    async def learn_clock(self, core: Core) -> None:
        """Ask for a page for its `Date` alone, unless the clock is known or one asked already."""
        if self._is_clock_known():
            return  # before each submission but the first: no turn of the loop for a lock
        async with self._lock:
            if self._is_clock_known():
                return
            with without_capture(), suppress(NeuralBoxError), anyio.move_on_after(_PATIENCE):
                await self._page(core, 1)
            self._has_learnt = True  # not where a caller was cancelled meanwhile: the next one asks

    def _is_clock_known(self) -> bool:
        return self._has_learnt or self._registry.skew is not None

    async def _walk(self, core: Core) -> _HistoryRead:
        self._count += 1
        registry, walk = self._registry, Walk(core.options.service.listing.rewrite)
        read = _HistoryRead(self._count, registry.clock(), walk)
        with without_capture():
            for number in range(1, MOST_PAGES + 1):
                try:
                    page, reply = await self._page(core, number)
                except NeuralBoxError as error:
                    read.error = error
                    break
                before = set(read.walk.items)
                goes_on = read.walk.add(page)
                read.replies.append((reply, read.walk.items.keys() - before))
                if not goes_on or read.walk.is_past(self._opens()):
                    break
        await self._learn_of_others(read)
        read.evidence = note_walk(registry, read.walk, read.began)
        return read

    async def _learn_of_others(self, read: _HistoryRead) -> None:
        """Ask the journals of those who wait what else is under way; only now, since all that the walk shows was by then.

        One that cannot say so is the trouble of those whose requests it keeps, and not of others who share the walk.
        """
        journals = {entry.shared.journal for entry in self._waiting if entry.shared is not None}
        self._met |= journals
        for journal in journals:
            unknown = [item.id for key, item in read.walk.items.items() if key not in self._registry.owned]
            try:
                self._registry.meet(journal, await journal.view(unknown))
            except NeuralBoxError as error:
                read.unheard[journal] = error

    def _opens(self) -> float:
        """Tell how far back those who wait need it; without a clock that tells, to its end."""
        sent = [self._registry.sent(entry) for entry in self._waiting]
        opens = min((-math.inf if each is None else window_opens(each) for each in sent), default=-math.inf)
        return opens + min(0.0, self._registry.created_ahead)

    async def _page(self, core: Core, number: int) -> tuple[Envelope, Reply]:
        asked, listing = self._registry.clock(), core.options.service.listing

        def read_page(reply: Reply) -> tuple[Envelope, Reply]:
            self._registry.note_clock(reply.headers.get("date"), asked=asked)
            return listing.read_page(core.as_json(reply), number, reply.status_code), reply

        return await core.send(listing.request(number), read_page)


class _Walkers(PerLoop[_HistoryWalker]):
    """An account's walkers."""


def _walker_of(core: Core) -> _HistoryWalker:
    return core.account.state(_Walkers, _Walkers).get(lambda: _HistoryWalker(registry_of(core)))


async def learn_clock(core: Core) -> None:
    """Ask for the service's clock where no answer has told it yet; at most once, and whatever comes of it.

    To be awaited before the first request that a journal keeps. A process that is killed cannot say later by which clock
    it wrote down when it sent something, and without that nothing is ever proven absent.
    """
    await _walker_of(core).learn_clock(core)


# ... and all that were left open.


async def reconcile(core: Core) -> Reconciliation:
    """Look for everything that is unresolved; what cannot be settled yet is waited for as long as a new claim is.

    Returns:
        What was found, what is proven never to have been accepted, and what stays open.

    Cancellation:
        Stops looking; what is not settled stays unresolved.
    """
    registry = registry_of(core)
    settled: dict[PendingSubmission, Settled] = {}

    async def settle(entry: PendingSubmission) -> None:
        with registry.attended(entry):
            settled[entry] = await resolve(core, entry)

    entries = registry.opened
    try:
        async with anyio.create_task_group() as group:
            for entry in entries:
                group.start_soon(settle, entry)
    except BaseException:
        for entry, outcome in settled.items():
            if isinstance(outcome, Resolved):  # found, but nobody will hear of it
                registry.give_back(entry, outcome.generation.id)
        raise
    adopted, absent, still = [], [], []
    for entry in entries:
        outcome = settled[entry]
        if isinstance(outcome, Resolved):
            if entry.admission is not None:
                entry.admission.accepted(outcome.generation)
            adopted.append(Adopted(as_unresolved(entry), outcome.generation.ref))
        elif isinstance(outcome, Absent):
            registry.release(entry)
            absent.append(as_unresolved(entry))
        else:
            registry.leave_open(entry, outcome.why, outcome.candidates)
            still.append(as_unresolved(entry))
    return Reconciliation(tuple(adopted), tuple(absent), tuple(still))

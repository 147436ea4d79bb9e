"""Hold the paid submissions of an account that are under way, unknown, or settled.

One registry for each account, shared by all clients of a process and by every loop they run in, so that no two
submissions adopt the same generation. It brings together:

- Submissions in flight or unknown, as long as they are; those whose callers were told or have left are *open*, and
  listed as `unresolved` until `reconcile` settles them. `MOST_OPEN` of them are kept; one more drops the oldest, and
  the log says so.
- What is ours (`owned.OwnedGenerations`), and how late the history lists it (`owned.ListingLag`).
- The service's clock (`service_clock.ServiceClock`) and what else its answers told (`owned.ObservedService`).

Nothing here waits. Reading the history is `reconcile`'s business; what is known here and what was read are put together in
`match_context`, and `matching` draws the conclusions.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from .._api.request import Request, RetrySafety
from .._api.vocabulary import PENDING
from .._concurrency.per_loop import Home
from .._concurrency.process_lock import ProcessLock
from .._core.exchange import Attempt, Core
from .._costs.charges import OpenCharges, batch_mark, charges_of
from .._errors import ConfigurationError
from .._models.generation import Generation
from .._types import GenerationId, JobRef
from . import matching as rules
from .claim import Claim, HistoryEntry, mark_of
from .owned import HIDDEN_FOR, ListingLag, ObservedService, OwnedGeneration, OwnedGenerations
from .pending import PendingSubmission, UnresolvedSubmission, as_unresolved
from .service_clock import ServiceClock

if TYPE_CHECKING:  # SQLite is loaded by the first journal
    from .._journal.shared import AccountView

logger = logging.getLogger("neuralbox")

MOST_OPEN = 10_000
LISTED_BY = 600.0
"""Seconds after which whatever was accepted is taken to be listed, where the history shows what is ours at all."""
MARGIN = 1.25
"""The listing may lag by so many times as much as it was seen to."""
_LONGEST_PROOF = 300.0
"""Seconds a claim waits at most for the listing to be seen to have caught up."""
_AHEAD = 10.0
"""What was sent so many seconds after now was not: a clock was wrong."""
_LONGEST_SENDING = 40.0
"""Seconds from noting that a request may leave to its last byte: the default limits of connecting and of writing."""
REPEATED_WITHIN = 10.0
"""Two equal paid requests within so many seconds are worth a warning."""
_ABANDONED: Final = "its event loop was closed before the answer came"
_ASKED_KEPT = 256
_DETAILS_KEPT = 256
_MODELS_KEPT = 1_000
_lock = ProcessLock()  # one for all registries: submissions of several loops, each in its thread
_UNSEEN: Final = Request("POST", "", RetrySafety.PAID)
"""What another process sends: of that only the claim is known."""


class SettlePolicy(NamedTuple):
    """How long an accepted request may stay out of the listing, in seconds.

    Attributes:
        base: However fast it was answered; None leaves it to `_submissions.matching`.
        longest: For kinds that answer at once; None leaves it to `_submissions.matching`.
        listed_by: After which it is taken to be listed, where the history shows what is ours at all.
    """

    base: float = rules.SETTLE
    longest: float | None = None
    listed_by: float = LISTED_BY


class RecentRequests:
    """The marks of what was asked for in the last seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._asked: dict[bytes, tuple[float, bool]] = {}

    def is_repeated(self, mark: bytes) -> bool:
        """Note a request; returns whether it repeats another that nobody has been warned of yet."""
        now = self._clock()
        last, told_before = self._asked.pop(mark, (-math.inf, False))
        again = now - last < REPEATED_WITHIN
        self._asked[mark] = (now, again)
        if len(self._asked) > _ASKED_KEPT:
            del self._asked[next(iter(self._asked))]
        return again and not told_before


class Registry:
    """The submissions of one account; see the module."""

    def __init__(self, core: Core, bills: OpenCharges) -> None:
        self.clock = core.clock
        self.now = core.now
        self.settling = SettlePolicy()
        self.details: dict[str, Generation] = {}
        self.owned = OwnedGenerations()
        self.listing = ListingLag()
        self.service_clock = ServiceClock()
        self.observed = ObservedService()
        self._submissions: dict[str, PendingSubmission] = {}
        self._others: dict[object, dict[str, PendingSubmission]] = {}
        self._asked_before = RecentRequests(core.clock)
        self.began = core.clock()
        self._bills = bills
        self.created_ahead = 0.0
        """Seconds by which `created_at` is ahead of the service's clock, as far as generations of ours told."""

    # A submission's way.

    def begin(self, entry: PendingSubmission) -> None:
        """Note a submission before it can leave."""
        key = entry.claim.key
        self._submissions[key] = entry
        for others in self._others.values():  # what was another process's is this one's from now on
            others.pop(key, None)

    def pending(self, key: str) -> PendingSubmission | None:
        """Return the submission of a claim's key that this process knows and has not settled."""
        return self._submissions.get(key)

    def mark_unknown(self, entry: PendingSubmission) -> None:
        """Note that its outcome is unknown, as from now."""
        self._submissions[entry.claim.key], entry.is_open, entry.early = entry, False, 0.0
        entry.lost, ending = self.clock(), entry.ending
        sent_at = ending.sent_at if ending.sent_at is not None else entry.claim.sent_at
        entry.claim = replace(entry.claim, sent_at=sent_at, lost_at=self.now(), server_offset=self.server_offset())

    def resume(self, entry: PendingSubmission) -> None:
        """Take up an unknown submission of an earlier run, which cannot have sent anything since it ended.

        How long the request waited before it left nobody knows: behind others, or in a machine that slept. So whatever
        was made until now may be it.
        """
        claim, now = entry.claim, self.now()
        ended = now if claim.sent_at is None else min(now, claim.sent_at + _LONGEST_SENDING)
        lost_at = ended if claim.lost_at is None else claim.lost_at
        if claim.lost_at is None:
            entry.left_until = self.clock()
        entry.lost = self.clock() - max(0.0, now - lost_at)
        entry.claim = replace(claim, lost_at=lost_at)

    def remove(self, entry: PendingSubmission) -> None:
        """Forget a submission: it is answered, refused, adopted or proven absent."""
        # The keeper of a shared journal looks for it under the same name.
        if self._submissions.get(entry.claim.key) is entry:
            del self._submissions[entry.claim.key]

    def leave_open(self, entry: PendingSubmission, why: str, candidates: Sequence[Generation] = ()) -> None:
        """Keep an unknown submission that nobody waits for any more; one that a shared journal knows is in good hands."""
        if entry.shared is not None:
            self.remove(entry)
            return
        if entry.lost is None:
            self.mark_unknown(entry)
        self._submissions[entry.claim.key] = entry
        entry.mark_open(why, candidates)
        opened = [each for each in self._submissions.values() if each.is_open]
        for surplus in opened[:-MOST_OPEN] if len(opened) > MOST_OPEN else ():
            self.remove(surplus)
            logger.warning(
                "More than %d paid submissions are unresolved; the oldest is forgotten (%s, sent at %s).",
                MOST_OPEN,
                surplus.claim.model,
                surplus.claim.sent_at,
            )

    def accept(self, entry: PendingSubmission, ref: JobRef) -> None:
        """Note that a submission has its id (`""` where the service gave none)."""
        self.remove(entry)
        claim, now = entry.claim, self.clock()
        if entry.lost is None and entry.ending.sent_clock is not None:
            self.observed.note_answer(claim, ref, now - entry.ending.sent_clock)
        if ref.id != "":
            owned = OwnedGeneration(
                claim.kind,
                claim.model,
                mark_of(claim.prompt),
                claim.predicted,
                now,
                claim.key,
                ref.id,
                entry.ending.sent_clock,
                claim.prompt,
                claim.basis,
            )
            self._own(str(ref.id), owned)
            self.listing.expect(str(ref.id), self._made_at(entry))
            self._bills.rename(batch_mark(claim.key), ref.id)

    def _made_at(self, entry: PendingSubmission) -> float:
        """Tell since when the history should list what was accepted, by the monotonic clock.

        One that was looked for may have been found late because it was listed late: counted from now, it would say that
        the history lists at once, and the next that is lost would be taken for absent too early.
        """
        if entry.lost is None:
            return self.clock()
        sent, skew = self.sent(entry), self.skew
        return entry.lost if sent is None or skew is None else min(entry.lost, sent + entry.early - skew)

    def note_seed(self, entry: PendingSubmission, generation: Generation) -> None:
        """Learn from a finished generation whether its model shows the seed that was sent."""
        claim, shows_seed = entry.claim, self.observed.shows_seed
        if claim.seed is not None and generation.is_final and len(shows_seed) < _MODELS_KEPT:
            shows_seed[claim.model] = generation.seed == claim.seed

    def refuse_seed(self, model: str | None) -> None:
        """Note that a model takes no seed."""
        self.observed.shows_seed[model] = False

    def job_of(self, claim: Claim) -> JobRef | None:
        """The job that this process knows to be a claim's, which its journal may not have learnt (a full disk)."""
        return self.owned.job_of(claim.key)

    def own(
        self,
        generation_id: GenerationId,
        *,
        kind: str | None = None,
        model: str | None = None,
        prompt: str | None = None,
        mark: bytes | None = None,
    ) -> None:
        """Note an id that a journal knows: it is nobody else's candidate, and with its prompt it is a witness.

        Args:
            generation_id: The id.
            kind: What it is.
            model: What made it.
            prompt: Its prompt, or
            mark: the digest of that.
        """
        if str(generation_id) not in self.owned:
            mark = mark_of(prompt) if mark is None else mark
            self._own(
                str(generation_id),
                OwnedGeneration(kind, model, mark, predicted=False, at=self.clock(), id=generation_id, prompt=prompt),
            )

    # What other processes of the account do, by a journal that they share...

    def meet(self, journal: object, view: AccountView) -> None:
        """Take note of what a shared journal knows of the account, in place of what it knew before.

        Args:
            journal: Which one.
            view: What it said after a walk: whatever the walk shows was in it before.
        """
        for known in view.known:
            self.own(known.job.id, kind=known.job.kind, model=known.job.model, mark=known.mark)
        before, now = self._others.get(journal, {}), dict[str, PendingSubmission]()
        for each in view.in_flight:
            claim = Claim.from_shared_dict(each.claim)
            entry, mine = before.get(claim.key), self._submissions.get(claim.key)
            # Our own, or one that another journal told of; what is looked for here as the keeper is a rival if it was sent
            # again since.
            if entry is None and mine is not None and (each.is_unknown or not mine.is_recent):
                if mine.shared is not None and each.widened > mine.shared.widened:
                    mine.shared.widened = each.widened
                    self._widen(mine, each.opens)
                continue
            if entry is None:
                entry = PendingSubmission(claim, _UNSEEN, None, Attempt(self.clock()))
                entry.ending.sent = True
                self.begin(entry)
            # It may have been sent again since: what was unknown is in flight then, and a rival for whatever is shown.
            entry.claim, entry.early = claim, 0.0
            entry.lost = (self.clock() if entry.lost is None else entry.lost) if each.is_unknown else None
            self._open_earlier(entry, each.opens)
            now[claim.key] = entry
        self._others[journal] = now
        for key in before.keys() - now.keys():
            self._submissions.pop(key, None)

    def part_from(self, journal: object) -> None:
        """Forget what a shared journal told is under way."""
        for key in self._others.pop(journal, {}):
            self._submissions.pop(key, None)

    def _widen(self, entry: PendingSubmission, opens: float | None) -> None:
        """Look back as far as one that took what may have been this one's, and as long as one lost just now."""
        self._open_earlier(entry, opens)
        entry.lost = self.clock()

    def _open_earlier(self, entry: PendingSubmission, opens: float | None) -> None:
        sent = self.sent(entry)
        if opens is not None and sent is not None:
            entry.early = max(entry.early, sent + entry.early - opens)

    # ... and what is found.

    def is_known(self, entry: PendingSubmission) -> bool:
        """Whether a submission is registered, and not another sending of it in its place."""
        return self._submissions.get(entry.claim.key) is entry

    def adopt(self, entry: PendingSubmission, item: HistoryEntry) -> bool:
        """Give an item to a submission; False when another was faster."""
        with _lock:
            if str(item.id) in self.owned or not self.is_known(entry):
                return False
            self._inherit(entry)
            self.accept(entry, JobRef(item.id, entry.claim.kind or item.kind, item.model))
            return True

    def decide(self, entry: PendingSubmission, generation_id: GenerationId | None, was_charged: bool) -> JobRef | None:
        """Settle an open submission as a person says, who knows what no proof tells.

        Args:
            entry: Which one.
            generation_id: Its generation; None where there is none, or it is not wanted.
            was_charged: Its tokens are spent, or may be.

        Raises:
            ConfigurationError: It is settled, or the generation is another's.
        """
        with _lock:
            if entry.claim.key not in self._submissions:
                raise ConfigurationError("This submission is settled already.")
            if generation_id is None:
                if was_charged:
                    self.remove(entry)
                else:
                    self.release(entry)
                return None
            if str(generation_id) in self.owned:
                raise ConfigurationError(f"The generation {generation_id} belongs to another request of this client.")
            self._inherit(entry)
            ref = JobRef(generation_id, entry.claim.kind, entry.claim.model)
            self.accept(entry, ref)
        if entry.admission is not None:
            record = {"id": generation_id, "status": PENDING, "model": ref.model}
            entry.admission.accepted(Generation.read(record, kind=ref.kind))
        return ref

    def note_absent(self, entry: PendingSubmission) -> None:
        """Forget what was sent of a submission and never accepted, and give back what earlier runs set aside for it."""
        self.remove(entry)
        self._bills.release(batch_mark(entry.claim.key))

    def release(self, entry: PendingSubmission) -> None:
        """Forget one that was never accepted and is not sent again, and give back whatever is set aside for it."""
        self.note_absent(entry)
        if entry.admission is not None:
            entry.admission.release_tokens()

    def return_unheard(self, entry: PendingSubmission, generation_id: GenerationId) -> None:
        """Undo an adoption that was not granted, or of which nobody knows whether it was: it is looked for again."""
        self._undo_adoption(entry, generation_id, is_open=entry.is_open)

    def outdate(self, entry: PendingSubmission) -> None:
        """Look for a submission as long as for one lost just now: others took what may have been its."""
        self._widen(entry, None)

    def give_back(self, entry: PendingSubmission, generation_id: GenerationId) -> None:
        """Undo an adoption that nobody heard of: the submission is open again."""
        self._undo_adoption(entry, generation_id, is_open=True)

    def _undo_adoption(self, entry: PendingSubmission, generation_id: GenerationId, *, is_open: bool) -> None:
        with _lock:
            self.owned.discard(str(generation_id))
            self.listing.forget(str(generation_id))
            self._bills.rename(str(generation_id), batch_mark(entry.claim.key))
            self._submissions[entry.claim.key], entry.is_open = entry, is_open

    def _inherit(self, entry: PendingSubmission) -> None:
        """Let unknown equal requests take over the window of one that adopts: what it took may be theirs, and its own is left."""
        sent = self.sent(entry)
        for other in self.entries:
            if other is entry or other.lost is None or not other.claim.is_same_request(entry.claim):
                continue
            theirs = self.sent(other)
            if sent is not None and theirs is not None and sent < theirs:
                other.early += theirs - sent
            other.lost = max(other.lost, entry.lost or other.lost)

    def _own(self, key: str, owned: OwnedGeneration) -> None:
        forgotten = self.owned.add(key, owned, open_since=self._open_since)
        if forgotten is not None:
            self.listing.forget(forgotten)

    def _open_since(self) -> float | None:
        return min((each.lost for each in self._submissions.values() if each.lost is not None), default=None)

    def is_repeated(self, mark: bytes) -> bool:
        """Return whether the same was asked for a moment ago, and nobody has been told so yet."""
        return self._asked_before.is_repeated(mark)

    # What is open.

    @property
    def entries(self) -> list[PendingSubmission]:
        """The submissions that are under way or unknown at this moment."""
        return [*self._submissions.values()]

    @property
    def unresolved(self) -> tuple[UnresolvedSubmission, ...]:
        """The open submissions, oldest first."""
        return tuple(replace(as_unresolved(entry), _settle=partial(self.decide, entry)) for entry in self.opened)

    @property
    def opened(self) -> list[PendingSubmission]:
        for entry in [each for each in self.entries if each.is_abandoned]:
            self.leave_open(entry, _ABANDONED)
        return [entry for entry in self.entries if entry.is_open]

    @contextmanager
    def attended(self, entry: PendingSubmission) -> Iterator[None]:
        """Take an open submission out of the list while somebody looks for it."""
        entry.is_open, entry.home = False, Home()
        try:
            yield
        finally:
            entry.is_open = entry.claim.key in self._submissions

    # Time.

    def note_date(self, headers: Mapping[str, str]) -> None:
        """Keep what a paid answer says of the service's clock; it is read when it is needed."""
        self.service_clock.note_headers(headers, self.clock)

    def note_clock(self, date: str | None, *, asked: float) -> None:
        """Read a `Date` header that has just come, of what was asked then by the monotonic clock."""
        self.service_clock.note_date(date, asked=asked, now=self.clock())

    @property
    def skew(self) -> float | None:
        """What added to the monotonic clock gives the service's Unix time: never late, and early by LATE at most."""
        return self.service_clock.skew

    def server_offset(self) -> float | None:
        """Seconds the service's clock is ahead of this machine's."""
        skew = self.skew
        return None if skew is None else skew + self.clock() - self.now()

    def sent(self, entry: PendingSubmission) -> float | None:
        """When a submission left, by the service's clock; None while that is unknown.

        Of an earlier run's only the offset it noted itself tells: this machine's clock may have been set since.
        """
        skew, claim = self.skew, entry.claim
        if skew is not None and entry.ending.sent_clock is not None:
            return entry.ending.sent_clock + skew - entry.early
        if claim.server_offset is None or claim.sent_at is None:
            return None
        sent = claim.sent_at + claim.server_offset
        is_to_come = skew is not None and sent > self.clock() + skew + _AHEAD
        return None if is_to_come else sent - entry.early

    def settles_at(self, entry: PendingSubmission) -> float:
        """When whatever was accepted of it is listed, by the monotonic clock."""
        assert entry.lost is not None
        lost, sent, skew = entry.lost, self.sent(entry), self.skew
        if (
            sent is not None and skew is not None
        ):  # as `context_of` has it: of an earlier run the offset is another estimate
            lost = max(lost, sent - skew)
        return lost + self.settle_seconds(entry.claim.kind)

    def settle_seconds(self, kind: str | None) -> float:
        """Return the seconds from its loss after which whatever was accepted of a kind is listed; see `SettlePolicy`."""
        fixed = self.settling.longest
        longest = rules.longest_of(kind)
        if longest:  # twice what was seen, since the slowest answer is still to come
            longest = max(longest if fixed is None else fixed, 2 * self.observed.longest.get(kind, 0.0))
        return max(self.settling.base, longest, self.listing.longest)

    def known_from(self) -> float:
        """Return when another program that began with this one would show, by the monotonic clock."""
        return self.began + rules.SETTLE

    def proves_within(self, entry: PendingSubmission) -> float:
        """Return the seconds since its loss after which more waiting would not show that the listing has caught up."""
        age = MARGIN * self.listing.youngest(entry.claim.kind, self.clock())
        return max(HIDDEN_FOR, age) if age <= _LONGEST_PROOF else HIDDEN_FOR

    def keep_details(self, key: str, generation: Generation) -> None:
        """Remember a generation that was asked for, if it is finished."""
        if generation.is_final:
            self.details[key] = generation
            if len(self.details) > _DETAILS_KEPT:
                del self.details[next(iter(self.details))]


def registry_of(core: Core) -> Registry:
    """Return the registry of a client's account."""
    return core.account.state(Registry, lambda: Registry(core, charges_of(core).bills))

"""Know which generations are ours, and how late the history lists them.

An id that belongs to a submission is nobody else's candidate. With a digest of its prompt it is also what makes the
history believed: a listing that shows it with its whole prompt would show another of ours. The oldest of more than
`MOST_OWNED` are forgotten, but none that is younger than the oldest submission that is not settled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from .._types import GenerationId, JobRef
from .claim import Claim, HistoryEntry, kinds_fit, mark_of
from .matching import Walk

MOST_OWNED: Final = 10_000
HIDDEN_FOR: Final = 120.0
"""The listing is not taken to lag by more seconds: what it does not show by then, it hides (or it was deleted)."""


class OwnedGeneration(NamedTuple):
    """A generation of ours.

    Attributes:
        mark: Digest of its prompt.
        predicted: What the history shows as its prompt is a prediction.
        at: When we learnt of it, by the monotonic clock.
        claim: Its claim's key.
    """

    kind: str | None
    model: str | None
    mark: bytes | None
    predicted: bool
    at: float
    claim: str = ""
    id: GenerationId = ""


class OwnedGenerations:
    """The generations of ours, by id as text."""

    def __init__(self) -> None:
        self._by_id: dict[str, OwnedGeneration] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._by_id

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, key: str) -> OwnedGeneration | None:
        return self._by_id.get(key)

    def add(self, key: str, owned: OwnedGeneration, *, open_since: float | None) -> str | None:
        """Note one; returns the id that had to be forgotten for it, if one had to.

        Args:
            key: Its id as text.
            owned: What is known of it.
            open_since: When the oldest submission that is not settled was lost, by the monotonic clock.
        """
        self._by_id[key] = owned
        if len(self._by_id) <= MOST_OWNED:
            return None
        oldest = next(iter(self._by_id))
        is_needed = open_since is not None and self._by_id[oldest].at >= open_since - HIDDEN_FOR
        if is_needed and len(self._by_id) <= 10 * MOST_OWNED:
            return None
        del self._by_id[oldest]
        return oldest

    def discard(self, key: str) -> None:
        self._by_id.pop(key, None)

    def job_of(self, claim_key: str) -> JobRef | None:
        """Return the job of a claim."""
        for owned in reversed(self._by_id.values()):
            if owned.claim == claim_key != "":
                return JobRef(owned.id, owned.kind, owned.model)
        return None

    def is_control(self, claim: Claim, item: HistoryEntry) -> bool:
        """Whether an item is a generation of ours that the history shows as it would show the claim's."""
        owned = self._by_id.get(str(item.id))
        if owned is None or (claim.predicted and not owned.predicted):
            return False
        if (owned.kind or item.kind) != claim.kind if claim.kind else owned.model != claim.model:
            return False
        if claim.prompt is None:
            return owned.mark is None and not item.prompt
        return owned.mark is not None and owned.mark == mark_of(item.prompt)


class ListingLag:
    """How long the history takes to list what was accepted.

    Attributes:
        longest: The longest time seen, in seconds.
    """

    def __init__(self) -> None:
        self.longest = 0.0
        self._unseen: dict[str, float] = {}
        self._missed: set[str] = set()

    def expect(self, key: str, at: float) -> None:
        """Note that a generation was accepted, and should be listed."""
        self._unseen[key] = at

    def forget(self, key: str) -> None:
        self._unseen.pop(key, None)
        self._missed.discard(key)

    def note_walk(self, walk: Walk, began: float, *, skew: float | None, oldest: float) -> None:
        """Learn from a walk: by those of ours that it shows, and those it should.

        Args:
            walk: What the history showed.
            began: When, by the monotonic clock.
            skew: See `ServiceClock.skew`.
            oldest: What was accepted before, by the service's clock, tells nothing of any window that is looked into.
        """
        for key, at in [*self._unseen.items()]:
            if skew is not None and at + skew < oldest:
                self.forget(key)
            elif key in walk.items:
                if key in self._missed:
                    self.longest = max(self.longest, began - at)
                self.forget(key)
            elif at < began and skew is not None and walk.covers(at + skew):
                self._missed.add(key)
                self.longest = max(self.longest, min(began - at, HIDDEN_FOR))

    def hides(self, owned: OwnedGenerations, claim: Claim, walk: Walk, *, since: float, began: float) -> bool:
        """Whether a walk does not show a generation of ours that was accepted between the two moments."""
        return any(
            since <= at < began and key not in walk.items and kinds_fit(known.kind, claim.kind)
            for key, at in [*self._unseen.items()]
            if (known := owned.get(key)) is not None
        )


class ObservedService:
    """What answers told of the service, apart from its clock and its listing.

    Attributes:
        spelled: How it spells a model, by the slug asked for.
        longest: The longest time an answer took, by kind.
        distrusts_free_failures: A generation was found after an answer that is documented as free.
    """

    _SPELLINGS_KEPT = 256

    def __init__(self) -> None:
        self.spelled: dict[str, str] = {}
        self.longest: dict[str | None, float] = {}
        self.distrusts_free_failures = False

    def note_answer(self, claim: Claim, ref: JobRef, seconds: float) -> None:
        """Learn from an answer that came."""
        self.longest[claim.kind] = max(self.longest.get(claim.kind, 0.0), seconds)
        if ref.model and claim.model and ref.model != claim.model and len(self.spelled) < self._SPELLINGS_KEPT:
            self.spelled[claim.model] = ref.model

"""Know which generations are ours, and how late the history lists them.

An id that belongs to a submission is nobody else's candidate. With a digest of its prompt it is also what makes the
history believed: a listing that shows it with its whole prompt would show another of ours. The oldest of more than
`MOST_OWNED` are forgotten, but none that is younger than the oldest submission that is not settled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Container, Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Final

from .._types import GenerationId, JobRef
from .claim import Claim, kinds_fit
from .walk import Walk

MOST_OWNED: Final = 10_000
HIDDEN_FOR: Final = 120.0
"""The listing is not taken to lag by more seconds: what it does not show by then, it hides (or it was deleted)."""

CONTROL_AGE: Final = 600.0
"""How late the history lists is judged by generations of ours of the last so many seconds."""
_TEXTS_KEPT: Final = 64
_LONGEST_TEXT: Final = 4_096
_AGES_KEPT: Final = 64


@dataclass(slots=True)
class OwnedGeneration:
    """A generation of ours.

    Attributes:
        mark: Digest of its prompt.
        predicted: What the history shows as its prompt is a prediction.
        basis: What that was made from.
        at: When we learnt of it, by the monotonic clock.
        claim: Its claim's key.
        sent: When its first byte left, by the monotonic clock; None where an earlier run sent it.
        prompt: Its prompt, where that is short; of the latest only.
    """

    kind: str | None
    model: str | None
    mark: bytes | None
    predicted: bool
    at: float
    claim: str = ""
    id: GenerationId = ""
    sent: float | None = None
    prompt: str | None = field(default=None, repr=False)
    basis: str = ""


class OwnedGenerations:
    """The generations of ours, by id as text."""

    def __init__(self) -> None:
        self._by_id: dict[str, OwnedGeneration] = {}
        self._by_prompt: dict[bytes, dict[str, None]] = {}
        self._with_text: deque[str] = deque()

    def __contains__(self, key: object) -> bool:
        return key in self._by_id

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, key: str) -> OwnedGeneration | None:
        return self._by_id.get(key)

    def require(self, key: str) -> OwnedGeneration:
        return self._by_id[key]

    def with_prompt(self, mark: bytes | None) -> Collection[str]:
        """Return the ids of those with a prompt."""
        return () if mark is None else self._by_prompt.get(mark, ())

    def add(self, key: str, owned: OwnedGeneration, *, open_since: Callable[[], float | None]) -> str | None:
        """Note one; returns the id that had to be forgotten for it, if one had to.

        Args:
            key: Its id as text.
            owned: What is known of it.
            open_since: Tells when the oldest submission that is not settled was lost, by the monotonic clock.
        """
        self._by_id[key] = owned
        if owned.mark is not None:
            self._by_prompt.setdefault(owned.mark, {})[key] = None
        self._keep_text(key, owned)
        if len(self._by_id) <= MOST_OWNED:
            return None
        oldest = next(iter(self._by_id))
        since = open_since()
        is_needed = since is not None and self._by_id[oldest].at >= since - HIDDEN_FOR
        if is_needed and len(self._by_id) <= 10 * MOST_OWNED:
            return None
        self.discard(oldest)
        return oldest

    def _keep_text(self, key: str, owned: OwnedGeneration) -> None:
        if owned.prompt is None or len(owned.prompt) > _LONGEST_TEXT:
            owned.prompt = None
            return
        self._with_text.append(key)
        if len(self._with_text) > _TEXTS_KEPT:
            oldest = self._with_text.popleft()
            known = self._by_id.get(oldest)
            if known is not None:
                known.prompt = None

    def discard(self, key: str) -> None:
        """Forget one."""
        owned = self._by_id.pop(key, None)
        if owned is not None and owned.mark is not None:
            equal = self._by_prompt[owned.mark]
            del equal[key]
            if not equal:
                del self._by_prompt[owned.mark]

    def job_of(self, claim_key: str) -> JobRef | None:
        """Return the job of a claim."""
        for owned in reversed(self._by_id.values()):
            if owned.claim == claim_key != "":
                return JobRef(owned.id, owned.kind, owned.model)
        return None


class ListingLag:
    """How long the history takes to list what was accepted.

    Attributes:
        longest: The longest time seen, in seconds.
    """

    def __init__(self) -> None:
        self.longest = 0.0
        self._unseen: dict[str, float] = {}
        self._missed: set[str] = set()
        self._ages: dict[str | None, deque[tuple[float, float]]] = {}

    def expect(self, key: str, at: float) -> None:
        """Note that a generation was accepted, and should be listed."""
        self._unseen[key] = at

    def forget(self, key: str) -> None:
        self._unseen.pop(key, None)
        self._missed.discard(key)

    def note_walk(
        self,
        walk: Walk,
        began: float,
        *,
        owned: OwnedGenerations,
        shown: Container[str],
        skew: float | None,
        oldest: float,
    ) -> None:
        """Learn from a walk: by those of ours that it shows, and those it should.

        Args:
            walk: What the history showed.
            began: When, by the monotonic clock.
            owned: What is ours.
            shown: Ids of ours that the walk shows.
            skew: What added to the monotonic clock gives that of `created_at`.
            oldest: What was accepted before, by the service's clock, tells nothing of any window that is looked into.
        """
        for key, at in [*self._unseen.items()]:
            if key in shown:
                if key in self._missed:
                    self.longest = max(self.longest, began - at)
                ages = self._ages.setdefault(owned.require(key).kind, deque(maxlen=_AGES_KEPT))
                ages.append((at, max(0.0, began - at)))
                self.forget(key)
            elif skew is not None and at + skew < oldest:
                self.forget(key)
            elif at < began and skew is not None and walk.covers(at + skew):
                self._missed.add(key)
                self.longest = max(self.longest, min(began - at, HIDDEN_FOR))

    def hides(
        self, owned: OwnedGenerations, claim: Claim, shown: Container[str], *, since: float, began: float
    ) -> bool:
        """Whether a walk does not show a generation of ours that was accepted between the two moments."""
        return any(
            since <= at < began and key not in shown and kinds_fit(known.kind, claim.kind)
            for key, at in [*self._unseen.items()]
            if (known := owned.get(key)) is not None
        )

    def youngest(self, kind: str | None, now: float) -> float:
        """Return at what age, in seconds, a generation of ours of this kind was seen listed, of those not long ago."""
        return min((age for at, age in self._ages.get(kind, ()) if at >= now - CONTROL_AGE), default=inf)


class ObservedService:
    """What answers told of the service, apart from its clock and its listing.

    Attributes:
        spelled: How it spells a model, by the slug asked for.
        longest: The longest time an answer took, by kind.
        shows_seed: Whether a model's generations show the seed that was sent; what is not in it is not known.
    """

    _SPELLINGS_KEPT = 256

    def __init__(self) -> None:
        self.spelled: dict[str, str] = {}
        self.longest: dict[str | None, float] = {}
        self.shows_seed: dict[str | None, bool] = {}

    def note_answer(self, claim: Claim, ref: JobRef, seconds: float) -> None:
        """Learn from an answer that came."""
        self.longest[claim.kind] = max(self.longest.get(claim.kind, 0.0), seconds)
        if ref.model and claim.model and ref.model != claim.model and len(self.spelled) < self._SPELLINGS_KEPT:
            self.spelled[claim.model] = ref.model

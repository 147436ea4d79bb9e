"""One paid submission whose outcome is not settled: as the registry keeps it, and as users see it once it is open."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._api.request import Request
from .._concurrency.per_loop import Home
from .._core.exchange import Attempt
from .._core.retry import AttemptOutcome
from .._errors import ConfigurationError
from .._models.generation import Generation
from .._types import GenerationId, JobRef, PlainValues
from .admission import Admission
from .claim import Claim, body_of, plain

if TYPE_CHECKING:  # SQLite is loaded by the first journal
    from .shared_record import SharedRecord


@dataclass(frozen=True, slots=True)
class UnresolvedSubmission(PlainValues):
    """A paid request that may have been accepted and charged, and whose generation nobody has.

    Attributes:
        request: The body that was sent, a form's file left out; not shown by `repr`.
        kind: `image`, `text`, ... or None where it is not known.
        model: The slug asked for, or None.
        sent_at: Unix seconds of this machine's clock just before the first byte left, or None.
        lost_at: Unix seconds when its outcome was given up, or None.
        candidates: Generations of the history that may be this one.
        why: Why it could not be settled, a sentence's end.

    Where no proof will come, a person decides: `adopt`, `resend` or `give_up`, each once.
    """

    request: Mapping[str, Any] = field(repr=False)
    kind: str | None = None
    model: str | None = None
    sent_at: float | None = None
    lost_at: float | None = None
    candidates: Sequence[Generation] = ()
    why: str = ""
    _settle: Callable[[GenerationId | None, bool], JobRef | None] | None = field(
        default=None, repr=False, compare=False
    )

    def adopt(self, id: GenerationId) -> JobRef:
        """Decide that this generation is its own; nothing is sent.

        Returns:
            The job, for `client.job(...)`.

        Raises:
            ConfigurationError: The generation belongs to another request of this client, or this one is settled.
        """
        ref = self._decide(id, was_charged=True)
        assert ref is not None
        return ref

    def resend(self) -> Mapping[str, Any]:
        """Decide that it was never accepted: its tokens are given back, and whoever sends it again may pay twice.

        Returns:
            The body that was sent, to be sent again by an ordinary call.

        Raises:
            ConfigurationError: It is settled.
        """
        self._decide(None, was_charged=False)
        return self.request

    def give_up(self) -> None:
        """Decide to leave it: it is not looked for any more, and its tokens stay set aside.

        Raises:
            ConfigurationError: It is settled.
        """
        self._decide(None, was_charged=True)

    def _decide(self, id: GenerationId | None, *, was_charged: bool) -> JobRef | None:
        if self._settle is None:
            raise ConfigurationError("This submission is settled already.")
        return self._settle(id, was_charged)


class PendingSubmission:
    """One paid submission.

    Attributes:
        claim: What it asked for, and when.
        ending: What the core says of its attempt.
        admission: Its tokens in the client's budget, which are booked when it is settled.
        lost: When its outcome was given up, by the monotonic clock; None while it is in flight.
        left_until: Until when it may have left, by the monotonic clock, where an earlier run sent it.
        early: Seconds by which its window opens earlier, since an equal one that was sent earlier may have got what was its.
        is_recent: Another process has sent it a moment ago.
        is_open: Nobody waits for it any more.
        why: Why it is open.
        candidates: What may be it.
        body: What was sent; from the moment it is open.
        shared: Its record in a journal that other processes share, which grants what is concluded.
        home: Where it is waited or looked for.
    """

    __slots__ = (
        "_plain",
        "_sent",
        "admission",
        "body",
        "candidates",
        "claim",
        "early",
        "ending",
        "home",
        "is_open",
        "is_recent",
        "left_until",
        "lost",
        "shared",
        "why",
    )

    def __init__(self, claim: Claim, request: Request, extra_body: Mapping[str, Any] | None, ending: Attempt) -> None:
        self.claim = claim
        self.ending = ending
        self.home = Home()
        self.admission: Admission | None = None
        self.shared: SharedRecord | None = None
        self.body: Mapping[str, Any] = {}
        self._sent: tuple[Request, Mapping[str, Any] | None] | None = (request, extra_body)
        self.lost: float | None = None
        self.left_until = -math.inf
        self.early = 0.0
        self.is_recent = self.is_open = False
        self.why = ""
        self.candidates: tuple[Generation, ...] = ()
        self._plain: str | None = None

    def sends(self, request: Request, extra_body: Mapping[str, Any] | None) -> None:
        """Take note of what it sends in place of what was said before."""
        self._sent = (request, extra_body)

    @property
    def in_flight(self) -> bool:
        """Whether it has left and its answer is awaited."""
        return self.lost is None and self.ending.sent

    @property
    def is_abandoned(self) -> bool:
        """Whether it may have been accepted, and its event loop was closed over it: nobody hears its answer."""
        if self.is_open or not self.ending.sent or not self.home.has_ended:
            return False
        return self.lost is not None or self.ending.outcome in (None, AttemptOutcome.UNKNOWN)

    def mark_open(self, why: str, candidates: Sequence[Generation]) -> None:
        """Take note that nobody waits for it any more, and keep what is worth telling: an upload may be large."""
        if self._sent is not None:
            self.body, self._sent = body_of(*self._sent), None
        self.is_open, self.why, self.candidates = True, why, tuple(candidates)

    @property
    def plain_prompt(self) -> str | None:
        """The prompt as equal requests are told by."""
        if self._plain is None and self.claim.prompt is not None:
            self._plain = plain(self.claim.prompt)
        return self._plain


def as_unresolved(entry: PendingSubmission) -> UnresolvedSubmission:
    """An entry as users see it."""
    claim = entry.claim
    return UnresolvedSubmission(
        entry.body, claim.kind, claim.model, claim.sent_at, claim.lost_at, entry.candidates, entry.why
    )

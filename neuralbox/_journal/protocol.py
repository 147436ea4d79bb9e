"""What a journal is: the words of its records, and the protocol a batch speaks with it.

A journal knows one record for each request, by the caller's key, and moves it along

    planned -> sending -> accepted -> final -> saved

Rules every implementation keeps, and why a batch may rely on them (docs/design/batches-and-journal.md):

- `sending` is durable when the call returns, and the request may leave only then. So a request whose record says
  `planned` never left and may be sent without searching the history.
- `accepted` is durable when the call returns, and nothing else may be done with the id before. A failed write does not
  lose the id: the error carries it (`.job`, and `.unwritten` for all that wait), and the journal keeps the change and
  writes it with whatever it can write next, at the latest when it is closed.
- `plan` tells what was known, and is durable before any `sending` of it.
- `planned_again`, `final` and `saved` wait for nobody. They are written with the next group, at the latest about a
  second later by the next call, or on closing. Losing one to a kill costs a free request to the service:
  a record that stayed `sending` is reconciled, one that stayed `accepted` is waited for, one that stayed `final` is
  downloaded or found on the disk. They never suspend while they can be kept back, so a cancelled caller can still
  make them.
- A change that does not follow from the state (a second `sending` after `accepted`, another id) is refused with
  `JournalError`; nobody else's change suffers from it.
- A call that raises, cancellation included, has made no promise: its change may or may not stand. A `sending` that
  stands although its caller never sent is only slower to settle; an `accepted` is never taken back.
- The time of a record never runs backwards, whatever the machine's clock does.
- Hints (what a webhook said to a process that has the journal not) are beside the records and change none: one that is lost
  or made up costs a poll.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import TracebackType
from typing import Any, Final, Literal, NamedTuple, Protocol, Self, TypeAlias

from .._errors import ConfigurationError
from .._types import GenerationId, JobRef

PLANNED: Final = "planned"
"""Read and written down; never left this machine, or was refused without a charge."""
SENDING: Final = "sending"
"""May have left this machine. Found like this on opening, nobody knows what became of it: `JournalRecord.claim` tells how to settle it."""
ACCEPTED: Final = "accepted"
"""The service gave an id: paid, or will be."""
FINAL: Final = "final"
"""Ended: completed, failed, or given up without a charge; `JournalRecord.outcome` tells."""
SAVED: Final = "saved"
"""Its result stands on the disk, at `JournalRecord.path`."""

STATES: Final = (PLANNED, SENDING, ACCEPTED, FINAL, SAVED)
UNFINISHED: Final = (PLANNED, SENDING, ACCEPTED)
SENT: Final = (SENDING, ACCEPTED)
FINISHED: Final = (FINAL, SAVED)

HINTS_KEPT: Final = 10_000
"""Hints a journal keeps; older ones go."""
_LONGEST: Final = 500_000_000  # characters of a request; SQLite takes half as many again

Sync: TypeAlias = Literal["normal", "full"]
"""What a durable change survives: the killing of the process (`normal`), or the loss of power too (`full`)."""


@dataclass(frozen=True)
class PlannedRequest:
    """Hold a request about to be planned.

    Attributes:
        key: The caller's name for it, unique in the journal.
        request: The request as plain JSON values. It may be secret: a journal keeps it in one column only.
        fingerprint: What must be equal for the request to be the same, where the body alone does not tell (say, the
            content of a file it names). None takes the body's.
        is_again: Whether it may have been planned before since the journal was opened; it then stands as it is.
    """

    key: str
    request: Mapping[str, Any]
    fingerprint: str | None = None
    is_again: bool = False

    @cached_property
    def text(self) -> str:
        """Return the request as canonical JSON: sorted, compact, ASCII, so that equal requests are equal texts.

        Raises:
            ConfigurationError: The request holds something that JSON cannot say.
        """
        try:
            text = to_json(self.request)
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigurationError(f"The request {self.key!r} cannot be written down as JSON: {error}.") from None
        if len(text) > _LONGEST:
            raise ConfigurationError(
                f"The request {self.key!r} is too long to be written down ({len(text)} characters)."
            )
        return text

    @cached_property
    def digest(self) -> str:
        """Return a hash of the fingerprint given, or of the request's text."""
        basis = self.text if self.fingerprint is None else self.fingerprint
        return hashlib.sha256(basis.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """Hold what a journal knows of one request.

    Attributes:
        position: Where it stands in the order of planning, from 1.
        key: The caller's name for it.
        request: The request as it was planned.
        state: `PLANNED`, `SENDING`, `ACCEPTED`, `FINAL` or `SAVED`.
        id: The generation's id, from `ACCEPTED` on; of one that a cache had, the outcome tells it.
        kind: The generation's kind, where it is known.
        model: The generation's model, where it is known.
        claim: In `SENDING`: what `sending` was given.
        outcome: From `FINAL` on: what `final` was given.
        status: The outcome's `status`.
        tokens: The outcome's `tokens`.
        path: In `SAVED`: where the result stands.
        size_bytes: In `SAVED`: its size.
        sent_at: Unix seconds of the last `sending`.
        accepted_at: Unix seconds of `accepted`.
        final_at: Unix seconds of `final`.
        is_foreign: Whether another worker has it at this moment; only of what has not ended, in a journal that many share.
        price: Tokens it was counted with when it was sent, where that is known; a journal that many share counts itself.
    """

    position: int
    key: str
    request: Mapping[str, Any]
    state: str = PLANNED
    id: GenerationId | None = None
    kind: str | None = None
    model: str | None = None
    claim: Mapping[str, Any] | None = None
    outcome: Mapping[str, Any] | None = None
    status: str | None = None
    tokens: int | None = None
    path: str | None = None
    size_bytes: int | None = None
    sent_at: float | None = None
    accepted_at: float | None = None
    final_at: float | None = None
    is_foreign: bool = False
    price: int | None = None

    @property
    def job(self) -> JobRef | None:
        """Return what attaches to the generation again, or None where no id is known."""
        return None if self.id is None else JobRef(self.id, self.kind, self.model)

    @property
    def is_finished(self) -> bool:
        return self.state in FINISHED

    def __repr__(self) -> str:  # the request, the claim and the outcome hold prompts and signed addresses
        return f"<JournalRecord {self.key!r} {self.state}{'' if self.id is None else f' {self.id}'}>"


class JournalMark(NamedTuple):
    """What a journal knows of one request, less the request and its outcome: for who looks often at many.

    Attributes are those of `JournalRecord`, and `worker` is who has it, or had it last, in a journal that many share.
    """

    position: int
    key: str
    state: str
    id: GenerationId | None
    kind: str | None
    model: str | None
    status: str | None
    tokens: int | None
    path: str | None
    sent_at: float | None
    accepted_at: float | None
    final_at: float | None
    worker: int | None = None


RATE_WINDOW: Final = 60.0
"""Seconds over which a rate is taken."""
MARK_SPAN: Final = 256
"""Requests whose marks are read together."""


class JournalHint(NamedTuple):
    """Somebody's word that a generation of a journal may have ended; no fact, and nothing is settled by it.

    Attributes:
        number: Rises from one to the next.
        id: The generation's id, as text.
        event: What tells the event from others.
    """

    number: int
    id: str
    event: str


@dataclass(frozen=True, slots=True)
class JournalMarks:
    """Hold the marks that were asked for.

    Attributes:
        spans: They, by the number of their span and in the order of planning.
        there: How many spans there are.
        total: How many requests there are.
        owner: Who runs the batch at this moment, or one of those who do; None while nobody does.
        workers: All of those, in a journal that many share; their counts are 0.
    """

    spans: Mapping[int, Sequence[JournalMark]]
    there: int
    total: int
    owner: JournalOwner | None
    workers: Sequence[JournalWorker] = ()


@dataclass(frozen=True, slots=True)
class JournalWorker:
    """Say which process works on a journal that many share, and how it is getting on.

    Attributes:
        number: Its number in the journal.
        pid: Its process id.
        host: The name of its machine.
        since: Unix seconds when it opened the journal.
        throttled_until: Until when the account's limits let nothing of it leave, Unix seconds; None where they do.
        throttled_by: What does; see `BatchProgress.throttled_by`.
        in_flight: Requests that it has sent and that have not ended.
        per_minute: How many of its requests ended in the last minute, per minute.
        tokens: What its requests cost that have ended.
    """

    number: int
    pid: int
    host: str
    since: float
    throttled_until: float | None = None
    throttled_by: str = ""
    in_flight: int = 0
    per_minute: float = 0.0
    tokens: int = 0

    def with_share(self, *, in_flight: int, ended: int, tokens: int, now: float) -> JournalWorker:
        """Return it with what it came to; `ended` counts the last `RATE_WINDOW` seconds before `now`."""
        seconds = min(max(1.0, now - self.since), RATE_WINDOW)
        return replace(self, in_flight=in_flight, per_minute=ended * 60.0 / seconds, tokens=tokens)


@dataclass(frozen=True, slots=True)
class JournalOwner:
    """Say which process a journal belongs to.

    Attributes:
        pid: Its process id.
        host: The name of its machine.
        since: Unix seconds when it opened the journal.
    """

    pid: int
    host: str
    since: float


@dataclass(frozen=True, slots=True)
class JournalSummary:
    """Count what is in a journal, each request once.

    Attributes:
        planned: Never sent.
        sending: Sent, and what became of it is unknown (while the batch runs: also just being sent).
        accepted: Paid for and not ended yet.
        final: Ended; nothing saved.
        saved: Ended with the result on the disk.
        completed: Of the ended: with a result.
        tokens: What was charged for the ended ones, and for failures that were tried again.
        first_at: Unix seconds of the first plan, or None.
        last_at: Unix seconds of the last change, or None.
        owner: Who runs it at this moment; None while nobody does.
        service: The address of the service it belongs to.
    """

    planned: int = 0
    sending: int = 0
    accepted: int = 0
    final: int = 0
    saved: int = 0
    completed: int = 0
    tokens: int = 0
    first_at: float | None = None
    last_at: float | None = None
    owner: JournalOwner | None = None
    service: str = ""

    @property
    def total(self) -> int:
        return self.planned + self.sending + self.accepted + self.final + self.saved

    @property
    def unfinished(self) -> int:
        return self.planned + self.sending + self.accepted

    @property
    def failed(self) -> int:
        """Of the ended: without a result."""
        return self.final + self.saved - self.completed


class Journal(Protocol):
    """Keep a record of every request of a batch. For one event loop; the rules are those of this module."""

    async def plan(self, entries: Sequence[PlannedRequest]) -> Sequence[JournalRecord]:
        """Write requests down, and tell what is already known of them.

        Planning many at once is much cheaper than one by one.

        Returns:
            One record for each entry, in their order; a new one is `PLANNED`.

        Raises:
            JournalError: A key stands there with another request (the message names the fields that differ), or was
                planned before since the journal was opened, and `is_again` does not say so. Then none of these entries is written.
            ConfigurationError: A key or a request that cannot be written down.
        """
        ...

    async def sending(
        self, key: str, claim: Mapping[str, Any], *, mark: bytes | None = None, price: int | None = None
    ) -> None:
        """Note that the request is about to leave; durable when it returns. Again before each repetition.

        Args:
            key: Which request.
            claim: How to find out later what became of it.
            mark: Digest of its prompt, for a journal that many share.
            price: Tokens that are set aside for it, where a budget is kept.
        """
        ...

    async def accepted(
        self,
        key: str,
        *,
        id: GenerationId,
        kind: str | None = None,
        model: str | None = None,
        price: int | None = None,
    ) -> None:
        """Note the id of the paid generation; durable when it returns. The same id again changes nothing.

        A price is what it is counted with from now on; None leaves what `sending` was given.
        """
        ...

    async def planned_again(self, key: str) -> None:
        """Take `sending` back: it never left, or was refused without a charge.

        Also for a `FINAL` one that gave no result and is to be tried once more.
        """
        ...

    async def final(self, key: str, outcome: Mapping[str, Any]) -> None:
        """Note the end: a completed or failed generation, or a request given up before it was ever sent.

        Args:
            key: Which request.
            outcome: JSON values. `status` (`completed` is the one with a result) and `tokens` are counted.
        """
        ...

    async def saved(self, key: str, path: str, size_bytes: int) -> None:
        """Note where the result stands on the disk."""
        ...

    def unfinished(self, *, after: int = 0) -> AsyncIterator[JournalRecord]:
        """Iterate over records that have not ended, in the order of planning, from position `after` (exclusive).

        Read page by page, each as it is when it is read; memory does not grow with the journal.
        """
        ...

    def sent(self, *, after: int = 0) -> AsyncIterator[JournalRecord]:
        """Iterate over those of them that were sent, or may have been, likewise."""
        ...

    def finished(self, *, after: int = 0) -> AsyncIterator[JournalRecord]:
        """Iterate over records that have ended, likewise."""
        ...

    async def ids(self, *, since: float = 0.0) -> Sequence[GenerationId]:
        """Return the ids that were accepted at or after `since` (Unix seconds): no other request may adopt them."""
        ...

    async def summary(self) -> JournalSummary: ...

    async def hints(self, *, after: int = 0) -> Sequence[JournalHint]:
        """Return what other processes left about accepted generations behind that number; some may have been had before."""
        ...

    async def flush(self) -> None:
        """Write everything down that is kept back."""
        ...

    async def aclose(self) -> None:
        """Write everything down that is kept back, and close. Closing again does nothing.

        Raises:
            JournalError: Something could not be written; it is closed all the same. `.unwritten` has accepted jobs
                that are nowhere on the disk.
        """
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def to_json(value: object) -> str:
    """Write a value as canonical JSON: ASCII, so that any text survives, half surrogates included."""
    return _canonical.encode(value)


def fingerprint_of(account: str) -> str:
    """Return a hash of whatever names an account, even a key: nothing else of it gets near a disk."""
    return hashlib.sha256(b"neuralbox journal\0" + account.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def require_key(key: object) -> None:
    """Refuse a key that no journal could give back as it is.

    Raises:
        ConfigurationError: It is no text, empty, or holds a NUL or half a surrogate pair.
    """
    if not isinstance(key, str):
        raise ConfigurationError(f"A key is text, not {type(key).__name__}: {key!r}.")
    if not key or "\0" in key or not _is_unicode(key):
        raise ConfigurationError(f"{key!r} cannot be a key: it is empty, or holds a NUL or half a surrogate pair.")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

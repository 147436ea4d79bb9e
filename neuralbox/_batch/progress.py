"""How a batch is getting on: counts by stage, tokens, rate, as one frozen value at a time.

What is replayed from a journal is counted apart: it tells nothing of how fast this run is, nor how far.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from .._budget import Budget
from .._errors import BudgetExceededError
from .._rate_limit.windows import Why
from .._types import PlainValues
from .item import ItemStage
from .outcome import BatchOutcome

_WINDOW = 60.0
"""Seconds over which the rate is taken."""


@dataclass(frozen=True, slots=True)
class BatchProgress(PlainValues):
    """Say how a batch is getting on.

    Attributes:
        total: Requests there will be, where that is known: by the length of what was given, by the journal that is continued,
            or since all were read.
        read: Requests read so far.
        queued: Read and not sent yet.
        sending: On their way to the service; texts and most images are made meanwhile.
        waiting: Accepted, and waited for.
        saving: Finished; the file is being downloaded.
        ready: Finished, and not taken by the loop over the outcomes yet.
        completed: Delivered with a result.
        failed: Delivered with an error.
        resumed: Of both: final before this run.
        tokens_spent: Tokens charged in this run, for what has ended.
        tokens_reserved: Tokens set aside for what is on its way, where there is a budget.
        tokens_over: Tokens charged beyond the budget, because prices were other than announced.
        rate_per_minute: Requests that ended in the last minute of this run, per minute; None before the first.
        eta_seconds: Seconds until all have ended at that rate; None where that cannot be told.
        throttled_until: Until when the account's limits let nothing more leave, Unix seconds; None where they do.
        elapsed_seconds: Seconds since the run began.
        not_sent_budget: Of the failed: not sent, since the budget does not cover them.
        resumed_failed: Of the resumed: those with an error.
        budget_tokens: What may be spent in all, or None without a budget.
        budget_spent: What was spent of it, by earlier runs of the journal and by others that share it too.
        throttled_by: What lets nothing leave until `throttled_until`: `hour` or `day` (that limit of the plan is used up),
            `spread` (the last of a limit is spread over what is left of its time), `asked` (the service asked to wait), or "".
    """

    total: int | None
    read: int
    queued: int
    sending: int
    waiting: int
    saving: int
    ready: int
    completed: int
    failed: int
    resumed: int
    tokens_spent: int
    tokens_reserved: int
    tokens_over: int
    rate_per_minute: float | None
    eta_seconds: float | None
    throttled_until: float | None
    elapsed_seconds: float
    not_sent_budget: int = 0
    resumed_failed: int = 0
    budget_tokens: int | None = None
    budget_spent: int = 0
    throttled_by: Why = ""

    @property
    def done(self) -> int:
        """Requests delivered."""
        return self.completed + self.failed

    @property
    def done_now(self) -> int:
        """Requests delivered that ended in this run."""
        return self.done - self.resumed

    @property
    def total_now(self) -> int | None:
        """Requests that this run has to end, as far as is known; None where `total` is."""
        return None if self.total is None else max(self.total - self.resumed, self.done_now)

    @property
    def failed_now(self) -> int:
        """Requests that failed in this run, those that the budget does not cover left out."""
        return self.failed - self.resumed_failed - self.not_sent_budget


class ProgressCounter:
    """Count for `BatchProgress`; memory does not grow with the requests.

    Args:
        clock: Monotonic seconds.
        total: Requests there will be, or None.

    Attributes:
        in_flight: Requests that were read and not delivered.
        total: Requests there will be, or None; never below those that were read.
        read: Requests read; `completed`, `failed`, `resumed`, `tokens` as in `BatchProgress`.
    """

    def __init__(self, clock: Callable[[], float], total: int | None) -> None:
        self._clock = clock
        self._began = clock()
        self.total = total
        self._stages: Counter[ItemStage] = Counter()
        self._ends: deque[tuple[int, int]] = deque()  # how many ended in which second of the run
        self._ended = 0
        self.in_flight = 0
        self.read = self.completed = self.failed = self.resumed = 0
        self.resumed_failed = self.not_sent_budget = self.tokens = 0

    def move(self, before: ItemStage | None, after: ItemStage | None) -> None:
        """Move one request from a stage to another; None is outside."""
        if before is None:
            self.in_flight += 1
        else:
            self._stages[before] -= 1
        if after is None:
            self.in_flight -= 1
        else:
            self._stages[after] += 1

    def ended(self, tokens: int | None) -> None:
        """Count one that ended in this run, and what it cost."""
        self.tokens += max(0, tokens or 0)
        self._ended += 1
        second = int(self._clock() - self._began)
        if self._ends and self._ends[-1][0] == second:
            self._ends[-1] = second, self._ends[-1][1] + 1
        else:
            self._ends.append((second, 1))
        self._drop_old(second)

    def delivered(self, outcome: BatchOutcome) -> None:
        """Count one that was delivered."""
        if outcome.ok:
            self.completed += 1
        else:
            self.failed += 1
            self.resumed_failed += outcome.resumed
            self.not_sent_budget += isinstance(outcome.error, BudgetExceededError)
        self.resumed += outcome.resumed

    def _drop_old(self, second: float) -> None:
        while self._ends and self._ends[0][0] < second - _WINDOW:
            self._ends.popleft()

    def _rate(self, elapsed: float) -> float | None:
        self._drop_old(elapsed)
        if not self._ended or elapsed <= 0:
            return None
        return sum(count for _, count in self._ends) * 60.0 / min(elapsed, _WINDOW)

    def progress(self, budget: Budget | None = None, throttled: tuple[float, Why] | None = None) -> BatchProgress:
        """Return what it comes to now.

        Args:
            budget: What may be spent, or None.
            throttled: Until when the account's limits let nothing leave (Unix seconds), and which; None where they do.
        """
        elapsed = self._clock() - self._began
        rate = self._rate(elapsed)
        stages, ready = self._stages, self._stages[ItemStage.READY]
        total = None if self.total is None else max(self.total, self.read)
        left = None if total is None else max(0, total - self.completed - self.failed - ready)
        return BatchProgress(
            total=total,
            read=self.read,
            queued=stages[ItemStage.QUEUED],
            sending=stages[ItemStage.SENDING],
            waiting=stages[ItemStage.WAITING],
            saving=stages[ItemStage.SAVING],
            ready=ready,
            completed=self.completed,
            failed=self.failed,
            resumed=self.resumed,
            tokens_spent=self.tokens,
            tokens_reserved=0 if budget is None else budget.reserved,
            tokens_over=0 if budget is None else budget.overrun,
            rate_per_minute=rate,
            eta_seconds=left / rate * 60.0 if rate and left is not None else None,
            throttled_until=None if throttled is None else throttled[0],
            elapsed_seconds=elapsed,
            not_sent_budget=self.not_sent_budget,
            resumed_failed=self.resumed_failed,
            budget_tokens=None if budget is None else budget.tokens,
            budget_spent=0 if budget is None else budget.spent,
            throttled_by="" if throttled is None else throttled[1],
        )

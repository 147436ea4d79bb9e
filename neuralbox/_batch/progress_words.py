"""How a batch's progress is said, alike in a terminal, in a notebook, in a report and by `neuralbox watch`.

The most important comes first: what is narrow cuts the end, or wraps between two phrases.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from .._plain_text import plain

if TYPE_CHECKING:  # the command line says these words without a client
    from .._journal import JournalWorker
    from .progress import BatchProgress

NOT_SENT: Final = "not sent (budget)"
_HELD: Final[Mapping[str, str]] = {
    "": "held back until",
    "hour": "hourly limit used up until",
    "day": "daily limit used up until",
    "spread": "limit nearly used up, next at",
    "asked": "service asked to wait until",
}


def phrases(seen: BatchProgress) -> Sequence[str]:
    """Say how a batch is getting on, without its count."""
    parts = []
    held = throttle_words(seen)
    if held is not None:
        parts.append(held)
    if seen.eta_seconds:
        parts.append(f"{duration(seen.eta_seconds)} left")
    if seen.rate_per_minute is not None:
        parts.append(rate_words(seen.rate_per_minute))
    parts.append(spent_words(seen.tokens_spent, seen.budget_spent, seen.budget_tokens))
    counts = (
        (seen.failed_now, "failed"),
        (seen.not_sent_budget, NOT_SENT),
        (seen.waiting, "waiting"),
        (seen.sending, "sending"),
        (seen.saving, "saving"),
        (seen.queued, "queued"),
        (seen.resumed, "from before"),
    )
    return [*parts, *(f"{count:,} {name}" for count, name in counts if count)]


def throttle_words(seen: BatchProgress) -> str | None:
    """Say what lets nothing leave, and until when by the clock on the wall; None where nothing does."""
    return None if seen.throttled_until is None else held_words(seen.throttled_until, seen.throttled_by)


def held_words(until: float, by: str, *, is_utc: bool = False) -> str:
    """Say what lets nothing leave until then, Unix seconds."""
    moment, zone = (time.gmtime(until), " UTC") if is_utc else (time.localtime(until), "")
    return f"{_HELD.get(by, _HELD[''])} {time.strftime('%H:%M:%S', moment)}{zone}"


def worker_phrases(worker: JournalWorker, *, is_utc: bool = False) -> Sequence[str]:
    """Say of a worker of a shared journal who it is and how it is getting on, the most important first."""
    parts = [f"{plain(worker.host)}:{worker.pid}"]
    if worker.throttled_until is not None:
        parts.append(held_words(worker.throttled_until, worker.throttled_by, is_utc=is_utc))
    return [*parts, f"{worker.in_flight:,} in flight", rate_words(worker.per_minute), f"{worker.tokens:,} tokens"]


def rate_words(per_minute: float) -> str:
    """Say how many jobs end in a minute; of slow ones, in an hour."""
    if 0 < per_minute < 1:
        return f"{per_minute * 60:.0f} jobs/h"
    return f"{per_minute:,.0f} jobs/min"


def spent_words(tokens: int, budget_spent: int, budget: int | None) -> str:
    """Say what was spent: of the budget where there is one, else by this run."""
    if budget is None:
        return f"{tokens:,} tokens"
    return f"{budget_spent:,} of {budget:,} tokens"


def wrapped(parts: Sequence[str], width: int) -> Sequence[str]:
    """Put phrases on lines of so many characters; none is broken, and one that is too long is cut."""
    lines: list[str] = []
    for part in parts:
        joined = f"{lines[-1]} · {part}" if lines else part
        if lines and len(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(part if len(part) <= width else f"{part[: width - 1]}…")
    return lines


def duration(seconds: float) -> str:
    """Say how long: `0:07`, `12:00`, `3:05:00`."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def raise_budget_command(journal: str | os.PathLike[str], options: Sequence[str] = ()) -> str:
    """Return the command that goes on with more to spend, with the caller's own options."""
    return f"neuralbox batch resume {shlex.join([os.fspath(journal), *options])} --budget TOKENS"


def settle_command(journal: str, key: str, generation_id: str | None = None, options: Sequence[str] = ()) -> str:
    """Return the command that adopts a generation for a request of unknown outcome; `ID` where it is not known."""
    adopt = f"--adopt {'ID' if generation_id is None else shlex.quote(generation_id)}"
    # A key that looks like an option stands last, behind what ends them.
    named = f"{adopt} -- {shlex.quote(key)}" if key.startswith("-") else f"{shlex.quote(key)} {adopt}"
    return f"neuralbox batch settle {shlex.join([journal, *options])} {named}"


def not_sent_line(journal: str | os.PathLike[str], count: int, options: Sequence[str] = ()) -> str:
    """Say how many a budget did not cover, and the command that raises it."""
    return f"{count:,} {NOT_SENT}; to raise it:  {raise_budget_command(journal, options)}"

"""What a journal comes to, said once: as lines for people, and as JSON values."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from .._batch.progress_words import (
    NOT_SENT,
    duration,
    not_sent_line,
    rate_words,
    spent_words,
    worker_phrases,
    wrapped,
)
from .journal_view import ViewCounts

_WIDE: Final = 1_000
"""Columns of a line that nobody breaks."""


def state_words(counts: ViewCounts) -> str:
    """Say whether somebody runs the batch."""
    if len(counts.workers) > 1:
        return f"running: {len(counts.workers)} workers"
    if counts.owner is not None:
        return f"running: process {counts.owner.pid} on {counts.owner.host}"
    return "ended" if counts.total and counts.ended == counts.total else "stopped"


def count_words(counts: ViewCounts) -> str:
    """Say how many have ended, of how many."""
    share = f", {counts.ended * 100 // counts.total} %" if counts.total else ""
    return f"{counts.ended:,} of {counts.total:,}{share}"


def view_phrases(counts: ViewCounts) -> Sequence[str]:
    """Say the rest, the most important first."""
    parts = []
    if counts.eta_seconds is not None:
        parts.append(f"{duration(counts.eta_seconds)} left")
    if counts.rate_per_minute is not None:
        parts.append(rate_words(counts.rate_per_minute))
    parts.append(spent_words(counts.tokens, counts.tokens, counts.budget))
    running = counts.owner is not None
    numbers = (
        (counts.failed, "failed"),
        (counts.not_sent, NOT_SENT),
        (counts.sending, "sending" if running else "unknown"),
        (counts.accepted, "waiting" if running else "accepted, not ended"),
        (counts.planned - counts.not_sent, "not sent yet"),
        (counts.saved, "saved"),
    )
    parts += [f"{count:,} {name}" for count, name in numbers if count > 0]
    if counts.seconds is not None:
        parts.append(f"{'since' if running else 'in'} {duration(counts.seconds)}")
    return parts


def worker_lines(counts: ViewCounts, *, width: int, most: int) -> Sequence[str]:
    """Say how the workers of a shared journal are getting on: each where there are several, one that is held up."""
    workers = counts.workers
    if len(workers) == 1 and workers[0].throttled_until is None:
        return []
    # Who is held up comes first, then who has the most under way.
    order = sorted(workers, key=lambda worker: (worker.throttled_until is None, -worker.in_flight, worker.number))
    lines = [line for worker in order[:most] for line in wrapped(worker_phrases(worker), width)]
    return [*lines, f"and {len(order) - most} more workers"] if len(order) > most else lines


def advice_lines(journal: str | os.PathLike[str], counts: ViewCounts, options: Sequence[str] = ()) -> Sequence[str]:
    """Say what to do about a batch that nobody runs and that has not ended, with the caller's own options."""
    if counts.owner is not None or not counts.total:
        return []
    name = shlex.join([os.fspath(journal), *options])
    lines = []
    if counts.sending:
        lines.append(f"Unknown whether accepted: {counts.sending:,}. To look for them:  neuralbox reconcile {name}")
    if counts.not_sent:
        lines.append(not_sent_line(journal, counts.not_sent, options))
    elif counts.ended < counts.total and not counts.unread:
        lines.append(f"To continue:  neuralbox batch resume {name}")
    return lines


def summary_lines(journal: str | os.PathLike[str], counts: ViewCounts, options: Sequence[str] = ()) -> Sequence[str]:
    """Return all of it as lines."""
    return [
        f"{state_words(counts)}, {count_words(counts)}",
        ", ".join(view_phrases(counts)),
        *worker_lines(counts, width=_WIDE, most=len(counts.workers)),
        *advice_lines(journal, counts, options),
    ]


def summary_values(counts: ViewCounts) -> Mapping[str, Any]:
    """Return all of it as JSON values."""
    owner = counts.owner
    numbers = {
        name: getattr(counts, name)
        for name in (
            *("total", "planned", "sending", "accepted", "completed", "failed", "saved", "tokens"),
            *("budget", "rate_per_minute", "eta_seconds", "seconds"),
        )
    }
    running = None if owner is None else {"pid": owner.pid, "host": owner.host, "since": owner.since}
    workers = [asdict(worker) for worker in counts.workers]
    return {**numbers, "not_sent_budget": counts.not_sent, "running": running, "workers": workers}

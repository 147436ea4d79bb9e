"""When files go: what an error says of one that is gone, and the warning before one goes.

Documented are days by plan (NeuralBox) or a time in the record (GeminiGen); `Generation.expires_at` reads both. The
account's plan is known only where the caller names it; without it the rule is told, and what the file's age says.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Final

from .._core.exchange import Core
from .._errors import ExpiredFileError
from .source import FileSource

logger = logging.getLogger("neuralbox")

SOON: Final = timedelta(days=3)
"""A file that goes within this time is warned of."""


def warn_if_soon(core: Core, source: FileSource, plan: str | None) -> None:
    """Log a warning where a file is about to expire."""
    due = _due(source, plan)
    if due is not None and timedelta(0) < (left := due - _now(core)) <= SOON:
        hours = left.total_seconds() / 3600
        logger.warning("The file of the %s expires on %s, in %.0f hours", source.job, _shown(due), hours)


def kept_until(source: FileSource, plan: str | None) -> str:
    """Say how long there is to try again; "" where nobody knows."""
    due = _due(source, plan)
    return "" if due is None else f" It is kept until {_shown(due)}."


def expired(core: Core, source: FileSource, plan: str | None, status: int) -> ExpiredFileError:
    """Build the error of a file that is not there (404, 410)."""
    due = _due(source, plan)
    said = [f"The storage has no file {source.shown} (HTTP {status})."]
    made = source.generation and (source.generation.completed_at or source.generation.created_at)
    if due is not None:
        of_plan = f" (plan {plan})" if plan else ""
        tense = "was kept until" if due <= _now(core) else "should have been kept until"
        said.append(f"It {tense} {_shown(due)}{of_plan}.")
    elif source.generation is not None:
        said.append(core.options.service.retention)
    if made:
        said.append(f"This one is of {made:%Y-%m-%d}.")
    text = " ".join(filter(None, said))
    return ExpiredFileError(text, status_code=status, plan=plan, expired_at=due, job=source.job)


def _due(source: FileSource, plan: str | None) -> datetime | None:
    return None if source.generation is None else source.generation.expires_at(plan)


def _now(core: Core) -> datetime:
    return datetime.fromtimestamp(core.now(), UTC)


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"

"""What `batch run` was told beside its requests, kept in the journal so that `batch resume` needs nothing else.

It stands in the journal's own table of facts, under a name of ours: where the files go, and what may be spent. The key
is never there, and neither is the address of the service: a journal that somebody else made must not decide where a key
is sent.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path

_NAME = "command_line"


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """What a batch was told.

    Attributes:
        to: Directory for the files, absolute; None downloads nothing.
        budget: Most tokens to spend, or None.
    """

    to: str | None = None
    budget: int | None = None

    def changed(self, to: Path | None, budget: int | None) -> BatchSettings:
        """Return these settings with what a later run was told."""
        return BatchSettings(self.to if to is None else os.path.abspath(to), self.budget if budget is None else budget)  # noqa: PTH100 - `resolve` follows links


def recall(journal: Path) -> BatchSettings:
    """Read what a journal's batch was told; nothing where it was not told by a command line.

    Args:
        journal: A file that is known to be a journal.
    """
    from .._journal import facts

    found = facts(journal).get(_NAME)
    if not isinstance(found, dict):  # of a version that knows another way
        return BatchSettings()
    to, budget = found.get("to"), found.get("budget")
    return BatchSettings(to if isinstance(to, str) else None, budget if type(budget) is int else None)


def remember(journal: Path, settings: BatchSettings) -> None:
    """Write it into a journal that is open in this process.

    Raises:
        JournalError: It cannot be written.
    """
    from .._journal import remember as remember_fact

    remember_fact(journal, _NAME, asdict(settings))

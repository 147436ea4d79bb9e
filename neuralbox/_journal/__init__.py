"""The journal of a batch: what it is (`protocol`), over any store (`grouped`), or over one that many share (`shared`).

The stores are a file (`sqlite`) and a database (`postgres`).
"""

from __future__ import annotations

from .opening import account_name, open_account_journal, open_journal
from .postgres.address import is_address
from .protocol import (
    ACCEPTED,
    FINAL,
    FINISHED,
    PLANNED,
    SAVED,
    SENDING,
    STATES,
    UNFINISHED,
    Journal,
    JournalMark,
    JournalMarks,
    JournalOwner,
    JournalRecord,
    JournalSummary,
    PlannedRequest,
    Sync,
)
from .reading import facts, read_records, read_summary, remember
from .sqlite.reading import read_marks

__all__ = [
    "ACCEPTED",
    "FINAL",
    "FINISHED",
    "PLANNED",
    "SAVED",
    "SENDING",
    "STATES",
    "UNFINISHED",
    "Journal",
    "JournalMark",
    "JournalMarks",
    "JournalOwner",
    "JournalRecord",
    "JournalSummary",
    "PlannedRequest",
    "Sync",
    "account_name",
    "facts",
    "is_address",
    "open_account_journal",
    "open_journal",
    "read_marks",
    "read_records",
    "read_summary",
    "remember",
]

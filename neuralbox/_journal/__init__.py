"""The journal of a batch: what it is (`protocol`), over any store (`grouped`), and the store in SQLite (`sqlite`)."""

from __future__ import annotations

from .opening import account_name, open_account_journal, open_journal
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
from .sqlite.facts import facts, remember
from .sqlite.reading import read_marks, read_records, read_summary

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
    "open_account_journal",
    "open_journal",
    "read_marks",
    "read_records",
    "read_summary",
    "remember",
]

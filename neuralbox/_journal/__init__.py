"""The journal of a batch: what it is (`protocol`), in memory (`memory`), and in SQLite (everything else)."""

from __future__ import annotations

from .memory import MemoryJournal
from .opening import open_journal
from .protocol import (
    ACCEPTED,
    FINAL,
    FINISHED,
    PLANNED,
    SAVED,
    SENDING,
    UNFINISHED,
    Journal,
    JournalOwner,
    JournalRecord,
    JournalSummary,
    PlannedRequest,
    Sync,
)
from .sqlite.reading import read_records, read_summary

__all__ = [
    "ACCEPTED",
    "FINAL",
    "FINISHED",
    "PLANNED",
    "SAVED",
    "SENDING",
    "UNFINISHED",
    "Journal",
    "JournalOwner",
    "JournalRecord",
    "JournalSummary",
    "MemoryJournal",
    "PlannedRequest",
    "Sync",
    "open_journal",
    "read_records",
    "read_summary",
]

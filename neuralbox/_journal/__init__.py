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
    MARK_SPAN,
    PLANNED,
    RATE_WINDOW,
    SAVED,
    SENDING,
    STATES,
    UNFINISHED,
    Journal,
    JournalHint,
    JournalMark,
    JournalMarks,
    JournalOwner,
    JournalRecord,
    JournalSummary,
    JournalWorker,
    PlannedRequest,
    Sync,
)
from .reading import (
    HintReader,
    MarkReader,
    facts,
    leave_hint,
    mark_reader,
    read_records,
    read_summary,
    read_workers,
    remember,
    require_journal,
)

__all__ = [
    "ACCEPTED",
    "FINAL",
    "FINISHED",
    "MARK_SPAN",
    "PLANNED",
    "RATE_WINDOW",
    "SAVED",
    "SENDING",
    "STATES",
    "UNFINISHED",
    "HintReader",
    "Journal",
    "JournalHint",
    "JournalMark",
    "JournalMarks",
    "JournalOwner",
    "JournalRecord",
    "JournalSummary",
    "JournalWorker",
    "MarkReader",
    "PlannedRequest",
    "Sync",
    "account_name",
    "facts",
    "is_address",
    "leave_hint",
    "mark_reader",
    "open_account_journal",
    "open_journal",
    "read_records",
    "read_summary",
    "read_workers",
    "remember",
    "require_journal",
]

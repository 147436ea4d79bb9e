"""A live view of a batch, from its journal alone: no key, no service, whoever runs it.

`journal_view` keeps up with the journal by reading little of it at a time, `screen` draws what it knows (textual), and
`summary` says it once, for those who have no terminal.
"""

from __future__ import annotations

from .journal_view import JournalView, ViewCounts
from .summary import summary_lines, summary_values

__all__ = ["JournalView", "ViewCounts", "summary_lines", "summary_values"]

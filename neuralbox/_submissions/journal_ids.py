"""Tell the registry what a journal knows to be ours, before what it holds as unknown is looked for in the history.

A generation of ours that the history shows with its whole prompt is also what makes the history believed when it does
not show another, so those that were sent around the same time are named with their prompts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .claim import Claim
from .owned import MOST_OWNED
from .registry import Registry

if TYPE_CHECKING:
    from .._journal.protocol import Journal, JournalRecord

_AROUND: Final = 500
"""Records before the first unknown one that are named with their prompts."""
_EARLIER: Final = 60.0
"""Seconds before the first unknown one was sent from which on all ids are named; where its time is sure."""


async def register_journal_ids(
    registry: Registry, journal: Journal, prompt_of: Callable[[JournalRecord], str | None]
) -> None:
    """Tell a registry what belongs to whom; does nothing where nothing is unknown, or the journal is a shared one.

    Args:
        registry: The account's.
        journal: An open one.
        prompt_of: Reads from a record the prompt that the history would show.
    """
    from .._journal.protocol import SENDING  # SQLite is loaded by the first journal
    from .._journal.shared import shared_of

    if shared_of(journal) is not None or not (await journal.summary()).sending:
        return  # a shared one is asked after each walk what it knows of that
    first: JournalRecord | None = None
    is_dated = True
    async for record in journal.unfinished():
        if record.state == SENDING:
            first = first or record
            is_dated = is_dated and Claim.from_dict(record.claim or {}).server_offset is not None
        _own(registry, record, prompt_of)
    assert first is not None
    async for record in journal.finished(after=max(0, first.position - _AROUND)):
        _own(registry, record, prompt_of)
    ids = await journal.ids(since=max(0.0, (first.sent_at or 0.0) - _EARLIER) if is_dated else 0.0)
    for generation_id in ids[-MOST_OWNED:]:
        registry.own(generation_id)


def _own(registry: Registry, record: JournalRecord, prompt_of: Callable[[JournalRecord], str | None]) -> None:
    if record.id is not None:
        registry.own(record.id, kind=record.kind, model=record.model, prompt=prompt_of(record))

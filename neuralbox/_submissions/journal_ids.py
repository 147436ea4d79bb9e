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
_LATELY: Final = 120.0
"""Seconds before now from which on all ids are named, also where nothing is unknown: else they were a stranger's for what is sent next."""


async def register_journal_ids(
    registry: Registry, journal: Journal, prompt_of: Callable[[JournalRecord], str | None]
) -> None:
    """Tell a registry what belongs to whom; does nothing where the journal is a shared one.

    Args:
        registry: The account's.
        journal: An open one.
        prompt_of: Reads from a record the prompt that the history would show.
    """
    from .._journal.protocol import SENDING  # SQLite is loaded by the first journal
    from .._journal.shared import shared_of

    if shared_of(journal) is not None:
        return  # it is asked after each walk what it knows of that
    found, lately = await journal.summary(), registry.now() - _LATELY
    if not found.sending:
        if found.last_at is not None and found.last_at >= lately:
            await _own_ids(registry, journal, since=lately)
        return
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
    await _own_ids(registry, journal, since=max(0.0, (first.sent_at or 0.0) - _EARLIER) if is_dated else 0.0)


async def _own_ids(registry: Registry, journal: Journal, *, since: float) -> None:
    for generation_id in (await journal.ids(since=since))[-MOST_OWNED:]:
        registry.own(generation_id)


def _own(registry: Registry, record: JournalRecord, prompt_of: Callable[[JournalRecord], str | None]) -> None:
    if record.id is not None:
        registry.own(record.id, kind=record.kind, model=record.model, prompt=prompt_of(record))

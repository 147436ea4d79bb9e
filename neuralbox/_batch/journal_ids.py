"""Before a journal's unknown submissions are looked for in the history: what of it is known to belong to others.

A generation of ours that the history shows with its whole prompt is also what makes the history believed when it does
not show another, so those that were sent around the same time are named with their prompts.
"""

from __future__ import annotations

from .._core.exchange import Core
from .._errors import ConfigurationError
from .._journal.protocol import SENDING, Journal, JournalRecord
from .._requests.json_lines import request_from_dict
from .._submissions.claim import Claim, claim_of
from .._submissions.registry import MOST_OWNED, registry_of

_AROUND = 256
"""Records before the first unknown one that are named with their prompts."""
_EARLIER = 60.0
"""Seconds before the first unknown one was sent from which on all ids are named; where its time is sure."""


async def register_journal_ids(core: Core, journal: Journal) -> None:
    """Tell the account's registry what belongs to whom; does nothing where nothing is unknown."""
    if not (await journal.summary()).sending:
        return
    first: JournalRecord | None = None
    is_dated = True
    async for record in journal.unfinished():
        if record.state == SENDING:
            first = first or record
            is_dated = is_dated and Claim.from_dict(record.claim or {}).server_offset is not None
        _own(core, record)
    assert first is not None
    async for record in journal.finished(after=max(0, first.position - _AROUND)):
        _own(core, record)
    ids = await journal.ids(since=max(0.0, (first.sent_at or 0.0) - _EARLIER) if is_dated else 0.0)
    for generation_id in ids[-MOST_OWNED:]:
        registry_of(core).own(generation_id)


def _own(core: Core, record: JournalRecord) -> None:
    if record.id is None:
        return
    prompt = None
    try:
        request = request_from_dict(record.request)
        wire = request.build(core.options.dialect)
    except ConfigurationError:  # of a version that knew more, or spoke another dialect
        pass
    else:
        prompt = claim_of(wire, request.extra_body, key="", kind=request.kind, model=request.model).prompt
    registry_of(core).own(record.id, kind=record.kind, model=record.model, prompt=prompt)

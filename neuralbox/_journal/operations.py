"""What is queued for a journal's file: marks, plans, looks and the end; with the statement of each mark.

The guard in each statement is the table `FOLLOWS` of `rules` in SQL: a mark that does not follow changes no row.
Values are given in the order of the statement's question marks; the key comes last.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from .._types import GenerationId, JobRef
from . import transitions
from .group_commit import CommitItem
from .protocol import ACCEPTED, FINAL, PLANNED, SAVED, SENDING, JournalRecord, PlannedRequest

T = TypeVar("T")

_PROMPT_AT = "coalesce(instr((SELECT request FROM requests AS q WHERE q.position = records.position), ?), 0)"
_OPEN = "state IN ('planned', 'sending')"

STATEMENTS: Final[Mapping[str, str]] = {
    # The claim goes without its prompt where the request has that word for word (see `schema`).
    SENDING: f"""UPDATE records SET state = 'sending', sent_at = ?, prompt_at = {_PROMPT_AT},
        claim = CASE {_PROMPT_AT} WHEN 0 THEN ? ELSE ? END WHERE {_OPEN} AND key = ?""",  # noqa: S608 - constants
    # The same id again changes nothing, and counts as made.
    ACCEPTED: f"""UPDATE records SET state = CASE WHEN {_OPEN} THEN 'accepted' ELSE state END,
        accepted_at = CASE WHEN {_OPEN} THEN ? ELSE accepted_at END,
        id = ?, kind = coalesce(?, kind), model = coalesce(?, model), claim = NULL, prompt_at = 0
        WHERE ({_OPEN} OR id IS ?) AND key = ?""",  # noqa: S608
    PLANNED: f"""UPDATE records SET state = 'planned', claim = NULL, prompt_at = 0, id = NULL, kind = NULL, model = NULL,
        status = NULL, tokens = NULL, sent_at = NULL, accepted_at = NULL, final_at = NULL
        WHERE ({_OPEN} OR state = 'final' AND status IS NOT '{transitions.COMPLETED}') AND key = ?""",  # noqa: S608
    FINAL: """UPDATE records SET state = 'final', final_at = ?, status = ?, tokens = ?
        WHERE state IN ('planned', 'accepted', 'final') AND key = ?""",
    SAVED: """UPDATE records SET state = 'saved', saved_at = ?, path = ?, size_bytes = ?
        WHERE state IN ('final', 'saved') AND key = ?""",
}

OUTCOME: Final = """INSERT OR REPLACE INTO outcomes (position, outcome)
    SELECT position, ? FROM records WHERE state = 'final' AND key = ?"""
"""Goes with each `FINAL`."""


class StateChange(CommitItem):
    """One mark on one record.

    Attributes:
        state: Which mark, by the state it leads to.
        values: For the mark's statement.
        outcome: Of `FINAL`: the outcome as JSON.
        job: Of `ACCEPTED`: the paid generation.
    """

    __slots__ = ("job", "outcome", "state", "values")

    def __init__(self, state: str, *values: object, outcome: str = "", job: JobRef | None = None) -> None:
        # A `sending` that could not be written keeps its request from leaving. All others are facts, and are written
        # when that is possible again.
        super().__init__(keep=state != SENDING)
        self.state = state
        self.values = values
        self.outcome = outcome
        self.job = job

    @property
    def key(self) -> str:
        return str(self.values[-1])


class PlanRequests(CommitItem):
    """Requests to be written down; `found` is what became known of them, in their order."""

    __slots__ = ("at", "entries", "found")

    def __init__(self, entries: Sequence[PlannedRequest], at: float) -> None:
        super().__init__()
        self.entries = entries
        self.at = at
        self.found: list[JournalRecord] = []


class Query(CommitItem, Generic[T]):
    """A question to the file, asked when all that was queued before is written."""

    __slots__ = ("answer", "ask")

    answer: T

    def __init__(self, ask: Callable[[], T]) -> None:
        super().__init__()
        self.ask = ask


class Close(CommitItem):
    """Closes the file when all else is written, and also when it cannot be."""

    __slots__ = ("at",)

    def __init__(self, at: float) -> None:
        super().__init__(keep=True, last=True)
        self.at = at


# The marks, from the words of the protocol.


def sending(key: str, claim: Mapping[str, Any], at: float) -> StateChange:
    prompt = claim.get("prompt")
    if not (isinstance(prompt, str) and prompt):
        return StateChange(SENDING, at, None, None, _json(claim), None, key)
    literal = _json(prompt)
    rest = _json({name: value for name, value in claim.items() if name != "prompt"})
    whole = f'{{"prompt":{literal}{"," if len(rest) > 2 else ""}{rest[1:]}'
    return StateChange(SENDING, at, literal, literal, whole, rest, key)


def accepted(key: str, job: JobRef, at: float) -> StateChange:
    number = _id(job.id)
    return StateChange(ACCEPTED, at, number, _text(job.kind), _text(job.model), number, key, job=job)


def planned_again(key: str) -> StateChange:
    return StateChange(PLANNED, key)


def final(key: str, outcome: Mapping[str, Any], at: float) -> StateChange:
    status, tokens = transitions.status_of(outcome), transitions.tokens_of(outcome)
    return StateChange(FINAL, at, _text(status), tokens, key, outcome=_json(outcome))


def saved(key: str, path: str, size_bytes: int, at: float) -> StateChange:
    return StateChange(SAVED, at, path if _text(path) == path else os.fsencode(path), size_bytes, key)


def _json(value: object) -> str:
    """Write what happened, whatever is in it: a fact is better told a little wrong than not at all."""
    return _lenient.encode(value)


_lenient = json.JSONEncoder(separators=(",", ":"), default=str)


def _text(text: str | None) -> str | None:
    """Half a surrogate pair is valid in Python and in JSON, and nowhere else."""
    return None if text is None else text.encode("utf-8", "replace").decode()


def _id(id: GenerationId) -> GenerationId:
    """SQLite's integers have 64 bits; an id beyond them is as good as text, for it only goes into paths."""
    if isinstance(id, str):
        return id.encode("utf-8", "replace").decode()
    return id if -(2**63) <= id < 2**63 else str(id)

"""The SQL of each change of state; values are bound by the names that `operations` gives them.

The guards are drawn from `transitions.FOLLOWS`: a change that does not follow from a record's state changes no row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from ..protocol import ACCEPTED, FINAL, PLANNED, SAVED, SENDING
from ..transitions import COMPLETED, FOLLOWS


def _in(states: Sequence[str]) -> str:
    return f"state IN ({', '.join(repr(state) for state in states)})"


_PROMPT_AT = "coalesce(instr((SELECT request FROM requests AS q WHERE q.position = records.position), :prompt), 0)"
_OPEN = _in(FOLLOWS[SENDING])

# ruff: noqa: S608 - built of constants
STATEMENTS: Final[Mapping[str, str]] = {
    # The claim goes without its prompt where the request has that word for word (see `schema`).
    SENDING: f"""UPDATE records SET state = 'sending', sent_at = :at, price = :price, prompt_at = {_PROMPT_AT},
        claim = CASE {_PROMPT_AT} WHEN 0 THEN :claim ELSE :rest END WHERE {_OPEN} AND key = :key""",
    # The same id again changes nothing, and counts as made.
    ACCEPTED: f"""UPDATE records SET state = CASE WHEN {_OPEN} THEN 'accepted' ELSE state END,
        accepted_at = CASE WHEN {_OPEN} THEN :at ELSE accepted_at END,
        price = coalesce(:price, price), id = :id, kind = coalesce(:kind, kind), model = coalesce(:model, model), claim = NULL,
        prompt_at = 0
        WHERE ({_OPEN} OR id IS :id) AND {_in(FOLLOWS[ACCEPTED])} AND key = :key""",
    PLANNED: f"""UPDATE records SET state = 'planned', claim = NULL, prompt_at = 0, id = NULL, kind = NULL, model = NULL,
        status = NULL, charged_before = charged_before + coalesce(tokens, 0), tokens = NULL, sent_at = NULL,
        accepted_at = NULL, final_at = NULL, price = NULL
        WHERE {_in(FOLLOWS[PLANNED])} AND NOT (state = 'final' AND status IS '{COMPLETED}') AND key = :key""",
    FINAL: f"""UPDATE records SET state = 'final', final_at = :at, status = :status, tokens = :tokens
        WHERE {_in(FOLLOWS[FINAL])} AND key = :key""",
    SAVED: f"""UPDATE records SET state = 'saved', saved_at = :at, path = :path, size_bytes = :size_bytes
        WHERE {_in(FOLLOWS[SAVED])} AND key = :key""",
}

OUTCOME: Final = """INSERT OR REPLACE INTO outcomes (position, outcome)
    SELECT position, :outcome FROM records WHERE state = 'final' AND key = :key"""
"""Goes with each `FINAL`."""

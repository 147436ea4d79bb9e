"""Reading GeminiGen's values and envelopes; pure, and nothing here raises.

As `_api.fields`, with two differences: `""` is how this service writes "none", and a state must be a whole number,
never a rounded one. Three envelopes are in use, and a record or a list is found in each of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._api import gemini_vocabulary as gemini
from .._api.fields import as_id, as_number, as_object, as_text

_WRAPPERS = ("result", "data")
_LISTS = ("result", "data", "items")
_END_WORDS = gemini.COMPLETED_WORDS | gemini.FAILED_WORDS


def text(value: object) -> str | None:
    """Read text; `""` is absence."""
    return as_text(value) or None


def uuid(value: object) -> str | None:
    """Read what names a record; a number is written out, and what can name nothing is absence."""
    found = as_id(value)
    return None if found is None else str(found)


def status_of(record: Mapping[str, Any]) -> tuple[int | None, str | None]:
    """Read a state: the whole number, and the word for it, which may stand in place of the number."""
    said, word = record.get("status"), text(record.get("status_desc"))
    whole = integer(said)
    if whole is None and isinstance(said, str) and (word is None or folded(said) in _END_WORDS):
        word = text(said)
    return whole, word


def folded(word: str | None) -> str:
    """Write a word as words are compared."""
    return (word or "").strip().casefold()


def number(value: object) -> float | None:
    """Read a finite number, none that is too large for one; a whole one stays one."""
    read = as_number(value)
    return read if read is None or (whole := integer(value)) is None else whole


def integer(value: object) -> int | None:
    """Read a whole number; what has a fraction is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    read = as_number(value)
    return int(read) if read is not None and read.is_integer() else None


def objects(value: object) -> Sequence[Mapping[str, Any]]:
    """Read an array of objects; missing, null, empty and anything else are alike."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


# Envelopes.


def unwrap(reply: Mapping[str, Any]) -> Mapping[str, Any]:
    """Find the record in a reply: bare, or inside `result` or `data`."""
    if "uuid" in reply:
        return reply
    return next((inner for name in _WRAPPERS if (inner := as_object(reply.get(name))) is not None), reply)


def find_list(reply: object) -> Sequence[Mapping[str, Any]] | None:
    """Find the list in a reply: bare, or under `result`, `data` or `items`; None where there is none.

    A null where the list would be is an empty one.
    """
    if isinstance(reply, list):
        return objects(reply)
    record = as_object(reply) or {}
    found = next((record[name] for name in _LISTS if isinstance(record.get(name), list)), None)
    if found is not None:
        return objects(found)
    return [] if any(name in record and record[name] is None for name in _LISTS) else None

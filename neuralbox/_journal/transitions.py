"""The rules of a journal: which change of state may follow which state, and how requests differ.

    state                        change     next
    planned, sending             planned    planned
    planned, sending             sending    sending
    planned, sending             accepted   accepted
    accepted, final, saved       accepted   as it was; only with the same id
    planned, accepted, final     final      final
    final                        planned    planned; only where it gave no result
    final, saved                 saved      saved

Never from `sending` to `final`: that would hide a charge nobody knows of. Every store draws its guards from `FOLLOWS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from .._errors import JournalError
from .._types import GenerationId, JobRef
from .protocol import ACCEPTED, FINAL, PLANNED, SAVED, SENDING

COMPLETED: Final = "completed"
_SHOWN = 8  # fields named in a message; a request with more differences is simply another one

FOLLOWS: Final[Mapping[str, Sequence[str]]] = {
    # change -> the states it may follow
    PLANNED: (PLANNED, SENDING, FINAL),
    SENDING: (PLANNED, SENDING),
    ACCEPTED: (PLANNED, SENDING, ACCEPTED, FINAL, SAVED),
    FINAL: (PLANNED, ACCEPTED, FINAL),
    SAVED: (FINAL, SAVED),
}


def refusal(
    key: str, change: str, state: str | None, id: GenerationId | None, *, path: str | None, job: JobRef | None
) -> JournalError:
    """Say why a change does not follow; `state` None means that the key was never planned."""
    if state is None:
        why, reason = f"The request {key!r} was never planned, so it cannot be {change!r}.", "state"
    elif state == SENDING:
        why, reason = (
            f"The request {key!r} was sent and what became of it is unknown, so it cannot be {change!r}: settle it first.",
            "state",
        )
    else:
        known = "" if id is None else f" as {id}"
        why, reason = f"The request {key!r} is {state!r}{known} already, so it cannot be {change!r}.", "state"
    if job is not None:
        why += f" The {job} is paid for and not in the journal: keep its id."
    return JournalError(why, reason=reason, path=path, key=key, job=job)


def duplicate(key: str, *, path: str | None) -> JournalError:
    """Say that a key is given twice."""
    return JournalError(
        f"The key {key!r} is given to two requests. Give each request its own key.",
        reason="duplicate",
        path=path,
        key=key,
    )


def changed(key: str, before: Mapping[str, Any], after: Mapping[str, Any], *, path: str | None) -> JournalError:
    """Say in which fields a request differs from the planned one; values stay out of the message."""
    fields = list(differences(before, after))
    named = ", ".join(fields[:_SHOWN]) + (f" and {len(fields) - _SHOWN} more" if len(fields) > _SHOWN else "")
    what = f"it differs in {named}" if fields else "what it refers to has changed (say, a file's content)"
    return JournalError(
        f"The journal{'' if path is None else f' {path}'} knows the request {key!r} as another one: {what}. Continue "
        "with the requests it was started with, or give changed ones new keys or a new journal.",
        reason="changed",
        path=path,
        key=key,
    )


def differences(before: object, after: object, place: str = "") -> Iterator[str]:
    """Yield the places where two JSON values differ: `prompt`, `options.seed`, `messages[1].content`."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted({*before, *after}):
            where = f"{place}.{name}" if place else str(name)
            if (name in before) and (name in after):
                yield from differences(before[name], after[name], where)
            else:
                yield where
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from differences(one, other, f"{place}[{index}]")
    elif type(before) is not type(after) or before != after:
        yield place or "everything"


def status_of(outcome: Mapping[str, Any]) -> str | None:
    """Return the status of an outcome, where it is text."""
    status = outcome.get("status")
    return status if isinstance(status, str) else None


def tokens_of(outcome: Mapping[str, Any]) -> int | None:
    """Return the tokens of an outcome as they are counted; what the service said stays in the outcome."""
    return counted(outcome.get("tokens"))


def counted(tokens: object) -> int | None:
    """Return tokens as they are counted: nonsense (text, a number no sum could hold) is None, below nothing is nothing."""
    if isinstance(tokens, bool) or not isinstance(tokens, int) or abs(tokens) >= 2**40:
        return None
    return max(0, tokens)

"""What is queued for a journal's store: changes of state, plans, queries and the end.

They carry named values that mean the same to every store; how they are written down is the store's business.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from .._types import GenerationId, JobRef
from . import transitions
from .group_commit import CommitItem
from .protocol import ACCEPTED, FINAL, PLANNED, SAVED, SENDING, JournalRecord, PlannedRequest

T = TypeVar("T")


class StateChange(CommitItem):
    """A record led to another state.

    Attributes:
        state: The state it leads to.
        key: Whose record.
        values: What is written down, by name, the key included: `at` in Unix seconds where the time counts, and

            SENDING   `claim` as JSON, and its `claim_key`; where it has a prompt, `prompt` (its JSON string) and `rest` (the
                      claim without it); `mark`, a digest of the prompt or None; `price`, where a budget is kept
            ACCEPTED  `id`, `kind`, `model`; `waits`, whether the keeper of a journal that many share is to wait for it;
                      `price`, None where that is the one of `SENDING`
            FINAL     `status`, `tokens`, and `outcome` as JSON
            SAVED     `path` (bytes where it is no valid text), `size_bytes`
        job: Of `ACCEPTED`: the paid generation.
    """

    __slots__ = ("job", "key", "state", "values")

    def __init__(self, state: str, values: dict[str, Any], *, job: JobRef | None = None) -> None:
        # A `sending` that could not be written keeps its request from leaving. All others are facts, and are written
        # when that is possible again.
        super().__init__(keep=state != SENDING)
        self.state = state
        self.key: str = values["key"]
        self.values = values
        self.job = job


class PlanRequests(CommitItem):
    """Requests to be written down; `found` becomes what is known of them, in their order."""

    __slots__ = ("at", "entries", "found")

    def __init__(self, entries: Sequence[PlannedRequest], at: float) -> None:
        super().__init__()
        self.entries = entries
        self.at = at
        self.found: list[JournalRecord] = []


class Query(CommitItem, Generic[T]):
    """A question to the store, asked when all that was queued before is written."""

    __slots__ = ("answer", "ask")

    answer: T

    def __init__(self, ask: Callable[[], T]) -> None:
        super().__init__()
        self.ask = ask


class Close(CommitItem):
    """The end: the store is closed when all else is written, and also when that cannot be."""

    __slots__ = ("at",)

    def __init__(self, at: float) -> None:
        super().__init__(keep=True, last=True)
        self.at = at


# The changes of state, from the methods of the protocol.


def sending(
    key: str, claim: Mapping[str, Any], at: float, mark: bytes | None = None, price: int | None = None
) -> StateChange:
    """Build the change to `SENDING`."""
    name, prompt = claim.get("key"), claim.get("prompt")
    claim_key = _text(name) if isinstance(name, str) else None
    named: dict[str, Any] = {"key": key, "at": at, "mark": mark, "price": price, "claim_key": claim_key}
    if not (isinstance(prompt, str) and prompt):
        return StateChange(SENDING, {**named, "claim": _json(claim), "prompt": None, "rest": None})
    literal = _json(prompt)
    rest = _json({name: value for name, value in claim.items() if name != "prompt"})
    whole = f'{{"prompt":{literal}{"," if len(rest) > 2 else ""}{rest[1:]}'
    return StateChange(SENDING, {**named, "claim": whole, "prompt": literal, "rest": rest})


def accepted(key: str, job: JobRef, at: float, *, waits: bool = False, price: int | None = None) -> StateChange:
    """Build the change to `ACCEPTED`."""
    named: dict[str, Any] = {"id": _id(job.id), "kind": _text(job.kind), "model": _text(job.model)}
    return StateChange(
        ACCEPTED, {"key": key, "at": at, "waits": waits, "price": transitions.counted(price), **named}, job=job
    )


def planned_again(key: str) -> StateChange:
    """Build the change back to `PLANNED`."""
    return StateChange(PLANNED, {"key": key})


def final(key: str, outcome: Mapping[str, Any], at: float) -> StateChange:
    """Build the change to `FINAL`."""
    status, tokens = transitions.status_of(outcome), transitions.tokens_of(outcome)
    return StateChange(
        FINAL, {"key": key, "at": at, "status": _text(status), "tokens": tokens, "outcome": _json(outcome)}
    )


def saved(key: str, path: str, size_bytes: int, at: float) -> StateChange:
    """Build the change to `SAVED`."""
    written = path if _text(path) == path else os.fsencode(path)
    return StateChange(SAVED, {"key": key, "at": at, "path": written, "size_bytes": size_bytes})


def _json(value: object) -> str:
    """Write what happened, whatever is in it: a fact is better told a little wrong than not at all."""
    return _lenient.encode(value)


_lenient = json.JSONEncoder(separators=(",", ":"), default=str)


def _text(text: str | None) -> str | None:
    """Half a surrogate pair is valid in Python and in JSON, and nowhere else."""
    return None if text is None else text.encode("utf-8", "replace").decode()


def _id(id: GenerationId) -> GenerationId:
    """Databases' integers have 64 bits; an id beyond them is as good as text, for it only goes into paths."""
    if isinstance(id, str):
        return id.encode("utf-8", "replace").decode()
    return id if -(2**63) <= id < 2**63 else str(id)


# How a group is carried through.


def layers_of(changes: Sequence[StateChange]) -> list[dict[str, list[StateChange]]]:
    """Sort changes so that each statement runs once for many, and the changes of one key stay in their order."""
    layers: list[dict[str, list[StateChange]]] = []
    depths: dict[str, int] = {}
    for change in changes:
        depth = depths[change.key] = depths.get(change.key, -1) + 1
        if depth == len(layers):
            layers.append({})
        layers[depth].setdefault(change.state, []).append(change)
    return layers


def each_once(entries: Sequence[PlannedRequest], path: str) -> Iterator[PlannedRequest]:
    """Yield the entries of a plan.

    Raises:
        JournalError: A key is given twice.
    """
    seen: set[str] = set()
    for entry in entries:
        if entry.key in seen:
            raise transitions.duplicate(entry.key, path=path)
        seen.add(entry.key)
        yield entry

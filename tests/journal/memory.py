"""A store in memory: the journal's rules once more, in plain Python, without a line of SQL.

What the contract tests say of a journal they say of it over this store and over SQLite, so that neither they nor
`GroupedJournal` can lean on SQL.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from neuralbox._errors import JournalError
from neuralbox._journal import transitions
from neuralbox._journal.group_commit import CommitItem
from neuralbox._journal.operations import Close, PlanRequests, Query, StateChange
from neuralbox._journal.protocol import (
    ACCEPTED,
    FINAL,
    PLANNED,
    SAVED,
    SENDING,
    JournalHint,
    JournalRecord,
    JournalSummary,
    PlannedRequest,
)
from neuralbox._types import GenerationId, JobRef

PAGE = 200


def may_follow(change: str, state: str, *, same_id: bool, completed: bool) -> bool:
    """Whether a record in `state` may be changed so."""
    if change == PLANNED and state == FINAL:
        return not completed
    if change == ACCEPTED and state not in {PLANNED, SENDING}:
        return same_id
    return state in transitions.FOLLOWS[change]


class MemoryStore:
    """See `JournalStore`; opened again, it is as it was left."""

    def __init__(self) -> None:
        self.path = "memory"
        self.last_at: float | None = None
        self.first_at: float | None = None
        self.records: dict[str, JournalRecord] = {}
        self.charged_before = 0
        self.planned: set[str] = set()
        self.left: list[JournalHint] = []

    def reopened(self) -> MemoryStore:
        self.planned.clear()
        return self

    def work(self, group: Sequence[CommitItem]) -> None:
        for item in sorted(group, key=lambda item: not isinstance(item, PlanRequests)):
            try:
                if isinstance(item, PlanRequests):
                    item.found = self._plan(item)
                elif isinstance(item, StateChange):
                    self._change(item)
                elif isinstance(item, Query):
                    item.answer = item.ask()
                else:
                    assert isinstance(item, Close)
            except JournalError as error:
                item.error = error

    def explain(
        self, error: Exception, *, key: str | None, job: JobRef | None, unwritten: Mapping[str, JobRef]
    ) -> Exception:
        return error

    def _time(self, at: float) -> float:
        self.first_at = at if self.first_at is None else self.first_at
        self.last_at = max(at, self.last_at or 0.0)
        return at

    def _plan(self, item: PlanRequests) -> list[JournalRecord]:
        keys = [entry.key for entry in item.entries]
        for key, count in Counter(keys).items():
            if count > 1 or key in self.planned:
                raise transitions.duplicate(key, path=None)
        for entry in item.entries:
            self._require_same(entry)
        self._time(item.at)
        for entry in item.entries:
            self.planned.add(entry.key)
            record = JournalRecord(len(self.records) + 1, entry.key, json.loads(entry.text))
            self.records.setdefault(entry.key, record)
        return [self.records[key] for key in keys]

    def _require_same(self, entry: PlannedRequest) -> None:
        known = self.records.get(entry.key)
        if known is not None and PlannedRequest(entry.key, known.request).text != entry.text:
            raise transitions.changed(entry.key, known.request, json.loads(entry.text), path=None)

    def _change(self, item: StateChange) -> None:
        record, values = self.records.get(item.key), item.values
        generation = values.get("id")
        if record is None or not may_follow(
            item.state, record.state, same_id=generation == record.id, completed=record.status == transitions.COMPLETED
        ):
            state, known = (None, None) if record is None else (record.state, record.id)
            raise transitions.refusal(item.key, item.state, state, known, path=None, job=item.job)
        self.records[item.key] = self._changed(record, item.state, values)

    def _changed(self, record: JournalRecord, state: str, values: Mapping[str, Any]) -> JournalRecord:
        if state == PLANNED:
            self.charged_before += record.tokens or 0
            return JournalRecord(record.position, record.key, record.request)
        at = self._time(values["at"])
        if state == SENDING:
            return replace(record, state=state, claim=json.loads(values["claim"]), sent_at=at, price=values["price"])
        if state == ACCEPTED:
            if record.state not in {PLANNED, SENDING}:
                return record
            named = {name: values[name] for name in ("id", "kind", "model")}
            price = record.price if values["price"] is None else values["price"]
            return replace(record, state=state, claim=None, accepted_at=at, price=price, **named)
        if state == FINAL:
            ended = {name: values[name] for name in ("status", "tokens")}
            return replace(record, state=state, outcome=json.loads(values["outcome"]), final_at=at, **ended)
        assert state == SAVED
        return replace(record, state=state, path=values["path"], size_bytes=values["size_bytes"])

    # Queries.

    def page(self, states: Sequence[str], after: int) -> list[JournalRecord]:
        found = [record for record in self.records.values() if record.state in states and record.position > after]
        return found[:PAGE]

    def ids(self, since: float) -> list[GenerationId]:
        found = self.records.values()
        return [one.id for one in found if one.id is not None and (one.accepted_at or 0.0) >= since]

    def leave_hint(self, id: str, event: str) -> bool:
        known = any(str(one.id) == id and one.state == ACCEPTED for one in self.records.values())
        if not known or any(hint.event == event for hint in self.left):
            return False
        self.left.append(JournalHint(len(self.left) + 1, id, event))
        return True

    def hints(self, after: int) -> list[JournalHint]:
        return self.left[after:]

    def summary(self) -> JournalSummary:
        found = list(self.records.values())
        counts = Counter(record.state for record in found)
        return JournalSummary(
            planned=counts[PLANNED],
            sending=counts[SENDING],
            accepted=counts[ACCEPTED],
            final=counts[FINAL],
            saved=counts[SAVED],
            completed=sum(record.is_finished and record.status == transitions.COMPLETED for record in found),
            tokens=sum(record.tokens or 0 for record in found if record.is_finished) + self.charged_before,
            first_at=self.first_at,
            last_at=self.last_at,
        )

"""What became of a request, and how a batch is getting on, as values."""

from __future__ import annotations

import json

import pytest

from neuralbox._batch.item import BatchItem, ItemStage
from neuralbox._batch.journal_records import generation_of, outcome_record
from neuralbox._batch.outcome import BatchOutcome
from neuralbox._batch.progress import ProgressCounter
from neuralbox._budget import Budget
from neuralbox._errors import BudgetExceededError, GenerationFailedError
from neuralbox._journal.protocol import JournalRecord
from neuralbox._models.generation import Generation
from neuralbox._types import JobRef

from ..helpers import make_core

DONE = Generation.read({"id": 7, "status": "completed", "result_url": "http://f.test/7.webp", "tokens_spent": 4})
FAILED = Generation.read({"id": 8, "status": "failed", "error": "policy"})


def test_an_outcome_says_what_was_charged() -> None:
    job = JobRef(7, "image", "flux-1.1-pro")
    assert BatchOutcome("a", generation=DONE, job=job).tokens == 4
    assert BatchOutcome("a", generation=FAILED, job=job, error=GenerationFailedError("policy")).tokens == 0
    assert BatchOutcome("a", error=ValueError("x")).tokens == 0
    assert BatchOutcome("a", error=TimeoutError("x"), job=job).tokens is None


def test_an_item_shows_where_it_is_and_no_prompt() -> None:
    item = BatchItem("a", {"prompt": "secret"})
    assert repr(item) == "<BatchItem 'a': outside>"
    item.stage = ItemStage.SENDING
    assert repr(item) == "<BatchItem 'a': sending>"


def test_a_result_without_an_id_is_a_result_without_a_job() -> None:
    item = BatchItem("a", None)
    item.ended(make_core([]).core, Generation.read({"status": "completed", "content": "x"}))
    assert item.job is None
    assert item.outcome.ok


# What the journal keeps of an end.


def test_an_end_is_read_from_the_journal_as_it_was_without_its_prompt() -> None:
    said = {"id": 7, "status": "completed", "prompt": "secret", "result_text": "words", "later": [1]}
    generation = Generation.read(said, kind="text").model_copy(update={"model": "gpt-5"})
    kept = outcome_record(generation)
    assert "secret" not in json.dumps(kept)
    again = generation_of(JournalRecord(1, "a", {}, outcome=json.loads(json.dumps(kept)), id=7))
    assert (again.id, again.text, again.kind, again.model) == (7, "words", "text", "gpt-5")
    assert again.raw["later"] == [1]


def test_what_json_cannot_say_is_left_out_of_the_journal() -> None:
    generation = Generation.read({"id": 7, "status": "completed", "url": "http://f.test/7", "progress": float("nan")})
    kept = outcome_record(generation)
    again = generation_of(JournalRecord(1, "a", {}, outcome=json.loads(json.dumps(kept, allow_nan=False)), id=7))
    assert (again.id, again.url, again.is_completed) == (7, "http://f.test/7", True)


def test_an_end_of_another_version_is_read_as_far_as_it_goes() -> None:
    again = generation_of(JournalRecord(1, "a", {}, outcome=None, id="gen_1", status="completed", kind="image"))
    assert (again.id, again.status, again.kind) == ("gen_1", "completed", "image")


# Progress.


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_rate_and_time_left_come_from_the_last_minute() -> None:
    clock = Clock()
    counter = ProgressCounter(clock, total=100)
    start = counter.progress()
    assert (start.rate_per_minute, start.eta_seconds, start.done) == (None, None, 0)
    for second in range(120):
        clock.now = 100.0 + second
        if second < 30 or second >= 90:
            counter.ended(2)
            counter.delivered(BatchOutcome("a", generation=DONE))
    now = counter.progress(Budget(10, spent=11), (5.0, "hour"))
    assert now.tokens_spent == 120
    assert now.rate_per_minute == pytest.approx(30, abs=1)
    assert now.rate_per_minute is not None
    assert now.eta_seconds == pytest.approx(40 / now.rate_per_minute * 60)
    assert (now.budget_tokens, now.budget_spent, now.tokens_reserved, now.tokens_over) == (10, 11, 0, 1)
    assert (now.throttled_until, now.throttled_by, now.elapsed_seconds) == (5.0, "hour", 119.0)
    clock.now += 120
    assert counter.progress().rate_per_minute == 0
    assert counter.progress().eta_seconds is None


def test_what_is_replayed_is_no_part_of_the_run() -> None:
    counter = ProgressCounter(Clock(), total=5)
    counter.read = 6  # the journal had one that the list did not name
    for outcome in (
        BatchOutcome("a", generation=DONE, resumed=True),
        BatchOutcome("b", error=RuntimeError(), resumed=True),
        BatchOutcome("c", generation=DONE),
        BatchOutcome("d", error=RuntimeError()),
        BatchOutcome("e", error=BudgetExceededError("no", price=1, left=0, budget=1)),
    ):
        counter.delivered(outcome)
    seen = counter.progress()
    assert (seen.done, seen.total, seen.done_now, seen.total_now) == (5, 6, 3, 4)
    assert (seen.failed, seen.failed_now, seen.not_sent_budget) == (3, 1, 1)
    assert ProgressCounter(Clock(), total=None).progress().total_now is None


def test_many_ends_in_one_second_take_no_memory() -> None:
    counter = ProgressCounter(Clock(), total=None)
    for _ in range(1_000):
        counter.ended(None)
    assert len(counter._ends) == 1


def test_an_outcome_in_a_notebook_is_its_result_or_why_there_is_none() -> None:
    done = BatchOutcome("tea", generation=DONE, job=JobRef(7, "image", "flux"))._repr_html_()
    assert "http://f.test/7.webp" in done
    assert "tea · flux · 7" in done
    assert (
        "policy &amp; co"
        in BatchOutcome("b", error=GenerationFailedError("policy & co", generation=FAILED))._repr_html_()
    )
    assert "mine" in BatchOutcome("b", error=LookupError("mine"))._repr_html_()

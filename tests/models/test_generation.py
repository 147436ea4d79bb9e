"""`Generation`: one reading of both dialects, of their mixtures, and of whatever else comes."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pydantic
import pytest
from hypothesis import given

from neuralbox._api.vocabulary import ALIASES
from neuralbox._models.generation import Generation, Usage
from neuralbox._types import JobRef
from tests import samples
from tests.api import json_values

STORAGE = "https://storage.neuralbox.top"
SAFE_JSON = samples.record("seed003_text")["content"]


def moment(hour: int, minute: int, second: int, *, month: int = 3, day: int = 8) -> datetime:
    return datetime(2026, month, day, hour, minute, second, tzinfo=UTC)


_ASIDE = ("raw", "is_partial", "service")


def said(generation: Generation) -> dict[str, Any]:
    """What a reading found: every field that is not None, but for `raw` and what is said of the answer itself."""
    fields = {name: getattr(generation, name) for name in Generation.model_fields if name not in _ASIDE}
    return {name: value for name, value in fields.items() if value is not None}


# Case, and everything that is read from it.
REPLIES: list[tuple[str, dict[str, Any]]] = [
    (
        "seed000_pending",
        {
            "id": "gen_01j9x2vid001",
            "status": "pending",
            "model": "kling-v2.1-pro",
            "progress": 45,
            "eta_seconds": 32,
            "created_at": moment(12, 5, 0),
        },
    ),
    (
        "seed000_completed",
        {
            "id": "gen_01j9x2vid001",
            "status": "completed",
            "model": "kling-v2.1-pro",
            "url": f"{STORAGE}/generations/gen_01j9x2vid001.mp4",
            "duration": 5,
            "width": 1920,
            "height": 1080,
            "tokens": 60,
            "balance": 229,
            "created_at": moment(12, 5, 0),
            "completed_at": moment(12, 6, 2),
        },
    ),
    (
        "seed000_failed",
        {
            "id": "gen_01j9x2vid002",
            "status": "failed",
            "model": "kling-v2.1-pro",
            "error": "Provider error: content policy violation",
            "tokens": 0,
            "created_at": moment(12, 10, 0),
        },
    ),
    (
        "seed001_text",
        {
            "id": 18473,
            "status": "completed",
            "model": "gpt-5",
            "text": "Quantum computing uses qubits that can exist in multiple states simultaneously...",
            "tokens": 3,
            "processing_ms": 1842,
        },
    ),
    (
        "seed001_image",
        {
            "id": 18491,
            "status": "completed",
            "model": "dall-e-3",
            "url": f"{STORAGE}/generations/18491.webp",
            "tokens": 7,
            "width": 1024,
            "height": 1024,
            "metadata": {"width": 1024, "height": 1024},
        },
    ),
    (
        "seed002_image",
        {
            "id": 18491,
            "status": "completed",
            "model": "flux-1.1-pro",
            "url": f"{STORAGE}/generations/18491.webp",
            "tokens": 4,
            "width": 768,
            "height": 1344,
            "metadata": {"width": 768, "height": 1344},
            "created_at": moment(12, 2, 30),
        },
    ),
    ("seed002_midjourney", {"id": 18495, "status": "pending", "model": "midjourney", "eta_seconds": 45}),
    (
        "seed003_text",
        {
            "id": "gen_01j9x2abc123",
            "status": "completed",
            "model": "claude-sonnet-4.5",
            "text": SAFE_JSON,
            "tokens": 3,
            "balance": 297,
            "usage": Usage(
                prompt_tokens=142,
                completion_tokens=387,
                total_tokens=529,
                raw={"prompt_tokens": 142, "completion_tokens": 387, "total_tokens": 529},
            ),
            "created_at": moment(12, 0, 0),
        },
    ),
    (
        "video_submitted",
        {
            "id": 20311,
            "status": "pending",
            "model": "kling-v2.1",
            "created_at": moment(9, 15, 0, month=4, day=2),
        },
    ),
    (
        "video_completed",
        {
            "id": 20311,
            "status": "completed",
            "model": "kling-v2.1",
            "url": f"{STORAGE}/generations/20311.mp4",
            "tokens": 26,
            "duration": 5,
            "width": 1920,
            "height": 1080,
            "metadata": {"duration": 5, "width": 1920, "height": 1080},
            "created_at": moment(9, 15, 0, month=4, day=2),
            "completed_at": moment(9, 15, 58, month=4, day=2),
        },
    ),
    ("status_pending", {"id": 20402, "status": "pending", "model": "kling-v2.1-pro", "tokens": 0}),
    (
        "status_completed",
        {
            "id": 20402,
            "status": "completed",
            "model": "kling-v2.1-pro",
            "url": f"{STORAGE}/generations/20402.mp4",
            "thumbnail_url": f"{STORAGE}/thumbnails/20402.jpg",
            "tokens": 60,
            "processing_ms": 90110,
            "duration": 5,
            "width": 1920,
            "height": 1080,
            "metadata": {"duration": 5, "width": 1920, "height": 1080},
        },
    ),
    (
        "status_failed",
        {"id": 20403, "status": "failed", "error": "Provider error: content policy violation", "tokens": 0},
    ),
    (
        "music_completed",
        {
            "id": "gen_01k2q7mus555",
            "status": "completed",
            "kind": "audio",
            "model": "musicgen",
            "url": "https://cdn.elumenta.ru/audio/gen_01k2q7mus555.mp3",
            "duration": 45,
            "tokens": 9,
            "created_at": moment(10, 0, 0, month=4, day=2),
        },
    ),
    (
        "stt_completed",
        {
            "id": 20610,
            "status": "completed",
            "model": "whisper",
            "text": "Good morning, this is line two…",
            "tokens": 2,
            "processing_ms": 2980,
        },
    ),
    (
        "mixture",
        {
            "id": "gen_01mix",
            "status": "completed",
            "model": "flux-1.1-pro",
            "url": f"{STORAGE}/generations/mix.webp",
            "tokens": 8,
            "balance": 0,
            "seed": 0,
            "width": 768,
            "height": 512,
            "metadata": {"width": None, "height": 512},
        },
    ),
]


@pytest.mark.parametrize(("case", "expected"), REPLIES, ids=[case for case, _ in REPLIES])
def test_each_documented_reply_reads_as_one_vocabulary(case: str, expected: dict[str, Any]) -> None:
    record = samples.record(case)
    generation = Generation.read(record)
    assert said(generation) == expected
    assert generation.raw is record


def test_a_history_of_the_seed_reads_as_generations() -> None:
    first, second = (Generation.read(item) for item in samples.record("seed000_history")["items"])
    assert said(first) == {
        "id": "gen_01j9x2img789",
        "kind": "image",
        "model": "flux-1.1-pro",
        "status": "completed",
        "prompt": "Portrait of a CEO in a modern office",
        "url": f"{STORAGE}/generations/gen_01j9x2img789.webp",
        "tokens": 8,
        "created_at": moment(12, 2, 30),
    }
    assert (second.model, second.tokens, second.created_at) == ("dall-e-3", 7, moment(11, 50, 0))


def test_a_history_of_the_page_reads_as_generations() -> None:
    (item,) = (Generation.read(item) for item in samples.record("history_page")["items"])
    assert said(item) == {
        "id": 20500,
        "kind": "text",
        "model": "gpt-5",
        "status": "completed",
        "prompt": "Three names for a bakery",
        "text": "Crumb, Rye, Dawn",
        "tokens": 2,
        "is_favorited": True,
        "model_name": "GPT-5",
        "rating": 4,
        "created_at": moment(11, 0, 0, month=4, day=2),
    }


def plant(record: dict[str, Any], name: str, value: object) -> None:
    outer, dot, inner = name.partition(".")
    if dot:
        record.setdefault(outer, {})[inner] = value
    else:
        record[outer] = value


@pytest.mark.parametrize(
    ("field", "earlier", "later"),
    [(field, a, b) for field, names in ALIASES.items() for a, b in pairwise(names)],
)
def test_of_two_names_the_earlier_counts_unless_it_is_null(field: str, earlier: str, later: str) -> None:
    both: dict[str, Any] = {}
    plant(both, earlier, 11)
    plant(both, later, 22)
    assert str(getattr(Generation.read(both), field)) in {"11", "11.0"}
    plant(both, earlier, None)
    assert str(getattr(Generation.read(both), field)) in {"22", "22.0"}


def test_zero_is_a_value_and_null_is_absence() -> None:
    zeros = {"id": 0, "status": "pending", "tokens_spent": 0, "balance_remaining": 0, "seed": 0, "progress": 0}
    zeros |= {"eta_seconds": 0, "width": 0, "height": 0, "duration": 0, "processing_ms": 0, "user_rating": 0}
    generation = Generation.read(zeros | {"is_favorited": False, "result_text": "", "tokens_used": 9})
    assert (generation.id, generation.tokens, generation.balance, generation.seed) == (0, 0, 0, 0)
    assert (generation.progress, generation.eta_seconds, generation.duration) == (0, 0, 0)
    assert (generation.processing_ms, generation.rating) == (0, 0)
    assert generation.is_favorited is False
    assert generation.text == ""
    nulls = Generation.read(dict.fromkeys(zeros | {"is_favorited": 0}, None))
    assert said(nulls) == {"id": "", "status": ""}


WRONG: tuple[Any, ...] = ([], {}, True, "", [1], {"x": 1}, "nonsense", -1, 1e400, "\ud800")
FIELDS = set(Generation.model_fields) - {"raw"}


@pytest.mark.parametrize("name", sorted({n for names in ALIASES.values() for n in names} | FIELDS))
def test_a_field_of_a_wrong_type_spoils_no_other(name: str) -> None:
    expected = Generation.read(samples.record("status_completed"))
    spoiled = {field for field, names in ALIASES.items() if name in names} | {name, "metadata"}
    if name == "result_metadata":
        spoiled |= {"width", "height", "duration"}
    for wrong in WRONG:
        record = samples.record("status_completed")
        plant(record, name, wrong)
        generation = Generation.read(record)
        for field in FIELDS - spoiled:
            assert getattr(generation, field) == getattr(expected, field), (field, wrong)


def test_an_unknown_field_is_kept_and_an_unknown_state_is_not_final() -> None:
    generation = Generation.read({"id": 1, "status": "Queued ", "lane": {"position": 3}})
    assert generation.raw["lane"] == {"position": 3}
    assert generation.status == "queued"
    assert (generation.is_final, generation.is_completed, generation.is_failed) == (False, False, False)


@pytest.mark.parametrize(
    ("status", "final", "completed", "failed"),
    [("completed", True, True, False), ("FAILED", True, False, True), ("pending", False, False, False)],
)
def test_the_documented_states(status: str, final: bool, completed: bool, failed: bool) -> None:
    generation = Generation.read({"id": 1, "status": status})
    assert (generation.is_final, generation.is_completed, generation.is_failed) == (final, completed, failed)


@pytest.mark.parametrize(
    ("record", "status"),
    [
        ({"result_text": "hello"}, "completed"),
        ({"url": "https://x/y.png"}, "completed"),
        ({"url": "https://x/y.png", "error": "thumbnail missing"}, "completed"),
        ({"error": "Provider error"}, "failed"),
        ({"error": {"code": "policy"}}, "failed"),
        ({"message": "Generation queued"}, ""),
        ({"result_url": "", "error": ""}, ""),
        ({"status": ""}, ""),
        ({"status": None, "result_text": "hello"}, "completed"),
        ({"status": 7}, "7"),
        ({}, ""),
    ],
)
def test_a_record_without_status_is_read_by_what_it_holds(record: dict[str, Any], status: str) -> None:
    """A job that was paid for is never taken for failed, and so dropped, because of a friendly `message`."""
    assert Generation.read({"id": 5, **record}).status == status


def test_what_the_caller_knows_fills_what_the_record_does_not_say() -> None:
    bare = Generation.read({"status": "pending"}, kind="video", asked_id="gen_1")
    assert (bare.id, bare.kind) == ("gen_1", "video")
    told = Generation.read({"generation_id": 7, "category": "image"}, kind="video", asked_id="gen_1")
    assert (told.id, told.kind) == (7, "image")


def test_a_reference_holds_what_finds_it_again() -> None:
    generation = Generation.read(samples.record("music_completed"))
    assert generation.ref == JobRef("gen_01k2q7mus555", "audio", "musicgen")


@pytest.mark.parametrize(
    ("plan", "days"),
    [("free", 7), ("starter", 7), (" Starter ", 7), ("basic", 30), ("pro", 90), ("VIP", 90)],
)
def test_a_file_expires_by_the_plan_counted_from_its_completion(plan: str, days: int) -> None:
    generation = Generation.read(samples.record("seed000_completed"))
    assert generation.expires_at(plan) == moment(12, 6, 2) + timedelta(days=days)


def test_a_file_without_completion_time_expires_from_its_creation() -> None:
    assert Generation.read(samples.record("seed002_image")).expires_at("free") == moment(12, 2, 30) + timedelta(days=7)


@pytest.mark.parametrize(
    ("record", "plan"),
    [
        ({"created_at": "2026-03-08T12:00:00Z"}, "elite"),
        ({"created_at": "2026-03-08T12:00:00Z"}, "platinum"),
        ({}, "free"),
        ({"created_at": "9999-12-31T00:00:00Z"}, "free"),
    ],
)
def test_no_expiry_where_there_is_none_or_nobody_knows(record: dict[str, Any], plan: str) -> None:
    assert Generation.read({"id": 1, **record}).expires_at(plan) is None


def test_neither_a_prompt_nor_an_address_shows_in_a_repr() -> None:
    record = samples.record("status_completed") | {"prompt": "my secret plan"}
    record["result_url"] += "?X-Amz-Signature=abc"
    shown = repr(Generation.read(record))
    assert not any(word in shown for word in ("secret plan", "Signature", "https://"))
    assert "20402" in shown


def test_a_generation_is_frozen_copied_and_pickled_whole() -> None:
    generation = Generation.read(samples.record("seed003_text"))
    with pytest.raises(pydantic.ValidationError):
        generation.status = "failed"  # type: ignore[misc] # on purpose
    for copied in (copy.copy(generation), copy.deepcopy(generation), pickle.loads(pickle.dumps(generation))):
        assert copied == generation
        assert copied.raw == generation.raw
    assert generation.model_copy(update={"model": "x"}).model == "x"
    assert Generation.model_validate_json(generation.model_dump_json()) == generation


@pytest.mark.parametrize("usage", [None, [], "12", 5])
def test_a_usage_that_is_no_object_is_absent(usage: object) -> None:
    assert Generation.read({"usage": usage}).usage is None


def test_a_usage_reads_what_it_can() -> None:
    usage = Usage.read({"prompt_tokens": "12", "completion_tokens": None, "cached": 3})
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (12, None, None)
    assert usage.raw["cached"] == 3


@pytest.mark.uncovered
@given(json_values.objects)
def test_any_json_object_gives_a_generation(record: dict[str, Any]) -> None:
    before = copy.deepcopy(record)
    generation = Generation.read(record, kind="image", asked_id=1)
    assert isinstance(generation.status, str)
    assert isinstance(generation.id, int | str)
    assert repr(generation)
    assert list(record) == list(before)


def test_a_record_that_says_when_its_file_expires_is_believed_before_the_table() -> None:
    record = {"id": "u", "status": "completed", "created_at": "2026-03-08T12:00:00Z"}
    for name in ("expired_at", "expires_at"):
        said = Generation.read({**record, name: "2026-04-07T12:00:00Z"})
        assert said.expires_at() == said.expires_at("vip") == datetime(2026, 4, 7, 12, tzinfo=UTC)
    assert Generation.read(record).expires_at() is None
    assert Generation.read({**record, "expired_at": ""}).expires_at("vip") is not None

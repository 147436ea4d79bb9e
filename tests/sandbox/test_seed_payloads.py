"""Field by field, and type by type, the answers have the shapes of the documents' examples."""

from __future__ import annotations

import re
from typing import Any

import pytest

from .conftest import Api, Start

# The examples as the four seed documents print them.
TEXT_001 = {
    "id": 18473,
    "status": "completed",
    "model_slug": "gpt-5",
    "result_text": "Quantum computing uses qubits",
    "result_url": None,
    "thumbnail_url": None,
    "error": None,
    "tokens_spent": 3,
    "processing_ms": 1842,
    "result_metadata": None,
}
IMAGE_002 = {
    "id": 18491,
    "status": "completed",
    "model_slug": "flux-1.1-pro",
    "result_url": "https://storage.neuralbox.top/generations/18491.webp",
    "tokens_spent": 4,
    "seed": 123,
    "result_metadata": {"width": 768, "height": 1344},
    "created_at": "2026-03-08T12:02:30Z",
}
MIDJOURNEY_002 = {"id": 18495, "status": "pending", "model_slug": "midjourney", "eta_seconds": 45}
BALANCE_001 = {"token_balance": 283, "plan": "vip", "plan_expires_at": "2026-04-08T00:00:00Z"}
TEXT_003 = {
    "id": "gen_01j9x2abc123",
    "status": "completed",
    "model": "claude-sonnet-4.5",
    "content": "Here's a safe JSON parsing function in Python",
    "tokens_used": 3,
    "balance_remaining": 297,
    "usage": {"prompt_tokens": 142, "completion_tokens": 387, "total_tokens": 529},
    "created_at": "2026-03-08T12:00:00Z",
}
PENDING_000 = {
    "id": "gen_01j9x2vid001",
    "status": "pending",
    "model": "kling-v2.1-pro",
    "progress": 45,
    "eta_seconds": 32,
    "created_at": "2026-03-08T12:05:00Z",
}
COMPLETED_000 = {
    "id": "gen_01j9x2vid001",
    "status": "completed",
    "model": "kling-v2.1-pro",
    "url": "https://storage.neuralbox.top/generations/gen_01j9x2vid001.mp4",
    "duration": 5,
    "width": 1920,
    "height": 1080,
    "tokens_used": 60,
    "balance_remaining": 229,
    "created_at": "2026-03-08T12:05:00Z",
    "completed_at": "2026-03-08T12:06:02Z",
}
FAILED_000 = {
    "id": "gen_01j9x2vid002",
    "status": "failed",
    "model": "kling-v2.1-pro",
    "error": "Provider error: content policy violation",
    "tokens_used": 0,
    "created_at": "2026-03-08T12:10:00Z",
}
HISTORY_000 = {
    "items": [
        {
            "id": "gen_01j9x2img789",
            "type": "image",
            "model": "flux-1.1-pro",
            "status": "completed",
            "prompt": "Portrait of a CEO in a modern office",
            "url": "https://storage.neuralbox.top/generations/gen_01j9x2img789.webp",
            "tokens_used": 8,
            "created_at": "2026-03-08T12:02:30Z",
        }
    ],
    "total": 142,
    "page": 1,
    "limit": 10,
    "pages": 15,
}


def shape(value: Any) -> Any:
    """Names and types, with the form of ids, times and addresses."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, str):
        for form in (r"gen_[0-9a-z]+", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"):
            if re.fullmatch(form, value):
                return form
        found = re.fullmatch(r"https?://[^/]+/(?:storage/)?(generations|thumbnails)/(\d+|gen_\w+)\.(\w+)", value)
        return ("url", found[1], found[2].isdigit(), found[3]) if found else str
    return type(value)


def test_a_text_in_dialect_a_is_the_quickstarts_payload(api: Api) -> None:
    assert shape(api.make("gpt-5")) == shape(TEXT_001)


def test_an_image_in_dialect_a_is_the_image_pages_payload(api: Api) -> None:
    image = api.make("flux-1.1-pro", size="768x1344")
    assert shape(image) == shape(IMAGE_002)
    assert image["result_metadata"] == IMAGE_002["result_metadata"]
    assert image["tokens_spent"] == 4


def test_midjourney_is_pending_with_a_hint(api: Api) -> None:
    accepted = api.make("midjourney-v6", size="16:9")
    assert shape(accepted) == shape(MIDJOURNEY_002)
    assert accepted["model_slug"] == "midjourney"
    assert 30 <= accepted["eta_seconds"] <= 60


def test_the_balance_is_the_quickstarts_payload(api: Api) -> None:
    assert shape(api.get("/balance").json()) == shape(BALANCE_001)


def test_a_text_in_dialect_b_is_the_text_pages_payload(start: Start) -> None:
    api = start(dialect="B")
    body = {
        "model": "claude-sonnet-4.5",
        "system": "You are a helpful coding assistant.",
        "messages": [{"role": "user", "content": "Write a Python function to parse JSON safely"}],
        "temperature": 0.5,
    }
    text = api.post("/generate", body).json()
    assert shape(text) == shape(TEXT_003)
    assert text["balance_remaining"] == 100_000 - 4
    usage = text["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_a_video_in_dialect_b_goes_through_the_history_pages_states(start: Start) -> None:
    api = start(dialect="B")
    accepted = api.make("kling-v2.1-pro")
    assert shape(accepted) == shape(PENDING_000)
    assert accepted["progress"] == 0

    api.clock.advance(50)
    pending = api.get(f"/generate/status/{accepted['id']}").json()
    assert shape(pending) == shape(PENDING_000)
    assert 50 <= pending["progress"] <= 90
    assert pending["eta_seconds"] == pytest.approx(accepted["eta_seconds"] - 50, abs=1)

    api.clock.advance(40)
    completed = api.get(f"/generate/status/{accepted['id']}").json()
    assert shape(completed) == shape(COMPLETED_000)
    assert completed["balance_remaining"] == 100_000 - completed["tokens_used"] == 100_000 - 88


def test_a_failed_video_in_dialect_b_costs_nothing(start: Start) -> None:
    api = start(dialect="B", faults={"fail-generation": 1})
    accepted = api.make("kling-v2.1-pro")
    assert accepted["status"] == "pending"
    api.clock.advance(200)
    failed = api.get(f"/generate/status/{accepted['id']}").json()
    assert shape(failed) == shape(FAILED_000)
    assert failed["error"] == FAILED_000["error"]
    assert api.get("/balance").json()["token_balance"] == 100_000


def test_the_history_is_the_history_pages_payload(start: Start) -> None:
    api = start(dialect="B")
    for _ in range(12):
        api.make("flux-1.1-pro", "Portrait of a CEO in a modern office")
    page = api.get("/user/history", params={"type": "image", "limit": 10}).json()
    assert shape(page) == shape(HISTORY_000)
    assert (page["total"], page["page"], page["limit"], page["pages"], len(page["items"])) == (12, 1, 10, 2, 10)


# The reference pages' own examples.


def test_a_video_in_dialect_a_has_the_pages_fields_in_each_state(api: Api) -> None:
    accepted = api.make("kling-v2.1", duration=5)
    assert accepted == {
        "id": accepted["id"],
        "status": "pending",
        "model_slug": "kling-v2.1",
        "processing_ms": None,
        "created_at": "2026-03-08T12:00:00Z",
    }
    pending = api.get(f"/generate/{accepted['id']}").json()
    head = {"id": accepted["id"], "model_slug": "kling-v2.1"}
    assert pending == {**head, "status": "pending", "result_url": None, "tokens_spent": 0}
    api.clock.advance(90)
    done = api.get(f"/generate/{accepted['id']}").json()
    assert done == {
        **head,
        "status": "completed",
        "result_url": f"{api.url}/storage/generations/{accepted['id']}.mp4",
        "thumbnail_url": f"{api.url}/storage/thumbnails/{accepted['id']}.jpg",
        "tokens_spent": 26,
        "processing_ms": done["processing_ms"],
        "result_metadata": {"duration": 5, "width": 1920, "height": 1080},
        "created_at": "2026-03-08T12:00:00Z",
        "completed_at": done["completed_at"],
    }
    assert 45_000 <= done["processing_ms"] <= 90_000
    assert "2026-03-08T12:00:45Z" <= done["completed_at"] <= "2026-03-08T12:01:30Z"


def test_midjourney_keeps_its_hint_while_it_is_polled(api: Api) -> None:
    accepted = api.make("midjourney")
    polled = api.get(f"/generate/{accepted['id']}").json()
    assert polled["eta_seconds"] == accepted["eta_seconds"]
    api.clock.advance(60)
    assert api.get(f"/generate/{accepted['id']}").json()["result_metadata"] == {"width": 1024, "height": 1024}


def test_a_failed_answer_in_dialect_a_has_no_model(start: Start) -> None:
    api = start(faults={"fail-generation": 1})
    failed = api.make("gpt-5")
    assert failed == {
        "id": failed["id"],
        "status": "failed",
        "error": "Provider error: content policy violation",
        "tokens_spent": 0,
    }


def test_music_in_dialect_b_has_the_music_pages_fields(start: Start) -> None:
    api = start(dialect="B")
    music = api.make("musicgen", duration=45)
    assert music == {
        "id": music["id"],
        "status": "completed",
        "type": "audio",
        "model": "musicgen",
        "output_url": f"{api.url}/storage/generations/{music['id']}.mp3",
        "duration_seconds": 45,
        "tokens_used": 9,
        "created_at": "2026-03-08T12:00:00Z",
    }
    polled = api.get(f"/generate/status/{music['id']}").json()
    assert (polled["url"], polled["duration"]) == (music["output_url"], 45)


def test_the_reference_pages_history_has_its_own_fields_and_no_pages(start: Start) -> None:
    api = start(history="page")
    text = api.make("gpt-5", "Three names for a bakery")
    page = api.get("/user/history", params={"category": "text", "model_slug": "gpt-5"}).json()
    assert page == {
        "items": [
            {
                "id": text["id"],
                "model_slug": "gpt-5",
                "model_name": "GPT-5",
                "category": "text",
                "prompt": "Three names for a bakery",
                "status": "completed",
                "result_text": text["result_text"],
                "result_url": None,
                "tokens_spent": 2,
                "is_favorited": False,
                "user_rating": None,
                "created_at": "2026-03-08T12:00:00Z",
            }
        ],
        "total": 1,
        "page": 1,
        "limit": 20,
    }


def test_a_transcription_has_the_stt_pages_fields(api: Api) -> None:
    reply = api.http.post("/stt", files={"audio": ("line.mp3", b"bytes")}).json()
    assert set(reply) == {"id", "status", "model_slug", "result_text", "tokens_spent", "processing_ms"}
    assert (reply["model_slug"], reply["tokens_spent"]) == ("whisper", 2)

"""Streams: both event dialects, the text that deltas add up to, the bill, and leaving early."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest

from .conftest import Api, Start


def events_of(reply: httpx.Response) -> list[Any]:
    assert reply.headers["content-type"].startswith("text/event-stream"), reply.text
    blocks = reply.text.split("\n\n")
    assert blocks.pop() == ""
    assert all(block.startswith("data: ") for block in blocks)
    data = [block.removeprefix("data: ") for block in blocks]
    return [one if one == "[DONE]" else json.loads(one) for one in data]


@pytest.mark.parametrize(
    ("path", "extra", "bill"),
    [
        ("/generate", {"stream": True}, {"tokens_used": 2, "balance_remaining": 99_998}),
        ("/generate/stream", {}, {"tokens_spent": 2}),
    ],
)
@pytest.mark.parametrize("dialect", ["A", "B"])
def test_a_stream_tells_start_deltas_end_and_done(
    start: Start, path: str, extra: dict[str, Any], bill: dict[str, int], dialect: str
) -> None:
    api = start(dialect=dialect)
    first, *deltas, last, done = events_of(api.post(path, {"model": "gpt-5", "prompt": "Good morning", **extra}))
    assert first == {"type": "generation_start", "id": first["id"], "model": "gpt-5"}
    assert isinstance(first["id"], int) == (dialect == "A")
    assert {event["type"] for event in deltas} == {"content_delta"}
    text = "".join(event["delta"] for event in deltas)
    assert last == {"type": "generation_end", "id": first["id"], **bill}
    assert done == "[DONE]"
    assert api.get(f"/generate/{first['id']}").json()["result_text"] == text
    assert api.sandbox.ledger.charged == 2


@pytest.mark.parametrize("model", ["dall-e-3", "kling-v2.1", "openai-tts", "musicgen"])
def test_only_texts_stream(api: Api, model: str) -> None:
    reply = api.post("/generate/stream", {"model": model, "prompt": "A fox"})
    assert (reply.status_code, reply.json()["error"]) == (422, "validation_error")


def test_a_stream_without_a_credential_is_refused_before_it_starts(api: Api) -> None:
    reply = api.post("/generate/stream", {"model": "gpt-5", "prompt": "x"}, headers={"Authorization": ""})
    assert (reply.status_code, reply.headers["content-type"]) == (401, "application/json")


def test_a_cut_stream_leaves_a_generation_that_completes(start: Start) -> None:
    api = start(faults={"cut-stream": 1})
    got = bytearray()
    with pytest.raises(httpx.RemoteProtocolError, match="peer closed"):
        api.drain(got, "POST", "/generate", json={"model": "gpt-5", "prompt": "x", "stream": True})
    text = got.decode()
    assert "content_delta" in text
    assert "generation_end" not in text
    first = json.loads(text.split("\n\n")[0].removeprefix("data: "))
    assert api.get(f"/generate/{first['id']}").json()["status"] == "pending"
    api.clock.advance(1)
    assert api.get(f"/generate/{first['id']}").json()["status"] == "completed"
    assert api.sandbox.ledger.charged == 2


@pytest.mark.parametrize("fault", ["stream-error", "fail-generation"])
def test_a_stream_that_fails_says_so_and_costs_nothing(start: Start, fault: str) -> None:
    api = start(faults={fault: 1})
    events = events_of(api.post("/generate/stream", {"model": "gpt-5", "prompt": "x"}))
    assert events[-1]["type"] == "error"
    assert "rror" in events[-1]["message"]
    assert events[1]["type"] == "content_delta"
    assert api.get(f"/generate/{events[0]['id']}").json()["status"] == "failed"
    assert api.sandbox.ledger.charged == 0


def test_a_client_that_leaves_a_slow_stream_ends_it(start: Start) -> None:
    api = start(stream_delay=0.2)
    body = {"model": "gpt-5", "prompt": "x", "stream": True}
    with api.http.stream("POST", "/generate", json=body) as reply:
        next(reply.iter_raw())
    record = next(iter(api.sandbox.ledger.generations.values()))
    assert record.status == "pending"
    api.clock.advance(60)
    assert api.sandbox.ledger.charged == 2


def test_a_finished_stream_is_charged_once_whatever_the_clock_says_later(api: Api) -> None:
    api.post("/generate/stream", {"model": "gpt-5", "prompt": "x"})
    api.clock.advance(10)
    assert api.get("/balance").json()["token_balance"] == 99_998
    assert api.sandbox.ledger.charged == 2


def test_a_slow_stream_takes_its_time(start: Start) -> None:
    api = start(stream_delay=0.04, speed=2)
    begin = time.monotonic()
    events_of(api.post("/generate/stream", {"model": "gpt-5", "prompt": "x", "params": {"max_tokens": 4}}))
    assert time.monotonic() - begin >= 0.08

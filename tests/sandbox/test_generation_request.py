"""Which requests are accepted, in both forms, and what the refused ones are told."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from neuralbox._api import vocabulary as words
from neuralbox.sandbox._media.texts import json_answer_to

from .conftest import Api, Start

USER = {"role": "user", "content": "Hello"}
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/image.jpg"}}


@pytest.mark.parametrize(
    "body",
    [
        {"model": "gpt-5", "prompt": "Hello"},
        {"model": "gpt-5", "messages": [USER]},
        {"model": "gpt-5", "messages": [{"role": "system", "content": "Be brief."}, USER], "system": "Be kind."},
        {"model": "gpt-5", "prompt": "Hello", "params": {"messages": [USER], "system_prompt": "Be kind."}},
        {"model": "gpt-5", "prompt": "Hello", "temperature": 0, "max_tokens": None, "stream": False},
        {"model": "gpt-5", "prompt": "Hello", "params": {"temperature": 2.0, "max_tokens": 200}},
        {"model": "gpt-5", "messages": [{"role": "user", "content": [PICTURE, {"type": "text", "text": "What?"}]}]},
        {"model": "gpt-5", "prompt": "Hello", "params": None, "top_p": 0.5},
        {"model": "midjourney", "prompt": "A fox", "params": {"aspect_ratio": "2:3"}},
        {"model": "dall-e-3", "prompt": "A fox", "style": "vivid", "quality": "hd", "seed": -1},
        {"model": "flux-kontext-pro", "prompt": "A fox", "image_url": "https://example.com/fox.png"},
        {"model": "luma-ray2", "prompt": "A fox", "duration": 10, "aspect_ratio": "1:1", "negative_prompt": "rain"},
        {"model": "openai-tts", "prompt": "Read this", "speed": 2, "voice_id": "nova"},
        {"model": "upscale", "image_url": "https://example.com/fox.png"},
    ],
)
def test_both_forms_of_a_request_are_accepted(api: Api, body: dict[str, Any]) -> None:
    reply = api.post("/generate", body)
    assert reply.status_code == 200, reply.text
    assert reply.json()["status"] in {"completed", "pending"}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"prompt": "Hello"}, 400, "bad_request"),
        ({"model": "gpt-5"}, 400, "bad_request"),
        ({"model": "dall-e-3"}, 400, "bad_request"),
        ({"model": "openai-tts"}, 400, "bad_request"),
        ({"model": "upscale"}, 400, "bad_request"),
        ({"model": "whisper", "prompt": "Hello"}, 400, "bad_request"),
        ([], 400, "bad_request"),
        ({"model": "gpt-6", "prompt": "Hello"}, 404, "not_found"),
        ({"assistant_id": "asst_nobody", "messages": [USER]}, 404, "not_found"),
    ],
)
def test_what_is_missing_or_unknown_is_said_with_its_status(api: Api, body: object, status: int, code: str) -> None:
    reply = api.post("/generate", body)
    assert reply.status_code == status
    assert set(reply.json()) == {"error", "message", "details"}
    assert reply.json()["error"] == code
    assert api.sandbox.ledger.generations == {}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_a_body_that_is_not_json_is_a_bad_request(api: Api, content: bytes) -> None:
    reply = api.http.post("/generate", content=content)
    assert (reply.status_code, reply.json()["error"]) == (400, "bad_request")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"model": 5, "prompt": "Hello"}, "model"),
        ({"model": "gpt-5", "prompt": ""}, "prompt"),
        ({"model": "gpt-5", "prompt": 7}, "prompt"),
        ({"model": "gpt-5", "prompt": "Hello", "params": []}, "params"),
        ({"model": "gpt-5", "prompt": "Hello", "temperature": 2.1}, "temperature"),
        ({"model": "gpt-5", "prompt": "Hello", "params": {"temperature": "hot"}}, "temperature"),
        ({"model": "gpt-5", "prompt": "Hello", "temperature": True}, "temperature"),
        ({"model": "gpt-5", "prompt": "Hello", "max_tokens": 0}, "max_tokens"),
        ({"model": "gpt-5", "prompt": "Hello", "max_tokens": 1.5}, "max_tokens"),
        ({"model": "gpt-5", "prompt": "Hello", "stream": "yes"}, "stream"),
        ({"model": "gpt-5", "messages": []}, "messages"),
        ({"model": "gpt-5", "messages": "Hello"}, "messages"),
        ({"model": "gpt-5", "messages": ["Hello"]}, "messages.0"),
        ({"model": "gpt-5", "messages": [{"role": "robot", "content": "Hello"}]}, "messages.0.role"),
        ({"model": "gpt-5", "messages": [{"role": "user", "content": " "}]}, "messages.0.content"),
        ({"model": "gpt-5", "messages": [{"role": "user", "content": []}]}, "messages.0.content"),
        ({"model": "gpt-5", "messages": [{"role": "user", "content": [{"type": "sound"}]}]}, "messages.0.content.0"),
        ({"model": "gpt-5", "messages": [{"role": "user", "content": ["Hello"]}]}, "messages.0.content.0"),
        ({"model": "deepseek-r1", "messages": [{"role": "user", "content": [PICTURE]}]}, "messages.0.content.0"),
        ({"model": "dall-e-3", "prompt": "A fox", "size": "768x1344"}, "size"),
        ({"model": "midjourney-v6", "prompt": "A fox", "size": "1024x1024"}, "size"),
        ({"model": "midjourney-v6", "prompt": "A fox", "aspect_ratio": "4:3"}, "aspect_ratio"),
        ({"model": "dall-e-3", "prompt": "A fox", "format": "gif"}, "format"),
        ({"model": "dall-e-3", "prompt": "A fox", "quality": "best"}, "quality"),
        ({"model": "dall-e-3", "prompt": "A fox", "style": "baroque"}, "style"),
        ({"model": "dall-e-3", "prompt": "A fox", "seed": "7"}, "seed"),
        ({"model": "dall-e-3", "prompt": "A fox", "image_url": "ftp://a.test/x.png"}, "image_url"),
        ({"model": "kling-v2.1", "prompt": "A fox", "duration": 7}, "duration"),
        ({"model": "kling-v2.1", "prompt": "A fox", "aspect_ratio": "2:3"}, "aspect_ratio"),
        ({"model": "kling-v2.1", "prompt": "A fox", "stream": True}, "stream"),
        ({"model": "openai-tts", "text": "Hello", "speed": 2.5}, "speed"),
        ({"model": "openai-tts", "text": "Hello", "format": "flac"}, "format"),
        ({"model": "openai-tts", "text": "x" * 5_001}, "text"),
        ({"model": "musicgen", "prompt": "Jazz", "duration": 14}, "duration"),
        ({"model": "musicgen", "prompt": "Jazz", "duration": 121}, "duration"),
    ],
)
def test_a_wrong_value_is_named_in_the_details(api: Api, body: dict[str, Any], field: str) -> None:
    reply = api.post("/generate", body)
    assert reply.status_code == 422, reply.text
    assert reply.json()["error"] == "validation_error"
    assert list(reply.json()["details"]["fields"]) == [field]
    assert api.get("/balance").json()["token_balance"] == 100_000


def test_all_wrong_fields_are_named_at_once(api: Api) -> None:
    reply = api.post("/generate", {"model": "dall-e-3", "prompt": "A fox", "size": "1x1", "format": "gif"})
    assert set(reply.json()["details"]["fields"]) == {"size", "format"}


@pytest.mark.parametrize("model", sorted(words.IMAGE_SIZES))
def test_every_documented_size_of_a_model_is_accepted(api: Api, model: str) -> None:
    for size in words.IMAGE_SIZES[model]:
        assert api.make(model, size=size)["status"] in {"completed", "pending"}


def test_the_top_level_wins_over_params(api: Api) -> None:
    image = api.make("flux-1.1-pro", size="768x1344", params={"size": "1344x768"})
    assert image["result_metadata"] == {"width": 768, "height": 1344}


def test_the_last_user_message_is_the_prompt_of_the_history(api: Api) -> None:
    turns = [USER, {"role": "assistant", "content": "Hi."}, {"role": "user", "content": "And now?"}]
    text = api.post("/generate", {"model": "gpt-5", "messages": turns}).json()
    assert api.sandbox.ledger.generations[text["id"]].prompt == "And now?"


def test_max_tokens_bounds_an_answer(api: Api) -> None:
    assert len(api.make("gpt-5", max_tokens=3)["result_text"].split(" ")) == 3


def test_the_same_prompt_has_the_same_answer(api: Api) -> None:
    long = "word " * 60
    assert api.make("gpt-5", long)["result_text"] == api.make("gpt-5", long)["result_text"]
    assert api.make("gpt-5", "one")["result_text"] != api.make("gpt-5", "two")["result_text"]


@pytest.mark.parametrize(
    ("model", "field", "ending"),
    [("text-ocr", "result_text", ""), ("remove-bg", "result_url", ".webp"), ("elevenlabs-sfx", "result_url", ".mp3")],
)
def test_a_tool_answers_what_its_kind_makes(api: Api, model: str, field: str, ending: str) -> None:
    made = api.make(model)
    assert made[field].endswith(ending)
    assert api.get("/user/history", params={"type": "tool"}).json()["total"] == 1


@pytest.mark.parametrize(
    ("model", "options", "price"),
    [
        ("dall-e-3", {}, 5),
        ("dall-e-3", {"size": "1024x1792"}, 9),
        ("dall-e-3", {"size": "1024x1792", "quality": "hd"}, 13),
        ("gpt-image-1.5", {"quality": "hd"}, 14),
        ("gpt-image-1.5", {"size": "1024x1792"}, 2),
        ("gpt-image-1.5", {"size": "1792x1024", "quality": "hd"}, 21),
        ("nano-banana-pro", {"quality": "hd"}, 16),
        ("kling-v2.1", {"duration": 5}, 26),
        ("kling-v2.1", {"duration": 10}, 52),
        ("musicgen", {"duration": 120}, 9),
        ("claude-opus-4.5", {}, 6),
    ],
)
def test_what_calculate_price_says_is_what_is_charged(
    api: Api, model: str, options: dict[str, Any], price: int
) -> None:
    quoted = api.post(f"/models/{model}/calculate-price", {"params": options}).json()
    assert quoted["token_cost"] == price
    assert quoted["min_token_cost"] <= price <= quoted["max_token_cost"]
    api.make(model, **options)
    api.clock.advance(200)
    assert [charge.tokens for charge in api.sandbox.ledger.charges] == [price]


def test_slow_music_is_pending_when_asked_for(start: Start) -> None:
    api = start(slow_music=True)
    music = api.make("musicgen")
    assert music["status"] == "pending"
    api.clock.advance(40)
    assert api.get(f"/generate/{music['id']}").json()["result_metadata"] == {"duration": 30}


@pytest.mark.parametrize(
    ("files", "data", "status", "field"),
    [
        ({"audio": ("a.mp3", b"x")}, {"model": "gpt-4o-transcribe", "language": "ru"}, 200, ""),
        ({"audio": ("a.txt", b"x")}, {}, 422, "audio"),
        ({"audio": ("a.mp3", b"")}, {}, 422, "audio"),
        ({"audio": ("a.mp3", bytes(words.MAX_UPLOAD_BYTES + 1))}, {}, 422, "audio"),
        ({"audio": ("a.mp3", b"x")}, {"diarize": "maybe"}, 422, "diarize"),
        ({"audio": ("a.mp3", b"x"), "model": ("m.txt", b"whisper")}, {}, 422, "model"),
        ({"other": ("a.mp3", b"x")}, {}, 400, ""),
        ({"other": ("a.mp3", b"x")}, {"audio": "text"}, 422, "audio"),
        ({"audio": ("a.mp3", b"x")}, {"model": "gpt-5"}, 400, ""),
        ({"audio": ("a.mp3", b"x")}, {"model": "shouter"}, 404, ""),
    ],
)
def test_a_transcription_is_strict_about_its_form(
    api: Api, files: Any, data: dict[str, str], status: int, field: str
) -> None:
    reply = api.http.post("/stt", files=files, data=data)
    assert reply.status_code == status, reply.text
    if field:
        assert list(reply.json()["details"]["fields"]) == [field]


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data", "multipart/form-data; boundary=x"])
def test_a_transcription_that_is_no_form_is_a_bad_request(api: Api, content_type: str) -> None:
    reply = api.http.post("/stt", content=b"{}", headers={"Content-Type": content_type})
    assert (reply.status_code, reply.json()["error"]) == (400, "bad_request")


def test_speakers_are_labelled_on_request(api: Api) -> None:
    form = {"model": "elevenlabs-scribe", "diarize": "true"}
    text = api.http.post("/stt", files={"audio": ("a.ogg", b"x")}, data=form).json()["result_text"]
    assert text.startswith("[Speaker 1]: ")
    assert "[Speaker 2]: " in text


# Answers in JSON.


class Tree(BaseModel):
    name: str = Field(min_length=300)
    left: Tree | None
    children: list[Tree]


class Everything(BaseModel):
    whole: int = Field(ge=3, le=5)
    above: float = Field(gt=1)
    flag: bool
    nothing: None
    colour: Literal["red", "green"]
    only: Literal["one"]
    when: datetime
    short: str = Field(max_length=3)
    few: list[int] = Field(min_length=3)
    at_most_one: list[int] = Field(max_length=1)
    table: dict[str, int]
    either: int | str
    tree: Tree


def test_a_schema_is_answered_with_a_value_that_fits_it() -> None:
    for number in range(5):
        asked = f"Number {number} {{of five}}. Some JSON: {{}} [1] JSON Schema:\n{json.dumps(Everything.model_json_schema())}"
        answer = json_answer_to(asked)
        assert answer is not None
        assert answer == json_answer_to(asked)
        Everything.model_validate_json(answer[answer.index("{") : answer.rindex("}") + 1])
        cut = json_answer_to(asked, max_tokens=3)
        assert cut is not None
        assert len(cut.split(" ")) == 3


@pytest.mark.parametrize("asked", ["Parse JSON {safely}.", 'JSON {"a": 1}', '{"type": "string"}', "JSON " + "{" * 99])
def test_what_is_no_schema_is_answered_in_prose(asked: str) -> None:
    assert json_answer_to(asked) is None

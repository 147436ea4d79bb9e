"""Every method of every resource, against a script: which method, path, query and body leave, in each dialect."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from neuralbox import Message
from neuralbox._api import vocabulary as words
from neuralbox._config import Dialect
from neuralbox._core.exchange import Core
from neuralbox._resources.account import Account
from neuralbox._resources.assistants import Assistants
from neuralbox._resources.generate import Generate
from neuralbox._resources.generations import Generations
from neuralbox._resources.history import History
from neuralbox._resources.images import Images
from neuralbox._resources.keys import Keys
from neuralbox._resources.models import Models
from neuralbox._resources.music import Music
from neuralbox._resources.speech import Speech
from neuralbox._resources.text import Text
from neuralbox._resources.tools import Tools
from neuralbox._resources.transcriptions import Transcriptions
from neuralbox._resources.videos import Videos
from neuralbox._types import OMIT, JobRef
from tests.helpers import Streamed, make_core, reply

pytestmark = [pytest.mark.anyio, pytest.mark.uncovered]

DONE: dict[str, Any] = {
    "id": 18473,
    "status": "completed",
    "result_text": "t",
    "result_url": "https://storage.test/18473.bin",
    "tokens_spent": 3,
    "items": [],
}
DOCUMENTED, FLAT, NESTED = Dialect(), Dialect(options="flat"), Dialect(options="nested")
ANY = (DOCUMENTED, FLAT, NESTED)
TURNS: list[Message] = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Yes?"},
    {"role": "user", "content": "Go"},
]
SEES: list[Message] = [
    {
        "role": "user",
        "content": [
            {"type": "image_url", "image_url": {"url": "https://example.com/image.jpg"}},
            {"type": "text", "text": "What's in this image?"},
        ],
    }
]


@dataclass(frozen=True)
class Case:
    """One call, and what it must send; `body` is JSON, None for none."""

    name: str
    call: Callable[[Core], Any]
    method: str
    path: str
    body: Any = None
    query: dict[str, str] = field(default_factory=dict)
    dialects: tuple[Dialect, ...] = ANY
    slow: bool = False


def paid(name: str, call: Callable[[Core], Any], body: Any, *dialects: Dialect, path: str = "/generate") -> Case:
    return Case(name, call, "POST", path, body, dialects=dialects or ANY, slow=True)


def image(core: Core) -> Any:
    return Images(core).create(
        model="flux-1.1-pro",
        prompt="a cat",
        negative_prompt="dogs",
        size="768x1344",
        format="png",
        quality="hd",
        style="vivid",
        seed=0,
        image_url="https://example.com/in.png",
        aspect_ratio="16:9",
    )


IMAGE_OPTIONS = {
    "negative_prompt": "dogs",
    "size": "768x1344",
    "format": "png",
    "quality": "hd",
    "style": "vivid",
    "seed": 0,
    "image_url": "https://example.com/in.png",
    "aspect_ratio": "16:9",
}


def text(core: Core, **more: Any) -> Any:
    return Text(core).create(model="claude-sonnet-4.5", system="Be brief.", temperature=0.5, max_tokens=None, **more)


def speech(core: Core) -> Any:
    return Speech(core).create(model="openai-tts", text="Hello", voice_id="nova", speed=0.5, format="wav")


def video(core: Core) -> Any:
    return Videos(core).create(
        model="kling-v2.1", prompt="a boat", image_url="https://example.com/a.png", duration=10, aspect_ratio="9:16"
    )


VIDEO_OPTIONS = {"image_url": "https://example.com/a.png", "duration": 10, "aspect_ratio": "9:16"}

CASES = [
    # Numbers are sections of docs/service/neuralbox.md. 2.1 generate, the quickstart's shape (SEED 001).
    paid(
        "generate",
        lambda core: Generate(core).create(model="gpt-5", prompt="Explain quantum computing in simple terms"),
        {"model": "gpt-5", "prompt": "Explain quantum computing in simple terms"},
    ),
    paid(
        "generate with params",
        lambda core: Generate(core).create(model="dall-e-3", prompt="A city", params={"size": "1024x1024"}),
        {"model": "dall-e-3", "prompt": "A city", "params": {"size": "1024x1024"}},
        DOCUMENTED,
        NESTED,
    ),
    paid(
        "generate with params, flat",
        lambda core: Generate(core).submit(model="dall-e-3", prompt="A city", params={"size": "1024x1024"}),
        {"model": "dall-e-3", "prompt": "A city", "size": "1024x1024"},
        FLAT,
    ),
    # 2.1.2 text (SEED 003 flat, SEED 001 and the create page nested).
    paid("text", lambda core: Text(core).create(model="gpt-5", prompt="Hi"), {"model": "gpt-5", "prompt": "Hi"}),
    paid(
        "text, all options",
        lambda core: text(core, prompt="Hi"),
        {
            "model": "claude-sonnet-4.5",
            "prompt": "Hi",
            "system": "Be brief.",
            "temperature": 0.5,
            "max_tokens": None,
        },
        DOCUMENTED,
        FLAT,
    ),
    paid(
        "text, all options, nested",
        lambda core: text(core, prompt="Hi"),
        {
            "model": "claude-sonnet-4.5",
            "prompt": "Hi",
            "params": {"system_prompt": "Be brief.", "temperature": 0.5, "max_tokens": None},
        },
        NESTED,
    ),
    paid(
        "text with turns",
        lambda core: Text(core).create(model="gpt-5", messages=TURNS),
        {"model": "gpt-5", "messages": TURNS},
        DOCUMENTED,
        FLAT,
    ),
    paid(
        "text with turns, nested",
        lambda core: Text(core).create(model="gpt-5", messages=TURNS),
        {"model": "gpt-5", "prompt": "Go", "params": {"messages": TURNS[:2]}},
        NESTED,
    ),
    paid(
        "text with turns and a new one",
        lambda core: Text(core).create(model="gpt-5", messages=TURNS[:2], prompt="Go"),
        {"model": "gpt-5", "messages": TURNS},
        DOCUMENTED,
        FLAT,
    ),
    paid(
        "text with turns and a new one, nested",
        lambda core: Text(core).create(model="gpt-5", messages=TURNS[:2], prompt="Go"),
        {"model": "gpt-5", "prompt": "Go", "params": {"messages": TURNS[:2]}},
        NESTED,
    ),
    paid(
        "text that sees",
        lambda core: Text(core).create(model="gpt-5", messages=SEES),
        {"model": "gpt-5", "messages": SEES},
        DOCUMENTED,
        FLAT,
    ),
    paid(
        "text of an assistant",
        lambda core: Text(core).create(assistant_id="asst_1", messages=TURNS),
        {"assistant_id": "asst_1", "messages": TURNS},
        DOCUMENTED,
        FLAT,
    ),
    # 2.1.3 images (SEED 002 flat, SEED 001 nested).
    paid("image", image, {"model": "flux-1.1-pro", "prompt": "a cat", **IMAGE_OPTIONS}, DOCUMENTED, FLAT),
    paid("image, nested", image, {"model": "flux-1.1-pro", "prompt": "a cat", "params": IMAGE_OPTIONS}, NESTED),
    paid(
        "image submitted",
        lambda core: Images(core).submit(model="midjourney-v6", prompt="a cat", size="16:9"),
        {"model": "midjourney-v6", "prompt": "a cat", "size": "16:9"},
        DOCUMENTED,
        FLAT,
    ),
    # 2.1.4 videos.
    paid("video", video, {"model": "kling-v2.1", "prompt": "a boat", **VIDEO_OPTIONS}, DOCUMENTED, FLAT),
    paid("video, nested", video, {"model": "kling-v2.1", "prompt": "a boat", "params": VIDEO_OPTIONS}, NESTED),
    paid(
        "video submitted",
        lambda core: Videos(core).submit(model="luma-ray2", prompt="a boat", negative_prompt="land"),
        {"model": "luma-ray2", "prompt": "a boat", "negative_prompt": "land"},
        DOCUMENTED,
        FLAT,
    ),
    # 2.1.5 speech (C17: `text` flat, `prompt` nested).
    paid(
        "speech",
        speech,
        {"model": "openai-tts", "text": "Hello", "voice_id": "nova", "speed": 0.5, "format": "wav"},
        DOCUMENTED,
        FLAT,
    ),
    paid(
        "speech, nested",
        speech,
        {
            "model": "openai-tts",
            "prompt": "Hello",
            "params": {"voice_id": "nova", "speed": 0.5, "format": "wav"},
        },
        NESTED,
    ),
    # 2.1.6 music.
    paid(
        "music",
        lambda core: Music(core).create(model="musicgen", prompt="slow jazz", duration=45),
        {"model": "musicgen", "prompt": "slow jazz", "duration": 45},
        DOCUMENTED,
        FLAT,
    ),
    paid(
        "music submitted, nested",
        lambda core: Music(core).submit(model="musicgen", prompt="slow jazz", duration=45),
        {"model": "musicgen", "prompt": "slow jazz", "params": {"duration": 45}},
        NESTED,
    ),
    # 2.1.7 tools.
    paid(
        "tool",
        lambda core: Tools(core).create(model="upscale", image_url="https://example.com/a.png", params={"scale": 2}),
        {"model": "upscale", "image_url": "https://example.com/a.png", "scale": 2},
        DOCUMENTED,
        FLAT,
    ),
    paid(
        "tool submitted, nested",
        lambda core: Tools(core).submit(model="text-ocr", prompt="read", image_url="https://example.com/a.png"),
        {"model": "text-ocr", "prompt": "read", "params": {"image_url": "https://example.com/a.png"}},
        NESTED,
    ),
    # 2.3 and 2.4: the id's shape chooses the path (C2).
    Case("generation by number", lambda core: Generations(core).get(18473), "GET", "/generate/18473"),
    Case("generation by digits", lambda core: Generations(core).get("18473"), "GET", "/generate/18473"),
    Case("generation by text", lambda core: Generations(core).get("gen_1"), "GET", "/generate/status/gen_1"),
    Case("generation by reference", lambda core: Generations(core).get(JobRef(18473)), "GET", "/generate/18473"),
    # 2.5 history.
    Case(
        "history",
        lambda core: History(core).list(),
        "GET",
        "/user/history",
        query={"page": "1", "limit": "20"},
    ),
    Case(
        "history with filters",
        lambda core: History(core).list(
            type="image", model="dall-e-3", status="completed", favorites_only=True, page=3, page_size=100
        ),
        "GET",
        "/user/history",
        query={
            "page": "3",
            "limit": "100",
            "type": "image",
            "model": "dall-e-3",
            "status": "completed",
            "favorites_only": "true",
        },
    ),
    Case(
        "history with the page's filters",
        lambda core: History(core).list(type="tts", model="openai-tts", favorites_only=False),
        "GET",
        "/user/history",
        query={
            "page": "1",
            "limit": "20",
            "category": "tts",
            "model_slug": "openai-tts",
            "favorites_only": "false",
        },
        dialects=(Dialect(history="page"),),
    ),
    # 2.6 to 2.8.
    Case("favorite", lambda core: History(core).favorite(7), "POST", "/user/history/7/favorite"),
    Case("rate", lambda core: History(core).rate("gen_1", 4), "POST", "/user/history/gen_1/rate", {"rating": 4}),
    Case("delete", lambda core: History(core).delete("a/b?c"), "DELETE", "/user/history/a%2Fb%3Fc"),
    # 2.9 to 2.13.
    Case("balance", lambda core: Account(core).balance(), "GET", "/balance"),
    Case("me", lambda core: Account(core).me(), "GET", "/user/me"),
    Case(
        "update",
        lambda core: Account(core).update(name="Ada", avatar_url=None),
        "PATCH",
        "/user/me",
        {"name": "Ada", "avatar_url": None},
    ),
    Case(
        "update the other name", lambda core: Account(core).update(username="a"), "PATCH", "/user/me", {"username": "a"}
    ),
    Case("stats", lambda core: Account(core).stats(), "GET", "/user/stats"),
    # 2.14 to 2.16.
    Case("models", lambda core: Models(core).list(), "GET", "/models"),
    Case("model", lambda core: Models(core).get("flux-1.1-pro"), "GET", "/models/flux-1.1-pro"),
    Case(
        "price",
        lambda core: Models(core).price("dall-e-3", size="1024x1792", quality="hd", style=OMIT, count=2),
        "POST",
        "/models/dall-e-3/calculate-price",
        {"params": {"size": "1024x1792", "quality": "hd"}, "count": 2},
    ),
    Case(
        "price with extras",
        lambda core: Models(core).price("gpt-5", extra_body={"currency": "RUB"}, extra_query={"v": 2}),
        "POST",
        "/models/gpt-5/calculate-price",
        {"params": {}, "currency": "RUB"},
        query={"v": "2"},
    ),
    # 2.17 to 2.19.
    Case("key", lambda core: Keys(core).create(name="build"), "POST", "/keys", {"name": "build"}),
    Case("key renamed", lambda core: Keys(core).rename(41, name="new"), "PATCH", "/keys/41", {"name": "new"}),
    Case("key revoked", lambda core: Keys(core).revoke(41), "DELETE", "/keys/41"),
    # 2.21 and 2.22.
    Case(
        "assistant",
        lambda core: Assistants(core).create(name="Ed", model="gpt-5", instructions="Edit.", description="An editor"),
        "POST",
        "/assistants",
        {"name": "Ed", "model": "gpt-5", "instructions": "Edit.", "description": "An editor"},
    ),
    Case("bare assistant", lambda core: Assistants(core).create(name="Ed"), "POST", "/assistants", {"name": "Ed"}),
    Case(
        "marketplace",
        lambda core: Assistants(core).marketplace(category="productivity", limit=5),
        "GET",
        "/assistants/marketplace",
        query={"category": "productivity", "limit": "5"},
    ),
]


@pytest.mark.parametrize(
    ("case", "dialect"),
    [pytest.param(case, dialect, id=f"{case.name}, {dialect.options}") for case in CASES for dialect in case.dialects],
)
async def test_what_leaves_is_what_the_documents_say(case: Case, dialect: Dialect) -> None:
    bench = make_core([reply(200, DONE)], dialect=dialect)
    await case.call(bench.core)
    (sent,) = bench.sent
    assert (sent.method, sent.path, sent.query, sent.json) == (case.method, case.path, case.query, case.body)
    assert sent.timeouts.read == (300.0 if case.slow else 30.0)
    assert sent.headers["accept"] == "application/json"


# 2.2: streams, by the switch (SEED 003) or by the path, whose page knows the nested form only (C11).


@pytest.mark.parametrize(
    ("dialect", "path", "body"),
    [
        (Dialect(), "/generate", {"model": "gpt-5", "prompt": "Hi", "temperature": 0.5, "stream": True}),
        (
            Dialect(options="nested"),
            "/generate",
            {"model": "gpt-5", "prompt": "Hi", "params": {"temperature": 0.5}, "stream": True},
        ),
        (
            Dialect(stream="path"),
            "/generate/stream",
            {"model": "gpt-5", "prompt": "Hi", "params": {"temperature": 0.5}},
        ),
        (
            Dialect(stream="path", options="flat"),
            "/generate/stream",
            {"model": "gpt-5", "prompt": "Hi", "temperature": 0.5},
        ),
    ],
)
async def test_a_stream_is_asked_for_in_either_way(dialect: Dialect, path: str, body: Any) -> None:
    events = b'data: {"type": "content_delta", "delta": "Hello"}\n\ndata: [DONE]\n\n'
    bench = make_core([Streamed([events])], dialect=dialect)
    stream = Text(bench.core).stream(model="gpt-5", prompt="Hi", temperature=0.5)
    assert bench.sent == []
    async with stream:
        assert [piece async for piece in stream] == ["Hello"]
    (sent,) = bench.sent
    assert (sent.method, sent.path, sent.json) == ("POST", path, body)
    assert (sent.headers["accept"], sent.timeouts.read) == ("text/event-stream", 300.0)
    assert bench.transport.open_streams == 0


def test_no_endpoint_is_forgotten() -> None:
    elsewhere = {words.GENERATE_STREAM, words.STT}  # below and above
    logins = {words.AUTH_TELEGRAM, words.AUTH_LOGIN, words.AUTH_PHONE, words.AUTH_GOOGLE, words.AUTH_REFRESH}
    second_path = {words.USER_BALANCE}  # tests/resources/test_answers.py
    documented = {
        value
        for name, value in vars(words).items()
        if isinstance(value, str) and value.startswith("/") and name.isupper() and name != "PREFIX"
    }

    def reached(template: str) -> bool:
        pattern = re.sub(r"\{\w+\}", "[^/]+", template)
        return any(re.fullmatch(pattern, case.path) for case in CASES)

    assert {one for one in documented if not reached(one)} == elsewhere | logins | second_path


# 2.20: the upload.


async def test_a_recording_goes_out_as_a_form() -> None:
    bench = make_core([reply(200, DONE)])
    generation = await Transcriptions(bench.core).create(
        audio=b"ID3", file_name="talk.mp3", model="elevenlabs-scribe", language="ru", diarize=True
    )
    (sent,) = bench.sent
    assert (sent.method, sent.path, sent.content) == ("POST", "/stt", b"")
    assert sent.form is not None
    (file,) = sent.form.files
    assert (file.name, file.file_name, file.content) == ("audio", "talk.mp3", b"ID3")
    assert file.content_type == "audio/mpeg"
    assert sent.form.fields == {"model": "elevenlabs-scribe", "language": "ru", "diarize": "true"}
    assert (generation.kind, generation.model, generation.text) == ("stt", "elevenlabs-scribe", "t")


async def test_a_recording_with_nothing_said_about_it_goes_to_whisper() -> None:
    bench = make_core([reply(200, DONE)])
    await Transcriptions(bench.core).create(audio=b"x", file_name="talk.wav", diarize=False)
    assert bench.sent[0].form is not None
    assert bench.sent[0].form.fields == {"model": "whisper", "diarize": "false"}


# What comes back.

KINDS: list[tuple[str | None, Callable[[Core], Any]]] = [
    (None, lambda core: Generate(core).create(model="some-model", prompt="x")),
    ("text", lambda core: Text(core).create(model="some-model", prompt="x")),
    ("image", lambda core: Images(core).create(model="some-model", prompt="x")),
    ("video", lambda core: Videos(core).create(model="some-model", prompt="x")),
    ("tts", lambda core: Speech(core).create(model="some-model", text="x")),
    ("audio", lambda core: Music(core).create(model="some-model", prompt="x")),
    ("tool", lambda core: Tools(core).create(model="some-model", prompt="x")),
    ("stt", lambda core: Transcriptions(core).create(model="some-model", audio=b"x", file_name="a.mp3")),
]


@pytest.mark.parametrize(("kind", "create"), KINDS)
async def test_a_resource_knows_the_kind_and_model_that_an_answer_leaves_out(kind: str | None, create: Any) -> None:
    bench = make_core([reply(200, DONE)])
    generation = await create(bench.core)
    assert (generation.id, generation.kind, generation.model) == (18473, kind, "some-model")


@pytest.mark.parametrize(("kind", "model"), [("image", "dall-e-3"), ("video", "sora-2"), ("tool", "text-ocr")])
async def test_the_quickstarts_shape_knows_the_kind_of_a_model_of_the_catalogue(kind: str, model: str) -> None:
    bench = make_core([reply(200, DONE), reply(200, DONE)])
    assert (await Generate(bench.core).create(model=model, prompt="x")).kind == kind
    assert (await Generate(bench.core).submit(model=model, prompt="x")).ref.kind == kind


@pytest.mark.parametrize(("kind", "create"), KINDS)
async def test_what_an_answer_says_stands(kind: str | None, create: Any) -> None:
    bench = make_core([reply(200, {**DONE, "type": "other", "model_slug": "midjourney"})])
    generation = await create(bench.core)
    assert (generation.kind, generation.model) == ("other", "midjourney")

"""Requests of a batch: the rules of their kinds before anything is sent, and JSON there and back."""

from __future__ import annotations

import inspect
import json
import pickle
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from neuralbox._config import Dialect
from neuralbox._errors import ConfigurationError
from neuralbox._requests.json_lines import NEURALBOX_KINDS, check, read_requests, request_from_dict
from neuralbox._requests.requests import (
    REQUESTS,
    BatchRequest,
    GenerateRequest,
    ImageRequest,
    MusicRequest,
    SpeechRequest,
    TextRequest,
    ToolRequest,
    TranscriptionRequest,
    VideoRequest,
)
from neuralbox._resources.generate import Generate
from neuralbox._resources.images import Images
from neuralbox._resources.music import Music
from neuralbox._resources.speech import Speech
from neuralbox._resources.text import Text
from neuralbox._resources.tools import Tools
from neuralbox._resources.transcriptions import Transcriptions
from neuralbox._resources.videos import Videos
from neuralbox._types import OMIT

from ..helpers import make_core, reply

pytestmark = pytest.mark.anyio

RESOURCES: dict[Any, tuple[Any, dict[str, Any]]] = {
    TextRequest: (Text, {"model": "gpt-5", "prompt": "Good morning", "temperature": 0.5, "max_tokens": None}),
    ImageRequest: (Images, {"model": "flux-1.1-pro", "prompt": "A lighthouse", "size": "768x1344", "seed": 0}),
    VideoRequest: (Videos, {"model": "kling-v2.1", "prompt": "A ship", "duration": 5, "aspect_ratio": "16:9"}),
    SpeechRequest: (Speech, {"model": "openai-tts", "text": "Hello", "speed": 1.5}),
    MusicRequest: (Music, {"model": "musicgen", "prompt": "Slow", "duration": 30}),
    ToolRequest: (Tools, {"model": "upscale", "image_url": "http://a.test/b.png", "params": {"scale": 2}}),
    TranscriptionRequest: (
        Transcriptions,
        {"audio": b"sound", "file_name": "a.mp3", "language": "en", "diarize": True},
    ),
    GenerateRequest: (Generate, {"model": "dall-e-3", "prompt": "A tree", "params": {"quality": "hd"}}),
}
_NO_OPTIONS = {"self", "wait_timeout", "call", "on_accepted", "journal", "key", "schema", "repair"}


@pytest.mark.parametrize("kind", REQUESTS)
def test_a_request_has_the_options_of_its_resource_and_no_others(kind: Any) -> None:
    options = inspect.signature(RESOURCES[kind][0].create).parameters
    fields = inspect.signature(kind).parameters
    assert {name: field.default for name, field in fields.items() if name not in ("key", "extra_body")} == {
        name: option.default for name, option in options.items() if name not in _NO_OPTIONS
    }


@pytest.mark.parametrize("options", ["documented", "flat", "nested"])
@pytest.mark.parametrize("kind", REQUESTS)
async def test_a_request_sends_what_its_resource_sends(kind: Any, options: Any) -> None:
    resource, arguments = RESOURCES[kind]
    bench = make_core([reply(200, {"id": 1, "status": "completed"})], dialect=Dialect(options=options))
    extra = {"later": 1}
    await resource(bench.core).create(**arguments, extra_body=extra)
    request = kind(**arguments, extra_body=extra)
    check(request, bench.core.options.dialect)
    if isinstance(request, TranscriptionRequest):
        form = bench.sent[0].form
        built = (await request.prepare(bench.core.options.dialect)).form
        assert form is not None
        assert built is not None
        assert {**built.fields, "later": "1"} == form.fields
        assert built.files == form.files
    else:
        assert await request.prepare(bench.core.options.dialect) == request.build(bench.core.options.dialect)
        assert {**(request.build(bench.core.options.dialect).body or {}), **extra} == bench.sent[0].json


OTHERS: dict[str, Any] = {
    "aspect_ratio": "9:16",
    "audio": b"another",
    "diarize": False,
    "duration": 20,
    "format": "png",
    "image_url": "https://a.test/other.png",
    "messages": [{"role": "user", "content": "Hi"}],
    "params": {"scale": 4},
    "quality": "hd",
    "seed": 7,
    "size": "1024x1024",
    "speed": 0.5,
    "temperature": 0.25,
    "max_tokens": 7,
}
"""Of options that are no text at all, or none of which any would do: another value than in `RESOURCES`."""


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, each.name) for kind in REQUESTS for each in fields(kind) if each.name not in ("key", "extra_body")],
)
async def test_every_option_of_a_request_changes_what_is_sent(kind: Any, name: str) -> None:
    """Else it would be taken and dropped: it is for `build` to say where it goes."""
    request = kind(**RESOURCES[kind][1])
    other = replace(request, **{name: OTHERS.get(name, "another")})
    assert await other.prepare(Dialect()) != await request.prepare(Dialect())


@pytest.mark.parametrize("kind", [kind for kind in REQUESTS if kind is not TranscriptionRequest])
def test_a_request_survives_json(kind: Any) -> None:
    request = kind(key="a", **RESOURCES[kind][1])
    record = json.loads(json.dumps(request.to_dict()))
    assert request_from_dict(record) == request
    assert pickle.loads(pickle.dumps(request)) == request


def test_what_was_not_given_is_not_written_and_null_is() -> None:
    assert TextRequest(model="gpt-5", prompt="Hi", max_tokens=None).to_dict() == {
        "kind": "text",
        "model": "gpt-5",
        "prompt": "Hi",
        "max_tokens": None,
    }
    assert request_from_dict({"kind": "text", "prompt": "Hi"}) == TextRequest(prompt="Hi", temperature=OMIT)


def test_a_recording_is_written_down_as_its_path_and_never_as_bytes() -> None:
    class Elsewhere:
        def __fspath__(self) -> str:
            return "talk.mp3"

    assert TranscriptionRequest(audio=Path("talk.mp3")).to_dict()["audio"] == "talk.mp3"
    assert TranscriptionRequest(audio=Elsewhere()).to_dict()["audio"] == "talk.mp3"
    with pytest.raises(ConfigurationError, match="`audio` is given as bytes"):
        TranscriptionRequest(audio=b"sound", file_name="a.mp3").to_dict()


@pytest.mark.parametrize(
    ("word", "kind"),
    [("tts", SpeechRequest), ("speech", SpeechRequest), ("audio", MusicRequest), ("stt", TranscriptionRequest)],
)
def test_kinds_are_known_by_our_words_and_the_services(word: str, kind: Any) -> None:
    values = {**RESOURCES[kind][1], "kind": word}
    assert type(request_from_dict(values)) is kind


def test_without_a_kind_it_is_the_quickstarts_shape() -> None:
    assert request_from_dict({"model": "x", "prompt": "y"}) == GenerateRequest(model="x", prompt="y")


def test_nothing_of_a_prompt_shows_in_a_repr() -> None:
    for kind in REQUESTS:
        values = {
            name: "secret" if name in ("prompt", "text", "audio") else value
            for name, value in RESOURCES[kind][1].items()
        }
        assert "secret" not in repr(kind(**values))


@pytest.mark.parametrize(
    ("record", "complaint"),
    [
        ({"kind": "image", "model": "x"}, "`prompt` is missing: an image request needs it"),
        ({"kind": "video", "prompt": "x"}, "`model` is missing: a video request needs it"),
        (
            {"kind": "image", "model": "x", "prompt": "y", "sise": 1},
            "`sise` is not a field of an image request; an option",
        ),
        ({"model": "x", "prompt": "y", "size": 1}, "`size` is not a field of a generate request; say `kind`"),
        ({"kind": "picture"}, "`kind` must be one of text, image, .*; it is 'picture'"),
        ({"kind": ["image"]}, "`kind` must be one of"),
        ({1: "x"}, "`1` is not a field"),
        ("a prompt", "A request is one of neuralbox's requests or a mapping, not str"),
    ],
)
def test_a_dictionary_that_is_no_request_is_refused_by_the_fields_name(record: Any, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        NEURALBOX_KINDS.take(record)


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        (TextRequest(model="gpt-5"), "Pass `prompt` or `messages`"),
        (TextRequest(model="gpt-5", prompt=" "), "`prompt` is empty"),
        (TextRequest(model="gpt-5", prompt="x", temperature=3), "`temperature` must be a number from 0 to 2"),
        (ImageRequest(model="", prompt="x"), "`model` is empty"),
        (SpeechRequest(model="x", text="y", speed=9), "`speed` must be"),
        (MusicRequest(model="x", prompt="y", duration=1), "`duration` must be"),
        (ToolRequest(model="x", params="scale=2"), "`params` must be a mapping, not str"),  # type: ignore[arg-type]
        (GenerateRequest(model="x", prompt="y", params=3), "`params` must be a mapping"),  # type: ignore[arg-type]
        (TranscriptionRequest(audio=3), "`audio` must be the path"),  # type: ignore[arg-type]
        (TranscriptionRequest(audio=b"x"), "pass `file_name`"),
        (TranscriptionRequest(audio="a.mp3", language=""), "`language` is empty"),
        (ImageRequest(key=" ", model="x", prompt="y"), "`key` is empty"),
        (ImageRequest(key=7, model="x", prompt="y"), "`key` must be text"),  # type: ignore[arg-type]
        (ImageRequest(model="x", prompt="y", extra_body=[]), "extra_body must be a Mapping"),  # type: ignore[arg-type]
    ],
)
def test_what_is_certain_to_be_refused_is_refused_by_the_rules_of_its_kind(
    request_: BatchRequest, complaint: str
) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        check(request_, Dialect())


# JSON lines.


def test_lines_are_read_one_by_one_as_they_are_wanted(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    lines = [
        '\ufeff{"kind": "text", "prompt": "Grüße", "model": "gpt-5"}',
        "",
        '{"model": "x", "prompt": "y", "key": "k"}',
    ]
    path.write_text("\n".join([*lines, "broken"]), encoding="utf-8")
    reading = read_requests(path)
    assert next(reading) == TextRequest(prompt="Grüße", model="gpt-5")
    assert next(reading) == GenerateRequest(model="x", prompt="y", key="k")
    with pytest.raises(ConfigurationError, match=r"requests.jsonl, line 4: this is no JSON object at character 1"):
        next(reading)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b'{"kind": "image", "prompt": "x"}', "line 1: `model` is missing"),
        (b"[1, 2]", "line 1: A request is one of"),
        (b'{"prompt": "\xff"}', "line 1: this is no JSON object"),
        (b"[" * 100_000, "line 1: this is no JSON object"),
    ],
)
def test_a_line_that_is_no_request_is_named_by_its_number(tmp_path: Path, line: bytes, complaint: str) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_bytes(line)
    with pytest.raises(ConfigurationError, match=complaint):
        list(read_requests(path))


def test_a_file_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text('{"model": "x", "prompt": "y"}\n\n')
    assert list(read_requests(path)) == [GenerateRequest(model="x", prompt="y")]


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.jsonl"):
        next(read_requests(tmp_path / "none.jsonl"))


@pytest.mark.parametrize("path", [5, None, b"requests.jsonl"])
def test_what_is_no_path_is_one_clear_error(path: Any) -> None:
    with pytest.raises(ConfigurationError, match="`path` must be a path"):
        next(read_requests(path))

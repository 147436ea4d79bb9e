"""Paid requests: the bodies of the documents in both forms, and what is refused before anything is sent."""

from __future__ import annotations

import copy
import math
from functools import partial
from typing import Any

import pytest

from neuralbox._api import vocabulary as words
from neuralbox._api.builders import (
    build_media,
    build_speech,
    build_text,
    build_tool,
    build_transcription,
    require_max_tokens,
    require_messages,
    require_music_seconds,
    require_speed,
    require_temperature,
    require_text,
)
from neuralbox._api.request import Request, RetrySafety
from neuralbox._errors import ConfigurationError
from neuralbox._types import OMIT
from tests import samples


def text(**given: Any) -> Request:
    """`build_text` with nothing given but what a test gives."""
    nothing: dict[str, Any] = {"model": None, "prompt": None, "messages": None, "system": None}
    nothing |= {"temperature": OMIT, "max_tokens": OMIT, "assistant_id": None}
    nothing |= {"stream": False, "nested": False, "stream_path": False}
    return build_text(**nothing | given)


SEED_TURNS = samples.request_body("seed003_turns")
PORTRAIT = {"model": "dall-e-3", "prompt": "A futuristic city at sunset, cyberpunk style"}


def paid(body: dict[str, Any], path: str = "/generate", accept: str = "application/json") -> Request:
    return Request("POST", path, RetrySafety.PAID, body=body, slow=True, accept=accept)


# As the documents print them.


def test_the_quickstarts_text_and_image() -> None:
    seed = samples.request_body("seed001_text")
    assert build_media(**seed, options={}, nested=True) == paid(seed)
    seed = samples.request_body("seed001_image")
    options = seed.pop("params")
    assert build_media(**seed, options=options, nested=True) == paid({**seed, "params": options})


def test_the_image_of_its_page() -> None:
    seed = samples.request_body("seed002_image")
    options = {"size": seed["size"], "format": seed["format"]}
    assert build_media(model=seed["model"], prompt=seed["prompt"], options=options, nested=False) == paid(seed)


@pytest.mark.parametrize("name", ["seed003_system", "seed003_vision", "seed003_turns"])
def test_the_texts_of_their_page(name: str) -> None:
    seed = samples.request_body(name)
    assert text(**seed) == paid(seed)


# Flat and nested, kind by kind.

TURNS = [{"role": "user", "content": "My name is Ivan"}, {"role": "assistant", "content": "Hello Ivan!"}]
LAST = {"role": "user", "content": "What's my name?"}
TEXTS: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (
        {"model": "gpt-5", "prompt": "Hi"},
        {"model": "gpt-5", "prompt": "Hi"},
        {"model": "gpt-5", "prompt": "Hi"},
    ),
    (
        {"model": "gpt-5", "messages": [*TURNS, LAST]},
        {"model": "gpt-5", "messages": [*TURNS, LAST]},
        {"model": "gpt-5", "prompt": "What's my name?", "params": {"messages": TURNS}},
    ),
    (
        {"model": "gpt-5", "messages": [LAST]},
        {"model": "gpt-5", "messages": [LAST]},
        {"model": "gpt-5", "prompt": "What's my name?"},
    ),
    (
        {"model": "gpt-5", "messages": TURNS, "prompt": "What's my name?"},
        {"model": "gpt-5", "messages": [*TURNS, LAST]},
        {"model": "gpt-5", "prompt": "What's my name?", "params": {"messages": TURNS}},
    ),
    (
        {"model": "gpt-5", "prompt": "Hi", "system": "Be brief.", "temperature": 0, "max_tokens": 200},
        {"model": "gpt-5", "prompt": "Hi", "system": "Be brief.", "temperature": 0, "max_tokens": 200},
        {
            "model": "gpt-5",
            "prompt": "Hi",
            "params": {"system_prompt": "Be brief.", "temperature": 0, "max_tokens": 200},
        },
    ),
    (
        {"model": "gpt-5", "prompt": "Hi", "max_tokens": None},
        {"model": "gpt-5", "prompt": "Hi", "max_tokens": None},
        {"model": "gpt-5", "prompt": "Hi", "params": {"max_tokens": None}},
    ),
    (
        {"assistant_id": "asst_1", "messages": [LAST]},
        {"assistant_id": "asst_1", "messages": [LAST]},
        {"assistant_id": "asst_1", "prompt": "What's my name?"},
    ),
    (
        {"model": "gpt-5", "assistant_id": "asst_1", "prompt": "Hi"},
        {"model": "gpt-5", "assistant_id": "asst_1", "prompt": "Hi"},
        {"model": "gpt-5", "assistant_id": "asst_1", "prompt": "Hi"},
    ),
]


@pytest.mark.parametrize(("given", "flat", "nested"), TEXTS, ids=[str(index) for index in range(len(TEXTS))])
def test_a_text_in_both_forms(given: dict[str, Any], flat: dict[str, Any], nested: dict[str, Any]) -> None:
    before = copy.deepcopy(given)
    assert text(**given) == paid(flat)
    assert text(**given, nested=True) == paid(nested)
    assert given == before


@pytest.mark.parametrize(
    ("stream_path", "path", "switch"), [(False, words.GENERATE, {"stream": True}), (True, words.GENERATE_STREAM, {})]
)
def test_a_stream_by_switch_or_by_path(stream_path: bool, path: str, switch: dict[str, Any]) -> None:
    events = "text/event-stream"
    flat = text(model="gpt-5", prompt="Hi", temperature=1, stream=True, stream_path=stream_path)
    assert flat == paid({"model": "gpt-5", "prompt": "Hi", **switch, "temperature": 1}, path, events)
    nested = text(model="gpt-5", prompt="Hi", temperature=1, stream=True, stream_path=stream_path, nested=True)
    assert nested == paid({"model": "gpt-5", "prompt": "Hi", **switch, "params": {"temperature": 1}}, path, events)


def test_a_whole_text_never_uses_the_streams_path() -> None:
    assert text(model="gpt-5", prompt="Hi", stream_path=True).path == words.GENERATE


@pytest.mark.parametrize(
    "options",
    [
        {"size": "768x1344", "format": "png", "quality": "hd", "style": "vivid", "seed": 0, "image_url": "https://x/y"},
        {"duration": 5, "aspect_ratio": "16:9", "negative_prompt": "rain"},
        {"duration": 45},
        {"seed": None},
    ],
)
def test_media_in_both_forms(options: dict[str, Any]) -> None:
    flat = build_media(**PORTRAIT, options=options, nested=False)
    assert flat == paid({**PORTRAIT, **options})
    nested = build_media(**PORTRAIT, options=options, nested=True)
    assert nested == paid({**PORTRAIT, "params": options})
    assert nested.body is not None
    assert nested.body["params"] is not options


def test_media_without_options_have_no_params() -> None:
    for nested in (False, True):
        assert build_media(**PORTRAIT, options={}, nested=nested) == paid(PORTRAIT)


def test_the_quickstarts_shape_flat() -> None:
    request = build_media(**PORTRAIT, options={"size": "1024x1024"}, nested=False)
    assert request == paid({**PORTRAIT, "size": "1024x1024"})


def test_speech_in_both_forms() -> None:
    options = {"voice_id": "alloy", "speed": 1.5, "format": "mp3"}
    flat = build_speech(model="openai-tts", text="Hello", options=options, nested=False)
    assert flat == paid({"model": "openai-tts", "text": "Hello", **options})
    nested = build_speech(model="openai-tts", text="Hello", options=options, nested=True)
    assert nested == paid({"model": "openai-tts", "prompt": "Hello", "params": options})


def test_a_tool_in_both_forms_and_without_a_prompt() -> None:
    options = {"image_url": "https://x/y.png"}
    assert build_tool(model="upscale", prompt=None, options=options, nested=False) == paid(
        {"model": "upscale", **options}
    )
    assert build_tool(model="inpaint", prompt="a hat", options=options, nested=True) == paid(
        {"model": "inpaint", "prompt": "a hat", "params": options}
    )


def test_a_tool_may_get_its_prompt_among_its_parameters() -> None:
    request = build_tool(model="inpaint", prompt=None, options={"prompt": "a hat"}, nested=False)
    assert request == paid({"model": "inpaint", "prompt": "a hat"})


def test_a_transcription_is_the_one_multipart_request() -> None:
    fields = {"model": "whisper", "language": "en"}
    request = build_transcription(
        content=b"RIFF", size=4, file_name="talk.wav", content_type="audio/wav", fields=fields
    )
    assert (request.method, request.path, request.safety, request.slow) == ("POST", "/stt", RetrySafety.PAID, True)
    assert request.body is None
    assert request.form is not None
    (file,) = request.form.files
    assert (file.name, file.file_name, file.content) == ("audio", "talk.wav", b"RIFF")
    assert (file.content_type, request.form.fields) == ("audio/wav", fields)


# Refused before anything is sent, with the field's name in the message.


def refusal(action: Any, *names: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        action()
    assert all(name in caught.value.message for name in names), caught.value.message


EMPTY: list[Any] = ["", " ", "\n\t", 5, ["x"], b"x"]


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("empty", EMPTY)
def test_an_empty_model_or_prompt_is_refused_for_every_kind(empty: Any, nested: bool) -> None:
    for build in (build_media, build_speech, build_tool):
        words_of = {"text": "x"} if build is build_speech else {"prompt": "x"}
        (name,) = words_of
        of_kind = partial(build, options={}, nested=nested)
        refusal(partial(of_kind, model=empty, **words_of), "`model`")
        refusal(partial(of_kind, model="x", **{name: empty}), f"`{name}`")
    refusal(partial(text, model=empty, prompt="x", nested=nested), "`model`")
    refusal(partial(text, assistant_id=empty, prompt="x", nested=nested), "`assistant_id`")
    refusal(partial(text, model="x", prompt=empty, nested=nested), "`prompt`")
    refusal(partial(text, model="x", prompt=empty, messages=[LAST], nested=nested), "`prompt`")


def test_a_text_needs_words_and_somebody_to_write() -> None:
    refusal(lambda: text(model="gpt-5"), "`prompt`", "`messages`")
    refusal(lambda: text(prompt="Hi"), "`model`", "`assistant_id`")


def test_an_option_that_would_overwrite_an_argument_is_refused() -> None:
    """Flat, `params={"model": ...}` would quietly replace the model the caller named."""
    refusal(lambda: build_media(model="a", prompt="b", options={"model": "c"}, nested=False), "`model`", "twice")
    refusal(lambda: build_tool(model="a", prompt="b", options={"prompt": "c"}, nested=False), "`prompt`", "twice")
    nested = build_media(model="a", prompt="b", options={"model": "c"}, nested=True)
    assert nested.body == {"model": "a", "prompt": "b", "params": {"model": "c"}}


RANGES = [
    (require_temperature, "temperature", [0, 0.0, 0.7, 2, 2.0], [-0.01, 2.01]),
    (require_speed, "speed", [0.5, 1, 2.0], [0.49, 2.01, 0]),
    (require_music_seconds, "duration", [15, 30, 120], [14, 121, 0]),
]


@pytest.mark.parametrize(("require", "name", "inside", "outside"), RANGES, ids=[row[1] for row in RANGES])
def test_a_number_outside_its_range_is_refused(require: Any, name: str, inside: list[Any], outside: list[Any]) -> None:
    assert [require(value) for value in inside] == inside
    assert require(OMIT) is OMIT
    for value in (*outside, math.nan, math.inf, True, None, "1"):
        refusal(partial(require, value), f"`{name}`", repr(value))


def test_a_temperature_is_checked_on_the_way_to_a_text() -> None:
    refusal(lambda: text(model="gpt-5", prompt="Hi", temperature=2.1), "`temperature`", "2.1")
    refusal(lambda: text(model="gpt-5", prompt="Hi", max_tokens=0), "`max_tokens`")


def test_the_most_tokens_are_a_whole_number_or_the_models_own_default() -> None:
    assert [require_max_tokens(value) for value in (1, 200_000, None, OMIT)] == [1, 200_000, None, OMIT]
    wrongs: list[object] = [0, -1, 1.5, True, "5", []]
    for wrong in wrongs:
        refusal(partial(require_max_tokens, wrong), "`max_tokens`")


@pytest.mark.parametrize("role", sorted(words.ROLES))
@pytest.mark.parametrize("content", ["Hi", [{"type": "text", "text": ""}], ({"type": "image_url", "x": 1},)])
def test_documented_messages_pass_unchanged(role: str, content: object) -> None:
    message = {"role": role, "content": content, "name": "ada"}
    (passed,) = require_messages([message])
    assert passed == message
    assert passed is not message
    assert require_messages((message,)) == [message]


MESSAGES: list[tuple[object, str]] = [
    (None, "`messages` must be a list"),
    ("Hi", "`messages` must be a list"),
    ({"role": "user", "content": "Hi"}, "`messages` must be a list"),
    (iter([]), "`messages` must be a list"),
    ([], "`messages` is empty"),
    (["Hi"], "`messages[0]` must be a mapping"),
    ([LAST, {"content": "Hi"}], "`messages[1].role`"),
    ([{"role": "tool", "content": "Hi"}], "assistant, system, user"),
    ([{"role": ["user"], "content": "Hi"}], "`messages[0].role`"),
    ([{"role": "user"}], "`messages[0].content` must be text"),
    ([{"role": "user", "content": ""}], "`messages[0].content` is empty"),
    ([{"role": "user", "content": []}], "`messages[0].content` must be text"),
    ([{"role": "user", "content": {"type": "text"}}], "`messages[0].content` must be text"),
    ([{"role": "user", "content": ["Hi"]}], "Every part of `messages[0].content`"),
    ([{"role": "user", "content": [{"text": "Hi"}]}], "Every part of `messages[0].content`"),
    ([{"role": "user", "content": b"Hi"}], "Every part of `messages[0].content`"),
]


@pytest.mark.parametrize(("messages", "said"), MESSAGES, ids=[str(index) for index in range(len(MESSAGES))])
def test_what_is_no_conversation_is_refused_with_its_place(messages: object, said: str) -> None:
    refusal(lambda: require_messages(messages), said)


@pytest.mark.parametrize(
    "last", [{"role": "assistant", "content": "Hi"}, {"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
)
def test_nested_the_last_message_must_be_able_to_be_a_prompt(last: dict[str, Any]) -> None:
    refusal(lambda: text(model="gpt-5", messages=[LAST, last], nested=True), "nested", "`prompt`", "Dialect")
    assert text(model="gpt-5", messages=[LAST, last]).body is not None


@pytest.mark.parametrize(("size", "said"), [(0, "empty"), (25 * 1024 * 1024 + 1, "at most 26214400")])
def test_an_upload_the_service_cannot_take_is_refused(size: int, said: str) -> None:
    refusal(
        lambda: build_transcription(content=b"", size=size, file_name="talk.mp3", content_type="", fields={}),
        "'talk.mp3'",
        said,
    )


@pytest.mark.parametrize("size", [1, 25 * 1024 * 1024, None])
def test_an_upload_of_a_right_or_unknown_size_passes(size: int | None) -> None:
    assert build_transcription(content=b"", size=size, file_name="x.mp3", content_type="", fields={}).form is not None


def test_text_is_returned_as_it_was_blanks_included() -> None:
    assert require_text("prompt", " Hi\n") == " Hi\n"

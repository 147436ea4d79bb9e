"""openai's parameters as requests: what is translated, what changes nothing, and what is refused by its name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from neuralbox._config import Dialect
from neuralbox.gateway._error_answers import RefusedCallError
from neuralbox.gateway._orders import FormUpload, Order, Translator

TRANSLATOR = Translator({"gpt-4o": "gpt-5"})
HELLO = [{"role": "user", "content": "Hello"}]
CHAT = {"model": "gpt-5", "messages": HELLO}
RESPONSE = {"model": "gpt-5", "input": "Hello"}
IMAGE = {"model": "flux-1.1-pro", "prompt": "A fox"}
VIDEO = {"model": "kling-v2.1", "prompt": "A boat"}
SPEECH = {"model": "tts-1", "input": "Hello", "voice": "alloy"}
SOUND = FormUpload("talk.mp3", b"ID3")
TRANSCRIPT = {"model": "whisper-1", "file": SOUND}


def sent(order: Order) -> Mapping[str, Any]:
    """What the service would get."""
    request = order.request.build(Dialect())
    return request.whole_body()


@pytest.mark.parametrize(
    ("translate", "body", "expected"),
    [
        (TRANSLATOR.chat, CHAT, {"model": "gpt-5", "messages": HELLO}),
        (TRANSLATOR.chat, {**CHAT, "model": "gpt-4o"}, {"model": "gpt-5", "messages": HELLO}),
        (
            TRANSLATOR.chat,
            {**CHAT, "temperature": 0.2, "max_tokens": 9, "top_p": 1, "tools": [], "stop": None, "user": "me"},
            {"model": "gpt-5", "messages": HELLO, "temperature": 0.2, "max_tokens": 9},
        ),
        (TRANSLATOR.chat, {**CHAT, "max_tokens": 9, "max_completion_tokens": 7}, {**CHAT, "max_tokens": 7}),
        (
            TRANSLATOR.chat,
            {
                "model": "gpt-5",
                "messages": [
                    {"role": "developer", "content": [{"type": "text", "text": "Be brief"}]},
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "What is it?"},
                            {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}},
                        ],
                    },
                    {"role": "assistant", "content": None, "refusal": "No."},
                    {"role": "user", "content": "Why?", "name": "Ann"},
                ],
            },
            {
                "model": "gpt-5",
                "messages": [
                    {"role": "system", "content": "Be brief"},
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "What is it?"},
                            {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
                        ],
                    },
                    {"role": "assistant", "content": "No."},
                    {"role": "user", "content": "Why?"},
                ],
            },
        ),
        (TRANSLATOR.response, RESPONSE, {"model": "gpt-5", "messages": HELLO}),
        (
            TRANSLATOR.response,
            {
                "model": "gpt-5",
                "instructions": "Be brief",
                "max_output_tokens": 9,
                "metadata": {"a": "b"},
                "input": [
                    {
                        "type": "message",
                        "role": "user",
                        "content": [
                            {"type": "input_text", "text": "What?"},
                            {"type": "input_image", "image_url": "https://x.test/a.png", "detail": "auto"},
                        ],
                    },
                    {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
                ],
            },
            {
                "model": "gpt-5",
                "system": "Be brief",
                "max_tokens": 9,
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "What?"},
                            {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
                        ],
                    },
                    {"role": "assistant", "content": "No."},
                ],
            },
        ),
        (TRANSLATOR.image, IMAGE, IMAGE),
        (
            TRANSLATOR.image,
            {**IMAGE, "size": "1536x1024", "quality": "high", "output_format": "png", "seed": 7, "background": "auto"},
            {**IMAGE, "size": "1536x1024", "quality": "hd", "format": "png", "seed": 7},
        ),
        (
            TRANSLATOR.image,
            {"model": "midjourney-v6", "prompt": "A fox", "size": "1024x1792", "quality": "auto"},
            {"model": "midjourney-v6", "prompt": "A fox", "size": "9:16"},
        ),
        (
            TRANSLATOR.image,
            {"model": "new", "prompt": "A fox", "size": "640x480"},
            {"model": "new", "prompt": "A fox", "size": "640x480"},
        ),
        (TRANSLATOR.video, VIDEO, VIDEO),
        (TRANSLATOR.video, {"prompt": "A boat"}, {"model": "sora-2", "prompt": "A boat"}),
        (
            TRANSLATOR.video,
            {**VIDEO, "seconds": "8", "size": "1024x1792", "input_reference[image_url]": "https://x.test/a.png"},
            {**VIDEO, "duration": 10, "aspect_ratio": "9:16", "image_url": "https://x.test/a.png"},
        ),
        (
            TRANSLATOR.video,
            {**VIDEO, "seconds": 5, "aspect_ratio": "1:1", "input_reference": {"image_url": "https://x.test/a.png"}},
            {**VIDEO, "duration": 5, "aspect_ratio": "1:1", "image_url": "https://x.test/a.png"},
        ),
        (
            TRANSLATOR.speech,
            {**SPEECH, "voice": {"id": "rachel"}, "speed": 1.5, "response_format": "wav"},
            {"model": "openai-tts", "text": "Hello", "voice_id": "rachel", "speed": 1.5, "format": "wav"},
        ),
        (
            TRANSLATOR.transcription,
            {**TRANSCRIPT, "language": "en", "temperature": "0", "diarize": "true"},
            {"model": "whisper", "language": "en", "diarize": "true"},
        ),
    ],
)
def test_what_is_asked_for_is_sent_in_the_services_words(
    translate: Callable[[Mapping[str, Any]], Order], body: Mapping[str, Any], expected: Mapping[str, Any]
) -> None:
    assert sent(translate(body)) == expected


@pytest.mark.parametrize(
    ("translate", "body", "param", "code"),
    [
        (TRANSLATOR.chat, {"messages": HELLO}, "model", None),
        (TRANSLATOR.chat, {**CHAT, "model": 7}, "model", None),
        (TRANSLATOR.chat, {"model": "gpt-5"}, "messages", "missing_required_parameter"),
        (TRANSLATOR.chat, {"model": "gpt-5", "messages": ["Hello"]}, "messages[0]", "invalid_type"),
        (TRANSLATOR.chat, {**CHAT, "messages": [{"role": "tool"}]}, "messages[0].role", "unsupported_value"),
        (TRANSLATOR.chat, {**CHAT, "messages": [{"role": ["x"]}]}, "messages[0].role", "unsupported_value"),
        (TRANSLATOR.chat, {**CHAT, "messages": [{"role": "user"}]}, "messages[0].content", "invalid_type"),
        (
            TRANSLATOR.chat,
            {**CHAT, "messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]},
            "messages[0].tool_calls",
            "unsupported_value",
        ),
        (
            TRANSLATOR.chat,
            {**CHAT, "messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            "messages[0].content[0].type",
            "unsupported_value",
        ),
        (
            TRANSLATOR.chat,
            {**CHAT, "messages": [{"role": "user", "content": ["Hello"]}]},
            "messages[0].content[0].type",
            "unsupported_value",
        ),
        (
            TRANSLATOR.chat,
            {**CHAT, "messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0]",
            "unsupported_value",
        ),
        (
            TRANSLATOR.chat,
            {**CHAT, "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0].content[0]",
            "unsupported_value",
        ),
        (TRANSLATOR.chat, {**CHAT, "tools": [{"type": "function"}]}, "tools", "unsupported_value"),
        (TRANSLATOR.chat, {**CHAT, "logprobs": True}, "logprobs", "unsupported_value"),
        (TRANSLATOR.chat, {**CHAT, "top_logprobs": False}, "top_logprobs", "unsupported_value"),
        (TRANSLATOR.chat, {**CHAT, "seed": 7}, "seed", "unsupported_parameter"),
        (TRANSLATOR.chat, {**CHAT, "sead": 7}, "sead", "unknown_parameter"),
        (TRANSLATOR.chat, {**CHAT, "n": 11}, "n", "invalid_value"),
        (TRANSLATOR.chat, {**CHAT, "n": True}, "n", "invalid_value"),
        (TRANSLATOR.chat, {**CHAT, "n": 2, "stream": True}, "n", "unsupported_value"),
        (TRANSLATOR.chat, {**CHAT, "stream": "yes"}, "stream", "invalid_type"),
        (TRANSLATOR.chat, {**CHAT, "temperature": "hot"}, "temperature", "invalid_type"),
        (TRANSLATOR.chat, {**CHAT, "stream_options": 1}, "stream_options", "invalid_type"),
        (TRANSLATOR.response, {"model": "gpt-5"}, "input", "missing_required_parameter"),
        (TRANSLATOR.response, {**RESPONSE, "previous_response_id": "a"}, "previous_response_id", None),
        (TRANSLATOR.response, {**RESPONSE, "input": [{"type": "item_reference"}]}, "input[0].type", None),
        (TRANSLATOR.image, {"model": "dall-e-3"}, "prompt", "missing_required_parameter"),
        (TRANSLATOR.image, {**IMAGE, "prompt": " "}, "prompt", "missing_required_parameter"),
        (TRANSLATOR.image, {"model": "dall-e-3", "prompt": "A fox", "size": "256x256"}, "size", "invalid_value"),
        (TRANSLATOR.image, {**IMAGE, "quality": "max"}, "quality", "invalid_value"),
        (TRANSLATOR.image, {**IMAGE, "output_format": "svg"}, "output_format", "invalid_value"),
        (TRANSLATOR.image, {**IMAGE, "stream": True}, "stream", "unsupported_value"),
        (TRANSLATOR.video, {**VIDEO, "seconds": "12"}, "seconds", "invalid_value"),
        (TRANSLATOR.video, {**VIDEO, "seconds": True}, "seconds", "invalid_value"),
        (TRANSLATOR.video, {**VIDEO, "size": "1x1"}, "size", "invalid_value"),
        (TRANSLATOR.video, {**VIDEO, "input_reference": SOUND}, "input_reference", "unsupported_value"),
        (TRANSLATOR.video, {**VIDEO, "input_reference": {"file_id": "a"}}, "input_reference", "unsupported_value"),
        (TRANSLATOR.speech, {"model": "tts-1", "input": "Hello"}, "voice", None),
        (TRANSLATOR.speech, {**SPEECH, "speed": 4}, "speed", None),
        (TRANSLATOR.speech, {**SPEECH, "response_format": "opus"}, "response_format", "invalid_value"),
        # Neither could be answered after it was paid for: JSON has no such number, and a depth that can be read cannot always be written.
        (
            TRANSLATOR.response,
            {"model": "gpt-5", "input": "Hi", "metadata": {"a": math.nan}},
            "metadata",
            "invalid_type",
        ),
        (TRANSLATOR.response, {"model": "gpt-5", "input": "Hi", "metadata": {"a": {}}}, "metadata", "invalid_type"),
        (TRANSLATOR.response, {"model": "gpt-5", "input": "Hi", "metadata": ["a"]}, "metadata", "invalid_type"),
        (TRANSLATOR.speech, {**SPEECH, "instructions": "Whisper"}, "instructions", "unsupported_value"),
        (TRANSLATOR.transcription, {"model": "whisper-1", "file": "talk.mp3"}, "file", None),
        (TRANSLATOR.transcription, {**TRANSCRIPT, "response_format": "srt"}, "response_format", "invalid_value"),
        (
            TRANSLATOR.transcription,
            {**TRANSCRIPT, "timestamp_granularities[]": "word"},
            "timestamp_granularities",
            None,
        ),
    ],
)
def test_what_has_no_counterpart_or_cannot_be_right_is_refused_by_its_name(
    translate: Callable[[Mapping[str, Any]], Order], body: Mapping[str, Any], param: str, code: str | None
) -> None:
    with pytest.raises(RefusedCallError) as caught:
        translate(body)
    answer = caught.value.answer
    assert (answer.status, answer.type, answer.param) == (400, "invalid_request_error", param)
    assert code in {None, answer.code}
    assert answer.message


@pytest.mark.parametrize(
    ("body", "usual"),
    [
        ({"model": "dall-e-3", "prompt": "A fox"}, "url"),
        ({"model": "gpt-image-1.5", "prompt": "A fox"}, "b64_json"),
        ({"model": "gpt-image-1.5", "prompt": "A fox", "response_format": "url"}, "url"),
    ],
)
def test_a_picture_comes_as_programs_of_its_model_expect_it(body: Mapping[str, Any], usual: str) -> None:
    assert TRANSLATOR.image(body).answer_format == usual

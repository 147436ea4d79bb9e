"""Building the requests that cost tokens, in either documented form.

One option says where the options of a request go (contradiction C8): flat beside `model`, or nested inside `params`.
The names that differ between the forms stand in the builder of their kind. What is certain to be refused is refused
here, before any I/O; what only the service can know (voices, a model's abilities) is left to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NotRequired, TypedDict, cast

from .._errors import ConfigurationError
from .._types import OMIT, Omit
from . import vocabulary as words
from .checks import require_address
from .request import Form, FormFile, Request, RetrySafety, given


class TextPart(TypedDict):
    """A part of a message that is text."""

    type: Literal["text"]
    text: str


class ImageAddress(TypedDict):
    """Where the picture of a part is."""

    url: str
    detail: NotRequired[str]


class ImagePart(TypedDict):
    """A part of a message that is a picture, for models that see."""

    type: Literal["image_url"]
    image_url: ImageAddress


class Message(TypedDict):
    """A turn of a conversation: `{"role": "user", "content": "Hello"}`.

    Attributes:
        role: Who speaks; `system`, `user` or `assistant`.
        content: Text, or a list of parts: `{"type": "text", "text": ...}` and, for models that see,
            `{"type": "image_url", "image_url": {"url": ...}}`.
    """

    role: Literal["system", "user", "assistant"]
    content: str | Sequence[TextPart | ImagePart]


def build_text(
    *,
    model: str | None,
    prompt: str | None,
    messages: Sequence[Message] | None,
    system: str | None,
    temperature: float | Omit,
    max_tokens: int | Omit | None,
    assistant_id: str | None,
    stream: bool,
    nested: bool,
    stream_path: bool,
) -> Request:
    """Build a text, streamed or whole [SEED 003; nested: SEED 001, elu:…/generate/create]."""
    if prompt is None and messages is None:
        raise ConfigurationError("Pass `prompt` or `messages`.")
    if model is None and assistant_id is None:
        raise ConfigurationError("Pass `model`, or `assistant_id` of an assistant.")
    main = given(
        model=OMIT if model is None else require_text("model", model),
        assistant_id=OMIT if assistant_id is None else require_text("assistant_id", assistant_id),
    )
    options = given(temperature=require_temperature(temperature), max_tokens=require_max_tokens(max_tokens))
    turns = [] if messages is None else require_messages(messages)
    if nested:
        last, earlier = _split_turns(prompt, turns)
        main["prompt"] = last
        options |= given(system_prompt=OMIT if system is None else system, messages=earlier or OMIT)
    else:
        if messages is None:
            main["prompt"] = require_text("prompt", prompt)
        elif prompt is None:
            main["messages"] = turns
        else:  # both: the prompt is the new turn, as in the nested form
            main["messages"] = [*turns, {"role": "user", "content": require_text("prompt", prompt)}]
        options |= given(system=OMIT if system is None else system)
    if stream and not stream_path:
        main["stream"] = True
    return _paid(
        main,
        options,
        nested=nested,
        path=words.GENERATE_STREAM if stream and stream_path else words.GENERATE,
        accept="text/event-stream" if stream else "application/json",
    )


def build_media(*, model: str, prompt: str, options: Mapping[str, Any], nested: bool) -> Request:
    """Build what has a prompt and options: images, videos, music, and the quickstart's any model.

    Source:
        SEED 001, SEED 002; nb:…/generations/video; elu:…/generations/audio.
    """
    return _paid(
        {"model": require_text("model", model), "prompt": require_text("prompt", prompt)}, options, nested=nested
    )


def build_speech(*, model: str, text: str, options: Mapping[str, Any], nested: bool) -> Request:
    """Build a spoken text: `text` when flat, `prompt` when nested (C17) [elu:…/generations/tts]."""
    main = {"model": require_text("model", model), "prompt" if nested else "text": require_text("text", text)}
    return _paid(main, options, nested=nested)


def build_tool(*, model: str, prompt: str | None, options: Mapping[str, Any], nested: bool) -> Request:
    """Build a tool's work; its parameters are not documented, so they go as they are given [SEED 001]."""
    main = given(model=require_text("model", model), prompt=OMIT if prompt is None else require_text("prompt", prompt))
    return _paid(main, options, nested=nested)


def build_transcription(
    *, content: Any, size: int | None, file_name: str, content_type: str, fields: Mapping[str, str]
) -> Request:
    """Build speech to text: the one multipart request [elu:…/generations/stt]."""
    if size == 0:
        raise ConfigurationError(f"The audio file {file_name!r} is empty.")
    if size is not None and size > words.MAX_UPLOAD_BYTES:
        raise ConfigurationError(
            f"The audio file {file_name!r} has {size} bytes; the service takes at most {words.MAX_UPLOAD_BYTES}."
        )
    form = Form(fields, (FormFile("audio", file_name, content, content_type),))
    return Request("POST", words.STT, RetrySafety.PAID, form=form, slow=True)


def _paid(
    main: dict[str, Any],
    options: Mapping[str, Any],
    *,
    nested: bool,
    path: str = words.GENERATE,
    accept: str = "application/json",
) -> Request:
    if nested:
        body = {**main, "params": dict(options)} if options else main
    else:
        twice = main.keys() & options.keys()
        if twice:
            raise ConfigurationError(f"`{min(twice)}` is given twice: by its own argument and among the options.")
        body = {**main, **options}
    return Request("POST", path, RetrySafety.PAID, body=body, slow=True, accept=accept)


def _split_turns(prompt: str | None, turns: list[Message]) -> tuple[str, list[Message]]:
    """Split turns for the nested form (C9): the last user message is the prompt, the others are `params.messages`."""
    if prompt is not None:
        return require_text("prompt", prompt), turns
    last = turns[-1]
    if last["role"] != "user" or not isinstance(last["content"], str):
        raise ConfigurationError(
            "In the nested form the last message becomes the prompt, so it must be a user message of plain text; "
            "pass `prompt` too, or use `Dialect(options='flat')`."
        )
    return last["content"], turns[:-1]


# What is certain to be refused.


def require_text(name: str, value: object) -> str:
    """Refuse what is not text or only blanks."""
    if not isinstance(value, str):
        raise ConfigurationError(f"`{name}` must be text, not {type(value).__name__}.")
    if not value.strip():
        raise ConfigurationError(f"`{name}` is empty.")
    return value


def require_mapping(name: str, value: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Refuse what is neither a mapping nor None; None is an empty one."""
    if value is not None and not isinstance(value, Mapping):
        raise ConfigurationError(f"`{name}` must be a mapping, not {type(value).__name__}.")
    return value or {}


_IMAGE_OPTIONS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "size": words.IMAGE_SIZES,
    "quality": words.IMAGE_QUALITIES,
    "style": words.IMAGE_STYLES,
}


def require_image_options(model: object, options: Mapping[str, Any]) -> None:
    """Refuse a size, quality or style that the documents do not have for a model of which they list them [SEED 002].

    Of other models they say nothing, and the service decides. What it has learnt since goes through `extra_body`.
    """
    for name, by_model in _IMAGE_OPTIONS.items():
        value = options.get(name)
        documented = by_model.get(model) if isinstance(model, str) else None
        if documented is not None and isinstance(value, str) and value not in documented:
            raise ConfigurationError(
                f"`{name}` of {model} is one of {', '.join(documented)}; it is {value!r}. One that this version does not know "
                "goes through `extra_body`."
            )


def require_temperature(value: float | Omit) -> float | Omit:
    """Refuse what is outside 0.0-2.0 [SEED 003]."""
    return _require_range("temperature", value, words.MIN_TEMPERATURE, words.MAX_TEMPERATURE)


def require_speed(value: float | Omit) -> float | Omit:
    """Refuse what is outside 0.5-2.0 [elu:…/generations/tts]."""
    return _require_range("speed", value, words.MIN_SPEED, words.MAX_SPEED)


def require_music_seconds(value: float | Omit) -> float | Omit:
    """Refuse what is outside 15-120 s [elu:…/generations/audio]."""
    return _require_range("duration", value, words.MIN_MUSIC_SECONDS, words.MAX_MUSIC_SECONDS)


def _require_range(name: str, value: object, lowest: float, highest: float) -> float | Omit:
    if isinstance(value, Omit):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= highest:
        raise ConfigurationError(f"`{name}` must be a number from {lowest:g} to {highest:g}; it is {value!r}.")
    return value


def require_max_tokens(value: object) -> int | Omit | None:
    """Refuse what is not a whole number above 0; None is sent as `null`, the model's own default [SEED 003]."""
    if value is None or isinstance(value, Omit):
        return value
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ConfigurationError(f"`max_tokens` must be a whole number above 0, or None; it is {value!r}.")
    return value


def require_messages(messages: object) -> list[Message]:
    """Refuse an empty list, an unknown role, and content that is neither text nor a list of parts [SEED 003]."""
    if isinstance(messages, str | Mapping) or not isinstance(messages, Sequence):
        raise ConfigurationError("`messages` must be a list of messages.")
    if not messages:
        raise ConfigurationError("`messages` is empty.")
    return [_require_message(f"messages[{index}]", message) for index, message in enumerate(messages)]


def _require_message(place: str, message: object) -> Message:
    if not isinstance(message, Mapping):
        raise ConfigurationError(f"`{place}` must be a mapping with `role` and `content`.")
    role = message.get("role")
    if not isinstance(role, str) or role not in words.ROLES:
        raise ConfigurationError(f"`{place}.role` must be one of {', '.join(sorted(words.ROLES))}.")
    content = message.get("content")
    if isinstance(content, str):
        if role != "assistant":  # an answer may have been empty, and belongs into the conversation all the same
            require_text(f"{place}.content", content)
    elif not isinstance(content, Sequence) or not content:
        raise ConfigurationError(f"`{place}.content` must be text or a list of parts.")
    elif not all(isinstance(part, Mapping) and isinstance(part.get("type"), str) for part in content):
        raise ConfigurationError(f"Every part of `{place}.content` must be a mapping with a `type`.")
    else:
        for number, part in enumerate(content):
            image = part.get("image_url")
            require_address(
                f"{place}.content[{number}].image_url", image.get("url") if isinstance(image, Mapping) else image
            )
    return cast("Message", dict(message))

"""What a caller asked for, in the words of the client: openai's parameters translated into requests.

Pure: a body in, an `Order` or a refusal out. What only the service can know (which models there are, what they can do) is
left to it; what cannot mean the same is refused here, with the parameter named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._api import vocabulary as words
from .._requests.base import BatchRequest
from .._requests.image import ImageRequest
from .._requests.speech import SpeechRequest
from .._requests.text import TextRequest
from .._requests.transcription import TranscriptionRequest
from .._requests.video import VideoRequest
from .._types import OMIT
from . import _parameters as tables
from ._error_answers import refuse
from ._parameters import ParameterTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What one call asks for.

    Attributes:
        request: What is bought.
        count: How often: each is a paid request of its own.
        is_streamed: Whether it is answered while it is written.
        includes_usage: Whether a stream tells its usage at the end.
        answer_format: How the caller wants the result: `url` or `b64_json`, `mp3`, `json` or `text`.
        asked: What the answer repeats of the question.
    """

    request: BatchRequest
    count: int = 1
    is_streamed: bool = False
    includes_usage: bool = False
    answer_format: str = ""
    asked: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def model(self) -> str:
        """The slug of the model."""
        return str(self.request.model)


@dataclass(frozen=True, slots=True)
class FormUpload:
    """A file of a form.

    Attributes:
        name: What its sender calls it.
        content: Its bytes.
    """

    name: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Translator:
    """Translates by the tables, and by the operator's own names of models.

    Attributes:
        model_names: Names that callers may use, and the slugs they stand for.
    """

    model_names: Mapping[str, str] = field(default_factory=dict)

    def slug(self, name: object) -> str:
        """Return the slug a caller's name of a model stands for."""
        if not isinstance(name, str) or not name.strip():
            raise refuse("model", "You must provide a model parameter.")
        return self.model_names.get(name) or tables.MODEL_NAMES.get(name) or name

    def chat(self, body: Mapping[str, Any]) -> Order:
        """Translate `/v1/chat/completions`."""
        values = _OrderValues(tables.CHAT, body)
        options = values.given("stream_options", Mapping, "an object", {})
        limit = values.number("max_completion_tokens", values.number("max_tokens", OMIT))
        order = Order(
            request=TextRequest(
                model=self.slug(values.get("model")),
                messages=_turns(values.get("messages"), "messages"),
                temperature=values.number("temperature", OMIT),
                max_tokens=limit,
            ),
            count=values.count(),
            is_streamed=values.flag("stream"),
            includes_usage=options.get("include_usage") is True,
        )
        if order.is_streamed and order.count > 1:
            raise refuse("n", "Unsupported value: 'n' above 1 cannot be streamed.", code="unsupported_value")
        return order

    def response(self, body: Mapping[str, Any]) -> Order:
        """Translate `/v1/responses`: text, and pictures to look at, in; text out."""
        values = _OrderValues(tables.RESPONSES, body)
        given_input = values.get("input")
        turns = given_input if not isinstance(given_input, str) else [{"role": "user", "content": given_input}]
        instructions = values.given("instructions", str, "text", None)
        return Order(
            request=TextRequest(
                model=self.slug(values.get("model")),
                messages=_turns(turns, "input"),
                system=instructions,
                temperature=values.number("temperature", OMIT),
                max_tokens=values.number("max_output_tokens", OMIT),
            ),
            is_streamed=values.flag("stream"),
            asked={
                "instructions": instructions,
                "metadata": _metadata(body.get("metadata")),
                "max_output_tokens": values.get("max_output_tokens"),
                "temperature": values.get("temperature"),
            },
        )

    def image(self, body: Mapping[str, Any]) -> Order:
        """Translate `/v1/images/generations`."""
        values = _OrderValues(tables.IMAGES, body)
        name = values.get("model")
        model = self.slug(name)
        quality = values.choice("quality", (*tables.QUALITIES, "auto"), "auto")
        # Models of the gpt-image family answer with the picture itself, and their programs count on it.
        usual = "b64_json" if isinstance(name, str) and "gpt-image" in name else "url"
        return Order(
            request=ImageRequest(
                model=model,
                prompt=values.text("prompt"),
                size=_image_size(model, values.given("size", str, "text", "auto")),
                quality=tables.QUALITIES.get(quality, OMIT),
                style=values.choice("style", ("vivid", "natural"), OMIT),
                format=values.choice("output_format", tables.OUTPUT_FORMATS, OMIT),
                negative_prompt=values.given("negative_prompt", str, "text", OMIT),
                seed=values.number("seed", OMIT),
                image_url=values.given("image_url", str, "an address", OMIT),
                aspect_ratio=values.given("aspect_ratio", str, "text", OMIT),
            ),
            count=values.count(),
            answer_format=values.choice("response_format", ("url", "b64_json"), usual),
            asked={"output_format": values.get("output_format")},
        )

    def video(self, body: Mapping[str, Any]) -> Order:
        """Translate `/v1/videos`; a form or JSON."""
        values = _OrderValues(tables.VIDEOS, _with_reference(body))
        seconds = tables.SECONDS[values.choice("seconds", tuple(tables.SECONDS), "4")] if "seconds" in values else OMIT
        size = values.choice("size", tuple(tables.RATIO_OF_VIDEO), None)
        ratio = values.given("aspect_ratio", str, "text", OMIT if size is None else tables.RATIO_OF_VIDEO[size])
        return Order(
            request=VideoRequest(
                model=self.slug(values.get("model", "sora-2")),
                prompt=values.text("prompt"),
                duration=seconds,
                aspect_ratio=ratio,
                image_url=values.given("image_url", str, "an address", OMIT),
                negative_prompt=values.given("negative_prompt", str, "text", OMIT),
            ),
            asked={
                "prompt": values.text("prompt"),
                "seconds": "5" if seconds is OMIT else str(seconds),
                "size": size or tables.SIZE_OF_VIDEO.get(ratio if isinstance(ratio, str) else "16:9", "1280x720"),
            },
        )

    def speech(self, body: Mapping[str, Any]) -> Order:
        """Translate `/v1/audio/speech`."""
        values = _OrderValues(tables.SPEECH, body)
        voice = values.get("voice")
        if isinstance(voice, Mapping):
            voice = voice.get("id")
        if not isinstance(voice, str) or not voice.strip():
            raise refuse("voice", "You must provide a voice: its name, or an object with its `id`.")
        sound = values.choice("response_format", tables.SPEECH_FORMATS, "mp3")
        speed = values.number("speed", OMIT)
        if speed is not OMIT and not words.MIN_SPEED <= speed <= words.MAX_SPEED:
            raise refuse("speed", f"'speed' must be from {words.MIN_SPEED} to {words.MAX_SPEED} at NeuralBox.")
        return Order(
            request=SpeechRequest(
                model=self.slug(values.get("model")),
                text=values.text("input"),
                voice_id=voice,
                speed=speed,
                format=sound,
            ),
            answer_format=sound,
        )

    def transcription(self, body: Mapping[str, Any]) -> Order:
        """Translate `/v1/audio/transcriptions`: a form."""
        values = _OrderValues(tables.TRANSCRIPTIONS, {name.removesuffix("[]"): value for name, value in body.items()})
        file = values.get("file")
        if not isinstance(file, FormUpload):
            raise refuse("file", "You must provide a file to transcribe.")
        return Order(
            request=TranscriptionRequest(
                audio=file.content,
                file_name=file.name or "audio",
                model=self.slug(values.get("model")),
                language=values.given("language", str, "text", OMIT),
                diarize=values.choice("diarize", ("true", "false"), "false") == "true" or OMIT,
            ),
            answer_format=values.choice("response_format", tables.TRANSCRIPT_FORMATS, "json"),
        )


class _OrderValues:
    """The parameters of one call, each refused by its name where it is not what it should be."""

    def __init__(self, table: ParameterTable, body: Mapping[str, Any]) -> None:
        self._values = table.read(body)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def get(self, name: str, default: Any = None) -> Any:
        return self._values.get(name, default)

    def given(self, name: str, kind: type, called: str, default: Any) -> Any:
        value = self._values.get(name, default)
        if value is not default and not isinstance(value, kind):
            raise refuse(name, f"Invalid type for '{name}': expected {called}.", code="invalid_type")
        return value

    def flag(self, name: str) -> bool:
        return self.given(name, bool, "true or false", default=False) is True

    def text(self, name: str) -> str:
        value = self.given(name, str, "text", None)
        if value is None or not value.strip():
            raise refuse(name, f"Missing required parameter: '{name}'.", code="missing_required_parameter")
        return str(value)

    def number(self, name: str, default: Any) -> Any:
        value = self._values.get(name, default)
        if value is not default and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise refuse(name, f"Invalid type for '{name}': expected a number.", code="invalid_type")
        return value

    def choice(self, name: str, choices: Sequence[str], default: Any) -> Any:
        value = self._values.get(name, default)
        if value is default:
            return value
        value = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if value not in choices:
            supported = ", ".join(repr(each) for each in choices)
            message = f"Invalid value for '{name}'. Supported values are: {supported}."
            raise refuse(name, message, code="invalid_value")
        return value

    def count(self) -> int:
        value = self._values.get("n", 1)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= tables.MOST_AT_ONCE:
            message = f"'n' must be a whole number from 1 to {tables.MOST_AT_ONCE}."
            raise refuse("n", message, code="invalid_value")
        return value


# Parts.


def _image_size(model: str, size: str) -> Any:
    """Return the size as the model takes it; of a model that no document names, only the service knows."""
    if size == "auto":
        return OMIT
    known = words.IMAGE_SIZES.get(model)
    if known is None or size in known:
        return size
    ratio = tables.RATIO_OF_SIZE.get(size)
    if ratio in known:
        return ratio
    supported = ", ".join(repr(each) for each in known)
    message = f"Invalid value for 'size': `{model}` takes {supported}."
    raise refuse("size", message, code="invalid_value")


def _metadata(value: object) -> Mapping[str, str]:
    """Read what an answer repeats: anything but texts might be nothing that JSON has, after it was paid for."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(each, str) for each in value.values()):
        raise refuse("metadata", "Invalid type for 'metadata': expected an object of texts.", code="invalid_type")
    return value


def _with_reference(body: Mapping[str, Any]) -> dict[str, Any]:
    """Put the address of the picture that a video begins with where the service has it."""
    values = dict(body)
    reference = values.pop("input_reference", None)
    address = values.pop("input_reference[image_url]", None)
    if isinstance(reference, Mapping):
        address = reference.get("image_url")
    if isinstance(reference, FormUpload) or (reference is not None and address is None):
        message = (
            "Unsupported value: 'input_reference' cannot be a file here, since NeuralBox takes an address; pass "
            "{'image_url': 'https://...'}."
        )
        raise refuse("input_reference", message, code="unsupported_value")
    if address is not None:
        values["image_url"] = address
    return values


_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
# The types of parts: of chat messages and of the responses' items.
_TEXTS = frozenset({"text", "input_text", "output_text", "refusal"})
_PICTURES = frozenset({"image_url", "input_image"})


def _turns(messages: object, name: str) -> list[Any]:
    if not isinstance(messages, list) or not messages:
        raise refuse(name, f"Missing required parameter: '{name}'.", code="missing_required_parameter")
    return [_turn(message, f"{name}[{index}]") for index, message in enumerate(messages)]


def _turn(message: object, place: str) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        raise refuse(place, f"Invalid type for '{place}': expected an object.", code="invalid_type")
    if message.get("type", "message") != "message":
        raise _unsupported(f"{place}.type", message.get("type"))
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise _unsupported(f"{place}.role", role)
    for name in ("tool_calls", "function_call", "audio"):
        if message.get(name):
            raise _unsupported(f"{place}.{name}", None)
    content = message.get("content")
    if content is None and role == "assistant":
        content = message.get("refusal") or ""
    if isinstance(content, list):
        parts = [_part(part, f"{place}.content[{index}]") for index, part in enumerate(content)]
        # A text alone goes as text: some clients always send parts.
        content = parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts
    elif not isinstance(content, str):
        raise refuse(f"{place}.content", f"Invalid type for '{place}.content'.", code="invalid_type")
    return {"role": _ROLES[role], "content": content}


def _part(part: object, place: str) -> dict[str, Any]:
    kind = str(part.get("type")) if isinstance(part, Mapping) else "None"
    if isinstance(part, Mapping) and kind in _TEXTS:
        text = part.get("refusal") if kind == "refusal" else part.get("text")
        if isinstance(text, str):
            return {"type": "text", "text": text}
    elif isinstance(part, Mapping) and kind in _PICTURES:
        image = part.get("image_url")
        address = image.get("url") if isinstance(image, Mapping) else image
        if isinstance(address, str) and address.strip():
            return {"type": "image_url", "image_url": {"url": address}}
    raise _unsupported(f"{place}.type" if kind not in _TEXTS | _PICTURES else place, kind)


def _unsupported(place: str, value: object) -> Exception:
    said = "" if value is None else f": {str(value)[:100]!r}"
    return refuse(
        place, f"Unsupported value{said}; '{place}' has no counterpart at NeuralBox.", code="unsupported_value"
    )

"""Reading what a client asks for: both request forms in, one checked `GenerationRequest` out.

Options may stand at the top level or inside `params` (the top level wins), and each kind has its own rules. A missing
parameter is 400, a wrong one 422 with a complaint for each field, an unknown model 404. Options that the documents
give to other models are checked in form and otherwise ignored; unknown ones are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from .._api import vocabulary as words
from ._catalogue import AUDIO_TOOLS, MODELS, RATIO_PIXELS, TEXT_TOOLS, CatalogueModel, video_pixels
from ._media.texts import answer_to, count_tokens, json_answer_to
from ._replies import bad_request, invalid, not_found

_CHARACTERS_A_SECOND: Final = 14  # of speech at speed 1
_TOOL_INPUTS: Final = ("prompt", "text", "image_url", "audio_url", "video_url")


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A generation as it will be made.

    Attributes:
        text: The text result, for kinds that have one.
        format: Ending of the result file, for kinds that have one.
        reference: Address of the image that was given along.
        streams: Whether the client asked for server-sent events.
        document_bytes: Size of the document that is read aloud; None where none is.
    """

    model: CatalogueModel
    prompt: str | None
    price: int
    text: str | None = None
    usage: dict[str, int] | None = None
    format: str | None = None
    width: int | None = None
    height: int | None = None
    duration: int | None = None
    seed: int | None = None
    reference: str | None = None
    streams: bool = False
    document_bytes: int | None = None


def read_generation_request(
    body: Mapping[str, Any], *, assistant: Mapping[str, Any] | None = None
) -> GenerationRequest:
    """Read the body of `POST /generate`.

    Args:
        body: The JSON object.
        assistant: The assistant that `assistant_id` names; it brings the model and the system prompt.

    Raises:
        Refusal: 400, 404 or 422.
    """
    params = body.get("params")
    if params is not None and not isinstance(params, dict):
        raise invalid({"params": "must be an object"})
    top = {name: value for name, value in body.items() if name != "params"}
    options = Options({**(params or {}), **top})
    slug = assistant["model"] if assistant else body.get("model")
    if slug is None:
        raise bad_request("The parameter `model` is missing.")
    if not isinstance(slug, str):
        raise invalid({"model": "must be a string"})
    model = MODELS.get(slug)
    if model is None:
        raise not_found(f"The model {slug!r}")
    if model.kind == "stt":
        raise bad_request(f"{slug} transcribes files: send them to POST /api/v2/stt as multipart/form-data.")
    if model.kind == "text":
        request = _text(model, options)
    else:
        request = _READERS[model.kind](model, options)
    if options.flag("stream") and model.kind != "text":
        options.complain("stream", "only text models stream")
    options.refuse_complaints()
    return request


def price_options(model: CatalogueModel, params: Mapping[str, Any]) -> dict[str, Any]:
    """Check the options that `calculate-price` is asked about, in the same way as those of a generation."""
    options = Options(params)
    if model.kind == "image":
        _size(model, options)
        options.one_of("quality", words.QUALITIES)
    elif model.kind == "video":
        options.one_of("duration", words.VIDEO_DURATIONS)
        options.one_of("aspect_ratio", words.VIDEO_RATIOS)
    options.refuse_complaints()
    return dict(params)


class Options:
    """The options of a request, read with complaints that are raised all at once."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self._complaints: dict[str, str] = {}

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def get(self, name: str) -> Any:
        return self._values.get(name)

    def complain(self, name: str, complaint: str) -> None:
        self._complaints.setdefault(name, complaint)

    def refuse_complaints(self) -> None:
        if self._complaints:
            raise invalid(self._complaints)

    def words_of(self, name: str) -> str | None:
        """Return a text that is not empty, or None where there is none."""
        value = self.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            self.complain(name, "must be a string")
            return None
        if not value.strip():
            self.complain(name, "must not be empty")
            return None
        return value

    def number(self, name: str, low: float, high: float, default: float) -> float:
        value = self.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.complain(name, "must be a number")
        elif not low <= value <= high:
            self.complain(name, f"must be between {low:g} and {high:g}")
        else:
            return value
        return default

    def whole(self, name: str, low: int | None = None, high: int | None = None) -> int | None:
        value = self.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self.complain(name, "must be an integer")
        elif low is not None and (value < low or (high is not None and value > high)):
            self.complain(name, f"must be at least {low}" if high is None else f"must be between {low} and {high}")
        else:
            return value
        return None

    def flag(self, name: str) -> bool:
        value = self.get(name)
        if value is not None and not isinstance(value, bool):
            self.complain(name, "must be true or false")
        return value is True

    def one_of(self, name: str, allowed: tuple[Any, ...]) -> Any:
        """Return the value if it is one of these; the first of them where there is none."""
        value = self.get(name)
        if value is None:
            return allowed[0]
        if isinstance(value, bool) or value not in allowed:
            self.complain(name, f"must be one of {', '.join(map(str, allowed))}")
            return allowed[0]
        return value

    def address(self, name: str) -> str | None:
        value = self.words_of(name)
        # Whether the service takes `data:` is written nowhere; other services do, so a sandbox must not be the one to refuse.
        if value is not None and not value.startswith(("http://", "https://", "data:")):
            self.complain(name, "must be an http, https or data address")
        return value


# Text.


def _text(model: CatalogueModel, options: Options) -> GenerationRequest:
    prompt = options.words_of("prompt")  # with `messages` it is the new turn after them
    messages = options.get("messages")
    said = _messages(model, messages, options) if messages is not None else []
    if messages is None and "prompt" not in options:
        raise bad_request("One of `prompt` and `messages` is needed.")
    system = options.words_of("system") or options.words_of("system_prompt") or ""
    options.number("temperature", words.MIN_TEMPERATURE, words.MAX_TEMPERATURE, words.DEFAULT_TEMPERATURE)
    max_tokens = options.whole("max_tokens", 1)
    asked = prompt if prompt is not None else next((text for role, text in reversed(said) if role == "user"), "")
    told = "\n".join([system, *(text for _, text in said), prompt or ""])
    text = json_answer_to(told, max_tokens=max_tokens) or answer_to(asked, max_tokens=max_tokens)
    heard = count_tokens(system + "".join(text for _, text in said) + (prompt or ""))
    spoken = count_tokens(text)
    usage = {"prompt_tokens": heard, "completion_tokens": spoken, "total_tokens": heard + spoken}
    streams = options.flag("stream")
    return GenerationRequest(model=model, prompt=asked, price=model.low, text=text, usage=usage, streams=streams)


def _messages(model: CatalogueModel, messages: Any, options: Options) -> list[tuple[str, str]]:
    if not isinstance(messages, list):
        options.complain("messages", "must be an array")
        return []
    if not messages and "prompt" not in options:
        options.complain("messages", "must not be empty")
    said: list[tuple[str, str]] = []
    for index, message in enumerate(messages):
        place = f"messages.{index}"
        if not isinstance(message, dict):
            options.complain(place, "must be an object")
            continue
        role = message.get("role")
        if not isinstance(role, str) or role not in words.ROLES:
            options.complain(f"{place}.role", f"must be one of {', '.join(sorted(words.ROLES))}")
        said.append((str(role), _content(model, message.get("content"), f"{place}.content", options)))
    return said


def _content(model: CatalogueModel, content: Any, place: str, options: Options) -> str:
    if isinstance(content, str):
        if not content.strip():
            options.complain(place, "must not be empty")
        return content
    if not isinstance(content, list) or not content:
        options.complain(place, "must be a string or an array of parts")
        return ""
    texts: list[str] = []
    for index, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind == "image_url" and isinstance(part.get("image_url"), dict) and part["image_url"].get("url"):
            if not model.sees:
                options.complain(f"{place}.{index}", f"{model.slug} does not read images")
        else:
            options.complain(f"{place}.{index}", "must be a text part or an image_url part")
    return " ".join(texts)


# Files.


def _prompt(options: Options, *names: str) -> str | None:
    """Return the first of these parameters that is there; 400 if none is."""
    for name in names:
        if options.get(name) is not None:
            return options.words_of(name)
    raise bad_request(f"The parameter `{names[0]}` is missing.")


def _size(model: CatalogueModel, options: Options) -> str:
    if model.is_midjourney and "size" not in options:
        return str(options.one_of("aspect_ratio", model.sizes))
    return str(options.one_of("size", model.sizes))


def _image(model: CatalogueModel, options: Options) -> GenerationRequest:
    prompt = _prompt(options, "prompt")
    size = _size(model, options)
    picked = {"size": size, "quality": options.one_of("quality", words.QUALITIES)}
    if model.slug in words.IMAGE_STYLES:
        options.one_of("style", words.IMAGE_STYLES[model.slug])
    options.words_of("style")
    options.words_of("negative_prompt")
    reference = options.address("image_url")
    width, height = RATIO_PIXELS[size] if size in RATIO_PIXELS else map(int, size.split("x"))
    return GenerationRequest(
        model=model,
        prompt=prompt,
        price=model.price(picked),
        format=options.one_of("format", words.IMAGE_FORMATS),
        width=width,
        height=height,
        seed=options.whole("seed"),
        reference=reference,
    )


def _video(model: CatalogueModel, options: Options) -> GenerationRequest:
    prompt = _prompt(options, "prompt")
    duration = options.one_of("duration", words.VIDEO_DURATIONS)
    width, height = video_pixels(model.slug, options.one_of("aspect_ratio", words.VIDEO_RATIOS))
    options.words_of("negative_prompt")
    reference = options.address("image_url")
    return GenerationRequest(
        model=model,
        prompt=prompt,
        price=model.price({"duration": duration}),
        format="mp4",
        width=width,
        height=height,
        duration=duration,
        seed=options.whole("seed"),
        reference=reference,
    )


def _speech(model: CatalogueModel, options: Options) -> GenerationRequest:
    name = "text" if "text" in options else "prompt"
    text = _prompt(options, "text", "prompt")
    if text is not None and len(text) > words.MAX_SPEECH_CHARACTERS:
        options.complain(name, f"must have at most {words.MAX_SPEECH_CHARACTERS} characters")
    speed = options.number("speed", words.MIN_SPEED, words.MAX_SPEED, 1.0)
    options.words_of("voice_id")
    return GenerationRequest(
        model=model,
        prompt=text,
        price=model.low,
        format=options.one_of("format", words.SPEECH_FORMATS),
        duration=max(1, round(len(text or "") / _CHARACTERS_A_SECOND / speed)),
    )


def _music(model: CatalogueModel, options: Options) -> GenerationRequest:
    prompt = _prompt(options, "prompt")
    duration = options.whole("duration", words.MIN_MUSIC_SECONDS, words.MAX_MUSIC_SECONDS)
    return GenerationRequest(
        model=model, prompt=prompt, price=model.low, format="mp3", duration=duration or words.DEFAULT_MUSIC_SECONDS
    )


def _tool(model: CatalogueModel, options: Options) -> GenerationRequest:
    if not any(name in options for name in _TOOL_INPUTS):
        raise bad_request("A tool needs something to work on, such as `image_url` or `prompt`.")
    prompt = options.words_of("prompt") or options.words_of("text")
    for name in ("image_url", "audio_url", "video_url"):
        options.address(name)
    request = GenerationRequest(model=model, prompt=prompt, price=model.low, seed=options.whole("seed"))
    if model.slug in TEXT_TOOLS:
        return replace(request, text=answer_to(str(options.get("image_url") or prompt)))
    if model.slug in AUDIO_TOOLS:
        return replace(request, format="mp3", duration=5)
    return replace(request, format="webp", width=1024, height=1024)


_READERS: Final = {"image": _image, "video": _video, "tts": _speech, "audio": _music, "tool": _tool}

"""What a batch is asked for: one frozen value per request, one class per kind, with the options of that kind's door.

The values are plain: making one checks nothing, and `build` puts it through the very builders of the doors. Prompts and
addresses stay out of `repr`. The way from JSON is `reading`'s business; recordings are read by whoever sends them.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import PurePath
from typing import Any, ClassVar, Final

from .._api import vocabulary as words
from .._api.builders import (
    Message,
    build_generic,
    build_media,
    build_speech,
    build_text,
    build_tool,
    build_transcription,
    require_music_seconds,
    require_speed,
    require_text,
)
from .._api.media_types import audio_type
from .._api.request import Request, given
from .._config import CallOptions, Dialect
from .._errors import ConfigurationError
from .._types import OMIT, Omit


class BatchRequest(ABC):
    """A request of any kind: what all of them have. Make one of a kind, such as `ImageRequest`.

    Attributes:
        name: The word for its kind in `to_dict`.
        kind: The service's word for it, where it has one.
        key: The caller's name for it, unique in the batch; default: its position, `"000001"` for the first.
        model: Slug of the model.
        extra_body: Fields to add to the body's top level.
    """

    __slots__ = ()

    name: ClassVar[str]
    kind: ClassVar[str | None]
    key: str | None
    model: Any
    extra_body: Mapping[str, Any] | None

    def to_dict(self) -> dict[str, Any]:
        """The request as plain values, as `request_from_dict` reads them: what was not given is not in it.

        Raises:
            ConfigurationError: A recording was given as bytes, which no JSON holds.
        """
        record: dict[str, Any] = {"kind": self.name}
        for one in fields(self):  # type: ignore[arg-type]  # each kind is a dataclass
            value = getattr(self, one.name)
            if value is not OMIT and not (value is None and one.default is None):
                record[one.name] = _plain(one.name, value)
        return record

    @abstractmethod
    def build(self, dialect: Dialect) -> Request:
        """Build what is sent; `ConfigurationError` names what cannot be right."""

    def options(self) -> CallOptions:
        """What the call changes.

        Raises:
            ConfigurationError: `extra_body` is no mapping.
        """
        return CallOptions(extra_body=self.extra_body)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRequest(BatchRequest):
    """A text; see `text.create` for the options.

    Attributes:
        key: The caller's name for it, unique in the batch; default: its position, `"000001"` for the first.
        model: Slug of a text model; may be left out with `assistant_id`.
        prompt: The user's message.
        messages: Turns with `role` and `content`.
        system: The system prompt.
        temperature: 0.0 to 2.0.
        max_tokens: Most tokens of the language model to write; None asks for the model's own default.
        assistant_id: An assistant in place of `model` and `system`.
        extra_body: Fields to add to the body's top level.
    """

    name: ClassVar[str] = "text"
    kind: ClassVar[str | None] = "text"

    key: str | None = None
    model: words.TextModel | str | None = None
    prompt: str | None = field(default=None, repr=False)
    messages: Sequence[Message] | None = field(default=None, repr=False)
    system: str | None = field(default=None, repr=False)
    temperature: float | Omit = OMIT
    max_tokens: int | Omit | None = OMIT
    assistant_id: str | None = None
    extra_body: Mapping[str, Any] | None = field(default=None, repr=False)

    def build(self, dialect: Dialect) -> Request:
        """Build what is sent; `ConfigurationError` names what cannot be right."""
        return build_text(
            model=self.model,
            prompt=self.prompt,
            messages=self.messages,
            system=self.system,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            assistant_id=self.assistant_id,
            stream=False,
            nested=dialect.options == "nested",
            stream_path=False,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest(BatchRequest):
    """An image; see `images.create` for the options.

    Attributes:
        key: The caller's name for it, unique in the batch; default: its position, `"000001"` for the first.
        model: Slug of an image model.
        prompt: What to draw.
        negative_prompt: What to leave out.
        size: Pixels such as `1024x1024`; for Midjourney a ratio.
        format: `webp`, `png`, `jpeg`.
        quality: `standard` or `hd`.
        style: `vivid` or `natural` for DALL-E 3.
        seed: For repeatable results.
        image_url: Input image of image-to-image models.
        aspect_ratio: A ratio, in the nested form of Midjourney.
        extra_body: Fields to add to the body's top level.
    """

    name: ClassVar[str] = "image"
    kind: ClassVar[str | None] = "image"

    key: str | None = None
    model: words.ImageModel | str
    prompt: str = field(repr=False)
    negative_prompt: str | Omit = field(default=OMIT, repr=False)
    size: str | Omit = OMIT
    format: str | Omit = OMIT
    quality: str | Omit = OMIT
    style: str | Omit = OMIT
    seed: int | Omit = OMIT
    image_url: str | Omit = field(default=OMIT, repr=False)
    aspect_ratio: str | Omit = OMIT
    extra_body: Mapping[str, Any] | None = field(default=None, repr=False)

    def build(self, dialect: Dialect) -> Request:
        """Build what is sent; `ConfigurationError` names what cannot be right."""
        options = given(
            negative_prompt=self.negative_prompt,
            size=self.size,
            format=self.format,
            quality=self.quality,
            style=self.style,
            seed=self.seed,
            image_url=self.image_url,
            aspect_ratio=self.aspect_ratio,
        )
        nested = dialect.options == "nested"
        return build_media(model=self.model, prompt=self.prompt, options=options, nested=nested)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoRequest(BatchRequest):
    """A video; see `videos.create` for the options.

    Attributes:
        key: The caller's name for it, unique in the batch; default: its position, `"000001"` for the first.
        model: Slug of a video model.
        prompt: What to film.
        image_url: Start frame, for image-to-video.
        duration: Seconds, 5 or 10.
        aspect_ratio: `16:9`, `9:16` or `1:1`.
        negative_prompt: What to leave out.
        extra_body: Fields to add to the body's top level.
    """

    name: ClassVar[str] = "video"
    kind: ClassVar[str | None] = "video"

    key: str | None = None
    model: words.VideoModel | str
    prompt: str = field(repr=False)
    image_url: str | Omit = field(default=OMIT, repr=False)
    duration: int | Omit = OMIT
    aspect_ratio: str | Omit = OMIT
    negative_prompt: str | Omit = field(default=OMIT, repr=False)
    extra_body: Mapping[str, Any] | None = field(default=None, repr=False)

    def build(self, dialect: Dialect) -> Request:
        """Build what is sent; `ConfigurationError` names what cannot be right."""
        options = given(
            image_url=self.image_url,
            duration=self.duration,
            aspect_ratio=self.aspect_ratio,
            negative_prompt=self.negative_prompt,
        )
        nested = dialect.options == "nested"
        return build_media(model=self.model, prompt=self.prompt, options=options, nested=nested)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechRequest(BatchRequest):
    """A spoken text; see `speech.create` for the options.

    Attributes:
        key: The caller's name for it, unique in the batch; default: its position, `"000001"` for the first.
        model: Slug of a speech model.
        text: What to say.
        voice_id: A voice of the model.
        speed: 0.5 to 2.0.
        format: `mp3`, `wav`, `ogg`.
        extra_body: Fields to add to the body's top level.
    """

    name: ClassVar[str] = "speech"
    kind: ClassVar[str | None] = "tts"

    key: str | None = None
    model: words.SpeechModel | str
    text: str = field(repr=False)
    voice_id: str | Omit = OMIT
    speed: float | Omit = OMIT
    format: str | Omit = OMIT
    extra_body: Mapping[str, Any] | None = field(default=None, repr=False)

    def build(self, dialect: Dialect) -> Request:
        """Build what is sent; `ConfigurationError` names what cannot be right."""
        options = given(voice_id=self.voice_id, speed=require_speed(self.speed), format=self.format)
        nested = dialect.options == "nested"
        return build_speech(model=self.model, text=self.text, options=options, nested=nested)


@dataclass(frozen=True, slots=True, kw_only=True)
class MusicRequest(BatchRequest):
    """Music; see `music.create` for the options.

    Attributes:
        key: The caller's name for it, unique in the batch; default: its position, `"000001"` for the first.
        model: `musicgen`, `elevenlabs-music`, or another slug.
        prompt: Genre, mood, instruments, tempo.
        duration: Seconds, 15 to 120.
        extra_body: Fields to add to the body's top level.
    """

    name: ClassVar[str] = "music"
    kind: ClassVar[str | None] = "audio"

    key: str | None = None
    model: words.MusicModel | str
    prompt: str = field(repr=False)
    duration: int | Omit = OMIT
    extra_body: Mapping[str, Any] | None = field(default=None, repr=False)

    def build(self, dialect: Dialect) -> Request:
        """Build what is sent; `ConfigurationError` names what cannot be right."""
        options = given(duration=require_music_seconds(self.duration))
        nested = dialect.options == "nested"
        return build_media(model=self.model, prompt=self.prompt, options=options, nested=nested)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRequest(BatchRequest):
    """A tool; see `tools.create` for the options.

    Attributes:
        key: The caller's name for it, unique in the batch; default: its position, `"000001"` for the first.
        model: Slug of a tool.
        prompt: What to do, for tools that take one.
        image_url: The input image, for tools that take one.
        params: Further parameters of the tool.
        extra_body: Fields to add to the body's top level.
    """

    name: ClassVar[str] = "tool"
    kind: ClassVar[str | None] = "tool"

    key: str | None = None
    model: words.ToolModel | str
    prompt: str | None = field(default=None, repr=False)
    image_url: str | Omit = field(default=OMIT, repr=False)
    params: Mapping[str, Any] | None = field(default=None, repr=False)
    extra_body: Mapping[str, Any] | None = field(default=None, repr=False)

    def build(self, dialect: Dialect) -> Request:
        """Build what is sent; `ConfigurationError` names what cannot be right."""
        options = {**given(image_url=self.image_url), **_mapping("params", self.params)}
        nested = dialect.options == "nested"
        return build_tool(model=self.model, prompt=self.prompt, options=options, nested=nested)


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionRequest(BatchRequest):
    """The words of a recording; see `transcriptions.create` for the options.

    Attributes:
        key: The caller's name for it, unique in the batch; default: its position, `"000001"` for the first.
        audio: A path, read when its turn comes; or the bytes themselves, which neither JSON nor a journal can hold.
        model: `whisper`, `gpt-4o-transcribe`, `elevenlabs-scribe`, or another slug.
        language: Such as `en`.
        diarize: Label the speakers inside the text.
        file_name: The name the service sees; needed for bytes.
        extra_body: Fields to add to the form.
    """

    name: ClassVar[str] = "transcription"
    kind: ClassVar[str | None] = "stt"

    key: str | None = None
    audio: str | os.PathLike[str] | bytes = field(repr=False)
    model: words.TranscriptionModel | str = words.DEFAULT_TRANSCRIPTION_MODEL
    language: str | Omit = OMIT
    diarize: bool | Omit = OMIT
    file_name: str | None = None
    extra_body: Mapping[str, Any] | None = field(default=None, repr=False)

    def build(self, dialect: Dialect) -> Request:  # noqa: ARG002 - a form has one shape only
        """Build what is sent, less the recording; `ConfigurationError` names what cannot be right."""
        if not isinstance(self.audio, str | os.PathLike | bytes) or not self.audio:
            raise ConfigurationError("`audio` must be the path of a recording, or its bytes.")
        if isinstance(self.audio, bytes) and not self.file_name:
            raise ConfigurationError("Bytes have no name: pass `file_name`, such as 'talk.mp3', with `audio`.")
        return self.with_content(b"", self.file_name or "")

    def with_content(self, content: bytes, file_name: str) -> Request:
        """Build what is sent with the recording."""
        fields = {"model": require_text("model", self.model)}
        if not isinstance(self.language, Omit):
            fields["language"] = require_text("language", self.language)
        if not isinstance(self.diarize, Omit):
            fields["diarize"] = "true" if self.diarize else "false"
        return build_transcription(
            content=content,
            size=len(content) if content else None,
            file_name=file_name,
            content_type=audio_type(file_name),
            fields=fields,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest(BatchRequest):
    """Any model, a prompt and `params`: the quickstart's shape; see `generate.create`.

    Attributes:
        key: The caller's name for it, unique in the batch; default: its position, `"000001"` for the first.
        model: Any slug.
        prompt: What to make.
        params: Options of the model.
        extra_body: Fields to add to the body's top level.
    """

    name: ClassVar[str] = "generate"
    kind: ClassVar[str | None] = None

    key: str | None = None
    model: str
    prompt: str = field(repr=False)
    params: Mapping[str, Any] | None = field(default=None, repr=False)
    extra_body: Mapping[str, Any] | None = field(default=None, repr=False)

    def build(self, dialect: Dialect) -> Request:
        """Build what is sent; `ConfigurationError` names what cannot be right."""
        nested = dialect.options != "flat"
        return build_generic(model=self.model, prompt=self.prompt, params=self.params, nested=nested)


REQUESTS: Final[Sequence[type[Any]]] = (
    TextRequest,
    ImageRequest,
    VideoRequest,
    SpeechRequest,
    MusicRequest,
    ToolRequest,
    TranscriptionRequest,
    GenerateRequest,
)


def _mapping(name: str, value: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if value is not None and not isinstance(value, Mapping):
        raise ConfigurationError(f"`{name}` must be a mapping, not {type(value).__name__}.")
    return value or {}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, bytes):
        raise ConfigurationError(f"`{name}` is given as bytes, which cannot be written down; pass a path.")
    if isinstance(value, PurePath):
        return str(value)
    return os.fspath(value) if isinstance(value, os.PathLike) else value

"""What is nested in GeminiGen's records: files, videos, images with thumbnails, sounds with voices, references.

Under the service's own names, read as `_item` reads the records: what is missing, null, `""` or of another type is None,
and each object as it came stays in `raw`. An `Asset` is any of the files in one form.

Source: GeminiGen, "Generation History APIs" (SEED 004); fields marked "later": docs/service/geminigen.md 2.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import Field

from .._api.fields import as_object, as_time
from .._models.generation import Model
from .._types import PlainValues
from ._reading import integer, number, objects, text


@dataclass(frozen=True, slots=True)
class Asset(PlainValues):
    """One file of a generation, whichever record it was told in.

    Attributes:
        kind: `image`, `video`, `audio`, or the service's word.
        url: Where it is; None while there is none.
        id: The file's own uuid, which is not the record's; None in the list.
        download_url: Another address of it, where there is one.
        storage_key: A relative key of the service; nothing can be fetched by it.
        size_bytes: Bytes, where the service says it.
        duration: Seconds of a video.
        inline_data: The bytes themselves as base64, where the service sends them along.
        status: The file's own state, in the integers of the record's.
        error: Why this one failed.
    """

    kind: str | None
    url: str | None = field(default=None, repr=False)
    id: str | None = None
    download_url: str | None = field(default=None, repr=False)
    storage_key: str | None = None
    size_bytes: int | None = None
    duration: float | None = None
    inline_data: str | None = field(default=None, repr=False)
    status: int | None = None
    error: str | None = None


class MediaFile(Model):
    """A file as the list tells of it.

    Attributes:
        type: `image`, `video`, `audio`, or another word.
        url: Where it is.
        size: Bytes.
        created_at: UTC.
        updated_at: UTC.
    """

    type: str | None = None
    url: str | None = Field(default=None, repr=False)
    size: int | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> MediaFile:
        """Read a file; never raises."""
        return cls.model_construct(
            type=text(record.get("type")),
            url=text(record.get("url")),
            size=integer(record.get("size")),
            created_at=as_time(record.get("created_at")),
            updated_at=as_time(record.get("updated_at")),
            raw=record,
        )

    @property
    def asset(self) -> Asset:
        """The same as an `Asset`."""
        return Asset(self.type, self.url, size_bytes=self.size)


class GeneratedVideo(Model):
    """A video of a generation.

    Attributes:
        id: Its number.
        uuid: Its own, not the record's.
        history_id: The record's number.
        video_uri: A storage key.
        duration: Seconds.
        aspect_ratio: Such as `16:9`.
        resolution: Such as `720p`.
        person_generation: Such as `enabled`.
        last_frame: Where a picture of the last frame is.
        status: Its own state.
        error_message: Why it failed.
        video_url: Where it is.
    """

    id: int | None = None
    uuid: str | None = None
    history_id: int | None = None
    video_uri: str | None = None
    duration: float | None = None
    aspect_ratio: str | None = None
    resolution: str | None = None
    person_generation: str | None = None
    last_frame: str | None = Field(default=None, repr=False)
    status: int | None = None
    error_message: str | None = None
    video_url: str | None = Field(default=None, repr=False)

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> GeneratedVideo:
        """Read a video; never raises."""
        return cls.model_construct(
            id=integer(record.get("id")),
            uuid=text(record.get("uuid")),
            history_id=integer(record.get("history_id")),
            video_uri=text(record.get("video_uri")),
            duration=number(record.get("duration")),
            aspect_ratio=text(record.get("aspect_ratio")),
            resolution=text(record.get("resolution")),
            person_generation=text(record.get("person_generation")),
            last_frame=text(record.get("last_frame")),
            status=integer(record.get("status")),
            error_message=text(record.get("error_message")),
            video_url=text(record.get("video_url")),
            raw=record,
        )

    @property
    def asset(self) -> Asset:
        """The same as an `Asset`."""
        return Asset(
            "video",
            self.video_url,
            self.uuid,
            storage_key=self.video_uri,
            duration=self.duration,
            status=self.status,
            error=self.error_message,
        )


class Thumbnail(Model):
    """A small picture of an image.

    Attributes:
        id: Its number.
        uuid: Its own.
        size: `small`, or another word.
        uri: A storage key.
        url: Where it is.
    """

    id: int | None = None
    uuid: str | None = None
    size: str | None = None
    uri: str | None = None
    url: str | None = Field(default=None, repr=False)

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Thumbnail:
        """Read a thumbnail; never raises."""
        return cls.model_construct(
            id=integer(record.get("id")),
            uuid=text(record.get("uuid")),
            size=text(record.get("size")),
            uri=text(record.get("uri")),
            url=text(record.get("url")),
            raw=record,
        )


class GeneratedImage(Model):
    """An image of a generation; there may be several.

    Attributes:
        id: Its number.
        uuid: Its own, not the record's.
        history_id: The record's number.
        model: The model's slug.
        image_uri: A storage key.
        response_text: What the model said beside the image.
        status: Its own state.
        error_message: Why it failed.
        style: Such as `Photorealistic`.
        aspect_ratio: Such as `16:9`.
        person_generation: Such as `enabled`.
        safety_filter_level: Such as `medium`.
        image_url: Where it is.
        file_download_url: Another address of it.
        thumbnails: Small pictures of it.
        base64_data: The bytes as base64, where the service sends them along.
        resolution: Such as `2K` (later).
    """

    id: int | None = None
    uuid: str | None = None
    history_id: int | None = None
    model: str | None = None
    image_uri: str | None = None
    response_text: str | None = Field(default=None, repr=False)
    status: int | None = None
    error_message: str | None = None
    style: str | None = None
    aspect_ratio: str | None = None
    person_generation: str | None = None
    safety_filter_level: str | None = None
    image_url: str | None = Field(default=None, repr=False)
    file_download_url: str | None = Field(default=None, repr=False)
    thumbnails: Sequence[Thumbnail] = ()
    base64_data: str | None = Field(default=None, repr=False)
    resolution: str | None = None

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> GeneratedImage:
        """Read an image; never raises."""
        return cls.model_construct(
            id=integer(record.get("id")),
            uuid=text(record.get("uuid")),
            history_id=integer(record.get("history_id")),
            model=text(record.get("model")),
            image_uri=text(record.get("image_uri")),
            response_text=text(record.get("response_text")),
            status=integer(record.get("status")),
            error_message=text(record.get("error_message")),
            style=text(record.get("style")),
            aspect_ratio=text(record.get("aspect_ratio")),
            person_generation=text(record.get("person_generation")),
            safety_filter_level=text(record.get("safety_filter_level")),
            image_url=text(record.get("image_url")),
            file_download_url=text(record.get("file_download_url")),
            thumbnails=tuple(map(Thumbnail.read, objects(record.get("thumbnails")))),
            base64_data=text(record.get("base64_data")),
            resolution=text(record.get("resolution")),
            raw=record,
        )

    @property
    def asset(self) -> Asset:
        """The same as an `Asset`."""
        return Asset(
            "image",
            self.image_url or self.file_download_url,
            self.uuid,
            download_url=self.file_download_url,
            storage_key=self.image_uri,
            inline_data=self.base64_data,
            status=self.status,
            error=self.error_message,
        )


class Voice(Model):
    """A voice of a sound: told as its name alone (SEED 004), or as a speaker with a voice.

    Attributes:
        name: The voice's name.
        id: The voice's id.
        speaker: Who speaks with it in a dialogue.
    """

    name: str | None = None
    id: str | None = None
    speaker: str | None = None

    @classmethod
    def read(cls, value: object) -> Voice:
        """Read a voice in either form; never raises."""
        record = as_object(value)
        if record is None:
            return cls.model_construct(name=text(value), raw={})
        voice = as_object(record.get("voice"))
        if voice is None:
            return cls.model_construct(name=text(record.get("name")), id=text(record.get("id")), raw=record)
        name, speaker = text(voice.get("name")), text(record.get("name"))
        return cls.model_construct(name=name, id=text(voice.get("id")), speaker=speaker, raw=record)


class GeneratedAudio(Model):
    """A sound of a generation.

    Attributes:
        history_id: The record's number.
        id: Its number.
        uuid: Its own, not the record's.
        voices: Who is heard.
        speed: 1 is as the voice speaks.
        model: The model's slug.
        model_name: The model's label.
        status: Its own state.
        custom_prompt: How it was to be spoken.
        audio_uri: A storage key.
        emotion: Such as `neutral`.
        output_format: `mp3`, `wav`.
        vibe_id: Undocumented.
        accent: Such as `american`.
        output_channel: `mono` or `stereo`.
        audio_url: Where it is.
        file_download_url: Another address of it.
    """

    history_id: int | None = None
    id: int | None = None
    uuid: str | None = None
    voices: Sequence[Voice] = ()
    speed: float | None = None
    model: str | None = None
    model_name: str | None = None
    status: int | None = None
    custom_prompt: str | None = Field(default=None, repr=False)
    audio_uri: str | None = None
    emotion: str | None = None
    output_format: str | None = None
    vibe_id: int | None = None
    accent: str | None = None
    output_channel: str | None = None
    audio_url: str | None = Field(default=None, repr=False)
    file_download_url: str | None = Field(default=None, repr=False)

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> GeneratedAudio:
        """Read a sound; never raises."""
        voices = record.get("voices")
        return cls.model_construct(
            history_id=integer(record.get("history_id")),
            id=integer(record.get("id")),
            uuid=text(record.get("uuid")),
            voices=tuple(map(Voice.read, voices)) if isinstance(voices, list) else (),
            speed=number(record.get("speed")),
            model=text(record.get("model")),
            model_name=text(record.get("model_name")),
            status=integer(record.get("status")),
            custom_prompt=text(record.get("custom_prompt")),
            audio_uri=text(record.get("audio_uri")),
            emotion=text(record.get("emotion")),
            output_format=text(record.get("output_format")),
            vibe_id=integer(record.get("vibe_id")),
            accent=text(record.get("accent")),
            output_channel=text(record.get("output_channel")),
            audio_url=text(record.get("audio_url")),
            file_download_url=text(record.get("file_download_url")),
            raw=record,
        )

    @property
    def asset(self) -> Asset:
        """The same as an `Asset`."""
        return Asset(
            "audio",
            self.audio_url or self.file_download_url,
            self.uuid,
            download_url=self.file_download_url,
            storage_key=self.audio_uri,
            status=self.status,
            error=text(self.raw.get("error_message")),  # the page shows none on sounds
        )


class ReferenceItem(Model):
    """What a generation was to follow: a picture that was given along.

    Attributes:
        id: Its number.
        history_id: The record's number.
        uuid: Its own.
        media_type: `image`, or another word.
        uri: A storage key; the page has no address of the reference itself.
        thumbnail_uri: A storage key.
        thumbnail_url: Where a small picture of it is.
        mask_uri: A storage key of its mask.
        mask_url: Where its mask is.
        image_url: Where it is (later).
        video_url: Where it is (later).
    """

    id: int | None = None
    history_id: int | None = None
    uuid: str | None = None
    media_type: str | None = None
    uri: str | None = None
    thumbnail_uri: str | None = None
    thumbnail_url: str | None = Field(default=None, repr=False)
    mask_uri: str | None = None
    mask_url: str | None = Field(default=None, repr=False)
    image_url: str | None = Field(default=None, repr=False)
    video_url: str | None = Field(default=None, repr=False)

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> ReferenceItem:
        """Read a reference; never raises."""
        return cls.model_construct(
            id=integer(record.get("id")),
            history_id=integer(record.get("history_id")),
            uuid=text(record.get("uuid")),
            media_type=text(record.get("media_type")),
            uri=text(record.get("uri")),
            thumbnail_uri=text(record.get("thumbnail_uri")),
            thumbnail_url=text(record.get("thumbnail_url")),
            mask_uri=text(record.get("mask_uri")),
            mask_url=text(record.get("mask_url")),
            image_url=text(record.get("image_url")),
            video_url=text(record.get("video_url")),
            raw=record,
        )

"""`HistoryItem`: one generation of GeminiGen's history, and the same said in NeuralBox's words.

One model serves the list and the detail: the list has `media_files`, the detail the `generated_*` arrays, and what one
lacks is empty. Reading never raises: what is missing, null, `""` or of another type is None, an unknown word is kept as
it is, and the record as it came stays in `raw`.

Source: GeminiGen, "Generation History APIs" (SEED 004); fields marked "later": docs/service/geminigen.md 2.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from .._api import gemini_vocabulary as gemini
from .._api.fields import as_time
from .._api.vocabulary import COMPLETED, FAILED, PENDING
from .._models.generation import Generation, Model
from .._types import JobRef
from ._media import Asset, GeneratedAudio, GeneratedImage, GeneratedVideo, MediaFile, ReferenceItem
from ._reading import folded, integer, number, objects, status_of, text
from ._reading import uuid as read_uuid


class HistoryItem(Model):
    """One generation of GeminiGen's history, as the list or the detail tells of it.

    Absent is None; so is `""`, which the service writes for none. `0` is a value. An item of the list has
    `media_files`, one of the detail the four arrays after it; what one lacks is empty.

    Attributes:
        id: The record's number; not what paths take.
        uuid: The record's id; `""` where the service gave none.
        user_id: Whose it is.
        model_name: The model's slug; it may differ from the one asked for.
        input_text: The prompt; of a document its file's name.
        negative_prompt: What was not to be seen.
        generate_result: The file, when it is done.
        input_file_path: A file that was given along.
        type: `image_generation`, `video_generation`, `tts-text`, ... or another word.
        used_credit: Credits charged; 0 until they are. Their worth changed over time, and they are not NeuralBox's tokens.
        status: 2 completed, 3 or negative failed, everything else not final; None where it is no whole number.
        status_desc: A word for people, or the one that stands in place of the number.
        status_percentage: Percent done, as it came.
        error_code: Why it failed, in the service's code.
        error_message: Why it failed.
        rating: The user's rating.
        rating_content: What the user said to it.
        custom_prompt: How a text was to be spoken.
        created_at: UTC.
        updated_at: UTC.
        file_size: Bytes of the result; of a document those of the document.
        expired_at: UTC; when the result expires, which usually lies ahead.
        inference_type: Such as `text_to_image`.
        name: A display name.
        created_by: Such as `API`.
        thumbnail_url: Where a small picture of it is.
        media_files: The files, in items of the list.
        generated_video: The videos, in the detail.
        generated_image: The images, in the detail.
        generated_audio: The sounds, in the detail.
        reference_item: What was given along, in the detail.
        estimated_credit: What it is to cost (later).
        media_type: Such as `video/mp4`, `audio` (later).
        thumbnail_small: Another small picture (later).
        duration: Seconds (later).
        resolution: Such as `720p` (later).
        aspect_ratio: Such as `16:9` (later).
        queue_position: How many are before it (later).
    """

    id: int | None = None
    uuid: str = ""
    user_id: int | None = None
    model_name: str | None = None
    # Out of `repr`, and so of logs: prompts, and addresses that may be signed.
    input_text: str | None = Field(default=None, repr=False)
    negative_prompt: str | None = Field(default=None, repr=False)
    generate_result: str | None = Field(default=None, repr=False)
    input_file_path: str | None = Field(default=None, repr=False)
    type: str | None = None
    used_credit: float | None = None
    status: int | None = None
    status_desc: str | None = None
    status_percentage: float | None = None
    error_code: str | None = None
    error_message: str | None = None
    rating: str | None = None
    rating_content: str | None = Field(default=None, repr=False)
    custom_prompt: str | None = Field(default=None, repr=False)
    created_at: datetime | None = None
    updated_at: datetime | None = None
    file_size: int | None = None
    expired_at: datetime | None = None
    inference_type: str | None = None
    name: str | None = Field(default=None, repr=False)  # the first words of the prompt
    created_by: str | None = None
    thumbnail_url: str | None = Field(default=None, repr=False)
    media_files: Sequence[MediaFile] = ()
    generated_video: Sequence[GeneratedVideo] = ()
    generated_image: Sequence[GeneratedImage] = ()
    generated_audio: Sequence[GeneratedAudio] = ()
    reference_item: Sequence[ReferenceItem] = ()
    estimated_credit: float | None = None
    media_type: str | None = None
    thumbnail_small: str | None = Field(default=None, repr=False)
    duration: float | None = None
    resolution: str | None = None
    aspect_ratio: str | None = None
    queue_position: int | None = None

    @classmethod
    def read(cls, record: Mapping[str, Any], *, asked_uuid: str = "") -> HistoryItem:
        """Read a record of the list or the detail; never raises.

        Args:
            record: The JSON object as it came, out of its envelope.
            asked_uuid: The uuid it was asked for by, where the record does not say.
        """
        status, word = status_of(record)
        # model_construct: every value has just been read into its type, so a second validation would only cost.
        return cls.model_construct(
            id=integer(record.get("id")),
            uuid=read_uuid(record.get("uuid")) or asked_uuid,
            user_id=integer(record.get("user_id")),
            # A dialogue's record names its model as `model`, and a later one its input as `tts_input`.
            model_name=text(record.get("model_name")) or text(record.get("model")),
            input_text=text(record.get("input_text")) or text(record.get("tts_input")),
            negative_prompt=text(record.get("negative_prompt")),
            generate_result=text(record.get("generate_result")),
            input_file_path=text(record.get("input_file_path")),
            type=text(record.get("type")),
            used_credit=number(record.get("used_credit")),
            status=status,
            status_desc=word,
            status_percentage=number(record.get("status_percentage")),
            error_code=text(record.get("error_code")),
            error_message=text(record.get("error_message")),
            rating=text(record.get("rating")),
            rating_content=text(record.get("rating_content")),
            custom_prompt=text(record.get("custom_prompt")),
            created_at=as_time(record.get("created_at")),
            updated_at=as_time(record.get("updated_at")),
            file_size=integer(record.get("file_size")),
            expired_at=as_time(record.get("expired_at")),
            inference_type=text(record.get("inference_type")),
            name=text(record.get("name")),
            created_by=text(record.get("created_by")),
            thumbnail_url=text(record.get("thumbnail_url")),
            media_files=tuple(map(MediaFile.read, objects(record.get("media_files")))),
            generated_video=tuple(map(GeneratedVideo.read, objects(record.get("generated_video")))),
            generated_image=tuple(map(GeneratedImage.read, objects(record.get("generated_image")))),
            generated_audio=tuple(map(GeneratedAudio.read, objects(record.get("generated_audio")))),
            reference_item=tuple(map(ReferenceItem.read, objects(record.get("reference_item")))),
            estimated_credit=number(record.get("estimated_credit")),
            media_type=text(record.get("media_type")),
            thumbnail_small=text(record.get("thumbnail_small")),
            duration=number(record.get("duration")),
            resolution=text(record.get("resolution")),
            aspect_ratio=text(record.get("aspect_ratio")),
            queue_position=integer(record.get("queue_position")),
            raw=record,
        )

    # The same in NeuralBox's vocabulary.

    @property
    def state(self) -> str:
        """`completed`, `failed` or `pending`; a status nobody knows is `pending`, and the wait's limit ends it."""
        return state_of(self.status, self.status_desc)

    @property
    def is_final(self) -> bool:
        """Whether it will not change any more."""
        return self.state != PENDING

    @property
    def is_completed(self) -> bool:
        """Whether there is a result."""
        return self.state == COMPLETED

    @property
    def is_failed(self) -> bool:
        """Whether it ended without a result."""
        return self.state == FAILED

    @property
    def kind(self) -> str | None:
        """`image`, `video` or `audio`, by `type`, else by the files it has, else by what else tells; None if nothing."""
        return (
            _kind_by_start(self.type)
            or next((asset.kind for asset in self._generated()), None)
            or next((kind for file in self.media_files if (kind := _kind_by_start(file.type))), None)
            or _kind_by_start(self.media_type)
            or gemini.KIND_OF_INFERENCE.get(self.inference_type or "")
        )

    @property
    def error(self) -> str | None:
        """Why it failed, else why the first of its files did, with the code; None unless it failed."""
        if not self.is_failed:
            return None
        why = self.error_message or next((asset.error for asset in self.assets if asset.error), None)
        if why and self.error_code and self.error_code not in why:
            return f"{why} ({self.error_code})"
        return why or self.error_code

    @property
    def progress(self) -> float | None:
        """Percent done, 0 to 100; None where it is not said."""
        return None if self.status_percentage is None else min(100, max(0, self.status_percentage))

    @property
    def cost(self) -> float | None:
        """Credits charged; None while a 0 means that it is not known yet."""
        return self.used_credit if self.used_credit or self.is_final else None

    @property
    def assets(self) -> Sequence[Asset]:
        """All files: those of the detail where there are any, else those of the list; its own kind first."""
        assets = [*self._generated()] or [file.asset for file in self.media_files]
        kind = self.kind
        return sorted(assets, key=lambda asset: asset.kind != kind)

    @property
    def url(self) -> str | None:
        """The file, when it is completed: `generate_result`, else that of the first asset that has one."""
        if not self.is_completed:
            return None
        return self.generate_result or next((asset.url for asset in self.assets if asset.url), None)

    @property
    def preview_url(self) -> str | None:
        """A small picture of it: `thumbnail_url`, else what else there is."""
        small = (thumbnail.url for image in self.generated_image for thumbnail in image.thumbnails)
        return self.thumbnail_url or self.thumbnail_small or next((url for url in small if url), None)

    @property
    def size_bytes(self) -> int | None:
        """Bytes of the result, where the service says it."""
        sizes = (asset.size_bytes for asset in self.assets if asset.size_bytes)
        of_file = self.file_size if self.type != gemini.DOCUMENT else None
        return next(sizes, None) or of_file or None

    @property
    def ref(self) -> JobRef:
        """What is needed to find it again."""
        return JobRef(self.uuid, self.kind, self.model_name)

    def to_generation(self) -> Generation:
        """Say the same in NeuralBox's vocabulary: what jobs and waits return, and `files` takes.

        `id` is the uuid, `status` the `state`, `credits` the `cost`, `raw` the record. `tokens` stays None, since credits
        are no tokens, and so does `completed_at`, which the service does not tell.
        """
        kind = self.kind  # a picture may come with a film, whose length is not the picture's
        seconds = (asset.duration for asset in self.assets if asset.duration is not None and asset.kind == kind)
        return Generation.model_construct(
            id=self.uuid,
            status=self.state,
            kind=kind,
            model=self.model_name,
            prompt=self.input_text,
            url=self.url,
            thumbnail_url=self.preview_url,
            error=self.error,
            credits=self.cost,
            progress=self.progress,
            duration=next(seconds, None) if self.duration is None else self.duration,
            created_at=self.created_at,
            rating=number(self.rating),
            service="geminigen",
            raw=self.raw,
        )

    def _generated(self) -> Iterator[Asset]:
        yield from (video.asset for video in self.generated_video)
        yield from (image.asset for image in self.generated_image)
        yield from (sound.asset for sound in self.generated_audio)


def state_of(status: int | None, description: str | None) -> str:
    """Say a state in NeuralBox's words; the description counts only where the status is no whole number."""
    if status is None:
        word = folded(description)
        return COMPLETED if word in gemini.COMPLETED_WORDS else FAILED if word in gemini.FAILED_WORDS else PENDING
    if status == gemini.COMPLETED:
        return COMPLETED
    return FAILED if status == gemini.FAILED or status < 0 else PENDING


def rewrite(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Say an item of the list under NeuralBox's names, as far as it takes to know it again; never raises."""
    kind = _kind_by_start(text(record.get("type"))) or _kind_by_start(text(record.get("media_type")))
    created = record.get("created_at")
    return {
        "id": read_uuid(record.get("uuid")),
        "type": kind or gemini.KIND_OF_INFERENCE.get(text(record.get("inference_type")) or ""),
        "model": text(record.get("model_name")) or text(record.get("model")),
        "status": state_of(*status_of(record)),
        "prompt": text(record.get("input_text")) or text(record.get("tts_input")),
        # Documented as text alone: a number that is no time would put what may be ours outside its window.
        "created_at": created if isinstance(created, str) else None,
    }


def _kind_by_start(word: str | None) -> str | None:
    start = (word or "").casefold()
    return next((kind for known, kind in gemini.KIND_OF_TYPE.items() if start.startswith(known)), None)

"""`Generation`: one vocabulary for what the service says in two and a half.

Reading follows `ALIASES`: the first name that is present and not null counts. What cannot be read is absent, and the
reply as it came stays in `raw`, so nothing the service said is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from .._api import vocabulary as words
from .._api.fields import as_flag, as_id, as_int, as_number, as_object, as_text, as_time, pick
from .._plain_text import plain
from .._types import GenerationId, JobRef, plain_value
from .naming import Naming


class Model(BaseModel):
    """Base of all records: frozen, and kept whole in `raw`."""

    # Validators are built at the first use: building them all at import costs a third of it, reading needs none.
    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="ignore", protected_namespaces=(), defer_build=True
    )

    raw: Mapping[str, Any] = Field(default_factory=dict, repr=False)
    """The record as it came, unknown fields included."""

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain values, without `raw`: times as ISO writes them; what is not known is null."""
        return {name: plain_value(getattr(self, name)) for name in type(self).model_fields if name != "raw"}


class Usage(Model):
    """Token counts of the language model behind a text; informational, never billed [SEED 003].

    Attributes:
        prompt_tokens: Tokens read, or None.
        completion_tokens: Tokens written, or None.
        total_tokens: Both, or None.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None

    @classmethod
    def read(cls, value: object) -> Self | None:
        """Read a `usage` object; anything else is None."""
        record = as_object(value)
        if record is None:
            return None
        return cls(
            prompt_tokens=as_int(record.get("prompt_tokens")),
            completion_tokens=as_int(record.get("completion_tokens")),
            total_tokens=as_int(record.get("total_tokens")),
            raw=record,
        )


class Generation(Model):
    """One generation, whatever its kind and state.

    Absent is None; `0` is a value. Sources: NeuralBox API, SEED 000-003 and the pages named in `_api/vocabulary.py`.

    Attributes:
        id: As received, integer or text; `""` where the service gave none.
        status: `completed`, `pending`, `failed`, or a word we do not know (then it is not final).
        kind: `text`, `image`, `video`, `tts`, `stt`, `audio`, `tool`, where the service says it or the resource knows it.
        model: Slug as answered; it may differ from the slug asked for (`midjourney-v6` comes back as `midjourney`).
        model_name: The model's name for people, in history items of the page dialect.
        prompt: The prompt, in history items.
        text: The text of a text generation, transcription or text-giving tool.
        url: The file of an image, video or sound.
        thumbnail_url: A still of a video.
        error: Why it failed, in the service's words.
        tokens: NeuralBox tokens charged; 0 while pending and when failed.
        credits: GeminiGen's credits charged, which are no tokens; None for generations of NeuralBox.
        balance: Tokens left after this call.
        seed: The seed that was used.
        progress: Percent done.
        eta_seconds: Seconds until it may be done, by the service's estimate.
        width: Pixels.
        height: Pixels.
        duration: Seconds of video or sound.
        processing_ms: Milliseconds the service took.
        usage: Token counts of the language model.
        created_at: UTC.
        completed_at: UTC.
        is_favorited: The favourite mark, in history items of the page dialect.
        rating: The user's rating, in history items of the page dialect.
        metadata: `result_metadata` as it came.
        is_partial: Whether it was read from a listing that may leave out what its own answer says; what was not told is None
            then, and `job.refresh()` or `generations.get(id)` asks for the whole.
        service: Whose it is, `neuralbox` or `geminigen`.
        raw: The reply as it came.
    """

    id: GenerationId
    status: str
    kind: str | None = None
    model: str | None = None
    model_name: str | None = None
    # Out of `repr`, and so of logs: prompts, and addresses that may be signed.
    prompt: str | None = Field(default=None, repr=False)
    text: str | None = None
    url: str | None = Field(default=None, repr=False)
    thumbnail_url: str | None = Field(default=None, repr=False)
    error: str | None = None
    tokens: int | None = None
    credits: float | None = None
    balance: int | None = None
    seed: int | None = None
    progress: float | None = None
    eta_seconds: float | None = None
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    processing_ms: float | None = None
    usage: Usage | None = None
    created_at: datetime | None = None
    completed_at: datetime | None = None
    is_favorited: bool | None = None
    rating: float | None = None
    metadata: Mapping[str, Any] | None = Field(default=None, repr=False)
    # What is said of the answer, not by it.
    is_partial: bool = Field(default=False, exclude=True, repr=False)
    service: str = Field(default="neuralbox", repr=False)

    @classmethod
    def read(
        cls, record: Mapping[str, Any], *, kind: str | None = None, asked_id: GenerationId | None = None
    ) -> Generation:
        """Read one record of any dialect; never raises.

        Args:
            record: The JSON object as it came.
            kind: What the caller knows it to be, where the record does not say.
            asked_id: The id it was asked for by, where the record does not say.
        """
        values = _NAMING.read(record)
        status = values["status"]
        values["status"] = (
            status.strip().lower() if status else _implied_status(values["text"], values["url"], record.get("error"))
        )
        if values["id"] is None:
            values["id"] = "" if asked_id is None else asked_id
        values["kind"] = values["kind"] or kind
        values["credits"] = None
        values["service"] = "neuralbox"
        values["raw"] = record
        values["is_partial"] = False
        return _made(cls, values)

    @property
    def is_final(self) -> bool:
        """Whether it will not change any more; a status we do not know is not final."""
        return self.status in words.FINAL_STATES

    @property
    def is_completed(self) -> bool:
        """Whether there is a result."""
        return self.status == words.COMPLETED

    @property
    def is_failed(self) -> bool:
        """Whether it ended without a result; documented as free of charge [SEED 000]."""
        return self.status == words.FAILED

    @property
    def is_cached(self) -> bool:
        """Whether it comes from a cache: it was neither made nor charged again."""
        return False

    @property
    def ref(self) -> JobRef:
        """What is needed to find it again."""
        return JobRef(self.id, self.kind, self.model)

    def expires_at(self, plan: str | None = None) -> datetime | None:
        """When the storage drops the file: as the record says, else by the retention table.

        The table counts from the completion, or from the creation where that is all there is [SEED 000, 002];
        GeminiGen's records say it themselves [SEED 004].

        Args:
            plan: `free` (or `starter`), `basic`, `pro`, `vip`, `elite`; case does not matter. `client.account.balance()`
                knows it. Without it only a record that says it itself has an answer.

        Returns:
            A UTC time; None for a plan without limit, an unknown plan, or an unknown start.
        """
        said = as_time(pick(self.raw, _EXPIRES_AT))
        if said is not None:
            return said
        days = words.RETENTION_DAYS.get((plan or "").strip().lower())
        start = self.completed_at or self.created_at
        if days is None or start is None:
            return None
        try:
            return start + timedelta(days=days)
        except OverflowError:  # past the year 9999
            return None

    def __str__(self) -> str:
        """Say what it is, what it cost, and where its file is or what its text says: for `print`, where `repr` is for logs."""
        model = f" ({plain(self.model)})" if self.model else ""
        cost = "" if self.tokens is None else f", {self.tokens:,} token{'' if self.tokens == 1 else 's'}"
        said = self.error if self.is_failed else self.url or self.text
        head = f"{plain(self.kind or 'generation')} {plain(str(self.id))}{model}: {plain(self.status) or 'state not known'}{cost}"
        return f"{head}\n{plain(said, keep_lines=True)}" if said else head

    def _repr_html_(self) -> str:
        """Show it in a notebook: its picture, player, text or reason."""
        from .._html import result_html  # only notebooks need it

        tokens = None if self.tokens is None else f"{self.tokens:,} tokens"
        return result_html(
            kind=self.kind,
            url=self.url,
            still=self.thumbnail_url,
            text=self.text,
            error=(self.error or "the service did not say why") if self.is_failed else None,
            facts=(self.kind, self.id, self.model, self.status, tokens),
        )


_EXPIRES_AT = ("expired_at", "expires_at")

# One set for all: pydantic keeps it with every record, and a set of its own would cost each 2 KB.
_ALL_FIELDS = set(Generation.model_fields)
_READERS = {
    "id": as_id,
    "status": as_text,
    "kind": as_text,
    "model": as_text,
    "model_name": as_text,
    "prompt": as_text,
    "text": as_text,
    "url": as_text,
    "thumbnail_url": as_text,
    "error": as_text,
    "tokens": as_int,
    "balance": as_int,
    "seed": as_int,
    "progress": as_number,
    "eta_seconds": as_number,
    "width": as_int,
    "height": as_int,
    "duration": as_number,
    "processing_ms": as_number,
    "usage": Usage.read,
    "created_at": as_time,
    "completed_at": as_time,
    "is_favorited": as_flag,
    "rating": as_number,
    "metadata": as_object,
}
_NAMES = {**words.ALIASES, "metadata": ("result_metadata",)}
_NAMING = Naming({field: (_NAMES.get(field, (field,)), read) for field, read in _READERS.items()})
_put = object.__setattr__


def _made(cls: type[Generation], values: dict[str, Any]) -> Generation:
    """Do what `model_construct` does with every field given: each has just been read into its type.

    Only that it does not go through all fields once more, which costs more than reading them.
    """
    made = cls.__new__(cls)
    _put(made, "__dict__", values)
    _put(made, "__pydantic_fields_set__", _ALL_FIELDS)
    _put(made, "__pydantic_extra__", None)
    _put(made, "__pydantic_private__", None)
    return made


def _implied_status(text: str | None, url: str | None, error: object) -> str:
    """Read a record without `status` by what it has: a result is completed, a reason is failed, nothing is unknown.

    Only `error` is a reason; a `message` may as well say that the job was queued, and a job that is taken for failed
    is a job that was paid for and lost.
    """
    if text or url:
        return words.COMPLETED
    return words.FAILED if error else ""

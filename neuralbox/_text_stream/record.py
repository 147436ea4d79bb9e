"""`StreamRecord`: what a stream has said of its generation so far, and the `Generation` that it makes at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._api import vocabulary as words
from .._api.reply import safe_words
from .._api.stream_events import GenerationEnd, GenerationStart, Piece, StreamDone, StreamFailure
from .._errors import GenerationFailedError
from .._models.generation import Generation
from .._types import JobRef


class StreamRecord:
    """Collects what the events of one stream say.

    Attributes:
        model: The slug asked for, or None.
        parts: The pieces of the text that were delivered.
        job: The generation, once its id is known.
        has_unknown: An event was of a kind that this version does not know.
    """

    __slots__ = ("_final", "_head", "has_unknown", "job", "model", "parts")

    def __init__(self, model: str | None) -> None:
        self.model = model
        self.parts: list[str] = []
        self.job: JobRef | None = None
        self.has_unknown = False
        self._head: Mapping[str, Any] = {}
        self._final: Generation | None = None  # where it did not come as a stream

    @property
    def text(self) -> str:
        """The text that was delivered."""
        return "".join(self.parts)  # changes nothing: the blocking client asks from other threads

    def started(self, event: GenerationStart) -> None:
        """Take note of the beginning."""
        self._head = event.raw
        if event.id is not None:
            self.job = JobRef(event.id, "text", event.model or self.model)

    def is_end(self, event: GenerationEnd | StreamDone) -> bool:
        """Tell whether an end is one: not where nothing of a text came before it, and the text may be elsewhere.

        `[DONE]` ends every stream of this world, and the pieces of another dialect are events we do not know.
        """
        if self._final is not None or any(self.parts):
            return True
        if isinstance(event, GenerationEnd) and event.id is not None and self.job is None:
            self.job = JobRef(event.id, "text", self.model)
        return isinstance(event, GenerationEnd) and not self.has_unknown

    def ended(self, tail: Mapping[str, Any]) -> Generation:
        """Return the result: the whole text, and what the first and the last event say."""
        generation = self._final or self._read(tail)
        if self.job is None and generation.id != "":
            self.job = generation.ref
        return generation.model_copy(update={"text": self.text, "status": words.COMPLETED})

    def failed(self, event: StreamFailure) -> GenerationFailedError:
        """Return the error of a failure on the way."""
        why = safe_words(event.message).rstrip(".") or "the service gave no reason"
        generation = self._read(event.raw).model_copy(
            update={"text": self.text, "status": words.FAILED, "error": event.message}
        )
        return GenerationFailedError(
            f"The {self.job or 'generation'} failed while its text was streamed: {why}. "
            "What had arrived is in `.generation.text`.",
            job=self.job,
            generation=generation,
        )

    def rest_of(self, final: Generation) -> list[Piece]:
        """Return what is missing of a finished generation, as the events that would have brought it."""
        self._final = self.with_model(final)
        identity = final.id if final.id != "" else None
        rest: list[Piece] = [] if self._head else [GenerationStart(identity, final.model, final.raw)]
        missing = (final.text or "")[len(self.text) :]
        if missing:
            rest.append(missing)
        return [*rest, GenerationEnd(identity, final.tokens, final.balance, final.raw)]

    def with_model(self, generation: Generation) -> Generation:
        """Return a generation with the slug asked for, where it has none of its own."""
        return generation if generation.model is not None else generation.model_copy(update={"model": self.model})

    def _read(self, tail: Mapping[str, Any]) -> Generation:
        """Read the first and the last event as one record."""
        record = {**self._head, **tail}
        record.pop("type", None)  # an event's type, which would be read as the generation's kind
        asked_id = self.job.id if self.job is not None else None
        return self.with_model(Generation.read(record, kind="text", asked_id=asked_id))

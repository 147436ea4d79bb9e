"""Requests for a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from .._api.builders import Message, build_text
from .._api.request import Request
from .._api.vocabulary import TextModel
from .._config import Dialect
from .._types import OMIT, Omit
from .base import BatchRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRequest(BatchRequest):
    """A text.

    The service keeps no conversation: pass all earlier turns in `messages` every time.

    Attributes:
        model: Slug of a text model; may be left out with `assistant_id`.
        prompt: The user's message.
        messages: Turns with `role` (`system`, `user`, `assistant`) and `content` (text, or a list of parts such as
            `{"type": "image_url", "image_url": {"url": ...}}` for models that see). With `prompt` too, the prompt is the
            new turn.
        system: The system prompt.
        temperature: 0.0 to 2.0; the service's default is 0.7.
        max_tokens: Most tokens of the language model to write; None asks for the model's own default.
        assistant_id: `asst_…`: an assistant's model and instructions in place of `model` and `system`.

    Source:
        NeuralBox API, "Text Generation", `POST /api/v2/generate` (SEED 003, SEED 001).
    """

    name: ClassVar[str] = "text"
    kind: ClassVar[str | None] = "text"

    model: TextModel | str | None = None
    prompt: str | None = field(default=None, repr=False)
    messages: Sequence[Message] | None = field(default=None, repr=False)
    system: str | None = field(default=None, repr=False)
    temperature: float | Omit = OMIT
    max_tokens: int | Omit | None = OMIT
    assistant_id: str | None = None

    def build(self, dialect: Dialect) -> Request:
        """Build what is sent for the whole text; `ConfigurationError` names what cannot be right."""
        return self._build(stream=False, nested=dialect.options == "nested", stream_path=False)

    def build_stream(self, dialect: Dialect) -> Request:
        """Build what is sent for a text that is read while it is written."""
        by_path = dialect.stream == "path"
        # The separate path is documented in the nested form only (docs/service/neuralbox.md 2.2).
        nested = dialect.options == "nested" or (by_path and dialect.options == "documented")
        return self._build(stream=True, nested=nested, stream_path=by_path)

    def _build(self, *, stream: bool, nested: bool, stream_path: bool) -> Request:
        return build_text(
            model=self.model,
            prompt=self.prompt,
            messages=self.messages,
            system=self.system,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            assistant_id=self.assistant_id,
            stream=stream,
            nested=nested,
            stream_path=stream_path,
        )

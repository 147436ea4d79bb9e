"""What the events of a text stream say, in both dialects, as typed values.

One payload (the data of one Server-Sent Event) goes in, one frozen value comes out. Types we do not know, and JSON
that is no event at all, are `UnknownEvent`: data, not errors. Only a payload that is not JSON is a `ProtocolError`.

Sources: `"stream": true` on `/generate` [nb:en/guides/streaming] says `tokens_used` and `balance_remaining` at the
end, `/generate/stream` [nb:…/generate/stream] says `tokens_spent`; ids are text there and integers here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydantic_core import from_json

from .._errors import ProtocolError
from .._types import GenerationId
from . import vocabulary as words
from .fields import as_id, as_int, as_text, parse_json, pick
from .reply import excerpt


@dataclass(frozen=True, slots=True)
class GenerationStart:
    """The generation was accepted.

    Attributes:
        id: As received, or None where the event had none.
        model: The slug as answered, or None.
        raw: The event as it came.
    """

    id: GenerationId | None
    model: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ContentDelta:
    """The next piece of the text.

    Attributes:
        text: The piece, its blanks kept; may be "".
    """

    text: str


@dataclass(frozen=True, slots=True)
class GenerationEnd:
    """The text is complete.

    Attributes:
        id: As received, or None.
        tokens: NeuralBox tokens charged, or None.
        balance: Tokens left, or None.
        raw: The event as it came.
    """

    id: GenerationId | None
    tokens: int | None = None
    balance: int | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class StreamFailure:
    """The generation failed on its way.

    Attributes:
        message: Why, in the service's words; "" where it gave none.
        raw: The event as it came.
    """

    message: str
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class StreamDone:
    """The literal `[DONE]` after the last event."""


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """Something this version does not know.

    Attributes:
        type: The event's `type`, or "" where it had none.
        raw: The JSON as it came, whatever it is; None for an empty payload.
    """

    type: str
    raw: Any = field(default=None, compare=False)


StreamEvent: TypeAlias = GenerationStart | ContentDelta | GenerationEnd | StreamFailure | StreamDone | UnknownEvent
"""All that a stream can say. More kinds may come; treat what you do not know as `UnknownEvent`."""


Piece: TypeAlias = str | StreamEvent
"""An event; a piece of the text as its bare string, since nearly all are and most readers want no more."""


class PieceReader:
    """Reads the events of one stream, a `ContentDelta` as its bare text: nearly all are, and most readers want no more.

    Attributes:
        half: The first half of a character whose second half the next piece of the text may bring; else "".
    """

    __slots__ = ("half",)

    def __init__(self) -> None:
        self.half = ""

    def read(self, payload: bytes, _event: str = "", _id: str = "", _retry_ms: int | None = None) -> Piece:
        """Read the data of one event.

        A maker for `SSEDecoder`: type, id and reconnection time of the event mean nothing here, the JSON says it all.

        Raises:
            ProtocolError: It is neither JSON nor `[DONE]`.
        """
        try:
            record = from_json(payload)
        except ValueError:
            return self._read_unusual(payload)
        if type(record) is dict and record.get("type") == words.CONTENT_DELTA:
            delta = record.get("delta")
            if type(delta) is str:
                return self._join(delta) if self.half else delta
        return _read_record(record)

    def _read_unusual(self, payload: bytes) -> Piece:
        """Read what the fast JSON reader refuses: the end mark, nothing, half of a character cut between two deltas."""
        text = payload.strip()
        if text == words.DONE.encode():
            return StreamDone()
        if not text:
            return UnknownEvent("")
        try:
            record = parse_json(payload)
        except ValueError as error:
            raise ProtocolError(
                "The stream sent an event that is not JSON; it was cut or garbled on the way.", body=excerpt(payload)
            ) from error
        delta = record.get("delta") if isinstance(record, dict) else None
        if type(delta) is str and record.get("type") == words.CONTENT_DELTA:
            return self._join(_with_halves(payload, delta))
        return _read_record(record)

    def _join(self, delta: str) -> str:
        """Put two halves of a character together, and keep a first half for the next piece; one alone is U+FFFD."""
        text, self.half = self.half + delta, ""
        if "\ud800" <= text[-1:] <= "\udbff":
            text, self.half = text[:-1], text[-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _read_record(record: Any) -> Piece:
    """Read an event that is no piece of the text."""
    if not isinstance(record, dict):
        return UnknownEvent("", record)
    kind = record.get("type")
    if kind == words.GENERATION_END:
        return GenerationEnd(
            _read_id(record), as_int(_pick(record, "tokens")), as_int(_pick(record, "balance")), record
        )
    if kind == words.GENERATION_START:
        return GenerationStart(_read_id(record), as_text(_pick(record, "model")), record)
    # The body of a refusal may come as an event too; it has an `error` code and no `type`.
    if kind == words.STREAM_ERROR or (kind is None and isinstance(record.get("error"), str)):
        return StreamFailure(_complaint(record), record)
    return UnknownEvent(as_text(kind) or "", record)


def _with_halves(payload: bytes, delta: str) -> str:
    """Read a piece of the text again by a reader that keeps halves of characters; the fast one has replaced them."""
    try:
        return str(json.loads(payload.decode("utf-8", "replace"))["delta"])
    except ValueError:  # a byte-order mark, another encoding
        return delta


def _pick(record: Mapping[str, Any], name: str) -> Any:
    return pick(record, words.ALIASES[name])


def _read_id(record: Mapping[str, Any]) -> GenerationId | None:
    return as_id(_pick(record, "id"))


def _complaint(record: Mapping[str, Any]) -> str:
    # `message` is the documented name; `error` is where other answers put the sentence, or an object with one.
    inner = record.get("error")
    if isinstance(inner, dict):
        inner = inner.get("message")
    return as_text(record.get("message")) or as_text(inner) or ""

"""`WebhookEvent`: what a service says by itself of a generation, read from what it posts. Pure.

An event is a hint. NeuralBox announces its webhooks without a signature; GeminiGen signs the number of an event and
nothing of what the event says. So nothing here is believed: `client.notify(event)` has the service asked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from .._api import gemini_vocabulary as gemini
from .._api import vocabulary as words
from .._api.fields import as_int, as_number, as_object, as_text, parse_json, pick
from .._errors import WebhookError
from .._types import GenerationId, JobRef

ServiceName: TypeAlias = Literal["neuralbox", "geminigen"]
MAX_BYTES: Final = 256 * 1024
"""A longer body is no event: those of the documents have a few hundred bytes."""

# How the names of events end, by what that says of the generation [GeminiGen: /getting-started/webhooks].
_ENDS: Final = (
    ("completed", words.COMPLETED),
    ("success", words.COMPLETED),
    ("failed", words.FAILED),
    ("error", words.FAILED),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEvent:
    """What a webhook says; none of it is certain before the service was asked.

    Attributes:
        service: `neuralbox` or `geminigen`.
        name: The event as the service calls it, such as `generation.completed` or `VIDEO_GENERATION_FAILED`; open.
        event_id: The event's own id, which GeminiGen gives and signs; None from NeuralBox.
        generation_id: The generation it is about.
        status: `completed`, `pending`, `failed`, or another word of the service; None where it does not say.
        kind: `image`, `video`, `audio`, where the name of the event says it.
        model: Slug of the model, where it is said.
        url: The result, where it is said: an address that anybody may have written.
        tokens: NeuralBox tokens charged, where it is said.
        credits: GeminiGen's credits charged, where it is said.
        error: Why it failed, where it is said.
        key: Tells this event from others; a delivery that is repeated has the same.
        raw: The object as it came.
    """

    service: str
    name: str
    event_id: str | None
    generation_id: GenerationId
    status: str | None
    kind: str | None
    model: str | None
    url: str | None = field(repr=False)
    tokens: int | None
    credits: float | None
    error: str | None
    key: str = field(repr=False)
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def ref(self) -> JobRef:
        """What is needed to find the generation: `client.job(event.ref)`."""
        return JobRef(self.generation_id, self.kind, self.model)


def read_event(body: bytes | str, service: ServiceName) -> WebhookEvent:
    """Read what a service posted to a webhook; nothing is verified and nothing is sent.

    Args:
        body: The body of the request, as it came.
        service: Whose webhook it is, which the receiver's own address says.

    Raises:
        WebhookError: It is no JSON object with a generation's id, or too long; `.reason` is `unreadable`.

    Source:
        NeuralBox: announced, not there yet [nb:en/guides/webhooks]. GeminiGen: "Webhooks" page [/getting-started/webhooks],
        field names of its demo and of receivers (docs/service/geminigen.md 5).
    """
    if len(body) > MAX_BYTES:
        raise WebhookError(f"The event has more than {MAX_BYTES} bytes.", reason="unreadable")
    try:
        record = as_object(parse_json(body))
    except ValueError as error:
        raise WebhookError("The event is no JSON.", reason="unreadable") from error
    if record is None:
        raise WebhookError("The event is no JSON object.", reason="unreadable")
    return _geminigen(record) if service == "geminigen" else _neuralbox(record)


def _neuralbox(record: Mapping[str, Any]) -> WebhookEvent:
    identity = pick(record, ("generation_id", "id"))
    return _event(
        record,
        service="neuralbox",
        name=as_text(record.get("event")),
        event_id=None,
        identity=identity if isinstance(identity, int) and not isinstance(identity, bool) else as_text(identity),
        status=as_text(record.get("status")),
        kind=as_text(record.get("type")),
        model=as_text(pick(record, ("model_slug", "model"))),
        url=as_text(pick(record, ("result_url", "url"))),
        tokens=as_int(pick(record, ("tokens_spent", "tokens_used"))),
        credits=None,
        error=as_text(record.get("error")),
    )


def _geminigen(record: Mapping[str, Any]) -> WebhookEvent:
    data = as_object(record.get("data")) or {}
    ids = {text for name in ("event_uuid", "uuid") if (text := as_text(record.get(name)))}
    if len(ids) > 1:  # which of them is signed under the newer name is not documented: with two, neither is believed
        raise WebhookError("The event has two ids, `uuid` and `event_uuid`, that differ.", reason="unreadable")
    name = as_text(pick(record, ("event_name", "event"))) or ""
    number = as_int(data.get("status"))
    states = {gemini.COMPLETED: words.COMPLETED, gemini.FAILED: words.FAILED}
    return _event(
        record,
        service="geminigen",
        name=name,
        event_id=next(iter(ids), None),
        identity=as_text(data.get("uuid")),
        status=None if number is None else states.get(number, words.FAILED if number < 0 else words.PENDING),
        kind=next((kind for start, kind in gemini.KIND_OF_TYPE.items() if name.casefold().startswith(start)), None),
        model=as_text(pick(data, ("model", "model_name"))),
        url=as_text(data.get("media_url")) or None,
        tokens=None,
        credits=as_number(data.get("used_credit")),
        error=as_text(data.get("error_message")) or None,
    )


def _event(
    record: Mapping[str, Any],
    *,
    identity: GenerationId | None,
    name: str | None,
    event_id: str | None,
    status: str | None,
    **said: Any,
) -> WebhookEvent:
    if identity is None or identity == "":
        raise WebhookError("The event names no generation.", reason="unreadable")
    end = (name or "").casefold()
    status = (status or "").strip().casefold() or next((state for word, state in _ENDS if end.endswith(word)), None)
    # By all that it says: somebody who makes an event up must not keep a true one from being heard.
    whole = hashlib.sha256(json.dumps(record, sort_keys=True, default=str).encode("utf-8", "replace")).hexdigest()
    return WebhookEvent(
        generation_id=identity, name=name or "", event_id=event_id, status=status, key=whole, raw=record, **said
    )
